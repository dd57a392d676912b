/* SPDX-License-Identifier: MIT */
/*
 * The turns on an end: taking and giving up send_lock and recv_lock.
 *
 * A lock belongs to the process: a reservation may be committed by another thread.  An exclusive end
 * has no turns; what it checks costs no atomic operation.
 */
#ifndef KIPC_PIPE_SIDES_H
#define KIPC_PIPE_SIDES_H

#include "pipe/pipe.h"

/* Whether somebody sleeps or watches, after a store that is ordered as __kipc_bell_ring() wants it. */
static inline bool bell_wanted(struct kipc_bell *bell, uint64_t by)
{
	return load_seq_cst(&bell->line->word) & by;
}

/* Rings for those who watch, if there is room, or something to receive. */
void __kipc_pipe_tx_left(struct kipc_pipe *p);
void __kipc_pipe_rx_left(struct kipc_pipe *p);

/* 0; -EAGAIN: try tx_lock(); -EBUSY: exclusive and a reservation is open. */
static inline int tx_try_lock(struct kipc_pipe *p)
{
	if (p->exclusive) {
		if (unlikely(load_relaxed(&p->tx.open)))
			return -EBUSY;
		/* a process that had this role died in a stream: the lock says so */
		return unlikely(load_relaxed(&p->tx.shm->stream_end)) ? -EAGAIN : 0;
	}
	if (unlikely(!cmpxchg(&p->tx.shm->send_lock, 0u, p->obj.seg.slot)))
		return -EAGAIN;
	KIPC_TRACE(lock_acquire, p->obj.seg.id, &p->tx.shm->send_lock, p->obj.seg.base, 0);
	KIPC_POINT("pipe.send.locked");
	return 0;
}

/* The same, waiting.  0; -EAGAIN, -ETIMEDOUT, -EBUSY, -EPROTO. */
int __kipc_pipe_tx_lock(struct kipc_pipe *p, int64_t deadline);

static inline void tx_unlock(struct kipc_pipe *p)
{
	if (p->exclusive)
		return;
	__kipc_lock_release(&p->obj.seg, &p->tx.shm->send_lock);
	if (unlikely(bell_wanted(p->tx.writable, KIPC_BELL_WATCHED)))
		__kipc_pipe_tx_left(p);
}

static inline int rx_try_lock(struct kipc_pipe *p)
{
	if (p->exclusive)
		return unlikely(load_relaxed(&p->rx.open)) ? -EBUSY : 0;
	if (unlikely(!cmpxchg(&p->rx.shm->recv_lock, 0u, p->obj.seg.slot)))
		return -EAGAIN;
	KIPC_TRACE(lock_acquire, p->obj.seg.id, &p->rx.shm->recv_lock, p->obj.seg.base, 0);
	KIPC_POINT("pipe.recv.locked");
	return 0;
}

/* The same, waiting.  waited: this thread may have taken the wake-up of the lock's holder. */
int __kipc_pipe_rx_lock(struct kipc_pipe *p, bool waited, int64_t deadline);

static inline void rx_unlock(struct kipc_pipe *p)
{
	if (p->exclusive)
		return;
	__kipc_lock_release(&p->obj.seg, &p->rx.shm->recv_lock);
	if (unlikely(bell_wanted(p->rx.readable, KIPC_BELL_WATCHED)))
		__kipc_pipe_rx_left(p);
}

/* For streams, which take the lock on exclusive ends, too. */
int __kipc_pipe_stream_lock(struct kipc_pipe *p, uint32_t *lock);
void __kipc_pipe_stream_unlock(struct kipc_pipe *p, uint32_t *lock);

/*
 * Bytes that should be free before a sender that ran out of room goes on: it then sends many messages
 * for one wake-up, and takes the other CPU's cache lines in one go.
 */
static inline uint64_t tx_plenty(const struct kipc_pipe *p, uint64_t need)
{
	return max_of(need, p->ring_size / 4);
}

__cold void __kipc_pipe_rx_ring_slow(struct kipc_pipe *p);

/* After freeing room: wakes the sender, once there is as much as it wants. */
static inline void rx_ring(struct kipc_pipe *p)
{
	if (unlikely(bell_wanted(p->rx.writable, KIPC_BELL_SLEEPERS | KIPC_BELL_WATCHED)))
		__kipc_pipe_rx_ring_slow(p);
}

/* After publishing: wakes a receiver. */
static inline void tx_ring(struct kipc_pipe *p)
{
	if (unlikely(bell_wanted(p->tx.readable, KIPC_BELL_SLEEPERS | KIPC_BELL_WATCHED))) {
		__kipc_bell_ring(p->tx.readable);
		/* a sleeper that was killed can't tell, and now there is time to ask */
		__kipc_pipe_ask_due(p);
	}
}

#endif
