// SPDX-License-Identifier: MIT
/* What /proc/self/smaps says of a stretch of our own memory: proc_pid_smaps(5). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/compiler.h"
#include "core/memory.h"

/* The mapping that the lines belong to: as much of it as is in the stretch. */
struct part {
	uint64_t start, end;
};

static bool is_header(const char *line, struct part *p)
{
	int n = 0;

	/* "7f0c4000-7f0c6000 rw-s ..."; all other lines begin with a word and a colon */
	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %n", &p->start, &p->end, &n) == 2 && n;
}

static void count(const char *line, uint64_t bytes, struct kipc_memory_use *use)
{
	uint64_t kib;

	if (sscanf(line, "ShmemPmdMapped: %" SCNu64 " kB", &kib) == 1)
		use->huge += kib << 10;
	else if (!strncmp(line, "VmFlags:", 8) && strstr(line, " lo"))
		use->locked += bytes;
}

int __kipc_memory_use(const void *addr, uint64_t len, struct kipc_memory_use *use)
{
	uint64_t from = (uintptr_t)addr, to = from + len, bytes = 0;
	int saved = errno, r = 0;
	struct part p = { 0 };
	char *line = NULL;
	size_t size = 0;
	FILE *f;

	*use = (struct kipc_memory_use){ 0 };
	f = fopen("/proc/self/smaps", "re");
	if (!f) {
		r = -errno;
		errno = saved;
		return r;
	}
	while (getline(&line, &size, f) > 0) {
		if (is_header(line, &p)) {
			p.start = max_of(p.start, from);
			p.end = min_of(p.end, to);
			bytes = p.end > p.start ? p.end - p.start : 0;
		} else if (bytes) {
			count(line, bytes, use);
		}
	}
	if (ferror(f))
		r = -EIO;
	fclose(f);
	free(line);
	errno = saved;
	return r;
}
