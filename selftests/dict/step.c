// SPDX-License-Identifier: MIT
/*
 * The death of a writer at every instruction of every operation: whoever comes next finds each key
 * old or new, nothing lost and nothing leaked, and can go on.
 */
#include <kipc/list.h>

#include "model.h"

struct sweep {
	struct step step;
	struct kipc_dict *d;
	struct model old, new;
	struct op op;
	bool committed;		/* new was seen: old may not come back */
	unsigned long at;	/* ... first then */
};

static int do_op(void *arg)
{
	struct sweep *s = arg;

	return dict_apply(s->d, &s->op, s->old.keys).r < 0;
}

/* Each key old or new; of clear(), all of a stripe alike. */
static bool between(struct kipc_dict *d, const struct sweep *s)
{
	int seen[KIPC_DICT_STRIPES] = { 0 };
	struct kipc_dict_key k;
	struct key_buf buf;
	int64_t len = 0;

	for (uint32_t i = 0; i < s->old.keys; i++) {
		uint64_t n = dict_number(d, i);
		struct kipc_value key = key_of(i, &buf);
		uint32_t stripe;

		len += n != 0;
		if (n != s->old.n[i] && n != s->new.n[i])
			return false;
		if (s->old.n[i] == s->new.n[i] || __kipc_dict_key(d, &key, &k))
			continue;
		stripe = (uint32_t)(k.hash >> KIPC_DICT_STRIPE_SHIFT);
		seen[stripe] |= n == s->old.n[i] ? 1 : 2;
		if (s->op.kind == OP_CLEAR && seen[stripe] == 3)
			return false;
	}
	/* the count may still lack the last step: it is made good by the next writer */
	return kipc_dict_len(d) >= len - 1 && kipc_dict_len(d) <= len + 1;
}

static void survive(struct kipc_dict *d, const struct sweep *s)
{
	struct key_buf buf;

	/*
	 * a writer in every stripe: whatever was left open is settled; the keys are none of the
	 * model's
	 */
	for (uint32_t i = 0; i < 80; i++)
		EXPECT_EQ(0, kipc_dict_set(d, key_of(s->old.keys + i, &buf),
					   kipc_str("a survivor's value, in its entry")));
	for (uint32_t i = 0; i < 80; i++)
		EXPECT_EQ(0, kipc_dict_del(d, key_of(s->old.keys + i, &buf)));
}

static void check(struct kipc_manager *copy, unsigned long at, void *arg)
{
	bool is_old, is_new, one = false;
	struct sweep *s = arg;
	struct kipc_dict *d;

	ASSERT_EQ(0, kipc_dict_open(copy, "dict", &d));
	one = s->op.kind != OP_UPDATE && s->op.kind != OP_CLEAR;
	if (!EXPECT_TRUE(between(d, s)))
		ksft_log("instruction %lu", at);
	survive(d, s);
	is_old = dict_is(d, &s->old);
	is_new = dict_is(d, &s->new);
	if (!s->committed && is_new && !is_old) {
		s->committed = true;
		s->at = at;
	}
	if (one || s->committed) {
		if (!EXPECT_TRUE(s->committed ? is_new : is_old))
			ksft_log("instruction %lu: old %d, new %d", at, is_old, is_new);
	} else if (!EXPECT_TRUE(between(d, s))) {
		ksft_log("after a survivor's operations, instruction %lu", at);
	}
	EXPECT_EQ(0, kipc_dict_unref(d));
	if (!step_audit(copy))
		ksft_log("instruction %lu", at);
}

/* ---- keys that are special ---- */

#define SPLITS		(UINT32_MAX - 1)	/* inserted, it makes its stripe split a bucket */
#define MERGES		(UINT32_MAX - 2)	/* deleted, it makes its stripe merge two */
#define CONTINUES	(UINT32_MAX - 3)	/* inserted, it finds its bucket full */
#define ENDS		(UINT32_MAX - 4)	/* deleted, it leaves a continuation empty */
#define FREES		(UINT32_MAX - 5)	/* deleted, it makes its stripe free buckets */

