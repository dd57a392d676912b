/* SPDX-License-Identifier: MIT */
/* A pipe as we see it (uapi/kipc/pipe.h). */
#ifndef IPC_INSPECT_KIND_PIPE_H
#define IPC_INSPECT_KIND_PIPE_H

#include "tools/ipc-inspect/kind.h"
#include "uapi/kipc/pipe.h"

struct pipe_way {
	char name[16];
	uint64_t queued;		/* bytes of the ring in use */
	uint64_t ring;			/* bytes */
	uint64_t head, tail;		/* positions in bytes */
	uint64_t sent, received, cuts;
	bool shutdown;
	bool sending, receiving;	/* a message longer than the ring is under way */
	bool full;
};

struct pipe {
	struct kipc_pipe_header sh;	/* our copy */
	bool simplex, exclusive;
	bool geometry;			/* it can be believed */
	unsigned int nways, first;
	uint64_t body;			/* where it stands in the segment */
	uint64_t queued, waiters;
	struct pipe_way way[KIPC_PIPE_WAYS];
	struct bell_row bells[2 * KIPC_PIPE_WAYS];
};

static inline uint64_t pipe_position(uint64_t word)
{
	return word & ~KIPC_PIPE_BITS;
}

struct dump;
void pipe_dump(const void *data, struct view *v, struct dump *d);

#endif
