// SPDX-License-Identifier: MIT
/*
 * Waiting, in both ways of sleeping: what ends a wait and when, what a tick finds, what stays behind.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "wait_test.h"

/* ---- how it ends ---- */

TEST_F(wait, ready_at_once)
{
	self->c.body->tokens = 1;
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_FALSE(self->w.hup);
	EXPECT_EQ(0, self->c.bells[0].line->rings);
	EXPECT_EQ(0, core_count_fds(RINGS));
}

TEST_F(wait, nowait)
{
	self->w.deadline = __kipc_deadline(KIPC_NOWAIT);
	EXPECT_EQ(-EAGAIN, __kipc_wait(&self->w));
	EXPECT_FALSE(self->w.slept);
	EXPECT_EQ(0, self->c.bells[0].line->word);
	EXPECT_EQ(0, core_count_fds(RINGS));
}

TEST_F(wait, timeouts)
{
	static const int64_t timeouts[] = { 1, 1000, MS, 7 * MS, 30 * MS, 99 * MS, 250 * MS };
	struct kipc_spin spin = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		int64_t start = __kipc_now_ns(), took;

		self->w = wait_for(&self->c, timeouts[i]);
		self->w.spin = i & 1 ? &spin : NULL;
		EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
		took = __kipc_now_ns() - start;
		EXPECT_GE(took, timeouts[i]);
		EXPECT_LT(took, timeouts[i] + ksft_scale(50) * MS);
		EXPECT_EQ(0, core_sleepers(&self->c, 0));
	}
}

TEST_F(wait, a_deadline_that_has_passed)
{
	self->w.deadline = 1;
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
	EXPECT_EQ(0, core_count_fds(RINGS));
	/* but what is ready is ready */
	self->c.body->tokens = 1;
	EXPECT_EQ(0, __kipc_wait(&self->w));
}

static bool always(void *arg)
{
	(void)arg;
	return true;
}

/* As a hostile peer may have it: the condition holds, the operation says no. */
TEST_F(wait, ready_and_refused_ends_at_the_deadline)
{
	struct kipc_spin spin = { 0 };

	for (int spins = 0; spins < 2; spins++) {
		int64_t start = __kipc_now_ns();
		int r;

		self->w = wait_for(&self->c, 30 * MS);
		self->w.ready = always;
		self->w.spin = spins ? &spin : NULL;
		do
			r = __kipc_wait(&self->w);
		while (!r && __kipc_now_ns() - start < ksft_scale(5000) * MS);
		EXPECT_EQ(-ETIMEDOUT, r);
		EXPECT_GE(__kipc_now_ns() - start, 30 * MS);
	}
}

TEST_F(wait, a_thread_is_woken)
{
	struct ksft_thread t;

	NEEDS_THREADS();
	ksft_thread_start(&t, wait_once, &self->c);
	ASSERT_TRUE(ksft_wait_for(core_sleepers(&self->c, 0) == 1 && ksft_asleep(t.tid), 5000));
	put(&self->c, 1);
	ksft_thread_join(&t);
	EXPECT_GE(self->c.bells[0].line->rings, 1);
}

TEST_F(wait, a_process_is_woken)
{
	pid_t pid = ksft_fork(wait_once, &self->c);

	ASSERT_TRUE(ksft_wait_for(core_sleepers(&self->c, 0) == 1 && ksft_asleep(pid), 5000));
	put(&self->c, 1);
	ksft_join(pid);
}

/* A drain takes the signal for everybody; who drained must hand the rest on even if it never slept. */
static bool second_look(void *arg)
{
	return (*(int *)arg)++ > 0;
}

TEST_F(wait, who_drains_says_so)
{
	int looks = 1;

	/* a signal left behind by one that went away */
	__kipc_bell_announce(&self->c.seg, &self->c.bells[0]);
	__kipc_bell_ring(&self->c.bells[0]);
	__kipc_bell_retract(&self->c.seg, &self->c.bells[0]);
	EXPECT_TRUE(core_signalled(&self->c, 0));
	self->w.ready = second_look;
	self->w.arg = &looks;
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_FALSE(core_signalled(&self->c, 0));
	EXPECT_TRUE(self->w.slept);
}

/* ---- hanging up ---- */

static int close_later(void *arg)
{
	int *fd = arg;

	if (!ksft_wait_for(ksft_asleep(getpid()), 5000))
		return 1;
	close(*fd);
	return 0;
}

