// SPDX-License-Identifier: MIT
/* What ipc-inspect finds by way of the broker of names, and that it starts none. */
#include <signal.h>

#include "core/object.h"
#include "inspect.h"
#include "selftests/names/users.h"

#define NOBODY 65534

/* Of the queue: other runs on this machine have others. */
static char name[32];

FIXTURE(names)
{
	struct names_dir dir;
	struct kipc_queue *q;
};

FIXTURE_SETUP(names)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 3, .msg_size = 32, .mode = 0666);

	skip_without_tool();
	names_begin(&self->dir);
	/* another user may come in, as with the instance of the whole system */
	ASSERT_EQ(0, chmod(self->dir.path, 0755));
	snprintf(name, sizeof(name), "inspected-%d", getpid());
	ASSERT_EQ(0, kipc_queue_create(name, &opts, &self->q));
	ASSERT_EQ(0, kipc_queue_put(self->q, "x", 1, KIPC_NOWAIT));
}

FIXTURE_TEARDOWN(names)
{
	kipc_queue_close(self->q);
	names_end(&self->dir);
}

/* Only the broker has it. */
static void leave(struct kipc_queue **q)
{
	kipc_queue_close(*q);
	*q = NULL;
}

static void expect_list(const char *script)
{
	struct run r = inspect("list", "-J", name);

	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	EXPECT_JSON(r.out, script);
	run_free(&r);
}

TEST_F(names, by_name)
{
	char *script;
	struct run r;

	ASSERT_LT(0, asprintf(&script,
			      "assert len(objects) == 1 and o['kind'] == 'queue'\n"
			      "assert o['name'] == '%s' and o['state'] == ['ok']\n"
			      "assert o['depth'] == 1 and o['capacity'] == 3\n"
			      "assert o['peers'] == 1 and set(o['holder_pids']) == {%d, %d}\n",
			      name, getpid(), names_broker(&self->dir)));
	expect_list(script);
	free(script);
	r = inspect("show", "-J", name);
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strstr(r.out, name) != NULL);
	run_free(&r);
	r = inspect("list", "inspect");
	EXPECT_EQ(1, r.code);
	EXPECT_STREQ("ipc-inspect: no object named 'inspect'\n", r.err);
	run_free(&r);
}

/* The broker closes in a thread: so it's not at once that ipc-inspect ends and says so. */
static bool says(int code, const char *words, char *command, char *object)
{
	struct run r = inspect(command, object);
	bool yes = r.code == code && (strstr(r.out, words) || strstr(r.err, words));

	run_free(&r);
	return yes;
}

/* What nobody has open lives by its name, and ends with it. */
TEST_F(names, nobody_has_it)
{
	struct run r;

	leave(&self->q);
	expect_list("assert o['peers'] == 0 and o['depth'] == 1 and o['state'] == ['ok']");
	r = inspect("gc", "-J", name);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert objects == []");
	run_free(&r);
	ASSERT_EQ(0, kipc_queue_unlink(name));
	EXPECT_TRUE(ksft_wait_for(says(1, "no object named", "list", name), 5000));
}

struct leftover {
	struct kipc_queue *q;
	int ready;
};

static int hold_descriptor(void *arg)
{
	struct leftover *l = arg;

	dup(l->ready);
	kipc_queue_close(l->q);
	__atomic_store_n(&l->ready, -1, __ATOMIC_RELEASE);
	pause();
	return 0;
}

/* The name in the header says nothing, once it was taken away. */
TEST_F(names, orphan_that_had_a_name)
{
	struct leftover *l = ksft_shared(sizeof(*l));
	pid_t pid;

	*l = (struct leftover){ self->q, kipc_queue_object(self->q)->seg.fd };
	pid = ksft_fork(hold_descriptor, l);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&l->ready, __ATOMIC_ACQUIRE) < 0, 5000));
	leave(&self->q);
	expect_list("assert o['peers'] == 0 and o['state'] == ['ok']");
	ASSERT_EQ(0, kipc_queue_unlink(name));
	EXPECT_TRUE(ksft_wait_for(says(0, " orphan ", "gc", pid_target(pid)), 5000));
	ksft_kill(pid);
}

/* A user who may look into no process, but open the name. */
TEST_F(names, through_the_broker_alone)
{
	struct kipc_shm *s;
	struct run r;

	if (geteuid())
		SKIP("only root can be two users");
	r = inspect_as(NOBODY, "list", "-J", name);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert len(objects) == 1 and o['object'] == o['name'], o\n"
			   "assert o['depth'] == 1 and o['peers'] == 1, o\n"
			   "assert o['state'] == ['ok'] and o['holder_pids'] == [], o\n");
	run_free(&r);
	r = inspect_as(NOBODY, "dump", name);
	EXPECT_EQ(0, r.code);
	EXPECT_TRUE(strchr(r.out, 'x') != NULL);
	run_free(&r);
	r = inspect_as(NOBODY, "check", name);
	EXPECT_EQ(0, r.code);
	run_free(&r);
	/* one that may not be opened is counted */
	ASSERT_EQ(0, kipc_shm_create("secret", 100, NULL, &s));
	r = inspect_as(NOBODY, "list", "secret");
	EXPECT_EQ(1, r.code);
	EXPECT_TRUE(strstr(r.err, "no object named 'secret'\n"
				  "1 name not readable: see `ipc-inspect names'\n") != NULL);
	run_free(&r);
	kipc_shm_close(s);
}

