// SPDX-License-Identifier: MIT
/*
 * What the manager asks a list: recovery after a death, destruction, the audit.
 *
 * Destruction goes a budget of blocks at a time and may be taken over by another process at any
 * instruction: what is freed is zero in the word that owned it, and the directory's cursor only
 * saves looking at zeroes again.
 */
#include "manager/audit.h"
#include "manager/list.h"

static int recover(struct kipc_manager *m, struct kipc_obj_header *o, struct kipc_guard *g)
{
	int r = __kipc_list_move_finish(m, (struct kipc_list_shared *)o);

	return r ? r : __kipc_list_release_tail(m, g);
}

/* What the slots of one chunk own, those of the first n.  1: the budget is used up. */
static int release_slots(struct kipc_manager *m, struct kipc_slot *chunk, uint64_t n,
			 uint32_t *budget)
{
	for (uint64_t i = 0; i < n; i++) {
		int r;

		if (__kipc_slot_owns(load_relaxed(&chunk[i].tag)) == KIPC_OWN_NOTHING)
			continue;
		if (!*budget)
			return 1;
		r = __kipc_slot_release_locked(m, __kipc_arena_off(m, &chunk[i]));
		if (r)
			return r;
		--*budget;
	}
	return 0;
}

static int release(struct kipc_manager *m, uint64_t kind, uint64_t word, uint32_t *budget)
{
	uint64_t off = load_relaxed(__kipc_arena_word(m, word)), slots = kind >> 16, n, c;
	struct kipc_list_dir *d;
	uint64_t *words;
	int r;

	if (!off)
		return 0;
	d = __kipc_list_dir(m, off, &n);
	if (!d)
		return -EPROTO;
	words = __kipc_list_words(d);
	for (c = load_relaxed(&d->cursor); c < n; c++) {
		uint64_t first = c << KIPC_LIST_CHUNK_SHIFT, at = load_relaxed(&words[c]);
		uint64_t in = first < slots ? slots - first : 0;
		struct kipc_slot *chunk;

		if (at && in) {
			chunk = __kipc_arena_at(m, at, KIPC_LIST_CHUNK_SIZE);
			if (!chunk)
				return -EPROTO;
			r = release_slots(m, chunk, min_of(in, (uint64_t)KIPC_LIST_CHUNK), budget);
			if (r)
				return r;
		}
		if (at) {
			if (!*budget)
				return 1;
			r = __kipc_arena_free_locked(m, __kipc_arena_off(m, &words[c]));
			if (r)
				return r;
			--*budget;
		}
		store_relaxed(&d->cursor, c + 1);
		KIPC_POINT("list.cursor");
	}
	if (!*budget)
		return 1;
	--*budget;
	return __kipc_arena_free_locked(m, word);
}

static int destroy(struct kipc_manager *m, struct kipc_obj_header *o, uint32_t *budget)
{
	struct kipc_guard *g = &o->guard;
	uint64_t n;
	int r;

	r = __kipc_list_move_finish(m, (struct kipc_list_shared *)o);
	if (r)
		return r;
	n = max_of(load_relaxed(&g->data[KIPC_LIST_LEN]), load_relaxed(&g->data[KIPC_LIST_FILL]));
	if (n > __kipc_list_len_max(m))
		return -EPROTO;
	return release(m, KIPC_OWN_LIST_DIR(n), __kipc_arena_off(m, &g->data[KIPC_LIST_DIR]),
		       budget);
}

static void mark_owned(struct kipc_audit *a, uint64_t kind, uint64_t word)
{
	struct kipc_manager *m = __kipc_audit_manager(a);
	struct kipc_list_dir *d = __kipc_audit_block(a, word, sizeof(*d));
	uint64_t *words, slots = kind >> 16, n;

	if (!d)
		return;
	n = load_relaxed(&d->nchunks);
	if (n > KIPC_LIST_LEN_MAX >> KIPC_LIST_CHUNK_SHIFT ||
	    __kipc_arena_block_size(m, __kipc_arena_off(m, d)) < sizeof(*d) + n * 8) {
		__kipc_audit_bad(a, "a list's directory is shorter than it says", word);
		return;
	}
	words = __kipc_list_words(d);
	if (slots > n << KIPC_LIST_CHUNK_SHIFT)
		__kipc_audit_bad(a, "a list is longer than its directory", word);
	for (uint64_t c = 0; c < n; c++) {
		uint64_t first = c << KIPC_LIST_CHUNK_SHIFT;
		uint64_t chunk_word = __kipc_arena_off(m, &words[c]);
		struct kipc_slot *chunk = __kipc_audit_block(a, chunk_word, KIPC_LIST_CHUNK_SIZE);

		if (!chunk && first < slots)
			__kipc_audit_bad(a, "a list lacks a chunk", chunk_word);
		if (!chunk && c + 1 < n && load_relaxed(&words[c + 1]))
			__kipc_audit_bad(a, "a list's chunks have a gap", chunk_word);
		for (uint64_t i = 0; chunk && i < KIPC_LIST_CHUNK && first + i < slots; i++)
			__kipc_audit_slot(a, __kipc_arena_off(m, &chunk[i]));
	}
}

static void mark(struct kipc_audit *a, struct kipc_obj_header *o)
{
	struct kipc_manager *m = __kipc_audit_manager(a);
	struct kipc_guard *g = &o->guard;
	uint64_t len = load_relaxed(&g->data[KIPC_LIST_LEN]);
	uint64_t word = __kipc_arena_off(m, &g->data[KIPC_LIST_DIR]);

	if (load_relaxed(&g->data[KIPC_LIST_OP]) != KIPC_LIST_OP_NONE)
		__kipc_audit_bad(a, "a list's insert or removal was left open", word);
	if (load_relaxed(&g->data[KIPC_LIST_FILL]))
		__kipc_audit_bad(a, "a list has slots that are neither in it nor free", word);
	if (len > __kipc_list_len_max(m)) {
		__kipc_audit_bad(a, "a list's length can't be", word);
		return;
	}
	if (len && !load_relaxed(&g->data[KIPC_LIST_DIR]))
		__kipc_audit_bad(a, "a list has elements but no directory", word);
	mark_owned(a, KIPC_OWN_LIST_DIR(len), word);
}

const struct kipc_obj_type __kipc_list_type = {
	.kind = KIPC_OBJ_LIST,
	.name = "list",
	.size = sizeof(struct kipc_list_shared),
	.handle_size = sizeof(struct kipc_list),
	.recover = recover,
	.destroy = destroy,
	.release = release,
	.mark = mark,
	.mark_owned = mark_owned,
};
