/* SPDX-License-Identifier: MIT */
/*
 * The library's side of the broker: where it is, how it is started, one request and its reply, and
 * what this process remembers.
 *
 *	runtime.c	the runtime folder, made and verified
 *	trust.h		... whose folder it may be: the tools' rule as well
 *	start.c		starts a broker when none answers, one for a hundred processes that want it
 *	call.c		a request, repeated until some broker has answered it
 *	named.c		objects with names: core/names.h, and the list of those that are open
 *	list.c		kipc/names.h
 *	listen.c	pipes by name
 *
 * A request has a connection of its own.  A broker may be killed between any two of its
 * instructions, so each request may be repeated: all of them are idempotent, or said to be so here.
 */
#ifndef KIPC_NAMES_CLIENT_H
#define KIPC_NAMES_CLIENT_H

#include <limits.h>
#include <stdbool.h>

#include "core/object.h"
#include "uapi/kipc/broker.h"

/* How long a broker may take, starts and restarts included. */
#define KIPC_BROKER_PATIENCE_NS	(10 * NSEC_PER_SEC)
/* From look to look where there is nothing to sleep on. */
#define KIPC_BROKER_NAP_NS	(5 * NSEC_PER_MSEC)

/* ---- runtime.c ---- */

struct kipc_runtime {
	int fd;			/* O_PATH */
	bool ours;		/* it belongs to this user, who may start a broker there */
	char path[PATH_MAX];
};

/*
 * Finds the runtime folder (kipc/names.h), makes it if it isn't there, and verifies that nobody but
 * its owner can change what is in it, who is this user or root.  0; -EPERM (it isn't so); -EINVAL
 * (KIPC_RUNTIME_DIR isn't absolute); -ENAMETOOLONG; what mkdir(2) and open(2) say.
 */
int __kipc_runtime_open(struct kipc_runtime *rt);

/* ---- start.c ---- */

/* A connection to the broker, non-blocking.  0 and *sock; or as the errors in kipc/names.h. */
int __kipc_broker_connect(int64_t deadline, int *sock);

/* ---- call.c ---- */

struct kipc_broker_call {
	struct kipc_broker_request req;	/* magic and version are filled by the call */
	int fds[KIPC_BROKER_FDS];	/* req.nfds to send; the caller's */
	struct kipc_broker_list reply;	/* count entries, for LIST */
	int got[KIPC_BROKER_FDS];	/* reply.head.nfds came; the caller's to close */
	bool once;			/* in: must not be repeated; -EPIPE: it may have been done */
	bool again;			/* out: asked more than once, as brokers died meanwhile */
};

/* A call for the name, which has been checked; the rest is the caller's to fill. */
void __kipc_broker_prepare(struct kipc_broker_call *c, enum kipc_broker_op op, uint32_t kind,
			   const char *name);

/*
 * Asks until there is an answer.  0, the reply's error, or one of our own; no descriptor comes with
 * an error.  *sock: the connection, if sock isn't NULL and there was no error; the caller's to
 * close.
 */
int __kipc_broker_call(struct kipc_broker_call *c, int *sock);

/* Whether the broker behind the connection still lives. */
bool __kipc_broker_lives(int sock);

/*
 * One exchange on a connection: 0 and the reply is there, whatever it says; -EPIPE (the broker
 * ended before it answered), -EPROTO (what came is no reply), -ETIMEDOUT, -EMFILE.
 */
int __kipc_broker_exchange(int sock, struct kipc_broker_call *c, int64_t deadline);

/* ---- named.c ---- */

/* Offers everything that this process remembers to the broker behind sock.  0, or as exchange(). */
int __kipc_named_offer(int sock, int64_t deadline);
/* Whether there is anything to offer. */
bool __kipc_named_any(void);

#endif
