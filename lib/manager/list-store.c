// SPDX-License-Identifier: MIT
/*
 * A list's chunks and its directory: how room for slots is made, replaced and given back.
 *
 * Invariant: the words of the directory from some index on are 0, those before own a chunk each;
 * all slots below max(len, fill) have a chunk.  A chunk that exists beyond is room, not a leak: it
 * is owned by its word.  So making a chunk is one allocation with that word as owner, and freeing
 * one is one free; a death in either is the arena's business.
 *
 * A larger directory, and a wholly new set of chunks for sort and reverse, come by a transaction:
 * both are linked by one word.
 */
#include "manager/list.h"

/* Moves all chunks to a directory with room for at least `want` of them. */
static int grow_dir(struct kipc_list *l, uint64_t want)
{
	struct kipc_manager *m = l->h.m;
	struct kipc_guard *g = __kipc_list_guard(l);
	uint64_t old_off = load_relaxed(&g->data[KIPC_LIST_DIR]);
	struct kipc_list_dir *d, *old = NULL;
	uint64_t n = 0, size, off;
	struct kipc_tx *tx;
	int r;

	if (old_off) {
		old = __kipc_list_dir(m, old_off, &n);
		if (!old)
			return -EPROTO;
	}
	want = max_of(want, max_of(n * 2, (uint64_t)KIPC_LIST_DIR_MIN));
	size = __kipc_arena_round(sizeof(*d) + want * 8);
	r = __kipc_tx_begin(m, g, &tx);
	if (r)
		return r;
	r = __kipc_tx_alloc(m, tx, KIPC_OWN_BLOCK, size, true, &off);
	if (r)
		goto out_abort;
	d = __kipc_arena_ptr(m, off);
	d->nchunks = (size - sizeof(*d)) / 8;
	if (old)
		memcpy(__kipc_list_words(d), __kipc_list_words(old), n * 8);
	r = __kipc_tx_write(tx, __kipc_arena_off(m, &g->data[KIPC_LIST_DIR]), off);
	if (!r)
		r = __kipc_tx_drop(tx, KIPC_OWN_BLOCK, old_off);
	if (r)
		goto out_abort;
	return __kipc_tx_commit(m, g, tx);

out_abort:
	__kipc_tx_abort(m, g, tx);
	return r;
}

int __kipc_list_reserve(struct kipc_list *l, uint64_t count)
{
	uint64_t n = 0, need = (count + KIPC_LIST_CHUNK - 1) >> KIPC_LIST_CHUNK_SHIFT;
	struct kipc_manager *m = l->h.m;
	struct kipc_guard *g = __kipc_list_guard(l);
	uint64_t off = load_relaxed(&g->data[KIPC_LIST_DIR]);
	struct kipc_list_dir *d = NULL;
	uint64_t *words, c;
	int r;

	if (off) {
		d = __kipc_list_dir(m, off, &n);
		if (!d)
			return -EPROTO;
	}
	if (need > n) {
		r = grow_dir(l, need);
		if (r)
			return r;
		d = __kipc_list_dir(m, load_relaxed(&g->data[KIPC_LIST_DIR]), &n);
		if (!d || need > n)
			return -EPROTO;
	}
	if (!need)
		return 0;
	words = __kipc_list_words(d);
	for (c = need; c && !load_relaxed(&words[c - 1]); c--)
		;
	for (; c < need; c++) {
		r = __kipc_arena_alloc(m, KIPC_LIST_CHUNK_SIZE, __kipc_arena_off(m, &words[c]));
		if (r) {
			__kipc_list_trim(l, load_relaxed(&g->data[KIPC_LIST_LEN]));
			return r;
		}
	}
	return 0;
}

