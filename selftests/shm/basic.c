// SPDX-License-Identifier: MIT
/* Shared memory: what is made, what is refused, what another process sees. */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kipc/shm.h>

#include "core/compiler.h"
#include "shm_test.h"

static bool all(const void *p, uint8_t value, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

TEST(sizes)
{
	static const size_t sizes[] = { 1, 7, 4095, 4096, 4097, 100000, 1 << 20, (5 << 20) + 3 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct kipc_shm *s;

		ASSERT_EQ(0, kipc_shm_create(NULL, sizes[i], NULL, &s));
		EXPECT_EQ(sizes[i], kipc_shm_size(s));
		EXPECT_EQ(4096, kipc_shm_page_size(s));
		EXPECT_EQ(0, (uintptr_t)kipc_shm_addr(s) % 4096);
		EXPECT_TRUE(all(kipc_shm_addr(s), 0, sizes[i]));
		memset(kipc_shm_addr(s), 0xa5, sizes[i]);
		EXPECT_TRUE(all(kipc_shm_addr(s), 0xa5, sizes[i]));
		kipc_shm_close(s);
	}
}

TEST(refused_sizes)
{
	struct kipc_shm *s = NULL;

	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 0, NULL, &s));
	EXPECT_EQ(-EOVERFLOW, kipc_shm_create(NULL, SIZE_MAX, NULL, &s));
	EXPECT_EQ(-EOVERFLOW, kipc_shm_create(NULL, SIZE_MAX - 4096, NULL, &s));
	EXPECT_EQ(-EOVERFLOW, kipc_shm_create(NULL, (size_t)1 << 62, NULL, &s));
	EXPECT_TRUE(s == NULL);
}

TEST(null_arguments)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_shm *s;
	uint64_t seq;

	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 1, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_shm_open("x", NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_shm_stat(NULL, &st));
	EXPECT_EQ(-EINVAL, kipc_shm_write_begin(NULL, KIPC_FOREVER));
	EXPECT_EQ(-EINVAL, kipc_shm_write_end(NULL));
	EXPECT_EQ(-EINVAL, kipc_shm_read_begin(NULL, &seq, KIPC_FOREVER));
	EXPECT_FALSE(kipc_shm_read_retry(NULL, 1));
	EXPECT_EQ(NULL, kipc_shm_addr(NULL));
	EXPECT_EQ(0, kipc_shm_size(NULL));
	EXPECT_EQ(0, kipc_shm_page_size(NULL));
	EXPECT_EQ(0, kipc_shm_offset(NULL));
	EXPECT_EQ(-EINVAL, kipc_shm_fd(NULL));
	EXPECT_EQ(NULL, kipc_shm_object(NULL));
	kipc_shm_close(NULL);

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	EXPECT_EQ(-EINVAL, kipc_shm_stat(s, NULL));
	EXPECT_EQ(-EINVAL, kipc_shm_read_begin(s, NULL, KIPC_FOREVER));
	kipc_shm_close(s);
}

