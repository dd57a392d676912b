// SPDX-License-Identifier: MIT
/*
 * kipc_lock: a lock word in an object of its own.  The whole of it is lib/core/lock.h; here are the
 * handle and the errors.  Who dies holding it leaves it DIED (repair.c), and the next is told.
 */
#include <errno.h>

#include "kipc/lock.h"
#include "manager/object.h"

struct kipc_lock {
	struct kipc_handle h;
};

static struct kipc_lock *lock_of(struct kipc_handle *h)
{
	return container_of(h, struct kipc_lock, h);
}

const struct kipc_obj_type __kipc_lock_type = {
	.kind = KIPC_OBJ_LOCK,
	.name = "lock",
	.size = sizeof(struct kipc_obj_header),
	.handle_size = sizeof(struct kipc_lock),
	.user_lock = true,
};

KIPC_API int kipc_lock_create(struct kipc_manager *m, const char *name, struct kipc_lock **l)
{
	struct kipc_handle *h;
	int r = __kipc_object_create(m, name, &__kipc_lock_type, NULL, l ? &h : NULL);

	if (!r)
		*l = lock_of(h);
	return r;
}

KIPC_API int kipc_lock_open(struct kipc_manager *m, const char *name, struct kipc_lock **l)
{
	struct kipc_handle *h;
	int r = __kipc_object_open(m, name, &__kipc_lock_type, l ? &h : NULL);

	if (!r)
		*l = lock_of(h);
	return r;
}

KIPC_API int kipc_lock_acquire(struct kipc_lock *l, int64_t timeout_ns)
{
	struct kipc_segment *seg;
	uint32_t *word;
	int r;

	if (unlikely(!l))
		return -EINVAL;
	r = __kipc_handle_enter(&l->h);
	if (unlikely(r))
		return r;
	seg = &l->h.m->obj.seg;
	word = &l->h.hdr->guard.lock;
	/* pairs with: kipc_lock_release() */
	if (likely(cmpxchg(word, 0u, seg->slot))) {
		KIPC_TRACE(lock_acquire, seg->id, word, seg->base, 0);
		KIPC_POINT("lock.users_taken");
		return 0;
	}
	return __kipc_lock_slow(seg, word, __kipc_deadline(timeout_ns));
}

KIPC_API int kipc_lock_release(struct kipc_lock *l)
{
	int r;

	if (unlikely(!l))
		return -EINVAL;
	r = __kipc_handle_enter(&l->h);
	if (unlikely(r))
		return r;
	return __kipc_lock_release(&l->h.m->obj.seg, &l->h.hdr->guard.lock);
}

KIPC_API int kipc_lock_unref(struct kipc_lock *l)
{
	return l ? __kipc_handle_close(&l->h) : -EINVAL;
}

KIPC_API struct kipc_handle *kipc_lock_handle(struct kipc_lock *l)
{
	return l ? &l->h : NULL;
}

KIPC_API int kipc_lock_from(struct kipc_value *v, struct kipc_lock **l)
{
	struct kipc_handle *h;
	int r = __kipc_handle_from(v, &__kipc_lock_type, l ? &h : NULL);

	if (!r)
		*l = lock_of(h);
	return r;
}
