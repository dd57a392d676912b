// SPDX-License-Identifier: MIT
/* Pipes by name: listen, connect, accept; the broker killed in between; hostile connections. */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "raw.h"

FIXTURE(pipes) {
	struct names_dir dir;
};

FIXTURE_SETUP(pipes)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(pipes)
{
	names_end(&self->dir);
}

/* Answers n connections, each one message long, in capitals. */
static int serve(struct kipc_pipe_listener *l, int n)
{
	char buf[64];

	for (int i = 0; i < n; i++) {
		struct kipc_pipe *p;
		ssize_t len;
		int r = kipc_pipe_accept(l, &p, KIPC_FOREVER);

		if (r) {
			ksft_log("accept: %s", kipc_strerror(r));
			return 1;
		}
		len = kipc_pipe_recv(p, buf, sizeof(buf), KIPC_FOREVER);
		if (len < 0)
			return 2;
		for (ssize_t k = 0; k < len; k++)
			buf[k] -= 'a' - 'A';
		if (kipc_pipe_send(p, buf, (size_t)len, KIPC_FOREVER))
			return 3;
		kipc_pipe_close(p);
	}
	return 0;
}

static void ask(void)
{
	struct kipc_pipe *p;
	char buf[16];

	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &p, 20000000000));
	ASSERT_EQ(0, kipc_pipe_send(p, "hello", 5, KIPC_FOREVER));
	ASSERT_EQ(5, kipc_pipe_recv(p, buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_MEMEQ("HELLO", buf, 5);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(p, buf, sizeof(buf), KIPC_FOREVER));
	kipc_pipe_close(p);
}

struct server {
	int n;
	uint32_t ready;
};

static int server(void *arg)
{
	struct server *s = arg;
	struct kipc_pipe_listener *l;
	int r = kipc_pipe_listen("server", NULL, &l);

	if (r)
		return 10;
	__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
	r = serve(l, s->n);
	kipc_pipe_listener_close(l);
	return r;
}

static pid_t start_server(int n)
{
	struct server *s = ksft_shared(sizeof(*s));
	pid_t pid;

	s->n = n;
	pid = ksft_fork(server, s);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE), 10000));
	return pid;
}

TEST_F(pipes, connections)
{
	pid_t pid = start_server(10);
	struct kipc_pipe *p;

	for (int i = 0; i < 10; i++)
		ask();
	ksft_join(pid);
	EXPECT_EQ(-ENOENT, kipc_pipe_connect("server", NULL, &p, KIPC_FOREVER));
}

