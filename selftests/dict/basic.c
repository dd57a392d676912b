// SPDX-License-Identifier: MIT
/* Each operation of a dict by itself: results, errors, keys, types; growing and shrinking. */
#include <math.h>

#include <kipc/dict.h>
#include <kipc/list.h>
#include <kipc/manager.h>

#include "manager/dict.h"

#include "../manager/step.h"
#include "../manager/values.h"

FIXTURE(dict) {
	struct kipc_manager *m;
	struct kipc_dict *d;
};

FIXTURE_SETUP(dict)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_dict_create(self->m, NULL, &self->d));
}

FIXTURE_TEARDOWN(dict)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	step_audit(self->m);
	EXPECT_EQ(0, kipc_dict_unref(self->d));
	step_audit(self->m);
	EXPECT_EQ(0, kipc_manager_stat(self->m, &st));
	EXPECT_EQ(0, st.objects);
	kipc_manager_close(self->m);
}

TEST_F(dict, set_get_del)
{
	struct kipc_value v;

	EXPECT_EQ(0, kipc_dict_len(self->d));
	EXPECT_EQ(-ENOENT, kipc_dict_get(self->d, kipc_str("a"), &v));
	EXPECT_EQ(-ENOENT, kipc_dict_del(self->d, kipc_str("a")));
	EXPECT_EQ(0, kipc_dict_contains(self->d, kipc_str("a")));
	EXPECT_EQ(0, kipc_dict_set(self->d, kipc_str("a"), kipc_int(1)));
	EXPECT_EQ(1, kipc_dict_contains(self->d, kipc_str("a")));
	EXPECT_EQ(1, kipc_dict_len(self->d));
	ASSERT_EQ(0, kipc_dict_get(self->d, kipc_str("a"), &v));
	EXPECT_TRUE(v.type == KIPC_INT && v.i == 1);
	EXPECT_EQ(0, kipc_dict_set(self->d, kipc_str("a"), kipc_str("two")));
	EXPECT_EQ(1, kipc_dict_len(self->d));
	ASSERT_EQ(0, kipc_dict_get(self->d, kipc_str("a"), &v));
	EXPECT_STREQ("two", v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_dict_del(self->d, kipc_str("a")));
	EXPECT_EQ(-ENOENT, kipc_dict_del(self->d, kipc_str("a")));
	EXPECT_EQ(-ENOENT, kipc_dict_get(self->d, kipc_str("a"), &v));
	EXPECT_EQ(0, kipc_dict_len(self->d));
}

TEST_F(dict, keys_of_different_types_differ)
{
	char long_key[5000];
	struct kipc_value keys[] = {
		kipc_str("1"), kipc_bytes("1", 1), kipc_int(1), kipc_int('1'), kipc_int(-1),
		kipc_int(INT64_MIN), kipc_str(""), kipc_bytes(NULL, 0), kipc_strn("a\0b", 3),
		kipc_strn("a\0c", 3), kipc_str("a"), kipc_bytes("\1\0\0\0\0\0\0\0", 8),
		kipc_strn("\1\0\0\0\0\0\0\0", 8), kipc_strn(long_key, sizeof(long_key)),
		kipc_strn(long_key, sizeof(long_key) - 1),
	};
	int n = sizeof(keys) / sizeof(keys[0]);
	struct kipc_value v;

	memset(long_key, 'k', sizeof(long_key));
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, kipc_dict_set(self->d, keys[i], kipc_int(i)));
	EXPECT_EQ(n, kipc_dict_len(self->d));
	for (int i = 0; i < n; i++) {
		ASSERT_EQ(0, kipc_dict_get(self->d, keys[i], &v));
		EXPECT_EQ(i, v.i);
	}
}

