// SPDX-License-Identifier: MIT
/*
 * Every operation of lists, dicts and locks on an arena that is changed under them.  The arena holds
 * objects "l", "d", "k" and "r" (objects.c), and new ones come and go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kipc/kipc.h>

#include "fuzz.h"

#define STEPS_MAX	150
#define SLOTS		3	/* handles of each kind that are kept */
#define VALUES		48

struct state {
	struct fuzz_pair pair;
	struct kipc_list *l[SLOTS];
	struct kipc_dict *d[SLOTS];
	struct kipc_lock *k[SLOTS];
	struct kipc_rlock *r[SLOTS];
	struct kipc_value got[VALUES], keys[VALUES];
};

static const char text[700] = "a text that is too long for a slot, and sometimes for a span's class";

static struct kipc_value value(struct state *s, struct fuzz_input *in)
{
	uint8_t b = fuzz_u8(in);

	switch (b % 12) {
	case 0:
		return kipc_none();
	case 1:
		return kipc_bool(b & 128);
	case 2 ... 4:
		return kipc_int((int64_t)fuzz_number(in));
	case 5:
		return kipc_double((double)fuzz_u8(in));
	case 6:
		return kipc_bytes(text, fuzz_u16(in) % sizeof(text));
	case 7 ... 8:
		return kipc_strn(text, fuzz_u8(in) % 40);
	case 9:
		return kipc_ref(kipc_list_handle(s->l[fuzz_u8(in) % SLOTS]));
	case 10:
		return kipc_ref(kipc_dict_handle(s->d[fuzz_u8(in) % SLOTS]));
	default:
		return kipc_str("short");
	}
}

static void end_values(struct kipc_value *v, int64_t n)
{
	fuzz_assert(n <= VALUES);
	for (int64_t i = 0; i < n; i++) {
		if (v[i].type == KIPC_STR || v[i].type == KIPC_BYTES)
			fuzz_touch(v[i].data, v[i].len);
		kipc_value_clear(&v[i]);
	}
}

static int see(int64_t index, struct kipc_value *v, void *arg)
{
	struct kipc_value copy;

	(void)index;
	if (!kipc_value_copy(&copy, v))
		kipc_value_clear(&copy);
	return --*(int *)arg < 0;
}

static int see_item(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	kipc_value_equal(key, v);
	return --*(int *)arg < 0;
}

static const char *name(struct fuzz_input *in)
{
	static const char *const names[] = { NULL, "l", "d", "k", "r", "x", NULL, "y" };

	return names[fuzz_u8(in) % ARRAY_SIZE(names)];
}

static void list_step(struct state *s, struct fuzz_input *in, struct kipc_list *l)
{
	int64_t index = (int64_t)fuzz_number(in);
	struct kipc_value v = kipc_none(), many[5];
	int left = 60;
	int64_t n;

	switch (fuzz_u8(in) % 18) {
	case 0 ... 2:
		kipc_list_append(l, value(s, in));
		break;
	case 3:
		for (int i = 0; i < 5; i++)
			many[i] = value(s, in);
		kipc_list_extend(l, many, 1 + fuzz_u8(in) % 5);
		break;
	case 4 ... 5:
		kipc_list_insert(l, index, value(s, in));
		break;
	case 6 ... 7:
		if (!kipc_list_get(l, index, &v))
			end_values(&v, 1);
		break;
	case 8:
		kipc_list_set(l, index, value(s, in));
		break;
	case 9 ... 10:
		if (!kipc_list_pop(l, index, &v))
			end_values(&v, 1);
		break;
	case 11:
		kipc_list_remove(l, value(s, in));
		break;
	case 12:
		kipc_list_index(l, value(s, in), index, (int64_t)fuzz_number(in));
		kipc_list_count(l, value(s, in));
		break;
	case 13:
		n = kipc_list_slice(l, index, (int64_t)fuzz_number(in), (int64_t)fuzz_number(in),
				    s->got, VALUES);
		end_values(s->got, min_of(n, (int64_t)VALUES));
		break;
	case 14:
		kipc_list_reverse(l);
		break;
	case 15:
		kipc_list_sort(l);
		break;
	case 16:
		kipc_list_foreach(l, see, &left);
		kipc_list_len(l);
		break;
	case 17:
		kipc_list_clear(l);
		break;
	}
}

static void dict_step(struct state *s, struct fuzz_input *in, struct kipc_dict *d)
{
	struct kipc_value key = fuzz_u8(in) & 1 ? kipc_int((int64_t)fuzz_number(in)) : value(s, in);
	struct kipc_value v = kipc_none(), keys[4], values[4];
	int left = 60;
	int64_t n;

	switch (fuzz_u8(in) % 14) {
	case 0 ... 3:
		kipc_dict_set(d, key, value(s, in));
		break;
	case 4 ... 5:
		if (!kipc_dict_get(d, key, &v))
			end_values(&v, 1);
		break;
	case 6:
		kipc_dict_del(d, key);
		break;
	case 7:
		kipc_dict_contains(d, key);
		break;
	case 8:
		if (!kipc_dict_pop(d, key, &v))
			end_values(&v, 1);
		break;
	case 9:
		if (kipc_dict_setdefault(d, key, value(s, in), &v) >= 0)
			end_values(&v, 1);
		break;
	case 10:
		for (int i = 0; i < 4; i++) {
			keys[i] = kipc_int(fuzz_u8(in));
			values[i] = value(s, in);
		}
		kipc_dict_update(d, keys, values, 4);
		break;
	case 11:
		n = kipc_dict_items(d, s->keys, s->got, VALUES);
		end_values(s->keys, min_of(n, (int64_t)VALUES));
		end_values(s->got, min_of(n, (int64_t)VALUES));
		n = kipc_dict_keys(d, s->keys, VALUES);
		end_values(s->keys, min_of(n, (int64_t)VALUES));
		break;
	case 12:
		kipc_dict_foreach(d, see_item, &left);
		kipc_dict_len(d);
		break;
	case 13:
		kipc_dict_clear(d);
		break;
	}
}

