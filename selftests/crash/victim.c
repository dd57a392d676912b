// SPDX-License-Identifier: MIT
/* Stepping, walking and killing: see victim.h.  What depends on the machine stands first. */
#include "victim.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <elf.h>
#include <unistd.h>

#if defined(__x86_64__)
#define BREAK_LEN	1
#define BREAK_WORD	0xccUL
#define BREAK_SKIPPED	1	/* bytes that the address stands behind the breakpoint when it hit */

uint64_t victim_pc(const struct victim *v)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, v->pid, offsetof(struct user, regs.rip), NULL);
}

static void set_pc(struct victim *v, uint64_t pc)
{
	ptrace(PTRACE_POKEUSER, v->pid, offsetof(struct user, regs.rip), pc);
}

/* Where the function returns to whose first instruction is the next. */
static uint64_t return_address(const struct victim *v)
{
	uint64_t sp = (uint64_t)ptrace(PTRACE_PEEKUSER, v->pid, offsetof(struct user, regs.rsp), NULL);

	return (uint64_t)ptrace(PTRACE_PEEKDATA, v->pid, sp, NULL);
}

bool victim_pc_is_syscall(uint64_t pc)
{
	return !memcmp((const void *)pc, "\x0f\x05", 2);
}
#elif defined(__aarch64__)
#define BREAK_LEN	4
#define BREAK_WORD	0xd4200000UL	/* brk #0 */
#define BREAK_SKIPPED	0

static void regs(const struct victim *v, int request, struct user_regs_struct *r)
{
	struct iovec iov = { r, sizeof(*r) };

	ptrace(request, v->pid, NT_PRSTATUS, &iov);
}

uint64_t victim_pc(const struct victim *v)
{
	struct user_regs_struct r = { 0 };

	regs(v, PTRACE_GETREGSET, &r);
	return r.pc;
}

static void set_pc(struct victim *v, uint64_t pc)
{
	struct user_regs_struct r = { 0 };

	regs(v, PTRACE_GETREGSET, &r);
	r.pc = pc;
	regs(v, PTRACE_SETREGSET, &r);
}

static uint64_t return_address(const struct victim *v)
{
	struct user_regs_struct r = { 0 };

	regs(v, PTRACE_GETREGSET, &r);
	return r.regs[30];
}

bool victim_pc_is_syscall(uint64_t pc)
{
	uint32_t insn;

	memcpy(&insn, (const void *)pc, sizeof(insn));
	return insn == 0xd4000001;	/* svc #0 */
}
#else
#error "single steps are known for x86-64 and arm64"
#endif

#define BREAK_MASK	((BREAK_LEN == 1) ? 0xffUL : 0xffffffffUL)

/* The operation has ended when a victim comes here. */
static __attribute__((noinline)) void end_mark(void)
{
	__asm__ volatile("" ::: "memory");
}

static _Noreturn void victim_main(const struct victim_spec *spec)
{
	pid_t self = (pid_t)syscall(SYS_getpid);

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(77);
	if (spec->ready && spec->ready())
		_exit(78);
	syscall(SYS_kill, self, SIGSTOP);
	*spec->result = spec->op();
	end_mark();
	_exit(0);
}

static bool stopped(struct victim *v, int *sig)
{
	int status;

	if (waitpid(v->pid, &status, 0) != v->pid || !WIFSTOPPED(status)) {
		*sig = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
		v->pid = 0;
		return false;
	}
	*sig = WSTOPSIG(status);
	return true;
}

int victim_start(struct victim *v, const struct victim_spec *spec)
{
	int sig;

	v->ended = false;
	*spec->result = 0;
	v->pid = spec->bare ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
	if (v->pid < 0)
		return -errno;
	if (!v->pid)
		victim_main(spec);
	if (!stopped(v, &sig))
		return sig == 77 ? -EPERM : -ECHILD;
	if (sig != SIGSTOP)
		return -ECHILD;
	ptrace(PTRACE_SETOPTIONS, v->pid, NULL, PTRACE_O_EXITKILL);
	return 0;
}

static int resume(struct victim *v, int request)
{
	int sig;

	if (ptrace(request, v->pid, NULL, NULL))
		return -errno;
	for (;;) {
		if (!stopped(v, &sig))
			return -ECHILD;
		if (sig == SIGTRAP)
			return 0;
		/* a signal of its own, say SIGSEGV: it dies of it */
		if (ptrace(request, v->pid, NULL, sig))
			return -errno;
	}
}

static long plant(struct victim *v, uint64_t pc)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, v->pid, pc, NULL);
	ptrace(PTRACE_POKETEXT, v->pid, pc, (long)(((unsigned long)word & ~BREAK_MASK) | BREAK_WORD));
	return word;
}

