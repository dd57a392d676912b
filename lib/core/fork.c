// SPDX-License-Identifier: MIT
/*
 * What fork(2) means for a process that has segments open: see peer.h.
 *
 * The process's epoch stands on a page that the kernel wipes in a child, whichever way it was made
 * (fork, clone without CLONE_VM).  The parent's number comes over in ordinary memory, so a child
 * takes the next one: no ancestor ever had it, and every handle that was attached by an ancestor is
 * told from our own by one comparison.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
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

static void before_fork(void)
{
	pthread_mutex_lock(&registry_mutex);
}

static void after_fork_parent(void)
{
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
void __kipc_fork_child(void)
{
	struct kipc_segment *seg, *next, *eager = NULL;

	reset_mutex(&registry_mutex, PTHREAD_MUTEX_NORMAL);
	store_relaxed(__kipc_fork_epoch, ++last_epoch);
	for (seg = registry; seg; seg = next) {
		next = seg->next;
		SYS(close(seg->lock_fd));
		seg->lock_fd = -1;
		seg->slot = 0;
		seg->repair_depth = 0;
		seg->next = NULL;
		seg->pprev = NULL;
		reset_mutex(&seg->peer_mutex, PTHREAD_MUTEX_RECURSIVE);
		store_relaxed(&seg->epoch, 0);
		if (seg->ops->forked)
			seg->ops->forked(seg);
		if (seg->ops->eager) {
			seg->next = eager;
			eager = seg;
		}
	}
	registry = NULL;
	/* what fails here is tried again, and reported, at the first use */
	while ((seg = eager)) {
		eager = seg->next;
		seg->next = NULL;
		__kipc_peer_enter(seg);
	}
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
		init_error = -pthread_atfork(before_fork, after_fork_parent, __kipc_fork_child);
	}
	errno = saved;
}

int __kipc_fork_init(void)
{
	pthread_once(&once, init);
	return init_error;
}

void __kipc_fork_register(struct kipc_segment *seg)
{
	pthread_mutex_lock(&registry_mutex);
	seg->next = registry;
	seg->pprev = &registry;
	if (registry)
		registry->pprev = &seg->next;
	registry = seg;
	pthread_mutex_unlock(&registry_mutex);
}

void __kipc_fork_unregister(struct kipc_segment *seg)
{
	pthread_mutex_lock(&registry_mutex);
	if (seg->pprev) {
		*seg->pprev = seg->next;
		if (seg->next)
			seg->next->pprev = seg->pprev;
		seg->next = NULL;
		seg->pprev = NULL;
	}
	pthread_mutex_unlock(&registry_mutex);
}
