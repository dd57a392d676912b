/* SPDX-License-Identifier: MIT */
/*
 * Copying into and out of the ring.
 *
 * Large pieces go by `rep movsb` on x86-64 with ERMS: it doesn't read the destination's lines before
 * it overwrites them, yet leaves the data in the cache for the other side, where glibc's memcpy
 * switches to non-temporal stores and sends it through memory.  (Intel 64 and IA-32 Architectures
 * Optimization Reference Manual, "Enhanced REP MOVSB and STOSB operation".)
 */
#ifndef KIPC_PIPE_COPY_H
#define KIPC_PIPE_COPY_H

#include <stddef.h>
#include <string.h>

#include "core/compiler.h"

/* Bytes from which on the slow path decides how to copy. */
#define PIPE_COPY_LARGE	(64 * 1024)

void __kipc_pipe_copy_large(void *dst, const void *src, size_t n);

static inline void pipe_copy(void *dst, const void *src, size_t n)
{
	if (unlikely(n >= PIPE_COPY_LARGE))
		__kipc_pipe_copy_large(dst, src, n);
	else if (n)
		memcpy(dst, src, n);
}

#endif
