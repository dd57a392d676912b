// SPDX-License-Identifier: MIT
/* Objects by descriptors: who owns what, the way to another process, and what is refused. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "kinds.h"
#include "sockets.h"

/* What is exported of one object. */
struct parts {
	unsigned char bytes[KIPC_EXPORT_BYTES];
	int fds[KIPC_EXPORT_FDS];
	int n;
};

static void take_apart(struct parts *p, struct kipc_object *obj)
{
	p->n = kipc_export(obj, p->bytes, sizeof(p->bytes), p->fds, KIPC_EXPORT_FDS);
	ASSERT_GT(p->n, 0);
}

static int put_together(const struct parts *p, struct kipc_object **obj)
{
	return kipc_import(p->bytes, sizeof(p->bytes), p->fds, (size_t)p->n, obj);
}

static void close_fds(const struct parts *p)
{
	for (int i = 0; i < p->n; i++)
		EXPECT_EQ(0, close(p->fds[i]));
}

FIXTURE(parts) {
	struct kipc_object *obj;
	struct parts p;
	int fds_before;
};

FIXTURE_VARIANT(parts) {
	struct kind k;
};

FIXTURE_VARIANT_ADD(parts, queue) { KIND_queue };
FIXTURE_VARIANT_ADD(parts, pipe) { KIND_pipe };
FIXTURE_VARIANT_ADD(parts, shm) { KIND_shm };
FIXTURE_VARIANT_ADD(parts, array) { KIND_array };
FIXTURE_VARIANT_ADD(parts, manager) { KIND_manager };

FIXTURE_SETUP(parts)
{
	self->fds_before = count_fds();
	self->obj = variant->k.create();
	take_apart(&self->p, self->obj);
}

FIXTURE_TEARDOWN(parts)
{
	close_fds(&self->p);
	drop(self->obj);
	EXPECT_EQ(self->fds_before, count_fds());
}

TEST_F(parts, and_back)
{
	struct kipc_object *got = NULL;

	EXPECT_EQ(0, variant->k.mark(self->obj));
	ASSERT_EQ(0, put_together(&self->p, &got));
	EXPECT_TRUE(got != self->obj);
	EXPECT_EQ(variant->k.kind, kipc_object_kind(got));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
	/* they were the handle's */
	for (int i = 0; i < self->p.n; i++)
		EXPECT_EQ(-1, fcntl(self->p.fds[i], F_GETFD));
	self->p.n = 0;
}

TEST_F(parts, descriptors_are_new)
{
	struct parts other;

	take_apart(&other, self->obj);
	EXPECT_EQ(self->p.n, other.n);
	EXPECT_MEMEQ(self->p.bytes, other.bytes, sizeof(other.bytes));
	for (int i = 0; i < other.n; i++) {
		EXPECT_GE(other.fds[i], 3);
		EXPECT_EQ(FD_CLOEXEC, fcntl(other.fds[i], F_GETFD));
		for (int k = 0; k < other.n; k++)
			EXPECT_NE(self->p.fds[k], other.fds[i]);
	}
	close_fds(&other);
}

/* The descriptors alone keep the object. */
TEST_F(parts, handle_closed_first)
{
	struct kipc_object *got = NULL;

	EXPECT_EQ(0, variant->k.mark(self->obj));
	kipc_object_close(self->obj);
	self->obj = NULL;
	ASSERT_EQ(0, put_together(&self->p, &got));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
	self->p.n = 0;
}

TEST_F(parts, become_close_on_exec)
{
	struct kipc_object *got = NULL;

	for (int i = 0; i < self->p.n; i++)
		ASSERT_EQ(0, fcntl(self->p.fds[i], F_SETFD, 0));
	ASSERT_EQ(0, put_together(&self->p, &got));
	for (int i = 0; i < self->p.n; i++)
		EXPECT_EQ(FD_CLOEXEC, fcntl(self->p.fds[i], F_GETFD));
	kipc_object_close(got);
	self->p.n = 0;
}

