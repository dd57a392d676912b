// SPDX-License-Identifier: MIT
/*
 * Creating, verifying and closing segments: see segment.h for the contract.
 *
 * What a death leaves behind: before publish, a memfd that nobody else has, which the kernel frees;
 * after it, a complete segment with a slot that the next peer repairs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/peer.h"
#include "core/segment.h"
#include "core/sys.h"
#include "core/time.h"

#define MAX_SIZE	(1ULL << 46)	/* more than any user address space of today */

uint32_t __kipc_stamp(const uint32_t *sizes, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		for (int shift = 0; shift < 32; shift += 8)
			h = (h ^ ((sizes[i] >> shift) & 0xff)) * 16777619u;
	return h;
}

static int init_common(struct kipc_segment *seg, const struct kipc_segment_ops *ops)
{
	pthread_mutexattr_t attr;

	memset(seg, 0, sizeof(*seg));
	seg->ops = ops;
	seg->fd = seg->lock_fd = seg->fork_fd = -1;
	seg->epoch = KIPC_EPOCH_NONE;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&seg->peer_mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return __kipc_fork_init();
}

static void fill_header(struct kipc_seg_header *hdr, const struct kipc_segment_ops *ops,
			const struct kipc_segment_spec *spec, const struct kipc_segment *seg)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	hdr->endian = KIPC_SEG_ENDIAN;
	hdr->abi_major = KIPC_ABI_MAJOR;
	hdr->abi_minor = KIPC_ABI_MINOR;
	hdr->abi_oldest = KIPC_ABI_OLDEST;
	hdr->kind = ops->kind;
	hdr->stamp = ops->stamp;
	hdr->compat = spec->compat;
	hdr->ro_compat = spec->ro_compat;
	hdr->incompat = spec->incompat;
	hdr->size = seg->size;
	hdr->max_size = seg->map_size;
	hdr->body_off = seg->body_off;
	hdr->page_size = seg->page_size;
	hdr->npeers = seg->npeers;
	hdr->flags = (spec->max_body_size > spec->body_size ? KIPC_SEG_F_GROWS : 0) |
		     (seg->thp ? KIPC_SEG_F_THP : 0);
	hdr->creator_pid = (uint32_t)getpid();
	hdr->creator_uid = (uint32_t)geteuid();
	hdr->created_ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	if (SYS(getrandom(&hdr->id, sizeof(hdr->id), GRND_NONBLOCK)) != sizeof(hdr->id))
		hdr->id = hdr->created_ns ^ (uint64_t)hdr->creator_pid << 32;
	if (spec->name)
		snprintf(hdr->name, sizeof(hdr->name), "%s", spec->name);
}

/* The file and its mapping, or nothing. */
static int make_memory(struct kipc_segment *seg, const struct kipc_segment_spec *spec)
{
	static const char *const labels[] = { "kipc", "kipc:queue", "kipc:pipe",
					      "kipc:shm", "kipc:array", "kipc:manager" };
	uint64_t populate = min_of(spec->populate, spec->body_size);
	struct kipc_memory_spec want = {
		.label = labels[seg->ops->kind < ARRAY_SIZE(labels) ? seg->ops->kind : 0],
		.size = seg->body_off + spec->body_size,
		.max_size = seg->body_off + spec->max_body_size,
		.populate = populate ? seg->body_off + populate : 0,
		.huge = spec->huge,
		.threads = spec->threads,
		.place = spec->place,
	};
	struct kipc_memory mem;
	int r;

	if (max_of(want.size, want.max_size) > MAX_SIZE)
		return -EOVERFLOW;
	r = __kipc_memory_create(&mem, &want);
	if (r)
		return r;
	r = -EOVERFLOW;
	if (mem.map_size > MAX_SIZE)	/* it is, when it is rounded up */
		goto out_memory;
	r = (int)SYS(fchmod(mem.fd, spec->mode ? spec->mode : 0600));
	if (!r && spec->lock)
		r = (int)SYS(mlock(mem.addr, want.populate ? want.populate : mem.size));
	if (r)
		goto out_memory;
	seg->fd = mem.fd;
	seg->base = mem.addr;
	seg->hdr = mem.addr;
	seg->size = mem.size;
	seg->map_size = mem.map_size;
	seg->page_size = mem.page_size;
	seg->thp = mem.huge == KIPC_HUGE_THP;
	return 0;

out_memory:
	__kipc_memory_destroy(&mem);
	return r;
}

