// SPDX-License-Identifier: MIT
/* Seals: what the kernel refuses afterwards, who may still do what, and when sealing is refused. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kipc/array.h>
#include <kipc/check.h>
#include <kipc/object.h>
#include <kipc/shm.h>

#include "core/atomic.h"
#include "shm_test.h"

#define SIZE	10000

FIXTURE(sealed) {
	struct kipc_shm *s;
	uint8_t *bytes;
	int socks[2];
};

FIXTURE_SETUP(sealed)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_size = 2 * SIZE);

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, self->socks));
	ASSERT_EQ(0, kipc_shm_create(NULL, SIZE, &o, &self->s));
	self->bytes = kipc_shm_addr(self->s);
	memset(self->bytes, 'a', SIZE);
}

FIXTURE_TEARDOWN(sealed)
{
	kipc_shm_close(self->s);
	close(self->socks[0]);
	close(self->socks[1]);
}

/* As another process would get it. */
static struct kipc_shm *receive(struct __ksft_self_of_sealed *self)
{
	struct kipc_object *obj = NULL;

	ASSERT_EQ(0, kipc_send(self->socks[0], kipc_shm_object(self->s)));
	ASSERT_EQ(0, kipc_recv(self->socks[1], &obj));
	return kipc_object_shm(obj);
}

/* 0 or the errno of mapping it once more, to be written. */
static int map_error(struct kipc_shm *s)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kipc_shm_fd(s), 0);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, 4096);
	return 0;
}

static int clean(struct kipc_shm *s)
{
	KIPC_OPTS(kipc_report, r, .flags = KIPC_CHECK_SETTLE | KIPC_CHECK_IDLE);
	int n = kipc_check(kipc_shm_object(s), &r);

	return n ? n : (int)(r.dead_claims + r.dead_peers + r.in_flight);
}

static int stores(void *arg)
{
	signal(SIGSEGV, SIG_DFL);	/* a sanitizer has a handler of its own */
	*(volatile uint8_t *)arg = 1;
	return 0;
}

/* A store by a child: 0, or the signal that ended it. */
static int store_signal(void *p)
{
	int status = ksft_wait(ksft_fork(stores, p));

	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_F(sealed, arguments)
{
	EXPECT_EQ(-EINVAL, kipc_shm_seal(NULL, KIPC_SEAL_GROW));
	EXPECT_EQ(-EINVAL, kipc_shm_seal(self->s, 0));
	EXPECT_EQ(-EINVAL, kipc_shm_seal(self->s, 1u << 4));
	EXPECT_EQ(-EINVAL, kipc_shm_seal(self->s, KIPC_SEAL_GROW | 1u << 31));
	EXPECT_EQ(KIPC_SEAL_SHRINK, stat_of(self->s).seals);
}

TEST_F(sealed, shrink_is_from_the_beginning)
{
	EXPECT_EQ(KIPC_SEAL_SHRINK, stat_of(self->s).seals);
	EXPECT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_SHRINK));
	EXPECT_EQ(-1, ftruncate(kipc_shm_fd(self->s), 4096));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(sealed, grow)
{
	ASSERT_EQ(0, kipc_shm_resize(self->s, SIZE + 1));
	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_GROW));
	EXPECT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_GROW | KIPC_SEAL_SHRINK));
	EXPECT_EQ(KIPC_SEAL_GROW | KIPC_SEAL_SHRINK, stat_of(self->s).seals);
	/* even by a byte, for which the file is long enough */
	EXPECT_EQ(-EPERM, kipc_shm_resize(self->s, SIZE + 2));
	EXPECT_EQ(-1, ftruncate(kipc_shm_fd(self->s), 1 << 20));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, map_error(self->s));
	self->bytes[0] = 'b';
	EXPECT_EQ(0, clean(self->s));
}

static int writes_on(void *arg)
{
	struct kipc_shm *s = arg;
	int r = kipc_shm_write_begin(s, KIPC_FOREVER);

	if (r)
		return 1;
	memset(kipc_shm_addr(s), 'c', SIZE);
	return kipc_shm_write_end(s) || stat_of(s).readonly ? 1 : 0;
}

