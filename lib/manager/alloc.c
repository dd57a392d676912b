// SPDX-License-Identifier: MIT
/*
 * Slabs and large blocks: see alloc.h and uapi/kipc/manager.h.  Arena's lock held throughout.
 *
 * Each class has a list of slabs with free blocks; the first one is used until it is full.  A slab
 * without blocks goes back to the free spans unless it is the only one with room.  Lists and counts
 * are hints: wrong ones (a hostile peer) give -EPROTO or a new slab, never a bad address.
 *
 * The classes follow jemalloc's and tcmalloc's: linear at first, then eight a doubling, so that a
 * block is at most an eighth larger than what was asked for.
 */
#include <string.h>

#include "manager/alloc.h"

#define BITS		(64 * KIPC_SPAN_MAP)

#define C_SPANS(s)	((s) > 8192 ? 4 : 1)
#define C_BYTES(s)	(C_SPANS(s) * 65536)
#define C_INSIDE(s)	(C_BYTES(s) / (s) > BITS)
#define C_FIRST(s)	(C_INSIDE(s) ? ((C_BYTES(s) / (s) + 63) / 64 * 8 + 63) / 64 * 64 : 0)
#define C_CAP(s)	((C_BYTES(s) - C_FIRST(s)) / (s))
#define C(s)                                                                                       \
	{                                                                                          \
		.size = (s), .recip = (uint32_t)((1ULL << 32) / (s) + 1), .cap = C_CAP(s),         \
		.words = (C_CAP(s) + 63) / 64, .first = C_FIRST(s), .spans = C_SPANS(s),           \
		.inside = C_INSIDE(s),                                                             \
	}
#define C8(base, by)                                                                               \
	C((base) + (by)), C((base) + 2 * (by)), C((base) + 3 * (by)), C((base) + 4 * (by)),        \
		C((base) + 5 * (by)), C((base) + 6 * (by)), C((base) + 7 * (by)),                  \
		C((base) + 8 * (by))

const struct kipc_class __kipc_classes[KIPC_CLASSES] = {
	C8(0, 16),	C8(128, 16),	C8(256, 32),	C8(512, 64),	C8(1024, 128),
	C8(2048, 256),	C8(4096, 512),	C8(8192, 1024),	C8(16384, 2048),
};

uint64_t __kipc_arena_round(uint64_t size)
{
	if (!size)
		return 0;
	if (size <= KIPC_CLASS_MAX)
		return __kipc_classes[__kipc_class_of(size)].size;
	return align_up(size, KIPC_SPAN_SIZE);
}

/* ---- lists of slabs with room: hints ---- */

static bool span_ok(struct kipc_manager *m, uint64_t s)
{
	return s >= m->first_span && s < __kipc_spans_now(m);
}

static void list_add(struct kipc_manager *m, uint32_t cls, uint32_t s)
{
	struct kipc_span *d = &m->spans[s];
	uint32_t next = load_relaxed(&m->hdr->partial[cls]);

	store_relaxed(&d->prev, 0);
	store_relaxed(&d->next, next);
	if (next && span_ok(m, next))
		store_relaxed(&m->spans[next].prev, s);
	store_relaxed(&m->hdr->partial[cls], s);
	KIPC_POINT("slab.linked");
}

static void list_del(struct kipc_manager *m, uint32_t cls, uint32_t s)
{
	uint32_t next = load_relaxed(&m->spans[s].next), prev = load_relaxed(&m->spans[s].prev);

	if (next && span_ok(m, next))
		store_relaxed(&m->spans[next].prev, prev);
	if (!prev)
		store_relaxed(&m->hdr->partial[cls], next);
	else if (span_ok(m, prev))
		store_relaxed(&m->spans[prev].next, next);
	KIPC_POINT("slab.unlinked");
}

/* ---- slabs ---- */

uint32_t __kipc_slab_count_free(struct kipc_manager *m, uint32_t s, const struct kipc_class *c)
{
	uint64_t *map = __kipc_slab_map(m, s, c);
	uint32_t used = 0;

	for (uint32_t i = 0; i < c->words; i++)
		used += (uint32_t)__builtin_popcountll(load_relaxed(&map[i]));
	return c->words * 64u - used;
}

