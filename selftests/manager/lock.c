// SPDX-License-Identifier: MIT
/* kipc_lock and kipc_rlock: exclusion, timeouts, ownership, death of the owner. */
#include <signal.h>
#include <unistd.h>

#include <kipc/lock.h>
#include <kipc/manager.h>

#include "kselftest_harness.h"

FIXTURE(lock) {
	struct kipc_manager *m;
	struct kipc_lock *l;
	struct kipc_rlock *rl;
};

FIXTURE_VARIANT(lock) {
	enum ksft_peer_kind peers;
};
FIXTURE_VARIANT_ADD(lock, threads) { .peers = KSFT_THREAD };
FIXTURE_VARIANT_ADD(lock, processes) { .peers = KSFT_PROCESS };

FIXTURE_SETUP(lock)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_lock_create(self->m, NULL, &self->l));
	ASSERT_EQ(0, kipc_rlock_create(self->m, NULL, &self->rl));
}

FIXTURE_TEARDOWN(lock)
{
	EXPECT_EQ(0, kipc_lock_unref(self->l));
	EXPECT_EQ(0, kipc_rlock_unref(self->rl));
	kipc_manager_close(self->m);
}

TEST(arguments)
{
	struct kipc_manager *m;
	struct kipc_lock *l;
	struct kipc_rlock *rl;
	struct kipc_value v = kipc_int(1);

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	EXPECT_EQ(-EINVAL, kipc_lock_create(NULL, NULL, &l));
	EXPECT_EQ(-EINVAL, kipc_lock_create(m, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_lock_create(m, "", &l));
	EXPECT_EQ(-EINVAL, kipc_lock_create(m, "a/b", &l));
	EXPECT_EQ(-EINVAL, kipc_lock_open(m, NULL, &l));
	EXPECT_EQ(-EINVAL, kipc_lock_open(NULL, "a", &l));
	EXPECT_EQ(-ENOENT, kipc_lock_open(m, "a", &l));
	EXPECT_EQ(-EINVAL, kipc_lock_acquire(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_lock_release(NULL));
	EXPECT_EQ(-EINVAL, kipc_lock_unref(NULL));
	EXPECT_EQ(-EINVAL, kipc_lock_from(NULL, &l));
	EXPECT_EQ(-EINVAL, kipc_lock_from(&v, &l));
	EXPECT_TRUE(!kipc_lock_handle(NULL));
	EXPECT_EQ(-EINVAL, kipc_rlock_create(NULL, NULL, &rl));
	EXPECT_EQ(-EINVAL, kipc_rlock_create(m, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_rlock_open(m, "a b", &rl));
	EXPECT_EQ(-ENOENT, kipc_rlock_open(m, "a", &rl));
	EXPECT_EQ(-EINVAL, kipc_rlock_acquire(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_rlock_release(NULL));
	EXPECT_EQ(-EINVAL, kipc_rlock_unref(NULL));
	EXPECT_EQ(-EINVAL, kipc_rlock_from(&v, &rl));
	EXPECT_TRUE(!kipc_rlock_handle(NULL));
	/* by name, and not as another kind */
	ASSERT_EQ(0, kipc_lock_create(m, "a", &l));
	EXPECT_EQ(-EINVAL, kipc_rlock_open(m, "a", &rl));
	EXPECT_EQ(-EEXIST, kipc_rlock_create(m, "a", &rl));
	EXPECT_EQ(0, kipc_lock_unref(l));
	ASSERT_EQ(0, kipc_lock_open(m, "a", &l));
	EXPECT_EQ(KIPC_HANDLE_LOCK, kipc_handle_kind(kipc_lock_handle(l)));
	EXPECT_EQ(0, kipc_lock_unref(l));
	kipc_manager_close(m);
}

TEST_F(lock, plain)
{
	int64_t t;

	EXPECT_EQ(-EPERM, kipc_lock_release(self->l));
	EXPECT_EQ(0, kipc_lock_acquire(self->l, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_lock_acquire(self->l, KIPC_NOWAIT));	/* not recursive */
	t = ksft_now_ns();
	EXPECT_EQ(-ETIMEDOUT, kipc_lock_acquire(self->l, 30000000));
	EXPECT_GE(ksft_now_ns() - t, 30000000);
	EXPECT_EQ(0, kipc_lock_release(self->l));
	EXPECT_EQ(-EPERM, kipc_lock_release(self->l));
	EXPECT_EQ(0, kipc_lock_acquire(self->l, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_lock_release(self->l));
}

TEST_F(lock, recursive)
{
	EXPECT_EQ(-EPERM, kipc_rlock_release(self->rl));
	for (int i = 0; i < 1000; i++)
		ASSERT_EQ(0, kipc_rlock_acquire(self->rl, i % 2 ? KIPC_NOWAIT : KIPC_FOREVER));
	for (int i = 0; i < 1000; i++)
		ASSERT_EQ(0, kipc_rlock_release(self->rl));
	EXPECT_EQ(-EPERM, kipc_rlock_release(self->rl));
}

/* ---- with a peer ---- */

struct other {
	struct kipc_lock *l;
	struct kipc_rlock *rl;
	int want, want_rlock;
};

static int try_both(void *arg)
{
	struct other *o = arg;
	int r = kipc_lock_release(o->l);

	if (r != o->want)
		return 1;
	if (kipc_lock_acquire(o->l, KIPC_NOWAIT) != (r ? -EAGAIN : 0))
		return 2;
	if (kipc_rlock_acquire(o->rl, KIPC_NOWAIT) != -EAGAIN)
		return 3;
	if (kipc_rlock_acquire(o->rl, 1000000) != -ETIMEDOUT)
		return 4;
	return kipc_rlock_release(o->rl) == -EPERM ? 0 : 5;
}

/* A lock is the process's: another thread may release it.  An rlock is the thread's. */
TEST_F(lock, whose)
{
	struct other o = { .l = self->l, .rl = self->rl };
	struct ksft_peer p;

	o.want = variant->peers == KSFT_THREAD ? 0 : -EPERM;
	ASSERT_EQ(0, kipc_lock_acquire(self->l, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_rlock_acquire(self->rl, KIPC_NOWAIT));
	ksft_peer_start(&p, variant->peers, try_both, &o);
	ksft_peer_join(&p);
	EXPECT_EQ(0, kipc_rlock_release(self->rl));
	EXPECT_EQ(0, kipc_lock_release(self->l));
}

struct counter {
	struct kipc_lock *l;
	struct kipc_rlock *rl;
	uint64_t *n;
	int rounds;
};

static int count(void *arg)
{
	struct counter *c = arg;

	for (int i = 0; i < c->rounds; i++) {
		uint64_t n;

		if (kipc_lock_acquire(c->l, KIPC_FOREVER))
			return 1;
		n = c->n[0];
		c->n[0] = n + 1;
		if (kipc_lock_release(c->l))
			return 2;
		if (kipc_rlock_acquire(c->rl, KIPC_FOREVER) ||
		    kipc_rlock_acquire(c->rl, KIPC_FOREVER))
			return 3;
		n = c->n[1];
		c->n[1] = n + 1;
		if (kipc_rlock_release(c->rl) || kipc_rlock_release(c->rl))
			return 4;
	}
	return 0;
}

TEST_F(lock, exclusion)
{
	struct counter c = { .l = self->l, .rl = self->rl, .n = ksft_shared(4096),
			     .rounds = ksft_slow() ? 3000 : 20000 };
	struct ksft_peer p[4];

	for (int i = 0; i < 4; i++)
		ksft_peer_start(&p[i], variant->peers, count, &c);
	for (int i = 0; i < 4; i++)
		ksft_peer_join(&p[i]);
	EXPECT_EQ(4 * c.rounds, c.n[0]);
	EXPECT_EQ(4 * c.rounds, c.n[1]);
}

/* ---- death ---- */

struct holder {
	struct kipc_manager *m;
	struct kipc_lock *l;
	struct kipc_rlock *rl;
	int *held;
};

static int hold(void *arg)
{
	struct holder *h = arg;
	int r = kipc_lock_acquire(h->l, KIPC_FOREVER), s = kipc_rlock_acquire(h->rl, KIPC_FOREVER);

	if ((r && r != -EOWNERDEAD) || (s && s != -EOWNERDEAD) ||
	    kipc_rlock_acquire(h->rl, KIPC_FOREVER))
		return 1;
	__atomic_store_n(h->held, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

TEST_F(lock, owner_dies)
{
	struct holder h = { .l = self->l, .rl = self->rl, .held = ksft_shared(4096) };

	for (int i = 0; i < 10; i++) {
		pid_t pid;

		*h.held = 0;
		pid = ksft_fork(hold, &h);
		ASSERT_TRUE(ksft_wait_for(__atomic_load_n(h.held, __ATOMIC_ACQUIRE), 5000));
		EXPECT_EQ(-EAGAIN, kipc_lock_acquire(self->l, KIPC_NOWAIT));
		EXPECT_EQ(-EPERM, kipc_lock_release(self->l));
		EXPECT_EQ(-EPERM, kipc_rlock_release(self->rl));
		ksft_kill(pid);
		if (i % 2)
			EXPECT_EQ(-EOWNERDEAD, kipc_lock_acquire(self->l, KIPC_FOREVER));
		else
			EXPECT_EQ(-EOWNERDEAD, kipc_lock_acquire(self->l, 1000000000));
		EXPECT_EQ(-EOWNERDEAD, kipc_rlock_acquire(self->rl, KIPC_FOREVER));
		EXPECT_EQ(0, kipc_rlock_acquire(self->rl, KIPC_FOREVER));
		EXPECT_EQ(0, kipc_lock_release(self->l));
		EXPECT_EQ(0, kipc_rlock_release(self->rl));
		EXPECT_EQ(0, kipc_rlock_release(self->rl));
		EXPECT_EQ(-EPERM, kipc_rlock_release(self->rl));
		/* it is told once */
		EXPECT_EQ(0, kipc_lock_acquire(self->l, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_lock_release(self->l));
	}
}

/* A child that exits with a lock held, or closes everything, did not release it either. */
static int leave_holding(void *arg)
{
	struct holder *h = arg;

	return kipc_lock_acquire(h->l, KIPC_FOREVER);
}

TEST_F(lock, owner_exits)
{
	struct holder h = { .l = self->l, .rl = self->rl };

	ksft_join(ksft_fork(leave_holding, &h));
	EXPECT_EQ(-EOWNERDEAD, kipc_lock_acquire(self->l, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_lock_release(self->l));
}

static int close_holding(void *arg)
{
	struct holder *h = arg;
	int r = kipc_lock_acquire(h->l, KIPC_FOREVER) | kipc_rlock_acquire(h->rl, KIPC_FOREVER);

	kipc_manager_close(h->m);
	r |= kipc_lock_unref(h->l) | kipc_rlock_unref(h->rl);
	__atomic_store_n(h->held, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return r;
}

/* One that left the manager with a lock held, and lives on. */
TEST_F(lock, owner_leaves)
{
	struct holder h = { .m = self->m, .l = self->l, .rl = self->rl, .held = ksft_shared(4096) };
	pid_t pid = ksft_fork(close_holding, &h);

	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(h.held, __ATOMIC_ACQUIRE), 5000));
	EXPECT_EQ(-EOWNERDEAD, kipc_lock_acquire(self->l, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_lock_release(self->l));
	EXPECT_EQ(-EOWNERDEAD, kipc_rlock_acquire(self->rl, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_rlock_release(self->rl));
	ksft_kill(pid);
}

/* What the parent holds is not the child's. */
static int child_of_holder(void *arg)
{
	struct holder *h = arg;

	if (kipc_lock_release(h->l) != -EPERM || kipc_rlock_release(h->rl) != -EPERM)
		return 1;
	if (kipc_lock_acquire(h->l, KIPC_NOWAIT) != -EAGAIN)
		return 2;
	return kipc_rlock_acquire(h->rl, KIPC_NOWAIT) == -EAGAIN ? 0 : 3;
}

TEST_F(lock, fork_while_held)
{
	struct holder h = { .l = self->l, .rl = self->rl };

	ASSERT_EQ(0, kipc_lock_acquire(self->l, KIPC_FOREVER));
	ASSERT_EQ(0, kipc_rlock_acquire(self->rl, KIPC_FOREVER));
	ksft_join(ksft_fork(child_of_holder, &h));
	EXPECT_EQ(0, kipc_lock_release(self->l));
	EXPECT_EQ(0, kipc_rlock_release(self->rl));
}

TEST_HARNESS_MAIN
