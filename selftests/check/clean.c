// SPDX-License-Identifier: MIT
/* Sound objects, new ones and used ones, through the handle and through the descriptor. */
#include <kipc/kipc.h>
#include <string.h>

#include "check_test.h"
#include "kselftest_harness.h"

TEST(new_objects_are_clean)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct kipc_object *obj = make_object(kind);

		ASSERT_TRUE(obj);
		check_clean(obj, KIPC_CHECK_IDLE);
		kipc_object_close(obj);
	}
}

TEST_HARNESS_MAIN
