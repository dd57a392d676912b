// SPDX-License-Identifier: MIT
/*
 * Views against the plainest of models: a list of the elements' numbers.  (Against NumPy itself:
 * numpy.c.)  And what is refused, above all views that lead out of their array.
 */
#include <kipc/view.h>

#include "elements.h"

#define NONE KIPC_RANGE_NONE

/* Every element of the array is its own number in C order. */
static struct kipc_array *numbered(unsigned int ndim, const uint64_t *shape, uint32_t flags)
{
	KIPC_OPTS(kipc_array_opts, o, .flags = flags);
	uint64_t index[KIPC_ARRAY_MAX_DIMS] = { 0 };
	struct kipc_array *a = NULL;
	int32_t n = 0;

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT32, ndim, shape, &o, &a));
	if (kipc_array_size(a))
		do
			*(int32_t *)kipc_array_at(a, index) = n++;
		while (next_index(index, shape, ndim));
	return a;
}

static int32_t number_at(const struct kipc_view *v, const int64_t *index)
{
	int32_t *p = kipc_view_at(v, index);

	ASSERT_TRUE(p != NULL);
	return *p;
}

/* The numbers in a view, in its order: by address and by read; both must be the same. */
static size_t numbers(const struct kipc_view *v, int32_t *to, size_t max)
{
	int64_t index[KIPC_ARRAY_MAX_DIMS] = { 0 };
	size_t n = kipc_view_size(v), i = 0;
	int32_t *copy = calloc(n + 1, sizeof(*copy));

	ASSERT_LE(n, max);
	ASSERT_EQ(0, kipc_view_read(v, copy, n * sizeof(*copy)));
	for (i = 0; i < n; i++) {
		to[i] = number_at(v, index);
		if (to[i] != copy[i])
			EXPECT_EQ(to[i], copy[i]);
		for (uint32_t d = v->ndim; d-- > 0;) {
			if (++index[d] < (int64_t)v->shape[d])
				break;
			index[d] = 0;
		}
	}
	free(copy);
	return n;
}

/* ---- slices ---- */

/* start:stop:step of 0 .. n-1, one after the other, as Python's reference says. */
static size_t model(int64_t n, const struct kipc_range *r, int32_t *to)
{
	int64_t step = r->step == NONE ? 1 : r->step, i = r->start, stop = r->stop;
	size_t k = 0;

	if (i == NONE)
		i = step > 0 ? 0 : n - 1;
	else if (i < 0)
		i += n;
	if (stop == NONE)
		stop = step > 0 ? n : -1;
	else if (stop < 0)
		stop = stop + n < 0 ? -1 : stop + n;
	/* who begins outside, on the far side, begins at the edge */
	if (step > 0 && i < 0)
		i = 0;
	if (step < 0 && i >= n)
		i = n - 1;
	for (; step > 0 ? i < stop && i < n : i > stop && i >= 0; i += step)
		to[k++] = (int32_t)i;
	return k;
}

TEST(every_range_of_one_axis)
{
	static const int64_t steps[] = { 1, 2, 3, 7, -1, -2, -3, -7, NONE };

	for (uint64_t n = 0; n < 6; n++) {
		struct kipc_array *a = numbered(1, &n, 0);

		for (int64_t start = -8; start <= 8; start++)
			for (int64_t stop = -8; stop <= 8; stop++)
				for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
					struct kipc_range r = { start == 8 ? NONE : start,
								stop == 8 ? NONE : stop, steps[k] };
					int32_t want[8], got[8];
					size_t nwant = model((int64_t)n, &r, want);
					struct kipc_view v;

					ASSERT_EQ(0, kipc_array_slice(a, &r, &v));
					if (!EXPECT_EQ(nwant, numbers(&v, got, 8)) ||
					    !EXPECT_MEMEQ(want, got, nwant * sizeof(*got)))
						ksft_log("%ld:%ld:%ld of %lu", (long)start, (long)stop,
							 (long)steps[k], (unsigned long)n);
				}
		kipc_array_close(a);
	}
}

static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 16;
}

static int64_t random_end(uint64_t *x)
{
	uint64_t r = random_next(x) % 20;

	return r == 19 ? NONE : (int64_t)r - 9;
}

FIXTURE(cube) {
	struct kipc_array *a;
};

