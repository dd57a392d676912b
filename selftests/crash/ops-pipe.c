// SPDX-License-Identifier: MIT
/*
 * The pipe's operations, on an end that the victim shares with the survivor: messages that fit, that
 * lie across the end of the ring, and that are longer than it, for which a helper is at the other end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <kipc/pipe.h>

#include "core/peer.h"
#include "core/time.h"
#include "engine.h"
#include "pipe/pipe.h"

#define RING	4096
#define BIG	(3 * RING + 5)
#define WAIT	(3 * NSEC_PER_SEC)
#define MARK	1000		/* what the survivor sends */

static struct kipc_pipe *ends[2];
static size_t len;		/* of every message but the big ones */
static uint8_t buf[BIG], out[BIG];

static void fill(uint64_t number, size_t size)
{
	memcpy(buf, &number, 8);
	for (size_t i = 8; i < size; i++)
		buf[i] = (uint8_t)(number * 7 + i);
}

/* The number of a message, or an error: one that is torn is -EBADMSG. */
static int64_t number_of(const uint8_t *m, ssize_t size)
{
	int64_t number;

	if (size < 8)
		return size < 0 ? size : -EBADMSG;
	memcpy(&number, m, 8);
	for (ssize_t i = 8; i < size; i++)
		if (m[i] != (uint8_t)((uint64_t)number * 7 + (uint64_t)i))
			return -EBADMSG;
	return number;
}

static int send_one(uint64_t number, size_t size, int64_t timeout_ns)
{
	fill(number, size);
	return kipc_pipe_send(ends[0], buf, size, timeout_ns);
}

static int64_t recv_one(int64_t timeout_ns)
{
	return number_of(out, kipc_pipe_recv(ends[1], out, sizeof(out), timeout_ns));
}

/* skip: bytes of the ring that have gone through it before. */
static int make(size_t length, size_t skip, int before)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = RING);
	int r = kipc_pipe_create(&opts, ends);

	len = length;
	if (!r)
		crash_track(kipc_pipe_object(ends[0]));
	if (!r && skip) {
		r = send_one(0, skip - 8, KIPC_NOWAIT);
		if (!r)
			r = (int)recv_one(KIPC_NOWAIT);
	}
	for (int i = 1; i <= before && !r; i++)
		r = send_one((uint64_t)i, len, KIPC_NOWAIT);
	fill(9, len);
	return r;
}

static int make_short(void)
{
	return make(40, 0, 0);
}

static int make_wrapping(void)
{
	return make(1000, RING - 504, 0);
}

static int make_three(void)
{
	return make(40, 0, 3);
}

static int make_three_wrapping(void)
{
	return make(1000, RING - 504, 3);
}

static int enter(void)
{
	return __kipc_peer_enter(&ends[0]->obj.seg) ?: __kipc_peer_enter(&ends[1]->obj.seg);
}

static int op_send(void)
{
	return kipc_pipe_send(ends[0], buf, len, KIPC_NOWAIT);
}

static int op_recv(void)
{
	return (int)kipc_pipe_recv(ends[1], out, sizeof(out), KIPC_NOWAIT) - (int)len;
}

static int op_recv_next(void)
{
	return kipc_pipe_recv(ends[1], out, sizeof(out), KIPC_NOWAIT) < 0;
}

static int op_send_many(void)
{
	static uint8_t copies[3][64];
	struct iovec iov[3];

	for (int i = 0; i < 3; i++) {
		fill(9, len);
		memcpy(copies[i], buf, len);
		iov[i] = (struct iovec){ copies[i], len };
	}
	return kipc_pipe_send_many(ends[0], iov, 3, KIPC_NOWAIT) - 3;
}

static int op_recv_many(void)
{
	static uint8_t copies[3][64];
	struct iovec iov[3] = { { copies[0], 64 }, { copies[1], 64 }, { copies[2], 64 } };

	return kipc_pipe_recv_many(ends[1], iov, 3, KIPC_NOWAIT) - 3;
}

static int op_reserve_commit(void)
{
	struct kipc_pipe_msg msg;

	if (kipc_pipe_reserve(ends[0], len, &msg, KIPC_NOWAIT))
		return 1;
	memcpy(msg.data, buf, len);
	return kipc_pipe_commit(ends[0], &msg);
}

static int op_peek_release(void)
{
	struct kipc_pipe_msg msg;

	if (kipc_pipe_peek(ends[1], &msg, KIPC_NOWAIT) || msg.len != len)
		return 1;
	return kipc_pipe_release(ends[1], &msg);
}

/* The survivor sends and receives, on both of the ends that it shared with the dead. */
static int64_t found[8];
static int nfound;

static int send_and_recv(void)
{
	int r = send_one(MARK, len, WAIT);

	if (r)
		return r;
	found[0] = recv_one(WAIT);
	nfound = 1;
	return found[0] < 0 ? (int)found[0] : 0;
}

