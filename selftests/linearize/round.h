/* SPDX-License-Identifier: MIT */
/*
 * Rounds: a few workers use a fresh object for a few calls each, all at once; some are killed; what
 * each called and got is recorded; the test itself then looks at what is left, and the whole is
 * checked.
 *
 * Stamps come from one counter in shared memory, moved by a sequentially consistent add.  A call is
 * stamped before its first instruction and after its last, so if one's return stamp is smaller than
 * another's invocation stamp, it was over before that one began, for every observer.  (The add is
 * a full barrier: what a call leaves in a store buffer is out before its return stamp.  A program
 * that learns of a return by looking at memory can't be earlier.)
 *
 * A worker that is killed leaves its record, which is in shared pages: a call without a return
 * stamp is pending.
 *
 * In the environment: LINEARIZE_SECONDS, how long each test goes on; SEED, where it begins.
 */
#ifndef SELFTESTS_LINEARIZE_ROUND_H
#define SELFTESTS_LINEARIZE_ROUND_H

#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include <kipc/queue.h>

#include "core/lock.h"

#include "lin.h"
#include "stall.h"

#define ROUND_WORKERS	(LIN_PROCS - 1)	/* at most; and the test itself, behind the last one */
#define ROUND_CALLS	15		/* of a worker, at most */

struct round;

struct worker {
	struct round *r;
	uint32_t who;
	unsigned int seed;
	uint32_t calls;		/* that it will make */
	uint32_t special;	/* in this one it stands still, or dies */
	long at;		/* ... after so many instructions */
	bool dies;
	/* the subject's: */
	struct kipc_msg msg;
	int64_t holds;
};

/* What is tried. */
struct subject {
	const struct lin_model *model;
	uint32_t keys;		/* it is checked key by key; 0: as a whole */
	int death;		/* the model's kind of call for a death; -1: means nothing to it */
	bool late;		/* a dead one's call may happen when others meet what it left */
	long len;		/* instructions of a call, more or less */
	/* In the test: a fresh object for a round, and its end.  make() may set the param. */
	void (*make)(struct round *r);
	void (*end)(struct round *r);
	/* In a worker: says what the next call is; makes it, and fills in what came out. */
	void (*choose)(struct worker *w, struct lin_op *op, bool last);
	void (*call)(struct worker *w, struct lin_op *op);
	/* In the test, alone: lets the dead be noticed. */
	void (*sweep)(struct round *r);
	/* ... and the next call of its own look at what is left; false: it has seen all. */
	bool (*look)(struct worker *w, struct lin_op *op);
};

enum round_kills { KILL_NONE, KILL_SOME };

struct round {
	const struct subject *s;
	enum ksft_peer_kind peers;
	enum round_kills kills;
	unsigned int seed;
	uint32_t nworkers;
	struct worker worker[LIN_PROCS];
	struct round_shared {
		struct lin_history h;
		uint32_t ready, go, ended;
		uint32_t values;	/* no two are alike */
	} *sh;
	void *object;
	/* sums over all rounds */
	uint64_t rounds, calls, overlaps, pending, deaths;
};

static inline uint32_t below(unsigned int *seed, uint32_t n)
{
	return (uint32_t)rand_r(seed) % n;
}

static inline uint64_t stamp(struct round *r)
{
	return fetch_add(&r->sh->h.clock, 1) + 1;
}

static inline int64_t new_value(struct round *r)
{
	return fetch_add(&r->sh->values, 1) + 1;
}

/* Now and then it waits a little. */
static inline int64_t some_timeout(unsigned int *seed)
{
	return below(seed, 4) ? KIPC_NOWAIT : below(seed, 300) * NSEC_PER_USEC;
}

/* ---- a worker ---- */

/* Stands still until others have come some way, all have ended, or a millisecond is over. */
static inline void stand_still(void *arg)
{
	struct worker *w = arg;
	struct round_shared *sh = w->r->sh;
	uint64_t until = load_relaxed(&sh->h.clock) + 1 + below(&w->seed, 20);
	struct ksft_nap nap = ksft_nap_until(1);

	while (load_acquire(&sh->h.clock) < until &&
	       load_acquire(&sh->ended) + 1 < w->r->nworkers && ksft_nap(&nap))
		;
}

