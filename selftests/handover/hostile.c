// SPDX-License-Identifier: MIT
/*
 * What a hostile sender may put on the socket: every bad message is -EPROTO, none leaves a descriptor
 * behind, and the next good one is received.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <kipc/kipc.h>

#include "core/object.h"
#include "sockets.h"
#include "uapi/kipc/shm.h"

FIXTURE(hostile) {
	struct pair p;
	struct kipc_shm *s;
	int fd;			/* its memfd: a good descriptor */
	int fds_before;
};

FIXTURE_VARIANT(hostile) {
	int type;
};

FIXTURE_VARIANT_ADD(hostile, stream) { SOCK_STREAM };
FIXTURE_VARIANT_ADD(hostile, seqpacket) { SOCK_SEQPACKET };
FIXTURE_VARIANT_ADD(hostile, dgram) { SOCK_DGRAM };

static void good_one_still_works(struct pair p, struct kipc_shm *s)
{
	struct kipc_object *obj = NULL;

	ASSERT_EQ(0, kipc_send(p.send, kipc_shm_object(s)));
	ASSERT_EQ(0, kipc_recv(p.recv, &obj));
	kipc_object_close(obj);
}

FIXTURE_SETUP(hostile)
{
	self->p = socket_pair(variant->type);
	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &self->s));
	self->fd = kipc_shm_fd(self->s);
	good_one_still_works(self->p, self->s);
	self->fds_before = count_fds();
}

FIXTURE_TEARDOWN(hostile)
{
	good_one_still_works(self->p, self->s);
	EXPECT_EQ(self->fds_before, count_fds());
	kipc_shm_close(self->s);
	close_pair(self->p);
}

/* Sends it and checks what the receiver says. */
static bool refused(struct pair p, int want, const void *buf, size_t len, const int *fds, size_t n)
{
	struct kipc_object *obj = NULL;
	int before = count_fds();

	ASSERT_EQ(len, send_raw(p.send, buf, len, fds, n));
	if (!EXPECT_EQ(want, kipc_recv(p.recv, &obj)))
		return false;
	return EXPECT_TRUE(obj == NULL) && EXPECT_EQ(before, count_fds());
}

/* Sends it and checks that the receiver gets something to be read. */
static void read_only(struct pair p, const void *buf, size_t len, int fd)
{
	struct kipc_object *obj = NULL;
	int before = count_fds();
	uint64_t seq;

	ASSERT_EQ(len, send_raw(p.send, buf, len, &fd, 1));
	ASSERT_EQ(0, kipc_recv(p.recv, &obj));
	EXPECT_EQ(0, kipc_shm_read_begin(kipc_object_shm(obj), &seq, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_shm_write_begin(kipc_object_shm(obj), KIPC_NOWAIT));
	kipc_object_close(obj);
	EXPECT_EQ(before, count_fds());
}

TEST_F(hostile, good_by_hand)
{
	struct kipc_handover msg = header(KIPC_KIND_SHM, 1);
	struct kipc_object *obj;

	/* so that the tests below fail for the reason that they name */
	ASSERT_EQ(sizeof(msg), send_raw(self->p.send, &msg, sizeof(msg), &self->fd, 1));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &obj));
	kipc_object_close(obj);
}

TEST_F(hostile, header_fields)
{
	struct kipc_handover msg;

	for (int bit = 0; bit < 64; bit++) {
		msg = header(KIPC_KIND_SHM, 1);
		msg.magic ^= 1ULL << bit;
		refused(self->p, -EPROTO, &msg, sizeof(msg), &self->fd, 1);
	}
	memset(&msg, 0, sizeof(msg));
	refused(self->p, -EPROTO, &msg, sizeof(msg), &self->fd, 1);
	memset(&msg, 0xff, sizeof(msg));
	refused(self->p, -EPROTO, &msg, sizeof(msg), &self->fd, 1);
	msg = header(KIPC_KIND_SHM, 1);
	msg.version = 2;
	refused(self->p, -EPROTONOSUPPORT, &msg, sizeof(msg), &self->fd, 1);
	for (int kind = 0; kind < 65536; kind = kind < 8 ? kind + 1 : kind * 2 + 1) {
		if (kind == KIPC_KIND_SHM)
			continue;
		msg = header((enum kipc_kind)kind, 1);
		refused(self->p, -EPROTO, &msg, sizeof(msg), &self->fd, 1);
	}
	for (int i = 0; i < KIPC_HANDOVER_ARGS; i++) {
		msg = header(KIPC_KIND_SHM, 1);
		msg.args[i] = 1;
		refused(self->p, -EPROTO, &msg, sizeof(msg), &self->fd, 1);
	}
}

