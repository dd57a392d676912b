// SPDX-License-Identifier: MIT
/* Slots: taken, given back, looked at; how many there are, and when one counts as dead. */
#include "common.h"

FIXTURE(peer) {
	struct core c;
};

FIXTURE_SETUP(peer)
{
	ASSERT_EQ(0, core_create(&self->c, NULL));
}

FIXTURE_TEARDOWN(peer)
{
	core_hook = NULL;
	core_close(&self->c);
}

#define SEG (&self->c.seg)

TEST_F(peer, slots_of_many_processes)
{
	bool seen[64] = { false };
	pid_t pid[20];

	for (int i = 0; i < 20; i++) {
		uint32_t slot = core_start_holder(&self->c, &pid[i], NULL);
		struct kipc_peer *p = core_peer(&self->c, slot);

		ASSERT_NE(NULL, p);
		ASSERT_LT(slot, 64);
		EXPECT_FALSE(seen[slot]);
		seen[slot] = true;
		EXPECT_NE(SEG->slot, slot);
		EXPECT_EQ(KIPC_PEER_LIVE, p->state);
		EXPECT_EQ(pid[i], p->pid);
		EXPECT_TRUE(__kipc_peer_alive(SEG, slot));
		EXPECT_EQ(0, __kipc_peer_reap(SEG, slot));
	}
	EXPECT_EQ(21, SEG->hdr->peer_high);
	EXPECT_EQ(0, __kipc_peer_sweep(SEG, 0));
	for (int i = 0; i < 20; i++)
		ksft_kill(pid[i]);
	for (uint32_t slot = 2; slot <= 21; slot++) {
		EXPECT_FALSE(__kipc_peer_alive(SEG, slot));
		EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, slot)->state);
	}
	EXPECT_EQ(20, __kipc_peer_sweep(SEG, 0));
	EXPECT_EQ(20, SEG->hdr->repairs);
	EXPECT_EQ(0, SEG->hdr->repaired_claims);
	for (uint32_t slot = 2; slot <= 21; slot++)
		EXPECT_EQ(KIPC_PEER_FREE, core_peer(&self->c, slot)->state);
	EXPECT_EQ(0, __kipc_peer_sweep(SEG, 0));
	EXPECT_TRUE(__kipc_peer_alive(SEG, SEG->slot));
}

TEST(full)
{
	struct kipc_segment_spec spec = { .npeers = 4 };
	pid_t pid[3];
	struct core c, d;
	int fds;

	ASSERT_EQ(0, core_create(&c, &spec));
	for (int i = 0; i < 3; i++)
		core_start_holder(&c, &pid[i], NULL);
	fds = core_count_fds(NULL);
	EXPECT_EQ(-EUSERS, core_open(&d, &c));
	EXPECT_EQ(-EUSERS, core_open(&d, &c));
	EXPECT_EQ(fds, core_count_fds(NULL));
	EXPECT_EQ(0, c.seg.hdr->repairs);

	/* a stopped one keeps its place */
	ASSERT_EQ(0, kill(pid[1], SIGSTOP));
	EXPECT_EQ(-EUSERS, core_open(&d, &c));
	/* a dead one loses it to whoever asks */
	ksft_kill(pid[1]);
	ASSERT_EQ(0, core_open(&d, &c));
	EXPECT_EQ(3, d.seg.slot);
	EXPECT_EQ(1, c.seg.hdr->repairs);
	EXPECT_EQ(2, core_peer(&c, 3)->generation);
	EXPECT_EQ(-EUSERS, core_open(&(struct core){ 0 }, &c));
	core_close(&d);
	ASSERT_EQ(0, core_open(&d, &c));
	EXPECT_EQ(3, core_peer(&c, 3)->generation);
	core_close(&d);
	ksft_kill(pid[0]);
	ksft_kill(pid[2]);
	core_close(&c);
}

static int enter_when_told(void *arg)
{
	struct core_holder *h = arg;
	int r = __kipc_peer_enter(&h->c->seg);

	return r == -EUSERS ? 1 : r ? 2 : 0;
}

/* A fork child that finds no slot says so at each use, until there is one. */
TEST(full_for_a_fork_child)
{
	struct kipc_segment_spec spec = { .npeers = 1 };
	struct core_holder h;
	struct core c;
	int status;

	ASSERT_EQ(0, core_create(&c, &spec));
	h.c = &c;
	status = ksft_wait(ksft_fork(enter_when_told, &h));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(1, WEXITSTATUS(status));
	core_close(&c);
}

