// SPDX-License-Identifier: MIT
/*
 * SIGKILL at the bad moments, again and again: survivors, blocked or polling, go on soon, and what
 * they find is right.
 */
#include <signal.h>
#include <unistd.h>

#include "queue_test.h"

/* design.md, 4.7; "usually at once".  The limit for the worst leaves room for a busy machine. */
#define SOON_NS (150 * MSEC)
#define WORST_NS (ksft_scale(500) * MSEC)

FIXTURE(kill)
{
	struct kipc_queue *q;
	int64_t took[64];
	int rounds;
};

FIXTURE_VARIANT(kill)
{
	uint32_t capacity;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(kill, one_cell){ .capacity = 1 };
FIXTURE_VARIANT_ADD(kill, three_cells){ .capacity = 3 };
FIXTURE_VARIANT_ADD(kill, one_cell_ppoll){ .capacity = 1, .ppoll = true };

FIXTURE_SETUP(kill)
{
	if (variant->ppoll)
		without_io_uring();
	self->q = make_queue(variant->capacity, 300);
	self->rounds = ksft_slow() ? 6 : 10;
}

FIXTURE_TEARDOWN(kill)
{
	kipc_queue_close(self->q);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void check_times(int64_t *took, int n)
{
	qsort(took, (size_t)n, sizeof(took[0]), compare);
	ksft_log("survivors went on after %.1f ms (median), %.1f ms (worst)", took[n / 2] / 1e6,
		 took[n - 1] / 1e6);
	/* valgrind's survivors take as long by themselves */
	EXPECT_LE(took[n / 2], SOON_NS * (ksft_valgrind() ? 4 : 1));
	EXPECT_LE(took[n - 1], WORST_NS * (ksft_valgrind() ? 4 : 1));
}

/* ---- victims: they stop where they are to be killed ---- */

static struct kipc_queue *queue;
static uint32_t *ready;

static int wait_for_the_end(void)
{
	store_release(ready, 1);
	for (;;)
		pause();
	return 1;
}

static int reserve_and_wait(void *arg)
{
	struct kipc_msg msg;

	(void)arg;
	if (kipc_queue_reserve(queue, 300, &msg, LONG_NS))
		return 1;
	memset(msg.data, 'x', 150);	/* half of it */
	return wait_for_the_end();
}

static int take_and_wait(void *arg)
{
	struct kipc_msg msg;

	(void)arg;
	if (kipc_queue_take(queue, &msg, LONG_NS))
		return 1;
	memset(msg.data, 'x', msg.len / 2);	/* it may, and it is the next one's problem */
	return wait_for_the_end();
}

static int take_all_and_wait(void *arg)
{
	struct kipc_msg msg;

	(void)arg;
	while (!kipc_queue_take(queue, &msg, KIPC_NOWAIT))
		;
	return wait_for_the_end();
}

static pid_t victim(struct kipc_queue *q, ksft_fn fn)
{
	pid_t pid;

	if (!ready)
		ready = ksft_shared(sizeof(*ready));
	queue = q;
	*ready = 0;
	pid = ksft_fork(fn, NULL);
	ASSERT_TRUE(ksft_wait_for(load_acquire(ready), 10000));
	return pid;
}

/* ---- survivors ---- */

static int get_seven(void *arg)
{
	return get_u64(arg, LONG_NS) == 7 ? 0 : 1;
}

static int put_seven(void *arg)
{
	return put_u64(arg, 7, LONG_NS);
}

static int take_redelivered(void *arg)
{
	struct kipc_msg msg;
	int r = kipc_queue_take(arg, &msg, LONG_NS);

	if (r)
		return r;
	if (msg.len != 8 || msg.flags != KIPC_MSG_REDELIVERED)
		return 1;
	return kipc_queue_done(arg, &msg);
}

/* ---- */

/* A consumer is blocked behind a reservation, whose owner is killed.  (With one cell: a producer.) */
TEST_F(kill, writer)
{
	int n = (int)variant->capacity;

	for (int i = 0; i < self->rounds; i++) {
		pid_t pid = victim(self->q, reserve_and_wait), survivor;
		int64_t start;

		if (n == 1) {
			survivor = ksft_fork(put_seven, self->q);
			ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_WRITABLE, survivor));
		} else {
			EXPECT_EQ(0, put_u64(self->q, 7, KIPC_NOWAIT));
			survivor = ksft_fork(get_seven, self->q);
			ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_READABLE, survivor));
		}
		start = ksft_now_ns();
		ksft_kill(pid);
		ksft_join(survivor);
		self->took[i] = ksft_now_ns() - start;
		if (n == 1)
			EXPECT_EQ(7, get_u64(self->q, LONG_NS));
		EXPECT_EQ(i + 1, stat_of(self->q).skipped);
	}
	check_times(self->took, self->rounds);
	check_works(self->q);
}

