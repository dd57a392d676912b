/* SPDX-License-Identifier: MIT */
/*
 * Locks between processes, in a manager: kipc_lock, and kipc_rlock, which its owner may take again.
 *
 *	struct kipc_lock *l;
 *
 *	kipc_lock_create(m, NULL, &l);
 *	r = kipc_lock_acquire(l, KIPC_FOREVER);
 *	if (r == -EOWNERDEAD)
 *		... we hold it; the last owner died in the middle: look at what it protects ...
 *	kipc_lock_release(l);
 *
 * Uncontended, each call is one atomic instruction and no system call.  A lock whose owner dies goes
 * to the next one who asks, within 150 ms, often at once.  A lock is not fair.
 *
 * Fork: what the parent holds is the parent's; a child that wants it waits.  Closing the last handle
 * does not release a lock; the death or exit of the owner does.
 *
 * In a manager that is open for reading only (manager.h) locks can be opened, all else is -EACCES.
 */
#ifndef KIPC_LOCK_H
#define KIPC_LOCK_H

#include <kipc/base.h>
#include <kipc/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_manager;
struct kipc_lock;
struct kipc_rlock;

/*
 * Makes a lock, free, in the manager.  name: NULL, or a name by which other processes that have the
 * manager find it; the name keeps it alive (kipc_manager_remove()).  *l is to be closed with
 * kipc_lock_unref().  Blocks no longer than the library's own locks do.
 *
 * 0; -EINVAL (NULL, bad name); -EEXIST (the name is taken, by an object of whatever kind); -ENOMEM
 * (the manager is full, or the machine); -EPROTO (the manager is damaged); -EUSERS, -EMFILE (in a
 * fork child: it could not be registered).  Since 0.1.
 */
KIPC_API int kipc_lock_create(struct kipc_manager *m, const char *name, struct kipc_lock **l);

/*
 * Finds a lock by name.  0; -EINVAL (NULL, bad name, an object of another kind); -ENOENT; -ENOMEM;
 * -EPROTO; -EUSERS, -EMFILE.  Since 0.1.
 */
KIPC_API int kipc_lock_open(struct kipc_manager *m, const char *name, struct kipc_lock **l);

/*
 * Takes the lock.  timeout_ns: KIPC_NOWAIT, KIPC_FOREVER, or nanoseconds.  Not recursive: a process
 * that holds it waits for itself.
 *
 * 0; -EOWNERDEAD (held: the last owner died holding it); -EAGAIN (KIPC_NOWAIT and it is taken);
 * -ETIMEDOUT; -EINVAL (NULL); -ENOENT (it is gone: only after a fork whose parent died meanwhile);
 * -EPROTO (damaged); -EUSERS, -EMFILE.  Since 0.1.
 */
KIPC_API int kipc_lock_acquire(struct kipc_lock *l, int64_t timeout_ns);

/*
 * Gives the lock back; any thread of the process that holds it may.  0; -EPERM (this process doesn't
 * hold it); -EINVAL; -ENOENT, -EUSERS, -EMFILE as above.  Does not block.  Since 0.1.
 */
KIPC_API int kipc_lock_release(struct kipc_lock *l);

/* Closes the handle; the lock goes with its last reference.  0; -EINVAL for NULL; -EPROTO.  Since 0.1. */
KIPC_API int kipc_lock_unref(struct kipc_lock *l);

/* The lock as a handle of any kind, for kipc_ref(): the same handle.  NULL for NULL.  Since 0.1. */
KIPC_API struct kipc_handle *kipc_lock_handle(struct kipc_lock *l);

/*
 * Takes the handle out of a value that a container gave: *l is it, *v becomes none.  0; -EINVAL
 * (NULL, not a ref, not a lock, or a value that only borrows).  Since 0.1.
 */
KIPC_API int kipc_lock_from(struct kipc_value *v, struct kipc_lock **l);

/*
 * The same for an rlock.  Its owner is a thread: the one that holds it may acquire it again, and
 * releases it as often as it acquired it.
 *
 * acquire: as kipc_lock_acquire(), and -EOVERFLOW (held 2^32 - 1 times already).  release: -EPERM when
 * this thread doesn't hold it.  Since 0.1.
 */
KIPC_API int kipc_rlock_create(struct kipc_manager *m, const char *name, struct kipc_rlock **l);
KIPC_API int kipc_rlock_open(struct kipc_manager *m, const char *name, struct kipc_rlock **l);
KIPC_API int kipc_rlock_acquire(struct kipc_rlock *l, int64_t timeout_ns);
KIPC_API int kipc_rlock_release(struct kipc_rlock *l);
KIPC_API int kipc_rlock_unref(struct kipc_rlock *l);
KIPC_API struct kipc_handle *kipc_rlock_handle(struct kipc_rlock *l);
KIPC_API int kipc_rlock_from(struct kipc_value *v, struct kipc_rlock **l);

#ifdef __cplusplus
}
#endif

#endif
