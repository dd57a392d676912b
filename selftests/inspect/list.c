// SPDX-License-Identifier: MIT
/* What ipc-inspect list says of live objects in known states. */
#include <sys/prctl.h>
#include <sys/resource.h>

#include <kipc/array.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "inspect.h"

#define NOBODY 65534

static struct kipc_queue *small_queue(uint32_t capacity)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = 32);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	return q;
}

static struct run list_own(void)
{
	return inspect("list", "-J", pid_target(getpid()));
}

TEST(every_kind)
{
	uint64_t shape[] = { 100, 50 };
	struct kipc_pipe *ends[2];
	struct kipc_manager *m;
	struct kipc_array *a;
	struct kipc_queue *q;
	struct kipc_shm *s;
	char *script;
	struct run r;

	skip_without_tool();
	q = small_queue(4);
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "hello", 5, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_create(NULL, 10000, NULL, &s));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 2, shape, NULL, &a));
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	r = list_own();
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	ASSERT_LT(0, asprintf(&script,
			      "pid = %d; uid = %d\n"
			      "assert [x['kind'] for x in objects] == "
			      "['queue', 'pipe', 'shm', 'array', 'manager']\n"
			      "for x in objects:\n"
			      "    assert x['state'] == ['ok'] and x['name'] is None, x\n"
			      "    assert x['holder_pids'] == [pid] and "
			      "x['creator_pid'] == pid, x\n"
			      "    assert x['creator_uid'] == uid and "
			      "0 <= x['age_seconds'] < 1000, x\n"
			      "    assert x['page_bytes'] == 4096 and "
			      "x['size_bytes'] %% 4096 == 0, x\n"
			      "    assert x['resident_bytes'] <= x['size_bytes'], x\n"
			      "    assert len(x['id']) == 16 and int(x['id'], 16), x\n"
			      "    assert x['object'].startswith('%%d:' %% pid), x\n"
			      "    assert x['waiters'] == 0 and x['dead_peers'] == 0, x\n"
			      "assert len({x['id'] for x in objects}) == 5\n"
			      "assert [x['peers'] for x in objects] == [1, 2, 1, 1, 1]\n"
			      "assert [x['depth'] for x in objects[:4]] == [1, 16, None, None]\n"
			      "assert [x['capacity'] for x in objects[:4]] == [4, 131072, 10000, "
			      "5000]\n"
			      "assert objects[4]['depth'] <= objects[4]['capacity']\n"
			      "assert [x['unit'] for x in objects] == "
			      "['messages', 'bytes', 'bytes', 'elements', 'bytes']\n"
			      "assert objects[3]['shape'] == 'float64[100,50]'\n",
			      getpid(), geteuid()));
	EXPECT_JSON(r.out, script);
	free(script);
	run_free(&r);

	/* closed is gone */
	kipc_queue_close(q);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
	kipc_shm_close(s);
	kipc_array_close(a);
	kipc_manager_close(m);
	r = list_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert objects == []");
	run_free(&r);
}

/* The first line of a table with these columns. */
static void headings(const char *columns, const char *want)
{
	struct run r = inspect("-r", "-o", (char *)columns, pid_target(getpid()));

	EXPECT_EQ(0, r.code);
	r.out[strcspn(r.out, "\n")] = '\0';
	EXPECT_STREQ(want, r.out);
	run_free(&r);
}

TEST(table)
{
	struct kipc_queue *q;
	struct run r;
	char want[64];

	skip_without_tool();
	q = small_queue(3);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	r = inspect("-r", "-b", "-o", "kind,DEPTH,CAPACITY,STATE,HOLDERS", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	snprintf(want, sizeof(want), "KIND DEPTH CAPACITY STATE HOLDERS\nqueue 3 3 full %d\n",
		 getpid());
	EXPECT_STREQ(want, r.out);
	run_free(&r);
	r = inspect("-n", "-o", "KIND", pid_target(getpid()));
	EXPECT_STREQ("queue\n", r.out);
	run_free(&r);
	headings("state,KIND", "STATE KIND");
	headings("KIND,kind", "KIND");
	headings("+DEAD,kind",
		 "KIND NAME ID OBJECT SIZE PAGE DEPTH CAPACITY PEERS WAITERS STATE AGE HOLDERS "
		 "DEAD");
	kipc_queue_close(q);
}

TEST(queue_states)
{
	struct kipc_queue *q;
	struct run r;
	char c;

	skip_without_tool();
	q = small_queue(3);
	/* at every place of the ring, and over some laps */
	for (int i = 0; i < 4; i++) {
		for (int n = 0; n < 3; n++)
			ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
		r = list_own();
		EXPECT_EQ(0, r.code);
		EXPECT_TRUE(strstr(r.out, "\"full\"") && strstr(r.out, "\"depth\": 3"));
		run_free(&r);
		ASSERT_EQ(1, kipc_queue_get(q, &c, 1, KIPC_NOWAIT));
		r = list_own();
		EXPECT_TRUE(strstr(r.out, "\"ok\"") && strstr(r.out, "\"depth\": 2"));
		run_free(&r);
		ASSERT_EQ(1, kipc_queue_get(q, &c, 1, KIPC_NOWAIT));
		ASSERT_EQ(1, kipc_queue_get(q, &c, 1, KIPC_NOWAIT));
	}
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_shutdown(q));
	r = list_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['state'] == ['shutdown'] and o['depth'] == 1");
	run_free(&r);
	kipc_queue_close(q);
}

