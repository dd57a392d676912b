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
	c->len = len;
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
	cells_publish(q, &c, 1);
	ring_readable(q);
	return 0;
}

KIPC_API int kipc_queue_put_many(struct kipc_queue *q, const struct iovec *iov, int n,
				 int64_t timeout_ns)
{
	struct kipc_claim c[KIPC_QUEUE_BATCH];
	int i, k, fit, done = 0, r;

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
	for (fit = 1; fit < n && iov[fit].iov_len <= q->msg_size; fit++)
		;
	r = claim(q, &c[0], timeout_ns);
	if (r)
		return r;
	do {
		k = __kipc_queue_extend_put(q, c, min_of(fit - done, KIPC_QUEUE_BATCH));
		for (i = 0; i < k; i++)
			copy_in(q, &c[i], iov[done + i].iov_base, iov[done + i].iov_len);
		cells_publish(q, c, k);
		done += k;
	} while (done < fit && !__kipc_queue_claim_put(q, &c[0]));
	ring_readable(q);
	return done;
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

KIPC_API int kipc_queue_commit(struct kipc_queue *q, struct kipc_msg *msg)
{
	struct kipc_claim c;
	void *there;
	int r = claim_of(q, msg, KIPC_CELL_WRITING, &c);

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
	KIPC_TRACE(queue_put, q->obj.seg.id, c.pos, msg->len);
	store_relaxed(&c.cell->len, msg->len);
	KIPC_POINT("queue.commit.filled");
	/* pairs with: __kipc_queue_claim_get() [A] */
	if (!cell_end(q, &c, KIPC_CELL_WRITING, cell_state(claim_lap(q, &c), KIPC_CELL_READY, 0)))
		return -EINVAL;
	msg->data = NULL;
	ring_readable(q);
	return 0;
}

KIPC_API int kipc_queue_abort(struct kipc_queue *q, struct kipc_msg *msg)
{
	struct kipc_claim c;
	int r = claim_of(q, msg, KIPC_CELL_WRITING, &c);

	if (r)
		return r;
	if (!cell_end(q, &c, KIPC_CELL_WRITING, state_next_lap(q, claim_lap(q, &c))))
		return -EINVAL;
	msg->data = NULL;
	__kipc_queue_skipped(q);
	return 0;
}
