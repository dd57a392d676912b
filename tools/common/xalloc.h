/* SPDX-License-Identifier: MIT */
/* Memory for tools: they end when there is none, with exit code 1. */
#ifndef TOOLS_COMMON_XALLOC_H
#define TOOLS_COMMON_XALLOC_H

#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *xcheck(void *p)
{
	if (!p)
		err(1, "memory");
	return p;
}

static inline void *xcalloc(size_t n, size_t size)
{
	return xcheck(calloc(n ? n : 1, size));
}

static inline void *xreallocarray(void *p, size_t n, size_t size)
{
	return xcheck(reallocarray(p, n, size));
}

static inline char *xstrdup(const char *s)
{
	return xcheck(strdup(s));
}

__attribute__((format(printf, 1, 2))) static inline char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		err(1, "memory");
	return s;
}

/* Declares a variable that is freed at the end of its block. */
static inline void __cleanup_free(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ __attribute__((cleanup(__cleanup_free)))

#endif
