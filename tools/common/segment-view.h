/* SPDX-License-Identifier: MIT */
/*
 * Looking at another process's segment without touching it.
 *
 * Everything is read by pread(2) into our own memory.  So nothing that an owner does (cutting the
 * file short, unsealed as it may be; storing nonsense) can kill us by SIGBUS; a page that was never
 * touched stays unallocated (a read through a mapping would allocate it); and what was checked
 * stays as it was checked.  We take no slot, no lock, and write nothing.
 *
 * The price: what is read is no snapshot; words may be from different moments, and even an 8-byte
 * word may in theory be torn.  So whoever finds that something "can't be" looks again before
 * he says so: view_confirm().
 *
 * Invariant: every offset is checked by view_read() against the file's size; no field of the header
 * is used before view_open() has checked it.
 */
#ifndef TOOLS_COMMON_SEGMENT_VIEW_H
#define TOOLS_COMMON_SEGMENT_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/common/holders.h"
#include "uapi/kipc/segment.h"

#define VIEW_FIRST	4096	/* bytes: the header, and what of the peers fits behind it */

/* What the descriptor of every segment is called in /proc/PID/fd. */
#define VIEW_LINK_PREFIX	"/memfd:kipc"

#define VIEW_PROBLEMS_MAX	16

enum view_verdict {
	VIEW_GOOD,		/* header and kind may be decoded */
	VIEW_UNFINISHED,	/* its creator has not published it (yet) */
	VIEW_FOREIGN,		/* of another ABI version or with unknown features: header only */
	VIEW_DAMAGED,		/* header only, and that not to be believed */
};

struct view {
	int fd;			/* O_RDONLY, a description of our own */
	bool image;		/* a saved one, not the segment itself: hdr.image tells more */
	uint64_t file_size;	/* bytes */
	uint64_t resident;	/* bytes of memory that it takes */
	uint32_t mode, uid, gid;
	int seals;		/* F_SEAL_*; -1: the file can't be sealed */
	bool have_header;	/* hdr was read, whatever stands in it */
	enum view_verdict verdict;
	union {
		struct kipc_seg_header hdr;	/* our copy */
		char first[VIEW_FIRST];		/* ... with what follows it, as far as `nfirst` */
	};
	uint32_t nfirst;
	unsigned int nproblems;	/* what is damaged, in words */
	char *problems[VIEW_PROBLEMS_MAX];
};

/*
 * Opens what a process holds by that handle, where the file dev, ino was found (holders.h).  0,
 * whatever state the segment is in (v->verdict); -ENOENT: process or descriptor are gone, or the
 * descriptor is another file's by now; -EACCES, -EPERM: we may not; other negative errnos.
 */
int view_open(struct view *v, const struct handle *by, uint64_t dev, uint64_t ino);
/* Opens a saved image.  As view_open(), and -EINVAL: not a file, or no segment was ever in it. */
int view_open_image(struct view *v, const char *path);
void view_close(struct view *v);

/* Copies [off, off + len) into buf.  0, or -EPROTO when that isn't wholly inside the file. */
int view_read(const struct view *v, uint64_t off, void *buf, uint64_t len);

/* Whether [off, off + len) is inside the file, which may have grown since. */
bool view_holds(struct view *v, uint64_t off, uint64_t len);

/* Notes what is wrong, in words; the first VIEW_PROBLEMS_MAX are kept.  Always returns -EPROTO. */
int view_problem(struct view *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Calls look(arg) until it says 0, but at most so often that a live object had time to move on.
 * look() returns a negative value for "can't be", and gets last = true when its finding will stand
 * (the time to note it).  What it said last.
 */
int view_confirm(int (*look)(void *arg, bool last), void *arg);

/* The kind's name, "queue"; NULL for a number that no kind has. */
const char *view_kind_name(unsigned int kind);

#endif
