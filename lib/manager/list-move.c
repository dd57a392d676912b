// SPDX-License-Identifier: MIT
/*
 * Making room for an element in the middle of a list, and closing the gap that one leaves: slots
 * move by one, in place, so that a death at any instruction can be made good.
 *
 * The elements must stay evenly spread over the chunks, or an index wouldn't be found in one step.
 * So all slots behind the place move.  Each move is recorded by `progress` after it was made:
 *
 *	slot[p] = slot[p - 1];  progress = p - 1;	INSERT, p from the end down to index + 1
 *	slot[p] = slot[p + 1];  progress = p + 1;	REMOVE, p from index up to the end
 *
 * After a death, the one move that may be half-made or unrecorded is made again, from a slot that
 * nothing has overwritten yet.  `held` keeps the one element that has no slot meanwhile.
 *
 * op = NONE -> INSERT or REMOVE is the commit, the other way round the end of it; both by the
 * holder of the guard.  Between the two every store is one that can be repeated.
 */
#include "manager/list.h"

/* A slot at a time with its record costs about 1 ns. */
static int move_up(struct kipc_manager *m, struct kipc_list_shared *s, uint64_t index, uint64_t p)
{
	struct kipc_guard *g = &s->head.guard;

	while (p > index) {
		struct kipc_slot *to = __kipc_list_chunk(m, g, p);
		struct kipc_slot *from = __kipc_list_slot(m, g, p - 1);
		uint64_t in = p & (KIPC_LIST_CHUNK - 1);

		if (!to || !from)
			return -EPROTO;
		/* the first slot of a chunk comes from the chunk before */
		if (in == 0) {
			__kipc_slot_store(to, __kipc_slot_load(from));
			step();
			store_relaxed(&s->progress, --p);
			step();
			KIPC_POINT("list.moved_up_across");
			continue;
		}
		for (; in && p > index; in--) {
			__kipc_slot_store(&to[in], __kipc_slot_load(&to[in - 1]));
			step();
			store_relaxed(&s->progress, --p);
			step();
			KIPC_POINT("list.moved_up");
		}
	}
	return 0;
}

static int move_down(struct kipc_manager *m, struct kipc_list_shared *s, uint64_t p, uint64_t last)
{
	struct kipc_guard *g = &s->head.guard;

	while (p < last) {
		struct kipc_slot *to = __kipc_list_chunk(m, g, p);
		struct kipc_slot *from = __kipc_list_slot(m, g, p + 1);
		uint64_t in = p & (KIPC_LIST_CHUNK - 1);

		if (!to || !from)
			return -EPROTO;
		if (in == KIPC_LIST_CHUNK - 1) {
			__kipc_slot_store(&to[in], __kipc_slot_load(from));
			step();
			store_relaxed(&s->progress, ++p);
			step();
			KIPC_POINT("list.moved_down_across");
			continue;
		}
		for (; in < KIPC_LIST_CHUNK - 1 && p < last; in++) {
			__kipc_slot_store(&to[in], __kipc_slot_load(&to[in + 1]));
			step();
			store_relaxed(&s->progress, ++p);
			step();
			KIPC_POINT("list.moved_down");
		}
	}
	return 0;
}

int __kipc_list_move_finish(struct kipc_manager *m, struct kipc_list_shared *s)
{
	struct kipc_guard *g = &s->head.guard;
	uint64_t op = load_relaxed(&g->data[KIPC_LIST_OP]);
	uint64_t index = KIPC_LIST_OP_INDEX(op), last = load_relaxed(&s->last);
	uint64_t progress = load_relaxed(&s->progress);
	struct kipc_slot *to;
	int r;

	if (op == KIPC_LIST_OP_NONE)
		return 0;
	if (last >= __kipc_list_len_max(m) || index > last || progress < index || progress > last)
		return -EPROTO;
	switch (KIPC_LIST_OP_WHAT(op)) {
	case KIPC_LIST_OP_INSERT:
		r = move_up(m, s, index, progress);
		to = __kipc_list_slot(m, g, index);
		break;
	case KIPC_LIST_OP_REMOVE:
		r = move_down(m, s, progress, last);
		to = __kipc_list_slot(m, g, last);
		break;
	default:
		return -EPROTO;
	}
	if (r || !to)
		return -EPROTO;
	__kipc_slot_store(to, __kipc_slot_load(&s->held));
	step();		/* a death from here on stores the length again */
	store_release(&g->data[KIPC_LIST_LEN],
		      KIPC_LIST_OP_WHAT(op) == KIPC_LIST_OP_INSERT ? last + 1 : last);
	step();		/* from here on `held` means nothing */
	KIPC_POINT("list.move_counted");
	store_release(&g->data[KIPC_LIST_OP], KIPC_LIST_OP_NONE);
	step();
	KIPC_POINT("list.move_ended");
	return 0;
}

/* Writes what is to be done, makes it happen, does it. */
static int move(struct kipc_list *l, uint64_t op, struct kipc_slot held, uint64_t progress,
		uint64_t last)
{
	struct kipc_list_shared *s = __kipc_list_shared(l);
	struct kipc_guard *g = &s->head.guard;
	int r;

	__kipc_slot_store(&s->held, held);
	store_relaxed(&s->progress, progress);
	store_relaxed(&s->last, last);
	step();
	KIPC_POINT("list.move_written");
	__kipc_guard_seq_begin(g);
	store_release(&g->data[KIPC_LIST_OP], op);	/* the commit */
	step();
	KIPC_POINT("list.move_begun");
	r = __kipc_list_move_finish(l->h.m, s);
	__kipc_guard_seq_end(g);
	return r;
}

int __kipc_list_move_in(struct kipc_list *l, uint64_t index, uint64_t len)
{
	struct kipc_slot *p = __kipc_list_slot(l->h.m, __kipc_list_guard(l), len);

	if (!p || index > len)
		return -EPROTO;
	return move(l, KIPC_LIST_OP(KIPC_LIST_OP_INSERT, index), __kipc_slot_load(p), len, len);
}

int __kipc_list_move_out(struct kipc_list *l, uint64_t index, uint64_t len)
{
	struct kipc_slot *p = __kipc_list_slot(l->h.m, __kipc_list_guard(l), index);

	if (!p || index >= len)
		return -EPROTO;
	/* the slot that the element will leave with; means nothing before the commit */
	store_relaxed(&__kipc_list_guard(l)->data[KIPC_LIST_FILL], len);
	step();
	KIPC_POINT("list.move_out");
	return move(l, KIPC_LIST_OP(KIPC_LIST_OP_REMOVE, index), __kipc_slot_load(p), index,
		    len - 1);
}
