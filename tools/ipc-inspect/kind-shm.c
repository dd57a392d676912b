// SPDX-License-Identifier: MIT
/* Shared memory and arrays: uapi/kipc/shm.h, uapi/kipc/array.h. */
#include "tools/ipc-inspect/kind-shm.h"

#include <kipc/array.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"

/* Whether the sequence lock is torn: odd, and the lock has no owner. */
static bool torn(const struct kipc_shm_head *h)
{
	return (h->seq & KIPC_SHM_SEQ_WRITING) && !(h->lock & KIPC_LOCK_OWNER);
}

struct look {
	struct view *v;
	struct kipc_array_head *head;
	uint64_t size;	/* of head */
};

/* A writer that has just ended looks torn if seq is read before and the lock after its end. */
static int look_at_lock(void *arg, bool last)
{
	struct look *l = arg;

	(void)last;
	if (view_read(l->v, l->v->hdr.body_off, l->head, l->size)) {
		view_problem(l->v, "shm: the body can't be read");
		return 0;
	}
	return torn(&l->head->shm) ? -1 : 0;
}

static uint64_t reader_off(const struct shm *s, uint32_t slot)
{
	return s->body + KIPC_SHM_READERS_OFF + (slot - 1) * sizeof(struct kipc_shm_reader);
}

/* Who holds the reader-writer lock; what can't be read holds nothing. */
static void load_readers(struct view *v, struct shm *s)
{
	uint32_t gate = s->head.shm.gate;

	s->nheld = v->hdr.npeers;
	s->held = xcalloc(s->nheld, sizeof(*s->held));
	for (uint32_t i = 0; i < s->nheld; i++) {
		if (view_read(v, reader_off(s, i + 1), &s->held[i], sizeof(s->held[i])))
			s->held[i] = 0;
		*(gate & KIPC_SHM_GATE_IN ? &s->next : &s->readers) += s->held[i];
	}
	s->lock_state = gate & KIPC_SHM_GATE_IN	  ? "exclusive" :
			gate & KIPC_LOCK_OWNER	  ? "closing" :
			gate & KIPC_SHM_GATE_TORN ? "torn" :
						    "open";
}

static void load_memory(const struct view *v, struct shm *s)
{
	static const char *const policies[] = { "none", "bind", "interleave", "preferred" };
	const struct kipc_shm_head *h = &s->head.shm;

	s->pages = v->hdr.page_size == 1ULL << 30	? "1G" :
		   v->hdr.page_size == 1ULL << 21	? "2M" :
		   v->hdr.flags & KIPC_SEG_F_THP	? "thp" :
							  "4K";
	s->populated = h->flags & KIPC_SHM_HEAD_F_POPULATE;
	s->numa = h->numa < sizeof(policies) / sizeof(policies[0]) ? policies[h->numa] : "unknown";
	for (unsigned int node = 0; node < 64; node++)
		if (h->numa_nodes >> node & 1)
			s->nodes = text_join(s->nodes, "\n", "%u", node);
}

static struct shm *load(struct view *v, uint64_t size)
{
	struct shm *s = xcalloc(1, sizeof(*s));
	struct kipc_shm_head *h = &s->head.shm;
	struct look look = { .v = v, .head = &s->head, .size = size };
	unsigned int before = v->nproblems;

	s->torn = view_confirm(look_at_lock, &look) < 0;
	if (v->nproblems == before &&
	    (h->data_off % 4096 ||
	     h->data_off < v->hdr.body_off + KIPC_SHM_HEAD_SIZE(v->hdr.npeers) ||
	     !view_holds(v, h->data_off, h->size)))
		view_problem(v, "shm: %lu bytes of data from %lu on are not in the file",
			     (unsigned long)h->size, (unsigned long)h->data_off);
	if (v->nproblems != before) {
		free(s);
		return NULL;
	}
	s->body = v->hdr.body_off;
	s->writes = h->seq / KIPC_SHM_SEQ_STEP;
	s->sleepers = h->seq & KIPC_SHM_SEQ_SLEEPERS;
	load_readers(v, s);
	load_memory(v, s);
	s->state = s->torn ? "torn" : h->seq & KIPC_SHM_SEQ_WRITING ? "writing" : "idle";
	return s;
}

