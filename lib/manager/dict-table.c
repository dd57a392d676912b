// SPDX-License-Identifier: MIT
/*
 * A stripe's buckets: how a key is found by the holder of the guard, and how the table grows and
 * shrinks by one bucket (linear hashing: W. Litwin, "Linear hashing: a new tool for file and table
 * addressing", 1980).
 *
 * The memory of buckets from READY on was never written; what lies in [buckets, READY) is empty
 * unless a split or merge was cut short.  See dict.h for the steps and what a death in them leaves.
 */
#include "manager/dict.h"

static uint64_t ready_of(const struct kipc_dict_ref *t)
{
	return max_of(load_relaxed(&t->g->data[KIPC_DICT_READY]), 1ULL);
}

static __always_inline struct kipc_dict_bucket *at(const struct kipc_dict_ref *t, uint64_t b)
{
	return __kipc_dict_bucket(t->m, t->s, b);
}

__u64 *__kipc_dict_find(const struct kipc_dict_ref *t, const struct kipc_dict_key *k,
			struct kipc_dict_bucket **head, int *err)
{
	uint64_t shape = load_relaxed(&t->s->shape), meta, cell;
	struct kipc_dict_bucket *b;
	struct kipc_dict_entry *e;

	*err = -EPROTO;
	if (unlikely(!__kipc_dict_shape_ok(shape)))
		return NULL;
	b = *head = at(t, __kipc_dict_index(k->hash, __kipc_dict_buckets(shape)));
	for (uint32_t steps = 0; b && steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++) {
			cell = load_relaxed(&b->cells[i]);
			if (!cell || !__kipc_dict_tag_is(cell, k->hash))
				continue;
			e = __kipc_dict_entry(t->m, cell, &meta);
			if (unlikely(!e))
				return NULL;
			if (likely(__kipc_dict_key_is(e, meta, k))) {
				*err = 0;
				return &b->cells[i];
			}
		}
		if (likely(!load_relaxed(&b->next))) {
			*err = 0;
			return NULL;
		}
		b = __kipc_dict_next(t->m, b);
	}
	return NULL;
}

int __kipc_dict_room(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head, __u64 **cell)
{
	struct kipc_dict_bucket *b = head;
	int r;

	for (uint32_t steps = 0; b && steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++) {
			if (!load_relaxed(&b->cells[i])) {
				*cell = &b->cells[i];
				return 0;
			}
		}
		if (!load_relaxed(&b->next)) {
			if (steps + 1 == KIPC_DICT_CHAIN_MAX)
				return -ENOMEM;
			r = __kipc_dict_alloc_bucket(t, &b->next);
			if (r)
				return r;
		}
		b = __kipc_dict_next(t->m, b);
	}
	return -EPROTO;
}

static bool empty(const struct kipc_dict_bucket *b)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++)
		any |= load_relaxed(&b->cells[i]);
	return !any;
}

/*
 * The last bucket of a chain and the one before it; false: there is just one, or damage, and *last is
 * a bucket in any case.
 */
static bool tail(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head,
		 struct kipc_dict_bucket **prev, struct kipc_dict_bucket **last)
{
	struct kipc_dict_bucket *next;

	*last = head;
	for (uint32_t steps = 0; load_relaxed(&(*last)->next); steps++) {
		if (steps >= KIPC_DICT_CHAIN_MAX)
			return false;
		next = __kipc_dict_next(t->m, *last);
		if (!next)
			return false;
		*prev = *last;
		*last = next;
	}
	return *last != head;
}

int __kipc_dict_trim(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head)
{
	struct kipc_dict_bucket *prev, *last;
	int r;

	while (load_relaxed(&head->next) && tail(t, head, &prev, &last) && empty(last)) {
		__kipc_dict_moved(head);
		r = __kipc_dict_free(t, &prev->next);
		if (r)
			return r;
	}
	return 0;
}

/* Empties a chain that owns no entries: what stands in it are copies. */
static int reset(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head)
{
	struct kipc_dict_bucket *b = head;

	for (uint32_t steps = 0; b && steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++)
			store_relaxed(&b->cells[i], 0);
		KIPC_POINT("dict.bucket_reset");
		b = load_relaxed(&b->next) ? __kipc_dict_next(t->m, b) : NULL;
	}
	__kipc_dict_moved(head);
	return __kipc_dict_trim(t, head);
}

/* Removes what doesn't belong to bucket b of a table of n: copies of what stands elsewhere. */
static int clean(const struct kipc_dict_ref *t, uint64_t b, uint64_t n)
{
	struct kipc_dict_bucket *head = at(t, b), *p = head;
	uint64_t meta, cell;
	bool any = false;

	for (uint32_t steps = 0; p && steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++) {
			struct kipc_dict_entry *e;

			cell = load_relaxed(&p->cells[i]);
			if (!cell)
				continue;
			e = __kipc_dict_entry(t->m, cell, &meta);
			if (!e)
				return -EPROTO;
			if (__kipc_dict_index(load_relaxed(&e->hash), n) == b)
				continue;
			store_relaxed(&p->cells[i], 0);
			KIPC_POINT("dict.cell_cleaned");
			any = true;
		}
		if (!load_relaxed(&p->next)) {
			if (any)
				__kipc_dict_moved(head);
			return __kipc_dict_trim(t, head);
		}
		p = __kipc_dict_next(t->m, p);
	}
	return -EPROTO;
}

