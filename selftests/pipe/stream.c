// SPDX-License-Identifier: MIT
/* Messages longer than the ring: whole, given up, cut by shutdown, beside others. */
#include "pipe_test.h"

FIXTURE(stream)
{
	struct kipc_pipe *e[2];
	struct ksft_peer peer;
	uint8_t *buf;
};

FIXTURE_VARIANT(stream)
{
	uint32_t flags;
	enum ksft_peer_kind peers;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(stream, threads){ .peers = KSFT_THREAD };
FIXTURE_VARIANT_ADD(stream, processes){ .peers = KSFT_PROCESS };
FIXTURE_VARIANT_ADD(stream, processes_ppoll){ .peers = KSFT_PROCESS, .ppoll = true };
FIXTURE_VARIANT_ADD(stream, exclusive){ .peers = KSFT_PROCESS, .flags = KIPC_PIPE_EXCLUSIVE };

#define BUF (1 << 20)

FIXTURE_SETUP(stream)
{
	pipe_use_ppoll(variant->ppoll);
	pipe_make(self->e, RING, variant->flags);
	self->buf = malloc(BUF);
}

FIXTURE_TEARDOWN(stream)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
	free(self->buf);
}

/* Lengths around what just fits, and long ones. */
static const size_t lens[] = { RING - 8, RING - 7, RING,    RING + 1, 2 * RING - 8, 2 * RING,
			       5 * RING, 0,	   BUF - 1, 100,      BUF };
#define NLENS (sizeof(lens) / sizeof(lens[0]))

static int send_all(void *arg)
{
	uint8_t *buf = malloc(BUF);

	for (size_t i = 0; i < NLENS; i++) {
		pipe_fill(buf, lens[i], i);
		EXPECT_EQ(0, kipc_pipe_send(arg, buf, lens[i], KIPC_FOREVER));
	}
	free(buf);
	return 0;
}

TEST_F(stream, every_length_arrives_whole)
{
	ksft_peer_start(&self->peer, variant->peers, send_all, self->e[0]);
	for (size_t i = 0; i < NLENS; i++) {
		ssize_t r = kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_FOREVER);

		ASSERT_EQ((ssize_t)lens[i], r);
		EXPECT_TRUE(pipe_check(self->buf, lens[i], i));
	}
	ksft_peer_join(&self->peer);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_NOWAIT));
}

struct one {
	struct kipc_pipe *p;
	size_t len;
	int64_t timeout_ns;
	int want;
};

static int send_it(void *arg)
{
	struct one *o = arg;
	uint8_t *buf = malloc(o->len);

	pipe_fill(buf, o->len, o->len);
	EXPECT_EQ(o->want, kipc_pipe_send(o->p, buf, o->len, o->timeout_ns));
	free(buf);
	return 0;
}

/* A length that doesn't fit the buffer consumes nothing, again and again. */
TEST_F(stream, too_small_a_buffer)
{
	struct one o = { self->e[0], 3 * RING, KIPC_FOREVER, 0 };
	struct kipc_pipe_msg msg;

	ksft_peer_start(&self->peer, variant->peers, send_it, &o);
	ASSERT_EQ(0, kipc_pipe_poll(self->e[1], KIPC_FOREVER));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-EMSGSIZE,
			  kipc_pipe_recv(self->e[1], self->buf, 3 * RING - 1, KIPC_FOREVER));
		msg.len = 0;
		EXPECT_EQ(-EMSGSIZE, kipc_pipe_peek(self->e[1], &msg, KIPC_FOREVER));
		EXPECT_EQ(3 * RING, msg.len);
	}
	EXPECT_EQ(3 * RING, kipc_pipe_recv(self->e[1], self->buf, 3 * RING, KIPC_NOWAIT));
	EXPECT_TRUE(pipe_check(self->buf, 3 * RING, 3 * RING));
	ksft_peer_join(&self->peer);
}

TEST_F(stream, without_waiting)
{
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_send(self->e[0], self->buf, RING - 7, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_NOWAIT));
}

/* One that times out was never sent, and others may follow at once. */
TEST_F(stream, timed_out)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };
	char c;

	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], self->buf, 2 * RING, MS));
		EXPECT_EQ(0, kipc_pipe_poll(self->e[1], KIPC_NOWAIT));
		if (i % 2) {
			/* the ring is full of the cut one: room comes with the receiver */
			EXPECT_EQ(-EAGAIN, kipc_pipe_send(self->e[0], "k", 1, KIPC_NOWAIT));
			EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_NOWAIT));
			EXPECT_EQ(0, kipc_pipe_send(self->e[0], "k", 1, KIPC_NOWAIT));
			EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
			EXPECT_EQ('k', c);
		} else {
			/* too small a buffer for what was cut is no error either */
			EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[1], &c, 1, MS));
		}
	}
	ASSERT_EQ(0, kipc_pipe_stat(self->e[0], &st));
	EXPECT_EQ(5, st.cuts);
	EXPECT_EQ(2, st.sent);
}

/* While the last cut is not behind the receiver, no new stream begins: one word says where it is. */
TEST_F(stream, two_cuts_in_a_row)
{
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "a", 1, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], self->buf, 2 * RING, MS));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], self->buf, 2 * RING, MS));
	EXPECT_EQ(1, self->e[0]->tx.shm->cuts);
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], self->buf, 2 * RING, MS));
	EXPECT_EQ(1, self->e[0]->tx.shm->cuts);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], self->buf, 2 * RING, MS));
	EXPECT_EQ(2, self->e[0]->tx.shm->cuts);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_NOWAIT));
}

