// SPDX-License-Identifier: MIT
/*
 * Objects of any kind: what kipc/object.h promises.  The one place that knows all kinds; it looks at
 * them through their struct kipc_object_ops alone.
 */
#include <errno.h>
#include <string.h>

#include "core/compiler.h"
#include "core/object.h"
#include "core/peer.h"
#include "kipc/object.h"
#include "names/handover.h"
#include "names/message.h"

_Static_assert((int)KIPC_KIND_QUEUE == (int)KIPC_SEG_QUEUE, "queue");
_Static_assert((int)KIPC_KIND_PIPE == (int)KIPC_SEG_PIPE, "pipe");
_Static_assert((int)KIPC_KIND_SHM == (int)KIPC_SEG_SHM, "shm");
_Static_assert((int)KIPC_KIND_ARRAY == (int)KIPC_SEG_ARRAY, "array");
_Static_assert((int)KIPC_KIND_MANAGER == (int)KIPC_SEG_MANAGER, "manager");
_Static_assert(KIPC_HANDOVER_FDS_MAX == KIPC_OBJECT_FDS_MAX, "descriptors");
_Static_assert(KIPC_HANDOVER_ARGS == KIPC_OBJECT_ARGS, "arguments");

static const struct kipc_object_ops *const kinds[] = {
	[KIPC_KIND_QUEUE]	= &__kipc_queue_object,
	[KIPC_KIND_PIPE]	= &__kipc_pipe_object,
	[KIPC_KIND_SHM]		= &__kipc_shm_object,
	[KIPC_KIND_ARRAY]	= &__kipc_array_object,
	[KIPC_KIND_MANAGER]	= &__kipc_manager_object,
};

const struct kipc_object_ops *__kipc_object_kind_ops(uint32_t kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind] : NULL;
}

KIPC_API int kipc_object_kind(const struct kipc_object *obj)
{
	return obj ? obj->ops->kind : -EINVAL;
}

KIPC_API void kipc_object_close(struct kipc_object *obj)
{
	if (obj)
		obj->ops->close(obj);
}

/* Every handle begins with its struct kipc_object. */
static void *as(struct kipc_object *obj, enum kipc_kind kind)
{
	return obj && obj->ops == kinds[kind] ? obj : NULL;
}

KIPC_API struct kipc_queue *kipc_object_queue(struct kipc_object *obj)
{
	return as(obj, KIPC_KIND_QUEUE);
}

KIPC_API struct kipc_pipe *kipc_object_pipe(struct kipc_object *obj)
{
	return as(obj, KIPC_KIND_PIPE);
}

KIPC_API struct kipc_shm *kipc_object_shm(struct kipc_object *obj)
{
	return as(obj, KIPC_KIND_SHM);
}

KIPC_API struct kipc_array *kipc_object_array(struct kipc_object *obj)
{
	return as(obj, KIPC_KIND_ARRAY);
}

KIPC_API struct kipc_manager *kipc_object_manager(struct kipc_object *obj)
{
	return as(obj, KIPC_KIND_MANAGER);
}

int __kipc_handover_pack(struct kipc_object *obj, struct kipc_handover *msg, int *fds)
{
	struct kipc_transfer t = { .nfds = obj->ops->nfds };
	int r = __kipc_peer_enter_any(&obj->seg);

	if (!r)
		r = obj->ops->export(obj, &t);
	if (r)
		return r;
	*msg = (struct kipc_handover){
		.magic = KIPC_HANDOVER_MAGIC,
		.version = KIPC_HANDOVER_VERSION,
		.kind = obj->ops->kind,
		.nfds = obj->ops->nfds,
	};
	memcpy(msg->args, t.args, sizeof(msg->args));
	memcpy(fds, t.fds, msg->nfds * sizeof(int));
	return 0;
}

/* What the header says, against what we know and what came with it. */
static int check(const struct kipc_handover *msg, uint32_t nfds,
		 const struct kipc_object_ops **ops)
{
	if (msg->magic != KIPC_HANDOVER_MAGIC)
		return -EPROTO;
	if (msg->version != KIPC_HANDOVER_VERSION)
		return -EPROTONOSUPPORT;
	*ops = __kipc_object_kind_ops(msg->kind);
	if (!*ops || msg->nfds != nfds || (*ops)->nfds != nfds)
		return -EPROTO;
	for (uint32_t i = (*ops)->nargs; i < KIPC_HANDOVER_ARGS; i++)
		if (msg->args[i])
			return -EPROTO;
	return 0;
}

int __kipc_handover_unpack(const struct kipc_handover *msg, const int *fds, uint32_t nfds,
			   struct kipc_object **obj)
{
	struct kipc_transfer t = { .nfds = nfds };
	const struct kipc_object_ops *ops;
	int r = check(msg, nfds, &ops);

	if (r)
		return r;
	memcpy(t.args, msg->args, sizeof(t.args));
	memcpy(t.fds, fds, nfds * sizeof(int));
	return ops->import(&t, obj);
}

KIPC_API int kipc_send(int sock, struct kipc_object *obj)
{
	int fds[KIPC_HANDOVER_FDS_MAX], r;
	struct kipc_handover msg;

	if (!obj)
		return -EINVAL;
	r = __kipc_handover_pack(obj, &msg, fds);
	return r ? r : __kipc_handover_send(sock, &msg, fds, msg.nfds);
}

KIPC_API int kipc_recv(int sock, struct kipc_object **obj)
{
	int fds[KIPC_HANDOVER_FDS_MAX], r;
	struct kipc_handover msg;
	uint32_t nfds;

	if (!obj)
		return -EINVAL;
	r = __kipc_handover_recv(sock, &msg, fds, &nfds);
	if (r)
		return r;
	r = __kipc_handover_unpack(&msg, fds, nfds, obj);
	if (r)
		__kipc_close_all(fds, nfds);
	return r;
}
