// SPDX-License-Identifier: MIT
/*
 * Two at once, every way that one can be interrupted: a process runs one operation and is stopped
 * after its n-th instruction; another does something meanwhile, as much as it likes; then the first
 * goes on.  For every n.  What was put and what was got must agree, in order.
 */
#include "queue_test.h"
#include "step.h"

#define VALUES 64
#define LIMIT 3600	/* seconds: for KIPC_STRIDE=1 */

/* What happened to each message; the victim and the test write down what they did. */
struct ledger {
	uint32_t put[VALUES];
	uint32_t got[VALUES];
};

static struct kipc_queue *queue;
static struct ledger *ledger;
static struct kipc_msg msg;

static int do_put(uint64_t v)
{
	int r = put_u64(queue, v, KIPC_NOWAIT);

	if (!r)
		ledger->put[v]++;
	return r == -EAGAIN || r == -EPIPE ? 0 : r;
}

/* The value, or a negative errno. */
static int do_get(void)
{
	int64_t v = get_u64(queue, KIPC_NOWAIT);

	if (v >= 0 && v < VALUES)
		ledger->got[v]++;
	return (int)v;
}

static int get_ok(int v)
{
	return v >= 0 || v == -EAGAIN || v == -EPIPE ? 0 : v;
}

/* ---- what the victim does ---- */

static int attach(void *arg)
{
	(void)arg;
	return kipc_queue_len(queue) < 0;
}

static int prepare_take(void *arg)
{
	(void)arg;
	return kipc_queue_take(queue, &msg, KIPC_NOWAIT);
}

static int prepare_reserve(void *arg)
{
	(void)arg;
	if (kipc_queue_reserve(queue, 8, &msg, KIPC_NOWAIT))
		return 1;
	memcpy(msg.data, &(uint64_t){ 20 }, 8);
	return 0;
}

static int v_put(void *arg)
{
	(void)arg;
	return do_put(20);
}

static int v_get(void *arg)
{
	(void)arg;
	return get_ok(do_get());
}

static int v_put_many(void *arg)
{
	uint64_t in[3] = { 20, 21, 22 };
	struct iovec iov[3] = { { &in[0], 8 }, { &in[1], 8 }, { &in[2], 8 } };
	int r = kipc_queue_put_many(queue, iov, 3, KIPC_NOWAIT);

	(void)arg;
	for (int i = 0; i < r; i++)
		ledger->put[20 + i]++;
	return r > 0 || r == -EAGAIN || r == -EPIPE ? 0 : r;
}

static int v_get_many(void *arg)
{
	uint64_t out[3];
	struct iovec iov[3] = { { &out[0], 8 }, { &out[1], 8 }, { &out[2], 8 } };
	int r = kipc_queue_get_many(queue, iov, 3, KIPC_NOWAIT);

	(void)arg;
	for (int i = 0; i < r; i++)
		if (out[i] < VALUES)
			ledger->got[out[i]]++;
	return r > 0 || r == -EAGAIN || r == -EPIPE ? 0 : r;
}

static int v_commit(void *arg)
{
	int r = kipc_queue_commit(queue, &msg);

	(void)arg;
	if (!r)
		ledger->put[20]++;
	return r;
}

static int v_abort(void *arg)
{
	(void)arg;
	return kipc_queue_abort(queue, &msg);
}

static int v_done(void *arg)
{
	int64_t v = msg_u64(&msg);
	int r = kipc_queue_done(queue, &msg);

	(void)arg;
	if (!r && v >= 0 && v < VALUES)
		ledger->got[v]++;
	return r;
}

static int v_requeue(void *arg)
{
	(void)arg;
	return kipc_queue_requeue(queue, &msg);
}

static int v_len(void *arg)
{
	ssize_t n = kipc_queue_len(queue);

	(void)arg;
	return n < 0 ? (int)n : n > 3;
}

static int v_shutdown(void *arg)
{
	(void)arg;
	return kipc_queue_shutdown(queue);
}

/* Until there is something, or never will be. */
static int v_get_to_the_end(void *arg)
{
	int v;

	(void)arg;
	do
		v = do_get();
	while (v == -EAGAIN);
	return get_ok(v);
}

static const struct {
	const char *name;
	ksft_fn prepare, op;
} victims[] = {
	{ "put", attach, v_put },
	{ "get", attach, v_get },
	{ "put_many", attach, v_put_many },
	{ "get_many", attach, v_get_many },
	{ "commit", prepare_reserve, v_commit },
	{ "abort", prepare_reserve, v_abort },
	{ "done", prepare_take, v_done },
	{ "requeue", prepare_take, v_requeue },
	{ "len", attach, v_len },
	{ "shutdown", attach, v_shutdown },
};

