// SPDX-License-Identifier: MIT
/* The lock among the living: exclusion, waiting, timeouts, and who may release it. */
#include "common.h"

#define SEG(c)	(&(c)->seg)
#define WORD(c)	(&(c)->body->lock)

static int lock(struct core *c, int64_t timeout_ns)
{
	return __kipc_lock_acquire(SEG(c), WORD(c), __kipc_deadline(timeout_ns));
}

static int unlock(struct core *c)
{
	return __kipc_lock_release(SEG(c), WORD(c));
}

FIXTURE(lock) {
	struct core c, d;	/* two peers in this process */
};

FIXTURE_SETUP(lock)
{
	ASSERT_EQ(0, core_create(&self->c, NULL));
	ASSERT_EQ(0, core_open(&self->d, &self->c));
}

FIXTURE_TEARDOWN(lock)
{
	core_close(&self->d);
	core_close(&self->c);
}

TEST_F(lock, free_held_free)
{
	EXPECT_EQ(0, lock(&self->c, 0));
	EXPECT_EQ(1, self->c.body->lock);
	EXPECT_EQ(0, unlock(&self->c));
	EXPECT_EQ(0, self->c.body->lock);
	EXPECT_EQ(0, lock(&self->d, KIPC_FOREVER));
	EXPECT_EQ(2, self->c.body->lock);
	EXPECT_EQ(0, unlock(&self->d));
	EXPECT_EQ(0, self->c.body->lock);
}

TEST_F(lock, only_its_owner_releases_it)
{
	EXPECT_EQ(-EPERM, unlock(&self->c));
	EXPECT_EQ(0, lock(&self->c, 0));
	EXPECT_EQ(-EPERM, unlock(&self->d));
	EXPECT_EQ(1, self->c.body->lock);
	EXPECT_EQ(0, unlock(&self->c));
	EXPECT_EQ(-EPERM, unlock(&self->c));
	/* free, but not as new */
	self->c.body->lock = KIPC_LOCK_DIED;
	EXPECT_EQ(-EPERM, unlock(&self->c));
	self->c.body->lock = KIPC_LOCK_DIED | KIPC_LOCK_WAITERS;
	EXPECT_EQ(-EPERM, unlock(&self->c));
	self->c.body->lock = KIPC_LOCK_WAITERS;
	EXPECT_EQ(-EPERM, unlock(&self->c));
}

static int release_here(void *arg)
{
	return unlock(arg);
}

TEST_F(lock, any_thread_of_the_process_releases_it)
{
	struct ksft_thread t;

	EXPECT_EQ(0, lock(&self->c, 0));
	ksft_thread_start(&t, release_here, &self->c);
	ksft_thread_join(&t);
	EXPECT_EQ(0, self->c.body->lock);
}

