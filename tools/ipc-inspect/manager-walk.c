// SPDX-License-Identifier: MIT
/*
 * The objects in a manager's arena, through their registry, which others change as we read: what
 * looks impossible is looked at again (view_confirm()) before it is called so.
 */
#include <errno.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/kind-manager.h"

#define WORDS	512u

void manager_type_name(uint32_t kind, char name[24])
{
	static const char *const names[] = {
		[KIPC_OBJ_LIST] = "list", [KIPC_OBJ_DICT] = "dict",
		[KIPC_OBJ_LOCK] = "lock", [KIPC_OBJ_RLOCK] = "rlock",
	};

	if (kind < sizeof(names) / sizeof(names[0]) && names[kind])
		snprintf(name, 24, "%s", names[kind]);
	else
		snprintf(name, 24, "kind %u", kind);
}

void manager_object_name(struct view *v, const struct kipc_obj_header *o, char name[64])
{
	struct kipc_dir_entry e;

	name[0] = '\0';
	if (o->name && !view_read(v, o->name, &e, sizeof(e))) {
		memcpy(name, e.name, sizeof(e.name));
		name[63] = '\0';
	}
}

struct look {
	struct view *v;
	uint64_t word_off;	/* of its word in the registry */
	uint64_t word;
	struct kipc_obj_header o;
	bool there;
};

static int look_at_object(void *arg, bool last)
{
	struct look *l = arg;

	l->there = false;
	if (view_read(l->v, l->word_off, &l->word, sizeof(l->word)))
		return view_problem(l->v, "manager: the registry at %lu can't be read",
				    (unsigned long)l->word_off);
	if (!l->word || (l->word & KIPC_REG_FREE))
		return 0;	/* gone meanwhile */
	if (l->word % 16 == 0 && !view_read(l->v, l->word, &l->o, sizeof(l->o)) &&
	    l->o.kind && l->o.kind < KIPC_OBJ_MAX && l->o.id) {
		l->there = true;
		return 0;
	}
	if (last)
		view_problem(l->v, "manager: the registry has no object at %lu",
			     (unsigned long)l->word);
	return -EPROTO;
}

struct walk {
	struct view *v;
	uint64_t left;		/* objects to look at, at most */
	uint64_t seen;
	bool (*fn)(uint64_t off, const struct kipc_obj_header *o, void *arg);
	void *arg;
};

/* n words of the registry from base on.  False: enough, or no more to be had. */
static bool walk_words(struct walk *w, uint64_t base, uint64_t n)
{
	struct look l = { .v = w->v };
	uint64_t words[WORDS];

	if (view_read(w->v, base, words, 8 * n)) {
		view_problem(w->v, "manager: the registry at %lu can't be read",
			     (unsigned long)base);
		return false;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (!words[i] || (words[i] & KIPC_REG_FREE))
			continue;
		if (w->seen == w->left)
			return false;
		w->seen++;
		l.word_off = base + 8 * i;
		if (view_confirm(look_at_object, &l))
			return false;		/* one is enough */
		if (l.there && !w->fn(l.word, &l.o, w->arg))
			return false;
	}
	return true;
}

uint64_t manager_each_object(struct view *v, const struct manager *m, uint64_t limit,
			     bool (*fn)(uint64_t off, const struct kipc_obj_header *o, void *arg),
			     void *arg)
{
	struct walk w = { .v = v, .left = limit, .fn = fn, .arg = arg };
	uint64_t first = 0, high = m->sh.reg_high, n;

	for (unsigned int i = 0; i < KIPC_REG_CHUNKS && first < high; i++) {
		uint64_t size = (uint64_t)KIPC_REG_FIRST << i, base = m->sh.registry[i];
		uint64_t used = high - first < size ? high - first : size;

		for (uint64_t at = 0; at < used; at += n) {
			n = used - at < WORDS ? used - at : WORDS;
			if (!walk_words(&w, base + 8 * at, n))
				return w.seen;
		}
		first += size;
	}
	return w.seen;
}
