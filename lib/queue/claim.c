// SPDX-License-Identifier: MIT
/*
 * Claiming a cell, for a put or for a get: the heart of the queue.  States in queue.h.
 *
 * Progress: lock-free.  A failed CAS means that another claimed or helped.  A step that finds the
 * words unchanged and impossible gives -EPROTO, so a damaged ring can't make us loop: each turn
 * either ends, or moves a hint over a cell that says it was claimed; no hint goes further than the
 * laps that the cells show, nor head further than a few rings beyond tail.
 */
#include "queue/queue.h"

/*
 * Cells ahead of a producer that are fetched for writing.  They come from the consumers' caches, and
 * the CAS of a claim is a barrier that the next miss can't pass: without this, each message waits for
 * its own two lines (measured: twice the rate).  A consumer has nothing to gain: what lies ahead of
 * it is just being written.
 */
#define PREFETCH_CELLS	6

static inline void prefetch_ahead(const struct kipc_queue *q, uint32_t index)
{
	uint32_t ahead = index + PREFETCH_CELLS;
	char *cell;

	if (ahead >= q->capacity)
		ahead -= q->capacity;
	if (unlikely(ahead >= q->capacity))
		return;		/* a ring of fewer cells */
	cell = (char *)cell_at(q, ahead);
	__builtin_prefetch(cell, 1);
	__builtin_prefetch(cell + 64, 1);
}

/*
 * For the holder of the claim on the position before `to`, and before it settles that claim.  Should
 * others have moved the hint on between the two steps, this moves it back, but by less than a ring:
 * nobody gets a ring ahead of a cell that is held.  (Documentation/models/queue.pml stores without even
 * looking.)  A CAS would cost as much as the claim itself.  Who holds no claim must use one, in help().
 *
 * How far tail can lag: less than a ring behind what was claimed when it was moved back; and then one
 * producer that had read it before may claim there, and a batch behind that, so nearly another ring,
 * and die.  Every other one first helps tail to where it claims.  So a cell is two laps ahead of tail
 * at most.
 */
static inline void move_hint(uint64_t *hint, uint64_t to)
{
	if (likely((int64_t)(to - load_relaxed(hint)) > 0)) {
		store_relaxed(hint, to);
		KIPC_POINT("queue.hint_moved");
	}
}

static inline void help(const struct kipc_queue *q, uint64_t *hint, uint64_t pos)
{
	cmpxchg(hint, pos, pos_next(q, pos));
	KIPC_POINT("queue.hint_helped");
}

/* Whether the hint still is what we judged by: then what we found can't be. */
static int damaged_unless_moved(uint64_t *hint, uint64_t pos)
{
	return load_acquire(hint) == pos ? -EPROTO : 0;
}

int __kipc_queue_claim_put(struct kipc_queue *q, struct kipc_claim *c)
{
	struct kipc_queue_shared *sh = q->sh;
	uint32_t slot = q->obj.seg.slot;

	if (unlikely(load_relaxed(&sh->shutdown)))
		return -EPIPE;
	for (;;) {
		uint64_t pos = load_relaxed(&sh->tail), lap = pos_lap(q, pos), state, ahead;
		uint32_t index = pos_index(q, pos);
		struct kipc_cell *cell;
		int r;

		if (unlikely(index >= q->capacity))
			return -EPROTO;
		cell = cell_at(q, index);
		prefetch_ahead(q, index);
		state = load_acquire(&cell->state);	/* [B] pairs with: cells_release() */
		if (likely(state == cell_state(lap, KIPC_CELL_FREE, 0))) {
			if (!cmpxchg(&cell->state, state,
				     cell_state(lap, KIPC_CELL_WRITING, slot)))
				continue;
			KIPC_POINT("queue.put.claimed");
			move_hint(&sh->tail, pos_next(q, pos));
			c->cell = cell;
			c->pos = pos;
			c->index = index;
			c->flags = 0;
			/* after the claim; pairs with: kipc_queue_shutdown() */
			if (unlikely(load_seq_cst(&sh->shutdown))) {
				cells_release(q, c, 1);
				__kipc_queue_skipped(q);
				return -EPIPE;
			}
			return 0;
		}
		ahead = laps_ahead(q, state, pos);
		if (ahead <= KIPC_QUEUE_TAIL_LAPS) {
			help(q, &sh->tail, pos);	/* claimed */
		} else if (ahead == q->lap_mask) {
			if (load_acquire(&sh->tail) != pos)
				continue;
			if (unlikely(!state_possible(q, state)))
				return -EPROTO;
			return load_acquire(&sh->shutdown) ? -EPIPE : -EAGAIN;
		} else {
			r = damaged_unless_moved(&sh->tail, pos);
			if (r)
				return r;
		}
	}
}

