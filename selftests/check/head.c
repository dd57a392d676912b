// SPDX-License-Identifier: MIT
/* Header, seals and peers, of every kind; the arguments of the functions; files that are no segment. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_test.h"
#include "core/memory.h"
#include "core/peer.h"

FIXTURE(head) {
	struct kipc_object *obj;
	struct kipc_seg_header *hdr;
};

FIXTURE_VARIANT(head) {
	int kind;
};

FIXTURE_VARIANT_ADD(head, queue) { .kind = QUEUE };
FIXTURE_VARIANT_ADD(head, pipe) { .kind = PIPE };
FIXTURE_VARIANT_ADD(head, shm) { .kind = SHM };
FIXTURE_VARIANT_ADD(head, array) { .kind = ARRAY };
FIXTURE_VARIANT_ADD(head, manager) { .kind = MANAGER };

FIXTURE_SETUP(head)
{
	self->obj = make_object(variant->kind);
	ASSERT_TRUE(self->obj);
	self->hdr = self->obj->seg.hdr;
	check_clean(self->obj, KIPC_CHECK_IDLE);
}

FIXTURE_TEARDOWN(head)
{
	check_clean(self->obj, KIPC_CHECK_IDLE);
	kipc_object_close(self->obj);
}

#define DAMAGE(word, value, code, words) damage(self->obj, word, value, KIPC_FINDING_##code, words)

TEST_F(head, header)
{
	struct kipc_seg_header *h = self->hdr;

	DAMAGE(h->magic, 0, HEADER, "no magic");
	DAMAGE(h->magic, 1234, HEADER, "no segment of libkipc");
	DAMAGE(h->endian, 0x04030201, HEADER, "byte order");
	DAMAGE(h->abi_major, 77, HEADER, "ABI 77.");
	DAMAGE(h->abi_oldest, 99, HEADER, "is not this build's");
	DAMAGE(h->kind, 99, HEADER, "header: ");
	DAMAGE(h->stamp, h->stamp ^ 1, HEADER, "layout stamp");
	DAMAGE(h->incompat, 4, HEADER, "features");
	DAMAGE(h->ro_compat, 4, HEADER, "features");
	DAMAGE(h->size, h->size + (1ULL << 40), HEADER, "but the file has");
	DAMAGE(h->max_size, 4096, HEADER, "may grow to 4096 bytes");
	DAMAGE(h->max_size, ~0ULL, HEADER, "may grow to");
	if (h->max_size > h->size)
		DAMAGE(h->flags, h->flags & ~KIPC_SEG_F_GROWS, HEADER, "flags");
	DAMAGE(h->flags, h->flags | 0x80, HEADER, "flags");
	if (h->page_size != KIPC_PAGE_4K)
		DAMAGE(h->flags, h->flags | KIPC_SEG_F_THP, HEADER, "flags");
	DAMAGE(h->body_off, 100, HEADER, "the body begins at 100");
	DAMAGE(h->body_off, 1ULL << 50, HEADER, "the body begins at");
	DAMAGE(h->page_size, 123, HEADER, "pages of 123 bytes");
	DAMAGE(h->page_size, KIPC_PAGE_2M, HEADER, "header: ");
	DAMAGE(h->npeers, 0, HEADER, "room for 0 processes");
	DAMAGE(h->npeers, 5000, HEADER, "room for 5000 processes");
	DAMAGE(h->name[63], 'x', HEADER, "the name is none");
	DAMAGE(h->name[0], '/', HEADER, "the name is none");
}

TEST_F(head, peers)
{
	struct kipc_peer *p = (struct kipc_peer *)(self->obj->seg.base + KIPC_SEG_PEERS_OFF);
	uint32_t last = self->hdr->npeers - 1;

	DAMAGE(p[last].state, 2, PEER, "its state is 2");
	DAMAGE(p[last].state, KIPC_PEER_LIVE, PEER, "is in use, but none above");
	DAMAGE(p[last].sleeping[1], 1, PEER, "the slot is free, but threads of it sleep");
	DAMAGE(self->hdr->peer_high, last + 2, PEER, "was used, of");
	DAMAGE(self->hdr->peer_high, 0, PEER, "peer 1 is in use, but none above 0 ever was");
}

TEST_F(head, a_dead_peer)
{
	struct kipc_peer *p = (struct kipc_peer *)(self->obj->seg.base + KIPC_SEG_PEERS_OFF);
	struct findings all = { .n = 0 };

	KIPC_OPTS(kipc_report, r, .flags = KIPC_CHECK_IDLE, .found = collect, .arg = &all);

	self->hdr->peer_high += 1;
	p += self->hdr->peer_high - 1;
	p->pid = 4711;
	p->state = KIPC_PEER_LIVE;
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(1, r.dead_claims);
	EXPECT_EQ(1, r.dead_peers);
	EXPECT_TRUE(strstr(all.text, "process 4711 died and waits for repair"));
	/* and SETTLE repairs it */
	r.flags |= KIPC_CHECK_SETTLE;
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(0, r.dead_peers);
	EXPECT_EQ(KIPC_PEER_FREE, p->state);
}

