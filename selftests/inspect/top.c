// SPDX-License-Identifier: MIT
/* What ipc-inspect top says of objects at work: as tables, as JSON, on a terminal. */
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <termios.h>

#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "inspect.h"

static int churn(void *q)
{
	char buf[32] = { 0 };

	for (;;) {
		kipc_queue_put(q, buf, 20, KIPC_FOREVER);
		kipc_queue_get(q, buf, 32, KIPC_FOREVER);
	}
	return 0;
}

static int churn_pipe(void *ends)
{
	char buf[32] = { 0 };

	for (;;) {
		kipc_pipe_send(((struct kipc_pipe **)ends)[0], buf, 24, KIPC_FOREVER);
		kipc_pipe_recv(((struct kipc_pipe **)ends)[1], buf, 32, KIPC_FOREVER);
	}
	return 0;
}

FIXTURE(top) {
	struct kipc_queue *q;
	char target[32];
};

FIXTURE_SETUP(top)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 4, .msg_size = 32);

	skip_without_tool();
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &self->q));
	snprintf(self->target, sizeof(self->target), "%d:%d", getpid(),
		 kipc_queue_object(self->q)->seg.fd);
}

FIXTURE_TEARDOWN(top)
{
	kipc_queue_close(self->q);
}

/* Its document has no objects. */
static bool samples_hold(const struct run *r, const char *script)
{
	char *json;
	bool ok;

	ASSERT_LT(0, asprintf(&json, "{\"objects\": [], %s", strchr(r->out, '{') + 1));
	ok = json_holds(json, script);
	free(json);
	return ok;
}

TEST_F(top, rates)
{
	struct kipc_pipe *ends[2];
	struct kipc_shm *s;
	struct run r;
	pid_t pid[2];

	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &s));
	pid[0] = ksft_fork(churn, self->q);
	pid[1] = ksft_fork(churn_pipe, ends);
	r = inspect("top", "-J", pid_target(getpid()), "0.3", "3");
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	EXPECT_TRUE(samples_hold(
		&r,
		"s = d['samples']\n"
		"assert len(s) == 9, s\n"
		"k = {x['kind']: x for x in s}\n"
		"q, p, m = k['queue'], k['pipe'], k['shm']\n"
		"assert q['messages_per_second'] > 0 and p['messages_per_second'] > 0, s\n"
		"assert q['bytes_estimated'] is True and p['bytes_estimated'] is False, s\n"
		"assert abs(q['bytes_per_second'] / q['messages_per_second'] - 20) < 1, q\n"
		"assert abs(p['bytes_per_second'] / p['messages_per_second'] - 32) < 1, p\n"
		"assert m['messages_per_second'] == 0 and m['bytes_per_second'] is None, m\n"
		"assert q['capacity'] == 4 and len(q['depth_history']) == 4, q\n"
		"assert all(0 <= x <= 1 for x in q['depth_history']), q\n"
		"assert q['busiest_pid'] is not None and q['holders_cpu_percent'] >= 0, q\n"
		"assert m['depth_history'] == [], m\n"
		"t = [x['time_seconds'] for x in s]\n"
		"assert t == sorted(t) and len(set(t)) == 3, t\n"));
	run_free(&r);
	ksft_kill(pid[0]);
	ksft_kill(pid[1]);
	kipc_shm_close(s);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

TEST_F(top, tables)
{
	struct run r;

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kipc_queue_put(self->q, "x", 1, KIPC_NOWAIT));
	setenv("LC_ALL", "C", 1);
	r = inspect("top", "-o", "KIND,DEPTH,STATE,HISTORY", self->target, "0.05", "2");
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("KIND  DEPTH STATE HISTORY\nqueue     4 full  ##\n\n"
		     "KIND  DEPTH STATE HISTORY\nqueue     4 full  ###\n",
		     r.out);
	run_free(&r);
	setenv("LC_ALL", "C.UTF-8", 1);
	r = inspect("top", "-n", "-o", "HISTORY", self->target, "0.05", "1");
	EXPECT_STREQ("\u2588\u2588\n", r.out);
	run_free(&r);
	r = inspect("top", "--jsonl", "-o", "DEPTH", self->target, "0.05", "2");
	EXPECT_EQ(0, r.code);
	EXPECT_EQ(0, strncmp(r.out, "{\"time_seconds\": 1", 18));
	EXPECT_TRUE(strstr(r.out, "\"depth\": 4}\n{\"time_seconds\": "));
	run_free(&r);
}

