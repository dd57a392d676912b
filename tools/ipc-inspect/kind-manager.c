// SPDX-License-Identifier: MIT
/* Managers: uapi/kipc/manager.h. */
#include "tools/ipc-inspect/kind-manager.h"

#include "tools/common/text.h"
#include "tools/common/xalloc.h"

/* Objects that list and show look at, at most. */
#define LOOK_SHALLOW	1024u
#define LOOK_DEEP	(1u << 20)
/* Objects that show prints a row for. */
#define ROWS_MAX	256u

static int check_geometry(struct view *v, struct manager *m)
{
	const struct kipc_mgr_header *sh = &m->sh;
	uint64_t spans = v->hdr.max_size >> KIPC_SPAN_SHIFT;

	if (sh->span_shift != KIPC_SPAN_SHIFT || sh->nclasses != KIPC_CLASSES)
		return view_problem(v, "manager: spans of 2^%u bytes, %u classes", sh->span_shift,
				    sh->nclasses);
	if (sh->max_spans != spans || sh->first_span > sh->nspans || sh->nspans > sh->max_spans)
		return view_problem(v, "manager: spans %lu to %lu exist, of %lu",
				    (unsigned long)sh->first_span, (unsigned long)sh->nspans,
				    (unsigned long)sh->max_spans);
	if (!view_holds(v, 0, sh->nspans << KIPC_SPAN_SHIFT))
		return view_problem(v, "manager: %lu spans are not in the file",
				    (unsigned long)sh->nspans);
	m->size = (sh->nspans - sh->first_span) << KIPC_SPAN_SHIFT;
	m->max_size = (sh->max_spans - sh->first_span) << KIPC_SPAN_SHIFT;
	return 0;
}

/* ---- one object ---- */

static void keep_site(void *arg, const struct lock_site *site)
{
	struct manager *m = arg;

	if (m->nsites == m->sites_room) {
		m->sites_room = m->sites_room ? 2 * m->sites_room : 16;
		m->sites = xreallocarray(m->sites, m->sites_room, sizeof(*m->sites));
	}
	m->sites[m->nsites++] = *site;
}

struct loading {
	struct view *v;
	struct manager *m;
	const struct kipc_obj_header *o;	/* the object that we are at */
};

/* Takes note of a lock word of the object; stripe: of a dict's, or -1. */
static void count_lock(struct loading *l, uint64_t off, uint32_t word, int stripe)
{
	struct manager *m = l->m;
	bool user = manager_is_lock(l->o->kind);
	uint32_t slot = word & KIPC_LOCK_OWNER;
	char name[64], text[128], number[32] = "";

	if (word & KIPC_LOCK_WAITERS)
		m->waiters++;
	if (slot && slot <= KIPC_PEER_MAX) {
		if (user)
			m->held[slot].locks++;
		else
			m->held[slot].guards++;
	}
	if (!m->deep || !word)
		return;
	manager_object_name(l->v, l->o, name);
	if (stripe >= 0)
		snprintf(number, sizeof(number), ", stripe %d", stripe);
	if (*name)
		snprintf(text, sizeof(text), "%s \"%s\"%s", m->types[l->o->kind].name, name,
			 number);
	else
		snprintf(text, sizeof(text), "%s %lu%s", m->types[l->o->kind].name,
			 (unsigned long)l->o->id, number);
	lock_site(keep_site, m, off, word, text);
}

/* The keys of a dict, and its stripes' guards. */
static uint64_t look_at_dict(struct loading *l, uint64_t off)
{
	struct kipc_guard guards[KIPC_DICT_STRIPES];
	uint64_t len = 0;

	off += offsetof(struct kipc_dict_shared, guards);
	if (view_read(l->v, off, guards, sizeof(guards)))
		return ABSENT;
	for (unsigned int i = 0; i < KIPC_DICT_STRIPES; i++) {
		count_lock(l, off + i * sizeof(guards[0]), guards[i].lock, (int)i);
		len += guards[i].data[KIPC_DICT_COUNT];
	}
	return len;
}

