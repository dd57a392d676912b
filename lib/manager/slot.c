// SPDX-License-Identifier: MIT
/*
 * Values in slots of shared memory: see value.h.
 *
 * A slot may be released at every instruction of its making: its tag says that the payload owns a
 * block or a reference only while the payload is one, or 0.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/racy.h"
#include "manager/value.h"

static struct kipc_slot load_slot(const struct kipc_slot *p)
{
	return (struct kipc_slot){ load_relaxed(&p->tag), load_relaxed(&p->payload) };
}

/* ---- writing ---- */

/* The inline bytes begin with the third byte of the tag: little-endian, as all of the segment. */
static void fill_inline(struct kipc_slot *slot, const void *data, size_t len, uint32_t type)
{
	unsigned char bytes[sizeof(*slot)] = { 0 };

	bytes[0] = (unsigned char)(type | KIPC_SLOT_INLINE);
	bytes[1] = (unsigned char)len;
	if (len)
		memcpy(bytes + 2, data, len);
	memcpy(slot, bytes, sizeof(*slot));
}

static uint32_t slot_type(uint32_t value_type)
{
	return value_type + (KIPC_SLOT_NONE - KIPC_NONE);
}

_Static_assert(KIPC_SLOT_REF - KIPC_REF == KIPC_SLOT_NONE - KIPC_NONE, "types in the same order");

bool __kipc_slot_simple(const struct kipc_value *v, struct kipc_slot *slot)
{
	slot->tag = slot_type(v->type);
	slot->payload = 0;
	switch (v->type) {
	case KIPC_NONE:
		return true;
	case KIPC_BOOL:
		slot->payload = v->b;
		return true;
	case KIPC_INT:
		slot->payload = (uint64_t)v->i;
		return true;
	case KIPC_DOUBLE:
		memcpy(&slot->payload, &v->d, sizeof(v->d));
		return true;
	case KIPC_BYTES:
	case KIPC_STR:
		if (v->len > KIPC_SLOT_INLINE_MAX)
			break;
		fill_inline(slot, v->data, v->len, slot_type(v->type));
		return true;
	}
	return false;
}

/* The tag of a value that owns something. */
static uint64_t owning_tag(const struct kipc_value *v)
{
	return slot_type(v->type) |
	       (v->type == KIPC_REF ? v->ref->id & KIPC_SLOT_ID_MASK : (uint64_t)v->len) << 16;
}

/* The block or the reference of a value, owned by `word` (which holds 0). */
static int take(struct kipc_manager *m, const struct kipc_value *v, uint64_t word)
{
	int r;

	if (v->type == KIPC_REF) {
		r = __kipc_handle_enter(v->ref);
		return r ? r : __kipc_ref_take(m, v->ref->off, v->ref->id, word);
	}
	r = __kipc_arena_alloc(m, v->len, word);
	if (!r)
		memcpy(__kipc_arena_ptr(m, load_relaxed(__kipc_arena_word(m, word))), v->data,
		       v->len);
	return r;
}

int __kipc_slot_prepare(struct kipc_manager *m, struct kipc_tx *tx, const struct kipc_value *v,
			struct kipc_slot *slot)
{
	uint64_t word;
	int r;

	if (__kipc_slot_simple(v, slot))
		return 0;
	word = __kipc_tx_made(m, tx, v->type == KIPC_REF ? KIPC_OWN_REF : KIPC_OWN_BLOCK);
	if (!word)
		return -EOVERFLOW;
	r = take(m, v, word);
	if (r)
		return r;
	slot->tag = owning_tag(v);
	slot->payload = load_relaxed(__kipc_arena_word(m, word));
	return 0;
}

