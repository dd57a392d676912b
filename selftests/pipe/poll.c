// SPDX-License-Identifier: MIT
/* kipc_pipe_fd(): epoll outside the library, "call until -EAGAIN". */
#include <poll.h>
#include <sys/epoll.h>

#include "pipe_test.h"

FIXTURE(fd)
{
	struct kipc_pipe *e[2];
};

FIXTURE_VARIANT(fd)
{
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(fd, shared){ .flags = 0 };
FIXTURE_VARIANT_ADD(fd, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(fd)
{
	pipe_make(self->e, RING, variant->flags);
}

FIXTURE_TEARDOWN(fd)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

static bool readable_now(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

TEST_F(fd, readable_is_a_level)
{
	int fd = kipc_pipe_fd(self->e[1], KIPC_READABLE);
	char c;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(fd, kipc_pipe_fd(self->e[1], KIPC_READABLE));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_FALSE(readable_now(fd));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], "a", 1, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], "b", 1, KIPC_NOWAIT));
		EXPECT_TRUE(readable_now(fd));
		EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
		EXPECT_TRUE(readable_now(fd));
		EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
		EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
		EXPECT_FALSE(readable_now(fd));
		EXPECT_EQ(-EAGAIN, kipc_pipe_poll(self->e[1], KIPC_NOWAIT));
	}
	/* one eventfd write for two messages */
	EXPECT_EQ(3, pipe_wakeups(self->e[0]));
}

static int64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* The receiver died in the middle of a stream that its sender then gave up: nothing to receive. */
TEST_F(fd, poll_sleeps_beside_a_dead_receivers_stream)
{
	struct kipc_pipe_way *s = self->e[0]->tx.shm;
	int64_t cpu = thread_cpu_ns();
	char c;

	s->cut = s->tail | KIPC_PIPE_VALID;
	s->msg_end = (s->tail + 2 * RING) | KIPC_PIPE_VALID;
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_poll(self->e[1], 400 * MS));
	EXPECT_LT(thread_cpu_ns() - cpu, ksft_scale(100) * MS);
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "a", 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_poll(self->e[1], KIPC_FOREVER));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_poll(self->e[1], KIPC_NOWAIT));
}

TEST_F(fd, what_was_there_before)
{
	int fd;

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "a", 1, KIPC_NOWAIT));
	fd = kipc_pipe_fd(self->e[1], KIPC_READABLE);
	EXPECT_TRUE(readable_now(fd));
}

TEST_F(fd, writable_is_a_level)
{
	char buf[RING / 8 - 8] = "";
	int fd = kipc_pipe_fd(self->e[0], KIPC_WRITABLE), n = 0;

	ASSERT_GE(fd, 0);
	EXPECT_TRUE(readable_now(fd));
	for (int round = 0; round < 3; round++) {
		while (kipc_pipe_send(self->e[0], buf, sizeof(buf), KIPC_NOWAIT) == 0)
			n++;
		EXPECT_EQ(8 + 4 * round, n);
		EXPECT_FALSE(readable_now(fd));
		/* a quarter of the ring is worth a wake-up */
		for (int i = 0; i < 4; i++)
			EXPECT_EQ((ssize_t)sizeof(buf),
				  kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
		EXPECT_TRUE(readable_now(fd));
	}
}

TEST_F(fd, hang_up_and_shutdown_are_events)
{
	int r0 = kipc_pipe_fd(self->e[0], KIPC_READABLE),
	    w0 = kipc_pipe_fd(self->e[0], KIPC_WRITABLE);
	int h0 = kipc_pipe_fd(self->e[0], KIPC_PIPE_HANGUP);
	char buf[RING / 2] = "";

	ASSERT_GE(h0, 0);
	while (kipc_pipe_send(self->e[0], buf, sizeof(buf), KIPC_NOWAIT) == 0)
		;
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[0], buf, 1, KIPC_NOWAIT));
	EXPECT_FALSE(readable_now(r0));
	EXPECT_FALSE(readable_now(w0));
	EXPECT_FALSE(readable_now(h0));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[1]));
	EXPECT_TRUE(readable_now(r0));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[0], buf, 1, KIPC_NOWAIT));
	EXPECT_FALSE(readable_now(h0));
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	EXPECT_TRUE(readable_now(w0));
	EXPECT_TRUE(readable_now(h0));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(self->e[0], buf, 1, KIPC_NOWAIT));
}

static int wait_for_death(void *arg)
{
	kipc_pipe_close(arg);
	pause();
	return 0;
}

