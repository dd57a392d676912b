// SPDX-License-Identifier: MIT
/* Each operation of a list by itself: results, errors, indices, types. */
#include <limits.h>
#include <math.h>

#include <kipc/dict.h>
#include <kipc/list.h>
#include <kipc/lock.h>
#include <kipc/manager.h>

#include "../manager/step.h"
#include "../manager/values.h"

FIXTURE(list) {
	struct kipc_manager *m;
	struct kipc_list *l;
};

FIXTURE_SETUP(list)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_list_create(self->m, NULL, &self->l));
}

FIXTURE_TEARDOWN(list)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	step_audit(self->m);
	EXPECT_EQ(0, kipc_list_unref(self->l));
	step_audit(self->m);
	EXPECT_EQ(0, kipc_manager_stat(self->m, &st));
	EXPECT_EQ(0, st.objects);
	kipc_manager_close(self->m);
}

/* The list holds these ints. */
static bool holds(struct kipc_list *l, const int64_t *want, size_t n)
{
	struct kipc_value v;

	if (!EXPECT_EQ(n, kipc_list_len(l)))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!EXPECT_EQ(0, kipc_list_get(l, i, &v)) || !EXPECT_EQ(KIPC_INT, v.type) ||
		    !EXPECT_EQ(want[i], v.i)) {
			ksft_log("element %zu", i);
			return false;
		}
	}
	return true;
}

#define HOLDS(l, ...)                                                                              \
	holds(l, (int64_t[]){ __VA_ARGS__ }, sizeof((int64_t[]){ __VA_ARGS__ }) / 8)

static void fill(struct kipc_list *l, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		ASSERT_EQ(0, kipc_list_append(l, kipc_int(i)));
}

TEST_F(list, append_get_len)
{
	struct kipc_value v;

	EXPECT_EQ(0, kipc_list_len(self->l));
	EXPECT_EQ(-ERANGE, kipc_list_get(self->l, 0, &v));
	EXPECT_EQ(-ERANGE, kipc_list_get(self->l, -1, &v));
	fill(self->l, 3);
	HOLDS(self->l, 0, 1, 2);
	EXPECT_EQ(0, kipc_list_get(self->l, -1, &v));
	EXPECT_EQ(2, v.i);
	EXPECT_EQ(0, kipc_list_get(self->l, -3, &v));
	EXPECT_EQ(0, v.i);
	EXPECT_EQ(-ERANGE, kipc_list_get(self->l, 3, &v));
	EXPECT_EQ(-ERANGE, kipc_list_get(self->l, -4, &v));
	EXPECT_EQ(-ERANGE, kipc_list_get(self->l, INT64_MIN, &v));
	EXPECT_EQ(-ERANGE, kipc_list_get(self->l, INT64_MAX, &v));
}

TEST_F(list, chunks_and_directories_grow)
{
	struct kipc_value v;
	int64_t n = 256 * 40 + 3;

	fill(self->l, n);
	EXPECT_EQ(n, kipc_list_len(self->l));
	for (int64_t i = 0; i < n; i++) {
		ASSERT_EQ(0, kipc_list_get(self->l, i, &v));
		ASSERT_EQ(i, v.i);
	}
	for (int64_t i = n - 1; i >= 0; i--) {
		ASSERT_EQ(0, kipc_list_pop(self->l, -1, &v));
		ASSERT_EQ(i, v.i);
	}
	EXPECT_EQ(-ERANGE, kipc_list_pop(self->l, -1, &v));
	fill(self->l, 5);
	HOLDS(self->l, 0, 1, 2, 3, 4);
}

TEST_F(list, memory_goes_back)
{
	struct kipc_manager_stat before = { .sz = sizeof(before) }, after = before;
	char bytes[1000];

	memset(bytes, 'x', sizeof(bytes));
	fill(self->l, 300);
	ASSERT_EQ(0, kipc_list_clear(self->l));
	ASSERT_EQ(0, kipc_manager_stat(self->m, &before));
	for (int i = 0; i < 2000; i++)
		ASSERT_EQ(0, kipc_list_append(self->l, kipc_bytes(bytes, sizeof(bytes))));
	for (int i = 0; i < 2000; i++)
		ASSERT_EQ(0, kipc_list_pop(self->l, i % 2 ? -1 : 0, NULL));
	ASSERT_EQ(0, kipc_list_clear(self->l));
	ASSERT_EQ(0, kipc_manager_stat(self->m, &after));
	EXPECT_EQ(before.used, after.used);
	EXPECT_EQ(before.blocks, after.blocks);
}

