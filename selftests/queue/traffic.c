// SPDX-License-Identifier: MIT
/*
 * Four producers, four consumers, threads or processes: nothing is lost, doubled, damaged or out of
 * order, whichever calls they use.
 */
#include "queue_test.h"

#define SIDES 4

struct message {
	uint32_t producer;
	uint32_t seq;
	uint32_t len;		/* of all of it */
	uint8_t bytes[];
};

enum how { SINGLE, MANY, IN_PLACE, MIXED };

struct traffic {
	struct kipc_queue *q;
	uint32_t per_producer;
	uint32_t max_len;
	enum how how;
	uint32_t next_id;
	uint64_t put, put_sum, got, got_sum, bad;
};

static uint32_t length(const struct traffic *t, uint32_t producer, uint32_t seq)
{
	uint32_t room = t->max_len - (uint32_t)sizeof(struct message);

	return (uint32_t)sizeof(struct message) +
	       (room ? (producer * 7 + seq * 13) % (room + 1) : 0);
}

static void write_message(const struct traffic *t, void *to, uint32_t producer, uint32_t seq)
{
	struct message *m = to;

	m->producer = producer;
	m->seq = seq;
	m->len = length(t, producer, seq);
	memset(m->bytes, (int)(producer + seq), m->len - sizeof(*m));
}

static bool is_whole(const struct traffic *t, const struct message *m, size_t len)
{
	if (len < sizeof(*m) || m->producer >= SIDES || m->len != len ||
	    len != length(t, m->producer, m->seq))
		return false;
	for (size_t i = 0; i < len - sizeof(*m); i++)
		if (m->bytes[i] != (uint8_t)(m->producer + m->seq))
			return false;
	return true;
}

static int put_some(struct traffic *t, uint32_t id, uint32_t seq, uint32_t n)
{
	char buf[4][512];
	struct iovec iov[4];
	struct kipc_msg msg;
	enum how how = t->how == MIXED ? (enum how)(seq % 3) : t->how;
	int r;

	switch (how) {
	case MANY:
		n = min_of(n, 4u);
		for (uint32_t i = 0; i < n; i++) {
			write_message(t, buf[i], id, seq + i);
			iov[i] = (struct iovec){ buf[i], length(t, id, seq + i) };
		}
		return kipc_queue_put_many(t->q, iov, (int)n, LONG_NS);
	case IN_PLACE:
		r = kipc_queue_reserve(t->q, t->max_len, &msg, LONG_NS);
		if (r)
			return r;
		if (seq % 11 == 3) {
			r = kipc_queue_abort(t->q, &msg);
			if (!r)
				r = kipc_queue_reserve(t->q, t->max_len, &msg, LONG_NS);
			if (r)
				return r;
		}
		write_message(t, msg.data, id, seq);
		msg.len = length(t, id, seq);
		r = kipc_queue_commit(t->q, &msg);
		return r ? r : 1;
	default:
		write_message(t, buf[0], id, seq);
		r = kipc_queue_put(t->q, buf[0], length(t, id, seq), LONG_NS);
		return r ? r : 1;
	}
}

static int produce(void *arg)
{
	struct traffic *t = arg;
	uint32_t id = fetch_add(&t->next_id, 1), seq = 0;

	while (seq < t->per_producer) {
		int n = put_some(t, id, seq, t->per_producer - seq);

		if (n < 0)
			return n;
		for (; n; n--, seq++) {
			fetch_add(&t->put, 1);
			fetch_add(&t->put_sum, (uint64_t)id << 32 | seq);
		}
	}
	return 0;
}

/* Strictly increasing for each producer, in the eyes of each consumer. */
static void account(struct traffic *t, const void *data, size_t len, int64_t *last)
{
	const struct message *m = data;

	if (!is_whole(t, m, len) || (int64_t)m->seq <= last[m->producer]) {
		fetch_add(&t->bad, 1);
		return;
	}
	last[m->producer] = m->seq;
	fetch_add(&t->got, 1);
	fetch_add(&t->got_sum, (uint64_t)m->producer << 32 | m->seq);
}

