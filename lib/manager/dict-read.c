// SPDX-License-Identifier: MIT
/*
 * Looking a key up, without the stripe's guard as long as that works: see dict.h for why what
 * passes valid() is what stood there at that moment.
 */
#include "manager/dict.h"
#include "manager/readonly.h"

/* What a look-up rests on. */
struct view {
	uint64_t gen, shape, version;
	const struct kipc_dict_bucket *head;
};

static __always_inline bool valid(const struct kipc_dict_ref *t, const struct view *w,
				  uint64_t hash)
{
	uint64_t shape;

	fence_acquire();	/* pairs with: __kipc_dict_moved(), and where gen moves [C] */
	shape = load_acquire(&t->s->shape);	/* pairs with: split and merge [B] */
	if (unlikely(load_acquire(&t->s->gen) != w->gen))
		return false;
	if (unlikely(shape != w->shape) &&
	    (!__kipc_dict_shape_ok(shape) || (shape & KIPC_DICT_DRAIN) ||
	     __kipc_dict_index(hash, __kipc_dict_buckets(shape)) !=
		     __kipc_dict_index(hash, __kipc_dict_buckets(w->shape))))
		return false;
	return likely(load_relaxed(&w->head->version) == w->version);
}

/*
 * One try.  0: found, and copied if raw isn't NULL; -ENOENT: not there; other errors.  -EAGAIN: a
 * writer was faster; -EPROTO may mean that too.
 */
static __racy int look(const struct kipc_dict_ref *t, const struct kipc_dict_key *k,
		       struct kipc_raw *raw)
{
	struct kipc_dict_bucket *b;
	struct kipc_dict_entry *e;
	uint64_t meta, cell;
	struct view w;
	int r;

	w.gen = load_acquire(&t->s->gen);
	w.shape = load_acquire(&t->s->shape);	/* pairs with: split and merge [B] */
	if (unlikely(!__kipc_dict_shape_ok(w.shape)))
		return -EPROTO;
	if (unlikely(w.shape & KIPC_DICT_DRAIN))
		return -ENOENT;
	b = __kipc_dict_bucket(t->m, t->s, __kipc_dict_index(k->hash, w.shape));
	if (unlikely(!b))
		return -EPROTO;
	w.head = b;
	w.version = load_acquire(&b->version);	/* pairs with: __kipc_dict_moved() */
	for (uint32_t steps = 0; steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++) {
			/* pairs with: the stores that link an entry [A] */
			cell = load_acquire(&b->cells[i]);
			if (!cell || !__kipc_dict_tag_is(cell, k->hash))
				continue;
			/*
			 * the value begins in the next line, or ends there: both are fetched at
			 * once
			 */
			if (raw)
				__builtin_prefetch(t->m->obj.seg.base +
						   (cell & KIPC_DICT_CELL_OFF) + 64);
			e = __kipc_dict_entry(t->m, cell, &meta);
			if (unlikely(!e))
				return -EPROTO;
			if (unlikely(!__kipc_dict_key_is(e, meta, k)))
				continue;
			r = raw ? __kipc_dict_copy_value(e, meta, raw) : 0;
			if (likely(valid(t, &w, k->hash)))
				return r;
			if (!r && raw)
				__kipc_raw_drop(raw);
			return -EAGAIN;
		}
		if (likely(!load_acquire(&b->next)))
			return valid(t, &w, k->hash) ? -ENOENT : -EAGAIN;
		b = __kipc_dict_next(t->m, b);
		if (unlikely(!b))
			return -EPROTO;
	}
	return -EPROTO;
}

/* As look(), under the guard. */
static __cold int look_locked(struct kipc_dict *d, const struct kipc_dict_ref *t,
			      const struct kipc_dict_key *k, struct kipc_value *v)
{
	struct kipc_dict_bucket *head;
	struct kipc_dict_entry *e;
	struct kipc_raw raw;
	__u64 *cell;
	uint64_t meta;
	int r;

	r = __kipc_dict_lock(d, t);
	if (r)
		return r;
	if (load_relaxed(&t->s->shape) & KIPC_DICT_DRAIN) {
		r = -ENOENT;
		goto out;
	}
	cell = __kipc_dict_find(t, k, &head, &r);
	if (!cell) {
		r = r ? r : -ENOENT;
		goto out;
	}
	if (!v)
		goto out;
	e = __kipc_dict_entry(t->m, *cell, &meta);
	r = e ? __kipc_dict_copy_value(e, meta, &raw) : -EPROTO;
	if (r)
		goto out;
	r = __kipc_raw_value(d->h.m, &raw, v);
	if (r == -ENOENT)
		r = -EPROTO;	/* a dict's ref keeps its object alive */
out:
	__kipc_dict_unlock(t);
	return r;
}

