// SPDX-License-Identifier: MIT
/* Objects, names, handles and references: who keeps what alive, and fork. */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testkind.h"

FIXTURE(objects) {
	struct kipc_manager *m;
};

FIXTURE_SETUP(objects)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
}

FIXTURE_TEARDOWN(objects)
{
	AUDIT(self->m);
	kipc_manager_close(self->m);
}

static struct kipc_manager_stat stat_of(struct kipc_manager *m)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	ASSERT_EQ(0, kipc_manager_stat(m, &st));
	return st;
}

TEST_F(objects, live_by_their_handles)
{
	struct kipc_handle *h[300], *again;
	uint64_t last = 0;

	/* more than a table has words, more than the registry's first chunk has entries */
	for (int i = 0; i < 300; i++) {
		h[i] = bag_new(self->m, NULL);
		EXPECT_EQ(KIPC_OBJ_TEST, kipc_handle_kind(h[i]));
		EXPECT_GT(kipc_handle_id(h[i]), last);
		last = kipc_handle_id(h[i]);
	}
	EXPECT_EQ(300, stat_of(self->m).objects);
	AUDIT(self->m);
	ASSERT_EQ(0, __kipc_handle_dup(h[7], &again));
	EXPECT_EQ(kipc_handle_id(h[7]), kipc_handle_id(again));
	for (int i = 0; i < 300; i++)
		EXPECT_EQ(0, kipc_handle_unref(h[i]));
	EXPECT_EQ(1, stat_of(self->m).objects);
	EXPECT_EQ(0, kipc_handle_unref(again));
	EXPECT_EQ(0, stat_of(self->m).objects);
	/* entries are used again, ids are not */
	h[0] = bag_new(self->m, NULL);
	EXPECT_GT(kipc_handle_id(h[0]), last);
	EXPECT_LT(h[0]->hdr->entry, 300);
	EXPECT_EQ(0, kipc_handle_unref(h[0]));
}

TEST_F(objects, live_by_their_names)
{
	struct kipc_handle *h, *g;
	char name[64];

	h = bag_new(self->m, "one");
	EXPECT_EQ(-EEXIST, __kipc_object_create(self->m, "one", &bag_type, NULL, &g));
	EXPECT_EQ(-EINVAL, __kipc_object_create(self->m, "o/e", &bag_type, NULL, &g));
	EXPECT_EQ(0, kipc_handle_unref(h));
	ASSERT_EQ(0, __kipc_object_open(self->m, "one", &bag_type, &h));
	EXPECT_EQ(-EINVAL, __kipc_object_open(self->m, "one", &__kipc_lock_type, &g));
	EXPECT_EQ(-ENOENT, __kipc_object_open(self->m, "on", &bag_type, &g));
	EXPECT_EQ(-ENOENT, __kipc_object_open(self->m, "onee", &bag_type, &g));
	EXPECT_EQ(0, kipc_manager_remove(self->m, "one"));
	EXPECT_EQ(-ENOENT, kipc_manager_remove(self->m, "one"));
	/* the handle goes on */
	EXPECT_EQ(0, __kipc_handle_enter(h));
	EXPECT_EQ(1, stat_of(self->m).objects);
	/* the name may be used again, for another one */
	g = bag_new(self->m, "one");
	EXPECT_NE(kipc_handle_id(h), kipc_handle_id(g));
	EXPECT_EQ(0, kipc_handle_unref(h));
	EXPECT_EQ(0, kipc_handle_unref(g));
	EXPECT_EQ(1, stat_of(self->m).objects);
	EXPECT_EQ(0, kipc_manager_remove(self->m, "one"));
	EXPECT_EQ(0, stat_of(self->m).objects);

	/* long names, and many: chains */
	memset(name, 'x', 63);
	name[63] = '\0';
	h = bag_new(self->m, name);
	EXPECT_EQ(0, kipc_handle_unref(h));
	name[62] = 'y';
	EXPECT_EQ(-ENOENT, kipc_manager_remove(self->m, name));
	name[62] = 'x';
	EXPECT_EQ(0, kipc_manager_remove(self->m, name));
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n.%d", i);
		h = bag_new(self->m, name);
		ASSERT_EQ(0, kipc_handle_unref(h));
	}
	EXPECT_EQ(1000, stat_of(self->m).names);
	AUDIT(self->m);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n.%d", (i * 7) % 1000);
		ASSERT_EQ(0, kipc_manager_remove(self->m, name));
	}
	EXPECT_EQ(0, stat_of(self->m).names);
	EXPECT_EQ(0, stat_of(self->m).objects);
}

static void refer(struct kipc_manager *m, struct kipc_handle *from, int i, struct kipc_handle *to)
{
	ASSERT_EQ(0, __kipc_ref_take(m, to->off, to->id, off_of(m, &bag_of(from)->refs[i])));
}