TEST_F(wait, hup)
{
	struct ksft_thread t;
	int sv[2];

	NEEDS_THREADS();
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	self->w.hup_fd = sv[0];
	self->w.hup_token = __kipc_hup_token();
	ksft_thread_start(&t, close_later, &sv[1]);
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_TRUE(self->w.hup);
	ksft_thread_join(&t);
	/* and again, as often as one asks: it is a level */
	for (int i = 0; i < 3; i++) {
		self->w.hup = false;
		EXPECT_EQ(0, __kipc_wait(&self->w));
		EXPECT_TRUE(self->w.hup);
	}
	close(sv[0]);
}

TEST_F(wait, another_descriptor_of_the_same_number)
{
	int sv[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	self->w.deadline = __kipc_deadline(5 * MS);
	self->w.hup_fd = fd = sv[0];
	self->w.hup_token = __kipc_hup_token();
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
	/* the poll is armed; what it is armed on hangs up, and is gone */
	close(sv[1]);
	close(sv[0]);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	ASSERT_EQ(fd, sv[0]);
	self->w.hup_token = __kipc_hup_token();
	self->w.deadline = __kipc_deadline(20 * MS);
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
	EXPECT_FALSE(self->w.hup);
	/* none at all */
	self->w.hup_fd = -1;
	self->w.deadline = __kipc_deadline(5 * MS);
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
	/* and the new one counts */
	close(sv[1]);
	self->w.hup_fd = sv[0];
	self->w.deadline = KIPC_DEADLINE_NEVER;
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_TRUE(self->w.hup);
	close(sv[0]);
}

/* Both at once: the ring of the bell isn't left to a sleeper that went away over the hang-up. */
TEST_F(wait, hup_and_ring_together)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t one = 1;

	self->w.ready = never;
	self->w.hup_fd = fd;
	self->w.hup_token = __kipc_hup_token();
	/* not signalled, so that the first drain finds nothing to be done, and the sleep both */
	ASSERT_EQ(8, write(self->c.bells[0].fd, &one, 8));
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_TRUE(self->w.hup);
	EXPECT_EQ(0, core_eventfd_count(self->c.bells[0].fd));
	EXPECT_TRUE(self->w.slept);
	close(fd);
}

/* ---- the tick ---- */

static bool unclaimed(void *arg)
{
	struct core *c = arg;

	return !load_acquire(&c->body->claim);
}

static uint32_t claimant(void *arg)
{
	struct core *c = arg;

	return load_acquire(&c->body->claim);
}

TEST_F(wait, the_tick_finds_the_dead)
{
	int64_t start;

	core_dead_slot(&self->c, core_claim);
	EXPECT_FALSE(unclaimed(&self->c));
	self->w.ready = unclaimed;
	start = __kipc_now_ns();
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(150) * MS);
	EXPECT_EQ(1, self->c.seg.hdr->repairs);
	EXPECT_EQ(1, self->c.seg.hdr->repaired_claims);
}

TEST_F(wait, a_known_owner_is_found_dead_sooner)
{
	int64_t start;

	core_dead_slot(&self->c, core_claim);
	self->w.ready = unclaimed;
	self->w.owner = claimant;
	start = __kipc_now_ns();
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(60) * MS);
	EXPECT_EQ(1, self->c.seg.hdr->repairs);
}

TEST_F(wait, a_stopped_owner_is_alive)
{
	pid_t pid;

	core_start_holder(&self->c, &pid, core_claim);
	ASSERT_EQ(0, kill(pid, SIGSTOP));
	self->w.ready = unclaimed;
	self->w.owner = claimant;
	self->w.deadline = __kipc_deadline(200 * MS);
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
	EXPECT_EQ(0, self->c.seg.hdr->repairs);
	/* until it dies */
	ksft_kill(pid);
	self->w.deadline = KIPC_DEADLINE_NEVER;
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_EQ(1, self->c.seg.hdr->repairs);
}

struct ringer {
	struct core *c;
	uint32_t stop;
};

/* Keeps waking the sleepers, for nothing. */
static int ring_on(void *arg)
{
	struct ringer *r = arg;
	struct timespec ts = { .tv_nsec = 2 * MS };

	while (!load_acquire(&r->stop)) {
		__kipc_bell_ring(&r->c->bells[0]);
		nanosleep(&ts, NULL);
	}
	return 0;
}