/* A message that is taken counts for the capacity, one that was given back is there again. */
TEST(queue_taken_and_returned)
{
	struct kipc_queue *q;
	struct kipc_msg msg;
	struct run r;

	skip_without_tool();
	q = small_queue(2);
	ASSERT_EQ(0, kipc_queue_put(q, "a", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_put(q, "b", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	r = list_own();
	EXPECT_JSON(r.out, "assert o['depth'] == 1 and o['state'] == ['full']");
	run_free(&r);
	ASSERT_EQ(0, kipc_queue_requeue(q, &msg));
	r = list_own();
	EXPECT_JSON(r.out, "assert o['depth'] == 2 and o['state'] == ['full']");
	run_free(&r);
	kipc_queue_close(q);
}

/* head lags by any number of laps when messages are dropped and none is taken. */
TEST(queue_dropping)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 3, .msg_size = 32,
		  .overflow = KIPC_OVERFLOW_DROP_OLDEST);
	struct kipc_queue *q;
	struct kipc_msg msg;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	r = list_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['depth'] == 3 and o['state'] == ['full'], o");
	run_free(&r);
	/* a place that was given up between two messages is none */
	ASSERT_EQ(0, kipc_queue_reserve(q, 1, &msg, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_abort(q, &msg));
	r = list_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['depth'] == 2, o");
	run_free(&r);
	kipc_queue_close(q);
}

static int get_one(void *q)
{
	char c;

	return kipc_queue_get(q, &c, 1, KIPC_FOREVER) == 1 ? 0 : 1;
}

TEST(blocked_consumer)
{
	struct kipc_queue *q;
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	struct run r;
	pid_t pid;

	skip_without_tool();
	q = small_queue(4);
	pid = ksft_fork(get_one, q);
	ASSERT_TRUE(ksft_wait_for(!kipc_queue_stat(q, &st) && st.readers_waiting == 1 &&
					  ksft_asleep(pid),
				  5000));
	r = list_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['waiters'] == 1 and o['peers'] == 2\n"
			   "assert len(o['holder_pids']) == 2 and len(objects) == 1");
	run_free(&r);
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	ksft_join(pid);
	kipc_queue_close(q);
}

TEST(pipe_states)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096, .flags = KIPC_PIPE_SIMPLEX);
	struct kipc_pipe *ends[2];
	char buf[1000] = { 0 };
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_pipe_create(&opts, ends));
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kipc_pipe_send(ends[1], buf, sizeof(buf), KIPC_NOWAIT));
	r = list_own();
	EXPECT_JSON(r.out, "assert o['depth'] == 4 * 1008 and o['capacity'] == 4096\n"
			   "assert o['state'] == ['ok']");
	run_free(&r);
	ASSERT_EQ(0, kipc_pipe_send(ends[1], buf, 56, KIPC_NOWAIT));
	r = list_own();
	EXPECT_JSON(r.out, "assert o['depth'] == 4096 and o['state'] == ['full']");
	run_free(&r);
	ASSERT_EQ(0, kipc_pipe_shutdown(ends[1]));
	r = list_own();
	EXPECT_JSON(r.out, "assert 'shutdown' in o['state']");
	run_free(&r);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

static int churn(void *arg)
{
	struct kipc_queue *q = arg;
	char buf[32];

	for (;;) {
		kipc_queue_put(q, buf, 32, KIPC_NOWAIT);
		kipc_queue_get(q, buf, 32, KIPC_NOWAIT);
	}
	return 0;
}

static int churn_pipe(void *arg)
{
	struct kipc_pipe **ends = arg;
	char buf[100] = { 0 };

	for (;;) {
		kipc_pipe_send(ends[0], buf, sizeof(buf), KIPC_NOWAIT);
		kipc_pipe_recv(ends[1], buf, sizeof(buf), KIPC_NOWAIT);
	}
	return 0;
}

static int churn_shm(void *arg)
{
	for (;;) {
		kipc_shm_write_begin(arg, KIPC_FOREVER);
		kipc_shm_write_end(arg);
	}
	return 0;
}