TEST_F(peer, closing_gives_back)
{
	struct core d;

	for (int i = 1; i <= 5; i++) {
		ASSERT_EQ(0, core_open(&d, &self->c));
		EXPECT_EQ(2, d.seg.slot);
		EXPECT_EQ(i, core_peer(&self->c, 2)->generation);
		core_close(&d);
		EXPECT_EQ(KIPC_PEER_FREE, core_peer(&self->c, 2)->state);
		EXPECT_TRUE(core_byte_free(SEG->fd, 2));
	}
	EXPECT_EQ(0, SEG->hdr->repairs);
	EXPECT_EQ(2, SEG->hdr->peer_high);
}

TEST_F(peer, closing_gives_up_what_is_held)
{
	struct core d;

	ASSERT_EQ(0, core_open(&d, &self->c));
	core_claim(&d);
	EXPECT_EQ(0, __kipc_lock_acquire(&d.seg, &d.body->lock, 0));
	core_close(&d);
	EXPECT_EQ(0, self->c.body->claim);
	EXPECT_EQ(KIPC_LOCK_DIED, self->c.body->lock);
	EXPECT_EQ(0, SEG->hdr->repairs);
}

static int refuse(struct core *c, uint32_t slot)
{
	(void)c;
	(void)slot;
	return -EIO;
}

/* What could not be given back is a dead process's. */
TEST_F(peer, closing_what_can_not_be_repaired)
{
	struct core d;

	ASSERT_EQ(0, core_open(&d, &self->c));
	core_claim(&d);
	core_hook = refuse;
	core_close(&d);
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, 2)->state);
	EXPECT_TRUE(core_byte_free(SEG->fd, 2));
	EXPECT_EQ(-EIO, __kipc_peer_reap(SEG, 2));
	EXPECT_EQ(2, self->c.body->claim);
	core_hook = NULL;
	EXPECT_EQ(1, __kipc_peer_reap(SEG, 2));
	EXPECT_EQ(0, self->c.body->claim);
	EXPECT_EQ(1, SEG->hdr->repairs);
	EXPECT_EQ(1, SEG->hdr->repaired_claims);
}

TEST_F(peer, numbers_that_are_no_slots)
{
	EXPECT_EQ(NULL, core_peer(&self->c, 0));
	EXPECT_EQ(NULL, core_peer(&self->c, SEG->npeers + 1));
	EXPECT_EQ(NULL, core_peer(&self->c, UINT32_MAX));
	EXPECT_NE(NULL, core_peer(&self->c, SEG->npeers));
	EXPECT_FALSE(__kipc_peer_alive(SEG, 0));
	EXPECT_FALSE(__kipc_peer_alive(SEG, SEG->npeers + 1));
	EXPECT_FALSE(__kipc_peer_alive(SEG, UINT32_MAX));
	EXPECT_EQ(-EPROTO, __kipc_peer_reap(SEG, 0));
	EXPECT_EQ(-EPROTO, __kipc_peer_reap(SEG, SEG->npeers + 1));
	EXPECT_EQ(-EPROTO, __kipc_peer_reap(SEG, UINT32_MAX));
}

TEST_F(peer, what_needs_no_repair)
{
	EXPECT_EQ(0, __kipc_peer_reap(SEG, SEG->slot));
	/* never used, used and given back */
	EXPECT_EQ(0, __kipc_peer_reap(SEG, 7));
	core_dead_slot(&self->c, NULL);
	EXPECT_EQ(1, __kipc_peer_reap(SEG, 2));
	EXPECT_EQ(0, __kipc_peer_reap(SEG, 2));
	EXPECT_EQ(1, SEG->hdr->repairs);
	EXPECT_EQ(0, SEG->hdr->repaired_claims);
	EXPECT_TRUE(core_byte_free(SEG->fd, 2));
	EXPECT_TRUE(core_byte_free(SEG->fd, 7));
}

/* A claim with the number of a slot that nobody has (a damaged segment) doesn't stay for ever. */
TEST_F(peer, a_claim_of_nobody)
{
	self->c.body->claim = 7;
	EXPECT_FALSE(__kipc_peer_alive(SEG, 7));
	EXPECT_EQ(1, __kipc_peer_reap(SEG, 7));
	EXPECT_EQ(0, self->c.body->claim);
	EXPECT_EQ(1, SEG->hdr->repaired_claims);
}

TEST_F(peer, a_stopped_process_is_alive)
{
	pid_t pid;
	uint32_t slot = core_start_holder(&self->c, &pid, core_claim);

	ASSERT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_TRUE(ksft_wait_for(waitpid(pid, NULL, WUNTRACED | WNOHANG) == pid, 5000));
	EXPECT_TRUE(__kipc_peer_alive(SEG, slot));
	EXPECT_EQ(0, __kipc_peer_reap(SEG, slot));
	EXPECT_EQ(0, __kipc_peer_sweep(SEG, 0));
	EXPECT_EQ(slot, self->c.body->claim);
	ksft_kill(pid);
	EXPECT_FALSE(__kipc_peer_alive(SEG, slot));
	EXPECT_EQ(1, __kipc_peer_reap(SEG, slot));
	EXPECT_EQ(0, self->c.body->claim);
}