static inline void die(void *arg)
{
	(void)arg;
	kill(getpid(), SIGKILL);
}

/* Records a call and makes it. */
static inline void make_call(struct worker *w, const struct lin_op *call)
{
	struct lin_calls *of = &w->r->sh->h.of[w->who];
	struct lin_op *op = &of->op[of->n];
	bool special = of->n == w->special && w->at > 0;

	ASSERT_LT(of->n, LIN_OPS);
	*op = *call;
	store_release(&of->n, of->n + 1);
	store_release(&op->invoked, stamp(w->r));
	if (special)
		stall_arm(w->at, w->dies ? die : stand_still, w);
	w->r->s->call(w, op);
	if (special)
		stall_disarm();
	store_release(&op->returned, stamp(w->r));
}

static inline int work(void *arg)
{
	struct worker *w = arg;
	struct round_shared *sh = w->r->sh;

	fetch_add(&sh->ready, 1);
	while (!load_acquire(&sh->go))
		__kipc_futex_wait(&sh->go, 0, KIPC_TICK_NS);
	for (uint32_t i = 0; i < w->calls; i++) {
		struct lin_op op = { 0 };

		w->r->s->choose(w, &op, i + 1 == w->calls);
		make_call(w, &op);
	}
	fetch_add(&sh->ended, 1);
	return 0;
}

/* ---- the test ---- */

static inline void plan_worker(struct round *r, uint32_t who)
{
	struct worker *w = &r->worker[who];

	*w = (struct worker){ .r = r, .who = who, .seed = (unsigned int)rand_r(&r->seed) };
	w->calls = 2 + below(&w->seed, ROUND_CALLS - 1);
	w->special = below(&w->seed, w->calls);
	w->dies = r->kills == KILL_SOME && !below(&w->seed, 3);
	/* a sanitizer sees its own signals, and ten instructions where there is one */
	w->at = ksft_slow() || !below(&w->seed, 4) ? 0 : 1 + below(&w->seed, (uint32_t)r->s->len);
}

/* In every other round, a kill from outside, at any moment. */
static inline void kill_one(struct round *r, const struct ksft_peer *peer)
{
	int64_t when = ksft_now_ns() + below(&r->seed, 200) * NSEC_PER_USEC;

	if (r->kills != KILL_SOME || below(&r->seed, 2))
		return;
	while (ksft_now_ns() < when)
		cpu_relax();
	kill(peer[below(&r->seed, r->nworkers)].id, SIGKILL);
}

/* Waits for a worker's end; whether it was killed. */
static inline bool await_worker(struct round *r, struct ksft_peer *peer)
{
	int status;

	if (r->kills == KILL_NONE) {
		ksft_peer_join(peer);
		return false;
	}
	status = ksft_wait(peer->id);
	if (WIFSIGNALED(status)) {
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
		return true;
	}
	EXPECT_EQ(0, WEXITSTATUS(status));
	return false;
}

/* Whether two calls were under way at once. */
static inline bool overlap(const struct lin_op *a, const struct lin_op *b)
{
	return a->invoked < b->returned && b->invoked < a->returned;
}

static inline uint64_t count_overlaps(const struct lin_history *h)
{
	uint64_t n = 0;

	for (uint32_t p = 0; p < h->procs; p++)
		for (uint32_t q = p + 1; q < h->procs; q++)
			for (uint32_t i = 0; i < h->of[p].n; i++)
				for (uint32_t k = 0; k < h->of[q].n; k++)
					n += overlap(&h->of[p].op[i], &h->of[q].op[k]);
	return n;
}

/* Makes the record of a worker that has ended a part of the history. */
static inline void settle(struct round *r, uint32_t who, uint64_t ended, uint64_t swept)
{
	struct lin_calls *of = &r->sh->h.of[who];
	struct lin_op *last = of->n ? &of->op[of->n - 1] : NULL;

	if (last && !last->invoked) {
		of->n--;	/* killed just before it */
	} else if (last && !last->returned) {
		last->pending = true;
		last->returned = r->s->late ? swept : ended;
		r->pending++;
	}
	/* an end without a kill leaves the same behind */
	if (r->peers == KSFT_PROCESS && r->s->death >= 0) {
		struct lin_op death = {
			.kind = (int16_t)r->s->death,
			.invoked = of->n ? of->op[of->n - 1].invoked : 1,
			.returned = swept,
		};

		ASSERT_LT(of->n, LIN_OPS);
		of->op[of->n++] = death;
	}
}

