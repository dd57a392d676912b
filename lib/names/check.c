// SPDX-License-Identifier: MIT
/*
 * kipc_check(): the auditor's way in, for an open object or for a descriptor.  See kipc/check.h for
 * what is promised, core/check.h for how it works; each kind's own invariants are in its check.c.
 *
 * The view of an open object is its own mapping.  That of a descriptor is mapped here, read-only, if
 * the file is sealed against shrinking; what isn't is copied, as far as there is data: a page that
 * vanishes is SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/check.h"
#include "core/memory.h"
#include "core/opts.h"
#include "core/peer.h"
#include "core/sys.h"

#define KNOWN_FLAGS	(KIPC_CHECK_SETTLE | KIPC_CHECK_IDLE)
#define COPY_MAX	(4ULL << 30)	/* bytes of data */
#define VIEW_MAX	(1ULL << 46)

/* 0, -EINVAL, -E2BIG. */
static int read_report(struct kipc_report *r, const struct kipc_report *in, uint32_t flags)
{
	int ret;

	if (!in)
		return -EINVAL;
	ret = __kipc_opts_read(r, sizeof(*r), sizeof(*r), in);
	if (ret)
		return ret;
	return r->flags & ~flags ? -EINVAL : 0;
}

static void look(struct kipc_check *c)
{
	if (!__kipc_check_header(c))
		return;
	if (!c->obj)
		c->ops = __kipc_object_kind_ops(c->hdr.kind);
	if (!check_that(c, c->ops != NULL, KIPC_FINDING_HEADER,
			offsetof(struct kipc_seg_header, kind), "header: a kind of %u", c->hdr.kind))
		return;
	__kipc_check_watch(c, KIPC_SEG_PEERS_OFF, 8, sizeof(struct kipc_peer), c->hdr.npeers);
	__kipc_check_peers(c);
	c->ops->check(c);
}

/* Fills what the caller has of the report. */
static int finish(struct kipc_check *c, struct kipc_report *r, struct kipc_report *out)
{
	int ret = __kipc_check_run(c, r, look);

	r->sz = out->sz;
	memcpy(out, r, min_of(out->sz, sizeof(*r)));
	return ret;
}

/* ---- open objects ---- */

KIPC_API int kipc_check(struct kipc_object *obj, struct kipc_report *report)
{
	struct kipc_segment view = { 0 }, *seg;
	struct kipc_check c = { .seg = &view, .obj = obj, .memfd = true };
	void *frozen = NULL;
	struct kipc_report r;
	int ret;

	if (!obj)
		return -EINVAL;
	ret = read_report(&r, report, KNOWN_FLAGS);
	if (ret)
		return ret;
	seg = &obj->seg;
	if (r.flags & KIPC_CHECK_SETTLE) {
		ret = __kipc_peer_enter_any(seg);
		if (ret)
			return ret;
		__kipc_peer_sweep(seg, 0);
		ret = obj->ops->freeze ? obj->ops->freeze(obj, &frozen) : 0;
		if (ret)
			return ret;
		c.frozen = frozen != NULL;
	}
	c.ops = obj->ops;
	c.idle = r.flags & KIPC_CHECK_IDLE;
	view.base = seg->base;
	view.hdr = seg->hdr;
	view.size = load_relaxed(&seg->size);
	view.map_size = seg->map_size;
	view.body_off = seg->body_off;
	view.page_size = seg->page_size;
	view.npeers = seg->npeers;
	view.fd = seg->fd;
	view.lock_fd = -1;
	view.readonly = true;
	ret = finish(&c, &r, report);
	if (frozen)
		obj->ops->thaw(frozen);
	return ret;
}

/* ---- descriptors ---- */

/* What the file has from off to end goes to the same place in memory; holes stay zero. */
static int copy_data(int fd, uint8_t *to, uint64_t off, uint64_t end)
{
	while (off < end) {
		long n = SYS_RETRY(pread(fd, to + off, min_of(end - off, 1ULL << 20), (off_t)off));

		if (n < 0)
			return (int)n;
		if (!n)
			break;	/* it has just been cut: zeroes, then */
		off += (uint64_t)n;
	}
	return 0;
}