static int new_slab(struct kipc_manager *m, uint32_t cls, uint32_t *span)
{
	const struct kipc_class *c = &__kipc_classes[cls];
	struct kipc_span *d;
	uint64_t *map;
	uint32_t s;
	int r;

	r = __kipc_spans_find(m, c->spans, &s);
	if (r)
		return r;
	d = &m->spans[s];
	map = __kipc_slab_map(m, s, c);
	for (uint32_t i = 0; i < c->words; i++)
		store_relaxed(&map[i], 0);
	/* what the last word has beyond the last block is never free */
	if (c->cap % 64)
		store_relaxed(&map[c->words - 1], ~0ULL << c->cap % 64);
	store_relaxed(&d->nfree, c->cap);
	store_relaxed(&d->hint, 0);
	KIPC_POINT("slab.empty");
	__kipc_spans_make(m, s, KIPC_SPAN_HEAD(KIPC_SPAN_SLAB, cls, c->spans));
	store_relaxed(&m->hdr->free_spans, load_relaxed(&m->hdr->free_spans) - c->spans);
	list_add(m, cls, s);
	*span = s;
	return 0;
}

static inline bool slab_valid(struct kipc_manager *m, uint32_t s, uint32_t cls,
			      const struct kipc_class *c)
{
	uint64_t end = (uint64_t)(s + c->spans) << KIPC_SPAN_SHIFT;

	if (unlikely(s < m->first_span || s >= m->max_spans))
		return false;
	if (unlikely(end > load_relaxed(&m->obj.seg.size) && s + c->spans > __kipc_spans_now(m)))
		return false;
	return load_relaxed(&m->spans[s].head) == KIPC_SPAN_HEAD(KIPC_SPAN_SLAB, cls, c->spans);
}

static inline int pick_slab(struct kipc_manager *m, uint32_t cls, struct kipc_pick *p)
{
	const struct kipc_class *c = &__kipc_classes[cls];
	uint32_t s = load_relaxed(&m->hdr->partial[cls]), w, bit;
	struct kipc_span *d;
	uint64_t *map, word;
	int r;

	if (unlikely(!s)) {
		r = new_slab(m, cls, &s);
		if (r)
			return r;
	}
	if (unlikely(!slab_valid(m, s, cls, c)))
		return -EPROTO;
	d = &m->spans[s];
	map = __kipc_slab_map(m, s, c);
	for (w = load_relaxed(&d->hint); w < c->words; w++) {
		word = load_relaxed(&map[w]);
		if (word != ~0ULL)
			break;
	}
	if (unlikely(w >= c->words))
		return -EPROTO;	/* it is on the list, so it has room */
	bit = w * 64 + (uint32_t)__builtin_ctzll(~word);
	if (unlikely(bit >= c->cap))
		return -EPROTO;
	p->block = ((uint64_t)s << KIPC_SPAN_SHIFT) + c->first + (uint64_t)bit * c->size;
	p->size = c->size;
	p->cls = cls;
	p->span = s;
	p->bit = bit;
	return 0;
}

int __kipc_alloc_pick(struct kipc_manager *m, uint64_t size, struct kipc_pick *p)
{
	int r;

	if (likely(size - 1 < KIPC_CLASS_MAX))
		return pick_slab(m, __kipc_class_of(size), p);
	if (!size)
		return -EINVAL;
	if (size > m->max_spans << KIPC_SPAN_SHIFT)
		return -ENOMEM;
	p->cls = KIPC_PICK_LARGE;
	p->spans = (uint32_t)((size + KIPC_SPAN_SIZE - 1) >> KIPC_SPAN_SHIFT);
	r = __kipc_spans_find(m, p->spans, &p->span);
	if (r)
		return r;
	p->block = (uint64_t)p->span << KIPC_SPAN_SHIFT;
	p->size = (uint64_t)p->spans << KIPC_SPAN_SHIFT;
	return 0;
}

static inline void count_used(struct kipc_manager *m, uint64_t bytes, uint64_t blocks)
{
	store_relaxed(&m->hdr->used, load_relaxed(&m->hdr->used) + bytes);
	store_relaxed(&m->hdr->blocks, load_relaxed(&m->hdr->blocks) + blocks);
}

void __kipc_alloc_commit(struct kipc_manager *m, const struct kipc_pick *p,
			 const struct kipc_write *w, uint32_t n)
{
	struct kipc_span *d = &m->spans[p->span];
	const struct kipc_class *c;
	uint64_t *map;
	uint32_t nfree;

	if (unlikely(p->cls == KIPC_PICK_LARGE)) {
		intent_begin(m, KIPC_INTENT_ALLOC_RUN, p->block, p->spans, w, n);
		__kipc_spans_make(m, p->span, KIPC_SPAN_HEAD(KIPC_SPAN_LARGE, 0, p->spans));
		intent_apply(m, w, n);
		store_relaxed(&m->hdr->free_spans, load_relaxed(&m->hdr->free_spans) - p->spans);
		count_used(m, p->size, 1);
		KIPC_POINT("alloc.run_counted");
		intent_end(m);
		return;
	}
	c = &__kipc_classes[p->cls];
	map = __kipc_slab_map(m, p->span, c) + p->bit / 64;
	nfree = load_relaxed(&d->nfree) - 1;
	intent_begin(m, KIPC_INTENT_ALLOC, p->block, 0, w, n);
	store_relaxed(map, load_relaxed(map) | 1ULL << p->bit % 64);
	KIPC_POINT("alloc.marked");
	intent_apply(m, w, n);
	store_relaxed(&d->hint, p->bit / 64);
	store_relaxed(&d->nfree, nfree);
	count_used(m, p->size, 1);
	KIPC_POINT("alloc.counted");
	intent_end(m);
	if (unlikely(!nfree))
		list_del(m, p->cls, p->span);
}

