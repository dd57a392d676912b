/* SPDX-License-Identifier: MIT */
/*
 * The rows of a table, worked out by a few processes beside each other and printed in their order.
 *
 * More processes than CPUs: most rows wait now and then for a library's tick.  Each stays on one CPU,
 * with what it forks: two processes that take turns are several times as slow across.
 */
#ifndef SELFTESTS_CRASH_ROWS_H
#define SELFTESTS_CRASH_ROWS_H

#include <stddef.h>
#include <stdint.h>

struct rows {
	uint32_t n;
	uint32_t jobs;		/* processes; 0: as many as do well here */
	size_t size;		/* bytes of what comes out of a row */
	void (*work)(uint32_t row, void *out);	/* in one of the processes; out: shared, zeroed */
	void (*print)(uint32_t row, const void *out);
};

/* 0; -1: one of the processes died, and some rows were not worked out. */
int rows_run(const struct rows *rows);

#endif
