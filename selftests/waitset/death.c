// SPDX-License-Identifier: MIT
/* What the dead leave behind in members, and how the set comes upon it. */
#include "queue/queue.h"
#include "waitset_test.h"

#define MANY 300

FIXTURE(death)
{
	struct kipc_waitset *ws;
	struct kipc_queue *q;
	int64_t id;
	uint32_t *ready;	/* the peer has got as far as it shall */
};

RING_AND_EPOLL(death);

FIXTURE_SETUP(death)
{
	self->ws = make_set(variant->how);
	self->q = make_queue(4);
	self->id = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);
	ASSERT_GT(self->id, 0);
	self->ready = ksft_shared(sizeof(*self->ready));
}

FIXTURE_TEARDOWN(death)
{
	kipc_waitset_close(self->ws);
	kipc_queue_close(self->q);
}

typedef struct __ksft_self_of_death self_t;

static int say_so_and_hang(self_t *self)
{
	store_release(self->ready, 1);
	pause();
	return 0;
}

static pid_t peer(self_t *self, ksft_fn fn)
{
	pid_t pid = ksft_fork(fn, self);

	EXPECT_TRUE(ksft_wait_for(load_acquire(self->ready), 10000));
	return pid;
}

static struct kipc_pipe *ends[2];

static int hold_an_end(void *arg)
{
	kipc_pipe_close(ends[0]);
	return say_so_and_hang(arg);
}

TEST_F(death, a_killed_peer_hangs_up)
{
	struct kipc_waitset_event ev;
	int64_t id;
	pid_t pid;

	make_pipe(ends);
	id = kipc_waitset_add_pipe(self->ws, ends[0], KIPC_READABLE, NULL);
	pid = peer(self, hold_an_end);
	EXPECT_EQ(0, send_u64(ends[1], 1));
	kipc_pipe_close(ends[1]);
	EXPECT_EQ(KIPC_READABLE, only(self->ws, id));
	EXPECT_EQ(1, recv_u64(ends[0]));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	without_rounds(self->ws);	/* the kernel says so, at once */
	ksft_kill(pid);
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(id, ev.id);
	EXPECT_EQ(KIPC_READABLE | KIPC_WAITSET_HANGUP, ev.events);
	EXPECT_EQ(-EPIPE, recv_u64(ends[0]));
	kipc_waitset_remove(self->ws, id);
	kipc_pipe_close(ends[0]);
}

static int reserve_and_hang(void *arg)
{
	struct kipc_msg msg;
	self_t *self = arg;

	EXPECT_EQ(0, kipc_queue_reserve(self->q, 8, &msg, KIPC_NOWAIT));
	return say_so_and_hang(self);
}

TEST_F(death, a_producer_in_front)
{
	struct kipc_waitset_event ev;
	pid_t pid = peer(self, reserve_and_hang);

	EXPECT_EQ(0, put(self->q, 1));
	/* it lives, so the message behind it has to wait */
	EXPECT_EQ(-ETIMEDOUT, kipc_waitset_wait(self->ws, &ev, 1, 150 * MS));
	ksft_kill(pid);
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(self->id, ev.id);
	EXPECT_EQ(1, get(self->q));
}

static int take_and_hang(void *arg)
{
	struct kipc_msg msg;
	self_t *self = arg;

	EXPECT_EQ(0, kipc_queue_take(self->q, &msg, KIPC_NOWAIT));
	return say_so_and_hang(self);
}

TEST_F(death, a_consumer_with_a_message)
{
	struct kipc_waitset_event ev;
	pid_t pid;

	EXPECT_EQ(0, put(self->q, 1));
	pid = peer(self, take_and_hang);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	ksft_kill(pid);
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(self->id, ev.id);
	EXPECT_EQ(1, get(self->q));
}

static struct kipc_queue *many[MANY];

static int take_all_and_hang(void *arg)
{
	struct kipc_msg msg;

	for (int i = 0; i < MANY; i++)
		EXPECT_EQ(0, kipc_queue_take(many[i], &msg, KIPC_NOWAIT));
	return say_so_and_hang(arg);
}

/* One died with messages of many members: all come back in time (design.md, rule 7). */
TEST_F(death, a_consumer_of_many)
{
	struct kipc_waitset_event ev[16];
	int64_t killed;
	int got = 0, n;
	pid_t pid;

	need_fds(MANY * 8);
	for (int i = 0; i < MANY; i++) {
		many[i] = make_queue(1);
		EXPECT_EQ(0, put(many[i], (uint64_t)i));
	}
	pid = peer(self, take_all_and_hang);
	for (int i = 0; i < MANY; i++)
		ASSERT_GT(kipc_waitset_add_queue(self->ws, many[i], KIPC_READABLE,
						 (void *)(intptr_t)i),
			  0);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	ksft_kill(pid);
	killed = ksft_now_ns();
	while (got < MANY) {
		n = kipc_waitset_wait(self->ws, ev, 16, LONG_NS);
		if (!EXPECT_GT(n, 0))
			break;
		for (int i = 0; i < n; i++) {
			EXPECT_EQ((intptr_t)ev[i].data, get(ev[i].queue));
			EXPECT_EQ(-EAGAIN, get(ev[i].queue));
			got++;
		}
	}
	EXPECT_EQ(MANY, got);
	EXPECT_LE(ksft_now_ns() - killed, ksft_scale(150) * MS);
	kipc_waitset_close(self->ws);
	self->ws = NULL;
	for (int i = 0; i < MANY; i++)
		kipc_queue_close(many[i]);
}

/* Published by one that died before it rang: here the doorbell believes that it was rung. */
TEST_F(death, published_but_not_rung)
{
	uint64_t *word = &self->q->bells[KIPC_QUEUE_BELL_READABLE].line->word;
	struct kipc_waitset_event ev;

	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	fetch_or(word, KIPC_BELL_SIGNALLED);
	EXPECT_EQ(0, put(self->q, 1));
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(self->id, ev.id);
	EXPECT_EQ(1, get(self->q));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	without_rounds(self->ws);
	EXPECT_EQ(0, put(self->q, 2));
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
}

static int drain_and_hang(void *arg)
{
	self_t *self = arg;

	EXPECT_EQ(-EAGAIN, get(self->q));	/* takes a slot */
	fetch_or(&self->q->bells[KIPC_QUEUE_BELL_READABLE].line->word,
		 (uint64_t)self->q->obj.seg.slot << KIPC_BELL_DRAINER_SHIFT);
	return say_so_and_hang(self);
}

/* Somebody stopped while it drained: the set goes on looking, every 10 ms; then it died. */
TEST_F(death, while_it_drained)
{
	struct kipc_waitset_event ev;
	pid_t pid = peer(self, drain_and_hang);

	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, put(self->q, 1));
		EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
		EXPECT_EQ(1, get(self->q));
		EXPECT_EQ(-ETIMEDOUT, kipc_waitset_wait(self->ws, &ev, 1, 25 * MS));
	}
	EXPECT_NE(0, __kipc_bell_drainer(&self->q->bells[KIPC_QUEUE_BELL_READABLE]));
	ksft_kill(pid);
	/* it may have had a message: that it hadn't, who asks knows */
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(-EAGAIN, get(self->q));
	EXPECT_EQ(0, __kipc_bell_drainer(&self->q->bells[KIPC_QUEUE_BELL_READABLE]));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, put(self->q, 1));
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
}

TEST_HARNESS_MAIN