/* What moves while we read is never called damaged or torn. */
TEST(in_motion)
{
	struct kipc_pipe *ends[2];
	struct kipc_queue *q;
	struct kipc_shm *s;
	pid_t pid[3];

	skip_without_tool();
	q = small_queue(5);
	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &s));
	pid[0] = ksft_fork(churn, q);
	pid[1] = ksft_fork(churn_pipe, ends);
	pid[2] = ksft_fork(churn_shm, s);
	for (int i = 0; i < (ksft_slow() ? 4 : 12); i++) {
		struct run r = inspect(i % 2 ? "list" : "show", "-J", pid_target(getpid()));

		EXPECT_EQ(0, r.code);
		if (!EXPECT_TRUE(!strstr(r.out, "damaged") && !strstr(r.out, "torn\"")))
			ksft_log("%s", r.out);
		run_free(&r);
	}
	for (int i = 0; i < 3; i++)
		ksft_kill(pid[i]);
	kipc_queue_close(q);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
	kipc_shm_close(s);
}

static int come_and_go(void *arg)
{
	(void)arg;
	for (;;) {
		struct kipc_queue *q = small_queue(1);
		pid_t pid = fork();

		if (!pid)
			ksft_child_exit(0);
		kipc_queue_close(q);
		waitpid(pid, NULL, 0);
	}
	return 0;
}

/* Objects and processes that vanish while they are read are left out, without a word. */
TEST(vanishing)
{
	pid_t pid;

	skip_without_tool();
	pid = ksft_fork(come_and_go, NULL);
	for (int i = 0; i < (ksft_slow() ? 4 : 20); i++) {
		struct run r = inspect("list", "-J", pid_target(pid));

		EXPECT_EQ(0, r.code);
		EXPECT_STREQ("", r.err);
		run_free(&r);
	}
	ksft_kill(pid);
}

static struct kipc_queue *users_queue(int uid)
{
	ASSERT_EQ(0, setgid((gid_t)uid));
	ASSERT_EQ(0, setuid((uid_t)uid));
	/* setuid() took that: without it only root may look into us */
	ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	return small_queue(1);
}

static int hold(void *ready)
{
	users_queue(NOBODY);
	__atomic_store_n((int *)ready, 1, __ATOMIC_RELEASE);
	pause();
	return 0;
}

static int hold_forbidden(void *ready)
{
	struct kipc_queue *q = users_queue(NOBODY);

	ASSERT_EQ(0, fchmod(kipc_queue_object(q)->seg.fd, 0));
	__atomic_store_n((int *)ready, 1, __ATOMIC_RELEASE);
	pause();
	return 0;
}

TEST(other_users)
{
	int *ready = ksft_shared(4096);
	struct run r;
	pid_t pid;

	skip_without_tool();
	if (geteuid())
		SKIP("not root: no other users to be had");
	pid = ksft_fork(hold, ready);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(ready, __ATOMIC_ACQUIRE), 5000));

	r = inspect("-J", pid_target(pid));		/* root sees it */
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['creator_uid'] == 65534");
	run_free(&r);
	r = inspect_as(NOBODY, "-J", pid_target(pid));	/* so does its user */
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['kind'] == 'queue'");
	run_free(&r);
	r = inspect_as(NOBODY - 1, "-J", pid_target(pid));
	EXPECT_EQ(4, r.code);
	EXPECT_TRUE(strstr(r.err, "not permitted"));
	run_free(&r);
	r = inspect_as(NOBODY - 1, "list", "-n");
	EXPECT_TRUE(r.code == 0 || r.code == 3);	/* other tests' objects may be damaged */
	EXPECT_TRUE(strstr(r.err, "not readable: run as root"));
	EXPECT_FALSE(strstr(strstr(r.err, "not readable") + 1, "not readable"));
	run_free(&r);
	ksft_kill(pid);
}

TEST(no_access)
{
	int *ready = ksft_shared(4096);
	struct run r;
	pid_t pid;

	skip_without_tool();
	if (geteuid())
		SKIP("not root: no other users to be had");
	pid = ksft_fork(hold_forbidden, ready);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(ready, __ATOMIC_ACQUIRE), 5000));
	r = inspect_as(NOBODY, "-J", pid_target(pid));
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['kind'] == 'queue' and o['state'] == ['no access']\n"
			   "assert o['size_bytes'] is None and o['id'] is None");
	run_free(&r);
	r = inspect_as(NOBODY, "show", pid_target(pid));
	EXPECT_EQ(4, r.code);
	run_free(&r);
	ksft_kill(pid);
}

static int close_descriptor(void *obj)
{
	close(((struct kipc_object *)obj)->seg.fd);
	pause();
	return 0;
}

