// SPDX-License-Identifier: MIT
/* The sequence lock while everybody lives: exclusion, waiting, whole snapshots. */
#include <sched.h>
#include <unistd.h>

#include <kipc/shm.h>

#include "core/atomic.h"
#include "shm_test.h"

FIXTURE(seq) {
	struct kipc_shm *s;
	uint64_t seq;
};

FIXTURE_VARIANT(seq) {
	enum ksft_peer_kind peers;
};

FIXTURE_VARIANT_ADD(seq, threads) { .peers = KSFT_THREAD };
FIXTURE_VARIANT_ADD(seq, processes) { .peers = KSFT_PROCESS };

FIXTURE_SETUP(seq)
{
	ASSERT_EQ(0, kipc_shm_create(NULL, 1 << 16, NULL, &self->s));
}

FIXTURE_TEARDOWN(seq)
{
	kipc_shm_close(self->s);
}

TEST(alone)
{
	struct kipc_shm *s;
	uint64_t a, b;

	ASSERT_EQ(0, kipc_shm_create(NULL, 64, NULL, &s));
	ASSERT_EQ(0, kipc_shm_read_begin(s, &a, KIPC_NOWAIT));
	EXPECT_FALSE(kipc_shm_read_retry(s, a));
	/* a write that began and one that ended both spoil a snapshot */
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	EXPECT_TRUE(kipc_shm_read_retry(s, a));
	ASSERT_EQ(0, kipc_shm_write_end(s));
	EXPECT_TRUE(kipc_shm_read_retry(s, a));
	ASSERT_EQ(0, kipc_shm_read_begin(s, &b, KIPC_NOWAIT));
	EXPECT_FALSE(kipc_shm_read_retry(s, b));
	EXPECT_NE(a, b);
	kipc_shm_close(s);
}

TEST(end_without_begin)
{
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 64, NULL, &s));
	EXPECT_EQ(-EPERM, kipc_shm_write_end(s));
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_shm_write_end(s));
	EXPECT_EQ(-EPERM, kipc_shm_write_end(s));
	kipc_shm_close(s);
}

TEST(timeouts)
{
	struct kipc_shm *s;
	uint64_t seq = 99;
	int64_t start;

	ASSERT_EQ(0, kipc_shm_create(NULL, 64, NULL, &s));
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_FOREVER));
	EXPECT_EQ(-EAGAIN, kipc_shm_read_begin(s, &seq, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_shm_write_begin(s, KIPC_NOWAIT));
	start = ksft_now_ns();
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_read_begin(s, &seq, 30 * MS));
	EXPECT_GE(ksft_now_ns() - start, 30 * MS);
	start = ksft_now_ns();
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_write_begin(s, 30 * MS));
	EXPECT_GE(ksft_now_ns() - start, 30 * MS);
	EXPECT_EQ(99, seq);
	ASSERT_EQ(0, kipc_shm_write_end(s));
	EXPECT_EQ(0, kipc_shm_read_begin(s, &seq, KIPC_NOWAIT));
	kipc_shm_close(s);
}

static int end_write(void *arg)
{
	return kipc_shm_write_end(arg);
}

/* A write belongs to the process. */
TEST(another_thread_ends)
{
	struct ksft_thread t;
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 64, NULL, &s));
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_FOREVER));
	ksft_thread_start(&t, end_write, s);
	ksft_thread_join(&t);
	EXPECT_EQ(-EPERM, kipc_shm_write_end(s));
	kipc_shm_close(s);
}

static int inherits_nothing(void *arg)
{
	uint64_t seq;

	if (kipc_shm_write_end(arg) != -EPERM)
		return 1;
	if (kipc_shm_read_begin(arg, &seq, KIPC_NOWAIT) != -EAGAIN)
		return 2;
	return kipc_shm_write_begin(arg, KIPC_NOWAIT) == -EAGAIN ? 0 : 3;
}

