// SPDX-License-Identifier: MIT
/* Points and the processes that pass them: see points.h. */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kipc/base.h>

#include "core/peer.h"
#include "core/point.h"
#include "core/time.h"
#include "points.h"

#define LOOK_NS		(300 * 1000L)		/* the world looks again after so long */
#define STUCK_NS	(10 * NSEC_PER_SEC)	/* nothing takes so long */
#define SHORT_NS	(12 * NSEC_PER_MSEC)	/* an impatient one's: more than an owner's tick */

struct stage *points_stage;
const struct scene *points_scene;
struct kipc_object *points_objects[OBJECTS_MAX];
int points_nobjects;
enum who points_who = WORLD;

/* ---- the points ---- */

extern struct kipc_point *__start_kipc_points[], *__stop_kipc_points[];

static const struct kipc_point **points;	/* by id */
static uint32_t npoints;
static struct point_use *use;	/* by id; shared by all */

/* A header's point is in every object that was made with it. */
int points_find(void)
{
	size_t n = (size_t)(__stop_kipc_points - __start_kipc_points);

	points = calloc(n, sizeof(*points));
	if (!points)
		abort();
	for (size_t i = 0; i < n; i++) {
		struct kipc_point *p = __start_kipc_points[i];
		uint32_t id = 0;

		while (id < npoints && strcmp(points[id]->name, p->name))
			id++;
		if (id == npoints)
			points[npoints++] = p;
		p->id = id;
		if (p->line == points[id]->line && !strcmp(p->file, points[id]->file))
			continue;
		fprintf(stderr, "%s is a point at %s:%u and at %s:%u\n", p->name, p->file, p->line,
			points[id]->file, points[id]->line);
		return -1;
	}
	use = mmap(NULL, (npoints + 1) * sizeof(*use), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return use == MAP_FAILED ? -1 : 0;
}

uint32_t points_count(void)
{
	return npoints;
}

const char *points_name(uint32_t id)
{
	return points[id]->name;
}

struct point_use *points_use(uint32_t id)
{
	return &use[id];
}

/* ---- in an actor ---- */

static struct actor *me;	/* NULL: not between its first point and its last */
static const char *die_at;	/* of points_die() */

static void become(struct actor *a, enum actor_state state)
{
	store_release(&a->state, (uint32_t)state);
	fetch_add(&points_stage->event, 1);
	syscall(SYS_futex, &points_stage->event, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void at_gate(struct actor *a, enum actor_state state)
{
	uint32_t gate = load_acquire(&a->gate);

	become(a, state);
	while (load_acquire(&a->gate) == gate)
		syscall(SYS_futex, &a->gate, FUTEX_WAIT, gate, NULL, NULL, 0);
	become(a, ACTOR_RUNNING);
}

static void tell_slots(struct actor *a)
{
	for (int i = 0; i < points_nobjects; i++)
		a->slots[i] = points_objects[i]->seg.slot;
}

static void pass(const struct kipc_point *p)
{
	struct actor *a = me;
	uint32_t id, n;
	int saved = errno;

	if (!a || a->pid != getpid())	/* nor a child that it forks */
		return;
	id = p->id;
	store_relaxed(&a->at, id);
	n = a->passed + 1;
	store_release(&a->passed, n);
	fetch_add(&use[id].passed, 1);
	if (n == a->kill_at || (die_at && !strcmp(die_at, p->name))) {
		fetch_add(&use[id].killed, 1);
		tell_slots(a);
		become(a, ACTOR_DYING);
		syscall(SYS_kill, a->pid, SIGKILL);
	}
	if (n == a->stop_at) {
		fetch_add(&use[id].stopped, 1);
		tell_slots(a);
		at_gate(a, ACTOR_STOPPED);
	}
	errno = saved;
}

void (*__kipc_point_hook)(const struct kipc_point *p) = pass;

int64_t points_queued_ns(void)
{
	FILE *f = fopen("/proc/self/schedstat", "re");
	long long ran, waited = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lld %lld", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return waited;
}

/* What is to be had at once; in a short time; in the end. */
static int survive(struct actor *a, const struct act *act)
{
	int r = -EAGAIN;

	if (act->flags & ACT_TIMED)
		r = act->run(KIPC_NOWAIT);
	if (r == -EAGAIN && a->impatient && (act->flags & ACT_TIMED)) {
		r = act->run(SHORT_NS);
		if (r == -ETIMEDOUT) {
			at_gate(a, ACTOR_GAVE_UP);
			a->began_ns = __kipc_now_ns();
		}
	}
	return r == -EAGAIN || r == -ETIMEDOUT ? act->run(KIPC_FOREVER) : r;
}

static _Noreturn void act_out(enum who who)
{
	struct actor *a = &points_stage->actors[who];
	const struct act *act = points_act(points_scene, who);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	points_who = who;
	a->pid = getpid();
	if (act->ready && act->ready())
		_exit(1);
	tell_slots(a);
	at_gate(a, ACTOR_READY);
	a->queued_ns = points_queued_ns();
	a->began_ns = __kipc_now_ns();
	me = a;
	a->result = who == SURVIVOR ? survive(a, act) : act->run(KIPC_FOREVER);
	me = NULL;
	a->ended_ns = __kipc_now_ns();
	a->queued_ns = points_queued_ns() - a->queued_ns;
	become(a, ACTOR_DONE);
	_exit(0);
}

/* ---- in the world ---- */

int points_die(int (*run)(int64_t timeout_ns), const char *at)
{
	struct actor *a = &points_stage->dead;
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		a->pid = getpid();
		die_at = at;
		me = a;
		run(KIPC_NOWAIT);
		tell_slots(a);
		if (!at)
			kill(a->pid, SIGKILL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	a->pid = 0;
	return WIFSIGNALED(status) ? 0 : -1;
}

static struct {
	int (*run)(int64_t timeout_ns);
	const char *at;
} later;

int points_die_later(int (*run)(int64_t timeout_ns), const char *at)
{
	later.run = run;
	later.at = at;
	return 0;
}

int points_die_now(void)
{
	return later.run ? points_die(later.run, later.at) : 0;
}

static void wait_for_event(uint32_t seen)
{
	struct timespec ts = { .tv_nsec = LOOK_NS };

	syscall(SYS_futex, &points_stage->event, FUTEX_WAIT, seen, &ts, NULL, 0);
}

int actor_start(enum who who)
{
	struct actor *a = &points_stage->actors[who];
	pid_t pid;

	store_relaxed(&a->state, (uint32_t)ACTOR_BORN);
	pid = fork();
	if (!pid)
		act_out(who);
	if (pid < 0)
		return -1;
	a->pid = pid;
	for (;;) {
		uint32_t seen = load_acquire(&points_stage->event);

		if (load_acquire(&a->state) == ACTOR_READY)
			return 0;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -1;
		wait_for_event(seen);
	}
}

void actor_let(enum who who)
{
	struct actor *a = &points_stage->actors[who];

	store_relaxed(&a->state, (uint32_t)ACTOR_RUNNING);
	fetch_add(&a->gate, 1);
	syscall(SYS_futex, &a->gate, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The kernel's letter for what a process does. */
static char process_state(pid_t pid)
{
	char path[32], line[128], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return '?';
	p = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	return p && p[1] == ' ' ? p[2] : '?';
}

/* Twice in a row, and it came no further in between. */
static bool asleep(const struct actor *a)
{
	uint32_t passed = load_acquire(&a->passed), seen = load_acquire(&points_stage->event);

	if (process_state(a->pid) != 'S')
		return false;
	wait_for_event(seen);
	return load_acquire(&a->state) == ACTOR_RUNNING && process_state(a->pid) == 'S' &&
	       load_acquire(&a->passed) == passed;
}

/* A dead one's slot is alive: somebody is repairing it, who is the stopped one if nobody else runs. */
static bool under_repair(const struct actor *dead)
{
	if (dead->pid)
		return false;
	for (int i = 0; i < points_nobjects; i++)
		if (dead->slots[i] &&
		    __kipc_peer_alive(&points_objects[i]->seg, dead->slots[i]))
			return true;
	return false;
}

/* The stopped one holds what others need. */
static bool held_by_stopped(void)
{
	struct actor *a = &points_stage->actors[STOPPED];

	if (load_acquire(&a->state) != ACTOR_STOPPED)
		return false;
	for (int i = 0; i < points_nobjects; i++)
		if (a->slots[i] && points_held(points_objects[i], a->slots[i]))
			return true;
	return under_repair(&points_stage->actors[KILLED]) ||
	       under_repair(&points_stage->actors[SECOND]) || under_repair(&points_stage->dead);
}

enum come actor_wait(enum who who)
{
	struct actor *a = &points_stage->actors[who];
	uint32_t flags = points_act(points_scene, who)->flags;
	bool waits = flags & ACT_WAITS, stays = flags & ACT_STAYS;
	int64_t until = __kipc_now_ns() + STUCK_NS;

	for (;;) {
		uint32_t seen = load_acquire(&points_stage->event);

		switch (load_acquire(&a->state)) {
		case ACTOR_DONE:
			return COME_DONE;
		case ACTOR_STOPPED:
			return COME_STOPPED;
		case ACTOR_GAVE_UP:
			return COME_GAVE_UP;
		case ACTOR_DYING:
			actor_reap(who);
			return COME_DEAD;
		}
		wait_for_event(seen);
		if (load_acquire(&a->state) != ACTOR_RUNNING)
			continue;
		if (process_state(a->pid) == 'Z')
			return load_acquire(&a->state) == ACTOR_RUNNING ? COME_LOST : actor_wait(who);
		if (asleep(a)) {
			if (held_by_stopped())
				return COME_BLOCKED;
			if (stays && !points_stage->begun)
				return COME_ASLEEP;
			if (waits)
				points_scene->wake(who);
		}
		if (__kipc_now_ns() >= until)
			return COME_STUCK;
	}
}

void actor_kill(enum who who)
{
	struct actor *a = &points_stage->actors[who];

	if (a->pid)
		kill(a->pid, SIGKILL);
	actor_reap(who);
}

int actor_reap(enum who who)
{
	struct actor *a = &points_stage->actors[who];
	int status = 0;

	while (a->pid && waitpid(a->pid, &status, 0) != a->pid)
		if (errno != EINTR)
			return -1;
	a->pid = 0;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -1;
}
