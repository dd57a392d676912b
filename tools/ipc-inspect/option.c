// SPDX-License-Identifier: MIT
/* The command line of ipc-inspect, by tables: see inspect.h. */
#include <getopt.h>
#include <unistd.h>

#include <kipc/version.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/table.h"

/* The common ones that have no letter. */
enum { OPT_JSONL = 1000, OPT_COLOR };

static const struct option_row common[] = {
	{ 'J', "json", NULL, "JSON; -o chooses its columns, too, else there are all" },
	{ OPT_JSONL, "jsonl", NULL, "the same, an object a line" },
	{ 'o', "output", "COLUMNS", "these columns; with a + in front, beside the usual ones" },
	{ 'H', "list-columns", NULL, "list the columns that -o can name" },
	{ 'n', "noheadings", NULL, "no line of headings" },
	{ 'r', "raw", NULL, "columns are not aligned, blanks in them are \\x20" },
	{ 'b', "bytes", NULL, "sizes in bytes" },
	{ 'p', "pid", "PID", "the objects of this process; the same as pid:PID" },
	{ OPT_COLOR, "color", "[WHEN]", "always, never or auto: on a terminal, without NO_COLOR" },
	{ 'h', "help", NULL, "this text" },
	{ 'V', "version", NULL, "the version" },
};
#define NCOMMON (sizeof(common) / sizeof(common[0]))
#define OPTIONS_MAX	64

/* Whether the command takes this common option; no command yet: any. */
static bool takes(const struct command *cmd, int code)
{
	if (!cmd || code == OPT_COLOR || code == 'h' || code == 'V')
		return true;
	return strchr(cmd->options, code == OPT_JSONL ? 'J' : code);
}

/* ---- help ---- */

static void help_option(const struct option_row *o)
{
	char name[40], letter[8] = "    ";

	if (o->code < OPT_LONG)
		snprintf(letter, sizeof(letter), "-%c, ", o->code);
	snprintf(name, sizeof(name), "%s--%s%s%s", letter, o->name,
		 !o->arg ? "" : *o->arg == '[' ? "[=" : " ",
		 !o->arg ? "" : *o->arg == '[' ? o->arg + 1 : o->arg);
	printf("  %-24s %s\n", name, o->help);
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
		     "Shows the shared objects of libkipc on this machine.\n\n"
		     "Commands:");
		for (const struct command *const *c = commands; *c; c++)
			printf("  %-8s %-24s %s\n", (*c)->name, (*c)->args, (*c)->help);
		puts("\nWithout a command: list.  ipc-inspect COMMAND --help says more.");
	}
	if (!cmd || strstr(cmd->args, "OBJECT"))
		puts("\nAn OBJECT is PID:FD, a descriptor of a process; pid:PID, all that it has; the "
		     "name of\nan object; or the path of an image that `dump --save' wrote.");
	if (cmd && cmd->notes)
		printf("\n%s\n", cmd->notes);
	puts("\nOptions:");
	for (unsigned int i = 0; cmd && i < cmd->nown; i++)
		help_option(&cmd->own[i]);
	for (size_t i = 0; i < NCOMMON; i++)
		if (takes(cmd, common[i].code))
			help_option(&common[i]);
	if (cmd)
		help_columns(cmd);
	puts("\nExit status: 0 ok, 1 failed, 2 usage, 3 damage found, 4 not supported or not "
	     "permitted.");
}

int usage(void)
{
	fputs("Try 'ipc-inspect --help'.\n", stderr);
	return EXIT_USAGE;
}

/* ---- parsing ---- */

struct parser {
	const struct command *cmd;	/* NULL as long as there was none */
	struct invocation *inv;
	const char *when;		/* --color */
	int used[OPTIONS_MAX];		/* common options, to be checked when the command is known */
	unsigned int nused;
	/* for getopt_long() */
	struct option longs[OPTIONS_MAX];
	char shorts[2 * OPTIONS_MAX + 2];
};

static void add_option(struct parser *p, unsigned int *n, const struct option_row *o)
{
	size_t len = strlen(p->shorts);

	p->longs[(*n)++] = (struct option){
		.name = o->name,
		.has_arg = !o->arg	    ? no_argument :
			   *o->arg == '[' ? optional_argument :
					    required_argument,
		.val = o->code,
	};
	if (o->code < OPT_LONG)
		snprintf(p->shorts + len, sizeof(p->shorts) - len, "%c%s", o->code,
			 o->arg ? ":" : "");
}

