// SPDX-License-Identifier: MIT
/* Opening what is not a segment, or was one: each check of the header, each kind of descriptor. */
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include "common.h"

#define SIZE	(4096 + 8192)
#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW)

/* A good segment's bytes, as a file of its own that nobody has mapped. */
static void image(char *bytes)
{
	struct kipc_segment_spec spec = { .body_size = 8192 };
	struct core c;

	ASSERT_EQ(0, core_create(&c, &spec));
	ASSERT_EQ(SIZE, c.seg.size);
	memcpy(bytes, c.seg.base, SIZE);
	core_close(&c);
	/* as if its creator had died at once: the slot is there to be repaired */
}

static int file_of(const void *bytes, size_t len, int seals)
{
	int fd = memfd_create("damaged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ASSERT_GE(fd, 0);
	if (len)
		ASSERT_EQ(len, pwrite(fd, bytes, len, 0));
	if (seals)
		ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

/* What opening fd says; whatever it says, nothing is left of it but fd. */
static int try_fd(int fd)
{
	int before = core_count_fds(NULL), r;
	struct core c = { 0 };

	r = __kipc_segment_open(&c.seg, &core_ops, fd);
	if (r) {
		EXPECT_EQ(NULL, c.seg.base);
		EXPECT_EQ(before, core_count_fds(NULL));
		__kipc_segment_close(&c.seg);
	} else {
		__kipc_segment_close(&c.seg);	/* and with it fd */
		EXPECT_EQ(before - 1, core_count_fds(NULL));
		return 0;
	}
	if (fd >= 0) {
		EXPECT_NE(-1, fcntl(fd, F_GETFD));
		close(fd);
	}
	return r;
}

static int try_bytes(const void *bytes, size_t len)
{
	return try_fd(file_of(bytes, len, SEALS));
}

TEST(undamaged)
{
	char bytes[SIZE];

	image(bytes);
	EXPECT_EQ(0, try_bytes(bytes, SIZE));
}

#define FIELD(name) offsetof(struct kipc_seg_header, name), \
		    sizeof(((struct kipc_seg_header *)0)->name)

static const struct {
	size_t off, len;
	uint64_t value;
	int want;
	const char *what;
} fields[] = {
	{ FIELD(magic), 0, -EPROTO, "never published" },
	{ FIELD(magic), KIPC_SEG_MAGIC + 1, -EPROTO, "another magic" },
	{ FIELD(endian), 0x04030201, -EPROTO, "the other byte order" },
	{ FIELD(abi_major), KIPC_ABI_MAJOR + 1, -EPROTONOSUPPORT, "a later major" },
	{ FIELD(abi_minor), KIPC_ABI_MINOR + 1, 0, "a later minor that we can read" },
	{ FIELD(abi_oldest), KIPC_ABI_MINOR + 1, -EPROTONOSUPPORT, "a minor that we can't read" },
	{ FIELD(kind), KIPC_SEG_PIPE, -EPROTO, "another kind" },
	{ FIELD(kind), KIPC_SEG_NONE, -EPROTO, "no kind" },
	{ FIELD(stamp), 1, -EPROTONOSUPPORT, "another layout" },
	{ FIELD(compat), UINT64_MAX, 0, "features to be ignored" },
	{ FIELD(ro_compat), 1, -EPROTONOSUPPORT, "a feature that forbids writing" },
	{ FIELD(incompat), 1ULL << 63, -EPROTONOSUPPORT, "a feature that forbids opening" },
	{ FIELD(size), SIZE + 1, -EPROTO, "cut short" },
	{ FIELD(size), UINT64_MAX, -EPROTO, "size" },
	{ FIELD(size), 0, -EPROTO, "size" },
	{ FIELD(size), 4096, -EPROTO, "no body" },
	{ FIELD(max_size), 0, -EPROTO, "maximum" },
	{ FIELD(max_size), SIZE - 4096, -EPROTO, "maximum below the size" },
	{ FIELD(max_size), SIZE + 1, -EPROTO, "maximum in bytes" },
	{ FIELD(max_size), SIZE + 2048, -EPROTO, "maximum in half pages" },
	{ FIELD(max_size), SIZE + 4096, 0, "a maximum above the size" },
	{ FIELD(max_size), (1ULL << 46) + 4096, -EPROTO, "maximum" },
	{ FIELD(max_size), UINT64_MAX - 4095, -EPROTO, "maximum" },
	{ FIELD(body_off), 0, -EPROTO, "body over the header" },
	{ FIELD(body_off), 2048, -EPROTO, "body in half a page" },
	{ FIELD(body_off), 4096 + 64, -EPROTO, "body in no page" },
	{ FIELD(body_off), SIZE, -EPROTO, "body at the end" },
	{ FIELD(body_off), SIZE + 4096, -EPROTO, "body past the end" },
	{ FIELD(body_off), UINT64_MAX - 4095, -EPROTO, "body far past the end" },
	{ FIELD(body_off), SIZE - 4096, 0, "a body of one page" },
	{ FIELD(page_size), 0, -EPROTO, "page size" },
	{ FIELD(page_size), 1, -EPROTO, "page size" },
	{ FIELD(page_size), 8192, -EPROTO, "page size" },
	{ FIELD(page_size), 1ULL << 21, -EPROTO, "a huge page" },
	{ FIELD(page_size), 1ULL << 30, -EPROTO, "a huger page" },
	{ FIELD(page_size), UINT64_MAX, -EPROTO, "page size" },
	{ FIELD(npeers), 0, -EPROTO, "nobody" },
	{ FIELD(npeers), 57, -EPROTO, "peers over the body" },
	{ FIELD(npeers), KIPC_PEER_MAX + 1, -EPROTO, "peers" },
	{ FIELD(npeers), UINT32_MAX, -EPROTO, "peers" },
	{ FIELD(npeers), 55, 0, "a peer less" },
	{ FIELD(peer_high), UINT32_MAX, 0, "the highest slot, which is a hint" },
	{ FIELD(swept_ns), UINT64_MAX, 0, "the last sweep, which is a hint" },
};

TEST(each_field_by_itself)
{
	char good[SIZE], bytes[SIZE];

	image(good);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		memcpy(bytes, good, SIZE);
		memcpy(bytes + fields[i].off, &fields[i].value, fields[i].len);
		if (!EXPECT_EQ(fields[i].want, try_bytes(bytes, SIZE)))
			ksft_log("%s: %#lx", fields[i].what, (unsigned long)fields[i].value);
	}
}

TEST(a_name_without_an_end)
{
	char bytes[SIZE];

	image(bytes);
	memset(bytes + offsetof(struct kipc_seg_header, name), 'n', 64);
	EXPECT_EQ(-EPROTO, try_bytes(bytes, SIZE));
	bytes[offsetof(struct kipc_seg_header, name) + 63] = '\0';
	EXPECT_EQ(0, try_bytes(bytes, SIZE));
}

/* A huge page size together with sizes that fit it: the kernel knows better what backs the file. */
TEST(huge_pages_that_are_not)
{
	struct kipc_seg_header h;
	char bytes[SIZE];
	int fd;

	image(bytes);
	memcpy(&h, bytes, sizeof(h));
	h.page_size = 1 << 21;
	h.size = h.max_size = 1 << 21;
	memcpy(bytes, &h, sizeof(h));
	fd = file_of(bytes, SIZE, 0);
	ASSERT_EQ(0, ftruncate(fd, 1 << 21));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, SEALS));
	EXPECT_EQ(-EPROTO, try_fd(fd));
}

