// SPDX-License-Identifier: MIT
/* Growing, and what a process knows of it: see region.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "core/lock.h"
#include "core/memory.h"
#include "core/sys.h"
#include "shm/region.h"

/*
 * A stretch that is about to belong to the data, in bytes of the segment.  From `first` on its
 * pages are new: the one before has data already.
 */
struct growth {
	uint64_t from, to, first;
};

uint64_t __kipc_region_size_slow(struct kipc_region *rg, uint64_t shared)
{
	uint64_t known = load_relaxed(&rg->size);

	/* less, or more than there is: somebody damaged it; what we have seen is still there */
	if (shared <= known || shared > rg->max_size ||
	    !__kipc_segment_at(&rg->obj.seg, rg->data_off, shared))
		return known;
	while (known < shared)
		if (try_cmpxchg(&rg->size, &known, shared))
			return shared;
	return known;
}

/* hugetlb: the policy is each mapping's own, so here it is ours to set. */
static int place(struct kipc_region *rg, const struct growth *g)
{
	const struct kipc_segment *seg = &rg->obj.seg;
	struct kipc_numa_place p = {
		.policy = (enum kipc_numa)load_relaxed(&rg->lock.head->numa),
		.nodes = load_relaxed(&rg->lock.head->numa_nodes),
	};

	if (seg->page_size == KIPC_PAGE_4K || g->first >= g->to)
		return 0;
	if (!__kipc_numa_valid(&p))
		return -EPROTO;
	return __kipc_numa_place(seg->base + g->first, align_up(g->to, seg->page_size) - g->first, &p);
}

/* The pages of it are there afterwards, and locked if ours are. */
static int take_pages(struct kipc_region *rg, const struct growth *g)
{
	struct kipc_segment *seg = &rg->obj.seg;
	uint64_t from = g->from & ~(seg->page_size - 1), len = align_up(g->to, seg->page_size) - from;
	int r;

	r = place(rg, g);
	if (!r)
		r = __kipc_memory_fill(seg->base + from, len, seg->page_size, seg->thp, 0);
	if (r == -EOPNOTSUPP)
		r = __kipc_memory_allocate(seg->fd, from, len);
	if (!r && rg->locked && g->first < g->to) {
		r = (int)SYS(mlock(seg->base + g->first, g->to - g->first));
		if (r)
			SYS(munlock(seg->base + g->first, g->to - g->first));
	}
	return r;
}

/* Nobody uses what lies behind the size; memory that it got is not to be lost. */
static void give_back(const struct kipc_segment *seg, const struct growth *g)
{
	uint64_t end = align_up(g->to, seg->page_size);

	if (end > g->first)
		SYS(fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)g->first,
			      (off_t)(end - g->first)));
}

static void commit(struct kipc_region *rg, uint64_t size)
{
	struct kipc_shm_head *head = rg->lock.head;

	stat_inc(&head->grown);
	/* the file is long enough for whoever sees it; pairs with: __kipc_region_size() */
	store_release(&head->size, size);
	KIPC_POINT("region.grown");
}

/* grow_lock held. */
static int grow(struct kipc_region *rg, uint64_t size)
{
	struct kipc_segment *seg = &rg->obj.seg;
	uint64_t now = __kipc_region_size(rg);
	struct growth g = { .from = rg->data_off + now, .to = rg->data_off + size };
	long seals = SYS(fcntl(seg->fd, F_GET_SEALS));
	int r;

	if (size == now)
		return 0;
	if (seals < 0)
		return (int)seals;
	if (size < now || (seals & F_SEAL_GROW))
		return -EPERM;
	if (size > rg->max_size)
		return -ENOSPC;
	g.first = align_up(g.from, seg->page_size);
	r = __kipc_segment_extend(seg, g.to);
	KIPC_POINT("region.extended");
	if (!r && (seg->page_size != KIPC_PAGE_4K ||
		   (load_relaxed(&rg->lock.head->flags) & KIPC_SHM_HEAD_F_POPULATE))) {
		r = take_pages(rg, &g);
		KIPC_POINT("region.filled");
		if (r)
			give_back(seg, &g);
	}
	if (!r)
		commit(rg, size);
	return r;
}

int __kipc_region_resize(struct kipc_region *rg, uint64_t size)
{
	struct kipc_segment *seg = &rg->obj.seg;
	uint32_t *lock = &rg->lock.head->grow_lock;
	int r, released;

	if (seg->readonly)
		return -EACCES;
	r = __kipc_lock_acquire(seg, lock, KIPC_DEADLINE_NEVER);
	if (r && r != -EOWNERDEAD)	/* what a dead one left is right as it is */
		return r;
	r = grow(rg, size);
	released = __kipc_lock_release(seg, lock);
	return r ? r : released;
}
