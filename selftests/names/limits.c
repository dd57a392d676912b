// SPDX-License-Identifier: MIT
/* How much each user may have: objects, bytes, connections. */
#include "users.h"

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

TEST_HARNESS_MAIN
