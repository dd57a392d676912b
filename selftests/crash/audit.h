/* SPDX-License-Identifier: MIT */
/* Asks the library's auditor about an object of any kind. */
#ifndef SELFTESTS_CRASH_AUDIT_H
#define SELFTESTS_CRASH_AUDIT_H

#include "core/object.h"

/* idle: nobody else is inside a call on it.  0: nothing is wrong; else the first finding, in words. */
int crash_audit_object(struct kipc_object *obj, bool idle, char *text, size_t size);

#endif