TEST_F(hostile, wrong_number_of_descriptors)
{
	static const uint32_t claims[] = { 0, 1, 2, 8, 9, 64, UINT32_MAX };
	int many[64];

	for (int i = 0; i < 64; i++)
		many[i] = self->fd;
	for (size_t c = 0; c < sizeof(claims) / sizeof(claims[0]); c++)
		for (size_t n = 0; n <= 64; n = n < 12 ? n + 1 : n * 2) {
			struct kipc_handover msg = header(KIPC_KIND_SHM, claims[c]);

			if (n == 1 && claims[c] == 1)
				continue;
			refused(self->p, -EPROTO, &msg, sizeof(msg), many, n);
		}
}

TEST_F(hostile, wrong_length)
{
	char buf[4096] = { 0 };
	struct kipc_handover msg = header(KIPC_KIND_SHM, 1);
	struct kipc_object *obj = NULL;

	memcpy(buf, &msg, sizeof(msg));
	if (variant->type == SOCK_STREAM) {
		/* cut off by the end */
		for (size_t len = 1; len < sizeof(msg); len += 7) {
			struct pair p = socket_pair(SOCK_STREAM);
			int before = count_fds();

			ASSERT_EQ(len, send_raw(p.send, buf, len, &self->fd, 1));
			shutdown(p.send, SHUT_WR);
			EXPECT_EQ(-EPROTO, kipc_recv(p.recv, &obj));
			EXPECT_EQ(-EPIPE, kipc_recv(p.recv, &obj));
			EXPECT_EQ(before, count_fds());
			close_pair(p);
		}
		return;
	}
	for (size_t len = 1; len < sizeof(msg); len += 7)
		refused(self->p, -EPROTO, buf, len, &self->fd, 1);
	refused(self->p, -EPROTO, buf, sizeof(msg) + 1, &self->fd, 1);
	refused(self->p, -EPROTO, buf, sizeof(buf), &self->fd, 1);
	/* empty: on a seqpacket socket it can't be told from the end */
	refused(self->p, -EPROTO, buf, 0, &self->fd, 1);
	refused(self->p, variant->type == SOCK_DGRAM ? -EPROTO : -EPIPE, buf, 0, NULL, 0);
}

/* Descriptors that come with every piece add up. */
TEST(pieces_with_too_many)
{
	struct kipc_handover msg = header(KIPC_KIND_SHM, 1);
	struct pair p = socket_pair(SOCK_STREAM);
	struct kipc_object *obj = NULL;
	struct kipc_shm *s;
	int fds[8], before;

	ASSERT_EQ(0, kipc_shm_create(NULL, 4096, NULL, &s));
	for (int i = 0; i < 8; i++)
		fds[i] = kipc_shm_fd(s);
	good_one_still_works(p, s);
	before = count_fds();
	for (size_t each = 1; each <= 8; each++) {
		for (int i = 0; i < 4; i++)
			ASSERT_EQ(12, send_raw(p.send, (char *)&msg + 12 * i, 12, fds, each));
		EXPECT_EQ(-EPROTO, kipc_recv(p.recv, &obj));
		EXPECT_EQ(before, count_fds());
	}
	good_one_still_works(p, s);
	kipc_shm_close(s);
	close_pair(p);
}