/*
 * Copies the cells of chain `from` that belong to bucket b of a table of n to the chain `to`.
 * 0, -ENOMEM, -EPROTO.
 */
static int copy_cells(const struct kipc_dict_ref *t, struct kipc_dict_bucket *from,
		      struct kipc_dict_bucket *to, uint64_t b, uint64_t n)
{
	uint64_t meta, cell;
	__u64 *room;
	int r;

	for (uint32_t steps = 0; from && steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++) {
			struct kipc_dict_entry *e;

			cell = load_relaxed(&from->cells[i]);
			if (!cell)
				continue;
			e = __kipc_dict_entry(t->m, cell, &meta);
			if (!e)
				return -EPROTO;
			if (__kipc_dict_index(load_relaxed(&e->hash), n) != b)
				continue;
			r = __kipc_dict_room(t, to, &room);
			if (r)
				return r;
			/* pairs with: readers' load of the cell [A] */
			store_release(room, cell);
			KIPC_POINT("dict.cell_copied");
		}
		if (!load_relaxed(&from->next))
			return 0;
		from = __kipc_dict_next(t->m, from);
	}
	return -EPROTO;
}

/* Bucket n exists and is empty: 0, -ENOMEM, -EPROTO. */
static int make_bucket(const struct kipc_dict_ref *t, uint64_t n)
{
	uint32_t k = 63 - (uint32_t)__builtin_clzll(n);
	struct kipc_dict_bucket *b;
	int r;

	if (!load_relaxed(&t->s->segs[k])) {
		/* not zeroed: that would take long for a large one */
		r = __kipc_arena_alloc(t->m, sizeof(*b) << k,
				       __kipc_arena_off(t->m, &t->s->segs[k]));
		if (r)
			return r;
	}
	b = at(t, n);
	if (!b)
		return -EPROTO;
	if (n >= ready_of(t)) {
		memset(b, 0, sizeof(*b));
		step();		/* from here on it is emptied, not zeroed */
		store_relaxed(&t->g->data[KIPC_DICT_READY], n + 1);
		step();
		KIPC_POINT("dict.bucket_ready");
	}
	return 0;
}

int __kipc_dict_grow(const struct kipc_dict_ref *t)
{
	uint64_t n = __kipc_dict_buckets(load_relaxed(&t->s->shape)), p;
	struct kipc_dict_bucket *from, *to;
	int r;

	if (!__kipc_dict_shape_ok(n))
		return -EPROTO;
	if (load_relaxed(&t->g->data[KIPC_DICT_COUNT]) <= n * KIPC_DICT_LOAD ||
	    n >= 1ULL << KIPC_DICT_SEGS)
		return 0;
	r = make_bucket(t, n);
	if (r)
		return r == -ENOMEM ? 0 : r;
	/* once: an enemy may take the segment's word away in between */
	p = __kipc_dict_parent(n);
	from = at(t, p);
	to = at(t, n);
	if (!from || !to)
		return -EPROTO;
	r = copy_cells(t, from, to, n, n + 1);
	if (r) {
		reset(t, to);
		return r == -ENOMEM ? 0 : r;
	}
	__kipc_dict_moved(to);
	/* the commit; pairs with: readers' load of the shape [B] */
	store_release(&t->s->shape, n + 1);
	step();
	KIPC_POINT("dict.split");
	return clean(t, p, n + 1);
}

/* Segment k is no longer in use: frees the one behind it, which was kept for a change of mind. */
static int free_spare(const struct kipc_dict_ref *t, uint32_t k)
{
	if (k + 1 >= KIPC_DICT_SEGS || !load_relaxed(&t->s->segs[k + 1]))
		return 0;
	if (ready_of(t) > 2ULL << k)
		store_relaxed(&t->g->data[KIPC_DICT_READY], 2ULL << k);
	step();		/* what is behind is memory again that was never written */
	KIPC_POINT("dict.spare_unready");
	/* pairs with: readers' check of gen [C] */
	store_release(&t->s->gen, load_relaxed(&t->s->gen) + 1);
	fence_release();
	KIPC_POINT("dict.spare_gen");
	return __kipc_dict_free(t, &t->s->segs[k + 1]);
}

int __kipc_dict_shrink(const struct kipc_dict_ref *t)
{
	uint64_t n = __kipc_dict_buckets(load_relaxed(&t->s->shape)), last = n - 1, p;
	struct kipc_dict_bucket *from, *to;
	int r;

	if (n < 2 || load_relaxed(&t->g->data[KIPC_DICT_COUNT]) >= n * KIPC_DICT_LOAD_LOW)
		return 0;
	p = __kipc_dict_parent(last);
	from = at(t, last);
	to = at(t, p);
	if (!from || !to)
		return -EPROTO;
	/* in a table of `last` buckets, all of it belongs to p */
	r = copy_cells(t, from, to, p, last);
	if (r) {
		clean(t, p, n);
		return r == -ENOMEM ? 0 : r;
	}
	__kipc_dict_moved(to);
	/* the commit; pairs with: readers' load of the shape [B] */
	store_release(&t->s->shape, last);
	step();
	KIPC_POINT("dict.merged");
	r = reset(t, from);
	if (!r && !(last & (last - 1)))
		r = free_spare(t, 63 - (uint32_t)__builtin_clzll(last));
	return r;
}

