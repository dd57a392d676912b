// SPDX-License-Identifier: MIT
/* See stats-state.h. */
#include "tools/ipc-inspect/stats-state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/xalloc.h"

#define FIRST_LINE	"kipc-stats 1"

/* Opens the folder below fd, which it closes, and makes what there isn't of several levels. */
static int open_below(int fd, const char *path)
{
	_cleanup_free_ char *name = xstrdup(path);
	char *rest, *part = strtok_r(name, "/", &rest);

	for (; part && fd >= 0; part = strtok_r(NULL, "/", &rest)) {
		int next = mkdirat(fd, part, 0700) && errno != EEXIST ?
				   -1 :
				   openat(fd, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		next = next < 0 ? -errno : next;
		close(fd);
		fd = next;
	}
	return fd;
}

static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Leaves of earlier boots. */
static void clean_up(int dirfd)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct timespec boot, now;
	struct dirent *d;
	struct stat st;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &now);
	while (dir && (d = readdir(dir)))
		if (!fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
		    st.st_mtime < now.tv_sec - boot.tv_sec)
			unlinkat(dirfd, d->d_name, 0);
	if (dir)
		closedir(dir);
}

int stats_state_open(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int fd;

	/* its specification: what isn't absolute is to be ignored */
	if (state && *state == '/')
		fd = open_below(open_folder("/"), state);
	else if (home && *home == '/')
		fd = open_below(open_folder(home), ".local/state");
	else
		return -ENOENT;
	if (fd >= 0)
		fd = open_below(fd, "kipc/stats");
	if (fd >= 0)
		clean_up(fd);
	return fd;
}

static void file_name(uint64_t id, const char *suffix, char name[40])
{
	snprintf(name, 40, "%016lx%s", (unsigned long)id, suffix);
}

void stats_state_load(int dirfd, uint64_t id, struct counters *c)
{
	char name[40], line[128];
	struct counter *next;
	unsigned long value;
	FILE *f;
	int fd;

	c->n = 0;
	file_name(id, "", name);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return;
	if (fgets(line, sizeof(line), f) && sscanf(line, FIRST_LINE " %lu", &value) == 1) {
		c->boot_ns = value;
		while (c->n < COUNTERS_MAX && fgets(line, sizeof(line), f)) {
			next = &c->c[c->n];
			if (sscanf(line, "%39s %lu", next->key, &value) != 2)
				break;
			next->value = value;
			c->n++;
		}
	}
	fclose(f);
}

/* By another name first: there is an old one or a new one, never a half. */
int stats_state_store(int dirfd, uint64_t id, const struct counters *c)
{
	char name[40], temp[40];
	int fd, r = 0;
	FILE *f;

	file_name(id, "", name);
	file_name(id, ".new", temp);
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	f = xcheck(fdopen(fd, "w"));
	fprintf(f, FIRST_LINE " %lu\n", (unsigned long)c->boot_ns);
	for (size_t i = 0; i < c->n; i++)
		fprintf(f, "%s %lu\n", c->c[i].key, (unsigned long)c->c[i].value);
	if (fclose(f) || renameat(dirfd, temp, dirfd, name)) {
		r = -errno;
		unlinkat(dirfd, temp, 0);
	}
	return r;
}

uint64_t counters_get(const struct counters *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->c[i].key, key))
			return c->c[i].value;
	return 0;
}
