// SPDX-License-Identifier: MIT
/*
 * The description of an array: computed at creation, checked when it comes from elsewhere.  All of
 * its arithmetic is checked for overflow.
 */
#include <errno.h>
#include <string.h>

#include "shm/array.h"

int __kipc_array_describe(struct kipc_array_desc *d, enum kipc_dtype dtype, uint32_t ndim,
			  const uint64_t *shape, bool fortran)
{
	uint64_t bytes, elements = 1;

	*d = (struct kipc_array_desc){
		.dtype = dtype,
		.itemsize = (uint32_t)kipc_dtype_size(dtype),
		.ndim = ndim,
	};
	bytes = d->itemsize;
	for (uint32_t i = 0; i < ndim; i++) {
		uint32_t dim = fortran ? i : ndim - 1 - i;

		d->shape[dim] = shape[dim];
		d->strides[dim] = (int64_t)bytes;
		/* a length of 0 as 1, as NumPy does: the strides stay what they would be */
		if (__builtin_mul_overflow(bytes, max_of(shape[dim], (uint64_t)1), &bytes) ||
		    bytes > INT64_MAX)
			return -EOVERFLOW;
		elements *= shape[dim];	/* bounded by bytes */
	}
	d->elements = elements;
	return 0;
}

void __kipc_array_write_head(struct kipc_array_head *head, const struct kipc_array_desc *d)
{
	head->dtype = d->dtype;
	head->itemsize = d->itemsize;
	head->ndim = d->ndim;
	head->elements = d->elements;
	memcpy(head->shape, d->shape, sizeof(head->shape));
	memcpy(head->strides, d->strides, sizeof(head->strides));
}

/* The lengths multiply to elements, without overflow even where zeros count as one. */
static bool shape_fits(const struct kipc_array_desc *d)
{
	struct kipc_array_desc want;

	return !__kipc_array_describe(&want, (enum kipc_dtype)d->dtype, d->ndim, d->shape, false) &&
	       want.elements == d->elements;
}

/* The last element ends inside the data, and no stride leads out of it on the way there. */
static bool strides_fit(const struct kipc_array_desc *d, uint64_t size)
{
	uint64_t end = d->itemsize, bytes, step;

	if (__builtin_mul_overflow(d->elements, (uint64_t)d->itemsize, &bytes) || bytes > size)
		return false;
	for (uint32_t i = 0; i < d->ndim; i++) {
		if (d->strides[i] < 0 || d->strides[i] % d->itemsize ||
		    (d->elements && (uint64_t)d->strides[i] > size))
			return false;
		if (!d->shape[i])
			continue;
		if (__builtin_mul_overflow(d->shape[i] - 1, (uint64_t)d->strides[i], &step) ||
		    __builtin_add_overflow(end, step, &end))
			return false;
	}
	return !d->elements || end <= size;
}

int __kipc_array_read_head(struct kipc_array_desc *d, const struct kipc_array_head *head,
			   uint64_t size)
{
	memset(d, 0, sizeof(*d));
	d->dtype = load_relaxed(&head->dtype);
	d->itemsize = load_relaxed(&head->itemsize);
	d->ndim = load_relaxed(&head->ndim);
	d->elements = load_relaxed(&head->elements);
	if (d->dtype > KIPC_COMPLEX128 || !kipc_dtype_size((enum kipc_dtype)d->dtype) ||
	    d->itemsize != kipc_dtype_size((enum kipc_dtype)d->dtype) ||
	    d->ndim > KIPC_ARRAY_DIMS || load_relaxed(&head->flags))
		return -EPROTO;
	for (uint32_t i = 0; i < d->ndim; i++) {
		d->shape[i] = load_relaxed(&head->shape[i]);
		d->strides[i] = load_relaxed(&head->strides[i]);
	}
	return shape_fits(d) && strides_fit(d, size) ? 0 : -EPROTO;
}
