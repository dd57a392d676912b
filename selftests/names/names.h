/* SPDX-License-Identifier: MIT */
/*
 * What the tests of names share: a runtime folder of the test's own, and its broker.
 *
 * A broker that is left when a test ends is killed by the harness, as a descendant of the test.
 */
#ifndef SELFTESTS_NAMES_NAMES_H
#define SELFTESTS_NAMES_NAMES_H

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/pidfd.h>
#include <sys/un.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "kselftest_harness.h"
#include "uapi/kipc/broker.h"

struct names_dir {
	char path[40];
	char kipcd[4096];
};

/* For tests whose peers are threads; the broker is a program of its own in any case. */
static inline void names_begin_threads(struct names_dir *d)
{
	const char *build = getenv("KIPC_BUILD");

	snprintf(d->kipcd, sizeof(d->kipcd), "%s/kipcd", build ? build : "out");
	if (access(d->kipcd, X_OK))
		SKIP("%s isn't there: a part was built (LIBDIRS)", d->kipcd);
	snprintf(d->path, sizeof(d->path), "/tmp/kipc-test-XXXXXX");
	ASSERT_TRUE(mkdtemp(d->path) != NULL);
	setenv("KIPC_RUNTIME_DIR", d->path, 1);
	setenv("KIPC_KIPCD", d->kipcd, 1);
}

static inline void names_begin(struct names_dir *d)
{
	ksft_needs_processes();
	names_begin_threads(d);
}

/* A connection to whoever listens, or -1. */
static inline int names_connect(const struct names_dir *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.40s/broker", d->path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The process of the broker that listens now; 0: none does. */
static inline pid_t names_broker(const struct names_dir *d)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int fd = names_connect(d);

	if (fd < 0)
		return 0;
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	close(fd);
	return cred.pid;
}

static inline bool names_ended(pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	bool yes = fd < 0 || poll(&pfd, 1, 0) == 1;

	if (fd >= 0)
		close(fd);
	return yes;
}

/* kill -9 of the broker, which there is; it is gone afterwards. */
static inline void names_kill(const struct names_dir *d)
{
	pid_t pid = names_broker(d);

	ASSERT_GT(pid, 0);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_TRUE(ksft_wait_for(names_ended(pid), 5000));
}

static inline void names_remove(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}

static inline void names_end(const struct names_dir *d)
{
	pid_t pid = names_broker(d);

	if (pid > 0) {
		kill(pid, SIGKILL);
		ksft_wait_for(names_ended(pid), 5000);
	}
	names_remove(d->path);
}

/* One kind, for what is the same in all of them. */
struct names_kind {
	enum kipc_kind kind;
	int (*create)(const char *name, uint32_t flags, uint32_t mode, struct kipc_object **obj);
	int (*open)(const char *name, uint32_t flags, struct kipc_object **obj);
	int (*unlink)(const char *name);
	/* leave a mark in one handle, find it in another: 0 */
	int (*mark)(struct kipc_object *obj);
	int (*find)(struct kipc_object *obj);
};

#define NAMES_KIND(name_, handle_, as_object_, mark_, find_)                                       \
	static int names_##name_##_create(const char *name, uint32_t flags, uint32_t mode,         \
					  struct kipc_object **obj)                                \
	{                                                                                          \
		KIPC_OPTS(kipc_##name_##_opts, o, .flags = flags, .mode = mode);                   \
		handle_ *h;                                                                        \
		int r = name_##_create_with(name, &o, &h);                                         \
                                                                                                   \
		if (!r)                                                                            \
			*obj = as_object_(h);                                                      \
		return r;                                                                          \
	}                                                                                          \
	static int names_##name_##_open(const char *name, uint32_t flags,                          \
					struct kipc_object **obj)                                  \
	{                                                                                          \
		KIPC_OPTS(kipc_##name_##_opts, o, .flags = flags);                                 \
		handle_ *h;                                                                        \
		int r = kipc_##name_##_open(name, &o, &h);                                         \
                                                                                                   \
		if (!r)                                                                            \
			*obj = as_object_(h);                                                      \
		return r;                                                                          \
	}                                                                                          \
	static __ksft_unused const struct names_kind name_##_kind = {                              \
		.create = names_##name_##_create,                                                  \
		.open = names_##name_##_open,                                                      \
		.unlink = kipc_##name_##_unlink,                                                   \
		.mark = mark_,                                                                     \
		.find = find_,                                                                     \
	}

static inline int queue_create_with(const char *name, struct kipc_queue_opts *o,
				    struct kipc_queue **q)
{
	o->capacity = 4;
	o->msg_size = 64;
	return kipc_queue_create(name, o, q);
}

static inline int queue_mark(struct kipc_object *obj)
{
	return kipc_queue_put(kipc_object_queue(obj), "mark", 4, KIPC_FOREVER);
}

static inline int queue_find(struct kipc_object *obj)
{
	char buf[64];

	return kipc_queue_get(kipc_object_queue(obj), buf, sizeof(buf), KIPC_FOREVER) == 4 &&
			       !memcmp(buf, "mark", 4) ?
		       0 :
		       1;
}

static inline int shm_create_with(const char *name, struct kipc_shm_opts *o, struct kipc_shm **s)
{
	return kipc_shm_create(name, 100000, o, s);
}

static inline int shm_mark(struct kipc_object *obj)
{
	memset(kipc_shm_addr(kipc_object_shm(obj)), 'm', 100000);
	return 0;
}

static inline int shm_find(struct kipc_object *obj)
{
	const char *p = kipc_shm_addr(kipc_object_shm(obj));

	return kipc_shm_size(kipc_object_shm(obj)) == 100000 && p[0] == 'm' && p[99999] == 'm' ?
		       0 :
		       1;
}

