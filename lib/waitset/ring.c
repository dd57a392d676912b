// SPDX-License-Identifier: MIT
/*
 * The ring of the thread that waits: a multishot poll for each watch of an object, and one for the
 * epoll instance with the kernel's members.
 *
 * Why those aren't in the ring themselves: an armed poll holds a reference to its file, and it can
 * be cancelled by the ring's thread alone, at its next wait.  A socket that another thread removes
 * from the set and closes would stay open until then.  An epoll instance holds no reference.
 * Doorbells have nobody who waits for their end, and a pipe's hang-up descriptor is an epoll
 * instance, too.
 *
 * A multishot poll is an edge: each write of the eventfd is an event, if it can still be read when
 * the kernel looks (who drained it in between has looked at the condition).  One that ends (no
 * IORING_CQE_F_MORE: there was no room for its events) is armed again.
 */
#include <poll.h>
#include <stdlib.h>

#include "core/sys.h"
#include "waitset/waitset.h"

struct waitset_ring_size __kipc_waitset_ring_size = { .sq = 256, .cq = 4096 };

/* A thread's number, which no other thread of the process ever has. */
static uint64_t my_number(void)
{
	static uint64_t last;
	static __thread uint64_t mine;

	if (unlikely(!mine))
		mine = fetch_add(&last, 1) + 1;
	return mine;
}

bool __kipc_waitset_ring_mine(const struct kipc_waitset *ws)
{
	return ws->ring.owner == my_number();
}

int __kipc_waitset_ring_open(struct kipc_waitset *ws)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
		.cq_entries = __kipc_waitset_ring_size.cq,
	};
	int saved = errno, r;

	r = io_uring_queue_init_params(__kipc_waitset_ring_size.sq, &ws->ring.uring, &params);
	if (!r && !(params.features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(&ws->ring.uring);
		r = -ENOSYS;	/* no deadline in the wait itself: epoll is the better one */
	}
	errno = saved;
	if (r)
		return r;
	ws->ring.owner = my_number();
	ws->ring.polls_epoll = false;
	ws->epoll_hot = true;
	return 0;
}

void __kipc_waitset_ring_close(struct kipc_waitset *ws)
{
	int saved = errno;

	io_uring_queue_exit(&ws->ring.uring);
	errno = saved;
	free(ws->ring.cancel);
	ws->ring = (struct waitset_ring){ 0 };
	ws->how = HOW_UNDECIDED;
	for (uint32_t i = 1; i < ws->nplaces; i++) {
		struct member *m = ws->places[i].member;

		if (!m || !is_object(m))
			continue;
		for (int j = 0; j < WATCHES; j++)
			m->watch[j].token = TOKEN_NONE;
		__kipc_waitset_queue_unarmed(ws, m);
	}
}

void __kipc_waitset_ring_cancel(struct kipc_waitset *ws, uint64_t token)
{
	struct waitset_ring *ring = &ws->ring;

	if (ring->ncancel == ring->max_cancel) {
		size_t n = ring->max_cancel ? 2 * ring->max_cancel : 16;
		uint64_t *cancel = realloc(ring->cancel, n * sizeof(*cancel));

		if (!cancel)
			return;		/* it stays armed, and what it says is ignored */
		ring->cancel = cancel;
		ring->max_cancel = n;
	}
	ring->cancel[ring->ncancel++] = token;
}

static struct io_uring_sqe *get_sqe(struct waitset_ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (sqe)
		return sqe;
	io_uring_submit(&ring->uring);
	return io_uring_get_sqe(&ring->uring);
}

static bool arm(struct waitset_ring *ring, int fd, uint64_t token)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	if (!sqe)
		return false;
	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, token);
	return true;
}

static bool cancel(struct waitset_ring *ring, uint64_t token)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	if (!sqe)
		return false;
	/* unlike IORING_OP_POLL_REMOVE it also ends a multishot poll that is just being woken */
	io_uring_prep_cancel64(sqe, token, 0);
	io_uring_sqe_set_data64(sqe, TOKEN_NONE);
	return true;
}