/*
 * hugetlb that says it were not: mapped without reserving, its holes would be SIGBUS as soon as no
 * huge page is left.
 */
TEST(huge_pages_that_hide)
{
	char bytes[SIZE];
	void *p;
	int fd;

	fd = memfd_create("damaged", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | 21U << 26);
	if (fd < 0)
		SKIP("needs hugetlb");
	ASSERT_EQ(0, ftruncate(fd, 1 << 21));
	p = mmap(NULL, 1 << 21, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		SKIP("needs a free huge page of 2 MiB");
	image(bytes);
	memcpy(p, bytes, SIZE);
	((struct kipc_seg_header *)p)->max_size = 4 << 20;
	munmap(p, 1 << 21);
	ASSERT_EQ(0, ftruncate(fd, 4 << 20));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, SEALS));
	EXPECT_EQ(-EPROTO, try_fd(fd));
}

TEST(cut_short_at_every_page_and_around)
{
	static const size_t sizes[] = { 0,    1,    8,	  511,	512,	     513,
					4095, 4096, 4097, 8192, SIZE - 4096, SIZE - 1 };
	char bytes[SIZE];

	image(bytes);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_EQ(-EPROTO, try_bytes(bytes, sizes[i]));
}

TEST(longer_than_it_says)
{
	char bytes[SIZE + 4096] = { 0 };

	image(bytes);
	/* a segment that doesn't grow is as long as it was, and as its address space */
	EXPECT_EQ(-EPROTO, try_bytes(bytes, SIZE + 4096));
	EXPECT_EQ(-EPROTO, try_bytes(bytes, SIZE + 1));
}

TEST(seals)
{
	char bytes[SIZE];

	image(bytes);
	EXPECT_EQ(-EPROTO, try_fd(file_of(bytes, SIZE, 0)));
	EXPECT_EQ(-EPROTO, try_fd(file_of(bytes, SIZE, F_SEAL_GROW)));
	EXPECT_EQ(-EPROTO, try_fd(file_of(bytes, SIZE, F_SEAL_SEAL)));
	EXPECT_EQ(0, try_fd(file_of(bytes, SIZE, F_SEAL_SHRINK)));
	/* it can't be mapped for writing any more */
	EXPECT_EQ(-EPROTO, try_fd(file_of(bytes, SIZE, F_SEAL_SHRINK | F_SEAL_WRITE)));
	EXPECT_EQ(-EPROTO, try_fd(file_of(bytes, SIZE, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE)));
}

