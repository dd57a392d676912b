// SPDX-License-Identifier: MIT
/*
 * Queues: uapi/kipc/queue.h.
 *
 * tail and head are hints that lag behind the cells when somebody died between a claim and its
 * hint, so both are helped forward, on paper, as the library would do it in the segment.
 */
#include "tools/ipc-inspect/kind-queue.h"

#include "tools/common/text.h"
#include "tools/common/xalloc.h"

/* Cells that a hint may lag behind, as far as we look. */
#define LAG_MAX		65536u
/* Bytes of cells that we read at most; the rest is not counted. */
#define EXAMINE_MAX	(1ULL << 30)
#define CHUNK		(256u << 10)
/* Messages whose lengths top goes by. */
#define SAMPLE		16u
/* For top, at the cells being written. */
#define LOOKS_AT_TAIL	64
/* Cells that show prints a row for. */
#define ROWS_MAX	64u

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

int64_t queue_distance(const struct queue *q, uint64_t a, uint64_t b)
{
	uint64_t mask = (1ULL << q->index_bits) - 1;
	int64_t laps = (int64_t)((b & ~mask) - (a & ~mask)) >> q->index_bits;

	/* unsigned: hostile positions may overflow */
	return (int64_t)((uint64_t)laps * q->sh.capacity + queue_index(q, b) - queue_index(q, a));
}

uint64_t queue_count(const struct queue *q, uint64_t pos)
{
	return (pos >> q->index_bits) * q->sh.capacity + queue_index(q, pos);
}

/* How many laps the cell is ahead of the position: 0, 1, or lap_mask for "one behind". */
static uint64_t laps_ahead(const struct queue *q, uint64_t state, uint64_t pos)
{
	return ((state >> KIPC_CELL_LAP_SHIFT) - (pos >> q->index_bits)) & q->lap_mask;
}

static int read_state(const struct view *v, const struct queue *q, uint32_t index, uint64_t *state)
{
	uint64_t off = queue_cell_off(q, index);
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

	q->nwindow = left < QUEUE_WINDOW ? (uint32_t)left : QUEUE_WINDOW;
	if (q->nwindow < sizeof(q->sh) || view_read(v, v->hdr.body_off, q->window, q->nwindow))
		return view_problem(v, "queue: the body can't be read");
	return check_geometry(v, q);
}

/* Whether `ahead` laps are ahead, and not behind: the position is over. */
static bool laps_later(const struct queue *q, uint64_t ahead)
{
	return ahead - 1 < q->lap_mask / 2;
}

/* So many laps the cell at tail can be ahead of it: lib/queue/queue.h says why. */
#define TAIL_LAPS	2

static bool tail_passes(enum kipc_cell_phase phase, uint64_t ahead)
{
	return ahead ? ahead <= TAIL_LAPS : phase != KIPC_CELL_FREE;
}

/* Head may lag by any number of laps, when nothing was taken of all that went by. */
static bool head_passes(const struct queue *q, enum kipc_cell_phase phase, uint64_t ahead)
{
	return ahead ? laps_later(q, ahead) :
		       phase == KIPC_CELL_READING || phase == KIPC_CELL_RETURNED;
}

/* Moves a hint over what was claimed (tail) or taken (head), *ahead: of the cell where it ends. */
static int help_forward(const struct view *v, const struct queue *q, bool tail, uint64_t *pos,
			uint64_t *ahead)
{
	uint32_t limit = q->sh.capacity < LAG_MAX ? 4 * q->sh.capacity : LAG_MAX;

	for (uint32_t i = 0; i <= limit; i++) {
		uint32_t index = queue_index(q, *pos);
		enum kipc_cell_phase phase;
		uint64_t state;

		if (index >= q->sh.capacity || read_state(v, q, index, &state))
			return -1;
		*ahead = laps_ahead(q, state, *pos);
		phase = queue_phase(state);
		if (phase > KIPC_CELL_RETURNED)
			return -1;
		if (!(tail ? tail_passes(phase, *ahead) : head_passes(q, phase, *ahead)))
			break;
		/* whole laps at once, what is younger step by step */
		if (*ahead > TAIL_LAPS)
			*pos += (*ahead - TAIL_LAPS) << q->index_bits;
		*pos = queue_next(q, *pos);
	}
	return 0;
}

