// SPDX-License-Identifier: MIT
/* Events of the library, as a line of text or an object of JSON: a row a probe. */
#include <inttypes.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/kind.h"
#include "tools/ipc-inspect/trace.h"

#define POSITION { "position", ARG_NUMBER, "position" }
#define LENGTH	 { "length_bytes", ARG_NUMBER, "length" }
#define END	 { "end", ARG_NUMBER, "end" }
#define BELL	 { "bell", ARG_BELL, "" }
#define OWNER	 { "owner_slot", ARG_SLOT, "owner" }
#define LOCK	 { "lock_offset_bytes", ARG_LOCK, "at" }
#define AGAIN	 { "redelivered", ARG_FLAG, "again" }
#define CAUSE	 { "cause", ARG_CAUSE, "by" }
#define WAITED	 { "waited", ARG_FLAG, "waited" }
#define WOKE	 { "woke", ARG_FLAG, "woke" }
#define OLD	 { "old_bytes", ARG_NUMBER, "from" }
#define NEW	 { "new_bytes", ARG_NUMBER, "to" }
#define SLOT	 { "slot", ARG_SLOT, "slot" }
#define CLAIMS	 { "claims", ARG_NUMBER, "claims" }
#define NOTHING	 { NULL, ARG_NONE, NULL }

#define QUEUE	 (1u << KIPC_SEG_QUEUE)
#define PIPE	 (1u << KIPC_SEG_PIPE)
#define SHM	 (1u << KIPC_SEG_SHM | 1u << KIPC_SEG_ARRAY)
#define MANAGER	 (1u << KIPC_SEG_MANAGER)
#define BELLS	 (QUEUE | PIPE)
#define LOCKS	 (PIPE | SHM | MANAGER)
#define ALL	 (QUEUE | PIPE | SHM | MANAGER)

/* clang-format off */
const struct trace_event_kind trace_event_kinds[TRACE_EVENTS] = {
	[TRACE_QUEUE_PUT] = { "queue_put", true, QUEUE, "put",
		{ POSITION, LENGTH, NOTHING }, NULL, NULL },
	[TRACE_QUEUE_GET] = { "queue_get", true, QUEUE, "get",
		{ POSITION, LENGTH, AGAIN }, "queued_ns", "queued" },
	[TRACE_QUEUE_REDELIVER] = { "queue_redeliver", false, QUEUE, "redeliver",
		{ POSITION, LENGTH, NOTHING }, NULL, NULL },
	[TRACE_QUEUE_BLOCK] = { "queue_block", false, QUEUE, "block",
		{ BELL, NOTHING, NOTHING }, NULL, NULL },
	[TRACE_PIPE_SEND] = { "pipe_send", true, PIPE, "send",
		{ END, POSITION, LENGTH }, NULL, NULL },
	[TRACE_PIPE_RECV] = { "pipe_recv", true, PIPE, "recv",
		{ END, POSITION, LENGTH }, "queued_ns", "queued" },
	[TRACE_PIPE_BLOCK] = { "pipe_block", false, PIPE, "block",
		{ END, BELL, NOTHING }, NULL, NULL },
	[TRACE_PIPE_HANGUP] = { "pipe_hangup", false, PIPE, "hangup",
		{ END, NOTHING, NOTHING }, NULL, NULL },
	[TRACE_BELL_WAKE] = { "bell_wake", true, BELLS, "wake",
		{ BELL, NOTHING, NOTHING }, NULL, NULL },
	[TRACE_BELL_SLEEP] = { "bell_sleep", true, BELLS, "sleep",
		{ BELL, OWNER, NOTHING }, NULL, NULL },
	[TRACE_BELL_WOKEN] = { "bell_woken", true, BELLS, "woken",
		{ BELL, CAUSE, NOTHING }, "wakeup_ns", "after" },
	[TRACE_LOCK_WAIT] = { "lock_wait", true, LOCKS, "lock wait",
		{ LOCK, OWNER, NOTHING }, NULL, NULL },
	[TRACE_LOCK_ACQUIRE] = { "lock_acquire", true, LOCKS, "lock acquire",
		{ LOCK, WAITED, NOTHING }, "waited_ns", "for" },
	[TRACE_LOCK_TAKEOVER] = { "lock_takeover", false, LOCKS, "lock takeover",
		{ LOCK, NOTHING, NOTHING }, NULL, NULL },
	[TRACE_LOCK_RELEASE] = { "lock_release", true, LOCKS, "lock release",
		{ LOCK, WOKE, NOTHING }, "held_ns", "held" },
	[TRACE_ARENA_GROW] = { "arena_grow", false, MANAGER, "grow",
		{ OLD, NEW, NOTHING }, NULL, NULL },
	[TRACE_REPAIR] = { "repair", false, ALL, "repair",
		{ SLOT, CLAIMS, NOTHING }, NULL, NULL },
};
/* clang-format on */

char *trace_time_text(uint64_t ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double t = (double)ns;
	int unit = 0;

	while (t >= 999.5 && unit < 3) {
		t /= 1000;
		unit++;
	}
	return xasprintf("%.*f%s", !unit || t >= 99.95 ? 0 : t >= 9.995 ? 1 : 2, t, units[unit]);
}

/* ---- what arguments mean; malloc'ed ---- */

