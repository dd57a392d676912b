// SPDX-License-Identifier: MIT
/*
 * Positions and laps wrap: a queue that is set to the end of its numbers goes on as any other.
 *
 * Two borders: a cell's lap has lap_mask + 1 values; a position has 64 bits, of which the lap is
 * what the index leaves.
 */
#include "queue_test.h"

FIXTURE(wrap)
{
	struct kipc_queue *q;
	uint64_t lap; /* where to start: some laps before the border */
};

FIXTURE_VARIANT(wrap)
{
	uint32_t capacity;
	bool position; /* the border of the position, not of the cell */
};

#define BOTH(n)                                                                                    \
	FIXTURE_VARIANT_ADD(wrap, cells_##n){ .capacity = (n), .position = false };                \
	FIXTURE_VARIANT_ADD(wrap, positions_##n){ .capacity = (n), .position = true }

BOTH(1);
BOTH(2);
BOTH(3);
BOTH(7);
BOTH(8);
BOTH(1000);
BOTH(1024);
BOTH(1025);

FIXTURE_SETUP(wrap)
{
	self->q = make_queue(variant->capacity, 8);
	self->lap = variant->position && self->q->index_bits ? 1ULL << (64 - self->q->index_bits) :
		    variant->position			      ? 0 :
								self->q->lap_mask + 1;
	preset(self->q, self->lap - 3);
}

FIXTURE_TEARDOWN(wrap)
{
	kipc_queue_close(self->q);
}

TEST_F(wrap, full_and_empty)
{
	for (int lap = 0; lap < 6; lap++)
		check_works(self->q);
	EXPECT_EQ(0, pos_lap(self->q, self->q->sh->tail) & ~0xfULL);
}

/* Never full, never empty, at every offset. */
TEST_F(wrap, in_flight)
{
	uint64_t n = variant->capacity, put = 0, got = 0, total = 6 * n + 3;

	while (got < total) {
		while (put < total && put - got < n)
			ASSERT_EQ(0, put_u64(self->q, put++, KIPC_NOWAIT));
		EXPECT_EQ(put - got, kipc_queue_len(self->q));
		for (uint64_t k = n / 2 + 1; k && got < put; k--, got++)
			ASSERT_EQ(got, get_u64(self->q, KIPC_NOWAIT));
		EXPECT_EQ(put - got, kipc_queue_len(self->q));
	}
}

TEST_F(wrap, in_batches)
{
	uint64_t in[32], out[32], put = 0, got = 0, total = 6ULL * variant->capacity + 3;
	struct iovec iov[32];
	int r;

	while (got < total) {
		for (int i = 0; i < 32; i++) {
			in[i] = put + (uint64_t)i;
			iov[i] = (struct iovec){ &in[i], 8 };
		}
		r = kipc_queue_put_many(self->q, iov, (int)min_of((uint64_t)32, total - put + 1),
					KIPC_NOWAIT);
		if (r > 0)
			put += (uint64_t)r;
		for (int i = 0; i < 32; i++)
			iov[i] = (struct iovec){ &out[i], 8 };
		r = kipc_queue_get_many(self->q, iov, 32, KIPC_NOWAIT);
		ASSERT_GT(r, 0);
		for (int i = 0; i < r; i++)
			ASSERT_EQ(got++, out[i]);
	}
}

/* What is in progress while the numbers wrap: taken, returned and aborted ones, in every cell. */
TEST_F(wrap, claims)
{
	struct kipc_msg a, b;

	for (uint32_t i = 0; i < 6 * min_of(variant->capacity, 8u); i++) {
		ASSERT_EQ(0, kipc_queue_reserve(self->q, 8, &a, KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_queue_abort(self->q, &a));
		ASSERT_EQ(0, put_u64(self->q, i, KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_queue_take(self->q, &b, KIPC_NOWAIT));
		EXPECT_EQ(i, msg_u64(&b));
		EXPECT_EQ(0, b.flags);
		EXPECT_EQ(0, kipc_queue_requeue(self->q, &b));
		EXPECT_EQ(1, kipc_queue_len(self->q));
		EXPECT_EQ(-EAGAIN, kipc_queue_join(self->q, KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_queue_take(self->q, &b, KIPC_NOWAIT));
		EXPECT_EQ(i, msg_u64(&b));
		EXPECT_EQ(KIPC_MSG_REDELIVERED, b.flags);
		EXPECT_EQ(0, kipc_queue_done(self->q, &b));
		EXPECT_EQ(-EINVAL, kipc_queue_done(self->q, &b));
		EXPECT_EQ(0, kipc_queue_join(self->q, KIPC_NOWAIT));
		/* to the same place of the next lap */
		for (uint32_t k = 2; k < variant->capacity && variant->capacity <= 8; k++) {
			ASSERT_EQ(0, put_u64(self->q, 7, KIPC_NOWAIT));
			ASSERT_EQ(7, get_u64(self->q, KIPC_NOWAIT));
		}
	}
	for (int lap = 0; lap < 3 && variant->capacity > 8; lap++)
		check_works(self->q);
}

/* Consumers that are many laps behind (nothing but aborted reservations) catch up over the border. */
TEST_F(wrap, head_left_behind)
{
	struct kipc_msg msg;

	for (uint32_t i = 0; i < 5 * variant->capacity + 1; i++) {
		ASSERT_EQ(0, kipc_queue_reserve(self->q, 8, &msg, KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_queue_abort(self->q, &msg));
	}
	ASSERT_EQ(0, put_u64(self->q, 42, KIPC_NOWAIT));
	ASSERT_EQ(42, get_u64(self->q, KIPC_NOWAIT));
	check_works(self->q);
}

/* Where a position was, n before it. */
static uint64_t before(const struct kipc_queue *q, uint64_t pos, uint32_t n)
{
	for (; n; n--)
		pos = pos_index(q, pos) ?
			      pos - 1 :
			      ((pos >> q->index_bits) - 1) << q->index_bits | (q->capacity - 1);
	return pos;
}

/* Tail may be left behind, by nearly two rings at the worst; whatever comes next finds its end. */
TEST_F(wrap, tail_left_behind)
{
	uint32_t n = variant->capacity, most = 2 * n - 2, step = n > 8 ? n / 3 : 1;
	struct kipc_queue *q = self->q;

	/* so that there have been two laps */
	check_works(q);
	for (uint32_t lag = 0; lag <= most; lag += step)
		for (uint32_t left = 0; left <= n; left += n > 8 ? n : 1) {
			uint32_t there = left;

			for (uint64_t i = 0; i < left; i++)
				ASSERT_EQ(0, put_u64(q, i, KIPC_NOWAIT));
			q->sh->tail = before(q, q->sh->tail, lag);
			switch (lag % 4) {
			case 0:
				EXPECT_EQ(left, kipc_queue_len(q));
				break;
			case 1:
				EXPECT_EQ(left == n, kipc_queue_full(q));
				break;
			case 2:
				EXPECT_EQ(left ? -EAGAIN : 0, kipc_queue_join(q, KIPC_NOWAIT));
				break;
			default:
				EXPECT_EQ(left == n ? -ETIMEDOUT : 0, put_u64(q, left, 1));
				there += left < n;
			}
			EXPECT_EQ(n - there, fill(q, there));
			EXPECT_EQ(n, drain(q, 0));
		}
	check_works(q);
}

/* And head by any number. */
TEST_F(wrap, head_left_behind_messages)
{
	uint32_t n = variant->capacity, step = n > 8 ? n / 3 : 1;
	struct kipc_queue *q = self->q;

	for (int lap = 0; lap < 5; lap++)
		check_works(q);
	for (uint32_t lag = 0; lag <= 4 * n; lag += step) {
		EXPECT_EQ(n, fill(q, 0));
		q->sh->head = before(q, q->sh->head, lag);
		if (lag % 2)
			EXPECT_EQ(n, kipc_queue_len(q));
		EXPECT_EQ(n, drain(q, 0));
	}
	check_works(q);
}

TEST_HARNESS_MAIN
