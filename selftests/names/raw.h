/* SPDX-License-Identifier: MIT */
/* The broker's protocol by hand, for requests that the library would not make. */
#ifndef SELFTESTS_NAMES_RAW_H
#define SELFTESTS_NAMES_RAW_H

#include <sys/eventfd.h>
#include <sys/mman.h>

#include "names.h"
#include "selftests/handover/send_raw.h"
#include "uapi/kipc/segment.h"

static inline struct kipc_broker_request raw_request(enum kipc_broker_op op, int kind,
						     const char *name)
{
	struct kipc_broker_request req = {
		.magic = KIPC_BROKER_MAGIC,
		.version = KIPC_BROKER_VERSION,
		.op = (uint16_t)op,
		.kind = (uint16_t)kind,
	};

	strncpy(req.name, name, sizeof(req.name) - 1);
	return req;
}

/* The reply's error; 4711: the broker hung up.  Descriptors that come are dropped. */
static inline int raw_reply(int sock, struct kipc_broker_list *reply)
{
	ssize_t n = recv(sock, reply, sizeof(*reply), 0);

	if (n <= 0)
		return 4711;
	ASSERT_GE(n, (ssize_t)sizeof(reply->head));
	ASSERT_EQ(KIPC_BROKER_MAGIC, reply->head.magic);
	return reply->head.error;
}

static inline int raw_ask(int sock, struct kipc_broker_request *req, const int *fds, size_t n)
{
	struct kipc_broker_list reply;

	req->nfds = (uint16_t)n;
	if (send_raw(sock, req, sizeof(*req), fds, n) < 0)
		return 4711;
	return raw_reply(sock, &reply);
}

/* The same on a connection of its own. */
static inline int raw_ask_once(const struct names_dir *d, struct kipc_broker_request *req,
			       const int *fds, size_t n)
{
	int sock = names_connect(d), r;

	ASSERT_GE(sock, 0);
	r = raw_ask(sock, req, fds, n);
	close(sock);
	return r;
}

/* What looks like a segment to the broker: fds[0] for writing, fds[1] for reading only. */
static inline void raw_segment(int kind, const char *name, mode_t mode, int fds[2])
{
	struct kipc_seg_header h = {
		.magic = KIPC_SEG_MAGIC,
		.endian = KIPC_SEG_ENDIAN,
		.abi_major = KIPC_ABI_MAJOR,
		.abi_minor = KIPC_ABI_MINOR,
		.kind = (uint16_t)kind,
	};
	char path[64];

	strncpy(h.name, name, sizeof(h.name) - 1);
	fds[0] = memfd_create("kipc:test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_GE(fds[0], 0);
	ASSERT_EQ(0, ftruncate(fds[0], 8192));
	ASSERT_EQ((ssize_t)sizeof(h), pwrite(fds[0], &h, sizeof(h), 0));
	ASSERT_EQ(0, fchmod(fds[0], mode));
	ASSERT_EQ(0, fcntl(fds[0], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	fds[1] = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fds[1], 0);
}

#endif
