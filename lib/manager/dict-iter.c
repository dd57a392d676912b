// SPDX-License-Identifier: MIT
/*
 * All keys: a stripe at a time is copied under its guard, and given away without it.
 *
 * So a key that is there all the time is met exactly once, whatever splits and merges go on, and
 * the caller may do what it likes with the dict meanwhile.
 *
 * Who can only read copies without the guard, a bucket at a time, and asks of each as a look-up
 * does (dict.h) whether it stood still; if not, the stripe is copied anew.  A stripe that splits or
 * merges meanwhile is copied anew as a whole, so the same holds of a key that is there all the
 * time.
 */
#include <stdlib.h>

#include "manager/dict.h"
#include "manager/readonly.h"

struct pair {
	struct kipc_value key, v;
};

struct pairs {
	struct pair *p;
	uint64_t n, room;	/* filled, allocated */
	uint64_t want;		/* of them wanted at most: others are only counted */
	uint64_t seen;
	bool values;
};

/* All from the one of that number on. */
static void drop_from(struct pairs *ps, uint64_t first)
{
	for (uint64_t i = first; i < ps->n; i++) {
		kipc_value_clear(&ps->p[i].key);
		kipc_value_clear(&ps->p[i].v);
	}
	ps->n = min_of(ps->n, first);
}

static void drop(struct pairs *ps)
{
	drop_from(ps, 0);
}

/*
 * shape, bucket: who holds no guard may meet a split or merge that a death left half-done, with
 * copies of cells in the wrong bucket.  shape 0: that can't be.
 */
static int add(const struct kipc_dict_ref *t, struct pairs *ps, uint64_t cell, uint64_t shape,
	       uint64_t bucket)
{
	struct pair *p;
	struct kipc_dict_entry *e;
	struct kipc_raw raw;
	uint64_t meta;
	int r;

	if (shape) {
		e = __kipc_dict_entry(t->m, cell, &meta);
		if (!e)
			return -EPROTO;
		if (__kipc_dict_index(load_relaxed(&e->hash), shape) != bucket)
			return 0;
	}
	/* more than there is room for: a circle of buckets */
	if (++ps->seen > t->m->obj.seg.map_size / sizeof(*e))
		return -EPROTO;
	if (ps->n >= ps->want)
		return 0;
	if (ps->n == ps->room) {
		uint64_t room = ps->room ? ps->room * 2 : 64;

		p = reallocarray(ps->p, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		ps->p = p;
		ps->room = room;
	}
	e = __kipc_dict_entry(t->m, cell, &meta);
	if (!e)
		return -EPROTO;
	p = &ps->p[ps->n];
	p->v = kipc_none();
	r = __kipc_dict_copy_key(e, meta, &raw);
	if (!r)
		r = __kipc_raw_value(t->m, &raw, &p->key);
	if (r)
		return r;
	if (ps->values) {
		r = __kipc_dict_copy_value(e, meta, &raw);
		if (!r)
			r = __kipc_raw_value(t->m, &raw, &p->v);
		if (r) {
			kipc_value_clear(&p->key);
			return r == -ENOENT ? -EPROTO : r;
		}
	}
	ps->n++;
	return 0;
}

static int add_chain(const struct kipc_dict_ref *t, struct pairs *ps, struct kipc_dict_bucket *b,
		     uint64_t shape, uint64_t bucket)
{
	int r;

	for (uint32_t steps = 0; b && steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++) {
			/* pairs with: the stores that link an entry [A] */
			uint64_t cell = load_acquire(&b->cells[i]);

			r = cell ? add(t, ps, cell, shape, bucket) : 0;
			if (r)
				return r;
		}
		if (!load_relaxed(&b->next))
			return 0;
		b = __kipc_dict_next(t->m, b);
	}
	return -EPROTO;
}

/*
 * One look at the stripe without its guard.  -EAGAIN: it moved; other errors may mean that, too, or
 * that an object went away in the middle.
 */
