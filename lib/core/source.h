/* SPDX-License-Identifier: MIT */
/*
 * Sources: conditions of an object that are waited for outside of __kipc_wait(), that is, by a poll
 * of the doorbell's eventfd in somebody's epoll or io_uring: kipc_*_fd(), waitsets,
 * kipc_*_prep_wait().
 *
 * A kind makes them (kipc_object_ops.source) and knows nothing of who polls.
 *
 * States of a source, as its poller sees it, who moves it, and why no wake-up is lost:
 *
 *	hot	it may hold, or an event of the eventfd came that hasn't been looked into.  The
 *		poller looks (ready(), no system call) whenever it cares.
 *	cold	it didn't hold when the poller looked, after somebody had drained the doorbell.  So
 *		the next one who makes it true finds the bell watched and not signalled, and writes
 *		the eventfd: an edge, and a level until the next drain.
 *
 *	hot -> cold	__kipc_source_settle(), by the poller
 *	cold -> hot	the poll's event, or a look at a tick that finds what nobody rang for
 *
 * Who is woken for edges must drain, and not only find the signal gone: see __kipc_bell_rearm().
 *
 * Deaths.  A poller's leaves nothing but the sticky `watched`.  A publisher's before it rang: the
 * next tick looks; that and the owner of what stands in the way is what __kipc_source_tend() is
 * for.
 *
 * Beside what: any number of pollers of one source, in many processes; each wakes up.
 */
#ifndef KIPC_CORE_SOURCE_H
#define KIPC_CORE_SOURCE_H

#include "core/doorbell.h"

struct kipc_source {
	struct kipc_segment *seg;
	struct kipc_bell *bell;		/* NULL: fd is a level that the kernel keeps */
	int fd;				/* to be polled for POLLIN */
	bool (*ready)(void *arg);	/* whether it holds; never waits */
	uint32_t (*owner)(void *arg);	/* as in struct kipc_wait; may be NULL */
	void *arg;
};

/*
 * Looks; when it doesn't hold, drains and looks again.  seen: __kipc_source_seen(), read after the
 * last event of this poller's poll.  1: it holds; 0: it is cold; -EBUSY: another is draining, look
 * again in a moment.
 */
int __kipc_source_settle(const struct kipc_source *src, uint64_t seen);

static inline uint64_t __kipc_source_seen(const struct kipc_source *src)
{
	return src->bell ? __kipc_bell_seq(src->bell) : 0;
}

/*
 * For a poller's tick: repairs what a dead process has in the way, so far as it is known by name.
 * Whether the condition holds.  The caller sweeps (__kipc_peer_sweep()) for the rest.
 */
bool __kipc_source_tend(const struct kipc_source *src);

#endif