static void *shm_load(struct view *v, bool deep)
{
	(void)deep;
	return load(v, sizeof(struct kipc_shm_head));
}

static void shm_free(void *data)
{
	struct shm *s = data;

	free(s->held);
	free(s->nodes);
	free(s->shape);
	free(s->strides);
	free(s->label);
	free(s);
}

static void shm_summary(const void *data, struct summary *sum)
{
	const struct shm *s = data;

	sum->capacity = s->head.shm.size;
	sum->unit = "bytes";
	sum->waiters = s->sleepers + !!(s->head.shm.gate & KIPC_SHM_GATE_SLEEPERS);
	if (s->torn || !strcmp(s->lock_state, "torn"))
		sum->states |= STATE_TORN;
}

static char *shm_holds(const void *data, uint32_t slot)
{
	const struct shm *s = data;
	char *text = NULL;

	/* a slot is one of the header's; who is counted while a writer is in waits for its turn */
	if (s->held[slot - 1] && s->readers)
		text = text_join(text, ", ", "shared %u", s->held[slot - 1]);
	if (lock_held_by(s->head.shm.rw_lock, slot))
		text = text_join(text, ", ", "%s", lock_held_by(s->head.shm.gate, slot) &&
				 !(s->head.shm.gate & KIPC_SHM_GATE_IN) ? "closing" : "exclusive");
	if (lock_held_by(s->head.shm.lock, slot))
		text = text_join(text, ", ", "writing");
	if (lock_held_by(s->head.shm.grow_lock, slot))
		text = text_join(text, ", ", "resizing");
	return text;
}

/*
 * The reader-writer lock: writers wait for each other, and the one that has closed the gate for each
 * process that is in; readers wait at the gate.
 */
static void rw_locks(const struct shm *s, lock_fn fn, void *arg)
{
	const struct kipc_shm_head *h = &s->head.shm;
	struct lock_site gate = {
		.off = s->body + offsetof(struct kipc_shm_head, gate),
		.owner = h->gate & KIPC_LOCK_OWNER,
		.waiters = true,
		.name = "gate",
	};

	lock_site(fn, arg, s->body + offsetof(struct kipc_shm_head, rw_lock), h->rw_lock,
		  "exclusive");
	if (h->gate & KIPC_SHM_GATE_SLEEPERS)
		fn(arg, &gate);
	for (uint32_t slot = 1; s->readers && slot <= s->nheld; slot++) {
		struct lock_site shared = {
			.off = reader_off(s, slot),
			.owner = slot,
			.waiters = gate.owner,
			.name = "shared",
		};

		if (s->held[slot - 1])
			fn(arg, &shared);
	}
}

/* Writers wait for the lock, readers for the end of a write. */
static void shm_locks(const void *data, lock_fn fn, void *arg)
{
	const struct shm *s = data;
	const struct kipc_shm_head *h = &s->head.shm;
	struct lock_site sequence = {
		.off = s->body + offsetof(struct kipc_shm_head, seq),
		.owner = h->lock & KIPC_LOCK_OWNER,
		.waiters = true,
		.name = "sequence",
	};

	lock_site(fn, arg, s->body + offsetof(struct kipc_shm_head, lock), h->lock, "writer");
	if (h->seq & KIPC_SHM_SEQ_SLEEPERS)
		fn(arg, &sequence);
	lock_site(fn, arg, s->body + offsetof(struct kipc_shm_head, grow_lock), h->grow_lock,
		  "resizer");
	rw_locks(s, fn, arg);
}

static void shm_traffic(const void *data, const struct view *v, struct traffic *t)
{
	(void)v;
	t->messages = ((const struct shm *)data)->writes;
}

