/* SPDX-License-Identifier: MIT */
/*
 * All locks that are held or waited for, by whom, and the circles in that.
 *
 * Who holds a lock stands in its word; who waits is found by waits.h.  Both move while we look.
 */
#ifndef IPC_INSPECT_LOCK_SURVEY_H
#define IPC_INSPECT_LOCK_SURVEY_H

#include "tools/common/waits.h"
#include "tools/ipc-inspect/subject.h"

struct lock_info {
	struct lock_site site;
	uint64_t dev, ino;		/* of the object */
	const char *kind;
	char *object;			/* as subject_text() */
	uint64_t owner_pid;		/* here; ABSENT: nobody, or unknown */
	uint32_t generation;		/* of the owner's slot */
	char owner_comm[16];
	const char *owner_state;	/* "alive", "stopped", "dead", "unknown"; NULL: nobody */
	size_t first_wait, nwaits;	/* its waiters, in survey.waits */
	uint64_t cycle;			/* number of the circle that it is part of; ABSENT */
	uint64_t since_ns;		/* CLOCK_BOOTTIME: it has been like this at every look since */
};

/* One after the other waits for the next one's lock, the last one for the first one's. */
struct lock_cycle {
	pid_t *pid;			/* who waits, */
	size_t *lock;			/* ... for this lock, which the next one holds */
	size_t n;
	bool certain;			/* nobody in it has a thread that could let go */
};

struct lock_survey {
	struct lock_info *lock;
	size_t n, room;
	struct waits waits;		/* in the order of the locks */
	struct lock_cycle *cycle;
	size_t ncycles;
};

/* Looks at the objects that the targets mean; flags: EACH_*.  An exit code; to be freed in any case. */
int lock_survey(struct lock_survey *s, const struct targets *t, unsigned int flags);
/* Looks at one that was opened deeply.  To be freed. */
void lock_survey_one(struct lock_survey *s, const struct subject *subject);
void lock_survey_free(struct lock_survey *s);

/* lock-cycle.c: fills cycle[] and each lock's number in it. */
void lock_cycles_find(struct lock_survey *s);

#endif
