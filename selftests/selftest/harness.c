// SPDX-License-Identifier: MIT
/*
 * The harness tested by itself: the sample_* tests below fail, crash, hang and so on. The tests of the
 * fixture "harness" run this program again with one of them and look at the TAP and the exit code. Without
 * KSFT_SAMPLE in the environment only the latter are run.
 */
#include "kselftest_harness.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the samples ---- */

TEST(sample_pass)
{
	EXPECT_EQ(1, 1);
}

TEST(sample_fail)
{
	int five = 5;

	EXPECT_EQ(-11, five);
	ksft_log("went on");
	ASSERT_STREQ("left", "right");
	ksft_log("not reached");
}

TEST(sample_no_check)
{
}

TEST(sample_abort)
{
	abort();
}

TEST(sample_exit)
{
	EXPECT_TRUE(true);
	_exit(0);
}

TEST(sample_skip)
{
	SKIP("no %s", "hardware");
}

TEST(sample_skip_after_failure)
{
	EXPECT_TRUE(false);
	SKIP("too late");
}

TEST(sample_xfail)
{
	XFAIL("known bug");
	EXPECT_EQ(1, 2);
}

TEST(sample_xpass)
{
	XFAIL("known bug");
	EXPECT_EQ(1, 1);
}

TEST(sample_xfail_crash)
{
	XFAIL("known bug");
	EXPECT_EQ(1, 2);
	abort();
}

TEST_SIGNAL(sample_signal, SIGSEGV)
{
	raise(SIGSEGV);
}

TEST_SIGNAL(sample_signal_missing, SIGSEGV)
{
	EXPECT_TRUE(true);
}

static int pause_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

TEST_TIMEOUT(sample_hang, 1)
{
	EXPECT_TRUE(true);
	pause_for_ever(NULL);
}

static int fail_quietly(void *arg)
{
	(void)arg;
	EXPECT_EQ(1, 2);
	return 0;
}

TEST(sample_child_fails)
{
	ksft_join(ksft_fork(fail_quietly, NULL));
}

static int assert_in_child(void *arg)
{
	(void)arg;
	ASSERT_EQ(1, 2);
	return 0;
}

TEST(sample_child_asserts)
{
	EXPECT_EQ(KSFT_FAIL, WEXITSTATUS(ksft_wait(ksft_fork(assert_in_child, NULL))));
}

TEST(sample_thread_asserts)
{
	struct ksft_thread thread;

	ksft_thread_start(&thread, assert_in_child, NULL);
	ksft_thread_join(&thread);
}

static int minus_eagain(void *arg)
{
	(void)arg;
	return -EAGAIN;
}

TEST(sample_child_returns_error)
{
	ksft_join(ksft_fork(minus_eagain, NULL));
}

TEST(sample_child_returns_from_test)
{
	ksft_needs_processes();
	EXPECT_TRUE(true);
	if (fork() > 0)
		wait(NULL);
}

/* Leaves a child, and one in a session of its own; both hold the pipe that is our output. */
TEST(sample_leaves_children)
{
	ksft_fork(pause_for_ever, NULL);
	if (fork() == 0) {
		setsid();
		if (fork() == 0)
			pause_for_ever(NULL);
		_exit(0);
	}
	wait(NULL);
	EXPECT_TRUE(true);
}

FIXTURE(sample_fixture)
{
	int set_up;
};

FIXTURE_VARIANT(sample_fixture)
{
	int value;
};

FIXTURE_VARIANT_ADD(sample_fixture, one){ .value = 1 };
FIXTURE_VARIANT_ADD(sample_fixture, two){ .value = 2 };

FIXTURE_SETUP(sample_fixture)
{
	EXPECT_EQ(0, self->set_up);
	self->set_up = variant->value;
}

FIXTURE_TEARDOWN(sample_fixture)
{
	ksft_log("teardown %d", self->set_up);
}

TEST_F(sample_fixture, two_only)
{
	ASSERT_EQ(2, self->set_up);
}

/* ---- the tests ---- */

static const char *program; /* not /proc/self/exe: under valgrind that is valgrind */

FIXTURE(harness)
{
	char out[8192];
	int status;
};

FIXTURE_SETUP(harness)
{
	setenv("KSFT_SAMPLE", "1", 1);
	setenv("KSFT_SCALE", "1", 1);
}

/* Runs the samples that match and keeps what they print; returns the exit code */
static int run(struct __ksft_self_of_harness *self, const char *pattern)
{
	size_t len = 0;
	int fds[2];
	ssize_t n;
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	fflush(NULL);
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl(program, program, "-t", pattern, NULL);
		_exit(127);
	}
	close(fds[1]);
	/* Until the end of the file, so: until the last process that has the pipe is gone */
	while ((n = read(fds[0], self->out + len, sizeof(self->out) - 1 - len)) > 0)
		len += n;
	self->out[len] = '\0';
	close(fds[0]);
	self->status = ksft_wait(pid);
	return WIFEXITED(self->status) ? WEXITSTATUS(self->status) : -1;
}

