// SPDX-License-Identifier: MIT
/* kipc_queue_fd(): a level to poll, cleared by whoever is told -EAGAIN. */
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "queue_test.h"

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLIN);
}

TEST(readable)
{
	struct kipc_queue *q = make_queue(3, 8);
	int fd = kipc_queue_fd(q, KIPC_READABLE);
	struct kipc_msg msg;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(fd, kipc_queue_fd(q, KIPC_READABLE));
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
	EXPECT_EQ(1, get_u64(q, KIPC_NOWAIT));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(2, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	EXPECT_FALSE(readable(fd));
	/* one write for what comes in a row */
	EXPECT_EQ(1, rings(q, KIPC_QUEUE_BELL_READABLE));
	EXPECT_EQ(3, fill(q, 1));
	EXPECT_EQ(2, rings(q, KIPC_QUEUE_BELL_READABLE));
	EXPECT_EQ(3, drain(q, 1));
	EXPECT_FALSE(readable(fd));

	/* what is given back, or given up, is news as well */
	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(0, kipc_queue_requeue(q, &msg));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(1, drain(q, 1));
	EXPECT_EQ(0, kipc_queue_reserve(q, 8, &msg, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(0, kipc_queue_abort(q, &msg));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(1, drain(q, 2));

	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_TRUE(readable(fd));
	kipc_queue_close(q);
}

/* Taken when something is there already: readable at once. */
TEST(late)
{
	struct kipc_queue *q = make_queue(3, 8);

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_TRUE(readable(kipc_queue_fd(q, KIPC_READABLE)));
	EXPECT_TRUE(readable(kipc_queue_fd(q, KIPC_WRITABLE)));
	kipc_queue_close(q);
	q = make_queue(3, 8);
	EXPECT_EQ(3, fill(q, 0));
	EXPECT_FALSE(readable(kipc_queue_fd(q, KIPC_WRITABLE)));
	kipc_queue_close(q);
}

TEST(writable)
{
	struct kipc_queue *q = make_queue(3, 8);
	int fd = kipc_queue_fd(q, KIPC_WRITABLE);
	struct kipc_msg msg;

	ASSERT_GE(fd, 0);
	EXPECT_NE(fd, kipc_queue_fd(q, KIPC_READABLE));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(3, fill(q, 0));
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(0, kipc_queue_done(q, &msg));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(1, fill(q, 3));
	EXPECT_FALSE(readable(fd));
	EXPECT_EQ(3, drain(q, 1));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(3, fill(q, 0));
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	EXPECT_TRUE(readable(fd));
	kipc_queue_close(q);
}

/* Nobody watches: no write. */
TEST(unwatched)
{
	struct kipc_queue *q = make_queue(3, 8);

	check_works(q);
	EXPECT_EQ(0, rings(q, KIPC_QUEUE_BELL_READABLE));
	EXPECT_EQ(0, rings(q, KIPC_QUEUE_BELL_WRITABLE));
	kipc_queue_close(q);
}

static int add(int ep, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

/* Edge-triggered: each time that it was drained, what comes next is an edge. */
TEST(edge_triggered)
{
	struct kipc_queue *q = make_queue(3, 8);
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = kipc_queue_fd(q, KIPC_READABLE);
	struct epoll_event ev;

	ASSERT_EQ(0, add(ep, fd, EPOLLIN | EPOLLET));
	for (int i = 0; i < 50; i++) {
		EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
		EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
		EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 0));
		EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
		EXPECT_EQ(2, drain(q, 1));
	}
	close(ep);
	kipc_queue_close(q);
}

/* Two event loops, in threads or processes, and producers: all arrives, nobody hangs. */
struct loops {
	struct kipc_queue *q;
	uint64_t put, got, sum;
};

#define TOTAL 6000

static int get_loop(void *arg)
{
	struct loops *l = arg;
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = kipc_queue_fd(l->q, KIPC_READABLE);
	struct epoll_event ev;
	int64_t v = 0;

	ASSERT_EQ(0, add(ep, fd, EPOLLIN));
	while (v != -EPIPE) {
		if (epoll_wait(ep, &ev, 1, ksft_scale(10000)) != 1)
			return 1;
		while ((v = get_u64(l->q, KIPC_NOWAIT)) >= 0) {
			fetch_add(&l->got, 1);
			fetch_add(&l->sum, (uint64_t)v);
		}
		if (v != -EAGAIN && v != -EPIPE)
			return (int)v;
	}
	close(ep);
	return 0;
}

static int put_loop(void *arg)
{
	struct loops *l = arg;
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = kipc_queue_fd(l->q, KIPC_WRITABLE);
	struct epoll_event ev;
	int r = 0;

	ASSERT_EQ(0, add(ep, fd, EPOLLIN));
	for (;;) {
		uint64_t v = 0;

		if (epoll_wait(ep, &ev, 1, ksft_scale(10000)) != 1)
			return 1;
		do {
			v = fetch_add(&l->put, 1) + 1;
			if (v > TOTAL)
				goto out;
			r = put_u64(l->q, v, KIPC_NOWAIT);
		} while (!r);
		/* that number is still to be put */
		while (r == -EAGAIN) {
			if (epoll_wait(ep, &ev, 1, ksft_scale(10000)) != 1)
				return 1;
			r = put_u64(l->q, v, KIPC_NOWAIT);
		}
		if (r)
			return r;
	}
out:
	close(ep);
	return 0;
}

FIXTURE(event_loops)
{
	struct loops *l;
	struct ksft_peer get[2], put[2];
};

FIXTURE_VARIANT(event_loops)
{
	enum ksft_peer_kind kind;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(event_loops, threads){ .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(event_loops, processes){ .kind = KSFT_PROCESS };
FIXTURE_VARIANT_ADD(event_loops, processes_ppoll){ .kind = KSFT_PROCESS, .ppoll = true };

FIXTURE_SETUP(event_loops)
{
	if (variant->ppoll)
		without_io_uring();
	self->l = ksft_shared(sizeof(*self->l));
	self->l->q = make_queue(5, 8);
}

FIXTURE_TEARDOWN(event_loops)
{
	kipc_queue_close(self->l->q);
}

static void check_loops(struct loops *l)
{
	EXPECT_EQ(TOTAL, l->got);
	EXPECT_EQ((uint64_t)TOTAL * (TOTAL + 1) / 2, l->sum);
	EXPECT_EQ(0, kipc_queue_len(l->q));
}

TEST_F(event_loops, both_sides)
{
	for (int i = 0; i < 2; i++) {
		ksft_peer_start(&self->get[i], variant->kind, get_loop, self->l);
		ksft_peer_start(&self->put[i], variant->kind, put_loop, self->l);
	}
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&self->put[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(self->l->q));
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&self->get[i]);
	check_loops(self->l);
}

/* Event loops beside peers that block in the library. */
static int get_blocking(void *arg)
{
	struct loops *l = arg;
	int64_t v;

	while ((v = get_u64(l->q, LONG_NS)) >= 0) {
		fetch_add(&l->got, 1);
		fetch_add(&l->sum, (uint64_t)v);
	}
	return v == -EPIPE ? 0 : (int)v;
}

static int put_blocking(void *arg)
{
	struct loops *l = arg;
	uint64_t v;
	int r = 0;

	while (!r && (v = fetch_add(&l->put, 1) + 1) <= TOTAL)
		r = put_u64(l->q, v, LONG_NS);
	return r;
}

TEST_F(event_loops, beside_sleepers)
{
	ksft_peer_start(&self->get[0], variant->kind, get_loop, self->l);
	ksft_peer_start(&self->get[1], variant->kind, get_blocking, self->l);
	ksft_peer_start(&self->put[0], variant->kind, put_loop, self->l);
	ksft_peer_start(&self->put[1], variant->kind, put_blocking, self->l);
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&self->put[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(self->l->q));
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&self->get[i]);
	check_loops(self->l);
}

/*
 * A poller that takes one message and stops short of -EAGAIN leaves the descriptor readable for the
 * other one, also when it was told -EAGAIN just before.
 */
static int get_one_only(void *arg)
{
	return get_u64(arg, KIPC_NOWAIT) == 1 ? 0 : 1;
}

TEST(one_leaves_work_for_another)
{
	struct kipc_queue *q = make_queue(3, 8);
	int fd = kipc_queue_fd(q, KIPC_READABLE);

	EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
	ksft_join(ksft_fork(get_one_only, q));
	EXPECT_TRUE(readable(fd));
	EXPECT_EQ(2, get_u64(q, KIPC_NOWAIT));
	kipc_queue_close(q);
}

TEST_HARNESS_MAIN
