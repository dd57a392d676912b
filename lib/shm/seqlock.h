/* SPDX-License-Identifier: MIT */
/*
 * The sequence lock of shared memory and arrays: writers exclude each other by a robust lock and
 * number their writes; readers copy without a lock and look at the number before and after.  (The
 * idea is Linux's seqlock_t; the fences are those of Boehm, "Can seqlocks get along with programming
 * language memory models?", MSPC 2012, section 4.)
 *
 * May run beside each other: any number of readers, and of writers that want in.  Progress: a reader
 * writes nothing to shared memory unless it is about to sleep, and never delays a writer.
 *
 * The states, of `seq` (a number and two bits, uapi/kipc/shm.h) and `lock`:
 *
 *	seq even, lock 0		idle
 *	seq even, lock owned		a writer came in, or is about to leave: nothing written
 *	seq odd,  lock owned		writing
 *	seq odd,  lock DIED or 0	torn: the last writer died while writing
 *
 * The writer moves them: take the lock; make seq odd; (write); make seq even, the next number; give
 * up the lock.  What its death leaves: while the lock is owned and seq even, whole data and a lock
 * that the reaper makes DIED; the next writer heals that silently.  While seq is odd, torn data: the
 * reaper makes the lock DIED and wakes the readers, who see "odd without an owner" and report it; the
 * next writer moves seq to the next *odd* number, so that a reader who looks at torn data on purpose
 * notices, and is told -EOWNERDEAD.  If that one dies as well, all this holds again.
 *
 * A reader that must sleep sets the SLEEPERS bit by a CAS on the odd seq that it saw, and sleeps on
 * it.  The writer ends its write by an exchange, so it sees every such bit: no wake-up is lost.  A
 * reader that dies asleep leaves the bit: one futex(2) call too many.  Readers look every 10 ms
 * whether the writer lives.
 *
 * Fork: a child holds nothing of what its parent holds.  Not async-signal-safe.
 */
#ifndef KIPC_SHM_SEQLOCK_H
#define KIPC_SHM_SEQLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/segment.h"
#include "core/wait.h"
#include "uapi/kipc/shm.h"

struct kipc_seqlock {
	struct kipc_segment *seg;
	struct kipc_shm_head *head;	/* in shared memory */
	struct kipc_spin spin;		/* of the readers of this process */
};

/* Errors and results of these four: kipc/shm.h.  The caller has entered the segment. */
int __kipc_seq_write_begin(struct kipc_seqlock *sl, int64_t timeout_ns);
int __kipc_seq_write_end(struct kipc_seqlock *sl);
__cold int __kipc_seq_read_slow(struct kipc_seqlock *sl, uint64_t *seq, int64_t timeout_ns);

static inline int __kipc_seq_read_begin(struct kipc_seqlock *sl, uint64_t *seq, int64_t timeout_ns)
{
	/* pairs with: __kipc_seq_write_end() [A]: what was written before is seen */
	uint64_t s = load_acquire(&sl->head->seq);

	if (unlikely(s & KIPC_SHM_SEQ_WRITING))
		return __kipc_seq_read_slow(sl, seq, timeout_ns);
	*seq = s;
	return 0;
}

static inline bool __kipc_seq_read_retry(const struct kipc_seqlock *sl, uint64_t seq)
{
	/*
	 * Pairs with: the fence in __kipc_seq_write_begin() [B].  If any load before this line saw
	 * a byte of a write, the load after it sees that write's seq, or a later one.
	 */
	fence_acquire();
	return (load_relaxed(&sl->head->seq) & ~KIPC_SHM_SEQ_SLEEPERS) !=
	       (seq & ~KIPC_SHM_SEQ_SLEEPERS);
}

/* For repair(): takes back what `slot` holds; how many claims that were, 0 or 1.  Idempotent. */
int __kipc_seq_repair(struct kipc_seqlock *sl, uint32_t slot);

enum kipc_seq_state { KIPC_SEQ_IDLE, KIPC_SEQ_WRITING, KIPC_SEQ_TORN };

/* What it looks like right now, for display; *seq as it was then. */
enum kipc_seq_state __kipc_seq_look(const struct kipc_seqlock *sl, uint64_t *seq);

#endif