static bool add_object(uint64_t off, const struct kipc_obj_header *o, void *arg)
{
	struct loading *l = arg;
	struct manager *m = l->m;
	uint64_t len = ABSENT;
	struct manager_row *row;

	l->o = o;
	m->types[o->kind].count++;
	count_lock(l, off + offsetof(struct kipc_obj_header, guard), o->guard.lock, -1);
	if (o->kind == KIPC_OBJ_LIST)
		len = o->guard.data[KIPC_LIST_LEN];
	else if (o->kind == KIPC_OBJ_DICT)
		len = look_at_dict(l, off);
	/* a row for those that somebody can name, or waits for */
	if (!m->rows || m->nrows == ROWS_MAX || !(o->name || o->guard.lock))
		return true;
	row = &m->rows[m->nrows++];
	memcpy(row->type, m->types[o->kind].name, sizeof(row->type));
	manager_object_name(l->v, o, row->name);
	row->id = o->id;
	row->refs = o->refs;
	row->len = len;
	row->lock = o->guard.lock;
	return true;
}

/* ---- all of them ---- */

static void manager_free(void *data)
{
	struct manager *m = data;

	free(m->rows);
	free(m->sites);
	free(m);
}

static void *manager_load(struct view *v, bool deep)
{
	static const char *const intents[] = {
		"none", "writes", "allocate", "free", "allocate spans", "free spans",
	};
	struct manager *m = xcalloc(1, sizeof(*m));
	unsigned int before = v->nproblems;

	if (view_read(v, v->hdr.body_off, &m->sh, sizeof(m->sh)))
		view_problem(v, "manager: the body can't be read");
	else
		check_geometry(v, m);
	if (v->nproblems != before) {
		manager_free(m);
		return NULL;
	}
	for (uint32_t i = 0; i < KIPC_OBJ_MAX; i++)
		manager_type_name(i, m->types[i].name);
	m->intent = m->sh.intent.op < sizeof(intents) / sizeof(intents[0]) ?
			    intents[m->sh.intent.op] :
			    "unknown";
	m->body = v->hdr.body_off;
	m->deep = deep;
	m->waiters += !!(m->sh.lock & KIPC_LOCK_WAITERS);
	if (deep)
		m->rows = xcalloc(ROWS_MAX, sizeof(*m->rows));
	m->examined = manager_each_object(v, m, deep ? LOOK_DEEP : LOOK_SHALLOW, add_object,
					  &(struct loading){ .v = v, .m = m });
	return m;
}

static void manager_summary(const void *data, struct summary *s)
{
	const struct manager *m = data;

	s->depth = m->sh.used;
	s->capacity = m->max_size;
	s->unit = "bytes";
	s->waiters = m->waiters;
	if (m->sh.nspans == m->sh.max_spans && !m->sh.free_spans)
		s->states |= STATE_FULL;
}

static char *manager_holds(const void *data, uint32_t slot)
{
	const struct manager *m = data;
	const struct manager_held *h = &m->held[slot];
	char *text = NULL;

	if (lock_held_by(m->sh.lock, slot))
		text = text_join(text, ", ", "arena");
	if (lock_held_by(m->sh.audit_lock, slot))
		text = text_join(text, ", ", "audit");
	if (h->locks)
		text = text_join(text, ", ", "locks %u", h->locks);
	if (h->guards)
		text = text_join(text, ", ", "guards %u", h->guards);
	return text;
}

static void manager_locks(const void *data, lock_fn fn, void *arg)
{
	const struct manager *m = data;

	lock_site(fn, arg, m->body + offsetof(struct kipc_mgr_header, lock), m->sh.lock, "arena");
	lock_site(fn, arg, m->body + offsetof(struct kipc_mgr_header, audit_lock),
		  m->sh.audit_lock, "audit");
	for (size_t i = 0; i < m->nsites; i++)
		fn(arg, &m->sites[i]);
}

static void manager_counters(const void *data, counter_fn fn, void *arg)
{
	const struct manager *m = data;

	fn(arg, "made_objects", m->sh.next_id ? m->sh.next_id - 1 : 0);
	fn(arg, "inherited_locks", m->sh.recoveries);
	fn(arg, "repaired_operations", m->sh.rolls);
}

