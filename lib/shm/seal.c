// SPDX-License-Identifier: MIT
/*
 * Seals: what the kernel enforces from then on, see kipc_shm_seal().
 *
 * Slots and locks are in the same file as the data, so whoever is a peer has it mapped writable,
 * and F_SEAL_WRITE is refused as long as there is one.  So the last peer stops being one: it gives
 * its slot back, with nothing held, and becomes a reader; then nobody is left who could write, and
 * the file stays for ever as it is, its lock words free and its table of peers empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "core/lock.h"
#include "core/sys.h"
#include "shm/region.h"

static const struct {
	uint32_t ours;
	int kernels;
} seals[] = {
	{ KIPC_SEAL_SHRINK, F_SEAL_SHRINK },
	{ KIPC_SEAL_GROW, F_SEAL_GROW },
	{ KIPC_SEAL_WRITE, F_SEAL_WRITE },
	{ KIPC_SEAL_FUTURE_WRITE, F_SEAL_FUTURE_WRITE },
};

int __kipc_region_seals(const struct kipc_region *rg)
{
	long have = SYS(fcntl(rg->obj.seg.fd, F_GET_SEALS));
	uint32_t what = 0;

	if (have < 0)
		return (int)have;
	for (size_t i = 0; i < ARRAY_SIZE(seals); i++)
		if (have & seals[i].kernels)
			what |= seals[i].ours;
	return (int)what;
}

/* Whether nobody but us has it, and we are not at work on it. */
static int at_rest(struct kipc_region *rg)
{
	struct kipc_rw_look rw;
	uint64_t seq;

	if (__kipc_region_peers(rg) != 1)
		return -EBUSY;
	switch (__kipc_seq_look(&rg->lock, &seq)) {
	case KIPC_SEQ_WRITING:
		return -EBUSY;
	case KIPC_SEQ_TORN:
		return -EOWNERDEAD;
	case KIPC_SEQ_IDLE:
		break;
	}
	rw = __kipc_rw_look(&rg->rw);
	return rw.exclusive || rw.shared ? -EBUSY : rw.torn ? -EOWNERDEAD : 0;
}

static int seal_write(struct kipc_region *rg, int add)
{
	struct kipc_segment *seg = &rg->obj.seg;
	int r = at_rest(rg);

	if (r)
		return r;
	r = __kipc_segment_seal_write(seg, add);
	/* the memory's lock went with the mapping; kipc_shm_stat() says whether it is there again */
	if (rg->locked && SYS(mlock(seg->base, rg->data_off + __kipc_region_size(rg))))
		rg->locked = false;
	return r;
}

int __kipc_region_seal(struct kipc_region *rg, uint32_t what)
{
	struct kipc_segment *seg = &rg->obj.seg;
	int have = __kipc_region_seals(rg), add = 0, r, released;

	if (have < 0)
		return have;
	for (size_t i = 0; i < ARRAY_SIZE(seals); i++)
		if (what & seals[i].ours)
			add |= seals[i].kernels;
	if (!what || what & ~(KIPC_SEAL_SHRINK | KIPC_SEAL_GROW | KIPC_SEAL_WRITE |
			      KIPC_SEAL_FUTURE_WRITE))
		return -EINVAL;
	if (have & KIPC_SEAL_WRITE)
		have |= KIPC_SEAL_FUTURE_WRITE;		/* no more can be had */
	if (!(what & ~(uint32_t)have))
		return 0;
	if (seg->readonly)
		return -EACCES;
	if (what & KIPC_SEAL_WRITE)
		return seal_write(rg, add);
	/* not while somebody is half-way */
	r = __kipc_lock_acquire(seg, &rg->lock.head->grow_lock, KIPC_DEADLINE_NEVER);
	if (r && r != -EOWNERDEAD)
		return r;
	r = (int)SYS(fcntl(seg->fd, F_ADD_SEALS, add));
	KIPC_POINT("region.sealed");
	released = __kipc_lock_release(seg, &rg->lock.head->grow_lock);
	return r ? r : released;
}
