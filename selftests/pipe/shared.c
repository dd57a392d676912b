// SPDX-License-Identifier: MIT
/* Several threads and processes on one end: every message once, in order per sender. */
#include "pipe_test.h"

#define SENDERS 3
#define RECEIVERS 3

FIXTURE(shared)
{
	struct kipc_pipe *e[2];
};

FIXTURE_VARIANT(shared)
{
	enum ksft_peer_kind peers;
	bool ppoll;
	size_t ring;
};

FIXTURE_VARIANT_ADD(shared, threads){ .peers = KSFT_THREAD, .ring = RING };
FIXTURE_VARIANT_ADD(shared, processes){ .peers = KSFT_PROCESS, .ring = RING };
FIXTURE_VARIANT_ADD(shared, processes_ppoll){ .peers = KSFT_PROCESS, .ppoll = true, .ring = RING };
FIXTURE_VARIANT_ADD(shared, processes_roomy){ .peers = KSFT_PROCESS, .ring = 1 << 20 };

FIXTURE_SETUP(shared)
{
	pipe_use_ppoll(variant->ppoll);
	pipe_make(self->e, variant->ring, 0);
}

FIXTURE_TEARDOWN(shared)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

struct tally {
	uint64_t n[SENDERS], sum[SENDERS];
	uint32_t done;
};

struct job {
	struct kipc_pipe *p;
	uint32_t id;
	uint64_t n;
	bool batches;
	struct tally *tally; /* a receiver's own */
};

struct item {
	uint64_t id, seq;
};

static int sender(void *arg)
{
	struct job *job = arg;
	struct item items[16];
	struct iovec iov[16];
	uint64_t seq = 1;
	int r, n;

	while (seq <= job->n) {
		n = job->batches ? 1 + (int)(seq % 16) : 1;
		for (int i = 0; i < n; i++) {
			items[i] = (struct item){ job->id, seq + (uint64_t)i };
			iov[i] = (struct iovec){ &items[i], sizeof(items[i]) };
		}
		n = (int)((uint64_t)n < job->n - seq + 1 ? (uint64_t)n : job->n - seq + 1);
		r = job->batches ? kipc_pipe_send_many(job->p, iov, n, KIPC_FOREVER) :
				   !kipc_pipe_send(job->p, items, sizeof(items[0]), KIPC_FOREVER);
		if (!EXPECT_GT(r, 0))
			return 1;
		seq += (uint64_t)r;
	}
	return 0;
}

/* Until an empty message: one for each receiver. */
static int receiver(void *arg)
{
	struct job *job = arg;
	uint64_t last[SENDERS] = { 0 };
	struct item item;
	ssize_t r;

	for (;;) {
		r = kipc_pipe_recv(job->p, &item, sizeof(item), KIPC_FOREVER);
		if (r == 0)
			return 0;
		if (!EXPECT_EQ(sizeof(item), r) || !EXPECT_LT(item.id, SENDERS))
			return 1;
		/* other receivers take some between: rising is what one sees */
		if (!EXPECT_LT(last[item.id], item.seq))
			return 1;
		last[item.id] = item.seq;
		job->tally->n[item.id]++;
		job->tally->sum[item.id] += item.seq;
	}
}

static void run(struct kipc_pipe *e[2], enum ksft_peer_kind kind, bool batches)
{
	uint64_t n = ksft_slow() ? 5000 : 60000, count, sum;
	struct tally *tallies = ksft_shared(sizeof(*tallies) * RECEIVERS);
	struct job s[SENDERS], r[RECEIVERS];
	struct ksft_peer sp[SENDERS], rp[RECEIVERS];

	for (uint32_t i = 0; i < RECEIVERS; i++) {
		r[i] = (struct job){ .p = e[1], .tally = &tallies[i] };
		ksft_peer_start(&rp[i], kind, receiver, &r[i]);
	}
	for (uint32_t i = 0; i < SENDERS; i++) {
		s[i] = (struct job){ .p = e[0], .id = i, .n = n, .batches = batches };
		ksft_peer_start(&sp[i], kind, sender, &s[i]);
	}
	for (int i = 0; i < SENDERS; i++)
		ksft_peer_join(&sp[i]);
	for (int i = 0; i < RECEIVERS; i++)
		EXPECT_EQ(0, kipc_pipe_send(e[0], NULL, 0, KIPC_FOREVER));
	for (int i = 0; i < RECEIVERS; i++)
		ksft_peer_join(&rp[i]);
	for (int i = 0; i < SENDERS; i++) {
		count = sum = 0;
		for (int k = 0; k < RECEIVERS; k++) {
			count += tallies[k].n[i];
			sum += tallies[k].sum[i];
		}
		EXPECT_EQ(n, count);
		EXPECT_EQ(n * (n + 1) / 2, sum);
	}
}

TEST_F(shared, three_to_three)
{
	run(self->e, variant->peers, false);
}

TEST_F(shared, three_to_three_in_batches)
{
	run(self->e, variant->peers, true);
}

struct echo {
	struct kipc_pipe *p;
	int n;
};

static int echo(void *arg)
{
	struct echo *echo = arg;
	uint64_t v;

	for (int i = 0; i < echo->n; i++) {
		if (!EXPECT_EQ(8, kipc_pipe_recv(echo->p, &v, 8, KIPC_FOREVER)))
			return 1;
		EXPECT_EQ(0, kipc_pipe_send(echo->p, &v, 8, KIPC_FOREVER));
	}
	return 0;
}