static void unplant(struct victim *v, uint64_t pc, long word)
{
	ptrace(PTRACE_POKETEXT, v->pid, pc, word);
}

/*
 * The vdso counts as one instruction: it reads the clock in a loop that ends when no tick came in
 * between, which single steps may be too slow for, and it changes nothing.
 */
static bool in_vdso(uint64_t pc)
{
	uint64_t start = getauxval(AT_SYSINFO_EHDR);

	return start && pc >= start && pc - start < 8192;
}

static int leave_vdso(struct victim *v)
{
	uint64_t back = return_address(v);
	long word = plant(v, back);
	int r = resume(v, PTRACE_CONT);

	if (r)
		return r;
	if (victim_pc(v) - BREAK_SKIPPED != back)
		return -EPROTO;
	set_pc(v, back);
	unplant(v, back, word);
	return 0;
}

int victim_step(struct victim *v)
{
	int r = resume(v, PTRACE_SINGLESTEP);

	if (!r && in_vdso(victim_pc(v)))
		r = leave_vdso(v);
	if (r)
		return r;
	v->ended = victim_pc(v) == (uint64_t)(uintptr_t)end_mark;
	return !v->ended;
}

/* ---- the way to a point ---- */

struct place {
	uint64_t pc;
	uint32_t n;
};

static int by_pc(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->pc != y->pc)
		return x->pc < y->pc ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

#define HIT_COST 3	/* stops that a passed breakpoint takes */

void trace_plan(struct trace *t)
{
	struct place *p = calloc(t->len + 1, sizeof(*p));
	uint32_t *occ = calloc(t->len + 1, sizeof(*occ));
	uint32_t cost = 0;

	if (!p || !occ)
		abort();
	for (uint32_t i = 0; i <= t->len; i++)
		p[i] = (struct place){ t->pc[i], i };
	qsort(p, t->len + 1, sizeof(*p), by_pc);
	for (uint32_t i = 0; i <= t->len; i++)
		occ[p[i].n] = i && p[i].pc == p[i - 1].pc ? occ[p[i - 1].n] + 1 : 1;
	for (uint32_t i = 0; i <= t->len; i++) {
		if (i && cost + 1 <= occ[i] * HIT_COST) {
			cost++;
			t->anchor[i] = t->anchor[i - 1];
			t->occurrence[i] = t->occurrence[i - 1];
		} else {
			cost = i ? occ[i] * HIT_COST : 0;
			t->anchor[i] = i;
			t->occurrence[i] = occ[i];
		}
	}
	free(p);
	free(occ);
}

/* To where pc is the next instruction for the count-th time, the start included. */
static int run_to(struct victim *v, uint64_t pc, uint32_t count)
{
	uint64_t end = (uint64_t)(uintptr_t)end_mark, at = victim_pc(v);
	long end_word, word = 0;
	int r = 0;

	if (at == pc && !--count)
		return 0;
	end_word = plant(v, end);
	for (;;) {
		if (at == pc) {
			r = victim_step(v);
			if (r <= 0) {
				r = r ? r : -EAGAIN;
				break;
			}
		}
		word = plant(v, pc);
		r = resume(v, PTRACE_CONT);
		if (r)
			return r;
		at = victim_pc(v) - BREAK_SKIPPED;
		set_pc(v, at);
		unplant(v, pc, word);
		if (at == end) {
			v->ended = true;
			r = -EAGAIN;
			break;
		}
		if (at != pc)
			return -EPROTO;
		if (!--count)
			break;
	}
	if (r >= 0 || r == -EAGAIN)
		unplant(v, end, end_word);
	return r < 0 ? r : 0;
}

static int run_to_end(struct victim *v)
{
	uint64_t end = (uint64_t)(uintptr_t)end_mark;
	long word = plant(v, end);
	int r = resume(v, PTRACE_CONT);

	if (r)
		return r;
	if (victim_pc(v) - BREAK_SKIPPED != end)
		return -EPROTO;
	set_pc(v, end);
	unplant(v, end, word);
	v->ended = true;
	return 0;
}

int victim_walk(struct victim *v, const struct trace *t, uint32_t n)
{
	uint32_t from = t->anchor[n];
	int r;

	if (n == t->len)
		return run_to_end(v);
	r = from ? run_to(v, t->pc[from], t->occurrence[from]) : 0;
	for (; !r && from < n; from++) {
		r = victim_step(v);
		if (!r)
			return -EAGAIN;
		r = r < 0 ? r : 0;
	}
	return r;
}

void victim_kill(struct victim *v)
{
	int status;

	if (!v->pid)
		return;
	kill(v->pid, SIGKILL);
	do
		waitpid(v->pid, &status, 0);
	while (WIFSTOPPED(status));
	v->pid = 0;
}
