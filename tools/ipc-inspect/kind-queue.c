// SPDX-License-Identifier: MIT
/*
 * Queues: uapi/kipc/queue.h.
 *
 * tail and head are hints that lag behind the cells when somebody died between a claim and its
 * hint, so both are helped forward, on paper, as the library would do it in the segment.
 */
#include "uapi/kipc/queue.h"

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/kind.h"

/* Cells that a hint may lag behind, as far as we look. */
#define LAG_MAX		65536u
/* Bytes of cells that we read at most; the rest is not counted. */
#define EXAMINE_MAX	(1ULL << 30)
#define CHUNK		(256u << 10)
/* Read in one go with the body: the cells of most queues whose messages are small. */
#define WINDOW		4096u

struct claims {
	uint32_t slot, writing, reading;
};

struct queue {
	union {
		struct kipc_queue_shared sh;	/* our copy */
		char window[WINDOW];		/* ... and what follows it, up to nwindow */
	};
	uint32_t nwindow;
	uint32_t index_bits;
	uint64_t lap_mask;
	uint64_t tail, head;		/* helped forward */
	uint64_t len;
	uint64_t put, taken;
	const char *overflow;
	bool full, shutdown;
	bool geometry;		/* it can be believed */
	uint32_t waiters;
	/* deep: */
	uint64_t phases[8];
	uint64_t examined;		/* cells */
	struct claims *claims;		/* KIPC_PEER_MAX + 1 of them, by slot */
	struct claims *held;		/* those that aren't zero */
	uint32_t nheld;
	struct bell_row bells[KIPC_QUEUE_BELLS];
};

/* Whether what was written once by the creator makes sense; 0 or -EPROTO. */
static int check_geometry(struct view *v, struct queue *q)
{
	const struct kipc_queue_shared *sh = &q->sh;
	uint64_t cells = (uint64_t)sh->capacity * sh->cell_size;

	if (!sh->capacity || sh->capacity > KIPC_QUEUE_CAPACITY_MAX)
		return view_problem(v, "queue: a capacity of %u", sh->capacity);
	if (sh->cell_size % 64 || sh->cell_size < 64 || sh->cell_size > 4096)
		return view_problem(v, "queue: cells of %u bytes", sh->cell_size);
	if (sh->cells_off % 64 || !view_holds(v, sh->cells_off, cells))
		return view_problem(v, "queue: %u cells of %u bytes from %lu on: not in the file",
				    sh->capacity, sh->cell_size, (unsigned long)sh->cells_off);
	if (sh->msg_size > KIPC_QUEUE_MSG_MAX)
		return view_problem(v, "queue: messages of %lu bytes", (unsigned long)sh->msg_size);
	if (sh->msg_size > sh->cell_size - sizeof(struct kipc_cell) &&
	    (sh->payload_stride < sh->msg_size || sh->payload_stride > 2 * KIPC_QUEUE_MSG_MAX ||
	     !view_holds(v, sh->payload_off, sh->capacity * sh->payload_stride)))
		return view_problem(v, "queue: payload of %u messages from %lu on: not in the file",
				    sh->capacity, (unsigned long)sh->payload_off);
	if (sh->overflow > 1)
		return view_problem(v, "queue: overflow %u", sh->overflow);
	q->overflow = sh->overflow ? "drop oldest" : "block";
	q->index_bits = 0;
	while ((1ULL << q->index_bits) < sh->capacity)
		q->index_bits++;
	q->lap_mask = (1ULL << (64 - q->index_bits < KIPC_CELL_LAP_BITS ? 64 - q->index_bits :
									  KIPC_CELL_LAP_BITS)) - 1;
	return 0;
}

static uint32_t pos_index(const struct queue *q, uint64_t pos)
{
	return pos & ((1u << q->index_bits) - 1);
}

static uint64_t pos_next(const struct queue *q, uint64_t pos)
{
	if (pos_index(q, pos) + 1 < q->sh.capacity)
		return pos + 1;
	return ((pos >> q->index_bits) + 1) << q->index_bits;
}

static int64_t pos_distance(const struct queue *q, uint64_t a, uint64_t b)
{
	uint64_t mask = (1ULL << q->index_bits) - 1;
	int64_t laps = (int64_t)((b & ~mask) - (a & ~mask)) >> q->index_bits;

	return laps * q->sh.capacity + (int64_t)pos_index(q, b) - (int64_t)pos_index(q, a);
}