TEST_F(list, every_type_and_length)
{
	static const size_t lens[] = { 0, 1, 13, 14, 15, 16, 100, 4096, 40000, 300000 };
	size_t n = sizeof(lens) / sizeof(lens[0]);
	char *buf = malloc(300000);
	struct kipc_value v;

	for (size_t i = 0; i < 300000; i++)
		buf[i] = (char)(i * 7);
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_none()));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_bool(true)));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_bool(false)));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_int(INT64_MIN)));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_double(-1.5)));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_double(NAN)));
	for (size_t i = 0; i < n; i++) {
		ASSERT_EQ(0, kipc_list_append(self->l, kipc_bytes(buf, lens[i])));
		ASSERT_EQ(0, kipc_list_append(self->l, kipc_strn(buf, lens[i])));
	}
	ASSERT_EQ(0, kipc_list_get(self->l, 0, &v));
	EXPECT_EQ(KIPC_NONE, v.type);
	ASSERT_EQ(0, kipc_list_get(self->l, 1, &v));
	EXPECT_TRUE(v.type == KIPC_BOOL && v.b);
	ASSERT_EQ(0, kipc_list_get(self->l, 2, &v));
	EXPECT_TRUE(v.type == KIPC_BOOL && !v.b);
	ASSERT_EQ(0, kipc_list_get(self->l, 3, &v));
	EXPECT_TRUE(v.type == KIPC_INT && v.i == INT64_MIN);
	ASSERT_EQ(0, kipc_list_get(self->l, 4, &v));
	EXPECT_TRUE(v.type == KIPC_DOUBLE && v.d == -1.5);
	ASSERT_EQ(0, kipc_list_get(self->l, 5, &v));
	EXPECT_TRUE(v.type == KIPC_DOUBLE && isnan(v.d));
	for (size_t i = 0; i < 2 * n; i++) {
		ASSERT_EQ(0, kipc_list_get(self->l, 6 + i, &v));
		EXPECT_EQ(i % 2 ? KIPC_STR : KIPC_BYTES, v.type);
		EXPECT_EQ(lens[i / 2], v.len);
		EXPECT_MEMEQ(buf, v.data, v.len);
		EXPECT_EQ(0, v.str[v.len]);
		kipc_value_clear(&v);
	}
	/* each over each: every kind of slot is replaced by every other */
	for (size_t i = 0; i < 26; i++) {
		for (size_t j = 0; j < 20; j++) {
			struct kipc_value to = j < 4 ? kipc_int((int64_t)j) :
					       j == 4 ? kipc_none() :
							kipc_bytes(buf, lens[j / 2]);

			ASSERT_EQ(0, kipc_list_set(self->l, i, to));
			ASSERT_EQ(0, kipc_list_get(self->l, i, &v));
			EXPECT_TRUE(kipc_value_equal(&to, &v));
			kipc_value_clear(&v);
		}
	}
	free(buf);
}

TEST_F(list, extend)
{
	struct kipc_value v[700];
	struct kipc_value got;
	struct value_buf *bufs = calloc(700, sizeof(*bufs));

	for (int i = 0; i < 700; i++)
		v[i] = value_of(1000 + i, &bufs[i]);
	EXPECT_EQ(0, kipc_list_extend(self->l, NULL, 0));
	EXPECT_EQ(0, kipc_list_len(self->l));
	EXPECT_EQ(0, kipc_list_extend(self->l, v, 700));
	EXPECT_EQ(0, kipc_list_extend(self->l, v, 3));
	EXPECT_EQ(703, kipc_list_len(self->l));
	for (int i = 0; i < 703; i++) {
		ASSERT_EQ(0, kipc_list_get(self->l, i, &got));
		EXPECT_EQ(1000 + i % 700, value_number(&got));
		kipc_value_clear(&got);
	}
	/* one bad value: none is stored */
	v[600].type = 77;
	EXPECT_EQ(-EINVAL, kipc_list_extend(self->l, v, 700));
	EXPECT_EQ(703, kipc_list_len(self->l));
	free(bufs);
}

