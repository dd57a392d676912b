/* SPDX-License-Identifier: MIT */
/*
 * Every kipc object on the machine that we may see, and who holds it open.
 *
 * An object is a file (device and inode), whatever number of descriptors of whatever number of
 * processes stand for it.  Found by the links in /proc/PID/fd: a cheap test, a sieve only; the
 * header decides (segment-view.h).
 *
 * Further sources (mappings without a descriptor, the broker) add to the same table by
 * objects_add(), each with a file of its own.
 */
#ifndef TOOLS_COMMON_HOLDERS_H
#define TOOLS_COMMON_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct handle {
	pid_t pid;
	int fd;
};

struct holders {
	struct handle *handle;	/* in the order of /proc: by PID, then by descriptor */
	size_t n, room;
};

struct object {
	uint64_t dev, ino;
	char label[32];		/* of its memfd: "kipc:queue"; as told by its maker */
	struct holders holders;
};

struct objects {
	struct object *object;	/* in the order in which they were found */
	size_t n, room;
	uint32_t *hash;		/* index + 1 into object[], open addressing */
	size_t nhash;		/* power of two */
	int refused;		/* processes that we may not look into */
};

/* Looks through /proc.  0 or a negative errno.  To be freed in any case. */
int objects_find(struct objects *o);
void objects_free(struct objects *o);

/* Notes that the process has the file dev, ino by that descriptor. */
void objects_add(struct objects *o, uint64_t dev, uint64_t ino, const char *label, pid_t pid,
		 int fd);

/* Whether the process holds it; fd: by that descriptor, -1: by any. */
bool object_held_by(const struct object *o, pid_t pid, int fd);

#endif
