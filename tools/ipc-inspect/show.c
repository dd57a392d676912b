// SPDX-License-Identifier: MIT
/* ipc-inspect show: everything about an object. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/procfs.h"
#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/lock-survey.h"
#include "tools/ipc-inspect/report.h"

/* ---- what it is ---- */

struct general {
	const char *kind;
	char *name, *object;
	char *states;		/* a line each */
	uint64_t depth, capacity, waiters;
	const char *unit;
	char *holders;		/* a line each */
	uint64_t alive, dead, slots;
};

static char *print_depth(const void *row, const struct column *c, const struct format *f)
{
	const struct general *g = row;

	return column_amount(*(const uint64_t *)((const char *)row + c->offset), g->unit, f);
}

#define OFF(member) offsetof(struct general, member)
static const struct column general_columns[] = {
	{ "kind", "kind", COLUMN_STRING, 0, column_str, OFF(kind), "" },
	{ "name", "name", COLUMN_STRING, 0, column_str, OFF(name), "" },
	{ "object", "object", COLUMN_STRING, 0, column_str, OFF(object), "" },
	{ "state", "state", COLUMN_STRINGS, COLUMN_STATE, column_lines, OFF(states), "" },
	{ "depth", "depth", COLUMN_NUMBER, 0, print_depth, OFF(depth), "" },
	{ "capacity", "capacity", COLUMN_NUMBER, 0, print_depth, OFF(capacity), "" },
	{ "unit", "unit", COLUMN_STRING, 0, column_str, OFF(unit), "" },
	{ "waiters", "waiters", COLUMN_NUMBER, 0, column_opt_u64, OFF(waiters), "" },
	{ "peers alive", "peers", COLUMN_NUMBER, 0, column_opt_u64, OFF(alive), "" },
	{ "peers dead", "dead_peers", COLUMN_NUMBER, 0, column_opt_u64, OFF(dead), "" },
	{ "slots", "slots", COLUMN_NUMBER, 0, column_opt_u64, OFF(slots), "" },
	{ "holders", "holder_pids", COLUMN_NUMBERS, 0, column_lines, OFF(holders), "" },
};
#undef OFF

static void show_general(struct report *r, const struct subject *s)
{
	bool good = s->opened && s->view.verdict == VIEW_GOOD;
	struct general g = {
		.kind = subject_kind(s),
		.name = subject_name(s) ? text_safe(subject_name(s), KIPC_NAME_MAX) : NULL,
		.object = subject_text(s),
		.states = state_names(s->sum.states, "\n"),
		.depth = s->sum.depth,
		.capacity = s->sum.capacity,
		.unit = s->sum.unit,
		.waiters = s->data ? s->sum.waiters : ABSENT,
		.holders = holder_names(&s->object->holders, "\n"),
		.alive = good ? s->peers.alive : ABSENT,
		.dead = good ? s->peers.dead : ABSENT,
		.slots = good ? s->view.hdr.npeers : ABSENT,
	};

	report_record(r, "summary", "summary", general_columns,
		      sizeof(general_columns) / sizeof(general_columns[0]), &g);
	free(g.name);
	free(g.object);
	free(g.states);
	free(g.holders);
}

/* ---- header ---- */

struct header {
	struct kipc_seg_header h;
	uint64_t file_size, resident;
	uint32_t mode, uid, gid;
	char *seals;
	char created[32];
	char abi[32];
	bool grows;
};

