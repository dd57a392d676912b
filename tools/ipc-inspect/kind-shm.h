/* SPDX-License-Identifier: MIT */
/* Shared memory, or an array, as we see it (uapi/kipc/shm.h, uapi/kipc/array.h). */
#ifndef IPC_INSPECT_KIND_SHM_H
#define IPC_INSPECT_KIND_SHM_H

#include "tools/ipc-inspect/kind.h"
#include "uapi/kipc/array.h"

struct shm {
	struct kipc_array_head head;	/* our copy; of shared memory, only head.shm counts */
	uint64_t body;		/* where the head stands in the segment */
	uint64_t writes;
	const char *state;	/* "idle", "writing", "torn" */
	bool torn, sleepers;
	const char *pages, *numa;	/* what was got: "4K", "thp", "2M", "1G"; the policy */
	char *nodes;			/* "0\n1" */
	bool populated;
	/* the reader-writer lock: */
	uint32_t *held;		/* by slot - 1: threads that are in, or whose turn is next */
	uint32_t nheld;		/* slots */
	uint64_t readers, next;	/* all of them: that are in, whose turn is next */
	const char *lock_state;	/* "open", "closing", "exclusive", "torn" */
	/* arrays: */
	const char *dtype, *order;
	char *shape, *strides;	/* "100\n100" */
	char *label;		/* "uint8[100,100]" */
};

struct dump;
void shm_dump(const void *data, struct view *v, struct dump *d);
void array_dump(const void *data, struct view *v, struct dump *d);

#endif
