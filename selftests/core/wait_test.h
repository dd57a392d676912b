/* SPDX-License-Identifier: MIT */
/* What the tests of waiting share: a wait for tokens, in both ways of sleeping. */
#ifndef SELFTESTS_CORE_WAIT_TEST_H
#define SELFTESTS_CORE_WAIT_TEST_H

#include "common.h"

FIXTURE(wait) {
	struct core c;
	struct kipc_wait w;
};

FIXTURE_VARIANT(wait) {
	const char *no_io_uring;
};

FIXTURE_VARIANT_ADD(wait, uring) { "0" };
FIXTURE_VARIANT_ADD(wait, ppoll) { "1" };

static inline bool tokens(void *arg)
{
	struct core *c = arg;

	return load_acquire(&c->body->tokens) != 0;
}

static inline bool never(void *arg)
{
	(void)arg;
	return false;
}

static inline struct kipc_wait wait_for(struct core *c, int64_t timeout_ns)
{
	return (struct kipc_wait){
		.seg = &c->seg,
		.bell = &c->bells[0],
		.ready = tokens,
		.arg = c,
		.hup_fd = -1,
		.deadline = __kipc_deadline(timeout_ns),
	};
}

FIXTURE_SETUP(wait)
{
	setenv("KIPC_NO_IO_URING", variant->no_io_uring, 1);
	if (variant->no_io_uring[0] == '0' && kipc_feature_supported(KIPC_FEATURE_IO_URING) != 1)
		SKIP("needs io_uring");
	ASSERT_EQ(0, core_create(&self->c, NULL));
	self->w = wait_for(&self->c, KIPC_FOREVER);
}

FIXTURE_TEARDOWN(wait)
{
	/* whatever happened: nobody is announced any more */
	EXPECT_EQ(0, core_sleepers(&self->c, 0));
	EXPECT_EQ(0, core_peer(&self->c, self->c.seg.slot)->sleeping[0]);
	core_close(&self->c);
}

#define RINGS "anon_inode:[io_uring]"

/*
 * One of our threads sleeps while another is to do something.  Valgrind runs one thread at a time, and
 * doesn't know that io_uring_enter(2) blocks: while a thread sleeps there, no other runs.
 */
#define NEEDS_THREADS()                                                                            \
	do {                                                                                       \
		if (variant->no_io_uring[0] == '0' && ksft_valgrind())                             \
			SKIP("needs threads that run beside io_uring_enter(2), not valgrind's");   \
	} while (0)

static inline void put(struct core *c, uint64_t n)
{
	fetch_add(&c->body->tokens, n);
	__kipc_bell_ring(&c->bells[0]);
}

static inline int wait_once(void *arg)
{
	struct core *c = arg;
	struct kipc_wait w = wait_for(c, KIPC_FOREVER);
	int r = __kipc_peer_enter(&c->seg);

	return r ? r : __kipc_wait(&w);
}

#endif
