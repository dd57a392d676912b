// SPDX-License-Identifier: MIT
/*
 * ipc-inspect names: one row a name that the broker keeps, whether or not there is an object behind
 * it that we can see.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/broker.h"
#include "tools/common/segment-view.h"
#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/table.h"

/* What the printers get: what the broker says, and what is derived from it. */
struct row {
	struct kipc_broker_entry e;
	bool refused;		/* we may not open it */
	uint64_t id;		/* ABSENT, as are the others */
	uint64_t size;		/* bytes */
	uint64_t age;		/* seconds */
};

#define ROW(member) offsetof(struct row, member)

static char *print_kind(const void *row, const struct column *c, const struct format *f)
{
	unsigned int kind = ((const struct row *)row)->e.kind;
	const char *name = kind == KIPC_SEG_PIPE ? "listener" : view_kind_name(kind);

	(void)c;
	(void)f;
	return xstrdup(name ? name : "unknown");
}

/* As in `ls -l': the number of who has no name; in JSON the number has a member of its own. */
static char *who(const char *name, uint32_t number, const struct format *f)
{
	if (name)
		return text_safe(name, strlen(name));
	return f->json ? NULL : xasprintf("%u", number);
}

static char *print_owner(const void *row, const struct column *c, const struct format *f)
{
	uint32_t uid = ((const struct row *)row)->e.uid;
	const struct passwd *pw = getpwuid(uid);

	(void)c;
	return who(pw ? pw->pw_name : NULL, uid, f);
}

static char *print_group(const void *row, const struct column *c, const struct format *f)
{
	uint32_t gid = ((const struct row *)row)->e.gid;
	const struct group *gr = getgrgid(gid);

	(void)c;
	return who(gr ? gr->gr_name : NULL, gid, f);
}

static char *print_state(const void *row, const struct column *c, const struct format *f)
{
	const struct row *r = row;
	const char *sep = f->json ? "\n" : ",";
	char *text = NULL;

	(void)c;
	if (r->e.flags & KIPC_BROKER_LOST)
		text = text_join(text, sep, "lost");
	if (r->e.flags & KIPC_BROKER_TIED)
		text = text_join(text, sep, "tied");
	if (r->refused)
		text = text_join(text, sep, "no access");
	return text ? text : xstrdup("ok");
}

#define RIGHT	COLUMN_RIGHT
#define SHOWN	COLUMN_DEFAULT
static const struct column columns[] = {
	{ "NAME", "name", COLUMN_STRING, SHOWN, column_chars, ROW(e.name),
	  "each kind has names of its own" },
	{ "KIND", "kind", COLUMN_STRING, SHOWN, print_kind, 0,
	  "queue, shm, array or manager; listener: of pipes" },
	{ "ID", "id", COLUMN_STRING, SHOWN, column_opt_hex64, ROW(id),
	  "random number that names the object, in hexadecimal; none of a listener" },
	{ "SIZE", "size_bytes", COLUMN_NUMBER, SHOWN | RIGHT, column_opt_bytes, ROW(size),
	  "bytes of the segment; none of a listener, and of some that are lost" },
	{ "OWNER", "owner", COLUMN_STRING, SHOWN, print_owner, 0, "user whose it is" },
	{ "UID", "owner_uid", COLUMN_NUMBER, RIGHT, column_u32, ROW(e.uid), "its number" },
	{ "GROUP", "group", COLUMN_STRING, 0, print_group, 0, "group whose it is" },
	{ "GID", "owner_gid", COLUMN_NUMBER, RIGHT, column_u32, ROW(e.gid), "its number" },
	{ "MODE", "mode", COLUMN_STRING, SHOWN, column_octal, ROW(e.mode),
	  "permission bits, in octal; of a listener those for writing say who may connect" },
	{ "STATE", "state", COLUMN_STRINGS, SHOWN | COLUMN_STATE, print_state, 0,
	  "ok, or what of this holds: lost, tied, no access" },
	{ "AGE", "age_seconds", COLUMN_NUMBER, SHOWN | RIGHT, column_duration, ROW(age),
	  "time since its creation" },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

static uint64_t age_of(uint64_t created_ns)
{
	uint64_t created = created_ns / 1000000000;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return created && created <= (uint64_t)ts.tv_sec ? (uint64_t)ts.tv_sec - created : ABSENT;
}

/* Whether list can show what has the name: the broker is asked to hand it to us.  0 or an errno. */
static int try_open(int sock, struct row *row)
{
	int fds[KIPC_BROKER_FDS], r;

	/* asking for a lost one would make the broker look for it: we only look */
	if (row->e.kind == KIPC_SEG_PIPE || row->e.flags & KIPC_BROKER_LOST)
		return 0;
	r = broker_open(sock, row->e.kind, row->e.name, KIPC_BROKER_RDONLY, fds);
	for (int i = 0; i < r; i++)
		close(fds[i]);
	row->refused = r == -EACCES;
	/* gone or lost since it was listed; all else means that there is no more to be had */
	return r >= 0 || r == -EACCES || r == -ENOENT || r == -EAGAIN ? 0 : r;
}

static int add(struct table *t, int sock, const struct kipc_broker_entry *e)
{
	struct row row = {
		.e = *e,
		/* a listener's is what it proves itself with */
		.id = e->kind == KIPC_SEG_PIPE ? ABSENT : e->id,
		.size = e->size ? e->size : ABSENT,
		.age = age_of(e->created_ns),
	};
	int r = try_open(sock, &row);

	table_add(t, &row);
	return r;
}

/* Whether the name is one of those asked for, which are ticked off. */
static bool wanted(const struct targets *t, bool *hit, const char *name)
{
	bool found = !t->n;

	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->target[i].text, name))
			continue;
		hit[i] = found = true;
	}
	return found;
}

