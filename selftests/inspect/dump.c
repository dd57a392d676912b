// SPDX-License-Identifier: MIT
/* What ipc-inspect dump prints of live objects, and the images that it saves. */
#include <float.h>
#include <math.h>

#include <kipc/array.h>
#include <kipc/check.h>
#include <kipc/dict.h>
#include <kipc/list.h>
#include <kipc/lock.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "inspect.h"

static struct run dump_own(void)
{
	return inspect("dump", "-J", pid_target(getpid()));
}

static struct kipc_queue *queue_of(uint32_t capacity, uint64_t msg_size)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = msg_size);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	return q;
}

TEST(queue)
{
	struct kipc_msg msg, room;
	struct kipc_queue *q;
	char big[5000], c[5000];
	struct run r;

	skip_without_tool();
	q = queue_of(5, 5000);
	/* over the end of the ring */
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
		ASSERT_EQ(1, kipc_queue_get(q, c, sizeof(c), KIPC_NOWAIT));
	}
	memset(big, 'b', sizeof(big));
	ASSERT_EQ(0, kipc_queue_put(q, "line\n\x1b[31mred", 13, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_put(q, "", 0, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_put(q, big, sizeof(big), KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_put(q, "\xff\x01", 2, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_take(q, &msg, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_reserve(q, 5, &room, KIPC_NOWAIT));
	r = dump_own();
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	EXPECT_FALSE(strchr(r.out, '\x1b'));
	EXPECT_JSON(r.out,
		    "m = o['messages']\n"
		    "assert o['kind'] == 'queue' and len(m) == 5, m\n"
		    "assert [x['phase'] for x in m] == "
		    "['taken', 'ready', 'ready', 'ready', 'writing'], m\n"
		    "assert [x['slot'] for x in m] == [1, None, None, None, 1], m\n"
		    "assert [x['length_bytes'] for x in m] == [13, 0, 5000, 2, None], m\n"
		    "assert m[0]['text'] == 'line\\n\\x1b[31mred' and m[0]['hex'] is None, m\n"
		    "assert m[1]['text'] == '' and m[2]['text'] == 5000 * 'b', m\n"
		    "assert m[3]['text'] is None and m[3]['hex'] == 'ff01', m\n"
		    "assert 'text' not in m[4], m\n"
		    "assert [x['position'] for x in m] == [3, 4, 8, 9, 10], m\n");
	run_free(&r);
	ASSERT_EQ(0, kipc_queue_requeue(q, &msg));
	ASSERT_EQ(0, kipc_queue_abort(q, &room));
	r = inspect("dump", "--hex", "-J", pid_target(getpid()));
	EXPECT_JSON(r.out, "m = o['messages']\n"
			   "assert [x['phase'] for x in m] == "
			   "['returned', 'ready', 'ready', 'ready'], m\n"
			   "assert all(x['text'] is None for x in m), m\n"
			   "assert bytes.fromhex(m[2]['hex']) == 5000 * b'b', m\n");
	run_free(&r);

	/* as text: its lines are lines, what drives terminals is not passed on */
	r = inspect("dump", "--text", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strstr(r.out, "\n  line\n  \\x1b[31mred\n"));
	EXPECT_TRUE(strstr(r.out, "\n  \\xff\\x01\n"));
	EXPECT_FALSE(strchr(r.out, '\x1b'));
	run_free(&r);
	/* by itself it chooses */
	r = inspect("dump", pid_target(getpid()));
	EXPECT_TRUE(strstr(r.out,
			   "  00000000  6c 69 6e 65 0a 1b 5b 33  31 6d 72 65 64           |line..[31mred|\n"));
	EXPECT_TRUE(strstr(r.out, "bytes, ready\n  bbbbb"));
	run_free(&r);
	r = inspect("dump", "--hex", pid_target(getpid()));
	EXPECT_TRUE(strstr(r.out,
			   "  *\n  00001380  62 62 62 62 62 62 62 62                           |bbbbbbbb|\n"));
	run_free(&r);
	/* the bytes themselves, NULs and all */
	ASSERT_EQ(13, kipc_queue_get(q, c, sizeof(c), KIPC_NOWAIT));
	r = inspect("dump", "-r", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_EQ(5002, strlen(r.out));
	EXPECT_STREQ("b\xff\x01", r.out + 4999);
	run_free(&r);
	kipc_queue_close(q);
}

static int send_long(void *end)
{
	static char big[10000];

	memset(big, 'L', sizeof(big));
	return kipc_pipe_send(end, big, sizeof(big), KIPC_FOREVER);
}

TEST(pipe)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);
	struct kipc_pipe *ends[2];
	char buf[4096] = { 0 };
	struct run r;
	pid_t pid;

	skip_without_tool();
	ASSERT_EQ(0, kipc_pipe_create(&opts, ends));
	/* the next one goes round the end of the ring */
	ASSERT_EQ(0, kipc_pipe_send(ends[0], buf, 4080, KIPC_NOWAIT));
	ASSERT_EQ(4080, kipc_pipe_recv(ends[1], buf, sizeof(buf), KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "round the end of the ring", 25, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "", 0, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_pipe_send(ends[1], "back", 4, KIPC_NOWAIT));
	r = dump_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "a, b = o['ways']\n"
			   "assert a['way'] == '0 to 1' and b['way'] == '1 to 0'\n"
			   "assert [(x['text'], x['part']) for x in a['messages']] == "
			   "[('round the end of the ring', 'whole'), ('', 'whole')], a\n"
			   "assert [x['text'] for x in b['messages']] == ['back'], b\n");
	run_free(&r);

	/* a message longer than the ring is there in part */
	pid = ksft_fork(send_long, ends[1]);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 5000));
	r = dump_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "x, y = o['ways'][1]['messages']\n"
			   "assert y['part'] == 'beginning' and y['length_bytes'] == 10000, y\n"
			   "assert 0 < y['here_bytes'] < 4096, y\n"
			   "assert y['text'] == y['here_bytes'] * 'L', y\n");
	run_free(&r);
	ksft_kill(pid);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

static void fill(struct kipc_array *a, const void *data, size_t n)
{
	memcpy(kipc_array_data(a), data, n);
}

TEST(arrays)
{
	static const float floats[] = { 0.1f, -1, 3e20f, NAN, INFINITY, FLT_MIN };
	static const double doubles[] = { 0.1, 1e300, -0.0 };
	static const int64_t ints[] = { INT64_MIN, -1, INT64_MAX };
	static const uint16_t halves[] = { 0x3c00, 0xc000, 0x3555, 0x0001, 0x7c00 };
	static const double complexes[] = { 1.5, -2 };
	uint64_t shape[] = { 2, 3 }, three = 3, five = 5, one = 1;
	struct kipc_array *a[6];
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT32, 2, shape, NULL, &a[0]));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 1, &three, NULL, &a[1]));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT64, 1, &three, NULL, &a[2]));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT16, 1, &five, NULL, &a[3]));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_COMPLEX128, 1, &one, NULL, &a[4]));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_BOOL8, 0, NULL, NULL, &a[5]));
	fill(a[0], floats, sizeof(floats));
	fill(a[1], doubles, sizeof(doubles));
	fill(a[2], ints, sizeof(ints));
	fill(a[3], halves, sizeof(halves));
	fill(a[4], complexes, sizeof(complexes));
	r = dump_own();
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "v = [x['value'] for x in objects]\n"
			   "assert v[0] == [[0.1, -1, 3e20], ['nan', 'inf', 1.1754944e-38]], v[0]\n"
			   "assert v[1] == [0.1, 1e300, 0.0], v[1]\n"
			   "assert v[2] == [-2**63, -1, 2**63 - 1], v[2]\n"
			   "assert v[3] == [1, -2, 0.33325195, 5.9604645e-08, 'inf'], v[3]\n"
			   "assert v[4] == [[1.5, -2]] and v[5] is False, v\n"
			   "assert all(x['consistent'] for x in objects)\n"
			   "assert [x['dtype'] for x in objects] == ['float32', 'float64', "
			   "'int64', 'float16', 'complex128', 'bool']\n");
	run_free(&r);
	r = inspect("dump", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strstr(r.out, "\nfloat32[2,3]\n  [0,] 0.1 -1 3e+20\n  [1,] nan inf "
				  "1.1754944e-38\n"));
	EXPECT_TRUE(strstr(r.out, "\ncomplex128[1]\n  [] 1.5-2j\n"));
	run_free(&r);
	ASSERT_EQ(0, kipc_array_write_begin(a[0], KIPC_NOWAIT));
	r = dump_own();
	EXPECT_JSON(r.out, "assert [x['consistent'] for x in objects] == [False] + 5 * [True]");
	run_free(&r);
	for (int i = 0; i < 6; i++)
		kipc_array_close(a[i]);
}

