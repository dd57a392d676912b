/* SPDX-License-Identifier: MIT */
/*
 * Users that are nobody, user namespaces, and a broker of root's in a folder that all may enter, as
 * the instance of the whole system is.
 */
#ifndef SELFTESTS_NAMES_USERS_H
#define SELFTESTS_NAMES_USERS_H

#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>

#include "raw.h"

enum { ALICE = 4001, BOB = 4002, CAROL = 4003, TEAM = 4100 };

struct user {
	uid_t uid;
	gid_t gid;		/* its only group, or */
	gid_t extra;		/* ... another one beside it */
};

static __ksft_unused const struct user alice = { ALICE, ALICE, 0 }, bob = { BOB, BOB, 0 },
				       carol = { CAROL, CAROL, 0 };

static inline void become(const struct user *u)
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

static inline int as_user(void *arg)
{
	struct job *j = arg;

	become(&j->user);
	return j->fn(j->arg);
}

/* Runs it as that user, and fails the test if it doesn't return 0. */
static inline void run_as(const struct user *u, int (*fn)(void *arg), void *arg)
{
	struct job j = { *u, fn, arg };

	ksft_join(ksft_fork(as_user, &j));
}

static inline void begin(struct names_dir *d)
{
	if (geteuid())
		SKIP("only root can be two users");
	names_begin(d);
	ASSERT_EQ(0, chmod(d->path, 0755));
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ((ssize_t)strlen(text), write(fd, text, strlen(text)));
	close(fd);
}

/* We become root of a namespace in which nobody but we has a number. */
static inline void enter_namespace(void)
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

static inline bool namespaces_allowed(void)
{
	pid_t pid = fork();

	if (!pid) {
		if (setresuid(BOB, BOB, BOB))
			_exit(1);
		_exit(unshare(CLONE_NEWUSER) ? 1 : 0);
	}
	return !ksft_wait(pid);
}

/* A broker with these options, started by hand. */
static inline void start_broker(const struct names_dir *d, const char *const *options)
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

/* Shared memory named "thing", with that mode. */
static inline int create_thing(void *arg)
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

#endif
