// SPDX-License-Identifier: MIT
/* Messages out: get, get_many, and in place: take, done, requeue. */
#include <string.h>

#include "queue/queue.h"

static inline int claim(struct kipc_queue *q, struct kipc_claim *c, uint64_t size,
			int64_t timeout_ns)
{
	int r = __kipc_queue_claim_get(q, c, size);

	if (likely(!r) || r != -EAGAIN)
		return r;
	return __kipc_queue_wait_get(q, c, size, timeout_ns);
}

static inline void copy_out(struct kipc_queue *q, struct kipc_claim *c, void *buf)
{
	if (likely(c->len))
		memcpy(buf, cell_data(q, c->cell, c->index, c->len), c->len);
}

KIPC_API ssize_t kipc_queue_get(struct kipc_queue *q, void *buf, size_t size, int64_t timeout_ns)
{
	struct kipc_claim c;
	int r;

	if (unlikely(!q || (!buf && size)))
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (unlikely(r))
		return r;
	r = claim(q, &c, size, timeout_ns);
	if (unlikely(r))
		return r;
	KIPC_TRACE(queue_get, q->obj.seg.id, c.pos, c.len, c.flags);
	copy_out(q, &c, buf);
	cells_release(q, &c, 1);
	ring_writable(q);
	return (ssize_t)c.len;
}

KIPC_API int kipc_queue_get_many(struct kipc_queue *q, struct iovec *iov, int n,
				 int64_t timeout_ns)
{
	struct kipc_claim c[KIPC_QUEUE_BATCH];
	int i, k, done = 0, r;

	if (!q || !iov || n <= 0)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!iov[i].iov_base && iov[i].iov_len)
			return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	r = claim(q, &c[0], iov[0].iov_len, timeout_ns);
	if (r)
		return r;
	do {
		k = __kipc_queue_extend_get(q, c, min_of(n - done, KIPC_QUEUE_BATCH), iov + done);
		for (i = 0; i < k; i++) {
			KIPC_TRACE(queue_get, q->obj.seg.id, c[i].pos, c[i].len, c[i].flags);
			copy_out(q, &c[i], iov[done + i].iov_base);
			iov[done + i].iov_len = c[i].len;
		}
		cells_release(q, c, k);
		done += k;
	} while (done < n && !__kipc_queue_claim_get(q, &c[0], iov[done].iov_len));
	ring_writable(q);
	return done;
}

KIPC_API int kipc_queue_take(struct kipc_queue *q, struct kipc_msg *msg, int64_t timeout_ns)
{
	struct kipc_claim c;
	int r;

	if (!q || !msg)
		return -EINVAL;
	r = __kipc_peer_enter(&q->obj.seg);
	if (r)
		return r;
	r = claim(q, &c, UINT64_MAX, timeout_ns);
	if (r)
		return r;
	KIPC_TRACE(queue_get, q->obj.seg.id, c.pos, c.len, c.flags);
	*msg = (struct kipc_msg){
		.data = cell_data(q, c.cell, c.index, c.len),
		.len = c.len,
		.flags = c.flags,
		.position = c.pos,
	};
	return 0;
}

KIPC_API int kipc_queue_done(struct kipc_queue *q, struct kipc_msg *msg)
{
	struct kipc_claim c;
	int r = claim_of(q, msg, KIPC_CELL_READING, &c);

	if (r)
		return r;
	/* pairs with: __kipc_queue_claim_put() [B] */
	if (!cell_end(q, &c, KIPC_CELL_READING, state_next_lap(q, claim_lap(q, &c))))
		return -EINVAL;
	msg->data = NULL;
	ring_writable(q);
	return 0;
}

KIPC_API int kipc_queue_requeue(struct kipc_queue *q, struct kipc_msg *msg)
{
	struct kipc_claim c;
	int r = claim_of(q, msg, KIPC_CELL_READING, &c);

	if (r)
		return r;
	if (!cell_end(q, &c, KIPC_CELL_READING,
		      cell_state(claim_lap(q, &c), KIPC_CELL_RETURNED, 0)))
		return -EINVAL;
	fetch_add(&q->sh->returned, 1);	/* pairs with: claim_returned() */
	KIPC_POINT("queue.requeued");
	msg->data = NULL;
	ring_readable(q);
	return 0;
}
