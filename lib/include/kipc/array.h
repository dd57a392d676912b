/* SPDX-License-Identifier: MIT */
/*
 * Arrays in shared memory that describe themselves: element type, shape and strides travel with the
 * data, under the names that NumPy gives them.
 *
 *	struct kipc_array *a;
 *	uint64_t shape[] = { 100, 100 };
 *	int r = kipc_array_create(NULL, KIPC_UINT8, 2, shape, NULL, &a);
 *	...
 *	*(uint8_t *)kipc_array_at(a, (uint64_t[]){ 3, 4 }) = 255;
 *
 * An array reaches other processes as shared memory does (shm.h), and has the same sequence lock under
 * names of its own: what shm.h says about readers and writers holds here.  The functions that move
 * elements (fill, copy, write, read) take no lock: put them between begin and end where others may be
 * writing.  The description never changes, and is copied when the array is opened: what other
 * processes do to it later makes no difference here.
 */
#ifndef KIPC_ARRAY_H
#define KIPC_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kipc/base.h>
#include <kipc/shm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_array;

/* Element types. Little-endian; a complex number is its real and then its imaginary part. */
enum kipc_dtype {
	KIPC_BOOL8	= 1,	/* "bool": one byte, 0 or 1 */
	KIPC_INT8	= 2,
	KIPC_UINT8	= 3,
	KIPC_INT16	= 4,
	KIPC_UINT16	= 5,
	KIPC_INT32	= 6,
	KIPC_UINT32	= 7,
	KIPC_INT64	= 8,
	KIPC_UINT64	= 9,
	KIPC_FLOAT16	= 10,	/* IEEE 754 binary16 */
	KIPC_FLOAT32	= 11,
	KIPC_FLOAT64	= 12,
	KIPC_COMPLEX64	= 13,	/* two float32 */
	KIPC_COMPLEX128	= 14,	/* two float64 */
};

#define KIPC_ARRAY_MAX_DIMS	8

/* The first index varies fastest in memory; otherwise the last one does (C order). */
#define KIPC_ARRAY_FORTRAN	(1u << 16)

struct kipc_array_opts {
	size_t sz;
	uint32_t flags;		/* KIPC_ARRAY_FORTRAN, KIPC_SHM_POPULATE, KIPC_SHM_LOCK, KIPC_NAME_* */
	enum kipc_huge huge;	/* pages to use; kipc_array_page_size() tells what was got */
	uint32_t mode;		/* permission bits of the memfd, of 0666; 0: 0600 */
	uint32_t max_peers;	/* processes at once, at most 1023; 0: 56 */
	enum kipc_numa numa;	/* as in struct kipc_shm_opts, as all of these */
	uint32_t threads;
	uint64_t numa_nodes;
};

/* NumPy's name of the type ("uint8", "complex128"), constant; NULL for no type.  Since 0.1. */
KIPC_API const char *kipc_dtype_name(enum kipc_dtype dtype);

/* Bytes of one element; 0 for no type.  Since 0.1. */
KIPC_API size_t kipc_dtype_size(enum kipc_dtype dtype);

/* The type with that name of NumPy's (an enum kipc_dtype), or -EINVAL.  Since 0.1. */
KIPC_API int kipc_dtype_from_name(const char *name);

/*
 * Creates a zeroed, contiguous array and maps it.
 *
 * name		what others open it by; NULL: anonymous
 * ndim		number of dimensions, 0 (a single element) to 8
 * shape	ndim lengths, copied; 0 is allowed and makes an empty array; may be NULL if ndim is 0
 * opts		NULL: all defaults
 * a		receives the handle, to be closed with kipc_array_close()
 *
 * 0 or an error as kipc_shm_create(); -EINVAL also for an unknown dtype or more than 8 dimensions,
 * -EOVERFLOW when the lengths (taking 0 as 1) make more bytes than can be.  Since 0.1.
 */
KIPC_API int kipc_array_create(const char *name, enum kipc_dtype dtype, unsigned int ndim,
			       const uint64_t *shape, const struct kipc_array_opts *opts,
			       struct kipc_array **a);

/*
 * Opens the array of that name; what it is like it says itself.  *a is to be closed.  Options,
 * waiting and errors as kipc_shm_open().  Since 0.1.
 */
KIPC_API int kipc_array_open(const char *name, const struct kipc_array_opts *opts,
			     struct kipc_array **a);

/* Unmaps the array and frees the handle, as kipc_shm_close().  NULL is ignored.  Since 0.1. */
KIPC_API void kipc_array_close(struct kipc_array *a);

/* Takes the name away, as kipc_shm_unlink().  Since 0.1. */
KIPC_API int kipc_array_unlink(const char *name);

/*
 * What it is.  Constant for the life of the handle; the pointers are valid until kipc_array_close().
 * NULL gives 0 or NULL.  Since 0.1.
 */
KIPC_API void *kipc_array_data(const struct kipc_array *a);	/* the element of index 0, 0, ... */
KIPC_API enum kipc_dtype kipc_array_dtype(const struct kipc_array *a);
KIPC_API size_t kipc_array_itemsize(const struct kipc_array *a);	/* bytes */
KIPC_API unsigned int kipc_array_ndim(const struct kipc_array *a);
KIPC_API const uint64_t *kipc_array_shape(const struct kipc_array *a);	/* ndim lengths */
KIPC_API const int64_t *kipc_array_strides(const struct kipc_array *a);	/* ndim strides, bytes */
KIPC_API size_t kipc_array_size(const struct kipc_array *a);	/* elements */
KIPC_API size_t kipc_array_nbytes(const struct kipc_array *a);	/* elements times itemsize */

