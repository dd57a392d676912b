// SPDX-License-Identifier: MIT
/* See attach.h. */
#include "tools/common/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/common/procfs.h"
#include "uapi/kipc/handover.h"
#include "uapi/kipc/queue.h"

#define BELLS	2	/* of a queue, with a descriptor */

/* The memfd, to read and write, if the mode of the file lets us. */
static int open_memfd(const struct object *object)
{
	int error = -ENOENT;

	for (size_t i = 0; i < object->holders.n; i++) {
		const struct handle *h = &object->holders.handle[i];
		char path[64];
		struct stat st;
		int fd;

		if (h->fd < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", h->pid, h->fd);
		fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0) {
			error = errno == ENOENT ? error : -errno;
			continue;
		}
		if (!fstat(fd, &st) && st.st_dev == object->dev && st.st_ino == object->ino)
			return fd;
		close(fd);
	}
	return error;
}

/* ---- doorbells ---- */

struct search {
	pid_t pid;
	int pidfd;
	uint64_t id;
	int fd;		/* -1: not found yet */
	int error;
};

static void one_eventfd(int dirfd, const char *name, const char *link, void *arg)
{
	struct search *s = arg;
	int fd = atoi(name);
	uint64_t id;

	(void)dirfd;
	(void)link;
	if (s->fd >= 0 || proc_eventfd_id(s->pid, fd, &id) || id != s->id)
		return;
	s->fd = (int)syscall(SYS_pidfd_getfd, s->pidfd, fd, 0);
	if (s->fd < 0)
		s->error = -errno;
}

/* The eventfd of that number, from whoever holds the object. */
static int find_eventfd(const struct object *object, uint64_t id)
{
	struct search s = { .id = id, .fd = -1, .error = -ENOENT };

	for (size_t i = 0; i < object->holders.n && s.fd < 0; i++) {
		if (object->holders.handle[i].pid == s.pid)
			continue;
		s.pid = object->holders.handle[i].pid;
		s.pidfd = (int)syscall(SYS_pidfd_open, s.pid, 0);
		if (s.pidfd < 0)
			continue;
		proc_each_fd(s.pid, "anon_inode:[eventfd]", one_eventfd, &s);
		close(s.pidfd);
	}
	return s.fd >= 0 ? s.fd : s.error;
}

static int find_bells(const struct view *v, const struct object *object, int fds[BELLS])
{
	struct kipc_queue_shared sh;

	if (view_read(v, v->hdr.body_off, &sh, sizeof(sh)))
		return -EPROTO;
	for (int i = 0; i < BELLS; i++) {
		uint64_t eventfd = sh.bells[i].eventfd;

		if (!eventfd)
			return -EOPNOTSUPP;
		fds[i] = find_eventfd(object, eventfd - 1);
		if (fds[i] < 0)
			return fds[i];
	}
	return 0;
}

/* ---- handing it over to ourselves ---- */

static int send_to(int sock, uint16_t kind, const int *fds, uint32_t n)
{
	struct kipc_handover msg = {
		.magic = KIPC_HANDOVER_MAGIC,
		.version = KIPC_HANDOVER_VERSION,
		.kind = kind,
		.nfds = n,
	};
	union {
		char buf[CMSG_SPACE(KIPC_HANDOVER_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	return sendmsg(sock, &mh, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int hand_over(uint16_t kind, const int *fds, uint32_t n, struct kipc_object **obj)
{
	int socks[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	r = send_to(socks[0], kind, fds, n);
	if (!r)
		r = kipc_recv(socks[1], obj);
	close(socks[0]);
	close(socks[1]);
	return r;
}

int attach(const struct view *v, const struct object *object, struct kipc_object **obj)
{
	int fds[1 + BELLS] = { -1, -1, -1 };
	uint32_t n = 1;
	int r = 0;

	if (v->hdr.kind == KIPC_SEG_PIPE)
		return -EOPNOTSUPP;
	if (v->hdr.kind == KIPC_SEG_QUEUE) {
		r = find_bells(v, object, fds + 1);
		n = 1 + BELLS;
	}
	if (!r)
		r = fds[0] = open_memfd(object);
	if (r >= 0)
		r = hand_over(v->hdr.kind, fds, n, obj);
	for (uint32_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}
