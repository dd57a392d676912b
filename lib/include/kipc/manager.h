/* SPDX-License-Identifier: MIT */
/*
 * Managers: an arena of shared memory that holds lists, dicts and locks, used by many processes at
 * once without a server.
 *
 *	struct kipc_manager *m;
 *	struct kipc_list *l;
 *
 *	kipc_manager_create(NULL, NULL, &m);
 *	kipc_list_create(m, NULL, &l);
 *	if (!fork()) {
 *		kipc_list_append(l, kipc_int(1));
 *		_exit(0);
 *	}
 *
 * A manager reaches other processes by its name (names.h), or without one by fork(2) or kipc_send()
 * (object.h).  An object in it reaches them by fork(2), by a name inside the manager
 * (kipc_list_create(m, "jobs", &l), then kipc_list_open(m, "jobs", &l)), or as a value in a list or
 * dict.
 *
 * Lifetime.  An object lives as long as something refers to it: a handle in some process, its name,
 * a container that holds it.  A process that dies or exits drops what it referred to.  References
 * in a circle are never dropped before the manager ends.  The manager ends with the last process
 * that has it, when it has no name any more.
 *
 * Reading.  Who opened it with KIPC_NAME_RDONLY can read lists and dicts as ever, and change
 * nothing: what would write says -EACCES, locks included.  A reader takes no lock and holds no
 * reference: a read that finds a writer at work each time gives up after a second with -ETIMEDOUT;
 * and an object that nobody else refers to any more is gone for the reader, too (-ENOENT).
 *
 * Death.  Any process may be killed at any moment: every operation has happened or has not, and the
 * memory that the dead one held or was about to use goes back.
 *
 * Fork.  What a child inherits is referred to before it exists, so the parent may close its handles, or
 * die, at once.  Only where fork(2) found no slot, memory or descriptor for that may an object be gone
 * before the child could register by itself: its handle then says -ENOENT.  A child that was made by a
 * bare clone(2) registers at its first use.
 *
 * Trust.  Whoever has the manager can change and damage everything in it; nobody can make another
 * process read or write outside it, or hang in it for ever but by holding a lock while it lives.
 *
 * Everything here may be used by many threads at once, but for closing what another thread still
 * uses.
 */
#ifndef KIPC_MANAGER_H
#define KIPC_MANAGER_H

#include <kipc/base.h>
#include <kipc/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_manager;
struct kipc_object;

struct kipc_manager_opts {
	size_t sz;
	uint32_t flags;		/* KIPC_NAME_* */
	enum kipc_huge huge;	/* KIPC_HUGE_NONE or _THP; others: -EINVAL */
	uint32_t mode;		/* permission bits of the memfd, of 0666; 0: 0600 */
	uint32_t max_peers;	/* processes at once, at most 1023; 0: 120 */
	uint64_t size;		/* bytes of arena to begin with; 0: 1 MiB */
	uint64_t max_size;	/* bytes that it may grow to, at most 1 TiB; 0: 16 GiB, less where the
				   address space is limited */
};

struct kipc_manager_stat {
	size_t sz;		/* set by the caller: sizeof(struct kipc_manager_stat) */
	uint64_t id;		/* names the manager, random */
	uint64_t size;		/* bytes of arena that exist */
	uint64_t max_size;	/* bytes that there may be */
	uint64_t used;		/* bytes in allocated blocks */
	uint64_t blocks;	/* allocated blocks */
	uint64_t spans;		/* spans of 64 KiB that exist, without header and table */
	uint64_t free_spans;
	uint64_t objects;	/* shared objects that live */
	uint64_t names;
	uint64_t peers;		/* attached processes */
	uint64_t repairs;	/* dead processes whose holdings were taken back */
	uint64_t recoveries;	/* locks of the library inherited from the dead */
	uint64_t rolled;	/* half-done changes that were finished or undone */
};