static int put_many(void *q)
{
	for (int r = 0; !r;)
		r = kipc_queue_put(q, "x", 1, KIPC_FOREVER);
	return 1;
}

/* Among those who have the queue, the one who fills it. */
TEST_F(top, producer)
{
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	pid_t pid = ksft_fork(put_many, self->q);
	char want[64];
	struct run r;

	ASSERT_TRUE(ksft_wait_for(!kipc_queue_stat(self->q, &st) && st.writers_waiting == 1 &&
					  ksft_asleep(pid),
				  5000));
	r = inspect("top", "-n", "-r", "-o", "STATE,WAITERS,PRODUCER", self->target, "0.05", "1");
	snprintf(want, sizeof(want), "full 1 %d\n", pid);
	EXPECT_STREQ(want, r.out);
	run_free(&r);
	ksft_kill(pid);
}

TEST_F(top, order)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 10, .msg_size = 32);
	struct kipc_queue *fuller;
	struct run r;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &fuller));
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(0, kipc_queue_put(fuller, "x", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_put(self->q, "x", 1, KIPC_NOWAIT));
	r = inspect("top", "-s", "depth", "-n", "-r", "-o", "DEPTH", pid_target(getpid()), "0.05",
		    "1");
	EXPECT_STREQ("8\n1\n", r.out);
	run_free(&r);
	r = inspect("top", "--sort=object", "-n", "-r", "-o", "DEPTH", pid_target(getpid()), "0.05",
		    "1");
	EXPECT_STREQ("1\n8\n", r.out);
	run_free(&r);
	kipc_queue_close(fuller);
}

TEST_F(top, usage)
{
	static char *const wrong[][3] = {
		{ "0" }, { "-s", "size" }, { "1", "0" }, { "1", "1.5" }, { "1", "2", "3" },
	};
	struct run r;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		r = inspect("top", wrong[i][0], wrong[i][1], wrong[i][2]);
		if (!EXPECT_EQ(2, r.code))
			ksft_log("%zu: %s%s", i, r.out, r.err);
		run_free(&r);
	}
	r = inspect("top", "0.05", "1", "99999999:1");
	EXPECT_EQ(1, r.code);
	run_free(&r);
}

/* ---- programs that go on ---- */

static char tool[4096];

static const char *tool_path(void)
{
	const char *build = getenv("KIPC_BUILD");

	snprintf(tool, sizeof(tool), "%s/ipc-inspect", build ? build : "out");
	return tool;
}

/* Without an end it is ended by a signal, and its document is complete. */
TEST_F(top, ended_by_a_signal)
{
	char *argv[] = { (char *)tool_path(), "top", "-J", self->target, "0.05", NULL };
	struct run r = { .code = -1 };
	struct stat st;
	int fds[3], status;
	pid_t pid;

	for (int i = 0; i < 3; i++)
		ASSERT_LE(0, fds[i] = memfd_create("stdio", MFD_CLOEXEC));
	pid = start_program(0, fds, argv);
	ASSERT_TRUE(ksft_wait_for(!fstat(fds[1], &st) && st.st_size > 1000, 10000));
	ASSERT_EQ(0, kill(pid, SIGTERM));
	status = ksft_wait(pid);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	r.out = slurp(fds[1]);
	EXPECT_TRUE(samples_hold(&r, "assert len(d['samples']) > 1"));
	free(r.out);
}

struct terminal {
	int fd;
	pid_t pid;
	char seen[1 << 18];
	size_t n;
};

