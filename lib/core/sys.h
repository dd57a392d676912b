/* SPDX-License-Identifier: MIT */
/*
 * System calls in the library's convention: a result >= 0, or a negative errno value, and errno is
 * left as the caller of the library had it.
 */
#ifndef KIPC_CORE_SYS_H
#define KIPC_CORE_SYS_H

#include <errno.h>

#define SYS(call)                                                                                  \
	({                                                                                         \
		int __saved = errno;                                                               \
		long __ret = (long)(call);                                                         \
		if (__ret == -1)                                                                   \
			__ret = -errno;                                                            \
		errno = __saved;                                                                   \
		__ret;                                                                             \
	})

/* For calls that a signal may interrupt with nothing done. */
#define SYS_RETRY(call)                                                                            \
	({                                                                                         \
		long __again;                                                                      \
		do                                                                                 \
			__again = SYS(call);                                                       \
		while (__again == -EINTR);                                                         \
		__again;                                                                           \
	})

#endif
