// SPDX-License-Identifier: MIT
/* Messages in place: reserve, commit, abort; peek, release. */
#include "pipe_test.h"

FIXTURE(place)
{
	struct kipc_pipe *e[2];
	bool exclusive;
};

FIXTURE_VARIANT(place)
{
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(place, shared){ .flags = 0 };
FIXTURE_VARIANT_ADD(place, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(place)
{
	pipe_make(self->e, RING, variant->flags);
	self->exclusive = variant->flags & KIPC_PIPE_EXCLUSIVE;
}

FIXTURE_TEARDOWN(place)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

TEST_F(place, commit_and_release)
{
	struct kipc_pipe_msg out, in;

	for (size_t len = 0; len <= RING - 8; len += 37) {
		ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], len, &out, KIPC_NOWAIT));
		EXPECT_EQ(len, out.len);
		EXPECT_EQ(0, (uintptr_t)out.data % 8);
		pipe_fill(out.data, len, len);
		EXPECT_EQ(-EAGAIN, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_pipe_commit(self->e[0], &out));
		ASSERT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
		ASSERT_EQ(len, in.len);
		EXPECT_TRUE(pipe_check(in.data, len, len));
		ASSERT_EQ(0, kipc_pipe_release(self->e[1], &in));
	}
	EXPECT_EQ(-EAGAIN, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
}

TEST_F(place, commit_less_than_reserved)
{
	struct kipc_pipe_msg msg;
	char buf[RING] = "";

	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 2000, &msg, KIPC_NOWAIT));
	memcpy(msg.data, "abc", 3);
	msg.len = 2001;
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_commit(self->e[0], &msg));
	msg.len = SIZE_MAX;
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_commit(self->e[0], &msg));
	msg.len = 3;
	EXPECT_EQ(0, kipc_pipe_commit(self->e[0], &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], &msg));
	/* the rest was not wasted */
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], buf, RING - 16 - 8, KIPC_NOWAIT));
	EXPECT_EQ(3, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_MEMEQ("abc", buf, 3);
}

TEST_F(place, abort_leaves_nothing)
{
	struct kipc_pipe_msg msg;
	char c = 0;

	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 100, &msg, KIPC_NOWAIT));
	memset(msg.data, 'x', 100);
	EXPECT_EQ(0, kipc_pipe_abort(self->e[0], &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_abort(self->e[0], &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], &msg));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "y", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ('y', c);
}

TEST_F(place, an_open_message_keeps_the_turn)
{
	struct kipc_pipe_msg out, in, more;
	int busy = self->exclusive ? -EBUSY : -EAGAIN;
	char c;

	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 8, &out, KIPC_NOWAIT));
	EXPECT_EQ(busy, kipc_pipe_send(self->e[0], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(busy, kipc_pipe_reserve(self->e[0], 8, &more, KIPC_NOWAIT));
	EXPECT_EQ(self->exclusive ? -EBUSY : -ETIMEDOUT, kipc_pipe_send(self->e[0], &c, 1, MS));
	memcpy(out.data, "12345678", 8);
	EXPECT_EQ(0, kipc_pipe_commit(self->e[0], &out));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "z", 1, KIPC_NOWAIT));

	ASSERT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
	EXPECT_MEMEQ("12345678", in.data, 8);
	EXPECT_EQ(busy, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(busy, kipc_pipe_peek(self->e[1], &more, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_release(self->e[1], &in));
	EXPECT_EQ(-EINVAL, kipc_pipe_release(self->e[1], &in));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ('z', c);
}

TEST_F(place, errors)
{
	struct kipc_pipe_msg msg = { 0 }, other;
	char buf[RING];

	EXPECT_EQ(-EINVAL, kipc_pipe_reserve(NULL, 1, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_reserve(self->e[0], 1, NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_reserve(self->e[0], RING - 7, &msg, KIPC_FOREVER));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_reserve(self->e[0], SIZE_MAX, &msg, KIPC_FOREVER));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(NULL, &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], NULL));
	EXPECT_EQ(-EINVAL, kipc_pipe_abort(self->e[0], &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_peek(NULL, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_peek(self->e[1], NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_release(self->e[1], &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_release(NULL, &msg));

	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], RING - 8, &msg, KIPC_NOWAIT));
	other = msg;
	other.position += 8;
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], &other));
	other.position -= 7;
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], &other));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[1], &msg));
	EXPECT_EQ(0, kipc_pipe_commit(self->e[0], &msg));
	EXPECT_EQ(-EAGAIN, kipc_pipe_reserve(self->e[0], 0, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_reserve(self->e[0], 0, &msg, MS));
	EXPECT_EQ(RING - 8, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_peek(self->e[1], &msg, MS));
}

