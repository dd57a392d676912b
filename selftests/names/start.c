// SPDX-License-Identifier: MIT
/* The broker starts by itself: once for a hundred that want it, without a trace in who started it. */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "names.h"

FIXTURE(start) {
	struct names_dir dir;
};

FIXTURE_SETUP(start)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(start)
{
	names_end(&self->dir);
}

enum { RACERS = 100 };

struct race {
	uint32_t go;
	uint32_t created;
	uint32_t existed;
};

/* All at once: one creates it, the others find that out and open it. */
static int race(void *arg)
{
	struct race *r = arg;
	struct kipc_queue *q;
	int n;

	while (!__atomic_load_n(&r->go, __ATOMIC_ACQUIRE))
		sched_yield();
	n = kipc_queue_create("first", NULL, &q);
	if (n == -EEXIST) {
		__atomic_fetch_add(&r->existed, 1, __ATOMIC_RELAXED);
		n = kipc_queue_open("first", NULL, &q);
	} else if (!n) {
		__atomic_fetch_add(&r->created, 1, __ATOMIC_RELAXED);
	}
	if (n) {
		ksft_log("%s", kipc_strerror(n));
		return 1;
	}
	return kipc_queue_put(q, "x", 1, KIPC_FOREVER);
}

static int count_brokers(const struct names_dir *d)
{
	char want[160], path[64], arg[256];
	struct dirent *e;
	DIR *proc = opendir("/proc");
	int n = 0;

	snprintf(want, sizeof(want), "--runtime-dir=%s", d->path);
	while ((e = readdir(proc))) {
		ssize_t len;
		int fd;

		snprintf(path, sizeof(path), "/proc/%.20s/cmdline", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		len = read(fd, arg, sizeof(arg) - 1);
		close(fd);
		arg[len < 0 ? 0 : len] = '\0';
		/* kipcd\0--runtime-dir=... */
		if (!strcmp(arg, "kipcd") && !strcmp(arg + 6, want))
			n++;
	}
	closedir(proc);
	return n;
}

TEST_F(start, a_hundred_race_for_the_first_create)
{
	struct race *r = ksft_shared(sizeof(*r));
	pid_t pid[RACERS];
	struct kipc_queue *q;

	for (int i = 0; i < RACERS; i++)
		pid[i] = ksft_fork(race, r);
	__atomic_store_n(&r->go, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < RACERS; i++)
		ksft_join(pid[i]);
	EXPECT_EQ(1, r->created);
	EXPECT_EQ(RACERS - 1, r->existed);
	/* those that were started in vain see that and go */
	EXPECT_TRUE(ksft_wait_for(count_brokers(&self->dir) == 1, 10000));
	ASSERT_EQ(0, kipc_queue_open("first", NULL, &q));
	EXPECT_EQ(RACERS, kipc_queue_len(q));
	kipc_queue_close(q);
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

static bool has_fd(pid_t pid, int fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	return !lstat(path, &st);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/*
 * The application has signal handlers, blocked signals, open descriptors that are not
 * close-on-exec, and counts its children: none of that is touched, and the broker has nothing of
 * it.
 */
TEST_F(start, who_starts_it_does_not_notice)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t set, after;
	struct kipc_shm *s;
	int open_fd, before;
	pid_t pid;
	char link[256];
	ssize_t n;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 0));
	open_fd = fcntl(open("/dev/null", O_RDWR), F_DUPFD, 77);
	ASSERT_EQ(77, open_fd);
	for (int sig = 1; sig < 32; sig++)
		sigaction(sig, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	before = count_fds();
	errno = 4711;
	ASSERT_EQ(0, kipc_shm_create("thing", 1, NULL, &s));
	EXPECT_EQ(4711, errno);
	EXPECT_EQ(0, signals);
	EXPECT_EQ(-1, waitpid(-1, NULL, __WALL | WNOHANG));
	EXPECT_EQ(ECHILD, errno);
	sigprocmask(SIG_SETMASK, NULL, &after);
	EXPECT_TRUE(sigismember(&after, SIGUSR2));
	EXPECT_FALSE(sigismember(&after, SIGUSR1));
	kipc_shm_close(s);
	EXPECT_EQ(before, count_fds());

	pid = names_broker(&self->dir);
	ASSERT_GT(pid, 0);
	EXPECT_EQ(pid, getsid(pid));
	EXPECT_FALSE(has_fd(pid, 77));
	for (int fd = 0; fd <= 2; fd++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n = readlink(path, link, sizeof(link) - 1);
		ASSERT_GT(n, 0);
		link[n] = '\0';
		EXPECT_STREQ("/dev/null", link);
	}
	/* its signals are its own: this one ends it */
	EXPECT_EQ(0, kill(pid, SIGUSR2));
	EXPECT_TRUE(ksft_wait_for(names_ended(pid), 5000));
}

static int create_in_thread(void *arg)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_NAME_EXISTING);
	struct race *r = arg;
	struct kipc_shm *s;

	while (!__atomic_load_n(&r->go, __ATOMIC_ACQUIRE))
		sched_yield();
	if (kipc_shm_create("thing", 1, &o, &s))
		return 1;
	kipc_shm_close(s);
	return 0;
}

