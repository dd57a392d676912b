// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "core/opts.h"
#include "uapi/kipc/segment.h"

int __kipc_opts_read(void *dst, size_t known, size_t min, const void *src)
{
	const unsigned char *bytes = src;
	size_t sz;

	memset(dst, 0, known);
	memcpy(dst, &known, sizeof(known));	/* every option struct begins with size_t sz */
	if (!src)
		return 0;
	memcpy(&sz, src, sizeof(sz));
	if (sz < min || sz < sizeof(sz))
		return -EINVAL;
	if (sz > 4096)
		return -E2BIG;
	for (size_t i = known; i < sz; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(dst, src, sz < known ? sz : known);
	return 0;
}

int __kipc_stat_write(void *st, const void *now, size_t known)
{
	size_t sz;

	memcpy(&sz, st, sizeof(sz));
	if (sz < sizeof(sz))
		return -EINVAL;
	if (sz > known)
		sz = known;
	memcpy(st, now, sz);
	memcpy(st, &sz, sizeof(sz));
	return 0;
}

int __kipc_name_check(const char *name)
{
	size_t n;

	if (!name)
		return 0;
	n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
	return n > 0 && n <= KIPC_NAME_MAX && name[n] == '\0' ? 1 : -EINVAL;
}
