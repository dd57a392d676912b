// SPDX-License-Identifier: MIT
/*
 * What the auditor checks in every kind of segment: header, seals, peers, locks, doorbells.
 *
 * Whether a process lives is asked as the library does, of the kernel: see peer.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/check.h"
#include "core/memory.h"
#include "core/opts.h"
#include "core/sys.h"

#define BELL_LOOKS	6

#define AT(member)	offsetof(struct kipc_seg_header, member)

/* ---- header ---- */

static bool check_stamped(struct kipc_check *c, const struct kipc_seg_header *h)
{
	if (!check_that(c, h->magic == KIPC_SEG_MAGIC, KIPC_FINDING_HEADER, AT(magic),
			h->magic ? "header: the magic is %#llx: no segment of libkipc" :
				   "header: no magic (%#llx): never published, or no segment",
			(unsigned long long)h->magic))
		return false;
	if (!check_that(c, h->endian == KIPC_SEG_ENDIAN, KIPC_FINDING_HEADER, AT(endian),
			"header: byte order %#x, not that of this machine", h->endian))
		return false;
	if (!check_that(c, h->abi_major == KIPC_ABI_MAJOR && h->abi_oldest <= KIPC_ABI_MINOR &&
			   h->abi_oldest <= h->abi_minor,
			KIPC_FINDING_HEADER, AT(abi_major),
			"header: ABI %u.%u, to be read from %u.%u on, is not this build's",
			h->abi_major, h->abi_minor, h->abi_major, h->abi_oldest))
		return false;
	return check_that(c, !h->incompat && !h->ro_compat, KIPC_FINDING_HEADER, AT(ro_compat),
			  "header: features %#llx and %#llx are unknown to this build",
			  (unsigned long long)h->incompat, (unsigned long long)h->ro_compat);
}

static bool check_sizes(struct kipc_check *c, const struct kipc_seg_header *h)
{
	uint64_t file = c->seg->size, peers;
	bool grows = h->flags & KIPC_SEG_F_GROWS, ok;

	if (!check_that(c, h->page_size == KIPC_PAGE_4K || h->page_size == KIPC_PAGE_2M ||
			   h->page_size == KIPC_PAGE_1G,
			KIPC_FINDING_HEADER, AT(page_size), "header: pages of %llu bytes",
			(unsigned long long)h->page_size))
		return false;
	ok = check_that(c, h->size <= file, KIPC_FINDING_HEADER, AT(size),
			"header: %llu bytes when it was published, but the file has %llu",
			(unsigned long long)h->size, (unsigned long long)file);
	ok &= check_that(c, h->max_size >= h->size && file <= h->max_size && h->max_size <= 1ULL << 46 &&
			    !(h->max_size % h->page_size),
			 KIPC_FINDING_HEADER, AT(max_size),
			 "header: may grow to %llu bytes, from %llu; the file has %llu",
			 (unsigned long long)h->max_size, (unsigned long long)h->size,
			 (unsigned long long)file);
	ok &= check_that(c, !(h->flags & ~(KIPC_SEG_F_GROWS | KIPC_SEG_F_THP)) &&
			    (grows || h->max_size == h->size) &&
			    (h->page_size == KIPC_PAGE_4K || !(h->flags & KIPC_SEG_F_THP)),
			 KIPC_FINDING_HEADER, AT(flags),
			 "header: flags %#x with a size of %llu and a limit of %llu", h->flags,
			 (unsigned long long)h->size, (unsigned long long)h->max_size);
	if (!check_that(c, h->npeers && h->npeers <= KIPC_PEER_MAX, KIPC_FINDING_HEADER, AT(npeers),
			"header: room for %u processes", h->npeers))
		return false;
	peers = KIPC_SEG_PEERS_OFF + h->npeers * sizeof(struct kipc_peer);
	ok &= check_that(c, h->body_off >= peers && !(h->body_off % 4096) && h->body_off < h->size,
			 KIPC_FINDING_HEADER, AT(body_off), "header: the body begins at %llu",
			 (unsigned long long)h->body_off);
	return ok;
}

