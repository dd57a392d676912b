// SPDX-License-Identifier: MIT
/* Guards' recovery, transactions, and freeing what a word owns: see tx.h. */
#include <string.h>

#include "manager/object.h"
#include "manager/value.h"

/* Blocks freed per hold of the arena's lock: some ten microseconds. */
#define RELEASE_BUDGET	256

/* ---- freeing what a word owns ---- */

static int release_slots(struct kipc_manager *m, uint64_t at, uint64_t n, uint32_t *budget)
{
	for (uint64_t i = 0; i < n; i++) {
		struct kipc_slot *slot = __kipc_arena_ptr(m, at + i * sizeof(*slot));
		int r;

		if (!load_relaxed(&slot->tag))
			continue;
		if (!*budget)
			return 1;
		if (__kipc_slot_owns(load_relaxed(&slot->tag)) && load_relaxed(&slot->payload))
			--*budget;
		r = __kipc_slot_release_locked(m, at + i * sizeof(*slot));
		if (r)
			return r;
	}
	return 0;
}

static int release_words(struct kipc_manager *m, uint64_t at, uint64_t n, uint32_t *budget)
{
	for (uint64_t i = 0; i < n; i++) {
		int r;

		if (!load_relaxed(__kipc_arena_word(m, at + i * 8)))
			continue;
		if (!*budget)
			return 1;
		--*budget;
		r = __kipc_arena_free_locked(m, at + i * 8);
		if (r)
			return r;
	}
	return 0;
}

/* A block of slots or words: first what they own, then the block. */
static int release_array(struct kipc_manager *m, uint64_t kind, uint64_t word, uint32_t *budget)
{
	uint64_t off = load_relaxed(__kipc_arena_word(m, word));
	uint64_t skip = (kind >> 8 & 0xff) * 16, n = kind >> 16, size;
	bool slots = (kind & 0xff) == KIPC_OWN_SLOTS;
	int r;

	if (!off)
		return 0;
	size = __kipc_arena_block_size(m, off);
	if (skip > size || n > (size - skip) / (slots ? sizeof(struct kipc_slot) : 8))
		return -EPROTO;
	r = slots ? release_slots(m, off + skip, n, budget) :
		    release_words(m, off + skip, n, budget);
	return r ? r : __kipc_arena_free_locked(m, word);
}

int __kipc_release_locked(struct kipc_manager *m, uint64_t kind, uint64_t word, uint32_t *budget)
{
	const struct kipc_obj_type *type;

	switch (kind & 0xff) {
	case KIPC_OWN_NOTHING:
		return 0;
	case KIPC_OWN_BLOCK:
	case KIPC_OWN_REF:
		if (!load_relaxed(__kipc_arena_word(m, word)))
			return 0;
		if (!*budget)
			return 1;
		--*budget;
		return (kind & 0xff) == KIPC_OWN_BLOCK ? __kipc_arena_free_locked(m, word) :
							 __kipc_ref_drop_locked(m, word);
	case KIPC_OWN_SLOTS:
	case KIPC_OWN_WORDS:
		return release_array(m, kind, word, budget);
	}
	type = kind & 128 ? __kipc_obj_type(KIPC_OWN_TYPE_OBJ(kind)) : NULL;
	return type && type->release ? type->release(m, kind, word, budget) : -EPROTO;
}

int __kipc_release(struct kipc_manager *m, uint64_t kind, uint64_t word)
{
	uint32_t budget;
	int r;

	do {
		r = __kipc_arena_lock(m);
		if (r)
			return r;
		budget = RELEASE_BUDGET;
		r = __kipc_release_locked(m, kind, word, &budget);
		__kipc_arena_unlock(m);
	} while (r == 1);
	return r;
}

/* ---- transactions ---- */

static struct kipc_tx *tx_at(struct kipc_manager *m, struct kipc_guard *g)
{
	return __kipc_arena_at(m, load_relaxed(&g->tx), sizeof(struct kipc_tx));
}

