/* SPDX-License-Identifier: MIT */
/*
 * kipc_pipe: messages between two ends, through shared memory, in both directions or in one.
 *
 * Messages	of any length, 0 included, keep their bounds and their order.  One that fits the ring
 *		appears whole or not at all.  A longer one streams through the ring while the other
 *		end receives it.
 * Ends		kipc_pipe_create() gives both; an end reaches another process by fork(2),
 *		kipc_send() or kipc_export().  As with pipe(2), close the end that you don't use: an
 *		end is gone when the last process that has it closed it or died.
 * Hang-up	When the other end is gone, what it had sent is still received; then calls return
 *		-EPIPE, and those that sleep wake up at once.  A message cut short by a death is never
 *		received, not even in part.
 * Sharing	Threads and processes may share an end; each message goes to one of those that
 *		receive.  They take turns by a lock, which a death gives up.  KIPC_PIPE_EXCLUSIVE
 *		promises one sender and one receiver at a time, and drops the lock.
 * Cost		No system call while neither side has to wait.
 *
 * Where the idea comes from: multiprocessing.Pipe in Python for the interface; the byte ring with
 * cached indices is L. Lamport's (1983) as FastForward and MCRingBuffer improved it, the double
 * mapping P. Howard's "virtual ring buffer".
 *
 * Any function may also return -EINVAL for a NULL handle; and, when it is the first one that a fork
 * child calls on the handle, -EUSERS (120 handles are in use, over all processes), -EMFILE and the
 * others of base.h.
 */
#ifndef KIPC_PIPE_H
#define KIPC_PIPE_H

#include <sys/types.h>
#include <sys/uio.h>

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_pipe;
struct kipc_object;

#define KIPC_PIPE_SIMPLEX	1u	/* one way: ends[0] receives, ends[1] sends */
#define KIPC_PIPE_EXCLUSIVE	2u	/* one thread at a time sends on an end, and one receives */

struct kipc_pipe_opts {
	size_t sz;
	size_t ring_size;	/* bytes of each direction: a power of two, from a page to 1 GiB;
				   0: 65536.  Each message takes 8 more, rounded up to 8 */
	uint32_t flags;		/* KIPC_PIPE_* */
	uint32_t mode;		/* permission bits of the segment, of 0666; 0: 0600 */
};

/* A message in place.  data and len are yours to use; the rest is the library's. */
struct kipc_pipe_msg {
	void *data;		/* inside the ring; aligned to 8 bytes */
	size_t len;		/* bytes */
	uint64_t position;
};

struct kipc_pipe_stat {
	size_t sz;		/* set by the caller: sizeof(struct kipc_pipe_stat) */
	uint64_t ring_size;	/* bytes of each direction */
	uint64_t sent;		/* messages from this end since creation */
	uint64_t received;	/* messages by this end since creation */
	uint64_t tx_bytes;	/* bytes of the ring that wait for the other end to receive them */
	uint64_t rx_bytes;	/* bytes of the ring that wait for this end */
	uint64_t cuts;		/* long messages given up half-way, both directions */
	uint64_t wakeups;	/* eventfd writes, both directions */
	uint64_t repairs;	/* dead processes that were cleaned up after */
	uint64_t memory;	/* bytes of the segment */
	uint32_t end;		/* which end this is: 0 or 1 */
	uint32_t flags;		/* KIPC_PIPE_* */
	uint32_t shutdown;	/* 1: this end sends no more; 2: the other end; 3: both */
	uint32_t hung_up;	/* 1: the other end is gone */
};

/*
 * Makes a pipe and a handle of each end in ends[0] and ends[1], to be closed with kipc_pipe_close().
 * opts: NULL for the defaults.  Does not block.
 * 0; -EINVAL (NULL ends, a size that isn't allowed, unknown flag), -E2BIG (options from a newer
 * header), -ENOMEM, -EMFILE, -ENFILE, -ENOSPC, -ENOENT (/proc is not mounted), -EACCES (mode
 * doesn't let the caller itself read and write).  Since 0.1.
 */
