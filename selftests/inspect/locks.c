// SPDX-License-Identifier: MIT
/* What ipc-inspect locks says of locks that are held and waited for, in known states. */
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include <kipc/lock.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "inspect.h"

#define NOBODY 65534

FIXTURE(locks) {
	struct kipc_manager *m;
	struct kipc_lock *a, *b;
	char target[32];
	int *step;	/* shared: how far the peers are */
};

FIXTURE_SETUP(locks)
{
	skip_without_tool();
	self->step = ksft_shared(4096);
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_lock_create(self->m, "a", &self->a));
	ASSERT_EQ(0, kipc_lock_create(self->m, "b", &self->b));
	snprintf(self->target, sizeof(self->target), "%d:%d", getpid(),
		 kipc_manager_object(self->m)->seg.fd);
}

FIXTURE_TEARDOWN(locks)
{
	kipc_lock_unref(self->a);
	kipc_lock_unref(self->b);
	kipc_manager_close(self->m);
}

/* Its document has two arrays: objects of the scripts are the locks. */
static bool locks_hold(struct run *r, const char *fmt, ...)
{
	char *json, *script;
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ASSERT_LT(0, vasprintf(&script, fmt, ap));
	va_end(ap);
	ASSERT_LT(0, asprintf(&json, "{\"objects\": [], %s", strchr(r->out, '{') + 1));
	EXPECT_EQ(0, r->code);
	EXPECT_STREQ("", r->err);
	ok = json_holds(json, script);
	free(json);
	free(script);
	run_free(r);
	return ok;
}

/* Threads that the tool sees waiting for locks of ours. */
static int waiting(void)
{
	struct run r = inspect("locks", "-n", "-r", "-o", "THREADS", pid_target(getpid()));
	int n = 0;

	for (char *word = strtok(r.out, ",\n"); word; word = strtok(NULL, ",\n"))
		n += *word >= '1' && *word <= '9';
	run_free(&r);
	return n;
}

static void arrive(int *step)
{
	__atomic_fetch_add(step, 1, __ATOMIC_SEQ_CST);
}

static bool arrived(int *step, int n)
{
	return ksft_wait_for(__atomic_load_n(step, __ATOMIC_SEQ_CST) >= n, 5000);
}

/* What a peer does: takes the first, and when `all` have theirs, the second. */
struct plan {
	struct kipc_lock *first, *second;
	int *step, all;
	const char *name;
};

static int take(void *arg)
{
	struct plan *t = arg;
	int r;

	prctl(PR_SET_NAME, t->name);
	if (t->first && kipc_lock_acquire(t->first, KIPC_FOREVER))
		return 1;
	arrive(t->step);
	if (!arrived(t->step, t->all))
		return 1;
	if (!t->second)
		pause();
	r = kipc_lock_acquire(t->second, KIPC_FOREVER);
	return r && r != -EOWNERDEAD;
}

TEST_F(locks, deadlock)
{
	struct plan one = { self->a, self->b, self->step, 2, "one" };
	struct plan other = { self->b, self->a, self->step, 2, "other" };
	pid_t p = ksft_fork(take, &one), q = ksft_fork(take, &other);
	struct run r;
	char *script;

	ASSERT_TRUE(arrived(self->step, 2));
	ASSERT_TRUE(ksft_wait_for(waiting() == 2, 5000));
	r = inspect("locks", "-J", self->target);
	EXPECT_TRUE(locks_hold(
		&r,
		"p, q = %d, %d\n"
		"l = {x['lock']: x for x in d['locks']}\n"
		"a, b = l['lock \"a\"'], l['lock \"b\"']\n"
		"assert a['owner_pid'] == p and b['owner_pid'] == q, l\n"
		"assert a['waiter_pids'] == [q] and b['waiter_pids'] == [p], l\n"
		"assert a['owner_state'] == b['owner_state'] == 'alive', l\n"
		"assert a['deadlock'] == b['deadlock'] == 1, l\n"
		"c, = d['deadlocks']\n"
		"assert c['certain'] and len(c['waits']) == 2, c\n"
		"assert {(w['pid'], w['lock'], w['owner_pid']) for w in c['waits']} == "
		"{(p, 'lock \"b\"', q), (q, 'lock \"a\"', p)}, c\n",
		p, q));
	r = inspect("locks", self->target);
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strstr(r.out, "\ndeadlock 1:\n"));
	EXPECT_TRUE(strstr(r.out, "(one) waits for lock \"b\" of "));
	EXPECT_TRUE(strstr(r.out, "(other) waits for lock \"a\" of "));
	run_free(&r);
	/* show says so of each of them */
	r = inspect("show", "-J", self->target);
	ASSERT_LT(0, asprintf(&script,
			      "w = {x['pid']: (x['waits_for'], x['holds']) for x in o['peers']}\n"
			      "assert w[%d] == ('lock \"b\"', 'locks 1'), w\n"
			      "assert w[%d] == ('lock \"a\"', 'locks 1'), w\n",
			      p, q));
	EXPECT_JSON(r.out, script);
	free(script);
	run_free(&r);

	/* when one is killed, the other gets both */
	ksft_kill(p);
	ksft_join(q);
	r = inspect("locks", "-J", self->target);
	EXPECT_TRUE(locks_hold(&r, "assert d['deadlocks'] == [], d\n"
				   "assert all(x['waiter_pids'] == [] for x in d['locks']), d"));
}

