// SPDX-License-Identifier: MIT
/*
 * The sequence lock's scenes.  Every writer fills all of it with a byte of its own; a reader finds one
 * byte everywhere, or is told that it is torn.
 */
#include <errno.h>
#include <string.h>

#include <kipc/shm.h>

#include "core/peer.h"
#include "points-torn.h"

#define SIZE 256

static struct kipc_shm *s;
static bool one_dead;
static bool writing;		/* the world is, until somebody waits for it */

static int enter(void)
{
	return __kipc_peer_enter(&kipc_shm_object(s)->seg);
}

static int write_all(int64_t timeout_ns)
{
	int r = kipc_shm_write_begin(s, timeout_ns);

	if (r && r != -EOWNERDEAD)
		return r;
	points_told(points_who)->word[TOLD] += r == -EOWNERDEAD;
	memset(kipc_shm_addr(s), (int)points_who + 1, SIZE);
	return kipc_shm_write_end(s);
}

static int read_all(int64_t timeout_ns)
{
	uint8_t copy[SIZE];
	uint64_t seq;
	int r;

	do {
		r = kipc_shm_read_begin(s, &seq, timeout_ns);
		if (r && r != -EOWNERDEAD)
			return r;
		memcpy(copy, kipc_shm_addr(s), SIZE);
	} while (kipc_shm_read_retry(s, seq));
	for (int i = 0; i < SIZE && !r; i++)
		points_told(points_who)->word[TORN] |= copy[i] != copy[0];
	return 0;
}

static int read_and_write(int64_t timeout_ns)
{
	return read_all(timeout_ns) ?: write_all(timeout_ns);
}

static int hold(void)
{
	int r = enter();

	r = r ? r : kipc_shm_write_begin(s, KIPC_NOWAIT);
	if (!r)
		memset(kipc_shm_addr(s), (int)points_who + 1, SIZE / 2);
	return r;
}

static int write_end(int64_t timeout_ns)
{
	(void)timeout_ns;
	memset(kipc_shm_addr(s), (int)points_who + 1, SIZE);
	return kipc_shm_write_end(s);
}

static int make(void)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = 8);
	int r = kipc_shm_create(NULL, SIZE, &opts, &s);

	writing = false;
	if (!r)
		points_track(kipc_shm_object(s));
	return r;
}

static int write_begin(int64_t timeout_ns)
{
	(void)timeout_ns;
	return hold();
}

static int dead_writer(void)
{
	int r = make();

	one_dead = true;
	return r ? r : points_die(write_begin, NULL);
}

static int make_writing(void)
{
	int r = make();

	writing = true;
	return r ? r : hold();
}

static void end_writing(enum who who)
{
	(void)who;
	if (writing)
		write_end(0);
	writing = false;
}

static int verify(void)
{
	/* the last writer was no dead one */
	if (points_torn(one_dead) ||
	    points_expect("reading it", read_all(KIPC_NOWAIT), 0) ||
	    points_expect("torn", points_told(WORLD)->word[TORN], 0) ||
	    points_expect("writing it", write_all(KIPC_NOWAIT), 0) ||
	    points_expect("told", points_told(WORLD)->word[TOLD], 0))
		return -1;
	return points_ended(KILLED) ? POINTS_NEW : POINTS_OLD | POINTS_NEW;
}

#define OP(fn)		{ .run = fn, .ready = enter }
#define TIMED(fn)	{ .run = fn, .ready = enter, .flags = ACT_TIMED }
#define WAITS(fn)	{ .run = fn, .ready = enter, .flags = ACT_WAITS }
#define STAYS(fn)	{ .run = fn, .ready = enter, .flags = ACT_STAYS }
#define HOLD(fn)	{ .run = fn, .ready = hold }
#define NEXT		TIMED(read_and_write)
#define ROW(name, flags, setup, a, b, c, wake) \
	{ "shm", name, flags, setup, a, b, c, verify, wake }

SCENES(points_shm) = {
	ROW("write x write", SCENE_TRIPLE | SCENE_SHORT, make, OP(write_all), OP(write_all), NEXT, NULL),
	ROW("write x read", SCENE_SHORT, make, OP(write_all), OP(read_all), NEXT, NULL),
	ROW("write_end x write", SCENE_TRIPLE, make, HOLD(write_end), OP(write_all), NEXT, NULL),
	ROW("write, asleep x write_end", SCENE_TRIPLE, make, STAYS(write_all), HOLD(write_end), NEXT,
	    NULL),
	ROW("read, asleep x write_end", SCENE_TRIPLE, make, STAYS(read_all), HOLD(write_end), NEXT, NULL),
	ROW("write, repairing x write", SCENE_TRIPLE | SCENE_SHORT, dead_writer, OP(write_all),
	    OP(write_all), NEXT, NULL),
	ROW("read, repairing x write", SCENE_TRIPLE, dead_writer, OP(read_all), OP(write_all), NEXT,
	    NULL),
	ROW("read, waiting x write", SCENE_TRIPLE | SCENE_SHORT, make_writing, WAITS(read_all),
	    WAITS(write_all), WAITS(read_and_write), end_writing),
	ROW("write, waiting x read, waiting", 0, make_writing, WAITS(write_all), WAITS(read_all),
	    WAITS(read_and_write), end_writing),
	{ 0 },
};
