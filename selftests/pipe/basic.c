// SPDX-License-Identifier: MIT
/* Creating, options, message lengths, every error of the calls that move no stream. */
#include <fcntl.h>
#include <sys/stat.h>

#include "pipe_test.h"

FIXTURE(pipe)
{
	struct kipc_pipe *e[2];
};

FIXTURE_VARIANT(pipe)
{
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(pipe, shared){ .flags = 0 };
FIXTURE_VARIANT_ADD(pipe, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(pipe)
{
	pipe_make(self->e, RING, variant->flags);
}

FIXTURE_TEARDOWN(pipe)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

TEST(defaults)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };
	struct kipc_pipe *e[2];

	ASSERT_EQ(0, kipc_pipe_create(NULL, e));
	EXPECT_EQ(65536, kipc_pipe_size(e[0]));
	EXPECT_EQ(65536, kipc_pipe_size(e[1]));
	ASSERT_EQ(0, kipc_pipe_stat(e[1], &st));
	EXPECT_EQ(1, st.end);
	EXPECT_EQ(0, st.flags);
	EXPECT_EQ(65536, st.ring_size);
	EXPECT_GE(st.memory, 2 * 65536);
	EXPECT_EQ(0, st.hung_up);
	EXPECT_TRUE(kipc_pipe_object(e[0]) == &e[0]->obj);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
	kipc_pipe_close(NULL);
}

TEST(options)
{
	static const size_t bad[] = {
		1, 4095, 4097, 2048, 3 * 4096, (1ULL << 30) + 4096, 1ULL << 31
	};
	struct kipc_pipe *e[2];
	struct {
		struct kipc_pipe_opts o;
		char tail[16];
	} newer = { .o.sz = sizeof(newer) };
	struct stat st;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		KIPC_OPTS(kipc_pipe_opts, o, .ring_size = bad[i]);
		EXPECT_EQ(-EINVAL, kipc_pipe_create(&o, e));
	}
	KIPC_OPTS(kipc_pipe_opts, flags, .flags = 4);
	EXPECT_EQ(-EINVAL, kipc_pipe_create(&flags, e));
	KIPC_OPTS(kipc_pipe_opts, high, .flags = 1u << 31);
	EXPECT_EQ(-EINVAL, kipc_pipe_create(&high, e));
	KIPC_OPTS(kipc_pipe_opts, mode, .mode = 010000);
	EXPECT_EQ(-EINVAL, kipc_pipe_create(&mode, e));
	struct kipc_pipe_opts tiny = { .sz = 8 };
	EXPECT_EQ(-EINVAL, kipc_pipe_create(&tiny, e));
	EXPECT_EQ(-EINVAL, kipc_pipe_create(NULL, NULL));

	ASSERT_EQ(0, kipc_pipe_create(&newer.o, e));
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
	newer.tail[3] = 1;
	EXPECT_EQ(-E2BIG, kipc_pipe_create(&newer.o, e));

	KIPC_OPTS(kipc_pipe_opts, good, .ring_size = 1 << 20, .mode = 0640);
	ASSERT_EQ(0, kipc_pipe_create(&good, e));
	EXPECT_EQ(1 << 20, kipc_pipe_size(e[0]));
	ASSERT_EQ(0, fstat(e[0]->obj.seg.fd, &st));
	EXPECT_EQ(0640, st.st_mode & 0777);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST(a_gigabyte_ring_costs_nothing_until_it_is_used)
{
	KIPC_OPTS(kipc_pipe_opts, o, .ring_size = 1 << 30);
	struct kipc_pipe *e[2];
	struct stat st;
	char c = 0;

	ASSERT_EQ(0, kipc_pipe_create(&o, e));
	ASSERT_EQ(0, fstat(e[0]->obj.seg.fd, &st));
	EXPECT_LT(st.st_blocks * 512, 1 << 20);
	EXPECT_EQ(0, kipc_pipe_send(e[0], "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv(e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ('x', c);
	kipc_pipe_close(e[0]);
	kipc_pipe_close(e[1]);
}

TEST(descriptors_are_all_given_back)
{
	struct kipc_pipe *e[2];
	int before = dup(0), after;
	char c;

	close(before);
	for (int i = 0; i < 20; i++) {
		pipe_make(e, RING, 0);
		/* a wait that times out makes the epoll instance */
		EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(e[i % 2], &c, 1, 1000));
		kipc_pipe_close(e[i % 2]);
		kipc_pipe_close(e[!(i % 2)]);
	}
	after = dup(0);
	close(after);
	/* the thread's own io_uring stays, and what it polled last goes with its next sleep */
	EXPECT_LE(after, before + 2);
}

TEST_F(pipe, both_directions)
{
	char buf[16];

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "ping", 4, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[1], "pong!", 5, KIPC_NOWAIT));
	EXPECT_EQ(4, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_MEMEQ("ping", buf, 4);
	EXPECT_EQ(5, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_MEMEQ("pong!", buf, 5);
}

TEST_F(pipe, every_length_that_fits)
{
	uint8_t out[RING], in[RING];

	for (size_t len = 0; len <= RING - 8; len++) {
		pipe_fill(out, len, len);
		ASSERT_EQ(0, kipc_pipe_send(self->e[0], out, len, KIPC_NOWAIT));
		memset(in, 0xee, sizeof(in));
		ASSERT_EQ((ssize_t)len, kipc_pipe_recv(self->e[1], in, len, KIPC_NOWAIT));
		ASSERT_MEMEQ(out, in, len);
		ASSERT_EQ(0xee, in[len]);
	}
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], in, sizeof(in), KIPC_NOWAIT));
}

