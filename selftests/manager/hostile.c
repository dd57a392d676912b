// SPDX-License-Identifier: MIT
/*
 * A peer that writes nonsense into the arena's own structures: every operation returns, with an
 * error or without; nothing is read or written outside the segment (the sanitizers say), nothing
 * hangs.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "manager/repair.h"
#include "testkind.h"

struct world {
	struct kipc_manager *m;
	struct kipc_handle *bags[4];
	struct kipc_lock *lock;
	uint64_t nspans;	/* before anything was corrupted */
	unsigned int seed;
};

static void world_make(struct world *w, unsigned int seed)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 128 << 10, .max_size = 4 << 20);
	struct kipc_value v = kipc_str("a string that needs a block of its own"), ref;
	struct bag *b;

	w->seed = seed;
	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &w->m));
	w->nspans = w->m->hdr->nspans;
	w->bags[0] = bag_new(w->m, NULL);
	w->bags[1] = bag_new(w->m, "bcd");
	w->bags[2] = bag_new(w->m, NULL);
	w->bags[3] = bag_new(w->m, "d");
	ASSERT_EQ(0, kipc_lock_create(w->m, NULL, &w->lock));
	b = bag_of(w->bags[0]);
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(0, __kipc_arena_alloc(w->m, 20 << i, off_of(w->m, &b->blocks[i])));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, __kipc_ref_take(w->m, w->bags[i + 1]->off, w->bags[i + 1]->id,
					     off_of(w->m, &b->refs[i])));
	ref = kipc_ref(w->bags[1]);
	ASSERT_EQ(0, __kipc_slot_init(w->m, off_of(w->m, &b->slots[0]), &v));
	ASSERT_EQ(0, __kipc_slot_init(w->m, off_of(w->m, &b->slots[1]), &ref));
}

static uint64_t pick_value(struct world *w, uint64_t old)
{
	static const uint64_t odd[] = { 0, 1, 7, 8, 16, 4096, 65535, 65536, 1ULL << 20, 1ULL << 31,
					1ULL << 32, 1ULL << 40, 1ULL << 62, ~0ULL, ~7ULL };
	uint64_t r = (uint64_t)rand_r(&w->seed) << 31 | (uint64_t)rand_r(&w->seed);

	switch (rand_r(&w->seed) % 6) {
	case 0:
		return odd[r % ARRAY_SIZE(odd)];
	case 1:
		return old ^ 1ULL << r % 64;
	case 2:
		return old + r % 64 - 32;
	case 3:
		/* somewhere in the arena */
		return w->m->first_off + r % (w->nspans << 16) / 16 * 16;
	case 4:
		return r % 1024 | (r >> 20) << 32;
	}
	return r << (r % 40);
}

/* One word of a structure, but for the locks: a live owner may keep them for ever. */
static void corrupt(struct world *w)
{
	struct kipc_mgr_header *hdr = w->m->hdr;
	struct bag *b = bag_of(w->bags[rand_r(&w->seed) % 4]);
	uint64_t *p, at = (uint64_t)rand_r(&w->seed);

	switch (rand_r(&w->seed) % 7) {
	case 0:	/* counts, lists, the intent, the registry */
		p = (uint64_t *)((uint8_t *)hdr + 72 + at % (576 - 72) / 8 * 8);
		break;
	case 1:
		p = (uint64_t *)&hdr->partial[0] + at % (KIPC_CLASSES / 2);
		break;
	case 2:
		/* names, and behind them the handle tables of the first slots */
		p = (uint64_t *)((uint8_t *)hdr + offsetof(struct kipc_mgr_header, directory)) +
		    at % (KIPC_MGR_BUCKETS + w->m->obj.seg.slot + 1);
		break;
	case 3:
		p = (uint64_t *)(w->m->spans + w->m->first_span +
				 at % (w->nspans - w->m->first_span)) + (at >> 8) % 8;
		break;
	case 4:
		p = (uint64_t *)b + at % (sizeof(*b) / 8);
		break;
	case 5:	/* the blocks: handle tables, transactions, names, strings */
		p = __kipc_arena_ptr(w->m, w->m->first_off + at % (64 << 10) / 8 * 8);
		break;
	default:
		p = (uint64_t *)&b->head + at % 16;
		break;
	}
	*p = pick_value(w, *p);
	hdr->lock = 0;
	hdr->audit_lock = 0;
	for (int i = 0; i < 4; i++) {
		b = bag_of(w->bags[i]);
		b->head.guard.lock = b->more[0].lock = b->more[1].lock = 0;
	}
}

