// SPDX-License-Identifier: MIT
/*
 * Who may do what: the rules for files, asked of the owner, group and mode that the memfd has now.
 *
 * The broker's own word is not the last one: to attach, a process opens the memfd anew through
 * /proc, and the kernel applies the same rules to it.
 *
 * The number that in a user namespace stands for all users who have none there (names/trust.h) owns
 * nothing here and is in no group.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "names/trust.h"
#include "tools/kipcd/kipcd.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS	59
#endif

/* What stands for all that have no number here: asked for once. */
static uint32_t nobody(void)
{
	static uint32_t answer;
	static bool known;

	if (!known)
		answer = __kipc_nobody();
	known = true;
	return answer;
}

static bool same(uint32_t a, uint32_t b)
{
	return a == b && a != nobody();
}

static bool in_group(const struct client *c, uint32_t gid)
{
	socklen_t len = 0;
	gid_t *groups;
	bool found = same(c->gid, gid);
	int r;

	if (found || gid == nobody())
		return found;
	/* it says how much room it wants */
	r = getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len);
	if (!r || errno != ERANGE || !len)
		return false;
	groups = malloc(len);
	if (!groups)
		return false;
	if (!getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		for (size_t i = 0; i < len / sizeof(*groups); i++)
			found |= groups[i] == gid;
	free(groups);
	return found;
}

bool access_mode(const struct client *c, uint32_t uid, uint32_t gid, uint32_t mode, uint32_t want)
{
	if (c->uid == 0)
		return true;
	if (same(c->uid, uid))
		mode >>= 6;
	else if (in_group(c, gid))
		mode >>= 3;
	return (mode & want) == want;
}

bool access_own(const struct client *c, uint32_t uid)
{
	return c->uid == 0 || same(c->uid, uid) || same(c->uid, geteuid());
}

void access_of(const struct entry *e, struct kipc_broker_entry *out)
{
	int fd = e->readonly >= 0 ? e->readonly : e->fds[0];
	struct stat st;

	out->uid = e->rec.uid;
	out->gid = e->rec.gid;
	out->mode = e->rec.mode;
	out->size = 0;
	if (fd < 0 || fstat(fd, &st))
		return;
	out->uid = st.st_uid;
	out->gid = st.st_gid;
	out->mode = st.st_mode & 0777;
	out->size = (uint64_t)st.st_size;
}
