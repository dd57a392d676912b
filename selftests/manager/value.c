// SPDX-License-Identifier: MIT
/* Values: made, copied, compared; and in slots of shared memory. */
#include <math.h>

#include "testkind.h"

TEST(constructors)
{
	struct kipc_value v;

	v = kipc_none();
	EXPECT_EQ(KIPC_NONE, v.type);
	v = kipc_bool(true);
	EXPECT_TRUE(v.type == KIPC_BOOL && v.b);
	v = kipc_int(INT64_MIN);
	EXPECT_TRUE(v.type == KIPC_INT && v.i == INT64_MIN);
	v = kipc_double(-0.5);
	EXPECT_TRUE(v.type == KIPC_DOUBLE && v.d == -0.5);
	v = kipc_str("hello");
	EXPECT_EQ(KIPC_STR, v.type);
	EXPECT_EQ(5, v.len);
	EXPECT_STREQ("hello", v.str);
	v = kipc_bytes("a\0b", 3);
	EXPECT_EQ(KIPC_BYTES, v.type);
	EXPECT_EQ(3, v.len);
	EXPECT_EQ(0, v.flags);
	kipc_value_clear(&v);	/* borrows: nothing is freed */
	EXPECT_EQ(KIPC_NONE, v.type);
	kipc_value_clear(NULL);
}

static bool equal(struct kipc_value a, struct kipc_value b)
{
	EXPECT_EQ(kipc_value_equal(&a, &b), kipc_value_equal(&b, &a));
	return kipc_value_equal(&a, &b);
}

TEST(equality)
{
	struct kipc_value v = kipc_none(), odd = kipc_none();

	odd.type = 99;
	EXPECT_FALSE(kipc_value_equal(NULL, &v));
	EXPECT_FALSE(kipc_value_equal(&v, NULL));
	EXPECT_FALSE(equal(odd, odd));
	EXPECT_TRUE(equal(kipc_none(), kipc_none()));
	EXPECT_FALSE(equal(kipc_none(), kipc_int(0)));
	EXPECT_TRUE(equal(kipc_int(1), kipc_double(1)));
	EXPECT_FALSE(equal(kipc_int(1), kipc_double(1.5)));
	EXPECT_FALSE(equal(kipc_int(1), kipc_bool(true)));
	EXPECT_TRUE(equal(kipc_bool(true), kipc_bool(true)));
	EXPECT_FALSE(equal(kipc_double(NAN), kipc_double(NAN)));
	EXPECT_FALSE(equal(kipc_int(0), kipc_double(NAN)));
	EXPECT_TRUE(equal(kipc_double(0.0), kipc_double(-0.0)));
	/* not every int64_t is a double */
	EXPECT_FALSE(equal(kipc_int((1LL << 53) + 1), kipc_double(0x1p53)));
	EXPECT_TRUE(equal(kipc_int(1LL << 53), kipc_double(0x1p53)));
	EXPECT_FALSE(equal(kipc_int(INT64_MAX), kipc_double(0x1p63)));
	EXPECT_TRUE(equal(kipc_int(INT64_MIN), kipc_double(-0x1p63)));
	EXPECT_FALSE(equal(kipc_int(INT64_MIN), kipc_double(-INFINITY)));
	EXPECT_TRUE(equal(kipc_str("a"), kipc_str("a")));
	EXPECT_FALSE(equal(kipc_str("a"), kipc_bytes("a", 1)));
	EXPECT_FALSE(equal(kipc_str("a"), kipc_strn("a\0", 2)));
	EXPECT_TRUE(equal(kipc_bytes(NULL, 0), kipc_bytes("", 0)));
}

