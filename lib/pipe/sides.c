// SPDX-License-Identifier: MIT
/* The turns on an end, where they are contended or watched: see sides.h and wait.c. */
#include "pipe/ring.h"
#include "pipe/sides.h"

/* 0 or an error: that the last owner died is nothing to the next, its repair has done all. */
static int acquire(struct kipc_pipe *p, uint32_t *lock, int64_t deadline)
{
	int r = __kipc_lock_acquire(&p->obj.seg, lock, deadline);

	return r == -EOWNERDEAD ? 0 : r;
}

int __kipc_pipe_tx_lock(struct kipc_pipe *p, int64_t deadline)
{
	uint32_t *lock = &p->tx.shm->send_lock;
	int r;

	if (!p->exclusive)
		return acquire(p, lock, deadline);
	r = tx_try_lock(p);
	if (r != -EAGAIN)
		return r;
	/* taking the lock repairs its dead owner, and so its stream */
	r = acquire(p, lock, deadline);
	if (!r)
		__kipc_lock_release(&p->obj.seg, lock);
	return r;
}

int __kipc_pipe_rx_lock(struct kipc_pipe *p, bool waited, int64_t deadline)
{
	int r = rx_try_lock(p);

	if (r != -EAGAIN)
		return r;
	if (waited)
		__kipc_bell_ring(p->rx.readable);
	return acquire(p, &p->rx.shm->recv_lock, deadline);
}

int __kipc_pipe_stream_lock(struct kipc_pipe *p, uint32_t *lock)
{
	return p->exclusive ? acquire(p, lock, KIPC_DEADLINE_NEVER) : 0;
}

void __kipc_pipe_stream_unlock(struct kipc_pipe *p, uint32_t *lock)
{
	if (p->exclusive)
		__kipc_lock_release(&p->obj.seg, lock);
}

__cold void __kipc_pipe_tx_left(struct kipc_pipe *p)
{
	struct kipc_pipe_way *s = p->tx.shm;
	uint64_t head = load_acquire(&s->head), used = pipe_pos(head) - load_acquire(&s->tail);

	if (p->ring_size - used >= tx_plenty(p, 0) || (head & KIPC_PIPE_SHUT) || load_relaxed(&p->hup))
		__kipc_bell_ring(p->tx.writable);
}

void __kipc_pipe_rx_ring_slow(struct kipc_pipe *p)
{
	struct kipc_pipe_way *s = p->rx.shm;
	uint64_t tail = load_acquire(&s->tail);
	uint64_t room = p->ring_size - (pipe_pos(load_acquire(&s->head)) - tail);
	/* stored before the sleeper announced itself, which we have seen */
	uint64_t want = load_acquire(&s->want);

	if (__kipc_bell_watched(p->rx.writable))
		want = min_of(want, p->ring_size / 4);
	if (room >= want || want > p->ring_size)
		__kipc_bell_ring(p->rx.writable);
}

__cold void __kipc_pipe_rx_left(struct kipc_pipe *p)
{
	struct kipc_pipe_way *s = p->rx.shm;
	uint64_t tail = load_acquire(&s->tail), head = load_acquire(&s->head);

	if (pipe_pos(head) != tail || (head & KIPC_PIPE_SHUT) || load_relaxed(&p->hup))
		__kipc_bell_ring(p->rx.readable);
}
