// SPDX-License-Identifier: MIT
/*
 * Pipes by name: what kipc/pipe.h says of listeners.  Made of the public pipe and the broker alone.
 *
 * A listener is a connection to the broker, which sends the ends of pipes through it.  When the
 * broker is gone the connection hangs up, so that whoever waits in accept, or polls, wakes up;
 * accept then goes to the next broker and has its name again.  The descriptor to poll is an epoll
 * instance that has the connection, so it stays the same.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/opts.h"
#include "core/peer.h"
#include "core/sys.h"
#include "core/wait.h"
#include "kipc/object.h"
#include "kipc/pipe.h"
#include "names/client.h"
#include "names/handover.h"
#include "names/message.h"

struct kipc_pipe_listener {
	char name[KIPC_BROKER_NAME];
	uint64_t id;		/* random: the proof of who we are to the next broker */
	uint32_t mode;
	int epoll;
	pthread_mutex_t mutex;	/* one thread registers anew */
	int sock;		/* -1: not registered; atomic */
};

/* ---- the listener ---- */

/* To whatever broker there is.  Under the mutex, or alone. */
static int enlist(struct kipc_pipe_listener *l)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };
	struct kipc_broker_call c;
	int sock, r;

	__kipc_broker_prepare(&c, KIPC_BROKER_LISTEN, KIPC_SEG_PIPE, l->name);
	c.req.args[0] = l->id;
	c.req.mode = l->mode;
	r = __kipc_broker_call(&c, &sock);
	if (r)
		return r;
	r = (int)SYS(epoll_ctl(l->epoll, EPOLL_CTL_ADD, sock, &ev));
	if (r)
		SYS(close(sock));
	else
		store_release(&l->sock, sock);
	return r;
}

/* After `sock` hung up: unless another thread was faster. */
static int enlist_again(struct kipc_pipe_listener *l, int sock)
{
	int r = 0;

	pthread_mutex_lock(&l->mutex);
	if (l->sock == sock) {
		store_release(&l->sock, -1);
		/* a fork child may have it, too: closing it would not take it out */
		if (sock >= 0) {
			SYS(epoll_ctl(l->epoll, EPOLL_CTL_DEL, sock, NULL));
			SYS(close(sock));
		}
		r = enlist(l);
	}
	pthread_mutex_unlock(&l->mutex);
	return r;
}

static void free_listener(struct kipc_pipe_listener *l)
{
	if (l->sock >= 0)
		SYS(close(l->sock));
	if (l->epoll >= 0)
		SYS(close(l->epoll));
	pthread_mutex_destroy(&l->mutex);
	free(l);
}

KIPC_API int kipc_pipe_listen(const char *name, const struct kipc_pipe_opts *opts,
			      struct kipc_pipe_listener **out)
{
	struct kipc_pipe_listener *l;
	struct kipc_pipe_opts o;
	int r;

	if (!out || __kipc_name_check(name) != 1)
		return -EINVAL;
	r = __kipc_opts_read(&o, sizeof(o), sizeof(o), opts);
	if (r)
		return r;
	if (o.ring_size || o.flags || (o.mode & ~0777u))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	memcpy(l->name, name, strlen(name));
	l->mode = o.mode ? o.mode : 0600;
	l->sock = -1;
	pthread_mutex_init(&l->mutex, NULL);
	r = l->epoll = (int)SYS(epoll_create1(EPOLL_CLOEXEC));
	if (r >= 0 && SYS_RETRY(getrandom(&l->id, sizeof(l->id), 0)) != sizeof(l->id))
		r = -EIO;
	if (r >= 0)
		r = enlist(l);
	if (r) {
		free_listener(l);
		return r;
	}
	*out = l;
	return 0;
}

KIPC_API void kipc_pipe_listener_close(struct kipc_pipe_listener *l)
{
	if (l)
		free_listener(l);
}

KIPC_API int kipc_pipe_listener_fd(struct kipc_pipe_listener *l)
{
	return l ? l->epoll : -EINVAL;
}

/*
 * One end, if one is there.  -EAGAIN: none is; -EPIPE: the broker is gone.  What makes no sense is
 * dropped, and the next one looked at.
 */