/* Positions between head and tail that were given up. */
static uint64_t count_skipped(const struct view *v, const struct queue *q, uint64_t n)
{
	uint64_t pos = q->head, skipped = 0, state;

	if (!q->sh.skipped && !q->sh.returned && !q->sh.dropped)
		return 0;
	for (uint64_t i = 0; i < n && i < LAG_MAX; i++, pos = queue_next(q, pos))
		if (!read_state(v, q, queue_index(q, pos), &state) &&
		    laps_later(q, laps_ahead(q, state, pos)))
			skipped++;
	return skipped;
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
		len = queue_distance(q, q->head, q->tail);
		wrong = len < 0 || len > q->sh.capacity ||
			(at_tail > TAIL_LAPS && at_tail != q->lap_mask) ||
			(at_head && !laps_later(q, at_head) && at_head != q->lap_mask);
	}
	q->full = !wrong && at_tail == q->lap_mask;
	q->len = len < 0 ? 0 : len > q->sh.capacity ? q->sh.capacity : (uint64_t)len;
	if (!wrong)
		q->len -= count_skipped(l->v, q, q->len);
	if (!wrong || (last && moved_on(l->v, q)))
		return 0;
	if (last)
		view_problem(l->v, "queue: tail %lu and head %lu don't agree with the cells",
			     (unsigned long)q->sh.tail, (unsigned long)q->sh.head);
	return -1;
}

/* ---- all cells ---- */

struct walk {
	struct view *v;
	struct queue *q;
	bool (*each)(struct walk *w, const struct queue_cell *cell);	/* false: enough */
	/* queue_each_cell() */
	bool (*fn)(const struct queue_cell *cell, void *arg);
	void *arg;
};

/* Cells from `index` to the end of the ring at most, n of them.  1: enough, 0, or -EPROTO. */
static int walk_stretch(struct walk *w, char *buf, uint32_t index, uint64_t n)
{
	const struct queue *q = w->q;
	uint64_t size = q->sh.cell_size, step = CHUNK / size;

	for (uint64_t i = 0, m; i < n; i += m) {
		m = n - i < step ? n - i : step;
		if (view_read(w->v, queue_cell_off(q, index + (uint32_t)i), buf, m * size))
			return view_problem(w->v, "queue: cell %lu can't be read",
					    (unsigned long)(index + i));
		for (uint64_t j = 0; j < m; j++) {
			struct queue_cell cell = { .index = index + (uint32_t)(i + j) };
			struct kipc_cell head;

			memcpy(&head, buf + j * size, sizeof(head));
			cell.state = head.state;
			cell.len = head.len;
			cell.position = (head.state >> KIPC_CELL_LAP_SHIFT) << q->index_bits |
					cell.index;
			if (!w->each(w, &cell))
				return 1;
		}
	}
	return 0;
}

/* Round the ring from tail on, which is from the oldest on; n cells at most. */
static int walk_ring(struct walk *w, uint64_t n)
{
	_cleanup_free_ char *buf = xcheck(malloc(CHUNK));
	uint32_t first = queue_index(w->q, w->q->tail);
	uint64_t up;
	int r;

	if (first >= w->q->sh.capacity)
		first = 0;
	up = w->q->sh.capacity - first < n ? w->q->sh.capacity - first : n;
	r = walk_stretch(w, buf, first, up);
	return r ? r : walk_stretch(w, buf, 0, n - up);
}

static void keep_row(struct queue *q, const struct queue_cell *cell)
{
	if (q->cells && q->ncells < ROWS_MAX && queue_phase(cell->state) != KIPC_CELL_FREE)
		q->cells[q->ncells++] = *cell;
}

static bool count_cell(struct walk *w, const struct queue_cell *cell)
{
	struct queue *q = w->q;
	uint32_t slot = cell->state & KIPC_CELL_SLOT;
	enum kipc_cell_phase phase = queue_phase(cell->state);

	q->examined++;
	q->phases[phase]++;
	if (phase > KIPC_CELL_RETURNED)
		view_problem(w->v, "queue: cell %u has phase %u", cell->index, phase);
	keep_row(q, cell);
	if (!q->claims || (phase != KIPC_CELL_WRITING && phase != KIPC_CELL_READING))
		return true;
	if (!slot || slot > w->v->hdr.npeers)
		view_problem(w->v, "queue: cell %u is held by slot %u", cell->index, slot);
	else if (phase == KIPC_CELL_WRITING)
		q->claims[slot].writing++;
	else
		q->claims[slot].reading++;
	return true;
}

