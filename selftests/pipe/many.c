// SPDX-License-Identifier: MIT
/* Batches: send_many and recv_many. */
#include <limits.h>

#include "pipe_test.h"

#define N 40

FIXTURE(many)
{
	struct kipc_pipe *e[2];
	uint8_t out[N][64], in[N][64];
	struct iovec o[N], i[N];
};

FIXTURE_VARIANT(many)
{
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(many, shared){ .flags = 0 };
FIXTURE_VARIANT_ADD(many, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(many)
{
	pipe_make(self->e, RING, variant->flags);
	for (int i = 0; i < N; i++) {
		pipe_fill(self->out[i], 64, (uint64_t)i);
		self->o[i] = (struct iovec){ self->out[i], (size_t)i };
		self->i[i] = (struct iovec){ self->in[i], 64 };
	}
}

FIXTURE_TEARDOWN(many)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

TEST_F(many, all_at_once)
{
	ASSERT_EQ(N, kipc_pipe_send_many(self->e[0], self->o, N, KIPC_NOWAIT));
	ASSERT_EQ(N, kipc_pipe_recv_many(self->e[1], self->i, N, KIPC_NOWAIT));
	for (int i = 0; i < N; i++) {
		EXPECT_EQ(i, self->i[i].iov_len);
		EXPECT_MEMEQ(self->out[i], self->in[i], i);
	}
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv_many(self->e[1], self->i, N, KIPC_NOWAIT));
}

TEST_F(many, as_many_as_there_are)
{
	ASSERT_EQ(3, kipc_pipe_send_many(self->e[0], self->o, 3, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(self->e[0], self->out[3], 3, KIPC_NOWAIT));
	ASSERT_EQ(2, kipc_pipe_recv_many(self->e[1], self->i, 2, KIPC_NOWAIT));
	ASSERT_EQ(2, kipc_pipe_recv_many(self->e[1], self->i + 2, N - 2, KIPC_FOREVER));
	EXPECT_EQ(2, self->i[2].iov_len);
	EXPECT_EQ(3, self->i[3].iov_len);
	EXPECT_EQ(64, self->i[4].iov_len);
}

TEST_F(many, as_many_as_fit)
{
	static uint8_t big[1000];
	struct iovec o[10], big_in = { big, sizeof(big) };
	int64_t start;

	for (int i = 0; i < 10; i++)
		o[i] = (struct iovec){ big, sizeof(big) };
	EXPECT_EQ(4, kipc_pipe_send_many(self->e[0], o, 10, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_send_many(self->e[0], o, 10, KIPC_NOWAIT));
	start = ksft_now_ns();
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send_many(self->e[0], o, 10, 2 * MS));
	EXPECT_GE(ksft_now_ns() - start, 2 * MS);
	EXPECT_EQ(1, kipc_pipe_recv_many(self->e[1], &big_in, 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_send_many(self->e[0], o, 10, KIPC_NOWAIT));
	/* room that appears while the batch is written is used: the first needs none of it */
	EXPECT_EQ(1, kipc_pipe_recv_many(self->e[1], &big_in, 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv_many(self->e[1], &big_in, 1, KIPC_NOWAIT));
	EXPECT_EQ(2, kipc_pipe_send_many(self->e[0], o, 10, KIPC_NOWAIT));
}

TEST_F(many, one_too_long)
{
	static uint8_t big[RING];

	self->o[2] = (struct iovec){ big, RING }; /* longer than the ring: streams, alone */
	EXPECT_EQ(2, kipc_pipe_send_many(self->e[0], self->o, N, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_send_many(self->e[0], self->o + 2, 3, KIPC_NOWAIT));
	self->o[2].iov_len = SIZE_MAX;
	EXPECT_EQ(2, kipc_pipe_send_many(self->e[0], self->o, N, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_send_many(self->e[0], self->o + 2, 3, KIPC_FOREVER));

	/* 0, 1, 0, 1 are there */
	self->i[1].iov_len = 0;
	EXPECT_EQ(1, kipc_pipe_recv_many(self->e[1], self->i, N, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_recv_many(self->e[1], self->i + 1, N - 1, KIPC_FOREVER));
	self->i[1].iov_len = 1;
	EXPECT_EQ(3, kipc_pipe_recv_many(self->e[1], self->i + 1, N - 1, KIPC_NOWAIT));
}

TEST_F(many, bad_arguments)
{
	struct iovec bad[2] = { self->o[1], { NULL, 1 } };

	EXPECT_EQ(-EINVAL, kipc_pipe_send_many(NULL, self->o, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_send_many(self->e[0], NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_send_many(self->e[0], self->o, 0, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_send_many(self->e[0], self->o, INT_MIN, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_send_many(self->e[0], bad + 1, 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_send_many(self->e[0], bad, 2, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv_many(NULL, self->i, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv_many(self->e[1], NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv_many(self->e[1], self->i, -1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv_many(self->e[1], bad, 2, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv_many(self->e[1], self->i, 1, KIPC_NOWAIT));
}

struct batch_job {
	struct kipc_pipe *p;
	uint64_t total;
};

static int send_batches(void *arg)
{
	struct batch_job *job = arg;
	uint64_t vals[33], next = 0;
	struct iovec iov[33];
	int n, r;

	while (next < job->total) {
		n = (int)(next % 33) + 1;
		for (int i = 0; i < n; i++) {
			vals[i] = next + (uint64_t)i;
			iov[i] = (struct iovec){ &vals[i], 8 };
		}
		r = kipc_pipe_send_many(job->p, iov, n, KIPC_FOREVER);
		if (!EXPECT_GT(r, 0))
			return 1;
		next += (uint64_t)r;
	}
	return 0;
}

TEST_F(many, batches_through_a_small_ring)
{
	struct batch_job job = { .p = self->e[0], .total = ksft_slow() ? 20000 : 300000 };
	uint64_t vals[50], got = 0;
	struct ksft_thread t;
	struct iovec iov[50];
	int n;

	ksft_thread_start(&t, send_batches, &job);
	while (got < job.total) {
		for (int i = 0; i < 50; i++)
			iov[i] = (struct iovec){ &vals[i], 8 };
		n = kipc_pipe_recv_many(self->e[1], iov, 1 + (int)(got % 50), KIPC_FOREVER);
		ASSERT_GT(n, 0);
		for (int i = 0; i < n; i++) {
			ASSERT_EQ(8, iov[i].iov_len);
			ASSERT_EQ(got, vals[i]);
			got++;
		}
	}
	ksft_thread_join(&t);
	/* the last ones go past job.total by less than a batch */
	n = 0;
	while (kipc_pipe_recv(self->e[1], vals, 8, KIPC_NOWAIT) == 8)
		ASSERT_EQ(got++, vals[0]);
	EXPECT_LT(got, job.total + 50);
}

TEST_HARNESS_MAIN