/* All or nothing, and what was asked for, also where it overlaps. */
TEST(copies)
{
	KIPC_OPTS(kipc_shm_opts, grows, .max_size = 9000);
	struct kipc_shm *a, *b;
	char buf[200], *p;

	ASSERT_EQ(0, kipc_shm_create(NULL, 5000, &grows, &a));
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &b));
	p = kipc_shm_addr(a);
	EXPECT_EQ(0, kipc_shm_write(a, 4990, "0123456789", 10));
	EXPECT_EQ(0, memcmp(p + 4990, "0123456789", 10));
	EXPECT_EQ(0, kipc_shm_read(a, 4993, buf, 7));
	EXPECT_EQ(0, memcmp(buf, "3456789", 7));
	EXPECT_EQ(0, kipc_shm_copy(a, 4992, a, 4990, 8));
	EXPECT_EQ(0, memcmp(p + 4990, "0101234567", 10));
	EXPECT_EQ(0, kipc_shm_copy(b, 90, a, 4990, 10));
	EXPECT_EQ(0, memcmp((char *)kipc_shm_addr(b) + 90, "0101234567", 10));

	/* nothing of what isn't inside as a whole */
	EXPECT_EQ(-ERANGE, kipc_shm_write(a, 4991, "xxxxxxxxxx", 10));
	EXPECT_EQ(0, memcmp(p + 4990, "0101234567", 10));
	EXPECT_EQ(-ERANGE, kipc_shm_read(a, 5001, buf, 0));
	EXPECT_EQ(-ERANGE, kipc_shm_read(a, SIZE_MAX, buf, 2));
	EXPECT_EQ(-ERANGE, kipc_shm_read(a, 2, buf, SIZE_MAX));
	EXPECT_EQ(-ERANGE, kipc_shm_copy(b, 91, a, 0, 10));
	EXPECT_EQ(-ERANGE, kipc_shm_copy(b, 0, a, 4991, 10));
	EXPECT_EQ(0, kipc_shm_read(a, 5000, NULL, 0));
	EXPECT_EQ(0, kipc_shm_write(a, 5000, NULL, 0));
	EXPECT_EQ(-EINVAL, kipc_shm_read(a, 0, NULL, 1));
	EXPECT_EQ(-EINVAL, kipc_shm_write(a, 0, NULL, 1));
	EXPECT_EQ(-EINVAL, kipc_shm_read(NULL, 0, buf, 1));
	EXPECT_EQ(-EINVAL, kipc_shm_write(NULL, 0, buf, 1));
	EXPECT_EQ(-EINVAL, kipc_shm_copy(NULL, 0, a, 0, 1));
	EXPECT_EQ(-EINVAL, kipc_shm_copy(a, 0, NULL, 0, 1));

	/* what it has grown to counts */
	ASSERT_EQ(0, kipc_shm_resize(a, 9000));
	EXPECT_EQ(0, kipc_shm_write(a, 8999, "x", 1));
	EXPECT_EQ(-ERANGE, kipc_shm_write(a, 9000, "x", 1));

	ASSERT_EQ(0, kipc_shm_seal(a, KIPC_SEAL_WRITE));
	EXPECT_EQ(-EACCES, kipc_shm_write(a, 0, "x", 1));
	EXPECT_EQ(-EACCES, kipc_shm_copy(a, 0, b, 0, 1));
	EXPECT_EQ(0, kipc_shm_copy(b, 0, a, 8999, 1));
	EXPECT_EQ('x', *(char *)kipc_shm_addr(b));
	kipc_shm_close(a);
	kipc_shm_close(b);
}

TEST(names)
{
	char longest[65];
	struct kipc_shm *s;

	memset(longest, 'n', 64);
	longest[64] = '\0';
	EXPECT_EQ(-EINVAL, kipc_shm_create("", 1, NULL, &s));
	EXPECT_EQ(-EINVAL, kipc_shm_create("a/b", 1, NULL, &s));
	EXPECT_EQ(-EINVAL, kipc_shm_create(longest, 1, NULL, &s));
	EXPECT_EQ(-EINVAL, kipc_shm_open("a b", NULL, &s));
	EXPECT_EQ(-EINVAL, kipc_shm_open(NULL, NULL, &s));
	EXPECT_EQ(-EINVAL, kipc_shm_unlink(NULL));
	EXPECT_EQ(-EINVAL, kipc_shm_unlink("\n"));
}

TEST(option_struct)
{
	struct {
		struct kipc_shm_opts o;
		uint64_t newer;
	} later = { .o = { .sz = sizeof(later) } };
	KIPC_OPTS(kipc_shm_opts, o);
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, &o, &s));
	kipc_shm_close(s);
	ASSERT_EQ(0, kipc_shm_create(NULL, 1, &later.o, &s));
	kipc_shm_close(s);
	later.newer = 1;
	EXPECT_EQ(-E2BIG, kipc_shm_create(NULL, 1, &later.o, &s));
	EXPECT_EQ(-E2BIG, kipc_shm_open("x", &later.o, &s));
	/* as long as it was in the beginning, and no shorter */
	o.sz = offsetof(struct kipc_shm_opts, numa);
	ASSERT_EQ(0, kipc_shm_create(NULL, 1, &o, &s));
	kipc_shm_close(s);
	o.sz--;
	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 1, &o, &s));
	o.sz = 0;
	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 1, &o, &s));
}

TEST(unknown_options)
{
	struct kipc_shm *s;

	for (int bit = 2; bit < 32; bit++) {
		KIPC_OPTS(kipc_shm_opts, o, .flags = 1u << bit);

		EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 1, &o, &s));
		if (o.flags != KIPC_NAME_RDONLY)
			EXPECT_EQ(-EINVAL, kipc_shm_open("x", &o, &s));
	}
	KIPC_OPTS(kipc_shm_opts, huge, .huge = (enum kipc_huge)(KIPC_HUGE_TRY + 1));
	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 1, &huge, &s));
	KIPC_OPTS(kipc_shm_opts, mode, .mode = 01000);
	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 1, &mode, &s));
	KIPC_OPTS(kipc_shm_opts, peers, .max_peers = 1024);
	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 1, &peers, &s));
}