/* Positions passed since creation. */
static uint64_t pos_count(const struct queue *q, uint64_t pos)
{
	return (pos >> q->index_bits) * q->sh.capacity + pos_index(q, pos);
}

static enum kipc_cell_phase phase_of(uint64_t state)
{
	return (enum kipc_cell_phase)((state & KIPC_CELL_PHASE) >> KIPC_CELL_PHASE_SHIFT);
}

/* How many laps the cell is ahead of the position: 0, 1, or lap_mask for "one behind". */
static uint64_t laps_ahead(const struct queue *q, uint64_t state, uint64_t pos)
{
	return ((state >> KIPC_CELL_LAP_SHIFT) - (pos >> q->index_bits)) & q->lap_mask;
}

static int read_state(const struct view *v, const struct queue *q, uint32_t index, uint64_t *state)
{
	uint64_t off = q->sh.cells_off + (uint64_t)index * q->sh.cell_size;
	uint64_t at = off - v->hdr.body_off;

	if (off >= v->hdr.body_off && at + sizeof(*state) <= q->nwindow) {
		memcpy(state, q->window + at, sizeof(*state));
		return 0;
	}
	return view_read(v, off, state, sizeof(*state));
}

/* The body, and the cells that are near. */
static int read_body(struct view *v, struct queue *q)
{
	uint64_t left = v->file_size - v->hdr.body_off;		/* checked: there is a body */

	q->nwindow = left < WINDOW ? (uint32_t)left : WINDOW;
	if (q->nwindow < sizeof(q->sh) || view_read(v, v->hdr.body_off, q->window, q->nwindow))
		return view_problem(v, "queue: the body can't be read");
	return check_geometry(v, q);
}

/* Moves a hint over what was claimed (tail) or taken (head), *ahead: of the cell where it ends. */
static int help_forward(const struct view *v, const struct queue *q, bool tail, uint64_t *pos,
			uint64_t *ahead)
{
	uint32_t limit = q->sh.capacity < LAG_MAX ? q->sh.capacity : LAG_MAX;

	for (uint32_t i = 0; i <= limit; i++) {
		uint32_t index = pos_index(q, *pos);
		enum kipc_cell_phase phase;
		uint64_t state;
		bool passed;

		if (index >= q->sh.capacity || read_state(v, q, index, &state))
			return -1;
		*ahead = laps_ahead(q, state, *pos);
		phase = phase_of(state);
		if (phase > KIPC_CELL_RETURNED)
			return -1;
		passed = *ahead == 1;
		if (*ahead == 0 && tail)
			passed = phase != KIPC_CELL_FREE;
		else if (*ahead == 0)
			passed = phase == KIPC_CELL_READING || phase == KIPC_CELL_RETURNED;
		if (!passed)
			break;
		*pos = pos_next(q, *pos);
	}
	return 0;
}

struct look {
	struct view *v;
	struct queue *q;
};

static bool moved_on(const struct view *v, const struct queue *q)
{
	struct kipc_queue_shared now;

	return !view_read(v, v->hdr.body_off, &now, sizeof(now)) &&
	       (now.tail != q->sh.tail || now.head != q->sh.head);
}

/* One try to make sense of tail, head and the cells there; see view_confirm(). */
static int look_at_positions(void *arg, bool last)
{
	struct look *l = arg;
	struct queue *q = l->q;
	uint64_t at_tail = 0, at_head = 0;
	int64_t len = 0;
	bool wrong;

	q->geometry = !read_body(l->v, q);
	if (!q->geometry)
		return 0;
	q->tail = q->sh.tail;
	q->head = q->sh.head;
	wrong = help_forward(l->v, q, true, &q->tail, &at_tail) ||
		help_forward(l->v, q, false, &q->head, &at_head);
	if (!wrong) {
		len = pos_distance(q, q->head, q->tail);
		wrong = len < 0 || len > q->sh.capacity ||
			(at_tail > 1 && at_tail != q->lap_mask) ||
			(at_head > 1 && at_head != q->lap_mask);
	}
	q->full = !wrong && at_tail == q->lap_mask;
	q->len = len < 0 ? 0 : len > q->sh.capacity ? q->sh.capacity : (uint64_t)len;
	if (!wrong || (last && moved_on(l->v, q)))
		return 0;
	if (last)
		view_problem(l->v, "queue: tail %lu and head %lu don't agree with the cells",
			     (unsigned long)q->sh.tail, (unsigned long)q->sh.head);
	return -1;
}

