// SPDX-License-Identifier: MIT
/* ipc-inspect list: one row an object. */
#include <time.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/table.h"

/* What the printers get: a subject, and what is derived from it. */
struct row {
	const struct subject *s;
	const char *kind;
	uint64_t id;
	uint64_t size, page, resident;	/* bytes; ABSENT */
	uint64_t peers, dead, waiters;	/* ABSENT: not decoded */
	uint64_t creator, uid;
	uint64_t age;			/* seconds */
	const char *unit, *shape, *problem;
	const char *name;
};

#define ROW(member) offsetof(struct row, member)

static char *print_object(const void *row, const struct column *c, const struct format *f)
{
	const struct row *r = row;

	(void)c;
	(void)f;
	return subject_text(r->s);
}

static char *print_name(const void *row, const struct column *c, const struct format *f)
{
	const char *name = ((const struct row *)row)->name;

	(void)c;
	(void)f;
	return name ? text_safe(name, strlen(name)) : NULL;
}

static char *print_depth(const void *row, const struct column *c, const struct format *f)
{
	const struct row *r = row;

	(void)c;
	return column_amount(r->s->sum.depth, r->unit, f);
}

static char *print_capacity(const void *row, const struct column *c, const struct format *f)
{
	const struct row *r = row;

	(void)c;
	if (r->shape && !f->json)
		return xstrdup(r->shape);
	return column_amount(r->s->sum.capacity, r->unit, f);
}

static char *print_state(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	return state_names(((const struct row *)row)->s->sum.states, f->json ? "\n" : ",");
}

static char *print_holders(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	return holder_names(&((const struct row *)row)->s->object->holders, f->json ? "\n" : ",");
}

#define RIGHT	COLUMN_RIGHT
#define SHOWN	COLUMN_DEFAULT
static const struct column columns[] = {
	{ "KIND", "kind", COLUMN_STRING, SHOWN, column_str, ROW(kind),
	  "queue, pipe, shm, array or manager" },
	{ "NAME", "name", COLUMN_STRING, SHOWN, print_name, ROW(name), "- when anonymous" },
	{ "ID", "id", COLUMN_STRING, SHOWN, column_opt_hex64, ROW(id),
	  "random number that names the object, in hexadecimal" },
	{ "OBJECT", "object", COLUMN_STRING, SHOWN, print_object, 0,
	  "PID:FD, a descriptor of it: to be given to show" },
	{ "SIZE", "size_bytes", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_bytes, ROW(size),
	  "bytes of the segment" },
	{ "RESIDENT", "resident_bytes", COLUMN_NUMBER, RIGHT, column_opt_bytes, ROW(resident),
	  "bytes of memory that it takes" },
	{ "PAGE", "page_bytes", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_bytes, ROW(page),
	  "bytes of its pages" },
	{ "DEPTH", "depth", COLUMN_NUMBER, SHOWN | RIGHT, print_depth, 0,
	  "what is in it: messages of a queue, bytes of a pipe or a manager" },
	{ "CAPACITY", "capacity", COLUMN_NUMBER, SHOWN | RIGHT, print_capacity, 0,
	  "of how much: messages, bytes, elements; of an array its type and shape" },
	{ "UNIT", "unit", COLUMN_STRING, 0, column_str, ROW(unit),
	  "of DEPTH and CAPACITY: messages, bytes or elements" },
	{ "SHAPE", "shape", COLUMN_STRING, 0, column_str, ROW(shape),
	  "type and shape of an array" },
	{ "PEERS", "peers", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_u64, ROW(peers),
	  "attached handles whose process lives" },
	{ "DEAD", "dead_peers", COLUMN_NUMBER, RIGHT, column_opt_u64, ROW(dead),
	  "slots of dead processes that nobody has repaired" },
	{ "WAITERS", "waiters", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_u64, ROW(waiters),
	  "threads that sleep in it; of a manager: locks that somebody waits for" },
	{ "STATE", "state", COLUMN_STRINGS, SHOWN | COLUMN_STATE, print_state, 0,
	  "ok, or what of this holds: damaged, dead owner, torn, shutdown, full, orphan, "
	  "unfinished, other version, no access" },
	{ "AGE", "age_seconds", COLUMN_NUMBER, SHOWN | RIGHT, column_duration, ROW(age),
	  "time since its creation" },
	{ "CREATOR", "creator_pid", COLUMN_NUMBER, RIGHT, column_opt_u64, ROW(creator),
	  "process that made it, in its own PID namespace" },
	{ "UID", "creator_uid", COLUMN_NUMBER, RIGHT, column_opt_u64, ROW(uid),
	  "user that made it" },
	{ "HOLDERS", "holder_pids", COLUMN_NUMBERS, SHOWN | COLUMN_TRUNC, print_holders, 0,
	  "processes that have it open" },
	{ "PROBLEM", "problem", COLUMN_STRING, COLUMN_TRUNC, column_str, ROW(problem),
	  "what is damaged" },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

static uint64_t age_of(const struct view *v)
{
	uint64_t created = v->hdr.created_ns / 1000000000, now;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec;
	if (v->image && v->hdr.image.magic == KIPC_IMAGE_MAGIC)
		now = v->hdr.image.saved_ns / 1000000000;
	return created && created <= now ? now - created : ABSENT;
}

static void fill(struct row *r, const struct subject *s)
{
	const struct kipc_seg_header *h = &s->view.hdr;
	bool good = s->opened && s->view.verdict == VIEW_GOOD;
	/* the header of a damaged one is not to be believed, but what its magic says it is */
	bool header = good || (s->opened && s->view.verdict == VIEW_FOREIGN);

	*r = (struct row){
		.s = s,
		.kind = subject_kind(s),
		.id = header ? h->id : ABSENT,
		.size = s->opened ? s->view.file_size : ABSENT,
		.resident = s->opened ? s->view.resident : ABSENT,
		.page = header ? h->page_size : ABSENT,
		.peers = good ? s->peers.alive : ABSENT,
		.dead = good ? s->peers.dead : ABSENT,
		.waiters = s->data ? s->sum.waiters : ABSENT,
		.creator = header ? h->creator_pid : ABSENT,
		.uid = header ? h->creator_uid : ABSENT,
		.age = header ? age_of(&s->view) : ABSENT,
		.unit = s->sum.unit,
		.shape = s->sum.shape,
		.name = subject_name(s),
		.problem = s->view.nproblems ? s->view.problems[0] : NULL,
	};
}

static int list_one(const struct subject *s, void *table)
{
	struct row row;

	fill(&row, s);
	table_add(table, &row);
	return s->sum.states & STATE_DAMAGED ? EXIT_DAMAGE : EXIT_OK;
}

static int list(const struct command *cmd, struct invocation *inv)
{
	struct selection sel;
	struct table *t;
	bool done;
	int code;

	code = command_columns(cmd, inv, &sel, &done);
	if (code || done)
		return code;
	t = table_new("objects", columns, NCOLUMNS, &sel, &inv->format);
	code = subjects_each(&inv->targets, 0, list_one, t);
	table_print(t);
	table_free(t);
	return code;
}

const struct command command_list = {
	.name = "list",
	.args = "[OBJECT...]",
	.help = "one row per object: what it is, how full, who has it, who waits",
	.options = "JoHnrbp",
	.columns = columns,
	.ncolumns = NCOLUMNS,
	.run = list,
};
