// SPDX-License-Identifier: MIT
/* Each thing that can't be in a manager, planted and found. */
#include "check_test.h"
#include "manager/arena.h"
#include "manager/dict.h"
#include "manager/list.h"
#include "manager/tx.h"

FIXTURE(manager) {
	struct kipc_object *obj;
	struct kipc_manager *m;
	struct kipc_mgr_header *hdr;
	struct kipc_list *list;
	struct kipc_dict *dict;
	struct kipc_lock *lock;
	struct kipc_guard *g;		/* of the list */
};

FIXTURE_SETUP(manager)
{
	static char text[40000];

	self->obj = make_object(MANAGER);
	ASSERT_TRUE(self->obj);
	self->m = kipc_object_manager(self->obj);
	self->hdr = self->m->hdr;
	memset(text, 'x', sizeof(text));
	ASSERT_EQ(0, kipc_list_create(self->m, "list", &self->list));
	ASSERT_EQ(0, kipc_dict_create(self->m, "dict", &self->dict));
	ASSERT_EQ(0, kipc_lock_create(self->m, "lock", &self->lock));
	self->g = &((struct kipc_handle *)kipc_list_handle(self->list))->hdr->guard;
	for (int i = 0; i < 600; i++) {
		ASSERT_EQ(0, kipc_list_append(self->list, i % 50 ? kipc_int(i) :
								   kipc_bytes(text, 100 + i * 60)));
		ASSERT_EQ(0, kipc_dict_set(self->dict, kipc_int(i), kipc_bytes(text, i)));
	}
	ASSERT_EQ(0, kipc_list_insert(self->list, 3, kipc_ref(kipc_lock_handle(self->lock))));
	ASSERT_EQ(0, kipc_dict_set(self->dict, kipc_str("ref"),
				   kipc_ref(kipc_list_handle(self->list))));
	check_clean(self->obj, KIPC_CHECK_IDLE);
}

FIXTURE_TEARDOWN(manager)
{
	check_clean(self->obj, KIPC_CHECK_IDLE);
	kipc_lock_unref(self->lock);
	kipc_dict_unref(self->dict);
	kipc_list_unref(self->list);
	kipc_manager_remove(self->m, "dict");
	check_clean(self->obj, KIPC_CHECK_IDLE);
	kipc_manager_close(self->m);
}

#define DAMAGE(word, value, code, words) damage(self->obj, word, value, KIPC_FINDING_##code, words)

TEST_F(manager, blocks)
{
	uint64_t word = __kipc_arena_off(self->m, &self->hdr->reserved1[0]);
	struct kipc_span *d = &self->m->spans[self->m->first_span];
	uint32_t nfree = d->nfree;

	/* nothing looks for blocks in that word */
	ASSERT_EQ(0, __kipc_arena_alloc(self->m, 100, word));
	expect_found(self->obj, KIPC_FINDING_LEAK, "nothing owns the block at");
	ASSERT_EQ(0, __kipc_arena_free(self->m, word));
	ASSERT_EQ(0, __kipc_arena_alloc(self->m, 200000, word));
	expect_found(self->obj, KIPC_FINDING_LEAK, "(4 spans)");
	ASSERT_EQ(0, __kipc_arena_free(self->m, word));
	DAMAGE(self->hdr->registry[1], self->hdr->registry[0], DOUBLE, "as another does");
	DAMAGE(self->hdr->registry[3], 0x12345678, WILD, "which is no block");
	DAMAGE(self->hdr->dir_new, 8, RECORD, "left open");
	DAMAGE(self->hdr->used, 12, HINT, "counted");
	DAMAGE(d->nfree, nfree + 1, HINT, "blocks counted free");
	DAMAGE(d->head, 9, RECORD, "a span that makes no sense");
	DAMAGE(self->hdr->partial[0], 7, HINT, "list of class 0");
}

