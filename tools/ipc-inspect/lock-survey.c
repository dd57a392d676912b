// SPDX-License-Identifier: MIT
/* See lock-survey.h. */
#include "tools/ipc-inspect/lock-survey.h"

#include <time.h>

#include "tools/common/procfs.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"

/* A waiter is awake for some microseconds in 10 ms; on a busy machine for longer. */
#define LOOKS		20
#define BETWEEN_NS	2000000

struct gathering {
	struct lock_survey *s;
	const struct subject *subject;
	pid_t *pid;			/* of all who hold one of the objects */
	size_t npids, room;
};

/* ---- locks ---- */

static void name_owner(struct lock_info *l, const struct subject *s)
{
	const struct peer *p = peers_find(&s->peers, l->site.owner);
	struct proc_stat st;

	l->owner_pid = ABSENT;
	if (!l->site.owner)
		return;
	l->owner_state = "unknown";
	if (!p)
		return;
	l->generation = p->rec.generation;
	memcpy(l->owner_comm, p->rec.comm, sizeof(l->owner_comm) - 1);
	l->owner_state = p->life == PEER_DEAD ? "dead" : "alive";
	if (!p->pid)
		return;
	l->owner_pid = (uint64_t)p->pid;
	/* what it is called by now */
	proc_comm(p->pid, l->owner_comm);
	if (!proc_stat_read(p->pid, &st) && (st.state == 'T' || st.state == 't'))
		l->owner_state = "stopped";
}

static void add_lock(void *arg, const struct lock_site *site)
{
	struct gathering *g = arg;
	struct lock_survey *s = g->s;
	struct lock_info *l;

	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		s->lock = xreallocarray(s->lock, s->room, sizeof(s->lock[0]));
	}
	l = &s->lock[s->n++];
	*l = (struct lock_info){
		.site = *site,
		.dev = g->subject->object->dev,
		.ino = g->subject->object->ino,
		.kind = subject_kind(g->subject),
		.object = subject_text(g->subject),
		.cycle = ABSENT,
	};
	name_owner(l, g->subject);
}

static void add_pid(struct gathering *g, pid_t pid)
{
	for (size_t i = 0; i < g->npids; i++)
		if (g->pid[i] == pid)
			return;
	if (g->npids == g->room) {
		g->room = g->room ? 2 * g->room : 16;
		g->pid = xreallocarray(g->pid, g->room, sizeof(g->pid[0]));
	}
	g->pid[g->npids++] = pid;
}

static int one_object(const struct subject *s, void *arg)
{
	struct gathering *g = arg;
	const struct holders *h = &s->object->holders;
	size_t before = g->s->n;

	g->subject = s;
	if (s->data && s->kind->locks)
		s->kind->locks(s->data, add_lock, g);
	/* who might wait, of what somebody holds */
	for (size_t i = 0; g->s->n > before && i < h->n; i++)
		add_pid(g, h->handle[i].pid);
	return s->sum.states & STATE_DAMAGED ? EXIT_DAMAGE : EXIT_OK;
}

/* ---- waiters ---- */

static bool is_of(const struct wait *w, const struct lock_info *l)
{
	return w->off == l->site.off && w->ino == l->ino && w->dev == l->dev;
}

/* Whether each lock that says so has a waiter that we know. */
static bool all_found(const struct lock_survey *s)
{
	for (size_t i = 0; i < s->n; i++) {
		bool found = !s->lock[i].site.waiters;

		for (size_t j = 0; !found && j < s->waits.n; j++)
			found = is_of(&s->waits.wait[j], &s->lock[i]);
		if (!found)
			return false;
	}
	return true;
}

static void look_for_waiters(struct gathering *g)
{
	const struct timespec between = { .tv_nsec = BETWEEN_NS };

	for (int i = 0; i < LOOKS && g->npids; i++) {
		if (i)
			nanosleep(&between, NULL);
		for (size_t j = 0; j < g->npids; j++)
			waits_look(&g->s->waits, g->pid[j]);
		/* the second look is for those who were awake at the first, beside one asleep */
		if ((i && all_found(g->s)) || g->s->waits.refused)
			break;
	}
}

/* Sorts the waits by lock; those for what isn't held any more go. */
static void assign(struct lock_survey *s)
{
	struct wait *sorted = xcalloc(s->waits.n, sizeof(*sorted));
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		s->lock[i].first_wait = n;
		for (size_t j = 0; j < s->waits.n; j++)
			if (is_of(&s->waits.wait[j], &s->lock[i]))
				sorted[n++] = s->waits.wait[j];
		s->lock[i].nwaits = n - s->lock[i].first_wait;
	}
	free(s->waits.wait);
	s->waits.wait = sorted;
	s->waits.room = s->waits.n;
	s->waits.n = n;
}

static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* All locks are known: who waits for them, and who for whom in a circle. */
static void finish(struct gathering *g)
{
	look_for_waiters(g);
	free(g->pid);
	assign(g->s);
	for (size_t i = 0; i < g->s->n; i++)
		g->s->lock[i].since_ns = boot_ns();
	lock_cycles_find(g->s);
}

int lock_survey(struct lock_survey *s, const struct targets *t, unsigned int flags)
{
	struct gathering g = { .s = s };
	int code;

	memset(s, 0, sizeof(*s));
	code = subjects_each(t, flags | EACH_DEEP, one_object, &g);
	finish(&g);
	return code;
}

void lock_survey_one(struct lock_survey *s, const struct subject *subject)
{
	struct gathering g = { .s = s };

	memset(s, 0, sizeof(*s));
	one_object(subject, &g);
	finish(&g);
}

void lock_survey_free(struct lock_survey *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->lock[i].object);
	for (size_t i = 0; i < s->ncycles; i++) {
		free(s->cycle[i].pid);
		free(s->cycle[i].lock);
	}
	free(s->cycle);
	free(s->lock);
	waits_free(&s->waits);
	memset(s, 0, sizeof(*s));
}
