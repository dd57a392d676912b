// SPDX-License-Identifier: MIT
/* Fork: before the first use, in the middle of it, and who owns what afterwards. */
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "queue_test.h"

static int put_seven(void *arg)
{
	return put_u64(arg, 7, KIPC_NOWAIT);
}

/* A child is a process of its own: with its own slot, for as long as it lives. */
TEST(own_slot)
{
	struct kipc_queue *q = make_queue(4, 8);
	uint32_t slot = q->obj.seg.slot;

	for (int i = 0; i < 20; i++) {
		ksft_join(ksft_fork(put_seven, q));
		EXPECT_EQ(7, get_u64(q, KIPC_NOWAIT));
	}
	EXPECT_EQ(slot, q->obj.seg.slot);
	/* twenty died without a farewell; the last one may still be in the book */
	__kipc_peer_sweep(&q->obj.seg, 0);
	EXPECT_EQ(1, stat_of(q).peers);
	check_works(q);
	kipc_queue_close(q);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int close_only(void *arg)
{
	kipc_queue_close(arg);
	return 0;
}

/* A child that only closes, or doesn't even, takes nothing of the parent's along. */
TEST(child_that_does_nothing)
{
	struct kipc_queue *q = make_queue(2, 8);
	struct kipc_msg a, b;

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_reserve(q, 8, &b, KIPC_NOWAIT));
	ksft_join(ksft_fork(nothing, q));
	ksft_join(ksft_fork(close_only, q));
	EXPECT_EQ(0, __kipc_peer_sweep(&q->obj.seg, 0));
	EXPECT_EQ(0, kipc_queue_done(q, &a));
	EXPECT_EQ(0, kipc_queue_abort(q, &b));
	EXPECT_EQ(0, stat_of(q).redelivered);
	check_works(q);
	kipc_queue_close(q);
}

static int use_and_close(void *arg)
{
	struct kipc_msg a, b;

	if (put_u64(arg, 1, KIPC_NOWAIT) || kipc_queue_take(arg, &a, KIPC_NOWAIT) ||
	    kipc_queue_reserve(arg, 8, &b, KIPC_NOWAIT))
		return 1;
	kipc_queue_close(arg);
	return 0;
}

