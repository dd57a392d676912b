// SPDX-License-Identifier: MIT
/* Arrays: element types, shapes and strides, each element in its place. */
#include <sys/stat.h>

#include "elements.h"

static const struct {
	enum kipc_dtype dtype;
	const char *name;
	size_t size;
} numpy[] = {
	{ KIPC_BOOL8, "bool", 1 },	    { KIPC_INT8, "int8", 1 },
	{ KIPC_UINT8, "uint8", 1 },	    { KIPC_INT16, "int16", 2 },
	{ KIPC_UINT16, "uint16", 2 },	    { KIPC_INT32, "int32", 4 },
	{ KIPC_UINT32, "uint32", 4 },	    { KIPC_INT64, "int64", 8 },
	{ KIPC_UINT64, "uint64", 8 },	    { KIPC_FLOAT16, "float16", 2 },
	{ KIPC_FLOAT32, "float32", 4 },	    { KIPC_FLOAT64, "float64", 8 },
	{ KIPC_COMPLEX64, "complex64", 8 }, { KIPC_COMPLEX128, "complex128", 16 },
};

TEST(dtypes)
{
	for (size_t i = 0; i < sizeof(numpy) / sizeof(numpy[0]); i++) {
		EXPECT_STREQ(numpy[i].name, kipc_dtype_name(numpy[i].dtype));
		EXPECT_EQ(numpy[i].size, kipc_dtype_size(numpy[i].dtype));
		EXPECT_EQ(numpy[i].dtype, kipc_dtype_from_name(numpy[i].name));
	}
	EXPECT_EQ(NULL, kipc_dtype_name((enum kipc_dtype)0));
	EXPECT_EQ(NULL, kipc_dtype_name((enum kipc_dtype)15));
	EXPECT_EQ(NULL, kipc_dtype_name((enum kipc_dtype)-1));
	EXPECT_EQ(0, kipc_dtype_size((enum kipc_dtype)0));
	EXPECT_EQ(0, kipc_dtype_size((enum kipc_dtype)15));
	EXPECT_EQ(-EINVAL, kipc_dtype_from_name("float128"));
	EXPECT_EQ(-EINVAL, kipc_dtype_from_name(""));
	EXPECT_EQ(-EINVAL, kipc_dtype_from_name("uint"));
	EXPECT_EQ(-EINVAL, kipc_dtype_from_name(NULL));
}

FIXTURE(order) {
	int unused;
};

