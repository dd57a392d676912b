// SPDX-License-Identifier: MIT
/* Repairs: how many, by whom, one inside another, and when the repairer dies as well. */
#include "common.h"

FIXTURE(reap) {
	struct core c;
	struct shared {
		uint32_t calls;
		uint32_t inside;	/* hooks at work now */
		uint32_t most;		/* ... at once */
		uint32_t go;
		int32_t results[4];
	} *sh;
};

static struct shared *shared;

FIXTURE_SETUP(reap)
{
	ASSERT_EQ(0, core_create(&self->c, NULL));
	shared = self->sh = ksft_shared(sizeof(*shared));
}

FIXTURE_TEARDOWN(reap)
{
	core_hook = NULL;
	core_close(&self->c);
}

#define SEG (&self->c.seg)

static int three_claims(struct core *c, uint32_t slot)
{
	(void)c;
	(void)slot;
	fetch_add(&shared->calls, 1);
	return 3;
}

TEST_F(reap, counts)
{
	uint32_t dead = core_dead_slot(&self->c, core_claim);

	core_hook = three_claims;
	EXPECT_EQ(1, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(1, shared->calls);
	EXPECT_EQ(1, SEG->hdr->repairs);
	EXPECT_EQ(4, SEG->hdr->repaired_claims);
	EXPECT_EQ(0, self->c.body->claim);
	core_hook = NULL;
}

static int fail_twice(struct core *c, uint32_t slot)
{
	(void)c;
	(void)slot;
	return fetch_add(&shared->calls, 1) < 2 ? -ENOMEM : 0;
}

TEST_F(reap, what_fails_is_tried_again)
{
	uint32_t dead = core_dead_slot(&self->c, core_claim);

	core_hook = fail_twice;
	EXPECT_EQ(-ENOMEM, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, dead)->state);
	EXPECT_TRUE(core_byte_free(SEG->fd, dead));
	EXPECT_EQ(0, __kipc_peer_sweep(SEG, 0));
	EXPECT_EQ(0, SEG->hdr->repairs);
	EXPECT_EQ(1, __kipc_peer_sweep(SEG, 0));
	EXPECT_EQ(1, SEG->hdr->repairs);
	EXPECT_EQ(3, shared->calls);
}

