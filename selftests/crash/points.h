/* SPDX-License-Identifier: MIT */
/*
 * The crash tests' second engine: one process stopped in the middle, another killed in the middle.
 *
 * A *scene* is an object and what each of its *actors*, processes, does with it.  The library is
 * built with test points (core/point.h), in which an actor stops, for real, in futex(2), or kills
 * itself, for real.  A *case* says at which points:
 *
 *	STOPPED		is stopped at its n-th point, or sleeps in the kernel for what is to come
 *	KILLED		then runs its operation, and is killed at its m-th point
 *	SECOND		in triples: then runs, meets what both have left, and is killed at its k-th
 *	SURVIVOR	then does its next operation.  Where the stopped one holds what is needed, it
 *			may wait, or be told -EAGAIN and -ETIMEDOUT; else it must come through.
 *			After that STOPPED goes on and finishes, and SURVIVOR does at the latest then
 *
 * Each case is a *world*, a process forked for it: it makes the object, forks the actors, lets one
 * after the other run, sweeps and audits, and compares what is there with what the operations make:
 * those that ended exactly, those of the killed wholly or not at all.
 *
 * Actors are all forked and attached before the first one begins: a fork needs the manager's lock.
 * They keep what they share with the scene in points_told(); nothing else of the test's is shared, so
 * a death holds nothing of it.
 */
#ifndef SELFTESTS_CRASH_POINTS_H
#define SELFTESTS_CRASH_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/object.h"

enum who { STOPPED, KILLED, SECOND, SURVIVOR, ACTORS, WORLD = ACTORS };

/* What a scene's model is made of: a list's elements, or a dict's value per key; of two objects. */
#define SEQ_MAX 300
struct seq {
	int n;
	int64_t v[SEQ_MAX];
};

struct model {
	struct seq seq[2];
};

void seq_insert(struct seq *s, int at, int64_t v);
int64_t seq_remove(struct seq *s, int at);

#define ACT_WAITS	1u	/* may have to wait for the scene's wake() */
#define ACT_TIMED	2u	/* with KIPC_NOWAIT it returns -EAGAIN rather than wait */
/*
 * Of the stopped one: it may sleep for want of what KILLED does, which is as good as being stopped; and
 * is stopped, if at all, when it has been woken, by KILLED or after its death.
 */
#define ACT_STAYS	4u

struct act {
	/* The operation: 0, or what it is told while somebody holds what it needs. */
	int (*run)(int64_t timeout_ns);
	int (*ready)(void);	/* before, without any points; NULL: nothing */
	/* Does the same to the model; false: what it told can't be.  NULL: verify() knows. */
	bool (*model)(struct model *m, enum who who);
	uint32_t flags;
};

#define SCENE_TRIPLE	1u	/* run as triples, too; SECOND does what SURVIVOR does */
#define SCENE_SHORT	2u	/* in the short run, too */
#define SCENE_LOOSE	4u	/* others run beside the victim: its outcomes may come in any order */

struct scene {
	const char *kind, *name;
	uint32_t flags;
	int (*setup)(void);	/* in the world: the object, given to points_track(); 0 */
	struct act stopped, killed, survivor;
	/*
	 * What the killed one's death has come to, by what is there now: POINTS_OLD, POINTS_NEW, or both
	 * where that can't be told; after it points_bad(), -1.  Uses the object through.
	 */
	int (*verify)(void);
	/*
	 * In the world, when an ACT_WAITS sleeps: brings about what it waits for, if that isn't there.
	 * (If it is, and the sleeper doesn't notice, that is a finding.)
	 */
	void (*wake)(enum who who);
};

#define POINTS_OLD 1
#define POINTS_NEW 2

#define SCENES(name) const struct scene name[]

extern const struct scene points_queue[], points_pipe[], points_list[], points_dict[],
	points_lock[], points_shm[], points_rwlock[], points_resize[], points_object[],
	points_attach[];

/* ---- for scenes ---- */

/* The object of this world: is swept and audited.  A pipe's ends are two. */
void points_track(struct kipc_object *obj);
/* Which actor this process is. */
extern enum who points_who;
/* Notes a violation in words, for the report: -1. */
int points_bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* 0 when it is; else notes it: -1. */
int points_expect(const char *what, int64_t got, int64_t want);

/*
 * In setup(): a process that runs this and is killed at the first point of that name, or at its end (NULL).
 * So the actors meet what a dead one has left.  0, or -1: it did not come there.
 */
int points_die(int (*run)(int64_t timeout_ns), const char *at);
/* The same when all actors are there: where a fork would repair what is left.  0. */
int points_die_later(int (*run)(int64_t timeout_ns), const char *at);

