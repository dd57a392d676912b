// SPDX-License-Identifier: MIT
/*
 * The other end is gone: closed or killed, with and without data left, while we run, sleep, or are in
 * the middle of a stream.
 */
#include <sys/resource.h>

#include "pipe_test.h"

FIXTURE(hup)
{
	struct kipc_pipe *e[2];
};

FIXTURE_VARIANT(hup)
{
	uint32_t flags;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(hup, uring){ .ppoll = false };
FIXTURE_VARIANT_ADD(hup, ppoll){ .ppoll = true };
FIXTURE_VARIANT_ADD(hup, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(hup)
{
	pipe_use_ppoll(variant->ppoll);
	pipe_make(self->e, RING, variant->flags);
}

FIXTURE_TEARDOWN(hup)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

static void gone(struct kipc_pipe *p)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };
	struct kipc_pipe_msg msg;
	struct iovec iov = { NULL, 0 };
	char c;
	int fd;

	EXPECT_EQ(-EPIPE, kipc_pipe_recv(p, &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(p, &c, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(p, &c, 1, 1000 * MS));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv_many(p, &iov, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_peek(p, &msg, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_poll(p, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_poll(p, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(p, &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(p, &c, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_send_many(p, &iov, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_reserve(p, 1, &msg, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_send_fd(p, 0, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv_fd(p, &fd, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_stat(p, &st));
	EXPECT_EQ(1, st.hung_up);
}

TEST_F(hup, closed)
{
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	gone(self->e[0]);
}

TEST_F(hup, closed_with_unread_data)
{
	struct kipc_pipe_msg msg;
	char buf[16];

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "unread", 6, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[1], "one", 3, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[1], "two", 3, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[1], "", 0, KIPC_NOWAIT));
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	/* its last messages come first, the news after them */
	EXPECT_EQ(-EPIPE, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_poll(self->e[0], KIPC_NOWAIT));
	EXPECT_EQ(3, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_MEMEQ("one", buf, 3);
	EXPECT_EQ(0, kipc_pipe_peek(self->e[0], &msg, KIPC_FOREVER));
	EXPECT_EQ(3, msg.len);
	EXPECT_MEMEQ("two", msg.data, 3);
	EXPECT_EQ(0, kipc_pipe_release(self->e[0], &msg));
	EXPECT_EQ(0, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_NOWAIT));
	gone(self->e[0]);
}

TEST_F(hup, closed_with_an_open_reservation)
{
	struct kipc_pipe_msg msg, in;

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_reserve(self->e[1], 8, &msg, KIPC_NOWAIT));
	memset(msg.data, 1, 8);
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	gone(self->e[0]);
}

static int expect_recv_epipe(void *arg)
{
	char c;

	return !EXPECT_EQ(-EPIPE, kipc_pipe_recv(arg, &c, 1, KIPC_FOREVER));
}

static int expect_poll_epipe(void *arg)
{
	return !EXPECT_EQ(-EPIPE, kipc_pipe_poll(arg, KIPC_FOREVER));
}

static int expect_send_epipe(void *arg)
{
	char buf[RING / 2] = "";
	int r;

	do
		r = kipc_pipe_send(arg, buf, sizeof(buf), KIPC_FOREVER);
	while (r == 0);
	return !EXPECT_EQ(-EPIPE, r);
}

static int expect_stream_epipe(void *arg)
{
	uint8_t *buf = calloc(1, 10 * RING);

	EXPECT_EQ(-EPIPE, kipc_pipe_send(arg, buf, 10 * RING, KIPC_FOREVER));
	free(buf);
	return 0;
}

TEST_F(hup, closed_while_a_thread_sleeps)
{
	static const ksft_fn fns[] = { expect_recv_epipe, expect_poll_epipe, expect_send_epipe,
				       expect_stream_epipe };
	struct ksft_thread t;

	for (size_t i = 0; i < sizeof(fns) / sizeof(fns[0]); i++) {
		ksft_thread_start(&t, fns[i], self->e[0]);
		ASSERT_TRUE(ksft_wait_for((pipe_reader_sleeps(&self->e[1]->tx) ||
					   pipe_writer_sleeps(&self->e[0]->tx)) &&
						  ksft_asleep(t.tid),
					  5000));
		kipc_pipe_close(self->e[1]);
		ksft_thread_join(&t);
		kipc_pipe_close(self->e[0]);
		pipe_make(self->e, RING, variant->flags);
	}
}

/* ---- killed ---- */

struct shared {
	int ready;
	int64_t killed_ns;
};

struct victim {
	struct kipc_pipe *p, *other;
	struct shared *sh;
	size_t send; /* bytes of a message to send first */
	size_t recv; /* bytes to receive first */
};

/* Does what it is told, says so, and waits to be killed. */
static int be_killed(void *arg)
{
	struct victim *v = arg;
	uint8_t *buf = calloc(1, 16 * RING);
	char c;

	kipc_pipe_close(v->other);
	if (v->send)
		EXPECT_EQ(0, kipc_pipe_send(v->p, buf, v->send, KIPC_FOREVER));
	if (v->recv)
		EXPECT_EQ((ssize_t)v->recv, kipc_pipe_recv(v->p, buf, v->recv, KIPC_FOREVER));
	__atomic_store_n(&v->sh->ready, 1, __ATOMIC_RELEASE);
	kipc_pipe_recv(v->p, &c, 0, KIPC_FOREVER);
	pause();
	return 0;
}

static pid_t start_victim(struct victim *v)
{
	pid_t pid;

	v->sh->ready = 0;
	pid = ksft_fork(be_killed, v);
	kipc_pipe_close(v->p);
	return pid;
}

static bool victim_ready(void *arg)
{
	struct shared *sh = arg;

	return __atomic_load_n(&sh->ready, __ATOMIC_ACQUIRE);
}

TEST_F(hup, killed_with_data_left)
{
	struct shared *sh = ksft_shared(sizeof(*sh));
	struct victim v = { self->e[1], self->e[0], sh, 100, 0 };
	char buf[100];
	pid_t pid;

	pid = start_victim(&v);
	self->e[1] = NULL;
	ASSERT_TRUE(ksft_wait_until(victim_ready, sh, 5000));
	ksft_kill(pid);
	EXPECT_EQ(100, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_NOWAIT));
	gone(self->e[0]);
}

/* Nobody rang and nobody moved a count: NOWAIT has to find out by itself. */
TEST_F(hup, killed_unnoticed_then_nowait)
{
	struct shared *sh = ksft_shared(sizeof(*sh));
	struct victim v = { self->e[1], self->e[0], sh, 0, 0 };
	uint8_t c = 0;
	pid_t pid;
	int r = 0;

	pid = start_victim(&v);
	self->e[1] = NULL;
	ASSERT_TRUE(ksft_wait_until(victim_ready, sh, 5000));
	ksft_kill(pid);
	EXPECT_TRUE(ksft_wait_for(kipc_pipe_poll(self->e[0], KIPC_NOWAIT) == -EPIPE, 1000));
	gone(self->e[0]);

	kipc_pipe_close(self->e[0]);
	pipe_make(self->e, 1 << 20, variant->flags);
	v.p = self->e[1];
	v.other = self->e[0];
	pid = start_victim(&v);
	self->e[1] = NULL;
	ASSERT_TRUE(ksft_wait_until(victim_ready, sh, 5000));
	ksft_kill(pid);
	/* a sender that has room notices long before the ring is full */
	for (int i = 0; i < 60000 && r == 0; i++)
		r = kipc_pipe_send(self->e[0], &c, 1, KIPC_NOWAIT);
	EXPECT_EQ(-EPIPE, r);
}

/* One that was killed asleep can't be rung: that is the moment to ask. */
TEST_F(hup, killed_in_its_sleep)
{
	struct shared *sh = ksft_shared(sizeof(*sh));
	struct victim v = { self->e[1], self->e[0], sh, 0, 0 };
	pid_t pid = start_victim(&v);
	int n = 0;

	self->e[1] = NULL;
	ASSERT_TRUE(ksft_wait_for(
		victim_ready(sh) && pipe_reader_sleeps(&self->e[0]->tx) && ksft_asleep(pid), 5000));
	/* what the closes before told is known by now */
	EXPECT_EQ(-EAGAIN, kipc_pipe_poll(self->e[0], KIPC_NOWAIT));
	ksft_kill(pid);
	EXPECT_TRUE(ksft_wait_for((n++, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT)) == -EPIPE,
				  1000));
	EXPECT_LT(n, 40);
}

static int compare_ns(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The sleeper wakes up by the kernel's news, not by a tick of 100 ms: half of the times at least. */
TEST_F(hup, killed_while_we_sleep)
{
	static const ksft_fn fns[] = { expect_recv_epipe, expect_poll_epipe, expect_send_epipe };
	struct shared *sh = ksft_shared(sizeof(*sh));
	int64_t took[15];
	struct ksft_thread t;
	pid_t pid;

	for (int i = 0; i < 15; i++) {
		struct victim v = { self->e[1], self->e[0], sh, 0, 0 };
		bool sends = fns[i % 3] == expect_send_epipe;

		pid = start_victim(&v);
		ASSERT_TRUE(ksft_wait_until(victim_ready, sh, 5000));
		if (sends) {
			/* it must not receive: stop it, fill the ring, then sleep */
			kill(pid, SIGSTOP);
		}
		ksft_thread_start(&t, fns[i % 3], self->e[0]);
		ASSERT_TRUE(ksft_wait_for((sends ? pipe_writer_sleeps(&self->e[0]->tx) :
						   pipe_reader_sleeps(&self->e[0]->rx)) &&
						  ksft_asleep(t.tid),
					  5000));
		took[i] = ksft_now_ns();
		kill(pid, SIGKILL);
		ksft_thread_join(&t);
		took[i] = ksft_now_ns() - took[i];
		ksft_wait(pid);
		kipc_pipe_close(self->e[0]);
		pipe_make(self->e, RING, variant->flags);
	}
	qsort(took, 15, sizeof(took[0]), compare_ns);
	EXPECT_LT(took[7], ksft_scale(40) * MS);
}

/* ---- in the middle of a stream ---- */

static int send_stream(void *arg)
{
	struct victim *v = arg;
	uint8_t *buf = calloc(1, 16 * RING);

	kipc_pipe_close(v->other);
	kipc_pipe_send(v->p, buf, 16 * RING, KIPC_FOREVER);
	return 0;
}

/* What a dead sender left of its stream is no message, and no short one. */
TEST_F(hup, killed_in_its_stream)
{
	struct victim v = { self->e[1], self->e[0], NULL, 0, 0 };
	uint8_t *buf = malloc(16 * RING);
	pid_t pid;

	pid = ksft_fork(send_stream, &v);
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	/* the ring is full, it sleeps */
	ASSERT_TRUE(ksft_wait_for(pipe_writer_sleeps(&self->e[0]->rx) && ksft_asleep(pid), 5000));
	ksft_kill(pid);
	EXPECT_EQ(0, kipc_pipe_poll(self->e[0], KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[0], buf, 16 * RING, KIPC_FOREVER));
	EXPECT_EQ(0, self->e[0]->rx.shm->msg_end);
	gone(self->e[0]);
	free(buf);
}

static int recv_stream_epipe(void *arg)
{
	uint8_t *buf = malloc(16 * RING);

	EXPECT_EQ(-EPIPE, kipc_pipe_recv(arg, buf, 16 * RING, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(arg, buf, 16 * RING, KIPC_NOWAIT));
	free(buf);
	return 0;
}

TEST_F(hup, killed_with_the_receiver_in_its_stream)
{
	struct victim v = { self->e[1], self->e[0], NULL, 0, 0 };
	struct kipc_pipe_way *s = self->e[0]->rx.shm;
	struct ksft_thread t;
	pid_t pid;

	pid = ksft_fork(send_stream, &v);
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	ASSERT_TRUE(ksft_wait_for(pipe_writer_sleeps(&self->e[0]->rx) && ksft_asleep(pid), 5000));
	kill(pid, SIGSTOP);
	ksft_thread_start(&t, recv_stream_epipe, self->e[0]);
	/* it has taken all that there was, and sleeps for more */
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == RING &&
					  pipe_reader_sleeps(&self->e[0]->rx) && ksft_asleep(t.tid),
				  5000));
	EXPECT_NE(0, s->msg_end);
	kill(pid, SIGKILL);
	ksft_thread_join(&t);
	ksft_wait(pid);
	EXPECT_EQ(0, s->msg_end);
}

static int recv_half(void *arg)
{
	struct victim *v = arg;
	uint8_t *buf = malloc(16 * RING);

	kipc_pipe_close(v->other);
	kipc_pipe_recv(v->p, buf, 16 * RING, KIPC_FOREVER);
	return 0;
}

/* The receiver dies in the middle of ours. */
TEST_F(hup, receiver_killed_in_our_stream)
{
	struct victim v = { self->e[1], self->e[0], NULL, 0, 0 };
	struct kipc_pipe_way *s = self->e[0]->tx.shm;
	struct ksft_thread t;
	uint8_t *ring = self->e[0]->tx.ring;
	pid_t pid;

	/* the first kilobyte of a long message, so that the receiver gets stuck in it */
	*(uint64_t *)ring = 10 * RING;
	__atomic_store_n(&s->head, 1024, __ATOMIC_RELEASE);
	pid = ksft_fork(recv_half, &v);
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == 1024, 5000));
	/* now another: as if the first had been finished */
	kill(pid, SIGSTOP);
	ksft_thread_start(&t, expect_stream_epipe, self->e[0]);
	ASSERT_TRUE(ksft_wait_for(pipe_writer_sleeps(&self->e[0]->tx) && ksft_asleep(t.tid), 5000));
	kill(pid, SIGKILL);
	ksft_thread_join(&t);
	ksft_wait(pid);
}

/* ---- an end with several holders is gone when the last one is ---- */

TEST_F(hup, the_last_holder_counts)
{
	struct shared *sh = ksft_shared(sizeof(*sh));
	struct victim v = { self->e[1], self->e[0], sh, 0, 0 };
	pid_t a, b;
	char c;

	a = ksft_fork(be_killed, &v);
	ASSERT_TRUE(ksft_wait_until(victim_ready, sh, 5000));
	sh->ready = 0;
	b = ksft_fork(be_killed, &v);
	ASSERT_TRUE(ksft_wait_until(victim_ready, sh, 5000));
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[0], &c, 1, 2 * MS));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "", 0, KIPC_NOWAIT));
	ksft_kill(a);
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[0], &c, 1, 2 * MS));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "", 0, KIPC_NOWAIT));
	ksft_kill(b);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[0], &c, 1, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(self->e[0], "", 0, KIPC_NOWAIT));
}

/* The wait of a thread whose io_uring still polls the end of a closed pipe doesn't keep it open. */
TEST_F(hup, an_armed_poll_keeps_nothing_alive)
{
	char c;

	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[0], &c, 1, MS));
	kipc_pipe_close(self->e[0]);
	self->e[0] = NULL;
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], &c, 1, KIPC_FOREVER));
}

/* Without a descriptor for the epoll instance (or for io_uring), hang-ups are still found. */
TEST_F(hup, no_descriptor_for_epoll)
{
	struct rlimit limit;
	struct ksft_thread t;
	int next = dup(0);

	close(next);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = (rlim_t)next;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ksft_thread_start(&t, expect_recv_epipe, self->e[0]);
	EXPECT_TRUE(ksft_wait_for(pipe_reader_sleeps(&self->e[0]->rx), 5000));
	EXPECT_EQ(-1, self->e[0]->hup_fd);
	EXPECT_EQ(-EMFILE, kipc_pipe_fd(self->e[0], KIPC_PIPE_HANGUP));
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	ksft_thread_join(&t);
}

TEST_HARNESS_MAIN