TEST(shm)
{
	struct kipc_shm *s;
	struct run r;

	skip_without_tool();
	ASSERT_EQ(0, kipc_shm_create(NULL, 10000, NULL, &s));
	strcpy(kipc_shm_addr(s), "hello");
	r = inspect("dump", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strstr(r.out, "  00000000  68 65 6c 6c 6f 00 "));
	EXPECT_TRUE(strstr(r.out, "\n  *\n  00002700  00 00 "));
	run_free(&r);
	memset(kipc_shm_addr(s), 'y', 10000);
	r = inspect("dump", "-r", pid_target(getpid()));
	EXPECT_EQ(10000, strlen(r.out));
	run_free(&r);
	kipc_shm_close(s);
}

TEST(manager)
{
	struct kipc_manager *m;
	struct kipc_list *l;
	struct kipc_dict *d;
	struct run r;
	char key[16];

	skip_without_tool();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, "jobs", &l));
	ASSERT_EQ(0, kipc_dict_create(m, NULL, &d));
	ASSERT_EQ(0, kipc_list_append(l, kipc_none()));
	ASSERT_EQ(0, kipc_list_append(l, kipc_bool(true)));
	ASSERT_EQ(0, kipc_list_append(l, kipc_int(-5)));
	ASSERT_EQ(0, kipc_list_append(l, kipc_double(2)));
	ASSERT_EQ(0, kipc_list_append(l, kipc_str("short \"\xc3\xa9\" \x1b")));
	ASSERT_EQ(0, kipc_list_append(l, kipc_str("this one does not fit its slot")));
	ASSERT_EQ(0, kipc_list_append(l, kipc_bytes("\xff\0", 2)));
	ASSERT_EQ(0, kipc_list_append(l, kipc_ref(kipc_dict_handle(d))));
	for (int i = 0; i < 1000; i++)
		ASSERT_EQ(0, kipc_list_append(l, kipc_int(i)));
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		ASSERT_EQ(0, kipc_dict_set(d, i % 2 ? kipc_int(i) : kipc_str(key), kipc_str(key)));
	}
	ASSERT_EQ(0, kipc_dict_del(d, kipc_int(7)));
	r = dump_own();
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	EXPECT_JSON(r.out,
		    "l, d = o['objects']\n"
		    "assert l['type'] == 'list' and l['name'] == 'jobs' and l['consistent'], l\n"
		    "assert l['value'] == [None, True, -5, 2.0, 'short \"\\u00e9\" \\x1b', "
		    "'this one does not fit its slot', {'hex': 'ff00'}, {'ref': d['id']}] + "
		    "list(range(1000)), l\n"
		    "assert l['length'] == 1008 and isinstance(l['value'][3], float)\n"
		    "assert d['type'] == 'dict' and d['name'] is None and d['length'] == 299, d\n"
		    "v = dict(map(tuple, d['value']))\n"
		    "assert v == {(i if i % 2 else 'key %d' % i): 'key %d' % i "
		    "for i in range(300) if i != 7}, d\n");
	run_free(&r);
	r = inspect("dump", pid_target(getpid()));
	EXPECT_TRUE(strstr(r.out, "\nlist 1 \"jobs\"\n  [null, true, -5, 2.0, \"short "));
	EXPECT_FALSE(strchr(r.out, '\x1b'));
	run_free(&r);
	r = inspect("dump", "-r", pid_target(getpid()));
	EXPECT_EQ(4, r.code);
	run_free(&r);
	kipc_list_unref(l);
	kipc_dict_unref(d);
	kipc_manager_close(m);
}

