// SPDX-License-Identifier: MIT
/*
 * The auditor's part for queues: the invariants of queue.h, on paper.
 *
 * Cells.  A state that can be: a phase, a slot where and only where somebody holds it, a length that
 * the queue allows where there is a message.
 *
 * Laps.  Let u(i) be the first lap in which cell i has not been claimed: n in FREE(n), else n + 1.  No
 * position is claimed before the one in front of it, so u is L + 1 for the cells below some index and
 * L from there on: that place, T = (L, index), is the first unclaimed position.  Hence no more than a
 * ring is outstanding, and every message is where consumers will come by.
 *
 * Hints.  tail is at or before T, by no more than two rings.  head is at or before the first position
 * that isn't over: where n is for FREE, WRITING, READY(n), and behind them for the others.
 *
 * Returned messages are found only by a scan, so there is none unless `returned` isn't `scanned`.
 */
#include <stdio.h>

#include "core/check.h"
#include "queue/queue.h"

#define AT(member)	offsetof(struct kipc_queue_shared, member)

struct walk {
	struct kipc_check *c;
	struct kipc_queue_shared sh;
	struct kipc_queue q;		/* geometry alone, for the helpers of queue.h */
	uint64_t body;
	uint64_t unclaimed;		/* T: lap */
	uint32_t unclaimed_index;
	bool laps_ok;
	uint64_t returned;		/* cells */
};

static bool check_geometry(struct walk *w)
{
	const struct kipc_queue_shared *sh = &w->sh;
	struct kipc_check *c = w->c;
	struct kipc_queue *q = &w->q;
	uint64_t cells = (uint64_t)sh->capacity * sh->cell_size;

	if (!check_that(c, sh->capacity && sh->capacity <= KIPC_QUEUE_CAPACITY_MAX,
			KIPC_FINDING_GEOMETRY, w->body + AT(capacity),
			"queue: a capacity of %u messages", sh->capacity) ||
	    !check_that(c, sh->cell_size >= 64 && sh->cell_size <= 4096 && !(sh->cell_size % 64),
			KIPC_FINDING_GEOMETRY, w->body + AT(cell_size),
			"queue: cells of %u bytes", sh->cell_size) ||
	    !check_that(c, sh->msg_size && sh->msg_size <= KIPC_QUEUE_MSG_MAX,
			KIPC_FINDING_GEOMETRY, w->body + AT(msg_size),
			"queue: messages of up to %llu bytes", (unsigned long long)sh->msg_size) ||
	    !check_that(c, sh->overflow <= KIPC_OVERFLOW_DROP_OLDEST, KIPC_FINDING_GEOMETRY,
			w->body + AT(overflow), "queue: an overflow rule of %u", sh->overflow) ||
	    !check_that(c, !(sh->cells_off % 64) && sh->cells_off >= w->body + sizeof(*sh) &&
			   __kipc_segment_at(c->seg, sh->cells_off, cells),
			KIPC_FINDING_GEOMETRY, w->body + AT(cells_off),
			"queue: %u cells of %u bytes from %#llx on are not in the file",
			sh->capacity, sh->cell_size, (unsigned long long)sh->cells_off))
		return false;
	q->inline_size = sh->cell_size - (uint32_t)sizeof(struct kipc_cell);
	check_that(c, sh->msg_size <= q->inline_size ||
			 (!(sh->payload_off % 64) && !(sh->payload_stride % 64) &&
			  sh->payload_off >= sh->cells_off + cells &&
			  sh->payload_stride >= sh->msg_size &&
			  sh->payload_stride <= 2 * KIPC_QUEUE_MSG_MAX &&
			  __kipc_segment_at(c->seg, sh->payload_off,
					    sh->capacity * sh->payload_stride)),
		   KIPC_FINDING_GEOMETRY, w->body + AT(payload_off),
		   "queue: the payload of %u messages from %#llx on is not in the file",
		   sh->capacity, (unsigned long long)sh->payload_off);
	q->obj.seg.npeers = c->hdr.npeers;
	q->capacity = sh->capacity;
	q->cell_size = sh->cell_size;
	q->msg_size = sh->msg_size;
	while ((1ULL << q->index_bits) < sh->capacity)
		q->index_bits++;
	q->lap_mask = (1ULL << min_of((uint32_t)KIPC_CELL_LAP_BITS, 64 - q->index_bits)) - 1;
	return __kipc_check_backed(c, sh->cells_off, cells, "queue's cells");
}

