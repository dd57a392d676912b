// SPDX-License-Identifier: MIT
/*
 * Objects with names: made and published, opened, remembered.  See core/names.h.
 *
 * The list is in the order in which the objects came, each with a number, so that a walk can let go
 * of the mutex between any two: nothing waits for the broker under it.  fork(2) waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "core/names.h"
#include "core/opts.h"
#include "core/peer.h"
#include "core/sys.h"
#include "core/time.h"
#include "names/client.h"
#include "names/message.h"

struct kipc_named {
	struct kipc_object *obj;
	char name[KIPC_BROKER_NAME];
	pid_t tied_to;			/* the process that created it with KIPC_NAME_TIED, or 0 */
	uint64_t number;
	struct kipc_named *next, **pprev;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct kipc_named *first, **last = &first;
static uint64_t last_number;

static void before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&mutex);
}

static void after_fork_child(void)
{
	pthread_mutex_init(&mutex, NULL);
}

static void init_once(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* ---- the list ---- */

static struct kipc_named *new_named(const char *name, bool tied)
{
	struct kipc_named *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->tied_to = tied ? getpid() : 0;
	return n;
}

static void remember(struct kipc_named *n, struct kipc_object *obj)
{
	pthread_once(&once, init_once);
	n->obj = obj;
	obj->named = n;
	pthread_mutex_lock(&mutex);
	n->number = ++last_number;
	n->pprev = last;
	*last = n;
	last = &n->next;
	pthread_mutex_unlock(&mutex);
}

void __kipc_name_forget_slow(struct kipc_object *obj)
{
	struct kipc_named *n = obj->named;

	pthread_mutex_lock(&mutex);
	*n->pprev = n->next;
	if (n->next)
		n->next->pprev = n->pprev;
	else
		last = n->pprev;
	pthread_mutex_unlock(&mutex);
	obj->named = NULL;
	free(n);
}

bool __kipc_named_any(void)
{
	bool any;

	pthread_mutex_lock(&mutex);
	any = first;
	pthread_mutex_unlock(&mutex);
	return any;
}

/* ---- what is sent of an object ---- */

/* Adds a descriptor to those that go with the request; takes note of a negative errno. */
static void add(struct kipc_broker_call *c, int fd, int *r)
{
	if (fd < 0)
		*r = *r ? *r : fd;
	else
		c->fds[c->req.nfds++] = fd;
}

static int reopen_readonly(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return (int)SYS_RETRY(open(path, O_RDONLY | O_CLOEXEC));
}

/* Duplicates of all that goes with a PUBLISH or OFFER (uapi/kipc/broker.h), into the request. */
static int gather(struct kipc_broker_call *c, const struct kipc_named *n, struct kipc_object *obj)
{
	struct kipc_transfer t = { .nfds = obj->seg.readonly ? 1 : obj->ops->nfds };
	int r = 0;

	/* not by __kipc_export(): who inherited it over fork and never used it takes no slot for this */
	if (obj->seg.readonly) {
		c->req.flags |= KIPC_BROKER_RDONLY;
		t.fds[0] = obj->seg.fd;
	} else {
		r = obj->ops->export(obj, &t);
	}
	for (uint32_t i = 0; i < t.nfds && !r; i++)
		add(c, (int)SYS(fcntl(t.fds[i], F_DUPFD_CLOEXEC, 0)), &r);
	if (!r && !obj->seg.readonly)
		add(c, reopen_readonly(obj->seg.fd), &r);
	if (!r && n->tied_to == getpid()) {
		c->req.flags |= KIPC_BROKER_TIED;
		add(c, (int)SYS(pidfd_open(n->tied_to, 0)), &r);
	}
	if (r) {
		__kipc_close_all(c->fds, c->req.nfds);
		c->req.nfds = 0;
	}
	return r;
}

static int publish(struct kipc_named *n, struct kipc_object *obj)
{
	struct kipc_broker_call c;
	int r;

	__kipc_broker_prepare(&c, KIPC_BROKER_PUBLISH, obj->ops->kind, n->name);
	r = gather(&c, n, obj);
	if (r)
		return r;
	r = __kipc_broker_call(&c, NULL);
	__kipc_close_all(c.fds, c.req.nfds);
	return r;
}

/* The next one after that number, as an offer.  1; 0: there are no more; or a negative errno. */
static int next_offer(struct kipc_broker_call *c, uint64_t *number)
{
	struct kipc_named *n;
	int r = 0;

	pthread_mutex_lock(&mutex);
	for (n = first; n && n->number <= *number; n = n->next)
		;
	if (n) {
		*number = n->number;
		__kipc_broker_prepare(c, KIPC_BROKER_OFFER, n->obj->ops->kind, n->name);
		r = gather(c, n, n->obj);
	}
	pthread_mutex_unlock(&mutex);
	return n && !r ? 1 : r;
}

int __kipc_named_offer(int sock, int64_t deadline)
{
	struct kipc_broker_call c;
	uint64_t number = 0;
	int r;

	while ((r = next_offer(&c, &number)) == 1) {
		/* what the broker says of it is its own business: it may not be wanted any more */
		r = __kipc_broker_exchange(sock, &c, deadline);
		__kipc_close_all(c.fds, c.req.nfds);
		if (r)
			break;
	}
	return r;
}

/* ---- core/names.h ---- */

/* An object from what came with the reply to an OPEN. */
static int import(struct kipc_broker_call *c, const struct kipc_object_ops *ops,
		  struct kipc_object **obj)
{
	struct kipc_transfer t = {
		.nfds = c->reply.head.nfds,
		.readonly = c->req.flags & KIPC_BROKER_RDONLY,
	};
	int r = -EPROTO;

	memcpy(t.fds, c->got, t.nfds * sizeof(int));
	if (t.nfds == (t.readonly ? 1 : ops->nfds))
		r = ops->import(&t, obj);
	if (r)
		__kipc_close_all(c->got, c->reply.head.nfds);
	return r;
}

int __kipc_name_open(const char *name, uint32_t flags, const struct kipc_object_ops *ops,
		     struct kipc_object **obj)
{
	struct kipc_object *before = NULL, *o;
	struct kipc_broker_call c;
	struct kipc_named *n;
	bool lives;
	int sock, r;

	if (__kipc_name_check(name) != 1)
		return -EINVAL;
	do {
		n = new_named(name, false);
		__kipc_broker_prepare(&c, KIPC_BROKER_OPEN, ops->kind, name);
		c.req.flags = flags & KIPC_NAME_RDONLY ? KIPC_BROKER_RDONLY : 0;
		r = n ? __kipc_broker_call(&c, &sock) : -ENOMEM;
		if (r)
			break;
		r = import(&c, ops, &o);
		lives = __kipc_broker_lives(sock);
		SYS(close(sock));
		if (r)
			break;
		remember(n, o);
		n = NULL;
		if (before)
			ops->close(before);
		before = o;
		/*
		 * Had the broker died before we were attached, its successor might not have found us,
		 * nor anybody else, and have dropped the name.  So that doesn't count: ask again.
		 */
	} while (!lives);
	free(n);
	if (r && before)
		ops->close(before);
	if (!r)
		*obj = before;
	return r;
}

int __kipc_name_create(const char *name, uint32_t flags, const struct kipc_object_ops *ops,
		       kipc_name_make make, const void *how, struct kipc_object **obj)
{
	struct kipc_object *o;
	struct kipc_named *n;
	int r;

	if (!name)
		return make(NULL, how, obj);
	do {
		if (flags & KIPC_NAME_EXISTING) {
			r = __kipc_name_open(name, 0, ops, obj);
			if (r != -ENOENT)
				return r;
		}
		n = new_named(name, flags & KIPC_NAME_TIED);
		if (!n)
			return -ENOMEM;
		r = make(name, how, &o);
		if (!r) {
			r = publish(n, o);
			if (r)
				ops->close(o);
		}
		if (!r) {
			remember(n, o);
			*obj = o;
			return 0;
		}
		free(n);
	} while (r == -EEXIST && flags & KIPC_NAME_EXISTING);
	return r;
}

int __kipc_name_unlink(const char *name, uint32_t kind)
{
	struct kipc_broker_call c;
	int r;

	if (__kipc_name_check(name) != 1)
		return -EINVAL;
	__kipc_broker_prepare(&c, KIPC_BROKER_UNLINK, kind, name);
	r = __kipc_broker_call(&c, NULL);
	/* a broker may have done it and died before it said so */
	return r == -ENOENT && c.again ? 0 : r;
}
