/* SPDX-License-Identifier: MIT */
/*
 * What nearly every test needs: peers (processes and threads), waiting for a condition, clocks, shared
 * pages. Included by kselftest_harness.h.
 *
 * Peers: the same test body can be run against threads and against processes. Under SAN=thread only
 * threads of one process make sense (the sanitizer does not see another process's accesses), so there
 * ksft_fork(), KSFT_PROCESS peers and ksft_needs_processes() end the test as skipped.
 */
#ifndef KSFT_HELPERS_H
#define KSFT_HELPERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a peer runs; it returns 0 when all went well. */
typedef int (*ksft_fn)(void *arg);

/* A line of the test's log: shown when the test fails, or with -v. */
void ksft_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- processes ---- */

/* Skip the test where the peers must be threads of one process (SAN=thread). */
void ksft_needs_processes(void);

/* Skip the test where a child can't be single-stepped with ptrace(2): valgrind, SAN=thread. */
void ksft_needs_steps(void);

/* Fork a child that runs fn(arg) and exits with what it returned. Skips like ksft_needs_processes(). */
pid_t ksft_fork(ksft_fn fn, void *arg);
/* Wait for a child and fail the test unless it exited with 0. */
#define ksft_join(pid) __ksft_join(__FILE__, __LINE__, pid)
void __ksft_join(const char *file, int line, pid_t pid);
/* Wait for a child; its wait status. */
int ksft_wait(pid_t pid);
/* SIGKILL a child and reap it; its wait status. Afterwards nothing of it is left. */
int ksft_kill(pid_t pid);
/* End a child that was forked by hand: flushes, runs no atexit handler. */
void ksft_child_exit(int code) __attribute__((noreturn));

/* ---- threads ---- */

struct ksft_thread {
	pthread_t pthread;
	pid_t tid;
	ksft_fn fn;
	void *arg;
	int result;
};

/* Start a thread that runs fn(arg). *thread must stay where it is until it was joined. */
void ksft_thread_start(struct ksft_thread *thread, ksft_fn fn, void *arg);
/* Wait for a thread and fail the test unless it returned 0. */
#define ksft_thread_join(thread) __ksft_thread_join(__FILE__, __LINE__, thread)
void __ksft_thread_join(const char *file, int line, struct ksft_thread *thread);

/* ---- peers: either of the two, chosen by the variant ---- */

enum ksft_peer_kind { KSFT_THREAD, KSFT_PROCESS };

struct ksft_peer {
	enum ksft_peer_kind kind;
	pid_t id; /* the process's pid or the thread's tid */
	struct ksft_thread thread;
};

void ksft_peer_start(struct ksft_peer *peer, enum ksft_peer_kind kind, ksft_fn fn, void *arg);
/* Wait for a peer and fail the test unless it returned 0. */
#define ksft_peer_join(peer) __ksft_peer_join(__FILE__, __LINE__, peer)
void __ksft_peer_join(const char *file, int line, struct ksft_peer *peer);

/* ---- time and conditions ---- */

/* CLOCK_MONOTONIC, in ns. */
int64_t ksft_now_ns(void);
/* x times 4 under a sanitizer or valgrind (KSFT_SCALE=n overrides): for limits, not for work. */
int ksft_scale(int x);
/* A sanitizer (or valgrind) watches: for a test that does less work there. */
bool ksft_slow(void);
/* It is valgrind: for what can't be done there at all. */
bool ksft_valgrind(void);

/*
 * Wait until cond(arg) holds, for ksft_scale(timeout_ms) at the most; whether it held. Naps of up to
 * 1 ms: the only sleep there is in the selftests.
 */
bool ksft_wait_until(bool (*cond)(void *arg), void *arg, int timeout_ms);

/* The same for an expression: ASSERT_TRUE(ksft_wait_for(kipc_queue_len(q) == 3, 1000)). */
#define ksft_wait_for(expr, timeout_ms)                                                            \
	({                                                                                         \
		struct ksft_nap __nap = ksft_nap_until(timeout_ms);                                \
		bool __held;                                                                       \
		while (!(__held = !!(expr)) && ksft_nap(&__nap))                                   \
			;                                                                          \
		__held;                                                                            \
	})

struct ksft_nap {
	int64_t deadline_ns;
	int64_t nap_ns;
};

struct ksft_nap ksft_nap_until(int timeout_ms);
bool ksft_nap(struct ksft_nap *nap);

/* The thread (or single-threaded process) sleeps in the kernel: it waits for somebody. */
bool ksft_asleep(pid_t tid);

/* ---- memory ---- */

/* Zeroed pages shared with every process forked later; gone with the test. */
void *ksft_shared(size_t size);

#endif /* KSFT_HELPERS_H */
