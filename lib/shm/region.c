// SPDX-License-Identifier: MIT
/* See region.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/lock.h"
#include "core/memory.h"
#include "core/opts.h"
#include "core/peer.h"
#include "core/sys.h"
#include "shm/region.h"

/* What its first users knew of it. */
#define OPTS_MIN_SIZE	offsetof(struct kipc_shm_opts, numa)

#define PEERS_DEFAULT	56

static struct kipc_region *region_of(struct kipc_segment *seg)
{
	return container_of(seg, struct kipc_region, obj.seg);
}

static struct kipc_numa_place place_of(const struct kipc_shm_opts *opts)
{
	return (struct kipc_numa_place){ .policy = opts->numa, .nodes = opts->numa_nodes };
}

int __kipc_region_opts(struct kipc_shm_opts *opts, size_t known, const void *src, uint32_t flags)
{
	struct kipc_numa_place place;
	int r;

	memset(opts, 0, sizeof(*opts));
	r = __kipc_opts_read(opts, known, OPTS_MIN_SIZE, src);
	if (r)
		return r;
	place = place_of(opts);
	if (opts->flags & ~flags || (unsigned int)opts->huge > KIPC_HUGE_TRY ||
	    opts->mode & ~0777u || opts->max_peers > KIPC_PEER_MAX || !__kipc_numa_valid(&place))
		return -EINVAL;
	return 0;
}

static void region_init(struct kipc_region *rg, struct kipc_shm_head *head)
{
	rg->lock.seg = rg->rw.seg = &rg->obj.seg;
	rg->lock.head = rg->rw.head = head;
	rg->rw.readers = (struct kipc_shm_reader *)((char *)head + KIPC_SHM_READERS_OFF);
}

int __kipc_region_create(struct kipc_region *rg, const struct kipc_object_ops *obj_ops,
			 const struct kipc_segment_ops *seg_ops, const char *name, uint64_t size,
			 const struct kipc_shm_opts *opts)
{
	uint32_t npeers = opts->max_peers ? opts->max_peers : PEERS_DEFAULT;
	uint64_t head_size = KIPC_SHM_HEAD_SIZE(npeers);
	struct kipc_segment *seg = &rg->obj.seg;
	struct kipc_segment_spec spec = {
		.name = name,
		.body_size = head_size + size,
		.max_body_size = opts->max_size > size ? head_size + opts->max_size : 0,
		.npeers = npeers,
		.huge = opts->huge,
		.populate = head_size,
		.lock = opts->flags & KIPC_SHM_LOCK,
		.threads = opts->threads,
		.place = place_of(opts),
		.mode = opts->mode,
	};
	struct kipc_shm_head *head;
	int r;

	if (opts->max_size && opts->max_size < size)
		return -EINVAL;
	if (max_of(size, opts->max_size) > UINT64_MAX - head_size)
		return -EOVERFLOW;
	if (opts->flags & KIPC_REGION_FLAGS)
		spec.populate = spec.body_size;
	rg->obj.ops = obj_ops;
	r = __kipc_segment_create(seg, seg_ops, &spec);
	if (r)
		return r;
	head = __kipc_segment_body(seg);
	head->data_off = rg->data_off = seg->body_off + head_size;
	head->size = rg->size = size;
	head->max_size = rg->max_size = max_of(size, opts->max_size);
	head->flags = opts->flags & KIPC_REGION_FLAGS ? KIPC_SHM_HEAD_F_POPULATE : 0;
	head->numa = opts->numa;
	head->numa_nodes = opts->numa_nodes;
	rg->locked = spec.lock;
	rg->data = seg->base + rg->data_off;
	region_init(rg, head);
	return 0;
}

int __kipc_region_verify(struct kipc_segment *seg)
{
	uint64_t head_size = KIPC_SHM_HEAD_SIZE(seg->npeers), off, size, max_size;
	struct kipc_region *rg = region_of(seg);
	struct kipc_shm_head *head;

	head = __kipc_segment_at(seg, seg->body_off, head_size);
	if (!head)
		return -EPROTO;
	off = load_relaxed(&head->data_off);
	size = load_acquire(&head->size);	/* pairs with: commit() in resize.c */
	max_size = load_relaxed(&head->max_size);
	if (off % 4096 || off < seg->body_off + head_size ||
	    !__kipc_segment_at(seg, off, size) || size > max_size ||
	    max_size > seg->map_size - off)
		return -EPROTO;
	rg->data_off = off;
	rg->size = size;
	rg->max_size = max_size;
	rg->data = seg->base + off;
	region_init(rg, head);
	return 0;
}

