// SPDX-License-Identifier: MIT
/* What waiting costs, who wakes up, and that nobody sleeps through what it waits for. */
#include <sched.h>

#include "queue_test.h"

FIXTURE(waiting)
{
	struct kipc_queue *q;
};

FIXTURE_VARIANT(waiting)
{
	enum ksft_peer_kind kind;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(waiting, threads){ .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(waiting, processes){ .kind = KSFT_PROCESS };
FIXTURE_VARIANT_ADD(waiting, threads_ppoll){ .kind = KSFT_THREAD, .ppoll = true };
FIXTURE_VARIANT_ADD(waiting, processes_ppoll){ .kind = KSFT_PROCESS, .ppoll = true };

FIXTURE_SETUP(waiting)
{
	if (variant->ppoll)
		without_io_uring();
	self->q = make_queue(64, 8);
}

FIXTURE_TEARDOWN(waiting)
{
	kipc_queue_close(self->q);
}

static int64_t cpu_ns(int who)
{
	struct rusage ru;

	ASSERT_EQ(0, getrusage(who, &ru));
	return (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * NSEC_PER_USEC;
}

/* Blocked for a second: what it cost is 1 % at most, ticks and all. */
static int idle_get(void *arg)
{
	int64_t before = cpu_ns(RUSAGE_THREAD);

	EXPECT_EQ(-ETIMEDOUT, get_u64(arg, NSEC_PER_SEC));
	EXPECT_LT(cpu_ns(RUSAGE_THREAD) - before, ksft_scale(10) * MSEC);
	return 0;
}

static int idle_put(void *arg)
{
	int64_t before = cpu_ns(RUSAGE_THREAD);

	EXPECT_EQ(-ETIMEDOUT, put_u64(arg, 1, NSEC_PER_SEC));
	EXPECT_LT(cpu_ns(RUSAGE_THREAD) - before, ksft_scale(10) * MSEC);
	return 0;
}

static int idle_join(void *arg)
{
	int64_t before = cpu_ns(RUSAGE_THREAD);

	EXPECT_EQ(-ETIMEDOUT, kipc_queue_join(arg, NSEC_PER_SEC));
	EXPECT_LT(cpu_ns(RUSAGE_THREAD) - before, ksft_scale(10) * MSEC);
	return 0;
}

TEST_F(waiting, costs_nothing)
{
	struct kipc_queue *full = make_queue(3, 8), *held = make_queue(3, 8);
	struct ksft_peer p[5];
	struct kipc_msg msg;

	EXPECT_EQ(3, fill(full, 0));
	EXPECT_EQ(0, kipc_queue_reserve(held, 8, &msg, KIPC_NOWAIT));
	ksft_peer_start(&p[0], variant->kind, idle_get, self->q);
	ksft_peer_start(&p[1], variant->kind, idle_get, self->q);
	ksft_peer_start(&p[2], variant->kind, idle_put, full);
	/* behind a claim of a process that lives: it is looked after more often */
	ksft_peer_start(&p[3], variant->kind, idle_get, held);
	ksft_peer_start(&p[4], variant->kind, idle_join, full);
	for (int i = 0; i < 5; i++)
		ksft_peer_join(&p[i]);
	kipc_queue_close(full);
	kipc_queue_close(held);
}

/* Both sides busy: next to no message costs a system call. */
#define BUSY 200000

static int put_busily(void *arg)
{
	for (uint64_t i = 0; i < BUSY; i++) {
		int r = put_u64(arg, i, LONG_NS);

		if (r)
			return r;
	}
	return 0;
}

TEST_F(waiting, busy_means_silent)
{
	struct kipc_queue *q = make_queue(1024, 8);
	struct ksft_peer p;

	if (ksft_slow())
		SKIP("a sanitizer makes both sides wait for each other");
	ksft_peer_start(&p, variant->kind, put_busily, q);
	for (int64_t i = 0; i < BUSY; i++)
		ASSERT_EQ(i, get_u64(q, LONG_NS));
	ksft_peer_join(&p);
	ksft_log("%u messages, rung %lu times for readers, %lu times for writers", BUSY,
		 rings(q, KIPC_QUEUE_BELL_READABLE), rings(q, KIPC_QUEUE_BELL_WRITABLE));
	EXPECT_LT(rings(q, KIPC_QUEUE_BELL_READABLE), BUSY / 20);
	EXPECT_LT(rings(q, KIPC_QUEUE_BELL_WRITABLE), BUSY / 20);
	kipc_queue_close(q);
}

static int get_one(void *arg)
{
	return get_u64(arg, LONG_NS) >= 0 ? 0 : 1;
}

/* One ring for one sleep, whatever is put meanwhile. */
TEST_F(waiting, one_ring_a_sleep)
{
	struct ksft_peer p;

	ksft_peer_start(&p, variant->kind, get_one, self->q);
	ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_READABLE, p.id));
	EXPECT_EQ(0, rings(self->q, KIPC_QUEUE_BELL_READABLE));
	EXPECT_EQ(0, put_u64(self->q, 0, KIPC_NOWAIT));
	EXPECT_EQ(1, rings(self->q, KIPC_QUEUE_BELL_READABLE));
	ksft_peer_join(&p);
	for (uint64_t i = 0; i < 10; i++)
		EXPECT_EQ(0, put_u64(self->q, i, KIPC_NOWAIT));
	EXPECT_EQ(1, rings(self->q, KIPC_QUEUE_BELL_READABLE));
	EXPECT_EQ(0, rings(self->q, KIPC_QUEUE_BELL_WRITABLE));
}

/*
 * Stalls: a wake-up that went missing is made good by a tick, 100 ms later.  So a wait that takes
 * nearly as long as that is counted; a busy machine may make one or two.
 */
#define STALL_NS (80 * MSEC)
#define STALLS_MAX 3

struct pair {
	struct kipc_queue *there, *back;
	uint32_t rounds;
};

static int answer(void *arg)
{
	struct pair *p = arg;

	for (uint32_t i = 0; i < p->rounds; i++) {
		int64_t v = get_u64(p->there, LONG_NS);

		if (v != i || put_u64(p->back, (uint64_t)v, LONG_NS))
			return 1;
	}
	return 0;
}

TEST_F(waiting, ping_pong)
{
	struct pair pair = { .there = make_queue(1, 8), .back = make_queue(1, 8) };
	struct ksft_peer p;
	int stalls = 0;

	pair.rounds = ksft_slow() ? 500 : 3000;
	ksft_peer_start(&p, variant->kind, answer, &pair);
	for (uint32_t i = 0; i < pair.rounds; i++) {
		int64_t start = ksft_now_ns();

		ASSERT_EQ(0, put_u64(pair.there, i, LONG_NS));
		ASSERT_EQ(i, get_u64(pair.back, LONG_NS));
		stalls += ksft_now_ns() - start > ksft_scale(1) * STALL_NS;
	}
	ksft_peer_join(&p);
	EXPECT_LE(stalls, STALLS_MAX);
	kipc_queue_close(pair.there);
	kipc_queue_close(pair.back);
}

/* Bursts to several sleepers: as many wake up as there are messages, again and again. */
struct burst {
	struct kipc_queue *q;
	uint64_t got;
};

static int count_gets(void *arg)
{
	struct burst *b = arg;
	int64_t v;

	while ((v = get_u64(b->q, LONG_NS)) > 0)
		fetch_add(&b->got, 1);
	return v == 0 ? 0 : 1;
}

static int bursts(struct burst *b, enum ksft_peer_kind kind, int consumers, bool at_once)
{
	struct ksft_peer p[4];
	uint64_t in[4] = { 1, 2, 3, 4 }, put = 0;
	struct iovec iov[4];
	int stalls = 0, rounds = ksft_slow() ? 200 : 1000;

	for (int i = 0; i < 4; i++)
		iov[i] = (struct iovec){ &in[i], 8 };
	for (int i = 0; i < consumers; i++)
		ksft_peer_start(&p[i], kind, count_gets, b);
	for (int round = 0; round < rounds; round++) {
		int64_t start = ksft_now_ns();
		int n = round % consumers + 1;

		if (at_once) {
			ASSERT_EQ(n, kipc_queue_put_many(b->q, iov, n, LONG_NS));
		} else {
			for (int i = 0; i < n; i++)
				ASSERT_EQ(0, put_u64(b->q, 1, LONG_NS));
		}
		put += (uint64_t)n;
		while (load_acquire(&b->got) < put) {
			sched_yield();
			if (ksft_now_ns() - start > ksft_scale(1) * STALL_NS) {
				ASSERT_TRUE(ksft_wait_for(load_acquire(&b->got) == put, 10000));
				stalls++;
			}
		}
	}
	for (int i = 0; i < consumers; i++)
		ASSERT_EQ(0, put_u64(b->q, 0, LONG_NS));
	for (int i = 0; i < consumers; i++)
		ksft_peer_join(&p[i]);
	return stalls;
}

TEST_F(waiting, bursts)
{
	struct burst *b = ksft_shared(sizeof(*b));

	b->q = self->q;
	EXPECT_LE(bursts(b, variant->kind, 2, false), STALLS_MAX);
	b->got = 0;
	EXPECT_LE(bursts(b, variant->kind, 4, true), STALLS_MAX);
	EXPECT_EQ(0, sleepers(self->q, KIPC_QUEUE_BELL_READABLE));
}

/* The same for room: acknowledged in bursts, producers asleep. */
static int count_puts(void *arg)
{
	struct burst *b = arg;

	for (;;) {
		int r = put_u64(b->q, 1, LONG_NS);

		if (r)
			return r == -EPIPE ? 0 : r;
		fetch_add(&b->got, 1);
	}
}

TEST_F(waiting, bursts_of_room)
{
	struct burst *b = ksft_shared(sizeof(*b));
	int stalls = 0, rounds = ksft_slow() ? 200 : 1000;
	uint64_t out[4], want = 4;
	struct iovec iov[4];
	struct ksft_peer p[3];

	b->q = make_queue(4, 8);
	for (int i = 0; i < 3; i++)
		ksft_peer_start(&p[i], variant->kind, count_puts, b);
	for (int round = 0; round < rounds; round++) {
		int64_t start = ksft_now_ns();
		int n = round % 4 + 1;

		while (load_acquire(&b->got) < want) {
			sched_yield();
			if (ksft_now_ns() - start > ksft_scale(1) * STALL_NS) {
				ASSERT_TRUE(ksft_wait_for(load_acquire(&b->got) == want, 10000));
				stalls++;
			}
		}
		for (int i = 0; i < n; i++)
			iov[i] = (struct iovec){ &out[i], 8 };
		ASSERT_EQ(n, kipc_queue_get_many(b->q, iov, n, LONG_NS));
		want += (uint64_t)n;
	}
	EXPECT_EQ(0, kipc_queue_shutdown(b->q));
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&p[i]);
	EXPECT_LE(stalls, STALLS_MAX);
	kipc_queue_close(b->q);
}

TEST_HARNESS_MAIN
