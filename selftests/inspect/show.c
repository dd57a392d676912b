// SPDX-License-Identifier: MIT
/* What ipc-inspect show says of live objects in known states. */
#include <sched.h>
#include <sys/prctl.h>

#include <kipc/array.h>
#include <kipc/dict.h>
#include <kipc/list.h>
#include <kipc/lock.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "core/time.h"
#include "inspect.h"

static struct kipc_queue *small_queue(void)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 4, .msg_size = 32);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	return q;
}

static struct run show_own(void)
{
	return inspect("show", "-J", pid_target(getpid()));
}

TEST(queue_decoded)
{
	struct kipc_queue *q;
	struct kipc_msg taken, reserved;
	char *script;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, prctl(PR_SET_NAME, "a\x1b[31m\\b"));	/* a name that wants to be red */
	q = small_queue();
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(q, &taken, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_reserve(q, 8, &reserved, KIPC_NOWAIT));
	ASSERT_LE(0, kipc_queue_fd(q, KIPC_READABLE));
	r = show_own();
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	ASSERT_LT(0, asprintf(&script,
			      "pid = %d\n"
			      "assert len(objects) == 1 and o['problems'] == []\n"
			      "s, h, q = o['summary'], o['header'], o['queue']\n"
			      "assert s['kind'] == 'queue' and s['state'] == ['full']\n"
			      "assert s['depth'] == 3 and s['capacity'] == 4 and "
			      "s['holder_pids'] == [pid]\n"
			      "assert h['magic'] == '314745534350494b' and h['kind_number'] == 1\n"
			      "assert set(h['seals']) >= {'shrink', 'grow'} and not h['grows']\n"
			      "assert h['creator_pid'] == pid and h['incompat'] == '0' * 16\n"
			      "assert q['cells_ready'] == 2 and q['cells_reading'] == 1, q\n"
			      "assert q['cells_writing'] == 1 and q['cells_free'] == 0\n"
			      "assert q['put_messages'] == 4 and q['taken_messages'] == 1\n"
			      "assert q['cells_examined'] == 4 and q['message_max_bytes'] == 32\n"
			      "assert q['full'] and not q['shutdown'] and "
			      "q['overflow'] == 'block'\n"
			      "assert o['claims'] == "
			      "[{'slot': 1, 'writing_cells': 1, 'reading_cells': 1}]\n"
			      "assert [(x['cell'], x['phase'], x['slot'], x['length_bytes']) "
			      "for x in o['cells']] == [(0, 'taken', 1, 1), "
			      "(1, 'ready', None, 1), (2, 'ready', None, 1), "
			      "(3, 'writing', 1, None)], o['cells']\n"
			      "p, = o['peers']\n"
			      "assert p['slot'] == 1 and p['state'] == 'alive' and "
			      "p['pid'] == pid\n"
			      "assert p['recorded_pid'] == pid and p['process'] == 'same'\n"
			      "assert p['holds'] == 'writing 1, reading 1' and "
			      "p['sleeping'] is None\n"
			      "assert p['generation'] == 1\n"
			      "assert p['command'] == r'a\\x1b[31m\\\\b', p['command']\n"
			      "b = {x['name']: x for x in o['doorbells']}\n"
			      "assert list(b) == ['readable', 'writable', 'join']\n"
			      "assert b['readable']['watched'] and b['readable']['signalled'] in "
			      "(True, False)\n"
			      "assert not b['writable']['watched']\n",
			      getpid()));
	EXPECT_JSON(r.out, script);
	EXPECT_FALSE(strchr(r.out, '\x1b'));
	free(script);
	run_free(&r);

	r = inspect("show", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_FALSE(strchr(r.out, '\x1b'));
	EXPECT_TRUE(strstr(r.out, "a\\x1b[31m\\\\b"));
	EXPECT_TRUE(strstr(r.out, "\ndoorbells\n"));
	run_free(&r);
	kipc_queue_close(q);
}

static int die_holding(void *arg)
{
	struct kipc_queue *q = arg;
	struct kipc_msg msg;

	if (kipc_queue_take(q, &msg, KIPC_NOWAIT) || kipc_queue_take(q, &msg, KIPC_NOWAIT) ||
	    kipc_queue_reserve(q, 1, &msg, KIPC_NOWAIT))
		return 1;
	raise(SIGKILL);
	return 1;
}

