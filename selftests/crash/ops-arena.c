// SPDX-License-Identifier: MIT
/*
 * The allocator: blocks of a slab that is there, of one that must be made, of spans of their own.  The
 * words that own them are in an object of a kind of our own, which the audit walks.
 */
#include <errno.h>

#include "arena.h"
#include "manager/arena.h"
#include "manager/audit.h"
#include "manager/object.h"
#include "manager/registry.h"

#define WORDS 8

struct box {
	struct kipc_obj_header head;
	uint64_t words[WORDS];
};

struct box_handle {
	struct kipc_handle h;
};

static int box_destroy(struct kipc_manager *mgr, struct kipc_obj_header *o, uint32_t *budget)
{
	struct box *b = (struct box *)o;
	int r = 0;

	for (int i = 0; i < WORDS && !r; i++)
		r = __kipc_release_locked(mgr, KIPC_OWN_BLOCK, __kipc_arena_off(mgr, &b->words[i]),
					  budget);
	return r;
}

static void box_mark(struct kipc_audit *a, struct kipc_obj_header *o)
{
	struct box *b = (struct box *)o;

	for (int i = 0; i < WORDS; i++)
		__kipc_audit_owned(a, KIPC_OWN_BLOCK,
				   __kipc_arena_off(__kipc_audit_manager(a), &b->words[i]));
}

static const struct kipc_obj_type box_type = {
	.kind = KIPC_OBJ_TEST,
	.name = "box",
	.size = sizeof(struct box),
	.handle_size = sizeof(struct box_handle),
	.destroy = box_destroy,
	.mark = box_mark,
};

static struct kipc_handle *handle;
static uint64_t size;		/* of the victim's block */

static uint64_t word(int i)
{
	return __kipc_arena_off(m, &((struct box *)handle->hdr)->words[i]);
}

static int alloc(void)
{
	return __kipc_arena_alloc(m, size, word(0));
}

static int drop(void)
{
	return __kipc_arena_free(m, word(0));
}

/* before: blocks of that size that others hold. */
static int make(uint64_t bytes, int before, bool mine)
{
	int r = make_manager();

	__kipc_obj_test_type = &box_type;
	size = bytes;
	if (!r)
		r = __kipc_object_create(m, NULL, &box_type, NULL, &handle);
	for (int i = 1; i <= before && !r; i++)
		r = __kipc_arena_alloc(m, size, word(i));
	if (!r && mine)
		r = alloc();
	return r;
}

static int make_small(void)
{
	return make(100, 1, false);
}

static int make_slab(void)
{
	return make(5000, 0, false);
}

static int make_large(void)
{
	return make(100000, 0, false);
}

static int make_growing(void)
{
	return make(400000, 0, false);
}

static int have_small(void)
{
	return make(100, 1, true);
}

static int have_slab(void)
{
	return make(5000, 0, true);
}

static int have_large(void)
{
	return make(100000, 0, true);
}

static int another(void)
{
	int r = __kipc_arena_alloc(m, size, word(WORDS - 1));

	return r ? r : __kipc_arena_free(m, word(WORDS - 1));
}

static int allocated(void)
{
	return *__kipc_arena_word(m, word(0)) != 0;
}

static int freed(void)
{
	return !allocated();
}

CRASH_OPS(crash_arena_ops) = {
	{ "arena", "alloc", 0, make_small, enter, alloc, another, allocated, 1, NULL, 0, NULL },
	{ "arena", "alloc, a new slab", 0, make_slab, enter, alloc, another, allocated, 1, NULL, 0,
	  NULL },
	{ "arena", "alloc, spans", 0, make_large, enter, alloc, another, allocated, 1, NULL, 0, NULL },
	{ "arena", "alloc, the file grows", 0, make_growing, enter, alloc, another, allocated, 1, NULL,
	  0, NULL },
	{ "arena", "free", 0, have_small, enter, drop, another, freed, 1, NULL, 0, NULL },
	{ "arena", "free, the last of a slab", 0, have_slab, enter, drop, another, freed, 1, NULL, 0,
	  NULL },
	{ "arena", "free, spans", 0, have_large, enter, drop, another, freed, 1, NULL, 0, NULL },
	{ 0 },
};
