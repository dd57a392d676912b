/* SPDX-License-Identifier: MIT */
/*
 * What the waitset's tests share.  Nearly all of them run twice: asleep in io_uring, and on epoll
 * where io_uring is refused.
 */
#ifndef WAITSET_TEST_H
#define WAITSET_TEST_H

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/waitset.h>

#include "kselftest_harness.h"
#include "waitset/waitset.h"

#define MS NSEC_PER_MSEC

/* Long enough for anything that should happen at once; a test that waits so long has failed. */
#define LONG_NS (ksft_scale(10) * NSEC_PER_SEC)

#define __unused_fn __attribute__((unused))

#define RING_AND_EPOLL(fixture)                                                                    \
	FIXTURE_VARIANT(fixture)                                                                   \
	{                                                                                          \
		enum waitset_how how;                                                              \
	};                                                                                         \
	FIXTURE_VARIANT_ADD(fixture, uring){ .how = HOW_RING };                                    \
	FIXTURE_VARIANT_ADD(fixture, epoll){ .how = HOW_EPOLL }

/* A set that waits the way the variant says; before the first wait of any kind. */
static __unused_fn struct kipc_waitset *make_set(enum waitset_how how)
{
	struct kipc_waitset *ws = NULL;
	struct kipc_waitset_event ev;

	if (how == HOW_EPOLL)
		ASSERT_EQ(0, setenv("KIPC_NO_IO_URING", "1", 1));
	ASSERT_EQ(0, kipc_waitset_create(NULL, &ws));
	EXPECT_EQ(-EAGAIN, kipc_waitset_wait(ws, &ev, 1, KIPC_NOWAIT));
	if (how == HOW_RING && ws->how == HOW_EPOLL)
		SKIP("io_uring is refused here");
	EXPECT_EQ(how, ws->how);
	return ws;
}

static __unused_fn struct kipc_queue *make_queue(uint32_t capacity)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = 8);
	struct kipc_queue *q = NULL;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	return q;
}

static __unused_fn void make_pipe(struct kipc_pipe *ends[2])
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);

	ASSERT_EQ(0, kipc_pipe_create(&opts, ends));
}

static __unused_fn int put(struct kipc_queue *q, uint64_t v)
{
	return kipc_queue_put(q, &v, sizeof(v), KIPC_NOWAIT);
}

/* The number, or a negative errno. */
static __unused_fn int64_t get(struct kipc_queue *q)
{
	uint64_t v = 0;
	ssize_t r = kipc_queue_get(q, &v, sizeof(v), KIPC_NOWAIT);

	return r < 0 ? r : (int64_t)v;
}

static __unused_fn int send_u64(struct kipc_pipe *p, uint64_t v)
{
	return kipc_pipe_send(p, &v, sizeof(v), KIPC_NOWAIT);
}

static __unused_fn int64_t recv_u64(struct kipc_pipe *p)
{
	uint64_t v = 0;
	ssize_t r = kipc_pipe_recv(p, &v, sizeof(v), KIPC_NOWAIT);

	return r < 0 ? r : (int64_t)v;
}

/* One event and no other is reported now: which events it has, or a negative errno. */
static __unused_fn int only(struct kipc_waitset *ws, int64_t id)
{
	struct kipc_waitset_event ev[4];
	int r = kipc_waitset_wait(ws, ev, 4, KIPC_NOWAIT);

	if (r < 0)
		return r;
	EXPECT_EQ(1, r);
	EXPECT_EQ(id, ev[0].id);
	return (int)ev[0].events;
}

static __unused_fn int nothing(struct kipc_waitset *ws)
{
	struct kipc_waitset_event ev;

	return kipc_waitset_wait(ws, &ev, 1, KIPC_NOWAIT);
}

/*
 * A thread has given the mutex up to sleep in the kernel, and it is asked the way that `how` says.
 */
static __unused_fn bool asleep_how(struct kipc_waitset *ws, enum waitset_how how)
{
	bool asleep;

	pthread_mutex_lock(&ws->mutex);
	asleep = ws->asleep && ws->how == how;
	pthread_mutex_unlock(&ws->mutex);
	return asleep;
}

static __unused_fn bool asleep(struct kipc_waitset *ws)
{
	return asleep_how(ws, HOW_RING) || asleep_how(ws, HOW_EPOLL);
}

/* From here on nothing is found by the set's own rounds: what isn't rung for stays unknown. */
static __unused_fn void without_rounds(struct kipc_waitset *ws)
{
	pthread_mutex_lock(&ws->mutex);
	ws->round_ns = KIPC_DEADLINE_NEVER / 2;
	pthread_mutex_unlock(&ws->mutex);
}

static __unused_fn bool fd_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLIN);
}

/* So many descriptors, or the test is skipped. */
static __unused_fn void need_fds(rlim_t n)
{
	struct rlimit rl;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &rl));
	if (rl.rlim_cur >= n)
		return;
	rl.rlim_cur = n;
	if (rl.rlim_max < n)
		rl.rlim_max = n;	/* root may */
	if (setrlimit(RLIMIT_NOFILE, &rl))
		SKIP("no more than so many descriptors are allowed here (ulimit -n)");
}

#endif
