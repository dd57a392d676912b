// SPDX-License-Identifier: MIT
/* Much data, and how few system calls it takes. */
#include "pipe_test.h"

#define GIB (1ULL << 30)

struct flow {
	struct kipc_pipe *p, *other;
	size_t len;
	uint64_t total;
};

static uint64_t sum_of(const uint64_t *words, size_t n)
{
	uint64_t a = 0, b = 0;

	for (size_t i = 0; i < n; i++) {
		a += words[i];
		b += a;
	}
	return a ^ b;
}

static int pour(void *arg)
{
	struct flow *f = arg;
	uint64_t *words = malloc(f->len), sum;
	size_t n = f->len / 8;

	for (size_t i = 0; i < n; i++)
		words[i] = i * 0x9e3779b97f4a7c15ULL;
	for (uint64_t done = 0, seq = 0; done < f->total; done += f->len, seq++) {
		words[0] = seq;
		words[n / 2] = ~seq;
		EXPECT_EQ(0, kipc_pipe_send(f->p, words, f->len, KIPC_FOREVER));
	}
	sum = sum_of(words, n);
	EXPECT_EQ(0, kipc_pipe_send(f->p, &sum, 8, KIPC_FOREVER));
	free(words);
	return 0;
}

static void through(size_t ring, size_t len, uint64_t total, uint32_t flags,
		    enum ksft_peer_kind kind)
{
	uint64_t *words = malloc(len), sum = 0, last;
	struct kipc_pipe *e[2];
	struct ksft_peer peer;
	struct flow f = { .len = len, .total = total };

	pipe_make(e, ring, flags);
	f.p = e[0];
	ksft_peer_start(&peer, kind, pour, &f);
	for (uint64_t done = 0, seq = 0; done < total; done += len, seq++) {
		ASSERT_EQ((ssize_t)len, kipc_pipe_recv(e[1], words, len, KIPC_FOREVER));
		ASSERT_EQ(seq, words[0]);
		ASSERT_EQ(~seq, words[len / 16]);
		if (seq % 64 == 0 || done + len >= total)
			sum = sum_of(words, len / 8);
	}
	ASSERT_EQ(8, kipc_pipe_recv(e[1], &last, 8, KIPC_FOREVER));
	EXPECT_EQ(last, sum);
	ksft_peer_join(&peer);
	ksft_log("wake-ups: %llu", (unsigned long long)pipe_wakeups(e[0]));
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
	free(words);
}

TEST(a_gibibyte_in_whole_messages)
{
	through(4 << 20, 1 << 20, ksft_slow() ? GIB / 16 : GIB, 0, KSFT_PROCESS);
}

TEST(a_gibibyte_streamed)
{
	through(1 << 20, 16 << 20, ksft_slow() ? GIB / 16 : GIB, 0, KSFT_PROCESS);
}

/* Most of its time goes into the first touch of its own two buffers. */
TEST(a_hundred_megabytes_in_one_message)
{
	size_t len = ksft_slow() ? 16 << 20 : 100 << 20;

	through(1 << 20, len, len, KIPC_PIPE_EXCLUSIVE, KSFT_THREAD);
}

/* One thread on both ends: nobody ever sleeps, so nobody is ever rung. */
TEST(no_system_call_without_a_sleeper)
{
	struct kipc_pipe *e[2];
	uint64_t v;

	pipe_make(e, 1 << 16, 0);
	for (uint64_t i = 0; i < 100000; i++) {
		ASSERT_EQ(0, kipc_pipe_send(e[0], &i, 8, KIPC_FOREVER));
		if (i % 100 == 99)
			for (int k = 0; k < 100; k++)
				ASSERT_EQ(8, kipc_pipe_recv(e[1], &v, 8, KIPC_FOREVER));
	}
	EXPECT_EQ(0, pipe_wakeups(e[0]));
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

/* A sender that is woken finds room for many messages: not one wake-up a message. */
TEST(a_full_ring_is_emptied_in_strides)
{
	uint64_t n = ksft_slow() ? 20000 : 200000, v;
	struct kipc_pipe *e[2];
	struct ksft_peer peer;
	struct flow f = { .len = 16, .total = 16 * n };

	pipe_make(e, 1 << 16, 0);
	f.p = e[0];
	ksft_peer_start(&peer, KSFT_THREAD, pour, &f);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t words[2];

		/* the sender is always ahead of us */
		if (i % 1000 == 0)
			ASSERT_TRUE(
				ksft_wait_for(pipe_writer_sleeps(&e[0]->tx) || i + 4000 > n, 5000));
		ASSERT_EQ(16, kipc_pipe_recv(e[1], words, 16, KIPC_FOREVER));
		ASSERT_EQ(i, words[0]);
	}
	ASSERT_EQ(8, kipc_pipe_recv(e[1], &v, 8, KIPC_FOREVER));
	ksft_peer_join(&peer);
	EXPECT_LT(pipe_wakeups(e[0]), n / 50);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

static int send_one(void *arg)
{
	uint64_t v[2] = { 0 };

	return kipc_pipe_send(arg, v, sizeof(v), KIPC_FOREVER);
}

/*
 * Room for its message alone is not worth a sender's wake-up, a quarter of the ring is.  (A tick of
 * 100 ms in between makes a round void.)
 */
TEST(one_wake_up_for_a_quarter)
{
	struct kipc_pipe *e[2];
	uint64_t v[2] = { 0 }, before, first, quarter = 0;
	struct ksft_thread t;

	for (int round = 0; round < 20 && quarter != 1; round++) {
		pipe_make(e, RING, 0);
		while (kipc_pipe_send(e[0], v, sizeof(v), KIPC_NOWAIT) == 0)
			;
		ksft_thread_start(&t, send_one, e[0]);
		ASSERT_TRUE(
			ksft_wait_for(pipe_writer_sleeps(&e[0]->tx) && ksft_asleep(t.tid), 5000));
		before = pipe_wakeups(e[0]);
		EXPECT_EQ(16, kipc_pipe_recv(e[1], v, sizeof(v), KIPC_NOWAIT));
		first = pipe_wakeups(e[0]) - before;
		EXPECT_EQ(0, first);
		for (int i = 0; i < RING / 4 / 24; i++)
			EXPECT_EQ(16, kipc_pipe_recv(e[1], v, sizeof(v), KIPC_NOWAIT));
		quarter = pipe_wakeups(e[0]) - before;
		ksft_thread_join(&t);
		kipc_pipe_close(e[0]);
		kipc_pipe_close(e[1]);
	}
	EXPECT_EQ(1, quarter);
}

TEST_HARNESS_MAIN
