/* SPDX-License-Identifier: MIT */
/* On which NUMA nodes memory is: the kernel's policies, mbind(2) and get_mempolicy(2). */
#ifndef KIPC_CORE_NUMA_H
#define KIPC_CORE_NUMA_H

#include <stdbool.h>
#include <stdint.h>

#include "kipc/base.h"

struct kipc_numa_place {
	enum kipc_numa policy;
	uint64_t nodes;		/* bit n: node n */
};

/* Whether it makes sense on some machine. */
bool __kipc_numa_valid(const struct kipc_numa_place *p);

/*
 * From now on the pages of [addr, addr + len), a mapping, are taken where p says; those that were
 * taken already stay.  For shmem that holds for the file, whoever touches it; for hugetlb for this
 * mapping. KIPC_NUMA_NONE: nothing is done.  0; -ENODEV: not all of the nodes are there, or this
 * process may not use them; -EOPNOTSUPP: a kernel without NUMA; -EPERM: a sandbox forbids it;
 * -ENOMEM.
 */
int __kipc_numa_place(void *addr, uint64_t len, const struct kipc_numa_place *p);

#endif
