// SPDX-License-Identifier: MIT
/* The list's operations, on values in slots and values in blocks of their own. */
#include <errno.h>
#include <string.h>

#include <kipc/list.h>

#include "arena.h"
#include "../manager/values.h"

#define LEN		12
#define NUMBER(i)	(100 + (uint64_t)(i) * 13)	/* of the values that are there before */
#define AN_INT		25
#define LONG_STR	(64 * 8 + 8 * 3 + 6)		/* in a block */
#define MARK		1001				/* the survivor's */
#define SECOND		2001				/* the second victim's */

static struct kipc_list *l;
static struct value_buf bufs[8];
static struct kipc_value vals[8];
static uint64_t after[LEN + 8];		/* numbers, when it has happened */
static int nafter;

static int make(void)
{
	struct value_buf buf;
	int r = make_manager();

	if (!r)
		r = kipc_list_create(m, "list", &l);
	for (int i = 0; i < LEN && !r; i++)
		r = kipc_list_append(l, value_of(NUMBER(i), &buf));
	for (nafter = 0; nafter < LEN; nafter++)
		after[nafter] = NUMBER(nafter);
	return r;
}

static void expect_insert(int at, uint64_t number)
{
	memmove(after + at + 1, after + at, (size_t)(nafter - at) * sizeof(*after));
	after[at] = number;
	nafter++;
}

static void expect_removal(int at)
{
	nafter--;
	memmove(after + at, after + at + 1, (size_t)(nafter - at) * sizeof(*after));
}

static void prepare_values(uint64_t first)
{
	for (uint64_t i = 0; i < 8; i++)
		vals[i] = value_of(first + i, &bufs[i]);
}

static int make_append(void)
{
	int r = make();

	prepare_values(AN_INT);
	expect_insert(LEN, AN_INT);
	return r;
}

static int make_append_block(void)
{
	int r = make();

	prepare_values(LONG_STR);
	expect_insert(LEN, LONG_STR);
	return r;
}

static int make_insert(void)
{
	int r = make();

	prepare_values(LONG_STR);
	expect_insert(2, LONG_STR);
	return r;
}

static int make_set(void)
{
	int r = make();

	prepare_values(AN_INT);
	after[4] = AN_INT;
	return r;
}

/* NUMBER(6) is a str of 30 bytes, in a block. */
static int make_set_block(void)
{
	int r = make();

	prepare_values(LONG_STR);
	after[6] = LONG_STR;
	return r;
}

static int make_pop(void)
{
	int r = make();

	expect_removal(6);
	return r;
}

static int make_pop_last(void)
{
	int r = make();

	expect_removal(LEN - 1);
	return r;
}

static int make_extend(void)
{
	int r = make();

	prepare_values(LONG_STR);
	for (int i = 0; i < 5; i++)
		expect_insert(LEN + i, LONG_STR + (uint64_t)i);
	return r;
}

static int op_append(void)
{
	return kipc_list_append(l, vals[0]);
}

static int op_insert(void)
{
	return kipc_list_insert(l, 2, vals[0]);
}

static int op_set(void)
{
	return kipc_list_set(l, 4, vals[0]);
}

static int op_set_block(void)
{
	return kipc_list_set(l, 6, vals[0]);
}

static int op_pop(void)
{
	return kipc_list_pop(l, 6, NULL);
}

static int op_pop_last(void)
{
	return kipc_list_pop(l, -1, NULL);
}

static int op_extend(void)
{
	return kipc_list_extend(l, vals, 5);
}

static int op_append_second(void)
{
	return kipc_list_append(l, kipc_int(SECOND));
}

static int append(void)
{
	return kipc_list_append(l, kipc_int(MARK));
}

/* The number of the value there, or an error. */
static int64_t number_at(int64_t i)
{
	struct kipc_value v;
	int r = kipc_list_get(l, i, &v);
	int64_t n;

	if (r)
		return r;
	n = (int64_t)value_number(&v);
	kipc_value_clear(&v);
	return n;
}

static bool holds(const uint64_t *numbers, int n)
{
	if (kipc_list_len(l) != n)
		return false;
	for (int i = 0; i < n; i++)
		if (number_at(i) != (int64_t)numbers[i])
			return false;
	return true;
}

#define WITH_SECOND 16

static int state(void)
{
	uint64_t before[LEN];
	bool is_old, is_new, second;

	if (crash_expect("the survivor's value", number_at(-1), MARK) ||
	    crash_expect("taking it out", kipc_list_pop(l, -1, NULL), 0))
		return -1;
	second = number_at(-1) == SECOND;
	if (second && crash_expect("taking the second one out", kipc_list_pop(l, -1, NULL), 0))
		return -1;
	for (int i = 0; i < LEN; i++)
		before[i] = NUMBER(i);
	is_old = holds(before, LEN);
	is_new = holds(after, nafter);
	if (!is_old && !is_new)
		return crash_bad("%ld values, neither as before nor as after",
				 (long)kipc_list_len(l));
	if (crash_expect("insert", kipc_list_insert(l, 3, kipc_str("in a block, longer than a slot")), 0) ||
	    crash_expect("pop", kipc_list_pop(l, 3, NULL), 0))
		return -1;
	return is_new + second * WITH_SECOND;
}

CRASH_OPS(crash_list_ops) = {
	{ "list", "append", CRASH_CORE, make_append, enter, op_append, append, state, 1, NULL, 0, NULL },
	{ "list", "append, a block", 0, make_append_block, enter, op_append, append, state, 1, NULL, 0,
	  NULL },
	{ "list", "insert", CRASH_PAIR, make_insert, enter, op_insert, append, state, 1,
	  op_append_second, WITH_SECOND, NULL },
	{ "list", "set", CRASH_CORE, make_set, enter, op_set, append, state, 1, NULL, 0, NULL },
	{ "list", "set, a block", CRASH_PAIR, make_set_block, enter, op_set_block, append, state, 1,
	  op_append_second, WITH_SECOND, NULL },
	{ "list", "pop", 0, make_pop, enter, op_pop, append, state, 1, NULL, 0, NULL },
	{ "list", "pop, last", 0, make_pop_last, enter, op_pop_last, append, state, 1, NULL, 0, NULL },
	{ "list", "extend 5", 0, make_extend, enter, op_extend, append, state, 1, NULL, 0, NULL },
	{ 0 },
};
