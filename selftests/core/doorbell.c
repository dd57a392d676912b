// SPDX-License-Identifier: MIT
/*
 * Doorbells, step by step: how often the eventfd is written, what stands in the word, and what the
 * dead leave there.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "common.h"

FIXTURE(bell) {
	struct core c;
	struct kipc_bell *b;
	uint64_t *word;
};

FIXTURE_SETUP(bell)
{
	ASSERT_EQ(0, core_create(&self->c, NULL));
	self->b = &self->c.bells[0];
	self->word = &self->b->line->word;
}

FIXTURE_TEARDOWN(bell)
{
	core_close(&self->c);
}

/* The number of writes so far, as counted, and as the kernel has them since the last drain. */
#define EXPECT_RINGS(total, unread)                                                                \
	do {                                                                                       \
		EXPECT_EQ((total), self->b->line->rings);                                          \
		EXPECT_EQ((unread), core_eventfd_count(self->b->fd));                              \
	} while (0)

#define SEG (&self->c.seg)

static uint64_t seq(uint64_t word)
{
	return word / KIPC_BELL_SEQ;
}

TEST_F(bell, nobody_sleeps)
{
	for (int i = 0; i < 1000; i++)
		__kipc_bell_ring(self->b);
	__kipc_bell_kick(self->b);
	EXPECT_RINGS(0, 0);
	EXPECT_EQ(0, *self->word);
}

/* With everything but exit forbidden. */
static int ring_in_a_cage(void *arg)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };
	struct kipc_bell *b = arg;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(77);
	for (int i = 0; i < 1000; i++)
		__kipc_bell_ring(b);
	_exit(0);
}

static void caged(struct kipc_bell *b)
{
	int status;

	if (ksft_slow())
		SKIP("needs a process without a sanitizer's own system calls");
	status = ksft_wait(ksft_fork(ring_in_a_cage, b));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("needs seccomp filters");
	EXPECT_EQ(0, status);
}

TEST_F(bell, no_system_call_while_nobody_sleeps)
{
	caged(self->b);
	EXPECT_RINGS(0, 0);
}

TEST_F(bell, no_system_call_while_it_is_signalled)
{
	__kipc_bell_announce(SEG, self->b);
	__kipc_bell_ring(self->b);
	caged(self->b);
	EXPECT_RINGS(1, 1);
	__kipc_bell_retract(SEG, self->b);
}

TEST_F(bell, one_write_for_each_sleep)
{
	__kipc_bell_announce(SEG, self->b);
	EXPECT_EQ(1, core_sleepers(&self->c, 0));
	EXPECT_EQ(1, core_peer(&self->c, 1)->sleeping[0]);
	for (int i = 1; i <= 5; i++) {
		for (int n = 0; n < 100; n++)
			__kipc_bell_ring(self->b);
		EXPECT_RINGS(i, 1);
		EXPECT_TRUE(core_signalled(&self->c, 0));
		EXPECT_EQ(i - 1, seq(*self->word));
		EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, false));
		EXPECT_RINGS(i, 0);
		EXPECT_EQ(i, seq(*self->word));
		EXPECT_FALSE(core_signalled(&self->c, 0));
	}
	__kipc_bell_retract(SEG, self->b);
	EXPECT_EQ(0, core_sleepers(&self->c, 0));
	EXPECT_EQ(0, core_peer(&self->c, 1)->sleeping[0]);
	__kipc_bell_ring(self->b);
	EXPECT_RINGS(5, 0);
}

TEST_F(bell, a_kick_is_always_a_write)
{
	__kipc_bell_announce(SEG, self->b);
	__kipc_bell_ring(self->b);
	__kipc_bell_kick(self->b);
	__kipc_bell_kick(self->b);
	EXPECT_RINGS(3, 3);
	__kipc_bell_retract(SEG, self->b);
	__kipc_bell_kick(self->b);
	EXPECT_RINGS(3, 3);
}

TEST_F(bell, watched_is_for_good)
{
	__kipc_bell_watch(self->b);
	EXPECT_TRUE(__kipc_bell_watched(self->b));
	EXPECT_FALSE(__kipc_bell_watched(&self->c.bells[1]));
	for (int i = 1; i <= 3; i++) {
		__kipc_bell_ring(self->b);
		__kipc_bell_ring(self->b);
		EXPECT_RINGS(i, 1);
		EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, true));
		EXPECT_TRUE(__kipc_bell_watched(self->b));
	}
	__kipc_bell_announce(SEG, self->b);
	__kipc_bell_retract(SEG, self->b);
	EXPECT_TRUE(__kipc_bell_watched(self->b));
}

