// SPDX-License-Identifier: MIT
/* ipc-inspect top: what goes on, on a screen or line by line.  See top.h. */
#include "tools/ipc-inspect/top.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/table.h"

/* ---- columns ---- */

static const struct top_row *top_row(const void *row)
{
	return row;
}

/* 1234, 12.3: three digits or so */
static char *print_number(double x, const struct format *f)
{
	if (x < 0)
		return NULL;
	return xasprintf(f->json || x < 100 ? "%.1f" : "%.0f", x);
}

static char *print_messages(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	return print_number(top_row(row)->messages, f);
}

static char *print_bytes(const void *row, const struct column *c, const struct format *f)
{
	const struct top_row *r = row;
	const char *mark = r->estimated && !f->json ? "~" : "";
	_cleanup_free_ char *text = NULL;

	(void)c;
	if (r->bytes < 0)
		return NULL;
	if (f->json || f->bytes)
		text = xasprintf("%.0f", r->bytes);
	else
		text = text_bytes((uint64_t)r->bytes);
	return xasprintf("%s%s", mark, text);
}

static char *print_amount(const void *row, const struct column *c, const struct format *f)
{
	return column_amount(*(const uint64_t *)((const char *)row + c->offset),
			     top_row(row)->unit, f);
}

static char *print_cpu(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	return print_number(top_row(row)->cpu, f);
}

static char *history_json(const struct top_row *r)
{
	char *text = NULL;

	for (int i = 0; i < TOP_HISTORY; i++)
		if (r->history[i] >= 0)
			text = text_join(text, "\n", "%.4f", r->history[i]);
	return text;
}

/* A bar for each look, from empty to full. */
static char *print_history(const void *row, const struct column *c, const struct format *f)
{
	static const char *const blocks[] = { "\u2581", "\u2582", "\u2583", "\u2584",
					      "\u2585", "\u2586", "\u2587", "\u2588" };
	static const char *const signs[] = { "_", ".", ":", "-", "=", "+", "*", "#" };
	bool utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	const struct top_row *r = row;
	char *text = NULL;

	(void)c;
	if (f->json)
		return history_json(r);
	for (int i = 0; i < TOP_HISTORY; i++) {
		int level = (int)ceil(r->history[i] * 7);

		if (r->history[i] < 0)
			continue;
		level = level < 0 ? 0 : level > 7 ? 7 : level;
		text = text_join(text, "", "%s", (utf8 ? blocks : signs)[level]);
	}
	return text;
}

#define OFF(member)	offsetof(struct top_row, member)
#define RIGHT		COLUMN_RIGHT
#define SHOWN		COLUMN_DEFAULT
const struct column top_columns[] = {
	{ "OBJECT", "object", COLUMN_STRING, SHOWN, column_str, OFF(object), "a descriptor of it" },
	{ "KIND", "kind", COLUMN_STRING, SHOWN, column_str, OFF(kind),
	  "queue, pipe, shm, array or manager" },
	{ "NAME", "name", COLUMN_STRING, 0, column_str, OFF(name), "- when anonymous" },
	{ "MSGS/S", "messages_per_second", COLUMN_NUMBER, SHOWN | RIGHT, print_messages, 0,
	  "messages put or sent a second; of shared memory, writes" },
	{ "BYTES/S", "bytes_per_second", COLUMN_NUMBER, SHOWN | RIGHT, print_bytes, 0,
	  "of a pipe, bytes of its rings; of a queue an estimate (~), by the last messages' lengths" },
	{ "ESTIMATED", "bytes_estimated", COLUMN_BOOL, 0, column_bool, OFF(estimated),
	  "whether BYTES/S is an estimate" },
	{ "DEPTH", "depth", COLUMN_NUMBER, SHOWN | RIGHT, print_amount, OFF(depth),
	  "what is in it: messages of a queue, bytes of a pipe or a manager" },
	{ "CAPACITY", "capacity", COLUMN_NUMBER, SHOWN | RIGHT, print_amount, OFF(capacity),
	  "of how much: messages, bytes, elements" },
	{ "HISTORY", "depth_history", COLUMN_NUMBERS, SHOWN, print_history, 0,
	  "how full it was at the last looks, the newest on the right" },
	{ "WAITERS", "waiters", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_u64, OFF(waiters),
	  "threads that sleep in it; of a manager: locks that somebody waits for" },
	{ "STATE", "state", COLUMN_STRINGS, SHOWN | COLUMN_STATE, column_lines, OFF(states),
	  "as in list" },
	{ "PRODUCER", "producer_pid", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_u64, OFF(producer),
	  "of a queue that is full or gets 1000 messages a second: who is seen putting most" },
	{ "CPU%", "holders_cpu_percent", COLUMN_NUMBER, SHOWN | RIGHT, print_cpu, 0,
	  "of the processes that have it, in all they do" },
	{ "BUSIEST", "busiest_pid", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_u64, OFF(busiest),
	  "the one of them that uses most of it" },
	{ "COMMAND", "busiest_command", COLUMN_STRING, SHOWN, column_chars, OFF(busiest_comm),
	  "its name" },
};
const unsigned int top_ncolumns = sizeof(top_columns) / sizeof(top_columns[0]);
#undef OFF

