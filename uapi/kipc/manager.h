/* SPDX-License-Identifier: MIT */
/*
 * What lies in the segment of a manager: an arena of blocks, the objects in it, and who refers to
 * them.  Places are 64-bit offsets from the start of the segment, 0 is none.
 *
 *	body				struct kipc_mgr_header
 *	header.table_off		struct kipc_span[max_spans], for all spans that may ever be
 *	from header.first_span on	spans of 64 KiB, header.nspans exist (counted from offset 0)
 *
 * Span i covers the bytes [i << 16, (i + 1) << 16) of the segment; those before first_span hold the
 * header and the table.
 *
 * Words.  A block is owned by exactly one 8-byte word that holds its offset.  An object (a block
 * that begins with struct kipc_obj_header) is owned by its word in the registry, and lives as long
 * as other words refer to it: slots of containers, words of handle tables, the name directory.
 *
 * Unless a line says otherwise, only the holder of header.lock writes it.
 */
#ifndef UAPI_KIPC_MANAGER_H
#define UAPI_KIPC_MANAGER_H

#include <linux/types.h>

#define KIPC_SPAN_SHIFT		16
#define KIPC_SPAN_SIZE		(1ULL << KIPC_SPAN_SHIFT)
#define KIPC_SPAN_MAP		5	/* words of bitmap in the descriptor: up to 320 blocks */

/* Size classes: 16, 32, ... 128, then eight a doubling up to 32 KiB.  Larger: whole spans. */
#define KIPC_CLASSES		72
#define KIPC_CLASS_MAX		32768

enum kipc_span_state {
	KIPC_SPAN_FREE	= 0,
	KIPC_SPAN_SLAB	= 1,	/* blocks of one class, in 1 or 4 spans */
	KIPC_SPAN_LARGE	= 2,	/* one block, in one or more spans */
	KIPC_SPAN_CONT	= 3,	/* a later span of the slab or block whose head stands below */
	KIPC_SPAN_META	= 4,	/* header and table */
};

/* bits 0..7 state, 8..15 class, 32..63 number of spans (CONT: index of the head) */
#define KIPC_SPAN_HEAD(state, cls, n)	((__u64)(state) | (__u64)(cls) << 8 | (__u64)(n) << 32)
#define KIPC_SPAN_STATE(head)		((__u32)((head) & 0xff))
#define KIPC_SPAN_CLASS(head)		((__u32)((head) >> 8 & 0xff))
#define KIPC_SPAN_COUNT(head)		((__u32)((head) >> 32))

/*
 * A span's descriptor.  Authoritative are `head` (one store makes or ends a slab or a large block)
 * and the bitmap: `map`, or for classes of more than 320 blocks a span, the first bytes of the span.
 * The rest are hints, made anew when a holder of the lock died.
 */
struct kipc_span {
	__u64	head;
	__u32	next, prev;	/* spans of the class with free blocks; 0 ends */
	__u32	nfree;		/* clear bits */
	__u32	hint;		/* no clear bit in the words of the bitmap before this one */
	__u64	map[KIPC_SPAN_MAP];
};

/* What the holder of the arena's lock is about to do, in absolute values; redone if it dies. */
enum kipc_intent_op {
	KIPC_INTENT_NONE	= 0,
	KIPC_INTENT_WRITES	= 1,	/* just the writes */
	KIPC_INTENT_ALLOC	= 2,	/* set the bit of `block`, then the writes */
	KIPC_INTENT_FREE	= 3,	/* clear the bit of `block`, then the writes */
	KIPC_INTENT_ALLOC_RUN	= 4,	/* `spans` spans from `block` on become a large block */
	KIPC_INTENT_FREE_RUN	= 5,	/* ... become free */
};

struct kipc_write {
	__u64	off;		/* of an 8-byte word */
	__u64	val;
};

#define KIPC_INTENT_WRITES_MAX	6

struct kipc_intent {
	__u32	op;		/* enum kipc_intent_op; stored last, cleared last */
	__u32	nwrites;
	__u64	block;
	__u64	spans;
	struct kipc_write writes[KIPC_INTENT_WRITES_MAX];
	__u64	reserved;
};

