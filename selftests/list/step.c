// SPDX-License-Identifier: MIT
/*
 * The death of a writer at every instruction of every operation: whoever comes next finds the list
 * old or new, nothing lost and nothing leaked, and can go on.
 */
#include "model.h"

struct sweep {
	struct step step;
	struct kipc_list *l;
	struct model old, new;
	struct op op;
	bool committed;		/* new was seen: old may not come back */
	unsigned long at;	/* ... first then */
	struct kipc_value *vals;	/* of an extend: made before */
	struct value_buf *bufs;
};

static int do_op(void *arg)
{
	struct sweep *s = arg;

	if (s->vals)
		return kipc_list_extend(s->l, s->vals, s->op.count);
	return list_apply(s->l, &s->op).r < 0;
}

static void check(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct sweep *s = arg;
	struct kipc_list *l;
	bool is_old, is_new;

	ASSERT_EQ(0, kipc_list_open(copy, "list", &l));
	is_old = list_is(l, &s->old);
	is_new = list_is(l, &s->new);
	if (!s->committed && is_new && !is_old) {
		s->committed = true;
		s->at = at;
	}
	if (!EXPECT_TRUE(s->committed ? is_new : is_old))
		ksft_log("instruction %lu: old %d, new %d", at, is_old, is_new);
	/*
	 * it isn't the recovery alone that works; what was committed but not made yet shows by now
	 */
	EXPECT_EQ(0, kipc_list_append(l, kipc_str("a survivor's, in a block")));
	EXPECT_EQ(0, kipc_list_insert(l, 0, kipc_int(1)));
	EXPECT_EQ(0, kipc_list_set(l, 0, kipc_str("another one, in a block too")));
	EXPECT_EQ(0, kipc_list_pop(l, 0, NULL));
	EXPECT_EQ(0, kipc_list_pop(l, -1, NULL));
	if (!EXPECT_TRUE(list_is(l, &s->new) || (!s->committed && list_is(l, &s->old))))
		ksft_log("after a survivor's operations, instruction %lu", at);
	EXPECT_EQ(0, kipc_list_unref(l));
	if (!step_audit(copy))
		ksft_log("instruction %lu", at);
}

/* A list of len values, swept over the operation. */
static void sweep(size_t len, struct op op, unsigned long stride)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct value_buf buf;
	unsigned long n;

	s->op = op;
	s->step = (struct step){ .m = step_manager(), .op = do_op, .check = check, .arg = s,
				 .stride = ksft_slow() ? stride * 97 : stride };
	ASSERT_EQ(0, kipc_list_create(s->step.m, "list", &s->l));
	/*
	 * all paths were walked once: nothing is bound or made for the first time under the steps
	 */
	for (uint64_t i = 0; i < 3; i++)
		ASSERT_EQ(0, kipc_list_append(s->l, value_of(1000 + i * 5, &buf)));
	list_apply(s->l, &op);
	ASSERT_EQ(0, kipc_list_clear(s->l));
	for (size_t i = 0; i < len; i++) {
		s->old.n[i] = 100 + i * 13;
		ASSERT_EQ(0, kipc_list_append(s->l, value_of(s->old.n[i], &buf)));
	}
	s->old.len = len;
	s->new = s->old;
	model_apply(&s->new, &op);
	if (op.kind == OP_EXTEND) {
		s->vals = calloc(op.count, sizeof(*s->vals));
		s->bufs = calloc(op.count, sizeof(*s->bufs));
		for (uint64_t i = 0; i < op.count; i++)
			s->vals[i] = value_of(op.number + i, &s->bufs[i]);
	}
	n = step_run(&s->step);
	ksft_log("%lu instructions, new from the %luth on", n, s->at);
	EXPECT_TRUE(list_is(s->l, &s->new));
	EXPECT_EQ(0, kipc_list_unref(s->l));
	kipc_manager_close(s->step.m);
	free(s->vals);
	free(s->bufs);
	free(s);
}

/* Numbers of values: an int, a str in the slot, one in a block. */
#define AN_INT		25
#define SHORT_STR	14	/* 14 % 8 is 6; 14 bytes */
#define LONG_STR	(64 * 8 + 8 * 3 + 6)

TEST(append_int)
{
	STEP_SKIP_SLOW();
	sweep(3, (struct op){ .kind = OP_APPEND, .number = AN_INT }, 7);
}

TEST(append_str)
{
	STEP_SKIP_SLOW();
	sweep(3, (struct op){ .kind = OP_APPEND, .number = SHORT_STR }, 7);
}

TEST(append_block)
{
	sweep(3, (struct op){ .kind = OP_APPEND, .number = LONG_STR }, 3);
}

TEST(append_first)
{
	STEP_SKIP_SLOW();
	sweep(0, (struct op){ .kind = OP_APPEND, .number = LONG_STR }, 11);
}

TEST(append_makes_a_chunk)
{
	STEP_SKIP_SLOW();
	sweep(256, (struct op){ .kind = OP_APPEND, .number = LONG_STR }, 11);
}

