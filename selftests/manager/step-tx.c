// SPDX-License-Identifier: MIT
/*
 * Death at every instruction of a transaction: all of it happened or nothing, whoever comes next,
 * also if that one dies at the recovery.
 */
#include "singlestep.h"

#define ALL	30000
#define STRIDE	29

#define OLD	"the old string, which is longer than a slot"
#define NEW	"the new string, which is a good deal longer than a slot, too"

struct op {
	struct kipc_manager *m;
	struct kipc_handle *h, *other;
	struct bag *b;
	struct kipc_guard *g;	/* one of three */
	bool fail;		/* abort instead of commit */
};

FIXTURE(tx) {
	struct op op;
};

FIXTURE_VARIANT(tx) {
	int guard;
};

FIXTURE_VARIANT_ADD(tx, first_guard) { .guard = 0 };
FIXTURE_VARIANT_ADD(tx, stripe) { .guard = 2 };

static int set_both(struct op *op, const char *text, uint64_t number)
{
	struct kipc_value v = kipc_str(text), ref = kipc_ref(op->other);
	uint64_t slots[2] = { off_of(op->m, &op->b->slots[0]), off_of(op->m, &op->b->slots[1]) };
	struct kipc_slot s, r;
	struct kipc_tx *tx;
	uint64_t block;
	int err;

	err = __kipc_guard_lock(op->m, &op->b->head, op->g);
	if (err)
		return err;
	err = __kipc_tx_begin(op->m, op->g, &tx);
	if (err)
		goto out_guard;
	err = __kipc_slot_prepare(op->m, tx, &v, &s);
	if (!err)
		err = __kipc_slot_prepare(op->m, tx, &ref, &r);
	if (!err)
		err = __kipc_tx_alloc(op->m, tx, KIPC_OWN_BLOCK, 300, true, &block);
	if (!err && op->fail)
		err = -ECANCELED;
	if (err) {
		__kipc_tx_abort(op->m, op->g, tx);
		goto out_guard;
	}
	__kipc_tx_slot(tx, slots[0], &s);
	__kipc_tx_slot(tx, slots[1], &r);
	__kipc_tx_drop_slot(tx, &op->b->slots[0]);
	__kipc_tx_drop_slot(tx, &op->b->slots[1]);
	__kipc_tx_drop(tx, KIPC_OWN_BLOCK, op->b->blocks[0]);
	__kipc_tx_write(tx, off_of(op->m, &op->b->blocks[0]), block);
	for (int i = 0; i < 8; i++)
		__kipc_tx_write(tx, off_of(op->m, &op->b->numbers[i]), number + (uint64_t)i);
	err = __kipc_tx_commit(op->m, op->g, tx);
out_guard:
	__kipc_guard_unlock(op->m, op->g);
	return err;
}

/* Under the guard, and as an optimistic reader sees it. */
static uint64_t whole(struct op *op)
{
	uint64_t seq, number, refs;
	struct kipc_value v;
	struct kipc_raw raw;

	ASSERT_EQ(0, __kipc_guard_lock(op->m, &op->b->head, op->g));
	__kipc_guard_unlock(op->m, op->g);
	seq = __kipc_guard_read_begin(op->g);
	number = op->b->numbers[0];
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(number + (uint64_t)i, op->b->numbers[i]);
	ASSERT_EQ(0, __kipc_slot_read(op->m, &op->b->slots[0], &raw));
	ASSERT_EQ(0, __kipc_raw_value(op->m, &raw, &v));
	ASSERT_STREQ(number == 100 ? OLD : NEW, v.str);
	kipc_value_clear(&v);
	ASSERT_EQ(0, __kipc_slot_read(op->m, &op->b->slots[1], &raw));
	ASSERT_EQ(KIPC_SLOT_REF, KIPC_SLOT_TYPE(raw.slot.tag));
	ASSERT_EQ(op->other->off, raw.slot.payload);
	ASSERT_FALSE(__kipc_guard_read_retry(op->g, seq));
	refs = op->other->hdr->refs;
	ASSERT_EQ(2, refs);
	ASSERT_GE(__kipc_arena_block_size(op->m, op->b->blocks[0]), 300);
	ASSERT_EQ(KIPC_TX_NONE, op->g->state);
	return number;
}

