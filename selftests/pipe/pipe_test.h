/* SPDX-License-Identifier: MIT */
/* What the pipe's tests share. */
#ifndef PIPE_TEST_H
#define PIPE_TEST_H

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kipc/pipe.h>

#include "kselftest_harness.h"
#include "pipe/pipe.h"

#define MS 1000000LL
#define RING 4096 /* the smallest: most tests want to meet its end */

static __ksft_unused void pipe_make(struct kipc_pipe *ends[2], size_t ring, uint32_t flags)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = ring, .flags = flags);

	ASSERT_EQ(0, kipc_pipe_create(&opts, ends));
}

/* Sleeps are ppoll(2) from here on, if that is what the variant wants; before the first sleep. */
static __ksft_unused void pipe_use_ppoll(bool yes)
{
	if (yes)
		setenv("KIPC_NO_IO_URING", "1", 1);
}

/* Bytes that tell message `seed` from others, at each place. */
static __ksft_unused void pipe_fill(void *buf, size_t len, uint64_t seed)
{
	uint8_t *b = buf;

	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)(i * 31 + (i >> 8) + seed * 7);
}

static __ksft_unused bool pipe_check(const void *buf, size_t len, uint64_t seed)
{
	const uint8_t *b = buf;

	for (size_t i = 0; i < len; i++)
		if (b[i] != (uint8_t)(i * 31 + (i >> 8) + seed * 7))
			return false;
	return true;
}

/* Both positions of both ways, as if so many bytes had gone through; nothing may be on its way. */
static __ksft_unused void pipe_set_position(struct kipc_pipe *p, uint64_t pos)
{
	for (int i = 0; i < KIPC_PIPE_WAYS; i++) {
		struct kipc_pipe_way *w = &p->shm->way[i];

		w->head = w->head_seen = w->tail = w->tail_seen = pos;
	}
}

/* How often an eventfd was written since the pipe was made. */
static __ksft_unused uint64_t pipe_wakeups(struct kipc_pipe *p)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };

	ASSERT_EQ(0, kipc_pipe_stat(p, &st));
	return st.wakeups;
}

/* Somebody sleeps (or is just about to) until there is something to receive, or room. */
static __ksft_unused bool pipe_reader_sleeps(struct pipe_way *w)
{
	return __atomic_load_n(&w->readable->line->word, __ATOMIC_ACQUIRE) & KIPC_BELL_SLEEPERS;
}

static __ksft_unused bool pipe_writer_sleeps(struct pipe_way *w)
{
	return __atomic_load_n(&w->writable->line->word, __ATOMIC_ACQUIRE) & KIPC_BELL_SLEEPERS;
}

#endif
