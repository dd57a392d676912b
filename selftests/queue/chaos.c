// SPDX-License-Identifier: MIT
/*
 * Four producers and four consumers, one of them killed every few milliseconds and replaced: every
 * message whose put returned 0 arrives, once, or again with the flag; none comes from nowhere, none
 * after its acknowledgement, none damaged, none out of order.
 */
#include <signal.h>
#include <unistd.h>

#include "queue_test.h"

#define SIDES 4
#define MESSAGES (1u << 22)	/* at most */
#define INCARNATIONS 4096
#define MSG_MAX 400

/* What became of a message; written by several, a byte each. */
struct fate {
	uint8_t tried;		/* by its producer, before the put */
	uint8_t put;		/* ... after it, when it returned 0 */
	uint8_t got;		/* by consumers: how often */
	uint8_t done;		/* ... after an acknowledgement that returned 0 */
};

struct chaos {
	struct kipc_queue *q;
	uint32_t next;		/* message */
	uint32_t incarnations;
	uint32_t stop;
	uint32_t wrong;
	uint32_t users;		/* -EUSERS met */
	int32_t error;
	char what[80];
	struct fate fate[MESSAGES];
};

struct message {
	uint32_t number;
	uint32_t incarnation;	/* of its producer */
	uint32_t seq;
	uint32_t len;
	uint8_t bytes[];
};

static int wrong(struct chaos *c, const char *what, uint32_t number)
{
	if (!fetch_add(&c->wrong, 1))
		snprintf(c->what, sizeof(c->what), "message %u: %s", number, what);
	return 1;
}

static uint32_t write_message(struct message *m, uint32_t number, uint32_t incarnation,
			      uint32_t seq)
{
	m->number = number;
	m->incarnation = incarnation;
	m->seq = seq;
	m->len = (uint32_t)sizeof(*m) + number * 17 % (MSG_MAX - (uint32_t)sizeof(*m) + 1);
	memset(m->bytes, (int)number, m->len - sizeof(*m));
	return m->len;
}

/* One message in one of three ways; its number, or a negative errno. */
static int put_next(struct chaos *c, uint32_t incarnation, uint32_t *seq)
{
	uint32_t number = fetch_add(&c->next, 1), second;
	union {
		struct message m;
		char room[MSG_MAX];
	} buf[2];
	struct kipc_msg msg;
	struct iovec iov[2];
	int r;

	if (number + 1 >= MESSAGES)
		return -ENOSPC;
	c->fate[number].tried = 1;
	switch (number % 4) {
	case 0:
		r = kipc_queue_reserve(c->q, MSG_MAX, &msg, LONG_NS);
		if (r)
			return r;
		if (number % 20 == 0)
			return kipc_queue_abort(c->q, &msg);
		msg.len = write_message(msg.data, number, incarnation, (*seq)++);
		r = kipc_queue_commit(c->q, &msg);
		break;
	case 1:
		second = fetch_add(&c->next, 1);
		if (second >= MESSAGES)
			return -ENOSPC;
		c->fate[second].tried = 1;
		iov[0].iov_len = write_message(&buf[0].m, number, incarnation, (*seq)++);
		iov[1].iov_len = write_message(&buf[1].m, second, incarnation, (*seq)++);
		iov[0].iov_base = &buf[0];
		iov[1].iov_base = &buf[1];
		r = kipc_queue_put_many(c->q, iov, 2, LONG_NS);
		if (r == 2)
			store_release(&c->fate[second].put, 1);
		r = r > 0 ? 0 : r;
		break;
	default:
		r = kipc_queue_put(c->q, &buf[0],
				   write_message(&buf[0].m, number, incarnation, (*seq)++),
				   LONG_NS);
	}
	if (!r)
		store_release(&c->fate[number].put, 1);
	return r;
}

static int give_up(struct chaos *c, int r)
{
	if (r == -EUSERS) {
		/* all slots are taken, by the dead as well until somebody looks: that is allowed */
		fetch_add(&c->users, 1);
		return 0;
	}
	store_relaxed(&c->error, r);
	return 1;
}

static int producer(void *arg)
{
	struct chaos *c = arg;
	uint32_t incarnation = fetch_add(&c->incarnations, 1), seq = 0;

	while (!load_relaxed(&c->stop)) {
		int r = put_next(c, incarnation, &seq);

		if (r == -ENOSPC)
			return 0;
		if (r)
			return give_up(c, r);
	}
	return 0;
}

static int check_message(struct chaos *c, const struct kipc_msg *msg, uint32_t *last)
{
	const struct message *m = msg->data;
	uint32_t number = m->number;
	bool again = msg->flags & KIPC_MSG_REDELIVERED;

	if (msg->len < sizeof(*m) || number >= MESSAGES || m->incarnation >= INCARNATIONS ||
	    m->len != msg->len)
		return wrong(c, "damaged", number);
	for (size_t i = 0; i < msg->len - sizeof(*m); i++)
		if (m->bytes[i] != (uint8_t)number)
			return wrong(c, "damaged inside", number);
	if (!c->fate[number].tried)
		return wrong(c, "from nowhere", number);
	if (load_acquire(&c->fate[number].done))
		return wrong(c, "after its acknowledgement", number);
	if (__atomic_fetch_add(&c->fate[number].got, 1, __ATOMIC_SEQ_CST) && !again)
		return wrong(c, "twice, without the flag", number);
	/* in order, as far as they come for the first time */
	if (!again) {
		if (m->seq + 1 <= last[m->incarnation])
			return wrong(c, "out of order", number);
		last[m->incarnation] = m->seq + 1;
	}
	return 0;
}