static void set_up(struct parser *p)
{
	unsigned int n = 0;

	memset(p->longs, 0, sizeof(p->longs));
	strcpy(p->shorts, "+");
	for (size_t i = 0; i < NCOMMON; i++)
		add_option(p, &n, &common[i]);
	for (unsigned int i = 0; p->cmd && i < p->cmd->nown; i++)
		add_option(p, &n, &p->cmd->own[i]);
}

static int common_option(struct parser *p, int c)
{
	struct format *f = &p->inv->format;

	if (p->nused < OPTIONS_MAX)
		p->used[p->nused++] = c;
	switch (c) {
	case 'J':
		f->json = true;
		break;
	case OPT_JSONL:
		f->json = f->lines = true;
		break;
	case 'o':
		p->inv->output = optarg;
		break;
	case 'H':
		p->inv->list_columns = true;
		break;
	case 'n':
		f->noheadings = true;
		break;
	case 'r':
		f->raw = true;
		break;
	case 'b':
		f->bytes = true;
		break;
	case 'p':
		return targets_add_pid(&p->inv->targets, optarg) ? usage() : -1;
	case OPT_COLOR:
		p->when = optarg ? optarg : "always";
		break;
	}
	return -1;
}

/* Takes note of one option.  -1: go on, else the exit code of the program. */
static int option(struct parser *p, int c)
{
	int code;

	if (c == '?')
		return usage();
	if (c == 'h') {
		help(p->cmd);
		return EXIT_OK;
	}
	if (c == 'V') {
		printf("ipc-inspect %d.%d.%d\n", KIPC_VERSION_MAJOR, KIPC_VERSION_MINOR,
		       KIPC_VERSION_PATCH);
		return EXIT_OK;
	}
	for (unsigned int i = 0; p->cmd && i < p->cmd->nown; i++) {
		if (p->cmd->own[i].code != c)
			continue;
		code = p->cmd->option(c, optarg);
		return code == EXIT_USAGE ? usage() : code ? code : -1;
	}
	return common_option(p, c);
}

/* Parses options up to the first operand.  -1: go on at optind, else the exit code. */
static int options(struct parser *p, int argc, char **argv)
{
	int c, code = -1;

	set_up(p);
	while (code < 0 && (c = getopt_long(argc, argv, p->shorts, p->longs, NULL)) != -1)
		code = option(p, c);
	return code;
}

static const struct command *find_command(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

/* -1: go on, else the exit code. */
static int operand(struct parser *p, const char *arg)
{
	int code = -1;

	if (!p->cmd) {
		p->cmd = find_command(arg);
		if (p->cmd)
			return -1;
		if (!strpbrk(arg, ":/")) {
			warnx("'%s' is no command", arg);
			return usage();
		}
		p->cmd = &command_list;
	}
	if (p->cmd->operand)
		code = p->cmd->operand(arg);
	if (code < 0)
		code = targets_add(&p->inv->targets, arg);
	return code ? code : -1;
}

/* Options may stand before and behind the command and the objects, in any order. */
static int words(struct parser *p, int argc, char **argv)
{
	int code = -1;

	for (bool ended = false; code < 0;) {
		if (!ended)
			code = options(p, argc, argv);
		ended |= optind > 1 && !strcmp(argv[optind - 1], "--") &&
			 argv[optind - 1] != optarg;
		if (code >= 0 || optind == argc)
			break;
		code = operand(p, argv[optind++]);
	}
	return code;
}

/* Options that the command doesn't take, or that contradict each other. */
static int check(const struct parser *p)
{
	for (unsigned int i = 0; i < p->nused; i++) {
		int c = p->used[i];

		if (takes(p->cmd, c))
			continue;
		if (c < OPT_LONG)
			warnx("%s has no option -%c", p->cmd->name, c);
		else
			warnx("%s has no option --jsonl", p->cmd->name);
		return usage();
	}
	if (p->inv->format.json && p->inv->format.raw) {
		warnx("-J and -r exclude each other");
		return usage();
	}
	return -1;
}

static int color(const struct parser *p, struct format *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (!p->when || !strcmp(p->when, "auto"))
		f->color = isatty(STDOUT_FILENO) && !(no && *no) &&
			   !(term && !strcmp(term, "dumb"));
	else if (!strcmp(p->when, "always"))
		f->color = true;
	else if (strcmp(p->when, "never")) {
		warnx("--color is always, never or auto");
		return usage();
	}
	return -1;
}

int parse_command_line(const struct command **cmd, struct invocation *inv, int argc, char **argv)
{
	struct parser p = { .inv = inv };
	int code = words(&p, argc, argv);

	if (code >= 0)
		return code;
	if (!p.cmd)
		p.cmd = &command_list;
	*cmd = p.cmd;
	code = check(&p);
	return code >= 0 ? code : color(&p, &inv->format);
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
