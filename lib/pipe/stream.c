// SPDX-License-Identifier: MIT
/*
 * Streams: messages longer than the ring, which go through it in pieces.  See pipe.h for the words.
 *
 *   sender				receiver
 *   stream_end = end			reads the record's length
 *   head moves with the record's word	msg_end = end
 *   and the first bytes		tail moves as bytes are copied out
 *   head moves with the rest		tail reaches end: received
 *   stream_end = 0			msg_end = 0
 *
 * A sender that gives up (deadline, shutdown, hang-up) stores cut = head: the stream ends there, the
 * next record begins there.  For one that died, whoever repairs its slot does the same; the lock's
 * owner slot is that of the dead, so nobody moves head meanwhile, and doing it twice changes nothing.
 * Either way the receiver, once at cut, forgets the message; the call to send it never returned 0.
 *
 * One word for cuts is enough because a stream begins only behind the last cut: the sender waits
 * until tail has passed it.  A stale cut is at or before the record that a receiver is at, so it can't
 * be mistaken for one inside.  It may be equal to the record's own position: a death between the
 * store of stream_end and the first publication.
 *
 * Progress: the sender waits for the receiver and the receiver for the sender; each looks every 10 ms
 * whether the holder of the other's lock lives.
 */
#include "pipe/ring.h"
#include "pipe/sides.h"

/* Bytes that are published or freed at once: enough for few wake-ups, little enough to overlap. */
static uint64_t piece(const struct kipc_pipe *p)
{
	return min_of(p->ring_size / 4, 256 * 1024ULL);
}

/* A position strictly between start and end at which the stream was cut; whether there is one. */
static bool cut_between(struct kipc_pipe_way *s, uint64_t start, uint64_t end, uint64_t *cut)
{
	uint64_t c = load_acquire(&s->cut);	/* pairs with: store_cut() */

	if (!(c & KIPC_PIPE_VALID))
		return false;
	*cut = pipe_pos(c);
	return *cut != start && *cut - start < end - start;
}

/* ---- sending ---- */

struct out {
	struct kipc_pipe *p;
	uint64_t need;		/* bytes of room worth waking up for */
	bool begun;
};

static bool cut_passed(struct kipc_pipe_way *s, uint64_t tail)
{
	uint64_t cut = load_relaxed(&s->cut);

	return !(cut & KIPC_PIPE_VALID) || (int64_t)(tail - pipe_pos(cut)) >= 0;
}

static bool out_ready(void *arg)
{
	struct out *o = arg;
	struct kipc_pipe_way *s = o->p->tx.shm;
	uint64_t head = load_relaxed(&s->head), tail = load_acquire(&s->tail), used = head - tail;

	if ((head & KIPC_PIPE_SHUT) || used > o->p->ring_size || pipe_closes_moved(o->p))
		return true;
	return o->p->ring_size - used >= o->need && (o->begun || cut_passed(s, tail));
}

static uint32_t receiver(void *arg)
{
	struct out *o = arg;

	return load_relaxed(&o->p->tx.shm->recv_lock) & KIPC_LOCK_OWNER;
}

/*
 * Whether a stream may begin at head: 0, or -EAGAIN.  tx_room() may not have looked at tail itself, and
 * out_ready() leaves a difference out of range to be judged here: else the two would go round for ever.
 */
static int behind_cut(struct kipc_pipe *p, uint64_t head)
{
	uint64_t tail = load_acquire(&p->tx.shm->tail);

	if (head - tail > p->ring_size)
		return -EPROTO;
	return cut_passed(p->tx.shm, tail) ? 0 : -EAGAIN;
}

/* Waits until there is room for o->need bytes. */
static int out_room(struct out *o, struct kipc_wait *w, uint64_t *head, uint64_t *room)
{
	struct kipc_pipe *p = o->p;
	bool waited;
	int r;

	for (;;) {
		if (pipe_gone(p))
			return -EPIPE;
		r = tx_room(p, o->need, head, room);
		if (!r && !o->begun)
			r = behind_cut(p, *head);
		if (r != -EAGAIN)
			return r;
		store_release(&p->tx.shm->want, o->need);
		KIPC_POINT("stream.out.wants");
		r = __kipc_pipe_wait(p, w, &waited);
		if (r)
			return r;
	}
}

/* Idempotent; the caller rings. */
static void store_cut(struct kipc_pipe_way *s, uint64_t at)
{
	store_release(&s->cut, at | KIPC_PIPE_VALID);	/* pairs with: cut_between() */
	KIPC_POINT("stream.cut");
	store_release(&s->stream_end, 0);
	KIPC_POINT("stream.cut_ended");
	stat_inc(&s->cuts);
}