TEST(append_grows_the_directory)
{
	STEP_SKIP_SLOW();
	sweep(6 * 256, (struct op){ .kind = OP_APPEND, .number = AN_INT }, 13);
}

TEST(extend)
{
	STEP_SKIP_SLOW();
	sweep(3, (struct op){ .kind = OP_EXTEND, .number = 1000, .count = 12 }, 13);
}

TEST(extend_over_chunks)
{
	STEP_SKIP_SLOW();
	sweep(240, (struct op){ .kind = OP_EXTEND, .number = 1000, .count = 40 }, 97);
}

TEST(insert_first)
{
	sweep(12, (struct op){ .kind = OP_INSERT, .number = LONG_STR }, 3);
}

TEST(insert_over_chunks)
{
	STEP_SKIP_SLOW();
	sweep(258, (struct op){ .kind = OP_INSERT, .index = 250, .number = AN_INT }, 5);
}

TEST(set_in_place)
{
	STEP_SKIP_SLOW();
	sweep(8, (struct op){ .kind = OP_SET, .index = 4, .number = AN_INT }, 5);
}

TEST(set_block_for_int)
{
	STEP_SKIP_SLOW();
	sweep(8, (struct op){ .kind = OP_SET, .index = 1, .number = LONG_STR }, 7);
}

TEST(set_block_for_block)
{
	/* 100 + 6 * 13 is 178: a str of 30 bytes */
	sweep(8, (struct op){ .kind = OP_SET, .index = 6, .number = LONG_STR }, 3);
}

TEST(set_int_for_block)
{
	STEP_SKIP_SLOW();
	sweep(8, (struct op){ .kind = OP_SET, .index = 6, .number = AN_INT }, 7);
}

TEST(pop_last)
{
	STEP_SKIP_SLOW();
	sweep(7, (struct op){ .kind = OP_POP, .index = -1 }, 5);
}

TEST(pop_first)
{
	sweep(12, (struct op){ .kind = OP_POP, .index = 0 }, 3);
}

TEST(pop_block)
{
	STEP_SKIP_SLOW();
	sweep(12, (struct op){ .kind = OP_POP, .index = 6 }, 7);
}

TEST(pop_over_chunks_and_trim)
{
	STEP_SKIP_SLOW();
	sweep(513, (struct op){ .kind = OP_POP, .index = 505 }, 11);
}

TEST(remove)
{
	STEP_SKIP_SLOW();
	sweep(12, (struct op){ .kind = OP_REMOVE, .number = 100 + 3 * 13 }, 11);
}

TEST(reverse)
{
	STEP_SKIP_SLOW();
	sweep(12, (struct op){ .kind = OP_REVERSE }, 11);
}

TEST(sort)
{
	STEP_SKIP_SLOW();
	sweep(12, (struct op){ .kind = OP_SORT }, 53);
}

TEST(clear)
{
	STEP_SKIP_SLOW();
	sweep(12, (struct op){ .kind = OP_CLEAR }, 11);
}

/* ---- a list in a list ---- */

/* What is moved in and out refers to another list, which goes with it. */
static int do_nested(void *arg)
{
	struct sweep *s = arg;
	struct kipc_list *inner;
	struct kipc_value v;
	int r;

	r = kipc_list_create(s->step.m, NULL, &inner);
	if (!r)
		r = kipc_list_append(inner, kipc_str("inside, in a block of its own"));
	if (!r)
		r = kipc_list_append(s->l, kipc_ref(kipc_list_handle(inner)));
	if (!r)
		r = kipc_list_unref(inner);
	if (!r)
		r = kipc_list_set(s->l, 0, kipc_int(5));
	if (!r)
		r = kipc_list_pop(s->l, 1, &v);
	kipc_value_clear(&v);
	return r;
}

static void check_nested(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct kipc_list *l, *inner;
	struct kipc_value v;
	int64_t len;

	(void)arg;
	ASSERT_EQ(0, kipc_list_open(copy, "list", &l));
	len = kipc_list_len(l);
	for (int64_t i = 0; i < len; i++) {
		ASSERT_EQ(0, kipc_list_get(l, i, &v));
		if (v.type != KIPC_REF)
			continue;
		ASSERT_EQ(0, kipc_list_from(&v, &inner));
		EXPECT_EQ(1, kipc_list_len(inner));
		ASSERT_EQ(0, kipc_list_get(inner, 0, &v));
		EXPECT_STREQ("inside, in a block of its own", v.str);
		kipc_value_clear(&v);
		EXPECT_EQ(0, kipc_list_unref(inner));
	}
	if (!step_audit(copy))
		ksft_log("instruction %lu", at);
	EXPECT_EQ(0, kipc_list_clear(l));
	EXPECT_EQ(0, kipc_list_unref(l));
	if (!step_audit(copy))
		ksft_log("afterwards, instruction %lu", at);
}

