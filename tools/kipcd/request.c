// SPDX-License-Identifier: MIT
/*
 * What each request does.  All of them are idempotent, as far as a client can tell that asks again
 * because a broker died on it: see ledger.c.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "tools/kipcd/kipcd.h"

/* ---- names ---- */

/* The name of a request, once more looked for if it is one that was lost.  NULL: there is none. */
static struct entry *find(struct broker *b, const struct kipc_broker_request *req)
{
	struct entry *e = table_find(&b->table, req->kind, req->name);

	if (!e || !entry_lost(e))
		return e;
	adopt_again(b);
	return table_find(&b->table, req->kind, req->name);
}

/* What the object's descriptors left over is the exchange's again. */
static void settle(struct exchange *x, const struct object *o)
{
	for (uint32_t i = 0; i < x->req.nfds; i++) {
		bool left = x->fds[i] == o->readonly || x->fds[i] == o->pidfd;

		for (size_t k = 0; k < 1 + BELLS_MAX; k++)
			left |= x->fds[i] == o->fds[k];
		if (!left)
			x->fds[i] = -1;
	}
}

static void fill_record(struct record *rec, const struct client *c, const struct exchange *x,
			const struct object *o)
{
	*rec = (struct record){
		.used = 1,
		.kind = x->req.kind,
		.nbells = (uint16_t)o->nbells,
		.flags = x->req.flags & KIPC_BROKER_TIED,
		.uid = o->uid,
		.gid = o->gid,
		.mode = o->mode,
		.dev = o->dev,
		.ino = o->ino,
		.id = o->id,
		.created_ns = o->created_ns,
	};
	if (rec->flags & KIPC_BROKER_TIED) {
		rec->pid = (uint32_t)c->pid;
		rec->start = process_start(c->pid);
	}
	memcpy(rec->bell, o->bell, sizeof(rec->bell));
	memcpy(rec->name, x->req.name, sizeof(rec->name));
}

/* The object is the one that has the name. */
static bool is_same(const struct entry *e, const struct object *o)
{
	return e->rec.ino == o->ino && e->rec.dev == o->dev;
}

/*
 * Gives back to a lost name what this object has of it.  Eventfds must be the ones that it had: the
 * ledger knows them by number.
 */
static void bring_back(struct broker *b, struct entry *e, struct object *o)
{
	bool tied = e->pidfd >= 0;

	if (!entry_lost(e) || memcmp(e->rec.bell, o->bell, o->nbells * sizeof(o->bell[0])))
		return;
	object_move(b, o, e);
	if (e->pidfd >= 0 && !tied)
		tie(b, e);
}

static int publish_new(struct client *c, struct exchange *x, struct object *o)
{
	struct broker *b = c->b;
	struct record rec;
	struct entry *e;
	uint32_t slot;
	int r;

	r = limits_check(b, o->uid, o->size);
	if (r)
		return r;
	fill_record(&rec, c, x, o);
	/* in memory first, where it can fail; then it is a fact */
	slot = table_free_slot(&b->table);
	e = table_add(b, slot, &rec);
	if (!e)
		return -ENOMEM;
	r = ledger_store(b, slot, &rec);
	if (!r) {
		object_move(b, o, e);
		r = e->pidfd >= 0 ? tie(b, e) : 0;
	}
	if (!r)
		r = store_put(e);
	if (r)
		entry_end(b, e);
	return r;
}

static int do_publish(struct client *c, struct exchange *x)
{
	struct broker *b = c->b;
	struct object o;
	struct entry *e;
	int r;

	if (x->req.flags & KIPC_BROKER_RDONLY)
		return -EPROTO;
	r = object_check(&o, x->req.kind, x->req.name, x->req.flags, x->fds, x->req.nfds);
	if (r)
		return r;
	/* the user that it counts for; who was given an object can't put a name of his on it */
	if (!access_own(c, o.uid))
		return -EACCES;
	e = find(b, &x->req);
	if (!e)
		r = publish_new(c, x, &o);
	else if (!is_same(e, &o))
		r = -EEXIST;
	else
		bring_back(b, e, &o);
	settle(x, &o);
	return r;
}

static int do_offer(struct client *c, struct exchange *x)
{
	struct entry *e = table_find(&c->b->table, x->req.kind, x->req.name);
	struct object o;
	int r;

	if (!e || !entry_lost(e))
		return 0;	/* not wanted, any more */
	r = object_check(&o, x->req.kind, x->req.name, x->req.flags, x->fds, x->req.nfds);
	if (r)
		return r;
	if (!is_same(e, &o))
		return -ENOENT;
	bring_back(c->b, e, &o);
	settle(x, &o);
	return 0;
}

