// SPDX-License-Identifier: MIT
/* Members of all kinds, one by one: what is reported, as a level, and when it stops. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "waitset_test.h"

FIXTURE(set)
{
	struct kipc_waitset *ws;
};

RING_AND_EPOLL(set);

FIXTURE_SETUP(set)
{
	self->ws = make_set(variant->how);
}

FIXTURE_TEARDOWN(set)
{
	kipc_waitset_close(self->ws);
}

TEST_F(set, queue_readable)
{
	struct kipc_queue *q = make_queue(3);
	int64_t id = kipc_waitset_add_queue(self->ws, q, KIPC_READABLE, &q);
	struct kipc_waitset_event ev[2];
	struct kipc_msg msg;

	ASSERT_GT(id, 0);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, put(q, 1));
	EXPECT_EQ(0, put(q, 2));
	ASSERT_EQ(1, kipc_waitset_wait(self->ws, ev, 2, KIPC_FOREVER));
	EXPECT_EQ(id, ev[0].id);
	EXPECT_EQ(&q, ev[0].data);
	EXPECT_EQ(KIPC_WAITSET_QUEUE, ev[0].kind);
	EXPECT_EQ(KIPC_READABLE, ev[0].events);
	EXPECT_EQ(q, ev[0].queue);
	EXPECT_EQ(q, ev[0].object);

	/* a level: until it is empty, however the messages are taken */
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(1, get(q));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(2, get(q));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, put(q, 1));
		EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
		EXPECT_EQ(1, get(q));
		if (i % 2)
			EXPECT_EQ(-EAGAIN, get(q));
		if (i % 3)
			EXPECT_EQ(-EAGAIN, nothing(self->ws));
	}

	/* what is held by somebody can't be got; what is given back can */
	EXPECT_EQ(0, put(q, 1));
	EXPECT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_queue_requeue(q, &msg));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(1, get(q));
	/* that no other one was given back is known when somebody has looked */
	EXPECT_EQ(-EAGAIN, get(q));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));

	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	kipc_queue_close(q);
}

TEST_F(set, queue_writable)
{
	struct kipc_queue *q = make_queue(2);
	int64_t id = kipc_waitset_add_queue(self->ws, q, KIPC_WRITABLE, NULL);

	ASSERT_GT(id, 0);
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, put(q, 1));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, put(q, 2));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(1, get(q));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, put(q, 3));
	EXPECT_EQ(-EAGAIN, put(q, 4));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_queue_close(q);
}

/* What was there before it was added, for both at once. */
TEST_F(set, added_late)
{
	struct kipc_queue *q = make_queue(2);
	int64_t id;

	EXPECT_EQ(0, put(q, 1));
	id = kipc_waitset_add_queue(self->ws, q, KIPC_READABLE | KIPC_WRITABLE, NULL);
	ASSERT_GT(id, 0);
	EXPECT_EQ(KIPC_READABLE | KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, put(q, 2));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_queue_close(q);
}

TEST_F(set, pipe)
{
	struct kipc_waitset_event ev[2];
	struct kipc_pipe *e[2];
	int64_t id;

	make_pipe(e);
	id = kipc_waitset_add_pipe(self->ws, e[0], KIPC_READABLE, e);
	ASSERT_GT(id, 0);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, send_u64(e[1], 1));
	EXPECT_EQ(0, send_u64(e[1], 2));
	ASSERT_EQ(1, kipc_waitset_wait(self->ws, ev, 2, KIPC_FOREVER));
	EXPECT_EQ(id, ev[0].id);
	EXPECT_EQ(e, ev[0].data);
	EXPECT_EQ(KIPC_WAITSET_PIPE, ev[0].kind);
	EXPECT_EQ(KIPC_READABLE, ev[0].events);
	EXPECT_EQ(e[0], ev[0].pipe);
	EXPECT_EQ(1, recv_u64(e[0]));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(2, recv_u64(e[0]));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));

	/* shut down is the end of what can be received, and not yet a hang-up */
	EXPECT_EQ(0, send_u64(e[1], 3));
	EXPECT_EQ(0, kipc_pipe_shutdown(e[1]));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(3, recv_u64(e[0]));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(-EPIPE, recv_u64(e[0]));
	kipc_pipe_close(e[1]);
	EXPECT_EQ(KIPC_READABLE | KIPC_WAITSET_HANGUP, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	kipc_pipe_close(e[0]);
}

