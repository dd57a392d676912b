// SPDX-License-Identifier: MIT
/*
 * Which order of the operations explains what is there: all of those that ended, each of the killed
 * or not, in any order.  So few operations can be tried in all orders.
 */
#include <string.h>

#include "points.h"

static const struct model *goal;

bool points_told_got(enum who who, int i, int64_t value)
{
	const struct told *t = points_told(who);

	return !points_ended(who) || (i < t->ngot && t->got[i] == value);
}

void seq_insert(struct seq *s, int at, int64_t v)
{
	memmove(s->v + at + 1, s->v + at, (size_t)(s->n - at) * sizeof(s->v[0]));
	s->v[at] = v;
	s->n++;
}

int64_t seq_remove(struct seq *s, int at)
{
	int64_t v = s->v[at];

	s->n--;
	memmove(s->v + at, s->v + at + 1, (size_t)(s->n - at) * sizeof(s->v[0]));
	return v;
}

static bool same_seq(const struct seq *a, const struct seq *b)
{
	return a->n == b->n && !memcmp(a->v, b->v, (size_t)a->n * sizeof(a->v[0]));
}

static bool same(const struct model *a, const struct model *b)
{
	return same_seq(&a->seq[0], &b->seq[0]) && same_seq(&a->seq[1], &b->seq[1]);
}

/* Whether those in `todo`, in some order, lead from here to the goal. */
static bool leads_there(const struct model *from, uint32_t todo)
{
	if (!todo)
		return same(from, goal);
	for (enum who who = STOPPED; who < ACTORS; who++) {
		struct model m = *from;

		if ((todo & 1u << who) && points_act(points_scene, who)->model(&m, who) &&
		    leads_there(&m, todo & ~(1u << who)))
			return true;
	}
	return false;
}

int points_explain(const struct model *before, const struct model *after)
{
	uint32_t must = 0, may = 0, killed = 1u << KILLED;
	int state = 0;

	for (enum who who = STOPPED; who < ACTORS; who++) {
		if (points_ended(who))
			must |= 1u << who;
		else if (points_took_part(who))
			may |= 1u << who;
	}
	goal = after;
	/* every subset of those that may have happened */
	for (uint32_t some = may;; some = (some - 1) & may) {
		if (leads_there(before, must | some))
			state |= (must | some) & killed ? POINTS_NEW : POINTS_OLD;
		if (!some)
			return state;
	}
}
