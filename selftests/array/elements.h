/* SPDX-License-Identifier: MIT */
/* What the array tests share: every dtype, shapes of every dimension, elements that can be told apart. */
#ifndef SELFTESTS_ARRAY_ELEMENTS_H
#define SELFTESTS_ARRAY_ELEMENTS_H

#include <kipc/array.h>

#include "kselftest_harness.h"

#define FOR_EACH_DTYPE(d)                                                                          \
	for (enum kipc_dtype d = KIPC_BOOL8; d <= KIPC_COMPLEX128; d = (enum kipc_dtype)(d + 1))

/* The first ndim of them: different lengths, a 1 among them, not too many elements in all. */
static const uint64_t lengths[KIPC_ARRAY_MAX_DIMS] = { 3, 2, 5, 1, 4, 2, 3, 2 };

/* The bytes of the n-th element (in C order) of an array; different arrays by salt. */
static inline void element(uint8_t *bytes, size_t itemsize, uint64_t n, uint64_t salt)
{
	uint64_t x = (n + 1) * 0x9e3779b97f4a7c15ULL + salt;

	for (size_t i = 0; i < itemsize; i++) {
		x ^= x >> 29;
		x *= 0xbf58476d1ce4e5b9ULL;
		bytes[i] = (uint8_t)(x >> 56);
	}
}

static inline struct kipc_array *make(enum kipc_dtype dtype, unsigned int ndim,
				      const uint64_t *shape, uint32_t flags)
{
	KIPC_OPTS(kipc_array_opts, o, .flags = flags);
	struct kipc_array *a = NULL;

	ASSERT_EQ(0, kipc_array_create(NULL, dtype, ndim, shape, &o, &a));
	return a;
}

/* The next index in C order; false after the last one. */
static inline bool next_index(uint64_t *index, const uint64_t *shape, unsigned int ndim)
{
	for (unsigned int i = ndim; i-- > 0;) {
		if (++index[i] < shape[i])
			return true;
		index[i] = 0;
	}
	return false;
}

static inline void write_elements(struct kipc_array *a, uint64_t salt)
{
	uint64_t index[KIPC_ARRAY_MAX_DIMS] = { 0 }, n = 0;

	do
		element(kipc_array_at(a, index), kipc_array_itemsize(a), n++, salt);
	while (next_index(index, kipc_array_shape(a), kipc_array_ndim(a)));
}

/* How many elements are as they should be. */
static inline uint64_t good_elements(const struct kipc_array *a, uint64_t salt)
{
	uint64_t index[KIPC_ARRAY_MAX_DIMS] = { 0 }, n = 0, good = 0;
	uint8_t want[16];

	do {
		element(want, kipc_array_itemsize(a), n++, salt);
		good += !memcmp(want, kipc_array_at(a, index), kipc_array_itemsize(a));
	} while (next_index(index, kipc_array_shape(a), kipc_array_ndim(a)));
	return good;
}

#endif
