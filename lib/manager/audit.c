// SPDX-License-Identifier: MIT
/*
 * The arena's auditor: see audit.h.
 *
 * What it marks is private memory: one bit a block, one count an object.  So an audit changes nothing
 * but the handles that it holds for its time, to keep the objects whose guards it takes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/alloc.h"
#include "manager/audit.h"
#include "manager/handle.h"
#include "manager/registry.h"

/*
 * Objects may come and go while the guards are taken.  Those that make them let an auditor go first
 * (object.c), so it takes a few attempts for each thread that was at it, and no luck.
 */
#define ATTEMPTS	100

struct held {
	struct kipc_handle *h;
	uint32_t nguards;	/* held of them */
};

struct kipc_audit {
	struct kipc_manager *m;
	struct kipc_arena_report *report;
	uint64_t nspans;
	uint64_t **marks;	/* by span: a bit a block, made when the first is marked */
	uint64_t high;		/* entries of the registry */
	uint64_t *refs;		/* by entry: words that refer to it */
	struct held *held;
	uint64_t nheld;
	bool failed;		/* out of memory */
	__kipc_audit_found_fn *say;	/* NULL: only the first finding is kept, in words */
	void *arg;
};

/* ---- findings ---- */

/* counter: of the report; it says what kind of finding it is */
static __attribute__((format(printf, 4, 5))) void found(struct kipc_audit *a, uint64_t *counter,
							uint64_t off, const char *fmt, ...)
{
	struct kipc_arena_report *rep = a->report;
	char text[sizeof(rep->first)];
	va_list ap;

	++*counter;
	if (rep->first[0] && !a->say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!rep->first[0])
		memcpy(rep->first, text, sizeof(text));
	if (a->say)
		a->say(a->arg, counter, off, text);
}

void __kipc_audit_bad(struct kipc_audit *a, const char *what, uint64_t off)
{
	found(a, &a->report->bad_records, off, "%s at %#llx", what, (unsigned long long)off);
}

struct kipc_manager *__kipc_audit_manager(struct kipc_audit *a)
{
	return a->m;
}

/* ---- marking ---- */

static uint64_t *marks_of(struct kipc_audit *a, uint32_t span)
{
	if (!a->marks[span]) {
		a->marks[span] = calloc(KIPC_SPAN_SIZE / 16 / 64, sizeof(uint64_t));
		if (!a->marks[span])
			a->failed = true;
	}
	return a->marks[span];
}

/* word: for the finding's text */
static void *mark_block(struct kipc_audit *a, uint64_t off, uint64_t word, uint64_t min_size)
{
	uint64_t *marks, bit;
	struct kipc_pick p;

	if (!off)
		return NULL;
	if (__kipc_block_find(a->m, off, &p) != 1 || p.span >= a->nspans) {
		found(a, &a->report->wild, word, "the word at %#llx owns %#llx, which is no block",
		      (unsigned long long)word, (unsigned long long)off);
		return NULL;
	}
	bit = p.cls == KIPC_PICK_LARGE ? 0 : p.bit;
	marks = marks_of(a, p.span);
	if (!marks)
		return NULL;
	if (marks[bit / 64] >> bit % 64 & 1) {
		found(a, &a->report->doubles, word, "the word at %#llx owns %#llx, as another does",
		      (unsigned long long)word, (unsigned long long)off);
		return NULL;
	}
	marks[bit / 64] |= 1ULL << bit % 64;
	if (p.size < min_size) {
		__kipc_audit_bad(a, "a block too small for what it is", off);
		return NULL;
	}
	return __kipc_arena_ptr(a->m, off);
}

void *__kipc_audit_block(struct kipc_audit *a, uint64_t word, uint64_t min_size)
{
	return mark_block(a, load_relaxed(__kipc_arena_word(a->m, word)), word, min_size);
}

void *__kipc_audit_block_at(struct kipc_audit *a, uint64_t off, uint64_t min_size)
{
	return mark_block(a, off, off, min_size);
}