static void check_name(struct kipc_check *c, const struct kipc_seg_header *h)
{
	bool ends = !h->name[sizeof(h->name) - 1];

	check_that(c, ends && (!h->name[0] || __kipc_name_check(h->name) == 1), KIPC_FINDING_HEADER,
		   AT(name), "header: the name is none");
}

/* The handle's copies were checked when it was opened: the header must not have changed since. */
static bool check_unchanged(struct kipc_check *c, const struct kipc_seg_header *h)
{
	const struct kipc_segment *seg = c->seg;

	return check_that(c, h->body_off == seg->body_off && h->page_size == seg->page_size &&
			     h->npeers == seg->npeers && h->max_size == seg->map_size &&
			     h->kind == c->ops->kind,
			  KIPC_FINDING_HEADER, 0,
			  "header: it has changed since the object was opened");
}

static void check_seals(struct kipc_check *c, const struct kipc_seg_header *h)
{
	long seals;

	if (!c->memfd)
		return;
	seals = SYS(fcntl(c->seg->fd, F_GET_SEALS));
	check_that(c, seals >= 0 && (seals & F_SEAL_SHRINK), KIPC_FINDING_SEALS, 0,
		   "seals: the file may shrink under those who map it");
	check_that(c, (h->flags & KIPC_SEG_F_GROWS) || (seals >= 0 && (seals & F_SEAL_GROW)),
		   KIPC_FINDING_SEALS, 0, "seals: the file may grow, which its header rules out");
	check_that(c, seals < 0 || !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ||
			   h->kind == KIPC_SEG_SHM || h->kind == KIPC_SEG_ARRAY,
		   KIPC_FINDING_SEALS, 0, "seals: the file can't be written");
	c->seals = max_of(seals, 0L);
}

/* What backs the file is the kernel's to say: see segment.c, pages_are(). */
static void check_pages(struct kipc_check *c, const struct kipc_seg_header *h)
{
	uint64_t page_size = KIPC_PAGE_4K;
	struct statfs fs;

	if (!c->memfd || SYS(fstatfs(c->seg->fd, &fs)))
		return;
	if (fs.f_type == HUGETLBFS_MAGIC)
		page_size = (uint64_t)fs.f_bsize;
	check_that(c, h->page_size == page_size, KIPC_FINDING_HEADER, AT(page_size),
		   "header: pages of %llu bytes, the file's have %llu",
		   (unsigned long long)h->page_size, (unsigned long long)page_size);
}

bool __kipc_check_header(struct kipc_check *c)
{
	struct kipc_seg_header *h = &c->hdr;

	/* what came through a handle grows under us */
	__kipc_segment_refresh(c->seg);
	if (!check_that(c, __kipc_check_read(c, 0, h, sizeof(*h)), KIPC_FINDING_HEADER, 0,
			"header: a file of %llu bytes is too short for it",
			(unsigned long long)c->seg->size))
		return false;
	if (!check_stamped(c, h) || !check_sizes(c, h))
		return false;
	check_name(c, h);
	check_seals(c, h);
	check_pages(c, h);
	if (c->obj)
		return check_unchanged(c, h);
	c->seg->body_off = h->body_off;
	c->seg->page_size = h->page_size;
	c->seg->npeers = h->npeers;
	return true;
}

bool __kipc_check_stamp(struct kipc_check *c, uint32_t stamp)
{
	return check_that(c, c->hdr.stamp == stamp, KIPC_FINDING_HEADER, AT(stamp),
			  "header: layout stamp %#x, this build's is %#x", c->hdr.stamp, stamp);
}

bool __kipc_check_backed(struct kipc_check *c, uint64_t off, uint64_t len, const char *what)
{
	struct stat st;

	if (!c->memfd || c->obj || c->seg->page_size != KIPC_PAGE_4K || SYS(fstat(c->seg->fd, &st)))
		return true;
	/* where it is can't be asked: SEEK_HOLE calls a hole what nobody wrote to yet */
	return check_that(c, (uint64_t)st.st_blocks * 512 >= len, KIPC_FINDING_GEOMETRY, off,
			  "%s: %llu bytes, but the file has memory for %llu", what,
			  (unsigned long long)len, (unsigned long long)st.st_blocks * 512);
}

