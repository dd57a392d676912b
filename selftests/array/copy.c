// SPDX-License-Identifier: MIT
/* Moving elements: fill, copy between orders, whole contents in and out. */
#include "elements.h"

TEST(copy_between_orders)
{
	static const uint32_t orders[] = { 0, KIPC_ARRAY_FORTRAN };

	for (unsigned int ndim = 0; ndim <= KIPC_ARRAY_MAX_DIMS; ndim++)
		for (int from = 0; from < 2; from++)
			for (int to = 0; to < 2; to++)
				FOR_EACH_DTYPE(dtype)
				{
					struct kipc_array *src, *dst;

					src = make(dtype, ndim, lengths, orders[from]);
					dst = make(dtype, ndim, lengths, orders[to]);
					write_elements(src, ndim);
					EXPECT_EQ(0, kipc_array_copy(dst, src));
					EXPECT_EQ(kipc_array_size(dst), good_elements(dst, ndim));
					EXPECT_EQ(kipc_array_size(src), good_elements(src, ndim));
					kipc_array_close(src);
					kipc_array_close(dst);
				}
}

TEST(copy_refuses)
{
	static const uint64_t ab[] = { 3, 4 }, ba[] = { 4, 3 }, ab1[] = { 3, 4, 1 };
	struct kipc_array *a = make(KIPC_INT16, 2, ab, 0);
	struct kipc_array *others[] = {
		make(KIPC_UINT16, 2, ab, 0),
		make(KIPC_INT32, 2, ab, 0),
		make(KIPC_INT16, 2, ba, 0),
		make(KIPC_INT16, 1, ab, 0),
		make(KIPC_INT16, 3, ab1, 0),
	};

	EXPECT_EQ(-EINVAL, kipc_array_copy(a, NULL));
	EXPECT_EQ(-EINVAL, kipc_array_copy(NULL, a));
	EXPECT_EQ(0, kipc_array_copy(a, a));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		EXPECT_EQ(-EINVAL, kipc_array_copy(a, others[i]));
		EXPECT_EQ(-EINVAL, kipc_array_copy(others[i], a));
		kipc_array_close(others[i]);
	}
	kipc_array_close(a);
}

TEST(write_and_read)
{
	static const uint32_t orders[] = { 0, KIPC_ARRAY_FORTRAN };

	for (int order = 0; order < 2; order++)
		FOR_EACH_DTYPE(dtype)
			for (unsigned int ndim = 0; ndim <= KIPC_ARRAY_MAX_DIMS; ndim++) {
				struct kipc_array *a = make(dtype, ndim, lengths, orders[order]);
				size_t item = kipc_array_itemsize(a), len = kipc_array_nbytes(a);
				uint8_t *in = malloc(len), *out = malloc(len);

				ASSERT_TRUE(in && out);
				for (size_t n = 0; n < kipc_array_size(a); n++)
					element(in + n * item, item, n, 5);
				EXPECT_EQ(0, kipc_array_write(a, in, len));
				EXPECT_EQ(kipc_array_size(a), good_elements(a, 5));
				EXPECT_EQ(0, kipc_array_read(a, out, len));
				EXPECT_MEMEQ(in, out, len);

				EXPECT_EQ(-EINVAL, kipc_array_write(a, in, len - 1));
				EXPECT_EQ(-EINVAL, kipc_array_write(a, in, len + 1));
				EXPECT_EQ(-EINVAL, kipc_array_read(a, out, len - 1));
				EXPECT_EQ(-EINVAL, kipc_array_read(a, out, len + 1));
				EXPECT_EQ(-EINVAL, kipc_array_write(a, NULL, len));
				EXPECT_EQ(-EINVAL, kipc_array_read(a, NULL, len));
				kipc_array_close(a);
				free(in);
				free(out);
			}
}

TEST(fill)
{
	static const uint64_t shape[] = { 37, 3, 101 };	/* more than one step of 16 KiB */
	static const uint32_t orders[] = { 0, KIPC_ARRAY_FORTRAN };
	uint8_t item[16];

	for (int order = 0; order < 2; order++)
		FOR_EACH_DTYPE(dtype)
		{
			struct kipc_array *a = make(dtype, 3, shape, orders[order]);
			size_t size = kipc_array_itemsize(a), wrong = 0;
			uint8_t *data = kipc_array_data(a);

			for (int same = 0; same < 2; same++) {
				for (size_t i = 0; i < size; i++)
					item[i] = (uint8_t)(same ? 0xc3 : 0x11 * (i + 1));
				EXPECT_EQ(0, kipc_array_fill(a, item));
				for (size_t n = 0; n < kipc_array_size(a); n++)
					wrong += memcmp(data + n * size, item, size) != 0;
				/* nothing behind the last element */
				EXPECT_EQ(0, data[kipc_array_nbytes(a)]);
			}
			EXPECT_EQ(0, wrong);
			EXPECT_EQ(-EINVAL, kipc_array_fill(a, NULL));
			/* the item may be an element of the array */
			memset(data, 0, kipc_array_nbytes(a));
			memcpy(data + 5 * size, item, size);
			EXPECT_EQ(0, kipc_array_fill(a, data + 5 * size));
			EXPECT_MEMEQ(item, data, size);
			kipc_array_close(a);
		}
}

#define ROUNDS 300

struct shared_count {
	struct kipc_array *a;
	uint32_t *done;
};

static int fills(void *arg)
{
	struct shared_count *c = arg;

	for (uint32_t v = 1; v <= ROUNDS; v++) {
		if (kipc_array_write_begin(c->a, KIPC_FOREVER))
			return 1;
		kipc_array_fill(c->a, &v);
		if (kipc_array_write_end(c->a))
			return 1;
	}
	__atomic_store_n(c->done, 1, __ATOMIC_RELEASE);
	return 0;
}

static int reads(void *arg)
{
	struct shared_count *c = arg;
	uint32_t copy[32 * 32];
	uint64_t seq;
	bool done;

	do {
		done = __atomic_load_n(c->done, __ATOMIC_ACQUIRE);
		do {
			if (kipc_array_read_begin(c->a, &seq, KIPC_FOREVER))
				return 1;
			kipc_array_read(c->a, copy, sizeof(copy));
		} while (kipc_array_read_retry(c->a, seq));
		for (int i = 1; i < 32 * 32; i++)
			if (copy[i] != copy[0])
				return 2;
	} while (!done);
	return copy[0] == ROUNDS ? 0 : 3;
}

FIXTURE(snapshot) {
	struct shared_count c;
};

FIXTURE_VARIANT(snapshot) {
	enum ksft_peer_kind peers;
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(snapshot, threads) { .peers = KSFT_THREAD };
FIXTURE_VARIANT_ADD(snapshot, threads_fortran) { KSFT_THREAD, KIPC_ARRAY_FORTRAN };
FIXTURE_VARIANT_ADD(snapshot, processes) { .peers = KSFT_PROCESS };

FIXTURE_SETUP(snapshot)
{
	static const uint64_t shape[] = { 32, 32 };

	self->c.a = make(KIPC_UINT32, 2, shape, variant->flags);
	self->c.done = ksft_shared(sizeof(uint32_t));
}

FIXTURE_TEARDOWN(snapshot)
{
	kipc_array_close(self->c.a);
}

TEST_F(snapshot, read_under_the_sequence_lock)
{
	struct ksft_peer peers[3];

	for (int i = 0; i < 3; i++)
		ksft_peer_start(&peers[i], variant->peers, i ? reads : fills, &self->c);
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(ROUNDS, *(uint32_t *)kipc_array_data(self->c.a));
}

TEST_HARNESS_MAIN