FIXTURE_VARIANT(cube) {
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(cube, c_order) { .flags = 0 };
FIXTURE_VARIANT_ADD(cube, fortran_order) { .flags = KIPC_ARRAY_FORTRAN };

static const uint64_t cube_shape[] = { 4, 5, 6 };

FIXTURE_SETUP(cube)
{
	self->a = numbered(3, cube_shape, variant->flags);
}

FIXTURE_TEARDOWN(cube)
{
	kipc_array_close(self->a);
}

/* Slices of slices, checked by the lists of the axes. */
TEST_F(cube, slices_of_slices)
{
	const int rounds = ksft_slow() ? 300 : 3000;
	uint64_t x = 88172645463325252ULL;

	for (int round = 0; round < rounds; round++) {
		int32_t lists[3][8], next[3][8], got[120];
		size_t len[3] = { 4, 5, 6 }, k = 0, n;
		struct kipc_view v;

		ASSERT_EQ(0, kipc_array_view(self->a, &v));
		for (int d = 0; d < 3; d++)
			for (int32_t i = 0; i < (int32_t)len[d]; i++)
				lists[d][i] = i;
		for (int depth = 0; depth < 3; depth++) {
			struct kipc_range r[3];

			for (int d = 0; d < 3; d++) {
				r[d].start = random_end(&x);
				r[d].stop = random_end(&x);
				r[d].step = (int64_t)(random_next(&x) % 7) - 3;
				if (!r[d].step)
					r[d].step = NONE;
				n = model((int64_t)len[d], &r[d], next[d]);
				for (size_t i = 0; i < n; i++)
					next[d][i] = lists[d][next[d][i]];
				len[d] = n;
				memcpy(lists[d], next[d], sizeof(next[d]));
			}
			ASSERT_EQ(0, kipc_view_slice(&v, r, &v));
			for (int d = 0; d < 3; d++)
				ASSERT_EQ(len[d], v.shape[d]);
		}
		n = numbers(&v, got, 120);
		ASSERT_EQ(len[0] * len[1] * len[2], n);
		for (size_t i = 0; n && i < len[0]; i++)
			for (size_t j = 0; j < len[1]; j++)
				for (size_t l = 0; l < len[2]; l++)
					ASSERT_EQ(lists[0][i] * 30 + lists[1][j] * 6 + lists[2][l],
						  got[k++]);
	}
}

TEST_F(cube, steps_that_lead_nowhere)
{
	static const int64_t steps[] = { INT64_MAX, INT64_MIN + 1, INT64_MAX / 4, INT64_MIN / 2 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct kipc_range r[] = { KIPC_RANGE_STEP(NONE, NONE, steps[i]),
					  KIPC_RANGE(INT64_MIN + 1, INT64_MAX),
					  KIPC_RANGE(INT64_MAX, INT64_MIN + 1) };
		struct kipc_view v;

		ASSERT_EQ(0, kipc_array_slice(self->a, r, &v));
		EXPECT_EQ(1, v.shape[0]);
		EXPECT_EQ(5, v.shape[1]);
		EXPECT_EQ(0, v.shape[2]);
		EXPECT_EQ(0, kipc_view_size(&v));
		/* what is empty can be cut further, and filled */
		EXPECT_EQ(0, kipc_view_slice(&v, r, &v));
		EXPECT_EQ(0, kipc_view_fill(&v, &(int32_t){ 1 }));
		EXPECT_EQ(NULL, kipc_view_at(&v, (int64_t[]){ 0, 0, 0 }));
	}
}

/* ---- axes ---- */

TEST_F(cube, an_axis_less)
{
	struct kipc_view v, w;

	ASSERT_EQ(0, kipc_array_view(self->a, &v));
	for (int axis = -3; axis < 3; axis++)
		for (int64_t index = -(int64_t)cube_shape[(axis + 3) % 3];
		     index < (int64_t)cube_shape[(axis + 3) % 3]; index++) {
			int at = (axis + 3) % 3;
			int64_t i[3], j[2];

			ASSERT_EQ(0, kipc_view_index(&v, axis, index, &w));
			ASSERT_EQ(2, w.ndim);
			for (j[0] = 0; j[0] < (int64_t)w.shape[0]; j[0]++)
				for (j[1] = 0; j[1] < (int64_t)w.shape[1]; j[1]++) {
					for (int d = 0; d < 3; d++)
						i[d] = d == at ? index : j[d - (d > at)];
					ASSERT_EQ(kipc_view_at(&v, i), kipc_view_at(&w, j));
				}
		}
	EXPECT_EQ(-ERANGE, kipc_view_index(&v, 3, 0, &w));
	EXPECT_EQ(-ERANGE, kipc_view_index(&v, -4, 0, &w));
	EXPECT_EQ(-ERANGE, kipc_view_index(&v, 0, 4, &w));
	EXPECT_EQ(-ERANGE, kipc_view_index(&v, 0, -5, &w));
	EXPECT_EQ(-ERANGE, kipc_view_index(&v, 2, INT64_MIN, &w));
	/* down to a single element, and no further */
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, kipc_view_index(&v, -1, -1, &v));
	EXPECT_EQ(0, v.ndim);
	EXPECT_EQ(1, kipc_view_size(&v));
	EXPECT_EQ(119, number_at(&v, NULL));
	EXPECT_EQ(-ERANGE, kipc_view_index(&v, 0, 0, &v));
}

