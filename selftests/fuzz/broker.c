// SPDX-License-Identifier: MIT
/*
 * The broker, inside: clients that come and go and send any bytes with any descriptors; a ledger
 * and a service manager's store that somebody has been at.  What may come back is an error or
 * nothing; no descriptor may stay behind, and the tables must be as their counts say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "fuzz.h"
#include "tools/kipcd/kipcd.h"

#define CLIENTS		4
#define STEPS_MAX	64
#define FDS_MAX		12

/* ---- instead of closer.c: at once ---- */

void close_later(int fd, uid_t uid)
{
	(void)uid;
	close(fd);
}

void close_connection(int fd, uid_t uid)
{
	close_later(fd, uid);
}

uint32_t closer_pending(void)
{
	return 0;
}

bool closer_full(uid_t uid)
{
	return uid == (uid_t)-2;
}

int64_t closer_check(void)
{
	return -1;
}

/* ---- what clients have to send ---- */

/* A file with this header: for writing, or for reading. */
static int segment(struct fuzz_input *in, int kind, const char *name, bool readonly, int *other)
{
	struct kipc_seg_header h = {
		.magic = KIPC_SEG_MAGIC,
		.endian = KIPC_SEG_ENDIAN,
		.abi_major = KIPC_ABI_MAJOR,
		.kind = (uint16_t)kind,
		.id = 7,
	};
	uint8_t how = fuzz_u8(in);
	int fd;

	if (*other < 0) {
		*other = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		memcpy(h.name, name, strnlen(name, sizeof(h.name) - 1));
		if (how & 1)
			((uint8_t *)&h)[fuzz_u8(in) % sizeof(h)] ^= fuzz_u8(in);
		fuzz_assert(pwrite(*other, &h, how & 2 ? 100 : sizeof(h), 0) > 0);
		fuzz_assert(!ftruncate(*other, how & 4 ? 0x100000000LL : 8192));
		if (!(how & 8))
			fcntl(*other, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	}
	fd = object_reopen(*other, readonly ? O_RDONLY : O_RDWR);
	return fd;
}

static int some_fd(struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 8) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 2:
		return open("/proc/self/exe", O_PATH | O_CLOEXEC);
	case 3:
		return epoll_create1(EPOLL_CLOEXEC);
	case 4:
		return pidfd_open(getpid(), 0);
	case 5:
		return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	case 6:
		return eventfd(0, EFD_CLOEXEC);
	default:
		return memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	}
}

static void pick_name(struct fuzz_input *in, char name[KIPC_BROKER_NAME])
{
	static const char *const names[] = { "a", "b", "c", "jobs" };
	uint8_t how = fuzz_u8(in);

	memset(name, 0, KIPC_BROKER_NAME);
	strcpy(name, names[how % 4]);
	if (how > 240)
		name[fuzz_u8(in) % KIPC_BROKER_NAME] = (char)fuzz_u8(in);
}

/* How many descriptors belong to the request. */
static uint32_t right_number(const struct kipc_broker_request *req)
{
	int bells = kind_bells(req->kind);

	switch (req->op) {
	case KIPC_BROKER_PUBLISH:
	case KIPC_BROKER_OFFER:
		bells = bells < 0 ? 0 : bells;
		return (req->flags & KIPC_BROKER_RDONLY ? 1 : 2 + (uint32_t)bells) +
		       (req->flags & KIPC_BROKER_TIED);
	case KIPC_BROKER_CONNECT:
		return 6;
	}
	return 0;
}

/* The one of that place, as it should be. */
static int right_fd(struct fuzz_input *in, const struct kipc_broker_request *req, uint32_t i,
		    int *memfd)
{
	int bells = kind_bells(req->kind);
	uint32_t n = right_number(req);

	if (req->op == KIPC_BROKER_CONNECT) {
		if (!i)
			return segment(in, KIPC_SEG_PIPE, "", false, memfd);
		return i == 5 ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) :
				eventfd(0, EFD_CLOEXEC);
	}
	if ((req->flags & KIPC_BROKER_TIED) && i == n - 1)
		return pidfd_open(getpid(), 0);
	if (!i)
		return segment(in, req->kind, req->name, req->flags & KIPC_BROKER_RDONLY, memfd);
	if (i <= (uint32_t)(bells < 0 ? 0 : bells))
		return eventfd(0, EFD_CLOEXEC);
	return segment(in, req->kind, req->name, true, memfd);
}