/* A killed process is shown as dead until a survivor repairs, and looking repairs nothing. */
TEST(dead_owner)
{
	struct kipc_queue *q;
	char *script, c;
	struct run r;
	pid_t pid;

	skip_without_tool();
	q = small_queue();
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	pid = ksft_fork(die_holding, q);
	ASSERT_TRUE(WIFSIGNALED(ksft_wait(pid)));
	ASSERT_LT(0, asprintf(&script,
			      "assert o['summary']['state'] == ['dead owner', 'full']\n"
			      "assert o['summary']['dead_peers'] == 1 and "
			      "o['summary']['peers'] == 1\n"
			      "p = o['peers'][1]\n"
			      "assert p['slot'] == 2 and p['state'] == 'dead' and "
			      "p['pid'] is None\n"
			      "assert p['recorded_pid'] == %d and "
			      "p['process'] in ('gone', 'other')\n"
			      "assert p['holds'] == 'writing 1, reading 2', p\n"
			      "assert o['claims'] == "
			      "[{'slot': 2, 'writing_cells': 1, 'reading_cells': 2}]\n"
			      "assert o['header']['repairs'] == 0",
			      pid));
	for (int i = 0; i < 2; i++) {
		r = show_own();
		EXPECT_EQ(0, r.code);
		EXPECT_JSON(r.out, script);
		run_free(&r);
	}
	free(script);
	r = inspect("list", "-r", "-n", "-o", "STATE,PEERS,DEAD", pid_target(getpid()));
	EXPECT_STREQ("dead\\x20owner,full 1 1\n", r.out);
	run_free(&r);

	/* a survivor comes: two messages again, the reservation skipped */
	ASSERT_EQ(1, kipc_queue_get(q, &c, 1, KIPC_NOWAIT));
	ASSERT_EQ(1, kipc_queue_get(q, &c, 1, 10 * NSEC_PER_SEC));
	ASSERT_EQ(1, kipc_queue_get(q, &c, 1, 10 * NSEC_PER_SEC));
	r = show_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['summary']['state'] == ['ok'] and len(o['peers']) == 1\n"
			   "assert o['header']['repairs'] == 1\n"
			   "assert o['header']['repaired_claims'] == 3\n"
			   "assert o['queue']['skipped_claims'] == 1\n"
			   "assert o['queue']['redelivered_messages'] == 2\n"
			   "assert o['queue']['depth_messages'] == 0");
	run_free(&r);
	kipc_queue_close(q);
}

static int get_one(void *q)
{
	char c;

	return kipc_queue_get(q, &c, 1, KIPC_FOREVER) == 1 ? 0 : 1;
}

TEST(sleepers)
{
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	struct kipc_queue *q;
	pid_t pid[2];
	struct run r;

	skip_without_tool();
	q = small_queue();
	for (int i = 0; i < 2; i++)
		pid[i] = ksft_fork(get_one, q);
	ASSERT_TRUE(ksft_wait_for(!kipc_queue_stat(q, &st) && st.readers_waiting == 2, 5000));
	r = show_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['summary']['waiters'] == 2\n"
			   "assert o['doorbells'][0]['sleepers'] == 2\n"
			   "assert [p['sleeping'] for p in o['peers']] == "
			   "[None, 'readable 1', 'readable 1']\n"
			   "assert all(p['process'] == 'same' for p in o['peers'])\n"
			   "assert all(p['pid'] == p['recorded_pid'] for p in o['peers'])\n"
			   "assert sorted(p['pid'] for p in o['peers']) == "
			   "sorted(o['summary']['holder_pids'])");
	run_free(&r);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	for (int i = 0; i < 2; i++)
		ksft_join(pid[i]);
	kipc_queue_close(q);
}

/* In another PID namespace a process knows itself by another number: the kernel knows better. */
TEST(other_pid_namespace)
{
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	struct kipc_queue *q;
	char *script;
	struct run r;
	pid_t pid;
	int ns;

	skip_without_tool();
	q = small_queue();
	ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, ns);
	if (unshare(CLONE_NEWPID))
		SKIP("no new PID namespace: %s", strerror(errno));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		ksft_child_exit(get_one(q));
	/* the next child, the tool, is to be born here again */
	ASSERT_EQ(0, setns(ns, CLONE_NEWPID));
	close(ns);
	ASSERT_TRUE(ksft_wait_for(!kipc_queue_stat(q, &st) && st.readers_waiting == 1, 5000));
	ASSERT_LT(0, asprintf(&script,
			      "assert o['peers'][1]['recorded_pid'] == 1\n"
			      "assert o['peers'][1]['pid'] == %d and "
			      "o['peers'][1]['state'] == 'alive'",
			      pid));
	r = show_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, script);
	run_free(&r);
	free(script);
	ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	ksft_join(pid);
	kipc_queue_close(q);
}