/* Our own message, over our own socket. */
struct to_child {
	int sock;
	const struct kind *k;
};

static int child_finds(void *arg)
{
	struct to_child *c = arg;
	struct iovec iov;
	union {
		char buf[CMSG_SPACE(KIPC_EXPORT_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf) };
	struct kipc_object *obj;
	struct cmsghdr *cm;
	struct parts p;
	int r;

	iov = (struct iovec){ p.bytes, sizeof(p.bytes) };
	if (recvmsg(c->sock, &mh, 0) != sizeof(p.bytes))
		return 100;
	cm = CMSG_FIRSTHDR(&mh);
	if (!cm)
		return 101;
	p.n = (int)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(p.fds, CMSG_DATA(cm), (size_t)p.n * sizeof(int));
	if (put_together(&p, &obj))
		return 102;
	r = c->k->find(obj);
	kipc_object_close(obj);
	return r;
}

TEST_F(parts, to_another_process)
{
	struct to_child c = { .k = &variant->k };
	struct kipc_object *obj;
	struct parts p;
	struct pair s;
	pid_t pid;

	ksft_needs_processes();
	s = socket_pair(SOCK_SEQPACKET);
	c.sock = s.recv;
	pid = ksft_fork(child_finds, &c);
	obj = variant->k.create();	/* after the fork: not inherited */
	take_apart(&p, obj);
	EXPECT_EQ(0, variant->k.mark(obj));
	ASSERT_EQ(sizeof(p.bytes), send_raw(s.send, p.bytes, sizeof(p.bytes), p.fds, (size_t)p.n));
	close_fds(&p);
	ksft_join(pid);
	kipc_object_close(obj);
	close_pair(s);
}

/* kipc_recv() takes the same bytes, and kipc_import() what kipc_send() sent. */
TEST_F(parts, one_format)
{
	struct pair s = socket_pair(SOCK_SEQPACKET);
	struct kipc_handover msg;
	struct kipc_object *got = NULL;

	EXPECT_EQ(0, variant->k.mark(self->obj));
	ASSERT_EQ(sizeof(self->p.bytes), send_raw(s.send, self->p.bytes, sizeof(self->p.bytes),
						  self->p.fds, (size_t)self->p.n));
	ASSERT_EQ(0, kipc_recv(s.recv, &got));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
	ASSERT_EQ(0, kipc_send(s.send, self->obj));
	ASSERT_EQ(sizeof(msg), recv(s.recv, &msg, sizeof(msg), 0));
	EXPECT_MEMEQ(&msg, self->p.bytes, sizeof(msg));
	close_pair(s);
}

/* ---- what is refused ---- */

/* Refused with that error, and nothing has changed: not the descriptors, not their flags. */
static bool refused(int want, const struct parts *p, const void *bytes, size_t size)
{
	int before = count_fds(), flags[KIPC_EXPORT_FDS + 1];
	struct kipc_object *obj = NULL;
	bool ok;

	for (int i = 0; i < p->n; i++)
		flags[i] = fcntl(p->fds[i], F_GETFD);
	ok = EXPECT_EQ(want, kipc_import(bytes, size, p->fds, (size_t)p->n, &obj));
	ok &= EXPECT_TRUE(obj == NULL);
	ok &= EXPECT_EQ(before, count_fds());
	for (int i = 0; i < p->n; i++)
		ok &= EXPECT_EQ(flags[i], fcntl(p->fds[i], F_GETFD));
	return ok;
}

TEST_F(parts, other_bytes)
{
	unsigned char bytes[KIPC_EXPORT_BYTES + 1];
	size_t args = offsetof(struct kipc_handover, args);

	memcpy(bytes, self->p.bytes, sizeof(self->p.bytes));
	bytes[KIPC_EXPORT_BYTES] = 0;
	for (size_t size = 0; size <= sizeof(bytes); size++)
		if (size != KIPC_EXPORT_BYTES)
			refused(-EPROTO, &self->p, bytes, size);
	for (size_t bit = 0; bit < 8 * KIPC_EXPORT_BYTES; bit++) {
		size_t at = bit / 8;
		bool version = at == offsetof(struct kipc_handover, version) || at == 9;

		if (variant->k.kind == KIPC_KIND_PIPE && bit == 8 * args)
			continue;	/* says that it is the other end, which can't be known */
		bytes[at] ^= (unsigned char)(1u << bit % 8);
		if (!refused(version ? -EPROTONOSUPPORT : -EPROTO, &self->p, bytes,
			     KIPC_EXPORT_BYTES))
			ksft_log("bit %zu", bit);
		bytes[at] ^= (unsigned char)(1u << bit % 8);
	}
}

TEST_F(parts, other_descriptors)
{
	int others[5], n = self->p.n;
	struct parts p = self->p;

	others[0] = open("/dev/null", O_RDWR);
	others[1] = memfd_create("x", MFD_ALLOW_SEALING);
	others[2] = epoll_create1(EPOLL_CLOEXEC);
	others[3] = socket(AF_UNIX, SOCK_STREAM, 0);
	others[4] = open("/proc/self/exe", O_PATH);
	/* so that a change would show */
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, fcntl(self->p.fds[i], F_SETFD, 0));
	for (int i = 0; i < n; i++) {
		p = self->p;
		for (int k = 0; k < 5; k++) {
			p.fds[i] = others[k];
			if (!refused(-EPROTO, &p, p.bytes, sizeof(p.bytes)))
				ksft_log("descriptor %d, other %d", i, k);
		}
		p.fds[i] = -1;
		refused(-EBADF, &p, p.bytes, sizeof(p.bytes));
		p.fds[i] = 1000000;
		refused(-EBADF, &p, p.bytes, sizeof(p.bytes));
		/* would be closed twice */
		p.fds[i] = p.fds[(i + 1) % n];
		if (n > 1)
			refused(-EINVAL, &p, p.bytes, sizeof(p.bytes));
	}
	/* too few, too many */
	p = self->p;
	for (p.n = 0; p.n < n; p.n++)
		refused(-EPROTO, &p, p.bytes, sizeof(p.bytes));
	p.n = n + 1;
	p.fds[n] = others[0];
	refused(-EPROTO, &p, p.bytes, sizeof(p.bytes));
	for (int k = 0; k < 5; k++)
		close(others[k]);
}

