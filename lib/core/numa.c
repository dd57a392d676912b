// SPDX-License-Identifier: MIT
/*
 * See numa.h.  The kernel takes a set in which some nodes are there and ignores the others; who
 * asked for them would never know.  So we look at what became of it.
 */
#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/numa.h"
#include "core/sys.h"

#define NODES_MAX	1024	/* of any kernel; get_mempolicy(2) wants room for all of its own */

bool __kipc_numa_valid(const struct kipc_numa_place *p)
{
	switch (p->policy) {
	case KIPC_NUMA_NONE:
		return !p->nodes;
	case KIPC_NUMA_BIND:
	case KIPC_NUMA_INTERLEAVE:
		return p->nodes;
	case KIPC_NUMA_PREFERRED:
		return p->nodes && !(p->nodes & (p->nodes - 1));
	}
	return false;
}

int __kipc_numa_place(void *addr, uint64_t len, const struct kipc_numa_place *p)
{
	static const int modes[] = {
		[KIPC_NUMA_BIND]	= MPOL_BIND,
		[KIPC_NUMA_INTERLEAVE]	= MPOL_INTERLEAVE,
		[KIPC_NUMA_PREFERRED]	= MPOL_PREFERRED,
	};
	uint64_t got[NODES_MAX / 64] = { 0 };
	long r;

	if (p->policy == KIPC_NUMA_NONE)
		return 0;
	/* the kernel counts the bits of a mask from one */
	r = SYS(syscall(SYS_mbind, addr, len, modes[p->policy], &p->nodes, 64 + 1, 0));
	if (!r)
		r = SYS(syscall(SYS_get_mempolicy, NULL, got, NODES_MAX + 1, addr, MPOL_F_ADDR));
	if (r == -ENOSYS)
		return -EOPNOTSUPP;
	if (r == -EINVAL || (!r && (p->nodes & ~got[0])))
		return -ENODEV;
	return (int)r;
}