static void shm_counters(const void *data, counter_fn fn, void *arg)
{
	const struct shm *s = data;

	fn(arg, "writes", s->writes);
	fn(arg, "healed_writes", s->head.shm.healed);
	fn(arg, "healed_locks", s->head.shm.rw_healed);
	fn(arg, "grown", s->head.shm.grown);
}

#define OFF(member) offsetof(struct shm, member)
static const struct column record[] = {
	{ "data", "data_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(head.shm.size), "" },
	{ "may grow to", "max_data_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(head.shm.max_size),
	  "" },
	{ "times grown", "grown", COLUMN_NUMBER, 0, column_u64, OFF(head.shm.grown), "" },
	{ "data begins at", "data_offset_bytes", COLUMN_NUMBER, 0, column_u64,
	  OFF(head.shm.data_off), "" },
	{ "pages", "pages", COLUMN_STRING, 0, column_str, OFF(pages), "" },
	{ "populated", "populated", COLUMN_BOOL, 0, column_bool, OFF(populated), "" },
	{ "NUMA policy", "numa", COLUMN_STRING, 0, column_str, OFF(numa), "" },
	{ "NUMA nodes", "numa_nodes", COLUMN_NUMBERS, 0, column_lines, OFF(nodes), "" },
	{ "sequence", "sequence", COLUMN_NUMBER, 0, column_u64, OFF(head.shm.seq), "" },
	{ "writes", "writes", COLUMN_NUMBER, 0, column_u64, OFF(writes), "" },
	{ "write state", "write_state", COLUMN_STRING, 0, column_str, OFF(state), "" },
	{ "readers sleep", "readers_sleep", COLUMN_BOOL, 0, column_bool, OFF(sleepers), "" },
	{ "writes over torn data", "healed_writes", COLUMN_NUMBER, 0, column_u64,
	  OFF(head.shm.healed), "" },
	{ "lock", "lock_state", COLUMN_STRING, 0, column_str, OFF(lock_state), "" },
	{ "threads that share it", "lock_shared", COLUMN_NUMBER, 0, column_u64, OFF(readers), "" },
	{ "threads that are next", "lock_next", COLUMN_NUMBER, 0, column_u64, OFF(next), "" },
	{ "exclusive after a death", "healed_locks", COLUMN_NUMBER, 0, column_u64,
	  OFF(head.shm.rw_healed), "" },
};

static void shm_show(const void *data, const struct peers *p, struct report *r)
{
	const struct shm *s = data;
	struct lock_row locks[3];

	lock_decode(&locks[0], "writer", s->head.shm.lock, p);
	lock_decode(&locks[1], "resizer", s->head.shm.grow_lock, p);
	lock_decode(&locks[2], "exclusive", s->head.shm.rw_lock, p);
	report_record(r, "shm", "shared memory", record, sizeof(record) / sizeof(record[0]), s);
	locks_report(r, locks, 3);
}

const struct kind kind_shm = {
	.kind = KIPC_SEG_SHM,
	.load = shm_load,
	.free = shm_free,
	.summary = shm_summary,
	.show = shm_show,
	.holds = shm_holds,
	.locks = shm_locks,
	.counters = shm_counters,
	.traffic = shm_traffic,
	.dump = shm_dump,
};

/* 64-bit numbers of the head. */
static char *join(const void *numbers, uint32_t count, const char *sep)
{
	char *text = NULL;
	int64_t n;

	for (uint32_t i = 0; i < count; i++) {
		memcpy(&n, (const char *)numbers + i * sizeof(n), sizeof(n));
		text = text_join(text, sep, "%ld", (long)n);
	}
	return text;
}

/* C: the last index moves fastest; Fortran: the first one. */
static const char *order_of(const struct kipc_array_head *a)
{
	bool c = true, fortran = true;
	uint64_t up = a->itemsize, down = a->itemsize;

	for (uint32_t i = 0; i < a->ndim; i++) {
		uint32_t j = a->ndim - 1 - i;

		fortran &= (uint64_t)a->strides[i] == up;
		c &= (uint64_t)a->strides[j] == down;
		up *= a->shape[i] ? a->shape[i] : 1;
		down *= a->shape[j] ? a->shape[j] : 1;
	}
	return c ? "C" : fortran ? "Fortran" : "strided";
}

/* Every element lies inside the data.  0 or -EPROTO. */
static int check_array(struct view *v, const struct kipc_array_head *a)
{
	uint64_t elements = 1, end = a->itemsize, step;
	bool fits = true, empty = false;

	if (!kipc_dtype_size((enum kipc_dtype)a->dtype) ||
	    a->itemsize != kipc_dtype_size((enum kipc_dtype)a->dtype))
		return view_problem(v, "array: type %u with elements of %u bytes", a->dtype,
				    a->itemsize);
	if (a->ndim > KIPC_ARRAY_DIMS)
		return view_problem(v, "array: %u dimensions", a->ndim);
	for (uint32_t i = 0; i < a->ndim; i++) {
		if (!a->shape[i]) {
			empty = true;
			continue;
		}
		if (a->strides[i] < 0 ||
		    __builtin_mul_overflow(a->shape[i] - 1, (uint64_t)a->strides[i], &step) ||
		    __builtin_add_overflow(end, step, &end) ||
		    __builtin_mul_overflow(elements, a->shape[i], &elements))
			fits = false;
	}
	if (!fits || a->elements != (empty ? 0 : elements) || (!empty && end > a->shm.size))
		return view_problem(v, "array: its shape does not fit %lu bytes of data",
				    (unsigned long)a->shm.size);
	return 0;
}

static void *array_load(struct view *v, bool deep)
{
	struct shm *s = load(v, sizeof(struct kipc_array_head));
	char *shape;

	(void)deep;
	if (!s)
		return NULL;
	if (check_array(v, &s->head)) {
		shm_free(s);
		return NULL;
	}
	s->dtype = kipc_dtype_name((enum kipc_dtype)s->head.dtype);
	s->order = order_of(&s->head);
	s->shape = join(s->head.shape, s->head.ndim, "\n");
	s->strides = join(s->head.strides, s->head.ndim, "\n");
	shape = join(s->head.shape, s->head.ndim, ",");
	s->label = xasprintf("%s[%s]", s->dtype, shape ? shape : "");
	free(shape);
	return s;
}

static void array_summary(const void *data, struct summary *sum)
{
	const struct shm *s = data;

	shm_summary(data, sum);
	sum->capacity = s->head.elements;
	sum->unit = "elements";
	sum->shape = xstrdup(s->label);
}

static const struct column array_record[] = {
	{ "type", "dtype", COLUMN_STRING, 0, column_str, OFF(dtype), "" },
	{ "element", "item_bytes", COLUMN_NUMBER, 0, column_u32, OFF(head.itemsize), "" },
	{ "elements", "elements", COLUMN_NUMBER, 0, column_u64, OFF(head.elements), "" },
	{ "dimensions", "dimensions", COLUMN_NUMBER, 0, column_u32, OFF(head.ndim), "" },
	{ "shape", "shape", COLUMN_NUMBERS, 0, column_lines, OFF(shape), "" },
	{ "strides", "strides_bytes", COLUMN_NUMBERS, 0, column_lines, OFF(strides), "" },
	{ "order", "order", COLUMN_STRING, 0, column_str, OFF(order), "" },
};
#undef OFF

static void array_show(const void *data, const struct peers *p, struct report *r)
{
	report_record(r, "array", "array", array_record,
		      sizeof(array_record) / sizeof(array_record[0]), data);
	shm_show(data, p, r);
}

const struct kind kind_array = {
	.kind = KIPC_SEG_ARRAY,
	.load = array_load,
	.free = shm_free,
	.summary = array_summary,
	.show = array_show,
	.holds = shm_holds,
	.locks = shm_locks,
	.counters = shm_counters,
	.traffic = shm_traffic,
	.dump = array_dump,
};
