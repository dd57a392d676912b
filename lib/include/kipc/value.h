/* SPDX-License-Identifier: MIT */
/*
 * Values: what lists and dicts of a manager hold.
 *
 * A value that you make, kipc_int(5) or kipc_str("x"), borrows what it points to: a call that takes
 * it copies the bytes, or takes a reference of its own, before it returns.  A value that a call
 * gives you owns its bytes or its handle: end it with kipc_value_clear(), which is allowed on every
 * value.
 *
 *	struct kipc_value v;
 *
 *	kipc_list_append(l, kipc_str("hello"));
 *	kipc_list_get(l, 0, &v);
 *	puts(v.str);
 *	kipc_value_clear(&v);
 *
 * Memory safety: values are private to the process; a struct kipc_value belongs to one thread at a
 * time.
 */
#ifndef KIPC_VALUE_H
#define KIPC_VALUE_H

#include <stdbool.h>
#include <string.h>

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A handle of any kind of shared object in a manager: kipc_list_handle(), kipc_lock_handle(), ... */
struct kipc_handle;

enum kipc_value_type {
	KIPC_NONE	= 0,	/* like Python's None */
	KIPC_BOOL	= 1,
	KIPC_INT	= 2,	/* int64_t */
	KIPC_DOUBLE	= 3,
	KIPC_BYTES	= 4,
	KIPC_STR	= 5,	/* bytes meant as UTF-8; may hold NULs; nothing is checked */
	KIPC_REF	= 6,	/* a reference to another shared object of the same manager */
};

struct kipc_value {
	uint32_t type;		/* enum kipc_value_type */
	uint32_t flags;		/* KIPC_VALUE_* */
	size_t len;		/* bytes and str: their number, without the NUL at the end */
	union {
		bool b;
		int64_t i;
		double d;
		const void *data;	/* bytes */
		const char *str;	/* str; one that a call gave you ends with a NUL */
		struct kipc_handle *ref;
	};
};

#define KIPC_VALUE_OWNED	1u	/* kipc_value_clear() frees data, str or ref */

#define KIPC_VALUE_LEN_MAX	((size_t)1 << 30)	/* longest str or bytes; else -EMSGSIZE */

static inline struct kipc_value kipc_none(void)
{
	struct kipc_value v;

	memset(&v, 0, sizeof(v));
	return v;
}

static inline struct kipc_value kipc_bool(bool b)
{
	struct kipc_value v = kipc_none();

	v.type = KIPC_BOOL;
	v.b = b;
	return v;
}

static inline struct kipc_value kipc_int(int64_t i)
{
	struct kipc_value v = kipc_none();

	v.type = KIPC_INT;
	v.i = i;
	return v;
}

static inline struct kipc_value kipc_double(double d)
{
	struct kipc_value v = kipc_none();

	v.type = KIPC_DOUBLE;
	v.d = d;
	return v;
}

/* Borrows len bytes at data (NULL is fine when len is 0). */
static inline struct kipc_value kipc_bytes(const void *data, size_t len)
{
	struct kipc_value v = kipc_none();

	v.type = KIPC_BYTES;
	v.len = len;
	v.data = data;
	return v;
}

/* Borrows len bytes at str, which need not end with a NUL. */
static inline struct kipc_value kipc_strn(const char *str, size_t len)
{
	struct kipc_value v = kipc_none();

	v.type = KIPC_STR;
	v.len = len;
	v.str = str;
	return v;
}

/* Borrows the string up to its NUL. */
static inline struct kipc_value kipc_str(const char *str)
{
	return kipc_strn(str, strlen(str));
}

/*
 * Borrows the handle: kipc_ref(kipc_list_handle(l)).  What is stored is a reference to the object,
 * which lives from then on as long as the container does, whatever becomes of the handle.
 * References in a circle keep each other alive until the manager ends: that is the user's business.
 */
static inline struct kipc_value kipc_ref(struct kipc_handle *ref)
{
	struct kipc_value v = kipc_none();

	v.type = KIPC_REF;
	v.ref = ref;
	return v;
}

/*
 * Ends a value: frees its bytes or drops its handle if it owns them, and makes it none.  NULL and
 * values that own nothing are fine.  May take a lock of the manager for a moment when it holds a
 * ref.  Since 0.1.
 */
KIPC_API void kipc_value_clear(struct kipc_value *v);

/*
 * Whether two values are equal: by content for str and bytes (a str never equals bytes), by object
 * for refs, as numbers for int and double (1 equals 1.0, NaN nothing).  A bool equals only a bool,
 * none only none.  false for NULL.  Does not block.  Since 0.1.
 */
KIPC_API bool kipc_value_equal(const struct kipc_value *a, const struct kipc_value *b);

/*
 * Makes *to an owning copy of *from (which may itself own or borrow).  *to is overwritten, not
 * cleared.  0; -EINVAL (NULL, an unknown type, a NULL pointer with a length); -EMSGSIZE (longer
 * than KIPC_VALUE_LEN_MAX); -ENOMEM; for a ref also -ENOENT (its object is gone), -EPROTO (the
 * manager is damaged), -EUSERS, -EMFILE (in a fork child: it could not be registered).  Since 0.1.
 */
KIPC_API int kipc_value_copy(struct kipc_value *to, const struct kipc_value *from);

#ifdef __cplusplus
}
#endif

#endif