/* False: the submission queue is full; the rest comes next time. */
static bool arm_member(struct kipc_waitset *ws, struct member *m)
{
	for (int i = 0; i < WATCHES; i++) {
		struct watch *w = &m->watch[i];
		uint64_t token;

		if (!w->event || w->token)
			continue;
		token = __kipc_waitset_token(ws, m, w);
		if (!arm(&ws->ring, w->src.fd, token))
			return false;
		w->token = token;
	}
	return true;
}

/* Submits what is to be armed and cancelled. */
static int submit(struct kipc_waitset *ws)
{
	struct waitset_ring *ring = &ws->ring;
	struct member *m;

	if (!ring->polls_epoll)
		ring->polls_epoll = arm(ring, ws->epfd, TOKEN_EPOLL);
	while (ring->ncancel && cancel(ring, ring->cancel[ring->ncancel - 1]))
		ring->ncancel--;
	while ((m = TAILQ_FIRST(&ws->unarmed)) && arm_member(ws, m)) {
		TAILQ_REMOVE(&ws->unarmed, m, unarmed);
		m->is_unarmed = false;
	}
	return io_uring_sq_ready(&ring->uring) ? io_uring_submit(&ring->uring) : 0;
}

static void take_completion(struct kipc_waitset *ws, const struct io_uring_cqe *cqe)
{
	uint64_t token = cqe->user_data;
	bool over = !(cqe->flags & IORING_CQE_F_MORE);
	struct member *m;
	struct watch *w;

	if (token == TOKEN_EPOLL) {
		ws->epoll_hot = true;
		if (over)
			ws->ring.polls_epoll = false;
		return;
	}
	/* none: of a poll that is nobody's any more, or of its cancellation */
	w = __kipc_waitset_watch(ws, token, &m);
	if (!w)
		return;
	if (over) {
		w->token = TOKEN_NONE;
		/* if it failed, trying at once would fail in a loop: the next tick does */
		if (cqe->res >= 0)
			__kipc_waitset_queue_unarmed(ws, m);
	}
	__kipc_waitset_heat(ws, m, w);
}

static void harvest(struct kipc_waitset *ws)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	io_uring_for_each_cqe(&ws->ring.uring, head, cqe) {
		take_completion(ws, cqe);
		n++;
	}
	io_uring_cq_advance(&ws->ring.uring, n);
}

/* Whether the kernel has something that it will only write down when it is entered. */
static bool work_pending(const struct waitset_ring *ring)
{
	return __atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static int sleep_until(struct kipc_waitset *ws, int64_t until_ns)
{
	int64_t left = max_of(until_ns - __kipc_now_ns(), (int64_t)0);
	struct __kernel_timespec ts = {
		.tv_sec = left / NSEC_PER_SEC,
		.tv_nsec = left % NSEC_PER_SEC,
	};
	struct io_uring_cqe *cqe;
	int r;

	ws->asleep = true;
	leave(ws);
	r = io_uring_submit_and_wait_timeout(&ws->ring.uring, &cqe, 1, &ts, NULL);
	pthread_mutex_lock(&ws->mutex);
	ws->asleep = false;
	return r;
}

int __kipc_waitset_ring_take(struct kipc_waitset *ws, int64_t until_ns)
{
	struct waitset_ring *ring = &ws->ring;
	int saved = errno, r;

	r = submit(ws);
	if (r >= 0 && work_pending(ring))
		r = io_uring_get_events(&ring->uring);
	if (r >= 0 && until_ns && !io_uring_cq_ready(&ring->uring))
		r = sleep_until(ws, until_ns);
	harvest(ws);
	errno = saved;
	/* -EBUSY: it wants to be harvested first */
	return r >= 0 || r == -ETIME || r == -EINTR || r == -EBUSY ? 0 : r;
}
