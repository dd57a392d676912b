// SPDX-License-Identifier: MIT
/* What the manager asks a dict: recovery after a death, destruction, the audit. */
#include "manager/audit.h"
#include "manager/dict.h"

static void init(struct kipc_obj_header *o, const void *arg)
{
	struct kipc_dict_shared *s = (struct kipc_dict_shared *)o;

	memcpy(s->hash_key, arg, sizeof(s->hash_key));
	s->nstripes = KIPC_DICT_STRIPES;
	for (uint32_t i = 0; i < KIPC_DICT_STRIPES; i++)
		s->stripes[i].shape = 1;
}

static int opened(struct kipc_handle *h)
{
	struct kipc_dict *d = container_of(h, struct kipc_dict, h);
	struct kipc_dict_shared *s = __kipc_dict_shared(d);

	d->hash_key[0] = load_relaxed(&s->hash_key[0]);
	d->hash_key[1] = load_relaxed(&s->hash_key[1]);
	return load_relaxed(&s->nstripes) == KIPC_DICT_STRIPES ? 0 : -EPROTO;
}

/* ---- recovery ---- */

/* NEW, and the reference that goes with it: a cell's, or nobody's. */
static int settle_new(const struct kipc_dict_ref *t)
{
	__u64 *new = &t->g->data[KIPC_DICT_NEW], *ref = &t->g->data[KIPC_DICT_REF];
	int linked = load_relaxed(new) ? __kipc_dict_linked(t, load_relaxed(new)) : 0, r;

	if (linked < 0)
		return linked;
	if (linked) {
		store_relaxed(ref, 0);
		step();
		KIPC_POINT("dict.settle_ref");
		store_relaxed(new, 0);
		KIPC_POINT("dict.settle_new");
		return 0;
	}
	r = __kipc_dict_drop(t, ref);
	return r ? r : __kipc_dict_free(t, new);
}

static int settle_old(const struct kipc_dict_ref *t)
{
	__u64 *old = &t->g->data[KIPC_DICT_OLD];
	uint64_t off = load_relaxed(old), shape;
	struct kipc_dict_bucket *head;
	struct kipc_dict_entry *e;
	int linked;

	if (!off)
		return 0;
	linked = __kipc_dict_linked(t, off);
	if (linked < 0)
		return linked;
	if (linked) {
		store_relaxed(old, 0);
		KIPC_POINT("dict.settle_old");
		return 0;
	}
	/* it was unlinked; whether readers were told isn't known */
	shape = __kipc_dict_buckets(load_relaxed(&t->s->shape));
	e = __kipc_arena_ptr(t->m, off);	/* checked by __kipc_dict_linked() */
	head = __kipc_dict_bucket(t->m, t->s, __kipc_dict_index(load_relaxed(&e->hash), shape));
	if (head)
		__kipc_dict_moved(head);
	return __kipc_dict_entry_free_old(t);
}

static int recount(const struct kipc_dict_ref *t)
{
	uint64_t shape = __kipc_dict_buckets(load_relaxed(&t->s->shape)), n = 0;
	/* in all chains together: more than there is room for are circles */
	uint64_t left = t->m->obj.seg.map_size / sizeof(struct kipc_dict_bucket);

	for (uint64_t i = 0; i < shape; i++) {
		struct kipc_dict_bucket *b = __kipc_dict_bucket(t->m, t->s, i);

		for (; b; left--) {
			if (!left)
				return -EPROTO;
			for (uint32_t c = 0; c < KIPC_DICT_CELLS; c++)
				n += load_relaxed(&b->cells[c]) != 0;
			b = load_relaxed(&b->next) ? __kipc_dict_next(t->m, b) : NULL;
		}
	}
	store_relaxed(&t->g->data[KIPC_DICT_COUNT], n);
	KIPC_POINT("dict.recounted");
	return 0;
}

/* All but what is to be freed or counted at length. */
static int settle(const struct kipc_dict_ref *t)
{
	uint64_t shape = load_relaxed(&t->s->shape);
	int r = 0;

	if (!__kipc_dict_shape_ok(shape))
		return -EPROTO;
	if (!(shape & KIPC_DICT_DRAIN))
		r = __kipc_dict_settle(t);
	if (!r)
		r = settle_new(t);
	return r ? r : settle_old(t);
}

int __kipc_dict_recover(const struct kipc_dict_ref *t)
{
	uint32_t budget = UINT32_MAX;
	uint64_t at = 0;
	int r;

	r = settle(t);
	if (r)
		return r;
	if (!(load_relaxed(&t->s->shape) & KIPC_DICT_DRAIN))
		return recount(t);
	do
		r = __kipc_dict_drain(t, &budget, &at);
	while (r == 1);
	return r;
}