TEST_F(sealed, future_write)
{
	struct kipc_shm *r;
	uint64_t seq;

	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_FUTURE_WRITE));
	EXPECT_EQ(EPERM, map_error(self->s));
	EXPECT_EQ(-1, pwrite(kipc_shm_fd(self->s), "x", 1, 9000));

	/* who gets it now reads */
	r = receive(self);
	EXPECT_EQ(1, stat_of(r).readonly);
	EXPECT_EQ(1, stat_of(r).peers);
	EXPECT_EQ(KIPC_SEAL_SHRINK | KIPC_SEAL_FUTURE_WRITE, stat_of(r).seals);
	EXPECT_EQ(-EACCES, kipc_shm_write_begin(r, KIPC_NOWAIT));
	EXPECT_EQ(-EPERM, kipc_shm_write_end(r));
	EXPECT_EQ(-EACCES, kipc_shm_resize(r, SIZE + 1));
	EXPECT_EQ(-EACCES, kipc_shm_seal(r, KIPC_SEAL_GROW));
	EXPECT_EQ(0, kipc_shm_seal(r, KIPC_SEAL_FUTURE_WRITE));
	EXPECT_EQ(EPERM, map_error(r));
	EXPECT_EQ(0, clean(r));

	/* who had it writes on, and the reader sees that */
	EXPECT_EQ(0, stat_of(self->s).readonly);
	ASSERT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_shm_read_begin(r, &seq, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_read_begin(r, &seq, 5 * MS));
	memset(self->bytes, 'b', SIZE);
	ASSERT_EQ(0, kipc_shm_write_end(self->s));
	ASSERT_EQ(0, kipc_shm_read_begin(r, &seq, KIPC_NOWAIT));
	EXPECT_MEMEQ(self->bytes, kipc_shm_addr(r), SIZE);
	EXPECT_FALSE(kipc_shm_read_retry(r, seq));
	ASSERT_EQ(0, kipc_shm_resize(self->s, SIZE + 5000));
	EXPECT_EQ(SIZE + 5000, kipc_shm_size(r));
	EXPECT_EQ(0, ((uint8_t *)kipc_shm_addr(r))[SIZE + 4999]);
	EXPECT_TRUE(kipc_shm_read_retry(r, seq) == false);
	kipc_shm_close(r);
	EXPECT_EQ(0, clean(self->s));
}

/* The children of who had it have it, too. */
TEST_F(sealed, future_write_and_fork)
{
	struct kipc_shm *r;

	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_FUTURE_WRITE));
	r = receive(self);
	ksft_join(ksft_fork(writes_on, self->s));
	EXPECT_EQ('c', ((uint8_t *)kipc_shm_addr(r))[SIZE - 1]);
	EXPECT_EQ(SIGSEGV, store_signal(kipc_shm_addr(r)));
	EXPECT_EQ(0, store_signal(self->bytes));
	kipc_shm_close(r);
}

static int reads_on(void *arg)
{
	struct kipc_shm *s = arg;
	uint64_t seq;

	return kipc_shm_read_begin(s, &seq, KIPC_NOWAIT) || *(uint8_t *)kipc_shm_addr(s) != 'a' ||
			       kipc_shm_read_retry(s, seq) ?
		       1 :
		       0;
}

