/* SPDX-License-Identifier: MIT */
/* What the tests of the queue share.  White-box: a test may look into the handle. */
#ifndef QUEUE_TEST_H
#define QUEUE_TEST_H

#include <dirent.h>
#include <sys/resource.h>

#include <kipc/queue.h>

#include "kselftest_harness.h"
#include "queue/queue.h"

#define MSEC NSEC_PER_MSEC

/* Long enough for anything that should happen at once; a test that waits so long has failed. */
#define LONG_NS (ksft_scale(10) * NSEC_PER_SEC)

#define __unused_fn __attribute__((unused))

static __unused_fn struct kipc_queue *make_queue(uint32_t capacity, uint64_t msg_size)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = msg_size);
	struct kipc_queue *q = NULL;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	return q;
}

static __unused_fn int put_u64(struct kipc_queue *q, uint64_t v, int64_t timeout_ns)
{
	return kipc_queue_put(q, &v, sizeof(v), timeout_ns);
}

/* The number, or a negative errno. */
static __unused_fn int64_t get_u64(struct kipc_queue *q, int64_t timeout_ns)
{
	uint64_t v = 0;
	ssize_t r = kipc_queue_get(q, &v, sizeof(v), timeout_ns);

	if (r < 0)
		return r;
	return r == sizeof(v) ? (int64_t)v : -EBADMSG;
}

static __unused_fn int64_t msg_u64(const struct kipc_msg *msg)
{
	uint64_t v;

	if (msg->len != sizeof(v))
		return -EBADMSG;
	memcpy(&v, msg->data, sizeof(v));
	return (int64_t)v;
}

static __unused_fn struct kipc_queue_stat stat_of(struct kipc_queue *q)
{
	struct kipc_queue_stat st = { .sz = sizeof(st) };

	ASSERT_EQ(0, kipc_queue_stat(q, &st));
	return st;
}

/* Puts first, first + 1, ... until it is full; how many went in. */
static __unused_fn int fill(struct kipc_queue *q, uint64_t first)
{
	int n = 0, r;

	while (!(r = put_u64(q, first + (uint64_t)n, KIPC_NOWAIT)))
		n++;
	EXPECT_EQ(-EAGAIN, r);
	return n;
}

/* Gets until it is empty, and expects first, first + 1, ...; how many came out. */
static __unused_fn int drain(struct kipc_queue *q, uint64_t first)
{
	int64_t v;
	int n = 0;

	while ((v = get_u64(q, KIPC_NOWAIT)) >= 0) {
		if (!EXPECT_EQ((int64_t)first + n, v))
			break;
		n++;
	}
	if (v < 0)
		EXPECT_EQ(-EAGAIN, v);
	return n;
}

/* Empty now, takes exactly its capacity, gives it back in order, and is empty again. */
static __unused_fn void check_works(struct kipc_queue *q)
{
	int capacity = (int)kipc_queue_capacity(q);

	EXPECT_EQ(0, kipc_queue_len(q));
	EXPECT_EQ(1, kipc_queue_empty(q));
	for (int round = 0; round < 2; round++) {
		EXPECT_EQ(capacity, fill(q, 1000));
		EXPECT_EQ(capacity, kipc_queue_len(q));
		EXPECT_EQ(1, kipc_queue_full(q));
		EXPECT_EQ(0, kipc_queue_empty(q));
		EXPECT_EQ(capacity, drain(q, 1000));
		EXPECT_EQ(0, kipc_queue_len(q));
		EXPECT_EQ(0, kipc_queue_full(q));
	}
}

/* As if `lap` laps had gone by.  Nobody else may use the queue meanwhile. */
static __unused_fn void preset(struct kipc_queue *q, uint64_t lap)
{
	for (uint32_t i = 0; i < q->capacity; i++)
		cell_at(q, i)->state = cell_state(lap & q->lap_mask, KIPC_CELL_FREE, 0);
	q->sh->tail = q->sh->head = lap << q->index_bits;
}

static __unused_fn uint64_t rings(struct kipc_queue *q, enum kipc_queue_bell bell)
{
	return load_relaxed(&q->sh->bells[bell].rings);
}

static __unused_fn unsigned int sleepers(struct kipc_queue *q, enum kipc_queue_bell bell)
{
	return load_relaxed(&q->sh->bells[bell].word) & KIPC_BELL_SLEEPERS;
}

/* Somebody has announced itself and sleeps in the kernel. */
static __unused_fn bool asleep_at(struct kipc_queue *q, enum kipc_queue_bell bell, pid_t tid)
{
	return ksft_wait_for(sleepers(q, bell) > 0 && ksft_asleep(tid), 10000);
}

static __unused_fn int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ASSERT_NE(NULL, dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The wait of this process sleeps in ppoll(2).  Before its first sleep. */
static __unused_fn void without_io_uring(void)
{
	ASSERT_EQ(0, setenv("KIPC_NO_IO_URING", "1", 1));
}

#endif
