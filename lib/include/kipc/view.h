/* SPDX-License-Identifier: MIT */
/*
 * Views: a part of an array, or all of it in another shape, without copying.  What NumPy's basic
 * slicing, transpose and reshape give.
 *
 *	struct kipc_view v;
 *	struct kipc_range rows[] = { KIPC_RANGE_STEP(0, 10, 2), KIPC_RANGE_ALL };
 *	int r = kipc_array_slice(a, rows, &v);		// a[0:10:2, :]
 *	...
 *	*(uint8_t *)kipc_view_at(&v, (int64_t[]){ -1, 0 }) = 255;
 *
 * A view is a plain struct of the caller's: it may be copied, thrown away, and made by hand; there
 * is nothing to close.  It points into the array's memory, and is valid as long as the array is
 * open. Every function here checks first that all elements of its views lie inside their arrays
 * (-EINVAL otherwise), so no view, however it was made, leads anywhere else.
 *
 * The functions that move elements take no lock, as those of array.h.
 *
 * Indices and axes count from the end when they are negative, as in Python.  Concurrency: a view is
 * not changed by any function but those that make it; *out may be the view that it is made from.
 */
#ifndef KIPC_VIEW_H
#define KIPC_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include <kipc/array.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_view {
	struct kipc_array *array;	/* whose elements they are */
	void *data;			/* the element of index 0, 0, ... */
	enum kipc_dtype dtype;		/* the array's */
	uint32_t ndim;			/* 0 to KIPC_ARRAY_MAX_DIMS */
	uint64_t shape[KIPC_ARRAY_MAX_DIMS];
	int64_t strides[KIPC_ARRAY_MAX_DIMS];	/* bytes, multiples of the itemsize; may be negative */
	uint64_t reserved[4];
};

/* Of one axis: start:stop:step.  Any of them may be KIPC_RANGE_NONE, where Python has none. */
struct kipc_range {
	int64_t start, stop, step;
};

#define KIPC_RANGE_NONE	INT64_MIN

#define KIPC_RANGE_STEP(start, stop, step)	{ (start), (stop), (step) }
#define KIPC_RANGE(start, stop)			KIPC_RANGE_STEP(start, stop, 1)
#define KIPC_RANGE_ALL				KIPC_RANGE(KIPC_RANGE_NONE, KIPC_RANGE_NONE)

/* In a shape for kipc_view_reshape(): whatever is left. */
#define KIPC_SHAPE_REST	UINT64_MAX

/* All of the array.  0; -EINVAL (NULL).  Does not block.  Since 0.1. */
KIPC_API int kipc_array_view(struct kipc_array *a, struct kipc_view *out);

/*
 * Of each axis the elements start, start + step, ... up to, but without, stop.  ranges: one for
 * each axis, may be NULL if there is none.  What lies outside is cut off, as in Python; so a view
 * may be empty, but no range is out of range.  0; -EINVAL (NULL, step 0, no valid view).  Do not
 * block. Since 0.1.
 */
KIPC_API int kipc_array_slice(struct kipc_array *a, const struct kipc_range *ranges,
			      struct kipc_view *out);
KIPC_API int kipc_view_slice(const struct kipc_view *v, const struct kipc_range *ranges,
			     struct kipc_view *out);

/*
 * What is at one index of one axis: a view with an axis less.  0; -ERANGE (no such axis or index);
 * -EINVAL (NULL, no valid view).  Does not block.  Since 0.1.
 */
KIPC_API int kipc_view_index(const struct kipc_view *v, int axis, int64_t index,
			     struct kipc_view *out);

/*
 * The axes in another order: axis i of the new view is axis axes[i] of the old one.  axes: each
 * axis once; NULL: in reverse.  0; -EINVAL (NULL, no such order, no valid view).  Does not block.
 * Since 0.1.
 */
KIPC_API int kipc_view_transpose(const struct kipc_view *v, const int *axes, struct kipc_view *out);

/*
 * The same elements, in C order, in another shape.
 *
 * ndim, shape	up to 8 lengths, one of which may be KIPC_SHAPE_REST; their product is the number of
 *		elements
 *
 * 0; -ENOTSUP (it can't be without copying: the elements don't lie so); -EINVAL (NULL, another
 * number of elements, more than 8 axes, no valid view).  Does not block.  Since 0.1.
 */
KIPC_API int kipc_view_reshape(const struct kipc_view *v, unsigned int ndim, const uint64_t *shape,
			       struct kipc_view *out);

/* How many elements; 0 for NULL or no valid view.  Since 0.1. */
KIPC_API size_t kipc_view_size(const struct kipc_view *v);

/*
 * The address of one element.  index: ndim indices, may be NULL if ndim is 0.  NULL when an index
 * is out of range, for NULL, or for no valid view.  Since 0.1.
 */
KIPC_API void *kipc_view_at(const struct kipc_view *v, const int64_t *index);

/*
 * As kipc_array_fill(), _copy(), _write() and _read(), of a view.  kipc_view_copy() also where both
 * overlap in one array: then it is as if all of src had been read before; -ENOMEM (no memory for
 * that). 0; -EINVAL (NULL, no valid view, another length, shape or dtype); -EACCES (read-only).  Do
 * not block; take no lock.  Since 0.1.
 */
KIPC_API int kipc_view_fill(const struct kipc_view *v, const void *item);
KIPC_API int kipc_view_copy(const struct kipc_view *dst, const struct kipc_view *src);
KIPC_API int kipc_view_write(const struct kipc_view *v, const void *buf, size_t len);
KIPC_API int kipc_view_read(const struct kipc_view *v, void *buf, size_t len);

/* As kipc_array_save(), of a view.  -EINVAL also for no valid view.  Since 0.1. */
KIPC_API int kipc_view_save(const struct kipc_view *v, const char *path);

#ifdef __cplusplus
}
#endif

#endif