/* exec closes the segment's lock: the slot is dead, though its process lives. */
TEST(lost_by_exec)
{
	struct kipc_queue *q;
	struct run r;
	pid_t pid;

	skip_without_tool();
	q = small_queue();
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (kipc_queue_put(q, "x", 1, KIPC_NOWAIT))
			ksft_child_exit(1);
		execlp("sleep", "sleep", "1000", NULL);
		ksft_child_exit(1);
	}
	ASSERT_TRUE(ksft_wait_for(kipc_queue_len(q) == 1 && ksft_asleep(pid), 5000));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['peers'][1]['state'] == 'dead'\n"
			   "assert o['peers'][1]['process'] == 'same'\n"
			   "assert len(o['summary']['holder_pids']) == 1");
	run_free(&r);
	ksft_kill(pid);
	kipc_queue_close(q);
}

TEST(pipe_decoded)
{
	struct kipc_pipe *ends[2];
	struct kipc_pipe_msg msg;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "hello", 5, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "", 0, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(ends[1], "x", 1, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_peek(ends[0], &msg, KIPC_NOWAIT));
	r = show_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert len(objects) == 1\n"
			   "assert o['pipe']['ring_bytes'] == 65536 and not o['pipe']['simplex']\n"
			   "a, b = o['ways']\n"
			   "assert a['way'] == '0 to 1' and a['queued_bytes'] == 24\n"
			   "assert a['sent_messages'] == 2 and a['received_messages'] == 0\n"
			   "assert b['way'] == '1 to 0' and b['queued_bytes'] == 16\n"
			   "assert not any(w['full'] or w['shutdown'] or w['sending_long']"
			   " or w['receiving_long'] for w in o['ways'])\n"
			   "held = [l for l in o['locks'] if l['owner_slot'] is not None]\n"
			   "assert [l['name'] for l in held] == ['receive 1 to 0']\n"
			   "assert held[0]['owner_state'] == 'alive'\n"
			   "assert [p['holds'] for p in o['peers']] == ['receiving 1 to 0', None] "
			   "or "
			   "[p['holds'] for p in o['peers']] == [None, 'receiving 1 to 0']\n"
			   "assert len(o['doorbells']) == 4");
	run_free(&r);
	ASSERT_EQ(0, kipc_pipe_release(ends[0], &msg));
	kipc_pipe_close(ends[0]);
	r = show_own();
	EXPECT_JSON(r.out, "assert o['pipe']['end0_closes'] == 1");
	run_free(&r);
	kipc_pipe_close(ends[1]);
}

static int die_exclusive(void *s)
{
	if (kipc_shm_lock_exclusive(s, KIPC_NOWAIT))
		return 1;
	raise(SIGKILL);
	return 1;
}

TEST(shm_grown_and_sealed)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_size = 1 << 20, .huge = KIPC_HUGE_THP,
		  .flags = KIPC_SHM_POPULATE, .numa = KIPC_NUMA_BIND, .numa_nodes = 1);
	struct kipc_shm *s;
	struct run r;
	int n;

	skip_without_tool();
	n = kipc_shm_create(NULL, 5000, &opts, &s);
	if (n == -EOPNOTSUPP || n == -EPERM || n == -ENODEV)
		SKIP("no NUMA node 0 to be had: %s", kipc_strerror(n));
	ASSERT_EQ(0, n);
	ASSERT_EQ(0, kipc_shm_resize(s, 100000));
	r = show_own();
	EXPECT_JSON(r.out, "s = o['shm']\n"
			   "assert s['data_bytes'] == 100000 and s['max_data_bytes'] == 1 << 20, s\n"
			   "assert s['grown'] == 1 and s['populated'] and s['pages'] == 'thp', s\n"
			   "assert s['numa'] == 'bind' and s['numa_nodes'] == [0], s\n"
			   "assert s['lock_state'] == 'open', s\n"
			   "assert o['header']['grows'] and "
			   "'grow' not in o['header']['seals'], o['header']");
	run_free(&r);
	/* a death in the lock, seen by the tool and told to the next */
	ASSERT_TRUE(WIFSIGNALED(ksft_wait(ksft_fork(die_exclusive, s))));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['summary']['state'] == ['dead owner']\n"
			   "assert o['shm']['lock_state'] == 'exclusive', o['shm']\n"
			   "l = {x['name']: x['owner_state'] for x in o['locks']}\n"
			   "assert l == {'writer': None, 'resizer': None, 'exclusive': 'dead'}, l");
	run_free(&r);
	ASSERT_EQ(-EOWNERDEAD, kipc_shm_lock_shared(s, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_unlock(s));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['summary']['state'] == ['torn']\n"
			   "assert o['shm']['lock_state'] == 'torn', o['shm']");
	run_free(&r);
	ASSERT_EQ(-EOWNERDEAD, kipc_shm_lock_exclusive(s, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_shm_unlock(s));
	/* who only reads is no peer, and nothing that is left over */
	ASSERT_EQ(0, kipc_shm_seal(s, KIPC_SEAL_WRITE | KIPC_SEAL_GROW));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['summary']['state'] == ['ok'], o['summary']\n"
			   "assert o['peers'] == []\n"
			   "assert o['shm']['healed_locks'] == 1, o['shm']\n"
			   "assert {'shrink', 'grow', 'write'} <= set(o['header']['seals'])");
	run_free(&r);
	kipc_shm_close(s);
}

