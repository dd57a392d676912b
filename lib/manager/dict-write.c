// SPDX-License-Identifier: MIT
/* What changes a dict: see dict.h for which store makes each of these happen. */
#include "manager/dict.h"

static __u64 *word(const struct kipc_dict_ref *t, enum kipc_dict_word w)
{
	return &t->g->data[w];
}

/* Enters, hashes the key, takes the stripe. */
static int begin(struct kipc_dict *d, const struct kipc_value *key, struct kipc_dict_key *k,
		 struct kipc_dict_ref *t)
{
	int r;

	r = __kipc_dict_key(d, key, k);
	if (unlikely(r))
		return r;
	r = __kipc_handle_enter(&d->h);
	if (unlikely(r))
		return r;
	*t = __kipc_dict_at_hash(d, k->hash);
	r = __kipc_dict_lock(d, t);
	if (unlikely(r))
		return r;
	/* a clear() that gave up on damage */
	if (unlikely(load_relaxed(&t->s->shape) & KIPC_DICT_DRAIN)) {
		r = __kipc_dict_recover(t);
		if (r)
			__kipc_dict_unlock(t);
	}
	return r;
}

/* The new entry is a cell's now: it and its reference are no longer the stripe's. */
static void handed_over(const struct kipc_dict_ref *t)
{
	step();
	store_relaxed(word(t, KIPC_DICT_REF), 0);
	step();
	KIPC_POINT("dict.ref_handed_over");
	store_relaxed(word(t, KIPC_DICT_NEW), 0);
	step();
	KIPC_POINT("dict.handed_over");
}

/* A value that takes the place of one of its own type by one store. */
static bool in_place(const struct kipc_value *v, uint32_t slot_type, uint64_t *payload)
{
	switch (slot_type) {
	case KIPC_SLOT_BOOL:
		*payload = v->type == KIPC_BOOL && v->b;
		return v->type == KIPC_BOOL;
	case KIPC_SLOT_INT:
		*payload = (uint64_t)v->i;
		return v->type == KIPC_INT;
	case KIPC_SLOT_DOUBLE:
		*payload = (uint64_t)v->i;	/* the same bits */
		return v->type == KIPC_DOUBLE;
	}
	return false;
}

static int replace(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head, __u64 *cell,
		   const struct kipc_dict_key *k, const struct kipc_value *v)
{
	struct kipc_dict_entry *e;
	uint64_t meta, payload;
	int r;

	e = __kipc_dict_entry(t->m, *cell, &meta);
	if (unlikely(!e))
		return -EPROTO;
	if (in_place(v, KIPC_DICT_META_VTYPE(meta), &payload)) {
		store_release(&e->payload, payload);
		KIPC_POINT("dict.replaced_in_place");
		return 0;
	}
	r = __kipc_dict_entry_make(t, k, v);
	if (unlikely(r))
		return r;
	store_relaxed(word(t, KIPC_DICT_OLD), *cell & KIPC_DICT_CELL_OFF);
	step();		/* OLD is the cell's as long as that has it */
	KIPC_POINT("dict.replace_old");
	/* the commit; pairs with: readers' load of the cell [A] */
	store_release(cell, __kipc_dict_cell(k->hash, load_relaxed(word(t, KIPC_DICT_NEW))));
	step();
	KIPC_POINT("dict.replaced");
	__kipc_dict_moved(head);
	handed_over(t);
	return __kipc_dict_entry_free_old(t);
}

static int insert(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head,
		  const struct kipc_dict_key *k, const struct kipc_value *v)
{
	__u64 *cell;
	int r;

	r = __kipc_dict_room(t, head, &cell);
	if (likely(!r))
		r = __kipc_dict_entry_make(t, k, v);
	if (unlikely(r)) {
		__kipc_dict_trim(t, head);
		return r;
	}
	/* the commit; pairs with: readers' load of the cell [A] */
	store_release(cell, __kipc_dict_cell(k->hash, load_relaxed(word(t, KIPC_DICT_NEW))));
	KIPC_POINT("dict.inserted");
	handed_over(t);
	store_relaxed(word(t, KIPC_DICT_COUNT), load_relaxed(word(t, KIPC_DICT_COUNT)) + 1);
	KIPC_POINT("dict.insert_counted");
	return __kipc_dict_grow(t);
}

/* What the cell has leaves the dict. */
static int erase(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head, __u64 *cell)
{
	int r;

	store_relaxed(word(t, KIPC_DICT_OLD), *cell & KIPC_DICT_CELL_OFF);
	step();		/* OLD is the cell's as long as that has it */
	KIPC_POINT("dict.erase_old");
	store_release(cell, 0);		/* the commit */
	step();
	KIPC_POINT("dict.erased");
	__kipc_dict_moved(head);
	store_relaxed(word(t, KIPC_DICT_COUNT), load_relaxed(word(t, KIPC_DICT_COUNT)) - 1);
	KIPC_POINT("dict.erase_counted");
	r = __kipc_dict_entry_free_old(t);
	if (!r)
		r = __kipc_dict_trim(t, head);
	return r ? r : __kipc_dict_shrink(t);
}

