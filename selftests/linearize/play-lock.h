/* SPDX-License-Identifier: MIT */
/* Histories of a lock, and of an rlock, whose holders die. */
#ifndef SELFTESTS_LINEARIZE_PLAY_LOCK_H
#define SELFTESTS_LINEARIZE_PLAY_LOCK_H

#include <kipc/lock.h>
#include <kipc/manager.h>

#include "model-lock.h"
#include "round.h"

static struct kipc_manager *lock_manager;
static struct kipc_lock *lock;
static struct kipc_rlock *rlock;

static void make_lock_manager(void)
{
	if (!lock_manager)
		ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &lock_manager));
}

static void make_lock(struct round *r)
{
	(void)r;
	make_lock_manager();
	ASSERT_EQ(0, kipc_lock_create(lock_manager, NULL, &lock));
}

static void end_lock(struct round *r)
{
	(void)r;
	ASSERT_EQ(0, kipc_lock_unref(lock));
}

static void make_rlock(struct round *r)
{
	make_lock_manager();
	ASSERT_EQ(0, kipc_rlock_create(lock_manager, NULL, &rlock));
	r->sh->h.param = 1;
}

static void end_rlock(struct round *r)
{
	(void)r;
	ASSERT_EQ(0, kipc_rlock_unref(rlock));
}

static void sweep_lock_manager(struct round *r)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	(void)r;
	EXPECT_EQ(0, kipc_manager_stat(lock_manager, &st));
}

/*
 * Threads give back what they have acquired, and nothing else: a lock's holder is the process.  The
 * last call is then a release, if there is something to release.
 */
static void lock_choose(struct worker *w, struct lin_op *op, bool last)
{
	bool threads = w->r->peers == KSFT_THREAD;

	op->kind = LOCK_ACQUIRE;
	if (w->holds ? below(&w->seed, 3) || (threads && last) : !threads && !below(&w->seed, 8))
		op->kind = LOCK_RELEASE;
}

static void lock_note(struct worker *w, struct lin_op *op)
{
	if (op->kind == LOCK_ACQUIRE)
		w->holds += op->result == 0 || op->result == -EOWNERDEAD;
	else
		w->holds -= op->result == 0;
}

static void call_lock(struct worker *w, struct lin_op *op)
{
	if (op->kind == LOCK_ACQUIRE)
		op->result = kipc_lock_acquire(lock, some_timeout(&w->seed));
	else
		op->result = kipc_lock_release(lock);
	lock_note(w, op);
}

static void call_rlock(struct worker *w, struct lin_op *op)
{
	if (op->kind == LOCK_ACQUIRE)
		op->result = kipc_rlock_acquire(rlock, some_timeout(&w->seed));
	else
		op->result = kipc_rlock_release(rlock);
	lock_note(w, op);
}

/* It is free now, unless a thread ended with it. */
static bool lock_rest(struct worker *w, struct lin_op *op)
{
	uint32_t n = w->r->sh->h.of[w->who].n;

	op->kind = n ? LOCK_RELEASE : LOCK_ACQUIRE;
	return n == 0 || (n == 1 && w->holds);
}

static __ksft_unused const struct subject lock_subject = {
	.model = &lock_model,
	.death = LOCK_DEATH,
	.len = 100,
	.make = make_lock,
	.end = end_lock,
	.choose = lock_choose,
	.call = call_lock,
	.sweep = sweep_lock_manager,
	.look = lock_rest,
};

static __ksft_unused const struct subject rlock_subject = {
	.model = &lock_model,
	.death = LOCK_DEATH,
	.len = 150,
	.make = make_rlock,
	.end = end_rlock,
	.choose = lock_choose,
	.call = call_rlock,
	.sweep = sweep_lock_manager,
	.look = lock_rest,
};

#endif
