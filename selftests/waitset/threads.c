// SPDX-License-Identifier: MIT
/*
 * One thread waits; others add, change and remove, put and send.  And the wait goes from thread to
 * thread.
 */
#include <signal.h>

#include "waitset_test.h"

FIXTURE(threads)
{
	struct kipc_waitset *ws;
	struct kipc_queue *q;
	struct ksft_thread t;
	struct kipc_waitset_event ev;
	int result;
};

RING_AND_EPOLL(threads);

FIXTURE_SETUP(threads)
{
	self->ws = make_set(variant->how);
	self->q = make_queue(4);
}

FIXTURE_TEARDOWN(threads)
{
	kipc_waitset_close(self->ws);
	kipc_queue_close(self->q);
}

typedef struct __ksft_self_of_threads self_t;

static int wait_long(void *arg)
{
	self_t *self = arg;

	self->result = kipc_waitset_wait(self->ws, &self->ev, 1, LONG_NS);
	return 0;
}

/* A thread that waits, and is asleep in the kernel. */
static void start_waiter(self_t *self)
{
	ksft_thread_start(&self->t, wait_long, self);
	EXPECT_TRUE(ksft_wait_for(asleep(self->ws) && ksft_asleep(self->t.tid), 10000));
}

static void expect_woken(self_t *self, int64_t id, uint32_t events)
{
	ksft_thread_join(&self->t);
	EXPECT_EQ(1, self->result);
	EXPECT_EQ(id, self->ev.id);
	EXPECT_EQ(events, self->ev.events);
}

TEST_F(threads, woken_by_a_put)
{
	int64_t id = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);

	for (int i = 0; i < 3; i++) {
		start_waiter(self);
		EXPECT_EQ(0, put(self->q, 1));
		expect_woken(self, id, KIPC_READABLE);
		EXPECT_EQ(1, get(self->q));
	}
}

TEST_F(threads, adding_while_one_waits)
{
	struct kipc_queue *other = make_queue(4);
	int64_t id;
	int fd[2];

	/* ready when it is added */
	start_waiter(self);
	id = kipc_waitset_add_queue(self->ws, self->q, KIPC_WRITABLE, NULL);
	expect_woken(self, id, KIPC_WRITABLE);
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));

	/* ready afterwards */
	start_waiter(self);
	id = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);
	EXPECT_TRUE(ksft_wait_for(ksft_asleep(self->t.tid), 10000));
	EXPECT_EQ(0, put(self->q, 1));
	expect_woken(self, id, KIPC_READABLE);
	EXPECT_EQ(1, get(self->q));

	/* a descriptor, and a timer */
	ASSERT_EQ(0, pipe(fd));
	start_waiter(self);
	id = kipc_waitset_add_fd(self->ws, fd[1], KIPC_WRITABLE, NULL);
	expect_woken(self, id, KIPC_WRITABLE);
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	start_waiter(self);
	id = kipc_waitset_add_timer(self->ws, 1, 0, NULL);
	expect_woken(self, id, KIPC_READABLE);
	kipc_queue_close(other);
}

TEST_F(threads, changing_while_one_waits)
{
	int64_t id = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL), t;

	start_waiter(self);
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, id, KIPC_READABLE | KIPC_WRITABLE));
	expect_woken(self, id, KIPC_WRITABLE);
	EXPECT_EQ(0, kipc_waitset_modify(self->ws, id, KIPC_READABLE));
	t = kipc_waitset_add_timer(self->ws, KIPC_FOREVER, 0, NULL);
	start_waiter(self);
	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, t, 0, 0));
	expect_woken(self, t, KIPC_READABLE);
}

/* The removed one may be closed at once, whatever is done to it then: it is nobody's any more. */
TEST_F(threads, removing_while_one_waits)
{
	struct kipc_waitset_event ev;
	int64_t id, stays;
	struct kipc_queue *q;
	struct kipc_pipe *e[2];

	stays = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);
	q = make_queue(2);
	id = kipc_waitset_add_queue(self->ws, q, KIPC_READABLE, NULL);
	start_waiter(self);
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	EXPECT_EQ(0, put(q, 1));
	kipc_queue_close(q);
	make_pipe(e);
	id = kipc_waitset_add_pipe(self->ws, e[0], KIPC_READABLE, NULL);
	EXPECT_TRUE(ksft_wait_for(ksft_asleep(self->t.tid), 10000));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, id));
	kipc_pipe_close(e[0]);
	EXPECT_EQ(-EPIPE, recv_u64(e[1]));
	kipc_pipe_close(e[1]);
	EXPECT_TRUE(ksft_wait_for(asleep(self->ws), 10000));
	EXPECT_EQ(0, put(self->q, 1));
	expect_woken(self, stays, KIPC_READABLE);
	EXPECT_EQ(1, get(self->q));
	EXPECT_EQ(-EAGAIN, kipc_waitset_wait(self->ws, &ev, 1, KIPC_NOWAIT));
}

TEST_F(threads, only_one_waits)
{
	struct kipc_waitset_event ev;
	int64_t id = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);

	start_waiter(self);
	EXPECT_EQ(-EBUSY, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
	EXPECT_EQ(-EBUSY, kipc_waitset_wait(self->ws, &ev, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put(self->q, 1));
	expect_woken(self, id, KIPC_READABLE);
	EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_NOWAIT));
}

