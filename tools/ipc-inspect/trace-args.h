/* SPDX-License-Identifier: MIT */
/*
 * The notes of probes say where arguments are in the words of the assembler: "8@56(%rbx) -4@$1" or,
 * for arm64, "8@[sp, 24] 4@x2".  Size and sign, then a register, a place in memory or a constant.
 */
#ifndef IPC_INSPECT_TRACE_ARGS_H
#define IPC_INSPECT_TRACE_ARGS_H

#include "tools/ipc-inspect/trace-event.h"

enum trace_machine {
	TRACE_X86_64,
	TRACE_ARM64,
	TRACE_NO_MACHINE,	/* one that we can't read the notes of */
};

/* The one that this was built for. */
enum trace_machine trace_this_machine(void);

/*
 * Fills site->nargs and site->arg[].  0; -EINVAL: there is something that we don't understand, or there
 * are more arguments than TRACE_SITE_ARGS.
 */
int trace_parse_args(struct trace_site *site, const char *text, enum trace_machine machine);

#endif
