/* SPDX-License-Identifier: MIT */
/*
 * Is a history of concurrent calls linearizable: is there an order of them, one after another, that
 * agrees with what each returned and with which was over before another began?
 *
 * The search is the one of J. Wing and C. Gong (Testing and verifying concurrent objects, 1993): of
 * the calls that nobody has to wait for, let one happen in the model; go on with the rest; if that
 * leads nowhere, take it back and try another.  With G. Lowe's memory (Testing for linearizability,
 * 2017): what has happened so far and the state that it led to, together, are met once only.
 * Processes make their calls one after another, so "what has happened so far" is a number for each.
 *
 * Points	A call may consist of several points, each of which happens at one moment, in this
 *		order, all between invocation and return: a put claims its place before it fills it,
 *		and others can tell.  A call with one point is what the papers speak of.
 * Pending	The call of a process that was killed in it: each of its points may have happened or
 *		not.  Its death, if that means something to the object, is a call of its own behind
 *		it.
 *
 * Nothing is sampled or cut: LIN_OK and LIN_WRONG are proofs.  LIN_GAVE_UP is neither, and to be
 * treated as a failure; it takes millions of states.
 */
#ifndef SELFTESTS_LINEARIZE_LIN_H
#define SELFTESTS_LINEARIZE_LIN_H

#include <stdlib.h>

#include "core/compiler.h"

#include "kselftest_harness.h"

#define LIN_PROCS	6	/* the test itself, which looks at what is left, included */
#define LIN_OPS		64	/* of each */
#define LIN_POINTS	192
#define LIN_STATE	26	/* bytes */
#define LIN_NEXT	12	/* states that a point can lead to */
#define LIN_NEVER	UINT64_MAX

struct lin_op {
	uint64_t invoked;	/* stamps; 0: it did not begin */
	uint64_t returned;	/* ... 0 while it is under way */
	int16_t kind;		/* the model's */
	bool pending;		/* its process died in it; `returned` is when that was over */
	bool flag;
	uint32_t key;		/* of what is checked by parts */
	int64_t arg;
	int64_t result;		/* what it returned ... */
	int64_t value;		/* ... and gave */
};

/* In pages that the processes share; each writes calls of its own. */
struct lin_history {
	uint64_t clock;		/* the last stamp */
	uint32_t procs;
	int32_t param;		/* for the model */
	struct lin_calls {
		uint32_t n;
		struct lin_op op[LIN_OPS];
	} of[LIN_PROCS];
};

/* A state is up to LIN_STATE bytes, all of them set; equal bytes are equal states. */
struct lin_state {
	uint8_t bytes[LIN_STATE];
};

struct lin_model {
	const char *const *kinds;
	void (*init)(struct lin_state *s, int32_t param);
	int (*points)(const struct lin_op *op);
	/*
	 * Lets a point of a call of process `who` happen: fills next[] with the states to which
	 * that can lead and returns how many there are, 0: it can't happen now.
	 */
	int (*step)(const struct lin_op *op, uint32_t who, int point, const struct lin_state *s,
		    struct lin_state next[LIN_NEXT]);
};

enum lin_verdict { LIN_OK, LIN_WRONG, LIN_GAVE_UP };

/* ---- the search ---- */

struct lin_config {
	uint8_t done[LIN_PROCS];	/* points of each process that have happened */
	struct lin_state state;
};

struct lin_point {
	const struct lin_op *op;
	int nr;
	uint64_t before;	/* when this or a later call of its process returned, if earlier */
};

struct lin_search {
	const struct lin_model *model;
	const struct lin_history *h;
	struct lin_point point[LIN_PROCS][LIN_POINTS];
	uint32_t npoints[LIN_PROCS];
	struct lin_config *seen;	/* a hash table */
	uint64_t nseen, size, limit;
	struct lin_config furthest;
	uint32_t most;
};

#define LIN_SEEN_MAX	(1ULL << 21)

