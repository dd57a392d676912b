// SPDX-License-Identifier: MIT
/* See holders.h. */
#include "tools/common/holders.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/broker.h"
#include "tools/common/procfs.h"
#include "tools/common/segment-view.h"
#include "tools/common/xalloc.h"

static size_t hash_of(const struct objects *o, uint64_t dev, uint64_t ino)
{
	return ((ino ^ dev << 32) * 0x9e3779b97f4a7c15ULL >> 32) & (o->nhash - 1);
}

static void grow_hash(struct objects *o)
{
	free(o->hash);
	o->nhash = o->nhash ? 2 * o->nhash : 256;
	o->hash = xcalloc(o->nhash, sizeof(o->hash[0]));
	for (size_t i = 0; i < o->n; i++) {
		size_t h = hash_of(o, o->object[i].dev, o->object[i].ino);

		while (o->hash[h])
			h = (h + 1) & (o->nhash - 1);
		o->hash[h] = (uint32_t)i + 1;
	}
}

static struct object *get(struct objects *o, uint64_t dev, uint64_t ino, const char *label)
{
	struct object *object;
	size_t h;

	if (2 * (o->n + 1) > o->nhash)
		grow_hash(o);
	for (h = hash_of(o, dev, ino); o->hash[h]; h = (h + 1) & (o->nhash - 1)) {
		object = &o->object[o->hash[h] - 1];
		if (object->dev == dev && object->ino == ino)
			return object;
	}
	if (o->n == o->room) {
		o->room = o->room ? 2 * o->room : 64;
		o->object = xreallocarray(o->object, o->room, sizeof(o->object[0]));
	}
	object = &o->object[o->n++];
	memset(object, 0, sizeof(*object));
	object->dev = dev;
	object->ino = ino;
	object->kept = -1;
	snprintf(object->label, sizeof(object->label), "%s", label);
	o->hash[h] = (uint32_t)o->n;
	return object;
}

void objects_add(struct objects *o, uint64_t dev, uint64_t ino, const char *label,
		 const struct handle *by)
{
	struct holders *h = &get(o, dev, ino, label)->holders;

	if (h->n == h->room) {
		h->room = h->room ? 2 * h->room : 2;
		h->handle = xreallocarray(h->handle, h->room, sizeof(h->handle[0]));
	}
	h->handle[h->n++] = *by;
}

void objects_add_image(struct objects *o, const char *path)
{
	/* no file has this device: it never is one that was found */
	get(o, UINT64_MAX, o->n, "")->path = xstrdup(path);
}

/* ---- sources ---- */

/* "kipc:queue" of "/memfd:kipc:queue (deleted)" */
static void label_of(const char *link, char label[32])
{
	const char *name = link + strlen("/memfd:");
	size_t len = strcspn(name, " ");

	snprintf(label, 32, "%.*s", (int)(len < 31 ? len : 31), name);
}

struct search {
	struct objects *objects;
	pid_t pid;
};

static void found_fd(int dirfd, const char *name, const char *link, void *arg)
{
	struct search *s = arg;
	char label[32];
	struct stat st;

	if (fstatat(dirfd, name, &st, 0) || !S_ISREG(st.st_mode))
		return;
	label_of(link, label);
	objects_add(s->objects, st.st_dev, st.st_ino, label,
		    &(struct handle){ .pid = s->pid, .fd = atoi(name) });
}

/* Of one object that a process maps, the first mapping counts, and none beside a descriptor. */
static void found_mapping(const struct proc_mapping *m, void *arg)
{
	struct search *s = arg;
	char label[32];
	const struct holders *h;

	label_of(m->path, label);
	h = &get(s->objects, m->dev, m->ino, label)->holders;
	if (!h->n || h->handle[h->n - 1].pid != s->pid)
		objects_add(s->objects, m->dev, m->ino, label,
			    &(struct handle){ .pid = s->pid, .fd = -1, .start = m->start,
					      .end = m->end });
}