/*
 * No hint to read, one to move: the claims are made on the cells alone, and tail follows in one step
 * from behind the first to behind the last, unless another has helped it on meanwhile.
 */
int __kipc_queue_extend_put(struct kipc_queue *q, struct kipc_claim *claims, int n)
{
	uint64_t pos = pos_next(q, claims[0].pos);
	int got;

	for (got = 1; got < n; got++, pos = pos_next(q, pos)) {
		uint64_t lap = pos_lap(q, pos);
		struct kipc_claim *c = &claims[got];

		c->pos = pos;
		c->index = pos_index(q, pos);
		c->cell = cell_at(q, c->index);
		prefetch_ahead(q, c->index);
		/* pairs with: cells_release() */
		if (load_acquire(&c->cell->state) != cell_state(lap, KIPC_CELL_FREE, 0) ||
		    !cmpxchg(&c->cell->state, cell_state(lap, KIPC_CELL_FREE, 0),
			     cell_state(lap, KIPC_CELL_WRITING, q->obj.seg.slot)))
			break;
		KIPC_POINT("queue.put_many.claimed");
	}
	if (got == 1)
		return 1;
	move_hint(&q->sh->tail, pos);
	if (unlikely(load_seq_cst(&q->sh->shutdown))) {	/* as for the first */
		cells_release(q, claims + 1, got - 1);
		for (; got > 1; got--)
			__kipc_queue_skipped(q);
	}
	return got;
}

void __kipc_queue_skipped(struct kipc_queue *q)
{
	fetch_add(&q->sh->skipped, 1);
	KIPC_POINT("queue.skip_counted");
	/* a consumer may wait for this place to be settled, a producer for the cell */
	ring_readable(q);
	ring_writable(q);
}

/* READY or RETURNED -> READING, unless it is too long.  -EAGAIN: another was faster. */
static int take(struct kipc_queue *q, struct kipc_cell *cell, uint32_t index, uint64_t state,
		uint64_t size, struct kipc_claim *c)
{
	/* the state is unique to this message, so if the CAS succeeds, this was its length */
	uint64_t len = load_relaxed(&cell->len);

	if (unlikely(len > size || len > q->msg_size)) {
		if (load_acquire(&cell->state) != state)
			return -EAGAIN;
		return len > q->msg_size ? -EPROTO : -EMSGSIZE;
	}
	if (!cmpxchg(&cell->state, state,
		     cell_state(cell_lap(state), KIPC_CELL_READING, q->obj.seg.slot)))
		return -EAGAIN;
	KIPC_POINT("queue.get.claimed");
	c->cell = cell;
	c->index = index;
	c->len = len;
	return 0;
}

/*
 * Looks the ring over for a returned message, oldest first.  0: taken; -EAGAIN: there is none, and
 * `scanned` says so unless more came meanwhile; -EMSGSIZE, -EPROTO.
 */
static __cold int claim_returned(struct kipc_queue *q, struct kipc_claim *c, uint64_t size)
{
	struct kipc_queue_shared *sh = q->sh;
	uint64_t scanned = load_relaxed(&sh->scanned);
	uint64_t returned = load_acquire(&sh->returned);	/* pairs with: returned_one() */
	uint32_t first = pos_index(q, load_relaxed(&sh->head));

	for (uint32_t i = 0; i < q->capacity; i++) {
		uint32_t index = (first + i) % q->capacity;
		struct kipc_cell *cell = cell_at(q, index);
		uint64_t state = load_acquire(&cell->state);
		int r;

		if (cell_phase(state) != KIPC_CELL_RETURNED)
			continue;
		r = take(q, cell, index, state, size, c);
		if (r == -EAGAIN)
			continue;
		if (!r) {
			c->pos = cell_lap(state) << q->index_bits | index;
			c->flags = KIPC_MSG_REDELIVERED;
			fetch_add(&sh->redelivered, 1);
			KIPC_TRACE(queue_redeliver, q->obj.seg.id, c->pos, c->len);
		}
		return r;
	}
	cmpxchg(&sh->scanned, scanned, returned);
	KIPC_POINT("queue.scanned");
	return -EAGAIN;
}

