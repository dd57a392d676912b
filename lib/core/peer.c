// SPDX-License-Identifier: MIT
/*
 * Slots, liveness and repair: see peer.h for the states and the argument.
 *
 * The idea of proving life by a lock that the kernel drops is the lock file's; open file description
 * locks (fcntl(2), since Linux 3.15) make it hold per handle instead of per process, and across PID
 * namespaces.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/doorbell.h"
#include "core/peer.h"
#include "core/sys.h"
#include "core/time.h"

/* Dead slots met while one is being repaired (by a repair that needs a lock): so deep at most. */
#define REPAIR_DEPTH_MAX	4

_Static_assert(sizeof(off_t) == 8, "KIPC_PEER_LOCK_BASE needs -D_FILE_OFFSET_BITS=64");

static int byte_lock(int fd, uint32_t slot, short type, int cmd, struct flock *fl)
{
	*fl = (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = KIPC_PEER_LOCK_BASE + slot,
		.l_len = 1,
	};
	return (int)SYS_RETRY(fcntl(fd, cmd, fl));
}

/* 0: we hold the byte now.  -EBUSY: another description does. */
static int byte_try(int fd, uint32_t slot)
{
	struct flock fl;
	int r = byte_lock(fd, slot, F_WRLCK, F_OFD_SETLK, &fl);

	return r == -EAGAIN || r == -EACCES ? -EBUSY : r;
}

static void byte_drop(int fd, uint32_t slot)
{
	struct flock fl;

	byte_lock(fd, slot, F_UNLCK, F_OFD_SETLK, &fl);
}

bool __kipc_peer_alive(struct kipc_segment *seg, uint32_t slot)
{
	/* to ask needs no right to write, and neither of the two holds another's lock */
	int fd = seg->readonly ? seg->fd : seg->lock_fd;
	struct flock fl;

	if (slot == 0 || slot > seg->npeers)
		return false;
	if (slot == seg->slot)
		return true;
	/* if the kernel can't tell, life is the safe answer: nothing is taken from the living */
	return byte_lock(fd, slot, F_WRLCK, F_OFD_GETLK, &fl) || fl.l_type != F_UNLCK;
}

uint32_t __kipc_peer_count(const struct kipc_segment *seg)
{
	uint32_t high = __kipc_peer_high(seg), n = 0;

	for (uint32_t slot = 1; slot <= high; slot++)
		n += load_relaxed(&__kipc_peer(seg, slot)->state) == KIPC_PEER_LIVE;
	return n;
}

