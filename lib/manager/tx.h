/* SPDX-License-Identifier: MIT */
/*
 * Guards and transactions: how a container changes so that a death leaves it old or new.
 *
 * A guard (struct kipc_guard, one in every object's header, more where a kind wants stripes) is a
 * lock word, a state, a sequence for optimistic readers, and the word of a redo record (struct
 * kipc_tx) that is allocated when first needed.
 *
 * States of guard.state, moved by the holder of guard.lock:
 *
 *	NONE -> OPEN	__kipc_tx_begin().  Blocks and references that the operation takes are owned
 *			by the words tx.made[], its writes and what it will free are only recorded.
 *			A death here frees what made[] owns; the container is as it was.
 *	OPEN -> COMMIT	__kipc_tx_commit(), one store: it has happened.  made[] means nothing any
 *			more (the writes link what was made), the sequence goes odd, the writes are
 *			made, the sequence goes even, dropped[] is freed.  A death here: the next
 *			holder does all of it again.
 *	COMMIT -> NONE	all done.
 *	OPEN -> NONE	__kipc_tx_abort()
 *
 * Who repairs: whoever takes guard.lock next, told by -EOWNERDEAD or by a state that isn't NONE;
 * and whoever destroys the object.
 *
 * The short way.  A change that becomes visible with ONE 8-byte store needs no transaction: take the
 * guard, prepare what nobody looks at yet, store_release() the word, release the guard.  Example:
 * append of an int to a list: slot[len] = {tag, payload}, then len + 1.  What a death leaves in the
 * prepared place is taken back by kipc_obj_type.recover(), which runs after a death (only), with
 * the sequence odd.
 * If optimistic readers may see the place, wrap the stores in __kipc_guard_seq_begin()/_end().
 *
 * Readers: seq = __kipc_guard_read_begin(g); follow checked offsets a bounded number of steps, copy
 * out; if __kipc_guard_read_retry(g, seq), try again; after a few times take the guard.
 *
 * Beside what: everything here but the reader's pair is for the holder of the guard.
 */
#ifndef KIPC_MANAGER_TX_H
#define KIPC_MANAGER_TX_H

#include "manager/arena.h"

struct kipc_handle;

/*
 * What a word owns, bits 0..7 of the `kind` beside it.  From KIPC_OWN_TYPE(obj_kind, k) on, the
 * object kind's own: its release() and mark() are called with the whole `kind`.
 */
enum kipc_own {
	KIPC_OWN_NOTHING	= 0,
	KIPC_OWN_BLOCK		= 1,	/* a block that owns nothing itself */
	KIPC_OWN_REF		= 2,	/* a reference to an object */
	KIPC_OWN_SLOTS		= 3,	/* a block of slots; bits 8..15: bytes before the first slot,
					   in units of 16; bits 16..63: number of slots */
	KIPC_OWN_WORDS		= 4,	/* a block of words that own KIPC_OWN_BLOCKs; bits as above */
};
#define KIPC_OWN_SLOTS_AT(skip, n)	(KIPC_OWN_SLOTS | (uint64_t)((skip) / 16) << 8 | (uint64_t)(n) << 16)
#define KIPC_OWN_WORDS_AT(skip, n)	(KIPC_OWN_WORDS | (uint64_t)((skip) / 16) << 8 | (uint64_t)(n) << 16)
/* obj_kind: enum kipc_obj_kind; k: 0..7 */
#define KIPC_OWN_TYPE(obj_kind, k)	(128 | ((obj_kind) << 3) | (k))
#define KIPC_OWN_TYPE_OBJ(kind)		((uint32_t)((kind) & 0x78) >> 3)
#define KIPC_OWN_TYPE_K(kind)		((uint32_t)((kind) & 7))

/*
 * Takes a guard of the object o, recovering it after a death.  0: held, state is NONE and the
 * sequence even; -EPROTO (damage): not held.
 * The caller has entered the segment and checked the handle (__kipc_handle_enter()).
 */
__cold int __kipc_guard_lock_slow(struct kipc_manager *m, struct kipc_obj_header *o,
				  struct kipc_guard *g, bool held);
static inline int __kipc_guard_lock(struct kipc_manager *m, struct kipc_obj_header *o,
				    struct kipc_guard *g)
{
	/* pairs with: __kipc_guard_unlock() */
	bool held = cmpxchg(&g->lock, 0u, m->obj.seg.slot);

	if (likely(held)) {
		KIPC_TRACE(lock_acquire, m->obj.seg.id, &g->lock, m->obj.seg.base, 0);
		KIPC_POINT("guard.locked");
	}
	if (likely(held && load_relaxed(&g->state) == KIPC_TX_NONE && !(load_relaxed(&g->seq) & 1)))
		return 0;
	return __kipc_guard_lock_slow(m, o, g, held);
}

static inline void __kipc_guard_unlock(struct kipc_manager *m, struct kipc_guard *g)
{
	__kipc_lock_release(&m->obj.seg, &g->lock);
}

/* For readers without the guard: the sequence; odd: a writer is at work (or died at it). */
static inline uint64_t __kipc_guard_read_begin(const struct kipc_guard *g)
{
	return load_acquire(&g->seq);	/* pairs with: __kipc_guard_seq_end() */
}