static int change(void *arg)
{
	struct kipc_dict *d = arg;

	for (int64_t i = 0;; i++) {
		kipc_dict_set(d, kipc_int(i % 64), kipc_str("a value that takes a block"));
		kipc_dict_del(d, kipc_int((i + 32) % 64));
	}
	return 0;
}

/* What is read while it changes is never called damaged. */
TEST(in_motion)
{
	struct kipc_manager *m;
	struct kipc_dict *d;
	pid_t pid;

	skip_without_tool();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_dict_create(m, "d", &d));
	pid = ksft_fork(change, d);
	for (int i = 0; i < (ksft_slow() ? 3 : 20); i++) {
		struct run r = dump_own();

		EXPECT_EQ(0, r.code);
		EXPECT_STREQ("", r.err);
		EXPECT_JSON(r.out, "assert all(v == 'a value that takes a block' or "
				   "not o['objects'][0]['consistent'] "
				   "for k, v in o['objects'][0]['value'])");
		run_free(&r);
	}
	ksft_kill(pid);
	kipc_dict_unref(d);
	kipc_manager_close(m);
}

/* ---- images ---- */

FIXTURE(image) {
	char path[64];
};

FIXTURE_SETUP(image)
{
	skip_without_tool();
	snprintf(self->path, sizeof(self->path), "/tmp/kipc-dump-%d", getpid());
}

