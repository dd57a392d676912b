// SPDX-License-Identifier: MIT
/*
 * What a wait costs: over one pipe, and over that pipe among a thousand idle ones.  Shows the
 * figures (run it with -v); checks only that each wait reports what it should, since a busy machine
 * may take any time.
 */
#include <sched.h>

#include "waitset_test.h"

#define IDLE 1000
#define ROUNDS 201

/*
 * Descriptors of a pipe's two ends: a segment, its lock, a socket, four eventfds, a hang-up each.
 */
#define PIPE_FDS 16

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return v[n / 2];
}

struct one {
	struct kipc_waitset *ws;
	struct kipc_pipe *e[2];
	int64_t id;
};

/* Of n rounds trips through the set, ns each. */
static double measure(struct one *o, int n, bool echoed)
{
	int64_t start = ksft_now_ns();
	struct kipc_waitset_event ev[8];

	for (int i = 0; i < n; i++) {
		ASSERT_EQ(0, send_u64(o->e[1], (uint64_t)i));
		ASSERT_EQ(1, kipc_waitset_wait(o->ws, ev, 8, KIPC_FOREVER));
		ASSERT_EQ(o->id, ev[0].id);
		ASSERT_EQ(i, recv_u64(o->e[0]));
		if (echoed)
			ASSERT_EQ(-EAGAIN, recv_u64(o->e[0]));
	}
	return (double)(ksft_now_ns() - start) / n;
}

/* The other side: sends back what it gets, so that who waits has to sleep. */
static int echo(void *arg)
{
	struct kipc_pipe *p = arg;
	uint64_t v;
	ssize_t r;

	while ((r = kipc_pipe_recv(p, &v, sizeof(v), KIPC_FOREVER)) == sizeof(v))
		kipc_pipe_send(p, &v, sizeof(v), KIPC_FOREVER);
	return r == -EPIPE ? 0 : 1;
}

static double measure_asleep(struct one *o, int n)
{
	int64_t start = ksft_now_ns();
	struct kipc_waitset_event ev[8];

	for (int i = 0; i < n; i++) {
		ASSERT_EQ(0, send_u64(o->e[0], (uint64_t)i));
		ASSERT_EQ(1, kipc_waitset_wait(o->ws, ev, 8, KIPC_FOREVER));
		ASSERT_EQ(o->id, ev[0].id);
		ASSERT_EQ(i, recv_u64(o->e[0]));
		ASSERT_EQ(-EAGAIN, recv_u64(o->e[0]));
	}
	return (double)(ksft_now_ns() - start) / n;
}

FIXTURE(cost)
{
	struct one alone, among;
	struct kipc_pipe *idle[IDLE][2];
};

RING_AND_EPOLL(cost);

static void make_one(struct one *o, enum waitset_how how)
{
	KIPC_OPTS(kipc_waitset_opts, opts, .flags = how == HOW_EPOLL ? KIPC_WAITSET_EPOLL : 0);

	/* not by the environment: who echoes shall sleep the same way in both */
	ASSERT_EQ(0, kipc_waitset_create(&opts, &o->ws));
	make_pipe(o->e);
	o->id = kipc_waitset_add_pipe(o->ws, o->e[0], KIPC_READABLE, NULL);
	ASSERT_GT(o->id, 0);
}

FIXTURE_SETUP(cost)
{
	need_fds((IDLE + 2) * PIPE_FDS + 100);
	make_one(&self->alone, variant->how);
	make_one(&self->among, variant->how);
	for (int i = 0; i < IDLE; i++) {
		make_pipe(self->idle[i]);
		ASSERT_GT(kipc_waitset_add_pipe(self->among.ws, self->idle[i][0], KIPC_READABLE,
						NULL),
			  0);
	}
}

FIXTURE_TEARDOWN(cost)
{
	kipc_waitset_close(self->alone.ws);
	kipc_waitset_close(self->among.ws);
}

static void show(const char *what, double *alone, double *among)
{
	double a = median(alone, ROUNDS), b = median(among, ROUNDS);

	ksft_log("%s: %.0f ns over one pipe, %.0f ns among %d idle ones: %.3f times", what, a, b,
		 IDLE, b / a);
}

/* Each round measures both, one after the other, so that what disturbs one disturbs the other. */
TEST_F(cost, busy)
{
	int n = ksft_slow() ? 2 : 150;
	double alone[ROUNDS], among[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		alone[i] = measure(&self->alone, n, false);
		among[i] = measure(&self->among, n, false);
	}
	show("always something to receive", alone, among);
	for (int i = 0; i < ROUNDS; i++) {
		alone[i] = measure(&self->alone, n, true);
		among[i] = measure(&self->among, n, true);
	}
	show("until -EAGAIN each time", alone, among);
}

TEST_F(cost, asleep)
{
	int n = ksft_slow() ? 1 : 20;
	double alone[ROUNDS], among[ROUNDS];
	struct ksft_thread t[2];
	cpu_set_t one_cpu;

	/* on one CPU: who else runs on which other one would be most of the figure */
	CPU_ZERO(&one_cpu);
	CPU_SET((size_t)sched_getcpu(), &one_cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one_cpu), &one_cpu));
	ksft_thread_start(&t[0], echo, self->alone.e[1]);
	ksft_thread_start(&t[1], echo, self->among.e[1]);
	for (int i = 0; i < ROUNDS; i++) {
		alone[i] = measure_asleep(&self->alone, n);
		among[i] = measure_asleep(&self->among, n);
	}
	show("asleep until an echo comes", alone, among);
	EXPECT_EQ(0, kipc_pipe_shutdown(self->alone.e[0]));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->among.e[0]));
	ksft_thread_join(&t[0]);
	ksft_thread_join(&t[1]);
}

TEST_HARNESS_MAIN
