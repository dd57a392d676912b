// SPDX-License-Identifier: MIT
/*
 * A process dies right after it stored the intent that gives its slot a table of handles.  Whoever
 * repairs the slot rolls the intent first: else the table appears when the slot is free, and stays.
 * (Found by the crash tests: "lock acquire, repaired", where the second victim attaches.)
 */
#include <signal.h>
#include <unistd.h>

#include <kipc/lock.h>
#include <kipc/manager.h>

#include "core/peer.h"
#include "kselftest_harness.h"
#include "manager/alloc.h"
#include "manager/arena.h"

static int die_with_intent(void *arg)
{
	struct kipc_manager *m = arg;
	uint64_t slot_word;
	struct kipc_pick p;

	if (__kipc_peer_enter(&m->obj.seg) || __kipc_arena_lock(m) ||
	    __kipc_alloc_pick(m, sizeof(struct kipc_handle_table), &p))
		return 1;
	memset(__kipc_arena_ptr(m, p.block), 0, sizeof(struct kipc_handle_table));
	slot_word = __kipc_arena_off(m, &m->hdr->peers[m->obj.seg.slot]);
	((struct kipc_handle_table *)__kipc_arena_ptr(m, p.block))->next =
		*__kipc_arena_word(m, slot_word);
	intent_begin(m, KIPC_INTENT_ALLOC, p.block, 0,
		     (struct kipc_write[]){ { slot_word, p.block } }, 1);
	kill(getpid(), SIGKILL);
	return 1;
}

TEST(a_table_by_intent)
{
	struct kipc_manager *m;
	uint64_t blocks;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	blocks = load_relaxed(&m->hdr->blocks);
	ksft_wait(ksft_fork(die_with_intent, m));
	EXPECT_EQ(KIPC_INTENT_ALLOC, m->hdr->intent.op);
	EXPECT_EQ(1, __kipc_peer_sweep(&m->obj.seg, 0));
	ASSERT_EQ(0, __kipc_arena_lock(m));
	__kipc_arena_unlock(m);
	EXPECT_EQ(KIPC_INTENT_NONE, m->hdr->intent.op);
	for (uint32_t slot = 1; slot <= m->obj.seg.npeers; slot++)
		if (slot != m->obj.seg.slot)
			EXPECT_EQ(0, m->hdr->peers[slot]);
	EXPECT_EQ(blocks, load_relaxed(&m->hdr->blocks));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
