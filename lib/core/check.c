// SPDX-License-Identifier: MIT
/* The auditor's engine: reading, findings, looks.  See check.h. */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/sys.h"

#define LOOKS		6
#define NOTES_MAX	1024	/* of a look; more are counted */

/* ---- reading ---- */

/* Whole words, so that each is one that was there at some moment; whoever writes may be at it. */
static __racy void copy_words(void *dst, const volatile void *src, uint64_t len)
{
	if (!(((uintptr_t)src | len) & 7)) {
		for (uint64_t i = 0; i < len / 8; i++)
			((uint64_t *)dst)[i] = ((const volatile uint64_t *)src)[i];
	} else {
		for (uint64_t i = 0; i < len / 4; i++)
			((uint32_t *)dst)[i] = ((const volatile uint32_t *)src)[i];
	}
}

static bool inside(struct kipc_check *c, uint64_t off, uint64_t len)
{
	return !(off & 3) && __kipc_segment_at(c->seg, off, len);
}

bool __kipc_check_read(struct kipc_check *c, uint64_t off, void *dst, uint64_t len)
{
	if (!inside(c, off, len))
		return false;
	copy_words(dst, c->seg->base + off, len);
	fence_acquire();	/* one read before the next */
	return true;
}

/* FNV-1a by words: it only has to notice that something moved. */
static __racy uint64_t hash_words(const volatile uint64_t *p, uint64_t n, uint64_t h)
{
	for (uint64_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}

static uint64_t hash(struct kipc_check *c, const struct kipc_check_watch *w)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (uint64_t i = 0; i < w->n; i++)
		h = hash_words((const volatile uint64_t *)(c->seg->base + w->off + i * w->stride),
			       w->len / 8, h);
	return h;
}

bool __kipc_check_watch(struct kipc_check *c, uint64_t off, uint64_t len, uint64_t stride,
			uint64_t n)
{
	struct kipc_check_watch *w = &c->watches[c->nwatches];
	uint64_t all;

	if ((off & 7) || __builtin_mul_overflow(stride, n - (n > 0), &all) ||
	    __builtin_add_overflow(all, len, &all) || !inside(c, off, all))
		return false;
	if (c->nwatches == KIPC_CHECK_WATCHES)
		return false;
	*w = (struct kipc_check_watch){ .off = off, .len = len, .stride = stride, .n = n };
	w->hash = hash(c, w);
	c->nwatches++;
	fence_acquire();	/* before what is judged by it is read */
	return true;
}

static bool quiescent(struct kipc_check *c)
{
	fence_acquire();
	if (c->moved)
		return false;
	for (uint32_t i = 0; i < c->nwatches; i++)
		if (hash(c, &c->watches[i]) != c->watches[i].hash)
			return false;
	return true;
}

/* ---- findings ---- */

static struct kipc_check_note *new_note(struct kipc_check *c)
{
	if (c->nnotes == NOTES_MAX)
		return NULL;
	if (c->nnotes == c->cap) {
		uint32_t cap = c->cap ? 2 * c->cap : 16;
		void *p = reallocarray(c->notes, cap, sizeof(*c->notes));

		if (!p) {
			c->failed = true;
			return NULL;
		}
		c->notes = p;
		c->cap = cap;
	}
	return &c->notes[c->nnotes++];
}

static void vfound(struct kipc_check *c, enum kipc_finding_class cls, enum kipc_finding_code code,
		   uint32_t slot, uint64_t off, bool still, const char *fmt, va_list ap)
{
	struct kipc_check_note *n;

	c->counts[cls]++;
	n = new_note(c);
	if (!n) {
		c->unkept += cls == KIPC_FINDING_VIOLATION;
		return;
	}
	n->f = (struct kipc_finding){ .cls = cls, .code = code, .slot = slot, .offset = off };
	n->still = still;
	n->confirmed = true;
	vsnprintf(n->text, sizeof(n->text), fmt, ap);
}

void __kipc_check_found(struct kipc_check *c, enum kipc_finding_class cls,
			enum kipc_finding_code code, uint32_t slot, uint64_t off, bool still,
			const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfound(c, cls, code, slot, off, still, fmt, ap);
	va_end(ap);
}

