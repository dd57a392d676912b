/* SPDX-License-Identifier: MIT */
/*
 * What the tool knows about one kind of object; a file a kind, kind-*.c.
 *
 * A kind reads what it wants once, into a struct of its own (load), judges it, and is then asked
 * for what list and show print.  Nothing that comes from a segment is used unchecked: counts and
 * offsets against the file's size, loops against a bound.
 */
#ifndef IPC_INSPECT_KIND_H
#define IPC_INSPECT_KIND_H

#include "tools/common/peers.h"
#include "tools/common/segment-view.h"
#include "tools/ipc-inspect/report.h"

/* What an object's state is, beside "ok": bits, the worst first. */
#define STATE_DAMAGED		(1u << 0)
#define STATE_DEAD_OWNER	(1u << 1)	/* a slot of a dead process waits for its repair */
#define STATE_TORN		(1u << 2)	/* shm: a writer died in the middle */
#define STATE_SHUTDOWN		(1u << 3)
#define STATE_FULL		(1u << 4)
#define STATE_ORPHAN		(1u << 5)	/* anonymous, and no process is attached */
#define STATE_UNFINISHED	(1u << 6)	/* not published (yet) */
#define STATE_FOREIGN		(1u << 7)	/* of another version */
#define STATE_NO_ACCESS		(1u << 8)	/* we may not open it */
#define STATES			9

struct summary {
	uint64_t depth;		/* how much is in it; ABSENT */
	uint64_t capacity;	/* of how much; ABSENT */
	const char *unit;	/* of both: "messages", "bytes", "elements" */
	uint64_t waiters;	/* threads that sleep in it */
	unsigned int states;	/* STATE_* */
	char *shape;		/* array: "uint8[100,100]", malloc'ed; else NULL */
};

/* Something that one process may hold and others wait for, in futex(2). */
struct lock_site {
	uint64_t off;		/* of the futex, in the segment */
	uint32_t owner;		/* slot, 0: nobody */
	bool waiters;		/* somebody may wait */
	bool died;		/* free, and the last owner died holding it */
	char name[96];		/* "lock \"jobs\"", "send 0 to 1" */
};

/* What went through it since it was made; ABSENT: not counted. */
struct traffic {
	uint64_t messages;	/* put or sent; writes of shared memory */
	uint64_t bytes;
	uint64_t mean_bytes;	/* a message, by the last ones */
};

struct dump;

typedef void (*lock_fn)(void *arg, const struct lock_site *site);
typedef void (*counter_fn)(void *arg, const char *key, uint64_t value);

struct kind {
	uint16_t kind;		/* enum kipc_seg_kind */
	const char *const *bells;	/* names, by index of kipc_peer.sleeping[] */
	unsigned int nbells;
	/*
	 * Reads the body of a good view; deep: all that show prints.  NULL when it can't be
	 * decoded; what is wrong is noted by view_problem() in any case.
	 */
	void *(*load)(struct view *v, bool deep);
	void (*free)(void *data);
	/* Fills what it knows of *s, which is all absent. */
	void (*summary)(const void *data, struct summary *s);
	/* Prints its sections; loaded deeply. */
	void (*show)(const void *data, const struct peers *p, struct report *r);
	/* What the slot holds, in words, malloc'ed; NULL: nothing.  Loaded deeply.  May be NULL. */
	char *(*holds)(const void *data, uint32_t slot);
	/* Calls fn() for each lock that is held, or waited for; loaded deeply.  May be NULL. */
	void (*locks)(const void *data, lock_fn fn, void *arg);
	/* Calls fn() for each thing that it counts, with the unit in the key. */
	void (*counters)(const void *data, counter_fn fn, void *arg);
	/* Fills what it knows of *t, which is all absent.  May be NULL. */
	void (*traffic)(const void *data, const struct view *v, struct traffic *t);
	/* Adds to hits[slot] how often the process was seen putting just now.  May be NULL. */
	void (*producers)(const void *data, const struct view *v, const struct peers *p,
			  uint32_t hits[KIPC_PEER_MAX + 1]);
	/* Prints what is in it: dump.h. */
	void (*dump)(const void *data, struct view *v, struct dump *d);
};

extern const struct kind kind_queue, kind_pipe, kind_shm, kind_array, kind_manager;

/* By enum kipc_seg_kind, or NULL. */
const struct kind *kind_of(unsigned int number);

/* ---- shared-words.c: what several kinds have ---- */

/* A doorbell's line, decoded. */
struct bell_row {
	char name[24];
	uint32_t sleepers, drainer;
	bool watched, signalled;
	uint64_t sequence, rings;
};
void bell_decode(struct bell_row *b, const char *name, const struct kipc_bell_line *line);
void bells_report(struct report *r, const struct bell_row *bells, size_t n);

/* As struct kind.counters: "NAME_rings", "NAME_drains". */
void bell_counters(const char *name, const struct kipc_bell_line *line, counter_fn fn, void *arg);

/* A lock word, decoded. */
struct lock_row {
	char name[24];
	uint64_t owner;			/* slot; ABSENT: nobody */
	const char *owner_state;	/* "alive", "dead", "unknown"; NULL: nobody */
	bool waiters, died;
};
void lock_decode(struct lock_row *l, const char *name, uint32_t word, const struct peers *p);
/* Calls fn() with the word, if it says anything. */
void lock_site(lock_fn fn, void *arg, uint64_t off, uint32_t word, const char *name);
void locks_report(struct report *r, const struct lock_row *locks, size_t n);
static inline bool lock_held_by(uint32_t word, uint32_t slot)
{
	return slot && (word & KIPC_LOCK_OWNER) == slot;
}

#endif