static int die_writing(void *s)
{
	if (kipc_shm_write_begin(s, KIPC_NOWAIT))
		return 1;
	raise(SIGKILL);
	return 1;
}

TEST(shm_decoded)
{
	struct kipc_shm *s;
	uint64_t seq;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 5000, NULL, &s));
	ASSERT_EQ(0, kipc_shm_write_begin(s, KIPC_NOWAIT));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['shm']['data_bytes'] == 5000\n"
			   "assert o['shm']['write_state'] == 'writing' and "
			   "o['shm']['writes'] == 0\n"
			   "assert o['locks'][0]['owner_slot'] == 1\n"
			   "assert o['peers'][0]['holds'] == 'writing'");
	run_free(&r);
	ASSERT_EQ(0, kipc_shm_write_end(s));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['shm']['write_state'] == 'idle' and o['shm']['writes'] == 1\n"
			   "assert o['summary']['state'] == ['ok']");
	run_free(&r);

	ASSERT_TRUE(WIFSIGNALED(ksft_wait(ksft_fork(die_writing, s))));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['summary']['state'] == ['dead owner']\n"
			   "assert o['locks'][0]['owner_state'] == 'dead'");
	run_free(&r);
	ASSERT_EQ(-EOWNERDEAD, kipc_shm_read_begin(s, &seq, KIPC_NOWAIT));
	r = show_own();
	EXPECT_JSON(r.out, "assert o['summary']['state'] == ['torn']\n"
			   "assert o['shm']['write_state'] == 'torn'");
	run_free(&r);
	kipc_shm_close(s);
}

TEST(array_decoded)
{
	KIPC_OPTS(kipc_array_opts, fortran, .flags = KIPC_ARRAY_FORTRAN);
	uint64_t shape[] = { 3, 4, 5 };
	struct kipc_array *c, *f, *scalar;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_UINT8, 3, shape, NULL, &c));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_COMPLEX64, 3, shape, &fortran, &f));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 0, NULL, NULL, &scalar));
	r = show_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "a, b, c = (x['array'] for x in objects)\n"
			   "assert a['dtype'] == 'uint8' and a['order'] == 'C'\n"
			   "assert a['shape'] == [3, 4, 5] and a['strides_bytes'] == [20, 5, 1]\n"
			   "assert b['dtype'] == 'complex64' and b['order'] == 'Fortran'\n"
			   "assert b['shape'] == [3, 4, 5] and b['strides_bytes'] == [8, 24, 96]\n"
			   "assert c['shape'] == [] and c['elements'] == 1 and "
			   "c['item_bytes'] == 8\n"
			   "assert objects[0]['shm']['data_bytes'] == 60");
	run_free(&r);
	kipc_array_close(c);
	kipc_array_close(f);
	kipc_array_close(scalar);
}

static int die_with_lock(void *l)
{
	if (kipc_lock_acquire(l, KIPC_NOWAIT))
		return 1;
	raise(SIGKILL);
	return 1;
}