TEST_F(fd, a_killed_peer_is_a_hang_up)
{
	int fd = kipc_pipe_fd(self->e[0], KIPC_PIPE_HANGUP);
	pid_t pid = ksft_fork(wait_for_death, self->e[0]);

	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	EXPECT_FALSE(readable_now(fd));
	ksft_kill(pid);
	EXPECT_TRUE(ksft_wait_for(readable_now(fd), 1000));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[0], NULL, 0, KIPC_FOREVER));
}

struct watcher {
	struct kipc_pipe *p, *other;
	uint64_t *got; /* how often each number came */
	uint64_t *mine;
	uint64_t n;
};

/* An event loop: sleeps in epoll without a timeout, calls until -EAGAIN. */
static int watch(void *arg)
{
	struct watcher *w = arg;
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), r;
	uint64_t v;

	if (w->other)
		kipc_pipe_close(w->other);
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, kipc_pipe_fd(w->p, KIPC_READABLE), &ev));
	for (;;) {
		while ((r = epoll_wait(ep, &ev, 1, -1)) < 0 && errno == EINTR)
			;
		while ((r = (int)kipc_pipe_recv(w->p, &v, sizeof(v), KIPC_NOWAIT)) == 8) {
			if (!EXPECT_LT(v, w->n))
				return 1;
			__atomic_fetch_add(&w->got[v], 1, __ATOMIC_RELAXED);
			++*w->mine;
		}
		if (r == -EPIPE)
			break;
		if (!EXPECT_EQ(-EAGAIN, r))
			return 1;
	}
	close(ep);
	return 0;
}

static void two_loops(struct kipc_pipe *e[2], enum ksft_peer_kind kind)
{
	uint64_t n = ksft_slow() ? 5000 : 50000;
	uint64_t *got = ksft_shared((n + 2) * sizeof(*got));
	struct watcher w[2];
	struct ksft_peer peers[2];

	for (int i = 0; i < 2; i++) {
		w[i] = (struct watcher){ .p = e[1],
					 .other = kind == KSFT_PROCESS ? e[0] : NULL,
					 .got = got,
					 .mine = &got[n + (uint64_t)i],
					 .n = n };
		ksft_peer_start(&peers[i], kind, watch, &w[i]);
	}
	for (uint64_t i = 0; i < n; i++) {
		ASSERT_EQ(0, kipc_pipe_send(e[0], &i, sizeof(i), KIPC_FOREVER));
		/* let them fall asleep now and then */
		if (i % 5000 == 4999)
			ksft_wait_for(ksft_asleep(peers[0].id) && ksft_asleep(peers[1].id), 5000);
	}
	EXPECT_EQ(0, kipc_pipe_shutdown(e[0]));
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&peers[i]);
	for (uint64_t i = 0; i < n; i++)
		if (!EXPECT_EQ(1, got[i]))
			break;
	EXPECT_EQ(n, got[n] + got[n + 1]);
}

TEST(two_event_loops_in_processes)
{
	struct kipc_pipe *e[2];

	pipe_make(e, RING, 0);
	two_loops(e, KSFT_PROCESS);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST(two_event_loops_in_threads)
{
	struct kipc_pipe *e[2];

	pipe_make(e, RING, 0);
	two_loops(e, KSFT_THREAD);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

/* The look comes after the clearing: what arrived in between is neither lost nor slept over. */
static bool cleared_by_now(void *arg)
{
	struct kipc_pipe *p = arg;

	return !readable_now(p->rx.readable->fd);
}

TEST_F(fd, looks_again_after_clearing)
{
	struct kipc_pipe *p = self->e[1];

	EXPECT_FALSE(__kipc_pipe_rearm(p, p->rx.readable, cleared_by_now, p));
	ASSERT_GE(kipc_pipe_fd(p, KIPC_READABLE), 0);
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "a", 1, KIPC_NOWAIT));
	EXPECT_TRUE(readable_now(p->rx.readable->fd));
	EXPECT_TRUE(__kipc_pipe_rearm(p, p->rx.readable, cleared_by_now, p));
}

static int send_half(void *arg)
{
	char buf[RING / 2] = "";

	return kipc_pipe_send(arg, buf, sizeof(buf), KIPC_FOREVER);
}

/*
 * A send that may not wait finds the lock held by one that sleeps for room.  The wake-up is the
 * sleeper's, who clears the descriptor; the poller gets its own when the lock is given up.
 */
