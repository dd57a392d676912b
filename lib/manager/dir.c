// SPDX-License-Identifier: MIT
/*
 * The names of objects inside a manager: a hash table of chains.  Arena's lock held.
 *
 * An entry that is being made or taken out is owned by header.dir_new.  States: in a chain (its
 * `obj` refers); in dir_new with or without a reference.  A death leaves it in either; what is in
 * dir_new is dropped by the next recovery.
 */
#include <string.h>

#include "core/opts.h"
#include "core/peer.h"
#include "manager/registry.h"

/* More names than this in one chain is damage. */
#define CHAIN_MAX	(1u << 20)

/* At most sizeof(kipc_dir_entry.name) bytes are looked at: a name, or what an enemy made of one. */
static uint64_t *bucket_of(struct kipc_manager *m, const char *name)
{
	uint32_t hash = 2166136261u;	/* FNV-1a: part of the ABI */

	for (size_t i = 0; i <= KIPC_NAME_MAX && name[i]; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	return (uint64_t *)&m->hdr->directory[hash % KIPC_MGR_BUCKETS];
}

int __kipc_dir_find(struct kipc_manager *m, const char *name, struct kipc_dir_entry **entry,
		    uint64_t *owner)
{
	uint64_t *word = bucket_of(m, name);
	struct kipc_dir_entry *e;

	for (uint32_t i = 0; i < CHAIN_MAX; i++) {
		uint64_t off = load_relaxed(word);

		if (!off)
			return -ENOENT;
		e = __kipc_arena_at(m, off, sizeof(*e));
		if (!e)
			return -EPROTO;
		if (!strncmp(e->name, name, sizeof(e->name))) {
			*entry = e;
			*owner = __kipc_arena_off(m, word);
			return 0;
		}
		word = (uint64_t *)&e->next;
	}
	return -EPROTO;
}

int __kipc_dir_prepare(struct kipc_manager *m, const char *name)
{
	uint64_t word = __kipc_arena_off(m, &m->hdr->dir_new);
	struct kipc_dir_entry *e;
	int r;

	r = __kipc_arena_alloc_locked(m, sizeof(*e), word, true);
	if (r)
		return r;
	e = __kipc_arena_ptr(m, load_relaxed(&m->hdr->dir_new));
	memcpy(e->name, name, strlen(name));	/* a checked name: at most 63 */
	return 0;
}

void __kipc_dir_link(struct kipc_manager *m, struct kipc_obj_header *o)
{
	uint64_t off = load_relaxed(&m->hdr->dir_new), *bucket;
	struct kipc_dir_entry *e = __kipc_arena_at(m, off, sizeof(*e));

	if (!e)
		return;
	bucket = bucket_of(m, e->name);
	store_relaxed(&e->next, load_relaxed(bucket));
	KIPC_POINT("dir.chained");
	__kipc_arena_writes(m, (struct kipc_write[]){
		{ __kipc_arena_off(m, &e->obj), __kipc_arena_off(m, o) },
		{ __kipc_arena_off(m, &o->refs), load_relaxed(&o->refs) + 1 },
		{ __kipc_arena_off(m, &o->name), off },
		{ __kipc_arena_off(m, bucket), off },
		{ __kipc_arena_off(m, &m->hdr->dir_new), 0 },
		{ __kipc_arena_off(m, &m->hdr->names), load_relaxed(&m->hdr->names) + 1 },
	}, 6);
}

int __kipc_dir_remove(struct kipc_manager *m, const char *name)
{
	struct kipc_obj_header *o;
	struct kipc_dir_entry *e;
	uint64_t owner;
	int r;

	r = __kipc_dir_find(m, name, &e, &owner);
	if (r)
		return r;
	o = __kipc_object_at(m, load_relaxed(&e->obj));
	if (!o || !__kipc_reg_holds(m, load_relaxed(&e->obj), o))
		return -EPROTO;
	__kipc_arena_writes(m, (struct kipc_write[]){
		{ owner, load_relaxed(&e->next) },
		{ __kipc_arena_off(m, &m->hdr->dir_new), __kipc_arena_off(m, e) },
		{ __kipc_arena_off(m, &o->name), 0 },
		{ __kipc_arena_off(m, &m->hdr->names), load_relaxed(&m->hdr->names) - 1 },
	}, 4);
	return __kipc_dir_recover(m);
}

int __kipc_dir_recover(struct kipc_manager *m)
{
	uint64_t off = load_relaxed(&m->hdr->dir_new);
	struct kipc_dir_entry *e;
	int r;

	if (!off)
		return 0;
	e = __kipc_arena_at(m, off, sizeof(*e));
	if (!e)
		return -EPROTO;
	r = __kipc_ref_drop_locked(m, __kipc_arena_off(m, &e->obj));
	return r ? r : __kipc_arena_free_locked(m, __kipc_arena_off(m, &m->hdr->dir_new));
}

KIPC_API int kipc_manager_remove(struct kipc_manager *m, const char *name)
{
	int r;

	if (!m || __kipc_name_check(name) != 1)
		return -EINVAL;
	r = __kipc_peer_enter(&m->obj.seg);
	if (r)
		return r;
	r = __kipc_arena_lock(m);
	if (r)
		return r;
	r = __kipc_dir_remove(m, name);
	__kipc_arena_unlock(m);
	if (!r)
		r = __kipc_zombies_reap(m, 0);
	return r;
}
