// SPDX-License-Identifier: MIT
/*
 * Clients that send rubbish, stall, or hand in what they should not: they get an error or are hung
 * up on, the others are served meanwhile, and nothing of it is left in the broker.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mount.h>
#include <sys/timerfd.h>

#include "raw.h"

FIXTURE(hostile) {
	struct names_dir dir;
	pid_t broker;
	char mnt[64];		/* a file system of the test's, or "" */
};

/* Something is always there: the broker never ends by itself in these tests. */
FIXTURE_SETUP(hostile)
{
	struct kipc_shm *s;

	names_begin(&self->dir);
	ASSERT_EQ(0, kipc_shm_create("anchor", 1, NULL, &s));
	kipc_shm_close(s);
	self->broker = names_broker(&self->dir);
	ASSERT_GT(self->broker, 0);
}

/* The same broker, still serving, with as many descriptors as before. */
FIXTURE_TEARDOWN(hostile)
{
	struct kipc_shm *s;

	if (*self->mnt) {
		umount2(self->mnt, MNT_DETACH);
		rmdir(self->mnt);
	}
	if (EXPECT_EQ(0, kipc_shm_open("anchor", NULL, &s)))
		kipc_shm_close(s);
	EXPECT_EQ(self->broker, names_broker(&self->dir));
	names_end(&self->dir);
}

static int count_fds_of(pid_t pid)
{
	char path[64];
	DIR *d;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* ---- messages ---- */

TEST_F(hostile, messages)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_OPEN, KIPC_SEG_SHM, "anchor");
	int before = count_fds_of(self->broker);
	struct kipc_broker_list reply;
	struct {
		struct kipc_broker_request req;
		char more;
	} longer = { req, 0 };
	int sock, fd;

	/* of any other length, or another magic: hung up on */
	for (size_t len = 0; len <= sizeof(longer); len += 7) {
		if (len == sizeof(req))
			continue;
		sock = names_connect(&self->dir);
		send_raw(sock, &longer, len, NULL, 0);
		EXPECT_EQ(4711, raw_reply(sock, &reply));
		close(sock);
	}
	req.magic++;
	EXPECT_EQ(4711, raw_ask_once(&self->dir, &req, NULL, 0));
	req.magic--;
	/* of another version: told so */
	req.version++;
	EXPECT_EQ(-EPROTONOSUPPORT, raw_ask_once(&self->dir, &req, NULL, 0));
	req.version--;
	/* numbers that don't fit what comes with them */
	req.nfds = 1;
	sock = names_connect(&self->dir);
	send_raw(sock, &req, sizeof(req), NULL, 0);
	EXPECT_EQ(4711, raw_reply(sock, &reply));
	close(sock);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	req.nfds = 0;
	sock = names_connect(&self->dir);
	send_raw(sock, &req, sizeof(req), &fd, 1);
	EXPECT_EQ(4711, raw_reply(sock, &reply));
	close(sock);
	/* well-formed, and makes no sense */
	for (int op = 0; op < 70000; op += op < 12 ? 1 : 5000) {
		if (op >= KIPC_BROKER_PUBLISH && op <= KIPC_BROKER_CONNECT)
			continue;
		req.op = (uint16_t)op;
		EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	}
	req.op = KIPC_BROKER_OPEN;
	req.flags = 8;
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	req.flags = 0;
	req.kind = 6;
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	req.kind = 0;
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	req.kind = KIPC_SEG_SHM;
	memset(req.name, 'x', sizeof(req.name));
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	memset(req.name, 0, sizeof(req.name));
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	strcpy(req.name, "../x");
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	memcpy(req.name, "an\0chor", 7);
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, NULL, 0));
	EXPECT_TRUE(ksft_wait_for(count_fds_of(self->broker) <= before, 5000));
	close(fd);
}

TEST_F(hostile, a_list_with_any_cursor)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_LIST, 0, "");
	struct kipc_broker_list reply;
	int sock = names_connect(&self->dir);

	for (int shift = 0; shift < 64; shift++) {
		req.cursor = 1ULL << shift;
		ASSERT_GT(send_raw(sock, &req, sizeof(req), NULL, 0), 0);
		ASSERT_EQ(0, raw_reply(sock, &reply));
		EXPECT_EQ(0, reply.head.count);
		EXPECT_EQ(0, reply.head.cursor);
	}
	close(sock);
}

