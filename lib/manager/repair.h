/* SPDX-License-Identifier: MIT */
/*
 * What a dead process leaves in a manager, and who takes it back: see repair.c.
 */
#ifndef KIPC_MANAGER_REPAIR_H
#define KIPC_MANAGER_REPAIR_H

#include "manager/manager.h"

/* kipc_segment_ops.repair */
int __kipc_manager_repair(struct kipc_segment *seg, uint32_t slot);

#endif
