// SPDX-License-Identifier: MIT
/*
 * Recovery itself: the first victim is killed, in every state that it leaves; the second one meets
 * the remains with an operation of its own, and is killed in the middle of that, too; the survivor is
 * the third.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/time.h"
#include "engine.h"

#define ALL_BELOW 3000	/* a second victim of so many instructions is killed after each */

/* What the first one's death alone comes to: the state, or -1. */
static int base_state(struct crash_point p, struct crash_sum *sum)
{
	struct crash_report *rep;

	p.trace2 = NULL;
	p.record2 = false;
	rep = crash_world(&p);
	return crash_count(sum, &p, rep, 0, p.op->steps) ? rep->state : -1;
}

/* The second victim, at each of its points. */
static void run_second(struct crash_point *p, struct crash_sum *sum, int base, uint32_t at_most)
{
	const struct crash_op *op = p->op;
	uint32_t *points, n;
	int last = base;

	p->record2 = true;
	if (crash_record(p, sum))
		return;
	p->record2 = false;
	sum->instructions += p->trace2->len;
	points = calloc(p->trace2->len + 1, sizeof(*points));
	if (!points)
		abort();
	n = crash_choose(p->trace2, at_most ? 0 : ALL_BELOW, at_most, -1, points);
	for (uint32_t i = 0; i < n && sum->violations < 3; i++) {
		int new = base + op->second_steps;
		struct crash_report *rep;

		p->n2 = points[i];
		rep = crash_world(p);
		if (op->second_steps < 0) {
			/* it undoes what it does: neither the first nor the last state is the one */
			if (crash_count(sum, p, rep, 0, op->steps))
				sum->old++;
			continue;
		}
		if (!crash_count(sum, p, rep, p->n2 == p->trace2->len ? new : last, new))
			continue;
		if (rep->state != base && rep->state != new) {
			rep->state = -1;
			sum->points--;
			crash_count(sum, p, rep, base, new);
			continue;
		}
		last = rep->state;
		sum->old += rep->state == base;
		sum->new += rep->state == new && op->second_steps;
	}
	free(points);
}

int crash_run_pairs(const struct crash_op *op, const struct crash_plan *plan,
		    struct crash_sum *sum)
{
	struct crash_point p = { .op = op, .trace = crash_trace(0), .record = true };
	uint32_t *points, n;
	int r;

	*sum = (struct crash_sum){ .time_ns = __kipc_now_ns() };
	crash_begin(plan);
	r = crash_record(&p, sum);
	if (r)
		return r == -EPERM ? r : 0;
	p.record = false;
	points = calloc(p.trace->len + 1, sizeof(*points));
	if (!points)
		abort();
	/* every state that it can leave; a shorter run takes some of them */
	n = crash_choose(p.trace, 0, plan->first_at_most, plan->only, points);
	for (uint32_t i = 0; i < n && sum->violations < 3; i++) {
		int base;

		p.n = points[i];
		base = base_state(p, sum);
		p.trace2 = crash_trace(1);
		if (base >= 0)
			run_second(&p, sum, base, plan->second_at_most);
		p.trace2 = NULL;
		sum->pairs++;
	}
	free(points);
	sum->time_ns = __kipc_now_ns() - sum->time_ns;
	return 0;
}