TEST_F(bell, drain_without_need_does_nothing)
{
	uint64_t one = 1, before;

	__kipc_bell_announce(SEG, self->b);
	before = *self->word;
	EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, false));
	EXPECT_EQ(before, *self->word);

	/* readable, but the word doesn't know: a ringer died between the two */
	ASSERT_EQ(8, write(self->b->fd, &one, 8));
	EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, false));
	EXPECT_EQ(1, core_eventfd_count(self->b->fd));
	EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, true));
	EXPECT_EQ(0, core_eventfd_count(self->b->fd));
	/* not readable at all: returns all the same */
	EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, true));
	EXPECT_EQ(before + 2 * KIPC_BELL_SEQ, *self->word);
	__kipc_bell_retract(SEG, self->b);
}

TEST_F(bell, while_another_drains)
{
	uint64_t drainer = (uint64_t)9 << KIPC_BELL_DRAINER_SHIFT;

	__kipc_bell_announce(SEG, self->b);
	fetch_or(self->word, drainer);
	EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, false));	/* nothing to be drained */
	EXPECT_FALSE(__kipc_bell_drain(SEG, self->b, true));
	EXPECT_EQ(drainer | 1, *self->word);

	/* its read may or may not see this write, so nobody relies on it */
	__kipc_bell_ring(self->b);
	__kipc_bell_ring(self->b);
	EXPECT_RINGS(2, 2);
	EXPECT_EQ(drainer | 1, *self->word);

	fetch_or(self->word, KIPC_BELL_SIGNALLED);
	EXPECT_FALSE(__kipc_bell_drain(SEG, self->b, false));
	__kipc_bell_ring(self->b);
	EXPECT_RINGS(3, 3);
}

TEST_F(bell, the_sequence_wraps)
{
	*self->word = ~(KIPC_BELL_SEQ - 1);
	__kipc_bell_announce(SEG, self->b);
	__kipc_bell_ring(self->b);
	EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, false));
	EXPECT_EQ(1, *self->word);
	__kipc_bell_retract(SEG, self->b);
	EXPECT_EQ(0, *self->word);
}

TEST_F(bell, the_count_never_goes_below_zero)
{
	*self->word = KIPC_BELL_WATCHED | 7 * KIPC_BELL_SEQ;
	__kipc_bell_retract(SEG, self->b);
	EXPECT_EQ(KIPC_BELL_WATCHED | 7 * KIPC_BELL_SEQ, *self->word);
}

TEST_F(bell, each_bell_counts_by_itself)
{
	__kipc_bell_announce(SEG, &self->c.bells[1]);
	__kipc_bell_ring(&self->c.bells[0]);
	__kipc_bell_ring(&self->c.bells[1]);
	EXPECT_EQ(0, self->c.bells[0].line->rings);
	EXPECT_EQ(1, self->c.bells[1].line->rings);
	EXPECT_EQ(0, core_peer(&self->c, 1)->sleeping[0]);
	EXPECT_EQ(1, core_peer(&self->c, 1)->sleeping[1]);
	__kipc_bell_retract(SEG, &self->c.bells[1]);
}

TEST_F(bell, without_an_eventfd_only_the_count_is_kept)
{
	struct kipc_bell b = *self->b;

	b.fd = -1;
	__kipc_bell_announce(SEG, &b);
	__kipc_bell_ring(&b);
	__kipc_bell_kick(&b);
	EXPECT_EQ(0, b.line->rings);
	EXPECT_EQ(1, core_sleepers(&self->c, 0));
	EXPECT_TRUE(__kipc_bell_drain(SEG, &b, true));
	__kipc_bell_retract(SEG, &b);
	EXPECT_EQ(0, core_sleepers(&self->c, 0));
}

/* ---- repairs ---- */

static int sleep_twice(struct core *c)
{
	__kipc_bell_announce(&c->seg, &c->bells[0]);
	__kipc_bell_announce(&c->seg, &c->bells[0]);
	__kipc_bell_announce(&c->seg, &c->bells[1]);
	return 0;
}