/* Both directions at once, asleep in between. */
TEST_F(shared, ping_pong)
{
	struct echo job = { self->e[1], ksft_slow() ? 500 : 5000 };
	struct ksft_peer peer;
	uint64_t v;

	ksft_peer_start(&peer, variant->peers, echo, &job);
	for (uint64_t i = 0; i < (uint64_t)job.n; i++) {
		ASSERT_EQ(0, kipc_pipe_send(self->e[0], &i, 8, KIPC_FOREVER));
		ASSERT_EQ(8, kipc_pipe_recv(self->e[0], &v, 8, KIPC_FOREVER));
		ASSERT_EQ(i, v);
	}
	ksft_peer_join(&peer);
}

static int take_one(void *arg)
{
	char c;

	return kipc_pipe_recv(arg, &c, 1, KIPC_FOREVER) != 1;
}

/* Several asleep, one batch: a wake-up reaches one, and goes on from there. */
TEST_F(shared, one_batch_wakes_all_it_is_for)
{
	struct ksft_peer peers[4];
	struct iovec iov[4];
	uint64_t before = 0;

	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 4; i++) {
			ksft_peer_start(&peers[i], variant->peers, take_one, self->e[1]);
			iov[i] = (struct iovec){ "z", 1 };
		}
		for (int i = 0; i < 4; i++)
			ASSERT_TRUE(ksft_wait_for(ksft_asleep(peers[i].id), 5000));
		before -= pipe_wakeups(self->e[0]);
		ASSERT_EQ(4, kipc_pipe_send_many(self->e[0], iov, 4, KIPC_NOWAIT));
		for (int i = 0; i < 4; i++)
			ksft_peer_join(&peers[i]);
		before += pipe_wakeups(self->e[0]);
	}
	/* they ring for each other, instead of being found by the next tick */
	EXPECT_GT(before, 15);
}

/* While one is in the middle of a stream, others sleep on the same bell: its pieces reach it. */
static int take_any(void *arg)
{
	uint8_t *buf = malloc(1 << 20);
	ssize_t r = kipc_pipe_recv(arg, buf, 1 << 20, KIPC_FOREVER);

	EXPECT_TRUE(r == 1 || r == 1 << 20);
	if (r == 1 << 20)
		EXPECT_TRUE(pipe_check(buf, (size_t)r, 5));
	free(buf);
	return 0;
}

TEST_F(shared, a_stream_among_sleepers)
{
	uint8_t *buf = malloc(1 << 20);
	struct ksft_peer peers[3];

	pipe_fill(buf, 1 << 20, 5);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			ksft_peer_start(&peers[i], variant->peers, take_any, self->e[1]);
		for (int i = 0; i < 3; i++)
			ASSERT_TRUE(ksft_wait_for(ksft_asleep(peers[i].id), 5000));
		ASSERT_EQ(0, kipc_pipe_send(self->e[0], buf, 1 << 20, KIPC_FOREVER));
		ASSERT_EQ(0, kipc_pipe_send(self->e[0], buf, 1, KIPC_FOREVER));
		ASSERT_EQ(0, kipc_pipe_send(self->e[0], buf, 1, KIPC_FOREVER));
		for (int i = 0; i < 3; i++)
			ksft_peer_join(&peers[i]);
	}
	free(buf);
}

#define PIECES 16

static int take_piecewise(void *arg)
{
	uint8_t buf[PIECES * 1024];
	ssize_t r = kipc_pipe_recv(arg, buf, sizeof(buf), KIPC_FOREVER);

	return !EXPECT_TRUE(r == 1 || r == sizeof(buf) - 8);
}

/*
 * Four wait for a first piece; one gets it and waits for the next, now behind the others.  What wakes
 * one of those is rung on.  Pieces by hand; at least one of them has to take two wake-ups, where a ring
 * wakes one sleeper.  ppoll(2) doesn't sleep exclusively: one ring wakes them all, among them the one
 * that it is for, and whether another is needed is a race.
 */
TEST_F(shared, a_wake_up_goes_on_to_the_stream)
{
	struct kipc_pipe *e[2];
	struct kipc_pipe_way *s;
	struct ksft_peer peers[4];
	uint64_t at = 0, before, most = 0;

	pipe_make(e, RING, 0);
	s = e[0]->tx.shm;
	*(uint64_t *)e[0]->tx.ring = PIECES * 1024 - 8;
	for (int i = 0; i < 4; i++)
		ksft_peer_start(&peers[i], variant->peers, take_piecewise, e[1]);
	for (int piece = 0; piece < PIECES; piece++) {
		for (int i = 0; i < 4; i++)
			ASSERT_TRUE(ksft_wait_for(ksft_asleep(peers[i].id), 5000));
		before = pipe_wakeups(e[0]);
		at += 1024;
		__atomic_store_n(&s->head, at, __ATOMIC_SEQ_CST);
		__kipc_bell_ring(e[0]->tx.readable);
		ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == at, 5000));
		before = pipe_wakeups(e[0]) - before;
		most = before > most ? before : most;
	}
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, kipc_pipe_send(e[0], "z", 1, KIPC_FOREVER));
	for (int i = 0; i < 4; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_GE(most, variant->ppoll ? 1 : 2);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST_HARNESS_MAIN
