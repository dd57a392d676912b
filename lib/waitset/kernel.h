/* SPDX-License-Identifier: MIT */
/* What adding and changing the kernel's members needs of kernel.c. */
#ifndef KIPC_WAITSET_KERNEL_H
#define KIPC_WAITSET_KERNEL_H

#include "waitset/waitset.h"

/* KIPC_READABLE and _WRITABLE as EPOLL*. */
uint32_t __kipc_waitset_poll_events(uint32_t events);
/* 0, or -EINVAL: times that can't be. */
int __kipc_waitset_timer_spec(int64_t first_ns, int64_t interval_ns, struct itimerspec *its);
/* Sets the timer as m->timer says. */
int __kipc_waitset_start_timer(struct member *m);

#endif
