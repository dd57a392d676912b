// SPDX-License-Identifier: MIT
/* Segments: what is created, published, opened, grown and closed, and what each leaves. */
#include <sys/mman.h>

#include "common.h"

#define MAX_SIZE (1ULL << 46)

static void seals_of(const struct core *c, int want)
{
	EXPECT_EQ(want, fcntl(c->seg.fd, F_GET_SEALS) &
				(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
}

TEST(a_new_segment)
{
	struct kipc_segment_spec spec = { .body_size = 10000, .compat = 5 };
	int fds = core_count_fds(NULL);
	struct kipc_seg_header *h;
	struct core c;
	char comm[16];

	ASSERT_EQ(0, core_create(&c, &spec));
	h = c.seg.hdr;
	EXPECT_EQ(KIPC_SEG_MAGIC, h->magic);
	EXPECT_EQ(KIPC_SEG_ENDIAN, h->endian);
	EXPECT_EQ(KIPC_ABI_MAJOR, h->abi_major);
	EXPECT_EQ(KIPC_ABI_MINOR, h->abi_minor);
	EXPECT_EQ(KIPC_ABI_OLDEST, h->abi_oldest);
	EXPECT_EQ(KIPC_SEG_QUEUE, h->kind);
	EXPECT_EQ(core_ops.stamp, h->stamp);
	EXPECT_EQ(5, h->compat);
	EXPECT_EQ(0, h->ro_compat);
	EXPECT_EQ(0, h->incompat);
	EXPECT_EQ(4096 + 12288, h->size);
	EXPECT_EQ(h->size, h->max_size);
	EXPECT_EQ(4096, h->body_off);
	EXPECT_EQ(4096, h->page_size);
	EXPECT_EQ(56, h->npeers);
	EXPECT_EQ(0, h->flags);
	EXPECT_EQ(getpid(), h->creator_pid);
	EXPECT_EQ(geteuid(), h->creator_uid);
	EXPECT_GT(h->created_ns, 0);
	EXPECT_NE(0, h->id);
	EXPECT_STREQ("", h->name);
	EXPECT_EQ(1, h->peer_high);

	EXPECT_EQ(h->size, c.seg.size);
	EXPECT_EQ(4096 + (uint8_t *)h, __kipc_segment_body(&c.seg));
	EXPECT_EQ(1, c.seg.slot);
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&c, 1)->state);
	EXPECT_EQ(getpid(), core_peer(&c, 1)->pid);
	EXPECT_EQ(geteuid(), core_peer(&c, 1)->uid);
	EXPECT_NE(0, core_peer(&c, 1)->start_time);
	pthread_getname_np(pthread_self(), comm, sizeof(comm));
	EXPECT_STREQ(comm, core_peer(&c, 1)->comm);

	seals_of(&c, F_SEAL_SHRINK | F_SEAL_GROW);
	EXPECT_EQ(-1, ftruncate(c.seg.fd, 4096));
	EXPECT_EQ(-1, ftruncate(c.seg.fd, 1 << 20));
	EXPECT_EQ(FD_CLOEXEC, fcntl(c.seg.fd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(c.seg.lock_fd, F_GETFD));
	/* the memfd and the description for the lock; the body's eventfds are the test's own */
	EXPECT_EQ(fds + 2 + NBELLS, core_count_fds(NULL));
	EXPECT_EQ(2, core_count_fds("/memfd:kipc:queue"));
	core_close(&c);
	EXPECT_EQ(fds, core_count_fds(NULL));
}

TEST(the_body_starts_zeroed)
{
	struct kipc_segment_spec spec = { .body_size = 100000, .populate = 50000 };
	struct core c;

	ASSERT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &spec));
	for (uint64_t i = c.seg.body_off; i < c.seg.size; i++)
		if (c.seg.base[i] && !EXPECT_EQ(0, c.seg.base[i]))
			break;
	EXPECT_EQ(0, c.seg.hdr->magic);
	EXPECT_EQ(0, c.seg.slot);
	__kipc_segment_close(&c.seg);
}

TEST(ids_differ)
{
	struct core a, b;

	ASSERT_EQ(0, core_create(&a, NULL));
	ASSERT_EQ(0, core_create(&b, NULL));
	EXPECT_NE(a.seg.hdr->id, b.seg.hdr->id);
	core_close(&a);
	core_close(&b);
}