/* A few tries.  -EAGAIN, or -EPROTO, which may mean that too: to be found out in another way. */
static __always_inline int look_tries(struct kipc_dict *d, const struct kipc_dict_ref *t,
				      const struct kipc_dict_key *k, struct kipc_value *v)
{
	struct kipc_raw raw;
	int r = -EAGAIN;

	for (int tries = 0; tries < KIPC_DICT_TRIES; tries++) {
		r = look(t, k, v ? &raw : NULL);
		if (likely(!r)) {
			if (!v)
				return 0;
			r = __kipc_raw_value(d->h.m, &raw, v);
			/* the object of a ref went away after the look */
			if (unlikely(r == -ENOENT)) {
				r = -EAGAIN;
				continue;
			}
			return r;
		}
		if (r != -EAGAIN && r != -EPROTO)
			break;
	}
	return r;
}

/* Instead of the guard, for who can only read. */
static __cold int look_again(struct kipc_dict *d, const struct kipc_dict_ref *t,
			     const struct kipc_dict_key *k, struct kipc_value *v)
{
	int64_t deadline = 0;
	int r;

	for (;;) {
		r = look_tries(d, t, k, v);
		if (!__kipc_handle_alive(&d->h)) {
			if (!r && v)
				kipc_value_clear(v);
			return -ENOENT;
		}
		if (r != -EAGAIN && r != -EPROTO)
			return r;
		if (__kipc_readonly_nap(&deadline))
			return r == -EPROTO ? r : -ETIMEDOUT;
	}
}

/* 0, and *v if it isn't NULL; -ENOENT, or an error. */
static int lookup(struct kipc_dict *d, const struct kipc_value *key, struct kipc_value *v)
{
	struct kipc_dict_key k;
	struct kipc_dict_ref t;
	int r;

	r = __kipc_dict_key(d, key, &k);
	if (unlikely(r))
		return r;
	r = __kipc_handle_enter_read(&d->h);
	if (unlikely(r))
		return r;
	t = __kipc_dict_at_hash(d, k.hash);
	if (unlikely(__kipc_readonly(d->h.m)))
		return look_again(d, &t, &k, v);
	r = look_tries(d, &t, &k, v);
	return likely(r != -EAGAIN && r != -EPROTO) ? r : look_locked(d, &t, &k, v);
}

int kipc_dict_get(struct kipc_dict *d, struct kipc_value key, struct kipc_value *v)
{
	if (unlikely(!d || !v))
		return -EINVAL;
	return lookup(d, &key, v);
}

int kipc_dict_contains(struct kipc_dict *d, struct kipc_value key)
{
	int r;

	if (!d)
		return -EINVAL;
	r = __kipc_handle_enter_read(&d->h);	/* its -ENOENT is none of the key's */
	if (r)
		return r;
	r = lookup(d, &key, NULL);
	return r == -ENOENT ? 0 : r ? r : 1;
}

int64_t kipc_dict_len(struct kipc_dict *d)
{
	struct kipc_dict_shared *s;
	int64_t n = 0;
	int r;

	if (!d)
		return -EINVAL;
	r = __kipc_handle_enter_read(&d->h);
	if (r)
		return r;
	s = __kipc_dict_shared(d);
	for (uint32_t i = 0; i < KIPC_DICT_STRIPES; i++)
		if (!(load_acquire(&s->stripes[i].shape) & KIPC_DICT_DRAIN))
			/* damage can't make it negative */
			n += (int64_t)(load_relaxed(&s->guards[i].data[KIPC_DICT_COUNT]) &
				       (INT64_MAX >> 4));
	return __kipc_handle_alive(&d->h) ? n : -ENOENT;
}
