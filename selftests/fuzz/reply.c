// SPDX-License-Identifier: MIT
/* What the library makes of a broker's answers: any bytes, any descriptors, at any moment. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/names.h"
#include "core/time.h"
#include "fuzz.h"
#include "names/client.h"
#include "names/message.h"

static void answer(struct fuzz_input *in, int sock, uint16_t op)
{
	struct kipc_broker_list reply = {
		.head = {
			.magic = KIPC_BROKER_MAGIC,
			.version = KIPC_BROKER_VERSION,
			.op = op,
			.broker = 1 + fuzz_u8(in) % 2,
			.count = op == KIPC_BROKER_LIST ? fuzz_u8(in) % 20 : 0,
		},
	};
	uint8_t shape = fuzz_u8(in), *bytes = (uint8_t *)&reply;
	uint32_t nfds = shape % 4 == 3 ? fuzz_u8(in) % 9 : shape % 4;
	size_t len = op == KIPC_BROKER_LIST ? sizeof(reply) : sizeof(reply.head);
	int fds[9];

	for (uint32_t i = 0; i < nfds; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC);
		fuzz_assert(fds[i] >= 0);
	}
	reply.head.nfds = (uint16_t)nfds;
	strcpy(reply.entry[0].name, "name");
	if (shape & 16)
		reply.head.error = -(int)fuzz_u16(in);
	if (shape & 32)
		bytes[fuzz_u16(in) % sizeof(reply)] ^= fuzz_u8(in);
	if (shape & 64)
		len = fuzz_u16(in) % (sizeof(reply) + 1);
	__kipc_message_send(sock, bytes, len, fds, min_of(nfds, (uint32_t)KIPC_BROKER_FDS));
	__kipc_close_all(fds, nfds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	struct kipc_broker_call c;
	int sv[2], fds, r;

	fds = fuzz_fds_begin();
	fuzz_assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv));
	for (int i = 0; i < 8 && fuzz_more(&in); i++) {
		uint8_t what = fuzz_u8(&in);

		__kipc_broker_prepare(&c, 1 + what % 7, KIPC_SEG_SHM, "name");
		if (what & 128)
			answer(&in, sv[1], what & 64 ? fuzz_u8(&in) : c.req.op);
		if (what & 32)
			shutdown(sv[1], SHUT_RDWR);
		memset(&c.reply, 0xa5, sizeof(c.reply));
		r = __kipc_broker_exchange(sv[0], &c, __kipc_now_ns() + NSEC_PER_SEC);
		fuzz_assert(r <= 0);
		if (r)
			continue;
		/* a reply, then: with no descriptors beside an error, and no more names than fit */
		fuzz_assert(c.reply.head.error <= 0 && c.reply.head.broker);
		fuzz_assert(!c.reply.head.error || !c.reply.head.nfds);
		fuzz_assert(c.reply.head.count <= KIPC_BROKER_ENTRIES);
		fuzz_assert(c.reply.head.nfds <= KIPC_BROKER_FDS);
		__kipc_close_all(c.got, c.reply.head.nfds);
	}
	close(sv[0]);
	close(sv[1]);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	size_t n = fuzz_seed_noise(i, buf, 8 + 4 * i);

	(void)max;
	if (i < 7) {	/* a right answer to each request */
		memset(buf, 0, n);
		buf[0] = (uint8_t)(128 + i);
	}
	return i < 40 ? n : 0;
}