KIPC_API int kipc_pipe_create(const struct kipc_pipe_opts *opts, struct kipc_pipe *ends[2]);

/*
 * Gives this handle up; reservations and peeked messages of this process go back as if it had died.
 * The other end hangs up when no process has this one any more.  NULL is allowed.  Since 0.1.
 */
KIPC_API void kipc_pipe_close(struct kipc_pipe *p);

/*
 * Sends a copy of buf[0..len) as one message.  Waits, as timeout_ns says, until the ring has room
 * for it.  One longer than the ring (kipc_pipe_size() - 8) is sent in pieces, so it also waits for
 * the other end to receive it.  On any error nothing was sent, as far as the other end can tell.
 * 0; -EAGAIN, -ETIMEDOUT; -EPIPE (the other end is gone, or this one was shut down); -EMSGSIZE
 * (longer than the ring, with KIPC_NOWAIT; or 256 TiB and more); -EBADF (this end only receives);
 * -EBUSY (exclusive, and a reservation is open); -EINVAL; -EPROTO.  Since 0.1.
 */
KIPC_API int kipc_pipe_send(struct kipc_pipe *p, const void *buf, size_t len, int64_t timeout_ns);

/*
 * Receives one message into buf[0..size) and returns its length.  Waits, as timeout_ns says, until
 * there is one.  Once it has begun to receive a message longer than the ring it stays until that
 * message ends, is given up by its sender, or the other end hangs up, whatever timeout_ns says.
 * -EAGAIN, -ETIMEDOUT; -EPIPE (hung up or shut down, and nothing is left); -EMSGSIZE (longer than
 * size: it stays where it is); -EBADF (this end only sends); -EBUSY (exclusive, and a peeked message
 * is open); -EINVAL; -EPROTO.  Since 0.1.
 */
KIPC_API ssize_t kipc_pipe_recv(struct kipc_pipe *p, void *buf, size_t size, int64_t timeout_ns);

/*
 * Waits until there is something to receive, as timeout_ns says.  0; -EAGAIN, -ETIMEDOUT; -EPIPE
 * (hung up or shut down, and nothing is left); -EBADF, -EINVAL.  Others that share the end may be
 * faster, and what is there may be the beginning of a message that is given up: so a receive with
 * KIPC_NOWAIT may still return -EAGAIN.  Since 0.1.
 */
KIPC_API int kipc_pipe_poll(struct kipc_pipe *p, int64_t timeout_ns);

/*
 * Sends the n messages of iov, in order, as far as there is room; waits only for the first.  What is
 * sent appears all at once.  How many were sent, 1..n; or the errors of kipc_pipe_send() for the
 * first (a later one that is too long ends the call before it).  n: 1..INT_MAX.  Since 0.1.
 */
KIPC_API int kipc_pipe_send_many(struct kipc_pipe *p, const struct iovec *iov, int n,
				 int64_t timeout_ns);

/*
 * Receives up to n messages, each into one iov, whose iov_len becomes its length; waits only for the
 * first.  How many, 1..n; or the errors of kipc_pipe_recv() for the first (a later one that doesn't
 * fit its iov ends the call before it, as does a later one longer than the ring).  Since 0.1.
 */
KIPC_API int kipc_pipe_recv_many(struct kipc_pipe *p, struct iovec *iov, int n,
				 int64_t timeout_ns);

/*
 * Room for a message of up to len bytes, to be written in place.  Fills *msg (len = the room asked
 * for).  End it with kipc_pipe_commit() or _abort(), in any thread of this process.  Until then it
 * holds the end's send lock: others that send on this end wait, and so does another send of this
 * thread, for ever.  Blocks and fails like kipc_pipe_send(); -EMSGSIZE: longer than the ring.
 * Since 0.1.
 */
KIPC_API int kipc_pipe_reserve(struct kipc_pipe *p, size_t len, struct kipc_pipe_msg *msg,
			       int64_t timeout_ns);

