// SPDX-License-Identifier: MIT
/*
 * A manager's segment: made, checked, handed over, left.
 *
 * Its geometry follows from one number, max_spans, which is the reserved size: the table begins at
 * the first line behind the header, the spans behind the table.  The table is sparse: a page of it
 * comes into being with the first of its spans.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/names.h"
#include "core/opts.h"
#include "manager/audit.h"
#include "manager/handle.h"
#include "manager/registry.h"
#include "manager/repair.h"

#define DEFAULT_PEERS	120
#define DEFAULT_SIZE	(1ULL << 20)
#define DEFAULT_MAX	(16ULL << 30)
#define MAX_MAX		(1ULL << 40)

static struct kipc_manager *manager_of(struct kipc_segment *seg)
{
	return container_of(seg, struct kipc_manager, obj.seg);
}

/* ---- geometry ---- */

static uint64_t table_off(uint64_t body_off)
{
	return align_up(body_off + sizeof(struct kipc_mgr_header), (uint64_t)64);
}

static uint64_t first_span(uint64_t body_off, uint64_t max_spans)
{
	return (table_off(body_off) + max_spans * sizeof(struct kipc_span) + KIPC_SPAN_SIZE - 1) >>
	       KIPC_SPAN_SHIFT;
}

static void set_geometry(struct kipc_manager *m, uint64_t max_spans)
{
	struct kipc_segment *seg = &m->obj.seg;

	m->hdr = __kipc_segment_body(seg);
	m->spans = (struct kipc_span *)(seg->base + table_off(seg->body_off));
	m->max_spans = max_spans;
	m->first_span = first_span(seg->body_off, max_spans);
	m->first_off = m->first_span << KIPC_SPAN_SHIFT;
}

int __kipc_manager_verify(struct kipc_segment *seg)
{
	struct kipc_manager *m = manager_of(seg);
	uint64_t max_spans = seg->map_size >> KIPC_SPAN_SHIFT;
	struct kipc_mgr_header *hdr;

	hdr = __kipc_segment_at(seg, seg->body_off, sizeof(*hdr));
	if (!hdr || seg->map_size > MAX_MAX + (MAX_MAX >> 8))
		return -EPROTO;
	if (load_relaxed(&hdr->max_spans) != max_spans ||
	    load_relaxed(&hdr->span_shift) != KIPC_SPAN_SHIFT ||
	    load_relaxed(&hdr->nclasses) != KIPC_CLASSES ||
	    load_relaxed(&hdr->table_off) != table_off(seg->body_off) ||
	    load_relaxed(&hdr->first_span) != first_span(seg->body_off, max_spans))
		return -EPROTO;
	set_geometry(m, max_spans);
	/* all descriptors are inside, whether their spans exist or not */
	if (m->first_off > seg->size || load_relaxed(&hdr->nspans) < m->first_span)
		return -EPROTO;
	m->touched = load_relaxed(&hdr->nspans);
	return 0;
}

/* ---- segment ---- */

static void forked(struct kipc_segment *seg)
{
	struct kipc_manager *m = manager_of(seg);

	/* fork waited for it: whole, and nobody's in this process */
	pthread_mutex_init(&m->mutex, NULL);
	__kipc_handles_forked(m, seg->slot != 0);
}

static int prefork(struct kipc_segment *seg, uint32_t child_slot)
{
	return __kipc_handles_prefork(manager_of(seg), child_slot);
}

static int reattached(struct kipc_segment *seg)
{
	struct kipc_manager *m = manager_of(seg);
	int r = __kipc_handles_reattached(m);

	if (r)
		__kipc_handles_forked(m, false);	/* the core gives the slot back, and all tables with it */
	return r;
}

