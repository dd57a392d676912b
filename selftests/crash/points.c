// SPDX-License-Identifier: MIT
/* points: processes stopped and killed in the middle of operations, beside each other.  See --help. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/compiler.h"
#include "points.h"
#include "rows.h"

static const struct scene *const tables[] = {
	points_queue, points_pipe, points_list, points_dict, points_lock, points_shm,
	points_rwlock, points_resize, points_object, points_attach,
};

/* All points of two, but for a few long operations; of three as many as make a few hundred cases. */
static const struct points_plan pairs_plan = { .first = 150, .cases = 2500 };
static const struct points_plan triples_plan = { .first = 7, .second = 6, .third = 6 };
static const struct points_plan short_pairs_plan = { .first = 5, .second = 4 };
static const struct points_plan short_triples_plan = { .first = 3, .second = 2, .third = 2 };

/*
 * Points that no scene passes, and why.  The full run fails if there is another, or if one of these is
 * passed after all.
 */
static const struct {
	const char *name, *why;
} unpassed[] = {
	{ "peer.left_to_repair", "only if a slot is taken and left between two loads" },
	{ "slot.let_go", "who releases a slot asks first whether it owns anything" },
	{ "slot.let_go_zero", "likewise" },
	{ "slot.simple", "what owns nothing is stored by __kipc_slot_store()" },
};

#define ROWS_MAX 512

static struct row {
	const struct scene *scene;
	bool triple;
} rows[ROWS_MAX];
static uint32_t nrows;

static bool is_short, tap, one_case;
static uint32_t at[3];		/* of the one case */
static struct points_sum total;

static const char usage[] =
	"points [OPTION...]: a process stopped at every point while another is killed at every point\n"
	"  --short     an even spread of points, of some scenes\n"
	"  --only=TEXT scenes whose name has this in it\n"
	"  --case=N,M,K  one case of each: stopped at the N-th point, killed at the M-th, second at K\n"
	"  --jobs=N    so many at once\n"
	"  --tap       print TAP instead of a table\n"
	"  --list      print the scenes\n"
	"  --points    print the points, and how often each was passed, stopped at, killed at\n";

static void name_of(const struct row *r, char *name, size_t size)
{
	snprintf(name, size, "%s %s%s", r->scene->kind, r->scene->name,
		 r->triple ? ", triple" : "");
}

static void add_row(const struct scene *s, bool triple, const char *only)
{
	struct row r = { s, triple };
	char name[80];

	name_of(&r, name, sizeof(name));
	if ((only && !strstr(name, only)) || (is_short && !(s->flags & SCENE_SHORT)))
		return;
	if (nrows == ROWS_MAX)
		abort();
	rows[nrows++] = r;
}

static void add_rows(const char *only)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct scene *s = tables[t]; s->name; s++) {
			add_row(s, false, only);
			if (s->flags & SCENE_TRIPLE)
				add_row(s, true, only);
		}
	}
}

static void work(uint32_t i, void *out)
{
	const struct points_plan *plan;

	if (one_case) {
		points_run_one(rows[i].scene, rows[i].triple, at, out);
		return;
	}
	if (rows[i].triple)
		plan = is_short ? &short_triples_plan : &triples_plan;
	else
		plan = is_short ? &short_pairs_plan : &pairs_plan;
	points_run(rows[i].scene, rows[i].triple, plan, out);
}

static void print_sum(const char *name, const struct points_sum *s, uint32_t test)
{
	if (tap)
		printf("%sok %u - %s: %lu cases, %lu waited for the stopped one, worst heal %.1f ms\n",
		       s->violations ? "not " : "", test, name, (unsigned long)s->cases,
		       (unsigned long)s->blocked, (double)s->heal_ns / 1e6);
	else
		printf("%-44s %6u %6u %6u %7lu %7lu %5lu %7.1f %7.1f\n", name, s->first, s->second,
		       s->third, (unsigned long)s->cases, (unsigned long)s->blocked,
		       (unsigned long)s->violations, (double)s->heal_ns / 1e6,
		       (double)s->time_ns / 1e9);
	if (s->violations)
		printf("# %s: %lu VIOLATIONS: %s\n", name, (unsigned long)s->violations, s->why);
	fflush(stdout);
}