int __kipc_segment_create(struct kipc_segment *seg, const struct kipc_segment_ops *ops,
			  const struct kipc_segment_spec *spec)
{
	int r;

	r = init_common(seg, ops);
	if (r)
		return r;
	seg->npeers = spec->npeers ? spec->npeers :
		      (4096 - KIPC_SEG_PEERS_OFF) / sizeof(struct kipc_peer);
	/* the memfd is sealed against execution: the kernel would refuse those bits with -EPERM */
	if (seg->npeers > KIPC_PEER_MAX || (spec->mode & ~0666u))
		return -EINVAL;
	seg->body_off = align_up(KIPC_SEG_PEERS_OFF + seg->npeers * sizeof(struct kipc_peer),
				 4096ULL);
	if (!spec->body_size)
		return -EINVAL;
	if (spec->body_size > MAX_SIZE || spec->max_body_size > MAX_SIZE)
		return -EOVERFLOW;

	r = make_memory(seg, spec);
	if (!r) {
		fill_header(seg->hdr, ops, spec, seg);
		seg->id = seg->hdr->id;
	}
	return r;
}

int __kipc_segment_publish(struct kipc_segment *seg)
{
	int seals = F_SEAL_SHRINK;
	long r;

	if (!(seg->hdr->flags & KIPC_SEG_F_GROWS))
		seals |= F_SEAL_GROW;
	r = SYS(fcntl(seg->fd, F_ADD_SEALS, seals));
	if (r < 0)
		return (int)r;
	KIPC_POINT("segment.sealed");
	/* pairs with: read_header() */
	store_release(&seg->hdr->magic, KIPC_SEG_MAGIC);
	KIPC_POINT("segment.published");
	return __kipc_peer_attach(seg);
}

/*
 * One stable copy of the header, checked.  The file may belong to an enemy: everything that will be
 * used later is taken from this copy.
 */
static int read_header(int fd, const struct kipc_segment_ops *ops, struct kipc_seg_header *hdr,
		       uint64_t file_size)
{
	long n = SYS_RETRY(pread(fd, hdr, sizeof(*hdr), 0));

	if (n != (long)sizeof(*hdr))
		return n < 0 && n != -EISDIR ? (int)n : -EPROTO;
	fence_acquire();	/* pairs with: __kipc_segment_publish() */
	if (hdr->magic != KIPC_SEG_MAGIC || hdr->endian != KIPC_SEG_ENDIAN ||
	    hdr->kind != ops->kind)
		return -EPROTO;
	if (hdr->abi_major != KIPC_ABI_MAJOR || hdr->abi_oldest > KIPC_ABI_MINOR ||
	    hdr->incompat || hdr->ro_compat)
		return -EPROTONOSUPPORT;
	if (hdr->stamp != ops->stamp)
		return -EPROTONOSUPPORT;
	if (hdr->page_size != KIPC_PAGE_4K && hdr->page_size != KIPC_PAGE_2M &&
	    hdr->page_size != KIPC_PAGE_1G)
		return -EPROTO;
	if (!hdr->npeers || hdr->npeers > KIPC_PEER_MAX || hdr->body_off % 4096 ||
	    hdr->body_off < KIPC_SEG_PEERS_OFF + hdr->npeers * sizeof(struct kipc_peer))
		return -EPROTO;
	if (hdr->size > file_size || hdr->body_off >= hdr->size || hdr->max_size > MAX_SIZE ||
	    hdr->max_size < hdr->size || hdr->max_size % hdr->page_size)
		return -EPROTO;
	if (hdr->name[sizeof(hdr->name) - 1])
		return -EPROTO;
	return 0;
}