static int copy_file(struct kipc_segment *view, uint64_t size)
{
	uint64_t copied = 0, off = 0;
	int saved = errno, r = 0;
	void *p;

	/* one byte more, so that an empty file is a view as well */
	p = mmap(NULL, size + 1, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	errno = saved;
	if (p == MAP_FAILED)
		return -ENOMEM;
	view->base = p;
	view->map_size = size + 1;
	while (!r && off < size) {
		int64_t data = SYS(lseek(view->fd, (off_t)off, SEEK_DATA)), hole;

		if (data == -ENXIO)
			break;		/* a hole up to the end */
		if (data < 0)
			data = (int64_t)off;
		hole = SYS(lseek(view->fd, (off_t)data, SEEK_HOLE));
		if (hole <= data || (uint64_t)hole > size)
			hole = (int64_t)size;
		if ((uint64_t)data >= size)
			break;
		copied += (uint64_t)(hole - data);
		if (copied > COPY_MAX)
			return -EFBIG;
		r = copy_data(view->fd, p, (uint64_t)data, (uint64_t)hole);
		off = (uint64_t)hole;
	}
	return r;
}

/* Whether all of the file can be mapped and stays there. */
static bool mappable(int fd, uint64_t size, uint64_t *page_size)
{
	struct statfs fs;
	long seals = SYS(fcntl(fd, F_GET_SEALS));

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || !size || SYS(fstatfs(fd, &fs)))
		return false;
	*page_size = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : KIPC_PAGE_4K;
	return true;
}

/* Whether it is a memfd, and not a file; a file of tmpfs has seals as well. */
static bool is_memfd(const char *path)
{
	static const char prefix[] = "/memfd:";
	char link[sizeof(prefix)];

	return SYS(readlink(path, link, sizeof(link))) == sizeof(link) &&
	       !memcmp(link, prefix, sizeof(prefix) - 1);
}

static int open_view(struct kipc_check *c, int fd)
{
	struct kipc_segment *view = c->seg;
	uint64_t page_size;
	char path[32];
	struct stat st;
	void *addr;
	int r;

	r = (int)SYS(fstat(fd, &st));
	if (r)
		return r;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EACCES;
	if ((uint64_t)st.st_size > VIEW_MAX)
		return -EFBIG;
	/* a description of our own: its offset is ours, and it holds none of the locks we ask for */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	view->fd = (int)SYS_RETRY(open(path, O_RDONLY | O_CLOEXEC));
	if (view->fd < 0)
		return view->fd;
	c->memfd = is_memfd(path);
	view->readonly = true;
	if (mappable(view->fd, (uint64_t)st.st_size, &page_size)) {
		view->map_size = (uint64_t)st.st_size;
		r = __kipc_memory_map(view->fd, view->map_size, page_size, true, false, &addr);
		if (r)
			return r;
		view->base = addr;
	} else {
		r = copy_file(view, (uint64_t)st.st_size);
	}
	view->hdr = (struct kipc_seg_header *)view->base;
	view->size = (uint64_t)st.st_size;
	return r;
}

KIPC_API int kipc_check_fd(int fd, struct kipc_report *report)
{
	struct kipc_segment view = { .fd = -1, .lock_fd = -1 };
	struct kipc_check c = { .seg = &view };
	struct kipc_report r;
	int ret;

	ret = read_report(&r, report, KIPC_CHECK_IDLE);
	if (ret)
		return ret;
	c.idle = r.flags & KIPC_CHECK_IDLE;
	ret = open_view(&c, fd);
	if (!ret)
		ret = finish(&c, &r, report);
	if (view.base)
		munmap(view.base, view.map_size);
	if (view.fd >= 0)
		SYS(close(view.fd));
	return ret;
}