/* The n bytes of the record from `done` on go to `at`; the first piece has the length before them. */
static void write_piece(uint8_t *at, const uint8_t *buf, uint64_t len, uint64_t done, uint64_t n)
{
	if (!done) {
		store_relaxed((uint64_t *)at, len);
		at += KIPC_PIPE_RECORD;
		n -= KIPC_PIPE_RECORD;
	} else {
		done -= KIPC_PIPE_RECORD;
	}
	pipe_copy(at, buf + done, min_of(n, len - done));
}

static int stream_out(struct kipc_pipe *p, const void *buf, uint64_t len, int64_t deadline)
{
	struct kipc_pipe_way *s = p->tx.shm;
	struct out o = { .p = p };
	struct kipc_wait w = {
		.seg = &p->obj.seg,
		.bell = p->tx.writable,
		.spin = &p->tx.spin,
		.ready = out_ready,
		.owner = receiver,
		.arg = &o,
		.hup_fd = -1,
		.deadline = deadline,
	};
	uint64_t total = pipe_record(len), done = 0, next = 0, head, room, n;
	int r;

	while (done < total) {
		o.need = min_of(total - done, piece(p));
		r = out_room(&o, &w, &head, &room);
		if (!r && o.begun && head != next)
			r = -EPROTO;
		if (r)
			goto out_cut;
		n = min_of(min_of(room, total - done), piece(p)) & ~7ULL;
		write_piece(pipe_at(p, &p->tx, head), buf, len, done, n);
		KIPC_POINT("stream.out.filled");
		if (!o.begun) {
			/* before the first piece: whoever repairs us must know */
			store_release(&s->stream_end, (head + total) | KIPC_PIPE_VALID);
			KIPC_TRACE(pipe_send, p->obj.seg.id, p->end, head, len);
			KIPC_POINT("stream.out.begun");
		}
		r = tx_publish(p, head, n);
		if (r)
			goto out_cut;
		o.begun = true;
		done += n;
		next = head + n;
		tx_ring(p);
	}
	store_release(&s->stream_end, 0);
	KIPC_POINT("stream.out.ended");
	stat_inc(&s->sent);
	return 0;

out_cut:
	if (o.begun) {
		store_cut(s, next);
		fence_full();	/* the cut before the look at the sleepers */
		__kipc_bell_ring(p->tx.readable);
	} else {
		store_release(&s->stream_end, 0);
		KIPC_POINT("stream.out.given_up");
	}
	return r;
}

int __kipc_pipe_stream_out(struct kipc_pipe *p, const void *buf, uint64_t len, int64_t deadline)
{
	int r = __kipc_pipe_stream_lock(p, &p->tx.shm->send_lock);

	if (r)
		return r;
	r = stream_out(p, buf, len, deadline);
	__kipc_pipe_stream_unlock(p, &p->tx.shm->send_lock);
	return r;
}

void __kipc_pipe_stream_repair(struct kipc_pipe_way *s)
{
	uint64_t end = load_relaxed(&s->stream_end), head = load_acquire(&s->head);

	if (!(end & KIPC_PIPE_VALID))
		return;
	/* head == end: all of it was published, the death came just before the last store */
	if (pipe_pos(head) != pipe_pos(end))
		store_cut(s, pipe_pos(head));
	else
		store_release(&s->stream_end, 0);
	KIPC_POINT("stream.repaired");
}

/* ---- receiving ---- */

struct in {
	struct kipc_pipe *p;
	uint64_t at;		/* all before it was copied out */
};

/* A shutdown is no reason to wake up: the sender's cut, or its repair, will follow. */
static bool in_ready(void *arg)
{
	struct in *in = arg;
	struct kipc_pipe_way *s = in->p->rx.shm;

	return pipe_pos(load_acquire(&s->head)) != in->at ||
	       load_acquire(&s->cut) == (in->at | KIPC_PIPE_VALID) || pipe_closes_moved(in->p);
}

static uint32_t sender(void *arg)
{
	struct in *in = arg;

	return load_relaxed(&in->p->rx.shm->send_lock) & KIPC_LOCK_OWNER;
}

bool __kipc_pipe_stream_cut(struct kipc_pipe *p, uint64_t tail, uint64_t len)
{
	uint64_t cut;

	return cut_between(p->rx.shm, tail, tail + pipe_record(len), &cut);
}

