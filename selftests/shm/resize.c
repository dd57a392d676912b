// SPDX-License-Identifier: MIT
/* Growing: nothing moves, everybody sees it, all or nothing; and what is refused. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kipc/object.h>
#include <kipc/shm.h>

#include "core/lock.h"
#include "shm/region.h"
#include "shm_test.h"

#define KIB	1024UL
#define MIB	(1024 * KIB)

static struct kipc_shm *make(size_t size, size_t max_size, uint32_t flags)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_size = max_size, .flags = flags);
	struct kipc_shm *s = NULL;

	ASSERT_EQ(0, kipc_shm_create(NULL, size, &o, &s));
	return s;
}

static bool all(const struct kipc_shm *s, size_t from, size_t to, uint8_t want)
{
	const uint8_t *p = kipc_shm_addr(s);

	for (size_t i = from; i < to; i++)
		if (p[i] != want)
			return false;
	return true;
}

TEST(nothing_moves)
{
	static const size_t sizes[] = { 101, 4095, 4096, 5000, 8192, 100000, MIB };
	struct kipc_shm *s = make(100, MIB, 0);
	uint8_t *addr = kipc_shm_addr(s);
	size_t before = 100;

	memset(addr, 0xa5, 100);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, kipc_shm_resize(s, sizes[i]));
		EXPECT_EQ(sizes[i], kipc_shm_size(s));
		EXPECT_EQ(addr, kipc_shm_addr(s));
		EXPECT_TRUE(all(s, 0, before, 0xa5));
		EXPECT_TRUE(all(s, before, sizes[i], 0));
		memset(addr, 0xa5, sizes[i]);
		before = sizes[i];
	}
	EXPECT_EQ(ARRAY_SIZE(sizes), stat_of(s).grown);
	EXPECT_EQ(MIB, stat_of(s).max_size);
	/* the same again is no growth */
	EXPECT_EQ(0, kipc_shm_resize(s, MIB));
	EXPECT_EQ(ARRAY_SIZE(sizes), stat_of(s).grown);
	kipc_shm_close(s);
}

TEST(refused)
{
	struct kipc_shm *s = make(10000, MIB, 0), *fixed = make(10000, 0, 0);

	KIPC_OPTS(kipc_shm_opts, o, .max_size = 9999);

	EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, 10000, &o, &s));
	o.max_size = SIZE_MAX;
	EXPECT_EQ(-EOVERFLOW, kipc_shm_create(NULL, 10000, &o, &s));
	o.max_size = SIZE_MAX - 4095;
	EXPECT_EQ(-EOVERFLOW, kipc_shm_create(NULL, 10000, &o, &s));
	o.max_size = (size_t)1 << 60;
	EXPECT_EQ(-EOVERFLOW, kipc_shm_create(NULL, 10000, &o, &s));

	EXPECT_EQ(-EINVAL, kipc_shm_resize(NULL, 1));
	EXPECT_EQ(-EINVAL, kipc_shm_resize(s, 0));
	EXPECT_EQ(-EPERM, kipc_shm_resize(s, 9999));
	EXPECT_EQ(-EPERM, kipc_shm_resize(s, 1));
	EXPECT_EQ(-ENOSPC, kipc_shm_resize(s, MIB + 1));
	EXPECT_EQ(-ENOSPC, kipc_shm_resize(s, SIZE_MAX));
	EXPECT_EQ(10000, kipc_shm_size(s));

	EXPECT_EQ(0, kipc_shm_resize(fixed, 10000));
	EXPECT_EQ(-EPERM, kipc_shm_resize(fixed, 10001));
	EXPECT_EQ(-EPERM, kipc_shm_resize(fixed, MIB));
	EXPECT_EQ(10000, stat_of(fixed).max_size);
	kipc_shm_close(s);
	kipc_shm_close(fixed);
}

/* The kernel refuses to make it smaller, whatever anybody tries. */
TEST(the_seal)
{
	struct kipc_shm *s = make(10000, MIB, 0);
	int fd = kipc_shm_fd(s);

	ASSERT_EQ(0, kipc_shm_resize(s, 100000));
	EXPECT_EQ(-1, ftruncate(fd, 4096));
	EXPECT_EQ(EPERM, errno);
	memset(kipc_shm_addr(s), 1, 100000);
	kipc_shm_close(s);
}

/* A maximum within the last page is room, too. */
TEST(within_a_page)
{
	struct kipc_shm *s = make(10, 20, 0);

	EXPECT_EQ(0, kipc_shm_resize(s, 20));
	EXPECT_EQ(-ENOSPC, kipc_shm_resize(s, 21));
	kipc_shm_close(s);
}

struct family {
	struct kipc_shm *s;
	uint32_t *turn;
};

static int child_looks(void *arg)
{
	struct family *f = arg;
	void *addr = kipc_shm_addr(f->s);

	if (kipc_shm_size(f->s) != 4096)
		return 1;
	store_release(f->turn, 1);
	if (!ksft_wait_for(kipc_shm_size(f->s) == MIB, 5000))
		return 2;
	if (kipc_shm_addr(f->s) != addr || !all(f->s, 4096, MIB, 0x33))
		return 3;
	/* and the other way round */
	return kipc_shm_resize(f->s, 2 * MIB) ? 4 : 0;
}

