// SPDX-License-Identifier: MIT
/* The reader-writer lock among the living: who keeps out whom, who is let in first, nobody for ever out. */
#include <sys/socket.h>
#include <unistd.h>

#include <kipc/array.h>
#include <kipc/object.h>
#include <kipc/shm.h>

#include "core/atomic.h"
#include "shm_test.h"

/* In the object's own memory. */
struct board {
	uint32_t inside;	/* readers */
	uint32_t stop;
	uint32_t order;		/* the next place */
	uint32_t place[4];	/* who was let in when */
	uint32_t go[4];
	uint64_t count[2];	/* equal, but while a writer is in */
	uint64_t reads, writes;
};

FIXTURE(rw) {
	struct kipc_shm *s;
	struct board *b;
};

FIXTURE_VARIANT(rw) {
	enum ksft_peer_kind peers;
};

FIXTURE_VARIANT_ADD(rw, threads) { .peers = KSFT_THREAD };
FIXTURE_VARIANT_ADD(rw, processes) { .peers = KSFT_PROCESS };

FIXTURE_SETUP(rw)
{
	ASSERT_EQ(0, kipc_shm_create(NULL, sizeof(struct board), NULL, &self->s));
	self->b = kipc_shm_addr(self->s);
}

FIXTURE_TEARDOWN(rw)
{
	kipc_shm_close(self->s);
}