TEST(copies)
{
	struct kipc_value from = kipc_strn("text", 4), to, odd = kipc_none();
	struct kipc_manager *m;
	struct kipc_lock *l, *l2;

	EXPECT_EQ(0, kipc_value_copy(&to, &from));
	EXPECT_TRUE(to.str != from.str);
	EXPECT_STREQ("text", to.str);
	EXPECT_EQ(KIPC_VALUE_OWNED, to.flags);
	kipc_value_clear(&to);
	EXPECT_EQ(-EINVAL, kipc_value_copy(NULL, &from));
	EXPECT_EQ(-EINVAL, kipc_value_copy(&to, NULL));
	odd.type = 7;
	EXPECT_EQ(-EINVAL, kipc_value_copy(&to, &odd));
	odd = kipc_strn(NULL, 1);
	EXPECT_EQ(-EINVAL, kipc_value_copy(&to, &odd));
	odd = kipc_strn("", KIPC_VALUE_LEN_MAX + 1);
	EXPECT_EQ(-EMSGSIZE, kipc_value_copy(&to, &odd));
	odd = kipc_ref(NULL);
	EXPECT_EQ(-EINVAL, kipc_value_copy(&to, &odd));
	odd = kipc_bytes(NULL, 0);
	EXPECT_EQ(0, kipc_value_copy(&to, &odd));
	EXPECT_EQ(0, to.len);
	EXPECT_TRUE(to.data);
	kipc_value_clear(&to);

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_lock_create(m, NULL, &l));
	from = kipc_ref(kipc_lock_handle(l));
	EXPECT_EQ(-EINVAL, kipc_lock_from(&from, &l2));	/* it only borrows */
	ASSERT_EQ(0, kipc_value_copy(&to, &from));
	EXPECT_TRUE(to.ref != from.ref);
	EXPECT_TRUE(kipc_value_equal(&to, &from));
	EXPECT_EQ(0, kipc_lock_unref(l));
	ASSERT_EQ(0, kipc_lock_from(&to, &l2));	/* moved out */
	EXPECT_EQ(KIPC_NONE, to.type);
	EXPECT_EQ(0, kipc_lock_acquire(l2, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_lock_release(l2));
	EXPECT_EQ(0, kipc_lock_unref(l2));
	kipc_manager_close(m);
}

TEST(order)
{
	/* ascending */
	struct kipc_value v[] = {
		kipc_none(), kipc_double(-INFINITY), kipc_int(INT64_MIN), kipc_int(-1),
		kipc_bool(false), kipc_double(0.5), kipc_bool(true), kipc_int(2), kipc_double(2.5),
		kipc_int((1LL << 53) + 1), kipc_int(INT64_MAX), kipc_double(0x1p63),
		kipc_double(NAN), kipc_bytes("", 0), kipc_bytes("a", 1), kipc_bytes("a\0", 2),
		kipc_bytes("b", 1), kipc_str(""), kipc_str("A"), kipc_str("a"), kipc_str("\xc3\xa4"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		for (size_t j = 0; j < ARRAY_SIZE(v); j++) {
			int r = __kipc_value_compare(&v[i], &v[j]);

			if (!EXPECT_EQ((i > j) - (i < j), (r > 0) - (r < 0)))
				ksft_log("%zu against %zu", i, j);
		}
}

FIXTURE(slots) {
	struct kipc_manager *m;
	struct kipc_handle *h, *other;
	struct bag *b;
};

FIXTURE_SETUP(slots)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	self->h = bag_new(self->m, NULL);
	self->other = bag_new(self->m, NULL);
	self->b = bag_of(self->h);
}

FIXTURE_TEARDOWN(slots)
{
	AUDIT(self->m);
	EXPECT_EQ(0, kipc_handle_unref(self->h));
	EXPECT_EQ(1, self->other->hdr->refs);
	EXPECT_EQ(0, kipc_handle_unref(self->other));
	AUDIT(self->m);
	kipc_manager_close(self->m);
}

static struct kipc_value read_slot(struct kipc_manager *m, struct kipc_slot *p)
{
	struct kipc_value v;
	struct kipc_raw raw;

	ASSERT_EQ(0, __kipc_slot_read(m, p, &raw));
	ASSERT_EQ(0, __kipc_raw_value(m, &raw, &v));
	return v;
}

TEST_F(slots, there_and_back)
{
	static char big[100000];
	struct kipc_value values[] = {
		kipc_none(), kipc_bool(true), kipc_bool(false), kipc_int(-1), kipc_double(1e300),
		kipc_str(""), kipc_str("fourteen bytes"), kipc_str("fifteen bytes.."),
		kipc_bytes(big, 14), kipc_bytes(big, 15), kipc_bytes(big, sizeof(big)),
		kipc_ref(self->other),
	};

	memset(big, 'b', sizeof(big));
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct kipc_slot *p = &self->b->slots[i % BAG_SLOTS];
		uint64_t used = self->m->hdr->used;
		struct kipc_value v;

		p->tag = p->payload = 0xdead0000beef0000;	/* garbage is no matter */
		ASSERT_EQ(0, __kipc_value_check(self->m, &values[i]));
		ASSERT_EQ(0, __kipc_slot_init(self->m, off_of(self->m, p), &values[i]));
		v = read_slot(self->m, p);
		EXPECT_EQ(values[i].type, v.type);
		EXPECT_TRUE(kipc_value_equal(&values[i], &v));
		EXPECT_EQ(1, __kipc_slot_equal(self->m, p, &values[i]));
		if (v.type == KIPC_STR)
			EXPECT_EQ(0, v.str[v.len]);
		/* short ones need no block */
		if (values[i].type != KIPC_REF)
			EXPECT_EQ(values[i].len > 14, self->m->hdr->used > used);
		for (size_t j = 0; j < i; j++)
			EXPECT_EQ(kipc_value_equal(&values[i], &values[j]),
				  __kipc_slot_equal(self->m, p, &values[j]));
		kipc_value_clear(&v);
	}
	EXPECT_EQ(2, self->other->hdr->refs);
	AUDIT(self->m);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		ASSERT_EQ(0, __kipc_slot_release(self->m, off_of(self->m, &self->b->slots[i])));
		EXPECT_EQ(0, self->b->slots[i].tag);
		EXPECT_EQ(0, self->b->slots[i].payload);
		ASSERT_EQ(0, __kipc_slot_release(self->m, off_of(self->m, &self->b->slots[i])));
	}
	EXPECT_EQ(1, self->other->hdr->refs);
}

