// SPDX-License-Identifier: MIT
/*
 * Huge pages: what is asked for exactly comes or is refused, what is tried always works, and what was
 * got is reported.  As root the tests reserve a few 2 MiB pages themselves and give them back.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kipc/array.h>
#include <kipc/shm.h>

#include "kselftest_harness.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define POOL_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define POOL_1G "/sys/kernel/mm/hugepages/hugepages-1048576kB/"
#define PAGE_2M (2 << 20)
#define PAGE_1G (1 << 30)

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

/* The pools belong to the whole machine: one test at a time. */
static int pool_lock = -1;
static const char *pool_nr;	/* NULL: nothing to give back */
static long pool_before;

static void lock_pool(void)
{
	pool_lock = open(POOL_2M "nr_hugepages", O_RDONLY | O_CLOEXEC);
	if (pool_lock >= 0)
		flock(pool_lock, LOCK_EX);
}

static long free_2m(void)
{
	return read_number(POOL_2M "free_hugepages");
}

/* So that so many pages can be had; which: the pool's folder. */
#define reserve(which, pages)                                                                      \
	reserve_in(which "nr_hugepages", which "free_hugepages", which "resv_hugepages", pages)

static void reserve_in(const char *nr, const char *nfree, const char *resv, long pages)
{
	long before;

	lock_pool();
	before = read_number(nr);
	if (before < 0)
		SKIP("this kernel has no pages of that size");
	if (read_number(nfree) - read_number(resv) >= pages)
		return;
	if (!write_number(nr, before + pages))
		SKIP("cannot reserve huge pages: not root, or a read-only /sys");
	pool_nr = nr;
	pool_before = before;
	if (read_number(nfree) - read_number(resv) < pages)
		SKIP("the kernel gave no %ld huge pages", pages);
}

static void give_back(void)
{
	if (pool_nr)
		write_number(pool_nr, pool_before);
	pool_nr = NULL;
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
	free_pages = free_2m();
	if (free_pages < 0)
		free_pages = 0;
	EXPECT_EQ(-ENOMEM,
		  kipc_shm_create(NULL, ((size_t)free_pages + 1) * PAGE_2M, &o, &s));
	EXPECT_TRUE(s == NULL);
	/* a refusal leaves nothing behind */
	if (free_2m() >= 0)
		EXPECT_EQ(free_pages, free_2m());
	give_back();
}

TEST(exact_1g_refused)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_1G);
	struct kipc_shm *s = NULL;

	if (read_number(POOL_1G "free_hugepages") > 0)
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

	reserve(POOL_2M, 4);
	free_pages = free_2m();
	/* head and peers take a part of the first page */
	ASSERT_EQ(0, kipc_shm_create(NULL, 3 << 20, &o, &s));
	EXPECT_EQ(PAGE_2M, kipc_shm_page_size(s));
	EXPECT_EQ(3 << 20, kipc_shm_size(s));
	EXPECT_EQ(free_pages - 2, free_2m());
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(PAGE_2M, st.page_size);
	EXPECT_EQ(4 << 20, st.resident);
	EXPECT_EQ(KIPC_HUGE_2M, st.huge);
	EXPECT_EQ(4 << 20, st.huge_bytes);
	EXPECT_EQ(1, st.populated);
	use_it(s);
	ksft_join(ksft_fork(child_reads, s));
	EXPECT_EQ(0x99, ((uint8_t *)kipc_shm_addr(s))[12345]);
	EXPECT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(s));
	kipc_shm_close(s);
	EXPECT_EQ(free_pages, free_2m());
}

TEST_F(pool, exact_2m_array)
{
	KIPC_OPTS(kipc_array_opts, o, .huge = KIPC_HUGE_2M);
	uint64_t shape[] = { 512, 512 };
	struct kipc_array *a;
	double one = 1;

	reserve(POOL_2M, 4);
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 2, shape, &o, &a));
	EXPECT_EQ(PAGE_2M, kipc_array_page_size(a));
	EXPECT_EQ(0, kipc_array_fill(a, &one));
	EXPECT_EQ(1.0, *(double *)kipc_array_at(a, (uint64_t[]){ 511, 511 }));
	kipc_array_close(a);
}

