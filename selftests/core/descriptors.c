// SPDX-License-Identifier: MIT
/*
 * Running out of descriptors at every step, and what each failure leaves: nothing.  And errno, which no
 * function touches.
 */
#include "core/memory.h"

#include "common.h"

/* From here on exactly n more descriptors can be had. */
static void only(int n)
{
	struct rlimit rl;
	int fd[64], i;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &rl));
	for (i = 0; i < n; i++) {
		fd[i] = dup(0);
		ASSERT_GE(fd[i], 0);
	}
	/* the lowest that is free then is the first that is too many */
	fd[i] = dup(0);
	ASSERT_GE(fd[i], 0);
	rl.rlim_cur = (rlim_t)fd[i];
	for (; i >= 0; i--)
		close(fd[i]);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &rl));
}

static void unlimited(void)
{
	struct rlimit rl;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &rl));
	rl.rlim_cur = rl.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &rl));
}

TEST(creating_with_fewer_and_fewer_descriptors)
{
	struct kipc_segment_spec spec = { .body_size = sizeof(struct core_body) };
	int before = core_count_fds(NULL);

	for (int n = 0; n <= 3; n++) {
		struct core c = { 0 };
		int created, published;

		only(n);
		created = __kipc_segment_create(&c.seg, &core_ops, &spec);
		published = created;
		if (!created) {
			core_verify(&c.seg);
			published = __kipc_segment_publish(&c.seg);
		}
		unlimited();
		EXPECT_EQ(n < 1 ? -EMFILE : 0, created);
		EXPECT_EQ(n < 2 ? -EMFILE : 0, published);
		__kipc_segment_close(&c.seg);
		EXPECT_EQ(before, core_count_fds(NULL));
	}
}

TEST(opening_with_fewer_and_fewer_descriptors)
{
	struct core c;
	int before;

	ASSERT_EQ(0, core_create(&c, NULL));
	before = core_count_fds(NULL);
	for (int n = 0; n <= 2; n++) {
		struct core d = { 0 };
		int fd = fcntl(c.seg.fd, F_DUPFD_CLOEXEC, 0), r;

		only(n);
		r = __kipc_segment_open(&d.seg, &core_ops, fd);
		unlimited();
		EXPECT_EQ(n < 1 ? -EMFILE : 0, r);
		EXPECT_EQ(before + (r ? 1 : 2), core_count_fds(NULL));
		__kipc_segment_close(&d.seg);
		if (r)
			close(fd);
		EXPECT_EQ(before, core_count_fds(NULL));
	}
	EXPECT_EQ(2, c.seg.hdr->peer_high);
	core_close(&c);
}

TEST(eventfds_without_descriptors)
{
	int fd;

	only(0);
	fd = __kipc_bell_eventfd();
	unlimited();
	EXPECT_EQ(-EMFILE, fd);
}

TEST(features_without_descriptors)
{
	int before = core_count_fds(NULL);

	only(1);
	/* an answer, whatever it is, and nothing left behind */
	for (int f = 0; f < KIPC_FEATURE_MAX; f++)
		EXPECT_GE(kipc_feature_supported((enum kipc_feature)f), 0);
	unlimited();
	EXPECT_EQ(before, core_count_fds(NULL));
}

/* A failing step after the memfd was made: address space. */
TEST(no_address_space)
{
	struct kipc_segment_spec spec = { .body_size = 4096, .max_body_size = 1ULL << 36 };
	struct rlimit old, low;
	int before = core_count_fds(NULL);
	struct core c = { 0 };

	if (ksft_slow())
		SKIP("needs RLIMIT_AS without a sanitizer's shadow");
	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &old));
	low = old;
	low.rlim_cur = 1ULL << 32;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &low));
	for (int huge = KIPC_HUGE_NONE; huge <= KIPC_HUGE_THP; huge++) {
		spec.huge = (enum kipc_huge)huge;
		EXPECT_EQ(-ENOMEM, __kipc_segment_create(&c.seg, &core_ops, &spec));
		__kipc_segment_close(&c.seg);
		EXPECT_EQ(before, core_count_fds(NULL));
	}
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &old));
	spec.huge = KIPC_HUGE_NONE;
	EXPECT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &spec));
	__kipc_segment_close(&c.seg);
	EXPECT_EQ(before, core_count_fds(NULL));
}

