// SPDX-License-Identifier: MIT
/*
 * One wait for an object as an operation in somebody's io_uring: what <kipc/uring.h> promises.
 *
 * The operation is a poll of the doorbell's eventfd, which was drained before the last look: so it
 * completes by the first ring after that look.
 */
#include <poll.h>

#include "kipc/pipe.h"
#include "kipc/queue.h"
#include "kipc/uring.h"
#include "waitset/waitset.h"

/* While somebody else drains, what the descriptor says is worth nothing. */
static void prep_moment(struct io_uring_sqe *sqe)
{
	static const struct __kernel_timespec moment = { .tv_nsec = KIPC_OWNER_TICK_NS };

	io_uring_prep_timeout(sqe, (struct __kernel_timespec *)&moment, 0, 0);
}

static int prep(struct kipc_object *obj, unsigned int which, struct io_uring_sqe *sqe)
{
	struct kipc_source src;
	int r;

	if (!obj || !sqe)
		return -EINVAL;
	r = obj->ops->source(obj, which, &src);
	if (r)
		return r;
	/* as a waiter's tick, but not more often */
	__kipc_peer_sweep(src.seg, KIPC_TICK_NS);
	__kipc_source_tend(&src);
	r = __kipc_source_settle(&src, __kipc_source_seen(&src));
	if (r > 0)
		io_uring_prep_nop(sqe);
	else if (r == 0)
		io_uring_prep_poll_add(sqe, src.fd, POLLIN);
	else
		prep_moment(sqe);
	return r > 0;
}

static int complete(struct kipc_object *obj, unsigned int which, int res)
{
	struct kipc_source src;
	int r;

	if (!obj)
		return -EINVAL;
	if (res < 0 && res != -ETIME)
		return res;
	r = obj->ops->source(obj, which, &src);
	return r ? r : src.ready(src.arg);
}

KIPC_API int kipc_queue_prep_wait(struct kipc_queue *q, unsigned int which,
				  struct io_uring_sqe *sqe)
{
	return prep(kipc_queue_object(q), which, sqe);
}

KIPC_API int kipc_queue_complete_wait(struct kipc_queue *q, unsigned int which, int res)
{
	return complete(kipc_queue_object(q), which, res);
}

KIPC_API int kipc_pipe_prep_wait(struct kipc_pipe *p, unsigned int which, struct io_uring_sqe *sqe)
{
	return prep(kipc_pipe_object(p), which, sqe);
}

KIPC_API int kipc_pipe_complete_wait(struct kipc_pipe *p, unsigned int which, int res)
{
	return complete(kipc_pipe_object(p), which, res);
}
