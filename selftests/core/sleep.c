// SPDX-License-Identifier: MIT
/* The rings of io_uring in which waiters sleep: whose they are, and where the kernel refuses them. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "wait_test.h"

/* ---- rings of io_uring ---- */

/* Long enough to sleep in any case, however busy the machine is. */
static int wait_a_while(void *arg)
{
	struct core *c = arg;
	struct kipc_wait w = wait_for(c, 100 * MS);
	int r = __kipc_peer_enter(&c->seg);

	if (r)
		return r;
	r = __kipc_wait(&w);
	if (r != -ETIMEDOUT)
		return 1;
	/* on a busy machine it was over before it could sleep */
	return __kipc_sleep(c->bells[0].fd, -1, 0, __kipc_now_ns() + MS) & ~1;
}

TEST_F(wait, a_thread_s_ring_ends_with_it)
{
	int before = core_count_fds(NULL), mine = variant->no_io_uring[0] == '0';
	struct ksft_thread t;

	for (int i = 0; i < 5; i++) {
		ksft_thread_start(&t, wait_a_while, &self->c);
		ksft_thread_join(&t);
		EXPECT_EQ(before, core_count_fds(NULL));
	}
	EXPECT_EQ(0, core_count_fds(RINGS));
	EXPECT_EQ(0, wait_a_while(&self->c));
	EXPECT_EQ(0, wait_a_while(&self->c));
	EXPECT_EQ(mine, core_count_fds(RINGS));
}

static int ring_of_a_child(void *arg)
{
	struct core *c = arg;

	/* neither the forking thread's ring came over nor those of the others */
	EXPECT_EQ(0, core_count_fds(RINGS));
	EXPECT_EQ(0, wait_a_while(c));
	EXPECT_EQ(strcmp(getenv("KIPC_NO_IO_URING"), "0") ? 0 : 1, core_count_fds(RINGS));
	return 0;
}

TEST_F(wait, a_fork_child_makes_its_own_ring)
{
	int rings = variant->no_io_uring[0] == '0' ? 4 : 0;
	struct ksft_thread t[3];
	pid_t pid;

	ksft_needs_processes();
	NEEDS_THREADS();
	EXPECT_EQ(0, wait_a_while(&self->c));
	for (int i = 0; i < 3; i++)
		ksft_thread_start(&t[i], wait_once, &self->c);
	ASSERT_TRUE(ksft_wait_for(core_sleepers(&self->c, 0) == 3 && core_count_fds(RINGS) == rings,
				  5000));
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(t[i].tid), 5000));
	pid = ksft_fork(ring_of_a_child, &self->c);
	ksft_join(pid);
	/* and ours still work */
	EXPECT_EQ(rings, core_count_fds(RINGS));
	EXPECT_EQ(0, wait_a_while(&self->c));
	self->c.body->tokens = 1;
	__kipc_bell_kick(&self->c.bells[0]);
	for (int i = 0; i < 3; i++) {
		__kipc_bell_kick(&self->c.bells[0]);
		ksft_thread_join(&t[i]);
	}
}

static int ring_of_a_clone(void *arg)
{
	struct core *c = arg;

	EXPECT_EQ(0, wait_a_while(c));
	EXPECT_EQ(0, wait_a_while(c));
	EXPECT_EQ(strcmp(getenv("KIPC_NO_IO_URING"), "0") ? 0 : 1, core_count_fds(RINGS));
	return 0;
}

TEST_F(wait, a_bare_clone_makes_its_own_ring)
{
	EXPECT_EQ(0, wait_a_while(&self->c));
	ksft_join(core_clone(ring_of_a_clone, &self->c));
	EXPECT_EQ(0, wait_a_while(&self->c));
}

/* ---- where the kernel refuses ---- */

static bool forbid(int nr, int err)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static uint32_t looks;

static bool count_looks(void *arg)
{
	(void)arg;
	looks++;
	return false;
}

static void waits_all_the_same(struct core *c)
{
	int64_t start = __kipc_now_ns();
	struct kipc_wait w = wait_for(c, 200 * MS);
	struct ksft_thread t;

	w.ready = count_looks;
	EXPECT_EQ(-ETIMEDOUT, __kipc_wait(&w));
	EXPECT_GE(__kipc_now_ns() - start, 200 * MS);
	/* asleep, not turning round and round */
	EXPECT_LE(looks, 20);
	EXPECT_EQ(0, core_count_fds(RINGS));

	ksft_thread_start(&t, wait_once, c);
	ASSERT_TRUE(ksft_wait_for(core_sleepers(c, 0) == 1 && ksft_asleep(t.tid), 5000));
	put(c, 1);
	ksft_thread_join(&t);
	c->body->tokens = 0;
}