/* As a user who may not lock that much. */
static int lock_too_much(void *arg)
{
	struct kipc_segment_spec spec = { .body_size = 1 << 20, .populate = 1 << 20, .lock = true };
	struct rlimit rl = { 65536, 65536 };
	int before = core_count_fds(NULL), r;
	struct core c = { 0 };

	(void)arg;
	if (setrlimit(RLIMIT_MEMLOCK, &rl) || setgid(65534) || setuid(65534))
		return 1;
	r = __kipc_segment_create(&c.seg, &core_ops, &spec);
	EXPECT_TRUE(r == -ENOMEM || r == -EPERM || r == -EAGAIN);
	__kipc_segment_close(&c.seg);
	EXPECT_EQ(before, core_count_fds(NULL));
	spec.body_size = spec.populate = 16384;
	EXPECT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &spec));
	__kipc_segment_close(&c.seg);
	EXPECT_EQ(before, core_count_fds(NULL));
	return 0;
}

TEST(locked_memory)
{
	if (geteuid())
		SKIP("needs root, to become somebody else");
	if (ksft_slow())
		SKIP("needs mlock(2), which sanitizers make a no-op");
	ksft_join(ksft_fork(lock_too_much, NULL));
}

/* ---- errno ---- */

static bool never(void *arg)
{
	(void)arg;
	return false;
}

#define KEEPS_ERRNO(call)                                                                          \
	do {                                                                                       \
		errno = 4711;                                                                      \
		call;                                                                              \
		EXPECT_EQ(4711, errno);                                                            \
	} while (0)

static void all_calls(void)
{
	struct kipc_segment_spec spec = { .body_size = 4096, .max_body_size = 65536 };
	struct kipc_segment_spec thp = { .body_size = 4 << 20, .populate = 4096,
					 .huge = KIPC_HUGE_TRY };
	struct core c = { 0 }, d = { 0 };
	struct kipc_wait w;
	int fd, sv[2];

	KEEPS_ERRNO(__kipc_segment_create(&c.seg, &core_ops, &spec));
	KEEPS_ERRNO(core_verify(&c.seg));
	KEEPS_ERRNO(c.bells[0].fd = __kipc_bell_eventfd());
	c.bells[1].fd = -1;
	KEEPS_ERRNO(__kipc_segment_publish(&c.seg));
	fd = fcntl(c.seg.fd, F_DUPFD_CLOEXEC, 0);
	KEEPS_ERRNO(EXPECT_EQ(0, __kipc_segment_open(&d.seg, &core_ops, fd)));
	d.bells[0].fd = d.bells[1].fd = -1;
	KEEPS_ERRNO(__kipc_peer_alive(&c.seg, d.seg.slot));
	KEEPS_ERRNO(__kipc_peer_reap(&c.seg, d.seg.slot));
	KEEPS_ERRNO(__kipc_peer_reap(&c.seg, 9));
	KEEPS_ERRNO(__kipc_peer_sweep(&c.seg, 0));
	KEEPS_ERRNO(__kipc_segment_grow(&c.seg, 30000));
	KEEPS_ERRNO(__kipc_segment_grow(&c.seg, UINT64_MAX));
	KEEPS_ERRNO(__kipc_segment_at(&d.seg, 1 << 30, 1));

	KEEPS_ERRNO(__kipc_lock_acquire(&c.seg, &c.body->lock, 0));
	KEEPS_ERRNO(__kipc_lock_acquire(&d.seg, &d.body->lock, 0));
	KEEPS_ERRNO(__kipc_lock_acquire(&d.seg, &d.body->lock, __kipc_deadline(2 * MS)));
	KEEPS_ERRNO(__kipc_lock_release(&d.seg, &d.body->lock));
	KEEPS_ERRNO(__kipc_lock_release(&c.seg, &c.body->lock));
	KEEPS_ERRNO(__kipc_futex_wait(&c.body->lock, 1, MS));
	KEEPS_ERRNO(__kipc_futex_wake(&c.body->lock, 1));

	KEEPS_ERRNO(__kipc_bell_announce(&c.seg, &c.bells[0]));
	KEEPS_ERRNO(__kipc_bell_drain(&c.seg, &c.bells[0], true));
	KEEPS_ERRNO(__kipc_bell_ring(&c.bells[0]));
	KEEPS_ERRNO(__kipc_bell_kick(&c.bells[0]));
	KEEPS_ERRNO(__kipc_bell_drain(&c.seg, &c.bells[0], true));
	KEEPS_ERRNO(__kipc_bell_retract(&c.seg, &c.bells[0]));
	KEEPS_ERRNO(__kipc_bell_check_fd(-1));
	KEEPS_ERRNO(__kipc_bell_check_fd(c.seg.fd));
	KEEPS_ERRNO(__kipc_bell_check_fd(c.bells[0].fd));

	ASSERT_EQ(0, pipe(sv));
	w = (struct kipc_wait){ .seg = &c.seg, .bell = &c.bells[0], .ready = never, .hup_fd = sv[0],
				.hup_token = 1, .deadline = __kipc_deadline(ksft_scale(5) * MS) };
	w.spin = &(struct kipc_spin){ 0 };
	KEEPS_ERRNO(__kipc_wait(&w));
	KEEPS_ERRNO(__kipc_wait(&w));
	KEEPS_ERRNO(__kipc_sleep(c.bells[0].fd, sv[0], 1, __kipc_now_ns() + MS));
	KEEPS_ERRNO(__kipc_wait_fd(sv[0], 1, __kipc_deadline(MS)));
	KEEPS_ERRNO(__kipc_wait_fd(sv[0], 1, 0));
	close(sv[0]);
	close(sv[1]);

	KEEPS_ERRNO(__kipc_segment_close(&d.seg));
	KEEPS_ERRNO(EXPECT_LT(__kipc_segment_open(&d.seg, &core_ops, c.bells[0].fd), 0));
	KEEPS_ERRNO(EXPECT_LT(__kipc_segment_open(&d.seg, &core_ops, -1), 0));
	KEEPS_ERRNO(__kipc_segment_close(&c.seg));
	close(c.bells[0].fd);
	KEEPS_ERRNO(EXPECT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &thp)));
	KEEPS_ERRNO(__kipc_segment_close(&c.seg));
	for (int err = 0; err < 200; err++)
		KEEPS_ERRNO(kipc_strerror(err));
}

