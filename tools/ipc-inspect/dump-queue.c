// SPDX-License-Identifier: MIT
/* The messages of a queue: those that wait, those that are taken, and who is writing one. */
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/dump.h"
#include "tools/ipc-inspect/kind-queue.h"

struct messages {
	struct dump *d;
	struct view *v;
	const struct queue *q;
};

/*
 * The message's bytes, as they were while the cell was in that lap: in it, READY, READING and RETURNED
 * leave them alone.  NULL: it is gone, or can't be.
 */
static void *read_message(const struct messages *m, const struct queue_cell *cell, uint64_t n)
{
	struct kipc_cell now;
	void *buf = dump_read(m->v, queue_data_off(m->q, cell->index, cell->len), n);

	if (buf && !view_read(m->v, queue_cell_off(m->q, cell->index), &now, sizeof(now)) &&
	    now.state >> KIPC_CELL_LAP_SHIFT == cell->state >> KIPC_CELL_LAP_SHIFT &&
	    queue_phase(now.state) >= KIPC_CELL_READY && now.len == cell->len)
		return buf;
	free(buf);
	return NULL;
}

static void put_head(struct dump *d, const struct queue_cell *cell, uint64_t n)
{
	enum kipc_cell_phase phase = queue_phase(cell->state);
	uint32_t slot = cell->state & KIPC_CELL_SLOT;
	char by[32] = "";

	if (slot)
		snprintf(by, sizeof(by), " by slot %u", slot);
	if (phase == KIPC_CELL_WRITING)
		dump_title(d, "\nmessage %lu: writing%s", (unsigned long)cell->position, by);
	else
		dump_title(d, "\nmessage %lu: %lu bytes, %s%s%s", (unsigned long)cell->position,
			   (unsigned long)cell->len, queue_phase_name(phase), by,
			   n < cell->len ? ", its beginning" : "");
	if (!d->format.json)
		return;
	json_open(&d->json, NULL, '{');
	dump_number(d, "position", cell->position);
	dump_word(d, "phase", queue_phase_name(phase));
	if (slot)
		dump_number(d, "slot", slot);
	else
		json_value(&d->json, "slot", "null");
	if (phase == KIPC_CELL_WRITING)
		json_value(&d->json, "length_bytes", "null");
	else
		dump_number(d, "length_bytes", cell->len);
}

static void put_tail(struct dump *d)
{
	if (d->format.json)
		json_close(&d->json, '}');
}

static bool message(const struct queue_cell *cell, void *arg)
{
	struct messages *m = arg;
	uint64_t n = cell->len < DUMP_MAX ? cell->len : DUMP_MAX;
	enum kipc_cell_phase phase = queue_phase(cell->state);
	_cleanup_free_ void *buf = NULL;

	if (phase == KIPC_CELL_WRITING) {
		put_head(m->d, cell, 0);
		put_tail(m->d);
		return true;
	}
	if (phase > KIPC_CELL_RETURNED)
		return true;	/* noted when it was loaded */
	if (cell->len > m->q->sh.msg_size) {
		view_problem(m->v, "queue: cell %u has a message of %lu bytes", cell->index,
			     (unsigned long)cell->len);
		return true;
	}
	buf = read_message(m, cell, n);
	if (!buf)
		return true;
	put_head(m->d, cell, n);
	dump_bytes(m->d, buf, n);
	put_tail(m->d);
	return true;
}

void queue_dump(const void *data, struct view *v, struct dump *d)
{
	struct messages m = { .d = d, .v = v, .q = data };

	if (d->format.json)
		json_open(&d->json, "messages", '[');
	queue_each_cell(v, m.q, message, &m);
	if (d->format.json)
		json_close(&d->json, ']');
}
