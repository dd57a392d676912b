// SPDX-License-Identifier: MIT
/* Every kind over every type of socket: it arrives, it is the same object, it is closed once. */
#include "kinds.h"
#include "sockets.h"

FIXTURE(hand) {
	struct pair p;
	struct kipc_object *obj;
};

FIXTURE_VARIANT(hand) {
	int type;
	struct kind k;
};

#define SOCKETS(name)                                                                              \
	FIXTURE_VARIANT_ADD(hand, name##_stream) { SOCK_STREAM, KIND_##name };                     \
	FIXTURE_VARIANT_ADD(hand, name##_seqpacket) { SOCK_SEQPACKET, KIND_##name };               \
	FIXTURE_VARIANT_ADD(hand, name##_dgram) { SOCK_DGRAM, KIND_##name }

SOCKETS(queue);
SOCKETS(pipe);
SOCKETS(shm);
SOCKETS(array);
SOCKETS(manager);

FIXTURE_SETUP(hand)
{
	self->p = socket_pair(variant->type);
	self->obj = variant->k.create();
}

FIXTURE_TEARDOWN(hand)
{
	drop(self->obj);
	close_pair(self->p);
}

static void is_of_kind(struct kipc_object *obj, enum kipc_kind kind)
{
	EXPECT_EQ(kind, kipc_object_kind(obj));
	EXPECT_EQ(kind == KIPC_KIND_QUEUE ? obj : NULL, (void *)kipc_object_queue(obj));
	EXPECT_EQ(kind == KIPC_KIND_PIPE ? obj : NULL, (void *)kipc_object_pipe(obj));
	EXPECT_EQ(kind == KIPC_KIND_SHM ? obj : NULL, (void *)kipc_object_shm(obj));
	EXPECT_EQ(kind == KIPC_KIND_ARRAY ? obj : NULL, (void *)kipc_object_array(obj));
	EXPECT_EQ(kind == KIPC_KIND_MANAGER ? obj : NULL, (void *)kipc_object_manager(obj));
}

TEST_F(hand, same_process)
{
	struct kipc_object *got = NULL;
	int fds;

	is_of_kind(self->obj, variant->k.kind);
	/* the first time may open what the process keeps */
	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &got));
	kipc_object_close(got);

	fds = count_fds();
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
		ASSERT_EQ(0, kipc_recv(self->p.recv, &got));
		EXPECT_TRUE(got != self->obj);
		is_of_kind(got, variant->k.kind);
		kipc_object_close(got);
	}
	EXPECT_EQ(fds, count_fds());
}

struct child {
	int sock;
	const struct kind *k;
};

static int receive_and_find(void *arg)
{
	struct child *c = arg;
	struct kipc_object *obj;
	int r = kipc_recv(c->sock, &obj);

	if (r)
		return 100;
	if (kipc_object_kind(obj) != (int)c->k->kind)
		return 101;
	r = c->k->find(obj);
	kipc_object_close(obj);
	return r;
}

TEST_F(hand, to_another_process)
{
	struct child c = { self->p.recv, &variant->k };
	pid_t pid = ksft_fork(receive_and_find, &c);
	struct kipc_object *obj = variant->k.create();	/* after the fork: not inherited */

	EXPECT_EQ(0, variant->k.mark(obj));
	ASSERT_EQ(0, kipc_send(self->p.send, obj));
	ksft_join(pid);
	kipc_object_close(obj);
}

/* The message alone keeps the object alive. */
TEST_F(hand, sender_closes_first)
{
	struct kipc_object *obj = variant->k.create(), *got;

	EXPECT_EQ(0, variant->k.mark(obj));
	ASSERT_EQ(0, kipc_send(self->p.send, obj));
	kipc_object_close(obj);
	ASSERT_EQ(0, kipc_recv(self->p.recv, &got));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
}

static int send_it_on(void *arg)
{
	struct child *c = arg;
	struct kipc_object *obj;

	if (kipc_recv(c->sock, &obj) || kipc_send(c->sock, obj))
		return 1;
	kipc_object_close(obj);
	return 0;
}

TEST_F(hand, there_and_back)
{
	struct child c = { self->p.recv, &variant->k };
	struct kipc_object *got;
	pid_t pid;

	EXPECT_EQ(0, variant->k.mark(self->obj));
	ASSERT_EQ(0, kipc_send(self->p.send, self->obj));
	pid = ksft_fork(send_it_on, &c);
	ASSERT_EQ(0, kipc_recv(self->p.send, &got));
	ksft_join(pid);
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
}

struct to_send {
	int sock;
	struct kipc_object *obj;
};

static int sends_inherited(void *arg)
{
	struct to_send *c = arg;

	return kipc_send(c->sock, c->obj);
}

TEST_F(hand, a_child_sends_what_it_inherited)
{
	struct to_send c = { self->p.send, self->obj };
	struct kipc_object *got;

	EXPECT_EQ(0, variant->k.mark(self->obj));
	ksft_join(ksft_fork(sends_inherited, &c));
	ASSERT_EQ(0, kipc_recv(self->p.recv, &got));
	EXPECT_EQ(0, variant->k.find(got));
	kipc_object_close(got);
}

TEST(null_objects)
{
	struct pair p = socket_pair(SOCK_STREAM);

	EXPECT_EQ(-EINVAL, kipc_object_kind(NULL));
	EXPECT_EQ(NULL, kipc_object_queue(NULL));
	EXPECT_EQ(NULL, kipc_object_pipe(NULL));
	EXPECT_EQ(NULL, kipc_object_shm(NULL));
	EXPECT_EQ(NULL, kipc_object_array(NULL));
	EXPECT_EQ(NULL, kipc_object_manager(NULL));
	EXPECT_EQ(-EINVAL, kipc_send(p.send, NULL));
	EXPECT_EQ(-EINVAL, kipc_recv(p.recv, NULL));
	kipc_object_close(NULL);
	close_pair(p);
}

TEST_HARNESS_MAIN
