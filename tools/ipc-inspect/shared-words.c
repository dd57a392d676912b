// SPDX-License-Identifier: MIT
/* Doorbells and lock words (uapi/kipc/segment.h), which several kinds have: see kind.h. */
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/kind.h"

void bell_decode(struct bell_row *b, const char *name, const struct kipc_bell_line *line)
{
	uint64_t w = line->word;

	snprintf(b->name, sizeof(b->name), "%s", name);
	b->sleepers = w & KIPC_BELL_SLEEPERS;
	b->watched = w & KIPC_BELL_WATCHED;
	b->signalled = w & KIPC_BELL_SIGNALLED;
	b->drainer = (uint32_t)((w & KIPC_BELL_DRAINER) >> KIPC_BELL_DRAINER_SHIFT);
	b->sequence = w / KIPC_BELL_SEQ;
	b->rings = line->rings;
}

#define OFF(member) offsetof(struct bell_row, member)
static const struct column bell_columns[] = {
	{ "NAME", "name", COLUMN_STRING, 0, column_chars, OFF(name), "what it stands for" },
	{ "SLEEPERS", "sleepers", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(sleepers),
	  "threads that announced that they sleep" },
	{ "WATCHED", "watched", COLUMN_BOOL, 0, column_bool, OFF(watched),
	  "somebody polls the descriptor" },
	{ "SIGNALLED", "signalled", COLUMN_BOOL, 0, column_bool, OFF(signalled),
	  "it has rung and nobody drained it" },
	{ "DRAINER", "drainer_slot", COLUMN_NUMBER, COLUMN_RIGHT, column_u32, OFF(drainer),
	  "slot that drains it now, or 0" },
	{ "DRAINS", "drains", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(sequence),
	  "times that it was drained" },
	{ "RINGS", "rings", COLUMN_NUMBER, COLUMN_RIGHT, column_u64, OFF(rings),
	  "times that the descriptor was written" },
};
#undef OFF

void bells_report(struct report *r, const struct bell_row *bells, size_t n)
{
	report_table(r, "doorbells", "doorbells", bell_columns,
		     sizeof(bell_columns) / sizeof(bell_columns[0]), bells, n, sizeof(*bells));
}

void bell_counters(const char *name, const struct kipc_bell_line *line, counter_fn fn, void *arg)
{
	char key[40];

	snprintf(key, sizeof(key), "%s_rings", name);
	fn(arg, key, line->rings);
	snprintf(key, sizeof(key), "%s_drains", name);
	fn(arg, key, line->word / KIPC_BELL_SEQ);
}

void lock_decode(struct lock_row *l, const char *name, uint32_t word, const struct peers *p)
{
	uint32_t slot = word & KIPC_LOCK_OWNER;
	const struct peer *peer = slot ? peers_find(p, slot) : NULL;

	snprintf(l->name, sizeof(l->name), "%s", name);
	l->owner = slot ? slot : ABSENT;
	l->owner_state = NULL;
	if (slot)
		l->owner_state = !peer ? "unknown" : peer->life == PEER_DEAD ? "dead" : "alive";
	l->waiters = word & KIPC_LOCK_WAITERS;
	l->died = word & KIPC_LOCK_DIED;
}

void lock_site(lock_fn fn, void *arg, uint64_t off, uint32_t word, const char *name)
{
	struct lock_site site = {
		.off = off,
		.owner = word & KIPC_LOCK_OWNER,
		.waiters = word & KIPC_LOCK_WAITERS,
		.died = word & KIPC_LOCK_DIED,
	};

	if (!word)
		return;
	snprintf(site.name, sizeof(site.name), "%s", name);
	fn(arg, &site);
}

#define OFF(member) offsetof(struct lock_row, member)
static const struct column lock_columns[] = {
	{ "NAME", "name", COLUMN_STRING, 0, column_chars, OFF(name), "which lock" },
	{ "OWNER", "owner_slot", COLUMN_NUMBER, COLUMN_RIGHT, column_opt_u64, OFF(owner),
	  "slot that holds it" },
	{ "OWNER-STATE", "owner_state", COLUMN_STRING, COLUMN_STATE, column_str, OFF(owner_state),
	  "alive, dead, or unknown: the slot is not in use" },
	{ "WAITERS", "waiters", COLUMN_BOOL, 0, column_bool, OFF(waiters), "somebody may wait" },
	{ "DIED", "last_owner_died", COLUMN_BOOL, 0, column_bool, OFF(died),
	  "the last owner died holding it" },
};
#undef OFF

void locks_report(struct report *r, const struct lock_row *locks, size_t n)
{
	report_table(r, "locks", "locks", lock_columns,
		     sizeof(lock_columns) / sizeof(lock_columns[0]), locks, n, sizeof(*locks));
}