FIXTURE_VARIANT(order) {
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(order, c) { .flags = 0 };
FIXTURE_VARIANT_ADD(order, fortran) { .flags = KIPC_ARRAY_FORTRAN };

FIXTURE_SETUP(order)
{
}

FIXTURE_TEARDOWN(order)
{
}

/* What NumPy's documentation says of strides, once more. */
static void check_strides(const struct kipc_array *a, bool fortran)
{
	const int64_t *strides = kipc_array_strides(a);
	const uint64_t *shape = kipc_array_shape(a);
	unsigned int ndim = kipc_array_ndim(a);

	for (unsigned int k = 0; k < ndim; k++) {
		int64_t want = (int64_t)kipc_array_itemsize(a);

		for (unsigned int j = fortran ? 0 : k + 1; j < (fortran ? k : ndim); j++)
			want *= (int64_t)shape[j];
		EXPECT_EQ(want, strides[k]);
	}
}

static void check_array(enum kipc_dtype dtype, unsigned int ndim, uint32_t flags)
{
	KIPC_OPTS(kipc_array_opts, o, .flags = flags);
	uint64_t index[KIPC_ARRAY_MAX_DIMS] = { 0 }, elements = 1, n = 0, wrong = 0;
	struct kipc_array *a;
	uint8_t *data;

	for (unsigned int i = 0; i < ndim; i++)
		elements *= lengths[i];
	ASSERT_EQ(0, kipc_array_create(NULL, dtype, ndim, lengths, &o, &a));
	EXPECT_EQ(dtype, kipc_array_dtype(a));
	EXPECT_EQ(ndim, kipc_array_ndim(a));
	EXPECT_EQ(kipc_dtype_size(dtype), kipc_array_itemsize(a));
	EXPECT_EQ(elements, kipc_array_size(a));
	EXPECT_EQ(elements * kipc_dtype_size(dtype), kipc_array_nbytes(a));
	EXPECT_MEMEQ(lengths, kipc_array_shape(a), ndim * sizeof(lengths[0]));
	check_strides(a, flags & KIPC_ARRAY_FORTRAN);

	data = kipc_array_data(a);
	write_elements(a, dtype);
	do {
		uint8_t want[16], *p = data;

		element(want, kipc_array_itemsize(a), n++, dtype);
		for (unsigned int i = 0; i < ndim; i++)
			p += (int64_t)index[i] * kipc_array_strides(a)[i];
		wrong += kipc_array_at(a, index) != p ||
			 memcmp(want, p, kipc_array_itemsize(a)) != 0;
	} while (next_index(index, lengths, ndim));
	EXPECT_EQ(elements, n);
	EXPECT_EQ(0, wrong);

	/* one too far in each dimension */
	for (unsigned int i = 0; i < ndim; i++) {
		index[i] = lengths[i];
		EXPECT_EQ(NULL, kipc_array_at(a, index));
		index[i] = UINT64_MAX;
		EXPECT_EQ(NULL, kipc_array_at(a, index));
		index[i] = 0;
	}
	EXPECT_EQ((void *)data, kipc_array_at(a, index));
	kipc_array_close(a);
}

TEST_F(order, every_dtype_and_dimension)
{
	FOR_EACH_DTYPE(dtype)
		for (unsigned int ndim = 0; ndim <= KIPC_ARRAY_MAX_DIMS; ndim++)
			check_array(dtype, ndim, variant->flags);
}

TEST(a_single_element)
{
	struct kipc_array *a;
	double *d;

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 0, NULL, NULL, &a));
	EXPECT_EQ(1, kipc_array_size(a));
	EXPECT_EQ(8, kipc_array_nbytes(a));
	d = kipc_array_at(a, NULL);
	ASSERT_EQ(kipc_array_data(a), (void *)d);
	*d = 2.5;
	EXPECT_EQ(2.5, *(double *)kipc_array_data(a));
	kipc_array_close(a);
}

TEST(empty_arrays)
{
	uint64_t shape[3] = { 4, 0, 5 }, index[3] = { 0, 0, 0 };
	struct kipc_array *a;
	char c = 'x';

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT32, 3, shape, NULL, &a));
	EXPECT_EQ(0, kipc_array_size(a));
	EXPECT_EQ(0, kipc_array_nbytes(a));
	EXPECT_EQ(NULL, kipc_array_at(a, index));
	EXPECT_EQ(0, kipc_array_fill(a, "abcd"));
	EXPECT_EQ(0, kipc_array_write(a, NULL, 0));
	EXPECT_EQ(0, kipc_array_read(a, &c, 0));
	EXPECT_EQ(0, kipc_array_copy(a, a));
	EXPECT_EQ('x', c);
	kipc_array_close(a);
}

TEST(refused)
{
	uint64_t shape[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	struct kipc_array *a = NULL;

	EXPECT_EQ(-EINVAL, kipc_array_create(NULL, (enum kipc_dtype)0, 1, shape, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_create(NULL, (enum kipc_dtype)15, 1, shape, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_create(NULL, KIPC_INT8, 9, shape, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_create(NULL, KIPC_INT8, 1, NULL, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_create(NULL, KIPC_INT8, 1, shape, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_array_create("na/me", KIPC_INT8, 1, shape, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_open(NULL, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_open("name", NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_array_unlink(NULL));
	EXPECT_TRUE(a == NULL);
}

TEST(too_large)
{
	struct kipc_array *a = NULL;
	uint64_t one[] = { UINT64_MAX };
	uint64_t product[] = { 1ULL << 32, 1ULL << 32 };
	uint64_t wraps[] = { 1ULL << 33, 1ULL << 33, 4 };
	uint64_t sign[] = { 1ULL << 63 };
	uint64_t half_with_zero[] = { 1ULL << 63, 0 };
	uint64_t with_zero[] = { 1ULL << 62, 0, 1ULL << 62 };
	uint64_t space[] = { 1ULL << 60 };

	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_INT8, 1, one, NULL, &a));
	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_INT8, 2, product, NULL, &a));
	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_INT8, 3, wraps, NULL, &a));
	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_INT8, 1, sign, NULL, &a));
	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_INT8, 3, with_zero, NULL, &a));
	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_INT8, 2, half_with_zero, NULL, &a));
	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_INT8, 1, space, NULL, &a));
	EXPECT_EQ(-EOVERFLOW, kipc_array_create(NULL, KIPC_COMPLEX128, 1, space, NULL, &a));
	EXPECT_TRUE(a == NULL);
}

