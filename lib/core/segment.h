/* SPDX-License-Identifier: MIT */
/*
 * Segments: one sealed memfd each, created, stamped, mapped, verified and grown here.
 *
 * A kind embeds struct kipc_segment in its handle and describes itself by a struct kipc_segment_ops.
 * Creating goes in two steps, so that nobody ever sees a half-made body:
 *
 *	__kipc_segment_create()		memfd, size, memory, header without its magic
 *	... the kind writes its body, which starts zeroed ...
 *	__kipc_segment_publish()	seals, stores the magic, attaches this process
 *
 * Invariant: [base, base + size) is always backed by the file, since the file is sealed against
 * shrinking before anybody believes it.  So an offset that passed __kipc_segment_at() can be
 * dereferenced without SIGBUS, whatever a peer does.
 *
 * Concurrency: create, open and close belong to one thread; everything else may run beside itself.
 */
#ifndef KIPC_CORE_SEGMENT_H
#define KIPC_CORE_SEGMENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/atomic.h"
#include "core/compiler.h"
#include "core/numa.h"
#include "core/point.h"
#include "core/trace.h"
#include "kipc/base.h"
#include "uapi/kipc/segment.h"

struct kipc_segment;

struct kipc_segment_ops {
	uint16_t kind;		/* enum kipc_seg_kind */
	uint32_t stamp;		/* KIPC_STAMP() over the sizes of the kind's structs */
	bool readers;		/* whoever may only read can use it: opened so where writing isn't
				   possible, by the seals or the descriptor; else that is refused */
	/*
	 * Checks the kind's geometry when a segment from elsewhere is opened.  Called with the
	 * header verified and the segment mapped, before attaching; keeps private copies of what
	 * the operations will use.  0 or -EPROTO.
	 */
	int (*verify)(struct kipc_segment *seg);
	/*
	 * Takes back or hands on everything that `slot` holds in this segment, and returns how many
	 * claims that were, or a negative errno if it could not be completed (it will be called
	 * again).  The slot's lock byte is held, so nobody else repairs it and nobody uses it.
	 * Must be idempotent: its caller may be killed half-way.
	 */
	int (*repair)(struct kipc_segment *seg, uint32_t slot);
	/* In a fork child, before the first use: drop process-private state.  May be NULL. */
	void (*forked)(struct kipc_segment *seg);
	/* In a fork child, after it got a slot of its own.  May be NULL.  0 or a negative errno. */
	int (*reattached)(struct kipc_segment *seg);
	/*
	 * For kinds in which the parent's death, or what it closes, would end what a child inherits:
	 * the child's slot is taken before the child is made, and this makes it hold in shared
	 * memory, in the parent, inside fork(2), what the child will have.  forked() is then called
	 * with seg->slot already the child's.  Non-zero: not done, the child attaches by itself as
	 * soon as it runs.  NULL: children attach at their first use.
	 */
	int (*prefork)(struct kipc_segment *seg, uint32_t child_slot);
};

struct kipc_bell;

struct kipc_segment {
	struct kipc_seg_header *hdr;	/* = base */
	uint8_t *base;
	uint64_t size;			/* bytes known to be backed; only ever grows */
	uint64_t map_size;		/* bytes of address space reserved */
	uint64_t body_off;		/* private copies of header fields, verified once: */
	uint64_t page_size;
	uint64_t id;
	uint32_t npeers;
	uint32_t slot;			/* ours; 0 while not attached */
	uint64_t epoch;			/* of the process that attached, see __kipc_peer_enter() */
	int fork_fd;			/* lock_fd of the child that is being made, or -1 */
	uint32_t fork_slot;		/* ... and its slot */
	int fd;				/* the memfd, shared over fork */
	int lock_fd;			/* a description of our own; holds our slot's lock */
	bool readonly;			/* mapped PROT_READ, no slot: repairs nothing, is no peer, and
					   __kipc_peer_enter() says -EACCES */
	bool thp;			/* mapped for transparent huge pages */
	const struct kipc_segment_ops *ops;
	struct kipc_bell *bells;	/* the kind's doorbells, for repairs; may be NULL */
	uint32_t nbells;
	pthread_mutex_t peer_mutex;	/* recursive; attach and repair, within this process */
	uint32_t repairing[4];		/* slots under repair by the holder of peer_mutex */
	uint32_t repair_depth;
	struct kipc_segment *next, **pprev;	/* every segment that was attached */
};

struct kipc_segment_spec {
	const char *name;		/* NULL or "": anonymous */
	uint64_t body_size;		/* bytes, not 0 */
	uint64_t max_body_size;		/* bytes of body it may grow to; 0: never grows */
	uint32_t npeers;		/* processes at once, 1..KIPC_PEER_MAX; 0: as many as fit 4 KiB */
	enum kipc_huge huge;
	uint64_t populate;		/* bytes of the body to allocate and map now; the rest is
					   sparse, touched later */
	bool lock;			/* mlock() what is populated */
	uint32_t threads;		/* that populate; 0: as __kipc_memory_fill() thinks */
	struct kipc_numa_place place;	/* the nodes that the memory comes from */
	uint64_t compat, ro_compat, incompat;
	mode_t mode;			/* permission bits of the memfd, of 0666; 0: 0600 */
};

