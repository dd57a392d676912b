// SPDX-License-Identifier: MIT
/* An rlock's count doesn't wrap (white-box: nobody waits for 2^32 acquires). */
#include "testkind.h"

TEST(overflow)
{
	struct kipc_rlock_shared *s;
	struct kipc_manager *m;
	struct kipc_rlock *l;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_rlock_create(m, NULL, &l));
	s = (struct kipc_rlock_shared *)kipc_rlock_handle(l)->hdr;
	ASSERT_EQ(0, kipc_rlock_acquire(l, KIPC_NOWAIT));
	EXPECT_EQ(1, s->count);
	s->count = UINT32_MAX - 1;
	EXPECT_EQ(0, kipc_rlock_acquire(l, KIPC_NOWAIT));
	EXPECT_EQ(-EOVERFLOW, kipc_rlock_acquire(l, KIPC_NOWAIT));
	EXPECT_EQ(UINT32_MAX, s->count);
	s->count = 1;
	EXPECT_EQ(0, kipc_rlock_release(l));
	EXPECT_EQ(-EPERM, kipc_rlock_release(l));
	EXPECT_EQ(0, kipc_rlock_unref(l));
	kipc_manager_close(m);
}

/* A stale owner with our slot and our thread's number, from a process that is gone: not us. */
TEST(stale_owner)
{
	struct kipc_rlock_shared *s;
	struct kipc_manager *m;
	struct kipc_rlock *l;
	uint64_t owner;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_rlock_create(m, NULL, &l));
	s = (struct kipc_rlock_shared *)kipc_rlock_handle(l)->hdr;
	ASSERT_EQ(0, kipc_rlock_acquire(l, KIPC_NOWAIT));
	owner = s->owner;
	ASSERT_EQ(0, kipc_rlock_release(l));
	/* another thread of ours has just taken the word, and not yet said who it is */
	s->head.guard.lock = m->obj.seg.slot;
	s->owner = owner - (1ULL << 32);
	EXPECT_EQ(-EPERM, kipc_rlock_release(l));
	EXPECT_EQ(-EAGAIN, kipc_rlock_acquire(l, KIPC_NOWAIT));
	s->head.guard.lock = 0;
	EXPECT_EQ(0, kipc_rlock_unref(l));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
