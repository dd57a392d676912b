// SPDX-License-Identifier: MIT
/*
 * Descriptions that came from elsewhere: a damaged one is -EPROTO, whatever else is accepted keeps
 * every element inside the data.
 */
#include <sys/socket.h>
#include <unistd.h>

#include <kipc/object.h>

#include "core/compiler.h"
#include "elements.h"
#include "uapi/kipc/array.h"

FIXTURE(head) {
	int socks[2];
	struct kipc_array *a;
	struct kipc_array_head *head;
	struct kipc_array_head good;
};

FIXTURE_SETUP(head)
{
	static const uint64_t shape[] = { 10, 20 };

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, self->socks));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT32, 2, shape, NULL, &self->a));
	self->head = (void *)((char *)kipc_array_data(self->a) - KIPC_SHM_HEAD_SIZE(56));
	self->good = *self->head;
	ASSERT_EQ(KIPC_INT32, self->good.dtype);
}

FIXTURE_TEARDOWN(head)
{
	kipc_array_close(self->a);
	close(self->socks[0]);
	close(self->socks[1]);
}

/* Opens it anew as another process would. */
static int reopen(struct __ksft_self_of_head *self, struct kipc_array **a)
{
	struct kipc_object *obj;
	int r;

	ASSERT_EQ(0, kipc_send(self->socks[0], kipc_array_object(self->a)));
	r = kipc_recv(self->socks[1], &obj);
	if (!r)
		*a = kipc_object_array(obj);
	return r;
}

static void refused(struct __ksft_self_of_head *self, const char *what)
{
	struct kipc_array *a = NULL;

	if (!EXPECT_EQ(-EPROTO, reopen(self, &a)))
		ksft_log("%s", what);
	*self->head = self->good;
}

#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		self->head->field = (value);                                                       \
		refused(self, #field " = " #value);                                                \
	} while (0)

TEST_F(head, damaged)
{
	REFUSED(dtype, 0);
	REFUSED(dtype, 15);
	REFUSED(dtype, UINT32_MAX);
	REFUSED(dtype, KIPC_INT64);	/* not its itemsize */
	REFUSED(itemsize, 0);
	REFUSED(itemsize, 8);
	REFUSED(itemsize, UINT32_MAX);
	REFUSED(ndim, 9);
	REFUSED(ndim, UINT32_MAX);
	REFUSED(ndim, 1);		/* the elements don't agree */
	REFUSED(ndim, 3);		/* nor here */
	REFUSED(flags, 1);
	REFUSED(elements, 0);
	REFUSED(elements, 201);
	REFUSED(elements, UINT64_MAX);
	REFUSED(shape[0], 11);
	REFUSED(shape[0], 0);
	REFUSED(shape[1], UINT64_MAX);
	REFUSED(shape[1], 1ULL << 63);
	REFUSED(strides[0], 81);	/* not aligned to the items */
	REFUSED(strides[0], 84);	/* the last element ends behind the data */
	REFUSED(strides[0], -80);
	REFUSED(strides[1], INT64_MAX & ~3LL);
	REFUSED(strides[1], INT64_MIN);
	/* a stride that no index ever multiplies */
	self->head->shape[0] = 1;
	self->head->elements = 20;
	REFUSED(strides[0], INT64_MAX & ~3LL);
	REFUSED(shm.size, 799);
	REFUSED(shm.size, 0);
	REFUSED(shm.size, 4097);
	REFUSED(shm.data_off, 0);
}

/* Products that come out right only because they wrap around. */
TEST_F(head, wraps_around)
{
	struct kipc_array_head *h = self->head;

	h->shape[0] = 1ULL << 32;
	h->shape[1] = 1ULL << 32;
	h->elements = 0;
	refused(self, "2^32 * 2^32 = 0");
	h->shape[0] = (1ULL << 62) + 50;
	h->shape[1] = 4;
	h->elements = 200;
	refused(self, "(2^62 + 50) * 4 = 200");
	h->shape[0] = 1ULL << 62;
	h->shape[1] = 1;
	h->elements = 1ULL << 62;
	h->strides[0] = 0;
	h->strides[1] = 0;
	refused(self, "2^62 * 4 bytes = 0");
	/* very many elements in one place: a walk would not come to an end */
	h->shape[0] = 1ULL << 40;
	h->shape[1] = 1;
	h->elements = 1ULL << 40;
	h->strides[0] = 0;
	h->strides[1] = 0;
	refused(self, "2^40 elements");
	/* no element at all, but a stride that must not be */
	h->shape[0] = 0;
	h->elements = 0;
	h->strides[0] = -80;
	refused(self, "negative stride");
	h->shape[0] = 0;
	h->shape[1] = UINT64_MAX;
	h->elements = 0;
	refused(self, "0 * (2^64 - 1)");
}

