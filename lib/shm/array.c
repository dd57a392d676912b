// SPDX-License-Identifier: MIT
/* The public face of arrays, but for what moves elements: see kipc/array.h. */
#include <errno.h>
#include <stdlib.h>

#include "core/opts.h"
#include "core/peer.h"
#include "shm/array.h"

static int array_verify(struct kipc_segment *seg)
{
	struct kipc_array *a = container_of(seg, struct kipc_array, region.obj.seg);
	int r = __kipc_region_verify(seg);

	if (r)
		return r;
	/* the region has seen that there is room for it before the data */
	return __kipc_array_read_head(&a->desc, __kipc_segment_body(seg), a->region.size);
}

static const struct kipc_segment_ops array_segment = {
	.kind = KIPC_SEG_ARRAY,
	.stamp = KIPC_STAMP(KIPC_REGION_STAMP, sizeof(struct kipc_array_head)),
	.verify = array_verify,
	.readers = true,
	.repair = __kipc_region_repair,
	.forked = __kipc_region_forked,
};

/* flags: which the caller knows beside the array's own. */
static int array_opts(struct kipc_shm_opts *o, const struct kipc_array_opts *opts, uint32_t flags)
{
	_Static_assert(offsetof(struct kipc_array_opts, numa_nodes) ==
			       offsetof(struct kipc_shm_opts, numa_nodes),
		       "the array's options are a part of the region's");
	return __kipc_region_opts(o, sizeof(*opts), opts,
				  KIPC_REGION_FLAGS | KIPC_ARRAY_FORTRAN | flags);
}

struct how {
	struct kipc_array_desc desc;
	struct kipc_shm_opts opts;
	int (*fill)(struct kipc_array *a, void *arg);
	void *arg;
};

static struct kipc_array *array_of(struct kipc_object *obj)
{
	return container_of(obj, struct kipc_array, region.obj);
}

static int array_make(const char *name, const void *arg, struct kipc_object **obj)
{
	const struct how *how = arg;
	struct kipc_array *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->desc = how->desc;
	r = __kipc_region_create(&a->region, &__kipc_array_object, &array_segment, name,
				 a->desc.elements * a->desc.itemsize, &how->opts);
	if (!r) {
		__kipc_array_write_head(__kipc_segment_body(&a->region.obj.seg), &a->desc);
		r = how->fill ? how->fill(a, how->arg) : 0;
	}
	if (!r)
		r = __kipc_segment_publish(&a->region.obj.seg);
	if (r)
		kipc_array_close(a);
	else
		*obj = &a->region.obj;
	return r;
}

int __kipc_array_create(const char *name, enum kipc_dtype dtype, unsigned int ndim,
			const uint64_t *shape, const struct kipc_array_opts *opts, uint32_t order,
			int (*fill)(struct kipc_array *a, void *arg), void *arg,
			struct kipc_array **out)
{
	struct how how = { .fill = fill, .arg = arg };
	uint32_t flags;
	struct kipc_object *obj;
	int r;

	if (!out || !kipc_dtype_size(dtype) || ndim > KIPC_ARRAY_DIMS || (ndim && !shape))
		return -EINVAL;
	flags = __kipc_region_create_flags(name, 0);
	if (fill)
		flags &= ~KIPC_NAME_EXISTING;	/* the file is what it shall hold */
	r = array_opts(&how.opts, opts, flags);
	if (!r && fill && (how.opts.flags & KIPC_ARRAY_FORTRAN))
		r = -EINVAL;
	if (!r)
		r = __kipc_name_check(name);
	how.opts.flags |= order;
	if (r >= 0)
		r = __kipc_array_describe(&how.desc, dtype, ndim, shape,
					  how.opts.flags & KIPC_ARRAY_FORTRAN);
	if (r)
		return r;
	r = __kipc_name_create(name, how.opts.flags, &__kipc_array_object, array_make, &how, &obj);
	if (!r)
		*out = array_of(obj);
	return r;
}

KIPC_API int kipc_array_create(const char *name, enum kipc_dtype dtype, unsigned int ndim,
			       const uint64_t *shape, const struct kipc_array_opts *opts,
			       struct kipc_array **out)
{
	return __kipc_array_create(name, dtype, ndim, shape, opts, 0, NULL, NULL, out);
}

KIPC_API int kipc_array_open(const char *name, const struct kipc_array_opts *opts,
			     struct kipc_array **out)
{
	struct kipc_shm_opts o;
	struct kipc_object *obj;
	int r;

	if (!out)
		return -EINVAL;
	r = array_opts(&o, opts, KIPC_NAME_OPEN_FLAGS);
	if (!r)
		r = __kipc_name_open(name, o.flags, &__kipc_array_object, &obj);
	if (!r)
		*out = array_of(obj);
	return r;
}

KIPC_API void kipc_array_close(struct kipc_array *a)
{
	if (!a)
		return;
	__kipc_name_forget(&a->region.obj);
	__kipc_segment_close(&a->region.obj.seg);
	free(a);
}

KIPC_API int kipc_array_unlink(const char *name)
{
	return __kipc_name_unlink(name, KIPC_SEG_ARRAY);
}

KIPC_API void *kipc_array_data(const struct kipc_array *a)
{
	return a ? a->region.data : NULL;
}

KIPC_API enum kipc_dtype kipc_array_dtype(const struct kipc_array *a)
{
	return (enum kipc_dtype)(a ? a->desc.dtype : 0);
}

