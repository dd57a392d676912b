// SPDX-License-Identifier: MIT
/*
 * A request and its reply: see client.h.
 *
 * The broker is believed no more than any other peer: what comes is a reply of the right size and
 * form, with as many descriptors as it says, or -EPROTO.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/sys.h"
#include "core/wait.h"
#include "names/client.h"
#include "names/message.h"

_Static_assert(KIPC_BROKER_FDS == KIPC_HANDOVER_FDS_MAX, "descriptors");

/* The broker that this process was last in touch with: 0 at first. */
static uint64_t last_broker;

void __kipc_broker_prepare(struct kipc_broker_call *c, enum kipc_broker_op op, uint32_t kind,
			   const char *name)
{
	memset(&c->req, 0, sizeof(c->req));
	c->once = false;
	c->req.magic = KIPC_BROKER_MAGIC;
	c->req.version = KIPC_BROKER_VERSION;
	c->req.op = (uint16_t)op;
	c->req.kind = (uint16_t)kind;
	if (name)
		memcpy(c->req.name, name, strlen(name));
}

/* Whether the reply makes sense. */
static int check(const struct kipc_broker_call *c, size_t len, uint32_t nfds)
{
	const struct kipc_broker_reply *head = &c->reply.head;
	bool list = c->req.op == KIPC_BROKER_LIST;

	if (len < sizeof(*head) || head->magic != KIPC_BROKER_MAGIC)
		return -EPROTO;
	if (head->version != KIPC_BROKER_VERSION)
		return -EPROTONOSUPPORT;
	if (len != (list && !head->error ? sizeof(c->reply) : sizeof(*head)))
		return -EPROTO;
	if ((head->op != c->req.op && !head->error) || head->nfds != nfds || !head->broker ||
	    head->error > 0 || head->error < -4095 ||
	    head->count > (list ? KIPC_BROKER_ENTRIES : 0))
		return -EPROTO;
	return head->error && nfds ? -EPROTO : 0;
}

static int receive(int sock, struct kipc_broker_call *c, int64_t deadline)
{
	struct kipc_inbox in = { .fds = c->got };
	int flags = 0, r;
	long n;

	do {
		r = __kipc_wait_fd(sock, POLLIN, deadline);
		if (r)
			return r;
		n = __kipc_message_receive(sock, &c->reply, sizeof(c->reply), &in, &flags);
	} while (n == -EAGAIN);
	if (n <= 0)
		r = n ? (int)n : -EPIPE;	/* an empty message may have descriptors */
	else if (in.cut && in.nfds < KIPC_BROKER_FDS)
		r = -EMFILE;
	else if (in.cut || in.too_many || flags & MSG_TRUNC)
		r = -EPROTO;
	else
		r = check(c, (size_t)n, in.nfds);
	if (r)
		__kipc_close_all(c->got, in.nfds);
	return r;
}

int __kipc_broker_exchange(int sock, struct kipc_broker_call *c, int64_t deadline)
{
	long n;
	int r;

	for (;;) {
		n = __kipc_message_send(sock, &c->req, sizeof(c->req), c->fds, c->req.nfds);
		if (n != -EAGAIN)
			break;
		r = __kipc_wait_fd(sock, POLLOUT, deadline);
		if (r)
			return r;
	}
	/* it may have said why it hung up */
	if (n < 0 && n != -EPIPE)
		return (int)n;
	return receive(sock, c, deadline);
}

/* One try on a new connection, offers included.  As exchange(), or the reply's error. */
static int ask(struct kipc_broker_call *c, int64_t deadline, int *sock)
{
	int r = __kipc_broker_connect(deadline, sock);

	if (r)
		return r;
	c->req.broker = __kipc_named_any() ? load_relaxed(&last_broker) : 0;
	r = __kipc_broker_exchange(*sock, c, deadline);
	if (!r && c->reply.head.error == -ESTALE && c->req.broker) {
		uint64_t broker = c->reply.head.broker;

		r = __kipc_named_offer(*sock, deadline);
		c->req.broker = broker;
		if (!r)
			r = __kipc_broker_exchange(*sock, c, deadline);
	}
	if (!r) {
		r = c->reply.head.error;
		/* only now: before the offers it knew nothing of us */
		if (r != -ESTALE)
			store_relaxed(&last_broker, c->reply.head.broker);
	}
	if (r) {
		SYS(close(*sock));
		*sock = -1;
	}
	return r;
}

int __kipc_broker_call(struct kipc_broker_call *c, int *sock)
{
	int64_t deadline = __kipc_now_ns() + KIPC_BROKER_PATIENCE_NS;
	struct timespec ts;
	int s = -1, r;

	c->again = false;
	for (;;) {
		r = ask(c, deadline, &s);
		/* it ended, or was killed: the next one; it is busy with too many of this user's */
		if ((r != -EPIPE || c->once) && r != -EBUSY)
			break;
		if (__kipc_now_ns() >= deadline) {
			r = -ETIMEDOUT;
			break;
		}
		c->again |= r == -EPIPE;
		ts = __kipc_timespec(r == -EBUSY ? KIPC_BROKER_NAP_NS : 0);
		SYS(ppoll(NULL, 0, &ts, NULL));
	}
	if (!r && sock)
		*sock = s;
	else if (!r)
		SYS(close(s));
	return r;
}

bool __kipc_broker_lives(int sock)
{
	struct pollfd pfd = { .fd = sock };

	return SYS(poll(&pfd, 1, 0)) == 0;
}