TEST_F(dict, every_type_and_length)
{
	static const size_t lens[] = { 0, 1, 13, 14, 15, 16, 100, 4096, 40000, 300000 };
	struct kipc_value vals[30], v;
	char *buf = malloc(300000);
	int n = 0;

	for (size_t i = 0; i < 300000; i++)
		buf[i] = (char)(i * 7);
	vals[n++] = kipc_none();
	vals[n++] = kipc_bool(true);
	vals[n++] = kipc_bool(false);
	vals[n++] = kipc_int(INT64_MIN);
	vals[n++] = kipc_int(7);
	vals[n++] = kipc_double(-1.5);
	vals[n++] = kipc_double(2);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		vals[n++] = kipc_bytes(buf, lens[i]);
		vals[n++] = kipc_strn(buf, lens[i]);
	}
	/* each over each */
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < n; j++) {
			ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(0), vals[i]));
			ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(0), vals[j]));
			ASSERT_EQ(0, kipc_dict_get(self->d, kipc_int(0), &v));
			EXPECT_EQ(vals[j].type, v.type);
			EXPECT_TRUE(kipc_value_equal(&vals[j], &v));
			if (v.type == KIPC_STR || v.type == KIPC_BYTES)
				EXPECT_EQ(0, v.str[v.len]);
			kipc_value_clear(&v);
		}
	}
	EXPECT_EQ(1, kipc_dict_len(self->d));
	ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(0), kipc_double(NAN)));
	ASSERT_EQ(0, kipc_dict_get(self->d, kipc_int(0), &v));
	EXPECT_TRUE(v.type == KIPC_DOUBLE && isnan(v.d));
	free(buf);
}

TEST_F(dict, pop)
{
	struct kipc_value v;

	EXPECT_EQ(-ENOENT, kipc_dict_pop(self->d, kipc_int(1), &v));
	ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(1), kipc_str("a value that is not short")));
	ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(2), kipc_int(2)));
	ASSERT_EQ(0, kipc_dict_pop(self->d, kipc_int(1), &v));
	EXPECT_STREQ("a value that is not short", v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_dict_pop(self->d, kipc_int(2), NULL));
	EXPECT_EQ(-ENOENT, kipc_dict_pop(self->d, kipc_int(2), NULL));
	EXPECT_EQ(0, kipc_dict_len(self->d));
}

TEST_F(dict, setdefault)
{
	struct kipc_value v;

	EXPECT_EQ(1, kipc_dict_setdefault(self->d, kipc_str("k"), kipc_str("first"), &v));
	EXPECT_STREQ("first", v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_dict_setdefault(self->d, kipc_str("k"), kipc_str("second"), &v));
	EXPECT_STREQ("first", v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_dict_setdefault(self->d, kipc_str("k"), kipc_str("third"), NULL));
	EXPECT_EQ(1, kipc_dict_setdefault(self->d, kipc_str("l"), kipc_int(4), NULL));
	EXPECT_EQ(0, kipc_dict_setdefault(self->d, kipc_str("l"), kipc_int(5), &v));
	EXPECT_EQ(4, v.i);
}

TEST_F(dict, update)
{
	struct kipc_value keys[50], vals[50], v;

	for (int i = 0; i < 50; i++) {
		keys[i] = kipc_int(i % 40);
		vals[i] = kipc_int(i);
	}
	EXPECT_EQ(0, kipc_dict_update(self->d, NULL, NULL, 0));
	EXPECT_EQ(0, kipc_dict_update(self->d, keys, vals, 50));
	EXPECT_EQ(40, kipc_dict_len(self->d));
	/* the later of two wins */
	ASSERT_EQ(0, kipc_dict_get(self->d, kipc_int(5), &v));
	EXPECT_EQ(45, v.i);
	/* all is checked before anything is stored */
	vals[0] = kipc_int(1000);
	keys[49] = kipc_none();
	EXPECT_EQ(-EINVAL, kipc_dict_update(self->d, keys, vals, 50));
	ASSERT_EQ(0, kipc_dict_get(self->d, kipc_int(0), &v));
	EXPECT_EQ(40, v.i);
	EXPECT_EQ(-EINVAL, kipc_dict_update(self->d, keys, NULL, 50));
	EXPECT_EQ(-EINVAL, kipc_dict_update(self->d, NULL, vals, 50));
	EXPECT_EQ(-EINVAL, kipc_dict_update(NULL, keys, vals, 1));
}