TEST_F(pipes, arguments)
{
	KIPC_OPTS(kipc_pipe_opts, size, .ring_size = 8192);
	KIPC_OPTS(kipc_pipe_opts, flags, .flags = KIPC_PIPE_SIMPLEX);
	KIPC_OPTS(kipc_pipe_opts, mode, .mode = 01000);
	KIPC_OPTS(kipc_pipe_opts, bad, .ring_size = 3);
	struct kipc_pipe_listener *l, *other;
	struct kipc_pipe *p;

	EXPECT_EQ(-EINVAL, kipc_pipe_listen(NULL, NULL, &l));
	EXPECT_EQ(-EINVAL, kipc_pipe_listen("a/b", NULL, &l));
	EXPECT_EQ(-EINVAL, kipc_pipe_listen("server", NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_pipe_listen("server", &size, &l));
	EXPECT_EQ(-EINVAL, kipc_pipe_listen("server", &flags, &l));
	EXPECT_EQ(-EINVAL, kipc_pipe_listen("server", &mode, &l));
	EXPECT_EQ(-EINVAL, kipc_pipe_connect(NULL, NULL, &p, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_connect("server", NULL, NULL, KIPC_NOWAIT));
	EXPECT_EQ(-ENOENT, kipc_pipe_connect("server", NULL, &p, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	EXPECT_EQ(-EEXIST, kipc_pipe_listen("server", NULL, &other));
	EXPECT_EQ(-EINVAL, kipc_pipe_connect("server", &bad, &p, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_accept(NULL, &p, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_pipe_accept(l, NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_accept(l, &p, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_accept(l, &p, 1000000));
	EXPECT_EQ(-EINVAL, kipc_name_unlink(KIPC_KIND_PIPE, "server"));
	EXPECT_EQ(-EINVAL, kipc_pipe_listener_fd(NULL));
	kipc_pipe_listener_close(NULL);
	/* the name is free again at once, every time */
	for (int i = 0; i < 100; i++) {
		kipc_pipe_listener_close(l);
		ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	}
	kipc_pipe_listener_close(l);
}

static int note(const struct kipc_name *name, void *arg)
{
	*(struct kipc_name *)arg = *name;
	return 1;
}

TEST_F(pipes, listed)
{
	KIPC_OPTS(kipc_pipe_opts, o, .mode = 0620);
	struct kipc_pipe_listener *l;
	struct kipc_name name;

	ASSERT_EQ(0, kipc_pipe_listen("server", &o, &l));
	ASSERT_EQ(1, kipc_names_foreach(note, &name));
	EXPECT_STREQ("server", name.name);
	EXPECT_EQ(KIPC_KIND_PIPE, name.kind);
	EXPECT_EQ(0620, name.mode);
	EXPECT_EQ(geteuid(), name.uid);
	EXPECT_EQ(0, name.size);
	EXPECT_EQ(0, name.lost);
	kipc_pipe_listener_close(l);
	EXPECT_EQ(0, kipc_names_foreach(note, &name));
}

TEST_F(pipes, simplex_and_who)
{
	KIPC_OPTS(kipc_pipe_opts, o, .flags = KIPC_PIPE_SIMPLEX, .ring_size = 4096);
	struct kipc_pipe_listener *l;
	struct kipc_pipe_cred cred;
	struct kipc_pipe *a, *b;
	char buf[8];

	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	ASSERT_EQ(0, kipc_pipe_connect("server", &o, &a, KIPC_NOWAIT));
	/* sent before it was accepted */
	EXPECT_EQ(0, kipc_pipe_send(a, "early", 5, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_accept_from(l, &b, &cred, KIPC_NOWAIT));
	EXPECT_EQ(geteuid(), cred.uid);
	EXPECT_EQ(getegid(), cred.gid);
	EXPECT_EQ((uint32_t)getpid(), cred.pid);
	EXPECT_EQ(4096, kipc_pipe_size(b));
	EXPECT_EQ(5, kipc_pipe_recv(b, buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EBADF, kipc_pipe_send(b, "x", 1, KIPC_NOWAIT));
	kipc_pipe_close(a);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(b, buf, sizeof(buf), KIPC_NOWAIT));
	kipc_pipe_close(b);
	/* one that nobody accepts hangs up with the listener */
	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &a, KIPC_NOWAIT));
	kipc_pipe_listener_close(l);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(a, buf, sizeof(buf), KIPC_FOREVER));
	kipc_pipe_close(a);
}

TEST_F(pipes, polled)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct kipc_pipe_listener *l;
	struct kipc_pipe *a, *b;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, kipc_pipe_listener_fd(l), &ev));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &a, KIPC_NOWAIT));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, ksft_scale(10000)));
	ASSERT_EQ(0, kipc_pipe_accept(l, &b, KIPC_NOWAIT));
	kipc_pipe_close(a);
	kipc_pipe_close(b);
	EXPECT_EQ(-EAGAIN, kipc_pipe_accept(l, &b, KIPC_NOWAIT));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	/* the broker's end shows, too; and the same descriptor goes on with the next one */
	names_kill(&self->dir);
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, ksft_scale(10000)));
	EXPECT_EQ(-EAGAIN, kipc_pipe_accept(l, &b, KIPC_NOWAIT));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &a, KIPC_NOWAIT));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, ksft_scale(10000)));
	ASSERT_EQ(0, kipc_pipe_accept(l, &b, KIPC_NOWAIT));
	kipc_pipe_close(a);
	kipc_pipe_close(b);
	kipc_pipe_listener_close(l);
	close(ep);
}

/* One waits in accept while brokers come and go: whoever connects finds it. */
TEST_F(pipes, broker_killed_while_it_waits)
{
	pid_t pid = start_server(10);

	for (int i = 0; i < 10; i++) {
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 10000));
		names_kill(&self->dir);
		ask();
	}
	ksft_join(pid);
}