static void mark_ref(struct kipc_audit *a, uint64_t word, uint64_t id)
{
	uint64_t off = load_relaxed(__kipc_arena_word(a->m, word)), entry;
	struct kipc_obj_header *o;

	if (!off)
		return;
	o = __kipc_object_at(a->m, off);
	entry = o ? load_relaxed(&o->entry) : 0;
	if (!o || entry >= a->high || !__kipc_reg_holds(a->m, off, o) ||
	    (id != KIPC_SLOT_ID_MASK + 1 && (load_relaxed(&o->id) & KIPC_SLOT_ID_MASK) != id)) {
		found(a, &a->report->bad_refs, word, "the word at %#llx refers to %#llx, no such object",
		      (unsigned long long)word, (unsigned long long)off);
		return;
	}
	a->refs[entry]++;
	a->report->refs++;
}

void __kipc_audit_slot(struct kipc_audit *a, uint64_t off)
{
	struct kipc_slot *p = __kipc_arena_ptr(a->m, off);
	uint64_t tag = load_relaxed(&p->tag), owns = __kipc_slot_owns(tag);

	if (KIPC_SLOT_TYPE(tag) > KIPC_SLOT_REF)
		__kipc_audit_bad(a, "a slot of no known type", off);
	else if (owns == KIPC_OWN_REF)
		mark_ref(a, off + offsetof(struct kipc_slot, payload), tag >> 16);
	else if (owns == KIPC_OWN_BLOCK)
		__kipc_audit_block(a, off + offsetof(struct kipc_slot, payload),
				   KIPC_SLOT_LEN(tag));
}

static void mark_array(struct kipc_audit *a, uint64_t kind, uint64_t word)
{
	uint64_t skip = (kind >> 8 & 0xff) * 16, n = kind >> 16, off;
	bool slots = (kind & 0xff) == KIPC_OWN_SLOTS;
	uint64_t each = slots ? sizeof(struct kipc_slot) : 8;
	void *p = __kipc_audit_block(a, word, skip + n * each);

	if (!p)
		return;
	off = __kipc_arena_off(a->m, p) + skip;
	for (uint64_t i = 0; i < n; i++) {
		if (slots)
			__kipc_audit_slot(a, off + i * each);
		else
			__kipc_audit_block(a, off + i * each, 0);
	}
}

void __kipc_audit_owned(struct kipc_audit *a, uint64_t kind, uint64_t word)
{
	const struct kipc_obj_type *type;

	switch (kind & 0xff) {
	case KIPC_OWN_NOTHING:
		return;
	case KIPC_OWN_BLOCK:
		__kipc_audit_block(a, word, 0);
		return;
	case KIPC_OWN_REF:
		mark_ref(a, word, KIPC_SLOT_ID_MASK + 1);
		return;
	case KIPC_OWN_SLOTS:
	case KIPC_OWN_WORDS:
		mark_array(a, kind, word);
		return;
	}
	type = kind & 128 ? __kipc_obj_type(KIPC_OWN_TYPE_OBJ(kind)) : NULL;
	if (type && type->mark_owned)
		type->mark_owned(a, kind, word);
	else
		__kipc_audit_bad(a, "a word that owns something unknown", word);
}

/* ---- roots ---- */

static struct kipc_guard *guard_of(struct kipc_obj_header *o, const struct kipc_obj_type *type,
				   uint32_t i)
{
	return i ? (struct kipc_guard *)((uint8_t *)o + type->guard_off) + (i - 1) : &o->guard;
}

