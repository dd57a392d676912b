// SPDX-License-Identifier: MIT
/* The auditor that a world asks: kipc_check(), after the dead were seen to. */
#include "audit.h"

#include <stdio.h>

#include <kipc/check.h>

int crash_audit_object(struct kipc_object *obj, bool idle, char *text, size_t size)
{
	KIPC_OPTS(kipc_report, report, .flags = KIPC_CHECK_SETTLE | (idle ? KIPC_CHECK_IDLE : 0));
	int r = kipc_check(obj, &report);

	if (r < 0)
		snprintf(text, size, "it could not be done: %d", r);
	else if (r)
		snprintf(text, size, "%d violations: %s", r, report.first);
	else if (idle && (report.dead_claims || report.dead_peers))
		r = snprintf(text, size, "%lu claims of %u dead are left",
			     (unsigned long)report.dead_claims, report.dead_peers);
	return r;
}
