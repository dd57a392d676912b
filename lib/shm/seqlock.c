// SPDX-License-Identifier: MIT
/* See seqlock.h for the states and what a death at each step leaves. */
#include <errno.h>
#include <limits.h>

#include "core/lock.h"
#include "core/peer.h"
#include "core/time.h"
#include "shm/seqlock.h"

/* futex(2) compares 32 bits: those that hold the flags and change with every write. */
static uint32_t *seq_futex(const struct kipc_seqlock *sl)
{
	return (uint32_t *)&sl->head->seq;	/* little-endian, as the whole segment */
}

static void wake_readers(struct kipc_seqlock *sl)
{
	__kipc_futex_wake(seq_futex(sl), INT_MAX);
	KIPC_POINT("seq.readers_told");
}

int __kipc_seq_write_begin(struct kipc_seqlock *sl, int64_t timeout_ns)
{
	struct kipc_shm_head *head = sl->head;
	uint64_t s;
	int r;

	if (sl->seg->readonly)
		return -EACCES;
	r = __kipc_lock_acquire(sl->seg, &head->lock, __kipc_deadline(timeout_ns));
	if (r && r != -EOWNERDEAD)
		return r;
	s = load_relaxed(&head->seq);
	if (likely(!(s & KIPC_SHM_SEQ_WRITING))) {
		/*
		 * Nobody else stores to an even seq.  Release: who sees it odd also sees the lock
		 * owned; pairs with: look().
		 */
		store_release(&head->seq, (s & ~KIPC_SHM_SEQ_SLEEPERS) | KIPC_SHM_SEQ_WRITING);
		KIPC_POINT("seq.odd");
		r = 0;
	} else {
		/* still odd, but another number; readers that sleep on it stay accounted for */
		fetch_add(&head->seq, KIPC_SHM_SEQ_STEP);
		KIPC_POINT("seq.odd_again");
		stat_inc(&head->healed);
		r = -EOWNERDEAD;
	}
	/* [B] no byte of the write is seen before the odd seq; pairs with: __kipc_seq_read_retry() */
	fence_release();
	return r;
}

int __kipc_seq_write_end(struct kipc_seqlock *sl)
{
	struct kipc_shm_head *head = sl->head;
	uint64_t s, next;
	int r;

	if (sl->seg->readonly ||
	    (load_relaxed(&head->lock) & KIPC_LOCK_OWNER) != sl->seg->slot)
		return -EPERM;
	s = load_relaxed(&head->seq);
	if (!(s & KIPC_SHM_SEQ_WRITING))
		return -EPERM;	/* another thread of ours is about to begin, or to leave */
	next = (s | KIPC_SHM_SEQ_WRITING | KIPC_SHM_SEQ_SLEEPERS) + 1;
	/* [A] all of the write is seen before the even seq; pairs with: __kipc_seq_read_begin() */
	s = xchg(&head->seq, next);
	KIPC_POINT("seq.even");
	r = __kipc_lock_release(sl->seg, &head->lock);
	if (unlikely(s & KIPC_SHM_SEQ_SLEEPERS))
		wake_readers(sl);
	return r;
}

/*
 * Whether there is a write, and who owns the lock.  Torn is what is odd while the lock has no owner:
 * if seq is the same before and after the look at the lock, it was so at that moment.
 */
static enum kipc_seq_state look(const struct kipc_seqlock *sl, uint64_t *seq, uint32_t *owner)
{
	/* pairs with: __kipc_seq_write_end() [A], and the store of the odd seq */
	uint64_t s = load_acquire(&sl->head->seq);

	*seq = s;
	if (!(s & KIPC_SHM_SEQ_WRITING))
		return KIPC_SEQ_IDLE;
	/* acquire: not after the second look at seq */
	*owner = load_acquire(&sl->head->lock) & KIPC_LOCK_OWNER;
	if (!*owner && !__kipc_seq_read_retry(sl, s))
		return KIPC_SEQ_TORN;
	return KIPC_SEQ_WRITING;
}

enum kipc_seq_state __kipc_seq_look(const struct kipc_seqlock *sl, uint64_t *seq)
{
	uint32_t owner;

	return look(sl, seq, &owner);
}

static bool no_writer(void *arg)
{
	const struct kipc_seqlock *sl = arg;

	/* only a hint: relaxed, the caller looks again */
	return !(load_relaxed(&sl->head->seq) & KIPC_SHM_SEQ_WRITING);
}

/* Until the write that seq belongs to is over; at most as long as a wait for an owner may last. */
static void sleep_on(struct kipc_seqlock *sl, uint64_t seq, int64_t ns)
{
	uint64_t want = seq | KIPC_SHM_SEQ_SLEEPERS;

	if (sl->seg->readonly) {
		/* can't announce itself, so nobody will wake it */
		__kipc_futex_wait(seq_futex(sl), (uint32_t)seq, min_of(ns, NSEC_PER_MSEC));
		return;
	}
	if (!(seq & KIPC_SHM_SEQ_SLEEPERS) && !cmpxchg(&sl->head->seq, seq, want))
		return;
	KIPC_POINT("seq.sleeper");
	__kipc_futex_wait(seq_futex(sl), (uint32_t)want, min_of(ns, KIPC_OWNER_TICK_NS));
	KIPC_POINT("seq.woken");
}

/*
 * For who can't reap: whether the write that seq belongs to is that of a dead process.  A slot that
 * is used anew has been repaired before, and its next write has another seq.
 */
static bool dead_writer(struct kipc_seqlock *sl, uint64_t seq, uint32_t owner)
{
	return !__kipc_peer_alive(sl->seg, owner) &&
	       (load_acquire(&sl->head->lock) & KIPC_LOCK_OWNER) == owner &&
	       !__kipc_seq_read_retry(sl, seq);
}

__cold int __kipc_seq_read_slow(struct kipc_seqlock *sl, uint64_t *seq, int64_t timeout_ns)
{
	int64_t deadline = __kipc_deadline(timeout_ns), now;
	uint32_t owner = 0, reaped = 0;
	uint64_t s;
	int r;

	if (deadline)
		__kipc_spin_until(&sl->spin, no_writer, sl);
	for (;;) {
		switch (look(sl, &s, &owner)) {
		case KIPC_SEQ_IDLE:
			*seq = s;
			return 0;
		case KIPC_SEQ_TORN:
			*seq = s;
			return -EOWNERDEAD;
		case KIPC_SEQ_WRITING:
			break;
		}
		if (owner && sl->seg->readonly && dead_writer(sl, s, owner)) {
			*seq = s;
			return -EOWNERDEAD;
		}
		/* NOWAIT asks as well: else it would be told -EAGAIN for ever */
		if (owner && owner != sl->seg->slot && !sl->seg->readonly) {
			r = __kipc_peer_reap(sl->seg, owner);
			if (r < 0)
				return r;
			if (r && reaped++ < KIPC_PEER_MAX)
				continue;
		}
		if (!deadline)
			return -EAGAIN;
		now = __kipc_now_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		sleep_on(sl, s, deadline - now);
	}
}

int __kipc_seq_repair(struct kipc_seqlock *sl, uint32_t slot)
{
	uint64_t s;

	if (!__kipc_lock_repair(&sl->head->lock, slot))
		return 0;
	/* a repairer that dies here leaves the readers to their 10 ms */
	s = fetch_and(&sl->head->seq, ~KIPC_SHM_SEQ_SLEEPERS);
	KIPC_POINT("seq.repaired");
	if (s & KIPC_SHM_SEQ_SLEEPERS)
		wake_readers(sl);
	return 1;
}
