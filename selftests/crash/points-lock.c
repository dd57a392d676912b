// SPDX-License-Identifier: MIT
/*
 * Locks that users hold: one at a time is inside, and who comes after a death inside is told, once.
 */
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <kipc/lock.h>

#include "points-arena.h"

static struct kipc_lock *lock;
static struct kipc_rlock *rlock;

/* word[] of the world: who is inside, + 1; of an actor: what it was told, whether it was not alone. */
enum { INSIDE, TOLD = 0, TWO = 1 };

static int64_t *inside(void)
{
	return &points_told(WORLD)->word[INSIDE];
}

static void go_in(int told)
{
	struct told *t = points_told(points_who);
	int64_t before = xchg(inside(), points_who + 1);

	t->word[TOLD] += told == -EOWNERDEAD;
	/* a dead one is there still; then this one is told */
	if (before && told != -EOWNERDEAD)
		t->word[TWO] = 1;
}

static void go_out(void)
{
	store_release(inside(), (int64_t)0);
}

static int acquire_release(int64_t timeout_ns)
{
	int r = kipc_lock_acquire(lock, timeout_ns);

	if (r && r != -EOWNERDEAD)
		return r;
	go_in(r);
	go_out();
	return kipc_lock_release(lock);
}

static int racquire_release(int64_t timeout_ns)
{
	int r = kipc_rlock_acquire(rlock, timeout_ns);

	if (r && r != -EOWNERDEAD)
		return r;
	go_in(r);
	r = kipc_rlock_acquire(rlock, timeout_ns) ?: kipc_rlock_release(rlock);
	go_out();
	return r ? r : kipc_rlock_release(rlock);
}

static int hold(void)
{
	int r = enter();

	r = r ? r : kipc_lock_acquire(lock, KIPC_NOWAIT);
	if (!r)
		go_in(0);
	return r;
}

/* The same in a sandbox that knows the plain futex operations only. */
static int hold_in_sandbox(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAKE_OP, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return -errno;
	return hold();
}

/* What it holds since before. */
static int release(int64_t timeout_ns)
{
	(void)timeout_ns;
	go_out();
	return kipc_lock_release(lock);
}

static int make(void)
{
	int r = make_manager(192 << 10);

	if (!r)
		r = kipc_lock_create(m, NULL, &lock);
	return r ? r : kipc_rlock_create(m, NULL, &rlock);
}

static int acquire_only(int64_t timeout_ns)
{
	int r = kipc_lock_acquire(lock, timeout_ns);

	if (!r)
		go_in(r);
	return r;
}

static bool one_dead;

static int dead_owner(void)
{
	int r = make();

	one_dead = true;
	return r ? r : points_die(acquire_only, NULL);
}

/* Whoever died inside was told of by the next, and nobody else was. */
static int verify(void)
{
	int64_t told = 0, dead = one_dead, left = 0;

	for (enum who who = STOPPED; who < ACTORS; who++) {
		told += points_told(who)->word[TOLD];
		dead += points_took_part(who) && !points_ended(who);
		if (points_told(who)->word[TWO])
			return points_bad("%d was not alone inside", who);
	}
	for (int i = 0; i < 2; i++) {
		int r = i ? kipc_rlock_acquire(rlock, KIPC_NOWAIT) : kipc_lock_acquire(lock, KIPC_NOWAIT);

		if (r && r != -EOWNERDEAD)
			return points_bad("the last acquisition: %d", r);
		left += r == -EOWNERDEAD;
		if (points_expect("release",
				  i ? kipc_rlock_release(rlock) : kipc_lock_release(lock), 0))
			return -1;
	}
	if (told + left > dead)
		return points_bad("%ld were told of a death, there were %ld", (long)(told + left),
				  (long)dead);
	if (*inside() && !left)
		return points_bad("somebody is inside still, and the next was not told");
	if (points_expect("acquire", kipc_lock_acquire(lock, KIPC_NOWAIT), 0) ||
	    points_expect("release", kipc_lock_release(lock), 0) ||
	    points_expect("release once more", kipc_lock_release(lock), -EPERM))
		return -1;
	return points_ended(KILLED) ? POINTS_NEW : POINTS_OLD | POINTS_NEW;
}

#define USE	{ .run = acquire_release, .ready = enter, .flags = ACT_TIMED }
#define STAYING	{ .run = acquire_release, .ready = enter, .flags = ACT_STAYS }
#define RUSE	{ .run = racquire_release, .ready = enter, .flags = ACT_TIMED }
#define HELD	{ .run = release, .ready = hold }
#define BOXED	{ .run = release, .ready = hold_in_sandbox }
#define ROW(kind, name, flags, a, b, c) \
	{ kind, name, flags, make, a, b, c, verify, NULL }

SCENES(points_lock) = {
	ROW("lock", "acquire, release x acquire, release", SCENE_TRIPLE | SCENE_SHORT, USE, USE, USE),
	ROW("lock", "release x acquire, release", SCENE_TRIPLE | SCENE_SHORT, HELD, USE, USE),
	ROW("lock", "acquire, asleep x release", SCENE_TRIPLE | SCENE_SHORT, STAYING, HELD, USE),
	ROW("lock", "acquire, asleep x release, no FUTEX_WAKE_OP", 0, STAYING, BOXED, USE),
	{ "lock", "acquire, repairing x acquire", SCENE_TRIPLE | SCENE_SHORT, dead_owner, USE, USE, USE,
	  verify, NULL },
	ROW("rlock", "acquire, release x acquire, release", SCENE_TRIPLE, RUSE, RUSE, RUSE),
	{ 0 },
};