/*
 * Sends msg->len bytes, which may be fewer than reserved.  0; -EINVAL: not the reservation of this
 * handle; -EMSGSIZE: more than reserved, nothing was sent, the reservation stays; -EPIPE (shut down
 * meanwhile), -EPROTO: the reservation is gone.  Never blocks.  Since 0.1.
 */
KIPC_API int kipc_pipe_commit(struct kipc_pipe *p, struct kipc_pipe_msg *msg);
/* Gives the room back: no message.  0 or -EINVAL.  Never blocks.  Since 0.1. */
KIPC_API int kipc_pipe_abort(struct kipc_pipe *p, struct kipc_pipe_msg *msg);

/*
 * Shows the next message where it is, until kipc_pipe_release() in any thread of this process, which
 * removes it.  Until then it holds the end's receive lock: others that receive on this end wait, and
 * so does another receive of this thread, for ever.  If this process dies first, the message stays.
 * Blocks and fails like kipc_pipe_recv(); -EMSGSIZE: it is longer than the ring, receive it.  Fills
 * msg->len in that case, too.  Since 0.1.
 */
KIPC_API int kipc_pipe_peek(struct kipc_pipe *p, struct kipc_pipe_msg *msg, int64_t timeout_ns);
/* Removes it.  0; -EINVAL: not the peeked message of this handle.  Never blocks.  Since 0.1. */
KIPC_API int kipc_pipe_release(struct kipc_pipe *p, struct kipc_pipe_msg *msg);

/*
 * Hands a file descriptor over.  Descriptors have a channel of their own: they keep their order
 * among each other, and none with the messages.  The sender keeps its descriptor.  Waits, as
 * timeout_ns says, while the socket's buffer is full.
 * 0; -EAGAIN, -ETIMEDOUT; -EPIPE (the other end is gone); -EBADF (fd isn't open, or this end only
 * receives); -ETOOMANYREFS (too many on their way); -EINVAL.  Since 0.1.
 */
KIPC_API int kipc_pipe_send_fd(struct kipc_pipe *p, int fd, int64_t timeout_ns);

/*
 * Receives a descriptor: *fd is new, close-on-exec, and the caller's to close.  Waits as timeout_ns
 * says.  0; -EAGAIN, -ETIMEDOUT; -EPIPE (the other end is gone and nothing is left); -EMFILE (this
 * process has no room for it: it stays where it is); -EBADF (this end only sends); -EINVAL; -EPROTO
 * (what came was no descriptor; it is dropped).  Since 0.1.
 */
KIPC_API int kipc_pipe_recv_fd(struct kipc_pipe *p, int *fd, int64_t timeout_ns);

/*
 * This end sends no more, in whichever process: sends give -EPIPE (those in progress, too; a send
 * that returned 0 is not lost), and the other end receives what is left, then -EPIPE.  The other
 * direction goes on.  0; -EBADF (this end only receives); -EINVAL.  Never blocks.  Since 0.1.
 */
KIPC_API int kipc_pipe_shutdown(struct kipc_pipe *p);

/* A third event for kipc_pipe_fd(), beside KIPC_READABLE and KIPC_WRITABLE. */
#define KIPC_PIPE_HANGUP	4u

/*
 * A descriptor for poll, epoll or io_uring that is readable (POLLIN, all three kinds):
 *	KIPC_READABLE	when a receive may go on: call it with KIPC_NOWAIT until it gives -EAGAIN,
 *			which clears the descriptor
 *	KIPC_WRITABLE	when a send may go on, likewise
 *	KIPC_PIPE_HANGUP when the last holder of the other end was killed or closed it.  (The other two
 *			notice a close; a killed process can't ring them.)  Good for this process
 *			alone: a fork child asks for its own
 * It belongs to the handle: neither read nor close it.
 * -EINVAL: not exactly one of them; -EBADF: this end doesn't receive, or doesn't send; -EMFILE,
 * -ENFILE, -ENOMEM.  Since 0.1.
 */
KIPC_API int kipc_pipe_fd(struct kipc_pipe *p, unsigned int which);

