// SPDX-License-Identifier: MIT
/* Many members: batches, and that all that is ready gets its turn; changes from within the loop. */
#include <fcntl.h>
#include <sys/eventfd.h>

#include "waitset_test.h"

#define QUEUES 40
#define FDS 100

FIXTURE(batch)
{
	struct kipc_waitset *ws;
	struct kipc_queue *q[QUEUES];
	int64_t id[QUEUES + FDS];
	int fd[FDS];
};

RING_AND_EPOLL(batch);

FIXTURE_SETUP(batch)
{
	self->ws = make_set(variant->how);
	for (int i = 0; i < QUEUES; i++) {
		self->q[i] = make_queue(4);
		self->id[i] = kipc_waitset_add_queue(self->ws, self->q[i], KIPC_READABLE,
						     (void *)(intptr_t)i);
		ASSERT_GT(self->id[i], 0);
	}
	for (int i = 0; i < FDS; i++) {
		self->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		self->id[QUEUES + i] =
			kipc_waitset_add_fd(self->ws, self->fd[i], KIPC_READABLE,
					    (void *)(intptr_t)(QUEUES + i));
		ASSERT_GT(self->id[QUEUES + i], 0);
	}
}

FIXTURE_TEARDOWN(batch)
{
	kipc_waitset_close(self->ws);
	for (int i = 0; i < QUEUES; i++)
		kipc_queue_close(self->q[i]);
}

static void make_ready(int fd)
{
	uint64_t one = 1;

	ASSERT_EQ(sizeof(one), write(fd, &one, sizeof(one)));
}

/* So many waits of `max` until each of the first `queues` and `fds` was reported. */
static int waits_until_all(struct kipc_waitset *ws, int queues, int fds, int max)
{
	bool seen[QUEUES + FDS] = { false };
	struct kipc_waitset_event ev[QUEUES + FDS];
	int missing = queues + fds, waits = 0, n;

	while (missing && waits < 100000) {
		bool now[QUEUES + FDS] = { false };

		n = kipc_waitset_wait(ws, ev, max, KIPC_NOWAIT);
		if (!EXPECT_GT(n, 0) || !EXPECT_LE(n, max))
			break;
		waits++;
		for (int i = 0; i < n; i++) {
			int which = (int)(intptr_t)ev[i].data;

			/* nobody is in a batch twice */
			EXPECT_FALSE(now[which]);
			now[which] = true;
			if (!seen[which])
				missing--;
			seen[which] = true;
		}
	}
	for (int i = 0; i < QUEUES; i++)
		EXPECT_EQ(i < queues, seen[i]);
	for (int i = 0; i < FDS; i++)
		EXPECT_EQ(i < fds, seen[QUEUES + i]);
	return waits;
}

TEST_F(batch, everyone_gets_a_turn)
{
	static const int sizes[] = { 1, 2, 3, 7, 64, QUEUES + FDS };

	/* queues alone, then with descriptors that stay ready as well */
	for (int i = 0; i < QUEUES; i++)
		EXPECT_EQ(0, put(self->q[i], 1));
	EXPECT_LE(waits_until_all(self->ws, QUEUES, 0, 1), 2 * QUEUES);
	EXPECT_LE(waits_until_all(self->ws, QUEUES, 0, QUEUES + FDS), 2);
	for (int fds = 1; fds <= FDS; fds += 9) {
		for (int i = 0; i < fds; i++)
			make_ready(self->fd[i]);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			waits_until_all(self->ws, QUEUES, fds, sizes[i]);
	}
	for (int i = 0; i < QUEUES; i++)
		EXPECT_EQ(1, get(self->q[i]));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		waits_until_all(self->ws, 0, FDS, sizes[i]);
}

/* One that is always ready doesn't hide what becomes ready meanwhile. */
TEST_F(batch, a_busy_one_hides_nobody)
{
	struct kipc_waitset_event ev;
	uint64_t count;
	int waits;

	EXPECT_EQ(0, put(self->q[0], 1));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
	EXPECT_EQ(0, put(self->q[7], 1));
	for (waits = 1; waits < 100; waits++) {
		ASSERT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
		if (ev.id == self->id[7])
			break;
		EXPECT_EQ(self->id[0], ev.id);
	}
	EXPECT_LT(waits, 20);
	EXPECT_EQ(1, get(self->q[7]));
	make_ready(self->fd[3]);
	for (waits = 1; waits < 100; waits++) {
		ASSERT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
		if (ev.kind == KIPC_WAITSET_FD)
			break;
		EXPECT_EQ(self->id[0], ev.id);
	}
	EXPECT_LT(waits, 20);
	EXPECT_EQ(self->fd[3], ev.fd);
	EXPECT_EQ(sizeof(count), read(self->fd[3], &count, sizeof(count)));
	for (int i = 0; i < 20; i++)
		EXPECT_EQ(KIPC_READABLE, only(self->ws, self->id[0]));
}