int kipc_dict_set(struct kipc_dict *d, struct kipc_value key, struct kipc_value v)
{
	struct kipc_dict_bucket *head;
	struct kipc_dict_key k;
	struct kipc_dict_ref t;
	__u64 *cell;
	int r;

	if (unlikely(!d))
		return -EINVAL;
	r = __kipc_value_check(d->h.m, &v);
	if (likely(!r))
		r = begin(d, &key, &k, &t);
	if (unlikely(r))
		return r;
	cell = __kipc_dict_find(&t, &k, &head, &r);
	if (cell)
		r = replace(&t, head, cell, &k, &v);
	else if (likely(!r))
		r = insert(&t, head, &k, &v);
	__kipc_dict_unlock(&t);
	return r;
}

/* The cell's value, made under the guard. */
static int take_copy(const struct kipc_dict_ref *t, const __u64 *cell, struct kipc_value *v)
{
	struct kipc_dict_entry *e;
	struct kipc_raw raw;
	uint64_t meta;
	int r;

	e = __kipc_dict_entry(t->m, *cell, &meta);
	if (!e)
		return -EPROTO;
	r = __kipc_dict_copy_value(e, meta, &raw);
	if (!r)
		r = __kipc_raw_value(t->m, &raw, v);
	return r == -ENOENT ? -EPROTO : r;	/* a dict's ref keeps its object alive */
}

/* del, and pop where v isn't NULL. */
static int take(struct kipc_dict *d, const struct kipc_value *key, struct kipc_value *v)
{
	struct kipc_dict_bucket *head;
	struct kipc_dict_key k;
	struct kipc_dict_ref t;
	__u64 *cell;
	int r;

	if (!d)
		return -EINVAL;
	r = begin(d, key, &k, &t);
	if (r)
		return r;
	cell = __kipc_dict_find(&t, &k, &head, &r);
	if (!cell && !r)
		r = -ENOENT;
	if (!r && v)
		r = take_copy(&t, cell, v);
	if (!r) {
		r = erase(&t, head, cell);
		if (r && v)
			kipc_value_clear(v);
	}
	__kipc_dict_unlock(&t);
	return r;
}

int kipc_dict_del(struct kipc_dict *d, struct kipc_value key)
{
	return take(d, &key, NULL);
}

int kipc_dict_pop(struct kipc_dict *d, struct kipc_value key, struct kipc_value *v)
{
	return take(d, &key, v);
}

int kipc_dict_setdefault(struct kipc_dict *d, struct kipc_value key, struct kipc_value dflt,
			 struct kipc_value *v)
{
	struct kipc_value copy = kipc_none();
	struct kipc_dict_bucket *head;
	struct kipc_dict_key k;
	struct kipc_dict_ref t;
	__u64 *cell;
	int r;

	if (!d)
		return -EINVAL;
	r = __kipc_value_check(d->h.m, &dflt);
	if (!r)
		r = begin(d, &key, &k, &t);
	if (r)
		return r;
	cell = __kipc_dict_find(&t, &k, &head, &r);
	if (r) {
		/* damage */
	} else if (cell) {
		r = v ? take_copy(&t, cell, v) : 0;
	} else {
		r = v ? kipc_value_copy(&copy, &dflt) : 0;
		if (!r)
			r = insert(&t, head, &k, &dflt);
		if (!r) {
			if (v)
				*v = copy;
			r = 1;
		} else {
			kipc_value_clear(&copy);
		}
	}
	__kipc_dict_unlock(&t);
	return r;
}

int kipc_dict_update(struct kipc_dict *d, const struct kipc_value *keys, const struct kipc_value *v,
		     size_t n)
{
	struct kipc_dict_key k;
	int r = 0;

	if (!d || ((!keys || !v) && n))
		return -EINVAL;
	for (size_t i = 0; i < n && !r; i++) {
		r = __kipc_value_check(d->h.m, &v[i]);
		if (!r)
			r = __kipc_dict_key(d, &keys[i], &k);
	}
	for (size_t i = 0; i < n && !r; i++)
		r = kipc_dict_set(d, keys[i], v[i]);
	return r;
}

static int clear_stripe(struct kipc_dict *d, const struct kipc_dict_ref *t)
{
	uint32_t budget = UINT32_MAX;
	uint64_t at = 0, shape;
	int r;

	r = __kipc_dict_lock(d, t);
	if (r)
		return r;
	shape = load_relaxed(&t->s->shape);
	if (shape != 1 || load_relaxed(word(t, KIPC_DICT_COUNT)) || load_relaxed(&t->s->segs[0])) {
		/* the commit; pairs with: readers' load of the shape [B] */
		store_release(&t->s->shape, shape | KIPC_DICT_DRAIN);
		step();
		KIPC_POINT("dict.clearing");
		do
			r = __kipc_dict_drain(t, &budget, &at);
		while (r == 1);
	}
	__kipc_dict_unlock(t);
	return r;
}

int kipc_dict_clear(struct kipc_dict *d)
{
	int r;

	if (!d)
		return -EINVAL;
	r = __kipc_handle_enter(&d->h);
	for (uint32_t i = 0; i < KIPC_DICT_STRIPES && !r; i++) {
		struct kipc_dict_ref t =
			__kipc_dict_stripe(d->h.m, __kipc_dict_shared(d), i);

		r = clear_stripe(d, &t);
	}
	return r;
}