/* Field 22 of /proc/self/stat, in clock ticks; 0 if it can't be read.  For display only. */
static uint64_t start_time(void)
{
	char buf[1024], *p;
	uint64_t ticks = 0;
	long n;
	int fd;

	fd = (int)SYS_RETRY(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
	if (fd < 0)
		return 0;
	n = SYS_RETRY(read(fd, buf, sizeof(buf) - 1));
	SYS(close(fd));
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	p = strrchr(buf, ')');	/* the command may hold anything, even spaces */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		sscanf(p, " %" SCNu64, &ticks);
	return ticks;
}

static void describe(struct kipc_peer *p)
{
	static uint64_t cached_epoch, cached_start;
	uint64_t epoch = load_relaxed(__kipc_fork_epoch);

	if (load_acquire(&cached_epoch) != epoch) {
		store_relaxed(&cached_start, start_time());
		store_release(&cached_epoch, epoch);	/* pairs with: the load above */
	}
	p->generation++;
	p->pid = (uint32_t)getpid();
	p->uid = (uint32_t)geteuid();
	p->start_time = load_relaxed(&cached_start);
	p->role = 0;
	memset(p->sleeping, 0, sizeof(p->sleeping));
	prctl(PR_GET_NAME, p->comm);
}

/* Takes one of the slots that are free now; 0 or -EUSERS, or what fcntl(2) says. */
static int take_slot(struct kipc_segment *seg, int lock_fd, uint32_t *taken)
{
	for (uint32_t slot = 1; slot <= seg->npeers; slot++) {
		struct kipc_peer *p = __kipc_peer(seg, slot);
		uint32_t high;
		int r;

		if (load_acquire(&p->state) != KIPC_PEER_FREE)
			continue;
		r = byte_try(lock_fd, slot);
		if (r == -EBUSY)
			continue;
		if (r)
			return r;
		KIPC_POINT("peer.locked");
		/* taken, used and orphaned since we looked: it needs a repair first */
		if (load_acquire(&p->state) != KIPC_PEER_FREE) {
			byte_drop(lock_fd, slot);
			KIPC_POINT("peer.left_to_repair");
			continue;
		}
		describe(p);
		KIPC_POINT("peer.described");
		high = load_relaxed(&seg->hdr->peer_high);
		while (slot > high && !try_cmpxchg(&seg->hdr->peer_high, &high, slot))
			;
		KIPC_POINT("peer.high");
		store_release(&p->state, KIPC_PEER_LIVE);	/* pairs with: __kipc_peer_sweep() */
		KIPC_POINT("peer.live");
		*taken = slot;
		return 0;
	}
	return -EUSERS;
}

/* A slot, but not yet the right to use it: see publish_epoch(). */
static int attach(struct kipc_segment *seg)
{
	int r;

	/* a description of our own: fork and dup share one, and so its locks */
	r = __kipc_fork_open_lock_fd(seg);
	if (r)
		return r;
	r = take_slot(seg, seg->lock_fd, &seg->slot);
	if (r == -EUSERS) {
		__kipc_peer_sweep(seg, 0);	/* if it finds none: others may have done it just now */
		r = take_slot(seg, seg->lock_fd, &seg->slot);
	}
	return r;
}

int __kipc_peer_take_for(struct kipc_segment *seg, int lock_fd, uint32_t *slot)
{
	return take_slot(seg, lock_fd, slot);
}

/* From here on other threads go ahead without looking further. */
static void publish_epoch(struct kipc_segment *seg)
{
	/* pairs with: __kipc_peer_enter() */
	store_release(&seg->epoch, load_relaxed(__kipc_fork_epoch));
}

int __kipc_peer_attach(struct kipc_segment *seg)
{
	int r = attach(seg);

	if (r)
		__kipc_fork_close_lock_fd(seg, true);
	else
		publish_epoch(seg);
	return r;
}

static void detach(struct kipc_segment *seg, bool forget);

int __kipc_peer_adopt(struct kipc_segment *seg, int lock_fd, uint32_t slot)
{
	int r;

	seg->lock_fd = lock_fd;
	seg->slot = slot;
	describe(__kipc_peer(seg, slot));	/* as its parent's until now */
	if (seg->ops->forked)
		seg->ops->forked(seg);
	r = seg->ops->reattached ? seg->ops->reattached(seg) : 0;
	if (r)
		detach(seg, false);		/* the first use tries to attach */
	else
		publish_epoch(seg);
	return r;
}

static void detach(struct kipc_segment *seg, bool forget)
{
	/* none in a fork child that never used it: it is the parent's */
	if (seg->slot) {
		uint32_t slot = seg->slot;
		int r = seg->ops->repair ? seg->ops->repair(seg, slot) : 0;

		for (uint32_t i = 0; i < seg->nbells; i++)
			__kipc_bell_repair(seg, &seg->bells[i], slot);
		KIPC_POINT("peer.gave_back");
		/* what could not be given back stays claimed; a peer repairs it as after a death */
		if (r >= 0)
			store_release(&__kipc_peer(seg, slot)->state, KIPC_PEER_FREE);
		KIPC_POINT("peer.free");
		if (r > 0)
			for (uint32_t i = 0; i < seg->nbells; i++)
				__kipc_bell_kick(&seg->bells[i]);
		seg->slot = 0;
	}
	__kipc_fork_close_lock_fd(seg, forget);
	store_relaxed(&seg->epoch, KIPC_EPOCH_NONE);
}

void __kipc_peer_detach(struct kipc_segment *seg)
{
	__kipc_fork_check();
	detach(seg, true);
}

__cold int __kipc_peer_enter_slow(struct kipc_segment *seg)
{
	int r = 0;

	if (seg->readonly)
		return -EACCES;
	__kipc_fork_check();	/* a clone(2) without handlers */
	pthread_mutex_lock(&seg->peer_mutex);
	/* with a slot, but no epoch: reattached() itself came here */
	if (load_relaxed(&seg->epoch) != load_relaxed(__kipc_fork_epoch) && !seg->slot) {
		r = attach(seg);
		if (!r && seg->ops->reattached)
			r = seg->ops->reattached(seg);
		if (r)
			detach(seg, false);	/* the next use tries all of it again */
		else
			publish_epoch(seg);
	}
	pthread_mutex_unlock(&seg->peer_mutex);
	return r;
}

/*
 * The byte is ours: repair, free the slot.  A slot that is FREE has been repaired already, since our
 * caller met the claim; but a damaged segment may have claims of slots that nobody had.
 */
static int repair_slot(struct kipc_segment *seg, uint32_t slot, struct kipc_peer *p)
{
	bool was_free = load_acquire(&p->state) == KIPC_PEER_FREE;
	int claims;

	claims = seg->ops->repair ? seg->ops->repair(seg, slot) : 0;
	if (claims < 0)
		return claims;
	for (uint32_t i = 0; i < seg->nbells; i++)
		__kipc_bell_repair(seg, &seg->bells[i], slot);
	KIPC_POINT("reap.repaired");
	if (was_free && !claims)
		return 0;
	store_release(&p->state, KIPC_PEER_FREE);	/* pairs with: take_slot() */
	KIPC_POINT("reap.free");
	fetch_add(&seg->hdr->repairs, 1);
	fetch_add(&seg->hdr->repaired_claims, (uint64_t)claims);
	KIPC_TRACE(repair, seg->id, slot, claims);
	return 1;
}

int __kipc_peer_reap(struct kipc_segment *seg, uint32_t slot)
{
	struct kipc_peer *p = __kipc_peer(seg, slot);
	uint32_t depth;
	int r;

	if (!p)
		return -EPROTO;
	if (slot == seg->slot || seg->readonly)
		return 0;
	/* a thread that repairs may want a lock that our caller holds: don't wait for it */
	if (pthread_mutex_trylock(&seg->peer_mutex))
		return 0;
	depth = seg->repair_depth;
	r = depth >= REPAIR_DEPTH_MAX ? -EBUSY : 0;
	for (uint32_t i = 0; i < depth && !r; i++)
		if (seg->repairing[i] == slot)
			r = -EBUSY;	/* we are at it, further up the stack */
	if (!r)
		r = byte_try(seg->lock_fd, slot);
	if (!r) {
		KIPC_POINT("reap.locked");
		seg->repairing[seg->repair_depth++] = slot;
		r = repair_slot(seg, slot, p);
		seg->repair_depth--;
		byte_drop(seg->lock_fd, slot);
		KIPC_POINT("reap.unlocked");
	}
	pthread_mutex_unlock(&seg->peer_mutex);
	if (r == 1)
		for (uint32_t i = 0; i < seg->nbells; i++)
			__kipc_bell_kick(&seg->bells[i]);
	return r == -EBUSY ? 0 : r;
}

int __kipc_peer_sweep(struct kipc_segment *seg, int64_t min_interval_ns)
{
	uint64_t *swept = &seg->hdr->swept_ns;
	uint64_t now = (uint64_t)__kipc_now_ns(), last = load_relaxed(swept);
	uint32_t high = __kipc_peer_high(seg);
	int n = 0;

	if (seg->readonly)
		return 0;
	/* a time in the future is a hostile one, or another time namespace's: don't wait for it */
	if (min_interval_ns && last <= now && now - last < (uint64_t)min_interval_ns)
		return 0;
	if (pthread_mutex_trylock(&seg->peer_mutex))
		return 0;	/* as in __kipc_peer_reap(), and don't say that we swept */
	if (!cmpxchg(swept, last, now) && min_interval_ns)
		high = 0;
	KIPC_POINT("sweep.stamped");
	for (uint32_t slot = 1; slot <= high; slot++) {
		/* pairs with: take_slot() */
		if (load_acquire(&__kipc_peer(seg, slot)->state) == KIPC_PEER_FREE)
			continue;
		/* to ask costs half of what trying to take the byte does */
		if (!__kipc_peer_alive(seg, slot) && __kipc_peer_reap(seg, slot) == 1)
			n++;
	}
	pthread_mutex_unlock(&seg->peer_mutex);
	return n;
}
