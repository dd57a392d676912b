// SPDX-License-Identifier: MIT
/*
 * ipc-inspect gc: what is left over.
 *
 * Slots of the dead that nobody has repaired: with --force we attach and do what the next user would.
 * Orphans, which have no name and no process attached, last as long as somebody has a descriptor of
 * them; that is not ours to close, so we say whose it is.
 */
#include <errno.h>

#include <kipc/check.h>
#include <kipc/manager.h>

#include "tools/common/attach.h"
#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/table.h"

struct row {
	const struct subject *s;
	char *object;
	const char *kind;
	uint64_t dead, resident;
	char *result;		/* NULL: nothing was done */
};

static char *print_garbage(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	return state_names(((const struct row *)row)->s->sum.states &
				   (STATE_DEAD_OWNER | STATE_ORPHAN),
			   f->json ? "\n" : ",");
}

static char *print_holders(const void *row, const struct column *c, const struct format *f)
{
	const struct holders *h = &((const struct row *)row)->s->object->holders;
	char *text = NULL, handle[HANDLE_TEXT];

	(void)c;
	for (size_t i = 0; i < h->n; i++)
		text = text_join(text, f->json ? "\n" : ",", "%s",
				 handle_text(&h->handle[i], handle));
	return text;
}

#define OFF(member)	offsetof(struct row, member)
#define RIGHT		COLUMN_RIGHT
#define SHOWN		COLUMN_DEFAULT
static const struct column columns[] = {
	{ "OBJECT", "object", COLUMN_STRING, SHOWN, column_str, OFF(object), "a descriptor of it" },
	{ "KIND", "kind", COLUMN_STRING, SHOWN, column_str, OFF(kind),
	  "queue, pipe, shm, array or manager" },
	{ "GARBAGE", "garbage", COLUMN_STRINGS, SHOWN | COLUMN_STATE, print_garbage, 0,
	  "dead owner: slots to be repaired; orphan: nobody is attached" },
	{ "DEAD", "dead_peers", COLUMN_NUMBER, SHOWN | RIGHT, column_u64, OFF(dead),
	  "slots of dead processes" },
	{ "RESIDENT", "resident_bytes", COLUMN_NUMBER, SHOWN | RIGHT, column_bytes, OFF(resident),
	  "bytes of memory that it takes" },
	{ "HELD-BY", "held_by", COLUMN_STRINGS, SHOWN, print_holders, 0,
	  "descriptors and mappings that keep it" },
	{ "RESULT", "result", COLUMN_STRING, SHOWN, column_str, OFF(result),
	  "with --force: what was done" },
};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))
#undef OFF

static struct {
	bool force;
} opts;

static const struct option_row own[] = {
	{ OPT_LONG, "force", NULL, "repair what can be repaired; this changes the objects" },
};

static int option(int code, const char *arg)
{
	(void)code;
	(void)arg;
	opts.force = true;
	return EXIT_OK;
}

/* Does what the next user would.  The dead that are left, or a negative errno. */
static int settle(struct kipc_object *obj)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_manager *m = kipc_object_manager(obj);
	KIPC_OPTS(kipc_report, report, .flags = m ? 0 : KIPC_CHECK_SETTLE);
	/* a manager's auditor would wait for whoever has its locks; this doesn't */
	int r = m ? kipc_manager_stat(m, &st) : 0;

	if (!r)
		r = kipc_check(obj, &report);
	return r < 0 ? r : (int)report.dead_peers;
}

/* An exit code, and row->result. */
static int repair(struct row *row)
{
	const struct subject *s = row->s;
	KIPC_OPTS(kipc_report, report);
	struct kipc_object *obj;
	int r;

	if (kipc_check_fd(s->view.fd, &report) > 0) {
		row->result = xstrdup("damaged: left alone");
		return EXIT_DAMAGE;
	}
	r = attach(&s->view, s->object, &obj);
	if (r == -EOPNOTSUPP && s->view.hdr.kind == KIPC_SEG_PIPE) {
		row->result = xstrdup("only its ends can repair it, and will");
		return EXIT_UNSUPPORTED;
	}
	if (!r) {
		r = settle(obj);
		kipc_object_close(obj);
	}
	if (r < 0) {
		row->result = xasprintf("failed: %s", kipc_strerror(r));
		return r == -EPERM || r == -EACCES || r == -EOPNOTSUPP ? EXIT_UNSUPPORTED :
									 EXIT_FAILED;
	}
	row->result = r ? xasprintf("%d slots are left", r) : xstrdup("repaired");
	return r ? EXIT_FAILED : EXIT_OK;
}

static int gc_one(const struct subject *s, void *table)
{
	struct row row = { .s = s, .kind = subject_kind(s) };
	int code = s->sum.states & STATE_DAMAGED ? EXIT_DAMAGE : EXIT_OK;

	if (!(s->sum.states & (STATE_DEAD_OWNER | STATE_ORPHAN)))
		return code;
	row.object = subject_text(s);
	row.dead = s->peers.dead;
	row.resident = s->view.resident;
	if (opts.force && s->view.image)
		row.result = xstrdup("an image is not repaired");
	else if (opts.force && row.dead)
		code = repair(&row);
	else if (opts.force)
		row.result = xstrdup("ends with its last descriptor");
	table_add(table, &row);
	free(row.object);
	free(row.result);
	return code;
}

static int gc(const struct command *cmd, struct invocation *inv)
{
	struct selection sel;
	struct table *t;
	bool done;
	int code = command_columns(cmd, inv, &sel, &done);

	if (code || done)
		return code;
	t = table_new("objects", columns, NCOLUMNS, &sel, &inv->format);
	code = subjects_each(&inv->targets, 0, gc_one, t);
	table_print(t);
	table_free(t);
	return code;
}

const struct command command_gc = {
	.name = "gc",
	.args = "[--force] [OBJECT...]",
	.help = "what is left over: orphans, slots of the dead; repairs with --force",
	.options = "JoHnrbp",
	.columns = columns,
	.ncolumns = NCOLUMNS,
	.own = own,
	.nown = sizeof(own) / sizeof(own[0]),
	.option = option,
	.run = gc,
};
