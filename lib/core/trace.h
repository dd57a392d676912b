/* SPDX-License-Identifier: MIT */
/*
 * Static probes (USDT) of the library: for ipc-inspect trace, and for bpftrace, perf or gdb.
 *
 *	bpftrace -p PID -e 'usdt:/usr/lib/libkipc.so.0:kipc:queue_put { @bytes = hist(arg2); }'
 *
 * A probe is one nop and a note in the file that says where it is and where its arguments are then,
 * in which register or at which place in memory.  Whoever traces has the kernel put a breakpoint
 * there.  So the arguments are only what the code has at hand: an lvalue or a constant, nothing that
 * would have to be worked out while nobody looks.
 *
 * Every probe begins with the id of the segment's header.  What follows:
 *
 *	queue_put	position, length		about to be published
 *	queue_get	position, length, flags		claimed; flags: KIPC_MSG_REDELIVERED
 *	queue_redeliver	position, length		the same message comes again: before its get
 *	queue_block	bell				no room, no message: it is going to wait
 *
 *	pipe_send	end, position, length		about to be published; a stream: its first piece
 *	pipe_recv	end, position, length		copied out, about to be freed; a stream: begun;
 *							a peeked message: released
 *	pipe_block	end, bell
 *	pipe_hangup	end				the other one is gone
 *
 *	bell_wake	bell				about to wake who sleeps there
 *	bell_sleep	bell, owner			about to sleep; owner: slot waited for, or 0
 *	bell_woken	bell, events			awake; events: 1 by the bell, 2 by a hang-up, 0: a
 *							tick is over, to look for the dead
 *
 *	lock_wait	word, base, owner		it is owner's (a slot): going to wait
 *	lock_acquire	word, base, waited		waited: 0 or 1, there was a lock_wait before
 *	lock_takeover	word, base			its owner died with it: after its acquire
 *	lock_release	word, base, woke		woke: 0 or 1, by the kernel, since somebody waits
 *
 *	arena_grow	old, new			bytes
 *	repair		slot, claims			what a dead process held is given back
 *
 * end: 0 or 1, of the handle; what end 0 sends at a position end 1 receives there.  position: of a
 * queue as in uapi/kipc/queue.h, of a pipe in bytes; a number is used once.  bell: index in
 * kipc_peer.sleeping[], see enum kipc_queue_bell; of a pipe 2 * way + (0: readable, 1: writable).  Who
 * sleeps in a waitset, or polls a descriptor by himself, sleeps at many bells: he has no bell_sleep.
 * word, base: addresses in this process of the lock word and of its segment: their difference says
 * for every process which lock it is.
 *
 * The build defines KIPC_SDT where <sys/sdt.h> is there, unless told not to: make SDT=0.
 */
#ifndef KIPC_CORE_TRACE_H
#define KIPC_CORE_TRACE_H

#ifdef KIPC_SDT
#define SDT_USE_VARIADIC
#ifdef __clang__
/*
 * Given the choice between memory and register, it copies every argument to the stack: so registers
 * only, but for the id, which stays in its struct.
 */
#define STAP_SDT_ARG_CONSTRAINT nr
#endif
#include <sys/sdt.h>

#if !defined(_SDT_ASM_BODY)
/* another sdt.h than the one we know: as it is */
#elif defined(__clang__)
#undef _SDT_ASM_OPERANDS_1
#define _SDT_ASM_OPERANDS_1(id)                                                                    \
	[_SDT_S1] "n"(-(int)(sizeof(id) << 8) - (0x7f & __builtin_classify_type(id))), [_SDT_A1] "m"(id)
#elif __GNUC__ >= 9
/*
 * gcc takes the lines of an asm for its size, and sdt.h writes sixty for one nop: functions with a
 * probe would not be inlined any more.  So, the same with the word that says "this is small".
 */
#undef _SDT_PROBE
#define _SDT_PROBE(provider, name, n, arglist)                                                     \
	do {                                                                                       \
		__asm__ __inline__ __volatile__(_SDT_ASM_BODY(provider, name, _SDT_ASM_ARGS, (n))  \
						::_SDT_ASM_OPERANDS_##n arglist);                  \
		__asm__ __inline__ __volatile__(_SDT_ASM_BASE);                                    \
	} while (0)
#endif

#define KIPC_TRACE(probe, ...)	STAP_PROBEV(kipc, probe, __VA_ARGS__)
#else
static inline void __kipc_no_trace(int unused, ...)
{
	(void)unused;
}
/* Nothing is evaluated, and what only probes use isn't unused. */
#define KIPC_TRACE(probe, ...)	((void)sizeof((__kipc_no_trace(0, __VA_ARGS__), 0)))
#endif

#endif
