/* SPDX-License-Identifier: MIT */
/*
 * One key of a dict, as include/kipc/dict.h promises it: a value or none, and every call on it
 * happens at one moment.
 *
 * A call whose process was killed has happened or not.  If it has, that may be long after the
 * death: what was half done is finished by whoever takes the lock next.  So `returned` of a
 * pending call is to be the end of the round.
 *
 * Values are 0..INT32_MAX.
 */
#ifndef SELFTESTS_LINEARIZE_MODEL_DICT_H
#define SELFTESTS_LINEARIZE_MODEL_DICT_H

#include "lin.h"

enum {
	DICT_SET,		/* arg: the value */
	DICT_GET,
	DICT_DEL,
	DICT_POP,
	DICT_SETDEFAULT,	/* arg: the value, if there is none */
	DICT_CONTAINS,
};

#define DICT_NONE	(-1)

static inline int32_t dict_value(const struct lin_state *s)
{
	int32_t v;

	memcpy(&v, s->bytes, sizeof(v));
	return v;
}

static inline struct lin_state dict_state(int32_t v)
{
	struct lin_state s = { { 0 } };

	memcpy(s.bytes, &v, sizeof(v));
	return s;
}

static inline void dict_init(struct lin_state *s, int32_t param)
{
	(void)param;
	*s = dict_state(DICT_NONE);
}

static inline int dict_points(const struct lin_op *op)
{
	(void)op;
	return 1;
}

/* What the key holds afterwards. */
static inline int32_t dict_after(const struct lin_op *op, int32_t v)
{
	switch (op->kind) {
	case DICT_SET:
		return (int32_t)op->arg;
	case DICT_DEL:
	case DICT_POP:
		return DICT_NONE;
	case DICT_SETDEFAULT:
		return v == DICT_NONE ? (int32_t)op->arg : v;
	}
	return v;
}

/* Whether the call may have returned what it did. */
static inline bool dict_agrees(const struct lin_op *op, int32_t v)
{
	bool there = v != DICT_NONE;

	switch (op->kind) {
	case DICT_SET:
		return op->result == 0;
	case DICT_GET:
	case DICT_POP:
		return there ? op->result == 0 && op->value == v : op->result == -ENOENT;
	case DICT_DEL:
		return op->result == (there ? 0 : -ENOENT);
	case DICT_SETDEFAULT:
		return there ? op->result == 0 && op->value == v :
			       op->result == 1 && op->value == op->arg;
	case DICT_CONTAINS:
		return op->result == there;
	}
	return false;
}

static inline int dict_step(const struct lin_op *op, uint32_t who, int point,
			    const struct lin_state *s, struct lin_state next[LIN_NEXT])
{
	int32_t v = dict_value(s);

	(void)who;
	(void)point;
	if (!op->pending && !dict_agrees(op, v))
		return 0;
	next[0] = dict_state(dict_after(op, v));
	next[1] = *s;
	return op->pending ? 2 : 1;
}

static const char *const dict_kinds[] = { "set", "get", "del", "pop", "setdefault", "contains" };

static const struct lin_model dict_model = {
	.kinds = dict_kinds,
	.init = dict_init,
	.points = dict_points,
	.step = dict_step,
};

#endif
