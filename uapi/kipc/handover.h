/* SPDX-License-Identifier: MIT */
/*
 * Handing an object over: this header and descriptors.
 *
 * The descriptors come in the kind's own order; the first is always the segment's memfd.  Nothing
 * of it is believed: the receiver checks each field here, that as many descriptors came as the
 * kind has, and then each of them (segment.h).
 *
 * Over a UNIX socket they are one message: the header with SCM_RIGHTS.
 *
 * Over exec they are text, in an environment variable that has any number of objects, each under a
 * key of its own:
 *
 *	value	= "1" *( " " entry )			the version; no other spaces
 *	entry	= key "=" kind *( "," arg ) ":" inode ":" fd *( "," fd )
 *	key	= 1 to 63 of A-Z a-z 0-9 . _ -
 *
 *	KIPC_FDS=1 jobs=1:4711:10,11,12 answers=2,1:4712:13,14,15,16,17,18
 *
 * Numbers are decimal, without sign or leading zeros.  Arguments left out are 0.  inode is that of
 * the memfd, as fstat(2) says: by it a program knows that the descriptors are those that were
 * meant, and not some that took their numbers since.  The descriptors are inherited: without
 * FD_CLOEXEC, and KIPC_FDS_MIN or above.
 */
#ifndef UAPI_KIPC_HANDOVER_H
#define UAPI_KIPC_HANDOVER_H

#include <linux/types.h>

#define KIPC_HANDOVER_MAGIC	0x444e45534350494bULL	/* "KIPCSEND" */
#define KIPC_HANDOVER_VERSION	1
#define KIPC_HANDOVER_FDS_MAX	8
#define KIPC_HANDOVER_ARGS	4

#define KIPC_FDS_ENV		"KIPC_FDS"
#define KIPC_FDS_VERSION	1
#define KIPC_FDS_MIN		3	/* never standard input, output or error */

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
