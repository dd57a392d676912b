/* SPDX-License-Identifier: MIT */
/*
 * Shared memory, and what an array (array.h) has in common with it.
 *
 * The body of the segment is a page of description, or some more, and then the data:
 *
 *	body_off			struct kipc_shm_head, or struct kipc_array_head around it
 *	body_off + KIPC_SHM_READERS_OFF	struct kipc_shm_reader[npeers]: slot s stands at index s - 1
 *	data_off			the data, `size` bytes; the rest of the file is room
 *
 * Growing: the file gets longer (the header's max_size is room for it in every mapping), its new
 * part gets memory if that is to be, then `size` is stored.  What of it a death leaves undone is
 * done by the next one; the file may be longer than `size` says.
 *
 * The sequence lock is two words.  `lock` is a lock word (segment.h): the writer that is in.  `seq`:
 *
 *	bit  0		a write is going on; if `lock` has no owner (or a dead one), its writer died
 *			in the middle and the data are torn until somebody else has written
 *	bit  1		readers sleep on the lower 32 bits (a futex); may be set only beside bit 0
 *	bits 2..63	moved at the end of each write, and when a write begins over torn data
 *
 * A snapshot is whole if `seq`, without bit 1, was even before and the same afterwards.
 *
 * The reader-writer lock, which has nothing to do with that one, is the gate, a lock word for who
 * may change it, and a word of each slot: a reader adds 1 to its own, and is in if the gate is open
 * afterwards; a writer closes the gate, and is in when each slot's word was 0 afterwards.
 */
#ifndef UAPI_KIPC_SHM_H
#define UAPI_KIPC_SHM_H

#include <linux/types.h>

#define KIPC_SHM_READERS_OFF	512

/* Bytes from body_off to the data, at least, for so many slots; a page for 56 of them. */
#define KIPC_SHM_HEAD_SIZE(npeers)                                                                 \
	((KIPC_SHM_READERS_OFF + (npeers) * sizeof(struct kipc_shm_reader) + 4095) & ~4095ULL)

#define KIPC_SHM_SEQ_WRITING	1ULL
#define KIPC_SHM_SEQ_SLEEPERS	2ULL
#define KIPC_SHM_SEQ_STEP	4ULL

/* The gate: the slot of the writer that closed it (KIPC_LOCK_OWNER), and */
#define KIPC_SHM_GATE_IN	(1u << 29)	/* ... which is in; else it waits for readers */
#define KIPC_SHM_GATE_TORN	(1u << 30)	/* a writer died in, nobody has written since */
#define KIPC_SHM_GATE_SLEEPERS	(1u << 31)	/* readers sleep on it (a futex) */

#define KIPC_SHM_HEAD_F_POPULATE	1u	/* all of the data has memory, what is grown as well */

struct kipc_shm_head {
	/* line 0: written by the creator, and the first two words by the holder of grow_lock */
	__u64	size;		/* bytes of data; only ever grows */
	__u64	grown;		/* times that it grew; for display */
	__u64	data_off;	/* from the start of the segment; multiple of 4096 */
	__u64	max_size;	/* bytes that it may grow to; = size when it can't */
	__u64	numa_nodes;	/* bit n: node n */
	__u32	numa;		/* enum kipc_numa: the policy by which pages are taken */
	__u32	flags;		/* KIPC_SHM_HEAD_F_* */
	__u64	reserved0[2];

	/* line 1: written by the writer that holds the lock, and by readers about to sleep */
	__u64	seq;
	__u64	reserved1[7];

	/* line 2: written by writers, by who resizes, and by whoever repairs a dead one */
	__u32	lock;
	__u32	grow_lock;	/* a lock word: who resizes */
	__u64	healed;		/* writes that began over torn data; by the holder of the lock */
	__u32	rw_lock;	/* a lock word: the writer of the reader-writer lock */
	__u32	reserved2;
	__u64	rw_healed;	/* the same of that lock, by its writer */
	__u64	reserved3[4];

	/* line 3: written by the holder of rw_lock, and by readers about to sleep */
	__u32	gate;
	__u32	reserved4;
	__u64	reserved5[7];
};

/* Written by that slot's process, or who repairs it. One cache line. */
struct kipc_shm_reader {
	__u32	held;		/* threads that have the reader-writer lock shared, or wait for it */
	__u32	reserved[15];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_shm_head) == 256, "head size");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, numa) == 40, "line 0");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, seq) == 64, "line 1");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, lock) == 128, "line 2");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, healed) == 136, "line 2");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, rw_lock) == 144, "line 2");
_Static_assert(__builtin_offsetof(struct kipc_shm_head, gate) == 192, "line 3");
_Static_assert(sizeof(struct kipc_shm_reader) == 64, "a reader is one cache line");
#endif

#endif