/* While it is busy, epoll is asked for the rest of the news every few waits only. */
static int after_a_few(struct kipc_waitset *ws, int64_t id, int events)
{
	int r = 0;

	for (int i = 0; i < 10 && r != events; i++)
		r = only(ws, id);
	return r;
}

TEST_F(set, pipe_hangs_up_with_data_left)
{
	const int all = KIPC_READABLE | KIPC_WRITABLE | KIPC_WAITSET_HANGUP;
	struct kipc_pipe *e[2];
	int64_t id;

	make_pipe(e);
	id = kipc_waitset_add_pipe(self->ws, e[0], KIPC_READABLE | KIPC_WRITABLE, NULL);
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, send_u64(e[1], 1));
	kipc_pipe_close(e[1]);
	EXPECT_EQ(KIPC_READABLE | KIPC_WRITABLE, only(self->ws, id) & ~KIPC_WAITSET_HANGUP);
	EXPECT_EQ(all, after_a_few(self->ws, id, all));
	EXPECT_EQ(all, only(self->ws, id));
	EXPECT_EQ(1, recv_u64(e[0]));
	EXPECT_EQ(-EPIPE, recv_u64(e[0]));
	EXPECT_EQ(all, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_pipe_close(e[0]);
}

/* No events asked for: the hang-up comes all the same. */
TEST_F(set, pipe_hang_up_alone)
{
	struct kipc_pipe *e[2];
	int64_t id;

	make_pipe(e);
	id = kipc_waitset_add_pipe(self->ws, e[0], 0, NULL);
	ASSERT_GT(id, 0);
	EXPECT_EQ(0, send_u64(e[1], 1));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	kipc_pipe_close(e[1]);
	EXPECT_EQ(KIPC_WAITSET_HANGUP, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_pipe_close(e[0]);
}

/* A quarter of the ring, or what a failed send needs: else a level would be a busy loop. */
TEST_F(set, pipe_writable)
{
	char buf[4096 / 8 - 8] = "", large[4096 * 5 / 8 - 8] = "";
	struct kipc_pipe *e[2];
	int64_t id;

	make_pipe(e);
	id = kipc_waitset_add_pipe(self->ws, e[0], KIPC_WRITABLE, NULL);
	for (int i = 0; i < 7; i++) {
		EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
		EXPECT_EQ(0, kipc_pipe_send(e[0], buf, sizeof(buf), KIPC_NOWAIT));
	}
	/* an eighth is left */
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ((ssize_t)sizeof(buf), kipc_pipe_recv(e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));

	EXPECT_EQ(-EAGAIN, kipc_pipe_send(e[0], large, sizeof(large), KIPC_NOWAIT));
	for (int i = 2; i < 5; i++) {
		EXPECT_EQ(-EAGAIN, nothing(self->ws));
		EXPECT_EQ((ssize_t)sizeof(buf),
			  kipc_pipe_recv(e[1], buf, sizeof(buf), KIPC_NOWAIT));
	}
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_pipe_send(e[0], large, sizeof(large), KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));

	/* when something smaller was sent instead, the failed one is forgotten */
	while (kipc_pipe_recv(e[1], large, sizeof(large), KIPC_NOWAIT) > 0)
		;
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(0, kipc_pipe_send(e[0], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_send(e[0], large, sizeof(large), KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_pipe_send(e[0], buf, 0, KIPC_NOWAIT));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

/* While another receives on this end, a receive would have to wait for it. */
TEST_F(set, pipe_with_its_turn_taken)
{
	struct kipc_pipe_msg msg, room;
	struct kipc_pipe *e[2];
	int64_t id;

	make_pipe(e);
	id = kipc_waitset_add_pipe(self->ws, e[0], KIPC_READABLE | KIPC_WRITABLE, NULL);
	EXPECT_EQ(0, send_u64(e[1], 1));
	EXPECT_EQ(0, send_u64(e[1], 2));
	EXPECT_EQ(KIPC_READABLE | KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_pipe_peek(e[0], &msg, KIPC_NOWAIT));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_pipe_reserve(e[0], 8, &room, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_pipe_release(e[0], &msg));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_pipe_abort(e[0], &room));
	EXPECT_EQ(KIPC_READABLE | KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST_F(set, descriptor)
{
	struct kipc_waitset_event ev;
	int fds[2], null, data;
	int64_t in, out;

	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC | O_NONBLOCK));
	in = kipc_waitset_add_fd(self->ws, fds[0], KIPC_READABLE, &data);
	ASSERT_GT(in, 0);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(1, write(fds[1], "x", 1));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
		EXPECT_EQ(in, ev.id);
		EXPECT_EQ(&data, ev.data);
		EXPECT_EQ(KIPC_WAITSET_FD, ev.kind);
		EXPECT_EQ(KIPC_READABLE, ev.events);
		EXPECT_EQ(fds[0], ev.fd);
		EXPECT_EQ(POLLIN, ev.value);
	}
	EXPECT_EQ(1, read(fds[0], &data, 1));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));

	out = kipc_waitset_add_fd(self->ws, fds[1], KIPC_WRITABLE, NULL);
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, out));
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, out, 0));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, out, KIPC_WRITABLE));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, out));

	/* the other end is gone: hang-up here, an error there */
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, out));
	close(fds[1]);
	EXPECT_EQ(KIPC_READABLE | KIPC_WAITSET_HANGUP, only(self->ws, in));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, in));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	close(fds[0]);
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC | O_NONBLOCK));
	out = kipc_waitset_add_fd(self->ws, fds[1], 0, NULL);
	close(fds[0]);
	EXPECT_EQ(KIPC_WAITSET_ERROR, only(self->ws, out));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, out));

	null = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-EPERM, kipc_waitset_add_fd(self->ws, null, KIPC_READABLE, NULL));
	close(null);
	EXPECT_EQ(-EBADF, kipc_waitset_add_fd(self->ws, null, KIPC_READABLE, NULL));
	EXPECT_EQ(-EBADF, kipc_waitset_add_fd(self->ws, -1, KIPC_READABLE, NULL));
	close(fds[1]);
}

