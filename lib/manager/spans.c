// SPDX-License-Identifier: MIT
/*
 * Spans of 64 KiB: runs of them found, made, freed; the file grown.  Arena's lock held.
 *
 * A run is what the descriptor of its first span says: one store of that makes or ends it.  The
 * descriptors of the other spans are only there so that an offset in the middle finds its head;
 * they are written before the run is made and cleared after it ended.  A death in between leaves
 * some of them astray: the rebuild goes from head to head and frees what no run covers.
 */
#include "core/memory.h"
#include "manager/alloc.h"

#define GROW_MIN	16	/* spans at a time: 1 MiB, */
#define GROW_MAX	64	/* ... 4 MiB: some milliseconds with the lock held */
#define TOUCH_AHEAD	16

uint64_t __kipc_spans_now(struct kipc_manager *m)
{
	struct kipc_segment *seg = &m->obj.seg;
	uint64_t n = load_relaxed(&m->hdr->nspans);

	if (unlikely(n > load_relaxed(&seg->size) >> KIPC_SPAN_SHIFT))
		n = min_of(n, __kipc_segment_refresh(seg) >> KIPC_SPAN_SHIFT);
	return min_of(n, m->max_spans);
}

/*
 * Maps what is about to be used for the first time: one call for 256 pages costs a tenth of the
 * faults.
 */
static void touch(struct kipc_manager *m, uint64_t first, uint64_t n, uint64_t nspans)
{
	uint64_t from = max_of(m->touched, first), to = max_of(first + n, m->touched + TOUCH_AHEAD);

	if (first + n <= m->touched)
		return;
	to = min_of(min_of(to, from + TOUCH_AHEAD), nspans);
	if (to <= from)
		return;
	__kipc_memory_populate(__kipc_arena_ptr(m, from << KIPC_SPAN_SHIFT),
			       (to - from) << KIPC_SPAN_SHIFT, false);
	m->touched = max_of(to, first + n);
}

/* So that the spans up to `need` exist. */
static int grow(struct kipc_manager *m, uint64_t nspans, uint64_t need)
{
	uint64_t extra = min_of(max_of(nspans / 8, (uint64_t)GROW_MIN), (uint64_t)GROW_MAX);
	uint64_t want = max_of(need, min_of(nspans + extra, m->max_spans));
	int r;

	if (need > m->max_spans)
		return -ENOMEM;
	r = __kipc_segment_grow(&m->obj.seg, want << KIPC_SPAN_SHIFT);
	if (r && want > need) {
		want = need;
		r = __kipc_segment_grow(&m->obj.seg, want << KIPC_SPAN_SHIFT);
	}
	if (r)
		return r == -EPROTO ? r : -ENOMEM;
	store_relaxed(&m->hdr->free_spans, load_relaxed(&m->hdr->free_spans) + want - nspans);
	store_release(&m->hdr->nspans, want);	/* pairs with: nothing; others take the lock */
	KIPC_TRACE(arena_grow, m->obj.seg.id, nspans << KIPC_SPAN_SHIFT, want << KIPC_SPAN_SHIFT);
	KIPC_POINT("spans.more");
	return 0;
}

int __kipc_spans_find(struct kipc_manager *m, uint64_t n, uint32_t *first)
{
	uint64_t nspans = __kipc_spans_now(m), run = 0, i, hint, lowest = 0;
	int r;

	if (n > m->max_spans)
		return -ENOMEM;
	hint = load_relaxed(&m->hdr->free_hint);
	if (hint < m->first_span || hint > nspans)
		hint = m->first_span;
	/* run: free spans that end before i */
	for (i = hint; i < nspans && run < n;) {
		uint64_t head = load_relaxed(&m->spans[i].head);
		uint32_t state = KIPC_SPAN_STATE(head), count = KIPC_SPAN_COUNT(head);

		if (state == KIPC_SPAN_FREE) {
			if (!lowest)
				lowest = i;
			run++;
			i++;
			continue;
		}
		run = 0;
		if ((state == KIPC_SPAN_SLAB || state == KIPC_SPAN_LARGE) && count)
			i += count;
		else
			i++;	/* damage; or an end that a death left, which a rebuild frees */
	}
	store_relaxed(&m->hdr->free_hint, lowest ? lowest : nspans);
	if (run < n) {
		i = min_of(i, nspans);
		r = grow(m, nspans, i - run + n);
		if (r)
			return r;
		i += n - run;
	}
	*first = (uint32_t)(i - n);
	touch(m, i - n, n, __kipc_spans_now(m));
	return 0;
}

void __kipc_spans_make(struct kipc_manager *m, uint32_t first, uint64_t head)
{
	uint32_t n = KIPC_SPAN_COUNT(head);

	for (uint32_t i = 1; i < n; i++)
		store_relaxed(&m->spans[first + i].head, KIPC_SPAN_HEAD(KIPC_SPAN_CONT, 0, first));
	step();
	KIPC_POINT("spans.tail_made");
	store_relaxed(&m->spans[first].head, head);
	step();
	KIPC_POINT("spans.made");
}

void __kipc_spans_free(struct kipc_manager *m, uint32_t first, uint32_t n)
{
	step();
	store_relaxed(&m->spans[first].head, KIPC_SPAN_HEAD(KIPC_SPAN_FREE, 0, 0));
	step();
	KIPC_POINT("spans.freed");
	for (uint32_t i = 1; i < n; i++)
		store_relaxed(&m->spans[first + i].head, KIPC_SPAN_HEAD(KIPC_SPAN_FREE, 0, 0));
	if (first < load_relaxed(&m->hdr->free_hint))
		store_relaxed(&m->hdr->free_hint, first);
	KIPC_POINT("spans.tail_freed");
}