/* Whoever is reported is removed at once, and so is its neighbour, and others come in. */
TEST_F(batch, removal_from_within_the_loop)
{
	struct kipc_queue *late = make_queue(2);
	struct kipc_waitset_event ev[8];
	int reported = 0, n;
	int64_t id;

	for (int i = 0; i < QUEUES; i++)
		EXPECT_EQ(0, put(self->q[i], 1));
	EXPECT_EQ(0, put(late, 2));
	while ((n = kipc_waitset_wait(self->ws, ev, 8, KIPC_NOWAIT)) > 0) {
		for (int i = 0; i < n; i++) {
			int which = (int)(intptr_t)ev[i].data, other = which ^ 1;

			if (!self->id[which])
				continue;	/* by its neighbour, in this batch */
			reported++;
			EXPECT_EQ(0, kipc_waitset_remove(self->ws, self->id[which]));
			EXPECT_EQ(0, kipc_waitset_remove(self->ws, self->id[other]));
			EXPECT_EQ(-ENOENT, kipc_waitset_modify(self->ws, self->id[which],
							       KIPC_READABLE));
			self->id[which] = self->id[other] = 0;
			/*
			 * the place is used again, and what was said of its last owner isn't said
			 * of it
			 */
			id = kipc_waitset_add_queue(self->ws, late, KIPC_READABLE, NULL);
			EXPECT_GT(id, 0);
			EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
		}
	}
	EXPECT_EQ(-EAGAIN, n);
	EXPECT_EQ(QUEUES / 2, reported);
	kipc_queue_close(late);
}

/* More events than the ring has room for, several times over: none is lost. */
TEST(a_small_ring)
{
	struct kipc_waitset_event ev[QUEUES];
	struct kipc_queue *q[QUEUES];
	struct kipc_waitset *ws;
	int n, got;

	__kipc_waitset_ring_size = (struct waitset_ring_size){ .sq = 2, .cq = 4 };
	ws = make_set(HOW_RING);
	for (int i = 0; i < QUEUES; i++) {
		q[i] = make_queue(4);
		ASSERT_GT(kipc_waitset_add_queue(ws, q[i], KIPC_READABLE, (void *)(intptr_t)i), 0);
	}
	for (int round = 0; round < 20; round++) {
		EXPECT_EQ(-EAGAIN, nothing(ws));
		for (int i = 0; i < QUEUES; i++)
			EXPECT_EQ(0, put(q[i], (uint64_t)i));
		for (got = 0; got < QUEUES; got += n) {
			n = kipc_waitset_wait(ws, ev, QUEUES, LONG_NS);
			if (!EXPECT_GT(n, 0))
				return;
			for (int i = 0; i < n; i++)
				EXPECT_EQ((intptr_t)ev[i].data, get(ev[i].queue));
		}
	}
	kipc_waitset_close(ws);
	for (int i = 0; i < QUEUES; i++)
		kipc_queue_close(q[i]);
}

TEST_F(batch, a_thousand_at_once)
{
	enum { N = 1000 };
	struct kipc_waitset_event ev[N];
	static int fds[N];
	bool seen[N] = { false };
	uint64_t count;
	int n, got = 0;

	need_fds(N + 500);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			if (!round) {
				fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
				ASSERT_GT(kipc_waitset_add_fd(self->ws, fds[i], KIPC_READABLE,
							      (void *)(intptr_t)i),
					  0);
			}
			make_ready(fds[i]);
		}
		for (got = 0; got < N; got += n) {
			n = kipc_waitset_wait(self->ws, ev, N, KIPC_NOWAIT);
			if (!EXPECT_GT(n, 0))
				return;
			for (int i = 0; i < n; i++) {
				int which = (int)(intptr_t)ev[i].data;

				EXPECT_EQ(round, seen[which]);
				seen[which] = !round;
				ASSERT_EQ(fds[which], ev[i].fd);
				EXPECT_EQ(sizeof(count),
					  read(ev[i].fd, &count, sizeof(count)));
			}
		}
	}
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
}

TEST_HARNESS_MAIN
