// SPDX-License-Identifier: MIT
/*
 * Twins: two PID namespaces, and in each of them processes with the numbers 2 and 3; in the second
 * one, 3 is the number of a thread.  Everyone holds something.  The first namespace is killed.
 *
 * What its processes held must be free, marked or flagged, and what their namesakes hold must not:
 * no number of a process may be taken for a proof of anything, since the same numbers live, and the
 * director knows none of them.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/lock.h"

#include "soak.h"

#define WAIT_NS		(soak->stuck_s * NSEC_PER_SEC)

static struct kipc_queue *queue, *mail;
static struct kipc_manager *manager;
static struct kipc_lock *lock[3];	/* by who holds it: first 2, first 3, second 2 */
static struct kipc_rlock *rlock;	/* second 3 */

static struct scene {
	pid_t number[2][2];	/* of those who hold something, as they see it */
	uint32_t ready;
	uint32_t go;
} *scene;

static int hold(int ns, int who)
{
	struct kipc_msg msg;
	int r = kipc_lock_acquire(lock[2 * ns + who], KIPC_NOWAIT);

	if (!r)
		r = kipc_queue_take(queue, &msg, WAIT_NS);
	if (r)
		return r;
	scene->number[ns][who] = getpid();
	fetch_add(&scene->ready, 1);
	while (!load_acquire(&scene->go))
		__kipc_futex_wait(&scene->go, 0, KIPC_TICK_NS);
	/* all of it is still ours */
	r = kipc_queue_done(queue, &msg);
	return r ? r : kipc_lock_release(lock[2 * ns + who]);
}

static void *be_thread(void *arg)
{
	int *result = arg;

	*result = kipc_rlock_acquire(rlock, KIPC_NOWAIT);
	scene->number[1][1] = gettid();
	fetch_add(&scene->ready, 1);
	while (!load_acquire(&scene->go))
		__kipc_futex_wait(&scene->go, 0, KIPC_TICK_NS);
	if (!*result)
		*result = kipc_rlock_release(rlock);
	return NULL;
}

/* The second namespace's number 2: it waits for mail from the other side first. */
static int be_second(void)
{
	char text[8];
	pthread_t thread;
	int result = 0, r;
	ssize_t len = kipc_queue_get(mail, text, sizeof(text), WAIT_NS);

	if (len != 5 || memcmp(text, "hello", 5))
		return 21;
	if (pthread_create(&thread, NULL, be_thread, &result))
		return 22;
	r = hold(1, 0);
	pthread_join(thread, NULL);
	return r ? 23 : result ? 24 : 0;
}

static int be_first(int who)
{
	if (who == 0 && kipc_queue_put(mail, "hello", 5, WAIT_NS))
		return 25;
	return hold(0, who) ? 26 : 0;
}

/* Number 1 of a namespace. */
static int be_init(int ns)
{
	int status = 0;
	pid_t pid[2];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int who = 0; who < 2 - ns; who++) {
		pid[who] = fork();
		if (!pid[who])
			_exit(ns ? be_second() : be_first(who));
		if (pid[who] < 0)
			return 27;
	}
	for (int who = 0; who < 2 - ns; who++)
		if (waitpid(pid[who], &status, 0) != pid[who] || status)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 28;
	return 0;
}

static pid_t begin_namespace(int ns)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(be_init(ns));
	return pid;
}

static void expect(const char *what, long got, long want)
{
	if (got != want)
		soak_wrong(SOAK_PIDS, "%s: %ld, not %ld", what, got, want);
}

static bool all_hold(void)
{
	int64_t deadline = __kipc_now_ns() + WAIT_NS;

	while (load_acquire(&scene->ready) < 4)
		if (__kipc_now_ns() > deadline)
			return false;
		else
			soak_nap_us(500);
	return true;
}

static void settle(struct kipc_object *obj, const char *what)
{
	KIPC_OPTS(kipc_report, rep, .flags = KIPC_CHECK_SETTLE);

	expect(what, kipc_check(obj, &rep), 0);
	expect(what, rep.dead_peers, 0);
}

