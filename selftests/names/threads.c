// SPDX-License-Identifier: MIT
/* Many threads of one process use names at once, while the broker is killed now and then. */
#include "names.h"

FIXTURE(threads) {
	struct names_dir dir;
};

FIXTURE_SETUP(threads)
{
	names_begin_threads(&self->dir);
}

FIXTURE_TEARDOWN(threads)
{
	names_end(&self->dir);
}

enum { THREADS = 4, ROUNDS = 25 };

static uint32_t busy;

static int count(const struct kipc_name *name, void *arg)
{
	*(int *)arg += !!*name->name;
	return 0;
}

/* A name of its own that comes and goes, one for all that stays, and a list of what there is. */
static int use_names(void *arg)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_NAME_EXISTING);
	struct kipc_shm *mine, *ours, *again;
	char name[16];

	snprintf(name, sizeof(name), "own%d", (int)(intptr_t)arg);
	for (int i = 0; i < ROUNDS; i++) {
		int n = 0;

		EXPECT_EQ(0, kipc_shm_create(name, 64, NULL, &mine));
		ASSERT_EQ(0, kipc_shm_create("ours", 64, &o, &ours));
		ASSERT_EQ(0, kipc_shm_open(name, NULL, &again));
		EXPECT_EQ(0, kipc_shm_write_begin(again, KIPC_FOREVER));
		memset(kipc_shm_addr(again), i, 64);
		EXPECT_EQ(0, kipc_shm_write_end(again));
		EXPECT_EQ(i, *(uint8_t *)kipc_shm_addr(mine));
		kipc_shm_close(again);
		EXPECT_EQ(0, kipc_names_foreach(count, &n));
		EXPECT_GE(n, 2);
		EXPECT_EQ(0, kipc_shm_unlink(name));
		kipc_shm_close(mine);
		kipc_shm_close(ours);
	}
	__atomic_fetch_sub(&busy, 1, __ATOMIC_RELEASE);
	return 0;
}

TEST_F_TIMEOUT(threads, names, 60)
{
	struct ksft_thread thread[THREADS];
	struct kipc_shm *s;
	uint32_t kills = 0;

	ASSERT_EQ(0, kipc_shm_create("ours", 64, NULL, &s));
	__atomic_store_n(&busy, THREADS, __ATOMIC_RELEASE);
	for (intptr_t i = 0; i < THREADS; i++)
		ksft_thread_start(&thread[i], use_names, (void *)i);
	while (__atomic_load_n(&busy, __ATOMIC_ACQUIRE)) {
		pid_t pid = names_broker(&self->dir);

		if (kills < 8 && pid && !kill(pid, SIGKILL))
			kills++;
		ksft_wait_for(!__atomic_load_n(&busy, __ATOMIC_ACQUIRE), 5);
	}
	for (int i = 0; i < THREADS; i++)
		ksft_thread_join(&thread[i]);
	EXPECT_GT(kills, 0);
	kipc_shm_close(s);
}

static int connect_all(void *arg)
{
	struct kipc_pipe *p;
	char c;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &p, 20000000000));
		EXPECT_EQ(1, kipc_pipe_recv(p, &c, 1, KIPC_FOREVER));
		kipc_pipe_close(p);
	}
	return 0;
}

static struct kipc_pipe_listener *listener;

static int accept_some(void *arg)
{
	struct kipc_pipe *p;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, kipc_pipe_accept(listener, &p, 20000000000));
		EXPECT_EQ(0, kipc_pipe_send(p, "x", 1, KIPC_FOREVER));
		kipc_pipe_close(p);
	}
	return 0;
}

/* Threads accept from one listener, which comes back by itself after a kill. */
TEST_F_TIMEOUT(threads, listener, 60)
{
	struct ksft_thread client[2], server[2];

	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &listener));
	names_kill(&self->dir);
	for (int i = 0; i < 2; i++) {
		ksft_thread_start(&server[i], accept_some, NULL);
		ksft_thread_start(&client[i], connect_all, NULL);
	}
	for (int i = 0; i < 2; i++) {
		ksft_thread_join(&client[i]);
		ksft_thread_join(&server[i]);
	}
	kipc_pipe_listener_close(listener);
}

TEST_HARNESS_MAIN