/* ---- descriptors ---- */

static int publish(const struct names_dir *d, int kind, const int *fds, size_t n)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_PUBLISH, kind, "x");

	return raw_ask_once(d, &req, fds, n);
}

TEST_F(hostile, what_is_no_segment)
{
	int before = count_fds_of(self->broker), fds[8], other[2], pair[2], null, sock[2];
	struct kipc_seg_header h;
	char path[64];

	raw_segment(KIPC_SEG_SHM, "x", 0600, fds);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	/* too few, too many, the wrong way round, twice the same */
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, fds, 0));
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, fds, 1));
	pair[0] = fds[1];
	pair[1] = fds[0];
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	pair[0] = pair[1] = fds[0];
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	fds[2] = fds[3] = null;
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, fds, 3));
	/* a queue's doorbells that are none */
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_QUEUE, fds, 4));
	/* another kind, another name, another file */
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_ARRAY, fds, 2));
	raw_segment(KIPC_SEG_SHM, "y", 0600, other);
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, other, 2));
	pair[0] = fds[0];
	pair[1] = other[1];
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	pair[0] = pair[1] = null;
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	pair[1] = sock[0];
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	pair[0] = pair[1] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	close(pair[0]);
	pair[0] = pair[1] = open("/tmp", O_PATH | O_CLOEXEC);
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	close(pair[0]);
	/* not sealed: it could be cut */
	pair[0] = memfd_create("kipc:test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_EQ((ssize_t)sizeof(h), pread(fds[0], &h, sizeof(h), 0));
	ASSERT_EQ((ssize_t)sizeof(h), pwrite(pair[0], &h, sizeof(h), 0));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pair[0]);
	pair[1] = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	/* shorter than a header */
	ASSERT_EQ(0, ftruncate(pair[0], 100));
	ASSERT_EQ(0, fcntl(pair[0], F_ADD_SEALS, F_SEAL_SHRINK));
	EXPECT_EQ(-EPROTO, publish(&self->dir, KIPC_SEG_SHM, pair, 2));
	close(pair[0]);
	close(pair[1]);
	/* and this is what would have been right */
	EXPECT_EQ(0, publish(&self->dir, KIPC_SEG_SHM, fds, 2));
	EXPECT_EQ(0, publish(&self->dir, KIPC_SEG_SHM, fds, 2));
	EXPECT_EQ(0, kipc_shm_unlink("x"));
	EXPECT_TRUE(ksft_wait_for(count_fds_of(self->broker) <= before, 5000));
}

/* The library doesn't believe the broker's objects either: this one has no body. */
TEST_F(hostile, an_object_that_is_none)
{
	struct kipc_shm *s;
	int fds[2];

	raw_segment(KIPC_SEG_SHM, "x", 0600, fds);
	ASSERT_EQ(0, publish(&self->dir, KIPC_SEG_SHM, fds, 2));
	EXPECT_EQ(-EPROTONOSUPPORT, kipc_shm_open("x", NULL, &s));
	EXPECT_EQ(0, kipc_shm_unlink("x"));
}

TEST_F(hostile, a_tie_to_something_else)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_PUBLISH, KIPC_SEG_SHM, "x");
	int fds[3];

	req.flags = KIPC_BROKER_TIED;
	raw_segment(KIPC_SEG_SHM, "x", 0600, fds);
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, fds, 2));
	fds[2] = eventfd(1, EFD_CLOEXEC);
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, fds, 3));
	fds[2] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	EXPECT_EQ(-EPROTO, raw_ask_once(&self->dir, &req, fds, 3));
	fds[2] = pidfd_open(getpid(), 0);
	EXPECT_EQ(0, raw_ask_once(&self->dir, &req, fds, 3));
	EXPECT_EQ(0, kipc_shm_unlink("x"));
}

/* As many descriptors as one message can carry. */
TEST_F(hostile, many_descriptors)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_OPEN, KIPC_SEG_SHM, "anchor");
	int before = count_fds_of(self->broker), fds[253], null;

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 253; i++)
		fds[i] = null;
	for (int round = 0; round < 20; round++)
		EXPECT_EQ(4711, raw_ask_once(&self->dir, &req, fds, 253));
	EXPECT_TRUE(ksft_wait_for(count_fds_of(self->broker) <= before, 5000));
}

/* ---- stalling ---- */

