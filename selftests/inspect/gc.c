// SPDX-License-Identifier: MIT
/* What ipc-inspect gc finds left over, and what it repairs when told to. */
#include <signal.h>

#include <kipc/array.h>
#include <kipc/lock.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "inspect.h"

#define NOBODY 65534

static char target[32];

static char *target_of(struct kipc_object *obj)
{
	snprintf(target, sizeof(target), "%d:%d", getpid(), obj->seg.fd);
	return target;
}

static struct run gc(bool force)
{
	return force ? inspect("gc", "--force", "-J", target) : inspect("gc", "-J", target);
}

/* A child dies with what it holds, and nobody else is inside the library. */
static void die(int (*holding)(void *), void *arg)
{
	ASSERT_TRUE(WIFSIGNALED(ksft_wait(ksft_fork(holding, arg))));
}

static int take(void *q)
{
	struct kipc_msg msg;

	return kipc_queue_take(q, &msg, KIPC_NOWAIT) ? 1 : raise(SIGKILL);
}

static int acquire(void *l)
{
	return kipc_lock_acquire(l, KIPC_NOWAIT) ? 1 : raise(SIGKILL);
}

static int begin(void *s)
{
	return kipc_shm_write_begin(s, KIPC_NOWAIT) ? 1 : raise(SIGKILL);
}

static int send_big(void *end)
{
	static char big[10000];

	return kipc_pipe_send(end, big, sizeof(big), KIPC_FOREVER);
}

#define FOUND(kind_)                                                                               \
	"assert len(objects) == 1 and o['kind'] == '" kind_ "', objects\n"                         \
	"assert o['garbage'] == ['dead owner'] and o['dead_peers'] == 1, o\n"

/* It is listed, and stays; it is repaired, and nothing is left. */
static void found_and_repaired(const char *script)
{
	struct run r;

	for (int i = 0; i < 2; i++) {
		r = gc(false);
		EXPECT_EQ(0, r.code);
		EXPECT_STREQ("", r.err);
		EXPECT_JSON(r.out, script);
		EXPECT_JSON(r.out, "assert o['result'] is None");
		run_free(&r);
	}
	r = gc(true);
	if (!EXPECT_EQ(0, r.code))
		ksft_log("%s%s", r.out, r.err);
	EXPECT_JSON(r.out, script);
	EXPECT_JSON(r.out, "assert o['result'] == 'repaired', o");
	run_free(&r);
	r = gc(true);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert objects == []");
	run_free(&r);
}

TEST(queue)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 4, .msg_size = 32);
	struct kipc_queue *q;
	struct kipc_msg msg;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	target_of(kipc_queue_object(q));
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	die(take, q);
	found_and_repaired(FOUND("queue"));
	/* what the dead one had comes again */
	r = inspect("show", "-J", target);
	EXPECT_JSON(r.out, "assert o['header']['repairs'] == 1, o\n"
			   "assert o['queue']['cells_returned'] == 1, o\n"
			   "assert len(o['peers']) == 1, o\n");
	run_free(&r);
	ASSERT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	EXPECT_EQ(KIPC_MSG_REDELIVERED, msg.flags);
	kipc_queue_close(q);
}

TEST(manager)
{
	struct kipc_manager *m;
	struct kipc_lock *l;

	skip_without_tool();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_lock_create(m, "l", &l));
	target_of(kipc_manager_object(m));
	die(acquire, l);
	found_and_repaired(FOUND("manager"));
	EXPECT_EQ(-EOWNERDEAD, kipc_lock_acquire(l, KIPC_NOWAIT));
	kipc_lock_unref(l);
	kipc_manager_close(m);
}

TEST(shm)
{
	struct kipc_shm *s;
	uint64_t seq;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &s));
	target_of(kipc_shm_object(s));
	die(begin, s);
	found_and_repaired(FOUND("shm"));
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_read_begin(s, &seq, KIPC_NOWAIT));
	kipc_shm_close(s);
}

/* Its ends are needed, and those can't be had from outside. */
TEST(pipe)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);
	struct kipc_pipe *ends[2];
	struct run r;
	pid_t pid;

	skip_without_tool();
	ASSERT_EQ(0, kipc_pipe_create(&opts, ends));
	target_of(kipc_pipe_object(ends[0]));
	pid = ksft_fork(send_big, ends[0]);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 5000));
	ksft_kill(pid);
	r = gc(true);
	EXPECT_EQ(4, r.code);
	EXPECT_JSON(r.out, "assert o['kind'] == 'pipe' and 'dead owner' in o['garbage'], o\n"
			   "assert 'only its ends' in o['result'], o\n");
	run_free(&r);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

static int hold_orphan(void *ready)
{
	struct kipc_shm *s;
	int fd;

	ASSERT_EQ(0, kipc_shm_create(NULL, 5000, NULL, &s));
	fd = dup(kipc_shm_fd(s));
	kipc_shm_close(s);
	__atomic_store_n((int *)ready, fd, __ATOMIC_RELEASE);
	pause();
	return 0;
}

TEST(orphan)
{
	int *ready = ksft_shared(4096);
	char *script;
	struct run r;
	pid_t pid;

	skip_without_tool();
	pid = ksft_fork(hold_orphan, ready);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(ready, __ATOMIC_ACQUIRE), 5000));
	snprintf(target, sizeof(target), "pid:%d", pid);
	ASSERT_LT(0, asprintf(&script,
			      "assert o['garbage'] == ['orphan'] and o['dead_peers'] == 0, o\n"
			      "assert o['held_by'] == ['%d:%d'], o\n"
			      "assert o['resident_bytes'] > 0, o\n",
			      pid, *ready));
	r = gc(false);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, script);
	run_free(&r);
	/* another's descriptor is not ours to close */
	r = gc(true);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, script);
	EXPECT_JSON(r.out, "assert o['result'] == 'ends with its last descriptor', o");
	run_free(&r);
	free(script);
	ksft_kill(pid);
	r = inspect("gc");
	EXPECT_FALSE(strstr(r.out, target));
	run_free(&r);
}

TEST(nothing)
{
	struct kipc_queue *q;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_queue_create(NULL, NULL, &q));
	target_of(kipc_queue_object(q));
	r = gc(false);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert objects == []");
	run_free(&r);
	r = inspect("gc", target);
	EXPECT_STREQ("", r.out);
	run_free(&r);
	kipc_queue_close(q);
}

/* Damage is not repaired, and not made worse. */
TEST(damaged)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 4, .msg_size = 32);
	struct kipc_queue *q;
	struct kipc_object *obj;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	obj = kipc_queue_object(q);
	target_of(obj);
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	die(take, q);
	*(uint64_t *)(obj->seg.base + obj->seg.body_off) = 3;	/* tail */
	r = gc(true);
	EXPECT_EQ(3, r.code);
	EXPECT_JSON(r.out, "assert o['dead_peers'] == 1 and o['result'] == 'damaged: left alone', o");
	run_free(&r);
	r = gc(false);
	EXPECT_JSON(r.out, "assert o['dead_peers'] == 1, o");
	run_free(&r);
	*(uint64_t *)(obj->seg.base + obj->seg.body_off) = 1;
	kipc_queue_close(q);
}

TEST_HARNESS_MAIN
