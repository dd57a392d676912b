/* SPDX-License-Identifier: MIT */
/*
 * The ring of claimed cells, private side.
 *
 * The life of cell i in lap n, who moves it, and what a death leaves:
 *
 *	FREE(n)		-> WRITING(n, s)	a producer of process s: one CAS, the claim of (n, i)
 *	WRITING(n, s)	-> READY(n)		s, in commit: one store, the message exists
 *			-> FREE(n + 1)		s aborts; or s is dead, by the reaper: skipped
 *	READY(n)	-> READING(n, s)	a consumer of process s: one CAS, it is taken
 *	READING(n, s)	-> FREE(n + 1)		s, in done: one store, it is acknowledged
 *			-> RETURNED(n)		s requeues; or s is dead, by the reaper
 *	RETURNED(n)	-> READING(n, s)	a consumer: one CAS, it is taken again, flagged
 *
 * So every state is either nobody's or carries its owner, and each step is one 8-byte store or CAS.
 *
 * tail and head are hints.  They are never too high, since only a CAS from p to p + 1 moves them
 * (batches: to the last claimed + 1), and only after position p was claimed; when their mover dies
 * or lags, whoever meets them helps them forward.  Being claimed is a matter of the cell alone.  No
 * position is claimed before the one in front of it, since tail only passes claimed cells: this
 * gives the order per producer.
 *
 * Returned messages stand behind head.  `returned` is moved after a cell became RETURNED (by the
 * reaper in any case, should the returner have died before that); consumers scan the ring while
 * `returned` differs from `scanned`.
 *
 * shutdown: a producer looks at the flag after its claim, a consumer looks at the cell after it saw
 * the flag; both with full barriers between, so a put that returns 0 is seen by the last get.
 *
 * Beside what: everything may run beside everything, but close.
 */
#ifndef KIPC_QUEUE_PRIVATE_H
#define KIPC_QUEUE_PRIVATE_H

#include <errno.h>

#include "core/object.h"
#include "core/wait.h"
#include "kipc/queue.h"
#include "uapi/kipc/queue.h"

struct kipc_queue {
	struct kipc_object obj;
	struct kipc_queue_shared *sh;
	uint8_t *cells;
	uint8_t *payload;		/* NULL when all messages are inline */
	uint64_t msg_size;
	uint64_t payload_stride;
	uint64_t lap_mask;		/* laps count modulo this + 1, in positions and in cells */
	uint32_t capacity;
	uint32_t index_bits;
	uint32_t cell_size;
	uint32_t inline_size;		/* bytes that fit into a cell */
	uint32_t overflow;
	struct kipc_bell bells[KIPC_QUEUE_BELLS];
	struct kipc_spin spins[KIPC_QUEUE_BELLS];
};

static inline uint64_t cell_state(uint64_t lap, enum kipc_cell_phase phase, uint32_t slot)
{
	return lap << KIPC_CELL_LAP_SHIFT | (uint64_t)phase << KIPC_CELL_PHASE_SHIFT | slot;
}

static inline enum kipc_cell_phase cell_phase(uint64_t state)
{
	return (enum kipc_cell_phase)((state & KIPC_CELL_PHASE) >> KIPC_CELL_PHASE_SHIFT);
}

static inline uint32_t cell_slot(uint64_t state)
{
	return state & KIPC_CELL_SLOT;
}

static inline uint64_t cell_lap(uint64_t state)
{
	return state >> KIPC_CELL_LAP_SHIFT;
}

static inline struct kipc_cell *cell_at(const struct kipc_queue *q, uint32_t index)
{
	return (struct kipc_cell *)(q->cells + (uint64_t)index * q->cell_size);
}

static inline uint32_t pos_index(const struct kipc_queue *q, uint64_t pos)
{
	return pos & ((1u << q->index_bits) - 1);
}

static inline uint64_t pos_lap(const struct kipc_queue *q, uint64_t pos)
{
	return (pos >> q->index_bits) & q->lap_mask;
}

static inline uint64_t pos_next(const struct kipc_queue *q, uint64_t pos)
{
	if (likely(pos_index(q, pos) + 1 < q->capacity))
		return pos + 1;
	return ((pos >> q->index_bits) + 1) << q->index_bits;
}

/* How many laps the cell is ahead of the position: 0, 1, or lap_mask for "one behind". */
static inline uint64_t laps_ahead(const struct kipc_queue *q, uint64_t state, uint64_t pos)
{
	return (cell_lap(state) - pos_lap(q, pos)) & q->lap_mask;
}

/* The state that a cell is left in when lap `lap` is over for it. */
static inline uint64_t state_next_lap(const struct kipc_queue *q, uint64_t lap)
{
	return cell_state((lap + 1) & q->lap_mask, KIPC_CELL_FREE, 0);
}