static int drain(void)
{
	int64_t r = -EAGAIN;

	while (nfound < 8 && (r = recv_one(KIPC_NOWAIT)) >= 0)
		found[nfound++] = r;
	if (nfound == 8 || r != -EAGAIN)
		return crash_bad("receiving what is there: %ld", (long)r);
	if (found[--nfound] != MARK)
		return crash_bad("the survivor's message isn't the last one");
	for (int i = 0; i < 20; i++) {
		if (crash_expect("sending more", send_one(100 + (uint64_t)i, len, KIPC_NOWAIT), 0) ||
		    crash_expect("receiving it", recv_one(KIPC_NOWAIT), 100 + i))
			return -1;
	}
	return 0;
}

static int wrong(void)
{
	return crash_bad("%d messages: %ld %ld %ld", nfound, (long)found[0], (long)found[1],
			 (long)found[2]);
}

/* Nothing but whole messages 9. */
static int count_sent(void)
{
	if (drain())
		return -1;
	for (int i = 0; i < nfound; i++)
		if (found[i] != 9)
			return wrong();
	return nfound;
}

/* Of 1, 2, 3: how many are gone. */
static int count_received(void)
{
	if (drain())
		return -1;
	for (int i = 0; i < nfound; i++)
		if (found[i] != 4 - nfound + i)
			return wrong();
	return nfound <= 3 ? 3 - nfound : wrong();
}

/* ---- messages longer than the ring ---- */

static int done_fd = -1;	/* the helper's */
static struct told {
	int bigs, others;
	int64_t error;
} *told;

static void helper(int (*work)(void))
{
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	work();
	_exit(0);
}

/* Receives until the survivor's message came. */
static int receive_all(void)
{
	uint64_t one = 1;
	int64_t n;

	while ((n = recv_one(KIPC_FOREVER)) != MARK) {
		if (n < 0) {
			told->error = n;
			break;
		}
		if (n == 9)
			told->bigs++;
		else
			told->others++;
	}
	return (int)write(done_fd, &one, sizeof(one));
}

static int send_big(void)
{
	return send_one(9, BIG, KIPC_FOREVER) || send_one(MARK, len, KIPC_FOREVER);
}

static int make_with_receiver(void)
{
	int r = make(40, 0, 0);

	told = crash_shared(sizeof(*told));
	done_fd = eventfd(0, EFD_CLOEXEC);
	helper(receive_all);
	fill(9, BIG);
	return r;
}

static int make_with_sender(void)
{
	int r = make(40, 0, 0);

	helper(send_big);
	return r;
}

static int op_send_big(void)
{
	return kipc_pipe_send(ends[0], buf, BIG, WAIT);
}

static int op_recv_big(void)
{
	return (int)kipc_pipe_recv(ends[1], out, sizeof(out), WAIT) - BIG;
}

static int send_mark(void)
{
	struct pollfd pfd = { .fd = done_fd, .events = POLLIN };
	int r = send_one(MARK, len, WAIT);

	if (r)
		return r;
	return poll(&pfd, 1, 5000) == 1 ? 0 : -ETIMEDOUT;
}

static int big_arrived(void)
{
	if (told->error || told->others)
		return crash_bad("the receiver got %ld, others %d", (long)told->error, told->others);
	return told->bigs;
}

/* What comes until the helper's last message. */
static int recv_mark(void)
{
	int64_t n;

	nfound = 0;
	while (nfound < 8 && (n = recv_one(WAIT)) != MARK) {
		if (n < 0)
			return (int)n;
		found[nfound++] = n;
	}
	return 0;
}

static int big_received(void)
{
	if (nfound > 1 || (nfound && found[0] != 9))
		return wrong();
	return 1 - nfound;
}

CRASH_OPS(crash_pipe_ops) = {
	{ "pipe", "send", CRASH_PAIR, make_short, enter, op_send, send_and_recv, count_sent, 1, op_send,
	  1, NULL },
	{ "pipe", "send, wrapping", 0, make_wrapping, enter, op_send, send_and_recv, count_sent, 1, NULL,
	  0, NULL },
	{ "pipe", "send, streaming", CRASH_LOOSE | CRASH_HELPER, make_with_receiver, enter, op_send_big, send_mark,
	  big_arrived, 1, NULL, 0, NULL },
	{ "pipe", "recv", CRASH_PAIR, make_three, enter, op_recv, send_and_recv, count_received, 1,
	  op_recv_next, 1, NULL },
	{ "pipe", "recv, wrapping", 0, make_three_wrapping, enter, op_recv, send_and_recv,
	  count_received, 1, NULL, 0, NULL },
	{ "pipe", "recv, streaming", CRASH_LOOSE | CRASH_HELPER, make_with_sender, enter, op_recv_big, recv_mark,
	  big_received, 1, NULL, 0, NULL },
	{ "pipe", "send_many 3", 0, make_short, enter, op_send_many, send_and_recv, count_sent, 3, NULL,
	  0, NULL },
	{ "pipe", "recv_many 3", 0, make_three, enter, op_recv_many, send_and_recv, count_received, 3,
	  NULL, 0, NULL },
	{ "pipe", "reserve, commit", 0, make_short, enter, op_reserve_commit, send_and_recv, count_sent,
	  1, NULL, 0, NULL },
	{ "pipe", "peek, release", 0, make_three, enter, op_peek_release, send_and_recv, count_received,
	  1, NULL, 0, NULL },
	{ 0 },
};
