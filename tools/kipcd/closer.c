// SPDX-License-Identifier: MIT
/*
 * Closing what came from a client: in threads, since close(2) may wait for whoever the client
 * likes.  A file in FUSE asks its server; a TCP socket lingers as long as it was told to; and so
 * does a UNIX socket with such things in its queue, when that is thrown away.
 *
 * One thread is enough as long as nobody is hostile.  There are more when closes take long, but no
 * more than a few for one user: so what another user sends is closed all the same.  A sleep that a
 * signal can end is ended after a while.
 *
 * A user may have so many descriptors waiting to be closed, and no more: then nothing is received
 * from it any more, and its connections are closed right here.  That may still mean to linger, but
 * not to wait for FUSE (what was never received is not flushed), so a timer ends it.
 *
 * Descriptors known to be memfds, eventfds and pidfds are closed where they are.
 */
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "tools/kipcd/kipcd.h"

#define THREADS_MAX		64
#define THREADS_USER_MAX	4
#define LONG_NS			(200 * NSEC_PER_MSEC)
#define PENDING_USER_MAX	512
#define CLOSE_HERE_US		20000

struct job {
	int fd;
	uid_t uid;
	struct job *next;
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct job *first, **last;
	uint32_t idle;			/* threads that wait for a job */
	uint32_t n;			/* threads */
	uint32_t pending;		/* descriptors that are not closed yet; atomic */
	struct {
		pthread_t id;
		bool busy;
		uid_t uid;
		int64_t since;
	} thread[THREADS_MAX];
} closer = { .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static uint32_t busy_for(uid_t uid)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < closer.n; i++)
		n += closer.thread[i].busy && closer.thread[i].uid == uid;
	return n;
}

/* The next job of a user that doesn't keep enough threads busy already. */
static struct job *next_job(void)
{
	struct job **p = &closer.first, *job;

	while (*p && busy_for((*p)->uid) >= THREADS_USER_MAX)
		p = &(*p)->next;
	job = *p;
	if (job) {
		*p = job->next;
		if (!job->next)
			closer.last = p;
	}
	return job;
}

static void *work(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg;
	struct job *job;

	pthread_mutex_lock(&closer.mutex);
	for (;;) {
		job = next_job();
		if (!job) {
			closer.idle++;
			pthread_cond_wait(&closer.cond, &closer.mutex);
			closer.idle--;
			continue;
		}
		closer.thread[me].busy = true;
		closer.thread[me].uid = job->uid;
		closer.thread[me].since = now_ns();
		pthread_mutex_unlock(&closer.mutex);
		close(job->fd);
		free(job);
		__atomic_fetch_sub(&closer.pending, 1, __ATOMIC_RELAXED);
		pthread_mutex_lock(&closer.mutex);
		closer.thread[me].busy = false;
	}
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

/* One thread more, under the mutex; false: there can't be one. */
static bool hire(void)
{
	struct sigaction sa = { .sa_handler = nothing };
	size_t me = closer.n;
	sigset_t alarm;
	pthread_attr_t attr;
	bool ok;

	if (me == THREADS_MAX)
		return false;
	/* that is for the first thread */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	/* without SA_RESTART: it is to end a sleep */
	sigaction(SIGUSR1, &sa, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	closer.n++;
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	ok = !pthread_create(&closer.thread[me].id, &attr, work, (void *)(uintptr_t)me);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	pthread_attr_destroy(&attr);
	closer.n -= !ok;
	return ok;
}

/* Under the mutex. */
static uint32_t pending_of(uid_t uid)
{
	uint32_t n = busy_for(uid);

	for (const struct job *job = closer.first; job; job = job->next)
		n += job->uid == uid;
	return n;
}

bool closer_full(uid_t uid)
{
	bool full;

	if (closer_pending() < PENDING_USER_MAX)
		return false;
	pthread_mutex_lock(&closer.mutex);
	full = pending_of(uid) >= PENDING_USER_MAX;
	pthread_mutex_unlock(&closer.mutex);
	return full;
}

/* In this thread, which SIGALRM wakes from whatever it may be waiting for. */
static void close_here(int fd)
{
	const struct itimerval soon = { { 0, CLOSE_HERE_US }, { 0, CLOSE_HERE_US } }, never = { 0 };
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	close(fd);
	setitimer(ITIMER_REAL, &never, NULL);
}

void close_later(int fd, uid_t uid)
{
	struct job *job = malloc(sizeof(*job));

	pthread_mutex_lock(&closer.mutex);
	if (!closer.last)
		closer.last = &closer.first;
	if (!job || (!closer.n && !hire())) {
		pthread_mutex_unlock(&closer.mutex);
		free(job);
		close_here(fd);
		return;
	}
	*job = (struct job){ .fd = fd, .uid = uid };
	*closer.last = job;
	closer.last = &job->next;
	__atomic_fetch_add(&closer.pending, 1, __ATOMIC_RELAXED);
	if (closer.idle)
		pthread_cond_signal(&closer.cond);
	pthread_mutex_unlock(&closer.mutex);
}

void close_connection(int fd, uid_t uid)
{
	if (closer_full(uid))
		close_here(fd);
	else
		close_later(fd, uid);
}

uint32_t closer_pending(void)
{
	return __atomic_load_n(&closer.pending, __ATOMIC_RELAXED);
}

int64_t closer_check(void)
{
	int64_t now = now_ns();

	if (!closer_pending())
		return -1;
	pthread_mutex_lock(&closer.mutex);
	for (uint32_t i = 0; i < closer.n; i++) {
		if (!closer.thread[i].busy || now - closer.thread[i].since < LONG_NS)
			continue;
		pthread_kill(closer.thread[i].id, SIGUSR1);
		/* what waits behind it need not */
		if (closer.first && !closer.idle && busy_for(closer.first->uid) < THREADS_USER_MAX)
			hire();
	}
	if (closer.idle && closer.first)
		pthread_cond_broadcast(&closer.cond);
	pthread_mutex_unlock(&closer.mutex);
	return now + LONG_NS;
}