TEST_F(list, insert)
{
	EXPECT_EQ(0, kipc_list_insert(self->l, 5, kipc_int(1)));
	EXPECT_EQ(0, kipc_list_insert(self->l, 0, kipc_int(0)));
	EXPECT_EQ(0, kipc_list_insert(self->l, INT64_MAX, kipc_int(4)));
	EXPECT_EQ(0, kipc_list_insert(self->l, -1, kipc_int(3)));
	EXPECT_EQ(0, kipc_list_insert(self->l, 2, kipc_int(2)));
	EXPECT_EQ(0, kipc_list_insert(self->l, -100, kipc_int(-1)));
	EXPECT_EQ(0, kipc_list_insert(self->l, INT64_MIN, kipc_int(-2)));
	HOLDS(self->l, -2, -1, 0, 1, 2, 3, 4);
}

TEST_F(list, insert_and_pop_across_chunks)
{
	struct kipc_value v;

	fill(self->l, 1000);
	ASSERT_EQ(0, kipc_list_insert(self->l, 3, kipc_str("a string that is not short")));
	EXPECT_EQ(1001, kipc_list_len(self->l));
	for (int i = 0; i < 1001; i++) {
		ASSERT_EQ(0, kipc_list_get(self->l, i, &v));
		if (i == 3)
			ASSERT_STREQ("a string that is not short", v.str);
		else
			ASSERT_EQ(i < 3 ? i : i - 1, v.i);
		kipc_value_clear(&v);
	}
	ASSERT_EQ(0, kipc_list_pop(self->l, 3, &v));
	EXPECT_STREQ("a string that is not short", v.str);
	kipc_value_clear(&v);
	for (int i = 0; i < 1000; i++) {
		ASSERT_EQ(0, kipc_list_get(self->l, i, &v));
		ASSERT_EQ(i, v.i);
	}
	/* from the front to the end, over the chunks' borders */
	for (int i = 0; i < 1000; i++) {
		ASSERT_EQ(0, kipc_list_pop(self->l, 0, &v));
		ASSERT_EQ(i, v.i);
	}
	EXPECT_EQ(0, kipc_list_len(self->l));
}

TEST_F(list, set_and_pop)
{
	struct kipc_value v;

	fill(self->l, 4);
	EXPECT_EQ(0, kipc_list_set(self->l, 1, kipc_int(10)));
	EXPECT_EQ(0, kipc_list_set(self->l, -1, kipc_int(30)));
	HOLDS(self->l, 0, 10, 2, 30);
	EXPECT_EQ(-ERANGE, kipc_list_set(self->l, 4, kipc_int(0)));
	EXPECT_EQ(-ERANGE, kipc_list_set(self->l, -5, kipc_int(0)));
	EXPECT_EQ(0, kipc_list_pop(self->l, 0, NULL));
	EXPECT_EQ(0, kipc_list_pop(self->l, -2, &v));
	EXPECT_EQ(2, v.i);
	HOLDS(self->l, 10, 30);
	EXPECT_EQ(-ERANGE, kipc_list_pop(self->l, 2, &v));
	EXPECT_EQ(-ERANGE, kipc_list_pop(self->l, -3, NULL));
	HOLDS(self->l, 10, 30);
}

TEST_F(list, remove_index_count)
{
	for (int i = 0; i < 10; i++)
		ASSERT_EQ(0, kipc_list_append(self->l, kipc_int(i % 3)));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_str("one")));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_str("a string that is not short")));
	EXPECT_EQ(4, kipc_list_count(self->l, kipc_int(0)));
	EXPECT_EQ(3, kipc_list_count(self->l, kipc_double(2.0)));
	EXPECT_EQ(0, kipc_list_count(self->l, kipc_double(2.5)));
	EXPECT_EQ(0, kipc_list_count(self->l, kipc_double(NAN)));
	EXPECT_EQ(0, kipc_list_count(self->l, kipc_bytes("one", 3)));
	EXPECT_EQ(1, kipc_list_count(self->l, kipc_str("one")));
	EXPECT_EQ(2, kipc_list_index(self->l, kipc_int(2), 0, INT64_MAX));
	EXPECT_EQ(5, kipc_list_index(self->l, kipc_int(2), 3, INT64_MAX));
	EXPECT_EQ(-ENOENT, kipc_list_index(self->l, kipc_int(2), 3, 5));
	EXPECT_EQ(11, kipc_list_index(self->l, kipc_str("a string that is not short"), -1, 100));
	EXPECT_EQ(-ENOENT, kipc_list_index(self->l, kipc_str("one"), 0, -2));
	EXPECT_EQ(-ENOENT, kipc_list_index(self->l, kipc_int(7), INT64_MIN, INT64_MAX));
	EXPECT_EQ(0, kipc_list_remove(self->l, kipc_int(1)));
	EXPECT_EQ(0, kipc_list_remove(self->l, kipc_str("a string that is not short")));
	EXPECT_EQ(-ENOENT, kipc_list_remove(self->l, kipc_str("a string that is not short")));
	EXPECT_EQ(0, kipc_list_remove(self->l, kipc_str("one")));
	HOLDS(self->l, 0, 2, 0, 1, 2, 0, 1, 2, 0);
}

