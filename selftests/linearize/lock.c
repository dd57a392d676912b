// SPDX-License-Identifier: MIT
/* A lock and an rlock: one holder, and news of a dead one for one who acquires. */
#include "play-lock.h"

FIXTURE(kind) {
	int none;
};

FIXTURE_VARIANT(kind) {
	const struct subject *subject;
};

FIXTURE_VARIANT_ADD(kind, lock) { .subject = &lock_subject };
FIXTURE_VARIANT_ADD(kind, rlock) { .subject = &rlock_subject };

TEST_F(kind, threads)
{
	rounds(variant->subject, KSFT_THREAD, KILL_NONE);
}

TEST_F(kind, processes)
{
	rounds(variant->subject, KSFT_PROCESS, KILL_NONE);
}

TEST_F(kind, killed)
{
	rounds(variant->subject, KSFT_PROCESS, KILL_SOME);
}

TEST_HARNESS_MAIN
