/* SPDX-License-Identifier: MIT */
/*
 * A shared list, as it lies in the arena of a manager (uapi/kipc/manager.h).
 *
 *	struct kipc_list_shared		the object; its guard's data[] are KIPC_LIST_*
 *	data[DIR] owns a directory	struct kipc_list_dir, then nchunks words
 *	each word owns a chunk		KIPC_LIST_CHUNK slots; 0: not there yet
 *
 * The element i is the slot i % KIPC_LIST_CHUNK of the chunk i / KIPC_LIST_CHUNK.  Slots below
 * `len` are the list.  Slots from `len` to `fill` own what they hold but are no elements: they are
 * being filled or emptied.  Slots behind both mean nothing, whatever stands in them.
 *
 * Everything is written by the holder of the guard.
 */
#ifndef UAPI_KIPC_LIST_H
#define UAPI_KIPC_LIST_H

#include "uapi/kipc/manager.h"

#define KIPC_LIST_CHUNK_SHIFT	8
#define KIPC_LIST_CHUNK		(1u << KIPC_LIST_CHUNK_SHIFT)	/* slots; 4 KiB */
#define KIPC_LIST_LEN_MAX	(1ULL << 40)
#define KIPC_LIST_DIR_MIN	6	/* words in the first directory */

/* Indices of kipc_guard.data in a list. */
enum kipc_list_word {
	KIPC_LIST_DIR	= 0,	/* owns the directory; 0 while the list never had an element */
	KIPC_LIST_LEN	= 1,	/* elements; the commit of append, extend, pop of the last, clear */
	KIPC_LIST_FILL	= 2,	/* more than len while slots are filled or emptied, else 0 */
	KIPC_LIST_OP	= 3,	/* KIPC_LIST_OP_*; the commit of insert and of pop in the middle */
};

/*
 * An insert or a removal under way: bits 56..63 what, bits 0..55 the index where.  What follows is
 * redone from `progress` on by whoever inherits the guard.
 */
#define KIPC_LIST_OP_NONE	0ULL
#define KIPC_LIST_OP_INSERT	1ULL	/* `held` goes to index, the rest moves up */
#define KIPC_LIST_OP_REMOVE	2ULL	/* `held`, from index, goes to the end */
#define KIPC_LIST_OP(what, index)	((__u64)(what) << 56 | (index))
#define KIPC_LIST_OP_WHAT(op)		((op) >> 56)
#define KIPC_LIST_OP_INDEX(op)		((op) & 0xffffffffffffffULL)

struct kipc_list_shared {
	struct kipc_obj_header head;

	/* line 2: meaningful while data[OP] is not NONE */
	struct kipc_slot held;
	__u64	progress;	/* INSERT: slots above are final; REMOVE: slots below are */
	__u64	last;		/* index of the last slot that takes part */
	__u64	reserved[4];
};

struct kipc_list_dir {
	__u64	nchunks;	/* words that follow; written before the directory is linked */
	__u64	cursor;		/* how far its release has come; hint */
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_list_shared) == 192, "list");
_Static_assert(__builtin_offsetof(struct kipc_list_shared, held) == 128, "line 2");
_Static_assert(sizeof(struct kipc_list_dir) == 16, "list directory");
#endif

#endif
