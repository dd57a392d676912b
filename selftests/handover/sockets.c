// SPDX-License-Identifier: MIT
/* How the sockets behave: blocking or not, closed, of the wrong sort, messages in pieces. */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <kipc/shm.h>

#include "sockets.h"

FIXTURE(sock) {
	struct pair p;
	struct kipc_shm *s;
	struct kipc_object *obj;
};

FIXTURE_VARIANT(sock) {
	int type;
};

FIXTURE_VARIANT_ADD(sock, stream) { SOCK_STREAM };
FIXTURE_VARIANT_ADD(sock, seqpacket) { SOCK_SEQPACKET };
FIXTURE_VARIANT_ADD(sock, dgram) { SOCK_DGRAM };

FIXTURE_SETUP(sock)
{
	self->p = socket_pair(variant->type);
	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &self->s));
	self->obj = kipc_shm_object(self->s);
}

FIXTURE_TEARDOWN(sock)
{
	kipc_shm_close(self->s);
	close_pair(self->p);
}

TEST_F(sock, back_to_back)
{
	struct kipc_shm *second, *got;
	struct kipc_object *obj;

	ASSERT_EQ(0, kipc_shm_create(NULL, 8192, NULL, &second));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
		ASSERT_EQ(0, kipc_send(self->p.send, kipc_shm_object(second)));
	}
	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
		got = kipc_object_shm(obj);
		EXPECT_EQ(i % 2 ? 8192 : 4096, kipc_shm_size(got));
		kipc_shm_close(got);
	}
	kipc_shm_close(second);
}

TEST_F(sock, close_on_exec)
{
	struct kipc_object *obj;

	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
	EXPECT_EQ(FD_CLOEXEC, fcntl(kipc_shm_fd(kipc_object_shm(obj)), F_GETFD));
	kipc_object_close(obj);
}

/* Nothing of what follows on the socket is taken. */
TEST_F(sock, other_data_around_it)
{
	struct kipc_object *obj;
	char buf[16];

	ASSERT_EQ(6, send(self->p.send, "before", 6, 0));
	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	ASSERT_EQ(5, send(self->p.send, "after", 5, 0));
	ASSERT_EQ(6, recv(self->p.recv, buf, 6, 0));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
	kipc_object_close(obj);
	ASSERT_EQ(5, recv(self->p.recv, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("after", buf, 5);
}

TEST_F(sock, nothing_there)
{
	struct timeval tv = { .tv_usec = 20000 };
	struct kipc_object *obj = NULL;

	/* SO_RCVTIMEO ends a blocking one */
	ASSERT_EQ(0, setsockopt(self->p.recv, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	EXPECT_EQ(-EAGAIN, kipc_recv(self->p.recv, &obj));
	ASSERT_EQ(0, fcntl(self->p.recv, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, kipc_recv(self->p.recv, &obj));
	EXPECT_TRUE(obj == NULL);
	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	EXPECT_EQ(0, kipc_recv(self->p.recv, &obj));
	kipc_object_close(obj);
}

TEST_F(sock, full)
{
	struct kipc_object *obj;
	int n, r;

	ASSERT_EQ(0, fcntl(self->p.send, F_SETFL, O_NONBLOCK));
	for (n = 0; n < 10000; n++) {
		r = kipc_send(self->p.send, self->obj);
		if (r)
			break;
	}
	/* as many as the buffer takes, or as descriptors may be in flight */
	EXPECT_TRUE(r == -EAGAIN || r == -ETOOMANYREFS);
	EXPECT_GT(n, 0);
	/* and all of these are whole */
	while (n--) {
		ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
		kipc_object_close(obj);
	}
	EXPECT_EQ(0, kipc_send(self->p.send, self->obj));
}

TEST_F(sock, other_side_closed)
{
	struct kipc_object *obj = NULL;

	if (variant->type != SOCK_DGRAM) {
		ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
		ASSERT_EQ(0, shutdown(self->p.send, SHUT_WR));
		/* what was sent before is still received */
		ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
		kipc_object_close(obj);
		EXPECT_EQ(-EPIPE, kipc_recv(self->p.recv, &obj));
		EXPECT_EQ(-EPIPE, kipc_recv(self->p.recv, &obj));
	}
	close(self->p.recv);
	self->p.recv = -1;
	/* no SIGPIPE either */
	EXPECT_EQ(-EPIPE, kipc_send(self->p.send, self->obj));
}

static int receive_one(void *arg)
{
	struct kipc_object *obj;
	int r = kipc_recv(*(int *)arg, &obj);

	if (!r)
		kipc_object_close(obj);
	return r;
}

static void ignore(int signo)
{
	(void)signo;
}

/* A signal doesn't end it. */
TEST_F(sock, interrupted)
{
	struct sigaction sa = { .sa_handler = ignore };	/* without SA_RESTART */
	struct ksft_thread t;

	sigaction(SIGUSR1, &sa, NULL);
	ksft_thread_start(&t, receive_one, &self->p.recv);
	for (int i = 0; i < 5; i++) {
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(t.tid), 5000));
		pthread_kill(t.pthread, SIGUSR1);
	}
	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	ksft_thread_join(&t);
}

/* The receiver's socket may ask the kernel for more than descriptors. */
TEST_F(sock, credentials_too)
{
	struct kipc_object *obj;
	int on = 1;

	ASSERT_EQ(0, setsockopt(self->p.recv, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
#ifdef SO_PASSPIDFD
	setsockopt(self->p.recv, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on));
#else
	setsockopt(self->p.recv, SOL_SOCKET, 76, &on, sizeof(on));
#endif
	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
	kipc_object_close(obj);
	int fds = count_fds();
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
		ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
		kipc_object_close(obj);
	}
	EXPECT_EQ(fds, count_fds());
}

/* Our own table of descriptors is full: said so, nothing leaks, the next try works. */
TEST_F(sock, receiver_out_of_descriptors)
{
	struct kipc_object *obj = NULL;
	struct rlimit lim, old;
	int fds;

	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
	kipc_object_close(obj);
	obj = NULL;
	fds = count_fds();
	getrlimit(RLIMIT_NOFILE, &old);
	lim = old;
	for (int spare = 0; spare < 2; spare++) {
		int next = dup(0);

		close(next);
		ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
		lim.rlim_cur = (rlim_t)next + (rlim_t)spare;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
		EXPECT_EQ(-EMFILE, kipc_recv(self->p.recv, &obj));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		EXPECT_TRUE(obj == NULL);
		EXPECT_EQ(fds, count_fds());
	}
	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
	kipc_object_close(obj);
}

/* No slot left: said so, nothing leaks. */
TEST_F(sock, no_room_for_another_process)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_peers = 1);
	struct kipc_object *obj = NULL;
	struct kipc_shm *s;
	int fds;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, &o, &s));
	fds = count_fds();
	ASSERT_EQ(0, kipc_send(self->p.send, kipc_shm_object(s)));
	EXPECT_EQ(-EUSERS, kipc_recv(self->p.recv, &obj));
	EXPECT_TRUE(obj == NULL);
	EXPECT_EQ(fds, count_fds());
	kipc_shm_close(s);
}

