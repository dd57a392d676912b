// SPDX-License-Identifier: MIT
/*
 * Waiting for room or for a message, and healing what stands in the way.
 *
 * Who gives up with -EAGAIN sweeps for dead peers, too, though not more often than a waiter would:
 * a program that only polls must see a dead process's claims go as well.
 */
#include "queue/queue.h"

/* The state of the cell that the next message goes to; *pos is its position. */
static uint64_t state_at_tail(struct kipc_queue *q, uint64_t *pos)
{
	uint32_t index;

	*pos = load_relaxed(&q->sh->tail);
	index = pos_index(q, *pos);
	return index < q->capacity ? load_acquire(&cell_at(q, index)->state) : 0;
}

static bool has_room(struct kipc_queue *q)
{
	uint64_t pos, state = state_at_tail(q, &pos);

	if (pos_index(q, pos) >= q->capacity || load_relaxed(&q->sh->shutdown))
		return true;	/* to be told so by the operation */
	return laps_ahead(q, state, pos) != q->lap_mask;
}

/*
 * The ring is full, and the oldest message, which stands where the next one goes, is nobody's: a put
 * may drop it.  While somebody holds that place, dropping others would make no room.
 */
static bool may_drop(struct kipc_queue *q, uint64_t state, uint64_t pos)
{
	return q->overflow == KIPC_OVERFLOW_DROP_OLDEST &&
	       laps_ahead(q, state, pos) == q->lap_mask &&
	       (cell_phase(state) == KIPC_CELL_READY || cell_phase(state) == KIPC_CELL_RETURNED);
}

bool __kipc_queue_can_put(void *arg)
{
	struct kipc_queue *q = arg;
	uint64_t pos, state = state_at_tail(q, &pos);

	return has_room(q) || may_drop(q, state, pos);
}

bool __kipc_queue_can_get(void *arg)
{
	struct kipc_queue *q = arg;
	uint64_t pos = load_relaxed(&q->sh->head), state, ahead;
	uint32_t index = pos_index(q, pos);
	enum kipc_cell_phase phase;

	if (index >= q->capacity || load_relaxed(&q->sh->returned) != load_relaxed(&q->sh->scanned))
		return true;
	state = load_acquire(&cell_at(q, index)->state);
	phase = cell_phase(state);
	ahead = laps_ahead(q, state, pos);
	if (ahead == 0 && phase == KIPC_CELL_WRITING)
		return false;
	if ((ahead == 0 && phase == KIPC_CELL_FREE) || ahead == q->lap_mask)
		return load_relaxed(&q->sh->shutdown);
	return true;
}

/* Whose claim a put or a get waits for, 0 when it waits for nobody in particular. */
uint32_t __kipc_queue_owner_at(struct kipc_queue *q, uint64_t pos)
{
	uint32_t index = pos_index(q, pos);
	uint64_t state;

	if (index >= q->capacity)
		return 0;
	state = load_acquire(&cell_at(q, index)->state);
	if (cell_phase(state) != KIPC_CELL_WRITING && cell_phase(state) != KIPC_CELL_READING)
		return 0;
	return cell_slot(state) <= q->obj.seg.npeers ? cell_slot(state) : 0;
}

static uint32_t put_owner(void *arg)
{
	struct kipc_queue *q = arg;

	return __kipc_queue_owner_at(q, load_relaxed(&q->sh->tail));
}

static uint32_t get_owner(void *arg)
{
	struct kipc_queue *q = arg;

	return __kipc_queue_owner_at(q, load_relaxed(&q->sh->head));
}

/* The oldest message goes, so that a new one fits.  False: that makes no room now. */
static bool drop_oldest(struct kipc_queue *q)
{
	uint64_t pos, state = state_at_tail(q, &pos);
	uint32_t index = pos_index(q, pos);

	if (index >= q->capacity || !may_drop(q, state, pos))
		return false;
	/* one step, so that a death leaves no claim; consumers pass over it */
	if (cmpxchg(&cell_at(q, index)->state, state,
		    cell_state(pos_lap(q, pos), KIPC_CELL_FREE, 0))) {
		KIPC_POINT("queue.dropped");
		fetch_add(&q->sh->dropped, 1);
		KIPC_POINT("queue.drop_counted");
		if (somebody_joins(q))
			__kipc_queue_wake_join(q, index);
	}
	return true;
}

