/* SPDX-License-Identifier: MIT */
/*
 * One byte ring: positions, room, records.  See pipe.h for who may call what.
 *
 * Invariant: head - tail is a multiple of 8 and no more than ring_size.  Both words are in shared
 * memory: each is read once and checked, and whatever a peer stores there, no address outside the
 * 2 * ring_size bytes of the mapping is made from it.
 */
#ifndef KIPC_PIPE_RING_H
#define KIPC_PIPE_RING_H

#include "pipe/copy.h"
#include "pipe/pipe.h"

static inline uint64_t pipe_pos(uint64_t word)
{
	return word & ~KIPC_PIPE_BITS;
}

/* Bytes that a message of that length takes; len <= KIPC_PIPE_LEN_MAX. */
static inline uint64_t pipe_record(uint64_t len)
{
	return KIPC_PIPE_RECORD + align_up(len, 8ULL);
}

static inline uint8_t *pipe_at(const struct kipc_pipe *p, const struct pipe_way *w, uint64_t pos)
{
	return w->ring + (pos & p->mask);
}

/* ---- the sender, holding send_lock ---- */

/*
 * Where the next record goes and how many bytes are free there, no more than the ring.  0: at least
 * `need`; -EAGAIN: less; -EPIPE: shut down; -EPROTO.
 */
static inline int tx_room(struct kipc_pipe *p, uint64_t need, uint64_t *head, uint64_t *room)
{
	struct kipc_pipe_way *s = p->tx.shm;
	uint64_t h = load_relaxed(&s->head), tail = load_relaxed(&s->tail_seen), used = h - tail;

	if (unlikely(h & KIPC_PIPE_BITS))
		return h & KIPC_PIPE_BITS & ~KIPC_PIPE_SHUT ? -EPROTO : -EPIPE;
	if (used > p->ring_size || p->ring_size - used < need) {
		/* pairs with: rx_free(): the bytes were copied out before tail moved */
		tail = load_acquire(&s->tail);
		used = h - tail;
		if (unlikely(used > p->ring_size || (tail & KIPC_PIPE_BITS)))
			return -EPROTO;
		store_relaxed(&s->tail_seen, tail);
		KIPC_POINT("pipe.send.looked");
	}
	*head = h;
	*room = p->ring_size - used;
	return *room < need ? -EAGAIN : 0;
}

static inline void tx_write(struct kipc_pipe *p, uint64_t pos, const void *buf, uint64_t len)
{
	uint8_t *at = pipe_at(p, &p->tx, pos);

	KIPC_TRACE(pipe_send, p->obj.seg.id, p->end, pos, len);
	store_relaxed((uint64_t *)at, len);
	pipe_copy(at + KIPC_PIPE_RECORD, buf, len);
	KIPC_POINT("pipe.send.filled");
}

/*
 * Publishes the n bytes behind head: a full barrier, as the doorbell wants.  0; -EPIPE: shut down
 * meanwhile, nothing was sent; -EPROTO: somebody else moved head.
 * Pairs with: rx_look().
 */
static inline int tx_publish(struct kipc_pipe *p, uint64_t head, uint64_t n)
{
	struct kipc_pipe_way *s = p->tx.shm;
	uint64_t found = head;

	if (likely(try_cmpxchg(&s->head, &found, head + n))) {
		KIPC_POINT("pipe.send.published");
		return 0;
	}
	return found == (head | KIPC_PIPE_SHUT) ? -EPIPE : -EPROTO;
}

/* ---- the receiver, holding recv_lock ---- */

/*
 * What is there: from *tail on, *n bytes, at least 8.  0; -EAGAIN: nothing; -EPIPE: nothing, and the
 * sending end is shut down; -EPROTO.
 */
static inline int rx_look(struct kipc_pipe *p, uint64_t *tail, uint64_t *n)
{
	struct kipc_pipe_way *s = p->rx.shm;
	uint64_t t = load_relaxed(&s->tail), h = load_relaxed(&s->head_seen), used;

	used = pipe_pos(h) - t;
	if (!used || unlikely(used > p->ring_size)) {
		h = load_acquire(&s->head);	/* pairs with: tx_publish() */
		store_relaxed(&s->head_seen, h);
		KIPC_POINT("pipe.recv.looked");
		used = pipe_pos(h) - t;
	}
	if (unlikely(used > p->ring_size || (t & KIPC_PIPE_BITS) ||
		     (h & KIPC_PIPE_BITS & ~KIPC_PIPE_SHUT)))
		return -EPROTO;
	if (!used)
		return h & KIPC_PIPE_SHUT ? -EPIPE : -EAGAIN;
	*tail = t;
	*n = used;
	return 0;
}

/* The length in the record at tail, or -EPROTO. */
static inline int64_t rx_length(struct kipc_pipe *p, uint64_t tail)
{
	uint64_t word = load_relaxed((uint64_t *)pipe_at(p, &p->rx, tail));

	return likely(word <= KIPC_PIPE_LEN_MAX) ? (int64_t)word : -EPROTO;
}

/*
 * Gives everything before tail back to the sender: a full barrier, as the doorbell wants, in itself
 * or by the release of recv_lock that follows.  Pairs with: tx_room().
 */
static inline void rx_free(struct kipc_pipe *p, uint64_t tail)
{
	if (p->exclusive)
		xchg(&p->rx.shm->tail, tail);
	else
		store_release(&p->rx.shm->tail, tail);
	KIPC_POINT("pipe.recv.freed");
}

#endif
