/* SPDX-License-Identifier: MIT */
/*
 * The auditor's engine: what the kinds' check functions are made of (kipc/check.h).
 *
 * A check works on a view: a struct kipc_segment of its own, with the bytes mapped and nothing else
 * in it to be believed.  All of shared memory is read through __kipc_check_read(), which copies: so
 * what is checked is what is used, and nothing outside the view is touched whatever stands there.
 *
 * A look is one walk over all of it.  A kind's check() says first which bytes it depends on
 * (__kipc_check_watch()); when they are the same at the end of the look, it was quiescent.  Findings:
 *
 *	check_that()	can be judged by what one read brought: a violation when every look of a moving
 *			segment found it, by code and offset, or a quiescent one did
 *	check_still()	depends on several reads: a violation only if found in a quiescent look
 *
 * Looks are repeated, a few times, as long as there are violations and something moved.
 *
 * Beside what: everything.  Private to the caller; never writes to the segment.
 */
#ifndef KIPC_CORE_CHECK_H
#define KIPC_CORE_CHECK_H

#include "core/object.h"
#include "kipc/check.h"

struct kipc_check_note {
	struct kipc_finding f;		/* text: NULL */
	bool still;			/* made by check_still() */
	bool confirmed;			/* found by every look so far */
	char text[KIPC_REPORT_FIRST];
};

struct kipc_check_watch {
	uint64_t off, len, stride, n;
	uint64_t hash;
};

enum { KIPC_CHECK_WATCHES = 8 };

struct kipc_check {
	struct kipc_segment *seg;	/* the view */
	struct kipc_seg_header hdr;	/* of this look; verified before the kind's check() runs */
	struct kipc_object *obj;	/* the open handle that it came from, or NULL */
	const struct kipc_object_ops *ops;	/* of the kind */
	bool memfd;			/* the very segment, not an image of it */
	long seals;			/* F_SEAL_* of that, before anything else was read; 0: unknown */
	bool idle;			/* KIPC_CHECK_IDLE */
	bool frozen;			/* KIPC_CHECK_SETTLE: obj's freeze() was called */
	bool moved;			/* found by the kind itself */
	bool failed;			/* out of memory */

	uint64_t checks;
	uint64_t counts[4];		/* by enum kipc_finding_class */
	uint64_t unkept;		/* violations beyond those in notes */
	struct kipc_check_note *notes;
	uint32_t nnotes, cap;
	struct kipc_check_watch watches[KIPC_CHECK_WATCHES];
	uint32_t nwatches;
	uint8_t alive[KIPC_PEER_MAX + 1];	/* 0: not asked; 1: alive; 2: dead */
	uint8_t used[KIPC_PEER_MAX + 1];	/* its record says LIVE */
	uint32_t live, dead;			/* records that say LIVE */
};

/* ---- for the kinds' check functions ---- */

/* Copies [off, off + len), both multiples of 4; false: not wholly inside. */
bool __kipc_check_read(struct kipc_check *c, uint64_t off, void *dst, uint64_t len);

/*
 * The look depends on these bytes: n pieces of len bytes (a multiple of 8), stride apart.  Before they
 * are read.  False: not wholly inside.
 */
bool __kipc_check_watch(struct kipc_check *c, uint64_t off, uint64_t len, uint64_t stride,
			uint64_t n);

__cold __attribute__((format(printf, 7, 8))) void
__kipc_check_found(struct kipc_check *c, enum kipc_finding_class cls, enum kipc_finding_code code,
		   uint32_t slot, uint64_t off, bool still, const char *fmt, ...);

#define check_that_or(c, still, ok, code, off, ...)                                                \
	({                                                                                         \
		bool __ok = (ok);                                                                  \
		(c)->checks++;                                                                     \
		if (unlikely(!__ok))                                                               \
			__kipc_check_found((c), KIPC_FINDING_VIOLATION, (code), 0, (off), (still), \
					   __VA_ARGS__);                                           \
		__ok;                                                                              \
	})
/* Whether it is so; if not, that is a finding. */
#define check_that(c, ok, code, off, ...)	check_that_or(c, false, ok, code, off, __VA_ARGS__)
#define check_still(c, ok, code, off, ...)	check_that_or(c, true, ok, code, off, __VA_ARGS__)

/*
 * Something that is wrong unless somebody is between two steps: a violation if nobody can be
 * (KIPC_CHECK_IDLE), else a claim of the dead if there are unrepaired ones, else in flight.
 */
__attribute__((format(printf, 4, 5))) void
__kipc_check_between(struct kipc_check *c, enum kipc_finding_code code, uint64_t off,
		     const char *fmt, ...);

enum kipc_check_holder {
	KIPC_HOLDER_NONE = 0,
	KIPC_HOLDER_LIVE,	/* in flight */
	KIPC_HOLDER_DEAD,	/* died, unrepaired */
	KIPC_HOLDER_DIED,	/* a lock that a dead one held, repaired, not taken since */
	KIPC_HOLDER_WRONG,	/* can't be; was reported */
};

/* What stands at off is held by the slot (not 0): says whose claim that is. */
enum kipc_check_holder __kipc_check_claim(struct kipc_check *c, uint32_t slot, uint64_t off,
					  const char *what);
/* A lock word that was read from off. */
enum kipc_check_holder __kipc_check_lock(struct kipc_check *c, uint32_t word, uint64_t off,
					 const char *what);
/* A doorbell's line that was read from off; index: as in struct kipc_bell. */
void __kipc_check_bell(struct kipc_check *c, const struct kipc_bell_line *line, uint64_t off,
		       uint32_t index, const char *what);
/* That the kind's layout stamp is this build's; nothing can be read otherwise. */
bool __kipc_check_stamp(struct kipc_check *c, uint32_t stamp);
/*
 * That the file has memory enough for [off, off + len), which the creator allocates: before a walk
 * over what a hostile creator may have made huge and sparse.
 */
bool __kipc_check_backed(struct kipc_check *c, uint64_t off, uint64_t len, const char *what);

/* ---- for lib/names/check.c ---- */

/* check-head.c: header, size and seals; true: it can be walked.  Peers. */
bool __kipc_check_header(struct kipc_check *c);
void __kipc_check_peers(struct kipc_check *c);

/* Looks until it is certain, then fills the report.  The number of violations, or -ENOMEM. */
int __kipc_check_run(struct kipc_check *c, struct kipc_report *report,
		     void (*look)(struct kipc_check *c));

#endif
