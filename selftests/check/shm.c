// SPDX-License-Identifier: MIT
/* Each thing that can't be in shared memory and in arrays, planted and found. */
#include <fcntl.h>
#include <unistd.h>

#include "check_test.h"
#include "shm/array.h"

FIXTURE(region) {
	struct kipc_object *obj;
	struct kipc_shm_head *head;
};

FIXTURE_VARIANT(region) {
	int kind;
};

FIXTURE_VARIANT_ADD(region, shm) { .kind = SHM };
FIXTURE_VARIANT_ADD(region, array) { .kind = ARRAY };

FIXTURE_SETUP(region)
{
	self->obj = make_object(variant->kind);
	ASSERT_TRUE(self->obj);
	self->head = (struct kipc_shm_head *)(self->obj->seg.base + self->obj->seg.body_off);
}

FIXTURE_TEARDOWN(region)
{
	check_clean(self->obj, KIPC_CHECK_IDLE);
	kipc_object_close(self->obj);
}

#define DAMAGE(word, value, code, words) damage(self->obj, word, value, KIPC_FINDING_##code, words)

TEST_F(region, description)
{
	DAMAGE(self->head->data_off, 100, GEOMETRY, "are not in the file");
	DAMAGE(self->head->data_off, 0, GEOMETRY, "are not in the file");
	DAMAGE(self->head->size, 1ULL << 40, GEOMETRY, "are not in the file");
	DAMAGE(self->head->size, ~0ULL, GEOMETRY, "are not in the file");
	DAMAGE(self->head->size, 0, GEOMETRY, variant->kind == SHM ? "of no bytes" : "array: ");
}

TEST_F(region, nodes)
{
	DAMAGE(self->head->numa, 77, GEOMETRY, "NUMA policy 77");
	DAMAGE(self->head->numa, KIPC_NUMA_BIND, GEOMETRY, "NUMA policy 1 with the nodes 0");
	DAMAGE(self->head->numa_nodes, 5, GEOMETRY, "with the nodes 0x5");
}

TEST_F(region, growth)
{
	DAMAGE(self->head->max_size, self->head->size - 1, GEOMETRY, "that may grow to");
	DAMAGE(self->head->max_size, ~0ULL, GEOMETRY, "that may grow to");
	DAMAGE(self->head->max_size, self->head->size + 1, GEOMETRY, "the header rules that out");
	DAMAGE(self->head->grown, 3, GEOMETRY, "grew 3 times");
	DAMAGE(self->head->flags, 0x40, GEOMETRY, "flags 0x40");
	DAMAGE(self->head->grow_lock, 200, CLAIM, "the lock of who resizes is held by slot 200");
}

TEST_F(region, rwlock)
{
	struct kipc_shm_reader *readers =
		(struct kipc_shm_reader *)((char *)self->head + KIPC_SHM_READERS_OFF);

	DAMAGE(self->head->rw_lock, 200, CLAIM, "the exclusive lock is held by slot 200");
	DAMAGE(self->head->rw_lock, 1u << 29, LOCK, "the exclusive lock: 0x20000000 is no lock word");
	DAMAGE(self->head->gate, 1u << 20, LOCK, "the gate: 0x100000 is none");
	DAMAGE(self->head->gate, KIPC_SHM_GATE_IN, LOCK, "the gate: 0x20000000 is none");
	DAMAGE(self->head->gate, KIPC_SHM_GATE_IN | 1, LOCK, "but the lock is held by slot 0");
	DAMAGE(self->head->gate, KIPC_SHM_GATE_SLEEPERS, LOCK, "readers sleep, but it is open");
	DAMAGE(readers[6].held, 1, CLAIM, "the shared lock is held by slot 7, which is free");
}

