// SPDX-License-Identifier: MIT
/*
 * Which files a process executes, by /proc/PID/maps.
 *
 * The path in maps need not lead there: it is that of another mount namespace, or the file was
 * replaced since ("(deleted)").  /proc/PID/map_files leads there in any case, but takes a capability;
 * so does /proc/PID/root, as long as the file has its name.  The files are opened at once: a process
 * may end while we look.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/trace.h"

static const struct trace_binary *known(const struct trace_binaries *b, uint64_t dev, uint64_t ino)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->binary[i].dev == dev && b->binary[i].ino == ino)
			return &b->binary[i];
	return NULL;
}

static int open_mapped(pid_t pid, uint64_t start, uint64_t end, const char *path)
{
	_cleanup_free_ char *by_range =
		xasprintf("/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, start, end);
	_cleanup_free_ char *by_path = xasprintf("/proc/%d/root%s", pid, path);
	int fd = open(by_range, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	return fd >= 0 ? fd : open(by_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static void add(struct trace_binaries *b, pid_t pid, char *line, bool per_process)
{
	char perms[5], *path = strchr(line, '/');
	const struct trace_binary *same;
	struct trace_binary new = { .pid = pid, .fd = -1 };
	uint64_t start, end;
	unsigned int major, minor;

	if (!path ||
	    sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64, &start, &end, perms,
		   &major, &minor, &new.ino) != 6 ||
	    perms[2] != 'x' || !new.ino)
		return;
	new.dev = makedev(major, minor);
	same = known(b, new.dev, new.ino);
	if (same && (!per_process || b->binary[b->n - 1].pid == pid))
		return;
	path[strcspn(path, "\n")] = '\0';
	if (same)
		new.fd = same->fd;
	else
		new.fd = open_mapped(pid, start, end, path);
	if (new.fd < 0)
		return;
	new.owned = !same;
	new.name = text_safe(path, strlen(path));
	b->binary = xreallocarray(b->binary, b->n + 1, sizeof(b->binary[0]));
	b->binary[b->n++] = new;
}

int trace_find_binaries(struct trace_binaries *b, pid_t pid, bool per_process)
{
	_cleanup_free_ char *maps = xasprintf("/proc/%d/maps", pid), *line = NULL;
	FILE *f = fopen(maps, "re");
	size_t size = 0;
	int r;

	if (!f)
		return -errno;
	errno = 0;
	while (getline(&line, &size, f) > 0)
		add(b, pid, line, per_process);
	r = ferror(f) ? -errno : 0;
	fclose(f);
	return r;
}

void trace_free_binaries(struct trace_binaries *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->binary[i].owned)
			close(b->binary[i].fd);
		free(b->binary[i].name);
	}
	free(b->binary);
	memset(b, 0, sizeof(*b));
}
