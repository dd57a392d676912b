// SPDX-License-Identifier: MIT
/* kipc_waitset_fd(): the set as a member of somebody's epoll, or of another set. */
#include <sys/epoll.h>

#include "waitset_test.h"

struct all {
	struct kipc_waitset *ws;
	struct kipc_queue *q;
	struct kipc_pipe *e[2];
	int64_t queue, pipe, timer;
};

static struct all make_all(enum waitset_how how)
{
	struct all a = { .ws = make_set(how), .q = make_queue(4) };

	make_pipe(a.e);
	a.queue = kipc_waitset_add_queue(a.ws, a.q, KIPC_READABLE, NULL);
	a.pipe = kipc_waitset_add_pipe(a.ws, a.e[0], KIPC_READABLE, NULL);
	a.timer = kipc_waitset_add_timer(a.ws, KIPC_FOREVER, 0, NULL);
	ASSERT_GT(a.queue, 0);
	ASSERT_GT(a.pipe, 0);
	ASSERT_GT(a.timer, 0);
	return a;
}

static void close_all(struct all *a)
{
	kipc_waitset_close(a->ws);
	kipc_queue_close(a->q);
	kipc_pipe_close(a->e[0]);
	kipc_pipe_close(a->e[1]);
}

FIXTURE(nested)
{
	struct all a;
};

RING_AND_EPOLL(nested);

FIXTURE_SETUP(nested)
{
	self->a = make_all(variant->how);
}

FIXTURE_TEARDOWN(nested)
{
	close_all(&self->a);
}

/* Each kind of member, as a level from outside. */
static void check_level(struct all *a, int fd)
{
	EXPECT_EQ(-EAGAIN, nothing(a->ws));
	EXPECT_FALSE(fd_readable(fd));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, put(a->q, 1));
		EXPECT_EQ(0, put(a->q, 2));
		EXPECT_TRUE(fd_readable(fd));
		EXPECT_EQ(KIPC_READABLE, only(a->ws, a->queue));
		/* nothing was done about it: it stays */
		EXPECT_TRUE(fd_readable(fd));
		EXPECT_EQ(1, get(a->q));
		EXPECT_TRUE(fd_readable(fd));
		EXPECT_EQ(KIPC_READABLE, only(a->ws, a->queue));
		EXPECT_EQ(2, get(a->q));
		EXPECT_EQ(-EAGAIN, nothing(a->ws));
		EXPECT_FALSE(fd_readable(fd));

		EXPECT_EQ(0, send_u64(a->e[1], 3));
		EXPECT_TRUE(fd_readable(fd));
		EXPECT_EQ(KIPC_READABLE, only(a->ws, a->pipe));
		EXPECT_EQ(3, recv_u64(a->e[0]));
		EXPECT_EQ(-EAGAIN, recv_u64(a->e[0]));
		EXPECT_EQ(-EAGAIN, nothing(a->ws));
		EXPECT_FALSE(fd_readable(fd));

		EXPECT_EQ(0, kipc_waitset_set_timer(a->ws, a->timer, 0, 0));
		EXPECT_TRUE(ksft_wait_for(fd_readable(fd), 10000));
		EXPECT_EQ(KIPC_READABLE, only(a->ws, a->timer));
		EXPECT_FALSE(fd_readable(fd));
	}
}

TEST_F(nested, is_a_level)
{
	int fd = kipc_waitset_fd(self->a.ws);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(fd, kipc_waitset_fd(self->a.ws));
	without_rounds(self->a.ws);
	check_level(&self->a, fd);
}

/* What was ready when it was asked for, and what is added later. */
TEST_F(nested, what_is_there_already)
{
	struct kipc_queue *q = make_queue(2);
	int fd;
	int64_t id;

	EXPECT_EQ(0, put(self->a.q, 1));
	EXPECT_EQ(KIPC_READABLE, only(self->a.ws, self->a.queue));
	fd = kipc_waitset_fd(self->a.ws);
	EXPECT_TRUE(fd_readable(fd));
	EXPECT_EQ(1, get(self->a.q));
	EXPECT_EQ(-EAGAIN, nothing(self->a.ws));
	EXPECT_FALSE(fd_readable(fd));
	id = kipc_waitset_add_queue(self->a.ws, q, KIPC_WRITABLE, NULL);
	EXPECT_TRUE(fd_readable(fd));
	EXPECT_EQ(KIPC_WRITABLE, only(self->a.ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->a.ws, id));
	EXPECT_FALSE(fd_readable(fd));
	EXPECT_EQ(-EAGAIN, nothing(self->a.ws));
	kipc_queue_close(q);
}