/* Of what may grow, and did. */
TEST(grown)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_size = 10 * 4096);
	struct kipc_object *obj;
	struct kipc_shm_head *h;
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, &opts, &s));
	obj = kipc_shm_object(s);
	h = (struct kipc_shm_head *)(obj->seg.base + obj->seg.body_off);
	check_clean(obj, KIPC_CHECK_IDLE);
	damage(obj, h->max_size, 4095, KIPC_FINDING_GEOMETRY, "that may grow to 4095");
	ASSERT_EQ(0, kipc_shm_resize(s, 3 * 4096));
	check_clean(obj, KIPC_CHECK_IDLE);
	damage(obj, h->grown, 0, KIPC_FINDING_GEOMETRY, "which never grew; the file began with");
	damage(obj, h->size, 4 * 4096, KIPC_FINDING_GEOMETRY, "are not in the file");
	/* longer than it says: somebody died half-way */
	ASSERT_EQ(0, ftruncate(kipc_shm_fd(s), (off_t)h->data_off + 5 * 4096));
	check_clean(obj, KIPC_CHECK_IDLE);
	ASSERT_EQ(0, kipc_shm_seal(s, KIPC_SEAL_GROW));
	check_clean(obj, KIPC_CHECK_IDLE);
	kipc_shm_close(s);
}

/* Readers are no peers, and nobody else is there. */
TEST(sealed)
{
	struct kipc_shm *s;

	KIPC_OPTS(kipc_report, r);

	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &s));
	ASSERT_EQ(0, kipc_shm_seal(s, KIPC_SEAL_FUTURE_WRITE));
	check_clean(kipc_shm_object(s), KIPC_CHECK_IDLE);
	ASSERT_EQ(0, kipc_shm_seal(s, KIPC_SEAL_WRITE));
	for (int fd = 0; fd < 2; fd++) {
		EXPECT_EQ(0, fd ? kipc_check_fd(kipc_shm_fd(s), &r) :
				  kipc_check(kipc_shm_object(s), &r));
		EXPECT_EQ(0, r.violations);
		EXPECT_EQ(0, r.live_peers);
		EXPECT_EQ(1, r.quiescent);
	}
	kipc_shm_close(s);
}

/* A slot that lives where nobody can write: not what the library made. */
TEST(sealed_with_a_peer)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = KIPC_PEER_LOCK_BASE + 1,
		.l_len = 1,
	};
	struct findings all = { .n = 0 };
	struct kipc_peer peer = { .state = KIPC_PEER_LIVE };
	struct kipc_object *obj;
	struct kipc_shm *s;
	char path[32];
	int fd, other;

	KIPC_OPTS(kipc_report, r, .found = collect, .arg = &all);

	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &s));
	obj = kipc_shm_object(s);
	fd = fcntl(kipc_shm_fd(s), F_DUPFD_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other);
	kipc_object_close(obj);
	ASSERT_EQ(sizeof(peer), pwrite(fd, &peer, sizeof(peer), KIPC_SEG_PEERS_OFF));
	ASSERT_EQ(0, fcntl(other, F_OFD_SETLK, &lock));
	EXPECT_EQ(0, kipc_check_fd(fd, &r));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_LE(1, kipc_check_fd(fd, &r));
	EXPECT_TRUE(strstr(all.text, "nobody can write, but 1 processes are attached"));
	close(other);
	close(fd);
}

