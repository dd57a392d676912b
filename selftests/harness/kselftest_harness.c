// SPDX-License-Identifier: MIT
/*
 * The runner of a test program: options, a process per test, TAP.
 *
 * The runner has one thread and no state that a test could spoil but ksft_state. It is a subreaper, so
 * every descendant of a test ends up as its child, whatever process group or session it went to, and
 * is killed before the next test starts.
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ksft_internal.h"

#define NAME_SIZE 256

struct ksft_state *ksft_state;
pid_t ksft_test_pid;

static struct ksft_test *tests;
static struct ksft_test **tests_end = &tests;

static sigjmp_buf unwind;
static sigset_t mask_before;
static volatile sig_atomic_t running; /* process group of the test */
static bool verbose;

struct totals {
	int run, passed, failed, xfailed, skipped;
};

void __ksft_add_test(struct ksft_test *test)
{
	*tests_end = test;
	tests_end = &test->next;
}

void __ksft_add_variant(struct ksft_fixture *fixture, struct ksft_variant *variant)
{
	struct ksft_variant **end = &fixture->variants;

	while (*end)
		end = &(*end)->next;
	*end = variant;
}

static void full_name(char *name, const struct ksft_test *test, const struct ksft_variant *variant)
{
	if (!test->fixture)
		snprintf(name, NAME_SIZE, "%s", test->name);
	else if (!variant)
		snprintf(name, NAME_SIZE, "%s.%s", test->fixture->name, test->name);
	else
		snprintf(name, NAME_SIZE, "%s.%s.%s", test->fixture->name, variant->name,
			 test->name);
}

/* ---- in the test's process ---- */

void ksft_unwind(void)
{
	siglongjmp(unwind, 1);
}

/* Runs a hook or the test; false when it was left by ksft_unwind(). */
static bool call(void (*fn)(void *, const void *), void *self, const void *data)
{
	if (sigsetjmp(unwind, 0))
		return false;
	fn(self, data);
	return true;
}

static void test_process(struct ksft_test *test, const void *data)
{
	struct ksft_fixture *fixture = test->fixture;
	bool ok = true;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (test->signal)
		signal(test->signal, SIG_DFL); /* a sanitizer may have a handler for it */
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
	ksft_test_pid = getpid();

	if (fixture && fixture->setup)
		ok = call(fixture->setup, test->self, data);
	if (ok) {
		ok = call(test->body, test->self, data);
		if (getpid() != ksft_test_pid) {
			ksft_fail(test->name, 0, false, "a forked child returned from the test");
			_exit(KSFT_FAIL);
		}
		if (fixture && fixture->teardown && !call(fixture->teardown, test->self, data))
			ok = false;
	}
	ksft_state->returned = true;
	/* What *self points at and nobody freed is a leak, and LeakSanitizer shall see it. */
	if (test->self)
		explicit_bzero(test->self, test->self_size);
	fflush(NULL);
	if (!ok || __atomic_load_n(&ksft_state->failures, __ATOMIC_RELAXED))
		ksft_exit(KSFT_PASS); /* the verdict is in *ksft_state; leaks are no news */
	exit(KSFT_PASS);
}

/* ---- in the runner ---- */

static void on_fatal_signal(int signo)
{
	if (running)
		kill(-running, SIGKILL);
	signal(signo, SIG_DFL);
	raise(signo);
}

/* Waits for the end of the test's process and leaves it as a zombie; false when its time is over. */
static bool await_test(pid_t pid, int timeout_s)
{
	int64_t deadline = ksft_now_ns() + timeout_s * INT64_C(1000000000);
	struct timespec left;
	sigset_t chld;
	siginfo_t info;
	int64_t ns;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
			return true;
		ns = deadline - ksft_now_ns();
		if (ns <= 0)
			return false;
		left.tv_sec = ns / 1000000000;
		left.tv_nsec = ns % 1000000000;
		sigtimedwait(&chld, NULL, &left); /* SIGCHLD is blocked: none is missed */
	}
}

