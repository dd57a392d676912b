// SPDX-License-Identifier: MIT
/* The conditions of a queue for those who wait outside of it: its descriptors, and waitsets. */
#include "queue/queue.h"

static uint32_t get_owner(void *arg)
{
	struct kipc_queue *q = arg;

	return __kipc_queue_owner_at(q, load_relaxed(&q->sh->head));
}

static uint32_t put_owner(void *arg)
{
	struct kipc_queue *q = arg;

	return __kipc_queue_owner_at(q, load_relaxed(&q->sh->tail));
}

int __kipc_queue_source(struct kipc_object *obj, unsigned int which, struct kipc_source *src)
{
	struct kipc_queue *q = container_of(obj, struct kipc_queue, obj);
	bool get = which == KIPC_READABLE;
	struct kipc_bell *bell;
	int r;

	if (which != KIPC_READABLE && which != KIPC_WRITABLE)
		return -EINVAL;
	r = __kipc_peer_enter(&obj->seg);
	if (r)
		return r;
	bell = &q->bells[get ? KIPC_QUEUE_BELL_READABLE : KIPC_QUEUE_BELL_WRITABLE];
	*src = (struct kipc_source){
		.seg = &obj->seg,
		.bell = bell,
		.fd = bell->fd,
		.ready = get ? __kipc_queue_can_get : __kipc_queue_can_put,
		.owner = get ? get_owner : put_owner,
		.arg = q,
	};
	__kipc_bell_watch(bell);
	/* what came before anybody watched was not rung for */
	if (src->ready(q))
		__kipc_bell_ring(bell);
	return 0;
}

KIPC_API int kipc_queue_fd(struct kipc_queue *q, unsigned int which)
{
	struct kipc_source src;
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_queue_source(&q->obj, which, &src);
	return r ? r : src.fd;
}
