// SPDX-License-Identifier: MIT
/* See rwlock.h for the states and what a death at each step leaves. */
#include <errno.h>
#include <limits.h>

#include "core/lock.h"
#include "core/time.h"
#include "shm/rwlock.h"

#define OWNER		KIPC_LOCK_OWNER
#define IN		KIPC_SHM_GATE_IN
#define TORN		KIPC_SHM_GATE_TORN
#define SLEEPERS	KIPC_SHM_GATE_SLEEPERS

static uint32_t slots(const struct kipc_rwlock *rw)
{
	/* [B] whoever has a slot above this adds itself later, and sees what we did to the gate */
	return min_of(load_seq_cst(&rw->seg->hdr->peer_high), rw->seg->npeers);
}

static int told(uint32_t gate)
{
	return gate & TORN ? -EOWNERDEAD : 0;
}

/*
 * A wait for something that one process has to do, in slices: the clock decides when to ask whether
 * it lives, however often we are woken.
 */
struct watch {
	int64_t deadline, look;
	uint32_t reaped;
};

#define WATCH(deadline) { deadline, KIPC_DEADLINE_NEVER, 0 }

/*
 * Sleeps on the word while it has that value, and no longer than until the deadline or the next
 * look. 0: look at it again; -EAGAIN, -ETIMEDOUT, or an error of the repair.  Only a word that is
 * damaged names dead owners without end.
 */
static int sleep_on(struct kipc_rwlock *rw, struct watch *w, uint32_t *word, uint32_t val,
		    uint32_t owner)
{
	int64_t now;
	int r;

	if (!w->deadline) {
		/* it may be dead: else we would be told -EAGAIN for ever */
		r = __kipc_peer_reap(rw->seg, owner);
		if (r > 0)
			return w->reaped++ < KIPC_PEER_MAX ? 0 : -EAGAIN;
		return r ? r : -EAGAIN;
	}
	now = __kipc_now_ns();
	if (now >= w->deadline)
		return -ETIMEDOUT;
	if (now >= w->look) {
		r = __kipc_peer_reap(rw->seg, owner);
		if (r < 0)
			return r;
		w->look = KIPC_DEADLINE_NEVER;
		if (r)
			return 0;
	}
	w->look = min_of(w->look, now + KIPC_OWNER_TICK_NS);
	__kipc_futex_wait(word, val, min_of(w->deadline, w->look) - now);
	KIPC_POINT("rw.woken");
	return 0;
}

/* ---- readers ---- */

/* One hold less, if there is one. */
static bool leave(struct kipc_rwlock *rw)
{
	uint32_t *held = __kipc_rw_held(rw, rw->seg->slot), n = load_relaxed(held), gate;

	do
		if (!n)
			return false;
	while (!try_cmpxchg(held, &n, n - 1));
	KIPC_POINT("rw.left");
	/* after that; pairs with: close_gate(), drain() */
	gate = load_seq_cst(&rw->head->gate);
	if (unlikely((gate & OWNER) && !(gate & IN) && n == 1)) {
		__kipc_futex_wake(held, INT_MAX);
		KIPC_POINT("rw.left_told");
	}
	return true;
}

struct gate_arg {
	const struct kipc_rwlock *rw;
	uint32_t in;
};

/* Closed, and in that state: for a writer that closes it or one that is in. */
static bool waits(uint32_t gate, uint32_t in)
{
	return (gate & OWNER) && (gate & IN) == in;
}

static bool gate_moved(void *arg)
{
	const struct gate_arg *a = arg;

	return !waits(load_relaxed(&a->rw->head->gate), a->in);
}

/* While the gate is as it is: `in` says for whom.  0, and *gate is what it became. */
static int wait_gate(struct kipc_rwlock *rw, struct watch *w, uint32_t in, uint32_t *gate)
{
	struct gate_arg arg = { rw, in };
	uint32_t *word = &rw->head->gate, g;
	int r;

	if (w->deadline)
		__kipc_spin_until(&rw->gate_spin, gate_moved, &arg);
	for (;;) {
		/* [C] what the writer wrote is seen; pairs with: open_gate() */
		g = load_acquire(word);
		*gate = g;
		if (!waits(g, in))
			return 0;
		if ((g & OWNER) > rw->seg->npeers)
			return -EPROTO;
		if (w->deadline && !(g & SLEEPERS) && !cmpxchg(word, g, g | SLEEPERS))
			continue;
		if (w->deadline) {
			KIPC_POINT("rw.sleeper");
			g |= SLEEPERS;
		}
		r = sleep_on(rw, w, word, g, g & OWNER);
		/* another may have repaired it just now */
		if (r && (r != -EAGAIN || waits(load_relaxed(word), in)))
			return r;
	}
}

/* We are in the count, and the gate was not open, or torn. */
__cold int __kipc_rw_shared_slow(struct kipc_rwlock *rw, uint32_t gate, int64_t timeout_ns)
{
	struct watch w = WATCH(__kipc_deadline(timeout_ns));
	int r;

	while (gate & OWNER) {
		if (gate & IN) {
			/* our turn is next: in whatever state it is then, it is not the next writer's */
			r = wait_gate(rw, &w, IN, &gate);
			if (!r)
				break;
			leave(rw);
			return r;
		}
		leave(rw);
		r = wait_gate(rw, &w, 0, &gate);
		if (r)
			return r;
		fetch_add(__kipc_rw_held(rw, rw->seg->slot), 1);
		KIPC_POINT("rw.counted_again");
		gate = load_seq_cst(&rw->head->gate);	/* as in __kipc_rw_shared() [A] */
	}
	return told(gate);
}

