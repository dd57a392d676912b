// SPDX-License-Identifier: MIT
/*
 * An array from a .npy file.  The elements are read into shared memory by read(2), before anybody
 * else can have the array: so nobody sees a half of it, and where there is no memory it is an
 * error.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sys.h"
#include "shm/npy.h"

#define READ_MAX	(1ULL << 30)	/* bytes at a time */

struct source {
	int fd;
	uint64_t size;		/* of the file */
	uint64_t off;		/* where the elements begin */
	struct kipc_npy npy;
};

/* All of it; the end of the file before that is -EPROTO. */
static int read_all(int fd, void *buf, uint64_t len, uint64_t off)
{
	uint8_t *p = buf;

	while (len) {
		long n = SYS_RETRY(pread(fd, p, min_of(len, READ_MAX), (off_t)off));

		if (n == -EFAULT)
			return -ENOMEM;		/* no page could be had to put it */
		if (n <= 0)
			return n ? (int)n : -EPROTO;
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int open_source(struct source *src, const char *path)
{
	struct stat st;
	int r;

	/* a FIFO without a writer would keep us waiting */
	src->fd = (int)SYS_RETRY(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
	if (src->fd < 0)
		return src->fd;
	r = (int)SYS(fstat(src->fd, &st));
	if (!r && !S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (r)
		SYS(close(src->fd));
	else
		src->size = (uint64_t)st.st_size;
	return r;
}

static int read_header(struct source *src)
{
	uint8_t start[KIPC_NPY_PREAMBLE];
	size_t off, len;
	char *text;
	int r;

	r = read_all(src->fd, start, sizeof(start), 0);
	if (!r)
		r = __kipc_npy_preamble(start, sizeof(start), &off, &len);
	if (r)
		return r;
	text = malloc(len ? len : 1);
	if (!text)
		return -ENOMEM;
	r = read_all(src->fd, text, len, off);
	if (!r)
		r = __kipc_npy_parse(text, len, &src->npy);
	free(text);
	src->off = off + len;
	return r;
}

/* That the file has all elements, before memory is taken for what it only says. */
static int check_size(const struct source *src)
{
	struct kipc_array_desc d;
	int r;

	r = __kipc_array_describe(&d, src->npy.dtype, src->npy.ndim, src->npy.shape, false);
	if (r)
		return r;
	return src->off > src->size || __kipc_array_bytes(&d) > src->size - src->off ? -EPROTO : 0;
}

static void swap_bytes(uint8_t *p, uint64_t n, uint32_t size)
{
	for (; n; n--, p += size)
		for (uint32_t i = 0; i < size / 2; i++) {
			uint8_t b = p[i];

			p[i] = p[size - 1 - i];
			p[size - 1 - i] = b;
		}
}

static int fill(struct kipc_array *a, void *arg)
{
	const struct source *src = arg;
	uint64_t n = a->desc.elements;
	uint32_t size = a->desc.itemsize;
	int r;

	r = read_all(src->fd, a->region.data, __kipc_array_bytes(&a->desc), src->off);
	if (r || !src->npy.swap)
		return r;
	/* each part of a complex number by itself */
	if (src->npy.dtype == KIPC_COMPLEX64 || src->npy.dtype == KIPC_COMPLEX128) {
		size /= 2;
		n *= 2;
	}
	swap_bytes(a->region.data, n, size);
	return 0;
}

KIPC_API int kipc_array_load(const char *path, const char *name, const struct kipc_array_opts *opts,
			     struct kipc_array **out)
{
	struct source src;
	int r;

	if (!path || !out)
		return -EINVAL;
	r = open_source(&src, path);
	if (r)
		return r;
	r = read_header(&src);
	if (!r)
		r = check_size(&src);
	if (!r)
		r = __kipc_array_create(name, src.npy.dtype, src.npy.ndim, src.npy.shape, opts,
					src.npy.fortran ? KIPC_ARRAY_FORTRAN : 0, fill, &src, out);
	SYS(close(src.fd));
	return r;
}
