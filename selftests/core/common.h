/* SPDX-License-Identifier: MIT */
/*
 * What the tests of lib/core share: a small kind of object of their own, with two doorbells, a lock,
 * and a claim word that a test lets a peer hold.
 *
 * The kind's repair() can be told by core_hook what to do besides, so that a test can count it, hold
 * it up or kill it half-way.
 */
#ifndef SELFTESTS_CORE_COMMON_H
#define SELFTESTS_CORE_COMMON_H

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/doorbell.h"
#include "core/lock.h"
#include "core/peer.h"
#include "core/segment.h"
#include "core/time.h"
#include "core/wait.h"

#include "kselftest_harness.h"

#define MS	NSEC_PER_MSEC
#define NBELLS	2

struct core_body {
	struct kipc_bell_line bells[NBELLS];
	uint32_t lock;
	uint32_t claim;		/* the slot that has claimed it; its repair stores 0 */
	uint64_t tokens;	/* what waiters wait for */
	uint64_t pair[2];	/* equal whenever the lock is free */
	uint64_t spare[8];
};

struct core {
	struct kipc_segment seg;
	struct kipc_bell bells[NBELLS];
	struct core_body *body;
};

/* Called by repair() in whichever process repairs, before anything is repaired; adds to the count. */
static int (*core_hook)(struct core *c, uint32_t slot);
static void (*core_forked_hook)(struct core *c);
static int (*core_reattached_hook)(struct core *c);

static inline struct core *core_of(struct kipc_segment *seg)
{
	return container_of(seg, struct core, seg);
}

static int core_verify(struct kipc_segment *seg)
{
	struct core *c = core_of(seg);

	c->body = __kipc_segment_at(seg, seg->body_off, sizeof(*c->body));
	if (!c->body)
		return -EPROTO;
	for (uint32_t i = 0; i < NBELLS; i++) {
		c->bells[i].line = &c->body->bells[i];
		c->bells[i].index = i;
	}
	seg->bells = c->bells;
	seg->nbells = NBELLS;
	return 0;
}

static int core_repair(struct kipc_segment *seg, uint32_t slot)
{
	struct core *c = core_of(seg);
	int n = 0, r;

	if (core_hook) {
		n = core_hook(c, slot);
		if (n < 0)
			return n;
	}
	r = cmpxchg(&c->body->claim, slot, 0u);
	return n + r + __kipc_lock_repair(&c->body->lock, slot);
}

static void core_forked(struct kipc_segment *seg)
{
	if (core_forked_hook)
		core_forked_hook(core_of(seg));
}

static int core_reattached(struct kipc_segment *seg)
{
	return core_reattached_hook ? core_reattached_hook(core_of(seg)) : 0;
}

static const struct kipc_segment_ops core_ops = {
	.kind = KIPC_SEG_QUEUE,
	.stamp = KIPC_STAMP(KIPC_STAMP_INIT, sizeof(struct core_body)),
	.verify = core_verify,
	.repair = core_repair,
	.forked = core_forked,
	.reattached = core_reattached,
};

/* A segment of this kind, attached; spec may be NULL. */
static inline int core_create(struct core *c, const struct kipc_segment_spec *spec)
{
	struct kipc_segment_spec s = spec ? *spec : (struct kipc_segment_spec){ 0 };
	int r;

	memset(c, 0, sizeof(*c));
	for (int i = 0; i < NBELLS; i++)
		c->bells[i].fd = -1;
	if (!s.body_size)
		s.body_size = sizeof(struct core_body);
	r = __kipc_segment_create(&c->seg, &core_ops, &s);
	if (r)
		return r;
	r = core_verify(&c->seg);
	for (int i = 0; i < NBELLS && !r; i++) {
		c->bells[i].fd = __kipc_bell_eventfd();
		if (c->bells[i].fd < 0)
			r = c->bells[i].fd;
	}
	return r ? r : __kipc_segment_publish(&c->seg);
}