static int count_up(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	int64_t *sums = arg;

	EXPECT_EQ(key->i * 2, v->i);
	sums[0]++;
	sums[1] += key->i;
	return sums[0] == 123 ? 9 : 0;
}

static int change(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	int r;

	/* no lock is held */
	r = kipc_dict_del(arg, *key);
	return r ? r : kipc_dict_set(arg, kipc_str("other"), *v);
}

TEST_F(dict, keys_items_foreach)
{
	struct kipc_value *keys = calloc(1000, sizeof(*keys)), *v = calloc(1000, sizeof(*v));
	int64_t sums[2] = { 0 }, sum = 0;

	EXPECT_EQ(0, kipc_dict_keys(self->d, keys, 10));
	EXPECT_EQ(0, kipc_dict_foreach(self->d, count_up, sums));
	for (int i = 0; i < 1000; i++)
		ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(i), kipc_int(2 * i)));
	EXPECT_EQ(1000, kipc_dict_keys(self->d, NULL, 0));
	EXPECT_EQ(1000, kipc_dict_keys(self->d, keys, 1000));
	for (int i = 0; i < 1000; i++)
		sum += keys[i].i;
	EXPECT_EQ(1000 * 999 / 2, sum);
	keys[5].i = -1;
	EXPECT_EQ(1000, kipc_dict_items(self->d, keys, v, 5));
	EXPECT_EQ(-1, keys[5].i);
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(2 * keys[i].i, v[i].i);
	EXPECT_EQ(9, kipc_dict_foreach(self->d, count_up, sums));
	EXPECT_EQ(123, sums[0]);
	sums[0] = -10000;
	sums[1] = 0;
	EXPECT_EQ(0, kipc_dict_foreach(self->d, count_up, sums));
	EXPECT_EQ(-9000, sums[0]);
	EXPECT_EQ(1000 * 999 / 2, sums[1]);
	EXPECT_EQ(0, kipc_dict_foreach(self->d, change, self->d));
	EXPECT_LE(kipc_dict_len(self->d), 1);
	EXPECT_EQ(-EINVAL, kipc_dict_keys(self->d, NULL, 1));
	EXPECT_EQ(-EINVAL, kipc_dict_items(self->d, keys, NULL, 1));
	EXPECT_EQ(-EINVAL, kipc_dict_foreach(self->d, NULL, NULL));
	free(keys);
	free(v);
}

/* Buckets of all stripes, and how many of them continue others. */
static void shape(struct kipc_dict *d, uint64_t *buckets, uint64_t *continued)
{
	*buckets = *continued = 0;
	for (uint32_t i = 0; i < KIPC_DICT_STRIPES; i++) {
		struct kipc_dict_ref t = __kipc_dict_stripe(d->h.m, __kipc_dict_shared(d), i);

		*buckets += t.s->shape;
		for (uint64_t b = 0; b < t.s->shape; b++) {
			struct kipc_dict_bucket *p = __kipc_dict_bucket(t.m, t.s, b);

			for (; p->next; p = __kipc_dict_next(t.m, p))
				++*continued;
		}
	}
}

