// SPDX-License-Identifier: MIT
/*
 * After the death of a broker: who has the objects whose names the ledger has?
 *
 * All descriptors of all processes that we may look into are compared with the inodes of the
 * ledger.  A memfd is opened through /proc/PID/fd; an eventfd can't be, so it is fetched with
 * pidfd_getfd(2), from a process that has the memfd for writing and under the number that the
 * ledger says.
 *
 * What isn't found has no holder, or one that we may not look into (of another user, in another PID
 * namespace, not dumpable).  The two are told apart by /proc/locks: whoever is attached to a
 * segment holds a lock on its memfd (uapi/kipc/segment.h), and that list leaves no one out.
 * Without a lock the object is gone, and so is its name; with one the name waits for its holder to
 * offer the object.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/pidfd.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tools/common/procfs.h"
#include "tools/kipcd/kipcd.h"

/* How often it is looked for what was lost. */
#define AGAIN_NS	(100 * NSEC_PER_MSEC)
/* How often a list of locks is read before it is believed that one isn't in it. */
#define LOCK_LOOKS	3

/* The eventfds of one process. */
struct bells {
	pid_t pid;
	struct {
		uint64_t id;
		int fd;		/* in that process */
	} *bell;
	size_t n, room;
};

/* A name that is lost, by what it is looked for. */
struct wanted {
	uint64_t dev, ino;
	struct entry *e;
	bool locked;		/* somebody is attached to it */
};

struct walk {
	struct broker *b;
	struct wanted *wanted;	/* sorted */
	size_t n;
	pid_t pid;		/* where we are */
	struct bells bells;
};

static int compare(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return (x->dev > y->dev) - (x->dev < y->dev);
}

static struct wanted *find(const struct walk *w, uint64_t dev, uint64_t ino)
{
	const struct wanted key = { .dev = dev, .ino = ino };

	return w->n ? bsearch(&key, w->wanted, w->n, sizeof(key), compare) : NULL;
}

/* All that is lost, but for listeners.  False: no memory. */
static bool list_wanted(struct walk *w)
{
	const struct table *t = &w->b->table;

	w->wanted = calloc(t->nlost ? t->nlost : 1, sizeof(*w->wanted));
	if (!w->wanted)
		return false;
	for (uint32_t i = 0; i < t->nslots; i++) {
		struct entry *e = t->slot[i];

		if (e && e->lost && e->rec.kind != KIPC_SEG_PIPE)
			w->wanted[w->n++] = (struct wanted){ e->rec.dev, e->rec.ino, e, false };
	}
	qsort(w->wanted, w->n, sizeof(*w->wanted), compare);
	return true;
}

static void note_bell(int dirfd, const char *name, const char *link, void *arg)
{
	struct bells *all = arg;
	int fd = atoi(name);
	uint64_t id;

	(void)dirfd;
	(void)link;
	if (proc_eventfd_id(all->pid, fd, &id))
		return;
	if (all->n == all->room) {
		size_t room = all->room ? 2 * all->room : 16;
		void *p = reallocarray(all->bell, room, sizeof(all->bell[0]));

		if (!p)
			return;		/* one less to be found */
		all->bell = p;
		all->room = room;
	}
	all->bell[all->n].fd = fd;
	all->bell[all->n++].id = id + 1;	/* as object_eventfd() */
}

/* Makes the list for that process, unless it is its already. */
static void list_bells(struct bells *all, pid_t pid)
{
	if (all->pid == pid)
		return;
	all->pid = pid;
	all->n = 0;
	proc_each_fd(pid, "anon_inode:[eventfd]", note_bell, all);
}

/* The eventfd with that number out of the process; -1: it isn't there, or we may not. */
static int fetch_bell(struct bells *all, uint64_t id)
{
	int pidfd, fd = -1;

	for (size_t i = 0; i < all->n && fd < 0; i++) {
		if (all->bell[i].id != id)
			continue;
		pidfd = pidfd_open(all->pid, 0);
		if (pidfd < 0)
			return -1;
		fd = pidfd_getfd(pidfd, all->bell[i].fd, 0);
		close(pidfd);
		/* it may have become another since */
		if (fd >= 0 && object_eventfd(fd) != id) {
			close_later(fd, (uid_t)-1);
			fd = -1;
		}
	}
	return fd;
}

