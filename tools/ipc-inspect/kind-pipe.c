// SPDX-License-Identifier: MIT
/* Pipes: uapi/kipc/pipe.h. */
#include "tools/ipc-inspect/kind-pipe.h"

#include "tools/common/text.h"
#include "tools/common/xalloc.h"

/* A ring with less room than this takes nothing but an empty message. */
#define NEARLY_FULL	(2 * KIPC_PIPE_RECORD)

static int check_geometry(struct view *v, struct pipe *p)
{
	const struct kipc_pipe_header *sh = &p->sh;

	p->simplex = sh->flags & KIPC_PIPE_F_SIMPLEX;
	p->exclusive = sh->flags & KIPC_PIPE_F_EXCLUSIVE;
	p->first = p->simplex ? 1 : 0;
	p->nways = KIPC_PIPE_WAYS - p->first;
	if (sh->ring_size < 8 || sh->ring_size > KIPC_PIPE_RING_MAX ||
	    (sh->ring_size & (sh->ring_size - 1)))
		return view_problem(v, "pipe: a ring of %lu bytes", (unsigned long)sh->ring_size);
	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++)
		if (sh->ring_off[i] % 4096 || !view_holds(v, sh->ring_off[i], sh->ring_size))
			return view_problem(v, "pipe: ring %u from %lu on is not in the file", i,
					    (unsigned long)sh->ring_off[i]);
	return 0;
}

static void decode_way(const struct pipe *p, struct pipe_way *w, unsigned int i)
{
	const struct kipc_pipe_way *sh = &p->sh.way[i];

	snprintf(w->name, sizeof(w->name), "%u to %u", i, !i);
	w->ring = p->sh.ring_size;
	w->head = pipe_position(sh->head);
	w->tail = pipe_position(sh->tail);
	w->queued = w->head - w->tail;
	w->shutdown = sh->head & KIPC_PIPE_SHUT;
	w->sent = sh->sent;
	w->received = sh->received;
	w->cuts = sh->cuts;
	w->sending = sh->stream_end & KIPC_PIPE_VALID;
	w->receiving = sh->msg_end & KIPC_PIPE_VALID;
	w->full = w->ring - w->queued < NEARLY_FULL ||
		  (w->queued && (sh->writable.word & KIPC_BELL_SLEEPERS));
}

struct look {
	struct view *v;
	struct pipe *p;
};

/* One try; the receiver may have moved tail beyond the head that was read before. */
static int look_at_ways(void *arg, bool last)
{
	struct look *l = arg;
	struct pipe *p = l->p;
	int r = 0;

	p->geometry = false;
	if (view_read(l->v, l->v->hdr.body_off, &p->sh, sizeof(p->sh))) {
		view_problem(l->v, "pipe: the body can't be read");
		return 0;
	}
	if (check_geometry(l->v, p))
		return 0;
	p->geometry = true;
	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		const struct kipc_pipe_way *sh = &p->sh.way[i];

		decode_way(p, &p->way[i], i);
		if (p->way[i].queued <= p->sh.ring_size && !(sh->tail & KIPC_PIPE_BITS) &&
		    !(sh->head & KIPC_PIPE_BITS & ~KIPC_PIPE_SHUT))
			continue;
		if (last)
			view_problem(l->v, "pipe: way %u: head 0x%lx and tail 0x%lx, ring of %lu",
				     i, (unsigned long)sh->head, (unsigned long)sh->tail,
				     (unsigned long)p->sh.ring_size);
		p->way[i].queued = 0;
		r = -1;
	}
	return r;
}

static void *pipe_load(struct view *v, bool deep)
{
	static const char *const names[] = { "0 to 1 readable", "0 to 1 writable",
					     "1 to 0 readable", "1 to 0 writable" };
	struct pipe *p = xcalloc(1, sizeof(*p));
	struct look look = { .v = v, .p = p };

	(void)deep;
	p->body = v->hdr.body_off;
	view_confirm(look_at_ways, &look);
	if (!p->geometry) {
		free(p);
		return NULL;
	}
	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		const struct kipc_pipe_way *sh = &p->sh.way[i];

		p->queued += p->way[i].queued;
		bell_decode(&p->bells[2 * i], names[2 * i], &sh->readable);
		bell_decode(&p->bells[2 * i + 1], names[2 * i + 1], &sh->writable);
		p->waiters += p->bells[2 * i].sleepers + p->bells[2 * i + 1].sleepers;
	}
	return p;
}

static void pipe_summary(const void *data, struct summary *s)
{
	const struct pipe *p = data;
	unsigned int shut = 0;

	s->depth = p->queued;
	s->capacity = p->nways * p->sh.ring_size;
	s->unit = "bytes";
	s->waiters = p->waiters;
	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		shut += p->way[i].shutdown;
		if (p->way[i].full)
			s->states |= STATE_FULL;
	}
	if (shut == p->nways)
		s->states |= STATE_SHUTDOWN;
}

static char *pipe_holds(const void *data, uint32_t slot)
{
	const struct pipe *p = data;
	char *text = NULL;

	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		if (lock_held_by(p->sh.way[i].send_lock, slot))
			text = text_join(text, ", ", "sending %s", p->way[i].name);
		if (lock_held_by(p->sh.way[i].recv_lock, slot))
			text = text_join(text, ", ", "receiving %s", p->way[i].name);
	}
	return text;
}