TEST_F(dict, grows_and_shrinks)
{
	int n = ksft_slow() ? 10000 : 50000;
	uint64_t buckets, continued;
	struct kipc_manager_stat before = { .sz = sizeof(before) }, after = before;
	struct kipc_value v;

	ASSERT_EQ(0, kipc_manager_stat(self->m, &before));
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < n; i++)
			ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(i), kipc_int(i * 3)));
		EXPECT_EQ(n, kipc_dict_len(self->d));
		for (int i = 0; i < n; i++) {
			ASSERT_EQ(0, kipc_dict_get(self->d, kipc_int(i), &v));
			ASSERT_EQ(i * 3, v.i);
		}
		EXPECT_EQ(-ENOENT, kipc_dict_get(self->d, kipc_int(n), &v));
		shape(self->d, &buckets, &continued);
		EXPECT_GE(buckets, n / KIPC_DICT_LOAD);
		EXPECT_LE(buckets, n / KIPC_DICT_LOAD + 16);
		EXPECT_GT(continued, 0);
		EXPECT_LT(continued, buckets / 4);
		step_audit(self->m);
		for (int i = 0; i < n; i++)
			ASSERT_EQ(0, kipc_dict_del(self->d, kipc_int(i)));
		EXPECT_EQ(0, kipc_dict_len(self->d));
		shape(self->d, &buckets, &continued);
		EXPECT_EQ(16, buckets);
		EXPECT_EQ(0, continued);
		step_audit(self->m);
	}
	ASSERT_EQ(0, kipc_dict_clear(self->d));
	ASSERT_EQ(0, kipc_manager_stat(self->m, &after));
	EXPECT_EQ(before.blocks, after.blocks);
	EXPECT_EQ(before.used, after.used);
}

TEST_F(dict, clear)
{
	struct kipc_manager_stat before = { .sz = sizeof(before) }, after = before;
	char bytes[200] = "x";

	EXPECT_EQ(0, kipc_dict_clear(self->d));
	ASSERT_EQ(0, kipc_manager_stat(self->m, &before));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3000; i++)
			ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(i),
						   kipc_bytes(bytes, sizeof(bytes))));
		EXPECT_EQ(0, kipc_dict_clear(self->d));
		EXPECT_EQ(0, kipc_dict_len(self->d));
		EXPECT_EQ(0, kipc_dict_contains(self->d, kipc_int(1)));
		step_audit(self->m);
	}
	ASSERT_EQ(0, kipc_manager_stat(self->m, &after));
	EXPECT_EQ(before.blocks, after.blocks);
	EXPECT_EQ(before.used, after.used);
}

TEST_F(dict, nested)
{
	struct kipc_dict *inner, *got;
	struct kipc_list *list;
	struct kipc_value v, k;

	ASSERT_EQ(0, kipc_dict_create(self->m, NULL, &inner));
	ASSERT_EQ(0, kipc_list_create(self->m, NULL, &list));
	ASSERT_EQ(0, kipc_dict_set(inner, kipc_str("deep"), kipc_str("inside")));
	ASSERT_EQ(0, kipc_dict_set(self->d, kipc_str("dict"),
				   kipc_ref(kipc_dict_handle(inner))));
	ASSERT_EQ(0, kipc_dict_set(self->d, kipc_str("list"), kipc_ref(kipc_list_handle(list))));
	EXPECT_EQ(0, kipc_dict_setdefault(self->d, kipc_str("list"), kipc_int(0), &v));
	EXPECT_EQ(KIPC_HANDLE_LIST, kipc_handle_kind(v.ref));
	kipc_value_clear(&v);
	EXPECT_EQ(1, kipc_dict_setdefault(self->d, kipc_str("again"),
					  kipc_ref(kipc_list_handle(list)), &v));
	EXPECT_EQ(kipc_handle_id(kipc_list_handle(list)), kipc_handle_id(v.ref));
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_list_unref(list));
	EXPECT_EQ(0, kipc_dict_unref(inner));
	step_audit(self->m);
	ASSERT_EQ(0, kipc_dict_get(self->d, kipc_str("dict"), &v));
	EXPECT_EQ(-EINVAL, kipc_list_from(&v, &list));
	ASSERT_EQ(0, kipc_dict_from(&v, &got));
	/* out of the dict while we hold it: it lives on */
	ASSERT_EQ(0, kipc_dict_set(self->d, kipc_str("dict"), kipc_int(1)));
	ASSERT_EQ(0, kipc_dict_get(got, kipc_str("deep"), &v));
	EXPECT_STREQ("inside", v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_dict_unref(got));
	ASSERT_EQ(0, kipc_dict_pop(self->d, kipc_str("list"), &v));
	EXPECT_EQ(KIPC_HANDLE_LIST, kipc_handle_kind(v.ref));
	kipc_value_clear(&v);
	ASSERT_EQ(0, kipc_dict_del(self->d, kipc_str("dict")));
	/* what is left is the one under "again" */
	ASSERT_EQ(1, kipc_dict_items(self->d, &k, &v, 1));
	EXPECT_EQ(KIPC_REF, v.type);
	kipc_value_clear(&k);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_dict_clear(self->d));
}

