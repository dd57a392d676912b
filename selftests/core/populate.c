// SPDX-License-Identifier: MIT
/* Pages that are to be there now: taken by one thread or several, and errors where SIGBUS would be. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "core/memory.h"

#include "common.h"

#define M2	KIPC_PAGE_2M

static uint64_t backed(int fd)
{
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	return (uint64_t)st.st_blocks * 512;
}

FIXTURE(fill) {
	struct kipc_memory mem;
};

FIXTURE_VARIANT(fill) {
	uint32_t threads;
	bool thp;
};

FIXTURE_VARIANT_ADD(fill, one) { .threads = 1 };
FIXTURE_VARIANT_ADD(fill, three) { .threads = 3 };
FIXTURE_VARIANT_ADD(fill, too_many) { .threads = 1000 };
FIXTURE_VARIANT_ADD(fill, default_number) { .threads = 0 };
FIXTURE_VARIANT_ADD(fill, three_thp) { .threads = 3, .thp = true };

/* 20 MiB of file in a mapping of 30. */
FIXTURE_SETUP(fill)
{
	struct kipc_memory_spec spec = {
		.label = "kipc:test",
		.size = 10 * M2,
		.max_size = 15 * M2,
		.huge = variant->thp ? KIPC_HUGE_THP : KIPC_HUGE_NONE,
	};

	ASSERT_EQ(0, __kipc_memory_create(&self->mem, &spec));
}

FIXTURE_TEARDOWN(fill)
{
	__kipc_memory_destroy(&self->mem);
}

static int fill(struct __ksft_self_of_fill *self, const struct __ksft_variant_of_fill *variant,
		uint64_t off, uint64_t len)
{
	return __kipc_memory_fill((uint8_t *)self->mem.addr + off, len, 4096, variant->thp,
				  variant->threads);
}

TEST_F(fill, takes_what_it_is_told)
{
	EXPECT_EQ(0, backed(self->mem.fd));
	EXPECT_EQ(0, fill(self, variant, 0, 0));
	EXPECT_EQ(0, backed(self->mem.fd));
	if (!variant->thp) {
		EXPECT_EQ(0, fill(self, variant, 4096, 4097));
		EXPECT_EQ(8192, backed(self->mem.fd));
	}
	EXPECT_EQ(0, fill(self, variant, 0, 10 * M2));
	EXPECT_EQ(10 * M2, backed(self->mem.fd));
	/* what is there stays as it is */
	memset(self->mem.addr, 0x5a, 10 * M2);
	EXPECT_EQ(0, fill(self, variant, 0, 10 * M2));
	EXPECT_EQ(0x5a, ((uint8_t *)self->mem.addr)[10 * M2 - 1]);
	EXPECT_EQ(10 * M2, backed(self->mem.fd));
}

/* Behind the end of the file there is nothing to be had: a touch would be SIGBUS. */
TEST_F(fill, an_error_instead_of_sigbus)
{
	EXPECT_EQ(-ENOSPC, fill(self, variant, 0, 15 * M2));
	EXPECT_EQ(-ENOSPC, fill(self, variant, 10 * M2, 4096));
	EXPECT_LE(backed(self->mem.fd), 10 * M2);
}

static int nothing(void *arg)
{
	return arg != NULL;
}

/* Those that it starts are gone when it returns. */
TEST_F(fill, leaves_no_thread)
{
	struct ksft_thread first;
	char path[] = "/proc/self/task";
	struct stat st;
	nlink_t before;

	/* ThreadSanitizer's own thread begins with the first one of ours */
	EXPECT_EQ(0, fill(self, variant, 0, 10 * M2));
	ksft_thread_start(&first, nothing, NULL);
	ksft_thread_join(&first);
	ASSERT_EQ(0, stat(path, &st));
	before = st.st_nlink;
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(0, fill(self, variant, 0, 10 * M2));
	/* one that was joined may take a moment to go */
	EXPECT_TRUE(ksft_wait_for(!stat(path, &st) && st.st_nlink <= before, 5000));
}

/* From here on this system call ends so. */
static bool refuse(long nr, uint32_t arg2, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arg2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* What populates is told by its own way that it can't; what creates takes the other way. */
TEST(a_kernel_that_does_not_know_it)
{
	struct kipc_segment_spec spec = { .body_size = 3 * M2, .populate = 3 * M2 };
	struct core c = { 0 };

	if (!refuse(SYS_madvise, 23, EINVAL))
		SKIP("needs seccomp filters");
	ASSERT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &spec));
	EXPECT_EQ(-EOPNOTSUPP, __kipc_memory_fill(c.seg.base, M2, 4096, false, 1));
	EXPECT_EQ(4096 + 3 * M2, backed(c.seg.fd));
	__kipc_segment_close(&c.seg);
}

/* Out of memory while it is being made: nothing is left behind. */
TEST(out_of_memory)
{
	struct kipc_segment_spec spec = { .body_size = 3 * M2, .populate = 3 * M2 };
	int fds = core_count_fds(NULL);
	struct core c = { 0 };

	if (!refuse(SYS_madvise, 23, ENOMEM))
		SKIP("needs seccomp filters");
	EXPECT_EQ(-ENOMEM, __kipc_segment_create(&c.seg, &core_ops, &spec));
	EXPECT_EQ(fds, core_count_fds(NULL));
}

TEST_HARNESS_MAIN
