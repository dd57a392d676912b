/* SPDX-License-Identifier: MIT */
/* What the tests of deaths share: a victim that does something, says so, and is killed there. */
#ifndef SELFTESTS_SHM_DEATH_TEST_H
#define SELFTESTS_SHM_DEATH_TEST_H

#include <signal.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/lock.h"
#include "shm/region.h"
#include "shm_test.h"

/* design.md, 4.7: every survivor goes on within 150 ms of a death */
#define SURVIVE_NS (ksft_scale(150) * MS)

FIXTURE(death) {
	struct kipc_shm *s;
	uint32_t *step;		/* where the victim is */
};

FIXTURE_SETUP(death)
{
	self->step = ksft_shared(sizeof(*self->step));
	ASSERT_EQ(0, kipc_shm_create(NULL, 1 << 16, NULL, &self->s));
}

FIXTURE_TEARDOWN(death)
{
	kipc_shm_close(self->s);
}

struct victim {
	struct kipc_shm *s;
	uint32_t *step;
	int want;	/* what it must be told */
};

static inline void __attribute__((noreturn)) stay(uint32_t *step)
{
	store_release(step, 1);
	for (;;)
		pause();
}

/* A process that does fn until it says so in *step. */
static inline pid_t start(ksft_fn fn, struct victim *v)
{
	pid_t pid;

	store_relaxed(v->step, 0);
	pid = ksft_fork(fn, v);
	ASSERT_TRUE(ksft_wait_for(load_acquire(v->step) == 1, 20000));
	return pid;
}

static inline void kill_in(ksft_fn fn, struct victim *v)
{
	ksft_kill(start(fn, v));
}

#endif
