// SPDX-License-Identifier: MIT
/*
 * Where clients come in: the runtime folder, the lock on it, the socket.  Or a socket that the
 * service manager made, which then sees to it that there is one broker.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tools/kipcd/kipcd.h"

/* How long a broker that ends may still have the lock. */
#define LOCK_NS		(5 * NSEC_PER_SEC)

int listen_dir(struct broker *b)
{
	struct stat st;
	int fd, r;

	if (mkdir(b->runtime_dir, 0700) && errno != EEXIST) {
		r = -errno;
		warn("%s", b->runtime_dir);
		return r;
	}
	fd = open(b->runtime_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		r = -errno;
		warn("%s", b->runtime_dir);
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (st.st_uid != geteuid() || (st.st_mode & 022)) {
		warnx("%s: not ours, or others may write to it", b->runtime_dir);
		close(fd);
		return -EPERM;
	}
	/* so that who tidies /tmp up leaves it alone: tmpfiles.d(5) */
	flock(fd, LOCK_SH | LOCK_NB);
	b->dir = fd;
	return 0;
}

static socklen_t address(const struct broker *b, const char *name, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", b->dir, name);
	return sizeof(*addr);
}

static bool another_answers(const struct broker *b)
{
	struct sockaddr_un addr;
	socklen_t len = address(b, "broker", &addr);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return false;
	yes = !connect(fd, (struct sockaddr *)&addr, len) || errno == EAGAIN;
	close(fd);
	return yes;
}

int listen_lock(struct broker *b)
{
	const struct timespec nap = { .tv_nsec = 10 * NSEC_PER_MSEC };
	int64_t end = now_ns() + LOCK_NS;
	int r;

	while ((r = ledger_open(b)) == -EBUSY) {
		if (another_answers(b))
			return 1;
		if (now_ns() >= end)
			break;
		nanosleep(&nap, NULL);
	}
	if (r)
		warnx("%s/names: %s", b->runtime_dir, strerror(-r));
	return r;
}

static void accept_ready(struct broker *b, struct source *s, uint32_t events)
{
	int fd = accept4(b->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)s;
	(void)events;
	if (fd >= 0)
		client_new(b, fd);
}

/* The socket appears under its name when it listens: before that, nobody is told that it refuses. */
static int make_socket(struct broker *b)
{
	struct sockaddr_un addr;
	socklen_t len = address(b, "broker.new", &addr);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	unlinkat(b->dir, "broker.new", 0);	/* of one that died right here */
	/* who may reach it, the folder says */
	if (bind(fd, (struct sockaddr *)&addr, len) || fchmodat(b->dir, "broker.new", 0666, 0) ||
	    listen(fd, SOMAXCONN) || renameat(b->dir, "broker.new", b->dir, "broker")) {
		int r = -errno;

		close(fd);
		return r;
	}
	b->listen = fd;
	return 0;
}

int listen_start(struct broker *b)
{
	int r = b->listen < 0 ? make_socket(b) : 0;

	if (!r) {
		b->accept.ready = accept_ready;
		r = loop_add(b, b->listen, &b->accept, EPOLLIN);
	}
	if (r)
		warnx("%s/broker: %s", b->runtime_dir, strerror(-r));
	return r;
}

void listen_end(struct broker *b)
{
	if (b->dir >= 0)
		unlinkat(b->dir, "broker", 0);
}
