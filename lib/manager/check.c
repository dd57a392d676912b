// SPDX-License-Identifier: MIT
/*
 * The auditor's part for managers.
 *
 * A look copies all of the arena that is in use to private memory, reads it once more to see whether
 * it moved meanwhile, and then judges the copy: who holds what, and the mark and sweep of audit.c.
 * So nothing that is being judged can change, whoever writes to the segment.
 *
 * Blocks and words are only as they should be when no change is half-made.  While somebody holds the
 * arena's lock or a guard (or died with it), what the sweep finds is not judged: that is one finding,
 * "in flight" or of the dead.  With KIPC_CHECK_SETTLE all of these locks are ours, and nothing is.
 *
 * Checked besides: a guard's transaction and sequence, the arena's intent, only stand open beside a
 * holder; the handle table of a slot is there only while the slot is in use; the list of zombies.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "core/check.h"
#include "core/memory.h"
#include "manager/audit.h"
#include "manager/registry.h"

#define COPIES		4	/* tries to copy while nothing moves */

struct walk {
	struct kipc_check *c;
	struct kipc_manager m;		/* of the copy */
	uint64_t nspans;
	uint64_t mapped;		/* bytes of the copy */
	uint32_t own;			/* our slot, if its locks are only held for this look */
	bool half_made;			/* by somebody alive */
	bool dead;			/* ... or by somebody who died at it */
	uint64_t unjudged;
};

/* ---- the copy ---- */

/* One piece, copied, or compared with what was copied.  False: not the same, or not in the file. */
static bool piece(struct walk *w, uint64_t off, uint64_t len, bool compare)
{
	uint64_t *at = __kipc_arena_word(&w->m, off), buf[512];

	if (!compare) {
		/* one call instead of a fault a page */
		if (len >= KIPC_SPAN_SIZE)
			__kipc_memory_populate(at, len, false);
		return __kipc_check_read(w->c, off, at, len);
	}
	for (uint64_t done = 0; done < len; done += sizeof(buf)) {
		uint64_t n = min_of(len - done, sizeof(buf));

		if (!__kipc_check_read(w->c, off + done, buf, n) ||
		    memcmp(buf, at + done / 8, n))
			return false;
	}
	return true;
}

/* How many spans go together from s on, by the copy of the table; *skip: they are free. */
static uint64_t run_of(const struct walk *w, uint64_t s, bool *skip)
{
	uint64_t head = w->m.spans[s].head, n = KIPC_SPAN_COUNT(head);

	*skip = KIPC_SPAN_STATE(head) == KIPC_SPAN_FREE;
	return *skip || !n || n > w->nspans - s ? 1 : n;
}

static bool pieces(struct walk *w, bool compare)
{
	const struct kipc_manager *m = &w->m;
	uint64_t table = __kipc_arena_off(m, m->spans), n;
	bool skip;

	if (!piece(w, w->c->hdr.body_off, sizeof(*m->hdr), compare) ||
	    !piece(w, table, w->nspans * sizeof(struct kipc_span), compare))
		return false;
	for (uint64_t s = m->first_span; s < w->nspans; s += n) {
		n = run_of(w, s, &skip);
		if (!skip && !piece(w, s << KIPC_SPAN_SHIFT, n << KIPC_SPAN_SHIFT, compare))
			return false;
	}
	return true;
}

/*
 * Everything that the header and the table say is in use.  The geometry of w->m is for a copy of
 * w->nspans spans already.
 */
static void copy(struct walk *w)
{
	for (int i = 0; i < COPIES; i++) {
		if (!pieces(w, false))
			break;
		if (pieces(w, true) && w->m.hdr->nspans == w->nspans)
			return;
	}
	w->c->moved = true;
}

