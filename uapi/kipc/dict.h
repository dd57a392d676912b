/* SPDX-License-Identifier: MIT */
/*
 * A shared dict, as it lies in the arena of a manager (uapi/kipc/manager.h).
 *
 *	struct kipc_dict_shared		the object: guards[i] and stripes[i] are the stripe i
 *	stripe -> buckets -> entries	each key and value in one block, its entry
 *
 * The hash of a key is SipHash-1-3 under the dict's own key, of the bytes of a str or bytes or the
 * 8 bytes of an int, with the type (enum kipc_slot_type) xor'ed into the hash key's first word.
 * Its top bits choose the stripe, bits 40..55 are the tag, the low ones choose the bucket by linear
 * hashing:
 *
 *	n = buckets of the stripe, p = the largest power of two <= n
 *	b = hash mod 2p; if b >= n: b -= p
 *
 * Bucket 0 stands in the stripe; segs[k] owns an array of the buckets 2^k .. 2^(k+1) - 1.  Buckets
 * from n on are empty or were never written, if they are there at all.  A bucket that is full
 * continues in others, each owned by the word `next` of the one before.
 *
 * A cell is tag << 48 | offset of the entry, or 0: it owns the entry.
 *
 * Everything is written by the holder of the stripe's guard; guards[i].seq is not used.
 */
#ifndef UAPI_KIPC_DICT_H
#define UAPI_KIPC_DICT_H

#include "uapi/kipc/manager.h"

#define KIPC_DICT_STRIPES	16
#define KIPC_DICT_STRIPE_SHIFT	60
#define KIPC_DICT_SEGS		22
#define KIPC_DICT_CELLS		6
#define KIPC_DICT_TAG_SHIFT	40
#define KIPC_DICT_CELL_SHIFT	48
#define KIPC_DICT_CELL_OFF	((1ULL << KIPC_DICT_CELL_SHIFT) - 1)
#define KIPC_DICT_CHAIN_MAX	4096	/* buckets that continue one another, at most */

/* Indices of kipc_guard.data in a stripe. */
enum kipc_dict_word {
	KIPC_DICT_NEW	= 0,	/* owns an entry being made, until a cell has it */
	KIPC_DICT_OLD	= 1,	/* owns an entry being freed, once no cell has it */
	KIPC_DICT_REF	= 2,	/* refers to the object that the new entry will refer to */
	KIPC_DICT_COUNT	= 3,	/* keys; counted anew after a death */
	KIPC_DICT_READY	= 4,	/* buckets from here on (0 means 1) were never written */
};

struct kipc_dict_bucket {
	__u64	version;	/* of the first in a chain: moved whenever a cell of the chain lost
				   an entry, before the entry's memory is used for anything else */
	__u64	next;		/* owns the continuation */
	__u64	cells[KIPC_DICT_CELLS];
};

/* What readers need to find a bucket; seldom written. */
struct kipc_dict_stripe {
	__u64	shape;		/* number of buckets; KIPC_DICT_DRAIN: it counts as empty */
	__u64	gen;		/* moved before memory of buckets is freed */
	__u64	segs[KIPC_DICT_SEGS];	/* own arrays of buckets */
	struct kipc_dict_bucket first;
};

#define KIPC_DICT_DRAIN	(1ULL << 63)	/* clear() has happened, and is freeing */

struct kipc_dict_shared {
	struct kipc_obj_header head;	/* its guard is not used */
	/* line 2: written once */
	__u64	hash_key[2];
	__u64	nstripes;		/* KIPC_DICT_STRIPES */
	__u64	reserved[5];
	/* a line each: the holder of its lock */
	struct kipc_guard guards[KIPC_DICT_STRIPES];
	struct kipc_dict_stripe stripes[KIPC_DICT_STRIPES];
};

/*
 * An entry: key_len bytes of key from `data` on, then, for a str or bytes, the value's.
 *
 *	meta	bits 0..2 enum kipc_slot_type of the key, 3..5 of the value, 6..31 key_len,
 *		32..63 length of the value's bytes
 */
struct kipc_dict_entry {
	__u64	hash;
	__u64	meta;
	__u64	payload;	/* int, bool, double: the value; ref: refers to the object */
	__u8	data[];
};

#define KIPC_DICT_META(ktype, klen, vtype, vlen) \
	((__u64)(ktype) | (__u64)(vtype) << 3 | (__u64)(klen) << 6 | (__u64)(vlen) << 32)
#define KIPC_DICT_META_KTYPE(meta)	((__u32)(meta) & 7)
#define KIPC_DICT_META_VTYPE(meta)	((__u32)(meta) >> 3 & 7)
#define KIPC_DICT_META_KLEN(meta)	((__u32)(meta) >> 6)
#define KIPC_DICT_META_VLEN(meta)	((__u32)((meta) >> 32))

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_dict_bucket) == 64, "a bucket is one cache line");
_Static_assert(sizeof(struct kipc_dict_stripe) == 256, "stripe");
_Static_assert(__builtin_offsetof(struct kipc_dict_stripe, first) == 192, "bucket 0");
_Static_assert(__builtin_offsetof(struct kipc_dict_shared, guards) == 192, "guards");
_Static_assert(sizeof(struct kipc_dict_shared) == 192 + KIPC_DICT_STRIPES * (64 + 256), "dict");
_Static_assert(sizeof(struct kipc_dict_entry) == 24, "entry");
#endif

#endif
