/* SPDX-License-Identifier: MIT */
/*
 * The intent of the arena's lock holder: written before the first change, cleared after the last.
 * See arena.h for the states.  What the owner itself applies comes from its own memory; only a
 * recovery reads the intent, and checks it.
 */
#ifndef KIPC_MANAGER_INTENT_H
#define KIPC_MANAGER_INTENT_H

#include "manager/arena.h"

static inline void intent_begin(struct kipc_manager *m, enum kipc_intent_op op, uint64_t block,
				uint64_t spans, const struct kipc_write *w, uint32_t n)
{
	struct kipc_intent *in = &m->hdr->intent;

	store_relaxed(&in->block, block);
	store_relaxed(&in->spans, spans);
	for (uint32_t i = 0; i < n; i++) {
		store_relaxed(&in->writes[i].off, w[i].off);
		store_relaxed(&in->writes[i].val, w[i].val);
	}
	store_relaxed(&in->nwrites, n);
	step();
	KIPC_POINT("intent.written");
	store_relaxed(&in->op, (uint32_t)op);
	step();
	KIPC_POINT("intent.begun");
}

static inline void intent_apply(struct kipc_manager *m, const struct kipc_write *w, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		store_relaxed(__kipc_arena_word(m, w[i].off), w[i].val);
		KIPC_POINT("intent.applied");
	}
}

static inline void intent_end(struct kipc_manager *m)
{
	step();
	store_relaxed(&m->hdr->intent.op, KIPC_INTENT_NONE);
	step();
	KIPC_POINT("intent.ended");
}

#endif
