/* SPDX-License-Identifier: MIT */
/*
 * ipc-inspect's own: commands, common options, exit codes.
 *
 * A command is a row in main.c's table and a file of its own.  The options that several commands
 * understand are parsed here, each command says which of them it takes.
 */
#ifndef IPC_INSPECT_INSPECT_H
#define IPC_INSPECT_INSPECT_H

#include "tools/ipc-inspect/column.h"
#include "tools/ipc-inspect/subject.h"

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_DAMAGE = 3,	/* damage found */
	EXIT_UNSUPPORTED = 4,	/* not supported, or not permitted */
};

struct invocation;

struct command {
	const char *name;
	const char *args;	/* for --help: "[OBJECT...]" */
	const char *help;
	const char *options;	/* letters of the common options that it takes */
	const struct column *columns;	/* what -o chooses from; NULL */
	unsigned int ncolumns;
	int (*run)(const struct command *cmd, struct invocation *inv);	/* an exit code */
};

/* What the command line says. */
struct invocation {
	struct format format;
	const char *output;	/* -o */
	bool list_columns;	/* -H */
	struct targets targets;	/* -p and the operands */
};

extern const struct command command_list, command_show, command_check;

/* -H; or the columns of -o, or those by default.  0, or an exit code: the command is over. */
int command_columns(const struct command *cmd, const struct invocation *inv,
		    struct selection *sel, bool *done);

/* Says on stderr, once, how many processes could not be looked into. */
void report_refused(const struct objects *objects);

#endif
