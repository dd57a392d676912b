/* SPDX-License-Identifier: MIT */
/* Time for waits: CLOCK_MONOTONIC in int64_t nanoseconds, 292 years of it. */
#ifndef KIPC_CORE_TIME_H
#define KIPC_CORE_TIME_H

#include <stdint.h>
#include <time.h>

#include "kipc/base.h"

#define NSEC_PER_USEC	1000LL
#define NSEC_PER_MSEC	1000000LL
#define NSEC_PER_SEC	1000000000LL

#define KIPC_DEADLINE_NEVER	INT64_MAX

/* How long any sleep in the kernel lasts at most, and one for a known owner (design.md, 4.7). */
#define KIPC_TICK_NS		(100 * NSEC_PER_MSEC)
#define KIPC_OWNER_TICK_NS	(10 * NSEC_PER_MSEC)

static inline int64_t __kipc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static inline struct timespec __kipc_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };
}

/*
 * The point in time at which a wait of timeout_ns gives up: 0 for KIPC_NOWAIT (nothing is ever that
 * early, so "deadline == 0" is the test for it).  Any negative timeout means for ever.
 */
static inline int64_t __kipc_deadline(int64_t timeout_ns)
{
	int64_t now;

	if (timeout_ns == KIPC_NOWAIT)
		return 0;
	if (timeout_ns < 0)
		return KIPC_DEADLINE_NEVER;
	now = __kipc_now_ns();
	return timeout_ns < KIPC_DEADLINE_NEVER - now ? now + timeout_ns : KIPC_DEADLINE_NEVER;
}

#endif
