/* SPDX-License-Identifier: MIT */
/*
 * What every handle begins with, so that any object can be handed over (kipc_send(), kipc_recv()),
 * closed and asked for its kind without knowing which one it is.
 *
 * Each kind defines one `const struct kipc_object_ops __kipc_<kind>_object`; lib/names/ knows them
 * all, the kinds don't know each other.
 */
#ifndef KIPC_CORE_OBJECT_H
#define KIPC_CORE_OBJECT_H

#include <stdint.h>

#include "core/source.h"

#define KIPC_OBJECT_FDS_MAX	8
#define KIPC_OBJECT_ARGS	4

struct kipc_object;
struct kipc_named;
struct kipc_check;

/* What goes over the socket beside the header: descriptors in the kind's own order, and words. */
struct kipc_transfer {
	uint32_t nfds;			/* = ops->nfds, before export and import are called */
	bool readonly;			/* import: fds[0] alone, which can only be read */
	int fds[KIPC_OBJECT_FDS_MAX];	/* export: still the object's; import: owned by the importer */
	uint64_t args[KIPC_OBJECT_ARGS];
};

struct kipc_object_ops {
	uint16_t kind;			/* enum kipc_seg_kind */
	uint32_t nfds;			/* exactly so many descriptors */
	uint32_t nargs;			/* words of args that it uses; the rest must be 0 */
	int (*export)(struct kipc_object *obj, struct kipc_transfer *t);
	/*
	 * Makes a handle from what came; checks everything.  On success the descriptors are the
	 * handle's (those it doesn't need closed), on failure still the caller's.
	 */
	int (*import)(struct kipc_transfer *t, struct kipc_object **out);
	void (*close)(struct kipc_object *obj);
	/*
	 * What stands behind kipc_*_fd(obj, which), with the same errors; from then on its doorbell is
	 * watched, and rung if the condition holds already.  Good until the object is closed; in a
	 * fork child to be asked for anew.  NULL: nothing to wait for.
	 */
	int (*source)(struct kipc_object *obj, unsigned int which, struct kipc_source *src);
	/*
	 * For the auditor (core/check.h): says what is wrong with the body of the view, which need
	 * not be an open object's.  Header and peers have been checked.
	 */
	void (*check)(struct kipc_check *c);
	/*
	 * For KIPC_CHECK_SETTLE, after a sweep: heals what only waits for its next user, and keeps
	 * others out until thaw(state).  May be NULL.  0 or a negative errno.
	 */
	int (*freeze)(struct kipc_object *obj, void **state);
	void (*thaw)(void *state);
};

struct kipc_object {
	const struct kipc_object_ops *ops;
	struct kipc_segment seg;
	struct kipc_named *named;	/* lib/names/: created or opened by name; see core/names.h */
};

/* lib/names/handover.c: those of an enum kipc_seg_kind, or NULL. */
const struct kipc_object_ops *__kipc_object_kind_ops(uint32_t kind);

extern const struct kipc_object_ops __kipc_queue_object;
extern const struct kipc_object_ops __kipc_pipe_object;
extern const struct kipc_object_ops __kipc_shm_object;
extern const struct kipc_object_ops __kipc_array_object;
extern const struct kipc_object_ops __kipc_manager_object;

#endif