TEST_F(cube, axes_in_every_order)
{
	static const int orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 }, { -1, 0, 1 },
	};
	struct kipc_view v, w, back;

	ASSERT_EQ(0, kipc_array_view(self->a, &v));
	for (size_t n = 0; n < sizeof(orders) / sizeof(orders[0]); n++) {
		int inverse[3];

		ASSERT_EQ(0, kipc_view_transpose(&v, orders[n], &w));
		for (int i = 0; i < 3; i++) {
			int axis = (orders[n][i] + 3) % 3;

			EXPECT_EQ(v.shape[axis], w.shape[i]);
			EXPECT_EQ(v.strides[axis], w.strides[i]);
			inverse[axis] = i;
		}
		ASSERT_EQ(0, kipc_view_transpose(&w, inverse, &back));
		EXPECT_MEMEQ(&v, &back, sizeof(v));
	}
	ASSERT_EQ(0, kipc_view_transpose(&v, NULL, &w));
	EXPECT_EQ(number_at(&v, (int64_t[]){ 1, 2, 3 }), number_at(&w, (int64_t[]){ 3, 2, 1 }));
	EXPECT_EQ(-EINVAL, kipc_view_transpose(&v, (int[]){ 0, 1, 1 }, &w));
	EXPECT_EQ(-EINVAL, kipc_view_transpose(&v, (int[]){ 0, 1, 3 }, &w));
	EXPECT_EQ(-EINVAL, kipc_view_transpose(&v, (int[]){ 0, 1, -4 }, &w));
	EXPECT_EQ(-EINVAL, kipc_view_transpose(&v, (int[]){ 0, 2, -1 }, &w));
}

/* ---- shapes ---- */

#define REST KIPC_SHAPE_REST

static const struct {
	unsigned int ndim;
	uint64_t shape[8];
	int c, fortran;		/* what becomes of the cube */
} shapes[] = {
	{ 1, { 120 }, 0, -ENOTSUP },
	{ 1, { REST }, 0, -ENOTSUP },
	{ 3, { 4, 5, 6 }, 0, 0 },
	{ 3, { REST, 5, 6 }, 0, 0 },
	{ 5, { 1, 4, 1, 5, 6 }, 0, 0 },
	{ 6, { 2, 2, 5, 3, 2, 1 }, 0, 0 },
	{ 4, { 2, 2, 5, REST }, 0, 0 },
	{ 2, { 20, 6 }, 0, -ENOTSUP },
	{ 2, { 4, 30 }, 0, -ENOTSUP },
	{ 2, { 6, 20 }, 0, -ENOTSUP },
	{ 8, { 2, 2, 5, 2, 3, 1, 1, 1 }, 0, 0 },
	{ 1, { 119 }, -EINVAL, -EINVAL },
	{ 2, { 120, 2 }, -EINVAL, -EINVAL },
	{ 2, { REST, 7 }, -EINVAL, -EINVAL },
	{ 2, { REST, REST }, -EINVAL, -EINVAL },
	{ 2, { REST, 0 }, -EINVAL, -EINVAL },
	{ 1, { 0 }, -EINVAL, -EINVAL },
	{ 2, { 1ULL << 63, 2 }, -EINVAL, -EINVAL },
	{ 3, { 1ULL << 32, 1ULL << 32, 120 }, -EINVAL, -EINVAL },
	{ 0, { 0 }, -EINVAL, -EINVAL },
	{ 9, { 120, 1, 1, 1, 1, 1, 1, 1 }, -EINVAL, -EINVAL },
};

