// SPDX-License-Identifier: MIT
/* ipc-inspect locks: who waits for whom. */
#include <errno.h>
#include <time.h>

#include "tools/common/procfs.h"
#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/lock-survey.h"
#include "tools/ipc-inspect/table.h"

#define WATCH_NS	100000000	/* from look to look */

/* ---- the table ---- */

struct row {
	const struct lock_survey *s;
	const struct lock_info *l;
};

static const struct lock_info *lock_of(const void *row)
{
	return ((const struct row *)row)->l;
}

/* Columns of struct lock_info by its own printers. */
static char *of_lock(const void *row, const struct column *c, const struct format *f,
		     char *(*print)(const void *, const struct column *, const struct format *))
{
	return print(lock_of(row), c, f);
}

static char *print_str(const void *row, const struct column *c, const struct format *f)
{
	return of_lock(row, c, f, column_str);
}

static char *print_chars(const void *row, const struct column *c, const struct format *f)
{
	return of_lock(row, c, f, column_chars);
}

static char *print_opt_u64(const void *row, const struct column *c, const struct format *f)
{
	return of_lock(row, c, f, column_opt_u64);
}

static char *print_bool(const void *row, const struct column *c, const struct format *f)
{
	return of_lock(row, c, f, column_bool);
}

static char *print_slot(const void *row, const struct column *c, const struct format *f)
{
	return lock_of(row)->site.owner ? of_lock(row, c, f, column_u32) : NULL;
}

static char *print_object(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	(void)f;
	return xstrdup(lock_of(row)->object);
}

/* Processes, each once, or threads. */
static char *waiters(const struct row *r, const struct format *f, bool threads)
{
	const struct wait *w = r->s->waits.wait + r->l->first_wait;
	char *text = NULL;

	for (size_t i = 0; i < r->l->nwaits; i++)
		if (threads || !i || w[i].pid != w[i - 1].pid)
			text = text_join(text, f->json ? "\n" : ",", "%d",
					 threads ? w[i].tid : w[i].pid);
	/* somebody waits, but we may not or could not see who */
	if (!text && r->l->site.waiters && !f->json)
		text = xstrdup("?");
	return text;
}

static char *print_waiters(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	return waiters(row, f, false);
}

static char *print_threads(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	return waiters(row, f, true);
}

static char *print_seen(const void *row, const struct column *c, const struct format *f)
{
	const struct row *r = row;

	(void)c;
	(void)f;
	return xasprintf("%.1f", (double)r->l->since_ns / 1e9);
}

#define OFF(member)	offsetof(struct lock_info, member)
#define RIGHT		COLUMN_RIGHT
#define SHOWN		COLUMN_DEFAULT
static const struct column columns[] = {
	{ "OBJECT", "object", COLUMN_STRING, SHOWN, print_object, 0, "that the lock is in" },
	{ "KIND", "kind", COLUMN_STRING, 0, print_str, OFF(kind), "of the object" },
	{ "LOCK", "lock", COLUMN_STRING, SHOWN, print_chars, OFF(site.name), "which one" },
	{ "OWNER", "owner_pid", COLUMN_NUMBER, SHOWN | RIGHT, print_opt_u64, OFF(owner_pid),
	  "process that holds it" },
	{ "COMMAND", "owner_command", COLUMN_STRING, SHOWN, print_chars, OFF(owner_comm),
	  "its name" },
	{ "OWNER-STATE", "owner_state", COLUMN_STRING, SHOWN | COLUMN_STATE, print_str,
	  OFF(owner_state), "alive, stopped, dead; unknown: the slot is not in use" },
	{ "SLOT", "owner_slot", COLUMN_NUMBER, RIGHT, print_slot, OFF(site.owner),
	  "of the owner" },
	{ "DIED", "last_owner_died", COLUMN_BOOL, 0, print_bool, OFF(site.died),
	  "it is free, and its last owner died holding it" },
	{ "WAITERS", "waiter_pids", COLUMN_NUMBERS, SHOWN, print_waiters, 0,
	  "processes that wait for it; ?: somebody, but it can't be told who" },
	{ "THREADS", "waiter_tids", COLUMN_NUMBERS, 0, print_threads, 0, "their threads" },
	{ "WAITING", "somebody_waits", COLUMN_BOOL, 0, print_bool, OFF(site.waiters),
	  "the lock says that somebody may wait" },
	{ "DEADLOCK", "deadlock", COLUMN_NUMBER, SHOWN | RIGHT, print_opt_u64, OFF(cycle),
	  "number of the circle that it is part of" },
	{ "SEEN", "seen_seconds", COLUMN_NUMBER, RIGHT, print_seen, 0,
	  "for how long every look found it like this: see --watch" },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))
#undef OFF

/* ---- circles ---- */

static char *process_text(pid_t pid)
{
	char comm[16];

	if (proc_comm(pid, comm))
		return xasprintf("%d", pid);
	_cleanup_free_ char *safe = text_safe(comm, sizeof(comm));
	return xasprintf("%d (%s)", pid, safe);
}

static void print_cycle(const struct lock_survey *s, const struct lock_cycle *c, size_t number)
{
	printf("\n%sdeadlock %zu:\n", c->certain ? "" : "possible ", number);
	for (size_t i = 0; i < c->n; i++) {
		const struct lock_info *l = &s->lock[c->lock[i]];
		_cleanup_free_ char *who = process_text(c->pid[i]);
		_cleanup_free_ char *whom = process_text(c->pid[(i + 1) % c->n]);
		_cleanup_free_ char *name = text_safe(l->site.name, sizeof(l->site.name));

		printf("  %s waits for %s of %s, which %s holds\n", who, name, l->object, whom);
	}
}

