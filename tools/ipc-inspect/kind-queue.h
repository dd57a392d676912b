/* SPDX-License-Identifier: MIT */
/*
 * A queue as we see it (uapi/kipc/queue.h), for those who look at its cells: its show, dump, record.
 */
#ifndef IPC_INSPECT_KIND_QUEUE_H
#define IPC_INSPECT_KIND_QUEUE_H

#include "tools/ipc-inspect/kind.h"
#include "uapi/kipc/queue.h"

/* Read in one go with the body: the cells of most queues whose messages are small. */
#define QUEUE_WINDOW	4096u

struct queue_claims {
	uint32_t slot, writing, reading;
};

struct queue {
	union {
		struct kipc_queue_shared sh;	/* our copy */
		char window[QUEUE_WINDOW];	/* ... and what follows it, up to nwindow */
	};
	uint32_t nwindow;
	uint64_t body;			/* where it stands in the segment */
	uint32_t index_bits;
	uint64_t lap_mask;
	uint64_t tail, head;		/* helped forward */
	uint64_t len;
	uint64_t put, taken;
	const char *overflow;
	bool full, shutdown;
	bool geometry;		/* it can be believed */
	uint32_t waiters;
	/* deep: */
	uint64_t phases[8];
	uint64_t examined;		/* cells */
	struct queue_claims *claims;	/* KIPC_PEER_MAX + 1 of them, by slot */
	struct queue_claims *held;	/* those that aren't zero */
	uint32_t nheld;
	struct queue_cell *cells;	/* the first ones that aren't free, from the oldest on */
	uint32_t ncells;
	struct bell_row bells[KIPC_QUEUE_BELLS];
};

/* A cell that isn't free. */
struct queue_cell {
	uint64_t position;	/* as it stands in head and tail */
	uint64_t state;
	uint64_t len;		/* bytes */
	uint32_t index;
};

static inline enum kipc_cell_phase queue_phase(uint64_t state)
{
	return (enum kipc_cell_phase)((state & KIPC_CELL_PHASE) >> KIPC_CELL_PHASE_SHIFT);
}

static inline uint32_t queue_index(const struct queue *q, uint64_t pos)
{
	return pos & ((1u << q->index_bits) - 1);
}

static inline uint64_t queue_next(const struct queue *q, uint64_t pos)
{
	if (queue_index(q, pos) + 1 < q->sh.capacity)
		return pos + 1;
	return ((pos >> q->index_bits) + 1) << q->index_bits;
}

static inline uint64_t queue_cell_off(const struct queue *q, uint32_t index)
{
	return q->sh.cells_off + (uint64_t)index * q->sh.cell_size;
}

/* Where the bytes of a message of that length stand; len: at most sh.msg_size. */
static inline uint64_t queue_data_off(const struct queue *q, uint32_t index, uint64_t len)
{
	if (len <= q->sh.cell_size - sizeof(struct kipc_cell))
		return queue_cell_off(q, index) + sizeof(struct kipc_cell);
	return q->sh.payload_off + index * q->sh.payload_stride;
}

/* Positions from a to b, b not before a by more than a ring or so. */
int64_t queue_distance(const struct queue *q, uint64_t a, uint64_t b);
/* Positions passed since creation. */
uint64_t queue_count(const struct queue *q, uint64_t pos);

/* What a cell is in words: "ready", "taken", ... */
const char *queue_phase_name(enum kipc_cell_phase phase);

/*
 * Calls fn() for each cell that isn't free, from the oldest position on, until it returns false; what
 * changes meanwhile may be missed.  0, or -EPROTO: a cell can't be read.
 */
int queue_each_cell(struct view *v, const struct queue *q,
		    bool (*fn)(const struct queue_cell *cell, void *arg), void *arg);

struct dump;
void queue_dump(const void *data, struct view *v, struct dump *d);

#endif
