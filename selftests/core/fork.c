// SPDX-License-Identifier: MIT
/* Children of every make: each has a slot of its own, and keeps nobody else's alive. */
#include <sys/prctl.h>

#include "common.h"

FIXTURE(child) {
	struct core c;
	struct shared {
		uint32_t slot[64];
		uint32_t go;
		uint32_t inside;
		uint32_t forked;
		uint32_t reattached;
	} *sh;
};

FIXTURE_VARIANT(child) {
	bool bare;	/* clone(2) behind pthread_atfork()'s back */
};

FIXTURE_VARIANT_ADD(child, fork) { false };
FIXTURE_VARIANT_ADD(child, bare_clone) { true };

static struct shared *shared;

FIXTURE_SETUP(child)
{
	ksft_needs_processes();
	shared = self->sh = ksft_shared(sizeof(*shared));
	ASSERT_EQ(0, core_create(&self->c, NULL));
}

FIXTURE_TEARDOWN(child)
{
	core_forked_hook = NULL;
	core_reattached_hook = NULL;
	core_close(&self->c);
}

#define SEG (&self->c.seg)

static pid_t spawn(bool bare, ksft_fn fn, void *arg)
{
	return bare ? core_clone(fn, arg) : ksft_fork(fn, arg);
}

static int lock_fds(void)
{
	return core_count_fds("/memfd:kipc");
}

static int check_own_slot(void *arg)
{
	struct core *c = arg;
	uint32_t slot;

	if (__kipc_peer_enter(&c->seg))
		return 1;
	slot = c->seg.slot;
	if (slot < 2 || core_peer(c, slot)->pid != (uint32_t)getpid() ||
	    core_peer(c, slot)->state != KIPC_PEER_LIVE)
		return 2;
	if (core_byte_free(c->seg.fd, slot))
		return 3;
	if (!__kipc_peer_alive(&c->seg, 1))
		return 4;
	if (__kipc_peer_enter(&c->seg) || c->seg.slot != slot)
		return 5;
	/* the memfd and one description of our own, no copy of the parent's */
	if (lock_fds() != 2)
		return 6;
	store_release(&shared->slot[0], c->seg.slot);
	return 0;
}

TEST_F(child, has_its_own_slot)
{
	ksft_join(spawn(variant->bare, check_own_slot, &self->c));
	EXPECT_EQ(1, SEG->slot);
	EXPECT_EQ(0, __kipc_peer_enter(SEG));
	EXPECT_EQ(1, SEG->slot);
	EXPECT_FALSE(__kipc_peer_alive(SEG, 2));
	EXPECT_EQ(1, __kipc_peer_sweep(SEG, 0));
	EXPECT_FALSE(core_byte_free(SEG->fd, 1));
	EXPECT_EQ(2, lock_fds());
}

struct nested {
	struct core *c;
	bool bare, use;
	int depth;
};

/* Down to the third generation, each using the segment before it has children, or not. */
static int generation(void *arg)
{
	struct nested *n = arg, next = *n;
	int status;

	if (n->use && check_own_slot(n->c))
		return 10 + n->depth;
	if (!n->depth)
		return check_own_slot(n->c);
	next.depth--;
	status = ksft_wait(spawn(n->bare, generation, &next));
	if (!WIFEXITED(status))
		return 20 + n->depth;
	if (WEXITSTATUS(status))
		return WEXITSTATUS(status);
	if (n->use)
		return __kipc_peer_enter(&n->c->seg) || !__kipc_peer_alive(&n->c->seg, 1);
	return check_own_slot(n->c);
}

TEST_F(child, has_children)
{
	for (int i = 0; i < 4; i++) {
		struct nested n = { &self->c, i & 1, i & 2, 3 };

		ksft_join(spawn(variant->bare, generation, &n));
		EXPECT_EQ(4, __kipc_peer_sweep(SEG, 0));
		EXPECT_TRUE(core_byte_free(SEG->fd, 2));
	}
	EXPECT_FALSE(core_byte_free(SEG->fd, 1));
}

/* ---- the parent dies, the child stays ---- */

struct family {
	struct core *c;
	bool bare, use;
	pid_t *child;
};