/* Registry of all objects: chunk i holds (256 << i) words, each an object or a free entry. */
#define KIPC_REG_CHUNKS		24
#define KIPC_REG_FIRST		256
#define KIPC_REG_FREE		1ULL	/* bit 0 of a word: free; bits 1..63: index + 1 of the next free */
#define KIPC_MGR_BUCKETS	256
#define KIPC_MGR_PEERS		1024	/* indexed by slot */

struct kipc_mgr_header {
	/* line 0: written once */
	__u64	table_off;
	__u64	max_spans;
	__u64	first_span;
	__u32	span_shift;
	__u32	nclasses;
	__u64	reserved0[4];

	/* line 1: the arena's lock, and what nearly every holder touches */
	__u32	lock;
	__u32	audit_lock;	/* serialises auditors; who makes objects lets them go first */
	__u64	nspans;		/* spans that exist; only grows */
	__u64	free_hint;	/* no free span below; hint */
	__u64	free_spans;	/* hint */
	__u64	zombies;	/* objects without references, through kipc_obj_header.next */
	__u64	dying;		/* the one being destroyed */
	__u64	used;		/* bytes in allocated blocks; hint */
	__u64	blocks;		/* allocated blocks; hint */

	/* lines 2 and 3 */
	struct kipc_intent intent;

	/* line 4 */
	__u64	next_id;	/* never goes back */
	__u64	objects;	/* hint */
	__u64	reg_free;	/* index + 1 of the first free entry of the registry; 0: none */
	__u64	reg_high;	/* entries that were ever used */
	__u64	dir_new;	/* owns a directory entry that is being made */
	__u64	recoveries;	/* times that the arena's lock was inherited from the dead */
	__u64	rolls;		/* intents and transactions that were rolled after a death */
	__u64	names;		/* hint: entries of the directory */

	__u64	registry[KIPC_REG_CHUNKS];	/* own blocks of words */
	__u64	reserved1[8];
	__u32	partial[KIPC_CLASSES];	/* spans with free blocks; hint */
	__u64	reserved2[4];
	__u64	directory[KIPC_MGR_BUCKETS];	/* own struct kipc_dir_entry, a chain each */
	__u64	peers[KIPC_MGR_PEERS];	/* own struct kipc_handle_table, a chain each; by slot */
};

/* A name and the object that it refers to. */
struct kipc_dir_entry {
	__u64	next;		/* owns the next entry */
	__u64	obj;		/* refers */
	char	name[64];
};

/* The references that one process holds by its handles. */
#define KIPC_HANDLE_WORDS	62

struct kipc_handle_table {
	__u64	next;		/* owns the next table */
	__u64	reserved;
	__u64	obj[KIPC_HANDLE_WORDS];	/* refer */
};

/*
 * A lock with what it protects a change by.  One cache line.  The holder of `lock` writes it all;
 * readers look at seq and data without the lock.
 */
enum kipc_tx_state {
	KIPC_TX_NONE	= 0,
	KIPC_TX_OPEN	= 1,	/* being prepared: a death undoes it */
	KIPC_TX_COMMIT	= 2,	/* it has happened: a death finishes it */
};

struct kipc_guard {
	__u32	lock;
	__u32	state;		/* enum kipc_tx_state; its store is the commit */
	__u64	seq;		/* odd while the writes of a commit are made */
	__u64	tx;		/* owns a struct kipc_tx, made when first needed */
	__u64	data[5];	/* the kind's own */
};

/* A word that owns, and what: enum kipc_own in bits 0..7, the rest depends on that. */
struct kipc_owned {
	__u64	word;
	__u64	kind;
};

#define KIPC_TX_WRITES		23
#define KIPC_TX_MADE		8
#define KIPC_TX_DROPPED		8

struct kipc_tx {
	__u32	nwrites;
	__u32	nmade;
	__u32	ndropped;
	__u32	reserved;
	struct kipc_write writes[KIPC_TX_WRITES];
	struct kipc_owned made[KIPC_TX_MADE];		/* lives if committed, else is freed */
	struct kipc_owned dropped[KIPC_TX_DROPPED];	/* is freed if committed */
};

enum kipc_obj_kind {
	KIPC_OBJ_NONE	= 0,
	KIPC_OBJ_LIST	= 1,
	KIPC_OBJ_DICT	= 2,
	KIPC_OBJ_LOCK	= 3,
	KIPC_OBJ_RLOCK	= 4,
	KIPC_OBJ_TEST	= 15,	/* the selftests' own */
	KIPC_OBJ_MAX	= 16,
};

