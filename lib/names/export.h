/* SPDX-License-Identifier: MIT */
/* What the two ways of exporting share: by descriptors (export.c), over exec (exec.c). */
#ifndef KIPC_NAMES_EXPORT_H
#define KIPC_NAMES_EXPORT_H

#include <stdint.h>

#include "uapi/kipc/handover.h"

struct kipc_object;

/*
 * Describes the object by duplicates of its descriptors, made by fcntl(2)'s cmd, F_DUPFD or
 * F_DUPFD_CLOEXEC, with numbers of `from` or more: fds[0..msg->nfds), the caller's.  0, or an error
 * as kipc_export(); then there are none.
 */
int __kipc_export(struct kipc_object *obj, int cmd, int from, struct kipc_handover *msg, int *fds);

/* kipc_import() of a header that we have made or read ourselves. */
int __kipc_import(const struct kipc_handover *msg, const int *fds, uint32_t nfds,
		  struct kipc_object **obj);

#endif
