/* SPDX-License-Identifier: MIT */
/*
 * A list's model: an array of the numbers of its values (values.h), and random operations that can
 * be done to both.
 */
#ifndef SELFTESTS_LIST_MODEL_H
#define SELFTESTS_LIST_MODEL_H

#include <kipc/list.h>
#include <kipc/manager.h>

#include "../manager/step.h"
#include "../manager/values.h"

#define MODEL_MAX	4096
#define EXTEND_MAX	600

struct model {
	uint64_t n[MODEL_MAX];
	size_t len;
};

enum op_kind {
	OP_APPEND,
	OP_EXTEND,	/* by count values, from number on */
	OP_INSERT,
	OP_SET,
	OP_POP,
	OP_REMOVE,
	OP_REVERSE,
	OP_SORT,
	OP_CLEAR,
	OP_CHANGING,	/* those before change the list */
	OP_GET = OP_CHANGING,
	OP_INDEX,
	OP_COUNT,
	OP_SLICE,
	OP_LEN,
	OP_KINDS,
};

struct op {
	enum op_kind kind;
	int64_t index, stop, step;
	uint64_t number, count;
};

/* What an operation gave; in a list's and its model's order. */
struct result {
	int64_t r;
	uint64_t number;	/* of the value that was given */
	uint64_t digest;	/* of several */
};

static inline uint64_t digest(uint64_t d, uint64_t number)
{
	return (d ^ number) * 0x9e3779b97f4a7c15ULL + 1;
}

static inline int64_t index_near(uint64_t *seed, size_t len)
{
	/* inside, from either end, and now and then outside */
	return (int64_t)rnd_below(seed, 2 * len + 6) - (int64_t)len - 3;
}

/* numbers: how many different values; want: about how long the list is kept. */
static inline struct op op_random(uint64_t *seed, const struct model *m, uint64_t numbers,
				  size_t want, uint32_t kinds)
{
	static const uint8_t often[] = {
		[OP_APPEND] = 30, [OP_EXTEND] = 6, [OP_INSERT] = 20, [OP_SET] = 20, [OP_POP] = 30,
		[OP_REMOVE] = 10, [OP_REVERSE] = 2, [OP_SORT] = 2, [OP_CLEAR] = 1, [OP_GET] = 20,
		[OP_INDEX] = 5, [OP_COUNT] = 3, [OP_SLICE] = 5, [OP_LEN] = 3,
	};
	struct op op = { .number = rnd_below(seed, numbers) };
	uint64_t pick, total = 0;

	for (uint32_t i = 0; i < kinds; i++)
		total += often[i];
	pick = rnd_below(seed, total);
	while (pick >= often[op.kind])
		pick -= often[op.kind++];
	if (op.kind == OP_CLEAR && rnd_below(seed, 4))
		op.kind = OP_SET;
	if (m->len > want && (op.kind == OP_APPEND || op.kind == OP_EXTEND || op.kind == OP_INSERT))
		op.kind = OP_POP;
	op.index = rnd_below(seed, 3) ? index_near(seed, m->len) : -1;
	op.stop = index_near(seed, m->len);
	op.step = (int64_t)rnd_below(seed, 9) - 4;
	if (!op.step)
		op.step = 1;
	op.count = rnd_below(seed, 8) ? rnd_below(seed, 12) : rnd_below(seed, EXTEND_MAX);
	return op;
}

/* ---- the model ---- */

static inline int model_compare(const void *a, const void *b)
{
	static struct value_buf bufs[2];
	static const int ranks[] = { [KIPC_NONE] = 0, [KIPC_BOOL] = 1, [KIPC_INT] = 1,
				     [KIPC_DOUBLE] = 1, [KIPC_BYTES] = 2, [KIPC_STR] = 3 };
	struct kipc_value v = value_of(*(const uint64_t *)a, &bufs[0]);
	struct kipc_value w = value_of(*(const uint64_t *)b, &bufs[1]);
	int d = ranks[v.type] - ranks[w.type];
	double x, y;

	if (d || v.type == KIPC_NONE)
		return d;
	if (ranks[v.type] == 1) {
		x = v.type == KIPC_BOOL ? v.b : v.type == KIPC_INT ? (double)v.i : v.d;
		y = w.type == KIPC_BOOL ? w.b : w.type == KIPC_INT ? (double)w.i : w.d;
		return (x > y) - (x < y);
	}
	d = memcmp(v.data, w.data, v.len < w.len ? v.len : w.len);
	return d ? d : (v.len > w.len) - (v.len < w.len);
}

static inline size_t model_clamp(int64_t i, size_t len)
{
	if (i < 0)
		i += (int64_t)len;
	return i < 0 ? 0 : i > (int64_t)len ? len : (size_t)i;
}

static inline struct result model_slice(const struct model *m, const struct op *op)
{
	int64_t len = (int64_t)m->len, lo = op->step < 0 ? -1 : 0;
	int64_t hi = op->step < 0 ? len - 1 : len;
	int64_t i = op->index < 0 ? op->index + len : op->index;
	int64_t end = op->stop < 0 ? op->stop + len : op->stop;
	struct result res = { 0 };

	i = i < lo ? lo : i > hi ? hi : i;
	end = end < lo ? lo : end > hi ? hi : end;
	for (; op->step < 0 ? i > end : i < end; i += op->step) {
		res.digest = digest(res.digest, m->n[i]);
		res.r++;
	}
	return res;
}

