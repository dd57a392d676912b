// SPDX-License-Identifier: MIT
/* The queue's operations, with messages in the cells and in the payload region. */
#include <errno.h>
#include <string.h>

#include <kipc/queue.h>

#include "core/time.h"
#include "engine.h"
#include "core/peer.h"
#include "queue/queue.h"

#define CAPACITY	8
/*
 * Bytes of a message in the payload region; short enough that memcpy() does not take a string
 * instruction, each byte of which would be a point.
 */
#define LARGE		1000
#define WAIT		(2 * NSEC_PER_SEC)
#define MARK		1000	/* what the survivor puts */

static struct kipc_queue *q;
static struct kipc_msg msg;
static size_t len;		/* of every message */

struct message {
	uint64_t number;
	uint8_t rest[LARGE - 8];
};

static struct message buf, bufs[3];

static void fill(struct message *m, uint64_t number)
{
	m->number = number;
	for (size_t i = 0; i < len - 8; i++)
		m->rest[i] = (uint8_t)(number * 7 + i);
}

/* The number of a message, or an error: one that is torn is -EBADMSG. */
static int64_t number_of(const struct message *m, size_t size)
{
	if (size != len)
		return -EBADMSG;
	for (size_t i = 0; i < len - 8; i++)
		if (m->rest[i] != (uint8_t)(m->number * 7 + i))
			return -EBADMSG;
	return (int64_t)m->number;
}

static int put(uint64_t number)
{
	fill(&buf, number);
	return kipc_queue_put(q, &buf, len, WAIT);
}

static int make(size_t length, int before)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = CAPACITY, .msg_size = length, .max_peers = 3);
	int r;

	len = length;
	r = kipc_queue_create(NULL, &opts, &q);
	for (int i = 1; i <= before && !r; i++)
		r = put((uint64_t)i);
	if (!r)
		crash_track(kipc_queue_object(q));
	fill(&buf, 9);
	for (int i = 0; i < 3; i++)
		fill(&bufs[i], 9 + (uint64_t)i);
	return r;
}

static int make_empty(void)
{
	return make(8, 0);
}

static int make_empty_large(void)
{
	return make(LARGE, 0);
}

static int make_some(void)
{
	return make(8, 3);
}

static int make_some_large(void)
{
	return make(LARGE, 3);
}

static int enter(void)
{
	return __kipc_peer_enter(&q->obj.seg);
}

static int reserve(void)
{
	int r = kipc_queue_reserve(q, len, &msg, KIPC_NOWAIT);

	if (!r)
		memcpy(msg.data, &buf, len);
	return r;
}

static int take(void)
{
	return kipc_queue_take(q, &msg, KIPC_NOWAIT);
}

static int op_put(void)
{
	return kipc_queue_put(q, &buf, len, KIPC_NOWAIT);
}

static int op_put_many(void)
{
	struct iovec iov[3] = { { &bufs[0], len }, { &bufs[1], len }, { &bufs[2], len } };

	return kipc_queue_put_many(q, iov, 3, KIPC_NOWAIT) - 3;
}

static int op_get(void)
{
	return (int)kipc_queue_get(q, &buf, sizeof(buf), KIPC_NOWAIT) - (int)len;
}

static int op_get_many(void)
{
	struct iovec iov[3] = { { &bufs[0], len }, { &bufs[1], len }, { &bufs[2], len } };

	return kipc_queue_get_many(q, iov, 3, KIPC_NOWAIT) - 3;
}

static int op_take_done(void)
{
	return take() || kipc_queue_done(q, &msg);
}

static int op_reserve_commit(void)
{
	return reserve() || kipc_queue_commit(q, &msg);
}

static int op_done(void)
{
	return kipc_queue_done(q, &msg);
}

static int op_requeue(void)
{
	return kipc_queue_requeue(q, &msg);
}

static int op_commit(void)
{
	return kipc_queue_commit(q, &msg);
}

static int op_abort(void)
{
	return kipc_queue_abort(q, &msg);
}

/* The survivor puts one, and gets whatever is the first: which it puts among what was found. */
static int64_t found[2 * CAPACITY];
static bool flagged[2 * CAPACITY];
static int nfound;

static int find_one(int64_t timeout_ns)
{
	int r = kipc_queue_take(q, &msg, timeout_ns);

	if (r)
		return r;
	if (nfound == 2 * CAPACITY)
		return -E2BIG;
	found[nfound] = number_of(msg.data, msg.len);
	flagged[nfound++] = msg.flags & KIPC_MSG_REDELIVERED;
	return kipc_queue_done(q, &msg);
}

static int put_and_get(void)
{
	int r;

	nfound = 0;
	r = put(MARK);
	return r ? r : find_one(WAIT);
}

/* The survivor's own: behind all that were there, but for what the dead had taken. */
static int take_mark_out(void)
{
	int at = 0;

	while (at < nfound && found[at] != MARK)
		at++;
	if (at == nfound || flagged[at])
		return crash_bad("the survivor's message is lost or flagged");
	nfound--;
	for (int i = at; i < nfound; i++) {
		found[i] = found[i + 1];
		flagged[i] = flagged[i + 1];
		if (!flagged[i])
			return crash_bad("%ld came after the survivor's message", (long)found[i]);
	}
	return 0;
}

