/* SPDX-License-Identifier: MIT */
/*
 * kipc_waitset: one wait over any number of queues, pipes, listeners for pipes, timers, signals,
 * child processes and other descriptors.
 *
 * Levels	What can be done is reported by each wait, until it is done or the member is
 *		removed: there is no need to go on until -EAGAIN, nor to remember anything.
 * Cost		A wait costs in proportion to what is ready, not to the number of members.  While a
 *		queue or pipe is ready a wait makes no system call; who has to wait sleeps in
 *		io_uring (epoll where it is refused).
 * Fairness	All that is ready gets its turn, however small the batches are.
 * Death	A pipe whose other end was killed hangs up at once.  What else a dead process left
 *		in a queue or pipe is found by the set's own rounds, ten times a second.
 * Threads	One thread waits, another one that tries gets -EBUSY.  All other calls may be made
 *		from any thread at any time, also while one waits.
 * Fork		A child may go on using the set: it has the same members, and neither takes events
 *		from the other.  (In a child made by a bare clone(2): -ECHILD.)
 *
 * A member must be removed before its object or descriptor is closed; once it is removed, no thread
 * touches it any more.  What an event promises is a hint, as ever when others work on the same
 * object: the call may still give -EAGAIN.
 *
 * Where the idea comes from: epoll(7) for the interface; WaitForMultipleObjects for what can be a
 * member.
 *
 * Any function may return -EINVAL for a NULL set, and, when it is the first one that a fork child
 * calls on the set, -EMFILE, -ENFILE, -ENOMEM, or what adding a queue or pipe may return.
 */
#ifndef KIPC_WAITSET_H
#define KIPC_WAITSET_H

#include <sys/select.h>	/* sigset_t, also where <signal.h> is strict C's */
#include <sys/types.h>

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_waitset;
struct kipc_queue;
struct kipc_pipe;
struct kipc_pipe_listener;

/* Never io_uring: for a set whose wait goes from thread to thread all the time. */
#define KIPC_WAITSET_EPOLL	1u

struct kipc_waitset_opts {
	size_t sz;
	uint32_t flags;		/* KIPC_WAITSET_EPOLL */
	uint32_t reserved;	/* 0 */
};

/* Events beside KIPC_READABLE and KIPC_WRITABLE.  Reported whether they were asked for or not. */
#define KIPC_WAITSET_HANGUP	4u	/* the other end of a pipe or descriptor is gone */
#define KIPC_WAITSET_ERROR	8u	/* of a descriptor: EPOLLERR */

/* What a member is. */
enum kipc_waitset_kind {
	KIPC_WAITSET_QUEUE	= 1,
	KIPC_WAITSET_PIPE	= 2,
	KIPC_WAITSET_FD		= 3,
	KIPC_WAITSET_TIMER	= 4,
	KIPC_WAITSET_SIGNAL	= 5,
	KIPC_WAITSET_CHILD	= 6,
	KIPC_WAITSET_LISTENER	= 7,
};

struct kipc_waitset_event {
	int64_t id;		/* the member's, as adding it returned */
	void *data;		/* as it was given then */
	uint32_t kind;		/* enum kipc_waitset_kind */
	uint32_t events;	/* which of KIPC_READABLE, KIPC_WRITABLE, KIPC_WAITSET_* hold */
	union {
		void *object;	/* any of the next three */
		struct kipc_queue *queue;
		struct kipc_pipe *pipe;
		struct kipc_pipe_listener *listener;
		int fd;		/* of KIPC_WAITSET_FD */
		pid_t pid;	/* of KIPC_WAITSET_SIGNAL: the sender; _CHILD: who ended */
	};
	uint64_t value;		/* FD: what epoll said, EPOLL*.  TIMER: expirations since they were
				   last reported.  SIGNAL: its number.  CHILD: its status as from
				   waitpid(2), KIPC_WAITSET_NO_STATUS if it isn't ours to have */
	uint64_t reserved;
};

#define KIPC_WAITSET_NO_STATUS	UINT64_MAX

/*
 * Makes an empty set in *ws, to be closed with kipc_waitset_close().  opts: NULL for the defaults.
 * Does not block.  0; -EINVAL (NULL ws, unknown flag), -E2BIG (options from a newer header),
 * -ENOMEM, -EMFILE, -ENFILE.  Since 0.1.
 */
KIPC_API int kipc_waitset_create(const struct kipc_waitset_opts *opts, struct kipc_waitset **ws);

/*
 * Gives the set up.  Queues, pipes and descriptors that are members stay as they are.  No other
 * thread may be in a call on it.  NULL is allowed.  Since 0.1.
 */
KIPC_API void kipc_waitset_close(struct kipc_waitset *ws);

/*
 * Adds a queue or pipe.  events: KIPC_READABLE when a get or receive may go on, KIPC_WRITABLE when
 * a put or send may, or both; 0: only hang-up, of a pipe.  (A queue that is shut down and a pipe
 * that hung up are both, since the call returns at once.  A pipe is writable when a message of a
 * quarter of its ring would fit; after a send that had no room, when that message would.) data:
 * comes back with each event.  Does not block. The member's id, > 0; -EEXIST (it is a member
 * already for one of these events), -EINVAL (NULL, or other events), -EBADF (the pipe's end doesn't
 * receive, or doesn't send), -ENOMEM, -ENOSPC (the limit of epoll, see epoll(7)), -EMFILE, -ENFILE;
 * and for the first use in a fork child -EUSERS.  Since 0.1.
 */