/* ---- what happens meanwhile ---- */

static void m_put(void)
{
	EXPECT_EQ(0, do_put(40));
}

static void m_get(void)
{
	EXPECT_EQ(0, get_ok(do_get()));
}

static void m_fill(void)
{
	for (uint64_t v = 40; v < 44; v++)
		EXPECT_EQ(0, do_put(v));
}

static void m_drain(void)
{
	int v;

	while ((v = do_get()) >= 0)
		;
	EXPECT_EQ(0, get_ok(v));
}

/* The ring goes round, more than once: whatever the victim has looked at is of an earlier lap. */
static void m_laps(void)
{
	for (uint64_t v = 40; v < 50; v++) {
		EXPECT_EQ(0, do_put(v));
		EXPECT_EQ(0, get_ok(do_get()));
	}
}

static void m_full_laps(void)
{
	m_fill();
	m_drain();
	for (uint64_t v = 44; v < 48; v++)
		EXPECT_EQ(0, do_put(v));
}

static void m_abort_laps(void)
{
	for (int i = 0; i < 8; i++) {
		struct kipc_msg m;

		if (!kipc_queue_reserve(queue, 8, &m, KIPC_NOWAIT))
			EXPECT_EQ(0, kipc_queue_abort(queue, &m));
	}
	EXPECT_EQ(0, do_put(40));
}

static void m_requeue(void)
{
	struct kipc_msg m;

	if (!kipc_queue_take(queue, &m, KIPC_NOWAIT))
		EXPECT_EQ(0, kipc_queue_requeue(queue, &m));
}

/* What was returned is taken, acknowledged, and its place used again. */
static void m_requeue_and_laps(void)
{
	m_requeue();
	m_laps();
}

static const struct {
	const char *name;
	void (*fn)(void);
} meanwhile[] = {
	{ "put", m_put },
	{ "get", m_get },
	{ "fill", m_fill },
	{ "drain", m_drain },
	{ "laps", m_laps },
	{ "full laps", m_full_laps },
	{ "abort laps", m_abort_laps },
	{ "requeue", m_requeue },
	{ "requeue and laps", m_requeue_and_laps },
};

/* ---- */

static bool balanced(uint64_t dropped)
{
	uint64_t missing = 0;
	int v;

	/* the rest */
	while ((v = do_get()) >= 0)
		;
	if (!EXPECT_EQ(0, get_ok(v)))
		return false;
	for (int i = 0; i < VALUES; i++) {
		if (ledger->got[i] > ledger->put[i] || ledger->put[i] > 1) {
			ksft_log("message %d: put %u times, got %u times", i, ledger->put[i],
				 ledger->got[i]);
			return EXPECT_EQ(ledger->put[i], ledger->got[i]);
		}
		missing += ledger->put[i] - ledger->got[i];
	}
	return EXPECT_EQ(dropped, missing);
}

static void make(uint32_t overflow, uint32_t capacity, int prefill, bool stir)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = 8,
		  .overflow = overflow, .max_peers = 4);

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &queue));
	memset(ledger, 0, sizeof(*ledger));
	if (stir) {
		struct kipc_msg m;

		/* something was returned, is gone, and nobody has noticed that yet */
		ASSERT_EQ(0, do_put(0));
		ASSERT_EQ(0, kipc_queue_take(queue, &m, KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_queue_requeue(queue, &m));
		ASSERT_EQ(0, do_get());
	}
	for (int i = 1; i <= prefill; i++)
		ASSERT_EQ(0, do_put((uint64_t)i));
}

/* One pair, stopped after n instructions.  False: it went wrong; *inside: the victim wasn't through. */
static bool pair(size_t victim, size_t other, uint32_t overflow, uint32_t capacity, int prefill,
		 long n, bool *inside)
{
	static struct stepped s;
	bool ok;

	make(overflow, capacity, prefill, n & 1);
	step_start(&s, victims[victim].prepare, victims[victim].op, NULL);
	*inside = step_run(&s, n);
	meanwhile[other].fn();
	step_release(&s);
	ok = EXPECT_EQ(0, step_finish(&s));
	EXPECT_EQ(1, __kipc_peer_sweep(&queue->obj.seg, 0));
	ok = balanced(stat_of(queue).dropped) && ok;
	ok = EXPECT_EQ(0, kipc_queue_len(queue)) && ok;
	EXPECT_EQ(0, kipc_queue_join(queue, KIPC_NOWAIT));
	if (overflow == KIPC_OVERFLOW_BLOCK && !stat_of(queue).shutdown)
		check_works(queue);
	if (!ok)
		ksft_log("%s, stopped after %ld instructions, %s meanwhile; %d of %u before",
			 victims[victim].name, s.steps, meanwhile[other].name, prefill, capacity);
	kipc_queue_close(queue);
	return ok;
}