FIXTURE_SETUP(tx)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 256 << 10, .max_size = 256 << 20);
	struct op *op = &self->op;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &op->m));
	op->h = bag_new(op->m, NULL);
	op->other = bag_new(op->m, NULL);
	op->b = bag_of(op->h);
	op->g = variant->guard ? &op->b->more[variant->guard - 1] : &op->b->head.guard;
	ASSERT_EQ(0, set_both(op, OLD, 100));
	ASSERT_EQ(100, whole(op));
}

FIXTURE_TEARDOWN(tx)
{
	AUDIT(self->op.m);
	EXPECT_EQ(0, kipc_handle_unref(self->op.h));
	EXPECT_EQ(1, self->op.m->hdr->objects);
	EXPECT_EQ(0, kipc_handle_unref(self->op.other));
	AUDIT(self->op.m);
	kipc_manager_close(self->op.m);
}

static int do_set(void *arg)
{
	return set_both(arg, NEW, 200);
}

static int outcomes[2];

static void old_or_new(void *arg)
{
	uint64_t number = whole(arg);

	ASSERT_TRUE(number == 100 || number == 200);
	outcomes[number == 200]++;
	/* and it goes on: the record and the guard are usable */
	ASSERT_EQ(0, set_both(arg, NEW, 300));
	ASSERT_EQ(300, whole(arg));
}

static void old_only(void *arg)
{
	ASSERT_EQ(100, whole(arg));
}

TEST_F(tx, commit)
{
	struct op *op = &self->op;

	EXPECT_GT(every_death(op->m, do_set, old_or_new, op, ALL, STRIDE), 100);
	EXPECT_GT(outcomes[0], ksft_slow() ? 5 : 50);
	EXPECT_GT(outcomes[1], ksft_slow() ? 5 : 50);
	EXPECT_EQ(200, whole(op));
}

TEST_F(tx, abort)
{
	struct op *op = &self->op;

	op->fail = true;
	EXPECT_GT(every_death(op->m, do_set, old_only, op, ALL, STRIDE), 100);
}

/* The container dies with its transaction open. */
static void destroyed(void *arg)
{
	struct op *op = arg;
	uint64_t word = op->h->word;

	/* the reference of our handle, without the handle */
	ASSERT_EQ(0, __kipc_ref_drop(op->m, word));
	ASSERT_EQ(1, op->m->hdr->objects);
	ASSERT_EQ(1, op->other->hdr->refs);
	AUDIT(op->m);
}

TEST_F(tx, destroyed_half_way)
{
	struct op *op = &self->op;

	EXPECT_GT(every_death(op->m, do_set, destroyed, op, ALL, STRIDE), 100);
}

static int do_recover(void *arg)
{
	struct op *op = arg;

	if (__kipc_guard_lock(op->m, &op->b->head, op->g))
		return 1;
	__kipc_guard_unlock(op->m, op->g);
	return 0;
}

/* One dies in the middle of it, the next in the recovery. */
TEST_F(tx, recovery)
{
	struct op *op = &self->op;
	long n, tried = 0;

	for (n = 100; n < ALL; n += ksft_slow() ? 4001 : 397) {
		if (!run_steps(op->m, do_set, op, n))
			break;
		outcomes[0] = outcomes[1] = 0;
		every_death(op->m, do_recover, old_or_new, op, 5000, 11);
		EXPECT_TRUE(!outcomes[0] || !outcomes[1]);	/* it was decided before */
		tried++;
		ASSERT_EQ(0, set_both(op, OLD, 100));
	}
	EXPECT_GT(tried, ksft_slow() ? 1 : 5);
}

TEST_HARNESS_MAIN
