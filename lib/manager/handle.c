// SPDX-License-Identifier: MIT
/* This process's handles and the tables in shared memory that hold their references: see handle.h. */
#include <stdlib.h>
#include <string.h>

#include "manager/alloc.h"
#include "manager/handle.h"
#include "manager/readonly.h"
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

/*
 * One more table for a slot: owned by the slot's word, the rest of the chain by it.  The arena's lock
 * held.
 */
static int add_table_locked(struct kipc_manager *m, uint32_t slot, uint64_t *table)
{
	struct kipc_handle_table *t;
	struct kipc_pick p;
	int r = __kipc_alloc_pick(m, sizeof(*t), &p);

	if (r)
		return r;
	t = memset(__kipc_arena_ptr(m, p.block), 0, sizeof(*t));
	t->next = load_relaxed(&m->hdr->peers[slot]);
	__kipc_alloc_commit(m, &p, (struct kipc_write[]){
		{ __kipc_arena_off(m, &m->hdr->peers[slot]), p.block },
	}, 1);
	*table = p.block;
	return 0;
}

static uint64_t word_of(uint64_t table, uint32_t i)
{
	return table + offsetof(struct kipc_handle_table, obj) + i * sizeof(uint64_t);
}

/* Under the mutex: words `from` and up of a table are free; the first is used first. */
static void push_words(struct kipc_manager *m, uint64_t table, uint32_t from)
{
	for (uint32_t i = KIPC_HANDLE_WORDS; i-- > from;)
		m->free_words[m->nfree_words++] = word_of(table, i);
}

/* One more table for this process. */
static int add_table(struct kipc_manager *m)
{
	uint64_t table;
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
	r = add_table_locked(m, m->obj.seg.slot, &table);
	__kipc_arena_unlock(m);
	if (r)
		goto out_words;
	pthread_mutex_lock(&m->mutex);
	push_words(m, table, 0);
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

	if (unlikely(__kipc_readonly(m)))
		return __kipc_readonly_get(m, off, id, out);
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
	int r = __kipc_handle_enter_read(h);

	return r ? r : __kipc_handle_get(h->m, h->off, h->id, out);
}

int __kipc_handle_close(struct kipc_handle *h)
{
	struct kipc_manager *m;
	int r = 0;

	if (!h)
		return 0;
	m = h->m;
	/* a child that can't be registered has no references to be dropped, nor has a reader */
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

/* How long fork(2) waits for the arena, which live processes hold for microseconds. */
#define PREFORK_WAIT_NS	(100 * NSEC_PER_MSEC)

int __kipc_handles_prefork(struct kipc_manager *m, uint32_t child_slot)
{
	uint32_t used = KIPC_HANDLE_WORDS;
	uint64_t table = 0;
	int r;

	m->fork_words = 0;
	r = __kipc_arena_lock_by(m, __kipc_now_ns() + PREFORK_WAIT_NS);
	if (r)
		return r;
	for (struct kipc_handle *h = m->handles; h && !r; h = h->next) {
		h->fork_word = 0;
		if (!h->word)
			continue;
		if (used == KIPC_HANDLE_WORDS) {
			r = add_table_locked(m, child_slot, &table);
			if (r)
				break;
			m->fork_words += KIPC_HANDLE_WORDS;
			used = 0;
		}
		r = __kipc_ref_take_locked(m, h->off, h->id, word_of(table, used));
		if (!r)
			h->fork_word = word_of(table, used++);
	}
	__kipc_arena_unlock(m);
	m->fork_table = table;
	m->fork_used = used;
	return r;
}

void __kipc_handles_forked(struct kipc_manager *m, bool made)
{
	/* there is room: the parent's tables held all of its handles, so they are no fewer */
	m->nfree_words = 0;
	m->nwords = made ? m->fork_words : 0;
	if (made && m->fork_words)
		push_words(m, m->fork_table, m->fork_used);
	for (struct kipc_handle *h = m->handles; h; h = h->next)
		h->word = made ? h->fork_word : 0;
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
