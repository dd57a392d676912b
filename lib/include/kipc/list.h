/* SPDX-License-Identifier: MIT */
/*
 * Lists: Python's list, shared between processes, in a manager.
 *
 *	struct kipc_list *l;
 *	struct kipc_value v;
 *
 *	kipc_list_create(m, NULL, &l);
 *	kipc_list_append(l, kipc_int(7));
 *	kipc_list_append(l, kipc_str("seven"));
 *	kipc_list_get(l, -1, &v);
 *	puts(v.str);
 *	kipc_value_clear(&v);
 *	kipc_list_unref(l);
 *
 * Indices are Python's: from 0, or from -1 backwards; what lies outside is -ERANGE.
 *
 * Every call is atomic: other processes see the list before it or after it, also when the caller is
 * killed in the middle; extend(), sort(), reverse() and clear() too.  A call that fails has changed
 * nothing.
 *
 * Calls that change the list take its lock for as long as they work on it; calls that read take
 * none unless writers overtake them again and again, and copy what they return.  append(), get(),
 * set(), len() and pop() of the last element take a time that doesn't depend on the length;
 * insert() and pop() elsewhere one that grows with the number of elements behind the place, about 1
 * ns each.
 *
 * Blocks: a call waits no longer than others hold the list's lock; if its owner died, the next one
 * finishes or undoes what it was about and goes on.
 *
 * Errors of every call, beside its own: -EINVAL (NULL, a value of no known type, a ref that isn't
 * of the same manager); -ENOENT (the object is gone: only after a fork whose parent died
 * meanwhile);
 * -EPROTO (the manager is damaged); -EUSERS, -EMFILE (in a fork child: it could not be registered).
 * Those that store also: -EMSGSIZE (a str or bytes longer than KIPC_VALUE_LEN_MAX), -ENOMEM (the
 * manager is full, or the machine).  Those that give values also: -ENOMEM.  In a manager that is open
 * for reading only (manager.h): -EACCES of those that store; -ETIMEDOUT and -ENOENT of those that read.
 */
#ifndef KIPC_LIST_H
#define KIPC_LIST_H

#include <kipc/base.h>
#include <kipc/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_manager;
struct kipc_list;

/*
 * Makes an empty list in the manager.  name: NULL, or a name by which other processes that have the
 * manager find it; the name keeps it alive (kipc_manager_remove()).  *l is to be closed with
 * kipc_list_unref().  Also -EEXIST (the name is taken, by an object of whatever kind).  Since 0.1.
 */
KIPC_API int kipc_list_create(struct kipc_manager *m, const char *name, struct kipc_list **l);

/*
 * Finds a list by name.  -ENOENT: no such name; -EINVAL also: an object of another kind.  *l is to
 * be closed.  Since 0.1.
 */
KIPC_API int kipc_list_open(struct kipc_manager *m, const char *name, struct kipc_list **l);

/*
 * Closes the handle; the list goes with its last reference.  0; -EINVAL for NULL; -EPROTO.  Since
 * 0.1.
 */
KIPC_API int kipc_list_unref(struct kipc_list *l);

/* The list as a handle of any kind, for kipc_ref(): the same handle.  NULL for NULL.  Since 0.1. */
KIPC_API struct kipc_handle *kipc_list_handle(struct kipc_list *l);

/*
 * Takes the handle out of a value that a container gave: *l is it, *v becomes none.  0; -EINVAL
 * (NULL, not a ref, not a list, or a value that only borrows).  Since 0.1.
 */
KIPC_API int kipc_list_from(struct kipc_value *v, struct kipc_list **l);

/* Puts a value at the end.  0.  -EOVERFLOW: the list has 2^40 elements.  Since 0.1. */
KIPC_API int kipc_list_append(struct kipc_list *l, struct kipc_value v);

/*
 * Puts n values at the end, all or none of them, with no other process's in between.  v may be NULL
 * when n is 0.  0; -EOVERFLOW.  Since 0.1.
 */
KIPC_API int kipc_list_extend(struct kipc_list *l, const struct kipc_value *v, size_t n);

