/* SPDX-License-Identifier: MIT */
/* Messages with descriptors by hand, for tests of handovers and of the broker. */
#ifndef SELFTESTS_HANDOVER_SEND_RAW_H
#define SELFTESTS_HANDOVER_SEND_RAW_H

#include <string.h>
#include <sys/socket.h>

#include "kselftest_harness.h"

/* Sends len bytes with n descriptors, 253 at most; what sendmsg(2) says. */
static inline ssize_t send_raw(int sock, const void *buf, size_t len, const int *fds, size_t n)
{
	union {
		char buf[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	ASSERT_LE(n, 253);
	memset(&control, 0, sizeof(control));
	if (n) {
		struct cmsghdr *c;

		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	return sendmsg(sock, &mh, MSG_NOSIGNAL);
}

#endif
