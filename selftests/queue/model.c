// SPDX-License-Identifier: MIT
/*
 * Random calls, one after the other, against a model of a few lines: every result, every message,
 * every length.
 */
#include "queue_test.h"

#define POSITIONS 20000
#define HELD 12

/* A position of the queue, and what it is now; the ring is where the last `capacity` of them are. */
enum status { RESERVED, READY, TAKEN, RETURNED, OVER };

struct model {
	uint32_t capacity;
	bool dropping;
	enum status status[POSITIONS];
	uint64_t value[POSITIONS];
	uint32_t tail;		/* the next one */
	uint64_t dropped, skipped;
};

struct held {
	struct kipc_msg msg;
	uint32_t pos;
};

static bool has_room(const struct model *m)
{
	return m->tail < m->capacity || m->status[m->tail - m->capacity] == OVER;
}

/* The position that a put gets, or -EAGAIN. */
static int model_put(struct model *m)
{
	if (!has_room(m) && m->dropping) {
		enum status *oldest = &m->status[m->tail - m->capacity];

		if (*oldest == READY || *oldest == RETURNED) {
			*oldest = OVER;
			m->dropped++;
		}
	}
	return has_room(m) ? (int)m->tail++ : -EAGAIN;
}

/* The position that a get takes: returned ones first, the oldest of each. */
static int model_get(const struct model *m)
{
	uint32_t first = m->tail > m->capacity ? m->tail - m->capacity : 0;

	for (uint32_t p = first; p < m->tail; p++)
		if (m->status[p] == RETURNED)
			return (int)p;
	for (uint32_t p = first; p < m->tail; p++) {
		if (m->status[p] == READY)
			return (int)p;
		if (m->status[p] == RESERVED)
			return -EAGAIN;
	}
	return -EAGAIN;
}

static int model_len(const struct model *m)
{
	uint32_t first = m->tail > m->capacity ? m->tail - m->capacity : 0;
	int n = 0;

	for (uint32_t p = first; p < m->tail; p++)
		n += m->status[p] == RESERVED || m->status[p] == READY || m->status[p] == RETURNED;
	return n;
}

static bool all_over(const struct model *m)
{
	uint32_t first = m->tail > m->capacity ? m->tail - m->capacity : 0;

	for (uint32_t p = first; p < m->tail; p++)
		if (m->status[p] != OVER)
			return false;
	return true;
}

/* Weights of the calls, out of their sum: each profile leads to other corners. */
struct profile {
	const char *name;
	unsigned int put, put_many, reserve, commit, abort, get, get_many, take, done, requeue, len;
};

static const struct profile profiles[] = {
	{ "all alike", 4, 2, 2, 1, 1, 4, 2, 2, 1, 1, 1 },
	{ "nearly full", 8, 3, 2, 1, 1, 2, 1, 2, 1, 1, 1 },
	{ "nothing but aborts, for laps", 2, 0, 20, 1, 19, 1, 0, 0, 0, 0, 0 },
	{ "returned again and again", 4, 1, 1, 1, 0, 1, 0, 12, 3, 10, 1 },
	{ "aborts between messages", 6, 1, 6, 1, 6, 4, 1, 1, 1, 0, 4 },
	{ "taken, not looked for", 6, 2, 3, 2, 2, 0, 0, 6, 6, 1, 0 },
};

static unsigned int seed;

static bool pick(unsigned int *left, unsigned int weight)
{
	bool it = *left < weight;

	*left -= weight;
	return it;
}

struct run {
	struct kipc_queue *q;
	struct model m;
	struct held reserved[HELD], taken[HELD];
	int nreserved, ntaken;
	uint64_t next;
};

static struct held remove_one(struct held *list, int *n)
{
	int i = rand_r(&seed) % *n;
	struct held h = list[i];

	list[i] = list[--*n];
	return h;
}