static bool is_special(struct kipc_dict *d, uint32_t what, uint32_t i)
{
	struct kipc_dict_bucket *head, *b;
	struct kipc_dict_key k;
	struct kipc_dict_ref t;
	struct key_buf buf;
	struct kipc_value key = key_of(i, &buf);
	uint32_t used = 0;
	__u64 *cell;
	int r;

	ASSERT_EQ(0, __kipc_dict_key(d, &key, &k));
	t = __kipc_dict_at_hash(d, k.hash);
	cell = __kipc_dict_find(&t, &k, &head, &r);
	if (!cell == (what == MERGES || what == ENDS || what == FREES))
		return false;
	for (b = head; b->next; b = __kipc_dict_next(t.m, b))
		;
	for (uint32_t c = 0; c < KIPC_DICT_CELLS; c++)
		used += b->cells[c] != 0;
	switch (what) {
	case SPLITS:
		return t.g->data[KIPC_DICT_COUNT] == t.s->shape * KIPC_DICT_LOAD;
	case MERGES:
		return t.s->shape > 1 &&
		       t.g->data[KIPC_DICT_COUNT] == t.s->shape * KIPC_DICT_LOAD_LOW;
	case FREES:
		return t.g->data[KIPC_DICT_COUNT] == t.s->shape * KIPC_DICT_LOAD_LOW &&
		       t.s->shape > 2 && __builtin_popcountll(t.s->shape - 1) == 1 &&
		       t.s->segs[64 - __builtin_clzll(t.s->shape - 1)];
	case CONTINUES:
		return b == head && used == KIPC_DICT_CELLS &&
		       t.g->data[KIPC_DICT_COUNT] < t.s->shape * KIPC_DICT_LOAD;
	case ENDS:
		return b != head && used == 1 && cell >= b->cells &&
		       cell < b->cells + KIPC_DICT_CELLS;
	}
	return false;
}

static uint32_t special(struct kipc_dict *d, uint32_t key)
{
	if (key < FREES)
		return key;
	for (uint32_t i = 0; i < MODEL_KEYS - 100; i++)
		if (is_special(d, key, i))
			return i;
	ksft_log("there is no such key: choose another number of keys");
	ASSERT_TRUE(false);
	return 0;
}

/*
 * A dict of the keys 0 .. n, of which those divisible by `sparse` stay, swept over the operation.
 */
static void sweep_with(void (*look)(struct kipc_manager *copy, unsigned long at, void *arg),
		       uint32_t n, uint32_t sparse, struct op op, unsigned long stride)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct value_buf buf;
	struct key_buf kbuf;
	unsigned long steps;

	s->step = (struct step){ .m = step_manager(), .op = do_op, .check = look, .arg = s,
				 .stride = ksft_slow() ? stride * 97 : stride };
	s->d = dict_make(s->step.m, "dict");
	/* all paths were walked once */
	for (uint32_t i = 0; i < 100; i++)
		ASSERT_EQ(0, kipc_dict_set(s->d, key_of(i, &kbuf), value_of(i, &buf)));
	for (uint32_t i = 0; i < 100; i++)
		ASSERT_EQ(0, kipc_dict_pop(s->d, key_of(i, &kbuf), NULL));
	ASSERT_EQ(0, kipc_dict_clear(s->d));
	s->old.keys = MODEL_KEYS - 100;
	for (uint32_t i = 0; i < n; i++) {
		s->old.n[i] = 1 + 100 + i * 13;
		ASSERT_EQ(0, kipc_dict_set(s->d, key_of(i, &kbuf),
					   value_of(s->old.n[i] - 1, &buf)));
	}
	for (uint32_t i = 0; i < n; i++) {
		if (i % sparse == 0)
			continue;
		s->old.n[i] = 0;
		ASSERT_EQ(0, kipc_dict_del(s->d, key_of(i, &kbuf)));
	}
	op.key = special(s->d, op.key);
	/* what makes the model too slow to look at: keys that nobody ever touches */
	s->old.keys = (op.key > n ? op.key : n) + UPDATE_MAX + 1;
	s->op = op;
	s->new = s->old;
	model_apply(&s->new, &op);
	steps = step_run(&s->step);
	ksft_log("key %u: %lu instructions, new from the %luth on", op.key, steps, s->at);
	EXPECT_TRUE(dict_is(s->d, &s->new));
	EXPECT_EQ(0, kipc_dict_unref(s->d));
	step_audit(s->step.m);
	kipc_manager_close(s->step.m);
	free(s);
}

