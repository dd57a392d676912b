/* SPDX-License-Identifier: MIT */
/*
 * KIPC_FDS as text: finding an entry, adding one, taking one out.  The format is in
 * uapi/kipc/handover.h; "value" is what follows "KIPC_FDS=".
 *
 * The functions know strings and nothing else: no descriptor is looked at, no environment touched.
 * A value may be anybody's, so all of it is checked each time, also behind the entry in question:
 * it is taken whole or not at all.
 */
#ifndef KIPC_NAMES_ENV_H
#define KIPC_NAMES_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "uapi/kipc/handover.h"

struct kipc_env_entry {
	struct kipc_handover msg;
	uint64_t inode;				/* of the first descriptor */
	int fds[KIPC_HANDOVER_FDS_MAX];		/* msg.nfds */
	size_t begin, end;			/* its place in the value, with the space before */
};

/*
 * 0, -ENOENT; -EPROTO (malformed; also a key that stands there twice), -EPROTONOSUPPORT (another
 * version).
 */
int __kipc_env_find(const char *value, const char *key, struct kipc_env_entry *e);

/*
 * Adds the entry at the end of the value, which may be empty; size is the room for it, NUL
 * included.  0; -EEXIST (the key is there); -ENOSPC; as __kipc_env_find().
 */
int __kipc_env_add(char *value, size_t size, const char *key, const struct kipc_env_entry *e);

/* Takes out an entry that was just found; the value is empty then if it was the last one. */
void __kipc_env_remove(char *value, const struct kipc_env_entry *e);

#endif
