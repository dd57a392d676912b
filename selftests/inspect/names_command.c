// SPDX-License-Identifier: MIT
/* ipc-inspect names: what the broker keeps, whose it is, and what is said when it can't be asked. */
#include <pwd.h>

#include "inspect.h"
#include "selftests/names/users.h"

#define NOBODY 65534
#define EMPTY "{\n   \"names\": []\n}\n"

FIXTURE(names)
{
	struct names_dir dir;
};

FIXTURE_SETUP(names)
{
	skip_without_tool();
	names_begin(&self->dir);
	/* another user may come in, as with the instance of the whole system */
	ASSERT_EQ(0, chmod(self->dir.path, 0755));
}

FIXTURE_TEARDOWN(names)
{
	names_end(&self->dir);
}

static void make_queue(const char *name, mode_t mode)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 3, .msg_size = 32, .mode = mode);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(name, &opts, &q));
	kipc_queue_close(q);
}

static void make_shm(const char *name, uint32_t flags)
{
	KIPC_OPTS(kipc_shm_opts, opts, .flags = flags);
	struct kipc_shm *s;

	ASSERT_EQ(0, kipc_shm_create(name, 100, &opts, &s));
	kipc_shm_close(s);
}

static void expect_run(struct run r, int code, const char *out, const char *err)
{
	EXPECT_EQ(code, r.code);
	EXPECT_STREQ(out, r.out);
	EXPECT_STREQ(err, r.err);
	run_free(&r);
}

/* n: the rows; of: by name and kind. */
#define ROWS                                                                                       \
	"n = d['names']\n"                                                                         \
	"of = {(x['name'], x['kind']): x for x in n}\n"                                            \
	"assert len(of) == len(n), n\n"

#define expect_names(run, script) expect_json(run, ROWS script)

static void expect_json(struct run r, const char *script)
{
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	EXPECT_JSON(r.out, script);
	run_free(&r);
}

/* What is in the object's header, the broker's word is compared with. */
static void expect_same_id(const char *name)
{
	struct run names = inspect("names", "-n", "-r", "-o", "ID,SIZE", "-b", (char *)name),
		   list = inspect("list", "-n", "-r", "-o", "ID,SIZE", "-b", (char *)name);

	EXPECT_EQ(0, list.code);
	EXPECT_STREQ(list.out, names.out);
	EXPECT_LT(17, strlen(names.out));
	run_free(&names);
	run_free(&list);
}

static int exit_code(const char *name)
{
	struct run r = inspect("names", (char *)name);
	int code = r.code;

	run_free(&r);
	return code;
}

TEST_F(names, all_kinds)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .mode = 0622);
	struct kipc_pipe_listener *l;
	struct kipc_manager *m;
	struct kipc_array *a;
	char *script;

	make_queue("jobs", 0640);
	make_shm("shared", 0);
	make_shm("mine", KIPC_NAME_TIED);
	ASSERT_EQ(0, kipc_array_create("jobs", KIPC_INT8, 1, (uint64_t[]){ 5 }, NULL, &a));
	ASSERT_EQ(0, kipc_manager_create("m", NULL, &m));
	ASSERT_EQ(0, kipc_pipe_listen("door", &opts, &l));
	ASSERT_LT(0, asprintf(&script,
			      ROWS "import pwd, grp\n"
				   "uid, gid = %u, %u\n"
				   "def known(f, n):\n"
				   "    try: return f(n)[0]\n"
				   "    except KeyError: return None\n"
				   "assert set(of) == {('jobs', 'queue'), ('shared', 'shm'), "
				   "('mine', 'shm'), ('jobs', 'array'), ('m', 'manager'), "
				   "('door', 'listener')}, n\n"
				   "for x in n:\n"
				   "    assert x['owner_uid'] == uid and x['owner_gid'] == gid, x\n"
				   "    assert x['owner'] == known(pwd.getpwuid, uid), x\n"
				   "    assert x['group'] == known(grp.getgrgid, gid), x\n"
				   "    assert 0 <= x['age_seconds'] < 1000, x\n"
				   "    t = ['tied'] if x['name'] == 'mine' else ['ok']\n"
				   "    assert x['state'] == t, x\n"
				   "    if x['kind'] == 'listener':\n"
				   "        assert x['id'] is x['size_bytes'] is None, x\n"
				   "        assert x['mode'] == '0622', x\n"
				   "        continue\n"
				   "    assert len(x['id']) == 16 and int(x['id'], 16), x\n"
				   "    assert x['size_bytes'] %% 4096 == 0 < x['size_bytes'], x\n"
				   "assert of['jobs', 'queue']['mode'] == '0640', n\n"
				   "assert len({x['id'] for x in n}) == 6, n\n",
			      geteuid(), getegid()));
	expect_json(inspect("names", "-J"), script);
	free(script);
	expect_same_id("shared");
	kipc_manager_close(m);
	kipc_array_close(a);
	/* a listener's name goes with it */
	kipc_pipe_listener_close(l);
	EXPECT_TRUE(ksft_wait_for(exit_code("door") == 1, 5000));
}

