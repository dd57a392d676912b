/* SPDX-License-Identifier: MIT */
/*
 * The registry of objects and the directory of names.  Arena's lock held, but for the registry's
 * racy readers, who may look at any entry at any time: chunks are never freed.
 *
 * An entry of the registry is 0 (never used), an object's offset (it owns the object's block), or
 * free: bit 0 set, the rest the next free entry.  Entries change by the intent that makes or ends
 * the object.
 */
#ifndef KIPC_MANAGER_REGISTRY_H
#define KIPC_MANAGER_REGISTRY_H

#include "manager/object.h"

/* The word of an entry, or NULL: there is no such entry. */
uint64_t *__kipc_reg_entry(struct kipc_manager *m, uint64_t idx);
/* How many entries may be in use: a bound for walks. */
uint64_t __kipc_reg_high(struct kipc_manager *m);
/* The object that an entry holds, checked as by __kipc_object_typed(); NULL: none. */
struct kipc_obj_header *__kipc_reg_object(struct kipc_manager *m, uint64_t idx,
					  const struct kipc_obj_type **type);
/* Whether the block at off is a registered object. */
bool __kipc_reg_holds(struct kipc_manager *m, uint64_t off, const struct kipc_obj_header *o);

/*
 * Picks an unused entry: its number, its word, and the write that takes it off the free ones, to be
 * done by the intent that fills it.  0, -ENOMEM, -EPROTO.
 */
int __kipc_reg_pick(struct kipc_manager *m, uint64_t *idx, uint64_t *word, struct kipc_write *w);
/* The two writes that make an entry free. */
void __kipc_reg_free_writes(struct kipc_manager *m, uint64_t idx, uint64_t *word,
			    struct kipc_write w[2]);

/* The entry of a name: 0 and *entry, or -ENOENT, -EPROTO.  *owner: the word that owns it. */
int __kipc_dir_find(struct kipc_manager *m, const char *name, struct kipc_dir_entry **entry,
		    uint64_t *owner);
/* Makes an entry for a name that isn't there, owned by header.dir_new.  0, -ENOMEM, -EPROTO. */
int __kipc_dir_prepare(struct kipc_manager *m, const char *name);
/* Links it, as a reference to o. */
void __kipc_dir_link(struct kipc_manager *m, struct kipc_obj_header *o);
/* Takes a name out.  0, -ENOENT, -EPROTO. */
int __kipc_dir_remove(struct kipc_manager *m, const char *name);
/* Drops what dir_new owns: for the arena's recovery. */
int __kipc_dir_recover(struct kipc_manager *m);

#endif
