// SPDX-License-Identifier: MIT
/* The hash of keys, against other implementations of SipHash-1-3; and how buckets are found. */
#include "manager/dict.h"

#include "kselftest_harness.h"

/* What Python 3.11 gives with PYTHONHASHSEED=0, whose key is all zeroes. */
TEST(siphash13_zero_key)
{
	static const struct {
		const char *text;
		uint64_t hash;
	} cases[] = {
		{ "a", 0x407448d2b89b1813 },	       { "abc", 0xc03bc3a0042630f2 },
		{ "1234567", 0xa33d651594fdae81 },     { "12345678", 0x3489982430560a87 },
		{ "123456789", 0x0fbc0f0007965fcf },   { "key-000000000012", 0xdd9e1e6291e88445 },
	};
	uint64_t key[2] = { 0, 0 };
	uint8_t bytes[63];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		EXPECT_EQ(cases[i].hash,
			  __kipc_siphash13(key, cases[i].text, strlen(cases[i].text)));
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	EXPECT_EQ(0x385d3e39e5f37359, __kipc_siphash13(key, bytes, sizeof(bytes)));
}

/* The key 00 01 .. 0f, as in the tests of Rust's standard library. */
TEST(siphash13_with_key)
{
	uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

	EXPECT_EQ(0xabac0158050fc4dc, __kipc_siphash13(key, "", 0));
	EXPECT_EQ(0xc9f49bf37d57ca93, __kipc_siphash13(key, "\0", 1));
}

/* Every split takes from its parent only, every bucket of a table is one of it. */
TEST(linear_hashing)
{
	uint64_t hash = 88172645463325252ULL;

	for (int i = 0; i < 2000; i++) {
		hash ^= hash << 13;
		hash ^= hash >> 7;
		hash ^= hash << 17;
		for (uint64_t n = 1; n < 70; n++) {
			uint64_t now = __kipc_dict_index(hash, n);
			uint64_t then = __kipc_dict_index(hash, n + 1);

			ASSERT_LT(now, n);
			ASSERT_TRUE(then == now || (then == n && now == __kipc_dict_parent(n)));
		}
	}
}

TEST_HARNESS_MAIN
