/* SPDX-License-Identifier: MIT */
/* A few operations on an object of any kind, once it was let in: use.c. */
#ifndef SELFTESTS_FUZZ_USE_H
#define SELFTESTS_FUZZ_USE_H

#include "fuzz.h"

/* Every operation that the kind has, about once, as the input says. */
void fuzz_use(struct kipc_object *obj, struct fuzz_input *in);

#endif