static void sweep(uint32_t n, uint32_t sparse, struct op op, unsigned long stride)
{
	sweep_with(check, n, sparse, op, stride);
}

#define AN_INT		25
#define A_STR		(64 * 8 + 8 * 3 + 6)

TEST(insert_first)
{
	STEP_SKIP_SLOW();
	sweep(0, 1, (struct op){ .kind = OP_SET, .key = 3, .number = A_STR }, 5);
}

TEST(insert)
{
	sweep(10, 1, (struct op){ .kind = OP_SET, .key = 13, .number = A_STR }, 3);
}

TEST(insert_splits_the_first)
{
	STEP_SKIP_SLOW();
	sweep(40, 1, (struct op){ .kind = OP_SET, .key = SPLITS, .number = A_STR }, 5);
}

TEST(insert_splits_another)
{
	STEP_SKIP_SLOW();
	sweep(150, 1, (struct op){ .kind = OP_SET, .key = SPLITS, .number = AN_INT }, 11);
}

TEST(insert_continues_a_bucket)
{
	STEP_SKIP_SLOW();
	sweep(700, 1, (struct op){ .kind = OP_SET, .key = CONTINUES, .number = A_STR }, 43);
}

TEST(del_ends_a_continuation)
{
	STEP_SKIP_SLOW();
	sweep(700, 1, (struct op){ .kind = OP_DEL, .key = ENDS }, 31);
}

TEST(replace)
{
	sweep(10, 1, (struct op){ .kind = OP_SET, .key = 6, .number = A_STR }, 3);
}

TEST(replace_int_in_place)
{
	STEP_SKIP_SLOW();
	sweep(30, 1, (struct op){ .kind = OP_SET, .key = 25, .number = AN_INT }, 7);
}

TEST(del)
{
	sweep(10, 1, (struct op){ .kind = OP_DEL, .key = 6 }, 3);
}

TEST(pop)
{
	STEP_SKIP_SLOW();
	sweep(10, 1, (struct op){ .kind = OP_POP, .key = 6 }, 5);
}

TEST(del_merges)
{
	STEP_SKIP_SLOW();
	sweep(150, 3, (struct op){ .kind = OP_DEL, .key = MERGES }, 11);
}

TEST(pop_merges_to_one)
{
	STEP_SKIP_SLOW();
	sweep(100, 7, (struct op){ .kind = OP_POP, .key = MERGES }, 7);
}

TEST(del_frees_buckets)
{
	STEP_SKIP_SLOW();
	sweep(600, 8, (struct op){ .kind = OP_DEL, .key = FREES }, 31);
}

TEST(setdefault)
{
	STEP_SKIP_SLOW();
	sweep(10, 1, (struct op){ .kind = OP_SETDEFAULT, .key = 13, .number = A_STR }, 7);
}

TEST(update)
{
	STEP_SKIP_SLOW();
	sweep(10, 1, (struct op){ .kind = OP_UPDATE, .key = 6, .count = 4, .number = A_STR }, 17);
}

TEST(clear)
{
	STEP_SKIP_SLOW();
	sweep(20, 1, (struct op){ .kind = OP_CLEAR }, 43);
}

/* ---- refs ---- */

static int do_nested(void *arg)
{
	struct sweep *s = arg;
	struct kipc_list *inner;
	struct kipc_value v = kipc_none();
	int r;

	r = kipc_list_create(s->step.m, NULL, &inner);
	if (!r)
		r = kipc_list_append(inner, kipc_str("inside, in a block of its own"));
	if (!r)
		r = kipc_dict_set(s->d, kipc_str("new"), kipc_ref(kipc_list_handle(inner)));
	if (!r)
		r = kipc_list_unref(inner);
	if (!r)
		r = kipc_dict_set(s->d, kipc_str("old"), kipc_int(5));
	if (!r)
		r = kipc_dict_pop(s->d, kipc_str("new"), &v);
	kipc_value_clear(&v);
	return r;
}

