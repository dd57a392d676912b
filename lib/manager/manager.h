/* SPDX-License-Identifier: MIT */
/*
 * A manager's handle: what this process knows about the segment, all of it checked when it was
 * opened and never read from shared memory again.
 */
#ifndef KIPC_MANAGER_MANAGER_H
#define KIPC_MANAGER_MANAGER_H

#include <pthread.h>

#include "core/object.h"
#include "kipc/manager.h"
#include "uapi/kipc/manager.h"

struct kipc_handle;

struct kipc_manager {
	struct kipc_object obj;		/* first */
	struct kipc_mgr_header *hdr;
	struct kipc_span *spans;
	uint64_t max_spans;
	uint64_t first_span;
	uint64_t first_off;		/* first_span in bytes */
	uint64_t touched;		/* spans below this are mapped in this process; hint */

	/*
	 * This process's handles.  Under mutex; fork waits for it.
	 */
	pthread_mutex_t mutex;
	uint32_t users;			/* open handles, and the user's own of the manager */
	struct kipc_handle *handles;
	uint64_t *free_words;		/* stack: unused words of our handle tables */
	uint32_t nfree_words;
	uint32_t nwords;		/* words in all our tables: the most that there may be */
	uint32_t free_cap;
	uint64_t fork_table;		/* the child's last table, while it is being made; 0: none */
	uint32_t fork_words;		/* words in all of the child's tables, */
	uint32_t fork_used;		/* ... and used of the last one */
	struct kipc_manager *next, **pprev;	/* all of the process */
};

/* Checks the geometry of the segment in a struct kipc_manager and takes it over.  0 or -EPROTO. */
int __kipc_manager_verify(struct kipc_segment *seg);
/* check.c: for the auditor */
void __kipc_manager_check(struct kipc_check *c, uint32_t stamp);

static inline struct kipc_segment *__kipc_manager_seg(struct kipc_manager *m)
{
	return &m->obj.seg;
}

#endif