/* Asked for, and never waited: the outer loop hears of it all the same. */
TEST(before_the_first_wait)
{
	struct kipc_queue *q = make_queue(2);
	struct kipc_waitset *ws;
	int64_t id;
	int fd;

	ASSERT_EQ(0, kipc_waitset_create(NULL, &ws));
	fd = kipc_waitset_fd(ws);
	id = kipc_waitset_add_queue(ws, q, KIPC_READABLE, NULL);
	EXPECT_FALSE(fd_readable(fd));
	EXPECT_EQ(0, put(q, 1));
	EXPECT_TRUE(fd_readable(fd));
	EXPECT_EQ(KIPC_READABLE, only(ws, id));
	kipc_waitset_close(ws);
	kipc_queue_close(q);
}

static int wait_long(void *arg)
{
	struct all *a = arg;
	struct kipc_waitset_event ev;

	EXPECT_EQ(1, kipc_waitset_wait(a->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(a->queue, ev.id);
	return 0;
}

/* Asked for while another thread sleeps in it: that one goes over, and still wakes up. */
TEST_F(nested, while_one_sleeps)
{
	struct ksft_thread t;
	int fd;

	ksft_thread_start(&t, wait_long, &self->a);
	EXPECT_TRUE(ksft_wait_for(asleep(self->a.ws) && ksft_asleep(t.tid), 10000));
	fd = kipc_waitset_fd(self->a.ws);
	ASSERT_GE(fd, 0);
	EXPECT_TRUE(ksft_wait_for(asleep_how(self->a.ws, HOW_EPOLL), 10000));
	EXPECT_EQ(0, put(self->a.q, 1));
	EXPECT_TRUE(fd_readable(fd));
	ksft_thread_join(&t);
	EXPECT_EQ(1, get(self->a.q));
	check_level(&self->a, fd);
}

TEST_F(nested, in_an_epoll_loop)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = kipc_waitset_fd(self->a.ws);

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
		EXPECT_EQ(0, put(self->a.q, 1));
		EXPECT_EQ(0, send_u64(self->a.e[1], 1));
		while (epoll_wait(ep, &ev, 1, 0) == 1) {
			struct kipc_waitset_event e;

			if (kipc_waitset_wait(self->a.ws, &e, 1, KIPC_NOWAIT) != 1)
				continue;
			if (e.kind == KIPC_WAITSET_QUEUE)
				EXPECT_EQ(1, get(e.queue));
			else
				EXPECT_EQ(1, recv_u64(e.pipe));
		}
		EXPECT_EQ(-EAGAIN, get(self->a.q));
		EXPECT_EQ(-EAGAIN, recv_u64(self->a.e[0]));
	}
	/* a killed or closed peer reaches the outer loop, too */
	kipc_pipe_close(self->a.e[1]);
	self->a.e[1] = NULL;
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 0));
	EXPECT_EQ(KIPC_READABLE | KIPC_WAITSET_HANGUP, only(self->a.ws, self->a.pipe));
	close(ep);
}

TEST_F(nested, in_another_set)
{
	struct kipc_waitset_event ev;
	struct kipc_waitset *outer = make_set(variant->how);
	int64_t id = kipc_waitset_add_fd(outer, kipc_waitset_fd(self->a.ws), KIPC_READABLE, NULL);

	ASSERT_GT(id, 0);
	EXPECT_EQ(-EAGAIN, nothing(outer));
	EXPECT_EQ(0, put(self->a.q, 1));
	EXPECT_EQ(1, kipc_waitset_wait(outer, &ev, 1, LONG_NS));
	EXPECT_EQ(id, ev.id);
	EXPECT_EQ(KIPC_READABLE, only(self->a.ws, self->a.queue));
	EXPECT_EQ(1, get(self->a.q));
	EXPECT_EQ(-EAGAIN, nothing(self->a.ws));
	EXPECT_EQ(-EAGAIN, nothing(outer));
	EXPECT_EQ(-ELOOP, kipc_waitset_add_fd(self->a.ws, kipc_waitset_fd(outer), KIPC_READABLE,
					      NULL));
	kipc_waitset_close(outer);
}

TEST_HARNESS_MAIN
