/* SPDX-License-Identifier: MIT */
/*
 * The lock: one 32-bit futex word in shared memory that holds its owner's slot.
 *
 *	0			free
 *	slot			held by a process
 *	slot | WAITERS		held, and somebody may sleep in futex(2)
 *	DIED, DIED | WAITERS	free, but its last owner died holding it
 *
 * Acquire is one CAS 0 -> slot, release one CAS slot -> 0; a release with WAITERS is one
 * FUTEX_WAKE_OP, in which the kernel stores 0 and wakes one waiter together, so that no death can
 * separate the two.  A waiter sleeps 10 ms at a time and asks the kernel whether the owner's slot
 * lives; a dead one is reaped, which turns its locks into DIED (the kind's repair() calls
 * __kipc_lock_repair() for each lock word).  Whoever acquires a DIED lock is told -EOWNERDEAD and
 * holds it: a container's lock is then rolled forward or back, a user's lock hands the news on.  If
 * that one dies too, its own slot stands in the word, and the next is told the same.
 *
 * A lock belongs to a process: any thread may release it.  Not recursive.  Async-signal: no.
 * Memory order: acquire and release as usual; both are full barriers in fact.
 */
#ifndef KIPC_CORE_LOCK_H
#define KIPC_CORE_LOCK_H

#include "core/peer.h"
#include "core/time.h"

__cold int __kipc_lock_slow(struct kipc_segment *seg, uint32_t *word, int64_t deadline);
__cold int __kipc_unlock_slow(struct kipc_segment *seg, uint32_t *word);

/*
 * 0: held.  -EOWNERDEAD: held, and the last owner died holding it.  -EAGAIN (deadline 0: KIPC_NOWAIT)
 * and -ETIMEDOUT: not held.  -EPROTO: the word makes no sense.  The caller has entered the segment
 * (__kipc_peer_enter()).
 */
static inline int __kipc_lock_acquire(struct kipc_segment *seg, uint32_t *word, int64_t deadline)
{
	if (likely(cmpxchg(word, 0u, seg->slot))) {
		KIPC_TRACE(lock_acquire, seg->id, word, seg->base, 0);
		KIPC_POINT("lock.taken");
		return 0;
	}
	return __kipc_lock_slow(seg, word, deadline);
}

/* 0, or -EPERM when this process doesn't hold it. */
static inline int __kipc_lock_release(struct kipc_segment *seg, uint32_t *word)
{
	if (likely(cmpxchg(word, seg->slot, 0u))) {
		KIPC_TRACE(lock_release, seg->id, word, seg->base, 0);
		KIPC_POINT("lock.released");
		return 0;
	}
	return __kipc_unlock_slow(seg, word);
}

/* For a kind's repair(): if `slot` holds the lock, makes it DIED and wakes one; whether it did. */
bool __kipc_lock_repair(uint32_t *word, uint32_t slot);

/* futex(2) in its shared form.  0, or a negative errno (-EAGAIN, -ETIMEDOUT, -EINTR). */
int __kipc_futex_wait(uint32_t *word, uint32_t val, int64_t timeout_ns);
int __kipc_futex_wake(uint32_t *word, int n);

#endif
