/* SPDX-License-Identifier: MIT */
/* Sockets for the hand-over tests, messages made by hand, and a count of open descriptors. */
#ifndef SELFTESTS_HANDOVER_SOCKETS_H
#define SELFTESTS_HANDOVER_SOCKETS_H

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kipc/object.h>

#include "kselftest_harness.h"
#include "send_raw.h"
#include "uapi/kipc/handover.h"

struct pair {
	int send, recv;
};

static inline struct pair socket_pair(int type)
{
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, socks));
	return (struct pair){ socks[0], socks[1] };
}

static inline void close_pair(struct pair p)
{
	close(p.send);
	close(p.recv);
}

static inline int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ASSERT_TRUE(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static inline struct kipc_handover header(enum kipc_kind kind, uint32_t nfds)
{
	return (struct kipc_handover){
		.magic = KIPC_HANDOVER_MAGIC,
		.version = KIPC_HANDOVER_VERSION,
		.kind = (uint16_t)kind,
		.nfds = nfds,
	};
}

#endif
