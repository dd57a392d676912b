// SPDX-License-Identifier: MIT
/* The reader-writer lock when a holder or a waiter is killed. */
#include "death_test.h"

static int holds_exclusive(void *arg)
{
	struct victim *v = arg;

	if (kipc_shm_lock_exclusive(v->s, KIPC_FOREVER) != v->want)
		return 1;
	stay(v->step);
}

static int holds_shared(void *arg)
{
	struct victim *v = arg;

	if (kipc_shm_lock_shared(v->s, KIPC_FOREVER) != v->want)
		return 1;
	stay(v->step);
}

/* Never comes to its end: it is killed while it waits. */
static int waits_exclusive(void *arg)
{
	struct victim *v = arg;

	kipc_shm_lock_exclusive(v->s, KIPC_FOREVER);
	return 1;
}

static int waits_shared(void *arg)
{
	struct victim *v = arg;

	kipc_shm_lock_shared(v->s, KIPC_FOREVER);
	return 1;
}

/* Free, and in order. */
static void works(struct kipc_shm *s)
{
	EXPECT_EQ(0, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(s));
	EXPECT_EQ(0, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(s));
	EXPECT_EQ(-EPERM, kipc_shm_unlock(s));
	EXPECT_EQ(1, stat_of(s).peers);
	EXPECT_EQ(0, stat_of(s).lock_shared);
	EXPECT_EQ(0, stat_of(s).lock_exclusive);
	EXPECT_EQ(0, stat_of(s).lock_torn);
}

TEST_F(death, of_a_writer)
{
	struct victim v = { self->s, self->step, 0 };

	kill_in(holds_exclusive, &v);
	/* everybody is told, and holds it, until somebody was a writer */
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
		EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_shared(self->s, KIPC_FOREVER));
		EXPECT_EQ(-EAGAIN, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_shm_unlock(self->s));
		EXPECT_EQ(0, kipc_shm_unlock(self->s));
	}
	EXPECT_EQ(1, stat_of(self->s).lock_torn);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	EXPECT_EQ(1, stat_of(self->s).lock_healed);
	works(self->s);
}

TEST_F(death, of_a_writer_at_once)
{
	struct victim v = { self->s, self->step, 0 };

	kill_in(holds_exclusive, &v);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	works(self->s);
}

TEST_F(death, of_who_heals)
{
	struct victim v = { self->s, self->step, 0 };

	kill_in(holds_exclusive, &v);
	v.want = -EOWNERDEAD;
	for (int i = 0; i < 3; i++)
		kill_in(holds_exclusive, &v);
	/* readers that die heal nothing */
	kill_in(holds_shared, &v);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	works(self->s);
}

/* Who waited in vain heals nothing either. */
TEST_F(death, of_a_writer_and_one_that_gives_up)
{
	struct victim v = { self->s, self->step, 0 };

	kill_in(holds_exclusive, &v);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_lock_exclusive(self->s, MS));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
}

TEST_F(death, of_readers)
{
	struct victim v = { self->s, self->step, 0 };
	pid_t a = start(holds_shared, &v), b = start(holds_shared, &v);

	EXPECT_EQ(2, stat_of(self->s).lock_shared);
	EXPECT_EQ(-EAGAIN, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	ksft_kill(a);
	EXPECT_EQ(-EAGAIN, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	ksft_kill(b);
	works(self->s);
}

struct waiter {
	struct victim v;
	int64_t *got;	/* when it got the lock, by its number */
	uint32_t n;
	bool exclusive;
};

static int waits_and_gets(void *arg)
{
	struct waiter *w = arg;
	int r = w->exclusive ? kipc_shm_lock_exclusive(w->v.s, KIPC_FOREVER) :
			       kipc_shm_lock_shared(w->v.s, KIPC_FOREVER);

	/* the first writer to come heals it */
	if (r && r != w->v.want)
		return 1;
	w->got[w->n] = ksft_now_ns();
	return kipc_shm_unlock(w->v.s);
}

FIXTURE(waiting) {
	struct kipc_shm *s;
	uint32_t *step;
	int64_t *got;
};

FIXTURE_VARIANT(waiting) {
	ksft_fn victim;
	bool exclusive;		/* those that wait */
	int want;		/* what they may be told */
};

FIXTURE_VARIANT_ADD(waiting, readers_for_a_writer) { holds_exclusive, false, -EOWNERDEAD };
FIXTURE_VARIANT_ADD(waiting, writers_for_a_writer) { holds_exclusive, true, -EOWNERDEAD };
FIXTURE_VARIANT_ADD(waiting, writers_for_a_reader) { holds_shared, true, 0 };

FIXTURE_SETUP(waiting)
{
	self->step = ksft_shared(sizeof(*self->step));
	self->got = ksft_shared(3 * sizeof(*self->got));
	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &self->s));
}