/* What an actor tells the world, and the world itself. */
#define TOLD_MAX 32
struct told {
	int may_get, may_put;	/* messages, at most, if it dies: told before */
	int ngot, nput;		/* those that it got, and how many it put: told after */
	int64_t got[TOLD_MAX];
	uint8_t how[TOLD_MAX];	/* points-ledger.h */
	int64_t word[4];	/* the scene's own */
};

struct told *points_told(enum who who);
/* Its operation ended.  (Nobody is asked who took no part.) */
bool points_ended(enum who who);
bool points_took_part(enum who who);
/* In the model: what it told must be this. */
bool points_told_got(enum who who, int i, int64_t value);

/*
 * Whether some order of the operations leads from one to the other, and agrees with what was told;
 * as verify(), 0: there is none.
 */
int points_explain(const struct model *before, const struct model *after);

/* ---- between the files of the engine ---- */

struct kipc_point;

/* Whether that slot holds something that others may have to wait for. */
bool points_held(struct kipc_object *obj, uint32_t slot);

enum actor_state {
	ACTOR_NONE,		/* takes no part */
	ACTOR_BORN,
	ACTOR_READY,		/* at the gate before its operation */
	ACTOR_RUNNING,
	ACTOR_STOPPED,		/* at its point */
	ACTOR_GAVE_UP,		/* told -ETIMEDOUT, at the gate before it tries again */
	ACTOR_DYING,		/* at its point: SIGKILL is on its way */
	ACTOR_DONE,
};

#define OBJECTS_MAX 2

/* One process, in shared memory. */
struct actor {
	uint32_t state;		/* enum actor_state; moved by itself */
	uint32_t gate;		/* futex: moved by the world to let it go on */
	pid_t pid;		/* 0: it was taken apart */
	uint32_t stop_at;	/* the so-many-th point that it passes; 0: none */
	uint32_t kill_at;	/* likewise */
	uint32_t passed;	/* points */
	uint32_t at;		/* the last of them */
	uint32_t slots[OBJECTS_MAX];	/* its own, of each object; 0: none */
	bool impatient;		/* a survivor that tries for a short time before it waits */
	int result;
	int64_t began_ns, ended_ns, queued_ns;
	struct told told;
};

/* What happens in the shared pages of a runner, anew for each case. */
struct stage {
	uint32_t event;		/* futex: moved by every actor that changes its state */
	bool begun;		/* another one than STOPPED has */
	struct actor actors[ACTORS];
	struct actor dead;	/* of points_die() */
	struct told world;
};

extern struct stage *points_stage;
extern const struct scene *points_scene;
extern struct kipc_object *points_objects[OBJECTS_MAX];
extern int points_nobjects;

const struct act *points_act(const struct scene *s, enum who who);

/* Once, before anything is forked: all points there are.  Names that are used twice: -1. */
int points_find(void);
uint32_t points_count(void);
const char *points_name(uint32_t id);
/* By all actors of all worlds. */
struct point_use {
	uint64_t passed, stopped, killed;
};
struct point_use *points_use(uint32_t id);

/* Nanoseconds that this process was ready to run, and others ran: not the library's. */
int64_t points_queued_ns(void);

/* What points_die_later() asked for: 0, or -1. */
int points_die_now(void);

/* Forks and readies it: it stands before its operation, or -1. */
int actor_start(enum who who);
void actor_let(enum who who);

enum come {
	COME_DONE, COME_STOPPED, COME_DEAD, COME_GAVE_UP,
	COME_BLOCKED,		/* it sleeps, and the stopped one holds something */
	COME_ASLEEP,		/* an ACT_STAYS sleeps, and the others have not begun yet */
	COME_STUCK,
	COME_LOST,		/* it died by itself */
};

/* Until one of these has come to it. */
enum come actor_wait(enum who who);
/* kill -9, and waits until the kernel has taken it apart. */
void actor_kill(enum who who);
/* It has ended and is waited for: 0, or -1. */
int actor_reap(enum who who);

struct points_plan {
	uint32_t first, second, third;	/* points of each that are tried, evenly spread; 0: all */
	uint32_t cases;		/* about so many of a scene, by fewer kills for each stop; 0: any number */
};

struct points_sum {
	uint32_t first, second, third;	/* points of each; the most that there were */
	uint64_t cases, blocked, violations;
	int64_t heal_ns, time_ns;
	char why[400];
};

void points_run(const struct scene *s, bool triple, const struct points_plan *plan,
		struct points_sum *sum);
/* One case alone. */
void points_run_one(const struct scene *s, bool triple, const uint32_t at[3], struct points_sum *sum);

#endif
