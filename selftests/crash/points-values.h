/* SPDX-License-Identifier: MIT */
/*
 * Values that say whose they are, for the scenes of containers.  In the model each is a number; see
 * ../manager/values.h.
 */
#ifndef SELFTESTS_CRASH_POINTS_VALUES_H
#define SELFTESTS_CRASH_POINTS_VALUES_H

#include <kipc/list.h>

#include "points-arena.h"
#include "../manager/values.h"

#define INT(who)	(64 * 40 + 8 * (who))
#define BLOCK(who)	(64 * (40 + (who)) + 8 * 4 + 6)	/* a string of a length of its own */
#define BEFORE(i)	(100 + (uint64_t)(i) * 13)	/* those that are there before */
#define REF(who)	(-10 - (int64_t)(who))		/* a list of two, which only this refers to */

static struct kipc_list *other;		/* each actor's own, to be referred to */

static inline int make_other(void)
{
	struct value_buf buf;
	int r = enter() ?: kipc_list_create(m, NULL, &other);

	r = r ?: kipc_list_append(other, kipc_int(INT(points_who)));
	return r ?: kipc_list_append(other, value_of(BLOCK(points_who), &buf));
}

static inline int64_t number_of_ref(struct kipc_value *v)
{
	struct kipc_value first;
	struct kipc_list *in;
	int64_t n = INT64_MIN;

	if (kipc_list_from(v, &in))
		return n;
	if (!kipc_list_get(in, 0, &first) && kipc_list_len(in) == 2)
		n = REF((first.i - INT(0)) / 8);
	kipc_list_unref(in);
	return n;
}

#endif