TEST_F(names, those_asked_for)
{
	make_queue("jobs", 0600);
	make_shm("jobs", 0);
	make_shm("other", 0);
	expect_names(inspect("names", "-J", "jobs"),
		     "assert set(of) == {('jobs', 'queue'), ('jobs', 'shm')}, n");
	expect_names(inspect("names", "-J", "other", "jobs"), "assert len(n) == 3, n");
	/* one that isn't there: the rest is shown */
	expect_run(inspect("names", "-n", "-r", "-o", "NAME,KIND", "no", "other"), 1, "other shm\n",
		   "ipc-inspect: no name 'no'\n");
	expect_run(inspect("names", "-J", "job"), 1, EMPTY, "ipc-inspect: no name 'job'\n");
	/* not what the names of the other commands' objects are */
	expect_run(inspect("names", "pid:1"), 2, "",
		   "ipc-inspect: names: only names can be looked for\n"
		   "Try 'ipc-inspect --help'.\n");
}

TEST_F(names, forms)
{
	struct run r;

	make_queue("jobs", 0600);
	make_shm("list", 0);
	expect_run(inspect("names", "-o", "NAME,KIND,MODE,STATE"), 0,
		   "NAME KIND  MODE STATE\njobs queue 0600 ok\nlist shm   0600 ok\n", "");
	expect_run(inspect("names", "--noheadings", "--raw", "-o", "name,mode", "list"), 0,
		   "list 0600\n", "");
	expect_run(inspect("names", "--jsonl", "-o", "NAME,KIND"), 0,
		   "{\"name\": \"jobs\", \"kind\": \"queue\"}\n"
		   "{\"name\": \"list\", \"kind\": \"shm\"}\n",
		   "");
	r = inspect("names", "-n", "-o", "+GID", "-b", "jobs");
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strstr(r.out, " 0600 ok ") && !strchr(r.out, '\033'));
	run_free(&r);
	r = inspect("names", "-H");
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strstr(r.out, "owner_uid") != NULL);
	run_free(&r);
}

/* More than one reply of the broker holds. */
TEST_F(names, many)
{
	char name[16];

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		make_shm(name, 0);
	}
	expect_names(inspect("names", "-J"),
		     "assert {x['name'] for x in n} == {f'many{i}' for i in range(50)}, n");
}

/* What list doesn't show, and where it points to. */
TEST_F(names, no_access)
{
	struct run r;

	if (geteuid())
		SKIP("only root can be two users");
	make_queue("secret", 0600);
	make_queue("open", 0604);
	expect_names(inspect_as(NOBODY, "names", "-J"),
		     "x = of['secret', 'queue']\n"
		     "assert x['state'] == ['no access'] and x['owner'] == 'root', x\n"
		     "assert x['owner_uid'] == 0 and x['mode'] == '0600' and x['size_bytes'], x\n"
		     "assert of['open', 'queue']['state'] == ['ok'], n\n");
	r = inspect_as(NOBODY, "list", "-n");
	EXPECT_TRUE(strstr(r.err, "1 name not readable: see `ipc-inspect names'\n") != NULL);
	run_free(&r);
}

