/* SPDX-License-Identifier: MIT */
/*
 * What `stats -z' remembers from call to call: the counters of each object, a file of ours by its ID
 * in $XDG_STATE_HOME/kipc/stats (else ~/.local/state/kipc/stats).  Nothing is written to the object.
 *
 * An object does not outlive the boot, so files from before it are removed.
 */
#ifndef IPC_INSPECT_STATS_STATE_H
#define IPC_INSPECT_STATS_STATE_H

#include <stddef.h>
#include <stdint.h>

#define COUNTERS_MAX	32

struct counter {
	char key[40];		/* "put_messages" */
	uint64_t value;
};

struct counters {
	struct counter c[COUNTERS_MAX];
	size_t n;
	uint64_t boot_ns;	/* CLOCK_BOOTTIME when they were read */
};

/* The folder, made if need be: a descriptor, or a negative errno (-ENOENT: there is no HOME). */
int stats_state_open(void);
/* What was remembered; n is 0 when nothing was. */
void stats_state_load(int dirfd, uint64_t id, struct counters *c);
/* 0 or a negative errno. */
int stats_state_store(int dirfd, uint64_t id, const struct counters *c);

/* The value of that name, 0 for none. */
uint64_t counters_get(const struct counters *c, const char *key);

#endif