/* Python's own answers, for a list of 0..9. */
TEST_F(list, slice)
{
	static const struct {
		int64_t start, stop, step, n, first, last;
	} cases[] = {
		{ 0, INT64_MAX, 1, 10, 0, 9 },
		{ INT64_MIN, INT64_MAX, 1, 10, 0, 9 },
		{ 2, 5, 1, 3, 2, 4 },
		{ -3, INT64_MAX, 1, 3, 7, 9 },
		{ 0, -1, 1, 9, 0, 8 },
		{ 5, 5, 1, 0, 0, 0 },
		{ 7, 3, 1, 0, 0, 0 },
		{ 0, 10, 3, 4, 0, 9 },
		{ 1, 10, 4, 3, 1, 9 },
		{ 0, 10, INT64_MAX, 1, 0, 0 },
		{ INT64_MAX, INT64_MIN, -1, 10, 9, 0 },
		{ INT64_MAX, INT64_MIN, -2, 5, 9, 1 },
		{ 7, 2, -1, 5, 7, 3 },
		{ 7, 2, -3, 2, 7, 4 },
		{ -1, -4, -1, 3, 9, 7 },
		{ 2, 7, -1, 0, 0, 0 },
		{ INT64_MAX, 0, INT64_MIN, 1, 9, 9 },
		{ 0, INT64_MIN, -1, 1, 0, 0 },
		{ 20, 30, 1, 0, 0, 0 },
	};
	struct kipc_value v[16];

	EXPECT_EQ(0, kipc_list_slice(self->l, 0, INT64_MAX, 1, v, 16));
	EXPECT_EQ(0, kipc_list_slice(self->l, INT64_MAX, INT64_MIN, -1, v, 16));
	fill(self->l, 10);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t n = kipc_list_slice(self->l, cases[i].start, cases[i].stop, cases[i].step,
					    v, 16);

		if (!EXPECT_EQ(cases[i].n, n))
			ksft_log("case %zu", i);
		if (n > 0) {
			EXPECT_EQ(cases[i].first, v[0].i);
			EXPECT_EQ(cases[i].last, v[n - 1].i);
		}
		EXPECT_EQ(cases[i].n, kipc_list_slice(self->l, cases[i].start, cases[i].stop,
						      cases[i].step, NULL, 0));
	}
	/* more than there is room for */
	v[3] = kipc_int(99);
	EXPECT_EQ(10, kipc_list_slice(self->l, 0, 10, 1, v, 3));
	EXPECT_EQ(2, v[2].i);
	EXPECT_EQ(99, v[3].i);
	EXPECT_EQ(-EINVAL, kipc_list_slice(self->l, 0, 10, 0, v, 3));
	EXPECT_EQ(-EINVAL, kipc_list_slice(self->l, 0, 10, 1, NULL, 3));
}

TEST_F(list, reverse)
{
	EXPECT_EQ(0, kipc_list_reverse(self->l));
	fill(self->l, 1);
	EXPECT_EQ(0, kipc_list_reverse(self->l));
	HOLDS(self->l, 0);
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_int(1)));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_int(2)));
	EXPECT_EQ(0, kipc_list_reverse(self->l));
	HOLDS(self->l, 2, 1, 0);
	/* and it grows on from there */
	for (int i = 0; i < 3000; i++)
		ASSERT_EQ(0, kipc_list_append(self->l, kipc_int(i)));
	EXPECT_EQ(0, kipc_list_reverse(self->l));
	EXPECT_EQ(0, kipc_list_reverse(self->l));
	for (int i = 0; i < 3000; i++) {
		struct kipc_value v;

		ASSERT_EQ(0, kipc_list_get(self->l, i + 3, &v));
		ASSERT_EQ(i, v.i);
	}
}