static void send_one(struct fuzz_input *in, int sock, uint64_t id)
{
	static const uint16_t kinds[] = { KIPC_SEG_QUEUE, KIPC_SEG_SHM, KIPC_SEG_ARRAY,
					  KIPC_SEG_MANAGER, KIPC_SEG_PIPE };
	uint8_t shape = fuzz_u8(in), op = fuzz_u8(in);
	struct kipc_broker_request req = {
		.magic = KIPC_BROKER_MAGIC,
		.version = KIPC_BROKER_VERSION,
		.op = op % 8,
		.kind = op % 8 == KIPC_BROKER_LIST   ? 0 :
			op % 8 >= KIPC_BROKER_LISTEN ? (uint16_t)KIPC_SEG_PIPE :
						       kinds[op / 8 % 5],
		.flags = op & 64 ? fuzz_u8(in) & 3 : 0,
		.mode = 0600,
		.broker = op & 128 ? fuzz_number(in) : id,
	};
	uint8_t bytes[sizeof(req) + 64] = { 0 };
	uint32_t nfds, sent = 0;
	size_t len = sizeof(req);
	int fds[FDS_MAX], memfd = -1;

	pick_name(in, req.name);
	req.cursor = fuzz_u8(in) % 8;
	req.args[0] = fuzz_u8(in) % 4;
	nfds = right_number(&req);
	req.nfds = (uint16_t)nfds;
	if (shape & 1)
		nfds = fuzz_u8(in) % (FDS_MAX + 1);
	for (uint32_t i = 0; i < nfds; i++) {
		bool right = i < right_number(&req) && (shape & 2 || fuzz_u8(in) % 8);

		fds[sent] = right ? right_fd(in, &req, i, &memfd) : some_fd(in);
		sent += fds[sent] >= 0;
	}
	memcpy(bytes, &req, sizeof(req));
	if (shape & 4)
		bytes[fuzz_u8(in) % sizeof(req)] ^= fuzz_u8(in);
	if (shape & 8)
		len = fuzz_u8(in) % sizeof(bytes);
	client_send(sock, bytes, len, fds, sent);
	while (sent--)
		close(fds[sent]);
	if (memfd >= 0)
		close(memfd);
}

/* What came back, dropped. */
static void read_replies(int sock)
{
	struct kipc_broker_list reply;
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	ssize_t n;

	do {
		struct iovec iov = { &reply, sizeof(reply) };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				     .msg_controllen = sizeof(control) };

		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n <= 0)
			break;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c))
			for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
				close(fd);
			}
		fuzz_assert(n == sizeof(reply) || n == sizeof(reply.head) ||
			    n == sizeof(struct kipc_broker_incoming));
		fuzz_assert(reply.head.magic == KIPC_BROKER_MAGIC);
	} while (n > 0);
}

/* ---- the broker ---- */

/* Everything that is ready. */
static void turn(struct broker *b)
{
	struct epoll_event ev;

	for (int i = 0; i < 50 && epoll_wait(b->epoll, &ev, 1, 0) == 1; i++) {
		struct source *s = ev.data.ptr;

		s->ready(b, s, ev.events);
	}
}

static void check_counts(struct broker *b)
{
	uint32_t names = 0, lost = 0, nfds = 0, clients = 0, of_users = 0;

	for (uint32_t i = 0; i < b->table.nslots; i++) {
		const struct entry *e = b->table.slot[i];

		if (!e)
			continue;
		names++;
		lost += entry_lost(e);
		nfds += (e->readonly >= 0) + (e->pidfd >= 0);
		for (int k = 0; k < 1 + BELLS_MAX; k++)
			nfds += e->fds[k] >= 0;
		fuzz_assert(e->slot == i && table_find(&b->table, e->rec.kind, e->rec.name) == e);
		fuzz_assert(!e->listener || e->listener->listening == e);
	}
	for (struct client *c = b->clients.first; c; c = c->next)
		clients++;
	for (struct user *u = b->users; u; u = u->next)
		of_users += u->objects + u->clients;
	fuzz_assert(names == b->table.n && clients == b->clients.n);
	fuzz_assert(of_users == names + clients);
	fuzz_assert(lost == b->table.nlost && nfds == b->table.nfds);
}

