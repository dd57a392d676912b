/* SPDX-License-Identifier: MIT */
/*
 * Peers: the processes attached to a segment, and the proof of their death.
 *
 * States of a slot, all moved only by the holder of its lock byte (an OFD write lock):
 *
 *	byte free,   FREE	unused
 *	byte locked, FREE	being taken, or just repaired; a death here leaves "unused"
 *	byte locked, LIVE	its process lives (or a repairer is at work on it)
 *	byte free,   LIVE	its process died: whoever meets a claim of it repairs the slot
 *
 * To repair a slot is to take its lock byte through our own description, let the kind take back all
 * that the slot held, store FREE and give up the byte.  The kernel's lock makes the repairer unique
 * among processes, seg->peer_mutex among the threads of one.  A repairer that dies gives up the byte
 * with the slot still LIVE: the next one begins again.  So a slot is used anew only after all that
 * it held is repaired, and no stale finding "slot 7 is dead" can harm its next owner: nothing is
 * repaired without the byte.
 *
 * Fork: pthread_atfork() handlers close the child's copy of lock_fd (it would keep the parent's
 * slot alive beyond its death) and the child takes a slot at its first use.  A bare clone(2) that
 * runs no handlers is noticed at its first use, by a page that the kernel wipes in children
 * (MADV_WIPEONFORK); until then it keeps its parent's slot alive.
 *
 * Locking order: peer_mutex -> registry mutex (fork).  Not async-signal-safe.
 */
#ifndef KIPC_CORE_PEER_H
#define KIPC_CORE_PEER_H

#include "core/segment.h"

/*
 * The wiped page: the process's epoch, 0 in a fresh child; behind it, who looks after that.  Never
 * NULL once a segment exists.
 */
extern uint64_t *__kipc_fork_epoch;

#define KIPC_EPOCH_NONE	UINT64_MAX	/* of a segment that isn't attached; no process's */

/* Takes a slot.  0, -EUSERS when all are in use, -EMFILE, -ENOENT (/proc isn't mounted). */
int __kipc_peer_attach(struct kipc_segment *seg);
/* Repairs what we still hold and gives the slot back; for good, no child will look for it. */
void __kipc_peer_detach(struct kipc_segment *seg);

int __kipc_peer_enter_slow(struct kipc_segment *seg);

/*
 * To be called at the start of every operation: makes sure that this process has a slot of its own
 * (it may be a fork child).  0, or what __kipc_peer_attach() says; -EACCES when the segment is open
 * for reading only: so nothing stores to such a one by mistake.
 */
static inline int __kipc_peer_enter(struct kipc_segment *seg)
{
	if (likely(load_relaxed(__kipc_fork_epoch) == load_acquire(&seg->epoch)))
		return 0;
	return __kipc_peer_enter_slow(seg);
}

/* The same for an operation that stores nothing to the segment. */
static inline int __kipc_peer_enter_read(struct kipc_segment *seg)
{
	if (likely(load_relaxed(__kipc_fork_epoch) == load_acquire(&seg->epoch)))
		return 0;
	return seg->readonly ? 0 : __kipc_peer_enter_slow(seg);
}

/* The same for what kinds that have readers (segment.h) do for these as well. */
static inline int __kipc_peer_enter_any(struct kipc_segment *seg)
{
	return seg->ops->readers ? __kipc_peer_enter_read(seg) : __kipc_peer_enter(seg);
}

/* The slot's shared record; NULL when slot is out of range. */
static inline struct kipc_peer *__kipc_peer(const struct kipc_segment *seg, uint32_t slot)
{
	if (unlikely(slot == 0 || slot > seg->npeers))
		return NULL;
	return (struct kipc_peer *)(seg->base + KIPC_SEG_PEERS_OFF) + (slot - 1);
}

/* No slot above this was ever used: what to look through. */
static inline uint32_t __kipc_peer_high(const struct kipc_segment *seg)
{
	uint32_t high = load_relaxed(&seg->hdr->peer_high);

	return high < seg->npeers ? high : seg->npeers;
}

/* Slots in use, those of the dead that nobody has repaired yet included. */
uint32_t __kipc_peer_count(const struct kipc_segment *seg);

/* Whether the slot's byte is locked.  Our own slot is alive; one out of range is dead. */
bool __kipc_peer_alive(struct kipc_segment *seg, uint32_t slot);

/*
 * If the slot's process is dead: repairs all that it held.  1 when something was repaired just now,
 * 0 when the slot is alive, unused or being repaired by somebody else, or when another thread of ours
 * is attaching or repairing; -EPROTO for a slot number that can't be; other errors of the kind's
 * repair().  One system call when it is alive.  May be called with library locks held; never waits
 * for another process or thread.
 */
int __kipc_peer_reap(struct kipc_segment *seg, uint32_t slot);

/*
 * Looks for dead slots and repairs them, unless somebody did so less than min_interval_ns ago
 * (0: always).  Returns how many were repaired.  For every waiter's tick.
 */
int __kipc_peer_sweep(struct kipc_segment *seg, int64_t min_interval_ns);

/*
 * Takes a slot for a fork child that doesn't exist yet: lock_fd is a description that the child will
 * have alone, *slot the slot that it locks.  0, -EUSERS or what fcntl(2) says.
 */
int __kipc_peer_take_for(struct kipc_segment *seg, int lock_fd, uint32_t *slot);
/* In that child: lock_fd and slot are this process's own. */
int __kipc_peer_adopt(struct kipc_segment *seg, int lock_fd, uint32_t slot);

/* fork.c.  Sets the epoch and the handlers up, once a process: 0 or a negative errno. */
int __kipc_fork_init(void);
/* The segment's lock_fd, a description of our own, which a child must close: 0 or a negative errno. */
int __kipc_fork_open_lock_fd(struct kipc_segment *seg);
/* Closes it; forget: the segment itself is about to go. */
void __kipc_fork_close_lock_fd(struct kipc_segment *seg, bool forget);
/* What the child's handler does, for a child that was made behind pthread_atfork()'s back. */
void __kipc_fork_late(void);

static inline void __kipc_fork_check(void)
{
	if (unlikely(!load_acquire(__kipc_fork_epoch)))	/* pairs with: in_child() */
		__kipc_fork_late();
}

#endif