/* Sleepers are told: what the dead one held may be what they wait for. */
TEST_F(reap, the_bells_ring)
{
	uint32_t dead = core_dead_slot(&self->c, core_claim);

	__kipc_bell_announce(SEG, &self->c.bells[1]);
	EXPECT_EQ(1, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(0, self->c.bells[0].line->rings);
	EXPECT_EQ(1, self->c.bells[1].line->rings);
	EXPECT_EQ(0, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(1, self->c.bells[1].line->rings);
	__kipc_bell_retract(SEG, &self->c.bells[1]);
}

/* ---- at the same time ---- */

static int linger(struct core *c, uint32_t slot)
{
	uint32_t n = fetch_add(&shared->inside, 1) + 1, most = load_relaxed(&shared->most);

	(void)c;
	(void)slot;
	while (n > most && !try_cmpxchg(&shared->most, &most, n))
		;
	fetch_add(&shared->calls, 1);
	ksft_wait_for(load_acquire(&shared->go), 5000);
	fetch_sub(&shared->inside, 1);
	return 0;
}

struct reaper {
	struct core *c;
	uint32_t dead;
	int n;
};

static int reap_it(void *arg)
{
	struct reaper *r = arg;
	int ret = __kipc_peer_enter(&r->c->seg);

	if (ret)
		return ret;
	store_release(&shared->results[r->n], 100 + __kipc_peer_reap(&r->c->seg, r->dead));
	return 0;
}

FIXTURE(two) {
	struct core c;
	struct shared *sh;
	uint32_t dead;
};

FIXTURE_VARIANT(two) {
	enum ksft_peer_kind peers;
};

FIXTURE_VARIANT_ADD(two, threads) { KSFT_THREAD };
FIXTURE_VARIANT_ADD(two, processes) { KSFT_PROCESS };

FIXTURE_SETUP(two)
{
	ksft_needs_processes();
	ASSERT_EQ(0, core_create(&self->c, NULL));
	shared = self->sh = ksft_shared(sizeof(*shared));
	self->dead = core_dead_slot(&self->c, core_claim);
}

FIXTURE_TEARDOWN(two)
{
	core_hook = NULL;
	core_close(&self->c);
}

/* One repairs, however long it takes; the other goes on at once. */
TEST_F(two, at_once)
{
	struct reaper r[2] = { { &self->c, self->dead, 0 }, { &self->c, self->dead, 1 } };
	struct ksft_peer p[2];
	int first;

	core_hook = linger;
	for (int i = 0; i < 2; i++)
		ksft_peer_start(&p[i], variant->peers, reap_it, &r[i]);
	EXPECT_TRUE(ksft_wait_for(load_acquire(&shared->inside) == 1, 5000));
	EXPECT_TRUE(ksft_wait_for(load_acquire(&shared->results[0]) ||
				  load_acquire(&shared->results[1]), 2000));
	first = shared->results[0] ? 0 : 1;
	EXPECT_EQ(100, shared->results[first]);
	/* nor does it count as alive or free while it is being repaired */
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, self->dead)->state);
	store_release(&shared->go, 1);
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&p[i]);
	EXPECT_EQ(101, shared->results[!first]);
	EXPECT_EQ(1, shared->most);
	EXPECT_EQ(1, shared->calls);
	EXPECT_EQ(1, self->c.seg.hdr->repairs);
	EXPECT_EQ(1, self->c.seg.hdr->repaired_claims);
}

/* The slot isn't given to anybody before its repair is over. */
TEST_F(two, nobody_gets_a_slot_under_repair)
{
	struct reaper r = { &self->c, self->dead, 0 };
	struct ksft_peer p;
	struct core d;

	core_hook = linger;
	ksft_peer_start(&p, variant->peers, reap_it, &r);
	EXPECT_TRUE(ksft_wait_for(load_acquire(&shared->inside) == 1, 5000));
	ASSERT_EQ(0, core_open(&d, &self->c));
	EXPECT_NE(self->dead, d.seg.slot);
	store_release(&shared->go, 1);
	ksft_peer_join(&p);
	core_hook = NULL;
	core_close(&d);
}

/* ---- the repairer dies ---- */

static int die(struct core *c, uint32_t slot)
{
	(void)slot;
	fetch_add(&shared->calls, 1);
	/* half of it is done: the claim is taken back, the lock isn't */
	store_release(&c->body->claim, 0);
	raise(SIGKILL);
	return 0;
}

static int hold_both(struct core *c)
{
	core_claim(c);
	return __kipc_lock_acquire(&c->seg, &c->body->lock, 0);
}

TEST_F(reap, a_reaper_dies_at_it)
{
	uint32_t dead = core_dead_slot(&self->c, hold_both), reaper;
	struct reaper r = { &self->c, dead, 0 };
	pid_t pid;

	core_hook = die;
	pid = ksft_fork(reap_it, &r);
	EXPECT_TRUE(WIFSIGNALED(ksft_wait(pid)));
	core_hook = NULL;
	reaper = 3;
	EXPECT_EQ(1, shared->calls);
	EXPECT_EQ(0, SEG->hdr->repairs);
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, dead)->state);
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, reaper)->state);
	EXPECT_TRUE(core_byte_free(SEG->fd, dead));
	EXPECT_EQ(dead, self->c.body->lock);
	/* both are found, whichever comes first */
	EXPECT_EQ(2, __kipc_peer_sweep(SEG, 0));
	EXPECT_EQ(2, SEG->hdr->repairs);
	EXPECT_EQ(1, SEG->hdr->repaired_claims);
	EXPECT_EQ(KIPC_LOCK_DIED, self->c.body->lock);
	EXPECT_EQ(KIPC_PEER_FREE, core_peer(&self->c, dead)->state);
	EXPECT_EQ(KIPC_PEER_FREE, core_peer(&self->c, reaper)->state);
}

