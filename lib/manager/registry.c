// SPDX-License-Identifier: MIT
/* The table of all objects: see registry.h. */
#include "manager/registry.h"

uint64_t *__kipc_reg_entry(struct kipc_manager *m, uint64_t idx)
{
	uint64_t n = idx / KIPC_REG_FIRST + 1, first;
	uint32_t chunk = 63 - (uint32_t)__builtin_clzll(n);
	uint64_t *words;

	if (chunk >= KIPC_REG_CHUNKS)
		return NULL;
	first = ((uint64_t)KIPC_REG_FIRST << chunk) - KIPC_REG_FIRST;
	words = __kipc_arena_at(m, load_acquire(&m->hdr->registry[chunk]),
				((uint64_t)KIPC_REG_FIRST << chunk) * sizeof(*words));
	return words ? words + (idx - first) : NULL;
}

/* No more than there is memory for, whatever reg_high says. */
uint64_t __kipc_reg_high(struct kipc_manager *m)
{
	uint64_t high = load_acquire(&m->hdr->reg_high), room = 0;

	for (uint32_t i = 0; i < KIPC_REG_CHUNKS && room < high; i++) {
		uint64_t n = (uint64_t)KIPC_REG_FIRST << i;

		if (!__kipc_arena_at(m, load_acquire(&m->hdr->registry[i]), n * sizeof(uint64_t)))
			break;
		room += n;
	}
	return min_of(high, room);
}

struct kipc_obj_header *__kipc_object_typed(struct kipc_manager *m, uint64_t off,
					    const struct kipc_obj_type **type)
{
	struct kipc_obj_header *o = __kipc_arena_at(m, off, sizeof(*o));

	if (unlikely(!o || off & 15))
		return NULL;
	*type = __kipc_obj_type(load_relaxed(&o->kind));
	return *type && __kipc_arena_at(m, off, (*type)->size) ? o : NULL;
}

struct kipc_obj_header *__kipc_object_at(struct kipc_manager *m, uint64_t off)
{
	const struct kipc_obj_type *type;

	return __kipc_object_typed(m, off, &type);
}

struct kipc_obj_header *__kipc_reg_object(struct kipc_manager *m, uint64_t idx,
					  const struct kipc_obj_type **type)
{
	uint64_t *word = __kipc_reg_entry(m, idx), off;

	if (!word)
		return NULL;
	off = load_acquire(word);
	return off & KIPC_REG_FREE ? NULL : __kipc_object_typed(m, off, type);
}

bool __kipc_reg_holds(struct kipc_manager *m, uint64_t off, const struct kipc_obj_header *o)
{
	uint64_t *word = __kipc_reg_entry(m, load_relaxed(&o->entry));

	return word && load_relaxed(word) == off;
}

int __kipc_reg_pick(struct kipc_manager *m, uint64_t *idx, uint64_t *word, struct kipc_write *w)
{
	uint64_t free = load_relaxed(&m->hdr->reg_free), next, *p;
	uint32_t chunk;
	int r;

	if (free) {
		*idx = free - 1;
		p = __kipc_reg_entry(m, *idx);
		next = p ? load_relaxed(p) : 0;
		if (!(next & KIPC_REG_FREE))
			return -EPROTO;
		w->off = __kipc_arena_off(m, &m->hdr->reg_free);
		w->val = next >> 1;
	} else {
		*idx = load_relaxed(&m->hdr->reg_high);
		if (*idx >= ((uint64_t)KIPC_REG_FIRST << KIPC_REG_CHUNKS) - KIPC_REG_FIRST)
			return -ENOMEM;
		chunk = 63 - (uint32_t)__builtin_clzll(*idx / KIPC_REG_FIRST + 1);
		if (!load_relaxed(&m->hdr->registry[chunk])) {
			r = __kipc_arena_alloc_locked(
				m, ((uint64_t)KIPC_REG_FIRST << chunk) * sizeof(uint64_t),
				__kipc_arena_off(m, &m->hdr->registry[chunk]), true);
			if (r)
				return r;
		}
		p = __kipc_reg_entry(m, *idx);
		if (!p)
			return -EPROTO;
		w->off = __kipc_arena_off(m, &m->hdr->reg_high);
		w->val = *idx + 1;
	}
	*word = __kipc_arena_off(m, p);
	return 0;
}

void __kipc_reg_free_writes(struct kipc_manager *m, uint64_t idx, uint64_t *word,
			    struct kipc_write w[2])
{
	w[0].off = __kipc_arena_off(m, word);
	w[0].val = load_relaxed(&m->hdr->reg_free) << 1 | KIPC_REG_FREE;
	w[1].off = __kipc_arena_off(m, &m->hdr->reg_free);
	w[1].val = idx + 1;
}