/* What a child held when it closed its handle is given back, the parent's handle lives on. */
TEST(child_closes_with_claims)
{
	struct kipc_queue *q = make_queue(2, 8);
	uint64_t v;

	ksft_join(ksft_fork(use_and_close, q));
	EXPECT_EQ(1, kipc_queue_len(q));
	EXPECT_EQ(1, stat_of(q).peers);
	EXPECT_EQ(8, kipc_queue_get(q, &v, 8, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(q).redelivered);
	EXPECT_EQ(1, stat_of(q).skipped);
	check_works(q);
	kipc_queue_close(q);
}

/* The same in one process: closing gives back, other handles go on. */
static struct kipc_queue *second_handle(struct kipc_queue *q)
{
	struct kipc_transfer t = { .nfds = 3 };
	struct kipc_object *obj = NULL;

	ASSERT_EQ(0, q->obj.ops->export(&q->obj, &t));
	for (int i = 0; i < 3; i++)
		t.fds[i] = dup(t.fds[i]);
	ASSERT_EQ(0, q->obj.ops->import(&t, &obj));
	return container_of(obj, struct kipc_queue, obj);
}

TEST(close_with_claims)
{
	struct kipc_queue *q = make_queue(4, 8), *other = second_handle(q);
	struct kipc_msg a, b, c, d;
	struct ksft_thread t;

	EXPECT_EQ(2, stat_of(q).peers);
	EXPECT_EQ(0, put_u64(other, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(other, &a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(other, &b, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_reserve(other, 8, &c, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_reserve(other, 8, &d, KIPC_NOWAIT));
	/* two handles are two peers, even in one process */
	EXPECT_EQ(-EINVAL, kipc_queue_done(q, &a));
	/* somebody waits for room; closing makes some */
	ksft_thread_start(&t, put_seven, q);
	ASSERT_EQ(0, pthread_join(t.pthread, NULL));
	EXPECT_EQ(-EAGAIN, t.result);
	kipc_queue_close(other);
	EXPECT_EQ(1, stat_of(q).peers);
	EXPECT_EQ(2, kipc_queue_len(q));
	EXPECT_EQ(1, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(2, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(2, stat_of(q).redelivered);
	EXPECT_EQ(2, stat_of(q).skipped);
	check_works(q);
	kipc_queue_close(q);
}

static int put_blocked(void *arg)
{
	return put_u64(arg, 7, LONG_NS);
}

/* A blocked peer notices at once what a closing handle gives back. */
TEST(close_wakes)
{
	struct kipc_queue *q = make_queue(1, 8), *other = second_handle(q);
	struct kipc_msg msg;
	uint64_t before;
	struct ksft_thread t;

	EXPECT_EQ(0, kipc_queue_reserve(other, 8, &msg, KIPC_NOWAIT));
	ksft_thread_start(&t, put_blocked, q);
	ASSERT_TRUE(asleep_at(q, KIPC_QUEUE_BELL_WRITABLE, t.tid));
	before = rings(q, KIPC_QUEUE_BELL_WRITABLE);
	kipc_queue_close(other);
	EXPECT_GT(rings(q, KIPC_QUEUE_BELL_WRITABLE), before);
	ksft_thread_join(&t);
	EXPECT_EQ(7, get_u64(q, KIPC_NOWAIT));
	kipc_queue_close(q);
}

/* The parent goes first; child and grandchild go on, and the parent's claims come to them. */
static int grandchild(void *arg)
{
	struct kipc_queue *q = arg;
	struct kipc_msg msg;
	uint64_t v = 3;

	/* the parent is gone with what it had taken: it comes again */
	if (kipc_queue_take(q, &msg, LONG_NS) || msg_u64(&msg) != 1 ||
	    msg.flags != KIPC_MSG_REDELIVERED || kipc_queue_done(q, &msg))
		return 1;
	if (kipc_queue_put(q, &v, 8, LONG_NS))
		return 3;
	return 0;
}

static int parent(void *arg)
{
	struct kipc_queue *q = arg;
	struct kipc_msg msg;
	pid_t pid;

	if (kipc_queue_take(q, &msg, KIPC_NOWAIT))
		return 1;
	pid = fork();
	if (pid == 0)
		ksft_child_exit(grandchild(q));
	return pid > 0 ? 0 : 2;
}

TEST(parent_goes_first)
{
	struct kipc_queue *q = make_queue(4, 8);

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	ksft_join(ksft_fork(parent, q));
	/* the grandchild, an orphan, answers when it is through */
	ASSERT_TRUE(ksft_wait_for(stat_of(q).put == 2, 10000));
	EXPECT_EQ(3, get_u64(q, LONG_NS));
	kipc_queue_close(q);
}

/* An idle child keeps nothing of its parent alive: the parent's death is seen beside it. */
static int parent_with_idle_child(void *arg)
{
	struct kipc_queue *q = ((struct kipc_queue **)arg)[0];
	pid_t *idle = ((pid_t **)arg)[1], pid;
	struct kipc_msg msg;

	if (kipc_queue_take(q, &msg, KIPC_NOWAIT))
		return 1;
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	*idle = pid;
	kill(getpid(), SIGKILL);
	return 2;
}

TEST(idle_child_of_a_dead_parent)
{
	pid_t *idle = ksft_shared(sizeof(*idle));
	struct kipc_queue *q = make_queue(4, 8);
	void *arg[2] = { q, idle };

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	ksft_wait(ksft_fork(parent_with_idle_child, arg));
	EXPECT_EQ(1, get_u64(q, LONG_NS));
	EXPECT_EQ(1, stat_of(q).redelivered);
	ASSERT_GT(*idle, 0);
	kill(*idle, SIGKILL);
	kipc_queue_close(q);
}

/* A clone(2) that runs no fork handlers. */
TEST(bare_clone)
{
	struct kipc_queue *q = make_queue(4, 8);
	struct kipc_msg msg;
	pid_t pid;

	ksft_needs_processes();
	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		int r = put_u64(q, 2, KIPC_NOWAIT);

		if (!r)
			r = kipc_queue_done(q, &msg) == -EINVAL ? 0 : 1;
		_exit(r ? 1 : 0);
	}
	ASSERT_GT(pid, 0);
	ksft_join(pid);
	EXPECT_EQ(0, kipc_queue_done(q, &msg));
	EXPECT_EQ(2, get_u64(q, KIPC_NOWAIT));
	check_works(q);
	kipc_queue_close(q);
}

/* exec(2) is the end of a peer, although the process lives on. */
static int take_and_exec(void *arg)
{
	struct kipc_msg msg;

	if (kipc_queue_take(arg, &msg, KIPC_NOWAIT))
		return 1;
	execlp("sleep", "sleep", "1000", (char *)NULL);
	return 2;
}

TEST(exec)
{
	struct kipc_queue *q = make_queue(4, 8);
	struct kipc_msg msg;
	pid_t pid;

	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	pid = ksft_fork(take_and_exec, q);
	ASSERT_EQ(0, kipc_queue_take(q, &msg, LONG_NS));
	/* before it took it, or after it was gone */
	if (msg.flags != KIPC_MSG_REDELIVERED) {
		EXPECT_EQ(0, kipc_queue_requeue(q, &msg));
		ASSERT_TRUE(ksft_wait_for(kipc_queue_empty(q) == 1, 10000));
		ASSERT_EQ(0, kipc_queue_take(q, &msg, LONG_NS));
	}
	EXPECT_EQ(KIPC_MSG_REDELIVERED, msg.flags);
	EXPECT_EQ(0, kill(pid, 0));
	ksft_kill(pid);
	kipc_queue_close(q);
}

static int put_users(void *arg)
{
	return put_u64(arg, 1, KIPC_NOWAIT) == -EUSERS ? 0 : 1;
}

struct gate {
	struct kipc_queue *q;
	uint32_t in, out;
};

static int attach_and_wait(void *arg)
{
	struct gate *g = arg;

	if (put_u64(g->q, 1, KIPC_NOWAIT))
		return 1;
	store_release(&g->in, 1);
	return ksft_wait_for(load_acquire(&g->out), 10000) ? 0 : 2;
}

/* More processes than max_peers: told so, until one of them is gone, in whatever way. */
TEST(too_many_peers)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 8, .msg_size = 8, .max_peers = 2);
	struct gate *g = ksft_shared(sizeof(*g));
	pid_t pid;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &g->q));
	for (int i = 0; i < 2; i++) {
		g->in = g->out = 0;
		pid = ksft_fork(attach_and_wait, g);
		ASSERT_TRUE(ksft_wait_for(load_acquire(&g->in), 10000));
		EXPECT_EQ(2, stat_of(g->q).peers);
		ksft_join(ksft_fork(put_users, g->q));
		if (i) {
			ksft_kill(pid);
		} else {
			store_release(&g->out, 1);
			ksft_join(pid);
		}
		ksft_join(ksft_fork(put_seven, g->q));
		EXPECT_EQ(1, get_u64(g->q, KIPC_NOWAIT));
		EXPECT_EQ(7, get_u64(g->q, KIPC_NOWAIT));
	}
	kipc_queue_close(g->q);
}

/* Fork in the middle of use: while other threads are inside the library. */
struct busy {
	struct kipc_queue *q;
	uint64_t put, got, sum_in, sum_out;
	uint32_t stop;
};

static int put_busily(void *arg)
{
	struct busy *b = arg;

	for (uint64_t v = 1; !load_relaxed(&b->stop); v++) {
		int r = put_u64(b->q, v, LONG_NS);

		if (r)
			return r;
		fetch_add(&b->put, 1);
		fetch_add(&b->sum_in, v);
	}
	return 0;
}

static int get_busily(void *arg)
{
	struct busy *b = arg;
	int64_t v;

	while ((v = get_u64(b->q, LONG_NS)) >= 0) {
		fetch_add(&b->got, 1);
		fetch_add(&b->sum_out, (uint64_t)v);
	}
	return v == -EPIPE ? 0 : (int)v;
}

static int join_in(void *arg)
{
	struct busy *b = arg;

	for (uint64_t v = 1; v <= 20; v++) {
		int64_t r = put_u64(b->q, v, LONG_NS);

		if (r)
			return (int)r;
		fetch_add(&b->put, 1);
		fetch_add(&b->sum_in, v);
		r = get_u64(b->q, LONG_NS);
		if (r < 0)
			return (int)r;
		fetch_add(&b->got, 1);
		fetch_add(&b->sum_out, (uint64_t)r);
	}
	return 0;
}

TEST(in_the_middle_of_use)
{
	struct busy *b = ksft_shared(sizeof(*b));
	struct ksft_thread put[2], get[2];

	ksft_needs_processes();
	b->q = make_queue(5, 8);
	for (int i = 0; i < 2; i++) {
		ksft_thread_start(&put[i], put_busily, b);
		ksft_thread_start(&get[i], get_busily, b);
	}
	for (int i = 0; i < 30; i++) {
		pid_t pid[2];

		for (int k = 0; k < 2; k++)
			pid[k] = ksft_fork(join_in, b);
		for (int k = 0; k < 2; k++)
			ksft_join(pid[k]);
	}
	store_relaxed(&b->stop, 1);
	for (int i = 0; i < 2; i++)
		ksft_thread_join(&put[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(b->q));
	for (int i = 0; i < 2; i++)
		ksft_thread_join(&get[i]);
	EXPECT_EQ(b->put, b->got);
	EXPECT_EQ(b->sum_in, b->sum_out);
	EXPECT_EQ(0, stat_of(b->q).redelivered);
	kipc_queue_close(b->q);
}

TEST_HARNESS_MAIN