TEST(alone)
{
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	EXPECT_EQ(-EINVAL, kipc_shm_lock_shared(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_shm_lock_exclusive(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_shm_unlock(NULL));
	EXPECT_EQ(-EPERM, kipc_shm_unlock(s));

	ASSERT_EQ(0, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(s).lock_shared);
	EXPECT_EQ(0, stat_of(s).lock_exclusive);
	EXPECT_EQ(-EAGAIN, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_lock_exclusive(s, MS));
	/* who gave up left the gate open */
	EXPECT_EQ(0, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	EXPECT_EQ(2, stat_of(s).lock_shared);
	EXPECT_EQ(0, kipc_shm_unlock(s));
	EXPECT_EQ(0, kipc_shm_unlock(s));
	EXPECT_EQ(-EPERM, kipc_shm_unlock(s));

	ASSERT_EQ(0, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	EXPECT_EQ(1, stat_of(s).lock_exclusive);
	EXPECT_EQ(0, stat_of(s).lock_shared);
	EXPECT_EQ(-EAGAIN, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_lock_shared(s, MS));
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_lock_exclusive(s, MS));
	EXPECT_EQ(0, stat_of(s).lock_shared);
	EXPECT_EQ(-EBUSY, kipc_shm_seal(s, KIPC_SEAL_WRITE));
	EXPECT_EQ(0, kipc_shm_unlock(s));
	EXPECT_EQ(-EPERM, kipc_shm_unlock(s));
	/* it has nothing to do with the sequence lock */
	ASSERT_EQ(0, kipc_shm_lock_exclusive(s, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_write_end(s));
	EXPECT_EQ(0, kipc_shm_unlock(s));
	EXPECT_EQ(0, stat_of(s).lock_healed);
	kipc_shm_close(s);
}

TEST(of_an_array)
{
	static const uint64_t shape[] = { 3 };
	struct kipc_array *a;

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_UINT8, 1, shape, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_lock_shared(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_array_lock_exclusive(NULL, KIPC_NOWAIT));
	EXPECT_EQ(-EINVAL, kipc_array_unlock(NULL));
	ASSERT_EQ(0, kipc_array_lock_shared(a, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_array_lock_exclusive(a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_array_unlock(a));
	EXPECT_EQ(0, kipc_array_lock_exclusive(a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_array_unlock(a));
	kipc_array_close(a);
}

TEST(readers_of_what_is_sealed)
{
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	ASSERT_EQ(0, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	EXPECT_EQ(-EBUSY, kipc_shm_seal(s, KIPC_SEAL_WRITE));
	ASSERT_EQ(0, kipc_shm_unlock(s));
	ASSERT_EQ(0, kipc_shm_seal(s, KIPC_SEAL_WRITE));
	EXPECT_EQ(-EACCES, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	EXPECT_EQ(-EPERM, kipc_shm_unlock(s));
	kipc_shm_close(s);
}

/* Each process has a word; with many of them they take more than a page. */
TEST(as_many_as_can_be)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_peers = 1023, .max_size = 100000);
	struct kipc_object *obj;
	struct kipc_shm *s, *r;
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks));
	ASSERT_EQ(0, kipc_shm_create(NULL, 10000, &o, &s));
	memset(kipc_shm_addr(s), 0xff, 10000);
	EXPECT_EQ(0, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(s));
	ASSERT_EQ(0, kipc_send(socks[0], kipc_shm_object(s)));
	ASSERT_EQ(0, kipc_recv(socks[1], &obj));
	r = kipc_object_shm(obj);
	ASSERT_EQ(0, kipc_shm_resize(r, 100000));
	memset(kipc_shm_addr(r), 0xff, 100000);
	EXPECT_EQ(0, kipc_shm_lock_shared(r, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	EXPECT_EQ(2, stat_of(s).lock_shared);
	EXPECT_EQ(0, kipc_shm_unlock(r));
	EXPECT_EQ(0, kipc_shm_unlock(s));
	EXPECT_EQ(-EPERM, kipc_shm_unlock(r));
	kipc_shm_close(r);
	kipc_shm_close(s);
	close(socks[0]);
	close(socks[1]);
}

#define READERS 4

static int reads_with_the_others(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	if (kipc_shm_lock_shared(arg, KIPC_FOREVER))
		return 1;
	fetch_add(&b->inside, 1);
	/* all of them at once */
	if (!ksft_wait_for(load_acquire(&b->inside) == READERS, 20000))
		return 2;
	return kipc_shm_unlock(arg);
}

TEST_F(rw, readers_are_in_together)
{
	struct ksft_peer peers[READERS];

	for (int i = 0; i < READERS; i++)
		ksft_peer_start(&peers[i], variant->peers, reads_with_the_others, self->s);
	for (int i = 0; i < READERS; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(READERS, self->b->inside);
	EXPECT_EQ(0, stat_of(self->s).lock_shared);
}

#define ROUNDS (ksft_slow() ? 300 : 3000)

static int writes_pairs(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	for (int i = 0; i < ROUNDS; i++) {
		if (kipc_shm_lock_exclusive(arg, KIPC_FOREVER))
			return 1;
		if (b->count[0] != b->count[1])
			return 2;
		b->count[0]++;
		b->writes++;
		b->count[1]++;
		if (kipc_shm_unlock(arg))
			return 3;
	}
	return 0;
}

static int reads_pairs(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	uint64_t last = 0;

	for (int i = 0; i < ROUNDS; i++) {
		if (kipc_shm_lock_shared(arg, KIPC_FOREVER))
			return 1;
		/* plain loads: a sanitizer would tell */
		if (b->count[0] != b->count[1] || b->count[0] < last)
			return 2;
		last = b->count[0];
		if (kipc_shm_unlock(arg))
			return 3;
	}
	return 0;
}

TEST_F(rw, exclusion)
{
	struct ksft_peer peers[5];

	for (int i = 0; i < 5; i++)
		ksft_peer_start(&peers[i], variant->peers, i < 2 ? writes_pairs : reads_pairs,
				self->s);
	for (int i = 0; i < 5; i++)
		ksft_peer_join(&peers[i]);
	EXPECT_EQ(2 * ROUNDS, self->b->count[0]);
	EXPECT_EQ(2 * ROUNDS, self->b->writes);
}

/* Readers that take turns, so that there is always one in. */
static int reads_all_the_time(void *arg)
{
	struct board *b = kipc_shm_addr(arg);
	uint64_t n = 0;

	while (!load_acquire(&b->stop)) {
		if (kipc_shm_lock_shared(arg, KIPC_FOREVER))
			return 1;
		fetch_add(&b->reads, 1);
		/* overlapping: give up when another has come, or none will since a writer waits */
		n = load_relaxed(&b->reads);
		for (int i = 0; i < 1000 && load_relaxed(&b->reads) == n; i++)
			cpu_relax();
		if (kipc_shm_unlock(arg))
			return 2;
	}
	return 0;
}

TEST_F(rw, a_writer_gets_in)
{
	struct ksft_peer peers[3];

	for (int i = 0; i < 3; i++)
		ksft_peer_start(&peers[i], variant->peers, reads_all_the_time, self->s);
	ASSERT_TRUE(ksft_wait_for(load_relaxed(&self->b->reads) > 100, 10000));
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, kipc_shm_lock_exclusive(self->s, 20000 * MS));
		ASSERT_EQ(0, kipc_shm_unlock(self->s));
	}
	store_release(&self->b->stop, 1);
	for (int i = 0; i < 3; i++)
		ksft_peer_join(&peers[i]);
}

static int writes_all_the_time(void *arg)
{
	struct board *b = kipc_shm_addr(arg);

	while (!load_acquire(&b->stop)) {
		if (kipc_shm_lock_exclusive(arg, KIPC_FOREVER))
			return 1;
		fetch_add(&b->writes, 1);
		if (kipc_shm_unlock(arg))
			return 2;
	}
	return 0;
}

TEST_F(rw, a_reader_gets_in)
{
	struct ksft_peer peers[2];

	for (int i = 0; i < 2; i++)
		ksft_peer_start(&peers[i], variant->peers, writes_all_the_time, self->s);
	ASSERT_TRUE(ksft_wait_for(load_relaxed(&self->b->writes) > 100, 10000));
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, kipc_shm_lock_shared(self->s, 20000 * MS));
		ASSERT_EQ(0, kipc_shm_unlock(self->s));
	}
	store_release(&self->b->stop, 1);
	for (int i = 0; i < 2; i++)
		ksft_peer_join(&peers[i]);
}

static int gets_in(struct kipc_shm *s, int who, bool exclusive)
{
	struct board *b = kipc_shm_addr(s);
	int r = exclusive ? kipc_shm_lock_exclusive(s, KIPC_FOREVER) :
			    kipc_shm_lock_shared(s, KIPC_FOREVER);

	if (r)
		return 1;
	store_release(&b->place[who], fetch_add(&b->order, 1) + 1);
	/* stays until it is told to go */
	if (!ksft_wait_for(load_acquire(&b->go[who]), 20000))
		return 2;
	return kipc_shm_unlock(s);
}

static int reader_0(void *arg)
{
	return gets_in(arg, 0, false);
}

static int reader_1(void *arg)
{
	return gets_in(arg, 1, false);
}

static int writer_2(void *arg)
{
	return gets_in(arg, 2, true);
}

static bool asleep(struct ksft_peer *p)
{
	return ksft_wait_for(ksft_asleep(p->id), 20000);
}

/* Who waits for the writer that is in comes before the next writer. */
TEST_F(rw, readers_have_a_turn)
{
	struct ksft_peer r[2], w;
	struct board *b = self->b;

	ASSERT_EQ(0, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	ksft_peer_start(&w, variant->peers, writer_2, self->s);
	ASSERT_TRUE(asleep(&w));
	ksft_peer_start(&r[0], variant->peers, reader_0, self->s);
	ksft_peer_start(&r[1], variant->peers, reader_1, self->s);
	ASSERT_TRUE(asleep(&r[0]));
	ASSERT_TRUE(asleep(&r[1]));
	/* they are counted, although they are not in yet */
	ASSERT_TRUE(ksft_wait_for(stat_of(self->s).lock_shared == 2, 20000));
	ASSERT_EQ(0, kipc_shm_unlock(self->s));
	ASSERT_TRUE(ksft_wait_for(load_acquire(&b->place[0]) && load_acquire(&b->place[1]),
				  20000));
	EXPECT_EQ(0, load_relaxed(&b->place[2]));
	store_release(&b->go[0], 1);
	ksft_peer_join(&r[0]);
	EXPECT_EQ(0, load_relaxed(&b->place[2]));
	store_release(&b->go[1], 1);
	store_release(&b->go[2], 1);
	ksft_peer_join(&r[1]);
	ksft_peer_join(&w);
	EXPECT_EQ(3, b->place[2]);
}

/* A writer that waits keeps new readers out; when it gives up they are let in. */
TEST_F(rw, a_writer_has_a_turn)
{
	struct ksft_peer r, w;
	struct board *b = self->b;

	ASSERT_EQ(0, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
	ksft_peer_start(&w, variant->peers, writer_2, self->s);
	/* until it has closed the gate */
	ASSERT_TRUE(ksft_wait_for(kipc_shm_lock_shared(self->s, KIPC_NOWAIT) ||
				  kipc_shm_unlock(self->s), 20000));
	EXPECT_EQ(-ETIMEDOUT, kipc_shm_lock_shared(self->s, MS));
	ksft_peer_start(&r, variant->peers, reader_0, self->s);
	ASSERT_TRUE(asleep(&r));
	ASSERT_EQ(0, kipc_shm_unlock(self->s));
	ASSERT_TRUE(ksft_wait_for(load_acquire(&b->place[2]) == 1, 20000));
	EXPECT_EQ(0, load_relaxed(&b->place[0]));
	store_release(&b->go[2], 1);
	store_release(&b->go[0], 1);
	ksft_peer_join(&w);
	ksft_peer_join(&r);
	EXPECT_EQ(2, b->place[0]);
}

static int waits_in_vain(void *arg)
{
	return kipc_shm_lock_exclusive(arg, 100 * MS) == -ETIMEDOUT ? 0 : 1;
}

TEST_F(rw, a_writer_gives_up)
{
	struct ksft_peer r, w;
	struct board *b = self->b;

	ASSERT_EQ(0, kipc_shm_lock_shared(self->s, KIPC_NOWAIT));
	ksft_peer_start(&w, variant->peers, waits_in_vain, self->s);
	ksft_peer_start(&r, variant->peers, reader_0, self->s);
	store_release(&b->go[0], 1);
	ksft_peer_join(&r);
	ksft_peer_join(&w);
	EXPECT_EQ(1, b->place[0]);
	ASSERT_EQ(0, kipc_shm_unlock(self->s));
	EXPECT_EQ(0, kipc_shm_lock_exclusive(self->s, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_shm_unlock(self->s));
}

static int unlocks(void *arg)
{
	return kipc_shm_unlock(arg);
}

/* A hold is the process's: any of its threads gives it up. */
TEST(another_thread_unlocks)
{
	struct ksft_thread t;
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, i ? kipc_shm_lock_exclusive(s, KIPC_NOWAIT) :
				 kipc_shm_lock_shared(s, KIPC_NOWAIT));
		ksft_thread_start(&t, unlocks, s);
		ksft_thread_join(&t);
		EXPECT_EQ(-EPERM, kipc_shm_unlock(s));
	}
	kipc_shm_close(s);
}

static int child_holds_nothing(void *arg)
{
	if (kipc_shm_unlock(arg) != -EPERM)
		return 1;
	return kipc_shm_lock_exclusive(arg, KIPC_NOWAIT) == -EAGAIN ? 0 : 2;
}

TEST(fork_child)
{
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, NULL, &s));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, i ? kipc_shm_lock_exclusive(s, KIPC_NOWAIT) :
				 kipc_shm_lock_shared(s, KIPC_NOWAIT));
		ksft_join(ksft_fork(child_holds_nothing, s));
		EXPECT_EQ(0, kipc_shm_unlock(s));
	}
	kipc_shm_close(s);
}

TEST_HARNESS_MAIN
