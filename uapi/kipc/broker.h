/* SPDX-License-Identifier: MIT */
/*
 * What goes over the broker's socket (kipcd): requests with their replies, and what the broker
 * sends to a listener.
 *
 * The socket is $KIPC_RUNTIME_DIR/broker and its like, AF_UNIX and SOCK_SEQPACKET, so a message is
 * one packet; each has one fixed size.  A client sends a request, with the descriptors that belong
 * to it (SCM_RIGHTS), and waits for the one reply before it sends the next.  Who the client is the
 * broker learns from the kernel (SO_PEERCRED), nothing of that is in the request.
 *
 * Descriptors of an object, in this order:
 *
 *	those of its kind	as in a handover (handover.h): the memfd for reading and writing first
 *	the memfd, read-only	PUBLISH and OFFER only
 *	a pidfd of the creator	PUBLISH and OFFER with KIPC_BROKER_TIED
 *
 * With KIPC_BROKER_RDONLY there is the read-only memfd alone: in an OFFER by a process that has no
 * more, and in the reply to an OPEN.
 *
 * Neither side believes the other: sizes, numbers, names and every descriptor are checked.
 */
#ifndef UAPI_KIPC_BROKER_H
#define UAPI_KIPC_BROKER_H

#include <linux/types.h>

#define KIPC_BROKER_MAGIC	0x314b52424350494bULL	/* "KIPCBRK1" */
#define KIPC_BROKER_VERSION	1
#define KIPC_BROKER_NAME	64	/* a name and its NUL; the rest is zero */
#define KIPC_BROKER_FDS		8
#define KIPC_BROKER_ARGS	4

enum kipc_broker_op {
	/* The object gets the name.  -EEXIST, unless it has that name already: then it is done. */
	KIPC_BROKER_PUBLISH	= 1,
	/* An object that had the name before this broker lived.  Taken if the broker lacks it. */
	KIPC_BROKER_OFFER	= 2,
	KIPC_BROKER_OPEN	= 3,
	KIPC_BROKER_UNLINK	= 4,
	/* Names from the cursor on, as many as fit the reply, which is a struct kipc_broker_list. */
	KIPC_BROKER_LIST	= 5,
	/* The name is the connection's, until it ends.  args[0]: the listener's id, the proof that
	   it is the same one when it comes back to another broker. */
	KIPC_BROKER_LISTEN	= 6,
	/* The end of a pipe, with the kind's descriptors and args, goes to the listener.  Not to be
	   repeated with the same pipe: it may have got there. */
	KIPC_BROKER_CONNECT	= 7,
	/* Not a request: a struct kipc_broker_incoming to a listener. */
	KIPC_BROKER_INCOMING	= 8,
};

/* Flags of requests and entries. */
#define KIPC_BROKER_TIED	1u	/* the name goes when its creator's process ends */
#define KIPC_BROKER_RDONLY	2u	/* for reading only */
#define KIPC_BROKER_LOST	4u	/* entry: not yet brought back since the last broker died */

struct kipc_broker_request {
	__u64	magic;
	__u16	version;
	__u16	op;		/* enum kipc_broker_op */
	__u16	kind;		/* enum kipc_seg_kind; 0 for LIST */
	__u16	nfds;		/* descriptors that come with it */
	__u32	flags;		/* KIPC_BROKER_* */
	__u32	mode;		/* LISTEN: who may connect: the permission bits for writing */
	/*
	 * The broker that this process was last in touch with, if it has named objects open; else
	 * 0.  A broker that is another one and lacks some answers -ESTALE: the client offers what
	 * it has, then asks again.
	 */
	__u64	broker;
	__u64	cursor;		/* LIST: 0, or as the last reply said */
	__u64	args[KIPC_BROKER_ARGS];
	char	name[KIPC_BROKER_NAME];
};

struct kipc_broker_reply {
	__u64	magic;
	__u16	version;
	__u16	op;		/* of the request */
	__u16	kind;
	__u16	nfds;		/* descriptors that come with it */
	__s32	error;		/* 0 or a negative errno; then nothing else holds */
	__u32	count;		/* LIST: entries that follow */
	__u64	broker;		/* which broker this is: random, never 0 */
	__u64	cursor;		/* LIST: where to go on; 0: that was all */
};

struct kipc_broker_entry {
	__u16	kind;
	__u16	reserved0;
	__u32	flags;		/* KIPC_BROKER_TIED, _LOST */
	__u32	uid;		/* as the broker sees them */
	__u32	gid;
	__u32	mode;		/* permission bits */
	__u32	reserved1;
	__u64	size;		/* bytes of the segment; 0: a listener */
	__u64	created_ns;	/* CLOCK_REALTIME */
	__u64	id;		/* of the segment; 0: a listener */
	char	name[KIPC_BROKER_NAME];
};

#define KIPC_BROKER_ENTRIES	16

struct kipc_broker_list {
	struct kipc_broker_reply head;
	struct kipc_broker_entry entry[KIPC_BROKER_ENTRIES];
};

/* Somebody connects to a listener; the end of a pipe comes with it. */
struct kipc_broker_incoming {
	__u64	magic;
	__u16	version;
	__u16	op;		/* KIPC_BROKER_INCOMING */
	__u16	kind;
	__u16	nfds;
	__u32	uid;		/* of who connects, as the broker sees it */
	__u32	gid;
	__u32	pid;		/* 0: not visible to the broker */
	__u32	reserved;
	__u64	args[KIPC_BROKER_ARGS];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_broker_request) == 136, "request size");
_Static_assert(sizeof(struct kipc_broker_reply) == 40, "reply size");
_Static_assert(sizeof(struct kipc_broker_entry) == 112, "entry size");
_Static_assert(sizeof(struct kipc_broker_list) == 40 + 16 * 112, "list size");
_Static_assert(sizeof(struct kipc_broker_incoming) == 64, "incoming size");
_Static_assert(__builtin_offsetof(struct kipc_broker_request, broker) == 24, "broker");
_Static_assert(__builtin_offsetof(struct kipc_broker_request, name) == 72, "name");
_Static_assert(__builtin_offsetof(struct kipc_broker_entry, size) == 24, "size");
#endif

#endif
