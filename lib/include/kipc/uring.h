/* SPDX-License-Identifier: MIT */
/*
 * Queues and pipes in a loop that runs an io_uring already: waiting for one is an operation among
 * the others.  (Who has no loop yet takes <kipc/waitset.h>.)
 *
 *	kipc_queue_prep_wait(q, KIPC_READABLE, sqe);	and io_uring_sqe_set_data(sqe, ...)
 *	... io_uring_submit(), and when its completion comes, with cqe->res:
 *	if (kipc_queue_complete_wait(q, KIPC_READABLE, res) > 0)
 *		while ((len = kipc_queue_get(q, buf, size, KIPC_NOWAIT)) >= 0)
 *			...
 *	and again.
 *
 * No wake-up is lost between the two, whatever else happens to the queue meanwhile, and however
 * much of what is there was taken.  Each wait is completed once.  One that isn't wanted any more is
 * cancelled as any other operation (io_uring_prep_cancel()), and must have completed before the
 * object is closed.
 *
 * A death that happens while nobody is inside the library is noticed by the next call: a loop that
 * must not wait for another's traffic has a timer, too, and asks then.
 */
#ifndef KIPC_URING_H
#define KIPC_URING_H

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct io_uring_sqe;	/* <liburing.h> */
struct kipc_queue;
struct kipc_pipe;

/*
 * Fills *sqe, all of it but user_data, with an operation that completes when a get (KIPC_READABLE)
 * or a put (KIPC_WRITABLE) may go on.  0; or 1: one may go on now, and the operation is one that
 * completes at once, so a caller that sees the 1 may as well make another use of *sqe.
 * -EINVAL (NULL, or not exactly one of the two), -EUSERS and -EMFILE (the first use in a fork child):
 * *sqe was left alone.  Never blocks.  Since 0.1.
 */
KIPC_API int kipc_queue_prep_wait(struct kipc_queue *q, unsigned int which,
				  struct io_uring_sqe *sqe);

/*
 * To be asked when that operation completed; res: of its completion.  1: a get or put may go on.
 * 0: it may not, another was faster: prepare the next wait.  -ECANCELED, or another error that res
 * brings; or as kipc_queue_prep_wait().  Never blocks.  Since 0.1.
 */
KIPC_API int kipc_queue_complete_wait(struct kipc_queue *q, unsigned int which, int res);

/*
 * The same for a pipe: KIPC_READABLE, KIPC_WRITABLE, or KIPC_PIPE_HANGUP, which should always be
 * waited for as well, since a killed process can't complete the other two.  In addition -EBADF
 * (this end doesn't receive, or doesn't send), -ENFILE, -ENOMEM.  Since 0.1.
 */
KIPC_API int kipc_pipe_prep_wait(struct kipc_pipe *p, unsigned int which, struct io_uring_sqe *sqe);
KIPC_API int kipc_pipe_complete_wait(struct kipc_pipe *p, unsigned int which, int res);

#ifdef __cplusplus
}
#endif

#endif