/*
 * Whether the file really has pages of that size.  The kernel is asked: hugetlb that calls itself
 * 4 KiB would be mapped without a reservation, and its holes be SIGBUS.  (Not by st_blksize: that of
 * shmem is a huge page's where shmem may have some.)
 */
static bool pages_are(int fd, uint64_t page_size)
{
	struct statfs fs;

	if (SYS(fstatfs(fd, &fs)))
		return false;
	if (fs.f_type == HUGETLBFS_MAGIC)
		return page_size == (uint64_t)fs.f_bsize;
	return page_size == KIPC_PAGE_4K;
}

/* A description of the file that can't be used for writing. */
static int open_readonly(const struct kipc_segment *seg)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", seg->fd);
	return (int)SYS_RETRY(open(path, O_RDONLY | O_CLOEXEC));
}

/*
 * Through such a description (`unwritable`: ours is one): before 6.7 the kernel counts any other
 * shared mapping as one that may be made writable, and refuses it when the file is sealed.
 */
static int map_readonly(struct kipc_segment *seg, bool unwritable, void **addr)
{
	int fd = unwritable ? seg->fd : open_readonly(seg), r;

	if (fd < 0)
		return fd;
	r = __kipc_memory_map(fd, seg->map_size, seg->page_size, true, seg->thp, addr);
	if (fd != seg->fd)
		SYS(close(fd));
	return r;
}

/* Puts another mapping of the file where ours is. */
static int remap(struct kipc_segment *seg, int fd, int prot)
{
	int saved = errno, r = 0;

	if (mmap(seg->base, seg->map_size, prot,
		 MAP_SHARED | MAP_FIXED | (seg->page_size == KIPC_PAGE_4K ? MAP_NORESERVE : 0), fd,
		 0) == MAP_FAILED)
		r = -errno;
	else if (seg->thp)
		madvise(seg->base, seg->map_size, MADV_HUGEPAGE);
	errno = saved;
	return r;
}

int __kipc_segment_seal_write(struct kipc_segment *seg, int seals)
{
	int fd = open_readonly(seg), r, back;

	if (fd < 0)
		return fd;
	__kipc_peer_detach(seg);
	r = remap(seg, fd, PROT_READ);
	if (!r) {
		seg->readonly = true;
		r = (int)SYS(fcntl(seg->fd, F_ADD_SEALS, seals));
	}
	if (!r) {
		/* from now on nobody can ask it for more than reading */
		r = (int)SYS_RETRY(dup3(fd, seg->fd, O_CLOEXEC));
		r = min_of(r, 0);
	} else if (!remap(seg, seg->fd, PROT_READ | PROT_WRITE)) {
		seg->readonly = false;
		back = __kipc_peer_attach(seg);
		if (back)	/* the next operation tries again */
			r = back;
	}
	SYS(close(fd));
	return r;
}

