// SPDX-License-Identifier: MIT
/* Messages of every size: empty, one byte, at the border of the cell, the largest, too large. */
#include <unistd.h>

#include "queue_test.h"

/* The first are wholly inline (cells of 64 to 256 bytes), the others have a payload region. */
static const uint64_t msg_sizes[] = { 1,   8,	47,  48,  49,	 111,	112,   113,	175,
				      176, 239, 240, 241, 256,	 4095,	4096,  65536,	1000003 };

static void pattern(uint8_t *p, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed * 131 + i * 7 + (i >> 8));
}

static void one_size(struct kipc_queue *q, size_t len, size_t room)
{
	uint8_t *in = malloc(room + 1), *out = malloc(room + 1);
	struct kipc_msg msg;

	pattern(in, len, (unsigned int)len);
	memset(out, 0xcc, room + 1);
	ASSERT_EQ(0, kipc_queue_put(q, in, len, KIPC_NOWAIT));
	EXPECT_EQ(len, kipc_queue_get(q, out, room, KIPC_NOWAIT));
	EXPECT_MEMEQ(in, out, len);
	EXPECT_EQ(0xcc, out[len]);

	ASSERT_EQ(0, kipc_queue_reserve(q, len, &msg, KIPC_NOWAIT));
	EXPECT_EQ(len, msg.len);
	EXPECT_EQ(0, (uintptr_t)msg.data % 16);
	memcpy(msg.data, in, len);
	EXPECT_EQ(0, kipc_queue_commit(q, &msg));
	ASSERT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	EXPECT_EQ(len, msg.len);
	EXPECT_EQ(0, (uintptr_t)msg.data % 16);
	EXPECT_MEMEQ(in, msg.data, len);
	EXPECT_EQ(0, kipc_queue_done(q, &msg));
	free(in);
	free(out);
}

TEST(each_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(msg_sizes); i++) {
		uint64_t max = msg_sizes[i];
		struct kipc_queue *q = make_queue(3, max);
		static const size_t lens[] = { 0, 1, 7, 8, 47, 48, 49, 111, 112, 113, 240, 4096 };

		EXPECT_EQ(max, stat_of(q).msg_size);
		EXPECT_EQ(max > 240, q->payload != NULL);
		EXPECT_EQ(max > 240 ? 128 : (max + 16 + 63) / 64 * 64, q->cell_size);
		for (size_t k = 0; k < ARRAY_SIZE(lens); k++)
			if (lens[k] <= max)
				one_size(q, lens[k], max);
		one_size(q, max, max);
		one_size(q, max - 1, max);
		kipc_queue_close(q);
	}
}

TEST(too_large_to_put)
{
	for (size_t i = 0; i < ARRAY_SIZE(msg_sizes); i++) {
		uint64_t max = msg_sizes[i];
		struct kipc_queue *q = make_queue(3, max);
		uint8_t *buf = calloc(1, max + 1);
		struct iovec iov[2] = { { buf, 1 }, { buf, max + 1 } };
		struct kipc_msg msg;

		EXPECT_EQ(-EMSGSIZE, kipc_queue_put(q, buf, max + 1, KIPC_FOREVER));
		EXPECT_EQ(-EMSGSIZE, kipc_queue_put(q, buf, SIZE_MAX, KIPC_FOREVER));
		EXPECT_EQ(-EMSGSIZE, kipc_queue_reserve(q, max + 1, &msg, KIPC_FOREVER));
		EXPECT_EQ(-EMSGSIZE, kipc_queue_put_many(q, iov + 1, 1, KIPC_FOREVER));
		EXPECT_EQ(0, kipc_queue_len(q));
		EXPECT_EQ(0, stat_of(q).put);
		/* a later one ends the call before it */
		EXPECT_EQ(1, kipc_queue_put_many(q, iov, 2, KIPC_FOREVER));
		EXPECT_EQ(1, kipc_queue_len(q));
		kipc_queue_close(q);
		free(buf);
	}
}

