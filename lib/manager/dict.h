/* SPDX-License-Identifier: MIT */
/*
 * The dict's inside: see uapi/kipc/dict.h for the layout, Documentation/design/containers.rst for
 * the choice.
 *
 * Each stripe is a hash table of its own under a guard of its own.  What makes an operation happen
 * is one store, so no transaction is needed; the guard's words say what a death leaves:
 *
 *	insert		NEW owns the entry while it is filled; cell = entry; NEW = 0
 *	replace		the same with OLD = the entry that the cell had; cell = entry; the bucket's
 *			version moves; NEW = 0; OLD is freed
 *	... in place	an int for an int: one store to the entry
 *	delete		OLD = entry; cell = 0; the version moves; OLD is freed
 *	clear		shape |= DRAIN; then entries and buckets are freed; shape = 1
 *	split		bucket n is filled from bucket s with what belongs there; shape = n + 1; s
 *			loses it
 *	merge		bucket s gets all that bucket n - 1 has; shape = n - 1; bucket n - 1 is
 *			emptied
 *
 * A death, found by __kipc_dict_recover():
 *	NEW, OLD	if a cell has the entry, it is the cell's: the word is zeroed; else it is
 *			freed
 *	split, merge	before the commit as after it, what doesn't belong where it stands is a
 *			copy: the bucket that n - 1 was split from loses what isn't its own, bucket
 *			n is emptied
 *	DRAIN		goes on
 *	COUNT		is counted anew
 *
 * Readers hold nothing and never wait.  They read gen and shape, find the bucket, read its version,
 * look at the cells of the chain, copy from the entry, and ask in this order whether gen and shape
 * still lead to that bucket and whether its version is the same.  That is enough, because
 *	- an entry is freed, and a bucket's memory is freed, only after a version or gen moved;
 *	- an entry isn't changed while it is linked, but for its payload by one store;
 *	- cells that a split or merge puts into a bucket are there, and its version has moved,
 *	  before the shape leads readers to it.
 *
 * Order of stores and loads: [A] cell -> entry, [B] shape -> cells, [C] version, gen -> freed
 * memory.
 */
#ifndef KIPC_MANAGER_DICT_H
#define KIPC_MANAGER_DICT_H

#include "kipc/dict.h"
#include "core/racy.h"
#include "manager/value.h"
#include "uapi/kipc/dict.h"

/* Where optimistic reads end and the guard is taken. */
#define KIPC_DICT_TRIES		16

/* Keys per bucket on average, at most, and where buckets are merged again. */
#define KIPC_DICT_LOAD		3
#define KIPC_DICT_LOAD_LOW	1

struct kipc_dict {
	struct kipc_handle h;	/* first */
	uint64_t hash_key[2];
};

/* A key, checked and hashed. */
struct kipc_dict_key {
	const void *data;
	uint64_t hash;
	int64_t i;		/* of an int: data points here */
	uint32_t len;
	uint32_t type;		/* enum kipc_slot_type */
};

/* One stripe, as the functions below want it. */
struct kipc_dict_ref {
	struct kipc_manager *m;
	struct kipc_dict_shared *d;
	struct kipc_guard *g;
	struct kipc_dict_stripe *s;
	bool locked;		/* the arena's lock is held: destruction */
};

static inline struct kipc_dict_shared *__kipc_dict_shared(const struct kipc_dict *d)
{
	return (struct kipc_dict_shared *)d->h.hdr;
}

static inline struct kipc_dict_ref __kipc_dict_stripe(struct kipc_manager *m,
						      struct kipc_dict_shared *s, uint32_t i)
{
	return (struct kipc_dict_ref){
		.m = m, .d = s, .g = &s->guards[i], .s = &s->stripes[i]
	};
}

static inline struct kipc_dict_ref __kipc_dict_at_hash(const struct kipc_dict *d, uint64_t hash)
{
	return __kipc_dict_stripe(d->h.m, __kipc_dict_shared(d),
				  (uint32_t)(hash >> KIPC_DICT_STRIPE_SHIFT));
}

/* ---- dict-hash.c ---- */

/* SipHash-1-3. */
uint64_t __kipc_siphash13(const uint64_t key[2], const void *data, size_t len);
/* Checks and hashes a key.  *k points into *v or itself: keep both.  0, -EINVAL, -EMSGSIZE. */
int __kipc_dict_key(const struct kipc_dict *d, const struct kipc_value *v, struct kipc_dict_key *k);

/* ---- entries: dict-entry.c ---- */

static __always_inline uint64_t __kipc_dict_cell(uint64_t hash, uint64_t off)
{
	return (hash >> KIPC_DICT_TAG_SHIFT & 0xffff) << KIPC_DICT_CELL_SHIFT | off;
}

static __always_inline bool __kipc_dict_tag_is(uint64_t cell, uint64_t hash)
{
	return !((cell >> KIPC_DICT_CELL_SHIFT) ^ (hash >> KIPC_DICT_TAG_SHIFT & 0xffff));
}

/* The entry of a cell (not 0), its meta read once; NULL when it isn't wholly inside the segment. */
static __always_inline struct kipc_dict_entry *__kipc_dict_entry(struct kipc_manager *m,
								 uint64_t cell, uint64_t *meta)
{
	uint64_t off = cell & KIPC_DICT_CELL_OFF;
	struct kipc_dict_entry *e = __kipc_arena_at(m, off, sizeof(*e));

	if (unlikely(!e))
		return NULL;
	*meta = load_relaxed(&e->meta);
	return __kipc_arena_at(m, off, sizeof(*e) + KIPC_DICT_META_KLEN(*meta) +
					       (uint64_t)KIPC_DICT_META_VLEN(*meta));
}

