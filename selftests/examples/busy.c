// SPDX-License-Identifier: MIT
/*
 * Two busy processes, for syscalls.sh, which counts the system calls that this takes: next to none for
 * each message.  Busy means that neither ever sleeps: who can't go on tries again.
 */
#include <kipc/kipc.h>

#include "core/atomic.h"
#include "kselftest_harness.h"

#define MESSAGES 50000u

static int put_all(void *q)
{
	for (uint64_t i = 0; i < MESSAGES; i++) {
		int r;

		while ((r = kipc_queue_put(q, &i, sizeof(i), KIPC_NOWAIT)) == -EAGAIN)
			cpu_relax();
		if (r)
			return r;
	}
	return 0;
}

TEST(queue)
{
	struct ksft_peer peer;
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, NULL, &q));
	ksft_peer_start(&peer, KSFT_PROCESS, put_all, q);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		uint64_t v;
		ssize_t r;

		while ((r = kipc_queue_get(q, &v, sizeof(v), KIPC_NOWAIT)) == -EAGAIN)
			cpu_relax();
		ASSERT_EQ(8, r);
		ASSERT_EQ(i, v);
	}
	ksft_peer_join(&peer);
	kipc_queue_close(q);
}

static int send_all(void *p)
{
	for (uint64_t i = 0; i < MESSAGES; i++) {
		int r;

		while ((r = kipc_pipe_send(p, &i, sizeof(i), KIPC_NOWAIT)) == -EAGAIN)
			cpu_relax();
		if (r)
			return r;
	}
	return 0;
}

TEST(pipe)
{
	struct kipc_pipe *ends[2];
	struct ksft_peer peer;

	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	ksft_peer_start(&peer, KSFT_PROCESS, send_all, ends[0]);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		uint64_t v;
		ssize_t r;

		while ((r = kipc_pipe_recv(ends[1], &v, sizeof(v), KIPC_NOWAIT)) == -EAGAIN)
			cpu_relax();
		ASSERT_EQ(8, r);
		ASSERT_EQ(i, v);
	}
	ksft_peer_join(&peer);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

/* One writes, the other reads what is there already: readers take no lock. */
static int append_all(void *l)
{
	for (uint32_t i = 0; i < MESSAGES; i++) {
		int r = kipc_list_append(l, kipc_int(i));

		if (r)
			return r;
	}
	return 0;
}

TEST(list)
{
	struct kipc_manager *m;
	struct ksft_peer peer;
	struct kipc_list *l;
	struct kipc_value v;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, NULL, &l));
	ksft_peer_start(&peer, KSFT_PROCESS, append_all, l);
	for (int64_t i = 0; i < MESSAGES; i++) {
		while (kipc_list_len(l) <= i)
			cpu_relax();
		ASSERT_EQ(0, kipc_list_get(l, i, &v));
		ASSERT_EQ(i, v.i);
	}
	ksft_peer_join(&peer);
	kipc_list_unref(l);
	kipc_manager_close(m);
}

TEST(free_lock)
{
	struct kipc_manager *m;
	struct kipc_lock *k;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_lock_create(m, NULL, &k));
	for (uint32_t i = 0; i < MESSAGES; i++) {
		ASSERT_EQ(0, kipc_lock_acquire(k, KIPC_FOREVER));
		ASSERT_EQ(0, kipc_lock_release(k));
	}
	kipc_lock_unref(k);
	kipc_manager_close(m);
}

/* One that is held: who wants it sleeps. */
static int acquire(void *k)
{
	int r = kipc_lock_acquire(k, KIPC_FOREVER);

	return r ? r : kipc_lock_release(k);
}

TEST(held_lock)
{
	struct kipc_manager *m;
	struct ksft_peer peer;
	struct kipc_lock *k;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_lock_create(m, NULL, &k));
	ASSERT_EQ(0, kipc_lock_acquire(k, KIPC_FOREVER));
	ksft_peer_start(&peer, KSFT_PROCESS, acquire, k);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(peer.id), 10000));
	ASSERT_EQ(0, kipc_lock_release(k));
	ksft_peer_join(&peer);
	kipc_lock_unref(k);
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
