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
	/* the reader-writer lock: */
	uint32_t *held;		/* by slot - 1 */
	uint64_t readers;
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
