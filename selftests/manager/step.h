/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction.
 *
 * An operation runs in a child, one instruction at a time (ptrace).  After each of them the segment
 * stands as it would if the child had been killed there; so a copy of it is opened as a manager of
 * its own (no slot of it is alive, so all that was held is found dead), and a check looks at what a
 * survivor would find.  That costs one pass over the operation instead of one child for every
 * instruction, and shows the same: what a death leaves is the memory, and the locks of the slots,
 * which the copy has none of.
 *
 * In the copy, only what is reached by a name survives: the handles' owners are all "dead".
 *
 * A look costs half a millisecond, so the tests of the suite look after every few instructions
 * where an operation has many; with KSFT_EVERY_STEP=1 in the environment, after each.
 */
#ifndef SELFTESTS_MANAGER_STEP_H
#define SELFTESTS_MANAGER_STEP_H

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kipc/manager.h>

#include "kselftest_harness.h"
#include "manager/audit.h"

struct step {
	struct kipc_manager *m;
	int (*op)(void *arg);	/* in the child; 0 */
	/*
	 * Looks at the copy after the at-th instruction, in the test's process.  The copy is closed
	 * afterwards.
	 */
	void (*check)(struct kipc_manager *copy, unsigned long at, void *arg);
	void *arg;
	unsigned long stride;	/* look after every so many instructions; 0: each */
	unsigned long kill_at;	/* kill the child after so many instructions; 0: never */
	/*
	 * Look at all copies when the child is done: for a check that forks.  (Its children join
	 * the first manager as well, where the stopped child may hold a lock.)
	 */
	bool late;

	int copy_fd;		/* private to what follows; 0 at first */
	uint8_t *copy;
	size_t copy_size;
	unsigned long copies;
	struct step_image *images;
};

struct step_image {
	struct step_image *next;
	unsigned long at;
	size_t size;
	uint8_t bytes[];
};

/*
 * At the start of a test that steps: a sanitizer makes ten instructions of one, so only the tests
 * that are worth most, which don't say this, are run with one.
 */
#define STEP_SKIP_SLOW()                                                                           \
	do {                                                                                       \
		if (ksft_slow())                                                                   \
			SKIP("a sanitizer's instructions are too many to step over");              \
	} while (0)

/* Nothing is wrong in the arena. */
static __ksft_unused bool step_audit(struct kipc_manager *m)
{
	struct kipc_arena_report rep;
	int r = __kipc_arena_audit(m, &rep);

	if (EXPECT_EQ(0, r))
		return true;
	ksft_log("audit: %s", rep.first);
	return false;
}

/* A small manager: copied in no time. */
static __ksft_unused struct kipc_manager *step_manager(void)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_peers = 8, .size = 448 << 10, .max_size = 8 << 20);
	struct kipc_manager *m;

	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &m));
	return m;
}

/* Whether the page at off holds anything: what is in free spans is of no value. */
static __ksft_unused bool step_used(struct step *s, const uint8_t *from, size_t off)
{
	uint64_t span = off >> KIPC_SPAN_SHIFT;
	struct kipc_span d;

	if (span < s->m->first_span)
		return true;
	memcpy(&d, from + ((uint8_t *)&s->m->spans[span] - s->m->obj.seg.base), sizeof(d));
	return KIPC_SPAN_STATE(d.head) != KIPC_SPAN_FREE;
}

/* Brings the copy up to date. */
static __ksft_unused void step_update(struct step *s, const uint8_t *from)
{
	for (size_t i = 0; i < s->copy_size; i += 4096)
		if (step_used(s, from, i) && memcmp(s->copy + i, from + i, 4096))
			memcpy(s->copy + i, from + i, 4096);
}

/* Maps in one go what is used of it: a fault a page would take most of the time. */
static __ksft_unused void step_populate(struct step *s, uint8_t *at)
{
	size_t from, to;

	for (from = 0; from < s->copy_size; from = to + 4096) {
		for (to = from; to < s->copy_size && step_used(s, s->copy, to) &&
				(s->copy[to] || memcmp(s->copy + to, s->copy + to + 1, 4095));)
			to += 4096;
		if (to > from)
			madvise(at + from, to - from, 23 /* MADV_POPULATE_WRITE */);
	}
}

