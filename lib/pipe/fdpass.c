// SPDX-License-Identifier: MIT
/*
 * Descriptors over the control socket: one byte and one SCM_RIGHTS a message (unix(7)).
 *
 * The socket belongs to whoever has the other end, so nothing that comes is believed: descriptors
 * that were not asked for are closed.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/sys.h"
#include "pipe/pipe.h"

#define FD_BYTE		'F'
/* Room to see, and close, more than the one that should come; the kernel drops what is beyond. */
#define FDS_ROOM	4

union control {
	char buf[CMSG_SPACE(FDS_ROOM * sizeof(int))];
	struct cmsghdr align;
};

KIPC_API int kipc_pipe_send_fd(struct kipc_pipe *p, int fd, int64_t timeout_ns)
{
	char byte = FD_BYTE;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union control control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int64_t deadline;
	int r;

	if (!p)
		return -EINVAL;
	r = pipe_enter(p, &p->tx);
	if (r)
		return r;
	if (fd < 0)
		return -EBADF;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));

	deadline = __kipc_deadline(timeout_ns);
	for (;;) {
		r = (int)SYS_RETRY(sendmsg(p->sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL));
		if (r >= 0) {
			KIPC_POINT("pipe.fd.sent");
			return 0;
		}
		if (r == -ECONNRESET)
			return -EPIPE;
		if (r != -EAGAIN)
			return r;
		r = __kipc_wait_fd(p->sock, POLLOUT, deadline);
		if (r)
			return r;
	}
}

/* The descriptor in what came; others are closed.  >= 0, -EPROTO, -EMFILE. */
static int take_fd(struct msghdr *msg, char byte)
{
	int fd = -1, n = 0, one;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0);
		     at += sizeof(int)) {
			memcpy(&one, CMSG_DATA(c) + at, sizeof(int));
			if (n++)
				SYS(close(one));
			else
				fd = one;
		}
	}
	if (n == 1 && !(msg->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) && byte == FD_BYTE)
		return fd;
	if (fd >= 0)
		SYS(close(fd));
	/* truncated to nothing: there was no room for it in our table */
	return !n && (msg->msg_flags & MSG_CTRUNC) ? -EMFILE : -EPROTO;
}

/* Whether a new descriptor can be had: one that can't be installed would be lost. */
static int fd_room(struct kipc_pipe *p)
{
	int fd = (int)SYS(fcntl(p->sock, F_DUPFD_CLOEXEC, 0));

	if (fd < 0)
		return fd;
	SYS(close(fd));
	return 0;
}

KIPC_API int kipc_pipe_recv_fd(struct kipc_pipe *p, int *fd, int64_t timeout_ns)
{
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union control control;
	int64_t deadline;
	bool reset = false;
	int r;

	if (!p || !fd)
		return -EINVAL;
	r = pipe_enter(p, &p->rx);
	if (r)
		return r;
	deadline = __kipc_deadline(timeout_ns);
	for (;;) {
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf),
		};

		r = fd_room(p);
		if (r)
			return r;
		byte = 0;
		r = (int)SYS_RETRY(recvmsg(p->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
		if (r > 0) {
			KIPC_POINT("pipe.fd.received");
			r = take_fd(&msg, byte);
			if (r < 0)
				return r;
			*fd = r;
			return 0;
		}
		if (r == 0)
			/* end of file; or an empty message, which isn't ours either */
			return __kipc_pipe_ask(p) ? -EPIPE : -EPROTO;
		if (r == -ECONNRESET && !reset) {
			/* said once, when the other end left something unread: ours comes after */
			reset = true;
			continue;
		}
		if (r != -EAGAIN)
			return r == -ECONNRESET ? -EPIPE : r;
		r = __kipc_wait_fd(p->sock, POLLIN, deadline);
		if (r)
			return r;
	}
}
