// SPDX-License-Identifier: MIT
/* Handles over fork: each process is one of its own, and what the parent holds stays the parent's. */
#include <sys/syscall.h>
#include <sys/wait.h>

#include "pipe_test.h"

FIXTURE(forked)
{
	struct kipc_pipe *e[2];
};

FIXTURE_VARIANT(forked)
{
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(forked, shared){ .flags = 0 };
FIXTURE_VARIANT_ADD(forked, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(forked)
{
	pipe_make(self->e, RING, variant->flags);
}

FIXTURE_TEARDOWN(forked)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

static int child_end(void *arg)
{
	struct kipc_pipe **e = arg;
	char buf[16];

	kipc_pipe_close(e[0]);
	EXPECT_EQ(5, kipc_pipe_recv(e[1], buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_MEMEQ("hello", buf, 5);
	EXPECT_EQ(0, kipc_pipe_send(e[1], "hi", 2, KIPC_FOREVER));
	kipc_pipe_close(e[1]);
	return 0;
}

TEST_F(forked, each_closes_what_it_does_not_use)
{
	char buf[16];
	pid_t pid;

	pid = ksft_fork(child_end, self->e);
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "hello", 5, KIPC_FOREVER));
	EXPECT_EQ(2, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_FOREVER));
	ksft_join(pid);
}

static int grandchild(void *arg)
{
	struct kipc_pipe **e = arg;

	return kipc_pipe_send(e[1], "deep", 4, KIPC_FOREVER);
}

static int child_that_forks(void *arg)
{
	struct kipc_pipe **e = arg;
	char c;
	pid_t pid;

	/* once before it has used the handle itself, once after */
	pid = ksft_fork(grandchild, e);
	ksft_join(pid);
	EXPECT_EQ(1, kipc_pipe_recv(e[1], &c, 1, KIPC_FOREVER));
	pid = ksft_fork(grandchild, e);
	ksft_join(pid);
	return 0;
}

TEST_F(forked, grandchildren)
{
	char buf[16];
	pid_t pid;

	pid = ksft_fork(child_that_forks, self->e);
	EXPECT_EQ(4, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(4, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_FOREVER));
	ksft_join(pid);
}

struct held {
	struct kipc_pipe **e;
	struct kipc_pipe_msg *out, *in;
	bool exclusive;
};

static int child_of_a_holder(void *arg)
{
	struct held *h = arg;
	struct kipc_pipe_msg out = *h->out, in = *h->in;
	char c;

	EXPECT_EQ(-EINVAL, kipc_pipe_commit(h->e[0], &out));
	EXPECT_EQ(-EINVAL, kipc_pipe_abort(h->e[0], &out));
	EXPECT_EQ(-EINVAL, kipc_pipe_release(h->e[1], &in));
	if (!h->exclusive) {
		EXPECT_EQ(-EAGAIN, kipc_pipe_send(h->e[0], "c", 1, KIPC_NOWAIT));
		EXPECT_EQ(-EAGAIN, kipc_pipe_recv(h->e[1], &c, 1, KIPC_NOWAIT));
	}
	kipc_pipe_close(h->e[0]);
	kipc_pipe_close(h->e[1]);
	return 0;
}

TEST_F(forked, open_messages_stay_the_parents)
{
	struct kipc_pipe_msg out, in;
	struct held held = { self->e, &out, &in, variant->flags & KIPC_PIPE_EXCLUSIVE };
	char c;

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "a", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 1, &out, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
	ksft_join(ksft_fork(child_of_a_holder, &held));
	memcpy(out.data, "b", 1);
	EXPECT_EQ(0, kipc_pipe_commit(self->e[0], &out));
	EXPECT_MEMEQ("a", in.data, 1);
	EXPECT_EQ(0, kipc_pipe_release(self->e[1], &in));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ('b', c);
}

/* A child that only looks at the hang-up leaves the parent's epoll instance as it was. */
static int child_that_waits(void *arg)
{
	struct kipc_pipe **e = arg;
	char c;

	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(e[0], &c, 1, MS));
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
	return 0;
}

static int child_that_only_closes(void *arg)
{
	struct kipc_pipe **e = arg;

	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
	return 0;
}

static int recv_epipe(void *arg)
{
	char c;

	return !EXPECT_EQ(-EPIPE, kipc_pipe_recv(arg, &c, 1, KIPC_FOREVER));
}

TEST_F(forked, the_epoll_instance_is_the_parents)
{
	struct ksft_thread t;
	char c;

	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[0], &c, 1, MS));
	EXPECT_GE(self->e[0]->hup_fd, 0);
	ksft_join(ksft_fork(child_that_waits, self->e));
	ksft_join(ksft_fork(child_that_only_closes, self->e));
	ksft_thread_start(&t, recv_epipe, self->e[0]);
	ASSERT_TRUE(ksft_wait_for(pipe_reader_sleeps(&self->e[0]->rx) && ksft_asleep(t.tid), 5000));
	/* without the count that an orderly close moves: the instance alone must tell */
	close(self->e[1]->sock);
	self->e[1]->sock = -1;
	ksft_thread_join(&t);
}

/* A child of a bare clone(2), in which no atfork handler has run. */
TEST_F(forked, a_bare_clone_closes)
{
	struct ksft_thread t;
	int status;
	char c;
	pid_t pid;

	ksft_needs_processes();
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[0], &c, 1, MS));
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		kipc_pipe_close(self->e[0]);
		kipc_pipe_close(self->e[1]);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ksft_thread_start(&t, recv_epipe, self->e[0]);
	ASSERT_TRUE(ksft_wait_for(pipe_reader_sleeps(&self->e[0]->rx) && ksft_asleep(t.tid), 5000));
	close(self->e[1]->sock);
	self->e[1]->sock = -1;
	ksft_thread_join(&t);
}

struct stress {
	struct kipc_pipe *p;
	uint64_t n;
};

static int send_numbers(void *arg)
{
	struct stress *s = arg;

	for (uint64_t i = 0; i < s->n; i++)
		if (!EXPECT_EQ(0, kipc_pipe_send(s->p, &i, 8, KIPC_FOREVER)))
			return 1;
	return 0;
}

static int add_one(void *arg)
{
	struct kipc_pipe **e = arg;
	uint64_t v = UINT64_MAX;

	return kipc_pipe_send(e[0], &v, 8, KIPC_FOREVER);
}

/* Forks while another thread is inside the library; each child sends one, too. */
TEST(fork_in_the_middle_of_use)
{
	struct stress s = { .n = 100000 };
	uint64_t v, next = 0, extra = 0;
	struct kipc_pipe *e[2];
	struct ksft_thread t;
	pid_t pids[10];
	int forks = 0;

	ksft_needs_processes();
	pipe_make(e, RING, 0);
	s.p = e[0];
	ksft_thread_start(&t, send_numbers, &s);
	while (next < s.n || extra < 10) {
		if (forks < 10 && next >= (uint64_t)forks * 5000)
			pids[forks++] = ksft_fork(add_one, e);
		ASSERT_EQ(8, kipc_pipe_recv(e[1], &v, 8, KIPC_FOREVER));
		if (v == UINT64_MAX) {
			extra++;
			continue;
		}
		ASSERT_EQ(next, v);
		next++;
	}
	ksft_thread_join(&t);
	for (int i = 0; i < 10; i++)
		ksft_join(pids[i]);
	EXPECT_EQ(10, extra);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST_HARNESS_MAIN
