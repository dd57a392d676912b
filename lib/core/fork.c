// SPDX-License-Identifier: MIT
/*
 * What fork(2) means for a process that has segments open: see peer.h.
 *
 * The process's epoch stands on a page that the kernel wipes in a child, whichever way it was made
 * (fork, clone without CLONE_VM).  The parent's number comes over in ordinary memory, so a child
 * takes the next one: no ancestor ever had it, and every handle that was attached by an ancestor is
 * told from our own by one comparison.
 *
 * The registry has every segment whose lock_fd may be open, and lock_fd is opened and closed under
 * its mutex, which fork() takes: so no child inherits a lock_fd that it doesn't know of, which would
 * keep the parent's slot alive.  A child keeps the entries, for its own children.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/peer.h"
#include "core/sys.h"

static uint64_t no_epoch;
uint64_t *__kipc_fork_epoch = &no_epoch;

static uint64_t last_epoch;
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kipc_segment *registry;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_error;

static int open_description(const struct kipc_segment *seg)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", seg->fd);
	return (int)SYS_RETRY(open(path, O_RDWR | O_CLOEXEC));
}

/*
 * The child's slot and all that it will hold exist before the child does, so there is no moment at
 * which a death or a close of the parent's could take it away.  Where this fails the child attaches
 * as soon as it runs.  If there will be no child, the slot is one of a dead process.
 */
static void make_child_slot(struct kipc_segment *seg)
{
	int fd;

	/* not attached: nothing to hand on */
	if (load_relaxed(&seg->epoch) != load_relaxed(__kipc_fork_epoch))
		return;
	fd = open_description(seg);
	if (fd < 0)
		return;
	if (__kipc_peer_take_for(seg, fd, &seg->fork_slot) ||
	    seg->ops->prefork(seg, seg->fork_slot))
		SYS(close(fd));
	else
		seg->fork_fd = fd;
}

static void before_fork(void)
{
	pthread_mutex_lock(&registry_mutex);
	for (struct kipc_segment *seg = registry; seg; seg = seg->next)
		if (seg->ops->prefork)
			make_child_slot(seg);
}

static void after_fork_parent(void)
{
	for (struct kipc_segment *seg = registry; seg; seg = seg->next) {
		if (seg->fork_fd >= 0)
			SYS(close(seg->fork_fd));	/* the child has it */
		seg->fork_fd = -1;
	}
	pthread_mutex_unlock(&registry_mutex);
}

static void reset_mutex(pthread_mutex_t *mutex, int type)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

/* Only the forking thread lives on here: what other threads held is free. */
static void in_child(void)
{
	struct kipc_segment *seg;

	reset_mutex(&registry_mutex, PTHREAD_MUTEX_NORMAL);
	for (seg = registry; seg; seg = seg->next) {
		if (seg->lock_fd >= 0)
			SYS(close(seg->lock_fd));
		seg->lock_fd = -1;
		seg->slot = 0;
		seg->repair_depth = 0;
		reset_mutex(&seg->peer_mutex, PTHREAD_MUTEX_RECURSIVE);
		store_relaxed(&seg->epoch, KIPC_EPOCH_NONE);
		if (seg->ops->forked && seg->fork_fd < 0)
			seg->ops->forked(seg);
	}
	store_release(__kipc_fork_epoch, ++last_epoch);	/* pairs with: __kipc_fork_check() */
	/* what fails here is tried again, and reported, at the first use */
	for (seg = registry; seg; seg = seg->next) {
		int fd = seg->fork_fd;

		seg->fork_fd = -1;
		if (fd >= 0)
			__kipc_peer_adopt(seg, fd, seg->fork_slot);
		else if (seg->ops->prefork)
			__kipc_peer_enter(seg);
	}
}

/*
 * Which of the child's threads is first to notice stands on the wiped page, too: 0 in every new
 * child, whatever its parent was doing.
 */
__cold void __kipc_fork_late(void)
{
	if (!xchg(__kipc_fork_epoch + 1, (uint64_t)1)) {
		in_child();
		return;
	}
	while (!load_acquire(__kipc_fork_epoch))	/* pairs with: in_child() */
		SYS(sched_yield());
}

/* Unless another library's handler, run before ours, has used us already. */
static void after_fork_child(void)
{
	__kipc_fork_check();
}

static void init(void)
{
	int saved = errno;
	void *page;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK)) {
		init_error = -errno;
	} else {
		__kipc_fork_epoch = page;
		*__kipc_fork_epoch = ++last_epoch;
		init_error = -pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	}
	errno = saved;
}

int __kipc_fork_init(void)
{
	pthread_once(&once, init);
	if (!init_error)
		__kipc_fork_check();
	return init_error;
}

int __kipc_fork_open_lock_fd(struct kipc_segment *seg)
{
	int r;

	pthread_mutex_lock(&registry_mutex);
	r = open_description(seg);
	if (r >= 0) {
		seg->lock_fd = r;
		r = 0;
		if (!seg->pprev) {
			seg->next = registry;
			seg->pprev = &registry;
			if (registry)
				registry->pprev = &seg->next;
			registry = seg;
		}
	}
	pthread_mutex_unlock(&registry_mutex);
	return r;
}

void __kipc_fork_close_lock_fd(struct kipc_segment *seg, bool forget)
{
	pthread_mutex_lock(&registry_mutex);
	if (seg->lock_fd >= 0) {
		SYS(close(seg->lock_fd));
		KIPC_POINT("peer.unlocked");
	}
	seg->lock_fd = -1;
	if (forget && seg->pprev) {
		*seg->pprev = seg->next;
		if (seg->next)
			seg->next->pprev = seg->pprev;
		seg->next = NULL;
		seg->pprev = NULL;
	}
	pthread_mutex_unlock(&registry_mutex);
}