/* The view's header and geometry; false: there is nothing to be walked. */
static bool open_copy(struct walk *w)
{
	struct kipc_check *c = w->c;
	uint64_t body = c->hdr.body_off, spans = c->hdr.max_size >> KIPC_SPAN_SHIFT;
	struct kipc_segment *seg = &w->m.obj.seg;
	struct kipc_mgr_header hdr;
	int saved = errno;
	void *p;

	if (!check_that(c, __kipc_check_read(c, body, &hdr, sizeof(hdr)), KIPC_FINDING_GEOMETRY,
			body, "manager: the file ends before its header"))
		return false;
	/* the file grew first; what we see of it may be older than what we read */
	__kipc_segment_refresh(c->seg);
	w->nspans = hdr.nspans;
	if (!check_that(c, w->nspans && w->nspans <= c->seg->size >> KIPC_SPAN_SHIFT &&
				   w->nspans <= spans,
			KIPC_FINDING_GEOMETRY, body + offsetof(struct kipc_mgr_header, nspans),
			"manager: %llu spans, but the file has %llu, and room for %llu",
			(unsigned long long)w->nspans,
			(unsigned long long)(c->seg->size >> KIPC_SPAN_SHIFT),
			(unsigned long long)spans))
		return false;
	p = mmap(NULL, w->nspans << KIPC_SPAN_SHIFT, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	errno = saved;
	if (p == MAP_FAILED) {
		c->failed = true;
		return false;
	}
	w->mapped = w->nspans << KIPC_SPAN_SHIFT;
	seg->base = p;
	seg->hdr = p;
	seg->size = w->mapped;
	seg->map_size = c->hdr.max_size;
	seg->body_off = body;
	seg->npeers = c->hdr.npeers;
	seg->fd = -1;		/* it doesn't grow */
	seg->readonly = true;
	if (w->mapped > body + sizeof(hdr))
		memcpy(seg->base + body, &hdr, sizeof(hdr));
	return check_that(c, w->mapped > body + sizeof(hdr) && !__kipc_manager_verify(seg),
			  KIPC_FINDING_GEOMETRY, body,
			  "manager: table at %#llx, spans from %llu to %llu, %u classes: this isn't "
			  "the geometry of a limit of %#llx bytes",
			  (unsigned long long)hdr.table_off, (unsigned long long)hdr.first_span,
			  (unsigned long long)hdr.nspans, hdr.nclasses,
			  (unsigned long long)c->hdr.max_size) &&
	       __kipc_check_backed(c, w->m.first_off,
				   (w->nspans - w->m.first_span) << KIPC_SPAN_SHIFT,
				   "manager's spans");
}

/* ---- who holds what ---- */

/* A lock of the library's own: whether what it protects can be judged; `open`: is half-made. */
static void check_inner(struct walk *w, uint32_t word, uint64_t off, bool open, const char *what)
{
	enum kipc_check_holder holder;

	if (w->own && (word & KIPC_LOCK_OWNER) == w->own) {
		check_still(w->c, !open, KIPC_FINDING_RECORD, off,
			    "%s: a change was left half-made, which taking the lock didn't mend",
			    what);
		return;
	}
	holder = __kipc_check_lock(w->c, word, off, what);
	check_still(w->c, !open || holder != KIPC_HOLDER_NONE, KIPC_FINDING_RECORD, off,
		    "%s: a change was left half-made, but nobody holds it or died with it", what);
	w->half_made |= holder == KIPC_HOLDER_LIVE;
	w->dead |= holder == KIPC_HOLDER_DEAD || holder == KIPC_HOLDER_DIED;
}

static void check_guard(struct walk *w, const struct kipc_obj_header *o,
			const struct kipc_obj_type *type, const struct kipc_guard *g, uint32_t i)
{
	bool open = g->state != KIPC_TX_NONE || (g->seq & 1);
	uint64_t off = __kipc_arena_off(&w->m, g);
	char what[64];

	if (type->user_lock) {
		snprintf(what, sizeof(what), "%s %llu", type->name, (unsigned long long)o->id);
		__kipc_check_lock(w->c, g->lock, off, what);
		check_still(w->c, !open, KIPC_FINDING_RECORD, off, "%s: a transaction, of a lock",
			    what);
		return;
	}
	if (i)
		snprintf(what, sizeof(what), "%s %llu, stripe %u", type->name,
			 (unsigned long long)o->id, i - 1);
	else
		snprintf(what, sizeof(what), "%s %llu", type->name, (unsigned long long)o->id);
	check_that(w->c, g->state <= KIPC_TX_COMMIT, KIPC_FINDING_STATE, off,
		   "%s: a transaction of state %u", what, g->state);
	check_inner(w, g->lock, off, open, what);
}

static void check_objects(struct walk *w)
{
	uint64_t high = __kipc_reg_high(&w->m);
	const struct kipc_obj_type *type;

	for (uint64_t idx = 0; idx < high; idx++) {
		struct kipc_obj_header *o = __kipc_reg_object(&w->m, idx, &type);

		if (!o || !__kipc_arena_at(&w->m, __kipc_arena_off(&w->m, o), type->size))
			continue;	/* free, or the sweep will tell */
		check_guard(w, o, type, &o->guard, 0);
		for (uint32_t i = 0; i < type->nguards; i++)
			check_guard(w, o, type,
				    (struct kipc_guard *)((uint8_t *)o + type->guard_off) + i,
				    i + 1);
	}
}

static void check_tables(struct walk *w)
{
	struct kipc_mgr_header *hdr = w->m.hdr;

	for (uint32_t slot = 0; slot < KIPC_MGR_PEERS; slot++) {
		if (!hdr->peers[slot])
			continue;
		check_still(w->c, slot && slot <= w->c->hdr.npeers && w->c->used[slot],
			    KIPC_FINDING_CLAIM, __kipc_arena_off(&w->m, &hdr->peers[slot]),
			    "slot %u has a table of handles, but is free", slot);
	}
}

/* Objects without references, on their way out: allowed, but each is what it says. */
static void check_zombies(struct walk *w)
{
	uint64_t off = w->m.hdr->zombies, n, high = __kipc_reg_high(&w->m);
	struct kipc_obj_header *o;

	for (n = 0; off && n <= high; n++) {
		o = __kipc_object_at(&w->m, off);
		if (!check_still(w->c, o && !o->refs && __kipc_reg_holds(&w->m, off, o),
				 KIPC_FINDING_RECORD, off,
				 "%#llx is to be destroyed, but is no object without references",
				 (unsigned long long)off))
			return;
		off = o->next;
	}
	check_still(w->c, n <= high, KIPC_FINDING_RECORD,
		    __kipc_arena_off(&w->m, &w->m.hdr->zombies),
		    "the list of objects to be destroyed has no end");
}

/* ---- the sweep ---- */

struct sweep {
	struct walk *w;
	struct kipc_arena_report report;
	uint64_t *told;
};

static enum kipc_finding_code code_of(const struct kipc_arena_report *r, const uint64_t *counter)
{
	if (counter == &r->leaks)
		return KIPC_FINDING_LEAK;
	if (counter == &r->doubles)
		return KIPC_FINDING_DOUBLE;
	if (counter == &r->wild)
		return KIPC_FINDING_WILD;
	if (counter == &r->bad_refs)
		return KIPC_FINDING_REF;
	if (counter == &r->bad_counts)
		return KIPC_FINDING_COUNT;
	return counter == &r->bad_hints ? KIPC_FINDING_HINT : KIPC_FINDING_RECORD;
}

static void found(void *arg, const uint64_t *counter, uint64_t off, const char *text)
{
	struct sweep *s = arg;

	if (s->w->half_made || s->w->dead)
		s->w->unjudged++;
	else
		__kipc_check_found(s->w->c, KIPC_FINDING_VIOLATION,
				   code_of(&s->report, counter), 0, off, true, "%s", text);
}

static void sweep(struct walk *w)
{
	struct sweep s = { .w = w };

	if (__kipc_arena_audit_still(&w->m, &s.report, found, &s) < 0)
		w->c->failed = true;
	w->c->checks += s.report.blocks + s.report.refs + s.report.objects + s.report.spans;
	if (w->unjudged)
		__kipc_check_found(w->c, w->dead ? KIPC_FINDING_DEAD : KIPC_FINDING_IN_FLIGHT,
				   KIPC_FINDING_RECORD, 0, w->c->hdr.body_off, true,
				   "a change is half-made: %llu findings in the arena aren't judged",
				   (unsigned long long)w->unjudged);
}

void __kipc_manager_check(struct kipc_check *c, uint32_t stamp)
{
	struct walk w = { .c = c };
	struct kipc_mgr_header *hdr;

	if (!__kipc_check_stamp(c, stamp))
		return;
	if (c->frozen)
		w.own = c->obj->seg.slot;
	if (!open_copy(&w))
		goto out_unmap;
	copy(&w);
	hdr = w.m.hdr;
	/* that of auditors protects nothing */
	if (!w.own || (hdr->audit_lock & KIPC_LOCK_OWNER) != w.own)
		__kipc_check_lock(c, hdr->audit_lock, __kipc_arena_off(&w.m, &hdr->audit_lock),
				  "the auditors' lock");
	check_inner(&w, hdr->lock, __kipc_arena_off(&w.m, &hdr->lock),
		    hdr->intent.op != KIPC_INTENT_NONE, "the arena's lock");
	check_objects(&w);
	check_tables(&w);
	check_zombies(&w);
	/* it is being taken apart, in steps */
	w.half_made |= hdr->dying != 0;
	sweep(&w);
out_unmap:
	if (w.m.obj.seg.base)
		munmap(w.m.obj.seg.base, w.mapped);
}
