// SPDX-License-Identifier: MIT
/* See segment-view.h. */
#include "tools/common/segment-view.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/xalloc.h"

#define CONFIRMATIONS	5

int view_problem(struct view *v, const char *fmt, ...)
{
	va_list ap;

	if (v->nproblems < VIEW_PROBLEMS_MAX) {
		va_start(ap, fmt);
		if (vasprintf(&v->problems[v->nproblems], fmt, ap) < 0)
			err(1, "memory");
		va_end(ap);
		v->nproblems++;
	}
	return -EPROTO;
}

int view_confirm(int (*look)(void *arg, bool last), void *arg)
{
	int r = 0;

	for (int i = 1; i <= CONFIRMATIONS; i++) {
		r = look(arg, i == CONFIRMATIONS);
		if (r >= 0)
			break;
		sched_yield();
	}
	return r;
}

int view_read(const struct view *v, uint64_t off, void *buf, uint64_t len)
{
	uint64_t done = 0;

	if (off > INT64_MAX || len > INT64_MAX - off)
		return -EPROTO;
	while (done < len) {
		ssize_t n = pread(v->fd, (char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPROTO;
		done += (uint64_t)n;
	}
	return 0;
}

bool view_holds(struct view *v, uint64_t off, uint64_t len)
{
	struct stat st;

	if (off > UINT64_MAX - len)
		return false;
	if (off + len > v->file_size && !fstat(v->fd, &st) && (uint64_t)st.st_size > v->file_size)
		v->file_size = (uint64_t)st.st_size;
	return off + len <= v->file_size;
}

const char *view_kind_name(unsigned int kind)
{
	static const char *const names[] = {
		[KIPC_SEG_QUEUE] = "queue",	[KIPC_SEG_PIPE] = "pipe",
		[KIPC_SEG_SHM] = "shm",		[KIPC_SEG_ARRAY] = "array",
		[KIPC_SEG_MANAGER] = "manager",
	};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

/*
 * Opening is not always harmless (a FIFO blocks, a device may do anything), and a descriptor may be
 * another file's since we looked.  So: O_PATH, which does nothing, a look at what that is, and then
 * the same thing anew for reading.  dev, ino: what it must be; ino 0: any file.
 */
static int reopen(struct view *v, const char *name, uint64_t dev, uint64_t ino)
{
	char path[64];
	struct stat st;
	int handle, r;

	handle = open(name, O_PATH | O_CLOEXEC);
	if (handle < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	r = fstat(handle, &st) ? -errno : 0;
	if (!r && ino && (st.st_dev != dev || st.st_ino != ino))
		r = -ENOENT;
	if (!r && !S_ISREG(st.st_mode))
		r = ino ? -ENOENT : -EINVAL;
	if (r)
		goto out;
	v->file_size = (uint64_t)st.st_size;
	v->resident = (uint64_t)st.st_blocks * 512;
	v->mode = st.st_mode & 07777;
	v->uid = st.st_uid;
	v->gid = st.st_gid;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
	v->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	r = v->fd < 0 ? -errno : 0;
out:
	close(handle);
	return r;
}

static void check_geometry(struct view *v)
{
	const struct kipc_seg_header *h = &v->hdr;

	if (h->page_size != 4096 && h->page_size != 2u << 20 && h->page_size != 1u << 30)
		view_problem(v, "page size %lu", (unsigned long)h->page_size);
	if (!h->npeers || h->npeers > KIPC_PEER_MAX)
		view_problem(v, "%u slots, of 1 to %u", h->npeers, KIPC_PEER_MAX);
	else if (h->body_off % 4096 ||
		 h->body_off < KIPC_SEG_PEERS_OFF + h->npeers * sizeof(struct kipc_peer))
		view_problem(v, "the body begins at %lu, inside the table of peers",
			     (unsigned long)h->body_off);
	if (h->size > v->file_size || h->body_off >= h->size)
		view_problem(v, "the header says %lu bytes, the body from %lu on; the file has %lu",
			     (unsigned long)h->size, (unsigned long)h->body_off,
			     (unsigned long)v->file_size);
	if (h->max_size < h->size || v->file_size > h->max_size)
		view_problem(v, "the file has %lu bytes, more than the %lu that it may grow to",
			     (unsigned long)v->file_size, (unsigned long)h->max_size);
	if (h->peer_high > h->npeers)
		view_problem(v, "slot %u was used, of %u", h->peer_high, h->npeers);
	if (h->name[sizeof(h->name) - 1])
		view_problem(v, "the name does not end");
}

static void judge(struct view *v)
{
	struct kipc_seg_header *h = &v->hdr;

	if (v->file_size < sizeof(*h)) {
		/* it begins its life with no size at all */
		if (v->file_size) {
			view_problem(v, "the file has %lu bytes, less than a header",
				     (unsigned long)v->file_size);
			v->verdict = VIEW_DAMAGED;
		} else {
			v->verdict = VIEW_UNFINISHED;
		}
		return;
	}
	v->nfirst = v->file_size < VIEW_FIRST ? (uint32_t)v->file_size : VIEW_FIRST;
	if (view_read(v, 0, v->first, v->nfirst)) {
		view_problem(v, "the header can't be read");
		v->verdict = VIEW_DAMAGED;
		return;
	}
	v->have_header = true;
	if (!h->magic) {
		v->verdict = VIEW_UNFINISHED;
		return;
	}
	if (h->magic != KIPC_SEG_MAGIC)
		view_problem(v, "magic 0x%016lx", (unsigned long)h->magic);
	else if (h->endian != KIPC_SEG_ENDIAN)
		view_problem(v, "endian mark 0x%08x", h->endian);
	else if (!v->image && (v->seals < 0 || !(v->seals & F_SEAL_SHRINK)))
		view_problem(v, "unsealed: the file may still be cut short");
	if (v->nproblems) {
		v->verdict = VIEW_DAMAGED;
		return;
	}
	if (h->abi_major != KIPC_ABI_MAJOR || h->abi_oldest > KIPC_ABI_MINOR || h->incompat) {
		v->verdict = VIEW_FOREIGN;
		return;
	}
	if (!view_kind_name(h->kind))
		view_problem(v, "kind %u", h->kind);
	check_geometry(v);
	v->verdict = v->nproblems ? VIEW_DAMAGED : VIEW_GOOD;
}

int view_open(struct view *v, const struct handle *by, uint64_t dev, uint64_t ino)
{
	char path[80];
	int r;

	memset(v, 0, sizeof(*v));
	v->fd = -1;
	if (by->fd >= 0)
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", by->pid, by->fd);
	else
		snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", by->pid,
			 (unsigned long)by->start, (unsigned long)by->end);
	r = reopen(v, path, dev, ino);
	if (r) {
		view_close(v);
		return r;
	}
	v->seals = fcntl(v->fd, F_GET_SEALS);
	judge(v);
	return 0;
}

/* What the file's inode can't say of the segment stands in the header; a plain copy doesn't know. */
int view_open_image(struct view *v, const char *path)
{
	const struct kipc_seg_image *im = &v->hdr.image;
	int r;

	memset(v, 0, sizeof(*v));
	v->fd = -1;
	v->image = true;
	v->seals = -1;
	r = reopen(v, path, 0, 0);
	if (!r) {
		judge(v);
		r = v->have_header && v->hdr.magic == KIPC_SEG_MAGIC ? 0 : -EINVAL;
	}
	if (r) {
		view_close(v);
		return r;
	}
	if (im->magic == KIPC_IMAGE_MAGIC) {
		v->seals = (int)im->seals;
		v->resident = im->resident;
		v->mode = im->mode & 07777;
		v->uid = im->uid;
		v->gid = im->gid;
	}
	return 0;
}

void view_close(struct view *v)
{
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	while (v->nproblems)
		free(v->problems[--v->nproblems]);
}
