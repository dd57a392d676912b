// SPDX-License-Identifier: MIT
/* The sequence lock when a writer is killed: at every step, with survivors that go on. */
#include "death_test.h"

static int writes_half(void *arg)
{
	struct victim *v = arg;

	if (kipc_shm_write_begin(v->s, KIPC_FOREVER) != v->want)
		return 1;
	memset(kipc_shm_addr(v->s), 'h', 2048);
	stay(v->step);
}

TEST_F(death, torn_and_healed)
{
	struct victim v = { self->s, self->step, 0 };
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	uint64_t seq, again;

	kill_in(writes_half, &v);
	/* every reader is told, with no wait too, and may look on purpose */
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(self->s, &seq, KIPC_FOREVER));
	EXPECT_EQ('h', *(char *)kipc_shm_addr(self->s));
	EXPECT_FALSE(kipc_shm_read_retry(self->s, seq));
	ASSERT_EQ(0, kipc_shm_stat(self->s, &st));
	EXPECT_EQ(1, st.torn);
	EXPECT_EQ(0, st.writing);
	EXPECT_EQ(0, st.writes);
	EXPECT_EQ(1, st.peers);

	/* the next writer is told, and whoever looked at the torn data notices it */
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_TRUE(kipc_shm_read_retry(self->s, seq));
	EXPECT_EQ(-EAGAIN, kipc_shm_read_begin(self->s, &again, KIPC_NOWAIT));
	memset(kipc_shm_addr(self->s), 'w', 4096);
	EXPECT_EQ(0, kipc_shm_write_end(self->s));

	EXPECT_EQ(0, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
	EXPECT_FALSE(kipc_shm_read_retry(self->s, seq));
	EXPECT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(self->s));
	ASSERT_EQ(0, kipc_shm_stat(self->s, &st));
	EXPECT_EQ(0, st.torn);
	EXPECT_EQ(1, st.healed);
}

TEST_F(death, healer_dies_too)
{
	struct victim v = { self->s, self->step, 0 };
	uint64_t seq, first;

	kill_in(writes_half, &v);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(self->s, &first, KIPC_NOWAIT));
	v.want = -EOWNERDEAD;
	for (int i = 0; i < 3; i++)
		kill_in(writes_half, &v);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
	EXPECT_NE(first, seq);
	EXPECT_TRUE(kipc_shm_read_retry(self->s, first));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(self->s));
	EXPECT_EQ(0, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
}

/* The two steps at which the lock is held and the data are whole: nobody is bothered. */
static int locks_only(void *arg)
{
	struct victim *v = arg;
	struct kipc_region *rg = &v->s->region;

	if (__kipc_peer_enter(&rg->obj.seg) ||
	    __kipc_lock_acquire(&rg->obj.seg, &rg->lock.head->lock, KIPC_DEADLINE_NEVER))
		return 1;
	stay(v->step);
}

static int ends_but_holds(void *arg)
{
	struct victim *v = arg;
	struct kipc_region *rg = &v->s->region;

	if (kipc_shm_write_begin(v->s, KIPC_FOREVER))
		return 1;
	memset(kipc_shm_addr(v->s), 'e', 4096);
	/* as kipc_shm_write_end() does before it gives the lock up */
	xchg(&rg->lock.head->seq, (load_relaxed(&rg->lock.head->seq) | 3) + 1);
	stay(v->step);
}

TEST_F(death, between_lock_and_sequence)
{
	static const ksft_fn steps[] = { locks_only, ends_but_holds };
	struct victim v = { self->s, self->step, 0 };
	uint64_t seq;

	for (int i = 0; i < 2; i++) {
		kill_in(steps[i], &v);
		EXPECT_EQ(0, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
		EXPECT_FALSE(kipc_shm_read_retry(self->s, seq));
		/* no wait: the dead owner is found out at once */
		EXPECT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_shm_write_end(self->s));
	}
}

static int waits_to_read(void *arg)
{
	struct victim *v = arg;
	uint64_t seq;

	return kipc_shm_read_begin(v->s, &seq, KIPC_FOREVER) == -EOWNERDEAD ? 0 : 1;
}

static int waits_to_write(void *arg)
{
	struct victim *v = arg;
	int r = kipc_shm_write_begin(v->s, KIPC_FOREVER);

	if (r && r != -EOWNERDEAD)
		return 1;
	fetch_add(v->step, r ? 100 : 1);
	return kipc_shm_write_end(v->s) ? 2 : 0;
}

TEST_F(death, sleeping_readers_hear_of_it)
{
	struct victim v = { self->s, self->step, 0 };
	pid_t victim, readers[3];
	int64_t start;

	victim = ksft_fork(writes_half, &v);
	ASSERT_TRUE(ksft_wait_for(load_acquire(self->step) == 1, 5000));
	for (int i = 0; i < 3; i++)
		readers[i] = ksft_fork(waits_to_read, &v);
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(readers[i]), 5000));
	start = ksft_now_ns();
	ksft_kill(victim);
	for (int i = 0; i < 3; i++)
		ksft_join(readers[i]);
	EXPECT_LT(ksft_now_ns() - start, SURVIVE_NS);
}

