// SPDX-License-Identifier: MIT
/* Opened for reading only: everything can be read, nothing written, and that is the kernel's word. */
#include <sys/mman.h>

#include "core/object.h"
#include "names.h"

FIXTURE(ro) {
	struct names_dir dir;
	struct kipc_object *writer, *reader;
};

FIXTURE_VARIANT(ro) {
	const struct names_kind *kind;
};

FIXTURE_VARIANT_ADD(ro, queue) { &queue_kind };
FIXTURE_VARIANT_ADD(ro, shm) { &shm_kind };
FIXTURE_VARIANT_ADD(ro, array) { &array_kind };
FIXTURE_VARIANT_ADD(ro, manager) { &manager_kind };

FIXTURE_SETUP(ro)
{
	names_begin(&self->dir);
	ASSERT_EQ(0, variant->kind->create("thing", 0, 0, &self->writer));
	ASSERT_EQ(0, variant->kind->open("thing", KIPC_NAME_RDONLY, &self->reader));
}

FIXTURE_TEARDOWN(ro)
{
	kipc_object_close(self->reader);
	kipc_object_close(self->writer);
	names_end(&self->dir);
}

TEST_F(ro, the_kernel_refuses)
{
	struct kipc_segment *seg = &self->reader->seg;
	uint32_t before = self->writer->seg.hdr->peer_high;

	EXPECT_EQ(O_RDONLY, fcntl(seg->fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(-1, mprotect(seg->base, 4096, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ((void *)-1, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, seg->fd, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, pwrite(seg->fd, "x", 1, 4096));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, ftruncate(seg->fd, 1 << 30));
	EXPECT_EQ(-1, fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	/* no trace of it in the segment */
	EXPECT_EQ(before, self->writer->seg.hdr->peer_high);
	EXPECT_EQ(0, seg->slot);
}

TEST_F(ro, a_store_is_a_fault)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		/* no sanitizer's business */
		signal(SIGSEGV, SIG_DFL);
		*(volatile uint8_t *)self->reader->seg.base = 1;
		_exit(0);
	}
	status = ksft_wait(pid);
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
}

static bool has_readers(const struct names_kind *kind)
{
	return kind == &shm_kind || kind == &array_kind;
}

/* Handed on it is open for reading only again, if the kind can be had so without a name. */
TEST_F(ro, handed_on)
{
	int sv[2], want = has_readers(variant->kind) ? 0 : -EACCES;
	struct kipc_object *got;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	EXPECT_EQ(want, kipc_send(sv[0], self->reader));
	if (want)
		return;
	ASSERT_EQ(0, kipc_recv(sv[1], &got));
	EXPECT_TRUE(got->seg.readonly);
	EXPECT_EQ(-1, mprotect(got->seg.base, 4096, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	kipc_object_close(got);
}

TEST_F(ro, not_exported)
{
	char bytes[KIPC_EXPORT_BYTES];
	int fds[KIPC_EXPORT_FDS];

	if (has_readers(variant->kind))
		return;
	EXPECT_EQ(-EACCES, kipc_export(self->reader, bytes, sizeof(bytes), fds, KIPC_EXPORT_FDS));
	EXPECT_EQ(-EACCES, kipc_export_env(self->reader, "reader"));
	EXPECT_TRUE(getenv("KIPC_FDS") == NULL);
}

TEST_F(ro, checked)
{
	KIPC_OPTS(kipc_report, report);
	KIPC_OPTS(kipc_report, settle, .flags = KIPC_CHECK_SETTLE);

	EXPECT_EQ(0, variant->kind->mark(self->writer));
	EXPECT_EQ(0, kipc_check(self->reader, &report));
	EXPECT_STREQ("", report.first);
	EXPECT_EQ(has_readers(variant->kind) ? 0 : -EACCES, kipc_check(self->reader, &settle));
}

static int use_in_child(void *arg)
{
	struct kipc_object *reader = arg;

	return reader->seg.slot || !reader->seg.readonly || kipc_object_kind(reader) < 0;
}

TEST_F(ro, over_fork)
{
	ksft_join(ksft_fork(use_in_child, self->reader));
	EXPECT_EQ(0, variant->kind->mark(self->writer));
	EXPECT_EQ(0, variant->kind->find(self->writer));
}

/* Its broker dies, and only a reader is left: who may write to it by its mode can do so again. */
TEST_F(ro, held_by_a_reader_alone)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *obj = NULL;

	EXPECT_EQ(0, k->mark(self->writer));
	kipc_object_close(self->writer);
	self->writer = NULL;
	names_kill(&self->dir);
	ASSERT_EQ(0, k->open("thing", KIPC_NAME_RDONLY, &obj));
	kipc_object_close(obj);
	if (k == &queue_kind) {
		/* its doorbells are gone, for good */
		EXPECT_EQ(-EAGAIN, k->open("thing", 0, &obj));
		EXPECT_EQ(1, kipc_queue_len(kipc_object_queue(self->reader)));
	} else {
		ASSERT_EQ(0, k->open("thing", 0, &obj));
		EXPECT_EQ(0, k->find(obj));
		kipc_object_close(obj);
	}
	EXPECT_EQ(0, k->unlink("thing"));
}

/* ---- a kind at a time ---- */

FIXTURE(kinds) {
	struct names_dir dir;
};

FIXTURE_SETUP(kinds)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(kinds)
{
	names_end(&self->dir);
}

TEST_F(kinds, queue)
{
	KIPC_OPTS(kipc_queue_opts, o, .flags = KIPC_NAME_RDONLY);
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	struct iovec iov = { "x", 1 };
	struct kipc_queue *w, *r;
	struct kipc_msg msg = { 0 };
	char buf[8];

	ASSERT_EQ(0, kipc_queue_create("q", NULL, &w));
	ASSERT_EQ(0, kipc_queue_open("q", &o, &r));
	ASSERT_EQ(0, kipc_queue_put(w, "a", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_put(w, "b", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(w, &msg, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_queue_len(r));
	EXPECT_EQ(0, kipc_queue_empty(r));
	EXPECT_EQ(0, kipc_queue_full(r));
	EXPECT_EQ(1024, kipc_queue_capacity(r));
	ASSERT_EQ(0, kipc_queue_stat(r, &st));
	EXPECT_EQ(1, st.len);
	EXPECT_EQ(2, st.put);
	EXPECT_EQ(1, st.peers);
	EXPECT_EQ(-EACCES, kipc_queue_put(r, "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_queue_put_many(r, &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_queue_get(r, buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_queue_get_many(r, &iov, 1, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_queue_commit(r, &msg));
	EXPECT_EQ(-EACCES, kipc_queue_abort(r, &msg));
	EXPECT_EQ(-EACCES, kipc_queue_done(r, &msg));
	EXPECT_EQ(-EACCES, kipc_queue_requeue(r, &msg));
	EXPECT_EQ(-EACCES, kipc_queue_reserve(r, 1, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_queue_take(r, &msg, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_queue_join(r, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_queue_shutdown(r));
	EXPECT_EQ(-EACCES, kipc_queue_fd(r, KIPC_READABLE));
	kipc_queue_close(r);
	kipc_queue_close(w);
}

TEST_F(kinds, array)
{
	KIPC_OPTS(kipc_array_opts, o, .flags = KIPC_NAME_RDONLY);
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_array *w, *r;
	int32_t out[6], in[6] = { 1, 2, 3, 4, 5, 6 };
	uint64_t seq;

	ASSERT_EQ(0, kipc_array_create("a", KIPC_INT32, 2, (uint64_t[]){ 2, 3 }, NULL, &w));
	ASSERT_EQ(0, kipc_array_open("a", &o, &r));
	EXPECT_EQ(KIPC_INT32, kipc_array_dtype(r));
	EXPECT_EQ(2, kipc_array_ndim(r));
	EXPECT_EQ(3, kipc_array_shape(r)[1]);
	ASSERT_EQ(0, kipc_array_write_begin(w, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_array_read_begin(r, &seq, KIPC_NOWAIT));
	EXPECT_EQ(-ETIMEDOUT, kipc_array_read_begin(r, &seq, 3000000));
	EXPECT_EQ(0, kipc_array_write(w, in, sizeof(in)));
	ASSERT_EQ(0, kipc_array_write_end(w));
	ASSERT_EQ(0, kipc_array_read_begin(r, &seq, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_array_read(r, out, sizeof(out)));
	EXPECT_FALSE(kipc_array_read_retry(r, seq));
	EXPECT_MEMEQ(in, out, sizeof(in));
	ASSERT_EQ(0, kipc_array_stat(r, &st));
	EXPECT_EQ(1, st.peers);
	EXPECT_EQ(1, st.writes);
	EXPECT_EQ(0, kipc_array_copy(w, r));
	EXPECT_EQ(-EACCES, kipc_array_copy(r, w));
	EXPECT_EQ(-EACCES, kipc_array_fill(r, in));
	EXPECT_EQ(-EACCES, kipc_array_write(r, in, sizeof(in)));
	EXPECT_EQ(-EACCES, kipc_array_write_begin(r, KIPC_NOWAIT));
	EXPECT_EQ(-EPERM, kipc_array_write_end(r));
	kipc_array_close(r);
	kipc_array_close(w);
}

static int die_writing(void *arg)
{
	struct kipc_shm *s = arg;

	if (kipc_shm_write_begin(s, KIPC_FOREVER))
		return 1;
	kill(getpid(), SIGKILL);
	return 2;
}

static int write_much(void *arg)
{
	struct kipc_shm *s = arg;
	uint64_t *p = kipc_shm_addr(s);

	for (uint64_t i = 1; i < 20000; i++) {
		if (kipc_shm_write_begin(s, KIPC_FOREVER))
			return 1;
		for (int k = 0; k < 16; k++)
			p[k] = i;
		if (kipc_shm_write_end(s))
			return 2;
	}
	return 0;
}

TEST_F(kinds, shm)
{
	KIPC_OPTS(kipc_shm_opts, o, .flags = KIPC_NAME_RDONLY);
	struct kipc_shm *w, *r;
	uint64_t seq, copy[16];
	pid_t pid;
	int snapshots = 0;

	ASSERT_EQ(0, kipc_shm_create("s", 4096, NULL, &w));
	ASSERT_EQ(0, kipc_shm_open("s", &o, &r));
	pid = ksft_fork(write_much, w);
	do {
		do {
			ASSERT_EQ(0, kipc_shm_read_begin(r, &seq, KIPC_FOREVER));
			memcpy(copy, kipc_shm_addr(r), sizeof(copy));
		} while (kipc_shm_read_retry(r, seq));
		for (int k = 1; k < 16; k++)
			ASSERT_EQ(copy[0], copy[k]);
		snapshots++;
	} while (copy[0] != 19999);
	ksft_join(pid);
	EXPECT_GT(snapshots, 0);

	/* that a writer died is seen by asking the kernel, which needs no right to write */
	pid = ksft_fork(die_writing, w);
	ksft_wait(pid);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(r, &seq, KIPC_FOREVER));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(r, &seq, KIPC_NOWAIT));
	EXPECT_FALSE(kipc_shm_read_retry(r, seq));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_write_begin(w, KIPC_FOREVER));
	EXPECT_TRUE(kipc_shm_read_retry(r, seq));
	EXPECT_EQ(0, kipc_shm_write_end(w));
	EXPECT_EQ(0, kipc_shm_read_begin(r, &seq, KIPC_FOREVER));
	EXPECT_EQ(-EACCES, kipc_shm_write_begin(r, KIPC_FOREVER));
	kipc_shm_close(r);
	kipc_shm_close(w);
}

TEST_HARNESS_MAIN
