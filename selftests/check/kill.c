// SPDX-License-Identifier: MIT
/*
 * What the killed leave: claims of the dead, which are told apart from violations; gone after the
 * repair.  And whatever instruction they were at, no violation.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_test.h"

struct report {
	struct findings all;
	struct kipc_report r;
	int ret;
};

static struct report check(struct kipc_object *obj, uint32_t flags, bool fd)
{
	struct report rep = { .r = { .sz = sizeof(rep.r), .flags = flags, .found = collect } };

	rep.r.arg = &rep.all;
	rep.ret = fd ? kipc_check_fd(obj->seg.fd, &rep.r) : kipc_check(obj, &rep.r);
	if (rep.ret)
		ksft_log("%d: %s", rep.ret, rep.all.text);
	return rep;
}

/* The dead one has `words`; SETTLE mends it, and all is clean. */
static void expect_dead(struct kipc_object *obj, const char *words, bool stays)
{
	struct report rep;

	for (int fd = 0; fd < 2; fd++) {
		rep = check(obj, KIPC_CHECK_IDLE, fd);
		EXPECT_EQ(0, rep.ret);
		EXPECT_EQ(1, rep.r.dead_peers);
		EXPECT_GE(rep.r.dead_claims, 2);
		EXPECT_EQ(0, rep.r.in_flight);
		EXPECT_EQ(1, rep.r.quiescent);
		if (!EXPECT_TRUE(strstr(rep.all.text, words)))
			ksft_log("wanted \"%s\", found:\n%s", words, rep.all.text);
	}
	rep = check(obj, KIPC_CHECK_IDLE | KIPC_CHECK_SETTLE, false);
	EXPECT_EQ(0, rep.ret);
	EXPECT_EQ(0, rep.r.dead_peers);
	EXPECT_EQ(stays ? 1 : 0, rep.r.dead_claims);
	if (!stays)
		check_clean(obj, KIPC_CHECK_IDLE);
}

/* In a child: does it, says so, waits for its end. */
#define in_a_child_that_dies(work)                                                                 \
	do {                                                                                       \
		int *__ready = ksft_shared(4096);                                                  \
		pid_t __pid;                                                                       \
                                                                                                   \
		ksft_needs_processes();                                                            \
		__pid = fork();                                                                    \
		if (!__pid) {                                                                      \
			work;                                                                      \
			__atomic_store_n(__ready, 1, __ATOMIC_RELEASE);                            \
			for (;;)                                                                   \
				pause();                                                           \
		}                                                                                  \
		ASSERT_TRUE(ksft_wait_for(__atomic_load_n(__ready, __ATOMIC_ACQUIRE), 10000));     \
		ksft_kill(__pid);                                                                  \
	} while (0)

