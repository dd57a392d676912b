// SPDX-License-Identifier: MIT
/* Each thing that can't be in a queue, planted and found. */
#include "check_test.h"
#include "queue/queue.h"

FIXTURE(queue) {
	struct kipc_queue *q;
	struct kipc_object *obj;
	struct kipc_queue_shared *sh;
};

FIXTURE_SETUP(queue)
{
	char msg[300] = "x";

	self->obj = make_object(QUEUE);
	ASSERT_TRUE(self->obj);
	self->q = kipc_object_queue(self->obj);
	self->sh = self->q->sh;
	/* somewhere in the middle: three laps on, cells 2 to 4 and 0 are full */
	for (int i = 0; i < 17; i++) {
		ASSERT_EQ(0, kipc_queue_put(self->q, msg, (size_t)(i % 2 ? 300 : 10), KIPC_NOWAIT));
		ASSERT_GT(kipc_queue_get(self->q, msg, sizeof(msg), KIPC_NOWAIT), 0);
	}
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kipc_queue_put(self->q, msg, 20, KIPC_NOWAIT));
	check_clean(self->obj, KIPC_CHECK_IDLE);
}

FIXTURE_TEARDOWN(queue)
{
	check_clean(self->obj, KIPC_CHECK_IDLE);
	kipc_queue_close(self->q);
}

#define DAMAGE(word, value, code, words) damage(self->obj, word, value, KIPC_FINDING_##code, words)

TEST_F(queue, cells)
{
	struct kipc_cell *full = cell_at(self->q, 2), *empty = cell_at(self->q, 1);
	uint64_t lap = cell_lap(full->state);

	DAMAGE(full->state, full->state | 5ULL << KIPC_CELL_PHASE_SHIFT, STATE,
	       "cell 2: phase 7 does not exist");
	DAMAGE(full->state, cell_state(lap, KIPC_CELL_READY, 3), STATE,
	       "slot 3 stands in it, but nobody can hold");
	DAMAGE(empty->state, empty->state | 1, STATE, "cell 1: slot 1 stands in it");
	DAMAGE(full->state, cell_state(lap, KIPC_CELL_WRITING, 0), CLAIM,
	       "cell 2 (being written) is held by slot 0");
	DAMAGE(full->state, cell_state(lap, KIPC_CELL_READING, 9), CLAIM,
	       "cell 2 (taken) is held by slot 9, which is free");
	DAMAGE(full->state, cell_state(lap, KIPC_CELL_READING, 999), CLAIM, "held by slot 999, of");
	DAMAGE(full->len, 301, LENGTH, "a message of 301 bytes, of 300 at most");
	DAMAGE(empty->state, empty->state + (2ULL << KIPC_CELL_LAP_SHIFT), POSITION,
	       "its lap is");
	DAMAGE(full->state, full->state - (2ULL << KIPC_CELL_LAP_SHIFT), POSITION, "its lap is");
	/* a message that was lost: its cell claims to be over */
	DAMAGE(full->state, cell_state(lap + 1, KIPC_CELL_READY, 0), POSITION, "lap");
}

