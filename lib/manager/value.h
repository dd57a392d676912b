/* SPDX-License-Identifier: MIT */
/*
 * Values in shared memory: struct kipc_slot, 16 bytes.
 *
 * To store a value: __kipc_slot_prepare() gives the two words to be stored, with whatever they will
 * own (a block with the bytes, a reference) owned by words of the transaction until the commit; or
 * __kipc_slot_init() builds the value in a place that nobody reads yet (beyond a list's length, in
 * a block of the transaction), owned by the slot itself from the first instruction.
 *
 * To read: __kipc_slot_read() copies a slot's value out, under the guard or optimistically.
 * Everything read is bounds-checked; whether it is consistent, the sequence tells.
 */
#ifndef KIPC_MANAGER_VALUE_H
#define KIPC_MANAGER_VALUE_H

#include "kipc/value.h"
#include "manager/object.h"

static inline bool __kipc_slot_is_inline(uint64_t tag)
{
	return tag & KIPC_SLOT_INLINE;
}

/* What the payload of a slot with this tag owns: KIPC_OWN_NOTHING, _BLOCK or _REF. */
static inline uint64_t __kipc_slot_owns(uint64_t tag)
{
	switch (KIPC_SLOT_TYPE(tag)) {
	case KIPC_SLOT_BYTES:
	case KIPC_SLOT_STR:
		return __kipc_slot_is_inline(tag) ? KIPC_OWN_NOTHING : KIPC_OWN_BLOCK;
	case KIPC_SLOT_REF:
		return KIPC_OWN_REF;
	}
	return KIPC_OWN_NOTHING;
}

/*
 * 0 when a value may be stored in m: known type, pointers there, handle of the same manager, not
 * too long.  -EINVAL, -EMSGSIZE.
 */
int __kipc_value_check(struct kipc_manager *m, const struct kipc_value *v);

/* True, and *slot filled, for values that need no block and no reference: int, inline str, ... */
bool __kipc_slot_simple(const struct kipc_value *v, struct kipc_slot *slot);

/*
 * The two words of a checked value, whose block or reference is owned by a word of tx.made[] until
 * the commit.  The caller records both by __kipc_tx_slot() (or writes them into a block of the
 * transaction that is not yet owner: see __kipc_slot_init() for that).
 * 0, -ENOMEM, -EOVERFLOW (tx.made[] is full), -ENOENT (the ref's object is gone), -EPROTO.
 */
int __kipc_slot_prepare(struct kipc_manager *m, struct kipc_tx *tx, const struct kipc_value *v,
			struct kipc_slot *slot);

/* Records that the slot at off becomes *slot: two writes. */
static inline int __kipc_tx_slot(struct kipc_tx *tx, uint64_t off, const struct kipc_slot *slot)
{
	int r = __kipc_tx_write(tx, off, slot->tag);

	return r ? r : __kipc_tx_write(tx, off + 8, slot->payload);
}

/* Records that what the slot's (current) content owns is freed on commit. */
static inline int __kipc_tx_drop_slot(struct kipc_tx *tx, const struct kipc_slot *slot)
{
	return __kipc_tx_drop(tx, __kipc_slot_owns(slot->tag), slot->payload);
}

/*
 * Builds a checked value in the slot at off (whose content is of no value: it must own nothing, but
 * may be garbage): at every instruction the slot is one that may be released.  No transaction.
 * 0, -ENOMEM, -ENOENT, -EPROTO; then the slot is empty.
 */
int __kipc_slot_init(struct kipc_manager *m, uint64_t off, const struct kipc_value *v);

/* Frees what the slot at off owns and empties it.  Restartable.  0 or -EPROTO. */
int __kipc_slot_release(struct kipc_manager *m, uint64_t off);
int __kipc_slot_release_locked(struct kipc_manager *m, uint64_t off);

/*
 * What an optimistic reader copies out of a slot before it asks whether it was consistent.  A str or
 * bytes goes into buf (malloc'ed, with a NUL after it); a ref stays an offset and an id until
 * __kipc_raw_value() turns it into a handle.
 */
struct kipc_raw {
	struct kipc_slot slot;
	void *buf;			/* malloc'ed or NULL */
	size_t len;
};

/*
 * Copies the slot at p (a place inside the segment).  0; -ENOMEM; -EPROTO: it makes no sense, which
 * to an optimistic reader means "try again".  Nothing to free on error.
 */
int __kipc_slot_read(struct kipc_manager *m, const struct kipc_slot *p, struct kipc_raw *raw);
/* Frees the copy. */
void __kipc_raw_drop(struct kipc_raw *raw);
/*
 * Makes a value of a consistent copy; the buffer moves into it.  0; -ENOENT: the ref's object went
 * away since (try the whole read again; under the guard: damage); -ENOMEM, -EPROTO.  On error raw
 * is dropped.
 */
int __kipc_raw_value(struct kipc_manager *m, struct kipc_raw *raw, struct kipc_value *v);

/*
 * Whether the slot at p equals the value: 1 or 0; -EPROTO when the slot makes no sense.  As
 * kipc_value_equal().  Reads checked places only; optimistic callers validate afterwards.
 */
int __kipc_slot_equal(struct kipc_manager *m, const struct kipc_slot *p,
		      const struct kipc_value *v);

/*
 * Order of two values, for sort: none < bool, int, double (as numbers; NaN after all) < bytes < str
 * < ref (by id); bytes and str by their bytes.  < 0, 0, > 0.
 */
int __kipc_value_compare(const struct kipc_value *a, const struct kipc_value *b);
int __kipc_slot_compare(struct kipc_manager *m, const struct kipc_slot *a,
			const struct kipc_slot *b);

#endif
