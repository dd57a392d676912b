// SPDX-License-Identifier: MIT
/* put_many and get_many: whole, in part, mixed with single calls, and what they wait for. */
#include <limits.h>

#include "queue_test.h"

#define MAX 16

static uint64_t values[MAX];
static struct iovec vec[MAX];

/* values[i] = first + i, one in each iov. */
static struct iovec *numbers(uint64_t first)
{
	for (int i = 0; i < MAX; i++) {
		values[i] = first + (uint64_t)i;
		vec[i] = (struct iovec){ &values[i], sizeof(values[i]) };
	}
	return vec;
}

static void expect_numbers(uint64_t first, int n)
{
	for (int i = 0; i < n; i++) {
		EXPECT_EQ(first + (uint64_t)i, values[i]);
		EXPECT_EQ(8, vec[i].iov_len);
	}
	for (int i = n; i < MAX; i++)
		EXPECT_EQ(8, vec[i].iov_len);
}

static int get_many(struct kipc_queue *q, int n, int64_t timeout_ns)
{
	numbers(1000000);
	return kipc_queue_get_many(q, vec, n, timeout_ns);
}

TEST(whole_and_in_part)
{
	struct kipc_queue *q = make_queue(7, 8);

	EXPECT_EQ(3, kipc_queue_put_many(q, numbers(0), 3, KIPC_NOWAIT));
	EXPECT_EQ(4, kipc_queue_put_many(q, numbers(3), 4, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_put_many(q, numbers(7), 1, KIPC_NOWAIT));
	EXPECT_EQ(5, get_many(q, 5, KIPC_NOWAIT));
	expect_numbers(0, 5);
	/* room for five of eight */
	EXPECT_EQ(5, kipc_queue_put_many(q, numbers(7), 8, KIPC_NOWAIT));
	EXPECT_EQ(7, kipc_queue_len(q));
	EXPECT_EQ(7, get_many(q, MAX, KIPC_NOWAIT));
	expect_numbers(5, 7);
	EXPECT_EQ(-EAGAIN, get_many(q, MAX, KIPC_NOWAIT));
	kipc_queue_close(q);
}

/* More in one call than the ring holds: what fits, with any timeout. */
TEST(does_not_wait_for_the_rest)
{
	struct kipc_queue *q = make_queue(2, 8);

	EXPECT_EQ(2, kipc_queue_put_many(q, numbers(0), MAX, KIPC_FOREVER));
	EXPECT_EQ(2, get_many(q, MAX, KIPC_FOREVER));
	expect_numbers(0, 2);
	EXPECT_EQ(2, kipc_queue_put_many(q, numbers(0), MAX, 50 * MSEC));
	EXPECT_EQ(-ETIMEDOUT, kipc_queue_put_many(q, numbers(0), MAX, 5 * MSEC));
	EXPECT_EQ(2, get_many(q, MAX, 50 * MSEC));
	EXPECT_EQ(-ETIMEDOUT, get_many(q, MAX, 5 * MSEC));
	kipc_queue_close(q);
}

TEST(mixed_with_singles)
{
	static const uint32_t capacities[] = { 1, 2, 3, 7, 8 };

	for (size_t c = 0; c < ARRAY_SIZE(capacities); c++) {
		struct kipc_queue *q = make_queue(capacities[c], 8);
		uint64_t put = 0, got = 0;

		for (int i = 0; i < 500; i++) {
			int n = i % 5 + 1, r;

			if (i % 3 == 0) {
				if (put_u64(q, put, KIPC_NOWAIT) == 0)
					put++;
			} else {
				r = kipc_queue_put_many(q, numbers(put), n, KIPC_NOWAIT);
				EXPECT_EQ(put - got == capacities[c] ?
						  -EAGAIN :
						  (int)min_of((uint64_t)n,
							      capacities[c] - (put - got)),
					  r);
				put += r > 0 ? (uint64_t)r : 0;
			}
			if (i % 4 == 0) {
				if (get_u64(q, KIPC_NOWAIT) == (int64_t)got)
					got++;
			} else {
				r = get_many(q, 6 - n, KIPC_NOWAIT);
				if (r > 0) {
					expect_numbers(got, r);
					got += (uint64_t)r;
				}
			}
			EXPECT_EQ(put - got, kipc_queue_len(q));
		}
		EXPECT_GT(got, 400);
		kipc_queue_close(q);
	}
}

/* An invalid buffer anywhere in the list: nothing was put or taken. */
TEST(all_or_nothing_checks)
{
	struct kipc_queue *q = make_queue(7, 8);

	numbers(0)[2].iov_base = NULL;
	EXPECT_EQ(-EINVAL, kipc_queue_put_many(q, vec, 3, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_len(q));
	EXPECT_EQ(2, kipc_queue_put_many(q, vec, 2, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_get_many(q, vec, 3, KIPC_NOWAIT));
	EXPECT_EQ(2, kipc_queue_len(q));
	EXPECT_EQ(-EINVAL, kipc_queue_put_many(q, vec, INT_MIN, KIPC_NOWAIT));
	kipc_queue_close(q);
}

FIXTURE(peers)
{
	struct kipc_queue *q;
};

FIXTURE_VARIANT(peers)
{
	enum ksft_peer_kind kind;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(peers, threads){ .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(peers, processes){ .kind = KSFT_PROCESS };
FIXTURE_VARIANT_ADD(peers, threads_ppoll){ .kind = KSFT_THREAD, .ppoll = true };

FIXTURE_SETUP(peers)
{
	if (variant->ppoll)
		without_io_uring();
	self->q = make_queue(5, 8);
}

FIXTURE_TEARDOWN(peers)
{
	kipc_queue_close(self->q);
}

static int put_batches(void *arg)
{
	uint64_t in[8], next = 0;
	struct iovec iov[8];
	int r;

	while (next < 3000) {
		for (int i = 0; i < 8; i++) {
			in[i] = next + (uint64_t)i;
			iov[i] = (struct iovec){ &in[i], 8 };
		}
		r = kipc_queue_put_many(arg, iov, (int)min_of((uint64_t)8, 3000 - next), LONG_NS);
		if (r < 0)
			return r;
		next += (uint64_t)r;
	}
	return 0;
}

TEST_F(peers, batches_in_order)
{
	struct ksft_peer peer;
	uint64_t next = 0;

	ksft_peer_start(&peer, variant->kind, put_batches, self->q);
	while (next < 3000) {
		int r = get_many(self->q, (int)(next % 7) + 1, LONG_NS);

		ASSERT_GT(r, 0);
		expect_numbers(next, r);
		next += (uint64_t)r;
	}
	ksft_peer_join(&peer);
	EXPECT_EQ(1, kipc_queue_empty(self->q));
}

static int get_one(void *arg)
{
	return get_u64(arg, LONG_NS) >= 0 ? 0 : 1;
}

/* One ring for a whole batch, yet every sleeper that there is a message for wakes up. */
TEST_F(peers, one_batch_wakes_all)
{
	int64_t start, took = INT64_MAX;
	struct ksft_peer peer[4];

	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 4; i++)
			ksft_peer_start(&peer[i], variant->kind, get_one, self->q);
		for (int i = 0; i < 4; i++)
			ASSERT_TRUE(
				ksft_wait_for(sleepers(self->q, KIPC_QUEUE_BELL_READABLE) == 4 &&
						      ksft_asleep(peer[i].id),
					      10000));
		start = ksft_now_ns();
		EXPECT_EQ(4, kipc_queue_put_many(self->q, numbers(0), 4, KIPC_NOWAIT));
		for (int i = 0; i < 4; i++)
			ksft_peer_join(&peer[i]);
		took = min_of(took, ksft_now_ns() - start);
		EXPECT_EQ(0, kipc_queue_len(self->q));
	}
	/* the best of the rounds: a busy machine is slow, but only ticks are always so slow */
	EXPECT_LT(took, ksft_scale(40) * MSEC);
}

TEST_HARNESS_MAIN