/* A manager that is a copy of these bytes of a segment. */
static __ksft_unused struct kipc_manager *step_open(struct step *s, const uint8_t *from,
						    size_t size)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_transfer t = { .nfds = 1 };
	struct kipc_manager *copy;
	struct kipc_object *obj;

	if (s->copy_size != size) {
		if (s->copy) {
			munmap(s->copy, s->copy_size);
			close(s->copy_fd);
		}
		s->copy_fd = memfd_create("kipc:copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		ASSERT_GE(s->copy_fd, 0);
		ASSERT_EQ(0, ftruncate(s->copy_fd, size));
		s->copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->copy_fd, 0);
		ASSERT_TRUE(s->copy != MAP_FAILED);
		ASSERT_EQ(0, fcntl(s->copy_fd, F_ADD_SEALS, F_SEAL_SHRINK));
		s->copy_size = size;
	}
	step_update(s, from);
	t.fds[0] = dup(s->copy_fd);
	ASSERT_GE(t.fds[0], 0);
	ASSERT_EQ(0, __kipc_manager_object.import(&t, &obj));
	copy = container_of(obj, struct kipc_manager, obj);
	step_populate(s, copy->obj.seg.base);
	/* finds the dead at once; now and then they are left to be found by who waits for them */
	if (s->copies++ % 64)
		ASSERT_EQ(0, kipc_manager_stat(copy, &st));
	return copy;
}

static __ksft_unused void step_look(struct step *s, const uint8_t *from, size_t size,
				    unsigned long at)
{
	struct kipc_manager *copy = step_open(s, from, size);

	s->check(copy, at, s->arg);
	kipc_manager_close(copy);
}

/* The child stands still after its at-th instruction. */
static __ksft_unused void step_at(struct step *s, unsigned long at)
{
	uint8_t *from = s->m->obj.seg.base;
	off_t size = lseek(s->m->obj.seg.fd, 0, SEEK_END);
	struct step_image *image;

	ASSERT_GT(size, 0);
	if (!s->late) {
		step_look(s, from, size, at);
		return;
	}
	image = malloc(sizeof(*image) + size);
	ASSERT_TRUE(image != NULL);
	image->next = s->images;
	image->at = at;
	image->size = size;
	memcpy(image->bytes, from, size);
	s->images = image;
}

static __ksft_unused int step_child(void *arg)
{
	struct step *s = arg;
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	int r;

	/* a slot of our own before the first instruction that counts */
	r = kipc_manager_stat(s->m, &st);
	if (r || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return r ? r : 99;
	raise(SIGSTOP);
	r = s->op(s->arg);
	raise(SIGSTOP);
	return r;
}

/* Runs it; the number of instructions, those of the stop before it included. */
static __ksft_unused unsigned long step_run(struct step *s)
{
	bool each = s->stride <= 1 || (getenv("KSFT_EVERY_STEP") && !s->late);
	cpu_set_t before, one;
	unsigned long n = 0;
	int status;
	pid_t pid;

	ksft_needs_steps();
	/* a step takes two switches, several times as long when they go across CPUs */
	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	pid = ksft_fork(step_child, s);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		SKIP("ptrace(2) is not allowed here");
	ASSERT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	for (;;) {
		ASSERT_EQ(0, ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			break;
		n++;
		if (n == s->kill_at) {
			ksft_kill(pid);
			sched_setaffinity(0, sizeof(before), &before);
			return n;
		}
		if (s->check && (each || n % s->stride == 0))
			step_at(s, n);
	}
	ASSERT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
	ksft_join(pid);
	sched_setaffinity(0, sizeof(before), &before);
	while (s->images) {
		struct step_image *image = s->images;

		step_look(s, image->bytes, image->size, image->at);
		s->images = image->next;
		free(image);
	}
	if (s->copy) {
		munmap(s->copy, s->copy_size);
		close(s->copy_fd);
		s->copy = NULL;
		s->copy_size = 0;
	}
	return n;
}

#endif
