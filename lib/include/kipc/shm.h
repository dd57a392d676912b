/* SPDX-License-Identifier: MIT */
/*
 * Shared memory: a stretch of bytes that several processes map, with a sequence lock for those who
 * want snapshots that are whole.
 *
 *	struct kipc_shm *s;
 *	int r = kipc_shm_create(NULL, 1 << 20, NULL, &s);
 *	...
 *	memset(kipc_shm_addr(s), 255, kipc_shm_size(s));
 *
 * The memory starts zeroed, on a boundary of 4096 bytes.  It reaches other processes by its name
 * (names.h), or without one by fork(2) or kipc_send() (object.h); a child of fork finds it at the
 * same address, others at another.  It lives until the last process that has it closed it or died,
 * and as long as it has a name.  What is in it is the users' own business: nobody checks it, and
 * any process that has it may write to it, unless it was opened for reading only.
 *
 * The sequence lock (optional: kipc_shm_addr() may be used without) lets any number of readers copy
 * out what a writer may be changing, without keeping the writer waiting:
 *
 *	writer				reader
 *	kipc_shm_write_begin()		do {
 *	... change the memory ...		kipc_shm_read_begin(s, &seq, timeout_ns)
 *	kipc_shm_write_end()			... copy out what is wanted ...
 *					} while (kipc_shm_read_retry(s, seq));
 *					... use the copy ...
 *
 * Between begin and retry the reader may see anything: bytes from before a write, from after it, and
 * half-written ones.  So it copies and nothing else: no index, length or pointer that it read is used
 * before kipc_shm_read_retry() said false, unless it was checked against bounds that don't lie in the
 * memory, and no loop ends only by what it read.  When many writes follow each other fast, a long
 * snapshot may have to be tried many times; readers never delay writers, writers do delay readers.
 *
 * ThreadSanitizer knows nothing of this and reports the reader's plain loads against the writer's
 * stores.  Read with relaxed atomic loads (__atomic_load_n) and write with relaxed atomic stores, or do
 * the copy by hand in a function of its own marked __attribute__((no_sanitize("thread"))).  In C's
 * memory model the plain loads are a race as well; the fences that are needed for them to work as
 * described on the compilers and machines supported here are in these functions.
 * (Hans-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.)
 */
#ifndef KIPC_SHM_H
#define KIPC_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_object;
struct kipc_shm;

/* Allocate and map all of the memory at creation; otherwise it comes page by page, at first touch. */
#define KIPC_SHM_POPULATE	(1u << 0)
/* Keep it in memory: mlock(2), by the creator's mapping and as long as that lasts.  Populates. */
#define KIPC_SHM_LOCK		(1u << 1)

/* What kipc_shm_seal() rules out, for everybody and for ever. */
#define KIPC_SEAL_SHRINK	(1u << 0)	/* making it smaller; so from the beginning */
#define KIPC_SEAL_GROW		(1u << 1)	/* making it larger */
#define KIPC_SEAL_WRITE		(1u << 2)	/* writing to it */
#define KIPC_SEAL_FUTURE_WRITE	(1u << 3)	/* writing to it, by those who don't have it yet */

struct kipc_shm_opts {
	size_t sz;
	uint32_t flags;		/* KIPC_SHM_*, KIPC_NAME_* */
	enum kipc_huge huge;	/* pages to use; kipc_shm_page_size() tells what was got */
	uint32_t mode;		/* permission bits of the memfd, of 0666; 0: 0600 */
	uint32_t max_peers;	/* processes at once, at most 1023; 0: 56 */
	enum kipc_numa numa;	/* which nodes it comes from, */
	uint32_t threads;	/* that populate it, at most; 0: one a usable CPU, no more than 16 */
	uint64_t numa_nodes;	/* ... bit n: node n; for KIPC_NUMA_PREFERRED one bit */
	uint64_t max_size;	/* bytes that kipc_shm_resize() may grow it to; 0: it can't grow */
};

