// SPDX-License-Identifier: MIT
/* See broker.h. */
#include "tools/common/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <kipc/names.h>

#include "names/trust.h"

/* A broker answers at once, or is stopped. */
#define PATIENCE_S	2

/* Who may write to the folder can stand in for the broker. */
static int open_folder(void)
{
	char path[PATH_MAX];
	struct stat st;
	int fd, r = kipc_names_dir(path, sizeof(path));

	if (r)
		return r;
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && __kipc_folder_safe(fd, &st))
		return fd;
	close(fd);
	return -EPERM;
}

int broker_connect(void)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int dir = open_folder(), sock, r;

	if (dir < 0)
		return dir;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/broker", dir);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	r = sock < 0 ? -errno : 0;
	if (!r && (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
		   setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
		   connect(sock, (struct sockaddr *)&addr, sizeof(addr))))
		r = errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(dir);
	if (r && sock >= 0)
		close(sock);
	return r ? r : sock;
}

/* ---- one request, one reply ---- */

union control {
	char buf[CMSG_SPACE(KIPC_BROKER_FDS * sizeof(int))];
	struct cmsghdr align;
};

/* Bytes of the reply, or a negative errno; what came with it is in fds, all of it, or -EMFILE. */
static ssize_t receive(int sock, struct kipc_broker_list *reply, int *fds, uint32_t *nfds)
{
	struct iovec iov = { .iov_base = reply, .iov_len = sizeof(*reply) };
	union control control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		*nfds = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *nfds * sizeof(int));
	}
	return mh.msg_flags & MSG_CTRUNC ? -EMFILE : mh.msg_flags & MSG_TRUNC ? -EPROTO : n;
}

static int judge(const struct kipc_broker_request *req, const struct kipc_broker_list *reply,
		 ssize_t len, uint32_t nfds)
{
	const struct kipc_broker_reply *head = &reply->head;
	bool list = req->op == KIPC_BROKER_LIST;

	if (len < 0)
		return (int)len;
	if (len < (ssize_t)sizeof(*head) || head->magic != KIPC_BROKER_MAGIC)
		return -EPROTO;
	if (head->version != KIPC_BROKER_VERSION)
		return -EPROTONOSUPPORT;
	if (head->error)
		return head->error < 0 && head->error >= -4095 && !nfds ? head->error : -EPROTO;
	if (len != (ssize_t)(list ? sizeof(*reply) : sizeof(*head)) || head->nfds != nfds ||
	    head->count > (list ? KIPC_BROKER_ENTRIES : 0))
		return -EPROTO;
	return 0;
}

static int ask(int sock, struct kipc_broker_request *req, struct kipc_broker_list *reply,
	       int fds[KIPC_BROKER_FDS])
{
	uint32_t nfds = 0;
	ssize_t n;
	int r;

	req->magic = KIPC_BROKER_MAGIC;
	req->version = KIPC_BROKER_VERSION;
	if (send(sock, req, sizeof(*req), MSG_NOSIGNAL) != sizeof(*req))
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	memset(reply, 0, sizeof(*reply));
	n = receive(sock, reply, fds, &nfds);
	r = judge(req, reply, n, nfds);
	if (r)
		for (uint32_t i = 0; i < nfds; i++)
			close(fds[i]);
	return r;
}

int broker_list(int sock, uint64_t *cursor, struct kipc_broker_entry entries[KIPC_BROKER_ENTRIES])
{
	struct kipc_broker_request req = { .op = KIPC_BROKER_LIST, .cursor = *cursor };
	struct kipc_broker_list reply;
	int fds[KIPC_BROKER_FDS], r = ask(sock, &req, &reply, fds);

	if (r)
		return r;
	/* it only goes up, whoever says so */
	if (reply.head.nfds || (reply.head.cursor && reply.head.cursor <= *cursor))
		return -EPROTO;
	memcpy(entries, reply.entry, sizeof(reply.entry));
	for (uint32_t i = 0; i < reply.head.count; i++)
		entries[i].name[KIPC_BROKER_NAME - 1] = '\0';
	*cursor = reply.head.cursor;
	return (int)reply.head.count;
}

int broker_open(int sock, uint32_t kind, const char *name, uint32_t flags,
		int fds[KIPC_BROKER_FDS])
{
	struct kipc_broker_request req = {
		.op = KIPC_BROKER_OPEN,
		.kind = (uint16_t)kind,
		.flags = flags,
	};
	struct kipc_broker_list reply;
	int r;

	snprintf(req.name, sizeof(req.name), "%s", name);
	r = ask(sock, &req, &reply, fds);
	return r ? r : reply.head.nfds;
}