TEST_F(wait, io_uring_is_forbidden)
{
	if (!forbid(SYS_io_uring_setup, EPERM))
		SKIP("needs seccomp filters");
	waits_all_the_same(&self->c);
}

TEST_F(wait, io_uring_is_unknown)
{
	if (!forbid(SYS_io_uring_setup, ENOSYS))
		SKIP("needs seccomp filters");
	waits_all_the_same(&self->c);
}

/* A filter that knows only half of it, or that is put up when the ring is there already. */
TEST_F(wait, io_uring_can_be_set_up_but_not_entered)
{
	if (!forbid(SYS_io_uring_enter, EPERM))
		SKIP("needs seccomp filters");
	waits_all_the_same(&self->c);
}

TEST_F(wait, io_uring_is_forbidden_later)
{
	EXPECT_EQ(0, wait_a_while(&self->c));
	if (!forbid(SYS_io_uring_enter, EACCES))
		SKIP("needs seccomp filters");
	waits_all_the_same(&self->c);
}

TEST_F(wait, the_ring_s_descriptor_was_closed)
{
	EXPECT_EQ(0, wait_a_while(&self->c));
	for (int fd = 3; fd < 100; fd++) {
		char path[32], link[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, link, sizeof(link) - 1) > 0 && !strcmp(link, RINGS))
			close(fd);
	}
	EXPECT_EQ(0, core_count_fds(RINGS));
	EXPECT_EQ(0, wait_a_while(&self->c));
	EXPECT_EQ(0, wait_a_while(&self->c));
	self->c.body->tokens = 1;
	EXPECT_EQ(0, __kipc_wait(&self->w));
}

TEST_F(wait, no_descriptor_left_for_a_ring)
{
	struct rlimit old, low;
	int fd;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	fd = dup(0);
	ASSERT_GE(fd, 0);
	close(fd);
	low = old;
	low.rlim_cur = (rlim_t)fd;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &low));
	EXPECT_EQ(0, wait_a_while(&self->c));
	EXPECT_EQ(0, wait_a_while(&self->c));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(0, core_count_fds(RINGS));
	/* that was for then */
	EXPECT_EQ(0, wait_a_while(&self->c));
	EXPECT_EQ(variant->no_io_uring[0] == '0', core_count_fds(RINGS));
}

/* ---- polls ---- */

struct napper {
	int fd;
	uint32_t stop;
	uint32_t naps;
};

/* Sleeps that are over before they begin: each has its poll called off. */
static int nap_on(void *arg)
{
	struct napper *n = arg;

	while (!load_acquire(&n->stop)) {
		__kipc_sleep(n->fd, -1, 0, 0);
		fetch_add(&n->naps, 1);
	}
	return 0;
}

/*
 * A poll is called off at the moment in which it is woken, for something that is gone by the time the
 * kernel looks: it arms it again behind the cancellation's back.  (Chance: without the repetition two
 * of five seconds of this hung.)
 */
TEST_F(wait, called_off_while_it_is_woken_in_vain)
{
	struct napper n = { .fd = self->c.bells[0].fd };
	int64_t end = __kipc_now_ns() + NSEC_PER_SEC;
	struct ksft_thread t;
	uint32_t naps;

	NEEDS_THREADS();
	ksft_thread_start(&t, nap_on, &n);
	while (__kipc_now_ns() < end) {
		int64_t until = __kipc_now_ns() + rand() % 5000;
		uint64_t one = 1;

		while (__kipc_now_ns() < until)
			cpu_relax();
		ASSERT_EQ(sizeof(one), write(n.fd, &one, sizeof(one)));
		ASSERT_EQ(sizeof(one), read(n.fd, &one, sizeof(one)));
	}
	naps = load_acquire(&n.naps);
	ASSERT_TRUE(ksft_wait_for(load_acquire(&n.naps) - naps > 100, 5000));
	store_release(&n.stop, 1);
	ksft_thread_join(&t);
}

TEST_HARNESS_MAIN