TEST(refs)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct kipc_list *inner;

	STEP_SKIP_SLOW();
	s->step = (struct step){ .m = step_manager(), .op = do_nested, .check = check_nested,
				 .arg = s, .stride = 41 };
	ASSERT_EQ(0, kipc_list_create(s->step.m, "list", &s->l));
	ASSERT_EQ(0, kipc_list_create(s->step.m, NULL, &inner));
	ASSERT_EQ(0, kipc_list_append(inner, kipc_str("inside, in a block of its own")));
	ASSERT_EQ(0, kipc_list_append(s->l, kipc_ref(kipc_list_handle(inner))));
	ASSERT_EQ(0, kipc_list_unref(inner));
	ksft_log("%lu instructions", step_run(&s->step));
	EXPECT_EQ(1, kipc_list_len(s->l));
	EXPECT_EQ(0, kipc_list_unref(s->l));
	step_audit(s->step.m);
	kipc_manager_close(s->step.m);
	free(s);
}

/* ---- the death of who repairs ---- */

struct second {
	struct sweep *s;
	struct kipc_manager *m;	/* a manager whose list was left half-done */
	struct kipc_list *l;
	struct step step;
};

static int do_repair(void *arg)
{
	struct second *t = arg;

	/* any operation that takes the guard repairs first */
	return kipc_list_set(t->l, 1000, kipc_none()) != -ERANGE;
}

static void check_second(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct second *t = arg;
	struct kipc_list *l;

	ASSERT_EQ(0, kipc_list_open(copy, "list", &l));
	if (!EXPECT_TRUE(list_is(l, &t->s->old) || list_is(l, &t->s->new)))
		ksft_log("repair, instruction %lu", at);
	EXPECT_EQ(0, kipc_list_append(l, kipc_int(1)));
	EXPECT_EQ(0, kipc_list_unref(l));
	if (!step_audit(copy))
		ksft_log("repair, instruction %lu", at);
}

/* The copy, as it was left, is repaired by somebody who dies at every instruction. */
static void check_repair(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct second t = { .s = arg, .m = copy };

	(void)at;
	ASSERT_EQ(0, kipc_list_open(copy, "list", &t.l));
	t.step = (struct step){ .m = copy, .op = do_repair, .check = check_second, .arg = &t,
				.stride = 83 };
	step_run(&t.step);
	EXPECT_TRUE(list_is(t.l, &t.s->old) || list_is(t.l, &t.s->new));
	EXPECT_EQ(0, kipc_list_unref(t.l));
	step_audit(copy);
}

static void sweep_repair(struct op op, unsigned long stride)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct value_buf buf;

	s->op = op;
	s->step = (struct step){ .m = step_manager(), .op = do_op, .check = check_repair, .arg = s,
				 .stride = stride, .late = true };
	ASSERT_EQ(0, kipc_list_create(s->step.m, "list", &s->l));
	for (size_t i = 0; i < 12; i++) {
		s->old.n[i] = 100 + i * 13;
		ASSERT_EQ(0, kipc_list_append(s->l, value_of(s->old.n[i], &buf)));
	}
	s->old.len = 12;
	s->new = s->old;
	model_apply(&s->new, &op);
	step_run(&s->step);
	EXPECT_TRUE(list_is(s->l, &s->new));
	EXPECT_EQ(0, kipc_list_unref(s->l));
	kipc_manager_close(s->step.m);
	free(s);
}

TEST(repair_of_insert)
{
	STEP_SKIP_SLOW();
	sweep_repair((struct op){ .kind = OP_INSERT, .index = 2, .number = LONG_STR }, 131);
}

TEST(repair_of_pop)
{
	STEP_SKIP_SLOW();
	sweep_repair((struct op){ .kind = OP_POP, .index = 6 }, 131);
}

TEST(repair_of_set)
{
	STEP_SKIP_SLOW();
	sweep_repair((struct op){ .kind = OP_SET, .index = 6, .number = LONG_STR }, 131);
}

/* ---- and a death for once that is one ---- */

TEST(killed)
{
	STEP_SKIP_SLOW();
	for (unsigned long at = 40; at < 700; at += 23) {
		struct sweep *s = calloc(1, sizeof(*s));
		struct value_buf buf;

		s->op = (struct op){ .kind = OP_INSERT, .index = 2, .number = LONG_STR };
		s->step = (struct step){ .m = step_manager(), .op = do_op, .arg = s,
					 .kill_at = at };
		ASSERT_EQ(0, kipc_list_create(s->step.m, "list", &s->l));
		for (size_t i = 0; i < 12; i++) {
			s->old.n[i] = 100 + i * 13;
			ASSERT_EQ(0, kipc_list_append(s->l, value_of(s->old.n[i], &buf)));
		}
		s->old.len = 12;
		s->new = s->old;
		model_apply(&s->new, &s->op);
		step_run(&s->step);
		if (!EXPECT_TRUE(list_is(s->l, &s->old) || list_is(s->l, &s->new)))
			ksft_log("instruction %lu", at);
		EXPECT_EQ(0, kipc_list_append(s->l, kipc_int(1)));
		step_audit(s->step.m);
		EXPECT_EQ(0, kipc_list_unref(s->l));
		kipc_manager_close(s->step.m);
		free(s);
	}
}

TEST_HARNESS_MAIN
