/* SPDX-License-Identifier: MIT */
/*
 * A lock, as include/kipc/lock.h promises it: one holder at a time; after the death of a holder the
 * next one, and only that one, is told.
 *
 * param: 1 for an rlock, whose holder may acquire it again.
 * Failed calls: there was a holder at some moment of the call (for an rlock: another one).
 * LOCK_DEATH: somebody found out, and what the dead one held became free, and marked.
 */
#ifndef SELFTESTS_LINEARIZE_MODEL_LOCK_H
#define SELFTESTS_LINEARIZE_MODEL_LOCK_H

#include "lin.h"

enum { LOCK_ACQUIRE, LOCK_RELEASE, LOCK_DEATH };

struct lock_state {
	uint8_t holder;		/* process + 1, or 0 */
	uint8_t count;
	uint8_t died;		/* the last holder did */
	uint8_t again;		/* param */
};

static inline struct lin_state lock_pack(const struct lock_state *l)
{
	struct lin_state s = { { 0 } };

	memcpy(s.bytes, l, sizeof(*l));
	return s;
}

static inline void lock_init(struct lin_state *s, int32_t param)
{
	*s = lock_pack(&(struct lock_state){ .again = (uint8_t)param });
}

static inline int lock_points(const struct lin_op *op)
{
	(void)op;
	return 1;
}

/* Whether it is acquired; what that returns. */
static inline bool lock_acquired(struct lock_state *l, uint8_t me, int64_t *result)
{
	*result = 0;
	if (l->holder == me && l->again) {
		l->count++;
		return true;
	}
	if (l->holder)
		return false;
	*result = l->died ? -EOWNERDEAD : 0;
	l->holder = me;
	l->count = 1;
	l->died = 0;
	return true;
}

static inline bool lock_released(struct lock_state *l, uint8_t me)
{
	if (l->holder != me)
		return false;
	if (--l->count == 0)
		l->holder = 0;
	return true;
}

static inline int lock_step(const struct lin_op *op, uint32_t who, int point,
			    const struct lin_state *s, struct lin_state next[LIN_NEXT])
{
	uint8_t me = (uint8_t)(who + 1);
	int64_t result = 0;
	struct lock_state l;
	bool done;

	(void)point;
	memcpy(&l, s->bytes, sizeof(l));
	if (op->kind == LOCK_DEATH) {
		if (l.holder == me)
			l = (struct lock_state){ .died = 1, .again = l.again };
		next[0] = lock_pack(&l);
		return 1;
	}
	done = op->kind == LOCK_ACQUIRE ? lock_acquired(&l, me, &result) : lock_released(&l, me);
	if (op->pending) {
		next[0] = *s;
		next[1] = lock_pack(&l);
		return done ? 2 : 1;
	}
	if (op->kind == LOCK_RELEASE)
		result = done ? 0 : -EPERM;
	else if (!done)
		result = op->result == -ETIMEDOUT ? -ETIMEDOUT : -EAGAIN;
	next[0] = lock_pack(&l);
	return op->result == result;
}

static const char *const lock_kinds[] = { "acquire", "release", "death" };

static const struct lin_model lock_model = {
	.kinds = lock_kinds,
	.init = lock_init,
	.points = lock_points,
	.step = lock_step,
};

#endif
