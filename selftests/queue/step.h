/* SPDX-License-Identifier: MIT */
/*
 * A process that is stopped after any number of its instructions (ptrace(2), single steps): to be
 * killed there, or to go on after others have done something.
 */
#ifndef QUEUE_STEP_H
#define QUEUE_STEP_H

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"

struct stepped {
	pid_t pid;
	long steps;		/* instructions that were run one by one */
	struct stepped_shared {
		int result;	/* of op */
		uint32_t ended;
	} *shared;
};

/* On one CPU: a step takes two switches, several times as long when they go across. */
static inline void step_on_one_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* Waits until it stops; false when it is gone. */
static inline bool step_stopped(struct stepped *s)
{
	int status;

	ASSERT_EQ(s->pid, waitpid(s->pid, &status, 0));
	if (WIFSTOPPED(status))
		return true;
	s->pid = 0;
	return false;
}

/*
 * Forks a process that runs prepare(arg), if any, and stops before op(arg).  Both return 0 or what is
 * wrong; of op it is kept as the result.
 */
static inline void step_start(struct stepped *s, ksft_fn prepare, ksft_fn op, void *arg)
{
	ksft_needs_steps();
	if (!s->shared) {
		s->shared = ksft_shared(sizeof(*s->shared));
		step_on_one_cpu();
	}
	s->shared->ended = 0;
	s->steps = 0;
	s->pid = fork();
	ASSERT_GE(s->pid, 0);
	if (!s->pid) {
		pid_t self = getpid();

		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || (prepare && prepare(arg)))
			_exit(1);
		syscall(SYS_kill, self, SIGSTOP);
		s->shared->result = op(arg);
		s->shared->ended = 1;
		syscall(SYS_kill, self, SIGSTOP);
		_exit(0);
	}
	if (!step_stopped(s))
		SKIP("ptrace(2) is not allowed, or there was nothing to step");
}

/* Runs up to n instructions more; whether op is still under way. */
static inline bool step_run(struct stepped *s, long n)
{
	for (; n > 0 && !s->shared->ended; n--, s->steps++) {
		ASSERT_EQ(0, ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL));
		ASSERT_TRUE(step_stopped(s));
	}
	return !s->shared->ended;
}

/* Lets it run freely; it stops, or not, on its own. */
static inline void step_release(struct stepped *s)
{
	if (!s->shared->ended)
		ASSERT_EQ(0, ptrace(PTRACE_CONT, s->pid, NULL, NULL));
}

/* Kills it where it is, running or stopped. */
static inline void step_kill(struct stepped *s)
{
	ksft_kill(s->pid);
	s->pid = 0;
}

/* Waits until op has ended, then kills it: what op returned. */
static inline int step_finish(struct stepped *s)
{
	while (!s->shared->ended) {
		ASSERT_TRUE(step_stopped(s));
		if (!s->shared->ended)
			ASSERT_EQ(0, ptrace(PTRACE_CONT, s->pid, NULL, NULL));
	}
	step_kill(s);
	return s->shared->result;
}

#endif
