// SPDX-License-Identifier: MIT
/*
 * The pipe's scenes.  All actors have both ends.  Messages longer than the ring need somebody at the
 * other end all the time: a helper, which the world starts when one of the actors waits for it, and
 * which speaks for the world.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kipc/pipe.h>

#include "core/peer.h"
#include "pipe/pipe.h"
#include "points-ledger.h"

#define RING	4096
#define BIG	(RING + RING / 2)
#define SMALL	40
#define MANY	3

static struct kipc_pipe *ends[2];
static uint8_t bufs[MANY][BIG];
static size_t len;		/* of what actors send */
static size_t got_len;		/* of what was received last */
static bool shuts;
static pid_t helper;

/* ---- what actors do ---- */

static int or_shut(int r)
{
	return r == -EPIPE && shuts ? 0 : r;
}

static int enter(void)
{
	return __kipc_peer_enter(&ends[0]->obj.seg) ?: __kipc_peer_enter(&ends[1]->obj.seg);
}

static int send_len(size_t n, int64_t timeout_ns)
{
	int r;

	ledger_fill(bufs[0], n);
	r = kipc_pipe_send(ends[0], bufs[0], n, timeout_ns);
	if (!r)
		ledger_put();
	return or_shut(r);
}

static int send_it(int64_t timeout_ns)
{
	ledger_may(1, 0);
	return send_len(len, timeout_ns);
}

static int stream_it(int64_t timeout_ns)
{
	(void)timeout_ns;
	return send_it(KIPC_FOREVER);
}

static int send_small(int64_t timeout_ns)
{
	ledger_may(1, 0);
	return send_len(SMALL, timeout_ns);
}

static int send_many(int64_t timeout_ns)
{
	struct told *t = points_told(points_who);
	struct iovec iov[MANY];
	int r;

	ledger_may(MANY, 0);
	for (int i = 0; i < MANY; i++, t->nput++) {
		ledger_fill(bufs[i], SMALL);
		iov[i] = (struct iovec){ bufs[i], SMALL };
	}
	t->nput -= MANY;
	r = kipc_pipe_send_many(ends[0], iov, MANY, timeout_ns);
	t->nput += r > 0 ? r : 0;
	return r < 0 ? or_shut(r) : 0;
}

static int recv_one(int64_t timeout_ns)
{
	ssize_t r = kipc_pipe_recv(ends[1], bufs[0], BIG, timeout_ns);

	got_len = r < 0 ? 0 : (size_t)r;
	if (r >= 0)
		ledger_got(bufs[0], got_len, FLAGGED_NO);
	return r < 0 ? or_shut((int)r) : 0;
}

static int recv_it(int64_t timeout_ns)
{
	ledger_may(0, 1);
	return recv_one(timeout_ns);
}

static int recv_many(int64_t timeout_ns)
{
	struct iovec iov[MANY];
	int r;

	ledger_may(0, MANY);
	for (int i = 0; i < MANY; i++)
		iov[i] = (struct iovec){ bufs[i], BIG };
	r = kipc_pipe_recv_many(ends[1], iov, MANY, timeout_ns);
	for (int i = 0; i < r; i++)
		ledger_got(bufs[i], iov[i].iov_len, FLAGGED_NO);
	return r < 0 ? or_shut(r) : 0;
}

static int reserve_commit(int64_t timeout_ns)
{
	struct kipc_pipe_msg msg;
	int r;

	ledger_may(1, 0);
	r = kipc_pipe_reserve(ends[0], SMALL, &msg, timeout_ns);
	if (r)
		return r;
	ledger_fill(msg.data, SMALL);
	r = kipc_pipe_commit(ends[0], &msg);
	if (!r)
		ledger_put();
	return r;
}

static int peek_release(int64_t timeout_ns)
{
	struct kipc_pipe_msg msg;
	size_t n;
	int r;

	ledger_may(0, 1);
	r = kipc_pipe_peek(ends[1], &msg, timeout_ns);
	if (r)
		return r;
	n = msg.len;
	memcpy(bufs[0], msg.data, n);
	r = kipc_pipe_release(ends[1], &msg);
	if (!r)
		ledger_got(bufs[0], n, FLAGGED_NO);
	return r;
}

