// SPDX-License-Identifier: MIT
/*
 * KIPC_FDS: what is written there, and what isn't believed.  All in one process: it imports what it
 * has exported.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kinds.h"
#include "names/env.h"
#include "sockets.h"

/* ---- what is written ---- */

/* "key=kind:inode:fds", in place of what isn't known before. */
static void expect_entry(const char *value, const char *key, const char *kind, int nfds)
{
	struct kipc_env_entry e;
	struct stat st;
	char text[KIPC_EXPORT_STRING];
	int n;

	ASSERT_EQ(0, __kipc_env_find(value, key, &e));
	ASSERT_EQ(nfds, e.msg.nfds);
	n = snprintf(text, sizeof(text), " %s=%s:%lu:", key, kind, (unsigned long)e.inode);
	for (int i = 0; i < nfds; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%d", i ? "," : "", e.fds[i]);
	EXPECT_EQ(n, e.end - e.begin);
	EXPECT_MEMEQ(text, value + e.begin, (size_t)n);
	EXPECT_EQ(0, fstat(e.fds[0], &st));
	EXPECT_EQ(st.st_ino, e.inode);
	for (int i = 0; i < nfds; i++)
		EXPECT_GE(e.fds[i], 10);
}

TEST(format)
{
	static const struct {
		const char *kind;
		int nfds;
	} want[] = { { "1", 3 }, { "2,1", 6 }, { "3", 1 }, { "4", 1 }, { "5", 1 } };
	struct kipc_object *obj[NKINDS];
	char key[NKINDS][8];
	const char *value;

	for (int i = 0; i < NKINDS; i++) {
		obj[i] = kinds[i].create();
		snprintf(key[i], sizeof(key[i]), "k%d", i);
		ASSERT_EQ(0, kipc_export_env(obj[i], key[i]));
		value = getenv("KIPC_FDS");
		ASSERT_TRUE(value != NULL);
		EXPECT_MEMEQ("1 k0=", value, 5);
		for (int k = 0; k <= i; k++)
			expect_entry(value, key[k], want[k].kind, want[k].nfds);
	}
	/* the other end: no argument is written */
	ASSERT_EQ(0, kipc_export_env(kipc_pipe_object(other_end), "other"));
	expect_entry(getenv("KIPC_FDS"), "other", "2", 6);
	ASSERT_EQ(0, kipc_unexport_env("other"));
	/* taken out from the middle, the front, the end */
	ASSERT_EQ(0, kipc_unexport_env("k2"));
	ASSERT_EQ(0, kipc_unexport_env("k0"));
	ASSERT_EQ(0, kipc_unexport_env("k4"));
	value = getenv("KIPC_FDS");
	EXPECT_MEMEQ("1 k1=", value, 5);
	expect_entry(value, "k1", want[1].kind, want[1].nfds);
	expect_entry(value, "k3", want[3].kind, want[3].nfds);
	ASSERT_EQ(0, kipc_unexport_env("k1"));
	ASSERT_EQ(0, kipc_unexport_env("k3"));
	EXPECT_EQ(NULL, getenv("KIPC_FDS"));
	for (int i = 0; i < NKINDS; i++)
		kipc_object_close(obj[i]);
	kipc_pipe_close(other_end);
}

FIXTURE(env) {
	struct kipc_object *obj;
	int fds_before;
};

FIXTURE_VARIANT(env) {
	struct kind k;
};

FIXTURE_VARIANT_ADD(env, queue) { KIND_queue };
FIXTURE_VARIANT_ADD(env, pipe) { KIND_pipe };
FIXTURE_VARIANT_ADD(env, shm) { KIND_shm };
FIXTURE_VARIANT_ADD(env, array) { KIND_array };
FIXTURE_VARIANT_ADD(env, manager) { KIND_manager };

FIXTURE_SETUP(env)
{
	self->fds_before = count_fds();
	self->obj = variant->k.create();
	EXPECT_EQ(0, variant->k.mark(self->obj));
}

FIXTURE_TEARDOWN(env)
{
	drop(self->obj);
	EXPECT_EQ(self->fds_before, count_fds());
	EXPECT_EQ(NULL, getenv("KIPC_FDS"));
}

TEST_F(env, once)
{
	struct kipc_object *got = NULL, *again = NULL;

	ASSERT_EQ(0, kipc_export_env(self->obj, "a"));
	EXPECT_EQ(-EEXIST, kipc_export_env(self->obj, "a"));
	EXPECT_EQ(-ENOENT, kipc_import_env("b", &got));
	EXPECT_EQ(-ENOENT, kipc_unexport_env("b"));
	ASSERT_EQ(0, kipc_import_env("a", &got));
	EXPECT_EQ(variant->k.kind, kipc_object_kind(got));
	EXPECT_EQ(0, variant->k.find(got));
	EXPECT_EQ(-ENOENT, kipc_import_env("a", &again));
	/* it is the handle's now */
	EXPECT_EQ(-ENOENT, kipc_unexport_env("a"));
	kipc_object_close(got);
}

/* An old value comes back, as of a program that restores its environment: imports are safe. */
TEST_F(env, old_value)
{
	struct kipc_object *got = NULL, *again = NULL;
	char *value;

	ASSERT_EQ(0, kipc_export_env(self->obj, "a"));
	value = strdup(getenv("KIPC_FDS"));
	ASSERT_EQ(0, kipc_import_env("a", &got));
	setenv("KIPC_FDS", value, 1);
	EXPECT_EQ(-EBADF, kipc_import_env("a", &again));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
	EXPECT_EQ(-EBADF, kipc_import_env("a", &again));
	/* others that have the numbers are no better */
	ASSERT_EQ(0, kipc_export_env(self->obj, "b"));
	EXPECT_EQ(0, kipc_import_env("b", &got));
	EXPECT_EQ(-EBADF, kipc_import_env("a", &again));
	EXPECT_TRUE(again == NULL);
	kipc_object_close(got);
	unsetenv("KIPC_FDS");
	free(value);
}

/* Somebody else has emptied the environment: what was exported is still taken back. */
TEST_F(env, emptied)
{
	ASSERT_EQ(0, kipc_export_env(self->obj, "a"));
	unsetenv("KIPC_FDS");
	EXPECT_EQ(-EEXIST, kipc_export_env(self->obj, "a"));
	ASSERT_EQ(0, kipc_export_env(self->obj, "b"));
	EXPECT_EQ(0, kipc_unexport_env("a"));
	EXPECT_EQ(0, kipc_unexport_env("b"));
	/* and spoilt */
	ASSERT_EQ(0, kipc_export_env(self->obj, "a"));
	setenv("KIPC_FDS", "1 a=", 1);
	EXPECT_EQ(0, kipc_unexport_env("a"));
	EXPECT_STREQ("1 a=", getenv("KIPC_FDS"));
	EXPECT_EQ(-EPROTO, kipc_export_env(self->obj, "a"));
	setenv("KIPC_FDS", "2 a=", 1);
	EXPECT_EQ(-EPROTONOSUPPORT, kipc_export_env(self->obj, "a"));
	unsetenv("KIPC_FDS");
}

/* The table of descriptors is full after some of them: nothing is left behind. */
TEST_F(env, too_few_descriptors_left)
{
	struct kipc_object *got = NULL;
	struct rlimit old, lim;
	struct kipc_env_entry e;
	int n, r, next;
	char *value;

	ASSERT_EQ(0, kipc_export_env(self->obj, "a"));
	value = strdup(getenv("KIPC_FDS"));
	ASSERT_EQ(0, __kipc_env_find(value, "a", &e));
	ASSERT_EQ(0, kipc_unexport_env("a"));
	n = (int)e.msg.nfds;
	next = e.fds[0];
	getrlimit(RLIMIT_NOFILE, &old);
	lim = old;
	for (int spare = -next; spare < n; spare++) {
		lim.rlim_cur = (rlim_t)(next + spare);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
		r = kipc_export_env(self->obj, "a");
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		EXPECT_EQ(-EMFILE, r);
		EXPECT_EQ(NULL, getenv("KIPC_FDS"));
	}
	/* attaching needs one, too; then it may be tried again */
	ASSERT_EQ(0, kipc_export_env(self->obj, "a"));
	EXPECT_STREQ(value, getenv("KIPC_FDS"));
	lim.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
	r = kipc_import_env("a", &got);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(-EMFILE, r);
	EXPECT_STREQ(value, getenv("KIPC_FDS"));
	EXPECT_EQ(0, kipc_import_env("a", &got));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
	free(value);
}

TEST_F(env, string)
{
	char env[2 * KIPC_EXPORT_STRING] = "", before[sizeof(env)];
	int fds[3][KIPC_EXPORT_FDS], n[2], open_before = count_fds();
	struct kipc_object *got = NULL;

	n[0] = kipc_export_string(self->obj, "a", env, sizeof(env), fds[0], KIPC_EXPORT_FDS);
	ASSERT_GT(n[0], 0);
	EXPECT_MEMEQ("KIPC_FDS=1 a=", env, 13);
	n[1] = kipc_export_string(self->obj, "b", env, sizeof(env), fds[1], KIPC_EXPORT_FDS);
	EXPECT_EQ(n[0], n[1]);
	strcpy(before, env);
	EXPECT_EQ(-EEXIST, kipc_export_string(self->obj, "a", env, sizeof(env), fds[2],
					      KIPC_EXPORT_FDS));
	for (int i = 0; i < n[0]; i++)
		EXPECT_EQ(-ENOSPC,
			  kipc_export_string(self->obj, "c", env, sizeof(env), fds[2], (size_t)i));
	for (size_t size = 0; size < strlen(env) + 8; size++)
		EXPECT_EQ(-ENOSPC, kipc_export_string(self->obj, "c", env, size, fds[2],
						      KIPC_EXPORT_FDS));
	EXPECT_STREQ(before, env);
	EXPECT_EQ(open_before + n[0] + n[1], count_fds());
	EXPECT_EQ(NULL, getenv("KIPC_FDS"));
	/* close-on-exec until somebody says otherwise, so not inherited */
	setenv("KIPC_FDS", strchr(env, '=') + 1, 1);
	for (int i = 0; i < n[0]; i++) {
		EXPECT_EQ(FD_CLOEXEC, fcntl(fds[0][i], F_GETFD));
		EXPECT_EQ(-EBADF, kipc_import_env("a", &got));
		fcntl(fds[0][i], F_SETFD, 0);
	}
	EXPECT_EQ(-EBADF, kipc_import_env("b", &got));
	EXPECT_EQ(0, kipc_import_env("a", &got));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
	for (int i = 0; i < n[1]; i++)
		close(fds[1][i]);
	unsetenv("KIPC_FDS");
}

/* Every size up to the one that is enough. */
TEST_F(env, string_sizes)
{
	char env[KIPC_EXPORT_STRING] = "", small[KIPC_EXPORT_STRING];
	int fds[KIPC_EXPORT_FDS], n;
	size_t len;

	n = kipc_export_string(self->obj, "a", env, sizeof(env), fds, KIPC_EXPORT_FDS);
	ASSERT_GT(n, 0);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	len = strlen(env);
	for (size_t size = 0; size <= len; size++) {
		memset(small, 'x', sizeof(small));
		small[0] = '\0';
		EXPECT_EQ(-ENOSPC, kipc_export_string(self->obj, "a", small, size, fds,
						      KIPC_EXPORT_FDS));
		EXPECT_EQ('\0', small[0]);
		for (size_t i = size; i < sizeof(small); i++)
			if (i && small[i] != 'x')
				EXPECT_EQ('x', small[i]);
	}
	EXPECT_EQ(n, kipc_export_string(self->obj, "a", small, len + 1, fds, KIPC_EXPORT_FDS));
	EXPECT_STREQ(env, small);
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

/* ---- arguments ---- */

TEST(keys)
{
	static const char *const bad[] = { "", " ", "a b", "a=b", "a:b", "a/b", "a\n", "\xc3\xa4" };
	char longest[64], longer[65], env[KIPC_EXPORT_STRING] = "";
	struct kipc_object *obj = create_shm(), *got = NULL;
	int fds[KIPC_EXPORT_FDS];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EXPECT_EQ(-EINVAL, kipc_export_env(obj, bad[i]));
		EXPECT_EQ(-EINVAL, kipc_unexport_env(bad[i]));
		EXPECT_EQ(-EINVAL, kipc_import_env(bad[i], &got));
		EXPECT_EQ(-EINVAL, kipc_export_string(obj, bad[i], env, sizeof(env), fds, 8));
	}
	memset(longest, 'k', sizeof(longest));
	longest[63] = '\0';
	memset(longer, 'k', sizeof(longer));
	longer[64] = '\0';
	EXPECT_EQ(-EINVAL, kipc_export_env(obj, longer));
	EXPECT_EQ(0, kipc_export_env(obj, longest));
	/* the beginning of a key is not the key */
	EXPECT_EQ(-ENOENT, kipc_import_env(longest + 1, &got));
	EXPECT_EQ(0, kipc_import_env(longest, &got));
	kipc_object_close(got);
	EXPECT_EQ(0, kipc_export_env(obj, "A.b_c-9"));
	EXPECT_EQ(0, kipc_unexport_env("A.b_c-9"));

	EXPECT_EQ(-EINVAL, kipc_export_env(NULL, "a"));
	EXPECT_EQ(-EINVAL, kipc_export_env(obj, NULL));
	EXPECT_EQ(-EINVAL, kipc_unexport_env(NULL));
	EXPECT_EQ(-EINVAL, kipc_import_env(NULL, &got));
	EXPECT_EQ(-EINVAL, kipc_import_env("a", NULL));
	EXPECT_EQ(-EINVAL, kipc_export_string(NULL, "a", env, sizeof(env), fds, 8));
	EXPECT_EQ(-EINVAL, kipc_export_string(obj, NULL, env, sizeof(env), fds, 8));
	EXPECT_EQ(-EINVAL, kipc_export_string(obj, "a", NULL, sizeof(env), fds, 8));
	EXPECT_EQ(-EINVAL, kipc_export_string(obj, "a", env, sizeof(env), NULL, 8));
	strcpy(env, "PATH=/bin");
	EXPECT_EQ(-EPROTO, kipc_export_string(obj, "a", env, sizeof(env), fds, 8));
	strcpy(env, "KIPC_FDS=1 a");
	EXPECT_EQ(-EPROTO, kipc_export_string(obj, "a", env, sizeof(env), fds, 8));
	EXPECT_STREQ("KIPC_FDS=1 a", env);
	kipc_object_close(obj);
}

/* As long as an entry can get, it has room in what is promised; and is read as it was written. */
TEST(longest_entry)
{
	struct kipc_env_entry e = { .msg = { .kind = UINT16_MAX, .nfds = 8 }, .inode = UINT64_MAX };
	char value[KIPC_EXPORT_STRING - 9] = "", key[64];
	struct kipc_env_entry back;

	memset(key, 'k', sizeof(key));
	key[63] = '\0';
	for (int i = 0; i < KIPC_HANDOVER_ARGS; i++)
		e.msg.args[i] = UINT64_MAX - (uint64_t)i;
	for (int i = 0; i < 8; i++)
		e.fds[i] = INT32_MAX - i;
	ASSERT_EQ(0, __kipc_env_add(value, sizeof(value), key, &e));
	ASSERT_EQ(0, __kipc_env_find(value, key, &back));
	EXPECT_EQ(UINT16_MAX, back.msg.kind);
	EXPECT_EQ(UINT64_MAX, back.inode);
	EXPECT_EQ(8, back.msg.nfds);
	EXPECT_MEMEQ(e.msg.args, back.msg.args, sizeof(e.msg.args));
	EXPECT_MEMEQ(e.fds, back.fds, sizeof(e.fds));
}

/* ---- what isn't believed ---- */

/*
 * %K stands for the good entry without its key ("1:4711:10,11,12"), %i for its inode, %a, %b, %c
 * for its descriptors, %m for a memfd that is no object, %e for an eventfd, %x for a close-on-exec
 * one, %n for a number that isn't open.
 */
static const struct {
	const char *value;
	int want;
} values[] = {
	{ "1 k=%K", 0 },
	{ "1 other=%K k=%K", 0 },
	{ "1 a=65535:1:999 k=%K b=3,1,2,3,4:0:2147483647", 0 },
	/* the version */
	{ "", -EPROTO },
	{ " ", -EPROTO },
	{ "k=%K", -EPROTO },
	{ " k=%K", -EPROTO },
	{ "1k=%K", -EPROTO },
	{ "01 k=%K", -EPROTO },
	{ "+1 k=%K", -EPROTO },
	{ "-1 k=%K", -EPROTO },
	{ "1.0 k=%K", -EPROTO },
	{ "v1 k=%K", -EPROTO },
	{ "0 k=%K", -EPROTONOSUPPORT },
	{ "2 k=%K", -EPROTONOSUPPORT },
	{ "2", -EPROTONOSUPPORT },
	{ "2 anything\t;", -EPROTONOSUPPORT },
	{ "18446744073709551617 k=%K", -EPROTO },
	/* entries */
	{ "1", -ENOENT },
	{ "1 other=%K", -ENOENT },
	{ "1 kk=%K", -ENOENT },
	{ "1 K=%K", -ENOENT },
	{ "1 ", -EPROTO },
	{ "1  k=%K", -EPROTO },
	{ "1 k=%K ", -EPROTO },
	{ "1 k=%K  other=%K", -EPROTO },
	{ "1\tk=%K", -EPROTO },
	{ "1 k=%K\n", -EPROTO },
	{ "1 k=%K,", -EPROTO },
	{ "1 k=%K:", -EPROTO },
	{ "1 k=%K;other=%K", -EPROTO },
	{ "1 k=%K k=%K", -EPROTO },
	{ "1 k=%K other", -EPROTO },
	{ "1 k=%K other=", -EPROTO },
	{ "1 k=%K other=1", -EPROTO },
	{ "1 k=%K other=1:2", -EPROTO },
	{ "1 k=%K other=1:2:", -EPROTO },
	{ "1 k=%K =%K", -EPROTO },
	{ "1 k=%K o/r=%K", -EPROTO },
	{ "1 k=%K kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk=%K", -EPROTO },
	{ "1 k", -EPROTO },
	{ "1 k=", -EPROTO },
	{ "1 k:%K", -EPROTO },
	{ "1 k= %K", -EPROTO },
	/* the kind and its arguments */
	{ "1 k=:%i:%a,%b,%c", -EPROTO },
	{ "1 k=queue:%i:%a,%b,%c", -EPROTO },
	{ "1 k=0:%i:%a,%b,%c", -EPROTO },
	{ "1 k=2:%i:%a,%b,%c", -EPROTO },
	{ "1 k=3:%i:%a", -EPROTO },
	{ "1 k=6:%i:%a,%b,%c", -EPROTO },
	{ "1 k=65537:%i:%a,%b,%c", -EPROTO },
	{ "1 k=01:%i:%a,%b,%c", -EPROTO },
	{ "1 k=1,:%i:%a,%b,%c", -EPROTO },
	{ "1 k=1,1:%i:%a,%b,%c", -EPROTO },
	{ "1 k=1,0,0,0,1:%i:%a,%b,%c", -EPROTO },
	{ "1 k=1,0,0,0,0,0:%i:%a,%b,%c", -EPROTO },
	{ "1 k=1,18446744073709551616:%i:%a,%b,%c", -EPROTO },
	{ "1 k=1,0:%i:%a,%b,%c", 0 },
	/* the inode */
	{ "1 k=1::%a,%b,%c", -EPROTO },
	{ "1 k=1:%a,%b,%c", -EPROTO },
	{ "1 k=1:0%i:%a,%b,%c", -EPROTO },
	{ "1 k=1:0x10:%a,%b,%c", -EPROTO },
	{ "1 k=1:0:%a,%b,%c", -EBADF },
	{ "1 k=1:1%i:%a,%b,%c", -EBADF },
	{ "1 k=1:18446744073709551615:%a,%b,%c", -EBADF },
	{ "1 k=1:18446744073709551616:%a,%b,%c", -EPROTO },
	/* the descriptors */
	{ "1 k=1:%i:", -EPROTO },
	{ "1 k=1:%i:%a", -EPROTO },
	{ "1 k=1:%i:%a,%b", -EPROTO },
	{ "1 k=1:%i:%a,%b,%c,%e", -EPROTO },
	{ "1 k=1:%i:%a,%b,%c,%c,%c,%c,%c,%c,%c", -EPROTO },
	{ "1 k=1:%i:%a,%b,", -EPROTO },
	{ "1 k=1:%i:%a,,%c", -EPROTO },
	{ "1 k=1:%i:%a, %b,%c", -EPROTO },
	{ "1 k=1:%i:0%a,%b,%c", -EPROTO },
	{ "1 k=1:%i:-1,%b,%c", -EPROTO },
	{ "1 k=1:%i:%a,%b,-1", -EPROTO },
	{ "1 k=1:%i:%a,%b,0", -EPROTO },
	{ "1 k=1:%i:%a,%b,1", -EPROTO },
	{ "1 k=1:%i:%a,%b,2", -EPROTO },
	{ "1 k=1:%i:%a,%b,2147483648", -EPROTO },
	{ "1 k=1:%i:%a,%b,4294967299", -EPROTO },
	{ "1 k=1:%i:%a,%b,18446744073709551619", -EPROTO },
	{ "1 k=1:%i:%a,%b,2147483647", -EBADF },
	{ "1 k=1:%i:%n,%b,%c", -EBADF },
	{ "1 k=1:%i:%a,%b,%n", -EBADF },
	{ "1 k=1:%i:%a,%b,%x", -EBADF },
	{ "1 k=1:%i:%m,%b,%c", -EBADF },
	{ "1 k=1:%i:%b,%a,%c", -EBADF },
	{ "1 k=1:%i:%a,%b,%b", -EPROTO },
	{ "1 k=1:%i:%a,%a,%b", -EPROTO },
	{ "1 k=1:%i:%a,%b,%m", -EPROTO },
	{ "1 k=1:%i:%a,%b,%a", -EPROTO },
	{ "1 k=1:%i:%a,%c,%b", 0 },	/* two eventfds: which is which can't be known */
};

struct stand_ins {
	struct kipc_env_entry e;
	const char *entry;
	int memfd, eventfd, cloexec;
};

static void fill_in(char *to, const char *from, const struct stand_ins *s)
{
	for (; *from; from++) {
		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		switch (*++from) {
		case 'K':
			to = stpcpy(to, s->entry);
			break;
		case 'i':
			to += sprintf(to, "%lu", (unsigned long)s->e.inode);
			break;
		case 'a' ... 'c':
			to += sprintf(to, "%d", s->e.fds[*from - 'a']);
			break;
		case 'm':
			to += sprintf(to, "%d", s->memfd);
			break;
		case 'e':
			to += sprintf(to, "%d", s->eventfd);
			break;
		case 'x':
			to += sprintf(to, "%d", s->cloexec);
			break;
		default:
			to += sprintf(to, "999");
			break;
		}
	}
	*to = '\0';
}

/* All flags of all descriptors, for a comparison. */
static void read_flags(int flags[64])
{
	for (int fd = 0; fd < 64; fd++)
		flags[fd] = fcntl(fd, F_GETFD);
}

TEST(hostile_values)
{
	struct kipc_object *obj = create_queue();
	struct stand_ins s;
	char *good;

	s.memfd = memfd_create("x", MFD_ALLOW_SEALING);
	s.eventfd = eventfd(0, EFD_NONBLOCK);
	s.cloexec = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	/* standard input could be taken for one of them, but for its number */
	ASSERT_EQ(0, dup2(s.eventfd, 0));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		int before[64], after[64];
		struct kipc_object *got = NULL;
		char value[1024];

		unsetenv("KIPC_FDS");
		ASSERT_EQ(0, kipc_export_env(obj, "k"));
		good = strdup(getenv("KIPC_FDS"));
		ASSERT_EQ(0, __kipc_env_find(good, "k", &s.e));
		s.entry = strchr(good, '=') + 1;
		fill_in(value, values[i].value, &s);
		setenv("KIPC_FDS", value, 1);
		read_flags(before);
		if (!EXPECT_EQ(values[i].want, kipc_import_env("k", &got)))
			ksft_log("%s, which was %s", values[i].value, value);
		if (values[i].want == 0) {
			kipc_object_close(got);
			free(good);
			continue;
		}
		/* and it changed nothing */
		read_flags(after);
		if (!EXPECT_MEMEQ(before, after, sizeof(before)) || !EXPECT_TRUE(got == NULL) ||
		    !EXPECT_STREQ(value, getenv("KIPC_FDS")))
			ksft_log("%s", values[i].value);
		/* the good one is as good as before */
		setenv("KIPC_FDS", good, 1);
		ASSERT_EQ(0, kipc_import_env("k", &got));
		EXPECT_EQ(-ENOENT, kipc_unexport_env("k"));
		kipc_object_close(got);
		free(good);
	}
	unsetenv("KIPC_FDS");
	kipc_object_close(obj);
	close(s.memfd);
	close(s.eventfd);
	close(s.cloexec);
}