static bool put_step(struct run *r)
{
	int p = model_put(&r->m);

	if (p < 0)
		return EXPECT_EQ(-EAGAIN, put_u64(r->q, 0, KIPC_NOWAIT));
	r->m.status[p] = READY;
	r->m.value[p] = r->next;
	return EXPECT_EQ(0, put_u64(r->q, r->next++, KIPC_NOWAIT));
}

static bool put_many_step(struct run *r)
{
	uint64_t in[5];
	struct iovec iov[5];
	int n = rand_r(&seed) % 5 + 1, want = 0;

	for (int i = 0; i < n; i++) {
		int p = i && r->m.dropping && !has_room(&r->m) ? -EAGAIN : model_put(&r->m);

		in[i] = r->next;
		iov[i] = (struct iovec){ &in[i], 8 };
		if (p < 0)
			break;
		r->m.status[p] = READY;
		r->m.value[p] = r->next++;
		want++;
	}
	for (int i = want; i < n; i++)
		iov[i] = (struct iovec){ &in[0], 8 };
	return EXPECT_EQ(want ? want : -EAGAIN, kipc_queue_put_many(r->q, iov, n, KIPC_NOWAIT));
}

static bool reserve_step(struct run *r)
{
	struct held *h = &r->reserved[r->nreserved];
	int p;

	if (r->nreserved == HELD)
		return true;
	p = model_put(&r->m);
	if (p < 0)
		return EXPECT_EQ(-EAGAIN, kipc_queue_reserve(r->q, 8, &h->msg, KIPC_NOWAIT));
	r->m.status[p] = RESERVED;
	h->pos = (uint32_t)p;
	r->nreserved++;
	return EXPECT_EQ(0, kipc_queue_reserve(r->q, 8, &h->msg, KIPC_NOWAIT));
}

static bool commit_step(struct run *r)
{
	struct held h;

	if (!r->nreserved)
		return true;
	h = remove_one(r->reserved, &r->nreserved);
	memcpy(h.msg.data, &r->next, 8);
	r->m.value[h.pos] = r->next++;
	r->m.status[h.pos] = READY;
	return EXPECT_EQ(0, kipc_queue_commit(r->q, &h.msg));
}

static bool abort_step(struct run *r)
{
	struct held h;

	if (!r->nreserved)
		return true;
	h = remove_one(r->reserved, &r->nreserved);
	r->m.status[h.pos] = OVER;
	r->m.skipped++;
	return EXPECT_EQ(0, kipc_queue_abort(r->q, &h.msg));
}

static bool get_step(struct run *r)
{
	int p = model_get(&r->m);

	if (p < 0)
		return EXPECT_EQ(-EAGAIN, get_u64(r->q, KIPC_NOWAIT));
	r->m.status[p] = OVER;
	return EXPECT_EQ(r->m.value[p], get_u64(r->q, KIPC_NOWAIT));
}

static bool get_many_step(struct run *r)
{
	uint64_t out[5], want[5];
	struct iovec iov[5];
	int n = rand_r(&seed) % 5 + 1, nwant = 0, p;
	bool ok;

	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ &out[i], 8 };
	while (nwant < n && (p = model_get(&r->m)) >= 0) {
		r->m.status[p] = OVER;
		want[nwant++] = r->m.value[p];
	}
	ok = EXPECT_EQ(nwant ? nwant : -EAGAIN, kipc_queue_get_many(r->q, iov, n, KIPC_NOWAIT));
	for (int i = 0; i < nwant && ok; i++)
		ok = EXPECT_EQ(want[i], out[i]);
	return ok;
}

static bool take_step(struct run *r)
{
	struct held *h = &r->taken[r->ntaken];
	int p = model_get(&r->m);
	bool again;

	if (r->ntaken == HELD)
		return true;
	if (p < 0)
		return EXPECT_EQ(-EAGAIN, kipc_queue_take(r->q, &h->msg, KIPC_NOWAIT));
	again = r->m.status[p] == RETURNED;
	r->m.status[p] = TAKEN;
	h->pos = (uint32_t)p;
	r->ntaken++;
	return EXPECT_EQ(0, kipc_queue_take(r->q, &h->msg, KIPC_NOWAIT)) &&
	       EXPECT_EQ(r->m.value[p], msg_u64(&h->msg)) &&
	       EXPECT_EQ(again ? KIPC_MSG_REDELIVERED : 0, h->msg.flags);
}

