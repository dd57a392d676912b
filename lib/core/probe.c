// SPDX-License-Identifier: MIT
/* One table of what the kernel may or may not have, each tried once, when first asked. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/memory.h"
#include "core/sys.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static bool probe_io_uring(void)
{
	struct io_uring ring;
	bool ok;

	if (io_uring_queue_init(2, &ring, 0))
		return false;
	ok = ring.features & IORING_FEAT_EXT_ARG;
	io_uring_queue_exit(&ring);
	return ok;
}

static bool try_memfd(unsigned int flags)
{
	int fd = memfd_create("kipc:probe", MFD_CLOEXEC | flags);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool probe_ofd_locks(void)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int fd = memfd_create("kipc:probe", MFD_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = fcntl(fd, F_OFD_SETLK, &fl) == 0;
	close(fd);
	return ok;
}

static bool probe_noexec(void)
{
	return try_memfd(MFD_NOEXEC_SEAL);
}

static bool try_huge(enum kipc_huge huge, uint64_t size)
{
	struct kipc_memory_spec spec = { .label = "kipc:probe", .size = size, .huge = huge };
	struct kipc_memory mem;

	if (__kipc_memory_create(&mem, &spec))
		return false;
	__kipc_memory_destroy(&mem);
	return true;
}

static bool probe_2m(void)
{
	return try_huge(KIPC_HUGE_2M, KIPC_PAGE_2M);
}

static bool probe_1g(void)
{
	return try_huge(KIPC_HUGE_1G, KIPC_PAGE_1G);
}

static bool probe_collapse(void)
{
	char *p = mmap(NULL, 2 * KIPC_PAGE_2M, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;
	bool ok;

	if (p == MAP_FAILED)
		return false;
	/* where nothing was touched there is nothing to collapse, which is EINVAL just as "unknown" */
	start = (char *)align_up((uintptr_t)p, KIPC_PAGE_2M);
	*start = 1;
	ok = madvise(start, KIPC_PAGE_2M, MADV_COLLAPSE) == 0 || errno != EINVAL;
	munmap(p, 2 * KIPC_PAGE_2M);
	return ok;
}

static bool probe_proc_fd(void)
{
	char path[32];
	int fd = memfd_create("kipc:probe", MFD_CLOEXEC), again;

	if (fd < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	close(fd);
	if (again < 0)
		return false;
	close(again);
	return true;
}

static struct {
	bool (*probe)(void);
	bool now;		/* the answer may change: ask each time */
	int known;		/* 0: not asked yet, 1: no, 2: yes */
} features[KIPC_FEATURE_MAX] = {
	[KIPC_FEATURE_IO_URING]		= { .probe = probe_io_uring },
	[KIPC_FEATURE_OFD_LOCKS]	= { .probe = probe_ofd_locks },
	[KIPC_FEATURE_MEMFD_NOEXEC]	= { .probe = probe_noexec },
	[KIPC_FEATURE_HUGETLB_2M]	= { .probe = probe_2m, .now = true },
	[KIPC_FEATURE_HUGETLB_1G]	= { .probe = probe_1g, .now = true },
	[KIPC_FEATURE_MADV_COLLAPSE]	= { .probe = probe_collapse },
	[KIPC_FEATURE_PROC_FD]		= { .probe = probe_proc_fd },
};

KIPC_API int kipc_feature_supported(enum kipc_feature feature)
{
	int known, saved = errno;

	if ((unsigned int)feature >= KIPC_FEATURE_MAX)
		return -EINVAL;
	known = load_relaxed(&features[feature].known);
	if (!known || features[feature].now) {
		known = features[feature].probe() ? 2 : 1;
		store_relaxed(&features[feature].known, known);
		errno = saved;
	}
	return known == 2;
}
