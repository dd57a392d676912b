// SPDX-License-Identifier: MIT
/* What ipc-inspect trace sees of known traffic: each event, once, with what it took. */
#include <kipc/list.h>

#include "trace_test.h"

TEST(every_put_and_every_get)
{
	struct stage *s;
	struct tracer t;
	pid_t in, out;

	skip_without_tool();
	s = stage_with_queue();
	out = ksft_fork(consume, s);
	in = ksft_fork(produce, s);
	trace_start(&t, "--jsonl", target_of(kipc_queue_object(s->q)));
	go(s, 1);
	ksft_join(in);
	ksft_join(out);
	trace_stop(&t, SIGINT);
	EXPECT_EQ(0, t.run.code);
	EXPECT_EVENTS(&t,
		      "n, put, get = %d, of('queue_put'), of('queue_get')\n"
		      "assert total['dropped_events'] == total['unread_events'] == 0, total\n"
		      "assert total['missed_events'] == 0, total\n"
		      "assert total['total_events'] == len(e), total\n"
		      "assert sorted(x['position'] for x in put) == list(range(n)), put\n"
		      "assert sorted(x['position'] for x in get) == list(range(n)), get\n"
		      "assert {x['pid'] for x in put} == {x['tid'] for x in put} == {%d}, put\n"
		      "assert {x['pid'] for x in get} == {x['tid'] for x in get} == {%d}, get\n"
		      "assert {x['length_bytes'] for x in put + get} == {5}\n"
		      "assert not any(x['redelivered'] for x in get)\n"
		      "t = {x['position']: x['time_ns'] for x in put}\n"
		      "for x in get:\n"
		      "    assert x['time_ns'] - t[x['position']] == x['queued_ns'], x\n"
		      "assert {x['kind'] for x in e} == {'queue'}\n"
		      "assert len({x['id'] for x in e}) == 1\n",
		      MESSAGES, in, out);
	run_free(&t.run);
}

