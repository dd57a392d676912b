// SPDX-License-Identifier: MIT
/*
 * Sleeping in io_uring: one io_uring_enter(2) that arms the polls and waits with the deadline.
 *
 * Each thread owns a small ring, made at its first sleep and freed when the thread ends.  The poll
 * of the doorbell is one-shot and exclusive, so a ring of the bell wakes one sleeper.  It must not
 * outlive the sleep: an armed poll of a thread that runs would swallow the wake-up of one that
 * sleeps.  So every way out that isn't its completion cancels it, and waits until the kernel has
 * said which of the two it was.  A cancellation may miss: while the poll is being woken the kernel
 * doesn't find it, or says -EALREADY, and if whoever rang has been served by then and the descriptor
 * is drained, it arms the poll again by itself.  So one that missed is repeated.
 *
 * The poll of the hang-up descriptor isn't exclusive and swallows nothing; it stays armed from one
 * sleep to the next as long as the same hang-up token is waited for, and is cancelled together with
 * the next arming otherwise.  (It holds a reference to the polled file; a token stands for an epoll
 * instance that is polled for nothing else.)
 *
 * user_data is a number that never repeats within the ring, so a completion of an earlier sleep
 * can't be mistaken for one of this.
 *
 * Fork: the child closes its copies of all the threads' rings; they would stay open for as long as it
 * lives.  One made by a bare clone(2) finds its ring to be of another epoch, and drops that one.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "core/sys.h"
#include "core/wait.h"

#define RING_ENTRIES	8

struct thread_ring {
	struct io_uring ring;
	uint64_t epoch;		/* of the process that made it */
	uint64_t last_id;
	uint64_t bell_id;	/* the poll armed now, or 0 */
	uint64_t cancel_id;	/* what cancels it now, or 0 */
	uint64_t hup_id;	/* likewise */
	uint64_t hup_token;	/* what hup_id stands for */
	struct thread_ring *next, **pprev;	/* every ring of the process */
};

static __thread struct thread_ring *mine;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool have_key;
static pthread_mutex_t rings_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct thread_ring *rings;

/* At the end of the thread, among others. */
static void drop(void *arg)
{
	struct thread_ring *tr = arg;
	int saved = errno;

	pthread_mutex_lock(&rings_mutex);
	*tr->pprev = tr->next;
	if (tr->next)
		tr->next->pprev = tr->pprev;
	io_uring_queue_exit(&tr->ring);
	pthread_mutex_unlock(&rings_mutex);
	free(tr);
	mine = NULL;
	errno = saved;
}

static void drop_mine(void)
{
	struct thread_ring *tr = mine;

	pthread_setspecific(key, NULL);
	drop(tr);
}

static void before_fork(void)
{
	pthread_mutex_lock(&rings_mutex);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&rings_mutex);
}

static void after_fork_child(void)
{
	struct thread_ring *tr;
	int saved = errno;

	pthread_mutex_init(&rings_mutex, NULL);
	while ((tr = rings)) {
		rings = tr->next;
		io_uring_queue_exit(&tr->ring);
		free(tr);
	}
	mine = NULL;
	pthread_setspecific(key, NULL);
	errno = saved;
}

/* In a bare clone of a process: what the other threads had, even the mutex, is past knowing. */
static void forget_all(void)
{
	int saved = errno;

	io_uring_queue_exit(&mine->ring);
	pthread_mutex_init(&rings_mutex, NULL);
	rings = NULL;
	mine = NULL;
	pthread_setspecific(key, NULL);
	errno = saved;
}

static void make_key(void)
{
	have_key = pthread_key_create(&key, drop) == 0 &&
		   pthread_atfork(before_fork, after_fork_parent, after_fork_child) == 0;
}

static int make_ring(void)
{
	/* completions are only wanted inside our own io_uring_enter(2): no interruptions */
	static const unsigned int flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	struct thread_ring *tr;
	int r = -ENOSYS;

	pthread_once(&once, make_key);
	if (!have_key)
		return -EAGAIN;
	tr = calloc(1, sizeof(*tr));
	if (!tr)
		return -ENOMEM;
	/* fork() waits for it: no child gets a ring that isn't in the list */
	pthread_mutex_lock(&rings_mutex);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		r = io_uring_queue_init(RING_ENTRIES, &tr->ring, flags[i]);
		if (r != -EINVAL)
			break;
	}
	if (!r && !(tr->ring.features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(&tr->ring);
		r = -ENOSYS;	/* no deadline in the wait itself: ppoll is the better one */
	}
	if (!r && pthread_setspecific(key, tr)) {
		io_uring_queue_exit(&tr->ring);
		r = -ENOMEM;
	}
	if (!r) {
		tr->epoch = load_relaxed(__kipc_fork_epoch);
		tr->next = rings;
		tr->pprev = &rings;
		if (rings)
			rings->pprev = &tr->next;
		rings = mine = tr;
	}
	pthread_mutex_unlock(&rings_mutex);
	if (r)
		free(tr);
	return r;
}