static void grow_and_fill(struct kipc_shm *s)
{
	ASSERT_EQ(0, kipc_shm_resize(s, MIB - 1));
	memset(kipc_shm_addr(s), 0x33, MIB - 1);
	/* the size is the news: filled before it is told */
	((uint8_t *)kipc_shm_addr(s))[MIB - 1] = 0x33;
	ASSERT_EQ(0, kipc_shm_resize(s, MIB));
}

TEST(a_child_sees_it)
{
	struct family f = { make(4096, 4 * MIB, 0), ksft_shared(sizeof(uint32_t)) };
	pid_t pid = ksft_fork(child_looks, &f);

	ASSERT_TRUE(ksft_wait_for(load_acquire(f.turn) == 1, 5000));
	grow_and_fill(f.s);
	ksft_join(pid);
	EXPECT_EQ(2 * MIB, kipc_shm_size(f.s));
	EXPECT_TRUE(all(f.s, MIB, 2 * MIB, 0));
	kipc_shm_close(f.s);
}

/* One that came over a socket: another mapping, made before and after. */
TEST(a_receiver_sees_it)
{
	struct kipc_shm *s = make(4096, 4 * MIB, 0), *r[2];
	struct kipc_object *obj;
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, kipc_send(socks[0], kipc_shm_object(s)));
		ASSERT_EQ(0, kipc_recv(socks[1], &obj));
		r[i] = kipc_object_shm(obj);
		EXPECT_EQ(i ? MIB : 4096, kipc_shm_size(r[i]));
		if (!i)
			grow_and_fill(s);
	}
	for (int i = 0; i < 2; i++) {
		EXPECT_NE(kipc_shm_addr(s), kipc_shm_addr(r[i]));
		EXPECT_EQ(MIB, kipc_shm_size(r[i]));
		EXPECT_TRUE(all(r[i], 0, MIB, 0x33));
		EXPECT_EQ(4 * MIB, stat_of(r[i]).max_size);
	}
	ASSERT_EQ(0, kipc_shm_resize(r[1], 3 * MIB));
	EXPECT_EQ(3 * MIB, kipc_shm_size(s));
	kipc_shm_close(r[0]);
	kipc_shm_close(r[1]);
	kipc_shm_close(s);
	close(socks[0]);
	close(socks[1]);
}

FIXTURE(populated) {
	struct kipc_shm *s;
};

FIXTURE_VARIANT(populated) {
	uint32_t flags;
	enum kipc_huge huge;
};

FIXTURE_VARIANT_ADD(populated, small) { KIPC_SHM_POPULATE, KIPC_HUGE_NONE };
FIXTURE_VARIANT_ADD(populated, thp) { KIPC_SHM_POPULATE, KIPC_HUGE_THP };

FIXTURE_SETUP(populated)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_size = 64 * MIB, .flags = variant->flags,
		  .huge = variant->huge);

	ASSERT_EQ(0, kipc_shm_create(NULL, 10000, &o, &self->s));
}

FIXTURE_TEARDOWN(populated)
{
	kipc_shm_close(self->s);
}

TEST_F(populated, stays_so)
{
	EXPECT_EQ(1, stat_of(self->s).populated);
	ASSERT_EQ(0, kipc_shm_resize(self->s, 30 * MIB + 5));
	EXPECT_EQ(1, stat_of(self->s).populated);
	EXPECT_GE(stat_of(self->s).resident, 30 * MIB);
	EXPECT_TRUE(all(self->s, 0, 30 * MIB + 5, 0));
}

/* No memory, as the kernel tells it: for what is larger than 1 MiB. */
static void no_more_memory(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 23 /* MADV_POPULATE_WRITE */, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, MIB, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		SKIP("needs seccomp filters");
}

TEST_F(populated, all_or_nothing)
{
	uint64_t before = stat_of(self->s).resident;

	memset(kipc_shm_addr(self->s), 7, 10000);
	no_more_memory();
	EXPECT_EQ(-ENOMEM, kipc_shm_resize(self->s, 30 * MIB));
	EXPECT_EQ(10000, kipc_shm_size(self->s));
	EXPECT_EQ(0, stat_of(self->s).grown);
	/* what was taken for it in vain went back */
	EXPECT_EQ(before, stat_of(self->s).resident);
	EXPECT_TRUE(all(self->s, 0, 10000, 7));
	ASSERT_EQ(0, kipc_shm_resize(self->s, 20000));
	EXPECT_TRUE(all(self->s, 10000, 20000, 0));
}

static int grows_unlocked(void *arg)
{
	return kipc_shm_resize(arg, 3 * MIB) || stat_of(arg).locked ? 1 : 0;
}

