// SPDX-License-Identifier: MIT
/* A fork child has the same members, and neither process takes events from the other. */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "waitset_test.h"

FIXTURE(fork)
{
	struct kipc_waitset *ws;
	struct kipc_queue *q;
	struct kipc_pipe *e[2];
	int64_t queue, pipe, timer;
	struct ksft_thread t;
	bool stop;
};

RING_AND_EPOLL(fork);

typedef struct __ksft_self_of_fork self_t;

FIXTURE_SETUP(fork)
{
	ksft_needs_processes();
	self->ws = make_set(variant->how);
	self->q = make_queue(4);
	make_pipe(self->e);
	self->queue = kipc_waitset_add_queue(self->ws, self->q, KIPC_READABLE, NULL);
	self->pipe = kipc_waitset_add_pipe(self->ws, self->e[0], KIPC_READABLE, NULL);
	self->timer = kipc_waitset_add_timer(self->ws, KIPC_FOREVER, 0, NULL);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
}

FIXTURE_TEARDOWN(fork)
{
	kipc_waitset_close(self->ws);
	kipc_queue_close(self->q);
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

static int64_t next(struct kipc_waitset *ws)
{
	struct kipc_waitset_event ev;
	int r = kipc_waitset_wait(ws, &ev, 1, LONG_NS);

	return r == 1 ? ev.id : r;
}

static int use(void *arg)
{
	self_t *self = arg;

	/* a process that ended may have left something: that it hasn't, who asks knows */
	EXPECT_EQ(-EAGAIN, get(self->q));
	without_rounds(self->ws);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, put(self->q, 1));
		EXPECT_EQ(self->queue, next(self->ws));
		EXPECT_EQ(1, get(self->q));
		EXPECT_EQ(0, send_u64(self->e[1], 1));
		EXPECT_EQ(self->pipe, next(self->ws));
		EXPECT_EQ(1, recv_u64(self->e[0]));
		EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, self->timer, 1, 0));
		EXPECT_EQ(self->timer, next(self->ws));
		EXPECT_EQ(-EAGAIN, nothing(self->ws));
	}
	/* what a child removes or adds is the child's alone */
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, self->queue));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, self->pipe));
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, self->timer));
	EXPECT_GT(kipc_waitset_add_queue(self->ws, self->q, KIPC_WRITABLE, NULL), 0);
	EXPECT_GE(kipc_waitset_fd(self->ws), 0);
	return 0;
}

TEST_F(fork, both_go_on)
{
	pid_t pid = ksft_fork(use, self);

	ksft_join(pid);
	EXPECT_EQ(variant->how, self->ws->how);
	use(self);
}

/* Also when the parent has never waited, and when the child's child does. */
static int fork_and_use(void *arg)
{
	ksft_join(ksft_fork(use, arg));
	return use(arg);
}

TEST_F(fork, grandchildren)
{
	ksft_join(ksft_fork(fork_and_use, self));
	use(self);
}

/*
 * Whoever has a timer has all its expirations; what is left of it at the fork is the child's as
 * well.
 */
static int wait_for_timer(void *arg)
{
	self_t *self = arg;

	EXPECT_EQ(self->timer, next(self->ws));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	return 0;
}

TEST_F(fork, timers)
{
	pid_t pid[2];

	/* a process that ends may have left something there */
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, self->queue));
	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, self->timer, 200 * MS, 0));
	for (int i = 0; i < 2; i++)
		pid[i] = ksft_fork(wait_for_timer, self);
	wait_for_timer(self);
	for (int i = 0; i < 2; i++)
		ksft_join(pid[i]);
}

/*
 * Signals and descriptors: the child's own signals; a descriptor that the child has closed is
 * silent.
 */
struct more {
	self_t *self;
	int64_t signal, fd;
	int pipe[2];
};

static int signal_itself(void *arg)
{
	struct more *m = arg;
	struct kipc_waitset *ws = m->self->ws;

	close(m->pipe[0]);
	EXPECT_EQ(-EAGAIN, nothing(ws));
	EXPECT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(m->signal, next(ws));
	EXPECT_EQ(-EAGAIN, nothing(ws));
	EXPECT_EQ(0, kipc_waitset_remove(ws, m->fd));
	return 0;
}

