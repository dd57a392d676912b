// SPDX-License-Identifier: MIT
/*
 * Connections.  A client sends one request and reads one reply; who sends the next without having
 * read that, or anything that is no request, is dropped.  Nothing is ever kept for a client but the
 * connection itself, and nothing waits for one.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "tools/kipcd/kipcd.h"

/* A client that asks for nothing is dropped after this time; the library asks at once. */
#define PATIENCE_NS	(30 * NSEC_PER_SEC)
/* The kernel's limit of descriptors in one message: so none is ever cut off for want of room. */
#define SCM_FDS_MAX	253

union control {
	char buf[CMSG_SPACE(SCM_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* ---- sending ---- */

int client_send(int fd, const void *buf, size_t len, const int *fds, uint32_t nfds)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (nfds) {
		memset(&control, 0, CMSG_SPACE(nfds * sizeof(int)));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EPROTO;
}

static int reply(struct client *c, struct exchange *x)
{
	struct kipc_broker_reply *head = &x->reply.head;
	bool list = x->req.op == KIPC_BROKER_LIST && !head->error;
	int r;

	head->magic = KIPC_BROKER_MAGIC;
	head->version = KIPC_BROKER_VERSION;
	head->op = x->req.op;
	head->kind = x->req.kind;
	head->broker = c->b->id;
	if (head->error)
		head->nfds = 0;
	r = client_send(c->fd, head, list ? sizeof(x->reply) : sizeof(*head), x->out, head->nfds);
	/* as many descriptors as our user may have are on their way to those who don't fetch them */
	if (r == -ETOOMANYREFS) {
		head->error = -EAGAIN;
		head->nfds = 0;
		r = client_send(c->fd, head, sizeof(*head), NULL, 0);
	}
	return r;
}

/* ---- receiving ---- */

/* Takes the descriptors out of a message.  How many; those for which there is no room are closed. */
static uint32_t collect(struct msghdr *mh, int *fds, uint32_t max, uid_t uid)
{
	uint32_t got = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++, got++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (got < max)
				fds[got] = fd;
			else
				close_later(fd, uid);
		}
	}
	return got;
}

/* One message: its length, 0 at the end, or a negative errno.  *nfds: how many descriptors came. */
static ssize_t receive(struct client *c, struct exchange *x, uint32_t *nfds)
{
	union control control;
	/* one byte more, to see that a message is too long */
	struct {
		struct kipc_broker_request req;
		char more;
	} msg = { 0 };
	struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg.req) + 1 };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	*nfds = collect(&mh, x->fds, KIPC_BROKER_FDS, c->uid);
	x->req = msg.req;
	if (n && mh.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	return n;
}

/* 0; -EPROTONOSUPPORT (a request of another version, which is told so); -EPROTO. */
static int check(const struct kipc_broker_request *req, ssize_t len, uint32_t nfds)
{
	if (len < (ssize_t)(offsetof(struct kipc_broker_request, op)) ||
	    req->magic != KIPC_BROKER_MAGIC)
		return -EPROTO;
	if (req->version != KIPC_BROKER_VERSION)
		return -EPROTONOSUPPORT;
	return len == (ssize_t)sizeof(*req) && req->nfds == nfds && nfds <= KIPC_BROKER_FDS ?
		       0 :
		       -EPROTO;
}

static void move_to_end(struct client *c)
{
	struct clients *all = &c->b->clients;

	if (c->pprev) {
		*c->pprev = c->next;
		if (c->next)
			c->next->pprev = c->pprev;
		else
			all->last = c->pprev;
	}
	c->since = now_ns();
	c->next = NULL;
	c->pprev = all->last;
	*all->last = c;
	all->last = &c->next;
}

/* Reads and answers one request.  False: the client is to be dropped. */
static bool serve(struct client *c)
{
	struct exchange x = { 0 };
	uint32_t nfds = 0;
	int unread = 0, r;
	ssize_t n;

	if (closer_full(c->uid))
		return false;
	n = receive(c, &x, &nfds);
	if (n == -EAGAIN || n == -EINTR)
		return true;
	move_to_end(c);
	r = n > 0 ? check(&x.req, n, nfds) : n ? (int)n : -EPIPE;
	/* a listener has nothing more to say; and what was said to it, it has to read */
	if (!r && (c->listening || ioctl(c->fd, SIOCOUTQ, &unread) || unread))
		r = -EPROTO;
	if (!r) {
		request_handle(c, &x);
		r = reply(c, &x);
	} else if (r == -EPROTONOSUPPORT) {
		x.reply.head.error = r;
		reply(c, &x);
	}
	for (uint32_t i = 0; i < nfds && i < KIPC_BROKER_FDS; i++)
		if (x.fds[i] >= 0)
			close_later(x.fds[i], c->uid);
	return !r;
}

static void ready(struct broker *b, struct source *s, uint32_t events)
{
	struct client *c = (struct client *)s;

	(void)b;
	if (!(events & EPOLLIN) || !serve(c))
		client_drop(c);
}

/* ---- coming and going ---- */

/* Says that there are too many of that user, without having read anything. */
static void refuse(struct broker *b, int fd, uid_t uid)
{
	struct kipc_broker_reply busy = {
		.magic = KIPC_BROKER_MAGIC,
		.version = KIPC_BROKER_VERSION,
		.error = -EBUSY,
		.broker = b->id,
	};

	client_send(fd, &busy, sizeof(busy), NULL, 0);
	close_connection(fd, uid);
}

struct client *client_new(struct broker *b, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(struct ucred);
	struct ucred cred = { .uid = (uid_t)-1 };

	if (!c || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		goto out;
	c->source.ready = ready;
	c->b = b;
	c->fd = fd;
	c->uid = cred.uid;
	c->gid = cred.gid;
	c->pid = cred.pid;
	c->user = user_get(b, c->uid);
	if (!c->user)
		goto out;
	if (c->user->clients >= b->limits.user_clients || !limits_descriptors(b, false) ||
	    loop_add(b, fd, &c->source, EPOLLIN | EPOLLRDHUP)) {
		user_put(b, c->user);
		goto out;
	}
	c->user->clients++;
	b->clients.n++;
	move_to_end(c);
	return c;
out:
	free(c);
	refuse(b, fd, cred.uid);
	return NULL;
}

void client_drop(struct client *c)
{
	struct broker *b = c->b;

	if (c->listening)
		entry_end(b, c->listening);
	*c->pprev = c->next;
	if (c->next)
		c->next->pprev = c->pprev;
	else
		b->clients.last = c->pprev;
	b->clients.n--;
	c->user->clients--;
	user_put(b, c->user);
	loop_remove(b, c->fd);
	close_connection(c->fd, c->uid);
	free(c);
}

bool client_gone(const struct client *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLRDHUP };

	return poll(&pfd, 1, 0) > 0;
}

int64_t client_expire(struct broker *b)
{
	int64_t now = now_ns();
	struct client *c = b->clients.first, *next;

	for (; c; c = next) {
		next = c->next;
		if (c->listening)
			continue;
		if (now - c->since < PATIENCE_NS)
			return c->since + PATIENCE_NS;
		client_drop(c);
	}
	return -1;
}
