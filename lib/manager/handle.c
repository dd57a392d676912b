// SPDX-License-Identifier: MIT
/* This process's handles and the tables in shared memory that hold their references: see handle.h. */
#include <stdlib.h>
#include <string.h>

#include "manager/alloc.h"
#include "manager/handle.h"
#include "manager/registry.h"

#define NO_ID	UINT64_MAX	/* no object ever has it */

/* ---- words ---- */

/* Room for n more entries of the stack; under the mutex. */
static int reserve_words(struct kipc_manager *m, uint32_t n)
{
	uint32_t cap = m->free_cap ? m->free_cap : 128;
	uint64_t *words;

	while (cap < m->nwords + n)
		cap *= 2;
	if (cap == m->free_cap)
		return 0;
	words = reallocarray(m->free_words, cap, sizeof(*words));
	if (!words)
		return -ENOMEM;
	m->free_words = words;
	m->free_cap = cap;
	return 0;
}

/* One more table for this process: owned by the word of its slot, the rest of the chain by it. */
static int add_table(struct kipc_manager *m)
{
	uint32_t slot = m->obj.seg.slot;
	struct kipc_handle_table *t;
	struct kipc_pick p;
	int r;

	pthread_mutex_lock(&m->mutex);
	r = reserve_words(m, KIPC_HANDLE_WORDS);
	if (!r)
		m->nwords += KIPC_HANDLE_WORDS;	/* room for each of them to be put back */
	pthread_mutex_unlock(&m->mutex);
	if (r)
		return r;
	r = __kipc_arena_lock(m);
	if (r)
		goto out_words;
	r = __kipc_alloc_pick(m, sizeof(*t), &p);
	if (!r) {
		t = memset(__kipc_arena_ptr(m, p.block), 0, sizeof(*t));
		t->next = load_relaxed(&m->hdr->peers[slot]);
		__kipc_alloc_commit(m, &p, (struct kipc_write[]){
			{ __kipc_arena_off(m, &m->hdr->peers[slot]), p.block },
		}, 1);
	}
	__kipc_arena_unlock(m);
	if (r)
		goto out_words;
	pthread_mutex_lock(&m->mutex);
	for (uint32_t i = KIPC_HANDLE_WORDS; i-- > 0;)
		m->free_words[m->nfree_words++] =
			p.block + offsetof(struct kipc_handle_table, obj) + i * sizeof(t->obj[0]);
	pthread_mutex_unlock(&m->mutex);
	return 0;

out_words:
	pthread_mutex_lock(&m->mutex);
	m->nwords -= KIPC_HANDLE_WORDS;
	pthread_mutex_unlock(&m->mutex);
	return r;
}

int __kipc_handle_word(struct kipc_manager *m, uint64_t *word)
{
	bool found;
	int r;

	for (;;) {
		pthread_mutex_lock(&m->mutex);
		found = m->nfree_words > 0;
		if (found)
			*word = m->free_words[--m->nfree_words];
		pthread_mutex_unlock(&m->mutex);
		if (found)
			return 0;
		r = add_table(m);
		if (r)
			return r;
	}
}

void __kipc_handle_word_put(struct kipc_manager *m, uint64_t word)
{
	pthread_mutex_lock(&m->mutex);
	m->free_words[m->nfree_words++] = word;
	pthread_mutex_unlock(&m->mutex);
}

/* ---- handles ---- */

static void link_handle(struct kipc_handle *h)
{
	struct kipc_manager *m = h->m;

	pthread_mutex_lock(&m->mutex);
	m->users++;
	h->next = m->handles;
	h->pprev = &m->handles;
	if (h->next)
		h->next->pprev = &h->next;
	m->handles = h;
	pthread_mutex_unlock(&m->mutex);
}

static void unlink_handle(struct kipc_handle *h)
{
	struct kipc_manager *m = h->m;

	pthread_mutex_lock(&m->mutex);
	*h->pprev = h->next;
	if (h->next)
		h->next->pprev = h->pprev;
	pthread_mutex_unlock(&m->mutex);
}