TEST_F(list, sort_orders_all_types)
{
	struct kipc_lock *lock;
	struct kipc_value v;
	struct kipc_value want[] = {
		kipc_none(), kipc_double(-INFINITY), kipc_int(INT64_MIN), kipc_double(-1.5),
		kipc_bool(false), kipc_int(0), kipc_bool(true), kipc_double(1.0), kipc_double(1.5),
		kipc_int(2), kipc_int((1LL << 53) - 1), kipc_double(0x1p53),
		kipc_int((1LL << 53) + 1), kipc_int(INT64_MAX), kipc_double(0x1p63),
		kipc_double(INFINITY), kipc_double(NAN), kipc_bytes("", 0), kipc_bytes("a", 1),
		kipc_bytes("ab", 2), kipc_bytes("\xff", 1), kipc_str(""), kipc_str("a"),
		kipc_str("a long string, number one"), kipc_str("a long string, number two"),
		kipc_str("b"), kipc_none(),
	};
	size_t n = sizeof(want) / sizeof(want[0]);
	uint64_t seed = 5;

	ASSERT_EQ(0, kipc_lock_create(self->m, NULL, &lock));
	want[n - 1] = kipc_ref(kipc_lock_handle(lock));
	for (int round = 0; round < 20; round++) {
		/* false is before 0 and true before 1.0 to stay so: equal ones keep their order */
		size_t perm[32];

		for (size_t i = 0; i < n; i++)
			perm[i] = i;
		for (size_t i = n - 1; i > 0; i--) {
			size_t j = rnd_below(&seed, i + 1), p = perm[i];

			perm[i] = perm[j];
			perm[j] = p;
		}
		for (size_t eq = 4; eq <= 6; eq += 2) {
			size_t a = 0, b = 0;

			for (size_t i = 0; i < n; i++) {
				a = perm[i] == eq ? i : a;
				b = perm[i] == eq + 1 ? i : b;
			}
			if (a > b) {
				perm[a] = eq + 1;
				perm[b] = eq;
			}
		}
		ASSERT_EQ(0, kipc_list_clear(self->l));
		for (size_t i = 0; i < n; i++)
			ASSERT_EQ(0, kipc_list_append(self->l, want[perm[i]]));
		ASSERT_EQ(0, kipc_list_sort(self->l));
		for (size_t i = 0; i < n; i++) {
			ASSERT_EQ(0, kipc_list_get(self->l, i, &v));
			EXPECT_EQ(want[i].type, v.type);
			EXPECT_TRUE(kipc_value_equal(&want[i], &v) ||
				    (v.type == KIPC_DOUBLE && isnan(v.d)));
			kipc_value_clear(&v);
		}
	}
	ASSERT_EQ(0, kipc_list_clear(self->l));
	EXPECT_EQ(0, kipc_lock_unref(lock));
}

TEST_F(list, sort_is_stable_and_long)
{
	struct kipc_value v, prev;
	uint64_t seed = 9;
	int n = 20000;

	/* equal numbers of two types: int first, double second, in the order of insertion */
	for (int i = 0; i < n; i++) {
		int64_t k = (int64_t)rnd_below(&seed, 500);

		ASSERT_EQ(0, kipc_list_append(self->l, i < n / 2 ? kipc_int(k) :
								   kipc_double((double)k)));
	}
	ASSERT_EQ(0, kipc_list_sort(self->l));
	ASSERT_EQ(n, kipc_list_len(self->l));
	ASSERT_EQ(0, kipc_list_get(self->l, 0, &prev));
	for (int i = 1; i < n; i++) {
		double a, b;

		ASSERT_EQ(0, kipc_list_get(self->l, i, &v));
		a = prev.type == KIPC_INT ? (double)prev.i : prev.d;
		b = v.type == KIPC_INT ? (double)v.i : v.d;
		ASSERT_LE(a, b);
		if (a == b)
			ASSERT_LE(prev.type, v.type);
		prev = v;
	}
}

