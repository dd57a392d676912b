// SPDX-License-Identifier: MIT
/*
 * Pipes by name.  A listener's name is that of its connection.  Who connects makes a pipe and hands
 * one end to us, and we hand it on: nothing is shared between those who connect, and none of them
 * can spoil the listener's socket for the others.
 *
 * A listener whose broker died comes back by itself, and has the name again by its id, which nobody
 * else knows; until then the ledger keeps the name for it, as long as its process lives.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "tools/kipcd/kipcd.h"

/* Bytes of those who wait to be accepted: some 80. */
#define BACKLOG_BYTES	32768

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int publish(struct client *c, const struct kipc_broker_request *req, struct entry **out)
{
	struct record rec = {
		.used = 1,
		.kind = KIPC_SEG_PIPE,
		.uid = c->uid,
		.gid = c->gid,
		.mode = req->mode,
		.pid = (uint32_t)c->pid,
		.start = process_start(c->pid),
		.id = req->args[0],
		.created_ns = realtime_ns(),
	};
	struct broker *b = c->b;
	struct entry *e;
	uint32_t slot;
	int r;

	r = limits_check(b, c->uid, 0);
	if (r)
		return r;
	memcpy(rec.name, req->name, sizeof(rec.name));
	slot = table_free_slot(&b->table);
	e = table_add(b, slot, &rec);
	if (!e)
		return -ENOMEM;
	r = ledger_store(b, slot, &rec);
	if (r)
		entry_end(b, e);
	else
		*out = e;
	return r;
}

void listener_begin(struct client *c, struct entry *e)
{
	const int backlog = BACKLOG_BYTES;

	setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &backlog, sizeof(backlog));
	e->listener = c;
	c->listening = e;
	entry_changed(c->b, e);
}

int do_listen(struct client *c, struct exchange *x)
{
	const struct kipc_broker_request *req = &x->req;
	struct broker *b = c->b;
	struct entry *e;
	int r = 0;

	if (req->nfds || req->flags || (req->mode & ~0777u))
		return -EPROTO;
	e = table_find(&b->table, KIPC_SEG_PIPE, req->name);
	/* the one before may be gone already, which we are about to be told */
	if (e && e->listener && client_gone(e->listener)) {
		client_drop(e->listener);
		e = NULL;
	}
	if (e && !(entry_lost(e) && e->rec.id == req->args[0] && e->rec.uid == c->uid)) {
		if (entry_lost(e))
			adopt_again(b);
		if (table_find(&b->table, KIPC_SEG_PIPE, req->name))
			return -EEXIST;
		e = NULL;
	}
	if (!e)
		r = publish(c, req, &e);
	if (r)
		return r;
	listener_begin(c, e);
	r = store_put(e);
	if (r)
		entry_end(b, e);
	return r;
}

int do_connect(struct client *c, struct exchange *x)
{
	struct kipc_broker_incoming in = {
		.magic = KIPC_BROKER_MAGIC,
		.version = KIPC_BROKER_VERSION,
		.op = KIPC_BROKER_INCOMING,
		.kind = KIPC_SEG_PIPE,
		.nfds = x->req.nfds,
		.uid = c->uid,
		.gid = c->gid,
		.pid = (uint32_t)c->pid,
	};
	struct broker *b = c->b;
	struct entry *e;
	int r;

	if (x->req.flags)
		return -EPROTO;
	r = object_check_pipe(x->fds, x->req.nfds);
	if (r)
		return r;
	e = table_find(&b->table, KIPC_SEG_PIPE, x->req.name);
	if (e && entry_lost(e)) {
		adopt_again(b);
		e = table_find(&b->table, KIPC_SEG_PIPE, x->req.name);
	}
	if (!e)
		return -ENOENT;
	if (!access_mode(c, e->rec.uid, e->rec.gid, e->rec.mode, 02))
		return -EACCES;
	if (entry_lost(e))
		return -EAGAIN;
	memcpy(in.args, x->req.args, sizeof(in.args));
	r = client_send(e->listener->fd, &in, sizeof(in), x->fds, x->req.nfds);
	/* too many wait; or it is about to be gone */
	return r == -ETOOMANYREFS || r == -ENOBUFS ? -EAGAIN : r == -EPIPE ? -ENOENT : r;
}
