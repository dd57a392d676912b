/* SPDX-License-Identifier: MIT */
/*
 * Where a segment's memory comes from: the memfd, its page size, its mapping, the nodes and the
 * pages.
 *
 * The ladder (KIPC_HUGE_TRY): 1 GiB pages, 2 MiB pages, transparent huge pages, 4 KiB pages.  A
 * step is taken only if it would waste no more than an eighth of the size, and if all that belongs
 * to it succeeds: the pages that are to be there now, and the reservation for the room to grow.
 *
 * Invariant: what was to be populated is allocated when a function here returns 0.  Whoever touches
 * it later never finds that there is no page left: that would be SIGBUS, and nobody could be told.
 */
#ifndef KIPC_CORE_MEMORY_H
#define KIPC_CORE_MEMORY_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/numa.h"
#include "kipc/base.h"

#define KIPC_PAGE_4K	(1ULL << 12)
#define KIPC_PAGE_2M	(1ULL << 21)
#define KIPC_PAGE_1G	(1ULL << 30)

struct kipc_memory_spec {
	const char *label;	/* what /proc shows */
	uint64_t size;		/* bytes of the file, at least */
	uint64_t max_size;	/* bytes of address space, at least; 0: as the file */
	uint64_t populate;	/* the first bytes of the file that are to be there now; with hugetlb
				   that is all of it */
	enum kipc_huge huge;
	uint32_t threads;	/* as in __kipc_memory_fill() */
	struct kipc_numa_place place;
};

struct kipc_memory {
	int fd;
	void *addr;
	uint64_t size;		/* bytes of the file, a multiple of page_size */
	uint64_t map_size;	/* bytes mapped, readable and writable; from size on there is no file */
	uint64_t page_size;
	enum kipc_huge huge;	/* what it is now: NONE, THP, 2M or 1G */
};

/* Of a call that makes the file longer: RLIMIT_FSIZE is one more way to have no room. */
static inline int __kipc_memory_room(int r)
{
	return r == -EFBIG ? -ENOSPC : r;
}

/*
 * Makes a memfd that may be sealed, and maps it.  0; -EINVAL, -EOVERFLOW (sizes), -ENOMEM (no
 * memory, no huge pages), -EMFILE, -ENFILE, -ENOSPC, and what __kipc_numa_place() says.  On error
 * nothing is left behind.
 */
int __kipc_memory_create(struct kipc_memory *mem, const struct kipc_memory_spec *spec);
/* Unmaps and closes. */
void __kipc_memory_destroy(struct kipc_memory *mem);

/* Allocates [off, off + len) of the file, growing it if need be.  0, -ENOMEM, -ENOSPC, -EPERM. */
int __kipc_memory_allocate(int fd, uint64_t off, uint64_t len);

/*
 * Maps map_size bytes (a multiple of page_size) of the file, shared.  If thp, aligned to 2 MiB and
 * advised.  The address goes to *addr.  0 or -ENOMEM, -EACCES, ...
 */
int __kipc_memory_map(int fd, uint64_t map_size, uint64_t page_size, bool readonly, bool thp,
		      void **addr);

/*
 * Takes the pages of [addr, addr + len), a mapping of such a file, and maps them, writable; if thp,
 * huge ones as far as there are any.  At most so many threads do it (0: one for each CPU that we
 * may use, no more than 16), and fewer where there is little to do.
 *
 * 0: all of it is there.  -ENOMEM, -ENOSPC: a part may be.  -EOPNOTSUPP: the kernel can't; nothing
 * is.
 */
int __kipc_memory_fill(void *addr, uint64_t len, uint64_t page_size, bool thp, uint32_t threads);

/* The same as a hint, by this thread alone: failing is harmless, the pages come at the first touch. */
void __kipc_memory_populate(void *addr, uint64_t len, bool thp);

/* How [addr, addr + len) is mapped in this process. */
struct kipc_memory_use {
	uint64_t huge;		/* bytes in transparent huge pages that are mapped as such */
	uint64_t locked;	/* bytes kept in memory by mlock(2) */
};
/* 0, or an error of /proc's.  As long as a walk over all page tables of the process. */
int __kipc_memory_use(const void *addr, uint64_t len, struct kipc_memory_use *use);

#endif
