/* SPDX-License-Identifier: MIT */
/*
 * The crash tests' engine.
 *
 * For each kill point a *world* is forked: a process that makes the object anew, starts a victim,
 * lets it run the operation up to the point, kills it, goes on with the next operation itself (the
 * survivor), and looks at what is there.  Worlds are forked from one runner, so addresses and
 * descriptors are the same in all of them, and a victim takes the same way in each.  A world that
 * dies or is stuck is a finding, too.
 *
 * An operation is a struct crash_op in a table of its file; its functions keep what they share in
 * static variables, since each world is a process of its own.
 */
#ifndef SELFTESTS_CRASH_ENGINE_H
#define SELFTESTS_CRASH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/object.h"
#include "victim.h"

#define CRASH_BARE	1u	/* the victim comes from a bare clone(2): its first use is the operation */
#define CRASH_LOOSE	2u	/* outcomes may come in any order: it undoes what it does */
#define CRASH_CORE	4u	/* the short run tries all of its points, too */
#define CRASH_PAIR	8u	/* part 2: `second` repairs, and is killed as well */
#define CRASH_HELPER	16u	/* another process is at work beside it (loose, too) */

struct crash_op {
	const char *kind, *name;
	uint32_t flags;
	int (*setup)(void);	/* in the world: the object, given to crash_track(); 0 */
	int (*ready)(void);	/* in the victim, before the operation; NULL: nothing */
	int (*op)(void);	/* in the victim, killed in it; 0 when it is let through */
	int (*survive)(void);	/* in the world: the next operation, its time is the heal time; 0 */
	/*
	 * How far the operation has come, from what is there: 0 (not at all) .. steps (it has
	 * happened).  Only operations on many messages have something between.  Anything else, for
	 * which it calls crash_bad(), is a violation.
	 */
	int (*state)(void);
	int steps;
	/* What the second victim does when it meets the first one's remains; state() counts it as
	   second_steps more (0: it changes nothing). */
	int (*second)(void);
	int second_steps;
	/* For operations that make a segment: looks for it in the victim, and gives it to
	   crash_watch(). */
	void (*find)(pid_t victim);
};

#define CRASH_OPS(name) const struct crash_op name[]

extern const struct crash_op crash_queue_ops[], crash_pipe_ops[], crash_list_ops[],
	crash_dict_ops[], crash_lock_ops[], crash_arena_ops[], crash_shm_ops[], crash_attach_ops[],
	crash_create_ops[];

/* The object of this world: is watched, swept and audited. */
void crash_track(struct kipc_object *obj);
/* It is gone. */
void crash_forget(void);
/* Memory in which a change is one that others can see. */
void crash_watch(const void *base, size_t len);
/* Notes a violation in words, for the report; -1. */
int crash_bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* 0 when it is; else notes it: -1. */
int crash_expect(const char *what, int64_t got, int64_t want);
/* Every invariant of the tracked object, after the dead are swept: 0, or noted and -1. */
int crash_audit(void);
/* Pages that this world and its victims share, zeroed; for what a victim tells. */
void *crash_shared(size_t size);

/* One run of an operation in all its points. */
struct crash_sum {
	uint32_t instructions;
	uint32_t pairs;		/* part 2: points of the first victim */
	uint64_t points, old, new, between;
	uint64_t violations;
	uint64_t strayed;	/* victims that did not follow the trace and were stepped */
	int64_t heal_ns;	/* the worst */
	int64_t time_ns;	/* of all of it */
	int error;		/* -EPERM: ptrace(2) is refused */
	char why[320];		/* the first violation, or why nothing was done */
};

struct crash_plan {
	uint32_t all_below;	/* operations of so many instructions: every point */
	uint32_t at_most;	/* visible points of any other, evenly spread; 0: all of them */
	uint32_t first_at_most;	/* part 2: visible points of the first victim, evenly spread */
	uint32_t second_at_most; /* ... and of the second, for each of these; 0: all of them */
	int64_t only;		/* this point alone; -1: all */
	bool hurry;		/* no exception for CRASH_CORE */
	bool quick;		/* most looks for changes are at pages that have changed before */
};

/* 0, or -EPERM: ptrace(2) is refused here. */
int crash_run(const struct crash_op *op, const struct crash_plan *plan, struct crash_sum *sum);
int crash_run_pairs(const struct crash_op *op, const struct crash_plan *plan,
		    struct crash_sum *sum);

/* ---- between engine.c and pairs.c ---- */

/* What comes out of a world. */
struct crash_report {
	int state;		/* -1: none */
	int result;		/* of the operation that was let through */
	int64_t heal_ns;
	bool done;		/* the world came to its end */
	bool strayed;
	bool late;		/* a page changed that had never changed before */
	int error;		/* the engine's own */
	char text[256];
};

/* A stop of the first victim, then of the second, if there is one. */
struct crash_point {
	const struct crash_op *op;
	struct trace *trace, *trace2;	/* trace2 NULL: no second victim */
	uint32_t n, n2;
	bool record, record2;		/* ... the trace, by stepping it to the end */
	bool step;			/* don't walk: step */
};

#define CRASH_HEAL_MAX	150000000LL

struct trace *crash_trace(int which);
/* In a world of its own; the report stays until the next call.  Tries again what strays, and what
   was slow: others use this machine. */
struct crash_report *crash_world(struct crash_point *p);
/* Before the first trace of an operation. */
void crash_begin(const struct crash_plan *plan);
/* Records a trace: 0, or sum->why says what went wrong. */
int crash_record(struct crash_point *p, struct crash_sum *sum);
/* The points of a trace that are to be tried: returns how many. */
uint32_t crash_choose(const struct trace *t, uint32_t all_below, uint32_t at_most, int64_t only,
		      uint32_t *points);
/* Counts what a world reported for a point; whether it is right. */
bool crash_count(struct crash_sum *sum, const struct crash_point *p,
		 const struct crash_report *rep, int from, int to);

#endif
