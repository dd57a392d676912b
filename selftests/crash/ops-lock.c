// SPDX-License-Identifier: MIT
/*
 * Locks that users hold.  An acquisition has happened when the next owner is told -EOWNERDEAD, a
 * release when it isn't.
 */
#include <errno.h>

#include <kipc/lock.h>

#include "arena.h"

static struct kipc_lock *lock;
static struct kipc_rlock *rlock;
static int told;		/* what the survivor's acquisition returned */

static int make_lock(void)
{
	int r = make_manager();

	return r ? r : kipc_lock_create(m, NULL, &lock);
}

static int make_rlock(void)
{
	int r = make_manager();

	return r ? r : kipc_rlock_create(m, NULL, &rlock);
}

static int acquire(void)
{
	return kipc_lock_acquire(lock, KIPC_NOWAIT);
}

static int release(void)
{
	return kipc_lock_release(lock);
}

static int acquire_release(void)
{
	return acquire() || release();
}

static int racquire(void)
{
	return kipc_rlock_acquire(rlock, KIPC_NOWAIT);
}

static int rrelease(void)
{
	return kipc_rlock_release(rlock);
}

static int racquire_twice(void)
{
	return racquire() || racquire();
}

static int racquire_release(void)
{
	return racquire() || rrelease();
}

/* The second victim: takes it over, holds it, gives it back. */
static int take_over(void)
{
	int r = kipc_lock_acquire(lock, WAIT);

	if (r && r != -EOWNERDEAD)
		return r;
	return kipc_lock_release(lock);
}

static int next_owner(void)
{
	told = kipc_lock_acquire(lock, WAIT);
	if (told && told != -EOWNERDEAD)
		return told;
	return kipc_lock_release(lock);
}

static int next_rowner(void)
{
	told = kipc_rlock_acquire(rlock, WAIT);
	if (told && told != -EOWNERDEAD)
		return told;
	return kipc_rlock_release(rlock);
}

/* Once is enough to be told. */
static int lock_works(void)
{
	return crash_expect("acquired again", kipc_lock_acquire(lock, KIPC_NOWAIT), 0) ||
	       crash_expect("released again", kipc_lock_release(lock), 0) ||
	       crash_expect("released too often", kipc_lock_release(lock), -EPERM);
}

static int rlock_works(void)
{
	return crash_expect("acquired again", kipc_rlock_acquire(rlock, KIPC_NOWAIT), 0) ||
	       crash_expect("and again", kipc_rlock_acquire(rlock, KIPC_NOWAIT), 0) ||
	       crash_expect("released", kipc_rlock_release(rlock), 0) ||
	       crash_expect("and again", kipc_rlock_release(rlock), 0) ||
	       crash_expect("released too often", kipc_rlock_release(rlock), -EPERM);
}

static int held(void)
{
	return lock_works() ? -1 : told == -EOWNERDEAD;
}

static int given_back(void)
{
	return lock_works() ? -1 : told == 0;
}

static int rheld(void)
{
	return rlock_works() ? -1 : told == -EOWNERDEAD;
}

static int rgiven_back(void)
{
	return rlock_works() ? -1 : told == 0;
}

/* It was held before and after: nothing else can come of it. */
static int rstill_held(void)
{
	return rlock_works() || crash_expect("told", told, -EOWNERDEAD) ? -1 : 0;
}

CRASH_OPS(crash_lock_ops) = {
	{ "lock", "acquire", CRASH_CORE | CRASH_PAIR, make_lock, enter, acquire, next_owner, held, 1,
	  take_over, -1, NULL },
	{ "lock", "release", CRASH_CORE, make_lock, acquire, release, next_owner, given_back, 1, NULL, 0,
	  NULL },
	{ "lock", "acquire, release", CRASH_LOOSE, make_lock, enter, acquire_release, next_owner,
	  given_back, 1, NULL, 0, NULL },
	{ "rlock", "acquire", 0, make_rlock, enter, racquire, next_rowner, rheld, 1, NULL, 0, NULL },
	{ "rlock", "acquire again", 0, make_rlock, racquire, racquire, next_rowner, rstill_held, 0, NULL,
	  0, NULL },
	{ "rlock", "release one of two", 0, make_rlock, racquire_twice, rrelease, next_rowner,
	  rstill_held, 0, NULL, 0, NULL },
	{ "rlock", "release", 0, make_rlock, racquire, rrelease, next_rowner, rgiven_back, 1, NULL, 0,
	  NULL },
	{ "rlock", "acquire, release", CRASH_LOOSE, make_rlock, enter, racquire_release, next_rowner,
	  rgiven_back, 1, NULL, 0, NULL },
	{ 0 },
};
