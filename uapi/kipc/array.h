/* SPDX-License-Identifier: MIT */
/*
 * An array: shared memory (shm.h) that describes itself.
 *
 * The element at index (i0, i1, ...) stands strides[0] * i0 + strides[1] * i1 + ... bytes after
 * data_off.  This build writes contiguous arrays in C or Fortran order; a reader accepts whatever
 * strides keep every element inside the data.
 */
#ifndef UAPI_KIPC_ARRAY_H
#define UAPI_KIPC_ARRAY_H

#include <linux/types.h>

#include "uapi/kipc/shm.h"

#define KIPC_ARRAY_DIMS	8

/* Element types; all little-endian, a complex number is its real and then its imaginary part. */
enum kipc_array_type {
	KIPC_ARRAY_TYPE_BOOL		= 1,	/* 1 byte, 0 or 1 */
	KIPC_ARRAY_TYPE_INT8		= 2,
	KIPC_ARRAY_TYPE_UINT8		= 3,
	KIPC_ARRAY_TYPE_INT16		= 4,
	KIPC_ARRAY_TYPE_UINT16		= 5,
	KIPC_ARRAY_TYPE_INT32		= 6,
	KIPC_ARRAY_TYPE_UINT32		= 7,
	KIPC_ARRAY_TYPE_INT64		= 8,
	KIPC_ARRAY_TYPE_UINT64		= 9,
	KIPC_ARRAY_TYPE_FLOAT16		= 10,	/* IEEE 754 binary16 */
	KIPC_ARRAY_TYPE_FLOAT32		= 11,
	KIPC_ARRAY_TYPE_FLOAT64		= 12,
	KIPC_ARRAY_TYPE_COMPLEX64	= 13,	/* two float32 */
	KIPC_ARRAY_TYPE_COMPLEX128	= 14,	/* two float64 */
};

struct kipc_array_head {
	struct kipc_shm_head shm;

	/* all of it written once, by the creator */
	__u32	dtype;		/* enum kipc_array_type */
	__u32	itemsize;	/* bytes */
	__u32	ndim;		/* 0..KIPC_ARRAY_DIMS */
	__u32	flags;		/* 0 */
	__u64	elements;	/* product of the shape; times itemsize <= shm.size */
	__u64	reserved0[5];
	__u64	shape[KIPC_ARRAY_DIMS];		/* 0 from ndim on */
	__s64	strides[KIPC_ARRAY_DIMS];	/* bytes, >= 0; 0 from ndim on */
};

#ifndef __cplusplus
_Static_assert(sizeof(struct kipc_array_head) == 448, "head size");
_Static_assert(sizeof(struct kipc_array_head) <= KIPC_SHM_READERS_OFF, "the head fits its place");
_Static_assert(__builtin_offsetof(struct kipc_array_head, dtype) == 256, "description");
_Static_assert(__builtin_offsetof(struct kipc_array_head, shape) == 320, "shape");
_Static_assert(__builtin_offsetof(struct kipc_array_head, strides) == 384, "strides");
#endif

#endif
