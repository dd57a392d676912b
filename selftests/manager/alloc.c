// SPDX-License-Identifier: MIT
/* The allocator: sizes, alignment, reuse, growth, exhaustion, and a random walk against a model. */
#include <sys/resource.h>

#include "testkind.h"

FIXTURE(arena) {
	struct kipc_manager *m;
	struct kipc_handle *h;
	struct bag *b;
};

FIXTURE_SETUP(arena)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	self->h = bag_new(self->m, NULL);
	self->b = bag_of(self->h);
}

FIXTURE_TEARDOWN(arena)
{
	AUDIT(self->m);
	EXPECT_EQ(0, kipc_handle_unref(self->h));
	kipc_manager_close(self->m);
}

static uint64_t word(struct kipc_manager *m, struct bag *b, int i)
{
	return off_of(m, &b->blocks[i]);
}

TEST(classes_waste_an_eighth_at_most)
{
	for (uint64_t size = 1; size <= KIPC_CLASS_MAX; size++) {
		uint32_t cls = __kipc_class_of(size);

		ASSERT_LT(cls, (uint32_t)KIPC_CLASSES);
		ASSERT_GE(__kipc_classes[cls].size, size);
		if (cls)
			ASSERT_LT(__kipc_classes[cls - 1].size, size);
		if (size > 128)
			ASSERT_LE(__kipc_classes[cls].size - size, size / 8);
		ASSERT_EQ(__kipc_classes[cls].size, __kipc_arena_round(size));
	}
	for (uint32_t i = 0; i < KIPC_CLASSES; i++) {
		const struct kipc_class *c = &__kipc_classes[i];
		uint64_t bytes = (uint64_t)c->spans << KIPC_SPAN_SHIFT;

		EXPECT_LE(c->first + (uint64_t)c->cap * c->size, bytes);
		EXPECT_GE(c->first + (uint64_t)c->cap * c->size, bytes - bytes / 8);
		EXPECT_GE(c->cap, 7);
		EXPECT_EQ((c->cap + 63) / 64, c->words);
		EXPECT_TRUE(c->inside ? c->first >= c->words * 8 : c->words <= KIPC_SPAN_MAP);
		/* every index is found again by the reciprocal */
		for (uint32_t j = 0; j < c->cap; j++)
			ASSERT_EQ(j, (uint64_t)(j * c->size) * c->recip >> 32);
	}
	EXPECT_EQ(KIPC_SPAN_SIZE, __kipc_arena_round(KIPC_CLASS_MAX + 1));
	EXPECT_EQ(2 * KIPC_SPAN_SIZE, __kipc_arena_round(KIPC_SPAN_SIZE + 1));
}

