// SPDX-License-Identifier: MIT
/* KIPC_OVERFLOW_DROP_OLDEST: a put makes room, what went is counted, and nothing goes in vain. */
#include "queue_test.h"

static struct kipc_queue *make_dropping(uint32_t capacity, uint64_t msg_size)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = msg_size,
		  .overflow = KIPC_OVERFLOW_DROP_OLDEST);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	return q;
}

TEST(the_oldest_go)
{
	static const uint32_t capacities[] = { 1, 2, 3, 7, 8 };

	for (size_t i = 0; i < ARRAY_SIZE(capacities); i++) {
		uint32_t n = capacities[i];
		struct kipc_queue *q = make_dropping(n, 8);

		for (uint64_t k = 0; k < 5 * n + 2; k++) {
			EXPECT_EQ(0, put_u64(q, k, k % 2 ? KIPC_NOWAIT : KIPC_FOREVER));
			EXPECT_EQ(min_of(k + 1, (uint64_t)n), kipc_queue_len(q));
		}
		EXPECT_EQ(4 * n + 2, stat_of(q).dropped);
		EXPECT_EQ(1, kipc_queue_full(q));
		EXPECT_EQ(n, drain(q, 4 * n + 2));
		EXPECT_EQ(0, kipc_queue_len(q));
		EXPECT_EQ(0, kipc_queue_join(q, KIPC_NOWAIT));
		/* and as any other as long as there is room */
		for (uint64_t k = 0; k < n; k++)
			EXPECT_EQ(0, put_u64(q, k, KIPC_NOWAIT));
		EXPECT_EQ(n, drain(q, 0));
		EXPECT_EQ(4 * n + 2, stat_of(q).dropped);
		kipc_queue_close(q);
	}
}

TEST(reservations_make_room_too)
{
	struct kipc_queue *q = make_dropping(2, 300);
	struct kipc_msg msg;

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_reserve(q, 300, &msg, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(q).dropped);
	memcpy(msg.data, &(uint64_t){ 3 }, 8);
	msg.len = 8;
	EXPECT_EQ(0, kipc_queue_commit(q, &msg));
	EXPECT_EQ(2, drain(q, 2));
	kipc_queue_close(q);
}

