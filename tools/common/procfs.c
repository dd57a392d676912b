// SPDX-License-Identifier: MIT
/* See procfs.h.  Formats: proc(5). */
#include "tools/common/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h; field 9 of /proc/PID/stat */

/* Calls fn(name, arg) for each entry whose name is a number.  0 or a negative errno. */
static int each_number(int dirfd, void (*fn)(const char *name, void *arg), void *arg)
{
	char buf[32768] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = getdents64(dirfd, buf, sizeof(buf))) > 0) {
		for (ssize_t off = 0; off < n;) {
			struct dirent64 *d = (struct dirent64 *)(buf + off);

			off += d->d_reclen;
			if (isdigit((unsigned char)d->d_name[0]))
				fn(d->d_name, arg);
		}
	}
	return n < 0 ? -errno : 0;
}

struct pids {
	void (*fn)(pid_t pid, void *arg);
	void *arg;
};

static void one_pid(const char *name, void *arg)
{
	struct pids *p = arg;

	p->fn((pid_t)strtol(name, NULL, 10), p->arg);
}

static int each_in(const char *path, void (*fn)(pid_t pid, void *arg), void *arg)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = each_number(fd, one_pid, &(struct pids){ .fn = fn, .arg = arg });
	close(fd);
	return r;
}

int proc_each_process(void (*fn)(pid_t pid, void *arg), void *arg)
{
	return each_in("/proc", fn, arg);
}

int proc_each_thread(pid_t pid, void (*fn)(pid_t tid, void *arg), void *arg)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return each_in(path, fn, arg);
}

/* ---- descriptors and mappings ---- */

struct walk {
	const char *prefix;
	size_t prefix_len;
	proc_fd_fn fn;
	void *arg;
	int dirfd;
	int error;
};

static void one_fd(const char *name, void *arg)
{
	struct walk *w = arg;
	char link[256];
	ssize_t n = readlinkat(w->dirfd, name, link, sizeof(link) - 1);

	if (n < 0 && (errno == EACCES || errno == EPERM))
		w->error = -errno;
	if (n < (ssize_t)w->prefix_len || memcmp(link, w->prefix, w->prefix_len))
		return;
	link[n] = '\0';
	w->fn(w->dirfd, name, link, w->arg);
}

int proc_each_fd(pid_t pid, const char *prefix, proc_fd_fn fn, void *arg)
{
	struct walk w = { .prefix = prefix, .prefix_len = strlen(prefix), .fn = fn, .arg = arg };
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	w.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w.dirfd < 0)
		return -errno;
	r = each_number(w.dirfd, one_fd, &w);
	close(w.dirfd);
	return r ? r : w.error;
}

/* START-END PERMS OFFSET MAJOR:MINOR INODE PATH */
static bool parse_mapping(const char *line, struct proc_mapping *m)
{
	unsigned int major, minor;
	unsigned long long start, end, off, ino;
	int path = 0;

	if (sscanf(line, "%llx-%llx %*s %llx %x:%x %llu %n", &start, &end, &off, &major, &minor,
		   &ino, &path) != 6 || !path)
		return false;
	*m = (struct proc_mapping){
		.start = start, .end = end, .offset = off,
		.dev = makedev(major, minor), .ino = ino, .path = line + path,
	};
	return true;
}

int proc_each_mapping(pid_t pid, const char *prefix,
		      void (*fn)(const struct proc_mapping *m, void *arg), void *arg)
{
	char path[32], *line = NULL, *hit;
	struct proc_mapping m;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0) {
		hit = strstr(line, prefix);
		if (!hit)
			continue;
		line[strcspn(line, "\n")] = '\0';
		if (parse_mapping(line, &m) && m.path == hit)
			fn(&m, arg);
	}
	free(line);
	fclose(f);
	return 0;
}