static int die_with_a_message(void *q)
{
	struct kipc_msg msg;

	return kipc_queue_take(q, &msg, KIPC_NOWAIT) ? 1 : raise(SIGKILL);
}

/* Whose last user died, and whose doorbells are nowhere but with the broker. */
TEST_F(names, repaired)
{
	struct run r;
	char c;

	ASSERT_TRUE(WIFSIGNALED(ksft_wait(ksft_fork(die_with_a_message, self->q))));
	leave(&self->q);
	expect_list("assert o['state'] == ['dead owner'] and o['peers'] == 0, o");
	r = inspect("gc", "--force", "-J", name);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['result'] == 'repaired', o");
	run_free(&r);
	expect_list("assert o['state'] == ['ok'] and o['depth'] == 1, o");
	ASSERT_EQ(0, kipc_queue_open(name, NULL, &self->q));
	EXPECT_EQ(1, kipc_queue_get(self->q, &c, 1, KIPC_NOWAIT));
}

/* The rest is shown, and what is missing said. */
TEST_F(names, broker_that_is_stopped)
{
	pid_t broker = names_broker(&self->dir);
	struct run r;

	ASSERT_EQ(0, kill(broker, SIGSTOP));
	r = inspect("list", "-n");
	EXPECT_TRUE(r.code == 0 || r.code == 3);	/* others on this machine may have damage */
	EXPECT_TRUE(strstr(r.out, name) != NULL);
	EXPECT_TRUE(strstr(r.err, "the broker of names: Connection timed out\n") != NULL);
	run_free(&r);
	ASSERT_EQ(0, kill(broker, SIGCONT));
}

TEST_F(names, none_is_started)
{
	struct run r;

	names_kill(&self->dir);
	r = inspect("list", "-J", name);
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.err);
	run_free(&r);
	EXPECT_EQ(0, names_broker(&self->dir));
	/* nor in a folder that others may write to asked */
	ASSERT_EQ(0, kipc_queue_unlink(name));
	ASSERT_EQ(0, chmod(self->dir.path, 0777));
	r = inspect("list", "-n");
	EXPECT_TRUE(r.code == 0 || r.code == 3);	/* others on this machine may have damage */
	EXPECT_TRUE(strstr(r.err, "the broker of names: Operation not permitted\n") != NULL);
	run_free(&r);
	ASSERT_EQ(0, chmod(self->dir.path, 0700));
}

static void expect_run(struct run r, int code, const char *out, const char *err)
{
	EXPECT_EQ(code, r.code);
	EXPECT_STREQ(out, r.out);
	EXPECT_STREQ(err, r.err);
	run_free(&r);
}

/* Root's folder looks like nobody's in there; arg: that one is in a folder of root's. */
static int look_from_namespace(void *arg)
{
	char outer[80], line[128];

	go_to_the_tool();
	become(&bob);
	enter_namespace();
	snprintf(line, sizeof(line), "%s\n", name);
	expect_run(inspect("list", "-n", "-r", "-o", "NAME", name), 0, line, "");
	/* anybody could have put this one where it is */
	snprintf(outer, sizeof(outer), "%.*s", (int)(strrchr(arg, '/') - (char *)arg), (char *)arg);
	setenv("KIPC_RUNTIME_DIR", outer, 1);
	snprintf(line, sizeof(line), "ipc-inspect: no object named '%s'\n", name);
	expect_run(inspect("list", name), 1, "",
		   strcat(line, "the broker of names: Operation not permitted\n"));
	return 0;
}

TEST_F(names, from_a_user_namespace)
{
	KIPC_OPTS(kipc_queue_opts, opts, .mode = 0666);
	struct names_dir outer = self->dir;

	if (geteuid())
		SKIP("only root can be two users");
	if (!namespaces_allowed())
		SKIP("user namespaces are not allowed here");
	leave(&self->q);
	names_kill(&self->dir);
	strcat(self->dir.path, "/run");
	ASSERT_EQ(0, mkdir(self->dir.path, 0755));
	setenv("KIPC_RUNTIME_DIR", self->dir.path, 1);
	ASSERT_EQ(0, kipc_queue_create(name, &opts, &self->q));
	leave(&self->q);
	ksft_join(ksft_fork(look_from_namespace, self->dir.path));
	names_end(&self->dir);
	self->dir = outer;
}

TEST_HARNESS_MAIN