/*
 * Puts a value before the element at index; as in Python an index beyond either end means that end,
 * so INT64_MAX appends.  0; -EOVERFLOW.  Since 0.1.
 */
KIPC_API int kipc_list_insert(struct kipc_list *l, int64_t index, struct kipc_value v);

/*
 * Gives a copy of the element at index, to be ended with kipc_value_clear().  0; -ERANGE.  Since
 * 0.1.
 */
KIPC_API int kipc_list_get(struct kipc_list *l, int64_t index, struct kipc_value *v);

/* Replaces the element at index.  0; -ERANGE.  Since 0.1. */
KIPC_API int kipc_list_set(struct kipc_list *l, int64_t index, struct kipc_value v);

/*
 * Removes the element at index (-1: the last) and gives it, to be ended with kipc_value_clear(); v
 * may be NULL.  0; -ERANGE (also: the list is empty).  Since 0.1.
 */
KIPC_API int kipc_list_pop(struct kipc_list *l, int64_t index, struct kipc_value *v);

/*
 * Removes the first element that equals v, by kipc_value_equal().  0; -ENOENT: there is none.
 * Since 0.1.
 */
KIPC_API int kipc_list_remove(struct kipc_list *l, struct kipc_value v);

/*
 * The index of the first element that equals v, by kipc_value_equal(), among those from start on
 * and before stop (0, INT64_MAX: all; negative ones count from the end; beyond the ends is
 * allowed).  An index >= 0; -ENOENT: there is none.  Since 0.1.
 */
KIPC_API int64_t kipc_list_index(struct kipc_list *l, struct kipc_value v, int64_t start,
				 int64_t stop);

/* How many elements equal v, by kipc_value_equal(): >= 0.  Since 0.1. */
KIPC_API int64_t kipc_list_count(struct kipc_list *l, struct kipc_value v);

/* How many elements there are: >= 0.  Never blocks.  Since 0.1. */
KIPC_API int64_t kipc_list_len(struct kipc_list *l);

/*
 * Copies of the elements that Python's l[start:stop:step] has, as they stood at one moment, into
 * v[0..max), each to be ended with kipc_value_clear().  step: not 0; negative: backwards.  Bounds
 * beyond the ends are allowed: INT64_MIN and INT64_MAX stand for Python's omitted ones, so
 * l[::-1] is (INT64_MAX, INT64_MIN, -1).
 *
 * Returns how many elements the slice has; when that is more than max, only the first max of them
 * were copied (as snprintf(3) does).  v may be NULL when max is 0.  -EINVAL also: step 0.  Since
 * 0.1.
 */
KIPC_API int64_t kipc_list_slice(struct kipc_list *l, int64_t start, int64_t stop, int64_t step,
				 struct kipc_value *v, size_t max);

/* Turns the order round.  Needs room for a second set of slots.  0; -ENOMEM.  Since 0.1. */
KIPC_API int kipc_list_reverse(struct kipc_list *l);

/*
 * Sorts, keeping equal elements in their order.  The order of all values: none, then bool, int and
 * double together as numbers (NaN after all others), then bytes, then str (both byte by byte, a
 * shorter one before its continuation), then refs (by the number of their object).  Needs room for
 * a second set of slots.  Others wait meanwhile.  0; -ENOMEM.  Since 0.1.
 */
KIPC_API int kipc_list_sort(struct kipc_list *l);

/*
 * Removes all elements.  0; -ENOMEM (the small record of the operation found no room).  Since 0.1.
 */
KIPC_API int kipc_list_clear(struct kipc_list *l);

/*
 * Calls fn(index, v, arg) for each element of the list as it stood at one moment (copied before the
 * first call: mind the memory of a long one).  No lock is held, so fn may use the list.  *v ends
 * when fn returns, unless fn moved it elsewhere and made it none.  A return value of fn other than
 * 0 ends it and is returned.  0.  Since 0.1.
 */
KIPC_API int kipc_list_foreach(struct kipc_list *l,
			       int (*fn)(int64_t index, struct kipc_value *v, void *arg),
			       void *arg);

#ifdef __cplusplus
}
#endif

#endif
