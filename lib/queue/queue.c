// SPDX-License-Identifier: MIT
/* Making, opening, repairing and closing queues. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/names.h"
#include "core/opts.h"
#include "core/sys.h"
#include "queue/queue.h"

#define DEFAULT_CAPACITY	1024u
#define DEFAULT_MSG_SIZE	65536u
#define DEFAULT_PEERS		248u	/* with the header: 16 KiB */

#define KNOWN_FLAGS		KIPC_QUEUE_POPULATE

/* Up to this cell size all messages stand in their cells. */
#define INLINE_CELL_MAX		256u
/* The cell when messages may be longer: two cache lines, 112 bytes inline. */
#define LONG_MSG_CELL		128u

static struct kipc_queue *queue_of(struct kipc_segment *seg)
{
	return container_of(seg, struct kipc_queue, obj.seg);
}

static uint32_t bits_for(uint32_t capacity)
{
	uint32_t bits = 0;

	while ((1ULL << bits) < capacity)
		bits++;
	return bits;
}

/* Private copies of the geometry, every one checked: the segment may come from anywhere. */
static int verify(struct kipc_segment *seg)
{
	struct kipc_queue *q = queue_of(seg);
	struct kipc_queue_shared sh;
	void *body = __kipc_segment_at(seg, seg->body_off, sizeof(sh));
	uint64_t cells;

	if (!body)
		return -EPROTO;
	memcpy(&sh, body, sizeof(sh));
	if (!sh.capacity || sh.capacity > KIPC_QUEUE_CAPACITY_MAX || sh.cell_size % 64 ||
	    sh.cell_size < 64 || sh.cell_size > 4096 || sh.msg_size > KIPC_QUEUE_MSG_MAX ||
	    sh.overflow > KIPC_OVERFLOW_DROP_OLDEST)
		return -EPROTO;
	cells = (uint64_t)sh.capacity * sh.cell_size;
	if (sh.cells_off % 64 || !__kipc_segment_at(seg, sh.cells_off, cells))
		return -EPROTO;
	q->inline_size = sh.cell_size - (uint32_t)sizeof(struct kipc_cell);
	if (sh.msg_size > q->inline_size) {
		if (sh.payload_off % 64 || sh.payload_stride % 64 ||
		    sh.payload_stride < sh.msg_size || sh.payload_stride > 2 * KIPC_QUEUE_MSG_MAX ||
		    !__kipc_segment_at(seg, sh.payload_off, sh.capacity * sh.payload_stride))
			return -EPROTO;
		q->payload = seg->base + sh.payload_off;
		q->payload_stride = sh.payload_stride;
	}
	q->sh = body;
	q->cells = seg->base + sh.cells_off;
	q->capacity = sh.capacity;
	q->index_bits = bits_for(sh.capacity);
	q->lap_mask = (1ULL << min_of((uint32_t)KIPC_CELL_LAP_BITS, 64 - q->index_bits)) - 1;
	q->cell_size = sh.cell_size;
	q->msg_size = sh.msg_size;
	q->overflow = sh.overflow;
	for (uint32_t i = 0; i < KIPC_QUEUE_BELLS; i++) {
		q->bells[i].line = &q->sh->bells[i];
		q->bells[i].index = i;
		q->bells[i].id = seg->id;
	}
	seg->bells = q->bells;
	seg->nbells = KIPC_QUEUE_BELLS;
	return 0;
}

/* What a dead process held: cells it was writing are skipped, cells it was reading come again. */
static int repair(struct kipc_segment *seg, uint32_t slot)
{
	struct kipc_queue *q = queue_of(seg);
	int claims = 0;

	for (uint32_t i = 0; i < q->capacity; i++) {
		struct kipc_cell *cell = cell_at(q, i);
		uint64_t state = load_acquire(&cell->state), to;
		bool writing = cell_phase(state) == KIPC_CELL_WRITING;

		if (cell_slot(state) != slot)
			continue;
		if (writing)
			to = state_next_lap(q, cell_lap(state));
		else
			to = cell_state(cell_lap(state), KIPC_CELL_RETURNED, 0);
		if (!cmpxchg(&cell->state, state, to))
			continue;
		KIPC_POINT("queue.repair.settled");
		claims++;
		if (writing) {
			fetch_add(&q->sh->skipped, 1);
			KIPC_POINT("queue.repair.skip_counted");
		}
	}
	/* in any case: the returner may have died between the cell and this; so may a reaper */
	fetch_add(&q->sh->returned, 1);	/* pairs with: claim_returned() */
	KIPC_POINT("queue.repair.returned");
	return claims;
}

