// SPDX-License-Identifier: MIT
/*
 * What clients hand in, verified: that it is a segment's memfd, sealed, with a header of this kind
 * and name; that the rest are eventfds; that a pidfd is one.
 *
 * Every question here is one that no file system, and so nobody else, is asked before the kernel
 * has said that it is a memfd (which only shmem and hugetlbfs have the seals of): neither stat(2)
 * nor read(2) of a stranger's file may hold us up.  Nothing is mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/procfs.h"
#include "tools/kipcd/kipcd.h"

int kind_bells(uint32_t kind)
{
	switch (kind) {
	case KIPC_SEG_QUEUE:
		return 2;
	case KIPC_SEG_SHM:
	case KIPC_SEG_ARRAY:
	case KIPC_SEG_MANAGER:
		return 0;
	}
	return -1;
}

bool object_name_ok(const char name[KIPC_BROKER_NAME])
{
	size_t n = strnlen(name, KIPC_BROKER_NAME);

	if (!n || n == KIPC_BROKER_NAME ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != n)
		return false;
	for (; n < KIPC_BROKER_NAME; n++)
		if (name[n])
			return false;
	return true;
}

/* Whether the link of the descriptor is exactly that; the kernel writes it, no file system. */
static bool link_is(int fd, const char *want)
{
	char path[32], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	return !strcmp(link, want);
}

uint64_t object_eventfd(int fd)
{
	uint64_t id;

	/* the kernel counts from 0; here 0 is none */
	return link_is(fd, "anon_inode:[eventfd]") && !proc_eventfd_id(0, fd, &id) ? id + 1 : 0;
}

int object_memfd(struct object *o, int fd, int accmode)
{
	int seals = fcntl(fd, F_GET_SEALS), flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || flags < 0 || (flags & O_ACCMODE) != accmode)
		return -EPROTO;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -EPROTO;
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	o->uid = st.st_uid;
	o->gid = st.st_gid;
	o->mode = st.st_mode & 0777;
	o->size = (uint64_t)st.st_size;
	return 0;
}

int object_reopen(int fd, int accmode)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, accmode | O_CLOEXEC);
}

bool object_is_pidfd(int fd)
{
	return link_is(fd, "anon_inode:[pidfd]");
}

void object_head(struct object *o, int fd)
{
	struct kipc_seg_header h = { 0 };

	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return;
	o->id = h.id;
	o->created_ns = h.created_ns;
}

static int check_header(struct object *o, int fd, uint32_t kind, const char *name)
{
	struct kipc_seg_header h;

	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return -EPROTO;
	if (h.magic != KIPC_SEG_MAGIC || h.endian != KIPC_SEG_ENDIAN ||
	    h.abi_major != KIPC_ABI_MAJOR || h.kind != kind)
		return -EPROTO;
	if (strncmp(h.name, name, sizeof(h.name)))
		return -EPROTO;
	o->id = h.id;
	o->created_ns = h.created_ns;
	return 0;
}

/* The other view of the same memfd. */
static int check_twin(const struct object *o, int fd, int accmode)
{
	struct object twin;

	return object_memfd(&twin, fd, accmode) || twin.dev != o->dev || twin.ino != o->ino ?
		       -EPROTO :
		       0;
}

int object_check(struct object *o, uint32_t kind, const char *name, uint32_t flags, const int *fds,
		 uint32_t nfds)
{
	int nbells = kind_bells(kind), r;
	bool readonly = flags & KIPC_BROKER_RDONLY, tied = flags & KIPC_BROKER_TIED;
	uint32_t n = 0;

	*o = (struct object){ .readonly = -1, .pidfd = -1 };
	for (size_t i = 0; i < 1 + BELLS_MAX; i++)
		o->fds[i] = -1;
	if (nbells < 0 || nfds != (readonly ? 1u : 2u + (uint32_t)nbells) + tied)
		return -EPROTO;
	if (!readonly) {
		r = object_memfd(o, fds[0], O_RDWR);
		if (r)
			return r;
		o->fds[0] = fds[n++];
		o->nbells = (uint32_t)nbells;
		for (uint32_t i = 0; i < o->nbells; i++) {
			errno = 0;
			o->bell[i] = object_eventfd(fds[n]);
			if (!o->bell[i])
				return errno == EMFILE || errno == ENFILE ? -ENOSPC : -EPROTO;
			o->fds[1 + i] = fds[n++];
		}
		r = check_twin(o, fds[n], O_RDONLY);
	} else {
		r = object_memfd(o, fds[n], O_RDONLY);
	}
	if (r)
		return r;
	o->readonly = fds[n++];
	if (tied) {
		if (!object_is_pidfd(fds[n]))
			return -EPROTO;
		o->pidfd = fds[n];
	}
	return check_header(o, o->readonly, kind, name);
}

int object_check_pipe(const int *fds, uint32_t nfds)
{
	int domain = 0, type = 0, sock = fds[1 + BELLS_MAX];
	socklen_t len = sizeof(int);
	struct object o;

	if (nfds != 2 + BELLS_MAX || object_memfd(&o, fds[0], O_RDWR) ||
	    check_header(&o, fds[0], KIPC_SEG_PIPE, ""))
		return -EPROTO;
	for (int i = 0; i < BELLS_MAX; i++)
		if (!object_eventfd(fds[1 + i]))
			return -EPROTO;
	if (getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
	    getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len))
		return -EPROTO;
	return domain == AF_UNIX && type == SOCK_SEQPACKET ? 0 : -EPROTO;
}

static void move(int *from, int *to)
{
	if (*to >= 0 || *from < 0)
		return;
	*to = *from;
	*from = -1;
}

void object_move(struct broker *b, struct object *o, struct entry *e)
{
	int rw;

	for (size_t i = 0; i < 1 + BELLS_MAX; i++)
		move(&o->fds[i], &e->fds[i]);
	move(&o->readonly, &e->readonly);
	move(&o->pidfd, &e->pidfd);
	/* from a process that could only read: as far as our own rights go */
	if (e->fds[0] < 0 && e->readonly >= 0) {
		rw = object_reopen(e->readonly, O_RDWR);
		move(&rw, &e->fds[0]);
	}
	if (e->readonly < 0 && e->fds[0] >= 0)
		e->readonly = object_reopen(e->fds[0], O_RDONLY);
	entry_changed(b, e);
}
