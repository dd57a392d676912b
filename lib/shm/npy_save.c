// SPDX-License-Identifier: MIT
/*
 * An array, or a view, into a .npy file: a new one beside it, which takes its place when all of it
 * is on the disk.  So whoever opens the path finds what was there before or all of what is there
 * now.
 *
 * What a death leaves: nothing, as long as the new file has no name (O_TMPFILE); then, for two
 * system calls, one with a name that nobody asks for.  Where the file system knows no such files it
 * has that name from the beginning.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sys.h"
#include "core/time.h"
#include "shm/npy.h"
#include "shm/view.h"

#define PIECE		(1ULL << 20)	/* bytes of a view that are put together at a time */
#define WRITE_MAX	(1ULL << 30)
#define NAME_TRIES	100

struct target {
	int dir;
	const char *name;	/* in it */
	int fd;			/* the new file */
	bool linked;		/* it has the name temp */
	char temp[32];
};

/* ---- the elements ---- */

static int write_all(int fd, const void *buf, uint64_t len)
{
	const uint8_t *p = buf;

	while (len) {
		long n = SYS_RETRY(write(fd, p, min_of(len, WRITE_MAX)));

		if (n <= 0)
			return n == -EFAULT ? -ENOMEM : n ? (int)n : -EIO;
		p += n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* What doesn't lie in a row: cut in halves until it fits the buffer.  The first axis is the slowest. */
static int write_pieces(int fd, struct kipc_array_desc d, const uint8_t *data, uint8_t *buf)
{
	uint64_t n = d.shape[0], rest = d.elements / n;
	struct kipc_array_desc c;
	int r;

	if (__kipc_array_bytes(&d) <= PIECE) {
		__kipc_array_buffer(&d, &c);
		__kipc_array_transfer(&d, buf, c.strides, data, d.strides);
		return write_all(fd, buf, __kipc_array_bytes(&d));
	}
	if (n == 1) {
		d.ndim--;
		memmove(d.shape, d.shape + 1, d.ndim * sizeof(*d.shape));
		memmove(d.strides, d.strides + 1, d.ndim * sizeof(*d.strides));
		d.shape[d.ndim] = 0;
		d.strides[d.ndim] = 0;
		return write_pieces(fd, d, data, buf);
	}
	d.shape[0] = n / 2;
	d.elements = d.shape[0] * rest;
	r = write_pieces(fd, d, data, buf);
	if (r)
		return r;
	data += (int64_t)d.shape[0] * d.strides[0];
	d.shape[0] = n - n / 2;
	d.elements = d.shape[0] * rest;
	return write_pieces(fd, d, data, buf);
}

static bool lies_in(const struct kipc_array_desc *d, bool fortran)
{
	struct kipc_array_desc want;

	return !__kipc_array_describe(&want, (enum kipc_dtype)d->dtype, d->ndim, d->shape,
				      fortran) &&
	       !memcmp(want.strides, d->strides, sizeof(want.strides));
}

static int write_array(int fd, const struct kipc_array_desc *d, const uint8_t *data)
{
	bool c = lies_in(d, false), fortran = !c && lies_in(d, true);
	char header[KIPC_NPY_FORMAT_MAX];
	uint8_t *buf;
	int r;

	r = write_all(fd, header, __kipc_npy_format(header, d, fortran));
	if (r || !d->elements)
		return r;
	if (c || fortran)
		return write_all(fd, data, __kipc_array_bytes(d));
	buf = malloc(PIECE);
	if (!buf)
		return -ENOMEM;
	r = write_pieces(fd, *d, data, buf);
	free(buf);
	return r;
}

/* ---- the file ---- */

static int open_dir(struct target *t, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	t->name = slash ? slash + 1 : path;
	if (!*t->name || !strcmp(t->name, ".") || !strcmp(t->name, ".."))
		return *path ? -EISDIR : -ENOENT;
	/* "name" is in ".", "/name" in "/" */
	dir = slash ? strndup(path, max_of((size_t)(slash - path), (size_t)1)) : strdup(".");
	if (!dir)
		return -ENOMEM;
	t->dir = (int)SYS_RETRY(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	free(dir);
	return min_of(t->dir, 0);
}

static void choose_temp(struct target *t)
{
	uint64_t id;

	if (SYS(getrandom(&id, sizeof(id), GRND_NONBLOCK)) != sizeof(id))
		id = (uint64_t)__kipc_now_ns() ^ (uint64_t)getpid() << 32;
	snprintf(t->temp, sizeof(t->temp), ".kipc-%016llx", (unsigned long long)id);
}

static int open_new(struct target *t)
{
	long fd = SYS_RETRY(openat(t->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));

	/* what file systems and kernels say that have none */
	if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL || fd == -ENOENT) {
		for (int i = 0; i < NAME_TRIES; i++) {
			choose_temp(t);
			fd = SYS_RETRY(openat(t->dir, t->temp,
					      O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
			if (fd != -EEXIST)
				break;
		}
		t->linked = fd >= 0;
	}
	t->fd = (int)fd;
	return min_of(t->fd, 0);
}

/* A name for who has none. */
static int link_new(struct target *t)
{
	char path[32];
	long r = -EEXIST;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
	for (int i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
		choose_temp(t);
		r = SYS(linkat(AT_FDCWD, path, t->dir, t->temp, AT_SYMLINK_FOLLOW));
	}
	t->linked = !r;
	return (int)r;
}

/* What is there is a file that may be replaced, or nothing; the new one gets its permissions. */
static int check_old(const struct target *t)
{
	struct stat st;
	long r = SYS(fstatat(t->dir, t->name, &st, AT_SYMLINK_NOFOLLOW));

	if (r == -ENOENT)
		return 0;
	if (r)
		return (int)r;
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	/* of a link only one that leads nowhere gets here */
	return S_ISREG(st.st_mode) ? (int)SYS(fchmod(t->fd, st.st_mode & 0777)) : 0;
}

/* Some file systems can't, and say EINVAL. */
static int sync_fd(int fd)
{
	long r = SYS_RETRY(fsync(fd));

	return r == -EINVAL ? 0 : (int)r;
}

static int save_to(struct target *t, const struct kipc_array_desc *d, const uint8_t *data)
{
	int r = check_old(t);

	if (!r)
		r = write_array(t->fd, d, data);
	if (!r)
		r = sync_fd(t->fd);
	if (!r && !t->linked)
		r = link_new(t);
	if (!r) {
		r = (int)SYS(renameat(t->dir, t->temp, t->dir, t->name));
		if (!r)
			t->linked = false;
	}
	return r ? r : sync_fd(t->dir);
}

static int save(const struct kipc_view *v, const char *path)
{
	struct target t = { .dir = -1, .fd = -1 };
	struct kipc_array_desc d;
	const uint8_t *end[2];
	char *real;
	int saved = errno, r;

	if (!path || __kipc_view_check(v, &d, end))
		return -EINVAL;
	/* through links: what is replaced is what they lead to */
	real = realpath(path, NULL);
	errno = saved;
	r = open_dir(&t, real ? real : path);
	if (!r)
		r = open_new(&t);
	if (!r)
		r = save_to(&t, &d, v->data);
	if (t.linked)
		SYS(unlinkat(t.dir, t.temp, 0));
	if (t.fd >= 0)
		SYS(close(t.fd));
	if (t.dir >= 0)
		SYS(close(t.dir));
	free(real);
	return r;
}

KIPC_API int kipc_view_save(const struct kipc_view *v, const char *path)
{
	return save(v, path);
}

KIPC_API int kipc_array_save(const struct kipc_array *a, const char *path)
{
	struct kipc_view v;

	/* only to be read */
	return kipc_array_view((struct kipc_array *)a, &v) ?: save(&v, path);
}
