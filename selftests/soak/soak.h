/* SPDX-License-Identifier: MIT */
/*
 * The soak: many processes use every kind of object at once; every few milliseconds one is
 * killed, or stopped for a while, and replaced by one that was born in another way.
 *
 *	director	the long-lived process: makes the objects, gives birth, kills, stops, keeps
 *			watch; now and then makes a checkpoint
 *	worker		has a place (0..SOAK_WORKERS-1) and, by that, a role.  Who takes a dead
 *			one's place is its next incarnation
 *	scene		something particular, played once a while with objects of its own
 *
 * What must hold is known from a record in shared memory that a death can't spoil: what a worker
 * is about to do is written before the call, that it is done after it (selftests/queue/fate.h;
 * rows and counts below).  In between, both are allowed.
 *
 * At a checkpoint everybody stands still between two calls.  So everything can be counted: what was
 * put has come, what is in the containers is what should be, no dead process has a claim or a slot
 * left, the audit finds nothing, the director has not grown.
 */
#ifndef SELFTESTS_SOAK_H
#define SELFTESTS_SOAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include <kipc/kipc.h>

#include "core/atomic.h"
#include "core/time.h"

#include "../queue/fate.h"

/* ---- what is promised, and what to call it ---- */

enum soak_promise {
	SOAK_QUEUE,	/* messages: all, once or flagged, in order */
	SOAK_PIPE,	/* messages: all, once, in order, then a hang-up */
	SOAK_LIST,	/* elements: all, once */
	SOAK_DICT,	/* keys: what was stored last */
	SOAK_LOCK,	/* one holder; counts agree */
	SOAK_AUDIT,	/* nothing damaged, leaked, or held by the dead */
	SOAK_GROWTH,	/* no descriptors and no memory are lost */
	SOAK_STUCK,	/* nobody waits for ever */
	SOAK_ERRORS,	/* no call fails that should not */
	SOAK_PIDS,	/* scene: the same numbers in several PID namespaces */
	SOAK_SCARCE,	/* scene: no descriptors, address space, huge pages, slots, room */
	SOAK_PROMISES
};