static int attempt_put(struct kipc_queue *q, struct kipc_claim *c)
{
	int r = __kipc_queue_claim_put(q, c);

	/* bounded: others were faster in each turn */
	for (int i = 0; r == -EAGAIN && i < 64 && drop_oldest(q); i++)
		r = __kipc_queue_claim_put(q, c);
	return r;
}

/*
 * A poller's last look before -EAGAIN: repair what is dead; if somebody watches the descriptor,
 * clear it and look again (in this order: whatever comes after the drain signals anew).
 */
static bool look_again(struct kipc_queue *q, struct kipc_bell *bell, bool (*ready)(void *),
		       uint32_t owner)
{
	struct kipc_segment *seg = &q->obj.seg;
	bool again;

	again = __kipc_peer_sweep(seg, owner ? KIPC_OWNER_TICK_NS : KIPC_TICK_NS) > 0;
	if (__kipc_bell_watched(bell)) {
		__kipc_bell_drain(seg, bell, true);
		again = true;
	}
	return again && ready(q);
}

/*
 * Sleepers leave one after the other when it is shut down: an exclusive wake-up wakes one.  Whoever
 * was here may have consumed a wake-up, or drained one that was meant for another, even without
 * having slept: what it leaves behind is the next one's.
 */
static void pass_on(struct kipc_queue *q, struct kipc_wait *w, int r)
{
	if (r == -EPIPE)
		__kipc_bell_kick(w->bell);
	else if (w->ready(q))
		__kipc_bell_ring(w->bell);
}

__cold int __kipc_queue_wait_put(struct kipc_queue *q, struct kipc_claim *c, int64_t timeout_ns)
{
	struct kipc_wait w = {
		.seg = &q->obj.seg,
		.bell = &q->bells[KIPC_QUEUE_BELL_WRITABLE],
		.spin = &q->spins[KIPC_QUEUE_BELL_WRITABLE],
		.ready = __kipc_queue_can_put,
		.owner = put_owner,
		.arg = q,
		.hup_fd = -1,
		.deadline = __kipc_deadline(timeout_ns),
	};
	int r;

	while ((r = attempt_put(q, c)) == -EAGAIN) {
		if (!w.deadline) {
			if (!look_again(q, w.bell, w.ready, put_owner(q)))
				return -EAGAIN;
			r = attempt_put(q, c);
			break;
		}
		KIPC_TRACE(queue_block, q->obj.seg.id, w.bell->index);
		r = __kipc_wait(&w);
		if (r) {
			/* what woke us too late may be there all the same */
			int last = attempt_put(q, c);

			r = last == -EAGAIN ? r : last;
			break;
		}
	}
	pass_on(q, &w, r);
	return r;
}

__cold int __kipc_queue_wait_get(struct kipc_queue *q, struct kipc_claim *c, uint64_t size,
				 int64_t timeout_ns)
{
	struct kipc_wait w = {
		.seg = &q->obj.seg,
		.bell = &q->bells[KIPC_QUEUE_BELL_READABLE],
		.spin = &q->spins[KIPC_QUEUE_BELL_READABLE],
		.ready = __kipc_queue_can_get,
		.owner = get_owner,
		.arg = q,
		.hup_fd = -1,
		.deadline = __kipc_deadline(timeout_ns),
	};
	int r;

	while ((r = __kipc_queue_claim_get(q, c, size)) == -EAGAIN) {
		if (!w.deadline) {
			if (!look_again(q, w.bell, w.ready, get_owner(q)))
				return -EAGAIN;
			r = __kipc_queue_claim_get(q, c, size);
			break;
		}
		KIPC_TRACE(queue_block, q->obj.seg.id, w.bell->index);
		r = __kipc_wait(&w);
		if (r) {
			int last = __kipc_queue_claim_get(q, c, size);

			r = last == -EAGAIN ? r : last;
			break;
		}
	}
	pass_on(q, &w, r);
	return r;
}