TEST(fork_in_a_write)
{
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 64, NULL, &s));
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_FOREVER));
	ksft_join(ksft_fork(inherits_nothing, s));
	EXPECT_EQ(0, kipc_shm_write_end(s));
	EXPECT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(s));
	kipc_shm_close(s);
}

static int read_once(void *arg)
{
	uint64_t seq;

	return kipc_shm_read_begin(arg, &seq, KIPC_FOREVER);
}

TEST_F(seq, readers_wait_for_the_writer)
{
	struct ksft_peer peers[3];
	int64_t start;

	ASSERT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	for (int i = 0; i < 3; i++)
		ksft_peer_start(&peers[i], variant->peers, read_once, self->s);
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep((pid_t)peers[i].id), 2000));
	start = ksft_now_ns();
	ASSERT_EQ(0, kipc_shm_write_end(self->s));
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_LT(ksft_now_ns() - start, ksft_scale(2000) * MS);
}

static int write_once(void *arg)
{
	int r = kipc_shm_write_begin(arg, KIPC_FOREVER);

	if (r)
		return r;
	++*(uint64_t *)kipc_shm_addr(arg);
	return kipc_shm_write_end(arg);
}

TEST_F(seq, writers_wait_for_the_writer)
{
	struct ksft_peer peers[3];

	ASSERT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	for (int i = 0; i < 3; i++)
		ksft_peer_start(&peers[i], variant->peers, write_once, self->s);
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep((pid_t)peers[i].id), 2000));
	++*(uint64_t *)kipc_shm_addr(self->s);
	ASSERT_EQ(0, kipc_shm_write_end(self->s));
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(4, *(uint64_t *)kipc_shm_addr(self->s));
}

#define COUNTS 3000

static int count_up(void *arg)
{
	for (int i = 0; i < COUNTS; i++)
		if (write_once(arg))
			return 1;
	return 0;
}

/* A plain counter is exact only if writers exclude each other. */
TEST_F(seq, writers_exclude_each_other)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct ksft_peer peers[4];

	for (int i = 0; i < 4; i++)
		ksft_peer_start(&peers[i], variant->peers, count_up, self->s);
	for (int i = 0; i < 4; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(4 * COUNTS, *(uint64_t *)kipc_shm_addr(self->s));
	ASSERT_EQ(0, kipc_shm_stat(self->s, &st));
	EXPECT_EQ(4 * COUNTS, st.writes);
	EXPECT_EQ(0, st.healed);
}

/*
 * Torn snapshots.  A write stores one number all over a few cache lines, in alternating directions;
 * a snapshot that is whole holds one number.
 */
#define WORDS		512
#define ROUNDS		4000

struct board {
	uint64_t writers_left;	/* outside of the lock */
	uint64_t torn;		/* snapshots that were not thrown away though they should have been */
	uint64_t whole;
	uint64_t retried;
	uint64_t words[WORDS];
};

static int writer(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	for (int n = 0; n < ROUNDS; n++) {
		uint64_t v;

		if (kipc_shm_write_begin(arg, KIPC_FOREVER))
			return 1;
		v = b->words[0] + 1;
		for (int i = 0; i < WORDS; i++)
			store_relaxed(&b->words[v % 2 ? i : WORDS - 1 - i], v);
		if (kipc_shm_write_end(arg))
			return 1;
		/* let a reader in now and then, even where there is one CPU */
		if (n % 64 == 0)
			sched_yield();
	}
	fetch_sub(&b->writers_left, 1);
	return 0;
}

