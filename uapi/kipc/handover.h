/* SPDX-License-Identifier: MIT */
/*
 * Handing an object over a UNIX socket: one message, this header with SCM_RIGHTS.
 *
 * The descriptors come in the kind's own order; the first is always the segment's memfd.  Nothing of
 * the message is believed: the receiver checks each field here, that as many descriptors came as the
 * kind has, and then each of them (segment.h).
 */
#ifndef UAPI_KIPC_HANDOVER_H
#define UAPI_KIPC_HANDOVER_H

#include <linux/types.h>

#define KIPC_HANDOVER_MAGIC	0x444e45534350494bULL	/* "KIPCSEND" */
#define KIPC_HANDOVER_VERSION	1
#define KIPC_HANDOVER_FDS_MAX	8
#define KIPC_HANDOVER_ARGS	4

struct kipc_handover {
	__u64	magic;
	__u16	version;
	__u16	kind;		/* enum kipc_seg_kind */
	__u32	nfds;		/* exactly the kind's number */
	__u64	args[KIPC_HANDOVER_ARGS];	/* the kind's own; 0 where it has none */
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_handover) == 48, "header size");
_Static_assert(__builtin_offsetof(struct kipc_handover, args) == 16, "args");
#endif

#endif