int __kipc_tx_begin(struct kipc_manager *m, struct kipc_guard *g, struct kipc_tx **out)
{
	struct kipc_tx *tx;
	int r;

	if (unlikely(!load_relaxed(&g->tx))) {
		r = __kipc_arena_zalloc(m, sizeof(*tx), __kipc_arena_off(m, &g->tx));
		if (r)
			return r;
	}
	tx = tx_at(m, g);
	if (unlikely(!tx))
		return -EPROTO;
	store_relaxed(&tx->nwrites, 0);
	store_relaxed(&tx->nmade, 0);
	store_relaxed(&tx->ndropped, 0);
	step();
	store_relaxed(&g->state, KIPC_TX_OPEN);
	step();
	KIPC_POINT("tx.open");
	*out = tx;
	return 0;
}

int __kipc_tx_alloc(struct kipc_manager *m, struct kipc_tx *tx, uint64_t kind, uint64_t size,
		    bool zero, uint64_t *off)
{
	/* a plain block until it is zeroed: then it may be walked */
	uint64_t word = __kipc_tx_made(m, tx, KIPC_OWN_BLOCK);
	int r;

	if (unlikely(!word))
		return -EOVERFLOW;
	r = __kipc_arena_alloc(m, size, word);
	if (unlikely(r))
		return r;
	*off = load_relaxed(__kipc_arena_word(m, word));
	if (zero || kind != KIPC_OWN_BLOCK)
		memset(__kipc_arena_ptr(m, *off), 0, size);
	step();
	store_relaxed(__kipc_arena_word(m, word + offsetof(struct kipc_owned, kind)), kind);
	KIPC_POINT("tx.made_more");
	return 0;
}

/* Frees made[] or dropped[].  Arena's lock held.  1: more to do. */
static int release_owned(struct kipc_manager *m, struct kipc_owned *o, uint32_t n, uint32_t *budget)
{
	for (uint32_t i = 0; i < n; i++) {
		int r;

		if (!load_relaxed(&o[i].word))
			continue;
		r = __kipc_release_locked(m, load_relaxed(&o[i].kind),
					  __kipc_arena_off(m, &o[i].word), budget);
		if (r)
			return r;
	}
	return 0;
}

static int apply(struct kipc_manager *m, struct kipc_guard *g, struct kipc_tx *tx)
{
	uint32_t n = load_relaxed(&tx->nwrites);
	int r = 0;

	if (unlikely(n > KIPC_TX_WRITES))
		return -EPROTO;
	__kipc_guard_seq_begin(g);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t *word = __kipc_arena_at(m, load_relaxed(&tx->writes[i].off), 8);

		if (unlikely(!word)) {
			r = -EPROTO;
			break;
		}
		store_relaxed(word, load_relaxed(&tx->writes[i].val));
		KIPC_POINT("tx.applied");
	}
	__kipc_guard_seq_end(g);
	step();
	return r;
}

static void forget(struct kipc_guard *g, struct kipc_tx *tx)
{
	step();
	store_relaxed(&tx->nmade, 0);
	store_relaxed(&tx->nwrites, 0);
	store_relaxed(&tx->ndropped, 0);
	step();
	KIPC_POINT("tx.forgotten");
	store_relaxed(&g->state, KIPC_TX_NONE);
	step();
	KIPC_POINT("tx.none");
}

/* With the arena's lock: what the state asks for, except the writes. */
static int settle_locked(struct kipc_manager *m, struct kipc_tx *tx, uint32_t state,
			 uint32_t *budget)
{
	uint32_t n;

	if (state == KIPC_TX_OPEN) {
		n = load_relaxed(&tx->nmade);
		return n > KIPC_TX_MADE ? -EPROTO : release_owned(m, tx->made, n, budget);
	}
	n = load_relaxed(&tx->ndropped);
	return n > KIPC_TX_DROPPED ? -EPROTO : release_owned(m, tx->dropped, n, budget);
}

