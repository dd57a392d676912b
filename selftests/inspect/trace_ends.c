// SPDX-License-Identifier: MIT
/*
 * ipc-inspect trace: how it ends, what it counts, its histograms; what it does where the kernel gives
 * it less.
 */
#include <dlfcn.h>
#include <sched.h>
#include <sys/mount.h>

#include "trace_test.h"

#define NOBODY	65534

/* ---- the end ---- */

static int linger(void *arg)
{
	struct stage *s = arg;

	wait_go(s, 1);
	return 0;
}

TEST(the_time_is_up)
{
	struct stage *s;
	struct tracer t;
	pid_t child;

	skip_without_tool();
	s = stage_with_queue();
	child = ksft_fork(linger, s);
	trace_start(&t, "--duration", "0.05", "-p", pid_target(child) + 4);
	trace_end(&t);
	EXPECT_EQ(0, t.run.code);
	EXPECT_TRUE(strstr(t.run.err, "0 events, 0 dropped"));
	/* he didn't end, and is none the worse for it */
	EXPECT_EQ(0, kill(child, 0));
	go(s, 1);
	ksft_join(child);
	run_free(&t.run);
}

/* It stands still while more happens than its buffer of 8 MiB holds, at 88 bytes an event. */
#define FLOOD	60000
TEST(what_is_dropped_is_counted)
{
	uint64_t seen = 0, dropped = 0, lines = 0;
	struct stage *s;
	struct tracer t;
	char buf[64];

	skip_without_tool();
	s = stage_with_queue();
	trace_start(&t, "-n", target_of(kipc_queue_object(s->q)));
	kill(t.pid, SIGSTOP);
	for (int i = 0; i < FLOOD; i++) {
		ASSERT_EQ(0, kipc_queue_put(s->q, "x", 1, KIPC_NOWAIT));
		ASSERT_EQ(1, kipc_queue_get(s->q, buf, sizeof(buf), KIPC_NOWAIT));
	}
	kill(t.pid, SIGCONT);
	trace_stop(&t, SIGINT);
	EXPECT_EQ(0, t.run.code);
	for (const char *p = t.run.out; *p; p++)
		lines += *p == '\n';
	ASSERT_EQ(2, sscanf(strstr(t.run.err, "tracing;"), "%*[^\n] %lu events, %lu dropped", &seen,
			    &dropped));
	EXPECT_EQ(2 * FLOOD, seen);
	EXPECT_LT(0, dropped);
	EXPECT_EQ(seen, lines + dropped);
	run_free(&t.run);
}

static int never_stop(void *arg)
{
	struct stage *s = arg;
	char buf[64];

	for (;;) {
		ASSERT_EQ(0, kipc_queue_put(s->q, "x", 1, KIPC_NOWAIT));
		ASSERT_EQ(1, kipc_queue_get(s->q, buf, sizeof(buf), KIPC_NOWAIT));
	}
	return 0;
}

/*
 * Who goes on and on doesn't keep it from ending; an event that is under way then is printed, or
 * dropped, or none at all.
 */
TEST(an_end_in_the_middle)
{
	struct stage *s;
	struct tracer t;
	pid_t child;

	skip_without_tool();
	s = stage_with_queue();
	child = ksft_fork(never_stop, s);
	trace_start(&t, "--jsonl", target_of(kipc_queue_object(s->q)));
	ASSERT_TRUE(ksft_wait_for(lseek(t.out, 0, SEEK_END) > 0, 20000));
	trace_stop(&t, SIGINT);
	ksft_kill(child);
	EXPECT_EQ(0, t.run.code);
	EXPECT_EVENTS(&t, "assert total['total_events'] == len(e) + total['dropped_events'], total\n"
			  "assert len(e) > 0\n");
	run_free(&t.run);
}

/* ---- histograms ---- */

#define HIST                                                                                       \
	"h = {x['histogram']: x for x in e}\n"                                                     \
	"q = h['queued']\n"                                                                        \
	"for x in e:\n"                                                                            \
	"    assert sum(b['count'] for b in x['buckets']) == x['count'], x\n"                      \
	"    assert x['count'] == 0 or 0 <= x['mean_ns'] <= x['max_ns'], x\n"

TEST(histograms_count_everything)
{
	struct stage *s;
	struct tracer t;
	pid_t in, out;

	skip_without_tool();
	s = stage_with_queue();
	/* one that was put before the trace began can't be timed, and is counted as such */
	ASSERT_EQ(0, kipc_queue_put(s->q, "hello", 5, KIPC_NOWAIT));
	trace_start(&t, "--hist", "--jsonl", target_of(kipc_queue_object(s->q)));
	out = ksft_fork(consume, s);
	in = ksft_fork(produce, s);
	go(s, 1);
	ksft_join(in);
	ksft_join(out);
	trace_stop(&t, SIGINT);
	EXPECT_EQ(0, t.run.code);
	EXPECT_EVENTS(&t,
		      HIST "assert q['count'] == %d - 1 and q['unknown'] == 1, q\n"
			   "assert {x['kind'] for x in e} == {'queue'}\n"
			   "assert set(h) <= {'queued', 'wakeup', 'runnable'}, h\n"
			   "assert total['unmeasured_times'] == 0, total\n",
		      MESSAGES);
	run_free(&t.run);
}

