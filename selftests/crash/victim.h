/* SPDX-License-Identifier: MIT */
/*
 * Victims: processes that run one operation and are killed after exactly n of its instructions.
 *
 * A victim stops itself before the operation; from there it is stepped (PTRACE_SINGLESTEP), which
 * records its trace: the address of every instruction.  To get to instruction n again in a fresh
 * victim it is not stepped n times: a breakpoint is put at an instruction that the trace passes
 * seldom, and the few that are left are stepped.  So a kill point costs about the same wherever in
 * the operation it is.
 *
 * Where a victim does not follow the trace (a spin loop that ran longer) the walk says so, and the
 * caller steps instead.
 */
#ifndef SELFTESTS_CRASH_VICTIM_H
#define SELFTESTS_CRASH_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TRACE_MAX	(4u << 20)	/* instructions of one operation */

/* In memory that is shared by the runner and its worlds. */
struct trace {
	uint32_t len;			/* instructions of the operation */
	uint64_t pc[TRACE_MAX + 1];	/* after so many of them: the next one */
	uint8_t visible[TRACE_MAX + 1];	/* the last of them changed what others can see */
	/* The way to each point: from this earlier one, which a breakpoint finds at its occurrence. */
	uint32_t anchor[TRACE_MAX + 1];
	uint32_t occurrence[TRACE_MAX + 1];
};

struct victim {
	pid_t pid;
	bool ended;	/* the operation has */
};

struct victim_spec {
	int (*ready)(void);	/* before the first instruction that counts; NULL: nothing */
	int (*op)(void);
	bool bare;		/* made by a bare clone(2): no handlers of fork(2) run */
	int *result;		/* in shared memory: what op returned */
};

/* 0: it stands before the first instruction.  -EPERM: ptrace(2) is refused; others: errors. */
int victim_start(struct victim *v, const struct victim_spec *spec);

/* Executes one instruction: 1; 0: the operation has ended; negative: it is gone. */
int victim_step(struct victim *v);

/* The address of the next instruction. */
uint64_t victim_pc(const struct victim *v);

/* Whether the instruction there is a system call; the text is ours, too. */
bool victim_pc_is_syscall(uint64_t pc);

/* Finds the cheapest way to each point of a trace whose pc[] is complete. */
void trace_plan(struct trace *t);

/*
 * From the start to after n instructions: 0; -EAGAIN: it did not follow the trace, and has ended;
 * other: it is gone.
 */
int victim_walk(struct victim *v, const struct trace *t, uint32_t n);

/* kill -9, and waits until the kernel has taken it apart. */
void victim_kill(struct victim *v);

#endif