static char *bell_name(uint64_t index, const struct trace_object *o)
{
	if (o->kind && index < o->kind->nbells && o->kind->bells[index])
		return xstrdup(o->kind->bells[index]);
	return xasprintf("bell %" PRIu64, index);
}

static const char *cause(uint64_t events)
{
	static const char *const causes[] = { "tick", "bell", "hangup", "bell, hangup" };

	/* a negative one: sleeping failed, and is done otherwise next time */
	return events < 4 ? causes[events] : "error";
}

/* ---- text ---- */

void trace_event_heading(void)
{
	printf("%12s %7s %-15s %-16s %-13s %s\n", "TIME", "TID", "COMMAND", "OBJECT", "EVENT",
	       "DETAILS");
}

static void arg_text(const struct trace_arg *a, uint64_t v, const struct trace_object *o)
{
	_cleanup_free_ char *text = NULL;

	switch (a->type) {
	case ARG_NONE:
		return;
	case ARG_FLAG:
		if (v)
			printf(" %s", a->word);
		return;
	case ARG_SLOT:
		if (v)
			printf(" %s %" PRIu64, a->word, v);
		return;
	case ARG_BELL:
		text = bell_name(v, o);
		printf(" %s", text);
		return;
	case ARG_LOCK:
		printf(" %s 0x%" PRIx64, a->word, v);
		return;
	case ARG_CAUSE:
		printf(" %s %s", a->word, cause(v));
		return;
	case ARG_NUMBER:
		printf(" %s %" PRIu64, a->word, v);
		return;
	}
}

void trace_event_text(const struct trace_event *e, const struct trace_object *o, uint64_t since_ns)
{
	_cleanup_free_ char *comm = text_safe(e->comm, strnlen(e->comm, sizeof(e->comm)));
	const struct trace_event_kind *k;
	int64_t t = (int64_t)(e->time_ns - since_ns);
	char id[17];

	if (e->type >= TRACE_EVENTS)
		return;
	k = &trace_event_kinds[e->type];
	snprintf(id, sizeof(id), "%016" PRIx64, e->id);
	printf("%12.6f %7u %-15s %-16s %-13s", (double)t / 1e9, e->tid, comm,
	       o->name ? o->name : id, k->text);
	for (int i = 0; i < TRACE_ARGS; i++)
		arg_text(&k->arg[i], e->arg[i], o);
	if (k->took_word && e->took_ns != TRACE_NO_TIME) {
		_cleanup_free_ char *took = trace_time_text(e->took_ns);

		printf(" %s %s", k->took_word, took);
	}
	putchar('\n');
}

/* ---- JSON ---- */

void trace_json_number(struct json *j, const char *key, uint64_t v)
{
	_cleanup_free_ char *text = xasprintf("%" PRIu64, v);

	json_value(j, key, text);
}

void trace_json_object(struct json *j, uint64_t id, const struct trace_object *o)
{
	_cleanup_free_ char *hex = xasprintf("%016" PRIx64, id);

	json_string(j, "id", hex);
	json_string(j, "kind", o->kind_name);
	if (o->name)
		json_string(j, "name", o->name);
	else
		json_value(j, "name", "null");
}

void trace_json_line(struct json *j)
{
	if (!j->lines)
		return;
	putchar('\n');
	j->comma = false;
}

static void arg_json(struct json *j, const struct trace_arg *a, uint64_t v, const struct trace_object *o)
{
	_cleanup_free_ char *text = NULL;

	switch (a->type) {
	case ARG_NONE:
		return;
	case ARG_FLAG:
		json_value(j, a->key, v ? "true" : "false");
		return;
	case ARG_BELL:
		text = bell_name(v, o);
		json_string(j, a->key, text);
		return;
	case ARG_CAUSE:
		json_string(j, a->key, cause(v));
		return;
	case ARG_SLOT:
		if (!v) {
			json_value(j, a->key, "null");
			return;
		}
		/* fall through */
	case ARG_LOCK:
	case ARG_NUMBER:
		trace_json_number(j, a->key, v);
		return;
	}
}

/* What another process may have chosen: as it is, if that is UTF-8. */
static void foreign(struct json *j, const char *key, const char *s, size_t n)
{
	_cleanup_free_ char *value = json_text(s, n), *safe = text_safe(s, n);

	if (value)
		json_value(j, key, value);
	else
		json_string(j, key, safe);
}

void trace_event_json(struct json *j, const struct trace_event *e, const struct trace_object *o)
{
	const struct trace_event_kind *k;

	if (e->type >= TRACE_EVENTS)
		return;
	k = &trace_event_kinds[e->type];
	json_open(j, NULL, '{');
	json_string(j, "event", k->probe);
	trace_json_number(j, "time_ns", e->time_ns);
	trace_json_number(j, "pid", e->pid);
	trace_json_number(j, "tid", e->tid);
	foreign(j, "command", e->comm, strnlen(e->comm, sizeof(e->comm)));
	trace_json_object(j, e->id, o);
	for (int i = 0; i < TRACE_ARGS; i++)
		arg_json(j, &k->arg[i], e->arg[i], o);
	if (k->took_key && e->took_ns != TRACE_NO_TIME)
		trace_json_number(j, k->took_key, e->took_ns);
	else if (k->took_key)
		json_value(j, k->took_key, "null");
	json_close(j, '}');
	trace_json_line(j);
}