static void print(uint32_t i, const void *out)
{
	const struct points_sum *s = out;
	char name[80];

	name_of(&rows[i], name, sizeof(name));
	print_sum(name, s, i + 1);
	total.cases += s->cases;
	total.blocked += s->blocked;
	total.violations += s->violations;
	total.time_ns += s->time_ns;
	total.heal_ns = max_of(total.heal_ns, s->heal_ns);
}

static const char *excuse(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(unpassed); i++)
		if (!strcmp(unpassed[i].name, name))
			return unpassed[i].why;
	return NULL;
}

/* Every point is passed by some actor; how many aren't and should, or are and shouldn't. */
static uint32_t check_points(void)
{
	uint32_t passed = 0, stopped = 0, killed = 0, wrong = 0;

	for (uint32_t id = 0; id < points_count(); id++) {
		const struct point_use *use = points_use(id);
		const char *why = excuse(points_name(id));

		passed += use->passed != 0;
		stopped += use->stopped != 0;
		killed += use->killed != 0;
		if (use->passed && !why)
			continue;
		wrong += use->passed || !why;
		printf("# point %s: %s%s%s\n", points_name(id),
		       use->passed ? "passed" : "never passed", why ? ": " : "", why ? why : "");
	}
	printf("# %u points: %u passed, %u stopped at, %u killed at\n", points_count(), passed,
	       stopped, killed);
	return wrong;
}

static void print_points(void)
{
	for (uint32_t id = 0; id < points_count(); id++)
		printf("# %-28s %8lu passed %7lu stopped %7lu killed\n", points_name(id),
		       (unsigned long)points_use(id)->passed, (unsigned long)points_use(id)->stopped,
		       (unsigned long)points_use(id)->killed);
}

static int run(const struct rows *r, bool all, bool list_points)
{
	uint32_t wrong = 0;

	if (tap)
		printf("TAP version 13\n1..%u\n", r->n);
	else
		printf("%-44s %6s %6s %6s %7s %7s %5s %7s %7s\n", "stopped x killed", "stops", "kills",
		       "2nd", "cases", "waited", "viol.", "heal ms", "s");
	if (rows_run(r)) {
		printf("Bail out! a runner died\n");
		return 1;
	}
	if (!tap)
		print_sum("total", &total, 0);
	if (list_points)
		print_points();
	if (all)
		wrong = check_points();
	printf("# %lu cases, %lu violations, worst heal time %.1f ms\n", (unsigned long)total.cases,
	       (unsigned long)total.violations, (double)total.heal_ns / 1e6);
	return total.violations || wrong || !total.cases;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "short", no_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "case", required_argument, NULL, 'c' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "tap", no_argument, NULL, 't' },
		{ "list", no_argument, NULL, 'l' },
		{ "points", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct rows r = { .size = sizeof(struct points_sum), .work = work, .print = print };
	bool list = false, list_points = false;
	const char *only = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			is_short = true;
			break;
		case 'o':
			only = optarg;
			break;
		case 'c':
			one_case = sscanf(optarg, "%u,%u,%u", &at[0], &at[1], &at[2]) > 0;
			break;
		case 'j':
			r.jobs = (uint32_t)atoi(optarg);
			break;
		case 't':
			tap = true;
			break;
		case 'l':
			list = true;
			break;
		case 'p':
			list_points = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (points_find())
		return 1;
	add_rows(only);
	r.n = nrows;
	for (uint32_t i = 0; list && i < nrows; i++) {
		char name[80];

		name_of(&rows[i], name, sizeof(name));
		puts(name);
	}
	return list ? 0 : run(&r, !only && !is_short && !one_case, list_points);
}
