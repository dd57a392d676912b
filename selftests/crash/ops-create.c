// SPDX-License-Identifier: MIT
/*
 * Creation.  Nobody else has the segment yet, but somebody may get hold of its descriptors at any
 * moment (a tool through /proc, a broker later on).  So before each kill the world fetches the
 * descriptors that are there, and opens the object with them afterwards: it is refused, or it is
 * whole.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/atomic.h"
#include "engine.h"
#include "kinds.h"

static int (*kind)(struct kipc_object **);
static const struct kipc_object_ops *ops;
static int first_fd;		/* the victim's first new descriptor */
static struct kipc_object *obj;
static bool opened;

/* How the object's descriptors are numbered, from the run that records; in shared memory. */
static struct known {
	bool told;
	struct kipc_transfer t;
} *known, *known_of[KIPC_SEG_MANAGER + 1];
static int got[KIPC_OBJECT_FDS_MAX];

static __attribute__((constructor)) void init(void)
{
	for (int i = 0; i <= KIPC_SEG_MANAGER; i++)
		known_of[i] = crash_shared(sizeof(struct known));
}

static int prepare(int (*make)(struct kipc_object **), const struct kipc_object_ops *o)
{
	kind = make;
	ops = o;
	known = known_of[o->kind];
	first_fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
	if (first_fd < 0)
		return -errno;
	close(first_fd);
	for (int i = 0; i < KIPC_OBJECT_FDS_MAX; i++)
		got[i] = -1;
	return 0;
}

static int queue(void)
{
	return prepare(make_queue, &__kipc_queue_object);
}

static int pipe_ends(void)
{
	return prepare(make_pipe, &__kipc_pipe_object);
}

static int shm(void)
{
	return prepare(make_shm, &__kipc_shm_object);
}

static int array(void)
{
	return prepare(make_array, &__kipc_array_object);
}

static int manager(void)
{
	return prepare(make_manager, &__kipc_manager_object);
}

static int create(void)
{
	int r = kind(&obj);

	if (r)
		return r;
	if (!known->told) {
		known->t.nfds = ops->nfds;
		r = ops->export(obj, &known->t);
		known->told = !r;
	}
	return r;
}

static int fetch(int pidfd, int fd)
{
	return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

/* The memfd, to be watched. */
static void watch(int pidfd)
{
	static void *map;
	static off_t size;
	int fd = fetch(pidfd, first_fd);
	struct stat st;

	if (fd < 0)
		return;
	if (fcntl(fd, F_GET_SEALS) >= 0 && !fstat(fd, &st) && st.st_size && st.st_size != size) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		size = st.st_size;
		if (map != MAP_FAILED)
			crash_watch(map, (size_t)size);
	}
	close(fd);
}

static void find(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return;
	watch(pidfd);
	for (uint32_t i = 0; known->told && i < ops->nfds; i++) {
		if (got[i] >= 0)
			close(got[i]);
		got[i] = fetch(pidfd, known->t.fds[i]);
	}
	close(pidfd);
}

/* Something of the right sort for what it had not made yet: an open must fail for a better reason. */
static int replacement(uint32_t i)
{
	int pair[2];

	if (ops->kind != KIPC_SEG_PIPE || i + 1 < ops->nfds)
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	return pair[0];
}

static int open_it(void)
{
	struct kipc_transfer t = known->t;
	int r;

	far_end = NULL;
	if (got[0] < 0)
		return 0;	/* there is no segment */
	for (uint32_t i = 0; i < ops->nfds; i++)
		t.fds[i] = got[i] >= 0 ? got[i] : replacement(i);
	r = ops->import(&t, &obj);
	if (r)
		return r == -EPROTO ? 0 : r;
	opened = true;
	crash_track(obj);
	return use(obj);
}

static int whole(void)
{
	if (!opened)
		return 0;
	if (crash_expect("using it", use(obj), 0))
		return -1;
	kipc_object_close(obj);
	crash_forget();
	return 1;
}

CRASH_OPS(crash_create_ops) = {
	{ "queue", "create", 0, queue, NULL, create, open_it, whole, 1, NULL, 0, find },
	{ "pipe", "create", 0, pipe_ends, NULL, create, open_it, whole, 1, NULL, 0, find },
	{ "shm", "create", 0, shm, NULL, create, open_it, whole, 1, NULL, 0, find },
	{ "array", "create", 0, array, NULL, create, open_it, whole, 1, NULL, 0, find },
	{ "manager", "create", 0, manager, NULL, create, open_it, whole, 1, NULL, 0, find },
	{ 0 },
};
