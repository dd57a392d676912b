/* SPDX-License-Identifier: MIT */
/*
 * One object under inspection: found, opened, read and judged, once.  And the arguments that say
 * which objects are meant: PID:FD, pid:PID, a name, the path of an image.
 */
#ifndef IPC_INSPECT_SUBJECT_H
#define IPC_INSPECT_SUBJECT_H

#include "tools/common/holders.h"
#include "tools/ipc-inspect/kind.h"

struct subject {
	const struct object *object;
	struct handle via;	/* what stands for it; of an image, nothing */
	bool opened;		/* else STATE_NO_ACCESS */
	struct view view;
	struct peers peers;
	const struct kind *kind;	/* NULL: not decoded */
	void *data;		/* the kind's */
	struct summary sum;
};

/*
 * Reads the object; deep: all of it.  0, or -ENOENT: it is gone; of an image also what
 * view_open_image() says.  What we may not open, or what is damaged, is a subject nevertheless:
 * sum.states says so.
 */
int subject_open(struct subject *s, const struct object *object, bool deep);
void subject_close(struct subject *s);

/* The kind's name; for what can't be decoded, as far as the label of its memfd says. */
const char *subject_kind(const struct subject *s);

/* What it is called on the command line: a handle, or the path of an image.  malloc'ed, safe. */
char *subject_text(const struct subject *s);

/* Its name, or NULL: it has none, or none that can be believed. */
const char *subject_name(const struct subject *s);

/* The names of STATE_* bits joined by sep; "ok" for none.  malloc'ed. */
char *state_names(unsigned int states, const char *sep);

/* The PIDs, each once, joined by sep.  malloc'ed; NULL for none. */
char *holder_names(const struct holders *h, const char *sep);

/* ---- targets: what the command line asks for ---- */

struct target {
	enum {
		TARGET_PID,	/* all of this process */
		TARGET_FD,	/* its descriptor */
		TARGET_ADDRESS,	/* its mapping that begins there */
		TARGET_NAME,	/* objects of this name */
		TARGET_IMAGE,	/* a saved image */
	} type;
	pid_t pid;
	int fd;
	uint64_t address;
	char *text;		/* the name or the path */
};

struct targets {
	struct target *target;	/* none: all objects */
	size_t n;
};

/* Adds an OBJECT.  0, or the exit code after a message: EXIT_USAGE. */
int targets_add(struct targets *t, const char *arg);
/* Adds -p PID. */
int targets_add_pid(struct targets *t, const char *arg);
void targets_free(struct targets *t);

/* ---- both ---- */

/* What is done with each subject: an exit code. */
typedef int (*subject_fn)(const struct subject *s, void *arg);

#define EACH_DEEP	1u	/* all of each object is read */
#define EACH_NEEDED	2u	/* a process of the targets that has no objects is complained about */
#define EACH_QUIET	4u	/* again: what there is to complain about was said before */

/*
 * Calls fn() for each object that the targets mean, or for all.  Complains about targets that are
 * not there, are no objects, or may not be looked into; and how many processes could not be looked
 * into, if all were meant.  The worst of all exit codes: damage, then whatever else went wrong.
 */
int subjects_each(const struct targets *t, unsigned int flags, subject_fn fn, void *arg);

/* The worst of two exit codes. */
int worse(int a, int b);

#endif