static const struct kipc_segment_ops seg_ops = {
	.kind = KIPC_SEG_QUEUE,
	.stamp = KIPC_STAMP(KIPC_STAMP(KIPC_STAMP_INIT, sizeof(struct kipc_queue_shared)),
			    sizeof(struct kipc_cell)),
	.verify = verify,
	.repair = repair,
};

static struct kipc_queue *new_queue(void)
{
	struct kipc_queue *q = calloc(1, sizeof(*q));

	if (q) {
		q->obj.ops = &__kipc_queue_object;
		for (int i = 0; i < KIPC_QUEUE_BELLS; i++)
			q->bells[i].fd = -1;
	}
	return q;
}

static void free_queue(struct kipc_queue *q)
{
	__kipc_segment_close(&q->obj.seg);
	for (int i = 0; i < KIPC_QUEUE_BELLS; i++)
		if (q->bells[i].fd >= 0)
			SYS(close(q->bells[i].fd));
	free(q);
}

/* Where everything goes; the header is written to *sh, the sizes to *spec. */
static int lay_out(const struct kipc_queue_opts *o, struct kipc_queue_shared *sh,
		   struct kipc_segment_spec *spec)
{
	uint64_t cells, cell_size;

	sh->capacity = o->capacity ? o->capacity : DEFAULT_CAPACITY;
	sh->msg_size = o->msg_size ? o->msg_size : DEFAULT_MSG_SIZE;
	sh->overflow = o->overflow;
	if (sh->capacity > KIPC_QUEUE_CAPACITY_MAX || sh->msg_size > KIPC_QUEUE_MSG_MAX)
		return -EINVAL;
	cell_size = align_up(sizeof(struct kipc_cell) + sh->msg_size, (uint64_t)64);
	sh->cell_size = cell_size <= INLINE_CELL_MAX ? (uint32_t)cell_size : LONG_MSG_CELL;
	cells = (uint64_t)sh->capacity * sh->cell_size;
	spec->body_size = sizeof(*sh) + cells;
	spec->populate = spec->body_size;
	if (sh->msg_size > sh->cell_size - sizeof(struct kipc_cell)) {
		spec->body_size = align_up(spec->body_size, (uint64_t)4096);
		sh->payload_off = spec->body_size;	/* of the body, for now */
		sh->payload_stride = align_up(sh->msg_size, (uint64_t)64);
		spec->body_size += sh->capacity * sh->payload_stride;	/* < 2^57 */
		if (o->flags & KIPC_QUEUE_POPULATE)
			spec->populate = spec->body_size;
	}
	return 0;
}

/* Whether what create was asked for makes sense; named: it gets a name. */
static int read_opts(struct kipc_queue_opts *o, const struct kipc_queue_opts *opts, bool named)
{
	uint32_t known = KNOWN_FLAGS | (named ? KIPC_NAME_CREATE_FLAGS : 0);
	int r = __kipc_opts_read(o, sizeof(*o), sizeof(*o), opts);

	if (r)
		return r;
	if ((o->flags & ~known) || o->overflow > KIPC_OVERFLOW_DROP_OLDEST ||
	    o->huge > KIPC_HUGE_TRY || (o->mode & ~0666u) || o->max_peers > KIPC_PEER_MAX)
		return -EINVAL;
	return 0;
}

static int make(const char *name, const void *how, struct kipc_object **obj)
{
	const struct kipc_queue_opts *o = how;
	struct kipc_queue_shared sh = { 0 };
	struct kipc_segment_spec spec = {
		.name = name,
		.npeers = o->max_peers ? o->max_peers : DEFAULT_PEERS,
		.huge = (enum kipc_huge)o->huge,
		.mode = o->mode,
	};
	struct kipc_queue *q;
	int r;

	r = lay_out(o, &sh, &spec);
	if (r)
		return r;
	q = new_queue();
	if (!q)
		return -ENOMEM;
	for (int i = 0; i < KIPC_QUEUE_BELL_JOIN; i++) {
		r = q->bells[i].fd = __kipc_bell_eventfd();
		if (r < 0)
			goto out_free;
	}
	r = __kipc_segment_create(&q->obj.seg, &seg_ops, &spec);
	if (r)
		goto out_free;
	sh.cells_off = q->obj.seg.body_off + sizeof(sh);
	if (sh.payload_off)
		sh.payload_off += q->obj.seg.body_off;
	memcpy(__kipc_segment_body(&q->obj.seg), &sh, sizeof(sh));
	/* the cells are zero, which is FREE of lap 0; this sets the handle up */
	r = verify(&q->obj.seg);
	for (int i = 0; !r && i < KIPC_QUEUE_BELL_JOIN; i++)
		__kipc_bell_identify(&q->bells[i]);
	if (!r)
		r = __kipc_segment_publish(&q->obj.seg);
	if (r)
		goto out_free;
	*obj = &q->obj;
	return 0;

out_free:
	free_queue(q);
	return r;
}