static void kill_children(void)
{
	char path[64];
	FILE *f;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", gettid());
	f = fopen(path, "re");
	if (!f)
		return;
	while (fscanf(f, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	fclose(f);
}

/* Kills and reaps what the test left behind. */
static void reap_leftovers(void)
{
	struct ksft_nap nap = ksft_nap_until(5000);
	int left = 0;
	pid_t pid;

	for (;;) {
		kill_children();
		pid = waitpid(-1, NULL, WNOHANG);
		if (pid > 0)
			left++;
		else if (pid < 0 || !ksft_nap(&nap))
			break;
	}
	if (pid == 0)
		ksft_log("a process of the test does not die");
	if (left && verbose)
		ksft_log("%d left over, killed", left);
}

/* Whether the test passed, all but XFAIL considered; says why not. */
static bool judge(const struct ksft_test *test, bool in_time, int status)
{
	if (!in_time) {
		ksft_log("timed out after %d s", ksft_scale(test->timeout_s));
		return false;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == test->signal && !ksft_state->failures)
		return true;
	if (WIFSIGNALED(status)) {
		ksft_log("died of SIG%s", sigabbrev_np(WTERMSIG(status)));
		return false;
	}
	if (!ksft_state->failures && (WEXITSTATUS(status) || !ksft_state->returned)) {
		ksft_log("exited with %d%s", WEXITSTATUS(status),
			 ksft_state->returned ? " after the test" : " in the test");
		return false;
	}
	if (ksft_state->skipped || ksft_state->failures)
		return !ksft_state->failures;
	if (test->signal) {
		ksft_log("should have died of SIG%s", sigabbrev_np(test->signal));
		return false;
	}
	if (!ksft_state->checked) {
		ksft_log("made no check");
		return false;
	}
	return true;
}

static void run_test(struct ksft_test *test, struct ksft_variant *variant, const char *name,
		     struct totals *totals)
{
	int nr = ++totals->run, status = 0;
	int64_t start = ksft_now_ns();
	bool in_time, crashed, passed;
	pid_t pid;

	memset(ksft_state, 0, sizeof(*ksft_state));
	if (verbose)
		ksft_log(" RUN  %s", name);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		test_process(test, variant ? variant->data : NULL);
	if (pid < 0) {
		printf("not ok %d %s # fork: %s\n", nr, name, strerror(errno));
		totals->failed++;
		return;
	}
	setpgid(pid, pid); /* the child does it as well: whoever comes first */
	running = pid;
	in_time = await_test(pid, ksft_scale(test->timeout_s));
	/* The test's process is not reaped yet, so the number is still its group's. */
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	running = 0;
	reap_leftovers();

	passed = judge(test, in_time, status);
	crashed = !in_time || WIFSIGNALED(status) || (!passed && !ksft_state->failures);
	if (verbose)
		ksft_log("%.3f s", (ksft_now_ns() - start) / 1e9);
	if (ksft_state->xfail && !ksft_state->skipped && !crashed) {
		if (ksft_state->failures) {
			printf("ok %d %s # XFAIL %s\n", nr, name, ksft_state->reason);
			totals->xfailed++;
		} else {
			printf("not ok %d %s # XPASS %s\n", nr, name, ksft_state->reason);
			totals->failed++;
		}
	} else if (!passed) {
		printf("not ok %d %s\n", nr, name);
		totals->failed++;
	} else if (ksft_state->skipped) {
		printf("ok %d %s # SKIP %s\n", nr, name, ksft_state->reason);
		totals->skipped++;
	} else {
		printf("ok %d %s\n", nr, name);
		totals->passed++;
	}
	fflush(stdout);
}

/* ---- the list of tests, options ---- */

typedef void (*visit_fn)(struct ksft_test *test, struct ksft_variant *variant, const char *name,
			 struct totals *totals);

static void visit_count(struct ksft_test *test, struct ksft_variant *variant, const char *name,
			struct totals *totals)
{
	(void)test, (void)variant, (void)name;
	totals->run++;
}

static void visit_list(struct ksft_test *test, struct ksft_variant *variant, const char *name,
		       struct totals *totals)
{
	(void)test, (void)variant, (void)totals;
	puts(name);
}

static bool selected(const char *name, char **patterns, int n)
{
	for (int i = 0; i < n; i++)
		if (!fnmatch(patterns[i], name, 0) || strstr(name, patterns[i]))
			return true;
	return !n;
}

static struct totals visit(visit_fn fn, char **patterns, int n)
{
	struct ksft_variant *variant;
	struct totals totals = { 0 };
	char name[NAME_SIZE];

	for (struct ksft_test *test = tests; test; test = test->next) {
		variant = test->fixture ? test->fixture->variants : NULL;
		do {
			full_name(name, test, variant);
			if (selected(name, patterns, n))
				fn(test, variant, name, &totals);
		} while (variant && (variant = variant->next));
	}
	return totals;
}

static int usage(const char *program, int code)
{
	fprintf(code ? stderr : stdout,
		"usage: %s [-l] [-v] [-t PATTERN]...\n"
		"  -l          list the tests\n"
		"  -t PATTERN  run those whose name matches the glob or holds the word\n"
		"  -v          print each test's name before it runs, and how long it took\n"
		"exits with 0: passed, 1: some failed, 4: all were skipped\n",
		program);
	return code;
}

static void prepare(void)
{
	sigset_t chld;

	ksft_state = mmap(NULL, sizeof(*ksft_state), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ksft_state == MAP_FAILED) {
		perror("mmap");
		exit(KSFT_FAIL);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGINT, on_fatal_signal);
	signal(SIGTERM, on_fatal_signal);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &mask_before);
}

int ksft_main(int argc, char **argv)
{
	bool list = false;
	struct totals totals;
	char **patterns;
	int opt, n = 0;

	patterns = calloc(argc, sizeof(*patterns));
	if (!patterns)
		return KSFT_FAIL;
	while ((opt = getopt(argc, argv, "hlt:v")) != -1) {
		switch (opt) {
		case 'l':
			list = true;
			break;
		case 't':
			patterns[n++] = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			free(patterns);
			return usage(argv[0], opt == 'h' ? 0 : 2);
		}
	}

	prepare();
	totals = visit(list ? visit_list : visit_count, patterns, n);
	if (!list) {
		printf("TAP version 13\n1..%d\n", totals.run);
		fflush(stdout);
		totals = visit(run_test, patterns, n);
		printf("# Totals: pass:%d fail:%d xfail:%d skip:%d\n", totals.passed, totals.failed,
		       totals.xfailed, totals.skipped);
		if (!totals.run)
			fprintf(stderr, "%s: no such test\n", argv[0]);
	}
	free(patterns);
	if (list)
		return KSFT_PASS;
	if (totals.failed || !totals.run)
		return KSFT_FAIL;
	return totals.skipped == totals.run ? KSFT_SKIP : KSFT_PASS;
}