int __kipc_block_find(struct kipc_manager *m, uint64_t off, struct kipc_pick *p)
{
	uint32_t s = (uint32_t)(off >> KIPC_SPAN_SHIFT), rel, cls;
	const struct kipc_class *c;
	uint64_t head;

	if (unlikely(!__kipc_arena_at(m, off, 16)))
		return -EPROTO;
	p->cls = KIPC_PICK_LARGE;
	head = load_relaxed(&m->spans[s].head);
	if (KIPC_SPAN_STATE(head) == KIPC_SPAN_CONT) {
		s = KIPC_SPAN_COUNT(head);
		if (s < m->first_span || s >= off >> KIPC_SPAN_SHIFT)
			return -EPROTO;
		head = load_relaxed(&m->spans[s].head);
	}
	p->span = s;
	p->block = off;
	if (unlikely(KIPC_SPAN_STATE(head) == KIPC_SPAN_LARGE)) {
		p->spans = KIPC_SPAN_COUNT(head);
		p->size = (uint64_t)p->spans << KIPC_SPAN_SHIFT;
		return off == (uint64_t)s << KIPC_SPAN_SHIFT && p->spans &&
		       __kipc_segment_at(&m->obj.seg, off, p->size) ? 1 : -EPROTO;
	}
	cls = KIPC_SPAN_CLASS(head);
	if (KIPC_SPAN_STATE(head) == KIPC_SPAN_FREE)
		return 0;
	if (KIPC_SPAN_STATE(head) != KIPC_SPAN_SLAB || cls >= KIPC_CLASSES)
		return -EPROTO;
	c = &__kipc_classes[cls];
	if (!slab_valid(m, s, cls, c))
		return -EPROTO;
	off -= (uint64_t)s << KIPC_SPAN_SHIFT;
	if (unlikely(off < c->first || off >= (uint64_t)c->spans << KIPC_SPAN_SHIFT))
		return -EPROTO;
	rel = (uint32_t)off - c->first;
	p->bit = (uint32_t)((uint64_t)rel * c->recip >> 32);
	if (unlikely(p->bit >= c->cap || p->bit * c->size != rel))
		return -EPROTO;
	p->cls = cls;
	p->size = c->size;
	return __kipc_slab_map(m, s, c)[p->bit / 64] >> p->bit % 64 & 1;
}

uint64_t __kipc_arena_block_size(struct kipc_manager *m, uint64_t off)
{
	struct kipc_pick p;

	return __kipc_block_find(m, off, &p) == 1 ? p.size : 0;
}

void __kipc_free_commit(struct kipc_manager *m, const struct kipc_pick *p,
			const struct kipc_write *w, uint32_t n)
{
	struct kipc_span *d = &m->spans[p->span];
	const struct kipc_class *c;
	uint32_t nfree;
	uint64_t *map;

	if (unlikely(p->cls == KIPC_PICK_LARGE)) {
		intent_begin(m, KIPC_INTENT_FREE_RUN, p->block, p->spans, w, n);
		__kipc_spans_free(m, p->span, p->spans);
		intent_apply(m, w, n);
		store_relaxed(&m->hdr->free_spans, load_relaxed(&m->hdr->free_spans) + p->spans);
		count_used(m, 0 - p->size, 0 - 1ULL);
		KIPC_POINT("free.run_counted");
		intent_end(m);
		return;
	}
	c = &__kipc_classes[p->cls];
	map = __kipc_slab_map(m, p->span, c) + p->bit / 64;
	nfree = load_relaxed(&d->nfree) + 1;
	intent_begin(m, KIPC_INTENT_FREE, p->block, 0, w, n);
	store_relaxed(map, load_relaxed(map) & ~(1ULL << p->bit % 64));
	KIPC_POINT("free.marked");
	intent_apply(m, w, n);
	if (p->bit / 64 < load_relaxed(&d->hint))
		store_relaxed(&d->hint, p->bit / 64);
	store_relaxed(&d->nfree, nfree);
	count_used(m, 0 - p->size, 0 - 1ULL);
	KIPC_POINT("free.counted");
	intent_end(m);
	if (unlikely(nfree == 1)) {
		list_add(m, p->cls, p->span);
	} else if (unlikely(nfree == c->cap) &&
		   (load_relaxed(&d->next) || load_relaxed(&d->prev))) {
		list_del(m, p->cls, p->span);
		__kipc_spans_free(m, p->span, c->spans);
		store_relaxed(&m->hdr->free_spans, load_relaxed(&m->hdr->free_spans) + c->spans);
	}
}