TEST_F(wait, rings_do_not_put_off_the_look_for_the_dead)
{
	struct ringer ringer = { .c = &self->c };
	struct ksft_thread t;
	int64_t start;

	NEEDS_THREADS();
	core_dead_slot(&self->c, core_claim);
	ksft_thread_start(&t, ring_on, &ringer);
	self->w.ready = unclaimed;
	self->w.owner = claimant;
	start = __kipc_now_ns();
	self->w.deadline = start + 2 * NSEC_PER_SEC;
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(150) * MS);
	store_release(&ringer.stop, 1);
	ksft_thread_join(&t);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void tick_signals(long us)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { { 0, us }, { 0, us } };

	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &it, NULL));
}

TEST_F(wait, signals_do_not_end_it)
{
	int64_t start = __kipc_now_ns(), took;

	tick_signals(3000);
	self->w.deadline = __kipc_deadline(120 * MS);
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
	took = __kipc_now_ns() - start;
	EXPECT_GE(took, 120 * MS);
	EXPECT_LT(took, 120 * MS + ksft_scale(50) * MS);
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait_fd(self->c.bells[0].fd, POLLIN, __kipc_deadline(20 * MS)));

	core_dead_slot(&self->c, core_claim);
	self->w.ready = unclaimed;
	self->w.deadline = __kipc_deadline(2 * NSEC_PER_SEC);
	start = __kipc_now_ns();
	EXPECT_EQ(0, __kipc_wait(&self->w));
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(150) * MS);
	tick_signals(0);
}

TEST_F(wait, a_dead_drainer)
{
	uint32_t dead = core_dead_slot(&self->c, NULL);
	int64_t start = __kipc_now_ns();
	struct ksft_thread t;

	NEEDS_THREADS();
	fetch_or(&self->c.bells[0].line->word,
		 KIPC_BELL_SIGNALLED | (uint64_t)dead << KIPC_BELL_DRAINER_SHIFT);
	ksft_thread_start(&t, wait_once, &self->c);
	ASSERT_TRUE(ksft_wait_for(
		!(load_acquire(&self->c.bells[0].line->word) & KIPC_BELL_DRAINER), 5000));
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(150) * MS);
	put(&self->c, 1);
	ksft_thread_join(&t);
	EXPECT_EQ(1, self->c.seg.hdr->repairs);
}

static int stay(struct core *c)
{
	(void)c;
	return 0;
}

/* The drainer is stopped, not dead: the waiter looks by itself until it goes on. */
TEST_F(wait, a_stopped_drainer)
{
	struct ksft_thread t;
	uint32_t slot;
	pid_t pid;

	NEEDS_THREADS();
	slot = core_start_holder(&self->c, &pid, stay);
	fetch_or(&self->c.bells[0].line->word,
		 KIPC_BELL_SIGNALLED | (uint64_t)slot << KIPC_BELL_DRAINER_SHIFT);
	ksft_thread_start(&t, wait_once, &self->c);
	ASSERT_TRUE(ksft_wait_for(core_sleepers(&self->c, 0) == 1 && ksft_asleep(t.tid), 5000));
	put(&self->c, 1);
	ksft_thread_join(&t);
	EXPECT_NE(0, self->c.bells[0].line->word & KIPC_BELL_DRAINER);
	ksft_kill(pid);
	fetch_and(&self->c.bells[0].line->word, ~KIPC_BELL_DRAINER);
}

/* ---- cost ---- */

TEST_F(wait, an_idle_wait_sleeps)
{
	struct kipc_spin spin = { 0 };
	struct rusage before, after;
	long switches;

	self->w.spin = &spin;
	self->w.deadline = __kipc_deadline(NSEC_PER_SEC / 2);
	getrusage(RUSAGE_THREAD, &before);
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&self->w));
	getrusage(RUSAGE_THREAD, &after);
	switches = after.ru_nvcsw - before.ru_nvcsw;
	EXPECT_GE(switches, 4);
	EXPECT_LE(switches, 20);
}

struct exclusive {
	struct core *c;
	uint32_t taken, stop;
};

/* The look takes the token, so that one token is for one sleeper. */
static bool look_and_take(void *arg)
{
	struct exclusive *x = arg;
	uint64_t n = load_acquire(&x->c->body->tokens);

	return load_acquire(&x->stop) || (n && cmpxchg(&x->c->body->tokens, n, n - 1));
}

static int take_all(void *arg)
{
	struct exclusive *x = arg;
	int r = 0;

	while (!r && !load_acquire(&x->stop)) {
		struct kipc_wait w = wait_for(x->c, KIPC_FOREVER);

		w.ready = look_and_take;
		w.arg = x;
		r = __kipc_wait(&w);
		fetch_add(&x->taken, 1);
	}
	__kipc_bell_kick(&x->c->bells[0]);
	return r;
}

