// SPDX-License-Identifier: MIT
/* Moving the elements of views: see kipc/view.h, and array_copy.c for the walk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shm/view.h"

/* A view that was checked, as the walk wants it. */
struct elements {
	struct kipc_array_desc d;
	const uint8_t *end[2];
};

static int take(struct elements *e, const struct kipc_view *v, bool write)
{
	int r = __kipc_view_check(v, &e->d, e->end);

	return r ? r : write && v->array->region.obj.seg.readonly ? -EACCES : 0;
}

KIPC_API int kipc_view_fill(const struct kipc_view *v, const void *item)
{
	struct elements e;
	int r = item ? take(&e, v, true) : -EINVAL;

	if (!r)
		__kipc_array_fill(&e.d, v->data, item);
	return r;
}

KIPC_API int kipc_view_write(const struct kipc_view *v, const void *buf, size_t len)
{
	struct kipc_array_desc c;
	struct elements e;
	int r = take(&e, v, true);

	if (r)
		return r;
	if (len != __kipc_array_bytes(&e.d) || (!buf && len))
		return -EINVAL;
	__kipc_array_buffer(&e.d, &c);
	__kipc_array_transfer(&e.d, v->data, e.d.strides, buf, c.strides);
	return 0;
}

KIPC_API int kipc_view_read(const struct kipc_view *v, void *buf, size_t len)
{
	struct kipc_array_desc c;
	struct elements e;
	int r = take(&e, v, false);

	if (r)
		return r;
	if (len != __kipc_array_bytes(&e.d) || (!buf && len))
		return -EINVAL;
	__kipc_array_buffer(&e.d, &c);
	__kipc_array_transfer(&e.d, buf, c.strides, v->data, e.d.strides);
	return 0;
}

/* By way of a buffer: every element of src is read before one of dst is written. */
static int copy_apart(const struct elements *to, uint8_t *dst, const struct elements *from,
		      const uint8_t *src)
{
	uint8_t *buf = malloc(__kipc_array_bytes(&from->d));
	struct kipc_array_desc c;

	if (!buf)
		return -ENOMEM;
	__kipc_array_buffer(&from->d, &c);
	__kipc_array_transfer(&from->d, buf, c.strides, src, from->d.strides);
	__kipc_array_transfer(&to->d, dst, to->d.strides, buf, c.strides);
	free(buf);
	return 0;
}

KIPC_API int kipc_view_copy(const struct kipc_view *dst, const struct kipc_view *src)
{
	struct elements to, from;
	int r = take(&from, src, false);

	if (!r)
		r = take(&to, dst, true);
	if (r)
		return r;
	if (to.d.dtype != from.d.dtype || to.d.ndim != from.d.ndim ||
	    memcmp(to.d.shape, from.d.shape, sizeof(to.d.shape)))
		return -EINVAL;
	if (!to.d.elements || (dst->data == src->data &&
			       !memcmp(to.d.strides, from.d.strides, sizeof(to.d.strides))))
		return 0;
	if (to.end[0] < from.end[1] && from.end[0] < to.end[1])
		return copy_apart(&to, dst->data, &from, src->data);
	__kipc_array_transfer(&to.d, dst->data, to.d.strides, src->data, from.d.strides);
	return 0;
}
