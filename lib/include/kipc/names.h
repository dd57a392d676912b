/* SPDX-License-Identifier: MIT */
/*
 * Named objects: how a queue, a manager, shared memory, an array or the listener of pipes is found
 * by processes that have nothing but its name.
 *
 *	one process					another
 *	kipc_queue_create("jobs", NULL, &q);		kipc_queue_open("jobs", NULL, &q);
 *	...
 *	kipc_queue_unlink("jobs");
 *
 * Names	are [A-Za-z0-9._-]{1,63}.  Each kind has names of its own: a queue and an array may both
 *		be "jobs".
 * Life		A name lives until it is unlinked, also while no process has the object open.  Who has
 *		it open keeps it beyond that.  With KIPC_NAME_TIED the name goes when the process that
 *		created it ends, however it does.
 * Rights	are those of a file, and as with shm_open(3) the kernel's own: the object's memory has
 *		the owner and group of the process that created it, and the permission bits of the
 *		`mode` option (umask does not count).  Opening asks for both reading and writing, with
 *		KIPC_NAME_RDONLY for reading only.  The owner and root may unlink.
 * Reading	Who opened with KIPC_NAME_RDONLY can read everything and write nothing: the memory is
 *		mapped from a descriptor that can't write, so mmap(2) and mprotect(2) refuse.  (If the
 *		mode lets that user write, it could open once more for writing.)  What would have to write
 *		says -EACCES.  Arrays and shared memory, lists and dicts are read as ever; of a queue
 *		only its numbers can be had.
 *
 * A broker, kipcd, keeps the names.  Nobody has to start it: the first use of a name does, and it
 * ends when it holds nothing.  It is never asked once an object is open, and when it is killed
 * nobody notices: the next use of a name starts another, which finds what processes still hold.
 * Which broker, and so which names, follows from the runtime folder, the first of these:
 *
 *	$KIPC_RUNTIME_DIR	if it is set
 *	$XDG_RUNTIME_DIR/kipc	if XDG_RUNTIME_DIR belongs to this user
 *	/run/kipc		if it exists: the instance of the whole system
 *	/tmp/kipc-UID
 *
 * It must belong to this user or to root, and be writable by its owner only; else -EPERM.  A
 * set-user-ID program ignores the environment.
 *
 * Errors that whatever goes through the broker may give, beside what each function says:
 *
 *	-ECONNREFUSED	no broker answers, and none can be started (kipcd(8) isn't installed; the
 *			runtime folder is root's and its broker doesn't run)
 *	-ETIMEDOUT	it did not answer in 10 seconds; what was asked for may have been done
 *	-EPERM		the runtime folder is not to be trusted
 *	-EBUSY		too many processes of this user are connected to it
 *	-EPROTO		what answered is no broker; -EPROTONOSUPPORT: one of another version
 *	-EMFILE, -ENFILE, -ENOMEM; what mkdir(2) and open(2) say of the runtime folder (-ENOTDIR for
 *	a link); and with KIPC_NAME_TIED what pidfd_open(2) says where a sandbox forbids it
 */
#ifndef KIPC_NAMES_H
#define KIPC_NAMES_H

#include <kipc/base.h>
#include <kipc/object.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A name and what it stands for, as the broker sees it. */
struct kipc_name {
	size_t sz;		/* sizeof(struct kipc_name) of the library */
	char name[64];
	uint32_t kind;		/* enum kipc_kind; KIPC_KIND_PIPE: a listener */
	uint32_t flags;		/* KIPC_NAME_TIED */
	uint32_t uid, gid;	/* owner */
	uint32_t mode;		/* permission bits */
	uint32_t lost;		/* 1: its broker was killed, and no process that has it open could be
				   looked into; it is back once one of them uses a name */
	uint64_t size;		/* bytes of the segment; 0: a listener */
	uint64_t created_ns;	/* CLOCK_REALTIME */
	uint64_t id;		/* as in the object's own header; 0: a listener */
};

/*
 * Calls fn for every name that there is, until it returns something else than 0, which is returned.
 * What is there all the time is met exactly once.  *name is valid until fn returns; fn may use
 * names.  0, or a negative errno as above.  Waits for the broker.  Since 0.1.
 */
KIPC_API int kipc_names_foreach(int (*fn)(const struct kipc_name *name, void *arg), void *arg);

/*
 * Takes the name away, as the kind's own _unlink() does.  0; -EINVAL (no kind, no valid name); -ENOENT;
 * -EACCES (neither its owner nor root); or as above.  Waits for the broker.  Since 0.1.
 */
KIPC_API int kipc_name_unlink(enum kipc_kind kind, const char *name);

/*
 * The runtime folder as said above, as text into buf[0..size); PATH_MAX is enough.  It may not be
 * there yet.  0; -EINVAL (NULL, or KIPC_RUNTIME_DIR isn't absolute); -ENAMETOOLONG.  Doesn't ask
 * the broker.  Since 0.1.
 */
KIPC_API int kipc_names_dir(char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
