// SPDX-License-Identifier: MIT
/* Cases: one world each, and all of a scene's.  See points.h. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "core/peer.h"
#include "core/time.h"
#include "points.h"

#define WORLD_SECONDS	60	/* a world that takes longer is stuck */
#define HEAL_MAX_NS	(150 * NSEC_PER_MSEC)
#define SLOW_TRIES	4
#define TOO_MANY	3	/* violations, and a scene is over */
#define IMPATIENT	8	/* every so many-th case has a survivor that gives up for a while */

/* What comes out of a world. */
struct result {
	int state;		/* POINTS_OLD | POINTS_NEW; -1 */
	int64_t heal_ns;
	bool done;		/* the world came to its end */
	bool blocked;		/* the survivor had to wait for the stopped one */
	bool missed;		/* the stopped one ended before its point */
	bool ended[ACTORS];
	uint32_t passed[ACTORS];
	uint32_t at[ACTORS];
	char text[256];
};

static struct result *result;

static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

/* A point of each that is stopped or killed; 0: none, it comes to its end. */
struct points_case {
	bool triple, impatient;
	uint32_t stop, kill, second;
};

/* ---- what scenes ask ---- */

void points_track(struct kipc_object *obj)
{
	if (points_nobjects == OBJECTS_MAX)
		abort();
	points_objects[points_nobjects++] = obj;
}

int points_bad(const char *fmt, ...)
{
	va_list ap;

	if (result->text[0])
		return -1;
	va_start(ap, fmt);
	vsnprintf(result->text, sizeof(result->text), fmt, ap);
	va_end(ap);
	return -1;
}

int points_expect(const char *what, int64_t got, int64_t want)
{
	return got == want ? 0 : points_bad("%s: %ld, should be %ld", what, (long)got, (long)want);
}

struct told *points_told(enum who who)
{
	return who == WORLD ? &points_stage->world : &points_stage->actors[who].told;
}

bool points_ended(enum who who)
{
	return points_stage->actors[who].state == ACTOR_DONE;
}

bool points_took_part(enum who who)
{
	return points_stage->actors[who].state != ACTOR_NONE;
}

const struct act *points_act(const struct scene *s, enum who who)
{
	return who == STOPPED ? &s->stopped : who == KILLED ? &s->killed : &s->survivor;
}

/* ---- in a world ---- */

static int audit(void)
{
	char text[200];

	for (int i = 0; i < points_nobjects; i++)
		__kipc_peer_sweep(&points_objects[i]->seg, 0);
	for (int i = 0; i < points_nobjects; i++)
		if (crash_audit_object(points_objects[i], true, text, sizeof(text)))
			return points_bad("audit: %s", text);
	return 0;
}

/* A victim: killed at its point, or where it sleeps because of the stopped one, or not at all. */
static int play_victim(enum who who, uint32_t kill_at)
{
	struct actor *a = &points_stage->actors[who];
	enum come come;

	a->kill_at = kill_at;
	actor_let(who);
	come = actor_wait(who);
	result->passed[who] = a->passed;
	result->at[who] = a->at;
	result->ended[who] = come == COME_DONE;
	if (come == COME_STUCK || come == COME_LOST)
		return points_bad("victim %d %s", who, come == COME_LOST ? "died by itself" : "is stuck");
	if (come == COME_BLOCKED)
		actor_kill(who);
	else
		actor_reap(who);
	return 0;
}

/* The survivor, as far as it comes while the other is stopped. */
static int play_survivor(bool impatient)
{
	struct actor *a = &points_stage->actors[SURVIVOR];
	enum come come;

	a->impatient = impatient;
	actor_let(SURVIVOR);
	do
		come = actor_wait(SURVIVOR);
	while (come == COME_BLOCKED && impatient && (points_scene->survivor.flags & ACT_TIMED));
	/* it may have been short of CPU time rather than of anything else */
	if (come == COME_GAVE_UP) {
		actor_let(SURVIVOR);
		come = actor_wait(SURVIVOR);
	}
	result->blocked = come == COME_BLOCKED;
	if (come == COME_DONE || come == COME_BLOCKED)
		return 0;
	return points_bad("the survivor %s, and nobody holds anything",
			  come == COME_LOST ? "died" : "is stuck");
}

/*
 * What the survivor's operation took, or what was left of it when the stopped one went on: without the
 * time that those who had to run for it waited for a CPU.
 */