TEST_F(fork, signals_and_descriptors)
{
	struct more m = { .self = self };
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, pipe(m.pipe));
	m.signal = kipc_waitset_add_signal(self->ws, &set, NULL);
	m.fd = kipc_waitset_add_fd(self->ws, m.pipe[0], KIPC_READABLE, NULL);
	pid = ksft_fork(signal_itself, &m);
	ksft_join(pid);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(m.signal, next(self->ws));
	EXPECT_EQ(1, write(m.pipe[1], "x", 1));
	EXPECT_EQ(m.fd, next(self->ws));
	close(m.pipe[0]);
	close(m.pipe[1]);
}

/* A child that leaves the set alone closes what it likes, and the set last or first. */
static int descriptors_like(const char *what)
{
	char path[300], link[64];
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *d;
	int found = 0;
	ssize_t n;

	ASSERT_NE(NULL, dir);
	while ((d = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%s", d->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		found += strstr(link, what) != NULL;
	}
	closedir(dir);
	return found;
}

static int close_all(void *arg)
{
	self_t *self = arg;

	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
	kipc_queue_close(self->q);
	EXPECT_EQ(0, descriptors_like("io_uring"));
	EXPECT_EQ(0, descriptors_like("eventpoll"));
	kipc_waitset_close(self->ws);
	EXPECT_EQ(0, descriptors_like("anon_inode"));
	return 0;
}

TEST_F(fork, closed_in_the_child)
{
	EXPECT_EQ(variant->how == HOW_RING, descriptors_like("io_uring"));
	ksft_join(ksft_fork(close_all, self));
	use(self);
}

/* Others may be ready as well. */
static int wait_for_timer_of_its_own(void *arg)
{
	self_t *self = arg;
	int64_t id;

	EXPECT_EQ(0, kipc_waitset_set_timer(self->ws, self->timer, 1, 0));
	do
		id = next(self->ws);
	while (id > 0 && id != self->timer);
	EXPECT_EQ(self->timer, id);
	return 0;
}

/* The parent's waiter sleeps in another thread; the child finds the set whole, and nobody in it. */
static int wait_for_queue(void *arg)
{
	self_t *self = arg;

	EXPECT_EQ(self->queue, next(self->ws));
	return 0;
}

TEST_F(fork, while_one_waits)
{
	ksft_thread_start(&self->t, wait_for_queue, self);
	EXPECT_TRUE(ksft_wait_for(asleep(self->ws) && ksft_asleep(self->t.tid), 10000));
	ksft_join(ksft_fork(wait_for_timer_of_its_own, self));
	EXPECT_EQ(0, put(self->q, 1));
	ksft_thread_join(&self->t);
}

/* Made while another thread changes the set all the time. */
static int change(void *arg)
{
	self_t *self = arg;

	while (!load_relaxed(&self->stop)) {
		int64_t id = kipc_waitset_add_queue(self->ws, self->q, KIPC_WRITABLE, NULL);

		if (!EXPECT_GT(id, 0))
			break;
		kipc_waitset_remove(self->ws, id);
	}
	return 0;
}

TEST_F(fork, while_it_is_changed)
{
	ksft_thread_start(&self->t, change, self);
	for (int i = 0; i < 20; i++) {
		ksft_join(ksft_fork(wait_for_timer_of_its_own, self));
		nothing(self->ws);
	}
	store_relaxed(&self->stop, true);
	ksft_thread_join(&self->t);
	use(self);
}

/* A bare clone(2): nothing works, nothing breaks. */
TEST_F(fork, bare_clone)
{
	struct kipc_waitset_event ev;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	ASSERT_GE(pid, 0);
	if (!pid) {
		int ok = kipc_waitset_wait(self->ws, &ev, 1, KIPC_NOWAIT) == -ECHILD &&
			 kipc_waitset_remove(self->ws, self->queue) == -ECHILD &&
			 kipc_waitset_fd(self->ws) == -ECHILD;

		kipc_waitset_close(self->ws);
		_exit(ok ? 0 : 1);
	}
	ksft_join(pid);
	use(self);
}

TEST_HARNESS_MAIN
