// SPDX-License-Identifier: MIT
/* See holders.h. */
#include "tools/common/holders.h"

#include <string.h>
#include <sys/stat.h>

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
	snprintf(object->label, sizeof(object->label), "%s", label);
	o->hash[h] = (uint32_t)o->n;
	return object;
}

void objects_add(struct objects *o, uint64_t dev, uint64_t ino, const char *label, pid_t pid,
		 int fd)
{
	struct holders *h = &get(o, dev, ino, label)->holders;

	if (h->n == h->room) {
		h->room = h->room ? 2 * h->room : 2;
		h->handle = xreallocarray(h->handle, h->room, sizeof(h->handle[0]));
	}
	h->handle[h->n++] = (struct handle){ .pid = pid, .fd = fd };
}

static void found(pid_t pid, int dirfd, const char *name, const char *link, void *arg)
{
	char label[32];
	struct stat st;
	size_t len = strcspn(link + strlen("/memfd:"), " ");

	if (fstatat(dirfd, name, &st, 0) || !S_ISREG(st.st_mode))
		return;
	snprintf(label, sizeof(label), "%.*s", (int)(len < 31 ? len : 31),
		 link + strlen("/memfd:"));
	objects_add(arg, st.st_dev, st.st_ino, label, pid, atoi(name));
}

int objects_find(struct objects *o)
{
	int r;

	memset(o, 0, sizeof(*o));
	r = proc_each_fd(VIEW_LINK_PREFIX, found, o);
	if (r < 0)
		return r;
	o->refused = r;
	return 0;
}

void objects_free(struct objects *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->object[i].holders.handle);
	free(o->object);
	free(o->hash);
	memset(o, 0, sizeof(*o));
}

bool object_held_by(const struct object *o, pid_t pid, int fd)
{
	for (size_t i = 0; i < o->holders.n; i++)
		if (o->holders.handle[i].pid == pid && (fd < 0 || o->holders.handle[i].fd == fd))
			return true;
	return false;
}
