// SPDX-License-Identifier: MIT
/*
 * No wake-up is lost: tokens are put into a counter by some and taken by others, who sleep in
 * between.  A lost wake-up would be healed by the tick, 100 ms later; so what is looked at is how long
 * a token lay there while a taker slept.
 */
#include "common.h"

#define STOP	(1ULL << 63)

struct stress {
	struct core c;
	struct shared {
		uint64_t taken;
		uint64_t late;		/* tokens that lay there for as long as a tick */
		int64_t since_ns;	/* when the one token of a round was put */
		uint32_t done;
	} *sh;
	int64_t count;			/* tokens of each putter */
};

FIXTURE(stress) {
	struct stress s;
};

FIXTURE_VARIANT(stress) {
	enum ksft_peer_kind peers;
	const char *no_io_uring;
};

FIXTURE_VARIANT_ADD(stress, threads_uring) { KSFT_THREAD, "0" };
FIXTURE_VARIANT_ADD(stress, threads_ppoll) { KSFT_THREAD, "1" };
FIXTURE_VARIANT_ADD(stress, processes_uring) { KSFT_PROCESS, "0" };
FIXTURE_VARIANT_ADD(stress, processes_ppoll) { KSFT_PROCESS, "1" };

FIXTURE_SETUP(stress)
{
	if (variant->peers == KSFT_THREAD && variant->no_io_uring[0] == '0' && ksft_valgrind())
		SKIP("needs threads that run beside io_uring_enter(2), which valgrind's don't");
	setenv("KIPC_NO_IO_URING", variant->no_io_uring, 1);
	self->s.sh = ksft_shared(sizeof(*self->s.sh));
	ASSERT_EQ(0, core_create(&self->s.c, NULL));
}

FIXTURE_TEARDOWN(stress)
{
	core_close(&self->s.c);
}

static bool some(void *arg)
{
	struct core *c = arg;

	return load_acquire(&c->body->tokens) != 0;
}

/* 0: took one.  -EPIPE: stopped. */
static int take(struct core *c)
{
	uint64_t n = load_acquire(&c->body->tokens);

	do {
		if (n == STOP)
			return -EPIPE;
		if (!n)
			return -EAGAIN;
	} while (!try_cmpxchg(&c->body->tokens, &n, n - 1));
	return 0;
}

/* As an operation of a kind would: try, wait, hand the wake-up on. */
static int take_waiting(struct core *c, struct kipc_spin *spin)
{
	struct kipc_wait w = {
		.seg = &c->seg,
		.bell = &c->bells[0],
		.spin = spin,
		.ready = some,
		.arg = c,
		.hup_fd = -1,
		.deadline = KIPC_DEADLINE_NEVER,
	};
	int r;

	while ((r = take(c)) == -EAGAIN) {
		r = __kipc_wait(&w);
		if (r)
			break;
	}
	if (r == -EPIPE)
		__kipc_bell_kick(w.bell);
	else if (w.slept && some(c))
		__kipc_bell_ring(w.bell);
	return r;
}

static int taker(void *arg)
{
	struct stress *s = arg;
	struct kipc_spin spin = { 0 };
	int64_t since;
	int r = __kipc_peer_enter(&s->c.seg);

	while (!r) {
		/* no spinning every other time, so that all the paths are gone */
		r = take_waiting(&s->c, load_relaxed(&s->sh->taken) & 1 ? &spin : NULL);
		if (r)
			break;
		since = load_acquire(&s->sh->since_ns);
		if (since && __kipc_now_ns() - since > KIPC_TICK_NS * 9 / 10)
			fetch_add(&s->sh->late, 1);
		fetch_add(&s->sh->taken, 1);
	}
	return r == -EPIPE ? 0 : r;
}

static int putter(void *arg)
{
	struct stress *s = arg;
	int r = __kipc_peer_enter(&s->c.seg);

	for (int64_t i = 0; i < s->count && !r; i++) {
		fetch_add(&s->c.body->tokens, 1);
		__kipc_bell_ring(&s->c.bells[0]);
		if (i % 64 == 63)
			sched_yield();
	}
	return r;
}

static void stop(struct stress *s)
{
	xchg(&s->c.body->tokens, STOP);
	__kipc_bell_kick(&s->c.bells[0]);
}

#define TAKERS	4
#define PUTTERS	3

TEST_F(stress, every_token_is_taken)
{
	struct ksft_peer takers[TAKERS], putters[PUTTERS];
	struct stress *s = &self->s;
	uint64_t total;

	s->count = ksft_slow() ? 2000 : 20000;
	total = (uint64_t)s->count * PUTTERS;
	for (int i = 0; i < TAKERS; i++)
		ksft_peer_start(&takers[i], variant->peers, taker, s);
	for (int i = 0; i < PUTTERS; i++)
		ksft_peer_start(&putters[i], variant->peers, putter, s);
	for (int i = 0; i < PUTTERS; i++)
		ksft_peer_join(&putters[i]);
	EXPECT_TRUE(ksft_wait_for(load_acquire(&s->sh->taken) == total, 20000));
	stop(s);
	for (int i = 0; i < TAKERS; i++)
		ksft_peer_join(&takers[i]);
	EXPECT_EQ(total, s->sh->taken);
	EXPECT_EQ(0, core_sleepers(&s->c, 0));
	EXPECT_EQ(0, core_peer(&s->c, 1)->sleeping[0]);
}

