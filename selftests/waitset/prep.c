// SPDX-License-Identifier: MIT
/* <kipc/uring.h>: a queue or pipe as one operation in a ring of the program's own. */
#include <liburing.h>

#include <kipc/uring.h>

#include "queue/queue.h"
#include "waitset_test.h"

FIXTURE(prep)
{
	struct io_uring ring;
	struct kipc_queue *q;
	struct kipc_pipe *e[2];
};

FIXTURE_SETUP(prep)
{
	if (io_uring_queue_init(8, &self->ring, 0))
		SKIP("io_uring is refused here");
	self->q = make_queue(3);
	make_pipe(self->e);
}

FIXTURE_TEARDOWN(prep)
{
	io_uring_queue_exit(&self->ring);
	kipc_queue_close(self->q);
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

typedef struct __ksft_self_of_prep self_t;

/* What the preparation returned; submitted. */
static int prep_queue(self_t *self, unsigned int which)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
	int r;

	memset(sqe, 0xff, sizeof(*sqe));
	r = kipc_queue_prep_wait(self->q, which, sqe);
	io_uring_sqe_set_data64(sqe, which);
	EXPECT_EQ(1, io_uring_submit(&self->ring));
	return r;
}

static int prep_pipe(self_t *self, unsigned int which)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
	int r;

	memset(sqe, 0xff, sizeof(*sqe));
	r = kipc_pipe_prep_wait(self->e[0], which, sqe);
	io_uring_sqe_set_data64(sqe, which);
	EXPECT_EQ(1, io_uring_submit(&self->ring));
	return r;
}

static bool completed(self_t *self)
{
	struct io_uring_cqe *cqe;

	return !io_uring_peek_cqe(&self->ring, &cqe);
}

/* The result of the completion that comes, which is that of `which`. */
static int completion(self_t *self, unsigned int which)
{
	struct __kernel_timespec ts = { .tv_sec = LONG_NS / NSEC_PER_SEC };
	struct io_uring_cqe *cqe = NULL;
	int res;

	if (!EXPECT_EQ(0, io_uring_wait_cqe_timeout(&self->ring, &cqe, &ts)))
		return -1;
	EXPECT_EQ(which, io_uring_cqe_get_data64(cqe));
	res = cqe->res;
	io_uring_cqe_seen(&self->ring, cqe);
	return res;
}

TEST_F(prep, queue_readable)
{
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, prep_queue(self, KIPC_READABLE));
		EXPECT_FALSE(completed(self));
		EXPECT_EQ(0, put(self->q, 1));
		EXPECT_EQ(1, kipc_queue_complete_wait(self->q, KIPC_READABLE,
						      completion(self, KIPC_READABLE)));
		/* not all is taken: the next wait completes at once */
		EXPECT_EQ(0, put(self->q, 2));
		EXPECT_EQ(1, get(self->q));
		EXPECT_EQ(1, prep_queue(self, KIPC_READABLE));
		EXPECT_EQ(1, kipc_queue_complete_wait(self->q, KIPC_READABLE,
						      completion(self, KIPC_READABLE)));
		EXPECT_EQ(2, get(self->q));
		if (i % 2)
			EXPECT_EQ(-EAGAIN, get(self->q));
		EXPECT_FALSE(completed(self));
	}
	/* another was faster */
	EXPECT_EQ(0, prep_queue(self, KIPC_READABLE));
	EXPECT_EQ(0, put(self->q, 1));
	EXPECT_EQ(1, get(self->q));
	EXPECT_EQ(0, kipc_queue_complete_wait(self->q, KIPC_READABLE,
					      completion(self, KIPC_READABLE)));
	EXPECT_EQ(0, prep_queue(self, KIPC_READABLE));
	EXPECT_FALSE(completed(self));
	EXPECT_EQ(0, kipc_queue_shutdown(self->q));
	EXPECT_EQ(1, kipc_queue_complete_wait(self->q, KIPC_READABLE,
					      completion(self, KIPC_READABLE)));
	EXPECT_EQ(-EPIPE, get(self->q));
}

TEST_F(prep, queue_writable)
{
	EXPECT_EQ(1, prep_queue(self, KIPC_WRITABLE));
	EXPECT_EQ(1, kipc_queue_complete_wait(self->q, KIPC_WRITABLE,
					      completion(self, KIPC_WRITABLE)));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, put(self->q, 1));
	EXPECT_EQ(0, prep_queue(self, KIPC_WRITABLE));
	EXPECT_FALSE(completed(self));
	EXPECT_EQ(1, get(self->q));
	EXPECT_EQ(1, kipc_queue_complete_wait(self->q, KIPC_WRITABLE,
					      completion(self, KIPC_WRITABLE)));
}