static int look_stripe(const struct kipc_dict_ref *t, struct pairs *ps)
{
	uint64_t gen = load_acquire(&t->s->gen), shape = load_acquire(&t->s->shape), version;
	struct kipc_dict_bucket *head;
	int r;

	if (!__kipc_dict_shape_ok(shape))
		return -EPROTO;
	if (shape & KIPC_DICT_DRAIN)
		return 0;
	for (uint64_t b = 0; b < shape; b++) {
		head = __kipc_dict_bucket(t->m, t->s, b);
		if (!head)
			return -EPROTO;
		version = load_acquire(&head->version);	/* pairs with: __kipc_dict_moved() */
		r = add_chain(t, ps, head, shape, b);
		if (r)
			return r;
		fence_acquire();	/* pairs with: __kipc_dict_moved(), and where gen moves [C] */
		if (load_acquire(&t->s->shape) != shape || load_acquire(&t->s->gen) != gen ||
		    load_relaxed(&head->version) != version)
			return -EAGAIN;
	}
	return 0;
}

static int add_stripe_readonly(struct kipc_dict *d, const struct kipc_dict_ref *t, struct pairs *ps)
{
	uint64_t n = ps->n, seen = ps->seen;
	int64_t deadline = 0;
	int r;

	for (;;) {
		r = look_stripe(t, ps);
		if (!__kipc_handle_alive(&d->h))
			return -ENOENT;
		if (!r || r == -ENOMEM)
			return r;
		drop_from(ps, n);
		ps->seen = seen;
		if (__kipc_readonly_nap(&deadline))
			return r == -EAGAIN ? -ETIMEDOUT : -EPROTO;
	}
}

/* Adds what stripe i has.  On error, what was added before is still there. */
static int add_stripe(struct kipc_dict *d, uint32_t i, struct pairs *ps)
{
	struct kipc_dict_ref t = __kipc_dict_stripe(d->h.m, __kipc_dict_shared(d), i);
	uint64_t shape;
	int r;

	if (__kipc_readonly(d->h.m))
		return add_stripe_readonly(d, &t, ps);
	r = __kipc_dict_lock(d, &t);
	if (r)
		return r;
	shape = load_relaxed(&t.s->shape);
	if (!__kipc_dict_shape_ok(shape))
		r = -EPROTO;
	else if (!(shape & KIPC_DICT_DRAIN))
		for (uint64_t b = 0; b < shape && !r; b++)
			r = add_chain(&t, ps, __kipc_dict_bucket(t.m, t.s, b), 0, b);
	__kipc_dict_unlock(&t);
	return r;
}

static int64_t collect(struct kipc_dict *d, struct kipc_value *keys, struct kipc_value *v,
		       size_t max, bool values)
{
	struct pairs ps = { .want = max, .values = values };
	int r;

	if (!d || (max && (!keys || (values && !v))))
		return -EINVAL;
	r = __kipc_handle_enter_read(&d->h);
	for (uint32_t i = 0; i < KIPC_DICT_STRIPES && !r; i++)
		r = add_stripe(d, i, &ps);
	if (r)
		drop(&ps);
	for (uint64_t i = 0; i < ps.n; i++) {
		keys[i] = ps.p[i].key;
		if (values)
			v[i] = ps.p[i].v;
	}
	free(ps.p);
	return r ? r : (int64_t)ps.seen;
}

int64_t kipc_dict_keys(struct kipc_dict *d, struct kipc_value *keys, size_t max)
{
	return collect(d, keys, NULL, max, false);
}

int64_t kipc_dict_items(struct kipc_dict *d, struct kipc_value *keys, struct kipc_value *v,
			size_t max)
{
	return collect(d, keys, v, max, true);
}

int kipc_dict_foreach(struct kipc_dict *d,
		      int (*fn)(struct kipc_value *key, struct kipc_value *v, void *arg), void *arg)
{
	struct pairs ps = { .want = UINT64_MAX, .values = true };
	int r;

	if (!d || !fn)
		return -EINVAL;
	r = __kipc_handle_enter_read(&d->h);
	for (uint32_t i = 0; i < KIPC_DICT_STRIPES && !r; i++) {
		r = add_stripe(d, i, &ps);
		for (uint64_t n = 0; n < ps.n && !r; n++)
			r = fn(&ps.p[n].key, &ps.p[n].v, arg);
		drop(&ps);
	}
	free(ps.p);
	return r;
}