TEST_F(pipe, empty_messages_are_messages)
{
	char c;

	EXPECT_EQ(-EAGAIN, kipc_pipe_poll(self->e[1], KIPC_NOWAIT));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_poll(self->e[1], KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_recv(self->e[1], NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_recv(self->e[1], NULL, 0, KIPC_FOREVER));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
}

TEST_F(pipe, full_and_empty)
{
	uint8_t buf[RING];
	int64_t start;
	int n = 0;

	start = ksft_now_ns();
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[1], buf, sizeof(buf), 3 * MS));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_poll(self->e[1], 3 * MS));
	EXPECT_GE(ksft_now_ns() - start, 6 * MS);
	while (kipc_pipe_send(self->e[0], buf, 100, KIPC_NOWAIT) == 0)
		n++;
	/* 100 bytes take 8 + 104 */
	EXPECT_EQ(RING / 112, n);
	EXPECT_EQ(-EAGAIN, kipc_pipe_send(self->e[0], buf, 100, KIPC_NOWAIT));
	start = ksft_now_ns();
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], buf, 100, 3 * MS));
	EXPECT_GE(ksft_now_ns() - start, 3 * MS);
	/* what is left has room for a smaller one: not a byte is wasted */
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], buf, RING % 112 - 8, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_send(self->e[0], NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(100, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], buf, 100, KIPC_NOWAIT));
}

TEST_F(pipe, too_small_a_buffer_consumes_nothing)
{
	char buf[8] = "";

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "123456", 6, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_recv(self->e[1], buf, 5, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_recv(self->e[1], NULL, 0, KIPC_FOREVER));
	EXPECT_EQ(0, buf[0]);
	EXPECT_EQ(6, kipc_pipe_recv(self->e[1], buf, 6, KIPC_NOWAIT));
	EXPECT_MEMEQ("123456", buf, 6);
}