/* Room to grow is reserved at creation; pages are taken as it grows, or it doesn't. */
TEST_F(pool, grows)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_2M, .max_size = 5 << 20);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_shm *s, *more = NULL;
	long free_pages;

	reserve(POOL_2M, 4);
	free_pages = free_2m();
	ASSERT_EQ(0, kipc_shm_create(NULL, 1 << 20, &o, &s));
	EXPECT_EQ(free_pages - 1, free_2m());
	use_it(s);
	/* what is reserved is not there for others */
	o.max_size = (uint64_t)free_pages * PAGE_2M;
	EXPECT_EQ(-ENOMEM, kipc_shm_create(NULL, 1 << 20, &o, &more));
	ASSERT_EQ(0, kipc_shm_resize(s, 5 << 20));
	EXPECT_EQ(free_pages - 3, free_2m());
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(6 << 20, st.resident);
	EXPECT_EQ(1, st.populated);
	EXPECT_EQ(0x77, *(uint8_t *)kipc_shm_addr(s));
	EXPECT_EQ(0, *((uint8_t *)kipc_shm_addr(s) + (5 << 20) - 1));
	kipc_shm_close(s);
	EXPECT_EQ(free_pages, free_2m());
}

TEST_F(pool, try_takes_them)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_TRY);
	struct kipc_shm *s;

	reserve(POOL_2M, 4);
	/* little is wasted: the ladder takes the step */
	ASSERT_EQ(0, kipc_shm_create(NULL, 4 * PAGE_2M - (64 << 10), &o, &s));
	EXPECT_EQ(PAGE_2M, kipc_shm_page_size(s));
	use_it(s);
	kipc_shm_close(s);
}

/*
 * In one test, since the first touch of so much memory takes seconds on some virtual machines.  All
 * of it is taken at creation: what is refused later would be SIGBUS.
 */
TEST_F_TIMEOUT(pool, one_gib, 60)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_1G);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_shm *s, *more = NULL;
	uint8_t *p;

	if (ksft_slow())
		SKIP("a GiB is taken in the runs without a sanitizer");
	reserve(POOL_1G, 1);
	ASSERT_EQ(0, kipc_shm_create(NULL, 5 << 20, &o, &s));
	EXPECT_EQ(PAGE_1G, kipc_shm_page_size(s));
	EXPECT_EQ(5 << 20, kipc_shm_size(s));
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(KIPC_HUGE_1G, st.huge);
	EXPECT_EQ(PAGE_1G, st.huge_bytes);
	if (!read_number(POOL_1G "free_hugepages"))
		EXPECT_EQ(-ENOMEM, kipc_shm_create(NULL, 4096, &o, &more));
	p = kipc_shm_addr(s);
	p[(5 << 20) - 1] = 0x77;
	p[0] = 0x77;
	kipc_shm_close(s);

	/* nearly all of a page is used: the ladder takes it; half of one: it doesn't */
	o.huge = KIPC_HUGE_TRY;
	ASSERT_EQ(0, kipc_shm_create(NULL, PAGE_1G - (1 << 20), &o, &s));
	EXPECT_EQ(PAGE_1G, kipc_shm_page_size(s));
	kipc_shm_close(s);
	ASSERT_EQ(0, kipc_shm_create(NULL, PAGE_1G / 2, &o, &s));
	EXPECT_LT(kipc_shm_page_size(s), PAGE_1G);
	kipc_shm_close(s);
}

/* Whether the kernel has a huge page for shared memory right now. */
static bool can_collapse(void)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_THP);
	bool can = false;
	struct kipc_shm *s;
	uint8_t *p;

	ASSERT_EQ(0, kipc_shm_create(NULL, 3 * PAGE_2M, &o, &s));
	p = (uint8_t *)(((uintptr_t)kipc_shm_addr(s) + PAGE_2M) & ~(PAGE_2M - 1UL));
	*p = 1;
	can = madvise(p, PAGE_2M, MADV_COLLAPSE) == 0;
	kipc_shm_close(s);
	return can;
}

TEST(transparent_huge_pages)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_THP, .flags = KIPC_SHM_POPULATE);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 16 << 20, &o, &s));
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(KIPC_HUGE_THP, st.huge);
	EXPECT_EQ(4096, st.page_size);
	EXPECT_EQ(1, st.populated);
	EXPECT_LE(st.huge_bytes, st.resident);
	EXPECT_EQ(0, st.huge_bytes % PAGE_2M);
	ksft_log("%lu of %lu bytes are in huge pages", (unsigned long)st.huge_bytes,
		 (unsigned long)st.resident);
	use_it(s);
	kipc_shm_close(s);
	if (st.huge_bytes)
		return;
	if (!can_collapse())
		SKIP("the kernel makes no huge pages for shared memory");
	EXPECT_GT(st.huge_bytes, 0);
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
	struct kipc_shm_stat st = { .sz = sizeof(st) };

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
		ASSERT_EQ(0, kipc_shm_stat(s, &st));
		EXPECT_NE(KIPC_HUGE_TRY, st.huge);
		EXPECT_EQ(page == PAGE_1G, st.huge == KIPC_HUGE_1G);
		EXPECT_EQ(page == PAGE_2M, st.huge == KIPC_HUGE_2M);
		kipc_shm_close(s);
	}
}

TEST_HARNESS_MAIN