/* A ledger as another process might have left it. */
static int ledger(struct fuzz_input *in)
{
	int fd = memfd_create("ledger", MFD_CLOEXEC);
	uint32_t n = fuzz_u8(in) % 6;

	for (uint32_t i = 0; i < n; i++) {
		struct record rec = {
			.used = 1,
			.kind = 1 + fuzz_u8(in) % 5,
			.uid = fuzz_u8(in) % 3,
			.ino = fuzz_u8(in),
		};

		rec.nbells = rec.kind == KIPC_SEG_QUEUE ? 2 : 0;
		pick_name(in, rec.name);
		if (fuzz_u8(in) & 1)
			((uint8_t *)&rec)[fuzz_u8(in) % sizeof(rec)] = fuzz_u8(in);
		fuzz_assert(pwrite(fd, &rec, sizeof(rec), 256 * (off_t)(i + 1)) == sizeof(rec));
	}
	if (fuzz_u8(in) & 1)
		fuzz_assert(!ftruncate(fd, fuzz_u16(in) % 2048));
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
	struct fuzz_input in = { data, data + size };
	struct broker b = {
		.limits = {
			.objects = 10,
			.user_objects = 8,
			.user_clients = 3,
			.user_bytes = 1 << 20,
		},
		.epoll = -1,
		.dir = -1,
		.listen = -1,
		.ledger = -1,
		.id = 0x1234567,
		/* never: what this machine's processes have is no input */
		.adopted_ns = INT64_MAX / 2,
	};
	int peer[CLIENTS], fds;
	uint8_t mode = fuzz_u8(&in);

	fds = fuzz_fds_begin();
	b.clients.last = &b.clients.first;
	b.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < CLIENTS; i++)
		peer[i] = -1;
	if (mode & 1) {
		b.ledger = ledger(&in);
		fuzz_assert(ledger_load(&b) <= 0);
		check_counts(&b);
	}
	for (int i = 0; i < STEPS_MAX && fuzz_more(&in); i++) {
		uint8_t what = fuzz_u8(&in);
		int *p = &peer[what / 16 % CLIENTS], sv[2];

		if (*p < 0) {
			fuzz_assert(!socketpair(AF_UNIX, type, 0, sv));
			*p = sv[1];
			client_new(&b, sv[0]);
		} else if (what % 16 == 0) {
			close(*p);
			*p = -1;
		} else if (what % 16 == 1) {
			shutdown(*p, SHUT_WR);
		} else {
			send_one(&in, *p, b.id);
		}
		if (what & 128)
			continue;	/* more before anybody looks */
		turn(&b);
		check_counts(&b);
		for (int k = 0; k < CLIENTS && !(what & 64); k++)
			if (peer[k] >= 0)
				read_replies(peer[k]);
	}
	for (int i = 0; i < CLIENTS; i++)
		if (peer[i] >= 0)
			close(peer[i]);
	turn(&b);
	while (b.clients.first)
		client_drop(b.clients.first);
	table_end(&b);
	fuzz_assert(!b.users && !b.clients.n);
	close(b.epoll);
	if (b.ledger >= 0)
		close(b.ledger);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	size_t n = fuzz_seed_noise(i, buf, 30 + 8 * i);

	(void)max;
	if (i < 40) {
		/* every request in its right form, after which comes what the noise says */
		buf[0] = i / 20;
		memset(buf + 1, 0, 12);
		buf[1] = 2;			/* connect */
		buf[2] = 2;			/* send */
		buf[3] = 2;			/* all descriptors right */
		buf[4] = (uint8_t)i;		/* op and kind */
	}
	return i < 80 ? n : 0;
}
