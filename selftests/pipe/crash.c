// SPDX-License-Identifier: MIT
/*
 * kill -9 of processes that share an end: what they had finished happened, what they were at did not,
 * and the survivors go on with exact counts.
 */
#include "pipe_test.h"

#define BIG (3 * RING + 5)
#define KILLS 24

FIXTURE(crash)
{
	struct kipc_pipe *e[2];
	uint8_t *buf;
};

FIXTURE_VARIANT(crash)
{
	uint32_t big_every; /* every so many messages one that streams; 0: none */
	bool in_place;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(crash, small){ .big_every = 0 };
FIXTURE_VARIANT_ADD(crash, small_ppoll){ .ppoll = true };
FIXTURE_VARIANT_ADD(crash, in_place){ .in_place = true };
FIXTURE_VARIANT_ADD(crash, mixed){ .big_every = 7 };
FIXTURE_VARIANT_ADD(crash, streams){ .big_every = 1 };

FIXTURE_SETUP(crash)
{
	pipe_use_ppoll(variant->ppoll);
	pipe_make(self->e, RING, 0);
	self->buf = malloc(BIG);
}

FIXTURE_TEARDOWN(crash)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
	free(self->buf);
}

struct head {
	uint64_t id, seq;
};

struct world {
	struct kipc_pipe *e[2];
	uint32_t big_every;
	bool in_place;
	/* in shared pages: */
	struct counts {
		bool stop;
		uint64_t acked[KILLS + 1];    /* sends that returned 0, by sender */
		uint64_t got[KILLS + 1];      /* received, by sender */
		uint64_t received[KILLS + 1]; /* by receiver */
		uint64_t sent;
	} * c;
	uint8_t *times; /* how often message n was received */
};

static bool stopped(struct world *w)
{
	return __atomic_load_n(&w->c->stop, __ATOMIC_ACQUIRE);
}

static size_t length_of(struct world *w, uint64_t seq)
{
	return w->big_every && seq % w->big_every == 0 ? BIG : 16 + seq % 90;
}

static int send_one(struct world *w, uint8_t *buf, uint64_t id, uint64_t seq)
{
	size_t len = length_of(w, seq);
	struct head head = { id, seq };
	struct kipc_pipe_msg msg;
	int r;

	if (!w->in_place || len == BIG) {
		pipe_fill(buf, len, seq);
		memcpy(buf, &head, sizeof(head));
		return kipc_pipe_send(w->e[0], buf, len, KIPC_FOREVER);
	}
	r = kipc_pipe_reserve(w->e[0], len + 100, &msg, KIPC_FOREVER);
	if (r)
		return r;
	pipe_fill(msg.data, len, seq);
	memcpy(msg.data, &head, sizeof(head));
	msg.len = len;
	return kipc_pipe_commit(w->e[0], &msg);
}

/* The next message, checked in every byte; 1, or an error. */
static int recv_one(struct world *w, uint8_t *buf, struct head *head)
{
	struct kipc_pipe_msg msg = { .data = buf };
	ssize_t r = -EMSGSIZE;
	size_t len;

	if (w->in_place) {
		r = kipc_pipe_peek(w->e[1], &msg, KIPC_FOREVER);
		if (!r)
			r = (ssize_t)msg.len;
	}
	if (r == -EMSGSIZE)
		r = kipc_pipe_recv(w->e[1], buf, BIG, KIPC_FOREVER);
	if (r < 0)
		return (int)r;
	if (!EXPECT_GE(r, sizeof(*head)))
		return -EBADMSG;
	memcpy(head, msg.data, sizeof(*head));
	len = length_of(w, head->seq);
	if (!EXPECT_EQ((ssize_t)len, r))
		return -EBADMSG;
	if (msg.data != buf)
		memcpy(buf, msg.data, len);
	pipe_fill(buf, sizeof(*head), head->seq);
	EXPECT_TRUE(pipe_check(buf, len, head->seq));
	return msg.data != buf ? kipc_pipe_release(w->e[1], &msg) ?: 1 : 1;
}

struct role {
	struct world *w;
	uint64_t id;
};