static int get_two(void *arg)
{
	struct stage *s = arg;
	char buf[64];

	EXPECT_EQ(5, kipc_queue_get(s->q, buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_EQ(5, kipc_queue_get(s->q, buf, sizeof(buf), KIPC_FOREVER));
	return 0;
}

TEST(who_blocks_is_woken)
{
	struct stage *s;
	struct tracer t;
	pid_t child;

	skip_without_tool();
	s = stage_with_queue();
	child = ksft_fork(get_two, s);
	trace_start(&t, "--jsonl", target_of(kipc_queue_object(s->q)));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(ksft_wait_for(ksft_asleep(child), 5000));
		ASSERT_EQ(0, kipc_queue_put(s->q, "hello", 5, KIPC_FOREVER));
		ASSERT_TRUE(ksft_wait_for(kipc_queue_empty(s->q), 5000));
	}
	ksft_join(child);
	trace_stop(&t, SIGTERM);
	EXPECT_EQ(0, t.run.code);
	/* asleep from before the trace on; then everything, in its order */
	EXPECT_EVENTS(&t,
		      "his = [x for x in e if x['pid'] == %d]\n"
		      "names = [x['event'] for x in his]\n"
		      "first = ['bell_woken', 'queue_get', 'queue_block', 'bell_sleep']\n"
		      "assert names == first + ['bell_woken', 'queue_get'], names\n"
		      "woken = of('bell_woken')\n"
		      "wake = of('bell_wake')\n"
		      "assert [x['pid'] for x in wake] == [%d, %d], wake\n"
		      "for a, b in zip(wake, woken):\n"
		      "    assert a['bell'] == b['bell'] == 'readable' and b['cause'] == 'bell', b\n"
		      "    assert b['wakeup_ns'] == b['time_ns'] - a['time_ns'] > 0, (a, b)\n",
		      child, getpid(), getpid());
	run_free(&t.run);
}

static int take_and_die(void *arg)
{
	struct stage *s = arg;
	struct kipc_msg msg;

	wait_go(s, 1);
	EXPECT_EQ(0, kipc_queue_take(s->q, &msg, KIPC_FOREVER));
	store_release(&s->at, 1);
	pause();
	return 0;
}

TEST(a_repair_and_a_redelivery)
{
	struct stage *s;
	struct tracer t;
	pid_t child;
	char buf[64];

	skip_without_tool();
	s = stage_with_queue();
	child = ksft_fork(take_and_die, s);
	trace_start(&t, "--jsonl", target_of(kipc_queue_object(s->q)));
	ASSERT_EQ(0, kipc_queue_put(s->q, "hello", 5, KIPC_FOREVER));
	go(s, 1);
	wait_at(s, 1);
	ksft_kill(child);
	ASSERT_EQ(5, kipc_queue_get(s->q, buf, sizeof(buf), 20000000000));
	trace_stop(&t, SIGINT);
	EXPECT_EVENTS(&t,
		      "repair, again, get = of('repair'), of('queue_redeliver'), of('queue_get')\n"
		      "assert len(repair) == 1 and repair[0]['claims'] == 1, repair\n"
		      "assert repair[0]['slot'] == 2 and repair[0]['pid'] == %d, repair\n"
		      "assert len(again) == 1 and again[0]['position'] == 0, again\n"
		      "assert [x['redelivered'] for x in get] == [False, True], get\n"
		      "assert get[0]['queued_ns'] > 0 and get[1]['queued_ns'] is None, get\n",
		      getpid());
	run_free(&t.run);
}

static int send_some(void *arg)
{
	struct stage *s = arg;

	kipc_pipe_close(s->ends[0]);
	wait_go(s, 1);
	for (int i = 0; i < MESSAGES; i++)
		EXPECT_EQ(0, kipc_pipe_send(s->ends[1], "hello", 5, KIPC_FOREVER));
	kipc_pipe_close(s->ends[1]);
	return 0;
}

TEST(a_pipe_until_it_hangs_up)
{
	char buf[64], target[32];
	struct stage *s;
	struct tracer t;
	pid_t child;

	skip_without_tool();
	s = ksft_shared(sizeof(*s));
	ASSERT_EQ(0, kipc_pipe_create(NULL, s->ends));
	child = ksft_fork(send_some, s);
	kipc_pipe_close(s->ends[1]);
	snprintf(target, sizeof(target), "%s", target_of(kipc_pipe_object(s->ends[0])));
	trace_start(&t, "--jsonl", target);
	go(s, 1);
	for (int i = 0; i < MESSAGES; i++)
		ASSERT_EQ(5, kipc_pipe_recv(s->ends[0], buf, sizeof(buf), KIPC_FOREVER));
	ASSERT_EQ(-EPIPE, kipc_pipe_recv(s->ends[0], buf, sizeof(buf), KIPC_FOREVER));
	ksft_join(child);
	trace_stop(&t, SIGINT);
	EXPECT_EVENTS(&t,
		      "n, send, recv, hangup = %d, of('pipe_send'), of('pipe_recv'), "
		      "of('pipe_hangup')\n"
		      "assert total['total_events'] == len(e), total\n"
		      "assert [x['position'] for x in send] == [16 * i for i in range(n)], send\n"
		      "assert [x['position'] for x in recv] == [16 * i for i in range(n)], recv\n"
		      "assert {x['end'] for x in send} == {1} and {x['pid'] for x in send} == {%d}\n"
		      "assert {x['end'] for x in recv} == {0} and {x['pid'] for x in recv} == {%d}\n"
		      "assert all(x['queued_ns'] >= 0 for x in recv)\n"
		      "assert [x['end'] for x in hangup] == [0], hangup\n"
		      "assert {x['kind'] for x in e} == {'pipe'}\n",
		      MESSAGES, child, getpid());
	run_free(&t.run);
}

/* ---- locks ---- */

static int hold(void *arg)
{
	struct stage *s = arg;

	wait_go(s, 1);
	EXPECT_EQ(0, kipc_lock_acquire(s->lock, KIPC_FOREVER));
	store_release(&s->at, 1);
	wait_go(s, 2);
	EXPECT_EQ(0, kipc_lock_release(s->lock));
	return 0;
}

static int want(void *arg)
{
	struct stage *s = arg;
	int r;

	wait_at(s, 1);
	store_release(&s->at, 2);
	r = kipc_lock_acquire(s->lock, KIPC_FOREVER);
	EXPECT_TRUE(r == 0 || r == -EOWNERDEAD);
	EXPECT_EQ(0, kipc_lock_release(s->lock));
	return 0;
}

/* What of the events belongs to the one lock that somebody waits for. */
#define THE_LOCK                                                                                   \
	"at = {x['lock_offset_bytes'] for x in of('lock_wait')}\n"                                 \
	"assert len(at) == 1, at\n"                                                                \
	"e = [x for x in e if x.get('lock_offset_bytes') in at]\n"

/* Traced from the beginning: one holds the lock, another sleeps for it. */
static struct stage *two_want_a_lock(struct tracer *t, pid_t *holder, pid_t *waiter)
{
	struct stage *s;

	skip_without_tool();
	s = stage_with_lock();
	*holder = ksft_fork(hold, s);
	*waiter = ksft_fork(want, s);
	trace_start(t, "--jsonl", target_of(kipc_manager_object(s->m)));
	go(s, 1);
	wait_at(s, 2);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(*waiter), 5000));
	return s;
}