static void cycle_json(struct json *j, const struct lock_survey *s, const struct lock_cycle *c,
		       size_t number)
{
	char text[32];

	json_open(j, NULL, '{');
	snprintf(text, sizeof(text), "%zu", number);
	json_value(j, "deadlock", text);
	json_value(j, "certain", c->certain ? "true" : "false");
	json_open(j, "waits", '[');
	for (size_t i = 0; i < c->n; i++) {
		const struct lock_info *l = &s->lock[c->lock[i]];
		_cleanup_free_ char *name = text_safe(l->site.name, sizeof(l->site.name));

		json_open(j, NULL, '{');
		snprintf(text, sizeof(text), "%d", c->pid[i]);
		json_value(j, "pid", text);
		json_string(j, "object", l->object);
		json_string(j, "lock", name);
		snprintf(text, sizeof(text), "%d", c->pid[(i + 1) % c->n]);
		json_value(j, "owner_pid", text);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

/* ---- the command ---- */

static const struct option_row own[] = {
	{ 'w', "watch", "SECONDS", "look so long, and say how long it has been like this" },
};

static struct {
	double watch;	/* seconds */
} opts;

static int option(int code, const char *arg)
{
	char *end;

	(void)code;
	opts.watch = strtod(arg, &end);
	if (end == arg || *end || !(opts.watch >= 0 && opts.watch <= 1e6)) {
		warnx("--watch takes a number of seconds");
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static bool same(const struct lock_info *a, const struct lock_info *b)
{
	return a->site.off == b->site.off && a->ino == b->ino && a->dev == b->dev &&
	       a->site.owner == b->site.owner && a->generation == b->generation;
}

/* What was there at the last look has been so since the first one. */
static void carry(struct lock_survey *now, const struct lock_survey *before)
{
	for (size_t i = 0; i < now->n; i++)
		for (size_t j = 0; j < before->n; j++)
			if (same(&now->lock[i], &before->lock[j]))
				now->lock[i].since_ns = before->lock[j].since_ns;
}

static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The last look, after as many as --watch wants. */
static int survey(struct lock_survey *s, const struct targets *t)
{
	const struct timespec nap = { .tv_nsec = WATCH_NS };
	uint64_t end = boot_ns() + (uint64_t)(opts.watch * 1e9), now;
	int code = lock_survey(s, t, 0);

	while (!code && boot_ns() < end) {
		struct lock_survey next;

		nanosleep(&nap, NULL);
		code = lock_survey(&next, t, EACH_QUIET);
		carry(&next, s);
		lock_survey_free(s);
		*s = next;
	}
	now = boot_ns();
	for (size_t i = 0; i < s->n; i++)
		s->lock[i].since_ns = now - s->lock[i].since_ns;
	return code;
}

static void print_json(const struct lock_survey *s, const struct selection *sel,
		       const struct format *f)
{
	struct json j;

	json_begin(&j, f, "locks");
	for (size_t i = 0; i < s->n; i++) {
		struct row row = { .s = s, .l = &s->lock[i] };

		json_open(&j, NULL, '{');
		for (unsigned int k = 0; k < sel->n; k++)
			json_column(&j, &columns[sel->col[k]], &row, f);
		json_close(&j, '}');
	}
	json_next(&j, "deadlocks");
	for (size_t i = 0; i < s->ncycles; i++)
		cycle_json(&j, s, &s->cycle[i], i + 1);
	json_end(&j);
}

static void print_text(const struct lock_survey *s, const struct selection *sel,
		       const struct format *f)
{
	struct table *t = table_new("locks", columns, NCOLUMNS, sel, f);

	for (size_t i = 0; i < s->n; i++)
		table_add(t, &(struct row){ .s = s, .l = &s->lock[i] });
	table_print(t);
	table_free(t);
	for (size_t i = 0; i < s->ncycles; i++)
		print_cycle(s, &s->cycle[i], i + 1);
}

static int locks(const struct command *cmd, struct invocation *inv)
{
	struct lock_survey s;
	struct selection sel;
	bool done;
	int code = command_columns(cmd, inv, &sel, &done);

	if (code || done)
		return code;
	if (opts.watch && !inv->output && !inv->format.json)
		selection_parse(&sel, columns, NCOLUMNS, "+SEEN");
	code = survey(&s, &inv->targets);
	if (inv->format.json)
		print_json(&s, &sel, &inv->format);
	else
		print_text(&s, &sel, &inv->format);
	fflush(stdout);
	if (s.waits.refused) {
		warnx("not permitted to see who waits in some processes");
		code = worse(code, EXIT_UNSUPPORTED);
	}
	lock_survey_free(&s);
	return code;
}

const struct command command_locks = {
	.name = "locks",
	.args = "[-w SECONDS] [OBJECT...]",
	.help = "who holds which lock, who waits for it, and deadlocks",
	.notes = "Who waits is found in /proc/PID/syscall, for which one has to be root or the same user, and\n"
		 "permitted to trace (ptrace_scope).  Since when somebody waits is written nowhere: --watch\n"
		 "tells what doesn't move.",
	.options = "JoHnrp",
	.columns = columns,
	.ncolumns = NCOLUMNS,
	.own = own,
	.nown = sizeof(own) / sizeof(own[0]),
	.option = option,
	.run = locks,
};
