/* SPDX-License-Identifier: MIT */
/*
 * The auditor: looks a shared object over and says, in words, what cannot be.
 *
 *	KIPC_OPTS(kipc_report, report);
 *	int n = kipc_check(kipc_queue_object(q), &report);
 *
 *	if (n > 0)
 *		fprintf(stderr, "%d violations; the first: %s\n", n, report.first);
 *
 * It reads, and does nothing else: it takes no lock, attaches to nothing, wakes nobody and repairs
 * nothing (but see KIPC_CHECK_SETTLE), so it may look at an object that others use, that is damaged
 * or that an enemy writes to.  It tells three things apart:
 *
 *	violation	no order of events leads to this: damage, or a mistake in the library
 *	claim of the dead	what a process held when it died, and nobody has repaired yet: the next
 *			who meets it will
 *	in flight	what a living process holds right now, or is in the middle of
 *
 * A moving object is looked at several times.  What can be judged by itself counts as a violation
 * when every look saw it; what depends on several places is judged only when nothing moved during
 * a look.  `quiescent` says whether that was so: then the answer is exact.
 */
#ifndef KIPC_CHECK_H
#define KIPC_CHECK_H

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_object;

enum kipc_finding_class {
	KIPC_FINDING_VIOLATION	= 1,
	KIPC_FINDING_DEAD	= 2,	/* needs repair, and will get it */
	KIPC_FINDING_IN_FLIGHT	= 3,
};

/* What a finding is about. */
enum kipc_finding_code {
	KIPC_FINDING_HEADER	= 1,	/* the segment's header */
	KIPC_FINDING_SEALS	= 2,	/* the memfd could shrink or change its size */
	KIPC_FINDING_PEER	= 3,	/* the record of an attached process */
	KIPC_FINDING_CLAIM	= 4,	/* something is held: by whom it can't be, or by whom */
	KIPC_FINDING_BELL	= 5,	/* a doorbell's word */
	KIPC_FINDING_GEOMETRY	= 6,	/* the kind's own description of its layout */
	KIPC_FINDING_STATE	= 7,	/* a state that can't be */
	KIPC_FINDING_POSITION	= 8,	/* places that don't fit each other */
	KIPC_FINDING_LENGTH	= 9,	/* a length that can't be */
	KIPC_FINDING_COUNT	= 10,	/* a count that is wrong */
	KIPC_FINDING_LOCK	= 11,	/* a lock word that can't be */
	KIPC_FINDING_SEQUENCE	= 12,	/* a sequence lock against its writer */
	KIPC_FINDING_RECORD	= 13,	/* an intent, a transaction, a structure that makes no sense */
	KIPC_FINDING_LEAK	= 14,	/* memory that nothing owns */
	KIPC_FINDING_DOUBLE	= 15,	/* memory that is owned twice */
	KIPC_FINDING_WILD	= 16,	/* a word that owns what is no memory block */
	KIPC_FINDING_REF	= 17,	/* a reference to what is no object */
	KIPC_FINDING_HINT	= 18,	/* a hint that disagrees with what it is about */
};

struct kipc_finding {
	uint32_t cls;			/* enum kipc_finding_class */
	uint32_t code;			/* enum kipc_finding_code */
	uint32_t slot;			/* of a claim; else 0 */
	uint32_t reserved;
	uint64_t offset;		/* bytes from the start of the segment */
	const char *text;		/* in English, valid until the callback returns */
};

/*
 * First do what can be done about the dead (as the next operation would): repair their slots, and
 * for a manager take its locks and roll what was left half-made, waiting for whoever holds one.  The
 * answer is then exact.  Not for kipc_check_fd().
 */
#define KIPC_CHECK_SETTLE	1u
/*
 * The caller knows that nobody, no thread of its own either, is inside a call on this object: what
 * would be excused by somebody between two steps is a violation then.
 */
#define KIPC_CHECK_IDLE		2u

#define KIPC_REPORT_FIRST	256

/* In and out.  Declare it with KIPC_OPTS(kipc_report, report). */
struct kipc_report {
	size_t sz;
	/* in: */
	uint32_t flags;			/* KIPC_CHECK_* */
	uint32_t reserved;
	/* Called for each finding, violations first; NULL: only counted. */
	void (*found)(void *arg, const struct kipc_finding *finding);
	void *arg;
	/* out: */
	uint64_t checks;		/* single checks that the last look made */
	uint64_t violations;
	uint64_t dead_claims;
	uint64_t in_flight;
	uint32_t kind;			/* enum kipc_kind, 0: could not be told */
	uint32_t looks;			/* how often all of it was looked at */
	uint32_t quiescent;		/* 1: nothing moved during the last look: exact */
	uint32_t live_peers;		/* processes attached */
	uint32_t dead_peers;		/* slots of dead processes that wait for repair */
	uint32_t reserved2;
	char first[KIPC_REPORT_FIRST];	/* the first violation, or "" */
};

/*
 * Checks an open object.  report->sz, flags, found and arg are the caller's (zero the rest, as
 * KIPC_OPTS() does); the others are filled.
 *
 * The number of violations, 0: none.  -EINVAL: NULL, an unknown flag, sz too small.  -E2BIG: fields
 * of a newer report that this build does not know.  -ENOMEM.  With KIPC_CHECK_SETTLE also what
 * operations on the object say: -EUSERS, -EMFILE, -EPROTO, -EACCES (a queue or manager that is open
 * for reading only); and -EBUSY: a manager's objects came and went all the time.
 * Does not block, unless KIPC_CHECK_SETTLE waits for the holder of a manager's lock.  Takes time in
 * proportion to the cells of a queue, the bytes waiting in a pipe, the memory of a manager; none for
 * shared memory.  Since 0.1.
 */
KIPC_API int kipc_check(struct kipc_object *obj, struct kipc_report *report);

/*
 * Checks the segment behind a descriptor, of any kind: a memfd that others use (/proc/PID/fd/N, say)
 * or a file with the image of one, as `ipc-inspect dump --save' writes it (a plain copy does not tell
 * who lived: all count as dead then).  fd needs to be readable only and stays the caller's; its file
 * offset is not moved.  What isn't sealed against shrinking is copied first.
 *
 * As kipc_check(); a file that is no segment at all is one violation.  KIPC_CHECK_SETTLE is -EINVAL
 * here.  Also -EBADF, -EISDIR, -EACCES (no regular file, or it can't be opened for reading), -EFBIG
 * (an unsealed file of more than 4 GiB of data, or any of more than 64 TiB), -ENOMEM, -EIO,
 * -EMFILE, -ENFILE, -ENOENT (/proc isn't mounted).  Since 0.1.
 */
KIPC_API int kipc_check_fd(int fd, struct kipc_report *report);

#ifdef __cplusplus
}
#endif

#endif
