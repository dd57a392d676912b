// SPDX-License-Identifier: MIT
/*
 * Making and closing sets, and what fork(2) means for them.
 *
 * fork() waits until no set is being changed, so a child finds each one whole.  What the kernel
 * keeps for a set is one with the parent's, whose events it would take and whose members it would
 * change: the child closes its copies at once, and the first use makes them anew, with the
 * descriptors that objects have for this process alone.  A child that never uses a set may close
 * what it likes.
 *
 * A bare clone(2) runs no handlers, and nobody knows what the other threads were doing: -ECHILD.
 */
#include <stdlib.h>
#include <unistd.h>

#include "core/opts.h"
#include "core/sys.h"
#include "waitset/waitset.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_error;
static pthread_mutex_t sets_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kipc_waitset *sets;

static void before_fork(void)
{
	pthread_mutex_lock(&sets_mutex);
	for (struct kipc_waitset *ws = sets; ws; ws = ws->next)
		pthread_mutex_lock(&ws->mutex);
}

static void after_fork_parent(void)
{
	for (struct kipc_waitset *ws = sets; ws; ws = ws->next)
		pthread_mutex_unlock(&ws->mutex);
	pthread_mutex_unlock(&sets_mutex);
}

/* What the kernel keeps for the set, and has no other name. */
static void close_kernel_side(struct kipc_waitset *ws)
{
	if (ws->how == HOW_RING)
		__kipc_waitset_ring_close(ws);
	if (ws->epfd >= 0)
		SYS(close(ws->epfd));
	if (ws->kick_fd >= 0)
		SYS(close(ws->kick_fd));
	ws->epfd = ws->kick_fd = -1;
	ws->how = HOW_UNDECIDED;
}

static void after_fork_child(void)
{
	__kipc_fork_check();
	pthread_mutex_init(&sets_mutex, NULL);
	for (struct kipc_waitset *ws = sets; ws; ws = ws->next) {
		pthread_mutex_init(&ws->mutex, NULL);
		close_kernel_side(ws);
		ws->waiting = ws->asleep = false;
		ws->inherited = true;
		ws->epoch = load_relaxed(__kipc_fork_epoch);
	}
}

static void init(void)
{
	/* the core's handlers first: so ours take their locks before it takes its own */
	init_error = __kipc_fork_init();
	if (!init_error)
		init_error = -pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* In a fork child: the same members, with nothing that is the parent's.  May be tried again. */
static int make_anew(struct kipc_waitset *ws)
{
	int r;

	close_kernel_side(ws);
	TAILQ_INIT(&ws->hot);
	TAILQ_INIT(&ws->unarmed);
	ws->nhot = 0;
	for (uint32_t fd = 0; fd < ws->nby_fd; fd++)
		ws->by_fd[fd] = 0;
	r = __kipc_waitset_epoll_open(ws);
	for (uint32_t i = 1; i < ws->nplaces && !r; i++) {
		struct member *m = ws->places[i].member;

		if (!m)
			continue;
		m->is_hot = m->is_unarmed = false;
		for (int j = 0; j < WATCHES; j++) {
			m->watch[j].token = TOKEN_NONE;
			m->watch[j].hot = false;
		}
		r = __kipc_waitset_add_watches(ws, m);
		/* a descriptor that this process has closed has nothing to say here */
		if (r == -EBADF && m->kind == &__kipc_waitset_plain)
			r = 0;
	}
	ws->inherited = r != 0;
	return r;
}

int __kipc_waitset_enter(struct kipc_waitset *ws)
{
	int r;

	if (!ws)
		return -EINVAL;
	if (unlikely(load_relaxed(&ws->epoch) != load_relaxed(__kipc_fork_epoch)))
		return -ECHILD;
	pthread_mutex_lock(&ws->mutex);
	if (likely(!ws->inherited))
		return 0;
	r = make_anew(ws);
	if (r)
		leave(ws);
	return r;
}

KIPC_API int kipc_waitset_create(const struct kipc_waitset_opts *opts, struct kipc_waitset **out)
{
	struct kipc_waitset_opts o;
	struct kipc_waitset *ws;
	int r;

	if (!out)
		return -EINVAL;
	r = __kipc_opts_read(&o, sizeof(o), sizeof(o), opts);
	if (r)
		return r;
	if ((o.flags & ~KIPC_WAITSET_EPOLL) || o.reserved)
		return -EINVAL;
	pthread_once(&once, init);
	if (init_error)
		return init_error;
	ws = calloc(1, sizeof(*ws));
	if (!ws)
		return -ENOMEM;
	pthread_mutex_init(&ws->mutex, NULL);
	TAILQ_INIT(&ws->hot);
	TAILQ_INIT(&ws->unarmed);
	ws->only_epoll = o.flags & KIPC_WAITSET_EPOLL;
	ws->last_number = TOKEN_EPOLL >> NUMBER_SHIFT;
	ws->epfd = ws->kick_fd = -1;
	r = __kipc_waitset_epoll_open(ws);
	if (r) {
		close_kernel_side(ws);
		free(ws);
		return r;
	}
	/* fork() waits for it: no child has a set that isn't in the list */
	pthread_mutex_lock(&sets_mutex);
	__kipc_fork_check();
	ws->epoch = load_relaxed(__kipc_fork_epoch);
	ws->next = sets;
	ws->pprev = &sets;
	if (sets)
		sets->pprev = &ws->next;
	sets = ws;
	pthread_mutex_unlock(&sets_mutex);
	*out = ws;
	return 0;
}

KIPC_API void kipc_waitset_close(struct kipc_waitset *ws)
{
	/* another's, in a bare clone: its locks may be held for ever */
	if (!ws || load_relaxed(&ws->epoch) != load_relaxed(__kipc_fork_epoch))
		return;
	pthread_mutex_lock(&sets_mutex);
	*ws->pprev = ws->next;
	if (ws->next)
		ws->next->pprev = ws->pprev;
	pthread_mutex_unlock(&sets_mutex);
	for (uint32_t i = 1; i < ws->nplaces; i++)
		if (ws->places[i].member)
			__kipc_waitset_free_member(ws, ws->places[i].member);
	close_kernel_side(ws);
	pthread_mutex_destroy(&ws->mutex);
	free(ws->places);
	free(ws->by_fd);
	free(ws);
}

KIPC_API int kipc_waitset_fd(struct kipc_waitset *ws)
{
	int r = __kipc_waitset_enter(ws);

	if (r)
		return r;
	ws->only_epoll = true;
	/* who sleeps in the ring goes over when it wakes; what it leaves behind is a level here */
	if (ws->waiting)
		__kipc_waitset_kick(ws);
	else
		__kipc_waitset_settle(ws);
	r = ws->epfd;
	leave(ws);
	return r;
}