/* A zombie holds nothing, though its pid is still there. */
TEST_F(peer, a_zombie_is_dead)
{
	pid_t pid;
	uint32_t slot = core_start_holder(&self->c, &pid, core_claim);

	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_TRUE(ksft_wait_for(!__kipc_peer_alive(SEG, slot), 5000));
	EXPECT_EQ(0, kill(pid, 0));
	EXPECT_EQ(1, __kipc_peer_reap(SEG, slot));
	ksft_wait(pid);
}

static int exec_sleep(struct core *c)
{
	(void)c;
	/* the parent learns our slot from the segment */
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	return -errno;
}

/* A process that became another program has left. */
TEST_F(peer, exec_is_an_end)
{
	uint32_t *slot = ksft_shared(sizeof(*slot));
	struct core_holder h = { .c = &self->c, .slot = slot, .then = exec_sleep };
	pid_t pid = ksft_fork(core_hold, &h);

	EXPECT_TRUE(ksft_wait_for(load_acquire(&core_peer(&self->c, 2)->state) == KIPC_PEER_LIVE &&
				  !__kipc_peer_alive(SEG, 2), 5000));
	EXPECT_EQ(0, *slot);
	EXPECT_EQ(1, __kipc_peer_reap(SEG, 2));
	ksft_kill(pid);
}

/* ---- sweeping ---- */

TEST_F(peer, sweeps_are_rare)
{
	core_dead_slot(&self->c, NULL);
	EXPECT_EQ(1, __kipc_peer_sweep(SEG, KIPC_TICK_NS));
	EXPECT_GT(SEG->hdr->swept_ns, 0);
	core_dead_slot(&self->c, NULL);
	/* not yet, unless it must be */
	SEG->hdr->swept_ns = (uint64_t)__kipc_now_ns();
	EXPECT_EQ(0, __kipc_peer_sweep(SEG, NSEC_PER_SEC));
	EXPECT_EQ(1, __kipc_peer_sweep(SEG, 0));
	core_dead_slot(&self->c, NULL);
	SEG->hdr->swept_ns = (uint64_t)__kipc_now_ns() - NSEC_PER_SEC;
	EXPECT_EQ(1, __kipc_peer_sweep(SEG, NSEC_PER_SEC));
	EXPECT_EQ(3, SEG->hdr->repairs);
}

TEST_F(peer, a_last_sweep_that_can_not_be)
{
	static const uint64_t times[] = { UINT64_MAX, 1ULL << 63, (1ULL << 63) - 1, 1, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		core_dead_slot(&self->c, NULL);
		SEG->hdr->swept_ns = times[i];
		EXPECT_EQ(1, __kipc_peer_sweep(SEG, KIPC_TICK_NS));
		/* and then it is a time again */
		EXPECT_LE(SEG->hdr->swept_ns, (uint64_t)__kipc_now_ns());
		EXPECT_GT(SEG->hdr->swept_ns, 1);
	}
}

TEST_F(peer, a_highest_slot_that_can_not_be)
{
	core_dead_slot(&self->c, core_claim);
	SEG->hdr->peer_high = UINT32_MAX;
	EXPECT_EQ(1, __kipc_peer_sweep(SEG, 0));
	core_dead_slot(&self->c, core_claim);
	SEG->hdr->peer_high = 0;
	EXPECT_EQ(0, __kipc_peer_sweep(SEG, 0));
	/* a claim that is met leads to it all the same */
	EXPECT_EQ(1, __kipc_peer_reap(SEG, self->c.body->claim));
}

TEST_F(peer, any_record_at_all)
{
	unsigned int seed = 7;

	for (int i = 0; i < 50; i++) {
		for (uint32_t slot = 2; slot <= SEG->npeers; slot++) {
			uint32_t *words = (uint32_t *)core_peer(&self->c, slot);

			for (int n = 0; n < 16; n++)
				words[n] = (uint32_t)rand_r(&seed) << (n & 7);
		}
		SEG->hdr->peer_high = (uint32_t)rand_r(&seed);
		EXPECT_GE(__kipc_peer_sweep(SEG, 0), 0);
		SEG->hdr->peer_high = UINT32_MAX;
		EXPECT_GE(__kipc_peer_sweep(SEG, 0), 0);
		for (uint32_t slot = 2; slot <= SEG->npeers; slot++)
			EXPECT_EQ(KIPC_PEER_FREE, core_peer(&self->c, slot)->state);
	}
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, 1)->state);
}

TEST_HARNESS_MAIN