TEST_F(parts, no_room)
{
	int fds[KIPC_EXPORT_FDS], before = count_fds();
	unsigned char bytes[KIPC_EXPORT_BYTES];

	for (int n = 0; n < self->p.n; n++)
		EXPECT_EQ(-ENOSPC, kipc_export(self->obj, bytes, sizeof(bytes), fds, (size_t)n));
	EXPECT_EQ(-ENOSPC, kipc_export(self->obj, bytes, sizeof(bytes) - 1, fds, KIPC_EXPORT_FDS));
	EXPECT_EQ(before, count_fds());
}

static int first_free(void)
{
	int fd = fcntl(0, F_DUPFD, 3);

	close(fd);
	return fd;
}

/* The process's table is full after some of them. */
TEST_F(parts, too_few_descriptors_left)
{
	struct rlimit old, lim;
	struct kipc_object *got = NULL;
	int r, n = self->p.n, next;

	/* what the process keeps once it has it, and the holes below */
	ASSERT_EQ(0, put_together(&self->p, &got));
	kipc_object_close(got);
	take_apart(&self->p, self->obj);
	getrlimit(RLIMIT_NOFILE, &old);
	lim = old;
	next = first_free();
	for (int spare = 0; spare < n; spare++) {
		struct parts p;
		int before = count_fds();

		lim.rlim_cur = (rlim_t)(next + spare);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
		r = kipc_export(self->obj, p.bytes, sizeof(p.bytes), p.fds, KIPC_EXPORT_FDS);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		EXPECT_EQ(-EMFILE, r);
		EXPECT_EQ(before, count_fds());
	}
	/* attaching needs one, too */
	lim.rlim_cur = (rlim_t)next;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
	r = put_together(&self->p, &got);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(-EMFILE, r);
	ASSERT_EQ(0, put_together(&self->p, &got));
	kipc_object_close(got);
	self->p.n = 0;
}