TEST_F(death, sleeping_writers_hear_of_it)
{
	struct victim v = { self->s, self->step, 0 };
	pid_t victim, writers[3];
	int64_t start;

	victim = ksft_fork(writes_half, &v);
	ASSERT_TRUE(ksft_wait_for(load_acquire(self->step) == 1, 5000));
	for (int i = 0; i < 3; i++)
		writers[i] = ksft_fork(waits_to_write, &v);
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(writers[i]), 5000));
	start = ksft_now_ns();
	ksft_kill(victim);
	for (int i = 0; i < 3; i++)
		ksft_join(writers[i]);
	EXPECT_LT(ksft_now_ns() - start, SURVIVE_NS);
	/* the first of them is told, the others find it healed */
	EXPECT_EQ(1 + 100 + 2, *self->step);
}

TEST_F(death, a_stopped_writer_is_not_dead)
{
	struct victim v = { self->s, self->step, 0 };
	uint64_t seq;
	pid_t pid;

	pid = ksft_fork(writes_half, &v);
	ASSERT_TRUE(ksft_wait_for(load_acquire(self->step) == 1, 5000));
	kill(pid, SIGSTOP);
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_read_begin(self->s, &seq, 50 * MS));
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_write_begin(self->s, 50 * MS));
	ksft_kill(pid);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(self->s, &seq, KIPC_FOREVER));
}

/* A reader that dies asleep leaves nothing that anybody could stumble over. */
TEST_F(death, sleeping_reader_dies)
{
	struct victim v = { self->s, self->step, 0 };
	uint64_t seq;
	pid_t pid;

	ASSERT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	pid = ksft_fork(waits_to_read, &v);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 5000));
	ksft_kill(pid);
	EXPECT_EQ(0, kipc_shm_write_end(self->s));
	EXPECT_EQ(0, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
	EXPECT_FALSE(kipc_shm_read_retry(self->s, seq));
	EXPECT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(self->s));
}

static int closes_in_a_write(void *arg)
{
	struct victim *v = arg;

	if (kipc_shm_write_begin(v->s, KIPC_FOREVER))
		return 1;
	kipc_shm_close(v->s);
	return 0;
}

TEST_F(death, close_in_a_write)
{
	struct victim v = { self->s, self->step, 0 };
	uint64_t seq;

	ksft_join(ksft_fork(closes_in_a_write, &v));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(self->s));
}

/*
 * Writers killed at any moment, a survivor that writes and one that reads.  The survivor counts its
 * own writes; each is there.  The reader never takes a torn snapshot for a whole one.
 */
#define WORDS	2000

struct board {
	uint64_t stop;
	uint64_t survivor_writes;
	uint64_t snapshots;
	uint64_t told;		/* times that a reader heard -EOWNERDEAD */
	uint64_t prey_writes;
	uint64_t words[WORDS];	/* words[0]: survivor's writes; all the others are equal */
};

static int write_round(struct kipc_shm *s, bool count)
{
	struct board *b = kipc_shm_addr(s);
	int r = kipc_shm_write_begin(s, KIPC_FOREVER);
	uint64_t v;

	if (r && r != -EOWNERDEAD)
		return r;
	v = b->words[1] + 1;
	for (int i = 1; i < WORDS; i++)
		store_relaxed(&b->words[i], v);
	if (count)
		b->words[0]++;
	return kipc_shm_write_end(s);
}

static int prey(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	for (;;) {
		if (write_round(arg, false))
			return 1;
		stat_inc(&b->prey_writes);
	}
}

static int surviving_writer(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	while (!load_relaxed(&b->stop)) {
		if (write_round(arg, true))
			return 1;
		stat_inc(&b->survivor_writes);
	}
	return 0;
}

static int surviving_reader(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	uint64_t copy[WORDS], seq;
	int r;

	while (!load_relaxed(&b->stop)) {
		r = kipc_shm_read_begin(arg, &seq, 5000 * MS);
		if (r == -EOWNERDEAD) {
			stat_inc(&b->told);
			continue;
		}
		if (r)
			return 1;
		for (int i = 0; i < WORDS; i++)
			copy[i] = load_relaxed(&b->words[i]);
		if (kipc_shm_read_retry(arg, seq))
			continue;
		for (int i = 2; i < WORDS; i++)
			if (copy[i] != copy[1])
				return 2;
		stat_inc(&b->snapshots);
	}
	return 0;
}

TEST_F(death, kill_loop)
{
	struct board *b = kipc_shm_addr(self->s);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	pid_t writer, reader;

	writer = ksft_fork(surviving_writer, self->s);
	reader = ksft_fork(surviving_reader, self->s);
	for (int i = 0; i < 60; i++) {
		uint64_t writes;
		pid_t pid;

		store_relaxed(&b->prey_writes, 0);
		pid = ksft_fork(prey, self->s);
		ASSERT_TRUE(ksft_wait_for(load_relaxed(&b->prey_writes) > (uint64_t)i % 7, 5000));
		ksft_kill(pid);
		/* it goes on */
		writes = load_relaxed(&b->survivor_writes);
		ASSERT_TRUE(ksft_wait_for(load_relaxed(&b->survivor_writes) > writes, 5000));
	}
	store_relaxed(&b->stop, 1);
	ksft_join(writer);
	ksft_join(reader);
	EXPECT_EQ(b->survivor_writes, b->words[0]);
	EXPECT_GT(b->snapshots, 0);
	ASSERT_EQ(0, kipc_shm_stat(self->s, &st));
	EXPECT_GT(st.healed, 0);
	EXPECT_EQ(1, st.peers);
	EXPECT_EQ(0, st.writing);
	ksft_log("%lu writes, %lu healed; %lu snapshots, %lu refused", (unsigned long)st.writes,
		 (unsigned long)st.healed, (unsigned long)b->snapshots, (unsigned long)b->told);
}

TEST_HARNESS_MAIN
