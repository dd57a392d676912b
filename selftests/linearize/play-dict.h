/* SPDX-License-Identifier: MIT */
/* Histories of three keys of a dict whose table is small, or growing, or shrinking. */
#ifndef SELFTESTS_LINEARIZE_PLAY_DICT_H
#define SELFTESTS_LINEARIZE_PLAY_DICT_H

#include <kipc/check.h>
#include <kipc/dict.h>
#include <kipc/manager.h>

#include "model-dict.h"
#include "round.h"

#define KEYS	3

/* Made once a test: its end is that of the manager. */
static struct kipc_manager *dict_manager;
static struct kipc_dict *the_dict;

static void make_dict(struct round *r)
{
	uint32_t others = below(&r->seed, 80);

	if (!dict_manager) {
		ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &dict_manager));
		ASSERT_EQ(0, kipc_dict_create(dict_manager, NULL, &the_dict));
	}
	ASSERT_EQ(0, kipc_dict_clear(the_dict));
	for (uint32_t i = 0; i < others; i++)
		ASSERT_EQ(0, kipc_dict_set(the_dict, kipc_int(1000 + i), kipc_none()));
}

static void end_dict(struct round *r)
{
	KIPC_OPTS(kipc_report, report, .flags = KIPC_CHECK_SETTLE | KIPC_CHECK_IDLE);

	if (r->rounds % 8)
		return;
	if (!EXPECT_EQ(0, kipc_check(kipc_manager_object(dict_manager), &report)))
		ksft_log("%s", report.first);
	EXPECT_EQ(0, report.dead_claims);
}

static void sweep_dict(struct round *r)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	(void)r;
	EXPECT_EQ(0, kipc_manager_stat(dict_manager, &st));
}

static void dict_choose(struct worker *w, struct lin_op *op, bool last)
{
	static const int16_t kinds[] = { DICT_SET, DICT_SET, DICT_GET, DICT_GET, DICT_DEL,
					 DICT_POP, DICT_SETDEFAULT, DICT_SETDEFAULT,
					 DICT_CONTAINS };

	(void)last;
	op->kind = kinds[below(&w->seed, sizeof(kinds) / sizeof(kinds[0]))];
	op->key = below(&w->seed, KEYS);
	op->arg = new_value(w->r);
}

/* Values are long enough not to stand in the table itself; the number is at both ends. */
#define VALUE_LEN 100

static int64_t number_of(struct kipc_value *v)
{
	int64_t first = -1, last = -2;

	if (v->type == KIPC_BYTES && v->len == VALUE_LEN) {
		memcpy(&first, v->data, sizeof(first));
		memcpy(&last, (const char *)v->data + VALUE_LEN - sizeof(last), sizeof(last));
	}
	kipc_value_clear(v);
	EXPECT_EQ(first, last);
	return first;
}

static void dict_call(struct worker *w, struct lin_op *op)
{
	struct kipc_value key = kipc_int(op->key), v;
	char bytes[VALUE_LEN] = { 0 };

	(void)w;
	memcpy(bytes, &op->arg, sizeof(op->arg));
	memcpy(bytes + VALUE_LEN - sizeof(op->arg), &op->arg, sizeof(op->arg));
	switch (op->kind) {
	case DICT_SET:
		op->result = kipc_dict_set(the_dict, key, kipc_bytes(bytes, sizeof(bytes)));
		return;
	case DICT_DEL:
		op->result = kipc_dict_del(the_dict, key);
		return;
	case DICT_CONTAINS:
		op->result = kipc_dict_contains(the_dict, key);
		return;
	case DICT_GET:
		op->result = kipc_dict_get(the_dict, key, &v);
		break;
	case DICT_POP:
		op->result = kipc_dict_pop(the_dict, key, &v);
		break;
	case DICT_SETDEFAULT:
		op->result = kipc_dict_setdefault(the_dict, key, kipc_bytes(bytes, sizeof(bytes)),
						  &v);
		break;
	}
	if (op->result >= 0)
		op->value = number_of(&v);
}

/* Each key once. */
static bool dict_rest(struct worker *w, struct lin_op *op)
{
	op->kind = DICT_GET;
	op->key = w->r->sh->h.of[w->who].n;
	return op->key < KEYS;
}

static __ksft_unused const struct subject dict_subject = {
	.model = &dict_model,
	.keys = KEYS,
	.death = -1,
	.late = true,
	.len = 1500,
	.make = make_dict,
	.end = end_dict,
	.choose = dict_choose,
	.call = dict_call,
	.sweep = sweep_dict,
	.look = dict_rest,
};

#endif
