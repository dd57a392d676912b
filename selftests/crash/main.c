// SPDX-License-Identifier: MIT
/* crash: kills processes in the middle of operations, and says what that did.  See --help. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static const struct crash_op *const tables[] = {
	crash_queue_ops, crash_pipe_ops, crash_list_ops, crash_dict_ops, crash_lock_ops,
	crash_arena_ops, crash_shm_ops, crash_attach_ops, crash_create_ops,
};

static const struct crash_plan full_plan = {
	.all_below = 700, .at_most = 0, .first_at_most = 40, .only = -1
};
static const struct crash_plan short_plan = {
	.all_below = 0, .at_most = 20, .first_at_most = 6, .second_at_most = 4, .only = -1
};

struct run {
	struct crash_plan plan;
	const char *only;	/* part of "kind name" */
	bool tap;
	unsigned int tests;
	struct crash_sum total;
};

/* A short run that has taken so long, on a machine that is busy, takes a few points of what is left. */
#define SHORT_SECONDS 100
static const struct crash_plan hurry_plan = {
	.all_below = 0, .at_most = 4, .first_at_most = 3, .second_at_most = 3, .only = -1, .hurry = true
};

static const char usage[] =
	"crash [OPTION...]: kill -9 after every instruction of every operation\n"
	"  --short     fewer points of most operations\n"
	"  --only=TEXT operations whose name has this in it\n"
	"  --point=N   this point alone\n"
	"  --tap       print TAP instead of a table\n"
	"  --list      print the operations\n";

static void print_sum(struct run *run, const char *name, const struct crash_sum *s)
{
	if (run->tap) {
		printf("%sok %u - %s: %u instructions, %lu points, %lu old, %lu new, worst heal %.1f ms\n",
		       s->violations ? "not " : "", ++run->tests, name, s->instructions,
		       (unsigned long)s->points, (unsigned long)s->old, (unsigned long)s->new,
		       (double)s->heal_ns / 1e6);
	} else {
		printf("%-32s %8u %7lu %7lu %7lu %7lu %8.1f %7.1f\n", name, s->instructions,
		       (unsigned long)s->points, (unsigned long)s->old, (unsigned long)s->between,
		       (unsigned long)s->new, (double)s->heal_ns / 1e6, (double)s->time_ns / 1e9);
	}
	if (s->violations)
		printf("# %s: %lu VIOLATIONS: %s\n", name, (unsigned long)s->violations, s->why);
	fflush(stdout);
}

static void add(struct crash_sum *total, const struct crash_sum *s)
{
	total->instructions += s->instructions;
	total->points += s->points;
	total->old += s->old;
	total->new += s->new;
	total->between += s->between;
	total->violations += s->violations;
	total->strayed += s->strayed;
	total->time_ns += s->time_ns;
	if (s->heal_ns > total->heal_ns)
		total->heal_ns = s->heal_ns;
}

static int run_op(struct run *run, const struct crash_op *op)
{
	struct crash_sum sum;
	char name[64];
	int r;

	if (run->plan.at_most && !run->plan.hurry &&
	    run->total.time_ns > SHORT_SECONDS * 1000000000LL) {
		printf("# that was %d s: fewer points from here on\n", SHORT_SECONDS);
		run->plan = hurry_plan;
	}
	snprintf(name, sizeof(name), "%s %s", op->kind, op->name);
	if (!run->only || strstr(name, run->only)) {
		r = crash_run(op, &run->plan, &sum);
		if (r)
			return r;
		print_sum(run, name, &sum);
		add(&run->total, &sum);
	}
	snprintf(name, sizeof(name), "%s %s, repaired", op->kind, op->name);
	if ((op->flags & CRASH_PAIR) && (!run->only || strstr(name, run->only))) {
		r = crash_run_pairs(op, &run->plan, &sum);
		if (r)
			return r;
		print_sum(run, name, &sum);
		add(&run->total, &sum);
	}
	return 0;
}

static int run_all(struct run *run)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (const struct crash_op *op = tables[t]; op->name; op++) {
			int r = run_op(run, op);

			if (r)
				return r;
		}
	}
	return 0;
}

static void list(void)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct crash_op *op = tables[t]; op->name; op++)
			printf("%s %s%s\n", op->kind, op->name,
			       op->flags & CRASH_PAIR ? " (and its repair)" : "");
}

/* A step takes two switches, several times as long when they go across. */
static void stay_on_one_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "short", no_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "point", required_argument, NULL, 'p' },
		{ "tap", no_argument, NULL, 't' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct run run = { .plan = full_plan };
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			run.plan = short_plan;
			break;
		case 'o':
			run.only = optarg;
			break;
		case 'p':
			run.plan.only = strtoll(optarg, NULL, 0);
			break;
		case 't':
			run.tap = true;
			break;
		case 'l':
			list();
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	stay_on_one_cpu();
	if (run.tap)
		printf("TAP version 13\n");
	else
		printf("%-32s %8s %7s %7s %7s %7s %8s %7s\n", "operation", "instr.", "points", "old",
		       "between", "new", "heal ms", "s");
	r = run_all(&run);
	if (r == -EPERM) {
		printf("1..0 # SKIP ptrace(2) is not allowed here\n");
		return 4;
	}
	if (run.tap)
		printf("1..%u\n", run.tests);
	else
		print_sum(&run, "total", &run.total);
	printf("# %lu kill points, %lu violations, worst heal time %.1f ms\n",
	       (unsigned long)run.total.points, (unsigned long)run.total.violations,
	       (double)run.total.heal_ns / 1e6);
	return run.total.violations || !run.total.points;
}