static void mark_object(struct kipc_audit *a, uint64_t idx, uint64_t *word)
{
	uint64_t off = load_relaxed(word);
	const struct kipc_obj_type *type;
	struct kipc_obj_header *o = __kipc_object_typed(a->m, off, &type);

	if (!__kipc_audit_block(a, __kipc_arena_off(a->m, word), o ? type->size : 0))
		return;
	if (!o || load_relaxed(&o->entry) != idx) {
		__kipc_audit_bad(a, "an object that is none", off);
		return;
	}
	a->report->objects++;
	if (!load_relaxed(&o->refs))
		a->report->zombies++;
	for (uint32_t i = 0; i <= type->nguards; i++) {
		struct kipc_guard *g = guard_of(o, type, i);

		if (load_relaxed(&g->state) != KIPC_TX_NONE || load_relaxed(&g->seq) & 1)
			__kipc_audit_bad(a, "a transaction left open", off);
		__kipc_audit_block(a, __kipc_arena_off(a->m, &g->tx), sizeof(struct kipc_tx));
	}
	if (type->mark)
		type->mark(a, o);
}

static void mark_registry(struct kipc_audit *a)
{
	struct kipc_mgr_header *hdr = a->m->hdr;

	for (uint32_t i = 0; i < KIPC_REG_CHUNKS; i++)
		__kipc_audit_block(a, __kipc_arena_off(a->m, &hdr->registry[i]),
				   ((uint64_t)KIPC_REG_FIRST << i) * 8);
	for (uint64_t idx = 0; idx < a->high; idx++) {
		uint64_t *word = __kipc_reg_entry(a->m, idx);

		if (!word) {
			__kipc_audit_bad(a, "a registry that is cut short", idx);
			return;
		}
		if (load_relaxed(word) && !(load_relaxed(word) & KIPC_REG_FREE))
			mark_object(a, idx, word);
	}
}

/* A chain whose elements begin with the word that owns the next. */
static void mark_chains(struct kipc_audit *a, uint64_t *root, uint32_t n, uint64_t size,
			uint64_t refs_off, uint32_t nrefs)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = __kipc_arena_off(a->m, root + i);
		uint8_t *p;

		/* a circle ends at the block that is marked twice */
		while ((p = __kipc_audit_block(a, word, size))) {
			word = __kipc_arena_off(a->m, p);
			for (uint32_t j = 0; j < nrefs; j++)
				mark_ref(a, word + refs_off + j * 8ULL, KIPC_SLOT_ID_MASK + 1);
		}
	}
}

static void mark_roots(struct kipc_audit *a)
{
	struct kipc_mgr_header *hdr = a->m->hdr;

	if (load_relaxed(&hdr->intent.op) != KIPC_INTENT_NONE || load_relaxed(&hdr->dir_new))
		__kipc_audit_bad(a, "an intent left open", load_relaxed(&hdr->intent.op));
	mark_registry(a);
	mark_chains(a, (uint64_t *)hdr->directory, KIPC_MGR_BUCKETS, sizeof(struct kipc_dir_entry),
		    offsetof(struct kipc_dir_entry, obj), 1);
	mark_chains(a, (uint64_t *)hdr->peers, KIPC_MGR_PEERS, sizeof(struct kipc_handle_table),
		    offsetof(struct kipc_handle_table, obj), KIPC_HANDLE_WORDS);
	for (uint64_t idx = 0; idx < a->high; idx++) {
		const struct kipc_obj_type *type;
		struct kipc_obj_header *o = __kipc_reg_object(a->m, idx, &type);

		if (o && load_relaxed(&o->refs) != a->refs[idx])
			found(a, &a->report->bad_counts, __kipc_arena_off(a->m, o),
			      "%s %llu: %llu references are counted, %llu found", type->name,
			      (unsigned long long)o->id, (unsigned long long)o->refs,
			      (unsigned long long)a->refs[idx]);
	}
}

/* ---- sweeping ---- */

static uint64_t slab_block(uint32_t s, const struct kipc_class *c, uint32_t bit)
{
	return ((uint64_t)s << KIPC_SPAN_SHIFT) + c->first + (uint64_t)bit * c->size;
}