/*
 * All pairs at every instruction take an hour: KIPC_STRIDE=1 does that.  Otherwise each pair is tried
 * at two places, which differ from pair to pair.
 */
static void all_pairs(uint32_t overflow, uint32_t capacity, int prefill)
{
	const char *env = getenv("KIPC_STRIDE");
	/* instructions of the interesting part; a sanitizer makes ten of one */
	long stride = env ? atol(env) : 0, part = ksft_slow() ? 2000 : 200;
	unsigned int seed = capacity * 10 + (unsigned int)prefill;

	ksft_needs_processes();
	ledger = ksft_shared(sizeof(*ledger));
	for (size_t v = 0; v < ARRAY_SIZE(victims); v++) {
		/* nothing to take, or no room to reserve: that victim has nothing to do */
		if ((victims[v].prepare == prepare_take && !prefill) ||
		    (victims[v].prepare == prepare_reserve && prefill == (int)capacity))
			continue;
		for (size_t m = 0; m < ARRAY_SIZE(meanwhile); m++) {
			bool inside = true;

			for (long n = 0; stride > 0 && inside; n += stride)
				if (!pair(v, m, overflow, capacity, prefill, n, &inside))
					return;
			for (int i = 0; stride <= 0 && i < (ksft_slow() ? 1 : 2); i++)
				if (!pair(v, m, overflow, capacity, prefill, rand_r(&seed) % part,
					  &inside))
					return;
		}
	}
}

TEST_TIMEOUT(one_cell_empty, LIMIT)
{
	all_pairs(KIPC_OVERFLOW_BLOCK, 1, 0);
}

TEST_TIMEOUT(one_cell_full, LIMIT)
{
	all_pairs(KIPC_OVERFLOW_BLOCK, 1, 1);
}

TEST_TIMEOUT(three_cells, LIMIT)
{
	all_pairs(KIPC_OVERFLOW_BLOCK, 3, 2);
}

TEST_TIMEOUT(three_cells_full, LIMIT)
{
	all_pairs(KIPC_OVERFLOW_BLOCK, 3, 3);
}

TEST_TIMEOUT(dropping, LIMIT)
{
	all_pairs(KIPC_OVERFLOW_DROP_OLDEST, 3, 3);
}

/*
 * A getter looks for returned messages, of which there are none, while one is returned behind it: it
 * may not conclude that there are still none.
 */
TEST(requeue_behind_a_scan)
{
	static struct stepped s;
	bool inside = true, ok = true;

	ksft_needs_processes();
	ledger = ksft_shared(sizeof(*ledger));
	/* it is through with the scan long before it gives up */
	for (long n = 0; inside && ok && n < 250 * ksft_scale(1); n += ksft_slow() ? 41 : 3) {
		struct kipc_msg m;

		make(KIPC_OVERFLOW_BLOCK, 3, 1, true);
		ASSERT_EQ(0, kipc_queue_take(queue, &m, KIPC_NOWAIT));
		step_start(&s, attach, v_get, NULL);
		inside = step_run(&s, n);
		EXPECT_EQ(0, kipc_queue_requeue(queue, &m));
		step_release(&s);
		EXPECT_EQ(0, step_finish(&s));
		ok = balanced(0);
		if (!ok)
			ksft_log("stopped after %ld instructions", s.steps);
		kipc_queue_close(queue);
	}
}

/* ---- shutdown ---- */

static void shut_down(void)
{
	EXPECT_EQ(0, kipc_queue_shutdown(queue));
}

/* A put either is in, and is had by the last get, or was refused. */
TEST(put_and_shutdown)
{
	struct stepped s = { 0 };
	bool inside = true;

	ksft_needs_processes();
	ledger = ksft_shared(sizeof(*ledger));
	for (long n = 0; inside; n += ksft_slow() ? 101 : 5) {
		int v;

		make(KIPC_OVERFLOW_BLOCK, 3, 1, n & 1);
		step_start(&s, attach, v_put, NULL);
		inside = step_run(&s, n);
		shut_down();
		v = do_get();
		EXPECT_EQ(1, v);
		v = do_get();
		/* not the end as long as it may still come */
		EXPECT_TRUE(v == 20 || v == -EAGAIN || v == -EPIPE);
		step_release(&s);
		EXPECT_EQ(0, step_finish(&s));
		if (v == -EPIPE)
			EXPECT_EQ(0, ledger->put[20]);
		balanced(0);
		EXPECT_EQ(-EPIPE, do_get());
		kipc_queue_close(queue);
	}
}