/*
 * One token at a time, the next when it is taken, with a pause in which the takers fall asleep, of a
 * length that makes them meet the putter in every state.
 */
TEST_F(stress, no_token_waits_for_a_tick)
{
	int rounds = ksft_slow() ? 300 : 1500;
	struct ksft_peer takers[TAKERS];
	struct stress *s = &self->s;
	uint64_t total = 0;

	for (int i = 0; i < TAKERS; i++)
		ksft_peer_start(&takers[i], variant->peers, taker, s);
	for (int i = 0; i < rounds; i++) {
		int batch = 1 + i % 3;

		store_release(&s->sh->since_ns, __kipc_now_ns());
		for (int n = 0; n < batch; n++) {
			fetch_add(&s->c.body->tokens, 1);
			__kipc_bell_ring(&s->c.bells[0]);
		}
		total += batch;
		ASSERT_TRUE(ksft_wait_for(load_acquire(&s->sh->taken) == total, 5000));
		for (int n = 0; n < i % 97; n++)
			cpu_relax();
	}
	store_release(&s->sh->since_ns, 0);
	stop(s);
	for (int i = 0; i < TAKERS; i++)
		ksft_peer_join(&takers[i]);
	EXPECT_EQ(total, s->sh->taken);
	/* a machine that stops for so long now and then is no fault of ours */
	EXPECT_LE(s->sh->late, ksft_slow() ? rounds / 20 : 2);
}

/*
 * Takers are killed wherever they are: asleep, between two instructions of the doorbell, draining.
 * The others take what is put all the same, and soon; at the worst after the tick that finds the dead.
 */
FIXTURE(kills) {
	struct stress s;
};

FIXTURE_VARIANT(kills) {
	const char *no_io_uring;
};

FIXTURE_VARIANT_ADD(kills, uring) { "0" };
FIXTURE_VARIANT_ADD(kills, ppoll) { "1" };

FIXTURE_SETUP(kills)
{
	ksft_needs_processes();
	setenv("KIPC_NO_IO_URING", variant->no_io_uring, 1);
	self->s.sh = ksft_shared(sizeof(*self->s.sh));
	ASSERT_EQ(0, core_create(&self->s.c, NULL));
}

FIXTURE_TEARDOWN(kills)
{
	core_close(&self->s.c);
}

TEST_F(kills, survivors_go_on)
{
	int kills = ksft_slow() ? 40 : 150, late = 0;
	struct stress *s = &self->s;
	uint64_t *word = &s->c.body->bells[0].word;
	unsigned int seed = 31;
	pid_t pid[TAKERS];

	for (int i = 0; i < TAKERS; i++)
		pid[i] = ksft_fork(taker, s);
	for (int n = 0; n < kills; n++) {
		int victim = rand_r(&seed) % TAKERS, batch = 1 + rand_r(&seed) % 8;
		int64_t start;

		/* they are in all states: those of the last round may still be falling asleep */
		for (int i = 0; i < batch; i++) {
			fetch_add(&s->c.body->tokens, 1);
			__kipc_bell_ring(&s->c.bells[0]);
			if (i == batch / 2)
				ASSERT_EQ(0, kill(pid[victim], SIGKILL));
		}
		start = __kipc_now_ns();
		ASSERT_TRUE(ksft_wait_for(!load_acquire(&s->c.body->tokens), 5000));
		late += __kipc_now_ns() - start > ksft_scale(200) * MS;
		ksft_wait(pid[victim]);
		pid[victim] = ksft_fork(taker, s);
	}
	EXPECT_LE(late, 2);
	for (int i = 0; i < TAKERS; i++)
		ksft_kill(pid[i]);
	__kipc_peer_sweep(&s->c.seg, 0);
	EXPECT_EQ(0, *word & KIPC_BELL_DRAINER);
	/* one that died in the midst of announcing itself may be left in the count */
	EXPECT_LE(*word & KIPC_BELL_SLEEPERS, (uint64_t)kills / 10);
	for (uint32_t slot = 2; slot <= s->c.seg.npeers; slot++) {
		EXPECT_EQ(KIPC_PEER_FREE, core_peer(&s->c, slot)->state);
		EXPECT_EQ(0, core_peer(&s->c, slot)->sleeping[0]);
	}
}

/*
 * Those who were woken together drain one after the other.  One that gave up at the sight of another
 * would sleep for 10 ms without listening to the bell.
 */
#define DRAINERS	3

static int drainer(void *arg)
{
	struct stress *s = arg;
	int r = __kipc_peer_enter(&s->c.seg);

	for (int64_t i = 0; i < s->count && !r; i++)
		if (!__kipc_bell_drain(&s->c.seg, &s->c.bells[0], true))
			fetch_add(&s->sh->late, 1);
	return r;
}

TEST_F(stress, drains_do_not_turn_each_other_away)
{
	struct ksft_peer peers[DRAINERS];
	struct stress *s = &self->s;

	s->count = ksft_slow() ? 1000 : 20000;
	for (int i = 0; i < DRAINERS; i++)
		ksft_peer_start(&peers[i], variant->peers, drainer, s);
	for (int i = 0; i < DRAINERS; i++)
		ksft_peer_join(&peers[i]);
	/* now and then the one at it lost its CPU there, and didn't get it back in time */
	EXPECT_LE(s->sh->late, s->count * DRAINERS / 8);
	EXPECT_EQ(0, s->c.body->bells[0].word & KIPC_BELL_DRAINER);
}

TEST_HARNESS_MAIN
