// SPDX-License-Identifier: MIT
/*
 * Over exec: every kind reaches a program started in any way, by the environment and by a string;
 * who holds what meanwhile; and what deaths on either side leave.
 *
 * The program that is started is this one, as --worker MODE ARGUMENTS.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kinds.h"
#include "sockets.h"

/* ---- the worker; its exit code says what was wrong ---- */

/* Descriptors like an object's that a program started from here would inherit. */
static int count_inheritable(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	char link[64];
	int n = 0;

	while (d && (e = readdir(d))) {
		ssize_t len = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		link[len > 0 ? len : 0] = '\0';
		n += fcntl(atoi(e->d_name), F_GETFD) == 0 &&
		     (strstr(link, "memfd:kipc") || strstr(link, "[eventfd]") ||
		      strstr(link, "socket:"));
	}
	if (d)
		closedir(d);
	return n;
}

static int find_key(const char *key, const char *kind)
{
	const struct kind *k = &kinds[atoi(kind)];
	int before = count_inheritable(), r;
	struct kipc_object *obj, *again;

	r = kipc_import_env(key, &obj);
	if (r)
		return 100 - r % 100;
	if (kipc_object_kind(obj) != (int)k->kind)
		return 50;
	if (kipc_import_env(key, &again) != -ENOENT)
		return 51;
	if (count_inheritable() >= before)
		return 52;
	r = k->find(obj);
	kipc_object_close(obj);
	return r;
}

/* The only key there is: nothing is left then. */
static int worker_find(const char *key, const char *kind)
{
	int r = find_key(key, kind);

	if (r)
		return r;
	return getenv("KIPC_FDS") || count_inheritable() ? 53 : 0;
}

/* Says so, and goes on for ever. */
static int say_and_wait(const char *fd)
{
	if (write(atoi(fd), "y", 1) != 1)
		return 60;
	for (;;)
		pause();
}

static int worker_hold(const char *key, const char *fd)
{
	struct kipc_object *obj;

	return kipc_import_env(key, &obj) ? 61 : say_and_wait(fd);
}

/* Finds it once it is told to, and writes the result: nobody waits for this process. */
static int worker_find_later(const char *key, const char *kind, const char *go, const char *report)
{
	char c;

	if (write(atoi(report), "y", 1) != 1 || read(atoi(go), &c, 1) != 1)
		return 62;
	c = (char)find_key(key, kind);
	return write(atoi(report), &c, 1) == 1 ? 0 : 63;
}

/* Receives until the other end is gone. */
static int worker_until_hangup(const char *key, const char *report)
{
	struct kipc_object *obj;
	char c;
	int r;

	if (kipc_import_env(key, &obj) || write(atoi(report), "y", 1) != 1)
		return 64;
	r = (int)kipc_pipe_recv(kipc_object_pipe(obj), &c, 1, KIPC_FOREVER);
	c = r == -EPIPE ? 'p' : 'e';
	kipc_object_close(obj);
	return write(atoi(report), &c, 1) == 1 ? 0 : 65;
}

/* Imports, and starts a program that must find nothing. */
static int worker_then_exec(char **argv, const char *key)
{
	char *const next[] = { argv[0], "--worker", "nothing", argv[3], NULL };
	struct kipc_object *obj;

	if (kipc_import_env(key, &obj))
		return 66;
	execv(argv[0], next);
	return 67;
}

static int worker_nothing(const char *key)
{
	struct kipc_object *obj;

	if (getenv("KIPC_FDS"))
		return 68;
	if (kipc_import_env(key, &obj) != -ENOENT)
		return 69;
	return count_inheritable() ? 70 : 0;
}

#define NOT_SECURE 71

static int worker_secure(const char *key)
{
	struct kipc_object *obj;
	struct kipc_shm *s;

	if (!getauxval(AT_SECURE))
		return NOT_SECURE;
	if (!getenv("KIPC_FDS"))
		return 72;
	if (kipc_import_env(key, &obj) != -ENOENT)
		return 73;
	if (kipc_shm_create(NULL, 1, NULL, &s))
		return 74;
	if (kipc_export_env(kipc_shm_object(s), "mine") != -EPERM)
		return 75;
	kipc_shm_close(s);
	return 0;
}

