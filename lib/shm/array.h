/* SPDX-License-Identifier: MIT */
/*
 * The private side of an array: a region and its description, checked and copied when it is opened.
 *
 * Invariant: for every index inside the shape, sum(index * stride) + itemsize <= region.size, and
 * elements * itemsize <= region.size; so whoever walks over the shape stays inside the data, and comes
 * to an end.
 */
#ifndef KIPC_SHM_ARRAY_H
#define KIPC_SHM_ARRAY_H

#include "kipc/array.h"
#include "shm/region.h"
#include "uapi/kipc/array.h"

struct kipc_array_desc {
	uint32_t dtype;
	uint32_t itemsize;	/* bytes, a power of two */
	uint32_t ndim;
	uint64_t elements;
	uint64_t shape[KIPC_ARRAY_DIMS];
	int64_t strides[KIPC_ARRAY_DIMS];	/* bytes; of an array >= 0, of a view any */
};

struct kipc_array {
	struct kipc_region region;
	struct kipc_array_desc desc;
};

/*
 * As kipc_array_create(), but fill() puts elements in before anybody else can have the array.
 * order: KIPC_ARRAY_FORTRAN or 0, instead of the option, which is refused then.
 */
int __kipc_array_create(const char *name, enum kipc_dtype dtype, unsigned int ndim,
			const uint64_t *shape, const struct kipc_array_opts *opts, uint32_t order,
			int (*fill)(struct kipc_array *a, void *arg), void *arg,
			struct kipc_array **out);

/*
 * Describes a contiguous array.  dtype is known to be one, ndim to be in range.  0, or -EOVERFLOW when
 * it takes more than INT64_MAX bytes, lengths of 0 taken as 1.
 */
int __kipc_array_describe(struct kipc_array_desc *d, enum kipc_dtype dtype, uint32_t ndim,
			  const uint64_t *shape, bool fortran);

/*
 * Moves all elements of a shape, wherever each set of strides says they are.  d->strides is not
 * looked at.  The two may not overlap, unless they are the same.
 */
void __kipc_array_transfer(const struct kipc_array_desc *d, uint8_t *dst,
			   const int64_t *dst_strides, const uint8_t *src,
			   const int64_t *src_strides);
/* Sets each element to *item. */
void __kipc_array_fill(const struct kipc_array_desc *d, uint8_t *data, const void *item);
/* The same shape in a buffer, in C order. */
void __kipc_array_buffer(const struct kipc_array_desc *d, struct kipc_array_desc *buf);
/* Elements times itemsize. */
size_t __kipc_array_bytes(const struct kipc_array_desc *d);

/* Copies the description out of shared memory and checks all of it.  0 or -EPROTO. */
int __kipc_array_read_head(struct kipc_array_desc *d, const struct kipc_array_head *head,
			   uint64_t size);
void __kipc_array_write_head(struct kipc_array_head *head, const struct kipc_array_desc *d);

#endif
