// SPDX-License-Identifier: MIT
/*
 * Taking back what a slot holds: its process died, or is leaving.
 *
 * In this order, each step restartable by the next repairer:
 *	1. the arena's lock and the auditors' become DIED, if it holds them: the next holder rolls
 *	   the intent, which is this repairer at the latest, before step 3;
 *	2. every guard and user's lock that it holds becomes DIED: the next holder rolls the
 *	   transaction, or is told -EOWNERDEAD;
 *	3. the references of its handle tables are dropped and the tables freed;
 *	4. objects that nothing refers to any more are destroyed.
 *
 * Step 2 looks at all objects without the arena's lock: reading a word that is no lock (any more) is
 * harmless.  Only to change one it takes the lock and makes sure that the object is still there.  No
 * guard of the dead can be missed: it held them in objects that live at least until step 3.
 *
 * A repair must not wait for another process, and the arena's lock may be held: then it says -EBUSY
 * when it comes to it, and is called again at the next waiter's tick.
 */
#include "core/lock.h"
#include "manager/handle.h"
#include "manager/registry.h"
#include "manager/repair.h"

/* Tries for the arena's lock, which is nearly never held for longer than this takes. */
#define TRIES	200

static int lock_soon(struct kipc_manager *m)
{
	int r;

	for (int i = 0; i < TRIES; i++) {
		r = __kipc_arena_lock_by(m, 0);
		if (r != -EAGAIN)
			return r;
		/* the lock's own answer costs a system call; look whether it is worth it */
		for (int j = 0; j < 50 && load_relaxed(&m->hdr->lock) & KIPC_LOCK_OWNER; j++)
			cpu_relax();
	}
	return -EBUSY;
}

static struct kipc_guard *guard_of(struct kipc_obj_header *o, const struct kipc_obj_type *type,
				   uint32_t i)
{
	return i ? (struct kipc_guard *)((uint8_t *)o + type->guard_off) + (i - 1) : &o->guard;
}

static __racy bool holds(struct kipc_obj_header *o, const struct kipc_obj_type *type, uint32_t slot)
{
	for (uint32_t i = 0; i <= type->nguards; i++)
		if ((load_relaxed(&guard_of(o, type, i)->lock) & KIPC_LOCK_OWNER) == slot)
			return true;
	return false;
}

/* Marks the guards that the slot holds in the object of this entry, if there still is one. */
static int repair_object(struct kipc_manager *m, uint64_t idx, uint32_t slot)
{
	const struct kipc_obj_type *type;
	struct kipc_obj_header *o;
	int n = 0, r;

	r = lock_soon(m);
	if (r)
		return r;
	o = __kipc_reg_object(m, idx, &type);
	for (uint32_t i = 0; o && i <= type->nguards; i++)
		n += __kipc_lock_repair(&guard_of(o, type, i)->lock, slot);
	__kipc_arena_unlock(m);
	return n;
}

static int repair_guards(struct kipc_manager *m, uint32_t slot)
{
	uint64_t high = __kipc_reg_high(m);
	const struct kipc_obj_type *type;
	struct kipc_obj_header *o;
	int n = 0, r, busy = 0;

	for (uint64_t idx = 0; idx < high; idx++) {
		o = __kipc_reg_object(m, idx, &type);
		if (!o || !holds(o, type, slot))
			continue;
		r = repair_object(m, idx, slot);
		if (r < 0)
			busy = r;
		else
			n += r;
	}
	return busy ? busy : n;
}

int __kipc_manager_repair(struct kipc_segment *seg, uint32_t slot)
{
	struct kipc_manager *m = container_of(seg, struct kipc_manager, obj.seg);
	int n, r;

	n = __kipc_lock_repair(&m->hdr->lock, slot);
	n += __kipc_lock_repair(&m->hdr->audit_lock, slot);
	r = repair_guards(m, slot);
	if (r < 0)
		return r;
	n += r;
	/*
	 * It may have died after it stored an intent that gives it a table: to be rolled before the
	 * slot is looked at, or the table would appear when the slot is free already.
	 */
	if (load_relaxed(&m->hdr->intent.op) != KIPC_INTENT_NONE) {
		r = lock_soon(m);
		if (r)
			return r;
		__kipc_arena_unlock(m);
	}
	if (load_relaxed(&m->hdr->peers[slot])) {
		r = lock_soon(m);
		if (r)
			return r;
		__kipc_arena_unlock(m);
		r = __kipc_handle_tables_drop(m, slot, 0);
		if (r < 0)
			return r == -EAGAIN ? -EBUSY : r;
		n += r;
	}
	/* if this has to wait, whoever allocates next goes on with it */
	__kipc_zombies_reap_by(m, 0, 0);
	return n;
}