static int send_for_ever(void *arg)
{
	struct role *role = arg;
	struct world *w = role->w;
	uint8_t *buf = malloc(BIG);
	int r = 0;

	kipc_pipe_close(w->e[1]);
	for (uint64_t seq = 1; !stopped(w) && !r; seq++) {
		r = send_one(w, buf, role->id, seq);
		if (!r)
			__atomic_store_n(&w->c->acked[role->id], seq, __ATOMIC_RELEASE);
	}
	free(buf);
	return !EXPECT_EQ(0, r);
}

static int receive_all(void *arg)
{
	struct world *w = arg;
	uint8_t *buf = malloc(BIG);
	struct head head;
	int r;

	kipc_pipe_close(w->e[0]);
	while ((r = recv_one(w, buf, &head)) == 1) {
		if (!EXPECT_LE(head.id, KILLS) || !EXPECT_EQ(w->c->got[head.id] + 1, head.seq))
			return 1;
		w->c->got[head.id] = head.seq;
	}
	free(buf);
	return !EXPECT_EQ(-EPIPE, r);
}

static struct world make_world(struct kipc_pipe *e[2], uint32_t big_every, bool in_place)
{
	return (struct world){
		.e = { e[0], e[1] },
		.big_every = big_every,
		.in_place = in_place,
		.c = ksft_shared(sizeof(struct counts)),
	};
}

static uint64_t acked(struct world *w, uint64_t id)
{
	return __atomic_load_n(&w->c->acked[id], __ATOMIC_ACQUIRE);
}

TEST_F(crash, senders)
{
	struct world w = make_world(self->e, variant->big_every, variant->in_place);
	struct role survivor = { &w, 0 };
	pid_t receiver, sender, victim;
	uint64_t before;

	receiver = ksft_fork(receive_all, &w);
	sender = ksft_fork(send_for_ever, &survivor);
	kipc_pipe_close(self->e[1]);
	self->e[1] = NULL;
	w.e[1] = NULL;
	for (uint64_t i = 1; i <= KILLS; i++) {
		struct role role = { &w, i };

		victim = ksft_fork(send_for_ever, &role);
		ASSERT_TRUE(ksft_wait_for(acked(&w, i) >= 1 + i % 5 * 7, 5000));
		for (volatile uint64_t spin = 0; spin < i * 997 % 4001; spin++)
			;
		ksft_kill(victim);
		/* the survivor isn't held up for long */
		before = acked(&w, 0);
		ASSERT_TRUE(ksft_wait_for(acked(&w, 0) > before + 2, 1000));
	}
	__atomic_store_n(&w.c->stop, true, __ATOMIC_RELEASE);
	ksft_join(sender);
	kipc_pipe_close(self->e[0]);
	self->e[0] = NULL;
	ksft_join(receiver);
	EXPECT_EQ(w.c->acked[0], w.c->got[0]);
	for (int i = 1; i <= KILLS; i++) {
		EXPECT_GE(w.c->got[i], w.c->acked[i]);
		EXPECT_LE(w.c->got[i], w.c->acked[i] + 1);
	}
}

#define TIMES_MAX (4 << 20)

static int send_numbered(void *arg)
{
	struct world *w = arg;
	uint8_t *buf = malloc(BIG);
	uint64_t seq;
	int r = 0;

	kipc_pipe_close(w->e[1]);
	for (seq = 1; !stopped(w) && !r && seq < TIMES_MAX; seq++)
		r = send_one(w, buf, 0, seq);
	w->c->sent = seq - 1;
	free(buf);
	return !EXPECT_EQ(0, r);
}

static int receive_for_ever(void *arg)
{
	struct role *role = arg;
	struct world *w = role->w;
	uint8_t *buf = malloc(BIG);
	struct head head;
	int r;

	kipc_pipe_close(w->e[0]);
	while ((r = recv_one(w, buf, &head)) == 1) {
		if (!EXPECT_LT(head.seq, TIMES_MAX))
			return 1;
		__atomic_fetch_add(&w->times[head.seq], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&w->c->received[role->id], 1, __ATOMIC_RELEASE);
	}
	free(buf);
	return !EXPECT_EQ(-EPIPE, r);
}

static uint64_t received(struct world *w, uint64_t id)
{
	return __atomic_load_n(&w->c->received[id], __ATOMIC_ACQUIRE);
}