TEST_F(head, arguments)
{
	struct { struct kipc_report r; uint64_t more; } newer = { .r.sz = sizeof(newer) };

	KIPC_OPTS(kipc_report, r, .flags = 4);

	EXPECT_EQ(-EINVAL, kipc_check(NULL, &r));
	EXPECT_EQ(-EINVAL, kipc_check(self->obj, NULL));
	EXPECT_EQ(-EINVAL, kipc_check(self->obj, &r));
	EXPECT_EQ(-EINVAL, kipc_check_fd(self->obj->seg.fd, &r));
	r.flags = KIPC_CHECK_SETTLE;
	EXPECT_EQ(-EINVAL, kipc_check_fd(self->obj->seg.fd, &r));
	r.flags = 0;
	r.sz = 8;
	EXPECT_EQ(-EINVAL, kipc_check(self->obj, &r));
	EXPECT_EQ(0, kipc_check(self->obj, &newer.r));
	EXPECT_EQ(sizeof(newer), newer.r.sz);
	newer.more = 1;
	EXPECT_EQ(-E2BIG, kipc_check(self->obj, &newer.r));
	EXPECT_EQ(-E2BIG, kipc_check_fd(self->obj->seg.fd, &newer.r));
}

/* Every byte of the segment as it stands, in another file; pages of zeroes are holes. */
static void fill(int fd, struct kipc_object *obj, uint64_t size)
{
	static const char zeroes[4096];

	ASSERT_EQ(0, ftruncate(fd, (off_t)size));
	for (uint64_t off = 0; off < size; off += 4096) {
		uint64_t n = min_of(size - off, (uint64_t)4096);

		if (memcmp(obj->seg.base + off, zeroes, n))
			ASSERT_EQ(n, pwrite(fd, obj->seg.base + off, n, (off_t)off));
	}
}

static int image(struct kipc_object *obj, unsigned int flags, uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC | flags);

	ASSERT_GE(fd, 0);
	fill(fd, obj, size);
	return fd;
}

TEST_F(head, seals)
{
	struct findings all = { .n = 0 };
	int fd = image(self->obj, MFD_ALLOW_SEALING, self->obj->seg.size);

	KIPC_OPTS(kipc_report, r, .found = collect, .arg = &all);

	EXPECT_GE(kipc_check_fd(fd, &r), 1);
	EXPECT_TRUE(strstr(all.text, "the file may shrink"));
	EXPECT_EQ(!(self->hdr->flags & KIPC_SEG_F_GROWS),
		  strstr(all.text, "the file may grow, which its header rules out") != NULL);
	EXPECT_EQ(r.kind, kipc_object_kind(self->obj));
	/* nobody locks a byte of that file */
	EXPECT_GE(r.dead_peers, 1);
	all.text[0] = '\0';
	EXPECT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	/* and the copy of a manager has holes, where the library has none */
	if (variant->kind == SHM || variant->kind == ARRAY) {
		EXPECT_EQ(0, kipc_check_fd(fd, &r));	/* which have readers */
	} else {
		EXPECT_EQ(1 + (variant->kind == MANAGER), kipc_check_fd(fd, &r));
		EXPECT_STREQ("seals: the file can't be written", r.first);
	}
	close(fd);
}

