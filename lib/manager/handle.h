/* SPDX-License-Identifier: MIT */
/*
 * Inside of handles: the words of this process's handle tables, and the list of its handles.
 *
 * m->mutex guards the private lists for a few instructions; nothing waits for another process under
 * it, and fork(2) is made to wait for it, so that a child finds them whole.
 */
#ifndef KIPC_MANAGER_HANDLE_H
#define KIPC_MANAGER_HANDLE_H

#include "manager/object.h"

/* An unused word (it holds 0) of this process's tables.  0, -ENOMEM, -EPROTO. */
int __kipc_handle_word(struct kipc_manager *m, uint64_t *word);
/* Gives back a word that holds 0. */
void __kipc_handle_word_put(struct kipc_manager *m, uint64_t word);

/*
 * A private handle for the object at off that `word` refers to already; takes over the word.  On
 * error the word still refers.  0, -ENOMEM, -EPROTO (not an object of a known kind).
 */
int __kipc_handle_new(struct kipc_manager *m, uint64_t off, uint64_t word,
		      struct kipc_handle **out);

/*
 * Drops all the references in the tables of a slot, and the tables, waiting for the arena's lock until
 * the deadline.  How many references that were, or -EAGAIN, -ETIMEDOUT, -EPROTO.  Restartable.
 */
int __kipc_handle_tables_drop(struct kipc_manager *m, uint32_t slot, int64_t deadline);

/*
 * Inside fork(2), in the parent, with m->mutex held: tables for the child's slot, with a reference for
 * each handle.  0, -ENOMEM, -ETIMEDOUT, -EPROTO: the slot, and what it has by then, goes as a dead
 * one's.
 */
int __kipc_handles_prefork(struct kipc_manager *m, uint32_t child_slot);
/* In a fork child: the words are those that prefork made; else the parent's, so none of ours. */
void __kipc_handles_forked(struct kipc_manager *m, bool made);
/* In a fork child with a slot: references of our own.  0, -ENOMEM, -EPROTO. */
int __kipc_handles_reattached(struct kipc_manager *m);

/* One user of the handle of the manager less; the last one closes it. */
void __kipc_manager_put(struct kipc_manager *m);

#endif
