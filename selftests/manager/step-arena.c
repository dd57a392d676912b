// SPDX-License-Identifier: MIT
/*
 * Death at every instruction of allocating, freeing, taking and dropping references, making and
 * naming objects.  After each: nothing is leaked, and the words say what the blocks are.
 */
#include "singlestep.h"

#define ALL	20000	/* instructions that are all tried */
#define STRIDE	17	/* beyond */

struct op {
	struct kipc_manager *m;
	struct kipc_handle *h, *other;
	struct bag *b;
	uint64_t size;
	int i;
};

FIXTURE(step) {
	struct op op;
};

FIXTURE_SETUP(step)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 256 << 10, .max_size = 256 << 20);
	struct op *op = &self->op;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &op->m));
	op->h = bag_new(op->m, NULL);
	op->other = bag_new(op->m, NULL);
	op->b = bag_of(op->h);
}

FIXTURE_TEARDOWN(step)
{
	struct op *op = &self->op;

	AUDIT(op->m);
	EXPECT_EQ(0, kipc_handle_unref(op->h));
	EXPECT_EQ(0, kipc_handle_unref(op->other));
	kipc_manager_close(op->m);
}

static uint64_t word(struct op *op)
{
	return off_of(op->m, &op->b->blocks[op->i]);
}

static int do_alloc(void *arg)
{
	struct op *op = arg;

	return __kipc_arena_alloc(op->m, op->size, word(op));
}

static int do_free(void *arg)
{
	struct op *op = arg;

	return __kipc_arena_free(op->m, word(op));
}

/* The word is a block of that size, or 0; and the allocator goes on. */
static void usable(void *arg)
{
	struct op *op = arg;

	if (op->b->blocks[op->i])
		ASSERT_LE(op->size, __kipc_arena_block_size(op->m, op->b->blocks[op->i]));
	else
		ASSERT_EQ(0, do_alloc(op));
	ASSERT_EQ(0, do_free(op));
	ASSERT_EQ(0, do_alloc(op));
	AUDIT(op->m);
}

TEST_F(step, alloc)
{
	struct op *op = &self->op;

	op->size = 100;
	op->i = 1;
	ASSERT_EQ(0, do_alloc(op));	/* the slab is there: the plain case */
	op->i = 0;
	EXPECT_GT(every_death(op->m, do_alloc, usable, op, ALL, STRIDE), 20);
}

TEST_F(step, alloc_makes_a_slab)
{
	self->op.size = 5000;
	EXPECT_GT(every_death(self->op.m, do_alloc, usable, &self->op, ALL, STRIDE), 20);
}

TEST_F(step, alloc_makes_a_slab_with_its_map_inside)
{
	self->op.size = 32;
	EXPECT_GT(every_death(self->op.m, do_alloc, usable, &self->op, ALL, STRIDE), 20);
}

TEST_F(step, alloc_fills_a_slab)
{
	struct op *op = &self->op;

	op->size = 8192;
	for (op->i = 1; op->i < 8; op->i++)
		ASSERT_EQ(0, do_alloc(op));
	op->i = 0;
	EXPECT_GT(every_death(op->m, do_alloc, usable, op, ALL, STRIDE), 20);
}

TEST_F(step, alloc_of_spans)
{
	self->op.size = 150000;
	EXPECT_GT(every_death(self->op.m, do_alloc, usable, &self->op, ALL, STRIDE), 20);
}

TEST_F(step, alloc_grows_the_file)
{
	self->op.size = 400000;
	EXPECT_GT(every_death(self->op.m, do_alloc, usable, &self->op, ALL, STRIDE), 20);
}

TEST_F(step, free_)
{
	struct op *op = &self->op;

	op->size = 100;
	op->i = 1;
	ASSERT_EQ(0, do_alloc(op));
	op->i = 0;
	ASSERT_EQ(0, do_alloc(op));
	EXPECT_GT(every_death(op->m, do_free, usable, op, ALL, STRIDE), 20);
}

TEST_F(step, free_gives_a_slab_back)
{
	struct op *op = &self->op;

	/* 8 blocks a slab of 4 spans: one slab with room, one with this block alone */
	op->size = 30000;
	for (op->i = 1; op->i < 9; op->i++)
		ASSERT_EQ(0, do_alloc(op));
	op->i = 0;
	ASSERT_EQ(0, do_alloc(op));
	op->i = 1;
	ASSERT_EQ(0, do_free(op));
	op->i = 0;
	EXPECT_GT(every_death(op->m, do_free, usable, op, ALL, STRIDE), 20);
}

TEST_F(step, free_of_spans)
{
	struct op *op = &self->op;

	op->size = 150000;
	ASSERT_EQ(0, do_alloc(op));
	EXPECT_GT(every_death(op->m, do_free, usable, op, ALL, STRIDE), 20);
}