static int open_segment(struct kipc_segment *seg, const struct kipc_segment_ops *ops, int fd,
			bool readonly)
{
	struct kipc_seg_header hdr;
	struct stat st;
	bool sealed, unwritable;
	void *addr;
	long r;

	r = init_common(seg, ops);
	if (r)
		return (int)r;
	r = SYS(fstat(fd, &st));
	if (r)
		return (int)r;
	/* not a memfd, or one that could still shrink under us */
	r = SYS(fcntl(fd, F_GET_SEALS));
	if (r < 0 || !(r & F_SEAL_SHRINK) || !S_ISREG(st.st_mode))
		return -EPROTO;
	sealed = r & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
	/* nobody could attach to it; publish() sets no such seal */
	if (sealed && !readonly && !ops->readers)
		return -EPROTO;
	r = SYS(fcntl(fd, F_GETFL));
	if (r < 0)
		return (int)r;
	unwritable = (r & O_ACCMODE) == O_RDONLY;
	r = read_header(fd, ops, &hdr, (uint64_t)st.st_size);
	if (r)
		return (int)r;
	if ((uint64_t)st.st_size > hdr.max_size)
		return -EPROTO;
	if (!pages_are(fd, hdr.page_size))
		return -EPROTO;

	seg->fd = fd;
	seg->size = (uint64_t)st.st_size;
	seg->map_size = hdr.max_size;
	seg->body_off = hdr.body_off;
	seg->page_size = hdr.page_size;
	seg->npeers = hdr.npeers;
	seg->id = hdr.id;
	seg->thp = (hdr.flags & KIPC_SEG_F_THP) && hdr.page_size == KIPC_PAGE_4K;
	seg->readonly = readonly || ((sealed || unwritable) && ops->readers);
	r = seg->readonly ? map_readonly(seg, unwritable, &addr) :
			    __kipc_memory_map(fd, seg->map_size, seg->page_size, false, seg->thp,
					      &addr);
	if (r)
		goto out_fd;
	seg->base = addr;
	seg->hdr = addr;
	r = ops->verify ? ops->verify(seg) : 0;
	if (!r && !seg->readonly)
		r = __kipc_peer_attach(seg);
	if (!r)
		return 0;

	munmap(seg->base, seg->map_size);
	seg->base = NULL;
out_fd:
	seg->fd = -1;	/* the caller keeps it */
	return (int)r;
}

int __kipc_segment_open(struct kipc_segment *seg, const struct kipc_segment_ops *ops, int fd)
{
	return open_segment(seg, ops, fd, false);
}

int __kipc_segment_open_readonly(struct kipc_segment *seg, const struct kipc_segment_ops *ops, int fd)
{
	return open_segment(seg, ops, fd, true);
}

void __kipc_segment_close(struct kipc_segment *seg)
{
	if (!seg->base)
		return;
	__kipc_peer_detach(seg);
	munmap(seg->base, seg->map_size);
	SYS(close(seg->fd));
	seg->base = NULL;
	seg->hdr = NULL;
	seg->fd = -1;
	pthread_mutex_destroy(&seg->peer_mutex);
}

uint64_t __kipc_segment_refresh(struct kipc_segment *seg)
{
	uint64_t old = load_relaxed(&seg->size), now;
	struct stat st;

	if (old == seg->map_size || SYS(fstat(seg->fd, &st)))
		return old;
	now = min_of((uint64_t)st.st_size, seg->map_size);
	while (now > old)
		if (try_cmpxchg(&seg->size, &old, now))
			return now;
	return old;
}

int __kipc_segment_extend(struct kipc_segment *seg, uint64_t new_size)
{
	long r;

	if (new_size > seg->map_size)
		return -ENOSPC;
	if (new_size <= __kipc_segment_refresh(seg))
		return 0;
	r = SYS_RETRY(ftruncate(seg->fd, (off_t)align_up(new_size, seg->page_size)));
	/* a peer may have made it longer still, which we can't undo: the seal says EPERM */
	if (__kipc_segment_refresh(seg) >= new_size)
		return 0;
	return r ? __kipc_memory_room((int)r) : -EPROTO;
}

int __kipc_segment_grow(struct kipc_segment *seg, uint64_t new_size)
{
	uint64_t size = __kipc_segment_refresh(seg);
	int r;

	if (new_size > seg->map_size)
		return -ENOSPC;
	if (new_size <= size)
		return 0;
	r = __kipc_memory_allocate(seg->fd, size, align_up(new_size, seg->page_size) - size);
	if (r)
		return r;
	KIPC_POINT("segment.grown");
	return __kipc_segment_refresh(seg) >= new_size ? 0 : -EPROTO;
}