static void sweep_slab(struct kipc_audit *a, uint32_t s, uint32_t cls)
{
	const struct kipc_class *c = &__kipc_classes[cls];
	const uint64_t *map = __kipc_slab_map(a->m, s, c), *marks = a->marks[s];
	uint32_t used = 0;

	for (uint32_t bit = 0; bit < c->cap; bit++) {
		if (!(map[bit / 64] >> bit % 64 & 1))
			continue;
		used++;
		if (!marks || !(marks[bit / 64] >> bit % 64 & 1))
			found(a, &a->report->leaks, slab_block(s, c, bit),
			      "nothing owns the block at %#llx (%u bytes)",
			      (unsigned long long)slab_block(s, c, bit), c->size);
	}
	a->report->blocks += used;
	a->report->bytes += (uint64_t)used * c->size;
	if (load_relaxed(&a->m->spans[s].nfree) != (uint32_t)c->cap - used)
		found(a, &a->report->bad_hints, __kipc_arena_off(a->m, &a->m->spans[s]),
		      "slab at span %u: %u blocks counted free, %u are", s, a->m->spans[s].nfree, c->cap - used);
}

/* How many slabs with room the list of a class has; they are counted against the descriptors. */
static uint64_t walk_partial(struct kipc_audit *a, uint32_t cls)
{
	uint32_t s = load_relaxed(&a->m->hdr->partial[cls]), prev = 0;
	uint64_t n = 0;

	for (; s && n < a->nspans; n++) {
		struct kipc_span *d = &a->m->spans[s];

		if (s < a->m->first_span || s >= a->nspans ||
		    KIPC_SPAN_STATE(d->head) != KIPC_SPAN_SLAB ||
		    KIPC_SPAN_CLASS(d->head) != cls || !d->nfree || d->prev != prev) {
			found(a, &a->report->bad_hints,
			      __kipc_arena_off(a->m, &a->m->hdr->partial[cls]),
			      "list of class %u: span %u", cls, s);
			break;
		}
		prev = s;
		s = d->next;
	}
	return n;
}

static void sweep(struct kipc_audit *a)
{
	struct kipc_arena_report *rep = a->report;
	struct kipc_manager *m = a->m;
	uint64_t with_room[KIPC_CLASSES] = { 0 };
	uint32_t n;

	for (uint64_t s = m->first_span; s < a->nspans; s += n) {
		uint64_t head = load_relaxed(&m->spans[s].head);
		uint32_t state = KIPC_SPAN_STATE(head), cls = KIPC_SPAN_CLASS(head);

		n = 1;
		rep->spans++;
		if (state == KIPC_SPAN_FREE) {
			rep->free_spans++;
			continue;
		}
		n = KIPC_SPAN_COUNT(head);
		if ((state != KIPC_SPAN_SLAB && state != KIPC_SPAN_LARGE) || !n ||
		    n > a->nspans - s ||
		    (state == KIPC_SPAN_SLAB &&
		     (cls >= KIPC_CLASSES || n != __kipc_classes[cls].spans))) {
			__kipc_audit_bad(a, "a span that makes no sense", s);
			n = 1;
			continue;
		}
		rep->spans += n - 1;
		for (uint32_t i = 1; i < n; i++)
			if (m->spans[s + i].head != KIPC_SPAN_HEAD(KIPC_SPAN_CONT, 0, s))
				__kipc_audit_bad(a, "a span astray from its run", s + i);
		if (state == KIPC_SPAN_SLAB) {
			with_room[cls] += m->spans[s].nfree > 0;
			sweep_slab(a, (uint32_t)s, cls);
			continue;
		}
		rep->blocks++;
		rep->bytes += (uint64_t)n << KIPC_SPAN_SHIFT;
		if (!a->marks[s])
			found(a, &rep->leaks, s << KIPC_SPAN_SHIFT,
			      "nothing owns the block at %#llx (%u spans)",
			      (unsigned long long)s << KIPC_SPAN_SHIFT, n);
	}
	for (uint32_t cls = 0; cls < KIPC_CLASSES; cls++)
		if (walk_partial(a, cls) != with_room[cls])
			found(a, &rep->bad_hints, __kipc_arena_off(m, &m->hdr->partial[cls]),
			      "list of class %u: not all slabs with room", cls);
	if (rep->free_spans != m->hdr->free_spans || rep->bytes != m->hdr->used ||
	    rep->blocks != m->hdr->blocks || rep->objects != m->hdr->objects)
		found(a, &rep->bad_hints, __kipc_arena_off(m, &m->hdr->free_spans),
		      "counted %llu free spans, %llu bytes, %llu blocks, %llu objects; "
		      "found %llu, %llu, %llu, %llu", (unsigned long long)m->hdr->free_spans,
		      (unsigned long long)m->hdr->used, (unsigned long long)m->hdr->blocks,
		      (unsigned long long)m->hdr->objects, (unsigned long long)rep->free_spans,
		      (unsigned long long)rep->bytes, (unsigned long long)rep->blocks,
		      (unsigned long long)rep->objects);
}

