// SPDX-License-Identifier: MIT
/* What there is: see kipc/names.h. */
#include <errno.h>
#include <string.h>

#include "core/names.h"
#include "core/opts.h"
#include "kipc/names.h"
#include "names/client.h"

_Static_assert(sizeof(((struct kipc_name *)0)->name) == KIPC_BROKER_NAME, "name");

/* What the broker says of a name, checked as far as a reader would stumble. */
static int read_entry(const struct kipc_broker_entry *e, struct kipc_name *n)
{
	*n = (struct kipc_name){
		.sz = sizeof(*n),
		.kind = e->kind,
		.flags = e->flags & KIPC_BROKER_TIED ? KIPC_NAME_TIED : 0,
		.uid = e->uid,
		.gid = e->gid,
		.mode = e->mode & 0777,
		.lost = e->flags & KIPC_BROKER_LOST ? 1 : 0,
		.size = e->size,
		.created_ns = e->created_ns,
		.id = e->id,
	};
	memcpy(n->name, e->name, sizeof(n->name));
	n->name[sizeof(n->name) - 1] = '\0';
	return __kipc_name_check(n->name) == 1 ? 0 : -EPROTO;
}

KIPC_API int kipc_names_foreach(int (*fn)(const struct kipc_name *name, void *arg), void *arg)
{
	struct kipc_broker_call c;
	struct kipc_name n;
	uint64_t cursor = 0, before;
	int r;

	if (!fn)
		return -EINVAL;
	do {
		__kipc_broker_prepare(&c, KIPC_BROKER_LIST, 0, NULL);
		c.req.cursor = before = cursor;
		r = __kipc_broker_call(&c, NULL);
		if (r)
			return r;
		for (uint32_t i = 0; i < c.reply.head.count; i++) {
			r = read_entry(&c.reply.entry[i], &n);
			if (!r)
				r = fn(&n, arg);
			if (r)
				return r;
		}
		cursor = c.reply.head.cursor;
	} while (cursor > before);	/* it only goes up, whoever says so */
	return cursor ? -EPROTO : 0;
}

KIPC_API int kipc_name_unlink(enum kipc_kind kind, const char *name)
{
	/* a listener's name goes with the listener */
	if ((unsigned int)kind < KIPC_KIND_QUEUE || (unsigned int)kind > KIPC_KIND_MANAGER ||
	    kind == KIPC_KIND_PIPE)
		return -EINVAL;
	return __kipc_name_unlink(name, kind);
}
