// SPDX-License-Identifier: MIT
/* Messages in: put, put_many, and in place: reserve, commit, abort. */
#include <string.h>

#include "queue/queue.h"

static inline int claim(struct kipc_queue *q, struct kipc_claim *c, int64_t timeout_ns)
{
	int r = __kipc_queue_claim_put(q, c);

	if (likely(!r) || r != -EAGAIN)
		return r;
	return __kipc_queue_wait_put(q, c, timeout_ns);
}

static inline void copy_in(struct kipc_queue *q, struct kipc_claim *c, const void *buf, size_t len)
{
	if (likely(len))
		memcpy(cell_data(q, c->cell, c->index, len), buf, len);
}

KIPC_API int kipc_queue_put(struct kipc_queue *q, const void *buf, size_t len, int64_t timeout_ns)
{
	struct kipc_claim c;
	int r;

	if (unlikely(!q || (!buf && len)))
		return -EINVAL;
	if (unlikely(len > q->msg_size))
		return -EMSGSIZE;
	r = __kipc_peer_enter(&q->obj.seg);
	if (unlikely(r))
		return r;
	r = claim(q, &c, timeout_ns);
	if (unlikely(r))
		return r;
	copy_in(q, &c, buf, len);
	cell_publish(q, &c, len);
	ring_readable(q);
	return 0;
}

KIPC_API int kipc_queue_put_many(struct kipc_queue *q, const struct iovec *iov, int n,
				 int64_t timeout_ns)
{
	struct kipc_claim c;
	int i, r;

	if (!q || !iov || n <= 0)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!iov[i].iov_base && iov[i].iov_len)
			return -EINVAL;
	if (iov[0].iov_len > q->msg_size)
		return -EMSGSIZE;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	r = claim(q, &c, timeout_ns);
	if (r)
		return r;
	for (i = 0;; ) {
		copy_in(q, &c, iov[i].iov_base, iov[i].iov_len);
		cell_publish(q, &c, iov[i].iov_len);
		if (++i == n || iov[i].iov_len > q->msg_size || __kipc_queue_claim_put(q, &c))
			break;
	}
	ring_readable(q);
	return i;
}

KIPC_API int kipc_queue_reserve(struct kipc_queue *q, size_t len, struct kipc_msg *msg,
				int64_t timeout_ns)
{
	struct kipc_claim c;
	int r;

	if (!q || !msg)
		return -EINVAL;
	if (len > q->msg_size)
		return -EMSGSIZE;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	r = claim(q, &c, timeout_ns);
	if (r)
		return r;
	*msg = (struct kipc_msg){
		.data = cell_data(q, c.cell, c.index, len),
		.len = len,
		.position = c.pos,
	};
	return 0;
}

/* The claim that msg stands for, if it is one of this process. */
static int reserved(struct kipc_queue *q, const struct kipc_msg *msg, struct kipc_claim *c)
{
	int r;

	if (!q || !msg)
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	c->pos = msg->position;
	c->index = pos_index(q, c->pos);
	if (c->index >= q->capacity)
		return -EINVAL;
	c->cell = cell_at(q, c->index);
	if (load_acquire(&c->cell->state) !=
	    cell_state(claim_lap(q, c), KIPC_CELL_WRITING, q->obj.seg.slot))
		return -EINVAL;
	return 0;
}

KIPC_API int kipc_queue_commit(struct kipc_queue *q, struct kipc_msg *msg)
{
	struct kipc_claim c;
	void *there;
	int r = reserved(q, msg, &c);

	if (r)
		return r;
	if (msg->len > q->msg_size)
		return -EMSGSIZE;
	/* reserved long, committed short (or the other way round): it belongs elsewhere */
	there = cell_data(q, c.cell, c.index, msg->len);
	if (there != msg->data && msg->len) {
		if (msg->len > q->inline_size)
			return -EMSGSIZE;	/* longer than what was reserved */
		if (!q->payload || msg->data != q->payload + c.index * q->payload_stride)
			return -EINVAL;
		memcpy(there, msg->data, msg->len);
	}
	cell_publish(q, &c, msg->len);
	msg->data = NULL;
	ring_readable(q);
	return 0;
}

KIPC_API int kipc_queue_abort(struct kipc_queue *q, struct kipc_msg *msg)
{
	struct kipc_claim c;
	int r = reserved(q, msg, &c);

	if (r)
		return r;
	__kipc_queue_skip(q, &c);
	msg->data = NULL;
	return 0;
}
