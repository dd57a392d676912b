// SPDX-License-Identifier: MIT
/* Descriptors over the control socket. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "pipe_test.h"

FIXTURE(fds)
{
	struct kipc_pipe *e[2];
};

FIXTURE_SETUP(fds)
{
	pipe_make(self->e, RING, 0);
}

FIXTURE_TEARDOWN(fds)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

static int memfd_with(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	EXPECT_EQ((ssize_t)strlen(text), write(fd, text, strlen(text)));
	return fd;
}

static void expect_text(int fd, const char *text)
{
	char buf[16] = "";

	EXPECT_EQ((ssize_t)strlen(text), pread(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ(text, buf);
}

TEST_F(fds, a_file_arrives)
{
	int fd = memfd_with("hello"), got = -1;

	EXPECT_EQ(-EAGAIN, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv_fd(self->e[1], &got, 2 * MS));
	ASSERT_EQ(0, kipc_pipe_send_fd(self->e[0], fd, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_recv_fd(self->e[1], &got, KIPC_FOREVER));
	EXPECT_NE(fd, got);
	EXPECT_EQ(FD_CLOEXEC, fcntl(got, F_GETFD));
	expect_text(got, "hello");
	/* and back, from the other end */
	ASSERT_EQ(0, kipc_pipe_send_fd(self->e[1], got, KIPC_NOWAIT));
	close(got);
	ASSERT_EQ(0, kipc_pipe_recv_fd(self->e[0], &got, KIPC_NOWAIT));
	expect_text(got, "hello");
	close(got);
	close(fd);
}

TEST_F(fds, in_order_beside_messages)
{
	char text[2] = "0", c;
	int fd;

	for (int i = 0; i < 5; i++) {
		text[0] = (char)('0' + i);
		fd = memfd_with(text);
		ASSERT_EQ(0, kipc_pipe_send_fd(self->e[0], fd, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], text, 1, KIPC_NOWAIT));
		close(fd);
	}
	for (int i = 0; i < 5; i++) {
		text[0] = (char)('0' + i);
		ASSERT_EQ(0, kipc_pipe_recv_fd(self->e[1], &fd, KIPC_NOWAIT));
		expect_text(fd, text);
		close(fd);
	}
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
		EXPECT_EQ('0' + i, c);
	}
}

TEST_F(fds, bad_descriptors)
{
	int fd = dup(0);

	close(fd);
	EXPECT_EQ(-EBADF, kipc_pipe_send_fd(self->e[0], -1, KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_send_fd(self->e[0], fd, KIPC_FOREVER));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv_fd(self->e[1], &fd, KIPC_NOWAIT));
}

/* A descriptor on its way is no hang-up, and a hang-up leaves it to be received. */
TEST_F(fds, hang_up_with_descriptors_left)
{
	int fd = memfd_with("left"), got;
	char c;

	ASSERT_EQ(0, kipc_pipe_send_fd(self->e[0], fd, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[1], &c, 1, 2 * MS));
	/* one that we never receive, and one that the other end never does: the kernel says ECONNRESET */
	ASSERT_EQ(0, kipc_pipe_send_fd(self->e[1], fd, KIPC_NOWAIT));
	kipc_pipe_close(self->e[0]);
	self->e[0] = NULL;
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
	expect_text(got, "left");
	close(got);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv_fd(self->e[1], &got, KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_send_fd(self->e[1], fd, KIPC_FOREVER));
	close(fd);
}

TEST_F(fds, full_socket)
{
	int n = 0, r, got;

	while ((r = kipc_pipe_send_fd(self->e[0], 0, KIPC_NOWAIT)) == 0)
		n++;
	EXPECT_TRUE(r == -EAGAIN || r == -ETOOMANYREFS);
	EXPECT_GT(n, 10);
	if (r == -EAGAIN)
		EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send_fd(self->e[0], 0, 2 * MS));
	for (; n; n--) {
		ASSERT_EQ(0, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
		close(got);
	}
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
}

/* Without room in the table nothing is lost. */
TEST_F(fds, no_room_for_it)
{
	struct rlimit limit, none;
	int fd = memfd_with("kept"), got, next;

	ASSERT_EQ(0, kipc_pipe_send_fd(self->e[0], fd, KIPC_NOWAIT));
	next = dup(0);
	close(next);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = (rlim_t)next;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, kipc_pipe_recv_fd(self->e[1], &got, KIPC_FOREVER));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
	expect_text(got, "kept");
	close(got);
	close(fd);
}

/* The peer may write what it likes to the socket: nothing of it stays in our table. */
TEST_F(fds, hostile_messages)
{
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char bytes[8] = "FFFFFFFF";
	int before, after, got, six[6] = { 0, 1, 2, 0, 1, 2 };
	static const struct {
		int len, nfds;
		char first;
	} msgs[] = { { 1, 0, 'F' }, { 1, 1, 'x' }, { 2, 1, 'F' },
		     { 1, 2, 'F' }, { 1, 6, 'F' }, { 1, 4, 'F' } };

	memset(&control, 0, sizeof(control));
	before = dup(0);
	close(before);
	for (size_t i = 0; i < sizeof(msgs) / sizeof(msgs[0]); i++) {
		struct iovec iov = { bytes, (size_t)msgs[i].len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		size_t size = (size_t)msgs[i].nfds * sizeof(int);

		bytes[0] = msgs[i].first;
		if (msgs[i].nfds) {
			struct cmsghdr *c;

			msg.msg_control = control.buf;
			msg.msg_controllen = CMSG_SPACE(size);
			c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(size);
			memcpy(CMSG_DATA(c), six, size);
		}
		ASSERT_EQ(msgs[i].len, sendmsg(self->e[0]->sock, &msg, 0));
		EXPECT_EQ(-EPROTO, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
	}
	/* an empty packet looks like the end of the file */
	ASSERT_EQ(0, send(self->e[0]->sock, bytes, 0, 0));
	EXPECT_EQ(-EPROTO, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
	after = dup(0);
	close(after);
	EXPECT_EQ(before, after);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv_fd(self->e[1], &got, KIPC_NOWAIT));
}

struct fd_job {
	struct kipc_pipe *p, *other;
};

static int send_later(void *arg)
{
	struct fd_job *job = arg;
	int fd = memfd_with("later");

	if (job->other)
		kipc_pipe_close(job->other);
	EXPECT_EQ(0, kipc_pipe_send_fd(job->p, fd, KIPC_FOREVER));
	close(fd);
	return 0;
}

TEST_F(fds, from_another_process)
{
	struct fd_job job = { self->e[0], self->e[1] };
	struct stat st;
	int got;
	pid_t pid;

	pid = ksft_fork(send_later, &job);
	kipc_pipe_close(self->e[0]);
	self->e[0] = NULL;
	ASSERT_EQ(0, kipc_pipe_recv_fd(self->e[1], &got, KIPC_FOREVER));
	EXPECT_EQ(0, fstat(got, &st));
	expect_text(got, "later");
	close(got);
	ksft_join(pid);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv_fd(self->e[1], &got, KIPC_FOREVER));
}

TEST_HARNESS_MAIN