/* Deaths by SIGKILL: the same as the simulated ones. */
TEST_F(step, killed_in_truth)
{
	struct op *op = &self->op;
	int kills = 0;

	op->size = 5000;
	for (long n = 1; run_steps(op->m, do_alloc, op, n); n += 13) {
		if (!AUDIT(op->m))
			break;
		ASSERT_EQ(0, do_free(op));
		kills++;
	}
	EXPECT_GT(kills, 10);
}

/* ---- references ---- */

static uint64_t ref_word(struct op *op)
{
	return off_of(op->m, &op->b->refs[0]);
}

static int do_take(void *arg)
{
	struct op *op = arg;

	return __kipc_ref_take(op->m, op->other->off, op->other->id, ref_word(op));
}

static int do_drop(void *arg)
{
	struct op *op = arg;

	return __kipc_ref_drop(op->m, ref_word(op));
}

/* Counts agree with the words (the audit says so); and it can be taken and dropped. */
static void countable(void *arg)
{
	struct op *op = arg;

	ASSERT_EQ(op->b->refs[0] ? 2 : 1, op->other->hdr->refs);
	ASSERT_EQ(0, do_drop(op));
	ASSERT_EQ(1, op->other->hdr->refs);
	ASSERT_EQ(0, do_take(op));
}

TEST_F(step, ref_take)
{
	EXPECT_GT(every_death(self->op.m, do_take, countable, &self->op, ALL, STRIDE), 20);
}

TEST_F(step, ref_drop)
{
	ASSERT_EQ(0, do_take(&self->op));
	EXPECT_GT(every_death(self->op.m, do_drop, countable, &self->op, ALL, STRIDE), 20);
}

/* The bag's object is there, or gone with all that it had. */
static void all_or_none(void *arg)
{
	struct op *op = arg;

	ASSERT_EQ(0, __kipc_zombies_reap(op->m, 0));
	ASSERT_EQ(op->b->refs[0] ? 3 : 2, op->m->hdr->objects);
	ASSERT_EQ(op->b->refs[0] ? 2 : 1, op->other->hdr->refs);
	AUDIT(op->m);
}

TEST_F(step, ref_drop_of_the_last)
{
	struct op *op = &self->op;
	struct kipc_handle *h = bag_new(op->m, NULL);

	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, __kipc_arena_alloc(op->m, 100, off_of(op->m, &bag_of(h)->blocks[i])));
	ASSERT_EQ(0, __kipc_ref_take(op->m, op->other->off, op->other->id,
				     off_of(op->m, &bag_of(h)->refs[3])));
	ASSERT_EQ(0, __kipc_ref_take(op->m, h->off, h->id, ref_word(op)));
	ASSERT_EQ(0, kipc_handle_unref(h));
	EXPECT_GT(every_death(op->m, do_drop, all_or_none, op, ALL, STRIDE), 100);
}

/* ---- objects, names and handles ---- */

static int do_create(void *arg)
{
	struct op *op = arg;
	struct kipc_handle *h;

	return __kipc_object_create(op->m, NULL, &bag_type, NULL, &h);
}

static int do_create_named(void *arg)
{
	struct op *op = arg;
	struct kipc_handle *h;

	return __kipc_object_create(op->m, "name", &bag_type, NULL, &h);
}

static int do_remove(void *arg)
{
	struct op *op = arg;

	return kipc_manager_remove(op->m, "name");
}

/* Of the dead child's objects only the named one remains. */
static void only_the_named(void *arg)
{
	struct op *op = arg;
	int r;

	ASSERT_EQ(0, __kipc_zombies_reap(op->m, 0));
	ASSERT_EQ(2 + op->m->hdr->names, op->m->hdr->objects);
	r = kipc_manager_remove(op->m, "name");
	ASSERT_TRUE(r == 0 || r == -ENOENT);
	ASSERT_EQ(2, op->m->hdr->objects);
	AUDIT(op->m);
}

TEST_F(step, create)
{
	EXPECT_GT(every_death(self->op.m, do_create, only_the_named, &self->op, ALL, STRIDE), 50);
}

TEST_F(step, create_named)
{
	EXPECT_GT(every_death(self->op.m, do_create_named, only_the_named, &self->op, ALL, STRIDE),
		  50);
}

TEST_F(step, remove_name)
{
	struct op *op = &self->op;
	struct kipc_handle *h = bag_new(op->m, "name");

	ASSERT_EQ(0, kipc_handle_unref(h));
	EXPECT_GT(every_death(op->m, do_remove, only_the_named, op, ALL, STRIDE), 50);
}

static int do_handles(void *arg)
{
	struct op *op = arg;
	struct kipc_handle *h;

	if (__kipc_handle_dup(op->other, &h))
		return 1;
	return kipc_handle_unref(h);
}

static void still_one(void *arg)
{
	struct op *op = arg;

	ASSERT_EQ(1, op->other->hdr->refs);
}

TEST_F(step, handle_dup_and_unref)
{
	EXPECT_GT(every_death(self->op.m, do_handles, still_one, &self->op, ALL, STRIDE), 50);
}

TEST_HARNESS_MAIN
