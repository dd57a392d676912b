// SPDX-License-Identifier: MIT
/*
 * ipc-inspect check: the library's auditor, kipc_check_fd(), for objects of other processes.
 *
 * What the other commands call damage is what they stumble over; this looks for it.
 */
#include <kipc/check.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/report.h"

/* Findings of an object that are printed; all are counted. */
#define FINDINGS_MAX	200

struct finding {
	const char *cls;
	uint64_t offset, slot;
	char *text;
};

struct result {
	const char *kind, *verdict;
	char *object;
	uint64_t checks, violations, dead_claims, in_flight, looks;
	bool exact;
	struct finding finding[FINDINGS_MAX];
	size_t n;
};

#define OFF(member) offsetof(struct result, member)
static const struct column summary_columns[] = {
	{ "kind", "kind", COLUMN_STRING, 0, column_str, OFF(kind), "" },
	{ "object", "object", COLUMN_STRING, 0, column_str, OFF(object), "" },
	{ "verdict", "verdict", COLUMN_STRING, COLUMN_STATE, column_str, OFF(verdict), "" },
	{ "violations", "violations", COLUMN_NUMBER, 0, column_opt_u64, OFF(violations), "" },
	{ "claims of the dead", "dead_claims", COLUMN_NUMBER, 0, column_opt_u64, OFF(dead_claims),
	  "" },
	{ "in flight", "in_flight", COLUMN_NUMBER, 0, column_opt_u64, OFF(in_flight), "" },
	{ "exact", "exact", COLUMN_BOOL, 0, column_bool, OFF(exact), "" },
	{ "checks", "checks", COLUMN_NUMBER, 0, column_opt_u64, OFF(checks), "" },
	{ "looks", "looks", COLUMN_NUMBER, 0, column_opt_u64, OFF(looks), "" },
};
#undef OFF

#define OFF(member) offsetof(struct finding, member)
static const struct column finding_columns[] = {
	{ "CLASS", "class", COLUMN_STRING, 0, column_str, OFF(cls), "violation, dead, in flight" },
	{ "OFFSET", "offset_bytes", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(offset),
	  "in the segment" },
	{ "SLOT", "slot", COLUMN_NUMBER, COLUMN_RIGHT, column_opt_u64, OFF(slot), "of a claim" },
	{ "FINDING", "finding", COLUMN_STRING, 0, column_str, OFF(text), "" },
};
#undef OFF

static void note(void *arg, const struct kipc_finding *f)
{
	static const char *const classes[] = {
		[KIPC_FINDING_VIOLATION] = "violation",
		[KIPC_FINDING_DEAD] = "dead",
		[KIPC_FINDING_IN_FLIGHT] = "in flight",
	};
	struct result *res = arg;

	if (res->n == FINDINGS_MAX)
		return;
	res->finding[res->n++] = (struct finding){
		.cls = classes[f->cls],
		.offset = f->offset,
		.slot = f->slot ? f->slot : ABSENT,
		.text = xstrdup(f->text),
	};
}

/* An exit code. */
static int audit(const struct subject *s, struct result *res)
{
	KIPC_OPTS(kipc_report, r, .found = note, .arg = res);
	int n;

	res->verdict = s->opened ? "other version" : "no access";
	if (!s->opened || s->view.verdict == VIEW_FOREIGN)
		return EXIT_UNSUPPORTED;
	res->verdict = "unfinished";
	if (s->view.verdict == VIEW_UNFINISHED)
		return EXIT_OK;
	n = kipc_check_fd(s->view.fd, &r);
	res->verdict = "failed";
	if (n < 0) {
		warnx("%s: %s", res->object, strerror(-n));
		return EXIT_FAILED;
	}
	res->checks = r.checks;
	res->violations = r.violations;
	res->dead_claims = r.dead_claims;
	res->in_flight = r.in_flight;
	res->looks = r.looks;
	res->exact = r.quiescent;
	res->verdict = n ? "damaged" : r.dead_claims ? "needs repair" : "sound";
	/* places that were copied at different times need not fit each other */
	if (n && s->view.image && (s->view.hdr.image.flags & KIPC_IMAGE_F_MOVED)) {
		res->verdict = "uncertain";
		return EXIT_OK;
	}
	return n ? EXIT_DAMAGE : EXIT_OK;
}

static int check_one(const struct subject *s, void *arg)
{
	struct report *rep = arg;
	struct result *res = xcalloc(1, sizeof(*res));
	_cleanup_free_ char *title = NULL;
	int code;

	res->kind = subject_kind(s);
	res->checks = res->violations = res->dead_claims = res->in_flight = res->looks = ABSENT;
	res->object = subject_text(s);
	title = xasprintf("%s %s", res->kind, res->object);
	code = audit(s, res);
	report_object(rep, title);
	report_record(rep, "summary", "summary", summary_columns,
		      sizeof(summary_columns) / sizeof(summary_columns[0]), res);
	report_table(rep, "findings", "findings", finding_columns,
		     sizeof(finding_columns) / sizeof(finding_columns[0]), res->finding, res->n,
		     sizeof(res->finding[0]));
	report_object_end(rep);
	for (size_t i = 0; i < res->n; i++)
		free(res->finding[i].text);
	free(res->object);
	free(res);
	return code;
}

static int check(const struct command *cmd, struct invocation *inv)
{
	struct report report;
	int code;

	(void)cmd;
	report_begin(&report, &inv->format);
	code = subjects_each(&inv->targets, 0, check_one, &report);
	report_end(&report);
	return code;
}

const struct command command_check = {
	.name = "check",
	.args = "[OBJECT...]",
	.help = "look for damage: every invariant of the objects, in words",
	.options = "Jbp",
	.run = check,
};
