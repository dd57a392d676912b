/* SPDX-License-Identifier: MIT */
/*
 * Shared objects of a manager, the references that keep them, and this process's handles.
 *
 * An object is a block that begins with struct kipc_obj_header and is owned by its word in the
 * registry.  header.refs counts the words that refer to it: slots of containers, words of handle
 * tables, the name directory.  Taking or dropping a reference changes count and word together, by
 * one intent (see arena.h).
 *
 * States: live (refs > 0) -> zombie (refs 0, on header.zombies; the same intent) -> dying (taken
 * off it into header.dying) -> gone (block freed, registry word free, id of the block 0; one intent).
 * All moved by the holder of the arena's lock; destruction goes in steps of bounded length, each of
 * which any process may do: who dropped the last reference does, and whoever meets one left behind.
 *
 * Death of a process: every guard that it held becomes DIED, then the references in its handle
 * tables are dropped, then the tables are freed; all restartable (kipc_segment_ops.repair).
 *
 * Fork: a child takes references of its own for all the handles that it inherited; a handle whose
 * object was gone by then answers -ENOENT.
 */
#ifndef KIPC_MANAGER_OBJECT_H
#define KIPC_MANAGER_OBJECT_H

#include "manager/tx.h"

struct kipc_audit;

/*
 * A handle: private to the process.  Every kind's handle begins with one: struct kipc_list { struct
 * kipc_handle h; ... };
 */
struct kipc_handle {
	struct kipc_manager *m;
	struct kipc_obj_header *hdr;	/* checked to lie in the segment, with the kind's size */
	const struct kipc_obj_type *type;
	uint64_t off;
	uint64_t id;
	uint64_t word;			/* in this process's handle table; 0: none (lost over fork) */
	uint64_t fork_word;		/* in that of the child that is being made; 0: none */
	struct kipc_handle *next, **pprev;
};

/* A kind of object.  Callbacks must not wait; where they take an arena lock is said. */
struct kipc_obj_type {
	uint32_t kind;			/* enum kipc_obj_kind */
	const char *name;		/* "list" */
	uint32_t size;			/* bytes of the object's block, header included */
	uint32_t handle_size;		/* bytes of the private handle */
	uint32_t guard_off;		/* further guards in the block, beside header.guard: where, */
	uint32_t nguards;		/* ... and how many */
	bool user_lock;			/* header.guard is a lock that users hold: the audit leaves it */

	/*
	 * Fills a new object's block (zeroed, header filled) before anybody can see it; allocates
	 * nothing.  arg: as given to __kipc_object_create().  May be NULL.
	 */
	void (*init)(struct kipc_obj_header *o, const void *arg);
	/*
	 * After a death with this guard held, when the transaction was rolled: takes back what the
	 * short way left half-made.  Guard held, arena's lock not.  May be NULL.  0 or -EPROTO.
	 */
	int (*recover)(struct kipc_manager *m, struct kipc_obj_header *o, struct kipc_guard *g);
	/*
	 * Frees what the object owns beyond its block, in steps: until *budget is 0.  1: there is
	 * more; 0: all is freed; negative: damage (the rest is given up).  Arena's lock held:
	 * __kipc_release_locked(), __kipc_arena_free_locked().  o->cursor is free for use as a
	 * hint of progress, 0 at first.  May be NULL.  Nobody else looks at the object; its
	 * transactions have been rolled, recover() was *not* called.
	 */
	int (*destroy)(struct kipc_manager *m, struct kipc_obj_header *o, uint32_t *budget);
	/* As __kipc_release_locked() for KIPC_OWN_TYPE(kind, k); may be NULL if there are none. */
	int (*release)(struct kipc_manager *m, uint64_t kind, uint64_t word, uint32_t *budget);
	/*
	 * For the audit: says what the object's words own, by __kipc_audit_*() (audit.h).  Every
	 * guard of the object and the arena's lock are held.  Must bound its loops.  May be NULL.
	 */
	void (*mark)(struct kipc_audit *a, struct kipc_obj_header *o);
	/* The same for one word of KIPC_OWN_TYPE(kind, k). */
	void (*mark_owned)(struct kipc_audit *a, uint64_t kind, uint64_t word);
	/* A new handle of this process (also of an object made elsewhere): 0, -ENOMEM, -EPROTO.
	 * May be NULL. */
	int (*opened)(struct kipc_handle *h);
	/* The handle is about to be freed.  May be NULL. */
	void (*closed)(struct kipc_handle *h);
};

extern const struct kipc_obj_type __kipc_list_type;
extern const struct kipc_obj_type __kipc_dict_type;
extern const struct kipc_obj_type __kipc_lock_type;
extern const struct kipc_obj_type __kipc_rlock_type;