/* How often the thread has gone to sleep. */
static long sleeps_of(pid_t tid)
{
	char path[64], line[128];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "re");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "voluntary_ctxt_switches: %ld", &n);
	fclose(f);
	ASSERT_GE(n, 0);
	return n;
}

/* One ring, one sleeper awake.  (With ppoll all are, if only for going to sleep again.) */
TEST_F(wait, a_ring_wakes_one)
{
	enum { SLEEPERS = 6, ROUNDS = 40 };
	struct exclusive x = { .c = &self->c };
	struct ksft_thread t[SLEEPERS];
	long sleeps = 0, ticks;
	int64_t start = 0;

	NEEDS_THREADS();
	for (int i = 0; i < SLEEPERS; i++)
		ksft_thread_start(&t[i], take_all, &x);
	for (uint32_t round = 0; round <= ROUNDS; round++) {
		ASSERT_TRUE(ksft_wait_for(load_acquire(&x.taken) == round &&
					  core_sleepers(&self->c, 0) == SLEEPERS, 5000));
		for (int i = 0; i < SLEEPERS; i++)
			ASSERT_TRUE(ksft_wait_for(ksft_asleep(t[i].tid), 5000));
		if (!round) {
			start = __kipc_now_ns();
			for (int i = 0; i < SLEEPERS; i++)
				sleeps -= sleeps_of(t[i].tid);
		}
		if (round < ROUNDS)
			put(&self->c, 1);
	}
	for (int i = 0; i < SLEEPERS; i++)
		sleeps += sleeps_of(t[i].tid);
	ticks = SLEEPERS * ((__kipc_now_ns() - start) / KIPC_TICK_NS + 1);
	EXPECT_GE(sleeps, ROUNDS);
	if (variant->no_io_uring[0] == '0')
		EXPECT_LE(sleeps, ROUNDS + ROUNDS / 2 + 2 * ticks);
	EXPECT_LE(self->c.bells[0].line->rings, ROUNDS);
	store_release(&x.stop, 1);
	__kipc_bell_kick(&self->c.bells[0]);
	for (int i = 0; i < SLEEPERS; i++)
		ksft_thread_join(&t[i]);
}

/* ---- plain descriptors, spinning ---- */

TEST_F(wait, a_plain_descriptor)
{
	int64_t start = __kipc_now_ns();
	int sv[2];

	ASSERT_EQ(0, pipe(sv));
	EXPECT_EQ(-EAGAIN, __kipc_wait_fd(sv[0], POLLIN, __kipc_deadline(KIPC_NOWAIT)));
	EXPECT_EQ(0, __kipc_wait_fd(sv[1], POLLOUT, __kipc_deadline(KIPC_NOWAIT)));
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait_fd(sv[0], POLLIN, __kipc_deadline(120 * MS)));
	EXPECT_GE(__kipc_now_ns() - start, 120 * MS);
	ASSERT_EQ(1, write(sv[1], "x", 1));
	EXPECT_EQ(0, __kipc_wait_fd(sv[0], POLLIN, KIPC_DEADLINE_NEVER));
	close(sv[1]);
	EXPECT_EQ(0, __kipc_wait_fd(sv[0], POLLOUT, KIPC_DEADLINE_NEVER));	/* hung up */
	close(sv[0]);
}

TEST_F(wait, spinning_learns)
{
	struct kipc_spin spin = { 0 };
	int64_t start;
	int spun = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("needs two CPUs");
	/* at no time longer than a sleep would take, and seldom when it never helps */
	for (int i = 0; i < 1000; i++) {
		uint32_t left = spin.left;

		EXPECT_FALSE(__kipc_spin_until(&spin, never, NULL));
		spun += left == 0;
		EXPECT_LE(spin.budget_ns, 20000);
	}
	EXPECT_LT(spun, 30);
	EXPECT_GT(spun, 3);
	/* one success brings it back */
	self->c.body->tokens = 1;
	spin.left = 0;
	EXPECT_TRUE(__kipc_spin_until(&spin, tokens, &self->c));
	EXPECT_GT(spin.budget_ns, 0);
	start = __kipc_now_ns();
	EXPECT_TRUE(__kipc_spin_until(&spin, tokens, &self->c));
	EXPECT_LT(__kipc_now_ns() - start, ksft_scale(50) * MS);
}

TEST_HARNESS_MAIN
