// SPDX-License-Identifier: MIT
/*
 * Who may do what: two users that are nobody, their groups, root, a user namespace; and how much of it.
 *
 * The broker is root's, in a folder that all may enter: as the instance of the whole system is.
 */
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>

#include "raw.h"

enum { ALICE = 4001, BOB = 4002, TEAM = 4100 };

struct user {
	uid_t uid;
	gid_t gid;		/* its only group, or */
	gid_t extra;		/* ... another one beside it */
};

static const struct user alice = { ALICE, ALICE, 0 }, bob = { BOB, BOB, 0 };

static void become(const struct user *u)
{
	ASSERT_EQ(0, setgroups(u->extra ? 1 : 0, &u->extra));
	ASSERT_EQ(0, setresgid(u->gid, u->gid, u->gid));
	ASSERT_EQ(0, setresuid(u->uid, u->uid, u->uid));
	prctl(PR_SET_DUMPABLE, 1);
}

struct job {
	struct user user;
	int (*fn)(void *arg);
	void *arg;
};

static int as_user(void *arg)
{
	struct job *j = arg;

	become(&j->user);
	return j->fn(j->arg);
}

/* Runs it as that user, and fails the test if it doesn't return 0. */
static void run_as(const struct user *u, int (*fn)(void *arg), void *arg)
{
	struct job j = { *u, fn, arg };

	ksft_join(ksft_fork(as_user, &j));
}

static void begin(struct names_dir *d)
{
	if (geteuid())
		SKIP("only root can be two users");
	names_begin(d);
	ASSERT_EQ(0, chmod(d->path, 0755));
}

/* A broker with these options, started by hand. */
static void start_broker(const struct names_dir *d, const char *const *options)
{
	char dir[80];
	const char *argv[8] = { "kipcd", dir };
	pid_t pid;

	snprintf(dir, sizeof(dir), "--runtime-dir=%s", d->path);
	for (int i = 0; options && options[i]; i++)
		argv[2 + i] = options[i];
	pid = fork();
	if (!pid) {
		execv(d->kipcd, (char *const *)argv);
		_exit(127);
	}
	/* the first process of it ends when the second listens */
	ASSERT_EQ(0, ksft_wait(pid));
}

FIXTURE(rights) {
	struct names_dir dir;
};

FIXTURE_SETUP(rights)
{
	begin(&self->dir);
	start_broker(&self->dir, NULL);
}

FIXTURE_TEARDOWN(rights)
{
	names_end(&self->dir);
}

/* ---- modes ---- */

static int create(void *arg)
{
	KIPC_OPTS(kipc_shm_opts, o, .mode = *(mode_t *)arg);
	struct kipc_shm *s;
	int r = kipc_shm_create("thing", 4096, &o, &s);

	if (r) {
		ksft_log("create: %s", kipc_strerror(r));
		return 1;
	}
	memset(kipc_shm_addr(s), 'a', 4096);
	kipc_shm_close(s);
	return 0;
}

struct want {
	int open, readonly;
};

static int open_both(void *arg)
{
	KIPC_OPTS(kipc_shm_opts, ro, .flags = KIPC_NAME_RDONLY);
	struct want *w = arg;
	struct kipc_shm *s;
	int r;

	r = kipc_shm_open("thing", NULL, &s);
	EXPECT_EQ(w->open, r);
	if (!r) {
		EXPECT_EQ('a', *(char *)kipc_shm_addr(s));
		EXPECT_EQ(0, kipc_shm_write_begin(s, KIPC_FOREVER));
		EXPECT_EQ(0, kipc_shm_write_end(s));
		kipc_shm_close(s);
	}
	r = kipc_shm_open("thing", &ro, &s);
	EXPECT_EQ(w->readonly, r);
	if (!r) {
		EXPECT_EQ('a', *(char *)kipc_shm_addr(s));
		kipc_shm_close(s);
	}
	return 0;
}

FIXTURE(modes) {
	struct names_dir dir;
};

FIXTURE_VARIANT(modes) {
	mode_t mode;
	struct user user;
	struct want want;
};

