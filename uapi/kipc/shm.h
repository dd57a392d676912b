/* SPDX-License-Identifier: MIT */
/*
 * Shared memory, and what an array (array.h) has in common with it.
 *
 * The body of the segment is one page of description and then the data:
 *
 *	body_off			struct kipc_shm_head, or struct kipc_array_head around it
 *	body_off + 4096 = data_off	the data, `size` bytes; the rest of the file is padding
 *
 * The sequence lock is two words.  `lock` is a lock word (segment.h): the writer that is in.  `seq`:
 *
 *	bit  0		a write is going on; if `lock` has no owner (or a dead one), its writer died
 *			in the middle and the data are torn until somebody else has written
 *	bit  1		readers sleep on the lower 32 bits (a futex); may be set only beside bit 0
 *	bits 2..63	moved at the end of each write, and when a write begins over torn data
 *
 * A snapshot is whole if `seq`, without bit 1, was even before and the same afterwards.
 */
#ifndef UAPI_KIPC_SHM_H
#define UAPI_KIPC_SHM_H

#include <linux/types.h>

#define KIPC_SHM_HEAD_SIZE	4096

#define KIPC_SHM_SEQ_WRITING	1ULL
#define KIPC_SHM_SEQ_SLEEPERS	2ULL
#define KIPC_SHM_SEQ_STEP	4ULL

struct kipc_shm_head {
	/* line 0: written once, by the creator */
	__u64	data_off;	/* from the start of the segment; multiple of 4096 */
	__u64	size;		/* bytes of data, as asked for */
	__u64	numa_nodes;	/* bit n: node n */
	__u32	numa;		/* enum kipc_numa: the policy by which pages are taken */
	__u32	reserved;
	__u64	reserved0[4];

	/* line 1: written by the writer that holds the lock, and by readers about to sleep */
	__u64	seq;
	__u64	reserved1[7];

	/* line 2: written by writers, and by whoever repairs a dead one */
	__u32	lock;
	__u32	reserved2;
	__u64	healed;		/* writes that began over torn data; by the holder of the lock */
	__u64	reserved3[6];

	__u64	reserved4[8];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_shm_head) == 256, "head size");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, numa) == 24, "line 0");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, seq) == 64, "line 1");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, lock) == 128, "line 2");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, healed) == 136, "line 2");
#endif

#endif
