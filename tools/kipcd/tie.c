// SPDX-License-Identifier: MIT
/*
 * Names that go when their creator does.  The proof of its end is the kernel's: a pidfd, which its
 * creator sends along and which becomes readable.  A broker that comes after this one opens another by
 * the process's number and start time, which together no two processes have.
 */
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "tools/common/procfs.h"
#include "tools/kipcd/kipcd.h"

uint64_t process_start(pid_t pid)
{
	struct proc_stat st;

	return pid > 0 && !proc_stat_read(pid, &st) ? st.start_time : 0;
}

int process_open(pid_t pid, uint64_t start)
{
	int fd;

	if (pid <= 0 || !start)
		return -1;
	/* first the descriptor, then the question: it is of this process, or of one that is gone */
	fd = pidfd_open(pid, 0);
	if (fd >= 0 && process_start(pid) != start) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void creator_ended(struct broker *b, struct source *s, uint32_t events)
{
	struct entry *e = (struct entry *)((char *)s - offsetof(struct entry, creator));

	(void)events;
	entry_end(b, e);
}

int tie(struct broker *b, struct entry *e)
{
	e->creator.ready = creator_ended;
	return loop_add(b, e->pidfd, &e->creator, EPOLLIN);
}