/* The file's first bytes, NUL-terminated: their number or a negative errno. */
static ssize_t read_text(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];
	size_t have = 0;
	ssize_t n = 0;
	int fd;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	else
		snprintf(path, sizeof(path), "/proc/self/%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (have < size - 1 && (n = read(fd, buf + have, size - 1 - have)) > 0)
		have += (size_t)n;
	if (n < 0)
		n = -errno;
	close(fd);
	buf[have] = '\0';
	return n < 0 ? n : (ssize_t)have;
}

int proc_stat_read(pid_t pid, struct proc_stat *st)
{
	char buf[1024], *p;
	ssize_t n = read_text(pid, "stat", buf, sizeof(buf));
	unsigned long flags, user, system;
	unsigned long long start;
	long threads;
	char state;

	if (n < 0)
		return (int)n;
	/* the command, field 2, may hold anything, parentheses and spaces included */
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1,
			 " %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d "
			 "%ld %*d %llu",
			 &state, &flags, &user, &system, &threads, &start) != 6)
		return -EPROTO;
	st->state = state;
	st->cpu_ticks = user + system;
	st->threads = (uint32_t)threads;
	st->start_time = start;
	st->kernel_thread = flags & PF_KTHREAD;
	return 0;
}

/* The number behind the key, which begins a line of the descriptor's fdinfo.  0, -ENODATA, errors. */
static int fdinfo_number(pid_t pid, int fd, const char *key, int base, uint64_t *value)
{
	char file[32], buf[512], *line;
	ssize_t n;

	snprintf(file, sizeof(file), "fdinfo/%d", fd);
	n = read_text(pid, file, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	for (line = buf; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, strlen(key))) {
			*value = strtoull(line + strlen(key), NULL, base);
			return 0;
		}
	}
	return -ENODATA;
}

int proc_eventfd_id(pid_t pid, int fd, uint64_t *id)
{
	return fdinfo_number(pid, fd, "eventfd-id:", 10, id);
}

int proc_fd_flags(pid_t pid, int fd, int *flags)
{
	uint64_t value;
	int r = fdinfo_number(pid, fd, "flags:", 8, &value);

	if (!r)
		*flags = (int)value;
	return r;
}

int proc_syscall(pid_t pid, pid_t tid, long *number, uint64_t args[2])
{
	unsigned long long a, b;
	char file[32], buf[256];
	ssize_t n;

	snprintf(file, sizeof(file), "task/%d/syscall", tid);
	n = read_text(pid, file, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	/* "running", or "-1 SP PC": blocked, but not in a system call */
	if (sscanf(buf, "%ld 0x%llx 0x%llx", number, &a, &b) != 3 || *number < 0)
		return -EAGAIN;
	args[0] = a;
	args[1] = b;
	return 0;
}

int proc_comm(pid_t pid, char comm[16])
{
	char buf[64];
	ssize_t n = read_text(pid, "comm", buf, sizeof(buf));

	if (n < 0)
		return (int)n;
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	snprintf(comm, 16, "%.15s", buf);
	return 0;
}

uint64_t proc_uptime_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

int proc_fd_locks(pid_t pid, int fd, int64_t first, uint32_t n,
		  void (*fn)(uint32_t index, void *arg), void *arg)
{
	char file[32], buf[65536], *line, *rest;
	ssize_t len;

	snprintf(file, sizeof(file), "fdinfo/%d", fd);
	len = read_text(pid, file, buf, sizeof(buf));
	if (len < 0)
		return (int)len;
	/* lock:	1: OFDLCK ADVISORY  WRITE -1 00:01:767 START END */
	for (line = strtok_r(buf, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		long long start, end;

		if (sscanf(line, "lock: %*d: OFDLCK %*s WRITE %*d %*s %lld %lld", &start, &end) !=
		    2)
			continue;
		if (start < first)
			start = first;
		if (end > first + (long long)n - 1)
			end = first + (long long)n - 1;
		for (; start <= end; start++)
			fn((uint32_t)(start - first), arg);
	}
	return 0;
}