/* A consumer is blocked, since another has the message, who is killed. */
TEST_F(kill, reader)
{
	for (int i = 0; i < self->rounds; i++) {
		pid_t pid, survivor;
		int64_t start;

		EXPECT_EQ(0, put_u64(self->q, 7, LONG_NS));
		pid = victim(self->q, take_and_wait);
		survivor = ksft_fork(take_redelivered, self->q);
		ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_READABLE, survivor));
		start = ksft_now_ns();
		ksft_kill(pid);
		ksft_join(survivor);
		self->took[i] = ksft_now_ns() - start;
		EXPECT_EQ(i + 1, stat_of(self->q).redelivered);
	}
	check_times(self->took, self->rounds);
	check_works(self->q);
}

/* The ring is full of messages that a dead process had taken; nobody but a producer is there. */
TEST_F(kill, reader_of_everything)
{
	int n = (int)variant->capacity;

	for (int i = 0; i < self->rounds; i++) {
		int64_t start;
		pid_t pid;

		EXPECT_EQ(n, fill(self->q, 100));
		pid = victim(self->q, take_all_and_wait);
		EXPECT_EQ(0, kipc_queue_len(self->q));
		EXPECT_EQ(-EAGAIN, put_u64(self->q, 7, KIPC_NOWAIT));
		start = ksft_now_ns();
		ksft_kill(pid);
		/* it heals the queue, though it never waits for long; then it waits for a consumer */
		ASSERT_TRUE(ksft_wait_for(put_u64(self->q, 7, MSEC) == -ETIMEDOUT &&
						  kipc_queue_len(self->q) == n,
					  10000));
		self->took[i] = ksft_now_ns() - start;
		EXPECT_EQ(n, drain(self->q, 100));
		EXPECT_EQ((i + 1) * n, stat_of(self->q).redelivered);
	}
	check_times(self->took, self->rounds);
	check_works(self->q);
}

/* Polling without ever waiting heals as well. */
TEST_F(kill, pollers)
{
	for (int i = 0; i < self->rounds; i++) {
		struct kipc_msg msg;
		int64_t start;
		pid_t pid;

		EXPECT_EQ(0, put_u64(self->q, 7, LONG_NS));
		pid = victim(self->q, take_and_wait);
		EXPECT_EQ(-EAGAIN, get_u64(self->q, KIPC_NOWAIT));
		start = ksft_now_ns();
		ksft_kill(pid);
		ASSERT_TRUE(ksft_wait_for(kipc_queue_take(self->q, &msg, KIPC_NOWAIT) == 0, 10000));
		self->took[i] = ksft_now_ns() - start;
		EXPECT_EQ(KIPC_MSG_REDELIVERED, msg.flags);
		EXPECT_EQ(0, kipc_queue_done(self->q, &msg));

		pid = victim(self->q, reserve_and_wait);
		for (uint32_t k = 1; k < variant->capacity; k++)
			EXPECT_EQ(0, put_u64(self->q, 7, KIPC_NOWAIT));
		EXPECT_EQ(-EAGAIN, put_u64(self->q, 7, KIPC_NOWAIT));
		EXPECT_EQ(-EAGAIN, get_u64(self->q, KIPC_NOWAIT));
		start = ksft_now_ns();
		ksft_kill(pid);
		ASSERT_TRUE(ksft_wait_for(put_u64(self->q, 7, KIPC_NOWAIT) == 0, 10000));
		self->took[i] = max_of(self->took[i], ksft_now_ns() - start);
		for (uint32_t k = 0; k < variant->capacity; k++)
			EXPECT_EQ(7, get_u64(self->q, KIPC_NOWAIT));
	}
	check_times(self->took, self->rounds);
	check_works(self->q);
}