/* A sender that stands still in the middle doesn't hold up a receiver that must not wait. */
TEST(stands_still_in_the_middle)
{
	struct kipc_handover msg = header(KIPC_KIND_SHM, 0);
	struct pair p = socket_pair(SOCK_STREAM);
	struct kipc_object *obj = NULL;

	ASSERT_EQ(0, fcntl(p.recv, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(20, send_raw(p.send, &msg, 20, NULL, 0));
	EXPECT_EQ(-EPROTO, kipc_recv(p.recv, &obj));
	EXPECT_EQ(-EAGAIN, kipc_recv(p.recv, &obj));
	close_pair(p);
}

TEST_F(hostile, other_descriptors)
{
	struct kipc_handover msg = header(KIPC_KIND_SHM, 1);
	int pipe_fds[2];
	int fds[9], n = 0;

	ASSERT_EQ(0, pipe(pipe_fds));
	fds[n++] = pipe_fds[0];
	fds[n++] = pipe_fds[1];
	fds[n++] = open("/dev/null", O_RDWR);
	fds[n++] = open("/proc/self/status", O_RDONLY);
	fds[n++] = open("/", O_RDONLY | O_DIRECTORY);
	fds[n++] = open("/", O_PATH);
	fds[n++] = eventfd(0, 0);
	fds[n++] = epoll_create1(0);
	fds[n++] = self->p.send;
	for (int i = 0; i < n; i++) {
		ASSERT_GE(fds[i], 0);
		if (!refused(self->p, -EPROTO, &msg, sizeof(msg), &fds[i], 1))
			ksft_log("descriptor %d", i);
	}
	for (int i = 0; i < n - 1; i++)
		close(fds[i]);
}

static void write_at(int fd, uint64_t off, const void *buf, size_t len)
{
	ASSERT_EQ(len, pwrite(fd, buf, len, (off_t)off));
}

/* Memfds that are no segments, or would not stay what they are. */
TEST_F(hostile, other_memfds)
{
	struct kipc_handover msg = header(KIPC_KIND_SHM, 1);
	char page[4096], *copy;
	struct stat st;
	int fd;

	/* unsealed, empty */
	fd = memfd_create("x", MFD_ALLOW_SEALING);
	refused(self->p, -EPROTO, &msg, sizeof(msg), &fd, 1);
	/* sealed, empty */
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	refused(self->p, -EPROTO, &msg, sizeof(msg), &fd, 1);
	close(fd);

	/* a byte for byte copy of a good one, unsealed: it could be cut short under us */
	ASSERT_EQ(0, fstat(self->fd, &st));
	copy = malloc((size_t)st.st_size);
	ASSERT_TRUE(copy != NULL);
	ASSERT_EQ(st.st_size, pread(self->fd, copy, (size_t)st.st_size, 0));
	fd = memfd_create("x", MFD_ALLOW_SEALING);
	write_at(fd, 0, copy, (size_t)st.st_size);
	refused(self->p, -EPROTO, &msg, sizeof(msg), &fd, 1);
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	refused(self->p, -EPROTO, &msg, sizeof(msg), &fd, 1);
	close(fd);

	/* sealed against writing too: nobody can take a slot in it, but shared memory has readers */
	fd = memfd_create("x", MFD_ALLOW_SEALING);
	write_at(fd, 0, copy, (size_t)st.st_size);
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	read_only(self->p, &msg, sizeof(msg), fd);
	close(fd);
	/* a good one by a read-only descriptor */
	snprintf(page, sizeof(page), "/proc/self/fd/%d", self->fd);
	fd = open(page, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	read_only(self->p, &msg, sizeof(msg), fd);
	close(fd);

	/* cut short: the header promises more than there is */
	for (off_t len = 1; len < st.st_size; len = len * 3 + 1) {
		fd = memfd_create("x", MFD_ALLOW_SEALING);
		write_at(fd, 0, copy, (size_t)len);
		ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
		refused(self->p, -EPROTO, &msg, sizeof(msg), &fd, 1);
		close(fd);
	}
	free(copy);

	/* garbage */
	fd = memfd_create("x", MFD_ALLOW_SEALING);
	for (int i = 0; i < 4; i++) {
		for (size_t k = 0; k < sizeof(page); k++)
			page[k] = (char)((size_t)i * 31 + k * 7 + 3);
		write_at(fd, (uint64_t)i * sizeof(page), page, sizeof(page));
	}
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	refused(self->p, -EPROTO, &msg, sizeof(msg), &fd, 1);
	close(fd);

	/* a segment of another kind than the message says, and the other way round */
	static const uint64_t shape[] = { 3 };
	struct kipc_array *a;
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT8, 1, shape, NULL, &a));
	fd = kipc_array_fd(a);
	refused(self->p, -EPROTO, &msg, sizeof(msg), &fd, 1);
	msg = header(KIPC_KIND_ARRAY, 1);
	refused(self->p, -EPROTO, &msg, sizeof(msg), &self->fd, 1);
	kipc_array_close(a);
}

/*
 * Sizes and places in the header that lead out of the segment.  The whole header is tried, field by
 * field, with values that overflow, point behind the end or are off by a little.
 */
TEST_F(hostile, segment_header)
{
	static const uint64_t values[] = { 0,	      1,	  4095,		 4097,
					   1u << 20,  1ULL << 40, UINT64_MAX,	 UINT64_MAX - 4095,
					   INT64_MAX, 1ULL << 63, UINT32_MAX - 1, 0xff00ff00ff00ffULL };
	static const size_t fields[] = {
		offsetof(struct kipc_seg_header, magic),
		offsetof(struct kipc_seg_header, endian),
		offsetof(struct kipc_seg_header, size),
		offsetof(struct kipc_seg_header, max_size),
		offsetof(struct kipc_seg_header, body_off),
		offsetof(struct kipc_seg_header, page_size),
	};
	struct kipc_seg_header hdr;
	struct pair p = self->p;

	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++)
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			struct kipc_object *obj = NULL;
			uint64_t old;
			int r;

			ASSERT_EQ(8, pread(self->fd, &old, 8, (off_t)fields[f]));
			write_at(self->fd, fields[f], &values[v], 8);
			ASSERT_EQ(0, kipc_send(p.send, kipc_shm_object(self->s)));
			r = kipc_recv(p.recv, &obj);
			if (!r) {
				/* harmless, then: what is there can be touched */
				struct kipc_shm *s = kipc_object_shm(obj);

				memset(kipc_shm_addr(s), 1, kipc_shm_size(s));
				EXPECT_EQ(4096, kipc_shm_size(s));
				kipc_object_close(obj);
			} else if (!EXPECT_TRUE(r == -EPROTO || r == -EPROTONOSUPPORT || r == -ENOMEM ||
						/* valgrind's word for it */
						(ksft_slow() && r == -EINVAL))) {
				ksft_log("field at %zu, value %#lx: %d", fields[f],
					 (unsigned long)values[v], r);
			}
			write_at(self->fd, fields[f], &old, 8);
		}
	ASSERT_EQ(sizeof(hdr), pread(self->fd, &hdr, sizeof(hdr), 0));
	EXPECT_EQ(KIPC_SEG_MAGIC, hdr.magic);
}