FIXTURE_TEARDOWN(image)
{
	unlink(self->path);
}

static void save(const char *path, struct kipc_object *obj)
{
	char target[32];
	struct run r;

	snprintf(target, sizeof(target), "%d:%d", getpid(), obj->seg.fd);
	r = inspect("dump", "--save", (char *)path, target);
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.out);
	EXPECT_STREQ("", r.err);
	run_free(&r);
}

static int take_and_die(void *q)
{
	struct kipc_msg msg;

	return kipc_queue_take(q, &msg, KIPC_NOWAIT) ? 1 : raise(SIGKILL);
}

/* It remembers who lived and who was dead, after all of them are gone. */
TEST_F(image, of_a_queue)
{
	struct kipc_queue *q = queue_of(4, 32);
	KIPC_OPTS(kipc_report, report);
	struct stat st;
	struct run r;
	pid_t pid;
	int fd;

	ASSERT_EQ(0, kipc_queue_put(q, "one", 3, KIPC_NOWAIT));
	ASSERT_EQ(0, kipc_queue_put(q, "two", 3, KIPC_NOWAIT));
	pid = ksft_fork(take_and_die, q);
	ASSERT_TRUE(WIFSIGNALED(ksft_wait(pid)));
	save(self->path, kipc_queue_object(q));
	kipc_queue_close(q);
	ASSERT_EQ(0, stat(self->path, &st));
	EXPECT_EQ(0600u, st.st_mode & 07777);

	r = inspect("list", "-J", self->path);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['state'] == ['dead owner'] and o['depth'] == 1, o\n"
			   "assert o['peers'] == 1 and o['dead_peers'] == 1, o\n"
			   "assert o['object'].startswith('/tmp/kipc-dump-'), o\n"
			   "assert o['holder_pids'] == [] and o['age_seconds'] < 1000, o\n");
	run_free(&r);
	r = inspect("show", "-J", self->path);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "a, b = o['peers']\n"
			   "assert a['state'] == 'alive' and b['state'] == 'dead', o\n"
			   "assert b['holds'] == 'reading 1' and a['pid'] is None, o\n"
			   "assert a['process'] == 'unknown' and a['age_seconds'] < 1000, o\n"
			   "assert o['image']['consistent'] and o['image']['knows_liveness'], o\n"
			   "assert set(o['header']['seals']) >= {'shrink', 'grow'}, o\n"
			   "assert o['header']['mode'] == '0600', o\n");
	run_free(&r);
	r = inspect("dump", "-J", self->path);
	EXPECT_JSON(r.out, "assert [(x['text'], x['phase']) for x in o['messages']] == "
			   "[('one', 'taken'), ('two', 'ready')], o");
	run_free(&r);
	r = inspect("check", "-J", self->path);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['summary']['verdict'] == 'needs repair', o\n"
			   "assert o['summary']['exact'] is True, o\n");
	run_free(&r);
	/* the library reads it as well */
	fd = open(self->path, O_RDONLY);
	EXPECT_EQ(0, kipc_check_fd(fd, &report));
	EXPECT_EQ(1, report.live_peers);
	EXPECT_EQ(1, report.dead_peers);
	close(fd);
}