/* Each thread that comes to wait, and each that ends, leaves the set as it was. */
TEST_F(threads, from_thread_to_thread)
{
	int64_t id = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);
	struct kipc_waitset_event ev;

	for (int i = 0; i < 6; i++) {
		start_waiter(self);
		EXPECT_TRUE(ksft_wait_for(asleep_how(self->ws, variant->how), 10000));
		EXPECT_EQ(0, put(self->q, 1));
		expect_woken(self, id, KIPC_READABLE);
		if (i % 2) {
			EXPECT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, KIPC_FOREVER));
			EXPECT_EQ(1, get(self->q));
			EXPECT_EQ(-EAGAIN, kipc_waitset_wait(self->ws, &ev, 1, KIPC_NOWAIT));
		} else {
			EXPECT_EQ(1, get(self->q));
		}
	}
}

/* Signals don't end a wait. */
static void ignore(int sig)
{
	(void)sig;
}

TEST_F(threads, signals_in_between)
{
	int64_t id = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);
	struct sigaction sa = { .sa_handler = ignore };

	ASSERT_EQ(0, sigaction(SIGUSR2, &sa, NULL));
	start_waiter(self);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, pthread_kill(self->t.pthread, SIGUSR2));
		EXPECT_TRUE(ksft_wait_for(ksft_asleep(self->t.tid), 10000));
	}
	EXPECT_EQ(0, put(self->q, 1));
	expect_woken(self, id, KIPC_READABLE);
}

/*
 * Producers put as fast and as seldom as chance has it, while members come and go: whatever was put
 * is got by somebody who only ever gets what was reported, and waits without a limit.
 */
struct stress {
	struct kipc_queue *q[3];
	struct kipc_pipe *e[3][2];
	struct kipc_waitset *ws;
	uint64_t n;
	bool stop;
};

struct producer {
	struct stress *s;
	struct ksft_thread t;
	int i;
};

/* Now and then it lets the other side run out of work, and fall asleep. */
static void pause_at(struct stress *s, uint64_t v, unsigned int *seed)
{
	if (rand_r(seed) % 16 == 0)
		for (int i = rand_r(seed) % 4; i >= 0; i--)
			sched_yield();
	if (v % 256 == 0)
		ksft_wait_for(asleep(s->ws), 10);
}

static int produce(void *arg)
{
	struct producer *p = arg;
	unsigned int seed = (unsigned int)p->i;
	uint64_t v;
	int r = 0;

	for (v = 1; v <= p->s->n && !r; v++) {
		r = kipc_queue_put(p->s->q[p->i], &v, sizeof(v), LONG_NS);
		if (!r)
			r = kipc_pipe_send(p->s->e[p->i][1], &v, sizeof(v), LONG_NS);
		pause_at(p->s, v, &seed);
	}
	return r;
}

/* Adds and removes another member all the time, and says so when the set ought to wake up. */
static int come_and_go(void *arg)
{
	struct stress *s = arg;
	struct kipc_queue *q = make_queue(4);
	int64_t id;

	while (!load_relaxed(&s->stop)) {
		id = kipc_waitset_add_queue(s->ws, q, KIPC_READABLE, NULL);
		if (!EXPECT_GT(id, 0))
			break;
		sched_yield();
		if (!EXPECT_EQ(0, kipc_waitset_modify(s->ws, id, KIPC_READABLE)))
			break;
		if (!EXPECT_EQ(0, kipc_waitset_remove(s->ws, id)))
			break;
	}
	kipc_queue_close(q);
	return 0;
}

TEST_F(threads, no_wake_up_is_lost)
{
	struct stress s = { .ws = self->ws, .n = ksft_slow() ? 600 : 5000 };
	struct kipc_waitset_event ev[4];
	struct producer p[3];
	struct ksft_thread changer;
	uint64_t last[6] = { 0 }, left;
	int n;

	for (int i = 0; i < 3; i++) {
		s.q[i] = make_queue(8);
		make_pipe(s.e[i]);
		EXPECT_GT(kipc_waitset_add_queue(s.ws, s.q[i], KIPC_READABLE, &last[i]), 0);
		EXPECT_GT(kipc_waitset_add_pipe(s.ws, s.e[i][0], KIPC_READABLE, &last[3 + i]), 0);
	}
	without_rounds(s.ws);
	ksft_thread_start(&changer, come_and_go, &s);
	for (int i = 0; i < 3; i++) {
		p[i] = (struct producer){ .s = &s, .i = i };
		ksft_thread_start(&p[i].t, produce, &p[i]);
	}
	for (left = 6 * s.n; left;) {
		n = kipc_waitset_wait(s.ws, ev, 4, LONG_NS);
		if (!EXPECT_GT(n, 0))
			break;
		for (int i = 0; i < n; i++) {
			uint64_t *seen = ev[i].data;
			int64_t v;

			/* one, or all: both must do */
			do {
				v = ev[i].kind == KIPC_WAITSET_QUEUE ? get(ev[i].queue) :
								       recv_u64(ev[i].pipe);
				if (v == -EAGAIN)
					break;
				ASSERT_EQ(*seen + 1, v);
				*seen = (uint64_t)v;
				left--;
			} while (*seen % 3);
		}
	}
	store_relaxed(&s.stop, true);
	ksft_thread_join(&changer);
	for (int i = 0; i < 3; i++)
		ksft_thread_join(&p[i].t);
	EXPECT_EQ(-EAGAIN, nothing(s.ws));
	kipc_waitset_close(self->ws);
	self->ws = NULL;
	for (int i = 0; i < 3; i++) {
		kipc_queue_close(s.q[i]);
		kipc_pipe_close(s.e[i][0]);
		kipc_pipe_close(s.e[i][1]);
	}
}

TEST_HARNESS_MAIN
