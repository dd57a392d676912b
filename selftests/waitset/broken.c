// SPDX-License-Identifier: MIT
/*
 * io_uring that isn't to be had, or fails later: the set goes over to epoll, and nothing is lost.
 */
#include <fcntl.h>
#include <signal.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "waitset_test.h"

FIXTURE(broken)
{
	struct kipc_waitset *ws;
	struct kipc_queue *q;
	struct kipc_pipe *e[2];
	int64_t queue, pipe, timer;
};

FIXTURE_SETUP(broken)
{
	self->q = make_queue(4);
	make_pipe(self->e);
}

FIXTURE_TEARDOWN(broken)
{
	kipc_waitset_close(self->ws);
	kipc_queue_close(self->q);
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

typedef struct __ksft_self_of_broken self_t;

static void add_all(self_t *self)
{
	self->queue = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);
	self->pipe = kipc_waitset_add_pipe(self->ws, self->e[0], KIPC_READABLE, NULL);
	self->timer = kipc_waitset_add_timer(self->ws, KIPC_FOREVER, 0, NULL);
	ASSERT_GT(self->queue, 0);
	ASSERT_GT(self->pipe, 0);
	ASSERT_GT(self->timer, 0);
}

static int64_t next(struct kipc_waitset *ws)
{
	struct kipc_waitset_event ev;
	int r = kipc_waitset_wait(ws, &ev, 1, LONG_NS);

	return r == 1 ? ev.id : r;
}

static void check_works(self_t *self)
{
	without_rounds(self->ws);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, put(self->q, 1));
		EXPECT_EQ(self->queue, next(self->ws));
		EXPECT_EQ(1, get(self->q));
		EXPECT_EQ(0, send_u64(self->e[1], 1));
		EXPECT_EQ(self->pipe, next(self->ws));
		EXPECT_EQ(1, recv_u64(self->e[0]));
		EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, self->timer, 1, 0));
		EXPECT_EQ(self->timer, next(self->ws));
		EXPECT_EQ(-EAGAIN, nothing(self->ws));
	}
}

/* No descriptor is left for a ring: the set was made before that. */
TEST_F(broken, no_descriptor_for_a_ring)
{
	struct rlimit rl;
	int fd = dup(0);

	close(fd);
	ASSERT_EQ(0, kipc_waitset_create(NULL, &self->ws));
	add_all(self);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &rl));
	rl.rlim_cur = (rlim_t)fd;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &rl));
	check_works(self);
	EXPECT_EQ(HOW_EPOLL, self->ws->how);
}

/* Somebody closed it, as daemons do with all descriptors that they don't know. */
TEST_F(broken, the_ring_was_closed)
{
	self->ws = make_set(HOW_RING);
	add_all(self);
	check_works(self);
	EXPECT_EQ(HOW_RING, self->ws->how);
	EXPECT_EQ(0, put(self->q, 1));
	close(self->ws->ring.uring.ring_fd);
	EXPECT_EQ(self->queue, next(self->ws));
	EXPECT_EQ(1, get(self->q));
	check_works(self);
	EXPECT_EQ(HOW_EPOLL, self->ws->how);
	self->ws->ring = (struct waitset_ring){ 0 };
}

static void forbid_io_uring(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		SKIP("needs seccomp filters");
}

TEST_F(broken, forbidden_from_the_start)
{
	forbid_io_uring();
	ASSERT_EQ(0, kipc_waitset_create(NULL, &self->ws));
	add_all(self);
	check_works(self);
	EXPECT_EQ(HOW_EPOLL, self->ws->how);
}

TEST_F(broken, forbidden_later)
{
	self->ws = make_set(HOW_RING);
	add_all(self);
	check_works(self);
	EXPECT_EQ(HOW_RING, self->ws->how);
	forbid_io_uring();
	check_works(self);
	EXPECT_EQ(HOW_EPOLL, self->ws->how);
}

/* A poll that ends, or can't be armed, is armed again: by the next round if it failed. */
TEST_F(broken, a_poll_that_ended)
{
	struct watch *w;
	struct member *m;

	self->ws = make_set(HOW_RING);
	add_all(self);
	check_works(self);
	m = __kipc_waitset_find(self->ws, self->queue);
	ASSERT_NE(NULL, m);
	w = watch_of(m, KIPC_READABLE);
	__kipc_waitset_ring_cancel(self->ws, w->token);
	w->token = TOKEN_NONE;
	self->ws->round_ns = 0;
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_NE(TOKEN_NONE, w->token);
	check_works(self);
}

/*
 * Neither a set nor a member, when there is no descriptor for it; and nothing is left of the
 * attempt.
 */
TEST_F(broken, no_descriptors)
{
	struct kipc_waitset *other = NULL;
	struct rlimit rl, none;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	ASSERT_EQ(0, kipc_waitset_create(NULL, &self->ws));
	fd = dup(0);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &rl));
	for (int more = 0; more < 2; more++) {
		none = rl;
		none.rlim_cur = (rlim_t)fd + 1 + (rlim_t)more;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
		EXPECT_EQ(-EMFILE, kipc_waitset_create(NULL, &other));
	}
	none.rlim_cur = (rlim_t)fd + 1;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, kipc_waitset_add_timer(self->ws, 1, 0, NULL));
	EXPECT_EQ(-EMFILE, kipc_waitset_add_signal(self->ws, &set, NULL));
	EXPECT_EQ(-EMFILE, kipc_waitset_add_child(self->ws, getppid(), NULL));
	/* a pipe needs one for its hang-up, when that was never waited for */
	EXPECT_EQ(-EMFILE, kipc_waitset_add_pipe(self->ws, self->e[0], KIPC_READABLE, NULL));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &rl));
	EXPECT_EQ(NULL, other);
	close(fd);
	EXPECT_EQ(fd, dup(0));
	close(fd);
	add_all(self);
	check_works(self);
}

TEST_HARNESS_MAIN