TEST_F(head, cut_short)
{
	const uint64_t sizes[] = { 0, 1, 100, 511, 512, 4096, self->hdr->body_off,
				   self->hdr->body_off + 64, self->obj->seg.size - 4096 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int fd = image(self->obj, 0, sizes[i]);

		KIPC_OPTS(kipc_report, r, .flags = KIPC_CHECK_IDLE);

		EXPECT_GE(kipc_check_fd(fd, &r), 1);
		EXPECT_NE('\0', r.first[0]);
		close(fd);
	}
}

static void check_image(struct kipc_object *obj, char *path)
{
	struct kipc_seg_image im = { .magic = KIPC_IMAGE_MAGIC, .alive = { 1ULL << obj->seg.slot } };
	uint32_t peers = 1 + (kipc_object_kind(obj) == KIPC_KIND_PIPE);
	int fd = mkstemp(path);

	KIPC_OPTS(kipc_report, r);

	ASSERT_GE(fd, 0);
	unlink(path);
	fill(fd, obj, obj->seg.size);
	ASSERT_EQ(7, lseek(fd, 7, SEEK_SET));
	EXPECT_EQ(0, kipc_check_fd(fd, &r));
	EXPECT_EQ(7, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(peers, r.dead_peers);
	EXPECT_EQ(0, r.live_peers);
	/* one that says who lived */
	ASSERT_EQ(sizeof(im), (size_t)pwrite(fd, &im, sizeof(im),
					     offsetof(struct kipc_seg_header, image)));
	EXPECT_EQ(0, kipc_check_fd(fd, &r));
	EXPECT_EQ(peers - 1, r.dead_peers);
	EXPECT_EQ(1, r.live_peers);
	close(fd);
}

/* A file, as somebody would keep it after an accident: nobody lives in it, but as it says itself. */
TEST_F(head, image_in_file)
{
	check_image(self->obj, (char[]){ "/tmp/kipc-image-XXXXXX" });
	/* of tmpfs: its files have seals, like a memfd */
	check_image(self->obj, (char[]){ "/dev/shm/kipc-image-XXXXXX" });
}

TEST(no_segments)
{
	int null = open("/dev/null", O_RDWR), dir = open("/tmp", O_RDONLY);
	int empty = memfd_create("x", 0);
	char path[] = "/tmp/kipc-check-XXXXXX";
	int fd = mkstemp(path);

	KIPC_OPTS(kipc_report, r);

	EXPECT_EQ(-EBADF, kipc_check_fd(-1, &r));
	EXPECT_EQ(-EISDIR, kipc_check_fd(dir, &r));
	EXPECT_EQ(-EACCES, kipc_check_fd(null, &r));
	EXPECT_EQ(1, kipc_check_fd(empty, &r));
	EXPECT_STREQ("header: a file of 0 bytes is too short for it", r.first);
	EXPECT_EQ(0, r.kind);
	ASSERT_GE(fd, 0);
	if (geteuid()) {
		EXPECT_EQ(0, fchmod(fd, 0));
		EXPECT_EQ(-EACCES, kipc_check_fd(fd, &r));
	}
	EXPECT_EQ(600, write(fd, (char[600]){ 1 }, 600));
	unlink(path);
	EXPECT_EQ(1, kipc_check_fd(fd, &r));
	EXPECT_TRUE(strstr(r.first, "no segment of libkipc"));
	close(fd);
	close(null);
	close(dir);
	close(empty);
}

TEST_HARNESS_MAIN
