/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: an eventfd used as a level, with a word in shared memory that spares almost every
 * system call.  (The idea of a sleepers word before the system call is the futex's and the
 * eventcount's; the level that is drained only by those about to sleep is libaio's and KVM's.)
 *
 * Beside what: ring, announce, drain and retract may all run beside each other, in any number.
 *
 *   ring	after the publishing store: if somebody sleeps or watches, and the eventfd is not
 *		signalled, write it, *then* set `signalled`, and only if nobody drained in between
 *		(the sequence in the word would have moved).
 *   drain	become the drainer and clear `signalled` in one CAS; read the eventfd; leave, moving
 *		the sequence.  While there is a drainer, ringers write without setting `signalled`.
 *
 * Invariant: `signalled` and no drainer => the eventfd is readable, or a sleeper that consumed its
 * wake-up is awake and will drain.  "Not signalled but readable" is allowed: it costs one spurious
 * wake-up.
 *
 * Deaths.  A ringer between write and CAS: "readable, not signalled", harmless.  A ringer between
 * publishing and write: as if the publisher had been slower; sleepers look every tick.  A drainer:
 * its slot stands in the word; ringers go on writing; the reaper removes it and rings.  A sleeper
 * after announcing: one extra in the count, which costs one write per drain; the reaper takes back
 * what the peer's record accounts for, which is never more than what it announced.
 */
#ifndef KIPC_CORE_DOORBELL_H
#define KIPC_CORE_DOORBELL_H

#include "core/peer.h"

struct kipc_bell {
	struct kipc_bell_line *line;	/* in shared memory */
	int fd;				/* the eventfd, shared by all processes that have the object;
					   -1: they sleep elsewhere, only their count is kept */
	uint32_t index;			/* which of kipc_peer.sleeping[] counts for it */
	uint64_t id;			/* of its segment */
};

/* A non-blocking, close-on-exec eventfd, or a negative errno. */
int __kipc_bell_eventfd(void);
/* 0 when fd really is an eventfd (one that came from elsewhere), else -EPROTO; makes it
 * non-blocking. */
int __kipc_bell_check_fd(int fd);

/*
 * Notes down which eventfd it is, as the kernel numbers them, so that tools can find it among those
 * of a process.  By the creator, before the segment is published; what can't be found out stays 0.
 */
void __kipc_bell_identify(struct kipc_bell *bell);

__cold void __kipc_bell_ring_slow(struct kipc_bell *bell);

/*
 * Wakes one of those who sleep, if any.  The caller's publishing store must be a seq_cst one
 * (xchg(), cmpxchg()), or be followed by fence_full().
 */
static inline void __kipc_bell_ring(struct kipc_bell *bell)
{
	/* after the publishing store; pairs with: __kipc_bell_announce(), __kipc_bell_watch() */
	uint64_t w = load_seq_cst(&bell->line->word);

	if (likely(!(w & (KIPC_BELL_SLEEPERS | KIPC_BELL_WATCHED))))
		return;
	if ((w & (KIPC_BELL_SIGNALLED | KIPC_BELL_DRAINER)) == KIPC_BELL_SIGNALLED)
		return;
	__kipc_bell_ring_slow(bell);
}

/* Writes the eventfd, signalled or not, if somebody sleeps or watches: after repairs. */
void __kipc_bell_kick(struct kipc_bell *bell);

void __kipc_bell_announce(struct kipc_segment *seg, struct kipc_bell *bell);
void __kipc_bell_retract(struct kipc_segment *seg, struct kipc_bell *bell);

/*
 * Makes the eventfd unreadable, for one about to sleep.  True when that is done; false when another
 * is at it: then the caller may sleep for a moment only, not on the eventfd.
 * If !force, nothing is done when the word says that it isn't signalled.
 */
bool __kipc_bell_drain(struct kipc_segment *seg, struct kipc_bell *bell, bool force);

/* How often it was drained, to be compared for equality alone. */
static inline uint64_t __kipc_bell_seq(const struct kipc_bell *bell)
{
	return load_acquire(&bell->line->word) & ~(KIPC_BELL_SEQ - 1);
}

/* The slot of who drains now, or 0. */
static inline uint32_t __kipc_bell_drainer(const struct kipc_bell *bell)
{
	return (load_relaxed(&bell->line->word) & KIPC_BELL_DRAINER) >> KIPC_BELL_DRAINER_SHIFT;
}

/*
 * For one who polls the eventfd for edges: makes sure that the next ring writes it.  As
 * __kipc_bell_drain() with force, which it need not be when somebody has drained since `seen`, the
 * sequence after the last edge that the caller took.
 *
 * "Not signalled" alone would not do: a ringer whose edge the caller has taken already may be about
 * to say "signalled", and then the next one writes nothing.  But that one has read the word before
 * its edge, so if the sequence has moved since, it fails.
 */
bool __kipc_bell_rearm(struct kipc_segment *seg, struct kipc_bell *bell, uint64_t seen);

/* For kipc_*_fd(): from now on the eventfd is kept up to date for pollers outside the library. */
void __kipc_bell_watch(struct kipc_bell *bell);
static inline bool __kipc_bell_watched(struct kipc_bell *bell)
{
	return load_relaxed(&bell->line->word) & KIPC_BELL_WATCHED;
}

/* Part of reaping: removes what `slot` left in the bell's word, and wakes the sleepers. */
void __kipc_bell_repair(struct kipc_segment *seg, struct kipc_bell *bell, uint32_t slot);

#endif
