// SPDX-License-Identifier: MIT
/*
 * Queues and pipes as members: what holds of them, and the set's own rounds.
 *
 * A kind is reached through kipc_object_ops.source alone.  Another kind of object is one more row.
 */
#include "waitset/waitset.h"

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

/*
 * Whether the object may have dead that are ours to find.  In a pipe that one process used at each
 * end the kernel says when the other end is gone.  If that process is dead and the end isn't, since
 * somebody has it who never used it, then it is for him to go on, and he repairs what is in his way.
 */
static bool worth_a_sweep(const struct member *m)
{
	return m->kind != &__kipc_waitset_pipe || __kipc_peer_high(&m->of.object->seg) > 2;
}

void __kipc_waitset_round(struct kipc_waitset *ws, int64_t since_ns)
{
	uint64_t share = min_of(since_ns, KIPC_TICK_NS);
	uint32_t places = (uint32_t)((ws->nplaces * share + KIPC_TICK_NS - 1) / KIPC_TICK_NS);

	while (places--) {
		struct member *m;

		if (ws->round_at >= ws->nplaces)
			ws->round_at = 0;
		m = ws->places[ws->round_at++].member;
		if (!m || !is_object(m))
			continue;
		/* as any waiter: whoever swept just before is followed by a round of ours */
		if (worth_a_sweep(m))
			__kipc_peer_sweep(&m->of.object->seg, KIPC_TICK_NS / 4);
		look_round(ws, m);
	}
}
