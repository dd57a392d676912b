// SPDX-License-Identifier: MIT
/* Thousands of random operations, each with the result that a plain array gives. */
#include "model.h"

FIXTURE(random) {
	struct kipc_manager *m;
	struct kipc_list *l;
	struct model model;
};

FIXTURE_VARIANT(random) {
	uint64_t seed, numbers;
	size_t want;
};

FIXTURE_VARIANT_ADD(random, few_values) { .seed = 1, .numbers = 20, .want = 60 };
FIXTURE_VARIANT_ADD(random, short_lists) { .seed = 2, .numbers = 4000, .want = 300 };
FIXTURE_VARIANT_ADD(random, several_chunks) { .seed = 3, .numbers = 100000, .want = 2500 };

FIXTURE_SETUP(random)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_list_create(self->m, NULL, &self->l));
}

FIXTURE_TEARDOWN(random)
{
	kipc_list_unref(self->l);
	step_audit(self->m);
	kipc_manager_close(self->m);
}

TEST_F(random, operations)
{
	uint64_t seed = variant->seed;
	int n = ksft_slow() ? 1500 : 8000;

	for (int i = 0; i < n; i++) {
		struct op op = op_random(&seed, &self->model, variant->numbers, variant->want,
					 OP_KINDS);
		struct result want = model_apply(&self->model, &op);
		struct result got = list_apply(self->l, &op);

		if (!EXPECT_EQ(want.r, got.r) || !EXPECT_EQ(want.number, got.number) ||
		    !EXPECT_EQ(want.digest, got.digest)) {
			ksft_log("operation %d: kind %d, index %ld, stop %ld, step %ld, number %lu",
				 i, op.kind, (long)op.index, (long)op.stop, (long)op.step,
				 (unsigned long)op.number);
			return;
		}
		if (i % 500 == 0 && (!EXPECT_TRUE(list_is(self->l, &self->model)) ||
				     !step_audit(self->m))) {
			ksft_log("operation %d", i);
			return;
		}
	}
	EXPECT_TRUE(list_is(self->l, &self->model));
}

TEST_HARNESS_MAIN
