// SPDX-License-Identifier: MIT
/*
 * Where the kernel is asked: a ring of the thread that waits, or the epoll instance.  See
 * waitset.h.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "core/sys.h"
#include "core/wait.h"
#include "waitset/waitset.h"

int __kipc_waitset_arm(struct kipc_waitset *ws, struct member *m, struct watch *w)
{
	uint64_t token;
	int r;

	if (is_object(m) && ws->how != HOW_EPOLL) {
		/* by the thread that waits */
		__kipc_waitset_queue_unarmed(ws, m);
		__kipc_waitset_kick(ws);
		return 0;
	}
	token = __kipc_waitset_token(ws, m, w);
	r = __kipc_waitset_epoll_add(ws, w->src.fd, is_object(m) ? EPOLLIN : m->poll, token);
	if (!r)
		w->token = token;
	return r;
}

void __kipc_waitset_disarm(struct kipc_waitset *ws, struct member *m, struct watch *w)
{
	if (is_object(m) && ws->how == HOW_RING)
		__kipc_waitset_ring_cancel(ws, w->token);
	else
		__kipc_waitset_epoll_del(ws, w->src.fd);
	w->token = TOKEN_NONE;
}

/* What fails stays unarmed; the next tick that comes by tries again, and looks meanwhile. */
static void arm_in_epoll(struct kipc_waitset *ws)
{
	struct member *m;

	while ((m = TAILQ_FIRST(&ws->unarmed))) {
		TAILQ_REMOVE(&ws->unarmed, m, unarmed);
		m->is_unarmed = false;
		for (int i = 0; i < WATCHES; i++)
			if (m->watch[i].event && !m->watch[i].token)
				__kipc_waitset_arm(ws, m, &m->watch[i]);
	}
}

void __kipc_waitset_settle(struct kipc_waitset *ws)
{
	if (ws->how == HOW_RING && (ws->only_epoll || !__kipc_waitset_ring_mine(ws)))
		__kipc_waitset_ring_close(ws);
	if (ws->how == HOW_UNDECIDED) {
		if (!ws->only_epoll && (!__kipc_uring_allowed() || __kipc_waitset_ring_open(ws)))
			ws->only_epoll = true;
		ws->how = ws->only_epoll ? HOW_EPOLL : HOW_RING;
	}
	if (ws->how == HOW_EPOLL)
		arm_in_epoll(ws);
}

int __kipc_waitset_ask(struct kipc_waitset *ws, struct kipc_waitset_event *ev, int max,
		       int64_t until_ns)
{
	int r;

	if (ws->how == HOW_EPOLL)
		return __kipc_waitset_epoll_take(ws, ev, max, until_ns);
	r = __kipc_waitset_ring_take(ws, ws->epoll_hot ? 0 : until_ns);
	if (r) {
		/* forbidden by a sandbox that came later, or its descriptor was closed */
		ws->only_epoll = r != -EEXIST;
		__kipc_waitset_ring_close(ws);
		__kipc_waitset_settle(ws);
		return __kipc_waitset_ask(ws, ev, max, 0);
	}
	return ws->epoll_hot ? __kipc_waitset_epoll_take(ws, ev, max, 0) : 0;
}

void __kipc_waitset_kick(struct kipc_waitset *ws)
{
	uint64_t one = 1;

	if (!ws->asleep || ws->how != HOW_RING || ws->kicked)
		return;
	ws->kicked = true;
	SYS(write(ws->kick_fd, &one, sizeof(one)));
}