static __always_inline bool __kipc_dict_key_is(const struct kipc_dict_entry *e, uint64_t meta,
					       const struct kipc_dict_key *k)
{
	return load_relaxed(&e->hash) == k->hash && KIPC_DICT_META_KLEN(meta) == k->len &&
	       KIPC_DICT_META_KTYPE(meta) == k->type &&
	       !__kipc_differs_racy(e->data, k->data, k->len);
}

/*
 * Makes an entry, owned by NEW (its ref by REF).  0, -ENOMEM, -ENOENT, -EPROTO; then nothing is
 * left.
 */
int __kipc_dict_entry_make(const struct kipc_dict_ref *t, const struct kipc_dict_key *k,
			   const struct kipc_value *v);
/* Frees the entry that OLD owns, with its ref.  0 or -EPROTO. */
int __kipc_dict_entry_free_old(const struct kipc_dict_ref *t);
/* The block or the reference that the word is; with the arena's lock held or not. */
int __kipc_dict_free(const struct kipc_dict_ref *t, __u64 *word);
int __kipc_dict_drop(const struct kipc_dict_ref *t, __u64 *word);
int __kipc_dict_alloc_bucket(const struct kipc_dict_ref *t, __u64 *word);

/* A copy of an entry's value, or key, that may be torn; as __kipc_slot_read(). */
int __kipc_dict_copy_value(struct kipc_dict_entry *e, uint64_t meta, struct kipc_raw *raw);
int __kipc_dict_copy_key(struct kipc_dict_entry *e, uint64_t meta, struct kipc_raw *raw);

/* ---- buckets: dict-table.c ---- */

static __always_inline uint64_t __kipc_dict_buckets(uint64_t shape)
{
	return shape & (KIPC_DICT_DRAIN - 1);
}

/* A shape that can be: 1 .. 2^KIPC_DICT_SEGS buckets. */
static __always_inline bool __kipc_dict_shape_ok(uint64_t shape)
{
	return __kipc_dict_buckets(shape) - 1 < 1ULL << KIPC_DICT_SEGS;
}

/* The bucket of a hash in a table of n (1 ..). */
static __always_inline uint64_t __kipc_dict_index(uint64_t hash, uint64_t n)
{
	uint64_t p = 1ULL << (63 - __builtin_clzll(n));
	uint64_t b = hash & (2 * p - 1);

	return b < n ? b : b - p;
}

/* The bucket from which b (1 ..) is split. */
static __always_inline uint64_t __kipc_dict_parent(uint64_t b)
{
	return b - (1ULL << (63 - __builtin_clzll(b)));
}

/* Bucket b, checked to be inside the segment; NULL when it isn't there. */
static __always_inline struct kipc_dict_bucket *__kipc_dict_bucket(struct kipc_manager *m,
								   struct kipc_dict_stripe *s,
								   uint64_t b)
{
	uint64_t seg;
	uint32_t k;

	if (unlikely(!b))
		return &s->first;
	k = 63 - (uint32_t)__builtin_clzll(b);
	if (unlikely(k >= KIPC_DICT_SEGS))
		return NULL;
	seg = load_acquire(&s->segs[k]);	/* pairs with: the allocation that stored it */
	if (unlikely(!seg))
		return NULL;
	return __kipc_arena_at(m, seg + (b - (1ULL << k)) * sizeof(struct kipc_dict_bucket),
			       sizeof(struct kipc_dict_bucket));
}

static __always_inline struct kipc_dict_bucket *__kipc_dict_next(struct kipc_manager *m,
								 struct kipc_dict_bucket *b)
{
	return __kipc_arena_at(m, load_acquire(&b->next), sizeof(*b));
}

/*
 * Moves the version of a chain: what was unlinked there may be freed, what was put there is shown.
 */
static inline void __kipc_dict_moved(struct kipc_dict_bucket *b)
{
	/* pairs with: readers' check of the version [C] */
	store_release(&b->version, load_relaxed(&b->version) + 1);
	fence_release();	/* what comes now is seen by nobody who didn't see that */
	KIPC_POINT("dict.version");
}

/* The cell of the key under the guard, or NULL; -EPROTO for damage in *err. */
__u64 *__kipc_dict_find(const struct kipc_dict_ref *t, const struct kipc_dict_key *k,
			struct kipc_dict_bucket **head, int *err);
/* A free cell in the chain of bucket `head`, made if need be.  0, -ENOMEM, -EPROTO. */
int __kipc_dict_room(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head, __u64 **cell);
/* Frees continuations at the end of the chain that are empty. */
int __kipc_dict_trim(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head);
/* Whether any cell where its hash belongs has this entry: 1, 0, -EPROTO. */
int __kipc_dict_linked(const struct kipc_dict_ref *t, uint64_t off);
/* One bucket more or less, if the number of keys asks for it.  -EPROTO; no room is no error. */
int __kipc_dict_grow(const struct kipc_dict_ref *t);
int __kipc_dict_shrink(const struct kipc_dict_ref *t);
/* Undoes or finishes a split or merge. */
int __kipc_dict_settle(const struct kipc_dict_ref *t);
/* Frees all entries and buckets, *budget blocks at most; *at: where to go on (0 at first). */
int __kipc_dict_drain(const struct kipc_dict_ref *t, uint32_t *budget, uint64_t *at);

/* dict-type.c: the whole of the recovery.  0 or -EPROTO. */
int __kipc_dict_recover(const struct kipc_dict_ref *t);

/* Takes the stripe's guard. */
static inline int __kipc_dict_lock(struct kipc_dict *d, const struct kipc_dict_ref *t)
{
	return __kipc_guard_lock(d->h.m, d->h.hdr, t->g);
}

static inline void __kipc_dict_unlock(const struct kipc_dict_ref *t)
{
	__kipc_guard_unlock(t->m, t->g);
}

#endif
