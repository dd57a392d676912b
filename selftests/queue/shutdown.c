// SPDX-License-Identifier: MIT
/* Shutdown: puts end at once, gets when nothing is left, everybody wakes up, nothing is lost. */
#include "queue_test.h"

TEST(empty)
{
	struct kipc_queue *q = make_queue(3, 8);
	uint64_t v = 1;
	struct iovec iov = { &v, 8 };
	struct kipc_msg msg;

	EXPECT_EQ(0, stat_of(q).shutdown);
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_EQ(1, stat_of(q).shutdown);
	EXPECT_EQ(-EPIPE, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, put_u64(q, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_queue_put_many(q, &iov, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_queue_reserve(q, 8, &msg, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, get_u64(q, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_queue_get_many(q, &iov, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_queue_take(q, &msg, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_queue_len(q));
	EXPECT_EQ(1, kipc_queue_empty(q));
	kipc_queue_close(q);
}

/* Puts that are refused leave no trace, however many. */
TEST(refused_puts_leave_nothing)
{
	struct kipc_queue *q = make_queue(3, 8);

	EXPECT_EQ(0, put_u64(q, 7, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	for (int i = 0; i < 20; i++)
		EXPECT_EQ(-EPIPE, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_queue_len(q));
	EXPECT_EQ(1, stat_of(q).put);
	EXPECT_EQ(0, stat_of(q).skipped);
	EXPECT_EQ(7, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, get_u64(q, KIPC_FOREVER));
	kipc_queue_close(q);
}

TEST(what_is_left_is_had)
{
	struct kipc_queue *q = make_queue(3, 8);

	EXPECT_EQ(3, fill(q, 0));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_EQ(-EPIPE, put_u64(q, 9, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_full(q));
	EXPECT_EQ(3, kipc_queue_len(q));
	for (int64_t i = 0; i < 3; i++)
		EXPECT_EQ(i, get_u64(q, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, get_u64(q, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, put_u64(q, 9, KIPC_NOWAIT));
	kipc_queue_close(q);
}

/* What was in progress ends as it would have. */
TEST(claims_in_progress)
{
	struct kipc_queue *q = make_queue(4, 8);
	struct kipc_msg taken, requeued, reserved, aborted;
	uint64_t v = 4;

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &taken, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &requeued, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_reserve(q, 8, &reserved, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_reserve(q, 8, &aborted, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	/* not over as long as something may still come */
	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, get_u64(q, 3 * MSEC));
	memcpy(reserved.data, &v, 8);
	EXPECT_EQ(0, kipc_queue_commit(q, &reserved));
	EXPECT_EQ(4, get_u64(q, KIPC_FOREVER));
	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_abort(q, &aborted));
	EXPECT_EQ(-EPIPE, get_u64(q, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_queue_requeue(q, &requeued));
	EXPECT_EQ(2, get_u64(q, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_queue_done(q, &taken));
	EXPECT_EQ(-EPIPE, get_u64(q, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_queue_join(q, KIPC_FOREVER));
	kipc_queue_close(q);
}

FIXTURE(blocked)
{
	struct kipc_queue *q;
};

FIXTURE_VARIANT(blocked)
{
	enum ksft_peer_kind kind;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(blocked, threads){ .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(blocked, processes){ .kind = KSFT_PROCESS };
FIXTURE_VARIANT_ADD(blocked, threads_ppoll){ .kind = KSFT_THREAD, .ppoll = true };
FIXTURE_VARIANT_ADD(blocked, processes_ppoll){ .kind = KSFT_PROCESS, .ppoll = true };

FIXTURE_SETUP(blocked)
{
	if (variant->ppoll)
		without_io_uring();
	self->q = make_queue(2, 8);
}

FIXTURE_TEARDOWN(blocked)
{
	kipc_queue_close(self->q);
}

static int get_pipe(void *arg)
{
	return get_u64(arg, KIPC_FOREVER) == -EPIPE ? 0 : 1;
}

static int put_pipe(void *arg)
{
	return put_u64(arg, 9, KIPC_FOREVER) == -EPIPE ? 0 : 1;
}

#define SLEEPERS 6

/* How long it takes until all have left, each waking the next. */
static int64_t all_leave(struct kipc_queue *q, enum ksft_peer_kind kind, ksft_fn fn,
			 enum kipc_queue_bell bell)
{
	struct ksft_peer p[SLEEPERS];
	int64_t start, took;

	for (int i = 0; i < SLEEPERS; i++)
		ksft_peer_start(&p[i], kind, fn, q);
	for (int i = 0; i < SLEEPERS; i++)
		ASSERT_TRUE(ksft_wait_for(sleepers(q, bell) == SLEEPERS && ksft_asleep(p[i].id),
					  10000));
	start = ksft_now_ns();
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	for (int i = 0; i < SLEEPERS; i++)
		ksft_peer_join(&p[i]);
	took = ksft_now_ns() - start;
	EXPECT_EQ(0, sleepers(q, bell));
	return took;
}

/* The best of some rounds: a busy machine is slow, but only ticks are always so slow. */
static void soon(struct kipc_queue **q, bool full, enum ksft_peer_kind kind)
{
	int64_t took = INT64_MAX, t;

	if (ksft_valgrind() && kind == KSFT_PROCESS)
		SKIP("under valgrind a process takes as long as a tick to end");
	for (int round = 0; round < 5 && took > 50 * MSEC; round++) {
		kipc_queue_close(*q);
		*q = make_queue(2, 8);
		if (full)
			EXPECT_EQ(2, fill(*q, 0));
		t = full ? all_leave(*q, kind, put_pipe, KIPC_QUEUE_BELL_WRITABLE) :
			   all_leave(*q, kind, get_pipe, KIPC_QUEUE_BELL_READABLE);
		took = min_of(took, t);
	}
	EXPECT_LE(took, 50 * MSEC);
}

TEST_F(blocked, getters)
{
	soon(&self->q, false, variant->kind);
}

TEST_F(blocked, putters)
{
	soon(&self->q, true, variant->kind);
	EXPECT_EQ(0, get_u64(self->q, KIPC_NOWAIT));
	EXPECT_EQ(1, get_u64(self->q, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, get_u64(self->q, KIPC_NOWAIT));
}

/* Getters behind a reservation stay until that is settled. */
TEST_F(blocked, getters_behind_a_reservation)
{
	struct ksft_peer p[2];
	struct kipc_msg msg;

	EXPECT_EQ(0, kipc_queue_reserve(self->q, 8, &msg, KIPC_NOWAIT));
	for (int i = 0; i < 2; i++)
		ksft_peer_start(&p[i], variant->kind, get_pipe, self->q);
	ASSERT_TRUE(ksft_wait_for(sleepers(self->q, KIPC_QUEUE_BELL_READABLE) == 2, 10000));
	EXPECT_EQ(0, kipc_queue_shutdown(self->q));
	for (int i = 0; i < 2; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(p[i].id), 10000));
	EXPECT_EQ(2, sleepers(self->q, KIPC_QUEUE_BELL_READABLE));
	EXPECT_EQ(0, kipc_queue_abort(self->q, &msg));
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&p[i]);
}

/* A race of producers with shutdown: what was put with success, and only that, comes out. */
struct counts {
	struct kipc_queue *q;
	uint64_t put, put_sum, got, got_sum;
};

static int put_until_pipe(void *arg)
{
	struct counts *c = arg;

	for (uint64_t v = 1;; v++) {
		int r = put_u64(c->q, v, LONG_NS);

		if (r == -EPIPE)
			return 0;
		if (r)
			return r;
		fetch_add(&c->put, 1);
		fetch_add(&c->put_sum, v);
	}
}

static int put_many_until_pipe(void *arg)
{
	struct counts *c = arg;
	uint64_t in[5] = { 1, 2, 3, 4, 5 };
	struct iovec iov[5];
	int r;

	for (int i = 0; i < 5; i++)
		iov[i] = (struct iovec){ &in[i], 8 };
	while ((r = kipc_queue_put_many(c->q, iov, 5, LONG_NS)) > 0) {
		fetch_add(&c->put, (uint64_t)r);
		fetch_add(&c->put_sum, (uint64_t)r * ((uint64_t)r + 1) / 2);
	}
	return r == -EPIPE ? 0 : r;
}

static int get_until_pipe(void *arg)
{
	struct counts *c = arg;
	int64_t v;

	while ((v = get_u64(c->q, LONG_NS)) >= 0) {
		fetch_add(&c->got, 1);
		fetch_add(&c->got_sum, (uint64_t)v);
	}
	return v == -EPIPE ? 0 : (int)v;
}

TEST_F(blocked, race_with_producers)
{
	struct counts *c = ksft_shared(sizeof(*c));
	int rounds = ksft_slow() ? 10 : 40;

	for (int round = 0; round < rounds; round++) {
		struct ksft_peer p[2], g[2];
		uint64_t enough = (uint64_t)round * 3;

		memset(c, 0, sizeof(*c));
		c->q = make_queue(round % 2 ? 3 : 64, 8);
		ksft_peer_start(&p[0], variant->kind, put_until_pipe, c);
		ksft_peer_start(&p[1], variant->kind, put_many_until_pipe, c);
		for (int i = 0; i < 2; i++)
			ksft_peer_start(&g[i], variant->kind, get_until_pipe, c);
		ASSERT_TRUE(ksft_wait_for(load_relaxed(&c->put) >= enough, 10000));
		EXPECT_EQ(0, kipc_queue_shutdown(c->q));
		for (int i = 0; i < 2; i++) {
			ksft_peer_join(&p[i]);
			ksft_peer_join(&g[i]);
		}
		EXPECT_EQ(c->put, c->got);
		EXPECT_EQ(c->put_sum, c->got_sum);
		EXPECT_EQ(-EPIPE, get_u64(c->q, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_queue_len(c->q));
		kipc_queue_close(c->q);
	}
}

TEST_HARNESS_MAIN