static int sum(int64_t index, struct kipc_value *v, void *arg)
{
	int64_t *s = arg;

	EXPECT_EQ(index, v->i);
	*s += v->i;
	return index == 700 ? 7 : 0;
}

static int move_out(int64_t index, struct kipc_value *v, void *arg)
{
	struct kipc_value *kept = arg;

	if (index == 1) {
		*kept = *v;
		*v = kipc_none();
	}
	return 0;
}

static int grow(int64_t index, struct kipc_value *v, void *arg)
{
	/* no lock is held */
	return kipc_list_append(arg, kipc_int(index + v->i));
}

TEST_F(list, foreach)
{
	struct kipc_value kept = kipc_none();
	int64_t s = 0;

	EXPECT_EQ(0, kipc_list_foreach(self->l, sum, &s));
	fill(self->l, 700);
	EXPECT_EQ(0, kipc_list_foreach(self->l, sum, &s));
	EXPECT_EQ(700 * 699 / 2, s);
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_int(700)));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_int(701)));
	EXPECT_EQ(7, kipc_list_foreach(self->l, sum, &s));
	EXPECT_EQ(0, kipc_list_foreach(self->l, grow, self->l));
	EXPECT_EQ(2 * 702, kipc_list_len(self->l));
	ASSERT_EQ(0, kipc_list_set(self->l, 1, kipc_str("kept beyond the call")));
	EXPECT_EQ(0, kipc_list_foreach(self->l, move_out, &kept));
	EXPECT_STREQ("kept beyond the call", kept.str);
	kipc_value_clear(&kept);
	EXPECT_EQ(-EINVAL, kipc_list_foreach(self->l, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_list_foreach(NULL, sum, &s));
}

TEST_F(list, lists_of_lists)
{
	struct kipc_list *inner, *got;
	struct kipc_dict *d;
	struct kipc_value v;

	ASSERT_EQ(0, kipc_list_create(self->m, NULL, &inner));
	ASSERT_EQ(0, kipc_dict_create(self->m, NULL, &d));
	ASSERT_EQ(0, kipc_list_append(inner, kipc_str("inside")));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_ref(kipc_list_handle(inner))));
	ASSERT_EQ(0, kipc_list_append(self->l, kipc_ref(kipc_dict_handle(d))));
	EXPECT_EQ(1, kipc_list_index(self->l, kipc_ref(kipc_dict_handle(d)), 0, 10));
	EXPECT_EQ(1, kipc_list_count(self->l, kipc_ref(kipc_list_handle(inner))));
	EXPECT_EQ(0, kipc_dict_unref(d));
	EXPECT_EQ(0, kipc_list_unref(inner));
	/* the handles are gone, the objects live in the list */
	ASSERT_EQ(0, kipc_list_get(self->l, 0, &v));
	EXPECT_EQ(KIPC_REF, v.type);
	EXPECT_EQ(KIPC_HANDLE_LIST, kipc_handle_kind(v.ref));
	EXPECT_EQ(-EINVAL, kipc_dict_from(&v, &d));
	ASSERT_EQ(0, kipc_list_from(&v, &got));
	EXPECT_EQ(KIPC_NONE, v.type);
	EXPECT_EQ(-EINVAL, kipc_list_from(&v, &got));
	EXPECT_EQ(1, kipc_list_len(got));
	step_audit(self->m);
	/* out of the list while we hold it: it lives on */
	ASSERT_EQ(0, kipc_list_pop(self->l, 0, NULL));
	ASSERT_EQ(0, kipc_list_get(got, 0, &v));
	EXPECT_STREQ("inside", v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_list_unref(got));
	ASSERT_EQ(0, kipc_list_pop(self->l, 0, &v));
	EXPECT_EQ(KIPC_HANDLE_DICT, kipc_handle_kind(v.ref));
	kipc_value_clear(&v);
}

TEST_F(list, deep_nesting_is_destroyed)
{
	struct kipc_list *outer = NULL, *inner;
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	for (int i = 0; i < 2000; i++) {
		ASSERT_EQ(0, kipc_list_create(self->m, NULL, &inner));
		ASSERT_EQ(0, kipc_list_append(inner, kipc_str("something that needs a block")));
		if (outer) {
			ASSERT_EQ(0, kipc_list_append(inner, kipc_ref(kipc_list_handle(outer))));
			ASSERT_EQ(0, kipc_list_unref(outer));
		}
		outer = inner;
	}
	ASSERT_EQ(0, kipc_manager_stat(self->m, &st));
	EXPECT_EQ(2001, st.objects);
	EXPECT_EQ(0, kipc_list_unref(outer));
	ASSERT_EQ(0, kipc_manager_stat(self->m, &st));
	EXPECT_EQ(1, st.objects);
}