static int64_t heal_ns(int64_t freed_ns, int64_t queued_ns)
{
	struct actor *a = &points_stage->actors[SURVIVOR];
	int64_t ns = a->ended_ns - (freed_ns > a->began_ns ? freed_ns : a->began_ns);

	ns -= a->queued_ns + queued_ns;
	if (freed_ns)
		ns -= points_stage->actors[STOPPED].queued_ns;
	return ns > 0 ? ns : 0;
}

/* All that are left come to their ends. */
static int play_on(int64_t queued_ns)
{
	struct actor *a = &points_stage->actors[STOPPED];
	int64_t freed_ns = 0;
	enum come come;

	while ((come = actor_wait(STOPPED)) == COME_STOPPED) {
		freed_ns = result->blocked ? __kipc_now_ns() : 0;
		actor_let(STOPPED);
	}
	if (come != COME_DONE)
		return points_bad("the stopped one went on and %s",
				  come == COME_LOST ? "died" : "is stuck");
	result->passed[STOPPED] = a->passed;
	come = actor_wait(SURVIVOR);
	if (come == COME_GAVE_UP) {
		actor_let(SURVIVOR);
		come = actor_wait(SURVIVOR);
	}
	if (come != COME_DONE)
		return points_bad("the survivor %s when all others had ended",
				  come == COME_LOST ? "died" : "is stuck");
	result->heal_ns = heal_ns(freed_ns, points_queued_ns() - queued_ns);
	if (actor_reap(STOPPED) || actor_reap(SURVIVOR))
		return points_bad("an actor failed");
	if (a->result)
		return points_bad("the stopped one's operation: %d", a->result);
	for (enum who who = KILLED; who < ACTORS; who++)
		if (points_ended(who) && points_stage->actors[who].result)
			return points_bad("operation of %d: %d", who,
					  points_stage->actors[who].result);
	return 0;
}

static int play(const struct points_case *c)
{
	struct actor *a = &points_stage->actors[STOPPED];
	int64_t queued_ns;
	enum come stopped;

	if (points_scene->setup())
		return points_bad("setup failed");
	for (enum who who = STOPPED; who < ACTORS; who++)
		if ((who != SECOND || c->triple) && actor_start(who))
			return points_bad("actor %d could not be started", who);
	if (points_die_now())
		return points_bad("the one that should leave something did not");
	a->stop_at = c->stop;
	actor_let(STOPPED);
	stopped = actor_wait(STOPPED);
	result->at[STOPPED] = a->at;
	result->missed = stopped != COME_STOPPED;
	if (stopped == COME_LOST || stopped == COME_STUCK)
		return points_bad("the one that should stop %s",
				  stopped == COME_LOST ? "died" : "is stuck");
	points_stage->begun = true;
	if (play_victim(KILLED, c->kill) || (c->triple && play_victim(SECOND, c->second)))
		return -1;
	queued_ns = points_queued_ns();
	if (play_survivor(c->impatient) || play_on(queued_ns) || audit())
		return -1;
	result->state = points_scene->verify();
	if (result->state <= 0)
		return points_bad("neither old nor new");
	return audit();
}

/* ---- the runner ---- */

static void one_world(const struct points_case *c)
{
	int status = 0;
	pid_t pid;

	memset(result, 0, sizeof(*result));
	result->state = -1;
	memset(points_stage, 0, sizeof(*points_stage));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		alarm(WORLD_SECONDS);
		if (play(c))
			for (enum who who = STOPPED; who < ACTORS; who++)
				actor_kill(who);
		result->done = true;
		_exit(0);	/* and its actors with it */
	}
	while (waitpid(pid, &status, 0) != pid)
		;
	if (!result->done)
		points_bad("the world died of signal %d", WTERMSIG(status));
}

/* Others use this machine: what was slow is tried again. */
static void run_case(const struct points_case *c, struct points_sum *sum)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < SLOW_TRIES && best > HEAL_MAX_NS; i++) {
		one_world(c);
		if (result->text[0])
			break;
		if (result->heal_ns < best)
			best = result->heal_ns;
	}
	if (!result->text[0] && best > HEAL_MAX_NS)
		points_bad("healed too slowly: %ld ms", (long)(best / NSEC_PER_MSEC));
	sum->cases++;
	sum->blocked += result->blocked;
	if (best != INT64_MAX && best > sum->heal_ns)
		sum->heal_ns = best;
}