FIXTURE_VARIANT_ADD(modes, owner) { 0600, { ALICE, ALICE, 0 }, { 0, 0 } };
FIXTURE_VARIANT_ADD(modes, other_none) { 0660, { BOB, BOB, 0 }, { -EACCES, -EACCES } };
FIXTURE_VARIANT_ADD(modes, other_reads) { 0644, { BOB, BOB, 0 }, { -EACCES, 0 } };
FIXTURE_VARIANT_ADD(modes, other_writes) { 0666, { BOB, BOB, 0 }, { 0, 0 } };
FIXTURE_VARIANT_ADD(modes, other_writes_only) { 0662, { BOB, BOB, 0 }, { -EACCES, -EACCES } };
FIXTURE_VARIANT_ADD(modes, group) { 0660, { BOB, ALICE, 0 }, { 0, 0 } };
FIXTURE_VARIANT_ADD(modes, group_reads) { 0640, { BOB, ALICE, 0 }, { -EACCES, 0 } };
FIXTURE_VARIANT_ADD(modes, group_less_than_others) { 0606, { BOB, ALICE, 0 }, { -EACCES, -EACCES } };
FIXTURE_VARIANT_ADD(modes, another_group) { 0660, { BOB, BOB, ALICE }, { 0, 0 } };
FIXTURE_VARIANT_ADD(modes, not_that_group) { 0660, { BOB, BOB, TEAM }, { -EACCES, -EACCES } };
FIXTURE_VARIANT_ADD(modes, root) { 0600, { 0, 0, 0 }, { 0, 0 } };

FIXTURE_SETUP(modes)
{
	begin(&self->dir);
	start_broker(&self->dir, NULL);
}

FIXTURE_TEARDOWN(modes)
{
	names_end(&self->dir);
}

TEST_F(modes, open)
{
	mode_t mode = variant->mode;
	struct want want = variant->want;

	run_as(&alice, create, &mode);
	run_as(&variant->user, open_both, &want);
}

/* ---- what a reader of another user can't ---- */

static int try_to_write(void *arg)
{
	KIPC_OPTS(kipc_array_opts, o, .flags = KIPC_NAME_RDONLY);
	struct kipc_array *a, *b;
	char path[64];
	int fd;

	(void)arg;
	EXPECT_EQ(-EACCES, kipc_array_open("array", NULL, &a));
	ASSERT_EQ(0, kipc_array_open("array", &o, &a));
	EXPECT_EQ(5, *(uint8_t *)kipc_array_at(a, (uint64_t[]){ 9 }));
	fd = kipc_array_fd(a);
	EXPECT_EQ((void *)-1, mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(kipc_array_data(a), 4096, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	/* nor by another way to the same file */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT_EQ(-1, open(path, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, fchmod(fd, 0666));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pwrite(fd, "x", 1, 4096));
	/* nor the name */
	EXPECT_EQ(-EACCES, kipc_array_unlink("array"));
	EXPECT_EQ(-EEXIST, kipc_array_create("array", KIPC_UINT8, 1, (uint64_t[]){ 1 }, NULL, &b));
	kipc_array_close(a);
	return 0;
}

static int create_array(void *arg)
{
	KIPC_OPTS(kipc_array_opts, o, .mode = 0644);
	struct kipc_array *a;

	(void)arg;
	if (kipc_array_create("array", KIPC_UINT8, 1, (uint64_t[]){ 10 }, &o, &a))
		return 1;
	return kipc_array_fill(a, &(uint8_t){ 5 });
}

static int unlink_array(void *arg)
{
	(void)arg;
	return kipc_array_unlink("array");
}

TEST_F(rights, a_reader_can_not_write)
{
	struct kipc_array *a;

	run_as(&alice, create_array, NULL);
	run_as(&bob, try_to_write, NULL);
	ASSERT_EQ(0, kipc_array_open("array", NULL, &a));
	EXPECT_EQ(5, *(uint8_t *)kipc_array_at(a, (uint64_t[]){ 9 }));
	kipc_array_close(a);
	run_as(&alice, unlink_array, NULL);
	EXPECT_EQ(-ENOENT, kipc_array_unlink("array"));
	run_as(&bob, create_array, NULL);
	/* root may */
	EXPECT_EQ(0, kipc_array_unlink("array"));
}

/* ---- two users, one queue ---- */

static int serve(void *arg)
{
	KIPC_OPTS(kipc_queue_opts, o, .capacity = 2, .msg_size = 16, .mode = 0666);
	struct kipc_queue *q;
	char buf[16];

	(void)arg;
	if (kipc_queue_create("jobs", &o, &q))
		return 1;
	for (int i = 0; i < 100; i++)
		if (kipc_queue_get(q, buf, sizeof(buf), KIPC_FOREVER) != 1)
			return 2;
	return kipc_queue_unlink("jobs");
}

static int ask(void *arg)
{
	struct kipc_queue *q;

	(void)arg;
	ASSERT_TRUE(ksft_wait_for(!kipc_queue_open("jobs", NULL, &q), 10000));
	for (int i = 0; i < 100; i++)
		if (kipc_queue_put(q, "x", 1, KIPC_FOREVER))
			return 1;
	return 0;
}

TEST_F(rights, a_queue_of_two_users)
{
	struct job server = { alice, serve, NULL };
	pid_t pid = ksft_fork(as_user, &server);

	run_as(&bob, ask, NULL);
	ksft_join(pid);
	EXPECT_EQ(-ENOENT, kipc_queue_unlink("jobs"));
}

/* The mode is the memfd's: a change counts at once, and outlives the broker. */
static int open_thing(void *arg)
{
	struct kipc_shm *s;
	int r = kipc_shm_open("thing", NULL, &s);

	return r == *(int *)arg ? 0 : 1;
}

TEST_F(rights, mode_and_owner_change)
{
	int ok = 0, refused = -EACCES;
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create("thing", 4096, NULL, &s));
	run_as(&bob, open_thing, &refused);
	ASSERT_EQ(0, fchmod(kipc_shm_fd(s), 0606));
	run_as(&bob, open_thing, &ok);
	names_kill(&self->dir);
	start_broker(&self->dir, NULL);
	run_as(&bob, open_thing, &ok);
	ASSERT_EQ(0, fchmod(kipc_shm_fd(s), 0600));
	ASSERT_EQ(0, fchown(kipc_shm_fd(s), BOB, BOB));
	run_as(&alice, open_thing, &refused);
	run_as(&bob, open_thing, &ok);
	kipc_shm_close(s);
}

/* Who was given an object can't put it under a name of his. */
static int publish_anothers(void *arg)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_PUBLISH, KIPC_SEG_SHM, "mine");
	const struct names_dir *d = arg;
	struct kipc_shm *s;
	char path[64];
	int fds[2];

	ASSERT_EQ(0, kipc_shm_open("thing", NULL, &s));
	fds[0] = kipc_shm_fd(s);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	fds[1] = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fds[1], 0);
	/* the name in its header doesn't fit; made to fit, the owner doesn't */
	EXPECT_EQ(-EPROTO, raw_ask_once(d, &req, fds, 2));
	ASSERT_EQ(5, pwrite(fds[0], "mine", 5, offsetof(struct kipc_seg_header, name)));
	EXPECT_EQ(-EACCES, raw_ask_once(d, &req, fds, 2));
	kipc_shm_close(s);
	return 0;
}