/* A receiver that dies has at most one message with it: the one whose receive did not return. */
TEST_F(crash, receivers)
{
	struct world w = make_world(self->e, variant->big_every, variant->in_place);
	struct role survivor = { &w, 0 };
	pid_t receiver, sender, victim;
	uint64_t before, lost = 0;

	w.times = ksft_shared(TIMES_MAX);
	sender = ksft_fork(send_numbered, &w);
	receiver = ksft_fork(receive_for_ever, &survivor);
	kipc_pipe_close(self->e[0]);
	self->e[0] = NULL;
	w.e[0] = NULL;
	for (uint64_t i = 1; i <= KILLS; i++) {
		struct role role = { &w, i };

		victim = ksft_fork(receive_for_ever, &role);
		ASSERT_TRUE(ksft_wait_for(received(&w, i) >= 1 + i % 5 * 7, 5000));
		for (volatile uint64_t spin = 0; spin < i * 997 % 4001; spin++)
			;
		ksft_kill(victim);
		before = received(&w, 0);
		ASSERT_TRUE(ksft_wait_for(received(&w, 0) > before + 2, 1000));
	}
	__atomic_store_n(&w.c->stop, true, __ATOMIC_RELEASE);
	ksft_join(sender);
	ksft_join(receiver);
	EXPECT_GT(w.c->sent, 100);
	for (uint64_t seq = 1; seq <= w.c->sent; seq++) {
		ASSERT_LE(w.times[seq], 1);
		lost += !w.times[seq];
	}
	EXPECT_LE(lost, KILLS);
	EXPECT_EQ(0, w.times[w.c->sent + 1]);
	ksft_log("%llu sent, %llu died with their receivers", (unsigned long long)w.c->sent,
		 (unsigned long long)lost);
}

/* ---- a death in the middle of a stream, one by one ---- */

FIXTURE(stuck)
{
	struct kipc_pipe *e[2];
	uint8_t *buf;
};

FIXTURE_VARIANT(stuck)
{
	uint32_t flags;
	bool begun; /* the receiver is in the stream already */
};

FIXTURE_VARIANT_ADD(stuck, shared){ .flags = 0 };
FIXTURE_VARIANT_ADD(stuck, shared_begun){ .begun = true };
FIXTURE_VARIANT_ADD(stuck, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };
FIXTURE_VARIANT_ADD(stuck, exclusive_begun){ .flags = KIPC_PIPE_EXCLUSIVE, .begun = true };

FIXTURE_SETUP(stuck)
{
	pipe_make(self->e, RING, variant->flags);
	self->buf = malloc(8 * RING);
}

FIXTURE_TEARDOWN(stuck)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
	free(self->buf);
}

static int stream_and_die(void *arg)
{
	uint8_t *buf = calloc(1, 8 * RING);

	kipc_pipe_send(arg, buf, 8 * RING, KIPC_FOREVER);
	pause();
	return 0;
}

static int expect_after(void *arg)
{
	uint8_t *buf = malloc(8 * RING);

	EXPECT_EQ(5, kipc_pipe_recv(arg, buf, 8 * RING, KIPC_FOREVER));
	EXPECT_MEMEQ("after", buf, 5);
	free(buf);
	return 0;
}

/* The sending end is still open elsewhere: no hang-up, but the message will never be whole. */
TEST_F(stuck, a_streamer_dies)
{
	struct kipc_pipe_way *s = self->e[0]->tx.shm;
	struct ksft_thread t;
	pid_t pid;

	pid = ksft_fork(stream_and_die, self->e[0]);
	ASSERT_TRUE(ksft_wait_for(pipe_writer_sleeps(&self->e[0]->tx) && ksft_asleep(pid), 5000));
	kill(pid, SIGSTOP);
	if (variant->begun) {
		ksft_thread_start(&t, expect_after, self->e[1]);
		ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == RING &&
						  pipe_reader_sleeps(&self->e[0]->tx),
					  5000));
	}
	ksft_kill(pid);
	if (variant->begun) {
		/* the receiver itself finds out, without anybody's help */
		ASSERT_TRUE(
			ksft_wait_for(__atomic_load_n(&s->msg_end, __ATOMIC_ACQUIRE) == 0, 1000));
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], "after", 5, KIPC_NOWAIT));
	} else {
		/* whoever sends next repairs, but the ring is full of it */
		EXPECT_EQ(-EAGAIN, kipc_pipe_send(self->e[0], "after", 5, KIPC_NOWAIT));
		EXPECT_EQ(RING | KIPC_PIPE_VALID, s->cut);
		ksft_thread_start(&t, expect_after, self->e[1]);
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], "after", 5, KIPC_FOREVER));
	}
	ksft_thread_join(&t);
	EXPECT_EQ(0, s->stream_end);
	EXPECT_EQ(1, s->cuts);
	EXPECT_EQ(0, s->send_lock & KIPC_LOCK_OWNER);
}

