// SPDX-License-Identifier: MIT
/*
 * The runtime folder: where the broker's socket is, and the file that names outlive a broker in.
 *
 * Whoever could write to it could stand in for the broker, so it is opened without following a
 * link, and from then on used by its descriptor alone, which is what was verified.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sys.h"
#include "kipc/names.h"
#include "names/client.h"

/* A folder of ours: what an environment that came with sudo(8) says often is another user's. */
static bool is_ours(const char *path)
{
	struct stat st;

	return !SYS(stat(path, &st)) && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* 0, or -EINVAL, -ENAMETOOLONG. */
static int choose(char path[PATH_MAX])
{
	const char *dir = secure_getenv("KIPC_RUNTIME_DIR"), *xdg;
	struct stat st;
	int n;

	if (dir && *dir) {
		if (*dir != '/')
			return -EINVAL;
		n = snprintf(path, PATH_MAX, "%s", dir);
	} else {
		xdg = secure_getenv("XDG_RUNTIME_DIR");
		if (xdg && *xdg == '/' && is_ours(xdg))
			n = snprintf(path, PATH_MAX, "%s/kipc", xdg);
		else if (!SYS(lstat("/run/kipc", &st)))
			n = snprintf(path, PATH_MAX, "/run/kipc");
		else
			n = snprintf(path, PATH_MAX, "/tmp/kipc-%u", (unsigned int)geteuid());
	}
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	/* a slash at the end would have a link followed */
	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	return 0;
}

KIPC_API int kipc_names_dir(char *buf, size_t size)
{
	char path[PATH_MAX];
	int r;

	if (!buf)
		return -EINVAL;
	r = choose(path);
	if (r)
		return r;
	return (size_t)snprintf(buf, size, "%s", path) < size ? 0 : -ENAMETOOLONG;
}

/* Whether the number stands for all users that have none in our user namespace. */
static bool is_nobody(uid_t uid)
{
	unsigned int first, outside, count, overflow = 65534;
	bool all = false;
	int saved = errno;
	FILE *f;

	f = fopen("/proc/self/uid_map", "re");
	if (f) {
		all = fscanf(f, "%u %u %u", &first, &outside, &count) == 3 && count == UINT_MAX;
		fclose(f);
	}
	f = all ? NULL : fopen("/proc/sys/kernel/overflowuid", "re");
	if (f) {
		if (fscanf(f, "%u", &overflow) != 1)
			overflow = 65534;
		fclose(f);
	}
	errno = saved;
	return !all && uid == overflow;
}

/*
 * Whether nobody but its owner can have made this folder what it is.  In a user namespace the real
 * root looks like anybody else from outside; but a folder in one that others may not write to was
 * put there by who that belongs to.
 */
static bool is_safe(int fd, const struct stat *st)
{
	struct stat above;
	int up;
	bool safe;

	if (st->st_mode & 022)
		return false;
	if (st->st_uid == geteuid() || st->st_uid == 0)
		return true;
	if (!is_nobody(st->st_uid))
		return false;
	up = (int)SYS(openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (up < 0)
		return false;
	safe = !SYS(fstat(up, &above)) && !(above.st_mode & 022);
	SYS(close(up));
	return safe;
}

int __kipc_runtime_open(struct kipc_runtime *rt)
{
	const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct stat st;
	int r = choose(rt->path);

	if (r)
		return r;
	r = (int)SYS(open(rt->path, flags));
	if (r == -ENOENT) {
		r = (int)SYS(mkdir(rt->path, 0700));
		if (r && r != -EEXIST)
			return r;
		r = (int)SYS(open(rt->path, flags));
	}
	if (r < 0)
		return r;
	rt->fd = r;
	r = (int)SYS(fstat(rt->fd, &st));
	if (!r && !is_safe(rt->fd, &st))
		r = -EPERM;
	if (r) {
		SYS(close(rt->fd));
		return r;
	}
	rt->ours = st.st_uid == geteuid();
	return 0;
}
