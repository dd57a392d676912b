/* SPDX-License-Identifier: MIT */
/* What the tables of operations on objects in a manager share. */
#ifndef SELFTESTS_CRASH_ARENA_H
#define SELFTESTS_CRASH_ARENA_H

#include <kipc/manager.h>

#include "core/peer.h"
#include "core/time.h"
#include "engine.h"
#include "manager/manager.h"

#define WAIT	(3 * NSEC_PER_SEC)

static struct kipc_manager *m;

/* A small one: it is made and watched often. */
static inline int make_manager(void)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_peers = 6, .size = 384 << 10, .max_size = 8 << 20);
	int r = kipc_manager_create(NULL, &opts, &m);

	if (!r)
		crash_track(kipc_manager_object(m));
	return r;
}

static inline int enter(void)
{
	return __kipc_peer_enter(&m->obj.seg);
}

#endif
