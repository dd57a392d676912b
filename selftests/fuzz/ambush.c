// SPDX-License-Identifier: MIT
/*
 * An enemy that writes between two instructions of ours, and does it again at the same place in the
 * next run: clang calls us before every load that the library makes (-fsanitize-coverage=trace-loads,
 * in lib/ only).  After the load of a field of the segment, that very field is changed: who reads it
 * a second time, after the check, reads what was not checked.
 */
#include <stddef.h>

#include "ambush.h"
#include "world.h"

static struct {
	struct fuzz_memory *mem;	/* NULL: not armed */
	uint32_t left;			/* loads of the segment until it strikes */
	uint32_t period, times;
	uint8_t *at;			/* just loaded: strike before the next load */
	unsigned int width;
	uint8_t what[10];		/* input for the value */
} ambush;

void fuzz_ambush_begin(struct fuzz_input *in, struct fuzz_memory *mem)
{
	ambush.left = 1 + fuzz_u8(in);
	if (ambush.left > 200)
		ambush.left += fuzz_u8(in) * 16u;
	ambush.period = fuzz_u8(in) % 32;
	ambush.times = 1 + fuzz_u8(in) % 8;
	for (size_t i = 0; i < sizeof(ambush.what); i++)
		ambush.what[i] = fuzz_u8(in);
	ambush.at = NULL;
	ambush.mem = mem;
}

void fuzz_ambush_end(void)
{
	ambush.mem = NULL;
	ambush.at = NULL;
}

static void strike(void)
{
	struct fuzz_input in = { ambush.what, ambush.what + sizeof(ambush.what) };
	struct fuzz_memory *mem = ambush.mem;

	fuzz_overwrite(&in, mem, ambush.at, ambush.width);
	ambush.at = NULL;
	if (!--ambush.times)
		ambush.mem = NULL;
	ambush.left = ambush.period + 1;
}

static void before_load(void *addr, unsigned int width)
{
	if (!ambush.mem || !fuzz_world_inside())
		return;
	if (ambush.at)
		strike();
	if (!ambush.mem || !fuzz_world_ours(addr) || --ambush.left)
		return;
	ambush.at = addr;
	ambush.width = width;
}

void __sanitizer_cov_load1(uint8_t *addr);
void __sanitizer_cov_load2(uint16_t *addr);
void __sanitizer_cov_load4(uint32_t *addr);
void __sanitizer_cov_load8(uint64_t *addr);
void __sanitizer_cov_load16(void *addr);

void __sanitizer_cov_load1(uint8_t *addr)
{
	before_load(addr, 1);
}

void __sanitizer_cov_load2(uint16_t *addr)
{
	before_load(addr, 2);
}

void __sanitizer_cov_load4(uint32_t *addr)
{
	before_load(addr, 4);
}

void __sanitizer_cov_load8(uint64_t *addr)
{
	before_load(addr, 8);
}

/* Vectors are of copies: nothing that was checked. */
void __sanitizer_cov_load16(void *addr)
{
	(void)addr;
}
