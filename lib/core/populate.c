// SPDX-License-Identifier: MIT
/*
 * Pages that are to be there now: see memory.h.
 *
 * MADV_POPULATE_WRITE (Linux 5.14) faults as a touch would, but where a touch would be SIGBUS it
 * says EFAULT.  Several threads take the stretch piece by piece, the caller among them.
 *
 * Huge pages for shmem, also where the system has them off: MADV_COLLAPSE (6.1) makes one of a 2
 * MiB piece that has at least a page; the rest it zeroes.  So one page is touched and the piece
 * collapsed: cheaper than taking 512 pages, which would be copied then (512 MiB by one thread: 0.09
 * s; 0.28 s with pages of 4 KiB; 0.49 s when those are collapsed).
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "core/atomic.h"
#include "core/memory.h"
#include "core/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define THREADS_MAX	16u
#define PIECE		(4ULL << 20)	/* about a millisecond */
#define COLLAPSE_TRIES	4		/* that fail, before we do without; each may take long */

struct job {
	uint8_t *addr;
	uint64_t len, piece;
	uint64_t next;		/* by all threads: the first byte that nobody has taken */
	int error;		/* by all threads: one of their errors; the others stop */
	int collapse;		/* by all threads: tries that may still fail */
};

static int populate(uint8_t *addr, uint64_t len)
{
	long r;

	do
		r = SYS(madvise(addr, len, MADV_POPULATE_WRITE));
	while (r == -EINTR || r == -EAGAIN);
	return (int)r;
}

/* As far as the kernel has huge pages. */
static void collapse(struct job *job, uint8_t *addr, uint64_t len)
{
	for (uint64_t off = 0; off + KIPC_PAGE_2M <= len; off += KIPC_PAGE_2M) {
		if (load_relaxed(&job->collapse) <= 0)
			return;
		if (populate(addr + off, KIPC_PAGE_4K) ||
		    SYS(madvise(addr + off, KIPC_PAGE_2M, MADV_COLLAPSE)))
			fetch_sub(&job->collapse, 1);
	}
}

static void *work(void *arg)
{
	struct job *job = arg;
	uint64_t off, len;
	int r;

	while (!load_relaxed(&job->error)) {
		off = fetch_add(&job->next, job->piece);
		if (off >= job->len)
			break;
		len = min_of(job->piece, job->len - off);
		collapse(job, job->addr + off, len);
		r = populate(job->addr + off, len);
		if (r)
			store_relaxed(&job->error, r);
	}
	return NULL;
}

static uint32_t usable_cpus(void)
{
	int saved = errno, n;
	cpu_set_t set;

	/* more CPUs than fit the set: enough, in any case */
	n = sched_getaffinity(0, sizeof(set), &set) ? get_nprocs() : CPU_COUNT(&set);
	errno = saved;
	return n > 0 ? (uint32_t)n : 1;
}

/* Signals are for the caller's own threads. */
static uint32_t start(pthread_t *threads, uint32_t n, struct job *job)
{
	sigset_t all, before;
	uint32_t i;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, job))
			break;	/* the rest of us does it */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return i;
}

static int fill(uint8_t *addr, uint64_t len, uint64_t page_size, bool thp, uint32_t threads)
{
	struct job job = {
		.addr = addr,
		.len = len,
		.piece = max_of(page_size, PIECE),
		.collapse = thp ? COLLAPSE_TRIES : 0,
	};
	pthread_t others[THREADS_MAX - 1];
	uint64_t pieces = (len + job.piece - 1) / job.piece;
	uint32_t n = 0;

	if (!len)
		return 0;
	if (pieces > 1) {
		n = min_of(threads ? threads : usable_cpus(), THREADS_MAX);
		n = (uint32_t)min_of((uint64_t)n, pieces) - 1;
		n = start(others, n, &job);
	}
	work(&job);
	while (n)
		pthread_join(others[--n], NULL);
	switch (job.error) {
	case -EINVAL:
		return -EOPNOTSUPP;
	case -EFAULT:		/* a touch would be SIGBUS: shmem at its limit, hugetlb without a page */
		return page_size == KIPC_PAGE_4K ? -ENOSPC : -ENOMEM;
	case -EHWPOISON:
		return -ENOMEM;
	}
	return job.error;
}

int __kipc_memory_fill(void *addr, uint64_t len, uint64_t page_size, bool thp, uint32_t threads)
{
	/* the pieces are to begin where huge pages do */
	uint64_t odd = thp ? align_up((uintptr_t)addr, KIPC_PAGE_2M) - (uintptr_t)addr : 0;
	int r;

	odd = min_of(odd, len);
	r = fill(addr, odd, page_size, false, 1);
	return r ? r : fill((uint8_t *)addr + odd, len - odd, page_size, thp, threads);
}

void __kipc_memory_populate(void *addr, uint64_t len, bool thp)
{
	__kipc_memory_fill(addr, len, KIPC_PAGE_4K, thp, 1);
}
