// SPDX-License-Identifier: MIT
/* See readonly.h. */
#include <errno.h>
#include <poll.h>

#include "core/sys.h"
#include "core/time.h"
#include "manager/handle.h"
#include "manager/readonly.h"
#include "manager/registry.h"

#define NAP_NS	(100 * NSEC_PER_USEC)

int __kipc_readonly_nap(int64_t *deadline)
{
	struct timespec ts = __kipc_timespec(NAP_NS);
	int64_t now = __kipc_now_ns();

	if (!*deadline)
		*deadline = now + KIPC_READONLY_NS;
	else if (now >= *deadline)
		return -ETIMEDOUT;
	SYS(ppoll(NULL, 0, &ts, NULL));
	return 0;
}

int __kipc_readonly_get(struct kipc_manager *m, uint64_t off, uint64_t id, struct kipc_handle **out)
{
	struct kipc_obj_header *o = __kipc_object_at(m, off);
	int r;

	/* the registry tells an object from a block that happens to look like one */
	if (!o || !__kipc_reg_holds(m, off, o))
		return -ENOENT;
	r = __kipc_handle_new(m, off, 0, out);
	if (r)
		return r;
	if (!(((*out)->id ^ id) & KIPC_SLOT_ID_MASK) && __kipc_handle_alive(*out))
		return 0;
	__kipc_handle_close(*out);
	return -ENOENT;
}

/*
 * What moves whenever the directory does: an object that gets a name has an id of its own, a name
 * that goes counts.
 */
struct mark {
	uint64_t next_id, names;
};

static struct mark mark(const struct kipc_manager *m)
{
	struct mark k;

	fence_acquire();
	k.next_id = load_relaxed(&m->hdr->next_id);
	k.names = load_relaxed(&m->hdr->names);
	fence_acquire();
	return k;
}

/* One look.  *stands: the directory was the same before and after it, so the answer counts. */
static int look(struct kipc_manager *m, const char *name, const struct kipc_obj_type *type,
		struct kipc_handle **out, bool *stands)
{
	struct mark before = mark(m), after;
	struct kipc_obj_header *o = NULL;
	struct kipc_dir_entry *e;
	uint64_t off, owner;
	int r;

	r = __kipc_dir_find(m, name, &e, &owner);
	if (!r) {
		off = load_relaxed(&e->obj);
		o = __kipc_object_at(m, off);
		r = o ? __kipc_readonly_get(m, off, load_relaxed(&o->id), out) : -EPROTO;
	}
	if (!r && (*out)->type != type)
		r = -EINVAL;
	after = mark(m);
	*stands = before.next_id == after.next_id && before.names == after.names;
	if (o && (r == -EINVAL || (!r && !*stands)))
		__kipc_handle_close(*out);
	/* named, and yet not there: between two steps */
	if (o && r == -ENOENT)
		*stands = false;
	return r;
}

int __kipc_readonly_open(struct kipc_manager *m, const char *name, const struct kipc_obj_type *type,
			 struct kipc_handle **out)
{
	int64_t deadline = 0;
	bool stands;
	int r;

	for (;;) {
		r = look(m, name, type, out, &stands);
		if (stands && r != -EPROTO)
			return r;
		if (__kipc_readonly_nap(&deadline))
			return stands ? r : -ETIMEDOUT;
	}
}
