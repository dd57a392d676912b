/* SPDX-License-Identifier: MIT */
/*
 * The head of every libkipc segment: what an attacher checks before it believes anything else.
 *
 * A segment is one memfd.  It holds, in this order:
 *
 *	offset 0			struct kipc_seg_header
 *	KIPC_SEG_PEERS_OFF		struct kipc_peer[npeers]: slot s stands at index s - 1
 *	header.body_off			the body; its first bytes are the kind's own header
 *
 * Everything is little-endian, naturally aligned and of fixed width, the same for 32- and 64-bit
 * programs and for x86-64 and arm64.  There are no pointers: places are 64-bit offsets from the
 * start of the segment.  header.magic is stored last, with release, when all the rest is in place.
 *
 * Whoever maps a segment shares it with writers that may be hostile: read a field once into a
 * local, check the local, use the local.
 */
#ifndef UAPI_KIPC_SEGMENT_H
#define UAPI_KIPC_SEGMENT_H

#include <stdint.h>

#define KIPC_SEG_MAGIC		0x314745534350494bULL	/* "KIPCSEG1" */
#define KIPC_SEG_ENDIAN		0x01020304u
#define KIPC_ABI_MAJOR		0	/* another major: another layout, refused */
#define KIPC_ABI_MINOR		2
#define KIPC_ABI_OLDEST		1	/* oldest minor that can read what this build writes */

#define KIPC_SEG_PEERS_OFF	512
#define KIPC_PEER_MAX		1023	/* slot numbers 1..1023 fit the 11 bits of every claim */
#define KIPC_NAME_MAX		63

/*
 * Slot s is alive while some open file description holds a write lock (fcntl(2), F_OFD_SETLK) on
 * the byte KIPC_PEER_LOCK_BASE + s of the memfd.  Nothing else is proof of life or of death.
 */
#define KIPC_PEER_LOCK_BASE	(1LL << 62)

/*
 * What stands in the header of a saved image of a segment, a plain file that `ipc-inspect dump
 * --save' wrote: what the bytes alone don't tell.  In a segment itself it is zero, and nobody looks.
 */
struct kipc_seg_image {
	uint64_t	magic;		/* KIPC_IMAGE_MAGIC */
	uint32_t	flags;		/* KIPC_IMAGE_F_* */
	uint32_t	seals;		/* F_SEAL_* of the memfd */
	uint64_t	saved_ns;	/* CLOCK_REALTIME */
	uint64_t	saved_boot_ns;	/* CLOCK_BOOTTIME: peers' start times are to be seen against it */
	uint64_t	resident;	/* bytes of memory that it took */
	uint32_t	mode, uid, gid;	/* of the memfd */
	uint32_t	reserved0;
	uint64_t	alive[16];	/* bit s % 64 of word s / 64: slot s was alive */
	uint64_t	reserved1[9];
};

#define KIPC_IMAGE_MAGIC	0x31474d494350494bULL	/* "KIPCIMG1" */
#define KIPC_IMAGE_F_MOVED	1u	/* copied while it changed: places may not fit each other */

enum kipc_seg_kind {
	KIPC_SEG_NONE		= 0,
	KIPC_SEG_QUEUE		= 1,
	KIPC_SEG_PIPE		= 2,
	KIPC_SEG_SHM		= 3,
	KIPC_SEG_ARRAY		= 4,
	KIPC_SEG_MANAGER	= 5,
};

struct kipc_seg_header {
	/* line 0: written once, before the magic */
	uint64_t	magic;
	uint32_t	endian;		/* KIPC_SEG_ENDIAN as the creator stores it */
	uint16_t	abi_major;
	uint16_t	abi_minor;
	uint16_t	abi_oldest;
	uint16_t	kind;		/* enum kipc_seg_kind */
	uint32_t	stamp;		/* layout stamp of the kind: sizes of all its structs, hashed */
	uint64_t	compat;		/* feature bits: unknown ones may be ignored, */
	uint64_t	ro_compat;	/* ... forbid writing, */
	uint64_t	incompat;	/* ... forbid opening */
	uint64_t	size;		/* bytes of the file when it was published */
	uint64_t	max_size;	/* bytes of address space to reserve; = size when it can't grow */

	/* line 1: written once */
	uint64_t	body_off;	/* multiple of 4096 */
	uint64_t	page_size;	/* bytes: 4096, 2 MiB or 1 GiB: what backs the memfd */
	uint32_t	npeers;		/* slots 1..npeers */
	uint32_t	flags;		/* KIPC_SEG_F_* */
	uint32_t	creator_pid;	/* in the creator's PID namespace; for display */
	uint32_t	creator_uid;
	uint64_t	created_ns;	/* CLOCK_REALTIME */
	uint64_t	reserved0[2];
	uint64_t	id;		/* random; names this segment in messages and tools */

