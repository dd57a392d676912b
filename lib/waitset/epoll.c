// SPDX-License-Identifier: MIT
/*
 * The epoll instance: always there for the kernel's members, and for objects where there is no
 * ring.
 *
 * Everything stands in it as a level.  So for who polls the instance itself (kipc_waitset_fd()) it
 * is one, too: a doorbell stays readable until somebody drains it who found nothing.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/sys.h"
#include "waitset/waitset.h"

#define TAKE_MAX	64	/* events in one system call */

static int control(struct kipc_waitset *ws, int op, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event ev = { .events = events, .data.u64 = token };

	return (int)SYS(epoll_ctl(ws->epfd, op, fd, &ev));
}

int __kipc_waitset_epoll_open(struct kipc_waitset *ws)
{
	int r;

	ws->kicked = false;
	ws->epfd = (int)SYS(epoll_create1(EPOLL_CLOEXEC));
	if (ws->epfd < 0)
		return ws->epfd;
	ws->kick_fd = (int)SYS(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	r = ws->kick_fd < 0 ? ws->kick_fd : 0;
	if (!r)
		r = control(ws, EPOLL_CTL_ADD, ws->kick_fd, EPOLLIN, TOKEN_KICK);
	return r;
}

int __kipc_waitset_epoll_add(struct kipc_waitset *ws, int fd, uint32_t events, uint64_t token)
{
	return control(ws, EPOLL_CTL_ADD, fd, events, token);
}

int __kipc_waitset_epoll_change(struct kipc_waitset *ws, int fd, uint32_t events, uint64_t token)
{
	return control(ws, EPOLL_CTL_MOD, fd, events, token);
}

void __kipc_waitset_epoll_del(struct kipc_waitset *ws, int fd)
{
	/* the kernel has done it already if fd was closed */
	control(ws, EPOLL_CTL_DEL, fd, 0, 0);
}

static int wait_until(struct kipc_waitset *ws, struct epoll_event got[TAKE_MAX], int64_t until_ns)
{
	struct timespec ts;
	int n;

	if (!until_ns)
		return (int)SYS(epoll_wait(ws->epfd, got, TAKE_MAX, 0));
	ts = __kipc_timespec(max_of(until_ns - __kipc_now_ns(), (int64_t)0));
	ws->asleep = true;
	leave(ws);
	n = (int)SYS(epoll_pwait2(ws->epfd, got, TAKE_MAX, &ts, NULL));
	pthread_mutex_lock(&ws->mutex);
	ws->asleep = false;
	return n;
}

static void take_kick(struct kipc_waitset *ws)
{
	uint64_t count;

	SYS(read(ws->kick_fd, &count, sizeof(count)));
	ws->kicked = false;
}

/*
 * There may be more than the caller takes.  Who comes first is left to chance, so nobody never
 * does.
 */
static uint32_t next_random(struct kipc_waitset *ws)
{
	ws->random = ws->random * 1103515245 + 12345;
	return ws->random >> 16;
}

static bool take(struct kipc_waitset *ws, struct member *m, uint32_t revents,
		 struct kipc_waitset_event *ev)
{
	bool something;

	__kipc_waitset_describe(m, ev);
	something = m->kind->take(m, revents, ev);
	if (m->done)
		__kipc_waitset_disarm(ws, m, &m->watch[0]);
	return something;
}

int __kipc_waitset_epoll_take(struct kipc_waitset *ws, struct kipc_waitset_event *ev, int max,
			      int64_t until_ns)
{
	struct epoll_event got[TAKE_MAX];
	int n = wait_until(ws, got, until_ns), taken = 0;
	uint32_t first = next_random(ws);

	ws->epoll_hot = n > 0;
	for (int i = 0; i < n; i++) {
		struct epoll_event *e = &got[(first + (uint32_t)i) % (uint32_t)n];
		struct member *m;
		struct watch *w;

		if (e->data.u64 == TOKEN_KICK) {
			take_kick(ws);
			continue;
		}
		/* none: removed while we slept */
		w = __kipc_waitset_watch(ws, e->data.u64, &m);
		if (!w)
			continue;
		if (is_object(m))
			__kipc_waitset_heat(ws, m, w);
		else if (taken < max && take(ws, m, e->events, &ev[taken]))
			taken++;
	}
	return taken;
}