static int reopened(int fd, int flags)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	close(fd);
	ASSERT_GE(again, 0);
	return again;
}

TEST(other_descriptors)
{
	char bytes[SIZE], path[] = "/tmp/kipc-core-XXXXXX";
	int sv[2];

	image(bytes);
	EXPECT_EQ(-EBADF, try_fd(-1));
	EXPECT_EQ(-EPROTO, try_fd(open("/dev/zero", O_RDWR | O_CLOEXEC)));
	EXPECT_EQ(-EPROTO, try_fd(open("/proc/self/stat", O_RDONLY | O_CLOEXEC)));
	EXPECT_EQ(-EPROTO, try_fd(open("/", O_RDONLY | O_CLOEXEC)));
	EXPECT_EQ(-EPROTO, try_fd(eventfd(0, EFD_CLOEXEC)));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	EXPECT_EQ(-EPROTO, try_fd(sv[0]));
	close(sv[1]);
	ASSERT_EQ(0, pipe(sv));
	EXPECT_EQ(-EPROTO, try_fd(sv[0]));
	close(sv[1]);

	/* a plain file with the right bytes can be cut short */
	sv[0] = mkstemp(path);
	ASSERT_GE(sv[0], 0);
	unlink(path);
	ASSERT_EQ(SIZE, write(sv[0], bytes, SIZE));
	EXPECT_EQ(-EPROTO, try_fd(sv[0]));

	EXPECT_EQ(-EACCES, try_fd(reopened(file_of(bytes, SIZE, SEALS), O_RDONLY)));
	EXPECT_EQ(-EPROTO, try_fd(reopened(file_of(bytes, SIZE, SEALS), O_PATH)));
}

/* Any single bit: refused in one of the two ways, or harmless. */
TEST(every_bit_of_the_header)
{
	char bytes[SIZE];
	int opened = 0, step = ksft_slow() ? 7 : 1;

	image(bytes);
	for (int bit = 0; bit < KIPC_SEG_PEERS_OFF * 8; bit += step) {
		int fd, r;
		struct core c;

		bytes[bit / 8] ^= 1 << bit % 8;
		fd = file_of(bytes, SIZE, SEALS);
		memset(&c, 0, sizeof(c));
		r = __kipc_segment_open(&c.seg, &core_ops, fd);
		if (r) {
			/* the last two, of a sanitizer, for tens of terabytes of address space */
			EXPECT_TRUE(r == -EPROTO || r == -EPROTONOSUPPORT ||
				    (ksft_slow() && (r == -ENOMEM || r == -EINVAL)));
			close(fd);
		} else {
			opened++;
			/* believed: then all of it is really there */
			EXPECT_NE(NULL, __kipc_segment_at(&c.seg, 0, c.seg.size));
			EXPECT_EQ(0, c.seg.base[c.seg.size - 1]);
			EXPECT_EQ(2, c.seg.slot);	/* the first is the image's */
			core_close(&c);
		}
		bytes[bit / 8] ^= 1 << bit % 8;
	}
	EXPECT_GT(opened, 0);
}

/* Every word of the header at extremes, several at once, from a seed. */
TEST(random_headers)
{
	static const uint64_t extremes[] = { 0,		1,	  4095,	    4096,	4097,
					     SIZE - 1,	SIZE,	  SIZE + 1, 1ULL << 31, 1ULL << 32,
					     1ULL << 46, 1ULL << 62, 1ULL << 63, UINT64_MAX - 4095,
					     UINT64_MAX };
	int rounds = ksft_slow() ? 300 : 3000, refused = 0;
	char good[SIZE], bytes[SIZE];
	unsigned int seed = 12345;

	image(good);
	for (int i = 0; i < rounds; i++) {
		struct core c = { 0 };
		int fd, r;

		memcpy(bytes, good, SIZE);
		for (int n = rand_r(&seed) % 3; n >= 0; n--) {
			size_t word = 4 + rand_r(&seed) % 12;	/* compat .. id */

			memcpy(bytes + 8 * word, &extremes[rand_r(&seed) % ARRAY_SIZE(extremes)], 8);
		}
		fd = file_of(bytes, SIZE, SEALS);
		r = __kipc_segment_open(&c.seg, &core_ops, fd);
		if (r) {
			refused++;
			EXPECT_TRUE(r == -EPROTO || r == -EPROTONOSUPPORT ||
				    (ksft_slow() && (r == -ENOMEM || r == -EINVAL)));
			close(fd);
		} else {
			c.seg.base[c.seg.size - 1] = 1;
			core_close(&c);
		}
	}
	EXPECT_GT(refused, 0);
	EXPECT_LT(refused, rounds);
}

TEST_HARNESS_MAIN
