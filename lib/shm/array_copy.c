// SPDX-License-Identifier: MIT
/*
 * What moves elements: fill, copy, write, read.  All are one walk over the shape with two sets of
 * strides: a buffer in C order has those of an array in C order, a single item has strides of 0.
 *
 * No locks here.  Others may be writing what is read (a snapshot under the sequence lock, which is
 * then thrown away): nothing but the bytes depends on it, the walk follows the private description.
 */
#include <errno.h>
#include <string.h>

#include "shm/array.h"

/* A plain copy, but one that ThreadSanitizer does not see: it may race, see above. */
static __racy void copy_bytes(void *dst, const void *src, size_t len)
{
#ifdef KIPC_TSAN
	volatile uint8_t *to = dst;
	const volatile uint8_t *from = src;

	while (len--)
		*to++ = *from++;
#else
	memmove(dst, src, len);
#endif
}

#define COPY_RUN(bytes)                                                                            \
	for (uint64_t i = 0; i < n; i++, dst += dst_stride, src += src_stride)                     \
	__builtin_memcpy(dst, src, bytes)

/* n items, each so many bytes after the one before. */
static __racy void copy_run(uint8_t *dst, int64_t dst_stride, const uint8_t *src,
			    int64_t src_stride, uint64_t n, uint32_t itemsize)
{
	if (dst_stride == itemsize && src_stride == itemsize) {
		copy_bytes(dst, src, (size_t)(n * itemsize));
		return;
	}
	switch (itemsize) {
	case 1:
		COPY_RUN(1);
		break;
	case 2:
		COPY_RUN(2);
		break;
	case 4:
		COPY_RUN(4);
		break;
	case 8:
		COPY_RUN(8);
		break;
	case 16:
		COPY_RUN(16);
		break;
	}
}

/*
 * The last dimension in runs, the others counted like the wheels of an odometer.  Not for ndim 0,
 * nor for an empty array.
 */
static void walk(const struct kipc_array_desc *d, uint8_t *dst, const int64_t *dst_strides,
		 const uint8_t *src, const int64_t *src_strides)
{
	uint64_t index[KIPC_ARRAY_DIMS] = { 0 };
	uint32_t last = d->ndim - 1, i;

	for (;;) {
		copy_run(dst, dst_strides[last], src, src_strides[last], d->shape[last],
			 d->itemsize);
		for (i = last; i > 0; i--) {
			dst += dst_strides[i - 1];
			src += src_strides[i - 1];
			if (++index[i - 1] < d->shape[i - 1])
				break;
			dst -= dst_strides[i - 1] * (int64_t)d->shape[i - 1];
			src -= src_strides[i - 1] * (int64_t)d->shape[i - 1];
			index[i - 1] = 0;
		}
		if (!i)
			return;
	}
}

static bool in_order(const struct kipc_array_desc *d, const int64_t *strides, bool fortran)
{
	struct kipc_array_desc want;

	return !__kipc_array_describe(&want, (enum kipc_dtype)d->dtype, d->ndim, d->shape,
				      fortran) &&
	       !memcmp(strides, want.strides, sizeof(want.strides));
}

/* Without gaps, in either order: all of it is one run. */
static bool contiguous(const struct kipc_array_desc *d, const int64_t *strides)
{
	return in_order(d, strides, false) || in_order(d, strides, true);
}

size_t __kipc_array_bytes(const struct kipc_array_desc *d)
{
	return (size_t)(d->elements * d->itemsize);
}

void __kipc_array_transfer(const struct kipc_array_desc *d, uint8_t *dst,
			   const int64_t *dst_strides, const uint8_t *src,
			   const int64_t *src_strides)
{
	if (!d->elements)
		return;
	if (!memcmp(dst_strides, src_strides, sizeof(d->strides)) && contiguous(d, dst_strides))
		copy_bytes(dst, src, __kipc_array_bytes(d));
	else
		walk(d, dst, dst_strides, src, src_strides);
}

/* Fills len bytes, a multiple of size, with the item that stands at their start. */
static void repeat(uint8_t *p, size_t size, size_t len)
{
	size_t done = size;

	while (done < len) {
		size_t n = min_of(done, len - done);

		/* in steps that stay in the cache */
		n = min_of(n, (size_t)16384);
		memcpy(p + done, p, n);
		done += n;
	}
}

void __kipc_array_fill(const struct kipc_array_desc *d, uint8_t *data, const void *item)
{
	static const int64_t same_item[KIPC_ARRAY_DIMS];
	uint8_t copy[16];

	memcpy(copy, item, d->itemsize);	/* it may be one of the elements */
	if (!d->elements)
		return;
	if (!contiguous(d, d->strides)) {
		walk(d, data, d->strides, copy, same_item);
	} else if (!memcmp(copy, copy + 1, d->itemsize - 1)) {
		memset(data, copy[0], __kipc_array_bytes(d));
	} else {
		memcpy(data, copy, d->itemsize);
		repeat(data, d->itemsize, __kipc_array_bytes(d));
	}
}

void __kipc_array_buffer(const struct kipc_array_desc *d, struct kipc_array_desc *buf)
{
	/* what was created or checked doesn't overflow */
	__kipc_array_describe(buf, (enum kipc_dtype)d->dtype, d->ndim, d->shape, false);
}

KIPC_API int kipc_array_fill(struct kipc_array *a, const void *item)
{
	if (!a || !item)
		return -EINVAL;
	if (a->region.obj.seg.readonly)
		return -EACCES;
	__kipc_array_fill(&a->desc, a->region.data, item);
	return 0;
}

KIPC_API int kipc_array_copy(struct kipc_array *dst, const struct kipc_array *src)
{
	if (!dst || !src || dst->desc.dtype != src->desc.dtype ||
	    dst->desc.ndim != src->desc.ndim ||
	    memcmp(dst->desc.shape, src->desc.shape, sizeof(dst->desc.shape)))
		return -EINVAL;
	if (dst->region.obj.seg.readonly)
		return -EACCES;
	__kipc_array_transfer(&dst->desc, dst->region.data, dst->desc.strides, src->region.data,
			      src->desc.strides);
	return 0;
}

KIPC_API int kipc_array_write(struct kipc_array *a, const void *buf, size_t len)
{
	struct kipc_array_desc c;

	if (!a || (!buf && len) || len != __kipc_array_bytes(&a->desc))
		return -EINVAL;
	if (a->region.obj.seg.readonly)
		return -EACCES;
	__kipc_array_buffer(&a->desc, &c);
	__kipc_array_transfer(&a->desc, a->region.data, a->desc.strides, buf, c.strides);
	return 0;
}

KIPC_API int kipc_array_read(const struct kipc_array *a, void *buf, size_t len)
{
	struct kipc_array_desc c;

	if (!a || (!buf && len) || len != __kipc_array_bytes(&a->desc))
		return -EINVAL;
	__kipc_array_buffer(&a->desc, &c);
	__kipc_array_transfer(&a->desc, buf, c.strides, a->region.data, a->desc.strides);
	return 0;
}
