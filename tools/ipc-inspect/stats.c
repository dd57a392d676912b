// SPDX-License-Identifier: MIT
/* ipc-inspect stats: what was counted, since an object was made or since we asked last. */
#include <time.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/stats-state.h"
#include "tools/ipc-inspect/table.h"

struct row {
	const char *kind;
	char *object;
	uint64_t id;
	char key[40];
	uint64_t value;
	uint64_t interval_ns;	/* ABSENT */
};

static char *print_interval(const void *row, const struct column *c, const struct format *f)
{
	uint64_t ns = ((const struct row *)row)->interval_ns;

	(void)c;
	(void)f;
	return ns == ABSENT ? NULL : xasprintf("%.3f", (double)ns / 1e9);
}

static char *print_rate(const void *row, const struct column *c, const struct format *f)
{
	const struct row *r = row;

	(void)c;
	(void)f;
	if (r->interval_ns == ABSENT || !r->interval_ns)
		return NULL;
	return xasprintf("%.1f", (double)r->value * 1e9 / (double)r->interval_ns);
}

#define OFF(member)	offsetof(struct row, member)
#define RIGHT		COLUMN_RIGHT
#define SHOWN		COLUMN_DEFAULT
static const struct column columns[] = {
	{ "OBJECT", "object", COLUMN_STRING, SHOWN, column_str, OFF(object),
	  "a descriptor of it, or the path of an image" },
	{ "KIND", "kind", COLUMN_STRING, SHOWN, column_str, OFF(kind),
	  "queue, pipe, shm, array or manager" },
	{ "ID", "id", COLUMN_STRING, 0, column_hex64, OFF(id),
	  "random number that names the object, in hexadecimal" },
	{ "COUNTER", "counter", COLUMN_STRING, SHOWN, column_chars, OFF(key),
	  "what was counted, and in which unit" },
	{ "VALUE", "value", COLUMN_NUMBER, SHOWN | RIGHT, column_u64, OFF(value), "how many" },
	{ "INTERVAL", "interval_seconds", COLUMN_NUMBER, RIGHT, print_interval, 0,
	  "seconds in which that was: since the object was made, or since the last -z" },
	{ "RATE", "per_second", COLUMN_NUMBER, SHOWN | RIGHT, print_rate, 0, "of them a second" },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))
#undef OFF

static struct {
	bool zero;
} opts;

static const struct option_row own[] = {
	{ 'z', "zero", NULL, "since the last call with -z (kept in ~/.local/state/kipc/stats)" },
};

static int option(int code, const char *arg)
{
	(void)code;
	(void)arg;
	opts.zero = true;
	return EXIT_OK;
}

static void add_counter(void *arg, const char *key, uint64_t value)
{
	struct counters *c = arg;

	if (c->n == COUNTERS_MAX)
		return;
	snprintf(c->c[c->n].key, sizeof(c->c[0].key), "%s", key);
	c->c[c->n++].value = value;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void read_counters(const struct subject *s, struct counters *c)
{
	c->n = 0;
	c->boot_ns = clock_ns(CLOCK_BOOTTIME);
	if (s->kind->counters)
		s->kind->counters(s->data, add_counter, c);
	add_counter(c, "repaired_slots", s->view.hdr.repairs);
	add_counter(c, "repaired_claims", s->view.hdr.repaired_claims);
}

static uint64_t age_ns(const struct view *v)
{
	uint64_t now = v->image ? v->hdr.image.saved_ns : clock_ns(CLOCK_REALTIME);

	return v->hdr.created_ns && v->hdr.created_ns <= now ? now - v->hdr.created_ns : ABSENT;
}

/* Some are read off hints, which may go back a little. */
static uint64_t since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

struct stats {
	struct table *t;
	int state;	/* descriptor of the folder, or -1 */
};

static int stats_one(const struct subject *s, void *arg)
{
	struct stats *st = arg;
	struct counters now, then = { .n = 0 };
	struct row row = { .kind = subject_kind(s), .id = s->view.hdr.id };
	int r = 0;

	row.object = subject_text(s);
	if (!s->data || (s->view.image && opts.zero)) {
		_cleanup_free_ char *state = state_names(s->sum.states, ", ");

		if (s->data)
			warnx("%s: an image does not count on", row.object);
		else
			warnx("%s: %s", row.object, state);
		free(row.object);
		if (s->data)
			return EXIT_FAILED;
		return s->sum.states & STATE_DAMAGED ? EXIT_DAMAGE : EXIT_UNSUPPORTED;
	}
	read_counters(s, &now);
	if (st->state >= 0)
		stats_state_load(st->state, row.id, &then);
	row.interval_ns = then.n && then.boot_ns <= now.boot_ns ? now.boot_ns - then.boot_ns :
								  age_ns(&s->view);
	for (size_t i = 0; i < now.n; i++) {
		memcpy(row.key, now.c[i].key, sizeof(row.key));
		row.value = since(now.c[i].value, counters_get(&then, row.key));
		table_add(st->t, &row);
	}
	if (st->state >= 0)
		r = stats_state_store(st->state, row.id, &now);
	if (r)
		warnx("%s: can't be remembered: %s", row.object, strerror(-r));
	free(row.object);
	if (s->sum.states & STATE_DAMAGED)
		return EXIT_DAMAGE;
	return r ? EXIT_FAILED : EXIT_OK;
}

static int stats(const struct command *cmd, struct invocation *inv)
{
	struct stats st = { .state = -1 };
	struct selection sel;
	bool done;
	int code = command_columns(cmd, inv, &sel, &done);

	if (code || done)
		return code;
	if (!inv->targets.n) {
		warnx("stats: which object? `ipc-inspect list' prints them");
		return EXIT_USAGE;
	}
	if (opts.zero) {
		st.state = stats_state_open();
		if (st.state < 0) {
			warnx("no place to remember counters, in XDG_STATE_HOME or HOME: %s",
			      strerror(-st.state));
			return EXIT_FAILED;
		}
	}
	st.t = table_new("counters", columns, NCOLUMNS, &sel, &inv->format);
	code = subjects_each(&inv->targets, EACH_NEEDED, stats_one, &st);
	table_print(st.t);
	table_free(st.t);
	return code;
}

const struct command command_stats = {
	.name = "stats",
	.args = "[-z] OBJECT...",
	.help = "what the objects counted: messages, writes, repairs",
	.notes = "Counters stand in the objects as long as these live.  -z remembers them in a file for each\n"
		 "object, in $XDG_STATE_HOME/kipc/stats or ~/.local/state/kipc/stats, and writes nothing\n"
		 "to the object.",
	.options = "JoHnrp",
	.columns = columns,
	.ncolumns = NCOLUMNS,
	.own = own,
	.nown = sizeof(own) / sizeof(own[0]),
	.option = option,
	.run = stats,
};
