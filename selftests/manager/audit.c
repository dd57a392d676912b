// SPDX-License-Identifier: MIT
/* The audit finds what is wrong: each kind of damage, done on purpose. */
#include "testkind.h"

FIXTURE(damage) {
	struct kipc_manager *m;
	struct kipc_handle *h, *other;
	struct bag *b;
	struct kipc_arena_report rep;
};

FIXTURE_SETUP(damage)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	self->h = bag_new(self->m, "bag");
	self->other = bag_new(self->m, NULL);
	self->b = bag_of(self->h);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, __kipc_arena_alloc(self->m, 100 << i * 6,
						off_of(self->m, &self->b->blocks[i])));
	ASSERT_EQ(0, __kipc_ref_take(self->m, self->other->off, self->other->id,
				     off_of(self->m, &self->b->refs[0])));
	AUDIT(self->m);
}

FIXTURE_TEARDOWN(damage)
{
	/* each test has mended what it broke */
	AUDIT(self->m);
	EXPECT_EQ(0, kipc_handle_unref(self->h));
	EXPECT_EQ(0, kipc_handle_unref(self->other));
	EXPECT_EQ(0, kipc_manager_remove(self->m, "bag"));
	AUDIT(self->m);
	kipc_manager_close(self->m);
}

static struct kipc_arena_report audit(struct kipc_manager *m)
{
	struct kipc_arena_report rep;

	EXPECT_EQ(1, __kipc_arena_audit(m, &rep));
	EXPECT_NE(0, strlen(rep.first));
	ksft_log("%s", rep.first);
	return rep;
}

TEST_F(damage, leaks)
{
	for (int i = 0; i < 3; i++) {
		uint64_t keep = self->b->blocks[i];

		self->b->blocks[i] = 0;
		EXPECT_EQ(1, audit(self->m).leaks);
		self->b->blocks[i] = keep;
	}
}

TEST_F(damage, two_owners)
{
	self->b->blocks[10] = self->b->blocks[1];
	EXPECT_EQ(1, audit(self->m).doubles);
	self->b->blocks[10] = 0;
}

TEST_F(damage, owner_of_nothing)
{
	self->b->blocks[10] = self->b->blocks[1] + 16;
	EXPECT_EQ(1, audit(self->m).wild);
	self->b->blocks[10] = ~0ULL;
	EXPECT_EQ(1, audit(self->m).wild);
	self->b->blocks[10] = 4096;
	EXPECT_EQ(1, audit(self->m).wild);
	self->b->blocks[10] = 0;
}

TEST_F(damage, counts)
{
	self->other->hdr->refs++;
	EXPECT_EQ(1, audit(self->m).bad_counts);
	self->other->hdr->refs--;
	self->b->refs[7] = self->other->off;
	EXPECT_EQ(1, audit(self->m).bad_counts);
	self->b->refs[7] = self->other->off + 64;
	EXPECT_EQ(1, audit(self->m).bad_refs);
	self->b->refs[7] = 0;
}

TEST_F(damage, slots)
{
	self->b->slots[3] = (struct kipc_slot){ 77, 0 };
	EXPECT_EQ(1, audit(self->m).bad_records);
	self->b->slots[3] = (struct kipc_slot){ KIPC_SLOT_REF | 99 << 16, self->other->off };
	EXPECT_EQ(1, audit(self->m).bad_refs);
	/* a string longer than its block */
	self->b->slots[3] = (struct kipc_slot){ KIPC_SLOT_STR | 1000 << 16, self->b->blocks[0] };
	self->b->blocks[0] = 0;
	EXPECT_EQ(1, audit(self->m).bad_records);
	self->b->blocks[0] = self->b->slots[3].payload;
	self->b->slots[3] = (struct kipc_slot){ 0, 0 };
}

TEST_F(damage, hints)
{
	struct kipc_span *d = &self->m->spans[self->b->blocks[0] >> KIPC_SPAN_SHIFT];
	uint32_t cls = KIPC_SPAN_CLASS(d->head), keep;

	d->nfree++;
	EXPECT_GE(audit(self->m).bad_hints, 1);
	d->nfree--;
	keep = self->m->hdr->partial[cls];
	self->m->hdr->partial[cls] = 0;
	EXPECT_GE(audit(self->m).bad_hints, 1);
	self->m->hdr->partial[cls] = keep;
	self->m->hdr->used++;
	EXPECT_GE(audit(self->m).bad_hints, 1);
	self->m->hdr->used--;
}

TEST_F(damage, spans)
{
	struct kipc_span *d = &self->m->spans[self->m->hdr->nspans - 1];
	uint64_t keep = d->head;

	EXPECT_EQ(KIPC_SPAN_FREE, KIPC_SPAN_STATE(keep));
	d->head = KIPC_SPAN_HEAD(KIPC_SPAN_LARGE, 0, 1);
	EXPECT_EQ(1, audit(self->m).leaks);
	d->head = KIPC_SPAN_HEAD(KIPC_SPAN_LARGE, 0, 1000);
	EXPECT_GE(audit(self->m).bad_records, 1);
	d->head = KIPC_SPAN_HEAD(KIPC_SPAN_SLAB, 200, 1);
	EXPECT_GE(audit(self->m).bad_records, 1);
	d->head = KIPC_SPAN_HEAD(KIPC_SPAN_CONT, 0, 5);
	EXPECT_GE(audit(self->m).bad_records, 1);
	d->head = keep;
}

TEST_F(damage, chains)
{
	uint64_t *head = (uint64_t *)&self->m->hdr->peers[self->m->obj.seg.slot];
	struct kipc_handle_table *t = __kipc_arena_ptr(self->m, *head);
	uint64_t keep = t->next;

	t->next = *head;	/* a circle: it ends, and is found */
	EXPECT_EQ(1, audit(self->m).doubles);
	t->next = keep;
}

TEST_HARNESS_MAIN
