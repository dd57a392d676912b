// SPDX-License-Identifier: MIT
/*
 * Four producers and four consumers, one of them killed every few milliseconds and replaced: every
 * message whose put returned 0 arrives, once, or again with the flag; none comes from nowhere, none
 * after its acknowledgement, none damaged, none out of order.
 */
#include <signal.h>
#include <unistd.h>

#include "fate.h"
#include "queue_test.h"

#define SIDES 4
#define MESSAGES (1u << 22)	/* at most */
#define MSG_MAX 400

struct chaos {
	struct kipc_queue *q;
	uint32_t incarnations;
	uint32_t stop;
	uint32_t wrong;
	uint32_t users;		/* -EUSERS met */
	int32_t error;
	char what[80];
	struct fates fates;	/* MESSAGES of them follow */
};

static int wrong(struct chaos *c, const char *what, uint32_t number)
{
	if (!fetch_add(&c->wrong, 1))
		snprintf(c->what, sizeof(c->what), "message %u: %s", number, what);
	return 1;
}

/* One message in one of three ways, or two at once; 0 or a negative errno. */
static int put_next(struct chaos *c, uint32_t incarnation, uint32_t *seq)
{
	struct fates *f = &c->fates;
	uint32_t number, second;
	union {
		struct fate_message m;
		char room[MSG_MAX];
	} buf[2];
	struct kipc_msg msg;
	struct iovec iov[2];
	int r;

	if (!fate_begin(f, &number))
		return -ENOSPC;
	switch (number % 4) {
	case 0:
		r = kipc_queue_reserve(c->q, MSG_MAX, &msg, LONG_NS);
		if (r)
			return r;
		if (number % 20 == 0)
			return kipc_queue_abort(c->q, &msg);
		msg.len = fate_write(msg.data, MSG_MAX, number, incarnation, (*seq)++);
		r = kipc_queue_commit(c->q, &msg);
		break;
	case 1:
		if (!fate_begin(f, &second))
			return -ENOSPC;
		iov[0].iov_len = fate_write(&buf[0].m, MSG_MAX, number, incarnation, (*seq)++);
		iov[1].iov_len = fate_write(&buf[1].m, MSG_MAX, second, incarnation, (*seq)++);
		iov[0].iov_base = &buf[0];
		iov[1].iov_base = &buf[1];
		r = kipc_queue_put_many(c->q, iov, 2, LONG_NS);
		if (r == 2)
			fate_put(f, second);
		r = r > 0 ? 0 : r;
		break;
	default:
		r = kipc_queue_put(
			c->q, &buf[0],
			fate_write(&buf[0].m, MSG_MAX, number, incarnation, (*seq)++), LONG_NS);
	}
	if (!r)
		fate_put(f, number);
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

static int consumer(void *arg)
{
	struct chaos *c = arg;
	struct fate_order *order = calloc(1, sizeof(*order));

	for (;;) {
		struct kipc_msg msg;
		const char *what;
		uint32_t number;
		int r = kipc_queue_take(c->q, &msg, LONG_NS);

		if (r == -EPIPE)
			break;
		if (r)
			return give_up(c, r);
		number = ((struct fate_message *)msg.data)->number;
		what = fate_arrived(&c->fates, msg.data, msg.len, msg.flags & KIPC_MSG_REDELIVERED,
				    order);
		if (what)
			return wrong(c, what, number);
		if (number % 64 == 5 && !(msg.flags & KIPC_MSG_REDELIVERED)) {
			r = kipc_queue_requeue(c->q, &msg);
		} else {
			r = kipc_queue_done(c->q, &msg);
			if (!r)
				fate_done(&c->fates, number);
		}
		if (r)
			return wrong(c, "was ours, and is not", number);
	}
	free(order);
	return 0;
}

static void run(struct kipc_queue *q, int64_t for_ns, bool in_stop)
{
	struct chaos *c = ksft_shared(sizeof(*c) + fates_size(MESSAGES));
	pid_t pid[2 * SIDES];
	unsigned int seed = 4711, kills = 0;
	int64_t end = ksft_now_ns() + for_ns;
	struct fate_sum sum;

	c->q = q;
	c->fates.n = MESSAGES;
	for (int i = 0; i < 2 * SIDES; i++)
		pid[i] = ksft_fork(i < SIDES ? producer : consumer, c);
	while (ksft_now_ns() < end && !load_relaxed(&c->wrong) && !load_relaxed(&c->error)) {
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

	sum = fates_sum(&c->fates);
	if (sum.lost)
		ksft_log("message %u was put and never came", sum.first_lost);
	ksft_log("%u kills; %lu messages put, %lu came more than once, %lu of the dead came", kills,
		 sum.put, sum.twice, sum.unsure);
	ksft_log("%lu repairs, %lu redelivered, %lu skipped, %u found no slot", stat_of(q).repairs,
		 stat_of(q).redelivered, stat_of(q).skipped, c->users);
	EXPECT_EQ(0, c->error);
	if (!EXPECT_EQ(0, c->wrong))
		ksft_log("%s", c->what);
	/* valgrind takes a second to start a process */
	EXPECT_GT(kills, ksft_valgrind() ? 0 : 10);
	EXPECT_GT(sum.put, ksft_valgrind() ? 0 : 100);
	EXPECT_EQ(stat_of(q).dropped, sum.lost);
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