static struct kipc_queue *of_object(struct kipc_object *obj)
{
	return container_of(obj, struct kipc_queue, obj);
}

KIPC_API int kipc_queue_create(const char *name, const struct kipc_queue_opts *opts,
			       struct kipc_queue **q)
{
	struct kipc_queue_opts o;
	struct kipc_object *obj;
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_name_check(name);
	if (r >= 0)
		r = read_opts(&o, opts, name);
	if (r)
		return r;
	r = __kipc_name_create(name, o.flags, &__kipc_queue_object, make, &o, &obj);
	if (!r)
		*q = of_object(obj);
	return r;
}

KIPC_API int kipc_queue_open(const char *name, const struct kipc_queue_opts *opts,
			     struct kipc_queue **q)
{
	struct kipc_queue_opts o;
	struct kipc_object *obj;
	int r;

	if (!q)
		return -EINVAL;
	r = __kipc_opts_read(&o, sizeof(o), sizeof(o), opts);
	if (!r && (o.flags & ~(KNOWN_FLAGS | KIPC_NAME_OPEN_FLAGS)))
		r = -EINVAL;
	if (!r)
		r = __kipc_name_open(name, o.flags, &__kipc_queue_object, &obj);
	if (!r)
		*q = of_object(obj);
	return r;
}

KIPC_API int kipc_queue_unlink(const char *name)
{
	return __kipc_name_unlink(name, KIPC_SEG_QUEUE);
}

KIPC_API void kipc_queue_close(struct kipc_queue *q)
{
	if (!q)
		return;
	__kipc_name_forget(&q->obj);
	free_queue(q);
}

KIPC_API struct kipc_object *kipc_queue_object(struct kipc_queue *q)
{
	return q ? &q->obj : NULL;
}

static int export(struct kipc_object *obj, struct kipc_transfer *t)
{
	struct kipc_queue *q = of_object(obj);

	t->fds[0] = obj->seg.fd;
	t->fds[1] = q->bells[KIPC_QUEUE_BELL_READABLE].fd;
	t->fds[2] = q->bells[KIPC_QUEUE_BELL_WRITABLE].fd;
	return 0;
}

/* One that can only be looked at has no doorbells: nothing waits or rings there. */
static int import_readonly(int fd, struct kipc_object **out)
{
	struct kipc_queue *q = new_queue();
	int r;

	if (!q)
		return -ENOMEM;
	r = __kipc_segment_open_readonly(&q->obj.seg, &seg_ops, fd);
	if (r) {
		free(q);
		return r;
	}
	*out = &q->obj;
	return 0;
}

static int import(struct kipc_transfer *t, struct kipc_object **out)
{
	struct kipc_queue *q;
	int r;

	if (t->readonly)
		return import_readonly(t->fds[0], out);
	for (int i = 0; i < KIPC_QUEUE_BELL_JOIN; i++) {
		r = __kipc_bell_check_fd(t->fds[1 + i]);
		if (r)
			return r;
	}
	q = new_queue();
	if (!q)
		return -ENOMEM;
	/* before the segment is attached: a repair at that moment rings */
	for (int i = 0; i < KIPC_QUEUE_BELL_JOIN; i++)
		q->bells[i].fd = t->fds[1 + i];
	r = __kipc_segment_open(&q->obj.seg, &seg_ops, t->fds[0]);
	if (r) {
		free(q);
		return r;
	}
	*out = &q->obj;
	return 0;
}

static void close_object(struct kipc_object *obj)
{
	kipc_queue_close(of_object(obj));
}

static void check(struct kipc_check *c)
{
	__kipc_queue_check(c, seg_ops.stamp);
}

const struct kipc_object_ops __kipc_queue_object = {
	.kind = KIPC_SEG_QUEUE,
	.nfds = 3,
	.export = export,
	.import = import,
	.close = close_object,
	.source = __kipc_queue_source,
	.check = check,
};