TEST_F(locks, with_itself)
{
	struct plan one = { self->a, self->a, self->step, 1, "one" };
	pid_t p = ksft_fork(take, &one);
	struct run r;

	ASSERT_TRUE(ksft_wait_for(waiting() == 1, 5000));
	r = inspect("locks", "-J", self->target);
	EXPECT_TRUE(locks_hold(&r,
			       "p = %d\n"
			       "c, = d['deadlocks']\n"
			       "w, = c['waits']\n"
			       "assert c['certain'] and w['pid'] == w['owner_pid'] == p, c\n",
			       p));
	ksft_kill(p);
}

static int idle(void *arg)
{
	(void)arg;
	pause();
	return 0;
}

static int take_beside_another(void *arg)
{
	struct ksft_thread thread;

	ksft_thread_start(&thread, idle, NULL);
	return take(arg);
}

/* Another thread of the process could let go, for all that one sees. */
TEST_F(locks, possible_deadlock)
{
	struct plan one = { self->a, self->a, self->step, 1, "one" };
	pid_t p = ksft_fork(take_beside_another, &one);
	struct run r;

	ASSERT_TRUE(ksft_wait_for(waiting() == 1, 5000));
	r = inspect("locks", "-J", self->target);
	EXPECT_TRUE(locks_hold(&r, "c, = d['deadlocks']\n"
				   "assert not c['certain'] and len(c['waits']) == 1, c\n"));
	r = inspect("locks", self->target);
	EXPECT_TRUE(strstr(r.out, "\npossible deadlock 1:\n"));
	run_free(&r);
	ksft_kill(p);
}

/* The one whom all wait for is stopped; then it is dead. */
TEST_F(locks, stopped_owner)
{
	struct plan owner = { self->a, NULL, self->step, 1, "owner" };
	struct plan waiter = { NULL, self->a, self->step, 3, "waiter" };
	pid_t p = ksft_fork(take, &owner), q[2];
	struct run r;
	int status;

	ASSERT_TRUE(arrived(self->step, 1));
	for (int i = 0; i < 2; i++)
		q[i] = ksft_fork(take, &waiter);
	ASSERT_EQ(0, kill(p, SIGSTOP));
	ASSERT_EQ(p, waitpid(p, &status, WUNTRACED));
	ASSERT_TRUE(ksft_wait_for(waiting() == 2, 5000));
	r = inspect("locks", "-J", "--watch", "0.3", self->target);
	EXPECT_TRUE(locks_hold(&r,
			       "l, = d['locks']\n"
			       "assert l['owner_pid'] == %d and l['owner_state'] == 'stopped', l\n"
			       "assert l['owner_command'] == 'owner', l\n"
			       "assert sorted(l['waiter_pids']) == sorted([%d, %d]), l\n"
			       "assert l['waiter_tids'] == l['waiter_pids'], l\n"
			       "assert l['deadlock'] is None and d['deadlocks'] == [], d\n"
			       "assert 0.3 <= l['seen_seconds'] < 100, l\n",
			       p, q[0], q[1]));
	for (int i = 0; i < 2; i++)
		ksft_kill(q[i]);
	ksft_kill(p);
	r = inspect("locks", "-J", self->target);
	EXPECT_TRUE(locks_hold(&r, "l, = d['locks']\n"
				   "assert l['owner_state'] == 'dead' and l['owner_pid'] is None, l\n"
				   "assert l['owner_slot'] > 1 and l['waiter_pids'] == [], l\n"));
	/* its heir is told, and the lock is free again */
	ASSERT_EQ(-EOWNERDEAD, kipc_lock_acquire(self->a, KIPC_FOREVER));
	ASSERT_EQ(0, kipc_lock_release(self->a));
	r = inspect("locks", "-J", self->target);
	EXPECT_TRUE(locks_hold(&r, "assert d['locks'] == [], d"));
}

