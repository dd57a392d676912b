// SPDX-License-Identifier: MIT
/*
 * The reader-writer lock's scenes.  Who has it exclusively fills all of the memory with a byte of his
 * own; who shares it finds one byte everywhere, or is told that a writer died in the middle.
 */
#include <errno.h>
#include <string.h>

#include <kipc/shm.h>

#include "core/peer.h"
#include "points-torn.h"

#define SIZE 256

static struct kipc_shm *s;
static bool one_dead;		/* a writer, before all of them */
static bool (*held)(void);	/* what the world holds, until somebody waits for it */

static int enter(void)
{
	return __kipc_peer_enter(&kipc_shm_object(s)->seg);
}

static int lock_exclusive(int64_t timeout_ns)
{
	int r = kipc_shm_lock_exclusive(s, timeout_ns);

	points_told(points_who)->word[TOLD] += r == -EOWNERDEAD;
	return r == -EOWNERDEAD ? 0 : r;
}

static int write_all(void)
{
	memset(kipc_shm_addr(s), (int)points_who + 1, SIZE);
	return kipc_shm_unlock(s);
}

static int read_all(bool torn)
{
	const volatile uint8_t *p = kipc_shm_addr(s);

	for (int i = 0; i < SIZE && !torn; i++)
		points_told(points_who)->word[TORN] |= p[i] != p[0];
	return kipc_shm_unlock(s);
}

static int exclusive(int64_t timeout_ns)
{
	return lock_exclusive(timeout_ns) ?: write_all();
}

static int shared(int64_t timeout_ns)
{
	int r = kipc_shm_lock_shared(s, timeout_ns);

	return r && r != -EOWNERDEAD ? r : read_all(r);
}

static int both(int64_t timeout_ns)
{
	return shared(timeout_ns) ?: exclusive(timeout_ns);
}

/* ---- what is held before ---- */

static int hold_exclusive(void)
{
	int r = enter() ?: kipc_shm_lock_exclusive(s, KIPC_NOWAIT);

	if (!r)
		memset(kipc_shm_addr(s), (int)points_who + 1, SIZE / 2);
	return r;
}

static int hold_shared(void)
{
	return enter() ?: kipc_shm_lock_shared(s, KIPC_NOWAIT);
}

static int unlock_exclusive(int64_t timeout_ns)
{
	(void)timeout_ns;
	return write_all();
}

static int unlock_shared(int64_t timeout_ns)
{
	(void)timeout_ns;
	return read_all(false);
}

/* ---- worlds ---- */

static int make(void)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = 8);
	int r = kipc_shm_create(NULL, SIZE, &opts, &s);

	if (!r)
		points_track(kipc_shm_object(s));
	return r;
}

static int die_exclusive(int64_t timeout_ns)
{
	(void)timeout_ns;
	return hold_exclusive();
}

static int die_shared(int64_t timeout_ns)
{
	(void)timeout_ns;
	return hold_shared();
}

static int dead_writer(void)
{
	one_dead = true;
	return make() ?: points_die(die_exclusive, NULL);
}

static int dead_reader(void)
{
	return make() ?: points_die(die_shared, NULL);
}

static bool write_end(void)
{
	return write_all();
}

static bool read_end(void)
{
	return read_all(false);
}

static int make_exclusive(void)
{
	held = write_end;
	return make() ?: hold_exclusive();
}

static int make_shared(void)
{
	held = read_end;
	return make() ?: hold_shared();
}

static void give_back(enum who who)
{
	(void)who;
	if (held)
		held();
	held = NULL;
}

static int verify(void)
{
	/* the last writer was no dead one */
	if (points_torn(one_dead) ||
	    points_expect("lock_shared", kipc_shm_lock_shared(s, KIPC_NOWAIT), 0) ||
	    points_expect("lock_exclusive beside", lock_exclusive(KIPC_NOWAIT), -EAGAIN) ||
	    points_expect("reading it", read_all(false), 0) ||
	    points_expect("torn", points_told(WORLD)->word[TORN], 0) ||
	    points_expect("writing it", exclusive(KIPC_NOWAIT), 0) ||
	    points_expect("told", points_told(WORLD)->word[TOLD], 0) ||
	    points_expect("unlock too often", kipc_shm_unlock(s), -EPERM))
		return -1;
	return points_ended(KILLED) ? POINTS_NEW : POINTS_OLD | POINTS_NEW;
}

#define OP(fn)		{ .run = fn, .ready = enter }
#define WAITS(fn)	{ .run = fn, .ready = enter, .flags = ACT_WAITS }
#define STAYS(fn)	{ .run = fn, .ready = enter, .flags = ACT_STAYS }
#define HOLD_EX		{ .run = unlock_exclusive, .ready = hold_exclusive }
#define HOLD_SH		{ .run = unlock_shared, .ready = hold_shared }
#define NEXT		{ .run = both, .ready = enter, .flags = ACT_TIMED }
#define ROW(name, flags, setup, a, b, c, wake) \
	{ "rwlock", name, flags, setup, a, b, c, verify, wake }

SCENES(points_rwlock) = {
	ROW("exclusive x exclusive", SCENE_TRIPLE | SCENE_SHORT, make, OP(exclusive), OP(exclusive), NEXT,
	    NULL),
	ROW("exclusive x shared", SCENE_SHORT, make, OP(exclusive), OP(shared), NEXT, NULL),
	ROW("shared x exclusive", SCENE_SHORT, make, OP(shared), OP(exclusive), NEXT, NULL),
	ROW("unlock, exclusive x exclusive", SCENE_TRIPLE, make, HOLD_EX, OP(exclusive), NEXT, NULL),
	ROW("unlock, shared x exclusive", SCENE_TRIPLE, make, HOLD_SH, OP(exclusive), NEXT, NULL),
	ROW("exclusive, asleep x unlock", SCENE_TRIPLE, make, STAYS(exclusive), HOLD_EX, NEXT, NULL),
	ROW("exclusive, asleep x unlock, shared", SCENE_TRIPLE | SCENE_SHORT, make, STAYS(exclusive),
	    HOLD_SH, NEXT, NULL),
	ROW("shared, asleep x unlock", SCENE_TRIPLE | SCENE_SHORT, make, STAYS(shared), HOLD_EX, NEXT,
	    NULL),
	ROW("exclusive, repairing x exclusive", SCENE_TRIPLE | SCENE_SHORT, dead_writer, OP(exclusive),
	    OP(exclusive), NEXT, NULL),
	ROW("exclusive, repairing x shared", SCENE_TRIPLE, dead_reader, OP(exclusive), OP(shared), NEXT,
	    NULL),
	ROW("shared, repairing x exclusive", SCENE_TRIPLE, dead_writer, OP(shared), OP(exclusive), NEXT,
	    NULL),
	ROW("shared, waiting x exclusive", SCENE_TRIPLE, make_exclusive, WAITS(shared), WAITS(exclusive),
	    WAITS(both), give_back),
	ROW("exclusive, waiting x shared", SCENE_TRIPLE, make_shared, WAITS(exclusive), WAITS(shared),
	    WAITS(both), give_back),
	{ 0 },
};
