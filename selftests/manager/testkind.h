/* SPDX-License-Identifier: MIT */
/*
 * A kind of object for white-box tests: words that own blocks and words that refer to objects, which
 * the audit and the destruction know.  And the audit as a check.
 */
#ifndef SELFTESTS_MANAGER_TESTKIND_H
#define SELFTESTS_MANAGER_TESTKIND_H

#include <kipc/lock.h>
#include <kipc/manager.h>

#include "kselftest_harness.h"
#include "manager/alloc.h"
#include "manager/audit.h"
#include "manager/registry.h"

#define BAG_BLOCKS	64
#define BAG_REFS	32
#define BAG_SLOTS	16

/* The shared part. */
struct bag {
	struct kipc_obj_header head;
	uint64_t blocks[BAG_BLOCKS];
	uint64_t refs[BAG_REFS];
	struct kipc_slot slots[BAG_SLOTS];
	struct kipc_guard more[2];
	uint64_t numbers[8];
};

struct bag_handle {
	struct kipc_handle h;
};

static int bag_destroy(struct kipc_manager *m, struct kipc_obj_header *o, uint32_t *budget)
{
	struct bag *b = (struct bag *)o;
	int r = 0;

	for (int i = 0; i < BAG_BLOCKS && !r; i++)
		r = __kipc_release_locked(m, KIPC_OWN_BLOCK, __kipc_arena_off(m, &b->blocks[i]),
					  budget);
	for (int i = 0; i < BAG_REFS && !r; i++)
		r = __kipc_release_locked(m, KIPC_OWN_REF, __kipc_arena_off(m, &b->refs[i]),
					  budget);
	for (int i = 0; i < BAG_SLOTS && !r; i++)
		r = __kipc_slot_release_locked(m, __kipc_arena_off(m, &b->slots[i]));
	return r;
}

static void bag_mark(struct kipc_audit *a, struct kipc_obj_header *o)
{
	struct kipc_manager *m = __kipc_audit_manager(a);
	struct bag *b = (struct bag *)o;

	for (int i = 0; i < BAG_BLOCKS; i++)
		__kipc_audit_owned(a, KIPC_OWN_BLOCK, __kipc_arena_off(m, &b->blocks[i]));
	for (int i = 0; i < BAG_REFS; i++)
		__kipc_audit_owned(a, KIPC_OWN_REF, __kipc_arena_off(m, &b->refs[i]));
	for (int i = 0; i < BAG_SLOTS; i++)
		__kipc_audit_slot(a, __kipc_arena_off(m, &b->slots[i]));
}

static const struct kipc_obj_type bag_type = {
	.kind = KIPC_OBJ_TEST,
	.name = "bag",
	.size = sizeof(struct bag),
	.handle_size = sizeof(struct bag_handle),
	.guard_off = offsetof(struct bag, more),
	.nguards = 2,
	.destroy = bag_destroy,
	.mark = bag_mark,
};

static __attribute__((constructor)) void bag_register(void)
{
	__kipc_obj_test_type = &bag_type;
}

static __attribute__((unused)) struct bag *bag_of(struct kipc_handle *h)
{
	return (struct bag *)h->hdr;
}

static __attribute__((unused)) struct kipc_handle *bag_new(struct kipc_manager *m, const char *name)
{
	struct kipc_handle *h;

	ASSERT_EQ(0, __kipc_object_create(m, name, &bag_type, NULL, &h));
	return h;
}

static __attribute__((unused)) uint64_t off_of(struct kipc_manager *m, const void *p)
{
	return __kipc_arena_off(m, p);
}

/* Nothing is leaked, owned twice or miscounted.  Waits until all dead processes are repaired. */
static __attribute__((unused)) bool audit_clean(struct kipc_manager *m,
						struct kipc_arena_report *report)
{
	struct kipc_arena_report rep;
	int r;

	__kipc_peer_sweep(&m->obj.seg, 0);
	r = __kipc_arena_audit(m, &rep);
	if (report)
		*report = rep;
	if (!EXPECT_EQ(0, r))
		ksft_log("audit: %s", rep.first);
	return r == 0;
}

#define AUDIT(m) audit_clean(m, NULL)

#endif