/* The output has this text, from the start of a line on */
static bool printed(struct __ksft_self_of_harness *self, const char *line)
{
	const char *at = self->out;

	while ((at = strstr(at, line))) {
		if (at == self->out || at[-1] == '\n')
			return true;
		at++;
	}
	ksft_log("no line \"%s\" in:", line);
	for (at = strtok(self->out, "\n"); at; at = strtok(NULL, "\n"))
		ksft_log("| %s", at);
	return false;
}

static bool mentioned(struct __ksft_self_of_harness *self, const char *text)
{
	return strstr(self->out, text);
}

TEST_F(harness, pass)
{
	EXPECT_EQ(KSFT_PASS, run(self, "sample_pass"));
	EXPECT_TRUE(printed(self, "TAP version 13\n1..1\nok 1 sample_pass\n"));
}

TEST_F(harness, fail)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_fail"));
	EXPECT_TRUE(mentioned(self, "harness.c:"));
	EXPECT_TRUE(mentioned(self, "EXPECT_EQ(-11, five): -11 (-EAGAIN) and 5\n"));
	EXPECT_TRUE(mentioned(self, "ASSERT_STREQ(\"left\", \"right\"): \"left\" and \"right\"\n"));
	EXPECT_TRUE(mentioned(self, "# went on\n"));
	EXPECT_FALSE(mentioned(self, "not reached"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_fail\n"));
}

TEST_F(harness, a_test_without_a_check_fails)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_no_check"));
	EXPECT_TRUE(printed(self, "# made no check\nnot ok 1 sample_no_check\n"));
}

TEST_F(harness, crash)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_abort"));
	EXPECT_TRUE(printed(self, "# died of SIGABRT\nnot ok 1 sample_abort\n"));
}

TEST_F(harness, an_exit_in_the_test_is_no_pass)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_exit"));
	EXPECT_TRUE(printed(self, "# exited with 0 in the test\nnot ok 1 sample_exit\n"));
}

TEST_F(harness, skip)
{
	EXPECT_EQ(KSFT_SKIP, run(self, "[s]ample_skip"));
	EXPECT_TRUE(printed(self, "ok 1 sample_skip # SKIP no hardware\n"));
}

TEST_F(harness, skip_does_not_hide_a_failure)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_skip_after_failure"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_skip_after_failure\n"));
}

TEST_F(harness, xfail)
{
	EXPECT_EQ(KSFT_PASS, run(self, "[s]ample_xfail"));
	EXPECT_TRUE(printed(self, "ok 1 sample_xfail # XFAIL known bug\n"));
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_xpass"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_xpass # XPASS known bug\n"));
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_xfail_crash"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_xfail_crash\n"));
}

TEST_F(harness, signal)
{
	EXPECT_EQ(KSFT_PASS, run(self, "[s]ample_signal"));
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_signal_missing"));
	EXPECT_TRUE(printed(self, "# should have died of SIGSEGV\n"));
}

TEST_F(harness, timeout)
{
	int64_t start = ksft_now_ns();

	EXPECT_EQ(KSFT_FAIL, run(self, "sample_hang"));
	EXPECT_TRUE(printed(self, "# timed out after 1 s\nnot ok 1 sample_hang\n"));
	EXPECT_GE(ksft_now_ns() - start, 1000000000);
}

TEST_F(harness, failures_of_a_child)
{
	ksft_needs_processes();
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_child_fails"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_child_fails\n"));
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_child_asserts"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_child_asserts\n"));
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_child_returns_error"));
	EXPECT_TRUE(mentioned(self, " returned -11 (-EAGAIN)\n"));
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_child_returns_from_test"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_child_returns_from_test\n"));
}

TEST_F(harness, failures_of_a_thread)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_thread_asserts"));
	EXPECT_TRUE(printed(self, "not ok 1 sample_thread_asserts\n"));
}

TEST_F(harness, leftovers_are_killed)
{
	ksft_needs_processes();
	/* run() returns only when nobody holds the pipe any more */
	EXPECT_EQ(KSFT_PASS, run(self, "sample_leaves_children"));
}

TEST_F(harness, variants)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_fixture"));
	EXPECT_TRUE(mentioned(self, "# teardown 1\nnot ok 1 sample_fixture.one.two_only\n"));
	EXPECT_TRUE(mentioned(self, "# teardown 2\nok 2 sample_fixture.two.two_only\n"));
	EXPECT_EQ(KSFT_PASS, run(self, "*.two.*"));
}

TEST_F(harness, an_unknown_test_is_a_failure)
{
	EXPECT_EQ(KSFT_FAIL, run(self, "sample_that_is_not_there"));
}

int main(int argc, char **argv)
{
	char *args[argc + 3];

	program = argv[0];
	if (getenv("KSFT_SAMPLE"))
		return ksft_main(argc, argv);
	memcpy(args, argv, argc * sizeof(*argv));
	args[argc] = "-t";
	args[argc + 1] = "harness.*";
	args[argc + 2] = NULL;
	return ksft_main(argc + 2, args);
}