/* A process that closed the descriptor has the object mapped all the same. */
TEST(only_mapped)
{
	struct kipc_queue *q;
	struct run r;
	char *script;
	pid_t pid;

	skip_without_tool();
	q = small_queue(1);
	pid = ksft_fork(close_descriptor, kipc_queue_object(q));
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 5000));
	r = list_own();
	ASSERT_LT(0, asprintf(&script, "assert len(objects) == 1 and sorted(o['holder_pids']) == "
				       "sorted([%d, %d]), o", getpid(), pid));
	EXPECT_JSON(r.out, script);
	free(script);
	run_free(&r);
	r = inspect("list", "-J", pid_target(pid));
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert len(objects) == 1 and o['state'] == ['ok']");
	run_free(&r);
	ksft_kill(pid);
	kipc_queue_close(q);
}

/* A descriptor that somebody was given and does nothing with. */
static int hold_alone(void *arg)
{
	int *ready = arg;
	struct kipc_queue *q = small_queue(1);
	int fd = dup(kipc_queue_object(q)->seg.fd);

	ASSERT_LE(0, fd);
	kipc_queue_close(q);
	__atomic_store_n(ready, fd, __ATOMIC_RELEASE);
	pause();
	return 0;
}

TEST(orphan)
{
	int *ready = ksft_shared(4096);
	struct run r;
	pid_t pid;

	skip_without_tool();
	pid = ksft_fork(hold_alone, ready);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(ready, __ATOMIC_ACQUIRE), 5000));
	r = inspect("list", "-J", pid_target(pid));
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['state'] == ['orphan'] and o['peers'] == 0");
	run_free(&r);
	ksft_kill(pid);
}

/* By the name that its header has, of whatever kind it is and whoever gave it (names.c: the broker). */
TEST(by_name)
{
	struct kipc_queue *q[2];
	struct run r;

	skip_without_tool();
	for (int i = 0; i < 2; i++)
		q[i] = small_queue(1 + (uint32_t)i);
	strcpy(kipc_queue_object(q[1])->seg.hdr->name, "inspect-test.by_name");
	r = inspect("list", "-J", "inspect-test.by_name");
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert len(objects) == 1 and o['capacity'] == 2\n"
			   "assert o['name'] == 'inspect-test.by_name'");
	run_free(&r);
	r = inspect("show", "-J", "inspect-test.by_name");
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert len(objects) == 1\n"
			   "assert o['summary']['name'] == 'inspect-test.by_name'");
	run_free(&r);
	r = inspect("list", "inspect-test");
	EXPECT_EQ(1, r.code);
	run_free(&r);
	for (int i = 0; i < 2; i++)
		kipc_queue_close(q[i]);
}

TEST(colors)
{
	struct kipc_queue *q;
	struct run r;

	skip_without_tool();
	q = small_queue(1);
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	setenv("NO_COLOR", "1", 1);
	r = inspect("list", "--color=always", pid_target(getpid()));
	EXPECT_TRUE(strstr(r.out, "\033[33mfull"));
	run_free(&r);
	r = inspect("show", "--color=always", pid_target(getpid()));
	EXPECT_TRUE(strstr(r.out, "\033[33mfull\033[0m"));
	run_free(&r);
	/* no terminal */
	r = inspect("list", "--color=auto", pid_target(getpid()));
	EXPECT_FALSE(strchr(r.out, '\033'));
	run_free(&r);
	r = inspect("list", "--color=never", pid_target(getpid()));
	EXPECT_FALSE(strchr(r.out, '\033'));
	run_free(&r);
	kipc_queue_close(q);
}

/* The target is 100 ms; no test fails by the clock, the log has the figure (-v). */
TEST_TIMEOUT(a_thousand_objects, 60)
{
	struct rlimit files;
	int64_t best = INT64_MAX;
	struct run r;
	int n = 1000;

	skip_without_tool();
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = files.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	if (files.rlim_cur < 5000)
		SKIP("only %lu descriptors a process", (unsigned long)files.rlim_cur);
	for (int i = 0; i < n; i++)
		small_queue(1 + (uint32_t)i % 7);
	for (int i = 0; i < (ksft_slow() ? 1 : 5); i++) {
		int64_t start = ksft_now_ns(), took;

		r = inspect("list", pid_target(getpid()));
		took = ksft_now_ns() - start;
		best = took < best ? took : best;
		EXPECT_EQ(0, r.code);
		run_free(&r);
	}
	ksft_log("list of %d objects: %ld ms", n, (long)(best / 1000000));
	r = list_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert len(objects) == 1000\n"
			   "assert sorted(x['capacity'] for x in objects) == "
			   "sorted(1 + i % 7 for i in range(1000))");
	run_free(&r);
}

TEST_HARNESS_MAIN