/* The description of the data: whatever it says, what is opened lies inside the segment. */
TEST_F(hostile, shm_head)
{
	struct kipc_shm_head *head = (void *)((char *)kipc_shm_addr(self->s) - KIPC_SHM_HEAD_SIZE(56));
	uint64_t off = head->data_off, size = head->size;
	uint64_t bad_offs[] = { 0,	    1,	      off - 4096, off + 1,	off + 8192,
				1ULL << 32, 1ULL << 63, UINT64_MAX, UINT64_MAX - 4095 };
	uint64_t bad_sizes[] = { 0, 4097, 1ULL << 32, 1ULL << 63, UINT64_MAX, UINT64_MAX - off + 1 };
	struct kipc_object *obj = NULL;

	ASSERT_EQ(kipc_shm_offset(self->s), off);
	for (size_t i = 0; i < sizeof(bad_offs) / sizeof(bad_offs[0]); i++) {
		head->data_off = bad_offs[i];
		ASSERT_EQ(0, kipc_send(self->p.send, kipc_shm_object(self->s)));
		EXPECT_EQ(-EPROTO, kipc_recv(self->p.recv, &obj));
	}
	head->data_off = off;
	for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++) {
		head->size = bad_sizes[i];
		ASSERT_EQ(0, kipc_send(self->p.send, kipc_shm_object(self->s)));
		EXPECT_EQ(-EPROTO, kipc_recv(self->p.recv, &obj));
	}
	/* who opened it before took a copy */
	EXPECT_EQ(size, kipc_shm_size(self->s));
	head->size = size;
}

