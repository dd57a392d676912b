// SPDX-License-Identifier: MIT
/*
 * Sending: one message, many, or one written in place.  See pipe.h for states and deaths.
 *
 * The fast path takes the turn, finds room by the last tail that it saw, copies, publishes by one
 * CAS, gives up the turn and looks whether somebody sleeps.  All that waits is in run().
 */
#include <stdint.h>

#include "pipe/ring.h"
#include "pipe/sides.h"

/* Messages between two looks at the clock, whether the kernel should be asked for the other end. */
#define ASK_EVERY	64

struct tx_op {
	struct kipc_pipe *p;
	const struct iovec *iov;
	int n;
	struct kipc_pipe_msg *msg;	/* a reservation, for iov[0].iov_len bytes */
	uint64_t need;			/* bytes that the first message takes in the ring */
};

/* As many of iov[1..n) as fit behind `used` bytes; how many messages there are then. */
static int put_more(struct kipc_pipe *p, const struct iovec *iov, int n, uint64_t head,
		    uint64_t room, uint64_t *used)
{
	uint64_t need, now, now_room;
	bool looked = false;
	int i, r;

	for (i = 1; i < n; i++) {
		if (iov[i].iov_len > KIPC_PIPE_LEN_MAX || (!iov[i].iov_base && iov[i].iov_len))
			break;
		need = pipe_record(iov[i].iov_len);
		if (need > room - *used && !looked) {
			/* there may be more by now: all of the ring makes it look at tail itself */
			looked = true;
			r = tx_room(p, p->ring_size, &now, &now_room);
			if ((r && r != -EAGAIN) || now != head || now_room < *used)
				break;
			room = now_room;
		}
		if (need > room - *used)
			break;
		tx_write(p, head + *used, iov[i].iov_base, iov[i].iov_len);
		*used += need;
	}
	return i;
}

/*
 * With the turn taken: as many whole messages as there is room for, at least one.  How many; -EAGAIN
 * (no room, or longer than the ring), -EPIPE, -EPROTO.
 */
static inline int put(struct kipc_pipe *p, const struct iovec *iov, int n)
{
	uint64_t used = pipe_record(iov[0].iov_len), head, room, sent;
	int r, done = 1;

	if (unlikely(used > p->ring_size))
		return -EAGAIN;
	r = tx_room(p, used, &head, &room);
	if (unlikely(r))
		return r;
	tx_write(p, head, iov[0].iov_base, iov[0].iov_len);
	if (n > 1)
		done = put_more(p, iov, n, head, room, &used);
	r = tx_publish(p, head, used);
	if (unlikely(r))
		return r;
	sent = load_relaxed(&p->tx.shm->sent);
	store_relaxed(&p->tx.shm->sent, sent + (uint64_t)done);
	if (unlikely(sent / ASK_EVERY != (sent + (uint64_t)done) / ASK_EVERY))
		__kipc_pipe_ask_due(p);
	return done;
}

/* Room for the reservation, under the turn, which its holder keeps. */
static int reserve(struct kipc_pipe *p, struct tx_op *op)
{
	uint64_t head, room;
	int r = tx_room(p, op->need, &head, &room);

	if (r)
		return r;
	op->msg->data = pipe_at(p, &p->tx, head) + KIPC_PIPE_RECORD;
	op->msg->len = op->iov->iov_len;
	op->msg->position = head;
	p->tx.room = op->iov->iov_len;
	store_relaxed(&p->tx.open, head | KIPC_PIPE_VALID);
	return 0;
}

static int attempt(struct tx_op *op)
{
	struct kipc_pipe *p = op->p;

	if (pipe_gone(p))
		return -EPIPE;
	return op->msg ? reserve(p, op) : put(p, op->iov, op->n);
}

static bool has_room(struct kipc_pipe *p, uint64_t need)
{
	struct kipc_pipe_way *s = p->tx.shm;
	uint64_t head = load_relaxed(&s->head);
	uint64_t used = head - load_acquire(&s->tail);

	/* a difference out of range is for tx_room() to judge */
	return (head & KIPC_PIPE_SHUT) || used > p->ring_size || p->ring_size - used >= need ||
	       pipe_closes_moved(p);
}

static bool tx_ready(void *arg)
{
	struct tx_op *op = arg;

	return has_room(op->p, op->need);
}

static bool tx_plenty_ready(void *arg)
{
	struct tx_op *op = arg;

	return has_room(op->p, tx_plenty(op->p, op->need));
}

/*
 * For who polls: while nothing else is sent, "writable" means that this message would fit.  Under
 * send_lock, or in the only sender.  Pairs with: can_send().
 */
static void remember_failed(struct kipc_pipe *p, uint64_t need)
{
	store_relaxed(&p->tx.failed_need, need);
	store_release(&p->tx.failed_at, load_relaxed(&p->tx.shm->head));
}

/*
 * With the turn taken: waits until the operation can be done.  While spinning, and for the receiver
 * that would wake us, plenty of room counts; but what is enough is used rather than slept over.
 */
static int attempt_wait(struct tx_op *op, struct kipc_wait *w)
{
	struct kipc_pipe *p = op->p;
	bool waited = false;
	int r;

	if (op->need > p->ring_size) {
		if (pipe_gone(p))
			return -EPIPE;
		r = __kipc_pipe_stream_out(p, op->iov->iov_base, op->iov->iov_len, w->deadline);
		return r ? r : 1;
	}
	while ((r = attempt(op)) == -EAGAIN) {
		if (w->deadline && __kipc_spin_until(&p->tx.spin, tx_plenty_ready, op))
			continue;
		store_release(&p->tx.shm->want, tx_plenty(p, op->need));
		KIPC_POINT("pipe.send.wants");
		r = __kipc_pipe_wait(p, w, &waited);
		if (r) {
			remember_failed(p, op->need);
			break;
		}
	}
	return r;
}

