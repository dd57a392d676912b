// SPDX-License-Identifier: MIT
/*
 * Death at every instruction: one process runs one operation, and dies after its n-th instruction,
 * for every n.  What a survivor finds is the state before or the state after, exactly, in a queue
 * that works and has its whole capacity.
 *
 * A child for each n would take long.  What a death leaves is the segment's memory, so the child is
 * only declared dead after each instruction: its slot is repaired, the survivor looks, and then the
 * memory is put back and the child goes on.  For samples of n it is really killed.
 */
#include "queue_test.h"
#include "step.h"

#define CAPACITY 3

struct sweep {
	ksft_fn prepare, op;
	uint32_t overflow;
	uint64_t msg_size;
	int prefill;		/* messages 1, 2, ... are there before */
	/* What may be there after: the messages, of which `flagged` must, or may, be flagged. */
	bool (*fits)(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q);
	long stride;		/* instructions from death to death; 0: 1 */
};

static struct kipc_queue *queue;	/* of the sweep; the child inherits it */
static struct kipc_msg msg;
static uint32_t *slot;			/* the child's */

static int attach(void *arg)
{
	(void)arg;
	if (kipc_queue_len(queue) < 0)
		return 1;
	*slot = queue->obj.seg.slot;
	return 0;
}

static int reserve_one(void *arg)
{
	uint64_t v = 9;

	if (kipc_queue_reserve(queue, 8, &msg, KIPC_NOWAIT))
		return 1;
	memcpy(msg.data, &v, 8);
	return attach(arg);
}

static int reserve_long(void *arg)
{
	uint64_t v = 9;

	if (kipc_queue_reserve(queue, 200, &msg, KIPC_NOWAIT))
		return 1;
	memcpy(msg.data, &v, 8);
	msg.len = 8;
	return attach(arg);
}

static int take_one(void *arg)
{
	return kipc_queue_take(queue, &msg, KIPC_NOWAIT) || attach(arg);
}

static int op_put(void *arg)
{
	(void)arg;
	return put_u64(queue, 9, KIPC_NOWAIT);
}

static int op_put_many(void *arg)
{
	uint64_t in[3] = { 9, 10, 11 };
	struct iovec iov[3] = { { &in[0], 8 }, { &in[1], 8 }, { &in[2], 8 } };

	(void)arg;
	return kipc_queue_put_many(queue, iov, 3, KIPC_NOWAIT) - 3;
}

static int op_get(void *arg)
{
	(void)arg;
	return (int)get_u64(queue, KIPC_NOWAIT) - 1;
}

static int op_get_many(void *arg)
{
	uint64_t out[3];
	struct iovec iov[3] = { { &out[0], 8 }, { &out[1], 8 }, { &out[2], 8 } };

	(void)arg;
	return kipc_queue_get_many(queue, iov, 3, KIPC_NOWAIT) - 3;
}

static int op_take_done(void *arg)
{
	(void)arg;
	return kipc_queue_take(queue, &msg, KIPC_NOWAIT) || kipc_queue_done(queue, &msg);
}

static int op_done(void *arg)
{
	(void)arg;
	return kipc_queue_done(queue, &msg);
}

static int op_requeue(void *arg)
{
	(void)arg;
	return kipc_queue_requeue(queue, &msg);
}

static int op_commit(void *arg)
{
	(void)arg;
	return kipc_queue_commit(queue, &msg);
}

static int op_abort(void *arg)
{
	(void)arg;
	return kipc_queue_abort(queue, &msg);
}

static int op_len(void *arg)
{
	(void)arg;
	return (int)kipc_queue_len(queue) - 2;
}

static int op_blocked_get(void *arg)
{
	(void)arg;
	return get_u64(queue, 1) == -ETIMEDOUT ? 0 : 1;
}

static int op_blocked_put(void *arg)
{
	(void)arg;
	return put_u64(queue, 9, 1) == -ETIMEDOUT ? 0 : 1;
}

