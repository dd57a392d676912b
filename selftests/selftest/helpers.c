// SPDX-License-Identifier: MIT
/*
 * What checks take for equal, and the helpers: peers, conditions, shared pages.
 */
#include "kselftest_harness.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(values_compare_as_numbers)
{
	unsigned char small = 200;
	int *null = NULL;
	char text[] = "ab";

	EXPECT_LT(-1, 1U);
	EXPECT_NE(-1, UINT64_MAX);
	EXPECT_GT(UINT64_MAX, INT64_MIN);
	EXPECT_EQ(200, small);
	EXPECT_LE(0.5, 1);
	EXPECT_EQ(null, NULL);
	EXPECT_NE(&small, NULL);
	EXPECT_NE(text, NULL);
	EXPECT_STREQ(text, "ab");
	EXPECT_STRNE(text, "a");
	EXPECT_MEMEQ(text, "ab", sizeof(text));
	EXPECT_NE(0.0 / 0.0, 0.0 / 0.0);
}

static bool is_set(void *arg)
{
	return __atomic_load_n((int *)arg, __ATOMIC_ACQUIRE);
}

static int set(void *arg)
{
	__atomic_store_n((int *)arg, 1, __ATOMIC_RELEASE);
	return 0;
}

FIXTURE(peers)
{
	int *flag;
};

FIXTURE_VARIANT(peers)
{
	enum ksft_peer_kind kind;
};

FIXTURE_VARIANT_ADD(peers, threads){ .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(peers, processes){ .kind = KSFT_PROCESS };

FIXTURE_SETUP(peers)
{
	self->flag = ksft_shared(sizeof(int));
}

TEST_F(peers, share_pages)
{
	struct ksft_peer peer;

	EXPECT_FALSE(ksft_wait_until(is_set, self->flag, 1));
	ksft_peer_start(&peer, variant->kind, set, self->flag);
	EXPECT_TRUE(ksft_wait_until(is_set, self->flag, 10000));
	EXPECT_TRUE(ksft_wait_for(*self->flag == 1, 10000));
	ksft_peer_join(&peer);
}

static int pause_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

TEST(sleep_and_kill)
{
	pid_t pid = ksft_fork(pause_for_ever, NULL);

	EXPECT_TRUE(ksft_wait_for(ksft_asleep(pid), 10000));
	EXPECT_FALSE(ksft_asleep(getpid()));
	EXPECT_EQ(SIGKILL, WTERMSIG(ksft_kill(pid)));
	EXPECT_EQ(-1, kill(pid, 0));
}

TEST_HARNESS_MAIN