static inline struct result model_apply(struct model *m, const struct op *op)
{
	size_t at = (size_t)(op->index < 0 ? op->index + (int64_t)m->len : op->index);
	struct result res = { 0 };
	size_t i;

	switch (op->kind) {
	case OP_APPEND:
		m->n[m->len++] = op->number;
		break;
	case OP_EXTEND:
		for (i = 0; i < op->count; i++)
			m->n[m->len++] = op->number + i;
		break;
	case OP_INSERT:
		at = model_clamp(op->index, m->len);
		memmove(&m->n[at + 1], &m->n[at], (m->len - at) * sizeof(m->n[0]));
		m->n[at] = op->number;
		m->len++;
		break;
	case OP_SET:
	case OP_GET:
	case OP_POP:
		if (at >= m->len) {
			res.r = -ERANGE;
			break;
		}
		res.number = op->kind == OP_SET ? 0 : m->n[at];
		if (op->kind == OP_SET) {
			m->n[at] = op->number;
		} else if (op->kind == OP_POP) {
			m->len--;
			memmove(&m->n[at], &m->n[at + 1], (m->len - at) * sizeof(m->n[0]));
		}
		break;
	case OP_REMOVE:
		for (i = 0; i < m->len && m->n[i] != op->number; i++)
			;
		if (i == m->len) {
			res.r = -ENOENT;
			break;
		}
		m->len--;
		memmove(&m->n[i], &m->n[i + 1], (m->len - i) * sizeof(m->n[0]));
		break;
	case OP_REVERSE:
		for (i = 0; i < m->len / 2; i++) {
			uint64_t n = m->n[i];

			m->n[i] = m->n[m->len - 1 - i];
			m->n[m->len - 1 - i] = n;
		}
		break;
	case OP_SORT:
		qsort(m->n, m->len, sizeof(m->n[0]), model_compare);
		break;
	case OP_CLEAR:
		m->len = 0;
		break;
	case OP_INDEX:
		res.r = -ENOENT;
		for (i = model_clamp(op->index, m->len); i < model_clamp(op->stop, m->len); i++) {
			if (m->n[i] == op->number) {
				res.r = (int64_t)i;
				break;
			}
		}
		break;
	case OP_COUNT:
		for (i = 0; i < m->len; i++)
			res.r += m->n[i] == op->number;
		break;
	case OP_SLICE:
		return model_slice(m, op);
	case OP_LEN:
		res.r = (int64_t)m->len;
		break;
	case OP_KINDS:
		break;
	}
	return res;
}

/* ---- the list ---- */

static inline int list_extend(struct kipc_list *l, uint64_t number, uint64_t count)
{
	struct value_buf *bufs = malloc((count + 1) * sizeof(*bufs));
	struct kipc_value *v = malloc((count + 1) * sizeof(*v));
	int r;

	for (uint64_t i = 0; i < count; i++)
		v[i] = value_of(number + i, &bufs[i]);
	r = kipc_list_extend(l, v, count);
	free(v);
	free(bufs);
	return r;
}

static inline struct result list_apply(struct kipc_list *l, const struct op *op)
{
	static struct kipc_value vs[MODEL_MAX];
	struct value_buf *buf = malloc(sizeof(*buf));
	struct kipc_value v = value_of(op->number, buf), got = kipc_none();
	struct result res = { 0 };

	switch (op->kind) {
	case OP_APPEND:
		res.r = kipc_list_append(l, v);
		break;
	case OP_EXTEND:
		res.r = list_extend(l, op->number, op->count);
		break;
	case OP_INSERT:
		res.r = kipc_list_insert(l, op->index, v);
		break;
	case OP_SET:
		res.r = kipc_list_set(l, op->index, v);
		break;
	case OP_POP:
	case OP_GET:
		res.r = op->kind == OP_POP ? kipc_list_pop(l, op->index, &got) :
					     kipc_list_get(l, op->index, &got);
		res.number = res.r ? 0 : value_number(&got);
		break;
	case OP_REMOVE:
		res.r = kipc_list_remove(l, v);
		break;
	case OP_REVERSE:
		res.r = kipc_list_reverse(l);
		break;
	case OP_SORT:
		res.r = kipc_list_sort(l);
		break;
	case OP_CLEAR:
		res.r = kipc_list_clear(l);
		break;
	case OP_INDEX:
		res.r = kipc_list_index(l, v, op->index, op->stop);
		break;
	case OP_COUNT:
		res.r = kipc_list_count(l, v);
		break;
	case OP_SLICE:
		res.r = kipc_list_slice(l, op->index, op->stop, op->step, vs, MODEL_MAX);
		for (int64_t i = 0; i < res.r; i++) {
			res.digest = digest(res.digest, value_number(&vs[i]));
			kipc_value_clear(&vs[i]);
		}
		break;
	case OP_LEN:
		res.r = kipc_list_len(l);
		break;
	case OP_KINDS:
		break;
	}
	kipc_value_clear(&got);
	free(buf);
	return res;
}

/* Whether the list holds what the model says. */
static inline bool list_is(struct kipc_list *l, const struct model *m)
{
	struct kipc_value *v = calloc(m->len + 1, sizeof(*v));
	int64_t n = kipc_list_slice(l, 0, INT64_MAX, 1, v, m->len + 1);
	bool same = n == (int64_t)m->len;

	for (size_t i = 0; i < m->len + 1; i++) {
		same = same && (i == m->len || value_number(&v[i]) == m->n[i]);
		kipc_value_clear(&v[i]);
	}
	free(v);
	return same;
}

#endif
