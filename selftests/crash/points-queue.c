// SPDX-License-Identifier: MIT
/* The queue's scenes: messages in cells and in the payload region, waits, a ring that drops. */
#include <errno.h>
#include <string.h>

#include <kipc/queue.h>

#include "core/peer.h"
#include "points-ledger.h"
#include "queue/queue.h"

#define CAPACITY	8
#define LARGE		1000
#define MANY		3	/* messages of put_many and get_many */

static struct kipc_queue *q;
static size_t len;		/* of every message */
static uint8_t bufs[MANY][LARGE];
static struct kipc_msg msg;
static bool requeues, shuts;	/* one of the actors does that */

/* ---- what actors do ---- */

/* When it is shut down all is well that ends. */
static int or_shut(int r)
{
	return r == -EPIPE && shuts ? 0 : r;
}

static int enter(void)
{
	return __kipc_peer_enter(&q->obj.seg);
}

static int put(int64_t timeout_ns)
{
	int r;

	ledger_may(1, 0);
	ledger_fill(bufs[0], len);
	r = kipc_queue_put(q, bufs[0], len, timeout_ns);
	if (!r)
		ledger_put();
	return or_shut(r);
}

static int put_many(int64_t timeout_ns)
{
	struct told *t = points_told(points_who);
	struct iovec iov[MANY];
	int r;

	ledger_may(MANY, 0);
	for (int i = 0; i < MANY; i++, t->nput++) {
		ledger_fill(bufs[i], len);
		iov[i] = (struct iovec){ bufs[i], len };
	}
	t->nput -= MANY;
	r = kipc_queue_put_many(q, iov, MANY, timeout_ns);
	t->nput += r > 0 ? r : 0;
	return r < 0 ? or_shut(r) : 0;
}

static int get(int64_t timeout_ns)
{
	ssize_t r;

	ledger_may(0, 1);
	r = kipc_queue_get(q, bufs[0], LARGE, timeout_ns);
	if (r >= 0)
		ledger_got(bufs[0], (size_t)r, FLAGGED_MAYBE);
	return r < 0 ? or_shut((int)r) : 0;
}

static int get_many(int64_t timeout_ns)
{
	struct iovec iov[MANY];
	int r;

	ledger_may(0, MANY);
	for (int i = 0; i < MANY; i++)
		iov[i] = (struct iovec){ bufs[i], LARGE };
	r = kipc_queue_get_many(q, iov, MANY, timeout_ns);
	for (int i = 0; i < r; i++)
		ledger_got(bufs[i], iov[i].iov_len, FLAGGED_MAYBE);
	return r < 0 ? or_shut(r) : 0;
}

static int take_done(int64_t timeout_ns)
{
	int r;

	ledger_may(0, 1);
	r = kipc_queue_take(q, &msg, timeout_ns);
	if (r)
		return or_shut(r);
	memcpy(bufs[0], msg.data, msg.len);
	r = kipc_queue_done(q, &msg);
	if (!r)
		ledger_got(bufs[0], msg.len,
			   msg.flags & KIPC_MSG_REDELIVERED ? FLAGGED_YES : FLAGGED_NO);
	return r;
}

static int take_requeue(int64_t timeout_ns)
{
	int r = kipc_queue_take(q, &msg, timeout_ns);

	return r ? r : kipc_queue_requeue(q, &msg);
}

/* Two of them, so that the second is taken while the first lies behind head. */
static int requeue_twice(int64_t timeout_ns)
{
	return take_requeue(timeout_ns) ?: take_requeue(timeout_ns);
}

static int take_one(int64_t timeout_ns)
{
	return kipc_queue_take(q, &msg, timeout_ns);
}

static int get_waiting(int64_t timeout_ns)
{
	(void)timeout_ns;
	return get(NSEC_PER_SEC);
}

static int get_twice(int64_t timeout_ns)
{
	return get(timeout_ns) ?: get(timeout_ns);
}

static int reserve_one(int64_t timeout_ns)
{
	return kipc_queue_reserve(q, len, &msg, timeout_ns);
}

static int reserve(void)
{
	ledger_may(1, 0);
	return kipc_queue_reserve(q, len, &msg, KIPC_NOWAIT);
}

static int commit(int64_t timeout_ns)
{
	int r;

	(void)timeout_ns;
	ledger_fill(msg.data, len);
	r = kipc_queue_commit(q, &msg);
	if (!r)
		ledger_put();
	return r;
}

static int abort_it(int64_t timeout_ns)
{
	(void)timeout_ns;
	ledger_may(0, 0);
	return kipc_queue_abort(q, &msg);
}