TEST_F(parts, null)
{
	unsigned char bytes[KIPC_EXPORT_BYTES];
	int fds[KIPC_EXPORT_FDS];
	struct kipc_object *got;

	EXPECT_EQ(-EINVAL, kipc_export(NULL, bytes, sizeof(bytes), fds, KIPC_EXPORT_FDS));
	EXPECT_EQ(-EINVAL, kipc_export(self->obj, NULL, sizeof(bytes), fds, KIPC_EXPORT_FDS));
	EXPECT_EQ(-EINVAL, kipc_export(self->obj, bytes, sizeof(bytes), NULL, KIPC_EXPORT_FDS));
	EXPECT_EQ(-EINVAL, kipc_import(NULL, sizeof(bytes), self->p.fds, 1, &got));
	EXPECT_EQ(-EINVAL, kipc_import(self->p.bytes, sizeof(bytes), NULL, 1, &got));
	EXPECT_EQ(-EINVAL, kipc_import(self->p.bytes, sizeof(bytes), self->p.fds, 1, NULL));
	EXPECT_EQ(-EPROTO, kipc_import(self->p.bytes, sizeof(bytes), NULL, 0, &got));
}

/* Room for one process, which the creator is. */
TEST(no_slot)
{
	KIPC_OPTS(kipc_shm_opts, o, .max_peers = 1);
	struct kipc_object *got = NULL;
	struct kipc_shm *s;
	struct parts p;

	ASSERT_EQ(0, kipc_shm_create(NULL, 1, &o, &s));
	take_apart(&p, kipc_shm_object(s));
	ASSERT_EQ(0, fcntl(p.fds[0], F_SETFD, 0));
	refused(-EUSERS, &p, p.bytes, sizeof(p.bytes));
	/* an exported object holds no slot */
	kipc_shm_close(s);
	EXPECT_EQ(0, put_together(&p, &got));
	kipc_object_close(got);
}

/* ---- a pipe's end is there as long as one descriptor of it is ---- */

TEST(exported_end_is_held)
{
	struct kipc_object *got = NULL;
	struct kipc_pipe *ends[2];
	struct parts p;
	char c;

	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	take_apart(&p, kipc_pipe_object(ends[1]));
	kipc_pipe_close(ends[1]);
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(ends[0], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(ends[0], "x", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, put_together(&p, &got));
	EXPECT_EQ(1, kipc_pipe_recv(kipc_object_pipe(got), &c, 1, KIPC_NOWAIT));
	kipc_object_close(got);
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(ends[0], &c, 1, KIPC_NOWAIT));
	kipc_pipe_close(ends[0]);
}

static int receives_the_end(void *arg)
{
	char c;

	return kipc_pipe_recv(arg, &c, 1, KIPC_FOREVER) == -EPIPE ? 0 : 1;
}

TEST(closing_the_descriptors_hangs_up)
{
	struct kipc_pipe *ends[2];
	struct ksft_thread t;
	struct parts p;

	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	take_apart(&p, kipc_pipe_object(ends[1]));
	kipc_pipe_close(ends[1]);
	ksft_thread_start(&t, receives_the_end, ends[0]);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(t.tid), 5000));
	close_fds(&p);
	ksft_thread_join(&t);
	kipc_pipe_close(ends[0]);
}

TEST_HARNESS_MAIN
