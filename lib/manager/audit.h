/* SPDX-License-Identifier: MIT */
/*
 * The arena's auditor: mark from the roots, sweep all spans.
 *
 * After it took every lock that may move things (objects' guards in the order of the registry, then
 * the arena's), it checks that
 *	- every allocated block is owned by exactly one word, and every word that owns holds an
 *	  allocated block;
 *	- every object's count of references is the number of words that refer to it;
 *	- no transaction or intent is left open;
 *	- the hints (free blocks, lists) agree with the bitmaps.
 * Roots: the registry's chunks and objects, the name directory, the handle tables, header.dir_new,
 * zombies.  Locks that users hold are left alone.
 */
#ifndef KIPC_MANAGER_AUDIT_H
#define KIPC_MANAGER_AUDIT_H

#include "manager/value.h"

struct kipc_arena_report {
	uint64_t spans, free_spans;
	uint64_t blocks, bytes;		/* allocated */
	uint64_t objects, refs;
	uint64_t zombies;		/* waiting for their destruction */
	uint64_t leaks;			/* blocks that nothing owns */
	uint64_t doubles;		/* words that own a block that another owns too */
	uint64_t wild;			/* words that own what isn't an allocated block */
	uint64_t bad_refs;		/* words that refer to what isn't an object */
	uint64_t bad_counts;		/* objects whose count is wrong */
	uint64_t bad_hints;
	uint64_t bad_records;		/* intents, transactions, structures that make no sense */
	char first[160];		/* the first finding, in words; empty: none */
};

/*
 * Fills *report.  0: nothing is wrong; 1: something is; negative: it could not be done (-ENOMEM,
 * -EBUSY: objects came and went all the time, -EPROTO).  Waits for locks that live processes hold.
 */
int __kipc_arena_audit(struct kipc_manager *m, struct kipc_arena_report *report);

/* A finding: counter is the one of the report that was moved for it. */
typedef void __kipc_audit_found_fn(void *arg, const uint64_t *counter, uint64_t off,
				   const char *text);

/*
 * The same for a manager that doesn't move, a private copy, without any lock and without a write.
 * What it finds while a change is half-made means nothing.  0, 1, -ENOMEM.
 */
int __kipc_arena_audit_still(struct kipc_manager *m, struct kipc_arena_report *report,
			     __kipc_audit_found_fn *say, void *arg);

/*
 * Takes all the locks that an audit takes, rolling what the dead left, until __kipc_arena_thaw().
 * 0, or an error as from the audit.
 */
int __kipc_arena_freeze(struct kipc_manager *m, void **state);
void __kipc_arena_thaw(void *state);

/* For mark callbacks. */

/* The word at this offset owns what kind says (all of it is marked); 0 in it is fine. */
void __kipc_audit_owned(struct kipc_audit *a, uint64_t kind, uint64_t word);
/* The slot at this offset owns what its tag says. */
void __kipc_audit_slot(struct kipc_audit *a, uint64_t off);
/*
 * Marks the block that the word owns and gives its address if at least min_size bytes of it are
 * there, for a callback that goes on inside; NULL: nothing there, or wrong and counted.
 */
void *__kipc_audit_block(struct kipc_audit *a, uint64_t word, uint64_t min_size);
/*
 * The same for a word that holds the offset among other bits (a dict's cell): off is what the caller
 * took out of it.
 */
void *__kipc_audit_block_at(struct kipc_audit *a, uint64_t off, uint64_t min_size);
/* Counts a finding of the kind's own. */
void __kipc_audit_bad(struct kipc_audit *a, const char *what, uint64_t off);
struct kipc_manager *__kipc_audit_manager(struct kipc_audit *a);

#endif