static int look_at(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	struct kipc_list *inner;
	struct kipc_value in;

	(void)key;
	(void)arg;
	if (v->type != KIPC_REF)
		return 0;
	ASSERT_EQ(0, kipc_list_from(v, &inner));
	EXPECT_EQ(1, kipc_list_len(inner));
	ASSERT_EQ(0, kipc_list_get(inner, 0, &in));
	EXPECT_STREQ("inside, in a block of its own", in.str);
	kipc_value_clear(&in);
	return kipc_list_unref(inner);
}

static void check_nested(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct sweep *s = arg;
	struct kipc_dict *d;

	ASSERT_EQ(0, kipc_dict_open(copy, "dict", &d));
	EXPECT_EQ(0, kipc_dict_foreach(d, look_at, NULL));
	survive(d, s);
	if (!step_audit(copy))
		ksft_log("instruction %lu", at);
	EXPECT_EQ(0, kipc_manager_remove(copy, "dict"));
	EXPECT_EQ(0, kipc_dict_unref(d));
	if (!step_audit(copy))
		ksft_log("afterwards, instruction %lu", at);
}

TEST(refs)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct kipc_list *inner;

	STEP_SKIP_SLOW();
	s->step = (struct step){ .m = step_manager(), .op = do_nested, .check = check_nested,
				 .arg = s, .stride = 37 };
	s->d = dict_make(s->step.m, "dict");
	ASSERT_EQ(0, kipc_list_create(s->step.m, NULL, &inner));
	ASSERT_EQ(0, kipc_list_append(inner, kipc_str("inside, in a block of its own")));
	ASSERT_EQ(0, kipc_dict_set(s->d, kipc_str("old"), kipc_ref(kipc_list_handle(inner))));
	ASSERT_EQ(0, kipc_list_unref(inner));
	ksft_log("%lu instructions", step_run(&s->step));
	EXPECT_EQ(1, kipc_dict_len(s->d));
	EXPECT_EQ(0, kipc_dict_unref(s->d));
	step_audit(s->step.m);
	kipc_manager_close(s->step.m);
	free(s);
}

/* ---- who reads waits for nobody ---- */

/* The writer stands still where it is, alive, with whatever it holds. */
static void check_readers(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct sweep *s = arg;

	(void)copy;
	if (!EXPECT_TRUE(between(s->d, s)))
		ksft_log("instruction %lu", at);
}

TEST(readers_do_not_wait)
{
	static const struct op ops[] = {
		{ .kind = OP_SET, .key = 6, .number = A_STR },
		{ .kind = OP_SET, .key = SPLITS, .number = A_STR },
		{ .kind = OP_POP, .key = 6 },
		{ .kind = OP_CLEAR },
	};

	STEP_SKIP_SLOW();
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		sweep_with(check_readers, 40, 1, ops[i], i == 3 ? 211 : 29);
}

/* ---- a dict that goes, half-done ---- */

static void check_destroyed(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	(void)arg;
	/* nobody recovers it first: it is destroyed as it was left */
	EXPECT_EQ(0, kipc_manager_remove(copy, "dict"));
	ASSERT_EQ(0, kipc_manager_stat(copy, &st));
	EXPECT_EQ(0, st.objects);
	if (!step_audit(copy))
		ksft_log("instruction %lu", at);
}

static void sweep_destroyed(uint32_t n, struct op op, unsigned long stride)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct value_buf buf;
	struct key_buf kbuf;

	s->step = (struct step){ .m = step_manager(), .op = do_op, .check = check_destroyed,
				 .arg = s, .stride = ksft_slow() ? stride * 97 : stride };
	s->d = dict_make(s->step.m, "dict");
	for (uint32_t i = 0; i < n; i++)
		ASSERT_EQ(0, kipc_dict_set(s->d, key_of(i, &kbuf), value_of(i, &buf)));
	op.key = special(s->d, op.key);
	s->old.keys = MODEL_KEYS;
	s->op = op;
	step_run(&s->step);
	EXPECT_EQ(0, kipc_dict_unref(s->d));
	kipc_manager_close(s->step.m);
	free(s);
}

