/* SPDX-License-Identifier: MIT */
/* Small words for the compiler that every file uses. */
#ifndef KIPC_CORE_COMPILER_H
#define KIPC_CORE_COMPILER_H

#include <stddef.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#ifndef __cold
#define __cold		__attribute__((cold, noinline))
#endif
#ifndef __maybe_unused
#define __maybe_unused	__attribute__((unused))
#endif
#ifndef __always_inline
#define __always_inline	inline __attribute__((always_inline))
#endif

#if defined(__SANITIZE_THREAD__)
#define KIPC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KIPC_TSAN 1
#endif
#endif

/*
 * For racing reads that are checked afterwards (sequence locks): ThreadSanitizer can't know.  And for
 * a store-release that the kernel does for us (FUTEX_WAKE_OP): it can't see that one.
 */
#ifdef KIPC_TSAN
void __tsan_release(void *addr);
#ifdef __clang__
/* whose no_sanitize leaves atomic accesses watched */
#define __racy __attribute__((disable_sanitizer_instrumentation, noinline))
#else
#define __racy __attribute__((no_sanitize("thread"), noinline))
#endif
#define tsan_release(p) __tsan_release(p)
#else
#define __racy
#define tsan_release(p) ((void)0)
#endif

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
/* Each argument is evaluated once: it may be a load of a shared field, which an enemy changes. */
#define min_of(a, b)                                                                               \
	({                                                                                         \
		__auto_type __min_a = (a);                                                         \
		__auto_type __min_b = (b);                                                         \
		__min_a < __min_b ? __min_a : __min_b;                                             \
	})
#define max_of(a, b)                                                                               \
	({                                                                                         \
		__auto_type __max_a = (a);                                                         \
		__auto_type __max_b = (b);                                                         \
		__max_a > __max_b ? __max_a : __max_b;                                             \
	})
/* a: a power of two */
#define align_up(x, a)	(((x) + ((a) - 1)) & ~((__typeof__(x))(a) - 1))

#endif