struct kipc_shm_stat {
	size_t sz;		/* set by the caller to sizeof(struct kipc_shm_stat) */
	uint64_t size;		/* bytes */
	uint64_t page_size;	/* bytes: 4096, 2 MiB or 1 GiB */
	uint64_t resident;	/* bytes of the whole segment, head and all, that are allocated */
	uint64_t writes;	/* sequence-locked writes so far; one over torn data counts twice */
	uint64_t healed;	/* writes that began over torn data, those that got -EOWNERDEAD */
	uint32_t peers;		/* processes that are registered and live */
	uint32_t max_peers;
	uint32_t writing;	/* 1: a writer is in right now */
	uint32_t torn;		/* 1: a writer died in the middle, nobody has written since */
	enum kipc_huge huge;	/* what was got: NONE, THP, 2M or 1G */
	uint32_t populated;	/* 1: all of it has memory (though it may be swapped out) */
	uint64_t huge_bytes;	/* THP: bytes that this process has mapped in huge pages right now;
				   2M, 1G: all that are allocated */
	uint64_t locked;	/* bytes of the segment that this process keeps in memory */
	enum kipc_numa numa;	/* the policy and the nodes, as asked for: otherwise it would not have */
	uint64_t numa_nodes;	/* ... been created */
	uint64_t max_size;	/* bytes that it may grow to */
	uint64_t grown;		/* times that it grew */
	uint32_t seals;		/* KIPC_SEAL_* */
	uint32_t readonly;	/* 1: this handle can only read */
	uint32_t lock_shared;	/* threads that hold the lock shared, or whose turn is next */
	uint32_t lock_exclusive;	/* 1: somebody holds it exclusively */
	uint64_t lock_healed;	/* times that somebody got it exclusively with -EOWNERDEAD */
	uint32_t lock_torn;	/* 1: a holder died, nobody has held it exclusively since */
	uint32_t reserved;
};

/*
 * Creates zeroed shared memory and maps it.
 *
 * name		what others open it by; NULL: anonymous
 * size		bytes, more than 0, and no more than the option max_size if that is not 0
 * opts		NULL: all defaults
 * s		receives the handle, to be closed with kipc_shm_close()
 *
 * Without KIPC_SHM_POPULATE and with pages of 4 KiB or transparent huge ones the memory is taken at
 * the first touch of each page, by each process: should the system be out of it by then, that touch
 * ends in SIGBUS or in the kernel's out-of-memory killer, as with any memory.  With it, and with
 * pages of 2 MiB and 1 GiB always, all memory is taken here, or this call fails.
 *
 * KIPC_HUGE_THP and _TRY with KIPC_SHM_POPULATE make huge pages also where the system gives none to
 * shared memory by itself (/sys/kernel/mm/transparent_hugepage/shmem_enabled), unless it says
 * "deny".
 *
 * 0; -EINVAL (a NULL, size 0, bad name, option or flag), -E2BIG (options from a newer version),
 * -EOVERFLOW (size), -ENOMEM (no memory, no huge pages, or RLIMIT_MEMLOCK is too low), -EPERM
 * (KIPC_SHM_LOCK and RLIMIT_MEMLOCK is 0; a sandbox forbids numa), -EAGAIN (KIPC_SHM_LOCK: it could
 * not be locked), -ENODEV (one of numa_nodes doesn't exist, or this process may not use it),
 * -EOPNOTSUPP (numa, in a kernel without), -ENOSPC, -EMFILE, -ENFILE, -ENOENT (/proc isn't mounted),
 * -EACCES (mode doesn't let the caller itself read and write).  With a name also -EEXIST (it is
 * taken), -EDQUOT (this user's limit of names or bytes; -ENOSPC: that of all) and the errors in
 * names.h, as it waits for the broker; with KIPC_NAME_EXISTING those of kipc_shm_open().  Without one
 * it does not wait for other processes, but taking a GiB of small pages keeps the kernel busy for half
 * a second.
 * Since 0.1.
 */
KIPC_API int kipc_shm_create(const char *name, size_t size, const struct kipc_shm_opts *opts,
			     struct kipc_shm **s);