static int stay(void *arg)
{
	struct family *f = arg;

	if (f->use && __kipc_peer_enter(&f->c->seg))
		return 1;
	store_release(&shared->slot[1], f->use ? f->c->seg.slot : UINT32_MAX);
	while (!load_acquire(&shared->go))
		ksft_wait_for(load_acquire(&shared->go), 1000);
	/* orphaned, but at home */
	if (__kipc_peer_enter(&f->c->seg))
		return 2;
	store_release(&shared->slot[2], f->c->seg.slot);
	while (load_acquire(&shared->go) != 2)
		ksft_wait_for(load_acquire(&shared->go) == 2, 1000);
	return 0;
}

static int parent(void *arg)
{
	struct family *f = arg;

	if (__kipc_peer_enter(&f->c->seg))
		return 1;
	core_claim(f->c);
	store_release(&shared->slot[0], f->c->seg.slot);
	store_release(f->child, spawn(f->bare, stay, f));
	pause();
	return 0;
}

TEST_F(child, outlives_its_parent)
{
	for (int use = 0; use < 2; use++) {
		struct family f = { &self->c, variant->bare, use, (pid_t *)&shared->slot[3] };
		uint32_t dead;
		pid_t pid;

		/* a bare clone can't let go before it has been here; see peer.h */
		if (variant->bare && !use)
			continue;
		memset(shared, 0, sizeof(*shared));
		pid = ksft_fork(parent, &f);
		ASSERT_TRUE(ksft_wait_for(load_acquire(&shared->slot[1]), 5000));
		dead = shared->slot[0];
		EXPECT_TRUE(__kipc_peer_alive(SEG, dead));
		ksft_kill(pid);
		EXPECT_FALSE(__kipc_peer_alive(SEG, dead));
		EXPECT_EQ(1, __kipc_peer_reap(SEG, dead));
		EXPECT_EQ(0, self->c.body->claim);
		if (use) {
			EXPECT_NE(dead, shared->slot[1]);
			EXPECT_TRUE(__kipc_peer_alive(SEG, shared->slot[1]));
		}
		store_release(&shared->go, 1);
		ASSERT_TRUE(ksft_wait_for(load_acquire(&shared->slot[2]), 5000));
		EXPECT_TRUE(__kipc_peer_alive(SEG, shared->slot[2]));
		EXPECT_EQ(0, __kipc_peer_reap(SEG, shared->slot[2]));
		store_release(&shared->go, 2);
		ASSERT_TRUE(ksft_wait_for(!__kipc_peer_alive(SEG, shared->slot[2]), 5000));
		__kipc_peer_sweep(SEG, 0);
	}
}

/* ---- closing in a child ---- */

static int close_unused(void *arg)
{
	struct core *c = arg;

	__kipc_segment_close(&c->seg);
	return lock_fds();
}

TEST_F(child, closes_only_what_is_its_own)
{
	core_claim(&self->c);
	ksft_join(spawn(variant->bare, close_unused, &self->c));
	EXPECT_EQ(1, self->c.body->claim);
	EXPECT_EQ(KIPC_PEER_LIVE, core_peer(&self->c, 1)->state);
	EXPECT_FALSE(core_byte_free(SEG->fd, 1));
	EXPECT_EQ(1, SEG->hdr->peer_high);
	self->c.body->claim = 0;
}

/* ---- a child whose first segment is a new one ---- */

static int open_another(void *arg)
{
	struct core *c = arg, d, e;

	if (core_create(&d, NULL) || core_open(&e, c))
		return 1;
	core_claim(&d);
	if (__kipc_peer_enter(&c->seg) || __kipc_peer_enter(&d.seg) || __kipc_peer_enter(&e.seg))
		return 2;
	/* finding out about ourselves must not have thrown away what is ours already */
	if (d.seg.slot != 1 || d.body->claim != 1 || d.seg.lock_fd < 0)
		return 3;
	if (core_byte_free(d.seg.fd, 1) || core_byte_free(e.seg.fd, e.seg.slot))
		return 4;
	if (core_peer(&d, 1)->generation != 1 || d.seg.hdr->peer_high != 1)
		return 5;
	core_close(&d);
	core_close(&e);
	return lock_fds() == 2 ? 0 : 6;
}

TEST_F(child, opens_another_first)
{
	ksft_join(spawn(variant->bare, open_another, &self->c));
}

/* ---- a child with threads ---- */

