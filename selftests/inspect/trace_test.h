/* SPDX-License-Identifier: MIT */
/*
 * What the tests of ipc-inspect trace share: one that runs beside the test, and what it said.
 *
 * The test program is linked with the archive: it has the probes itself, and its children are what is
 * traced.
 */
#ifndef SELFTESTS_TRACE_TEST_H
#define SELFTESTS_TRACE_TEST_H

#include <signal.h>
#include <stdarg.h>

#include <kipc/lock.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>

#include "core/atomic.h"
#include "core/object.h"
#include "inspect.h"

struct tracer {
	pid_t pid;
	int out, err;
	struct run run;
};

static bool says(struct tracer *t, const char *words)
{
	char said[4096];
	ssize_t n = pread(t->err, said, sizeof(said) - 1, 0);

	said[n > 0 ? n : 0] = '\0';
	return strstr(said, words);
}

static bool has_ended(struct tracer *t)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, (id_t)t->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

/* Waits for its end; what it said is in t->run then. */
__attribute__((unused)) static void trace_end(struct tracer *t)
{
	int status = ksft_wait(t->pid);

	t->run.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	t->run.out = slurp(t->out);
	t->run.err = slurp(t->err);
}

/* The same after a signal. */
__attribute__((unused)) static void trace_stop(struct tracer *t, int sig)
{
	kill(t->pid, sig);
	trace_end(t);
}

static void trace_spawn(struct tracer *t, char **argv)
{
	int fds[3];

	memset(t, 0, sizeof(*t));
	for (int i = 0; i < 3; i++) {
		fds[i] = memfd_create("stdio", MFD_CLOEXEC);
		ASSERT_LE(0, fds[i]);
	}
	t->pid = start_program(0, fds, argv);
	close(fds[0]);
	t->out = fds[1];
	t->err = fds[2];
	ksft_wait_for(says(t, "tracing;") || has_ended(t), 20000);
}

static const char *tool(void)
{
	static char path[4096];
	const char *build = getenv("KIPC_BUILD");

	snprintf(path, sizeof(path), "%s/ipc-inspect", build ? build : "out");
	return path;
}

/*
 * trace_start(&t, "--hist", ...): when it returns, it traces.  Where nothing can be traced, which it says
 * with exit code 4, the test is skipped.
 */
#define trace_start(t, ...)                                                                        \
	trace_start_argv(t, (char *[]){ (char *)tool(), "trace", __VA_ARGS__, NULL })

__attribute__((unused)) static void trace_start_argv(struct tracer *t, char **argv)
{
	static char why[256];

	trace_spawn(t, argv);
	if (says(t, "tracing;"))
		return;
	trace_end(t);
	snprintf(why, sizeof(why), "%.*s", (int)strcspn(t->run.err, "\n"), t->run.err);
	if (t->run.code == 4)
		SKIP("%s", why);
	ksft_log("exit code %d: %s", t->run.code, t->run.err);
	ASSERT_TRUE(!"it traces");
}

/* The lines of --jsonl as a document that json_holds() takes: objects are the events. */
__attribute__((unused)) static char *as_document(const char *lines)
{
	size_t len = strlen(lines);
	char *doc = malloc(len + 32), *p = doc;

	p += sprintf(p, "{\"objects\": [");
	for (size_t i = 0; i < len; i++)
		*p++ = lines[i] != '\n' ? lines[i] : i == len - 1 ? ' ' : ',';
	strcpy(p, "]}");
	return doc;
}

/*
 * Python's statements over what it said: e are the events, each a dict, total the totals; of(NAME)
 * gives the events of a probe.
 */
__attribute__((unused, format(printf, 2, 3))) static bool events_hold(struct tracer *t,
								      const char *fmt, ...)
{
	char *doc = as_document(t->run.out), *script, *all;
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ASSERT_LE(0, vasprintf(&script, fmt, ap));
	va_end(ap);
	ASSERT_LE(0, asprintf(&all,
			      "e, total = objects[:-1], objects[-1]\n"
			      "of = lambda name: [x for x in e if x['event'] == name]\n%s",
			      script));
	ok = json_holds(doc, all);
	free(doc);
	free(script);
	free(all);
	return ok;
}
#define EXPECT_EVENTS(t, ...)	EXPECT_TRUE(events_hold(t, __VA_ARGS__))

/* PID:FD of an object of ours; valid until the next call. */
__attribute__((unused)) static char *target_of(struct kipc_object *o)
{
	static char target[32];

	snprintf(target, sizeof(target), "%d:%d", getpid(), o->seg.fd);
	return target;
}

/* What parent and children tell each other; on shared pages. */
struct stage {
	struct kipc_queue *q;
	struct kipc_pipe *ends[2];
	struct kipc_manager *m;
	struct kipc_lock *lock;
	uint32_t go;		/* raised step by step by the test */
	uint32_t at;		/* ... and by its children */
};

__attribute__((unused)) static void go(struct stage *s, uint32_t step)
{
	store_release(&s->go, step);
}

__attribute__((unused)) static void wait_go(struct stage *s, uint32_t step)
{
	ASSERT_TRUE(ksft_wait_for(load_acquire(&s->go) >= step, 20000));
}

__attribute__((unused)) static void wait_at(struct stage *s, uint32_t step)
{
	ASSERT_TRUE(ksft_wait_for(load_acquire(&s->at) >= step, 20000));
}

/* With a queue of 64 messages, so that positions are 0, 1, 2 ... */
__attribute__((unused)) static struct stage *stage_with_queue(void)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 64, .msg_size = 64);
	struct stage *s = ksft_shared(sizeof(*s));

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &s->q));
	return s;
}

__attribute__((unused)) static struct stage *stage_with_lock(void)
{
	struct stage *s = ksft_shared(sizeof(*s));

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &s->m));
	ASSERT_EQ(0, kipc_lock_create(s->m, NULL, &s->lock));
	return s;
}

/* The children of most tests. */
#define MESSAGES	200

__attribute__((unused)) static int produce(void *arg)
{
	struct stage *s = arg;

	wait_go(s, 1);
	for (int i = 0; i < MESSAGES; i++)
		EXPECT_EQ(0, kipc_queue_put(s->q, "hello", 5, KIPC_FOREVER));
	return 0;
}

__attribute__((unused)) static int consume(void *arg)
{
	struct stage *s = arg;
	char buf[64];

	wait_go(s, 1);
	for (int i = 0; i < MESSAGES; i++)
		EXPECT_EQ(5, kipc_queue_get(s->q, buf, sizeof(buf), KIPC_FOREVER));
	return 0;
}

#endif
