// SPDX-License-Identifier: MIT
/*
 * Sort and reverse: the slots are copied out, put in order privately, copied to new chunks, and
 * these take the old ones' place by one word.  What the slots own doesn't move.
 *
 * The sort is a merge sort, bottom up: stable, and whatever the comparison says (another process
 * may damage the strings meanwhile) it only ever permutes.
 */
#include <stdlib.h>

#include "manager/list.h"

/* Runs this short are sorted by insertion first. */
#define RUN	12

static void insertion(struct kipc_manager *m, struct kipc_slot *a, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++) {
		struct kipc_slot s = a[i];
		uint64_t j = i;

		for (; j && __kipc_slot_compare(m, &s, &a[j - 1]) < 0; j--)
			a[j] = a[j - 1];
		a[j] = s;
	}
}

/* a[0..mid) and a[mid..n) become one in b. */
static void merge(struct kipc_manager *m, const struct kipc_slot *a, uint64_t mid, uint64_t n,
		  struct kipc_slot *b)
{
	uint64_t i = 0, j = mid, k = 0;

	while (i < mid && j < n)
		b[k++] = __kipc_slot_compare(m, &a[j], &a[i]) < 0 ? a[j++] : a[i++];
	while (i < mid)
		b[k++] = a[i++];
	while (j < n)
		b[k++] = a[j++];
}

/* Sorts a with b as room; where the result is. */
static struct kipc_slot *sort(struct kipc_manager *m, struct kipc_slot *a, struct kipc_slot *b,
			      uint64_t n)
{
	for (uint64_t i = 0; i < n; i += RUN)
		insertion(m, a + i, min_of((uint64_t)RUN, n - i));
	for (uint64_t width = RUN; width < n; width *= 2) {
		struct kipc_slot *swap = a;

		for (uint64_t i = 0; i < n; i += 2 * width)
			merge(m, a + i, min_of(width, n - i), min_of(2 * width, n - i), b + i);
		a = b;
		b = swap;
	}
	return a;
}

static struct kipc_slot *reverse(struct kipc_slot *a, uint64_t n)
{
	for (uint64_t i = 0; i < n / 2; i++) {
		struct kipc_slot s = a[i];

		a[i] = a[n - 1 - i];
		a[n - 1 - i] = s;
	}
	return a;
}

static int copy_out(struct kipc_list *l, struct kipc_slot *a, uint64_t n)
{
	for (uint64_t i = 0; i < n;) {
		struct kipc_slot *chunk = __kipc_list_chunk(l->h.m, __kipc_list_guard(l), i);
		uint64_t part = min_of(n - i, (uint64_t)KIPC_LIST_CHUNK);

		if (!chunk)
			return -EPROTO;
		memcpy(a + i, chunk, part * sizeof(*a));
		i += part;
	}
	return 0;
}

static int reorder(struct kipc_list *l, bool sorting)
{
	struct kipc_slot *a = NULL, *b = NULL, *sorted;
	uint64_t len;
	int r;

	if (!l)
		return -EINVAL;
	r = __kipc_handle_enter(&l->h);
	if (!r)
		r = __kipc_list_lock(l);
	if (r)
		return r;
	len = __kipc_list_len_locked(l);
	if (len == UINT64_MAX)
		r = -EPROTO;
	if (r || len < 2)
		goto out;
	a = reallocarray(NULL, len, sizeof(*a));
	b = sorting ? reallocarray(NULL, len, sizeof(*b)) : NULL;
	if (!a || (sorting && !b)) {
		r = -ENOMEM;
		goto out;
	}
	r = copy_out(l, a, len);
	if (r)
		goto out;
	sorted = sorting ? sort(l->h.m, a, b, len) : reverse(a, len);
	r = __kipc_list_rebuild(l, sorted, len);
out:
	__kipc_list_unlock(l);
	free(a);
	free(b);
	return r;
}

int kipc_list_sort(struct kipc_list *l)
{
	return reorder(l, true);
}

int kipc_list_reverse(struct kipc_list *l)
{
	return reorder(l, false);
}