TEST_F(rights, anothers_object)
{
	mode_t mode = 0666;

	run_as(&alice, create, &mode);
	run_as(&bob, publish_anothers, &self->dir);
	EXPECT_EQ(-ENOENT, kipc_shm_unlink("mine"));
}

/* ---- how much ---- */

static int use_up_objects(void *arg)
{
	struct kipc_shm *s;
	char name[16];

	(void)arg;
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%u-%d", geteuid(), i);
		ASSERT_EQ(0, kipc_shm_create(name, 1, NULL, &s));
		kipc_shm_close(s);
	}
	EXPECT_EQ(-EDQUOT, kipc_shm_create("more", 1, NULL, &s));
	EXPECT_EQ(-ENOENT, kipc_shm_open("more", NULL, &s));
	/* what is taken isn't taken twice */
	EXPECT_EQ(-EEXIST, kipc_shm_create(name, 1, NULL, &s));
	EXPECT_EQ(0, kipc_shm_unlink(name));
	EXPECT_EQ(0, kipc_shm_create(name, 1, NULL, &s));
	return 0;
}

static int one_too_many(void *arg)
{
	struct kipc_shm *s;

	(void)arg;
	EXPECT_EQ(0, kipc_shm_create("last", 1, NULL, &s));
	EXPECT_EQ(-ENOSPC, kipc_shm_create("none", 1, NULL, &s));
	return 0;
}