/* True: what was read since begin() may be torn.  An odd seq always is. */
static inline bool __kipc_guard_read_retry(const struct kipc_guard *g, uint64_t seq)
{
	fence_acquire();	/* pairs with: __kipc_guard_seq_begin() */
	return (seq & 1) || load_relaxed(&g->seq) != seq;
}

/* Around stores that readers may see half of; the holder of the guard. */
static inline void __kipc_guard_seq_begin(struct kipc_guard *g)
{
	store_relaxed(&g->seq, load_relaxed(&g->seq) | 1);
	fence_release();	/* pairs with: __kipc_guard_read_retry() */
	KIPC_POINT("guard.odd");
}

static inline void __kipc_guard_seq_end(struct kipc_guard *g)
{
	/* pairs with: __kipc_guard_read_begin() */
	store_release(&g->seq, (load_relaxed(&g->seq) | 1) + 1);
	KIPC_POINT("guard.even");
}

/*
 * Begins a transaction under the held guard: *tx is its record, empty.  0, -ENOMEM (the record could
 * not be allocated), -EPROTO.  To be ended by __kipc_tx_commit() or __kipc_tx_abort().
 */
int __kipc_tx_begin(struct kipc_manager *m, struct kipc_guard *g, struct kipc_tx **tx);

/*
 * Notes that `val` is to be stored at off on commit.  At most KIPC_TX_WRITES of them, made in this
 * order; -EOVERFLOW: no room (a mistake of the caller: plan for fewer).
 */
static inline int __kipc_tx_write(struct kipc_tx *tx, uint64_t off, uint64_t val)
{
	uint32_t n = tx->nwrites;

	if (unlikely(n >= KIPC_TX_WRITES))
		return -EOVERFLOW;
	tx->writes[n].off = off;
	tx->writes[n].val = val;
	tx->nwrites = n + 1;
	return 0;
}

/*
 * Notes that whatever `word` (a value, not an offset) owns is to be freed after a commit.  The
 * writes must take it out of where it stands now.  -EOVERFLOW as above.  Word 0 is ignored.
 */
static inline int __kipc_tx_drop(struct kipc_tx *tx, uint64_t kind, uint64_t word)
{
	uint32_t n = tx->ndropped;

	if (!word || kind == KIPC_OWN_NOTHING)
		return 0;
	if (unlikely(n >= KIPC_TX_DROPPED))
		return -EOVERFLOW;
	tx->dropped[n].word = word;
	tx->dropped[n].kind = kind;
	tx->ndropped = n + 1;
	return 0;
}

/*
 * A fresh owner word of the record for something of that kind: its offset, to be given to
 * __kipc_arena_alloc() and others.  0: no room.  If the kind says that the block owns more (slots,
 * words, the kind's own), the block must be so that release() can walk it at any moment: zalloc it.
 */
static inline uint64_t __kipc_tx_made(struct kipc_manager *m, struct kipc_tx *tx, uint64_t kind)
{
	uint32_t n = tx->nmade;

	if (unlikely(n >= KIPC_TX_MADE))
		return 0;
	store_relaxed(&tx->made[n].word, 0);
	store_relaxed(&tx->made[n].kind, kind);
	step();		/* counted only when it is empty */
	store_relaxed(&tx->nmade, n + 1);
	step();
	KIPC_POINT("tx.made");
	return __kipc_arena_off(m, &tx->made[n].word);
}

/* made() and alloc() (zeroed or not): 0 and *off the block, or -ENOMEM, -EOVERFLOW, -EPROTO. */
int __kipc_tx_alloc(struct kipc_manager *m, struct kipc_tx *tx, uint64_t kind, uint64_t size,
		    bool zero, uint64_t *off);

/*
 * Commits: from here on it has happened.  0, state is NONE, the guard still held.  -EPROTO: damage (a
 * write outside the arena, something dropped that isn't there); the state stays, so that everybody
 * who takes the guard from now on is told the same.
 */
int __kipc_tx_commit(struct kipc_manager *m, struct kipc_guard *g, struct kipc_tx *tx);
/* Undoes: frees what was made. */
int __kipc_tx_abort(struct kipc_manager *m, struct kipc_guard *g, struct kipc_tx *tx);

/*
 * Rolls the guard's transaction on or back, whatever its state; the guard is held.  0 or -EPROTO.
 * What the short way left is for kipc_obj_type.recover().
 */
int __kipc_tx_recover(struct kipc_manager *m, struct kipc_guard *g);
/*
 * The same for an object that nothing refers to, with the arena's lock held and a budget of blocks:
 * 1: more to do.  Frees the record as well.
 */
int __kipc_tx_recover_dying(struct kipc_manager *m, struct kipc_guard *g, uint32_t *budget);

/*
 * Frees what the word owns, all that this owns before it, and zeroes the word; at most *budget
 * blocks (counted down).  1: there is more, call again; 0: done; -EPROTO.
 * Restartable at any instruction: what is done is zero.  The _locked form: arena's lock held, for
 * release() and destroy() callbacks; the other takes the lock for a budget at a time, to the end.
 */
int __kipc_release_locked(struct kipc_manager *m, uint64_t kind, uint64_t word, uint32_t *budget);
int __kipc_release(struct kipc_manager *m, uint64_t kind, uint64_t word);

#endif