static int enter_too(void *arg)
{
	struct core *c = arg;

	ksft_wait_for(load_acquire(&shared->go), 5000);
	return __kipc_peer_enter(&c->seg);
}

static int enter_with_threads(void *arg)
{
	struct core *c = arg;
	struct ksft_thread t[4];
	uint32_t slot;

	for (int i = 0; i < 4; i++)
		ksft_thread_start(&t[i], enter_too, c);
	store_release(&shared->go, 1);
	if (__kipc_peer_enter(&c->seg))
		return 1;
	slot = c->seg.slot;
	for (int i = 0; i < 4; i++)
		ksft_thread_join(&t[i]);
	if (c->seg.slot != slot || !slot || slot == 1 || lock_fds() != 2)
		return 2;
	return core_byte_free(c->seg.fd, slot) ? 3 : 0;
}

TEST_F(child, enters_with_many_threads)
{
	for (int i = 0; i < 10; i++) {
		shared->go = 0;
		ksft_join(spawn(variant->bare, enter_with_threads, &self->c));
		EXPECT_EQ(1, __kipc_peer_sweep(SEG, 0));
	}
}

/* ---- what the kind is told ---- */

static void count_forked(struct core *c)
{
	EXPECT_EQ(0, c->seg.slot);
	fetch_add(&shared->forked, 1);
}

static int count_reattached(struct core *c)
{
	EXPECT_NE(0, c->seg.slot);
	EXPECT_NE(1, c->seg.slot);
	/* it may use the segment, and is not asked again for that */
	EXPECT_EQ(0, __kipc_peer_enter(&c->seg));
	return fetch_add(&shared->reattached, 1) < 2 ? -ENOMEM : 0;
}

static int enter_thrice(void *arg)
{
	struct core *c = arg;

	EXPECT_EQ(-ENOMEM, __kipc_peer_enter(&c->seg));
	/* it isn't half there */
	EXPECT_EQ(0, c->seg.slot);
	EXPECT_EQ(1, lock_fds());
	EXPECT_EQ(-ENOMEM, __kipc_peer_enter(&c->seg));
	EXPECT_EQ(0, __kipc_peer_enter(&c->seg));
	EXPECT_EQ(0, __kipc_peer_enter(&c->seg));
	EXPECT_EQ(3, shared->reattached);
	EXPECT_EQ(1, shared->forked);
	EXPECT_EQ(2, lock_fds());
	return 0;
}

TEST_F(child, tells_its_kind)
{
	core_forked_hook = count_forked;
	core_reattached_hook = count_reattached;
	ksft_join(spawn(variant->bare, enter_thrice, &self->c));
	/* the slot was the same three times: it was given back */
	EXPECT_EQ(2, SEG->hdr->peer_high);
	EXPECT_EQ(3, core_peer(&self->c, 2)->generation);
	EXPECT_EQ(0, __kipc_peer_enter(SEG));
}

/* ---- running out of descriptors ---- */

static int enter_without_descriptors(void *arg)
{
	struct core *c = arg;
	struct rlimit old, low;
	int fd = dup(0);

	close(fd);
	if (getrlimit(RLIMIT_NOFILE, &old))
		return 1;
	low = old;
	low.rlim_cur = (rlim_t)fd;
	if (setrlimit(RLIMIT_NOFILE, &low))
		return 2;
	/* in a bare clone the parent's lock_fd is closed first, and its number free */
	if (__kipc_peer_enter(&c->seg) != -EMFILE && fd <= c->seg.fd)
		return 3;
	if (setrlimit(RLIMIT_NOFILE, &old))
		return 4;
	if (__kipc_peer_enter(&c->seg))
		return 5;
	return c->seg.slot == 2 && lock_fds() == 2 ? 0 : 6;
}

TEST_F(child, without_descriptors)
{
	ksft_join(spawn(variant->bare, enter_without_descriptors, &self->c));
}

/* ---- forks in the middle of something: of a thread ---- */

struct opener {
	struct core *c;
	uint32_t stop;
};

static int open_and_close(void *arg)
{
	struct opener *o = arg;
	struct core d;

	while (!load_acquire(&o->stop)) {
		int r = core_open(&d, o->c);

		if (r)
			return r;
		core_close(&d);
	}
	return 0;
}