static int commit_it(void *arg)
{
	void **args = arg;

	return kipc_pipe_commit(args[0], args[1]);
}

static int release_it(void *arg)
{
	void **args = arg;

	return kipc_pipe_release(args[0], args[1]);
}

TEST_F(place, another_thread_ends_it)
{
	struct kipc_pipe_msg out, in;
	struct ksft_thread t;
	char c;

	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 5, &out, KIPC_NOWAIT));
	memcpy(out.data, "12345", 5);
	ksft_thread_start(&t, commit_it, (void *[]){ self->e[0], &out });
	ksft_thread_join(&t);
	ASSERT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_FOREVER));
	ksft_thread_start(&t, release_it, (void *[]){ self->e[1], &in });
	ksft_thread_join(&t);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
}

static int recv_one(void *arg)
{
	char buf[16];
	ssize_t r = kipc_pipe_recv(arg, buf, sizeof(buf), KIPC_FOREVER);

	return !EXPECT_EQ(3, r);
}

TEST_F(place, commit_wakes_a_sleeper)
{
	struct kipc_pipe_msg out;
	struct ksft_thread t;

	ksft_thread_start(&t, recv_one, self->e[1]);
	ASSERT_TRUE(ksft_wait_for(pipe_reader_sleeps(&self->e[0]->tx) && ksft_asleep(t.tid), 5000));
	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 3, &out, KIPC_NOWAIT));
	memcpy(out.data, "abc", 3);
	ASSERT_EQ(0, kipc_pipe_commit(self->e[0], &out));
	ksft_thread_join(&t);
}

static int send_one(void *arg)
{
	char buf[RING / 2] = "";

	return kipc_pipe_send(arg, buf, sizeof(buf), KIPC_FOREVER);
}

TEST_F(place, release_wakes_a_sleeper)
{
	struct kipc_pipe_msg in;
	struct ksft_thread t;
	char buf[RING - 8] = "";

	ASSERT_EQ(0, kipc_pipe_send(self->e[0], buf, sizeof(buf), KIPC_NOWAIT));
	ksft_thread_start(&t, send_one, self->e[0]);
	ASSERT_TRUE(ksft_wait_for(pipe_writer_sleeps(&self->e[0]->tx) && ksft_asleep(t.tid), 5000));
	ASSERT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
	EXPECT_EQ(sizeof(buf), in.len);
	ASSERT_EQ(0, kipc_pipe_release(self->e[1], &in));
	ksft_thread_join(&t);
	ASSERT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
	EXPECT_EQ(RING / 2, in.len);
	ASSERT_EQ(0, kipc_pipe_release(self->e[1], &in));
}

TEST_F(place, shutdown_ends_a_reservation)
{
	struct kipc_pipe_msg out;
	char c;

	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 3, &out, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_commit(self->e[0], &out));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], &out));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(self->e[0], &c, 1, KIPC_FOREVER));
}

TEST_F(place, peek_of_a_stream)
{
	size_t len = 2 * RING;
	struct kipc_pipe_msg in;
	char *buf = calloc(1, len);
	struct ksft_thread t;

	ASSERT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], buf, len, MS));
	/* that one was cut: peek passes over it */
	EXPECT_EQ(-EAGAIN, kipc_pipe_peek(self->e[1], &in, KIPC_NOWAIT));
	ksft_thread_start(&t, send_one, self->e[0]);
	ASSERT_EQ(0, kipc_pipe_peek(self->e[1], &in, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_release(self->e[1], &in));
	ksft_thread_join(&t);
	free(buf);
}

TEST_HARNESS_MAIN
