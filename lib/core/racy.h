/* SPDX-License-Identifier: MIT */
/*
 * Copying and comparing what a writer may be changing: for optimistic readers, who ask afterwards
 * whether it was worth anything.
 *
 * memcpy() and memcmp() would do, but ThreadSanitizer watches those wherever they are called from.
 */
#ifndef KIPC_CORE_RACY_H
#define KIPC_CORE_RACY_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/compiler.h"

#ifdef KIPC_TSAN

static __maybe_unused __racy void __kipc_copy_racy(void *to, const void *from, size_t len)
{
	const volatile char *p = from;
	char *q = to;

	for (size_t i = 0; i < len; i++)
		q[i] = p[i];
}

static __maybe_unused __racy bool __kipc_differs_racy(const void *a, const void *b, size_t len)
{
	const volatile char *p = a;
	const char *q = b;

	for (size_t i = 0; i < len; i++)
		if (p[i] != q[i])
			return true;
	return false;
}

#else

static __always_inline void __kipc_copy_racy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}

static __always_inline bool __kipc_differs_racy(const void *a, const void *b, size_t len)
{
	return len && memcmp(a, b, len);
}

#endif

#endif
