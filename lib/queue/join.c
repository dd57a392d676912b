// SPDX-License-Identifier: MIT
/*
 * Join: waiting until all that was put so far is acknowledged.
 *
 * A position is over when its cell shows a later lap.  Who joins looks from the newest position
 * backwards, since that one is usually the last to be acknowledged, and sleeps on join_seq, a futex,
 * having announced itself at the join bell's word and its cell in join_index.  Whoever acknowledges
 * looks at that word after its store (a full barrier between, on both sides) and wakes if the cell
 * may be the one.  A reaper doesn't: what it settles is seen at the next tick.
 */
#include <limits.h>

#include "core/lock.h"
#include "queue/queue.h"

__cold void __kipc_queue_wake_join(struct kipc_queue *q, uint32_t index)
{
	struct kipc_queue_shared *sh = q->sh;
	uint64_t waiting = load_seq_cst(&sh->bells[KIPC_QUEUE_BELL_JOIN].word) & KIPC_BELL_SLEEPERS;

	/* several wait for different cells, of which only one is written down: wake them all */
	if (waiting == 1 && load_seq_cst(&sh->join_index) != index)
		return;
	fetch_add(&sh->join_seq, 1);
	KIPC_POINT("join.over");
	KIPC_TRACE(bell_wake, q->obj.seg.id, KIPC_QUEUE_BELL_JOIN);
	__kipc_futex_wake(&sh->join_seq, INT_MAX);
	KIPC_POINT("join.told");
}

static bool over(struct kipc_queue *q, uint64_t pos)
{
	uint64_t state = load_acquire(&cell_at(q, pos_index(q, pos))->state);
	uint64_t ahead = laps_ahead(q, state, pos);

	/* later laps count from 1 up; a cell that lags behind counts down from lap_mask */
	return ahead != 0 && ahead <= q->lap_mask / 2;
}

static uint64_t pos_prev(struct kipc_queue *q, uint64_t pos)
{
	if (pos_index(q, pos))
		return pos - 1;
	return (((pos >> q->index_bits) - 1) << q->index_bits) | (q->capacity - 1);
}

/*
 * The newest position in front of `end` that isn't over, if there is one; `left` positions are
 * looked at.  What lies a whole ring further back is over: its cell has been claimed anew.
 */
static bool find_open(struct kipc_queue *q, uint64_t *pos, uint32_t *left)
{
	for (; *left; (*left)--) {
		uint64_t prev = pos_prev(q, *pos);

		if (!over(q, prev))
			return true;
		*pos = prev;
	}
	return false;
}

KIPC_API int kipc_queue_join(struct kipc_queue *q, int64_t timeout_ns)
{
	struct kipc_bell *bell;
	struct kipc_segment *seg;
	uint64_t pos;
	uint32_t left, seq, index, owner;
	int64_t deadline, now, tick;
	int r;

	if (!q)
		return -EINVAL;
	seg = &q->obj.seg;
	r = __kipc_peer_enter(seg);
	if (r)
		return r;
	r = __kipc_queue_end(q, &pos);
	if (r)
		return r;
	left = q->capacity;
	if (!find_open(q, &pos, &left))
		return 0;
	deadline = __kipc_deadline(timeout_ns);
	if (!deadline) {
		if (__kipc_peer_sweep(seg, KIPC_OWNER_TICK_NS) > 0 && !find_open(q, &pos, &left))
			return 0;
		return -EAGAIN;
	}

	bell = &q->bells[KIPC_QUEUE_BELL_JOIN];
	KIPC_TRACE(queue_block, bell->id, bell->index);
	__kipc_bell_announce(seg, bell);
	for (;;) {
		seq = load_acquire(&q->sh->join_seq);
		index = pos_index(q, pos_prev(q, pos));
		xchg(&q->sh->join_index, index);
		KIPC_POINT("join.named");
		fence_full();	/* pairs with: cells_release(), cell_end() */
		if (!find_open(q, &pos, &left)) {
			r = 0;
			break;
		}
		if (index != pos_index(q, pos_prev(q, pos)))
			continue;	/* that one is over; wait for the next */
		now = __kipc_now_ns();
		if (now >= deadline) {
			r = -ETIMEDOUT;
			break;
		}
		owner = __kipc_queue_owner_at(q, pos_prev(q, pos));
		tick = owner ? KIPC_OWNER_TICK_NS : KIPC_TICK_NS;
		KIPC_TRACE(bell_sleep, bell->id, bell->index, owner);
		r = __kipc_futex_wait(&q->sh->join_seq, seq, min_of(deadline - now, tick));
		KIPC_TRACE(bell_woken, bell->id, bell->index, r != -ETIMEDOUT);
		KIPC_POINT("join.woken");
		if (r == -ETIMEDOUT) {
			if (owner)
				__kipc_peer_reap(seg, owner);
			__kipc_peer_sweep(seg, KIPC_TICK_NS / 4);
		}
	}
	__kipc_bell_retract(seg, bell);
	/* if one is left, what is written down is our cell, not the one that it waits for */
	if (somebody_joins(q)) {
		fetch_add(&q->sh->join_seq, 1);
		KIPC_POINT("join.passed_on");
		KIPC_TRACE(bell_wake, bell->id, bell->index);
		__kipc_futex_wake(&q->sh->join_seq, INT_MAX);
	}
	return r;
}