static int op_join(void *arg)
{
	(void)arg;
	return kipc_queue_join(queue, 1) == -ETIMEDOUT ? 0 : 1;
}

/* What it finds, in order, taken one by one; then everything is as it should be. */
static bool survivor(const struct sweep *sw)
{
	int64_t found[2 * CAPACITY];
	uint32_t flags[2 * CAPACITY];
	ssize_t len;
	bool ok;
	int n = 0;

	len = kipc_queue_len(queue);
	while (n < 2 * CAPACITY) {
		struct kipc_msg m;
		int r = kipc_queue_take(queue, &m, KIPC_NOWAIT);

		if (r) {
			EXPECT_EQ(-EAGAIN, r);
			break;
		}
		found[n] = msg_u64(&m);
		flags[n++] = m.flags;
		EXPECT_EQ(len - n, kipc_queue_len(queue));
		EXPECT_EQ(0, kipc_queue_done(queue, &m));
	}
	ok = EXPECT_EQ(len, n) && EXPECT_TRUE(sw->fits(found, flags, n, queue));
	EXPECT_EQ(0, kipc_queue_join(queue, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(queue).peers);
	for (int bell = 0; bell < KIPC_QUEUE_BELLS; bell++) {
		/* one too many may stay, of one that died between two instructions; no more */
		ok = EXPECT_LE(sleepers(queue, bell), 1) && ok;
		ok = EXPECT_EQ(0, queue->sh->bells[bell].word & KIPC_BELL_DRAINER) && ok;
	}
	if (sw->overflow == KIPC_OVERFLOW_BLOCK)
		check_works(queue);
	if (!ok)
		for (int i = 0; i < n; i++)
			ksft_log("found %ld, flags %u", (long)found[i], flags[i]);
	return ok;
}

static void make_victim(const struct sweep *sw, struct stepped *s)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = CAPACITY, .overflow = sw->overflow,
		  .msg_size = sw->msg_size ? sw->msg_size : 8, .max_peers = 4);

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &queue));
	for (int i = 1; i <= sw->prefill; i++)
		ASSERT_EQ(0, put_u64(queue, (uint64_t)i, KIPC_NOWAIT));
	step_start(s, sw->prepare ? sw->prepare : attach, sw->op, NULL);
}

/* As repairing it does, with the lock byte left to the child. */
static void declare_dead(void)
{
	struct kipc_segment *seg = &queue->obj.seg;

	EXPECT_GE(seg->ops->repair(seg, *slot), 0);
	for (uint32_t i = 0; i < seg->nbells; i++)
		__kipc_bell_repair(seg, &seg->bells[i], *slot);
	store_release(&__kipc_peer(seg, *slot)->state, KIPC_PEER_FREE);
}

static bool look(const struct sweep *sw, struct stepped *s)
{
	if (survivor(sw))
		return true;
	ksft_log("dead after %ld instructions", s->steps);
	return false;
}

/* One child, dead after each instruction for as long as the survivor looks. */
static long declared_deaths(const struct sweep *sw)
{
	/* a sanitizer makes ten instructions of one */
	long stride = (sw->stride ? sw->stride : 1) * (ksft_slow() ? 23 : 1);
	struct stepped s = { 0 };
	bool inside = true, ok = true;
	uint8_t *kept;
	size_t size;

	make_victim(sw, &s);
	size = queue->obj.seg.size;
	kept = malloc(size);
	while (inside && ok) {
		memcpy(kept, queue->obj.seg.base, size);
		declare_dead();
		ok = look(sw, &s);
		memcpy(queue->obj.seg.base, kept, size);
		queue->settled = 0;
		inside = step_run(&s, stride);
	}
	if (ok)
		EXPECT_EQ(0, s.shared->result);
	step_kill(&s);
	free(kept);
	kipc_queue_close(queue);
	return ok ? s.steps : 0;
}

