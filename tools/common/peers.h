/* SPDX-License-Identifier: MIT */
/*
 * The processes attached to a segment, seen from outside: who lives, by the lock byte of his slot
 * (uapi/kipc/segment.h), and who that is here.
 */
#ifndef TOOLS_COMMON_PEERS_H
#define TOOLS_COMMON_PEERS_H

#include "tools/common/holders.h"
#include "tools/common/segment-view.h"

enum peer_life {
	PEER_ALIVE,
	PEER_DEAD,	/* died, and nobody has repaired the slot yet */
};

/* What became of the process that the slot's record names, in our PID namespace. */
enum peer_process {
	PEER_PROCESS_UNKNOWN,	/* not looked for, or it can't be told */
	PEER_PROCESS_SAME,	/* it is there, with the same start time */
	PEER_PROCESS_OTHER,	/* the PID is another process's now, or in our namespace */
	PEER_PROCESS_GONE,	/* no process has this PID (here) */
};

struct peer {
	uint32_t slot;
	enum peer_life life;
	struct kipc_peer rec;	/* our copy of the shared record: for display */
	pid_t pid;		/* who has the lock, as the kernel says, here; 0: unknown */
	enum peer_process process;
};

struct peers {
	struct peer *peer;	/* those whose slots are in use, in order */
	uint32_t n;
	uint32_t alive, dead;
};

/* Reads the table of peers.  0 or -EPROTO (noted).  To be freed in any case. */
int peers_read(struct view *v, struct peers *p);
void peers_free(struct peers *p);

/* Whether the slot's byte is locked, or was when the image was saved: 1, 0, or a negative errno. */
int peers_locked(const struct view *v, uint32_t slot);

/* Finds out which processes they are; h: all that is known to hold the segment open. */
void peers_identify(struct peers *p, const struct holders *h);

/* The slot's entry, or NULL. */
const struct peer *peers_find(const struct peers *p, uint32_t slot);

#endif
