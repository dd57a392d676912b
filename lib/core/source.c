// SPDX-License-Identifier: MIT
/* What pollers outside of __kipc_wait() do with a doorbell: see source.h. */
#include <errno.h>

#include "core/source.h"

int __kipc_source_settle(const struct kipc_source *src, uint64_t seen)
{
	if (src->ready(src->arg))
		return 1;
	if (!src->bell)
		return 0;
	if (!__kipc_bell_rearm(src->seg, src->bell, seen))
		return -EBUSY;
	if (!src->ready(src->arg))
		return 0;
	/* what we drained was for this, and perhaps for others, too: it stays a level */
	__kipc_bell_ring(src->bell);
	return 1;
}

bool __kipc_source_tend(const struct kipc_source *src)
{
	uint32_t slot;

	if (src->ready(src->arg))
		return true;
	if (!src->bell)
		return false;
	slot = src->owner ? src->owner(src->arg) : 0;
	if (slot)
		__kipc_peer_reap(src->seg, slot);
	slot = __kipc_bell_drainer(src->bell);
	if (slot)
		__kipc_peer_reap(src->seg, slot);
	return src->ready(src->arg);
}