TEST_F(cube, other_shapes)
{
	struct kipc_view v, w;
	int32_t got[120];

	ASSERT_EQ(0, kipc_array_view(self->a, &v));
	for (size_t n = 0; n < sizeof(shapes) / sizeof(shapes[0]); n++) {
		int want = variant->flags ? shapes[n].fortran : shapes[n].c;

		if (!EXPECT_EQ(want, kipc_view_reshape(&v, shapes[n].ndim, shapes[n].shape, &w)))
			ksft_log("shape %zu", n);
		if (want)
			continue;
		EXPECT_EQ(120, numbers(&w, got, 120));
		for (int i = 0; i < 120; i++)
			ASSERT_EQ(i, got[i]);
	}
}

/* Of parts, as NumPy's _attempt_nocopy_reshape() does: what lies in steps can be cut, but not joined. */
TEST(shapes_of_parts)
{
	static const uint64_t shape[] = { 8, 6 }, halves[] = { 2, 2, 3, 2 }, flat[] = { REST };
	struct kipc_range every_second[] = { KIPC_RANGE_STEP(NONE, NONE, 2), KIPC_RANGE_ALL };
	struct kipc_range left[] = { KIPC_RANGE_ALL, KIPC_RANGE(0, 3) };
	struct kipc_range backwards[] = { KIPC_RANGE_STEP(NONE, NONE, -1),
					  KIPC_RANGE_STEP(NONE, NONE, -1) };
	struct kipc_array *a = numbered(2, shape, 0);
	struct kipc_view v, w;
	int32_t got[48];

	ASSERT_EQ(0, kipc_array_slice(a, every_second, &v));
	ASSERT_EQ(0, kipc_view_reshape(&v, 4, halves, &w));
	EXPECT_EQ(24, numbers(&w, got, 48));
	for (int i = 0; i < 24; i++)
		EXPECT_EQ(i / 6 * 12 + i % 6, got[i]);
	EXPECT_EQ(-ENOTSUP, kipc_view_reshape(&v, 1, flat, &w));
	ASSERT_EQ(0, kipc_array_slice(a, left, &v));
	EXPECT_EQ(-ENOTSUP, kipc_view_reshape(&v, 1, flat, &w));
	/* but a column, or what goes on where it ends, is flat */
	ASSERT_EQ(0, kipc_view_slice(&v, (struct kipc_range[]){ KIPC_RANGE_ALL, KIPC_RANGE(1, 2) }, &v));
	ASSERT_EQ(0, kipc_view_reshape(&v, 1, flat, &w));
	EXPECT_EQ(8, numbers(&w, got, 48));
	EXPECT_EQ(43, got[7]);
	ASSERT_EQ(0, kipc_array_slice(a, backwards, &v));
	ASSERT_EQ(0, kipc_view_reshape(&v, 1, flat, &w));
	EXPECT_EQ(48, numbers(&w, got, 48));
	for (int i = 0; i < 48; i++)
		EXPECT_EQ(47 - i, got[i]);
	kipc_array_close(a);
}

TEST(shapes_of_nothing_and_of_one)
{
	static const uint64_t empty[] = { 3, 0, 5 }, other[] = { 0, 7 }, rest[] = { 7, REST };
	static const uint64_t ones[] = { 1, 1, 1 };
	struct kipc_array *a = numbered(3, empty, 0);
	struct kipc_view v, w;

	ASSERT_EQ(0, kipc_array_view(a, &v));
	ASSERT_EQ(0, kipc_view_reshape(&v, 2, other, &w));
	EXPECT_EQ(0, kipc_view_size(&w));
	ASSERT_EQ(0, kipc_view_reshape(&v, 2, rest, &w));
	EXPECT_EQ(0, w.shape[1]);
	EXPECT_EQ(-EINVAL, kipc_view_reshape(&v, 0, NULL, &w));
	kipc_array_close(a);

	a = numbered(0, NULL, 0);
	ASSERT_EQ(0, kipc_array_slice(a, NULL, &v));
	ASSERT_EQ(0, kipc_view_reshape(&v, 3, ones, &w));
	EXPECT_EQ(0, number_at(&w, (int64_t[]){ 0, -1, 0 }));
	ASSERT_EQ(0, kipc_view_reshape(&w, 0, NULL, &v));
	EXPECT_EQ(1, kipc_view_size(&v));
	ASSERT_EQ(0, kipc_view_transpose(&v, NULL, &w));
	EXPECT_EQ(0, w.ndim);
	kipc_array_close(a);
}

