// SPDX-License-Identifier: MIT
/*
 * memfd_create(2), mmap(2), fallocate(2): see memory.h.
 *
 * The order is that of the kernel's promises.  Mapping hugetlb reserves its pages, or fails; the
 * nodes are set before the first page is taken; then the pages are taken, which is where a
 * reservation that can't be kept (another node, a control group's limit) comes out as an error.
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

#define SIZE_LIMIT	(1ULL << 56)
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
	return __kipc_memory_room((int)r);
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

static uint64_t page_size_of(enum kipc_huge huge)
{
	return huge == KIPC_HUGE_1G ? KIPC_PAGE_1G : huge == KIPC_HUGE_2M ? KIPC_PAGE_2M :
									     KIPC_PAGE_4K;
}

static int make_file(struct kipc_memory *mem, const struct kipc_memory_spec *spec, bool hugetlb)
{
	unsigned int flags = 0;
	int r;

	if (hugetlb)
		flags = MFD_HUGETLB |
			(mem->page_size == KIPC_PAGE_1G ? MFD_HUGE_1GB : MFD_HUGE_2MB);
	mem->fd = memfd(spec->label, flags);
	if (mem->fd < 0)
		/* ENODEV: no such page size here; ENOSYS, EINVAL: no hugetlb at all */
		return hugetlb && (mem->fd == -ENODEV || mem->fd == -ENOSYS || mem->fd == -EINVAL) ?
			       -ENOMEM :
			       mem->fd;
	r = __kipc_memory_room((int)SYS_RETRY(ftruncate(mem->fd, (off_t)mem->size)));
	if (r)
		SYS(close(mem->fd));
	return hugetlb && r == -EINVAL ? -ENOMEM : r;
}

/* The first len bytes of the file are there afterwards. */
static int take_pages(struct kipc_memory *mem, const struct kipc_memory_spec *spec, uint64_t len)
{
	int r = __kipc_memory_fill(mem->addr, len, mem->page_size, mem->huge == KIPC_HUGE_THP,
				   spec->threads);

	return r == -EOPNOTSUPP ? __kipc_memory_allocate(mem->fd, 0, len) : r;
}

/* One step of the ladder. */
static int create_with(struct kipc_memory *mem, const struct kipc_memory_spec *spec,
		       enum kipc_huge huge)
{
	bool hugetlb = huge == KIPC_HUGE_2M || huge == KIPC_HUGE_1G;
	int r;

	mem->huge = huge;
	mem->page_size = page_size_of(huge);
	mem->size = align_up(spec->size, mem->page_size);
	mem->map_size = max_of(mem->size, align_up(spec->max_size, mem->page_size));
	r = make_file(mem, spec, hugetlb);
	if (r)
		return r;
	r = __kipc_memory_map(mem->fd, mem->map_size, mem->page_size, false,
			      huge == KIPC_HUGE_THP, &mem->addr);
	if (r) {
		SYS(close(mem->fd));
		return r;
	}
	r = __kipc_numa_place(mem->addr, mem->map_size, &spec->place);
	if (!r)
		r = take_pages(mem, spec, hugetlb ? mem->size : min_of(spec->populate, mem->size));
	if (r)
		__kipc_memory_destroy(mem);
	return hugetlb && r == -ENOSPC ? -ENOMEM : r;
}

static bool worth(uint64_t size, uint64_t page_size)
{
	return align_up(size, page_size) - size <= size / 8;
}

int __kipc_memory_create(struct kipc_memory *mem, const struct kipc_memory_spec *spec)
{
	uint64_t size = spec->size;

	if (!size || size > SIZE_LIMIT || spec->max_size > SIZE_LIMIT)
		return size ? -EOVERFLOW : -EINVAL;
	switch (spec->huge) {
	case KIPC_HUGE_NONE:
	case KIPC_HUGE_THP:
	case KIPC_HUGE_2M:
	case KIPC_HUGE_1G:
		return create_with(mem, spec, spec->huge);
	case KIPC_HUGE_TRY:
		if (worth(size, KIPC_PAGE_1G) && !create_with(mem, spec, KIPC_HUGE_1G))
			return 0;
		if (worth(size, KIPC_PAGE_2M) && !create_with(mem, spec, KIPC_HUGE_2M))
			return 0;
		return create_with(mem, spec, size >= KIPC_PAGE_2M ? KIPC_HUGE_THP : KIPC_HUGE_NONE);
	}
	return -EINVAL;
}

void __kipc_memory_destroy(struct kipc_memory *mem)
{
	munmap(mem->addr, mem->map_size);
	SYS(close(mem->fd));
}