static int exit_with_ring(void *arg)
{
	(void)arg;
	all_calls();
	return 0;
}

static int enter_child(void *arg)
{
	struct core *c = arg;

	EXPECT_EQ(4711, errno);	/* as fork() left it */
	KEEPS_ERRNO(EXPECT_EQ(0, __kipc_peer_enter(&c->seg)));
	KEEPS_ERRNO(__kipc_segment_close(&c->seg));
	return 0;
}

FIXTURE(errors) {
	int unused;
};

FIXTURE_VARIANT(errors) {
	const char *no_io_uring;
};

FIXTURE_VARIANT_ADD(errors, uring) { "0" };
FIXTURE_VARIANT_ADD(errors, ppoll) { "1" };

FIXTURE_SETUP(errors)
{
	setenv("KIPC_NO_IO_URING", variant->no_io_uring, 1);
}

FIXTURE_TEARDOWN(errors)
{
}

TEST_F(errors, is_left_alone)
{
	int before = core_count_fds(NULL);
	struct ksft_thread t;

	all_calls();
	ksft_thread_start(&t, exit_with_ring, NULL);
	ksft_thread_join(&t);
	/* our ring stays for the next sleep */
	EXPECT_EQ(before + (variant->no_io_uring[0] == '0' &&
			    kipc_feature_supported(KIPC_FEATURE_IO_URING) == 1),
		  core_count_fds(NULL));
}

TEST_F(errors, is_left_alone_when_descriptors_run_out)
{
	struct kipc_segment_spec spec = { .body_size = 4096 };

	for (int n = 0; n <= 3; n++) {
		struct core c = { 0 };

		only(n);
		KEEPS_ERRNO(__kipc_segment_create(&c.seg, &core_ops, &spec));
		if (c.seg.base) {
			core_verify(&c.seg);
			KEEPS_ERRNO(__kipc_segment_publish(&c.seg));
		}
		KEEPS_ERRNO(__kipc_segment_close(&c.seg));
		unlimited();
	}
}

TEST_F(errors, is_left_alone_by_forks)
{
	struct core c;

	ksft_needs_processes();
	ASSERT_EQ(0, core_create(&c, NULL));
	errno = 4711;
	ksft_join(ksft_fork(enter_child, &c));
	errno = 4711;
	ksft_join(core_clone(enter_child, &c));
	core_close(&c);
}

TEST_HARNESS_MAIN