/* A descriptor that is removed and closed is gone at once: nothing in the set keeps it open. */
TEST_F(set, no_reference_is_kept)
{
	int sv[2];
	int64_t id;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
	id = kipc_waitset_add_fd(self->ws, sv[0], KIPC_READABLE, NULL);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	close(sv[0]);
	EXPECT_TRUE(fd_readable(sv[1]));
	close(sv[1]);
}

/* The end of a pipe whose hang-up the set polls is closed for good, too. */
TEST_F(set, a_closed_pipe_hangs_up)
{
	struct kipc_pipe *e[2];
	int64_t id;

	make_pipe(e);
	id = kipc_waitset_add_pipe(self->ws, e[0], KIPC_READABLE, NULL);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_pipe_close(e[0]);
	EXPECT_EQ(-EPIPE, recv_u64(e[1]));
	kipc_pipe_close(e[1]);
}

TEST_F(set, modify)
{
	struct kipc_queue *q = make_queue(2);
	struct kipc_pipe *e[2];
	int64_t id = kipc_waitset_add_queue(self->ws, q, KIPC_READABLE, NULL), p;

	make_pipe(e);
	p = kipc_waitset_add_pipe(self->ws, e[0], KIPC_READABLE, NULL);
	EXPECT_EQ(0, put(q, 1));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, id, KIPC_WRITABLE));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, id, KIPC_READABLE | KIPC_WRITABLE));
	EXPECT_EQ(KIPC_READABLE | KIPC_WRITABLE, only(self->ws, id));
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, id, KIPC_READABLE));
	EXPECT_EQ(1, get(q));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, put(q, 2));
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(2, get(q));

	EXPECT_EQ(0, kipc_waitset_modify(self->ws, p, KIPC_WRITABLE));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, p));
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, p, 0));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	kipc_pipe_close(e[1]);
	EXPECT_EQ(KIPC_WAITSET_HANGUP, only(self->ws, p));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, p));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_pipe_close(e[0]);
	kipc_queue_close(q);
}