/* ---- options ---- */

static const struct option_row own[] = {
	{ 's', "sort", "KEY", "object, messages (the default), bytes, depth, waiters or cpu" },
};

static struct {
	enum top_sort sort;
	double interval;	/* seconds */
	uint64_t count;
	int numbers;		/* operands that were numbers */
} opts = { .sort = TOP_BY_MESSAGES, .interval = 1 };

static int option(int code, const char *arg)
{
	(void)code;
	for (int i = 0; i < TOP_SORTS; i++)
		if (!strcmp(top_sort_names[i], arg)) {
			opts.sort = (enum top_sort)i;
			return EXIT_OK;
		}
	warnx("--sort is object, messages, bytes, depth, waiters or cpu");
	return EXIT_USAGE;
}

/* INTERVAL and COUNT: what is a number and nothing else. */
static int operand(const char *arg)
{
	char *end;
	double x = strtod(arg, &end);

	if (end == arg || *end || *arg == '+')
		return -1;
	if (opts.numbers == 0 && x >= 0.05 && x <= 86400)
		opts.interval = x;
	else if (opts.numbers == 1 && x >= 1 && x <= 1e15 && x == floor(x))
		opts.count = (uint64_t)x;
	else {
		warnx("top takes an interval in seconds, from 0.05 on, and how often");
		return usage();
	}
	opts.numbers++;
	return EXIT_OK;
}

/* ---- line by line ---- */

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static void nap(double seconds)
{
	struct timespec ts = { .tv_sec = (time_t)seconds };

	ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
	nanosleep(&ts, NULL);
}

/* Rows of a sample know when that was. */
static void rows_json(struct json *j, const struct top *t, const struct selection *sel,
		      const struct format *f)
{
	char time[32];

	snprintf(time, sizeof(time), "%.3f", (double)t->time_ns / 1e9);
	for (size_t i = 0; i < t->n; i++) {
		json_open(j, NULL, '{');
		json_value(j, "time_seconds", time);
		for (unsigned int k = 0; k < sel->n; k++)
			json_column(j, &top_columns[sel->col[k]], &t->row[i], f);
		json_close(j, '}');
	}
}

static void rows_text(const struct top *t, const struct selection *sel, const struct format *f,
		      bool first)
{
	struct table *table = table_new("objects", top_columns, top_ncolumns, sel, f);

	if (!first && !f->raw && !f->noheadings)
		putchar('\n');
	fflush(stdout);
	for (size_t i = 0; i < t->n; i++)
		table_add(table, &t->row[i]);
	table_print(table);
	table_free(table);
}

static int by_lines(struct top *t, const struct selection *sel, const struct format *f)
{
	const struct sigaction sa = { .sa_handler = on_signal };
	struct json j;
	int code;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (f->json)
		json_begin(&j, f, "samples");
	code = top_look(t, 0);
	for (uint64_t n = 0; !stop && (!opts.count || n < opts.count); n++) {
		nap(opts.interval);
		if (stop)
			break;
		code = worse(code, top_look(t, EACH_QUIET));
		if (f->json)
			rows_json(&j, t, sel, f);
		else
			rows_text(t, sel, f, !n);
		if (fflush(stdout))
			break;		/* nobody reads any more: main() says so */
	}
	if (f->json)
		json_end(&j);
	return code;
}

static int top(const struct command *cmd, struct invocation *inv)
{
	struct top t = { .targets = &inv->targets, .sort = opts.sort };
	const struct format *f = &inv->format;
	struct selection sel;
	bool done;
	int code = command_columns(cmd, inv, &sel, &done);

	if (code || done)
		return code;
	setlocale(LC_CTYPE, "");
	code = -1;
	if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) && !f->json && !f->raw &&
	    !f->noheadings)
		code = top_screen(&t, &sel, f, (uint64_t)(opts.interval * 1e9), opts.count);
	if (code < 0)
		code = by_lines(&t, &sel, f);
	top_free(&t);
	return code;
}

const struct command command_top = {
	.name = "top",
	.args = "[-s KEY] [OBJECT...] [INTERVAL [COUNT]]",
	.help = "what goes on: messages a second, depths, waiters, CPU; live",
	.notes = "On a terminal it is a screen: q ends it, h shows the keys.  Else, and with -n or -r, a table\n"
		 "each INTERVAL seconds (1), COUNT times (without end).",
	.options = "JoHnrbp",
	.columns = top_columns,
	.ncolumns = sizeof(top_columns) / sizeof(top_columns[0]),
	.own = own,
	.nown = sizeof(own) / sizeof(own[0]),
	.option = option,
	.operand = operand,
	.run = top,
};
