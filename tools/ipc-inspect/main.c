// SPDX-License-Identifier: MIT
/*
 * ipc-inspect: looks into a running system that uses libkipc, and changes nothing.
 *
 * A command is a row of commands[] and a file of its own.  (The scheme is wireguard-tools'.)
 */
#include <errno.h>
#include <getopt.h>

#include <kipc/version.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/table.h"

static const struct command *const commands[] = { &command_list, &command_show, &command_check };
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

struct common_option {
	char letter;
	const char *name, *arg, *help;
};

static const struct common_option common_options[] = {
	{ 'J', "json", NULL, "JSON; -o chooses its columns, too, else there are all" },
	{ 'o', "output", "COLUMNS", "these columns; with a + in front, beside the usual ones" },
	{ 'H', "list-columns", NULL, "list the columns that -o can name" },
	{ 'n', "noheadings", NULL, "no line of headings" },
	{ 'r', "raw", NULL, "columns are not aligned, blanks in them are \\x20" },
	{ 'b', "bytes", NULL, "sizes in bytes" },
	{ 'p', "pid", "PID", "the objects of this process; the same as pid:PID" },
	{ 'h', "help", NULL, "this text" },
	{ 'V', "version", NULL, "the version" },
};
#define NOPTIONS (sizeof(common_options) / sizeof(common_options[0]))

static void help_options(const char *letters)
{
	puts("\nOptions:");
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct common_option *o = &common_options[i];
		char name[40];

		if (!strchr(letters, o->letter) && !strchr("hV", o->letter))
			continue;
		snprintf(name, sizeof(name), "-%c, --%s%s%s", o->letter, o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-24s %s\n", name, o->help);
	}
}

static void help_columns(const struct command *cmd)
{
	if (cmd->columns)
		printf("\nColumns of %s (* shown by default):\n", cmd->name);
	for (unsigned int i = 0; i < cmd->ncolumns; i++) {
		const struct column *c = &cmd->columns[i];

		printf(" %c%-10s %s\n", c->flags & COLUMN_DEFAULT ? '*' : ' ', c->name, c->help);
	}
}

static void help(const struct command *cmd)
{
	if (cmd) {
		printf("Usage: ipc-inspect %s [OPTIONS] %s\n\n%s\n", cmd->name, cmd->args,
		       cmd->help);
	} else {
		puts("Usage: ipc-inspect [OPTIONS] [COMMAND] [OBJECT...]\n\n"
		     "Shows the shared objects of libkipc on this machine, and changes nothing.\n\n"
		     "Commands:");
		for (size_t i = 0; i < NCOMMANDS; i++)
			printf("  %-6s %-12s %s\n", commands[i]->name, commands[i]->args,
			       commands[i]->help);
		puts("\nWithout a command: list.");
	}
	puts("\nAn OBJECT is PID:FD, a descriptor of a process, or pid:PID, all that it has.");
	help_options(cmd ? cmd->options : "JoHnrbp");
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!cmd || cmd == commands[i])
			help_columns(commands[i]);
	puts("\nExit status: 0 ok, 1 failed, 2 usage, 3 damage found, 4 not supported or not "
	     "permitted.");
}

static int usage(void)
{
	fputs("Try 'ipc-inspect --help'.\n", stderr);
	return EXIT_USAGE;
}

/* Takes note of one option.  -1: go on, else the exit code of the program. */
static int option(const struct command *cmd, struct invocation *inv, char *used, int c)
{
	if (c == '?')
		return usage();
	if (c == 'h') {
		help(cmd);
		return EXIT_OK;
	}
	if (c == 'V') {
		printf("ipc-inspect %d.%d.%d\n", KIPC_VERSION_MAJOR, KIPC_VERSION_MINOR,
		       KIPC_VERSION_PATCH);
		return EXIT_OK;
	}
	if (!strchr(used, c))
		used[strlen(used)] = (char)c;
	switch (c) {
	case 'J':
		inv->format.json = true;
		break;
	case 'o':
		inv->output = optarg;
		break;
	case 'H':
		inv->list_columns = true;
		break;
	case 'n':
		inv->format.noheadings = true;
		break;
	case 'r':
		inv->format.raw = true;
		break;
	case 'b':
		inv->format.bytes = true;
		break;
	case 'p':
		if (targets_add_pid(&inv->targets, optarg))
			return usage();
		break;
	}
	return -1;
}

