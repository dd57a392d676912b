/* SPDX-License-Identifier: MIT */
/* The private side of views: what is believed of one, see kipc/view.h. */
#ifndef KIPC_SHM_VIEW_H
#define KIPC_SHM_VIEW_H

#include "kipc/view.h"
#include "shm/array.h"

/*
 * Checks all of a view, which may have come from anywhere, and copies it.  Afterwards: elements
 * times itemsize is no more than the bytes of the array, and every index inside the shape leads to
 * an element inside the array, aligned as there.  *end[0], *end[1]: the bytes that they lie in.  0
 * or -EINVAL.
 */
int __kipc_view_check(const struct kipc_view *v, struct kipc_array_desc *d, const uint8_t *end[2]);

#endif