static int settle(struct kipc_manager *m, struct kipc_tx *tx, uint32_t state)
{
	uint32_t budget;
	int r;

	if (!load_relaxed(state == KIPC_TX_OPEN ? &tx->nmade : &tx->ndropped))
		return 0;
	do {
		r = __kipc_arena_lock(m);
		if (unlikely(r))
			return r;
		budget = RELEASE_BUDGET;
		r = settle_locked(m, tx, state, &budget);
		__kipc_arena_unlock(m);
	} while (r == 1);
	/* a reference may have been the last */
	if (unlikely(load_relaxed(&m->hdr->zombies)))
		__kipc_zombies_reap(m, 0);
	return r;
}

int __kipc_tx_commit(struct kipc_manager *m, struct kipc_guard *g, struct kipc_tx *tx)
{
	int r;

	step();
	store_release(&g->state, KIPC_TX_COMMIT);	/* pairs with: the lock's next acquire */
	step();
	KIPC_POINT("tx.commit");
	r = apply(m, g, tx);
	if (likely(!r))
		r = settle(m, tx, KIPC_TX_COMMIT);
	if (likely(!r))
		forget(g, tx);
	return r;
}

int __kipc_tx_abort(struct kipc_manager *m, struct kipc_guard *g, struct kipc_tx *tx)
{
	int r = settle(m, tx, KIPC_TX_OPEN);

	if (!r)
		forget(g, tx);
	return r;
}

int __kipc_tx_recover(struct kipc_manager *m, struct kipc_guard *g)
{
	uint32_t state = load_relaxed(&g->state);
	struct kipc_tx *tx;
	int r = 0;

	if (state != KIPC_TX_NONE) {
		tx = tx_at(m, g);
		if (!tx || state > KIPC_TX_COMMIT)
			return -EPROTO;
		if (state == KIPC_TX_COMMIT)
			r = apply(m, g, tx);
		if (!r)
			r = settle(m, tx, state);
		if (r)
			return r;
		forget(g, tx);
		fetch_add(&m->hdr->rolls, 1);
	}
	return 0;
}

int __kipc_tx_recover_dying(struct kipc_manager *m, struct kipc_guard *g, uint32_t *budget)
{
	uint32_t state = load_relaxed(&g->state);
	struct kipc_tx *tx;
	int r = 0;

	if (state != KIPC_TX_NONE) {
		tx = tx_at(m, g);
		if (!tx || state > KIPC_TX_COMMIT)
			return -EPROTO;
		if (state == KIPC_TX_COMMIT)
			r = apply(m, g, tx);
		if (!r)
			r = settle_locked(m, tx, state, budget);
		if (r)
			return r;
		forget(g, tx);
	}
	return __kipc_arena_free_locked(m, __kipc_arena_off(m, &g->tx));
}

__cold int __kipc_guard_lock_slow(struct kipc_manager *m, struct kipc_obj_header *o,
				  struct kipc_guard *g, bool held)
{
	const struct kipc_obj_type *type;
	int r = 0, err;

	if (!held)
		r = __kipc_lock_acquire(&m->obj.seg, &g->lock, KIPC_DEADLINE_NEVER);
	if (r && r != -EOWNERDEAD)
		return r;
	if (!r && load_relaxed(&g->state) == KIPC_TX_NONE && !(load_relaxed(&g->seq) & 1))
		return 0;
	err = __kipc_tx_recover(m, g);
	type = __kipc_obj_type(load_relaxed(&o->kind));
	if (!err && type && type->recover)
		err = type->recover(m, o, g);
	/* the short way, cut off between its stores: recover() has mended them, readers may look */
	if (!err && (load_relaxed(&g->seq) & 1))
		__kipc_guard_seq_end(g);
	if (err)
		__kipc_guard_unlock(m, g);
	return err;
}
