/* SPDX-License-Identifier: MIT */
/*
 * Who waits for a word of a segment, found without the help of whoever waits: the system call in
 * which a thread is blocked (/proc/PID/task/TID/syscall), and what is mapped at the address that it
 * gave (/proc/PID/maps).
 *
 * A waiter wakes every few milliseconds to look whether the owner lives, so it may just be awake when
 * we look: several looks are joined by waits_look().
 */
#ifndef TOOLS_COMMON_WAITS_H
#define TOOLS_COMMON_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A thread that sleeps in futex(2) on a word of a file. */
struct wait {
	pid_t pid, tid;
	uint64_t dev, ino, off;
};

struct waits {
	struct wait *wait;	/* each thread once */
	size_t n, room;
	bool refused;		/* some process could not be looked into */
};

/*
 * Adds the threads of the process that wait for a word of a libkipc segment, but for those that are
 * known already.
 */
void waits_look(struct waits *w, pid_t pid);
void waits_free(struct waits *w);

#endif
