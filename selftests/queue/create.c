// SPDX-License-Identifier: MIT
/* Making a queue: each option, what is refused, what an error leaves behind. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_test.h"

TEST(defaults)
{
	struct kipc_queue_stat st;
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, NULL, &q));
	EXPECT_EQ(1024, kipc_queue_capacity(q));
	st = stat_of(q);
	EXPECT_EQ(sizeof(st), st.sz);
	EXPECT_EQ(1024, st.capacity);
	EXPECT_EQ(65536, st.msg_size);
	EXPECT_EQ(1, st.peers);
	EXPECT_EQ(0, st.len + st.put + st.taken + st.dropped + st.skipped + st.redelivered);
	EXPECT_EQ(0, st.repairs + st.readers_waiting + st.writers_waiting + st.shutdown);
	EXPECT_GT(st.memory, 1024 * 65536);
	kipc_queue_close(q);
}

static int create(struct kipc_queue_opts opts)
{
	struct kipc_queue *q = NULL;
	int r = kipc_queue_create(NULL, &opts, &q);

	EXPECT_EQ(r == 0, q != NULL);
	kipc_queue_close(q);
	return r;
}

#define WITH(...)                                                                                  \
	((struct kipc_queue_opts){ .sz = sizeof(struct kipc_queue_opts), .capacity = 1,            \
				   .msg_size = 8, __VA_ARGS__ })

TEST(options)
{
	EXPECT_EQ(0, create(WITH()));
	EXPECT_EQ(0, create(WITH(.overflow = KIPC_OVERFLOW_DROP_OLDEST)));
	EXPECT_EQ(0, create(WITH(.flags = KIPC_QUEUE_POPULATE)));
	EXPECT_EQ(0, create(WITH(.max_peers = 1)));
	EXPECT_EQ(0, create(WITH(.max_peers = 1023)));
	EXPECT_EQ(0, create(WITH(.mode = 0666)));
	EXPECT_EQ(0, create(WITH(.huge = KIPC_HUGE_THP)));
	EXPECT_EQ(0, create(WITH(.huge = KIPC_HUGE_TRY)));
}

TEST(refused_options)
{
	struct kipc_queue_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.capacity = KIPC_QUEUE_CAPACITY_MAX + 1;
	EXPECT_EQ(-EINVAL, create(opts));	/* sz is 0, too */
	opts.sz = sizeof(opts);
	EXPECT_EQ(-EINVAL, create(opts));
	opts.capacity = UINT32_MAX;
	EXPECT_EQ(-EINVAL, create(opts));
	opts = WITH();
	opts.msg_size = KIPC_QUEUE_MSG_MAX + 1;
	EXPECT_EQ(-EINVAL, create(opts));
	opts.msg_size = UINT64_MAX;
	EXPECT_EQ(-EINVAL, create(opts));
	EXPECT_EQ(-EINVAL, create(WITH(.overflow = 2)));
	for (uint32_t bit = 0; bit < 32; bit++)
		if (!(0666u >> bit & 1))
			EXPECT_EQ(-EINVAL, create(WITH(.mode = 1u << bit)));
	EXPECT_EQ(-EINVAL, create(WITH(.max_peers = 1024)));
	EXPECT_EQ(-EINVAL, create(WITH(.huge = KIPC_HUGE_TRY + 1)));
	for (int bit = 1; bit < 32; bit++)
		EXPECT_EQ(-EINVAL, create(WITH(.flags = 1u << bit)));
}

TEST(option_sizes)
{
	struct {
		struct kipc_queue_opts opts;
		uint64_t newer[2];
	} o = { .opts = { .capacity = 3, .msg_size = 8 } };
	struct kipc_queue *q = NULL;

	for (size_t sz = 0; sz < sizeof(o.opts); sz += 4) {
		o.opts.sz = sz;
		EXPECT_EQ(-EINVAL, kipc_queue_create(NULL, &o.opts, &q));
	}
	o.opts.sz = sizeof(o);
	ASSERT_EQ(0, kipc_queue_create(NULL, &o.opts, &q));
	EXPECT_EQ(3, kipc_queue_capacity(q));
	kipc_queue_close(q);
	o.newer[1] = 1ULL << 63;
	EXPECT_EQ(-E2BIG, kipc_queue_create(NULL, &o.opts, &q));
	o.opts.sz = sizeof(o.opts);
	ASSERT_EQ(0, kipc_queue_create(NULL, &o.opts, &q));
	kipc_queue_close(q);
}