void __kipc_check_between(struct kipc_check *c, enum kipc_finding_code code, uint64_t off,
			  const char *fmt, ...)
{
	enum kipc_finding_class cls = c->dead ? KIPC_FINDING_DEAD : KIPC_FINDING_IN_FLIGHT;
	va_list ap;

	if (!c->dead && (c->idle || !c->live))
		cls = KIPC_FINDING_VIOLATION;
	c->checks++;
	va_start(ap, fmt);
	vfound(c, cls, code, 0, off, true, fmt, ap);
	va_end(ap);
}

/* ---- looks ---- */

static bool same(const struct kipc_check_note *a, const struct kipc_check_note *b)
{
	return a->f.cls == b->f.cls && a->f.code == b->f.code && a->f.offset == b->f.offset;
}

/* What the looks before didn't find isn't confirmed by this one. */
static void confirm(struct kipc_check *c, const struct kipc_check_note *before, uint32_t n)
{
	for (uint32_t i = 0; i < c->nnotes; i++) {
		struct kipc_check_note *note = &c->notes[i];

		note->confirmed = false;
		for (uint32_t j = 0; j < n && !note->confirmed; j++)
			note->confirmed = before[j].confirmed && same(note, &before[j]);
	}
}

static void reset(struct kipc_check *c)
{
	c->checks = 0;
	memset(c->counts, 0, sizeof(c->counts));
	memset(c->alive, 0, sizeof(c->alive));
	memset(c->used, 0, sizeof(c->used));
	c->live = c->dead = 0;
	c->moved = false;
	c->unkept = 0;
	c->notes = NULL;
	c->nnotes = c->cap = c->nwatches = 0;
}

/* Violations that the looks so far couldn't clear up. */
static uint64_t settle(struct kipc_check *c, bool still)
{
	uint64_t n = still ? c->unkept : 0;

	for (uint32_t i = 0; i < c->nnotes; i++) {
		struct kipc_check_note *note = &c->notes[i];

		if (still)
			note->confirmed = true;
		else if (note->still || !note->confirmed)
			note->confirmed = note->f.cls != KIPC_FINDING_VIOLATION;
		n += note->f.cls == KIPC_FINDING_VIOLATION && note->confirmed;
	}
	return n;
}

static void tell(struct kipc_check *c, struct kipc_report *r, enum kipc_finding_class cls)
{
	for (uint32_t i = 0; i < c->nnotes; i++) {
		struct kipc_check_note *note = &c->notes[i];

		if (note->f.cls != cls || !note->confirmed)
			continue;
		note->f.text = note->text;
		if (cls == KIPC_FINDING_VIOLATION && !r->first[0])
			memcpy(r->first, note->text, sizeof(r->first));
		if (r->found)
			r->found(r->arg, &note->f);
	}
}

int __kipc_check_run(struct kipc_check *c, struct kipc_report *report,
		     void (*look)(struct kipc_check *c))
{
	struct kipc_check_note *before = NULL;
	uint32_t nbefore = 0, looks = 0;
	bool still;

	do {
		reset(c);
		look(c);
		still = quiescent(c);
		if (looks++)
			confirm(c, before, nbefore);
		free(before);
		before = c->notes;
		nbefore = c->nnotes;
		if (still || c->failed || !c->counts[KIPC_FINDING_VIOLATION])
			break;
		SYS(sched_yield());
	} while (looks < LOOKS);

	report->checks = c->checks;
	report->violations = settle(c, still);
	report->dead_claims = c->counts[KIPC_FINDING_DEAD];
	report->in_flight = c->counts[KIPC_FINDING_IN_FLIGHT];
	report->kind = c->ops ? c->ops->kind : 0;
	report->looks = looks;
	report->quiescent = still;
	report->live_peers = c->live;
	report->dead_peers = c->dead;
	report->first[0] = '\0';
	for (int cls = KIPC_FINDING_VIOLATION; cls <= KIPC_FINDING_IN_FLIGHT; cls++)
		tell(c, report, (enum kipc_finding_class)cls);
	free(before);
	c->notes = NULL;
	if (c->failed)
		return -ENOMEM;
	return (int)min_of(report->violations, (uint64_t)INT32_MAX);
}