int __kipc_slot_init(struct kipc_manager *m, uint64_t off, const struct kipc_value *v)
{
	struct kipc_slot *p = __kipc_arena_ptr(m, off), slot;
	int r = 0;

	/* whatever was there owns nothing; from here on the slot says what it owns */
	store_relaxed(&p->tag, KIPC_SLOT_EMPTY);
	step();
	KIPC_POINT("slot.empty");
	if (__kipc_slot_simple(v, &slot)) {
		store_relaxed(&p->payload, slot.payload);
		step();
		store_relaxed(&p->tag, slot.tag);
		KIPC_POINT("slot.simple");
		return 0;
	}
	store_relaxed(&p->payload, 0);
	step();
	store_relaxed(&p->tag, owning_tag(v));
	step();
	KIPC_POINT("slot.owns");
	r = take(m, v, off + offsetof(struct kipc_slot, payload));
	if (r) {
		store_relaxed(&p->tag, KIPC_SLOT_EMPTY);
		KIPC_POINT("slot.refused");
	}
	return r;
}

int __kipc_slot_release_locked(struct kipc_manager *m, uint64_t off)
{
	struct kipc_slot *p = __kipc_arena_ptr(m, off);
	uint64_t owns = __kipc_slot_owns(load_relaxed(&p->tag));
	uint64_t word = off + offsetof(struct kipc_slot, payload);
	int r = 0;

	if (owns == KIPC_OWN_BLOCK)
		r = __kipc_arena_free_locked(m, word);
	else if (owns == KIPC_OWN_REF)
		r = __kipc_ref_drop_locked(m, word);
	if (r)
		return r;
	step();
	store_relaxed(&p->tag, KIPC_SLOT_EMPTY);
	step();
	KIPC_POINT("slot.released");
	store_relaxed(&p->payload, 0);
	KIPC_POINT("slot.zero");
	return 0;
}

int __kipc_slot_release(struct kipc_manager *m, uint64_t off)
{
	struct kipc_slot *p = __kipc_arena_ptr(m, off);
	bool dead;
	int r;

	if (!__kipc_slot_owns(load_relaxed(&p->tag))) {
		store_relaxed(&p->tag, KIPC_SLOT_EMPTY);
		step();
		KIPC_POINT("slot.let_go");
		store_relaxed(&p->payload, 0);
		KIPC_POINT("slot.let_go_zero");
		return 0;
	}
	r = __kipc_arena_lock(m);
	if (r)
		return r;
	r = __kipc_slot_release_locked(m, off);
	dead = load_relaxed(&m->hdr->zombies);
	__kipc_arena_unlock(m);
	return !r && dead ? __kipc_zombies_reap(m, 0) : r;
}

/* ---- reading ---- */

/*
 * Where the bytes of a str or bytes are: in `copy` if inline, else in shared memory.  NULL: the slot
 * makes no sense.
 */
static const void *bytes_of(struct kipc_manager *m, const struct kipc_slot *copy, size_t *len)
{
	uint64_t tag = copy->tag, n;

	if (__kipc_slot_is_inline(tag)) {
		*len = KIPC_SLOT_INLINE_LEN(tag);
		return *len <= KIPC_SLOT_INLINE_MAX ? (const char *)copy + 2 : NULL;
	}
	n = KIPC_SLOT_LEN(tag);
	if (n > KIPC_VALUE_MAX)
		return NULL;
	*len = (size_t)n;
	return __kipc_arena_at(m, copy->payload, n);
}

int __kipc_slot_read(struct kipc_manager *m, const struct kipc_slot *p, struct kipc_raw *raw)
{
	const void *from;
	size_t len;
	char *buf;

	raw->slot = load_slot(p);
	raw->buf = NULL;
	raw->len = 0;
	switch (KIPC_SLOT_TYPE(raw->slot.tag)) {
	case KIPC_SLOT_NONE:
	case KIPC_SLOT_BOOL:
	case KIPC_SLOT_INT:
	case KIPC_SLOT_DOUBLE:
	case KIPC_SLOT_REF:
		return 0;
	case KIPC_SLOT_BYTES:
	case KIPC_SLOT_STR:
		from = bytes_of(m, &raw->slot, &len);
		if (!from)
			return -EPROTO;
		buf = malloc(len + 1);
		if (!buf)
			return -ENOMEM;
		__kipc_copy_racy(buf, from, len);
		buf[len] = '\0';
		raw->buf = buf;
		raw->len = len;
		return 0;
	}
	return -EPROTO;
}

void __kipc_raw_drop(struct kipc_raw *raw)
{
	free(raw->buf);
	raw->buf = NULL;
}

