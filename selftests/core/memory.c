// SPDX-License-Identifier: MIT
/* What backs a segment: the ladder of page sizes, allocation, alignment. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "core/memory.h"

#include "common.h"

#define M2	KIPC_PAGE_2M

static int create(struct core *c, enum kipc_huge huge, uint64_t size, uint64_t max)
{
	struct kipc_segment_spec spec = {
		.body_size = size,
		.max_body_size = max,
		.huge = huge,
		.populate = size,
	};

	memset(c, 0, sizeof(*c));
	return __kipc_segment_create(&c->seg, &core_ops, &spec);
}

static uint64_t backed(const struct core *c)
{
	struct stat st;

	ASSERT_EQ(0, fstat(c->seg.fd, &st));
	return (uint64_t)st.st_blocks * 512;
}

TEST(plain_pages)
{
	struct core c;

	ASSERT_EQ(0, create(&c, KIPC_HUGE_NONE, 3 * M2, 0));
	EXPECT_EQ(4096, c.seg.page_size);
	EXPECT_EQ(4096 + 3 * M2, c.seg.size);
	EXPECT_EQ(c.seg.size, backed(&c));
	__kipc_segment_close(&c.seg);
}

TEST(what_is_not_populated_is_sparse)
{
	struct kipc_segment_spec spec = { .body_size = 64 << 20, .populate = 65536 };
	struct core c = { 0 };

	ASSERT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &spec));
	EXPECT_EQ(4096 + 65536, backed(&c));
	c.seg.base[c.seg.size - 1] = 1;
	EXPECT_EQ(4096 + 65536 + 4096, backed(&c));
	__kipc_segment_close(&c.seg);

	/* more than there is means all of it */
	spec.body_size = 65536;
	spec.populate = UINT64_MAX;
	ASSERT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &spec));
	EXPECT_EQ(c.seg.size, backed(&c));
	__kipc_segment_close(&c.seg);
}

TEST(transparent_huge_pages)
{
	struct core c;

	ASSERT_EQ(0, create(&c, KIPC_HUGE_THP, 5 * M2 + 12345, 0));
	EXPECT_EQ(4096, c.seg.page_size);
	EXPECT_EQ(0, (uintptr_t)c.seg.base % M2);
	EXPECT_EQ(0, c.seg.size % 4096);
	memset(c.seg.base + c.seg.body_off, 0xa5, 5 * M2 + 12345);
	__kipc_segment_close(&c.seg);
	/* smaller than one, too */
	ASSERT_EQ(0, create(&c, KIPC_HUGE_THP, 1, 0));
	EXPECT_EQ(8192, c.seg.size);
	__kipc_segment_close(&c.seg);
}

/* The aligned reservation leaves neither a hole nor anything behind. */
TEST(address_space_is_given_back)
{
	char before[64], after[64];
	struct core c;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 50; i++) {
			ASSERT_EQ(0, create(&c, i & 1 ? KIPC_HUGE_THP : KIPC_HUGE_NONE,
					    65536 * (uint64_t)(i + 1), i % 3 ? M2 * (uint64_t)i : 0));
			__kipc_segment_close(&c.seg);
		}
		for (int last = 0; last < 2; last++) {
			FILE *f = fopen("/proc/self/statm", "re");
			char *line = round ? after : before;

			ASSERT_NE(NULL, f);
			ASSERT_NE(NULL, fgets(line, 64, f));
			*strchr(line, ' ') = '\0';
			fclose(f);
		}
	}
	EXPECT_STREQ(before, after);
}

static bool huge_page_free(const char *size)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%s/free_hugepages", size);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return atoi(text) > 0;
}

TEST(exact_huge_pages)
{
	int fds = core_count_fds(NULL);
	struct core c;
	int r;

	r = create(&c, KIPC_HUGE_2M, 1, 0);
	EXPECT_EQ(huge_page_free("2048kB") ? 0 : -ENOMEM, r);
	__kipc_segment_close(&c.seg);
	r = create(&c, KIPC_HUGE_1G, 1, 0);
	EXPECT_EQ(huge_page_free("1048576kB") ? 0 : -ENOMEM, r);
	__kipc_segment_close(&c.seg);
	EXPECT_EQ(fds, core_count_fds(NULL));
}

TEST(the_ladder)
{
	static const uint64_t sizes[] = { 1, 4096, 1 << 20, 2 << 20, (2 << 20) - 4096, 5 << 20 };
	bool have = huge_page_free("2048kB");

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t file = 4096 + sizes[i], waste = align_up(file, M2) - file;
		struct core c;

		ASSERT_EQ(0, create(&c, KIPC_HUGE_TRY, sizes[i], 0));
		EXPECT_GE(c.seg.size, file);
		EXPECT_EQ(0, c.seg.size % c.seg.page_size);
		/* a step is only taken when it wastes no more than an eighth */
		if (waste > file / 8)
			EXPECT_EQ(4096, c.seg.page_size);
		else if (!have)
			EXPECT_EQ(4096, c.seg.page_size);
		memset(c.seg.base + c.seg.body_off, 1, sizes[i]);
		__kipc_segment_close(&c.seg);
	}
}

