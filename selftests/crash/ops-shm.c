// SPDX-License-Identifier: MIT
/*
 * The sequence lock of shared memory.  What a writer stores is the users' own: a death in the
 * middle leaves it torn, and the next writer and every reader are told so.  Growing: the old size
 * or the new one.  The reader-writer lock: an acquisition has happened when the next ones are told
 * -EOWNERDEAD, a release when they aren't; of a reader nobody is told anything.
 */
#include <errno.h>
#include <string.h>

#include <kipc/shm.h>

#include "core/peer.h"
#include "core/time.h"
#include "engine.h"
#include "shm/region.h"

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


/* ---- the reader-writer lock ---- */

#define SHORT	1000	/* ns: a wait that ends */

static struct kipc_region *region(void)
{
	return &s->region;
}

static int lock_shared(void)
{
	return kipc_shm_lock_shared(s, KIPC_NOWAIT);
}

static int lock_exclusive(void)
{
	return kipc_shm_lock_exclusive(s, KIPC_NOWAIT);
}

static int unlock(void)
{
	return kipc_shm_unlock(s);
}

static int shared_and_back(void)
{
	return lock_shared() || unlock();
}

static int exclusive_and_back(void)
{
	return lock_exclusive() || unlock();
}

/* As told, by one that reads and one that writes. */
static int next_holders(void)
{
	int r;

	told = kipc_shm_lock_shared(s, WAIT);
	if (told && told != -EOWNERDEAD)
		return told;
	r = kipc_shm_unlock(s);
	if (r)
		return r;
	r = kipc_shm_lock_exclusive(s, WAIT);
	if (r != told)
		return r ? r : -EBADE;
	return kipc_shm_unlock(s);
}

static int lock_works(void)
{
	return crash_expect("lock_shared", lock_shared(), 0) ||
	       crash_expect("and again", lock_shared(), 0) ||
	       crash_expect("lock_exclusive beside", lock_exclusive(), -EAGAIN) ||
	       crash_expect("unlock", unlock(), 0) || crash_expect("unlock", unlock(), 0) ||
	       crash_expect("lock_exclusive", lock_exclusive(), 0) ||
	       crash_expect("unlock", unlock(), 0) ||
	       crash_expect("unlock too often", unlock(), -EPERM);
}

static int locked(void)
{
	return lock_works() ? -1 : told == -EOWNERDEAD;
}

static int unlocked(void)
{
	return lock_works() ? -1 : told == 0;
}

static int unharmed(void)
{
	return lock_works() || crash_expect("told", told, 0) ? -1 : 0;
}

/* The second victim: takes it over, holds it, gives it back. */
static int take_over(void)
{
	int r = kipc_shm_lock_exclusive(s, WAIT);

	return r && r != -EOWNERDEAD ? r : unlock();
}

/* This world has it, so the victim is refused; all goes on when this world has given it back. */
static int make_exclusive(void)
{
	int r = make();

	return r ? r : lock_exclusive();
}

static int make_shared(void)
{
	int r = make();

	return r ? r : lock_shared();
}

/* ... or a writer of this world waits for a reader. */
static int make_closing(void)
{
	struct kipc_shm_head *head;
	int r = make();

	if (r)
		return r;
	head = region()->rw.head;
	head->rw_lock = head->gate = region()->obj.seg.slot;
	return 0;
}

static int refused_shared(void)
{
	return kipc_shm_lock_shared(s, KIPC_NOWAIT) == -EAGAIN ? 0 : 1;
}

static int refused_exclusive(void)
{
	return kipc_shm_lock_exclusive(s, KIPC_NOWAIT) == -EAGAIN ? 0 : 1;
}

/* Closes the gate, sees the reader, opens it again. */
static int waits_in_vain(void)
{
	return kipc_shm_lock_exclusive(s, SHORT) == -ETIMEDOUT ? 0 : 1;
}

static int give_back_and_next(void)
{
	int r = kipc_shm_unlock(s);

	return r ? r : next_holders();
}

static int open_and_next(void)
{
	struct kipc_shm_head *head = region()->rw.head;

	head->gate = head->rw_lock = 0;
	return next_holders();
}

CRASH_OPS(crash_shm_ops) = {
	{ "shm", "write_begin", 0, make, enter, begin, read_and_write, begun, 1, NULL, 0, NULL },
	{ "shm", "write_end", 0, make, begin_and_write, end, read_and_write, ended, 1, NULL, 0, NULL },
	{ "shm", "a whole write", 0, make, enter, write_all, read_and_write, written, 2, NULL, 0, NULL },
	{ "shm", "resize", 0, make_growing, enter, grow, look_and_grow, grown, 1, NULL, 0, NULL },
	{ "shm", "lock_shared", CRASH_CORE, make, enter, lock_shared, next_holders, unharmed, 0, NULL, 0,
	  NULL },
	{ "shm", "unlock, shared", 0, make, lock_shared, unlock, next_holders, unharmed, 0, NULL,
	  0, NULL },
	{ "shm", "lock_shared, unlock", 0, make, enter, shared_and_back, next_holders, unharmed, 0, NULL,
	  0, NULL },
	{ "shm", "lock_exclusive", CRASH_CORE | CRASH_PAIR, make, enter, lock_exclusive, next_holders,
	  locked, 1, take_over, -1, NULL },
	{ "shm", "unlock, exclusive", 0, make, lock_exclusive, unlock, next_holders, unlocked, 1,
	  NULL, 0, NULL },
	{ "shm", "lock_exclusive, unlock", CRASH_LOOSE, make, enter, exclusive_and_back, next_holders,
	  unlocked, 1, NULL, 0, NULL },
	{ "shm", "lock_shared, refused", 0, make_exclusive, enter, refused_shared, give_back_and_next,
	  unharmed, 0, NULL, 0, NULL },
	{ "shm", "lock_shared, closing", 0, make_closing, enter, refused_shared, open_and_next, unharmed,
	  0, NULL, 0, NULL },
	{ "shm", "lock_exclusive, refused", 0, make_shared, enter, refused_exclusive, give_back_and_next,
	  unharmed, 0, NULL, 0, NULL },
	{ "shm", "lock_exclusive, in vain", CRASH_LOOSE, make_shared, enter, waits_in_vain,
	  give_back_and_next, unharmed, 0, NULL, 0, NULL },
	{ "shm", "resize, populated", 0, make_populated, enter, grow, look_and_grow, grown, 1, NULL, 0,
	  NULL },
	{ 0 },
};
