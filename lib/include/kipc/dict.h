/* SPDX-License-Identifier: MIT */
/*
 * Dicts: Python's dict, shared between processes, in a manager.
 *
 *	struct kipc_dict *d;
 *	struct kipc_value v;
 *
 *	kipc_dict_create(m, NULL, &d);
 *	kipc_dict_set(d, kipc_str("answer"), kipc_int(42));
 *	if (!kipc_dict_get(d, kipc_str("answer"), &v)) {
 *		printf("%ld\n", (long)v.i);
 *		kipc_value_clear(&v);
 *	}
 *	kipc_dict_unref(d);
 *
 * Keys are str, bytes or int; keys of different types are different keys.  The order of keys means
 * nothing.
 *
 * Every call on one key is atomic: other processes see it not at all or whole, also when the caller
 * is killed in the middle.  A call on many keys says what it is.  A call that fails has changed
 * nothing.
 *
 * Writers take the lock of one of 16 stripes, so that those of different keys seldom meet; readers
 * take none unless writers overtake them again and again, never wait for a writer that was stopped
 * or killed in the middle, and copy what they return.
 * The table grows and shrinks by one bucket a write, so no single call pays for it.
 *
 * Blocks: a call waits no longer than others hold the stripe's lock; if its owner died, the next
 * one finishes or undoes what it was about and goes on.
 *
 * Errors of every call, beside its own: -EINVAL (NULL; a key that isn't str, bytes or int; a value
 * of no known type; a ref that isn't of the same manager); -EMSGSIZE (a key longer than
 * KIPC_DICT_KEY_MAX); -ENOENT (also: the object is gone, after a fork whose parent died meanwhile);
 * -EPROTO (the manager is damaged); -EUSERS, -EMFILE (in a fork child: it could not be registered).
 * Those that store also: -EMSGSIZE (a str or bytes longer than KIPC_VALUE_LEN_MAX), -ENOMEM (the
 * manager is full, or the machine).  Those that give values also: -ENOMEM.  In a manager that is open
 * for reading only (manager.h): -EACCES of those that store; -ETIMEDOUT and -ENOENT of those that read;
 * and a call on all keys still meets each that is there all the time once, but is no stripe's state at
 * one moment.
 */
#ifndef KIPC_DICT_H
#define KIPC_DICT_H

#include <kipc/base.h>
#include <kipc/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_manager;
struct kipc_dict;

#define KIPC_DICT_KEY_MAX	((size_t)1 << 20)	/* bytes in the longest key */

/*
 * Makes an empty dict in the manager: 5.5 KiB before its first key, 50 to 60 bytes a key beside key
 * and value.  name: NULL, or a name by which other processes that have the manager find it; the
 * name keeps it alive (kipc_manager_remove()).  *d is to be closed with kipc_dict_unref().  0;
 * -EEXIST (the name is taken, by an object of whatever kind); where a sandbox forbids getrandom(2),
 * what that says.  Since 0.1.
 */
KIPC_API int kipc_dict_create(struct kipc_manager *m, const char *name, struct kipc_dict **d);

/*
 * Finds a dict by name.  -ENOENT: no such name; -EINVAL also: an object of another kind.  *d is to
 * be closed.  Since 0.1.
 */
KIPC_API int kipc_dict_open(struct kipc_manager *m, const char *name, struct kipc_dict **d);

/*
 * Closes the handle; the dict goes with its last reference.  0; -EINVAL for NULL; -EPROTO.  Since
 * 0.1.
 */
KIPC_API int kipc_dict_unref(struct kipc_dict *d);

/* The dict as a handle of any kind, for kipc_ref(): the same handle.  NULL for NULL.  Since 0.1. */
KIPC_API struct kipc_handle *kipc_dict_handle(struct kipc_dict *d);

/*
 * Takes the handle out of a value that a container gave: *d is it, *v becomes none.  0; -EINVAL
 * (NULL, not a ref, not a dict, or a value that only borrows).  Since 0.1.
 */
