// SPDX-License-Identifier: MIT
/* Which objects are meant: see subject.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/subject.h"

/* A number from min to INT_MAX that ends at `end`; -1: it isn't one. */
static int number(const char *s, const char *end, int min)
{
	long n;
	char *stop;

	if (!isdigit((unsigned char)*s))
		return -1;
	errno = 0;
	n = strtol(s, &stop, 10);
	return stop == end && !errno && n >= min && n <= INT_MAX ? (int)n : -1;
}

static void add(struct targets *t, int pid, int fd)
{
	t->target = xreallocarray(t->target, t->n + 1, sizeof(t->target[0]));
	t->target[t->n++] = (struct target){ .pid = pid, .fd = fd };
}

int targets_add_pid(struct targets *t, const char *arg)
{
	int pid = number(arg, arg + strlen(arg), 1);

	if (pid < 0) {
		_cleanup_free_ char *safe = text_safe(arg, strlen(arg));

		warnx("'%s' is no process ID", safe);
		return EXIT_USAGE;
	}
	add(t, pid, -1);
	return EXIT_OK;
}

static bool is_name(const char *s)
{
	return strlen(s) <= KIPC_NAME_MAX &&
	       s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] ==
		       '\0';
}

int targets_add(struct targets *t, const char *arg)
{
	const char *colon = strchr(arg, ':');
	_cleanup_free_ char *safe = text_safe(arg, strlen(arg));
	int pid, fd;

	if (!strncmp(arg, "pid:", 4))
		return targets_add_pid(t, arg + 4);
	pid = colon ? number(arg, colon, 1) : -1;
	fd = colon ? number(colon + 1, colon + 1 + strlen(colon + 1), 0) : -1;
	if (pid > 0 && fd >= 0) {
		add(t, pid, fd);
		return EXIT_OK;
	}
	if (strchr(arg, '/')) {
		warnx("'%s': saved images can't be read by this version", safe);
		return EXIT_UNSUPPORTED;
	}
	if (*arg && is_name(arg)) {
		warnx("'%s': objects have no names in this version; use PID:FD as `list' prints "
		      "it, or pid:PID",
		      safe);
		return EXIT_UNSUPPORTED;
	}
	warnx("'%s' is no object: use PID:FD or pid:PID", safe);
	return EXIT_USAGE;
}

void targets_free(struct targets *t)
{
	free(t->target);
	memset(t, 0, sizeof(*t));
}

static bool is_target(const struct target *t, const struct object *object)
{
	return object_held_by(object, t->pid, t->fd);
}

bool targets_match(const struct targets *t, const struct object *object)
{
	for (size_t i = 0; i < t->n; i++)
		if (is_target(&t->target[i], object))
			return true;
	return !t->n;
}

/* Why a target has no object: an exit code, after a message. */
static int explain(const struct target *t, bool need)
{
	char path[64];
	int dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", t->pid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && (errno == EACCES || errno == EPERM)) {
		warnx("process %d: not permitted to look into it", t->pid);
		return EXIT_UNSUPPORTED;
	}
	if (dir < 0) {
		warnx("no process %d", t->pid);
		return EXIT_FAILED;
	}
	if (t->fd >= 0) {
		snprintf(path, sizeof(path), "%d", t->fd);
		if (faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW))
			warnx("process %d has no descriptor %d", t->pid, t->fd);
		else
			warnx("%d:%d is no kipc object", t->pid, t->fd);
	} else if (need) {
		warnx("process %d has no kipc objects", t->pid);
	}
	close(dir);
	return t->fd >= 0 || need ? EXIT_FAILED : EXIT_OK;
}

int targets_check(const struct targets *t, const struct objects *objects, bool need)
{
	int code = EXIT_OK;

	for (size_t i = 0; i < t->n; i++) {
		bool found = false;
		int r;

		for (size_t j = 0; j < objects->n && !found; j++)
			found = is_target(&t->target[i], &objects->object[j]);
		r = found ? EXIT_OK : explain(&t->target[i], need);
		if (!code)
			code = r;
	}
	return code;
}
