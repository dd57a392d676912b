/* SPDX-License-Identifier: MIT */
/*
 * An object on its way: a header with descriptors.  pack and unpack (handover.c) make one of an
 * object and an object of one; send and receive (message.c) move it over a UNIX socket, whole, and
 * know nothing of objects.
 */
#ifndef KIPC_NAMES_HANDOVER_H
#define KIPC_NAMES_HANDOVER_H

#include <stdint.h>

#include "uapi/kipc/handover.h"

struct kipc_object;

/* Fills the header and fds[0..msg->nfds), which stay the object's.  0 or as __kipc_peer_enter(). */
int __kipc_handover_pack(struct kipc_object *obj, struct kipc_handover *msg, int *fds);

/*
 * Checks all that came, and attaches.  On success the descriptors are the handle's; on error they
 * are still the caller's.  Errors as kipc_recv().
 */
int __kipc_handover_unpack(const struct kipc_handover *msg, const int *fds, uint32_t nfds,
			   struct kipc_object **obj);

/* 0, or an error as kipc_send().  The descriptors stay the caller's. */
int __kipc_handover_send(int sock, const struct kipc_handover *msg, const int *fds, uint32_t nfds);

/*
 * 0, or an error as kipc_recv().  On success fds[0..*nfds) are the caller's to close; *nfds says how
 * many came, at most KIPC_HANDOVER_FDS_MAX, whatever the header claims.  On error all are closed.
 */
int __kipc_handover_recv(int sock, struct kipc_handover *msg, int *fds, uint32_t *nfds);

#endif