KIPC_API int kipc_dict_from(struct kipc_value *v, struct kipc_dict **d);

/* Stores a value under the key, in place of the one that was there.  0.  Since 0.1. */
KIPC_API int kipc_dict_set(struct kipc_dict *d, struct kipc_value key, struct kipc_value v);

/*
 * Gives a copy of the value under the key, to be ended with kipc_value_clear().  0; -ENOENT: no
 * such key.  Since 0.1.
 */
KIPC_API int kipc_dict_get(struct kipc_dict *d, struct kipc_value key, struct kipc_value *v);

/* Removes the key and its value.  0; -ENOENT: no such key.  Since 0.1. */
KIPC_API int kipc_dict_del(struct kipc_dict *d, struct kipc_value key);

/* Whether the key is there: 1 or 0.  Since 0.1. */
KIPC_API int kipc_dict_contains(struct kipc_dict *d, struct kipc_value key);

/*
 * Removes the key and gives its value, to be ended with kipc_value_clear(); v may be NULL.  0;
 * -ENOENT: no such key.  Since 0.1.
 */
KIPC_API int kipc_dict_pop(struct kipc_dict *d, struct kipc_value key, struct kipc_value *v);

/*
 * Gives the value under the key; if there is none, stores `dflt` and gives that.  *v (which may be
 * NULL) is to be ended with kipc_value_clear().  0: the key was there; 1: it was made.  Since 0.1.
 */
KIPC_API int kipc_dict_setdefault(struct kipc_dict *d, struct kipc_value key,
				  struct kipc_value dflt, struct kipc_value *v);

/*
 * Stores v[i] under keys[i] for all i < n, one after another: each is atomic, all together are not.
 * All arguments are checked before the first is stored.  0; after another error (-ENOMEM, -EPROTO)
 * those before it are stored.  Since 0.1.
 */
KIPC_API int kipc_dict_update(struct kipc_dict *d, const struct kipc_value *keys,
			      const struct kipc_value *v, size_t n);

/*
 * How many keys there are: >= 0.  Never blocks.  The sum of the stripes, each read at its own
 * moment: exact as long as nobody writes.  Since 0.1.
 */
KIPC_API int64_t kipc_dict_len(struct kipc_dict *d);

/*
 * Copies of the keys into keys[0..max), to be ended with kipc_value_clear().  Returns how many keys
 * there are; when that is more than max, only max of them were copied.  keys may be NULL when max
 * is 0.  Every key that is there all the time is among them once; one that comes or goes meanwhile
 * may be: each stripe, a sixteenth of the dict, is read at one moment of its own.  Since 0.1.
 */
KIPC_API int64_t kipc_dict_keys(struct kipc_dict *d, struct kipc_value *keys, size_t max);

/* The same with the value of keys[i] in v[i]; the two belong together.  Since 0.1. */
KIPC_API int64_t kipc_dict_items(struct kipc_dict *d, struct kipc_value *keys, struct kipc_value *v,
				 size_t max);

/*
 * Removes all keys, a stripe after another: each stripe is emptied at one moment.  A caller that is
 * killed leaves every stripe as it was or empty.  Keys that others store meanwhile may stay.  0.
 * Since 0.1.
 */
KIPC_API int kipc_dict_clear(struct kipc_dict *d);

/*
 * Calls fn(key, v, arg) for each key, with the promises of kipc_dict_keys().  No lock is held, so
 * fn may use the dict.  *key and *v end when fn returns, unless fn moved one elsewhere and made it
 * none.  A return value of fn other than 0 ends it and is returned.  0.  Since 0.1.
 */
KIPC_API int kipc_dict_foreach(struct kipc_dict *d,
			       int (*fn)(struct kipc_value *key, struct kipc_value *v, void *arg),
			       void *arg);

#ifdef __cplusplus
}
#endif

#endif
