// SPDX-License-Identifier: MIT
/*
 * The dict's operations.  All keys are of one stripe, and the hash has a fixed key, so that a set can
 * be had that splits a bucket while the table is between two powers of two.
 */
#include <errno.h>
#include <string.h>

#include <kipc/dict.h>

#include "arena.h"
#include "manager/dict.h"
#include "../manager/values.h"

#define KEYS_MAX	64
#define MARK		1001
#define SECOND		2001
#define LONG_STR	(64 * 8 + 8 * 3 + 6)
#define SPLIT_AT	5	/* buckets: neither 4 nor 8 */

static struct kipc_dict *d;
static int64_t keys[KEYS_MAX];	/* of stripe 0 */
static int nkeys;		/* that are there before */
static struct value_buf buf;
static struct kipc_value val;

static uint64_t value_before(int i)
{
	return 100 + (uint64_t)i * 13;
}

static int find_keys(void)
{
	int n = 0;

	for (int64_t i = 0; n < KEYS_MAX; i++) {
		struct kipc_value v = kipc_int(i);
		struct kipc_dict_key k;
		int r = __kipc_dict_key(d, &v, &k);

		if (r)
			return r;
		if (k.hash >> KIPC_DICT_STRIPE_SHIFT == 0)
			keys[n++] = i;
	}
	return 0;
}

static int make(int n)
{
	uint64_t hash_key[2] = { 1, 2 };
	struct value_buf b;
	int r = make_manager();

	if (!r)
		r = __kipc_object_create(m, NULL, &__kipc_dict_type, hash_key, (struct kipc_handle **)&d);
	if (!r)
		r = find_keys();
	nkeys = n;
	for (int i = 0; i < n && !r; i++)
		r = kipc_dict_set(d, kipc_int(keys[i]), value_of(value_before(i), &b));
	val = value_of(LONG_STR, &buf);
	return r;
}

static int make_plain(void)
{
	return make(4);
}

/* The next one splits. */
static int make_before_split(void)
{
	int r = make(SPLIT_AT * KIPC_DICT_LOAD);

	if (!r && __kipc_dict_shared(d)->stripes[0].shape != SPLIT_AT)
		return -EINVAL;
	return r;
}

static int set_next(void)
{
	return kipc_dict_set(d, kipc_int(keys[nkeys]), val);
}

static int replace(void)
{
	return kipc_dict_set(d, kipc_int(keys[1]), val);
}

static int del(void)
{
	return kipc_dict_del(d, kipc_int(keys[1]));
}

static int pop(void)
{
	struct kipc_value v;
	int r = kipc_dict_pop(d, kipc_int(keys[1]), &v);

	return r;
}

static int setdefault(void)
{
	struct kipc_value v;

	return kipc_dict_setdefault(d, kipc_int(keys[nkeys]), val, &v) < 0;
}

static int set_second(void)
{
	return kipc_dict_set(d, kipc_int(keys[KEYS_MAX - 1]), kipc_int(SECOND));
}

/* Of the same stripe: meets what the dead held. */
static int set_mark(void)
{
	return kipc_dict_set(d, kipc_int(keys[KEYS_MAX - 2]), kipc_int(MARK));
}

/* The number of the key's value, or an error. */
static int64_t number_of(int key)
{
	struct kipc_value v;
	int r = kipc_dict_get(d, kipc_int(keys[key]), &v);
	int64_t n;

	if (r)
		return r;
	n = (int64_t)value_number(&v);
	kipc_value_clear(&v);
	return n;
}

#define WITH_SECOND 16

/* Takes the survivor's and the second one's out; whether the second's was there, or -1. */
static int take_out(void)
{
	int second = number_of(KEYS_MAX - 1) == SECOND;

	if (crash_expect("the survivor's value", number_of(KEYS_MAX - 2), MARK) ||
	    crash_expect("deleting it", kipc_dict_del(d, kipc_int(keys[KEYS_MAX - 2])), 0))
		return -1;
	if (second && crash_expect("deleting the second one's",
				   kipc_dict_del(d, kipc_int(keys[KEYS_MAX - 1])), 0))
		return -1;
	return second;
}

/* As before but for that key. */
static int others_there(int but, int64_t len)
{
	if (crash_expect("len", kipc_dict_len(d), len))
		return -1;
	for (int i = 0; i < nkeys; i++)
		if (i != but && crash_expect("a value", number_of(i), (int64_t)value_before(i)))
			return -1;
	for (int i = 0; i < KEYS_MAX; i++) {
		bool in = i < nkeys && i != but;

		if (i != but && i != nkeys &&
		    crash_expect("contains", kipc_dict_contains(d, kipc_int(keys[i])), in))
			return -1;
	}
	/* and it goes on */
	for (int i = nkeys + 1; i < nkeys + 5; i++)
		if (crash_expect("set", kipc_dict_set(d, kipc_int(keys[i]), kipc_int(i)), 0))
			return -1;
	for (int i = nkeys + 1; i < nkeys + 5; i++)
		if (crash_expect("del", kipc_dict_del(d, kipc_int(keys[i])), 0))
			return -1;
	return 0;
}

static int inserted(void)
{
	int second = take_out();
	int64_t n = number_of(nkeys);

	if (second < 0 || others_there(-1, nkeys + (n >= 0)))
		return -1;
	if (n != LONG_STR && n != -ENOENT)
		return crash_bad("the new key: %ld", (long)n);
	return (n == LONG_STR) + second * WITH_SECOND;
}

static int replaced(void)
{
	int second = take_out();
	int64_t n = number_of(1);

	if (second < 0 || others_there(1, nkeys))
		return -1;
	if (n != LONG_STR && n != (int64_t)value_before(1))
		return crash_bad("the key's value: %ld", (long)n);
	return (n == LONG_STR) + second * WITH_SECOND;
}

static int removed(void)
{
	int second = take_out();
	int64_t n = number_of(1);

	if (second < 0 || others_there(1, nkeys - (n < 0)))
		return -1;
	if (n != (int64_t)value_before(1) && n != -ENOENT)
		return crash_bad("the key: %ld", (long)n);
	return (n == -ENOENT) + second * WITH_SECOND;
}

CRASH_OPS(crash_dict_ops) = {
	{ "dict", "set, insert", CRASH_PAIR, make_plain, enter, set_next, set_mark, inserted, 1,
	  set_second, WITH_SECOND, NULL },
	{ "dict", "set, replace", 0, make_plain, enter, replace, set_mark, replaced, 1, NULL, 0, NULL },
	{ "dict", "set, in a resize", CRASH_PAIR, make_before_split, enter, set_next, set_mark, inserted,
	  1, set_second, WITH_SECOND, NULL },
	{ "dict", "setdefault", 0, make_plain, enter, setdefault, set_mark, inserted, 1, NULL, 0, NULL },
	{ "dict", "del", 0, make_plain, enter, del, set_mark, removed, 1, NULL, 0, NULL },
	{ "dict", "del, in a resize", 0, make_before_split, enter, del, set_mark, removed, 1, NULL, 0,
	  NULL },
	{ "dict", "pop", 0, make_plain, enter, pop, set_mark, removed, 1, NULL, 0, NULL },
	{ 0 },
};
