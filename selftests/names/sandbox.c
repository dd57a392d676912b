// SPDX-License-Identifier: MIT
/*
 * As in a container: no io_uring, a /dev/shm of a few pages, a PID namespace of its own; and a
 * program that runs as set-user-ID.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "raw.h"

FIXTURE(sandbox) {
	struct names_dir dir;
};

FIXTURE_SETUP(sandbox)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(sandbox)
{
	names_end(&self->dir);
}

/* io_uring and pidfd_getfd(2) are refused, as by Docker's profile; inherited by all that comes. */
static void forbid(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		SKIP("no seccomp: %s", strerror(errno));
	EXPECT_EQ(0, kipc_feature_supported(KIPC_FEATURE_IO_URING));
}

/* False: not allowed here. */
static bool tiny_dev_shm(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	return !mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=16k");
}

static int answer(void *arg)
{
	struct kipc_queue *in, *out;
	char buf[64];

	(void)arg;
	if (kipc_queue_open("in", NULL, &in) || kipc_queue_open("out", NULL, &out))
		return 1;
	for (int i = 0; i < 50; i++) {
		ssize_t n = kipc_queue_get(in, buf, sizeof(buf), KIPC_FOREVER);

		if (n != 1 || kipc_queue_put(out, buf, 1, KIPC_FOREVER))
			return 2;
	}
	return 0;
}

TEST_F(sandbox, no_io_uring_and_no_dev_shm)
{
	struct kipc_queue *in, *out;
	struct kipc_shm *s;
	char buf[64];
	pid_t pid;

	if (!tiny_dev_shm())
		SKIP("not allowed to mount: %s", strerror(errno));
	forbid();
	for (int i = 0; i < 4; i++) {
		names_create_and_find(names_kinds[i]);
		EXPECT_EQ(0, names_kinds[i]->unlink("thing"));
	}
	/* sleeping and waking, in ppoll(2) */
	ASSERT_EQ(0, kipc_queue_create("in", NULL, &in));
	ASSERT_EQ(0, kipc_queue_create("out", NULL, &out));
	pid = ksft_fork(answer, NULL);
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(0, kipc_queue_put(in, "x", 1, KIPC_FOREVER));
		ASSERT_EQ(1, kipc_queue_get(out, buf, sizeof(buf), KIPC_FOREVER));
	}
	ksft_join(pid);
	/* a thousand times what /dev/shm has */
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_SHM_POPULATE);
	ASSERT_EQ(0, kipc_shm_create("large", 16 << 20, &o, &s));
	memset(kipc_shm_addr(s), 1, 16 << 20);
	kipc_shm_close(s);
	EXPECT_EQ(0, kipc_shm_unlink("large"));
}

/*
 * Without pidfd_getfd(2) the next broker can't fetch eventfds; memfds it can, and a queue comes
 * back when who has it uses a name.
 */
static int hold_queue(void *arg)
{
	uint32_t *step = arg;
	struct kipc_queue *q, *none;

	if (kipc_queue_open("q", NULL, &q))
		return 1;
	__atomic_store_n(step, 1, __ATOMIC_RELEASE);
	if (!ksft_wait_for(__atomic_load_n(step, __ATOMIC_ACQUIRE) == 2, 20000))
		return 2;
	if (kipc_queue_open("none", NULL, &none) != -ENOENT)
		return 3;
	__atomic_store_n(step, 3, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

TEST_F(sandbox, no_pidfd_getfd)
{
	uint32_t *step = ksft_shared(4096);
	struct kipc_queue *q;
	struct kipc_shm *s;
	pid_t pid;

	forbid();
	ASSERT_EQ(0, kipc_queue_create("q", NULL, &q));
	ASSERT_EQ(0, kipc_shm_create("s", 1, NULL, &s));
	ASSERT_EQ(0, kipc_queue_put(q, "kept", 4, KIPC_NOWAIT));
	pid = ksft_fork(hold_queue, step);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(step, __ATOMIC_ACQUIRE) == 1, 10000));
	kipc_queue_close(q);
	kipc_shm_close(s);	/* the child has it as well, from fork */
	names_kill(&self->dir);
	ASSERT_EQ(0, kipc_shm_open("s", NULL, &s));
	EXPECT_EQ(-EAGAIN, kipc_queue_open("q", NULL, &q));
	__atomic_store_n(step, 2, __ATOMIC_RELEASE);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(step, __ATOMIC_ACQUIRE) == 3, 10000));
	ASSERT_EQ(0, kipc_queue_open("q", NULL, &q));
	EXPECT_EQ(1, kipc_queue_len(q));
	kipc_queue_close(q);
	ksft_kill(pid);
}