/* Every kind: each of its descriptors replaced by one of another sort, left out, or sent twice. */
static void every_descriptor(struct pair p, struct kipc_object *obj)
{
	struct kipc_handover msg = header((enum kipc_kind)kipc_object_kind(obj), obj->ops->nfds);
	struct kipc_transfer t = { .nfds = obj->ops->nfds };
	int fds[KIPC_OBJECT_FDS_MAX + 1], others[4], pipe_fds[2];
	struct kipc_object *got;

	ASSERT_EQ(0, pipe(pipe_fds));
	others[0] = pipe_fds[0];
	others[1] = open("/dev/null", O_RDWR);
	others[2] = memfd_create("x", MFD_ALLOW_SEALING);
	others[3] = epoll_create1(0);
	ASSERT_EQ(0, obj->ops->export(obj, &t));
	memcpy(msg.args, t.args, sizeof(msg.args));

	/* good as it is */
	ASSERT_EQ(sizeof(msg), send_raw(p.send, &msg, sizeof(msg), t.fds, msg.nfds));
	ASSERT_EQ(0, kipc_recv(p.recv, &got));
	kipc_object_close(got);
	for (uint32_t i = 0; i < msg.nfds; i++)
		for (int k = 0; k < 4; k++) {
			memcpy(fds, t.fds, sizeof(t.fds));
			fds[i] = others[k];
			if (!refused(p, -EPROTO, &msg, sizeof(msg), fds, msg.nfds))
				ksft_log("kind %u, descriptor %u, other %d", msg.kind, i, k);
		}
	/* one too few, one too many, as the header says and otherwise */
	memcpy(fds, t.fds, sizeof(t.fds));
	fds[msg.nfds] = fds[0];
	refused(p, -EPROTO, &msg, sizeof(msg), fds, msg.nfds - 1);
	refused(p, -EPROTO, &msg, sizeof(msg), fds, msg.nfds + 1);
	msg.nfds--;
	refused(p, -EPROTO, &msg, sizeof(msg), fds, msg.nfds);
	msg.nfds += 2;
	refused(p, -EPROTO, &msg, sizeof(msg), fds, msg.nfds);
	msg.nfds--;
	/* arguments that mean nothing */
	memset(msg.args, 0xff, sizeof(msg.args));
	refused(p, -EPROTO, &msg, sizeof(msg), fds, msg.nfds);
	/* another kind's segment */
	for (int kind = KIPC_KIND_QUEUE; kind <= KIPC_KIND_MANAGER; kind++) {
		memcpy(msg.args, t.args, sizeof(msg.args));
		if (kind == kipc_object_kind(obj))
			continue;
		msg.kind = (uint16_t)kind;
		refused(p, -EPROTO, &msg, sizeof(msg), fds, msg.nfds);
	}
	ASSERT_EQ(0, kipc_send(p.send, obj));
	ASSERT_EQ(0, kipc_recv(p.recv, &got));
	kipc_object_close(got);
	for (int k = 0; k < 4; k++)
		close(others[k]);
	close(pipe_fds[1]);
}

TEST_F(hostile, every_kind)
{
	static const uint64_t shape[] = { 2 };
	struct kipc_pipe *ends[2];
	struct kipc_manager *m;
	struct kipc_array *a;
	struct kipc_queue *q;

	every_descriptor(self->p, kipc_shm_object(self->s));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT8, 1, shape, NULL, &a));
	every_descriptor(self->p, kipc_array_object(a));
	kipc_array_close(a);
	ASSERT_EQ(0, kipc_queue_create(NULL, NULL, &q));
	every_descriptor(self->p, kipc_queue_object(q));
	kipc_queue_close(q);
	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	every_descriptor(self->p, kipc_pipe_object(ends[0]));
	every_descriptor(self->p, kipc_pipe_object(ends[1]));
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	every_descriptor(self->p, kipc_manager_object(m));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