static void look_into(pid_t pid, void *arg)
{
	struct search s = { .objects = arg, .pid = pid };
	struct proc_stat st;
	int r;

	if (pid == getpid())
		return;
	r = proc_each_fd(pid, VIEW_LINK_PREFIX, found_fd, &s);
	if (!r)
		r = proc_each_mapping(pid, VIEW_LINK_PREFIX, found_mapping, &s);
	if ((r == -EACCES || r == -EPERM) && !proc_stat_read(pid, &st) && !st.kernel_thread)
		s.objects->refused++;
}

static int processes(struct objects *o)
{
	return proc_each_process(look_into, o);
}

/*
 * Its comm says so.  That is for display: at the worst an orphan is not called one, of a process that
 * wants to be taken for a broker.
 */
static bool held_by_broker(const struct object *object)
{
	char comm[16];

	for (size_t i = 0; i < object->holders.n; i++)
		if (!proc_comm(object->holders.handle[i].pid, comm) && !strcmp(comm, "kipcd"))
			return true;
	return false;
}

/* The memfd that goes with the name.  fd is taken. */
static void found_name(struct objects *o, int fd, uint32_t kind)
{
	const char *kind_name = view_kind_name(kind);
	struct object *object;
	struct stat st;
	char label[32];

	/* only a memfd has seals: no file system is asked */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st)) {
		close(fd);
		return;
	}
	snprintf(label, sizeof(label), "kipc:%s", kind_name ? kind_name : "unknown");
	object = get(o, st.st_dev, st.st_ino, label);
	object->named = true;
	if (object->holders.n || object->kept >= 0)
		close(fd);
	else
		object->kept = fd;
}

/* Each of what is kept takes a descriptor. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* After the processes.  What the broker doesn't tell is no reason not to show the rest. */
static int names(struct objects *o)
{
	struct kipc_broker_entry entry[KIPC_BROKER_ENTRIES];
	int fds[KIPC_BROKER_FDS], sock, n, r;
	uint64_t cursor = 0;

	for (size_t i = 0; i < o->n; i++)
		o->object[i].named = held_by_broker(&o->object[i]);
	sock = broker_connect();
	if (sock < 0) {
		o->names_error = sock == -ENOENT || sock == -ECONNREFUSED ? 0 : sock;
		return 0;
	}
	allow_descriptors();
	do {
		n = broker_list(sock, &cursor, entry);
		for (int i = 0; i < n; i++) {
			if (entry[i].kind == KIPC_SEG_PIPE)
				continue;	/* a listener */
			r = broker_open(sock, entry[i].kind, entry[i].name, KIPC_BROKER_RDONLY,
					fds);
			for (int k = 1; k < r; k++)
				close(fds[k]);
			if (r > 0)
				found_name(o, fds[0], entry[i].kind);
			else if (r == -ETIMEDOUT)
				n = r;		/* stopped: it won't answer the next one either */
			else if (r != -ENOENT)
				o->refused_names++;
		}
	} while (n >= 0 && cursor);
	o->names_error = n < 0 ? n : 0;
	close(sock);
	return 0;
}

static int (*const sources[])(struct objects *o) = { processes, names };

int objects_find(struct objects *o)
{
	int r = 0;

	memset(o, 0, sizeof(*o));
	for (size_t i = 0; !r && i < sizeof(sources) / sizeof(sources[0]); i++)
		r = sources[i](o);
	return r;
}

void objects_free(struct objects *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->object[i].holders.handle);
		free(o->object[i].path);
		if (o->object[i].kept >= 0)
			close(o->object[i].kept);
	}
	free(o->object);
	free(o->hash);
	memset(o, 0, sizeof(*o));
}

const struct handle *object_held_by(const struct object *o, pid_t pid)
{
	for (size_t i = 0; i < o->holders.n; i++)
		if (o->holders.handle[i].pid == pid)
			return &o->holders.handle[i];
	return NULL;
}

const char *handle_text(const struct handle *h, char buf[HANDLE_TEXT])
{
	if (h->fd < 0)
		snprintf(buf, HANDLE_TEXT, "%d:0x%lx", h->pid, (unsigned long)h->start);
	else
		snprintf(buf, HANDLE_TEXT, "%d:%d", h->pid, h->fd);
	return buf;
}
