// SPDX-License-Identifier: MIT
/* The public face of shared memory: see kipc/shm.h for what each function promises. */
#include <errno.h>
#include <stdlib.h>

#include "core/opts.h"
#include "core/peer.h"
#include "shm/region.h"

static int shm_verify(struct kipc_segment *seg)
{
	int r = __kipc_region_verify(seg);

	/* kipc_shm_create() makes none of size 0 */
	return r || container_of(seg, struct kipc_shm, region.obj.seg)->region.size ? r : -EPROTO;
}

static const struct kipc_segment_ops shm_segment = {
	.kind = KIPC_SEG_SHM,
	.stamp = KIPC_STAMP(KIPC_REGION_STAMP, sizeof(struct kipc_shm_head)),
	.verify = shm_verify,
	.readers = true,
	.repair = __kipc_region_repair,
	.forked = __kipc_region_forked,
};

static struct kipc_shm *shm_of(struct kipc_object *obj)
{
	return container_of(obj, struct kipc_shm, region.obj);
}

struct how {
	size_t size;
	struct kipc_shm_opts opts;
};

static int shm_make(const char *name, const void *arg, struct kipc_object **obj)
{
	const struct how *how = arg;
	struct kipc_shm *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = __kipc_region_create(&s->region, &__kipc_shm_object, &shm_segment, name, how->size,
				 &how->opts);
	if (!r)
		r = __kipc_segment_publish(&s->region.obj.seg);
	if (r)
		kipc_shm_close(s);
	else
		*obj = &s->region.obj;
	return r;
}

KIPC_API int kipc_shm_create(const char *name, size_t size, const struct kipc_shm_opts *opts,
			     struct kipc_shm **out)
{
	struct how how = { .size = size };
	struct kipc_object *obj;
	int r;

	if (!out || !size)
		return -EINVAL;
	r = __kipc_region_opts(&how.opts, sizeof(how.opts), opts,
			       __kipc_region_create_flags(name, KIPC_REGION_FLAGS));
	if (!r)
		r = __kipc_name_check(name);
	if (r < 0)
		return r;
	r = __kipc_name_create(name, how.opts.flags, &__kipc_shm_object, shm_make, &how, &obj);
	if (!r)
		*out = shm_of(obj);
	return r;
}

KIPC_API int kipc_shm_open(const char *name, const struct kipc_shm_opts *opts,
			   struct kipc_shm **out)
{
	struct kipc_shm_opts o;
	struct kipc_object *obj;
	int r;

	if (!out)
		return -EINVAL;
	r = __kipc_region_opts(&o, sizeof(o), opts, KIPC_REGION_FLAGS | KIPC_NAME_OPEN_FLAGS);
	if (!r)
		r = __kipc_name_open(name, o.flags, &__kipc_shm_object, &obj);
	if (!r)
		*out = shm_of(obj);
	return r;
}

KIPC_API void kipc_shm_close(struct kipc_shm *s)
{
	if (!s)
		return;
	__kipc_name_forget(&s->region.obj);
	__kipc_segment_close(&s->region.obj.seg);
	free(s);
}

KIPC_API int kipc_shm_unlink(const char *name)
{
	return __kipc_name_unlink(name, KIPC_SEG_SHM);
}

KIPC_API void *kipc_shm_addr(const struct kipc_shm *s)
{
	return s ? s->region.data : NULL;
}

KIPC_API size_t kipc_shm_size(const struct kipc_shm *s)
{
	/* no handle is const in truth: it keeps what it learns */
	return s ? (size_t)__kipc_region_size((struct kipc_region *)&s->region) : 0;
}

KIPC_API int kipc_shm_resize(struct kipc_shm *s, size_t size)
{
	int r;

	if (!s || !size)
		return -EINVAL;
	r = __kipc_peer_enter(&s->region.obj.seg);
	return r ? r : __kipc_region_resize(&s->region, size);
}

KIPC_API size_t kipc_shm_page_size(const struct kipc_shm *s)
{
	return s ? (size_t)s->region.obj.seg.page_size : 0;
}