/* One that is not in accept when its broker dies keeps its name, and those who want it wait. */
TEST_F(pipes, broker_killed_while_it_is_busy)
{
	struct kipc_pipe_listener *l, *other;
	struct kipc_pipe *a = NULL, *b;
	struct kipc_name name;
	pid_t pid;

	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	names_kill(&self->dir);
	EXPECT_EQ(-EAGAIN, kipc_pipe_connect("server", NULL, &a, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_connect("server", NULL, &a, 1000000));
	EXPECT_EQ(-EEXIST, kipc_pipe_listen("server", NULL, &other));
	ASSERT_EQ(1, kipc_names_foreach(note, &name));
	EXPECT_EQ(1, name.lost);
	EXPECT_EQ(-EAGAIN, kipc_pipe_accept(l, &b, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &a, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_accept(l, &b, KIPC_FOREVER));
	kipc_pipe_close(a);
	kipc_pipe_close(b);
	kipc_pipe_listener_close(l);
	/* and one whose process ended meanwhile doesn't */
	pid = start_server(1);
	names_kill(&self->dir);
	ksft_kill(pid);
	EXPECT_EQ(-ENOENT, kipc_pipe_connect("server", NULL, &a, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	kipc_pipe_listener_close(l);
}

enum { ASKERS = 4, QUESTIONS = 15 };

static int ask_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < QUESTIONS; i++)
		ask();
	return 0;
}

/* A connection whose answer got lost with its broker is made anew: the listener sees a hang-up. */
static int serve_all(void *arg)
{
	uint32_t *stop = arg;
	struct kipc_pipe_listener *l;
	struct kipc_pipe *p;
	char buf[64];
	int r;

	if (kipc_pipe_listen("server", NULL, &l))
		return 1;
	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		r = kipc_pipe_accept(l, &p, 1000000);
		if (r == -ETIMEDOUT)
			continue;
		if (r) {
			ksft_log("accept: %s", kipc_strerror(r));
			return 2;
		}
		r = (int)kipc_pipe_recv(p, buf, sizeof(buf), KIPC_FOREVER);
		if (r == 5 && kipc_pipe_send(p, "HELLO", 5, KIPC_FOREVER))
			return 3;
		if (r != 5 && r != -EPIPE)
			return 4;
		kipc_pipe_close(p);
	}
	return 0;
}

TEST_F_TIMEOUT(pipes, broker_killed_under_load, 60)
{
	uint32_t *stop = ksft_shared(4096);
	pid_t server = ksft_fork(serve_all, stop), asker[ASKERS];
	struct kipc_name name;
	int kills = 0, left = ASKERS;

	ASSERT_TRUE(ksft_wait_for(kipc_names_foreach(note, &name) == 1, 10000));
	for (int i = 0; i < ASKERS; i++)
		asker[i] = ksft_fork(ask_many, NULL);
	while (left) {
		pid_t pid = names_broker(&self->dir);

		if (pid && !kill(pid, SIGKILL))
			kills++;
		/* until it is gone, and somebody has started the next one */
		ksft_wait_for(names_broker(&self->dir) || !left, 100);
		left = 0;
		for (int i = 0; i < ASKERS; i++) {
			siginfo_t info = { .si_pid = 0 };

			waitid(P_PID, (id_t)asker[i], &info, WEXITED | WNOHANG | WNOWAIT);
			left += !info.si_pid;
		}
		if (kills > 30)
			ksft_wait_for(names_broker(&self->dir) == 0, 20);
	}
	for (int i = 0; i < ASKERS; i++)
		ksft_join(asker[i]);
	__atomic_store_n(stop, 1, __ATOMIC_RELEASE);
	ksft_join(server);
	EXPECT_GT(kills, 0);
	ksft_log("%d kills", kills);
}

/* ---- hostile ---- */

TEST_F(pipes, backlog)
{
	struct kipc_pipe_listener *l;
	struct kipc_pipe *p, *other;
	int n = 0, r;

	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	while ((r = kipc_pipe_connect("server", NULL, &p, KIPC_NOWAIT)) == 0 && n < 1000) {
		kipc_pipe_close(p);
		n++;
	}
	EXPECT_EQ(-EAGAIN, r);
	EXPECT_GE(n, 5);
	EXPECT_LT(n, 1000);
	/* room for one, and it goes on */
	ASSERT_EQ(0, kipc_pipe_accept(l, &other, KIPC_NOWAIT));
	kipc_pipe_close(other);
	ASSERT_TRUE(ksft_wait_for(!kipc_pipe_accept(l, &other, KIPC_NOWAIT), 1000));
	kipc_pipe_close(other);
	EXPECT_EQ(0, kipc_pipe_connect("server", NULL, &p, 10000000000));
	kipc_pipe_close(p);
	kipc_pipe_listener_close(l);
}

TEST_F(pipes, garbage)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_CONNECT, KIPC_SEG_PIPE, "server");
	struct kipc_pipe_listener *l;
	struct kipc_pipe *a, *b;
	int fds[6], sv[2];

	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &l));
	/* what the broker sees is wrong */
	raw_segment(KIPC_SEG_PIPE, "", 0600, fds);
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, fds, 0));
	for (int i = 1; i < 5; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[5] = fds[4];
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, fds, 6));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
	fds[5] = sv[0];
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, fds, 6));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	fds[5] = sv[0];
	req.flags = KIPC_BROKER_TIED;
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, fds, 6));
	req.flags = 0;
	EXPECT_EQ(-EAGAIN, kipc_pipe_accept(l, &b, KIPC_NOWAIT));
	/* what only the listener sees, a pipe without a body, is dropped, and the next one comes */
	EXPECT_EQ(0, raw_ask_once(&self->dir, &req, fds, 6));
	req.args[0] = 7;
	EXPECT_EQ(0, raw_ask_once(&self->dir, &req, fds, 6));
	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &a, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_accept(l, &b, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_send(a, "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv(b, fds, sizeof(fds), KIPC_FOREVER));
	kipc_pipe_close(a);
	kipc_pipe_close(b);
	kipc_pipe_listener_close(l);
}

/* A connection that listens has nothing more to ask. */
TEST_F(pipes, a_listener_that_asks)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_LISTEN, KIPC_SEG_PIPE, "server");
	struct kipc_shm *s;
	struct kipc_name name;
	int sock;

	ASSERT_EQ(0, kipc_shm_create("anchor", 1, NULL, &s));
	sock = names_connect(&self->dir);
	req.mode = 01000;
	EXPECT_EQ(-EPROTO, raw_ask(sock, &req, NULL, 0));
	req.mode = 0600;
	req.flags = KIPC_BROKER_TIED;
	EXPECT_EQ(-EPROTO, raw_ask(sock, &req, NULL, 0));
	req.flags = 0;
	EXPECT_EQ(0, raw_ask(sock, &req, NULL, 0));
	EXPECT_EQ(4711, raw_ask(sock, &req, NULL, 0));
	EXPECT_EQ(1, kipc_names_foreach(note, &name));
	EXPECT_STREQ("anchor", name.name);
	EXPECT_EQ(0, kipc_shm_unlink("anchor"));
	EXPECT_EQ(0, kipc_names_foreach(note, &name));
	close(sock);
	kipc_shm_close(s);
}