static void count_cells(struct view *v, struct queue *q)
{
	struct walk w = { .v = v, .q = q, .each = count_cell };
	uint64_t cells = EXAMINE_MAX / q->sh.cell_size;

	walk_ring(&w, cells < q->sh.capacity ? cells : q->sh.capacity);
}

static bool one_cell(struct walk *w, const struct queue_cell *cell)
{
	return queue_phase(cell->state) == KIPC_CELL_FREE || w->fn(cell, w->arg);
}

int queue_each_cell(struct view *v, const struct queue *q,
		    bool (*fn)(const struct queue_cell *cell, void *arg), void *arg)
{
	/* each() doesn't change it */
	struct walk w = { .v = v, .q = (struct queue *)q, .each = one_cell, .fn = fn, .arg = arg };
	int r = walk_ring(&w, q->sh.capacity);

	return r < 0 ? r : 0;
}

static const char *const bell_names[] = { "readable", "writable", "join" };

static void examine(struct view *v, struct queue *q)
{
	q->claims = xcalloc(KIPC_PEER_MAX + 1, sizeof(*q->claims));
	q->held = xcalloc(KIPC_PEER_MAX, sizeof(*q->held));
	q->cells = xcalloc(ROWS_MAX, sizeof(*q->cells));
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
	free(q->cells);
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
	q->body = v->hdr.body_off;
	q->shutdown = q->sh.shutdown;
	q->put = queue_count(q, q->tail);
	q->taken = queue_count(q, q->head);
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
	const struct queue_claims *c = &((const struct queue *)data)->claims[slot];
	char *text = NULL;

	if (c->writing)
		text = text_join(text, ", ", "writing %u", c->writing);
	if (c->reading)
		text = text_join(text, ", ", "reading %u", c->reading);
	return text;
}

/* Nobody in particular is waited for. */
static void queue_locks(const void *data, lock_fn fn, void *arg)
{
	const struct queue *q = data;
	struct lock_site join = {
		.off = q->body + offsetof(struct kipc_queue_shared, join_seq),
		.waiters = true,
		.name = "join",
	};

	if (q->sh.bells[KIPC_QUEUE_BELL_JOIN].word & KIPC_BELL_SLEEPERS)
		fn(arg, &join);
}

/* By the lengths that the newest cells still say, whether their messages were taken or not. */
static uint64_t mean_length(const struct view *v, const struct queue *q)
{
	uint32_t n = q->put < SAMPLE ? (uint32_t)q->put : SAMPLE, index = queue_index(q, q->tail);
	uint64_t sum = 0, found = 0, len;

	n = n < q->sh.capacity ? n : q->sh.capacity;
	for (uint32_t i = 0; i < n; i++) {
		index = index ? index - 1 : q->sh.capacity - 1;
		if (index >= q->sh.capacity ||
		    view_read(v, queue_cell_off(q, index) + offsetof(struct kipc_cell, len), &len,
			      sizeof(len)) ||
		    len > q->sh.msg_size)
			continue;
		sum += len;
		found++;
	}
	return found ? sum / found : ABSENT;
}

static void queue_traffic(const void *data, const struct view *v, struct traffic *t)
{
	const struct queue *q = data;

	t->messages = q->put;
	t->mean_bytes = mean_length(v, q);
}

/* Who is writing the newest cells, or claiming the next one: its slot's hit. */
static void look_at_tail(const struct queue *q, const struct view *v,
			 uint32_t hits[KIPC_PEER_MAX + 1])
{
	uint64_t tail, state;
	uint32_t index;

	if (view_read(v, q->body, &tail, sizeof(tail)))
		return;
	index = queue_index(q, tail);
	for (int i = 0; i < 2 && index < q->sh.capacity; i++) {
		if (!view_read(v, queue_cell_off(q, index), &state, sizeof(state)) &&
		    queue_phase(state) == KIPC_CELL_WRITING &&
		    (state & KIPC_CELL_SLOT) <= KIPC_PEER_MAX)
			hits[state & KIPC_CELL_SLOT]++;
		index = index ? index - 1 : q->sh.capacity - 1;
	}
}

