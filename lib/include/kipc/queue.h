/* SPDX-License-Identifier: MIT */
/*
 * kipc_queue: messages from any number of producers to any number of consumers, threads and
 * processes, through shared memory.  Each message goes to one consumer.
 *
 * Order	The messages of one producer thread are taken in the order in which they were put.
 *		Places are claimed, and taken, in turn.  So a put that stands still half-way (its
 *		process was stopped) holds up those behind it: a get says -EAGAIN meanwhile; and a
 *		message that is kept (taken, not acknowledged) makes the queue full when its place
 *		is the next one.
 * Death	A message whose put returned 0 reaches a consumer that lives, whoever is killed.  One
 *		whose put did not return comes whole or not at all.  A message that a process had taken
 *		but not acknowledged when it died comes again, with KIPC_MSG_REDELIVERED.
 * Cost		No system call while neither side has to wait; who waits, sleeps.
 *
 * It reaches other processes by its name (names.h), or without one by fork(2) or kipc_send()
 * (object.h).
 *
 * Any function may also return -EINVAL for a NULL handle; and, when it is the first one that a fork
 * child calls on the handle, -EUSERS (max_peers are attached), -EMFILE and the others of base.h.
 *
 * Where the idea comes from: multiprocessing.Queue and JoinableQueue in Python for the interface;
 * the sequence number in each cell is D. Vyukov's bounded MPMC queue (1024cores.net, 2010), the
 * owner in it is this library's.
 */
#ifndef KIPC_QUEUE_H
#define KIPC_QUEUE_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_queue;
struct kipc_object;

/* What a put does when the queue is full. */
enum kipc_overflow {
	KIPC_OVERFLOW_BLOCK		= 0,	/* wait, as its timeout says */
	KIPC_OVERFLOW_DROP_OLDEST	= 1,	/* make room; see kipc_queue_stat.dropped */
};

#define KIPC_QUEUE_POPULATE	1u	/* allocate the memory of large messages now, too */

struct kipc_queue_opts {
	size_t sz;
	uint32_t capacity;	/* messages, exactly; 1..16777216; 0: 1024 */
	uint32_t overflow;	/* enum kipc_overflow */
	uint64_t msg_size;	/* bytes of the largest message, up to 4 GiB; 0: 65536 */
	uint32_t flags;		/* KIPC_QUEUE_*, KIPC_NAME_* */
	uint32_t mode;		/* permission bits of the segment, of 0666; 0: 0600 */
	uint32_t max_peers;	/* processes attached at once, 1..1023; 0: 248 */
	uint32_t huge;		/* enum kipc_huge */
};

#define KIPC_MSG_REDELIVERED	1u	/* an earlier consumer died with it, or requeued it */

/* A message in place.  data and len are yours to use; the rest is the library's. */
struct kipc_msg {
	void *data;		/* inside the segment; aligned to 16 bytes */
	size_t len;		/* bytes */
	uint32_t flags;		/* KIPC_MSG_* */
	uint32_t reserved;
	uint64_t position;
};

struct kipc_queue_stat {
	size_t sz;		/* set by the caller: sizeof(struct kipc_queue_stat) */
	uint64_t capacity;	/* messages */
	uint64_t msg_size;	/* bytes */
	uint64_t len;		/* messages waiting now */
	uint64_t put;		/* positions claimed since creation, skipped ones included */
	uint64_t taken;		/* positions passed by consumers, skipped ones included */
	uint64_t dropped;	/* by KIPC_OVERFLOW_DROP_OLDEST */
	uint64_t skipped;	/* aborted reservations, and claims of producers that died */
	uint64_t redelivered;	/* taken again after a requeue or a death */
	uint64_t repairs;	/* dead processes that were cleaned up after */
	uint64_t memory;	/* bytes of the segment */
	uint32_t peers;		/* processes attached */
	uint32_t readers_waiting;
	uint32_t writers_waiting;
	uint32_t shutdown;	/* 1 after kipc_queue_shutdown() */
};

