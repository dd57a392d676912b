// SPDX-License-Identifier: MIT
/*
 * References, and the end of objects that have none: see object.h for the states.
 *
 * Count and word change by one intent of absolute values; so does the move to the list of zombies
 * when the count becomes 0.
 */
#include "manager/alloc.h"
#include "manager/registry.h"

#define REAP_BUDGET	256	/* blocks freed per hold of the arena's lock */

int __kipc_ref_take_locked(struct kipc_manager *m, uint64_t off, uint64_t id, uint64_t word)
{
	struct kipc_obj_header *o = __kipc_object_at(m, off);
	uint64_t refs;

	/* the registry tells an object from a block that happens to look like one */
	if (unlikely(!o || ((load_relaxed(&o->id) ^ id) & KIPC_SLOT_ID_MASK) ||
		     !__kipc_reg_holds(m, off, o)))
		return -ENOENT;
	refs = load_relaxed(&o->refs);
	if (unlikely(!refs))
		return -ENOENT;
	if (unlikely(refs == UINT64_MAX))
		return -EOVERFLOW;
	if (unlikely(load_relaxed(__kipc_arena_word(m, word))))
		return -EPROTO;
	__kipc_arena_writes(m, (struct kipc_write[]){
		{ __kipc_arena_off(m, &o->refs), refs + 1 },
		{ word, off },
	}, 2);
	return 0;
}

int __kipc_ref_take(struct kipc_manager *m, uint64_t off, uint64_t id, uint64_t word)
{
	int r = __kipc_arena_lock(m);

	if (unlikely(r))
		return r;
	r = __kipc_ref_take_locked(m, off, id, word);
	__kipc_arena_unlock(m);
	return r;
}

int __kipc_ref_drop_locked(struct kipc_manager *m, uint64_t word)
{
	uint64_t off = load_relaxed(__kipc_arena_word(m, word)), refs;
	struct kipc_obj_header *o;

	if (!off)
		return 0;
	o = __kipc_object_at(m, off);
	if (unlikely(!o || !__kipc_reg_holds(m, off, o)))
		return -EPROTO;
	refs = load_relaxed(&o->refs);
	if (unlikely(!refs))
		return -EPROTO;
	__kipc_arena_writes(m, (struct kipc_write[]){
		{ __kipc_arena_off(m, &o->refs), refs - 1 },
		{ word, 0 },
		{ __kipc_arena_off(m, &o->next), load_relaxed(&m->hdr->zombies) },
		{ __kipc_arena_off(m, &m->hdr->zombies), off },
	}, refs == 1 ? 4 : 2);
	return 0;
}

int __kipc_ref_drop(struct kipc_manager *m, uint64_t word)
{
	bool dead;
	int r = __kipc_arena_lock(m);

	if (unlikely(r))
		return r;
	r = __kipc_ref_drop_locked(m, word);
	dead = load_relaxed(&m->hdr->zombies) | load_relaxed(&m->hdr->dying);
	__kipc_arena_unlock(m);
	if (unlikely(dead) && !r)
		r = __kipc_zombies_reap(m, 0);
	return r;
}

/* ---- the end of an object ---- */

/* Takes the first zombie to be the dying one; its header, or NULL with *r set. */
static struct kipc_obj_header *next_dying(struct kipc_manager *m,
					  const struct kipc_obj_type **type, int *r)
{
	uint64_t off = load_relaxed(&m->hdr->dying);
	bool begun = off;
	struct kipc_obj_header *o;

	*r = 0;
	if (!begun)
		off = load_relaxed(&m->hdr->zombies);
	if (!off)
		return NULL;
	o = __kipc_object_typed(m, off, type);
	if (!o || !__kipc_reg_holds(m, off, o) || load_relaxed(&o->refs)) {
		*r = -EPROTO;
		return NULL;
	}
	if (!begun) {
		store_relaxed(&o->cursor, 0);
		KIPC_POINT("object.cursor");
		__kipc_arena_writes(m, (struct kipc_write[]){
			{ __kipc_arena_off(m, &m->hdr->zombies), load_relaxed(&o->next) },
			{ __kipc_arena_off(m, &m->hdr->dying), off },
		}, 2);
	}
	return o;
}

/* Frees what the object owns: 1: more to do; 0: all; negative: all that could be. */
static int destroy(struct kipc_manager *m, const struct kipc_obj_type *type,
		   struct kipc_obj_header *o, uint32_t *budget)
{
	struct kipc_guard *more = (struct kipc_guard *)((uint8_t *)o + type->guard_off);
	int r, err = 0;

	/* what a killed owner was at: the writes of a commit that is half done own things */
	for (uint32_t i = 0; i <= type->nguards; i++) {
		r = __kipc_tx_recover_dying(m, i ? &more[i - 1] : &o->guard, budget);
		if (r > 0)
			return r;
		if (r)
			err = r;
	}
	if (type->destroy) {
		r = type->destroy(m, o, budget);
		if (r > 0)
			return r;
		if (r)
			err = r;
	}
	return err;
}

/* One step; arena's lock held.  1: there is more. */
static int reap_step(struct kipc_manager *m, uint32_t *budget)
{
	const struct kipc_obj_type *type;
	struct kipc_obj_header *o;
	struct kipc_write w[5];
	struct kipc_pick p;
	uint64_t idx, *word;
	int r, err;

	o = next_dying(m, &type, &r);
	if (!o)
		return r;
	err = destroy(m, type, o, budget);
	if (err > 0)
		return 1;
	/* damaged: what couldn't be freed is lost, the object goes all the same */
	idx = load_relaxed(&o->entry);
	word = __kipc_reg_entry(m, idx);
	if (!word || __kipc_block_find(m, __kipc_arena_off(m, o), &p) != 1)
		return -EPROTO;
	__kipc_reg_free_writes(m, idx, word, w);
	w[2] = (struct kipc_write){ __kipc_arena_off(m, &o->id), 0 };
	w[3] = (struct kipc_write){ __kipc_arena_off(m, &m->hdr->dying), 0 };
	w[4] = (struct kipc_write){ __kipc_arena_off(m, &m->hdr->objects),
				    load_relaxed(&m->hdr->objects) - 1 };
	__kipc_free_commit(m, &p, w, 5);
	if (*budget)
		--*budget;
	if (err)
		return err;
	return load_relaxed(&m->hdr->zombies) != 0;
}

int __kipc_zombies_reap_by(struct kipc_manager *m, uint32_t budget, int64_t deadline)
{
	uint32_t left;
	int r;

	do {
		r = __kipc_arena_lock_by(m, deadline);
		if (r)
			return r;
		left = budget ? budget : REAP_BUDGET;
		/* each step ends an object or uses the budget up; a bound for when it doesn't */
		for (uint32_t i = 0; i < REAP_BUDGET; i++) {
			r = reap_step(m, &left);
			if (r != 1 || !left)
				break;
		}
		__kipc_arena_unlock(m);
	} while (r == 1 && !budget);
	return min_of(r, 0);
}

int __kipc_zombies_reap(struct kipc_manager *m, uint32_t budget)
{
	return __kipc_zombies_reap_by(m, budget, KIPC_DEADLINE_NEVER);
}