static void transact(struct world *w, struct bag *b)
{
	struct kipc_value v = kipc_str("another string that needs a block of its own");
	struct kipc_guard *g = rand_r(&w->seed) % 2 ? &b->head.guard : &b->more[0];
	struct kipc_slot s;
	struct kipc_tx *tx;

	if (__kipc_guard_lock(w->m, &b->head, g))
		return;
	if (!__kipc_tx_begin(w->m, g, &tx)) {
		if (!__kipc_slot_prepare(w->m, tx, &v, &s)) {
			__kipc_tx_slot(tx, off_of(w->m, &b->slots[2]), &s);
			__kipc_tx_drop_slot(tx, &b->slots[2]);
			__kipc_tx_commit(w->m, g, tx);
		} else {
			__kipc_tx_abort(w->m, g, tx);
		}
	}
	__kipc_guard_unlock(w->m, g);
}

static void operate(struct world *w)
{
	struct bag *b = bag_of(w->bags[rand_r(&w->seed) % 4]);
	int i = rand_r(&w->seed) % 16;
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_arena_report rep;
	struct kipc_handle *h;
	struct kipc_value v;
	struct kipc_raw raw;

	switch (rand_r(&w->seed) % 12) {
	case 0:
	case 1:
		__kipc_arena_alloc(w->m, 1 + (uint64_t)rand_r(&w->seed) % 100000,
				   off_of(w->m, &b->blocks[i]));
		break;
	case 2:
		__kipc_arena_free(w->m, off_of(w->m, &b->blocks[i]));
		break;
	case 3:
		__kipc_ref_drop(w->m, off_of(w->m, &b->refs[i]));
		break;
	case 4:
		h = w->bags[i % 4];
		__kipc_ref_take(w->m, h->off, h->id, off_of(w->m, &b->refs[i]));
		break;
	case 5:
		if (!__kipc_object_create(w->m, i % 2 ? "new" : NULL, &bag_type, NULL, &h))
			kipc_handle_unref(h);
		break;
	case 6:
		if (!__kipc_object_open(w->m, "bcd", &bag_type, &h))
			kipc_handle_unref(h);
		break;
	case 7:
		kipc_manager_remove(w->m, i % 2 ? "new" : "d");
		break;
	case 8:
		transact(w, b);
		break;
	case 9:
		if (!__kipc_slot_read(w->m, &b->slots[i % 4], &raw)) {
			if (!__kipc_raw_value(w->m, &raw, &v))
				kipc_value_clear(&v);
			else
				__kipc_raw_drop(&raw);
		}
		break;
	case 10:
		kipc_manager_stat(w->m, &st);
		/* as if another peer had died: what its slot holds is nonsense as well */
		__kipc_manager_repair(&w->m->obj.seg, 2);
		break;
	case 11:
		__kipc_arena_audit(w->m, &rep);
		break;
	}
	if (kipc_lock_acquire(w->lock, KIPC_NOWAIT) == 0)
		kipc_lock_release(w->lock);
}

static int run(void *arg)
{
	uint32_t *seed = arg;

	for (int n = 0; n < 50; n++, ++*seed) {
		struct world w;

		world_make(&w, *seed * 2654435761u + 1);
		for (int i = 0; i < 40; i++) {
			if (i % 10 == 0)
				corrupt(&w);
			operate(&w);
		}
		for (int i = 0; i < 4; i++)
			kipc_handle_unref(w.bags[i]);
		kipc_lock_unref(w.lock);
		kipc_manager_close(w.m);
	}
	return 0;
}

TEST_TIMEOUT(nonsense, 60)
{
	uint32_t *seed = ksft_shared(4096), seeds = ksft_slow() ? 200 : 600;

	if (getenv("KSFT_SEED")) {
		*seed = (uint32_t)atoi(getenv("KSFT_SEED"));
		run(seed);
		return;
	}
	while (*seed < seeds) {
		pid_t pid = ksft_fork(run, seed);
		int status = ksft_wait(pid);

		if (!EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
			ksft_log("seed %u, status %#x: KSFT_SEED=%u runs it alone", *seed, status, *seed);
			break;
		}
	}
	EXPECT_GE(*seed, seeds);
}

TEST_HARNESS_MAIN