#define OFF(member) offsetof(struct manager, member)
static const struct column record[] = {
	{ "used", "used_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(sh.used), "" },
	{ "size", "size_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(size), "" },
	{ "may grow to", "max_size_bytes", COLUMN_NUMBER, 0, column_bytes, OFF(max_size), "" },
	{ "blocks", "blocks", COLUMN_NUMBER, 0, column_u64, OFF(sh.blocks), "" },
	{ "spans", "spans", COLUMN_NUMBER, 0, column_u64, OFF(sh.nspans), "" },
	{ "free spans", "free_spans", COLUMN_NUMBER, 0, column_u64, OFF(sh.free_spans), "" },
	{ "spans at most", "max_spans", COLUMN_NUMBER, 0, column_u64, OFF(sh.max_spans), "" },
	{ "objects", "objects", COLUMN_NUMBER, 0, column_u64, OFF(sh.objects), "" },
	{ "objects examined", "objects_examined", COLUMN_NUMBER, 0, column_u64, OFF(examined), "" },
	{ "names", "names", COLUMN_NUMBER, 0, column_u64, OFF(sh.names), "" },
	{ "operation under way", "intent", COLUMN_STRING, 0, column_str, OFF(intent), "" },
	{ "lock inherited", "recoveries", COLUMN_NUMBER, 0, column_u64, OFF(sh.recoveries), "" },
	{ "operations repaired", "rolls", COLUMN_NUMBER, 0, column_u64, OFF(sh.rolls), "" },
};
#undef OFF

#define OFF(member) offsetof(struct manager_type, member)
static const struct column type_columns[] = {
	{ "TYPE", "type", COLUMN_STRING, 0, column_chars, OFF(name), "" },
	{ "COUNT", "count", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(count), "" },
};
#undef OFF

#define OFF(member) offsetof(struct manager_row, member)
static const struct column content_columns[] = {
	{ "TYPE", "type", COLUMN_STRING, 0, column_chars, OFF(type), "" },
	{ "NAME", "name", COLUMN_STRING, 0, column_chars, OFF(name), "" },
	{ "ID", "id", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(id), "" },
	{ "REFS", "references", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(refs), "" },
	{ "LENGTH", "length", COLUMN_NUMBER, COLUMN_RIGHT, column_opt_u64, OFF(len), "" },
	{ "OWNER", "owner_slot", COLUMN_NUMBER, COLUMN_RIGHT, column_opt_u64, OFF(owner.owner),
	  "" },
	{ "OWNER-STATE", "owner_state", COLUMN_STRING, COLUMN_STATE, column_str,
	  OFF(owner.owner_state), "" },
	{ "WAITERS", "waiters", COLUMN_BOOL, 0, column_bool, OFF(owner.waiters), "" },
	{ "DIED", "last_owner_died", COLUMN_BOOL, 0, column_bool, OFF(owner.died), "" },
};
#undef OFF

static void manager_show(const void *data, const struct peers *p, struct report *r)
{
	const struct manager *m = data;
	struct manager_type types[KIPC_OBJ_MAX];
	struct lock_row locks[2];
	uint32_t ntypes = 0;

	for (uint32_t i = 0; i < KIPC_OBJ_MAX; i++)
		if (m->types[i].count)
			types[ntypes++] = m->types[i];
	for (uint32_t i = 0; i < m->nrows; i++)
		lock_decode(&m->rows[i].owner, m->rows[i].name, m->rows[i].lock, p);
	lock_decode(&locks[0], "arena", m->sh.lock, p);
	lock_decode(&locks[1], "audit", m->sh.audit_lock, p);
	report_record(r, "manager", "manager", record, sizeof(record) / sizeof(record[0]), m);
	report_table(r, "types", "objects by type", type_columns, 2, types, ntypes,
		     sizeof(types[0]));
	report_table(r, "contents", "objects with a name or a lock that is held", content_columns,
		     sizeof(content_columns) / sizeof(content_columns[0]), m->rows, m->nrows,
		     sizeof(m->rows[0]));
	locks_report(r, locks, 2);
}

const struct kind kind_manager = {
	.kind = KIPC_SEG_MANAGER,
	.load = manager_load,
	.free = manager_free,
	.summary = manager_summary,
	.show = manager_show,
	.holds = manager_holds,
	.locks = manager_locks,
	.counters = manager_counters,
	.dump = manager_dump,
};
