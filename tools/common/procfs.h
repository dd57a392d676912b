/* SPDX-License-Identifier: MIT */
/*
 * /proc, as far as the tools need it: who has which descriptors, and who a process is.
 *
 * Processes come and go while we look: whatever vanished is left out, without a word.
 */
#ifndef TOOLS_COMMON_PROCFS_H
#define TOOLS_COMMON_PROCFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Calls fn() for each process.  0, or a negative errno when there is no /proc. */
int proc_each_process(void (*fn)(pid_t pid, void *arg), void *arg);

/* Calls fn() for each thread of the process.  0 or a negative errno. */
int proc_each_thread(pid_t pid, void (*fn)(pid_t tid, void *arg), void *arg);

/*
 * Calls fn() for each descriptor of the process whose link begins with the prefix; dirfd is
 * /proc/PID/fd, name the descriptor's number as text.  0; -EACCES, -EPERM: we may not look at it;
 * other negative errnos.
 */
typedef void (*proc_fd_fn)(int dirfd, const char *name, const char *link, void *arg);
int proc_each_fd(pid_t pid, const char *prefix, proc_fd_fn fn, void *arg);

struct proc_mapping {
	uint64_t start, end;	/* addresses */
	uint64_t offset;	/* in the file */
	uint64_t dev, ino;
	const char *path;
};

/* Calls fn() for each mapping of a file whose path begins with the prefix.  As proc_each_fd(). */
int proc_each_mapping(pid_t pid, const char *prefix,
		      void (*fn)(const struct proc_mapping *m, void *arg), void *arg);

struct proc_stat {
	uint64_t start_time;	/* clock ticks since boot */
	bool kernel_thread;
	char state;		/* R, S, D, T (stopped), t (traced), Z, X */
	uint64_t cpu_ticks;	/* in user and kernel mode, all threads */
	uint32_t threads;
};

/* 0, or a negative errno: -ENOENT, -ESRCH (no such process), -EPROTO (another format). */
int proc_stat_read(pid_t pid, struct proc_stat *st);

/* Its name, up to 15 bytes: 0 or a negative errno. */
int proc_comm(pid_t pid, char comm[16]);

/*
 * The number by which the kernel knows that eventfd; pid 0: of this process.  0, or a negative errno:
 * -ENODATA, it is none.
 */
int proc_eventfd_id(pid_t pid, int fd, uint64_t *id);

/* Its flags, as F_GETFL would say; pid 0: of this process.  0 or a negative errno. */
int proc_fd_flags(pid_t pid, int fd, int *flags);

/*
 * The system call in which the thread is blocked: its number and first two arguments.  0; -EAGAIN: it
 * isn't blocked in one; -EPERM, -EACCES: we may not ask; -ENOENT, -ESRCH.
 */
int proc_syscall(pid_t pid, pid_t tid, long *number, uint64_t args[2]);

/* Now, in seconds since boot as the start times count them. */
uint64_t proc_uptime_s(void);

/*
 * Calls fn(byte - first, arg) for each of the n bytes from `first` on, on which the open file
 * description behind /proc/PID/fd/FD holds an OFD write lock.  The kernel says so in fdinfo, in any
 * PID namespace.  0 or a negative errno.
 */
int proc_fd_locks(pid_t pid, int fd, int64_t first, uint32_t n,
		  void (*fn)(uint32_t index, void *arg), void *arg);

#endif