/*
 * Opens the shared memory of that name; *s is to be closed.  opts: only KIPC_NAME_RDONLY counts,
 * with which the mapping is read-only (a store to it is SIGSEGV) and this process isn't counted
 * among the peers.  Waits for the broker.
 *
 * 0; -EINVAL (NULL, bad name, option or flag), -E2BIG; -ENOENT (no such name), -EACCES (its mode),
 * -EAGAIN (its broker was killed and whoever has it open can't be looked into: it comes back when that
 * process uses a name), -EPROTO, -EPROTONOSUPPORT, -EUSERS (as many as max_peers are attached), -ENOMEM,
 * -EMFILE, -ENFILE; or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_shm_open(const char *name, const struct kipc_shm_opts *opts, struct kipc_shm **s);

/*
 * Unmaps the memory and frees the handle.  Closing between kipc_shm_write_begin() and _end() leaves
 * the data torn, as a death would.  NULL is ignored.  Since 0.1.
 */
KIPC_API void kipc_shm_close(struct kipc_shm *s);

/*
 * Takes the name away; who has it open keeps it.  0; -EINVAL, -ENOENT, -EACCES (neither its owner
 * nor root); or as names.h says.  Since 0.1.
 */
KIPC_API int kipc_shm_unlink(const char *name);

/* The first byte, on a boundary of 4096; valid until kipc_shm_close().  NULL for NULL.  Since 0.1. */
KIPC_API void *kipc_shm_addr(const struct kipc_shm *s);

/*
 * Bytes right now: as asked for at creation, or by the last kipc_shm_resize() of any process; 0 for
 * NULL.  So many bytes can be used from kipc_shm_addr() on from now on: it never becomes less.
 * Costs a load of shared memory, and a system call when it has grown.  Since 0.1.
 */
KIPC_API size_t kipc_shm_size(const struct kipc_shm *s);

/*
 * Copy len bytes out of the memory, into it, or from one place of shared memory to another (of the same
 * one, too), if they are all inside right now, see kipc_shm_size(); otherwise nothing.  What overlaps is
 * copied as memmove(3) does.  Take no lock: what others write meanwhile may come by halves.
 *
 * offset, to, from	bytes from kipc_shm_addr() on
 *
 * 0; -EINVAL (a NULL; that of buf only if len isn't 0), -ERANGE (not all inside), -EACCES (what is to be
 * written is read-only).  Don't block.  Since 0.1.
 */
KIPC_API int kipc_shm_read(const struct kipc_shm *s, size_t offset, void *buf, size_t len);
KIPC_API int kipc_shm_write(struct kipc_shm *s, size_t offset, const void *buf, size_t len);
KIPC_API int kipc_shm_copy(struct kipc_shm *dst, size_t to, const struct kipc_shm *src, size_t from,
			   size_t len);

/*
 * Makes it larger, for every process that has it; nothing moves, kipc_shm_addr() stays what it is
 * everywhere.  What is new is zeroed, as long as nobody wrote there before his time.  Others see it
 * with their next kipc_shm_size(); tell them when to look.
 *
 * size		bytes, up to the max_size that it was created with
 *
 * The memory for it is taken here where all of it was taken at creation: populated or locked, or
 * with pages of 2 MiB or 1 GiB; otherwise at the first touch, as kipc_shm_create() says.  A part
 * that was locked at creation stays so; what is new is locked if it is the creator that makes it
 * larger.
 *
 * It cannot be made smaller: each process relies on it that memory which it has seen stays, and
 * that no peer can make it die of SIGBUS.  The file is sealed against it by the kernel.
 *
 * All or nothing: after an error, or when this process is killed in the middle, it is as large as
 * it was.  Waits while another process resizes, whose death is noticed, and while memory is taken.
 *
 * 0, also when it has that size; -EINVAL (NULL, size 0); -EPERM (it is larger, or it can't grow: no
 * max_size, or sealed with KIPC_SEAL_GROW); -ENOSPC (more than max_size; no memory); -ENOMEM (no
 * memory, no huge pages, or RLIMIT_MEMLOCK is too low); -EACCES (read-only); -EPROTO (damaged);
 * -EUSERS, -EMFILE (in a fork child).  Since 0.1.
 */
KIPC_API int kipc_shm_resize(struct kipc_shm *s, size_t size);

/* Bytes of the pages behind it: 4096, 2 MiB or 1 GiB; 0 for NULL.  Since 0.1. */
KIPC_API size_t kipc_shm_page_size(const struct kipc_shm *s);

