/* SPDX-License-Identifier: MIT */
/*
 * The arena: blocks of shared memory, each owned by one word.
 *
 * Every change of ownership names the 8-byte word that holds, or will hold, the block's offset, and
 * goes through the intent in the header, under the arena's lock (see uapi/kipc/manager.h):
 *
 *	intent fields	->  intent.op  ->  bitmap, words  ->  intent.op = NONE
 *
 * States of an intent: NONE; or an operation in absolute values.  The holder of the arena's lock
 * moves them.  A death before intent.op was stored leaves everything as it was; after it, the next
 * holder (-EOWNERDEAD) does the whole operation again, which changes nothing that is done already.
 * So a block is either free and its word is unchanged, or allocated and its word holds it.
 * Hints (lists of slabs, counts) are made anew by the same recovery.
 *
 * Order: only processes die here, not machines: a store that was executed is never lost.  So it is
 * enough that the compiler keeps the order: step(), which costs nothing.
 *
 * Beside what: all functions may be called by any thread at any time; the _locked ones under the
 * arena's lock.  Order of locks: a container's guard -> the arena's lock.  Never two guards, never
 * a guard under the arena's lock.  Nothing waits while it holds the arena's lock.
 *
 * "word" arguments are offsets of 8-byte words inside the segment, aligned to 8.
 */
#ifndef KIPC_MANAGER_ARENA_H
#define KIPC_MANAGER_ARENA_H

#include <errno.h>

#include "core/lock.h"
#include "manager/manager.h"

/* What a death can come between is kept in this order by the compiler. */
#define step()	fence_compiler()

/* The address of a place that this process knows to be inside, from checks it made itself. */
static inline void *__kipc_arena_ptr(const struct kipc_manager *m, uint64_t off)
{
	return m->obj.seg.base + off;
}

static inline uint64_t *__kipc_arena_word(const struct kipc_manager *m, uint64_t off)
{
	return (uint64_t *)(m->obj.seg.base + off);
}

/* The offset of an address inside the segment. */
static inline uint64_t __kipc_arena_off(const struct kipc_manager *m, const void *p)
{
	return (uint64_t)((const uint8_t *)p - m->obj.seg.base);
}

/*
 * The address of [off, off + len) for an offset read from shared memory: NULL when it is 0, before
 * the first span, unaligned (8), or not wholly inside the segment.
 */
static inline void *__kipc_arena_at(struct kipc_manager *m, uint64_t off, uint64_t len)
{
	if (unlikely((off & 7) || off < m->first_off))
		return NULL;
	return __kipc_segment_at(&m->obj.seg, off, len);
}

/*
 * Takes the arena's lock, rolling what a dead holder left.  0, or a negative errno (-EPROTO), in
 * which case it isn't held.
 */
__cold int __kipc_arena_lock_slow(struct kipc_manager *m, bool held, int64_t deadline);
/* deadline as for __kipc_lock_acquire(): -EAGAIN, -ETIMEDOUT. */
static inline int __kipc_arena_lock_by(struct kipc_manager *m, int64_t deadline)
{
	/* pairs with: __kipc_arena_unlock() */
	bool held = cmpxchg(&m->hdr->lock, 0u, m->obj.seg.slot);

	if (likely(held)) {
		KIPC_TRACE(lock_acquire, m->obj.seg.id, &m->hdr->lock, m->obj.seg.base, 0);
		KIPC_POINT("arena.locked");
	}
	if (likely(held && load_relaxed(&m->hdr->intent.op) == KIPC_INTENT_NONE))
		return 0;
	return __kipc_arena_lock_slow(m, held, deadline);
}

static inline int __kipc_arena_lock(struct kipc_manager *m)
{
	return __kipc_arena_lock_by(m, KIPC_DEADLINE_NEVER);
}

__cold void __kipc_arena_unlock_slow(struct kipc_manager *m);
static inline void __kipc_arena_unlock(struct kipc_manager *m)
{
	if (likely(cmpxchg(&m->hdr->lock, m->obj.seg.slot, 0u))) {
		KIPC_TRACE(lock_release, m->obj.seg.id, &m->hdr->lock, m->obj.seg.base, 0);
		KIPC_POINT("arena.unlocked");
		return;
	}
	__kipc_arena_unlock_slow(m);
}

/*
 * Allocates size bytes (1 .. 1 GiB and more, as space allows), aligned to 16 (to 64 when the size
 * is a multiple of 64), and stores the offset in the word, which must hold 0.  The content is
 * undefined; zalloc: zeroed, before the word gets it.
 * 0; -ENOMEM (the arena is full, or the machine); -EPROTO (damage; word not 0); -EINVAL (size 0).
 * May run a step of the destruction of a dead object.
 */
int __kipc_arena_alloc(struct kipc_manager *m, uint64_t size, uint64_t word);
int __kipc_arena_zalloc(struct kipc_manager *m, uint64_t size, uint64_t word);
int __kipc_arena_alloc_locked(struct kipc_manager *m, uint64_t size, uint64_t word, bool zero);

/* When there is no room: takes back what dead processes held and destroys dead objects.  0 or -EPROTO. */
__cold int __kipc_arena_squeeze(struct kipc_manager *m);

/*
 * Frees the block that the word holds and zeroes the word.  A word that is 0 is fine (it was done
 * before a crash).  0, or -EPROTO (it holds no allocated block).
 */
int __kipc_arena_free(struct kipc_manager *m, uint64_t word);
int __kipc_arena_free_locked(struct kipc_manager *m, uint64_t word);

/* How large a block of this size really is: the whole of it may be used. */
uint64_t __kipc_arena_round(uint64_t size);
/* The size of the allocated block at off, or 0 when there is none (arena's lock held). */
uint64_t __kipc_arena_block_size(struct kipc_manager *m, uint64_t off);

/* Does the writes (absolute, at most KIPC_INTENT_WRITES_MAX) all or none.  Arena's lock held. */
void __kipc_arena_writes(struct kipc_manager *m, const struct kipc_write *w, uint32_t n);

#endif
