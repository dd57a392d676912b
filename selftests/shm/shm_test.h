/* SPDX-License-Identifier: MIT */
/* What the tests of shared memory share. */
#ifndef SELFTESTS_SHM_SHM_TEST_H
#define SELFTESTS_SHM_SHM_TEST_H

#include <stdio.h>

#include <kipc/shm.h>

#include "kselftest_harness.h"

#define MS 1000000LL

static inline struct kipc_shm_stat stat_of(struct kipc_shm *s)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };

	ASSERT_EQ(0, kipc_shm_stat(s, &st));
	return st;
}

/* What mlock(2) holds of this process, KiB; -1: it can't be told. */
static inline long locked_kb(void)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

#endif
