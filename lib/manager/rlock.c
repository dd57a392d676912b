// SPDX-License-Identifier: MIT
/*
 * kipc_rlock: a lock whose owner is a thread, which may take it again.
 *
 * The lock word names the process.  `owner` names the thread beside it, and only the holder of the
 * word writes it: a thread that finds the word to be its process's and `owner` to be itself knows
 * that this is true and stays so, for only it could change it.  A stale `owner` (its process died)
 * is nobody: a later process with the same slot has another generation.
 */
#include <errno.h>

#include "kipc/lock.h"
#include "manager/object.h"

struct kipc_rlock {
	struct kipc_handle h;
};

static struct kipc_rlock *rlock_of(struct kipc_handle *h)
{
	return container_of(h, struct kipc_rlock, h);
}

const struct kipc_obj_type __kipc_rlock_type = {
	.kind = KIPC_OBJ_RLOCK,
	.name = "rlock",
	.size = sizeof(struct kipc_rlock_shared),
	.handle_size = sizeof(struct kipc_rlock),
	.user_lock = true,
};

/* Number of the thread in its process, never used twice. */
static uint32_t last_thread;
static __thread uint32_t this_thread;

/*
 * Together with the slot in the lock word this names one thread for ever: the generation tells the
 * process from others that had the slot, and from the parent whose thread numbers it inherited.
 */
static uint64_t self(struct kipc_segment *seg)
{
	if (unlikely(!this_thread))
		this_thread = fetch_add(&last_thread, 1u) + 1;
	return (uint64_t)load_relaxed(&__kipc_peer(seg, seg->slot)->generation) << 32 | this_thread;
}

static struct kipc_rlock_shared *shared_of(struct kipc_rlock *l)
{
	return (struct kipc_rlock_shared *)l->h.hdr;
}

static bool is_mine(struct kipc_rlock_shared *s, struct kipc_segment *seg)
{
	return (load_relaxed(&s->head.guard.lock) & KIPC_LOCK_OWNER) == seg->slot &&
	       load_relaxed(&s->owner) == self(seg);
}

KIPC_API int kipc_rlock_create(struct kipc_manager *m, const char *name, struct kipc_rlock **l)
{
	struct kipc_handle *h;
	int r = __kipc_object_create(m, name, &__kipc_rlock_type, NULL, l ? &h : NULL);

	if (!r)
		*l = rlock_of(h);
	return r;
}

KIPC_API int kipc_rlock_open(struct kipc_manager *m, const char *name, struct kipc_rlock **l)
{
	struct kipc_handle *h;
	int r = __kipc_object_open(m, name, &__kipc_rlock_type, l ? &h : NULL);

	if (!r)
		*l = rlock_of(h);
	return r;
}

KIPC_API int kipc_rlock_acquire(struct kipc_rlock *l, int64_t timeout_ns)
{
	struct kipc_rlock_shared *s;
	struct kipc_segment *seg;
	uint64_t count;
	int r;

	if (unlikely(!l))
		return -EINVAL;
	r = __kipc_handle_enter(&l->h);
	if (unlikely(r))
		return r;
	s = shared_of(l);
	seg = &l->h.m->obj.seg;
	/* pairs with: kipc_rlock_release() */
	if (unlikely(!cmpxchg(&s->head.guard.lock, 0u, seg->slot))) {
		if (is_mine(s, seg)) {
			count = load_relaxed(&s->count);
			if (count >= UINT32_MAX)
				return -EOVERFLOW;
			store_relaxed(&s->count, count + 1);
			KIPC_POINT("rlock.again");
			return 0;
		}
		r = __kipc_lock_slow(seg, &s->head.guard.lock, __kipc_deadline(timeout_ns));
		if (r && r != -EOWNERDEAD)
			return r;
	} else {
		KIPC_TRACE(lock_acquire, seg->id, &s->head.guard.lock, seg->base, 0);
	}
	KIPC_POINT("rlock.taken");
	store_relaxed(&s->owner, self(seg));
	KIPC_POINT("rlock.owned");
	store_relaxed(&s->count, 1);
	KIPC_POINT("rlock.counted");
	return r;
}

KIPC_API int kipc_rlock_release(struct kipc_rlock *l)
{
	struct kipc_rlock_shared *s;
	struct kipc_segment *seg;
	uint64_t count;
	int r;

	if (unlikely(!l))
		return -EINVAL;
	r = __kipc_handle_enter(&l->h);
	if (unlikely(r))
		return r;
	s = shared_of(l);
	seg = &l->h.m->obj.seg;
	if (unlikely(!is_mine(s, seg)))
		return -EPERM;
	count = load_relaxed(&s->count);
	if (count > 1) {
		store_relaxed(&s->count, count - 1);
		KIPC_POINT("rlock.one_less");
		return 0;
	}
	store_relaxed(&s->owner, 0);
	KIPC_POINT("rlock.nobodys");
	return __kipc_lock_release(seg, &s->head.guard.lock);
}

KIPC_API int kipc_rlock_unref(struct kipc_rlock *l)
{
	return l ? __kipc_handle_close(&l->h) : -EINVAL;
}

KIPC_API struct kipc_handle *kipc_rlock_handle(struct kipc_rlock *l)
{
	return l ? &l->h : NULL;
}

KIPC_API int kipc_rlock_from(struct kipc_value *v, struct kipc_rlock **l)
{
	struct kipc_handle *h;
	int r = __kipc_handle_from(v, &__kipc_rlock_type, l ? &h : NULL);

	if (!r)
		*l = rlock_of(h);
	return r;
}
