/* SPDX-License-Identifier: MIT */
/* Shared between the harness's files; no test includes it. */
#ifndef KSFT_INTERNAL_H
#define KSFT_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * What became of the test that runs now. Lies in a MAP_SHARED page made before the test's process is
 * forked. Written by the test's threads and descendants; read by the runner once all are dead.
 */
struct ksft_state {
	unsigned int failures; /* atomic */
	unsigned int logged;   /* atomic; failures that were printed */
	bool checked;	       /* some check was made */
	bool skipped;
	bool xfail;
	bool returned; /* the test's process went through the end of the test */
	char reason[256];
};

extern struct ksft_state *ksft_state;

/* The test's own process and thread; 0 in the runner. */
extern pid_t ksft_test_pid;

/* Count a failure and print it. When fatal, don't return: end the test, the thread's or the child. */
void ksft_fail(const char *file, int line, bool fatal, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A check was made. */
void ksft_checked(void);
/* End the test's body now: back to the harness when in the test's own thread, else end the process. */
void ksft_bail_out(void) __attribute__((noreturn));

/* Flush, and end the process at once: what it inherited, or a failed test left, is no leak of its own. */
void ksft_exit(int code) __attribute__((noreturn));

/* kselftest_harness.c */
void ksft_unwind(void) __attribute__((noreturn));

bool ksft_is_tsan(void);

#endif /* KSFT_INTERNAL_H */