TEST_F(reap, one_reaper_after_the_other_dies)
{
	uint32_t dead = core_dead_slot(&self->c, hold_both);
	struct reaper r = { &self->c, dead, 0 };

	core_hook = die;
	for (int i = 1; i <= 5; i++) {
		EXPECT_TRUE(WIFSIGNALED(ksft_wait(ksft_fork(reap_it, &r))));
		EXPECT_EQ(i, shared->calls);
	}
	core_hook = NULL;
	EXPECT_EQ(6, __kipc_peer_sweep(SEG, 0));
	EXPECT_EQ(KIPC_LOCK_DIED, self->c.body->lock);
}

/* ---- one inside another ---- */

static uint32_t chain[8];
static int nested[8];

/* Its repair meets the claim of the next dead one, and its own. */
static int reap_next(struct core *c, uint32_t slot)
{
	for (int i = 0; i < 7; i++) {
		if (chain[i] != slot)
			continue;
		nested[i] = __kipc_peer_reap(&c->seg, chain[i + 1]);
		EXPECT_EQ(0, __kipc_peer_reap(&c->seg, slot));
		EXPECT_EQ(0, __kipc_peer_reap(&c->seg, chain[0]));
	}
	return 0;
}

TEST_F(reap, one_inside_another)
{
	pid_t pid[7];

	for (int i = 0; i < 7; i++)
		chain[i] = core_start_holder(&self->c, &pid[i], NULL);
	chain[7] = chain[0];
	for (int i = 0; i < 7; i++)
		ksft_kill(pid[i]);
	core_hook = reap_next;
	EXPECT_EQ(1, __kipc_peer_reap(SEG, chain[0]));
	/* so deep and no deeper; what is left is found the next time */
	EXPECT_EQ(4, SEG->hdr->repairs);
	EXPECT_EQ(1, nested[2]);
	EXPECT_EQ(0, nested[3]);
	EXPECT_EQ(0, SEG->repair_depth);
	EXPECT_EQ(3, __kipc_peer_sweep(SEG, 0) + (nested[4] == 1) + (nested[5] == 1));
	EXPECT_EQ(7, SEG->hdr->repairs);
}

/* ---- threads: a repair may need a lock that another thread holds while it meets a dead slot ---- */

static int lock_here(struct core *c, uint32_t slot)
{
	(void)slot;
	fetch_add(&shared->inside, 1);
	return __kipc_lock_acquire(&c->seg, &c->body->lock, __kipc_deadline(5 * NSEC_PER_SEC)) ?
		       -EDEADLK : (__kipc_lock_release(&c->seg, &c->body->lock), 0);
}

TEST_F(reap, a_repair_that_needs_a_lock_of_another_thread)
{
	uint32_t dead = core_dead_slot(&self->c, core_claim);
	struct reaper r = { &self->c, dead, 0 };
	int64_t start = __kipc_now_ns();
	struct ksft_thread t;

	core_hook = lock_here;
	ASSERT_EQ(0, __kipc_lock_acquire(SEG, &self->c.body->lock, 0));
	ksft_thread_start(&t, reap_it, &r);
	ASSERT_TRUE(ksft_wait_for(load_acquire(&shared->inside) == 1, 5000));
	/* we hold its lock and meet the same dead slot */
	EXPECT_EQ(0, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(0, __kipc_peer_sweep(SEG, 0));
	EXPECT_EQ(0, __kipc_lock_release(SEG, &self->c.body->lock));
	ksft_thread_join(&t);
	EXPECT_LT(__kipc_now_ns() - start, 4 * NSEC_PER_SEC);
	EXPECT_EQ(101, shared->results[0]);
	EXPECT_EQ(1, SEG->hdr->repairs);
}

TEST_HARNESS_MAIN
