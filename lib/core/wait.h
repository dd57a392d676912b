/* SPDX-License-Identifier: MIT */
/*
 * Waiting until a condition in shared memory holds: spin a little, then sleep on a doorbell.
 *
 * The sleep is one io_uring_enter(2) on a ring that each thread owns: a one-shot, exclusive poll of
 * the eventfd and, for pipes, a poll of the hang-up descriptor; where io_uring is refused (or
 * KIPC_NO_IO_URING is set in the environment) it is ppoll(2).  No sleep lasts longer than a tick,
 * after which the segment is swept for dead peers and the condition looked at again.
 *
 * How to use it, for an operation op() that returns -EAGAIN when it can't go on:
 *
 *	struct kipc_wait w = { .seg = ..., .bell = ..., .spin = ..., .ready = ..., .arg = ...,
 *			       .hup_fd = -1, .deadline = __kipc_deadline(timeout_ns) };
 *	while ((r = op()) == -EAGAIN) {
 *		r = __kipc_wait(&w);
 *		if (r)
 *			break;
 *	}
 *	if (w.slept && more work is left)
 *		__kipc_bell_ring(bell);		hand the wake-up on
 *
 * Fork: a child drops its parent's ring.  Not async-signal-safe.
 */
#ifndef KIPC_CORE_WAIT_H
#define KIPC_CORE_WAIT_H

#include "core/doorbell.h"
#include "core/time.h"

/* How long blind spinning paid off lately; process-private, one a condition, shared by threads. */
struct kipc_spin {
	uint32_t budget_ns;
	uint32_t skip;		/* waits from one probe to the next, while spinning doesn't pay */
	uint32_t left;		/* ... and how many of them are left */
};

struct kipc_wait {
	struct kipc_segment *seg;
	struct kipc_bell *bell;
	struct kipc_spin *spin;
	bool (*ready)(void *arg);	/* cheap; looks at shared memory; true: try the operation */
	/* NULL, or: the slot whose claim stands in the way now, 0 if none.  Such a wait looks every
	   10 ms whether that process lives. */
	uint32_t (*owner)(void *arg);
	void *arg;
	int hup_fd;			/* -1, or becomes readable or hangs up when a peer is gone */
	uint64_t hup_token;		/* names what hup_fd is: its poll stays armed from sleep to
					   sleep, so a new descriptor of the same number must have a
					   new token (__kipc_hup_token()) */
	int64_t deadline;		/* from __kipc_deadline() */
	bool refused;			/* the library's: ready() held, and yet the caller came back */
	bool slept;			/* out: it may have eaten a wake-up; hand it on */
	bool hup;			/* out: hup_fd had something */
};

/*
 * 0: try again (ready() held, or hup); -EAGAIN: deadline was KIPC_NOWAIT; -ETIMEDOUT.  A failing
 * kernel interface never ends a wait: it falls back to the next one.
 */
int __kipc_wait(struct kipc_wait *w);

/*
 * Waits for events on a plain descriptor: 0 when something is there (hang-up and error count), or
 * -EAGAIN, -ETIMEDOUT.  poll(2) events.
 */
int __kipc_wait_fd(int fd, short events, int64_t deadline);

/* Whether io_uring may be used: KIPC_NO_IO_URING doesn't forbid it, nor did the kernel so far. */
bool __kipc_uring_allowed(void);

/* A number that no hang-up descriptor of this process had before; never 0. */
uint64_t __kipc_hup_token(void);

/* Spins until *ready(arg) or the learnt budget is used up; whether it held. */
bool __kipc_spin_until(struct kipc_spin *spin, bool (*ready)(void *arg), void *arg);

/* What sleeps: 1 when events came on bell_fd, 2 on hup_fd (may be -1), 3 on both, 0: until_ns
 * passed or a signal came.  Either of these; chosen once a process.  bell_fd may be -1.  Negative,
 * from the one with io_uring only: it can't sleep, and is disarmed. */
int __kipc_sleep(int bell_fd, int hup_fd, uint64_t hup_token, int64_t until_ns);
int __kipc_sleep_uring(int bell_fd, int hup_fd, uint64_t hup_token, int64_t until_ns);
int __kipc_sleep_ppoll(int bell_fd, int hup_fd, int64_t until_ns);

#endif