#define LOADS	300

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* A load that measures itself: each message carries the time when it was put. */
static int64_t median_of_load(struct stage *s)
{
	static int64_t waited[LOADS];
	int64_t stamp;

	for (int i = 0; i < LOADS; i += 50) {
		for (int k = 0; k < 50; k++) {
			stamp = ksft_now_ns();
			ASSERT_EQ(0, kipc_queue_put(s->q, &stamp, sizeof(stamp), KIPC_NOWAIT));
		}
		for (int k = 0; k < 50; k++) {
			ASSERT_EQ(8, kipc_queue_get(s->q, &stamp, sizeof(stamp), KIPC_NOWAIT));
			waited[i + k] = ksft_now_ns() - stamp;
		}
	}
	qsort(waited, LOADS, sizeof(waited[0]), by_size);
	return waited[LOADS / 2];
}

TEST(histograms_agree_with_the_load)
{
	struct stage *s;
	struct tracer t;
	int64_t median;

	skip_without_tool();
	s = stage_with_queue();
	trace_start(&t, "--hist", "--jsonl", target_of(kipc_queue_object(s->q)));
	median = median_of_load(s);
	trace_stop(&t, SIGINT);
	/* the same messages, measured at two places a few instructions apart */
	EXPECT_EVENTS(&t,
		      HIST "own, n = %ld, 0\n"
			   "for b in q['buckets']:\n"
			   "    n += b['count']\n"
			   "    if 2 * n >= q['count']:\n"
			   "        break\n"
			   "assert b['from_ns'] / 4 <= own < b['to_ns'] * 4, (own, b)\n"
			   "assert q['count'] == %d, q\n",
		      median, LOADS);
	run_free(&t.run);
}

static int work_with_lock(void *arg)
{
	struct stage *s = arg;

	wait_go(s, 1);
	for (int i = 0; i < MESSAGES; i++) {
		EXPECT_EQ(0, kipc_lock_acquire(s->lock, KIPC_FOREVER));
		EXPECT_EQ(0, kipc_lock_release(s->lock));
	}
	return 0;
}

TEST(a_lock_histogram)
{
	pid_t children[2];
	struct stage *s;
	struct tracer t;

	skip_without_tool();
	s = stage_with_lock();
	for (int i = 0; i < 2; i++)
		children[i] = ksft_fork(work_with_lock, s);
	trace_start(&t, "--hist", "--jsonl", target_of(kipc_manager_object(s->m)));
	go(s, 1);
	for (int i = 0; i < 2; i++)
		ksft_join(children[i]);
	trace_stop(&t, SIGTERM);
	EXPECT_EVENTS(&t,
		      "held = [x for x in e if x['histogram'] == 'lock_held']\n"
		      "assert len(held) == 1 and held[0]['count'] >= 2 * %d, e\n"
		      "assert held[0]['unknown'] == 0 and held[0]['kind'] == 'manager', held\n",
		      MESSAGES);
	run_free(&t.run);
}

/* ---- the shared library, and one that was replaced ---- */

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value;
}

static int use_shared_library(void *arg)
{
	struct stage *s = arg;
	const char *path = getenv("TRACE_TEST_LIBRARY");
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int (*create)(const char *, const void *, struct kipc_queue **);
	int (*put)(struct kipc_queue *, const void *, size_t, int64_t);
	struct kipc_queue *q;

	ASSERT_TRUE(lib);
	create = (__typeof__(create))dlsym(lib, "kipc_queue_create");
	put = (__typeof__(put))dlsym(lib, "kipc_queue_put");
	ASSERT_TRUE(create && put);
	ASSERT_EQ(0, create(NULL, NULL, &q));
	/* as an upgrade does */
	ASSERT_EQ(0, unlink(path));
	store_release(&s->at, 1);
	wait_go(s, 1);
	ASSERT_EQ(0, put(q, "hello", 5, KIPC_NOWAIT));
	return 0;
}

TEST(a_library_that_was_replaced)
{
	char path[4096], copy[64] = "/tmp/kipc-trace-XXXXXX", *cp[] = { "cp", path, copy, NULL };
	struct stage *s;
	struct tracer t;
	struct run r;
	pid_t child;

	skip_without_tool();
	if (geteuid())
		SKIP("needs root");
	if (is_set("KIPC_SAN") || is_set("KIPC_VALGRIND"))
		SKIP("a sanitizer's library isn't opened by a program that has one of its own");
	snprintf(path, sizeof(path), "%s/libkipc.so", is_set("KIPC_BUILD") ? getenv("KIPC_BUILD") : "out");
	if (access(path, R_OK))
		SKIP("there is no shared library");
	close(mkstemp(copy));
	r = run_program(0, cp);
	ASSERT_EQ(0, r.code);
	setenv("TRACE_TEST_LIBRARY", copy, 1);
	s = ksft_shared(sizeof(*s));
	child = ksft_fork(use_shared_library, s);
	wait_at(s, 1);
	trace_start(&t, "--jsonl", "-p", pid_target(child) + 4);
	go(s, 1);
	ksft_join(child);
	trace_end(&t);
	EXPECT_EVENTS(&t, "assert [x['length_bytes'] for x in of('queue_put')] == [5], e\n");
	run_free(&t.run);
}

