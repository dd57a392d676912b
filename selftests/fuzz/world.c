// SPDX-License-Identifier: MIT
/*
 * The world as the library sees it under a fuzz target: linked with --wrap for clock_gettime(),
 * syscall(), ppoll(), mmap() and munmap().
 *
 * Sleeping costs no time: futex(2) and ppoll(2) return at once, and the clock has moved.  So a wait
 * of a minute is a few microseconds, and one that never ends is seen: too many waits for one word, or
 * polls in vain.  A peer may be waited for without end where the interface says so, while it lives: the
 * holder of a lock, the sender of a pipe's stream.  So the one lets go some time, the other hangs up.
 *
 * Mappings of files have guard pages before and behind them, so that an access outside of the
 * segment can't hit something else.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/atomic.h"
#include "fuzz.h"
#include "uapi/kipc/segment.h"
#include "uapi/kipc/shm.h"
#include "world.h"

#define LETS_GO		20	/* waits for a live owner before it gives up the lock */
#define HANGS_UP	200	/* polls in vain in a row before the pipe's other end is gone */
#define ENDLESS		5000	/* waits in one input for one word: that is no progress */

#define GUARD		65536UL
#define MAPS_MAX	64
#define SLOTS_MAX	8

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
long __real_syscall(long nr, ...);
int __real_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *set);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int __real_munmap(void *addr, size_t len);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
long __wrap_syscall(long nr, ...);
int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *set);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int __wrap_munmap(void *addr, size_t len);

static __thread bool inside;	/* this thread runs an input */
static int64_t moved_ns;	/* how far the clock is ahead */
static uint32_t live[SLOTS_MAX];
static unsigned int nlive;
static uint32_t *last_word;
static unsigned int streak;	/* waits for last_word in a row */
static unsigned int idle;	/* polls in vain in a row */
static int peer_sock;		/* a half of the pipe's socket, or -1 */

static struct {
	void *addr;
	size_t len;
	void *room;	/* with its guards */
	size_t room_len;
	bool readonly;
} maps[MAPS_MAX];

void fuzz_world_begin(void)
{
	inside = true;
	nlive = 0;
	last_word = NULL;
	streak = 0;
	idle = 0;
	peer_sock = -1;
}

void fuzz_world_end(void)
{
	inside = false;
}

bool fuzz_world_inside(void)
{
	return inside;
}

bool fuzz_world_ours(const void *addr)
{
	for (int i = 0; i < MAPS_MAX; i++)
		if ((uintptr_t)addr - (uintptr_t)maps[i].addr < maps[i].len && !maps[i].readonly)
			return true;
	return false;
}

void fuzz_world_live(uint32_t slot)
{
	if (slot && nlive < SLOTS_MAX)
		live[nlive++] = slot;
}

void fuzz_world_peer(int sock)
{
	peer_sock = sock;
}

/* ---- time ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = __real_clock_gettime(clock, ts);

	if (!r && inside && clock == CLOCK_MONOTONIC) {
		int64_t ns = ts->tv_nsec + moved_ns % 1000000000;

		ts->tv_sec += moved_ns / 1000000000 + ns / 1000000000;
		ts->tv_nsec = ns % 1000000000;
	}
	return r;
}

static void pass(const struct timespec *ts)
{
	/* a second at most, as the library never sleeps longer */
	if (ts->tv_sec)
		moved_ns += 1000000000;
	else
		moved_ns += ts->tv_nsec + 1000;
}

int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *set)
{
	static const struct timespec zero;
	int r = __real_ppoll(fds, n, inside ? &zero : ts, set);

	if (!inside)
		return r;
	idle = r ? 0 : idle + 1;
	if (!r) {
		fuzz_assert(ts);	/* rule 7: no wait is unbounded */
		pass(ts);
	}
	if (idle == HANGS_UP && peer_sock >= 0)
		shutdown(peer_sock, SHUT_RDWR);
	fuzz_assert(idle < ENDLESS);
	return r;
}