TEST_F(prep, pipe)
{
	char buf[4096 / 2 - 8] = "";

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, prep_pipe(self, KIPC_READABLE));
		EXPECT_FALSE(completed(self));
		EXPECT_EQ(0, send_u64(self->e[1], 1));
		EXPECT_EQ(1, kipc_pipe_complete_wait(self->e[0], KIPC_READABLE,
						     completion(self, KIPC_READABLE)));
		EXPECT_EQ(1, recv_u64(self->e[0]));
	}
	EXPECT_EQ(1, prep_pipe(self, KIPC_WRITABLE));
	EXPECT_EQ(1, kipc_pipe_complete_wait(self->e[0], KIPC_WRITABLE,
					     completion(self, KIPC_WRITABLE)));
	while (!kipc_pipe_send(self->e[0], buf, sizeof(buf), KIPC_NOWAIT))
		;
	EXPECT_EQ(0, prep_pipe(self, KIPC_WRITABLE));
	EXPECT_FALSE(completed(self));
	EXPECT_EQ((ssize_t)sizeof(buf), kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_complete_wait(self->e[0], KIPC_WRITABLE,
					     completion(self, KIPC_WRITABLE)));

	EXPECT_EQ(0, prep_pipe(self, KIPC_PIPE_HANGUP));
	EXPECT_FALSE(completed(self));
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	EXPECT_EQ(1, kipc_pipe_complete_wait(self->e[0], KIPC_PIPE_HANGUP,
					     completion(self, KIPC_PIPE_HANGUP)));
	EXPECT_EQ(1, prep_pipe(self, KIPC_PIPE_HANGUP));
	EXPECT_EQ(0, completion(self, KIPC_PIPE_HANGUP));
	EXPECT_EQ(1, prep_pipe(self, KIPC_READABLE));
	EXPECT_EQ(0, completion(self, KIPC_READABLE));
	EXPECT_EQ(-EPIPE, recv_u64(self->e[0]));
}

static int hold_an_end(void *arg)
{
	kipc_pipe_close(arg);
	return pause();
}

TEST_F(prep, a_killed_peer)
{
	pid_t pid = ksft_fork(hold_an_end, self->e[0]);

	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	EXPECT_EQ(0, prep_pipe(self, KIPC_PIPE_HANGUP));
	EXPECT_FALSE(completed(self));
	ksft_kill(pid);
	EXPECT_EQ(1, kipc_pipe_complete_wait(self->e[0], KIPC_PIPE_HANGUP,
					     completion(self, KIPC_PIPE_HANGUP)));
}

TEST_F(prep, cancelled)
{
	struct io_uring_sqe *sqe;

	EXPECT_EQ(0, prep_queue(self, KIPC_READABLE));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, KIPC_READABLE, 0);
	io_uring_sqe_set_data64(sqe, 99);
	EXPECT_EQ(1, io_uring_submit(&self->ring));
	/* of the two completions either may be the first */
	for (int i = 0; i < 2; i++) {
		struct io_uring_cqe *cqe;

		ASSERT_EQ(0, io_uring_wait_cqe(&self->ring, &cqe));
		if (io_uring_cqe_get_data64(cqe) == KIPC_READABLE)
			EXPECT_EQ(-ECANCELED,
				  kipc_queue_complete_wait(self->q, KIPC_READABLE, cqe->res));
		else
			EXPECT_EQ(0, cqe->res);
		io_uring_cqe_seen(&self->ring, cqe);
	}
	EXPECT_EQ(0, put(self->q, 1));
	EXPECT_EQ(1, get(self->q));
}

/* Somebody stopped while it drained: the wait completes a little later, to be prepared anew. */
TEST_F(prep, while_another_drains)
{
	struct kipc_bell *bell = &self->q->bells[KIPC_QUEUE_BELL_READABLE];
	uint64_t drainer = 2ULL << KIPC_BELL_DRAINER_SHIFT;
	int res;

	ASSERT_EQ(-EAGAIN, get(self->q));
	fetch_or(&bell->line->word, drainer | KIPC_BELL_WATCHED);
	self->q->obj.seg.repair_depth = 4;	/* nobody is reaped */
	EXPECT_EQ(0, prep_queue(self, KIPC_READABLE));
	res = completion(self, KIPC_READABLE);
	EXPECT_EQ(-ETIME, res);
	EXPECT_EQ(0, kipc_queue_complete_wait(self->q, KIPC_READABLE, res));
	self->q->obj.seg.repair_depth = 0;
	/* slot 2 is nobody's: now it is found out; who asks knows that it left nothing */
	EXPECT_EQ(1, prep_queue(self, KIPC_READABLE));
	EXPECT_EQ(0, completion(self, KIPC_READABLE));
	EXPECT_EQ(0, __kipc_bell_drainer(bell));
	EXPECT_EQ(-EAGAIN, get(self->q));
	EXPECT_EQ(0, prep_queue(self, KIPC_READABLE));
	EXPECT_EQ(0, put(self->q, 1));
	EXPECT_EQ(1, kipc_queue_complete_wait(self->q, KIPC_READABLE,
					      completion(self, KIPC_READABLE)));
}