static int get_and_put(int64_t timeout_ns)
{
	static bool got;
	int r = got ? 0 : get(timeout_ns);

	got = got || !r;
	if (r)
		return r;
	ledger_may(1, 1);
	ledger_fill(bufs[0], len);
	r = kipc_queue_put(q, bufs[0], len, timeout_ns);
	if (!r)
		ledger_put();
	return or_shut(r);
}

static int join(int64_t timeout_ns)
{
	return kipc_queue_join(q, timeout_ns);
}

static int shut_down(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_queue_shutdown(q);
}

/* From now on pollers are told; and one that finds nothing clears the eventfd. */
static int watch(int64_t timeout_ns)
{
	int fd = kipc_queue_fd(q, KIPC_READABLE);

	(void)timeout_ns;
	return fd < 0 ? fd : kipc_queue_empty(q) < 0;
}

static int look(int64_t timeout_ns)
{
	ssize_t n = kipc_queue_len(q);

	(void)timeout_ns;
	return n < 0 ? (int)n : 0;
}

/* ---- the object ---- */

static int make(uint32_t capacity, size_t length, int before, uint32_t overflow)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = length, .max_peers = 8,
		  .overflow = overflow);
	int r;

	len = length;
	requeues = shuts = false;
	r = kipc_queue_create(NULL, &opts, &q);
	for (int i = 0; i < before && !r; i++)
		r = put(KIPC_NOWAIT);
	if (!r)
		points_track(kipc_queue_object(q));
	return r;
}

static int some(void)
{
	return make(CAPACITY, 8, 5, KIPC_OVERFLOW_BLOCK);
}

static int some_large(void)
{
	return make(CAPACITY, LARGE, 5, KIPC_OVERFLOW_BLOCK);
}

static int many(void)
{
	return make(2 * CAPACITY, 8, 9, KIPC_OVERFLOW_BLOCK);
}

static int many_large(void)
{
	return make(2 * CAPACITY, LARGE, 9, KIPC_OVERFLOW_BLOCK);
}

/* Laps go by, and every place is somebody's. */
static int tiny(void)
{
	return make(2, 8, 2, KIPC_OVERFLOW_BLOCK);
}

static int full(void)
{
	return make(4, 8, 4, KIPC_OVERFLOW_BLOCK);
}

static int full_dropping(void)
{
	return make(4, 8, 4, KIPC_OVERFLOW_DROP_OLDEST);
}

static int empty(void)
{
	return make(CAPACITY, 8, 0, KIPC_OVERFLOW_BLOCK);
}

static int some_requeued(void)
{
	int r = make(CAPACITY, 8, 4, KIPC_OVERFLOW_BLOCK);

	requeues = true;
	return r;
}

/* The dead one's place comes first, and all wait for it. */
static int dead_writer(void)
{
	int r = empty() ?: points_die(reserve_one, NULL);

	for (int i = 0; i < 5 && !r; i++)
		r = put(KIPC_NOWAIT);
	return r;
}

static int dead_reader(void)
{
	int r = some_requeued();

	return r ? r : points_die(take_one, NULL);
}

/* ... and there is no room but its own. */
static int full_dead_reader(void)
{
	int r = full();

	requeues = true;
	return r ? r : points_die(take_one, NULL);
}

/* It was about to sleep, or asleep. */
static int dead_sleeper(void)
{
	return empty() ?: points_die(get_waiting, "bell.accounted");
}

static int dead_drainer(void)
{
	int r = make(CAPACITY, 8, 1, KIPC_OVERFLOW_BLOCK) ?: watch(0);

	return r ? r : points_die(get_twice, "bell.drainer");
}

static int one(void)
{
	return make(CAPACITY, 8, 1, KIPC_OVERFLOW_BLOCK);
}

static int some_to_shut(void)
{
	int r = some();

	shuts = true;
	return r;
}

static int empty_to_shut(void)
{
	int r = empty();

	shuts = true;
	return r;
}

static int some_watched(void)
{
	int r = make(CAPACITY, 8, 1, KIPC_OVERFLOW_BLOCK);

	return r ? r : watch(0);
}

/* ---- what the world does ---- */

static void wake_by_put(enum who who)
{
	(void)who;
	if (kipc_queue_empty(q) == 1)
		put(KIPC_NOWAIT);
}

static void wake_by_get(enum who who)
{
	(void)who;
	if (kipc_queue_full(q) == 1)
		get(KIPC_NOWAIT);
}

/* Room for a producer, a message for a consumer. */
static void wake_by_either(enum who who)
{
	if (points_act(points_scene, who)->run == put)
		wake_by_get(who);
	else
		wake_by_put(who);
}

static void wake_by_shutdown(enum who who)
{
	(void)who;
	kipc_queue_shutdown(q);
}

