// SPDX-License-Identifier: MIT
/* What ipc-inspect stats says, and what -z remembers. */
#include <ftw.h>

#include <kipc/array.h>
#include <kipc/list.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "inspect.h"

FIXTURE(stats) {
	char state[64];
	char target[32];
	struct kipc_queue *q;
};

FIXTURE_SETUP(stats)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 4, .msg_size = 32,
		  .overflow = KIPC_OVERFLOW_DROP_OLDEST);

	skip_without_tool();
	snprintf(self->state, sizeof(self->state), "/tmp/kipc-stats-%d", getpid());
	setenv("XDG_STATE_HOME", self->state, 1);
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &self->q));
	snprintf(self->target, sizeof(self->target), "%d:%d", getpid(),
		 kipc_queue_object(self->q)->seg.fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

FIXTURE_TEARDOWN(stats)
{
	kipc_queue_close(self->q);
	nftw(self->state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(struct kipc_queue *q, int n)
{
	while (n--)
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
}

#define VALUES "v = {x['counter']: x['value'] for x in d['counters']}\n"

/* Its document has no objects. */
static bool counters_hold(struct run *r, const char *script)
{
	char *json, *text;
	bool ok;

	ASSERT_LT(0, asprintf(&json, "{\"objects\": [], %s", strchr(r->out, '{') + 1));
	ASSERT_LT(0, asprintf(&text, VALUES "%s", script));
	ok = json_holds(json, text);
	free(json);
	free(text);
	run_free(r);
	return ok;
}

TEST_F(stats, counters)
{
	struct kipc_msg msg;
	struct run r;
	char c;

	put(self->q, 6);
	ASSERT_EQ(1, kipc_queue_get(self->q, &c, 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(self->q, &msg, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_requeue(self->q, &msg));
	ASSERT_EQ(1, kipc_queue_get(self->q, &c, 1, KIPC_NOWAIT));
	r = inspect("stats", "-J", self->target);
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	EXPECT_TRUE(counters_hold(&r, "assert v['put_messages'] == 6, v\n"
				      "assert v['dropped_messages'] == 2, v\n"
				      "assert v['redelivered_messages'] == 1, v\n"
				      "assert v['taken_messages'] == 4, v\n"
				      "assert v['repaired_slots'] == 0, v\n"
				      "assert all(x['kind'] == 'queue' and "
				      "0 < x['interval_seconds'] < 1000 "
				      "for x in d['counters'])\n"));
	EXPECT_NE(0, access(self->state, F_OK));
}

TEST(of_shared_memory)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_size = 8192);
	struct kipc_shm *s;
	char target[32];
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, &opts, &s));
	snprintf(target, sizeof(target), "%d:%d", getpid(), kipc_shm_fd(s));
	ASSERT_EQ(0, kipc_shm_resize(s, 200));
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_write_end(s));
	r = inspect("stats", "-J", target);
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(counters_hold(&r, "assert v['grown'] == 1 and v['writes'] == 1, v\n"
				      "assert v['healed_writes'] == v['healed_locks'] == 0, v"));
	kipc_shm_close(s);
}

/* The first call counts from the beginning, the next ones from call to call; others don't care. */
TEST_F(stats, since_the_last_call)
{
	static const int puts[] = { 3, 5, 0, 7 };
	struct stat st;
	struct run r;
	char want[64], path[128];

	for (int i = 0; i < 4; i++) {
		put(self->q, puts[i]);
		r = inspect("stats", "-z", "-J", self->target);
		EXPECT_EQ(0, r.code);
		EXPECT_STREQ("", r.err);
		snprintf(want, sizeof(want), "assert v['put_messages'] == %d, v", puts[i]);
		EXPECT_TRUE(counters_hold(&r, want));
		r = inspect("stats", "-J", self->target);
		EXPECT_TRUE(counters_hold(&r, "assert v['put_messages'] >= 3, v"));
	}
	snprintf(path, sizeof(path), "%s/kipc/stats/%016lx", self->state,
		 (unsigned long)kipc_queue_object(self->q)->seg.hdr->id);
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(0600u, st.st_mode & 0777);
}

/* A spoilt file is as good as none; one from before the boot goes. */
TEST_F(stats, files)
{
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	char path[128], stale[128];
	struct run r;
	FILE *f;

	put(self->q, 2);
	r = inspect("stats", "-z", self->target);
	EXPECT_EQ(0, r.code);
	run_free(&r);
	snprintf(path, sizeof(path), "%s/kipc/stats/%016lx", self->state,
		 (unsigned long)kipc_queue_object(self->q)->seg.hdr->id);
	snprintf(stale, sizeof(stale), "%s/kipc/stats/0123456789abcdef", self->state);
	f = fopen(path, "w");
	fputs("rubbish\n", f);
	fclose(f);
	fclose(fopen(stale, "w"));
	ASSERT_EQ(0, utimensat(AT_FDCWD, stale, old, 0));
	r = inspect("stats", "-z", "-J", self->target);
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(counters_hold(&r, "assert v['put_messages'] == 2, v"));
	EXPECT_NE(0, access(stale, F_OK));
	r = inspect("stats", "-z", "-J", self->target);
	EXPECT_TRUE(counters_hold(&r, "assert v['put_messages'] == 0, v"));

	/* nowhere to write */
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	r = inspect("stats", "-z", self->target);
	EXPECT_EQ(1, r.code);
	EXPECT_TRUE(strstr(r.err, "no place to remember"));
	run_free(&r);
	setenv("HOME", "/proc/self", 1);
	r = inspect("stats", "-z", self->target);
	EXPECT_EQ(1, r.code);
	run_free(&r);
}

TEST_F(stats, of_every_kind)
{
	struct kipc_pipe *ends[2];
	struct kipc_manager *m;
	struct kipc_array *a;
	struct kipc_list *l;
	uint64_t shape = 3;
	struct run r;

	put(self->q, 1);
	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "abc", 3, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "d", 1, KIPC_NOWAIT));
	ASSERT_EQ(3, kipc_pipe_recv(ends[1], (char[3]){ 0 }, 3, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT8, 1, &shape, NULL, &a));
	ASSERT_EQ(0, kipc_array_write_begin(a, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_array_write_end(a));
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, NULL, &l));
	r = inspect("stats", "-J", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(counters_hold(&r, "assert v['way0_sent_messages'] == 2, v\n"
				      "assert v['way0_received_messages'] == 1, v\n"
				      "assert v['way0_sent_ring_bytes'] == 32, v\n"
				      "assert v['way0_received_ring_bytes'] == 16, v\n"
				      "assert v['way1_sent_messages'] == 0, v\n"
				      "assert v['writes'] == 1 and v['healed_writes'] == 0, v\n"
				      "assert v['made_objects'] == 1, v\n"
				      "assert v['put_messages'] == 1, v\n"));
	r = inspect("stats", "-n", "-r", "-o", "counter,value", self->target);
	EXPECT_EQ(0, r.code);
	EXPECT_EQ(0, strncmp(r.out, "put_messages 1\ntaken_messages 0\n", 32));
	run_free(&r);
	r = inspect("stats");
	EXPECT_EQ(2, r.code);
	run_free(&r);
	kipc_list_unref(l);
	kipc_manager_close(m);
	kipc_array_close(a);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

TEST_HARNESS_MAIN