TEST(manager_decoded)
{
	struct kipc_manager *m;
	struct kipc_list *numbers, *unnamed;
	struct kipc_dict *ages;
	struct kipc_lock *mine, *theirs;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, "numbers", &numbers));
	ASSERT_EQ(0, kipc_list_create(m, NULL, &unnamed));
	ASSERT_EQ(0, kipc_dict_create(m, "ages", &ages));
	ASSERT_EQ(0, kipc_lock_create(m, "mine", &mine));
	ASSERT_EQ(0, kipc_lock_create(m, NULL, &theirs));
	for (int i = 0; i < 700; i++)
		ASSERT_EQ(0, kipc_list_append(numbers, kipc_int(i)));
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, kipc_dict_set(ages, kipc_int(i), kipc_int(i)));
	ASSERT_EQ(0, kipc_lock_acquire(mine, KIPC_NOWAIT));
	ASSERT_TRUE(WIFSIGNALED(ksft_wait(ksft_fork(die_with_lock, theirs))));
	r = show_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "m = o['manager']\n"
			   "assert m['objects'] == 5 and m['objects_examined'] == 5 and "
			   "m['names'] == 3\n"
			   "assert 0 < m['used_bytes'] <= m['size_bytes'] <= m['max_size_bytes']\n"
			   "assert o['types'] == [{'type': 'list', 'count': 2}, "
			   "{'type': 'dict', 'count': 1}, {'type': 'lock', 'count': 2}]\n"
			   "c = {x['name']: x for x in o['contents']}\n"
			   "assert set(c) == {'numbers', 'ages', 'mine', None}\n"
			   "assert c['numbers']['length'] == 700 and c['ages']['length'] == 100\n"
			   "assert c['mine']['owner_slot'] == 1\n"
			   "assert c['mine']['owner_state'] == 'alive'\n"
			   "assert c[None]['owner_slot'] == 2 and "
			   "c[None]['owner_state'] == 'dead'\n"
			   "assert [p['holds'] for p in o['peers']] == ['locks 1', 'locks 1']\n"
			   "assert [p['state'] for p in o['peers']] == ['alive', 'dead']\n"
			   "assert o['header']['grows'] and 'grow' not in o['header']['seals']");
	run_free(&r);
	ASSERT_EQ(-EOWNERDEAD, kipc_lock_acquire(theirs, KIPC_NOWAIT));
	r = show_own();
	EXPECT_JSON(r.out, "assert [p['holds'] for p in o['peers']] == ['locks 2']");
	run_free(&r);
	kipc_lock_unref(mine);
	kipc_lock_unref(theirs);
	kipc_list_unref(numbers);
	kipc_list_unref(unnamed);
	kipc_dict_unref(ages);
	kipc_manager_close(m);
}

/* Looking changes nothing: not a byte of the segment, and no page of it comes into being. */
TEST(read_only)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 64, .msg_size = 1 << 20);
	struct stat before, after;
	struct kipc_queue *q;
	char *bytes[2];
	int fd;

	skip_without_tool();
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	fd = kipc_queue_object(q)->seg.fd;
	for (int i = 0; i < 2; i++) {
		struct run r;

		bytes[i] = malloc(65536);
		ASSERT_EQ(0, fstat(fd, i ? &after : &before));
		ASSERT_EQ(65536, pread(fd, bytes[i], 65536, 0));
		r = show_own();
		EXPECT_EQ(0, r.code);
		run_free(&r);
		r = inspect("list", pid_target(getpid()));
		EXPECT_EQ(0, r.code);
		run_free(&r);
	}
	EXPECT_EQ(before.st_blocks, after.st_blocks);
	EXPECT_MEMEQ(bytes[0], bytes[1], 65536);
	free(bytes[0]);
	free(bytes[1]);
	kipc_queue_close(q);
}

/* One of several objects, by its descriptor. */
TEST(by_descriptor)
{
	struct kipc_queue *a, *b;
	char target[32], want[64];
	struct run r;

	skip_without_tool();
	a = small_queue();
	b = small_queue();
	snprintf(target, sizeof(target), "%d:%d", getpid(), kipc_queue_object(b)->seg.fd);
	snprintf(want, sizeof(want), "%016lx",
		 (unsigned long)kipc_queue_object(b)->seg.hdr->id);
	r = inspect("show", "-J", target);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert len(objects) == 1");
	EXPECT_TRUE(strstr(r.out, want));
	run_free(&r);
	r = inspect(target, "-r", "-n", "-o", "OBJECT");
	EXPECT_EQ(0, r.code);
	r.out[strcspn(r.out, "\n")] = '\0';
	EXPECT_STREQ(target, r.out);
	run_free(&r);
	kipc_queue_close(a);
	kipc_queue_close(b);
}

TEST_HARNESS_MAIN
