// SPDX-License-Identifier: MIT
/* A queue of one to four messages: in whatever way calls meet, and whoever dies, it is one. */
#include "play-queue.h"

TEST(threads)
{
	rounds(&queue_subject, KSFT_THREAD, KILL_NONE);
}

TEST(processes)
{
	rounds(&queue_subject, KSFT_PROCESS, KILL_NONE);
}

TEST(killed)
{
	rounds(&queue_subject, KSFT_PROCESS, KILL_SOME);
}

TEST_HARNESS_MAIN