static uint64_t arm(struct thread_ring *tr, int fd, unsigned int events)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&tr->ring);

	io_uring_prep_poll_add(sqe, fd, events);
	io_uring_sqe_set_data64(sqe, ++tr->last_id);
	return tr->last_id;
}

static uint64_t disarm(struct thread_ring *tr, uint64_t id)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&tr->ring);

	io_uring_prep_cancel64(sqe, id, 0);
	io_uring_sqe_set_data64(sqe, ++tr->last_id);
	return tr->last_id;
}

/* Takes all completions that are there; what they mean for this sleep. */
static int harvest(struct thread_ring *tr)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	int got = 0;

	io_uring_for_each_cqe(&tr->ring, head, cqe) {
		uint64_t id = io_uring_cqe_get_data64(cqe);

		n++;
		if (id == tr->bell_id) {
			tr->bell_id = 0;
			/* an error means that the poll can't be trusted to come: look and go on */
			if (cqe->res != -ECANCELED)
				got |= 1;
		} else if (id == tr->cancel_id) {
			if (cqe->res)
				tr->cancel_id = 0;	/* missed */
		} else if (id == tr->hup_id) {
			tr->hup_id = 0;
			if (cqe->res != -ECANCELED)
				got |= 2;
		}
	}
	io_uring_cq_advance(&tr->ring, n);
	return got;
}

/* Submits what is queued and waits for one completion, or until_ns. */
static int enter(struct thread_ring *tr, int64_t until_ns)
{
	int64_t left = until_ns - __kipc_now_ns();
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;

	if (left < 0)
		left = 0;
	ts.tv_sec = left / NSEC_PER_SEC;
	ts.tv_nsec = left % NSEC_PER_SEC;
	return io_uring_submit_and_wait_timeout(&tr->ring, &cqe, 1, &ts, NULL);
}

/* The ring is of no use: forbidden by a sandbox that came later, or its descriptor was closed. */
static bool broken(int r)
{
	return r < 0 && r != -ETIME && r != -EINTR && r != -EAGAIN && r != -EBUSY;
}

/*
 * Ends the bell's poll.  By the tick it is tried again whatever the kernel said: nothing is waited for
 * without an end (design.md, rule 7).  *r: the last enter()'s result.  As harvest().
 */
static int call_off(struct thread_ring *tr, int *r)
{
	int got = 0;

	tr->cancel_id = 0;
	while (tr->bell_id && !broken(*r)) {
		if (!tr->cancel_id || *r == -ETIME)
			tr->cancel_id = disarm(tr, tr->bell_id);
		*r = enter(tr, __kipc_now_ns() + KIPC_OWNER_TICK_NS);
		got |= harvest(tr);
	}
	return got;
}

int __kipc_sleep_uring(int bell_fd, int hup_fd, uint64_t hup_token, int64_t until_ns)
{
	struct thread_ring *tr = mine;
	int saved = errno, got = 0, failed = 0, r;

	if (tr && tr->epoch != load_relaxed(__kipc_fork_epoch)) {
		forget_all();
		tr = NULL;
	}
	if (!tr) {
		r = make_ring();
		errno = saved;
		if (r)
			return r;
		tr = mine;
	}

	if (tr->hup_id && (hup_fd < 0 || hup_token != tr->hup_token)) {
		disarm(tr, tr->hup_id);
		tr->hup_id = 0;		/* whatever becomes of it, it is nobody's now */
	}
	if (hup_fd >= 0 && !tr->hup_id) {
		tr->hup_id = arm(tr, hup_fd, POLLIN);
		tr->hup_token = hup_token;
	}
	if (bell_fd >= 0)
		tr->bell_id = arm(tr, bell_fd, POLLIN | EPOLLEXCLUSIVE);

	for (;;) {
		r = enter(tr, until_ns);
		got |= harvest(tr);
		if (got || r < 0)
			break;
		/* only left-overs of earlier sleeps */
	}
	if (!got && (r == -EAGAIN || r == -EBUSY))
		failed = r;
	got |= call_off(tr, &r);
	if (broken(r)) {
		drop_mine();	/* which disarms, too */
		failed = r;
	}
	errno = saved;
	return got ? got : failed;
}
