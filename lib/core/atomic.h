/* SPDX-License-Identifier: MIT */
/*
 * Every atomic access of the library, and nothing else.
 *
 * Words in shared memory are plain fixed-width integers; they become atomic by the way they are
 * accessed.  The read-modify-write operations are sequentially consistent: on x86 that is what the
 * lock prefix gives anyway.  Only there are they full barriers, too: on arm64 a plain load may
 * overtake the store of an xchg() before it, a load_seq_cst() may not.  So "I store, then look at
 * what you store" (doorbells, shutdown) is a read-modify-write and a load_seq_cst() or a
 * fence_full() between; on x86 the load costs nothing more.
 *
 * The names follow the kernel's Documentation/memory-barriers.txt; the memory model is C11's.
 */
#ifndef KIPC_CORE_ATOMIC_H
#define KIPC_CORE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/compiler.h"

#define load_relaxed(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define load_seq_cst(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_relaxed(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)

#define xchg(p, v)		__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define fetch_add(p, v)		__atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define fetch_sub(p, v)		__atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define fetch_or(p, v)		__atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define fetch_and(p, v)		__atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)

/* True when *p was old and is now new. */
#define cmpxchg(p, old, new)                                                                       \
	({                                                                                         \
		__typeof__(*(p)) __old = (old);                                                    \
		__atomic_compare_exchange_n((p), &__old, (new), false, __ATOMIC_SEQ_CST,           \
					    __ATOMIC_ACQUIRE);                                     \
	})

/* The same, and *oldp becomes what was found. */
#define try_cmpxchg(p, oldp, new)                                                                  \
	__atomic_compare_exchange_n((p), (oldp), (new), false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)

/*
 * A count that only feeds displays: exact from one writer, may lose a step among several.  Never
 * put one where a lost step matters.
 */
#define stat_inc(p)		store_relaxed((p), load_relaxed(p) + 1)

#define fence_full()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define fence_acquire()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define fence_release()		__atomic_thread_fence(__ATOMIC_RELEASE)
/* Orders what the compiler emits, nothing more: between a process's stores and its own death. */
#define fence_compiler()	__atomic_signal_fence(__ATOMIC_SEQ_CST)

static __always_inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("isb" ::: "memory");
#else
	__asm__ __volatile__("" ::: "memory");
#endif
}

#endif
