// SPDX-License-Identifier: MIT
/*
 * Timers, signals, child processes, listeners and other descriptors as members: what the kernel
 * keeps as levels. The first three have a descriptor of the set's own, and reporting them takes
 * what is reported.
 *
 * In a fork child: a timer's descriptor is one with the parent's, who would take its expirations,
 * and a signalfd is polled for the process that added it; both are made anew.  Somebody else's
 * child can be polled for as well as ours.
 */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/sys.h"
#include "kipc/pipe.h"
#include "waitset/kernel.h"
#include "waitset/waitset.h"

#define ALL_EVENTS	(KIPC_READABLE | KIPC_WRITABLE)

static void close_fd(struct member *m, struct watch *w)
{
	(void)m;
	SYS(close(w->src.fd));
}

/* fd takes the place of the inherited one, if there is one. */
static int replace_fd(struct watch *w, int fd)
{
	if (fd < 0)
		return fd;
	if (w->src.fd >= 0)
		SYS(close(w->src.fd));
	w->src.fd = fd;
	return 0;
}

/* ---- descriptors of the caller's ---- */

uint32_t __kipc_waitset_poll_events(uint32_t events)
{
	return (events & KIPC_READABLE ? (uint32_t)EPOLLIN : 0) |
	       (events & KIPC_WRITABLE ? (uint32_t)EPOLLOUT : 0);
}

static int open_plain(struct member *m, struct watch *w)
{
	w->src.fd = m->of.fd;
	m->poll = __kipc_waitset_poll_events(m->events);
	return 0;
}

static bool take_plain(struct member *m, uint32_t revents, struct kipc_waitset_event *ev)
{
	ev->fd = m->of.fd;
	ev->value = revents;
	if (revents & EPOLLIN)
		ev->events |= KIPC_READABLE;
	if (revents & EPOLLOUT)
		ev->events |= KIPC_WRITABLE;
	if (revents & EPOLLHUP)
		ev->events |= KIPC_WAITSET_HANGUP;
	if (revents & EPOLLERR)
		ev->events |= KIPC_WAITSET_ERROR;
	/* the call would return at once, to say so */
	if (revents & (EPOLLHUP | EPOLLERR))
		ev->events |= m->events;
	return true;
}

const struct member_kind __kipc_waitset_plain = {
	.number = KIPC_WAITSET_FD,
	.can = ALL_EVENTS,
	.open = open_plain,
	.take = take_plain,
};

/* ---- listeners: their descriptor ---- */

static int open_listener(struct member *m, struct watch *w)
{
	w->src.fd = kipc_pipe_listener_fd(m->of.listener);
	m->poll = EPOLLIN;
	return 0;
}

static bool take_listener(struct member *m, uint32_t revents, struct kipc_waitset_event *ev)
{
	(void)revents;
	ev->listener = m->of.listener;
	ev->events = KIPC_READABLE;
	return true;
}

const struct member_kind __kipc_waitset_listener = {
	.number = KIPC_WAITSET_LISTENER,
	.open = open_listener,
	.take = take_listener,
};

/* ---- timers ---- */

int __kipc_waitset_timer_spec(int64_t first_ns, int64_t interval_ns, struct itimerspec *its)
{
	if (first_ns < KIPC_FOREVER || interval_ns < 0)
		return -EINVAL;
	*its = (struct itimerspec){ 0 };
	if (first_ns == KIPC_FOREVER)
		return 0;	/* all zero disarms it */
	its->it_value = __kipc_timespec(max_of(first_ns, (int64_t)1));
	its->it_interval = __kipc_timespec(interval_ns);
	return 0;
}

int __kipc_waitset_start_timer(struct member *m)
{
	return (int)SYS(timerfd_settime(m->watch[0].src.fd, 0, &m->of.timer, NULL));
}

static int open_timer(struct member *m, struct watch *w)
{
	int r;

	m->poll = EPOLLIN;
	if (w->src.fd >= 0)
		SYS(timerfd_gettime(w->src.fd, &m->of.timer));	/* what is left */
	r = replace_fd(w, (int)SYS(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)));
	return r ? r : __kipc_waitset_start_timer(m);
}

static bool take_timer(struct member *m, uint32_t revents, struct kipc_waitset_event *ev)
{
	(void)revents;
	ev->events = KIPC_READABLE;
	return SYS(read(m->watch[0].src.fd, &ev->value, sizeof(ev->value))) == sizeof(ev->value);
}

const struct member_kind __kipc_waitset_timer = {
	.number = KIPC_WAITSET_TIMER,
	.open = open_timer,
	.close = close_fd,
	.take = take_timer,
};

/* ---- signals ---- */

static int open_signal(struct member *m, struct watch *w)
{
	m->poll = EPOLLIN;
	return replace_fd(w, (int)SYS(signalfd(-1, &m->of.signals, SFD_CLOEXEC | SFD_NONBLOCK)));
}

static bool take_signal(struct member *m, uint32_t revents, struct kipc_waitset_event *ev)
{
	struct signalfd_siginfo info;

	(void)revents;
	if (SYS(read(m->watch[0].src.fd, &info, sizeof(info))) != sizeof(info))
		return false;
	ev->events = KIPC_READABLE;
	ev->pid = (pid_t)info.ssi_pid;
	ev->value = info.ssi_signo;
	return true;
}

const struct member_kind __kipc_waitset_signal = {
	.number = KIPC_WAITSET_SIGNAL,
	.open = open_signal,
	.close = close_fd,
	.take = take_signal,
};

/* ---- children ---- */

static int open_child(struct member *m, struct watch *w)
{
	m->poll = EPOLLIN;
	if (w->src.fd >= 0)
		return 0;
	/* close-on-exec always; glibc has a wrapper since 2.36 */
	return replace_fd(w, (int)SYS(syscall(SYS_pidfd_open, m->of.pid, 0)));
}

/* As waitpid(2) puts it. */
static uint64_t status_of(const siginfo_t *info)
{
	uint32_t status = (uint32_t)info->si_status;

	if (info->si_code == CLD_EXITED)
		return (status & 0xff) << 8;
	return info->si_code == CLD_DUMPED ? status | 0x80 : status;
}

static bool take_child(struct member *m, uint32_t revents, struct kipc_waitset_event *ev)
{
	siginfo_t info = { .si_pid = 0 };
	int r;

	(void)revents;
	r = (int)SYS(waitid(P_PIDFD, (id_t)m->watch[0].src.fd, &info, WEXITED | WNOHANG | __WALL));
	if (!r && !info.si_pid)
		return false;
	ev->events = KIPC_READABLE;
	ev->pid = m->of.pid;
	ev->value = r ? KIPC_WAITSET_NO_STATUS : status_of(&info);
	m->done = true;
	return true;
}

const struct member_kind __kipc_waitset_child = {
	.number = KIPC_WAITSET_CHILD,
	.open = open_child,
	.close = close_fd,
	.take = take_child,
};
