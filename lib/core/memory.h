/* SPDX-License-Identifier: MIT */
/*
 * Where a segment's memory comes from: the memfd, its page size, its allocation and its mapping.
 *
 * The ladder (KIPC_HUGE_TRY): 1 GiB pages, 2 MiB pages, transparent huge pages, 4 KiB pages.  A step
 * is taken only if it would waste no more than an eighth of the size.
 */
#ifndef KIPC_CORE_MEMORY_H
#define KIPC_CORE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kipc/base.h"

#define KIPC_PAGE_4K	(1ULL << 12)
#define KIPC_PAGE_2M	(1ULL << 21)
#define KIPC_PAGE_1G	(1ULL << 30)

struct kipc_memory {
	int fd;
	uint64_t size;		/* bytes of the file, a multiple of page_size */
	uint64_t page_size;
	bool thp;		/* ask for transparent huge pages when mapping */
};

/*
 * A memfd of at least `size` bytes that may be sealed, with the pages that `huge` asks for; the first
 * `populate` bytes are allocated (all of them with hugetlb).  0, or -EINVAL, -ENOMEM, -EMFILE,
 * -ENFILE, -ENOSPC, -EOVERFLOW.
 */
int __kipc_memory_create(struct kipc_memory *mem, const char *label, uint64_t size,
			 uint64_t populate, enum kipc_huge huge);

/* Allocates [off, off + len) of the file, growing it if need be.  0, -ENOMEM, -ENOSPC, -EPERM. */
int __kipc_memory_allocate(int fd, uint64_t off, uint64_t len);

/*
 * Maps map_size bytes (a multiple of page_size) of the file, shared.  If thp, aligned to 2 MiB and
 * advised.  The address goes to *addr.  0 or -ENOMEM, -EACCES, ...
 */
int __kipc_memory_map(int fd, uint64_t map_size, uint64_t page_size, bool readonly, bool thp,
		      void **addr);

/*
 * Faults [addr, addr + len) in, writable; collapses it into huge pages if thp.  Failing is harmless:
 * the pages come at the first touch.
 */
void __kipc_memory_populate(void *addr, uint64_t len, bool thp);

#endif