static const struct kipc_segment_ops segment_ops = {
	.kind = KIPC_SEG_MANAGER,
	.stamp = KIPC_STAMP(
		KIPC_STAMP(KIPC_STAMP(KIPC_STAMP(KIPC_STAMP_INIT, sizeof(struct kipc_mgr_header)),
				      sizeof(struct kipc_tx)),
			   sizeof(struct kipc_obj_header)),
		KIPC_CLASSES),
	.verify = __kipc_manager_verify,
	.repair = __kipc_manager_repair,
	.forked = forked,
	.reattached = reattached,
	.prefork = prefork,
};

/* ---- the process's managers, for fork ---- */

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kipc_manager *managers;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&list_mutex);
	for (struct kipc_manager *m = managers; m; m = m->next)
		pthread_mutex_lock(&m->mutex);
}

static void after_fork_parent(void)
{
	for (struct kipc_manager *m = managers; m; m = m->next)
		pthread_mutex_unlock(&m->mutex);
	pthread_mutex_unlock(&list_mutex);
}

/*
 * forked() made most of these mutexes anew already, and the child's first use of its managers may
 * have come before this as well (the core's handlers were registered first or last): nobody is in
 * them now.  What remains are managers that this process never could register with.
 */
static void after_fork_child(void)
{
	pthread_mutex_init(&list_mutex, NULL);
	for (struct kipc_manager *m = managers; m; m = m->next)
		pthread_mutex_init(&m->mutex, NULL);
}

