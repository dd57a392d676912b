/* SPDX-License-Identifier: MIT */
/*
 * What the kinds call for objects that have a name; lib/names/ does it, by way of the broker
 * (kipcd).
 *
 * The memory of it.  An object that this process created or opened by name stands in a list until
 * it is closed (obj->named), so that it can be offered to a broker that has lost it: brokers may be
 * killed, and the next one asks (uapi/kipc/broker.h).
 *
 * Beside what: all of it may be called by any thread.  Fork: the list is whole in a child, whose
 * handles are its own.  Not async-signal-safe.
 */
#ifndef KIPC_CORE_NAMES_H
#define KIPC_CORE_NAMES_H

#include "core/object.h"

/* Flags that creating and opening functions of every kind know, if there is a name. */
#define KIPC_NAME_CREATE_FLAGS	(KIPC_NAME_TIED | KIPC_NAME_EXISTING)
#define KIPC_NAME_OPEN_FLAGS	KIPC_NAME_RDONLY

/*
 * Makes the object with this name (or NULL: none) in its header, published as a segment, unknown to the
 * broker.
 */
typedef int (*kipc_name_make)(const char *name, const void *how, struct kipc_object **obj);

/*
 * Makes an object and gives it the name, or with KIPC_NAME_EXISTING opens the one that has it.  Without
 * a name (NULL) it makes one, and no more.  name has been checked.  flags: KIPC_NAME_CREATE_FLAGS count, others are ignored.  0; -EEXIST;
 * what make() and __kipc_name_open() say; else the errors in kipc/names.h.
 */
int __kipc_name_create(const char *name, uint32_t flags, const struct kipc_object_ops *ops,
		       kipc_name_make make, const void *how, struct kipc_object **obj);

/* Opens the object of the kind that has the name; checks the name.  flags: KIPC_NAME_OPEN_FLAGS. */
int __kipc_name_open(const char *name, uint32_t flags, const struct kipc_object_ops *ops,
		     struct kipc_object **obj);

/* Takes the name away; checks it. */
int __kipc_name_unlink(const char *name, uint32_t kind);

void __kipc_name_forget_slow(struct kipc_object *obj);

/* For every kind's close, before anything of the object is closed. */
static inline void __kipc_name_forget(struct kipc_object *obj)
{
	if (unlikely(obj->named))
		__kipc_name_forget_slow(obj);
}

#endif