static void pipe_locks(const void *data, lock_fn fn, void *arg)
{
	const struct pipe *p = data;
	char name[32];

	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		uint64_t way = p->body + offsetof(struct kipc_pipe_header, way) +
			       i * sizeof(struct kipc_pipe_way);

		snprintf(name, sizeof(name), "send %s", p->way[i].name);
		lock_site(fn, arg, way + offsetof(struct kipc_pipe_way, send_lock),
			  p->sh.way[i].send_lock, name);
		snprintf(name, sizeof(name), "receive %s", p->way[i].name);
		lock_site(fn, arg, way + offsetof(struct kipc_pipe_way, recv_lock),
			  p->sh.way[i].recv_lock, name);
	}
}

static void pipe_traffic(const void *data, const struct view *v, struct traffic *t)
{
	const struct pipe *p = data;

	(void)v;
	t->messages = t->bytes = 0;
	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		t->messages += p->way[i].sent;
		t->bytes += p->way[i].head;
	}
}

static void pipe_counters(const void *data, counter_fn fn, void *arg)
{
	const struct pipe *p = data;
	char key[40];

	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		const struct pipe_way *w = &p->way[i];
		const struct {
			const char *name;
			uint64_t value;
		} counters[] = {
			{ "sent_messages", w->sent },
			{ "received_messages", w->received },
			{ "cut_messages", w->cuts },
			/* records, so 8 more a message, and rounded up to 8 */
			{ "sent_ring_bytes", w->head },
			{ "received_ring_bytes", w->tail },
		};

		for (size_t j = 0; j < sizeof(counters) / sizeof(counters[0]); j++) {
			snprintf(key, sizeof(key), "way%u_%s", i, counters[j].name);
			fn(arg, key, counters[j].value);
		}
		snprintf(key, sizeof(key), "way%u_readable", i);
		bell_counters(key, &p->sh.way[i].readable, fn, arg);
		snprintf(key, sizeof(key), "way%u_writable", i);
		bell_counters(key, &p->sh.way[i].writable, fn, arg);
	}
}

#define OFF(member) offsetof(struct pipe, member)
static const struct column record[] = {
	{ "ring", "ring_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(sh.ring_size), "" },
	{ "simplex", "simplex", COLUMN_BOOL, 0, column_bool, OFF(simplex), "" },
	{ "exclusive", "exclusive", COLUMN_BOOL, 0, column_bool, OFF(exclusive), "" },
	{ "handles closed, end 0", "end0_closes", COLUMN_NUMBER, 0, column_u32, OFF(sh.closes[0]),
	  "" },
	{ "handles closed, end 1", "end1_closes", COLUMN_NUMBER, 0, column_u32, OFF(sh.closes[1]),
	  "" },
};
#undef OFF

#define OFF(member) offsetof(struct pipe_way, member)
static const struct column way_columns[] = {
	{ "WAY", "way", COLUMN_STRING, 0, column_chars, OFF(name), "" },
	{ "QUEUED", "queued_bytes", COLUMN_NUMBER, COLUMN_RIGHT, column_bytes, OFF(queued), "" },
	{ "RING", "ring_bytes", COLUMN_NUMBER, COLUMN_RIGHT, column_bytes, OFF(ring), "" },
	{ "FULL", "full", COLUMN_BOOL, 0, column_bool, OFF(full), "" },
	{ "SHUTDOWN", "shutdown", COLUMN_BOOL, 0, column_bool, OFF(shutdown), "" },
	{ "SENT", "sent_messages", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(sent), "" },
	{ "RECEIVED", "received_messages", COLUMN_NUMBER, COLUMN_RIGHT, column_u64,
	  OFF(received), "" },
	{ "CUT", "cut_messages", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(cuts), "" },
	{ "SENDING-LONG", "sending_long", COLUMN_BOOL, 0, column_bool, OFF(sending), "" },
	{ "RECEIVING-LONG", "receiving_long", COLUMN_BOOL, 0, column_bool, OFF(receiving), "" },
	{ "HEAD", "head_position_bytes", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(head), "" },
	{ "TAIL", "tail_position_bytes", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(tail), "" },
};
#undef OFF

static void pipe_show(const void *data, const struct peers *peers, struct report *r)
{
	const struct pipe *p = data;
	struct lock_row locks[2 * KIPC_PIPE_WAYS];
	unsigned int n = 0;
	char name[24];

	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		snprintf(name, sizeof(name), "send %s", p->way[i].name);
		lock_decode(&locks[n++], name, p->sh.way[i].send_lock, peers);
		snprintf(name, sizeof(name), "receive %s", p->way[i].name);
		lock_decode(&locks[n++], name, p->sh.way[i].recv_lock, peers);
	}
	report_record(r, "pipe", "pipe", record, sizeof(record) / sizeof(record[0]), p);
	report_table(r, "ways", "ways", way_columns, sizeof(way_columns) / sizeof(way_columns[0]),
		     &p->way[p->first], p->nways, sizeof(p->way[0]));
	locks_report(r, locks, n);
	bells_report(r, &p->bells[2 * p->first], 2 * p->nways);
}

static const char *const bell_names[] = { "0to1-readable", "0to1-writable", "1to0-readable",
					  "1to0-writable" };

const struct kind kind_pipe = {
	.kind = KIPC_SEG_PIPE,
	.bells = bell_names,
	.nbells = 2 * KIPC_PIPE_WAYS,
	.load = pipe_load,
	.free = free,
	.summary = pipe_summary,
	.show = pipe_show,
	.holds = pipe_holds,
	.locks = pipe_locks,
	.counters = pipe_counters,
	.traffic = pipe_traffic,
	.dump = pipe_dump,
};