TEST_F(lock, held_by_another)
{
	int64_t start = __kipc_now_ns();

	EXPECT_EQ(0, lock(&self->c, 0));
	EXPECT_EQ(-EAGAIN, lock(&self->d, KIPC_NOWAIT));
	EXPECT_EQ(1, self->c.body->lock);	/* nobody waits */
	EXPECT_EQ(-ETIMEDOUT, lock(&self->d, 1));
	EXPECT_EQ(-ETIMEDOUT, lock(&self->d, 5 * MS));
	EXPECT_EQ(-ETIMEDOUT, lock(&self->d, 60 * MS));
	EXPECT_GE(__kipc_now_ns() - start, 65 * MS);
	EXPECT_LT(__kipc_now_ns() - start, 65 * MS + ksft_scale(50) * MS);
	/* it isn't recursive, and knows no threads */
	EXPECT_EQ(-EAGAIN, lock(&self->c, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, lock(&self->c, 5 * MS));
	EXPECT_EQ(0, unlock(&self->c));
	EXPECT_EQ(0, lock(&self->d, KIPC_NOWAIT));
	EXPECT_EQ(0, unlock(&self->d));
	EXPECT_EQ(0, self->c.body->lock);
	EXPECT_EQ(0, self->c.seg.hdr->repairs);
}

TEST_F(lock, died_is_told_once)
{
	self->c.body->lock = KIPC_LOCK_DIED;
	EXPECT_EQ(-EOWNERDEAD, lock(&self->c, KIPC_NOWAIT));
	EXPECT_EQ(1, self->c.body->lock);
	EXPECT_EQ(-EAGAIN, lock(&self->d, KIPC_NOWAIT));
	EXPECT_EQ(0, unlock(&self->c));
	EXPECT_EQ(0, self->c.body->lock);
	EXPECT_EQ(0, lock(&self->d, KIPC_NOWAIT));
	EXPECT_EQ(0, unlock(&self->d));

	self->c.body->lock = KIPC_LOCK_DIED | KIPC_LOCK_WAITERS;
	EXPECT_EQ(-EOWNERDEAD, lock(&self->c, KIPC_FOREVER));
	EXPECT_EQ(1 | KIPC_LOCK_WAITERS, self->c.body->lock);
	EXPECT_EQ(0, unlock(&self->c));
	EXPECT_EQ(0, self->c.body->lock);
}

TEST_F(lock, words_that_make_no_sense)
{
	uint32_t npeers = self->c.seg.npeers;
	const uint32_t words[] = {
		npeers + 1,	 KIPC_LOCK_OWNER,	1u << 11,	     1u << 29 | 3,
		0xffffffff,	 KIPC_LOCK_DIED | 2,	KIPC_LOCK_DIED | KIPC_LOCK_WAITERS | 2,
		1u << 11 | KIPC_LOCK_DIED, (npeers + 1) | KIPC_LOCK_WAITERS, 0x800,
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		self->c.body->lock = words[i];
		EXPECT_EQ(-EPROTO, lock(&self->c, KIPC_NOWAIT));
		EXPECT_EQ(-EPROTO, lock(&self->c, MS));
		EXPECT_EQ(-EPROTO, lock(&self->c, KIPC_FOREVER));
		EXPECT_EQ(-EPERM, unlock(&self->c));
		EXPECT_EQ(words[i], self->c.body->lock);
	}
	self->c.body->lock = 0;
}

/* A lock of a slot that nobody has is a dead one's. */
TEST_F(lock, held_by_nobody)
{
	int64_t start = __kipc_now_ns();

	self->c.body->lock = 9;
	EXPECT_EQ(-EOWNERDEAD, lock(&self->c, KIPC_NOWAIT));
	EXPECT_EQ(0, unlock(&self->c));
	self->c.body->lock = 9;
	EXPECT_EQ(-EOWNERDEAD, lock(&self->c, KIPC_FOREVER));
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(100) * MS);
	EXPECT_EQ(0, unlock(&self->c));
}

/* A word that no repair() knows of can't be taken from a dead owner, but nothing hangs either. */
TEST_F(lock, a_word_that_is_not_repaired)
{
	uint32_t *stray = (uint32_t *)&self->c.body->spare[0];

	*stray = 9;
	EXPECT_EQ(-EAGAIN, __kipc_lock_acquire(SEG(&self->c), stray, 0));
	EXPECT_EQ(-ETIMEDOUT, __kipc_lock_acquire(SEG(&self->c), stray, __kipc_deadline(30 * MS)));
	*stray = 0;
	ksft_needs_processes();
	*stray = core_dead_slot(&self->c, core_claim);
	EXPECT_EQ(-EAGAIN, __kipc_lock_acquire(SEG(&self->c), stray, 0));
	EXPECT_EQ(1, self->c.seg.hdr->repairs);
	EXPECT_EQ(-EAGAIN, __kipc_lock_acquire(SEG(&self->c), stray, 0));
	EXPECT_EQ(-ETIMEDOUT, __kipc_lock_acquire(SEG(&self->c), stray, __kipc_deadline(30 * MS)));
}

TEST_F(lock, repair_of_the_word)
{
	uint32_t *word = WORD(&self->c);

	*word = 5;
	EXPECT_FALSE(__kipc_lock_repair(word, 6));
	EXPECT_EQ(5, *word);
	EXPECT_TRUE(__kipc_lock_repair(word, 5));
	EXPECT_EQ(KIPC_LOCK_DIED, *word);
	EXPECT_FALSE(__kipc_lock_repair(word, 5));
	*word = 5 | KIPC_LOCK_WAITERS;
	EXPECT_TRUE(__kipc_lock_repair(word, 5));
	EXPECT_EQ(KIPC_LOCK_DIED | KIPC_LOCK_WAITERS, *word);
	*word = 0;
}

/* ---- waiting ---- */

struct waiter {
	struct core *c;
	int64_t deadline;
	int64_t got_ns;		/* shared when the peer is a process */
};

static int lock_once(void *arg)
{
	struct waiter *w = arg;
	int r = __kipc_peer_enter(SEG(w->c));

	if (r)
		return r;
	r = __kipc_lock_acquire(SEG(w->c), WORD(w->c), w->deadline);
	if (r)
		return r;
	store_release(&w->got_ns, __kipc_now_ns());
	return unlock(w->c);
}

FIXTURE(wait) {
	struct core c;
	struct waiter *w;
};

FIXTURE_VARIANT(wait) {
	enum ksft_peer_kind peers;
};

FIXTURE_VARIANT_ADD(wait, threads) { KSFT_THREAD };
FIXTURE_VARIANT_ADD(wait, processes) { KSFT_PROCESS };

