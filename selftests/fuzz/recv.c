// SPDX-License-Identifier: MIT
/*
 * kipc_recv() from a hostile socket: any bytes, in any pieces, with any descriptors and any control
 * data, from a valid message with one thing wrong to noise.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "fuzz.h"
#include "uapi/kipc/handover.h"
#include "use.h"

#define FDS_MAX		12
#define MESSAGES_MAX	6

static int damaged_segment(struct fuzz_input *in, int kind, bool patched)
{
	static uint8_t *copies[6];	/* one a kind, for good: they are large */
	const struct fuzz_image *img = fuzz_image(kind);
	struct fuzz_memory mem = { copies[kind], img->size, img->body_off, 0 };

	if (!patched)
		return fuzz_memfd(img->bytes, img->size, fuzz_seals(kind));
	if (!mem.base)
		mem.base = copies[kind] = malloc(img->size);
	fuzz_assert(mem.base);
	memcpy(mem.base, img->bytes, img->size);
	for (int i = 0; i < 3; i++)
		fuzz_patch(in, &mem);
	return fuzz_memfd(mem.base, mem.size, fuzz_u8(in) % 4 ? fuzz_seals(kind) : 0);
}

/* A descriptor of some kind, to be closed after it was sent. */
static int some_fd(struct fuzz_input *in, int kind)
{
	int type = SOCK_SEQPACKET, sv[2];
	uint8_t b = fuzz_u8(in);

	switch (b % 14) {
	case 0 ... 1:
		return damaged_segment(in, kind, true);
	case 2:
		return damaged_segment(in, 1 + b / 16 % 5, false);
	case 3 ... 5:
		return eventfd(b / 16, EFD_CLOEXEC | (b & 16 ? EFD_NONBLOCK : 0));
	case 6:
		type = SOCK_STREAM;
		/* fall through */
	case 7:
		if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sv))
			return -1;
		close(sv[1]);
		return sv[0];
	case 8:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 9:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 10:
		return open("/proc/self/exe", O_PATH | O_CLOEXEC);
	case 11:
		return epoll_create1(EPOLL_CLOEXEC);
	case 12:
		return memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	default:
		return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	}
}

/* What belongs to the kind, in its order. */
static int right_fd(struct fuzz_input *in, int kind, const struct fuzz_company *c, uint32_t i)
{
	if (i == 0)
		return damaged_segment(in, kind, fuzz_u8(in) & 1);
	return fcntl(i < 5 ? c->bells[i - 1] : c->sock[0], F_DUPFD_CLOEXEC, 3);
}

static uint32_t count_fds(int kind)
{
	static const uint32_t n[] = { 0, 3, 6, 1, 1, 1 };

	return n[kind];
}

static void send_one(struct fuzz_input *in, int sock, const struct fuzz_company *c)
{
	uint8_t shape = fuzz_u8(in);
	int kind = 1 + shape % 5, fds[FDS_MAX];
	uint32_t nfds = count_fds(kind), sent = 0;
	struct kipc_handover msg = {
		.magic = KIPC_HANDOVER_MAGIC,
		.version = KIPC_HANDOVER_VERSION,
		.kind = (uint16_t)kind,
		.nfds = nfds,
	};
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	uint8_t bytes[sizeof(msg) + 64] = { 0 };
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(msg) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	memcpy(bytes, &msg, sizeof(msg));
	if (shape & 64)		/* one thing is wrong with the bytes */
		bytes[fuzz_u8(in) % sizeof(msg)] ^= fuzz_u8(in);
	if (shape & 32)
		iov.iov_len = fuzz_u8(in) % sizeof(bytes);
	if (shape & 128)
		nfds = fuzz_u8(in) % (FDS_MAX + 1);
	for (uint32_t i = 0; i < nfds; i++) {
		bool right = i < count_fds(kind) && fuzz_u8(in) % 8;

		fds[sent] = right ? right_fd(in, kind, c, i) : some_fd(in, kind);
		sent += fds[sent] >= 0;
	}
	if (sent) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sent * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sent * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, sent * sizeof(int));
	}
	sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent--)
		close(fds[sent]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM, SOCK_STREAM };
	struct fuzz_input in = { data, data + size };
	uint8_t mode = fuzz_u8(&in);
	struct fuzz_company company;
	struct kipc_object *obj;
	int sv[2], fds, on = 1, r;

	for (int k = 1; k <= 5; k++)
		fuzz_image(k);
	fds = fuzz_fds_begin();
	fuzz_company_open(&company);
	fuzz_assert(!socketpair(AF_UNIX, types[mode % 4] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv));
	if (mode & 16)
		setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	for (int i = 0; i < MESSAGES_MAX && fuzz_more(&in); i++) {
		uint8_t what = fuzz_u8(&in);

		if (what % 8 < 5) {
			send_one(&in, sv[1], &company);
		} else if (what % 8 == 5) {
			uint64_t noise = fuzz_u64(&in);

			send(sv[1], &noise, what / 8 % 9, MSG_DONTWAIT | MSG_NOSIGNAL);
		} else if (what % 8 == 6) {
			shutdown(sv[1], SHUT_WR);
		}
		if (what & 64)
			continue;	/* more behind it before anybody reads */
		r = kipc_recv(sv[0], &obj);
		fuzz_assert(r <= 0);
		if (!r) {
			if (what & 128)
				fuzz_use(obj, &in);
			kipc_object_close(obj);
		}
	}
	for (int i = 0; i < MESSAGES_MAX && !kipc_recv(sv[0], &obj); i++)
		kipc_object_close(obj);
	close(sv[0]);
	close(sv[1]);
	fuzz_company_close(&company);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	size_t n = fuzz_seed_noise(i, buf, 40 + 8 * i);

	(void)max;
	buf[0] = (uint8_t)(i % 4);
	if (i < 20) {	/* a valid message of each kind over each type of socket */
		memset(buf + 1, 1, n - 1);
		buf[1] = 128;
		buf[2] = (uint8_t)(i / 4);
		/* behind each descriptor's "right" comes the first one's "not patched" */
		buf[4] = 2;
	}
	return i < 60 ? n : 0;
}
