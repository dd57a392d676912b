// SPDX-License-Identifier: MIT
/* Listeners for pipes by name as members. */
#include "selftests/names/names.h"

#include "waitset_test.h"

FIXTURE(listener)
{
	struct names_dir dir;
	struct kipc_waitset *ws;
	struct kipc_pipe_listener *l;
	int64_t id;
};

RING_AND_EPOLL(listener);

FIXTURE_SETUP(listener)
{
	names_begin_threads(&self->dir);
	self->ws = make_set(variant->how);
	ASSERT_EQ(0, kipc_pipe_listen("server", NULL, &self->l));
	self->id = kipc_waitset_add_listener(self->ws, self->l, self);
	ASSERT_GT(self->id, 0);
}

FIXTURE_TEARDOWN(listener)
{
	kipc_waitset_close(self->ws);
	kipc_pipe_listener_close(self->l);
	names_end(&self->dir);
}

static struct kipc_pipe *connect_to_it(void)
{
	struct kipc_pipe *p = NULL;

	ASSERT_EQ(0, kipc_pipe_connect("server", NULL, &p, LONG_NS));
	return p;
}

/* Somebody has connected: takes what the event says. */
static struct kipc_pipe *take(struct kipc_waitset *ws, int64_t id, struct kipc_pipe_listener *l)
{
	struct kipc_waitset_event ev[2];
	struct kipc_pipe *p = NULL;

	ASSERT_EQ(1, kipc_waitset_wait(ws, ev, 2, LONG_NS));
	EXPECT_EQ(id, ev[0].id);
	EXPECT_EQ(KIPC_WAITSET_LISTENER, ev[0].kind);
	EXPECT_EQ(KIPC_READABLE, ev[0].events);
	EXPECT_EQ(l, ev[0].listener);
	ASSERT_EQ(0, kipc_pipe_accept(ev[0].listener, &p, KIPC_NOWAIT));
	return p;
}

TEST_F(listener, connections)
{
	struct kipc_pipe *mine[2], *theirs[2];
	struct kipc_waitset_event ev;

	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	for (int i = 0; i < 2; i++)
		theirs[i] = connect_to_it();
	for (int i = 0; i < 2; i++)
		mine[i] = take(self->ws, self->id, self->l);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	EXPECT_EQ(0, kipc_pipe_send(theirs[1], "x", 1, KIPC_NOWAIT));
	EXPECT_GT(kipc_waitset_add_pipe(self->ws, mine[1], KIPC_READABLE, NULL), 0);
	ASSERT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(mine[1], ev.pipe);
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, ev.id));
	/* removed, it is not reported */
	EXPECT_EQ(0, kipc_waitset_remove(self->ws, self->id));
	kipc_pipe_close(connect_to_it());
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	for (int i = 0; i < 2; i++) {
		kipc_pipe_close(mine[i]);
		kipc_pipe_close(theirs[i]);
	}
}

TEST_F(listener, arguments)
{
	EXPECT_EQ(-EINVAL, kipc_waitset_add_listener(self->ws, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_add_listener(NULL, self->l, NULL));
	EXPECT_EQ(-EEXIST, kipc_waitset_add_listener(self->ws, self->l, NULL));
	EXPECT_EQ(-EINVAL, kipc_waitset_modify(self->ws, self->id, KIPC_READABLE));
}

struct sleeper {
	struct kipc_waitset *ws;
	enum waitset_how how;
};

static int connect_later(void *arg)
{
	struct sleeper *s = arg;

	EXPECT_TRUE(ksft_wait_for(asleep_how(s->ws, s->how), 5000));
	kipc_pipe_close(connect_to_it());
	return 0;
}

TEST_F(listener, wakes_a_sleeper)
{
	struct sleeper s = { self->ws, variant->how };
	struct ksft_peer peer;

	ksft_peer_start(&peer, KSFT_THREAD, connect_later, &s);
	kipc_pipe_close(take(self->ws, self->id, self->l));
	ksft_peer_join(&peer);
}

/* The event tells the listener to come back to the next broker, under its name. */
TEST_F(listener, its_broker_dies)
{
	struct kipc_waitset_event ev;
	struct kipc_pipe *p;

	names_kill(&self->dir);
	ASSERT_EQ(1, kipc_waitset_wait(self->ws, &ev, 1, LONG_NS));
	EXPECT_EQ(self->id, ev.id);
	EXPECT_EQ(-EAGAIN, kipc_pipe_accept(ev.listener, &p, KIPC_NOWAIT));
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	p = connect_to_it();
	kipc_pipe_close(take(self->ws, self->id, self->l));
	kipc_pipe_close(p);
}

struct child {
	struct kipc_waitset *ws;
	int64_t id;
	struct kipc_pipe_listener *l;
};

static int in_child(void *arg)
{
	struct child *c = arg;

	kipc_pipe_close(take(c->ws, c->id, c->l));
	return 0;
}

TEST_F(listener, fork_child)
{
	struct child c = { self->ws, self->id, self->l };
	struct kipc_pipe *p;
	pid_t pid;

	pid = ksft_fork(in_child, &c);
	p = connect_to_it();
	ksft_join(pid);
	EXPECT_EQ(-EAGAIN, nothing(self->ws));
	kipc_pipe_close(p);
}

TEST_HARNESS_MAIN