static int idle(void *arg)
{
	(void)arg;
	fetch_add(&shared->inside, 1);
	pause();
	return 0;
}

/* A child forked while another thread opens or closes doesn't keep that slot alive. */
TEST(forks_beside_opening_and_closing)
{
	enum { CHILDREN = 40 };
	struct opener o[2];
	struct ksft_thread t[2];
	pid_t pid[CHILDREN];
	struct core c;

	ksft_needs_processes();
	shared = ksft_shared(sizeof(*shared));
	ASSERT_EQ(0, core_create(&c, NULL));
	for (int i = 0; i < 2; i++) {
		o[i] = (struct opener){ .c = &c };
		ksft_thread_start(&t[i], open_and_close, &o[i]);
	}
	for (int i = 0; i < CHILDREN; i++)
		pid[i] = ksft_fork(idle, NULL);
	for (int i = 0; i < 2; i++) {
		store_release(&o[i].stop, 1);
		ksft_thread_join(&t[i]);
	}
	EXPECT_TRUE(ksft_wait_for(load_acquire(&shared->inside) == CHILDREN, 10000));
	/* the children are all there, but nobody is attached */
	for (uint32_t slot = 2; slot <= c.seg.npeers; slot++) {
		EXPECT_TRUE(core_byte_free(c.seg.fd, slot));
		EXPECT_EQ(KIPC_PEER_FREE, core_peer(&c, slot)->state);
	}
	for (int i = 0; i < CHILDREN; i++)
		ksft_kill(pid[i]);
	core_close(&c);
}

static int linger(struct core *c, uint32_t slot)
{
	(void)c;
	(void)slot;
	store_release(&shared->inside, 1);
	ksft_wait_for(load_acquire(&shared->go), 5000);
	return 0;
}

static int sweep(void *arg)
{
	struct core *c = arg;

	__kipc_peer_sweep(&c->seg, 0);
	return 0;
}

static int enter_and_look(void *arg)
{
	struct core *c = arg;

	core_hook = NULL;
	if (__kipc_peer_enter(&c->seg))
		return 1;
	/* the parent is at it */
	if (__kipc_peer_reap(&c->seg, 2))
		return 2;
	return 0;
}

/* Another thread is in the middle of a repair, with the segment's mutex. */
TEST(fork_beside_a_repair)
{
	struct ksft_thread t;
	struct core c;
	pid_t pid;

	ksft_needs_processes();
	shared = ksft_shared(sizeof(*shared));
	ASSERT_EQ(0, core_create(&c, NULL));
	EXPECT_EQ(2, core_dead_slot(&c, core_claim));
	core_hook = linger;
	ksft_thread_start(&t, sweep, &c);
	ASSERT_TRUE(ksft_wait_for(load_acquire(&shared->inside), 5000));
	pid = ksft_fork(enter_and_look, &c);
	ksft_join(pid);
	store_release(&shared->go, 1);
	ksft_thread_join(&t);
	EXPECT_EQ(1, c.seg.hdr->repairs);
	EXPECT_EQ(1, c.seg.hdr->repaired_claims);
	core_hook = NULL;
	core_close(&c);
}

static int linger_reattached(struct core *c)
{
	(void)c;
	store_release(&shared->inside, 1);
	ksft_wait_for(load_acquire(&shared->go), 5000);
	return 0;
}

static int enter(void *arg)
{
	struct core *c = arg;

	return __kipc_peer_enter(&c->seg);
}

static int enter_unhooked(void *arg)
{
	core_reattached_hook = NULL;
	return enter(arg);
}

/* A child whose one thread is about to attach, and holds that mutex, has a child by another. */
static int child_with_child(void *arg)
{
	struct core *c = arg;
	struct ksft_thread t;
	int status;

	core_reattached_hook = linger_reattached;
	ksft_thread_start(&t, enter, c);
	if (!ksft_wait_for(load_acquire(&shared->inside), 5000))
		return 1;
	status = ksft_wait(ksft_fork(enter_unhooked, c));
	store_release(&shared->go, 1);
	ksft_thread_join(&t);
	return status ? 2 : 0;
}

TEST(fork_beside_the_first_use_in_a_child)
{
	struct core c;

	ksft_needs_processes();
	shared = ksft_shared(sizeof(*shared));
	ASSERT_EQ(0, core_create(&c, NULL));
	ksft_join(ksft_fork(child_with_child, &c));
	EXPECT_EQ(2, __kipc_peer_sweep(&c.seg, 0));
	core_close(&c);
}

