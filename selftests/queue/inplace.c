// SPDX-License-Identifier: MIT
/* In place: reserve, commit, abort; take, done, requeue. */
#include <sched.h>

#include "queue_test.h"

static void reserve(struct kipc_queue *q, size_t len, struct kipc_msg *msg)
{
	ASSERT_EQ(0, kipc_queue_reserve(q, len, msg, KIPC_NOWAIT));
}

static void commit_u64(struct kipc_queue *q, struct kipc_msg *msg, uint64_t v)
{
	memcpy(msg->data, &v, sizeof(v));
	ASSERT_EQ(0, kipc_queue_commit(q, msg));
}

static uint64_t take(struct kipc_queue *q, struct kipc_msg *msg)
{
	ASSERT_EQ(0, kipc_queue_take(q, msg, KIPC_NOWAIT));
	return (uint64_t)msg_u64(msg);
}

/* Fewer bytes than reserved, wherever the border between cell and payload lies. */
TEST(shorter_commit)
{
	struct kipc_queue *q = make_queue(3, 1000);
	static const size_t sizes[] = { 0, 1, 111, 112, 113, 500, 1000 };
	uint8_t in[1000], out[1000];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 13 + 1);
	for (size_t r = 0; r < ARRAY_SIZE(sizes); r++)
		for (size_t c = 0; c <= r; c++) {
			struct kipc_msg msg;

			reserve(q, sizes[r], &msg);
			memcpy(msg.data, in, sizes[c]);
			msg.len = sizes[c];
			ASSERT_EQ(0, kipc_queue_commit(q, &msg));
			EXPECT_EQ(NULL, msg.data);
			memset(out, 0, sizeof(out));
			ASSERT_EQ(sizes[c], kipc_queue_get(q, out, sizeof(out), KIPC_NOWAIT));
			EXPECT_MEMEQ(in, out, sizes[c]);
		}
	kipc_queue_close(q);
}

TEST(longer_commit)
{
	struct kipc_queue *q = make_queue(3, 1000);
	struct kipc_msg msg;
	char out[1000];

	/* the room that was given ends at the cell's end */
	reserve(q, 10, &msg);
	memset(msg.data, 'x', 10);
	msg.len = 113;
	EXPECT_EQ(-EMSGSIZE, kipc_queue_commit(q, &msg));
	msg.len = 1001;
	EXPECT_EQ(-EMSGSIZE, kipc_queue_commit(q, &msg));
	msg.len = SIZE_MAX;
	EXPECT_EQ(-EMSGSIZE, kipc_queue_commit(q, &msg));
	/* the reservation stays */
	EXPECT_EQ(-EAGAIN, kipc_queue_get(q, out, sizeof(out), KIPC_NOWAIT));
	msg.len = 10;
	EXPECT_EQ(0, kipc_queue_commit(q, &msg));
	EXPECT_EQ(10, kipc_queue_get(q, out, sizeof(out), KIPC_NOWAIT));
	EXPECT_EQ('x', out[9]);
	kipc_queue_close(q);
}

/* Not a claim of ours (any more, or yet), or made up. */
TEST(strangers)
{
	struct kipc_queue *q = make_queue(3, 1000), *other = make_queue(3, 1000);
	struct kipc_msg made_up = { 0 }, msg, copy;
	char out[8];

	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, &made_up));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(q, &made_up));
	EXPECT_EQ(-EINVAL, kipc_queue_done(q, &made_up));
	EXPECT_EQ(-EINVAL, kipc_queue_requeue(q, &made_up));
	made_up.position = 3;	/* no such index: two bits, three cells */
	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, &made_up));
	EXPECT_EQ(-EINVAL, kipc_queue_done(q, &made_up));
	made_up.position = UINT64_MAX;
	EXPECT_EQ(-EINVAL, kipc_queue_abort(q, &made_up));
	EXPECT_EQ(-EINVAL, kipc_queue_requeue(q, &made_up));

	reserve(q, 8, &msg);
	copy = msg;
	EXPECT_EQ(-EINVAL, kipc_queue_commit(other, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_done(q, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_requeue(q, &copy));
	commit_u64(q, &msg, 1);
	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(q, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_done(q, &copy));

	EXPECT_EQ(1, take(q, &msg));
	copy = msg;
	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(q, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_done(other, &copy));
	EXPECT_EQ(0, kipc_queue_done(q, &msg));
	EXPECT_EQ(NULL, msg.data);
	EXPECT_EQ(-EINVAL, kipc_queue_done(q, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_requeue(q, &copy));

	reserve(q, 8, &msg);
	copy = msg;
	EXPECT_EQ(0, kipc_queue_abort(q, &msg));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(q, &copy));
	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, &copy));

	/* the same cell, a lap later */
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
		EXPECT_EQ(8, kipc_queue_get(q, out, sizeof(out), KIPC_NOWAIT));
	}
	reserve(q, 8, &msg);
	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, &copy));
	EXPECT_EQ(0, kipc_queue_abort(q, &msg));
	check_works(q);
	kipc_queue_close(q);
	kipc_queue_close(other);
}