static int recover(struct kipc_manager *m, struct kipc_obj_header *o, struct kipc_guard *g)
{
	struct kipc_dict_shared *s = (struct kipc_dict_shared *)o;
	struct kipc_dict_ref t;

	if (g < s->guards || g >= s->guards + KIPC_DICT_STRIPES)
		return 0;	/* the object's own, which protects nothing */
	t = __kipc_dict_stripe(m, s, (uint32_t)(g - s->guards));
	return __kipc_dict_recover(&t);
}

/* ---- destruction ---- */

/* o->cursor: stripe in the upper bits, then the bucket to go on with. */
#define CURSOR_SHIFT	40

static int destroy(struct kipc_manager *m, struct kipc_obj_header *o, uint32_t *budget)
{
	struct kipc_dict_shared *s = (struct kipc_dict_shared *)o;
	uint64_t cursor = load_relaxed(&o->cursor), at;
	int r = 0;

	for (uint64_t i = cursor >> CURSOR_SHIFT; i < KIPC_DICT_STRIPES; i++) {
		struct kipc_dict_ref t = __kipc_dict_stripe(m, s, (uint32_t)i);

		t.locked = true;
		/* in each step anew: who was at it before may have died with an entry in OLD */
		r = settle(&t);
		if (r)
			return r;
		at = cursor & ((1ULL << CURSOR_SHIFT) - 1);
		store_relaxed(&t.s->shape, load_relaxed(&t.s->shape) | KIPC_DICT_DRAIN);
		KIPC_POINT("dict.destroying");
		r = __kipc_dict_drain(&t, budget, &at);
		if (r < 0)
			return r;
		cursor = r ? i << CURSOR_SHIFT | at : (i + 1) << CURSOR_SHIFT;
		store_relaxed(&o->cursor, cursor);
		KIPC_POINT("dict.cursor");
		if (r)
			return r;
	}
	return 0;
}

/* ---- audit ---- */

/* Keys of a chain that later ones are compared with: an honest chain has a few. */
#define SEEN_MAX	64

/* What an entry says of itself: sizes that its block holds, a key of its type, the key's hash. */
static bool entry_ok(struct kipc_audit *a, const struct kipc_dict_ref *t, struct kipc_dict_entry *e)
{
	uint64_t meta = load_relaxed(&e->meta), off = __kipc_arena_off(t->m, e), hash_key[2];
	uint32_t ktype = KIPC_DICT_META_KTYPE(meta), klen = KIPC_DICT_META_KLEN(meta);
	bool str = ktype == KIPC_SLOT_STR || ktype == KIPC_SLOT_BYTES;

	if (__kipc_arena_block_size(t->m, off) < sizeof(*e) + klen +
						 (uint64_t)KIPC_DICT_META_VLEN(meta)) {
		__kipc_audit_bad(a, "a dict's entry is longer than its block", off);
		return false;
	}
	if (!str && (ktype != KIPC_SLOT_INT || klen != sizeof(int64_t))) {
		__kipc_audit_bad(a, "a dict's key is of no type that keys have", off);
		return false;
	}
	hash_key[0] = load_relaxed(&t->d->hash_key[0]) ^ ktype;
	hash_key[1] = load_relaxed(&t->d->hash_key[1]);
	if (__kipc_siphash13(hash_key, e->data, klen) != load_relaxed(&e->hash)) {
		__kipc_audit_bad(a, "a dict's entry has not the hash of its key", off);
		return false;
	}
	return true;
}

static void mark_entry(struct kipc_audit *a, const struct kipc_dict_ref *t, uint64_t cell,
		       uint64_t b, uint64_t n)
{
	uint64_t off = cell & KIPC_DICT_CELL_OFF, hash;
	struct kipc_dict_entry *e = __kipc_audit_block_at(a, off, sizeof(*e));

	if (!e)
		return;
	if (KIPC_DICT_META_VTYPE(load_relaxed(&e->meta)) == KIPC_SLOT_REF)
		__kipc_audit_owned(a, KIPC_OWN_REF, __kipc_arena_off(t->m, &e->payload));
	if (!entry_ok(a, t, e))
		return;
	hash = load_relaxed(&e->hash);
	if (!__kipc_dict_tag_is(cell, hash))
		__kipc_audit_bad(a, "a dict's cell has a wrong tag", off);
	if (&t->d->stripes[hash >> KIPC_DICT_STRIPE_SHIFT] != t->s)
		__kipc_audit_bad(a, "a dict's entry stands in a wrong stripe", off);
	else if (__kipc_dict_index(hash, n) != b)
		__kipc_audit_bad(a, "a dict's entry stands in a wrong bucket", off);
}