/* Whose lock is it, if it is one? */
static bool live_owner(uint32_t v)
{
	if (v & ~(KIPC_LOCK_OWNER | KIPC_LOCK_WAITERS | KIPC_LOCK_DIED | KIPC_SHM_GATE_IN))
		return false;
	for (unsigned int i = 0; i < nlive; i++)
		if ((v & KIPC_LOCK_OWNER) == live[i])
			return true;
	return false;
}

static long wait_for(uint32_t *word, uint32_t val, const struct timespec *ts)
{
	/* what the kernel reads: an address that isn't mapped would be -EFAULT there, a crash here */
	if (load_relaxed(word) != val) {
		errno = EAGAIN;
		return -1;
	}
	fuzz_assert(ts);
	pass(ts);
	streak = word == last_word ? streak + 1 : 1;
	last_word = word;
	/* a reader's mapping is none that an owner could use */
	if (streak % LETS_GO == 0 && live_owner(val) && fuzz_world_ours(word))
		cmpxchg(word, val, val & KIPC_LOCK_WAITERS);
	fuzz_assert(streak < ENDLESS);
	errno = ETIMEDOUT;
	return -1;
}

long __wrap_syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (inside && nr == SYS_futex && (int)a[1] == FUTEX_WAIT)
		return wait_for((uint32_t *)a[0], (uint32_t)a[2], (const struct timespec *)a[3]);
	return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- memory ---- */

/* The mapping that has all of it, or -1. */
static int find_map(const void *addr, size_t len)
{
	for (int i = 0; i < MAPS_MAX; i++) {
		size_t off = (size_t)((uintptr_t)addr - (uintptr_t)maps[i].addr);

		if (maps[i].addr && off < maps[i].len && len <= maps[i].len - off)
			return i;
	}
	return -1;
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	char *room;
	void *p;
	int i = 0;

	while (i < MAPS_MAX && maps[i].addr)
		i++;
	if (inside && addr) {
		/* into address space that was reserved before */
		i = find_map(addr, len);
		p = __real_mmap(addr, len, prot, flags, fd, off);
		if (i >= 0 && p != MAP_FAILED)
			maps[i].readonly = prot == PROT_READ;
		return p;
	}
	if (!inside || !len || i == MAPS_MAX)
		return __real_mmap(addr, len, prot, flags, fd, off);
	len = align_up(len, 4096UL);
	room = __real_mmap(NULL, len + 2 * GUARD, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return MAP_FAILED;
	p = __real_mmap(room + GUARD, len, prot, flags | MAP_FIXED, fd, off);
	if (p == MAP_FAILED) {
		int saved = errno;

		__real_munmap(room, len + 2 * GUARD);
		errno = saved;
		return MAP_FAILED;
	}
	maps[i].addr = p;
	maps[i].len = len;
	maps[i].room = room;
	maps[i].room_len = len + 2 * GUARD;
	maps[i].readonly = prot == PROT_READ;
	return p;
}

/* All of a mapping, or its beginning or its end, which become guard pages. */
int __wrap_munmap(void *addr, size_t len)
{
	int i = inside ? find_map(addr, 1) : -1;
	char *start;

	if (i < 0)
		return __real_munmap(addr, len);
	len = align_up(len, 4096UL);
	start = maps[i].addr;
	if (addr == start && len == maps[i].len) {
		maps[i].addr = NULL;
		maps[i].len = 0;
		return __real_munmap(maps[i].room, maps[i].room_len);
	}
	fuzz_assert(len < maps[i].len);
	fuzz_assert(addr == start || (char *)addr + len == start + maps[i].len);
	if (addr == start)
		maps[i].addr = start + len;
	maps[i].len -= len;
	return __real_mmap(addr, len, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
			       MAP_FAILED ?
		       -1 :
		       0;
}
