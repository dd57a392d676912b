/* SPDX-License-Identifier: MIT */
/* A manager as we see it (uapi/kipc/manager.h), and the walk over the objects in its arena. */
#ifndef IPC_INSPECT_KIND_MANAGER_H
#define IPC_INSPECT_KIND_MANAGER_H

#include "tools/ipc-inspect/kind.h"
#include "uapi/kipc/dict.h"
#include "uapi/kipc/list.h"
#include "uapi/kipc/manager.h"

struct manager_type {
	char name[24];
	uint64_t count;
};

/* An object that show prints a row for. */
struct manager_row {
	char type[24];
	char name[64];
	uint64_t id, refs;
	uint64_t len;	/* ABSENT */
	uint32_t lock;	/* word */
	struct lock_row owner;
};

struct manager_held {
	uint32_t locks, guards;
};

struct manager {
	struct kipc_mgr_header sh;	/* our copy */
	uint64_t size, max_size;	/* bytes of spans */
	uint64_t waiters;		/* locks that somebody waits for */
	uint64_t examined;		/* objects */
	struct manager_type types[KIPC_OBJ_MAX];
	struct manager_row *rows;
	uint32_t nrows;
	struct manager_held held[KIPC_PEER_MAX + 1];
	uint64_t body;			/* where it stands in the segment */
	bool deep;
	struct lock_site *sites;	/* deep: of the objects */
	size_t nsites, sites_room;
	const char *intent;
};

/* "list"; for a kind that this build doesn't know, "kind 7". */
void manager_type_name(uint32_t kind, char name[24]);

/* Whether the users, and not the library, take its lock. */
static inline bool manager_is_lock(uint32_t kind)
{
	return kind == KIPC_OBJ_LOCK || kind == KIPC_OBJ_RLOCK;
}

/*
 * Calls fn() for each object that lives, with a copy of its header, until it returns false; limit
 * objects at most.  How many there were; what is wrong with the registry is noted.
 */
uint64_t manager_each_object(struct view *v, const struct manager *m, uint64_t limit,
			     bool (*fn)(uint64_t off, const struct kipc_obj_header *o, void *arg),
			     void *arg);

/* Its name, as it stands in the directory; "" for none. */
void manager_object_name(struct view *v, const struct kipc_obj_header *o, char name[64]);

struct dump;
void manager_dump(const void *data, struct view *v, struct dump *d);

#endif