/* A getter isn't told that nothing is left, when something was given back before the shutdown. */
TEST(requeue_then_shutdown)
{
	struct stepped s = { 0 };
	bool inside = true;

	ksft_needs_processes();
	ledger = ksft_shared(sizeof(*ledger));
	for (long n = 0; inside && n < 4000; n += ksft_slow() ? 211 : 5) {
		struct kipc_msg m;

		make(KIPC_OVERFLOW_BLOCK, 3, 1, false);
		ASSERT_EQ(0, kipc_queue_take(queue, &m, KIPC_NOWAIT));
		step_start(&s, attach, v_get_to_the_end, NULL);
		/* two rounds of the loop are as good as all */
		inside = step_run(&s, n) && n < 300 * ksft_scale(1);
		EXPECT_EQ(0, kipc_queue_requeue(queue, &m));
		shut_down();
		step_release(&s);
		EXPECT_EQ(0, step_finish(&s));
		if (!EXPECT_EQ(1, ledger->got[1])) {
			ksft_log("stopped after %ld instructions", s.steps);
			return;
		}
		kipc_queue_close(queue);
	}
}

/*
 * Hints go back: a producer that was stopped between its claim and its store to tail stores long after
 * the others filled the ring; and another, that read tail before that, claims a batch there.  What is
 * left of tail then is nearly two rings behind, and has to be found again.
 */
static int v_put_more(void *arg)
{
	uint64_t in[3] = { 30, 31, 32 };
	struct iovec iov[3] = { { &in[0], 8 }, { &in[1], 8 }, { &in[2], 8 } };
	int r = kipc_queue_put_many(queue, iov, 3, KIPC_NOWAIT);

	(void)arg;
	for (int i = 0; i < r; i++)
		ledger->put[30 + i]++;
	return r > 0 || r == -EAGAIN ? 0 : r;
}

/* The first is stopped `after` instructions after its claim, the second one after `before`. */
static bool two_stopped(long after, long before, bool kill_second, bool *inside)
{
	static struct stepped a, b;
	bool ok;

	make(KIPC_OVERFLOW_BLOCK, 3, 0, false);
	step_start(&a, attach, v_put, NULL);
	while (cell_phase(load_acquire(&cell_at(queue, 0)->state)) == KIPC_CELL_FREE)
		step_run(&a, 1);
	step_run(&a, after);
	for (uint64_t v = 40; v < 42; v++)
		EXPECT_EQ(0, do_put(v));
	step_start(&b, attach, v_put_more, NULL);
	*inside = step_run(&b, before);
	step_release(&a);
	ok = EXPECT_EQ(0, step_finish(&a));
	m_drain();
	if (kill_second) {
		step_kill(&b);
	} else {
		step_release(&b);
		ok = EXPECT_EQ(0, step_finish(&b)) && ok;
	}
	EXPECT_GE(__kipc_peer_sweep(&queue->obj.seg, 0), 1);
	m_drain();
	for (uint64_t v = 50; v < 53; v++)
		ok = EXPECT_EQ(0, do_put(v)) && ok;
	ok = EXPECT_EQ(3, kipc_queue_len(queue)) && ok;
	ok = EXPECT_EQ(1, ledger->put[50]) && ok;
	ok = (kill_second || balanced(0)) && ok;
	m_drain();
	check_works(queue);
	if (!ok)
		ksft_log("stopped %ld instructions after the claim, and %ld after the start", after,
			 before);
	kipc_queue_close(queue);
	return ok;
}

TEST_TIMEOUT(hints_go_back, LIMIT)
{
	const char *env = getenv("KIPC_STRIDE");
	long stride = env ? atol(env) : ksft_slow() ? 151 : 19;

	ksft_needs_processes();
	ledger = ksft_shared(sizeof(*ledger));
	ASSERT_GT(stride, 0);
	/* it claims early, too; what comes later than that is nothing new */
	for (long after = env ? 0 : 10; after < 12; after++) {
		bool inside = true;

		for (long before = after % stride; inside && before < 150 * ksft_scale(1);
		     before += stride)
			if (!two_stopped(after, before, before & 1, &inside))
				return;
	}
}

TEST_HARNESS_MAIN