/* The first namespace is gone. */
static void look_at_what_is_left(void)
{
	struct kipc_msg msg[2];

	settle(kipc_queue_object(queue), "queue after a namespace's death");
	settle(kipc_manager_object(manager), "manager after a namespace's death");
	expect("lock of the dead 2", kipc_lock_acquire(lock[0], KIPC_NOWAIT), -EOWNERDEAD);
	expect("lock of the dead 3", kipc_lock_acquire(lock[1], KIPC_NOWAIT), -EOWNERDEAD);
	expect("lock of the living 2", kipc_lock_acquire(lock[2], KIPC_NOWAIT), -EAGAIN);
	expect("rlock of the living 3", kipc_rlock_acquire(rlock, KIPC_NOWAIT), -EAGAIN);
	for (int i = 0; i < 2; i++) {
		expect("message of the dead", kipc_queue_take(queue, &msg[i], KIPC_NOWAIT), 0);
		expect("its flag", msg[i].flags, KIPC_MSG_REDELIVERED);
		expect("its end", kipc_queue_done(queue, &msg[i]), 0);
	}
	expect("message of the living", kipc_queue_take(queue, &msg[0], KIPC_NOWAIT), -EAGAIN);
}

static void play(pid_t init[2])
{
	int status = -1;

	if (!all_hold()) {
		soak_wrong(SOAK_PIDS, "the twins did not get what they should hold");
		kill(init[0], SIGKILL);
		kill(init[1], SIGKILL);
		waitpid(init[0], NULL, 0);
		waitpid(init[1], NULL, 0);
		return;
	}
	for (int ns = 0; ns < 2; ns++) {
		expect("number of the first one", scene->number[ns][0], 2);
		expect("number of the second one", scene->number[ns][1], 3);
	}
	kill(init[0], SIGKILL);
	waitpid(init[0], NULL, 0);
	look_at_what_is_left();
	store_release(&scene->go, 1);
	__kipc_futex_wake(&scene->go, 100);
	waitpid(init[1], &status, 0);
	expect("the second namespace", WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
	expect("lock of the second one", kipc_lock_acquire(lock[2], KIPC_NOWAIT), 0);
	expect("rlock of the second one", kipc_rlock_acquire(rlock, KIPC_NOWAIT), 0);
	expect("messages left", kipc_queue_len(queue), 0);
}

static int make_objects(void)
{
	int r = kipc_queue_create(NULL, NULL, &queue);

	r = r ? r : kipc_queue_create(NULL, NULL, &mail);
	r = r ? r : kipc_manager_create(NULL, NULL, &manager);
	for (int i = 0; i < 3 && !r; i++)
		r = kipc_lock_create(manager, NULL, &lock[i]);
	r = r ? r : kipc_rlock_create(manager, NULL, &rlock);
	for (int i = 0; i < 3 && !r; i++)
		r = kipc_queue_put(queue, &i, sizeof(i), KIPC_NOWAIT);
	return r;
}

const char *scene_pids(void)
{
	pid_t init[2];
	int r;

	if (birth_missing(BIRTH_PIDNS))
		return birth_missing(BIRTH_PIDNS);
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	r = scene == MAP_FAILED ? -ENOMEM : make_objects();
	if (r) {
		soak_wrong(SOAK_PIDS, "nothing to play with: %s", kipc_strerror(r));
		return NULL;
	}
	for (int ns = 0; ns < 2; ns++)
		init[ns] = begin_namespace(ns);
	if (init[0] > 0 && init[1] > 0)
		play(init);
	else
		soak_wrong(SOAK_PIDS, "clone(): %s", strerror(errno));
	for (int i = 0; i < 3; i++)
		kipc_lock_unref(lock[i]);
	kipc_rlock_unref(rlock);
	kipc_manager_close(manager);
	kipc_queue_close(queue);
	kipc_queue_close(mail);
	munmap(scene, sizeof(*scene));
	return NULL;
}
