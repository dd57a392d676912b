// SPDX-License-Identifier: MIT
/*
 * Objects by descriptors that others pass: see kipc/export.h for what is promised.
 *
 * Whoever has a description owns its descriptors: export makes new ones, import takes those it is
 * given.  So neither handle needs the other, and none is closed twice, as long as each description
 * is imported once; the two ways to do otherwise that can be seen here are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/compiler.h"
#include "core/sys.h"
#include "kipc/export.h"
#include "names/export.h"
#include "names/handover.h"
#include "names/message.h"

_Static_assert(KIPC_EXPORT_BYTES == sizeof(struct kipc_handover), "bytes");
_Static_assert(KIPC_EXPORT_FDS == KIPC_HANDOVER_FDS_MAX, "descriptors");

int __kipc_export(struct kipc_object *obj, int cmd, int from, struct kipc_handover *msg, int *fds)
{
	int r = __kipc_handover_pack(obj, msg, fds);

	for (uint32_t i = 0; !r && i < msg->nfds; i++) {
		int fd = (int)SYS(fcntl(fds[i], cmd, from));

		if (fd < 0) {
			__kipc_close_all(fds, i);
			/* -EINVAL: the limit is so low that there are no such numbers */
			r = fd == -EINVAL ? -EMFILE : fd;
		}
		fds[i] = fd;
	}
	return r;
}

KIPC_API int kipc_export(struct kipc_object *obj, void *bytes, size_t size, int *fds,
			 size_t maxfds)
{
	int made[KIPC_HANDOVER_FDS_MAX], r;
	struct kipc_handover msg;

	if (!obj || !bytes || !fds)
		return -EINVAL;
	if (size < sizeof(msg))
		return -ENOSPC;
	r = __kipc_export(obj, F_DUPFD_CLOEXEC, KIPC_FDS_MIN, &msg, made);
	if (r)
		return r;
	if (msg.nfds > maxfds) {
		__kipc_close_all(made, msg.nfds);
		return -ENOSPC;
	}
	memcpy(bytes, &msg, sizeof(msg));
	memcpy(fds, made, msg.nfds * sizeof(int));
	return (int)msg.nfds;
}

static void restore_flags(const int *fds, const int *flags, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!(flags[i] & FD_CLOEXEC))
			SYS(fcntl(fds[i], F_SETFD, flags[i]));
}

/* Makes them close-on-exec, as all of the library's; flags[] is what they were.  0 or -EBADF. */
static int make_cloexec(const int *fds, int *flags, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		flags[i] = (int)SYS(fcntl(fds[i], F_GETFD));
		if (flags[i] < 0) {
			restore_flags(fds, flags, i);
			return flags[i];
		}
		if (!(flags[i] & FD_CLOEXEC))
			SYS(fcntl(fds[i], F_SETFD, flags[i] | FD_CLOEXEC));
	}
	return 0;
}

int __kipc_import(const struct kipc_handover *msg, const int *fds, uint32_t nfds,
		  struct kipc_object **obj)
{
	int flags[KIPC_HANDOVER_FDS_MAX], r;

	/* the handle would close it twice, the second time perhaps a descriptor of somebody else */
	for (uint32_t i = 0; i < nfds; i++)
		for (uint32_t k = 0; k < i; k++)
			if (fds[i] == fds[k])
				return -EINVAL;
	r = make_cloexec(fds, flags, nfds);
	if (r)
		return r;
	r = __kipc_handover_unpack(msg, fds, nfds, obj);
	if (r)
		restore_flags(fds, flags, nfds);
	return r;
}

KIPC_API int kipc_import(const void *bytes, size_t size, const int *fds, size_t nfds,
			 struct kipc_object **obj)
{
	struct kipc_handover msg;

	if (!bytes || !obj || (nfds && !fds))
		return -EINVAL;
	if (size != sizeof(msg) || nfds > KIPC_HANDOVER_FDS_MAX)
		return -EPROTO;
	memcpy(&msg, bytes, sizeof(msg));
	return __kipc_import(&msg, fds, (uint32_t)nfds, obj);
}
