/* SPDX-License-Identifier: MIT */
/*
 * What shared memory and arrays have in common: a segment of a page of description (or more, where
 * many processes have their words) and then the data, with a sequence lock and a reader-writer
 * lock.
 *
 * The geometry is checked once, when a segment is opened, and copied here; of what stands in shared
 * memory only the size is read again, and believed as far as the file is so long.  Concurrency:
 * create, import and close belong to one thread; everything else may run beside itself.
 *
 * Resizing (resize.c): under a robust lock the file is made longer, its new part is given memory if
 * all of it is to have some, and the size is stored, which is the moment at which it has happened.
 * A death before leaves the old size, and perhaps a longer file, or memory behind the size: the
 * next one who resizes takes both as they are.  A death after it leaves a lock that the reaper
 * takes away.
 */
#ifndef KIPC_SHM_REGION_H
#define KIPC_SHM_REGION_H

#include "core/names.h"
#include "kipc/shm.h"
#include "shm/rwlock.h"
#include "shm/seqlock.h"

struct kipc_region {
	struct kipc_object obj;
	struct kipc_seqlock lock;
	struct kipc_rwlock rw;
	uint8_t *data;
	uint64_t data_off;
	uint64_t size;		/* bytes of data, backed by the file; only ever grows */
	uint64_t max_size;	/* bytes that have room in the mapping */
	bool locked;		/* by mlock(2): this process created it so */
};

struct kipc_shm {
	struct kipc_region region;
};

/* The layout stamp of what they share; the rest is the kind's. */
#define KIPC_REGION_STAMP                                                                          \
	KIPC_STAMP(KIPC_STAMP(KIPC_STAMP_INIT, KIPC_SHM_READERS_OFF), sizeof(struct kipc_shm_reader))

/* KIPC_SHM_* that every region knows. */
#define KIPC_REGION_FLAGS	(KIPC_SHM_POPULATE | KIPC_SHM_LOCK)

/*
 * Reads and checks options, of which the caller knows the first `known` bytes: the array's are a
 * part of the region's.  0, -EINVAL, -E2BIG.
 */
int __kipc_region_opts(struct kipc_shm_opts *opts, size_t known, const void *src, uint32_t flags);

/* The KIPC_* flags that creating takes beside `own`. */
static inline uint32_t __kipc_region_create_flags(const char *name, uint32_t own)
{
	return own | (name ? KIPC_NAME_CREATE_FLAGS : 0);
}

/* The segment, with the head written but for what the kind adds; not yet published.  name: or NULL. */
int __kipc_region_create(struct kipc_region *rg, const struct kipc_object_ops *obj_ops,
			 const struct kipc_segment_ops *seg_ops, const char *name, uint64_t size,
			 const struct kipc_shm_opts *opts);

/* The segment ops' verify and repair. */
int __kipc_region_verify(struct kipc_segment *seg);
int __kipc_region_repair(struct kipc_segment *seg, uint32_t slot);
/* ... and forked: a child has none of its parent's memory locks. */
void __kipc_region_forked(struct kipc_segment *seg);

/* The object ops' export, and the greater part of import and close: rg is zeroed by the caller. */
int __kipc_region_export(struct kipc_object *obj, struct kipc_transfer *t);
int __kipc_region_import(struct kipc_region *rg, const struct kipc_object_ops *obj_ops,
			 const struct kipc_segment_ops *seg_ops, struct kipc_transfer *t);

/* check.c: for the auditor. */
void __kipc_shm_check(struct kipc_check *c, uint32_t stamp);
void __kipc_array_check(struct kipc_check *c, uint32_t stamp);

__cold uint64_t __kipc_region_size_slow(struct kipc_region *rg, uint64_t shared);

/* Bytes of data right now. */
static inline uint64_t __kipc_region_size(struct kipc_region *rg)
{
	/* pairs with: commit() in resize.c */
	uint64_t shared = load_acquire(&rg->lock.head->size), known = load_relaxed(&rg->size);

	return likely(shared == known) ? known : __kipc_region_size_slow(rg, shared);
}

/* As kipc_shm_resize().  The caller has entered the segment. */
int __kipc_region_resize(struct kipc_region *rg, uint64_t size);
/* As kipc_shm_seal().  The caller has entered the segment, if only for reading. */
int __kipc_region_seal(struct kipc_region *rg, uint32_t what);
/* KIPC_SEAL_*, or a negative errno. */
int __kipc_region_seals(const struct kipc_region *rg);
/* Processes that are attached, after looking for dead ones. */
uint32_t __kipc_region_peers(struct kipc_region *rg);

int __kipc_region_stat(struct kipc_region *rg, struct kipc_shm_stat *st);

#endif