static inline int array_create_with(const char *name, struct kipc_array_opts *o,
				    struct kipc_array **a)
{
	return kipc_array_create(name, KIPC_FLOAT64, 2, (uint64_t[]){ 30, 40 }, o, a);
}

static inline int array_mark(struct kipc_object *obj)
{
	return kipc_array_fill(kipc_object_array(obj), &(double){ 2.5 });
}

static inline int array_find(struct kipc_object *obj)
{
	struct kipc_array *a = kipc_object_array(obj);
	const double *d = kipc_array_at(a, (uint64_t[]){ 29, 39 });

	return kipc_array_dtype(a) == KIPC_FLOAT64 && kipc_array_ndim(a) == 2 &&
			       kipc_array_shape(a)[1] == 40 && *d == 2.5 ?
		       0 :
		       1;
}

static inline int manager_create_with(const char *name, struct kipc_manager_opts *o,
				      struct kipc_manager **m)
{
	o->max_size = 16 << 20;
	return kipc_manager_create(name, o, m);
}

static inline int manager_mark(struct kipc_object *obj)
{
	struct kipc_list *l;
	int r = kipc_list_create(kipc_object_manager(obj), "list", &l);

	if (!r)
		r = kipc_list_append(l, kipc_int(4711));
	if (!r)
		r = kipc_list_unref(l);
	return r;
}

static inline int manager_find(struct kipc_object *obj)
{
	struct kipc_value v = kipc_none();
	struct kipc_list *l;
	int r = kipc_list_open(kipc_object_manager(obj), "list", &l);

	if (r)
		return 1;
	r = kipc_list_get(l, 0, &v) || v.type != KIPC_INT || v.i != 4711;
	kipc_list_unref(l);
	return r;
}

NAMES_KIND(queue, struct kipc_queue, kipc_queue_object, queue_mark, queue_find);
NAMES_KIND(shm, struct kipc_shm, kipc_shm_object, shm_mark, shm_find);
NAMES_KIND(array, struct kipc_array, kipc_array_object, array_mark, array_find);
NAMES_KIND(manager, struct kipc_manager, kipc_manager_object, manager_mark, manager_find);

static __ksft_unused const struct names_kind *const names_kinds[4] = { &queue_kind, &shm_kind,
								       &array_kind, &manager_kind };

/* Makes "thing" of that kind, and finds in one handle what was left in another. */
static inline void names_create_and_find(const struct names_kind *kind)
{
	struct kipc_object *a = NULL, *b = NULL;

	ASSERT_EQ(0, kind->create("thing", 0, 0, &a));
	ASSERT_EQ(0, kind->open("thing", 0, &b));
	EXPECT_EQ(0, kind->mark(a));
	EXPECT_EQ(0, kind->find(b));
	kipc_object_close(a);
	kipc_object_close(b);
}

/* A process that has the object "thing" open. */
struct names_holder {
	const struct names_kind *kind;
	uint32_t ready, marked;
};

/* Not to be looked into, as a set-user-ID program would be; its lock says that it lives. */
static inline int names_hide(void *arg)
{
	struct names_holder *h = arg;
	struct kipc_object *obj, *none;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (h->kind->open("thing", 0, &obj) || h->kind->mark(obj))
		return 1;
	prctl(PR_SET_DUMPABLE, 0);
	__atomic_store_n(&h->ready, 1, __ATOMIC_RELEASE);
	sigwait(&set, &sig);
	/* any use of names, also one that finds nothing */
	return h->kind->open("other", 0, &none) == -ENOENT ? 0 : 2;
}

/* A copy of a program or a library, open for changes to its rights. */
static inline int names_copy_file(const char *file, const char *copy)
{
	int from = open(file, O_RDONLY | O_CLOEXEC);
	int to = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	struct stat st;
	ssize_t n;

	ASSERT_EQ(0, fstat(from, &st));
	for (off_t left = st.st_size; left; left -= n) {
		n = sendfile(to, from, NULL, (size_t)left);
		ASSERT_GT(n, 0);
	}
	close(from);
	return to;
}

/* The broker's program, for users that may not get to where this was built: in the runtime folder. */
static inline void names_move_program(struct names_dir *d)
{
	const char *slash = strrchr(d->kipcd, '/');
	char from[sizeof(d->kipcd) + 32], to[80];

	snprintf(from, sizeof(from), "%.*s/libkipc.so.0", (int)(slash - d->kipcd), d->kipcd);
	snprintf(to, sizeof(to), "%s/libkipc.so.0", d->path);
	close(names_copy_file(from, to));
	snprintf(to, sizeof(to), "%s/kipcd", d->path);
	close(names_copy_file(d->kipcd, to));
	snprintf(d->kipcd, sizeof(d->kipcd), "%s", to);
	setenv("KIPC_KIPCD", d->kipcd, 1);
}

static inline void names_become_nobody(struct names_dir *d)
{
	if (geteuid())
		return;
	names_move_program(d);
	/* root may look into everything */
	ASSERT_EQ(0, chown(d->path, 65534, 65534));
	ASSERT_EQ(0, setresgid(65534, 65534, 65534));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	prctl(PR_SET_DUMPABLE, 1);
}

/* The broker dies while only a process that nobody may look into has the object. */
static inline pid_t names_hidden_holder(struct names_dir *d, const struct names_kind *k)
{
	struct names_holder *h = ksft_shared(sizeof(*h));
	struct kipc_object *obj = NULL;
	pid_t pid;

	names_become_nobody(d);
	h->kind = k;
	ASSERT_EQ(0, k->create("thing", 0, 0, &obj));
	pid = ksft_fork(names_hide, h);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE), 10000));
	kipc_object_close(obj);
	names_kill(d);
	return pid;
}

#endif
