// SPDX-License-Identifier: MIT
/* crash: kills processes in the middle of operations, and says what that did.  See --help. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/atomic.h"
#include "core/time.h"
#include "engine.h"
#include "rows.h"

static const struct crash_op *const tables[] = {
	crash_queue_ops, crash_pipe_ops, crash_list_ops, crash_dict_ops, crash_lock_ops,
	crash_arena_ops, crash_shm_ops, crash_attach_ops, crash_create_ops,
};

static const struct crash_plan full_plan = {
	.all_below = 700, .at_most = 0, .first_at_most = 40, .only = -1
};
static const struct crash_plan short_plan = {
	.all_below = 0, .at_most = 20, .first_at_most = 6, .second_at_most = 4, .only = -1, .quick = true
};

/* A short run that has taken so long, on a machine that is busy, takes a few points of what is left. */
#define SHORT_SECONDS 100
static const struct crash_plan hurry_plan = {
	.all_below = 0, .at_most = 4, .first_at_most = 3, .second_at_most = 3, .only = -1, .hurry = true,
	.quick = true
};

#define ROWS_MAX 256

static struct row {
	const struct crash_op *op;
	bool pairs;
} rows[ROWS_MAX];
static uint32_t nrows;

static struct crash_plan plan;
static bool tap;
static int64_t begun_ns;
static uint32_t *hurried;	/* operations; shared */
static struct crash_sum total;

static const char usage[] =
	"crash [OPTION...]: kill -9 after every instruction of every operation\n"
	"  --short     fewer points of most operations\n"
	"  --only=TEXT operations whose name has this in it\n"
	"  --point=N   this point alone\n"
	"  --jobs=N    so many operations beside each other\n"
	"  --tap       print TAP instead of a table\n"
	"  --list      print the operations\n";

static void name_of(const struct row *r, char *name, size_t size)
{
	snprintf(name, size, "%s %s%s", r->op->kind, r->op->name, r->pairs ? ", repaired" : "");
}

static void print_sum(const char *name, const struct crash_sum *s, uint32_t test)
{
	if (tap) {
		printf("%sok %u - %s: %u instructions, %lu points, %lu old, %lu new, worst heal %.1f ms\n",
		       s->violations ? "not " : "", test, name, s->instructions,
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

static void add_row(const struct crash_op *op, bool pairs, const char *only)
{
	struct row r = { op, pairs };
	char name[64];

	name_of(&r, name, sizeof(name));
	if (only && !strstr(name, only))
		return;
	if (nrows == ROWS_MAX)
		abort();
	rows[nrows++] = r;
}

static void add_rows(const char *only)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct crash_op *op = tables[t]; op->name; op++) {
			add_row(op, false, only);
			if (op->flags & CRASH_PAIR)
				add_row(op, true, only);
		}
	}
}

static void work(uint32_t i, void *out)
{
	struct crash_sum *sum = out;

	if (plan.at_most && __kipc_now_ns() - begun_ns > SHORT_SECONDS * NSEC_PER_SEC) {
		plan = hurry_plan;
		fetch_add(hurried, 1);
	}
	sum->error = rows[i].pairs ? crash_run_pairs(rows[i].op, &plan, sum) :
				     crash_run(rows[i].op, &plan, sum);
}

static void print(uint32_t i, const void *out)
{
	const struct crash_sum *s = out;
	char name[64];

	name_of(&rows[i], name, sizeof(name));
	total.error = s->error ? s->error : total.error;
	if (s->error)
		return;
	print_sum(name, s, i + 1);
	total.instructions += s->instructions;
	total.points += s->points;
	total.old += s->old;
	total.new += s->new;
	total.between += s->between;
	total.violations += s->violations;
	total.time_ns += s->time_ns;
	total.heal_ns = max_of(total.heal_ns, s->heal_ns);
}

static int run(struct rows *r)
{
	if (tap)
		printf("TAP version 13\n");
	else
		printf("%-32s %8s %7s %7s %7s %7s %8s %7s\n", "operation", "instr.", "points", "old",
		       "between", "new", "heal ms", "s");
	begun_ns = __kipc_now_ns();
	hurried = crash_shared(sizeof(*hurried));
	if (rows_run(r)) {
		printf("Bail out! a runner died\n");
		return 1;
	}
	if (total.error == -EPERM) {
		printf("1..0 # SKIP ptrace(2) is not allowed here\n");
		return 4;
	}
	if (*hurried)
		printf("# after %d s: fewer points of %u operations\n", SHORT_SECONDS, *hurried);
	if (tap)
		printf("1..%u\n", r->n);
	else
		print_sum("total", &total, 0);
	printf("# %lu kill points, %lu violations, worst heal time %.1f ms\n",
	       (unsigned long)total.points, (unsigned long)total.violations,
	       (double)total.heal_ns / 1e6);
	return total.violations || total.error || !total.points;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "short", no_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "point", required_argument, NULL, 'p' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "tap", no_argument, NULL, 't' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct rows r = { .size = sizeof(struct crash_sum), .work = work, .print = print };
	const char *only = NULL;
	bool list = false;
	int c;

	plan = full_plan;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			plan = short_plan;
			break;
		case 'o':
			only = optarg;
			break;
		case 'p':
			plan.only = strtoll(optarg, NULL, 0);
			break;
		case 't':
			tap = true;
			break;
		case 'l':
			list = true;
			break;
		case 'j':
			r.jobs = (uint32_t)atoi(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	add_rows(only);
	r.n = nrows;
	for (uint32_t i = 0; list && i < nrows; i++) {
		char name[64];

		name_of(&rows[i], name, sizeof(name));
		puts(name);
	}
	return list ? 0 : run(&r);
}
