// SPDX-License-Identifier: MIT
/* Capacity is exact, for any number; full and empty, without waiting and with a timeout. */
#include "queue_test.h"

static const uint32_t capacities[] = { 1, 2, 3, 4, 7, 8, 9, 1000, 1023, 1024, 1025 };

TEST(exact)
{
	for (size_t i = 0; i < ARRAY_SIZE(capacities); i++) {
		struct kipc_queue *q = make_queue(capacities[i], 8);

		EXPECT_EQ(capacities[i], kipc_queue_capacity(q));
		check_works(q);
		kipc_queue_close(q);
	}
}

/* At every offset of the ring, not only from its start. */
TEST(exact_at_every_offset)
{
	for (size_t i = 0; i < ARRAY_SIZE(capacities) && capacities[i] < 10; i++) {
		struct kipc_queue *q = make_queue(capacities[i], 8);

		for (uint32_t offset = 0; offset < 2 * capacities[i]; offset++) {
			check_works(q);
			EXPECT_EQ(0, put_u64(q, 5, KIPC_NOWAIT));
			EXPECT_EQ(5, get_u64(q, KIPC_NOWAIT));
		}
		kipc_queue_close(q);
	}
}

TEST(len_at_every_level)
{
	for (size_t i = 0; i < ARRAY_SIZE(capacities) && capacities[i] < 10; i++) {
		struct kipc_queue *q = make_queue(capacities[i], 8);
		int n = (int)capacities[i];

		for (int round = 0; round < 3; round++) {
			for (int k = 0; k < n; k++) {
				EXPECT_EQ(k, kipc_queue_len(q));
				EXPECT_EQ(k == 0, kipc_queue_empty(q));
				EXPECT_EQ(0, kipc_queue_full(q));
				EXPECT_EQ(0, put_u64(q, (uint64_t)k, KIPC_NOWAIT));
			}
			EXPECT_EQ(1, kipc_queue_full(q));
			for (int k = n; k > 0; k--) {
				EXPECT_EQ(k, kipc_queue_len(q));
				EXPECT_EQ(0, kipc_queue_empty(q));
				EXPECT_EQ(n - k, get_u64(q, KIPC_NOWAIT));
			}
		}
		kipc_queue_close(q);
	}
}

FIXTURE(edge)
{
	struct kipc_queue *q;
};

FIXTURE_VARIANT(edge)
{
	bool ppoll;
};

FIXTURE_VARIANT_ADD(edge, io_uring){ .ppoll = false };
FIXTURE_VARIANT_ADD(edge, ppoll){ .ppoll = true };

FIXTURE_SETUP(edge)
{
	if (variant->ppoll)
		without_io_uring();
	self->q = make_queue(3, 64);
}

FIXTURE_TEARDOWN(edge)
{
	kipc_queue_close(self->q);
}

/* Times out in time: not before, and not much after. */
static void expect_timeout(int r, int64_t start, int64_t timeout_ns)
{
	int64_t took = ksft_now_ns() - start;

	EXPECT_EQ(-ETIMEDOUT, r);
	EXPECT_GE(took, timeout_ns);
	EXPECT_LT(took, timeout_ns + ksft_scale(500) * MSEC);
}

