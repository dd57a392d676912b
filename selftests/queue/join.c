// SPDX-License-Identifier: MIT
/* Join: all that was put before the call is acknowledged. */
#include <signal.h>
#include <unistd.h>

#include "queue_test.h"

TEST(nothing_to_wait_for)
{
	static const uint32_t capacities[] = { 1, 3, 8 };

	for (size_t c = 0; c < ARRAY_SIZE(capacities); c++) {
		struct kipc_queue *q = make_queue(capacities[c], 8);

		for (uint32_t i = 0; i < 3 * capacities[c]; i++) {
			EXPECT_EQ(0, kipc_queue_join(q, KIPC_NOWAIT));
			EXPECT_EQ(0, kipc_queue_join(q, KIPC_FOREVER));
			EXPECT_EQ(0, put_u64(q, i, KIPC_NOWAIT));
			EXPECT_EQ(-EAGAIN, kipc_queue_join(q, KIPC_NOWAIT));
			EXPECT_EQ(i, get_u64(q, KIPC_NOWAIT));
		}
		EXPECT_EQ(0, kipc_queue_join(q, KIPC_NOWAIT));
		kipc_queue_close(q);
	}
}

/* Taken is not acknowledged, in whatever order that comes. */
TEST(waits_for_acknowledgement)
{
	struct kipc_queue *q = make_queue(3, 8);
	struct kipc_msg a, b, c;
	int64_t start = ksft_now_ns();

	EXPECT_EQ(3, fill(q, 0));
	EXPECT_EQ(0, kipc_queue_take(q, &a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &b, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &c, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_join(q, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_queue_join(q, 20 * MSEC));
	EXPECT_GE(ksft_now_ns() - start, 20 * MSEC);
	EXPECT_EQ(0, kipc_queue_done(q, &c));
	EXPECT_EQ(-EAGAIN, kipc_queue_join(q, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_requeue(q, &a));
	EXPECT_EQ(0, kipc_queue_done(q, &b));
	EXPECT_EQ(-ETIMEDOUT, kipc_queue_join(q, 1));
	EXPECT_EQ(0, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_join(q, KIPC_NOWAIT));
	kipc_queue_close(q);
}

/* A reservation counts until it is committed and acknowledged, or aborted. */
TEST(reservations)
{
	struct kipc_queue *q = make_queue(3, 8);
	struct kipc_msg msg;

	EXPECT_EQ(0, kipc_queue_reserve(q, 8, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_join(q, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_abort(q, &msg));
	EXPECT_EQ(0, kipc_queue_join(q, KIPC_NOWAIT));
	kipc_queue_close(q);
}

TEST(after_shutdown)
{
	struct kipc_queue *q = make_queue(3, 8);

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_EQ(-EAGAIN, kipc_queue_join(q, KIPC_NOWAIT));
	EXPECT_EQ(1, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_join(q, KIPC_NOWAIT));
	kipc_queue_close(q);
}

struct joiner {
	struct kipc_queue *q;
	int64_t timeout_ns;
	int want;
	struct ksft_peer peer;
};

static int join(void *arg)
{
	struct joiner *j = arg;

	return kipc_queue_join(j->q, j->timeout_ns) == j->want ? 0 : 1;
}

FIXTURE(joiners)
{
	struct kipc_queue *q;
	struct joiner j[3];
};

FIXTURE_VARIANT(joiners)
{
	enum ksft_peer_kind kind;
};

FIXTURE_VARIANT_ADD(joiners, threads){ .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(joiners, processes){ .kind = KSFT_PROCESS };

FIXTURE_SETUP(joiners)
{
	self->q = make_queue(4, 8);
}

FIXTURE_TEARDOWN(joiners)
{
	kipc_queue_close(self->q);
}

/* Starts the next one, and waits until it sleeps. */
static void start(struct kipc_queue *q, struct joiner *j, enum ksft_peer_kind kind,
		  int64_t timeout_ns, int want)
{
	unsigned int before = sleepers(q, KIPC_QUEUE_BELL_JOIN);

	*j = (struct joiner){ .q = q, .timeout_ns = timeout_ns, .want = want };
	ksft_peer_start(&j->peer, kind, join, j);
	ASSERT_TRUE(ksft_wait_for(sleepers(q, KIPC_QUEUE_BELL_JOIN) > before &&
					  ksft_asleep(j->peer.id),
				  10000));
}

static void take_n(struct kipc_queue *q, struct kipc_msg *m, int n)
{
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, kipc_queue_take(q, &m[i], KIPC_NOWAIT));
}

TEST_F(joiners, one)
{
	struct kipc_msg m[4];

	EXPECT_EQ(4, fill(self->q, 0));
	take_n(self->q, m, 4);
	start(self->q, &self->j[0], variant->kind, LONG_NS, 0);
	EXPECT_EQ(0, kipc_queue_done(self->q, &m[3]));
	EXPECT_EQ(0, kipc_queue_done(self->q, &m[0]));
	EXPECT_EQ(0, kipc_queue_done(self->q, &m[2]));
	EXPECT_EQ(1, sleepers(self->q, KIPC_QUEUE_BELL_JOIN));
	EXPECT_EQ(0, kipc_queue_done(self->q, &m[1]));
	ksft_peer_join(&self->j[0].peer);
	EXPECT_EQ(0, sleepers(self->q, KIPC_QUEUE_BELL_JOIN));
	check_works(self->q);
}

/* What is put after the call isn't waited for, although it uses the same places. */
TEST_F(joiners, later_messages)
{
	struct kipc_msg m[4], again;

	EXPECT_EQ(4, fill(self->q, 0));
	take_n(self->q, m, 4);
	start(self->q, &self->j[0], variant->kind, LONG_NS, 0);
	EXPECT_EQ(0, kipc_queue_done(self->q, &m[0]));
	EXPECT_EQ(0, put_u64(self->q, 4, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(self->q, &again, KIPC_NOWAIT));
	for (int i = 1; i < 4; i++)
		EXPECT_EQ(0, kipc_queue_done(self->q, &m[i]));
	ksft_peer_join(&self->j[0].peer);
	EXPECT_EQ(-EAGAIN, kipc_queue_join(self->q, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_done(self->q, &again));
	check_works(self->q);
}

/* Several, each with its own last message. */
TEST_F(joiners, several)
{
	struct kipc_msg m[3];

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, put_u64(self->q, (uint64_t)i, KIPC_NOWAIT));
		start(self->q, &self->j[i], variant->kind, LONG_NS, 0);
	}
	take_n(self->q, m, 3);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, kipc_queue_done(self->q, &m[i]));
		ksft_peer_join(&self->j[i].peer);
		EXPECT_EQ(2 - i, sleepers(self->q, KIPC_QUEUE_BELL_JOIN));
	}
	check_works(self->q);
}

/*
 * One that gives up leaves the others waiting for their own messages, and woken at once by those: an
 * acknowledgement that wakes nobody would be noticed at the next tick only, 100 ms later at most.
 */
TEST_F(joiners, one_gives_up)
{
	struct kipc_msg m[4];
	int64_t start_ns, took = INT64_MAX;

	for (int round = 0; round < 8 && took > 40 * MSEC; round++) {
		EXPECT_EQ(0, put_u64(self->q, 0, KIPC_NOWAIT));
		start(self->q, &self->j[0], variant->kind, LONG_NS, 0);
		EXPECT_EQ(0, put_u64(self->q, 1, KIPC_NOWAIT));
		start(self->q, &self->j[1], variant->kind, 100 * MSEC, -ETIMEDOUT);
		ksft_peer_join(&self->j[1].peer);
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(self->j[0].peer.id), 10000));
		take_n(self->q, m, 2);
		start_ns = ksft_now_ns();
		EXPECT_EQ(0, kipc_queue_done(self->q, &m[0]));
		ksft_peer_join(&self->j[0].peer);
		took = min_of(took, ksft_now_ns() - start_ns);
		EXPECT_EQ(0, kipc_queue_done(self->q, &m[1]));
		EXPECT_EQ(0, kipc_queue_join(self->q, KIPC_NOWAIT));
	}
	/* the best of the rounds: a busy machine is slow, a missing wake-up always is */
	EXPECT_LT(took, ksft_scale(40) * MSEC);
}

/* Whichever call acknowledges, it wakes. */
TEST_F(joiners, woken_by_get)
{
	uint64_t out[2];
	struct iovec iov[2] = { { &out[0], 8 }, { &out[1], 8 } };
	int64_t start_ns, took[2] = { INT64_MAX, INT64_MAX };

	for (int round = 0; round < 8; round++) {
		EXPECT_EQ(0, put_u64(self->q, 0, KIPC_NOWAIT));
		EXPECT_EQ(0, put_u64(self->q, 1, KIPC_NOWAIT));
		start(self->q, &self->j[0], variant->kind, LONG_NS, 0);
		start_ns = ksft_now_ns();
		if (round % 2) {
			EXPECT_EQ(0, get_u64(self->q, KIPC_NOWAIT));
			EXPECT_EQ(1, get_u64(self->q, KIPC_NOWAIT));
		} else {
			EXPECT_EQ(2, kipc_queue_get_many(self->q, iov, 2, KIPC_NOWAIT));
		}
		ksft_peer_join(&self->j[0].peer);
		took[round % 2] = min_of(took[round % 2], ksft_now_ns() - start_ns);
	}
	EXPECT_LT(took[0], ksft_scale(40) * MSEC);
	EXPECT_LT(took[1], ksft_scale(40) * MSEC);
}

static int take_and_die(void *arg)
{
	struct kipc_msg msg;

	ASSERT_EQ(0, kipc_queue_take(arg, &msg, LONG_NS));
	kill(getpid(), SIGKILL);
	return 1;
}

/* A message that a dead consumer had isn't acknowledged; somebody else does it. */
TEST(dead_consumer)
{
	struct kipc_queue *q = make_queue(4, 8);
	struct joiner j;

	ksft_needs_processes();
	EXPECT_EQ(0, put_u64(q, 8, KIPC_NOWAIT));
	ksft_wait(ksft_fork(take_and_die, q));
	EXPECT_EQ(-ETIMEDOUT, kipc_queue_join(q, 200 * MSEC));
	start(q, &j, KSFT_THREAD, LONG_NS, 0);
	EXPECT_EQ(8, get_u64(q, LONG_NS));
	ksft_peer_join(&j.peer);
	EXPECT_EQ(1, stat_of(q).redelivered);
	kipc_queue_close(q);
}

static int reserve_and_die(void *arg)
{
	struct kipc_msg msg;

	ASSERT_EQ(0, kipc_queue_reserve(arg, 8, &msg, LONG_NS));
	kill(getpid(), SIGKILL);
	return 1;
}

/* A reservation of a dead producer is over: join goes on, blocked or polling. */
TEST(dead_producer)
{
	struct kipc_queue *q = make_queue(4, 8);
	int64_t start, took[2] = { INT64_MAX, INT64_MAX };

	for (int round = 0; round < 6; round++) {
		ksft_wait(ksft_fork(reserve_and_die, q));
		start = ksft_now_ns();
		if (round % 2)
			EXPECT_EQ(0, kipc_queue_join(q, LONG_NS));
		else
			EXPECT_TRUE(ksft_wait_for(kipc_queue_join(q, KIPC_NOWAIT) == 0, 10000));
		took[round % 2] = min_of(took[round % 2], ksft_now_ns() - start);
	}
	EXPECT_LT(took[0], ksft_scale(150) * MSEC);
	EXPECT_LT(took[1], ksft_scale(150) * MSEC);
	EXPECT_EQ(6, stat_of(q).repairs);
	check_works(q);
	kipc_queue_close(q);
}

static int join_for_ever(void *arg)
{
	return kipc_queue_join(arg, KIPC_FOREVER);
}

/* A joiner that dies leaves nothing behind. */
TEST(dead_joiner)
{
	struct kipc_queue *q = make_queue(4, 8);
	pid_t pid;

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	pid = ksft_fork(join_for_ever, q);
	ASSERT_TRUE(asleep_at(q, KIPC_QUEUE_BELL_JOIN, pid));
	ksft_kill(pid);
	EXPECT_EQ(1, __kipc_peer_sweep(&q->obj.seg, 0));
	EXPECT_EQ(0, sleepers(q, KIPC_QUEUE_BELL_JOIN));
	EXPECT_EQ(1, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_join(q, KIPC_FOREVER));
	kipc_queue_close(q);
}

/* While producers and consumers are at it: each join returns, and what it promised holds. */
static int put_and_join(void *arg)
{
	for (uint64_t i = 0; i < 300; i++) {
		int r = put_u64(arg, i, LONG_NS);

		if (!r && i % 10 == 9)
			r = kipc_queue_join(arg, LONG_NS);
		if (r)
			return r;
	}
	return 0;
}

static int get_slowly(void *arg)
{
	for (int i = 0; i < 300; i++) {
		struct kipc_msg msg;
		int r = kipc_queue_take(arg, &msg, LONG_NS);

		if (!r)
			r = kipc_queue_done(arg, &msg);
		if (r)
			return r;
	}
	return 0;
}

TEST_F(joiners, in_traffic)
{
	struct ksft_peer p[2], c[2];

	for (int i = 0; i < 2; i++) {
		ksft_peer_start(&p[i], variant->kind, put_and_join, self->q);
		ksft_peer_start(&c[i], variant->kind, get_slowly, self->q);
	}
	for (int i = 0; i < 2; i++) {
		ksft_peer_join(&p[i]);
		ksft_peer_join(&c[i]);
	}
	EXPECT_EQ(0, kipc_queue_join(self->q, KIPC_NOWAIT));
	check_works(self->q);
}

TEST_HARNESS_MAIN