/* Dead in its sleep: it is not counted any more, and swallows nobody's wake-up. */
TEST_F(kill, sleeper)
{
	for (int i = 0; i < self->rounds; i++) {
		pid_t dead = ksft_fork(get_seven, self->q), survivor;
		int64_t start;

		ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_READABLE, dead));
		survivor = ksft_fork(get_seven, self->q);
		ASSERT_TRUE(ksft_wait_for(sleepers(self->q, KIPC_QUEUE_BELL_READABLE) == 2 &&
						  ksft_asleep(survivor),
					  10000));
		if (i % 2) {
			ksft_kill(dead);
			start = ksft_now_ns();
			EXPECT_EQ(0, put_u64(self->q, 7, KIPC_NOWAIT));
		} else {
			/* woken and killed: perhaps before it could take the message */
			start = ksft_now_ns();
			EXPECT_EQ(0, kill(dead, SIGSTOP));
			EXPECT_EQ(0, put_u64(self->q, 7, KIPC_NOWAIT));
			ksft_kill(dead);
		}
		ksft_join(survivor);
		self->took[i] = ksft_now_ns() - start;
		ASSERT_TRUE(ksft_wait_for(__kipc_peer_sweep(&self->q->obj.seg, 0) >= 0 &&
						  stat_of(self->q).peers == 1,
					  10000));
		EXPECT_EQ(0, sleepers(self->q, KIPC_QUEUE_BELL_READABLE));
	}
	check_times(self->took, self->rounds);
	check_works(self->q);
}

/* Dead while it was draining the doorbell: the others are rung as before. */
static int drain_and_wait(void *arg)
{
	struct kipc_bell_line *line = &queue->sh->bells[KIPC_QUEUE_BELL_READABLE];

	(void)arg;
	if (get_u64(queue, KIPC_NOWAIT) != -EAGAIN)
		return 1;
	fetch_or(&line->word, (uint64_t)queue->obj.seg.slot << KIPC_BELL_DRAINER_SHIFT);
	return wait_for_the_end();
}

TEST_F(kill, drainer)
{
	for (int i = 0; i < self->rounds; i++) {
		pid_t survivor, pid;
		int64_t start;

		pid = victim(self->q, drain_and_wait);
		survivor = ksft_fork(get_seven, self->q);
		ASSERT_TRUE(asleep_at(self->q, KIPC_QUEUE_BELL_READABLE, survivor));
		start = ksft_now_ns();
		ksft_kill(pid);
		EXPECT_EQ(0, put_u64(self->q, 7, KIPC_NOWAIT));
		ksft_join(survivor);
		self->took[i] = ksft_now_ns() - start;
		/* and when nobody notices for a while, the word is repaired all the same */
		ASSERT_TRUE(ksft_wait_for(__kipc_peer_sweep(&self->q->obj.seg, 0) >= 0 &&
						  stat_of(self->q).peers == 1,
					  10000));
		EXPECT_EQ(0, self->q->sh->bells[KIPC_QUEUE_BELL_READABLE].word & KIPC_BELL_DRAINER);
	}
	check_times(self->took, self->rounds);
	check_works(self->q);
}

/* Stopped isn't dead: nothing is taken from it, and it goes on where it was. */
static int take_stop_done(void *arg)
{
	struct kipc_msg msg;

	if (kipc_queue_take(arg, &msg, LONG_NS))
		return 1;
	raise(SIGSTOP);
	return kipc_queue_done(arg, &msg);
}

static bool stopped(pid_t pid)
{
	char path[64], stat[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f) {
		if (!fgets(stat, sizeof(stat), f))
			stat[0] = '\0';
		fclose(f);
	}
	return strstr(stat, ") T ") != NULL;
}

TEST_F(kill, not_the_stopped)
{
	pid_t pid;

	EXPECT_EQ(0, put_u64(self->q, 7, KIPC_NOWAIT));
	pid = ksft_fork(take_stop_done, self->q);
	ASSERT_TRUE(ksft_wait_for(stopped(pid), 10000));
	EXPECT_EQ(-ETIMEDOUT, get_u64(self->q, 250 * MSEC));
	EXPECT_EQ(0, __kipc_peer_sweep(&self->q->obj.seg, 0));
	EXPECT_EQ(0, kill(pid, SIGCONT));
	ksft_join(pid);
	EXPECT_EQ(0, stat_of(self->q).redelivered);
	check_works(self->q);
}

TEST_HARNESS_MAIN
