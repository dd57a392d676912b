// SPDX-License-Identifier: MIT
/*
 * kipcd: see kipcd.h.
 *
 * Three ways to be started: by the library (--ready-fd), which wants a daemon and no trace of its
 * own process in it; by the service manager, with a socket; by hand, in the background or not.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kipc/names.h>
#include <kipc/version.h>

#include "tools/kipcd/kipcd.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct option_row {
	char letter;
	const char *name, *arg, *help;
};

static const struct option_row rows[] = {
	{ 'd', "runtime-dir", "DIR", "the runtime folder (else as kipc_names(7) says)" },
	{ 'f', "foreground", NULL, "stay in the foreground" },
	{ 'i', "idle", "MS", "end after so long with nothing to hold (1000)" },
	{ 'o', "user-objects", "N", "named objects of one user (4096)" },
	{ 'b', "user-bytes", "N[KMGT]", "bytes of the objects of one user (0: no limit)" },
	{ 'c', "user-clients", "N", "connections of one user (1024)" },
	{ 'm', "max-objects", "N", "named objects of all users (65536)" },
	{ 'r', "ready-fd", "FD", "for libkipc: where to say that it listens" },
	{ 'h', "help", NULL, "this text" },
	{ 'V', "version", NULL, "the version" },
};
#define NROWS	(sizeof(rows) / sizeof(rows[0]))

struct start {
	bool foreground;
	int ready;		/* -1, or where one byte says how it went */
	bool by_library;
};

static void help(void)
{
	puts("Usage: kipcd [OPTIONS]\n\n"
	     "The broker of libkipc's named objects.  Nobody needs to start it: the first use of a\n"
	     "name does.\n\nOptions:");
	for (size_t i = 0; i < NROWS; i++) {
		char name[40];

		snprintf(name, sizeof(name), "-%c, --%s%s%s", rows[i].letter, rows[i].name,
			 rows[i].arg ? "=" : "", rows[i].arg ? rows[i].arg : "");
		printf("  %-28s %s\n", name, rows[i].help);
	}
	puts("\nExit status: 0 ended or another one is there, 1 failed, 2 usage.");
}

static int usage(void)
{
	fputs("Try 'kipcd --help'.\n", stderr);
	return EXIT_USAGE;
}

/* A number with a suffix, if one may be there. */
static bool number(const char *text, bool suffix, uint64_t max, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	unsigned int shift = 0;
	const char *s;
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || end == text || *text < '0' || *text > '9')
		return false;
	if (suffix && *end && (s = strchr(suffixes, *end))) {
		shift = 10 * (unsigned int)(s - suffixes + 1);
		end++;
	}
	if (*end || *value > UINT64_MAX >> shift)
		return false;
	*value <<= shift;
	return *value <= max;
}

/* -1: go on, else the exit code. */
static int option(struct broker *b, struct start *start, int c)
{
	uint64_t n = 0;
	bool ok = true;

	switch (c) {
	case 'd':
		b->runtime_dir = optarg;
		ok = *optarg == '/';
		break;
	case 'f':
		start->foreground = true;
		break;
	case 'i':
		ok = number(optarg, false, 86400000, &n);
		b->idle_ns = (int64_t)n * NSEC_PER_MSEC;
		break;
	case 'o':
		ok = number(optarg, false, UINT32_MAX, &n);
		b->limits.user_objects = (uint32_t)n;
		break;
	case 'b':
		ok = number(optarg, true, UINT64_MAX, &b->limits.user_bytes);
		break;
	case 'c':
		ok = number(optarg, false, UINT32_MAX, &n) && n;
		b->limits.user_clients = (uint32_t)n;
		break;
	case 'm':
		ok = number(optarg, false, UINT32_MAX, &n);
		b->limits.objects = (uint32_t)n;
		break;
	case 'r':
		ok = number(optarg, false, INT_MAX, &n) && n > STDERR_FILENO;
		start->ready = (int)n;
		start->by_library = true;
		break;
	case 'h':
		help();
		return EXIT_OK;
	case 'V':
		printf("kipcd %d.%d.%d\n", KIPC_VERSION_MAJOR, KIPC_VERSION_MINOR,
		       KIPC_VERSION_PATCH);
		return EXIT_OK;
	default:
		return usage();
	}
	if (!ok) {
		warnx("'%s' can't be the value of -%c", optarg, c);
		return usage();
	}
	return -1;
}