/* What an object is. */
enum kipc_handle_kind {
	KIPC_HANDLE_LIST	= 1,
	KIPC_HANDLE_DICT	= 2,
	KIPC_HANDLE_LOCK	= 3,
	KIPC_HANDLE_RLOCK	= 4,
};

/*
 * Creates a manager.  name: what others open it by, or NULL.  opts: NULL for all defaults.  *m is
 * to be closed.  With a name it waits for the broker, else it does not block.
 *
 * 0; -EINVAL (m NULL, a bad name, a bad option: too small a struct, unknown flags or huge, a mode
 * that isn't one, max_peers above 1023, max_size below size or above 1 TiB); -E2BIG (options from a
 * newer header); -ENOMEM (no memory or address space); -EMFILE, -ENFILE, -ENOSPC; -ENOENT (/proc
 * isn't mounted); -EACCES (mode doesn't let the caller itself read and write).  With a name also
 * -EEXIST (it is taken), -EDQUOT (this user's limit of names or bytes; -ENOSPC: that of all) and the
 * errors in names.h; with KIPC_NAME_EXISTING those of kipc_manager_open().  Since 0.1.
 */
KIPC_API int kipc_manager_create(const char *name, const struct kipc_manager_opts *opts,
				 struct kipc_manager **m);

/*
 * Opens the manager of that name; *m is to be closed.  opts: only KIPC_NAME_RDONLY counts (see
 * above).  Waits for the broker.
 *
 * 0; -EINVAL (NULL, bad name, option or flag), -E2BIG; -ENOENT (no such name), -EACCES (its mode),
 * -EAGAIN (its broker was killed and whoever has it open can't be looked into: it comes back when that
 * process uses a name), -EPROTO, -EPROTONOSUPPORT, -EUSERS (as many as max_peers are attached), -ENOMEM,
 * -EMFILE, -ENFILE; or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_manager_open(const char *name, const struct kipc_manager_opts *opts,
			       struct kipc_manager **m);

/*
 * Closes this process's handle of the manager.  What other handles of objects in it are still open
 * go on working; the process leaves the manager when the last of them is closed.  NULL is ignored.
 * May take a lock of the manager for a moment.  Since 0.1.
 */
KIPC_API void kipc_manager_close(struct kipc_manager *m);

/*
 * Takes a manager's name away; who has it open keeps it.  0; -EINVAL, -ENOENT, -EACCES (neither its
 * owner nor root); or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_manager_unlink(const char *name);

/*
 * Fills *st as far as st->sz reaches (base.h).  0; -EINVAL (NULL, st->sz too small); -EUSERS,
 * -EMFILE (in a fork child).  Looks for dead processes and takes back what they held.  Since 0.1.
 */
KIPC_API int kipc_manager_stat(struct kipc_manager *m, struct kipc_manager_stat *st);

/* The manager as a general object, for kipc_send(); the same handle.  NULL for NULL.  Since 0.1. */
KIPC_API struct kipc_object *kipc_manager_object(struct kipc_manager *m);

/*
 * Takes the name away from the named object of whatever kind, and with it the reference that the
 * name was.  0; -EINVAL (NULL, no valid name); -ENOENT (no such name); -EPROTO (the manager is
 * damaged); -EUSERS, -EMFILE (in a fork child).  Since 0.1.
 */
KIPC_API int kipc_manager_remove(struct kipc_manager *m, const char *name);

/* What the handle's object is: an enum kipc_handle_kind, or -EINVAL for NULL.  Since 0.1. */
KIPC_API int kipc_handle_kind(const struct kipc_handle *h);

/* The number of the handle's object, never used twice in one manager; 0 for NULL.  Since 0.1. */
KIPC_API uint64_t kipc_handle_id(const struct kipc_handle *h);

/*
 * Closes a handle of any kind, as the kind's own _unref() does.  0; -EINVAL for NULL; -EPROTO (the
 * manager is damaged; the handle is closed all the same).  Since 0.1.
 */
KIPC_API int kipc_handle_unref(struct kipc_handle *h);

#ifdef __cplusplus
}
#endif

#endif