/* Not made by this build, but within the format: rows with gaps, and a broadcast. */
TEST_F(head, other_strides)
{
	struct kipc_array *a;
	int32_t buf[2 * 20], back[2 * 20], v = 77;
	uint64_t index[2];

	self->head->shape[0] = 2;
	self->head->elements = 40;
	self->head->strides[0] = 400;
	ASSERT_EQ(0, reopen(self, &a));
	for (int i = 0; i < 40; i++)
		buf[i] = i * 3;
	memset(kipc_array_data(self->a), 0x55, 800);
	ASSERT_EQ(0, kipc_array_write(a, buf, sizeof(buf)));
	for (index[0] = 0; index[0] < 2; index[0]++)
		for (index[1] = 0; index[1] < 20; index[1]++) {
			int32_t *p = kipc_array_at(a, index);

			EXPECT_EQ((char *)kipc_array_data(a) + 400 * index[0] + 4 * index[1],
				  (char *)p);
			EXPECT_EQ((int32_t)(index[0] * 20 + index[1]) * 3, *p);
		}
	ASSERT_EQ(0, kipc_array_read(a, back, sizeof(back)));
	EXPECT_MEMEQ(buf, back, sizeof(buf));
	ASSERT_EQ(0, kipc_array_fill(a, &v));
	EXPECT_EQ(77, *(int32_t *)kipc_array_at(a, (uint64_t[]){ 1, 19 }));
	/* the gaps are left alone */
	EXPECT_EQ(0x55555555, ((int32_t *)kipc_array_data(a))[20]);
	EXPECT_EQ(0x55555555, ((int32_t *)kipc_array_data(a))[99]);
	EXPECT_EQ(0x55555555, ((int32_t *)kipc_array_data(a))[120]);
	kipc_array_close(a);

	self->head->strides[0] = 0;
	ASSERT_EQ(0, reopen(self, &a));
	EXPECT_EQ(kipc_array_at(a, (uint64_t[]){ 0, 7 }), kipc_array_at(a, (uint64_t[]){ 1, 7 }));
	kipc_array_close(a);
}

/* A description that changes after the opening changes nothing. */
TEST_F(head, changed_later)
{
	struct kipc_array *a;

	ASSERT_EQ(0, reopen(self, &a));
	memset(&self->head->dtype, 0xff, sizeof(*self->head) - offsetof(struct kipc_array_head, dtype));
	self->head->shm.data_off = 0;
	self->head->shm.size = UINT64_MAX;
	for (int i = 0; i < 2; i++) {
		struct kipc_array *x = i ? self->a : a;
		int32_t v = 5;

		EXPECT_EQ(800, kipc_array_nbytes(x));
		EXPECT_EQ(NULL, kipc_array_at(x, (uint64_t[]){ 10, 0 }));
		EXPECT_EQ(0, kipc_array_fill(x, &v));
	}
	kipc_array_close(a);
}

/* Any bytes at all in the head: opened or refused, but what is opened can be walked over. */
TEST_F(head, random_damage)
{
	uint64_t x = 88172645463325252ULL;
	unsigned int opened = 0;
	uint8_t item[16] = { 1, 2, 3 };
	const int rounds = ksft_slow() ? 1000 : 4000;

	for (int n = 0; n < rounds; n++) {
		struct kipc_array *a;
		int changes = 1 + n % 3, r;

		for (int i = 0; i < changes; i++) {
			uint8_t *bytes = (uint8_t *)self->head;
			/* the words that describe, mostly small values */
			size_t at = offsetof(struct kipc_array_head, dtype);

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			at += (x >> 8) % (sizeof(*self->head) - at);
			bytes[at] = (uint8_t)((x >> 40) % 3 ? (x >> 48) % 24 : x >> 48);
		}
		r = reopen(self, &a);
		if (!r) {
			opened++;
			EXPECT_LE(kipc_array_nbytes(a), 800);
			EXPECT_EQ(0, kipc_array_fill(a, item));
			kipc_array_close(a);
		} else {
			EXPECT_EQ(-EPROTO, r);
		}
		*self->head = self->good;
	}
	ksft_log("%u opened", opened);
	EXPECT_GT(opened, 0);
}

TEST_HARNESS_MAIN
