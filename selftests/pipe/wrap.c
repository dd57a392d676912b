// SPDX-License-Identifier: MIT
/* Positions that wrap: the end of the ring, 2^32, 2^63, 2^64. */
#include "pipe_test.h"

FIXTURE(wrap)
{
	struct kipc_pipe *e[2];
};

FIXTURE_VARIANT(wrap)
{
	uint64_t around;
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(wrap, ring_end){ .around = RING };
FIXTURE_VARIANT_ADD(wrap, two_to_32){ .around = 1ULL << 32 };
FIXTURE_VARIANT_ADD(wrap, two_to_63){ .around = 1ULL << 63 };
FIXTURE_VARIANT_ADD(wrap, two_to_64){ .around = 0 };
FIXTURE_VARIANT_ADD(wrap, two_to_64_exclusive){ .around = 0, .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(wrap)
{
	pipe_make(self->e, RING, variant->flags);
}

FIXTURE_TEARDOWN(wrap)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

/* A message of each length of a few, from each place so close before the mark that it crosses it. */
TEST_F(wrap, whole_messages_from_every_place)
{
	static const size_t lens[] = { 0, 1, 7, 8, 9, 100, 1000, RING - 8 };
	uint8_t out[RING], in[RING];

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (uint64_t back = 0; back <= RING; back += 8) {
			pipe_set_position(self->e[0], variant->around - back);
			pipe_fill(out, lens[i], back + i);
			ASSERT_EQ(0, kipc_pipe_send(self->e[0], out, lens[i], KIPC_NOWAIT));
			ASSERT_EQ((ssize_t)lens[i],
				  kipc_pipe_recv(self->e[1], in, sizeof(in), KIPC_NOWAIT));
			ASSERT_MEMEQ(out, in, lens[i]);
			ASSERT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], in, 1, KIPC_NOWAIT));
		}
	}
}

TEST_F(wrap, full_and_empty_across_the_mark)
{
	uint64_t v, next = 0, got = 0;

	pipe_set_position(self->e[0], variant->around - RING / 2);
	for (int round = 0; round < 20; round++) {
		while (kipc_pipe_send(self->e[0], &next, sizeof(next), KIPC_NOWAIT) == 0)
			next++;
		EXPECT_EQ(RING / 16, next - got);
		for (int i = 0; i < 200; i++) {
			ASSERT_EQ(8, kipc_pipe_recv(self->e[1], &v, sizeof(v), KIPC_NOWAIT));
			ASSERT_EQ(got, v);
			got++;
		}
	}
}

struct stream_job {
	struct kipc_pipe *p;
	size_t len;
	int n;
};

static int send_streams(void *arg)
{
	struct stream_job *job = arg;
	uint8_t *buf = malloc(job->len);

	for (int i = 0; i < job->n; i++) {
		pipe_fill(buf, job->len, (uint64_t)i);
		EXPECT_EQ(0, kipc_pipe_send(job->p, buf, job->len, KIPC_FOREVER));
	}
	free(buf);
	return 0;
}

TEST_F(wrap, streams_across_the_mark)
{
	struct stream_job job = { .p = self->e[0], .len = 3 * RING + 13, .n = 6 };
	uint8_t *in = malloc(job.len);
	struct ksft_thread t;

	/* the second one meets the mark in its middle */
	pipe_set_position(self->e[0], variant->around - 4 * RING);
	ksft_thread_start(&t, send_streams, &job);
	for (int i = 0; i < job.n; i++) {
		ASSERT_EQ((ssize_t)job.len, kipc_pipe_recv(self->e[1], in, job.len, KIPC_FOREVER));
		EXPECT_TRUE(pipe_check(in, job.len, (uint64_t)i));
	}
	ksft_thread_join(&t);
	free(in);
}

/* A cut just at the mark: position 0 is a position like any other, not "no cut". */
TEST_F(wrap, a_cut_at_the_mark)
{
	uint8_t *buf = calloc(1, 4 * RING);
	char c = 0;

	/* nobody receives: the stream fills the ring and is cut at position `around` */
	pipe_set_position(self->e[0], variant->around - RING);
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], buf, 4 * RING, 2 * MS));
	EXPECT_EQ(variant->around, self->e[0]->tx.shm->head);
	EXPECT_EQ(variant->around | KIPC_PIPE_VALID, self->e[0]->tx.shm->cut);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], buf, 4 * RING, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "n", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ('n', c);
	free(buf);
}

TEST_HARNESS_MAIN
