// SPDX-License-Identifier: MIT
/*
 * Receiving: one message, many, one in place, or only the news that there is one.  See pipe.h for
 * states and deaths.
 *
 * The fast path takes the turn, finds a record by the last head that it saw, copies, frees by one
 * store, gives up the turn and looks whether the sender sleeps.  All that waits is in run().
 */
#include <stdint.h>

#include "pipe/ring.h"
#include "pipe/sides.h"

/* Streams given up or left by the dead that one call passes over: more is an enemy at work. */
#define SKIPS_MAX	1024

struct rx_op {
	struct kipc_pipe *p;
	struct iovec *iov;
	int n;
	struct kipc_pipe_msg *msg;	/* to be shown, instead of iov to be filled */
};

/*
 * With the turn taken: as many whole messages as there are, up to n, at least one.  How many;
 * -EAGAIN, -EPIPE (shut down), -EMSGSIZE, -EPROTO; PIPE_SLOW: a stream.
 */
static inline int take(struct kipc_pipe *p, struct iovec *iov, int n)
{
	struct kipc_pipe_way *s = p->rx.shm;
	uint64_t tail, avail, need, first;
	int64_t len;
	int i = 0, r;

	if (unlikely(load_relaxed(&s->msg_end)))
		return PIPE_SLOW;
	r = rx_look(p, &tail, &avail);
	if (r)
		return r;
	first = tail;
	while (i < n) {
		if (!avail) {
			/* what was known is taken: is there more by now? */
			avail = pipe_pos(load_acquire(&s->head)) - tail;
			if (!avail || avail > p->ring_size - (tail - first))
				break;
			store_relaxed(&s->head_seen, tail + avail);
			KIPC_POINT("pipe.recv.looked_again");
		}
		len = rx_length(p, tail);
		if (unlikely(len < 0)) {
			r = -EPROTO;
			break;
		}
		need = pipe_record((uint64_t)len);
		if (unlikely(need > p->ring_size)) {
			r = PIPE_SLOW;
			break;
		}
		if (unlikely(need > avail)) {
			r = -EPROTO;
			break;
		}
		if ((uint64_t)len > iov[i].iov_len) {
			r = -EMSGSIZE;
			break;
		}
		pipe_copy(iov[i].iov_base, pipe_at(p, &p->rx, tail) + KIPC_PIPE_RECORD,
			  (size_t)len);
		KIPC_TRACE(pipe_recv, p->obj.seg.id, p->end, tail, len);
		iov[i++].iov_len = (size_t)len;
		tail += need;
		avail -= need;
	}
	if (!i)
		return r;
	rx_free(p, tail);
	store_relaxed(&s->received, load_relaxed(&s->received) + (uint64_t)i);
	return i;
}

/* The same, in place: 1, and the turn stays with the message. */
static int show(struct kipc_pipe *p, struct kipc_pipe_msg *msg)
{
	uint64_t tail, avail, need;
	int64_t len;
	int r;

	if (load_relaxed(&p->rx.shm->msg_end))
		return PIPE_SLOW;
	r = rx_look(p, &tail, &avail);
	if (r)
		return r;
	len = rx_length(p, tail);
	if (len < 0)
		return -EPROTO;
	need = pipe_record((uint64_t)len);
	if (need > p->ring_size)
		return PIPE_SLOW;
	if (need > avail)
		return -EPROTO;
	msg->data = pipe_at(p, &p->rx, tail) + KIPC_PIPE_RECORD;
	msg->len = (size_t)len;
	msg->position = tail;
	p->rx.room = need;
	store_relaxed(&p->rx.open, tail | KIPC_PIPE_VALID);
	return 1;
}