static int recv_two(void *arg)
{
	struct kipc_pipe *p = arg;
	uint8_t *buf = malloc(BUF);

	/* the stream is cut while we are in the middle of it; the next message is what we get */
	EXPECT_EQ(5, kipc_pipe_recv(p, buf, BUF, KIPC_FOREVER));
	EXPECT_MEMEQ("after", buf, 5);
	EXPECT_EQ(2 * RING, kipc_pipe_recv(p, buf, BUF, KIPC_FOREVER));
	EXPECT_TRUE(pipe_check(buf, 2 * RING, 3));
	free(buf);
	return 0;
}

/* A sender that stops in mid-stream without dying: by hand, as its deadline would have it. */
TEST_F(stream, cut_under_a_receiver)
{
	struct kipc_pipe_way *s = self->e[0]->tx.shm;
	uint64_t head = s->head;
	uint8_t *ring = self->e[0]->tx.ring;

	/* a header of 3 rings and 1000 bytes of it */
	*(uint64_t *)(ring + (head & (RING - 1))) = 3 * RING;
	s->stream_end = (head + 8 + 3 * RING) | KIPC_PIPE_VALID;
	__atomic_store_n(&s->head, head + 1008, __ATOMIC_RELEASE);

	ksft_peer_start(&self->peer, variant->peers, recv_two, self->e[1]);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == head + 1008 &&
					  pipe_reader_sleeps(&self->e[0]->tx),
				  5000));
	__atomic_store_n(&s->cut, (head + 1008) | KIPC_PIPE_VALID, __ATOMIC_RELEASE);
	s->stream_end = 0;
	/* nothing rang: the send that follows does */
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "after", 5, KIPC_FOREVER));
	pipe_fill(self->buf, 2 * RING, 3);
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], self->buf, 2 * RING, KIPC_FOREVER));
	ksft_peer_join(&self->peer);
}

static int recv_pipe_closed(void *arg)
{
	uint8_t *buf = malloc(BUF);

	EXPECT_EQ(-EPIPE, kipc_pipe_recv(arg, buf, BUF, KIPC_FOREVER));
	free(buf);
	return 0;
}

/* Shutdown cuts a stream that waits for its receiver. */
TEST_F(stream, shutdown_in_the_middle)
{
	struct one o = { self->e[0], BUF, KIPC_FOREVER, -EPIPE };

	ksft_peer_start(&self->peer, variant->peers, send_it, &o);
	ASSERT_TRUE(ksft_wait_for(pipe_writer_sleeps(&self->e[0]->tx), 5000));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	ksft_peer_join(&self->peer);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], self->buf, BUF, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(self->e[0], self->buf, BUF, KIPC_FOREVER));
}

/* The same while the receiver is in it: dropped, then nothing more comes. */
TEST_F(stream, shutdown_under_a_receiver)
{
	struct kipc_pipe_way *s = self->e[0]->tx.shm;
	uint64_t head = s->head;
	uint8_t *ring = self->e[0]->tx.ring;

	*(uint64_t *)(ring + (head & (RING - 1))) = 3 * RING;
	__atomic_store_n(&s->head, head + 1008, __ATOMIC_RELEASE);
	ksft_peer_start(&self->peer, variant->peers, recv_pipe_closed, self->e[1]);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == head + 1008 &&
					  pipe_reader_sleeps(&self->e[0]->tx),
				  5000));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	__atomic_store_n(&s->cut, (head + 1008) | KIPC_PIPE_VALID, __ATOMIC_SEQ_CST);
	__kipc_bell_ring(self->e[0]->tx.readable);
	ksft_peer_join(&self->peer);
}

struct mixed {
	struct kipc_pipe *p;
	uint32_t id;
	int n;
	bool big;
};

static int send_mixed(void *arg)
{
	struct mixed *m = arg;
	size_t len = m->big ? 3 * RING : 64;
	uint8_t *buf = calloc(1, len);

	for (int i = 0; i < m->n; i++) {
		memcpy(buf, &m->id, 4);
		memcpy(buf + 4, &i, 4);
		EXPECT_EQ(0, kipc_pipe_send(m->p, buf, len, KIPC_FOREVER));
	}
	free(buf);
	return 0;
}

/* Streams and small messages of several peers on one end don't mix; the big ones don't starve. */
static void beside_small_messages(enum ksft_peer_kind kind)
{
	int n = ksft_slow() ? 50 : 400, next[3] = { 0 };
	struct kipc_pipe *e[2];
	struct mixed m[3];
	struct ksft_peer peers[3];
	uint8_t *buf = malloc(BUF);
	uint32_t id;
	int seq;

	pipe_make(e, RING, 0);
	for (uint32_t i = 0; i < 3; i++) {
		m[i] = (struct mixed){ e[0], i, i == 1 ? 10 * n : n, i != 1 };
		ksft_peer_start(&peers[i], kind, send_mixed, &m[i]);
	}
	for (int i = 0; i < 12 * n; i++) {
		ssize_t r = kipc_pipe_recv(e[1], buf, BUF, KIPC_FOREVER);

		ASSERT_GE(r, 8);
		memcpy(&id, buf, 4);
		memcpy(&seq, buf + 4, 4);
		ASSERT_LT(id, 3);
		ASSERT_EQ(m[id].big ? 3 * RING : 64, r);
		ASSERT_EQ(next[id], seq);
		next[id]++;
	}
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&peers[i]);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
	free(buf);
}

TEST(beside_small_messages_of_threads)
{
	beside_small_messages(KSFT_THREAD);
}

TEST(beside_small_messages_of_processes)
{
	beside_small_messages(KSFT_PROCESS);
}

TEST_HARNESS_MAIN