/* Gives up soon: there is nobody at the other end. */
static int send_big_briefly(int64_t timeout_ns)
{
	int r;

	(void)timeout_ns;
	ledger_may(1, 0);
	r = send_len(BIG, NSEC_PER_MSEC);
	return r == -ETIMEDOUT ? 0 : r;
}

static int recv_and_send(int64_t timeout_ns)
{
	static bool received;
	int r = received ? 0 : recv_it(timeout_ns);

	received = received || !r;
	if (r)
		return r;
	ledger_may(1, 1);
	return send_len(SMALL, timeout_ns);
}

static int shut_down(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_pipe_shutdown(ends[0]);
}

static int close_sender(int64_t timeout_ns)
{
	(void)timeout_ns;
	kipc_pipe_close(ends[0]);
	return 0;
}

static int send_fd(int64_t timeout_ns)
{
	int r = kipc_pipe_send_fd(ends[0], 0, timeout_ns);

	points_told(points_who)->nput += !r;
	return r;
}

static int recv_fd(int64_t timeout_ns)
{
	int fd, r = kipc_pipe_recv_fd(ends[1], &fd, timeout_ns);

	if (!r)
		close(fd);
	points_told(points_who)->ngot += !r;
	return r;
}

/* ---- the object ---- */

static int make(size_t length, int before, size_t of)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = RING);
	int r = kipc_pipe_create(&opts, ends);

	len = length;
	shuts = false;
	helper = 0;
	for (int i = 0; i < before && !r; i++)
		r = send_len(of, KIPC_NOWAIT);
	if (r)
		return r;
	points_track(kipc_pipe_object(ends[0]));
	points_track(kipc_pipe_object(ends[1]));
	return 0;
}

static int some(void)
{
	return make(SMALL, 6, SMALL);
}

/* Of which a receiver knows one, until it looks again. */
static int one_known(void)
{
	int r = make(SMALL, 2, SMALL) ?: recv_one(KIPC_NOWAIT);

	for (int i = 0; i < 5 && !r; i++)
		r = send_len(SMALL, KIPC_NOWAIT);
	return r;
}

/* With the lock, and something written that nobody will see. */
static int dead_sender(void)
{
	return some() ?: points_die(send_it, "pipe.send.filled");
}

static int dead_receiver(void)
{
	return some() ?: points_die(recv_it, "pipe.recv.locked");
}

/* Its first piece is there. */
static int dead_streamer(void)
{
	int r = make(BIG, 0, 0);

	return r ? r : points_die(stream_it, "bell.announced");
}

/* Many, so that there is less than a quarter of the ring's room, which senders wait for. */
static int full(void)
{
	return make(1000, 4, 1000);
}

static int empty(void)
{
	return make(SMALL, 0, 0);
}