/* A stream is next.  1: received; -EAGAIN: it is gone, look anew; -EMSGSIZE, -EPIPE, -EPROTO. */
static int take_stream(struct rx_op *op)
{
	struct kipc_pipe *p = op->p;
	struct iovec *iov = op->msg ? NULL : op->iov;
	uint64_t tail, avail;
	int64_t len;
	ssize_t r = rx_look(p, &tail, &avail);

	if (r)
		return (int)r;
	len = rx_length(p, tail);
	/* it was longer than the ring when we looked before */
	if (len < 0 || pipe_record((uint64_t)len) <= p->ring_size)
		return -EPROTO;
	if (op->msg)
		op->msg->len = (size_t)len;
	r = __kipc_pipe_stream_in(p, tail, (uint64_t)len, iov ? iov->iov_base : NULL,
				  iov ? iov->iov_len : 0);
	if (r < 0)
		return (int)r;
	iov->iov_len = (size_t)r;
	return 1;
}

static int attempt(struct rx_op *op)
{
	struct kipc_pipe *p = op->p;
	int r;

	for (int skips = 0; skips < SKIPS_MAX; skips++) {
		r = op->msg ? show(p, op->msg) : take(p, op->iov, op->n);
		if (r != PIPE_SLOW)
			return r;
		if (load_relaxed(&p->rx.shm->msg_end)) {
			r = __kipc_pipe_stream_drop(p);
			if (r)
				return r;
		} else {
			r = take_stream(op);
			if (r != -EAGAIN)
				return r;
		}
	}
	return -EPROTO;
}

/*
 * While a dead receiver's stream has to be dropped, a shutdown is no reason to wake up: its sender's
 * cut, or the repair of its sender, will follow.
 */
static bool rx_ready(void *arg)
{
	struct rx_op *op = arg;
	struct kipc_pipe_way *s = op->p->rx.shm;
	uint64_t tail = load_acquire(&s->tail), head = load_acquire(&s->head);

	if (pipe_pos(head) != tail || pipe_closes_moved(op->p))
		return true;
	if (load_relaxed(&s->msg_end))
		return load_relaxed(&s->cut) == (tail | KIPC_PIPE_VALID);
	return head & KIPC_PIPE_SHUT;
}

/* Who could be dead and in our way: only the sender of a stream that we must drop. */
static uint32_t rx_owner(void *arg)
{
	struct rx_op *op = arg;
	struct kipc_pipe_way *s = op->p->rx.shm;

	return load_relaxed(&s->msg_end) ? load_relaxed(&s->send_lock) & KIPC_LOCK_OWNER : 0;
}

static struct kipc_wait make_wait(struct rx_op *op, int64_t timeout_ns)
{
	return (struct kipc_wait){
		.seg = &op->p->obj.seg,
		.bell = op->p->rx.readable,
		.spin = &op->p->rx.spin,
		.ready = rx_ready,
		.owner = rx_owner,
		.arg = op,
		.hup_fd = -1,
		.deadline = __kipc_deadline(timeout_ns),
	};
}

/* Keeps the turn when op->msg was filled. */
static __cold int run(struct rx_op *op, int64_t timeout_ns)
{
	struct kipc_pipe *p = op->p;
	struct kipc_wait w = make_wait(op, timeout_ns);
	bool waited = false, hup;
	int r, tries = 0;

	for (;;) {
		hup = load_acquire(&p->hup);	/* before the look: then it has seen the last one */
		r = __kipc_pipe_rx_lock(p, waited, w.deadline);
		if (r)
			break;
		r = attempt(op);
		if (r < 0 || !op->msg)
			rx_unlock(p);
		if (r != -EAGAIN)
			break;
		if (hup) {
			r = -EPIPE;
			break;
		}
		r = __kipc_pipe_wait(p, &w, &waited);
		if (r && (r != -EAGAIN || tries++ >= 16 ||
			  !__kipc_pipe_rearm(p, p->rx.readable, rx_ready, op)))
			break;
	}
	if (r > 0 && !op->msg)
		rx_ring(p);
	if (waited || tries)
		__kipc_pipe_rx_left(p);		/* hand the wake-up on */
	return r;
}

static inline int check(struct kipc_pipe *p, const struct iovec *first)
{
	if (unlikely(!first->iov_base && first->iov_len))
		return -EINVAL;
	return pipe_enter(p, &p->rx);
}

