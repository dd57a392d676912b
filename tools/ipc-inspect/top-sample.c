// SPDX-License-Identifier: MIT
/* Two looks, and what happened between them: see top.h. */
#include <time.h>
#include <unistd.h>

#include "tools/common/procfs.h"
#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/top.h"

const char *const top_sort_names[TOP_SORTS] = {
	[TOP_BY_OBJECT] = "object", [TOP_BY_MESSAGES] = "messages", [TOP_BY_BYTES] = "bytes",
	[TOP_BY_DEPTH] = "depth",   [TOP_BY_WAITERS] = "waiters",   [TOP_BY_CPU] = "cpu",
};

/* A process's CPU time, at this look and at the one before. */
struct top_cpu {
	pid_t pid;
	uint64_t start_time;
	uint64_t ticks, before;
	bool known;		/* there was one before */
	bool seen;		/* in this look */
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- processes ---- */

static struct top_cpu *cpu_of(struct top *t, pid_t pid)
{
	struct proc_stat st;
	struct top_cpu *c = NULL;

	for (size_t i = 0; !c && i < t->ncpu; i++)
		if (t->cpu[i].pid == pid)
			c = &t->cpu[i];
	if (c && c->seen)
		return c;
	if (proc_stat_read(pid, &st))
		return NULL;
	if (!c) {
		if (t->ncpu == t->cpu_room) {
			t->cpu_room = t->cpu_room ? 2 * t->cpu_room : 64;
			t->cpu = xreallocarray(t->cpu, t->cpu_room, sizeof(t->cpu[0]));
		}
		c = &t->cpu[t->ncpu++];
		*c = (struct top_cpu){ .pid = pid };
	}
	/* the same process as at the last look? */
	c->known = c->start_time == st.start_time;
	c->start_time = st.start_time;
	c->before = c->ticks;
	c->ticks = st.cpu_ticks;
	c->seen = true;
	return c;
}

static void forget_gone(struct top *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->ncpu; i++)
		if (t->cpu[i].seen)
			t->cpu[kept++] = t->cpu[i];
	t->ncpu = kept;
	for (size_t i = 0; i < t->ncpu; i++)
		t->cpu[i].seen = false;
}

static void add_cpu(struct top *t, struct top_row *row, const struct holders *h)
{
	double hz = (double)sysconf(_SC_CLK_TCK), most = -1;

	row->cpu = -1;
	row->busiest = ABSENT;
	for (size_t i = 0; i < h->n; i++) {
		const struct top_cpu *c;
		double percent;

		if (i && h->handle[i].pid == h->handle[i - 1].pid)
			continue;
		c = cpu_of(t, h->handle[i].pid);
		if (!c || !c->known || t->elapsed <= 0)
			continue;
		percent = (double)(c->ticks - c->before) / hz / t->elapsed * 100;
		row->cpu = (row->cpu < 0 ? 0 : row->cpu) + percent;
		if (percent > most) {
			most = percent;
			row->busiest = (uint64_t)c->pid;
		}
	}
	if (row->busiest != ABSENT && proc_comm((pid_t)row->busiest, row->busiest_comm))
		row->busiest_comm[0] = '\0';
}

/* ---- objects ---- */

static struct top_row *row_of(struct top *t, const struct object *object)
{
	struct top_row *row;

	for (size_t i = 0; i < t->n; i++)
		if (t->row[i].ino == object->ino && t->row[i].dev == object->dev)
			return &t->row[i];
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->row = xreallocarray(t->row, t->room, sizeof(t->row[0]));
	}
	row = &t->row[t->n++];
	memset(row, 0, sizeof(*row));
	row->dev = object->dev;
	row->ino = object->ino;
	row->total = (struct traffic){ ABSENT, ABSENT, ABSENT };
	for (int i = 0; i < TOP_HISTORY; i++)
		row->history[i] = -1;
	return row;
}

static void clear(struct top_row *row)
{
	free(row->object);
	free(row->name);
	free(row->states);
	row->object = row->name = row->states = NULL;
}

/* A second; hints that the counts are read off may go back a little. */
static double rate(uint64_t now, uint64_t before, double elapsed)
{
	if (now == ABSENT || before == ABSENT || elapsed <= 0)
		return -1;
	return now > before ? (double)(now - before) / elapsed : 0;
}

static void count(struct top *t, struct top_row *row, const struct subject *s)
{
	struct traffic now = { ABSENT, ABSENT, ABSENT };

	if (s->data && s->kind->traffic)
		s->kind->traffic(s->data, &s->view, &now);
	row->messages = rate(now.messages, row->total.messages, t->elapsed);
	row->bytes = rate(now.bytes, row->total.bytes, t->elapsed);
	row->estimated = now.bytes == ABSENT && now.mean_bytes != ABSENT && row->messages >= 0;
	if (row->estimated)
		row->bytes = row->messages * (double)now.mean_bytes;
	row->total = now;
}

