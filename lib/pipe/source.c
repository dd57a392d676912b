// SPDX-License-Identifier: MIT
/*
 * The conditions of a pipe for those who wait outside of it: its descriptors, and waitsets.
 *
 * A condition holds when a call would go on, not when it would have to wait for the other holders
 * of this end: who gives a lock up rings if something is left and somebody watches.  (An exclusive
 * end has no turns, and nobody rings for them.)
 */
#include "pipe/ring.h"
#include "pipe/sides.h"

static bool taken(const struct kipc_pipe *p, uint32_t *lock)
{
	return !p->exclusive && (load_relaxed(lock) & KIPC_LOCK_OWNER);
}

static bool can_recv(void *arg)
{
	struct kipc_pipe *p = arg;
	struct kipc_pipe_way *s = p->rx.shm;
	uint64_t tail, head;

	if (taken(p, &s->recv_lock))
		return false;
	if (pipe_gone(p))
		return true;
	tail = load_acquire(&s->tail);
	head = load_acquire(&s->head);
	if (pipe_pos(head) != tail)
		return true;
	/* a dead receiver's stream must end first: see rx_ready() */
	if (load_relaxed(&s->msg_end))
		return load_relaxed(&s->cut) == (tail | KIPC_PIPE_VALID);
	return head & KIPC_PIPE_SHUT;
}

static bool can_send(void *arg)
{
	struct kipc_pipe *p = arg;
	struct kipc_pipe_way *s = p->tx.shm;
	uint64_t head, used, need = 0;

	if (taken(p, &s->send_lock))
		return false;
	if (pipe_gone(p))
		return true;
	head = load_acquire(&s->head);
	used = pipe_pos(head) - load_acquire(&s->tail);
	/* pairs with: remember_failed() */
	if (load_acquire(&p->tx.failed_at) == head)
		need = load_relaxed(&p->tx.failed_need);
	/* a difference out of range is for tx_room() to judge */
	return (head & KIPC_PIPE_SHUT) || used > p->ring_size ||
	       p->ring_size - used >= tx_plenty(p, need);
}

static bool hung_up(void *arg)
{
	return __kipc_pipe_ask(arg);
}

static uint32_t recv_owner(void *arg)
{
	struct kipc_pipe *p = arg;
	struct kipc_pipe_way *s = p->rx.shm;
	uint32_t owner = load_relaxed(&s->recv_lock) & KIPC_LOCK_OWNER;

	if (!owner && load_relaxed(&s->msg_end))
		owner = load_relaxed(&s->send_lock) & KIPC_LOCK_OWNER;
	return owner;
}

static uint32_t send_owner(void *arg)
{
	struct kipc_pipe *p = arg;

	return load_relaxed(&p->tx.shm->send_lock) & KIPC_LOCK_OWNER;
}

static struct kipc_source readable(struct kipc_pipe *p)
{
	__kipc_bell_watch(p->rx.readable);
	__kipc_pipe_rx_left(p);
	return (struct kipc_source){
		.bell = p->rx.readable,
		.fd = p->rx.readable->fd,
		.ready = can_recv,
		.owner = recv_owner,
	};
}

static struct kipc_source writable(struct kipc_pipe *p)
{
	/* while no sender has ever waited, each freed byte would be worth a wake-up */
	cmpxchg(&p->tx.shm->want, 0, tx_plenty(p, 0));
	__kipc_bell_watch(p->tx.writable);
	__kipc_pipe_tx_left(p);
	return (struct kipc_source){
		.bell = p->tx.writable,
		.fd = p->tx.writable->fd,
		.ready = can_send,
		.owner = send_owner,
	};
}

int __kipc_pipe_source(struct kipc_object *obj, unsigned int which, struct kipc_source *src)
{
	struct kipc_pipe *p = container_of(obj, struct kipc_pipe, obj);
	struct pipe_way *w = which == KIPC_WRITABLE ? &p->tx : &p->rx;
	int r;

	if (which != KIPC_READABLE && which != KIPC_WRITABLE && which != KIPC_PIPE_HANGUP)
		return -EINVAL;
	if (which == KIPC_PIPE_HANGUP && !w->shm)
		w = &p->tx;
	r = pipe_enter(p, w);
	if (r)
		return r;
	switch (which) {
	case KIPC_READABLE:
		*src = readable(p);
		break;
	case KIPC_WRITABLE:
		*src = writable(p);
		break;
	default:
		*src = (struct kipc_source){ .fd = __kipc_pipe_hup_fd(p), .ready = hung_up };
		break;
	}
	src->seg = &obj->seg;
	src->arg = p;
	return src->fd < 0 ? src->fd : 0;
}

KIPC_API int kipc_pipe_fd(struct kipc_pipe *p, unsigned int which)
{
	struct kipc_source src;
	int r;

	if (!p)
		return -EINVAL;
	r = __kipc_pipe_source(&p->obj, which, &src);
	return r ? r : src.fd;
}
