/* SPDX-License-Identifier: MIT */
/*
 * The list's inside: see uapi/kipc/list.h for the layout, Documentation/design/containers.rst for
 * the choice.
 *
 * Words of the guard, moved by its holder.  Each step that makes something happen is one store:
 *
 *	append, extend	the new elements are built in the slots [len, fill); then len goes up
 *	pop of the last	fill >= old len is stored, len goes down; then [len, fill) is released
 *	insert		the element is built at [len], copied to `held`; op = INSERT; the slots
 *			behind the place move up one by one, `held` goes to its place, len goes up;
 *			op = NONE
 *	pop elsewhere	`held` is a copy; op = REMOVE; the slots behind move down one by one, `held`
 *			goes to the end, len goes down; op = NONE; then as pop of the last
 *	set, clear, reverse, sort, a larger directory: a transaction (tx.h)
 *
 * A death with op = NONE leaves [len, fill) to be released; with another op the moving goes on
 * where `progress` says (moving a slot twice changes nothing: what it came from is overwritten only
 * after progress was stored).  __kipc_list_recover() does both.
 *
 * Beside what: writers hold the guard.  Readers are optimistic: whatever touches a slot below len,
 * or frees what it led to, is between seq_begin() and seq_end().  An append isn't: readers look at
 * slots below the len that they read (acquire), and nothing there changes.
 */
#ifndef KIPC_MANAGER_LIST_H
#define KIPC_MANAGER_LIST_H

#include "kipc/list.h"
#include "manager/value.h"
#include "uapi/kipc/list.h"

/* Where optimistic reads end and the guard is taken. */
#define KIPC_LIST_TRIES	8

#define KIPC_LIST_CHUNK_SIZE	(KIPC_LIST_CHUNK * sizeof(struct kipc_slot))

struct kipc_list {
	struct kipc_handle h;	/* first */
};

/* A directory and all it leads to, of n slots at most. */
#define KIPC_OWN_LIST_DIR(n)	(KIPC_OWN_TYPE(KIPC_OBJ_LIST, 0) | (uint64_t)(n) << 16)
/* A directory and its chunks; what is in the slots belongs to somebody else. */
#define KIPC_OWN_LIST_CHUNKS(n)	KIPC_OWN_WORDS_AT(sizeof(struct kipc_list_dir), n)

static inline struct kipc_list_shared *__kipc_list_shared(const struct kipc_list *l)
{
	return (struct kipc_list_shared *)l->h.hdr;
}

static inline struct kipc_guard *__kipc_list_guard(const struct kipc_list *l)
{
	return &l->h.hdr->guard;
}

static inline int __kipc_list_lock(struct kipc_list *l)
{
	return __kipc_guard_lock(l->h.m, l->h.hdr, &l->h.hdr->guard);
}

static inline void __kipc_list_unlock(struct kipc_list *l)
{
	__kipc_guard_unlock(l->h.m, &l->h.hdr->guard);
}

/* The directory at off, checked, and how many words it has; NULL when it can't be one. */
static __always_inline struct kipc_list_dir *__kipc_list_dir(struct kipc_manager *m, uint64_t off,
						    uint64_t *nchunks)
{
	struct kipc_list_dir *d = __kipc_arena_at(m, off, sizeof(*d));

	if (unlikely(!d))
		return NULL;
	*nchunks = load_relaxed(&d->nchunks);
	if (unlikely(*nchunks > KIPC_LIST_LEN_MAX >> KIPC_LIST_CHUNK_SHIFT))
		return NULL;
	return __kipc_arena_at(m, off, sizeof(*d) + *nchunks * 8);
}

static __always_inline uint64_t *__kipc_list_words(struct kipc_list_dir *d)
{
	return (uint64_t *)(d + 1);
}

/* The chunk that holds the slot of index, checked; NULL when it isn't there. */
static __always_inline struct kipc_slot *__kipc_list_chunk(struct kipc_manager *m,
							   struct kipc_guard *g, uint64_t index)
{
	uint64_t n, c = index >> KIPC_LIST_CHUNK_SHIFT;
	/* pairs with: the commit that links a directory (stale ones are noticed by the sequence) */
	struct kipc_list_dir *d = __kipc_list_dir(m, load_acquire(&g->data[KIPC_LIST_DIR]), &n);