/* ---- less than everything ---- */

static void hide(const char *path)
{
	if (!access(path, F_OK))
		ASSERT_EQ(0, mount("tmpfs", path, "tmpfs", 0, NULL));
}

/* In a mount namespace of our own, so that the machine keeps them. */
static void hide_kernel_files(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		SKIP("needs the right to mount");
	hide("/sys/kernel/btf");
	hide("/sys/kernel/debug");
	hide("/sys/kernel/tracing");
}

static void traffic(struct stage *s)
{
	char buf[64];

	ASSERT_EQ(0, kipc_queue_put(s->q, "hello", 5, KIPC_NOWAIT));
	ASSERT_EQ(5, kipc_queue_get(s->q, buf, sizeof(buf), KIPC_NOWAIT));
}

TEST(without_btf_and_tracefs)
{
	struct stage *s;
	struct tracer t;

	skip_without_tool();
	hide_kernel_files();
	s = stage_with_queue();
	trace_start(&t, "--hist", "--jsonl", target_of(kipc_queue_object(s->q)));
	traffic(s);
	trace_stop(&t, SIGINT);
	EXPECT_EQ(0, t.run.code);
	EXPECT_EVENTS(&t, HIST "assert q['count'] == 1 and not total['scheduler'], objects\n");
	EXPECT_TRUE(strstr(t.run.err, "this kernel has no BTF"));
	run_free(&t.run);
}

/* As on kernels before 6.6: a perf event for each place. */
TEST_TIMEOUT(by_perf_events, 60)
{
	struct stage *s;
	struct tracer t;

	skip_without_tool();
	hide_kernel_files();
	setenv("IPC_INSPECT_NO_UPROBE_MULTI", "1", 1);
	s = stage_with_queue();
	trace_start(&t, "--hist", "--jsonl", target_of(kipc_queue_object(s->q)));
	traffic(s);
	trace_stop(&t, SIGINT);
	EXPECT_EQ(0, t.run.code);
	EXPECT_EVENTS(&t, HIST "assert q['count'] == 1, objects\n");
	run_free(&t.run);

	hide("/sys/bus");
	trace_spawn(&t, (char *[]){ (char *)tool(), "trace",
				    target_of(kipc_queue_object(s->q)), NULL });
	trace_end(&t);
	EXPECT_EQ(4, t.run.code);
	EXPECT_TRUE(strstr(t.run.err, "/sys/bus/event_source/devices/uprobe"));
	run_free(&t.run);
}

/* What `features' says of it comes true. */
TEST(features_know_it)
{
	struct run r;
	struct stage *s;
	struct tracer t;
	bool found;

	skip_without_tool();
	r = inspect("features", "-n", "-r", "-o", "FEATURE,FOUND");
	found = strstr(r.out, "trace yes\n");
	EXPECT_TRUE(found || strstr(r.out, "trace no\n"));
	EXPECT_STREQ("", r.err);
	run_free(&r);
	s = stage_with_queue();
	trace_spawn(&t, (char *[]){ (char *)tool(), "trace", "-d", "0.01",
				    target_of(kipc_queue_object(s->q)), NULL });
	trace_end(&t);
	EXPECT_EQ(found ? 0 : 4, t.run.code);
	run_free(&t.run);
}

static int as_nobody(void *arg)
{
	struct run r = inspect("trace", "--duration", "0.01", "-p", pid_target(getpid()) + 4);

	(void)arg;
	EXPECT_EQ(4, r.code);
	EXPECT_TRUE(strstr(r.err, "not permitted") || strstr(r.err, "left out of this build") ||
		    strstr(r.err, "no probes"));
	EXPECT_STREQ("", r.out);
	return 0;
}

TEST(not_permitted)
{
	struct run r;
	pid_t child;

	skip_without_tool();
	if (geteuid())
		SKIP("needs root");
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (setgid(NOBODY) || setuid(NOBODY) || access(tool(), X_OK))
			ksft_child_exit(0);	/* the build folder is not for everybody */
		ksft_child_exit(as_nobody(NULL));
	}
	ksft_join(child);
	r = inspect_as(NOBODY, "trace", "-p", pid_target(getpid()) + 4);
	EXPECT_TRUE(r.code == 4 || r.code == 127);
	run_free(&r);
}

TEST_HARNESS_MAIN