static int use_up_bytes(void *arg)
{
	struct kipc_shm *s, *t;

	(void)arg;
	ASSERT_EQ(0, kipc_shm_create("half", 600 << 10, NULL, &s));
	EXPECT_EQ(-EDQUOT, kipc_shm_create("more", 600 << 10, NULL, &t));
	ASSERT_EQ(0, kipc_shm_create("less", 100 << 10, NULL, &t));
	EXPECT_EQ(0, kipc_shm_unlink("half"));
	/* without a name it counts for nobody */
	ASSERT_EQ(0, kipc_shm_create("more", 600 << 10, NULL, &t));
	EXPECT_EQ(0, kipc_shm_unlink("more"));
	EXPECT_EQ(0, kipc_shm_unlink("less"));
	EXPECT_EQ(-EDQUOT, kipc_shm_create("huge", 2 << 20, NULL, &t));
	return 0;
}

FIXTURE(limits) {
	struct names_dir dir;
};

FIXTURE_SETUP(limits)
{
	begin(&self->dir);
}

FIXTURE_TEARDOWN(limits)
{
	names_end(&self->dir);
}

TEST_F(limits, objects)
{
	static const struct user carol = { 4003, 4003, 0 };

	start_broker(&self->dir, (const char *[]){ "--user-objects=3", "--max-objects=7", NULL });
	run_as(&alice, use_up_objects, NULL);
	run_as(&bob, use_up_objects, NULL);
	/* 3 and 3 of 7 */
	run_as(&carol, one_too_many, NULL);
}

TEST_F(limits, bytes)
{
	start_broker(&self->dir, (const char *[]){ "--user-bytes=1M", NULL });
	run_as(&alice, use_up_bytes, NULL);
	run_as(&bob, use_up_bytes, NULL);
}

static int hold_connections(void *arg)
{
	const struct names_dir *d = arg;
	struct kipc_shm *s;
	int fd[8];

	for (int i = 0; i < 8; i++) {
		fd[i] = names_connect(d);
		ASSERT_GE(fd[i], 0);
	}
	ASSERT_EQ(0, setenv("KIPC_RUNTIME_DIR", d->path, 1));
	EXPECT_EQ(-EBUSY, raw_reply(fd[7], &(struct kipc_broker_list){ 0 }));
	/* another's are not counted: this one goes on when ours are given up */
	close(fd[0]);
	EXPECT_EQ(-ENOENT, kipc_shm_open("thing", NULL, &s));
	return 0;
}

TEST_F(limits, clients)
{
	struct kipc_shm *s;
	int fd[4];

	start_broker(&self->dir, (const char *[]){ "--user-clients=7", NULL });
	for (int i = 0; i < 4; i++)
		fd[i] = names_connect(&self->dir);
	run_as(&alice, hold_connections, &self->dir);
	EXPECT_EQ(-ENOENT, kipc_shm_open("thing", NULL, &s));
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, close(fd[i]));
}

/* ---- a user namespace ---- */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ((ssize_t)strlen(text), write(fd, text, strlen(text)));
	close(fd);
}

/* We become root of a namespace in which nobody but we has a number. */
static void enter_namespace(void)
{
	char map[32], gid_map[32];

	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
	if (unshare(CLONE_NEWUSER))
		ksft_child_exit(77);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
	write_file("/proc/self/gid_map", gid_map);
	ASSERT_EQ(0, geteuid());
}

static int in_namespace(void *arg)
{
	struct kipc_shm *s;

	enter_namespace();
	setenv("KIPC_RUNTIME_DIR", arg, 1);
	/* who is root in here is bob out there, and so to the broker */
	EXPECT_EQ(-EACCES, kipc_shm_open("thing", NULL, &s));
	EXPECT_EQ(-EACCES, kipc_shm_unlink("thing"));
	ASSERT_EQ(0, kipc_shm_create("bobs", 4096, NULL, &s));
	kipc_shm_close(s);
	ASSERT_EQ(0, kipc_shm_open("bobs", NULL, &s));
	kipc_shm_close(s);
	return 0;
}

static int unlink_bobs(void *arg)
{
	(void)arg;
	return kipc_shm_unlink("bobs");
}

static bool namespaces_allowed(void)
{
	pid_t pid = fork();

	if (!pid) {
		if (setresuid(BOB, BOB, BOB))
			_exit(1);
		_exit(unshare(CLONE_NEWUSER) ? 1 : 0);
	}
	return !ksft_wait(pid);
}