/* A user without a name: its number in the table, as ls does it. */
TEST_F(names, of_another_user)
{
	mode_t mode = 0600;

	if (geteuid())
		SKIP("only root can be two users");
	if (getpwuid(ALICE))
		SKIP("the number of alice, %u, has a name here", ALICE);
	make_shm("roots", 0);
	run_as(&alice, create_thing, &mode);
	expect_names(inspect("names", "-J", "thing"),
		     "x, = n\n"
		     "assert x['owner_uid'] == x['owner_gid'] == 4001, x\n"
		     "assert x['owner'] is x['group'] is None and x['state'] == ['ok'], x\n");
	expect_run(inspect("names", "-n", "-r", "-o", "OWNER,UID,GROUP,GID", "thing"), 0,
		   "4001 4001 4001 4001\n", "");
}

/* Of the broker before this one, and nobody is left whom the broker could have it from. */
TEST_F(names, lost)
{
	struct kipc_object *obj = NULL;
	struct run r;
	pid_t pid;

	go_to_the_tool();
	pid = names_hidden_holder(&self->dir, &shm_kind);
	/* no broker: none is started, so there is nobody who knows the name */
	expect_run(inspect("names"), 0, "", "");
	EXPECT_EQ(0, names_broker(&self->dir));
	EXPECT_EQ(-EAGAIN, shm_kind.open("thing", 0, &obj));
	expect_names(inspect("names", "-J"),
		     "x, = n\n"
		     "assert x['name'] == 'thing' and x['kind'] == 'shm', x\n"
		     "assert x['state'] == ['lost'] and x['size_bytes'] is None, x\n"
		     "assert x['owner_uid'] == __import__('os').geteuid(), x\n"
		     "assert x['mode'] == '0600' and int(x['id'], 16), x\n");
	r = inspect("names", "-n", "-o", "STATE", "--color=always");
	EXPECT_STREQ("\033[33mlost\033[0m\n", r.out);
	run_free(&r);
	r = inspect("list", "thing");
	EXPECT_EQ(1, r.code);
	EXPECT_STREQ("ipc-inspect: no object named 'thing'\n"
		     "1 name not readable: see `ipc-inspect names'\n",
		     r.err);
	run_free(&r);
	EXPECT_EQ(0, kill(pid, SIGUSR1));
	ASSERT_TRUE(ksft_wait_for(!shm_kind.open("thing", 0, &obj), 10000));
	expect_names(inspect("names", "-J"), "assert n[0]['state'] == ['ok'], n");
	kipc_object_close(obj);
	ksft_join(pid);
}

struct door {
	uint32_t ready, stop;
};

static int hold_door(void *arg)
{
	struct door *d = arg;
	struct kipc_pipe_listener *l;

	if (kipc_pipe_listen("door", NULL, &l))
		return 1;
	__atomic_store_n(&d->ready, 1, __ATOMIC_RELEASE);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE), 20000));
	kipc_pipe_listener_close(l);
	return 0;
}

/* One who doesn't look after its listener has not noticed that there is another broker. */
TEST_F(names, lost_listener)
{
	struct door *d = ksft_shared(sizeof(*d));
	pid_t pid = ksft_fork(hold_door, d);

	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&d->ready, __ATOMIC_ACQUIRE), 10000));
	names_kill(&self->dir);
	make_shm("new", 0);
	expect_names(inspect("names", "-J"),
		     "assert of['door', 'listener']['state'] == ['lost'], n\n"
		     "assert of['new', 'shm']['state'] == ['ok'], n\n");
	__atomic_store_n(&d->stop, 1, __ATOMIC_RELEASE);
	ksft_join(pid);
}

