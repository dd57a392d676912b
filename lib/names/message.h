/* SPDX-License-Identifier: MIT */
/*
 * One sendmsg(2) or recvmsg(2) with descriptors, for any UNIX socket: what handovers and the
 * broker's messages have in common.
 */
#ifndef KIPC_NAMES_MESSAGE_H
#define KIPC_NAMES_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi/kipc/handover.h"

/* What came beside the bytes. */
struct kipc_inbox {
	int *fds;		/* room for KIPC_HANDOVER_FDS_MAX */
	uint32_t nfds;
	bool too_many;		/* more descriptors than any message has; they are closed */
	bool cut;		/* the kernel could not give us all of them */
};

/*
 * Bytes sent, or a negative errno (-EPIPE for a closed other side, whatever the kernel calls it).
 * nfds: at most KIPC_HANDOVER_FDS_MAX; the descriptors stay the caller's.  No SIGPIPE.
 */
long __kipc_message_send(int sock, const void *buf, size_t len, const int *fds, uint32_t nfds);

/*
 * Bytes received, 0 at the end, or a negative errno.  Adds to *in; the descriptors are the caller's
 * to close, whatever else there is to say of the message.  *flags: msg_flags.
 */
long __kipc_message_receive(int sock, void *buf, size_t len, struct kipc_inbox *in, int *flags);

void __kipc_close_all(const int *fds, uint32_t n);

#endif
