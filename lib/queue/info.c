// SPDX-License-Identifier: MIT
/* What a queue says of itself, its descriptors, and shutdown. */
#include <string.h>

#include "queue/queue.h"

/* Where a hint is, what its cell says, and how many laps that is ahead. */
struct place {
	uint64_t pos;
	uint64_t ahead;
	enum kipc_cell_phase phase;
};

static int look_at(struct kipc_queue *q, uint64_t *hint, struct place *p)
{
	uint64_t state;
	uint32_t index;

	p->pos = load_relaxed(hint);
	index = pos_index(q, p->pos);
	if (index >= q->capacity)
		return -EPROTO;
	state = load_acquire(&cell_at(q, index)->state);
	p->ahead = laps_ahead(q, state, p->pos);
	p->phase = cell_phase(state);
	/* neither of its own lap, nor of one before or later: not unless the hint has moved on */
	if (p->ahead != 0 && p->ahead != q->lap_mask && !laps_later(q, p->ahead) &&
	    load_acquire(hint) == p->pos)
		return -EPROTO;
	return 0;
}

/* One step; 1 when it may have to go on. */
static int normalise_tail(struct kipc_queue *q)
{
	struct place p;
	int r = look_at(q, &q->sh->tail, &p);

	if (r)
		return r;
	if (p.ahead > 1 && p.ahead != q->lap_mask)
		return load_acquire(&q->sh->tail) == p.pos ? -EPROTO : 1;
	if (p.ahead != 1 && (p.ahead != 0 || p.phase == KIPC_CELL_FREE))
		return 0;
	cmpxchg(&q->sh->tail, p.pos, pos_next(q, p.pos));
	return 1;
}

static int normalise_head(struct kipc_queue *q)
{
	struct place p;
	int r = look_at(q, &q->sh->head, &p);

	if (r)
		return r;
	if (laps_later(q, p.ahead)) {
		r = __kipc_queue_pass_over(q, p.pos, p.ahead);
		return r ? r : 1;
	}
	if (p.ahead != 0 || (p.phase != KIPC_CELL_READING && p.phase != KIPC_CELL_RETURNED))
		return 0;
	cmpxchg(&q->sh->head, p.pos, pos_next(q, p.pos));
	return 1;
}

/*
 * Helps both hints forward over what is claimed and taken, so that their distance is the length: a
 * process may have died between a claim and its hint.  Tail has a ring to walk at most, and head,
 * which jumps over whole laps, less than four; what is moving faster is left to itself.
 */
int __kipc_queue_normalise(struct kipc_queue *q)
{
	uint64_t i;
	int r = 1;

	for (i = 0; i <= q->capacity && r == 1; i++)
		r = normalise_tail(q);
	if (r < 0)
		return r;
	r = 1;
	for (i = 0; i <= 4 * (uint64_t)q->capacity && r == 1; i++)
		r = normalise_head(q);
	return min_of(r, 0);
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
	n -= skipped_between(q, head, n);
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
	return load_relaxed(&q->sh->shutdown) ? 0 : !__kipc_queue_has_room(q);
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