/* ---- another PID namespace ---- */

struct inner {
	const struct names_dir *dir;
	uint32_t ready, stop;
};

/* Whether a process may make these; it doesn't become this one's. */
static bool may_unshare(int flags)
{
	pid_t pid = fork();

	if (!pid)
		_exit(unshare(flags) ? 1 : 0);
	return !ksft_wait(pid);
}

static int in_pid_namespace(void *arg)
{
	struct inner *in = arg;
	struct kipc_queue *q, *tied;
	KIPC_OPTS(kipc_queue_opts, o, .flags = KIPC_NAME_TIED);

	/* whoever is numbered 1 in here is another out there */
	if (getpid() != 1)
		return 1;
	if (kipc_queue_create("inner", NULL, &q) || kipc_queue_put(q, "x", 1, KIPC_NOWAIT) ||
	    kipc_queue_create("tied", &o, &tied))
		return 2;
	__atomic_store_n(&in->ready, 1, __ATOMIC_RELEASE);
	return ksft_wait_for(__atomic_load_n(&in->stop, __ATOMIC_ACQUIRE), 20000) ? 0 : 3;
}

/* In a process of its own, whose children are in the other namespace. */
static int another_pid_namespace(void *arg)
{
	struct inner *in = arg;
	struct kipc_queue *q;
	struct kipc_shm *s;
	pid_t pid;

	ASSERT_EQ(0, kipc_shm_create("anchor", 1, NULL, &s));
	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	pid = ksft_fork(in_pid_namespace, in);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&in->ready, __ATOMIC_ACQUIRE), 10000));
	ASSERT_EQ(0, kipc_queue_open("inner", NULL, &q));
	EXPECT_EQ(1, kipc_queue_len(q));
	kipc_queue_close(q);
	ASSERT_EQ(0, kipc_queue_open("tied", NULL, &q));
	kipc_queue_close(q);
	__atomic_store_n(&in->stop, 1, __ATOMIC_RELEASE);
	ksft_join(pid);
	EXPECT_TRUE(ksft_wait_for(kipc_queue_open("tied", NULL, &q) == -ENOENT, 10000));
	EXPECT_EQ(0, kipc_queue_unlink("inner"));
	EXPECT_EQ(0, kipc_shm_unlink("anchor"));
	return 0;
}

TEST_F(sandbox, another_pid_namespace)
{
	if (!may_unshare(CLONE_NEWPID))
		SKIP("not allowed to make a PID namespace");
	ksft_join(ksft_fork(another_pid_namespace, ksft_shared(sizeof(struct inner))));
}

/* The broker is in there, and sees nobody out here: what we hold comes back when we come by. */
static int broker_in_namespace(void *arg)
{
	struct inner *in = arg;
	struct kipc_shm *s, *again;

	if (mount("proc", "/proc", "proc", 0, NULL))
		return 1;
	/* the broker that this starts is the namespace's, */
	if (kipc_shm_create("anchor", 1, NULL, &s))
		return 2;
	__atomic_store_n(&in->ready, 1, __ATOMIC_RELEASE);
	/* ... and so is the next one */
	if (!ksft_wait_for(__atomic_load_n(&in->ready, __ATOMIC_ACQUIRE) == 2, 20000) ||
	    kipc_shm_open("anchor", NULL, &again))
		return 3;
	__atomic_store_n(&in->ready, 3, __ATOMIC_RELEASE);
	return ksft_wait_for(__atomic_load_n(&in->stop, __ATOMIC_ACQUIRE), 20000) ? 0 : 4;
}