TEST(names_are_kept)
{
	struct kipc_segment_spec spec = { .name = "a.name-of_63" };
	struct core c;

	ASSERT_EQ(0, core_create(&c, &spec));
	EXPECT_STREQ("a.name-of_63", c.seg.hdr->name);
	core_close(&c);
}

TEST(number_of_peers)
{
	static const struct {
		uint32_t npeers;
		uint64_t body_off;
	} t[] = { { 1, 4096 }, { 56, 4096 }, { 57, 8192 }, { 1023, 69632 } };

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct kipc_segment_spec spec = { .npeers = t[i].npeers };
		struct core c, d;
		int r;

		ASSERT_EQ(0, core_create(&c, &spec));
		EXPECT_EQ(t[i].body_off, c.seg.body_off);
		EXPECT_EQ(t[i].npeers, c.seg.npeers);
		r = core_open(&d, &c);
		EXPECT_EQ(t[i].npeers == 1 ? -EUSERS : 0, r);
		if (!r)
			core_close(&d);
		core_close(&c);
	}
}

TEST(refused_specs)
{
	static const struct {
		struct kipc_segment_spec spec;
		int want;
	} t[] = {
		{ { .body_size = 1, .npeers = KIPC_PEER_MAX + 1 }, -EINVAL },
		{ { .body_size = 1, .npeers = UINT32_MAX }, -EINVAL },
		{ { .body_size = 0 }, -EINVAL },
		{ { .body_size = 1, .huge = KIPC_HUGE_TRY + 1 }, -EINVAL },
		/* sealed against execution */
		{ { .body_size = 1, .mode = 0700 }, -EINVAL },
		{ { .body_size = 1, .mode = 04600 }, -EINVAL },
		{ { .body_size = UINT64_MAX }, -EOVERFLOW },
		{ { .body_size = MAX_SIZE + 1 }, -EOVERFLOW },
		{ { .body_size = 1, .max_body_size = UINT64_MAX }, -EOVERFLOW },
		/* with what stands before the body it is more than an opener takes */
		{ { .body_size = 1, .max_body_size = MAX_SIZE }, -EOVERFLOW },
		{ { .body_size = MAX_SIZE }, -EOVERFLOW },
	};
	int fds = core_count_fds(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct kipc_segment seg;

		if (!EXPECT_EQ(t[i].want, __kipc_segment_create(&seg, &core_ops, &t[i].spec)))
			ksft_log("spec %zu", i);
		__kipc_segment_close(&seg);	/* safe on a failed one */
		EXPECT_EQ(fds, core_count_fds(NULL));
	}
}

TEST(mode_bits)
{
	static const struct {
		mode_t mode, want;
	} t[] = {
		{ 0, 0600 },	{ 0600, 0600 }, { 0640, 0640 },
		{ 0666, 0666 }, { 0644, 0644 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct kipc_segment_spec spec = { .mode = t[i].mode };
		struct stat st;
		struct core c;

		if (!EXPECT_EQ(0, core_create(&c, &spec)))
			continue;
		ASSERT_EQ(0, fstat(c.seg.fd, &st));
		EXPECT_EQ(t[i].want, st.st_mode & 07777);
		core_close(&c);
	}
}

TEST(not_open_before_it_is_published)
{
	struct kipc_segment_spec spec = { .body_size = 4096 };
	struct core c, d;
	int fds;

	ASSERT_EQ(0, __kipc_segment_create(&c.seg, &core_ops, &spec));
	fds = core_count_fds(NULL);
	EXPECT_EQ(-EPROTO, core_open(&d, &c));
	EXPECT_EQ(fds, core_count_fds(NULL));
	__kipc_segment_close(&c.seg);
}

TEST(two_handles_in_one_process)
{
	struct core a, b;
	int fds = core_count_fds(NULL);

	ASSERT_EQ(0, core_create(&a, NULL));
	ASSERT_EQ(0, core_open(&b, &a));
	EXPECT_EQ(1, a.seg.slot);
	EXPECT_EQ(2, b.seg.slot);
	EXPECT_NE(a.seg.base, b.seg.base);
	a.body->tokens = 17;
	EXPECT_EQ(17, b.body->tokens);
	EXPECT_TRUE(__kipc_peer_alive(&a.seg, 2));
	EXPECT_TRUE(__kipc_peer_alive(&b.seg, 1));
	core_close(&a);
	EXPECT_EQ(17, b.body->tokens);
	EXPECT_FALSE(__kipc_peer_alive(&b.seg, 1));
	EXPECT_EQ(KIPC_PEER_FREE, core_peer(&b, 1)->state);
	core_close(&b);
	EXPECT_EQ(fds, core_count_fds(NULL));
}

TEST(close_is_safe_on_nothing)
{
	struct core c;

	ASSERT_EQ(0, core_create(&c, NULL));
	core_close(&c);
	__kipc_segment_close(&c.seg);
	memset(&c.seg, 0, sizeof(c.seg));
	__kipc_segment_close(&c.seg);
	EXPECT_EQ(NULL, c.seg.base);
}

TEST(places_inside_and_outside)
{
	struct core c;
	uint64_t size;

	ASSERT_EQ(0, core_create(&c, NULL));
	size = c.seg.size;
	EXPECT_EQ(c.seg.base, __kipc_segment_at(&c.seg, 0, size));
	EXPECT_EQ(c.seg.base, __kipc_segment_at(&c.seg, 0, 0));
	EXPECT_EQ(c.seg.base + size - 1, __kipc_segment_at(&c.seg, size - 1, 1));
	EXPECT_EQ(c.seg.base + size, __kipc_segment_at(&c.seg, size, 0));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, size, 1));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, size + 1, 0));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, 0, size + 1));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, 1, size));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, UINT64_MAX, 1));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, 1, UINT64_MAX));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, UINT64_MAX, UINT64_MAX));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, UINT64_MAX - 4, 8));
	core_close(&c);
}

