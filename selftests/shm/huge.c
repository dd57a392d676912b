// SPDX-License-Identifier: MIT
/*
 * Huge pages: what is asked for exactly comes or is refused, what is tried always works, and what was
 * got is reported.  As root the tests reserve a few 2 MiB pages themselves and give them back.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <kipc/array.h>
#include <kipc/shm.h>

#include "kselftest_harness.h"

#define POOL_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define PAGE_2M (2 << 20)

static long read_number(const char *path)
{
	long n = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

static bool write_number(const char *path, long n)
{
	FILE *f = fopen(path, "we");
	bool ok;

	if (!f)
		return false;
	ok = fprintf(f, "%ld\n", n) > 0;
	return !fclose(f) && ok;
}

/* The pool belongs to the whole machine: one test at a time. */
static int pool_lock = -1;
static long pool_before = -1;	/* -1: nothing to give back */

static void lock_pool(void)
{
	pool_lock = open(POOL_2M "nr_hugepages", O_RDONLY | O_CLOEXEC);
	if (pool_lock >= 0)
		flock(pool_lock, LOCK_EX);
}

static void reserve(long pages)
{
	lock_pool();
	pool_before = read_number(POOL_2M "nr_hugepages");
	if (pool_before < 0)
		SKIP("no 2 MiB pages in this kernel");
	if (read_number(POOL_2M "free_hugepages") - read_number(POOL_2M "resv_hugepages") >= pages)
		return;
	if (!write_number(POOL_2M "nr_hugepages", pool_before + pages))
		SKIP("cannot reserve 2 MiB pages: not root, or a read-only /sys");
	if (read_number(POOL_2M "free_hugepages") < pages) {
		write_number(POOL_2M "nr_hugepages", pool_before);
		SKIP("the kernel gave no %ld pages of 2 MiB", pages);
	}
}

static void give_back(void)
{
	if (pool_before >= 0 && read_number(POOL_2M "nr_hugepages") > pool_before)
		write_number(POOL_2M "nr_hugepages", pool_before);
	if (pool_lock >= 0)
		close(pool_lock);
	pool_lock = -1;
}

static void use_it(struct kipc_shm *s)
{
	uint8_t *p = kipc_shm_addr(s);
	size_t size = kipc_shm_size(s), nonzero = 0;

	for (size_t i = 0; i < size; i++)
		nonzero += p[i] != 0;
	EXPECT_EQ(0, nonzero);
	memset(p, 0x77, size);
	EXPECT_EQ(0x77, p[size - 1]);
}

/* More than any machine has set aside. */
TEST(exact_2m_refused)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_2M);
	struct kipc_shm *s = NULL;
	long free_pages;

	lock_pool();
	free_pages = read_number(POOL_2M "free_hugepages");
	if (free_pages < 0)
		free_pages = 0;
	EXPECT_EQ(-ENOMEM,
		  kipc_shm_create(NULL, ((size_t)free_pages + 1) * PAGE_2M, &o, &s));
	EXPECT_TRUE(s == NULL);
	/* a refusal leaves nothing behind */
	if (read_number(POOL_2M "free_hugepages") >= 0)
		EXPECT_EQ(free_pages, read_number(POOL_2M "free_hugepages"));
	give_back();
}

TEST(exact_1g_refused)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_1G);
	struct kipc_shm *s = NULL;

	if (read_number("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages") > 0)
		SKIP("there are free 1 GiB pages");
	EXPECT_EQ(-ENOMEM, kipc_shm_create(NULL, 4096, &o, &s));
	EXPECT_TRUE(s == NULL);
}

FIXTURE(pool) {
	bool reserved;
};

FIXTURE_SETUP(pool)
{
}

FIXTURE_TEARDOWN(pool)
{
	give_back();
}

static int child_reads(void *arg)
{
	uint8_t *p = kipc_shm_addr(arg);

	if (p[0] != 0x77 || p[kipc_shm_size(arg) - 1] != 0x77)
		return 1;
	p[12345] = 0x99;
	return kipc_shm_page_size(arg) == PAGE_2M ? 0 : 2;
}

TEST_F(pool, exact_2m)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_2M);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_shm *s;
	long free_pages;

	reserve(4);
	free_pages = read_number(POOL_2M "free_hugepages");
	/* head and peers take a part of the first page */
	ASSERT_EQ(0, kipc_shm_create(NULL, 3 << 20, &o, &s));
	EXPECT_EQ(PAGE_2M, kipc_shm_page_size(s));
	EXPECT_EQ(3 << 20, kipc_shm_size(s));
	EXPECT_EQ(free_pages - 2, read_number(POOL_2M "free_hugepages"));
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(PAGE_2M, st.page_size);
	EXPECT_EQ(4 << 20, st.resident);
	use_it(s);
	ksft_join(ksft_fork(child_reads, s));
	EXPECT_EQ(0x99, ((uint8_t *)kipc_shm_addr(s))[12345]);
	EXPECT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(s));
	kipc_shm_close(s);
	EXPECT_EQ(free_pages, read_number(POOL_2M "free_hugepages"));
}

TEST_F(pool, exact_2m_array)
{
	KIPC_OPTS(kipc_array_opts, o, .huge = KIPC_HUGE_2M);
	uint64_t shape[] = { 512, 512 };
	struct kipc_array *a;
	double one = 1;

	reserve(4);
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 2, shape, &o, &a));
	EXPECT_EQ(PAGE_2M, kipc_array_page_size(a));
	EXPECT_EQ(0, kipc_array_fill(a, &one));
	EXPECT_EQ(1.0, *(double *)kipc_array_at(a, (uint64_t[]){ 511, 511 }));
	kipc_array_close(a);
}

TEST_F(pool, try_takes_them)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_TRY);
	struct kipc_shm *s;

	reserve(4);
	/* little is wasted: the ladder takes the step */
	ASSERT_EQ(0, kipc_shm_create(NULL, 4 * PAGE_2M - (64 << 10), &o, &s));
	EXPECT_EQ(PAGE_2M, kipc_shm_page_size(s));
	use_it(s);
	kipc_shm_close(s);
}

FIXTURE(any) {
	int unused;
};

FIXTURE_VARIANT(any) {
	enum kipc_huge huge;
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(any, none) { KIPC_HUGE_NONE, 0 };
FIXTURE_VARIANT_ADD(any, thp) { KIPC_HUGE_THP, 0 };
FIXTURE_VARIANT_ADD(any, thp_populated) { KIPC_HUGE_THP, KIPC_SHM_POPULATE };
FIXTURE_VARIANT_ADD(any, try) { KIPC_HUGE_TRY, 0 };
FIXTURE_VARIANT_ADD(any, try_populated) { KIPC_HUGE_TRY, KIPC_SHM_POPULATE };

FIXTURE_SETUP(any)
{
}

FIXTURE_TEARDOWN(any)
{
}

/* These never fail for want of huge pages, and say what they got. */
TEST_F(any, always_works)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = variant->huge, .flags = variant->flags);
	static const size_t sizes[] = { 1, 4096, 3 << 20, 16 << 20 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct kipc_shm *s;
		size_t page;

		ASSERT_EQ(0, kipc_shm_create(NULL, sizes[i], &o, &s));
		page = kipc_shm_page_size(s);
		if (variant->huge == KIPC_HUGE_TRY)
			EXPECT_TRUE(page == 4096 || page == PAGE_2M || page == 1 << 30);
		else
			EXPECT_EQ(4096, page);
		use_it(s);
		kipc_shm_close(s);
	}
}

TEST_HARNESS_MAIN
