// SPDX-License-Identifier: MIT
/* See waits.h. */
#include "tools/common/waits.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "tools/common/procfs.h"
#include "tools/common/segment-view.h"
#include "tools/common/xalloc.h"

/* futex_wait(2), since Linux 6.7 */
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif

struct look {
	struct waits *waits;
	size_t first;		/* what this look added begins here, with addresses in off */
	pid_t pid;
	int error;
};

static bool known(const struct waits *w, pid_t tid)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->wait[i].tid == tid)
			return true;
	return false;
}

static void one_thread(pid_t tid, void *arg)
{
	struct look *l = arg;
	struct waits *w = l->waits;
	uint64_t args[2];
	long number;
	int r = proc_syscall(l->pid, tid, &number, args), op;

	if (r == -EPERM || r == -EACCES)
		l->error = r;
	if (r)
		return;
	op = args[1] & FUTEX_CMD_MASK;
	if (number != SYS_futex_wait &&
	    (number != SYS_futex || (op != FUTEX_WAIT && op != FUTEX_WAIT_BITSET)))
		return;
	if (known(w, tid))
		return;
	if (w->n == w->room) {
		w->room = w->room ? 2 * w->room : 16;
		w->wait = xreallocarray(w->wait, w->room, sizeof(w->wait[0]));
	}
	w->wait[w->n++] = (struct wait){ .pid = l->pid, .tid = tid, .off = args[0] };
}

/* Addresses in this mapping become places in its file. */
static void resolve(const struct proc_mapping *m, void *arg)
{
	struct look *l = arg;

	for (size_t i = l->first; i < l->waits->n; i++) {
		struct wait *w = &l->waits->wait[i];

		if (w->ino || w->off < m->start || w->off >= m->end)
			continue;
		w->dev = m->dev;
		w->ino = m->ino;
		w->off = w->off - m->start + m->offset;
	}
}

void waits_look(struct waits *w, pid_t pid)
{
	struct look l = { .waits = w, .first = w->n, .pid = pid };
	size_t kept = l.first;

	proc_each_thread(pid, one_thread, &l);
	if (w->n > l.first)
		proc_each_mapping(pid, VIEW_LINK_PREFIX, resolve, &l);
	/* all others sleep on something else */
	for (size_t i = l.first; i < w->n; i++)
		if (w->wait[i].ino)
			w->wait[kept++] = w->wait[i];
	w->n = kept;
	w->refused |= l.error != 0;
}

void waits_free(struct waits *w)
{
	free(w->wait);
	memset(w, 0, sizeof(*w));
}