/* Positions from a to b, b not before a by more than a ring or so. */
static inline int64_t pos_distance(const struct kipc_queue *q, uint64_t a, uint64_t b)
{
	uint64_t index_mask = (1ULL << q->index_bits) - 1;
	int64_t laps = (int64_t)((b & ~index_mask) - (a & ~index_mask)) >> q->index_bits;

	return laps * q->capacity + (int64_t)pos_index(q, b) - (int64_t)pos_index(q, a);
}

static inline void *cell_data(const struct kipc_queue *q, struct kipc_cell *cell, uint32_t index,
			      uint64_t len)
{
	if (likely(len <= q->inline_size))
		return cell->data;
	return q->payload + index * q->payload_stride;
}

/* A claimed cell. */
struct kipc_claim {
	struct kipc_cell *cell;
	uint64_t pos;
	uint64_t len;		/* of the message */
	uint32_t index;
	uint32_t flags;		/* KIPC_MSG_REDELIVERED */
};

static inline uint64_t claim_lap(const struct kipc_queue *q, const struct kipc_claim *c)
{
	return pos_lap(q, c->pos);
}

/* claim.c: one attempt each.  -EAGAIN: full, or nothing to take now; -EPIPE; -EPROTO. */
int __kipc_queue_claim_put(struct kipc_queue *q, struct kipc_claim *c);
/* size: -EMSGSIZE when the message is longer, and nothing changes. */
int __kipc_queue_claim_get(struct kipc_queue *q, struct kipc_claim *c, uint64_t size);
/*
 * After claims[0]: up to n - 1 more, at the positions that follow, as far as they can be had at once.
 * How many there are then, 1..n.  sizes[i] bounds the length of message i.
 */
int __kipc_queue_extend_put(struct kipc_queue *q, struct kipc_claim *claims, int n);
int __kipc_queue_extend_get(struct kipc_queue *q, struct kipc_claim *claims, int n,
			    const struct iovec *sizes);
/* Leaves a WRITING cell without a message. */
void __kipc_queue_skip(struct kipc_queue *q, struct kipc_claim *c);

/* wait.c: the same until it works or the time is up. */
int __kipc_queue_wait_put(struct kipc_queue *q, struct kipc_claim *c, int64_t timeout_ns);
int __kipc_queue_wait_get(struct kipc_queue *q, struct kipc_claim *c, uint64_t size,
			  int64_t timeout_ns);
bool __kipc_queue_can_put(void *q);
bool __kipc_queue_can_get(void *q);

/* info.c: 0 or -EPROTO */
int __kipc_queue_normalise(struct kipc_queue *q);

/* join.c */
void __kipc_queue_wake_join(struct kipc_queue *q, uint32_t index);

/* Claims that are settled together, so that they share the barriers. */
#define KIPC_QUEUE_BATCH	64

/*
 * The cells are written: each message exists from its store on.  The full barrier orders them before
 * the look at the bell; the caller rings.
 * pairs with: __kipc_queue_claim_get() [A]
 */
static inline void cells_publish(struct kipc_queue *q, struct kipc_claim *c, int n)
{
	for (int i = 0; i < n; i++) {
		c[i].cell->len = c[i].len;
		if (i < n - 1)
			store_release(&c[i].cell->state,
				      cell_state(claim_lap(q, &c[i]), KIPC_CELL_READY, 0));
		else
			xchg(&c[i].cell->state,
			     cell_state(claim_lap(q, &c[i]), KIPC_CELL_READY, 0));
	}
}

/*
 * The cells are read, or given up: they are the next lap's.  The caller rings.
 * pairs with: __kipc_queue_claim_put() [B]
 */
static inline void cells_release(struct kipc_queue *q, struct kipc_claim *c, int n)
{
	for (int i = 0; i < n; i++) {
		if (i < n - 1)
			store_release(&c[i].cell->state, state_next_lap(q, claim_lap(q, &c[i])));
		else
			xchg(&c[i].cell->state, state_next_lap(q, claim_lap(q, &c[i])));
	}
	/* pairs with: kipc_queue_join() */
	if (unlikely(load_relaxed(&q->sh->bells[KIPC_QUEUE_BELL_JOIN].word) & KIPC_BELL_SLEEPERS))
		for (int i = 0; i < n; i++)
			__kipc_queue_wake_join(q, c[i].index);
}

static inline void ring_readable(struct kipc_queue *q)
{
	__kipc_bell_ring(&q->bells[KIPC_QUEUE_BELL_READABLE]);
}

static inline void ring_writable(struct kipc_queue *q)
{
	__kipc_bell_ring(&q->bells[KIPC_QUEUE_BELL_WRITABLE]);
}

#endif
