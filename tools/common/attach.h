/* SPDX-License-Identifier: MIT */
/*
 * Attaching to an object of another process, to change it: what a tool does only when told to.
 *
 * The descriptors are had from the broker, if the object has a name, else from those who hold it, and go
 * through kipc_import() like any that a stranger hands over.  A queue's doorbells are found by the number
 * that its creator noted down (uapi/kipc/segment.h).  The ends of a pipe can't be had so.
 */
#ifndef TOOLS_COMMON_ATTACH_H
#define TOOLS_COMMON_ATTACH_H

#include <kipc/object.h>

#include "tools/common/holders.h"
#include "tools/common/segment-view.h"

/*
 * Attaches this process; *obj is to be closed.  v: the object, good.  0; -EOPNOTSUPP: a pipe, or a
 * queue whose doorbells are not known; -ENOENT: nobody has them any more; -EPERM, -EACCES: we may
 * not; what kipc_import() says.
 */
int attach(const struct view *v, const struct object *object, struct kipc_object **obj);

#endif
