// SPDX-License-Identifier: MIT
/*
 * The two ends of a pipe, each in a process of its own, that send and receive as they like.  When
 * one of them is killed, the other one receives what is left, is told of the hang-up, and ends;
 * then there is a new pair.
 *
 * Of each direction it is on record how many messages were begun (tried), were sent for certain,
 * and were received.  They are numbered and come in order, so after a hang-up
 *
 *	sent <= got <= tried
 */
#include <errno.h>
#include <string.h>

#include "soak.h"

#define LEN_MAX		300
#define LONG_MAX	12000	/* three times the ring */

struct message {
	uint64_t seq;
	uint32_t len;
	uint8_t bytes[];
};

static union {
	struct message m;
	uint8_t room[LONG_MAX];
} out, in;

static struct soak_way *way(const struct soak_worker *w, bool mine)
{
	uint32_t i = w->nr - SOAK_PIPE_0;

	return &soak->way[i / 2][(i & 1) ^ !mine];
}

/* 0, -ETIMEDOUT, -EPIPE, ... */
static int send_one(struct soak_worker *w)
{
	struct soak_way *to = way(w, true);
	uint32_t max = below(&w->seed, 64) ? LEN_MAX : LONG_MAX;
	int r;

	out.m.seq = to->sent;
	out.m.len = (uint32_t)sizeof(out.m) + below(&w->seed, max - (uint32_t)sizeof(out.m));
	memset(out.m.bytes, (int)out.m.seq, out.m.len - sizeof(out.m));
	store_release(&to->tried, to->sent + 1);
	soak_begin(w, CALL_SEND);
	r = kipc_pipe_send(handles.end, &out, out.m.len, 5 * NSEC_PER_MSEC);
	if (!r)
		store_release(&to->sent, to->sent + 1);
	else
		store_release(&to->tried, to->sent);	/* then nothing was sent */
	return r;
}

static int recv_one(struct soak_worker *w, int64_t timeout_ns)
{
	struct soak_way *from = way(w, false);
	ssize_t len;

	soak_begin(w, CALL_RECV);
	len = kipc_pipe_recv(handles.end, &in, sizeof(in), timeout_ns);
	if (len < 0)
		return (int)len;
	if ((size_t)len < sizeof(in.m) || in.m.len != (size_t)len) {
		soak_wrong(SOAK_PIPE, "place %u: a damaged message", w->nr);
		return -EBADMSG;
	}
	for (size_t i = 0; i < in.m.len - sizeof(in.m); i++) {
		if (in.m.bytes[i] != (uint8_t)in.m.seq) {
			soak_wrong(SOAK_PIPE, "place %u: a message damaged inside", w->nr);
			return -EBADMSG;
		}
	}
	if (in.m.seq != from->got) {
		soak_wrong(SOAK_PIPE, "place %u: message %lu, not %lu", w->nr,
			   (unsigned long)in.m.seq, (unsigned long)from->got);
		return -EBADMSG;
	}
	store_release(&from->got, from->got + 1);
	w->place->count.pipe_messages++;
	return 0;
}

int talk(struct soak_worker *w)
{
	/* one of the two may wait long, since the other one doesn't */
	int64_t timeout = w->nr & 1 ? 5 * NSEC_PER_MSEC : NSEC_PER_SEC;
	int r;

	do {
		soak_pause(w);
		r = below(&w->seed, 2) ? send_one(w) : recv_one(w, timeout);
		if (r == -ETIMEDOUT)
			soak_give_up(w);
		else
			soak_end(w);
	} while (!r || r == -ETIMEDOUT);
	/* the other one is gone: what it had sent is still there */
	if (r == -EPIPE) {
		while (!(r = recv_one(w, KIPC_FOREVER)))
			;
		soak_end(w);
	}
	return r == -EPIPE ? 0 : r == -EBADMSG ? 1 : soak_failed(w, "send or recv", r);
}

void pair_count(uint32_t pair, int survivor)
{
	for (int i = 0; i < 2; i++) {
		const struct soak_way *way = &soak->way[pair][i];
		bool to_the_end = survivor == 1 - i;

		if (way->got > way->tried || (to_the_end && way->got < way->sent))
			soak_wrong(SOAK_PIPE, "pair %u: got %lu messages of %lu to %lu", pair,
				   (unsigned long)way->got, (unsigned long)way->sent,
				   (unsigned long)way->tried);
	}
}
