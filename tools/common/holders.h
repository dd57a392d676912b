/* SPDX-License-Identifier: MIT */
/*
 * Every kipc object on the machine that we may see, and who holds it open.
 *
 * An object is a file (device and inode), whatever number of descriptors of whatever number of
 * processes stand for it.  Found by the links in /proc/PID/fd, and by /proc/PID/maps for those who
 * have it mapped but closed the descriptor: a cheap test, a sieve only; the header decides
 * (segment-view.h).
 *
 * Those that have a name are also had from its broker, which knows some that no process that we may
 * look into has open.
 */
#ifndef TOOLS_COMMON_HOLDERS_H
#define TOOLS_COMMON_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct handle {
	pid_t pid;
	int fd;			/* -1: only mapped, */
	uint64_t start, end;	/* ... there; else 0 */
};

struct holders {
	struct handle *handle;	/* in the order of /proc: by PID, then by descriptor */
	size_t n, room;
};

struct object {
	uint64_t dev, ino;
	char label[32];		/* of its memfd: "kipc:queue"; as told by its maker */
	struct holders holders;
	char *path;		/* of a saved image, which nobody holds; else NULL */
	bool named;		/* a broker keeps it, so it lives by its name */
	int kept;		/* from that broker, for reading only, if there are no holders; or -1 */
};

struct objects {
	struct object *object;	/* in the order in which they were found */
	size_t n, room;
	uint32_t *hash;		/* index + 1 into object[], open addressing */
	size_t nhash;		/* power of two */
	int refused;		/* processes that we may not look into */
	int refused_names;	/* names that the broker lists and doesn't open for us */
	int names_error;	/* why they could not be had; 0 also where there is no broker */
};

/* Asks all sources.  0 or a negative errno.  To be freed in any case. */
int objects_find(struct objects *o);
void objects_free(struct objects *o);

/* Notes that the file dev, ino can be had by that handle. */
void objects_add(struct objects *o, uint64_t dev, uint64_t ino, const char *label,
		 const struct handle *by);
/* Adds a saved image. */
void objects_add_image(struct objects *o, const char *path);

/* The handle by which the process holds it, the first one; or NULL. */
const struct handle *object_held_by(const struct object *o, pid_t pid);

/* PID:FD, or PID:0xADDRESS of a mapping. */
#define HANDLE_TEXT	48
const char *handle_text(const struct handle *h, char buf[HANDLE_TEXT]);

#endif