static void count_cell(struct view *v, struct queue *q, uint64_t index, uint64_t state)
{
	uint32_t slot = state & KIPC_CELL_SLOT;
	enum kipc_cell_phase phase = phase_of(state);

	q->phases[phase]++;
	if (phase > KIPC_CELL_RETURNED)
		view_problem(v, "queue: cell %lu has phase %u", (unsigned long)index, phase);
	if (!q->claims || (phase != KIPC_CELL_WRITING && phase != KIPC_CELL_READING))
		return;
	if (!slot || slot > v->hdr.npeers)
		view_problem(v, "queue: cell %lu is held by slot %u", (unsigned long)index, slot);
	else if (phase == KIPC_CELL_WRITING)
		q->claims[slot].writing++;
	else
		q->claims[slot].reading++;
}

static void count_cells(struct view *v, struct queue *q)
{
	_cleanup_free_ char *buf = xcheck(malloc(CHUNK));
	uint64_t cells = EXAMINE_MAX / q->sh.cell_size, step = CHUNK / q->sh.cell_size, i, n;

	if (cells > q->sh.capacity)
		cells = q->sh.capacity;
	for (i = 0; i < cells; i += n) {
		n = cells - i < step ? cells - i : step;
		if (view_read(v, q->sh.cells_off + i * q->sh.cell_size, buf, n * q->sh.cell_size)) {
			view_problem(v, "queue: cell %lu can't be read", (unsigned long)i);
			break;
		}
		for (uint64_t j = 0; j < n; j++) {
			uint64_t state;

			memcpy(&state, buf + j * q->sh.cell_size, sizeof(state));
			count_cell(v, q, i + j, state);
		}
	}
	q->examined = i;
}

static const char *const bell_names[] = { "readable", "writable", "join" };

static void examine(struct view *v, struct queue *q)
{
	q->claims = xcalloc(KIPC_PEER_MAX + 1, sizeof(*q->claims));
	q->held = xcalloc(KIPC_PEER_MAX, sizeof(*q->held));
	count_cells(v, q);
	for (uint32_t slot = 1; slot <= KIPC_PEER_MAX; slot++) {
		q->claims[slot].slot = slot;
		if (q->claims[slot].writing || q->claims[slot].reading)
			q->held[q->nheld++] = q->claims[slot];
	}
	for (int i = 0; i < KIPC_QUEUE_BELLS; i++)
		bell_decode(&q->bells[i], bell_names[i], &q->sh.bells[i]);
}

static void queue_free(void *data)
{
	struct queue *q = data;

	free(q->claims);
	free(q->held);
	free(q);
}

static void *queue_load(struct view *v, bool deep)
{
	struct queue *q = xcalloc(1, sizeof(*q));
	struct look look = { .v = v, .q = q };
	bool returned;

	view_confirm(look_at_positions, &look);
	if (!q->geometry) {
		queue_free(q);
		return NULL;
	}
	q->shutdown = q->sh.shutdown;
	q->put = pos_count(q, q->tail);
	q->taken = pos_count(q, q->head);
	for (int i = 0; i < KIPC_QUEUE_BELLS; i++)
		q->waiters += q->sh.bells[i].word & KIPC_BELL_SLEEPERS;
	/* returned messages stand behind head, and are looked for only when there may be some */
	returned = q->sh.returned != q->sh.scanned;
	if (deep)
		examine(v, q);
	else if (returned)
		count_cells(v, q);
	if (returned)
		q->len += q->phases[KIPC_CELL_RETURNED];
	if (q->len > q->sh.capacity)
		q->len = q->sh.capacity;
	return q;
}

static void queue_summary(const void *data, struct summary *s)
{
	const struct queue *q = data;

	s->depth = q->len;
	s->capacity = q->sh.capacity;
	s->unit = "messages";
	s->waiters = q->waiters;
	if (q->shutdown)
		s->states |= STATE_SHUTDOWN;
	else if (q->full)
		s->states |= STATE_FULL;
}

