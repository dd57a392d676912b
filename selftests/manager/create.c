// SPDX-License-Identifier: MIT
/* Managers made, refused, measured, handed over, closed. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "testkind.h"

TEST(arguments)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_manager *m;

	EXPECT_EQ(-EINVAL, kipc_manager_create(NULL, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_manager_create("", NULL, &m));
	EXPECT_EQ(-EINVAL, kipc_manager_create("a/b", NULL, &m));
	EXPECT_EQ(-EINVAL, kipc_manager_open(NULL, NULL, &m));
	EXPECT_EQ(-EINVAL, kipc_manager_open("name", NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_manager_open("na me", NULL, &m));
	EXPECT_EQ(-EINVAL, kipc_manager_unlink(NULL));
	EXPECT_EQ(-EINVAL, kipc_manager_unlink("a/b"));
	EXPECT_EQ(-EINVAL, kipc_manager_stat(NULL, &st));
	EXPECT_EQ(-EINVAL, kipc_manager_remove(NULL, "a"));
	EXPECT_TRUE(!kipc_manager_object(NULL));
	EXPECT_EQ(-EINVAL, kipc_handle_kind(NULL));
	EXPECT_EQ(0, kipc_handle_id(NULL));
	EXPECT_EQ(-EINVAL, kipc_handle_unref(NULL));
	kipc_manager_close(NULL);

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	EXPECT_EQ(-EINVAL, kipc_manager_stat(m, NULL));
	st.sz = sizeof(st.sz) - 1;
	EXPECT_EQ(-EINVAL, kipc_manager_stat(m, &st));
	EXPECT_EQ(-EINVAL, kipc_manager_remove(m, NULL));
	EXPECT_EQ(-EINVAL, kipc_manager_remove(m, "a/b"));
	EXPECT_EQ(-ENOENT, kipc_manager_remove(m, "a"));
	kipc_manager_close(m);
}

static int with(struct kipc_manager_opts opts)
{
	struct kipc_manager *m;
	int r;

	opts.sz = sizeof(opts);
	r = kipc_manager_create(NULL, &opts, &m);
	if (!r)
		kipc_manager_close(m);
	return r;
}

TEST(options)
{
	struct {
		struct kipc_manager_opts o;
		uint64_t more;
	} newer = { .o.sz = sizeof(newer) };
	struct kipc_manager_opts small = { .sz = sizeof(small) - 8 };
	struct kipc_manager *m;

	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .flags = 1 }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .flags = 1u << 31 }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .huge = KIPC_HUGE_2M }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .huge = KIPC_HUGE_1G }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .huge = KIPC_HUGE_TRY }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .huge = (enum kipc_huge)77 }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .mode = 01000 }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .max_peers = 1024 }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .max_size = (1ULL << 40) + 1 }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .size = 1ULL << 41 }));
	EXPECT_EQ(-EINVAL, with((struct kipc_manager_opts){ .size = 2 << 20,
							    .max_size = 1 << 20 }));
	EXPECT_EQ(-EINVAL, kipc_manager_create(NULL, &small, &m));
	EXPECT_EQ(0, kipc_manager_create(NULL, &newer.o, &m));
	kipc_manager_close(m);
	newer.more = 1;
	EXPECT_EQ(-E2BIG, kipc_manager_create(NULL, &newer.o, &m));

	EXPECT_EQ(0, with((struct kipc_manager_opts){ .huge = KIPC_HUGE_THP, .size = 4 << 20 }));
	EXPECT_EQ(0, with((struct kipc_manager_opts){ .mode = 0640 }));
	EXPECT_EQ(0, with((struct kipc_manager_opts){ .max_peers = 1 }));
	EXPECT_EQ(0, with((struct kipc_manager_opts){ .max_peers = 1023 }));
	EXPECT_EQ(0, with((struct kipc_manager_opts){ .size = 1, .max_size = 1 }));
	EXPECT_EQ(0, with((struct kipc_manager_opts){ .size = 65537 }));
	if (!ksft_slow())	/* valgrind has no such room */
		EXPECT_EQ(0, with((struct kipc_manager_opts){ .max_size = 1ULL << 40 }));
}

