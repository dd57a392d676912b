// SPDX-License-Identifier: MIT
/* ipc-inspect check: sound, held, damaged. */
#include "../inspect/inspect.h"
#include "check_test.h"

FIXTURE(tool) {
	struct kipc_object *obj;
	char target[32];
};

FIXTURE_VARIANT(tool) {
	int kind;
};

FIXTURE_VARIANT_ADD(tool, queue) { .kind = QUEUE };
FIXTURE_VARIANT_ADD(tool, pipe) { .kind = PIPE };
FIXTURE_VARIANT_ADD(tool, shm) { .kind = SHM };
FIXTURE_VARIANT_ADD(tool, array) { .kind = ARRAY };
FIXTURE_VARIANT_ADD(tool, manager) { .kind = MANAGER };

FIXTURE_SETUP(tool)
{
	skip_without_tool();
	self->obj = make_object(variant->kind);
	ASSERT_TRUE(self->obj);
	snprintf(self->target, sizeof(self->target), "%d:%d", getpid(), self->obj->seg.fd);
}

FIXTURE_TEARDOWN(tool)
{
	kipc_object_close(self->obj);
}

TEST_F(tool, sound_then_damaged)
{
	struct kipc_peer *p = (struct kipc_peer *)(self->obj->seg.base + KIPC_SEG_PEERS_OFF);
	struct run r = inspect("check", "-J", self->target);

	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	EXPECT_JSON(r.out, "s = o['summary']\n"
			   "assert len(objects) == 1 and s['verdict'] == 'sound', s\n"
			   "assert s['violations'] == 0 and s['dead_claims'] == 0, s\n"
			   "assert s['exact'] is True and s['checks'] > 10, s\n"
			   "assert o['findings'] == [], o\n");
	run_free(&r);
	p[7].state = 99;
	r = inspect("check", "-J", self->target);
	EXPECT_EQ(3, r.code);
	EXPECT_JSON(r.out, "f = o['findings'][0]\n"
			   "assert o['summary']['verdict'] == 'damaged', o\n"
			   "assert o['summary']['violations'] == 1, o\n"
			   "assert f['class'] == 'violation' and f['slot'] is None, f\n"
			   "assert f['finding'] == 'peer 8: its state is 99', f\n"
			   "assert f['offset_bytes'] == 512 + 7 * 64, f\n");
	run_free(&r);
	r = inspect("check", pid_target(getpid()));
	EXPECT_EQ(3, r.code);
	EXPECT_TRUE(strstr(r.out, "peer 8: its state is 99"));
	run_free(&r);
	p[7].state = KIPC_PEER_FREE;
}

TEST(claims)
{
	struct kipc_object *obj;
	struct kipc_msg msg;
	struct run r;

	skip_without_tool();
	obj = make_object(QUEUE);
	ASSERT_EQ(0, kipc_queue_reserve(kipc_object_queue(obj), 10, &msg, KIPC_NOWAIT));
	r = inspect("check", "-J", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "f = o['findings'][0]\n"
			   "assert o['summary']['verdict'] == 'sound', o\n"
			   "assert o['summary']['in_flight'] == 1, o\n"
			   "assert f['class'] == 'in flight' and f['slot'] == 1, f\n"
			   "assert f['finding'] == 'cell 0 (being written) is held by slot 1', f\n");
	run_free(&r);
	/* the slot of a process that died */
	obj->seg.hdr->peer_high = 2;
	((struct kipc_peer *)(obj->seg.base + KIPC_SEG_PEERS_OFF))[1].state = KIPC_PEER_LIVE;
	r = inspect("check", "-J", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['summary']['verdict'] == 'needs repair', o\n"
			   "assert o['findings'][0]['class'] == 'dead', o\n"
			   "assert o['findings'][0]['slot'] == 2, o\n");
	run_free(&r);
	kipc_object_close(obj);
}

TEST(no_such_object)
{
	struct run r;

	skip_without_tool();
	r = inspect("check", "99999999:3");
	EXPECT_EQ(1, r.code);
	run_free(&r);
	r = inspect("check", "-o", "KIND");
	EXPECT_EQ(2, r.code);
	run_free(&r);
}

TEST_HARNESS_MAIN