static char *queue_holds(const void *data, uint32_t slot)
{
	const struct claims *c = &((const struct queue *)data)->claims[slot];
	char *text = NULL;

	if (c->writing)
		text = text_join(text, ", ", "writing %u", c->writing);
	if (c->reading)
		text = text_join(text, ", ", "reading %u", c->reading);
	return text;
}

#define OFF(member) offsetof(struct queue, member)
static const struct column record[] = {
	{ "messages", "depth_messages", COLUMN_NUMBER, 0, column_u64, OFF(len), "" },
	{ "capacity", "capacity_messages", COLUMN_NUMBER, 0, column_u32, OFF(sh.capacity), "" },
	{ "full", "full", COLUMN_BOOL, 0, column_bool, OFF(full), "" },
	{ "shut down", "shutdown", COLUMN_BOOL, 0, column_bool, OFF(shutdown), "" },
	{ "largest message", "message_max_bytes", COLUMN_NUMBER, 0, column_bytes,
	  OFF(sh.msg_size), "" },
	{ "when full", "overflow", COLUMN_STRING, 0, column_str, OFF(overflow), "" },
	{ "cell", "cell_bytes", COLUMN_NUMBER, 0, column_u32, OFF(sh.cell_size), "" },
	{ "put", "put_messages", COLUMN_NUMBER, 0, column_u64, OFF(put), "" },
	{ "taken", "taken_messages", COLUMN_NUMBER, 0, column_u64, OFF(taken), "" },
	{ "dropped", "dropped_messages", COLUMN_NUMBER, 0, column_u64, OFF(sh.dropped), "" },
	{ "skipped", "skipped_claims", COLUMN_NUMBER, 0, column_u64, OFF(sh.skipped), "" },
	{ "redelivered", "redelivered_messages", COLUMN_NUMBER, 0, column_u64,
	  OFF(sh.redelivered), "" },
	{ "cells free", "cells_free", COLUMN_NUMBER, 0, column_u64,
	  OFF(phases[KIPC_CELL_FREE]), "" },
	{ "cells writing", "cells_writing", COLUMN_NUMBER, 0, column_u64,
	  OFF(phases[KIPC_CELL_WRITING]), "" },
	{ "cells ready", "cells_ready", COLUMN_NUMBER, 0, column_u64,
	  OFF(phases[KIPC_CELL_READY]), "" },
	{ "cells reading", "cells_reading", COLUMN_NUMBER, 0, column_u64,
	  OFF(phases[KIPC_CELL_READING]), "" },
	{ "cells returned", "cells_returned", COLUMN_NUMBER, 0, column_u64,
	  OFF(phases[KIPC_CELL_RETURNED]), "" },
	{ "cells examined", "cells_examined", COLUMN_NUMBER, 0, column_u64, OFF(examined), "" },
	{ "tail", "tail_position", COLUMN_NUMBER, 0, column_u64, OFF(sh.tail), "" },
	{ "head", "head_position", COLUMN_NUMBER, 0, column_u64, OFF(sh.head), "" },
};
#undef OFF

#define OFF(member) offsetof(struct claims, member)
static const struct column claims_columns[] = {
	{ "SLOT", "slot", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(slot), "" },
	{ "WRITING", "writing_cells", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(writing), "" },
	{ "READING", "reading_cells", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(reading), "" },
};
#undef OFF

static void queue_show(const void *data, const struct peers *p, struct report *r)
{
	const struct queue *q = data;

	(void)p;
	report_record(r, "queue", "queue", record, sizeof(record) / sizeof(record[0]), q);
	report_table(r, "claims", "claims", claims_columns, 3, q->held, q->nheld,
		     sizeof(*q->held));
	bells_report(r, q->bells, KIPC_QUEUE_BELLS);
}

const struct kind kind_queue = {
	.kind = KIPC_SEG_QUEUE,
	.bells = bell_names,
	.nbells = KIPC_QUEUE_BELLS,
	.load = queue_load,
	.free = queue_free,
	.summary = queue_summary,
	.show = queue_show,
	.holds = queue_holds,
};