TEST_F(names, no_broker)
{
	expect_run(inspect("names"), 0, "", "");
	expect_run(inspect("names", "-J"), 0, EMPTY, "");
	expect_run(inspect("names", "--jsonl"), 0, "", "");
	expect_run(inspect("names", "jobs"), 1, "", "ipc-inspect: no name 'jobs'\n");
	/* one that ended leaves its socket there */
	make_shm("jobs", 0);
	names_kill(&self->dir);
	expect_run(inspect("names"), 0, "", "");
	EXPECT_EQ(0, names_broker(&self->dir));
	setenv("KIPC_RUNTIME_DIR", "/tmp/kipc-no-such-folder", 1);
	expect_run(inspect("names"), 0, "", "");
	EXPECT_NE(0, access("/tmp/kipc-no-such-folder", F_OK));
}

TEST_F(names, folder_that_is_not_to_be_trusted)
{
	static const char said[] = "ipc-inspect: the broker of names: Operation not permitted\n";

	make_shm("jobs", 0);
	ASSERT_EQ(0, chmod(self->dir.path, 0777));
	expect_run(inspect("names", "-J"), 4, EMPTY, said);
	/* whether there is such a name can't be said */
	expect_run(inspect("names", "jobs"), 4, "", said);
	ASSERT_EQ(0, chmod(self->dir.path, 0700));
	expect_run(inspect("names", "-n", "-o", "NAME"), 0, "jobs\n", "");
	setenv("KIPC_RUNTIME_DIR", "run", 1);
	expect_run(inspect("names"), 1, "", "ipc-inspect: the broker of names: Invalid argument\n");
}

TEST_F(names, broker_that_is_stopped)
{
	pid_t broker;

	make_shm("jobs", 0);
	broker = names_broker(&self->dir);
	ASSERT_EQ(0, kill(broker, SIGSTOP));
	expect_run(inspect("names", "-J"), 1, EMPTY,
		   "ipc-inspect: the broker of names: Connection timed out\n");
	ASSERT_EQ(0, kill(broker, SIGCONT));
	expect_run(inspect("names", "-n", "-o", "NAME"), 0, "jobs\n", "");
}

/* One answer, whatever is asked. */
static int answer(void *arg)
{
	struct kipc_broker_list reply = {
		.head = { KIPC_BROKER_MAGIC, KIPC_BROKER_VERSION, .op = KIPC_BROKER_LIST,
			  .count = 2, .broker = 1 },
		.entry = { { .kind = 77,
			     .flags = ~0u,
			     .mode = ~0u,
			     .size = ~0ULL,
			     .created_ns = ~0ULL,
			     .name = "\033[31m\n" },
			   { .kind = KIPC_SEG_PIPE, .id = 4711 } },
	};
	struct kipc_broker_request req;
	int sock = accept(*(int *)arg, NULL, NULL);

	/* not even an end */
	memset(reply.entry[1].name, 'x', sizeof(reply.entry[1].name));
	ASSERT_EQ((ssize_t)sizeof(req), recv(sock, &req, sizeof(req), 0));
	ASSERT_EQ((ssize_t)sizeof(reply), send(sock, &reply, sizeof(reply), 0));
	return 0;
}

TEST_F(names, broker_that_is_none)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t pid;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.40s/broker", self->dir.path);
	ASSERT_EQ(0, bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	ASSERT_EQ(0, listen(sock, 5));
	pid = ksft_fork(answer, &sock);
	expect_names(inspect("names", "-J"),
		     "assert n[0]['name'] == '\\\\x1b[31m\\\\x0a', n\n"
		     "assert n[0]['kind'] == 'unknown', n\n"
		     "assert n[0]['state'] == ['lost', 'tied'], n\n"
		     "assert n[0]['age_seconds'] is None, n\n"
		     "assert n[1]['name'] == 'x' * 63 and n[1]['id'] is None, n\n");
	ksft_join(pid);
	pid = ksft_fork(answer, &sock);
	expect_run(inspect("names", "-n", "-o", "KIND,NAME"), 0,
		   "unknown  \\x1b[31m\\x0a\n"
		   "listener xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
		   "");
	ksft_join(pid);
	close(sock);
}

TEST_HARNESS_MAIN