/* ---- peers ---- */

/* As the saved image says; of one that doesn't, nobody lives. */
static bool was_alive(const struct kipc_seg_image *im, uint32_t slot)
{
	return im->magic == KIPC_IMAGE_MAGIC && im->alive[slot / 64] >> slot % 64 & 1;
}

/* State and generation: what tells that the slot changed hands. */
static bool same_tenure(const struct kipc_peer *a, const struct kipc_peer *b)
{
	return a->state == b->state && a->generation == b->generation;
}

static void read_peer(struct kipc_check *c, uint32_t slot, struct kipc_peer *p)
{
	memset(p, 0, sizeof(*p));
	__kipc_check_read(c, KIPC_SEG_PEERS_OFF + (slot - 1) * (uint64_t)sizeof(*p), p, sizeof(*p));
}

/*
 * Whether the kernel knows nobody who holds the slot's byte.  Nobody is also who left, with the next
 * one to come, around the question.
 */
static bool byte_free(struct kipc_check *c, uint32_t slot)
{
	struct kipc_peer before, after;
	struct flock fl = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = KIPC_PEER_LOCK_BASE + slot,
		.l_len = 1,
	};

	read_peer(c, slot, &before);
	/* this description holds no lock, so that of this very process is seen, too */
	if (SYS_RETRY(fcntl(c->seg->fd, F_OFD_GETLK, &fl)) || fl.l_type != F_UNLCK)
		return false;
	read_peer(c, slot, &after);
	return same_tenure(&before, &after);
}

static bool alive(struct kipc_check *c, uint32_t slot)
{
	if (!c->alive[slot]) {
		bool dead = c->memfd ? byte_free(c, slot) : !was_alive(&c->hdr.image, slot);

		c->alive[slot] = dead ? 2 : 1;
	}
	return c->alive[slot] == 1;
}

static void check_peer(struct kipc_check *c, uint32_t slot, const struct kipc_peer *p, uint64_t off)
{
	uint32_t sleeping = 0, high = 0;
	struct kipc_peer now;

	if (!check_that(c, p->state <= KIPC_PEER_LIVE, KIPC_FINDING_PEER, off,
			"peer %u: its state is %u", slot, p->state))
		return;
	if (p->state == KIPC_PEER_FREE) {
		for (uint32_t i = 0; i < KIPC_PEER_BELLS; i++)
			sleeping |= p->sleeping[i];
		check_still(c, !sleeping, KIPC_FINDING_PEER, off,
			    "peer %u: the slot is free, but threads of it sleep", slot);
		return;
	}
	c->used[slot] = 1;
	/* after the state: whoever took the slot has raised this before */
	__kipc_check_read(c, AT(peer_high), &high, sizeof(high));
	check_that(c, slot <= high, KIPC_FINDING_PEER, off,
		   "peer %u is in use, but none above %u ever was", slot, high);
	if (alive(c, slot)) {
		c->live++;
		return;
	}
	read_peer(c, slot, &now);
	if (!same_tenure(p, &now))
		return;		/* it left in between */
	c->dead++;
	__kipc_check_found(c, KIPC_FINDING_DEAD, KIPC_FINDING_PEER, slot, off, false,
			   "peer %u: process %u died and waits for repair", slot, p->pid);
}

void __kipc_check_peers(struct kipc_check *c)
{
	check_that(c, c->hdr.peer_high <= c->hdr.npeers, KIPC_FINDING_PEER, AT(peer_high),
		   "peers: slot %u was used, of %u", c->hdr.peer_high, c->hdr.npeers);
	for (uint32_t slot = 1; slot <= c->hdr.npeers; slot++) {
		uint64_t off = KIPC_SEG_PEERS_OFF + (slot - 1) * sizeof(struct kipc_peer);
		struct kipc_peer p;

		if (__kipc_check_read(c, off, &p, sizeof(p)))
			check_peer(c, slot, &p, off);
	}
	/* who is attached can write, which the kernel had to refuse before it set this seal */
	check_that(c, !c->live || !(c->seals & F_SEAL_WRITE), KIPC_FINDING_SEALS, 0,
		   "seals: nobody can write, but %u processes are attached", c->live);
}