/* Many looks, for a message is written in no time; and who waits for room wants to put as well. */
static void queue_producers(const void *data, const struct view *v, const struct peers *p,
			    uint32_t hits[KIPC_PEER_MAX + 1])
{
	for (int i = 0; i < LOOKS_AT_TAIL; i++)
		look_at_tail(data, v, hits);
	for (uint32_t i = 0; i < p->n; i++)
		if (p->peer[i].rec.sleeping[KIPC_QUEUE_BELL_WRITABLE])
			hits[p->peer[i].slot]++;
}

static void queue_counters(const void *data, counter_fn fn, void *arg)
{
	const struct queue *q = data;

	fn(arg, "put_messages", q->put);
	fn(arg, "taken_messages", q->taken);
	fn(arg, "dropped_messages", q->sh.dropped);
	fn(arg, "skipped_claims", q->sh.skipped);
	fn(arg, "redelivered_messages", q->sh.redelivered);
	for (int i = 0; i < KIPC_QUEUE_BELL_JOIN; i++)
		bell_counters(bell_names[i], &q->sh.bells[i], fn, arg);
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

#define OFF(member) offsetof(struct queue_claims, member)
static const struct column claims_columns[] = {
	{ "SLOT", "slot", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(slot), "" },
	{ "WRITING", "writing_cells", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(writing), "" },
	{ "READING", "reading_cells", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(reading), "" },
};
#undef OFF

const char *queue_phase_name(enum kipc_cell_phase phase)
{
	static const char *const names[] = {
		[KIPC_CELL_FREE] = "free",	[KIPC_CELL_WRITING] = "writing",
		[KIPC_CELL_READY] = "ready",	[KIPC_CELL_READING] = "taken",
		[KIPC_CELL_RETURNED] = "returned",
	};

	return phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "unknown";
}

static char *print_phase(const void *row, const struct column *c, const struct format *f)
{
	(void)c;
	(void)f;
	return xstrdup(queue_phase_name(queue_phase(((const struct queue_cell *)row)->state)));
}

static char *print_slot(const void *row, const struct column *c, const struct format *f)
{
	uint32_t slot = ((const struct queue_cell *)row)->state & KIPC_CELL_SLOT;

	(void)c;
	(void)f;
	return slot ? xasprintf("%u", slot) : NULL;
}

/* A length stands there only once the message does. */
static char *print_len(const void *row, const struct column *c, const struct format *f)
{
	return queue_phase(((const struct queue_cell *)row)->state) == KIPC_CELL_WRITING ?
		       NULL :
		       column_bytes(row, c, f);
}

#define OFF(member) offsetof(struct queue_cell, member)
static const struct column cell_columns[] = {
	{ "CELL", "cell", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(index), "" },
	{ "POSITION", "position", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(position), "" },
	{ "PHASE", "phase", COLUMN_STRING, 0, print_phase, 0,
	  "ready; writing, taken: by the slot; returned: to be taken again" },
	{ "SLOT", "slot", COLUMN_NUMBER, COLUMN_RIGHT, print_slot, 0, "" },
	{ "LENGTH", "length_bytes", COLUMN_NUMBER, COLUMN_RIGHT, print_len, OFF(len), "" },
};
#undef OFF

static void queue_show(const void *data, const struct peers *p, struct report *r)
{
	const struct queue *q = data;

	(void)p;
	report_record(r, "queue", "queue", record, sizeof(record) / sizeof(record[0]), q);
	report_table(r, "claims", "claims", claims_columns, 3, q->held, q->nheld,
		     sizeof(*q->held));
	report_table(r, "cells", "oldest cells in use", cell_columns,
		     sizeof(cell_columns) / sizeof(cell_columns[0]), q->cells, q->ncells,
		     sizeof(*q->cells));
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
	.locks = queue_locks,
	.counters = queue_counters,
	.traffic = queue_traffic,
	.producers = queue_producers,
	.dump = queue_dump,
};
