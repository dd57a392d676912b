// SPDX-License-Identifier: MIT
/* Sleeping in ppoll(2): where io_uring is refused.  Every sleeper on the eventfd wakes; one drains. */
#include <errno.h>
#include <poll.h>

#include "core/sys.h"
#include "core/wait.h"

int __kipc_sleep_ppoll(int bell_fd, int hup_fd, int64_t until_ns)
{
	struct pollfd fds[2] = {
		{ .fd = bell_fd, .events = POLLIN },
		{ .fd = hup_fd, .events = POLLIN },	/* a negative fd is passed over */
	};
	int64_t left = until_ns - __kipc_now_ns();
	struct timespec ts;

	if (left < 0)
		left = 0;
	ts = __kipc_timespec(left);
	if (SYS(ppoll(fds, 2, &ts, NULL)) <= 0)
		return 0;
	return (fds[0].revents ? 1 : 0) | (fds[1].revents ? 2 : 0);
}