TEST_F(bell, dead_sleepers_are_taken_back)
{
	uint32_t dead;

	__kipc_bell_announce(SEG, self->b);
	dead = core_dead_slot(&self->c, sleep_twice);
	EXPECT_EQ(3, core_sleepers(&self->c, 0));
	EXPECT_EQ(1, core_sleepers(&self->c, 1));
	EXPECT_EQ(1, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(1, core_sleepers(&self->c, 0));
	EXPECT_EQ(0, core_sleepers(&self->c, 1));
	EXPECT_EQ(0, core_peer(&self->c, dead)->sleeping[0]);
	EXPECT_EQ(0, core_peer(&self->c, dead)->sleeping[1]);
	EXPECT_EQ(1, core_peer(&self->c, 1)->sleeping[0]);
	__kipc_bell_retract(SEG, self->b);
}

static int drain_and_die(struct core *c)
{
	fetch_or(&c->body->bells[0].word, (uint64_t)c->seg.slot << KIPC_BELL_DRAINER_SHIFT);
	return 0;
}

TEST_F(bell, a_dead_drainer_is_removed_and_the_sleepers_woken)
{
	uint32_t dead = core_dead_slot(&self->c, drain_and_die);

	__kipc_bell_announce(SEG, self->b);
	EXPECT_FALSE(__kipc_bell_drain(SEG, self->b, true));
	EXPECT_EQ(1, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(0, *self->word & KIPC_BELL_DRAINER);
	EXPECT_EQ(1, seq(*self->word));
	EXPECT_NE(0, core_eventfd_count(self->b->fd));
	EXPECT_TRUE(__kipc_bell_drain(SEG, self->b, true));
	__kipc_bell_retract(SEG, self->b);
}

TEST_F(bell, a_living_drainer_stays)
{
	pid_t pid;
	uint32_t slot = core_start_holder(&self->c, &pid, drain_and_die);

	__kipc_bell_announce(SEG, self->b);
	EXPECT_EQ(0, __kipc_peer_reap(SEG, slot));
	EXPECT_EQ(slot, (*self->word & KIPC_BELL_DRAINER) >> KIPC_BELL_DRAINER_SHIFT);
	EXPECT_FALSE(__kipc_bell_drain(SEG, self->b, true));
	__kipc_bell_retract(SEG, self->b);
	ksft_kill(pid);
}

TEST_F(bell, closing_takes_back_what_is_announced)
{
	struct core d;

	ASSERT_EQ(0, core_open(&d, &self->c));
	sleep_twice(&d);
	EXPECT_EQ(2, core_sleepers(&self->c, 0));
	core_close(&d);
	EXPECT_EQ(0, core_sleepers(&self->c, 0));
	EXPECT_EQ(0, core_sleepers(&self->c, 1));
}

/* A record that claims more than it announced takes no more than there is. */
TEST_F(bell, a_lying_record)
{
	uint32_t dead = core_dead_slot(&self->c, NULL);

	__kipc_bell_watch(self->b);
	*self->word += 5 * KIPC_BELL_SEQ + 3;
	core_peer(&self->c, dead)->sleeping[0] = UINT32_MAX;
	EXPECT_EQ(1, __kipc_peer_reap(SEG, dead));
	EXPECT_EQ(KIPC_BELL_WATCHED | 5 * KIPC_BELL_SEQ, *self->word);
}

/* Whatever stands in the word, every call returns. */
TEST_F(bell, any_word_at_all)
{
	unsigned int seed = 99;
	int rounds = ksft_slow() ? 300 : 5000;
	uint64_t one = 1, count;

	for (int i = 0; i < rounds; i++) {
		uint64_t w = 0;

		for (int n = 0; n < 5; n++)
			w = w << 15 ^ (uint64_t)rand_r(&seed);
		*self->word = w;
		core_peer(&self->c, 1)->sleeping[0] = (uint32_t)rand_r(&seed) << 1;
		__kipc_bell_announce(SEG, self->b);
		__kipc_bell_ring(self->b);
		__kipc_bell_drain(SEG, self->b, i & 1);
		__kipc_bell_retract(SEG, self->b);
		__kipc_bell_repair(SEG, self->b, 1);
		EXPECT_EQ(0, core_peer(&self->c, 1)->sleeping[0]);
		/* and an eventfd that somebody filled to the brim: neither read nor write blocks */
		if (i % 100 == 0) {
			one = UINT64_MAX - 1;
			if (read(self->b->fd, &count, 8) < 0)
				EXPECT_EQ(EAGAIN, errno);
			ASSERT_EQ(8, write(self->b->fd, &one, 8));
		}
	}
}

/* ---- descriptors from elsewhere ---- */

TEST_F(bell, which_descriptors_are_eventfds)
{
	int fds = core_count_fds(NULL), sv[2], fd;

	fd = __kipc_bell_eventfd();
	ASSERT_GE(fd, 0);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(0, __kipc_bell_check_fd(fd));
	close(fd);

	/* one that would block is made not to */
	fd = eventfd(0, EFD_CLOEXEC);
	EXPECT_EQ(0, __kipc_bell_check_fd(fd));
	EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);

	EXPECT_LT(__kipc_bell_check_fd(fd), 0);
	EXPECT_LT(__kipc_bell_check_fd(-1), 0);
	EXPECT_EQ(-EPROTO, __kipc_bell_check_fd(SEG->fd));
	ASSERT_EQ(0, pipe(sv));
	EXPECT_EQ(-EPROTO, __kipc_bell_check_fd(sv[0]));
	EXPECT_FALSE(fcntl(sv[0], F_GETFL) & O_NONBLOCK);
	close(sv[0]);
	close(sv[1]);
	fd = memfd_create("anon_inode:[eventfd]", MFD_CLOEXEC);
	EXPECT_EQ(-EPROTO, __kipc_bell_check_fd(fd));
	close(fd);
	EXPECT_EQ(fds, core_count_fds(NULL));
}

TEST_HARNESS_MAIN
