/* SPDX-License-Identifier: MIT */
/*
 * The allocator's mechanics, all under the arena's lock: spans, slabs, bitmaps.
 *
 * An allocation goes in two steps: pick a free block (nothing is owned yet, its memory may be
 * filled), then commit: the bitmap and the words that own it change together, by the intent.
 */
#ifndef KIPC_MANAGER_ALLOC_H
#define KIPC_MANAGER_ALLOC_H

#include "manager/intent.h"

/* A size class: constants of this build, part of the ABI's stamp by their number and rule. */
struct kipc_class {
	uint32_t size;		/* bytes of a block */
	uint32_t recip;		/* 2^32 / size, rounded up: index = offset * recip >> 32 */
	uint16_t cap;		/* blocks in a slab */
	uint16_t words;		/* of its bitmap */
	uint16_t first;		/* bytes before the first block: the bitmap, if it is there */
	uint8_t spans;		/* 1 or 4 */
	uint8_t inside;		/* the bitmap is in the span, not in the descriptor */
};

extern const struct kipc_class __kipc_classes[KIPC_CLASSES];

static inline uint32_t __kipc_class_of(uint64_t size)	/* 1..KIPC_CLASS_MAX */
{
	uint32_t n = (uint32_t)size - 1, lg;

	if (n < 128)
		return n / 16;
	lg = 31 - (uint32_t)__builtin_clz(n);
	return 8 * (lg - 7) + (n >> (lg - 3));
}

#define KIPC_PICK_LARGE	(~0u)

/* A block: where it is in the allocator's structures. */
struct kipc_pick {
	uint64_t block;
	uint64_t size;		/* usable bytes */
	uint32_t cls;		/* or KIPC_PICK_LARGE */
	uint32_t span;		/* head */
	uint32_t bit;
	uint32_t spans;		/* of a large block */
};

/* How many spans exist and may be touched. */
uint64_t __kipc_spans_now(struct kipc_manager *m);

/* A run of n free spans, growing the file if need be: its first index.  0, -ENOMEM, -EPROTO. */
int __kipc_spans_find(struct kipc_manager *m, uint64_t n, uint32_t *first);
/* The descriptors of a run become those of a slab or large block, or free. */
void __kipc_spans_make(struct kipc_manager *m, uint32_t first, uint64_t head);
void __kipc_spans_free(struct kipc_manager *m, uint32_t first, uint32_t n);

/* 0, -ENOMEM, -EPROTO. */
int __kipc_alloc_pick(struct kipc_manager *m, uint64_t size, struct kipc_pick *p);
void __kipc_alloc_commit(struct kipc_manager *m, const struct kipc_pick *p,
			 const struct kipc_write *w, uint32_t n);

/* Finds the block that begins at off: 1 allocated, 0 free, -EPROTO not a block. */
int __kipc_block_find(struct kipc_manager *m, uint64_t off, struct kipc_pick *p);
/* Frees a found, allocated block, with the writes. */
void __kipc_free_commit(struct kipc_manager *m, const struct kipc_pick *p,
			const struct kipc_write *w, uint32_t n);

/* Does an intent's change of the bitmap or of the descriptors again.  0 or -EPROTO. */
int __kipc_alloc_redo(struct kipc_manager *m, const struct kipc_intent *in);
/* Makes all hints anew; `block` (or 0) is in the slab whose bitmap was being changed. */
void __kipc_alloc_rebuild(struct kipc_manager *m, uint64_t block);

/* The bitmap of the slab at span s. */
static inline uint64_t *__kipc_slab_map(struct kipc_manager *m, uint32_t s,
					const struct kipc_class *c)
{
	if (c->inside)
		return __kipc_arena_ptr(m, (uint64_t)s << KIPC_SPAN_SHIFT);
	return (uint64_t *)m->spans[s].map;
}

/* Clear bits of a bitmap, counted. */
uint32_t __kipc_slab_count_free(struct kipc_manager *m, uint32_t s, const struct kipc_class *c);

#endif