TEST_F(hostile, silent_ones)
{
	struct kipc_shm *s;
	int sock[200];

	for (int i = 0; i < 200; i++) {
		sock[i] = names_connect(&self->dir);
		ASSERT_GE(sock[i], 0);
	}
	ASSERT_EQ(0, kipc_shm_open("anchor", NULL, &s));
	kipc_shm_close(s);
	for (int i = 0; i < 200; i++)
		close(sock[i]);
}

/* It asks and asks and never reads: it is hung up on; others are not in its way. */
TEST_F(hostile, never_reads)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_OPEN, KIPC_SEG_SHM, "anchor");
	int sock = names_connect(&self->dir), n = 0;
	struct kipc_shm *s;

	while (n < 10000 && send_raw(sock, &req, sizeof(req), NULL, 0) > 0)
		n++;
	EXPECT_LT(n, 10000);
	EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
	ASSERT_EQ(0, kipc_shm_open("anchor", NULL, &s));
	kipc_shm_close(s);
	close(sock);
}

/* A TCP socket that has much to send, to one that doesn't read: pair[0] and pair[1]. */
static void full_socket(int pair[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);
	char block[65536] = { 0 };

	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len))
		SKIP("no TCP on this machine");
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(0, connect(pair[0], (struct sockaddr *)&addr, sizeof(addr)));
	pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_GE(pair[1], 0);
	while (send(pair[0], block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	close(listener);
}

enum { LINGERING = 12 };

struct lingering {
	const struct names_dir *dir;
	int pair[LINGERING][2];
	uint32_t *go;
};

/*
 * They linger for an hour when their last descriptor is closed, but not in a process that ends: so
 * the last one is the broker's, from a message that makes sense, or from one that it never reads.
 */
static int send_lingering(void *arg)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_PUBLISH, KIPC_SEG_SHM, "x");
	struct linger linger = { .l_onoff = 1, .l_linger = 3600 };
	struct lingering *l = arg;

	if (!ksft_wait_for(__atomic_load_n(l->go, __ATOMIC_ACQUIRE), 10000))
		return 1;
	req.nfds = 2;
	for (int i = 0; i < LINGERING; i += 2) {
		int sock = names_connect(l->dir), fds[2];

		for (int k = 0; k < 2; k++) {
			fds[0] = fds[1] = l->pair[i + k][0];
			if (setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
				return 2;
			send_raw(sock, &req, sizeof(req), fds, 2);
		}
	}
	return 0;
}

TEST_F(hostile, lingering_descriptors)
{
	int before = count_fds_of(self->broker);
	struct lingering l = { .dir = &self->dir, .go = ksft_shared(4096) };
	struct kipc_shm *s;
	int64_t start;
	pid_t pid;

	for (int i = 0; i < LINGERING; i++)
		full_socket(l.pair[i]);
	pid = ksft_fork(send_lingering, &l);
	for (int i = 0; i < LINGERING; i++)
		close(l.pair[i][0]);
	ASSERT_EQ(0, kill(self->broker, SIGSTOP));
	__atomic_store_n(l.go, 1, __ATOMIC_RELEASE);
	ksft_join(pid);
	ASSERT_EQ(0, kill(self->broker, SIGCONT));
	start = ksft_now_ns();
	ASSERT_EQ(0, kipc_shm_open("anchor", NULL, &s));
	kipc_shm_close(s);
	EXPECT_LT(ksft_now_ns() - start, ksft_scale(10) * 1000000000LL);
	EXPECT_TRUE(ksft_wait_for(count_fds_of(self->broker) <= before, 20000));
}

/* ---- a file system that never answers ---- */

struct fuse_in {
	uint32_t len, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid, padding;
	char body[8192];	/* what the kernel wants room for */
};

struct fuse_out {
	uint32_t len;
	int32_t error;
	uint64_t unique;
	char body[256];
};

enum {
	FUSE_LOOKUP		= 1,
	FUSE_FORGET		= 2,
	FUSE_GETATTR		= 3,
	FUSE_OPEN		= 14,
	FUSE_FLUSH		= 25,
	FUSE_INIT		= 26,
	FUSE_BATCH_FORGET	= 42,
};

static void fuse_answer(int fd, const struct fuse_in *in, const void *body, uint32_t len, int error)
{
	struct fuse_out out = { .len = 16 + len, .unique = in->unique, .error = error };

	if (len)
		memcpy(out.body, body, len);
	if (write(fd, &out, out.len) != (ssize_t)out.len)
		ksft_log("fuse: answer to %u: %s", in->opcode, strerror(errno));
}