/* What holders leave in flight, and what the dead leave. */
TEST_F(region, held)
{
	struct kipc_shm *s = kipc_object_shm(self->obj);
	struct kipc_array *a = kipc_object_array(self->obj);
	struct findings all = { .n = 0 };

	KIPC_OPTS(kipc_report, r, .found = collect, .arg = &all);

	ASSERT_EQ(0, s ? kipc_shm_lock_shared(s, KIPC_NOWAIT) :
			 kipc_array_lock_shared(a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_TRUE(strstr(all.text, "in flight: the shared lock is held by slot 1"));
	ASSERT_EQ(0, s ? kipc_shm_unlock(s) : kipc_array_unlock(a));
	ASSERT_EQ(0, s ? kipc_shm_lock_exclusive(s, KIPC_NOWAIT) :
			 kipc_array_lock_exclusive(a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_TRUE(strstr(all.text, "in flight: the exclusive lock is held by slot 1"));
	ASSERT_EQ(0, s ? kipc_shm_unlock(s) : kipc_array_unlock(a));
	self->head->gate = KIPC_SHM_GATE_TORN;
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(1, r.dead_claims);
	EXPECT_TRUE(strstr(all.text, "dead: the exclusive lock: its last holder died"));
	self->head->gate = 0;
}

TEST_F(region, sequence)
{
	DAMAGE(self->head->seq, KIPC_SHM_SEQ_STEP | KIPC_SHM_SEQ_SLEEPERS, SEQUENCE,
	       "readers sleep, but nobody writes");
	DAMAGE(self->head->lock, 200, CLAIM, "the writers' lock is held by slot 200");
	DAMAGE(self->head->lock, 1u << 29, LOCK, "is no lock word");
	DAMAGE(self->head->healed, 5, COUNT, "healed 5 times, in 0 writes");
}

static uint64_t torn(struct kipc_object *obj)
{
	struct findings all = { .n = 0 };

	KIPC_OPTS(kipc_report, r, .found = collect, .arg = &all);

	EXPECT_EQ(0, kipc_check(obj, &r));
	EXPECT_EQ(0, kipc_check_fd(obj->seg.fd, &r));
	EXPECT_TRUE(strstr(all.text, "dead: sequence 0x1: the data are torn, their writer died"));
	return r.dead_claims;
}

TEST_F(region, torn)
{
	self->head->seq = 1;
	self->head->lock = KIPC_LOCK_DIED;
	EXPECT_EQ(1, torn(self->obj));
	self->head->lock = 0;
	EXPECT_EQ(1, torn(self->obj));
	self->head->seq = 0;
}

TEST_F(region, in_flight)
{
	struct kipc_shm *s = kipc_object_shm(self->obj);
	struct kipc_array *a = kipc_object_array(self->obj);

	KIPC_OPTS(kipc_report, r);

	ASSERT_EQ(0, s ? kipc_shm_write_begin(s, KIPC_NOWAIT) : kipc_array_write_begin(a, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(1, r.in_flight);
	EXPECT_EQ(0, r.dead_claims);
	ASSERT_EQ(0, s ? kipc_shm_write_end(s) : kipc_array_write_end(a));
}

TEST(array_description)
{
	struct kipc_object *obj = make_object(ARRAY);
	struct kipc_array_head *h;

	ASSERT_TRUE(obj);
	h = (struct kipc_array_head *)(obj->seg.base + obj->seg.body_off);
	damage(obj, h->dtype, 99, KIPC_FINDING_GEOMETRY, "array: type 99");
	damage(obj, h->itemsize, 3, KIPC_FINDING_GEOMETRY, "3 bytes each");
	damage(obj, h->ndim, 9, KIPC_FINDING_GEOMETRY, "9 dimensions");
	damage(obj, h->ndim, 1, KIPC_FINDING_GEOMETRY, "behind its 1 dimensions");
	damage(obj, h->elements, 13, KIPC_FINDING_GEOMETRY, "13 elements");
	damage(obj, h->shape[1], 1ULL << 60, KIPC_FINDING_GEOMETRY, "does not fit its shape");
	damage(obj, h->strides[0], -8, KIPC_FINDING_GEOMETRY, "its strides");
	damage(obj, h->strides[5], 8, KIPC_FINDING_GEOMETRY, "behind its 2 dimensions");
	damage(obj, h->flags, 1, KIPC_FINDING_GEOMETRY, "array: ");
	check_clean(obj, KIPC_CHECK_IDLE);
	kipc_object_close(obj);
}

TEST_HARNESS_MAIN
