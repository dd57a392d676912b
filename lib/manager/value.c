// SPDX-License-Identifier: MIT
/* Values of the user's process: see kipc/value.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "manager/value.h"

KIPC_API void kipc_value_clear(struct kipc_value *v)
{
	if (!v)
		return;
	if (v->flags & KIPC_VALUE_OWNED) {
		switch (v->type) {
		case KIPC_BYTES:
		case KIPC_STR:
			free((void *)(uintptr_t)v->data);
			break;
		case KIPC_REF:
			__kipc_handle_close(v->ref);
			break;
		}
	}
	*v = kipc_none();
}

/* What can be said without knowing the manager. */
static int value_sane(const struct kipc_value *v)
{
	if (!v || v->type > KIPC_REF)
		return -EINVAL;
	if (v->type == KIPC_BYTES || v->type == KIPC_STR) {
		if (v->len && !v->data)
			return -EINVAL;
		if (v->len > KIPC_VALUE_LEN_MAX)
			return -EMSGSIZE;
	}
	return v->type == KIPC_REF && !v->ref ? -EINVAL : 0;
}

int __kipc_value_check(struct kipc_manager *m, const struct kipc_value *v)
{
	int r = value_sane(v);

	if (!r && v->type == KIPC_REF && v->ref->m != m)
		return -EINVAL;
	return r;
}

KIPC_API int kipc_value_copy(struct kipc_value *to, const struct kipc_value *from)
{
	struct kipc_value v;
	char *buf;
	int r;

	if (!to)
		return -EINVAL;
	r = value_sane(from);
	if (r)
		return r;
	v = *from;
	v.flags = 0;
	if (v.type == KIPC_BYTES || v.type == KIPC_STR) {
		buf = malloc(v.len + 1);
		if (!buf)
			return -ENOMEM;
		if (v.len)
			memcpy(buf, v.data, v.len);
		buf[v.len] = '\0';
		v.data = buf;
		v.flags = KIPC_VALUE_OWNED;
	} else if (v.type == KIPC_REF) {
		r = __kipc_handle_dup(from->ref, &v.ref);
		if (r)
			return r;
		v.flags = KIPC_VALUE_OWNED;
	}
	*to = v;
	return 0;
}

/* ---- order and equality ---- */

static int rank(uint32_t type)
{
	static const int ranks[] = {
		[KIPC_NONE] = 0, [KIPC_BOOL] = 1, [KIPC_INT] = 1, [KIPC_DOUBLE] = 1,
		[KIPC_BYTES] = 2, [KIPC_STR] = 3, [KIPC_REF] = 4,
	};

	return type < ARRAY_SIZE(ranks) ? ranks[type] : 5;
}

static int compare_int(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* NaN after all numbers, equal to itself: an order, so that sorting ends. */
static int compare_double(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) - isnan(b);
	return (a > b) - (a < b);
}

/* Exactly, though not every int64_t is a double. */
static int compare_int_double(int64_t a, double b)
{
	int64_t whole;

	if (isnan(b) || b >= 0x1p63)
		return -1;
	if (b < -0x1p63)
		return 1;
	whole = (int64_t)b;
	if (a != whole)
		return compare_int(a, whole);
	return compare_double(0, b - (double)whole);
}

static int64_t as_int(const struct kipc_value *v)
{
	return v->type == KIPC_BOOL ? v->b : v->i;
}

static int compare_number(const struct kipc_value *a, const struct kipc_value *b)
{
	if (a->type == KIPC_DOUBLE)
		return b->type == KIPC_DOUBLE ? compare_double(a->d, b->d) :
						-compare_int_double(as_int(b), a->d);
	if (b->type == KIPC_DOUBLE)
		return compare_int_double(as_int(a), b->d);
	return compare_int(as_int(a), as_int(b));
}

static int compare_bytes(const void *a, size_t alen, const void *b, size_t blen)
{
	size_t len = min_of(alen, blen);
	int r = len ? memcmp(a, b, len) : 0;

	return r ? r : (alen > blen) - (alen < blen);
}

int __kipc_value_compare(const struct kipc_value *a, const struct kipc_value *b)
{
	int d = rank(a->type) - rank(b->type);

	if (d)
		return d;
	switch (rank(a->type)) {
	case 1:
		return compare_number(a, b);
	case 2:
	case 3:
		return compare_bytes(a->data, a->len, b->data, b->len);
	case 4:
		return (a->ref->id > b->ref->id) - (a->ref->id < b->ref->id);
	}
	return 0;
}

KIPC_API bool kipc_value_equal(const struct kipc_value *a, const struct kipc_value *b)
{
	if (!a || !b || a->type > KIPC_REF || b->type > KIPC_REF)
		return false;
	/* True is not 1 here: a bool equals bools only; and NaN nothing */
	if ((a->type == KIPC_BOOL) != (b->type == KIPC_BOOL))
		return false;
	if ((a->type == KIPC_DOUBLE && isnan(a->d)) || (b->type == KIPC_DOUBLE && isnan(b->d)))
		return false;
	if (a->type == KIPC_REF && b->type == KIPC_REF)
		return a->ref && b->ref && a->ref->id == b->ref->id &&
		       a->ref->m->obj.seg.hdr->id == b->ref->m->obj.seg.hdr->id;
	return __kipc_value_compare(a, b) == 0;
}