/* KIPC_OBJ_TEST: a kind that a white-box selftest brings along, before it opens a manager. */
extern const struct kipc_obj_type *__kipc_obj_test_type;

/* The type of a kind, or NULL. */
const struct kipc_obj_type *__kipc_obj_type(uint32_t kind);

/*
 * The start of every operation on a handle: this process is registered (it may be a fork child) and
 * the object is still there.  0, -ENOENT, or what __kipc_peer_enter() says.  h isn't NULL.
 */
static inline int __kipc_handle_enter(struct kipc_handle *h)
{
	int r = __kipc_peer_enter(&h->m->obj.seg);

	if (unlikely(r))
		return r;
	return likely(load_relaxed(&h->hdr->id) == h->id) ? 0 : -ENOENT;
}

/* The same for an operation that stores nothing: good in a manager that is open for reading only. */
static inline int __kipc_handle_enter_read(struct kipc_handle *h)
{
	int r = __kipc_peer_enter_read(&h->m->obj.seg);

	if (unlikely(r))
		return r;
	return likely(load_relaxed(&h->hdr->id) == h->id) ? 0 : -ENOENT;
}

/*
 * Makes an object of the type, named if name isn't NULL, and a handle of it (type->handle_size
 * bytes, zeroed behind struct kipc_handle).  Checks m, name and out for the caller and enters the
 * segment.  0, -EINVAL, -EEXIST (the name is taken), -ENOMEM, -EPROTO.
 */
int __kipc_object_create(struct kipc_manager *m, const char *name,
			 const struct kipc_obj_type *type, const void *arg,
			 struct kipc_handle **out);
/* By name: 0, -EINVAL (also: it is of another kind), -ENOENT, -ENOMEM, -EPROTO. */
int __kipc_object_open(struct kipc_manager *m, const char *name,
		       const struct kipc_obj_type *type, struct kipc_handle **out);
/*
 * A handle of the object at off with (the low 48 bits of) this id, of whatever type: for values read
 * from containers, with no lock held or with a guard held.  0; -ENOENT (no such object: an optimistic
 * reader was overtaken, or damage), -ENOMEM, -EPROTO.
 */
int __kipc_handle_get(struct kipc_manager *m, uint64_t off, uint64_t id, struct kipc_handle **out);
/* One more handle of the same object. */
int __kipc_handle_dup(struct kipc_handle *h, struct kipc_handle **out);
/*
 * Takes the handle of that type out of an owning ref value, which becomes none: for _from().  0;
 * -EINVAL (NULL, no ref, another type, a value that only borrows).
 */
struct kipc_value;
int __kipc_handle_from(struct kipc_value *v, const struct kipc_obj_type *type,
		       struct kipc_handle **out);
/* Drops the handle's reference and frees it; destroys the object if that was the last.  NULL is
 * fine.  0 or a negative errno, the handle is gone in any case. */
int __kipc_handle_close(struct kipc_handle *h);

/*
 * Makes `word` (which holds 0) refer to the object at off, if it is one and has this id (the low 48
 * bits are compared).  0, -ENOENT, -EPROTO, -EOVERFLOW.
 */
int __kipc_ref_take(struct kipc_manager *m, uint64_t off, uint64_t id, uint64_t word);
int __kipc_ref_take_locked(struct kipc_manager *m, uint64_t off, uint64_t id, uint64_t word);
/*
 * Drops the reference that the word is and zeroes it; 0 in the word is fine.  The last one makes the
 * object a zombie; the unlocked form then destroys it.  0 or -EPROTO.
 */
int __kipc_ref_drop(struct kipc_manager *m, uint64_t word);
int __kipc_ref_drop_locked(struct kipc_manager *m, uint64_t word);

/* Destroys zombies: at most `budget` blocks (0: to the end).  No arena lock held.  0 or -EPROTO;
 * the second form also -EAGAIN, -ETIMEDOUT for the arena's lock. */
int __kipc_zombies_reap(struct kipc_manager *m, uint32_t budget);
int __kipc_zombies_reap_by(struct kipc_manager *m, uint32_t budget, int64_t deadline);

/* The object header at off, checked to be inside and aligned, kind known and of that kind's size;
 * NULL otherwise.  The content may still be anything. */
struct kipc_obj_header *__kipc_object_at(struct kipc_manager *m, uint64_t off);
/* The same, with the type that was checked (the field may change; this answer doesn't). */
struct kipc_obj_header *__kipc_object_typed(struct kipc_manager *m, uint64_t off,
					    const struct kipc_obj_type **type);

#endif
