// SPDX-License-Identifier: MIT
/*
 * Waiting on a pipe, inside the library.
 *
 * Who sleeps where.  On `writable` only the holder of send_lock sleeps, so that a message that needs
 * much room isn't passed by those that need little.  On `readable` sleep all that wait for a first
 * piece, without the lock, and the holder of recv_lock that is in the middle of a stream.  A wake-up
 * may therefore reach one that finds the lock held: it rings once more before it waits for the lock.
 *
 * Outside pollers.  A call that returns -EAGAIN for want of data or room clears the eventfd and looks
 * again.  One that returns it because somebody holds the lock doesn't: who gives the lock up rings
 * if there is something left and somebody watches.
 */
#include "pipe/ring.h"
#include "pipe/sides.h"

int __kipc_pipe_wait(struct kipc_pipe *p, struct kipc_wait *w, bool *waited)
{
	int64_t deadline = w->deadline, slice;
	int r;

	if (load_relaxed(&p->hup))
		return 0;
	if (pipe_closes_moved(p) && __kipc_pipe_ask(p))
		return 0;
	if (!deadline)
		return __kipc_pipe_ask_due(p) ? 0 : -EAGAIN;

	KIPC_TRACE(pipe_block, p->obj.seg.id, p->end, w->bell->index);
	*waited = true;
	w->hup_fd = __kipc_pipe_hup_fd(p);
	w->hup_token = p->hup_token;
	if (unlikely(w->hup_fd < 0)) {
		/* no epoll instance to be had: ask every tick */
		if (__kipc_pipe_ask(p))
			return 0;
		w->hup_fd = -1;
		slice = __kipc_now_ns() + KIPC_TICK_NS;
		w->deadline = min_of(deadline, slice);
		r = __kipc_wait(w);
		w->deadline = deadline;
		return r == -ETIMEDOUT && slice < deadline ? 0 : r;
	}
	r = __kipc_wait(w);
	if (w->hup) {
		w->hup = false;
		__kipc_pipe_ask(p);
	}
	return r;
}

bool __kipc_pipe_rearm(struct kipc_pipe *p, struct kipc_bell *bell, bool (*ready)(void *arg),
		       void *arg)
{
	if (likely(!__kipc_bell_watched(bell)))
		return false;
	/* if another is draining, it is that one who looks again */
	return __kipc_bell_drain(&p->obj.seg, bell, true) && ready(arg);
}
