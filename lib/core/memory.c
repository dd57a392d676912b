// SPDX-License-Identifier: MIT
/*
 * memfd_create(2), fallocate(2), mmap(2), madvise(2): see memory.h.
 *
 * hugetlb pages are allocated, not only reserved, before anybody maps the file: a page that turns
 * out missing at the first touch would be a SIGBUS, and there is no other moment to say -ENOMEM.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/compiler.h"
#include "core/memory.h"
#include "core/sys.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#define MFD_HUGE_1GB (30U << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define ALLOCATE_STEP	(1ULL << 20)

/* Before 6.3 the kernel doesn't know MFD_NOEXEC_SEAL and says so with EINVAL. */
static int memfd(const char *label, unsigned int flags)
{
	long fd;

	flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
	fd = SYS(memfd_create(label, flags | MFD_NOEXEC_SEAL));
	if (fd == -EINVAL)
		fd = SYS(memfd_create(label, flags));
	return (int)fd;
}

int __kipc_memory_allocate(int fd, uint64_t off, uint64_t len)
{
	long r = 0;

	if (off > INT64_MAX || len > INT64_MAX - off)
		return -EOVERFLOW;
	/* in 6.1 a signal undoes the whole call: in steps, so that not all is to be done again */
	while (len && !r) {
		uint64_t step = min_of(len, ALLOCATE_STEP - off % ALLOCATE_STEP);

		r = SYS_RETRY(fallocate(fd, 0, (off_t)off, (off_t)step));
		off += step;
		len -= step;
	}
	return r == -EFBIG ? -EOVERFLOW : (int)r;
}

/* One step of the ladder. */
static int create_with(struct kipc_memory *mem, const char *label, uint64_t size,
		       uint64_t populate, uint64_t page_size)
{
	unsigned int flags = 0;
	int r;

	if (size > (1ULL << 56))
		return -EOVERFLOW;
	if (page_size == KIPC_PAGE_2M)
		flags = MFD_HUGETLB | MFD_HUGE_2MB;
	else if (page_size == KIPC_PAGE_1G)
		flags = MFD_HUGETLB | MFD_HUGE_1GB;

	mem->page_size = page_size;
	mem->size = align_up(size, page_size);
	mem->fd = memfd(label, flags);
	if (mem->fd < 0)
		/* ENODEV: no such page size here; ENOSYS, EINVAL: no hugetlb at all */
		return flags && (mem->fd == -ENODEV || mem->fd == -ENOSYS || mem->fd == -EINVAL) ?
			       -ENOMEM :
			       mem->fd;
	r = (int)SYS_RETRY(ftruncate(mem->fd, (off_t)mem->size));
	if (!r)
		r = __kipc_memory_allocate(mem->fd, 0,
					   flags ? mem->size : min_of(populate, mem->size));
	if (r) {
		SYS(close(mem->fd));
		mem->fd = -1;
	}
	return flags && (r == -ENOSPC || r == -EINVAL) ? -ENOMEM : r;
}

static bool worth(uint64_t size, uint64_t page_size)
{
	return align_up(size, page_size) - size <= size / 8;
}

int __kipc_memory_create(struct kipc_memory *mem, const char *label, uint64_t size,
			 uint64_t populate, enum kipc_huge huge)
{
	mem->thp = false;
	if (!size || size > (1ULL << 56))
		return size ? -EOVERFLOW : -EINVAL;
	switch (huge) {
	case KIPC_HUGE_1G:
		return create_with(mem, label, size, populate, KIPC_PAGE_1G);
	case KIPC_HUGE_2M:
		return create_with(mem, label, size, populate, KIPC_PAGE_2M);
	case KIPC_HUGE_TRY:
		if (worth(size, KIPC_PAGE_1G) &&
		    !create_with(mem, label, size, populate, KIPC_PAGE_1G))
			return 0;
		if (worth(size, KIPC_PAGE_2M) &&
		    !create_with(mem, label, size, populate, KIPC_PAGE_2M))
			return 0;
		mem->thp = size >= KIPC_PAGE_2M;
		return create_with(mem, label, size, populate, KIPC_PAGE_4K);
	case KIPC_HUGE_THP:
		mem->thp = true;
		return create_with(mem, label, size, populate, KIPC_PAGE_4K);
	case KIPC_HUGE_NONE:
		return create_with(mem, label, size, populate, KIPC_PAGE_4K);
	}
	return -EINVAL;
}

/* A stretch of address space aligned to 2 MiB, so that huge pages can be mapped as such. */
static void *reserve_aligned(uint64_t size)
{
	char *p = mmap(NULL, size + KIPC_PAGE_2M, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	if (p == MAP_FAILED)
		return NULL;
	start = (char *)align_up((uintptr_t)p, KIPC_PAGE_2M);
	if (start > p)
		munmap(p, start - p);
	munmap(start + size, p + KIPC_PAGE_2M - start);
	return start;
}

int __kipc_memory_map(int fd, uint64_t map_size, uint64_t page_size, bool readonly, bool thp,
		      void **addr)
{
	int prot = readonly ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = MAP_SHARED;
	int saved = errno, r = 0;
	void *hint = NULL, *p;

	if (map_size > SIZE_MAX - KIPC_PAGE_2M)
		return -ENOMEM;
	/* hugetlb reserves at mmap(); for shmem the flag only keeps the size out of accounting */
	if (page_size == KIPC_PAGE_4K)
		flags |= MAP_NORESERVE;
	if (thp)
		hint = reserve_aligned(map_size);
	p = mmap(hint, map_size, prot, flags | (hint ? MAP_FIXED : 0), fd, 0);
	if (p == MAP_FAILED) {
		r = -errno;
		if (hint)
			munmap(hint, map_size);
	} else {
		if (thp)
			madvise(p, map_size, MADV_HUGEPAGE);
		*addr = p;
	}
	errno = saved;
	return r;
}

void __kipc_memory_populate(void *addr, uint64_t len, bool thp)
{
	int saved = errno;

	madvise(addr, len, MADV_POPULATE_WRITE);
	if (thp && len >= KIPC_PAGE_2M)
		madvise(addr, len & ~(KIPC_PAGE_2M - 1), MADV_COLLAPSE);
	errno = saved;
}