/* Reserved ones hold up what comes after them, and only that. */
TEST(order_of_reservations)
{
	struct kipc_queue *q = make_queue(4, 8);
	struct kipc_msg a, b, c;

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	reserve(q, 8, &a);
	reserve(q, 8, &b);
	reserve(q, 8, &c);
	EXPECT_EQ(4, kipc_queue_len(q));
	EXPECT_EQ(-EAGAIN, put_u64(q, 9, KIPC_NOWAIT));
	commit_u64(q, &c, 4);
	EXPECT_EQ(1, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	commit_u64(q, &a, 2);
	EXPECT_EQ(2, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	commit_u64(q, &b, 3);
	EXPECT_EQ(2, drain(q, 3));
	check_works(q);
	kipc_queue_close(q);
}

/* Aborted places are passed over, however many, and cost nothing later. */
TEST(abort_laps_on_end)
{
	static const uint32_t capacities[] = { 1, 2, 3, 7, 8, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(capacities); i++) {
		for (uint32_t n = 0; n <= 4; n++) {
			struct kipc_queue *q = make_queue(capacities[i], 8);
			struct kipc_msg msg;

			for (uint32_t k = 0; k < n * capacities[i] + n % 2; k++) {
				reserve(q, 8, &msg);
				ASSERT_EQ(0, kipc_queue_abort(q, &msg));
			}
			EXPECT_EQ(0, put_u64(q, 5, KIPC_NOWAIT));
			EXPECT_EQ(1, kipc_queue_len(q));
			EXPECT_EQ(5, get_u64(q, KIPC_NOWAIT));
			EXPECT_EQ(n * capacities[i] + n % 2, stat_of(q).skipped);
			check_works(q);
			kipc_queue_close(q);
		}
	}
}

/* Without anybody looking in between, a get has to catch up by itself. */
TEST(get_after_abort_laps)
{
	for (uint32_t capacity = 1; capacity <= 5; capacity++) {
		for (uint32_t n = 1; n < 6 * capacity; n++) {
			struct kipc_queue *q = make_queue(capacity, 8);
			struct kipc_msg msg;

			for (uint32_t k = 0; k < n; k++) {
				reserve(q, 8, &msg);
				ASSERT_EQ(0, kipc_queue_abort(q, &msg));
			}
			for (uint32_t k = 0; k < capacity; k++)
				EXPECT_EQ(0, put_u64(q, k, KIPC_NOWAIT));
			if (!EXPECT_EQ(capacity, drain(q, 0)))
				ksft_log("capacity %u, %u aborted", capacity, n);
			kipc_queue_close(q);
		}
	}
}

/* Places that were given up between messages don't count as messages. */
TEST(len_with_aborted_in_between)
{
	struct kipc_queue *q = make_queue(5, 8);
	struct kipc_msg a, b;

	for (uint64_t round = 0; round < 12; round++) {
		EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
		reserve(q, 8, &a);
		reserve(q, 8, &b);
		EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
		EXPECT_EQ(4, kipc_queue_len(q));
		EXPECT_EQ(0, kipc_queue_abort(q, &a));
		EXPECT_EQ(3, kipc_queue_len(q));
		EXPECT_EQ(0, kipc_queue_abort(q, &b));
		EXPECT_EQ(2, kipc_queue_len(q));
		EXPECT_EQ(1, get_u64(q, KIPC_NOWAIT));
		EXPECT_EQ(1, kipc_queue_len(q));
		EXPECT_EQ(0, kipc_queue_empty(q));
		EXPECT_EQ(2, get_u64(q, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_queue_len(q));
		/* and so that the round begins at each index */
		EXPECT_EQ(0, put_u64(q, 3, KIPC_NOWAIT));
		EXPECT_EQ(1, kipc_queue_len(q));
		EXPECT_EQ(3, get_u64(q, KIPC_NOWAIT));
	}
	EXPECT_EQ(24, stat_of(q).skipped);
	check_works(q);
	kipc_queue_close(q);
}

/* A taken message takes room until it is acknowledged, in any order. */
TEST(done_out_of_order)
{
	struct kipc_queue *q = make_queue(4, 8);
	struct kipc_msg m[4];

	for (int round = 0; round < 6; round++) {
		EXPECT_EQ(4, fill(q, 0));
		for (uint64_t i = 0; i < 4; i++)
			EXPECT_EQ(i, take(q, &m[i]));
		EXPECT_EQ(0, kipc_queue_len(q));
		EXPECT_EQ(1, kipc_queue_full(q));
		EXPECT_EQ(0, kipc_queue_done(q, &m[2]));
		EXPECT_EQ(0, kipc_queue_done(q, &m[1]));
		EXPECT_EQ(0, kipc_queue_done(q, &m[3]));
		/* the place that comes next is still taken */
		EXPECT_EQ(-EAGAIN, put_u64(q, 9, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_queue_done(q, &m[0]));
		check_works(q);
		EXPECT_EQ(0, put_u64(q, 9, KIPC_NOWAIT));
		EXPECT_EQ(9, get_u64(q, KIPC_NOWAIT));
	}
	kipc_queue_close(q);
}

/* Returned messages come first, oldest first, flagged, with their bytes. */
TEST(requeue)
{
	struct kipc_queue *q = make_queue(5, 8);
	struct kipc_msg m[5], again;

	for (uint64_t round = 0; round < 7; round++) {
		EXPECT_EQ(5, fill(q, 0));
		for (uint64_t i = 0; i < 4; i++)
			EXPECT_EQ(i, take(q, &m[i]));
		EXPECT_EQ(0, kipc_queue_requeue(q, &m[3]));
		EXPECT_EQ(NULL, m[3].data);
		EXPECT_EQ(-EINVAL, kipc_queue_requeue(q, &m[3]));
		EXPECT_EQ(0, kipc_queue_requeue(q, &m[1]));
		EXPECT_EQ(3, kipc_queue_len(q));
		EXPECT_EQ(0, kipc_queue_empty(q));
		EXPECT_EQ(1, take(q, &again));
		EXPECT_EQ(KIPC_MSG_REDELIVERED, again.flags);
		EXPECT_EQ(0, kipc_queue_requeue(q, &again));
		EXPECT_EQ(1, take(q, &again));
		EXPECT_EQ(0, kipc_queue_done(q, &again));
		EXPECT_EQ(3, take(q, &again));
		EXPECT_EQ(KIPC_MSG_REDELIVERED, again.flags);
		EXPECT_EQ(0, kipc_queue_done(q, &again));
		EXPECT_EQ(4, take(q, &again));
		EXPECT_EQ(0, again.flags);
		EXPECT_EQ(0, kipc_queue_done(q, &again));
		EXPECT_EQ(0, kipc_queue_done(q, &m[2]));
		EXPECT_EQ(0, kipc_queue_done(q, &m[0]));
		EXPECT_EQ(3 * (round + 1), stat_of(q).redelivered);
		EXPECT_EQ(0, put_u64(q, 7, KIPC_NOWAIT));
		EXPECT_EQ(7, get_u64(q, KIPC_NOWAIT));
	}
	check_works(q);
	kipc_queue_close(q);
}

TEST(requeued_and_too_long_for_the_buffer)
{
	struct kipc_queue *q = make_queue(3, 100);
	struct kipc_msg msg;
	char buf[100];

	EXPECT_EQ(0, kipc_queue_put(q, "long message", 12, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_requeue(q, &msg));
	EXPECT_EQ(-EMSGSIZE, kipc_queue_get(q, buf, 11, KIPC_FOREVER));
	EXPECT_EQ(1, kipc_queue_len(q));
	EXPECT_EQ(12, kipc_queue_get(q, buf, 12, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_len(q));
	kipc_queue_close(q);
}

struct waiter {
	struct kipc_queue *q;
	int64_t want;
	uint32_t flags;
};

static int take_it(void *arg)
{
	struct waiter *w = arg;
	struct kipc_msg msg;
	int r = kipc_queue_take(w->q, &msg, LONG_NS);

	if (r)
		return r;
	if (msg_u64(&msg) != w->want || msg.flags != w->flags)
		return 1;
	return kipc_queue_done(w->q, &msg);
}

FIXTURE(blocked)
{
	struct waiter w;
	struct ksft_peer peer;
};

FIXTURE_VARIANT(blocked)
{
	enum ksft_peer_kind kind;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(blocked, thread){ .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(blocked, process){ .kind = KSFT_PROCESS };
FIXTURE_VARIANT_ADD(blocked, thread_ppoll){ .kind = KSFT_THREAD, .ppoll = true };

FIXTURE_SETUP(blocked)
{
	if (variant->ppoll)
		without_io_uring();
	self->w.q = make_queue(3, 8);
}

FIXTURE_TEARDOWN(blocked)
{
	kipc_queue_close(self->w.q);
}

/* Waits at a reserved place, and goes on with the next message when that is given up. */
TEST_F(blocked, abort)
{
	struct kipc_msg msg;
	uint64_t before;

	reserve(self->w.q, 8, &msg);
	EXPECT_EQ(0, put_u64(self->w.q, 2, KIPC_NOWAIT));
	self->w.want = 2;
	ksft_peer_start(&self->peer, variant->kind, take_it, &self->w);
	ASSERT_TRUE(asleep_at(self->w.q, KIPC_QUEUE_BELL_READABLE, self->peer.id));
	before = rings(self->w.q, KIPC_QUEUE_BELL_READABLE);
	EXPECT_EQ(0, kipc_queue_abort(self->w.q, &msg));
	/* it is told, and needn't wait for a tick */
	EXPECT_EQ(before + 1, rings(self->w.q, KIPC_QUEUE_BELL_READABLE));
	ksft_peer_join(&self->peer);
	check_works(self->w.q);
}

TEST_F(blocked, commit)
{
	struct kipc_msg msg;
	uint64_t before;

	reserve(self->w.q, 8, &msg);
	self->w.want = 1;
	ksft_peer_start(&self->peer, variant->kind, take_it, &self->w);
	ASSERT_TRUE(asleep_at(self->w.q, KIPC_QUEUE_BELL_READABLE, self->peer.id));
	before = rings(self->w.q, KIPC_QUEUE_BELL_READABLE);
	commit_u64(self->w.q, &msg, 1);
	/* it is told, and needn't wait for a tick */
	EXPECT_EQ(before + 1, rings(self->w.q, KIPC_QUEUE_BELL_READABLE));
	ksft_peer_join(&self->peer);
	check_works(self->w.q);
}

TEST_F(blocked, requeue)
{
	struct kipc_msg msg;
	uint64_t before;

	EXPECT_EQ(0, put_u64(self->w.q, 6, KIPC_NOWAIT));
	EXPECT_EQ(6, take(self->w.q, &msg));
	self->w.want = 6;
	self->w.flags = KIPC_MSG_REDELIVERED;
	ksft_peer_start(&self->peer, variant->kind, take_it, &self->w);
	ASSERT_TRUE(asleep_at(self->w.q, KIPC_QUEUE_BELL_READABLE, self->peer.id));
	before = rings(self->w.q, KIPC_QUEUE_BELL_READABLE);
	EXPECT_EQ(0, kipc_queue_requeue(self->w.q, &msg));
	/* it is told, and needn't wait for a tick */
	EXPECT_EQ(before + 1, rings(self->w.q, KIPC_QUEUE_BELL_READABLE));
	ksft_peer_join(&self->peer);
	check_works(self->w.q);
}

static int reserve_one(void *arg)
{
	struct waiter *w = arg;
	struct kipc_msg msg;
	int r = kipc_queue_reserve(w->q, 8, &msg, LONG_NS);

	if (!r) {
		memcpy(msg.data, &w->want, 8);
		r = kipc_queue_commit(w->q, &msg);
	}
	return r;
}

/* A producer waits for the acknowledgement, not for the taking. */
TEST_F(blocked, done)
{
	struct kipc_msg msg;
	uint64_t before;

	EXPECT_EQ(3, fill(self->w.q, 0));
	self->w.want = 3;
	ksft_peer_start(&self->peer, variant->kind, reserve_one, &self->w);
	ASSERT_TRUE(asleep_at(self->w.q, KIPC_QUEUE_BELL_WRITABLE, self->peer.id));
	EXPECT_EQ(0, take(self->w.q, &msg));
	EXPECT_EQ(-EAGAIN, put_u64(self->w.q, 9, KIPC_NOWAIT));
	before = rings(self->w.q, KIPC_QUEUE_BELL_WRITABLE);
	EXPECT_EQ(0, kipc_queue_done(self->w.q, &msg));
	/* it is told, and needn't wait for a tick */
	EXPECT_EQ(before + 1, rings(self->w.q, KIPC_QUEUE_BELL_WRITABLE));
	ksft_peer_join(&self->peer);
	EXPECT_EQ(3, drain(self->w.q, 1));
	check_works(self->w.q);
}

/* Room that an aborted reservation took is room again. */
TEST_F(blocked, abort_makes_room)
{
	struct kipc_msg msg;
	uint64_t before;

	EXPECT_EQ(0, put_u64(self->w.q, 0, KIPC_NOWAIT));
	EXPECT_EQ(0, get_u64(self->w.q, KIPC_NOWAIT));
	reserve(self->w.q, 8, &msg);
	EXPECT_EQ(2, fill(self->w.q, 1));
	self->w.want = 3;
	ksft_peer_start(&self->peer, variant->kind, reserve_one, &self->w);
	ASSERT_TRUE(asleep_at(self->w.q, KIPC_QUEUE_BELL_WRITABLE, self->peer.id));
	before = rings(self->w.q, KIPC_QUEUE_BELL_WRITABLE);
	EXPECT_EQ(0, kipc_queue_abort(self->w.q, &msg));
	/* it is told, and needn't wait for a tick */
	EXPECT_EQ(before + 1, rings(self->w.q, KIPC_QUEUE_BELL_WRITABLE));
	ksft_peer_join(&self->peer);
	EXPECT_EQ(3, drain(self->w.q, 1));
	check_works(self->w.q);
}

struct twice {
	struct kipc_queue *q;
	struct kipc_msg msg;
	int (*end)(struct kipc_queue *q, struct kipc_msg *msg);
	uint32_t go, ready, ended, rounds;
};

static int end_it(void *arg)
{
	struct twice *t = arg;

	for (uint32_t round = 1; round <= t->rounds; round++) {
		struct kipc_msg copy;

		/* as close together as can be, unless there is a single CPU */
		for (uint32_t spins = 0; load_acquire(&t->go) != round; spins++)
			if (spins > 5000)
				sched_yield();
		copy = t->msg;
		if (!t->end(t->q, &copy))
			fetch_add(&t->ended, 1);
		fetch_add(&t->ready, 1);
	}
	return 0;
}

static void both_ended(struct twice *t, uint32_t round)
{
	while (load_acquire(&t->ready) != 2 * round)
		sched_yield();
	ASSERT_EQ(round, t->ended);	/* each once */
}

static void race(struct twice *t)
{
	struct ksft_thread a, b;

	t->q = make_queue(1, 8);
	t->rounds = ksft_slow() ? 200 : 2000;
	ksft_thread_start(&a, end_it, t);
	ksft_thread_start(&b, end_it, t);
	for (uint32_t round = 1; round <= t->rounds; round++) {
		struct kipc_msg msg;

		if (t->end == kipc_queue_commit || t->end == kipc_queue_abort) {
			reserve(t->q, 8, &t->msg);
		} else {
			ASSERT_EQ(0, put_u64(t->q, round, KIPC_NOWAIT));
			take(t->q, &t->msg);
		}
		store_release(&t->go, round);
		/* meanwhile the place is used again, as soon as it is free */
		if (t->end == kipc_queue_done || t->end == kipc_queue_abort) {
			ASSERT_EQ(0, put_u64(t->q, round, LONG_NS));
			both_ended(t, round);
			ASSERT_EQ(round, get_u64(t->q, KIPC_NOWAIT));
		} else if (t->end == kipc_queue_commit) {
			ASSERT_EQ(0, kipc_queue_take(t->q, &msg, LONG_NS));
			both_ended(t, round);
			ASSERT_EQ(0, kipc_queue_done(t->q, &msg));
		} else {
			/* taken again by this process it would be the same claim: not yet */
			both_ended(t, round);
			ASSERT_EQ(round, get_u64(t->q, KIPC_NOWAIT));
		}
	}
	ksft_thread_join(&a);
	ksft_thread_join(&b);
	check_works(t->q);
	kipc_queue_close(t->q);
}

/* Two threads end the same claim at once: one of them does, and nobody else's is harmed. */
TEST(done_twice_at_once)
{
	race(&(struct twice){ .end = kipc_queue_done });
}

TEST(requeue_twice_at_once)
{
	race(&(struct twice){ .end = kipc_queue_requeue });
}

TEST(commit_twice_at_once)
{
	race(&(struct twice){ .end = kipc_queue_commit });
}

TEST(abort_twice_at_once)
{
	race(&(struct twice){ .end = kipc_queue_abort });
}

struct claim_of {
	struct kipc_queue *q;
	struct kipc_msg msg;
};

static int end_in_thread(void *arg)
{
	struct claim_of *c = arg;

	return kipc_queue_done(c->q, &c->msg);
}

static int commit_in_thread(void *arg)
{
	struct claim_of *c = arg;

	return kipc_queue_commit(c->q, &c->msg);
}

/* A claim belongs to the process: another thread may end it, */
TEST(another_thread)
{
	struct claim_of c = { .q = make_queue(2, 8) };
	struct ksft_thread t;

	reserve(c.q, 8, &c.msg);
	memcpy(c.msg.data, &(uint64_t){ 3 }, 8);
	ksft_thread_start(&t, commit_in_thread, &c);
	ksft_thread_join(&t);
	EXPECT_EQ(3, take(c.q, &c.msg));
	ksft_thread_start(&t, end_in_thread, &c);
	ksft_thread_join(&t);
	check_works(c.q);
	kipc_queue_close(c.q);
}

/* ... but no other process. */
static int end_in_process(void *arg)
{
	struct claim_of *c = arg;

	EXPECT_EQ(-EINVAL, kipc_queue_commit(c[0].q, &c[0].msg));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(c[0].q, &c[0].msg));
	EXPECT_EQ(-EINVAL, kipc_queue_done(c[1].q, &c[1].msg));
	EXPECT_EQ(-EINVAL, kipc_queue_requeue(c[1].q, &c[1].msg));
	return 0;
}

TEST(another_process)
{
	struct claim_of c[2];

	c[0].q = c[1].q = make_queue(2, 8);
	EXPECT_EQ(0, put_u64(c[0].q, 1, KIPC_NOWAIT));
	reserve(c[0].q, 8, &c[0].msg);
	EXPECT_EQ(1, take(c[0].q, &c[1].msg));
	ksft_join(ksft_fork(end_in_process, c));
	commit_u64(c[0].q, &c[0].msg, 2);
	EXPECT_EQ(0, kipc_queue_done(c[0].q, &c[1].msg));
	EXPECT_EQ(2, get_u64(c[0].q, KIPC_NOWAIT));
	check_works(c[0].q);
	kipc_queue_close(c[0].q);
}

TEST_HARNESS_MAIN
