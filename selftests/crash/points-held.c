// SPDX-License-Identifier: MIT
/*
 * Whether somebody who sleeps may be waiting for a process that is stopped in the middle of an operation.
 *
 * Who waits for a lock says so in its word, so a lock that the stopped one has is no reason to wait for
 * another one, whose owner is dead: that one is to be taken over meanwhile.  But a manager's repair
 * needs the arena's lock.
 */
#include "core/lock.h"
#include "core/peer.h"
#include "manager/object.h"
#include "manager/registry.h"
#include "pipe/pipe.h"
#include "points.h"
#include "queue/queue.h"
#include "shm/region.h"

struct look {
	struct kipc_segment *seg;
	uint32_t slot;		/* of the stopped one */
	bool owns, waited_for;	/* a lock; one that is waited for */
	bool dead_waited_for;	/* a dead one's is */
};

static void look_at(struct look *look, const uint32_t *lock)
{
	uint32_t v = load_acquire(lock), owner = v & KIPC_LOCK_OWNER;
	bool waiters = v & KIPC_LOCK_WAITERS;

	if (owner == look->slot) {
		look->owns = true;
		look->waited_for |= waiters;
	} else if (owner && waiters && !__kipc_peer_alive(look->seg, owner)) {
		look->dead_waited_for = true;
	}
}

static bool queue_held(struct kipc_queue *q, uint32_t slot)
{
	bool joins = load_acquire(&q->sh->bells[KIPC_QUEUE_BELL_JOIN].word) & KIPC_BELL_SLEEPERS;

	if (__kipc_queue_owner_at(q, load_acquire(&q->sh->head)) == slot ||
	    __kipc_queue_owner_at(q, load_acquire(&q->sh->tail)) == slot)
		return true;
	for (uint32_t i = 0; joins && i < q->capacity; i++)
		if (cell_slot(load_acquire(&cell_at(q, i)->state)) == slot)
			return true;
	return false;
}

/* Or somebody waits for the rest of a stream, or for its reception. */
static bool pipe_held(struct kipc_pipe *p, struct look *look)
{
	for (int i = 0; i < KIPC_PIPE_WAYS; i++) {
		look_at(look, &p->shm->way[i].send_lock);
		look_at(look, &p->shm->way[i].recv_lock);
	}
	return look->waited_for || (look->owns && !look->dead_waited_for);
}

static bool manager_held(struct kipc_manager *m, struct look *look)
{
	uint64_t high = __kipc_reg_high(m);

	look_at(look, &m->hdr->lock);
	look_at(look, &m->hdr->audit_lock);
	if (look->owns)
		return true;
	for (uint64_t idx = 0; idx < high; idx++) {
		const struct kipc_obj_type *type;
		struct kipc_obj_header *o = __kipc_reg_object(m, idx, &type);
		struct kipc_guard *more;

		if (!o)
			continue;
		look_at(look, &o->guard.lock);
		more = (struct kipc_guard *)((uint8_t *)o + type->guard_off);
		for (uint32_t i = 0; i < type->nguards; i++)
			look_at(look, &more[i].lock);
	}
	return look->waited_for;
}

/* Whoever shares the reader-writer lock keeps writers out. */
static bool region_held(struct kipc_region *rg, struct look *look)
{
	look_at(look, &rg->lock.head->lock);
	look_at(look, &rg->lock.head->grow_lock);
	look_at(look, &rg->rw.head->rw_lock);
	return look->owns || load_acquire(__kipc_rw_held(&rg->rw, look->slot));
}

bool points_held(struct kipc_object *obj, uint32_t slot)
{
	struct look look = { .seg = &obj->seg, .slot = slot };

	switch (obj->ops->kind) {
	case KIPC_SEG_QUEUE:
		return queue_held(container_of(obj, struct kipc_queue, obj), slot);
	case KIPC_SEG_PIPE:
		return pipe_held(container_of(obj, struct kipc_pipe, obj), &look);
	case KIPC_SEG_MANAGER:
		return manager_held(container_of(obj, struct kipc_manager, obj), &look);
	case KIPC_SEG_SHM:
	case KIPC_SEG_ARRAY:
		return region_held(container_of(obj, struct kipc_region, obj), &look);
	}
	return false;
}