static int receive(int sock, struct kipc_pipe **end, struct kipc_pipe_cred *cred)
{
	struct kipc_broker_incoming in;
	int fds[KIPC_BROKER_FDS], r;

	for (;;) {
		struct kipc_inbox box = { .fds = fds };
		struct kipc_object *obj = NULL;
		struct kipc_transfer t;
		int flags = 0;
		long n = __kipc_message_receive(sock, &in, sizeof(in), &box, &flags);

		if (n <= 0 && !box.nfds)
			return n ? (int)n : -EPIPE;
		t = (struct kipc_transfer){ .nfds = box.nfds };
		memcpy(t.fds, fds, box.nfds * sizeof(int));
		memcpy(t.args, in.args, sizeof(t.args));
		r = -EPROTO;
		if (box.cut && box.nfds < KIPC_BROKER_FDS)
			r = -EMFILE;
		else if (n == (long)sizeof(in) && !(flags & MSG_TRUNC) && !box.cut &&
			 in.magic == KIPC_BROKER_MAGIC && in.version == KIPC_BROKER_VERSION &&
			 in.op == KIPC_BROKER_INCOMING && in.kind == KIPC_SEG_PIPE &&
			 in.nfds == box.nfds && box.nfds == __kipc_pipe_object.nfds)
			r = __kipc_pipe_object.import(&t, &obj);
		if (!r) {
			*end = kipc_object_pipe(obj);
			*cred = (struct kipc_pipe_cred){ in.uid, in.gid, in.pid };
			return 0;
		}
		__kipc_close_all(fds, box.nfds);
		/* it is lost, but whoever connected hears of that: the pipe hangs up */
		if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
			return r;
	}
}

KIPC_API int kipc_pipe_accept_from(struct kipc_pipe_listener *l, struct kipc_pipe **end,
				   struct kipc_pipe_cred *cred, int64_t timeout_ns)
{
	int64_t deadline = __kipc_deadline(timeout_ns);
	int sock, r;

	if (!l || !end || !cred)
		return -EINVAL;
	for (;;) {
		sock = load_acquire(&l->sock);	/* pairs with: enlist() */
		r = sock < 0 ? -EPIPE : receive(sock, end, cred);
		if (r == -EPIPE) {
			r = enlist_again(l, sock);
			if (r)
				return r;
			continue;
		}
		if (r != -EAGAIN)
			return r;
		r = __kipc_wait_fd(l->epoll, POLLIN, deadline);
		if (r)
			return r;
	}
}

KIPC_API int kipc_pipe_accept(struct kipc_pipe_listener *l, struct kipc_pipe **end,
			      int64_t timeout_ns)
{
	struct kipc_pipe_cred cred;

	return kipc_pipe_accept_from(l, end, &cred, timeout_ns);
}

/* ---- the other side ---- */

/* One try, with a pipe of its own: a listener may have got that of an earlier one. */
static int try_connect(const char *name, const struct kipc_pipe_opts *o, struct kipc_pipe **end)
{
	struct kipc_handover msg;
	struct kipc_pipe *ends[2];
	struct kipc_broker_call c;
	int r;

	r = kipc_pipe_create(o, ends);
	if (r)
		return r;
	__kipc_broker_prepare(&c, KIPC_BROKER_CONNECT, KIPC_SEG_PIPE, name);
	c.once = true;
	r = __kipc_handover_pack(kipc_pipe_object(ends[0]), &msg, c.fds);
	if (!r) {
		memcpy(c.req.args, msg.args, sizeof(c.req.args));
		c.req.nfds = (uint16_t)msg.nfds;
		r = __kipc_broker_call(&c, NULL);
	}
	kipc_pipe_close(ends[0]);
	if (r)
		kipc_pipe_close(ends[1]);
	else
		*end = ends[1];
	return r;
}

KIPC_API int kipc_pipe_connect(const char *name, const struct kipc_pipe_opts *opts,
			       struct kipc_pipe **end, int64_t timeout_ns)
{
	int64_t deadline = __kipc_deadline(timeout_ns);
	int64_t patience = __kipc_now_ns() + KIPC_BROKER_PATIENCE_NS;
	struct timespec nap = __kipc_timespec(KIPC_BROKER_NAP_NS);
	struct kipc_pipe_opts o;
	int r;

	if (!end || __kipc_name_check(name) != 1)
		return -EINVAL;
	r = __kipc_opts_read(&o, sizeof(o), sizeof(o), opts);
	if (r)
		return r;
	/* who listens may be another user, and has to open it; nobody else ever gets it */
	if (!o.mode)
		o.mode = 0666;
	for (;;) {
		r = try_connect(name, &o, end);
		/* a broker died: the next one */
		if (r == -EPIPE && __kipc_now_ns() < patience)
			continue;
		if (r == -EPIPE)
			return -ETIMEDOUT;
		if (r != -EAGAIN || !deadline)
			return r;
		if (__kipc_now_ns() >= deadline)
			return -ETIMEDOUT;
		SYS(ppoll(NULL, 0, &nap, NULL));
	}
}