/* ---- writers ---- */

static void wake_readers(struct kipc_rwlock *rw, uint32_t gate)
{
	if (unlikely(gate & SLEEPERS)) {
		__kipc_futex_wake(&rw->head->gate, INT_MAX);
		KIPC_POINT("rw.readers_told");
	}
}

/* rw_lock held.  0, or -EPROTO: it is somebody else's. */
static int close_gate(struct kipc_rwlock *rw)
{
	uint32_t gate = load_relaxed(&rw->head->gate);

	do
		if (gate & (OWNER | IN))
			return -EPROTO;
	/* before the look at the readers; pairs with: __kipc_rw_shared() [A], leave() */
	while (!try_cmpxchg(&rw->head->gate, &gate, gate | rw->seg->slot));
	KIPC_POINT("rw.closed");
	return 0;
}

/* For those that wait, after what was written; pairs with: wait_gate() [C], __kipc_rw_shared() [A] */
static int open_gate(struct kipc_rwlock *rw, uint32_t to)
{
	uint32_t gate = xchg(&rw->head->gate, to);
	int r;

	KIPC_POINT("rw.opened");
	r = __kipc_lock_release(rw->seg, &rw->head->rw_lock);
	/* who dies before this leaves the sleepers to their 10 ms */
	wake_readers(rw, gate);
	return r;
}

static bool left(void *arg)
{
	return !load_relaxed((uint32_t *)arg);
}

/* Until everybody has left who came before the gate was closed. */
static int drain(struct kipc_rwlock *rw, int64_t deadline)
{
	uint32_t high = slots(rw);
	int r = 0;

	for (uint32_t slot = 1; slot <= high && !r; slot++) {
		struct watch w = WATCH(deadline);
		uint32_t *held = __kipc_rw_held(rw, slot), n;

		if (likely(!load_seq_cst(held)))
			continue;
		if (deadline)
			__kipc_spin_until(&rw->drain_spin, left, held);
		while (!r && (n = load_seq_cst(held)))
			r = sleep_on(rw, &w, held, n, slot);
		if (r == -EAGAIN && !load_seq_cst(held))
			r = 0;		/* as in wait_gate() */
	}
	return r;
}

/* Closing the gate for nothing would only hold up readers. */
static int nobody_in(struct kipc_rwlock *rw)
{
	return drain(rw, 0);
}

int __kipc_rw_exclusive(struct kipc_rwlock *rw, int64_t timeout_ns)
{
	int64_t deadline = __kipc_deadline(timeout_ns);
	uint32_t gate;
	int r;

	if (rw->seg->readonly)
		return -EACCES;
	r = deadline ? 0 : nobody_in(rw);
	if (!r)
		r = __kipc_lock_acquire(rw->seg, &rw->head->rw_lock, deadline);
	if (r && r != -EOWNERDEAD)	/* what a dead one left of the data, the gate knows */
		return r;
	r = close_gate(rw);
	if (r) {
		__kipc_lock_release(rw->seg, &rw->head->rw_lock);
		return r;
	}
	r = drain(rw, deadline);
	if (r) {
		open_gate(rw, load_relaxed(&rw->head->gate) & TORN);
		return r;
	}
	gate = fetch_or(&rw->head->gate, IN);
	KIPC_POINT("rw.in");
	if (gate & TORN)
		stat_inc(&rw->head->rw_healed);
	return told(gate);
}

int __kipc_rw_unlock(struct kipc_rwlock *rw)
{
	uint32_t gate = load_relaxed(&rw->head->gate);

	if (rw->seg->readonly)
		return -EPERM;
	/* no thread of ours can be in beside a writer of ours */
	if ((gate & OWNER) == rw->seg->slot && (gate & IN))
		return open_gate(rw, 0);
	return leave(rw) ? 0 : -EPERM;
}

/* ---- deaths ---- */

int __kipc_rw_repair(struct kipc_rwlock *rw, uint32_t slot)
{
	uint32_t *held = __kipc_rw_held(rw, slot);
	uint32_t gate = load_acquire(&rw->head->gate);
	int claims = 0;

	if (xchg(held, 0)) {
		claims++;
		KIPC_POINT("rw.dead_left");
		__kipc_futex_wake(held, INT_MAX);
		KIPC_POINT("rw.dead_left_told");
	}
	while ((gate & OWNER) == slot) {
		uint32_t to = gate & (IN | TORN) ? TORN : 0;

		if (!try_cmpxchg(&rw->head->gate, &gate, to))
			continue;
		KIPC_POINT("rw.dead_opened");
		wake_readers(rw, gate);
		break;
	}
	return claims + __kipc_lock_repair(&rw->head->rw_lock, slot);
}

struct kipc_rw_look __kipc_rw_look(const struct kipc_rwlock *rw)
{
	uint32_t gate = load_acquire(&rw->head->gate);
	struct kipc_rw_look look = { .exclusive = gate & IN, .torn = (gate & TORN) && !(gate & IN) };

	uint32_t high = slots(rw);

	for (uint32_t slot = 1; slot <= high; slot++)
		look.shared += load_relaxed(__kipc_rw_held(rw, slot));
	return look;
}