static void init_once(void)
{
	/* before ours, so that fork(2) runs ours first: prefork() relies on the mutexes */
	__kipc_fork_init();
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void list_managers(struct kipc_manager *m)
{
	pthread_mutex_lock(&list_mutex);
	m->next = managers;
	m->pprev = &managers;
	if (m->next)
		m->next->pprev = &m->next;
	managers = m;
	pthread_mutex_unlock(&list_mutex);
}

static void unlist_manager(struct kipc_manager *m)
{
	pthread_mutex_lock(&list_mutex);
	*m->pprev = m->next;
	if (m->next)
		m->next->pprev = m->pprev;
	pthread_mutex_unlock(&list_mutex);
}

static struct kipc_manager *new_manager(void)
{
	struct kipc_manager *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	pthread_once(&once, init_once);
	m->obj.ops = &__kipc_manager_object;
	m->users = 1;
	pthread_mutex_init(&m->mutex, NULL);
	list_managers(m);
	return m;
}

static void free_manager(struct kipc_manager *m)
{
	unlist_manager(m);
	pthread_mutex_destroy(&m->mutex);
	free(m->free_words);
	free(m);
}

/* ---- create ---- */

/* flags: those that are known. */
static int read_opts(struct kipc_manager_opts *o, const struct kipc_manager_opts *opts,
		     uint32_t flags)
{
	int r = __kipc_opts_read(o, sizeof(*o), sizeof(*o), opts);

	if (r)
		return r;
	if ((o->flags & ~flags) || (o->huge != KIPC_HUGE_NONE && o->huge != KIPC_HUGE_THP) ||
	    (o->mode & ~0777u) || o->max_peers > KIPC_PEER_MAX || o->max_size > MAX_MAX ||
	    o->size > MAX_MAX || (o->max_size && o->max_size < o->size))
		return -EINVAL;
	if (!o->max_peers)
		o->max_peers = DEFAULT_PEERS;
	if (!o->size)
		o->size = o->max_size ? min_of(o->max_size, DEFAULT_SIZE) : DEFAULT_SIZE;
	return 0;
}

/* A segment with room for max_size bytes of spans. */
static int create_segment(struct kipc_manager *m, const char *name,
			  const struct kipc_manager_opts *o, uint64_t max_size)
{
	uint64_t body_off = align_up(KIPC_SEG_PEERS_OFF + o->max_peers * sizeof(struct kipc_peer),
				     4096ULL);
	uint64_t max_spans = (max_size + KIPC_SPAN_SIZE - 1) >> KIPC_SPAN_SHIFT, first;
	uint64_t want = (o->size + KIPC_SPAN_SIZE - 1) >> KIPC_SPAN_SHIFT, total;
	struct kipc_segment *seg = &m->obj.seg;
	struct kipc_segment_spec spec = {
		.name = name,
		.npeers = o->max_peers,
		.huge = o->huge,
		.mode = o->mode,
		.populate = sizeof(struct kipc_mgr_header),
	};
	int r;

	/* the spans of header and table come on top; their descriptors, too */
	total = max_spans;
	for (int i = 0; i < 3; i++)
		total = max_spans + first_span(body_off, total);
	first = first_span(body_off, total);
	spec.body_size = ((first + want) << KIPC_SPAN_SHIFT) - body_off;
	spec.max_body_size = (total << KIPC_SPAN_SHIFT) - body_off;
	r = __kipc_segment_create(seg, &segment_ops, &spec);
	if (r)
		return r;
	if (seg->body_off != body_off || seg->map_size >> KIPC_SPAN_SHIFT != total) {
		r = -EPROTO;
		goto out_segment;
	}
	set_geometry(m, total);
	/* the table stays sparse; the spans are to be had without faults */
	r = __kipc_memory_allocate(seg->fd, m->first_off, want << KIPC_SPAN_SHIFT);
	if (r)
		goto out_segment;
	__kipc_memory_populate(seg->base + m->first_off, want << KIPC_SPAN_SHIFT,
			       o->huge == KIPC_HUGE_THP);
	m->touched = first + want;
	m->hdr->table_off = table_off(body_off);
	m->hdr->max_spans = total;
	m->hdr->first_span = first;
	m->hdr->span_shift = KIPC_SPAN_SHIFT;
	m->hdr->nclasses = KIPC_CLASSES;
	m->hdr->nspans = first + want;
	m->hdr->free_hint = first;
	m->hdr->free_spans = want;
	m->hdr->next_id = 1;
	return 0;

out_segment:
	__kipc_segment_close(seg);
	return r;
}

static struct kipc_manager *of_object(struct kipc_object *obj)
{
	return container_of(obj, struct kipc_manager, obj);
}

static int make(const char *name, const void *how, struct kipc_object **obj)
{
	const struct kipc_manager_opts *o = how;
	struct kipc_manager *m = new_manager();
	uint64_t max = o->max_size ? o->max_size : max_of(DEFAULT_MAX, o->size);
	int r;

	if (!m)
		return -ENOMEM;
	do {
		r = create_segment(m, name, o, max);
		if (r != -ENOMEM || o->max_size)
			break;
		max /= 2;	/* a limit of the address space */
	} while (max >= o->size);
	if (!r) {
		r = __kipc_segment_publish(&m->obj.seg);
		if (r)
			__kipc_segment_close(&m->obj.seg);
	}
	if (r)
		free_manager(m);
	else
		*obj = &m->obj;
	return r;
}

KIPC_API int kipc_manager_create(const char *name, const struct kipc_manager_opts *opts,
				 struct kipc_manager **out)
{
	struct kipc_manager_opts o;
	struct kipc_object *obj;
	int r;

	if (!out)
		return -EINVAL;
	r = read_opts(&o, opts, name ? KIPC_NAME_CREATE_FLAGS : 0);
	if (!r)
		r = __kipc_name_check(name);
	if (r < 0)
		return r;
	r = __kipc_name_create(name, o.flags, &__kipc_manager_object, make, &o, &obj);
	if (!r)
		*out = of_object(obj);
	return r;
}

KIPC_API int kipc_manager_open(const char *name, const struct kipc_manager_opts *opts,
			       struct kipc_manager **out)
{
	struct kipc_manager_opts o;
	struct kipc_object *obj;
	int r;

	if (!out)
		return -EINVAL;
	r = read_opts(&o, opts, KIPC_NAME_OPEN_FLAGS);
	if (!r)
		r = __kipc_name_open(name, o.flags, &__kipc_manager_object, &obj);
	if (!r)
		*out = of_object(obj);
	return r;
}

KIPC_API int kipc_manager_unlink(const char *name)
{
	return __kipc_name_unlink(name, KIPC_SEG_MANAGER);
}

/* ---- close ---- */

void __kipc_manager_put(struct kipc_manager *m)
{
	struct kipc_segment *seg = &m->obj.seg;
	bool last;

	pthread_mutex_lock(&m->mutex);
	last = --m->users == 0;
	pthread_mutex_unlock(&m->mutex);
	if (!last)
		return;
	__kipc_name_forget(&m->obj);
	/* our tables hold nothing any more; here we may wait for the arena, in repair() we may not */
	if (load_relaxed(&seg->epoch) == load_relaxed(__kipc_fork_epoch))
		__kipc_handle_tables_drop(m, seg->slot, KIPC_DEADLINE_NEVER);
	__kipc_segment_close(seg);
	free_manager(m);
}

KIPC_API void kipc_manager_close(struct kipc_manager *m)
{
	if (m)
		__kipc_manager_put(m);
}

/* ---- stat, and the general object ---- */

KIPC_API int kipc_manager_stat(struct kipc_manager *m, struct kipc_manager_stat *st)
{
	struct kipc_manager_stat now;
	struct kipc_segment *seg;
	int r;

	if (!m || !st)
		return -EINVAL;
	seg = &m->obj.seg;
	r = __kipc_peer_enter_read(seg);
	if (r)
		return r;
	if (!seg->readonly)
		__kipc_peer_sweep(seg, 0);
	now = (struct kipc_manager_stat){
		.id = load_relaxed(&seg->hdr->id),
		.size = (load_relaxed(&m->hdr->nspans) - m->first_span) << KIPC_SPAN_SHIFT,
		.max_size = (m->max_spans - m->first_span) << KIPC_SPAN_SHIFT,
		.used = load_relaxed(&m->hdr->used),
		.blocks = load_relaxed(&m->hdr->blocks),
		.spans = load_relaxed(&m->hdr->nspans) - m->first_span,
		.free_spans = load_relaxed(&m->hdr->free_spans),
		.objects = load_relaxed(&m->hdr->objects),
		.names = load_relaxed(&m->hdr->names),
		.peers = __kipc_peer_count(seg),
		.repairs = load_relaxed(&seg->hdr->repairs),
		.recoveries = load_relaxed(&m->hdr->recoveries),
		.rolled = load_relaxed(&m->hdr->rolls),
	};
	return __kipc_stat_write(st, &now, sizeof(now));
}

KIPC_API struct kipc_object *kipc_manager_object(struct kipc_manager *m)
{
	return m ? &m->obj : NULL;
}

static int manager_export(struct kipc_object *obj, struct kipc_transfer *t)
{
	t->nfds = 1;
	t->fds[0] = obj->seg.fd;
	return 0;
}

static int manager_import(struct kipc_transfer *t, struct kipc_object **out)
{
	struct kipc_manager *m;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(t->args); i++)
		if (t->args[i])
			return -EPROTO;
	m = new_manager();
	if (!m)
		return -ENOMEM;
	r = t->readonly ? __kipc_segment_open_readonly(&m->obj.seg, &segment_ops, t->fds[0]) :
			  __kipc_segment_open(&m->obj.seg, &segment_ops, t->fds[0]);
	if (r) {
		free_manager(m);
		return r;
	}
	*out = &m->obj;
	return 0;
}

static void manager_close(struct kipc_object *obj)
{
	kipc_manager_close(of_object(obj));
}

static void manager_check(struct kipc_check *c)
{
	__kipc_manager_check(c, segment_ops.stamp);
}

static int manager_freeze(struct kipc_object *obj, void **state)
{
	return __kipc_arena_freeze(of_object(obj), state);
}

const struct kipc_object_ops __kipc_manager_object = {
	.kind = KIPC_SEG_MANAGER,
	.nfds = 1,
	.export = manager_export,
	.import = manager_import,
	.close = manager_close,
	.check = manager_check,
	.freeze = manager_freeze,
	.thaw = __kipc_arena_thaw,
};