TEST(a_lock_is_waited_for_and_held)
{
	pid_t holder, waiter;
	struct tracer t;
	struct stage *s = two_want_a_lock(&t, &holder, &waiter);

	go(s, 2);
	ksft_join(holder);
	ksft_join(waiter);
	trace_stop(&t, SIGINT);
	EXPECT_EVENTS(&t,
		      THE_LOCK
		      "holder, waiter = %d, %d\n"
		      "names = [(x['event'], x['pid']) for x in e]\n"
		      "assert names == [('lock_acquire', holder), ('lock_wait', waiter), "
		      "('lock_release', holder), ('lock_acquire', waiter), "
		      "('lock_release', waiter)], names\n"
		      "a, w, r, b, c = e\n"
		      "assert not a['waited'] and a['waited_ns'] is None, a\n"
		      "assert w['owner_slot'] == 2, w\n"
		      "assert r['woke'] and r['held_ns'] == r['time_ns'] - a['time_ns'], r\n"
		      "assert b['waited'] and b['waited_ns'] == b['time_ns'] - w['time_ns'], b\n"
		      "assert c['held_ns'] == c['time_ns'] - b['time_ns'], c\n",
		      holder, waiter);
	run_free(&t.run);
}

TEST(a_lock_is_taken_over_from_the_dead)
{
	pid_t holder, waiter;
	struct tracer t;

	two_want_a_lock(&t, &holder, &waiter);
	ksft_kill(holder);
	ksft_join(waiter);
	trace_stop(&t, SIGINT);
	EXPECT_EVENTS(&t,
		      "repair = of('repair')\n" THE_LOCK
		      "holder, waiter = %d, %d\n"
		      "names = [(x['event'], x['pid']) for x in e]\n"
		      "assert names == [('lock_acquire', holder), ('lock_wait', waiter), "
		      "('lock_acquire', waiter), ('lock_takeover', waiter), "
		      "('lock_release', waiter)], names\n"
		      "assert len(repair) == 1 and repair[0]['claims'] >= 1, repair\n"
		      "assert repair[0]['pid'] == waiter, repair\n",
		      holder, waiter);
	run_free(&t.run);
}

static int fill_arena(void *arg)
{
	static char text[65536];
	struct stage *s = arg;
	struct kipc_list *l;

	memset(text, 'x', sizeof(text) - 1);
	wait_go(s, 1);
	ASSERT_EQ(0, kipc_list_create(s->m, NULL, &l));
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(0, kipc_list_append(l, kipc_str(text)));
	return 0;
}

TEST(an_arena_grows)
{
	struct stage *s;
	struct tracer t;
	pid_t child;

	skip_without_tool();
	s = stage_with_lock();
	child = ksft_fork(fill_arena, s);
	trace_start(&t, "--jsonl", "-p", pid_target(child) + 4);
	go(s, 1);
	ksft_join(child);
	trace_end(&t);
	EXPECT_EQ(0, t.run.code);
	EXPECT_EVENTS(&t, "grow = of('arena_grow')\n"
			  "assert grow, [x['event'] for x in e]\n"
			  "assert all(x['new_bytes'] > x['old_bytes'] for x in grow), grow\n"
			  "assert grow[-1]['new_bytes'] >= 64 * 65536, grow\n"
			  "assert {x['kind'] for x in e} == {'manager'}\n");
	run_free(&t.run);
}

/* ---- of whom ---- */

TEST(one_process_of_two)
{
	struct stage *s;
	struct tracer t;
	pid_t in, out;

	skip_without_tool();
	s = stage_with_queue();
	out = ksft_fork(consume, s);
	in = ksft_fork(produce, s);
	trace_start(&t, "--jsonl", "-p", pid_target(in) + 4);
	go(s, 1);
	ksft_join(out);
	ksft_join(in);
	/* it ends with the process */
	trace_end(&t);
	EXPECT_EQ(0, t.run.code);
	EXPECT_EVENTS(&t,
		      "assert {x['pid'] for x in e} == {%d}\n"
		      "assert len(of('queue_put')) == %d and not of('queue_get')\n",
		      in, MESSAGES);
	run_free(&t.run);
}

TEST(one_object_of_two)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 8, .msg_size = 64);
	struct kipc_queue *other;
	struct stage *s;
	struct tracer t;
	char buf[8];

	skip_without_tool();
	s = stage_with_queue();
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &other));
	trace_start(&t, "--jsonl", target_of(kipc_queue_object(other)));
	ASSERT_EQ(0, kipc_queue_put(s->q, "a", 1, KIPC_FOREVER));
	ASSERT_EQ(0, kipc_queue_put(other, "ab", 2, KIPC_FOREVER));
	ASSERT_EQ(2, kipc_queue_get(other, buf, sizeof(buf), KIPC_FOREVER));
	trace_stop(&t, SIGINT);
	EXPECT_EVENTS(&t, "assert [x['event'] for x in e] == ['queue_put', 'queue_get'], e\n"
			  "assert [x['length_bytes'] for x in e] == [2, 2], e\n");
	run_free(&t.run);
}

TEST_HARNESS_MAIN
