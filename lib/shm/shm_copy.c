// SPDX-License-Identifier: MIT
/* Copies into, out of and between shared memory, with bounds. */
#include <errno.h>
#include <string.h>

#include "shm/region.h"

/* The place of len bytes at offset; NULL: they aren't all inside right now. */
static uint8_t *inside(const struct kipc_shm *s, size_t offset, size_t len)
{
	/* no handle is const in truth: it keeps what it learns */
	uint64_t size = __kipc_region_size((struct kipc_region *)&s->region);

	return offset <= size && len <= size - offset ? s->region.data + offset : NULL;
}

KIPC_API int kipc_shm_read(const struct kipc_shm *s, size_t offset, void *buf, size_t len)
{
	const uint8_t *from;

	if (!s || (!buf && len))
		return -EINVAL;
	from = inside(s, offset, len);
	if (!from)
		return -ERANGE;
	if (len)
		memmove(buf, from, len);
	return 0;
}

KIPC_API int kipc_shm_write(struct kipc_shm *s, size_t offset, const void *buf, size_t len)
{
	uint8_t *to;

	if (!s || (!buf && len))
		return -EINVAL;
	if (s->region.obj.seg.readonly)
		return -EACCES;
	to = inside(s, offset, len);
	if (!to)
		return -ERANGE;
	if (len)
		memmove(to, buf, len);
	return 0;
}

KIPC_API int kipc_shm_copy(struct kipc_shm *dst, size_t to, const struct kipc_shm *src, size_t from,
			   size_t len)
{
	const uint8_t *buf;

	if (!dst || !src)
		return -EINVAL;
	buf = inside(src, from, len);
	return buf ? kipc_shm_write(dst, to, buf, len) : -ERANGE;
}