TEST_F(start, threads_race)
{
	struct ksft_thread thread[8];
	struct race r = { 0 };

	for (int i = 0; i < 8; i++)
		ksft_thread_start(&thread[i], create_in_thread, &r);
	__atomic_store_n(&r.go, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 8; i++)
		ksft_thread_join(&thread[i]);
}

static int fork_and_stay(void *arg)
{
	uint32_t *stop = arg;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		pid_t pid = fork();

		if (!pid)
			ksft_child_exit(0);
		waitpid(pid, NULL, 0);
	}
	return 0;
}

/* Children forked in the middle have our descriptors: they must not keep others from starting. */
TEST_F(start, while_another_thread_forks)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_NAME_EXISTING);
	uint32_t stop = 0;
	struct ksft_thread thread;
	struct kipc_shm *s;

	ksft_thread_start(&thread, fork_and_stay, &stop);
	for (int i = 0; i < 20; i++) {
		/* a child may hold what we closed, for a moment */
		ASSERT_EQ(0, kipc_shm_create("thing", 1, &o, &s));
		kipc_shm_close(s);
		names_kill(&self->dir);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	ksft_thread_join(&thread);
}

TEST_F(start, no_kipcd)
{
	struct kipc_shm *s;

	setenv("KIPC_KIPCD", "/nonexistent/kipcd", 1);
	EXPECT_EQ(-ECONNREFUSED, kipc_shm_create("thing", 1, NULL, &s));
	EXPECT_EQ(-ECONNREFUSED, kipc_shm_open("thing", NULL, &s));
	/* one that can be run, and is something else */
	setenv("KIPC_KIPCD", "/bin/false", 1);
	EXPECT_EQ(-ECONNREFUSED, kipc_shm_create("thing", 1, NULL, &s));
	EXPECT_STREQ("no broker answers, and none can be started", kipc_strerror(-ECONNREFUSED));
	setenv("KIPC_KIPCD", self->dir.kipcd, 1);
	ASSERT_EQ(0, kipc_shm_create("thing", 1, NULL, &s));
	kipc_shm_close(s);
}

/* A second one sees the first, and goes; whatever there is stays reachable. */
TEST_F(start, only_one)
{
	char arg[160];
	struct kipc_shm *s;
	pid_t first, pid;

	ASSERT_EQ(0, kipc_shm_create("thing", 1, NULL, &s));
	first = names_broker(&self->dir);
	snprintf(arg, sizeof(arg), "--runtime-dir=%s", self->dir.path);
	pid = fork();
	if (!pid) {
		execl(self->dir.kipcd, "kipcd", arg, "--foreground", NULL);
		_exit(127);
	}
	EXPECT_EQ(0, ksft_wait(pid));
	EXPECT_EQ(first, names_broker(&self->dir));
	EXPECT_EQ(0, kipc_shm_unlink("thing"));
	kipc_shm_close(s);
}

/* What a killed one leaves lying about. */
TEST_F(start, over_what_is_left)
{
	char path[160];
	struct kipc_shm *s;
	int fd;

	ASSERT_EQ(0, kipc_shm_create("thing", 1, NULL, &s));
	names_kill(&self->dir);
	snprintf(path, sizeof(path), "%s/names", self->dir.path);
	/* a ledger that makes no sense */
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(7, write(fd, "garbage", 7));
	close(fd);
	snprintf(path, sizeof(path), "%s/broker.new", self->dir.path);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	EXPECT_EQ(-ENOENT, kipc_shm_unlink("thing"));
	kipc_shm_close(s);
	ASSERT_EQ(0, kipc_shm_create("thing", 1, NULL, &s));
	EXPECT_EQ(0, kipc_shm_unlink("thing"));
	kipc_shm_close(s);
}

/* ---- the runtime folder ---- */