TEST(not_a_unix_socket)
{
	struct kipc_object *obj = NULL;
	struct kipc_shm *s;
	int fd, pipe_fds[2];

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	EXPECT_EQ(-EBADF, kipc_send(-1, kipc_shm_object(s)));
	EXPECT_EQ(-EBADF, kipc_recv(-1, &obj));
	ASSERT_EQ(0, pipe(pipe_fds));
	EXPECT_EQ(-ENOTSOCK, kipc_send(pipe_fds[1], kipc_shm_object(s)));
	EXPECT_EQ(-ENOTSOCK, kipc_recv(pipe_fds[0], &obj));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd >= 0) {
		EXPECT_EQ(-EINVAL, kipc_send(fd, kipc_shm_object(s)));
		EXPECT_EQ(-EINVAL, kipc_recv(fd, &obj));
		close(fd);
	}
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT_EQ(-ENOTCONN, kipc_send(fd, kipc_shm_object(s)));
	EXPECT_EQ(-EINVAL, kipc_recv(fd, &obj));
	close(fd);
	EXPECT_TRUE(obj == NULL);
	kipc_shm_close(s);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* A stream may be cut anywhere; the descriptors come with any of the pieces. */
TEST(stream_in_pieces)
{
	struct kipc_handover msg = header(KIPC_KIND_SHM, 1);
	struct pair p = socket_pair(SOCK_STREAM);
	const char *bytes = (const char *)&msg;
	struct kipc_shm *s;
	int fd;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	fd = kipc_shm_fd(s);
	for (size_t cut = 1; cut < sizeof(msg); cut += 5)
		for (int with = 0; with < 2; with++) {
			struct ksft_thread t;

			ksft_thread_start(&t, receive_one, &p.recv);
			ASSERT_EQ(cut, send_raw(p.send, bytes, cut, &fd, with == 0));
			/* it has taken the first piece and waits for the rest */
			ASSERT_TRUE(ksft_wait_for(ksft_asleep(t.tid), 5000));
			ASSERT_EQ(sizeof(msg) - cut, send_raw(p.send, bytes + cut, sizeof(msg) - cut,
							      &fd, with == 1));
			ksft_thread_join(&t);
		}
	/* without a wait as well, if the rest comes soon */
	ASSERT_EQ(0, fcntl(p.recv, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(8, send_raw(p.send, bytes, 8, &fd, 1));
	struct ksft_thread t;
	ksft_thread_start(&t, receive_one, &p.recv);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(t.tid), 5000));
	ASSERT_EQ(sizeof(msg) - 8, send_raw(p.send, bytes + 8, sizeof(msg) - 8, NULL, 0));
	ksft_thread_join(&t);
	close_pair(p);
	kipc_shm_close(s);
}

TEST_HARNESS_MAIN
