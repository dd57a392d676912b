// SPDX-License-Identifier: MIT
/* Copying large pieces: see copy.h. */
#include "core/atomic.h"
#include "pipe/copy.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum { UNKNOWN, PLAIN, ERMS };

static int probe(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 9)) ? ERMS : PLAIN;
}

void __kipc_pipe_copy_large(void *dst, const void *src, size_t n)
{
	static int how;
	int h = load_relaxed(&how);

	if (unlikely(h == UNKNOWN)) {
		h = probe();
		store_relaxed(&how, h);
	}
	if (h == ERMS)
		__asm__ __volatile__("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	else
		memcpy(dst, src, n);
}

#else

void __kipc_pipe_copy_large(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
}

#endif
