// SPDX-License-Identifier: MIT
/* Timers, signals, children: members that are taken by being reported. */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "waitset_test.h"

FIXTURE(kernel)
{
	struct kipc_waitset *ws;
};

RING_AND_EPOLL(kernel);

FIXTURE_SETUP(kernel)
{
	self->ws = make_set(variant->how);
}

FIXTURE_TEARDOWN(kernel)
{
	kipc_waitset_close(self->ws);
}

static struct kipc_waitset_event one(struct kipc_waitset *ws, int64_t id)
{
	struct kipc_waitset_event ev[2] = { { .id = 0 } };

	EXPECT_EQ(1, kipc_waitset_wait(ws, ev, 2, LONG_NS));
	EXPECT_EQ(id, ev[0].id);
	return ev[0];
}

TEST_F(kernel, timer_once)
{
	int64_t start = ksft_now_ns(), id;
	struct kipc_waitset_event ev;

	id = kipc_waitset_add_timer(self->ws, 5 * MS, 0, &start);
	ASSERT_GT(id, 0);
	ev = one(self->ws, id);
	EXPECT_GE(ksft_now_ns() - start, 5 * MS);
	EXPECT_EQ(KIPC_WAITSET_TIMER, ev.kind);
	EXPECT_EQ(KIPC_READABLE, ev.events);
	EXPECT_EQ(1, ev.value);
	EXPECT_EQ(&start, ev.data);
	/* taken; and silent until it is set again */
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(-ETIMEDOUT, kipc_waitset_wait(self->ws, &ev, 1, 12 * MS));
	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, id, 0, 0));
	EXPECT_EQ(1, one(self->ws, id).value);
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
}

TEST_F(kernel, timer_periodic)
{
	int64_t start = ksft_now_ns(), id;
	uint64_t n = 0;

	id = kipc_waitset_add_timer(self->ws, 3 * MS, 2 * MS, NULL);
	ASSERT_GT(id, 0);
	while (n < 6)
		n += one(self->ws, id).value;
	EXPECT_GE(ksft_now_ns() - start, 3 * MS + 5 * 2 * MS);
	/* who is late is told of all of them at once */
	ASSERT_TRUE(ksft_wait_for(ksft_now_ns() - start > 60 * MS, 10000));
	EXPECT_GT(one(self->ws, id).value, 1);
	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, id, KIPC_FOREVER, 2 * MS));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
}

TEST_F(kernel, timer_set_for_later)
{
	struct kipc_waitset_event ev;
	int64_t id, other;

	id = kipc_waitset_add_timer(self->ws, KIPC_FOREVER, 0, NULL);
	other = kipc_waitset_add_timer(self->ws, INT64_MAX, INT64_MAX, NULL);
	ASSERT_GT(id, 0);
	ASSERT_GT(other, 0);
	EXPECT_EQ(-ETIMEDOUT, kipc_waitset_wait(self->ws, &ev, 1, 3 * MS));
	/* one that has expired, and isn't reported yet, is forgotten */
	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, id, 0, 0));
	ASSERT_TRUE(ksft_wait_for(fd_readable(self->ws->epfd), 10000));
	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, id, 3600 * NSEC_PER_SEC, 0));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, id, 1, 0));
	EXPECT_EQ(1, one(self->ws, id).value);
}

TEST_F(kernel, signals)
{
	struct kipc_waitset_event ev;
	sigset_t set;
	int64_t id;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	id = kipc_waitset_add_signal(self->ws, &set, &set);
	ASSERT_GT(id, 0);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kill(getpid(), SIGRTMIN));
	EXPECT_EQ(0, kill(getpid(), SIGRTMIN));
	EXPECT_EQ(0, kill(getpid(), SIGUSR1));
	ev = one(self->ws, id);
	EXPECT_EQ(KIPC_WAITSET_SIGNAL, ev.kind);
	EXPECT_EQ(SIGUSR1, ev.value);
	EXPECT_EQ(getpid(), ev.pid);
	EXPECT_EQ(&set, ev.data);
	EXPECT_EQ(SIGRTMIN, one(self->ws, id).value);
	EXPECT_EQ(SIGRTMIN, one(self->ws, id).value);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
}

static int exit_with(void *arg)
{
	return *(int *)arg;
}

static int sleep_for_ever(void *arg)
{
	(void)arg;
	pause();
	return 0;
}

TEST_F(kernel, children)
{
	int seven = 7;
	pid_t ends = ksft_fork(exit_with, &seven), killed = ksft_fork(sleep_for_ever, NULL);
	struct kipc_waitset_event ev;
	int64_t a, b;

	a = kipc_waitset_add_child(self->ws, ends, &seven);
	b = kipc_waitset_add_child(self->ws, killed, NULL);
	ASSERT_GT(a, 0);
	ASSERT_GT(b, 0);
	ev = one(self->ws, a);
	EXPECT_EQ(KIPC_WAITSET_CHILD, ev.kind);
	EXPECT_EQ(ends, ev.pid);
	EXPECT_EQ(&seven, ev.data);
	EXPECT_TRUE(WIFEXITED((int)ev.value) && WEXITSTATUS((int)ev.value) == 7);
	/* once, and it is reaped */
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(-1, waitpid(ends, NULL, 0));
	EXPECT_EQ(ECHILD, errno);
	EXPECT_EQ(0, kill(killed, SIGKILL));
	ev = one(self->ws, b);
	EXPECT_EQ(killed, ev.pid);
	EXPECT_TRUE(WIFSIGNALED((int)ev.value) && WTERMSIG((int)ev.value) == SIGKILL);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, a));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, b));
}

/* Reaped by somebody else, and not a child of ours. */
TEST_F(kernel, no_status)
{
	int zero = 0;
	struct kipc_waitset_event ev;
	pid_t pid = ksft_fork(sleep_for_ever, NULL), *grandchild = ksft_shared(sizeof(*grandchild)),
	      middle;
	int64_t id = kipc_waitset_add_child(self->ws, pid, NULL);

	ksft_kill(pid);
	ev = one(self->ws, id);
	EXPECT_EQ(KIPC_WAITSET_NO_STATUS, ev.value);
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));

	middle = fork();
	if (!middle) {
		*grandchild = ksft_fork(sleep_for_ever, NULL);
		ksft_child_exit(zero);
	}
	ksft_join(middle);
	id = kipc_waitset_add_child(self->ws, *grandchild, NULL);
	ASSERT_GT(id, 0);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kill(*grandchild, SIGKILL));
	ev = one(self->ws, id);
	EXPECT_EQ(*grandchild, ev.pid);
	EXPECT_EQ(KIPC_WAITSET_NO_STATUS, ev.value);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
}

TEST_HARNESS_MAIN