FIXTURE_TEARDOWN(waiting)
{
	kipc_shm_close(self->s);
}

TEST_F(waiting, hear_of_it)
{
	struct victim v = { self->s, self->step, 0 };
	pid_t victim = start(variant->victim, &v), pids[3];
	struct waiter w[3];
	int64_t killed;

	v.want = variant->want;
	for (uint32_t i = 0; i < 3; i++) {
		w[i] = (struct waiter){ v, self->got, i, variant->exclusive };
		pids[i] = ksft_fork(waits_and_gets, &w[i]);
	}
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(pids[i]), 20000));
	killed = ksft_now_ns();
	ksft_kill(victim);
	for (int i = 0; i < 3; i++) {
		ksft_join(pids[i]);
		EXPECT_LT(self->got[i] - killed, SURVIVE_NS);
	}
}

/* A writer killed while it waits for readers: the gate opens, and nothing is torn. */
TEST_F(death, of_a_waiting_writer)
{
	struct victim v = { self->s, self->step, 0 };
	pid_t pid;

	ASSERT_EQ(0, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
	pid = ksft_fork(waits_exclusive, &v);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 20000));
	ASSERT_TRUE(ksft_wait_for(kipc_shm_lock_shared(self->s, KIPC_NOWAIT) == -EAGAIN ||
				  kipc_shm_unlock(self->s), 20000));
	ksft_kill(pid);
	EXPECT_EQ(0, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	works(self->s);
}

/* Those that wait for it go on as well. */
TEST_F(death, of_a_waiting_writer_that_is_waited_for)
{
	struct victim v = { self->s, self->step, 0 };
	int64_t *got = ksft_shared(sizeof(*got)), killed;
	struct waiter w = { v, got, 0, false };
	pid_t writer, reader;

	ASSERT_EQ(0, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
	writer = ksft_fork(waits_exclusive, &v);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(writer), 20000));
	ASSERT_TRUE(ksft_wait_for(kipc_shm_lock_shared(self->s, KIPC_NOWAIT) == -EAGAIN ||
				  kipc_shm_unlock(self->s), 20000));
	reader = ksft_fork(waits_and_gets, &w);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(reader), 20000));
	killed = ksft_now_ns();
	ksft_kill(writer);
	ksft_join(reader);
	EXPECT_LT(*got - killed, SURVIVE_NS);
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	works(self->s);
}

/* A reader killed while it waits for its turn is not waited for. */
TEST_F(death, of_a_waiting_reader)
{
	struct victim v = { self->s, self->step, 0 };
	pid_t pid;

	ASSERT_EQ(0, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	pid = ksft_fork(waits_shared, &v);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 20000));
	ASSERT_TRUE(ksft_wait_for(stat_of(self->s).lock_shared == 1, 20000));
	ksft_kill(pid);
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	works(self->s);
}

TEST_F(death, a_stopped_one_is_not_dead)
{
	static const ksft_fn fns[] = { holds_exclusive, holds_shared };
	struct victim v = { self->s, self->step, 0 };

	for (int i = 0; i < 2; i++) {
		pid_t pid = start(fns[i], &v);

		kill(pid, SIGSTOP);
		EXPECT_EQ(-ETIMEDOUT, kipc_shm_lock_exclusive(self->s, 50 * MS));
		EXPECT_EQ(i ? 0 : -ETIMEDOUT, kipc_shm_lock_shared(self->s, 50 * MS));
		EXPECT_EQ(i ? 0 : -EPERM, kipc_shm_unlock(self->s));
		ksft_kill(pid);
		EXPECT_EQ(i ? 0 : -EOWNERDEAD, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_shm_unlock(self->s));
	}
}

