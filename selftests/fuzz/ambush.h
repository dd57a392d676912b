/* SPDX-License-Identifier: MIT */
/* Changes of a field just after the library has read it: ambush.c. */
#ifndef SELFTESTS_FUZZ_AMBUSH_H
#define SELFTESTS_FUZZ_AMBUSH_H

#include "fuzz.h"

/* As the input says, a few times from now on, until fuzz_ambush_end(). */
void fuzz_ambush_begin(struct fuzz_input *in, struct fuzz_memory *mem);
void fuzz_ambush_end(void);

#endif
