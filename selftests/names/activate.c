// SPDX-License-Identifier: MIT
/*
 * The broker under a service manager, whose part the test plays: a socket that is passed to it, and
 * a store of descriptors that outlives it.  sd_listen_fds(3), sd_notify(3).
 */
#include "raw.h"

enum { STORED_MAX = 200 };

struct manager {
	pthread_mutex_t mutex;
	int notify;			/* datagrams from the broker */
	int listen;
	struct {
		char name[200];
		int fd;
	} stored[STORED_MAX];
	int n;
	bool ready;
	pid_t pid;
	pthread_t thread;
};

FIXTURE(activated) {
	struct names_dir dir;
	struct manager *m;
};

static void handle(struct manager *m, const char *text, int fd)
{
	char name[200] = "";
	const char *at = strstr(text, "FDNAME=");

	if (at)
		sscanf(at, "FDNAME=%199[^\n]", name);
	pthread_mutex_lock(&m->mutex);
	if (strstr(text, "READY=1"))
		m->ready = true;
	if (strstr(text, "FDSTORE=1") && fd >= 0 && m->n < STORED_MAX) {
		strcpy(m->stored[m->n].name, name);
		m->stored[m->n++].fd = fd;
		fd = -1;
	} else if (strstr(text, "FDSTOREREMOVE=1")) {
		for (int i = 0; i < m->n; i++) {
			if (strcmp(m->stored[i].name, name))
				continue;
			close(m->stored[i].fd);
			m->stored[i--] = m->stored[--m->n];
		}
	}
	pthread_mutex_unlock(&m->mutex);
	/* BARRIER=1: that it is closed is the answer */
	if (fd >= 0)
		close(fd);
}

static void *manage(void *arg)
{
	struct manager *m = arg;

	for (;;) {
		union {
			char buf[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control;
		char text[512];
		struct iovec iov = { text, sizeof(text) - 1 };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				     .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(m->notify, &mh, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c;
		int fd = -1;

		if (n <= 0)
			return NULL;
		text[n] = '\0';
		c = CMSG_FIRSTHDR(&mh);
		if (c && c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		handle(m, text, fd);
	}
}

static void start(struct __ksft_self_of_activated *self);

FIXTURE_SETUP(activated)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct manager *m;

	names_begin(&self->dir);
	m = self->m = calloc(1, sizeof(*m));
	pthread_mutex_init(&m->mutex, NULL);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.40s/broker", self->dir.path);
	m->listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ASSERT_EQ(0, bind(m->listen, (struct sockaddr *)&addr, sizeof(addr)));
	ASSERT_EQ(0, listen(m->listen, 100));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.40s/notify", self->dir.path);
	m->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(0, bind(m->notify, (struct sockaddr *)&addr, sizeof(addr)));
	ASSERT_EQ(0, pthread_create(&m->thread, NULL, manage, m));
	/* were the library to start one itself, that would be an error */
	setenv("KIPC_KIPCD", "/bin/false", 1);
	start(self);
}

static void end(struct manager *m)
{
	if (m->pid <= 0)
		return;
	kill(m->pid, SIGKILL);
	ksft_wait(m->pid);
	m->pid = 0;
}

FIXTURE_TEARDOWN(activated)
{
	end(self->m);
	shutdown(self->m->notify, SHUT_RDWR);
	pthread_join(self->m->thread, NULL);
	free(self->m);
	names_remove(self->dir.path);
}

/* In the child: from 3 on the socket and what is stored, in reverse, as systemd has it. */
static void pass(struct manager *m, const char *dir)
{
	char names[STORED_MAX * 80] = "kipcd.socket", number[16], notify[80];
	int fds[1 + STORED_MAX], n = 1;

	fds[0] = fcntl(m->listen, F_DUPFD, 500);
	for (int i = m->n; i-- > 0;) {
		strcat(strcat(names, ":"), m->stored[i].name);
		fds[n++] = fcntl(m->stored[i].fd, F_DUPFD, 500);
	}
	for (int i = 0; i < n; i++)
		dup2(fds[i], 3 + i);
	close_range(3 + (unsigned int)n, ~0U, 0);
	snprintf(number, sizeof(number), "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(notify, sizeof(notify), "%s/notify", dir);
	setenv("NOTIFY_SOCKET", notify, 1);
}

static void start(struct __ksft_self_of_activated *self)
{
	struct manager *m = self->m;

	pthread_mutex_lock(&m->mutex);
	m->ready = false;
	m->pid = fork();
	if (!m->pid) {
		pass(m, self->dir.path);
		execl(self->dir.kipcd, "kipcd", "--foreground", NULL);
		_exit(127);
	}
	pthread_mutex_unlock(&m->mutex);
	ASSERT_TRUE(ksft_wait_for(m->ready, 10000));
}

static void restart(struct __ksft_self_of_activated *self)
{
	end(self->m);
	start(self);
}

TEST_F(activated, used_as_ever)
{
	for (int i = 0; i < 4; i++)
		names_create_and_find(names_kinds[i]);
	/* queue: memfd, two eventfds, memfd for reading; the others two memfds */
	EXPECT_EQ(4 + 3 * 2, self->m->n);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, names_kinds[i]->unlink("thing"));
	EXPECT_EQ(0, self->m->n);
}

/* What nobody holds but the manager is there again, all of it. */
TEST_F(activated, killed)
{
	KIPC_OPTS(kipc_shm_opts, ro, .flags = KIPC_NAME_RDONLY);
	struct kipc_object *obj = NULL;
	struct kipc_shm *s;

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, names_kinds[i]->create("thing", 0, 0640, &obj));
		EXPECT_EQ(0, names_kinds[i]->mark(obj));
		kipc_object_close(obj);
	}
	for (int round = 0; round < 3; round++) {
		restart(self);
		for (int i = 0; i < 4; i++) {
			ASSERT_EQ(0, names_kinds[i]->open("thing", 0, &obj));
			EXPECT_EQ(0, names_kinds[i]->find(obj));
			/* who took the message puts it back */
			if (!i)
				EXPECT_EQ(0, names_kinds[i]->mark(obj));
			kipc_object_close(obj);
			EXPECT_EQ(-EEXIST, names_kinds[i]->create("thing", 0, 0, &obj));
		}
		ASSERT_EQ(0, kipc_shm_open("thing", &ro, &s));
		kipc_shm_close(s);
	}
	EXPECT_EQ(0, kipc_shm_unlink("thing"));
	restart(self);
	EXPECT_EQ(-ENOENT, kipc_shm_open("thing", NULL, &s));
}

static int hold_tied(void *arg)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_NAME_TIED);
	struct kipc_shm *s;

	(void)arg;
	if (kipc_shm_create("tied", 1, &o, &s))
		return 1;
	for (;;)
		pause();
}

