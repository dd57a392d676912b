/* SPDX-License-Identifier: MIT */
/*
 * What the broker of names (kipcd) says, for those who only look: none is started, and one that is
 * stopped is not waited for.  What goes over its socket: uapi/kipc/broker.h.
 */
#ifndef TOOLS_COMMON_BROKER_H
#define TOOLS_COMMON_BROKER_H

#include <stdint.h>

#include "uapi/kipc/broker.h"

/*
 * A connection to the broker of this user's runtime folder (kipc_names_dir()).  -ENOENT,
 * -ECONNREFUSED: there is none; -EPERM: that folder may be written by others; other negative errnos.
 * -ETIMEDOUT of any function: it doesn't answer.
 */
int broker_connect(void);

/* Names from *cursor on, which is moved, and is 0 after the last.  How many, or a negative errno. */
int broker_list(int sock, uint64_t *cursor, struct kipc_broker_entry entries[KIPC_BROKER_ENTRIES]);

/*
 * The descriptors of the object that has the name, as a handover has them; flags: 0, or
 * KIPC_BROKER_RDONLY: the memfd alone.  How many, which are the caller's; or a negative errno, of
 * the broker's or our own.
 */
int broker_open(int sock, uint32_t kind, const char *name, uint32_t flags,
		int fds[KIPC_BROKER_FDS]);

#endif