TEST(queue)
{
	struct kipc_object *obj = make_object(QUEUE);
	struct kipc_queue *q = kipc_object_queue(obj);
	struct kipc_msg msg[3];

	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	in_a_child_that_dies({
		ASSERT_EQ(0, kipc_queue_take(q, &msg[0], KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_queue_reserve(q, 10, &msg[1], KIPC_NOWAIT));
	});
	expect_dead(obj, "dead: cell 0 (taken) is held by slot 2, which died", false);
	ASSERT_EQ(0, kipc_queue_take(q, &msg[0], KIPC_NOWAIT));
	EXPECT_EQ(KIPC_MSG_REDELIVERED, msg[0].flags);
	ASSERT_EQ(0, kipc_queue_done(q, &msg[0]));
	check_clean(obj, KIPC_CHECK_IDLE);
	kipc_queue_close(q);
}

TEST(pipe)
{
	struct kipc_object *obj;
	struct kipc_pipe *ends[2];
	struct kipc_pipe_msg msg[2];

	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	obj = kipc_pipe_object(ends[0]);
	ASSERT_EQ(0, kipc_pipe_send(ends[1], "x", 1, KIPC_NOWAIT));
	in_a_child_that_dies({
		kipc_pipe_close(ends[1]);
		ASSERT_EQ(0, kipc_pipe_peek(ends[0], &msg[0], KIPC_NOWAIT));
		ASSERT_EQ(0, kipc_pipe_reserve(ends[0], 10, &msg[1], KIPC_NOWAIT));
	});
	expect_dead(obj, "dead: way 1: recv_lock is held by slot 3, which died", false);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

TEST(shm)
{
	struct kipc_object *obj = make_object(SHM);
	struct kipc_shm *s = kipc_object_shm(obj);

	in_a_child_that_dies(ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT)));
	/* torn data stay torn until somebody writes */
	expect_dead(obj, "dead: sequence 0x1: the data are torn, their writer died", true);
	EXPECT_EQ(-EOWNERDEAD, kipc_shm_write_begin(s, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_write_end(s));
	check_clean(obj, KIPC_CHECK_IDLE);
	kipc_shm_close(s);
}

TEST(manager)
{
	struct kipc_object *obj = make_object(MANAGER);
	struct kipc_manager *m = kipc_object_manager(obj);
	struct kipc_lock *lock;

	ASSERT_EQ(0, kipc_lock_create(m, NULL, &lock));
	in_a_child_that_dies(ASSERT_EQ(0, kipc_lock_acquire(lock, KIPC_NOWAIT)));
	expect_dead(obj, "dead: lock 1 is held by slot 2, which died", false);
	EXPECT_EQ(-EOWNERDEAD, kipc_lock_acquire(lock, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_lock_release(lock));
	kipc_lock_unref(lock);
	check_clean(obj, KIPC_CHECK_IDLE);
	kipc_manager_close(m);
}

/* ---- killed anywhere ---- */

static int queue_work(void *obj)
{
	struct kipc_queue *q = kipc_object_queue(obj);
	char buf[300] = { 0 };
	struct kipc_msg msg;

	for (unsigned int i = 0;; i++) {
		kipc_queue_put(q, buf, i * 7 % 300, KIPC_NOWAIT);
		if (i % 3)
			kipc_queue_get(q, buf, sizeof(buf), KIPC_NOWAIT);
		else if (!kipc_queue_take(q, &msg, KIPC_NOWAIT))
			i % 2 ? kipc_queue_done(q, &msg) : kipc_queue_requeue(q, &msg);
	}
	return 0;
}

static struct kipc_pipe *other_end;

static int pipe_work(void *obj)
{
	static char buf[200000];
	struct kipc_pipe *p = kipc_object_pipe(obj);
	struct kipc_pipe_msg msg;

	for (unsigned int i = 0;; i++) {
		kipc_pipe_send(p, buf, i % 50 ? i * 13 % 3000 : sizeof(buf), 1000000);
		kipc_pipe_recv(other_end, buf, sizeof(buf), KIPC_NOWAIT);
		if (!kipc_pipe_peek(other_end, &msg, KIPC_NOWAIT))
			kipc_pipe_release(other_end, &msg);
	}
	return 0;
}

static int shm_work(void *obj)
{
	struct kipc_shm *s = kipc_object_shm(obj);
	uint64_t seq;

	for (;;) {
		kipc_shm_write_begin(s, KIPC_NOWAIT);
		kipc_shm_write_end(s);
		kipc_shm_read_begin(s, &seq, KIPC_NOWAIT);
	}
	return 0;
}

static int manager_work(void *obj)
{
	struct kipc_manager *m = kipc_object_manager(obj);
	struct kipc_list *l;
	struct kipc_dict *d;
	struct kipc_lock *lock;

	if (kipc_list_open(m, "l", &l) || kipc_dict_open(m, "d", &d))
		return 1;
	for (int64_t i = getpid();; i++) {
		kipc_list_append(l, kipc_bytes("twenty bytes of data", 20));
		kipc_list_insert(l, i % 5, kipc_int(i));
		if (kipc_list_len(l) > 40)
			kipc_list_clear(l);
		kipc_dict_set(d, kipc_int(i * 7919 % 400), kipc_bytes("twenty bytes of data", 20));
		kipc_dict_set(d, kipc_int(i * 7919 % 300), kipc_ref(kipc_list_handle(l)));
		kipc_dict_del(d, kipc_int(i * 104729 % 400));
		if (!kipc_lock_create(m, NULL, &lock)) {
			kipc_lock_acquire(lock, KIPC_NOWAIT);
			kipc_list_append(l, kipc_ref(kipc_lock_handle(lock)));
			kipc_lock_unref(lock);
		}
	}
}

FIXTURE(anywhere) {
	struct kipc_object *obj;
};

FIXTURE_VARIANT(anywhere) {
	int kind;
	int (*work)(void *obj);
};

FIXTURE_VARIANT_ADD(anywhere, queue) { .kind = QUEUE, .work = queue_work };
FIXTURE_VARIANT_ADD(anywhere, pipe) { .kind = PIPE, .work = pipe_work };
FIXTURE_VARIANT_ADD(anywhere, shm) { .kind = SHM, .work = shm_work };
FIXTURE_VARIANT_ADD(anywhere, manager) { .kind = MANAGER, .work = manager_work };

FIXTURE_SETUP(anywhere)
{
	struct kipc_pipe *ends[2];
	struct kipc_manager *m;
	struct kipc_list *l;
	struct kipc_dict *d;

	if (variant->kind == PIPE) {
		ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
		self->obj = kipc_pipe_object(ends[0]);
		other_end = ends[1];
		return;
	}
	self->obj = make_object(variant->kind);
	m = kipc_object_manager(self->obj);
	if (m) {
		ASSERT_EQ(0, kipc_list_create(m, "l", &l));
		ASSERT_EQ(0, kipc_dict_create(m, "d", &d));
		ASSERT_EQ(0, kipc_list_unref(l));
		ASSERT_EQ(0, kipc_dict_unref(d));
	}
}

FIXTURE_TEARDOWN(anywhere)
{
	kipc_object_close(self->obj);
	if (variant->kind == PIPE)
		kipc_pipe_close(other_end);
}

static unsigned int peers_live(struct kipc_object *obj, int fd)
{
	struct report rep = check(obj, 0, fd);

	ASSERT_EQ(0, rep.ret);
	return rep.r.live_peers;
}

/* Killed while it works, looked at before the repair and after it; and while it works, and stopped. */
TEST_F_TIMEOUT(anywhere, killed, 60)
{
	int rounds = ksft_slow() ? 10 : 40;
	struct report rep;
	pid_t pid;

	for (int i = 0; i < rounds; i++) {
		int fd = i & 1;

		pid = ksft_fork(variant->work, self->obj);
		/* it came to its work: beside the one or two of ours there is another */
		ASSERT_TRUE(ksft_wait_for(peers_live(self->obj, fd) > 1U + (variant->kind == PIPE),
					  10000));
		for (int n = 0; n < 3 + i % 5; n++)
			ASSERT_EQ(0, check(self->obj, 0, fd).ret);
		ASSERT_EQ(0, kill(pid, SIGSTOP));
		ASSERT_EQ(pid, waitpid(pid, NULL, WUNTRACED));
		rep = check(self->obj, 0, fd);
		ASSERT_EQ(0, rep.ret);
		EXPECT_EQ(1, rep.r.quiescent);
		ksft_kill(pid);
		rep = check(self->obj, KIPC_CHECK_IDLE, fd);
		ASSERT_EQ(0, rep.ret);
		EXPECT_EQ(1, rep.r.quiescent);
		if (variant->kind != PIPE)
			EXPECT_EQ(1, rep.r.dead_peers);
		rep = check(self->obj, KIPC_CHECK_IDLE | KIPC_CHECK_SETTLE, false);
		ASSERT_EQ(0, rep.ret);
		EXPECT_EQ(0, rep.r.dead_peers);
	}
}

TEST_HARNESS_MAIN
