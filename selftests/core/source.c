// SPDX-License-Identifier: MIT
/*
 * Sources: what a poller outside of __kipc_wait() does with a doorbell, interleaving by
 * interleaving.
 */
#include "common.h"
#include "core/source.h"

static bool has_tokens(void *arg)
{
	struct core *c = arg;

	return load_acquire(&c->body->tokens) > 0;
}

static uint32_t claimant(void *arg)
{
	struct core *c = arg;

	return load_relaxed(&c->body->claim);
}

FIXTURE(source) {
	struct core c;
	struct kipc_source src;
	struct kipc_bell *b;
	uint64_t *word, *tokens;
};

FIXTURE_SETUP(source)
{
	ASSERT_EQ(0, core_create(&self->c, NULL));
	self->b = &self->c.bells[0];
	self->word = &self->b->line->word;
	self->tokens = &self->c.body->tokens;
	self->src = (struct kipc_source){
		.seg = &self->c.seg,
		.bell = self->b,
		.fd = self->b->fd,
		.ready = has_tokens,
		.owner = claimant,
		.arg = &self->c,
	};
	__kipc_bell_watch(self->b);
}

FIXTURE_TEARDOWN(source)
{
	core_close(&self->c);
}

#define SETTLE() __kipc_source_settle(&self->src, seen)

/* The publisher's two steps, and the number of writes that the eventfd has had. */
#define PUBLISH() fetch_add(self->tokens, 1)
#define RING() __kipc_bell_ring(self->b)
#define RINGS() load_relaxed(&self->b->line->rings)

TEST_F(source, hot_and_cold)
{
	uint64_t seen = __kipc_source_seen(&self->src);

	EXPECT_EQ(0, SETTLE());
	for (int i = 1; i <= 3; i++) {
		PUBLISH();
		RING();
		EXPECT_EQ(i, RINGS());
		seen = __kipc_source_seen(&self->src);	/* the edge is taken */
		EXPECT_EQ(1, SETTLE());
		EXPECT_TRUE(core_signalled(&self->c, 0));
		store_relaxed(self->tokens, 0);
		EXPECT_EQ(0, SETTLE());
		EXPECT_FALSE(core_signalled(&self->c, 0));
		EXPECT_EQ(0, core_eventfd_count(self->b->fd));
	}
}

/* Who was drained by another need not drain: its sequence says so, and the next ring writes. */
TEST_F(source, drained_by_another)
{
	uint64_t seen, word;

	PUBLISH();
	RING();
	seen = __kipc_source_seen(&self->src);
	store_relaxed(self->tokens, 0);
	EXPECT_TRUE(__kipc_bell_drain(&self->c.seg, self->b, true));
	word = *self->word;
	EXPECT_EQ(0, SETTLE());
	EXPECT_EQ(word, *self->word);
	PUBLISH();
	RING();
	EXPECT_EQ(2, RINGS());
}

/*
 * A ringer has written, its edge was taken, what it rang for is gone, and only now it says
 * "signalled": it must fail, or the next one would not write, and nobody would hear of it.
 */
TEST_F(source, a_slow_ringer)
{
	uint64_t before = *self->word, seen;

	PUBLISH();
	__kipc_bell_kick(self->b);	/* its write; it has read the word before */
	seen = __kipc_source_seen(&self->src);
	store_relaxed(self->tokens, 0);
	EXPECT_EQ(0, SETTLE());
	/* the ringer's CAS, which compares the sequence */
	EXPECT_NE(before / KIPC_BELL_SEQ, *self->word / KIPC_BELL_SEQ);
	EXPECT_EQ(0, core_eventfd_count(self->b->fd));
	PUBLISH();
	RING();
	EXPECT_EQ(2, RINGS());
}

/* Published between the look and the drain, which eats the signal: it stays a level for others. */
static bool published_after_the_first_look(void *arg)
{
	struct core *c = arg;

	if (load_relaxed(&c->body->spare[0]))
		return true;
	store_relaxed(&c->body->spare[0], 1);
	__kipc_bell_ring(&c->bells[0]);
	return false;
}

TEST_F(source, published_between_look_and_drain)
{
	uint64_t seen = __kipc_source_seen(&self->src);

	self->src.ready = published_after_the_first_look;
	EXPECT_EQ(1, SETTLE());
	EXPECT_EQ(1, core_eventfd_count(self->b->fd));
	EXPECT_TRUE(core_signalled(&self->c, 0));
	EXPECT_EQ(2, RINGS());
}

static int attach_and_hang(void *arg)
{
	struct core *c = arg;

	if (__kipc_peer_enter(&c->seg))
		return 1;
	store_relaxed(&c->body->claim, c->seg.slot);
	fetch_or(&c->body->bells[0].word,
		 (uint64_t)c->seg.slot << KIPC_BELL_DRAINER_SHIFT);
	store_release(&c->body->spare[1], 1);
	pause();
	return 0;
}

/* One that stopped, or died, as it drained and held a claim. */
TEST_F(source, tends_to_the_dead)
{
	uint64_t seen = __kipc_source_seen(&self->src);
	pid_t pid = ksft_fork(attach_and_hang, &self->c);

	ASSERT_TRUE(ksft_wait_for(load_acquire(&self->c.body->spare[1]), 10000));
	EXPECT_NE(0, __kipc_bell_drainer(self->b));
	EXPECT_EQ(-EBUSY, SETTLE());
	EXPECT_FALSE(__kipc_source_tend(&self->src));	/* it lives */
	EXPECT_EQ(-EBUSY, SETTLE());
	EXPECT_NE(0, load_relaxed(&self->c.body->claim));
	ksft_kill(pid);
	EXPECT_FALSE(__kipc_source_tend(&self->src));
	EXPECT_EQ(0, load_relaxed(&self->c.body->claim));
	EXPECT_EQ(0, __kipc_bell_drainer(self->b));
	EXPECT_EQ(0, SETTLE());
	PUBLISH();
	EXPECT_TRUE(__kipc_source_tend(&self->src));
}

/* A level that the kernel keeps is looked at, and that is all. */
TEST_F(source, without_a_doorbell)
{
	uint64_t seen;

	self->src.bell = NULL;
	seen = __kipc_source_seen(&self->src);
	EXPECT_EQ(0, SETTLE());
	EXPECT_FALSE(__kipc_source_tend(&self->src));
	PUBLISH();
	EXPECT_EQ(1, SETTLE());
	EXPECT_TRUE(__kipc_source_tend(&self->src));
	EXPECT_EQ(0, RINGS());
}

TEST_HARNESS_MAIN
