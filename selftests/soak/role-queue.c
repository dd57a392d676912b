// SPDX-License-Identifier: MIT
/*
 * Producers and consumers of two queues.
 *
 *	queue 0		64 messages; reserve, commit, abort; take, done, requeue.  Nothing is lost,
 *			whoever is killed: each message is on record before it is acknowledged.
 *	queue 1		5 messages, longer ones; put, put_many; get, get_many.  What a consumer was
 *			killed with after it had got it, and before it could write that down, is
 *			gone: so many may be missing.
 */
#include <errno.h>
#include <string.h>

#include "soak.h"

#define LEN_MAX		400	/* of queue 0; three times that in queue 1 */
#define BATCH		3
#define TURN_NS		(3 * NSEC_PER_MSEC)	/* then it looks at the other queue, too */

static struct fates *fates_of(uint32_t q)
{
	return soak_fates(soak->queue_fates[q]);
}

/* ---- producers ---- */

struct batch {
	uint32_t n, number[BATCH];
	struct iovec iov[BATCH];
	union {
		struct fate_message m;
		char room[3 * LEN_MAX];
	} buf[BATCH];
};

/* Messages to be put; how many, 0: the table is full, there will be a checkpoint soon. */
static uint32_t prepare(struct soak_worker *w, uint32_t q, uint32_t n, uint32_t *seq,
			struct batch *b)
{
	for (b->n = 0; b->n < n; b->n++) {
		uint32_t i = b->n;

		if (!fate_begin(fates_of(q), &b->number[i]))
			break;
		b->iov[i].iov_base = &b->buf[i];
		b->iov[i].iov_len = fate_write(&b->buf[i].m, q ? 3 * LEN_MAX : LEN_MAX,
					       b->number[i], w->place->incarnation, (*seq)++);
	}
	return b->n;
}

/* How many were put, or a negative errno.  One that is aborted was not put. */
static int put_in_place(struct kipc_queue *q, struct batch *b, bool abort)
{
	struct kipc_msg msg;
	int r = kipc_queue_reserve(q, LEN_MAX, &msg, TURN_NS);

	if (r)
		return r;
	if (abort)
		return kipc_queue_abort(q, &msg);
	msg.len = b->iov[0].iov_len;
	memcpy(msg.data, b->iov[0].iov_base, msg.len);
	r = kipc_queue_commit(q, &msg);
	return r ? r : 1;
}

static int put(struct soak_worker *w, uint32_t q, struct batch *b)
{
	struct kipc_queue *queue = handles.queue[q];
	int r;

	if (b->n > 1)
		return kipc_queue_put_many(queue, b->iov, (int)b->n, TURN_NS);
	if (!q && below(&w->seed, 2))
		return put_in_place(queue, b, !below(&w->seed, 16));
	r = kipc_queue_put(queue, b->iov[0].iov_base, b->iov[0].iov_len, TURN_NS);
	return r ? r : 1;
}

int produce(struct soak_worker *w)
{
	uint32_t seq[SOAK_QUEUES] = { 0 };
	struct batch b;

	for (;;) {
		uint32_t q = below(&w->seed, SOAK_QUEUES);
		int r;

		soak_pause(w);
		if (!prepare(w, q, q ? 1 + below(&w->seed, BATCH) : 1, &seq[q], &b))
			continue;
		soak_begin(w, CALL_PUT);
		do
			r = put(w, q, &b);
		while (r == -ETIMEDOUT && !soak_wanted());
		if (r == -ETIMEDOUT)
			soak_give_up(w);
		else
			soak_end(w);
		if (r < 0 && r != -ETIMEDOUT)
			return soak_failed(w, "put", r);
		for (int i = 0; i < r; i++)
			fate_put(fates_of(q), b.number[i]);
	}
}

/* ---- consumers ---- */

static struct fate_order order;		/* of queue 0 */

static bool arrived(uint32_t q, const void *data, size_t len, bool again)
{
	const struct fate_message *m = data;
	const char *what = fate_arrived(fates_of(q), m, len, again, q ? NULL : &order);

	if (what)
		soak_wrong(SOAK_QUEUE, "queue %u, message %u: %s", q,
			   len >= FATE_LEN_MIN ? m->number : 0, what);
	return !what;
}

