// SPDX-License-Identifier: MIT
/*
 * The wait itself: what is hot, what the kernel has, a tick now and then, and sleep if there was
 * nothing.
 *
 * Fairness.  Of those that are hot each is looked at once before any is looked at twice.  Of the
 * kernel's members chance decides who comes first.  While both have something, each gets half of a
 * batch, of batches of one every other; without a ring, where the question is a system call, only
 * in every eighth wait.
 */
#include "waitset/waitset.h"

/* Waits that find something hot, from one question to the next, where that is a system call. */
#define ASK_EVERY	8

static bool still_hot(const struct member *m)
{
	return m->watch[0].hot || m->watch[1].hot || m->watch[2].hot;
}

/* Reports of those that are hot, each at most once, up to max; how many it were. */
static int report(struct kipc_waitset *ws, struct kipc_waitset_event *ev, int max)
{
	int n = 0;

	for (uint32_t left = ws->nhot; left && n < max; left--) {
		struct member *m = TAILQ_FIRST(&ws->hot);
		uint32_t events = __kipc_waitset_look(ws, m);

		TAILQ_REMOVE(&ws->hot, m, hot);
		m->is_hot = still_hot(m);
		if (m->is_hot)
			TAILQ_INSERT_TAIL(&ws->hot, m, hot);
		else
			ws->nhot--;
		if (events) {
			__kipc_waitset_describe(m, &ev[n]);
			ev[n++].events = events;
		}
	}
	return n;
}

/*
 * How many of a batch the kernel's members may have, beside those that are hot; 0: it isn't asked.
 */
static int kernels_share(const struct kipc_waitset *ws, int max)
{
	bool more = ws->how == HOW_EPOLL || ws->turn % 2;

	if (!ws->nhot || (ws->how == HOW_EPOLL && ws->turn % ASK_EVERY))
		return 0;
	return (int)(((unsigned int)max + more) / 2);
}

/* The coarse clock costs a few ns only, and is late by up to that. */
#define COARSE_NS	(10 * NSEC_PER_MSEC)

/*
 * A set that is always busy makes its rounds in parts, so that no wait takes long; one that sleeps
 * makes a whole one when it wakes.
 */
#define ROUND_PART_NS	(KIPC_TICK_NS / 4)

static void go_round(struct kipc_waitset *ws)
{
	struct timespec ts;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
	if (now - ws->round_ns < ROUND_PART_NS)
		return;
	__kipc_waitset_round(ws, now - ws->round_ns + COARSE_NS);
	ws->round_ns = now;
}

static int wait_locked(struct kipc_waitset *ws, struct kipc_waitset_event *ev, int max,
		       int64_t deadline)
{
	int64_t now = 0, look;
	bool over = false;
	int n, room;

	ws->turn++;
	for (;;) {
		__kipc_waitset_settle(ws);
		go_round(ws);
		ws->soon = false;
		n = 0;
		room = kernels_share(ws, max);
		if (room)
			n = __kipc_waitset_ask(ws, ev, room, 0);
		n += report(ws, ev + n, max - n);
		if (n)
			return n;
		if (over)
			return deadline ? -ETIMEDOUT : -EAGAIN;
		if (deadline)
			now = __kipc_now_ns();
		over = now >= deadline;		/* one last question */
		look = ws->soon ? now + KIPC_OWNER_TICK_NS : ws->round_ns + KIPC_TICK_NS;
		n = __kipc_waitset_ask(ws, ev, max, over ? 0 : min_of(look, deadline));
		if (n)
			return n;
	}
}

KIPC_API int kipc_waitset_wait(struct kipc_waitset *ws, struct kipc_waitset_event *events, int max,
			       int64_t timeout_ns)
{
	int64_t deadline = __kipc_deadline(timeout_ns);
	int r;

	if (!events || max < 1)
		return -EINVAL;
	r = __kipc_waitset_enter(ws);
	if (r)
		return r;
	if (ws->waiting) {
		r = -EBUSY;
	} else {
		ws->waiting = true;
		r = wait_locked(ws, events, max, deadline);
		ws->waiting = false;
	}
	leave(ws);
	return r;
}