static int consumer(void *arg)
{
	struct chaos *c = arg;
	uint32_t *last = calloc(INCARNATIONS, sizeof(*last));

	for (;;) {
		struct kipc_msg msg;
		uint32_t number;
		int r = kipc_queue_take(c->q, &msg, LONG_NS);

		if (r == -EPIPE)
			break;
		if (r)
			return give_up(c, r);
		if (check_message(c, &msg, last))
			return 1;
		number = ((struct message *)msg.data)->number;
		if (number % 64 == 5 && !(msg.flags & KIPC_MSG_REDELIVERED)) {
			r = kipc_queue_requeue(c->q, &msg);
		} else {
			r = kipc_queue_done(c->q, &msg);
			if (!r)
				store_release(&c->fate[number].done, 1);
		}
		if (r)
			return wrong(c, "was ours, and is not", number);
	}
	free(last);
	return 0;
}

static void run(struct kipc_queue *q, int64_t for_ns, bool in_stop)
{
	struct chaos *c = ksft_shared(sizeof(*c));
	pid_t pid[2 * SIDES];
	unsigned int seed = 4711, kills = 0;
	int64_t end = ksft_now_ns() + for_ns;
	uint64_t put = 0, lost = 0, unsure = 0, twice = 0;

	c->q = q;
	for (int i = 0; i < 2 * SIDES; i++)
		pid[i] = ksft_fork(i < SIDES ? producer : consumer, c);
	while (ksft_now_ns() < end && !load_relaxed(&c->wrong) && !load_relaxed(&c->error) &&
	       load_relaxed(&c->incarnations) < INCARNATIONS - 2 * SIDES) {
		int who = rand_r(&seed) % (2 * SIDES);
		struct timespec nap = { .tv_nsec = rand_r(&seed) % (3 * MSEC) };

		nanosleep(&nap, NULL);
		/* stopped first, it is killed where the scheduler would rarely leave it */
		if (in_stop && rand_r(&seed) % 2)
			kill(pid[who], SIGSTOP);
		ksft_kill(pid[who]);
		pid[who] = ksft_fork(who < SIDES ? producer : consumer, c);
		kills++;
	}
	store_relaxed(&c->stop, 1);
	for (int i = 0; i < SIDES; i++)
		ksft_join(pid[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(q));
	for (int i = SIDES; i < 2 * SIDES; i++)
		ksft_join(pid[i]);
	/* the last ones may have died with a message: there is one more consumer */
	__kipc_peer_sweep(&q->obj.seg, 0);
	EXPECT_EQ(0, consumer(c));

	for (uint32_t i = 0; i < min_of(c->next, MESSAGES); i++) {
		const struct fate *f = &c->fate[i];

		put += f->put;
		lost += f->put && !f->got;
		unsure += !f->put && f->got;
		twice += f->got > 1;
		if (f->put && !f->got && lost < 4)
			ksft_log("message %u was put and never came", i);
	}
	ksft_log("%u kills; %lu messages put, %lu came more than once, %lu of the dead came", kills,
		 put, twice, unsure);
	ksft_log("%lu repairs, %lu redelivered, %lu skipped, %u found no slot", stat_of(q).repairs,
		 stat_of(q).redelivered, stat_of(q).skipped, c->users);
	EXPECT_EQ(0, c->error);
	if (!EXPECT_EQ(0, c->wrong))
		ksft_log("%s", c->what);
	EXPECT_GT(kills, 10);
	EXPECT_GT(put, 100);
	EXPECT_EQ(stat_of(q).dropped, lost);
	EXPECT_EQ(0, kipc_queue_len(q));
	EXPECT_EQ(1, stat_of(q).peers);
	EXPECT_EQ(0, kipc_queue_join(q, KIPC_NOWAIT));
	for (int bell = 0; bell < KIPC_QUEUE_BELL_JOIN; bell++)
		EXPECT_EQ(0, q->sh->bells[bell].word & KIPC_BELL_DRAINER);
	/* as if it were new, but for the counters */
	q->sh->shutdown = 0;
	if (q->overflow == KIPC_OVERFLOW_BLOCK)
		check_works(q);
	kipc_queue_close(q);
}

#define FOR_NS (NSEC_PER_SEC * 3 / 2)

TEST(one_cell)
{
	run(make_queue(1, MSG_MAX), FOR_NS, false);
}

TEST(few_cells)
{
	run(make_queue(5, MSG_MAX), FOR_NS, true);
}

TEST(many_cells)
{
	run(make_queue(200, MSG_MAX), FOR_NS, false);
}

TEST(without_io_uring)
{
	without_io_uring();
	run(make_queue(3, MSG_MAX), FOR_NS, true);
}

/* Hardly more slots than processes: new ones take those of the dead. */
TEST(few_slots)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 7, .msg_size = MSG_MAX, .max_peers = 12);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	run(q, FOR_NS, false);
}

TEST_HARNESS_MAIN