/* ---- locks ---- */

static void drop_held(struct kipc_audit *a)
{
	for (uint64_t i = 0; i < a->nheld; i++) {
		struct held *held = &a->held[i];

		for (uint32_t j = 0; j < held->nguards; j++)
			__kipc_guard_unlock(a->m, guard_of(held->h->hdr, held->h->type, j));
		__kipc_handle_close(held->h);
	}
	free(a->held);
	a->held = NULL;
	a->nheld = 0;
}

/* A damaged registry may have one object twice: it would wait for itself. */
static bool held_already(struct kipc_audit *a, const struct kipc_guard *g)
{
	if ((load_relaxed(&g->lock) & KIPC_LOCK_OWNER) != a->m->obj.seg.slot)
		return false;
	for (uint64_t i = 0; i < a->nheld; i++)
		for (uint32_t j = 0; j < a->held[i].nguards; j++)
			if (guard_of(a->held[i].h->hdr, a->held[i].h->type, j) == g)
				return true;
	return false;
}

static int hold(struct kipc_audit *a, struct held *held)
{
	const struct kipc_obj_type *type = held->h->type;
	int r;

	if (type->user_lock)
		return 0;
	for (; held->nguards <= type->nguards; held->nguards++) {
		struct kipc_guard *g = guard_of(held->h->hdr, type, held->nguards);

		r = held_already(a, g) ? -EPROTO : __kipc_guard_lock(a->m, held->h->hdr, g);
		if (r)
			return r;
	}
	return 0;
}

/* Arena's lock held. */
static uint64_t count_objects(struct kipc_audit *a)
{
	uint64_t high = __kipc_reg_high(a->m), n = 0;
	const struct kipc_obj_type *type;

	for (uint64_t idx = 0; idx < high; idx++)
		n += __kipc_reg_object(a->m, idx, &type) != NULL;
	return n;
}

/* Takes the guards of all objects that there are, in the order of the registry. */
static int hold_all(struct kipc_audit *a)
{
	uint64_t high = __kipc_reg_high(a->m), cap = 0, off, id;
	const struct kipc_obj_type *type;
	struct kipc_obj_header *o;
	int r;

	for (uint64_t idx = 0; idx < high; idx++) {
		r = __kipc_arena_lock(a->m);
		if (r)
			return r;
		o = __kipc_reg_object(a->m, idx, &type);
		off = o ? __kipc_arena_off(a->m, o) : 0;
		id = o ? load_relaxed(&o->id) : 0;
		__kipc_arena_unlock(a->m);
		if (!o)
			continue;
		if (a->nheld == cap) {
			struct held *held = reallocarray(a->held, cap ? 2 * cap : 64, sizeof(*held));

			if (!held)
				return -ENOMEM;
			a->held = held;
			cap = cap ? 2 * cap : 64;
		}
		a->held[a->nheld] = (struct held){ 0 };
		r = __kipc_handle_get(a->m, off, id, &a->held[a->nheld].h);
		if (r == -ENOENT)
			continue;	/* it went just now */
		if (r)
			return r;
		r = hold(a, &a->held[a->nheld++]);
		if (r)
			return r;
	}
	return 0;
}