	if (unlikely(!d || c >= n))
		return NULL;
	return __kipc_arena_at(m, load_relaxed(__kipc_list_words(d) + c), KIPC_LIST_CHUNK_SIZE);
}

static __always_inline struct kipc_slot *__kipc_list_slot(struct kipc_manager *m,
							  struct kipc_guard *g, uint64_t index)
{
	struct kipc_slot *c = __kipc_list_chunk(m, g, index);

	return likely(c) ? c + (index & (KIPC_LIST_CHUNK - 1)) : NULL;
}

static __always_inline struct kipc_slot __kipc_slot_load(const struct kipc_slot *p)
{
	return (struct kipc_slot){ .tag = load_relaxed(&p->tag),
				   .payload = load_relaxed(&p->payload) };
}

static __always_inline void __kipc_slot_store(struct kipc_slot *p, struct kipc_slot s)
{
	store_relaxed(&p->tag, s.tag);
	KIPC_POINT("list.tag");
	store_relaxed(&p->payload, s.payload);
	KIPC_POINT("list.slot");
}

/* A Python index into a list of len elements: true and *at when there is such an element. */
static inline bool __kipc_list_resolve(int64_t index, uint64_t len, uint64_t *at)
{
	*at = index < 0 ? (uint64_t)index + len : (uint64_t)index;
	return *at < len;
}

/* A bound of a slice: negative ones count from the end, all are kept within [lo, hi]. */
static inline int64_t __kipc_list_bound(int64_t bound, int64_t len, int64_t lo, int64_t hi)
{
	if (bound < 0)
		bound += len;	/* can't overflow: len >= 0 */
	return min_of(max_of(bound, lo), hi);
}

/* What no list in m is longer than: a damaged one can't keep anybody busy for ever. */
static inline uint64_t __kipc_list_len_max(const struct kipc_manager *m)
{
	return min_of(m->obj.seg.map_size / sizeof(struct kipc_slot), KIPC_LIST_LEN_MAX);
}

/* The list's length under the guard, believed only if it can be one: UINT64_MAX for damage. */
static inline uint64_t __kipc_list_len_locked(const struct kipc_list *l)
{
	uint64_t len = load_relaxed(&__kipc_list_guard(l)->data[KIPC_LIST_LEN]);

	return likely(len <= __kipc_list_len_max(l->h.m)) ? len : UINT64_MAX;
}

/* All below: guard held, unless they say otherwise. */

/*
 * list-store.c: makes slots up to `count` of them (elements and more) exist.  0, -ENOMEM, -EPROTO.
 */
int __kipc_list_reserve(struct kipc_list *l, uint64_t count);
/* Frees chunks that lie wholly behind `count` slots, but for one. */
void __kipc_list_trim(struct kipc_list *l, uint64_t count);
/*
 * Puts these slots (all of the list's, in another order) in place of the list's.  0, -ENOMEM,
 * -EPROTO.
 */
int __kipc_list_rebuild(struct kipc_list *l, const struct kipc_slot *slots, uint64_t n);
/* Releases [len, fill).  Also without handle, for recovery. */
int __kipc_list_release_tail(struct kipc_manager *m, struct kipc_guard *g);

/* list-move.c: `s`, built at index len with fill = len + 1, becomes the element at index. */
int __kipc_list_move_in(struct kipc_list *l, uint64_t index, uint64_t len);
/*
 * The element at index becomes the one at len - 1, then len - 1 the length; the tail isn't
 * released.
 */
int __kipc_list_move_out(struct kipc_list *l, uint64_t index, uint64_t len);
/* Goes on with what op says, if anything; nobody else looks at the list.  0 or -EPROTO. */
int __kipc_list_move_finish(struct kipc_manager *m, struct kipc_list_shared *s);

#endif