/* Another handle on the same object, with descriptors and a slot of its own. */
static inline int core_open(struct core *c, const struct core *from)
{
	int fd = fcntl(from->seg.fd, F_DUPFD_CLOEXEC, 0), r;

	memset(c, 0, sizeof(*c));
	for (int i = 0; i < NBELLS; i++)
		c->bells[i].fd = -1;
	if (fd < 0)
		return -errno;
	r = __kipc_segment_open(&c->seg, &core_ops, fd);
	if (r) {
		close(fd);
		return r;
	}
	for (int i = 0; i < NBELLS; i++)
		c->bells[i].fd = fcntl(from->bells[i].fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static inline void core_close(struct core *c)
{
	__kipc_segment_close(&c->seg);
	for (int i = 0; i < NBELLS; i++)
		if (c->bells[i].fd >= 0)
			close(c->bells[i].fd);
}

static inline struct kipc_peer *core_peer(struct core *c, uint32_t slot)
{
	return __kipc_peer(&c->seg, slot);
}

/* ---- processes ---- */

/* A child by the bare system call: no pthread_atfork() handler runs. */
static inline pid_t core_clone(ksft_fn fn, void *arg)
{
	pid_t pid;

	ksft_needs_processes();
	fflush(NULL);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		ksft_child_exit(fn(arg));
	ASSERT_NE(-1, pid);
	return pid;
}

/* A child that takes a slot, says which, and stays until it is killed. */
struct core_holder {
	struct core *c;
	uint32_t *slot;		/* shared */
	int (*then)(struct core *c);
};

static inline int core_hold(void *arg)
{
	struct core_holder *h = arg;
	int r = __kipc_peer_enter(&h->c->seg);

	if (!r && h->then)
		r = h->then(h->c);
	store_release(h->slot, r ? UINT32_MAX : h->c->seg.slot);
	while (!r)
		pause();
	return r;
}

/* Starts one and waits until it holds its slot, which it returns. */
static inline uint32_t core_start_holder(struct core *c, pid_t *pid, int (*then)(struct core *c))
{
	uint32_t *slot = ksft_shared(sizeof(*slot));
	struct core_holder h = { .c = c, .slot = slot, .then = then };

	*pid = ksft_fork(core_hold, &h);
	ASSERT_TRUE(ksft_wait_for(load_acquire(slot), 5000));
	ASSERT_NE(UINT32_MAX, *slot);
	return *slot;
}

/* Leaves a slot behind whose process was killed; `then` ran in it. */
static inline uint32_t core_dead_slot(struct core *c, int (*then)(struct core *c))
{
	pid_t pid;
	uint32_t slot = core_start_holder(c, &pid, then);

	ksft_kill(pid);
	return slot;
}

static inline int core_claim(struct core *c)
{
	store_release(&c->body->claim, c->seg.slot);
	return 0;
}

/* ---- looking at it from outside ---- */

static inline int core_count_fds(const char *prefix)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	char link[256];
	int n = 0;

	ASSERT_NE(NULL, dir);
	while ((e = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);

		if (len < 0 || atoi(e->d_name) == dirfd(dir))
			continue;
		link[len] = '\0';
		n += !prefix || !strncmp(link, prefix, strlen(prefix));
	}
	closedir(dir);
	return n;
}

/* What read(2) of the eventfd would return now, without reading it. */
static inline uint64_t core_eventfd_count(int fd)
{
	char path[64], line[128];
	uint64_t count = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "eventfd-count:", 14))
			count = strtoull(line + 14, NULL, 16);
	fclose(f);
	return count;
}

static inline uint64_t core_sleepers(struct core *c, int bell)
{
	return load_acquire(&c->body->bells[bell].word) & KIPC_BELL_SLEEPERS;
}

static inline bool core_signalled(struct core *c, int bell)
{
	return load_acquire(&c->body->bells[bell].word) & KIPC_BELL_SIGNALLED;
}

/* Nobody holds the slot's byte, as a stranger with the memfd sees it. */
static inline bool core_byte_free(int memfd, uint32_t slot)
{
	struct flock fl = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = KIPC_PEER_LOCK_BASE + slot,
		.l_len = 1,
	};
	char path[32];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	r = fcntl(fd, F_OFD_GETLK, &fl);
	close(fd);
	ASSERT_EQ(0, r);
	return fl.l_type == F_UNLCK;
}

#endif