static void lock_step(struct state *s, struct fuzz_input *in, int i)
{
	switch (fuzz_u8(in) % 4) {
	case 0:
		kipc_lock_acquire(s->k[i], fuzz_timeout(in));
		break;
	case 1:
		kipc_lock_release(s->k[i]);
		break;
	case 2:
		kipc_rlock_acquire(s->r[i], fuzz_timeout(in));
		break;
	case 3:
		kipc_rlock_release(s->r[i]);
		break;
	}
}

static void unref(struct state *s, int i, unsigned int kind)
{
	switch (kind % 4) {
	case 0:
		kipc_list_unref(s->l[i]);
		s->l[i] = NULL;
		break;
	case 1:
		kipc_dict_unref(s->d[i]);
		s->d[i] = NULL;
		break;
	case 2:
		kipc_lock_unref(s->k[i]);
		s->k[i] = NULL;
		break;
	case 3:
		kipc_rlock_unref(s->r[i]);
		s->r[i] = NULL;
		break;
	}
}

/* A handle of some kind in place i: made, opened, or taken out of a value. */
static void ref(struct state *s, struct fuzz_input *in, struct kipc_manager *m, int i)
{
	uint8_t how = fuzz_u8(in);
	bool open = how & 64;
	const char *n = name(in);

	unref(s, i, how);
	switch (how % 4) {
	case 0:
		open ? kipc_list_open(m, n, &s->l[i]) : kipc_list_create(m, n, &s->l[i]);
		break;
	case 1:
		open ? kipc_dict_open(m, n, &s->d[i]) : kipc_dict_create(m, n, &s->d[i]);
		break;
	case 2:
		open ? kipc_lock_open(m, n, &s->k[i]) : kipc_lock_create(m, n, &s->k[i]);
		break;
	case 3:
		open ? kipc_rlock_open(m, n, &s->r[i]) : kipc_rlock_create(m, n, &s->r[i]);
		break;
	}
}

/* l[40] is a reference to a list, d[text] one to l. */
static void from(struct state *s, struct fuzz_input *in, int i)
{
	struct kipc_value v = kipc_none();
	bool list = fuzz_u8(in) & 1;

	if (list && s->l[i])
		kipc_list_get(s->l[i], (int64_t)fuzz_number(in), &v);
	else if (!list && s->d[i])
		kipc_dict_get(s->d[i], value(s, in), &v);
	if (v.type != KIPC_REF) {
		kipc_value_clear(&v);
		return;
	}
	unref(s, i, 0);
	if (kipc_list_from(&v, &s->l[i]))
		kipc_value_clear(&v);
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);
	int which = op >> 7, i;
	struct kipc_manager *m = kipc_object_manager(s->pair.obj[which]);
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	op &= 127;
	if (op < 48) {
		fuzz_patch(in, &s->pair.mem);
		return;
	}
	i = fuzz_u8(in) % SLOTS;
	switch (op) {
	case 48 ... 67:
		if (s->l[i])
			list_step(s, in, s->l[i]);
		break;
	case 68 ... 87:
		if (s->d[i])
			dict_step(s, in, s->d[i]);
		break;
	case 88 ... 93:
		if (s->k[i] && s->r[i])
			lock_step(s, in, i);
		break;
	case 94 ... 103:
		if (m)
			ref(s, in, m, i);
		break;
	case 104 ... 107:
		unref(s, i, fuzz_u8(in));
		break;
	case 108 ... 111:
		from(s, in, i);
		break;
	case 112 ... 113:
		if (m)
			kipc_manager_remove(m, name(in));
		break;
	case 114:
		if (m && !kipc_manager_stat(m, &st))
			fuzz_assert(st.peers <= 6);
		break;
	case 115 ... 117:
		fuzz_storm_begin(in, &s->pair.mem);
		break;
	case 118:
		fuzz_storm_end();
		break;
	case 119 ... 121:
		fuzz_pair_reopen(&s->pair, KIPC_SEG_MANAGER, which);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	static struct state s;
	struct kipc_manager *m;
	int fds;

	fuzz_image(KIPC_SEG_MANAGER);
	memset(&s, 0, sizeof(s));
	fds = fuzz_fds_begin();
	fuzz_pair_open(&s.pair, KIPC_SEG_MANAGER);
	for (int i = 0; i < 2; i++) {
		m = kipc_object_manager(s.pair.obj[i]);
		fuzz_assert(!kipc_list_open(m, "l", &s.l[i]));
		fuzz_assert(!kipc_dict_open(m, "d", &s.d[i]));
		fuzz_assert(!kipc_lock_open(m, "k", &s.k[i]));
		fuzz_assert(!kipc_rlock_open(m, "r", &s.r[i]));
	}
	for (int i = 0; i < STEPS_MAX && fuzz_more(&in); i++)
		step(&s, &in);
	fuzz_storm_end();
	for (int i = 0; i < SLOTS; i++)
		for (unsigned int k = 0; k < 4; k++)
			unref(&s, i, k);
	fuzz_pair_close(&s.pair);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	(void)max;
	return fuzz_seed_steps(i, buf, 0, 66);
}
