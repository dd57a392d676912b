/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction.
 *
 * An operation runs in a child that is single-stepped with ptrace(2).  After each instruction the
 * child is declared dead: what it held is taken back as its death would have it done, and the arena
 * is audited.  Then the shared memory is put back as it was, and the child goes on to the next
 * instruction.  So one run tries all the deaths, at a fortieth of the cost of killing a child for
 * each; run_steps() does kill, for samples that show that the two are the same.
 */
#ifndef SELFTESTS_MANAGER_SINGLESTEP_H
#define SELFTESTS_MANAGER_SINGLESTEP_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/repair.h"
#include "testkind.h"

/* On one CPU: a step takes two switches, and several times as long when they go across. */
static void stay_here(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* A child that stopped before op(arg), and stops after it. */
static pid_t stopped_child(ksft_fn op, void *arg, struct kipc_manager *m, uint32_t *slot)
{
	uint32_t *shared = ksft_shared(4096);
	int status;
	pid_t pid;

	ksft_needs_steps();
	stay_here();
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		pid_t self = getpid();

		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || __kipc_peer_enter(&m->obj.seg))
			ksft_child_exit(77);
		*shared = m->obj.seg.slot;
		syscall(SYS_kill, self, SIGSTOP);
		op(arg);
		syscall(SYS_kill, self, SIGSTOP);
		ksft_child_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	if (WIFEXITED(status))
		SKIP("ptrace(2) is not allowed here");
	ASSERT_TRUE(WIFSTOPPED(status));
	if (slot)
		*slot = *shared;
	return pid;
}

/* One instruction.  False: the operation has ended. */
static bool step_child(pid_t pid)
{
	int status;

	ASSERT_EQ(0, ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	if (WSTOPSIG(status) == SIGSTOP)
		return false;
	ASSERT_EQ(SIGTRAP, WSTOPSIG(status));
	return true;
}

static void end_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
}

/* Runs op(arg) in a child for n instructions, then kills it.  False: it had ended before. */
static __attribute__((unused)) bool run_steps(struct kipc_manager *m, ksft_fn op, void *arg, long n)
{
	pid_t pid = stopped_child(op, arg, m, NULL);
	bool inside = true;

	for (long i = 0; i < n && inside; i++)
		inside = step_child(pid);
	end_child(pid);
	__kipc_peer_sweep(&m->obj.seg, 0);
	return inside;
}

/* ---- shared memory kept and put back ---- */

struct snapshot {
	uint8_t *data;
	uint64_t size;		/* of the spans */
	uint64_t head;		/* bytes of header and the used part of the table */
};

static void snapshot_take(struct kipc_manager *m, struct snapshot *s)
{
	struct kipc_segment *seg = &m->obj.seg;
	uint64_t nspans = __kipc_spans_now(m);
	uint64_t from = seg->body_off, head = (uint8_t *)&m->spans[nspans + 256] - seg->base - from;
	uint64_t size = (nspans << KIPC_SPAN_SHIFT) - m->first_off;

	if (head > m->first_off - from)
		head = m->first_off - from;
	if (!s->data || s->head != head || s->size != size) {
		s->data = realloc(s->data, head + size);
		ASSERT_TRUE(s->data);
	}
	s->head = head;
	s->size = size;
	memcpy(s->data, seg->base + from, head);
	memcpy(s->data + head, seg->base + m->first_off, size);
}

/* Only what changed, a page at a time: most of it didn't. */
static void put_back(uint8_t *to, const uint8_t *from, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += 4096) {
		uint64_t n = len - at < 4096 ? len - at : 4096;

		if (memcmp(to + at, from + at, n))
			memcpy(to + at, from + at, n);
	}
}

static void snapshot_restore(struct kipc_manager *m, struct snapshot *s)
{
	struct kipc_segment *seg = &m->obj.seg;

	put_back(seg->base + seg->body_off, s->data, s->head);
	put_back(seg->base + m->first_off, s->data + s->head, s->size);
}

/*
 * Runs op(arg) in a child that "dies" after every instruction (after every stride-th one once `all`
 * have been tried); after each death the arena is audited and check(arg) is called, which may do what
 * it likes as long as it makes no handles that stay.  Returns the number of deaths.
 */
static __attribute__((unused)) long every_death(struct kipc_manager *m, ksft_fn op,
						void (*check)(void *arg), void *arg, long all,
						long stride)
{
	struct snapshot snap = { 0 };
	long n = 0, deaths = 0;
	uint32_t slot;
	pid_t pid;
	bool ok = true;

	/* the audit's handles need words: not in a table made in shared memory that is put back */
	ASSERT_GE(m->nfree_words, 8);
	if (ksft_slow()) {
		/* sanitizers make ten instructions of one */
		all = 100;
		stride = 37;
	}
	pid = stopped_child(op, arg, m, &slot);
	ASSERT_NE(0, slot);
	while (step_child(pid)) {
		if (++n > all && n % stride)
			continue;
		deaths++;
		snapshot_take(m, &snap);
		ok = EXPECT_GE(__kipc_manager_repair(&m->obj.seg, slot), 0);
		ok = ok && AUDIT(m);
		if (ok && check)
			check(arg);
		snapshot_restore(m, &snap);
		if (!ok) {
			ksft_log("death after %ld instructions", n);
			break;
		}
	}
	ksft_log("%ld instructions, %ld deaths", n, deaths);
	end_child(pid);
	__kipc_peer_sweep(&m->obj.seg, 0);
	free(snap.data);
	return deaths;
}

#endif