/* Laps from b to a, which may be a little after it or before. */
static int64_t lap_diff(const struct walk *w, uint64_t a, uint64_t b)
{
	uint64_t d = (a - b) & w->q.lap_mask, half = w->q.lap_mask / 2 + 1;

	return (int64_t)((d ^ half) - half);
}

static uint64_t cell_off(const struct walk *w, uint32_t index)
{
	return w->sh.cells_off + (uint64_t)index * w->sh.cell_size;
}

static void check_len(struct walk *w, const struct kipc_cell *cell, uint32_t index)
{
	uint64_t off = cell_off(w, index), now;

	if (cell->len <= w->sh.msg_size)
		return;
	/* of that message, and not of the next one? */
	if (!__kipc_check_read(w->c, off, &now, sizeof(now)) || now != cell->state)
		return;
	check_that(w->c, false, KIPC_FINDING_LENGTH, off + offsetof(struct kipc_cell, len),
		   "cell %u: a message of %llu bytes, of %llu at most", index,
		   (unsigned long long)cell->len, (unsigned long long)w->sh.msg_size);
}

static void check_held(struct walk *w, uint64_t state, uint32_t index)
{
	bool writing = cell_phase(state) == KIPC_CELL_WRITING;
	uint64_t off = cell_off(w, index), now;
	char what[64];

	/* a free slot that looks like an owner may have given it up meanwhile */
	if (cell_slot(state) <= w->c->hdr.npeers && !w->c->used[cell_slot(state)] &&
	    __kipc_check_read(w->c, off, &now, sizeof(now)) && now != state)
		return;
	snprintf(what, sizeof(what), "cell %u (%s)", index, writing ? "being written" : "taken");
	__kipc_check_claim(w->c, cell_slot(state), off, what);
}

/* False: nothing can be said about its lap. */
static bool check_cell(struct walk *w, const struct kipc_cell *cell, uint32_t index)
{
	enum kipc_cell_phase phase = cell_phase(cell->state);
	uint64_t off = cell_off(w, index);

	if (!check_that(w->c, phase <= KIPC_CELL_RETURNED, KIPC_FINDING_STATE, off,
			"cell %u: phase %u does not exist", index, phase) ||
	    !check_that(w->c, !(cell_lap(cell->state) & ~w->q.lap_mask), KIPC_FINDING_STATE, off,
			"cell %u: lap %#llx does not exist", index,
			(unsigned long long)cell_lap(cell->state)))
		return false;
	if (phase == KIPC_CELL_WRITING || phase == KIPC_CELL_READING)
		check_held(w, cell->state, index);
	else
		check_that(w->c, !cell_slot(cell->state), KIPC_FINDING_STATE, off,
			   "cell %u: slot %u stands in it, but nobody can hold phase %u", index,
			   cell_slot(cell->state), phase);
	if (phase >= KIPC_CELL_READY)
		check_len(w, cell, index);
	w->returned += phase == KIPC_CELL_RETURNED;
	return true;
}

/* u(i), and whether it goes on as it must. */
static void check_lap(struct walk *w, uint64_t state, uint32_t index)
{
	uint64_t u = cell_lap(state) + (cell_phase(state) != KIPC_CELL_FREE);
	int64_t d;

	if (!index) {
		w->unclaimed = u & w->q.lap_mask;
		return;
	}
	d = lap_diff(w, u, w->unclaimed);
	if (d == -1 && w->unclaimed_index == 0) {
		w->unclaimed = u & w->q.lap_mask;
		w->unclaimed_index = index;
		return;
	}
	w->laps_ok &= check_still(w->c, d == 0, KIPC_FINDING_POSITION, cell_off(w, index),
				  "cell %u: its lap is %lld off from the cells before it", index,
				  (long long)d);
}

/* Whether head is beyond the cell's last position that isn't over. */
static void check_head(struct walk *w, uint64_t state, uint32_t index)
{
	enum kipc_cell_phase phase = cell_phase(state);
	bool over = phase == KIPC_CELL_READING || phase == KIPC_CELL_RETURNED;
	int64_t d = lap_diff(w, cell_lap(state) + over, pos_lap(&w->q, w->sh.head));

	check_still(w->c, d > 0 || (d == 0 && index >= pos_index(&w->q, w->sh.head)),
		    KIPC_FINDING_POSITION, w->body + AT(head),
		    "head is beyond cell %u, which is not over: a message that nobody will take",
		    index);
}