static int reader(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	uint64_t copy[WORDS], seq, whole = 0, torn = 0, retried = 0, last = 0;
	bool more;

	do {
		more = load_acquire(&b->writers_left);
		for (;;) {
			if (kipc_shm_read_begin(arg, &seq, KIPC_FOREVER))
				return 1;
			for (int i = 0; i < WORDS; i++)
				copy[i] = load_relaxed(&b->words[i]);
			if (!kipc_shm_read_retry(arg, seq))
				break;
			retried++;
		}
		for (int i = 1; i < WORDS; i++)
			if (copy[i] != copy[0])
				torn++;
		if (copy[0] < last)
			return 2;	/* time ran backwards */
		last = copy[0];
		whole++;
	} while (more);
	fetch_add(&b->torn, torn);
	fetch_add(&b->whole, whole);
	fetch_add(&b->retried, retried);
	return last == 2 * ROUNDS ? 0 : 3;
}

TEST_F(seq, no_torn_snapshots)
{
	struct board *b = kipc_shm_addr(self->s);
	struct ksft_peer peers[4];

	b->writers_left = 2;
	for (int i = 0; i < 4; i++)
		ksft_peer_start(&peers[i], variant->peers, i < 2 ? writer : reader, self->s);
	for (int i = 0; i < 4; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(0, b->torn);
	EXPECT_GT(b->whole, 0);
	EXPECT_EQ(2 * ROUNDS, b->words[0]);
	ksft_log("%lu whole, %lu tried again", (unsigned long)b->whole, (unsigned long)b->retried);
}

/* The same without looking at the sequence does find torn ones: the test above can fail. */
static int careless_reader(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	uint64_t copy[WORDS];

	while (load_acquire(&b->writers_left) && !load_relaxed(&b->torn)) {
		for (int i = 0; i < WORDS; i++)
			copy[i] = load_relaxed(&b->words[i]);
		for (int i = 1; i < WORDS; i++)
			if (copy[i] != copy[0])
				store_relaxed(&b->torn, 1);
	}
	return 0;
}

static int endless_writer(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	while (!load_relaxed(&b->torn)) {
		if (kipc_shm_write_begin(arg, KIPC_FOREVER))
			return 1;
		for (int i = 0; i < WORDS; i++)
			store_relaxed(&b->words[i], b->words[i] + 1);
		if (kipc_shm_write_end(arg))
			return 1;
	}
	return 0;
}

TEST_F(seq, careless_readers_see_torn_ones)
{
	struct board *b = kipc_shm_addr(self->s);
	struct ksft_peer peers[2];

	b->writers_left = 1;
	ksft_peer_start(&peers[0], variant->peers, endless_writer, self->s);
	ksft_peer_start(&peers[1], variant->peers, careless_reader, self->s);
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(1, b->torn);
}

/* What kipc/shm.h tells users of ThreadSanitizer to do: plain loads in a function it leaves alone. */
__racy static void plain_copy(uint64_t *to, const volatile uint64_t *from)
{
	for (int i = 0; i < WORDS; i++)
		to[i] = from[i];
}

static int plain_reader(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	uint64_t copy[WORDS], seq;

	while (load_acquire(&b->writers_left)) {
		do {
			if (kipc_shm_read_begin(arg, &seq, KIPC_FOREVER))
				return 1;
			plain_copy(copy, b->words);
		} while (kipc_shm_read_retry(arg, seq));
		for (int i = 1; i < WORDS; i++)
			if (copy[i] != copy[0])
				return 2;
	}
	return 0;
}

static int plain_writer(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	for (int n = 0; n < ROUNDS; n++) {
		if (kipc_shm_write_begin(arg, KIPC_FOREVER))
			return 1;
		for (int i = 0; i < WORDS; i++)
			b->words[i]++;
		if (kipc_shm_write_end(arg))
			return 1;
	}
	fetch_sub(&b->writers_left, 1);
	return 0;
}

TEST_F(seq, plain_accesses)
{
	struct board *b = kipc_shm_addr(self->s);
	struct ksft_peer peers[3];

	b->writers_left = 2;
	for (int i = 0; i < 3; i++)
		ksft_peer_start(&peers[i], variant->peers, i < 2 ? plain_writer : plain_reader,
				self->s);
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(2 * ROUNDS, b->words[WORDS - 1]);
}

TEST_HARNESS_MAIN