/*
 * Rules something out, for every process and for ever, by the kernel's seals on the memfd
 * (fcntl(2), F_ADD_SEALS); what: KIPC_SEAL_* or several of them, all set or none.
 *
 * KIPC_SEAL_SHRINK	is set already.
 * KIPC_SEAL_GROW	kipc_shm_resize() is -EPERM from now on.  A process that is just resizing is
 *			let finish first.
 * KIPC_SEAL_FUTURE_WRITE
 *			Who has it now goes on as before, and so do the children it forks.  Who gets
 *			it later (kipc_recv()) can read and nothing else: his handle is read-only,
 *			and the kernel refuses him a writable mapping with EPERM.  So one process,
 *			or a few, can publish what others can't change.
 * KIPC_SEAL_WRITE	Nobody can write any more, this process included; what is in it can be
 *			relied on.  Refused with -EBUSY as long as another process has it, or this
 *			one has mapped it by itself; with KIPC_SEAL_FUTURE_WRITE readers are no
 *			hindrance.  This handle is read-only from then on; the address stays the
 *			same, and kipc_shm_fd() is open for reading only.  No other thread may use
 *			the handle during this call.
 *
 * A read-only handle: storing to its memory is SIGSEGV; kipc_shm_write_begin(), kipc_shm_resize(),
 * kipc_shm_lock_shared() and the like are -EACCES.  Readers take snapshots as always:
 * kipc_shm_read_begin().  It is no peer: it isn't counted in the statistics nor by max_peers.
 *
 * 0, also when all of it was set before; -EINVAL (NULL, nothing, an unknown bit); -EBUSY
 * (KIPC_SEAL_WRITE: see above; also while this process writes or holds the lock); -EOWNERDEAD
 * (KIPC_SEAL_WRITE: the last writer died in the middle; write first, or have the lock exclusively);
 * -EACCES (read-only); -EPERM (somebody has sealed it against sealing); -EMFILE, -ENFILE, -ENOMEM;
 * -EUSERS, -EMFILE (in a fork child).  After an error it is all as it was, but for one case: if
 * KIPC_SEAL_FUTURE_WRITE was set before, and KIPC_SEAL_WRITE is refused by the kernel with -EBUSY,
 * this handle remains read-only.  Waits only for who resizes.  Since 0.1.
 */
KIPC_API int kipc_shm_seal(struct kipc_shm *s, uint32_t what);

/*
 * The memfd, owned by the handle: for mmap(2) or io_uring.  It holds the whole segment; the data
 * are kipc_shm_size() bytes from kipc_shm_offset() on.  Don't close it, don't write before the
 * offset, don't set locks on it, don't change its size.  To give the object to another process, use
 * kipc_send().  -EINVAL for NULL.  Since 0.1.
 */
KIPC_API int kipc_shm_fd(const struct kipc_shm *s);

/* Where the data start in the file of kipc_shm_fd(), bytes; multiple of 4096.  Since 0.1. */
KIPC_API uint64_t kipc_shm_offset(const struct kipc_shm *s);

/*
 * Fills *st as far as st->sz reaches (base.h), after looking for dead processes.  Where huge pages
 * or locked memory were asked for it reads /proc/self/smaps, which may take milliseconds.  0;
 * -EINVAL (NULL, or sz too small); -EUSERS, -EMFILE (in a fork child that could not be registered).  Does
 * not block.  Since 0.1.
 */
KIPC_API int kipc_shm_stat(struct kipc_shm *s, struct kipc_shm_stat *st);

/*
 * Begins a write: keeps other writers out (threads of this process too) and lets readers know.  Waits
 * for the writer that is in, if any, for timeout_ns; a dead one is noticed.
 *
 * Not recursive.  The write belongs to the process: any of its threads may end it.  A fork child does
 * not inherit it.
 *
 * 0: go on.  -EOWNERDEAD: go on as well, but the last writer died in the middle: write all of the
 * data anew, since kipc_shm_write_end() will declare them whole.  Otherwise no write has begun:
 * -EAGAIN (KIPC_NOWAIT), -ETIMEDOUT, -EINVAL (NULL), -EACCES (read-only), -EPROTO (damaged), -EUSERS,
 * -EMFILE (in a fork child).  Since 0.1.
 */