TEST_F(edge, empty)
{
	static const int64_t timeouts[] = { 1, 1000, 100000, 3 * MSEC, 130 * MSEC };
	struct iovec iov = { .iov_base = &iov, .iov_len = sizeof(iov) };
	struct kipc_msg msg;
	char buf[64];

	EXPECT_EQ(-EAGAIN, kipc_queue_get(self->q, buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_take(self->q, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_get_many(self->q, &iov, 1, KIPC_NOWAIT));
	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		int64_t start = ksft_now_ns();

		expect_timeout((int)kipc_queue_get(self->q, buf, sizeof(buf), timeouts[i]), start,
			       timeouts[i]);
		start = ksft_now_ns();
		expect_timeout(kipc_queue_take(self->q, &msg, timeouts[i]), start, timeouts[i]);
		start = ksft_now_ns();
		expect_timeout(kipc_queue_get_many(self->q, &iov, 1, timeouts[i]), start,
			       timeouts[i]);
	}
	EXPECT_EQ(0, sleepers(self->q, KIPC_QUEUE_BELL_READABLE));
	check_works(self->q);
}

TEST_F(edge, full)
{
	static const int64_t timeouts[] = { 1, 1000, 100000, 3 * MSEC, 130 * MSEC };
	uint64_t v = 9;
	struct iovec iov = { .iov_base = &v, .iov_len = sizeof(v) };
	struct kipc_msg msg;

	EXPECT_EQ(3, fill(self->q, 0));
	EXPECT_EQ(-EAGAIN, put_u64(self->q, 9, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_reserve(self->q, 8, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_put_many(self->q, &iov, 1, KIPC_NOWAIT));
	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		int64_t start = ksft_now_ns();

		expect_timeout(put_u64(self->q, 9, timeouts[i]), start, timeouts[i]);
		start = ksft_now_ns();
		expect_timeout(kipc_queue_reserve(self->q, 8, &msg, timeouts[i]), start,
			       timeouts[i]);
		start = ksft_now_ns();
		expect_timeout(kipc_queue_put_many(self->q, &iov, 1, timeouts[i]), start,
			       timeouts[i]);
	}
	EXPECT_EQ(0, sleepers(self->q, KIPC_QUEUE_BELL_WRITABLE));
	EXPECT_EQ(3, kipc_queue_len(self->q));
	EXPECT_EQ(3, drain(self->q, 0));
	check_works(self->q);
}

/* Any negative timeout is for ever, and the longest one doesn't overflow. */
static int get_for_long(void *arg)
{
	return get_u64(arg, INT64_MAX) == 1 && get_u64(arg, KIPC_FOREVER) == 2 &&
		       get_u64(arg, INT64_MIN) == 3 ?
		       0 :
		       1;
}

TEST_F(edge, for_ever)
{
	struct ksft_thread t;

	ksft_thread_start(&t, get_for_long, self->q);
	for (uint64_t i = 1; i <= 3; i++) {
		ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_READABLE, t.tid));
		EXPECT_EQ(1, stat_of(self->q).readers_waiting);
		EXPECT_EQ(0, put_u64(self->q, i, KIPC_NOWAIT));
		ASSERT_TRUE(ksft_wait_for(kipc_queue_empty(self->q) == 1, 10000));
	}
	ksft_thread_join(&t);
	EXPECT_EQ(0, stat_of(self->q).readers_waiting);
}

static int put_one(void *arg)
{
	return put_u64(arg, 3, KIPC_FOREVER);
}

TEST_F(edge, full_for_ever)
{
	struct ksft_thread t;

	EXPECT_EQ(3, fill(self->q, 0));
	ksft_thread_start(&t, put_one, self->q);
	ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_WRITABLE, t.tid));
	EXPECT_EQ(1, stat_of(self->q).writers_waiting);
	EXPECT_EQ(0, get_u64(self->q, KIPC_NOWAIT));
	ksft_thread_join(&t);
	EXPECT_EQ(3, drain(self->q, 1));
	EXPECT_EQ(0, stat_of(self->q).writers_waiting);
}

/* What is there is had without waiting, whatever the timeout says. */
TEST_F(edge, nothing_to_wait_for)
{
	EXPECT_EQ(0, put_u64(self->q, 1, KIPC_FOREVER));
	EXPECT_EQ(0, put_u64(self->q, 2, 1));
	EXPECT_EQ(1, get_u64(self->q, KIPC_FOREVER));
	EXPECT_EQ(2, get_u64(self->q, 1));
	EXPECT_EQ(0, rings(self->q, KIPC_QUEUE_BELL_READABLE));
	EXPECT_EQ(0, rings(self->q, KIPC_QUEUE_BELL_WRITABLE));
}

TEST_HARNESS_MAIN