static void drain(enum who who)
{
	(void)who;
	while (!take_done(KIPC_NOWAIT))
		if (shuts && kipc_queue_empty(q))
			break;
}

/* Who joins waits for all the others, these for messages. */
static void wake_joined(enum who who)
{
	if (points_act(points_scene, who)->run == join)
		drain(who);
	else
		wake_by_put(who);
}

/* Filled and emptied twice: every place is good. */
static int works(void)
{
	uint32_t n = q->capacity;

	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < n; i++)
			if (points_expect("filling it", kipc_queue_put(q, &i, sizeof(i), KIPC_NOWAIT), 0))
				return -1;
		if (q->overflow == KIPC_OVERFLOW_BLOCK &&
		    points_expect("full", kipc_queue_put(q, &n, sizeof(n), KIPC_NOWAIT), -EAGAIN))
			return -1;
		for (uint32_t i = 0, v = n; i < n; i++)
			if (points_expect("emptying it",
					  kipc_queue_get(q, &v, sizeof(v), KIPC_NOWAIT), sizeof(v)) ||
			    points_expect("number", v, i))
				return -1;
	}
	return points_expect("empty", kipc_queue_empty(q), 1);
}

static int verify(void)
{
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	int state;

	drain(WORLD);
	kipc_queue_stat(q, &st);
	state = ledger_verify(requeues, (int64_t)st.dropped);
	if (state < 0 || points_expect("left over", kipc_queue_len(q), 0) ||
	    points_expect("join", kipc_queue_join(q, KIPC_NOWAIT), 0))
		return -1;
	return shuts || !works() ? state : -1;
}

#define OP(fn)		{ .run = fn, .ready = enter }
#define WAITS(fn)	{ .run = fn, .ready = enter, .flags = ACT_WAITS }
#define TIMED(fn)	{ .run = fn, .ready = enter, .flags = ACT_TIMED }
#define STAYS(fn)	{ .run = fn, .ready = enter, .flags = ACT_STAYS | ACT_WAITS }
#define HOLD(fn)	{ .run = fn, .ready = reserve }
#define NEXT		TIMED(get_and_put)
#define ROW(name, flags, setup, a, b, c, wake) \
	{ "queue", name, flags, setup, a, b, c, verify, wake }