/* A long chain falls at once, without recursion; a circle stays. */
TEST_F(objects, live_by_each_other)
{
	int n = ksft_slow() ? 2000 : 20000;
	struct kipc_handle *first = bag_new(self->m, NULL), *last, *h;
	uint64_t blocks;

	ASSERT_EQ(0, __kipc_handle_dup(first, &last));
	for (int i = 1; i < n; i++) {
		h = bag_new(self->m, NULL);
		ASSERT_EQ(0, __kipc_arena_alloc(self->m, 64, off_of(self->m, &bag_of(h)->blocks[0])));
		refer(self->m, last, 0, h);
		ASSERT_EQ(0, kipc_handle_unref(last));
		last = h;
	}
	ASSERT_EQ(0, kipc_handle_unref(last));
	EXPECT_EQ(n, stat_of(self->m).objects);
	AUDIT(self->m);
	ASSERT_EQ(0, kipc_handle_unref(first));
	EXPECT_EQ(0, stat_of(self->m).objects);
	AUDIT(self->m);

	blocks = stat_of(self->m).blocks;
	first = bag_new(self->m, NULL);
	h = bag_new(self->m, NULL);
	refer(self->m, first, 1, h);
	refer(self->m, h, 2, first);
	refer(self->m, h, 3, h);
	ASSERT_EQ(0, kipc_handle_unref(first));
	ASSERT_EQ(0, kipc_handle_unref(h));
	EXPECT_EQ(2, stat_of(self->m).objects);
	EXPECT_EQ(blocks + 2, stat_of(self->m).blocks);
}

TEST_F(objects, gone)
{
	struct kipc_handle *h = bag_new(self->m, NULL), *g, stale = *h;

	EXPECT_EQ(0, __kipc_handle_enter(h));
	EXPECT_EQ(-ENOENT, __kipc_handle_get(self->m, h->off, h->id + 1, &g));
	EXPECT_EQ(-ENOENT, __kipc_handle_get(self->m, h->off + 16, h->id, &g));
	EXPECT_EQ(-ENOENT, __kipc_handle_get(self->m, 0, h->id, &g));
	EXPECT_EQ(-ENOENT, __kipc_handle_get(self->m, ~0ULL, h->id, &g));
	EXPECT_EQ(0, kipc_handle_unref(h));
	EXPECT_EQ(-ENOENT, __kipc_handle_enter(&stale));
	EXPECT_EQ(-ENOENT, __kipc_handle_get(self->m, stale.off, stale.id, &g));
	/* also when the memory is an object's again */
	h = bag_new(self->m, NULL);
	EXPECT_EQ(stale.off, h->off);
	EXPECT_EQ(-ENOENT, __kipc_handle_enter(&stale));
	EXPECT_EQ(-ENOENT, __kipc_handle_get(self->m, stale.off, stale.id, &g));
	EXPECT_EQ(0, kipc_handle_unref(h));
}

/* ---- fork ---- */

struct family {
	struct kipc_manager *m;
	struct kipc_handle *h;
	uint32_t *go, *state;
};

static void wait_go(struct family *f)
{
	while (!load_acquire(f->go))
		cpu_relax();
}

static int grandchild(void *arg)
{
	struct family *f = arg;
	int r;

	/* its parent is gone, and nobody else has the object */
	wait_go(f);
	r = __kipc_handle_enter(f->h);
	if (!r)
		r = __kipc_arena_alloc(f->m, 100, off_of(f->m, &bag_of(f->h)->blocks[0]));
	store_release(f->state, r ? 2u : 1u);
	return r;
}

static int child(void *arg)
{
	struct family *f = arg;

	f->h = bag_new(f->m, "handed-on");
	if (kipc_manager_remove(f->m, "handed-on"))
		return 1;
	return ksft_fork(grandchild, f) > 0 ? 0 : 1;
}

TEST_F(objects, survive_a_parent)
{
	struct family f = { .m = self->m, .go = ksft_shared(4096), .state = ksft_shared(4096) };

	ksft_join(ksft_fork(child, &f));
	/* what the dead parent had is taken back; what the living grandchild has, isn't */
	__kipc_peer_sweep(&self->m->obj.seg, 0);
	EXPECT_EQ(1, stat_of(self->m).objects);
	AUDIT(self->m);
	store_release(f.go, 1u);
	ASSERT_TRUE(ksft_wait_for(load_acquire(f.state), 5000));
	EXPECT_EQ(1, *f.state);
	/* and when it is gone, too, nothing has it */
	ASSERT_TRUE(ksft_wait_for(stat_of(self->m).objects == 0, 5000));
}

static int use_after_parent_closed(void *arg)
{
	struct family *f = arg;

	wait_go(f);
	return __kipc_handle_enter(f->h) ? 1 : kipc_handle_unref(f->h);
}