static void terminal_start(struct terminal *t, char *target)
{
	struct winsize size = { .ws_row = 24, .ws_col = 132 };
	const char *path = tool_path();

	t->n = 0;
	t->pid = forkpty(&t->fd, NULL, NULL, &size);
	ASSERT_LE(0, t->pid);
	if (!t->pid) {
		setenv("TERM", "xterm", 1);
		setenv("LC_ALL", "C.UTF-8", 1);
		execl(path, path, "top", target, "0.2", NULL);
		_exit(127);
	}
}

/* Reads what there is; whether these words have come. */
static bool appeared(struct terminal *t, const char *words)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLIN };
	ssize_t n;

	while (poll(&pfd, 1, 0) > 0 && t->n < sizeof(t->seen) - 1) {
		n = read(t->fd, t->seen + t->n, sizeof(t->seen) - 1 - t->n);
		if (n <= 0)
			break;
		t->n += (size_t)n;
	}
	t->seen[t->n] = '\0';
	return strstr(t->seen, words);
}

static bool wait_for_words(struct terminal *t, const char *words)
{
	bool ok = ksft_wait_for(appeared(t, words), 10000);

	if (!ok)
		ksft_log("no '%s' in: %s", words, t->seen);
	return ok;
}

static void press(struct terminal *t, const char *keys)
{
	/* what comes from now on is the answer */
	appeared(t, "");
	t->n = 0;
	ASSERT_EQ((ssize_t)strlen(keys), write(t->fd, keys, strlen(keys)));
}

TEST_F(top, on_a_terminal)
{
	static struct terminal t;
	int status;

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kipc_queue_put(self->q, "x", 1, KIPC_NOWAIT));
	terminal_start(&t, self->target);
	EXPECT_TRUE(wait_for_words(&t, "ipc-inspect top"));
	EXPECT_TRUE(wait_for_words(&t, "by messages"));
	EXPECT_TRUE(wait_for_words(&t, self->target));
	EXPECT_TRUE(wait_for_words(&t, "\u2588"));
	press(&t, "h");
	EXPECT_TRUE(wait_for_words(&t, "sort by messages, bytes, depth"));
	press(&t, "h");
	EXPECT_TRUE(wait_for_words(&t, self->target));
	/* curses writes what differs: of another word than "messages", not all */
	press(&t, "w");
	EXPECT_TRUE(wait_for_words(&t, "waiter"));
	press(&t, "+");
	EXPECT_TRUE(wait_for_words(&t, "4"));
	press(&t, "\033[B\033[A \033[5~\033[6~jk-");
	EXPECT_EQ(0, waitpid(t.pid, &status, WNOHANG));
	press(&t, "q");
	/* it gives the screen back */
	EXPECT_TRUE(wait_for_words(&t, "\033[?1049l"));
	status = ksft_wait(t.pid);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(t.fd);
}

/* Its terminal is gone: so is it, without a loop. */
TEST_F(top, terminal_gone)
{
	static struct terminal t;
	int status;

	terminal_start(&t, self->target);
	EXPECT_TRUE(wait_for_words(&t, self->target));
	close(t.fd);
	status = ksft_wait(t.pid);
	EXPECT_TRUE(WIFEXITED(status) || WTERMSIG(status) == SIGHUP);
}

/* One that knows nothing gets tables. */
TEST_F(top, dumb_terminal)
{
	char *argv[] = { (char *)tool_path(), "top", self->target, "0.05", "1", NULL };
	static struct terminal t;

	t.pid = forkpty(&t.fd, NULL, NULL, NULL);
	ASSERT_LE(0, t.pid);
	if (!t.pid) {
		setenv("TERM", "no-such-terminal", 1);
		execv(argv[0], argv);
		_exit(127);
	}
	EXPECT_TRUE(wait_for_words(&t, "\r\n"));
	EXPECT_TRUE(wait_for_words(&t, self->target));
	EXPECT_FALSE(strstr(t.seen, "\033["));
	ksft_wait(t.pid);
	close(t.fd);
}

TEST_HARNESS_MAIN