static int worker(int argc, char **argv)
{
	const char *mode = argv[2];

	if (argc == 5 && !strcmp(mode, "find"))
		return worker_find(argv[3], argv[4]);
	if (argc == 5 && !strcmp(mode, "find-one"))
		return find_key(argv[3], argv[4]);
	if (argc == 5 && !strcmp(mode, "stop-and-find")) {
		raise(SIGSTOP);
		return worker_find(argv[3], argv[4]);
	}
	if (argc == 7 && !strcmp(mode, "find-later"))
		return worker_find_later(argv[3], argv[4], argv[5], argv[6]);
	if (argc == 5 && !strcmp(mode, "hold"))
		return worker_hold(argv[3], argv[4]);
	if (argc == 4 && !strcmp(mode, "idle"))
		return say_and_wait(argv[3]);
	if (argc == 5 && !strcmp(mode, "until-hangup"))
		return worker_until_hangup(argv[3], argv[4]);
	if (argc == 4 && !strcmp(mode, "then-exec"))
		return worker_then_exec(argv, argv[3]);
	if (argc == 4 && !strcmp(mode, "nothing"))
		return worker_nothing(argv[3]);
	if (argc == 4 && !strcmp(mode, "secure"))
		return worker_secure(argv[3]);
	return 99;
}

/* ---- starting it ---- */

/* Not /proc/self/exe: under valgrind that is valgrind. */
static char *own_path(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n > 0)
		path[n] = '\0';
	return path;
}

static const char *program;	/* own_path(), unless a test says otherwise */

#define ARGV(...) ((char *[]){ own_path(), "--worker", __VA_ARGS__, NULL })

static pid_t run_forked(char **argv, char **envp, const int *fds, int n)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < n; i++)
			fcntl(fds[i], F_SETFD, 0);
		execve(program ? program : own_path(), argv, envp);
		_exit(98);
	}
	ASSERT_GT(pid, 0);
	return pid;
}

static pid_t run_spawned(char **argv, char **envp, const int *fds, int n)
{
	posix_spawn_file_actions_t fa;
	pid_t pid = -1;

	posix_spawn_file_actions_init(&fa);
	for (int i = 0; i < n; i++)
		posix_spawn_file_actions_adddup2(&fa, fds[i], fds[i]);
	ASSERT_EQ(0, posix_spawn(&pid, program ? program : own_path(), &fa, NULL, argv, envp));
	posix_spawn_file_actions_destroy(&fa);
	return pid;
}

struct how {
	pid_t (*run)(char **argv, char **envp, const int *fds, int n);
	bool string;
};

/* Hands the object to a worker, and keeps nothing of the hand-over. */
static pid_t start(const struct how *how, struct kipc_object *obj, const char *key, char **argv)
{
	char env[KIPC_EXPORT_STRING] = "";
	int fds[KIPC_EXPORT_FDS], n;
	pid_t pid;

	ksft_needs_processes();
	fflush(NULL);
	if (!how->string) {
		ASSERT_EQ(0, kipc_export_env(obj, key));
		pid = how->run(argv, environ, NULL, 0);
		ASSERT_EQ(0, kipc_unexport_env(key));
		return pid;
	}
	n = kipc_export_string(obj, key, env, sizeof(env), fds, KIPC_EXPORT_FDS);
	ASSERT_GT(n, 0);
	pid = how->run(argv, (char *[]){ env, NULL }, fds, n);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	return pid;
}

static const struct how simple = { run_spawned, false };
static const struct how for_one = { run_spawned, true };

/* A pipe that workers inherit, and the text of its numbers. */
struct report {
	int fds[2];
	char text[2][12];
};

static void make_report(struct report *r)
{
	ASSERT_EQ(0, pipe(r->fds));
	for (int i = 0; i < 2; i++)
		snprintf(r->text[i], sizeof(r->text[i]), "%d", r->fds[i]);
}

/* What one of those wrote that were started until now; they alone have the other side from here on. */
static char read_report(struct report *r)
{
	char c = 0;

	if (r->fds[1] >= 0)
		close(r->fds[1]);
	r->fds[1] = -1;
	ASSERT_EQ(1, read(r->fds[0], &c, 1));
	return c;
}

/* ---- every kind, every way ---- */

FIXTURE(started) {
	struct kipc_object *obj;
	char kind[4];
	int fds_before;
};

FIXTURE_VARIANT(started) {
	struct how how;
	int kind;
};