/* Everything else that is there, with the survivor's own at the end; then all of it works. */
static int drain(void)
{
	int r;

	while (!(r = find_one(KIPC_NOWAIT)))
		;
	if (r != -EAGAIN)
		return crash_bad("taking what is there: %d", r);
	if (take_mark_out())
		return -1;
	if (crash_expect("join", kipc_queue_join(q, KIPC_NOWAIT), 0))
		return -1;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < CAPACITY; i++)
			if (crash_expect("filling it", put(100 + (uint64_t)i), 0))
				return -1;
		if (crash_expect("full", kipc_queue_put(q, &buf, len, KIPC_NOWAIT), -EAGAIN))
			return -1;
		for (int i = 0; i < CAPACITY; i++) {
			if (crash_expect("emptying it", kipc_queue_get(q, &buf, sizeof(buf), KIPC_NOWAIT),
					 (int64_t)len) ||
			    crash_expect("message", number_of(&buf, len), 100 + i))
				return -1;
		}
	}
	return crash_expect("len", kipc_queue_len(q), 0);
}

/* first, first + 1, ... from the at-th found on, none of them flagged. */
static bool fresh(int at, int64_t first)
{
	for (int i = at; i < nfound; i++)
		if (found[i] != first + i - at || flagged[i])
			return false;
	return true;
}

static int wrong(void)
{
	return crash_bad("%d messages: %ld%s %ld%s %ld%s", nfound, (long)found[0],
			 flagged[0] ? "*" : "", nfound > 1 ? (long)found[1] : -1,
			 flagged[1] ? "*" : "", nfound > 2 ? (long)found[2] : -1,
			 flagged[2] ? "*" : "");
}

/* Messages 9, 10, 11 of the victims: how many; each whole, none without those before it. */
static int count_put(void)
{
	if (drain())
		return -1;
	return nfound <= 3 && fresh(0, 9) ? nfound : wrong();
}

/* A second putter's message is another 9. */
static int count_puts(void)
{
	if (drain())
		return -1;
	for (int i = 0; i < nfound; i++)
		if (found[i] != 9 || flagged[i])
			return wrong();
	return nfound;
}

/*
 * Of 1, 2, 3: how many are gone.  What was taken but not acknowledged is there, flagged; before it was
 * known that its taker is dead, others may have been taken.  The rest is in order.
 */
static int count_got(void)
{
	int64_t last_fresh = 0, last_flagged = 0, first_fresh = 4;

	if (drain())
		return -1;
	for (int i = 0; i < nfound; i++) {
		int64_t *last = flagged[i] ? &last_flagged : &last_fresh;

		if (found[i] <= *last || found[i] > 3)
			return wrong();
		*last = found[i];
		if (!flagged[i] && found[i] < first_fresh)
			first_fresh = found[i];
	}
	/* flagged ones are older than fresh ones, and of these none is missing */
	if (nfound > 3 || last_flagged >= first_fresh)
		return wrong();
	for (int64_t want = first_fresh; want <= 3; want++) {
		bool there = false;

		for (int i = 0; i < nfound; i++)
			there = there || found[i] == want;
		if (!there)
			return wrong();
	}
	return 3 - nfound;
}

/* 1 is there and flagged, nothing else is. */
static bool only_first_flagged(void)
{
	for (int i = 0; i < nfound; i++)
		if (flagged[i] != (found[i] == 1))
			return false;
	return true;
}

/* It was taken before: nothing but a flagged 1, or that it is gone. */
static int count_done(void)
{
	int r = count_got();

	return r == 0 && !only_first_flagged() ? wrong() : r;
}

/* Given back or taken back: there, flagged, and first. */
static int all_there_flagged(void)
{
	int r = count_got();

	if (r < 0)
		return r;
	/* a second victim may have got it after all, or the one behind it, and died with that */
	for (int i = 0; i < nfound; i++)
		if (flagged[i] ? found[i] == 3 : found[i] == 1)
			return wrong();
	return r;
}

static int nothing_there(void)
{
	return drain() || nfound ? wrong() : 0;
}

CRASH_OPS(crash_queue_ops) = {
	{ "queue", "put", CRASH_CORE | CRASH_PAIR, make_empty, enter, op_put, put_and_get, count_puts,
	  1, op_put, 1, NULL },
	{ "queue", "put large", 0, make_empty_large, enter, op_put, put_and_get, count_puts, 1, NULL,
	  0, NULL },
	{ "queue", "get", CRASH_CORE | CRASH_PAIR, make_some, enter, op_get, put_and_get, count_got, 1,
	  op_get, 1, NULL },
	{ "queue", "get large", 0, make_some_large, enter, op_get, put_and_get, count_got, 1, NULL, 0,
	  NULL },
	{ "queue", "take, done", CRASH_PAIR, make_some, enter, op_take_done, put_and_get, count_got, 1,
	  op_get, 1, NULL },
	{ "queue", "done", 0, make_some, take, op_done, put_and_get, count_done, 1, NULL, 0, NULL },
	{ "queue", "requeue", CRASH_PAIR, make_some, take, op_requeue, put_and_get, all_there_flagged, 0,
	  op_get, 1, NULL },
	{ "queue", "put_many 3", 0, make_empty, enter, op_put_many, put_and_get, count_put, 3, NULL, 0,
	  NULL },
	{ "queue", "put_many 3 large", 0, make_empty_large, enter, op_put_many, put_and_get, count_put,
	  3, NULL, 0, NULL },
	{ "queue", "get_many 3", 0, make_some, enter, op_get_many, put_and_get, count_got, 3, NULL, 0,
	  NULL },
	{ "queue", "get_many 3 large", 0, make_some_large, enter, op_get_many, put_and_get, count_got,
	  3, NULL, 0, NULL },
	{ "queue", "reserve, commit", 0, make_empty, enter, op_reserve_commit, put_and_get, count_puts,
	  1, NULL, 0, NULL },
	{ "queue", "commit", CRASH_PAIR, make_empty, reserve, op_commit, put_and_get, count_puts, 1,
	  op_put, 1, NULL },
	{ "queue", "abort", 0, make_empty, reserve, op_abort, put_and_get, nothing_there, 0, NULL, 0,
	  NULL },
	{ 0 },
};