/* The same memfd as what the handle (O_PATH) stands for, opened and verified; or -1. */
static int open_memfd(int handle, const struct entry *e, int accmode)
{
	int fd = object_reopen(handle, accmode);
	struct object o;

	if (fd < 0)
		return -1;
	if (object_memfd(&o, fd, accmode) || o.ino != e->rec.ino || o.dev != e->rec.dev) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A descriptor whose link looks like that of one of our segments. */
static void found(int dirfd, const char *name, const char *link, void *arg)
{
	struct object o = { .pidfd = -1 };
	struct walk *w = arg;
	struct wanted *wanted = NULL;
	int flags;
	struct entry *e;
	struct statx st;
	int handle;

	(void)link;
	/* O_PATH opens nothing, and the rest is known: whatever it is, no file system is asked */
	handle = openat(dirfd, name, O_PATH | O_CLOEXEC);
	if (handle < 0)
		return;
	if (!statx(handle, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) &&
	    S_ISREG(st.stx_mode))
		wanted = find(w, makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino);
	if (!wanted || !entry_lost(wanted->e))
		goto out;
	e = wanted->e;
	o.fds[0] = open_memfd(handle, e, O_RDWR);
	o.readonly = open_memfd(handle, e, O_RDONLY);
	for (uint32_t i = 0; i < BELLS_MAX; i++)
		o.fds[1 + i] = -1;
	/* one that can only read has no doorbells, so those that it has are something else */
	if (e->rec.nbells && !proc_fd_flags(w->pid, atoi(name), &flags) &&
	    (flags & O_ACCMODE) == O_RDWR) {
		list_bells(&w->bells, w->pid);
		for (uint32_t i = 0; i < e->rec.nbells; i++)
			if (e->fds[1 + i] < 0)
				o.fds[1 + i] = fetch_bell(&w->bells, e->rec.bell[i]);
	}
	object_move(w->b, &o, e);
	for (uint32_t i = 0; i < 1 + BELLS_MAX; i++)
		if (o.fds[i] >= 0)
			close(o.fds[i]);
	if (o.readonly >= 0)
		close(o.readonly);
out:
	close(handle);
}

static void look_into(pid_t pid, void *arg)
{
	struct walk *w = arg;

	w->pid = pid;
	proc_each_fd(pid, "/memfd:kipc", found, w);
}

/* ---- what was not found ---- */

/*
 * Notes who of the wanted is locked.  False: that can't be told.  The list is read a page at a
 * time: where locks come and go in between, one that stays may be passed over, but hardly each
 * time.
 */
static bool note_locked(struct walk *w)
{
	unsigned int major, minor;
	struct wanted *wanted;
	char line[256];
	uint64_t ino;
	FILE *f;

	for (int i = 0; i < LOCK_LOOKS && w->n; i++) {
		f = fopen("/proc/locks", "re");
		if (!f)
			return false;
		/* 1: OFDLCK  ADVISORY  WRITE -1 00:01:1234 4611686018427387905 4611686018427387905 */
		while (fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%*d: OFDLCK %*s %*s %*d %x:%x:%lu", &major, &minor,
				   &ino) != 3)
				continue;
			wanted = find(w, makedev(major, minor), ino);
			if (wanted)
				wanted->locked = true;
		}
		fclose(f);
	}
	return true;
}

/* Names whose objects nobody has. */
static void drop_unheld(struct walk *w)
{
	if (!note_locked(w))
		return;
	for (size_t i = 0; i < w->n; i++) {
		struct entry *e = w->wanted[i].e;

		if (entry_lost(e) && e->readonly < 0 && !w->wanted[i].locked)
			entry_end(w->b, e);
	}
}

/* Whether the process that the name is tied to, or that listens, is no more. */
static bool is_orphan(struct broker *b, struct entry *e)
{
	const struct record *rec = &e->rec;
	bool has_process = rec->kind == KIPC_SEG_PIPE || rec->flags & KIPC_BROKER_TIED;
	int pidfd;

	if (has_process && e->pidfd < 0 && rec->pid && rec->start) {
		pidfd = process_open((pid_t)rec->pid, rec->start);
		if (pidfd == -ESRCH)
			return true;
		/* else it lives; if we can't watch it now, the next look tries again */
		if (pidfd >= 0) {
			e->pidfd = pidfd;
			if (tie(b, e)) {
				close(pidfd);
				e->pidfd = -1;
			}
			entry_changed(b, e);
		}
	}
	return false;
}

void adopt(struct broker *b)
{
	struct walk w = { .b = b };

	b->adopted_ns = now_ns();
	/* without memory: another time */
	if (list_wanted(&w)) {
		if (w.n)
			proc_each_process(look_into, &w);
		drop_unheld(&w);
	}
	free(w.bells.bell);
	free(w.wanted);
	for (uint32_t i = 0; i < b->table.nslots; i++) {
		struct entry *e = b->table.slot[i];

		if (e && is_orphan(b, e))
			entry_end(b, e);
	}
}

void adopt_again(struct broker *b)
{
	if (now_ns() - b->adopted_ns >= AGAIN_NS)
		adopt(b);
}