TEST(mode)
{
	KIPC_OPTS(kipc_shm_opts, o, .mode = 0640);
	struct kipc_shm *s;
	struct stat st;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	ASSERT_EQ(0, fstat(kipc_shm_fd(s), &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	kipc_shm_close(s);
	ASSERT_EQ(0, kipc_shm_create(NULL, 1, &o, &s));
	ASSERT_EQ(0, fstat(kipc_shm_fd(s), &st));
	EXPECT_EQ(0640, st.st_mode & 07777);
	kipc_shm_close(s);
}

TEST(the_file)
{
	struct kipc_shm *s;
	uint64_t off;
	char *p;
	int fd;

	ASSERT_EQ(0, kipc_shm_create(NULL, 10000, NULL, &s));
	fd = kipc_shm_fd(s);
	off = kipc_shm_offset(s);
	EXPECT_EQ(0, off % 4096);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* no process can take memory away from under another */
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(-1, ftruncate(fd, 1 << 30));

	p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)off);
	ASSERT_TRUE(p != MAP_FAILED);
	strcpy(kipc_shm_addr(s), "from the handle");
	EXPECT_STREQ("from the handle", p);
	strcpy(p + 9000, "from the mapping");
	EXPECT_STREQ("from the mapping", (char *)kipc_shm_addr(s) + 9000);
	munmap(p, 10000);
	kipc_shm_close(s);
}

TEST(stat)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_peers = 5);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct {
		struct kipc_shm_stat st;
		uint64_t newer;
	} later = { .st = { .sz = sizeof(later) }, .newer = 77 };
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1 << 20, &o, &s));
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(sizeof(st), st.sz);
	EXPECT_EQ(1 << 20, st.size);
	EXPECT_EQ(4096, st.page_size);
	EXPECT_LT(st.resident, 1 << 20);
	EXPECT_EQ(0, st.populated);
	EXPECT_EQ(KIPC_HUGE_NONE, st.huge);
	EXPECT_EQ(0, st.huge_bytes);
	EXPECT_EQ(0, st.locked);
	EXPECT_EQ(KIPC_NUMA_NONE, st.numa);
	EXPECT_EQ(0, st.writes);
	EXPECT_EQ(0, st.healed);
	EXPECT_EQ(1, st.peers);
	EXPECT_EQ(5, st.max_peers);
	EXPECT_EQ(0, st.writing);
	EXPECT_EQ(0, st.torn);

	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(1, st.writing);
	EXPECT_EQ(0, st.writes);
	memset(kipc_shm_addr(s), 1, 1 << 20);
	ASSERT_EQ(0, kipc_shm_write_end(s));
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(0, st.writing);
	EXPECT_EQ(1, st.writes);
	EXPECT_GE(st.resident, 1 << 20);

	ASSERT_EQ(0, kipc_shm_stat(s, &later.st));
	EXPECT_EQ(1 << 20, later.st.size);
	EXPECT_EQ(77, later.newer);
	EXPECT_EQ(sizeof(st), later.st.sz);
	/* a caller that knows only the first fields */
	memset(&st, 0x77, sizeof(st));
	st.sz = offsetof(struct kipc_shm_stat, huge);
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(1, st.writes);
	EXPECT_EQ(0x77777777, st.huge);
	EXPECT_EQ(offsetof(struct kipc_shm_stat, huge), st.sz);
	st.sz = sizeof(st.sz) - 1;
	EXPECT_EQ(-EINVAL, kipc_shm_stat(s, &st));
	kipc_shm_close(s);
}

/* Not seen by ThreadSanitizer, whose shadow would fault as well. */
__racy static void touch(volatile char *p, size_t len)
{
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
}

TEST(populate)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_SHM_POPULATE);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct rusage before, after;
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 8 << 20, &o, &s));
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_GE(st.resident, 8 << 20);
	EXPECT_EQ(1, st.populated);
	getrusage(RUSAGE_SELF, &before);
	touch(kipc_shm_addr(s), 8 << 20);
	getrusage(RUSAGE_SELF, &after);
	/* 2048 pages touched: they were mapped already (a sanitizer's shadow wasn't) */
	EXPECT_LT(after.ru_minflt - before.ru_minflt, 1024);
	kipc_shm_close(s);
}

/* The sanitizers' runtimes make mlock(2) do nothing. */
static void needs_mlock(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long before = locked_kb();
	bool works;

	ASSERT_TRUE(p != MAP_FAILED);
	works = mlock(p, 4096) || locked_kb() > before;
	munmap(p, 4096);
	if (!works)
		SKIP("mlock(2) does nothing in this process: a sanitizer");
}

static int nothing_locked(void *arg)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };

	return kipc_shm_stat(arg, &st) ? 1 : (int)st.locked;
}

