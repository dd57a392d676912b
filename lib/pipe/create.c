// SPDX-License-Identifier: MIT
/*
 * Making, mapping and closing a pipe's ends; repairing after a death.
 *
 * Each handle has a segment mapping and a slot of its own, also when both ends are in one process, so
 * that each can be closed alone.  It owns its descriptors: the memfd, four eventfds, its half of the
 * socket.
 *
 * The rings are mapped a second time, each twice in a row: [map, map + 2 * ring_size).  The file is
 * sealed against shrinking, so all of that is backed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/opts.h"
#include "core/sys.h"
#include "pipe/ring.h"
#include "pipe/sides.h"

#define DEFAULT_RING	(64 * 1024)
#define NPEERS		120	/* what fits 8 KiB with the header */
/* Rings up to this size are allocated and mapped when a handle is made, larger ones when touched. */
#define POPULATE_MAX	(4ULL << 20)

static int verify(struct kipc_segment *seg);
static int repair(struct kipc_segment *seg, uint32_t slot);
static void forked(struct kipc_segment *seg);
static int reattached(struct kipc_segment *seg);

static const struct kipc_segment_ops pipe_ops = {
	.kind = KIPC_SEG_PIPE,
	.stamp = KIPC_STAMP(KIPC_STAMP(KIPC_STAMP_INIT, sizeof(struct kipc_pipe_header)),
			    sizeof(struct kipc_pipe_way)),
	.verify = verify,
	.repair = repair,
	.forked = forked,
	.reattached = reattached,
};

void __kipc_pipe_check_object(struct kipc_check *c)
{
	__kipc_pipe_check(c, pipe_ops.stamp);
}

/* ---- memory ---- */