SCENES(points_queue) = {
	ROW("put x put", SCENE_TRIPLE | SCENE_SHORT, some, OP(put), OP(put), NEXT, NULL),
	ROW("put x get", SCENE_TRIPLE | SCENE_SHORT, some, OP(put), OP(get), NEXT, NULL),
	ROW("get x put", SCENE_TRIPLE | SCENE_SHORT, some, OP(get), OP(put), NEXT, NULL),
	ROW("get x get", SCENE_TRIPLE | SCENE_SHORT, some, OP(get), OP(get), NEXT, NULL),
	ROW("put x put, two places", 0, tiny, WAITS(put), WAITS(put), NEXT, wake_by_get),
	ROW("get x put, two places", 0, tiny, OP(get), WAITS(put), NEXT, wake_by_get),
	ROW("get x get, two places", 0, tiny, OP(get), OP(get), TIMED(put), NULL),
	ROW("put large x put large", 0, some_large, OP(put), OP(put), NEXT, NULL),
	ROW("put large x get large", 0, some_large, OP(put), OP(get), NEXT, NULL),
	ROW("get large x put large", 0, some_large, OP(get), OP(put), NEXT, NULL),
	ROW("put_many x put_many", SCENE_TRIPLE, many, OP(put_many), OP(put_many), NEXT, NULL),
	ROW("put_many x get_many", 0, many, OP(put_many), OP(get_many), NEXT, NULL),
	ROW("get_many x put_many", 0, many, OP(get_many), OP(put_many), NEXT, NULL),
	ROW("get_many x get_many", SCENE_TRIPLE, many, OP(get_many), OP(get_many), NEXT, NULL),
	ROW("put_many x get_many, large", 0, many_large, OP(put_many), OP(get_many), NEXT, NULL),
	ROW("take, done x take, done", 0, some, OP(take_done), OP(take_done), NEXT, NULL),
	ROW("take, done x take, requeue", SCENE_SHORT, some_requeued, OP(take_done), OP(take_requeue),
	    NEXT, NULL),
	ROW("take, requeue x get", SCENE_TRIPLE | SCENE_SHORT, some_requeued, OP(take_requeue), OP(get),
	    NEXT, NULL),
	ROW("requeue twice x requeue twice", 0, some_requeued, OP(requeue_twice), OP(requeue_twice),
	    NEXT, NULL),
	ROW("commit x commit", 0, some, HOLD(commit), HOLD(commit), NEXT, NULL),
	ROW("commit x get", 0, some, HOLD(commit), OP(get), NEXT, NULL),
	ROW("commit x abort", 0, some, HOLD(commit), HOLD(abort_it), NEXT, NULL),
	ROW("abort x commit", 0, some, HOLD(abort_it), HOLD(commit), NEXT, NULL),
	ROW("abort x put", 0, some, HOLD(abort_it), OP(put), NEXT, NULL),
	ROW("get, waiting x put", SCENE_TRIPLE | SCENE_SHORT, empty, WAITS(get), OP(put),
	    WAITS(get_and_put), wake_by_put),
	ROW("get, asleep x put", SCENE_TRIPLE | SCENE_SHORT | SCENE_LOOSE, empty, STAYS(get), OP(put),
	    WAITS(get_and_put), wake_by_put),
	ROW("get, asleep x put_many", SCENE_LOOSE, empty, STAYS(get), OP(put_many), WAITS(get_and_put),
	    wake_by_put),
	ROW("put, asleep x get", SCENE_TRIPLE | SCENE_LOOSE, full, STAYS(put), OP(get), TIMED(get),
	    wake_by_get),
	ROW("join, asleep x get", SCENE_LOOSE, one, STAYS(join), OP(get), WAITS(get_and_put),
	    wake_joined),
	ROW("get, asleep x shutdown", SCENE_LOOSE, empty_to_shut, STAYS(get), OP(shut_down),
	    WAITS(get_and_put), wake_by_shutdown),
	ROW("put x get, waiting", 0, empty, OP(put), WAITS(get), WAITS(get_and_put),
	    wake_by_put),
	ROW("get, waiting x get, waiting", SCENE_TRIPLE, empty, WAITS(get), WAITS(get),
	    WAITS(get_and_put), wake_by_put),
	ROW("put, waiting x get", SCENE_TRIPLE | SCENE_SHORT, full, WAITS(put), OP(get),
	    TIMED(get), wake_by_get),
	ROW("put, waiting x put, waiting", 0, full, WAITS(put), WAITS(put),
	    TIMED(get), wake_by_get),
	ROW("put, dropping x put, dropping", 0, full_dropping, OP(put), OP(put), NEXT, NULL),
	ROW("put, dropping x get", 0, full_dropping, OP(put), OP(get), NEXT, NULL),
	ROW("get x put, dropping", 0, full_dropping, OP(get), OP(put), NEXT, NULL),
	ROW("join x get", SCENE_TRIPLE, some, WAITS(join), WAITS(get), WAITS(get_and_put), wake_joined),
	ROW("join x join", 0, some, WAITS(join), WAITS(join), WAITS(get_and_put), wake_joined),
	ROW("get x join", 0, some, OP(get), WAITS(join), WAITS(get_and_put), wake_joined),
	ROW("get, repairing x get", SCENE_TRIPLE | SCENE_SHORT, dead_writer, OP(get), OP(get), NEXT,
	    NULL),
	ROW("get, repairing x put", 0, dead_writer, OP(get), OP(put), NEXT, NULL),
	ROW("put x get, repairing", 0, dead_writer, OP(put), OP(get), NEXT, NULL),
	ROW("get, repairing a reader x get", SCENE_TRIPLE, dead_reader, OP(get), OP(get), NEXT, NULL),
	ROW("put, repairing a reader x get", 0, full_dead_reader, WAITS(put), WAITS(get), WAITS(get),
	    wake_by_either),
	ROW("get, beside a dead sleeper x put", SCENE_LOOSE, dead_sleeper, STAYS(get), OP(put),
	    WAITS(get_and_put), wake_by_put),
	ROW("get, beside a dead drainer x put", SCENE_LOOSE, dead_drainer, STAYS(get), OP(put),
	    WAITS(get_and_put), wake_by_put),
	ROW("shutdown x put", 0, some_to_shut, OP(shut_down), OP(put), NEXT, NULL),
	ROW("put x shutdown", 0, some_to_shut, OP(put), OP(shut_down), NEXT, NULL),
	ROW("put_many x shutdown", 0, some_to_shut, OP(put_many), OP(shut_down), NEXT, NULL),
	ROW("get, waiting x shutdown", 0, empty_to_shut, WAITS(get), OP(shut_down),
	    WAITS(get_and_put), wake_by_shutdown),
	ROW("watch x get", 0, some, OP(watch), OP(get), NEXT, NULL),
	ROW("get x put, watched", 0, some_watched, OP(get), OP(put), WAITS(get_and_put),
	    wake_by_put),
	ROW("put x len", 0, some, OP(put), OP(look), NEXT, NULL),
	{ 0 },
};