static char big[10000];

static int send_big(void *end)
{
	return kipc_pipe_send(end, big, sizeof(big), KIPC_FOREVER);
}

static int send_small(void *end)
{
	return kipc_pipe_send(end, "x", 1, KIPC_FOREVER);
}

/* One sends what doesn't fit, and sleeps with the end's lock; another one waits for that. */
TEST(pipe)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);
	struct kipc_pipe *ends[2];
	struct run r;
	pid_t p, q;

	skip_without_tool();
	ASSERT_EQ(0, kipc_pipe_create(&opts, ends));
	p = ksft_fork(send_big, ends[0]);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(p), 5000));
	q = ksft_fork(send_small, ends[0]);
	ASSERT_TRUE(ksft_wait_for(waiting() == 1, 5000));
	r = inspect("locks", "-J", pid_target(getpid()));
	EXPECT_TRUE(locks_hold(&r,
			       "l, = d['locks']\n"
			       "assert l['lock'] == 'send 0 to 1' and l['kind'] == 'pipe', l\n"
			       "assert l['owner_pid'] == %d and l['waiter_pids'] == [%d], l\n",
			       p, q));
	ksft_kill(q);
	ksft_kill(p);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

static int read_shm(void *s)
{
	uint64_t seq;

	return kipc_shm_read_begin(s, &seq, KIPC_FOREVER);
}

static int write_shm(void *s)
{
	int r = kipc_shm_write_begin(s, KIPC_FOREVER);

	return r ? r : kipc_shm_write_end(s);
}

TEST(shm)
{
	struct kipc_shm *s;
	struct run r;
	pid_t p, q;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &s));
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	p = ksft_fork(read_shm, s);
	q = ksft_fork(write_shm, s);
	ASSERT_TRUE(ksft_wait_for(waiting() == 2, 5000));
	r = inspect("locks", "-J", pid_target(getpid()));
	EXPECT_TRUE(locks_hold(
		&r,
		"l = {x['lock']: (x['owner_pid'], x['waiter_pids']) for x in d['locks']}\n"
		"assert l == {'sequence': (%d, [%d]), 'writer': (%d, [%d])}, l\n",
		getpid(), p, getpid(), q));
	ASSERT_EQ(0, kipc_shm_write_end(s));
	ksft_join(p);
	ksft_join(q);
	kipc_shm_close(s);
}

static int share_shm(void *s)
{
	return kipc_shm_lock_shared(s, KIPC_FOREVER);
}

static int lock_shm(void *s)
{
	return kipc_shm_lock_exclusive(s, KIPC_FOREVER);
}

#define SITES "l = [(x['lock'], x['owner_pid'], x['waiter_pids']) for x in d['locks']]\n"

/* We share it; one waits for us, one for that one, and a reader for the gate. */
TEST(reader_writer_lock)
{
	struct kipc_shm *s;
	pid_t p, q, reader;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &s));
	ASSERT_EQ(0, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	r = inspect("locks", "-J", pid_target(getpid()));
	EXPECT_TRUE(locks_hold(&r, SITES "assert l == [('shared', %d, [])], l\n", getpid()));
	p = ksft_fork(lock_shm, s);
	ASSERT_TRUE(ksft_wait_for(waiting() == 1, 5000));
	q = ksft_fork(lock_shm, s);
	reader = ksft_fork(share_shm, s);
	ASSERT_TRUE(ksft_wait_for(waiting() == 3, 5000));
	r = inspect("locks", "-J", pid_target(getpid()));
	EXPECT_TRUE(locks_hold(&r,
			       SITES "assert l == [('exclusive', %d, [%d]), ('gate', %d, [%d]), "
				     "('shared', %d, [%d])], l\n",
			       p, q, p, reader, getpid(), p));
	r = inspect("show", "-J", pid_target(getpid()));
	EXPECT_JSON(r.out, "assert o['shm']['lock_state'] == 'closing', o['shm']\n"
			   "assert o['shm']['lock_shared'] == 1 and o['shm']['lock_next'] == 0\n"
			   "w = [(x['waits_for'], x['holds']) for x in o['peers']]\n"
			   "assert w[:2] == [(None, 'shared 1'), ('shared', 'closing')], w\n"
			   "assert sorted(w[2:]) == [('exclusive', None), ('gate', None)], w\n");
	run_free(&r);
	ksft_kill(p);
	ksft_kill(q);
	ksft_join(reader);
	kipc_shm_close(s);
}

