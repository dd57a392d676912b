/* SPDX-License-Identifier: MIT */
/*
 * A manager that is open for reading only: what stands in for the arena's lock, for guards and for
 * references, none of which can be had without writing.
 *
 * Instead of taking a lock, a reader looks as optimistic readers do, over and over, for a second at
 * most.  It may be in vain: a writer is at it all the time, or died at it and nobody has used the
 * object since, who would have repaired it.
 *
 * Instead of a reference, it asks after each read whether the object was alive until then: its id
 * never comes again, and its count of references falls to 0 before anything of it is freed.  So
 * what was read of a living object was not freed meanwhile.
 */
#ifndef KIPC_MANAGER_READONLY_H
#define KIPC_MANAGER_READONLY_H

#include "manager/object.h"

/* How long a read goes on in vain. */
#define KIPC_READONLY_NS	NSEC_PER_SEC

static inline bool __kipc_readonly(const struct kipc_manager *m)
{
	return m->obj.seg.readonly;
}

/* After a read: whether the object has been there all the time.  Others hold a reference. */
static inline bool __kipc_handle_alive(const struct kipc_handle *h)
{
	if (likely(h->word))
		return true;
	if (!__kipc_readonly(h->m))
		return true;	/* a fork child's, that is about to notice */
	/* what was read before; pairs with: the release of the arena's lock by who dropped it */
	fence_acquire();
	return load_relaxed(&h->hdr->id) == h->id && load_relaxed(&h->hdr->refs);
}

/* Between two looks: a nap.  *deadline: 0 at first.  0: look again; -ETIMEDOUT. */
int __kipc_readonly_nap(int64_t *deadline);

/* __kipc_handle_get() and __kipc_object_open() of a reader; the latter also -ETIMEDOUT. */
int __kipc_readonly_get(struct kipc_manager *m, uint64_t off, uint64_t id, struct kipc_handle **out);
int __kipc_readonly_open(struct kipc_manager *m, const char *name, const struct kipc_obj_type *type,
			 struct kipc_handle **out);

#endif
