/* SPDX-License-Identifier: MIT */
/*
 * A dict's model: for each key of a small universe the number of its value (values.h) plus 1, or 0;
 * and random operations that can be done to both.
 */
#ifndef SELFTESTS_DICT_MODEL_H
#define SELFTESTS_DICT_MODEL_H

#include <kipc/dict.h>
#include <kipc/manager.h>

#include "manager/dict.h"

#include "../manager/step.h"
#include "../manager/values.h"

#define MODEL_KEYS	1000
#define UPDATE_MAX	4

struct model {
	uint64_t n[MODEL_KEYS];
	uint32_t keys;
};

enum op_kind {
	OP_SET,
	OP_DEL,
	OP_POP,
	OP_SETDEFAULT,
	OP_UPDATE,	/* of count keys from key on */
	OP_CLEAR,
	OP_CHANGING,	/* those before change the dict */
	OP_GET = OP_CHANGING,
	OP_CONTAINS,
	OP_LEN,
	OP_ITEMS,
	OP_FOREACH,
	OP_KINDS,
};

struct op {
	enum op_kind kind;
	uint32_t key, count;
	uint64_t number;
};

struct result {
	int64_t r;
	uint64_t number;	/* of the value that was given */
	uint64_t digest;	/* of several, in any order */
};

struct key_buf {
	char text[96];
};

/* Key i: all types, short and long; a str and bytes of the same content. */
static inline struct kipc_value key_of(uint32_t i, struct key_buf *buf)
{
	int len;

	switch (i % 5) {
	case 0:
		return kipc_int((int64_t)i - 20);
	case 1:
		len = snprintf(buf->text, sizeof(buf->text), "%u", i);
		return kipc_strn(buf->text, (size_t)len);
	case 2:
		len = snprintf(buf->text, sizeof(buf->text), "%u", i - 1);
		return kipc_bytes(buf->text, (size_t)len);
	case 3:
		len = snprintf(buf->text, sizeof(buf->text), "key-%012u", i);
		return kipc_strn(buf->text, (size_t)len);
	}
	len = snprintf(buf->text, sizeof(buf->text),
		       "a longer key that needs more than one line of the cache, number %u", i);
	return kipc_strn(buf->text, (size_t)len);
}

/* The key's number, or UINT32_MAX. */
static inline uint32_t key_number(const struct kipc_value *v)
{
	struct key_buf buf;
	struct kipc_value k;
	const char *p = v->str;
	uint32_t n;

	switch (v->type) {
	case KIPC_INT:
		n = (uint32_t)(v->i + 20);
		break;
	case KIPC_BYTES:
		n = (uint32_t)strtoul(p, NULL, 10) + 1;
		break;
	case KIPC_STR:
		p = v->len > 20 ? strrchr(p, ' ') + 1 : v->len == 16 ? p + 4 : p;
		n = (uint32_t)strtoul(p, NULL, 10);
		break;
	default:
		return UINT32_MAX;
	}
	k = key_of(n, &buf);
	return kipc_value_equal(&k, v) ? n : UINT32_MAX;
}

