// SPDX-License-Identifier: MIT
/* What a queue says of itself, and shutdown. */
#include <string.h>

#include "core/opts.h"
#include "queue/queue.h"

/*
 * The hints lag, and go back as well.  What they only hint at is found by walking on from them: from
 * tail over what is claimed, from head over what is taken or over.  Tail has two rings to walk at
 * most, and head, which jumps over whole laps, less than that and four; what moves on faster than we
 * walk is left to itself.  A cell that is more laps ahead than it can be says that the place has been
 * left behind meanwhile, or that the ring is damaged.
 */
static int walk(struct kipc_queue *q, uint64_t *hint, uint64_t laps, uint64_t *end,
		bool (*step)(struct kipc_queue *q, uint64_t state, uint64_t *pos))
{
	uint64_t start = load_acquire(hint), pos = start;

	for (uint64_t i = 0; i < 8 * (uint64_t)q->capacity; i++) {
		uint32_t index = pos_index(q, pos);
		uint64_t state, ahead;

		if (index >= q->capacity)
			return -EPROTO;
		state = load_acquire(&cell_at(q, index)->state);
		ahead = laps_ahead(q, state, pos);
		if (ahead > laps && ahead != q->lap_mask) {
			if (load_acquire(hint) == start)
				return -EPROTO;
			start = pos = load_acquire(hint);
			continue;
		}
		if (!step(q, state, &pos))
			break;
	}
	if (pos != start && !q->obj.seg.readonly) {
		cmpxchg(hint, start, pos);	/* help */
		KIPC_POINT("queue.hint_walked");
	}
	*end = pos;
	return 0;
}

static bool over_claimed(struct kipc_queue *q, uint64_t state, uint64_t *pos)
{
	uint64_t ahead = laps_ahead(q, state, *pos);

	if (ahead == q->lap_mask || (ahead == 0 && cell_phase(state) == KIPC_CELL_FREE))
		return false;
	*pos = pos_next(q, *pos);
	return true;
}

static bool over_taken(struct kipc_queue *q, uint64_t state, uint64_t *pos)
{
	uint64_t ahead = laps_ahead(q, state, *pos);
	enum kipc_cell_phase phase = cell_phase(state);

	if (ahead == q->lap_mask ||
	    (ahead == 0 && phase != KIPC_CELL_READING && phase != KIPC_CELL_RETURNED))
		return false;
	*pos = pos_passed(q, *pos, ahead);
	return true;
}

int __kipc_queue_end(struct kipc_queue *q, uint64_t *pos)
{
	return walk(q, &q->sh->tail, KIPC_QUEUE_TAIL_LAPS, pos, over_claimed);
}

/* Where the messages that wait begin and end; the end is not before the beginning. */
static int bounds(struct kipc_queue *q, uint64_t *head, uint64_t *tail)
{
	int r = walk(q, &q->sh->head, q->lap_mask / 2, head, over_taken);

	return r ? r : __kipc_queue_end(q, tail);
}

/*
 * Positions from head on that were given up between messages.  `settled` remembers the state of the
 * counters at which there were none, so that this costs nothing as long as nobody aborts or dies.
 */
static int64_t skipped_between(struct kipc_queue *q, uint64_t head, int64_t distance)
{
	/* whoever dies before it counted is counted among the returned ones: see repair() */
	uint64_t events = load_acquire(&q->sh->skipped) + load_acquire(&q->sh->returned) +
			  load_acquire(&q->sh->dropped);
	int64_t n = 0;

	if (load_relaxed(&q->settled) == events)
		return 0;
	for (int64_t i = 0; i < min_of(distance, (int64_t)q->capacity); i++) {
		uint64_t state = load_acquire(&cell_at(q, pos_index(q, head))->state);

		if (laps_later(q, laps_ahead(q, state, head)))
			n++;
		head = pos_next(q, head);
	}
	if (!n)
		store_relaxed(&q->settled, events);
	return n;
}