KIPC_API int64_t kipc_waitset_add_queue(struct kipc_waitset *ws, struct kipc_queue *q,
					uint32_t events, void *data);
KIPC_API int64_t kipc_waitset_add_pipe(struct kipc_waitset *ws, struct kipc_pipe *p,
				       uint32_t events, void *data);

/*
 * Adds a listener for pipes by name: readable when kipc_pipe_accept() may go on.  Its id, > 0;
 * -EINVAL (NULL), -EEXIST (it is a member already), -ENOMEM, -ENOSPC.  Since 0.1.
 */
KIPC_API int64_t kipc_waitset_add_listener(struct kipc_waitset *ws, struct kipc_pipe_listener *l,
					   void *data);

/*
 * Adds any descriptor that can be polled: events as above; 0: only hang-up and errors.  It stays
 * the caller's.  Its id, > 0; -EBADF, -EPERM (it can't be polled: a regular file), -EEXIST (it is a
 * member already, perhaps an earlier descriptor of that number that was closed without being
 * removed), -EINVAL, -ENOMEM, -ENOSPC, -ELOOP (an epoll or set that contains this one).  Since 0.1.
 */
KIPC_API int64_t kipc_waitset_add_fd(struct kipc_waitset *ws, int fd, uint32_t events, void *data);

/*
 * Adds a timer that expires first_ns from now, and then every interval_ns (0: once).
 * CLOCK_MONOTONIC. first_ns KIPC_FOREVER: never, until kipc_waitset_set_timer().  One event stands
 * for all expirations since the last one; a timer that isn't periodic stays in the set, silent. Its
 * id, > 0; -EINVAL (another negative time), -EMFILE, -ENFILE, -ENOMEM, -ENOSPC.  Since 0.1.
 */
KIPC_API int64_t kipc_waitset_add_timer(struct kipc_waitset *ws, int64_t first_ns,
					int64_t interval_ns, void *data);
/* Sets it anew; expirations not yet reported are forgotten.  0; -ENOENT, -EINVAL.  Since 0.1. */
KIPC_API int kipc_waitset_set_timer(struct kipc_waitset *ws, int64_t id, int64_t first_ns,
				    int64_t interval_ns);

/*
 * Adds signals to this process, which must be blocked in all threads (pthread_sigmask(3)).  An
 * event takes one signal.  Its id, > 0; -EINVAL (NULL), -EMFILE, -ENFILE, -ENOMEM, -ENOSPC.  Since
 * 0.1.
 */
KIPC_API int64_t kipc_waitset_add_signal(struct kipc_waitset *ws, const sigset_t *signals,
					 void *data);

/*
 * Adds a process, reported once, when it has ended.  If it is a child of ours, it is then reaped:
 * don't wait for it elsewhere.  A process that isn't our child, or that somebody else reaped, has
 * no status.  Its id, > 0; -EINVAL (pid <= 0), -ESRCH (there is no such process), -EMFILE, -ENFILE,
 * -ENOMEM, -ENOSPC.  Since 0.1.
 */
KIPC_API int64_t kipc_waitset_add_child(struct kipc_waitset *ws, pid_t pid, void *data);

/*
 * Changes the events that a queue, pipe or descriptor is a member for.  0; -ENOENT (no such
 * member), -EINVAL (the others have none); or as adding it with these.  Since 0.1.
 */
KIPC_API int kipc_waitset_modify(struct kipc_waitset *ws, int64_t id, uint32_t events);

/*
 * Removes a member: after this it is neither touched nor reported.  (Events that a wait returned
 * before may still name it.)  Ids are not used again.  0; -ENOENT.  Never blocks.  Since 0.1.
 */
KIPC_API int kipc_waitset_remove(struct kipc_waitset *ws, int64_t id);

/*
 * Waits, as timeout_ns says, until a member has something to report; fills events[0..n), one for
 * each member that has, and returns n, 1..max. -EAGAIN, -ETIMEDOUT; -EBUSY (another thread waits);
 * -EINVAL (NULL events, max < 1).  Since 0.1.
 */
KIPC_API int kipc_waitset_wait(struct kipc_waitset *ws, struct kipc_waitset_event *events, int max,
			       int64_t timeout_ns);

/*
 * A descriptor for poll, epoll or io_uring, or for another waitset: readable (POLLIN) when
 * kipc_waitset_wait() would report something; call that with KIPC_NOWAIT then.  It belongs to the
 * set: neither read nor close it.  Good for this process alone: a fork child asks for its own.  A
 * set that was asked for it uses epoll from then on.  Deaths are looked for in calls only: make one
 * every now and then.  >= 0, or -EINVAL.  Since 0.1.
 */
KIPC_API int kipc_waitset_fd(struct kipc_waitset *ws);

#ifdef __cplusplus
}
#endif

#endif
