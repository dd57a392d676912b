// SPDX-License-Identifier: MIT
/* What can be asked about a pipe.  All of it is a snapshot, for display. */
#include "core/opts.h"
#include "pipe/ring.h"

/* Bytes between tail and head; 0 rather than nonsense while they move. */
static uint64_t backlog(const struct kipc_pipe *p, struct kipc_pipe_way *s)
{
	uint64_t tail = load_acquire(&s->tail);
	uint64_t used = pipe_pos(load_acquire(&s->head)) - tail;

	return used <= p->ring_size ? used : 0;
}

static void stat_way(const struct kipc_pipe *p, struct kipc_pipe_way *s, struct kipc_pipe_stat *st)
{
	bool ours = s == p->tx.shm;

	if (ours) {
		st->sent = load_relaxed(&s->sent);
		st->tx_bytes = backlog(p, s);
	} else {
		st->received = load_relaxed(&s->received);
		st->rx_bytes = backlog(p, s);
	}
	st->cuts += load_relaxed(&s->cuts);
	st->wakeups += load_relaxed(&s->readable.rings) + load_relaxed(&s->writable.rings);
	if (load_relaxed(&s->head) & KIPC_PIPE_SHUT)
		st->shutdown |= ours ? 1 : 2;
}

KIPC_API int kipc_pipe_stat(struct kipc_pipe *p, struct kipc_pipe_stat *st)
{
	struct kipc_pipe_stat full = { 0 };
	int r;

	if (!p || !st)
		return -EINVAL;
	r = __kipc_peer_enter(&p->obj.seg);
	if (r)
		return r;
	full.ring_size = p->ring_size;
	full.repairs = load_relaxed(&p->obj.seg.hdr->repairs);
	full.memory = load_relaxed(&p->obj.seg.size);
	full.end = p->end;
	full.flags = p->flags;
	full.hung_up = __kipc_pipe_ask(p);
	if (p->tx.shm)
		stat_way(p, p->tx.shm, &full);
	if (p->rx.shm)
		stat_way(p, p->rx.shm, &full);
	return __kipc_stat_write(st, &full, sizeof(full));
}

KIPC_API ssize_t kipc_pipe_size(struct kipc_pipe *p)
{
	return p ? (ssize_t)p->ring_size : -EINVAL;
}