TEST_F(sealed, write)
{
	int fd = kipc_shm_fd(self->s), unused, again;
	struct kipc_shm *r;
	uint64_t seq;

	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_WRITE | KIPC_SEAL_GROW));
	EXPECT_EQ(KIPC_SEAL_WRITE | KIPC_SEAL_GROW | KIPC_SEAL_SHRINK, stat_of(self->s).seals);
	EXPECT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	EXPECT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_FUTURE_WRITE));

	/* the same place, the same bytes, the same descriptor: to be read */
	EXPECT_EQ(self->bytes, kipc_shm_addr(self->s));
	EXPECT_EQ(fd, kipc_shm_fd(self->s));
	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(1, stat_of(self->s).readonly);
	EXPECT_EQ(0, stat_of(self->s).peers);
	EXPECT_EQ('a', self->bytes[SIZE - 1]);
	EXPECT_EQ(EACCES, map_error(self->s));
	EXPECT_EQ(-EACCES, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_shm_resize(self->s, SIZE + 1));
	EXPECT_EQ(0, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
	EXPECT_FALSE(kipc_shm_read_retry(self->s, seq));
	EXPECT_EQ(0, clean(self->s));

	unused = dup(fd);
	close(unused);
	r = receive(self);
	EXPECT_EQ(1, stat_of(r).readonly);
	EXPECT_EQ(SIZE, kipc_shm_size(r));
	EXPECT_MEMEQ(self->bytes, kipc_shm_addr(r), SIZE);
	kipc_shm_close(r);
	/* nothing was left open */
	again = dup(fd);
	close(again);
	EXPECT_EQ(unused, again);
}

/* What the kernel says to who opens the file anew, for writing. */
TEST_F(sealed, write_for_who_tries)
{
	char path[64];
	int fd;

	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", kipc_shm_fd(self->s));
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pwrite(fd, "x", 1, 9000));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	EXPECT_EQ(EPERM, errno);
	close(fd);
}

TEST_F(sealed, write_and_fork)
{
	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	ksft_join(ksft_fork(reads_on, self->s));
	EXPECT_EQ(SIGSEGV, store_signal(self->bytes));
}

/* As long as somebody else could write it is refused, and all goes on as before. */
TEST_F(sealed, write_is_refused)
{
	struct kipc_shm *r = receive(self);
	uint64_t seq;
	void *p;

	EXPECT_EQ(-EBUSY, kipc_shm_seal(self->s, KIPC_SEAL_WRITE | KIPC_SEAL_GROW));
	kipc_shm_close(r);
	/* a mapping that only the kernel knows of */
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kipc_shm_fd(self->s), 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-EBUSY, kipc_shm_seal(self->s, KIPC_SEAL_WRITE | KIPC_SEAL_GROW));
	munmap(p, 4096);
	/* a write of our own */
	ASSERT_EQ(0, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_EQ(-EBUSY, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	ASSERT_EQ(0, kipc_shm_write_end(self->s));

	EXPECT_EQ(KIPC_SEAL_SHRINK, stat_of(self->s).seals);
	EXPECT_EQ(0, stat_of(self->s).readonly);
	EXPECT_EQ(1, stat_of(self->s).peers);
	self->bytes[0] = 'a';
	ASSERT_EQ(0, kipc_shm_read_begin(self->s, &seq, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_resize(self->s, SIZE + 1));
	EXPECT_EQ(0, clean(self->s));
	EXPECT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
}

struct step {
	struct kipc_shm *s;
	uint32_t *at;
};

static int begins_and_stays(void *arg)
{
	struct step *st = arg;

	if (kipc_shm_write_begin(st->s, KIPC_FOREVER))
		return 1;
	memset(kipc_shm_addr(st->s), 't', SIZE / 2);
	store_release(st->at, 1);
	for (;;)
		pause();
}

TEST_F(sealed, write_over_torn_data)
{
	struct step st = { self->s, ksft_shared(sizeof(uint32_t)) };
	pid_t pid = ksft_fork(begins_and_stays, &st);

	ASSERT_TRUE(ksft_wait_for(load_acquire(st.at) == 1, 5000));
	EXPECT_EQ(-EBUSY, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	ksft_kill(pid);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_write_end(self->s));
	EXPECT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
}

/* A reader can't repair what a dead writer left, but is told as everybody is. */
TEST_F(sealed, a_reader_and_a_dead_writer)
{
	struct step st = { self->s, ksft_shared(sizeof(uint32_t)) };
	struct kipc_shm *r;
	uint64_t seq = 0;
	pid_t pid;

	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_FUTURE_WRITE));
	r = receive(self);
	pid = ksft_fork(begins_and_stays, &st);
	ASSERT_TRUE(ksft_wait_for(load_acquire(st.at) == 1, 5000));
	EXPECT_EQ(-EAGAIN, kipc_shm_read_begin(r, &seq, KIPC_NOWAIT));
	ksft_kill(pid);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(r, &seq, KIPC_NOWAIT));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(r, &seq, KIPC_FOREVER));
	EXPECT_FALSE(kipc_shm_read_retry(r, seq));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_write_begin(self->s, KIPC_NOWAIT));
	EXPECT_TRUE(kipc_shm_read_retry(r, seq));
	EXPECT_EQ(-EAGAIN, kipc_shm_read_begin(r, &seq, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_write_end(self->s));
	EXPECT_EQ(0, kipc_shm_read_begin(r, &seq, KIPC_NOWAIT));
	kipc_shm_close(r);
}