TEST_F(activated, tied)
{
	struct kipc_shm *s;
	pid_t pid = ksft_fork(hold_tied, NULL);

	ASSERT_TRUE(ksft_wait_for(!kipc_shm_open("tied", NULL, &s), 10000));
	kipc_shm_close(s);
	restart(self);
	ASSERT_EQ(0, kipc_shm_open("tied", NULL, &s));
	kipc_shm_close(s);
	ksft_kill(pid);
	EXPECT_TRUE(ksft_wait_for(kipc_shm_open("tied", NULL, &s) == -ENOENT, 10000));
	EXPECT_TRUE(ksft_wait_for(self->m->n == 0, 10000));
	/* it ends while no broker runs */
	pid = ksft_fork(hold_tied, NULL);
	ASSERT_TRUE(ksft_wait_for(!kipc_shm_open("tied", NULL, &s), 10000));
	kipc_shm_close(s);
	end(self->m);
	ksft_kill(pid);
	start(self);
	EXPECT_TRUE(ksft_wait_for(kipc_shm_open("tied", NULL, &s) == -ENOENT, 10000));
}

/* A listener doesn't even notice: its connection is in the store, too. */
TEST_F(activated, listener)
{
	struct kipc_pipe_listener *l, *other;
	struct kipc_pipe *a, *b;
	struct pollfd pfd = { .events = POLLIN };

	ASSERT_EQ(0, kipc_pipe_listen("server.with.dots", NULL, &l));
	restart(self);
	pfd.fd = kipc_pipe_listener_fd(l);
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	EXPECT_EQ(-EEXIST, kipc_pipe_listen("server.with.dots", NULL, &other));
	ASSERT_EQ(0, kipc_pipe_connect("server.with.dots", NULL, &a, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_accept(l, &b, KIPC_NOWAIT));
	kipc_pipe_close(a);
	kipc_pipe_close(b);
	end(self->m);
	kipc_pipe_listener_close(l);
	start(self);
	EXPECT_TRUE(ksft_wait_for(kipc_pipe_connect("server.with.dots", NULL, &a, KIPC_NOWAIT) ==
				  -ENOENT, 10000));
	EXPECT_TRUE(ksft_wait_for(self->m->n == 0, 10000));
}

/* What comes back is looked at as if a client had sent it; a name that is not whole is none. */
TEST_F(activated, a_store_of_rubbish)
{
	static const char *const names[] = { "", "1", "1.0.x", "3.0.x/y", "3.0.", "9.0.x", "3.7.x",
					     "1.1.x", "3.p.x", "2.l.x", "2.l.600.5.x", "3.r.ok",
					     "stored", "2.0.y", "3.00.x" };
	struct manager *m = self->m;
	struct kipc_shm *s;
	int fds[2];

	end(m);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		strcpy(m->stored[m->n].name, names[i]);
		m->stored[m->n++].fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	/* one that would do for reading, alone */
	raw_segment(KIPC_SEG_SHM, "half", 0600, fds);
	strcpy(m->stored[m->n].name, "3.r.half");
	m->stored[m->n++].fd = fds[1];
	start(self);
	EXPECT_EQ(-ENOENT, kipc_shm_open("half", NULL, &s));
	EXPECT_EQ(-ENOENT, kipc_shm_open("ok", NULL, &s));
	ASSERT_EQ(0, kipc_shm_create("ok", 1, NULL, &s));
	kipc_shm_close(s);
	EXPECT_EQ(0, kipc_shm_unlink("ok"));
}

TEST_HARNESS_MAIN
