/* SPDX-License-Identifier: MIT */
/*
 * A small queue, as include/kipc/queue.h and Documentation/design/queue.rst promise it.
 *
 * It can't be taken apart as a dict can, so histories are short: tens of calls, and no two messages
 * alike.  The ring of places is part of the promise (capacity is exact, a message in use counts,
 * places are used in turn), so it is in the model; hints, laps, bells and slots are not.
 *
 * The points of a call, in their order:
 *
 *	put		claims the next place, which is free; fills it
 *	put, full	the next place is in use
 *	take		looks for messages given back; takes the front one, if it is filled, or any
 *			of those given back (flagged)
 *	get		the same, and frees the place
 *	take, get, none	looks for messages given back; the front place is not filled
 *	done		frees the place
 *	requeue		gives the message back
 *	death		what the dead process held: a place that it had claimed becomes free, a
 *			message that it had taken is given back
 *
 * So order is the order of claims, and only one that comes again may leave it; a put whose process
 * stands still between its points holds up what is behind it.  The two points of a take are there
 * because the library looks at two words: what had been given back before the first, and nobody
 * else takes, must be preferred (`looked`); what comes between them need not be seen.
 *
 * Nobody holds more than one place at a time, so one point is enough for a death.
 */
#ifndef SELFTESTS_LINEARIZE_MODEL_QUEUE_H
#define SELFTESTS_LINEARIZE_MODEL_QUEUE_H

#include "lin.h"

enum {
	QUEUE_PUT,		/* arg: the message, 1..255 */
	QUEUE_GET,		/* value: the message */
	QUEUE_TAKE,		/* ... and flag: it comes again */
	QUEUE_DONE,		/* arg: the message */
	QUEUE_REQUEUE,
	QUEUE_DEATH,
};

#define QUEUE_CAPACITY_MAX	4

enum { PLACE_FREE, PLACE_CLAIMED, PLACE_FILLED, PLACE_TAKEN, PLACE_GIVEN_BACK };

struct queue_state {
	uint8_t capacity;
	uint8_t head, tail;	/* places taken and claimed since the beginning */
	struct {
		uint8_t phase;	/* PLACE_* */
		uint8_t holder;
		uint8_t msg;
	} place[QUEUE_CAPACITY_MAX];
	uint8_t looked[LIN_PROCS];	/* places with messages given back that it saw: bits */
};

_Static_assert(sizeof(struct queue_state) <= LIN_STATE, "a queue fits a state");

static inline int queue_pack(const struct queue_state *q, struct lin_state *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->bytes, q, sizeof(*q));
	return 1;
}

static inline void queue_init(struct lin_state *s, int32_t param)
{
	ASSERT_LE(param, QUEUE_CAPACITY_MAX);
	queue_pack(&(struct queue_state){ .capacity = (uint8_t)param }, s);
}

static inline bool queue_failed(const struct lin_op *op)
{
	return !op->pending && op->result < 0;
}

static inline int queue_points(const struct lin_op *op)
{
	switch (op->kind) {
	case QUEUE_PUT:
		return queue_failed(op) ? 1 : 2;
	case QUEUE_GET:
		return queue_failed(op) ? 2 : 3;
	case QUEUE_TAKE:
		return 2;
	}
	return 1;
}

/* ---- what can happen to places; each says whether it can ---- */

static inline bool queue_claim(struct queue_state *q, uint8_t who, uint8_t msg)
{
	uint8_t i = q->tail % q->capacity;

	if (q->place[i].phase != PLACE_FREE)
		return false;
	q->place[i].phase = PLACE_CLAIMED;
	q->place[i].holder = who;
	q->place[i].msg = msg;
	q->tail++;
	return true;
}

static inline void queue_free(struct queue_state *q, int i)
{
	q->place[i].phase = PLACE_FREE;
	q->place[i].holder = 0;
	q->place[i].msg = 0;
}

/* The place where `who` has the message in this phase, or -1.  msg 0: any. */
static inline int queue_find(const struct queue_state *q, uint8_t phase, uint8_t who, uint8_t msg)
{
	for (int i = 0; i < q->capacity; i++)
		if (q->place[i].phase == phase && q->place[i].holder == who &&
		    (!msg || q->place[i].msg == msg))
			return i;
	return -1;
}

static inline bool queue_fill(struct queue_state *q, uint8_t who)
{
	int i = queue_find(q, PLACE_CLAIMED, who, 0);

	if (i < 0)
		return false;
	q->place[i].phase = PLACE_FILLED;
	q->place[i].holder = 0;
	return true;
}

static inline void queue_look(struct queue_state *q, uint8_t who)
{
	q->looked[who] = 0;
	for (int i = 0; i < q->capacity; i++)
		if (q->place[i].phase == PLACE_GIVEN_BACK)
			q->looked[who] |= (uint8_t)(1 << i);
}

/* The front place, those that were given up passed over; -1: nothing was claimed beyond. */
static inline int queue_front(struct queue_state *q)
{
	while (q->head != q->tail) {
		int i = q->head % q->capacity;

		if (q->place[i].phase == PLACE_CLAIMED || q->place[i].phase == PLACE_FILLED)
			return i;
		q->head++;
	}
	return -1;
}

