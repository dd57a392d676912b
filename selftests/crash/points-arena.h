/* SPDX-License-Identifier: MIT */
/* What the scenes in a manager share. */
#ifndef SELFTESTS_CRASH_POINTS_ARENA_H
#define SELFTESTS_CRASH_POINTS_ARENA_H

#include <errno.h>
#include <string.h>

#include <kipc/manager.h>

#include "core/peer.h"
#include "manager/manager.h"
#include "points.h"

static struct kipc_manager *m;

static inline int make_manager(uint64_t size)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_peers = 8, .size = size, .max_size = 8 << 20);
	int r = kipc_manager_create(NULL, &opts, &m);

	if (!r)
		points_track(kipc_manager_object(m));
	return r;
}

static inline int enter(void)
{
	return __kipc_peer_enter(&m->obj.seg);
}

/* A value that an operation brought, for the model. */
static inline void told_got(int64_t value)
{
	struct told *t = points_told(points_who);

	if (t->ngot < TOLD_MAX)
		t->got[t->ngot++] = value;
}

#define OP(fn, mod)	{ .run = fn, .ready = enter, .model = mod }
#define WAITS(fn, mod)	{ .run = fn, .ready = enter, .model = mod, .flags = ACT_WAITS }

#endif