/* Asked by hand: the library would offer what it has first. */
static int count_lost(const struct names_dir *d)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_LIST, 0, "");
	struct kipc_broker_list reply;
	int sock = names_connect(d), n = 0;

	ASSERT_GT(send_raw(sock, &req, sizeof(req), NULL, 0), 0);
	ASSERT_EQ(0, raw_reply(sock, &reply));
	ASSERT_EQ(2, reply.head.count);
	for (uint32_t i = 0; i < reply.head.count; i++)
		n += !!(reply.entry[i].flags & KIPC_BROKER_LOST);
	close(sock);
	return n;
}

static int broker_in_a_pid_namespace(void *arg)
{
	struct inner *in = arg;
	struct kipc_queue *q, *again;
	struct kipc_shm *s;
	pid_t pid;

	ASSERT_EQ(0, unshare(CLONE_NEWNS | CLONE_NEWPID));
	ASSERT_EQ(0, mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	pid = fork();
	if (!pid) {
		/* its /proc is its own, ours stays */
		if (unshare(CLONE_NEWNS))
			_exit(9);
		ksft_child_exit(broker_in_namespace(in));
	}
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&in->ready, __ATOMIC_ACQUIRE), 10000));
	ASSERT_EQ(0, kipc_queue_create("q", NULL, &q));
	EXPECT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	names_kill(in->dir);
	__atomic_store_n(&in->ready, 2, __ATOMIC_RELEASE);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&in->ready, __ATOMIC_ACQUIRE) == 3, 10000));
	EXPECT_EQ(1, count_lost(in->dir));
	ASSERT_EQ(0, kipc_queue_open("q", NULL, &again));
	EXPECT_EQ(1, kipc_queue_len(again));
	kipc_queue_close(again);
	kipc_queue_close(q);
	EXPECT_EQ(0, kipc_shm_open("anchor", NULL, &s));
	kipc_shm_close(s);
	__atomic_store_n(&in->stop, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, ksft_wait(pid));
	return 0;
}

/* Also: not in a chroot, where "/" is no mount. */
static int make_private(void *arg)
{
	(void)arg;
	return unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

TEST_F(sandbox, broker_in_a_pid_namespace)
{
	struct inner *in = ksft_shared(sizeof(*in));

	if (!may_unshare(CLONE_NEWPID | CLONE_NEWNS) || ksft_wait(ksft_fork(make_private, NULL)))
		SKIP("not allowed to make namespaces, or mounts in them");
	in->dir = &self->dir;
	ksft_join(ksft_fork(broker_in_a_pid_namespace, in));
}

/* ---- set-user-ID programs ---- */

/*
 * They look where the environment says nothing about; and what it says to start is not started.
 * This program itself, once more, as one of those.
 */
TEST_F(sandbox, set_user_id)
{
	char copy[80], out[160] = "", *argv[] = { copy, "--setuid-child", NULL };
	int fds[2], to;
	ssize_t n;
	pid_t pid;

	if (geteuid())
		SKIP("only root can make a set-user-ID program");
	snprintf(copy, sizeof(copy), "%s/setuid", self->dir.path);
	ASSERT_EQ(0, chmod(self->dir.path, 0755));
	to = names_copy_file("/proc/self/exe", copy);
	ASSERT_EQ(0, fchown(to, 4001, 4001));
	ASSERT_EQ(0, fchmod(to, 04755));
	close(to);
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		if (setresgid(4002, 4002, 4002) || setresuid(4002, 4002, 4002))
			_exit(9);
		execv(copy, argv);
		_exit(8);
	}
	close(fds[1]);
	for (size_t have = 0; have < sizeof(out) - 1;) {
		n = read(fds[0], out + have, sizeof(out) - 1 - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	n = ksft_wait(pid);
	if (n == 6 << 8)
		SKIP("mounted nosuid");
	EXPECT_EQ(0, n);
	EXPECT_STREQ("/tmp/kipc-4001", out);
}

/* Run by that test: prints where names are. */
__attribute__((constructor)) static void setuid_child(int argc, char **argv)
{
	char buf[128];

	if (argc != 2 || strcmp(argv[1], "--setuid-child"))
		return;
	if (geteuid() != 4001)
		_exit(6);
	if (!getenv("KIPC_RUNTIME_DIR") || !getenv("KIPC_KIPCD"))
		_exit(5);
	if (kipc_names_dir(buf, sizeof(buf)) || write(1, buf, strlen(buf)) < 0)
		_exit(4);
	_exit(0);
}

TEST_HARNESS_MAIN