/* ---- growing ---- */

#define STEP 65536

static const struct kipc_segment_spec growing = { .body_size = STEP, .max_body_size = 16 * STEP };

TEST(grow)
{
	struct core c, d;
	uint64_t size, max;

	ASSERT_EQ(0, core_create(&c, &growing));
	ASSERT_EQ(0, core_open(&d, &c));
	seals_of(&c, F_SEAL_SHRINK);
	EXPECT_EQ(KIPC_SEG_F_GROWS, c.seg.hdr->flags);
	size = c.seg.size;
	max = c.seg.hdr->max_size;
	EXPECT_EQ(4096 + STEP, size);
	EXPECT_EQ(4096 + 16 * STEP, max);
	EXPECT_EQ(max, c.seg.map_size);

	EXPECT_EQ(0, __kipc_segment_grow(&c.seg, size));
	EXPECT_EQ(0, __kipc_segment_grow(&c.seg, 1));
	EXPECT_EQ(size, c.seg.size);
	EXPECT_EQ(NULL, __kipc_segment_at(&d.seg, size, 1));

	/* in whole pages; the other handle sees it without being told */
	EXPECT_EQ(0, __kipc_segment_grow(&c.seg, size + 1));
	EXPECT_EQ(size + 4096, c.seg.size);
	EXPECT_EQ(size, d.seg.size);
	ASSERT_NE(NULL, __kipc_segment_at(&d.seg, size + 4095, 1));
	EXPECT_EQ(size + 4096, d.seg.size);
	*(char *)__kipc_segment_at(&d.seg, size + 4095, 1) = 'x';
	EXPECT_EQ('x', c.seg.base[size + 4095]);

	EXPECT_EQ(-ENOSPC, __kipc_segment_grow(&c.seg, max + 1));
	EXPECT_EQ(-ENOSPC, __kipc_segment_grow(&c.seg, UINT64_MAX));
	EXPECT_EQ(0, __kipc_segment_grow(&d.seg, max));
	EXPECT_EQ(max, __kipc_segment_refresh(&c.seg));
	c.seg.base[max - 1] = 'y';
	EXPECT_EQ('y', d.seg.base[max - 1]);
	EXPECT_EQ(-ENOSPC, __kipc_segment_grow(&d.seg, max + 1));

	/* nobody can take it away again */
	EXPECT_EQ(-1, ftruncate(c.seg.fd, size));
	EXPECT_EQ(EPERM, errno);
	core_close(&d);

	/* one who comes later has all of it */
	ASSERT_EQ(0, core_open(&d, &c));
	EXPECT_EQ(max, d.seg.size);
	EXPECT_EQ('y', d.seg.base[max - 1]);
	core_close(&d);
	core_close(&c);
}