/* What doesn't fit into the buffer stays where it is, for one that has more room. */
TEST(too_large_to_get)
{
	for (size_t i = 1; i < ARRAY_SIZE(msg_sizes); i++) {
		uint64_t max = msg_sizes[i];
		struct kipc_queue *q = make_queue(3, max);
		uint8_t *in = malloc(max), *out = malloc(max);
		struct iovec iov[3] = { { out, 1 }, { out + 1, max - 2 }, { out, max } };

		pattern(in, max, 3);
		ASSERT_EQ(0, kipc_queue_put(q, in, max, KIPC_NOWAIT));
		EXPECT_EQ(-EMSGSIZE, kipc_queue_get(q, out, max - 1, KIPC_FOREVER));
		EXPECT_EQ(-EMSGSIZE, kipc_queue_get(q, NULL, 0, KIPC_NOWAIT));
		EXPECT_EQ(-EMSGSIZE, kipc_queue_get_many(q, iov + 1, 2, KIPC_FOREVER));
		EXPECT_EQ(1, kipc_queue_len(q));
		EXPECT_EQ(max, kipc_queue_get(q, out, max, KIPC_NOWAIT));
		EXPECT_MEMEQ(in, out, max);

		/* the second doesn't fit: the first is had */
		ASSERT_EQ(0, kipc_queue_put(q, in, 1, KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_queue_put(q, in, max, KIPC_NOWAIT));
		iov[1].iov_len = max - 1;
		EXPECT_EQ(1, kipc_queue_get_many(q, iov, 2, KIPC_NOWAIT));
		EXPECT_EQ(max - 1, iov[1].iov_len);
		EXPECT_EQ(1, kipc_queue_len(q));
		EXPECT_EQ(max, kipc_queue_get(q, out, max, KIPC_NOWAIT));
		kipc_queue_close(q);
		free(in);
		free(out);
	}
}

/* Empty messages are messages: they count, and keep their place. */
TEST(empty_messages)
{
	struct kipc_queue *q = make_queue(4, 300);
	struct iovec iov[3] = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
	char c;

	EXPECT_EQ(0, kipc_queue_put(q, NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(2, kipc_queue_put_many(q, iov, 2, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_queue_put(q, NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(4, kipc_queue_len(q));
	EXPECT_EQ(0, kipc_queue_get(q, NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(-EMSGSIZE, kipc_queue_get(q, NULL, 0, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_queue_get(q, &c, 1, KIPC_NOWAIT));
	iov[2] = (struct iovec){ &c, 1 };
	EXPECT_EQ(2, kipc_queue_get_many(q, iov, 3, KIPC_NOWAIT));
	EXPECT_EQ(1, iov[2].iov_len);
	EXPECT_EQ(-EAGAIN, kipc_queue_get(q, NULL, 0, KIPC_NOWAIT));
	kipc_queue_close(q);
}

/* Long and short ones mixed share the ring, and nobody's bytes are another's. */
TEST(mixed_sizes_through_a_ring)
{
	struct kipc_queue *q = make_queue(5, 5000);
	uint8_t in[5000], out[5000];
	unsigned int put = 0, got = 0;

	while (got < 2000) {
		while (put < got + 5) {
			size_t len = put * 37 % 5001;

			if (put % 3 == 0)
				len %= 113;
			pattern(in, len, put);
			if (!EXPECT_EQ(0, kipc_queue_put(q, in, len, KIPC_NOWAIT)))
				return;
			put++;
		}
		for (unsigned int n = got % 5 + 1; n; n--, got++) {
			size_t len = got * 37 % 5001;

			if (got % 3 == 0)
				len %= 113;
			pattern(in, len, got);
			EXPECT_EQ(len, kipc_queue_get(q, out, sizeof(out), KIPC_NOWAIT));
			if (!EXPECT_MEMEQ(in, out, len))
				return;
		}
	}
	kipc_queue_close(q);
}

/* 4 GiB is the largest that may be asked for: the memory is sparse. */
TEST(largest_msg_size)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 2, .msg_size = KIPC_QUEUE_MSG_MAX);
	struct kipc_queue *q;
	struct kipc_msg msg;
	int r = kipc_queue_create(NULL, &opts, &q);

	if (r == -ENOMEM)
		SKIP("no address space or memory for 8 GiB of sparse segment");
	ASSERT_EQ(0, r);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, kipc_queue_reserve(q, KIPC_QUEUE_MSG_MAX, &msg, KIPC_NOWAIT));
		((char *)msg.data)[0] = 'a';
		((char *)msg.data)[KIPC_QUEUE_MSG_MAX - 1] = 'z';
		EXPECT_EQ(0, kipc_queue_commit(q, &msg));
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
		EXPECT_EQ(KIPC_QUEUE_MSG_MAX, msg.len);
		EXPECT_EQ('a', ((char *)msg.data)[0]);
		EXPECT_EQ('z', ((char *)msg.data)[KIPC_QUEUE_MSG_MAX - 1]);
		EXPECT_EQ(0, kipc_queue_done(q, &msg));
	}
	kipc_queue_close(q);
}

TEST_HARNESS_MAIN