/* Every object begins with this. */
struct kipc_obj_header {
	/* line 0: under the arena's lock */
	__u32	kind;		/* enum kipc_obj_kind */
	__u32	flags;
	__u64	id;		/* never used twice in a manager; 0 once it is gone */
	__u64	refs;		/* words that refer to it */
	__u64	next;		/* zombie list */
	__u64	entry;		/* its index in the registry */
	__u64	name;		/* its struct kipc_dir_entry, or 0 */
	__u64	cursor;		/* how far its destruction has come; hint */
	__u64	reserved;

	/* line 1: the kind's lock */
	struct kipc_guard guard;
};

/* An rlock: whose it is beyond the process that stands in the lock word.  The holder writes. */
struct kipc_rlock_shared {
	struct kipc_obj_header head;
	__u64	owner;		/* generation of the slot << 32 | number of the thread */
	__u64	count;
	__u64	reserved[6];
};

/*
 * A value in shared memory.
 *
 *	tag bits 0..6	enum kipc_slot_type
 *	bit 7		inline: the bytes of a str or bytes stand in the slot itself, from its third
 *			byte on; tag bits 8..15 are their number, at most 14
 *	bits 16..63	else, of a str or bytes: its length; of a ref: the low bits of the object's id
 *	payload		bool, int, double (bits); str and bytes: owns the block, 0 when there is none;
 *			ref: refers to the object
 *
 * A slot of zeroes is empty.
 */
struct kipc_slot {
	__u64	tag;
	__u64	payload;
};

enum kipc_slot_type {
	KIPC_SLOT_EMPTY		= 0,
	KIPC_SLOT_NONE		= 1,
	KIPC_SLOT_BOOL		= 2,
	KIPC_SLOT_INT		= 3,
	KIPC_SLOT_DOUBLE	= 4,
	KIPC_SLOT_BYTES		= 5,
	KIPC_SLOT_STR		= 6,
	KIPC_SLOT_REF		= 7,
};

#define KIPC_SLOT_TYPE(tag)	((__u32)((tag) & 0x7f))
#define KIPC_SLOT_INLINE	0x80ULL
#define KIPC_SLOT_INLINE_MAX	14
#define KIPC_SLOT_INLINE_LEN(tag) ((__u32)((tag) >> 8 & 0xff))
#define KIPC_SLOT_LEN(tag)	((tag) >> 16)
#define KIPC_SLOT_ID_MASK	0xffffffffffffULL
#define KIPC_VALUE_MAX		(1ULL << 30)	/* longest str or bytes */

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_span) == 64, "a span's descriptor is one cache line");
_Static_assert(sizeof(struct kipc_intent) == 128, "intent");
_Static_assert(__builtin_offsetof(struct kipc_mgr_header, lock) == 64, "line 1");
_Static_assert(__builtin_offsetof(struct kipc_mgr_header, intent) == 128, "line 2");
_Static_assert(__builtin_offsetof(struct kipc_mgr_header, next_id) == 256, "line 4");
_Static_assert(__builtin_offsetof(struct kipc_mgr_header, registry) == 320, "registry");
_Static_assert(__builtin_offsetof(struct kipc_mgr_header, partial) == 576, "partial");
_Static_assert(__builtin_offsetof(struct kipc_mgr_header, directory) == 896, "directory");
_Static_assert(__builtin_offsetof(struct kipc_mgr_header, peers) == 2944, "peers");
_Static_assert(sizeof(struct kipc_mgr_header) == 11136, "manager header");
_Static_assert(sizeof(struct kipc_dir_entry) == 80, "directory entry");
_Static_assert(sizeof(struct kipc_handle_table) == 512, "handle table");
_Static_assert(sizeof(struct kipc_guard) == 64, "a guard is one cache line");
_Static_assert(sizeof(struct kipc_tx) == 640, "transaction record");
_Static_assert(sizeof(struct kipc_obj_header) == 128, "object header");
_Static_assert(__builtin_offsetof(struct kipc_obj_header, guard) == 64, "line 1");
_Static_assert(sizeof(struct kipc_rlock_shared) == 192, "rlock");
_Static_assert(sizeof(struct kipc_slot) == 16, "slot");
#endif

#endif
