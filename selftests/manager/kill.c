// SPDX-License-Identifier: MIT
/*
 * SIGKILL in a loop: workers allocate, free, refer, make and name objects, change things by
 * transactions and hold locks; one after the other is killed at a random moment and replaced.  The
 * others go on, nothing is leaked, nothing miscounted, no change is seen by half.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testkind.h"

#define WORKERS	3
#define SHARE	(BAG_BLOCKS / 4)

struct shared {
	uint64_t ops[WORKERS];		/* done by each worker */
	uint64_t entered, left;		/* under the user's lock */
	uint64_t died;			/* -EOWNERDEAD answers */
	uint32_t trouble;
};

struct worker {
	struct kipc_manager *m;
	struct kipc_handle *bag, *other;
	struct kipc_lock *lock;
	struct shared *sh;
	int index;
	unsigned int seed;
};

FIXTURE(kill) {
	struct worker w;
};

FIXTURE_SETUP(kill)
{
	struct worker *w = &self->w;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &w->m));
	w->bag = bag_new(w->m, NULL);
	w->other = bag_new(w->m, NULL);
	ASSERT_EQ(0, kipc_lock_create(w->m, "lock", &w->lock));
	w->sh = ksft_shared(sizeof(*w->sh));
}

FIXTURE_TEARDOWN(kill)
{
	struct worker *w = &self->w;

	AUDIT(w->m);
	EXPECT_EQ(0, kipc_handle_unref(w->bag));
	EXPECT_EQ(0, kipc_handle_unref(w->other));
	EXPECT_EQ(0, kipc_lock_unref(w->lock));
	EXPECT_EQ(1, w->m->hdr->objects);	/* the name keeps the lock */
	EXPECT_EQ(0, kipc_manager_remove(w->m, "lock"));
	EXPECT_EQ(0, w->m->hdr->objects);
	AUDIT(w->m);
	kipc_manager_close(w->m);
}

static int blocks(struct worker *w)
{
	struct bag *b = bag_of(w->bag);
	int i = w->index * SHARE + rand_r(&w->seed) % SHARE;
	uint64_t word = off_of(w->m, &b->blocks[i]);

	if (b->blocks[i])
		return __kipc_arena_free(w->m, word);
	return __kipc_arena_alloc(w->m, 1 + (uint64_t)rand_r(&w->seed) % 3000 *
					    (rand_r(&w->seed) % 50 ? 1 : 100), word);
}

static int refs(struct worker *w)
{
	struct bag *b = bag_of(w->bag);
	int i = w->index * 8 + rand_r(&w->seed) % 8;
	uint64_t word = off_of(w->m, &b->refs[i]);

	if (b->refs[i])
		return __kipc_ref_drop(w->m, word);
	return __kipc_ref_take(w->m, w->other->off, w->other->id, word);
}

/* An object with something in it, named half of the time by a name that all use. */
static int objects(struct worker *w)
{
	const char *name = rand_r(&w->seed) % 2 ? "shared" : NULL;
	struct kipc_handle *h;
	int r;

	r = __kipc_object_create(w->m, name, &bag_type, NULL, &h);
	if (r == -EEXIST) {
		r = kipc_manager_remove(w->m, "shared");
		return r == -ENOENT ? 0 : r;
	}
	if (r)
		return r;
	for (int i = 0; i < 3 && !r; i++)
		r = __kipc_arena_alloc(w->m, 200, off_of(w->m, &bag_of(h)->blocks[i]));
	if (!r)
		r = __kipc_ref_take(w->m, w->other->off, w->other->id,
				    off_of(w->m, &bag_of(h)->refs[0]));
	return kipc_handle_unref(h) ? -EPROTO : r;
}

/* All eight numbers and the string change together. */
static int change(struct worker *w)
{
	struct bag *b = bag_of(w->bag);
	struct kipc_guard *g = &b->more[0];
	struct kipc_value v;
	struct kipc_slot s;
	struct kipc_tx *tx;
	uint64_t number;
	char text[64];
	int r;

	r = __kipc_guard_lock(w->m, &b->head, g);
	if (r)
		return r;
	number = b->numbers[0];
	for (int i = 1; i < 8; i++)
		if (b->numbers[i] != number)
			r = -EPROTO;
	if (!r)
		r = __kipc_tx_begin(w->m, g, &tx);
	if (r)
		goto out;
	snprintf(text, sizeof(text), "%060llu", (unsigned long long)++number);
	v = kipc_str(text);
	r = __kipc_slot_prepare(w->m, tx, &v, &s);
	if (r || rand_r(&w->seed) % 8 == 0) {
		__kipc_tx_abort(w->m, g, tx);
		goto out;
	}
	__kipc_tx_slot(tx, off_of(w->m, &b->slots[0]), &s);
	__kipc_tx_drop_slot(tx, &b->slots[0]);
	for (int i = 0; i < 8; i++)
		__kipc_tx_write(tx, off_of(w->m, &b->numbers[i]), number);
	r = __kipc_tx_commit(w->m, g, tx);
out:
	__kipc_guard_unlock(w->m, g);
	return r;
}

