/* SPDX-License-Identifier: MIT */
/* print() of a list of numbers, as Python does it. */
#ifndef PRINT_LIST_H
#define PRINT_LIST_H

#include <kipc/list.h>

static inline void print_list(struct kipc_list *list)
{
	long len = check(kipc_list_len(list), "len");

	printf("The final list is : [");
	for (long i = 0; i < len; i++) {
		struct kipc_value v;

		check(kipc_list_get(list, i, &v), "get");
		printf("%s%ld", i ? ", " : "", (long)v.i);
		kipc_value_clear(&v);
	}
	printf("]\n");
}

#endif