TEST(locked)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_size = 4 * MIB, .flags = KIPC_SHM_LOCK);
	struct kipc_shm *s;
	int r = kipc_shm_create(NULL, 10000, &o, &s);

	if (r == -ENOMEM || r == -EPERM)
		SKIP("RLIMIT_MEMLOCK is too low");
	ASSERT_EQ(0, r);
	if (!locked_kb())
		SKIP("mlock(2) does nothing in this process: a sanitizer");
	r = kipc_shm_resize(s, 2 * MIB);
	if (r == -ENOMEM)
		SKIP("RLIMIT_MEMLOCK is below 2 MiB");
	ASSERT_EQ(0, r);
	EXPECT_GE(locked_kb(), 2048);
	EXPECT_GE(stat_of(s).locked, 2 * MIB);
	EXPECT_EQ(1, stat_of(s).populated);
	ksft_join(ksft_fork(grows_unlocked, s));
	EXPECT_EQ(1, stat_of(s).populated);
	kipc_shm_close(s);
}

static int grows_beyond_the_limit(void *arg)
{
	struct kipc_shm *s = arg;
	struct rlimit lim = { 64 * KIB, 64 * KIB };

	signal(SIGXFSZ, SIG_IGN);	/* else that would be the end */
	EXPECT_EQ(0, setrlimit(RLIMIT_FSIZE, &lim));
	EXPECT_EQ(-ENOSPC, kipc_shm_resize(s, 256 * KIB));
	EXPECT_EQ(4096, kipc_shm_size(s));
	EXPECT_EQ(0, kipc_shm_resize(s, 8192));
	return 0;
}

TEST(rlimit_of_file_sizes)
{
	struct kipc_shm *s = make(4096, MIB, 0);

	ksft_join(ksft_fork(grows_beyond_the_limit, s));
	EXPECT_EQ(8192, kipc_shm_size(s));
	kipc_shm_close(s);
}

/* Many at once: each step is somebody's, and the size only ever goes up. */
#define STEP		4096UL
#define STEPS		200

static int grow_all_the_way(void *arg)
{
	struct kipc_shm *s = arg;
	size_t seen = kipc_shm_size(s);

	while (seen < STEPS * STEP) {
		int r = kipc_shm_resize(s, seen + STEP);
		size_t now = kipc_shm_size(s);

		/* -EPERM: another was faster, and further */
		if (r && r != -EPERM)
			return 1;
		if (now <= seen)
			return 2;
		*((volatile uint8_t *)kipc_shm_addr(s) + now - 1);	/* it is there */
		seen = now;
	}
	return 0;
}

FIXTURE(many) {
	struct kipc_shm *s;
};

FIXTURE_VARIANT(many) {
	enum ksft_peer_kind peers;
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(many, threads) { KSFT_THREAD, 0 };
FIXTURE_VARIANT_ADD(many, processes) { KSFT_PROCESS, 0 };
FIXTURE_VARIANT_ADD(many, processes_populated) { KSFT_PROCESS, KIPC_SHM_POPULATE };

FIXTURE_SETUP(many)
{
	self->s = make(STEP, STEPS * STEP, variant->flags);
}

FIXTURE_TEARDOWN(many)
{
	kipc_shm_close(self->s);
}

TEST_F(many, grow)
{
	struct ksft_peer peers[4];

	for (int i = 0; i < 4; i++)
		ksft_peer_start(&peers[i], variant->peers, grow_all_the_way, self->s);
	for (int i = 0; i < 4; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(STEPS * STEP, kipc_shm_size(self->s));
	EXPECT_EQ(STEPS - 1, stat_of(self->s).grown);
}

/* Killed with the lock held and the file longer: the next one goes on from the old size. */
static int dies_half_way(void *arg)
{
	struct kipc_region *rg = arg;

	if (__kipc_peer_enter(&rg->obj.seg) ||
	    __kipc_lock_acquire(&rg->obj.seg, &rg->lock.head->grow_lock, KIPC_DEADLINE_NEVER) ||
	    __kipc_segment_extend(&rg->obj.seg, rg->data_off + 512 * KIB))
		return 1;
	raise(SIGKILL);
	return 2;
}

TEST(killed_half_way)
{
	struct kipc_shm *s = make(4096, MIB, 0);
	pid_t pid = ksft_fork(dies_half_way, &s->region);

	EXPECT_EQ(SIGKILL, WTERMSIG(ksft_wait(pid)));
	EXPECT_EQ(4096, kipc_shm_size(s));
	ASSERT_EQ(0, kipc_shm_resize(s, 8192));
	EXPECT_EQ(8192, kipc_shm_size(s));
	EXPECT_EQ(1, stat_of(s).peers);
	kipc_shm_close(s);
}

/* What a hostile peer writes there is not believed further than the file goes. */
TEST(hostile_size)
{
	struct kipc_shm *s = make(10000, MIB, 0);
	struct kipc_shm_head *head = s->region.lock.head;
	static const uint64_t lies[] = { 0, 1, 9999, MIB, MIB + 1, UINT64_MAX, 1ULL << 63 };

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		head->size = lies[i];
		EXPECT_EQ(10000, kipc_shm_size(s));
	}
	/* whoever resizes makes it right */
	EXPECT_EQ(0, kipc_shm_resize(s, 20000));
	EXPECT_EQ(20000, kipc_shm_size(s));
	EXPECT_EQ(20000, head->size);
	kipc_shm_close(s);
}

TEST_HARNESS_MAIN