static __cold int run(struct tx_op *op, int64_t timeout_ns)
{
	struct kipc_pipe *p = op->p;
	struct kipc_wait w = {
		.seg = &p->obj.seg,
		.bell = p->tx.writable,
		.ready = tx_ready,
		.arg = op,
		.hup_fd = -1,
		.deadline = __kipc_deadline(timeout_ns),
	};
	int r, tries = 0;

	op->need = pipe_record(op->iov->iov_len);
	if (op->need > p->ring_size && (op->msg || !w.deadline))
		return -EMSGSIZE;
	do {
		r = __kipc_pipe_tx_lock(p, w.deadline);
		if (r)
			return r;
		r = attempt_wait(op, &w);
		if (r < 0 || !op->msg)
			tx_unlock(p);
	} while (r == -EAGAIN && tries++ < 16 &&
		 __kipc_pipe_rearm(p, p->tx.writable, tx_ready, op));
	if (r > 0)
		tx_ring(p);
	return r;
}

static inline int check(struct kipc_pipe *p, const struct iovec *first)
{
	int r;

	if (unlikely(!first->iov_base && first->iov_len))
		return -EINVAL;
	r = pipe_enter(p, &p->tx);
	if (unlikely(r))
		return r;
	return unlikely(first->iov_len > KIPC_PIPE_LEN_MAX) ? -EMSGSIZE : 0;
}

static inline int send_iov(struct kipc_pipe *p, const struct iovec *iov, int n, int64_t timeout_ns)
{
	int r = check(p, iov);

	if (unlikely(r))
		return r;
	r = tx_try_lock(p);
	if (likely(!r)) {
		r = unlikely(pipe_gone(p)) ? -EPIPE : put(p, iov, n);
		tx_unlock(p);
		if (likely(r > 0)) {
			tx_ring(p);
			return r;
		}
	}
	if (r == -EAGAIN) {
		struct tx_op op = { .p = p, .iov = iov, .n = n };

		r = run(&op, timeout_ns);
	}
	return r;
}

KIPC_API int kipc_pipe_send(struct kipc_pipe *p, const void *buf, size_t len, int64_t timeout_ns)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	int r;

	if (unlikely(!p))
		return -EINVAL;
	r = send_iov(p, &iov, 1, timeout_ns);
	return r > 0 ? 0 : r;
}

KIPC_API int kipc_pipe_send_many(struct kipc_pipe *p, const struct iovec *iov, int n,
				 int64_t timeout_ns)
{
	if (!p || !iov || n <= 0)
		return -EINVAL;
	return send_iov(p, iov, n, timeout_ns);
}

KIPC_API int kipc_pipe_reserve(struct kipc_pipe *p, size_t len, struct kipc_pipe_msg *msg,
			       int64_t timeout_ns)
{
	struct iovec iov = { .iov_base = msg, .iov_len = len };	/* the base is not used */
	struct tx_op op = { .p = p, .iov = &iov, .n = 1, .msg = msg };
	int r;

	if (!p || !msg)
		return -EINVAL;
	r = check(p, &iov);
	return r ? r : run(&op, timeout_ns);
}

/* 0 when msg is the reservation of this process (a fork child has none). */
static int check_open(struct kipc_pipe *p, const struct kipc_pipe_msg *msg)
{
	int r;

	if (!p || !msg || !p->tx.shm || (msg->position & KIPC_PIPE_BITS))
		return -EINVAL;
	r = __kipc_peer_enter(&p->obj.seg);
	if (r)
		return r;
	return load_relaxed(&p->tx.open) == (msg->position | KIPC_PIPE_VALID) ? 0 : -EINVAL;
}

KIPC_API int kipc_pipe_commit(struct kipc_pipe *p, struct kipc_pipe_msg *msg)
{
	int r = check_open(p, msg);

	if (r)
		return r;
	if (msg->len > p->tx.room)
		return -EMSGSIZE;
	store_relaxed((uint64_t *)pipe_at(p, &p->tx, msg->position), (uint64_t)msg->len);
	KIPC_POINT("pipe.commit.filled");
	KIPC_TRACE(pipe_send, p->obj.seg.id, p->end, msg->position, msg->len);
	r = tx_publish(p, msg->position, pipe_record(msg->len));
	if (!r)
		stat_inc(&p->tx.shm->sent);
	store_relaxed(&p->tx.open, 0);
	msg->data = NULL;
	tx_unlock(p);
	if (!r)
		tx_ring(p);
	return r;
}

KIPC_API int kipc_pipe_abort(struct kipc_pipe *p, struct kipc_pipe_msg *msg)
{
	int r = check_open(p, msg);

	if (r)
		return r;
	store_relaxed(&p->tx.open, 0);
	msg->data = NULL;
	tx_unlock(p);
	return 0;
}

KIPC_API int kipc_pipe_shutdown(struct kipc_pipe *p)
{
	int r;

	if (!p)
		return -EINVAL;
	r = pipe_enter(p, &p->tx);
	if (r)
		return r;
	fetch_or(&p->tx.shm->head, KIPC_PIPE_SHUT);
	KIPC_POINT("pipe.shut");
	/* the receivers, and the senders of this end that wait for room */
	__kipc_bell_kick(p->tx.readable);
	__kipc_bell_kick(p->tx.writable);
	return 0;
}
