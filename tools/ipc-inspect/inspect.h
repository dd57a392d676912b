/* SPDX-License-Identifier: MIT */
/*
 * ipc-inspect's own: commands, options, exit codes.
 *
 * A command is a row in main.c's table and a file of its own.  The options that several commands
 * understand are parsed in option.c, each command says which of them it takes, and brings its own.
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

/* One option: a row that drives parsing and --help. */
struct option_row {
	int code;		/* its letter; from OPT_LONG on: it has none */
	const char *name;
	const char *arg;	/* NULL: takes none; "[X]": may take one */
	const char *help;
};

#define OPT_LONG	256

struct command {
	const char *name;
	const char *args;	/* for --help: "[OBJECT...]" */
	const char *help;
	const char *options;	/* letters of the common options that it takes */
	const struct column *columns;	/* what -o chooses from; NULL */
	unsigned int ncolumns;
	const char *notes;	/* for --help: what else is to be known, or NULL */
	const struct option_row *own;	/* its own options */
	unsigned int nown;
	/* One of them: 0, or an exit code after a message. */
	int (*option)(int code, const char *arg);
	/* NULL: operands are objects.  Or: 0: taken; -1: an object; an exit code after a message. */
	int (*operand)(const char *arg);
	int (*run)(const struct command *cmd, struct invocation *inv);	/* an exit code */
};

/* What the command line says. */
struct invocation {
	struct format format;
	const char *output;	/* -o */
	bool list_columns;	/* -H */
	struct targets targets;	/* -p and the operands */
};

extern const struct command *const commands[];	/* ends with NULL */
extern const struct command command_list, command_show, command_check,
	command_features, command_dump, command_stats, command_locks,
	command_top, command_record, command_replay, command_gc,
	command_trace, command_names;

/* option.c: the command line.  -1: run *cmd; else the exit code of the program. */
int parse_command_line(const struct command **cmd, struct invocation *inv, int argc, char **argv);
int usage(void);

/* -H; or the columns of -o, or those by default.  0, or an exit code: the command is over. */
int command_columns(const struct command *cmd, const struct invocation *inv,
		    struct selection *sel, bool *done);

#endif
