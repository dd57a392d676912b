// SPDX-License-Identifier: MIT
/*
 * A connection to the broker, which is started when there is none.
 *
 * Starters take turns by a lock file; who gets it looks again, starts kipcd, and holds the lock
 * until that one listens, which it says through a pipe.  The others look every few milliseconds and
 * go ahead as soon as one can connect.  Two brokers can't be: kipcd itself takes a lock for life.
 *
 * The new process must not show in this one: no atfork handler runs, the application gets no
 * SIGCHLD and its wait(2) no child.  So it is a grandchild: a first child, made by clone(2) without
 * a signal for its end, makes the second, which execs.  Both share our memory and have our thread
 * wait, as vfork(2) does, on stacks of their own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/sys.h"
#include "core/wait.h"
#include "names/client.h"

#define STACK_SIZE	(64 * 1024)
/*
 * A function of a child that has our memory, on a stack of its own.  It makes system calls and
 * nothing else; and no sanitizer must think that this is our thread, or a process with memory of
 * its own.
 */
#if defined(KIPC_TSAN) && defined(__clang__)
#define __borrower	__attribute__((disable_sanitizer_instrumentation, noinline))
#else
#define __borrower	__attribute__((no_sanitize("address", "thread", "undefined"), noinline))
#endif
#ifdef KIPC_TSAN
int __clone(int (*fn)(void *arg), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif
/* Brokers that one call starts in vain, as they are killed before they listen. */
#define STARTS_MAX	50

/* ---- which program ---- */

/* kipcd beside this library, as in a build tree: it is the one that was built with it. */
static bool beside_library(char path[PATH_MAX])
{
	Dl_info info;
	const char *slash;
	int n;

	/* the name of a main program is whatever argv[0] says */
	if (!dladdr((void *)(uintptr_t)beside_library, &info) || info.dli_fname[0] != '/')
		return false;
	slash = strrchr(info.dli_fname, '/');
	n = snprintf(path, PATH_MAX, "%.*s/kipcd", (int)(slash - info.dli_fname), info.dli_fname);
	return n < PATH_MAX && !SYS(faccessat(AT_FDCWD, path, X_OK, AT_EACCESS));
}

static void find_program(char path[PATH_MAX])
{
	const char *env = secure_getenv("KIPC_KIPCD");

	if (env && *env)
		snprintf(path, PATH_MAX, "%s", env);
	else if (getauxval(AT_SECURE) || !beside_library(path))
		snprintf(path, PATH_MAX, "%s", KIPC_KIPCD_PATH);
}

/* ---- the new process ---- */

struct spawn {
	const char *program;
	char *const *argv;
	char *const *envp;
	char *stack;		/* two of them */
	int ready;
};

static __borrower int second_child(void *arg)
{
	struct spawn *s = arg;

	syscall(SYS_fcntl, s->ready, F_SETFD, 0);
	syscall(SYS_execve, s->program, s->argv, s->envp);
	syscall(SYS_write, s->ready, "-", 1);
	return syscall(SYS_exit_group, 127);
}

static __borrower int first_child(void *arg)
{
	struct spawn *s = arg;

	clone(second_child, s->stack + 2 * STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, s);
	return syscall(SYS_exit_group, 0);
}

/* Blocks signals meanwhile, so that no handler runs where it would not know that it is a child. */
static int run(struct spawn *s)
{
	sigset_t all, before;
	int pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = (int)SYS(clone(first_child, s->stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, s));
	if (pid > 0)
		SYS_RETRY(waitpid(pid, NULL, __WCLONE));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? pid : 0;
}

static int spawn(const char *dir, int ready)
{
	static char *const no_env[] = { NULL };
	char program[PATH_MAX], dir_arg[PATH_MAX + 32], ready_arg[32];
	char *argv[] = { "kipcd", dir_arg, ready_arg, NULL };
	struct spawn s = {
		.program = program,
		.argv = argv,
		.envp = getauxval(AT_SECURE) ? no_env : environ,
		.ready = ready,
	};
	int r, saved = errno;

	find_program(program);
	snprintf(dir_arg, sizeof(dir_arg), "--runtime-dir=%s", dir);
	snprintf(ready_arg, sizeof(ready_arg), "--ready-fd=%d", ready);
	s.stack = mmap(NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (s.stack == MAP_FAILED) {
		errno = saved;
		return -ENOMEM;
	}
	r = run(&s);
	munmap(s.stack, 2 * STACK_SIZE);
	errno = saved;		/* the children's calls went there, too */
	return r;
}

/*
 * Starts kipcd and waits until it listens, or is gone.  0; -EAGAIN (it was killed before),
 * -ECONNREFUSED (it can't be run, or can't work here), -ETIMEDOUT, -EMFILE and the like.
 */
static int start(const char *dir, int64_t deadline)
{
	char byte;
	int fds[2], r;

	r = (int)SYS(pipe2(fds, O_CLOEXEC));
	if (r)
		return r;
	r = spawn(dir, fds[1]);
	SYS(close(fds[1]));
	if (!r)
		r = __kipc_wait_fd(fds[0], POLLIN, deadline);
	if (!r && SYS_RETRY(read(fds[0], &byte, 1)) != 1)
		r = -EAGAIN;
	else if (!r && byte != '+')
		r = -ECONNREFUSED;
	SYS(close(fds[0]));
	return r;
}

/* ---- connecting ---- */

/* 0, -ENOENT and -ECONNREFUSED (nobody listens), -EAGAIN (its queue is full), or another error. */
static int try_connect(const struct kipc_runtime *rt, int *sock)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, r;

	/* by the descriptor: that folder, and no matter how long its path is */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/broker", rt->fd);
	fd = (int)SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd < 0)
		return fd;
	r = (int)SYS_RETRY(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	if (r)
		SYS(close(fd));
	else
		*sock = fd;
	return r;
}

static void nap(void)
{
	struct timespec ts = __kipc_timespec(KIPC_BROKER_NAP_NS);

	SYS(ppoll(NULL, 0, &ts, NULL));
}

static bool nobody(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* 0: connected; -EAGAIN: somebody is at it, or was killed; look again.  starts: so many are left. */
static int start_in_turn(const struct kipc_runtime *rt, int64_t deadline, int *starts, int *sock)
{
	int lock, r;

	lock = (int)SYS(openat(rt->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (lock < 0)
		return lock;
	r = (int)SYS(flock(lock, LOCK_EX | LOCK_NB));
	if (r) {
		SYS(close(lock));
		return r == -EWOULDBLOCK || r == -EINTR ? -EAGAIN : r;
	}
	r = try_connect(rt, sock);
	if (nobody(r)) {
		r = (*starts)-- ? start(rt->path, deadline) : -ECONNREFUSED;
		if (!r) {
			r = try_connect(rt, sock);
			r = nobody(r) ? -EAGAIN : r;
		}
	}
	/* a child forked meanwhile has the descriptor as well, so that closing ours isn't enough */
	SYS(flock(lock, LOCK_UN));
	SYS(close(lock));
	return r;
}

int __kipc_broker_connect(int64_t deadline, int *sock)
{
	struct kipc_runtime rt;
	int r = __kipc_runtime_open(&rt), starts = STARTS_MAX;

	if (r)
		return r == -ENOENT ? -ECONNREFUSED : r;
	for (;;) {
		r = try_connect(&rt, sock);
		if (nobody(r))
			r = rt.ours ? start_in_turn(&rt, deadline, &starts, sock) : -ECONNREFUSED;
		if (r != -EAGAIN)
			break;
		r = -ETIMEDOUT;
		if (__kipc_now_ns() >= deadline)
			break;
		nap();
	}
	SYS(close(rt.fd));
	return r;
}
