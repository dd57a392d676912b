/* SPDX-License-Identifier: MIT */
/*
 * libkipc: conventions that every other header relies on.
 *
 * Errors	Functions return 0 or a count (>= 0), or a negative errno value; errno itself is left
 *		alone.  kipc_strerror() puts one into words.
 * Handles	are opaque, come back through an out argument, and may be used by many threads at
 *		once; closing one while another thread still uses it is the caller's error.
 * Fork		A child may go on using the handles that it inherits; it is registered as a process of
 *		its own, with most kinds by its first call on a handle.  That one may therefore fail
 *		with -EUSERS (no room for one more process), -EMFILE, -ENFILE, -EACCES (the child has
 *		changed its user, whom the object's mode keeps out) or -ENOENT (/proc is gone).  What
 *		the parent holds (a taken message, a lock) stays the parent's.
 * Timeouts	are relative, in nanoseconds: KIPC_NOWAIT returns -EAGAIN at once where the call would
 *		have to wait, KIPC_FOREVER waits without end, any other gives -ETIMEDOUT.
 * Signals	do not end a wait: it goes on with the time that is left.  No function is
 *		async-signal-safe, and none is a cancellation point that may be cancelled.
 * Options	are structs that know their own size; declare them with KIPC_OPTS().  NULL means all
 *		defaults.  (The scheme is libbpf's, tools/lib/bpf/libbpf_common.h in the kernel tree.)
 */
#ifndef KIPC_BASE_H
#define KIPC_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KIPC_API __attribute__((visibility("default")))

#define KIPC_NOWAIT	((int64_t)0)
#define KIPC_FOREVER	((int64_t)-1)

/*
 * Declares an option struct: KIPC_OPTS(kipc_queue_opts, opts, .capacity = 16);
 * A struct too small to be one is refused with -EINVAL; one from a newer header is taken as long as
 * the fields that this build does not know are zero, else -E2BIG.
 *
 * In the structs that are filled (struct kipc_queue_stat ...) the caller sets sz to the room that
 * there is; so much is filled, and sz is what was filled: less than that if the caller's header is
 * newer.  -EINVAL when there is no room for sz itself.
 */
#define KIPC_OPTS(TYPE, NAME, ...) struct TYPE NAME = { .sz = sizeof(struct TYPE), __VA_ARGS__ }

/* Events that a doorbell's file descriptor stands for: kipc_queue_fd(), kipc_pipe_fd(). */
#define KIPC_READABLE	1u
#define KIPC_WRITABLE	2u

/*
 * Flags of named objects, for the flags member of every kind's options: bits 24 to 31 mean the same
 * in all of them.  Creating knows the first two, opening the third; what an option struct says of
 * the object itself is ignored by an open.  See names.h.
 */
#define KIPC_NAME_TIED		(1u << 24)	/* the name goes when this process ends */
#define KIPC_NAME_EXISTING	(1u << 25)	/* open the object that has the name, if there is one */
#define KIPC_NAME_RDONLY	(1u << 26)	/* for reading only; the kernel refuses to write */

/* What backs a segment with memory: the huge member of the option structs that have one. */
enum kipc_huge {
	KIPC_HUGE_NONE	= 0,	/* pages of 4 KiB */
	KIPC_HUGE_THP	= 1,	/* transparent huge pages, as far as the kernel gives them */
	KIPC_HUGE_2M	= 2,	/* exactly 2 MiB pages from hugetlb, or -ENOMEM */
	KIPC_HUGE_1G	= 3,	/* exactly 1 GiB pages from hugetlb, or -ENOMEM */
	KIPC_HUGE_TRY	= 4,	/* the largest of these that can be had now; see _page_size() */
};

/*
 * The NUMA nodes that a segment's memory comes from: the numa member of the option structs that
 * have one, with a set of nodes beside it (bit n stands for node n).
 */
enum kipc_numa {
	KIPC_NUMA_NONE		= 0,	/* as the kernel thinks: the node of who touches a page first */
	KIPC_NUMA_BIND		= 1,	/* from these nodes and no others */
	KIPC_NUMA_INTERLEAVE	= 2,	/* page by page from these nodes in turn */
	KIPC_NUMA_PREFERRED	= 3,	/* from this one node, and from others when it is full */
};

/*
 * Names the error of a negative return value (or of the positive errno): a constant string in
 * English, never NULL, owned by the library.  Thread-safe.  Since 0.1.
 */
KIPC_API const char *kipc_strerror(int err);

/* The version of the library that runs: major << 16 | minor << 8 | patch.  Since 0.1. */
KIPC_API unsigned int kipc_version(void);

/* Kernel features that the library uses when they are there. */
enum kipc_feature {
	KIPC_FEATURE_IO_URING		= 0,	/* waits sleep in io_uring; else in ppoll(2) */
	KIPC_FEATURE_OFD_LOCKS		= 1,	/* required: liveness of processes */
	KIPC_FEATURE_MEMFD_NOEXEC	= 2,	/* segments sealed against execution */
	KIPC_FEATURE_HUGETLB_2M		= 3,	/* a 2 MiB page can be had now */
	KIPC_FEATURE_HUGETLB_1G		= 4,	/* a 1 GiB page can be had now */
	KIPC_FEATURE_MADV_COLLAPSE	= 5,	/* transparent huge pages on demand */
	KIPC_FEATURE_PROC_FD		= 6,	/* required: /proc/self/fd can be opened */
	KIPC_FEATURE_MAX
};

/*
 * Whether this kernel and sandbox have the feature: 1 or 0, -EINVAL for an unknown one.  The first
 * question tries it out; the answer is kept for the life of the process, but for those that say
 * "now".  Does not block.  Since 0.1.
 */
KIPC_API int kipc_feature_supported(enum kipc_feature feature);

#ifdef __cplusplus
}
#endif

#endif
