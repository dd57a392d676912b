// SPDX-License-Identifier: MIT
/* See recording.h.  The file may be anything: what it says is checked before it is used. */
#include "tools/common/recording.h"

#include <errno.h>

#include "tools/common/xalloc.h"
#include "uapi/kipc/queue.h"

/* The buffer grows with what is there, not with what the file says there is. */
#define STEP	(1u << 20)

int recording_open(FILE *f, struct recording_header *h)
{
	if (fread(h, sizeof(*h), 1, f) != 1)
		return ferror(f) ? -EIO : -EINVAL;
	return h->magic == RECORDING_MAGIC && h->version == RECORDING_VERSION &&
			       h->msg_size <= KIPC_QUEUE_MSG_MAX ?
		       0 :
		       -EINVAL;
}

static int read_bytes(FILE *f, uint64_t len, char **buf, size_t *size)
{
	for (uint64_t have = 0, n; have < len; have += n) {
		n = len - have < STEP ? len - have : STEP;
		if (have + n > *size) {
			*buf = xreallocarray(*buf, have + n, 1);
			*size = have + n;
		}
		if (fread(*buf + have, 1, n, f) != n)
			return -EINVAL;
	}
	return 0;
}

int recording_next(FILE *f, const struct recording_header *h, struct recording_entry *e,
		   char **buf, size_t *size)
{
	size_t n = fread(e, 1, sizeof(*e), f);

	if (!n && feof(f))
		return 0;
	if (n != sizeof(*e) || e->type < RECORDING_MESSAGE || e->type > RECORDING_END)
		return -EINVAL;
	if (e->type != RECORDING_MESSAGE)
		return 1;
	if (e->len > h->msg_size || read_bytes(f, recording_padded(e->len), buf, size))
		return -EINVAL;
	return 1;
}