TEST_F(slots, refused)
{
	struct kipc_value odd = kipc_none();
	struct kipc_manager *m;
	struct kipc_handle *h;

	EXPECT_EQ(-EINVAL, __kipc_value_check(self->m, NULL));
	odd.type = 7;
	EXPECT_EQ(-EINVAL, __kipc_value_check(self->m, &odd));
	odd = kipc_strn(NULL, 5);
	EXPECT_EQ(-EINVAL, __kipc_value_check(self->m, &odd));
	odd = kipc_bytes("", KIPC_VALUE_LEN_MAX + 1);
	EXPECT_EQ(-EMSGSIZE, __kipc_value_check(self->m, &odd));
	/* a handle of another manager */
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	h = bag_new(m, NULL);
	odd = kipc_ref(h);
	EXPECT_EQ(-EINVAL, __kipc_value_check(self->m, &odd));
	EXPECT_EQ(0, __kipc_value_check(m, &odd));
	EXPECT_EQ(0, kipc_handle_unref(h));
	kipc_manager_close(m);
}

/* What an enemy writes into a slot is an error to read, nothing more. */
TEST_F(slots, senseless)
{
	struct kipc_slot *p = &self->b->slots[0];
	static const struct kipc_slot slots[] = {
		{ 0, 0 },					/* empty is no value */
		{ KIPC_SLOT_REF + 1, 0 },
		{ 0x7f, 0 },
		{ KIPC_SLOT_STR | KIPC_SLOT_INLINE | 15 << 8, 0 },
		{ KIPC_SLOT_STR | KIPC_SLOT_INLINE | 255 << 8, 0 },
		{ KIPC_SLOT_STR | 100ULL << 16, 0 },		/* no block */
		{ KIPC_SLOT_STR | 100ULL << 16, 8 },
		{ KIPC_SLOT_STR | 100ULL << 16, 1ULL << 62 },
		{ KIPC_SLOT_STR | 100ULL << 16, ~0ULL },
		{ KIPC_SLOT_BYTES | ~0ULL << 16, 1 << 20 },
		{ KIPC_SLOT_BYTES | (KIPC_VALUE_MAX + 1) << 16, 1 << 20 },
	};
	struct kipc_value v = kipc_str("x");
	struct kipc_raw raw;

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		*p = slots[i];
		EXPECT_EQ(-EPROTO, __kipc_slot_read(self->m, p, &raw));
	}
	*p = (struct kipc_slot){ KIPC_SLOT_STR | 100ULL << 16, 12345 };
	EXPECT_EQ(-EPROTO, __kipc_slot_equal(self->m, p, &v));
	*p = (struct kipc_slot){ KIPC_SLOT_REF | 77ULL << 16, self->other->off };
	ASSERT_EQ(0, __kipc_slot_read(self->m, p, &raw));
	EXPECT_EQ(-ENOENT, __kipc_raw_value(self->m, &raw, &v));
	*p = (struct kipc_slot){ 0, 0 };
}

