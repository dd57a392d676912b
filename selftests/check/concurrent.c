// SPDX-License-Identifier: MIT
/* Objects in heavy use while they are looked at: never a violation, and afterwards exactly clean. */
#include <sys/socket.h>
#include <unistd.h>

#include "check_test.h"

static int stop;
static struct kipc_pipe *other_end;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
}

static int queue_work(void *obj)
{
	struct kipc_queue *q = kipc_object_queue(obj);
	char buf[300] = { 0 };
	struct kipc_msg msg;

	for (unsigned int i = 0; !stopped(); i++) {
		kipc_queue_put(q, buf, i * 7 % 300, KIPC_NOWAIT);
		if (i % 3)
			kipc_queue_get(q, buf, sizeof(buf), KIPC_NOWAIT);
		else if (!kipc_queue_take(q, &msg, KIPC_NOWAIT))
			i % 2 ? kipc_queue_done(q, &msg) : kipc_queue_requeue(q, &msg);
		if (!kipc_queue_reserve(q, 9, &msg, KIPC_NOWAIT))
			i % 5 ? kipc_queue_commit(q, &msg) : kipc_queue_abort(q, &msg);
	}
	while (kipc_queue_get(q, buf, sizeof(buf), KIPC_NOWAIT) >= 0)
		;
	return 0;
}

static int pipe_work(void *obj)
{
	struct kipc_pipe *p = kipc_object_pipe(obj);
	char buf[3000] = { 0 };

	for (unsigned int i = 0; !stopped(); i++) {
		kipc_pipe_send(p, buf, i * 13 % 3000, KIPC_NOWAIT);
		kipc_pipe_recv(other_end, buf, sizeof(buf), KIPC_NOWAIT);
	}
	return 0;
}

static int shm_work(void *obj)
{
	struct kipc_shm *s = kipc_object_shm(obj);
	uint64_t seq;

	while (!stopped()) {
		if (!kipc_shm_write_begin(s, KIPC_FOREVER))
			kipc_shm_write_end(s);
		kipc_shm_read_begin(s, &seq, KIPC_FOREVER);
	}
	return 0;
}

static int array_work(void *obj)
{
	struct kipc_array *a = kipc_object_array(obj);

	while (!stopped())
		if (!kipc_array_write_begin(a, KIPC_FOREVER))
			kipc_array_write_end(a);
	return 0;
}

static int manager_work(void *obj)
{
	struct kipc_manager *m = kipc_object_manager(obj);
	struct kipc_list *l;
	struct kipc_dict *d;

	EXPECT_EQ(0, kipc_list_open(m, "l", &l));
	EXPECT_EQ(0, kipc_dict_open(m, "d", &d));
	for (int64_t i = 0; !stopped(); i++) {
		kipc_list_append(l, kipc_bytes("twenty bytes of data", 20));
		kipc_list_insert(l, i % 5, kipc_int(i));
		if (kipc_list_len(l) > 40)
			kipc_list_clear(l);
		kipc_dict_set(d, kipc_int(i * 7919 % 400), kipc_bytes("twenty bytes of data", 20));
		kipc_dict_del(d, kipc_int(i * 104729 % 400));
	}
	EXPECT_EQ(0, kipc_list_unref(l));
	EXPECT_EQ(0, kipc_dict_unref(d));
	return 0;
}

static const ksft_fn work[] = { queue_work, pipe_work, shm_work, array_work, manager_work };

FIXTURE(busy) {
	struct kipc_object *obj;
};

FIXTURE_VARIANT(busy) {
	int kind;
};

FIXTURE_VARIANT_ADD(busy, queue) { .kind = QUEUE };
FIXTURE_VARIANT_ADD(busy, pipe) { .kind = PIPE };
FIXTURE_VARIANT_ADD(busy, shm) { .kind = SHM };
FIXTURE_VARIANT_ADD(busy, array) { .kind = ARRAY };
FIXTURE_VARIANT_ADD(busy, manager) { .kind = MANAGER };

FIXTURE_SETUP(busy)
{
	KIPC_OPTS(kipc_pipe_opts, o, .ring_size = 4096);
	struct kipc_pipe *ends[2];
	struct kipc_manager *m;
	struct kipc_list *l;
	struct kipc_dict *d;

	if (variant->kind == PIPE) {
		ASSERT_EQ(0, kipc_pipe_create(&o, ends));
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

FIXTURE_TEARDOWN(busy)
{
	kipc_object_close(self->obj);
	if (variant->kind == PIPE)
		kipc_pipe_close(other_end);
}

static void look(struct kipc_object *obj, bool fd, uint32_t flags)
{
	struct findings all = { .n = 0 };

	KIPC_OPTS(kipc_report, r, .flags = flags, .found = collect, .arg = &all);

	ASSERT_EQ(0, fd ? kipc_check_fd(obj->seg.fd, &r) : kipc_check(obj, &r));
	EXPECT_EQ(0, r.violations);
	EXPECT_EQ(0, r.dead_claims);
	EXPECT_STREQ("", r.first);
	if (r.violations || r.dead_claims)
		ksft_log("%s", all.text);
}

TEST_F_TIMEOUT(busy, no_false_alarm, 60)
{
	int64_t end = ksft_now_ns() + 700000000;
	struct ksft_thread threads[2];
	int n = 0;

	for (int i = 0; i < 2; i++)
		ksft_thread_start(&threads[i], work[variant->kind], self->obj);
	for (; n < 20 || ksft_now_ns() < end; n++)
		look(self->obj, n & 1, n & 1 ? 0 : n % 6 ? 0 : KIPC_CHECK_SETTLE);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		ksft_thread_join(&threads[i]);
	check_clean(self->obj, KIPC_CHECK_IDLE);
}

static int attach_and_leave(void *obj)
{
	struct kipc_object *other;
	int sv[2];

	EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	while (!stopped()) {
		if (!EXPECT_EQ(0, kipc_send(sv[0], obj)) || !EXPECT_EQ(0, kipc_recv(sv[1], &other)))
			break;
		kipc_object_close(other);
	}
	close(sv[0]);
	close(sv[1]);
	return 0;
}

static int sleep_and_go(void *obj)
{
	struct kipc_queue *q = kipc_object_queue(obj);
	char buf[300];

	while (!stopped())
		EXPECT_EQ(-ETIMEDOUT, kipc_queue_get(q, buf, sizeof(buf), 50000));
	return 0;
}

TEST_TIMEOUT(peers_and_sleepers_come_and_go, 60)
{
	static const ksft_fn fns[] = { attach_and_leave, attach_and_leave, sleep_and_go };
	struct kipc_object *obj = make_object(QUEUE);
	int64_t end = ksft_now_ns() + 700000000;
	struct ksft_thread threads[3];

	for (int i = 0; i < 3; i++)
		ksft_thread_start(&threads[i], fns[i], obj);
	for (int n = 0; n < 20 || ksft_now_ns() < end; n++)
		look(obj, n & 1, 0);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++)
		ksft_thread_join(&threads[i]);
	check_clean(obj, KIPC_CHECK_IDLE);
	kipc_object_close(obj);
}

TEST_HARNESS_MAIN
