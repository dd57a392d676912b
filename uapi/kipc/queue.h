/* SPDX-License-Identifier: MIT */
/*
 * The body of a queue's segment: a ring of claimed cells.
 *
 *	body_off		struct kipc_queue_shared
 *	body_off + cells_off	capacity cells of cell_size bytes: struct kipc_cell, then inline room
 *	body_off + payload_off	capacity areas of payload_stride bytes, for longer messages
 *
 * A position is (lap, index): it is stored as lap << index_bits | index, where index_bits is the
 * smallest number with capacity <= 1 << index_bits.  After index capacity - 1 comes index 0 of the
 * next lap.  Laps wrap; only differences count.
 *
 * A cell's state word says for which lap it is what:
 *
 *	bits  0..10	slot of the process that holds it (WRITING, READING), else 0
 *	bits 11..13	phase, enum kipc_cell_phase
 *	bits 14..63	lap
 */
#ifndef UAPI_KIPC_QUEUE_H
#define UAPI_KIPC_QUEUE_H

#include "uapi/kipc/segment.h"

#define KIPC_QUEUE_CAPACITY_MAX	(1u << 24)
#define KIPC_QUEUE_MSG_MAX	(1ULL << 32)

enum kipc_cell_phase {
	KIPC_CELL_FREE		= 0,	/* of lap n: position (n, index) has not been claimed */
	KIPC_CELL_WRITING	= 1,
	KIPC_CELL_READY		= 2,
	KIPC_CELL_READING	= 3,
	KIPC_CELL_RETURNED	= 4,	/* was READING; to be delivered again */
};

#define KIPC_CELL_SLOT		0x7ffULL
#define KIPC_CELL_PHASE_SHIFT	11
#define KIPC_CELL_PHASE		(7ULL << KIPC_CELL_PHASE_SHIFT)
#define KIPC_CELL_LAP_SHIFT	14
#define KIPC_CELL_LAP_BITS	50

struct kipc_cell {
	uint64_t	state;
	uint64_t	len;	/* bytes; written by the holder of WRITING */
	uint8_t		data[];	/* messages that fit; aligned to 16 */
};

enum kipc_queue_bell {
	KIPC_QUEUE_BELL_READABLE	= 0,	/* consumers sleep here */
	KIPC_QUEUE_BELL_WRITABLE	= 1,	/* producers sleep here */
	KIPC_QUEUE_BELL_JOIN		= 2,	/* those in join; they sleep on join_seq */
	KIPC_QUEUE_BELLS
};

struct kipc_queue_shared {
	/* line 0: producers.  A hint: the first position that may be unclaimed; never too high. */
	uint64_t	tail;
	uint64_t	pad0[7];

	/* line 1: consumers.  A hint: the first position that may be untaken; never too high. */
	uint64_t	head;
	uint64_t	pad1[7];

	/* lines 2..4: sleepers and ringers */
	struct kipc_bell_line bells[KIPC_QUEUE_BELLS];

	/* line 5: rarely written, read by everybody */
	uint32_t	shutdown;	/* sticky */
	uint32_t	join_seq;	/* futex of those in join */
	uint32_t	join_index;	/* cell that the last one of them waits for */
	uint32_t	reserved5;
	uint64_t	returned;	/* moved after a cell became RETURNED */
	uint64_t	scanned;	/* what `returned` was when a scan found none left */
	uint64_t	pad5[4];

	/* line 6: rarely written */
	uint64_t	dropped;	/* by overflow */
	uint64_t	skipped;	/* claims of dead or aborting writers */
	uint64_t	redelivered;	/* taken from RETURNED */
	uint64_t	pad6[5];

	/* line 7: written once, before the segment is published */
	uint32_t	capacity;
	uint32_t	cell_size;	/* bytes, a multiple of 64 */
	uint64_t	msg_size;	/* bytes of the largest message */
	uint64_t	cells_off;	/* from the start of the segment, like */
	uint64_t	payload_off;	/* ... this; 0 when all messages are inline */
	uint64_t	payload_stride;	/* bytes, a multiple of 64 */
	uint32_t	overflow;	/* enum kipc_overflow */
	uint32_t	reserved7[5];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_cell) == 16, "a cell's head");
_Static_assert(sizeof(struct kipc_queue_shared) == 8 * 64, "eight lines");
_Static_assert(__builtin_offsetof(struct kipc_queue_shared, head) == 64, "line 1");
_Static_assert(__builtin_offsetof(struct kipc_queue_shared, bells) == 128, "line 2");
_Static_assert(__builtin_offsetof(struct kipc_queue_shared, shutdown) == 320, "line 5");
_Static_assert(__builtin_offsetof(struct kipc_queue_shared, dropped) == 384, "line 6");
_Static_assert(__builtin_offsetof(struct kipc_queue_shared, capacity) == 448, "line 7");
#endif

#endif