TEST_F(rights, user_namespace)
{
	mode_t mode = 0600;
	struct names_dir above = self->dir;

	if (!namespaces_allowed())
		SKIP("user namespaces are not allowed here");
	names_kill(&self->dir);
	/* in there root's folder looks like nobody's: it counts where others can't have put it */
	strcat(self->dir.path, "/run");
	ASSERT_EQ(0, mkdir(self->dir.path, 0755));
	setenv("KIPC_RUNTIME_DIR", self->dir.path, 1);
	start_broker(&self->dir, NULL);
	run_as(&alice, create, &mode);
	run_as(&bob, in_namespace, self->dir.path);
	run_as(&bob, unlink_bobs, NULL);
	names_end(&self->dir);
	self->dir = above;
}

/* As /tmp is: where anybody could have put it. */
static int folder_anywhere(void *arg)
{
	struct kipc_shm *s;

	enter_namespace();
	setenv("KIPC_RUNTIME_DIR", arg, 1);
	EXPECT_EQ(-EPERM, kipc_shm_open("thing", NULL, &s));
	return 0;
}

TEST_F(rights, user_namespace_and_a_folder_from_anywhere)
{
	char dir[80];

	if (!namespaces_allowed())
		SKIP("user namespaces are not allowed here");
	snprintf(dir, sizeof(dir), "%s/tmp", self->dir.path);
	ASSERT_EQ(0, mkdir(dir, 0700));
	ASSERT_EQ(0, chmod(dir, 01777));
	strcat(dir, "/run");
	ASSERT_EQ(0, mkdir(dir, 0755));
	run_as(&bob, folder_anywhere, dir);
	EXPECT_EQ(0, rmdir(dir));
	*strrchr(dir, '/') = '\0';
	EXPECT_EQ(0, rmdir(dir));
}

/* A broker of the namespace's own. */
static int all_in_namespace(void *arg)
{
	char dir[80];
	struct kipc_queue *q, *again;

	snprintf(dir, sizeof(dir), "%s/bob", (char *)arg);
	enter_namespace();
	setenv("KIPC_RUNTIME_DIR", dir, 1);
	ASSERT_EQ(0, kipc_queue_create("jobs", NULL, &q));
	ASSERT_EQ(0, kipc_queue_open("jobs", NULL, &again));
	EXPECT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_queue_len(again));
	EXPECT_EQ(0, kipc_queue_unlink("jobs"));
	return 0;
}

/* From outside it, users whose number means nothing in there are nobody, not the same one. */
static int publish_as_nobody(void *arg)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_PUBLISH, KIPC_SEG_SHM, "carols");
	int fds[2];

	raw_segment(KIPC_SEG_SHM, "carols", 0600, fds);
	EXPECT_EQ(-EACCES, raw_ask_once(arg, &req, fds, 2));
	req = raw_request(KIPC_BROKER_OPEN, KIPC_SEG_QUEUE, "jobs");
	EXPECT_EQ(-EACCES, raw_ask_once(arg, &req, NULL, 0));
	return 0;
}

struct inside {
	const char *above;
	uint32_t ready, stop;
};

static int hold_in_namespace(void *arg)
{
	struct inside *in = arg;
	char dir[80];
	struct kipc_queue *q;

	snprintf(dir, sizeof(dir), "%s/bob", in->above);
	enter_namespace();
	setenv("KIPC_RUNTIME_DIR", dir, 1);
	ASSERT_EQ(0, kipc_queue_create("jobs", NULL, &q));
	ASSERT_EQ(0, chmod(dir, 0755));
	__atomic_store_n(&in->ready, 1, __ATOMIC_RELEASE);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&in->stop, __ATOMIC_ACQUIRE), 20000));
	return kipc_queue_unlink("jobs");
}

TEST_F(rights, broker_in_a_user_namespace)
{
	static const struct user carol = { 4003, 4003, 0 };
	struct inside *in = ksft_shared(sizeof(*in));
	struct names_dir inner = self->dir;
	struct job job = { bob, hold_in_namespace, in };
	pid_t pid;

	if (!namespaces_allowed())
		SKIP("user namespaces are not allowed here");
	strcat(inner.path, "/bob");
	ASSERT_EQ(0, mkdir(inner.path, 0700));
	ASSERT_EQ(0, chown(inner.path, BOB, BOB));
	run_as(&bob, all_in_namespace, self->dir.path);
	in->above = self->dir.path;
	pid = ksft_fork(as_user, &job);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&in->ready, __ATOMIC_ACQUIRE), 10000));
	run_as(&carol, publish_as_nobody, &inner);
	__atomic_store_n(&in->stop, 1, __ATOMIC_RELEASE);
	ksft_join(pid);
	names_end(&inner);
}

TEST_HARNESS_MAIN