/* 0, also where there is no broker; or a negative errno. */
static int add_all(struct table *t, const struct targets *targets, bool *hit)
{
	struct kipc_broker_entry entry[KIPC_BROKER_ENTRIES];
	uint64_t cursor = 0;
	int sock = broker_connect(), n, r = 0;

	if (sock < 0)
		return sock == -ENOENT || sock == -ECONNREFUSED ? 0 : sock;
	do {
		n = broker_list(sock, &cursor, entry);
		for (int i = 0; !r && i < n; i++)
			if (wanted(targets, hit, entry[i].name))
				r = add(t, sock, &entry[i]);
	} while (!r && n >= 0 && cursor);
	close(sock);
	return n < 0 ? n : r;
}

static int complain(const struct targets *targets, const bool *hit, int error)
{
	int code = EXIT_OK;

	if (error) {
		warnx("the broker of names: %s", strerror(-error));
		return error == -EPERM || error == -EACCES || error == -EPROTONOSUPPORT ?
			       EXIT_UNSUPPORTED :
			       EXIT_FAILED;
	}
	for (size_t i = 0; i < targets->n; i++) {
		if (hit[i])
			continue;
		warnx("no name '%s'", targets->target[i].text);
		code = EXIT_FAILED;
	}
	return code;
}

static int names(const struct command *cmd, struct invocation *inv)
{
	_cleanup_free_ bool *hit = xcalloc(inv->targets.n, sizeof(*hit));
	struct selection sel;
	struct table *t;
	bool done;
	int code = command_columns(cmd, inv, &sel, &done);

	if (code || done)
		return code;
	for (size_t i = 0; i < inv->targets.n; i++)
		if (inv->targets.target[i].type != TARGET_NAME) {
			warnx("names: only names can be looked for");
			return usage();
		}
	t = table_new("names", columns, NCOLUMNS, &sel, &inv->format);
	code = complain(&inv->targets, hit, add_all(t, &inv->targets, hit));
	table_print(t);
	table_free(t);
	return code;
}

const struct command command_names = {
	.name = "names",
	.args = "[NAME...]",
	.help = "one row per name that the broker keeps: whose it is, whether it can be had",
	.notes = "Asked is the broker of this user's runtime folder; where none runs, there are no names.\n"
		 "lost: the broker that had it was killed, and no process could be looked into that has\n"
		 "the object; it is back once one of them uses a name.  tied: it ends with the process\n"
		 "that made it.  no access: its mode doesn't allow us to open it.",
	.options = "JoHnrb",
	.columns = columns,
	.ncolumns = NCOLUMNS,
	.run = names,
};