KIPC_API size_t kipc_array_itemsize(const struct kipc_array *a)
{
	return a ? a->desc.itemsize : 0;
}

KIPC_API unsigned int kipc_array_ndim(const struct kipc_array *a)
{
	return a ? a->desc.ndim : 0;
}

KIPC_API const uint64_t *kipc_array_shape(const struct kipc_array *a)
{
	return a ? a->desc.shape : NULL;
}

KIPC_API const int64_t *kipc_array_strides(const struct kipc_array *a)
{
	return a ? a->desc.strides : NULL;
}

KIPC_API size_t kipc_array_size(const struct kipc_array *a)
{
	return a ? (size_t)a->desc.elements : 0;
}

KIPC_API size_t kipc_array_nbytes(const struct kipc_array *a)
{
	return a ? (size_t)(a->desc.elements * a->desc.itemsize) : 0;
}

KIPC_API size_t kipc_array_page_size(const struct kipc_array *a)
{
	return a ? (size_t)a->region.obj.seg.page_size : 0;
}

KIPC_API int kipc_array_fd(const struct kipc_array *a)
{
	return a ? a->region.obj.seg.fd : -EINVAL;
}

KIPC_API uint64_t kipc_array_offset(const struct kipc_array *a)
{
	return a ? a->region.data_off : 0;
}

KIPC_API int kipc_array_seal(struct kipc_array *a, uint32_t what)
{
	int r;

	if (!a)
		return -EINVAL;
	r = __kipc_peer_enter_read(&a->region.obj.seg);
	return r ? r : __kipc_region_seal(&a->region, what);
}

KIPC_API int kipc_array_stat(struct kipc_array *a, struct kipc_shm_stat *st)
{
	int r;

	if (!a || !st)
		return -EINVAL;
	r = __kipc_peer_enter_read(&a->region.obj.seg);
	return r ? r : __kipc_region_stat(&a->region, st);
}

KIPC_API void *kipc_array_at(const struct kipc_array *a, const uint64_t *index)
{
	uint64_t off = 0;

	if (!a || (a->desc.ndim && !index) || !a->desc.elements)
		return NULL;
	for (uint32_t i = 0; i < a->desc.ndim; i++) {
		if (index[i] >= a->desc.shape[i])
			return NULL;
		off += index[i] * (uint64_t)a->desc.strides[i];
	}
	return a->region.data + off;
}

KIPC_API int kipc_array_write_begin(struct kipc_array *a, int64_t timeout_ns)
{
	int r;

	if (!a)
		return -EINVAL;
	r = __kipc_peer_enter(&a->region.obj.seg);
	return r ? r : __kipc_seq_write_begin(&a->region.lock, timeout_ns);
}

KIPC_API int kipc_array_write_end(struct kipc_array *a)
{
	int r;

	if (!a)
		return -EINVAL;
	r = __kipc_peer_enter_read(&a->region.obj.seg);
	return r ? r : __kipc_seq_write_end(&a->region.lock);
}

KIPC_API int kipc_array_read_begin(struct kipc_array *a, uint64_t *seq, int64_t timeout_ns)
{
	int r;

	if (!a || !seq)
		return -EINVAL;
	r = __kipc_peer_enter_read(&a->region.obj.seg);
	return r ? r : __kipc_seq_read_begin(&a->region.lock, seq, timeout_ns);
}

KIPC_API bool kipc_array_read_retry(struct kipc_array *a, uint64_t seq)
{
	return a && __kipc_seq_read_retry(&a->region.lock, seq);
}

KIPC_API int kipc_array_lock_shared(struct kipc_array *a, int64_t timeout_ns)
{
	int r;

	if (!a)
		return -EINVAL;
	r = __kipc_peer_enter(&a->region.obj.seg);
	return r ? r : __kipc_rw_shared(&a->region.rw, timeout_ns);
}

KIPC_API int kipc_array_lock_exclusive(struct kipc_array *a, int64_t timeout_ns)
{
	int r;

	if (!a)
		return -EINVAL;
	r = __kipc_peer_enter(&a->region.obj.seg);
	return r ? r : __kipc_rw_exclusive(&a->region.rw, timeout_ns);
}

KIPC_API int kipc_array_unlock(struct kipc_array *a)
{
	int r;

	if (!a)
		return -EINVAL;
	r = __kipc_peer_enter_read(&a->region.obj.seg);
	return r ? r : __kipc_rw_unlock(&a->region.rw);
}

KIPC_API struct kipc_object *kipc_array_object(struct kipc_array *a)
{
	return a ? &a->region.obj : NULL;
}

static int array_import(struct kipc_transfer *t, struct kipc_object **out)
{
	struct kipc_array *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	r = __kipc_region_import(&a->region, &__kipc_array_object, &array_segment, t);
	if (r) {
		free(a);
		return r;
	}
	*out = &a->region.obj;
	return 0;
}

static void array_close(struct kipc_object *obj)
{
	kipc_array_close(array_of(obj));
}

static void array_check(struct kipc_check *c)
{
	__kipc_array_check(c, array_segment.stamp);
}

const struct kipc_object_ops __kipc_array_object = {
	.kind = KIPC_SEG_ARRAY,
	.nfds = 1,
	.export = __kipc_region_export,
	.import = array_import,
	.close = array_close,
	.check = array_check,
};
