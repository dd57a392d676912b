/* SPDX-License-Identifier: MIT */
/* The size-versioned structs of the public interface: reading options, filling statistics. */
#ifndef KIPC_CORE_OPTS_H
#define KIPC_CORE_OPTS_H

#include <stddef.h>

/*
 * Copies the caller's options over dst, which is zeroed first: `known` is the size of the struct in
 * this build, `min` the size that its first published version had.  src NULL: all defaults.
 * 0, -EINVAL (sz smaller than min), -E2BIG (non-zero bytes that this build doesn't know).
 */
int __kipc_opts_read(void *dst, size_t known, size_t min, const void *src);

/*
 * Fills the caller's statistics, as much as st->sz has room for, from what is `known` in this build;
 * both begin with size_t sz, and the caller's is then what was filled.  0; -EINVAL (no room for sz).
 */
int __kipc_stat_write(void *st, const void *now, size_t known);

/* NULL is anonymous (0); a valid name gives 1; anything else -EINVAL.  [A-Za-z0-9._-]{1,63} */
int __kipc_name_check(const char *name);

#endif