static int consume(void *arg)
{
	struct traffic *t = arg;
	int64_t last[SIDES] = { -1, -1, -1, -1 };
	char buf[4][512];
	struct iovec iov[4];
	struct kipc_msg msg;
	ssize_t r = 0;

	for (uint32_t turn = 0; r >= 0; turn++) {
		switch (t->how == MIXED ? (enum how)(turn % 3) : t->how) {
		case MANY:
			for (int i = 0; i < 4; i++)
				iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
			r = kipc_queue_get_many(t->q, iov, 4, LONG_NS);
			for (int i = 0; i < r; i++)
				account(t, buf[i], iov[i].iov_len, last);
			break;
		case IN_PLACE:
			r = kipc_queue_take(t->q, &msg, LONG_NS);
			if (r)
				break;
			account(t, msg.data, msg.len, last);
			r = kipc_queue_done(t->q, &msg);
			break;
		default:
			r = kipc_queue_get(t->q, buf[0], sizeof(buf[0]), LONG_NS);
			if (r >= 0)
				account(t, buf[0], (size_t)r, last);
		}
	}
	return r == -EPIPE ? 0 : (int)r;
}

FIXTURE(traffic)
{
	struct traffic *t;
};

FIXTURE_VARIANT(traffic)
{
	enum ksft_peer_kind producers, consumers;
	bool ppoll;
};

FIXTURE_VARIANT_ADD(traffic, threads){ KSFT_THREAD, KSFT_THREAD, false };
FIXTURE_VARIANT_ADD(traffic, processes){ KSFT_PROCESS, KSFT_PROCESS, false };
FIXTURE_VARIANT_ADD(traffic, mixed){ KSFT_PROCESS, KSFT_THREAD, false };
FIXTURE_VARIANT_ADD(traffic, threads_ppoll){ KSFT_THREAD, KSFT_THREAD, true };
FIXTURE_VARIANT_ADD(traffic, processes_ppoll){ KSFT_PROCESS, KSFT_PROCESS, true };

FIXTURE_SETUP(traffic)
{
	if (variant->ppoll)
		without_io_uring();
	self->t = ksft_shared(sizeof(*self->t));
}

FIXTURE_TEARDOWN(traffic)
{
	(void)self;
}