int __kipc_raw_value(struct kipc_manager *m, struct kipc_raw *raw, struct kipc_value *v)
{
	uint32_t type = KIPC_SLOT_TYPE(raw->slot.tag);
	int r;

	*v = kipc_none();
	if (type < KIPC_SLOT_NONE || type > KIPC_SLOT_REF)
		return -EPROTO;
	switch (type) {
	case KIPC_SLOT_BOOL:
		v->b = raw->slot.payload != 0;
		break;
	case KIPC_SLOT_INT:
		v->i = (int64_t)raw->slot.payload;
		break;
	case KIPC_SLOT_DOUBLE:
		memcpy(&v->d, &raw->slot.payload, sizeof(v->d));
		break;
	case KIPC_SLOT_BYTES:
	case KIPC_SLOT_STR:
		v->data = raw->buf;
		v->len = raw->len;
		v->flags = KIPC_VALUE_OWNED;
		raw->buf = NULL;
		break;
	case KIPC_SLOT_REF:
		r = __kipc_handle_get(m, raw->slot.payload, raw->slot.tag >> 16, &v->ref);
		if (r)
			return r;
		v->flags = KIPC_VALUE_OWNED;
		break;
	}
	v->type = type - (KIPC_SLOT_NONE - KIPC_NONE);
	return 0;
}

/* ---- comparing ---- */

/* A slot as a borrowed value, for comparisons; *copy outlives it.  0 or -EPROTO. */
static int borrow(struct kipc_manager *m, const struct kipc_slot *copy, struct kipc_value *v)
{
	uint32_t type = KIPC_SLOT_TYPE(copy->tag);
	struct kipc_raw raw = { .slot = *copy };
	size_t len;

	if (type == KIPC_SLOT_STR || type == KIPC_SLOT_BYTES) {
		const void *p = bytes_of(m, copy, &len);

		*v = type == KIPC_SLOT_STR ? kipc_strn(p, len) : kipc_bytes(p, len);
		return p ? 0 : -EPROTO;
	}
	if (type == KIPC_SLOT_REF || type == KIPC_SLOT_EMPTY)
		return -EPROTO;
	return __kipc_raw_value(m, &raw, v);
}

int __kipc_slot_equal(struct kipc_manager *m, const struct kipc_slot *p,
		      const struct kipc_value *v)
{
	struct kipc_slot copy = load_slot(p);
	uint32_t type = KIPC_SLOT_TYPE(copy.tag);
	struct kipc_value s;
	const void *bytes;
	size_t len;
	int r;

	if (type == KIPC_SLOT_REF)
		return v->type == KIPC_REF &&
		       copy.tag >> 16 == (v->ref->id & KIPC_SLOT_ID_MASK) &&
		       copy.payload == v->ref->off;
	if (type == KIPC_SLOT_STR || type == KIPC_SLOT_BYTES) {
		if (slot_type(v->type) != type)
			return 0;
		bytes = bytes_of(m, &copy, &len);
		if (!bytes)
			return -EPROTO;
		return len == v->len && !__kipc_differs_racy(bytes, v->data, len);
	}
	r = borrow(m, &copy, &s);
	return r ? r : kipc_value_equal(&s, v);
}

int __kipc_slot_compare(struct kipc_manager *m, const struct kipc_slot *a,
			const struct kipc_slot *b)
{
	struct kipc_slot ca = load_slot(a), cb = load_slot(b);
	uint32_t ta = KIPC_SLOT_TYPE(ca.tag), tb = KIPC_SLOT_TYPE(cb.tag);
	struct kipc_value va, vb;

	/* refs last, by id; what makes no sense after them */
	if (ta == KIPC_SLOT_REF && tb == KIPC_SLOT_REF)
		return (ca.tag >> 16 > cb.tag >> 16) - (ca.tag >> 16 < cb.tag >> 16);
	if (ta == KIPC_SLOT_REF || tb == KIPC_SLOT_REF)
		return ta == KIPC_SLOT_REF ? 1 : -1;
	if (borrow(m, &ca, &va) || borrow(m, &cb, &vb))
		return (ta > tb) - (ta < tb);
	return __kipc_value_compare(&va, &vb);
}
