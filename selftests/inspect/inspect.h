/* SPDX-License-Identifier: MIT */
/* What the tests of ipc-inspect share: running it, and asking questions about its JSON. */
#ifndef SELFTESTS_INSPECT_H
#define SELFTESTS_INSPECT_H

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

/* What became of a program. */
struct run {
	int code;	/* exit code; 128 + signal */
	char *out, *err;
};

__attribute__((unused)) static void skip_without_tool(void)
{
	const char *build = getenv("KIPC_BUILD");
	char path[4096];

	ksft_needs_processes();
	snprintf(path, sizeof(path), "%s/ipc-inspect", build ? build : "out");
	if (access(path, X_OK))
		SKIP("ipc-inspect was not built");
}

/* For users that may not get to where the tool was built: from here on it is run from the inside. */
__attribute__((unused)) static void go_to_the_tool(void)
{
	const char *build = getenv("KIPC_BUILD");

	ASSERT_EQ(0, chdir(build ? build : "out"));
	setenv("KIPC_BUILD", ".", 1);
	setenv("LD_LIBRARY_PATH", ".", 1);
}

static char *slurp(int fd)
{
	struct stat st;
	char *buf;

	ASSERT_EQ(0, fstat(fd, &st));
	buf = calloc(1, (size_t)st.st_size + 1);
	ASSERT_EQ(st.st_size, pread(fd, buf, (size_t)st.st_size, 0));
	close(fd);
	return buf;
}

/*
 * Another user may have no way to where we built: goes there first, and finds program and library by
 * relative names.
 */
static void exec_as(uid_t uid, char *const *argv)
{
	const char *name = strrchr(argv[0], '/') + 1;
	char dir[4096], file[256];

	snprintf(dir, sizeof(dir), "%.*s", (int)(name - argv[0]), argv[0]);
	snprintf(file, sizeof(file), "./%s", name);
	if (!chdir(dir) && !setenv("LD_LIBRARY_PATH", ".", 1) && !setgid(uid) && !setuid(uid))
		execv(file, argv);
}

/* By spawn, since a fork takes slots in managers; another user can't be had by it, though. */
static pid_t start_program(uid_t uid, const int fds[3], char *const *argv)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	if (uid) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (pid)
			return pid;
		for (int i = 0; i < 3; i++)
			dup2(fds[i], i);
		exec_as(uid, argv);
		_exit(127);
	}
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	ASSERT_EQ(0, posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ));
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* Runs argv[0] as that user (0: as we are). */
static struct run run_program(uid_t uid, char *const *argv)
{
	int fds[3], status;
	struct run r;

	for (int i = 0; i < 3; i++) {
		fds[i] = memfd_create("stdio", MFD_CLOEXEC);
		ASSERT_LE(0, fds[i]);
	}
	status = ksft_wait(start_program(uid, fds, argv));
	r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	close(fds[0]);
	r.out = slurp(fds[1]);
	r.err = slurp(fds[2]);
	return r;
}

__attribute__((unused)) static void run_free(struct run *r)
{
	free(r->out);
	free(r->err);
}

/* inspect("list", "-J", ...): ipc-inspect with these arguments. */
#define inspect(...)		inspect_as(0, __VA_ARGS__)
#define inspect_as(uid, ...)	inspect_argv(uid, (char *[]){ NULL, __VA_ARGS__, NULL })

__attribute__((unused)) static struct run inspect_argv(uid_t uid, char **argv)
{
	const char *build = getenv("KIPC_BUILD");
	char path[4096];

	snprintf(path, sizeof(path), "%s/ipc-inspect", build ? build : "out");
	argv[0] = path;
	return run_program(uid, argv);
}

/* "pid:N" for ourselves or another process; valid until the next call. */
__attribute__((unused)) static char *pid_target(pid_t pid)
{
	static char target[32];

	snprintf(target, sizeof(target), "pid:%d", pid);
	return target;
}

/* Python takes its time to start: one for all questions of a test.  It ends when our pipe does. */
static FILE *python_in, *python_out;

static void python_start(void)
{
	static const char loop[] = "import sys, json, traceback\n"
				   "f = sys.stdin.buffer\n"
				   "while line := f.readline():\n"
				   "    n, m = map(int, line.split())\n"
				   "    try:\n"
				   "        d = json.loads(f.read(n)); script = f.read(m)\n"
				   "        objects = d.get('objects')\n"
				   "        o = objects[0] if objects else None\n"
				   "        exec(script, dict(d=d, objects=objects, o=o))\n"
				   "        said = ''\n"
				   "    except BaseException:\n"
				   "        said = traceback.format_exc()\n"
				   "    print(repr(said), flush=True)\n";
	char *argv[] = { "python3", "-c", (char *)loop, NULL };
	int to[2], from[2], fds[3];

	ASSERT_EQ(0, pipe2(to, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(from, O_CLOEXEC));
	fds[0] = to[0];
	fds[1] = from[1];
	fds[2] = 2;
	start_program(0, fds, argv);
	close(to[0]);
	close(from[1]);
	python_in = fdopen(to[1], "w");
	python_out = fdopen(from[0], "r");
}

/*
 * Runs Python's statements over the JSON: d is the document, o its first object, objects all of
 * them.  Whether no assertion failed; what failed is in the log.
 */
__attribute__((unused)) static bool json_holds(const char *json, const char *script)
{
	char *said = NULL;
	size_t size = 0;
	bool ok;

	if (!python_in)
		python_start();
	fprintf(python_in, "%zu %zu\n%s%s", strlen(json), strlen(script), json, script);
	fflush(python_in);
	ok = getline(&said, &size, python_out) > 0 && !strcmp(said, "''\n");
	if (!ok)
		ksft_log("python3: %s\nscript: %s\nof: %s", said ? said : "ended", script, json);
	free(said);
	return ok;
}

#define EXPECT_JSON(json, script)	EXPECT_TRUE(json_holds(json, script))

#endif