int __kipc_dict_settle(const struct kipc_dict_ref *t)
{
	uint64_t n = __kipc_dict_buckets(load_relaxed(&t->s->shape));
	struct kipc_dict_bucket *spare;
	int r = 0;

	if (!__kipc_dict_shape_ok(n))
		return -EPROTO;
	if (n > 1)
		r = clean(t, __kipc_dict_parent(n - 1), n);
	if (!r && n < ready_of(t)) {
		spare = at(t, n);
		r = spare ? reset(t, spare) : -EPROTO;
	}
	return r;
}

int __kipc_dict_linked(const struct kipc_dict_ref *t, uint64_t off)
{
	uint64_t n = __kipc_dict_buckets(load_relaxed(&t->s->shape));
	struct kipc_dict_entry *e = __kipc_arena_at(t->m, off, sizeof(*e));
	struct kipc_dict_bucket *b;

	if (!e)
		return -EPROTO;
	b = at(t, __kipc_dict_index(load_relaxed(&e->hash), n));
	if (!b)
		return 0;	/* a clear() has freed the bucket already */
	for (uint32_t steps = 0; b && steps < KIPC_DICT_CHAIN_MAX; steps++) {
		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++)
			if ((load_relaxed(&b->cells[i]) & KIPC_DICT_CELL_OFF) == off)
				return 1;
		if (!load_relaxed(&b->next))
			return 0;
		b = __kipc_dict_next(t->m, b);
	}
	return -EPROTO;
}

/* Frees the entries of one chain and its continuations.  1: the budget is used up. */
static int drain_chain(const struct kipc_dict_ref *t, struct kipc_dict_bucket *head,
		       uint32_t *budget)
{
	struct kipc_dict_bucket *prev, *last;
	uint64_t cell;
	int r;

	for (uint32_t steps = 0; steps < KIPC_DICT_CHAIN_MAX; steps++) {
		bool more = tail(t, head, &prev, &last);

		for (uint32_t i = 0; i < KIPC_DICT_CELLS; i++) {
			cell = load_relaxed(&last->cells[i]) & KIPC_DICT_CELL_OFF;
			if (!cell)
				continue;
			if (!*budget)
				return 1;
			--*budget;
			store_relaxed(&t->g->data[KIPC_DICT_OLD], cell);
			step();		/* it is the cell's as long as that has it */
			KIPC_POINT("dict.drain_old");
			store_relaxed(&last->cells[i], 0);
			KIPC_POINT("dict.drain_cell");
			__kipc_dict_moved(head);
			r = __kipc_dict_entry_free_old(t);
			if (r)
				return r;
		}
		if (!more)
			return load_relaxed(&head->next) ? -EPROTO : 0;
		if (!*budget)
			return 1;
		--*budget;
		r = __kipc_dict_free(t, &prev->next);
		if (r)
			return r;
	}
	return -EPROTO;
}

int __kipc_dict_drain(const struct kipc_dict_ref *t, uint32_t *budget, uint64_t *from)
{
	uint64_t n = __kipc_dict_buckets(load_relaxed(&t->s->shape));
	int r;

	if (!__kipc_dict_shape_ok(n))
		return -EPROTO;
	for (; *from < n; ++*from) {
		struct kipc_dict_bucket *b = at(t, *from);

		/* while the segments are freed below, a death leaves some of them gone */
		if (!b && *from && !load_relaxed(&t->s->segs[63 - __builtin_clzll(*from)]))
			continue;
		r = b ? drain_chain(t, b, budget) : -EPROTO;
		if (r)
			return r;
	}
	store_relaxed(&t->g->data[KIPC_DICT_COUNT], 0);
	store_relaxed(&t->g->data[KIPC_DICT_READY], 1);
	step();		/* what is behind bucket 0 is memory again that was never written */
	KIPC_POINT("dict.drained");
	/* pairs with: readers' check of gen [C] */
	store_release(&t->s->gen, load_relaxed(&t->s->gen) + 1);
	fence_release();
	KIPC_POINT("dict.drain_gen");
	for (uint32_t k = 0; k < KIPC_DICT_SEGS; k++) {
		if (!load_relaxed(&t->s->segs[k]))
			continue;
		if (!*budget)
			return 1;
		--*budget;
		r = __kipc_dict_free(t, &t->s->segs[k]);
		if (r)
			return r;
	}
	step();
	/* pairs with: readers' load of the shape [B] */
	store_release(&t->s->shape, 1);
	KIPC_POINT("dict.drain_ended");
	return 0;
}