FIXTURE_SETUP(wait)
{
	ASSERT_EQ(0, core_create(&self->c, NULL));
	self->w = ksft_shared(sizeof(*self->w));
	*self->w = (struct waiter){ .c = &self->c, .deadline = KIPC_DEADLINE_NEVER };
}

FIXTURE_TEARDOWN(wait)
{
	core_close(&self->c);
}

TEST_F(wait, a_contended_release_wakes)
{
	int64_t worst = 0;

	for (int i = 0; i < 20; i++) {
		struct ksft_peer p;
		int64_t released;

		self->w->got_ns = 0;
		ASSERT_EQ(0, lock(&self->c, 0));
		ksft_peer_start(&p, variant->peers, lock_once, self->w);
		ASSERT_TRUE(ksft_wait_for(
			load_relaxed(WORD(&self->c)) & KIPC_LOCK_WAITERS && ksft_asleep(p.id), 5000));
		released = __kipc_now_ns();
		ASSERT_EQ(0, unlock(&self->c));
		ksft_peer_join(&p);
		worst = max_of(worst, self->w->got_ns - released);
		EXPECT_EQ(0, load_relaxed(WORD(&self->c)));
	}
	EXPECT_LT(worst, ksft_scale(100) * MS);
}

/* Each release wakes one, and that one wakes the next: nobody is forgotten. */
TEST_F(wait, many_waiters)
{
	enum { WAITERS = 6 };
	struct ksft_peer p[WAITERS];
	int64_t start;

	ASSERT_EQ(0, lock(&self->c, 0));
	for (int i = 0; i < WAITERS; i++)
		ksft_peer_start(&p[i], variant->peers, lock_once, self->w);
	for (int i = 0; i < WAITERS; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(p[i].id), 5000));
	start = __kipc_now_ns();
	ASSERT_EQ(0, unlock(&self->c));
	for (int i = 0; i < WAITERS; i++)
		ksft_peer_join(&p[i]);
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(150) * MS);
	EXPECT_EQ(0, load_relaxed(WORD(&self->c)));
}

static void on_alarm(int sig)
{
	(void)sig;
}

TEST_F(wait, signals_do_not_end_it)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { { 0, 2000 }, { 0, 2000 } };
	int64_t start;

	ASSERT_EQ(0, lock(&self->c, 0));
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &it, NULL));
	start = __kipc_now_ns();
	EXPECT_EQ(-ETIMEDOUT, lock(&self->c, 100 * MS));
	EXPECT_GE(__kipc_now_ns() - start, 100 * MS);
	it = (struct itimerval){ 0 };
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &it, NULL));
}

/* ---- exclusion ---- */

struct count {
	struct core *c;
	int rounds;
	bool sleep;
};

static int count(void *arg)
{
	struct count *n = arg;
	struct core *c = n->c;
	int r = __kipc_peer_enter(SEG(c));

	for (int i = 0; i < n->rounds && !r; i++) {
		uint64_t v;

		/* now and then one that gives up, in every way */
		if (i % 7 == 3)
			r = lock(c, i % 2 ? KIPC_NOWAIT : 1000);
		else
			r = lock(c, KIPC_FOREVER);
		if (r == -EAGAIN || r == -ETIMEDOUT) {
			i--;
			r = 0;
			if (n->sleep)
				sched_yield();
			continue;
		}
		if (r)
			break;
		v = c->body->pair[0];
		if (c->body->pair[1] != v)
			return 1;
		c->body->pair[0] = v + 1;
		if (n->sleep && i % 16 == 0)
			sched_yield();	/* so that others find it held */
		c->body->pair[1] = v + 1;
		r = unlock(c);
	}
	return r;
}

TEST_F(wait, mutual_exclusion)
{
	enum { PEERS = 4 };
	struct count n = { &self->c, ksft_slow() ? 1000 : 20000, false };
	struct ksft_peer p[PEERS];

	for (int round = 0; round < 2; round++) {
		self->c.body->pair[0] = self->c.body->pair[1] = 0;
		n.sleep = round;
		for (int i = 0; i < PEERS; i++)
			ksft_peer_start(&p[i], variant->peers, count, &n);
		for (int i = 0; i < PEERS; i++)
			ksft_peer_join(&p[i]);
		EXPECT_EQ(PEERS * n.rounds, self->c.body->pair[0]);
		EXPECT_EQ(PEERS * n.rounds, self->c.body->pair[1]);
		EXPECT_EQ(0, load_relaxed(WORD(&self->c)) & ~KIPC_LOCK_WAITERS);
	}
	EXPECT_EQ(0, self->c.seg.hdr->repaired_claims);
}

TEST_HARNESS_MAIN
