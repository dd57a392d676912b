// SPDX-License-Identifier: MIT
/*
 * ipc-inspect: looks into a running system that uses libkipc, and changes nothing unless told to.
 *
 * A command is a row of commands[] and a file of its own.  (The scheme is wireguard-tools'.)
 */
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"

const struct command *const commands[] = {
	&command_list,
	&command_names,
	&command_show,
	&command_dump,
	&command_stats,
	&command_top,
	&command_trace,
	&command_locks,
	&command_check,
	&command_gc,
	&command_record,
	&command_replay,
	&command_features,
	NULL,
};

int main(int argc, char **argv)
{
	struct invocation inv = { 0 };
	const struct command *cmd = NULL;
	int code = parse_command_line(&cmd, &inv, argc, argv);

	if (code < 0)
		code = cmd->run(cmd, &inv);
	targets_free(&inv.targets);
	/* a full disk is not to be taken for an empty list */
	if (fflush(stdout) || ferror(stdout)) {
		warn("standard output");
		return code ? code : EXIT_FAILED;
	}
	return code;
}
