/* SPDX-License-Identifier: MIT */
/*
 * The reader-writer lock of shared memory and arrays: any number of processes share it, or one has
 * it alone; whoever dies with it gives it back.
 *
 * A reader writes one word, its own slot's: how many threads of its process hold the lock.  So each
 * hold is accounted for to a slot by the very store that makes it one, readers of different
 * processes don't meet in any cache line, and there is no count of all of them that a death could
 * make wrong.  A writer closes a gate and then looks at all of those words.  (Readers that announce
 * themselves where only the writer looks are Linux's brlock and percpu_rw_semaphore; that readers
 * and writers take turns is the "phase-fair" lock of Brandenburg and Anderson, "Reader-writer
 * synchronization for shared-memory multiprocessor real-time systems", ECRTS 2009.)
 *
 * The words, in struct kipc_shm_head and behind it:
 *
 *	rw_lock		a lock word (core/lock.h): the writer that is in or waits for readers to leave;
 *			the others wait here
 *	gate		what readers look at; changed by the holder of rw_lock alone, but for SLEEPERS
 *	    0, TORN		open
 *	    slot		closing: a writer waits until those that are in have left
 *	    slot | IN		a writer is in
 *	    TORN beside it	a writer died in, and nobody has written since
 *	    SLEEPERS beside it	readers sleep on the word (a futex)
 *	reader[slot].held	threads of that process that hold it shared, or wait for their turn
 *
 * A reader adds itself, then looks at the gate.  Open: it is in.  A writer is in: it has its turn
 * as soon as that one leaves, since the next one would have to wait for it: it stays in the count,
 * and waits.  Closing: the writer may have looked at our word already, so the reader takes itself
 * away and tries again later.  A writer closes the gate, then looks at the words.  Both are "store,
 * then load" of two words, sequentially consistent: at least one of the two sees the other.
 *
 * Nobody starves: a closed gate lets no reader in before the writer; a reader that is in the count
 * is let in before the next writer.  What can happen is that a reader finds the gate closing
 * several times, each time for another writer.
 *
 * Deaths.  A reader: its word is set to 0, wherever it was.  A writer with rw_lock and an open
 * gate: nothing has happened, or it had finished.  While closing: the gate opens.  While it is in:
 * the gate opens with TORN, and everybody who gets the lock is told -EOWNERDEAD until a writer
 * unlocks.  The repairer opens the gate first and gives up rw_lock last, so that whoever has
 * rw_lock finds a gate of nobody's; if it dies in between, the next one does both again.  Whoever
 * waits looks every 10 ms whether the process that it waits for lives.
 *
 * Cost, nobody in the way: a reader two atomic operations on a line of its own process's (12 ns
 * together when measured); a writer four, and a look at each slot that was ever used (25 ns).
 *
 * Not recursive, not even shared, since a writer may come in between.  Fork: a child holds nothing.
 * Not async-signal-safe.
 */
#ifndef KIPC_SHM_RWLOCK_H
#define KIPC_SHM_RWLOCK_H

#include <errno.h>

#include "core/peer.h"
#include "core/wait.h"
#include "uapi/kipc/shm.h"

struct kipc_rwlock {
	struct kipc_segment *seg;
	struct kipc_shm_head *head;		/* in shared memory */
	struct kipc_shm_reader *readers;	/* ... slot s at s - 1 */
	struct kipc_spin gate_spin, drain_spin;
};

/* Errors of these three: kipc/shm.h, kipc_shm_lock_shared() and its like.  The caller has entered. */
__cold int __kipc_rw_shared_slow(struct kipc_rwlock *rw, uint32_t gate, int64_t timeout_ns);
int __kipc_rw_exclusive(struct kipc_rwlock *rw, int64_t timeout_ns);
int __kipc_rw_unlock(struct kipc_rwlock *rw);

static inline uint32_t *__kipc_rw_held(const struct kipc_rwlock *rw, uint32_t slot)
{
	return &rw->readers[slot - 1].held;
}

static inline int __kipc_rw_shared(struct kipc_rwlock *rw, int64_t timeout_ns)
{
	uint32_t gate;

	if (unlikely(rw->seg->readonly))
		return -EACCES;
	fetch_add(__kipc_rw_held(rw, rw->seg->slot), 1);
	KIPC_POINT("rw.counted");
	/* [A] after that; pairs with: close_gate(), drain() */
	gate = load_seq_cst(&rw->head->gate);
	if (likely(!gate))
		return 0;
	return __kipc_rw_shared_slow(rw, gate, timeout_ns);
}

/* For repair(): takes back what `slot` holds; how many claims that were.  Idempotent. */
int __kipc_rw_repair(struct kipc_rwlock *rw, uint32_t slot);

/* What it looks like right now, for display. */
struct kipc_rw_look {
	uint32_t shared;	/* threads that hold it, or have a turn */
	bool exclusive;		/* a writer is in */
	bool torn;
};
struct kipc_rw_look __kipc_rw_look(const struct kipc_rwlock *rw);

#endif