static inline uint64_t lin_hash(const struct lin_config *c)
{
	const uint8_t *p = (const uint8_t *)c;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < sizeof(*c); i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash ^ hash >> 29;
}

/* The place of c in the table, or where it would go.  Empty places have done[0] == UINT8_MAX. */
static inline struct lin_config *lin_place(struct lin_search *l, const struct lin_config *c)
{
	uint64_t i = lin_hash(c) & (l->size - 1);

	while (l->seen[i].done[0] != UINT8_MAX && memcmp(&l->seen[i], c, sizeof(*c)))
		i = (i + 1) & (l->size - 1);
	return &l->seen[i];
}

static inline void lin_grow(struct lin_search *l)
{
	struct lin_config *old = l->seen;
	uint64_t n = l->size;

	l->size = n ? 2 * n : 1024;
	l->seen = malloc(l->size * sizeof(*l->seen));
	ASSERT_TRUE(l->seen != NULL);
	memset(l->seen, 0xff, l->size * sizeof(*l->seen));
	for (uint64_t i = 0; i < n; i++)
		if (old[i].done[0] != UINT8_MAX)
			*lin_place(l, &old[i]) = old[i];
	free(old);
}

/* False: it was met before. */
static inline bool lin_remember(struct lin_search *l, const struct lin_config *c)
{
	struct lin_config *place;

	if (2 * l->nseen >= l->size)
		lin_grow(l);
	place = lin_place(l, c);
	if (place->done[0] != UINT8_MAX)
		return false;
	*place = *c;
	l->nseen++;
	return true;
}

/*
 * Fills who[] with the processes whose next point may be the next of all, those first that have to
 * be done first: a call must wait for each that had returned before it was invoked.
 */
static inline int lin_candidates(const struct lin_search *l, const struct lin_config *c,
				 uint32_t who[LIN_PROCS])
{
	uint64_t before[LIN_PROCS], first = LIN_NEVER;
	int n = 0;

	for (uint32_t p = 0; p < l->h->procs; p++) {
		const struct lin_point *point = &l->point[p][c->done[p]];

		if (c->done[p] < l->npoints[p] && point->before < first)
			first = point->before;
	}
	for (uint32_t p = 0; p < l->h->procs; p++) {
		const struct lin_point *point = &l->point[p][c->done[p]];
		int i;

		if (c->done[p] == l->npoints[p] || point->op->invoked > first)
			continue;
		for (i = n++; i > 0 && before[i - 1] > point->before; i--) {
			before[i] = before[i - 1];
			who[i] = who[i - 1];
		}
		before[i] = point->before;
		who[i] = p;
	}
	return n;
}

static inline enum lin_verdict lin_go_on(struct lin_search *l, const struct lin_config *c,
					 uint32_t done)
{
	enum lin_verdict verdict;
	uint32_t who[LIN_PROCS];
	int n = lin_candidates(l, c, who);

	if (done > l->most) {
		l->most = done;
		l->furthest = *c;
	}
	if (!n)
		return LIN_OK;
	if (!lin_remember(l, c))
		return LIN_WRONG;
	if (l->nseen > l->limit)
		return LIN_GAVE_UP;
	for (int i = 0; i < n; i++) {
		const struct lin_point *point = &l->point[who[i]][c->done[who[i]]];
		struct lin_state next[LIN_NEXT];
		int m = l->model->step(point->op, who[i], point->nr, &c->state, next);

		for (int k = 0; k < m; k++) {
			struct lin_config then = *c;

			then.state = next[k];
			then.done[who[i]]++;
			verdict = lin_go_on(l, &then, done + 1);
			if (verdict != LIN_WRONG)
				return verdict;
		}
	}
	return LIN_WRONG;
}