/* full: keys that are there on average, in percent. */
static inline struct op op_random(uint64_t *seed, const struct model *m, uint64_t numbers,
				  uint32_t full, uint32_t kinds)
{
	static const uint8_t often[] = {
		[OP_SET] = 60, [OP_DEL] = 15, [OP_POP] = 15, [OP_SETDEFAULT] = 10, [OP_UPDATE] = 5,
		[OP_CLEAR] = 1, [OP_GET] = 30, [OP_CONTAINS] = 10, [OP_LEN] = 3, [OP_ITEMS] = 1,
		[OP_FOREACH] = 1,
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
	if (op.kind == OP_SET && rnd_below(seed, 100) > full)
		op.kind = OP_DEL;
	op.key = (uint32_t)rnd_below(seed, m->keys);
	op.count = (uint32_t)rnd_below(seed, UPDATE_MAX + 1);
	return op;
}

static inline uint64_t digest(uint64_t key, uint64_t number)
{
	return (key * 0x9e3779b97f4a7c15ULL ^ number) * 0x2545f4914f6cdd1dULL;
}

static inline struct result model_apply(struct model *m, const struct op *op)
{
	uint64_t *at = &m->n[op->key];
	struct result res = { 0 };

	switch (op->kind) {
	case OP_SET:
		*at = op->number + 1;
		break;
	case OP_DEL:
	case OP_POP:
	case OP_GET:
		if (!*at) {
			res.r = -ENOENT;
			break;
		}
		res.number = op->kind == OP_DEL ? 0 : *at - 1;
		*at = op->kind == OP_GET ? *at : 0;
		break;
	case OP_SETDEFAULT:
		res.r = !*at;
		if (!*at)
			*at = op->number + 1;
		res.number = *at - 1;
		break;
	case OP_UPDATE:
		for (uint32_t i = 0; i < op->count; i++)
			m->n[(op->key + i) % m->keys] = op->number + i + 1;
		break;
	case OP_CLEAR:
		memset(m->n, 0, sizeof(m->n));
		break;
	case OP_CONTAINS:
		res.r = *at != 0;
		break;
	case OP_LEN:
	case OP_ITEMS:
	case OP_FOREACH:
		for (uint32_t i = 0; i < m->keys; i++) {
			res.r += m->n[i] != 0;
			if (m->n[i] && op->kind != OP_LEN)
				res.digest += digest(i, m->n[i] - 1);
		}
		break;
	case OP_KINDS:
		break;
	}
	return res;
}

static inline int add_up(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	struct result *res = arg;

	res->r++;
	res->digest += digest(key_number(key), value_number(v));
	return 0;
}

static inline int dict_update(struct kipc_dict *d, const struct op *op, uint32_t nkeys)
{
	struct value_buf *bufs = malloc(UPDATE_MAX * sizeof(*bufs));
	struct kipc_value keys[UPDATE_MAX], v[UPDATE_MAX];
	struct key_buf kbufs[UPDATE_MAX];
	int r;

	for (uint32_t i = 0; i < op->count; i++) {
		keys[i] = key_of((op->key + i) % nkeys, &kbufs[i]);
		v[i] = value_of(op->number + i, &bufs[i]);
	}
	r = kipc_dict_update(d, keys, v, op->count);
	free(bufs);
	return r;
}

static inline struct result dict_apply(struct kipc_dict *d, const struct op *op, uint32_t nkeys)
{
	static struct kipc_value keys[MODEL_KEYS], vs[MODEL_KEYS];
	struct value_buf *buf = malloc(sizeof(*buf));
	struct key_buf kbuf;
	struct kipc_value k = key_of(op->key, &kbuf), v = value_of(op->number, buf);
	struct kipc_value got = kipc_none();
	struct result res = { 0 };
	bool gives = false;

	switch (op->kind) {
	case OP_SET:
		res.r = kipc_dict_set(d, k, v);
		break;
	case OP_DEL:
		res.r = kipc_dict_del(d, k);
		break;
	case OP_POP:
		res.r = kipc_dict_pop(d, k, &got);
		gives = true;
		break;
	case OP_GET:
		res.r = kipc_dict_get(d, k, &got);
		gives = true;
		break;
	case OP_SETDEFAULT:
		res.r = kipc_dict_setdefault(d, k, v, &got);
		gives = true;
		break;
	case OP_UPDATE:
		res.r = dict_update(d, op, nkeys);
		break;
	case OP_CLEAR:
		res.r = kipc_dict_clear(d);
		break;
	case OP_CONTAINS:
		res.r = kipc_dict_contains(d, k);
		break;
	case OP_LEN:
		res.r = kipc_dict_len(d);
		break;
	case OP_ITEMS:
		res.r = kipc_dict_items(d, keys, vs, MODEL_KEYS);
		for (int64_t i = 0; i < res.r; i++) {
			res.digest += digest(key_number(&keys[i]), value_number(&vs[i]));
			kipc_value_clear(&keys[i]);
			kipc_value_clear(&vs[i]);
		}
		break;
	case OP_FOREACH:
		if (kipc_dict_foreach(d, add_up, &res))
			res.r = -1;
		break;
	case OP_KINDS:
		break;
	}
	if (gives && res.r >= 0)
		res.number = value_number(&got);
	kipc_value_clear(&got);
	free(buf);
	return res;
}

/* A dict whose keys meet in the same buckets in every run. */
static inline struct kipc_dict *dict_make(struct kipc_manager *m, const char *name)
{
	struct kipc_dict *d;

	ASSERT_EQ(0, kipc_dict_create(m, name, &d));
	for (int i = 0; i < 2; i++)
		__kipc_dict_shared(d)->hash_key[i] = d->hash_key[i] = 0x0123456789abcdef + i;
	return d;
}

/* The number of key i's value plus 1, or 0; UINT64_MAX for a value that is none, or an error. */
static inline uint64_t dict_number(struct kipc_dict *d, uint32_t i)
{
	struct key_buf kbuf;
	struct kipc_value v;
	uint64_t n;
	int r = kipc_dict_get(d, key_of(i, &kbuf), &v);

	if (r)
		return r == -ENOENT ? 0 : UINT64_MAX;
	n = value_number(&v);
	kipc_value_clear(&v);
	return n == UINT64_MAX ? n : n + 1;
}

/* Whether the dict holds what the model says, no more and no less. */
static inline bool dict_is(struct kipc_dict *d, const struct model *m)
{
	int64_t n = 0;

	for (uint32_t i = 0; i < m->keys; i++) {
		if (dict_number(d, i) != m->n[i])
			return false;
		n += m->n[i] != 0;
	}
	return kipc_dict_len(d) == n;
}

#endif
