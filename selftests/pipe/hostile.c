// SPDX-License-Identifier: MIT
/* Damaged or hostile shared memory: -EPROTO or nonsense in the data, never a crash or a hang. */
#include <fcntl.h>

#include "pipe_test.h"

FIXTURE(hostile)
{
	struct kipc_pipe *e[2];
	struct kipc_pipe_way *s;
	uint8_t buf[4 * RING];
};

FIXTURE_VARIANT(hostile)
{
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(hostile, shared){ .flags = 0 };
FIXTURE_VARIANT_ADD(hostile, exclusive){ .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(hostile)
{
	pipe_make(self->e, RING, variant->flags);
	self->s = self->e[0]->tx.shm;
}

FIXTURE_TEARDOWN(hostile)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

static const uint64_t bad_distance[] = { 8192, RING + 8, 1ULL << 32, 1ULL << 63, -8ULL, 3, 4, 12 };

#define EACH_BAD(b)                                                                                \
	for (size_t __i = 0; __i < sizeof(bad_distance) / sizeof(bad_distance[0]) &&               \
			     (b = bad_distance[__i], true);                                        \
	     __i++)

TEST_F(hostile, head_seen_by_the_receiver)
{
	struct iovec iov = { self->buf, sizeof(self->buf) };
	struct kipc_pipe_msg msg;
	uint64_t bad;

	EACH_BAD(bad)
	{
		self->s->head = bad;
		self->s->head_seen = self->s->tail = 0;
		EXPECT_EQ(-EPROTO, kipc_pipe_recv(self->e[1], self->buf, RING, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_pipe_recv_many(self->e[1], &iov, 1, KIPC_NOWAIT));
		EXPECT_EQ(-EPROTO, kipc_pipe_peek(self->e[1], &msg, 1000 * MS));
	}
}

TEST_F(hostile, tail_seen_by_the_sender)
{
	struct iovec iov = { self->buf, RING / 2 };
	struct kipc_pipe_msg msg;
	uint64_t bad;

	EACH_BAD(bad)
	{
		self->s->head = 1 << 20;
		self->s->tail = self->s->tail_seen = (1 << 20) - bad;
		self->s->cut = 0;
		EXPECT_EQ(-EPROTO, kipc_pipe_send(self->e[0], self->buf, RING - 8, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_pipe_send(self->e[0], self->buf, 2 * RING, KIPC_FOREVER));
		if (bad < RING) /* a hint that is out of step by less makes no difference */
			continue;
		EXPECT_EQ(-EPROTO, kipc_pipe_send_many(self->e[0], &iov, 1, KIPC_NOWAIT));
		EXPECT_EQ(-EPROTO, kipc_pipe_reserve(self->e[0], 1, &msg, 1000 * MS));
	}
}

/* Room by the hint, none of it by the word itself, which a stream looks at for the last cut. */
TEST_F(hostile, tail_ahead_of_a_stream)
{
	for (int passed = 0; passed < 2; passed++) {
		self->s->head = self->s->tail_seen = 1 << 20;
		self->s->tail = (1 << 20) + 280;
		self->s->cut = (passed ? 0 : ~0ULL >> 1) | KIPC_PIPE_VALID;
		EXPECT_EQ(-EPROTO, kipc_pipe_send(self->e[0], self->buf, 2 * RING, KIPC_FOREVER));
	}
}

TEST_F(hostile, misaligned_head_seen_by_the_sender)
{
	for (uint64_t bits = 2; bits < 8; bits++) {
		self->s->head = bits;
		EXPECT_EQ(-EPROTO, kipc_pipe_send(self->e[0], self->buf, 1, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_pipe_send(self->e[0], self->buf, 2 * RING, KIPC_FOREVER));
	}
}

TEST_F(hostile, misaligned_tail_seen_by_the_receiver)
{
	for (uint64_t bits = 1; bits < 8; bits++) {
		self->s->head = self->s->head_seen = 64;
		self->s->tail = bits;
		EXPECT_EQ(-EPROTO, kipc_pipe_recv(self->e[1], self->buf, RING, KIPC_FOREVER));
	}
}

TEST_F(hostile, record_lengths)
{
	static const uint64_t bad[] = { 1ULL << 48, 1ULL << 63, UINT64_MAX, 57, RING - 8 };
	uint64_t *record = (uint64_t *)self->e[0]->tx.ring;
	struct kipc_pipe_msg msg;

	self->s->head = 64; /* a record of 56 bytes at most */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		*record = bad[i];
		EXPECT_EQ(-EPROTO,
			  kipc_pipe_recv(self->e[1], self->buf, sizeof(self->buf), KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_pipe_peek(self->e[1], &msg, KIPC_FOREVER));
	}
	/* the largest that could be: just too long for any buffer */
	*record = (1ULL << 48) - 1;
	EXPECT_EQ(-EMSGSIZE,
		  kipc_pipe_recv(self->e[1], self->buf, sizeof(self->buf), KIPC_FOREVER));
	*record = 56;
	EXPECT_EQ(56, kipc_pipe_recv(self->e[1], self->buf, sizeof(self->buf), KIPC_NOWAIT));
}

TEST_F(hostile, a_record_behind_good_ones)
{
	struct iovec iov[3] = { { self->buf, 8 }, { self->buf, 8 }, { self->buf, 8 } };

	EXPECT_EQ(3, kipc_pipe_send_many(self->e[0], iov, 3, KIPC_NOWAIT));
	*(uint64_t *)(self->e[0]->tx.ring + 32) = 9;
	EXPECT_EQ(2, kipc_pipe_recv_many(self->e[1], iov, 3, KIPC_NOWAIT));
	EXPECT_EQ(-EPROTO, kipc_pipe_recv_many(self->e[1], iov, 3, KIPC_NOWAIT));
}

TEST_F(hostile, words_of_streams)
{
	uint64_t *record = (uint64_t *)self->e[0]->tx.ring;

	/* a cut far outside what is in the ring, but inside the message */
	*record = 3 * RING;
	self->s->head = RING;
	self->s->cut = 2 * RING | KIPC_PIPE_VALID;
	EXPECT_EQ(-EPROTO, kipc_pipe_recv(self->e[1], self->buf, sizeof(self->buf), KIPC_FOREVER));
	/* a message being dropped whose end is garbage, or passed */
	self->s->cut = 0;
	self->s->msg_end = 2;
	EXPECT_EQ(-EPROTO, kipc_pipe_recv(self->e[1], self->buf, 1, KIPC_FOREVER));
	self->s->msg_end = -1ULL;
	EXPECT_EQ(-EMSGSIZE, kipc_pipe_recv(self->e[1], self->buf, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, self->s->msg_end);
	/* a head that runs away under a receiver in the middle */
	self->s->msg_end = (10ULL * RING) | KIPC_PIPE_VALID;
	self->s->head = 10 * RING;
	EXPECT_EQ(-EPROTO, kipc_pipe_recv(self->e[1], self->buf, 1, KIPC_FOREVER));
	/* a cut that never is passed holds streams up, as a full ring would: until the deadline */
	self->s->msg_end = 0;
	self->s->head = self->s->tail = self->s->head_seen = self->s->tail_seen = 0;
	self->s->cut = (1ULL << 40) | KIPC_PIPE_VALID;
	EXPECT_EQ(-ETIMEDOUT, kipc_pipe_send(self->e[0], self->buf, 2 * RING, 2 * MS));
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], self->buf, 1, KIPC_NOWAIT));
}

TEST_F(hostile, lock_words)
{
	static const uint32_t bad[] = { 0x7ff, 1u << 20, KIPC_LOCK_DIED | 1, 200 };
	char c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		self->s->send_lock = self->s->recv_lock = bad[i];
		if (variant->flags & KIPC_PIPE_EXCLUSIVE) {
			/* only streams look at the lock */
			EXPECT_EQ(-EPROTO,
				  kipc_pipe_send(self->e[0], self->buf, 2 * RING, KIPC_FOREVER));
			continue;
		}
		EXPECT_EQ(-EPROTO, kipc_pipe_send(self->e[0], "x", 1, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
		EXPECT_EQ(-EPROTO, kipc_pipe_recv(self->e[1], &c, 1, KIPC_FOREVER));
	}
}

/* Somebody else moves head between our look and our publication: misuse of an exclusive end. */
TEST_F(hostile, head_moves_under_a_reservation)
{
	struct kipc_pipe_msg msg;

	ASSERT_EQ(0, kipc_pipe_reserve(self->e[0], 8, &msg, KIPC_NOWAIT));
	self->s->head += 16;
	EXPECT_EQ(-EPROTO, kipc_pipe_commit(self->e[0], &msg));
	EXPECT_EQ(-EINVAL, kipc_pipe_commit(self->e[0], &msg));
}

/* A peer that writes anything anywhere, all the time. */
struct vandal {
	struct kipc_pipe_way *s;
	uint8_t *ring;
	bool *stop;
};

static uint64_t roll(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int vandalise(void *arg)
{
	struct vandal *v = arg;
	uint64_t state = 88172645463325252ULL, *words[10] = {
		&v->s->head, &v->s->tail, &v->s->head_seen,  &v->s->tail_seen,
		&v->s->cut,  &v->s->want, &v->s->stream_end, &v->s->msg_end,
	};

	while (!__atomic_load_n(v->stop, __ATOMIC_RELAXED)) {
		uint64_t x = roll(&state);
		uint64_t *word = words[x % 8], value = roll(&state);

		if (x & 1024) /* near what it was */
			value = __atomic_load_n(word, __ATOMIC_RELAXED) + value % 64 - 32;
		else if (x & 2048)
			value = __atomic_load_n(words[(x >> 20) % 8], __ATOMIC_RELAXED);
		__atomic_store_n(word, value, __ATOMIC_RELAXED);
		word = (uint64_t *)(v->ring + (x >> 32) % RING / 8 * 8);
		__atomic_store_n(word, value % 10000, __ATOMIC_RELAXED);
	}
	return 0;
}

TEST_F(hostile, a_vandal_at_work)
{
	bool *stop = ksft_shared(1);
	struct vandal v = { self->s, self->e[0]->tx.ring, stop };
	static uint8_t out[3 * RING];
	struct ksft_peer peer;
	int64_t end = ksft_now_ns() + 400 * MS;
	uint64_t state = 1, good = 0, bytes = 0;
	struct kipc_pipe_msg msg;
	struct iovec iov[4];

	ksft_needs_processes(); /* it races on purpose */
	ksft_peer_start(&peer, KSFT_PROCESS, vandalise, &v);
	while (ksft_now_ns() < end) {
		int64_t timeout = roll(&state) % 4 ? KIPC_NOWAIT : MS / 10;
		ssize_t r;

		/* now and then all is well, so that it is hit while it works */
		if (roll(&state) % 4 == 0) {
			struct kipc_pipe_way *w = self->s;

			w->cut = w->stream_end = w->msg_end = 0;
			w->head = w->head_seen = w->tail = w->tail_seen = RING - 512;
		}
		switch (roll(&state) % 7) {
		case 0:
			r = kipc_pipe_send(self->e[0], out, roll(&state) % sizeof(out), timeout);
			break;
		case 1:
			for (int i = 0; i < 4; i++)
				iov[i] = (struct iovec){ out, roll(&state) % 300 };
			r = kipc_pipe_send_many(self->e[0], iov, 4, timeout);
			break;
		case 2:
			for (int i = 0; i < 4; i++)
				iov[i] = (struct iovec){ self->buf, sizeof(self->buf) };
			r = kipc_pipe_recv_many(self->e[1], iov, 4, KIPC_NOWAIT);
			break;
		case 3:
			r = kipc_pipe_reserve(self->e[0], roll(&state) % 5000, &msg, timeout);
			if (!r) {
				memset(msg.data, 1, msg.len);
				r = kipc_pipe_commit(self->e[0], &msg);
			}
			break;
		case 4:
			r = kipc_pipe_peek(self->e[1], &msg, timeout);
			if (!r) {
				/* it was checked: all of it can be read */
				for (size_t i = 0; i < msg.len; i++)
					bytes += ((uint8_t *)msg.data)[i];
				r = kipc_pipe_release(self->e[1], &msg);
			}
			break;
		case 5:
			r = kipc_pipe_poll(self->e[1], timeout);
			break;
		default:
			/* sizes that streams don't fit: those would wait for a sender that is us */
			r = kipc_pipe_recv(self->e[1], self->buf, RING - 8, timeout);
		}
		ASSERT_TRUE(r >= 0 || r == -EAGAIN || r == -ETIMEDOUT || r == -EPROTO ||
			    r == -EMSGSIZE || r == -EPIPE || r == -EINVAL);
		good += r >= 0;
	}
	__atomic_store_n(stop, true, __ATOMIC_RELAXED);
	ksft_peer_join(&peer);
	EXPECT_GT(good, 0);
	ksft_log("%llu calls succeeded, %llu", (unsigned long long)good, (unsigned long long)bytes);
}

/* ---- hand-over: what is not a pipe is refused ---- */

static void expect_import(int want, struct kipc_pipe *p, int which, int fd)
{
	struct kipc_transfer t = { 0 };
	struct kipc_object *obj = NULL;

	ASSERT_EQ(0, __kipc_pipe_object.export(&p->obj, &t));
	if (which >= 0)
		t.fds[which] = fd;
	EXPECT_EQ(want, __kipc_pipe_object.import(&t, &obj));
	EXPECT_TRUE(obj == NULL);
	/* still the caller's */
	for (uint32_t i = 0; i < t.nfds; i++)
		EXPECT_NE(-1, fcntl(t.fds[i], F_GETFD));
}

TEST_F(hostile, wrong_descriptors)
{
	struct kipc_transfer t = { 0 };
	struct kipc_object *obj;
	int fds[2], memfd = memfd_create("x", 0);

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, ftruncate(memfd, 1 << 20));
	for (int i = 0; i < 6; i++)
		expect_import(-EPROTO, self->e[0], i, fds[0]);
	expect_import(-EPROTO, self->e[0], 0, memfd);
	expect_import(-EPROTO, self->e[0], 0, self->e[0]->sock);
	expect_import(-EPROTO, self->e[0], 5, self->e[0]->bells[0].fd);
	ASSERT_EQ(0, __kipc_pipe_object.export(&self->e[0]->obj, &t));
	EXPECT_EQ(6, t.nfds);
	t.args[0] = 2;
	EXPECT_EQ(-EPROTO, __kipc_pipe_object.import(&t, &obj));
	t.args[0] = 0;
	t.nfds = 5;
	EXPECT_EQ(-EPROTO, __kipc_pipe_object.import(&t, &obj));
}

TEST_F(hostile, damaged_geometry)
{
	static const uint64_t sizes[] = { 0, 1, 2048, 6144, 1ULL << 31, 1ULL << 63, RING * 64 };
	static const uint64_t offs[] = { 0, 8, 4096, 8192, 1ULL << 40, -4096ULL };
	struct kipc_pipe_header *h = self->e[0]->shm;
	struct kipc_pipe_header good = *h;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		h->ring_size = sizes[i];
		expect_import(-EPROTO, self->e[0], -1, 0);
	}
	h->ring_size = good.ring_size;
	for (int way = 0; way < 2; way++) {
		for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
			h->ring_off[way] = offs[i];
			expect_import(-EPROTO, self->e[0], -1, 0);
		}
		h->ring_off[way] = good.ring_off[way];
	}
	h->flags = 4;
	expect_import(-EPROTO, self->e[0], -1, 0);
	h->flags = good.flags;
	/* handles that are open have copies */
	h->ring_size = 1ULL << 40;
	h->ring_off[0] = 1ULL << 50;
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], self->buf, 1, KIPC_NOWAIT));
	EXPECT_EQ(RING, kipc_pipe_size(self->e[0]));
}

/* And what is one, is taken. */
TEST_F(hostile, good_descriptors)
{
	struct kipc_transfer t = { 0 };
	struct kipc_object *obj = NULL;
	char c = 0;

	ASSERT_EQ(0, __kipc_pipe_object.export(&self->e[1]->obj, &t));
	for (uint32_t i = 0; i < t.nfds; i++)
		t.fds[i] = fcntl(t.fds[i], F_DUPFD_CLOEXEC, 0);
	ASSERT_EQ(0, __kipc_pipe_object.import(&t, &obj));
	kipc_pipe_close(self->e[1]);
	self->e[1] = container_of(obj, struct kipc_pipe, obj);
	/* the end lives on: no hang-up */
	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[1], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_send(self->e[1], "y", 1, KIPC_NOWAIT));
	EXPECT_EQ(1, kipc_pipe_recv(self->e[0], &c, 1, KIPC_NOWAIT));
	EXPECT_EQ('y', c);
	obj->ops->close(obj);
	self->e[1] = NULL;
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[0], &c, 1, KIPC_FOREVER));
}

TEST_HARNESS_MAIN
