// SPDX-License-Identifier: MIT
/* See region.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/opts.h"
#include "core/peer.h"
#include "core/sys.h"
#include "shm/region.h"

#define STAT_MIN_SIZE	sizeof(struct kipc_shm_stat)	/* of 0.1 */

static struct kipc_region *region_of(struct kipc_segment *seg)
{
	return container_of(seg, struct kipc_region, obj.seg);
}

int __kipc_region_opts(struct kipc_shm_opts *opts, const void *src, uint32_t flags)
{
	int r = __kipc_opts_read(opts, sizeof(*opts), sizeof(*opts), src);

	if (r)
		return r;
	if (opts->flags & ~flags || (unsigned int)opts->huge > KIPC_HUGE_TRY ||
	    opts->mode & ~0777u || opts->max_peers > KIPC_PEER_MAX)
		return -EINVAL;
	return 0;
}

static void region_init(struct kipc_region *rg, struct kipc_shm_head *head)
{
	rg->lock.seg = &rg->obj.seg;
	rg->lock.head = head;
}

int __kipc_region_create(struct kipc_region *rg, const struct kipc_object_ops *obj_ops,
			 const struct kipc_segment_ops *seg_ops, const char *name, uint64_t size,
			 const struct kipc_shm_opts *opts)
{
	struct kipc_segment *seg = &rg->obj.seg;
	struct kipc_segment_spec spec = {
		.name = name,
		.body_size = KIPC_SHM_HEAD_SIZE + size,
		.npeers = opts->max_peers,
		.huge = opts->huge,
		.populate = KIPC_SHM_HEAD_SIZE,
		.lock = opts->flags & KIPC_SHM_LOCK,
		.mode = opts->mode,
	};
	struct kipc_shm_head *head;
	int r;

	if (spec.body_size < size)
		return -EOVERFLOW;
	if (opts->flags & KIPC_REGION_FLAGS)
		spec.populate = spec.body_size;
	rg->obj.ops = obj_ops;
	r = __kipc_segment_create(seg, seg_ops, &spec);
	if (r)
		return r;
	head = __kipc_segment_body(seg);
	head->data_off = rg->data_off = seg->body_off + KIPC_SHM_HEAD_SIZE;
	head->size = rg->size = size;
	rg->data = seg->base + rg->data_off;
	region_init(rg, head);
	return 0;
}

int __kipc_region_verify(struct kipc_segment *seg)
{
	struct kipc_region *rg = region_of(seg);
	struct kipc_shm_head *head;
	uint64_t off, size;

	head = __kipc_segment_at(seg, seg->body_off, KIPC_SHM_HEAD_SIZE);
	if (!head)
		return -EPROTO;
	off = load_relaxed(&head->data_off);
	size = load_relaxed(&head->size);
	if (off % KIPC_SHM_HEAD_SIZE || off < seg->body_off + KIPC_SHM_HEAD_SIZE ||
	    size > SIZE_MAX || !__kipc_segment_at(seg, off, size))
		return -EPROTO;
	rg->data_off = off;
	rg->size = size;
	rg->data = seg->base + off;
	region_init(rg, head);
	return 0;
}

int __kipc_region_repair(struct kipc_segment *seg, uint32_t slot)
{
	return __kipc_seq_repair(&region_of(seg)->lock, slot);
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

static uint32_t count_peers(struct kipc_segment *seg)
{
	uint32_t high = __kipc_peer_high(seg), n = 0;

	if (!seg->readonly)
		__kipc_peer_sweep(seg, 0);
	for (uint32_t slot = 1; slot <= high; slot++)
		n += load_relaxed(&__kipc_peer(seg, slot)->state) == KIPC_PEER_LIVE;
	return n;
}

int __kipc_region_stat(struct kipc_region *rg, struct kipc_shm_stat *st)
{
	struct kipc_segment *seg = &rg->obj.seg;
	struct kipc_shm_stat now = { .sz = st->sz };
	enum kipc_seq_state state;
	struct stat file;
	uint64_t seq;
	int r;

	if (st->sz < STAT_MIN_SIZE)
		return -EINVAL;
	r = (int)SYS(fstat(seg->fd, &file));
	if (r)
		return r;
	now.peers = count_peers(seg);	/* first: it repairs what the dead left */
	state = __kipc_seq_look(&rg->lock, &seq);
	now.size = rg->size;
	now.page_size = seg->page_size;
	now.resident = (uint64_t)file.st_blocks * 512;
	now.writes = seq / KIPC_SHM_SEQ_STEP;
	now.healed = load_relaxed(&rg->lock.head->healed);
	now.max_peers = seg->npeers;
	now.writing = state == KIPC_SEQ_WRITING;
	now.torn = state == KIPC_SEQ_TORN;
	memcpy(st, &now, min_of(st->sz, sizeof(now)));
	return 0;
}
