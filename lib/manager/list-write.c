// SPDX-License-Identifier: MIT
/* What changes a list: see list.h for which store makes each of these happen. */
#include "manager/list.h"

/* Checks, enters, takes the guard, reads the length. */
static int begin(struct kipc_list *l, uint64_t *len)
{
	int r = __kipc_handle_enter(&l->h);

	if (unlikely(r))
		return r;
	r = __kipc_list_lock(l);
	if (unlikely(r))
		return r;
	*len = __kipc_list_len_locked(l);
	if (unlikely(*len == UINT64_MAX)) {
		__kipc_list_unlock(l);
		return -EPROTO;
	}
	return 0;
}

/* The slot behind the last, made if need be. */
static int slot_to_fill(struct kipc_list *l, uint64_t len, struct kipc_slot **p)
{
	struct kipc_guard *g = __kipc_list_guard(l);
	int r;

	*p = __kipc_list_slot(l->h.m, g, len);
	if (likely(*p))
		return 0;
	if (len >= KIPC_LIST_LEN_MAX)
		return -EOVERFLOW;
	r = __kipc_list_reserve(l, len + 1);
	if (r)
		return r;
	*p = __kipc_list_slot(l->h.m, g, len);
	return *p ? 0 : -EPROTO;
}

/*
 * Builds the value in the slot at index, which is the one at `fill` or `len`: owned by it, but no
 * element yet.  After an error the slots up to index are as they were.
 */
static int fill_slot(struct kipc_list *l, struct kipc_slot *p, uint64_t index,
		     const struct kipc_value *v)
{
	struct kipc_guard *g = __kipc_list_guard(l);
	struct kipc_slot s;

	if (likely(__kipc_slot_simple(v, &s))) {
		__kipc_slot_store(p, s);
		return 0;
	}
	__kipc_slot_store(p, (struct kipc_slot){ 0 });
	step();		/* within fill, it may be released at any moment */
	store_relaxed(&g->data[KIPC_LIST_FILL], index + 1);
	step();
	KIPC_POINT("list.fill");
	return __kipc_slot_init(l->h.m, __kipc_arena_off(l->h.m, p), v);
}

/* The commit of everything that was filled. */
static void commit_len(struct kipc_guard *g, uint64_t len)
{
	step();
	/* pairs with: readers' load of the length: they see what is in the slots below */
	store_release(&g->data[KIPC_LIST_LEN], len);
	step();
	KIPC_POINT("list.longer");
	if (unlikely(load_relaxed(&g->data[KIPC_LIST_FILL]))) {
		store_relaxed(&g->data[KIPC_LIST_FILL], 0);
		KIPC_POINT("list.filled");
	}
}

int kipc_list_append(struct kipc_list *l, struct kipc_value v)
{
	struct kipc_slot *p;
	uint64_t len;
	int r;

	if (!l)
		return -EINVAL;
	r = __kipc_value_check(l->h.m, &v);
	if (!r)
		r = begin(l, &len);
	if (unlikely(r))
		return r;
	r = slot_to_fill(l, len, &p);
	if (likely(!r))
		r = fill_slot(l, p, len, &v);
	if (likely(!r))
		commit_len(__kipc_list_guard(l), len + 1);
	else
		__kipc_list_release_tail(l->h.m, __kipc_list_guard(l));
	__kipc_list_unlock(l);
	return r;
}

int kipc_list_extend(struct kipc_list *l, const struct kipc_value *v, size_t n)
{
	struct kipc_slot *p;
	uint64_t len;
	int r = 0;

	if (!l || (!v && n))
		return -EINVAL;
	for (size_t i = 0; i < n && !r; i++)
		r = __kipc_value_check(l->h.m, &v[i]);
	if (!r)
		r = begin(l, &len);
	if (r)
		return r;
	if (n > KIPC_LIST_LEN_MAX - len)
		r = -EOVERFLOW;
	if (!r && n)
		r = __kipc_list_reserve(l, len + n);
	for (size_t i = 0; i < n && !r; i++) {
		p = __kipc_list_slot(l->h.m, __kipc_list_guard(l), len + i);
		r = p ? fill_slot(l, p, len + i, &v[i]) : -EPROTO;
	}
	if (!r) {
		commit_len(__kipc_list_guard(l), len + n);
	} else {
		__kipc_list_release_tail(l->h.m, __kipc_list_guard(l));
		__kipc_list_trim(l, len);
	}
	__kipc_list_unlock(l);
	return r;
}

int kipc_list_insert(struct kipc_list *l, int64_t index, struct kipc_value v)
{
	struct kipc_slot *p;
	uint64_t len, at;
	int r;

	if (!l)
		return -EINVAL;
	r = __kipc_value_check(l->h.m, &v);
	if (!r)
		r = begin(l, &len);
	if (r)
		return r;
	at = (uint64_t)__kipc_list_bound(index, (int64_t)len, 0, (int64_t)len);
	r = slot_to_fill(l, len, &p);
	if (!r)
		r = fill_slot(l, p, len, &v);
	if (r)
		__kipc_list_release_tail(l->h.m, __kipc_list_guard(l));
	else if (at == len)
		commit_len(__kipc_list_guard(l), len + 1);
	else
		r = __kipc_list_move_in(l, at, len);
	if (!r) {
		store_relaxed(&__kipc_list_guard(l)->data[KIPC_LIST_FILL], 0);
		KIPC_POINT("list.inserted");
	}
	__kipc_list_unlock(l);
	return r;
}