TEST_F(arena, every_size)
{
	static const uint64_t sizes[] = { 1, 8, 15, 16, 17, 64, 100, 128, 129, 1000, 4096, 8192, 8193,
					  32768, 32769, 65536, 65537, 1 << 20, 5 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t off;

		ASSERT_EQ(0, __kipc_arena_alloc(self->m, sizes[i], word(self->m, self->b, (int)i)));
		off = self->b->blocks[i];
		EXPECT_EQ(0, off % 16);
		if (sizes[i] % 64 == 0)
			EXPECT_EQ(0, off % 64);
		EXPECT_EQ(__kipc_arena_round(sizes[i]), __kipc_arena_block_size(self->m, off));
		memset(__kipc_arena_ptr(self->m, off), (int)i, sizes[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const unsigned char *p = __kipc_arena_ptr(self->m, self->b->blocks[i]);

		EXPECT_EQ(i, p[0]);
		EXPECT_EQ(i, p[sizes[i] - 1]);
	}
	AUDIT(self->m);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(0, __kipc_arena_free(self->m, word(self->m, self->b, (int)i)));
		EXPECT_EQ(0, self->b->blocks[i]);
	}
}

TEST_F(arena, zalloc_zeroes_what_was_used)
{
	for (uint64_t size = 48; size < 300000; size *= 5) {
		const unsigned char *p;
		uint64_t off;

		ASSERT_EQ(0, __kipc_arena_alloc(self->m, size, word(self->m, self->b, 0)));
		off = self->b->blocks[0];
		memset(__kipc_arena_ptr(self->m, off), 0xff, size);
		ASSERT_EQ(0, __kipc_arena_free(self->m, word(self->m, self->b, 0)));
		ASSERT_EQ(0, __kipc_arena_zalloc(self->m, size, word(self->m, self->b, 0)));
		EXPECT_EQ(off, self->b->blocks[0]);	/* the first free one is the same again */
		p = __kipc_arena_ptr(self->m, off);
		for (uint64_t i = 0; i < size; i++)
			ASSERT_EQ(0, p[i]);
		ASSERT_EQ(0, __kipc_arena_free(self->m, word(self->m, self->b, 0)));
	}
}

TEST_F(arena, misuse_is_refused)
{
	uint64_t w = word(self->m, self->b, 0), keep;

	EXPECT_EQ(-EINVAL, __kipc_arena_alloc(self->m, 0, w));
	EXPECT_EQ(-ENOMEM, __kipc_arena_alloc(self->m, 1ULL << 50, w));
	EXPECT_EQ(-ENOMEM, __kipc_arena_alloc(self->m, UINT64_MAX, w));
	EXPECT_EQ(0, __kipc_arena_free(self->m, w));	/* 0: it was done before */
	ASSERT_EQ(0, __kipc_arena_alloc(self->m, 100, w));
	EXPECT_EQ(-EPROTO, __kipc_arena_alloc(self->m, 100, w));
	keep = self->b->blocks[0];
	/* in the middle of a block, a free one, nowhere */
	self->b->blocks[0] = keep + 16;
	EXPECT_EQ(-EPROTO, __kipc_arena_free(self->m, w));
	self->b->blocks[0] = keep + __kipc_arena_round(100);
	EXPECT_EQ(-EPROTO, __kipc_arena_free(self->m, w));
	for (uint64_t off = 3; off < 1ULL << 63; off = off * 3 + 1) {
		self->b->blocks[0] = off;
		EXPECT_EQ(-EPROTO, __kipc_arena_free(self->m, w));
	}
	self->b->blocks[0] = keep;
	EXPECT_EQ(0, __kipc_arena_free(self->m, w));
	self->b->blocks[0] = keep;
	EXPECT_EQ(-EPROTO, __kipc_arena_free(self->m, w));	/* twice */
	self->b->blocks[0] = 0;
}

TEST_F(arena, spans_go_back)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) }, now = { .sz = sizeof(now) };
	uint64_t *offs = calloc(5000, sizeof(*offs)), root = word(self->m, self->b, 0);

	ASSERT_TRUE(offs);
	ASSERT_EQ(0, kipc_manager_stat(self->m, &st));
	/* a chain: each block's first word owns the next */
	for (uint64_t size = 48; size < 40000; size *= 3) {
		uint64_t w = root;

		for (int i = 0; i < 500; i++) {
			ASSERT_EQ(0, __kipc_arena_zalloc(self->m, size, w));
			offs[i] = w;
			w = *__kipc_arena_word(self->m, w);
		}
		for (int i = 500; i-- > 0;)
			ASSERT_EQ(0, __kipc_arena_free(self->m, offs[i]));
	}
	ASSERT_EQ(0, kipc_manager_stat(self->m, &now));
	EXPECT_EQ(st.used, now.used);
	EXPECT_EQ(st.blocks, now.blocks);
	/* at most one empty slab a class is kept */
	EXPECT_GE(now.free_spans + 5 * 4, st.free_spans + (now.spans - st.spans));
	free(offs);
}

TEST(full)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 1 << 20, .max_size = 4 << 20);
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_manager *m;
	struct kipc_handle *h;
	struct bag *b;
	int n = 0, r;

	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &m));
	h = bag_new(m, NULL);
	b = bag_of(h);
	for (int round = 0; round < 3; round++) {
		for (n = 0; n < BAG_BLOCKS; n++) {
			r = __kipc_arena_alloc(m, 100000, off_of(m, &b->blocks[n]));
			if (r)
				break;
			memset(__kipc_arena_ptr(m, b->blocks[n]), 1, 100000);
		}
		ASSERT_EQ(-ENOMEM, r);
		EXPECT_GE(n, 28);
		EXPECT_LE(n, 32);
		EXPECT_EQ(0, b->blocks[n]);
		ASSERT_EQ(0, kipc_manager_stat(m, &st));
		EXPECT_EQ(4 << 20, st.max_size);
		EXPECT_LE(st.size, st.max_size);
		AUDIT(m);
		/* every second one: no run is long enough for two */
		for (int i = 0; i < n; i += 2)
			ASSERT_EQ(0, __kipc_arena_free(m, off_of(m, &b->blocks[i])));
		EXPECT_EQ(-ENOMEM, __kipc_arena_alloc(m, 600000, off_of(m, &b->blocks[0])));
		for (int i = 1; i < n; i += 2)
			ASSERT_EQ(0, __kipc_arena_free(m, off_of(m, &b->blocks[i])));
		EXPECT_EQ(0, __kipc_arena_alloc(m, 2000000, off_of(m, &b->blocks[0])));
		EXPECT_EQ(0, __kipc_arena_free(m, off_of(m, &b->blocks[0])));
	}
	EXPECT_EQ(0, kipc_handle_unref(h));
	kipc_manager_close(m);
}