static inline void lin_begin(struct lin_search *l, const struct lin_model *model,
			     const struct lin_history *h, struct lin_config *start)
{
	*l = (struct lin_search){ .model = model, .h = h, .limit = LIN_SEEN_MAX };
	memset(start, 0, sizeof(*start));
	model->init(&start->state, h->param);
	l->furthest = *start;
	ASSERT_LE(h->procs, LIN_PROCS);
	for (uint32_t p = 0; p < h->procs; p++) {
		uint64_t before = LIN_NEVER;

		for (uint32_t i = 0; i < h->of[p].n; i++) {
			const struct lin_op *op = &h->of[p].op[i];
			int n = model->points(op);

			for (int nr = 0; nr < n; nr++) {
				ASSERT_LT(l->npoints[p], LIN_POINTS - 1);
				l->point[p][l->npoints[p]++] = (struct lin_point){ op, nr, 0 };
			}
		}
		for (uint32_t i = l->npoints[p]; i-- > 0;) {
			before = min_of(before, l->point[p][i].op->returned);
			l->point[p][i].before = before;
		}
	}
}

/* ---- in words ---- */

/* The history, in the order of invocations; what the best try could not place is marked. */
static inline void lin_print(const struct lin_search *l)
{
	uint32_t next[LIN_PROCS] = { 0 };

	for (;;) {
		const struct lin_op *op = NULL;
		const char *mark = "!";
		char returned[32];
		uint32_t who = 0;

		for (uint32_t p = 0; p < l->h->procs; p++) {
			const struct lin_op *o = &l->h->of[p].op[next[p]];

			if (next[p] < l->h->of[p].n && (!op || o->invoked < op->invoked)) {
				op = o;
				who = p;
			}
		}
		if (!op)
			break;
		next[who]++;
		for (uint32_t i = 0; i < l->furthest.done[who]; i++)
			if (l->point[who][i].op == op)
				mark = " ";
		if (op->pending)
			snprintf(returned, sizeof(returned), "pending");
		else
			snprintf(returned, sizeof(returned), "%ld, %ld%s", (long)op->result,
				 (long)op->value, op->flag ? ", flagged" : "");
		ksft_log("%s p%u %s(%u, %ld) -> %s   [%lu..%lu]", mark, who,
			 l->model->kinds[op->kind], op->key, (long)op->arg, returned,
			 (unsigned long)op->invoked, (unsigned long)op->returned);
	}
}

/* loud: prints a history that is not OK. */
static inline enum lin_verdict lin_check(const struct lin_model *model, const struct lin_history *h,
					 bool loud)
{
	struct lin_search *l = malloc(sizeof(*l));
	struct lin_config start;
	enum lin_verdict verdict;

	ASSERT_TRUE(l != NULL);
	lin_begin(l, model, h, &start);
	verdict = lin_go_on(l, &start, 0);
	if (verdict != LIN_OK && loud) {
		ksft_log("%s, with parameter %d, after %lu states:",
			 verdict == LIN_WRONG ? "not linearizable" : "gave up", h->param,
			 (unsigned long)l->nseen);
		lin_print(l);
	}
	free(l->seen);
	free(l);
	return verdict;
}

/*
 * The same for an object whose keys are independent of each other: it is linearizable if each key
 * by itself is (M. Herlihy and J. Wing, Linearizability, 1990: locality).
 */
static inline enum lin_verdict lin_check_keys(const struct lin_model *model,
					      const struct lin_history *h, uint32_t keys, bool loud)
{
	struct lin_history *part = malloc(sizeof(*part));
	enum lin_verdict verdict = LIN_OK;

	ASSERT_TRUE(part != NULL);
	for (uint32_t key = 0; key < keys && verdict == LIN_OK; key++) {
		part->procs = h->procs;
		part->param = h->param;
		for (uint32_t p = 0; p < h->procs; p++) {
			part->of[p].n = 0;
			for (uint32_t i = 0; i < h->of[p].n; i++)
				if (h->of[p].op[i].key == key)
					part->of[p].op[part->of[p].n++] = h->of[p].op[i];
		}
		verdict = lin_check(model, part, loud);
	}
	free(part);
	return verdict;
}

#endif
