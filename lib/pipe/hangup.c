// SPDX-License-Identifier: MIT
/*
 * Hang-up: the kernel's own reference count of each end.
 *
 * End 0 holds one half of a socketpair, end 1 the other.  The kernel closes a half when its last
 * descriptor is gone, in whichever process, however it died, even one that is on its way in a
 * message; then poll(2) of the other half says so.  Nothing is ever written to find out.
 *
 * Two ways to save the system call: an orderly close moves a shared count (`closes`) that the other
 * end compares on its fast path; and a wait includes the socket, so that a death wakes it.  The wait
 * polls an epoll instance that has the socket, instead of the socket itself: an io_uring poll may
 * stay armed between two sleeps and holds a reference to the file, which would keep our half open
 * after its close; an epoll instance holds none.
 *
 * The epoll instance is the process's own: it is dropped in a fork child, and made again there.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/sys.h"
#include "pipe/pipe.h"

bool __kipc_pipe_ask(struct kipc_pipe *p)
{
	struct pollfd pfd = { .fd = p->sock, .events = POLLRDHUP };
	uint32_t closes;

	if (load_relaxed(&p->hup))
		return true;
	/* the count before the question: a close in between is asked about again */
	closes = load_acquire(&p->shm->closes[!p->end]);
	if (SYS(poll(&pfd, 1, 0)) > 0) {
		KIPC_TRACE(pipe_hangup, p->obj.seg.id, p->end);
		store_release(&p->hup, true);
	}
	store_relaxed(&p->closes_seen, closes);
	return load_relaxed(&p->hup);
}

bool __kipc_pipe_ask_due(struct kipc_pipe *p)
{
	struct timespec ts;
	int64_t now;

	if (load_relaxed(&p->hup))
		return true;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);	/* moves every few ms; no system call */
	now = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
	if (load_relaxed(&p->asked_ns) == now)
		return false;
	store_relaxed(&p->asked_ns, now);
	return __kipc_pipe_ask(p);
}

static int make(struct kipc_pipe *p)
{
	struct epoll_event ev = { .events = EPOLLRDHUP };
	int fd = (int)SYS(epoll_create1(EPOLL_CLOEXEC)), r;

	if (fd < 0)
		return fd;
	r = (int)SYS(epoll_ctl(fd, EPOLL_CTL_ADD, p->sock, &ev));
	if (r) {
		SYS(close(fd));
		return r;
	}
	return fd;
}

int __kipc_pipe_hup_fd(struct kipc_pipe *p)
{
	int fd = load_acquire(&p->hup_fd), found = -1;	/* pairs with: the CAS below */

	if (likely(fd >= 0))
		return fd;
	fd = make(p);
	if (fd < 0)
		return fd;
	if (try_cmpxchg(&p->hup_fd, &found, fd))
		return fd;
	SYS(close(fd));		/* another thread was faster */
	return found;
}

void __kipc_pipe_hup_forked(struct kipc_pipe *p)
{
	if (p->hup_fd >= 0)
		SYS(close(p->hup_fd));
	p->hup_fd = -1;
	p->hup_token = __kipc_hup_token();
}

void __kipc_pipe_hup_close(struct kipc_pipe *p)
{
	if (p->hup_fd >= 0) {
		/* the instance may outlive us in an armed poll; the socket must not stay in it */
		SYS(epoll_ctl(p->hup_fd, EPOLL_CTL_DEL, p->sock, NULL));
		SYS(close(p->hup_fd));
		p->hup_fd = -1;
	}
	if (p->sock >= 0) {
		SYS(close(p->sock));
		KIPC_POINT("pipe.hung_up");
	}
	p->sock = -1;
}
