// SPDX-License-Identifier: MIT
/*
 * Names that go when their creator does.  The proof of its end is the kernel's: a pidfd, which its
 * creator sends along and which becomes readable.  A broker that comes after this one opens another
 * by the process's number and start time, which together no two processes have.
 */
#include <errno.h>
#include <signal.h>
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
	uint64_t now;
	int fd;

	fd = pidfd_open(pid, 0);
	/* EINVAL, ENOENT: the number is a thread's by now */
	if (fd < 0)
		return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
	/* first the descriptor, then the question: it is of this process, or of one that is gone */
	now = process_start(pid);
	if (now == start)
		return fd;
	close(fd);
	return now || kill(pid, 0) ? -ESRCH : -EACCES;
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
