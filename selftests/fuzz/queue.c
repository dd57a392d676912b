// SPDX-License-Identifier: MIT
/* Every operation of a queue on a segment that is changed under it, through two handles. */
#include <errno.h>
#include <string.h>

#include <kipc/object.h>
#include <kipc/queue.h>

#include "fuzz.h"

#define STEPS_MAX	200
#define MSGS		4

struct state {
	struct fuzz_pair pair;
	struct kipc_msg made[MSGS], taken[MSGS];
};

static void check_place(struct kipc_queue *q, const struct kipc_msg *msg, bool write)
{
	struct kipc_segment *seg = &kipc_queue_object(q)->seg;
	uint8_t *p = msg->data;

	fuzz_assert(msg->len <= 300);
	fuzz_assert(p >= seg->base && p + msg->len <= seg->base + seg->size);
	fuzz_touch(p, msg->len);
	if (write)
		memset(p, 0x5a, msg->len);
}

static void batch(struct kipc_queue *q, struct fuzz_input *in, bool put)
{
	uint8_t bufs[8][300];
	struct iovec iov[8];
	int n = 1 + fuzz_u8(in) % 8, r;

	memset(bufs, 1, sizeof(bufs));
	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ bufs[i], fuzz_u16(in) % 301 };
	r = put ? kipc_queue_put_many(q, iov, n, fuzz_timeout(in)) :
		  kipc_queue_get_many(q, iov, n, fuzz_timeout(in));
	fuzz_assert(r <= n && r != 0);
	for (int i = 0; !put && i < r; i++)
		fuzz_assert(iov[i].iov_len <= 300);
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);
	int which = op >> 7;
	struct kipc_queue *q = kipc_object_queue(s->pair.obj[which]);
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	uint8_t buf[300] = { 7 };
	struct kipc_msg *msg;
	ssize_t n;

	op &= 127;
	if (op < 48) {
		fuzz_patch(in, &s->pair.mem);
		return;
	}
	if (!q && op < 120)
		return;
	switch (op) {
	case 48 ... 53:
		kipc_queue_put(q, buf, fuzz_u16(in) % 302, fuzz_timeout(in));
		break;
	case 54 ... 59:
		n = fuzz_u16(in) % 301;
		fuzz_assert(kipc_queue_get(q, buf, (size_t)n, fuzz_timeout(in)) <= n);
		break;
	case 60 ... 63:
		batch(q, in, true);
		break;
	case 64 ... 67:
		batch(q, in, false);
		break;
	case 68 ... 71:
		msg = &s->made[fuzz_u8(in) % MSGS];
		if (!kipc_queue_reserve(q, fuzz_u16(in) % 302, msg, fuzz_timeout(in)))
			check_place(q, msg, true);
		break;
	case 72 ... 75:
		msg = &s->made[fuzz_u8(in) % MSGS];
		if (op == 75)
			msg->position = fuzz_number(in);
		if (op == 74)
			msg->len = fuzz_number(in);
		kipc_queue_commit(q, msg);
		break;
	case 76 ... 77:
		kipc_queue_abort(q, &s->made[fuzz_u8(in) % MSGS]);
		break;
	case 78 ... 81:
		msg = &s->taken[fuzz_u8(in) % MSGS];
		if (!kipc_queue_take(q, msg, fuzz_timeout(in)))
			check_place(q, msg, false);
		break;
	case 82 ... 84:
		kipc_queue_done(q, &s->taken[fuzz_u8(in) % MSGS]);
		break;
	case 85 ... 87:
		kipc_queue_requeue(q, &s->taken[fuzz_u8(in) % MSGS]);
		break;
	case 88 ... 90:
		kipc_queue_join(q, fuzz_timeout(in));
		break;
	case 91 ... 92:
		fuzz_assert(kipc_queue_len(q) <= 5);
		break;
	case 93:
		fuzz_assert(kipc_queue_empty(q) <= 1);
		break;
	case 94:
		fuzz_assert(kipc_queue_full(q) <= 1);
		break;
	case 95:
		if (!kipc_queue_stat(q, &st))
			fuzz_assert(st.len <= 5 && st.capacity == 5 && st.peers <= 6);
		break;
	case 96:
		fuzz_assert(kipc_queue_fd(q, fuzz_u8(in) & 1 ? KIPC_READABLE : KIPC_WRITABLE) >= 0);
		break;
	case 97:
		kipc_queue_shutdown(q);
		break;
	case 98 ... 101:
		fuzz_storm_begin(in, &s->pair.mem);
		break;
	case 102:
		fuzz_storm_end();
		break;
	case 120 ... 123:
		fuzz_pair_reopen(&s->pair, KIPC_SEG_QUEUE, which);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	struct state s = { 0 };
	int fds;

	fuzz_image(KIPC_SEG_QUEUE);
	fds = fuzz_fds_begin();
	fuzz_pair_open(&s.pair, KIPC_SEG_QUEUE);
	for (int i = 0; i < STEPS_MAX && fuzz_more(&in); i++)
		step(&s, &in);
	fuzz_pair_close(&s.pair);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	(void)max;
	return fuzz_seed_steps(i, buf, 0, 48);
}