TEST(destroyed_in_a_split)
{
	STEP_SKIP_SLOW();
	sweep_destroyed(150, (struct op){ .kind = OP_SET, .key = SPLITS, .number = A_STR }, 7);
}

TEST(destroyed_in_a_replacement)
{
	STEP_SKIP_SLOW();
	sweep_destroyed(10, (struct op){ .kind = OP_SET, .key = 6, .number = A_STR }, 5);
}

TEST(destroyed_in_clear)
{
	STEP_SKIP_SLOW();
	sweep_destroyed(20, (struct op){ .kind = OP_CLEAR }, 61);
}

/* ---- the death of who repairs ---- */

struct second {
	struct sweep *s;
	struct kipc_manager *m;
	struct kipc_dict *d;
	struct step step;
};

static int do_repair(void *arg)
{
	struct second *t = arg;
	struct key_buf buf;

	/* a writer of that stripe repairs first */
	return kipc_dict_setdefault(t->d, key_of(t->s->op.key, &buf), kipc_none(), NULL) < 0;
}

static void check_second(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct second *t = arg;
	struct kipc_dict *d;
	struct model either = t->s->old;

	ASSERT_EQ(0, kipc_dict_open(copy, "dict", &d));
	survive(d, t->s);
	/* the repairer's own operation may have happened */
	either.n[t->s->op.key] = 1;
	if (!EXPECT_TRUE(dict_is(d, &t->s->old) || dict_is(d, &t->s->new) || dict_is(d, &either)))
		ksft_log("repair, instruction %lu", at);
	EXPECT_EQ(0, kipc_dict_unref(d));
	if (!step_audit(copy))
		ksft_log("repair, instruction %lu", at);
}

static void check_repair(struct kipc_manager *copy, unsigned long at, void *arg)
{
	struct second t = { .s = arg, .m = copy };

	(void)at;
	ASSERT_EQ(0, kipc_dict_open(copy, "dict", &t.d));
	t.step = (struct step){ .m = copy, .op = do_repair, .check = check_second, .arg = &t,
				.stride = 83 };
	step_run(&t.step);
	EXPECT_EQ(0, kipc_dict_unref(t.d));
	step_audit(copy);
}

static void sweep_repair(uint32_t n, struct op op, unsigned long stride)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct value_buf buf;
	struct key_buf kbuf;

	s->step = (struct step){ .m = step_manager(), .op = do_op, .check = check_repair, .arg = s,
				 .stride = ksft_slow() ? stride * 97 : stride, .late = true };
	s->d = dict_make(s->step.m, "dict");
	for (uint32_t i = 0; i < n; i++) {
		s->old.n[i] = 101 + i * 13;
		ASSERT_EQ(0, kipc_dict_set(s->d, key_of(i, &kbuf),
					   value_of(s->old.n[i] - 1, &buf)));
	}
	op.key = special(s->d, op.key);
	s->op = op;
	s->old.keys = (op.key > n ? op.key : n) + 1;
	ASSERT_LT(s->old.keys, MODEL_KEYS);
	s->new = s->old;
	model_apply(&s->new, &op);
	step_run(&s->step);
	EXPECT_TRUE(dict_is(s->d, &s->new));
	EXPECT_EQ(0, kipc_dict_unref(s->d));
	kipc_manager_close(s->step.m);
	free(s);
}

TEST(repair_of_replace)
{
	STEP_SKIP_SLOW();
	sweep_repair(10, (struct op){ .kind = OP_SET, .key = 6, .number = A_STR }, 131);
}

TEST(repair_of_split)
{
	STEP_SKIP_SLOW();
	sweep_repair(60, (struct op){ .kind = OP_SET, .key = SPLITS, .number = A_STR }, 311);
}

TEST_HARNESS_MAIN