TEST_F(start, folder_is_made)
{
	char dir[160];
	struct kipc_shm *s;
	struct stat st;
	struct names_dir inner = self->dir;

	snprintf(dir, sizeof(dir), "%s/inner///", self->dir.path);
	setenv("KIPC_RUNTIME_DIR", dir, 1);
	umask(0);
	ASSERT_EQ(0, kipc_shm_create("thing", 1, NULL, &s));
	kipc_shm_close(s);
	strcat(inner.path, "/inner");
	ASSERT_EQ(0, stat(inner.path, &st));
	EXPECT_EQ(S_IFDIR | 0700, st.st_mode);
	names_end(&inner);
	/* not those above it */
	snprintf(dir, sizeof(dir), "%s/no/where", self->dir.path);
	setenv("KIPC_RUNTIME_DIR", dir, 1);
	EXPECT_EQ(-ECONNREFUSED, kipc_shm_open("thing", NULL, &s));
}

TEST_F(start, folder_that_is_not_to_be_trusted)
{
	char link[160];
	struct kipc_shm *s;

	ASSERT_EQ(0, chmod(self->dir.path, 0720));
	EXPECT_EQ(-EPERM, kipc_shm_open("thing", NULL, &s));
	ASSERT_EQ(0, chmod(self->dir.path, 0702));
	EXPECT_EQ(-EPERM, kipc_shm_open("thing", NULL, &s));
	ASSERT_EQ(0, chmod(self->dir.path, 0755));
	EXPECT_EQ(-ENOENT, kipc_shm_open("thing", NULL, &s));
	snprintf(link, sizeof(link), "%s/link", self->dir.path);
	ASSERT_EQ(0, symlink(self->dir.path, link));
	setenv("KIPC_RUNTIME_DIR", link, 1);
	EXPECT_EQ(-ENOTDIR, kipc_shm_open("thing", NULL, &s));
	strcat(link, "/");
	setenv("KIPC_RUNTIME_DIR", link, 1);
	EXPECT_EQ(-ENOTDIR, kipc_shm_open("thing", NULL, &s));
	setenv("KIPC_RUNTIME_DIR", "relative", 1);
	EXPECT_EQ(-EINVAL, kipc_shm_open("thing", NULL, &s));
	if (geteuid())
		SKIP("only root can make a folder that is another's");
	setenv("KIPC_RUNTIME_DIR", self->dir.path, 1);
	ASSERT_EQ(0, chown(self->dir.path, 4711, 4711));
	EXPECT_EQ(-EPERM, kipc_shm_open("thing", NULL, &s));
}

TEST_F(start, which_folder)
{
	char want[160], buf[160];

	EXPECT_EQ(0, kipc_names_dir(buf, sizeof(buf)));
	EXPECT_STREQ(self->dir.path, buf);
	EXPECT_EQ(-ENAMETOOLONG, kipc_names_dir(buf, strlen(self->dir.path)));
	EXPECT_EQ(-EINVAL, kipc_names_dir(NULL, 10));
	unsetenv("KIPC_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", self->dir.path, 1);
	EXPECT_EQ(0, kipc_names_dir(buf, sizeof(buf)));
	snprintf(want, sizeof(want), "%s/kipc", self->dir.path);
	EXPECT_STREQ(want, buf);
	/* one that isn't there is as none */
	setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
	EXPECT_EQ(0, kipc_names_dir(buf, sizeof(buf)));
	snprintf(want, sizeof(want), "/tmp/kipc-%u", geteuid());
	EXPECT_STREQ(access("/run/kipc", F_OK) ? want : "/run/kipc", buf);
}

/* A broker that may have few descriptors says so, and goes on. */
TEST_F(start, few_descriptors)
{
	struct rlimit lim = { 64, 64 };
	struct kipc_queue *q;
	int n, r = 0;

	setrlimit(RLIMIT_NOFILE, &lim);
	for (n = 0; n < 32 && !r; n++) {
		char name[16];

		snprintf(name, sizeof(name), "q%d", n);
		r = kipc_queue_create(name, NULL, &q);
		if (!r)
			kipc_queue_close(q);
	}
	EXPECT_EQ(-ENOSPC, r);
	EXPECT_GE(n, 5);
	EXPECT_EQ(0, kipc_queue_unlink("q0"));
	/* what it was sent in vain is closed sooner or later */
	ASSERT_TRUE(ksft_wait_for(!kipc_queue_create("q0", NULL, &q), 5000));
	kipc_queue_close(q);
}

TEST_HARNESS_MAIN