TEST_F(image, of_every_kind)
{
	uint64_t shape[] = { 10, 20 };
	struct kipc_object *obj[4];
	struct kipc_pipe *ends[2];
	struct kipc_manager *m;
	struct kipc_array *a;
	struct kipc_list *l;
	struct kipc_shm *s;
	struct stat st;

	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	ASSERT_EQ(0, kipc_shm_create(NULL, 1 << 20, NULL, &s));
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT32, 2, shape, NULL, &a));
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, "l", &l));
	ASSERT_EQ(0, kipc_list_append(l, kipc_str("what it holds is longer than a slot")));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "x", 1, KIPC_NOWAIT));
	strcpy((char *)kipc_shm_addr(s) + (1000 << 10), "far away");
	obj[0] = kipc_pipe_object(ends[0]);
	obj[1] = kipc_shm_object(s);
	obj[2] = kipc_array_object(a);
	obj[3] = kipc_manager_object(m);
	for (int i = 0; i < 4; i++) {
		struct run live, image;
		char target[32];

		save(self->path, obj[i]);
		snprintf(target, sizeof(target), "%d:%d", getpid(), obj[i]->seg.fd);
		image = inspect("check", self->path);
		if (!EXPECT_EQ(0, image.code))
			ksft_log("%s%s", image.out, image.err);
		run_free(&image);
		/* what is in it is the same, and so is what list says but for where it was found */
		live = inspect("list", "-r", "-n", "-o", "KIND,ID,SIZE,DEPTH,PEERS,STATE", target);
		image = inspect("list", "-r", "-n", "-o", "KIND,ID,SIZE,DEPTH,PEERS,STATE",
				self->path);
		EXPECT_STREQ(live.out, image.out);
		run_free(&live);
		run_free(&image);
		live = inspect("dump", "--jsonl", target);
		image = inspect("dump", "--jsonl", self->path);
		EXPECT_STREQ(strstr(live.out, "\"kind\""), strstr(image.out, "\"kind\""));
		run_free(&live);
		run_free(&image);
		/* memory that was never touched, most of a manager, is none of the file's either */
		ASSERT_EQ(0, stat(self->path, &st));
		EXPECT_LE((uint64_t)st.st_blocks * 512, 2u << 20);
		EXPECT_EQ((uint64_t)st.st_size, obj[i]->seg.size);
	}
	kipc_list_unref(l);
	kipc_manager_close(m);
	kipc_array_close(a);
	kipc_shm_close(s);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