TEST_F(pipe, bad_arguments)
{
	struct kipc_pipe_stat st = { .sz = 4 };
	char buf[8] = "";
	int fd;

	EXPECT_EQ(-EINVAL, kipc_pipe_send(NULL, buf, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_send(self->e[0], NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv(NULL, buf, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv(self->e[0], NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_poll(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_stat(NULL, &st));
	EXPECT_EQ(-EINVAL, kipc_pipe_stat(self->e[0], NULL));
	EXPECT_EQ(-EINVAL, kipc_pipe_stat(self->e[0], &st));
	EXPECT_EQ(-EINVAL, kipc_pipe_size(NULL));
	EXPECT_EQ(-EINVAL, kipc_pipe_shutdown(NULL));
	EXPECT_TRUE(kipc_pipe_object(NULL) == NULL);
	EXPECT_EQ(-EINVAL, kipc_pipe_fd(NULL, KIPC_READABLE));
	EXPECT_EQ(-EINVAL, kipc_pipe_fd(self->e[0], 0));
	EXPECT_EQ(-EINVAL, kipc_pipe_fd(self->e[0], KIPC_READABLE | KIPC_WRITABLE));
	EXPECT_EQ(-EINVAL, kipc_pipe_fd(self->e[0], 8));
	EXPECT_EQ(-EINVAL, kipc_pipe_send_fd(NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv_fd(NULL, &fd, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_recv_fd(self->e[0], NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_send(self->e[0], buf, 1ULL << 48, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_send(self->e[0], buf, SIZE_MAX, KIPC_FOREVER));
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_send(self->e[0], buf, RING - 7, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
}

TEST(simplex)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };
	struct kipc_pipe_msg msg = { 0 };
	struct kipc_pipe *e[2];
	struct iovec iov = { 0 };
	char c = 'q';
	int fd = 0;

	pipe_make(e, RING, KIPC_PIPE_SIMPLEX);
	EXPECT_EQ(-EBADF, kipc_pipe_send(e[0], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_send_many(e[0], &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_reserve(e[0], 1, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(e[0], &msg));
	EXPECT_EQ(-EBADF, kipc_pipe_shutdown(e[0]));
	EXPECT_EQ(-EBADF, kipc_pipe_fd(e[0], KIPC_WRITABLE));
	EXPECT_EQ(-EBADF, kipc_pipe_send_fd(e[0], 0, KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_recv(e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_recv_many(e[1], &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_poll(e[1], KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_peek(e[1], &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_release(e[1], &msg));
	EXPECT_EQ(-EBADF, kipc_pipe_fd(e[1], KIPC_READABLE));
	EXPECT_EQ(-EBADF, kipc_pipe_recv_fd(e[1], &fd, KIPC_NOWAIT));
	EXPECT_GE(kipc_pipe_fd(e[0], KIPC_PIPE_HANGUP), 0);
	EXPECT_GE(kipc_pipe_fd(e[1], KIPC_PIPE_HANGUP), 0);

	EXPECT_EQ(0, kipc_pipe_send(e[1], &c, 1, KIPC_NOWAIT));
	c = 0;
	EXPECT_EQ(1, kipc_pipe_recv(e[0], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ('q', c);
	ASSERT_EQ(0, kipc_pipe_stat(e[0], &st));
	EXPECT_EQ(KIPC_PIPE_SIMPLEX, st.flags);
	EXPECT_EQ(1, st.received);
	EXPECT_EQ(0, st.sent);
	kipc_pipe_close(e[1]);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(e[0], &c, 1, KIPC_FOREVER));
	kipc_pipe_close(e[0]);

	pipe_make(e, RING, KIPC_PIPE_SIMPLEX);
	kipc_pipe_close(e[0]);
	EXPECT_EQ(-EPIPE, kipc_pipe_send(e[1], &c, 1, KIPC_FOREVER));
	kipc_pipe_close(e[1]);
}

TEST_F(pipe, stat_counts)
{
	struct {
		struct kipc_pipe_stat st;
		char beyond[8];
	} big;
	struct kipc_pipe_stat st = { .sz = sizeof(st) };
	char buf[100];

	for (int i = 0; i < 5; i++)
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], buf, 100, KIPC_NOWAIT));
	EXPECT_EQ(100, kipc_pipe_recv(self->e[1], buf, 100, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_stat(self->e[0], &st));
	EXPECT_EQ(5, st.sent);
	EXPECT_EQ(0, st.received);
	EXPECT_EQ(4 * 112, st.tx_bytes);
	EXPECT_EQ(0, st.rx_bytes);
	EXPECT_EQ(variant->flags, st.flags);
	ASSERT_EQ(0, kipc_pipe_stat(self->e[1], &st));
	EXPECT_EQ(1, st.received);
	EXPECT_EQ(4 * 112, st.rx_bytes);
	EXPECT_EQ(0, st.wakeups);

	/* callers of another size get what they know */
	memset(&big, 0x77, sizeof(big));
	big.st.sz = sizeof(big);
	ASSERT_EQ(0, kipc_pipe_stat(self->e[1], &big.st));
	EXPECT_EQ(0x77, big.beyond[0]);
	memset(&st, 0x77, sizeof(st));
	st.sz = offsetof(struct kipc_pipe_stat, sent);
	ASSERT_EQ(0, kipc_pipe_stat(self->e[1], &st));
	EXPECT_EQ(RING, st.ring_size);
	EXPECT_EQ(0x7777777777777777ULL, st.sent);
}

TEST_HARNESS_MAIN
