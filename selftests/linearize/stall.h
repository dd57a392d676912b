/* SPDX-License-Identifier: MIT */
/*
 * Standing still, or dying, after exactly so many instructions: without a debugger, by the trap
 * flag.
 *
 * Calls take well below a microsecond, so by chance two of them hardly ever overlap in the
 * middle, and a kill hardly ever hits one.  Here the thread single-steps itself, a SIGTRAP each
 * instruction, and after the n-th one it waits until others have done something, or kills itself
 * with SIGKILL.
 *
 * x86-64 only; elsewhere stall_arm() does nothing and says so.
 */
#ifndef SELFTESTS_LINEARIZE_STALL_H
#define SELFTESTS_LINEARIZE_STALL_H

#include <signal.h>
#include <stdbool.h>
#include <sys/ucontext.h>
#include <unistd.h>

struct stall {
	long left;		/* instructions */
	void (*then)(void *arg);
	void *arg;
};

#ifdef __x86_64__

#define STALL_TRAP_FLAG		0x100

static __thread volatile struct stall stall;

static void stall_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	bool begins = info->si_code == SI_TKILL;

	(void)sig;
	if (begins || --stall.left > 0) {
		uc->uc_mcontext.gregs[REG_EFL] |= STALL_TRAP_FLAG;
		return;
	}
	uc->uc_mcontext.gregs[REG_EFL] &= ~STALL_TRAP_FLAG;
	if (stall.then)
		stall.then(stall.arg);
	stall.then = NULL;
}

/* Calls then(arg) after n instructions, unless stall_disarm() comes first.  False: not here. */
static inline bool stall_arm(long n, void (*then)(void *arg), void *arg)
{
	struct sigaction sa = { .sa_sigaction = stall_trap, .sa_flags = SA_SIGINFO };

	stall.left = n;
	stall.arg = arg;
	stall.then = then;
	sigaction(SIGTRAP, &sa, NULL);
	raise(SIGTRAP);
	return true;
}

static inline void stall_disarm(void)
{
	/* the next instruction traps and clears the flag */
	stall.then = NULL;
	stall.left = 0;
}

#else

static inline bool stall_arm(long n, void (*then)(void *arg), void *arg)
{
	(void)n, (void)then, (void)arg;
	return false;
}

static inline void stall_disarm(void)
{
}

#endif
#endif