/* ---- a slot from before the child's birth ---- */

static struct kipc_segment_ops prefork_ops;
static uint32_t prefork_slot;
static int prefork_result;

static int prefork(struct kipc_segment *seg, uint32_t child_slot)
{
	prefork_slot = child_slot;
	/* what it prepares is the child's: alive already, and not ours */
	return child_slot == seg->slot ? -EINVAL : prefork_result;
}

static int is_attached(void *arg)
{
	struct kipc_segment *seg = arg;

	return load_acquire(&seg->epoch) == load_relaxed(__kipc_fork_epoch) &&
	       __kipc_peer(seg, seg->slot)->pid == (uint32_t)getpid() ? 0 : 1;
}

static int is_there(void *arg)
{
	struct kipc_segment *seg = arg;

	return seg->slot == prefork_slot ? is_attached(seg) : 1;
}

/* The parent is gone before the child does anything at all: the slot is there, and is alive. */
static int leave_a_child(void *arg)
{
	struct kipc_segment *seg = arg;
	pid_t pid = fork();

	if (pid == 0) {
		while (!load_acquire(&shared->go))
			cpu_relax();
		store_release(&shared->inside, is_there(seg) ? 2 : 1);
		ksft_child_exit(0);
	}
	return pid < 0 || prefork_slot != 3;
}

TEST(a_child_has_its_slot_before_it_is_born)
{
	struct kipc_segment_spec spec = { .body_size = sizeof(struct core_body) };
	struct core c = { 0 }, plain;

	ksft_needs_processes();
	shared = ksft_shared(sizeof(*shared));
	prefork_ops = core_ops;
	prefork_ops.prefork = prefork;
	ASSERT_EQ(0, __kipc_segment_create(&c.seg, &prefork_ops, &spec));
	ASSERT_EQ(0, core_verify(&c.seg));
	for (int i = 0; i < NBELLS; i++)
		c.bells[i].fd = -1;
	ASSERT_EQ(0, __kipc_segment_publish(&c.seg));
	ASSERT_EQ(0, core_create(&plain, NULL));
	ksft_join(ksft_fork(is_there, &c.seg));
	EXPECT_EQ(2, prefork_slot);
	EXPECT_EQ(1, __kipc_peer_sweep(&c.seg, 0));
	EXPECT_EQ(1, plain.seg.hdr->peer_high);

	/* where it can't be prepared, the child takes one as soon as it runs; the first goes as a death */
	prefork_result = -ENOMEM;
	ksft_join(ksft_fork(is_attached, &c.seg));
	EXPECT_EQ(2, __kipc_peer_sweep(&c.seg, 0));
	prefork_result = 0;

	/* a grandchild whose parent died at once */
	ksft_join(ksft_fork(leave_a_child, &c.seg));
	EXPECT_TRUE(__kipc_peer_alive(&c.seg, 3));
	/* as soon as the grandchild has let go of its parent's lock_fd */
	EXPECT_TRUE(ksft_wait_for(__kipc_peer_sweep(&c.seg, 0) == 1, 5000));
	EXPECT_TRUE(__kipc_peer_alive(&c.seg, 3));
	store_release(&shared->go, 1);
	EXPECT_TRUE(ksft_wait_for(load_acquire(&shared->inside), 5000));
	EXPECT_EQ(1, shared->inside);
	EXPECT_TRUE(ksft_wait_for(__kipc_peer_sweep(&c.seg, 0) == 1, 5000));
	core_close(&plain);
	core_close(&c);
}

/* ---- a child's segment in its parent's place ---- */

TEST(closed_before_the_fork)
{
	struct core c, d;

	ksft_needs_processes();
	shared = ksft_shared(sizeof(*shared));
	ASSERT_EQ(0, core_create(&c, NULL));
	ASSERT_EQ(0, core_open(&d, &c));
	core_close(&d);
	memset(&d, 0xee, sizeof(d));	/* nobody may look at it any more */
	ksft_join(ksft_fork(check_own_slot, &c));
	ksft_join(core_clone(check_own_slot, &c));
	core_close(&c);
}

TEST_HARNESS_MAIN
