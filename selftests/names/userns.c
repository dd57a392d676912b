// SPDX-License-Identifier: MIT
/* User namespaces: who comes out of one, a broker in one, and whose folder counts in there. */
#include "users.h"

FIXTURE(userns) {
	struct names_dir dir;
};

FIXTURE_SETUP(userns)
{
	begin(&self->dir);
	start_broker(&self->dir, NULL);
}

FIXTURE_TEARDOWN(userns)
{
	names_end(&self->dir);
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

TEST_F(userns, root_in_there)
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
	run_as(&alice, create_thing, &mode);
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

TEST_F(userns, a_folder_from_anywhere)
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

TEST_F(userns, broker_in_there)
{
	struct inside *in = ksft_shared(sizeof(*in));
	struct names_dir inner = self->dir;
	struct job job = { bob, hold_in_namespace, in };
	pid_t pid;

	if (!namespaces_allowed())
		SKIP("user namespaces are not allowed here");
	names_move_program(&self->dir);
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