TEST(options)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	uint64_t shape[] = { 1 << 20 };
	struct kipc_array *a;
	struct stat file;

	for (int bit = 0; bit < 32; bit++) {
		KIPC_OPTS(kipc_array_opts, o, .flags = 1u << bit);

		if (o.flags & (KIPC_ARRAY_FORTRAN | KIPC_SHM_POPULATE | KIPC_SHM_LOCK))
			continue;
		EXPECT_EQ(-EINVAL, kipc_array_create(NULL, KIPC_INT8, 1, shape, &o, &a));
		if (o.flags != KIPC_NAME_RDONLY)
			EXPECT_EQ(-EINVAL, kipc_array_open("x", &o, &a));
	}
	KIPC_OPTS(kipc_array_opts, o, .flags = KIPC_SHM_POPULATE, .mode = 0660, .max_peers = 9);
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT8, 1, shape, &o, &a));
	ASSERT_EQ(0, kipc_array_stat(a, &st));
	EXPECT_EQ(1 << 20, st.size);
	EXPECT_GE(st.resident, 1 << 20);
	EXPECT_EQ(9, st.max_peers);
	ASSERT_EQ(0, fstat(kipc_array_fd(a), &file));
	EXPECT_EQ(0660, file.st_mode & 07777);
	EXPECT_EQ(4096, kipc_array_page_size(a));
	EXPECT_EQ(0, kipc_array_offset(a) % 4096);
	kipc_array_close(a);
	o.sz = offsetof(struct kipc_array_opts, numa) - 1;
	EXPECT_EQ(-EINVAL, kipc_array_create(NULL, KIPC_INT8, 1, shape, &o, &a));
}

TEST(null_handles)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	uint64_t seq;

	EXPECT_EQ(NULL, kipc_array_data(NULL));
	EXPECT_EQ(0, kipc_array_dtype(NULL));
	EXPECT_EQ(0, kipc_array_itemsize(NULL));
	EXPECT_EQ(0, kipc_array_ndim(NULL));
	EXPECT_EQ(NULL, kipc_array_shape(NULL));
	EXPECT_EQ(NULL, kipc_array_strides(NULL));
	EXPECT_EQ(0, kipc_array_size(NULL));
	EXPECT_EQ(0, kipc_array_nbytes(NULL));
	EXPECT_EQ(0, kipc_array_page_size(NULL));
	EXPECT_EQ(-EINVAL, kipc_array_fd(NULL));
	EXPECT_EQ(0, kipc_array_offset(NULL));
	EXPECT_EQ(-EINVAL, kipc_array_stat(NULL, &st));
	EXPECT_EQ(NULL, kipc_array_at(NULL, NULL));
	EXPECT_EQ(NULL, kipc_array_object(NULL));
	EXPECT_EQ(-EINVAL, kipc_array_write_begin(NULL, 0));
	EXPECT_EQ(-EINVAL, kipc_array_write_end(NULL));
	EXPECT_EQ(-EINVAL, kipc_array_read_begin(NULL, &seq, 0));
	EXPECT_FALSE(kipc_array_read_retry(NULL, 0));
	EXPECT_EQ(-EINVAL, kipc_array_fill(NULL, "x"));
	EXPECT_EQ(-EINVAL, kipc_array_copy(NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_array_write(NULL, "", 0));
	EXPECT_EQ(-EINVAL, kipc_array_read(NULL, &seq, 0));
	kipc_array_close(NULL);
}

TEST_HARNESS_MAIN