static inline bool queue_none(struct queue_state *q, uint8_t who)
{
	int i = queue_front(q);

	return !q->looked[who] && (i < 0 || q->place[i].phase == PLACE_CLAIMED);
}

/* Takes what is at place i, if it can be taken. */
static inline bool queue_take(struct queue_state *q, uint8_t who, int i)
{
	if (q->place[i].phase == PLACE_GIVEN_BACK) {
		for (int p = 0; p < LIN_PROCS; p++)
			q->looked[p] &= (uint8_t)~(1 << i);
	} else if (q->place[i].phase != PLACE_FILLED || i != queue_front(q) || q->looked[who]) {
		return false;
	}
	q->looked[who] = 0;
	q->place[i].phase = PLACE_TAKEN;
	q->place[i].holder = who;
	queue_front(q);
	return true;
}

static inline bool queue_give_back(struct queue_state *q, uint8_t who, uint8_t msg)
{
	int i = queue_find(q, PLACE_TAKEN, who, msg);

	if (i < 0)
		return false;
	q->place[i].phase = PLACE_GIVEN_BACK;
	q->place[i].holder = 0;
	return true;
}

static inline bool queue_done(struct queue_state *q, uint8_t who, uint8_t msg)
{
	int i = queue_find(q, PLACE_TAKEN, who, msg);

	if (i >= 0)
		queue_free(q, i);
	return i >= 0;
}

static inline void queue_death(struct queue_state *q, uint8_t who)
{
	int i = queue_find(q, PLACE_CLAIMED, who, 0);

	q->looked[who] = 0;
	if (i >= 0)
		queue_free(q, i);
	queue_give_back(q, who, 0);
	queue_front(q);
}

/* ---- points ---- */

/* The call was let through: its points have one outcome. */
static inline bool queue_happens(struct queue_state *q, const struct lin_op *op, uint8_t who,
				 int point)
{
	uint8_t msg = (uint8_t)(op->kind == QUEUE_GET || op->kind == QUEUE_TAKE ? op->value :
										  op->arg);

	switch (op->kind) {
	case QUEUE_PUT:
		if (queue_failed(op))
			return q->place[q->tail % q->capacity].phase != PLACE_FREE;
		return point ? queue_fill(q, who) : queue_claim(q, who, msg);
	case QUEUE_GET:
	case QUEUE_TAKE:
		if (point == 0) {
			queue_look(q, who);
			return true;
		}
		if (queue_failed(op))
			return queue_none(q, who);
		if (point == 2)
			return queue_done(q, who, msg);
		for (int i = 0; i < q->capacity; i++) {
			bool again = q->place[i].phase == PLACE_GIVEN_BACK;

			if (q->place[i].msg == msg)
				return (op->kind == QUEUE_GET || again == op->flag) &&
				       queue_take(q, who, i);
		}
		return false;
	case QUEUE_DONE:
		return queue_done(q, who, msg);
	case QUEUE_REQUEUE:
		return queue_give_back(q, who, msg);
	}
	return false;
}

/* Its process was killed in it: this may have happened.  What it took may be at any place. */
static inline bool queue_may_happen(struct queue_state *q, const struct lin_op *op, uint8_t who,
				    int point, int place)
{
	if ((op->kind == QUEUE_GET || op->kind == QUEUE_TAKE) && point == 1)
		return queue_take(q, who, place);
	if (place > 0)
		return false;
	switch (op->kind) {
	case QUEUE_PUT:
		return point ? queue_fill(q, who) : queue_claim(q, who, (uint8_t)op->arg);
	case QUEUE_REQUEUE:
		return queue_give_back(q, who, 0);
	case QUEUE_GET:
	case QUEUE_TAKE:
		if (point == 0) {
			queue_look(q, who);
			return true;
		}
		break;
	}
	return queue_done(q, who, 0);
}

static inline int queue_step(const struct lin_op *op, uint32_t who, int point,
			     const struct lin_state *s, struct lin_state next[LIN_NEXT])
{
	struct queue_state q;
	uint8_t me = (uint8_t)who;
	int n;

	memcpy(&q, s->bytes, sizeof(q));
	if (op->kind == QUEUE_DEATH) {
		queue_death(&q, me);
		return queue_pack(&q, &next[0]);
	}
	if (!op->pending)
		return queue_happens(&q, op, me, point) ? queue_pack(&q, &next[0]) : 0;
	n = queue_pack(&q, &next[0]);	/* nothing happened */
	for (int place = 0; place < q.capacity; place++) {
		struct queue_state to = q;

		if (queue_may_happen(&to, op, me, point, place))
			n += queue_pack(&to, &next[n]);
	}
	return n;
}

static const char *const queue_kinds[] = { "put", "get", "take", "done", "requeue", "death" };

static const struct lin_model queue_model = {
	.kinds = queue_kinds,
	.init = queue_init,
	.points = queue_points,
	.step = queue_step,
};

#endif
