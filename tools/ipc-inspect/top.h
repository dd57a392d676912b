/* SPDX-License-Identifier: MIT */
/*
 * What `top` shows: rates, from two looks at the counters that the objects keep, and how depths went.
 *
 * A queue doesn't count bytes, and shall not for our sake: what is shown is messages a second times the
 * mean length of the last ones, as their cells still say, and marked as an estimate.  Nor does it
 * count who puts: whoever is seen at it most often, among many looks, is the one.
 */
#ifndef IPC_INSPECT_TOP_H
#define IPC_INSPECT_TOP_H

#include "tools/ipc-inspect/inspect.h"

#define TOP_HISTORY	16

struct top_row {
	uint64_t dev, ino;
	char *object, *name;
	const char *kind, *unit;
	char *states;			/* a line each */
	struct traffic total;		/* at the last look */
	double messages, bytes;		/* a second; < 0: not known */
	bool estimated;			/* bytes */
	uint64_t depth, capacity;	/* ABSENT */
	uint64_t waiters;
	double history[TOP_HISTORY];	/* depth / capacity, the newest last; < 0: not known */
	double cpu;			/* percent, of all who hold it; < 0: not known */
	uint64_t busiest;		/* the process with most of it; ABSENT */
	char busiest_comm[16];
	uint32_t *hits;			/* by slot: how often it was seen putting; older ones fade */
	uint64_t producer;		/* the process with most of them; ABSENT */
	bool seen;			/* at the last look */
};

enum top_sort { TOP_BY_OBJECT, TOP_BY_MESSAGES, TOP_BY_BYTES, TOP_BY_DEPTH, TOP_BY_WAITERS,
		TOP_BY_CPU, TOP_SORTS };

struct top {
	const struct targets *targets;
	struct top_row *row;		/* sorted */
	size_t n, room;
	uint64_t looked_ns;		/* CLOCK_BOOTTIME of the last look; 0: none yet */
	uint64_t time_ns;		/* CLOCK_REALTIME of it */
	double elapsed;			/* seconds since the look before */
	struct top_cpu *cpu;		/* of the processes, at the last look */
	size_t ncpu, cpu_room;
	enum top_sort sort;
};

extern const char *const top_sort_names[TOP_SORTS];

/* Looks anew.  An exit code. */
int top_look(struct top *t, unsigned int flags);
void top_resort(struct top *t);
void top_free(struct top *t);

/* top.c: the columns, which show a struct top_row. */
extern const struct column top_columns[];
extern const unsigned int top_ncolumns;

/*
 * top-screen.c: until q is pressed, or so many looks are done (0: no limit).  -1: this terminal can't
 * do that; else an exit code.
 */
int top_screen(struct top *t, const struct selection *sel, const struct format *f,
	       uint64_t interval_ns, uint64_t count);

#endif
