// SPDX-License-Identifier: MIT
/* See attach.h. */
#include "tools/common/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kipc/export.h>

#include "tools/common/broker.h"
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

/* All descriptors from those who hold the object.  0, or a negative errno: some may be there then. */
static int from_holders(const struct view *v, const struct object *object, int fds[1 + BELLS])
{
	int r = v->hdr.kind == KIPC_SEG_QUEUE ? find_bells(v, object, fds + 1) : 0;

	if (r)
		return r;
	fds[0] = open_memfd(object);
	return fds[0] < 0 ? fds[0] : 0;
}

/* The same from the broker, if what has the name is this object. */
static int from_broker(const struct view *v, const struct object *object, int fds[1 + BELLS])
{
	int got[KIPC_BROKER_FDS], sock, n;
	struct stat st;

	if (!object->named || !v->hdr.name[0])
		return -ENOENT;
	sock = broker_connect();
	if (sock < 0)
		return sock;
	n = broker_open(sock, v->hdr.kind, v->hdr.name, 0, got);
	close(sock);
	if (n < 0)
		return n;
	if (n == 1 + (v->hdr.kind == KIPC_SEG_QUEUE ? BELLS : 0) &&
	    fcntl(got[0], F_GET_SEALS) >= 0 && !fstat(got[0], &st) && st.st_dev == object->dev &&
	    st.st_ino == object->ino) {
		memcpy(fds, got, (size_t)n * sizeof(int));
		return 0;
	}
	while (n)
		close(got[--n]);
	return -ENOENT;
}

int attach(const struct view *v, const struct object *object, struct kipc_object **obj)
{
	struct kipc_handover msg = {
		.magic = KIPC_HANDOVER_MAGIC,
		.version = KIPC_HANDOVER_VERSION,
		.kind = v->hdr.kind,
		.nfds = v->hdr.kind == KIPC_SEG_QUEUE ? 1 + BELLS : 1,
	};
	int fds[1 + BELLS] = { -1, -1, -1 }, r = 0;

	if (v->hdr.kind == KIPC_SEG_PIPE)
		return -EOPNOTSUPP;
	if (from_broker(v, object, fds))
		r = from_holders(v, object, fds);
	if (!r)
		r = kipc_import(&msg, sizeof(msg), fds, msg.nfds, obj);
	for (uint32_t i = 0; r && i < msg.nfds; i++)	/* else they are the handle's */
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}
