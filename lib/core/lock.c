// SPDX-License-Identifier: MIT
/* The lock's contended paths: see lock.h for the states. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/lock.h"
#include "core/sys.h"

/* A short critical section on another CPU ends sooner than a sleep begins. */
#define LOCK_SPINS	100

static long futex(uint32_t *word, int op, uint32_t val, void *timeout_or_val2, uint32_t *word2,
		  uint32_t val3)
{
	return SYS(syscall(SYS_futex, word, op, val, timeout_or_val2, word2, val3));
}

int __kipc_futex_wait(uint32_t *word, uint32_t val, int64_t timeout_ns)
{
	struct timespec ts = __kipc_timespec(max_of(timeout_ns, (int64_t)0));

	return (int)futex(word, FUTEX_WAIT, val, &ts, NULL, 0);
}

int __kipc_futex_wake(uint32_t *word, int n)
{
	return (int)futex(word, FUTEX_WAKE, (uint32_t)n, NULL, NULL, 0);
}

/* Waits a little for the word to change; what it is then. */
static uint32_t spin(uint32_t *word, uint32_t v)
{
	uint32_t now = v;

	for (int i = 0; i < LOCK_SPINS && (now & KIPC_LOCK_OWNER); i++) {
		cpu_relax();
		now = load_relaxed(word);
	}
	return now;
}

int __kipc_lock_slow(struct kipc_segment *seg, uint32_t *word, int64_t deadline)
{
	int64_t now, look = KIPC_DEADLINE_NEVER;
	uint32_t v = load_relaxed(word), waiters = 0;
	bool spun = false;
	int r;

	for (;;) {
		uint32_t owner = v & KIPC_LOCK_OWNER;

		if (owner > seg->npeers ||
		    (v & ~(KIPC_LOCK_OWNER | KIPC_LOCK_DIED | KIPC_LOCK_WAITERS)) ||
		    (owner && (v & KIPC_LOCK_DIED)))
			return -EPROTO;
		if (!owner) {
			/* who slept can't know whether others still do, so keeps the bit */
			uint32_t to = seg->slot | (v & KIPC_LOCK_WAITERS) | waiters;

			if (!try_cmpxchg(word, &v, to))
				continue;
			KIPC_TRACE(lock_acquire, seg->id, word, seg->base, spun);
			KIPC_POINT("lock.taken_late");
			if (!(v & KIPC_LOCK_DIED))
				return 0;
			KIPC_TRACE(lock_takeover, seg->id, word, seg->base);
			return -EOWNERDEAD;
		}
		if (!spun && deadline) {
			spun = true;
			KIPC_TRACE(lock_wait, seg->id, word, seg->base, owner);
			v = spin(word, v);
			continue;
		}
		if (!deadline) {
			r = __kipc_peer_reap(seg, owner);
			if (r < 0)
				return r;
			/* repaired by us, or by another just now, or given up */
			v = load_relaxed(word);
			if (v & KIPC_LOCK_OWNER)
				return -EAGAIN;
			continue;
		}
		if (!(v & KIPC_LOCK_WAITERS) && !try_cmpxchg(word, &v, v | KIPC_LOCK_WAITERS))
			continue;
		KIPC_POINT("lock.waiters");
		v |= KIPC_LOCK_WAITERS;
		now = __kipc_now_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		if (now >= look) {
			/* by the clock: signals must not put it off */
			r = __kipc_peer_reap(seg, owner);
			if (r < 0)
				return r;
			look = KIPC_DEADLINE_NEVER;
			if (r) {
				v = load_relaxed(word);
				continue;
			}
		}
		look = min_of(look, now + KIPC_OWNER_TICK_NS);
		__kipc_futex_wait(word, v, min_of(deadline, look) - now);
		KIPC_POINT("lock.woken");
		waiters = KIPC_LOCK_WAITERS;
		v = load_relaxed(word);
	}
}

int __kipc_unlock_slow(struct kipc_segment *seg, uint32_t *word)
{
	uint32_t v = load_relaxed(word);

	if ((v & KIPC_LOCK_OWNER) != seg->slot || !seg->slot)
		return -EPERM;
	/*
	 * The kernel stores 0 and wakes one in one call.  Its second wake-up, for which the
	 * operation exists, is ruled out by a comparison that can't hold: the old value isn't 0.
	 */
	KIPC_TRACE(lock_release, seg->id, word, seg->base, 1);
	tsan_release(word);
	if (futex(word, FUTEX_WAKE_OP, 1, NULL, word,
		  FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0)) < 0) {
		/* a sandbox may know only the plain ones */
		xchg(word, 0);
		KIPC_POINT("lock.released_alone");
		__kipc_futex_wake(word, 1);
	}
	KIPC_POINT("lock.handed_on");
	return 0;
}

bool __kipc_lock_repair(uint32_t *word, uint32_t slot)
{
	uint32_t v = load_relaxed(word);

	do {
		if ((v & KIPC_LOCK_OWNER) != slot)
			return false;
	} while (!try_cmpxchg(word, &v, KIPC_LOCK_DIED | (v & KIPC_LOCK_WAITERS)));
	KIPC_POINT("lock.died");
	if (v & KIPC_LOCK_WAITERS) {
		__kipc_futex_wake(word, 1);
		KIPC_POINT("lock.died_told");
	}
	return true;
}