static uint8_t *map_twice(int fd, uint64_t off, uint64_t size)
{
	uint8_t *base = mmap(NULL, 2 * size, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	for (int i = 0; i < 2; i++) {
		void *at = mmap(base + (uint64_t)i * size, size, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, fd, (off_t)off);

		if (at == MAP_FAILED) {
			munmap(base, 2 * size);
			return NULL;
		}
	}
	return base;
}

/* The pages that exist go into this mapping's page tables at once, which is cheaper than by faults. */
void __kipc_pipe_populate(struct kipc_pipe *p)
{
	for (int i = 0; i < KIPC_PIPE_WAYS; i++)
		if (p->map[i] && p->ring_size <= POPULATE_MAX)
			__kipc_memory_populate(p->map[i], 2 * p->ring_size, false);
}

/* Takes the geometry, checked, into the handle, and maps the rings.  0, -EPROTO, -ENOMEM. */
static int verify(struct kipc_segment *seg)
{
	struct kipc_pipe *p = pipe_of(seg);
	struct kipc_pipe_header *shm = __kipc_segment_at(seg, seg->body_off, sizeof(*shm));
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size, off;
	struct pipe_way *way;
	uint32_t flags;
	int saved;

	if (!shm)
		return -EPROTO;
	flags = load_relaxed(&shm->flags);
	size = load_relaxed(&shm->ring_size);
	if (flags & ~(KIPC_PIPE_F_SIMPLEX | KIPC_PIPE_F_EXCLUSIVE))
		return -EPROTO;
	if (size < page || size > KIPC_PIPE_RING_MAX || (size & (size - 1)))
		return -EPROTO;
	p->shm = shm;
	p->ring_size = size;
	p->mask = size - 1;
	p->flags = flags;
	p->exclusive = flags & KIPC_PIPE_F_EXCLUSIVE;
	p->closes_seen = load_relaxed(&shm->closes[!p->end]) - 1;	/* ask once */
	for (uint32_t i = 0; i < KIPC_PIPE_WAYS; i++) {
		p->bells[2 * i].line = &shm->way[i].readable;
		p->bells[2 * i].index = 2 * i;
		p->bells[2 * i].id = p->bells[2 * i + 1].id = seg->id;
		p->bells[2 * i + 1].line = &shm->way[i].writable;
		p->bells[2 * i + 1].index = 2 * i + 1;
		if (i == 0 && (flags & KIPC_PIPE_F_SIMPLEX))
			continue;
		off = load_relaxed(&shm->ring_off[i]);
		if (off % page || off < seg->body_off + sizeof(*shm) ||
		    !__kipc_segment_at(seg, off, size))
			return -EPROTO;
		saved = errno;
		p->map[i] = map_twice(seg->fd, off, size);
		errno = saved;
		if (!p->map[i])
			return -ENOMEM;
		way = i == p->end ? &p->tx : &p->rx;
		way->shm = &shm->way[i];
		way->ring = p->map[i];
		way->readable = &p->bells[2 * i];
		way->writable = &p->bells[2 * i + 1];
	}
	seg->bells = p->bells;
	seg->nbells = PIPE_BELLS;
	return 0;
}

/* ---- handles ---- */

struct kipc_pipe *__kipc_pipe_new(uint32_t end)
{
	struct kipc_pipe *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->obj.ops = &__kipc_pipe_object;
	p->end = end;
	p->sock = p->hup_fd = -1;
	p->hup_token = __kipc_hup_token();
	for (int i = 0; i < PIPE_BELLS; i++)
		p->bells[i].fd = -1;
	return p;
}

void __kipc_pipe_free(struct kipc_pipe *p)
{
	if (!p)
		return;
	__kipc_pipe_hup_close(p);
	__kipc_segment_close(&p->obj.seg);
	for (int i = 0; i < KIPC_PIPE_WAYS; i++)
		if (p->map[i])
			munmap(p->map[i], 2 * p->ring_size);
	for (int i = 0; i < PIPE_BELLS; i++)
		if (p->bells[i].fd >= 0)
			SYS(close(p->bells[i].fd));
	free(p);
}

static int read_opts(const struct kipc_pipe_opts *opts, struct kipc_pipe_opts *o)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int r = __kipc_opts_read(o, sizeof(*o), sizeof(*o), opts);

	if (r)
		return r;
	if (!o->ring_size)
		o->ring_size = max_of((size_t)DEFAULT_RING, page);
	if (o->ring_size < page || o->ring_size > KIPC_PIPE_RING_MAX ||
	    (o->ring_size & (o->ring_size - 1)))
		return -EINVAL;
	if ((o->flags & ~(KIPC_PIPE_SIMPLEX | KIPC_PIPE_EXCLUSIVE)) || (o->mode & ~0777u))
		return -EINVAL;
	return 0;
}

/* The first handle and the segment, published. */
static int make_segment(struct kipc_pipe *p, const struct kipc_pipe_opts *o)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint32_t ways = o->flags & KIPC_PIPE_SIMPLEX ? 1 : 2;
	/* body_off is a multiple of 4096, of the page perhaps not */
	uint64_t head = align_up(sizeof(struct kipc_pipe_header), page) + (page > 4096 ? page : 0);
	struct kipc_segment_spec spec = {
		.body_size = head + ways * (uint64_t)o->ring_size,
		.npeers = NPEERS,
		.populate = sizeof(struct kipc_pipe_header),
		.mode = o->mode,
	};
	struct kipc_segment *seg = &p->obj.seg;
	struct kipc_pipe_header *shm;
	uint64_t off;
	int r;

	r = __kipc_segment_create(seg, &pipe_ops, &spec);
	if (r)
		return r;
	shm = __kipc_segment_body(seg);
	shm->ring_size = o->ring_size;
	shm->flags = o->flags;
	off = align_up(seg->body_off + sizeof(*shm), page);
	for (uint32_t i = 2 - ways; i < 2; i++, off += o->ring_size) {
		shm->ring_off[i] = off;
		if (o->ring_size > POPULATE_MAX)
			continue;
		r = __kipc_memory_allocate(seg->fd, off, o->ring_size);
		if (r)
			return r;
	}
	r = verify(seg);
	return r ? r : __kipc_segment_publish(seg);
}