TEST_F(prep, wrong_arguments)
{
	struct io_uring_sqe sqe, before;

	memset(&sqe, 0x5a, sizeof(sqe));
	before = sqe;
	EXPECT_EQ(-EINVAL, kipc_queue_prep_wait(NULL, KIPC_READABLE, &sqe));
	EXPECT_EQ(-EINVAL, kipc_queue_prep_wait(self->q, 0, &sqe));
	EXPECT_EQ(-EINVAL, kipc_queue_prep_wait(self->q, KIPC_READABLE | KIPC_WRITABLE, &sqe));
	EXPECT_EQ(-EINVAL, kipc_queue_prep_wait(self->q, KIPC_PIPE_HANGUP, &sqe));
	EXPECT_EQ(-EINVAL, kipc_queue_prep_wait(self->q, KIPC_READABLE, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_complete_wait(NULL, KIPC_READABLE, 1));
	EXPECT_EQ(-EINVAL, kipc_queue_complete_wait(self->q, 3, 1));
	EXPECT_EQ(-EINVAL, kipc_pipe_prep_wait(NULL, KIPC_READABLE, &sqe));
	EXPECT_EQ(-EINVAL, kipc_pipe_prep_wait(self->e[0], 7, &sqe));
	EXPECT_EQ(-EINVAL, kipc_pipe_complete_wait(NULL, KIPC_READABLE, 1));
	EXPECT_EQ(-EBADFD, kipc_pipe_complete_wait(self->e[0], KIPC_READABLE, -EBADFD));
	EXPECT_MEMEQ(&before, &sqe, sizeof(sqe));
}

/* Two rings get what two threads put, waiting by operations alone: nothing is lost. */
struct loops {
	struct kipc_queue *q;
	uint64_t put, got, n;
};

static int put_loop(void *arg)
{
	struct loops *l = arg;
	uint64_t v;

	while ((v = fetch_add(&l->put, 1) + 1) <= l->n)
		if (kipc_queue_put(l->q, &v, sizeof(v), LONG_NS))
			return 1;
	return 0;
}

static int get_loop(void *arg)
{
	struct __kernel_timespec ts = { .tv_sec = LONG_NS / NSEC_PER_SEC };
	struct loops *l = arg;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int64_t v = 0;
	int r;

	EXPECT_EQ(0, io_uring_queue_init(8, &ring, 0));
	while (v != -EPIPE) {
		kipc_queue_prep_wait(l->q, KIPC_READABLE, io_uring_get_sqe(&ring));
		EXPECT_EQ(1, io_uring_submit(&ring));
		if (!EXPECT_EQ(0, io_uring_wait_cqe_timeout(&ring, &cqe, &ts)))
			break;
		r = kipc_queue_complete_wait(l->q, KIPC_READABLE, cqe->res);
		io_uring_cqe_seen(&ring, cqe);
		if (!EXPECT_GE(r, 0))
			break;
		/* not always all of it */
		for (int i = 0; r && i < 5 && (v = get(l->q)) > 0; i++)
			fetch_add(&l->got, 1);
	}
	io_uring_queue_exit(&ring);
	return v == -EPIPE ? 0 : 1;
}

TEST_F(prep, nothing_is_lost)
{
	struct loops l = { .q = self->q, .n = ksft_slow() ? 1000 : 8000 };
	struct ksft_thread putters[2], getters[2];

	for (int i = 0; i < 2; i++) {
		ksft_thread_start(&getters[i], get_loop, &l);
		ksft_thread_start(&putters[i], put_loop, &l);
	}
	for (int i = 0; i < 2; i++)
		ksft_thread_join(&putters[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(self->q));
	for (int i = 0; i < 2; i++)
		ksft_thread_join(&getters[i]);
	EXPECT_EQ(l.n, l.got);
}

TEST_HARNESS_MAIN