TEST(lock)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_SHM_LOCK);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_shm *s;
	long before;
	int r;

	needs_mlock();
	before = locked_kb();
	r = kipc_shm_create(NULL, 32768, &o, &s);
	if (r == -ENOMEM || r == -EPERM)
		SKIP("RLIMIT_MEMLOCK is below 40 KiB");
	ASSERT_EQ(0, r);
	EXPECT_GE(locked_kb() - before, 32);
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ((locked_kb() - before) * 1024, st.locked);
	/* locks are not inherited */
	ksft_join(ksft_fork(nothing_locked, s));
	kipc_shm_close(s);
	EXPECT_EQ(before, locked_kb());
}

static int drop_ipc_lock(void)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &hdr, caps))
		return -1;
	caps[0].effective &= ~(1u << CAP_IPC_LOCK);
	return (int)syscall(SYS_capset, &hdr, caps);
}

TEST(lock_limits)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_SHM_LOCK);
	struct rlimit some = { 65536, 65536 }, none = { 0, 0 };
	struct kipc_shm *s = NULL;

	needs_mlock();
	ASSERT_EQ(0, drop_ipc_lock());
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &some));
	EXPECT_EQ(-ENOMEM, kipc_shm_create(NULL, 1 << 20, &o, &s));
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	EXPECT_EQ(-EPERM, kipc_shm_create(NULL, 4096, &o, &s));
	EXPECT_TRUE(s == NULL);
	/* without the flag there is nothing to lock */
	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &s));
	kipc_shm_close(s);
}

TEST(out_of_descriptors)
{
	struct kipc_shm *s = NULL;
	struct rlimit lim;
	int fd;

	/* the first use may open descriptors that stay */
	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	kipc_shm_close(s);
	s = NULL;
	fd = dup(0);
	ASSERT_GE(fd, 0);
	close(fd);
	getrlimit(RLIMIT_NOFILE, &lim);
	for (int n = 0; n < 2; n++) {
		lim.rlim_cur = (rlim_t)fd + (rlim_t)n;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
		EXPECT_EQ(-EMFILE, kipc_shm_create(NULL, 1, NULL, &s));
		EXPECT_TRUE(s == NULL);
	}
	lim.rlim_cur = (rlim_t)fd + 2;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	kipc_shm_close(s);
}

FIXTURE(shared) {
	struct kipc_shm *s;
	uint32_t *words;
};

FIXTURE_VARIANT(shared) {
	enum ksft_peer_kind peers;
};

FIXTURE_VARIANT_ADD(shared, threads) { .peers = KSFT_THREAD };
FIXTURE_VARIANT_ADD(shared, processes) { .peers = KSFT_PROCESS };

FIXTURE_SETUP(shared)
{
	ASSERT_EQ(0, kipc_shm_create(NULL, 1 << 16, NULL, &self->s));
	self->words = kipc_shm_addr(self->s);
}

FIXTURE_TEARDOWN(shared)
{
	kipc_shm_close(self->s);
}

static int fill_and_answer(void *arg)
{
	struct kipc_shm *s = arg;
	uint32_t *words = kipc_shm_addr(s);
	size_t n = kipc_shm_size(s) / sizeof(*words);

	if (words[0] != 4711)
		return 1;
	for (size_t i = 0; i < n; i++)
		words[i] = (uint32_t)(i * 7 + 1);
	return 0;
}

TEST_F(shared, a_peer_writes)
{
	struct ksft_peer peer;

	self->words[0] = 4711;
	ksft_peer_start(&peer, variant->peers, fill_and_answer, self->s);
	ksft_peer_join(&peer);
	for (uint32_t i = 0; i < (1 << 16) / 4; i++)
		ASSERT_EQ(i * 7 + 1, self->words[i]);
}

static int close_it(void *arg)
{
	kipc_shm_close(arg);
	return 0;
}

TEST(a_child_closes)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &s));
	memset(kipc_shm_addr(s), 3, 4096);
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	ksft_join(ksft_fork(close_it, s));
	/* the parent's slot, memory and write are its own */
	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	EXPECT_EQ(1, st.peers);
	EXPECT_EQ(1, st.writing);
	EXPECT_TRUE(all(kipc_shm_addr(s), 3, 4096));
	EXPECT_EQ(0, kipc_shm_write_end(s));
	kipc_shm_close(s);
}

static int register_peer(void *arg)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };

	return kipc_shm_stat(arg, &st) ? 1 : (int)st.peers - 2;
}

static int too_many(void *arg)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };

	return kipc_shm_stat(arg, &st) == -EUSERS ? 0 : 1;
}

static int nested(void *arg)
{
	if (register_peer(arg))
		return 1;
	ksft_join(ksft_fork(too_many, arg));
	return 0;
}

TEST(max_peers)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_peers = 2);
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, &o, &s));
	/* one beside us; when it is gone, another */
	for (int i = 0; i < 3; i++)
		ksft_join(ksft_fork(register_peer, s));
	ksft_join(ksft_fork(nested, s));
	kipc_shm_close(s);
}

TEST_HARNESS_MAIN
