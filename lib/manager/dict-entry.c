// SPDX-License-Identifier: MIT
/*
 * Entries: a key and its value in one block.
 *
 * An entry is filled while the stripe's NEW owns it and no cell has it; then it doesn't change but
 * for the payload of an int, bool or double.  The reference of a ref is taken by the stripe's REF
 * before the entry exists, and is the entry's payload's from the moment that a cell has the entry.
 */
#include <stdlib.h>

#include "manager/dict.h"

static const uint8_t slot_types[] = {
	[KIPC_NONE] = KIPC_SLOT_NONE,	  [KIPC_BOOL] = KIPC_SLOT_BOOL,
	[KIPC_INT] = KIPC_SLOT_INT,	  [KIPC_DOUBLE] = KIPC_SLOT_DOUBLE,
	[KIPC_BYTES] = KIPC_SLOT_BYTES,	  [KIPC_STR] = KIPC_SLOT_STR,
	[KIPC_REF] = KIPC_SLOT_REF,
};

static uint64_t word_off(const struct kipc_dict_ref *t, const __u64 *word)
{
	return __kipc_arena_off(t->m, word);
}

int __kipc_dict_free(const struct kipc_dict_ref *t, __u64 *word)
{
	return t->locked ? __kipc_arena_free_locked(t->m, word_off(t, word)) :
			   __kipc_arena_free(t->m, word_off(t, word));
}

int __kipc_dict_drop(const struct kipc_dict_ref *t, __u64 *word)
{
	return t->locked ? __kipc_ref_drop_locked(t->m, word_off(t, word)) :
			   __kipc_ref_drop(t->m, word_off(t, word));
}

int __kipc_dict_alloc_bucket(const struct kipc_dict_ref *t, __u64 *word)
{
	return __kipc_arena_zalloc(t->m, sizeof(struct kipc_dict_bucket), word_off(t, word));
}

int __kipc_dict_entry_make(const struct kipc_dict_ref *t, const struct kipc_dict_key *k,
			   const struct kipc_value *v)
{
	__u64 *new = &t->g->data[KIPC_DICT_NEW], *ref = &t->g->data[KIPC_DICT_REF];
	uint32_t vtype = slot_types[v->type], vlen = 0;
	uint64_t payload = 0, id = 0;
	const void *bytes = NULL;
	struct kipc_dict_entry *e;
	int r;

	switch (v->type) {
	case KIPC_BOOL:
		payload = v->b;
		break;
	case KIPC_INT:
	case KIPC_DOUBLE:
		payload = (uint64_t)v->i;	/* the same bits */
		break;
	case KIPC_BYTES:
	case KIPC_STR:
		vlen = (uint32_t)v->len;
		bytes = v->data;
		break;
	case KIPC_REF:
		r = __kipc_ref_take(t->m, v->ref->off, v->ref->id, word_off(t, ref));
		if (r)
			return r;
		payload = v->ref->off;
		id = v->ref->id;
		bytes = &id;
		vlen = sizeof(id);
		break;
	}
	r = __kipc_arena_alloc(t->m, sizeof(*e) + k->len + (uint64_t)vlen, word_off(t, new));
	if (unlikely(r)) {
		__kipc_dict_drop(t, ref);
		return r;
	}
	e = __kipc_arena_ptr(t->m, *new);
	e->hash = k->hash;
	store_relaxed(&e->meta, KIPC_DICT_META(k->type, k->len, vtype, vlen));
	store_relaxed(&e->payload, payload);
	memcpy(e->data, k->data, k->len);
	if (vlen)
		memcpy(e->data + k->len, bytes, vlen);
	KIPC_POINT("dict.entry");
	return 0;
}

int __kipc_dict_entry_free_old(const struct kipc_dict_ref *t)
{
	__u64 *old = &t->g->data[KIPC_DICT_OLD];
	struct kipc_dict_entry *e;
	uint64_t meta;
	int r = 0;

	if (!load_relaxed(old))
		return 0;
	e = __kipc_dict_entry(t->m, load_relaxed(old), &meta);
	if (unlikely(!e))
		return -EPROTO;
	if (unlikely(KIPC_DICT_META_VTYPE(meta) == KIPC_SLOT_REF))
		r = __kipc_dict_drop(t, &e->payload);
	return r ? r : __kipc_dict_free(t, old);
}

static __racy int copy_bytes(uint32_t type, const void *p, size_t len, struct kipc_raw *raw)
{
	char *buf = malloc(len + 1);

	if (unlikely(!buf))
		return -ENOMEM;
	__kipc_copy_racy(buf, p, len);
	buf[len] = '\0';
	raw->slot.tag = type | (uint64_t)len << 16;
	raw->slot.payload = 0;
	raw->buf = buf;
	raw->len = len;
	return 0;
}

static __racy int copy(uint32_t type, uint64_t payload, const void *p, size_t len,
		       struct kipc_raw *raw)
{
	uint64_t id;

	raw->buf = NULL;
	raw->len = 0;
	raw->slot.tag = type;
	raw->slot.payload = payload;
	switch (type) {
	case KIPC_SLOT_NONE:
	case KIPC_SLOT_BOOL:
	case KIPC_SLOT_INT:
	case KIPC_SLOT_DOUBLE:
		return 0;
	case KIPC_SLOT_BYTES:
	case KIPC_SLOT_STR:
		return copy_bytes(type, p, len, raw);
	case KIPC_SLOT_REF:
		if (len != sizeof(id))
			return -EPROTO;
		__kipc_copy_racy(&id, p, sizeof(id));
		raw->slot.tag |= id << 16;
		return 0;
	}
	return -EPROTO;
}

__racy int __kipc_dict_copy_value(struct kipc_dict_entry *e, uint64_t meta, struct kipc_raw *raw)
{
	return copy(KIPC_DICT_META_VTYPE(meta), load_relaxed(&e->payload),
		    e->data + KIPC_DICT_META_KLEN(meta), KIPC_DICT_META_VLEN(meta), raw);
}

__racy int __kipc_dict_copy_key(struct kipc_dict_entry *e, uint64_t meta, struct kipc_raw *raw)
{
	uint64_t payload = 0;

	if (KIPC_DICT_META_KTYPE(meta) == KIPC_SLOT_INT) {
		if (KIPC_DICT_META_KLEN(meta) != sizeof(payload))
			return -EPROTO;
		__kipc_copy_racy(&payload, e->data, sizeof(payload));
	}
	return copy(KIPC_DICT_META_KTYPE(meta), payload, e->data, KIPC_DICT_META_KLEN(meta), raw);
}
