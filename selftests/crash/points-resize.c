// SPDX-License-Identifier: MIT
/*
 * Growing, and the seal against it.  Each makes it larger than the one before would: the old size or the
 * new one, zeroed, and the last one's in the end.
 */
#include <errno.h>

#include <kipc/shm.h>

#include "core/peer.h"
#include "points.h"

#define PAGE	4096

static struct kipc_shm *s;
static bool sealing;		/* KILLED does that, rather than grow */

/* What it saw before it began. */
enum { SEEN };

static int enter(void)
{
	return __kipc_peer_enter(&kipc_shm_object(s)->seg);
}

static size_t size_of(enum who who)
{
	return (3 + 2 * who) * (size_t)PAGE;
}

static int grow(int64_t timeout_ns)
{
	int r;

	(void)timeout_ns;
	points_told(points_who)->word[SEEN] = (int64_t)kipc_shm_size(s);
	r = kipc_shm_resize(s, size_of(points_who));
	/* it is larger already, or sealed */
	return r == -EPERM ? 0 : r;
}

static int seal(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_shm_seal(s, KIPC_SEAL_GROW);
}

static int make_with(uint32_t flags)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = 8, .max_size = 16 * PAGE, .flags = flags);
	int r = kipc_shm_create(NULL, PAGE, &opts, &s);

	if (!r)
		points_track(kipc_shm_object(s));
	return r;
}

static int make(void)
{
	return make_with(0);
}

static int make_populated(void)
{
	return make_with(KIPC_SHM_POPULATE);
}

static int make_sealing(void)
{
	sealing = true;
	return make();
}

static int one_died(void)
{
	return make() ?: points_die(grow, "region.extended");
}

static int zeroed(void)
{
	const volatile uint8_t *p = kipc_shm_addr(s);

	for (size_t i = 0; i < kipc_shm_size(s); i++)
		if (p[i])
			return points_bad("byte %zu is %u", i, p[i]);
	return 0;
}

static int verify_seal(void)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	bool sealed;

	if (points_expect("stat", kipc_shm_stat(s, &st), 0))
		return -1;
	sealed = st.seals & KIPC_SEAL_GROW;
	if (points_expect("resize", kipc_shm_resize(s, 15 * PAGE), sealed ? -EPERM : 0))
		return -1;
	if (!sealed && st.size != size_of(SURVIVOR))
		return points_bad("%lu bytes, and no seal", (unsigned long)st.size);
	return sealed ? POINTS_NEW : POINTS_OLD;
}

static int verify(void)
{
	int64_t seen = points_told(SURVIVOR)->word[SEEN];

	if (zeroed())
		return -1;
	if (sealing)
		return verify_seal();
	if (points_expect("size", (int64_t)kipc_shm_size(s), (int64_t)size_of(SURVIVOR)) ||
	    points_expect("resize", kipc_shm_resize(s, 15 * PAGE), 0))
		return -1;
	/* what the others had made of it before the last one, who makes it larger still */
	if (seen >= (int64_t)size_of(SECOND))
		return POINTS_OLD | POINTS_NEW;
	return seen == (int64_t)size_of(KILLED) ? POINTS_NEW : POINTS_OLD;
}

#define OP(fn)	{ .run = fn, .ready = enter }
#define ROW(name, flags, setup, a, b) \
	{ "resize", name, flags, setup, a, b, OP(grow), verify, NULL }

SCENES(points_resize) = {
	ROW("resize x resize", SCENE_TRIPLE | SCENE_SHORT, make, OP(grow), OP(grow)),
	ROW("resize x resize, populated", SCENE_TRIPLE, make_populated, OP(grow), OP(grow)),
	ROW("resize, repairing x resize", SCENE_TRIPLE, one_died, OP(grow), OP(grow)),
	ROW("resize x seal", SCENE_SHORT, make_sealing, OP(grow), OP(seal)),
	{ 0 },
};