static int parse(struct broker *b, struct start *start, int argc, char **argv)
{
	struct option longs[NROWS + 1] = { 0 };
	char shorts[2 * NROWS + 1] = "", *s = shorts;
	int c, code = -1;

	for (size_t i = 0; i < NROWS; i++) {
		longs[i] = (struct option){
			.name = rows[i].name,
			.has_arg = rows[i].arg ? required_argument : no_argument,
			.val = rows[i].letter,
		};
		*s++ = rows[i].letter;
		if (rows[i].arg)
			*s++ = ':';
	}
	while (code < 0 && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1)
		code = option(b, start, c);
	if (code < 0 && optind < argc) {
		warnx("'%s' is too much", argv[optind]);
		code = usage();
	}
	return code;
}

/* ---- what this process is like ---- */

/* Whatever the process that started us had done to its signals. */
static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Started by a set-user-ID program: its user, and nobody else, has a hand on us from now on. */
static void one_user(void)
{
	gid_t gid = getegid();
	uid_t uid = geteuid();

	if (!getauxval(AT_SECURE))
		return;
	if (setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		err(EXIT_FAILED, "giving up the caller's user");
}

static void raise_descriptors(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* Of our starter's descriptors we keep `ready`, where there is one, and nothing else. */
static void close_all_but(int ready)
{
	if (ready > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned int)ready - 1, 0);
	close_range((unsigned int)(ready < 0 ? STDERR_FILENO : ready) + 1, ~0U, 0);
	if (ready >= 0)
		fcntl(ready, F_SETFD, FD_CLOEXEC);
}

static void detach_output(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
}

static void say(struct start *start, char how)
{
	if (start->ready < 0)
		return;
	/* who asked may be gone */
	if (write(start->ready, &how, 1) != 1)
		warn("ready");
	close(start->ready);
	start->ready = -1;
}

/*
 * By hand, in the background: the first process waits for what the second says, and ends.  Only the
 * second returns.
 */
static void background(struct start *start)
{
	int fds[2];
	char how;

	if (pipe2(fds, O_CLOEXEC))
		err(EXIT_FAILED, "pipe");
	switch (fork()) {
	case -1:
		err(EXIT_FAILED, "fork");
	case 0:
		break;
	default:
		close(fds[1]);
		_exit(read(fds[0], &how, 1) == 1 && how == '+' ? EXIT_OK : EXIT_FAILED);
	}
	close(fds[0]);
	start->ready = fds[1];
}

/* ---- the start ---- */

static int find_dir(struct broker *b)
{
	static char path[PATH_MAX];
	int r;

	if (b->runtime_dir)
		return 0;
	r = kipc_names_dir(path, sizeof(path));
	if (r)
		warnx("the runtime folder: %s", kipc_strerror(r));
	b->runtime_dir = path;
	return r;
}

/* 0: ready.  1: there is another broker.  activated: descriptors that the service manager passed. */
static int start_broker(struct broker *b, int activated)
{
	int r;

	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (b->epoll < 0 ||
	    getrandom(&b->id, sizeof(b->id), 0) != (ssize_t)sizeof(b->id)) {
		r = -errno;
		warn("start");
		return r;
	}
	b->id |= 1;
	if (activated) {
		store_begin();
		r = store_load(b, activated);
		if (r)
			warnx("the service manager passed no socket");
	} else {
		r = listen_dir(b);
		if (!r)
			r = listen_lock(b);
		if (!r)
			r = ledger_load(b);
		if (!r)
			adopt(b);
	}
	return r ? r : listen_start(b);
}

int main(int argc, char **argv)
{
	struct broker b = {
		.limits = {
			.objects = 65536,
			.user_objects = 4096,
			.user_clients = 1024,
		},
		.idle_ns = NSEC_PER_SEC,
		.epoll = -1,
		.dir = -1,
		.listen = -1,
		.ledger = -1,
	};
	struct start start = { .ready = -1 };
	int code, activated, r = 0;

	one_user();
	code = parse(&b, &start, argc, argv);
	if (code >= 0)
		return code;
	b.clients.last = &b.clients.first;
	reset_signals();
	raise_descriptors();
	umask(077);
	activated = store_activated();
	if (!activated) {
		close_all_but(start.ready);
		r = find_dir(&b);
		if (!r && !start.foreground) {
			if (!start.by_library)
				background(&start);
			setsid();
			if (start.by_library)
				detach_output();
		}
	}
	if (!r)
		r = start_broker(&b, activated);
	say(&start, r < 0 ? '-' : '+');
	if (r)
		return r < 0 ? EXIT_FAILED : EXIT_OK;
	store_ready();
	if (!start.foreground && !activated) {
		detach_output();
		if (chdir("/"))
			warn("/");
	}
	r = loop_run(&b);
	listen_end(&b);
	table_end(&b);
	return r ? EXIT_FAILED : EXIT_OK;
}