/* Notes a violation, in words. */
void soak_wrong(enum soak_promise p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- roles ---- */

enum soak_role { ROLE_PRODUCER, ROLE_CONSUMER, ROLE_CLIENT, ROLE_PIPE };

#define SOAK_PRODUCERS	3
#define SOAK_CONSUMERS	3
#define SOAK_CLIENTS	4	/* of the manager */
#define SOAK_PAIRS	2	/* of pipe ends */
#define SOAK_CLIENT_0	(SOAK_PRODUCERS + SOAK_CONSUMERS)
#define SOAK_PIPE_0	(SOAK_CLIENT_0 + SOAK_CLIENTS)
#define SOAK_WORKERS	(SOAK_PIPE_0 + 2 * SOAK_PAIRS)

static inline enum soak_role role_of(uint32_t place)
{
	return place < SOAK_PRODUCERS ? ROLE_PRODUCER :
	       place < SOAK_CLIENT_0  ? ROLE_CONSUMER :
	       place < SOAK_PIPE_0    ? ROLE_CLIENT :
					ROLE_PIPE;
}

/* ---- shared memory: a memfd, so that it can be found again after an exec ---- */

#define SOAK_MESSAGES	(1u << 20)	/* from checkpoint to checkpoint, of each table */
#define SOAK_KEYS	32		/* of each client */
#define SOAK_QUEUES	2
#define SOAK_TEXTS	12

/* What a worker waits in. */
enum soak_call {
	CALL_NONE, CALL_PUT, CALL_GET, CALL_LIST, CALL_DICT, CALL_LOCK, CALL_RLOCK,
	CALL_SHM_LOCK, CALL_SEND, CALL_RECV, CALL_CHURN, SOAK_CALLS
};

/* What the worker of a place counts, over all incarnations. */
struct soak_counts {
	uint64_t list_ops, dict_ops, lock_ops, pipe_messages, takeovers;
	/* by enum soak_call: */
	uint64_t worst_ns[SOAK_CALLS];		/* longest wait of all */
	uint64_t worst_clean_ns[SOAK_CALLS];	/* ... of those during which nobody was held up */
};

/* Written by the worker itself but where it says otherwise. */
struct soak_place {
	uint32_t parked;		/* the phase in which it stands still */
	uint32_t incarnation;		/* director */
	uint32_t uncertain;		/* messages or elements that are lost if it dies now */
	uint32_t doing;			/* enum soak_call */
	uint64_t since_ns;		/* since when it waits for that; 0: it doesn't */
	struct soak_counts count;
} __attribute__((aligned(64)));

/* A key of a client: number of the value << 1 | it is a deletion. */
struct soak_row {
	uint64_t intent, done;
};

/* What a lock protects. */
struct soak_counter {
	uint64_t a, b;			/* equal, but between the two steps */
	uint32_t inside;		/* place + 1 of the holder */
	/* by client: */
	uint64_t intent[SOAK_CLIENTS], done[SOAK_CLIENTS];
	uint64_t unsure[SOAK_CLIENTS];	/* died between the two: a step that may have been made */
};

enum { SOAK_LOCK_PLAIN, SOAK_LOCK_RECURSIVE, SOAK_LOCK_SHM, SOAK_LOCKS };

/* One direction of a pair of ends that lives now. */
struct soak_way {
	uint64_t tried, sent, got;
};

struct soak_shared {
	uint32_t phase;			/* odd: everybody stands still */
	uint32_t held_up;		/* workers that are stopped, or eat, now */
	uint64_t last_held_up_ns;	/* when one was so last */
	uint64_t seed;
	int32_t stuck_s;		/* a wait of so many seconds is for ever */
	uint32_t violations[SOAK_PROMISES];
	uint32_t ntexts;
	char text[SOAK_TEXTS][160];
	struct soak_place place[SOAK_WORKERS];
	struct soak_row row[SOAK_CLIENTS][SOAK_KEYS];
	struct soak_counter counter[SOAK_LOCKS];
	struct soak_way way[SOAK_PAIRS][2];
	/* the fates of messages and of elements; each is followed by its table */
	uint64_t queue_fates[SOAK_QUEUES], list_fates;	/* offsets */
};

extern struct soak_shared *soak;
extern int soak_fd;			/* of its memfd */

static inline struct fates *soak_fates(uint64_t off)
{
	return (struct fates *)((char *)soak + off);
}

/* ---- a worker ---- */

/* The handles of this process: inherited, or received. */
struct soak_handles {
	struct kipc_queue *queue[SOAK_QUEUES];
	struct kipc_manager *manager;
	struct kipc_list *list;
	struct kipc_dict *dict;
	struct kipc_lock *lock;
	struct kipc_rlock *rlock;
	struct kipc_shm *shm;		/* for its reader-writer lock */
	struct kipc_pipe *end;
};

extern struct soak_handles handles;

const char *soak_call_name(uint32_t call);

struct soak_worker {
	struct soak_place *place;
	uint32_t nr;
	unsigned int seed;
	bool eats;		/* memory, until it is killed for that */
};

static inline uint32_t below(unsigned int *seed, uint32_t n)
{
	return (uint32_t)rand_r(seed) % n;
}

/* Runs the role of a place until it ends (only pipe ends do): the exit code. */
int soak_work(uint32_t place, bool eats);
int produce(struct soak_worker *w);
int consume(struct soak_worker *w);
int serve(struct soak_worker *w);	/* a client of the manager */
int talk(struct soak_worker *w);	/* an end of a pipe */

/* Between two calls: stands still while a checkpoint is made, naps now and then, eats. */
void soak_pause(struct soak_worker *w);
void soak_nap_us(uint32_t us);
/* Whether a checkpoint wants it to stand still. */
static inline bool soak_wanted(void)
{
	return load_relaxed(&soak->phase) & 1;
}

/* Around a call that may wait.  Between the two it may be repeated. */
void soak_begin(struct soak_worker *w, enum soak_call call);
void soak_end(struct soak_worker *w);
/* It has waited for what comes only when others do something: that does not count. */
void soak_give_up(struct soak_worker *w);
/* A call failed that must not: notes it, and is the worker's exit code. */
int soak_failed(struct soak_worker *w, const char *what, long r);

/* ---- the records, at a checkpoint ---- */

void queue_count(void);			/* of both queues, emptied by this */
void manager_count(void);		/* the list, emptied by this; rows; counters */
/* The pair is over; survivor: the end that has received all that was sent to it, or -1. */
void pair_count(uint32_t pair, int survivor);

/* What the director and the checks count. */
struct soak_sums {
	uint64_t messages, unsure, twice, elements;
	uint64_t uncertain[SOAK_QUEUES], uncertain_elements; /* lost by kills, at most */
};

extern struct soak_sums sums;

/* ---- birth ---- */

enum soak_birth { BIRTH_FORK, BIRTH_CLONE, BIRTH_EXEC, BIRTH_PIDNS, BIRTH_MEMCG, SOAK_BIRTHS };

/* Finds out what is possible here, and makes the cgroup; removes it. */
void birth_init(void);
void birth_end(void);
/* NULL, or why such births are left out. */
const char *birth_missing(enum soak_birth how);
/* A process in that place: its pid, or a negative errno.  ends: of a pipe, this one's first. */
pid_t birth(enum soak_birth how, uint32_t place, struct kipc_pipe *const ends[2]);
/* A child that is made like a worker and does nothing but fn(). */
pid_t birth_plain(enum soak_birth how, int (*fn)(void));
/* main() of a worker that was born by exec. */
int birth_after_exec(uint32_t place);

/* ---- scenes: NULL, or why it was left out ---- */

const char *scene_pids(void);
const char *scene_scarce(void);

/* ---- the director ---- */

struct soak_run {
	int64_t seconds;
	uint64_t kills, kills_at_birth, stops, checkpoints, oom_kills, pairs;
	uint64_t born[SOAK_BIRTHS];
	double took_s;
	long fds[2], heap[2], anon_kib[2];	/* at the second checkpoint, and at the last */
	uint64_t repairs, redelivered, skipped;
	const char *left_out[SOAK_PROMISES];
};

/* Makes the objects, runs for so long, ends all, fills *run.  0, or why nothing could be made. */
int direct(struct soak_run *run);

#endif