/* What was asked for can be used, to the last span and no further. */
TEST(sizes)
{
	static const uint64_t sizes[] = { 1, 65536, 65537, 1 << 20, (1 << 20) + 1, 3 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		KIPC_OPTS(kipc_manager_opts, opts, .size = sizes[i], .max_size = sizes[i]);
		uint64_t spans = (sizes[i] + 65535) / 65536;
		struct kipc_manager_stat st = { .sz = sizeof(st) };
		struct kipc_manager *m;

		ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &m));
		ASSERT_EQ(0, kipc_manager_stat(m, &st));
		EXPECT_EQ(spans * 65536, st.size);
		EXPECT_EQ(spans * 65536, st.max_size);
		EXPECT_EQ(spans, st.spans);
		EXPECT_EQ(spans, st.free_spans);
		EXPECT_EQ(0, st.used);
		EXPECT_EQ(0, st.blocks);
		EXPECT_EQ(0, st.objects);
		EXPECT_EQ(0, st.names);
		EXPECT_EQ(1, st.peers);
		EXPECT_NE(0, st.id);
		/* all of it, in one block: owned by a word of the header that is free for it */
		ASSERT_EQ(0, __kipc_arena_alloc(m, spans << 16, off_of(m, &m->hdr->dir_new)));
		memset(__kipc_arena_ptr(m, m->hdr->dir_new), 1, spans << 16);
		ASSERT_EQ(0, __kipc_arena_free(m, off_of(m, &m->hdr->dir_new)));
		EXPECT_EQ(-ENOMEM, __kipc_arena_alloc(m, (spans << 16) + 1,
						      off_of(m, &m->hdr->dir_new)));
		AUDIT(m);
		kipc_manager_close(m);
	}
}

/* Callers of another size get what they know. */
TEST(stat_of_another_size)
{
	struct {
		struct kipc_manager_stat st;
		uint64_t newer;
	} s = { .st = { .sz = sizeof(s) }, .newer = 77 };
	struct kipc_manager *m;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	EXPECT_EQ(0, kipc_manager_stat(m, &s.st));
	EXPECT_EQ(sizeof(s.st), s.st.sz);
	EXPECT_EQ(1, s.st.peers);
	EXPECT_EQ(77, s.newer);
	s.st = (struct kipc_manager_stat){ .sz = offsetof(struct kipc_manager_stat, peers) };
	EXPECT_EQ(0, kipc_manager_stat(m, &s.st));
	EXPECT_NE(0, s.st.id);
	EXPECT_EQ(0, s.st.peers);
	s.st.sz = sizeof(size_t) - 1;
	EXPECT_EQ(-EINVAL, kipc_manager_stat(m, &s.st));
	kipc_manager_close(m);
}

TEST(little_address_space)
{
	struct rlimit lim = { .rlim_cur = 3ULL << 30, .rlim_max = RLIM_INFINITY };
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	KIPC_OPTS(kipc_manager_opts, opts, .max_size = 16ULL << 30);
	struct kipc_manager *m;

	if (ksft_slow())
		SKIP("a sanitizer needs the address space");
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &lim));
	/* the default gives in, what was asked for doesn't */
	EXPECT_EQ(-ENOMEM, kipc_manager_create(NULL, &opts, &m));
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_manager_stat(m, &st));
	EXPECT_LE(st.max_size, 3ULL << 30);
	EXPECT_GE(st.max_size, 1ULL << 30);
	kipc_manager_close(m);
}