	/* line 2: written once */
	char	name[64];	/* NUL-terminated, empty when anonymous */

	/* line 3: written by whoever sweeps, rarely */
	uint64_t	swept_ns;	/* CLOCK_MONOTONIC of the last sweep for dead slots */
	uint64_t	repairs;	/* slots of dead processes that were repaired */
	uint64_t	repaired_claims;	/* claims that those slots still held */
	uint32_t	peer_high;	/* no slot above this was ever used */
	uint32_t	reserved1;
	uint64_t	reserved2[4];

	/* lines 4..7: in saved images only */
	struct kipc_seg_image image;
};

#define KIPC_SEG_F_GROWS	1u	/* the file may grow up to max_size; never shrinks */
#define KIPC_SEG_F_THP		2u	/* pages of 4 KiB, wanted as transparent huge pages: a
					   mapping begins on a boundary of 2 MiB */

enum kipc_peer_state {
	KIPC_PEER_FREE	= 0,
	KIPC_PEER_LIVE	= 1,	/* in use, or its owner died and nobody repaired it yet */
};

#define KIPC_PEER_BELLS	4

/*
 * One attached process.  Written by the holder of the slot's lock byte alone.  One cache line.
 */
struct kipc_peer {
	uint32_t	state;		/* enum kipc_peer_state */
	uint32_t	generation;	/* times this slot was taken */
	uint32_t	pid;		/* display only, in the peer's own PID namespace */
	uint32_t	uid;
	uint64_t	start_time;	/* clock ticks since boot, /proc/PID/stat field 22; display only */
	uint32_t	sleeping[KIPC_PEER_BELLS];	/* its threads announced at each doorbell */
	char	comm[16];
	uint32_t	role;		/* the kind's own bits */
	uint32_t	reserved;
};

/*
 * A doorbell: the word beside an eventfd that is used as a level.  Alone on its cache line.
 *
 *	bits  0..15	sleepers: threads that announced that they (are about to) sleep; may be too
 *			high by those that died between two instructions, never too low
 *	bit  16		watched, sticky: somebody holds the eventfd to poll it outside the library
 *	bit  17		signalled: the eventfd is readable, no need to write it again
 *	bits 18..28	drainer: the slot that is reading the eventfd right now, or 0
 *	bits 29..63	sequence, moved by every drain
 */
struct kipc_bell_line {
	uint64_t	word;
	uint64_t	rings;		/* eventfd writes, for display */
	uint64_t	eventfd;	/* its eventfd-id in /proc/PID/fdinfo/FD, + 1; 0: unknown; for tools */
	uint64_t	reserved[5];
};

#define KIPC_BELL_SLEEPER	1ULL
#define KIPC_BELL_SLEEPERS	0xffffULL
#define KIPC_BELL_WATCHED	(1ULL << 16)
#define KIPC_BELL_SIGNALLED	(1ULL << 17)
#define KIPC_BELL_DRAINER_SHIFT	18
#define KIPC_BELL_DRAINER	(0x7ffULL << KIPC_BELL_DRAINER_SHIFT)
#define KIPC_BELL_SEQ		(1ULL << 29)

/*
 * A lock word (32 bits, a futex): the owner's slot, a bit for "somebody may wait", a bit for "the
 * last owner died holding it".
 */
#define KIPC_LOCK_OWNER		0x7ffu
#define KIPC_LOCK_DIED		(1u << 30)
#define KIPC_LOCK_WAITERS	(1u << 31)

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_seg_header) == KIPC_SEG_PEERS_OFF, "header size");
_Static_assert(sizeof(struct kipc_seg_image) == 256, "image");
_Static_assert(__builtin_offsetof(struct kipc_seg_header, image) == 256, "lines 4..7");
_Static_assert(sizeof(struct kipc_peer) == 64, "a peer is one cache line");
_Static_assert(sizeof(struct kipc_bell_line) == 64, "a doorbell is one cache line");
_Static_assert(__builtin_offsetof(struct kipc_seg_header, body_off) == 64, "line 1");
_Static_assert(__builtin_offsetof(struct kipc_seg_header, name) == 128, "line 2");
_Static_assert(__builtin_offsetof(struct kipc_seg_header, swept_ns) == 192, "line 3");
#endif

#endif