static inline int recv_iov(struct kipc_pipe *p, struct iovec *iov, int n, int64_t timeout_ns)
{
	int r = check(p, iov);

	if (unlikely(r))
		return r;
	r = rx_try_lock(p);
	if (likely(!r)) {
		r = take(p, iov, n);
		rx_unlock(p);
		if (likely(r > 0)) {
			rx_ring(p);
			return r;
		}
	}
	if (r == -EAGAIN || r == PIPE_SLOW) {
		struct rx_op op = { .p = p, .iov = iov, .n = n };

		r = run(&op, timeout_ns);
	}
	return r;
}

KIPC_API ssize_t kipc_pipe_recv(struct kipc_pipe *p, void *buf, size_t size, int64_t timeout_ns)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	int r;

	if (unlikely(!p))
		return -EINVAL;
	r = recv_iov(p, &iov, 1, timeout_ns);
	return likely(r > 0) ? (ssize_t)iov.iov_len : r;
}

KIPC_API int kipc_pipe_recv_many(struct kipc_pipe *p, struct iovec *iov, int n,
				 int64_t timeout_ns)
{
	if (!p || !iov || n <= 0)
		return -EINVAL;
	for (int i = 1; i < n; i++)
		if (!iov[i].iov_base && iov[i].iov_len)
			return -EINVAL;
	return recv_iov(p, iov, n, timeout_ns);
}

KIPC_API int kipc_pipe_peek(struct kipc_pipe *p, struct kipc_pipe_msg *msg, int64_t timeout_ns)
{
	struct rx_op op = { .p = p, .msg = msg };
	int r;

	if (!p || !msg)
		return -EINVAL;
	r = pipe_enter(p, &p->rx);
	if (!r)
		r = run(&op, timeout_ns);
	return r > 0 ? 0 : r;
}

KIPC_API int kipc_pipe_release(struct kipc_pipe *p, struct kipc_pipe_msg *msg)
{
	int r;

	if (!p || !msg || !p->rx.shm || (msg->position & KIPC_PIPE_BITS))
		return -EINVAL;
	r = __kipc_peer_enter(&p->obj.seg);
	if (r)
		return r;
	if (load_relaxed(&p->rx.open) != (msg->position | KIPC_PIPE_VALID))
		return -EINVAL;
	KIPC_TRACE(pipe_recv, p->obj.seg.id, p->end, msg->position, msg->len);
	rx_free(p, msg->position + p->rx.room);
	stat_inc(&p->rx.shm->received);
	store_relaxed(&p->rx.open, 0);
	msg->data = NULL;
	rx_unlock(p);
	rx_ring(p);
	return 0;
}

/* What poll looks for.  rx_ready() has more: a dead receiver's stream that was cut, which is no message. */
static bool poll_ready(void *arg)
{
	struct rx_op *op = arg;
	struct kipc_pipe_way *s = op->p->rx.shm;
	uint64_t tail = load_acquire(&s->tail), head = load_acquire(&s->head);

	return pipe_pos(head) != tail || (head & KIPC_PIPE_SHUT) || pipe_closes_moved(op->p);
}

KIPC_API int kipc_pipe_poll(struct kipc_pipe *p, int64_t timeout_ns)
{
	struct rx_op op = { .p = p };
	struct kipc_wait w;
	struct kipc_pipe_way *s;
	bool waited = false, hup;
	uint64_t tail, head;
	int r, tries = 0;

	if (!p)
		return -EINVAL;
	r = pipe_enter(p, &p->rx);
	if (r)
		return r;
	s = p->rx.shm;
	w = make_wait(&op, timeout_ns);
	w.ready = poll_ready;
	for (;;) {
		hup = load_acquire(&p->hup);
		tail = load_acquire(&s->tail);
		head = load_acquire(&s->head);	/* pairs with: tx_publish() */
		if (pipe_pos(head) != tail) {
			r = 0;
			break;
		}
		if (hup || (head & KIPC_PIPE_SHUT)) {
			r = -EPIPE;
			break;
		}
		r = __kipc_pipe_wait(p, &w, &waited);
		if (r && (r != -EAGAIN || tries++ >= 16 ||
			  !__kipc_pipe_rearm(p, p->rx.readable, poll_ready, &op)))
			break;
	}
	if (waited)
		__kipc_pipe_rx_left(p);
	return r;
}