/* Parses options up to the first operand.  -1: go on at optind, else the exit code. */
static int parse(const struct command *cmd, struct invocation *inv, char *used, int argc,
		 char **argv)
{
	struct option longs[NOPTIONS + 1] = { 0 };
	int c, code = -1;

	for (size_t i = 0; i < NOPTIONS; i++)
		longs[i] = (struct option){
			.name = common_options[i].name,
			.has_arg = common_options[i].arg ? required_argument : no_argument,
			.val = common_options[i].letter,
		};
	while (code < 0 && (c = getopt_long(argc, argv, "+Jo:Hnrbp:hV", longs, NULL)) != -1)
		code = option(cmd, inv, used, c);
	return code;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

/* Options that the command doesn't take, or that contradict each other. */
static int check(const struct command *cmd, const struct invocation *inv, const char *used)
{
	for (; *used; used++) {
		if (!strchr(cmd->options, *used)) {
			warnx("%s has no option -%c", cmd->name, *used);
			return usage();
		}
	}
	if (inv->format.json && inv->format.raw) {
		warnx("-J and -r exclude each other");
		return usage();
	}
	return EXIT_OK;
}

int command_columns(const struct command *cmd, const struct invocation *inv,
		    struct selection *sel, bool *done)
{
	*done = inv->list_columns;
	if (inv->list_columns) {
		table_list_columns(cmd->columns, cmd->ncolumns, &inv->format);
		return EXIT_OK;
	}
	selection_default(sel, cmd->columns, cmd->ncolumns, inv->format.json);
	if (inv->output && selection_parse(sel, cmd->columns, cmd->ncolumns, inv->output))
		return EXIT_USAGE;
	return EXIT_OK;
}

void report_refused(const struct objects *objects)
{
	fflush(stdout);
	if (objects->refused)
		fprintf(stderr, "%d process%s not readable: run as root to see %s\n",
			objects->refused, objects->refused == 1 ? "" : "es",
			objects->refused == 1 ? "it" : "them");
}

/* Options may stand before and behind the command and the objects, in any order. */
static int operands(const struct command **cmd, struct invocation *inv, char *used, int argc,
		    char **argv)
{
	int code = -1;

	for (bool ended = false; code < 0;) {
		if (!ended)
			code = parse(*cmd, inv, used, argc, argv);
		ended |= optind > 1 && !strcmp(argv[optind - 1], "--") &&
			 argv[optind - 1] != optarg;
		if (code >= 0 || optind == argc)
			break;
		if (!*cmd) {
			*cmd = find_command(argv[optind]);
			if (*cmd) {
				optind++;
				continue;
			}
			if (!strchr(argv[optind], ':')) {
				warnx("'%s' is no command", argv[optind]);
				return usage();
			}
			*cmd = &command_list;
		}
		code = targets_add(&inv->targets, argv[optind++]);
		if (code == EXIT_OK)
			code = -1;
	}
	return code;
}

int main(int argc, char **argv)
{
	struct invocation inv = { 0 };
	const struct command *cmd = NULL;
	char used[NOPTIONS + 1] = "";
	int code;

	code = operands(&cmd, &inv, used, argc, argv);
	if (code < 0) {
		if (!cmd)
			cmd = &command_list;
		code = check(cmd, &inv, used);
		if (!code)
			code = cmd->run(cmd, &inv);
	}
	targets_free(&inv.targets);
	/* a full disk is not to be taken for an empty list */
	if (fflush(stdout) || ferror(stdout)) {
		warn("standard output");
		return code ? code : EXIT_FAILED;
	}
	return code;
}