/*
 * All guards and the arena's lock, with no object that isn't held, and none on its way out.
 * 1: something moved meanwhile.
 */
static int quiesce(struct kipc_audit *a)
{
	uint64_t id;
	int r;

	r = __kipc_zombies_reap(a->m, 0);
	if (r)
		return r;
	id = load_relaxed(&a->m->hdr->next_id);
	r = hold_all(a);
	if (r)
		return r;
	r = __kipc_arena_lock(a->m);
	if (r)
		return r;
	if (id == load_relaxed(&a->m->hdr->next_id) && count_objects(a) == a->nheld &&
	    !load_relaxed(&a->m->hdr->zombies) && !load_relaxed(&a->m->hdr->dying))
		return 0;
	__kipc_arena_unlock(a->m);
	return 1;
}

static int prepare(struct kipc_audit *a)
{
	a->nspans = __kipc_spans_now(a->m);
	a->high = __kipc_reg_high(a->m);
	a->marks = calloc(a->nspans, sizeof(*a->marks));
	a->refs = calloc(a->high + 1, sizeof(*a->refs));
	return a->marks && a->refs ? 0 : -ENOMEM;
}

static int freeze(struct kipc_audit *a)
{
	struct kipc_segment *seg = &a->m->obj.seg;
	int r;

	r = __kipc_peer_enter(seg);
	if (r)
		return r;
	r = __kipc_lock_acquire(seg, &a->m->hdr->audit_lock, KIPC_DEADLINE_NEVER);
	if (r && r != -EOWNERDEAD)
		return r;
	r = 1;
	for (int i = 0; i < ATTEMPTS && r == 1; i++) {
		drop_held(a);
		r = quiesce(a);
	}
	if (!r)
		return 0;
	drop_held(a);
	__kipc_lock_release(seg, &a->m->hdr->audit_lock);
	return r == 1 ? -EBUSY : r;
}

static void thaw(struct kipc_audit *a)
{
	__kipc_arena_unlock(a->m);
	drop_held(a);
	__kipc_lock_release(&a->m->obj.seg, &a->m->hdr->audit_lock);
}

/* Marks and sweeps what doesn't move. */
static int audit(struct kipc_audit *a)
{
	int r = prepare(a);

	if (!r) {
		mark_roots(a);
		sweep(a);
	}
	if (a->failed)
		r = -ENOMEM;
	for (uint64_t s = 0; a->marks && s < a->nspans; s++)
		free(a->marks[s]);
	free(a->marks);
	free(a->refs);
	return r ? r : a->report->first[0] != '\0';
}

int __kipc_arena_audit(struct kipc_manager *m, struct kipc_arena_report *report)
{
	struct kipc_audit a = { .m = m, .report = report };
	int r;

	memset(report, 0, sizeof(*report));
	r = freeze(&a);
	if (r)
		return r;
	r = audit(&a);
	thaw(&a);
	return r;
}

int __kipc_arena_audit_still(struct kipc_manager *m, struct kipc_arena_report *report,
			     __kipc_audit_found_fn *say, void *arg)
{
	struct kipc_audit a = { .m = m, .report = report, .say = say, .arg = arg };

	memset(report, 0, sizeof(*report));
	return audit(&a);
}

int __kipc_arena_freeze(struct kipc_manager *m, void **state)
{
	struct kipc_audit *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->m = m;
	r = freeze(a);
	if (r)
		free(a);
	else
		*state = a;
	return r;
}

void __kipc_arena_thaw(void *state)
{
	thaw(state);
	free(state);
}
