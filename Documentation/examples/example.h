/* SPDX-License-Identifier: MIT */
/* What the examples share, so that each shows libkipc and little else. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kipc/base.h>

/* Ends the process when a call of the library failed; passes its result on otherwise. */
static inline long check(long result, const char *call)
{
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", call, kipc_strerror((int)result));
		exit(1);
	}
	return result;
}

/* --tutorial-pace on the command line: the pauses that the tutorial's programs make. */
static int tutorial_pace;

static inline void set_pace(int argc, char **argv)
{
	/* a line at a time, so that the output of two processes doesn't get mixed up in a pipe */
	setvbuf(stdout, NULL, _IOLBF, 0);
	tutorial_pace = argc > 1 && !strcmp(argv[1], "--tutorial-pace");
}

static inline void pause_for(double seconds)
{
	struct timespec ts = { .tv_sec = (time_t)seconds,
			       .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	if (tutorial_pace)
		nanosleep(&ts, NULL);
}

/* Process(target=fn, args=(arg,)).start(): a child that runs fn(arg) and ends. */
static inline pid_t start(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0) {
		fn(arg);
		exit(0);
	}
	return pid;
}

/* Process.join(): 0 when it ended well. */
static inline int join(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

#endif
