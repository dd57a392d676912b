// SPDX-License-Identifier: MIT
/* Who may do what: two users that are nobody, their groups, and root. */
#include "users.h"

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

	run_as(&alice, create_thing, &mode);
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

	run_as(&alice, create_thing, &mode);
	run_as(&bob, publish_anothers, &self->dir);
	EXPECT_EQ(-ENOENT, kipc_shm_unlink("mine"));
}

TEST_HARNESS_MAIN