/* What can't be one store: the two words of a slot, what it owned, what it will own. */
static int set_by_tx(struct kipc_list *l, struct kipc_slot *p, const struct kipc_value *v)
{
	struct kipc_guard *g = __kipc_list_guard(l);
	struct kipc_manager *m = l->h.m;
	struct kipc_slot s, old = __kipc_slot_load(p);
	struct kipc_tx *tx;
	int r;

	r = __kipc_tx_begin(m, g, &tx);
	if (r)
		return r;
	r = __kipc_slot_prepare(m, tx, v, &s);
	if (!r)
		r = __kipc_tx_slot(tx, __kipc_arena_off(m, p), &s);
	if (!r)
		r = __kipc_tx_drop_slot(tx, &old);
	if (r) {
		__kipc_tx_abort(m, g, tx);
		return r;
	}
	return __kipc_tx_commit(m, g, tx);
}

int kipc_list_set(struct kipc_list *l, int64_t index, struct kipc_value v)
{
	struct kipc_guard *g;
	struct kipc_slot *p, s;
	uint64_t len, at;
	int r;

	if (!l)
		return -EINVAL;
	r = __kipc_value_check(l->h.m, &v);
	if (!r)
		r = begin(l, &len);
	if (r)
		return r;
	g = __kipc_list_guard(l);
	if (!__kipc_list_resolve(index, len, &at)) {
		r = -ERANGE;
		goto out;
	}
	p = __kipc_list_slot(l->h.m, g, at);
	if (!p) {
		r = -EPROTO;
		goto out;
	}
	if (__kipc_slot_simple(&v, &s) && s.tag == load_relaxed(&p->tag)) {
		/* the sequence is for those who read more than this slot */
		__kipc_guard_seq_begin(g);
		store_relaxed(&p->payload, s.payload);
		KIPC_POINT("list.set_in_place");
		__kipc_guard_seq_end(g);
	} else {
		r = set_by_tx(l, p, &v);
	}
out:
	__kipc_list_unlock(l);
	return r;
}

/* Copies the element at `at` for the caller, before it is removed. */
static int take_copy(struct kipc_list *l, uint64_t at, struct kipc_value *v)
{
	struct kipc_slot *p = __kipc_list_slot(l->h.m, __kipc_list_guard(l), at);
	struct kipc_raw raw;
	int r;

	if (!p)
		return -EPROTO;
	r = __kipc_slot_read(l->h.m, p, &raw);
	if (!r)
		r = __kipc_raw_value(l->h.m, &raw, v);
	return r == -ENOENT ? -EPROTO : r;	/* a list's ref keeps its object alive */
}

/* Removes the element at `at`.  An error means damage. */
static int remove_at(struct kipc_list *l, uint64_t at, uint64_t len)
{
	struct kipc_guard *g = __kipc_list_guard(l);
	int r = 0;

	if (at == len - 1) {
		store_relaxed(&g->data[KIPC_LIST_FILL], len);
		step();		/* the slot stays owned when the length no longer covers it */
		KIPC_POINT("list.popping");
		__kipc_guard_seq_begin(g);
		store_release(&g->data[KIPC_LIST_LEN], len - 1);	/* the commit */
		KIPC_POINT("list.shorter");
		__kipc_guard_seq_end(g);
		step();
	} else {
		r = __kipc_list_move_out(l, at, len);
	}
	if (!r)
		r = __kipc_list_release_tail(l->h.m, g);
	if (!r && unlikely(((len - 1) & (KIPC_LIST_CHUNK - 1)) == 0))
		__kipc_list_trim(l, len - 1);
	return r;
}

int kipc_list_pop(struct kipc_list *l, int64_t index, struct kipc_value *v)
{
	uint64_t len, at;
	int r;

	if (!l)
		return -EINVAL;
	r = begin(l, &len);
	if (r)
		return r;
	if (!__kipc_list_resolve(index, len, &at))
		r = -ERANGE;
	if (!r && v)
		r = take_copy(l, at, v);
	if (!r) {
		r = remove_at(l, at, len);
		if (r && v)
			kipc_value_clear(v);
	}
	__kipc_list_unlock(l);
	return r;
}

int kipc_list_remove(struct kipc_list *l, struct kipc_value v)
{
	struct kipc_slot *p;
	uint64_t len;
	int r;

	if (!l)
		return -EINVAL;
	r = __kipc_value_check(l->h.m, &v);
	if (!r)
		r = begin(l, &len);
	if (r)
		return r;
	r = -ENOENT;
	for (uint64_t i = 0; i < len && r == -ENOENT; i++) {
		int equal;

		p = __kipc_list_slot(l->h.m, __kipc_list_guard(l), i);
		equal = p ? __kipc_slot_equal(l->h.m, p, &v) : -EPROTO;
		if (equal < 0)
			r = equal;
		else if (equal)
			r = remove_at(l, i, len);
	}
	__kipc_list_unlock(l);
	return r;
}

int kipc_list_clear(struct kipc_list *l)
{
	struct kipc_guard *g;
	struct kipc_tx *tx;
	uint64_t len;
	int r;

	if (!l)
		return -EINVAL;
	r = begin(l, &len);
	if (r)
		return r;
	g = __kipc_list_guard(l);
	r = __kipc_tx_begin(l->h.m, g, &tx);
	if (r)
		goto out;
	r = __kipc_tx_write(tx, __kipc_arena_off(l->h.m, &g->data[KIPC_LIST_LEN]), 0);
	if (!r)
		r = __kipc_tx_write(tx, __kipc_arena_off(l->h.m, &g->data[KIPC_LIST_DIR]), 0);
	if (!r)
		r = __kipc_tx_drop(tx, KIPC_OWN_LIST_DIR(len),
				   load_relaxed(&g->data[KIPC_LIST_DIR]));
	if (r)
		__kipc_tx_abort(l->h.m, g, tx);
	else
		r = __kipc_tx_commit(l->h.m, g, tx);
out:
	__kipc_list_unlock(l);
	return r;
}
