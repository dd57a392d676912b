// SPDX-License-Identifier: MIT
/*
 * Arbitrary bytes: whatever stands in the segment, and while it changes, the auditor comes to an end
 * and touches nothing outside.  (Meant for SAN=address,undefined as well.)
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check_test.h"
#include "manager/manager.h"
#include "uapi/kipc/queue.h"

#define AREAS	4

struct target {
	struct kipc_object *obj;
	struct { uint64_t off, len; } area[AREAS];	/* where it hurts */
};

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t bad_value(uint64_t old)
{
	switch (next_random() % 9) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return old + 1;
	case 3:
		return old - 1;
	case 4:
		return old ^ 1ULL << next_random() % 64;
	case 5:
		return next_random() % 65536;
	case 6:
		return 1ULL << next_random() % 64;
	case 7:
		return next_random() % (32ULL << 20) & ~7ULL;
	default:
		return next_random();
	}
}

static struct target make_target(int kind)
{
	struct target t = { .obj = make_object(kind) };
	struct kipc_queue *q = kipc_object_queue(t.obj);
	struct kipc_pipe *p = kipc_object_pipe(t.obj);
	struct kipc_manager *m = kipc_object_manager(t.obj);
	uint64_t body = t.obj->seg.body_off, left = t.obj->seg.size - body;
	static char buf[5000];
	struct kipc_list *l;
	struct kipc_dict *d;

	t.area[0].len = 512;
	t.area[1].off = 512;
	t.area[1].len = 512;
	t.area[2].off = t.area[3].off = body;
	t.area[2].len = min_of(left, (uint64_t)1536);
	t.area[3].len = min_of(left, (uint64_t)1536);
	for (int i = 0; i < 3; i++) {
		if (q)
			ASSERT_EQ(0, kipc_queue_put(q, buf, 250, KIPC_NOWAIT));
		if (p)
			ASSERT_EQ(0, kipc_pipe_send(p, buf, 5, KIPC_NOWAIT));
	}
	if (p)
		t.area[3].off = body + 4096;
	if (!m)
		return t;
	t.area[2].len = sizeof(struct kipc_mgr_header);
	ASSERT_EQ(0, kipc_list_create(m, "l", &l));
	ASSERT_EQ(0, kipc_dict_create(m, "d", &d));
	for (int i = 0; i < 300; i++) {
		ASSERT_EQ(0, kipc_list_append(l, kipc_bytes(buf, (size_t)i)));
		ASSERT_EQ(0, kipc_dict_set(d, kipc_int(i), kipc_ref(kipc_list_handle(l))));
	}
	ASSERT_EQ(0, kipc_list_unref(l));
	ASSERT_EQ(0, kipc_dict_unref(d));
	t.area[1].off = (uint64_t)((uint8_t *)&m->spans[m->first_span] - m->obj.seg.base);
	t.area[1].len = 64 * 32;
	t.area[3].off = m->first_off;
	t.area[3].len = (m->hdr->nspans - m->first_span) << KIPC_SPAN_SHIFT;
	return t;
}

static uint64_t *pick(const struct target *t)
{
	uint64_t area = next_random() % AREAS, words = t->area[area].len / 8;

	return (uint64_t *)(t->obj->seg.base + t->area[area].off) + next_random() % words;
}

static void look(const struct target *t, bool fd)
{
	KIPC_OPTS(kipc_report, r);
	int n = fd ? kipc_check_fd(t->obj->seg.fd, &r) : kipc_check(t->obj, &r);

	EXPECT_TRUE(n >= 0 || n == -ENOMEM);
	if (n > 0)
		EXPECT_NE('\0', r.first[0]);
	else
		EXPECT_EQ('\0', r.first[0]);
}

FIXTURE(hostile) {
	struct target t;
};

FIXTURE_VARIANT(hostile) {
	int kind;
	int rounds;
};

FIXTURE_VARIANT_ADD(hostile, queue) { .kind = QUEUE, .rounds = 4000 };
FIXTURE_VARIANT_ADD(hostile, pipe) { .kind = PIPE, .rounds = 4000 };
FIXTURE_VARIANT_ADD(hostile, shm) { .kind = SHM, .rounds = 3000 };
FIXTURE_VARIANT_ADD(hostile, array) { .kind = ARRAY, .rounds = 3000 };
FIXTURE_VARIANT_ADD(hostile, manager) { .kind = MANAGER, .rounds = 150 };