/* A process that holds most of a small arena and dies. */
static int take_most(void *arg)
{
	struct kipc_manager *m = arg;
	struct kipc_handle *h = bag_new(m, NULL);
	int r = __kipc_arena_alloc(m, 3 << 20, off_of(m, &bag_of(h)->blocks[0]));

	return r;
}

TEST(room_of_the_dead)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 1 << 20, .max_size = 4 << 20);
	struct kipc_manager *m;
	struct kipc_handle *h;

	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &m));
	h = bag_new(m, NULL);
	for (int i = 0; i < 3; i++) {
		/* nobody waits for a lock, nobody looks: it is found when the room is needed */
		ksft_join(ksft_fork(take_most, m));
		ASSERT_EQ(0, __kipc_arena_alloc(m, 3 << 20, off_of(m, &bag_of(h)->blocks[0])));
		ASSERT_EQ(0, __kipc_arena_free(m, off_of(m, &bag_of(h)->blocks[0])));
	}
	AUDIT(m);
	EXPECT_EQ(0, kipc_handle_unref(h));
	kipc_manager_close(m);
}

/* Blocks of many sizes, filled with a pattern, freed and made in random order. */
static void random_walk(struct kipc_manager *m, struct bag *b, int first, int n, int steps,
			unsigned int seed)
{
	uint64_t sizes[BAG_BLOCKS] = { 0 };

	for (int step = 0; step < steps; step++) {
		int i = first + rand_r(&seed) % n;
		uint64_t w = off_of(m, &b->blocks[i]);
		unsigned char *p;

		if (b->blocks[i]) {
			p = __kipc_arena_ptr(m, b->blocks[i]);
			ASSERT_EQ((unsigned char)i, p[0]);
			ASSERT_EQ((unsigned char)i, p[sizes[i] / 2]);
			ASSERT_EQ((unsigned char)i, p[sizes[i] - 1]);
			ASSERT_EQ(0, __kipc_arena_free(m, w));
			continue;
		}
		sizes[i] = 1 + (uint64_t)rand_r(&seed) % (1u << (1 + rand_r(&seed) % 18));
		ASSERT_EQ(0, __kipc_arena_alloc(m, sizes[i], w));
		p = __kipc_arena_ptr(m, b->blocks[i]);
		p[0] = p[sizes[i] / 2] = p[sizes[i] - 1] = (unsigned char)i;
	}
	for (int i = first; i < first + n; i += 2)
		ASSERT_EQ(0, __kipc_arena_free(m, off_of(m, &b->blocks[i])));
}

TEST_F(arena, random_walk)
{
	for (unsigned int seed = 1; seed <= 10; seed++) {
		random_walk(self->m, self->b, 0, BAG_BLOCKS, 5000, seed);
		if (!AUDIT(self->m))
			break;
		for (int i = 0; i < BAG_BLOCKS; i++)
			ASSERT_EQ(0, __kipc_arena_free(self->m, word(self->m, self->b, i)));
	}
}

struct walker {
	struct kipc_manager *m;
	struct bag *b;
	int first;
};

static int walk(void *arg)
{
	struct walker *w = arg;

	/* a child of fork says so by its first use of the manager */
	if (__kipc_peer_enter(&w->m->obj.seg))
		return 1;
	random_walk(w->m, w->b, w->first, BAG_BLOCKS / 4, 10000, (unsigned int)w->first + 7);
	return 0;
}

FIXTURE(peers) {
	struct kipc_manager *m;
	struct kipc_handle *h;
};
FIXTURE_VARIANT(peers) {
	enum ksft_peer_kind kind;
};
FIXTURE_VARIANT_ADD(peers, threads) { .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(peers, processes) { .kind = KSFT_PROCESS };
FIXTURE_SETUP(peers)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	self->h = bag_new(self->m, NULL);
}
FIXTURE_TEARDOWN(peers)
{
	EXPECT_EQ(0, kipc_handle_unref(self->h));
	kipc_manager_close(self->m);
}

TEST_F(peers, walk_side_by_side)
{
	struct walker w[4];
	struct ksft_peer p[4];

	for (int i = 0; i < 4; i++) {
		w[i] = (struct walker){ self->m, bag_of(self->h), i * BAG_BLOCKS / 4 };
		ksft_peer_start(&p[i], variant->kind, walk, &w[i]);
	}
	for (int i = 0; i < 4; i++)
		ksft_peer_join(&p[i]);
	AUDIT(self->m);
}

TEST_HARNESS_MAIN
