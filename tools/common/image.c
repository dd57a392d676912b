// SPDX-License-Identifier: MIT
/* See image.h. */
#include "tools/common/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/peers.h"
#include "tools/common/xalloc.h"
#include "uapi/kipc/shm.h"

#define TRIES	5
#define CHUNK	(1u << 20)
#define BLOCK	4096u

struct copy {
	struct view *v;
	int out;
	uint64_t size;		/* bytes of the segment, at this try */
	uint64_t compared;	/* bytes from the start on that must not move */
	char *buf, *other;	/* CHUNK bytes each */
};

static bool is_zero(const char *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static int write_all(int fd, const char *p, size_t n, uint64_t off)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, (off_t)off);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO;
		p += done;
		n -= (size_t)done;
		off += (uint64_t)done;
	}
	return 0;
}

/* The blocks that aren't zero: what was never touched stays a hole. */
static int write_blocks(struct copy *c, uint64_t off, size_t n)
{
	int r = 0;

	for (size_t at = 0, len; !r && at < n; at += len) {
		len = n - at < BLOCK ? n - at : BLOCK;
		if (!is_zero(c->buf + at, len))
			r = write_all(c->out, c->buf + at, len, off + at);
	}
	return r;
}

/* The next stretch of data from *off on, at most CHUNK: its length; 0: there is none. */
static size_t next_data(const struct copy *c, uint64_t *off, uint64_t end)
{
	off_t data = lseek(c->v->fd, (off_t)*off, SEEK_DATA);

	if (data < 0 && errno == ENXIO)
		return 0;
	if (data >= 0)
		*off = (uint64_t)data;
	if (*off >= end)
		return 0;
	return end - *off < CHUNK ? (size_t)(end - *off) : CHUNK;
}

static int copy_data(struct copy *c)
{
	uint64_t off = 0;
	size_t n;
	int r;

	for (; (n = next_data(c, &off, c->size)); off += n) {
		r = view_read(c->v, off, c->buf, n);
		if (!r)
			r = write_blocks(c, off, n);
		if (r)
			return r;
	}
	return 0;
}

/* Whether the segment still is what was copied. */
static int unchanged(struct copy *c, bool *same)
{
	struct stat st;
	uint64_t off = 0;
	size_t n;

	*same = !fstat(c->v->fd, &st) && (uint64_t)st.st_size == c->size;
	for (; *same && (n = next_data(c, &off, c->compared)); off += n) {
		if (view_read(c->v, off, c->buf, n))
			return -EPROTO;
		if (pread(c->out, c->other, n, (off_t)off) != (ssize_t)n)
			return -EIO;
		*same = !memcmp(c->buf, c->other, n);
	}
	return 0;
}

/* Who lives, whatever the table of peers says: one question a slot. */
static void ask_alive(const struct view *v, uint64_t alive[16])
{
	memset(alive, 0, 16 * sizeof(alive[0]));
	for (uint32_t slot = 1; slot <= KIPC_PEER_MAX; slot++)
		if (peers_locked(v, slot) == 1)
			alive[slot / 64] |= 1ULL << slot % 64;
}

/* One try: everything anew. */
static int copy_once(struct copy *c, uint64_t alive[16], bool *same)
{
	uint64_t before[16];
	struct stat st;
	int r;

	if (fstat(c->v->fd, &st) || ftruncate(c->out, 0) || ftruncate(c->out, st.st_size))
		return -errno;
	c->size = (uint64_t)st.st_size;
	if (c->compared > c->size)
		c->compared = c->size;
	ask_alive(c->v, before);
	r = copy_data(c);
	ask_alive(c->v, alive);
	if (!r)
		r = unchanged(c, same);
	*same &= !memcmp(before, alive, sizeof(before));
	return r;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* An image of an image keeps what the first one says. */
static int stamp(struct copy *c, const uint64_t alive[16], bool moved)
{
	const struct view *v = c->v;
	struct kipc_seg_image im = {
		.magic = KIPC_IMAGE_MAGIC,
		.flags = moved ? KIPC_IMAGE_F_MOVED : 0,
		.seals = v->seals > 0 ? (uint32_t)v->seals : 0,
		.saved_ns = clock_ns(CLOCK_REALTIME),
		.saved_boot_ns = clock_ns(CLOCK_BOOTTIME),
		.resident = v->resident,
		.mode = v->mode,
		.uid = v->uid,
		.gid = v->gid,
	};

	memcpy(im.alive, alive, sizeof(im.alive));
	if (v->image && v->hdr.image.magic == KIPC_IMAGE_MAGIC)
		im = v->hdr.image;
	return write_all(c->out, (const char *)&im, sizeof(im),
			 offsetof(struct kipc_seg_header, image));
}

static int copy_all(struct copy *c, bool *moved)
{
	uint64_t alive[16];
	bool same = false;
	int r = 0;

	for (int i = 0; !r && !same && i < TRIES; i++)
		r = copy_once(c, alive, &same);
	*moved = !same;
	if (!r)
		r = stamp(c, alive, *moved);
	if (!r && fsync(c->out))
		r = -errno;
	return r;
}

/* Of shared memory and arrays, the description; of the others, everything. */
static uint64_t compared(const struct view *v)
{
	if (v->verdict == VIEW_GOOD &&
	    (v->hdr.kind == KIPC_SEG_SHM || v->hdr.kind == KIPC_SEG_ARRAY))
		return v->hdr.body_off + KIPC_SHM_HEAD_SIZE(v->hdr.npeers);
	return UINT64_MAX;
}

int image_save(struct view *v, const char *path, bool *moved)
{
	_cleanup_free_ char *temp = xasprintf("%s.XXXXXX", path);
	_cleanup_free_ char *buf = xcheck(malloc(CHUNK)), *other = xcheck(malloc(CHUNK));
	struct copy c = {
		.v = v, .compared = compared(v), .buf = buf, .other = other,
	};
	int r;

	c.out = mkostemp(temp, O_CLOEXEC);	/* 0600 */
	if (c.out < 0)
		return -errno;
	r = copy_all(&c, moved);
	if (close(c.out) && !r)
		r = -errno;
	if (!r && rename(temp, path))
		r = -errno;
	if (r)
		unlink(temp);
	return r;
}