static int receive_and_die(void *arg)
{
	uint8_t *buf = malloc(8 * RING);

	kipc_pipe_recv(arg, buf, 8 * RING, KIPC_FOREVER);
	pause();
	return 0;
}

/* The receiver of a stream dies: its sender finishes, the next receiver gets the next message. */
TEST_F(stuck, a_stream_receiver_dies)
{
	struct kipc_pipe_way *s = self->e[0]->tx.shm;
	struct ksft_thread t;
	pid_t sender, receiver;

	/* a sender that stops half-way, so that the receiver is in the middle when it dies */
	sender = ksft_fork(stream_and_die, self->e[0]);
	ASSERT_TRUE(
		ksft_wait_for(pipe_writer_sleeps(&self->e[0]->tx) && ksft_asleep(sender), 5000));
	kill(sender, SIGSTOP);
	receiver = ksft_fork(receive_and_die, self->e[1]);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == RING, 5000));
	ksft_kill(receiver);
	EXPECT_NE(0, s->msg_end);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], self->buf, 8 * RING, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_recv(self->e[1], self->buf, 8 * RING, 2 * MS));
	if (variant->begun) {
		/* it dies, too: what it didn't send won't come */
		ksft_kill(sender);
		ksft_thread_start(&t, expect_after, self->e[1]);
	} else {
		ksft_thread_start(&t, expect_after, self->e[1]);
		kill(sender, SIGCONT);
		ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->stream_end, __ATOMIC_ACQUIRE) == 0,
					  5000));
		ksft_kill(sender);
	}
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "after", 5, KIPC_FOREVER));
	ksft_thread_join(&t);
	EXPECT_EQ(0, s->msg_end);
}

/* The rest of a dead receiver's stream, with a shutdown or a hang-up behind it. */
TEST_F(stuck, nothing_more_comes_after_it)
{
	struct kipc_pipe_way *s = self->e[0]->tx.shm;
	pid_t sender, receiver;

	sender = ksft_fork(stream_and_die, self->e[0]);
	ASSERT_TRUE(
		ksft_wait_for(pipe_writer_sleeps(&self->e[0]->tx) && ksft_asleep(sender), 5000));
	kill(sender, SIGSTOP);
	receiver = ksft_fork(receive_and_die, self->e[1]);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&s->tail, __ATOMIC_ACQUIRE) == RING, 5000));
	ksft_kill(receiver);
	if (variant->begun)
		EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	ksft_kill(sender);
	if (!variant->begun) {
		kipc_pipe_close(self->e[0]);
		self->e[0] = NULL;
	}
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], self->buf, 8 * RING, KIPC_FOREVER));
}

/* Locks of those who died with a message open in place. */
static int hold_both(void *arg)
{
	struct kipc_pipe **e = arg;
	struct kipc_pipe_msg out, in;

	EXPECT_EQ(0, kipc_pipe_reserve(e[0], 8, &out, KIPC_FOREVER));
	memset(out.data, 'd', 8);
	EXPECT_EQ(0, kipc_pipe_peek(e[1], &in, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_send(e[1], "ready", 5, KIPC_FOREVER));
	pause();
	return 0;
}

TEST_F(stuck, a_holder_of_messages_in_place_dies)
{
	char buf[8];
	pid_t pid;

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "stays", 5, KIPC_NOWAIT));
	pid = ksft_fork(hold_both, self->e);
	EXPECT_EQ(5, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_FOREVER));
	ksft_kill(pid);
	if (variant->begun) {
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], "x", 1, KIPC_FOREVER));
		EXPECT_EQ(5, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_FOREVER));
	} else {
		/* not even a call that may not wait sees anything of it */
		EXPECT_EQ(0, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
		EXPECT_EQ(5, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	}
	EXPECT_MEMEQ("stays", buf, 5);
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ('x', buf[0]);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
}

TEST_HARNESS_MAIN