void __kipc_list_trim(struct kipc_list *l, uint64_t count)
{
	struct kipc_manager *m = l->h.m;
	struct kipc_guard *g = __kipc_list_guard(l);
	uint64_t n, c = ((count + KIPC_LIST_CHUNK - 1) >> KIPC_LIST_CHUNK_SHIFT) + 1;
	struct kipc_list_dir *d = __kipc_list_dir(m, load_relaxed(&g->data[KIPC_LIST_DIR]), &n);
	uint64_t *words, end;

	if (!d || c >= n)
		return;
	words = __kipc_list_words(d);
	for (end = c; end < n && load_relaxed(&words[end]); end++)
		;
	if (end == c)
		return;
	/* who still reads there has an older sequence, by whatever shortened the list before */
	__kipc_guard_seq_begin(g);
	__kipc_guard_seq_end(g);
	while (end > c)
		/* what can't be freed is damage that the next to come will be told of */
		if (__kipc_arena_free(m, __kipc_arena_off(m, &words[--end])))
			return;
}

int __kipc_list_rebuild(struct kipc_list *l, const struct kipc_slot *slots, uint64_t n)
{
	struct kipc_manager *m = l->h.m;
	struct kipc_guard *g = __kipc_list_guard(l);
	uint64_t old_off = load_relaxed(&g->data[KIPC_LIST_DIR]);
	uint64_t off, old_n, size, done = 0;
	uint64_t nchunks = (n + KIPC_LIST_CHUNK - 1) >> KIPC_LIST_CHUNK_SHIFT;
	struct kipc_list_dir *d = __kipc_list_dir(m, old_off, &old_n);
	struct kipc_tx *tx;
	int r;

	if (!d || nchunks > old_n)
		return -EPROTO;
	r = __kipc_tx_begin(m, g, &tx);
	if (r)
		return r;
	size = __kipc_arena_round(sizeof(*d) + max_of(nchunks, (uint64_t)KIPC_LIST_DIR_MIN) * 8);
	r = __kipc_tx_alloc(m, tx, KIPC_OWN_LIST_CHUNKS(nchunks), size, true, &off);
	if (r)
		goto out_abort;
	d = __kipc_arena_ptr(m, off);
	d->nchunks = (size - sizeof(*d)) / 8;
	for (uint64_t c = 0; c < nchunks; c++) {
		uint64_t *word = __kipc_list_words(d) + c;
		uint64_t part = min_of(n - done, (uint64_t)KIPC_LIST_CHUNK);

		r = __kipc_arena_alloc(m, KIPC_LIST_CHUNK_SIZE, __kipc_arena_off(m, word));
		if (r)
			goto out_abort;
		memcpy(__kipc_arena_ptr(m, *word), slots + done, part * sizeof(*slots));
		done += part;
	}
	r = __kipc_tx_write(tx, __kipc_arena_off(m, &g->data[KIPC_LIST_DIR]), off);
	if (!r)
		r = __kipc_tx_drop(tx, KIPC_OWN_LIST_CHUNKS(old_n), old_off);
	if (r)
		goto out_abort;
	return __kipc_tx_commit(m, g, tx);

out_abort:
	__kipc_tx_abort(m, g, tx);
	return r;
}

int __kipc_list_release_tail(struct kipc_manager *m, struct kipc_guard *g)
{
	uint64_t len = load_relaxed(&g->data[KIPC_LIST_LEN]);
	uint64_t fill = load_relaxed(&g->data[KIPC_LIST_FILL]);

	if (unlikely(fill > __kipc_list_len_max(m)))
		return -EPROTO;
	/* backwards, so that a slot that can't be reached ends it at once */
	for (uint64_t i = fill; i > len; i--) {
		struct kipc_slot *p = __kipc_list_slot(m, g, i - 1);
		int r = p ? 0 : -EPROTO;

		if (p && __kipc_slot_owns(load_relaxed(&p->tag)) != KIPC_OWN_NOTHING)
			r = __kipc_slot_release(m, __kipc_arena_off(m, p));
		if (r)
			return r;
	}
	step();		/* the slots mean something until here */
	store_relaxed(&g->data[KIPC_LIST_FILL], 0);
	KIPC_POINT("list.tail_released");
	return 0;
}