TEST_F(slots, compared_in_place)
{
	struct kipc_value values[] = { kipc_int(3), kipc_str("a longer string than fits"),
				       kipc_str("a longer string than fits, too"), kipc_double(2),
				       kipc_ref(self->other), kipc_ref(self->h) };
	size_t n = ARRAY_SIZE(values);

	for (size_t i = 0; i < n; i++)
		ASSERT_EQ(0, __kipc_slot_init(self->m, off_of(self->m, &self->b->slots[i]),
					      &values[i]));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			int a = __kipc_value_compare(&values[i], &values[j]);
			int b = __kipc_slot_compare(self->m, &self->b->slots[i],
						    &self->b->slots[j]);

			EXPECT_EQ((a > 0) - (a < 0), (b > 0) - (b < 0));
		}
	/* the bag refers to itself: a circle, to be opened by hand */
	EXPECT_EQ(0, __kipc_slot_release(self->m, off_of(self->m, &self->b->slots[n - 1])));
}

TEST_F(slots, limits_of_a_transaction)
{
	struct kipc_value v = kipc_str("a string that needs a block of its own");
	struct kipc_guard *g = &self->b->head.guard;
	struct kipc_slot s;
	struct kipc_tx *tx;

	ASSERT_EQ(0, __kipc_guard_lock(self->m, &self->b->head, g));
	ASSERT_EQ(0, __kipc_tx_begin(self->m, g, &tx));
	for (int i = 0; i < KIPC_TX_MADE; i++)
		ASSERT_EQ(0, __kipc_slot_prepare(self->m, tx, &v, &s));
	EXPECT_EQ(-EOVERFLOW, __kipc_slot_prepare(self->m, tx, &v, &s));
	for (int i = 0; i < KIPC_TX_WRITES; i++)
		ASSERT_EQ(0, __kipc_tx_write(tx, off_of(self->m, &self->b->numbers[0]), 1));
	EXPECT_EQ(-EOVERFLOW, __kipc_tx_write(tx, off_of(self->m, &self->b->numbers[0]), 1));
	for (int i = 0; i < KIPC_TX_DROPPED; i++)
		ASSERT_EQ(0, __kipc_tx_drop(tx, KIPC_OWN_BLOCK, 4096));
	EXPECT_EQ(-EOVERFLOW, __kipc_tx_drop(tx, KIPC_OWN_BLOCK, 4096));
	EXPECT_EQ(0, __kipc_tx_drop(tx, KIPC_OWN_BLOCK, 0));
	ASSERT_EQ(0, __kipc_tx_abort(self->m, g, tx));
	EXPECT_EQ(0, self->b->numbers[0]);
	__kipc_guard_unlock(self->m, g);
}

/* Blocks of slots and of words go with all that they own. */
TEST_F(slots, arrays)
{
	uint64_t word = off_of(self->m, &self->b->blocks[0]), blocks = self->m->hdr->blocks, at;
	struct kipc_value v = kipc_str("a string that needs a block of its own"),
			  ref = kipc_ref(self->other);
	int n = 2000;

	ASSERT_EQ(0, __kipc_arena_zalloc(self->m, 32 + n * sizeof(struct kipc_slot), word));
	at = self->b->blocks[0] + 32;
	for (int i = 0; i < n; i += 2) {
		ASSERT_EQ(0, __kipc_slot_init(self->m, at + i * sizeof(struct kipc_slot), &v));
		ASSERT_EQ(0, __kipc_slot_init(self->m, at + (i + 1) * sizeof(struct kipc_slot), &ref));
	}
	EXPECT_EQ(1 + n / 2, self->other->hdr->refs);
	ASSERT_EQ(0, __kipc_release(self->m, KIPC_OWN_SLOTS_AT(32, n), word));
	EXPECT_EQ(0, self->b->blocks[0]);
	EXPECT_EQ(1, self->other->hdr->refs);
	EXPECT_EQ(blocks, self->m->hdr->blocks);

	ASSERT_EQ(0, __kipc_arena_zalloc(self->m, n * 8, word));
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, __kipc_arena_alloc(self->m, 64, self->b->blocks[0] + i * 8));
	/* more than the block has: refused before anything is touched */
	EXPECT_EQ(-EPROTO, __kipc_release(self->m, KIPC_OWN_WORDS_AT(0, 1 << 20), word));
	ASSERT_EQ(0, __kipc_release(self->m, KIPC_OWN_WORDS_AT(0, n), word));
	EXPECT_EQ(blocks, self->m->hdr->blocks);
	EXPECT_EQ(-EPROTO, __kipc_release(self->m, 99, word));
}

TEST_HARNESS_MAIN