TEST_F(manager, objects)
{
	struct kipc_obj_header *o = kipc_lock_handle(self->lock)->hdr;
	struct kipc_dir_entry *e = __kipc_arena_ptr(self->m, o->name);

	ASSERT_STREQ("lock", e->name);
	DAMAGE(o->refs, o->refs + 1, COUNT, "references are counted");
	DAMAGE(e->obj, o->name, REF, "no such object");
	DAMAGE(o->id, o->id + 7, REF, "no such object");
	DAMAGE(o->entry, 200, RECORD, "an object that is none");
	DAMAGE(o->kind, 13, RECORD, "an object that is none");
	DAMAGE(self->hdr->zombies, __kipc_arena_off(self->m, o), RECORD,
	       "is to be destroyed, but is no object without references");
	DAMAGE(self->hdr->objects, 1, HINT, "counted");
}

TEST_F(manager, locks)
{
	struct kipc_obj_header *o = kipc_lock_handle(self->lock)->hdr;

	DAMAGE(o->guard.lock, 100, CLAIM, "lock 3 is held by slot 100, which is free");
	DAMAGE(o->guard.lock, 1u << 25, LOCK, "lock 3: 0x2000000 is no lock word");
	DAMAGE(self->g->lock, 100, CLAIM, "list 1 is held by slot 100, which is free");
	DAMAGE(self->hdr->lock, 100, CLAIM, "the arena's lock is held by slot 100");
	DAMAGE(self->hdr->audit_lock, 100, CLAIM, "the auditors' lock is held by slot 100");
	DAMAGE(self->hdr->peers[77], self->hdr->peers[1], CLAIM,
	       "slot 77 has a table of handles, but is free");
	DAMAGE(self->hdr->peers[0], self->hdr->peers[1], CLAIM,
	       "slot 0 has a table of handles, but is free");
}

TEST_F(manager, half_made)
{
	DAMAGE(self->hdr->intent.op, KIPC_INTENT_WRITES, RECORD,
	       "the arena's lock: a change was left half-made, but nobody holds it or died with it");
	DAMAGE(self->g->state, KIPC_TX_OPEN, RECORD, "list 1: a change was left half-made");
	DAMAGE(self->g->state, 7, STATE, "list 1: a transaction of state 7");
	DAMAGE(self->g->seq, self->g->seq | 1, RECORD, "list 1: a change was left half-made");
}

TEST_F(manager, list)
{
	DAMAGE(self->g->data[KIPC_LIST_LEN], 5000, RECORD, "a list is longer than its directory");
	DAMAGE(self->g->data[KIPC_LIST_LEN], ~0ULL, RECORD, "a list's length can't be");
	DAMAGE(self->g->data[KIPC_LIST_DIR], 0, RECORD, "a list has elements but no directory");
	DAMAGE(self->g->data[KIPC_LIST_FILL], 700, RECORD, "neither in it nor free");
	DAMAGE(self->g->data[KIPC_LIST_OP], KIPC_LIST_OP(KIPC_LIST_OP_INSERT, 5), RECORD,
	       "a list's insert or removal was left open");
}

/* The first stripe and bucket with two entries at least. */
static struct kipc_dict_bucket *crowded(struct kipc_dict_shared *s, uint32_t *stripe)
{
	for (*stripe = 0; *stripe < KIPC_DICT_STRIPES; (*stripe)++)
		if (s->stripes[*stripe].first.cells[0] && s->stripes[*stripe].first.cells[1])
			return &s->stripes[*stripe].first;
	ASSERT_TRUE(false);
	return NULL;
}