/* What is behind it: as kipc_shm_page_size(), _fd() and _offset().  Since 0.1. */
KIPC_API size_t kipc_array_page_size(const struct kipc_array *a);
KIPC_API int kipc_array_fd(const struct kipc_array *a);
KIPC_API uint64_t kipc_array_offset(const struct kipc_array *a);

/* As kipc_shm_seal(); arrays can't grow in any case.  Since 0.1. */
KIPC_API int kipc_array_seal(struct kipc_array *a, uint32_t what);

/* As kipc_shm_stat().  Since 0.1. */
KIPC_API int kipc_array_stat(struct kipc_array *a, struct kipc_shm_stat *st);

/*
 * The address of one element.  index: ndim indices, may be NULL if ndim is 0.  NULL when an index is
 * out of range, or for NULL.  Since 0.1.
 */
KIPC_API void *kipc_array_at(const struct kipc_array *a, const uint64_t *index);

/*
 * Sets every element to *item (kipc_array_itemsize() bytes).  0; -EINVAL (NULL); -EACCES (read-only).
 * Does not block; takes no lock.  Since 0.1.
 */
KIPC_API int kipc_array_fill(struct kipc_array *a, const void *item);

/*
 * Copies every element of src to the same index of dst, whatever their orders.  0; -EINVAL (NULL, or
 * dtype or shape differ); -EACCES (dst is read-only).  Does not block; takes no lock.  Since 0.1.
 */
KIPC_API int kipc_array_copy(struct kipc_array *dst, const struct kipc_array *src);

/*
 * All elements from buf, or into it, where they stand in C order without gaps.  len: bytes of buf,
 * exactly kipc_array_nbytes().  0; -EINVAL (NULL, another length); -EACCES (writing, read-only).  Do
 * not block; take no lock.  Since 0.1.
 */
KIPC_API int kipc_array_write(struct kipc_array *a, const void *buf, size_t len);
KIPC_API int kipc_array_read(const struct kipc_array *a, void *buf, size_t len);

/*
 * Writes all elements to a .npy file, which NumPy reads (numpy.load()), and kipc_array_load().  The
 * order in memory, C or Fortran, is the file's; other strides are written in C order.
 *
 * path		of a regular file, or of nothing yet: it appears, or is replaced, when all of it is on
 *		the disk, and keeps its permissions; a symbolic link is followed.  After an error,
 *		or when this process is killed, it is as it was.  (Unless the disk fails in the very
 *		last step: then it may be either.)
 *
 * Takes no lock: what others write meanwhile may be in the file by halves.
 *
 * 0; -EINVAL (NULL; no regular file), -EISDIR, -ENOMEM, and what open(2), write(2), fsync(2) and
 * rename(2) say: -ENOSPC, -EDQUOT, -EACCES, -ENOENT ...  Waits for the disk.  Since 0.1.
 */
KIPC_API int kipc_array_save(const struct kipc_array *a, const char *path);

/*
 * Creates an array from a .npy file, of version 1.0, 2.0 or 3.0: with its type, its shape, and its
 * order in memory, C or Fortran.  Big-endian elements are turned round.  The file may be anybody's:
 * what it says is checked.
 *
 * path		of a regular file; what stands behind the elements is left alone
 * name, opts	as in kipc_array_create(), but KIPC_ARRAY_FORTRAN and KIPC_NAME_EXISTING are -EINVAL: the
 *		file decides
 * a		receives the handle, to be closed with kipc_array_close()
 *
 * 0; -EPROTO (no .npy file, damaged, or cut short), -ENOTSUP (a type that arrays don't have, such
 * as strings, dates, structs; more than 8 dimensions; a later version), -EOVERFLOW, -EINVAL (also:
 * no regular file), -EISDIR, what kipc_array_create(), open(2) and read(2) say.  Waits for the
 * disk. Since 0.1.
 */
KIPC_API int kipc_array_load(const char *path, const char *name, const struct kipc_array_opts *opts,
			     struct kipc_array **a);

/* The sequence lock: as kipc_shm_write_begin() and its like.  Since 0.1. */
KIPC_API int kipc_array_write_begin(struct kipc_array *a, int64_t timeout_ns);
KIPC_API int kipc_array_write_end(struct kipc_array *a);
KIPC_API int kipc_array_read_begin(struct kipc_array *a, uint64_t *seq, int64_t timeout_ns);
KIPC_API bool kipc_array_read_retry(struct kipc_array *a, uint64_t seq);

/* The reader-writer lock: as kipc_shm_lock_shared() and its like.  Since 0.1. */
KIPC_API int kipc_array_lock_shared(struct kipc_array *a, int64_t timeout_ns);
KIPC_API int kipc_array_lock_exclusive(struct kipc_array *a, int64_t timeout_ns);
KIPC_API int kipc_array_unlock(struct kipc_array *a);

/*
 * The same handle in its general form, for kipc_send() and kipc_object_close(): not a second one.
 * NULL for NULL.  Since 0.1.
 */
KIPC_API struct kipc_object *kipc_array_object(struct kipc_array *a);

#ifdef __cplusplus
}
#endif

#endif