static bool done_step(struct run *r)
{
	struct held h;

	if (!r->ntaken)
		return true;
	h = remove_one(r->taken, &r->ntaken);
	r->m.status[h.pos] = OVER;
	return EXPECT_EQ(0, kipc_queue_done(r->q, &h.msg));
}

static bool requeue_step(struct run *r)
{
	struct held h;

	if (!r->ntaken)
		return true;
	h = remove_one(r->taken, &r->ntaken);
	r->m.status[h.pos] = RETURNED;
	return EXPECT_EQ(0, kipc_queue_requeue(r->q, &h.msg));
}

static bool look_step(struct run *r)
{
	int len = model_len(&r->m);

	return EXPECT_EQ(len, kipc_queue_len(r->q)) &&
	       EXPECT_EQ(len == 0, kipc_queue_empty(r->q)) &&
	       EXPECT_EQ(!has_room(&r->m), kipc_queue_full(r->q)) &&
	       EXPECT_EQ(all_over(&r->m) ? 0 : -EAGAIN, kipc_queue_join(r->q, KIPC_NOWAIT)) &&
	       EXPECT_EQ(r->m.dropped, stat_of(r->q).dropped) &&
	       EXPECT_EQ(r->m.skipped, stat_of(r->q).skipped) &&
	       EXPECT_EQ(r->m.tail, stat_of(r->q).put);
}

static bool step(struct run *r, const struct profile *w)
{
	unsigned int left = (unsigned int)rand_r(&seed) %
			    (w->put + w->put_many + w->reserve + w->commit + w->abort + w->get +
			     w->get_many + w->take + w->done + w->requeue + w->len);

	if (pick(&left, w->put))
		return put_step(r);
	if (pick(&left, w->put_many))
		return put_many_step(r);
	if (pick(&left, w->reserve))
		return reserve_step(r);
	if (pick(&left, w->commit))
		return commit_step(r);
	if (pick(&left, w->abort))
		return abort_step(r);
	if (pick(&left, w->get))
		return get_step(r);
	if (pick(&left, w->get_many))
		return get_many_step(r);
	if (pick(&left, w->take))
		return take_step(r);
	if (pick(&left, w->done))
		return done_step(r);
	if (pick(&left, w->requeue))
		return requeue_step(r);
	return look_step(r);
}

static void run(uint32_t overflow, unsigned int steps)
{
	struct run *r = malloc(sizeof(*r));

	for (size_t p = 0; p < ARRAY_SIZE(profiles); p++)
		for (uint32_t capacity = 1; capacity <= 9; capacity++) {
			KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = 8,
				  .overflow = overflow);
			unsigned int i;

			memset(r, 0, sizeof(*r));
			r->m.capacity = capacity;
			r->m.dropping = overflow == KIPC_OVERFLOW_DROP_OLDEST;
			seed = capacity * 1000 + (unsigned int)p;
			ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &r->q));
			for (i = 0; i < steps && r->m.tail + 8 < POSITIONS; i++)
				if (!step(r, &profiles[p]))
					break;
			if (i < steps && r->m.tail + 8 < POSITIONS)
				ksft_log("%s, capacity %u, step %u", profiles[p].name, capacity, i);
			EXPECT_TRUE(look_step(r));
			kipc_queue_close(r->q);
		}
	free(r);
}

TEST(blocking)
{
	run(KIPC_OVERFLOW_BLOCK, ksft_slow() ? 1500 : 10000);
}

TEST(dropping)
{
	run(KIPC_OVERFLOW_DROP_OLDEST, ksft_slow() ? 1500 : 10000);
}

TEST_HARNESS_MAIN
