/* SPDX-License-Identifier: MIT */
/*
 * Whose number says something, and whose folder can be believed: one rule for the library, the
 * broker and those who only look.  Inline, since the tools are linked with what users see.
 *
 * In a user namespace all users whose number isn't mapped, the real root among them, look like one,
 * "nobody".  They aren't.
 */
#ifndef KIPC_NAMES_TRUST_H
#define KIPC_NAMES_TRUST_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The number that stands for all that have none here; (uint32_t)-1: every number is somebody's. */
static inline uint32_t __kipc_nobody(void)
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
	return all ? (uint32_t)-1 : overflow;
}

/*
 * Whether nobody but its owner can have made this folder what it is, and that is this user or root.
 * From inside a user namespace the real root can't be told from others; but a folder in one that
 * others may not write to was put there by who that belongs to.
 */
static inline bool __kipc_folder_safe(int fd, const struct stat *st)
{
	int up, saved = errno;
	struct stat above;
	bool safe;

	if (st->st_mode & 022)
		return false;
	if (st->st_uid == geteuid() || st->st_uid == 0)
		return true;
	if (st->st_uid != __kipc_nobody())
		return false;
	up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	safe = up >= 0 && !fstat(up, &above) && !(above.st_mode & 022);
	if (up >= 0)
		close(up);
	errno = saved;
	return safe;
}

#endif