TEST_F(dict, dict_of_dicts_goes_as_a_whole)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_dict *inner;

	for (int i = 0; i < 300; i++) {
		ASSERT_EQ(0, kipc_dict_create(self->m, NULL, &inner));
		for (int j = 0; j < 20; j++)
			ASSERT_EQ(0, kipc_dict_set(inner, kipc_int(j), kipc_str("some value")));
		ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(i),
					   kipc_ref(kipc_dict_handle(inner))));
		ASSERT_EQ(0, kipc_dict_unref(inner));
	}
	ASSERT_EQ(0, kipc_manager_stat(self->m, &st));
	EXPECT_EQ(301, st.objects);
	EXPECT_EQ(0, kipc_dict_clear(self->d));
	ASSERT_EQ(0, kipc_manager_stat(self->m, &st));
	EXPECT_EQ(1, st.objects);
}

TEST_F(dict, names)
{
	struct kipc_dict *a, *b;
	struct kipc_list *l;
	struct kipc_value v;

	EXPECT_EQ(-ENOENT, kipc_dict_open(self->m, "config", &a));
	EXPECT_EQ(-EINVAL, kipc_dict_open(self->m, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_dict_create(self->m, "", &a));
	ASSERT_EQ(0, kipc_dict_create(self->m, "config", &a));
	EXPECT_EQ(-EEXIST, kipc_dict_create(self->m, "config", &b));
	EXPECT_EQ(-EINVAL, kipc_list_open(self->m, "config", &l));
	ASSERT_EQ(0, kipc_dict_set(a, kipc_str("x"), kipc_int(5)));
	EXPECT_EQ(0, kipc_dict_unref(a));
	ASSERT_EQ(0, kipc_dict_open(self->m, "config", &b));
	ASSERT_EQ(0, kipc_dict_get(b, kipc_str("x"), &v));
	EXPECT_EQ(5, v.i);
	EXPECT_EQ(0, kipc_manager_remove(self->m, "config"));
	EXPECT_EQ(0, kipc_dict_unref(b));
}

TEST_F(dict, bad_arguments)
{
	struct kipc_value v, bad = kipc_none(), k = kipc_str("k");
	struct kipc_manager *other;
	struct kipc_dict *d, *foreign;

	EXPECT_EQ(-EINVAL, kipc_dict_create(NULL, NULL, &d));
	EXPECT_EQ(-EINVAL, kipc_dict_create(self->m, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_dict_open(NULL, "x", &d));
	EXPECT_EQ(-EINVAL, kipc_dict_open(self->m, "x", NULL));
	EXPECT_EQ(-EINVAL, kipc_dict_unref(NULL));
	EXPECT_TRUE(kipc_dict_handle(NULL) == NULL);
	EXPECT_EQ(-EINVAL, kipc_dict_from(NULL, &d));
	EXPECT_EQ(-EINVAL, kipc_dict_from(&bad, &d));
	EXPECT_EQ(-EINVAL, kipc_dict_set(NULL, k, kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_dict_get(NULL, k, &v));
	EXPECT_EQ(-EINVAL, kipc_dict_get(self->d, k, NULL));
	EXPECT_EQ(-EINVAL, kipc_dict_del(NULL, k));
	EXPECT_EQ(-EINVAL, kipc_dict_contains(NULL, k));
	EXPECT_EQ(-EINVAL, kipc_dict_pop(NULL, k, &v));
	EXPECT_EQ(-EINVAL, kipc_dict_setdefault(NULL, k, kipc_int(1), &v));
	EXPECT_EQ(-EINVAL, kipc_dict_len(NULL));
	EXPECT_EQ(-EINVAL, kipc_dict_keys(NULL, &v, 1));
	EXPECT_EQ(-EINVAL, kipc_dict_items(NULL, &v, &v, 1));
	EXPECT_EQ(-EINVAL, kipc_dict_clear(NULL));
	EXPECT_EQ(-EINVAL, kipc_dict_foreach(NULL, count_up, NULL));

	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, kipc_none(), kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, kipc_bool(true), kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, kipc_double(1), kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, kipc_ref(kipc_dict_handle(self->d)),
					 kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, kipc_bytes(NULL, 1), kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_dict_get(self->d, kipc_none(), &v));
	EXPECT_EQ(-EINVAL, kipc_dict_del(self->d, kipc_none()));
	EXPECT_EQ(-EINVAL, kipc_dict_contains(self->d, kipc_none()));
	EXPECT_EQ(-EMSGSIZE, kipc_dict_set(self->d, kipc_bytes("x", KIPC_DICT_KEY_MAX + 1),
					   kipc_int(1)));
	EXPECT_EQ(-EMSGSIZE, kipc_dict_set(self->d, k, kipc_bytes("x", KIPC_VALUE_LEN_MAX + 1)));
	bad.type = 7;
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, k, bad));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, bad, k));
	EXPECT_EQ(-EINVAL, kipc_dict_setdefault(self->d, k, bad, NULL));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, k, kipc_bytes(NULL, 1)));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, k, kipc_ref(NULL)));
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &other));
	ASSERT_EQ(0, kipc_dict_create(other, NULL, &foreign));
	EXPECT_EQ(-EINVAL, kipc_dict_set(self->d, k, kipc_ref(kipc_dict_handle(foreign))));
	EXPECT_EQ(0, kipc_dict_unref(foreign));
	kipc_manager_close(other);
	EXPECT_EQ(0, kipc_dict_len(self->d));
}