/* Takes one or two, looks at them, acknowledges them or gives them back. */
static int take(struct soak_worker *w)
{
	struct kipc_queue *q = handles.queue[0];
	struct kipc_msg msg[2];
	int n = 1, r = kipc_queue_take(q, &msg[0], TURN_NS);

	if (r)
		return r;
	if (!below(&w->seed, 8) && !kipc_queue_take(q, &msg[1], KIPC_NOWAIT))
		n = 2;
	for (int i = 0; i < n; i++)
		if (!arrived(0, msg[i].data, msg[i].len, msg[i].flags & KIPC_MSG_REDELIVERED))
			return -EBADMSG;
	/* now and then it is killed with them in its hands */
	if (!below(&w->seed, 64))
		soak_nap_us(below(&w->seed, 500));
	while (n-- > 0) {
		uint32_t number = ((struct fate_message *)msg[n].data)->number;

		if (!(msg[n].flags & KIPC_MSG_REDELIVERED) && !below(&w->seed, 32)) {
			r = kipc_queue_requeue(q, &msg[n]);
		} else {
			r = kipc_queue_done(q, &msg[n]);
			if (!r)
				fate_done(fates_of(0), number);
		}
		if (r) {
			soak_wrong(SOAK_QUEUE, "queue 0, message %u: was ours, and is not", number);
			return r;
		}
	}
	return 0;
}

static int get(struct soak_worker *w)
{
	static char buf[BATCH][3 * LEN_MAX];
	struct iovec iov[BATCH];
	int n = 1 + (int)below(&w->seed, BATCH), r;
	ssize_t len;

	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
	store_release(&w->place->uncertain, (uint32_t)n);
	if (n > 1) {
		r = kipc_queue_get_many(handles.queue[1], iov, n, TURN_NS);
	} else {
		len = kipc_queue_get(handles.queue[1], buf[0], sizeof(buf[0]), TURN_NS);
		iov[0].iov_len = (size_t)len;
		r = len < 0 ? (int)len : 1;
	}
	for (int i = 0; i < r; i++)
		if (!arrived(1, buf[i], iov[i].iov_len, false))
			return -EBADMSG;
	store_release(&w->place->uncertain, 0);
	return r < 0 ? r : 0;
}

int consume(struct soak_worker *w)
{
	memset(&order, 0, sizeof(order));
	for (;;) {
		int r;

		soak_pause(w);
		soak_begin(w, CALL_GET);
		do
			r = below(&w->seed, 2) ? take(w) : get(w);
		while (r == -ETIMEDOUT && !soak_wanted());
		if (r == -ETIMEDOUT)
			soak_give_up(w);
		else
			soak_end(w);
		if (r == -EBADMSG)
			return 1;
		if (r && r != -ETIMEDOUT)
			return soak_failed(w, "take or get", r);
	}
}

/* ---- checkpoint ---- */

static void take_the_rest(uint32_t q)
{
	struct kipc_msg msg;
	int r;

	while (!(r = kipc_queue_take(handles.queue[q], &msg, KIPC_NOWAIT))) {
		arrived(q, msg.data, msg.len, msg.flags & KIPC_MSG_REDELIVERED);
		r = kipc_queue_done(handles.queue[q], &msg);
		if (r)
			break;
	}
	if (r != -EAGAIN)
		soak_wrong(SOAK_QUEUE, "queue %u: taking the rest: %s", q, kipc_strerror(r));
}

void queue_count(void)
{
	memset(&order, 0, sizeof(order));	/* every message is new to the director */
	for (uint32_t q = 0; q < SOAK_QUEUES; q++) {
		struct fates *f = fates_of(q);
		struct fate_sum sum;

		take_the_rest(q);
		sum = fates_sum(f);
		sums.messages += sum.put;
		sums.unsure += sum.unsure;
		sums.twice += sum.twice;
		if (sum.lost > sums.uncertain[q])
			soak_wrong(SOAK_QUEUE, "queue %u: %lu lost, not %lu at most; first %u", q,
				   (unsigned long)sum.lost, (unsigned long)sums.uncertain[q],
				   sum.first_lost);
		if (kipc_queue_len(handles.queue[q]) ||
		    kipc_queue_join(handles.queue[q], KIPC_NOWAIT))
			soak_wrong(SOAK_QUEUE, "queue %u: is not empty", q);
		memset(f->of, 0, min_of(f->next, f->n) * sizeof(f->of[0]));
		f->next = 0;
		sums.uncertain[q] = 0;
	}
}