/* After FUTURE_WRITE nobody can be given back what he gave up: the one case in which it shows. */
TEST_F(sealed, write_after_future_write)
{
	struct kipc_shm *r;
	void *p;

	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kipc_shm_fd(self->s), 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_FUTURE_WRITE));
	r = receive(self);	/* a reader is no hindrance */
	EXPECT_EQ(-EBUSY, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	EXPECT_EQ(1, stat_of(self->s).readonly);
	EXPECT_EQ('a', self->bytes[0]);
	munmap(p, 4096);
	EXPECT_EQ(-EACCES, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	kipc_shm_close(r);
}

TEST_F(sealed, readers_do_not_hinder)
{
	struct kipc_shm *r;

	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_FUTURE_WRITE));
	r = receive(self);
	ASSERT_EQ(0, kipc_shm_seal(self->s, KIPC_SEAL_WRITE));
	EXPECT_EQ(KIPC_SEAL_WRITE | KIPC_SEAL_FUTURE_WRITE | KIPC_SEAL_SHRINK, stat_of(r).seals);
	EXPECT_EQ('a', ((uint8_t *)kipc_shm_addr(r))[SIZE - 1]);
	kipc_shm_close(r);
}

/* With transparent huge pages the mapping that takes the place stands as well as the first one. */
TEST(huge_and_sealed)
{
	KIPC_OPTS(kipc_shm_opts, o, .huge = KIPC_HUGE_THP, .flags = KIPC_SHM_POPULATE);
	const size_t size = 6 << 20;
	struct kipc_shm *s;
	uint8_t *bytes;

	ASSERT_EQ(0, kipc_shm_create(NULL, size, &o, &s));
	bytes = kipc_shm_addr(s);
	memset(bytes, 5, size);
	ASSERT_EQ(0, kipc_shm_seal(s, KIPC_SEAL_WRITE));
	EXPECT_EQ(bytes, kipc_shm_addr(s));
	EXPECT_EQ(5, bytes[0]);
	EXPECT_EQ(5, bytes[size - 1]);
	EXPECT_EQ(1, stat_of(s).populated);
	kipc_shm_close(s);
}

TEST(an_array)
{
	static const uint64_t shape[] = { 5, 6 };
	struct kipc_array *a;
	double one = 1, back[30];

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 2, shape, NULL, &a));
	ASSERT_EQ(0, kipc_array_fill(a, &one));
	EXPECT_EQ(-EINVAL, kipc_array_seal(NULL, KIPC_SEAL_WRITE));
	ASSERT_EQ(0, kipc_array_seal(a, KIPC_SEAL_WRITE));
	EXPECT_EQ(-EACCES, kipc_array_fill(a, &one));
	EXPECT_EQ(-EACCES, kipc_array_write(a, back, sizeof(back)));
	EXPECT_EQ(-EACCES, kipc_array_write_begin(a, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_array_read(a, back, sizeof(back)));
	EXPECT_EQ(1, back[29]);
	kipc_array_close(a);
}

TEST_HARNESS_MAIN