KIPC_API int kipc_shm_seal(struct kipc_shm *s, uint32_t what)
{
	int r;

	if (!s)
		return -EINVAL;
	r = __kipc_peer_enter_read(&s->region.obj.seg);
	return r ? r : __kipc_region_seal(&s->region, what);
}

KIPC_API int kipc_shm_fd(const struct kipc_shm *s)
{
	return s ? s->region.obj.seg.fd : -EINVAL;
}

KIPC_API uint64_t kipc_shm_offset(const struct kipc_shm *s)
{
	return s ? s->region.data_off : 0;
}

KIPC_API int kipc_shm_stat(struct kipc_shm *s, struct kipc_shm_stat *st)
{
	int r;

	if (!s || !st)
		return -EINVAL;
	r = __kipc_peer_enter_read(&s->region.obj.seg);
	return r ? r : __kipc_region_stat(&s->region, st);
}

KIPC_API int kipc_shm_write_begin(struct kipc_shm *s, int64_t timeout_ns)
{
	int r;

	if (!s)
		return -EINVAL;
	r = __kipc_peer_enter(&s->region.obj.seg);
	return r ? r : __kipc_seq_write_begin(&s->region.lock, timeout_ns);
}

KIPC_API int kipc_shm_write_end(struct kipc_shm *s)
{
	int r;

	if (!s)
		return -EINVAL;
	r = __kipc_peer_enter_read(&s->region.obj.seg);
	return r ? r : __kipc_seq_write_end(&s->region.lock);
}

KIPC_API int kipc_shm_read_begin(struct kipc_shm *s, uint64_t *seq, int64_t timeout_ns)
{
	int r;

	if (!s || !seq)
		return -EINVAL;
	r = __kipc_peer_enter_read(&s->region.obj.seg);
	return r ? r : __kipc_seq_read_begin(&s->region.lock, seq, timeout_ns);
}

KIPC_API bool kipc_shm_read_retry(struct kipc_shm *s, uint64_t seq)
{
	return s && __kipc_seq_read_retry(&s->region.lock, seq);
}

KIPC_API int kipc_shm_lock_shared(struct kipc_shm *s, int64_t timeout_ns)
{
	int r;

	if (!s)
		return -EINVAL;
	r = __kipc_peer_enter(&s->region.obj.seg);
	return r ? r : __kipc_rw_shared(&s->region.rw, timeout_ns);
}

KIPC_API int kipc_shm_lock_exclusive(struct kipc_shm *s, int64_t timeout_ns)
{
	int r;

	if (!s)
		return -EINVAL;
	r = __kipc_peer_enter(&s->region.obj.seg);
	return r ? r : __kipc_rw_exclusive(&s->region.rw, timeout_ns);
}

KIPC_API int kipc_shm_unlock(struct kipc_shm *s)
{
	int r;

	if (!s)
		return -EINVAL;
	r = __kipc_peer_enter_read(&s->region.obj.seg);
	return r ? r : __kipc_rw_unlock(&s->region.rw);
}

KIPC_API struct kipc_object *kipc_shm_object(struct kipc_shm *s)
{
	return s ? &s->region.obj : NULL;
}

static int shm_import(struct kipc_transfer *t, struct kipc_object **out)
{
	struct kipc_shm *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = __kipc_region_import(&s->region, &__kipc_shm_object, &shm_segment, t);
	if (r) {
		free(s);
		return r;
	}
	*out = &s->region.obj;
	return 0;
}

static void shm_close(struct kipc_object *obj)
{
	kipc_shm_close(shm_of(obj));
}

static void shm_check(struct kipc_check *c)
{
	__kipc_shm_check(c, shm_segment.stamp);
}

const struct kipc_object_ops __kipc_shm_object = {
	.kind = KIPC_SEG_SHM,
	.nfds = 1,
	.export = __kipc_region_export,
	.import = shm_import,
	.close = shm_close,
	.check = shm_check,
};
