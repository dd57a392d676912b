/* SPDX-License-Identifier: MIT */
/*
 * What a pipe keeps in shared memory.
 *
 * The body of the segment (struct kipc_seg_header.body_off) begins with struct kipc_pipe_header; the
 * byte rings stand at the page-aligned offsets that it names.  Way 0 carries what end 0 sends, way 1
 * what end 1 sends; a simplex pipe has way 1 only.
 *
 * Positions are free-running 64-bit byte counts, multiples of 8, that wrap; a place in the ring is
 * position % ring_size.  Every process maps each ring twice in a row, so what crosses the end of the
 * ring is contiguous for it.
 *
 * A record is a 64-bit word (the length in bits 0..47, zero above) and the bytes, padded to 8.  A
 * record of no more than ring_size bytes is published whole, by one store of head.  A longer one
 * streams: its word is published first, then its bytes, piece by piece, in multiples of 8.
 */
#ifndef UAPI_KIPC_PIPE_H
#define UAPI_KIPC_PIPE_H

#include <stdint.h>

#include "uapi/kipc/segment.h"

#define KIPC_PIPE_WAYS		2
#define KIPC_PIPE_RECORD	8		/* bytes of a record before its data */
#define KIPC_PIPE_LEN_BITS	48
#define KIPC_PIPE_LEN_MAX	((1ULL << KIPC_PIPE_LEN_BITS) - 1)
#define KIPC_PIPE_RING_MAX	(1ULL << 30)

/* Positions leave their low bits free: */
#define KIPC_PIPE_SHUT		1ULL	/* in head: this end sends no more */
#define KIPC_PIPE_VALID		1ULL	/* in cut, stream_end, msg_end: the word holds a position */
#define KIPC_PIPE_BITS		7ULL

/* kipc_pipe_header.flags */
#define KIPC_PIPE_F_SIMPLEX	1u
#define KIPC_PIPE_F_EXCLUSIVE	2u

struct kipc_pipe_way {
	/* written by the sender, read by the receiver */
	uint64_t	head;		/* all before it is published; | KIPC_PIPE_SHUT */
	uint64_t	cut;		/* where the last abandoned stream ends and the next record begins */
	uint64_t	want;		/* free bytes that the sleeping sender waits for */
	uint64_t	reserved0[13];

	/* written by the receiver, read by the sender */
	uint64_t	tail;		/* all before it is free again */
	uint64_t	reserved1[15];

	/* written and read by the processes of the sending end */
	uint32_t	send_lock;	/* a lock word (uapi/kipc/segment.h) */
	uint32_t	reserved2;
	uint64_t	tail_seen;	/* the last tail that they looked at */
	uint64_t	stream_end;	/* where the stream that the lock's owner is sending will end */
	uint64_t	sent;		/* messages; for display */
	uint64_t	cuts;		/* streams abandoned; for display */
	uint64_t	reserved3[11];

	/* written and read by the processes of the receiving end */
	uint32_t	recv_lock;	/* a lock word */
	uint32_t	reserved4;
	uint64_t	head_seen;	/* the last head that they looked at */
	uint64_t	msg_end;	/* where the stream that is being received will end */
	uint64_t	received;	/* messages; for display */
	uint64_t	reserved5[12];

	/* written by those who sleep and by those who wake them */
	struct kipc_bell_line readable;
	struct kipc_bell_line writable;
};

struct kipc_pipe_header {
	/* written once, by the creator */
	uint64_t	ring_size;	/* bytes, a power of two */
	uint64_t	ring_off[KIPC_PIPE_WAYS];	/* from the start of the segment; 0: no such way */
	uint32_t	flags;		/* KIPC_PIPE_F_* */
	uint32_t	reserved0;
	uint64_t	reserved1[12];

	/* written by whoever closes a handle, rarely */
	uint32_t	closes[2];	/* handles of either end closed so far: ask the socket anew */
	uint64_t	reserved2[15];

	struct kipc_pipe_way way[KIPC_PIPE_WAYS];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_pipe_way) == 640, "way size");
_Static_assert(__builtin_offsetof(struct kipc_pipe_way, tail) == 128, "receiver's lines");
_Static_assert(__builtin_offsetof(struct kipc_pipe_way, send_lock) == 256, "senders' lines");
_Static_assert(__builtin_offsetof(struct kipc_pipe_way, recv_lock) == 384, "receivers' lines");
_Static_assert(__builtin_offsetof(struct kipc_pipe_way, readable) == 512, "doorbells");
_Static_assert(__builtin_offsetof(struct kipc_pipe_header, closes) == 128, "closes");
_Static_assert(__builtin_offsetof(struct kipc_pipe_header, way) == 256, "ways");
_Static_assert(sizeof(struct kipc_pipe_header) == 1536, "header size");
#endif

#endif