static inline void look_at_the_rest(struct round *r)
{
	struct worker *w = &r->worker[r->nworkers];

	*w = (struct worker){ .r = r, .who = r->nworkers };
	for (;;) {
		struct lin_op op = { 0 };

		if (!r->s->look(w, &op))
			break;
		make_call(w, &op);
	}
}

/* One round: its history is in r->sh->h, complete. */
static inline void play(struct round *r)
{
	struct ksft_peer peer[ROUND_WORKERS];
	uint64_t ended[ROUND_WORKERS], swept;
	struct lin_history *h = &r->sh->h;

	memset(r->sh, 0, sizeof(*r->sh));
	r->nworkers = 3 + below(&r->seed, ROUND_WORKERS - 2);
	h->procs = r->nworkers + 1;
	r->s->make(r);
	for (uint32_t i = 0; i < r->nworkers; i++) {
		plan_worker(r, i);
		ksft_peer_start(&peer[i], r->peers, work, &r->worker[i]);
	}
	ASSERT_TRUE(ksft_wait_for(load_acquire(&r->sh->ready) == r->nworkers, 10000));
	store_release(&r->sh->go, 1);
	__kipc_futex_wake(&r->sh->go, INT_MAX);
	kill_one(r, peer);
	for (uint32_t i = 0; i < r->nworkers; i++) {
		r->deaths += await_worker(r, &peer[i]);
		ended[i] = stamp(r);
	}
	r->s->sweep(r);
	swept = stamp(r);
	for (uint32_t i = 0; i < r->nworkers; i++)
		settle(r, i, ended[i], swept);
	look_at_the_rest(r);
	r->s->end(r);
	r->rounds++;
	r->overlaps += count_overlaps(h);
	for (uint32_t p = 0; p < h->procs; p++)
		r->calls += h->of[p].n;
}

static inline enum lin_verdict judge(struct round *r, bool loud)
{
	const struct subject *s = r->s;

	return s->keys ? lin_check_keys(s->model, &r->sh->h, s->keys, loud) :
			 lin_check(s->model, &r->sh->h, loud);
}

static inline void round_init(struct round *r, const struct subject *s, enum ksft_peer_kind peers,
			      enum round_kills kills)
{
	const char *seed = getenv("SEED");

	if (peers == KSFT_PROCESS)
		ksft_needs_processes();
	*r = (struct round){ .s = s, .peers = peers, .kills = kills };
	r->seed = seed ? (unsigned int)atoi(seed) : (unsigned int)ksft_now_ns();
	r->sh = ksft_shared(sizeof(*r->sh));
}

/* Rounds for a while, each of them linearizable. */
static inline void rounds(const struct subject *s, enum ksft_peer_kind peers,
			  enum round_kills kills)
{
	const char *seconds = getenv("LINEARIZE_SECONDS");
	int64_t span = seconds ? atoi(seconds) * NSEC_PER_SEC : 300 * NSEC_PER_MSEC;
	int64_t end = ksft_now_ns() + span;
	struct round r;
	unsigned int seed;

	round_init(&r, s, peers, kills);
	do {
		seed = r.seed;
		play(&r);
		if (!EXPECT_EQ(LIN_OK, judge(&r, true))) {
			ksft_log("SEED=%u begins with this round", seed);
			break;
		}
	} while (r.rounds < 10 || ksft_now_ns() < end || (kills == KILL_SOME && !r.deaths));
	ksft_log("%lu rounds, %lu calls, %lu pairs overlap, %lu killed, %lu calls cut short",
		 (unsigned long)r.rounds, (unsigned long)r.calls, (unsigned long)r.overlaps,
		 (unsigned long)r.deaths, (unsigned long)r.pending);
	if (kills == KILL_SOME)
		EXPECT_GT(r.deaths, 0);
}

#endif
