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
 *	READY, RETURNED(n) -> FREE(n + 1)	a producer that drops the oldest: one CAS
 *
 * So every state is either nobody's or carries its owner, and each step is one 8-byte store or CAS.
 *
 * tail and head are hints.  They are never too high: who claimed position p, and holds it still, moves
 * them from p to p + 1 (batches: behind the last claimed); when that one dies or lags, whoever meets
 * them helps them forward, by a CAS.  Being claimed is a matter of the cell alone.  No position is
 * claimed before the one in front of it, since tail only passes claimed cells: this gives the order
 * per producer.  So tail lags behind the claims by less than two rings; but head by any number of
 * laps, when all that went by was aborted, dropped, or returned and taken again.  Both may go back,
 * within these limits: nothing may be concluded from a hint that is where it was before.
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
	uint64_t settled;		/* see skipped_between() */
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

/* So many laps the cell at tail can be ahead of it: see move_hint() */
#define KIPC_QUEUE_TAIL_LAPS	2

/* Whether `ahead` laps are ahead, and not behind: the position is over. */
static inline bool laps_later(const struct kipc_queue *q, uint64_t ahead)
{
	return ahead - 1 < q->lap_mask / 2;
}

/*
 * Behind a position whose cell is `ahead` laps later.  If the cell is of lap m, all up to position
 * (m - 2, index) is over, since (m - 1, index) could not have been claimed otherwise.  So whole laps
 * are passed at once, and only what is younger, which may hold messages, step by step.
 */
static inline uint64_t pos_passed(const struct kipc_queue *q, uint64_t pos, uint64_t ahead)
{
	if (ahead > 2)
		pos += (ahead - 2) << q->index_bits;
	return pos_next(q, pos);
}

/* Whether such a state can be: a slot where, and only where, somebody holds the cell. */
static inline bool state_possible(const struct kipc_queue *q, uint64_t state)
{
	enum kipc_cell_phase phase = cell_phase(state);
	bool held = phase == KIPC_CELL_WRITING || phase == KIPC_CELL_READING;

	return phase <= KIPC_CELL_RETURNED && held == (cell_slot(state) != 0) &&
	       cell_slot(state) <= q->obj.seg.npeers;
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

	/* unsigned: hostile positions may overflow */
	return (int64_t)((uint64_t)laps * q->capacity + pos_index(q, b) - pos_index(q, a));
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
/* A WRITING cell was left without a message: counts it, and tells who may wait for it. */
void __kipc_queue_skipped(struct kipc_queue *q);

/* wait.c: the same until it works or the time is up. */
int __kipc_queue_wait_put(struct kipc_queue *q, struct kipc_claim *c, int64_t timeout_ns);
int __kipc_queue_wait_get(struct kipc_queue *q, struct kipc_claim *c, uint64_t size,
			  int64_t timeout_ns);
bool __kipc_queue_can_put(void *q);
bool __kipc_queue_can_get(void *q);
/* Whose claim stands at that position's cell now: a slot, or 0. */
uint32_t __kipc_queue_owner_at(struct kipc_queue *q, uint64_t pos);

/* source.c: as kipc_object_ops.source */
int __kipc_queue_source(struct kipc_object *obj, unsigned int which, struct kipc_source *src);

/* info.c: the first position that isn't claimed, whatever tail says; helps tail there.  0 or -EPROTO */
int __kipc_queue_end(struct kipc_queue *q, uint64_t *pos);

/* check.c: for the auditor */
void __kipc_queue_check(struct kipc_check *c, uint32_t stamp);

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
		KIPC_TRACE(queue_put, q->obj.seg.id, c[i].pos, c[i].len);
		store_relaxed(&c[i].cell->len, c[i].len);	/* latecomers still look */
		KIPC_POINT("queue.put.filled");
		if (i < n - 1)
			store_release(&c[i].cell->state,
				      cell_state(claim_lap(q, &c[i]), KIPC_CELL_READY, 0));
		else
			xchg(&c[i].cell->state,
			     cell_state(claim_lap(q, &c[i]), KIPC_CELL_READY, 0));
		KIPC_POINT("queue.put.ready");
	}
}

/* After cells became FREE; pairs with: kipc_queue_join() */
static inline bool somebody_joins(struct kipc_queue *q)
{
	return load_seq_cst(&q->sh->bells[KIPC_QUEUE_BELL_JOIN].word) & KIPC_BELL_SLEEPERS;
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
		KIPC_POINT("queue.get.free");
	}
	for (int i = 0; i < n && unlikely(somebody_joins(q)); i++)
		__kipc_queue_wake_join(q, c[i].index);
}

/* The claim that msg stands for, if this process holds it (phase).  0, -EINVAL, or as enter(). */
static inline int claim_of(struct kipc_queue *q, const struct kipc_msg *msg,
			   enum kipc_cell_phase phase, struct kipc_claim *c)
{
	int r;

	if (!q || !msg)
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	c->pos = msg->position;
	c->index = pos_index(q, c->pos);
	if (c->index >= q->capacity)
		return -EINVAL;
	c->cell = cell_at(q, c->index);
	return load_acquire(&c->cell->state) ==
			       cell_state(claim_lap(q, c), phase, q->obj.seg.slot) ?
		       0 :
		       -EINVAL;
}

/*
 * Ends a claim that the user holds (phase) with the state `to`; false when it isn't there any more:
 * two threads may end the same one at once, and then the cell may already be somebody else's.
 */
static inline bool cell_end(struct kipc_queue *q, struct kipc_claim *c, enum kipc_cell_phase phase,
			    uint64_t to)
{
	if (!cmpxchg(&c->cell->state, cell_state(claim_lap(q, c), phase, q->obj.seg.slot), to))
		return false;
	KIPC_POINT("queue.claim_ended");
	if (cell_phase(to) == KIPC_CELL_FREE && unlikely(somebody_joins(q)))
		__kipc_queue_wake_join(q, c->index);
	return true;
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