/*
 * Makes a queue and a handle of it in *q, to be closed with kipc_queue_close().
 * name: what others open it by, or NULL.  opts: NULL for the defaults.  With a name it waits for the
 * broker, else it does not block.
 * -EINVAL (NULL q, bad name, option or flag), -E2BIG (options from a newer header), -EOVERFLOW
 * (capacity × msg_size too large), -ENOMEM, -ENOSPC, -EMFILE, -ENFILE, -ENOENT (/proc is not
 * mounted), -EACCES (mode doesn't let the caller itself read and write).  With a name also -EEXIST
 * (it is taken), -EDQUOT (this user's limit of names or bytes; -ENOSPC: that of all), and the errors
 * in names.h; with KIPC_NAME_EXISTING those of kipc_queue_open().  Since 0.1.
 */
KIPC_API int kipc_queue_create(const char *name, const struct kipc_queue_opts *opts,
			       struct kipc_queue **q);

/*
 * Opens the queue of that name; *q is to be closed.  opts: only KIPC_NAME_RDONLY counts: then nothing but
 * kipc_queue_len(), _empty(), _full(), _capacity(), _stat() and kipc_check() can be had, the rest says
 * -EACCES.  Waits for the broker.
 * 0; -EINVAL (NULL, bad name, unknown flag), -E2BIG; -ENOENT (no such name), -EACCES (its mode), -EAGAIN (its
 * broker was killed and whoever has it open can't be looked into: it comes back when that process
 * uses a name), -EPROTO, -EPROTONOSUPPORT, -EUSERS (as many as max_peers are attached), -ENOMEM, -EMFILE,
 * -ENFILE; or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_queue_open(const char *name, const struct kipc_queue_opts *opts,
			     struct kipc_queue **q);

/*
 * Takes the name away; who has the queue open keeps it.  0; -EINVAL, -ENOENT, -EACCES (neither its
 * owner nor root); or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_queue_unlink(const char *name);

/*
 * Gives the handle up.  Reservations and taken messages of this process are given back as if it had
 * died.  The queue lives while any process has it, or it has a name.  NULL is allowed.  Since 0.1.
 */
KIPC_API void kipc_queue_close(struct kipc_queue *q);

/*
 * Ends it for everybody: from now on puts give -EPIPE; gets go on until nothing is left, then give
 * -EPIPE.  Waiters wake up.  A put that returned 0 before is not lost.  0 or -EINVAL.  Since 0.1.
 */
KIPC_API int kipc_queue_shutdown(struct kipc_queue *q);

/*
 * Puts a copy of buf[0..len).  len may be 0.  Blocks while the queue is full, as timeout_ns says.
 * 0; -EMSGSIZE (len > msg_size), -EAGAIN, -ETIMEDOUT, -EPIPE (shut down), -EINVAL, -EPROTO.  On
 * error nothing was put.  Since 0.1.
 */
KIPC_API int kipc_queue_put(struct kipc_queue *q, const void *buf, size_t len, int64_t timeout_ns);

/*
 * Takes the oldest message into buf and acknowledges it.  Its length, 0..msg_size.  Blocks while the
 * queue is empty, as timeout_ns says.  -EMSGSIZE (longer than size: it stays where it is), -EAGAIN,
 * -ETIMEDOUT, -EPIPE (shut down and nothing left), -EINVAL, -EPROTO.  Since 0.1.
 */
KIPC_API ssize_t kipc_queue_get(struct kipc_queue *q, void *buf, size_t size, int64_t timeout_ns);

/*
 * Puts the n messages of iov, in order, until the queue is full; waits only for room for the first.
 * How many were put, 1..n; or the errors of kipc_queue_put(), with -EMSGSIZE when the first is too
 * long (a later one that is too long ends the call before it).  n: 1..INT_MAX.  Since 0.1.
 */
KIPC_API int kipc_queue_put_many(struct kipc_queue *q, const struct iovec *iov, int n,
				 int64_t timeout_ns);

/*
 * Takes up to n messages, each into one iov whose iov_len becomes its length; waits only for the
 * first.  How many, 1..n; or the errors of kipc_queue_get(), with -EMSGSIZE when the first doesn't
 * fit (a later one that doesn't fit ends the call before it).  Since 0.1.
 */
