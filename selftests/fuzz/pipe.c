// SPDX-License-Identifier: MIT
/* Every operation of both ends of a pipe on a segment that is changed under them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kipc/object.h>
#include <kipc/pipe.h>

#include "fuzz.h"

#define STEPS_MAX	200
#define LEN_MAX		10000	/* longer than the ring */
#define RING		4096

struct state {
	struct fuzz_pair pair;
	struct kipc_pipe_msg made[2], peeked[2];
};

/* In the heap, exactly so long: one byte too many shows. */
static void receive(struct kipc_pipe *p, struct fuzz_input *in)
{
	size_t size = fuzz_u16(in) % LEN_MAX;
	uint8_t *buf = malloc(size ? size : 1);

	fuzz_assert(kipc_pipe_recv(p, buf, size, fuzz_timeout(in)) <= (ssize_t)size);
	free(buf);
}

static void check_place(const struct kipc_pipe_msg *msg, bool write)
{
	/* in one piece, in the ring or in its second mapping */
	fuzz_assert(msg->len <= RING - 8);
	fuzz_touch(msg->data, msg->len);
	if (write)
		memset(msg->data, 0x5a, msg->len);
}

static void batch(struct kipc_pipe *p, struct fuzz_input *in, bool send)
{
	static uint8_t bufs[6][1000];
	struct iovec iov[6];
	int n = 1 + fuzz_u8(in) % 6, r;

	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ bufs[i], fuzz_u16(in) % sizeof(bufs[i]) };
	r = send ? kipc_pipe_send_many(p, iov, n, fuzz_timeout(in)) :
		   kipc_pipe_recv_many(p, iov, n, fuzz_timeout(in));
	fuzz_assert(r <= n && r != 0);
	for (int i = 0; !send && i < r; i++)
		fuzz_assert(iov[i].iov_len < sizeof(bufs[i]));
}

/* What comes over the control socket is the other end's own business, too. */
static void control(struct state *s, struct fuzz_input *in, int which)
{
	uint64_t bytes[4] = { fuzz_number(in), fuzz_u8(in) };
	struct iovec iov = { .iov_base = bytes, .iov_len = fuzz_u8(in) % sizeof(bytes) };
	uint32_t n = fuzz_u8(in) % 4;
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} c;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	if (n) {
		memset(&c, 0, sizeof(c));
		mh.msg_control = c.buf;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (uint32_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(cm) + i * sizeof(int), &s->pair.fd, sizeof(int));
	}
	sendmsg(s->pair.company.sock[!which], &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void step(struct state *s, struct fuzz_input *in)
{
	static uint8_t buf[LEN_MAX];
	uint8_t op = fuzz_u8(in);
	int which = op >> 7, fd;
	struct kipc_pipe *p = kipc_object_pipe(s->pair.obj[which]);
	struct kipc_pipe_stat st = { .sz = sizeof(st) };

	op &= 127;
	if (op < 48) {
		fuzz_patch(in, &s->pair.mem);
		return;
	}
	if (!p && op < 120)
		return;
	switch (op) {
	case 48 ... 53:
		kipc_pipe_send(p, buf, fuzz_u16(in) % (op == 53 ? LEN_MAX : 400), fuzz_timeout(in));
		break;
	case 54 ... 60:
		receive(p, in);
		break;
	case 61 ... 63:
		fuzz_assert(kipc_pipe_poll(p, fuzz_timeout(in)) <= 1);
		break;
	case 64 ... 66:
		batch(p, in, true);
		break;
	case 67 ... 70:
		batch(p, in, false);
		break;
	case 71 ... 74:
		if (!kipc_pipe_reserve(p, fuzz_u16(in) % 5000, &s->made[which], fuzz_timeout(in)))
			check_place(&s->made[which], true);
		break;
	case 75 ... 77:
		if (op == 77)
			s->made[which].len = fuzz_number(in);
		kipc_pipe_commit(p, &s->made[which]);
		break;
	case 78:
		kipc_pipe_abort(p, &s->made[which]);
		break;
	case 79 ... 82:
		if (!kipc_pipe_peek(p, &s->peeked[which], fuzz_timeout(in)))
			check_place(&s->peeked[which], false);
		break;
	case 83 ... 85:
		if (op == 85)
			s->peeked[which].position += fuzz_number(in);
		kipc_pipe_release(p, &s->peeked[which]);
		break;
	case 86 ... 87:
		kipc_pipe_send_fd(p, 0, fuzz_timeout(in));
		break;
	case 88 ... 89:
		if (!kipc_pipe_recv_fd(p, &fd, fuzz_timeout(in)))
			close(fd);
		break;
	case 90:
		kipc_pipe_shutdown(p);
		break;
	case 91:
		fd = kipc_pipe_fd(p, 1u << fuzz_u8(in) % 3);
		fuzz_assert(fd < 0 || fcntl(fd, F_GETFD) >= 0);
		break;
	case 92 ... 93:
		fuzz_assert(!kipc_pipe_stat(p, &st));
		break;
	case 94:
		fuzz_assert(kipc_pipe_size(p) == RING);
		break;
	case 95 ... 96:
		control(s, in, which);
		break;
	case 98 ... 101:
		fuzz_storm_begin(in, &s->pair.mem);
		break;
	case 102:
		fuzz_storm_end();
		break;
	case 120 ... 123:
		fuzz_pair_reopen(&s->pair, KIPC_SEG_PIPE, which);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	struct state s = { 0 };
	int fds;

	fuzz_image(KIPC_SEG_PIPE);
	fds = fuzz_fds_begin();
	fuzz_pair_open(&s.pair, KIPC_SEG_PIPE);
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
