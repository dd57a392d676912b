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
#include "names/trust.h"

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
	if (!r && !__kipc_folder_safe(rt->fd, &st))
		r = -EPERM;
	if (r) {
		SYS(close(rt->fd));
		return r;
	}
	rt->ours = st.st_uid == geteuid();
	return 0;
}