/* Fills *st as far as st->sz reaches (base.h).  A snapshot.  0 or -EINVAL.  Since 0.1. */
KIPC_API int kipc_pipe_stat(struct kipc_pipe *p, struct kipc_pipe_stat *st);

/* Bytes of the ring in each direction, or -EINVAL.  Since 0.1. */
KIPC_API ssize_t kipc_pipe_size(struct kipc_pipe *p);

/* ---- pipes by name (see names.h) ---- */

struct kipc_pipe_listener;

/* Who connected, as the kernel and the broker see it: uid and gid of the process at that moment. */
struct kipc_pipe_cred {
	uint32_t uid, gid;
	uint32_t pid;		/* may be another's by now; 0: not visible to the broker */
};

/*
 * Listens under a name: others connect to it, each by a pipe of its own.  *l is to be closed with
 * kipc_pipe_listener_close().  The name lives as long as the listener; kipc_name_unlink() is not for it.
 * opts: only mode, whose permission bits for writing say who may connect (0: 0600).  Waits for the
 * broker.  A fork child inherits the listener: one of the two should use it.
 * 0; -EINVAL (NULL, bad name, another option), -E2BIG, -EEXIST (somebody listens there), -EDQUOT,
 * -ENOSPC, -ENOMEM, -EMFILE, -ENFILE; or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_pipe_listen(const char *name, const struct kipc_pipe_opts *opts,
			      struct kipc_pipe_listener **l);

/*
 * Takes the next one who connected: *end is our end of the pipe, to be closed.  The pipe has the
 * form that the other side asked for; in a simplex one, that side sends.  Waits as timeout_ns says.
 * If the broker died meanwhile, it first goes to the next one, which may take longer than
 * timeout_ns.  0; -EAGAIN, -ETIMEDOUT; -EINVAL; -EMFILE, -ENFILE, -ENOMEM (that one is lost, and
 * finds its pipe hung up); -EEXIST (the name became another's after the broker died); or as names.h
 * says.  Since 0.1.
 */
KIPC_API int kipc_pipe_accept(struct kipc_pipe_listener *l, struct kipc_pipe **end,
			      int64_t timeout_ns);

/* The same, and fills *cred.  Since 0.1. */
KIPC_API int kipc_pipe_accept_from(struct kipc_pipe_listener *l, struct kipc_pipe **end,
				   struct kipc_pipe_cred *cred, int64_t timeout_ns);

/*
 * A descriptor that is readable (POLLIN) when somebody has connected, or the broker is gone: call
 * kipc_pipe_accept() with KIPC_NOWAIT until it gives -EAGAIN.  It belongs to the listener.  -EINVAL
 * for NULL.  Since 0.1.
 */
KIPC_API int kipc_pipe_listener_fd(struct kipc_pipe_listener *l);

/*
 * Ends it; those who connected and were not accepted find their pipes hung up.  NULL is allowed.
 * Since 0.1.
 */
KIPC_API void kipc_pipe_listener_close(struct kipc_pipe_listener *l);

/*
 * Makes a pipe and hands its other end to the listener of that name.  *end is to be closed.  Does
 * not wait until it is accepted; sends may begin at once.  Waits as timeout_ns says while the
 * listener has as many waiting as there may be, or has not come back after its broker died; and for
 * the broker. opts: as for kipc_pipe_create(), but that mode 0 is 0666: nobody else ever gets at
 * this pipe.  With KIPC_PIPE_SIMPLEX this end sends.
 * 0; -ENOENT (nobody listens there), -EACCES (its mode), -EAGAIN, -ETIMEDOUT; the errors of
 * kipc_pipe_create(); or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_pipe_connect(const char *name, const struct kipc_pipe_opts *opts,
			       struct kipc_pipe **end, int64_t timeout_ns);

/* This end as an object for kipc_send(); owned by p; NULL for NULL.  Since 0.1. */
KIPC_API struct kipc_object *kipc_pipe_object(struct kipc_pipe *p);

#ifdef __cplusplus
}
#endif

#endif
