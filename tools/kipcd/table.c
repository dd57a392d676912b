// SPDX-License-Identifier: MIT
/*
 * The names: an array of places, which are the ledger's as well, and a hash table over it.
 *
 * Each kind has names of its own, so kind and name together are the key.  A place keeps its number
 * as long as its name lives: a list that goes by numbers meets every name that stays exactly once.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/kipcd/kipcd.h"

static uint32_t hash_of(uint32_t kind, const char *name)
{
	uint32_t h = 2166136261u ^ kind;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

static struct entry **chain(const struct table *t, uint32_t kind, const char *name)
{
	return &t->hash[hash_of(kind, name) & (t->nhash - 1)];
}

struct entry *table_find(const struct table *t, uint32_t kind, const char *name)
{
	struct entry *e = t->nhash ? *chain(t, kind, name) : NULL;

	while (e && (e->rec.kind != kind || strcmp(e->rec.name, name)))
		e = e->next;
	return e;
}

uint32_t table_free_slot(const struct table *t)
{
	uint32_t i = t->low;

	while (i < t->nslots && t->slot[i])
		i++;
	return i;
}

/* Room for a place of that number, and twice as many chains as names.  False: no memory. */
static bool grow(struct table *t, uint32_t slot)
{
	if (slot >= t->nslots) {
		uint32_t n = t->nslots ? 2 * t->nslots : 64;
		struct entry **places;

		while (n <= slot)
			n *= 2;
		places = reallocarray(t->slot, n, sizeof(*places));
		if (!places)
			return false;
		memset(places + t->nslots, 0, (n - t->nslots) * sizeof(*places));
		t->slot = places;
		t->nslots = n;
	}
	if (2 * (t->n + 1) > t->nhash) {
		uint32_t n = t->nhash ? 2 * t->nhash : 256;
		struct entry **hash = calloc(n, sizeof(*hash)), **p;

		if (!hash)
			return false;
		free(t->hash);
		t->hash = hash;
		t->nhash = n;
		for (uint32_t i = 0; i < t->nslots; i++) {
			struct entry *e = t->slot[i];

			if (!e)
				continue;
			p = chain(t, e->rec.kind, e->rec.name);
			e->next = *p;
			*p = e;
		}
	}
	return true;
}

struct entry *table_add(struct broker *b, uint32_t slot, const struct record *rec)
{
	struct table *t = &b->table;
	struct entry *e, **p;

	if (!grow(t, slot))
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->user = user_get(b, rec->uid);
	if (!e->user) {
		free(e);
		return NULL;
	}
	e->user->objects++;
	e->rec = *rec;
	e->slot = slot;
	e->readonly = e->pidfd = -1;
	for (size_t i = 0; i < 1 + BELLS_MAX; i++)
		e->fds[i] = -1;
	t->slot[slot] = e;
	if (slot == t->low)
		t->low++;
	p = chain(t, rec->kind, rec->name);
	e->next = *p;
	*p = e;
	t->n++;
	entry_changed(b, e);
	return e;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void table_remove(struct broker *b, struct entry *e)
{
	struct table *t = &b->table;
	struct entry **p = chain(t, e->rec.kind, e->rec.name);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	t->slot[e->slot] = NULL;
	t->low = e->slot < t->low ? e->slot : t->low;
	t->n--;
	t->nfds -= e->nfds;
	t->nlost -= e->lost;
	for (size_t i = 0; i < 1 + BELLS_MAX; i++)
		close_one(&e->fds[i]);
	close_one(&e->readonly);
	close_one(&e->pidfd);
	if (e->listener)
		e->listener->listening = NULL;
	e->user->objects--;
	user_put(b, e->user);
	free(e);
}

void entry_end(struct broker *b, struct entry *e)
{
	int r = ledger_clear(b, e->slot);

	if (r)
		warnx("the name %s may come back: %s", e->rec.name, strerror(-r));
	store_remove(e);
	table_remove(b, e);
}

void table_end(struct broker *b)
{
	for (uint32_t i = 0; i < b->table.nslots; i++)
		if (b->table.slot[i])
			table_remove(b, b->table.slot[i]);
	free(b->table.slot);
	free(b->table.hash);
}

bool entry_lost(const struct entry *e)
{
	if (e->rec.kind == KIPC_SEG_PIPE)
		return !e->listener;
	for (int i = 0; i < 1 + e->rec.nbells; i++)
		if (e->fds[i] < 0)
			return true;
	return e->readonly < 0;
}

void entry_changed(struct broker *b, struct entry *e)
{
	struct table *t = &b->table;

	t->nfds -= e->nfds;
	t->nlost -= e->lost;
	e->nfds = (e->readonly >= 0) + (e->pidfd >= 0);
	for (size_t i = 0; i < 1 + BELLS_MAX; i++)
		e->nfds += e->fds[i] >= 0;
	e->lost = entry_lost(e);
	t->nfds += e->nfds;
	t->nlost += e->lost;
}