/* What may grow reserves all that it may grow to in huge pages; if those are missing, a step down. */
TEST(the_ladder_for_what_grows)
{
	struct core c;

	if (!huge_page_free("2048kB"))
		SKIP("needs a free huge page of 2 MiB");
	ASSERT_EQ(0, create(&c, KIPC_HUGE_TRY, M2 - 4096, 1ULL << 40));
	EXPECT_EQ(4096, c.seg.page_size);
	EXPECT_EQ(0, __kipc_segment_grow(&c.seg, 3 * M2));
	c.seg.base[3 * M2 - 1] = 1;
	__kipc_segment_close(&c.seg);
	/* explicitly asked for, it is refused */
	EXPECT_EQ(-ENOMEM, create(&c, KIPC_HUGE_2M, M2 - 4096, 1ULL << 40));
}

TEST(hugetlb_opened_elsewhere)
{
	struct kipc_segment_spec spec = { .body_size = 65536, .huge = KIPC_HUGE_2M };
	struct core c, d;

	if (core_create(&c, &spec))
		SKIP("needs a free huge page of 2 MiB");
	EXPECT_EQ(M2, c.seg.size);
	EXPECT_EQ(M2, c.seg.hdr->page_size);
	ASSERT_EQ(0, core_open(&d, &c));
	EXPECT_EQ(M2, d.seg.page_size);
	d.seg.base[M2 - 1] = 7;
	EXPECT_EQ(7, c.seg.base[M2 - 1]);
	core_close(&d);
	core_close(&c);
}

TEST(sizes_that_can_not_be)
{
	static const struct {
		uint64_t size, max;
		enum kipc_huge huge;
		int error;
	} bad[] = {
		{ 0, 0, KIPC_HUGE_NONE, -EINVAL },
		{ 0, 4096, KIPC_HUGE_NONE, -EINVAL },
		{ UINT64_MAX, 0, KIPC_HUGE_NONE, -EOVERFLOW },
		{ (1ULL << 56) + 1, 0, KIPC_HUGE_TRY, -EOVERFLOW },
		{ 4096, (1ULL << 56) + 1, KIPC_HUGE_TRY, -EOVERFLOW },
		{ 4096, 0, (enum kipc_huge)77, -EINVAL },
		{ 4096, 0, (enum kipc_huge)-1, -EINVAL },
	};
	struct kipc_memory mem;
	int fds = core_count_fds(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kipc_memory_spec spec = {
			.label = "x",
			.size = bad[i].size,
			.max_size = bad[i].max,
			.huge = bad[i].huge,
		};

		EXPECT_EQ(bad[i].error, __kipc_memory_create(&mem, &spec));
	}
	EXPECT_EQ(-EOVERFLOW, __kipc_memory_allocate(1, UINT64_MAX, 1));
	EXPECT_EQ(-EOVERFLOW, __kipc_memory_allocate(1, 1, UINT64_MAX));
	EXPECT_EQ(-EOVERFLOW, __kipc_memory_allocate(1, INT64_MAX, 1));
	EXPECT_EQ(-EBADF, __kipc_memory_allocate(-1, 0, 1));
	EXPECT_EQ(0, __kipc_memory_allocate(-1, 0, 0));
	EXPECT_EQ(fds, core_count_fds(NULL));
}

static int create_little_room(void *arg)
{
	struct kipc_memory_spec spec = { .label = "x", .size = 65536 };
	struct rlimit lim = { 4096, 65536 };
	struct kipc_memory mem;
	int fds = core_count_fds(NULL);

	(void)arg;
	signal(SIGXFSZ, SIG_IGN);	/* else that would be the end */
	EXPECT_EQ(0, setrlimit(RLIMIT_FSIZE, &lim));
	EXPECT_EQ(-ENOSPC, __kipc_memory_create(&mem, &spec));
	spec.populate = 65536;
	EXPECT_EQ(-ENOSPC, __kipc_memory_create(&mem, &spec));
	EXPECT_EQ(fds, core_count_fds(NULL));
	lim.rlim_cur = 65536;
	EXPECT_EQ(0, setrlimit(RLIMIT_FSIZE, &lim));
	EXPECT_EQ(0, __kipc_memory_create(&mem, &spec));
	lim.rlim_cur = 4096;
	EXPECT_EQ(0, setrlimit(RLIMIT_FSIZE, &lim));
	EXPECT_EQ(-ENOSPC, __kipc_memory_allocate(mem.fd, 65536, 4096));
	__kipc_memory_destroy(&mem);
	return 0;
}

TEST(rlimit_of_file_sizes)
{
	ksft_join(ksft_fork(create_little_room, NULL));
}

/*
 * In Linux 6.1 a signal ends fallocate(2) of shared memory, which then undoes what it did.  All at
 * once it would never come to an end where a timer ticks: here, what takes longer than 8 MiB do.
 */
TEST_TIMEOUT(allocation_under_signals, 10)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 8 << 20, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINTR),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };
	struct core c;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		SKIP("needs seccomp filters");
	ASSERT_EQ(0, create(&c, KIPC_HUGE_NONE, 32 << 20, 64 << 20));
	EXPECT_EQ(c.seg.size, backed(&c));
	EXPECT_EQ(0, __kipc_segment_grow(&c.seg, c.seg.map_size));
	EXPECT_EQ(c.seg.map_size, backed(&c));
	__kipc_segment_close(&c.seg);
}

TEST_HARNESS_MAIN