static bool real_death(const struct sweep *sw, long n)
{
	struct stepped s = { 0 };
	bool ok;

	make_victim(sw, &s);
	step_run(&s, n);
	step_kill(&s);
	EXPECT_EQ(1, __kipc_peer_sweep(&queue->obj.seg, 0));
	ok = look(sw, &s);
	kipc_queue_close(queue);
	return ok;
}

static void run_sweep(const struct sweep *sw)
{
	long total, samples = ksft_slow() ? 4 : 12;

	ksft_needs_processes();
	slot = ksft_shared(sizeof(*slot));
	total = declared_deaths(sw);
	ksft_log("%ld instructions", total);
	for (long i = 1; i < samples && total; i++)
		if (!real_death(sw, total * i / samples))
			break;
}

/* first, first + 1, ..., n of them, and none was delivered before. */
static bool fresh(const int64_t *found, const uint32_t *flags, int n, int64_t first)
{
	for (int i = 0; i < n; i++)
		if (found[i] != first + i || flags[i])
			return false;
	return true;
}

static bool nothing_or_9(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	return n <= 1 && fresh(found, flags, n, 9);
}

TEST(put)
{
	run_sweep(&(struct sweep){ .op = op_put, .fits = nothing_or_9 });
}

TEST(commit)
{
	run_sweep(&(struct sweep){ .prepare = reserve_one, .op = op_commit, .fits = nothing_or_9 });
}

TEST(commit_to_another_place)
{
	run_sweep(&(struct sweep){ .prepare = reserve_long,
				   .op = op_commit,
				   .msg_size = 300,
				   .fits = nothing_or_9 });
}

static bool two_and_9(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	return n >= 2 && fresh(found, flags, 2, 1) && n <= 3 && fresh(found + 2, flags + 2, n - 2, 9);
}

TEST(put_behind_others)
{
	run_sweep(&(struct sweep){ .op = op_put, .prefill = 2, .fits = two_and_9 });
}

static bool two(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	return n == 2 && fresh(found, flags, 2, 1);
}

TEST(abort)
{
	run_sweep(&(struct sweep){
		.prepare = reserve_one, .op = op_abort, .prefill = 2, .fits = two });
}

TEST(len)
{
	run_sweep(&(struct sweep){ .op = op_len, .prefill = 2, .fits = two });
}

/* Each whole or not at all, and none without those before it. */
static bool some_of_three(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	return n <= 3 && fresh(found, flags, n, 9);
}

TEST(put_many)
{
	run_sweep(&(struct sweep){ .op = op_put_many, .fits = some_of_three });
}

/* The first is gone, or there: once more, flagged, or as if nothing had been. */
static bool one_taken(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	if (n == 2)
		return found[0] == 1 && found[1] == 2 && !flags[1];
	return n == 1 && fresh(found, flags, 1, 2);
}

TEST(get)
{
	run_sweep(&(struct sweep){ .op = op_get, .prefill = 2, .fits = one_taken });
}

TEST(take_done)
{
	run_sweep(&(struct sweep){ .op = op_take_done, .prefill = 2, .fits = one_taken });
}

TEST(done)
{
	run_sweep(&(struct sweep){
		.prepare = take_one, .op = op_done, .prefill = 2, .fits = one_taken });
}

static bool one_returned(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	return n == 2 && found[0] == 1 && flags[0] == KIPC_MSG_REDELIVERED &&
	       fresh(found + 1, flags + 1, 1, 2);
}

TEST(requeue)
{
	run_sweep(&(struct sweep){
		.prepare = take_one, .op = op_requeue, .prefill = 2, .fits = one_returned });
}

/* The last ones of three: flagged those that it had, not flagged those that it had not. */
static bool rest_of_three(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	for (int i = 0; i < n; i++)
		if (found[i] != 4 - n + i || (i && flags[i] && !flags[i - 1]))
			return false;
	return n <= 3;
}