/* Bytes from `at` on that belong to the stream and are published; -EAGAIN: cut at `at`; -EPROTO. */
static int64_t in_look(struct kipc_pipe *p, uint64_t start, uint64_t at, uint64_t end)
{
	struct kipc_pipe_way *s = p->rx.shm;
	uint64_t head, n, cut;

	/* head first: a cut that matters was stored before head went beyond it */
	head = load_acquire(&s->head);		/* pairs with: tx_publish() */
	store_relaxed(&s->head_seen, head);
	KIPC_POINT("stream.in.looked");
	n = pipe_pos(head) - at;
	if (n > p->ring_size)
		return -EPROTO;
	n = min_of(n, end - at);
	if (cut_between(s, start, end, &cut)) {
		if (cut == at)
			return -EAGAIN;
		if (cut - at < n)
			n = cut - at;
	}
	return (int64_t)n;
}

static void in_free(struct kipc_pipe *p, uint64_t tail)
{
	xchg(&p->rx.shm->tail, tail);	/* pairs with: tx_room(); a barrier for the bell */
	KIPC_POINT("stream.in.freed");
	rx_ring(p);
}

static ssize_t stream_in(struct kipc_pipe *p, uint64_t start, uint64_t len, uint8_t *buf,
			 size_t size)
{
	struct kipc_pipe_way *s = p->rx.shm;
	struct in in = { .p = p, .at = start + KIPC_PIPE_RECORD };
	struct kipc_wait w = {
		.seg = &p->obj.seg,
		.bell = p->rx.readable,
		.spin = &p->rx.spin,
		.ready = in_ready,
		.owner = sender,
		.arg = &in,
		.hup_fd = -1,
		.deadline = KIPC_DEADLINE_NEVER,
	};
	uint64_t end = start + pipe_record(len), done = 0, cut;
	bool waited, hup;
	int64_t n;

	if (cut_between(s, start, end, &cut)) {
		if (cut - start > p->ring_size)
			return -EPROTO;
		in_free(p, cut);
		return -EAGAIN;
	}
	if (len > size)
		return -EMSGSIZE;

	store_release(&s->msg_end, end | KIPC_PIPE_VALID);
	KIPC_TRACE(pipe_recv, p->obj.seg.id, p->end, start, len);
	KIPC_POINT("stream.in.begun");
	while (in.at != end) {
		hup = load_acquire(&p->hup);	/* before the look: then it has seen the last byte */
		n = in_look(p, start, in.at, end);
		if (n > 0) {
			n = min_of((uint64_t)n, piece(p));
			pipe_copy(buf + done, pipe_at(p, &p->rx, in.at),
				  min_of((uint64_t)n, len - done));
			done = min_of(done + (uint64_t)n, len);
			in.at += (uint64_t)n;
			in_free(p, in.at);
			continue;
		}
		if (n == 0 && !hup) {
			__kipc_pipe_wait(p, &w, &waited);
			continue;
		}
		if (n != -EPROTO)
			in_free(p, in.at);
		store_release(&s->msg_end, 0);
		KIPC_POINT("stream.in.given_up");
		return n ? n : -EPIPE;
	}
	store_release(&s->msg_end, 0);
	KIPC_POINT("stream.in.ended");
	stat_inc(&s->received);
	return (ssize_t)len;
}

ssize_t __kipc_pipe_stream_in(struct kipc_pipe *p, uint64_t tail, uint64_t len, void *buf,
			      size_t size)
{
	ssize_t r = __kipc_pipe_stream_lock(p, &p->rx.shm->recv_lock);

	if (r)
		return r;
	r = stream_in(p, tail, len, buf, size);
	__kipc_pipe_stream_unlock(p, &p->rx.shm->recv_lock);
	return r;
}

int __kipc_pipe_stream_drop(struct kipc_pipe *p)
{
	struct kipc_pipe_way *s = p->rx.shm;
	uint64_t end = load_relaxed(&s->msg_end), at = load_relaxed(&s->tail);
	int64_t n;

	if (!(end & KIPC_PIPE_VALID) || (at & KIPC_PIPE_BITS))
		return -EPROTO;
	end = pipe_pos(end);
	if ((int64_t)(end - at) > 0) {
		/* the record's start isn't known any more, but no cut lies between it and here */
		n = in_look(p, at - KIPC_PIPE_RECORD, at, end);
		if (n == -EPROTO)
			return -EPROTO;
		if (n > 0) {
			at += (uint64_t)n;
			in_free(p, at);
			n = at == end ? 0 : in_look(p, at - KIPC_PIPE_RECORD, at, end);
			if (n == -EPROTO)
				return -EPROTO;
		}
		if (n != -EAGAIN && at != end)
			return -EAGAIN;
	}
	store_release(&s->msg_end, 0);
	KIPC_POINT("stream.in.dropped");
	return 0;
}