static int closes(void *arg)
{
	struct victim *v = arg;
	int r = v->want ? kipc_shm_lock_exclusive(v->s, KIPC_FOREVER) :
			  kipc_shm_lock_shared(v->s, KIPC_FOREVER);

	kipc_shm_close(v->s);
	return r;
}

/* As a death: whoever closes it exclusively locked leaves half of something. */
TEST_F(death, closed_while_held)
{
	struct victim v = { self->s, self->step, 0 };

	ksft_join(ksft_fork(closes, &v));
	works(self->s);
	v.want = 1;
	ksft_join(ksft_fork(closes, &v));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
	works(self->s);
}

/*
 * Writers and readers killed at any moment, survivors that write and read.  Two words are equal but
 * while a writer is in, or died in; the survivors' own writes are all there.
 */
struct board {
	uint64_t stop;
	uint64_t pair[2];
	uint64_t writes;	/* of the survivor: kept under the lock */
	uint64_t survivor_writes, survivor_reads, told;
	uint64_t prey;
};

static int write_round(struct kipc_shm *s, bool count)
{
	struct board *b = kipc_shm_addr(s);
	int r = kipc_shm_lock_exclusive(s, KIPC_FOREVER);
	uint64_t next;

	if (r && r != -EOWNERDEAD)
		return r;
	if (!r && b->pair[0] != b->pair[1])
		return -EBADMSG;
	next = b->pair[0] + 1;
	store_relaxed(&b->pair[0], next);
	if (count)
		b->writes++;
	store_relaxed(&b->pair[1], next);
	return kipc_shm_unlock(s);
}

static int read_round(struct kipc_shm *s)
{
	struct board *b = kipc_shm_addr(s);
	int r = kipc_shm_lock_shared(s, KIPC_FOREVER);

	if (r && r != -EOWNERDEAD)
		return r;
	if (!r && load_relaxed(&b->pair[0]) != load_relaxed(&b->pair[1]))
		return -EBADMSG;
	if (r)
		stat_inc(&b->told);
	return kipc_shm_unlock(s);
}

static int prey_writes(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	for (;;) {
		if (write_round(arg, false))
			return 1;
		stat_inc(&b->prey);
	}
}

static int prey_reads(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	for (;;) {
		if (read_round(arg))
			return 1;
		stat_inc(&b->prey);
	}
}

static int surviving_writer(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	int r = 0;

	while (!r && !load_relaxed(&b->stop)) {
		r = write_round(arg, true);
		stat_inc(&b->survivor_writes);
	}
	return -r;
}

static int surviving_reader(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	int r = 0;

	while (!r && !load_relaxed(&b->stop)) {
		r = read_round(arg);
		stat_inc(&b->survivor_reads);
	}
	return -r;
}

TEST_F(death, kill_loop)
{
	struct board *b = kipc_shm_addr(self->s);
	pid_t writer = ksft_fork(surviving_writer, self->s);
	pid_t reader = ksft_fork(surviving_reader, self->s);

	for (int i = 0; i < 60; i++) {
		uint64_t writes, reads;
		pid_t pid;

		store_relaxed(&b->prey, 0);
		pid = ksft_fork(i % 3 ? prey_writes : prey_reads, self->s);
		ASSERT_TRUE(ksft_wait_for(load_relaxed(&b->prey) > (uint64_t)i % 7, 20000));
		ksft_kill(pid);
		/* both go on */
		writes = load_relaxed(&b->survivor_writes);
		reads = load_relaxed(&b->survivor_reads);
		ASSERT_TRUE(ksft_wait_for(load_relaxed(&b->survivor_writes) > writes, 20000));
		ASSERT_TRUE(ksft_wait_for(load_relaxed(&b->survivor_reads) > reads, 20000));
	}
	store_relaxed(&b->stop, 1);
	ksft_join(writer);
	ksft_join(reader);
	EXPECT_EQ(b->survivor_writes, b->writes);
	EXPECT_GT(stat_of(self->s).lock_healed, 0);
	ksft_log("%lu writes, %lu reads, %lu of them told", (unsigned long)b->pair[0],
		 (unsigned long)b->survivor_reads, (unsigned long)b->told);
	works(self->s);
}

TEST_HARNESS_MAIN