static void check_hints(struct walk *w)
{
	uint32_t index_mask = (1u << w->q.index_bits) - 1, tail = w->sh.tail & index_mask;
	struct kipc_check *c = w->c;
	int64_t d;

	if (!check_that(c, tail < w->sh.capacity, KIPC_FINDING_POSITION, w->body + AT(tail),
			"tail is at index %u, of %u", tail, w->sh.capacity) ||
	    !w->laps_ok)
		return;
	d = lap_diff(w, w->unclaimed, pos_lap(&w->q, w->sh.tail));
	check_still(c, d > 0 || (d == 0 && w->unclaimed_index >= tail), KIPC_FINDING_POSITION,
		    w->body + AT(tail), "tail is beyond the first unclaimed cell, %u",
		    w->unclaimed_index);
	check_still(c,
		    d < KIPC_QUEUE_TAIL_LAPS ||
			    (d == KIPC_QUEUE_TAIL_LAPS && w->unclaimed_index <= tail),
		    KIPC_FINDING_POSITION, w->body + AT(tail),
		    "tail is more than two rings before the first unclaimed cell, %u",
		    w->unclaimed_index);
}

static void check_cells(struct walk *w)
{
	uint32_t index_mask = (1u << w->q.index_bits) - 1, head = w->sh.head & index_mask;
	bool head_ok = check_that(w->c, head < w->sh.capacity, KIPC_FINDING_POSITION,
				  w->body + AT(head), "head is at index %u, of %u", head,
				  w->sh.capacity);
	struct kipc_cell cell;

	w->laps_ok = true;
	for (uint32_t i = 0; i < w->sh.capacity; i++) {
		if (!__kipc_check_read(w->c, cell_off(w, i), &cell, sizeof(cell)))
			return;		/* it was there when the geometry was checked */
		if (!check_cell(w, &cell, i)) {
			w->laps_ok = false;
			continue;
		}
		check_lap(w, cell.state, i);
		if (head_ok)
			check_head(w, cell.state, i);
	}
}

/* Reading order: `returned` moves after the cell, `scanned` last. */
static void check_returned(struct walk *w)
{
	check_still(w->c, (int64_t)(w->sh.returned - w->sh.scanned) >= 0, KIPC_FINDING_COUNT,
		    w->body + AT(scanned), "queue: scanned for %llu returned messages, of %llu",
		    (unsigned long long)w->sh.scanned, (unsigned long long)w->sh.returned);
	if (w->returned && w->sh.returned == w->sh.scanned)
		__kipc_check_between(w->c, KIPC_FINDING_COUNT, w->body + AT(returned),
				     "queue: %llu cells are returned, but nobody will look for them",
				     (unsigned long long)w->returned);
}

void __kipc_queue_check(struct kipc_check *c, uint32_t stamp)
{
	static const char *const bells[] = { "queue's doorbell for readers",
					     "queue's doorbell for writers",
					     "queue's doorbell for join" };
	struct walk w = { .c = c, .body = c->hdr.body_off };

	if (!__kipc_check_stamp(c, stamp) ||
	    !check_that(c, __kipc_check_watch(c, w.body, sizeof(w.sh), 0, 1) &&
			   __kipc_check_read(c, w.body, &w.sh, sizeof(w.sh)),
			KIPC_FINDING_GEOMETRY, w.body, "queue: the file ends before its header") ||
	    !check_geometry(&w))
		return;
	__kipc_check_watch(c, w.sh.cells_off, sizeof(struct kipc_cell), w.sh.cell_size,
			   w.sh.capacity);
	check_cells(&w);
	check_hints(&w);
	check_returned(&w);
	check_that(c, w.sh.shutdown <= 1, KIPC_FINDING_STATE, w.body + AT(shutdown),
		   "queue: shutdown is %u", w.sh.shutdown);
	for (uint32_t i = 0; i < KIPC_QUEUE_BELLS; i++)
		__kipc_check_bell(c, &w.sh.bells[i], w.body + AT(bells) + i * sizeof(w.sh.bells[0]),
				  i, bells[i]);
}