TEST_F(list, slices_and_sorts_refs)
{
	struct kipc_list *inner[20];
	struct kipc_value v[20];

	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, kipc_list_create(self->m, NULL, &inner[i]));
		ASSERT_EQ(0, kipc_list_insert(self->l, i % 3,
					      kipc_ref(kipc_list_handle(inner[i]))));
	}
	ASSERT_EQ(0, kipc_list_sort(self->l));
	ASSERT_EQ(20, kipc_list_slice(self->l, INT64_MAX, INT64_MIN, -1, v, 20));
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(kipc_handle_id(kipc_list_handle(inner[19 - i])),
			  kipc_handle_id(v[i].ref));
		kipc_value_clear(&v[i]);
	}
	for (int i = 0; i < 20; i++)
		EXPECT_EQ(0, kipc_list_unref(inner[i]));
	ASSERT_EQ(0, kipc_list_reverse(self->l));
	ASSERT_EQ(0, kipc_list_clear(self->l));
}

TEST_F(list, names)
{
	struct kipc_list *a, *b;
	struct kipc_dict *d;
	struct kipc_value v;

	EXPECT_EQ(-ENOENT, kipc_list_open(self->m, "jobs", &a));
	EXPECT_EQ(-EINVAL, kipc_list_open(self->m, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_list_create(self->m, "no/slash", &a));
	ASSERT_EQ(0, kipc_list_create(self->m, "jobs", &a));
	EXPECT_EQ(-EEXIST, kipc_list_create(self->m, "jobs", &b));
	EXPECT_EQ(-EEXIST, kipc_dict_create(self->m, "jobs", &d));
	EXPECT_EQ(-EINVAL, kipc_dict_open(self->m, "jobs", &d));
	ASSERT_EQ(0, kipc_list_append(a, kipc_int(5)));
	EXPECT_EQ(0, kipc_list_unref(a));
	ASSERT_EQ(0, kipc_list_open(self->m, "jobs", &b));
	ASSERT_EQ(0, kipc_list_get(b, 0, &v));
	EXPECT_EQ(5, v.i);
	EXPECT_EQ(0, kipc_manager_remove(self->m, "jobs"));
	EXPECT_EQ(0, kipc_list_unref(b));
}

TEST_F(list, bad_arguments)
{
	struct kipc_value v, bad = kipc_none();
	struct kipc_manager *other;
	struct kipc_list *l, *foreign;

	EXPECT_EQ(-EINVAL, kipc_list_create(NULL, NULL, &l));
	EXPECT_EQ(-EINVAL, kipc_list_create(self->m, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_list_open(NULL, "x", &l));
	EXPECT_EQ(-EINVAL, kipc_list_open(self->m, "x", NULL));
	EXPECT_EQ(-EINVAL, kipc_list_unref(NULL));
	EXPECT_TRUE(kipc_list_handle(NULL) == NULL);
	EXPECT_EQ(-EINVAL, kipc_list_from(NULL, &l));
	EXPECT_EQ(-EINVAL, kipc_list_append(NULL, kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_list_extend(NULL, &v, 1));
	EXPECT_EQ(-EINVAL, kipc_list_extend(self->l, NULL, 1));
	EXPECT_EQ(-EINVAL, kipc_list_insert(NULL, 0, kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_list_get(NULL, 0, &v));
	EXPECT_EQ(-EINVAL, kipc_list_get(self->l, 0, NULL));
	EXPECT_EQ(-EINVAL, kipc_list_set(NULL, 0, kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_list_pop(NULL, 0, &v));
	EXPECT_EQ(-EINVAL, kipc_list_remove(NULL, kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_list_index(NULL, kipc_int(1), 0, 1));
	EXPECT_EQ(-EINVAL, kipc_list_count(NULL, kipc_int(1)));
	EXPECT_EQ(-EINVAL, kipc_list_len(NULL));
	EXPECT_EQ(-EINVAL, kipc_list_slice(NULL, 0, 1, 1, &v, 1));
	EXPECT_EQ(-EINVAL, kipc_list_reverse(NULL));
	EXPECT_EQ(-EINVAL, kipc_list_sort(NULL));
	EXPECT_EQ(-EINVAL, kipc_list_clear(NULL));

	fill(self->l, 2);
	bad.type = 7;
	EXPECT_EQ(-EINVAL, kipc_list_append(self->l, bad));
	EXPECT_EQ(-EINVAL, kipc_list_insert(self->l, 0, bad));
	EXPECT_EQ(-EINVAL, kipc_list_set(self->l, 0, bad));
	EXPECT_EQ(-EINVAL, kipc_list_remove(self->l, bad));
	EXPECT_EQ(-EINVAL, kipc_list_index(self->l, bad, 0, 1));
	EXPECT_EQ(-EINVAL, kipc_list_count(self->l, bad));
	EXPECT_EQ(-EINVAL, kipc_list_append(self->l, kipc_bytes(NULL, 1)));
	EXPECT_EQ(0, kipc_list_append(self->l, kipc_bytes(NULL, 0)));
	EXPECT_EQ(0, kipc_list_pop(self->l, -1, NULL));
	EXPECT_EQ(-EINVAL, kipc_list_append(self->l, kipc_ref(NULL)));
	EXPECT_EQ(-EMSGSIZE, kipc_list_append(self->l, kipc_bytes("x", KIPC_VALUE_LEN_MAX + 1)));
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &other));
	ASSERT_EQ(0, kipc_list_create(other, NULL, &foreign));
	EXPECT_EQ(-EINVAL, kipc_list_append(self->l, kipc_ref(kipc_list_handle(foreign))));
	EXPECT_EQ(0, kipc_list_unref(foreign));
	kipc_manager_close(other);
	HOLDS(self->l, 0, 1);
}

/* What finds no room leaves the list as it was, and it goes on when there is room again. */
TEST(no_room)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 256 << 10, .max_size = 1 << 20);
	struct kipc_value v, many[600];
	char bytes[20000] = "x";
	struct kipc_manager *m;
	struct kipc_list *l;
	int n = 0, r;

	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &m));
	ASSERT_EQ(0, kipc_list_create(m, NULL, &l));
	for (int i = 0; i < 600; i++)
		many[i] = kipc_bytes(bytes, sizeof(bytes));
	EXPECT_EQ(-ENOMEM, kipc_list_extend(l, many, 600));
	EXPECT_EQ(0, kipc_list_len(l));
	step_audit(m);
	while (!(r = kipc_list_append(l, kipc_bytes(bytes, sizeof(bytes)))))
		n++;
	EXPECT_EQ(-ENOMEM, r);
	EXPECT_GT(n, 20);
	EXPECT_EQ(n, kipc_list_len(l));
	EXPECT_EQ(-ENOMEM, kipc_list_insert(l, 0, kipc_bytes(bytes, sizeof(bytes))));
	EXPECT_EQ(-ENOMEM, kipc_list_set(l, 0, kipc_bytes(bytes, sizeof(bytes))));
	EXPECT_EQ(n, kipc_list_len(l));
	step_audit(m);
	ASSERT_EQ(0, kipc_list_pop(l, 0, &v));
	EXPECT_EQ(sizeof(bytes), v.len);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_list_set(l, 0, kipc_bytes(bytes, sizeof(bytes))));
	EXPECT_EQ(0, kipc_list_clear(l));
	step_audit(m);
	/* the slots themselves find no room */
	n = 0;
	while (!(r = kipc_list_append(l, kipc_int(n))))
		n++;
	EXPECT_EQ(-ENOMEM, r);
	EXPECT_EQ(n, kipc_list_len(l));
	EXPECT_EQ(-ENOMEM, kipc_list_sort(l));
	EXPECT_EQ(-ENOMEM, kipc_list_reverse(l));
	EXPECT_EQ(n, kipc_list_len(l));
	EXPECT_EQ(0, kipc_list_get(l, n - 1, &v));
	EXPECT_EQ(n - 1, v.i);
	EXPECT_EQ(0, kipc_list_clear(l));
	EXPECT_EQ(0, kipc_list_append(l, kipc_int(1)));
	step_audit(m);
	EXPECT_EQ(0, kipc_list_unref(l));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