/* ---- elements ---- */

TEST_F(cube, negative_indices)
{
	struct kipc_view v;

	ASSERT_EQ(0, kipc_array_view(self->a, &v));
	EXPECT_EQ(119, number_at(&v, (int64_t[]){ -1, -1, -1 }));
	EXPECT_EQ(0, number_at(&v, (int64_t[]){ -4, -5, -6 }));
	EXPECT_EQ(NULL, kipc_view_at(&v, (int64_t[]){ -5, 0, 0 }));
	EXPECT_EQ(NULL, kipc_view_at(&v, (int64_t[]){ 0, 5, 0 }));
	EXPECT_EQ(NULL, kipc_view_at(&v, (int64_t[]){ 0, 0, INT64_MAX }));
	EXPECT_EQ(NULL, kipc_view_at(&v, (int64_t[]){ 0, 0, INT64_MIN }));
	EXPECT_EQ(NULL, kipc_view_at(&v, NULL));
	EXPECT_EQ(NULL, kipc_view_at(NULL, (int64_t[]){ 0, 0, 0 }));
}

TEST_F(cube, fill_and_write)
{
	struct kipc_range r[] = { KIPC_RANGE_STEP(NONE, NONE, -2), KIPC_RANGE(1, 3),
				  KIPC_RANGE_STEP(5, NONE, -3) };
	int32_t in[8], all[120], seven = 7;
	struct kipc_view v;
	int n = 0;

	ASSERT_EQ(0, kipc_array_slice(self->a, r, &v));
	ASSERT_EQ(8, kipc_view_size(&v));
	ASSERT_EQ(0, kipc_view_fill(&v, &seven));
	ASSERT_EQ(0, kipc_array_read(self->a, all, sizeof(all)));
	for (int i = 0; i < 120; i++) {
		bool mine = i / 30 % 2 == 1 && (i / 6 % 5 == 1 || i / 6 % 5 == 2) && i % 3 == 2;

		EXPECT_EQ(mine ? 7 : i, all[i]);
		n += mine;
	}
	EXPECT_EQ(8, n);
	for (int i = 0; i < 8; i++)
		in[i] = 1000 + i;
	ASSERT_EQ(0, kipc_view_write(&v, in, sizeof(in)));
	EXPECT_EQ(8, numbers(&v, all, 120));
	EXPECT_MEMEQ(in, all, sizeof(in));
	EXPECT_EQ(1000, number_at(&v, (int64_t[]){ 0, 0, 0 }));
	EXPECT_EQ(1000, *(int32_t *)kipc_array_at(self->a, (uint64_t[]){ 3, 1, 5 }));
	EXPECT_EQ(-EINVAL, kipc_view_write(&v, in, sizeof(in) - 1));
	EXPECT_EQ(-EINVAL, kipc_view_read(&v, in, sizeof(in) + 1));
	EXPECT_EQ(-EINVAL, kipc_view_write(&v, NULL, sizeof(in)));
	EXPECT_EQ(-EINVAL, kipc_view_fill(&v, NULL));
}

TEST(copies)
{
	static const uint64_t shape[] = { 6, 10 }, other[] = { 10, 6 };
	struct kipc_array *a = numbered(2, shape, 0), *b = numbered(2, other, KIPC_ARRAY_FORTRAN);
	struct kipc_array *c = NULL;
	struct kipc_view v, w;
	int32_t got[60];

	/* the transposed other one */
	ASSERT_EQ(0, kipc_array_view(a, &v));
	ASSERT_EQ(0, kipc_array_view(b, &w));
	EXPECT_EQ(-EINVAL, kipc_view_copy(&v, &w));
	ASSERT_EQ(0, kipc_view_transpose(&w, NULL, &w));
	ASSERT_EQ(0, kipc_view_copy(&v, &w));
	EXPECT_EQ(60, numbers(&v, got, 60));
	for (int i = 0; i < 60; i++)
		EXPECT_EQ(i % 10 * 6 + i / 10, got[i]);
	/* another type */
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_UINT32, 2, shape, NULL, &c));
	ASSERT_EQ(0, kipc_array_view(c, &w));
	EXPECT_EQ(-EINVAL, kipc_view_copy(&v, &w));
	EXPECT_EQ(-EINVAL, kipc_view_copy(&v, NULL));
	EXPECT_EQ(-EINVAL, kipc_view_copy(NULL, &v));
	kipc_array_close(a);
	kipc_array_close(b);
	kipc_array_close(c);
}

