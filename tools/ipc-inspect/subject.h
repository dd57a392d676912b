/* SPDX-License-Identifier: MIT */
/*
 * One object under inspection: found, opened, read and judged, once.  And the arguments that say
 * which objects are meant: pid:PID, PID:FD.
 */
#ifndef IPC_INSPECT_SUBJECT_H
#define IPC_INSPECT_SUBJECT_H

#include "tools/common/holders.h"
#include "tools/ipc-inspect/kind.h"

struct subject {
	const struct object *object;
	struct handle via;	/* the descriptor that stands for it: PID:FD */
	bool opened;		/* else STATE_NO_ACCESS */
	struct view view;
	struct peers peers;
	const struct kind *kind;	/* NULL: not decoded */
	void *data;		/* the kind's */
	struct summary sum;
};

/*
 * Reads the object; deep: all of it.  0, or -ENOENT: it is gone.  What we may not open, or what is
 * damaged, is a subject nevertheless: sum.states says so.
 */
int subject_open(struct subject *s, const struct object *object, bool deep);
void subject_close(struct subject *s);

/* The kind's name; for what can't be decoded, as far as the label of its memfd says. */
const char *subject_kind(const struct subject *s);

/* The names of STATE_* bits joined by sep; "ok" for none.  malloc'ed. */
char *state_names(unsigned int states, const char *sep);

/* The PIDs, each once, joined by sep.  malloc'ed. */
char *holder_names(const struct holders *h, const char *sep);

/* What the command line asks for. */
struct target {
	pid_t pid;
	int fd;		/* -1: all of this process */
};

struct targets {
	struct target *target;	/* none: all objects */
	size_t n;
};

/* Adds pid:PID or PID:FD.  0, or the exit code after a message: EXIT_USAGE, EXIT_UNSUPPORTED. */
int targets_add(struct targets *t, const char *arg);
/* Adds -p PID. */
int targets_add_pid(struct targets *t, const char *arg);
void targets_free(struct targets *t);

/* Whether the object is one of those asked for. */
bool targets_match(const struct targets *t, const struct object *object);

/*
 * Complains about targets that are not there, are not kipc objects, or may not be looked into; a
 * process that merely has no objects is complained about if `need` is set.  An exit code.
 */
int targets_check(const struct targets *t, const struct objects *objects, bool need);

#endif
