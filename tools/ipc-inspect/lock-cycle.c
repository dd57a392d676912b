// SPDX-License-Identifier: MIT
/*
 * Circles of processes that wait for each other's locks.
 *
 * Locks belong to processes and threads wait, so an edge leads from a waiter's process to the
 * owner's.  From each process a breadth-first search looks for the shortest way back to it; what is
 * part of a circle already is not asked again.
 */
#include "tools/common/procfs.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/lock-survey.h"

struct edge {
	pid_t from, to;
	size_t lock;
};

struct graph {
	struct edge *edge;
	size_t n;
	size_t *via;	/* search: the edge by which each edge was reached; n: the start */
	size_t *queue;
};

static void build(const struct lock_survey *s, struct graph *g)
{
	g->edge = xcalloc(s->waits.n, sizeof(g->edge[0]));
	g->via = xcalloc(s->waits.n, sizeof(g->via[0]));
	g->queue = xcalloc(s->waits.n, sizeof(g->queue[0]));
	for (size_t i = 0; i < s->n; i++) {
		const struct lock_info *l = &s->lock[i];

		for (size_t j = 0; l->owner_pid != ABSENT && j < l->nwaits; j++)
			g->edge[g->n++] = (struct edge){
				.from = s->waits.wait[l->first_wait + j].pid,
				.to = (pid_t)l->owner_pid,
				.lock = i,
			};
	}
}

static void free_graph(struct graph *g)
{
	free(g->edge);
	free(g->via);
	free(g->queue);
}

/* The last edge of the shortest way from start back to it; n: there is none. */
static size_t search(struct graph *g, pid_t start)
{
	size_t head = 0, tail = 0;
	bool *seen = xcalloc(g->n, sizeof(*seen));
	size_t found = g->n;

	for (size_t i = 0; i < g->n; i++)
		if (g->edge[i].from == start) {
			seen[i] = true;
			g->via[i] = g->n;
			g->queue[tail++] = i;
		}
	while (head < tail && found == g->n) {
		size_t at = g->queue[head++];

		if (g->edge[at].to == start)
			found = at;
		for (size_t i = 0; i < g->n; i++)
			if (!seen[i] && g->edge[i].from == g->edge[at].to) {
				seen[i] = true;
				g->via[i] = at;
				g->queue[tail++] = i;
			}
	}
	free(seen);
	return found;
}

/* Every thread of the process waits for some lock. */
static bool all_wait(const struct lock_survey *s, pid_t pid)
{
	struct proc_stat st;
	uint32_t n = 0;

	for (size_t i = 0; i < s->waits.n; i++)
		n += s->waits.wait[i].pid == pid;
	return !proc_stat_read(pid, &st) && n >= st.threads;
}

static void add_cycle(struct lock_survey *s, const struct graph *g, size_t last)
{
	struct lock_cycle c = { .certain = true };
	size_t at;

	for (at = last; at != g->n; at = g->via[at])
		c.n++;
	c.pid = xcalloc(c.n, sizeof(c.pid[0]));
	c.lock = xcalloc(c.n, sizeof(c.lock[0]));
	at = last;
	for (size_t i = c.n; i--; at = g->via[at]) {
		c.pid[i] = g->edge[at].from;
		c.lock[i] = g->edge[at].lock;
		c.certain &= all_wait(s, c.pid[i]);
		s->lock[c.lock[i]].cycle = s->ncycles + 1;
	}
	s->cycle = xreallocarray(s->cycle, s->ncycles + 1, sizeof(s->cycle[0]));
	s->cycle[s->ncycles++] = c;
}

static bool in_cycle(const struct lock_survey *s, pid_t pid)
{
	for (size_t i = 0; i < s->ncycles; i++)
		for (size_t j = 0; j < s->cycle[i].n; j++)
			if (s->cycle[i].pid[j] == pid)
				return true;
	return false;
}

void lock_cycles_find(struct lock_survey *s)
{
	struct graph g = { .n = 0 };

	build(s, &g);
	for (size_t i = 0; i < g.n; i++) {
		size_t last;

		if (in_cycle(s, g.edge[i].from))
			continue;
		last = search(&g, g.edge[i].from);
		if (last != g.n)
			add_cycle(s, &g, last);
	}
	free_graph(&g);
}