/* Whoever is told that the last owner died, finds entered == left or one more, and mends it. */
static int locked(struct worker *w)
{
	struct shared *sh = w->sh;
	int r = kipc_lock_acquire(w->lock, KIPC_FOREVER);

	if (r == -EOWNERDEAD) {
		sh->died++;
		if (sh->entered - sh->left > 1)
			return -EPROTO;
		sh->left = sh->entered;
	} else if (r || sh->entered != sh->left) {
		return -EPROTO;
	}
	store_relaxed(&sh->entered, sh->entered + 1);
	for (int i = 0; i < 20; i++)
		cpu_relax();
	store_relaxed(&sh->left, sh->left + 1);
	return kipc_lock_release(w->lock);
}

static int work(void *arg)
{
	static int (*const what[])(struct worker *) = { blocks, refs, objects, change, locked };
	struct worker *w = arg;

	for (;;) {
		int i = rand_r(&w->seed) % (int)ARRAY_SIZE(what), r = what[i](w);

		if (r) {
			ksft_log("worker %d: operation %d says %d", w->index, i, r);
			store_relaxed(&w->sh->trouble, 1);
			return 1;
		}
		store_relaxed(&w->sh->ops[w->index], w->sh->ops[w->index] + 1);
	}
}

static pid_t start(struct worker *w, int index, unsigned int seed)
{
	struct worker mine = *w;

	mine.index = index;
	mine.seed = seed;
	return ksft_fork(work, &mine);
}

/* Somebody gets somewhere: within the time that a take-over may need, and then some. */
static bool progress(struct shared *sh, int index, uint64_t more)
{
	uint64_t goal = load_relaxed(&sh->ops[index]) + more;

	return ksft_wait_for(load_relaxed(&sh->ops[index]) >= goal ||
			     load_relaxed(&sh->trouble), 10000);
}

TEST_F_TIMEOUT(kill, workers, 60)
{
	struct worker *w = &self->w;
	int kills = ksft_slow() ? 60 : 240;
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	pid_t pids[WORKERS];
	unsigned int seed = 1;

	for (int i = 0; i < WORKERS; i++)
		pids[i] = start(w, i, (unsigned int)i + 1);
	for (int k = 0; k < kills; k++) {
		int victim = k % WORKERS;

		/* the moment: some operations on, and some cycles into the next one */
		if (!EXPECT_TRUE(progress(w->sh, victim, 1 + (uint64_t)rand_r(&seed) % 50)))
			break;
		for (int i = rand_r(&seed) % 100; i > 0; i--)
			cpu_relax();
		ksft_kill(pids[victim]);
		/* found dead by those who wait for it, or by one who looks */
		if (k % 4)
			__kipc_peer_sweep(&w->m->obj.seg, 0);
		pids[victim] = start(w, victim, (unsigned int)k + 1000);
		if (k % 25 == 0 && !AUDIT(w->m))
			break;
		if (!EXPECT_EQ(0, w->sh->trouble))
			break;
	}
	/* all of the survivors go on */
	for (int i = 0; i < WORKERS; i++)
		EXPECT_TRUE(progress(w->sh, i, 20));
	for (int i = 0; i < WORKERS; i++)
		ksft_kill(pids[i]);
	AUDIT(w->m);
	ASSERT_EQ(0, kipc_manager_stat(w->m, &st));
	ksft_log("%llu repairs, %llu arena recoveries, %llu rolled, %llu user locks inherited",
		 (unsigned long long)st.repairs, (unsigned long long)st.recoveries,
		 (unsigned long long)st.rolled, (unsigned long long)w->sh->died);
	EXPECT_GE(st.repairs, (uint64_t)kills);
	EXPECT_EQ(1, st.peers);
	kipc_manager_remove(w->m, "shared");
	/* the mended counter is exact */
	EXPECT_LE(w->sh->entered - w->sh->left, 1);
}

/* The owner of the arena's lock is killed; how long until the next operation of a survivor. */
static int hold_arena(void *arg)
{
	struct worker *w = arg;

	if (__kipc_peer_enter(&w->m->obj.seg) || __kipc_arena_lock(w->m))
		return 1;
	store_release(&w->sh->ops[0], 1);
	for (;;)
		pause();
}

TEST_F(kill, holder_of_the_arena)
{
	struct worker *w = &self->w;
	struct bag *b = bag_of(w->bag);
	int64_t worst = 0, took;

	for (int i = 0; i < 20; i++) {
		pid_t pid;

		w->sh->ops[0] = 0;
		pid = ksft_fork(hold_arena, w);
		ASSERT_TRUE(ksft_wait_for(load_acquire(&w->sh->ops[0]), 5000));
		ksft_kill(pid);
		took = ksft_now_ns();
		ASSERT_EQ(0, __kipc_arena_alloc(w->m, 64, off_of(w->m, &b->blocks[0])));
		took = ksft_now_ns() - took;
		worst = took > worst ? took : worst;
		ASSERT_EQ(0, __kipc_arena_free(w->m, off_of(w->m, &b->blocks[0])));
	}
	ksft_log("worst: %lld us", (long long)worst / 1000);
	EXPECT_LT(worst, ksft_scale(150) * 1000000LL);
}

TEST_HARNESS_MAIN
