/* SPDX-License-Identifier: MIT */
/* The system calls that the fuzz targets see otherwise than they are: world.c. */
#ifndef SELFTESTS_FUZZ_WORLD_H
#define SELFTESTS_FUZZ_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* Around each input, in its thread: between the two the clock is moved by what would sleep. */
void fuzz_world_begin(void);
void fuzz_world_end(void);
/* Whether this thread runs an input, and whether that is in a writable mapping
 * that the input made. */
bool fuzz_world_inside(void);
bool fuzz_world_ours(const void *addr);
/* These slots belong to live processes. */
void fuzz_world_live(uint32_t slot);
/* A half of the pipe's control socket, which hangs up when this input waits for the other end too long. */
void fuzz_world_peer(int sock);

#endif