#define OFF(member) offsetof(struct header, member)
static const struct column header_columns[] = {
	{ "id", "id", COLUMN_STRING, 0, column_hex64, OFF(h.id), "" },
	{ "magic", "magic", COLUMN_STRING, 0, column_hex64, OFF(h.magic), "" },
	{ "ABI", "abi", COLUMN_STRING, 0, column_chars, OFF(abi), "" },
	{ "kind", "kind_number", COLUMN_NUMBER, 0, column_u16, OFF(h.kind), "" },
	{ "layout stamp", "stamp", COLUMN_STRING, 0, column_hex32, OFF(h.stamp), "" },
	{ "endian mark", "endian", COLUMN_STRING, 0, column_hex32, OFF(h.endian), "" },
	{ "compatible features", "compat", COLUMN_STRING, 0, column_hex64, OFF(h.compat), "" },
	{ "read-only features", "ro_compat", COLUMN_STRING, 0, column_hex64, OFF(h.ro_compat), "" },
	{ "incompatible features", "incompat", COLUMN_STRING, 0, column_hex64, OFF(h.incompat),
	  "" },
	{ "file", "file_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(file_size), "" },
	{ "resident", "resident_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(resident), "" },
	{ "size at creation", "size_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(h.size), "" },
	{ "may grow to", "max_size_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(h.max_size), "" },
	{ "grows", "grows", COLUMN_BOOL, 0, column_bool, OFF(grows), "" },
	{ "page", "page_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(h.page_size), "" },
	{ "body begins at", "body_offset_bytes", COLUMN_NUMBER, 0, column_u64, OFF(h.body_off),
	  "" },
	{ "slots", "slots", COLUMN_NUMBER, 0, column_u32, OFF(h.npeers), "" },
	{ "highest slot used", "slots_used_high", COLUMN_NUMBER, 0, column_u32, OFF(h.peer_high),
	  "" },
	{ "flags", "flags", COLUMN_STRING, 0, column_hex32, OFF(h.flags), "" },
	{ "seals", "seals", COLUMN_STRINGS, 0, column_lines, OFF(seals), "" },
	{ "mode", "mode", COLUMN_STRING, 0, column_octal, OFF(mode), "" },
	{ "owner uid", "owner_uid", COLUMN_NUMBER, 0, column_u32, OFF(uid), "" },
	{ "owner gid", "owner_gid", COLUMN_NUMBER, 0, column_u32, OFF(gid), "" },
	{ "creator pid", "creator_pid", COLUMN_NUMBER, 0, column_u32, OFF(h.creator_pid), "" },
	{ "creator uid", "creator_uid", COLUMN_NUMBER, 0, column_u32, OFF(h.creator_uid), "" },
	{ "created", "created", COLUMN_STRING, 0, column_chars, OFF(created), "" },
	{ "created, ns", "created_ns", COLUMN_NUMBER, 0, column_u64, OFF(h.created_ns), "" },
	{ "slots repaired", "repairs", COLUMN_NUMBER, 0, column_u64, OFF(h.repairs), "" },
	{ "claims repaired", "repaired_claims", COLUMN_NUMBER, 0, column_u64,
	  OFF(h.repaired_claims), "" },
	{ "last sweep, ns", "swept_ns", COLUMN_NUMBER, 0, column_u64, OFF(h.swept_ns), "" },
};
#undef OFF

static char *seal_lines(int seals)
{
	static const struct {
		int bit;
		const char *name;
	} names[] = {
		{ F_SEAL_SEAL, "seal" },   { F_SEAL_SHRINK, "shrink" },
		{ F_SEAL_GROW, "grow" },   { F_SEAL_WRITE, "write" },
		{ 0x0010, "future-write" }, { 0x0020, "exec" },
	};
	char *text = NULL;

	for (size_t i = 0; seals > 0 && i < sizeof(names) / sizeof(names[0]); i++)
		if (seals & names[i].bit)
			text = text_join(text, "\n", "%s", names[i].name);
	return text;
}

static void print_time(uint64_t ns, char text[32])
{
	time_t t = (time_t)(ns / 1000000000);
	struct tm tm;

	*text = '\0';
	if (t && gmtime_r(&t, &tm))
		strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void show_header(struct report *r, const struct view *v)
{
	struct header h = {
		.h = v->hdr,
		.file_size = v->file_size,
		.resident = v->resident,
		.mode = v->mode,
		.uid = v->uid,
		.gid = v->gid,
		.seals = seal_lines(v->seals),
		.grows = v->hdr.flags & KIPC_SEG_F_GROWS,
	};

	snprintf(h.abi, sizeof(h.abi), "%u.%u (oldest %u)", v->hdr.abi_major, v->hdr.abi_minor,
		 v->hdr.abi_oldest);
	print_time(v->hdr.created_ns, h.created);
	report_record(r, "header", "header", header_columns,
		      sizeof(header_columns) / sizeof(header_columns[0]), &h);
	free(h.seals);
}

/* ---- image ---- */

struct image {
	char saved[32];
	bool complete, still;
};

#define OFF(member) offsetof(struct image, member)
static const struct column image_columns[] = {
	{ "saved", "saved", COLUMN_STRING, 0, column_chars, OFF(saved), "" },
	{ "knows who lived", "knows_liveness", COLUMN_BOOL, 0, column_bool, OFF(complete), "" },
	{ "of one moment", "consistent", COLUMN_BOOL, 0, column_bool, OFF(still), "" },
};
#undef OFF

static void show_image(struct report *r, const struct view *v)
{
	const struct kipc_seg_image *im = &v->hdr.image;
	struct image image = { .complete = im->magic == KIPC_IMAGE_MAGIC };

	image.still = image.complete && !(im->flags & KIPC_IMAGE_F_MOVED);
	if (image.complete)
		print_time(im->saved_ns, image.saved);
	report_record(r, "image", "saved image", image_columns, 3, &image);
}

/* ---- peers ---- */

struct peer_row {
	uint32_t slot;
	const char *state;
	uint64_t pid;		/* in our namespace, as the kernel says; ABSENT */
	uint32_t recorded_pid;
	const char *process;
	uint32_t uid, generation;
	char comm[17];
	uint64_t start, age;
	char *sleeping, *waits, *holds;
};

#define OFF(member) offsetof(struct peer_row, member)
static const struct column peer_columns[] = {
	{ "SLOT", "slot", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(slot), "" },
	{ "STATE", "state", COLUMN_STRING, COLUMN_STATE, column_str, OFF(state), "alive, dead" },
	{ "PID", "pid", COLUMN_NUMBER, COLUMN_RIGHT, column_opt_u64, OFF(pid),
	  "process here that has the slot's lock" },
	{ "RECORDED", "recorded_pid", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(recorded_pid),
	  "as the process wrote it down, in its own PID namespace" },
	{ "PROCESS", "process", COLUMN_STRING, 0, column_str, OFF(process),
	  "what has the recorded PID here: same, other, gone, unknown" },
	{ "COMMAND", "command", COLUMN_STRING, 0, column_chars, OFF(comm), "" },
	{ "UID", "uid", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(uid), "" },
	{ "START", "start_ticks", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(start),
	  "when the process began, in clock ticks since boot" },
	{ "AGE", "age_seconds", COLUMN_NUMBER, COLUMN_RIGHT, column_duration, OFF(age),
	  "time since then" },
	{ "GENERATION", "generation", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(generation),
	  "times that the slot was taken" },
	{ "SLEEPING", "sleeping", COLUMN_STRING, 0, column_str, OFF(sleeping),
	  "threads that wait, by doorbell" },
	{ "WAITS-FOR", "waits_for", COLUMN_STRING, 0, column_str, OFF(waits),
	  "locks that its threads wait for" },
	{ "HOLDS", "holds", COLUMN_STRING, 0, column_str, OFF(holds), "" },
};
#undef OFF

static char *sleeping(const struct kind *kind, const struct kipc_peer *rec)
{
	char *text = NULL;

	for (unsigned int i = 0; kind && i < KIPC_PEER_BELLS; i++)
		if (rec->sleeping[i] && i < kind->nbells)
			text = text_join(text, ", ", "%s %u", kind->bells[i], rec->sleeping[i]);
	return text;
}

/* Since the boot that start times count from. */
static uint64_t now_s(const struct view *v)
{
	return v->image ? v->hdr.image.saved_boot_ns / 1000000000 : proc_uptime_s();
}

/* What its threads wait for. */
static char *waits_for(const struct lock_survey *locks, const struct peer *p)
{
	char *text = NULL;

	for (size_t i = 0; p->pid && i < locks->n; i++) {
		const struct lock_info *l = &locks->lock[i];
		_cleanup_free_ char *name = text_safe(l->site.name, sizeof(l->site.name));
		unsigned int n = 0;

		for (size_t j = 0; j < l->nwaits; j++)
			n += locks->waits.wait[l->first_wait + j].pid == p->pid;
		if (n)
			text = text_join(text, ", ", "%s", name);
	}
	return text;
}

static void fill_peer(struct peer_row *row, const struct subject *s,
		      const struct lock_survey *locks, const struct peer *p)
{
	static const char *const processes[] = {
		[PEER_PROCESS_UNKNOWN] = "unknown",
		[PEER_PROCESS_SAME] = "same",
		[PEER_PROCESS_OTHER] = "other",
		[PEER_PROCESS_GONE] = "gone",
	};
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK), now = now_s(&s->view);
	uint64_t started = p->rec.start_time / hz;

	*row = (struct peer_row){
		.slot = p->slot,
		.state = p->life == PEER_ALIVE ? "alive" : "dead",
		.pid = p->pid ? (uint64_t)p->pid : ABSENT,
		.recorded_pid = p->rec.pid,
		.process = processes[p->process],
		.uid = p->rec.uid,
		.generation = p->rec.generation,
		.start = p->rec.start_time,
		.age = p->rec.start_time && started <= now ? now - started : ABSENT,
		.sleeping = sleeping(s->kind, &p->rec),
		.waits = waits_for(locks, p),
		.holds = s->data && s->kind->holds ? s->kind->holds(s->data, p->slot) : NULL,
	};
	memcpy(row->comm, p->rec.comm, sizeof(p->rec.comm));
}

static void show_peers(struct report *r, const struct subject *s)
{
	struct peer_row *rows = xcalloc(s->peers.n, sizeof(*rows));
	struct lock_survey locks;

	lock_survey_one(&locks, s);
	for (uint32_t i = 0; i < s->peers.n; i++)
		fill_peer(&rows[i], s, &locks, &s->peers.peer[i]);
	lock_survey_free(&locks);
	report_table(r, "peers", "peers", peer_columns,
		     sizeof(peer_columns) / sizeof(peer_columns[0]), rows, s->peers.n,
		     sizeof(*rows));
	for (uint32_t i = 0; i < s->peers.n; i++) {
		free(rows[i].sleeping);
		free(rows[i].waits);
		free(rows[i].holds);
	}
	free(rows);
}

/* ---- all ---- */

static int show_one(const struct subject *s, void *arg)
{
	struct report *r = arg;
	_cleanup_free_ char *object = subject_text(s);
	_cleanup_free_ char *title = xasprintf("%s %s", subject_kind(s), object);

	report_object(r, title);
	show_general(r, s);
	if (s->view.image)
		show_image(r, &s->view);
	report_lines(r, "problems", "problems", s->view.problems, s->view.nproblems);
	if (s->opened && s->view.have_header)
		show_header(r, &s->view);
	if (s->opened && s->view.verdict == VIEW_GOOD)
		show_peers(r, s);
	if (s->data)
		s->kind->show(s->data, &s->peers, r);
	report_object_end(r);
	if (s->sum.states & STATE_DAMAGED)
		return EXIT_DAMAGE;
	return s->sum.states & STATE_NO_ACCESS ? EXIT_UNSUPPORTED : EXIT_OK;
}

static int show(const struct command *cmd, struct invocation *inv)
{
	struct report report;
	int code;

	(void)cmd;
	if (!inv->targets.n) {
		warnx("show: which object? `ipc-inspect list' prints them");
		return EXIT_USAGE;
	}
	report_begin(&report, &inv->format);
	code = subjects_each(&inv->targets, EACH_DEEP | EACH_NEEDED, show_one, &report);
	report_end(&report);
	return code;
}

const struct command command_show = {
	.name = "show",
	.args = "OBJECT...",
	.help = "everything about the objects: header, peers, doorbells, what is in them",
	.options = "Jbp",
	.run = show,
};