static uint64_t count_returned(struct kipc_queue *q)
{
	uint64_t n = 0;

	if (load_relaxed(&q->sh->returned) == load_relaxed(&q->sh->scanned))
		return 0;
	for (uint32_t i = 0; i < q->capacity; i++)
		if (cell_phase(load_acquire(&cell_at(q, i)->state)) == KIPC_CELL_RETURNED)
			n++;
	return n;
}

static int64_t length(struct kipc_queue *q, uint64_t head, uint64_t tail)
{
	int64_t n = pos_distance(q, head, tail);

	if (n < 0)
		n = 0;		/* as damaged ones may be */
	n -= skipped_between(q, head, n);
	n += (int64_t)count_returned(q);
	return min_of(n, (int64_t)q->capacity);
}

KIPC_API ssize_t kipc_queue_len(struct kipc_queue *q)
{
	uint64_t head, tail;
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_peer_enter_read(&q->obj.seg);
	if (!r)
		r = bounds(q, &head, &tail);
	return r ? r : (ssize_t)length(q, head, tail);
}

KIPC_API int kipc_queue_empty(struct kipc_queue *q)
{
	ssize_t n = kipc_queue_len(q);

	return n < 0 ? (int)n : n == 0;
}

KIPC_API int kipc_queue_full(struct kipc_queue *q)
{
	uint64_t end;
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_peer_enter_read(&q->obj.seg);
	if (!r)
		r = __kipc_queue_end(q, &end);
	if (r)
		return r;
	if (load_relaxed(&q->sh->shutdown))
		return 0;
	/* the cell that the next one goes to is still of the lap before */
	return laps_ahead(q, load_acquire(&cell_at(q, pos_index(q, end))->state), end) ==
	       q->lap_mask;
}

KIPC_API ssize_t kipc_queue_capacity(struct kipc_queue *q)
{
	return q ? (ssize_t)q->capacity : -EINVAL;
}

KIPC_API int kipc_queue_shutdown(struct kipc_queue *q)
{
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	/* pairs with: __kipc_queue_claim_put(), __kipc_queue_claim_get() */
	xchg(&q->sh->shutdown, 1);
	KIPC_POINT("queue.shut");
	for (int i = 0; i < KIPC_QUEUE_BELL_JOIN; i++)
		__kipc_bell_kick(&q->bells[i]);
	return 0;
}

static uint64_t passed(struct kipc_queue *q, uint64_t pos)
{
	return (pos >> q->index_bits) * q->capacity + pos_index(q, pos);
}

static uint32_t sleepers(struct kipc_queue *q, int bell)
{
	return load_relaxed(&q->sh->bells[bell].word) & KIPC_BELL_SLEEPERS;
}

KIPC_API int kipc_queue_stat(struct kipc_queue *q, struct kipc_queue_stat *out)
{
	struct kipc_queue_stat st = { 0 };
	struct kipc_segment *seg;
	uint64_t head, tail;
	int r;

	if (!q || !out)
		return -EINVAL;
	r = __kipc_peer_enter_read(&q->obj.seg);
	if (!r)
		r = bounds(q, &head, &tail);
	if (r)
		return r;
	seg = &q->obj.seg;
	st.capacity = q->capacity;
	st.msg_size = q->msg_size;
	st.len = (uint64_t)length(q, head, tail);
	st.put = passed(q, tail);
	st.taken = passed(q, head);
	st.dropped = load_relaxed(&q->sh->dropped);
	st.skipped = load_relaxed(&q->sh->skipped);
	st.redelivered = load_relaxed(&q->sh->redelivered);
	st.repairs = load_relaxed(&seg->hdr->repairs);
	st.memory = seg->size;
	st.peers = __kipc_peer_count(seg);
	st.readers_waiting = sleepers(q, KIPC_QUEUE_BELL_READABLE);
	st.writers_waiting = sleepers(q, KIPC_QUEUE_BELL_WRITABLE);
	st.shutdown = load_relaxed(&q->sh->shutdown);
	return __kipc_stat_write(out, &st, sizeof(st));
}
