// SPDX-License-Identifier: MIT
/*
 * A process dies while it goes on with the destruction of a dict that another step had begun: the entry
 * that it had just taken out of its cell is freed by whoever goes on.
 * (Found by the crash tests: "object the end of a dict x create".)
 */
#include <signal.h>
#include <unistd.h>

#include <kipc/check.h>
#include <kipc/dict.h>
#include <kipc/list.h>

#include "kselftest_harness.h"
#include "manager/dict.h"

#define KEYS	200	/* some in every stripe */
#define BUDGET	3	/* blocks of the first step: fewer than the first stripe has */

/* A cell of the first stripe that still has an entry. */
static __u64 *some_cell(struct kipc_manager *m, struct kipc_dict_stripe *s)
{
	uint64_t n = __kipc_dict_buckets(load_relaxed(&s->shape));

	for (uint64_t b = 0; b < n; b++) {
		struct kipc_dict_bucket *bucket = __kipc_dict_bucket(m, s, b);

		for (int i = 0; bucket && i < KIPC_DICT_CELLS; i++)
			if (bucket->cells[i])
				return &bucket->cells[i];
	}
	return NULL;
}

/* As __kipc_dict_drain() does it: OLD has the entry, the cell doesn't any more. */
static int die_with_an_entry(void *arg)
{
	struct kipc_manager *m = arg;
	struct kipc_dict_shared *s;
	struct kipc_dict *d;
	__u64 *cell;

	if (kipc_dict_create(m, NULL, &d))
		return 1;
	s = __kipc_dict_shared(d);
	for (int i = 0; i < KEYS; i++)
		if (kipc_dict_set(d, kipc_int(i), kipc_str("a value that has a block")))
			return 2;
	if (__kipc_arena_lock(m) || __kipc_ref_drop_locked(m, d->h.word))
		return 3;
	__kipc_arena_unlock(m);
	if (__kipc_zombies_reap(m, BUDGET) || __kipc_arena_lock(m))
		return 4;
	cell = some_cell(m, &s->stripes[0]);
	if (!cell)
		return 5;
	s->guards[0].data[KIPC_DICT_OLD] = *cell & KIPC_DICT_CELL_OFF;
	*cell = 0;
	kill(getpid(), SIGKILL);
	return 6;
}

TEST(an_entry_between_its_cell_and_nothing)
{
	KIPC_OPTS(kipc_report, report, .flags = KIPC_CHECK_SETTLE | KIPC_CHECK_IDLE);
	struct kipc_manager *m;
	struct kipc_list *l;
	uint64_t blocks;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, NULL, &l));
	blocks = load_relaxed(&m->hdr->blocks);
	EXPECT_EQ(SIGKILL, ksft_wait(ksft_fork(die_with_an_entry, m)));
	EXPECT_NE(0, m->hdr->dying);
	EXPECT_EQ(1, __kipc_peer_sweep(&m->obj.seg, 0));
	EXPECT_EQ(0, kipc_check(kipc_manager_object(m), &report));
	EXPECT_STREQ("", report.first);
	EXPECT_EQ(0, m->hdr->dying);
	EXPECT_EQ(blocks, load_relaxed(&m->hdr->blocks));
	EXPECT_EQ(0, kipc_list_unref(l));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
