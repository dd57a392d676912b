// SPDX-License-Identifier: MIT
/* Damaged and hostile segments: -EPROTO, within the segment, and never without end. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue_test.h"

/* Each call that looks into the ring, on damage that says it is impossible. */
static void expect_proto(struct kipc_queue *q, bool put, bool get)
{
	uint64_t v = 1;
	struct iovec iov[2] = { { &v, 8 }, { &v, 8 } };
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	struct kipc_msg msg;

	if (put) {
		EXPECT_EQ(-EPROTO, put_u64(q, 1, KIPC_NOWAIT));
		EXPECT_EQ(-EPROTO, put_u64(q, 1, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_queue_put_many(q, iov, 2, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_queue_reserve(q, 8, &msg, KIPC_FOREVER));
	}
	if (get) {
		EXPECT_EQ(-EPROTO, get_u64(q, KIPC_NOWAIT));
		EXPECT_EQ(-EPROTO, get_u64(q, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_queue_get_many(q, iov, 2, KIPC_FOREVER));
		EXPECT_EQ(-EPROTO, kipc_queue_take(q, &msg, KIPC_FOREVER));
	}
	/* these may not crash or loop, and say so or give a number in range */
	EXPECT_LE(kipc_queue_len(q), q->capacity);
	EXPECT_LE(kipc_queue_empty(q), 1);
	EXPECT_LE(kipc_queue_full(q), 1);
	kipc_queue_stat(q, &st);
	kipc_queue_join(q, KIPC_NOWAIT);
	kipc_queue_join(q, 1);
}

static const uint32_t capacities[] = { 1, 3, 5, 8, 1000 };

TEST_TIMEOUT(bad_index, 10)
{
	/* eight cells have no bad index */
	static const uint32_t uneven[] = { 3, 5, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(uneven); i++) {
		struct kipc_queue *q = make_queue(uneven[i], 8);

		EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
		for (uint64_t index = uneven[i]; index < 1ULL << q->index_bits; index++) {
			q->sh->tail = index;
			EXPECT_EQ(-EPROTO, put_u64(q, 1, KIPC_FOREVER));
			EXPECT_EQ(-EPROTO, kipc_queue_len(q));
			EXPECT_EQ(-EPROTO, kipc_queue_full(q));
			EXPECT_EQ(-EPROTO, kipc_queue_join(q, KIPC_NOWAIT));
			q->sh->tail = 1;
			q->sh->head = index;
			EXPECT_EQ(-EPROTO, get_u64(q, KIPC_FOREVER));
			EXPECT_EQ(-EPROTO, kipc_queue_empty(q));
			q->sh->head = 0;
		}
		q->sh->tail = q->sh->head = uneven[i];
		expect_proto(q, true, true);
		kipc_queue_close(q);
	}
}

/* Hints that are laps away from what the cells say. */
TEST_TIMEOUT(bad_laps, 10)
{
	for (size_t i = 0; i < ARRAY_SIZE(capacities); i++) {
		struct kipc_queue *q = make_queue(capacities[i], 8);
		uint64_t laps[] = { 2, 3, 1000, q->lap_mask / 2, q->lap_mask / 2 + 1,
				    q->lap_mask / 2 + 2, q->lap_mask - 1 };

		for (size_t k = 0; k < ARRAY_SIZE(laps); k++) {
			for (int sign = -1; sign <= 1; sign += 2) {
				preset(q, 5);
				q->sh->tail = (5 + (uint64_t)sign * laps[k]) << q->index_bits;
				/* tail may lag, too, but not by more than two laps */
				if (laps_ahead(q, cell_at(q, 0)->state, q->sh->tail) <=
				    KIPC_QUEUE_TAIL_LAPS)
					EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
				else
					expect_proto(q, true, false);
			}
			preset(q, 5);
			q->sh->head = (5 + laps[k]) << q->index_bits;
			expect_proto(q, false, true);
			preset(q, 5);
			q->sh->head = (5 - laps[k]) << q->index_bits;
			/* head may lag: then there is nothing to get, and all is well */
			if (laps[k] <= q->lap_mask / 2)
				EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
			else
				expect_proto(q, false, true);
		}
		preset(q, 9);
		check_works(q);
		kipc_queue_close(q);
	}
}

/* Cells whose laps chase each other around the numbers: no hint follows for ever. */
TEST_TIMEOUT(circular_laps, 10)
{
	for (uint32_t capacity = 2; capacity <= 8; capacity++) {
		struct kipc_queue *q = make_queue(capacity, 8);

		for (enum kipc_cell_phase phase = KIPC_CELL_FREE; phase <= KIPC_CELL_RETURNED;
		     phase++) {
			uint64_t v = 1;

			preset(q, 0);
			for (uint64_t i = 0; i < capacity; i++)
				cell_at(q, (uint32_t)i)->state =
					cell_state((q->lap_mask / capacity * i + i) & q->lap_mask,
						   phase, phase & 1 ? q->obj.seg.slot : 0);
			for (int tail = 0; tail < 2; tail++) {
				q->sh->tail = tail ? 1ULL << 62 : 1;
				for (int k = 0; k < 20; k++) {
					kipc_queue_get(q, &v, 8, KIPC_NOWAIT);
					put_u64(q, 1, KIPC_NOWAIT);
					EXPECT_LE(kipc_queue_len(q), capacity);
					kipc_queue_join(q, KIPC_NOWAIT);
				}
			}
		}
		EXPECT_EQ(capacity, kipc_queue_capacity(q));
		kipc_queue_close(q);
	}
}

/* Every state word of one cell that can't be, at every place. */
TEST_TIMEOUT(bad_states, 10)
{
	static const uint32_t phases[] = { 5, 6, 7 };
	struct kipc_queue *q = make_queue(3, 8);
	uint32_t nobody = q->obj.seg.npeers + 1;

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		preset(q, 5);
		cell_at(q, 0)->state = cell_state(5, phases[i], 0);
		expect_proto(q, false, true);
		preset(q, 5);
		cell_at(q, 0)->state = cell_state(4, phases[i], 0);
		expect_proto(q, true, true);
	}
	/* held, but by nobody who can be: waiting for that one would have no end */
	for (int lap = 4; lap <= 5; lap++) {
		preset(q, 5);
		cell_at(q, 0)->state = cell_state((uint64_t)lap, KIPC_CELL_WRITING, 0);
		expect_proto(q, lap == 4, true);
		preset(q, 5);
		cell_at(q, 0)->state = cell_state((uint64_t)lap, KIPC_CELL_WRITING, nobody);
		expect_proto(q, lap == 4, true);
	}
	preset(q, 5);
	cell_at(q, 0)->state = cell_state(4, KIPC_CELL_READING, 0);
	expect_proto(q, true, true);
	preset(q, 5);
	cell_at(q, 0)->state = cell_state(4, KIPC_CELL_READING, nobody);
	expect_proto(q, true, true);
	/* nobody's, but with an owner */
	preset(q, 5);
	cell_at(q, 0)->state = cell_state(5, KIPC_CELL_READY, 1);
	expect_proto(q, false, true);
	preset(q, 5);
	cell_at(q, 0)->state = cell_state(5, KIPC_CELL_FREE, 1);
	expect_proto(q, false, true);
	/* not taken, yet passed */
	preset(q, 5);
	cell_at(q, 0)->state = cell_state(4, KIPC_CELL_FREE, 0);
	expect_proto(q, false, true);
	preset(q, 5);
	cell_at(q, 0)->state = cell_state(4, KIPC_CELL_READY, 0);
	expect_proto(q, false, true);
	kipc_queue_close(q);
}

/* Held by a slot that nobody ever had: that is as good as dead. */
TEST_TIMEOUT(held_by_a_slot_that_is_free, 10)
{
	struct kipc_queue *q = make_queue(3, 8);

	preset(q, 5);
	cell_at(q, 0)->state = cell_state(5, KIPC_CELL_WRITING, 9);
	q->sh->tail = pos_next(q, q->sh->tail);
	EXPECT_EQ(-ETIMEDOUT, get_u64(q, 200 * MSEC));
	EXPECT_EQ(0, kipc_queue_len(q));
	preset(q, 5);
	cell_at(q, 0)->state = cell_state(4, KIPC_CELL_READING, 9);
	cell_at(q, 0)->len = 8;
	memset(cell_at(q, 0)->data, 0, 8);
	EXPECT_EQ(-ETIMEDOUT, put_u64(q, 1, 200 * MSEC));
	EXPECT_EQ(0, get_u64(q, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	kipc_queue_close(q);
}

/* A length that the queue doesn't allow is never used, and the others aren't touched. */
TEST_TIMEOUT(bad_length, 10)
{
	static const uint64_t lens[] = { 301, 4096, UINT32_MAX, 1ULL << 32, UINT64_MAX };
	struct kipc_queue *q = make_queue(3, 300);
	char buf[300];

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct iovec iov[2] = { { buf, 300 }, { buf, 300 } };
		struct kipc_msg msg;

		preset(q, 5);
		EXPECT_EQ(0, kipc_queue_put(q, "a", 1, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_queue_put(q, "b", 1, KIPC_NOWAIT));
		cell_at(q, 1)->len = lens[i];
		EXPECT_EQ(1, kipc_queue_get_many(q, iov, 2, KIPC_FOREVER));
		expect_proto(q, false, true);
		EXPECT_EQ(-EPROTO, kipc_queue_get(q, buf, 300, KIPC_FOREVER));
		cell_at(q, 1)->len = 1;
		EXPECT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
		cell_at(q, 1)->len = lens[i];
		EXPECT_EQ(0, kipc_queue_requeue(q, &msg));
		EXPECT_EQ(-EPROTO, kipc_queue_get(q, buf, 300, KIPC_FOREVER));
	}
	kipc_queue_close(q);
}

/* The dropping put gets rid even of that. */
TEST_TIMEOUT(bad_length_and_dropping, 10)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 2, .msg_size = 8,
		  .overflow = KIPC_OVERFLOW_DROP_OLDEST);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
	EXPECT_EQ(0, put_u64(q, 2, KIPC_NOWAIT));
	cell_at(q, 0)->len = 9;
	EXPECT_EQ(0, put_u64(q, 3, KIPC_FOREVER));
	EXPECT_EQ(2, drain(q, 2));
	kipc_queue_close(q);
}

/* Commit of a message whose place was taken from under it. */
TEST(stolen_claims)
{
	struct kipc_queue *q = make_queue(3, 300);
	struct kipc_msg msg;

	EXPECT_EQ(0, kipc_queue_reserve(q, 300, &msg, KIPC_NOWAIT));
	cell_at(q, 0)->state = cell_state(0, KIPC_CELL_READY, 0);
	EXPECT_EQ(-EINVAL, kipc_queue_commit(q, &msg));
	EXPECT_EQ(-EINVAL, kipc_queue_abort(q, &msg));
	kipc_queue_close(q);
}

/* Doorbell words full of nonsense: waits still end in time. */
TEST_TIMEOUT(bad_bells, 20)
{
	static const uint64_t words[] = { UINT64_MAX, KIPC_BELL_DRAINER, KIPC_BELL_SIGNALLED,
					  KIPC_BELL_SLEEPERS, 1ULL << 63, 900ULL << 18,
					  KIPC_BELL_WATCHED | KIPC_BELL_SIGNALLED };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct kipc_queue *q = make_queue(1, 8);
		int64_t start = ksft_now_ns();

		for (int b = 0; b < KIPC_QUEUE_BELLS; b++)
			q->sh->bells[b].word = words[i];
		EXPECT_EQ(-ETIMEDOUT, get_u64(q, 30 * MSEC));
		EXPECT_EQ(0, put_u64(q, 1, KIPC_NOWAIT));
		EXPECT_EQ(-ETIMEDOUT, put_u64(q, 1, 30 * MSEC));
		EXPECT_EQ(-ETIMEDOUT, kipc_queue_join(q, 30 * MSEC));
		EXPECT_EQ(1, get_u64(q, 30 * MSEC));
		EXPECT_LT(ksft_now_ns() - start, ksft_scale(1000) * MSEC);
		kipc_queue_fd(q, KIPC_READABLE);
		EXPECT_EQ(-EAGAIN, get_u64(q, KIPC_NOWAIT));
		EXPECT_EQ(0, kipc_queue_shutdown(q));
		EXPECT_EQ(-EPIPE, get_u64(q, KIPC_FOREVER));
		kipc_queue_close(q);
	}
}

/* The whole shared body, at random: any result, but an end, and nothing outside of the segment. */
TEST_TIMEOUT(random_bodies, 20)
{
	unsigned int seed = 12345;
	int rounds = ksft_slow() ? 100 : 600;

	for (int round = 0; round < rounds; round++) {
		struct kipc_queue *q = make_queue((uint32_t)round % 9 + 1, round % 2 ? 8 : 300);
		uint8_t *body = (uint8_t *)q->sh;
		/* all but the geometry, which was copied; cells as well */
		size_t size = sizeof(*q->sh) + (size_t)q->capacity * q->cell_size;
		char buf[300];

		for (int k = 0; k < 12; k++) {
			struct iovec iov[3] = { { buf, 100 }, { buf, 100 }, { buf, 100 } };
			struct kipc_msg msg;

			for (int n = 0; n < 40; n++) {
				size_t at = (size_t)rand_r(&seed) % size;

				body[at] = (uint8_t)rand_r(&seed);
			}
			kipc_queue_put(q, buf, 50, KIPC_NOWAIT);
			kipc_queue_get(q, buf, sizeof(buf), KIPC_NOWAIT);
			kipc_queue_put_many(q, iov, 3, KIPC_NOWAIT);
			kipc_queue_get_many(q, iov, 3, KIPC_NOWAIT);
			if (!kipc_queue_reserve(q, 8, &msg, KIPC_NOWAIT))
				kipc_queue_commit(q, &msg);
			if (!kipc_queue_take(q, &msg, KIPC_NOWAIT)) {
				EXPECT_GE((uint8_t *)msg.data, q->obj.seg.base);
				EXPECT_LE((uint8_t *)msg.data + msg.len,
					  q->obj.seg.base + q->obj.seg.size);
				kipc_queue_requeue(q, &msg);
			}
			kipc_queue_join(q, KIPC_NOWAIT);
			kipc_queue_get(q, buf, sizeof(buf), 1);
			kipc_queue_put(q, buf, 8, 1);
			EXPECT_LE(kipc_queue_len(q), q->capacity);
			__kipc_peer_sweep(&q->obj.seg, 0);
		}
		kipc_queue_close(q);
	}
}

/* ---- geometry, as it comes from elsewhere ---- */

static int import(struct kipc_queue *q, const int fds[3])
{
	struct kipc_transfer t = { .nfds = 3 };
	struct kipc_object *obj = NULL;
	int r;

	for (int i = 0; i < 3; i++)
		t.fds[i] = dup(fds[i]);
	r = q->obj.ops->import(&t, &obj);
	if (!r) {
		EXPECT_NE(NULL, obj);
		obj->ops->close(obj);
		/* its descriptors went with it */
		EXPECT_EQ(-1, fcntl(t.fds[0], F_GETFD));
	} else {
		EXPECT_EQ(NULL, obj);
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(0, close(t.fds[i]));
	}
	return r;
}

static int import_as_is(struct kipc_queue *q)
{
	int fds[3] = { q->obj.seg.fd, q->bells[0].fd, q->bells[1].fd };

	return import(q, fds);
}

#define EXPECT_REFUSED(q, field, value)                                                            \
	do {                                                                                       \
		__typeof__((q)->sh->field) __was = (q)->sh->field;                                 \
		(q)->sh->field = (__typeof__(__was))(value);                                       \
		EXPECT_EQ(-EPROTO, import_as_is(q));                                               \
		(q)->sh->field = __was;                                                            \
	} while (0)

TEST(bad_geometry)
{
	struct kipc_queue *q = make_queue(100, 1000);
	uint64_t size = q->obj.seg.size;

	EXPECT_EQ(0, import_as_is(q));
	EXPECT_REFUSED(q, capacity, 0);
	EXPECT_REFUSED(q, capacity, KIPC_QUEUE_CAPACITY_MAX + 1);
	EXPECT_REFUSED(q, capacity, UINT32_MAX);
	EXPECT_REFUSED(q, capacity, 1 << 20);
	EXPECT_REFUSED(q, cell_size, 0);
	EXPECT_REFUSED(q, cell_size, 32);
	EXPECT_REFUSED(q, cell_size, 100);
	EXPECT_REFUSED(q, cell_size, 1 << 20);
	EXPECT_REFUSED(q, msg_size, KIPC_QUEUE_MSG_MAX + 1);
	EXPECT_REFUSED(q, msg_size, UINT64_MAX);
	EXPECT_REFUSED(q, msg_size, 1025);	/* > payload_stride */
	EXPECT_REFUSED(q, cells_off, 0x7fffffffffffffc0);
	EXPECT_REFUSED(q, cells_off, UINT64_MAX - 63);
	EXPECT_REFUSED(q, cells_off, q->sh->cells_off + 8);
	EXPECT_REFUSED(q, cells_off, size - 64);
	EXPECT_REFUSED(q, payload_off, size);
	EXPECT_REFUSED(q, payload_off, size - 64);
	EXPECT_REFUSED(q, payload_off, UINT64_MAX - 63);
	EXPECT_REFUSED(q, payload_off, q->sh->payload_off + 1);
	EXPECT_REFUSED(q, payload_stride, 0);
	EXPECT_REFUSED(q, payload_stride, 960);
	EXPECT_REFUSED(q, payload_stride, 1 << 20);
	EXPECT_REFUSED(q, payload_stride, UINT64_MAX / 100 * 64);
	EXPECT_REFUSED(q, payload_stride, UINT64_MAX - 63);
	EXPECT_REFUSED(q, overflow, 2);
	EXPECT_EQ(0, import_as_is(q));
	kipc_queue_close(q);
}

TEST(bad_descriptors)
{
	struct kipc_queue *q = make_queue(4, 8);
	int pipe_fds[2], bell = eventfd(0, EFD_CLOEXEC),
			 zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	int memfd = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ASSERT_EQ(0, pipe(pipe_fds));
	EXPECT_EQ(-EPROTO, import(q, (int[]){ q->obj.seg.fd, pipe_fds[0], bell }));
	EXPECT_EQ(-EPROTO, import(q, (int[]){ q->obj.seg.fd, bell, zero }));
	EXPECT_EQ(-EPROTO, import(q, (int[]){ q->obj.seg.fd, bell, q->obj.seg.fd }));
	EXPECT_EQ(-EPROTO, import(q, (int[]){ zero, bell, bell }));
	EXPECT_EQ(-EPROTO, import(q, (int[]){ memfd, bell, bell }));
	EXPECT_EQ(-EPROTO, import(q, (int[]){ bell, bell, bell }));
	/* a blocking eventfd is made non-blocking, lest a read hang */
	EXPECT_EQ(0, import(q, (int[]){ q->obj.seg.fd, bell, bell }));
	EXPECT_NE(0, fcntl(bell, F_GETFL) & O_NONBLOCK);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(bell);
	close(zero);
	close(memfd);
	kipc_queue_close(q);
}

/* Geometry is read once: what changes after the import is of no concern. */
TEST(geometry_is_read_once)
{
	struct kipc_queue *q = make_queue(4, 300);

	q->sh->capacity = UINT32_MAX;
	q->sh->msg_size = UINT64_MAX;
	q->sh->cell_size = 1 << 30;
	q->sh->cells_off = UINT64_MAX;
	q->sh->payload_off = UINT64_MAX;
	q->sh->payload_stride = UINT64_MAX;
	EXPECT_EQ(-EMSGSIZE, kipc_queue_put(q, "", 301, KIPC_NOWAIT));
	check_works(q);
	kipc_queue_close(q);
}

TEST_HARNESS_MAIN