/* ---- two users ---- */

static int connect_as(void *arg)
{
	struct kipc_pipe *p;
	char buf[16];

	if (setresgid(4002, 4002, 4002) || setresuid(4002, 4002, 4002))
		return 1;
	EXPECT_EQ(-EACCES, kipc_pipe_connect("closed", NULL, &p, KIPC_FOREVER));
	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &p, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_send(p, "hello", 5, KIPC_FOREVER));
	EXPECT_EQ(5, kipc_pipe_recv(p, buf, sizeof(buf), KIPC_FOREVER));
	(void)arg;
	return 0;
}

static int listen_as(void *arg)
{
	KIPC_OPTS(kipc_pipe_opts, o, .mode = 0622);
	struct kipc_pipe_listener *l, *closed;
	struct kipc_pipe_cred cred;
	struct kipc_pipe *p;
	char buf[16];

	if (setresgid(4001, 4001, 4001) || setresuid(4001, 4001, 4001))
		return 1;
	ASSERT_EQ(0, kipc_pipe_listen("server", &o, &l));
	ASSERT_EQ(0, kipc_pipe_listen("closed", NULL, &closed));
	__atomic_store_n((uint32_t *)arg, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, kipc_pipe_accept_from(l, &p, &cred, KIPC_FOREVER));
	EXPECT_EQ(4002, cred.uid);
	EXPECT_EQ(4002, cred.gid);
	EXPECT_EQ(5, kipc_pipe_recv(p, buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_send(p, buf, 5, KIPC_FOREVER));
	return 0;
}

TEST_F(pipes, two_users)
{
	uint32_t *ready = ksft_shared(4096);
	struct kipc_shm *s;
	pid_t pid;

	if (geteuid())
		SKIP("only root can be two users");
	ASSERT_EQ(0, kipc_shm_create("anchor", 1, NULL, &s));
	ASSERT_EQ(0, chmod(self->dir.path, 0755));
	pid = ksft_fork(listen_as, ready);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(ready, __ATOMIC_ACQUIRE), 10000));
	ksft_join(ksft_fork(connect_as, NULL));
	ksft_join(pid);
	kipc_shm_close(s);
}

TEST_HARNESS_MAIN
