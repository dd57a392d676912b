// SPDX-License-Identifier: MIT
/*
 * Helpers: processes, threads, conditions, clocks, shared pages.
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ksft_internal.h"

#ifdef __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#define NAP_FIRST_NS 20000
#define NAP_LONGEST_NS 1000000

#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define WITH_ASAN 1
#endif
#endif

bool ksft_is_tsan(void)
{
#ifdef WITH_TSAN
	return true;
#else
	return false;
#endif
}

bool ksft_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

bool ksft_slow(void)
{
#ifdef WITH_ASAN
	return true;
#endif
	return ksft_is_tsan() || ksft_valgrind();
}

int ksft_scale(int x)
{
	const char *scale = getenv("KSFT_SCALE");
	int factor = scale ? atoi(scale) : 0;

	if (factor <= 0)
		factor = ksft_slow() ? 4 : 1;
	return x * factor;
}

/* ---- processes ---- */

void ksft_needs_processes(void)
{
	if (ksft_is_tsan())
		SKIP("needs peers that are processes; ThreadSanitizer sees one process only");
}

pid_t ksft_fork(ksft_fn fn, void *arg)
{
	pid_t pid;

	ksft_needs_processes();
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		ksft_child_exit(fn(arg));
	ASSERT_NE(-1, pid);
	return pid;
}

void ksft_needs_steps(void)
{
	ksft_needs_processes();
	if (ksft_valgrind())
		SKIP("valgrind can't be stepped");
}

void ksft_exit(int code)
{
	fflush(NULL);
	/* memcheck would look for pointers in all that a manager reserves, word by word, for hours */
#ifdef VALGRIND_CLO_CHANGE
	VALGRIND_CLO_CHANGE("--leak-check=no");
#endif
	_exit(code);
}

void ksft_child_exit(int code)
{
	/* A status is 8 bits wide: a negative errno must not come out as 0 */
	ksft_exit(code && !(code & 0xff) ? KSFT_FAIL : code & 0xff);
}

int ksft_wait(pid_t pid)
{
	int status = 0;
	pid_t got;

	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	ASSERT_EQ(pid, got);
	return status;
}

/* What a peer returned: 0 or the test fails, at the line that joins it. */
static void check_result(const char *file, int line, const char *what, int id, int result)
{
	const char *name = result < 0 ? strerrorname_np(-result) : NULL;

	if (result)
		ksft_fail(file, line, false, name ? "%s %d returned %d (-%s)" : "%s %d returned %d",
			  what, id, result, name);
	else
		ksft_checked();
}

void __ksft_join(const char *file, int line, pid_t pid)
{
	int status = ksft_wait(pid);

	if (WIFSIGNALED(status))
		ksft_fail(file, line, false, "child %d died of SIG%s", pid,
			  sigabbrev_np(WTERMSIG(status)));
	else
		check_result(file, line, "child", pid, (signed char)WEXITSTATUS(status));
}

int ksft_kill(pid_t pid)
{
	ASSERT_GT(pid, 0);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	return ksft_wait(pid);
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
	struct ksft_thread *thread = arg;

	__atomic_store_n(&thread->tid, gettid(), __ATOMIC_RELEASE);
	thread->result = thread->fn(thread->arg);
	return NULL;
}

static bool has_tid(void *arg)
{
	struct ksft_thread *thread = arg;

	return __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE) != 0;
}

void ksft_thread_start(struct ksft_thread *thread, ksft_fn fn, void *arg)
{
	*thread = (struct ksft_thread){ .fn = fn, .arg = arg };
	ASSERT_EQ(0, pthread_create(&thread->pthread, NULL, thread_main, thread));
	ASSERT_TRUE(ksft_wait_until(has_tid, thread, 10000));
}

void __ksft_thread_join(const char *file, int line, struct ksft_thread *thread)
{
	ASSERT_EQ(0, pthread_join(thread->pthread, NULL));
	check_result(file, line, "thread", thread->tid, thread->result);
}

/* ---- peers ---- */

void ksft_peer_start(struct ksft_peer *peer, enum ksft_peer_kind kind, ksft_fn fn, void *arg)
{
	peer->kind = kind;
	if (kind == KSFT_PROCESS) {
		peer->id = ksft_fork(fn, arg);
	} else {
		ksft_thread_start(&peer->thread, fn, arg);
		peer->id = peer->thread.tid;
	}
}

void __ksft_peer_join(const char *file, int line, struct ksft_peer *peer)
{
	if (peer->kind == KSFT_PROCESS)
		__ksft_join(file, line, peer->id);
	else
		__ksft_thread_join(file, line, &peer->thread);
}

/* ---- time and conditions ---- */

int64_t ksft_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

struct ksft_nap ksft_nap_until(int timeout_ms)
{
	return (struct ksft_nap){
		.deadline_ns = ksft_now_ns() + ksft_scale(timeout_ms) * INT64_C(1000000),
		.nap_ns = NAP_FIRST_NS,
	};
}

bool ksft_nap(struct ksft_nap *nap)
{
	struct timespec ts = { .tv_nsec = nap->nap_ns };

	if (ksft_now_ns() >= nap->deadline_ns)
		return false;
	nanosleep(&ts, NULL);
	nap->nap_ns *= 2;
	if (nap->nap_ns > NAP_LONGEST_NS)
		nap->nap_ns = NAP_LONGEST_NS;
	return true;
}

bool ksft_wait_until(bool (*cond)(void *arg), void *arg, int timeout_ms)
{
	return ksft_wait_for(cond(arg), timeout_ms);
}

bool ksft_asleep(pid_t tid)
{
	char path[64], stat[512];
	ssize_t len;
	char *paren;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (len <= 0)
		return false;
	stat[len] = '\0';
	paren = strrchr(stat, ')'); /* the name before it may hold anything */
	return paren && paren[1] == ' ' && paren[2] == 'S';
}

/* ---- memory ---- */

void *ksft_shared(size_t size)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE((void *)-1, addr);
	return addr;
}
