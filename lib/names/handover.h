/* SPDX-License-Identifier: MIT */
/*
 * One message over a UNIX socket: a header with descriptors, sent and received whole.  The two
 * functions know nothing of objects; handover.c makes objects of what they bring.
 */
#ifndef KIPC_NAMES_HANDOVER_H
#define KIPC_NAMES_HANDOVER_H

#include <stdint.h>

#include "uapi/kipc/handover.h"

/* 0, or an error as kipc_send().  The descriptors stay the caller's. */
int __kipc_handover_send(int sock, const struct kipc_handover *msg, const int *fds, uint32_t nfds);

/*
 * 0, or an error as kipc_recv().  On success fds[0..*nfds) are the caller's to close; *nfds says how
 * many came, at most KIPC_HANDOVER_FDS_MAX, whatever the header claims.  On error all are closed.
 */
int __kipc_handover_recv(int sock, struct kipc_handover *msg, int *fds, uint32_t *nfds);

#endif