int __kipc_region_repair(struct kipc_segment *seg, uint32_t slot)
{
	struct kipc_region *rg = region_of(seg);

	return __kipc_seq_repair(&rg->lock, slot) + __kipc_rw_repair(&rg->rw, slot) +
	       __kipc_lock_repair(&rg->lock.head->grow_lock, slot);
}

void __kipc_region_forked(struct kipc_segment *seg)
{
	region_of(seg)->locked = false;
}

int __kipc_region_export(struct kipc_object *obj, struct kipc_transfer *t)
{
	t->fds[0] = obj->seg.fd;
	return 0;
}

int __kipc_region_import(struct kipc_region *rg, const struct kipc_object_ops *obj_ops,
			 const struct kipc_segment_ops *seg_ops, struct kipc_transfer *t)
{
	rg->obj.ops = obj_ops;
	return t->readonly ? __kipc_segment_open_readonly(&rg->obj.seg, seg_ops, t->fds[0]) :
			     __kipc_segment_open(&rg->obj.seg, seg_ops, t->fds[0]);
}

static enum kipc_huge huge_of(const struct kipc_segment *seg)
{
	switch (seg->page_size) {
	case KIPC_PAGE_1G:
		return KIPC_HUGE_1G;
	case KIPC_PAGE_2M:
		return KIPC_HUGE_2M;
	}
	return seg->thp ? KIPC_HUGE_THP : KIPC_HUGE_NONE;
}

/* What the memory is; file: the segment's. */
static int stat_memory(struct kipc_region *rg, const struct stat *file, struct kipc_shm_stat *st)
{
	struct kipc_segment *seg = &rg->obj.seg;
	struct kipc_memory_use use = { 0 };
	int r;

	st->page_size = seg->page_size;
	st->resident = (uint64_t)file->st_blocks * 512;
	st->populated = st->resident >= align_up(rg->data_off + st->size, seg->page_size);
	st->huge = huge_of(seg);
	st->numa = (enum kipc_numa)load_relaxed(&rg->lock.head->numa);
	st->numa_nodes = load_relaxed(&rg->lock.head->numa_nodes);
	if (seg->thp || rg->locked) {
		r = __kipc_memory_use(seg->base, seg->map_size, &use);
		if (r)
			return r;
	}
	st->locked = use.locked;
	st->huge_bytes = seg->page_size == KIPC_PAGE_4K ? use.huge : st->resident;
	return 0;
}

uint32_t __kipc_region_peers(struct kipc_region *rg)
{
	__kipc_peer_sweep(&rg->obj.seg, 0);
	return __kipc_peer_count(&rg->obj.seg);
}

int __kipc_region_stat(struct kipc_region *rg, struct kipc_shm_stat *st)
{
	struct kipc_segment *seg = &rg->obj.seg;
	struct kipc_shm_stat now = { 0 };
	enum kipc_seq_state state;
	struct kipc_rw_look rw;
	struct stat file;
	uint64_t seq;
	int r;

	r = (int)SYS(fstat(seg->fd, &file));
	if (r)
		return r;
	now.peers = __kipc_region_peers(rg);	/* first: it repairs what the dead left */
	state = __kipc_seq_look(&rg->lock, &seq);
	r = __kipc_region_seals(rg);
	if (r < 0)
		return r;
	now.seals = (uint32_t)r;
	now.readonly = seg->readonly;
	now.size = __kipc_region_size(rg);
	now.max_size = rg->max_size;
	now.grown = load_relaxed(&rg->lock.head->grown);
	now.writes = seq / KIPC_SHM_SEQ_STEP;
	now.healed = load_relaxed(&rg->lock.head->healed);
	now.max_peers = seg->npeers;
	now.writing = state == KIPC_SEQ_WRITING;
	now.torn = state == KIPC_SEQ_TORN;
	rw = __kipc_rw_look(&rg->rw);
	now.lock_shared = rw.shared;
	now.lock_exclusive = rw.exclusive;
	now.lock_torn = rw.torn;
	now.lock_healed = load_relaxed(&rg->rw.head->rw_healed);
	r = stat_memory(rg, &file, &now);
	if (r)
		return r;
	return __kipc_stat_write(st, &now, sizeof(now));
}
