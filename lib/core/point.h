/* SPDX-License-Identifier: MIT */
/*
 * Test points: named places where an operation has just got one step further for others to see.
 * (The idea is LTTng-UST's test points.)
 *
 * KIPC_POINT("queue.put.claimed") stands behind every store, exchange and system call that changes
 * shared memory, or what the kernel keeps beside it (locks, eventfds, futex waiters, the file's
 * size).  Two exceptions: a run of plain stores that mean nothing to anybody before the next one (an
 * intent before its op, hints and counts under the lock that guards them) has one point, behind it;
 * and counts that only feed displays have none.
 *
 * An ordinary build has nothing there: the object code is the same as without the lines.  With
 * -DKIPC_TEST_POINTS (build/crash.mk) it calls the hook of selftests/crash/points*.c, which stops or
 * kills the process there.  That program knows all points by their section; it refuses a name that is
 * used twice, and its full run fails if there is a point that none of its scenes passes.
 */
#ifndef KIPC_CORE_POINT_H
#define KIPC_CORE_POINT_H

#ifdef KIPC_TEST_POINTS
struct kipc_point {
	const char *name;	/* subject.step */
	const char *file;
	unsigned int line;
	unsigned int id;	/* the program's own; 0 */
};

/* In the program that is linked with such a build. */
extern void (*__kipc_point_hook)(const struct kipc_point *p);

#define KIPC_POINT(step)                                                                           \
	do {                                                                                       \
		static struct kipc_point __point = { step, __FILE__, __LINE__, 0 };                \
		static struct kipc_point *__listed                                                 \
			__attribute__((used, section("kipc_points"))) = &__point;                  \
		(void)__listed;                                                                    \
		if (__kipc_point_hook)                                                             \
			__kipc_point_hook(&__point);                                               \
	} while (0)
#else
#define KIPC_POINT(step) ((void)0)
#endif

#endif
