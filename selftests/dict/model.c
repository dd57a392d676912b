// SPDX-License-Identifier: MIT
/* Thousands of random operations, each with the result that a plain table gives. */
#include "model.h"

FIXTURE(random) {
	struct kipc_manager *m;
	struct kipc_dict *d;
	struct model model;
};

FIXTURE_VARIANT(random) {
	uint64_t seed, numbers;
	uint32_t keys, full;
};

FIXTURE_VARIANT_ADD(random, few_keys) { .seed = 1, .numbers = 3000, .keys = 12, .full = 60 };
FIXTURE_VARIANT_ADD(random, half_full) { .seed = 2, .numbers = 100000, .keys = 300, .full = 60 };
FIXTURE_VARIANT_ADD(random, full) { .seed = 3, .numbers = 100000, .keys = 1000, .full = 100 };
FIXTURE_VARIANT_ADD(random, nearly_empty) { .seed = 4, .numbers = 3000, .keys = 1000, .full = 5 };

FIXTURE_SETUP(random)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_dict_create(self->m, NULL, &self->d));
	self->model.keys = variant->keys;
}

FIXTURE_TEARDOWN(random)
{
	kipc_dict_unref(self->d);
	step_audit(self->m);
	kipc_manager_close(self->m);
}

TEST_F(random, operations)
{
	uint64_t seed = variant->seed;
	int n = ksft_slow() ? 1500 : 8000;

	for (int i = 0; i < n; i++) {
		struct op op = op_random(&seed, &self->model, variant->numbers, variant->full,
					 OP_KINDS);
		struct result want = model_apply(&self->model, &op);
		struct result got = dict_apply(self->d, &op, variant->keys);

		if (!EXPECT_EQ(want.r, got.r) || !EXPECT_EQ(want.number, got.number) ||
		    !EXPECT_EQ(want.digest, got.digest)) {
			ksft_log("operation %d: kind %d, key %u, number %lu", i, op.kind, op.key,
				 (unsigned long)op.number);
			return;
		}
		if (i % 500 == 0 && (!EXPECT_TRUE(dict_is(self->d, &self->model)) ||
				     !step_audit(self->m))) {
			ksft_log("operation %d", i);
			return;
		}
	}
	EXPECT_TRUE(dict_is(self->d, &self->model));
}

TEST_HARNESS_MAIN