/* One file; opens it, and answers no close.  *flushes: closes that wait. */
static int fuse_server(void *arg)
{
	int *shared = arg, fd = shared[0];
	uint32_t init[16] = { 7, 31 }, attr[26] = { 1 }, entry[32] = { 1 }, opened[4] = { 1 };
	struct fuse_in in;

	entry[0] = 2;			/* nodeid */
	entry[4] = 3600;		/* how long that holds, */
	entry[6] = 3600;		/* ... and the attributes */
	entry[10] = 2;			/* attr.ino */
	entry[10 + 15] = S_IFREG | 0666;
	attr[0] = 3600;
	attr[4] = 1;
	attr[4 + 15] = S_IFDIR | 0777;
	while (read(fd, &in, sizeof(in)) > 0) {
		switch (in.opcode) {
		case FUSE_INIT:
			fuse_answer(fd, &in, init, sizeof(init), 0);
			break;
		case FUSE_GETATTR:
			fuse_answer(fd, &in, attr, sizeof(attr), 0);
			break;
		case FUSE_LOOKUP:
			fuse_answer(fd, &in, entry, sizeof(entry), 0);
			break;
		case FUSE_OPEN:
			fuse_answer(fd, &in, opened, sizeof(opened), 0);
			break;
		case FUSE_FLUSH:
			__atomic_fetch_add(&shared[1], 1, __ATOMIC_RELEASE);
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
			break;
		default:
			fuse_answer(fd, &in, NULL, 0, -ENOSYS);
			break;
		}
	}
	return 0;
}

struct sender {
	const struct names_dir *dir;
	int file;
	uint32_t *sent;
};

/* Another user, to whom the file was given; stays, as its own close would wait, too. */
static int send_files(void *arg)
{
	struct kipc_broker_request req = raw_request(KIPC_BROKER_PUBLISH, KIPC_SEG_SHM, "x");
	struct sender *s = arg;
	int fds[253];

	for (int i = 0; i < 253; i++)
		fds[i] = s->file;
	if (setresuid(4001, 4001, 4001))
		return 1;
	/* a few, then as many as there can be */
	for (int i = 0; i < 40; i++) {
		size_t n = i < 2 ? 2 : 253;
		int sock = names_connect(s->dir);

		req.nfds = (uint16_t)n;
		send_raw(sock, &req, sizeof(req), fds, n);
		close(sock);
	}
	__atomic_store_n(s->sent, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

TEST_F(hostile, a_file_that_does_not_close)
{
	int *shared = ksft_shared(4096);
	struct sender sender = { &self->dir, -1, ksft_shared(4096) };
	char options[128];
	struct kipc_shm *s;
	pid_t server, pid;

	snprintf(self->mnt, sizeof(self->mnt), "%s.fuse", self->dir.path);
	ASSERT_EQ(0, mkdir(self->mnt, 0700));
	ASSERT_EQ(0, chmod(self->dir.path, 0755));
	shared[0] = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", shared[0],
		 getuid(), getgid());
	if (shared[0] < 0 ||
	    mount("test", self->mnt, "fuse", MS_NOSUID | MS_NODEV, options))
		SKIP("FUSE can't be mounted here: %s", strerror(errno));
	server = ksft_fork(fuse_server, shared);
	/* the server's alone: all is over when that ends */
	close(shared[0]);
	snprintf(options, sizeof(options), "%s/file", self->mnt);
	sender.file = open(options, O_RDWR | O_CLOEXEC);
	ASSERT_GE(sender.file, 0);
	pid = ksft_fork(send_files, &sender);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(sender.sent, __ATOMIC_ACQUIRE), 10000));
	EXPECT_TRUE(ksft_wait_for(__atomic_load_n(&shared[1], __ATOMIC_ACQUIRE) >= 2, 10000));
	/* closes wait, the broker doesn't, */
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, kipc_shm_open("anchor", NULL, &s));
		kipc_shm_close(s);
	}
	/* ... and there is an end to what it takes from one user */
	EXPECT_LT(count_fds_of(self->broker), 1000);
	ksft_kill(server);
	ksft_kill(pid);
}

TEST_HARNESS_MAIN
