// SPDX-License-Identifier: MIT
/*
 * The loop: one event at a time, as what is done for one may end what others are for.
 *
 * It is over when the broker holds no descriptor of anybody and nobody is connected, for a while.
 * Who connects in the very last moment gets no answer, and starts another broker.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include "tools/kipcd/kipcd.h"

int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int loop_add(struct broker *b, int fd, struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	return epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

void loop_remove(struct broker *b, int fd)
{
	epoll_ctl(b->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* The earlier of two times, -1 being never. */
static int64_t earlier(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static bool idle(const struct broker *b)
{
	return !b->table.nfds && !b->clients.n;
}

/* Milliseconds until `at`, rounded up; -1: never. */
static int until(int64_t at)
{
	int64_t left;

	if (at < 0)
		return -1;
	left = at - now_ns();
	return left <= 0 ? 0 : (int)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

int loop_run(struct broker *b)
{
	int64_t idle_since = now_ns(), due;
	struct epoll_event ev;
	int n;

	for (;;) {
		due = earlier(client_expire(b), closer_check());
		if (!idle(b)) {
			idle_since = -1;
		} else {
			if (idle_since < 0)
				idle_since = now_ns();
			if (now_ns() >= idle_since + b->idle_ns)
				return 0;
			due = earlier(due, idle_since + b->idle_ns);
		}
		n = epoll_wait(b->epoll, &ev, 1, until(due));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 1) {
			struct source *s = ev.data.ptr;

			s->ready(b, s, ev.events);
		}
	}
}