static void run(struct traffic *t, const struct __ksft_variant_of_traffic *variant,
		uint32_t capacity, uint32_t max_len, enum how how, uint32_t per_producer)
{
	struct ksft_peer p[SIDES], c[SIDES];

	memset(t, 0, sizeof(*t));
	t->q = make_queue(capacity, max_len);
	t->max_len = max_len;
	t->how = how;
	t->per_producer = ksft_slow() ? per_producer / 8 : per_producer;
	/* processes before threads: a fork should find no threads */
	for (int i = 0; i < SIDES; i++)
		ksft_peer_start(&p[i], variant->producers, produce, t);
	for (int i = 0; i < SIDES; i++)
		ksft_peer_start(&c[i], variant->consumers, consume, t);
	for (int i = 0; i < SIDES; i++)
		ksft_peer_join(&p[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(t->q));
	for (int i = 0; i < SIDES; i++)
		ksft_peer_join(&c[i]);
	EXPECT_EQ((uint64_t)t->per_producer * SIDES, t->put);
	EXPECT_EQ(t->put, t->got);
	EXPECT_EQ(t->put_sum, t->got_sum);
	EXPECT_EQ(0, t->bad);
	EXPECT_EQ(0, kipc_queue_len(t->q));
	EXPECT_EQ(0, kipc_queue_join(t->q, KIPC_NOWAIT));
	EXPECT_EQ(0, stat_of(t->q).redelivered);
	kipc_queue_close(t->q);
}

TEST_F(traffic, one_cell)
{
	run(self->t, variant, 1, 12, SINGLE, 2000);
}

TEST_F(traffic, three_cells_long_messages)
{
	run(self->t, variant, 3, 500, MIXED, 2000);
}

TEST_F(traffic, singles)
{
	run(self->t, variant, 64, 100, SINGLE, 10000);
}

TEST_F(traffic, batches)
{
	run(self->t, variant, 65, 100, MANY, 10000);
}

TEST_F(traffic, in_place)
{
	run(self->t, variant, 7, 400, IN_PLACE, 5000);
}

/* ---- in real time ---- */

/*
 * A put that ended before another began is in front of it, whoever did them: so its message may not be
 * got by a call that begins after the call that got the other one had ended.
 */
#define EVENTS 6000

struct event {
	uint64_t put_start, put_end, get_start, get_end;
};

struct history {
	struct kipc_queue *q;
	uint64_t clock;
	uint32_t next;
	struct event e[EVENTS];
};

static int put_history(void *arg)
{
	struct history *h = arg;
	uint32_t i;

	while ((i = fetch_add(&h->next, 1)) < EVENTS) {
		int r;

		h->e[i].put_start = fetch_add(&h->clock, 1);
		r = put_u64(h->q, i, LONG_NS);
		if (r)
			return r;
		h->e[i].put_end = fetch_add(&h->clock, 1);
	}
	return 0;
}

static int get_history(void *arg)
{
	struct history *h = arg;

	for (;;) {
		uint64_t start = fetch_add(&h->clock, 1), out[3];
		struct iovec iov[3] = { { &out[0], 8 }, { &out[1], 8 }, { &out[2], 8 } };
		int n = kipc_queue_get_many(h->q, iov, (int)(start % 3) + 1, LONG_NS);

		if (n < 0)
			return n == -EPIPE ? 0 : n;
		for (int i = 0; i < n; i++) {
			if (out[i] >= EVENTS || h->e[out[i]].get_end)
				return 1;
			h->e[out[i]].get_start = start;
			h->e[out[i]].get_end = fetch_add(&h->clock, 1);
		}
	}
}

static int by_put_start(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return x->put_start < y->put_start ? -1 : x->put_start > y->put_start;
}

static int by_put_end(const void *a, const void *b)
{
	const struct event *const *x = a, *const *y = b;

	return (*x)->put_end < (*y)->put_end ? -1 : (*x)->put_end > (*y)->put_end;
}

TEST_F(traffic, real_time_order)
{
	struct history *h = ksft_shared(sizeof(*h));
	struct event *ends[EVENTS];
	uint64_t latest = 0;
	struct ksft_peer p[SIDES], c[SIDES];
	size_t k = 0;

	h->q = make_queue(5, 8);
	h->clock = 1;
	for (int i = 0; i < SIDES; i++)
		ksft_peer_start(&p[i], variant->producers, put_history, h);
	for (int i = 0; i < SIDES; i++)
		ksft_peer_start(&c[i], variant->consumers, get_history, h);
	for (int i = 0; i < SIDES; i++)
		ksft_peer_join(&p[i]);
	EXPECT_EQ(0, kipc_queue_shutdown(h->q));
	for (int i = 0; i < SIDES; i++)
		ksft_peer_join(&c[i]);

	qsort(h->e, EVENTS, sizeof(h->e[0]), by_put_start);
	for (int i = 0; i < EVENTS; i++)
		ends[i] = &h->e[i];
	qsort(ends, EVENTS, sizeof(ends[0]), by_put_end);
	for (int i = 0; i < EVENTS; i++) {
		/* the latest beginning of a get among all that were put before this put began */
		for (; k < EVENTS && ends[k]->put_end < h->e[i].put_start; k++)
			latest = max_of(latest, ends[k]->get_start);
		if (!EXPECT_GT(h->e[i].get_end, latest))
			break;
	}
	kipc_queue_close(h->q);
}

TEST_HARNESS_MAIN