FIXTURE_SETUP(hostile)
{
	seed = 0x9e3779b97f4a7c15ULL + (uint64_t)variant->kind;
	self->t = make_target(variant->kind);
	check_clean(self->t.obj, KIPC_CHECK_IDLE);
}

FIXTURE_TEARDOWN(hostile)
{
	check_clean(self->t.obj, KIPC_CHECK_IDLE);
	kipc_object_close(self->t.obj);
}

/* One to four words at a time, put back in reverse. */
TEST_F_TIMEOUT(hostile, words, 60)
{
	int rounds = variant->rounds / (ksft_slow() ? 4 : 1);
	struct { uint64_t *at, old; } undo[4];

	for (int i = 0; i < rounds; i++) {
		uint64_t n = 1 + next_random() % 4;

		for (uint64_t j = 0; j < n; j++) {
			undo[j].at = pick(&self->t);
			undo[j].old = *undo[j].at;
			*undo[j].at = bad_value(undo[j].old);
		}
		look(&self->t, i & 1);
		while (n--)
			*undo[n].at = undo[n].old;
	}
}

/* All of it at random, behind a header that is believed. */
TEST_F_TIMEOUT(hostile, noise, 60)
{
	struct kipc_segment *seg = &self->t.obj->seg;
	int rounds = variant->rounds / (ksft_slow() ? 80 : 20);

	for (int a = 2; a < AREAS; a++) {
		uint64_t off = self->t.area[a].off, len = self->t.area[a].len;
		uint8_t *keep = malloc(len);

		ASSERT_TRUE(keep);
		memcpy(keep, seg->base + off, len);
		for (int i = 0; i < rounds; i++) {
			for (uint64_t j = 0; j < len; j += 8)
				*(uint64_t *)(seg->base + off + j) = bad_value(keep[j]);
			look(&self->t, i & 1);
		}
		memcpy(seg->base + off, keep, len);
		free(keep);
	}
}

static int stop;

static int change_bytes(void *arg)
{
	const struct target *t = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		uint64_t *at = pick(t), old = __atomic_load_n(at, __ATOMIC_RELAXED);

		__atomic_store_n(at, bad_value(old), __ATOMIC_RELAXED);
		for (int i = 0; i < 20; i++)
			__atomic_load_n(&stop, __ATOMIC_ACQUIRE);
		__atomic_store_n(at, old, __ATOMIC_RELAXED);
	}
	return 0;
}

/* While they change. */
TEST_F_TIMEOUT(hostile, moving, 60)
{
	int64_t end = ksft_now_ns() + 400000000;
	struct ksft_thread thread;
	int looks = 0;

	ksft_thread_start(&thread, change_bytes, &self->t);
	do
		look(&self->t, looks & 1);
	while (looks++ < 3 || ksft_now_ns() < end);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	ksft_thread_join(&thread);
}

/* A file of a size that is nearly all holes: it must not be filled by looking at it. */
TEST_F(hostile, huge_and_sparse)
{
	struct kipc_segment *seg = &self->t.obj->seg;
	int fd = memfd_create("sparse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint64_t size = 1ULL << 40, n = min_of(seg->size, 1ULL << 20);
	struct kipc_seg_header h = *seg->hdr;

	KIPC_OPTS(kipc_report, r);

	if (ksft_valgrind())
		SKIP("valgrind has no room for a terabyte");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, ftruncate(fd, (off_t)size));
	ASSERT_EQ(n, pwrite(fd, seg->base, n, 0));
	h.size = h.max_size = size;
	h.flags = 0;
	ASSERT_EQ(sizeof(h), pwrite(fd, &h, sizeof(h), 0));
	if (variant->kind == QUEUE) {
		uint32_t geometry[2] = { 1u << 24, 4096 };	/* 64 GiB of cells */
		uint64_t off = seg->body_off + offsetof(struct kipc_queue_shared, capacity);

		ASSERT_EQ(8, pwrite(fd, geometry, 8, (off_t)off));
	} else if (variant->kind == MANAGER) {
		uint64_t nspans = size >> KIPC_SPAN_SHIFT;
		uint64_t off = seg->body_off + offsetof(struct kipc_mgr_header, nspans);

		ASSERT_EQ(8, pwrite(fd, &nspans, 8, (off_t)off));
	}
	for (int sealed = 0; sealed < 2; sealed++) {
		int ret = kipc_check_fd(fd, &r);

		EXPECT_TRUE(ret >= (variant->kind == QUEUE || variant->kind == MANAGER) ||
			    ret == -ENOMEM);
		EXPECT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	}
	close(fd);
}

TEST_HARNESS_MAIN