static void damage(const char *path, uint64_t off, uint64_t word)
{
	int fd = open(path, O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(8, pwrite(fd, &word, 8, (off_t)off));
	close(fd);
}

TEST_F(image, damaged)
{
	struct kipc_queue *q = queue_of(4, 32);
	uint64_t body = kipc_queue_object(q)->seg.body_off;
	struct run r;

	save(self->path, kipc_queue_object(q));
	kipc_queue_close(q);
	damage(self->path, body, 3);			/* tail, beyond all that was claimed */
	damage(self->path, body + 512, 7ULL << 11);	/* a phase that isn't one */
	for (int i = 0; i < 4; i++) {
		static char *const commands[] = { "list", "show", "check", "dump" };

		r = inspect(commands[i], self->path);
		if (!EXPECT_EQ(3, r.code))
			ksft_log("%s: %s%s", commands[i], r.out, r.err);
		run_free(&r);
	}
	/* cut short */
	ASSERT_EQ(0, truncate(self->path, 6000));
	r = inspect("list", "-J", self->path);
	EXPECT_EQ(3, r.code);
	EXPECT_JSON(r.out, "assert o['state'] == ['damaged'] and o['problem'], o");
	run_free(&r);
	r = inspect("check", self->path);
	EXPECT_EQ(3, r.code);
	run_free(&r);
	ASSERT_EQ(0, truncate(self->path, 100));
	r = inspect("list", self->path);
	EXPECT_EQ(1, r.code);
	run_free(&r);
}

static int churn(void *arg)
{
	char buf[32] = { 0 };

	for (;;) {
		kipc_queue_put(arg, buf, 32, KIPC_NOWAIT);
		kipc_queue_get(arg, buf, 32, KIPC_NOWAIT);
	}
	return 0;
}

/* Of what moves all the time there is no snapshot, and the image says so. */
TEST_F(image, in_motion)
{
	struct kipc_queue *q = queue_of(1000, 32);
	char target[32];
	struct run r;
	pid_t pid;

	snprintf(target, sizeof(target), "%d:%d", getpid(), kipc_queue_object(q)->seg.fd);
	pid = ksft_fork(churn, q);
	ASSERT_TRUE(ksft_wait_for(kipc_queue_object(q)->seg.hdr->peer_high == 2, 5000));
	r = inspect("dump", "--save", self->path, target);
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(!*r.err || strstr(r.err, "no snapshot"));
	ksft_kill(pid);
	kipc_queue_close(q);
	if (*r.err) {
		struct run check = inspect("check", "-J", self->path);

		EXPECT_EQ(0, check.code);
		EXPECT_JSON(check.out, "assert o['summary']['verdict'] in "
				       "('sound', 'uncertain', 'needs repair'), o");
		run_free(&check);
	}
	run_free(&r);
}

/* One object a file, and no file of half an image. */
TEST_F(image, failures)
{
	struct kipc_queue *q[2] = { queue_of(1, 8), queue_of(1, 8) };
	struct run r = inspect("dump", "--save", self->path, pid_target(getpid()));

	EXPECT_EQ(1, r.code);
	EXPECT_TRUE(strstr(r.err, "2 objects are meant"));
	run_free(&r);
	r = inspect("dump", "--save", "/no/such/folder/x", pid_target(getpid()));
	EXPECT_EQ(1, r.code);
	EXPECT_TRUE(strstr(r.err, "No such file"));
	run_free(&r);
	r = inspect("dump");
	EXPECT_EQ(2, r.code);
	run_free(&r);
	r = inspect("dump", "-r", "--hex", pid_target(getpid()));
	EXPECT_EQ(2, r.code);
	run_free(&r);
	kipc_queue_close(q[0]);
	kipc_queue_close(q[1]);
}

TEST_HARNESS_MAIN