static int dup_fd(int fd)
{
	return (int)SYS(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int __kipc_pipe_open(struct kipc_pipe *p, int fd)
{
	return __kipc_segment_open(&p->obj.seg, &pipe_ops, fd);
}

/* The second handle, on descriptors of its own. */
static int attach_second(struct kipc_pipe *p, const struct kipc_pipe *first)
{
	int fd, r;

	for (int i = 0; i < PIPE_BELLS; i++) {
		p->bells[i].fd = dup_fd(first->bells[i].fd);
		if (p->bells[i].fd < 0)
			return p->bells[i].fd;
	}
	fd = dup_fd(first->obj.seg.fd);
	if (fd < 0)
		return fd;
	r = __kipc_pipe_open(p, fd);
	if (r)
		SYS(close(fd));
	return r;
}

KIPC_API int kipc_pipe_create(const struct kipc_pipe_opts *opts, struct kipc_pipe *ends[2])
{
	struct kipc_pipe_opts o;
	struct kipc_pipe *a, *b;
	int sv[2], r;

	if (!ends)
		return -EINVAL;
	r = read_opts(opts, &o);
	if (r)
		return r;
	a = __kipc_pipe_new(0);
	b = __kipc_pipe_new(1);
	r = -ENOMEM;
	if (!a || !b)
		goto out_free;
	r = (int)SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	if (r)
		goto out_free;
	a->sock = sv[0];
	b->sock = sv[1];
	for (int i = 0; i < PIPE_BELLS; i++) {
		r = a->bells[i].fd = __kipc_bell_eventfd();
		if (r < 0)
			goto out_free;
	}
	r = make_segment(a, &o);
	if (!r)
		r = attach_second(b, a);
	if (r)
		goto out_free;
	__kipc_pipe_populate(a);
	__kipc_pipe_populate(b);
	ends[0] = a;
	ends[1] = b;
	return 0;

out_free:
	__kipc_pipe_free(b);
	__kipc_pipe_free(a);
	return r;
}

KIPC_API void kipc_pipe_close(struct kipc_pipe *p)
{
	if (!p)
		return;
	/* a fork child's copy of the instance is the parent's: close it, change nothing */
	if (load_relaxed(__kipc_fork_epoch) != load_relaxed(&p->obj.seg.epoch))
		__kipc_pipe_hup_forked(p);
	/* the socket first: whoever sees the count move asks the kernel */
	__kipc_pipe_hup_close(p);
	fetch_add(&p->shm->closes[p->end], 1);
	KIPC_POINT("pipe.close_counted");
	/* those of the other end that spin or poll from outside */
	if (p->tx.shm)
		__kipc_bell_kick(p->tx.readable);
	if (p->rx.shm)
		__kipc_bell_kick(p->rx.writable);
	__kipc_pipe_free(p);
}

/* ---- deaths and forks ---- */

static int repair(struct kipc_segment *seg, uint32_t slot)
{
	struct kipc_pipe *p = pipe_of(seg);
	int n = 0;

	for (int i = 0; i < KIPC_PIPE_WAYS; i++) {
		struct kipc_pipe_way *s = &p->shm->way[i];

		if ((load_acquire(&s->send_lock) & KIPC_LOCK_OWNER) == slot) {
			/* the stream before the lock: nobody else may move head */
			__kipc_pipe_stream_repair(s);
			n += __kipc_lock_repair(&s->send_lock, slot);
		}
		/* what it was receiving is in msg_end; a peeked message stays */
		n += __kipc_lock_repair(&s->recv_lock, slot);
	}
	return n;
}

static void forked(struct kipc_segment *seg)
{
	struct kipc_pipe *p = pipe_of(seg);

	p->tx.open = p->rx.open = 0;
	__kipc_pipe_hup_forked(p);
}

static int reattached(struct kipc_segment *seg)
{
	__kipc_pipe_populate(pipe_of(seg));	/* a child's page tables start empty here */
	return 0;
}