int __kipc_handle_new(struct kipc_manager *m, uint64_t off, uint64_t word,
		      struct kipc_handle **out)
{
	const struct kipc_obj_type *type;
	struct kipc_obj_header *o = __kipc_object_typed(m, off, &type);
	struct kipc_handle *h;
	int r;

	if (!o)
		return -EPROTO;
	h = calloc(1, type->handle_size);
	if (!h)
		return -ENOMEM;
	h->m = m;
	h->hdr = o;
	h->type = type;
	h->off = off;
	h->id = load_relaxed(&o->id);
	h->word = word;
	r = type->opened ? type->opened(h) : 0;
	if (r) {
		free(h);
		return r;
	}
	link_handle(h);
	*out = h;
	return 0;
}

int __kipc_handle_get(struct kipc_manager *m, uint64_t off, uint64_t id, struct kipc_handle **out)
{
	uint64_t word;
	int r;

	r = __kipc_handle_word(m, &word);
	if (r)
		return r;
	r = __kipc_ref_take(m, off, id, word);
	if (r)
		goto out_word;
	r = __kipc_handle_new(m, off, word, out);
	if (!r)
		return 0;
	__kipc_ref_drop(m, word);
out_word:
	__kipc_handle_word_put(m, word);
	return r;
}

int __kipc_handle_dup(struct kipc_handle *h, struct kipc_handle **out)
{
	int r = __kipc_handle_enter(h);

	return r ? r : __kipc_handle_get(h->m, h->off, h->id, out);
}

int __kipc_handle_close(struct kipc_handle *h)
{
	struct kipc_manager *m;
	int r = 0;

	if (!h)
		return 0;
	m = h->m;
	/* a child that can't be registered has no references that could be dropped */
	if (!__kipc_peer_enter(&m->obj.seg) && h->word) {
		r = __kipc_ref_drop(m, h->word);
		if (!load_relaxed(__kipc_arena_word(m, h->word)))
			__kipc_handle_word_put(m, h->word);
	}
	unlink_handle(h);
	if (h->type->closed)
		h->type->closed(h);
	free(h);
	__kipc_manager_put(m);
	return r;
}

/* ---- death ---- */

int __kipc_handle_tables_drop(struct kipc_manager *m, uint32_t slot, int64_t deadline)
{
	uint64_t root = __kipc_arena_off(m, &m->hdr->peers[slot]);
	struct kipc_handle_table *t;
	struct kipc_pick p;
	int n = 0, r = 0;

	while (!r) {
		uint64_t off = load_relaxed(__kipc_arena_word(m, root));

		if (!off)
			return n;
		/* a hold a table: each turn frees one, or ends it */
		r = __kipc_arena_lock_by(m, deadline);
		if (r)
			return r;
		t = __kipc_arena_at(m, off, sizeof(*t));
		if (!t || __kipc_block_find(m, off, &p) != 1)
			r = -EPROTO;
		for (uint32_t i = 0; i < KIPC_HANDLE_WORDS && !r; i++) {
			if (!load_relaxed(&t->obj[i]))
				continue;
			r = __kipc_ref_drop_locked(m, __kipc_arena_off(m, &t->obj[i]));
			n++;
		}
		if (!r)
			__kipc_free_commit(m, &p, (struct kipc_write[]){
				{ root, load_relaxed(&t->next) } }, 1);
		__kipc_arena_unlock(m);
	}
	return r;
}

/* ---- fork ---- */

void __kipc_handles_forked(struct kipc_manager *m)
{
	m->nfree_words = 0;
	m->nwords = 0;
	for (struct kipc_handle *h = m->handles; h; h = h->next)
		h->word = 0;
}

int __kipc_handles_reattached(struct kipc_manager *m)
{
	int r = 0;

	for (struct kipc_handle *h = m->handles; h && !r; h = h->next) {
		if (h->word || h->id == NO_ID)
			continue;
		r = __kipc_handle_word(m, &h->word);
		if (r) {
			h->word = 0;
			break;
		}
		r = __kipc_ref_take(m, h->off, h->id, h->word);
		if (r) {
			__kipc_handle_word_put(m, h->word);
			h->word = 0;
		}
		if (r == -ENOENT) {
			h->id = NO_ID;	/* it was gone before we could say that we have it */
			r = 0;
		}
	}
	return r;
}