static int empty_for_big(void)
{
	return make(BIG, 0, 0);
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

static int some_fds(void)
{
	int r = empty();

	for (int i = 0; i < MANY && !r; i++)
		r = send_fd(0);
	return r;
}

/* ---- the helper ---- */

#define END_LEN		8	/* of the message that ends it */
#define STREAMS		6

static void help(int (*work)(void))
{
	if (helper)
		return;
	helper = fork();
	if (helper)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(work());
}

static int receive_all(void)
{
	int r;

	do
		r = recv_one(KIPC_FOREVER);
	while (!r && got_len != END_LEN);
	return r != 0;
}

static int stream_some(void)
{
	int r = 0;

	for (int i = 0; i < STREAMS && !r; i++)
		r = send_len(BIG, KIPC_FOREVER);
	return r != 0;
}

static int streaming(void)
{
	int r = empty();

	help(stream_some);
	return r;
}

static bool nothing_there(void)
{
	return kipc_pipe_poll(ends[1], KIPC_NOWAIT) == -EAGAIN;
}

static void wake_by_send(enum who who)
{
	(void)who;
	if (nothing_there())
		send_len(SMALL, KIPC_NOWAIT);
}

static void wake_by_recv(enum who who)
{
	(void)who;
	recv_one(KIPC_NOWAIT);
}

static void wake_by_shutdown(enum who who)
{
	(void)who;
	kipc_pipe_shutdown(ends[0]);
}

/* A sender of a long message gets a receiver, a receiver something short. */
static void wake_streaming(enum who who)
{
	if (points_act(points_scene, who)->run == recv_it)
		wake_by_send(who);
	else
		help(receive_all);
}

/* ---- the end ---- */

static int end_helper(void)
{
	int status = 0;

	if (!helper)
		return 0;
	if (points_scene->wake) {
		if (points_expect("the last message", send_len(END_LEN, KIPC_FOREVER), 0))
			return -1;
		waitpid(helper, &status, 0);
	} else {
		while (!waitpid(helper, &status, WNOHANG))
			recv_one(10 * NSEC_PER_MSEC);
	}
	return points_expect("the helper", status, 0);
}

static int works(void)
{
	for (uint64_t i = 0, v; i < 20; i++)
		if (points_expect("sending", kipc_pipe_send(ends[0], &i, sizeof(i), KIPC_NOWAIT), 0) ||
		    points_expect("receiving", kipc_pipe_recv(ends[1], &v, sizeof(v), KIPC_NOWAIT),
				  sizeof(v)) ||
		    points_expect("number", (int64_t)v, (int64_t)i))
			return -1;
	return 0;
}

static int verify(void)
{
	int r;

	if (end_helper())
		return -1;
	while (!recv_one(KIPC_NOWAIT) && got_len)
		;
	r = ledger_verify(false, 0);
	return r < 0 || shuts || !works() ? r : -1;
}

/* Descriptors have no numbers: none is lost, but for one that the dead may have had. */
static int verify_fds(void)
{
	int n = 0, killed = points_told(KILLED)->ngot - points_told(KILLED)->nput;

	while (!recv_fd(KIPC_NOWAIT))
		;
	for (enum who who = STOPPED; who <= WORLD; who++)
		n += points_told(who)->nput - points_told(who)->ngot;
	if (points_ended(KILLED))
		return points_expect("descriptors", n, 0) ? -1 : POINTS_NEW;
	if (n < -1 || n > 1 || killed)
		return points_bad("%d descriptors too many were sent", n);
	return n ? POINTS_NEW : POINTS_OLD;
}

#define OP(fn)		{ .run = fn, .ready = enter }
#define WAITS(fn)	{ .run = fn, .ready = enter, .flags = ACT_WAITS }
#define TIMED(fn)	{ .run = fn, .ready = enter, .flags = ACT_TIMED }
#define STAYS(fn)	{ .run = fn, .ready = enter, .flags = ACT_STAYS | ACT_WAITS }
#define NEXT		TIMED(recv_and_send)
#define ROW(name, flags, setup, a, b, c, wake) \
	{ "pipe", name, flags, setup, a, b, c, verify, wake }

SCENES(points_pipe) = {
	ROW("send x send", SCENE_TRIPLE | SCENE_SHORT, some, OP(send_it), OP(send_it), NEXT, NULL),
	ROW("send x recv", SCENE_TRIPLE | SCENE_SHORT, some, OP(send_it), OP(recv_it), NEXT, NULL),
	ROW("recv x send", SCENE_TRIPLE | SCENE_SHORT, some, OP(recv_it), OP(send_it), NEXT, NULL),
	ROW("recv x recv", SCENE_TRIPLE | SCENE_SHORT, some, OP(recv_it), OP(recv_it), NEXT, NULL),
	ROW("send_many x recv_many", 0, some, OP(send_many), OP(recv_many), NEXT, NULL),
	ROW("recv_many x send_many", 0, some, OP(recv_many), OP(send_many), NEXT, NULL),
	ROW("send_many x send_many", 0, some, OP(send_many), OP(send_many), NEXT, NULL),
	ROW("recv_many x recv_many", 0, some, OP(recv_many), OP(recv_many), TIMED(send_it), NULL),
	ROW("recv_many x recv_many, one known", 0, one_known, OP(recv_many), OP(recv_many),
	    TIMED(send_it), NULL),
	ROW("send x stream out, given up", 0, some, OP(send_it), OP(send_big_briefly), NEXT, NULL),
	ROW("stream out, given up x recv", 0, some, OP(send_big_briefly), OP(recv_it), NEXT, NULL),
	ROW("stream out, given up x recv, full", 0, full, OP(send_big_briefly), OP(recv_it),
	    TIMED(recv_it), NULL),
	ROW("reserve, commit x send", 0, some, OP(reserve_commit), OP(send_it), NEXT, NULL),
	ROW("send x reserve, commit", 0, some, OP(send_it), OP(reserve_commit), NEXT, NULL),
	ROW("peek, release x recv", 0, some, OP(peek_release), OP(recv_it), NEXT, NULL),
	ROW("recv x peek, release", 0, some, OP(recv_it), OP(peek_release), NEXT, NULL),
	ROW("send, waiting x recv", SCENE_TRIPLE | SCENE_SHORT, full, WAITS(send_it), OP(recv_it),
	    TIMED(recv_it), wake_by_recv),
	ROW("send, waiting x send, waiting", 0, full, WAITS(send_it), WAITS(send_it), TIMED(recv_it),
	    wake_by_recv),
	ROW("recv, waiting x send", SCENE_TRIPLE | SCENE_SHORT, empty, WAITS(recv_it), OP(send_it),
	    WAITS(recv_and_send), wake_by_send),
	ROW("recv, asleep x send", SCENE_TRIPLE | SCENE_SHORT | SCENE_LOOSE, empty, STAYS(recv_it),
	    OP(send_it), WAITS(recv_and_send), wake_by_send),
	ROW("send, asleep x recv", SCENE_TRIPLE | SCENE_LOOSE, full, STAYS(send_it), OP(recv_it),
	    TIMED(recv_it), wake_by_recv),
	ROW("recv, asleep x shutdown", SCENE_LOOSE, empty_to_shut, STAYS(recv_it), OP(shut_down),
	    WAITS(recv_and_send), wake_by_shutdown),
	ROW("recv, asleep x close", SCENE_LOOSE, empty, STAYS(recv_it), OP(close_sender),
	    WAITS(recv_and_send), wake_by_send),
	ROW("stream out, asleep x recv", SCENE_TRIPLE | SCENE_LOOSE, empty_for_big, STAYS(send_it),
	    WAITS(recv_it), WAITS(recv_it), wake_streaming),
	ROW("recv, waiting x recv, waiting", 0, empty, WAITS(recv_it), WAITS(recv_it),
	    WAITS(recv_and_send), wake_by_send),
	ROW("stream out x stream out", SCENE_TRIPLE | SCENE_LOOSE, empty_for_big, WAITS(send_it), WAITS(send_it),
	    WAITS(send_small), wake_streaming),
	ROW("stream out x recv", SCENE_SHORT | SCENE_LOOSE, empty_for_big, WAITS(send_it), WAITS(recv_it),
	    WAITS(recv_it), wake_streaming),
	ROW("recv x stream out", SCENE_LOOSE, empty_for_big, WAITS(recv_it), WAITS(send_it), WAITS(send_small),
	    wake_streaming),
	ROW("stream in x stream in", SCENE_TRIPLE | SCENE_LOOSE, streaming, OP(recv_it), OP(recv_it), TIMED(recv_it),
	    NULL),
	ROW("send, repairing x send", SCENE_TRIPLE | SCENE_SHORT, dead_sender, OP(send_it), OP(send_it),
	    NEXT, NULL),
	ROW("send, repairing x recv", 0, dead_sender, OP(send_it), OP(recv_it), NEXT, NULL),
	ROW("recv, repairing x recv", SCENE_TRIPLE, dead_receiver, OP(recv_it), OP(recv_it), NEXT, NULL),
	ROW("send, repairing a stream x recv", SCENE_LOOSE, dead_streamer, WAITS(send_small),
	    WAITS(recv_it), WAITS(recv_it), wake_streaming),
	ROW("recv, repairing a stream x send", SCENE_LOOSE, dead_streamer, WAITS(recv_it),
	    WAITS(send_small), WAITS(recv_it), wake_streaming),
	ROW("shutdown x send", 0, some_to_shut, OP(shut_down), OP(send_it), NEXT, NULL),
	ROW("send x shutdown", 0, some_to_shut, OP(send_it), OP(shut_down), NEXT, NULL),
	ROW("close x send", 0, some, OP(close_sender), OP(send_it), NEXT, NULL),
	ROW("send x close", 0, some, OP(send_it), OP(close_sender), NEXT, NULL),
	ROW("close x close", 0, some, OP(close_sender), OP(close_sender), NEXT, NULL),
	{ "pipe", "send_fd x recv_fd", 0, some_fds, OP(send_fd), OP(recv_fd), OP(send_fd), verify_fds,
	  NULL },
	{ "pipe", "recv_fd x send_fd", 0, some_fds, OP(recv_fd), OP(send_fd), OP(recv_fd), verify_fds,
	  NULL },
	{ 0 },
};