/* The usual way of a parent that only starts others: it closes its own handles right after fork. */
TEST_F(objects, survive_their_parents_close)
{
	struct family f = { .m = self->m, .go = ksft_shared(4096) };
	pid_t pid;

	for (int i = 0; i < 200; i++) {
		store_relaxed(f.go, 0);
		f.h = bag_new(self->m, NULL);
		pid = ksft_fork(use_after_parent_closed, &f);
		/* nothing has been waited for: the child may not have run at all yet */
		ASSERT_EQ(0, kipc_handle_unref(f.h));
		ASSERT_EQ(1, stat_of(self->m).objects);
		store_release(f.go, 1u);
		ksft_join(pid);
		__kipc_peer_sweep(&self->m->obj.seg, 0);
		ASSERT_EQ(0, stat_of(self->m).objects);
	}
	AUDIT(self->m);
}

static int use_inherited(void *arg)
{
	struct family *f = arg;

	if (__kipc_handle_enter(f->h) || f->h->hdr->refs != 2)
		return 1;
	/* closing ours doesn't take the parent's away */
	if (kipc_handle_unref(f->h))
		return 2;
	kipc_manager_close(f->m);
	return 0;
}

TEST_F(objects, are_inherited)
{
	struct family f = { .m = self->m, .h = bag_new(self->m, NULL) };

	for (int i = 0; i < 5; i++) {
		ksft_join(ksft_fork(use_inherited, &f));
		__kipc_peer_sweep(&self->m->obj.seg, 0);
		EXPECT_EQ(1, f.h->hdr->refs);
	}
	EXPECT_EQ(0, kipc_handle_unref(f.h));
}

/*
 * A child whose handles' objects were gone before it could register: made by a bare clone(2), so that
 * it does so at its first use only.
 */
static int too_late(struct family *f)
{
	struct kipc_handle *h;

	wait_go(f);
	if (__kipc_handle_enter(f->h) != -ENOENT)
		return 1;
	if (__kipc_handle_dup(f->h, &h) != -ENOENT)
		return 2;
	return kipc_handle_unref(f->h) ? 3 : 0;
}

TEST_F(objects, gone_before_the_child_came)
{
	struct family f = { .m = self->m, .go = ksft_shared(4096) };
	pid_t pid;

	ksft_needs_processes();
	if (ksft_slow())
		SKIP("valgrind and sanitizers know nothing of a child by a bare clone(2)");
	f.h = bag_new(self->m, NULL);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	ASSERT_GE(pid, 0);
	if (!pid)
		ksft_child_exit(too_late(&f));
	EXPECT_EQ(0, kipc_handle_unref(f.h));
	EXPECT_EQ(0, stat_of(self->m).objects);
	store_release(f.go, 1u);
	ksft_join(pid);
}

/* fork in the middle of other threads' use */
struct churn {
	struct kipc_manager *m;
	uint32_t stop;
};

static int churn(void *arg)
{
	struct churn *c = arg;

	while (!load_relaxed(&c->stop)) {
		struct kipc_handle *h[5];

		for (int i = 0; i < 5; i++)
			if (__kipc_object_create(c->m, NULL, &bag_type, NULL, &h[i]))
				return 1;
		for (int i = 0; i < 5; i++)
			if (kipc_handle_unref(h[i]))
				return 2;
	}
	return 0;
}

static int in_the_middle(void *arg)
{
	struct churn *c = arg;
	struct kipc_handle *h;

	for (int i = 0; i < 20; i++)
		if (__kipc_object_create(c->m, NULL, &bag_type, NULL, &h) || kipc_handle_unref(h))
			return 1;
	return 0;
}

TEST_F(objects, fork_while_threads_work)
{
	struct churn c = { .m = self->m };
	struct ksft_thread t[2];

	ksft_needs_processes();
	if (ksft_slow())
		SKIP("the sanitizer's malloc() can't be used in a child of several threads");
	for (int i = 0; i < 2; i++)
		ksft_thread_start(&t[i], churn, &c);
	for (int i = 0; i < 50; i++)
		ksft_join(ksft_fork(in_the_middle, &c));
	store_relaxed(&c.stop, 1u);
	for (int i = 0; i < 2; i++)
		ksft_thread_join(&t[i]);
	__kipc_peer_sweep(&self->m->obj.seg, 0);
	__kipc_zombies_reap(self->m, 0);
	EXPECT_EQ(0, stat_of(self->m).objects);
}

TEST_F(objects, threads)
{
	struct churn c = { .m = self->m };
	struct ksft_thread t[4];

	for (int i = 0; i < 4; i++)
		ksft_thread_start(&t[i], churn, &c);
	for (int i = 0; i < 20; i++)
		AUDIT(self->m);
	store_relaxed(&c.stop, 1u);
	for (int i = 0; i < 4; i++)
		ksft_thread_join(&t[i]);
	EXPECT_EQ(0, stat_of(self->m).objects);
}

TEST_HARNESS_MAIN