TEST(grow_where_it_can_not)
{
	struct core c;

	ASSERT_EQ(0, core_create(&c, NULL));
	EXPECT_EQ(0, __kipc_segment_grow(&c.seg, c.seg.size));
	EXPECT_EQ(-ENOSPC, __kipc_segment_grow(&c.seg, c.seg.size + 1));
	core_close(&c);
}

/* A file that grew past the reservation (by a hostile hand) is used as far as it is mapped. */
TEST(grow_past_the_maximum)
{
	struct core c;

	ASSERT_EQ(0, core_create(&c, &growing));
	ASSERT_EQ(0, ftruncate(c.seg.fd, (off_t)c.seg.map_size + STEP));
	EXPECT_EQ(c.seg.map_size, __kipc_segment_refresh(&c.seg));
	EXPECT_NE(NULL, __kipc_segment_at(&c.seg, c.seg.map_size - 1, 1));
	EXPECT_EQ(NULL, __kipc_segment_at(&c.seg, c.seg.map_size, 1));
	core_close(&c);
}

struct growers {
	struct core c;
	uint32_t *turn;	/* shared */
};

#define TURNS 14

/* Takes every second step, and checks what the other wrote into each of his. */
static int grow_in_turn(struct growers *g, uint32_t me)
{
	struct kipc_segment *seg = &g->c.seg;

	for (uint32_t i = me; i < TURNS; i += 2) {
		uint64_t at = 4096 + STEP * (uint64_t)(i + 1);
		uint32_t *word;

		if (!ksft_wait_for(load_acquire(g->turn) == i, 5000))
			return 1;
		if (i) {
			word = __kipc_segment_at(seg, at - STEP, STEP);
			if (!word || *word != i - 1)
				return 2;
		}
		if (__kipc_segment_grow(seg, at + STEP))
			return 3;
		word = __kipc_segment_at(seg, at, STEP);
		if (!word)
			return 4;
		*word = i;
		store_release(g->turn, i + 1);
	}
	return 0;
}

static int grow_odd(void *arg)
{
	struct growers *g = arg;

	return __kipc_peer_enter(&g->c.seg) ? 5 : grow_in_turn(g, 1);
}

TEST(grow_across_processes)
{
	struct growers g = { .turn = ksft_shared(sizeof(uint32_t)) };
	pid_t child;

	ASSERT_EQ(0, core_create(&g.c, &growing));
	child = ksft_fork(grow_odd, &g);
	EXPECT_EQ(0, grow_in_turn(&g, 0));
	ksft_join(child);
	EXPECT_EQ(4096 + STEP * (TURNS + 1), __kipc_segment_refresh(&g.c.seg));
	core_close(&g.c);
}

/* ---- who owns the descriptor ---- */

TEST(a_failed_open_leaves_the_descriptor)
{
	struct kipc_segment_ops other = core_ops;
	struct kipc_segment seg;
	struct core c;

	ASSERT_EQ(0, core_create(&c, NULL));
	other.kind = KIPC_SEG_PIPE;
	EXPECT_EQ(-EPROTO, __kipc_segment_open(&seg, &other, c.seg.fd));
	__kipc_segment_close(&seg);
	other = core_ops;
	other.stamp++;
	EXPECT_EQ(-EPROTONOSUPPORT, __kipc_segment_open(&seg, &other, c.seg.fd));
	__kipc_segment_close(&seg);
	EXPECT_NE(-1, fcntl(c.seg.fd, F_GETFD));
	EXPECT_EQ(KIPC_SEG_MAGIC, c.seg.hdr->magic);
	core_close(&c);
}

static int refuse(struct kipc_segment *seg)
{
	EXPECT_EQ(0, seg->slot);
	EXPECT_EQ(-1, seg->lock_fd);
	return -EPROTO;
}

TEST(what_verify_refuses)
{
	struct kipc_segment_ops other = core_ops;
	int fds;
	struct kipc_segment seg;
	struct core c;

	ASSERT_EQ(0, core_create(&c, NULL));
	fds = core_count_fds(NULL);
	other.verify = refuse;
	EXPECT_EQ(-EPROTO, __kipc_segment_open(&seg, &other, c.seg.fd));
	__kipc_segment_close(&seg);
	EXPECT_EQ(fds, core_count_fds(NULL));
	EXPECT_EQ(1, c.seg.hdr->peer_high);
	core_close(&c);
}

TEST_HARNESS_MAIN