static int do_open(struct client *c, struct exchange *x)
{
	bool readonly = x->req.flags & KIPC_BROKER_RDONLY;
	struct kipc_broker_entry have;
	struct entry *e;
	uint32_t n = 0;

	e = find(c->b, &x->req);
	if (!e)
		return -ENOENT;
	access_of(e, &have);
	if (!access_mode(c, have.uid, have.gid, have.mode, readonly ? 04 : 06))
		return -EACCES;
	if (readonly) {
		if (e->readonly < 0)
			return -EAGAIN;
		x->out[n++] = e->readonly;
	} else {
		if (entry_lost(e))
			return -EAGAIN;
		for (int i = 0; i < 1 + e->rec.nbells; i++)
			x->out[n++] = e->fds[i];
	}
	x->reply.head.nfds = (uint16_t)n;
	return 0;
}

static int do_unlink(struct client *c, struct exchange *x)
{
	struct kipc_broker_entry have;
	struct entry *e;
	int r;

	e = find(c->b, &x->req);
	if (!e)
		return -ENOENT;
	access_of(e, &have);
	if (!access_own(c, have.uid))
		return -EACCES;
	r = ledger_clear(c->b, e->slot);
	if (!r)
		entry_end(c->b, e);
	return r;
}

/* ---- the list ---- */

static void fill_entry(struct kipc_broker_entry *out, const struct entry *e)
{
	*out = (struct kipc_broker_entry){
		.kind = e->rec.kind,
		.flags = e->rec.flags | (entry_lost(e) ? KIPC_BROKER_LOST : 0),
		.created_ns = e->rec.created_ns,
		/* a listener's is the proof that it is the same one: nobody else's business */
		.id = e->rec.kind == KIPC_SEG_PIPE ? 0 : e->rec.id,
	};
	memcpy(out->name, e->rec.name, sizeof(out->name));
	access_of(e, out);
}

/* The cursor is the place to go on at. */
static int do_list(struct client *c, struct exchange *x)
{
	const struct table *t = &c->b->table;
	uint64_t slot = x->req.cursor;
	uint32_t n = 0;

	for (; slot < t->nslots && n < KIPC_BROKER_ENTRIES; slot++)
		if (t->slot[slot])
			fill_entry(&x->reply.entry[n++], t->slot[slot]);
	x->reply.head.count = n;
	x->reply.head.cursor = slot < t->nslots ? slot : 0;
	return 0;
}

/* ---- all of them ---- */

static bool kind_ok(const struct kipc_broker_request *req)
{
	switch (req->op) {
	case KIPC_BROKER_LIST:
		return !req->kind;
	case KIPC_BROKER_LISTEN:
	case KIPC_BROKER_CONNECT:
		return req->kind == KIPC_SEG_PIPE;
	}
	return kind_bells(req->kind) >= 0;
}

static int handle(struct client *c, struct exchange *x)
{
	static int (*const ops[])(struct client *c, struct exchange *x) = {
		[KIPC_BROKER_PUBLISH]	= do_publish,
		[KIPC_BROKER_OFFER]	= do_offer,
		[KIPC_BROKER_OPEN]	= do_open,
		[KIPC_BROKER_UNLINK]	= do_unlink,
		[KIPC_BROKER_LIST]	= do_list,
		[KIPC_BROKER_LISTEN]	= do_listen,
		[KIPC_BROKER_CONNECT]	= do_connect,
	};
	const struct kipc_broker_request *req = &x->req;

	if (req->op >= sizeof(ops) / sizeof(ops[0]) || !ops[req->op])
		return -EPROTO;
	if (req->flags & ~(KIPC_BROKER_TIED | KIPC_BROKER_RDONLY))
		return -EPROTO;
	if (req->op != KIPC_BROKER_LIST && !object_name_ok(req->name))
		return -EPROTO;
	if (!kind_ok(req))
		return -EPROTO;
	/* it may have what we lack: that first */
	if (req->broker && req->broker != c->b->id && c->b->table.nlost &&
	    req->op != KIPC_BROKER_OFFER)
		return -ESTALE;
	return ops[req->op](c, x);
}

void request_handle(struct client *c, struct exchange *x)
{
	x->reply.head.error = handle(c, x);
}