#define WAYS(name, index)                                                                          \
	FIXTURE_VARIANT_ADD(started, name##_fork_env) { { run_forked, false }, index };            \
	FIXTURE_VARIANT_ADD(started, name##_spawn_env) { { run_spawned, false }, index };          \
	FIXTURE_VARIANT_ADD(started, name##_fork_string) { { run_forked, true }, index };          \
	FIXTURE_VARIANT_ADD(started, name##_spawn_string) { { run_spawned, true }, index }

WAYS(queue, 0);
WAYS(pipe, 1);
WAYS(shm, 2);
WAYS(array, 3);
WAYS(manager, 4);

FIXTURE_SETUP(started)
{
	ksft_needs_processes();
	snprintf(self->kind, sizeof(self->kind), "%d", variant->kind);
	self->fds_before = count_fds();
	self->obj = kinds[variant->kind].create();
	EXPECT_EQ(0, kinds[variant->kind].mark(self->obj));
}

FIXTURE_TEARDOWN(started)
{
	drop(self->obj);
	EXPECT_EQ(self->fds_before, count_fds());
	EXPECT_EQ(NULL, getenv("KIPC_FDS"));
}

TEST_F(started, finds_it)
{
	ksft_join(start(&variant->how, self->obj, "key", ARGV("find", "key", self->kind)));
}

/* Handle and exports are closed before the program has even looked. */
TEST_F(started, parent_closes_first)
{
	pid_t pid;
	int status;

	pid = start(&variant->how, self->obj, "key", ARGV("stop-and-find", "key", self->kind));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	if (variant->kind != 1) {	/* the other end is what marked it, and stays */
		kipc_object_close(self->obj);
		self->obj = NULL;
	}
	kill(pid, SIGCONT);
	ksft_join(pid);
}

TEST_F(started, killed_before_it_imports)
{
	pid_t pid;
	int status;

	pid = start(&variant->how, self->obj, "key", ARGV("stop-and-find", "key", self->kind));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ksft_kill(pid);
	EXPECT_EQ(0, kinds[variant->kind].find(self->obj));
}

TEST_F(started, killed_after_it_imported)
{
	struct report r;
	pid_t pid;

	make_report(&r);
	pid = start(&variant->how, self->obj, "key", ARGV("hold", "key", r.text[1]));
	EXPECT_EQ('y', read_report(&r));
	ksft_kill(pid);
	EXPECT_EQ(0, kinds[variant->kind].find(self->obj));
	close(r.fds[0]);
}

TEST_F(started, a_program_further_on_finds_nothing)
{
	ksft_join(start(&variant->how, self->obj, "key", ARGV("then-exec", "key")));
}

/* The parent is killed before the program has looked. */
struct parent {
	struct report ready, go;
	const struct how *how;
	int kind;
	char *kind_text;
};

static int parent(void *arg)
{
	struct parent *p = arg;
	struct kipc_object *obj = kinds[p->kind].create();

	if (kinds[p->kind].mark(obj))
		return 1;
	start(p->how, obj, "key",
	      ARGV("find-later", "key", p->kind_text, p->go.text[0], p->ready.text[1]));
	for (;;)
		pause();
}

TEST_F(started, parent_killed)
{
	struct parent p = { .how = &variant->how, .kind = variant->kind, .kind_text = self->kind };
	pid_t pid;

	make_report(&p.ready);
	make_report(&p.go);
	pid = ksft_fork(parent, &p);
	EXPECT_EQ('y', read_report(&p.ready));
	ksft_kill(pid);
	ASSERT_EQ(1, write(p.go.fds[1], "g", 1));
	EXPECT_EQ(0, read_report(&p.ready));
	close(p.ready.fds[0]);
	close(p.go.fds[0]);
	close(p.go.fds[1]);
}

/* ---- several objects, programs in between ---- */

TEST(several_keys)
{
	struct kipc_object *obj[NKINDS];
	struct kipc_pipe *other;
	char key[NKINDS][8], kind[4];
	char *argv[] = { own_path(), "--worker", "find-one", NULL, kind, NULL };

	ksft_needs_processes();
	for (int i = 0; i < NKINDS; i++) {
		obj[i] = kinds[i].create();
		ASSERT_EQ(0, kinds[i].mark(obj[i]));
		snprintf(key[i], sizeof(key[i]), "key-%d", i);
		ASSERT_EQ(0, kipc_export_env(obj[i], key[i]));
	}
	other = other_end;
	/* each program takes the one it wants, the others stay as they are */
	for (int i = 0; i < NKINDS; i++) {
		argv[3] = key[i];
		snprintf(kind, sizeof(kind), "%d", i);
		ksft_join(run_spawned(argv, environ, NULL, 0));
	}
	for (int i = 0; i < NKINDS; i++) {
		ASSERT_EQ(0, kipc_unexport_env(key[i]));
		kipc_object_close(obj[i]);
	}
	kipc_pipe_close(other);
	EXPECT_EQ(NULL, getenv("KIPC_FDS"));
}

/* Programs that know nothing of it pass it on: a shell, and env(1), which that starts. */
TEST(through_other_programs)
{
	struct kipc_object *obj;
	char *argv[] = { "sh", "-c", "exec 3>&1 9>&1; env \"$0\" --worker find-one key 2",
			 own_path(), NULL };

	if (ksft_slow())
		SKIP("the shell would be watched, too");
	obj = create_shm();
	EXPECT_EQ(0, mark_shm(obj));
	program = "/bin/sh";
	ksft_join(start(&simple, obj, "key", argv));
	kipc_object_close(obj);
}

/* One that closes what it doesn't know: said so, and nothing else is taken for it. */
TEST(somebody_closed_them)
{
	struct kipc_object *obj = create_shm();
	int status;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_export_env(obj, "key"));
	pid_t pid = fork();
	if (pid == 0) {
		closefrom(3);
		execv(own_path(), ARGV("find", "key", "2"));
		_exit(98);
	}
	status = ksft_wait(pid);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(100 + EBADF, WEXITSTATUS(status));
	EXPECT_EQ(0, kipc_unexport_env("key"));
	kipc_object_close(obj);
}

/* Without an exec a fork child has exports of its own, to be taken back or to be imported. */
static int takes_back(void *arg)
{
	int before = count_fds();

	(void)arg;
	EXPECT_EQ(0, kipc_unexport_env("key"));
	EXPECT_EQ(before - 1, count_fds());
	EXPECT_EQ(-ENOENT, kipc_unexport_env("key"));
	return 0;
}

static int imports(void *arg)
{
	struct kipc_object *got;

	(void)arg;
	EXPECT_EQ(0, kipc_import_env("key", &got));
	EXPECT_EQ(-ENOENT, kipc_unexport_env("key"));
	EXPECT_EQ(0, find_shm(got));
	kipc_object_close(got);
	return 0;
}

TEST(fork_children)
{
	struct kipc_object *obj = create_shm();

	EXPECT_EQ(0, mark_shm(obj));
	ASSERT_EQ(0, kipc_export_env(obj, "key"));
	ksft_join(ksft_fork(takes_back, NULL));
	ksft_join(ksft_fork(imports, NULL));
	EXPECT_EQ(0, kipc_unexport_env("key"));
	kipc_object_close(obj);
}

/* A set-user-ID program takes nothing from its environment, and leaves nothing there. */
TEST(set_user_id)
{
	static char copy[4200];
	char *argv[] = { "sh", "-c", "cp \"$0\" \"$1\" && chown 65534 \"$1\" && chmod 4755 \"$1\"",
			 own_path(), copy, NULL };
	struct kipc_object *obj;
	int status;

	ksft_needs_processes();
	if (ksft_slow())
		SKIP("sanitizers and valgrind don't go with set-user-ID");
	if (geteuid())
		SKIP("only root can make a program of another user");
	snprintf(copy, sizeof(copy), "%s-set-user-id", own_path());
	program = "/bin/sh";
	ksft_join(run_spawned(argv, environ, NULL, 0));
	program = copy;
	obj = create_shm();
	status = ksft_wait(start(&simple, obj, "key", ARGV("secure", "key")));
	unlink(copy);
	ASSERT_TRUE(WIFEXITED(status));
	kipc_object_close(obj);
	if (WEXITSTATUS(status) == NOT_SECURE)
		SKIP("the build is on a file system without set-user-ID");
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* ---- when a pipe hangs up ---- */

FIXTURE(hangup) {
	struct kipc_pipe *ends[2];
	struct report r;
};

FIXTURE_SETUP(hangup)
{
	ksft_needs_processes();
	ASSERT_EQ(0, kipc_pipe_create(NULL, self->ends));
	make_report(&self->r);
}

FIXTURE_TEARDOWN(hangup)
{
	kipc_pipe_close(self->ends[0]);
	kipc_pipe_close(self->ends[1]);
}

static bool still_there(struct kipc_pipe *p)
{
	char c;

	return EXPECT_EQ(-EAGAIN, kipc_pipe_recv(p, &c, 1, KIPC_NOWAIT));
}

static int until_hangup(void *arg)
{
	char c;

	return kipc_pipe_recv(arg, &c, 1, KIPC_FOREVER) == -EPIPE ? 0 : 1;
}

static void start_reader(struct ksft_thread *t, struct kipc_pipe *p)
{
	ksft_thread_start(t, until_hangup, p);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(t->tid), 5000));
}

/* Exports an end, starts a program, closes handle and exports: that program's death is the end. */
TEST_F(hangup, when_the_program_dies)
{
	struct ksft_thread t;
	pid_t pid = start(&simple, kipc_pipe_object(self->ends[1]), "end",
			  ARGV("hold", "end", self->r.text[1]));

	kipc_pipe_close(self->ends[1]);
	self->ends[1] = NULL;
	EXPECT_EQ('y', read_report(&self->r));
	still_there(self->ends[0]);
	start_reader(&t, self->ends[0]);
	ksft_kill(pid);
	ksft_thread_join(&t);
}

/* Also of one that has never looked. */
TEST_F(hangup, when_it_dies_without_importing)
{
	struct ksft_thread t;
	pid_t pid = start(&simple, kipc_pipe_object(self->ends[1]), "end",
			  ARGV("idle", self->r.text[1]));

	kipc_pipe_close(self->ends[1]);
	self->ends[1] = NULL;
	EXPECT_EQ('y', read_report(&self->r));
	still_there(self->ends[0]);
	start_reader(&t, self->ends[0]);
	ksft_kill(pid);
	ksft_thread_join(&t);
}

/* As long as it is exported, the exporter has it. */
TEST_F(hangup, not_before_unexport)
{
	struct ksft_thread t;
	pid_t pid;

	ASSERT_EQ(0, kipc_export_env(kipc_pipe_object(self->ends[1]), "end"));
	kipc_pipe_close(self->ends[1]);
	self->ends[1] = NULL;
	pid = run_spawned(ARGV("hold", "end", self->r.text[1]), environ, NULL, 0);
	EXPECT_EQ('y', read_report(&self->r));
	ksft_kill(pid);
	still_there(self->ends[0]);
	EXPECT_EQ(0, kipc_pipe_send(self->ends[0], "x", 1, KIPC_NOWAIT));
	start_reader(&t, self->ends[0]);
	EXPECT_EQ(0, kipc_unexport_env("end"));
	ksft_thread_join(&t);
}

/* Whoever is started meanwhile has it, too; not so by kipc_export_string(). */
TEST_F(hangup, others_started_meanwhile)
{
	pid_t first, second;

	ASSERT_EQ(0, kipc_export_env(kipc_pipe_object(self->ends[1]), "end"));
	first = run_spawned(ARGV("hold", "end", self->r.text[1]), environ, NULL, 0);
	second = run_spawned(ARGV("idle", self->r.text[1]), environ, NULL, 0);
	ASSERT_EQ(0, kipc_unexport_env("end"));
	kipc_pipe_close(self->ends[1]);
	self->ends[1] = NULL;
	EXPECT_EQ('y', read_report(&self->r));
	EXPECT_EQ('y', read_report(&self->r));
	ksft_kill(first);
	still_there(self->ends[0]);
	ksft_kill(second);
	EXPECT_EQ(0, until_hangup(self->ends[0]));
}

TEST_F(hangup, a_string_is_for_one)
{
	char env[KIPC_EXPORT_STRING] = "";
	int fds[KIPC_EXPORT_FDS], n;
	pid_t first, second;

	n = kipc_export_string(kipc_pipe_object(self->ends[1]), "end", env, sizeof(env), fds,
			       KIPC_EXPORT_FDS);
	ASSERT_GT(n, 0);
	first = run_spawned(ARGV("hold", "end", self->r.text[1]), (char *[]){ env, NULL }, fds, n);
	second = run_spawned(ARGV("idle", self->r.text[1]), environ, NULL, 0);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	kipc_pipe_close(self->ends[1]);
	self->ends[1] = NULL;
	EXPECT_EQ('y', read_report(&self->r));
	EXPECT_EQ('y', read_report(&self->r));
	ksft_kill(first);
	EXPECT_EQ(0, until_hangup(self->ends[0]));
	ksft_kill(second);
}

/* And the other way round: the parent's death is told to the program. */
struct keeps_an_end {
	struct report *r;
};

static int keeps_an_end(void *arg)
{
	struct keeps_an_end *k = arg;
	struct kipc_pipe *ends[2];

	if (kipc_pipe_create(NULL, ends))
		return 1;
	start(&for_one, kipc_pipe_object(ends[1]), "end",
	      ARGV("until-hangup", "end", k->r->text[1]));
	kipc_pipe_close(ends[1]);
	for (;;)
		pause();
}

TEST_F(hangup, when_the_parent_dies)
{
	struct keeps_an_end k = { &self->r };
	pid_t pid = ksft_fork(keeps_an_end, &k);

	EXPECT_EQ('y', read_report(&self->r));
	ksft_kill(pid);
	EXPECT_EQ('p', read_report(&self->r));
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "--worker"))
		return worker(argc, argv);
	return ksft_main(argc, argv);
}
