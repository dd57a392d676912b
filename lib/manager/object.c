// SPDX-License-Identifier: MIT
/* Objects made and found: see object.h. */
#include <string.h>

#include "core/lock.h"
#include "core/opts.h"
#include "manager/alloc.h"
#include "manager/handle.h"
#include "manager/readonly.h"
#include "manager/registry.h"

static const struct kipc_obj_type *const types[KIPC_OBJ_MAX] = {
	[KIPC_OBJ_LIST]		= &__kipc_list_type,
	[KIPC_OBJ_DICT]		= &__kipc_dict_type,
	[KIPC_OBJ_LOCK]		= &__kipc_lock_type,
	[KIPC_OBJ_RLOCK]	= &__kipc_rlock_type,
};

const struct kipc_obj_type *__kipc_obj_test_type;

const struct kipc_obj_type *__kipc_obj_type(uint32_t kind)
{
	if (unlikely(kind >= KIPC_OBJ_MAX))
		return NULL;
	return likely(kind != KIPC_OBJ_TEST) ? types[kind] : __kipc_obj_test_type;
}

/*
 * The object's block: filled while it is still free, then owned by the registry and referred to by
 * `word`, all by one intent.  Arena's lock held.
 */
static int make(struct kipc_manager *m, const struct kipc_obj_type *type, const void *arg,
		uint64_t word, struct kipc_obj_header **out)
{
	uint64_t idx, reg_word, id = load_relaxed(&m->hdr->next_id);
	struct kipc_obj_header *o;
	struct kipc_write w[5];
	struct kipc_pick p;
	int r;

	r = __kipc_reg_pick(m, &idx, &reg_word, &w[0]);
	if (!r)
		r = __kipc_alloc_pick(m, type->size, &p);
	if (r)
		return r;
	o = memset(__kipc_arena_ptr(m, p.block), 0, type->size);
	o->kind = type->kind;
	o->id = id;
	o->refs = 1;
	o->entry = idx;
	if (type->init)
		type->init(o, arg);
	w[1] = (struct kipc_write){ reg_word, p.block };
	w[2] = (struct kipc_write){ word, p.block };
	w[3] = (struct kipc_write){ __kipc_arena_off(m, &m->hdr->next_id), id + 1 };
	w[4] = (struct kipc_write){ __kipc_arena_off(m, &m->hdr->objects),
				    load_relaxed(&m->hdr->objects) + 1 };
	fence_release();	/* pairs with: __kipc_reg_object() */
	__kipc_alloc_commit(m, &p, w, 5);
	*out = o;
	return 0;
}

static int make_named(struct kipc_manager *m, const char *name, const struct kipc_obj_type *type,
		      const void *arg, uint64_t word, struct kipc_obj_header **out)
{
	struct kipc_dir_entry *e;
	uint64_t owner;
	int r;

	r = __kipc_dir_find(m, name, &e, &owner);
	if (r != -ENOENT)
		return r ? r : -EEXIST;
	r = __kipc_dir_prepare(m, name);
	if (r)
		return r;
	r = make(m, type, arg, word, out);
	if (!r)
		__kipc_dir_link(m, *out);
	else
		__kipc_dir_recover(m);
	return r;
}

/*
 * An auditor needs a moment in which no object appears, and would wait for it for ever where objects
 * come fast.  So whoever makes one lets it go first; not without end: a stopped one must not stop all.
 */
static __cold void let_auditor_go_first(struct kipc_manager *m)
{
	int r = __kipc_lock_acquire(&m->obj.seg, &m->hdr->audit_lock, __kipc_deadline(KIPC_TICK_NS));

	if (!r || r == -EOWNERDEAD)
		__kipc_lock_release(&m->obj.seg, &m->hdr->audit_lock);
}

int __kipc_object_create(struct kipc_manager *m, const char *name,
			 const struct kipc_obj_type *type, const void *arg,
			 struct kipc_handle **out)
{
	struct kipc_obj_header *o;
	uint64_t word;
	int r, named;

	if (!m || !out)
		return -EINVAL;
	named = __kipc_name_check(name);
	if (named < 0)
		return named;
	r = __kipc_peer_enter(&m->obj.seg);
	if (r)
		return r;
	/* the references of the dead are taken back by somebody who looks: here, now and then */
	__kipc_peer_sweep(&m->obj.seg, KIPC_TICK_NS);
	if (unlikely(load_relaxed(&m->hdr->audit_lock) & KIPC_LOCK_OWNER))
		let_auditor_go_first(m);
	r = __kipc_handle_word(m, &word);
	if (r)
		return r;
	for (bool again = true;; again = false) {
		r = __kipc_arena_lock(m);
		if (r)
			goto out_word;
		r = named ? make_named(m, name, type, arg, word, &o) : make(m, type, arg, word, &o);
		__kipc_arena_unlock(m);
		if (r != -ENOMEM || !again || __kipc_arena_squeeze(m))
			break;
	}
	if (r)
		goto out_word;
	r = __kipc_handle_new(m, __kipc_arena_off(m, o), word, out);
	if (!r)
		return 0;
	if (named)
		kipc_manager_remove(m, name);
	__kipc_ref_drop(m, word);
out_word:
	__kipc_handle_word_put(m, word);
	return r;
}

int __kipc_object_open(struct kipc_manager *m, const char *name, const struct kipc_obj_type *type,
		       struct kipc_handle **out)
{
	struct kipc_obj_header *o;
	struct kipc_dir_entry *e;
	uint64_t off = 0, id = 0, owner;
	int r;

	if (!m || !out || __kipc_name_check(name) != 1)
		return -EINVAL;
	if (__kipc_readonly(m))
		return __kipc_readonly_open(m, name, type, out);
	r = __kipc_peer_enter(&m->obj.seg);
	if (r)
		return r;
	r = __kipc_arena_lock(m);
	if (r)
		return r;
	r = __kipc_dir_find(m, name, &e, &owner);
	if (!r) {
		off = load_relaxed(&e->obj);
		o = __kipc_object_at(m, off);
		if (!o)
			r = -EPROTO;
		else if (load_relaxed(&o->kind) != type->kind)
			r = -EINVAL;
		else
			id = load_relaxed(&o->id);
	}
	__kipc_arena_unlock(m);
	/* it may go in between: then its name is gone as well */
	if (!r)
		r = __kipc_handle_get(m, off, id, out);
	if (!r && (*out)->type != type) {
		__kipc_handle_close(*out);
		r = -EPROTO;
	}
	return r;
}

int __kipc_handle_from(struct kipc_value *v, const struct kipc_obj_type *type,
		       struct kipc_handle **out)
{
	if (!v || !out || v->type != KIPC_REF || !(v->flags & KIPC_VALUE_OWNED) ||
	    v->ref->type != type)
		return -EINVAL;
	*out = v->ref;
	*v = kipc_none();
	return 0;
}

KIPC_API int kipc_handle_kind(const struct kipc_handle *h)
{
	return h ? (int)h->type->kind : -EINVAL;
}

KIPC_API uint64_t kipc_handle_id(const struct kipc_handle *h)
{
	return h ? h->id : 0;
}

KIPC_API int kipc_handle_unref(struct kipc_handle *h)
{
	return h ? __kipc_handle_close(h) : -EINVAL;
}