static void violation(const struct points_case *c, struct points_sum *sum)
{
	if (sum->violations++)
		return;
	snprintf(sum->why, sizeof(sum->why), "%s stopped at %u %s, killed at %u %s%s%s: %s",
		 result->missed ? "not" : "one", c->stop, points_name(result->at[STOPPED]), c->kill,
		 points_name(result->at[KILLED]), c->triple ? ", second at " : "",
		 c->triple ? points_name(result->at[SECOND]) : "", result->text);
}

/*
 * The i-th of `at_most` points spread over 1..n, in order; of all when there are so few, or at_most is
 * 0.  Where they are fewer, another seed begins elsewhere.
 */
static uint32_t spread(uint32_t i, uint32_t n, uint32_t at_most, uint32_t seed)
{
	if (!at_most || n <= at_most)
		return i < n ? i + 1 : 0;
	if (i >= at_most)
		return 0;
	return 1 + (uint32_t)(((uint64_t)i * n + seed * 2654435761u % n) / at_most);
}

static bool run_counted(struct points_case *c, struct points_sum *sum)
{
	c->impatient = sum->cases % IMPATIENT == IMPATIENT - 1;
	run_case(c, sum);
	if (result->text[0])
		violation(c, sum);
	return !result->text[0];
}

/*
 * A victim at each of its points, for one stop of the stopped one.  It is let through first, which
 * tells how many points it passes.  Killed later and later, while all else is the same, it is old at
 * first, then new for good.
 */
static void each_kill(struct points_case *c, enum who who, const struct points_plan *plan,
		      struct points_sum *sum)
{
	uint32_t at_most = who == KILLED ? plan->second : plan->third;
	uint32_t seed = who == KILLED ? c->stop : c->stop + c->kill;
	uint32_t *kill = who == KILLED ? &c->kill : &c->second;
	uint32_t *most = who == KILLED ? &sum->second : &sum->third;
	bool in_order = !c->triple && !(points_scene->flags & SCENE_LOOSE), was_new = false;
	uint32_t n;

	c->second = *kill = 0;
	if (!run_counted(c, sum))
		return;
	if (who == KILLED && result->ended[KILLED] && !(result->state & POINTS_NEW)) {
		points_bad("it ended, but is as if it had not happened");
		violation(c, sum);
	}
	n = result->passed[who];
	if (n > *most)
		*most = n;
	for (uint32_t i = 0; (*kill = spread(i, n, at_most, seed)) && sum->violations < TOO_MANY; i++) {
		if (who == KILLED && c->triple) {
			uint32_t at = *kill;

			each_kill(c, SECOND, plan, sum);
			*kill = at;
			continue;
		}
		if (!run_counted(c, sum))
			continue;
		if (in_order && was_new && result->state == POINTS_OLD) {
			points_bad("it was new when it was killed earlier, and is old now");
			violation(c, sum);
		}
		was_new |= result->state == POINTS_NEW;
	}
	*kill = 0;
}

static void begin(const struct scene *s, struct points_sum *sum)
{
	*sum = (struct points_sum){ .time_ns = __kipc_now_ns() };
	points_scene = s;
	if (!points_stage) {
		points_stage = shared(sizeof(*points_stage));
		result = shared(sizeof(*result));
	}
}

void points_run_one(const struct scene *s, bool triple, const uint32_t at[3], struct points_sum *sum)
{
	struct points_case c = { triple, false, at[0], at[1], at[2] };

	begin(s, sum);
	run_counted(&c, sum);
	sum->first = result->passed[STOPPED];
	sum->second = result->passed[KILLED];
	sum->third = result->passed[SECOND];
	sum->time_ns = __kipc_now_ns() - sum->time_ns;
}

void points_run(const struct scene *s, bool triple, const struct points_plan *plan,
		struct points_sum *sum)
{
	struct points_case c = { .triple = triple };

	begin(s, sum);
	/* nobody stopped or killed */
	if (run_counted(&c, sum)) {
		struct points_plan p = *plan;

		sum->first = result->passed[STOPPED];
		if (p.cases && sum->first) {
			uint32_t stops = p.first && p.first < sum->first ? p.first : sum->first;

			p.second = 1 + p.cases / stops;
		}
		for (uint32_t i = 0; (c.stop = spread(i, sum->first, p.first, 0)) &&
				     sum->violations < TOO_MANY; i++)
			each_kill(&c, KILLED, &p, sum);
	}
	sum->time_ns = __kipc_now_ns() - sum->time_ns;
}