/* As if all of the source had been read before. */
TEST(copies_within)
{
	static const uint64_t n = 1000;
	static const struct {
		struct kipc_range dst, src;
	} pairs[] = {
		{ KIPC_RANGE_ALL, KIPC_RANGE_STEP(NONE, NONE, -1) },
		{ KIPC_RANGE(1, NONE), KIPC_RANGE(NONE, -1) },
		{ KIPC_RANGE(NONE, -1), KIPC_RANGE(1, NONE) },
		{ KIPC_RANGE(0, 500), KIPC_RANGE_STEP(NONE, NONE, 2) },
		{ KIPC_RANGE_STEP(NONE, NONE, 2), KIPC_RANGE(500, NONE) },
		{ KIPC_RANGE_STEP(NONE, NONE, 2), KIPC_RANGE_STEP(NONE, NONE, -2) },
		{ KIPC_RANGE(3, 500), KIPC_RANGE(3, 500) },
		{ KIPC_RANGE(0, 400), KIPC_RANGE(600, 1000) },
		{ KIPC_RANGE(0, 0), KIPC_RANGE(5, 5) },
	};

	for (size_t k = 0; k < sizeof(pairs) / sizeof(pairs[0]); k++) {
		struct kipc_array *a = numbered(1, &n, 0);
		int32_t want[1000], got[1000], at[1000], from[1000];
		struct kipc_view dst, src;
		size_t len = model(1000, &pairs[k].dst, at);

		ASSERT_EQ(len, model(1000, &pairs[k].src, from));
		for (int32_t i = 0; i < 1000; i++)
			want[i] = i;
		for (size_t i = 0; i < len; i++)
			want[at[i]] = from[i];
		ASSERT_EQ(0, kipc_array_slice(a, &pairs[k].dst, &dst));
		ASSERT_EQ(0, kipc_array_slice(a, &pairs[k].src, &src));
		ASSERT_EQ(0, kipc_view_copy(&dst, &src));
		ASSERT_EQ(0, kipc_array_read(a, got, sizeof(got)));
		if (!EXPECT_MEMEQ(want, got, sizeof(got)))
			ksft_log("pair %zu", k);
		kipc_array_close(a);
	}
}

TEST(read_only)
{
	static const uint64_t n = 10;
	struct kipc_array *a = numbered(1, &n, 0);
	struct kipc_view v, w;
	int32_t buf[10];

	ASSERT_EQ(0, kipc_array_seal(a, KIPC_SEAL_WRITE));
	ASSERT_EQ(0, kipc_array_view(a, &v));
	ASSERT_EQ(0, kipc_view_slice(&v, (struct kipc_range[]){ KIPC_RANGE(0, 5) }, &w));
	EXPECT_EQ(0, kipc_view_read(&v, buf, sizeof(buf)));
	EXPECT_EQ(-EACCES, kipc_view_write(&v, buf, sizeof(buf)));
	EXPECT_EQ(-EACCES, kipc_view_fill(&v, buf));
	EXPECT_EQ(-EACCES, kipc_view_copy(&w, &w));
	kipc_array_close(a);
}

/* ---- views made by hand ---- */

static void refused(struct kipc_view *v, const struct kipc_view *good, const char *what)
{
	struct kipc_range r[8] = { 0 };
	uint64_t shape[8] = { REST };
	struct kipc_view w;
	uint8_t buf[4096];
	bool bad;

	for (int i = 0; i < 8; i++)
		r[i] = (struct kipc_range)KIPC_RANGE_ALL;
	bad = EXPECT_EQ(-EINVAL, kipc_view_slice(v, r, &w)) +
	      EXPECT_EQ(-EINVAL, kipc_view_index(v, 0, 0, &w)) +
	      EXPECT_EQ(-EINVAL, kipc_view_transpose(v, NULL, &w)) +
	      EXPECT_EQ(-EINVAL, kipc_view_reshape(v, 1, shape, &w)) +
	      EXPECT_EQ(NULL, kipc_view_at(v, (int64_t[8]){ 0 })) +
	      EXPECT_EQ(-EINVAL, kipc_view_fill(v, buf)) +
	      EXPECT_EQ(-EINVAL, kipc_view_read(v, buf, 80)) +
	      EXPECT_EQ(-EINVAL, kipc_view_write(v, buf, 80)) +
	      EXPECT_EQ(-EINVAL, kipc_view_copy(v, good)) +
	      EXPECT_EQ(-EINVAL, kipc_view_copy(good, v)) < 10;
	if (bad)
		ksft_log("%s", what);
	*v = *good;
}

