// SPDX-License-Identifier: MIT
/* What the fuzz targets found (selftests/fuzz/), each by itself. */
#include <errno.h>

#include <kipc/kipc.h>

#include "core/compiler.h"
#include "kselftest_harness.h"
#include "manager/dict.h"

static int loads;

static uint32_t load_of_a_changing_field(void)
{
	return loads++ ? 1000000 : 1;
}

/*
 * min_of(load(field), limit) read the field twice: an enemy that wrote in between got its number past
 * the limit, in __kipc_peer_sweep() (a NULL slot was read) and in six other places.
 */
TEST(limits_load_once)
{
	uint32_t limit = 5;

	loads = 0;
	EXPECT_EQ(1, min_of(load_of_a_changing_field(), limit));
	EXPECT_EQ(1, loads);
	loads = 0;
	EXPECT_EQ(5, max_of(load_of_a_changing_field(), limit));
	EXPECT_EQ(1, loads);
	/* one within the other */
	EXPECT_EQ(2, min_of(max_of(2, 1), max_of(min_of(9, 3), 1)));
}

/* A chain of buckets that goes on nowhere: freeing the dict followed it to address 0. */
TEST(dict_chain_leads_out)
{
	static const uint64_t nowhere[] = { 8, 12345, 1ULL << 47, UINT64_MAX - 7 };

	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		struct kipc_manager *m;
		struct kipc_dict *d;
		struct kipc_dict_shared *shared;

		ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
		ASSERT_EQ(0, kipc_dict_create(m, NULL, &d));
		for (int k = 0; k < 64; k++)
			ASSERT_EQ(0, kipc_dict_set(d, kipc_int(k), kipc_int(k)));
		shared = (struct kipc_dict_shared *)d->h.hdr;
		for (int s = 0; s < KIPC_DICT_STRIPES; s++)
			shared->stripes[s].first.next = nowhere[i];
		EXPECT_EQ(-EPROTO, kipc_dict_clear(d));
		/* that closed its handle and gave the dict up, or says why not */
		EXPECT_LE(kipc_dict_unref(d), 0);
		kipc_manager_close(m);
	}
}

TEST_HARNESS_MAIN
