// SPDX-License-Identifier: MIT
/*
 * Queues and pipes as members: what holds of them, and the set's own rounds.
 *
 * A kind is reached through kipc_object_ops.source alone.  Another kind of object is one more row.
 */
#include "waitset/waitset.h"

/*
 * Members that a tick looks at, in shared memory, and members whose dead it looks for, which is a
 * system call for each process attached.  So a tick is bounded: about 0.2 ms in a large set.
 */
#define LOOKS_A_TICK	1024
#define SWEEPS_A_TICK	64

static int open_source(struct member *m, struct watch *w)
{
	return m->of.object->ops->source(m->of.object, w->event, &w->src);
}

const struct member_kind __kipc_waitset_queue = {
	.number = KIPC_WAITSET_QUEUE,
	.can = KIPC_READABLE | KIPC_WRITABLE,
	.open = open_source,
};

const struct member_kind __kipc_waitset_pipe = {
	.number = KIPC_WAITSET_PIPE,
	.can = KIPC_READABLE | KIPC_WRITABLE,
	.always = KIPC_WAITSET_HANGUP,
	.open = open_source,
};

/*
 * Whether the watch is to be looked at.  Who is looked at for one event is looked at for all: it
 * costs little, the event is whole, and a killed process rings no doorbell.  (What isn't a
 * doorbell's can only be found out by a system call, so the kernel has to say that first.)
 */
static bool worth_a_look(struct watch *w)
{
	if (!w->hot && w->src.bell && w->src.ready(w->src.arg)) {
		w->seen = __kipc_source_seen(&w->src);
		w->hot = true;
	}
	return w->hot;
}

uint32_t __kipc_waitset_look(struct kipc_waitset *ws, struct member *m)
{
	uint32_t events = 0;
	int r;

	for (int i = 0; i < WATCHES; i++) {
		struct watch *w = &m->watch[i];

		if (!worth_a_look(w))
			continue;
		r = __kipc_source_settle(&w->src, w->seen);
		if (r > 0) {
			events |= w->event;
		} else if (r == 0) {
			w->hot = false;
		} else {
			/* who drains may be dead, or be stopped there */
			__kipc_source_tend(&w->src);
			ws->soon = true;
		}
	}
	return events;
}

static void look_round(struct kipc_waitset *ws, struct member *m)
{
	for (int i = 0; i < WATCHES; i++) {
		struct watch *w = &m->watch[i];

		if (!w->event)
			continue;
		if (!w->token)
			__kipc_waitset_queue_unarmed(ws, m);
		if (!w->src.bell || w->hot || !__kipc_source_tend(&w->src))
			continue;
		/* published by one that died before it rang; others may wait for it as well */
		__kipc_waitset_heat(ws, m, w);
		__kipc_bell_kick(w->src.bell);
	}
}

static void sweep_round(struct kipc_waitset *ws, struct member *m)
{
	(void)ws;
	/* as any waiter: whoever swept just before is followed by a tick of ours */
	__kipc_peer_sweep(&m->of.object->seg, KIPC_TICK_NS / 4);
}

/* The next `limit` objects in the table, no one twice. */
static void walk(struct kipc_waitset *ws, uint32_t *at, int limit,
		 void (*visit)(struct kipc_waitset *ws, struct member *m))
{
	for (uint32_t i = 0; i < ws->nplaces && limit; i++) {
		struct member *m;

		if (*at >= ws->nplaces)
			*at = 0;
		m = ws->places[(*at)++].member;
		if (m && is_object(m)) {
			visit(ws, m);
			limit--;
		}
	}
}

void __kipc_waitset_tick(struct kipc_waitset *ws)
{
	walk(ws, &ws->sweep_at, SWEEPS_A_TICK, sweep_round);
	walk(ws, &ws->look_at, LOOKS_A_TICK, look_round);
}
