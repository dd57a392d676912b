// SPDX-License-Identifier: MIT
/* The arena's lock, its recovery, and blocks with one word as their owner: see arena.h. */
#include <string.h>

#include "core/memory.h"
#include "manager/alloc.h"
#include "manager/registry.h"

/* Blocks of this size are mapped in one go when they are handed out, outside the lock. */
#define TOUCH_BLOCK	(1ULL << 20)

/* Blocks of a dead object that a passing allocation frees. */
#define ZOMBIE_STEP	32

/* ---- recovery ---- */

static bool write_ok(struct kipc_manager *m, const struct kipc_write *w)
{
	uint64_t body = m->obj.seg.body_off;

	/* words of the header, or of blocks; never of the table */
	if (w->off & 7)
		return false;
	if (w->off >= body && w->off <= body + sizeof(struct kipc_mgr_header) - 8)
		return true;
	return __kipc_arena_at(m, w->off, 8);
}

/* What was being done when the last holder died, done again. */
static int redo(struct kipc_manager *m)
{
	struct kipc_intent in = m->hdr->intent;	/* one copy: what is checked is what is used */
	int r;

	in.op = load_relaxed(&m->hdr->intent.op);
	if (in.op == KIPC_INTENT_NONE)
		return 0;
	if (in.nwrites > KIPC_INTENT_WRITES_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < in.nwrites; i++)
		if (!write_ok(m, &in.writes[i]))
			return -EPROTO;
	r = __kipc_alloc_redo(m, &in);
	if (r)
		return r;
	intent_apply(m, in.writes, in.nwrites);
	fetch_add(&m->hdr->rolls, 1);
	return 0;
}

/* Arena's lock held, after a death or with an intent that somebody left. */
static int recover(struct kipc_manager *m)
{
	uint64_t block = load_relaxed(&m->hdr->intent.block);
	int r;

	r = redo(m);
	if (r)
		return r;
	/* the bitmap may have changed and the counts not: before the intent is forgotten */
	__kipc_alloc_rebuild(m, block);
	KIPC_POINT("arena.rebuilt");
	intent_end(m);
	fetch_add(&m->hdr->recoveries, 1);
	return __kipc_dir_recover(m);
}

__cold int __kipc_arena_lock_slow(struct kipc_manager *m, bool held, int64_t deadline)
{
	struct kipc_segment *seg = &m->obj.seg;
	int r = held ? 0 : __kipc_lock_acquire(seg, &m->hdr->lock, deadline);

	if (r && r != -EOWNERDEAD)
		return r;
	if (!r && load_relaxed(&m->hdr->intent.op) == KIPC_INTENT_NONE)
		return 0;
	r = recover(m);
	if (r)
		__kipc_arena_unlock(m);
	return r;
}

__cold void __kipc_arena_unlock_slow(struct kipc_manager *m)
{
	__kipc_lock_release(&m->obj.seg, &m->hdr->lock);
}

void __kipc_arena_writes(struct kipc_manager *m, const struct kipc_write *w, uint32_t n)
{
	intent_begin(m, KIPC_INTENT_WRITES, 0, 0, w, n);
	intent_apply(m, w, n);
	intent_end(m);
}

/* ---- blocks ---- */

int __kipc_arena_alloc_locked(struct kipc_manager *m, uint64_t size, uint64_t word, bool zero)
{
	struct kipc_write w = { .off = word };
	struct kipc_pick p;
	int r;

	if (unlikely(load_relaxed(__kipc_arena_word(m, word))))
		return -EPROTO;	/* it owns something, which would be lost */
	r = __kipc_alloc_pick(m, size, &p);
	if (unlikely(r))
		return r;
	if (zero)
		memset(__kipc_arena_ptr(m, p.block), 0, p.size);
	w.val = p.block;
	__kipc_alloc_commit(m, &p, &w, 1);
	return 0;
}

/* Room that can be had from the dead: processes and objects.  0 when it is worth another try. */
int __kipc_arena_squeeze(struct kipc_manager *m)
{
	__kipc_peer_sweep(&m->obj.seg, 0);
	return __kipc_zombies_reap(m, 0);
}

static inline int alloc(struct kipc_manager *m, uint64_t size, uint64_t word, bool zero)
{
	bool again = true;
	uint64_t dead;
	int r;

	for (;;) {
		r = __kipc_arena_lock(m);
		if (unlikely(r))
			return r;
		r = __kipc_arena_alloc_locked(m, size, word, zero);
		dead = load_relaxed(&m->hdr->zombies) | load_relaxed(&m->hdr->dying);
		__kipc_arena_unlock(m);
		if (likely(r != -ENOMEM) || !again || __kipc_arena_squeeze(m))
			break;
		again = false;
	}
	if (unlikely(dead))
		__kipc_zombies_reap(m, ZOMBIE_STEP);	/* somebody has to do it */
	if (unlikely(!r && size > TOUCH_BLOCK))
		__kipc_memory_populate(__kipc_arena_ptr(m, *__kipc_arena_word(m, word)),
				       align_up(size, 4096ULL), false);
	return r;
}

int __kipc_arena_alloc(struct kipc_manager *m, uint64_t size, uint64_t word)
{
	return alloc(m, size, word, false);
}

int __kipc_arena_zalloc(struct kipc_manager *m, uint64_t size, uint64_t word)
{
	return alloc(m, size, word, true);
}

int __kipc_arena_free_locked(struct kipc_manager *m, uint64_t word)
{
	struct kipc_write w = { .off = word, .val = 0 };
	uint64_t off = load_relaxed(__kipc_arena_word(m, word));
	struct kipc_pick p;

	if (!off)
		return 0;
	if (unlikely(__kipc_block_find(m, off, &p) != 1))
		return -EPROTO;
	__kipc_free_commit(m, &p, &w, 1);
	return 0;
}

int __kipc_arena_free(struct kipc_manager *m, uint64_t word)
{
	int r;

	if (!load_relaxed(__kipc_arena_word(m, word)))
		return 0;
	r = __kipc_arena_lock(m);
	if (unlikely(r))
		return r;
	r = __kipc_arena_free_locked(m, word);
	__kipc_arena_unlock(m);
	return r;
}