KIPC_API int kipc_shm_write_begin(struct kipc_shm *s, int64_t timeout_ns);

/*
 * Ends the write and wakes the readers and one writer that wait for it.  0, -EINVAL (NULL), -EPERM (no
 * write of this process is going on), -EUSERS, -EMFILE (in a fork child).  Does not block.  Since 0.1.
 */
KIPC_API int kipc_shm_write_end(struct kipc_shm *s);

/*
 * Begins a snapshot; *seq is for kipc_shm_read_retry().  Waits while a writer is in, for
 * timeout_ns; a dead one is noticed.  There is nothing to end.  Works for readers as well
 * (KIPC_NAME_RDONLY), who look every millisecond, as they can't ask to be woken.
 *
 * 0: go on.  -EOWNERDEAD: the last writer died in the middle and nobody has written since, so the data
 * are torn; *seq is set, for those who want to look at them all the same.  Otherwise *seq is not set:
 * -EAGAIN (KIPC_NOWAIT), -ETIMEDOUT, -EINVAL (NULL), -EPROTO (damaged), -EUSERS, -EMFILE (in a fork
 * child).  Since 0.1.
 */
KIPC_API int kipc_shm_read_begin(struct kipc_shm *s, uint64_t *seq, int64_t timeout_ns);

/*
 * Whether a write began or ended since kipc_shm_read_begin() gave seq, so that what was read meanwhile
 * must be thrown away and read again.  False for NULL.  Does not block.  Since 0.1.
 */
KIPC_API bool kipc_shm_read_retry(struct kipc_shm *s, uint64_t seq);

/*
 * The reader-writer lock of the object: any number of threads hold it shared, or one exclusively.
 * It guards what its users agree upon, say all of the memory; nobody needs it for the other
 * functions.
 *
 * Or the sequence lock?  That one lets readers copy without writing anything, but only copy, and
 * again when a writer came.  With this one they may do whatever they like for as long as they like,
 * keep writers waiting for it, and pay two atomic operations, on a cache line that processes don't
 * share.  The two know nothing of each other: who writes for readers of both kinds takes both.
 *
 * Waits for timeout_ns.  A writer that waits lets no new readers in, a reader that waits for a
 * writer is let in before the next one.  Not recursive, and a shared hold can't be made an
 * exclusive one: a thread that asks for the lock while it has it may wait for itself.  A hold
 * belongs to the process: any of its threads may give it up.  A fork child does not inherit it.
 *
 * A process that dies gives up what it holds.  If it was exclusive, what it was changing may be
 * half done: from then on every kipc_shm_lock_*() that succeeds says -EOWNERDEAD, until somebody
 * has had it exclusively and unlocked it, which declares all to be in order again.
 *
 * 0: held.  -EOWNERDEAD: held as well, see above.  Otherwise not held: -EAGAIN (KIPC_NOWAIT),
 * -ETIMEDOUT, -EINVAL (NULL), -EACCES (read-only), -EPROTO (damaged), -EUSERS, -EMFILE (in a fork
 * child).  Since 0.1.
 */
KIPC_API int kipc_shm_lock_shared(struct kipc_shm *s, int64_t timeout_ns);
KIPC_API int kipc_shm_lock_exclusive(struct kipc_shm *s, int64_t timeout_ns);

/*
 * Gives up what kipc_shm_lock_shared() or kipc_shm_lock_exclusive() gave, whichever it was, and
 * wakes who waits for it.  kipc_shm_close() gives up what is left, as a death does.  0, -EINVAL
 * (NULL), -EPERM (this process holds nothing), -EUSERS, -EMFILE (in a fork child).  Does not block.
 * Since 0.1.
 */
KIPC_API int kipc_shm_unlock(struct kipc_shm *s);

/*
 * The same handle in its general form, for kipc_send() and kipc_object_close(): not a second one.
 * NULL for NULL.  Since 0.1.
 */
KIPC_API struct kipc_object *kipc_shm_object(struct kipc_shm *s);

#ifdef __cplusplus
}
#endif

#endif
