// SPDX-License-Identifier: MIT
/* A dict: each call on a key happens at one moment, whoever dies. */
#include "play-dict.h"

TEST(threads)
{
	rounds(&dict_subject, KSFT_THREAD, KILL_NONE);
}

TEST(processes)
{
	rounds(&dict_subject, KSFT_PROCESS, KILL_NONE);
}

TEST(killed)
{
	rounds(&dict_subject, KSFT_PROCESS, KILL_SOME);
}

TEST_HARNESS_MAIN
