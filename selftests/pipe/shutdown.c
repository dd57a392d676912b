// SPDX-License-Identifier: MIT
/* kipc_pipe_shutdown(): one direction ends, for every process that has the end. */
#include "pipe_test.h"

FIXTURE(shut)
{
	struct kipc_pipe *e[2];
};

FIXTURE_VARIANT(shut)
{
	uint32_t flags;
	enum ksft_peer_kind peers;
};

FIXTURE_VARIANT_ADD(shut, threads){ .peers = KSFT_THREAD };
FIXTURE_VARIANT_ADD(shut, processes){ .peers = KSFT_PROCESS };
FIXTURE_VARIANT_ADD(shut, exclusive){ .peers = KSFT_PROCESS, .flags = KIPC_PIPE_EXCLUSIVE };

FIXTURE_SETUP(shut)
{
	pipe_make(self->e, RING, variant->flags);
}

FIXTURE_TEARDOWN(shut)
{
	kipc_pipe_close(self->e[0]);
	kipc_pipe_close(self->e[1]);
}

TEST_F(shut, one_direction_only)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };
	char buf[8];

	EXPECT_EQ(0, kipc_pipe_send(self->e[0], "last", 4, KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(self->e[0], "x", 1, KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_send(self->e[0], "x", 1, KIPC_FOREVER));
	EXPECT_EQ(0, kipc_pipe_poll(self->e[1], KIPC_NOWAIT));
	EXPECT_EQ(4, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_FOREVER));
	EXPECT_EQ(-EPIPE, kipc_pipe_poll(self->e[1], KIPC_FOREVER));
	ASSERT_EQ(0, kipc_pipe_stat(self->e[0], &st));
	EXPECT_EQ(1, st.shutdown);
	EXPECT_EQ(0, st.hung_up);
	ASSERT_EQ(0, kipc_pipe_stat(self->e[1], &st));
	EXPECT_EQ(2, st.shutdown);

	/* the other way is untouched */
	EXPECT_EQ(0, kipc_pipe_send(self->e[1], "back", 4, KIPC_NOWAIT));
	EXPECT_EQ(4, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[1]));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[0], buf, sizeof(buf), KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_stat(self->e[1], &st));
	EXPECT_EQ(3, st.shutdown);
}

static int recv_epipe(void *arg)
{
	char c;

	return !EXPECT_EQ(-EPIPE, kipc_pipe_recv(arg, &c, 1, KIPC_FOREVER));
}

static int send_epipe(void *arg)
{
	char buf[RING / 2] = "";
	int r;

	do
		r = kipc_pipe_send(arg, buf, sizeof(buf), KIPC_FOREVER);
	while (!r);
	return !EXPECT_EQ(-EPIPE, r);
}

TEST_F(shut, wakes_a_receiver)
{
	struct ksft_peer peer;

	ksft_peer_start(&peer, variant->peers, recv_epipe, self->e[1]);
	ASSERT_TRUE(
		ksft_wait_for(pipe_reader_sleeps(&self->e[0]->tx) && ksft_asleep(peer.id), 5000));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	ksft_peer_join(&peer);
}

TEST_F(shut, wakes_a_sender_of_the_same_end)
{
	struct ksft_peer peer;
	char buf[RING / 2];

	ksft_peer_start(&peer, variant->peers, send_epipe, self->e[0]);
	ASSERT_TRUE(
		ksft_wait_for(pipe_writer_sleeps(&self->e[0]->tx) && ksft_asleep(peer.id), 5000));
	EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
	ksft_peer_join(&peer);
	/* the one that was sent is still there, the one that waited is not */
	EXPECT_EQ(RING / 2, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
	EXPECT_EQ(-EPIPE, kipc_pipe_recv(self->e[1], buf, sizeof(buf), KIPC_NOWAIT));
}

struct racer {
	struct kipc_pipe *p;
	uint64_t *sent;
};

static int send_until_shut(void *arg)
{
	struct racer *racer = arg;
	int r;

	while ((r = kipc_pipe_send(racer->p, racer->sent, 8, KIPC_FOREVER)) == 0)
		__atomic_fetch_add(racer->sent, 1, __ATOMIC_RELAXED);
	return !EXPECT_EQ(-EPIPE, r);
}

/* What was sent successfully is received, however close the shutdown comes. */
TEST_F(shut, beside_a_sender)
{
	uint64_t *sent = ksft_shared(sizeof(*sent)), got, v;
	struct ksft_peer peer;
	ssize_t r;

	for (int round = 0; round < (ksft_slow() ? 20 : 100); round++) {
		struct racer racer = { self->e[0], sent };

		*sent = got = 0;
		ksft_peer_start(&peer, variant->peers, send_until_shut, &racer);
		for (;;) {
			r = kipc_pipe_recv(self->e[1], &v, sizeof(v), KIPC_FOREVER);
			if (r != 8)
				break;
			if (got++ == (uint64_t)round * 7)
				EXPECT_EQ(0, kipc_pipe_shutdown(self->e[0]));
		}
		EXPECT_EQ(-EPIPE, r);
		ksft_peer_join(&peer);
		EXPECT_EQ(*sent, got);
		kipc_pipe_close(self->e[0]);
		kipc_pipe_close(self->e[1]);
		pipe_make(self->e, RING, variant->flags);
	}
}

TEST_HARNESS_MAIN
