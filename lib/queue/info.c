// SPDX-License-Identifier: MIT
/* What a queue says of itself, its descriptors, and shutdown. */
#include <string.h>

#include "queue/queue.h"

/*
 * Helps both hints forward over what is claimed and taken, so that their distance is the length: a
 * process may have died between a claim and its hint.  At most a ring's worth of steps.
 */
int __kipc_queue_normalise(struct kipc_queue *q)
{
	uint64_t *hints[] = { &q->sh->tail, &q->sh->head };

	for (int h = 0; h < 2; h++) {
		for (uint32_t i = 0; i <= q->capacity; i++) {
			uint64_t pos = load_relaxed(hints[h]), state, ahead;
			uint32_t index = pos_index(q, pos);
			enum kipc_cell_phase phase;
			bool passed;

			if (index >= q->capacity)
				return -EPROTO;
			state = load_acquire(&cell_at(q, index)->state);
			ahead = laps_ahead(q, state, pos);
			phase = cell_phase(state);
			passed = ahead == 1;
			if (ahead == 0 && h == 0)
				passed = phase != KIPC_CELL_FREE;
			else if (ahead == 0)
				passed = phase == KIPC_CELL_READING || phase == KIPC_CELL_RETURNED;
			if (!passed)
				break;
			cmpxchg(hints[h], pos, pos_next(q, pos));
		}
	}
	return 0;
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

KIPC_API ssize_t kipc_queue_len(struct kipc_queue *q)
{
	uint64_t head, tail;
	int64_t n;
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (!r)
		r = __kipc_queue_normalise(q);
	if (r)
		return r;
	head = load_acquire(&q->sh->head);
	tail = load_acquire(&q->sh->tail);
	n = pos_distance(q, head, tail);
	if (n < 0)
		n = 0;		/* they moved between the two loads */
	n += (int64_t)count_returned(q);
	return (ssize_t)min_of(n, (int64_t)q->capacity);
}

KIPC_API int kipc_queue_empty(struct kipc_queue *q)
{
	ssize_t n = kipc_queue_len(q);

	return n < 0 ? (int)n : n == 0;
}

KIPC_API int kipc_queue_full(struct kipc_queue *q)
{
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (!r)
		r = __kipc_queue_normalise(q);
	if (r)
		return r;
	return load_relaxed(&q->sh->shutdown) ? 0 : !__kipc_queue_can_put(q);
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
	for (int i = 0; i < KIPC_QUEUE_BELL_JOIN; i++)
		__kipc_bell_kick(&q->bells[i]);
	return 0;
}

KIPC_API int kipc_queue_fd(struct kipc_queue *q, unsigned int which)
{
	struct kipc_bell *bell;
	bool ready;
	int r;

	if (!q || (which != KIPC_READABLE && which != KIPC_WRITABLE))
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	bell = &q->bells[which == KIPC_READABLE ? KIPC_QUEUE_BELL_READABLE :
						  KIPC_QUEUE_BELL_WRITABLE];
	__kipc_bell_watch(bell);
	/* what came before anybody watched was not rung for */
	ready = which == KIPC_READABLE ? __kipc_queue_can_get(q) : __kipc_queue_can_put(q);
	if (ready)
		__kipc_bell_kick(bell);
	return bell->fd;
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
	ssize_t len;
	size_t sz;

	if (!q || !out || out->sz < sizeof(out->sz))
		return -EINVAL;
	len = kipc_queue_len(q);
	if (len < 0)
		return (int)len;
	seg = &q->obj.seg;
	sz = min_of(out->sz, sizeof(st));
	st.sz = sz;
	st.capacity = q->capacity;
	st.msg_size = q->msg_size;
	st.len = (uint64_t)len;
	st.put = passed(q, load_relaxed(&q->sh->tail));
	st.taken = passed(q, load_relaxed(&q->sh->head));
	st.dropped = load_relaxed(&q->sh->dropped);
	st.skipped = load_relaxed(&q->sh->skipped);
	st.redelivered = load_relaxed(&q->sh->redelivered);
	st.repairs = load_relaxed(&seg->hdr->repairs);
	st.memory = seg->size;
	for (uint32_t slot = 1; slot <= seg->npeers; slot++)
		if (load_relaxed(&__kipc_peer(seg, slot)->state) == KIPC_PEER_LIVE)
			st.peers++;
	st.readers_waiting = sleepers(q, KIPC_QUEUE_BELL_READABLE);
	st.writers_waiting = sleepers(q, KIPC_QUEUE_BELL_WRITABLE);
	st.shutdown = load_relaxed(&q->sh->shutdown);
	memcpy(out, &st, sz);
	return 0;
}