/* 32-bit FNV-1a over a list of sizes: any change of a struct changes the stamp. */
uint32_t __kipc_stamp(const uint32_t *sizes, size_t n);

/*
 * The same as a constant expression: KIPC_STAMP(KIPC_STAMP(KIPC_STAMP_INIT, size_a), size_b) is what
 * __kipc_stamp() makes of { size_a, size_b }.
 */
#define KIPC_STAMP_INIT		2166136261u
#define KIPC_STAMP_BYTE(h, b)	(((h) ^ ((uint32_t)(b) & 0xff)) * 16777619u)
#define KIPC_STAMP(h, size)                                                                        \
	KIPC_STAMP_BYTE(KIPC_STAMP_BYTE(KIPC_STAMP_BYTE(KIPC_STAMP_BYTE(h, size), (size) >> 8),    \
					(size) >> 16),                                             \
			(size) >> 24)

/*
 * 0 and *seg filled; -EINVAL, -ENOMEM (no memory, no huge pages), -EMFILE, -ENFILE, -ENOSPC,
 * -EOVERFLOW (size), and what __kipc_numa_place() and mlock(2) say.  seg->base + seg->body_off is
 * zeroed.  On error nothing is left behind.
 */
int __kipc_segment_create(struct kipc_segment *seg, const struct kipc_segment_ops *ops,
			  const struct kipc_segment_spec *spec);

/*
 * Seals, publishes, attaches.  0, or a negative errno (-EUSERS, -EMFILE, -ENOENT without /proc)
 * after which the caller calls __kipc_segment_close().
 */
int __kipc_segment_publish(struct kipc_segment *seg);

/*
 * Opens what stands behind fd, checks all of it, attaches; if it can't be written and the kind has
 * readers, it is opened read-only and nothing is attached.  Takes over fd when it succeeds, leaves
 * it to the caller otherwise.  -EPROTO: not a segment of this kind, damaged, unsealed, or cut
 * short. -EUSERS: no slot is free.  -EPROTONOSUPPORT: another ABI version or feature.
 */
int __kipc_segment_open(struct kipc_segment *seg, const struct kipc_segment_ops *ops, int fd);

/*
 * The same for a descriptor that can only be read: mapped for reading, not attached.  Nothing may
 * be stored to such a segment; __kipc_peer_enter_read() is for the operations that store nothing.
 */
int __kipc_segment_open_readonly(struct kipc_segment *seg, const struct kipc_segment_ops *ops, int fd);

/*
 * Seals it against writing, for everybody and for ever; `seals`: F_SEAL_WRITE and others.  No other
 * thread uses it meanwhile.  The kernel refuses as long as anybody has it mapped writable, so our
 * own mapping is replaced, in place, by a read-only one, and our slot is given back.
 *
 * 0: it is readonly now.  -EBUSY: somebody else may write; all is as it was.  -EPERM: sealed
 * against sealing.  -EMFILE, -ENFILE, -ENOMEM.  If it can't be mapped writable again after an
 * error, which takes F_SEAL_FUTURE_WRITE or no memory, it is readonly all the same.
 */
int __kipc_segment_seal_write(struct kipc_segment *seg, int seals);

/* Detaches (repairing what we still hold as a death would), unmaps, closes.  Safe on a failed one. */
void __kipc_segment_close(struct kipc_segment *seg);

/*
 * Makes the file at least new_size bytes long, allocated; for segments with max_size > size.  The
 * caller serialises growers.  0, -ENOSPC (max_size reached), -ENOMEM.
 */
int __kipc_segment_grow(struct kipc_segment *seg, uint64_t new_size);

/* The same, but sparse: what is new has no memory yet.  Also -EPERM: sealed against growing. */
int __kipc_segment_extend(struct kipc_segment *seg, uint64_t new_size);

/* Looks at the file's size anew, after a peer may have grown it; the new size. */
uint64_t __kipc_segment_refresh(struct kipc_segment *seg);

/* The address of [off, off + len), or NULL when that isn't wholly inside the segment. */
static inline void *__kipc_segment_at(struct kipc_segment *seg, uint64_t off, uint64_t len)
{
	uint64_t size = load_relaxed(&seg->size);

	if (unlikely(len > size || off > size - len)) {
		size = __kipc_segment_refresh(seg);
		if (len > size || off > size - len)
			return NULL;
	}
	return seg->base + off;
}

static inline void *__kipc_segment_body(const struct kipc_segment *seg)
{
	return seg->base + seg->body_off;
}

#endif