/* While the oldest place is held, dropping others would make no room: none is dropped. */
TEST(held_place)
{
	struct kipc_queue *q = make_dropping(4, 8);
	struct kipc_msg msg;

	for (uint64_t i = 0; i < 4; i++)
		EXPECT_EQ(0, put_u64(q, i, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, put_u64(q, 9, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, put_u64(q, 9, 2 * MSEC));
	EXPECT_EQ(0, stat_of(q).dropped);
	EXPECT_EQ(3, kipc_queue_len(q));
	/* given back, it is the oldest again */
	EXPECT_EQ(0, kipc_queue_requeue(q, &msg));
	EXPECT_EQ(0, put_u64(q, 4, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(q).dropped);
	EXPECT_EQ(4, drain(q, 1));

	EXPECT_EQ(0, kipc_queue_reserve(q, 8, &msg, KIPC_NOWAIT));
	for (uint64_t i = 1; i < 4; i++)
		EXPECT_EQ(0, put_u64(q, i, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, put_u64(q, 9, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(q).dropped);
	EXPECT_EQ(0, kipc_queue_abort(q, &msg));
	EXPECT_EQ(0, put_u64(q, 4, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(q).dropped);
	EXPECT_EQ(4, drain(q, 1));
	kipc_queue_close(q);
}

static int put_nine(void *arg)
{
	return put_u64(arg, 9, KIPC_FOREVER);
}

FIXTURE(blocked)
{
	struct kipc_queue *q;
	struct ksft_peer peer;
	struct kipc_msg msg;
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
	self->q = make_dropping(2, 8);
}

FIXTURE_TEARDOWN(blocked)
{
	kipc_queue_close(self->q);
}

/* A blocked put goes on as soon as what it waits for may be dropped, not only when there is room. */
TEST_F(blocked, until_committed)
{
	ASSERT_EQ(0, kipc_queue_reserve(self->q, 8, &self->msg, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(self->q, 2, KIPC_NOWAIT));
	ksft_peer_start(&self->peer, variant->kind, put_nine, self->q);
	ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_WRITABLE, self->peer.id));
	EXPECT_EQ(0, kipc_queue_commit(self->q, &self->msg));
	ksft_peer_join(&self->peer);
	EXPECT_EQ(1, stat_of(self->q).dropped);
	EXPECT_EQ(2, get_u64(self->q, KIPC_NOWAIT));
	EXPECT_EQ(9, get_u64(self->q, KIPC_NOWAIT));
}

TEST_F(blocked, until_requeued)
{
	EXPECT_EQ(0, put_u64(self->q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(self->q, 2, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(self->q, &self->msg, KIPC_NOWAIT));
	ksft_peer_start(&self->peer, variant->kind, put_nine, self->q);
	ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_WRITABLE, self->peer.id));
	EXPECT_EQ(0, kipc_queue_requeue(self->q, &self->msg));
	ksft_peer_join(&self->peer);
	EXPECT_EQ(1, stat_of(self->q).dropped);
	EXPECT_EQ(2, get_u64(self->q, KIPC_NOWAIT));
	EXPECT_EQ(9, get_u64(self->q, KIPC_NOWAIT));
}

TEST_F(blocked, until_done)
{
	EXPECT_EQ(0, put_u64(self->q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(self->q, 2, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(self->q, &self->msg, KIPC_NOWAIT));
	ksft_peer_start(&self->peer, variant->kind, put_nine, self->q);
	ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_WRITABLE, self->peer.id));
	EXPECT_EQ(0, kipc_queue_done(self->q, &self->msg));
	ksft_peer_join(&self->peer);
	EXPECT_EQ(0, stat_of(self->q).dropped);
	EXPECT_EQ(2, get_u64(self->q, KIPC_NOWAIT));
	EXPECT_EQ(9, get_u64(self->q, KIPC_NOWAIT));
}

/* Producers that never wait beside slow consumers: put = got + dropped, and order holds. */
#define PER_PRODUCER 3000

struct shared {
	struct kipc_queue *q;
	uint64_t got, got_sum, wrong, waited;
};

struct producer {
	struct shared *s;
	uint64_t id;
};

static int produce(void *arg)
{
	struct producer *p = arg;

	for (uint64_t i = 0; i < PER_PRODUCER; i++) {
		int r = put_u64(p->s->q, p->id << 32 | i, LONG_NS);

		if (r)
			return r;
	}
	return 0;
}

static int consume(void *arg)
{
	struct shared *s = arg;
	int64_t last[3] = { -1, -1, -1 }, v;

	while ((v = get_u64(s->q, LONG_NS)) >= 0) {
		uint64_t id = (uint64_t)v >> 32;
		int64_t seq = v & 0xffffffff;

		if (id >= 3 || seq <= last[id])
			fetch_add(&s->wrong, 1);
		else
			last[id] = seq;
		fetch_add(&s->got, 1);
	}
	return v == -EPIPE ? 0 : (int)v;
}

static void lossy_traffic(enum ksft_peer_kind kind, uint32_t capacity)
{
	struct shared *s = ksft_shared(sizeof(*s));
	struct ksft_peer p[3], c[2];
	struct producer arg[3];

	s->q = make_dropping(capacity, 8);
	for (uint64_t i = 0; i < 3; i++) {
		arg[i] = (struct producer){ .s = s, .id = i };
		ksft_peer_start(&p[i], kind, produce, &arg[i]);
	}
	for (int i = 0; i < 2; i++)
		ksft_peer_start(&c[i], kind, consume, s);
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&p[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(s->q));
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&c[i]);
	EXPECT_EQ(0, s->wrong);
	EXPECT_EQ(3 * PER_PRODUCER, s->got + stat_of(s->q).dropped);
	EXPECT_EQ(3 * PER_PRODUCER, stat_of(s->q).put);
	kipc_queue_close(s->q);
}

TEST(threads)
{
	lossy_traffic(KSFT_THREAD, 1);
	lossy_traffic(KSFT_THREAD, 5);
}

TEST(processes)
{
	ksft_needs_processes();
	lossy_traffic(KSFT_PROCESS, 1);
	lossy_traffic(KSFT_PROCESS, 5);
}

TEST_HARNESS_MAIN