/* Puts a second from which on many looks have a chance to see one, and are worth it. */
#define FLOOD	1000

static void look_for_producer(struct top_row *row, const struct subject *s)
{
	/* who is attached is known; which process that is here costs some more looks */
	struct peers peers = s->peers;
	uint32_t best = 0;

	row->producer = ABSENT;
	if (!s->data || !s->kind->producers)
		return;
	if (!row->hits)
		row->hits = xcalloc(KIPC_PEER_MAX + 1, sizeof(row->hits[0]));
	for (uint32_t i = 1; i <= KIPC_PEER_MAX; i++)
		row->hits[i] -= row->hits[i] / 4;
	if (row->messages >= FLOOD || (s->sum.states & STATE_FULL))
		s->kind->producers(s->data, &s->view, &peers, row->hits);
	for (uint32_t i = 1; i <= KIPC_PEER_MAX; i++)
		if (row->hits[i] > row->hits[best])
			best = i;
	if (!best)
		return;
	peers_identify(&peers, &s->object->holders);
	if (peers_find(&peers, best) && peers_find(&peers, best)->pid)
		row->producer = (uint64_t)peers_find(&peers, best)->pid;
	else
		row->hits[best] = 0;	/* gone */
}

static void remember_depth(struct top_row *row)
{
	memmove(row->history, row->history + 1, sizeof(row->history) - sizeof(row->history[0]));
	row->history[TOP_HISTORY - 1] =
		row->depth == ABSENT || row->capacity == ABSENT || !row->capacity ?
			-1 :
			(double)row->depth / (double)row->capacity;
}

static int one_object(const struct subject *s, void *arg)
{
	struct top *t = arg;
	struct top_row *row = row_of(t, s->object);
	const char *name = subject_name(s);

	clear(row);
	row->object = subject_text(s);
	row->name = name ? text_safe(name, strlen(name)) : NULL;
	row->kind = subject_kind(s);
	row->unit = s->sum.unit;
	row->states = state_names(s->sum.states, "\n");
	row->depth = s->sum.depth;
	row->capacity = s->sum.capacity;
	row->waiters = s->data ? s->sum.waiters : ABSENT;
	count(t, row, s);
	remember_depth(row);
	look_for_producer(row, s);
	add_cpu(t, row, &s->object->holders);
	row->seen = true;
	return s->sum.states & STATE_DAMAGED ? EXIT_DAMAGE : EXIT_OK;
}

static void drop_gone(struct top *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (t->row[i].seen) {
			t->row[kept++] = t->row[i];
			continue;
		}
		clear(&t->row[i]);
		free(t->row[i].hits);
	}
	t->n = kept;
	for (size_t i = 0; i < t->n; i++)
		t->row[i].seen = false;
}

/* ---- order ---- */

static int descending(double a, double b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

static double key(const struct top_row *r, enum top_sort by)
{
	switch (by) {
	case TOP_BY_MESSAGES:
		return r->messages;
	case TOP_BY_BYTES:
		return r->bytes;
	case TOP_BY_DEPTH:
		return r->history[TOP_HISTORY - 1];
	case TOP_BY_WAITERS:
		return r->waiters == ABSENT ? -1 : (double)r->waiters;
	case TOP_BY_CPU:
		return r->cpu;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct top_row *x = a, *y = b;
	enum top_sort by = *(enum top_sort *)arg;
	int r = descending(key(x, by), key(y, by));

	/* what is equal stays where it was from look to look */
	return r ? r : x->ino < y->ino ? -1 : x->ino > y->ino;
}

void top_resort(struct top *t)
{
	qsort_r(t->row, t->n, sizeof(t->row[0]), compare, &t->sort);
}

int top_look(struct top *t, unsigned int flags)
{
	uint64_t now = clock_ns(CLOCK_BOOTTIME);
	int code;

	t->elapsed = t->looked_ns ? (double)(now - t->looked_ns) / 1e9 : 0;
	t->looked_ns = now;
	t->time_ns = clock_ns(CLOCK_REALTIME);
	code = subjects_each(t->targets, flags, one_object, t);
	drop_gone(t);
	forget_gone(t);
	top_resort(t);
	return code;
}

void top_free(struct top *t)
{
	for (size_t i = 0; i < t->n; i++) {
		clear(&t->row[i]);
		free(t->row[i].hits);
	}
	free(t->row);
	free(t->cpu);
}