TEST(names)
{
	static const char *const bad[] = {
		"", "a/b", "a b", "\xc3\xa4",
		"0123456789012345678901234567890123456789012345678901234567890123"
	};
	struct kipc_queue *q = NULL;

	EXPECT_EQ(-EINVAL, kipc_queue_open(NULL, NULL, &q));
	EXPECT_EQ(-EINVAL, kipc_queue_open("jobs", NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_unlink(NULL));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, kipc_queue_create(bad[i], NULL, &q));
		EXPECT_EQ(-EINVAL, kipc_queue_open(bad[i], NULL, &q));
		EXPECT_EQ(-EINVAL, kipc_queue_unlink(bad[i]));
	}
	EXPECT_EQ(NULL, q);
}

TEST(null_arguments)
{
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	struct iovec iov = { .iov_base = NULL, .iov_len = 1 };
	struct kipc_queue *q = make_queue(2, 8);
	struct kipc_msg msg = { 0 };
	char c = 0;

	EXPECT_EQ(-EINVAL, kipc_queue_create(NULL, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_put(NULL, &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_put(q, NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_get(NULL, &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_get(q, NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_put_many(q, &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_get_many(q, &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_put_many(q, NULL, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_get_many(q, NULL, 1, KIPC_NOWAIT));
	iov.iov_base = &c;
	EXPECT_EQ(-EINVAL, kipc_queue_put_many(NULL, &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_get_many(NULL, &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_put_many(q, &iov, 0, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_get_many(q, &iov, -1, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_reserve(NULL, 1, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_reserve(q, 1, NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_take(NULL, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_take(q, NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_commit(NULL, &msg));
	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(NULL, &msg));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(q, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_done(NULL, &msg));
	EXPECT_EQ(-EINVAL, kipc_queue_done(q, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_requeue(NULL, &msg));
	EXPECT_EQ(-EINVAL, kipc_queue_requeue(q, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_join(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_queue_shutdown(NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_len(NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_empty(NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_full(NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_capacity(NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_stat(NULL, &st));
	EXPECT_EQ(-EINVAL, kipc_queue_stat(q, NULL));
	EXPECT_EQ(-EINVAL, kipc_queue_fd(NULL, KIPC_READABLE));
	EXPECT_EQ(-EINVAL, kipc_queue_fd(q, 0));
	EXPECT_EQ(-EINVAL, kipc_queue_fd(q, KIPC_READABLE | KIPC_WRITABLE));
	EXPECT_EQ(-EINVAL, kipc_queue_fd(q, 4));
	EXPECT_EQ(NULL, kipc_queue_object(NULL));
	EXPECT_NE(NULL, kipc_queue_object(q));
	kipc_queue_close(NULL);
	/* none of it did anything */
	check_works(q);
	kipc_queue_close(q);
}

TEST(stat_sizes)
{
	struct {
		struct kipc_queue_stat st;
		uint64_t newer;
	} s;
	struct kipc_queue *q = make_queue(5, 8);

	memset(&s, 0xee, sizeof(s));
	s.st.sz = sizeof(s);
	ASSERT_EQ(0, kipc_queue_stat(q, &s.st));
	EXPECT_EQ(sizeof(s.st), s.st.sz);
	EXPECT_EQ(5, s.st.capacity);
	EXPECT_EQ(0xeeeeeeeeeeeeeeeeULL, s.newer);

	memset(&s, 0xee, sizeof(s));
	s.st.sz = offsetof(struct kipc_queue_stat, msg_size);
	ASSERT_EQ(0, kipc_queue_stat(q, &s.st));
	EXPECT_EQ(offsetof(struct kipc_queue_stat, msg_size), s.st.sz);
	EXPECT_EQ(5, s.st.capacity);
	EXPECT_EQ(0xeeeeeeeeeeeeeeeeULL, s.st.msg_size);

	s.st.sz = sizeof(s.st.sz) - 1;
	EXPECT_EQ(-EINVAL, kipc_queue_stat(q, &s.st));
	kipc_queue_close(q);
}

TEST(mode)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 1, .msg_size = 8, .mode = 0640);
	struct kipc_queue *q;
	struct stat st;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	ASSERT_EQ(0, fstat(q->obj.seg.fd, &st));
	EXPECT_EQ(0640, st.st_mode & 07777);
	kipc_queue_close(q);
	q = make_queue(1, 8);
	ASSERT_EQ(0, fstat(q->obj.seg.fd, &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	kipc_queue_close(q);
}

/* The memory of large messages is there when it was asked for, and else only when it is used. */
TEST(populate)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 16, .msg_size = 65536);
	uint64_t payload = 16 * 65536;
	struct kipc_queue *q;
	struct stat st;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	ASSERT_EQ(0, fstat(q->obj.seg.fd, &st));
	EXPECT_LT(st.st_blocks * 512, payload);
	kipc_queue_close(q);
	opts.flags = KIPC_QUEUE_POPULATE;
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	ASSERT_EQ(0, fstat(q->obj.seg.fd, &st));
	EXPECT_GE(st.st_blocks * 512, payload);
	kipc_queue_close(q);
}

TEST(huge_pages)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 16, .msg_size = 65536, .huge = KIPC_HUGE_2M);
	struct kipc_queue *q;
	int r;

	for (opts.huge = KIPC_HUGE_NONE; opts.huge <= KIPC_HUGE_TRY; opts.huge++) {
		r = kipc_queue_create(NULL, &opts, &q);
		if (r && (opts.huge == KIPC_HUGE_2M || opts.huge == KIPC_HUGE_1G)) {
			EXPECT_EQ(-ENOMEM, r);
			continue;
		}
		if (!EXPECT_EQ(0, r))
			continue;
		check_works(q);
		kipc_queue_close(q);
	}
}

TEST(too_large)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 1 << 24, .msg_size = 1ULL << 32);
	struct kipc_queue *q = NULL;

	EXPECT_EQ(-EOVERFLOW, kipc_queue_create(NULL, &opts, &q));
	EXPECT_EQ(NULL, q);
}

/* Descriptors run out at each step: an error each time, and nothing is left behind. */
TEST(descriptors_run_out)
{
	struct rlimit limit, old;
	struct kipc_queue *q;
	int before, fds[256], n = 0, r = -1;

	/* what is made once a process is made now */
	kipc_queue_close(make_queue(1, 8));
	before = count_fds();
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = 64;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	while (n < 256 && (fds[n] = dup(0)) >= 0)
		n++;
	ASSERT_GT(n, 8);
	for (int free = 0; free < 8; free++) {
		r = kipc_queue_create(NULL, NULL, &q);
		if (!r)
			break;
		EXPECT_EQ(-EMFILE, r);
		close(fds[--n]);
	}
	EXPECT_EQ(0, r);
	if (!r)
		kipc_queue_close(q);
	while (n)
		close(fds[--n]);
	EXPECT_EQ(before, count_fds());
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
}

TEST(nothing_leaks)
{
	int before;

	kipc_queue_close(make_queue(1, 8));
	before = count_fds();
	for (int i = 0; i < 50; i++) {
		struct kipc_queue *q = make_queue(4, 100000);

		put_u64(q, 1, KIPC_NOWAIT);
		kipc_queue_close(q);
	}
	EXPECT_EQ(before, count_fds());
}

static int create_without_proc(void *arg)
{
	struct kipc_queue *q = NULL;

	(void)arg;
	if (unshare(CLONE_NEWNS) || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", 0, NULL))
		return 77;
	return kipc_queue_create(NULL, NULL, &q) == -ENOENT && !q ? 0 : 1;
}

TEST(no_proc)
{
	int status = ksft_wait(ksft_fork(create_without_proc, NULL));

	ASSERT_TRUE(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		SKIP("may not make a mount namespace");
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