TEST(a_lock_given_up_is_an_event)
{
	struct kipc_pipe *e[2];
	char buf[RING - 8] = "";
	struct ksft_thread t;
	int fd;

	pipe_make(e, RING, 0);
	fd = kipc_pipe_fd(e[0], KIPC_WRITABLE);
	EXPECT_EQ(0, kipc_pipe_send(e[0], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_send(e[0], buf, 1, KIPC_NOWAIT));
	EXPECT_FALSE(readable_now(fd));
	ksft_thread_start(&t, send_half, e[0]);
	ASSERT_TRUE(ksft_wait_for(pipe_writer_sleeps(&e[0]->tx) && ksft_asleep(t.tid), 5000));
	EXPECT_EQ(-EAGAIN, kipc_pipe_send(e[0], buf, 1, KIPC_NOWAIT));
	EXPECT_EQ((ssize_t)sizeof(buf), kipc_pipe_recv(e[1], buf, sizeof(buf), KIPC_NOWAIT));
	ksft_thread_join(&t);
	EXPECT_TRUE(readable_now(fd));
	EXPECT_EQ(0, kipc_pipe_send(e[0], buf, 1, KIPC_NOWAIT));
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

static int echo_loop(void *arg)
{
	struct watcher *w = arg;
	struct pollfd p = { .fd = kipc_pipe_fd(w->p, KIPC_READABLE), .events = POLLIN };
	uint64_t v;
	int r;

	for (;;) {
		while ((r = (int)kipc_pipe_recv(w->p, &v, sizeof(v), KIPC_NOWAIT)) == 8)
			EXPECT_EQ(0, kipc_pipe_send(w->p, &v, sizeof(v), KIPC_FOREVER));
		if (r != -EAGAIN)
			return !EXPECT_EQ(-EPIPE, r);
		while (poll(&p, 1, -1) < 0)
			;
	}
}

/*
 * Strictly one at a time: the next message comes just when the loop finds nothing more and clears the
 * descriptor.  If it cleared the wake-up for that one, nobody would ever send another.
 */
static void one_at_a_time(enum ksft_peer_kind kind)
{
	uint64_t n = ksft_slow() ? 2000 : 20000, v;
	struct kipc_pipe *e[2];
	struct ksft_peer peer;
	struct watcher w = { 0 };

	pipe_make(e, RING, 0);
	w.p = e[1];
	ksft_peer_start(&peer, kind, echo_loop, &w);
	for (uint64_t i = 0; i < n; i++) {
		ASSERT_EQ(0, kipc_pipe_send(e[0], &i, sizeof(i), KIPC_FOREVER));
		ASSERT_EQ(8, kipc_pipe_recv(e[0], &v, sizeof(v), 10000 * MS));
		ASSERT_EQ(i, v);
	}
	EXPECT_EQ(0, kipc_pipe_shutdown(e[0]));
	ksft_peer_join(&peer);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST(one_at_a_time_between_processes)
{
	one_at_a_time(KSFT_PROCESS);
}

TEST(one_at_a_time_between_threads)
{
	one_at_a_time(KSFT_THREAD);
}

static int write_loop(void *arg)
{
	struct watcher *w = arg;
	struct pollfd p = { .fd = kipc_pipe_fd(w->p, KIPC_WRITABLE), .events = POLLIN };
	uint64_t i = 0;
	int r;

	while (i < w->n) {
		while (i < w->n && (r = kipc_pipe_send(w->p, &i, 8, KIPC_NOWAIT)) == 0)
			i++;
		if (i < w->n) {
			if (!EXPECT_EQ(-EAGAIN, r))
				return 1;
			while (poll(&p, 1, -1) < 0)
				;
		}
	}
	return 0;
}

/* Two writers on one end, both in poll(2): the room of one lap wakes both, or the one after it. */
static void two_writers(enum ksft_peer_kind kind)
{
	struct watcher w = { .n = ksft_slow() ? 5000 : 50000 };
	uint64_t next[2] = { 0 }, v;
	struct ksft_peer peers[2];
	struct kipc_pipe *e[2];

	pipe_make(e, RING, 0);
	w.p = e[0];
	for (int i = 0; i < 2; i++)
		ksft_peer_start(&peers[i], kind, write_loop, &w);
	for (uint64_t i = 0; i < 2 * w.n; i++) {
		ASSERT_EQ(8, kipc_pipe_recv(e[1], &v, 8, KIPC_FOREVER));
		if (v == next[0])
			next[0]++;
		else if (EXPECT_EQ(next[1], v))
			next[1]++;
		else
			break;
	}
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&peers[i]);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST(two_writers_in_processes)
{
	two_writers(KSFT_PROCESS);
}

TEST(two_writers_in_threads)
{
	two_writers(KSFT_THREAD);
}

TEST_HARNESS_MAIN