TEST_F(manager, dict)
{
	struct kipc_dict_shared *s = __kipc_dict_shared(self->dict);
	struct kipc_dict_bucket *b;
	struct kipc_dict_entry *e[2];
	uint64_t cells[2];
	uint32_t i;

	b = crowded(s, &i);
	for (int j = 0; j < 2; j++) {
		cells[j] = b->cells[j];
		e[j] = __kipc_arena_ptr(self->m, cells[j] & KIPC_DICT_CELL_OFF);
	}
	DAMAGE(s->guards[i].data[KIPC_DICT_COUNT], 1, RECORD, "a dict's number of keys is wrong");
	DAMAGE(s->guards[i].data[KIPC_DICT_NEW], 64, RECORD, "a dict's change was left open");
	DAMAGE(s->stripes[i].shape, 0, RECORD, "a dict's number of buckets can't be");
	DAMAGE(s->stripes[i].shape, s->stripes[i].shape * 16, RECORD, "");
	DAMAGE(e[0]->hash, e[0]->hash ^ 2, RECORD, "has not the hash of its key");
	DAMAGE(e[0]->data[0], e[0]->data[0] ^ 1, RECORD, "has not the hash of its key");
	DAMAGE(e[0]->meta, e[0]->meta | 0xfffffULL << 32, RECORD, "longer than its block");
	DAMAGE(e[0]->meta, e[0]->meta ^ 7, RECORD, "of no type that keys have");
	DAMAGE(b->cells[0], cells[0] ^ 1ULL << 60, RECORD, "a dict's cell has a wrong tag");
	DAMAGE(b->cells[0], 0, LEAK, "nothing owns the block");
	DAMAGE(b->cells[0], cells[1], DOUBLE, "as another does");
	/* where it stands nobody will find it */
	b->cells[0] = 0;
	for (uint32_t other = 0; other < KIPC_DICT_STRIPES; other++) {
		__u64 *cell = &s->stripes[other].first.cells[0];

		if (other != i && *cell) {
			uint64_t old = *cell;

			*cell = cells[0];
			b->cells[0] = old;
			expect_found(self->obj, KIPC_FINDING_RECORD, "stands in a wrong stripe");
			*cell = old;
			break;
		}
	}
	b->cells[0] = cells[0];
}

TEST_F(manager, a_key_twice)
{
	struct kipc_dict_shared *s = __kipc_dict_shared(self->dict);
	struct kipc_dict_entry *e[2];
	struct kipc_dict_bucket *b;
	uint64_t cells[2];
	char old[sizeof(*e[0]) + 8];
	uint32_t i;

	b = crowded(s, &i);
	for (int j = 0; j < 2; j++) {
		cells[j] = b->cells[j];
		e[j] = __kipc_arena_ptr(self->m, cells[j] & KIPC_DICT_CELL_OFF);
	}
	/* the second becomes a copy of the first in all that makes the key */
	memcpy(old, e[1], sizeof(old));
	e[1]->hash = e[0]->hash;
	e[1]->meta = (e[0]->meta & 0xffffffff & ~(7ULL << 3)) | (uint64_t)KIPC_SLOT_NONE << 3;
	memcpy(e[1]->data, e[0]->data, 8);
	b->cells[1] = __kipc_dict_cell(e[0]->hash, cells[1] & KIPC_DICT_CELL_OFF);
	expect_found(self->obj, KIPC_FINDING_RECORD, "a dict has a key twice");
	b->cells[1] = cells[1];
	memcpy(e[1], old, sizeof(old));
}

TEST_F(manager, geometry)
{
	struct kipc_mgr_header *h = self->hdr;

	DAMAGE(h->nspans, 1ULL << 40, GEOMETRY, "manager: 1099511627776 spans, but the file has");
	DAMAGE(h->nspans, 0, GEOMETRY, "manager: ");
	DAMAGE(h->nspans, h->first_span - 1, GEOMETRY, "this isn't the geometry");
	DAMAGE(h->table_off, 64, GEOMETRY, "this isn't the geometry");
	DAMAGE(h->max_spans, 64, GEOMETRY, "this isn't the geometry");
	DAMAGE(h->first_span, 64, GEOMETRY, "this isn't the geometry");
	DAMAGE(h->nclasses, 64, GEOMETRY, "this isn't the geometry");
}

TEST_F(manager, in_flight)
{
	struct findings all = { .n = 0 };

	KIPC_OPTS(kipc_report, r, .flags = KIPC_CHECK_IDLE, .found = collect, .arg = &all);

	ASSERT_EQ(0, kipc_lock_acquire(self->lock, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(1, r.in_flight);
	EXPECT_TRUE(strstr(all.text, "in flight: lock 3 is held by slot 1"));
	r.flags |= KIPC_CHECK_SETTLE;
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(1, r.in_flight);
	ASSERT_EQ(0, kipc_lock_release(self->lock));
	/* somebody in the middle of a change: what he made isn't judged */
	all.text[0] = '\0';
	r.flags = 0;
	self->hdr->lock = self->obj->seg.slot;
	self->hdr->used += 100;
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(2, r.in_flight);
	EXPECT_TRUE(strstr(all.text, "a change is half-made: 1 findings in the arena aren't judged"));
	self->hdr->used -= 100;
	self->hdr->lock = 0;
}

TEST_HARNESS_MAIN