TEST(get_many)
{
	run_sweep(&(struct sweep){ .op = op_get_many, .prefill = 3, .fits = rest_of_three });
}

/* The oldest is there, or was dropped; the new one comes after that. */
static bool dropped_one(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	uint64_t dropped = stat_of(q).dropped;

	if (n == 3 && fresh(found, flags, 3, 1))
		return dropped == 0;
	/* between the drop and its count */
	if (dropped > 1)
		return false;
	if (n == 2)
		return fresh(found, flags, 2, 2);
	return n == 3 && fresh(found, flags, 2, 2) && found[2] == 9 && dropped == 1;
}

TEST(drop_oldest)
{
	run_sweep(&(struct sweep){ .op = op_put,
				   .overflow = KIPC_OVERFLOW_DROP_OLDEST,
				   .prefill = 3,
				   .fits = dropped_one });
}

/* The long ways: through spinning, announcing, draining and sleeping. */
static bool empty(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)found;
	(void)flags;
	(void)q;
	return n == 0;
}

static bool full(const int64_t *found, const uint32_t *flags, int n, struct kipc_queue *q)
{
	(void)q;
	return n == 3 && fresh(found, flags, 3, 1);
}

TEST(blocked_get)
{
	without_io_uring();
	run_sweep(&(struct sweep){ .op = op_blocked_get, .fits = empty, .stride = 31 });
}

TEST(blocked_put)
{
	without_io_uring();
	run_sweep(&(struct sweep){ .op = op_blocked_put, .prefill = 3, .fits = full, .stride = 31 });
}

TEST(blocked_join)
{
	run_sweep(&(struct sweep){ .op = op_join, .prefill = 3, .fits = full, .stride = 5 });
}

/* Death of the reaper, too: it was repairing one that had died with a message and a reservation. */
static int take_and_reserve(void *arg)
{
	struct kipc_msg m;

	(void)arg;
	if (kipc_queue_take(queue, &m, KIPC_NOWAIT) || kipc_queue_reserve(queue, 8, &m, KIPC_NOWAIT))
		return 1;
	kill(getpid(), SIGKILL);
	return 1;
}

static int op_reap(void *arg)
{
	(void)arg;
	return __kipc_peer_sweep(&queue->obj.seg, 0) == 1 ? 0 : 1;
}

TEST(reaper)
{
	struct stepped s = { 0 };
	bool inside = true;

	ksft_needs_processes();
	slot = ksft_shared(sizeof(*slot));
	/* it holds a lock byte: only its real death gives that back */
	for (long n = 0; inside; n += ksft_slow() ? 331 : 43) {
		struct kipc_msg m;

		queue = make_queue(CAPACITY, 8);
		EXPECT_EQ(0, put_u64(queue, 1, KIPC_NOWAIT));
		EXPECT_EQ(0, put_u64(queue, 2, KIPC_NOWAIT));
		ksft_wait(ksft_fork(take_and_reserve, NULL));
		step_start(&s, attach, op_reap, NULL);
		inside = step_run(&s, n);
		if (!inside)
			EXPECT_EQ(0, s.shared->result);
		step_kill(&s);
		__kipc_peer_sweep(&queue->obj.seg, 0);
		EXPECT_EQ(2, kipc_queue_len(queue));
		EXPECT_EQ(1, stat_of(queue).peers);
		ASSERT_EQ(0, kipc_queue_take(queue, &m, KIPC_NOWAIT));
		EXPECT_EQ(1, msg_u64(&m));
		EXPECT_EQ(KIPC_MSG_REDELIVERED, m.flags);
		EXPECT_EQ(0, kipc_queue_done(queue, &m));
		EXPECT_EQ(1, drain(queue, 2));
		check_works(queue);
		kipc_queue_close(queue);
	}
	ksft_log("%ld instructions", s.steps);
}

TEST_HARNESS_MAIN