/* What finds no room leaves the dict as it was, and it goes on when there is room again. */
TEST(no_room)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 256 << 10, .max_size = 1 << 20);
	char bytes[3000] = "x";
	struct kipc_manager *m;
	struct kipc_value v;
	struct kipc_dict *d;
	int n = 0, r;

	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &m));
	ASSERT_EQ(0, kipc_dict_create(m, NULL, &d));
	while (!(r = kipc_dict_set(d, kipc_int(n), kipc_bytes(bytes, sizeof(bytes)))))
		n++;
	EXPECT_EQ(-ENOMEM, r);
	EXPECT_GT(n, 100);
	EXPECT_EQ(n, kipc_dict_len(d));
	EXPECT_EQ(-ENOENT, kipc_dict_get(d, kipc_int(n), &v));
	EXPECT_EQ(-ENOMEM, kipc_dict_setdefault(d, kipc_int(n), kipc_bytes(bytes, 3000), &v));
	EXPECT_EQ(-ENOMEM, kipc_dict_set(d, kipc_int(0), kipc_bytes(bytes, 3000)));
	step_audit(m);
	for (int i = 0; i < n; i++)
		ASSERT_EQ(1, kipc_dict_contains(d, kipc_int(i)));
	ASSERT_EQ(0, kipc_dict_del(d, kipc_int(3)));
	EXPECT_EQ(0, kipc_dict_set(d, kipc_int(0), kipc_bytes(bytes, 3000)));
	EXPECT_EQ(0, kipc_dict_clear(d));
	/*
	 * small ones: the buckets themselves find no room; no key is lost over a split that fails
	 */
	n = 0;
	while (!(r = kipc_dict_set(d, kipc_int(n), kipc_int(n))))
		n++;
	EXPECT_EQ(-ENOMEM, r);
	EXPECT_EQ(n, kipc_dict_len(d));
	step_audit(m);
	for (int i = 0; i < n; i++) {
		ASSERT_EQ(0, kipc_dict_get(d, kipc_int(i), &v));
		ASSERT_EQ(i, v.i);
	}
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, kipc_dict_del(d, kipc_int(i)));
	step_audit(m);
	EXPECT_EQ(0, kipc_dict_unref(d));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
