// SPDX-License-Identifier: MIT
/* Each thing that can't be in a pipe, planted and found. */
#include "check_test.h"
#include "pipe/pipe.h"

#define RING	4096

FIXTURE(pipe) {
	struct kipc_pipe *ends[2];
	struct kipc_object *obj;
	struct kipc_pipe_header *sh;
	struct kipc_pipe_way *way;	/* 0: from ends[0] to ends[1] */
};

static char big[3 * RING], received[3 * RING];

FIXTURE_SETUP(pipe)
{
	KIPC_OPTS(kipc_pipe_opts, o, .ring_size = RING);

	ASSERT_EQ(0, kipc_pipe_create(&o, self->ends));
	self->obj = kipc_pipe_object(self->ends[1]);
	self->sh = self->ends[0]->shm;
	self->way = &self->sh->way[0];
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, kipc_pipe_send(self->ends[0], big, (size_t)i * 7, KIPC_NOWAIT));
		ASSERT_EQ(i * 7, kipc_pipe_recv(self->ends[1], big, sizeof(big), KIPC_NOWAIT));
	}
	/* three records: 0, 5 and 1000 bytes */
	ASSERT_EQ(0, kipc_pipe_send(self->ends[0], NULL, 0, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(self->ends[0], "five!", 5, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(self->ends[0], big, 1000, KIPC_NOWAIT));
	check_clean(self->obj, KIPC_CHECK_IDLE);
}

FIXTURE_TEARDOWN(pipe)
{
	check_clean(self->obj, KIPC_CHECK_IDLE);
	kipc_pipe_close(self->ends[0]);
	kipc_pipe_close(self->ends[1]);
}

#define DAMAGE(word, value, code, words) damage(self->obj, word, value, KIPC_FINDING_##code, words)

static uint64_t *record(struct kipc_pipe *p, uint64_t pos)
{
	return (uint64_t *)(p->tx.ring + (pos & p->mask));
}

TEST_F(pipe, positions)
{
	struct kipc_pipe_way *s = self->way;

	DAMAGE(s->head, s->head | 2, POSITION, "way 0: head is");
	DAMAGE(s->tail, s->tail | 1, POSITION, "way 0: tail is");
	DAMAGE(s->head, s->tail - 8, POSITION, "further apart than the ring is long");
	DAMAGE(s->tail, s->head - RING - 8, POSITION, "further apart than the ring is long");
	DAMAGE(s->tail_seen, s->tail + 8, POSITION, "the senders saw tail at");
	DAMAGE(s->head_seen, s->head + 8, POSITION, "the receivers saw head at");
	DAMAGE(s->want, RING + 1, LENGTH, "waits for 4097 free bytes");
}

TEST_F(pipe, records)
{
	uint64_t *len = record(self->ends[0], self->way->tail + 8);

	ASSERT_EQ(5, *len);
	DAMAGE(*len, 1ULL << 48, LENGTH, "has 0x1000000000000 for a length");
	DAMAGE(*len, 1020, RECORD, "ends beyond head");
	DAMAGE(*len, 50000, RECORD, "is not sent to its end, and nobody does");
	DAMAGE(self->way->head, self->way->head - 8, RECORD, "ends beyond head");
}

TEST_F(pipe, marks)
{
	struct kipc_pipe_way *s = self->way;

	DAMAGE(s->cut, s->head + 16, POSITION, "cut is");
	DAMAGE(s->cut, (s->head + 16) | KIPC_PIPE_VALID, POSITION, "is beyond head");
	DAMAGE(s->stream_end, 4, POSITION, "stream_end is 0x4");
	DAMAGE(s->stream_end, (s->head + 16) | KIPC_PIPE_VALID, CLAIM, "nobody holds send_lock");
	DAMAGE(s->stream_end, (s->head - 16) | KIPC_PIPE_VALID, POSITION, "before head");
	DAMAGE(s->msg_end, 8, POSITION, "msg_end is 0x8");
	DAMAGE(s->msg_end, (s->tail - 16) | KIPC_PIPE_VALID, POSITION, "before tail");
}

TEST_F(pipe, locks)
{
	struct kipc_pipe_way *s = self->way;

	DAMAGE(s->send_lock, 50, CLAIM, "way 0: send_lock is held by slot 50, which is free");
	DAMAGE(s->recv_lock, 1000, CLAIM, "way 0: recv_lock is held by slot 1000, of");
	DAMAGE(s->recv_lock, 1u << 20, LOCK, "0x100000 is no lock word");
	DAMAGE(s->recv_lock, KIPC_LOCK_DIED | 1, LOCK, "is no lock word");
	/* whose last owner died: the next one is told, and that's all */
	s->send_lock = KIPC_LOCK_DIED | KIPC_LOCK_WAITERS;
	check_clean(self->obj, KIPC_CHECK_IDLE);
	s->send_lock = 0;
}

TEST_F(pipe, geometry)
{
	DAMAGE(self->sh->ring_size, 100, GEOMETRY, "rings of 100 bytes");
	DAMAGE(self->sh->ring_size, 1ULL << 31, GEOMETRY, "rings of");
	DAMAGE(self->sh->ring_size, 1ULL << 30, GEOMETRY, "is not in the file");
	DAMAGE(self->sh->ring_off[0], 0, GEOMETRY, "way 0: a ring of 4096 bytes at 0 is not");
	DAMAGE(self->sh->ring_off[1], ~4095ULL, GEOMETRY, "way 1: a ring");
	DAMAGE(self->sh->ring_off[1], self->sh->ring_off[0], GEOMETRY, "the two rings overlap");
	DAMAGE(self->sh->flags, 8, GEOMETRY, "flags 0x8");
	DAMAGE(self->sh->flags, KIPC_PIPE_F_SIMPLEX, GEOMETRY, "a simplex one, but way 0 was used");
}

TEST_F(pipe, bells)
{
	DAMAGE(self->way->readable.word, 60ULL << KIPC_BELL_DRAINER_SHIFT, CLAIM,
	       "way 0: doorbell for receivers is held by slot 60");
}

static uint64_t flights(struct kipc_object *obj, const char *words)
{
	struct findings all = { .n = 0 };

	KIPC_OPTS(kipc_report, r, .flags = KIPC_CHECK_IDLE, .found = collect, .arg = &all);

	EXPECT_EQ(0, kipc_check(obj, &r));
	EXPECT_EQ(0, r.dead_claims);
	if (!EXPECT_TRUE(strstr(all.text, words)))
		ksft_log("%s", all.text);
	return r.in_flight;
}

TEST_F(pipe, in_flight)
{
	struct kipc_pipe_msg out, in;

	ASSERT_EQ(0, kipc_pipe_reserve(self->ends[0], 100, &out, KIPC_NOWAIT));
	EXPECT_EQ(1, flights(self->obj, "way 0: send_lock is held by slot 1\n"));
	ASSERT_EQ(0, kipc_pipe_peek(self->ends[1], &in, KIPC_NOWAIT));
	EXPECT_EQ(2, flights(self->obj, "way 0: recv_lock is held by slot 2\n"));
	ASSERT_EQ(0, kipc_pipe_commit(self->ends[0], &out));
	ASSERT_EQ(0, kipc_pipe_release(self->ends[1], &in));
}

static bool stream_begun(void *arg)
{
	struct kipc_pipe_way *s = arg;

	return __atomic_load_n(&s->stream_end, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&s->head, __ATOMIC_ACQUIRE) - s->tail == RING;
}

static int send_big(void *arg)
{
	return kipc_pipe_send(arg, big, sizeof(big), KIPC_FOREVER);
}

/* A message that is longer than the ring, half-way through. */
TEST_F(pipe, stream)
{
	struct ksft_peer peer;
	char buf[2000];

	for (int i = 0; i < 3; i++)
		ASSERT_GE(kipc_pipe_recv(self->ends[1], buf, sizeof(buf), KIPC_NOWAIT), 0);
	ksft_peer_start(&peer, KSFT_THREAD, send_big, self->ends[0]);
	ASSERT_TRUE(ksft_wait_until(stream_begun, self->way, 5000));
	EXPECT_GE(flights(self->obj, "way 0: send_lock is held by slot 1\n"), 1);
	EXPECT_EQ(sizeof(big), kipc_pipe_recv(self->ends[1], received, sizeof(received), KIPC_FOREVER));
	ksft_peer_join(&peer);
	/* one that was given up: a cut, which the receiver hasn't come to yet */
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->ends[0], big, sizeof(big), 1000000));
	EXPECT_NE(0, self->way->cut);
	check_clean(self->obj, KIPC_CHECK_IDLE);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->ends[1], big, sizeof(big), KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(self->ends[0], "after", 5, KIPC_NOWAIT));
	check_clean(self->obj, KIPC_CHECK_IDLE);
	EXPECT_EQ(5, kipc_pipe_recv(self->ends[1], big, sizeof(big), KIPC_NOWAIT));
}

TEST_HARNESS_MAIN
