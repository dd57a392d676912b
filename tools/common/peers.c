// SPDX-License-Identifier: MIT
/* See peers.h. */
#include "tools/common/peers.h"

#include <errno.h>
#include <fcntl.h>

#include "tools/common/procfs.h"
#include "tools/common/xalloc.h"

int peers_locked(const struct view *v, uint32_t slot)
{
	const struct kipc_seg_image *im = &v->hdr.image;
	struct flock fl = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = KIPC_PEER_LOCK_BASE + slot,
		.l_len = 1,
	};

	if (v->image)
		return im->magic == KIPC_IMAGE_MAGIC && im->alive[slot / 64] >> slot % 64 & 1;
	return fcntl(v->fd, F_OFD_GETLK, &fl) ? -errno : fl.l_type != F_UNLCK;
}

/*
 * Dead: in use, the byte free, and *afterwards* still in use by the same owner.  (Who detaches
 * frees the slot first and the byte then; so does who repairs.)
 */
static bool is_dead(const struct view *v, uint32_t slot, const struct kipc_peer *rec)
{
	struct kipc_peer again;

	if (peers_locked(v, slot) != 0)
		return false;
	if (view_read(v, KIPC_SEG_PEERS_OFF + (slot - 1) * sizeof(again), &again, sizeof(again)))
		return false;
	return again.state == KIPC_PEER_LIVE && again.generation == rec->generation;
}

int peers_read(struct view *v, struct peers *p)
{
	struct kipc_peer rec[KIPC_PEER_MAX];
	uint32_t high = v->hdr.peer_high;	/* checked: at most npeers, at most KIPC_PEER_MAX */
	uint32_t bytes = high * (uint32_t)sizeof(rec[0]);

	memset(p, 0, sizeof(*p));
	if (KIPC_SEG_PEERS_OFF + bytes <= v->nfirst)
		memcpy(rec, v->first + KIPC_SEG_PEERS_OFF, bytes);
	else if (view_read(v, KIPC_SEG_PEERS_OFF, rec, bytes))
		return view_problem(v, "the table of peers can't be read");
	for (uint32_t i = 0; i < high; i++) {
		uint32_t slot = i + 1;
		struct peer *peer;

		if (rec[i].state == KIPC_PEER_FREE)
			continue;
		if (rec[i].state != KIPC_PEER_LIVE) {
			view_problem(v, "slot %u has state %u", slot, rec[i].state);
			continue;
		}
		if (!p->peer)
			p->peer = xcalloc(high - i, sizeof(*peer));
		peer = &p->peer[p->n++];
		peer->slot = slot;
		peer->rec = rec[i];
		peer->life = is_dead(v, slot, &rec[i]) ? PEER_DEAD : PEER_ALIVE;
		if (peer->life == PEER_DEAD)
			p->dead++;
		else
			p->alive++;
	}
	return 0;
}

void peers_free(struct peers *p)
{
	free(p->peer);
	memset(p, 0, sizeof(*p));
}

const struct peer *peers_find(const struct peers *p, uint32_t slot)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->peer[i].slot == slot)
			return &p->peer[i];
	return NULL;
}

struct naming {
	struct peers *peers;
	pid_t pid;
};

static void name_owner(uint32_t index, void *arg)
{
	struct naming *n = arg;
	struct peer *peer = (struct peer *)peers_find(n->peers, index + 1);

	/* a description may be shared, after a bare clone(2): then its maker is the one */
	if (peer && peer->life == PEER_ALIVE && (uint32_t)peer->pid != peer->rec.pid)
		peer->pid = n->pid;
}

static enum peer_process look_for(const struct peer *peer)
{
	struct proc_stat st;
	int r;

	if (!peer->rec.pid || peer->rec.pid > INT32_MAX)
		return PEER_PROCESS_UNKNOWN;
	r = proc_stat_read((pid_t)peer->rec.pid, &st);
	if (r == -ENOENT || r == -ESRCH)
		return PEER_PROCESS_GONE;
	if (r || !peer->rec.start_time)
		return PEER_PROCESS_UNKNOWN;
	return st.start_time == peer->rec.start_time ? PEER_PROCESS_SAME : PEER_PROCESS_OTHER;
}

void peers_identify(struct peers *p, const struct holders *h)
{
	for (size_t i = 0; i < h->n; i++) {
		struct naming n = { .peers = p, .pid = h->handle[i].pid };

		if (h->handle[i].fd < 0)
			continue;
		proc_fd_locks(n.pid, h->handle[i].fd, KIPC_PEER_LOCK_BASE + 1, KIPC_PEER_MAX,
			      name_owner, &n);
	}
	for (uint32_t i = 0; i < p->n; i++)
		p->peer[i].process = look_for(&p->peer[i]);
}
