// SPDX-License-Identifier: MIT
/*
 * Sending and receiving the message: see handover.h.
 *
 * Datagram and seqpacket sockets keep messages apart by themselves.  On a stream the kernel never
 * merges bytes that came with descriptors with those that came before or after with others, and the
 * header's fixed size ends our reading; descriptors that come with any byte of it count.
 *
 * What came is hostile until proven: each descriptor that the kernel gave us is either handed to the
 * caller or closed, on every way out.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/compiler.h"
#include "core/sys.h"
#include "core/time.h"
#include "core/wait.h"
#include "names/handover.h"
#include "names/message.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD	0x04
#endif

/* The rest of a message that arrived in part on a non-blocking socket must come within this time. */
#define REST_NS		NSEC_PER_SEC

/* Room for what a socket may be set to add (SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD). */
#define CONTROL_EXTRA	(CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(256) + CMSG_SPACE(sizeof(int)))

union control {
	char buf[CONTROL_EXTRA + CMSG_SPACE(KIPC_HANDOVER_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* The type of a UNIX socket, or -EINVAL, -EBADF, -ENOTSOCK. */
static int socket_type(int sock)
{
	int domain, type;
	socklen_t len = sizeof(domain);
	long r = SYS(getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &len));

	if (r)
		return (int)r;
	if (domain != AF_UNIX)
		return -EINVAL;
	len = sizeof(type);
	r = SYS(getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len));
	return r ? (int)r : type;
}

void __kipc_close_all(const int *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		SYS(close(fds[i]));
}

long __kipc_message_send(int sock, const void *buf, size_t len, const int *fds, uint32_t nfds)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	struct cmsghdr *cmsg;
	long n;

	if (nfds > KIPC_HANDOVER_FDS_MAX)
		return -EINVAL;
	if (nfds) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
	}
	n = SYS_RETRY(sendmsg(sock, &mh, MSG_NOSIGNAL));
	return n == -ECONNRESET || n == -ECONNREFUSED ? -EPIPE : n;
}

int __kipc_handover_send(int sock, const struct kipc_handover *msg, const int *fds, uint32_t nfds)
{
	const char *buf = (const char *)msg;
	size_t left = sizeof(*msg);
	int type = socket_type(sock);
	long n;

	if (type < 0)
		return type;
	n = __kipc_message_send(sock, buf, left, fds, nfds);
	/*
	 * So few bytes go in one piece; were a kernel to take a part, the rest follows, come what
	 * may: half a message would spoil the stream.
	 */
	while (n >= 0 && (size_t)n < left) {
		buf += n;
		left -= (size_t)n;
		n = __kipc_message_send(sock, buf, left, NULL, 0);
		if (n == -EAGAIN && !__kipc_wait_fd(sock, POLLOUT, KIPC_DEADLINE_NEVER))
			n = 0;
	}
	return n < 0 ? (int)n : 0;
}

/* Collects the descriptors of one recvmsg(); closes what is not for us. */
static void collect(struct kipc_inbox *in, struct msghdr *mh)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		bool rights = c->cmsg_type == SCM_RIGHTS;
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || (!rights && c->cmsg_type != SCM_PIDFD))
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fd < 0)
				continue;	/* a pidfd that could not be made */
			if (rights && in->nfds < KIPC_HANDOVER_FDS_MAX) {
				in->fds[in->nfds++] = fd;
				continue;
			}
			in->too_many |= rights;
			SYS(close(fd));
		}
	}
	if (mh->msg_flags & MSG_CTRUNC)
		in->cut = true;
}

long __kipc_message_receive(int sock, void *buf, size_t len, struct kipc_inbox *in, int *flags)
{
	union control control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	long n = SYS_RETRY(recvmsg(sock, &mh, MSG_CMSG_CLOEXEC));

	if (n < 0)
		return n == -ECONNRESET ? -EPIPE : n;
	collect(in, &mh);
	*flags = mh.msg_flags;
	return n;
}

/* The rest of a message of which a part has come, on a stream. */
static int receive_rest(int sock, char *buf, size_t len, struct kipc_inbox *in)
{
	int64_t deadline = __kipc_deadline(REST_NS);
	int flags;
	long n;

	while (len) {
		n = __kipc_message_receive(sock, buf, len, in, &flags);
		if (n == -EAGAIN && !__kipc_wait_fd(sock, POLLIN, deadline))
			continue;
		if (n <= 0)
			return -EPROTO;	/* it ends in the middle, or stands still there */
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

int __kipc_handover_recv(int sock, struct kipc_handover *msg, int *fds, uint32_t *nfds)
{
	struct kipc_inbox in = { .fds = fds };
	int type = socket_type(sock), flags = 0, r = 0;
	long n;

	if (type < 0)
		return type;
	n = __kipc_message_receive(sock, msg, sizeof(*msg), &in, &flags);
	if (n < 0)
		return (int)n;
	if (!n && !in.nfds && type != SOCK_DGRAM)
		return -EPIPE;
	if (type == SOCK_STREAM && n)
		r = receive_rest(sock, (char *)msg + n, sizeof(*msg) - (size_t)n, &in);
	else if (n != (long)sizeof(*msg) || flags & MSG_TRUNC)
		r = -EPROTO;
	if (!r && in.too_many)
		r = -EPROTO;
	/* there was room for more than came: it was our table of descriptors that was full */
	if (!r && in.cut)
		r = in.nfds < KIPC_HANDOVER_FDS_MAX ? -EMFILE : -EPROTO;
	if (r) {
		__kipc_close_all(fds, in.nfds);
		return r;
	}
	*nfds = in.nfds;
	return 0;
}