/* ---- claims ---- */

/* Whether the slot is in use now, by its record: it may have been taken since we looked. */
static bool used(struct kipc_check *c, uint32_t slot)
{
	uint32_t state;

	if (c->used[slot])
		return true;
	if (__kipc_check_read(c, KIPC_SEG_PEERS_OFF + (slot - 1) * sizeof(struct kipc_peer), &state,
			      sizeof(state)))
		c->used[slot] = state == KIPC_PEER_LIVE;
	return c->used[slot];
}

enum kipc_check_holder __kipc_check_claim(struct kipc_check *c, uint32_t slot, uint64_t off,
					  const char *what)
{
	if (!check_that(c, slot && slot <= c->hdr.npeers, KIPC_FINDING_CLAIM, off,
			"%s is held by slot %u, of %u", what, slot, c->hdr.npeers))
		return KIPC_HOLDER_WRONG;
	if (!check_that(c, used(c, slot), KIPC_FINDING_CLAIM, off,
			"%s is held by slot %u, which is free", what, slot))
		return KIPC_HOLDER_WRONG;
	if (alive(c, slot)) {
		__kipc_check_found(c, KIPC_FINDING_IN_FLIGHT, KIPC_FINDING_CLAIM, slot, off, false,
				   "%s is held by slot %u", what, slot);
		return KIPC_HOLDER_LIVE;
	}
	__kipc_check_found(c, KIPC_FINDING_DEAD, KIPC_FINDING_CLAIM, slot, off, false,
			   "%s is held by slot %u, which died", what, slot);
	return KIPC_HOLDER_DEAD;
}

enum kipc_check_holder __kipc_check_lock(struct kipc_check *c, uint32_t word, uint64_t off,
					 const char *what)
{
	uint32_t owner = word & KIPC_LOCK_OWNER;

	if (!check_that(c, !(word & ~(KIPC_LOCK_OWNER | KIPC_LOCK_DIED | KIPC_LOCK_WAITERS)) &&
			   !(owner && (word & KIPC_LOCK_DIED)),
			KIPC_FINDING_LOCK, off, "%s: %#x is no lock word", what, word))
		return KIPC_HOLDER_WRONG;
	if (owner)
		return __kipc_check_claim(c, owner, off, what);
	return word & KIPC_LOCK_DIED ? KIPC_HOLDER_DIED : KIPC_HOLDER_NONE;
}

/* Threads that say, in their process's record, that they sleep at this bell. */
static uint64_t sleepers(struct kipc_check *c, uint32_t index)
{
	uint64_t n = 0;
	uint32_t one;

	for (uint32_t slot = 1; slot <= c->hdr.npeers; slot++)
		if (c->used[slot] &&
		    __kipc_check_read(c, KIPC_SEG_PEERS_OFF +
					 (slot - 1) * sizeof(struct kipc_peer) +
					 offsetof(struct kipc_peer, sleeping) +
					 index * sizeof(one), &one, sizeof(one)))
			n += one;
	return n;
}

void __kipc_check_bell(struct kipc_check *c, const struct kipc_bell_line *line, uint64_t off,
		       uint32_t index, const char *what)
{
	uint32_t drainer = (uint32_t)((line->word & KIPC_BELL_DRAINER) >> KIPC_BELL_DRAINER_SHIFT);
	uint64_t asleep = sleepers(c, index), counted = line->word & KIPC_BELL_SLEEPERS, word;

	if (drainer)
		__kipc_check_claim(c, drainer, off, what);
	/* they come and go and leave the word as it was: one look can't tell, several can */
	for (int i = 0; i < BELL_LOOKS && asleep > counted; i++) {
		SYS(sched_yield());
		if (!__kipc_check_read(c, off, &word, sizeof(word)))
			return;
		counted = word & KIPC_BELL_SLEEPERS;
		asleep = sleepers(c, index);
	}
	/* too many is allowed: those who died between two instructions */
	check_still(c, asleep <= counted, KIPC_FINDING_BELL, off,
		    "%s: %llu threads sleep there, but it counts %llu", what,
		    (unsigned long long)asleep, (unsigned long long)counted);
}