/*
 * Head can be beyond tail by what tail lags, no more.  (No need to be exact: this only keeps damaged
 * cells from leading head on and on.)
 */
static __cold int pass_over(struct kipc_queue *q, uint64_t pos, uint64_t ahead)
{
	uint64_t to = pos_passed(q, pos, ahead);

	if (pos_distance(q, to, load_acquire(&q->sh->tail)) <
	    -(int64_t)(KIPC_QUEUE_TAIL_LAPS + 1) * q->capacity)
		return damaged_unless_moved(&q->sh->head, pos);
	cmpxchg(&q->sh->head, pos, to);
	KIPC_POINT("queue.head_jumped");
	return 0;
}

int __kipc_queue_claim_get(struct kipc_queue *q, struct kipc_claim *c, uint64_t size)
{
	struct kipc_queue_shared *sh = q->sh;
	int r;

	for (;;) {
		/* before the cells; pairs with: kipc_queue_shutdown() */
		uint32_t shutdown = load_acquire(&sh->shutdown);
		uint64_t pos, state, ahead;
		enum kipc_cell_phase phase;
		struct kipc_cell *cell;
		uint32_t index;
		bool held;

		if (unlikely(shutdown))
			fence_full();
		if (unlikely(load_relaxed(&sh->returned) != load_relaxed(&sh->scanned))) {
			r = claim_returned(q, c, size);
			if (r != -EAGAIN)
				return r;
		}
		pos = load_relaxed(&sh->head);
		index = pos_index(q, pos);
		if (unlikely(index >= q->capacity))
			return -EPROTO;
		cell = cell_at(q, index);
		state = load_acquire(&cell->state);	/* [A] pairs with: cells_publish() */
		if (likely(state == cell_state(pos_lap(q, pos), KIPC_CELL_READY, 0))) {
			r = take(q, cell, index, state, size, c);
			if (r == -EAGAIN)
				continue;
			if (likely(!r)) {
				move_hint(&sh->head, pos_next(q, pos));
				c->pos = pos;
				c->flags = 0;
			}
			return r;
		}
		ahead = laps_ahead(q, state, pos);
		phase = cell_phase(state);
		held = phase == KIPC_CELL_READING || phase == KIPC_CELL_RETURNED;
		if (laps_later(q, ahead)) {
			r = pass_over(q, pos, ahead);
			if (r)
				return r;
		} else if (ahead == 0 && held) {
			help(q, &sh->head, pos);	/* taken */
		} else if (load_acquire(&sh->head) == pos) {
			/* not claimed yet, being written, or a whole ring of taken ones */
			if (!(ahead == 0 && phase <= KIPC_CELL_WRITING) &&
			    !(ahead == q->lap_mask && held))
				return -EPROTO;
			if (unlikely(!state_possible(q, state)))
				return -EPROTO;
			return shutdown && phase != KIPC_CELL_WRITING ? -EPIPE : -EAGAIN;
		}
	}
}

int __kipc_queue_extend_get(struct kipc_queue *q, struct kipc_claim *claims, int n,
			    const struct iovec *sizes)
{
	uint64_t pos = pos_next(q, claims[0].pos);
	int got;

	if (claims[0].flags & KIPC_MSG_REDELIVERED)
		return 1;	/* from behind head: what follows is not next */
	for (got = 1; got < n; got++, pos = pos_next(q, pos)) {
		uint64_t state = cell_state(pos_lap(q, pos), KIPC_CELL_READY, 0);
		struct kipc_claim *c = &claims[got];
		uint32_t index = pos_index(q, pos);

		/* pairs with: cells_publish() */
		if (load_acquire(&cell_at(q, index)->state) != state ||
		    take(q, cell_at(q, index), index, state, sizes[got].iov_len, c))
			break;
		c->pos = pos;
		c->flags = 0;
	}
	if (got > 1)
		move_hint(&q->sh->head, pos);
	return got;
}
