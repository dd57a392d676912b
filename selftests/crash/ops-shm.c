// SPDX-License-Identifier: MIT
/*
 * The sequence lock of shared memory.  What a writer stores is the users' own: a death in the middle
 * leaves it torn, and the next writer and every reader are told so.  And growing: the old size or the
 * new one.
 */
#include <errno.h>
#include <string.h>

#include <kipc/shm.h>

#include "core/peer.h"
#include "core/time.h"
#include "engine.h"

#define SIZE	256
#define WAIT	(3 * NSEC_PER_SEC)

static struct kipc_shm *s;
static int told;		/* what the reader was told, then the next writer */
static uint8_t copy[SIZE];

static int make(void)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = 4);
	int r = kipc_shm_create(NULL, SIZE, &opts, &s);

	if (!r)
		crash_track(kipc_shm_object(s));
	return r;
}

static int enter(void)
{
	return __kipc_peer_enter(&kipc_shm_object(s)->seg);
}

static int begin(void)
{
	return kipc_shm_write_begin(s, KIPC_NOWAIT);
}

static int end(void)
{
	return kipc_shm_write_end(s);
}

static int begin_and_write(void)
{
	if (begin())
		return 1;
	memset(kipc_shm_addr(s), 1, SIZE);
	return 0;
}

static int write_all(void)
{
	return begin_and_write() || end();
}

/* A reader, then a writer that makes all of it anew. */
static int read_and_write(void)
{
	uint64_t seq;
	int r;

	told = kipc_shm_read_begin(s, &seq, WAIT);
	if (told && told != -EOWNERDEAD)
		return told;
	memcpy(copy, kipc_shm_addr(s), SIZE);
	if (kipc_shm_read_retry(s, seq))
		return -EBUSY;
	r = kipc_shm_write_begin(s, WAIT);
	if (r != told)
		return r ? r : -EBADE;
	memset(kipc_shm_addr(s), 2, SIZE);
	return kipc_shm_write_end(s);
}

static int works(void)
{
	uint64_t seq;

	return crash_expect("read_begin", kipc_shm_read_begin(s, &seq, KIPC_NOWAIT), 0) ||
	       crash_expect("read_retry", kipc_shm_read_retry(s, seq), false) ||
	       crash_expect("write_begin", kipc_shm_write_begin(s, KIPC_NOWAIT), 0) ||
	       crash_expect("write_end", kipc_shm_write_end(s), 0);
}

static bool all(uint8_t want)
{
	for (int i = 0; i < SIZE; i++)
		if (copy[i] != want)
			return false;
	return true;
}

static int begun(void)
{
	if (works())
		return -1;
	return told == -EOWNERDEAD ? 1 : all(0) ? 0 : crash_bad("torn, and nobody was told");
}

static int ended(void)
{
	if (works())
		return -1;
	return told == -EOWNERDEAD ? 0 : all(1) ? 1 : crash_bad("torn, and nobody was told");
}

/* Old; torn, and told; new. */
static int written(void)
{
	if (works())
		return -1;
	if (told == -EOWNERDEAD)
		return 1;
	return all(0) ? 0 : all(1) ? 2 : crash_bad("torn, and nobody was told");
}

/* ---- growing ---- */

#define PAGE	4096

static size_t left;	/* the size that a death left */

static int make_growing(void)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = 4, .max_size = 16 * PAGE);
	int r = kipc_shm_create(NULL, PAGE, &opts, &s);

	if (!r)
		crash_track(kipc_shm_object(s));
	return r;
}

static int make_populated(void)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = 4, .max_size = 16 * PAGE,
		  .flags = KIPC_SHM_POPULATE);
	int r = kipc_shm_create(NULL, PAGE, &opts, &s);

	if (!r)
		crash_track(kipc_shm_object(s));
	return r;
}

static int grow(void)
{
	return kipc_shm_resize(s, 3 * PAGE);
}


static int look_and_grow(void)
{
	left = kipc_shm_size(s);
	return kipc_shm_resize(s, 7 * PAGE);
}

static int grown(void)
{
	uint8_t *p = kipc_shm_addr(s);

	if (crash_expect("size", (int64_t)kipc_shm_size(s), 7 * PAGE))
		return -1;
	for (int i = 0; i < 7 * PAGE; i++)
		if (p[i])
			return crash_bad("byte %d of it is %u", i, p[i]);
	memset(p, 1, 7 * PAGE);
	return left == PAGE ? 0 : left == 3 * PAGE ? 1 : crash_bad("%zu bytes were left", left);
}


CRASH_OPS(crash_shm_ops) = {
	{ "shm", "write_begin", 0, make, enter, begin, read_and_write, begun, 1, NULL, 0, NULL },
	{ "shm", "write_end", 0, make, begin_and_write, end, read_and_write, ended, 1, NULL, 0, NULL },
	{ "shm", "a whole write", 0, make, enter, write_all, read_and_write, written, 2, NULL, 0, NULL },
	{ "shm", "resize", CRASH_CORE, make_growing, enter, grow, look_and_grow, grown, 1, NULL, 0, NULL },
	{ "shm", "resize, populated", 0, make_populated, enter, grow, look_and_grow, grown, 1, NULL, 0,
	  NULL },
	{ 0 },
};