/* We have it alone: a reader's turn is next, in the count already. */
TEST(reader_whose_turn_is_next)
{
	struct kipc_shm *s;
	struct run r;
	pid_t p;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &s));
	ASSERT_EQ(0, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	p = ksft_fork(share_shm, s);
	ASSERT_TRUE(ksft_wait_for(waiting() == 1, 5000));
	r = inspect("locks", "-J", pid_target(getpid()));
	EXPECT_TRUE(locks_hold(&r,
			       SITES "assert l == [('exclusive', %d, []), ('gate', %d, [%d])], l\n",
			       getpid(), getpid(), p));
	r = inspect("show", "-J", pid_target(getpid()));
	EXPECT_JSON(r.out, "assert o['shm']['lock_state'] == 'exclusive', o['shm']\n"
			   "assert o['shm']['lock_shared'] == 0 and o['shm']['lock_next'] == 1\n"
			   "w = [(x['waits_for'], x['holds']) for x in o['peers']]\n"
			   "assert w == [(None, 'exclusive'), ('gate', None)], w\n");
	run_free(&r);
	ASSERT_EQ(0, kipc_shm_unlock(s));
	ksft_join(p);
	kipc_shm_close(s);
}

/* Two objects, shared by one each, and each wants the other one's alone. */
struct crossing {
	struct kipc_shm *first, *second;
	int *step;
};

static int cross(void *arg)
{
	struct crossing *c = arg;

	if (kipc_shm_lock_shared(c->first, KIPC_FOREVER))
		return 1;
	arrive(c->step);
	return !arrived(c->step, 2) || kipc_shm_lock_exclusive(c->second, KIPC_FOREVER);
}

TEST(deadlock_of_readers)
{
	struct crossing one = { .step = ksft_shared(4096) }, other = { .step = one.step };
	struct run r;
	pid_t p, q;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &one.first));
	ASSERT_EQ(0, kipc_shm_create(NULL, 100, NULL, &one.second));
	other.first = one.second;
	other.second = one.first;
	p = ksft_fork(cross, &one);
	q = ksft_fork(cross, &other);
	ASSERT_TRUE(ksft_wait_for(waiting() == 2, 5000));
	r = inspect("locks", "-J", pid_target(getpid()));
	EXPECT_TRUE(locks_hold(&r,
			       "c, = d['deadlocks']\n"
			       "assert c['certain'], c\n"
			       "assert {(w['pid'], w['lock'], w['owner_pid']) for w in c['waits']} == "
			       "{(%d, 'shared', %d), (%d, 'shared', %d)}, c\n",
			       p, q, q, p));
	ksft_kill(p);
	ksft_kill(q);
	kipc_shm_close(one.first);
	kipc_shm_close(one.second);
}

static int join(void *q)
{
	return kipc_queue_join(q, KIPC_FOREVER);
}

TEST(join_of_a_queue)
{
	struct kipc_queue *q;
	struct run r;
	pid_t p;
	char c;

	skip_without_tool();
	ASSERT_EQ(0, kipc_queue_create(NULL, NULL, &q));
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	p = ksft_fork(join, q);
	ASSERT_TRUE(ksft_wait_for(waiting() == 1, 5000));
	r = inspect("locks", "-J", pid_target(getpid()));
	EXPECT_TRUE(locks_hold(&r,
			       "l, = d['locks']\n"
			       "assert l['lock'] == 'join' and l['waiter_pids'] == [%d], l\n"
			       "assert l['owner_pid'] is None and l['owner_state'] is None, l\n",
			       p));
	ASSERT_EQ(1, kipc_queue_get(q, &c, 1, KIPC_NOWAIT));
	ksft_join(p);
	kipc_queue_close(q);
}

/* Its own processes everybody may look into, and those of others nobody but root. */
TEST_F(locks, other_users)
{
	struct plan one = { self->a, self->a, self->step, 1, "one" };
	struct run r;
	pid_t p;

	if (geteuid())
		SKIP("not root: no other users to be had");
	p = ksft_fork(take, &one);
	ASSERT_TRUE(ksft_wait_for(waiting() == 1, 5000));
	r = inspect_as(NOBODY, "locks", self->target);
	EXPECT_EQ(4, r.code);
	run_free(&r);
	ksft_kill(p);
}

TEST_F(locks, usage)
{
	struct run r = inspect("locks", "--watch", "long");

	EXPECT_EQ(2, r.code);
	run_free(&r);
	r = inspect("locks", "-w", "-1");
	EXPECT_EQ(2, r.code);
	run_free(&r);
	r = inspect("locks", self->target);
	EXPECT_EQ(0, r.code);
	EXPECT_FALSE(strstr(r.out, "deadlock"));
	run_free(&r);
}

TEST_HARNESS_MAIN