/* ---- recovery ---- */

int __kipc_alloc_redo(struct kipc_manager *m, const struct kipc_intent *in)
{
	uint64_t s = in->block >> KIPC_SPAN_SHIFT, *map, bit;
	const struct kipc_class *c;
	struct kipc_pick p;

	switch (in->op) {
	case KIPC_INTENT_ALLOC:
	case KIPC_INTENT_FREE:
		if (__kipc_block_find(m, in->block, &p) < 0 || p.cls == KIPC_PICK_LARGE)
			return -EPROTO;
		c = &__kipc_classes[p.cls];
		map = __kipc_slab_map(m, p.span, c) + p.bit / 64;
		bit = 1ULL << p.bit % 64;
		store_relaxed(map, in->op == KIPC_INTENT_ALLOC ? load_relaxed(map) | bit :
								 load_relaxed(map) & ~bit);
		KIPC_POINT("alloc.marked_again");
		return 0;
	case KIPC_INTENT_ALLOC_RUN:
	case KIPC_INTENT_FREE_RUN:
		if (in->block & (KIPC_SPAN_SIZE - 1) || s < m->first_span || !in->spans ||
		    in->spans > m->max_spans || s + in->spans > __kipc_spans_now(m))
			return -EPROTO;
		if (in->op == KIPC_INTENT_ALLOC_RUN)
			__kipc_spans_make(m, (uint32_t)s,
					  KIPC_SPAN_HEAD(KIPC_SPAN_LARGE, 0, in->spans));
		else
			__kipc_spans_free(m, (uint32_t)s, (uint32_t)in->spans);
		return 0;
	}
	return in->op == KIPC_INTENT_WRITES ? 0 : -EPROTO;
}

void __kipc_alloc_rebuild(struct kipc_manager *m, uint64_t block)
{
	uint64_t nspans = __kipc_spans_now(m), free_spans = 0, used = 0, blocks = 0, i;
	struct kipc_pick p = { 0 };

	if (block && __kipc_block_find(m, block, &p) >= 0 && p.cls != KIPC_PICK_LARGE) {
		store_relaxed(&m->spans[p.span].nfree,
			      __kipc_slab_count_free(m, p.span, &__kipc_classes[p.cls]));
		store_relaxed(&m->spans[p.span].hint, 0);
	}
	for (i = 0; i < KIPC_CLASSES; i++)
		store_relaxed(&m->hdr->partial[i], 0);
	store_relaxed(&m->hdr->free_hint, m->first_span);
	for (i = m->first_span; i < nspans;) {
		struct kipc_span *d = &m->spans[i];
		uint64_t head = load_relaxed(&d->head);
		uint32_t state = KIPC_SPAN_STATE(head), cls = KIPC_SPAN_CLASS(head);
		uint32_t n = KIPC_SPAN_COUNT(head), nfree;

		if ((state != KIPC_SPAN_SLAB && state != KIPC_SPAN_LARGE) || !n || n > nspans - i ||
		    (state == KIPC_SPAN_SLAB && cls >= KIPC_CLASSES)) {
			store_relaxed(&d->head, KIPC_SPAN_HEAD(KIPC_SPAN_FREE, 0, 0));
			free_spans++;
			i++;
			continue;
		}
		if (state == KIPC_SPAN_LARGE) {
			used += (uint64_t)n << KIPC_SPAN_SHIFT;
			blocks++;
		} else {
			nfree = min_of(load_relaxed(&d->nfree), __kipc_classes[cls].cap);
			used += (uint64_t)(__kipc_classes[cls].cap - nfree) *
				__kipc_classes[cls].size;
			blocks += __kipc_classes[cls].cap - nfree;
			if (nfree)
				list_add(m, cls, (uint32_t)i);
		}
		i += n;
	}
	store_relaxed(&m->hdr->free_spans, free_spans);
	store_relaxed(&m->hdr->used, used);
	store_relaxed(&m->hdr->blocks, blocks);
}