KIPC_API int kipc_queue_get_many(struct kipc_queue *q, struct iovec *iov, int n,
				 int64_t timeout_ns);

/*
 * Room for a message of up to len bytes, to be written in place.  Fills *msg (len = the room asked
 * for).  End it with kipc_queue_commit() or _abort(), in any thread of this process; meanwhile
 * consumers wait at this place.  Blocks and fails like kipc_queue_put().  Since 0.1.
 */
KIPC_API int kipc_queue_reserve(struct kipc_queue *q, size_t len, struct kipc_msg *msg,
				int64_t timeout_ns);

/*
 * Sends msg->len bytes, which may be fewer than reserved, not more.  0; -EINVAL: not a reservation
 * of this process; -EMSGSIZE: more than its place has room for, nothing was sent, the reservation
 * stays.  Never blocks.  Since 0.1.
 */
KIPC_API int kipc_queue_commit(struct kipc_queue *q, struct kipc_msg *msg);
/*
 * Gives the room back: no message.  The place is used again when the ring comes round to it: until
 * then, a queue whose older messages wait is full with fewer than its capacity.  0 or -EINVAL.  Never
 * blocks.  Since 0.1.
 */
KIPC_API int kipc_queue_abort(struct kipc_queue *q, struct kipc_msg *msg);

/*
 * Takes the oldest message, to be read in place, until kipc_queue_done() or _requeue() in any thread
 * of this process.  Its cell counts as full meanwhile.  If this process dies first, another gets it.
 * Blocks and fails like kipc_queue_get(), without -EMSGSIZE.  Since 0.1.
 */
KIPC_API int kipc_queue_take(struct kipc_queue *q, struct kipc_msg *msg, int64_t timeout_ns);

/* Acknowledges it.  0, or -EINVAL: not a message that this process has taken.  Since 0.1. */
KIPC_API int kipc_queue_done(struct kipc_queue *q, struct kipc_msg *msg);
/* Gives it back, to be taken again by anybody, flagged.  0 or -EINVAL.  Since 0.1. */
KIPC_API int kipc_queue_requeue(struct kipc_queue *q, struct kipc_msg *msg);

/*
 * Waits until every message that was put before the call is acknowledged; one that was dropped, or
 * given up with its producer, counts as that.  0, -EAGAIN, -ETIMEDOUT, -EINVAL, -EPROTO.  Since
 * 0.1.
 */
KIPC_API int kipc_queue_join(struct kipc_queue *q, int64_t timeout_ns);

/*
 * How many messages wait to be taken (those being written count), whether that is none, whether a
 * put would have to wait or to drop, and the capacity.  A snapshot: others may change it at once.
 * >= 0, or -EINVAL, -EPROTO.  Since 0.1.
 */
KIPC_API ssize_t kipc_queue_len(struct kipc_queue *q);
KIPC_API int kipc_queue_empty(struct kipc_queue *q);
KIPC_API int kipc_queue_full(struct kipc_queue *q);
KIPC_API ssize_t kipc_queue_capacity(struct kipc_queue *q);

/* Fills *st as far as st->sz reaches (base.h).  0 or -EINVAL, -EPROTO.  Since 0.1. */
KIPC_API int kipc_queue_stat(struct kipc_queue *q, struct kipc_queue_stat *st);

/*
 * A descriptor for poll, epoll or io_uring that is readable (POLLIN, both kinds) when a get
 * (KIPC_READABLE) or a put (KIPC_WRITABLE) may go on: call it with KIPC_NOWAIT until it gives
 * -EAGAIN, which clears the descriptor.  It belongs to the handle: neither read nor close it.  A
 * death that happens while nobody is inside the library is noticed by the next call.
 * -EINVAL: not exactly one of the two.  Since 0.1.
 */
KIPC_API int kipc_queue_fd(struct kipc_queue *q, unsigned int which);

/* The queue as an object for kipc_send(); owned by q.  Since 0.1. */
KIPC_API struct kipc_object *kipc_queue_object(struct kipc_queue *q);

#ifdef __cplusplus
}
#endif

#endif