/* A wait that isn't answered ends when it should, and not before. */
TEST_F(set, timeouts)
{
	struct kipc_queue *q = make_queue(2);
	struct kipc_waitset_event ev;
	int64_t start;

	for (int members = 0; members < 2; members++) {
		start = ksft_now_ns();
		EXPECT_EQ(-ETIMEDOUT, kipc_waitset_wait(self->ws, &ev, 1, 1));
		EXPECT_EQ(-ETIMEDOUT, kipc_waitset_wait(self->ws, &ev, 1, 7 * MS));
		/* several ticks */
		EXPECT_EQ(-ETIMEDOUT, kipc_waitset_wait(self->ws, &ev, 1, 230 * MS));
		EXPECT_GE(ksft_now_ns() - start, 237 * MS);
		ASSERT_GT(kipc_waitset_add_queue(self->ws, q, members ? KIPC_WRITABLE :
									KIPC_READABLE,
						 NULL),
			  0);
	}
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, 1));
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
	kipc_waitset_close(self->ws);
	self->ws = NULL;
	kipc_queue_close(q);
}

TEST_F(set, wrong_arguments)
{
	KIPC_OPTS(kipc_pipe_opts, simplex, .flags = KIPC_PIPE_SIMPLEX);
	struct kipc_queue *q = make_queue(2);
	struct kipc_waitset_event ev;
	struct kipc_pipe *e[2];
	int64_t id, t;
	int fd = dup(0);

	EXPECT_EQ(-EINVAL, kipc_waitset_add_queue(self->ws, NULL, KIPC_READABLE, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_queue(NULL, q, KIPC_READABLE, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_queue(self->ws, q, 0, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_queue(self->ws, q, KIPC_WAITSET_HANGUP, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_queue(self->ws, q, KIPC_READABLE | 16, NULL));
	id = kipc_waitset_add_queue(self->ws, q, KIPC_READABLE, NULL);
	EXPECT_GT(id, 0);
	EXPECT_EQ(-EEXIST, kipc_waitset_add_queue(self->ws, q, KIPC_READABLE, NULL));
	EXPECT_EQ(-EEXIST,
		  kipc_waitset_add_queue(self->ws, q, KIPC_READABLE | KIPC_WRITABLE, NULL));
	/* nothing is left of that: the other half may still be added */
	t = kipc_waitset_add_queue(self->ws, q, KIPC_WRITABLE, NULL);
	EXPECT_GT(t, 0);
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, t));
	EXPECT_EQ(-EEXIST, kipc_waitset_modify(self->ws, t, KIPC_READABLE | KIPC_WRITABLE));
	EXPECT_EQ(KIPC_WRITABLE, only(self->ws, t));
	EXPECT_EQ(-EINVAL, kipc_waitset_modify(self->ws, t, 0));
	EXPECT_EQ(-EINVAL, kipc_waitset_modify(self->ws, t, KIPC_WAITSET_HANGUP));
	EXPECT_EQ(-EINVAL, kipc_waitset_modify(NULL, t, KIPC_READABLE));
	EXPECT_EQ(-EINVAL, kipc_waitset_set_timer(self->ws, t, 1, 0));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, t));
	EXPECT_EQ(-ENOENT, kipc_waitset_remove(self->ws, t));
	EXPECT_EQ(-ENOENT, kipc_waitset_modify(self->ws, t, KIPC_READABLE));
	EXPECT_EQ(-ENOENT, kipc_waitset_set_timer(self->ws, t, 1, 0));
	EXPECT_EQ(-ENOENT, kipc_waitset_remove(self->ws, 0));
	EXPECT_EQ(-ENOENT, kipc_waitset_remove(self->ws, -1));
	EXPECT_EQ(-ENOENT, kipc_waitset_remove(self->ws, INT64_MAX));
	EXPECT_EQ(-EINVAL, kipc_waitset_remove(NULL, id));

	ASSERT_EQ(0, kipc_pipe_create(&simplex, e));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_pipe(self->ws, NULL, KIPC_READABLE, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_pipe(NULL, e[0], KIPC_READABLE, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_pipe(self->ws, e[0], KIPC_PIPE_HANGUP, NULL));
	EXPECT_EQ(-EBADF, kipc_waitset_add_pipe(self->ws, e[0], KIPC_WRITABLE, NULL));
	EXPECT_EQ(-EBADF, kipc_waitset_add_pipe(self->ws, e[1], KIPC_READABLE, NULL));
	EXPECT_GT(kipc_waitset_add_pipe(self->ws, e[0], KIPC_READABLE, NULL), 0);
	EXPECT_GT(kipc_waitset_add_pipe(self->ws, e[1], 0, NULL), 0);
	EXPECT_EQ(-EEXIST, kipc_waitset_add_pipe(self->ws, e[1], KIPC_WRITABLE, NULL));

	EXPECT_EQ(-EINVAL, kipc_waitset_add_fd(NULL, fd, KIPC_READABLE, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_fd(self->ws, fd, KIPC_WAITSET_ERROR, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_timer(NULL, 1, 1, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_timer(self->ws, -2, 0, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_timer(self->ws, 1, -1, NULL));
	t = kipc_waitset_add_timer(self->ws, KIPC_FOREVER, 0, NULL);
	EXPECT_GT(t, 0);
	EXPECT_EQ(-EINVAL, kipc_waitset_modify(self->ws, t, KIPC_READABLE));
	EXPECT_EQ(-EINVAL, kipc_waitset_set_timer(self->ws, t, -2, 0));
	EXPECT_EQ(-EINVAL, kipc_waitset_set_timer(NULL, t, 1, 0));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_signal(self->ws, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_child(self->ws, 0, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_child(self->ws, -1, NULL));
	EXPECT_EQ(-ESRCH, kipc_waitset_add_child(self->ws, 0x3fffffff, NULL));

	EXPECT_EQ(-EINVAL, kipc_waitset_wait(NULL, &ev, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_waitset_wait(self->ws, NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_waitset_wait(self->ws, &ev, 0, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_waitset_wait(self->ws, &ev, -1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_waitset_fd(NULL));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	close(fd);
	kipc_waitset_close(NULL);
	kipc_waitset_close(self->ws);	/* with members, which are still good */
	self->ws = NULL;
	EXPECT_EQ(0, put(q, 1));
	EXPECT_EQ(0, send_u64(e[1], 1));
	kipc_queue_close(q);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST(options)
{
	KIPC_OPTS(kipc_waitset_opts, bad, .flags = 2);
	KIPC_OPTS(kipc_waitset_opts, opts, .flags = KIPC_WAITSET_EPOLL);
	KIPC_OPTS(kipc_waitset_opts, reserved, .reserved = 1);
	struct kipc_waitset *ws;

	EXPECT_EQ(-EINVAL, kipc_waitset_create(NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_create(&bad, &ws));
	EXPECT_EQ(-EINVAL, kipc_waitset_create(&reserved, &ws));
	bad.sz = 4;
	EXPECT_EQ(-EINVAL, kipc_waitset_create(&bad, &ws));
	ASSERT_EQ(0, kipc_waitset_create(&opts, &ws));
	EXPECT_EQ(-EAGAIN, nothing(ws));
	EXPECT_EQ(HOW_EPOLL, ws->how);
	kipc_waitset_close(ws);
}

/* No descriptor is left of a set, however it was used. */
TEST_F(set, nothing_leaks)
{
	struct kipc_queue *q = make_queue(2);
	struct kipc_waitset_event ev;
	sigset_t none;
	int before, after;

	sigemptyset(&none);
	kipc_waitset_close(self->ws);
	before = dup(0);
	close(before);
	for (int i = 0; i < 3; i++) {
		self->ws = make_set(variant->how);
		EXPECT_GT(kipc_waitset_add_queue(self->ws, q, KIPC_READABLE, NULL), 0);
		EXPECT_GT(kipc_waitset_add_timer(self->ws, 1, 0, NULL), 0);
		EXPECT_GT(kipc_waitset_add_signal(self->ws, &none, NULL), 0);
		EXPECT_GT(kipc_waitset_add_child(self->ws, getppid(), NULL), 0);
		EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
		if (i == 2)
			EXPECT_GE(kipc_waitset_fd(self->ws), 0);
		kipc_waitset_close(self->ws);
	}
	self->ws = NULL;
	after = dup(0);
	EXPECT_EQ(before, after);
	close(after);
	kipc_queue_close(q);
}

TEST_HARNESS_MAIN