static uint64_t open_fds(void)
{
	uint64_t n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

TEST(close_leaves_nothing)
{
	uint64_t before = open_fds();

	for (int i = 0; i < 20; i++) {
		struct kipc_manager *m;
		struct kipc_lock *l;

		ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
		ASSERT_EQ(0, kipc_lock_create(m, NULL, &l));
		if (i % 2) {
			/* either way round */
			kipc_manager_close(m);
			EXPECT_EQ(0, kipc_lock_acquire(l, KIPC_NOWAIT));
			EXPECT_EQ(0, kipc_lock_release(l));
			EXPECT_EQ(0, kipc_lock_unref(l));
		} else {
			EXPECT_EQ(0, kipc_lock_unref(l));
			kipc_manager_close(m);
		}
	}
	EXPECT_EQ(before, open_fds());
}

/* ---- through export and import, as kipc_send() and kipc_recv() do ---- */

static struct kipc_manager *second(struct kipc_manager *m)
{
	struct kipc_transfer t = { 0 };
	struct kipc_object *obj;

	ASSERT_EQ(0, __kipc_manager_object.export(kipc_manager_object(m), &t));
	ASSERT_EQ(__kipc_manager_object.nfds, t.nfds);
	t.fds[0] = dup(t.fds[0]);
	ASSERT_EQ(0, __kipc_manager_object.import(&t, &obj));
	return container_of(obj, struct kipc_manager, obj);
}

TEST(handed_over)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_manager *a, *b;
	struct kipc_lock *la, *lb;
	struct kipc_handle *h;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &a));
	ASSERT_EQ(0, kipc_lock_create(a, "lock", &la));
	b = second(a);
	ASSERT_EQ(0, kipc_lock_open(b, "lock", &lb));
	EXPECT_EQ(0, kipc_lock_acquire(la, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_lock_acquire(lb, KIPC_NOWAIT));
	EXPECT_EQ(-EPERM, kipc_lock_release(lb));
	EXPECT_EQ(0, kipc_lock_release(la));
	/* growth by one is seen by the other */
	h = bag_new(a, "bag");
	ASSERT_EQ(0, __kipc_arena_alloc(a, 8 << 20, off_of(a, &bag_of(h)->blocks[0])));
	memset(__kipc_arena_ptr(a, bag_of(h)->blocks[0]), 7, 8 << 20);
	EXPECT_EQ(7, *(char *)__kipc_arena_at(b, bag_of(h)->blocks[0] + (8 << 20) - 8, 8));
	ASSERT_EQ(0, kipc_manager_stat(b, &st));
	EXPECT_EQ(2, st.peers);
	EXPECT_EQ(2, st.objects);
	AUDIT(a);
	AUDIT(b);
	EXPECT_EQ(0, kipc_lock_unref(la));
	EXPECT_EQ(0, kipc_handle_unref(h));
	kipc_manager_close(a);
	ASSERT_EQ(0, kipc_manager_stat(b, &st));
	EXPECT_EQ(1, st.peers);
	EXPECT_EQ(0, kipc_lock_acquire(lb, KIPC_NOWAIT));
	AUDIT(b);
	EXPECT_EQ(0, kipc_lock_unref(lb));
	kipc_manager_close(b);
}

TEST(as_many_as_it_has_room_for)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_peers = 2);
	struct kipc_transfer t = { 0 };
	struct kipc_manager *a, *b;
	struct kipc_object *obj;

	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &a));
	b = second(a);
	__kipc_manager_object.export(kipc_manager_object(a), &t);
	EXPECT_EQ(-EUSERS, __kipc_manager_object.import(&t, &obj));
	kipc_manager_close(b);
	b = second(a);
	kipc_manager_close(b);
	kipc_manager_close(a);
}

/* A geometry that isn't this build's, or no manager at all. */
TEST(damaged_geometry)
{
	struct kipc_transfer t = { 0 };
	struct kipc_manager *m;
	struct kipc_object *obj;
	uint64_t *words[4];
	int fd;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	__kipc_manager_object.export(kipc_manager_object(m), &t);
	words[0] = (uint64_t *)&m->hdr->table_off;
	words[1] = (uint64_t *)&m->hdr->max_spans;
	words[2] = (uint64_t *)&m->hdr->first_span;
	words[3] = (uint64_t *)&m->hdr->span_shift;
	for (int i = 0; i < 4; i++) {
		uint64_t keep = *words[i];

		*words[i] += 64;
		EXPECT_EQ(-EPROTO, __kipc_manager_object.import(&t, &obj));
		*words[i] = keep;
	}
	m->hdr->nspans = 1;
	EXPECT_EQ(-EPROTO, __kipc_manager_object.import(&t, &obj));
	t.args[0] = 1;
	EXPECT_EQ(-EPROTO, __kipc_manager_object.import(&t, &obj));
	t.args[0] = 0;
	fd = memfd_create("not a manager", MFD_ALLOW_SEALING);
	ASSERT_GE(fd, 0);
	t.fds[0] = fd;
	EXPECT_EQ(-EPROTO, __kipc_manager_object.import(&t, &obj));
	close(fd);
	m->hdr->nspans = m->hdr->first_span + 16;
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