TEST_F(queue, returned_but_nobody_looks)
{
	struct kipc_msg msg;

	ASSERT_EQ(0, kipc_queue_take(self->q, &msg, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_requeue(self->q, &msg));
	check_clean(self->obj, KIPC_CHECK_IDLE);
	DAMAGE(self->sh->scanned, self->sh->returned, COUNT, "nobody will look for them");
	DAMAGE(self->sh->scanned, self->sh->returned + 1, COUNT, "scanned for");
}

TEST_F(queue, hints)
{
	uint32_t bits = self->q->index_bits;
	uint64_t head = self->sh->head, tail = self->sh->tail;

	DAMAGE(self->sh->tail, tail | 7, POSITION, "tail is at index 7, of 5");
	DAMAGE(self->sh->head, head | 7, POSITION, "head is at index 7, of 5");
	DAMAGE(self->sh->tail, pos_next(self->q, tail), POSITION, "tail is beyond the first unclaimed");
	DAMAGE(self->sh->tail, tail - (3ULL << bits), POSITION, "more than two rings before");
	DAMAGE(self->sh->head, pos_next(self->q, head), POSITION, "a message that nobody will take");
	DAMAGE(self->sh->head, head + (1ULL << bits), POSITION, "head is beyond cell");
}

TEST_F(queue, hints_may_lag)
{
	uint64_t head = self->sh->head, tail = self->sh->tail;

	self->sh->tail -= 1;
	self->sh->head -= 1;
	check_clean(self->obj, KIPC_CHECK_IDLE);
	self->sh->head = 0;
	check_clean(self->obj, KIPC_CHECK_IDLE);
	self->sh->head = head;
	self->sh->tail = tail;
}

TEST_F(queue, geometry)
{
	DAMAGE(self->sh->capacity, 0, GEOMETRY, "a capacity of 0");
	DAMAGE(self->sh->capacity, 1u << 23, GEOMETRY, "are not in the file");
	DAMAGE(self->sh->cell_size, 100, GEOMETRY, "cells of 100 bytes");
	DAMAGE(self->sh->cells_off, 64, GEOMETRY, "are not in the file");
	DAMAGE(self->sh->cells_off, 1ULL << 63, GEOMETRY, "are not in the file");
	DAMAGE(self->sh->msg_size, 1ULL << 40, GEOMETRY, "messages of up to");
	DAMAGE(self->sh->payload_off, 4096, GEOMETRY, "the payload of 5 messages");
	DAMAGE(self->sh->payload_stride, 64, GEOMETRY, "the payload of 5 messages");
	DAMAGE(self->sh->payload_stride, ~63ULL, GEOMETRY, "the payload of 5 messages");
	DAMAGE(self->sh->overflow, 9, GEOMETRY, "overflow rule of 9");
	DAMAGE(self->sh->shutdown, 2, STATE, "shutdown is 2");
}

TEST_F(queue, bells)
{
	uint64_t *word = &self->sh->bells[KIPC_QUEUE_BELL_WRITABLE].word;
	struct kipc_peer *peer = (struct kipc_peer *)(self->obj->seg.base + KIPC_SEG_PEERS_OFF);

	DAMAGE(*word, *word | 77ULL << KIPC_BELL_DRAINER_SHIFT, CLAIM,
	       "queue's doorbell for writers is held by slot 77, which is free");
	DAMAGE(peer->sleeping[KIPC_QUEUE_BELL_JOIN], 2, BELL,
	       "2 threads sleep there, but it counts 0");
	/* too many is what the dead leave */
	*word += KIPC_BELL_SLEEPER;
	check_clean(self->obj, KIPC_CHECK_IDLE);
}

TEST_F(queue, in_flight)
{
	struct findings all = { .n = 0 };
	struct kipc_msg msg[2];

	KIPC_OPTS(kipc_report, r, .flags = KIPC_CHECK_IDLE, .found = collect, .arg = &all);

	ASSERT_EQ(0, kipc_queue_take(self->q, &msg[0], KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_reserve(self->q, 100, &msg[1], KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_check(self->obj, &r));
	EXPECT_EQ(2, r.in_flight);
	EXPECT_EQ(0, r.dead_claims);
	EXPECT_EQ(1, r.quiescent);
	EXPECT_EQ(1, r.looks);
	EXPECT_TRUE(strstr(all.text, "in flight: cell 2 (taken) is held by slot 1"));
	EXPECT_TRUE(strstr(all.text, "in flight: cell 1 (being written) is held by slot 1"));
	ASSERT_EQ(0, kipc_queue_done(self->q, &msg[0]));
	ASSERT_EQ(0, kipc_queue_abort(self->q, &msg[1]));
}

TEST_HARNESS_MAIN