/* Every byte of a good value changed in turn: taken, or refused, and nothing is lost. */
TEST(one_byte_wrong)
{
	static const char bytes[] = "0129 ,:=-aZ~\n\x7f\xff";
	struct kipc_object *obj = create_queue(), *got;
	int fds = count_fds();
	size_t len = 1;
	char *good;

	for (size_t at = 0; at < len; at++)
		for (const char *b = bytes; *b; b++) {
			struct kipc_env_entry e;
			char old;
			int r;

			ASSERT_EQ(0, kipc_export_env(obj, "k"));
			good = strdup(getenv("KIPC_FDS"));
			len = strlen(good);
			ASSERT_EQ(0, __kipc_env_find(good, "k", &e));
			old = good[at];
			good[at] = *b;
			setenv("KIPC_FDS", good, 1);
			got = NULL;
			r = kipc_import_env("k", &got);
			EXPECT_LE(r, 0);
			kipc_object_close(got);
			if (r) {
				EXPECT_EQ(0, kipc_unexport_env("k"));
			} else if (*b != old) {
				/* nothing else that it could mean is there */
				ksft_log("%s", good);
				EXPECT_TRUE(false);
			}
			unsetenv("KIPC_FDS");
			free(good);
		}
	EXPECT_EQ(fds, count_fds());
	kipc_object_close(obj);
}

TEST_HARNESS_MAIN