#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		v.field = (value);                                                                 \
		refused(&v, &good, #field " = " #value);                                           \
	} while (0)

TEST(by_hand)
{
	static const uint64_t shape[] = { 4, 5 };
	struct kipc_array *a = numbered(2, shape, 0);
	struct kipc_view good, v;
	int32_t got[20];

	ASSERT_EQ(0, kipc_array_view(a, &good));
	v = good;
	REFUSED(array, NULL);
	REFUSED(ndim, 9);
	REFUSED(ndim, UINT32_MAX);
	REFUSED(dtype, KIPC_INT16);
	REFUSED(dtype, KIPC_FLOAT32);
	REFUSED(data, (char *)good.data + 4);
	REFUSED(data, (char *)good.data - 4);
	REFUSED(data, (char *)good.data + 1);
	REFUSED(data, NULL);
	REFUSED(data, (void *)(UINTPTR_MAX - 3));
	REFUSED(shape[0], 5);
	REFUSED(shape[0], UINT64_MAX);
	REFUSED(shape[1], 1ULL << 63);
	REFUSED(shape[1], 1ULL << 62);
	REFUSED(strides[0], 24);
	REFUSED(strides[0], -20);
	REFUSED(strides[0], 18);
	REFUSED(strides[1], INT64_MAX & ~3LL);
	REFUSED(strides[1], INT64_MIN);
	/* inside, but more elements than there are bytes for: no end of work for little memory */
	v.shape[0] = 1ULL << 40;
	v.strides[0] = 0;
	refused(&v, &good, "2^40 times the same");
	v.shape[0] = v.shape[1] = 1ULL << 32;
	v.strides[0] = v.strides[1] = 0;
	refused(&v, &good, "2^64 elements are none");

	/* what stays inside is as good as any: here each diagonal, and one element four times */
	v.ndim = 1;
	v.strides[0] = 24;
	EXPECT_EQ(4, numbers(&v, got, 20));
	EXPECT_EQ(18, got[3]);
	v.strides[0] = 0;
	EXPECT_EQ(4, numbers(&v, got, 20));
	EXPECT_EQ(0, got[3]);
	kipc_array_close(a);
}

TEST(null_arguments)
{
	static const uint64_t n = 3;
	struct kipc_array *a = numbered(1, &n, 0);
	struct kipc_range all = KIPC_RANGE_ALL, zero = { 0, 1, 0 };
	struct kipc_view v;

	EXPECT_EQ(-EINVAL, kipc_array_view(NULL, &v));
	EXPECT_EQ(-EINVAL, kipc_array_view(a, NULL));
	EXPECT_EQ(-EINVAL, kipc_array_slice(NULL, &all, &v));
	EXPECT_EQ(-EINVAL, kipc_array_slice(a, NULL, &v));
	EXPECT_EQ(-EINVAL, kipc_array_slice(a, &all, NULL));
	EXPECT_EQ(-EINVAL, kipc_array_slice(a, &zero, &v));
	ASSERT_EQ(0, kipc_array_view(a, &v));
	EXPECT_EQ(-EINVAL, kipc_view_slice(NULL, &all, &v));
	EXPECT_EQ(-EINVAL, kipc_view_index(NULL, 0, 0, &v));
	EXPECT_EQ(-EINVAL, kipc_view_index(&v, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, kipc_view_transpose(NULL, NULL, &v));
	EXPECT_EQ(-EINVAL, kipc_view_transpose(&v, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_view_reshape(NULL, 1, &n, &v));
	EXPECT_EQ(-EINVAL, kipc_view_reshape(&v, 1, NULL, &v));
	EXPECT_EQ(-EINVAL, kipc_view_reshape(&v, 1, &n, NULL));
	EXPECT_EQ(-EINVAL, kipc_view_fill(NULL, &n));
	EXPECT_EQ(-EINVAL, kipc_view_read(NULL, &v, 1));
	EXPECT_EQ(-EINVAL, kipc_view_write(NULL, &v, 1));
	EXPECT_EQ(0, kipc_view_size(NULL));
	kipc_array_close(a);
}

TEST_HARNESS_MAIN