/* Whether two cells of a chain have entries of the same key; both were looked at already. */
static bool same_key(const struct kipc_dict_ref *t, uint64_t one, uint64_t two)
{
	struct kipc_dict_entry *a, *b;
	uint64_t meta = 0, other = 0;

	if ((one ^ two) >> KIPC_DICT_CELL_SHIFT)
		return false;	/* other tags: other hashes */
	a = __kipc_dict_entry(t->m, one, &meta);
	b = __kipc_dict_entry(t->m, two, &other);
	return a && b && load_relaxed(&a->hash) == load_relaxed(&b->hash) &&
	       KIPC_DICT_META_KTYPE(meta) == KIPC_DICT_META_KTYPE(other) &&
	       KIPC_DICT_META_KLEN(meta) == KIPC_DICT_META_KLEN(other) &&
	       !memcmp(a->data, b->data, KIPC_DICT_META_KLEN(meta));
}

/* The keys of one chain. */
static uint64_t mark_chain(struct kipc_audit *a, const struct kipc_dict_ref *t,
			   struct kipc_dict_bucket *bucket, uint64_t b, uint64_t n)
{
	uint64_t keys = 0, off = __kipc_arena_off(t->m, bucket), seen[SEEN_MAX];

	for (uint32_t steps = 0; bucket; steps++) {
		if (steps >= KIPC_DICT_CHAIN_MAX) {
			__kipc_audit_bad(a, "a dict's chain of buckets doesn't end", off);
			break;
		}
		for (uint32_t c = 0; c < KIPC_DICT_CELLS; c++) {
			uint64_t cell = load_relaxed(&bucket->cells[c]);

			if (!cell)
				continue;
			if (b < n)
				mark_entry(a, t, cell, b, n);
			else
				__kipc_audit_bad(a, "a dict's unused bucket has a cell", off);
			for (uint64_t i = 0; i < min_of(keys, (uint64_t)SEEN_MAX); i++)
				if (same_key(t, seen[i], cell))
					__kipc_audit_bad(a, "a dict has a key twice", off);
			if (keys < SEEN_MAX)
				seen[keys] = cell;
			keys++;
		}
		bucket = __kipc_audit_block(a, __kipc_arena_off(t->m, &bucket->next),
					    sizeof(*bucket));
	}
	return keys;
}

static void mark_stripe(struct kipc_audit *a, const struct kipc_dict_ref *t)
{
	uint64_t shape = load_relaxed(&t->s->shape), off = __kipc_arena_off(t->m, t->s);
	uint64_t ready = max_of(load_relaxed(&t->g->data[KIPC_DICT_READY]), 1ULL), keys;

	for (uint32_t w = KIPC_DICT_NEW; w <= KIPC_DICT_REF; w++)
		if (load_relaxed(&t->g->data[w]))
			__kipc_audit_bad(a, "a dict's change was left open", off);
	if (!__kipc_dict_shape_ok(shape) || (shape & KIPC_DICT_DRAIN) ||
	    ready > 1ULL << KIPC_DICT_SEGS || ready < shape) {
		__kipc_audit_bad(a, "a dict's number of buckets can't be", off);
		return;
	}
	keys = mark_chain(a, t, &t->s->first, 0, shape);
	for (uint32_t k = 0; k < KIPC_DICT_SEGS; k++) {
		uint64_t first = 1ULL << k, last = min_of(first * 2, ready);
		struct kipc_dict_bucket *seg = __kipc_audit_block(
			a, __kipc_arena_off(t->m, &t->s->segs[k]), sizeof(*seg) << k);

		if (!seg && first < shape)
			__kipc_audit_bad(a, "a dict lacks buckets", off);
		for (uint64_t b = first; seg && b < last; b++)
			keys += mark_chain(a, t, &seg[b - first], b, shape);
	}
	if (keys != load_relaxed(&t->g->data[KIPC_DICT_COUNT]))
		__kipc_audit_bad(a, "a dict's number of keys is wrong", off);
}

static void mark(struct kipc_audit *a, struct kipc_obj_header *o)
{
	struct kipc_manager *m = __kipc_audit_manager(a);

	for (uint32_t i = 0; i < KIPC_DICT_STRIPES; i++) {
		struct kipc_dict_ref t = __kipc_dict_stripe(m, (struct kipc_dict_shared *)o, i);

		mark_stripe(a, &t);
	}
}

const struct kipc_obj_type __kipc_dict_type = {
	.kind = KIPC_OBJ_DICT,
	.name = "dict",
	.size = sizeof(struct kipc_dict_shared),
	.handle_size = sizeof(struct kipc_dict),
	.guard_off = offsetof(struct kipc_dict_shared, guards),
	.nguards = KIPC_DICT_STRIPES,
	.init = init,
	.recover = recover,
	.destroy = destroy,
	.mark = mark,
	.opened = opened,
};
