/* SPDX-License-Identifier: MIT */
/*
 * Values made from numbers: the same number always makes the same value, two numbers never the same
 * one, and a look at a value tells whether it is torn.  So a test's model of a container is an
 * array of numbers.
 */
#ifndef SELFTESTS_MANAGER_VALUES_H
#define SELFTESTS_MANAGER_VALUES_H

#include <kipc/manager.h>
#include <kipc/value.h>

#include "kselftest_harness.h"

#define VALUE_BYTES_MAX	5000

struct value_buf {
	char bytes[VALUE_BYTES_MAX];
};

/* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
static inline uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static inline uint64_t rnd_below(uint64_t *state, uint64_t n)
{
	return (rnd(state) >> 11) % n;
}

/* How long the bytes of value n are: in the slot, in a small block, in a larger one. */
static inline size_t value_len(uint64_t n)
{
	switch (n / 8 % 8) {
	case 0:
		return 8;
	case 1:
		return 14;
	case 2:
		return 15;
	case 7:
		return n / 64 % 16 ? 300 : VALUE_BYTES_MAX;
	}
	return 8 + n / 8 % 100;
}

/* The bytes of value n: n itself, then what follows from it. */
static inline void value_fill(char *p, uint64_t n, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = i < 8 ? (char)(n >> 8 * i) : (char)(n * 31 + i * 7);
}

/* Value n, which borrows from buf. */
static inline struct kipc_value value_of(uint64_t n, struct value_buf *buf)
{
	if (n < 3)
		return n == 0 ? kipc_none() : kipc_bool(n - 1);
	switch (n % 8) {
	case 0:
	case 1:
	case 2:
	case 3:
		return kipc_int((int64_t)n);
	case 4:
		return kipc_double((double)n + 0.5);
	case 5:
		value_fill(buf->bytes, n, value_len(n));
		return kipc_bytes(buf->bytes, value_len(n));
	}
	value_fill(buf->bytes, n, value_len(n));
	return kipc_strn(buf->bytes, value_len(n));
}

/* The number of a value; UINT64_MAX, which none has: it is torn, or was never made. */
static inline uint64_t value_number(const struct kipc_value *v)
{
	struct value_buf *buf;
	uint64_t n = UINT64_MAX;
	struct kipc_value w;
	bool same;

	switch (v->type) {
	case KIPC_NONE:
		return 0;
	case KIPC_BOOL:
		return v->b + 1;
	case KIPC_INT:
		n = (uint64_t)v->i;
		break;
	case KIPC_DOUBLE:
		n = (uint64_t)v->d;
		break;
	case KIPC_BYTES:
	case KIPC_STR:
		if (v->len < 8)
			return UINT64_MAX;
		memcpy(&n, v->data, 8);
		break;
	}
	buf = malloc(sizeof(*buf));
	w = value_of(n, buf);
	same = w.type == v->type && kipc_value_equal(&w, v);
	if (same && (v->type == KIPC_STR || v->type == KIPC_BYTES))
		same = ((const char *)v->data)[v->len] == '\0';
	free(buf);
	return same ? n : UINT64_MAX;
}

#endif
