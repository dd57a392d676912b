// SPDX-License-Identifier: MIT
/*
 * What a user may have: names, their bytes, connections; and what this process can hold.
 *
 * Bytes are the sizes of the segments, as they are when one more is to be added: what they may use,
 * not what is allocated today.  A manager counts with what it has grown to.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tools/kipcd/kipcd.h"

/* Descriptors that names leave to others: those of a message, which has 253 at most, and clients. */
#define DESCRIPTORS_SPARE	512
/* Those of the broker itself: the socket, the folder, the ledger, ... */
#define DESCRIPTORS_OWN		8

struct user *user_get(struct broker *b, uid_t uid)
{
	struct user *u;

	for (u = b->users; u; u = u->next)
		if (u->uid == uid)
			return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->uid = uid;
	u->next = b->users;
	b->users = u;
	return u;
}

void user_put(struct broker *b, struct user *u)
{
	struct user **p = &b->users;

	if (u->objects || u->clients)
		return;
	while (*p != u)
		p = &(*p)->next;
	*p = u->next;
	free(u);
}

static uint64_t bytes_of(const struct broker *b, const struct user *u)
{
	uint64_t sum = 0;
	struct stat st;

	for (uint32_t i = 0; i < b->table.nslots; i++) {
		const struct entry *e = b->table.slot[i];

		if (!e || e->user != u)
			continue;
		if (e->readonly >= 0 && !fstat(e->readonly, &st))
			sum += (uint64_t)st.st_size;
	}
	return sum;
}

int limits_check(struct broker *b, uid_t uid, uint64_t bytes)
{
	uint64_t limit = b->limits.user_bytes, sum;
	const struct user *u = b->users;

	while (u && u->uid != uid)
		u = u->next;
	if (u ? u->objects >= b->limits.user_objects : !b->limits.user_objects)
		return -EDQUOT;
	if (limit) {
		sum = u ? bytes_of(b, u) : 0;
		if (bytes > limit || sum > limit - bytes)
			return -EDQUOT;
	}
	if (b->table.n >= b->limits.objects || !limits_descriptors(b, true))
		return -ENOSPC;
	return 0;
}

bool limits_descriptors(const struct broker *b, bool name)
{
	struct rlimit lim;
	uint64_t used = DESCRIPTORS_OWN + b->table.nfds + b->clients.n + closer_pending(), spare;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return false;
	/* where there are few, everything is smaller; clients may take half of what names may not */
	spare = lim.rlim_cur / 4 < DESCRIPTORS_SPARE ? lim.rlim_cur / 4 : DESCRIPTORS_SPARE;
	return used + spare / (name ? 1 : 2) <= lim.rlim_cur;
}
