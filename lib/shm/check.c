// SPDX-License-Identifier: MIT
/*
 * The auditor's part for shared memory and arrays: the description, and the states of the locks
 * (seqlock.h, rwlock.h).  What the data are is nobody's business but the users'.
 */
#include "core/check.h"
#include "shm/array.h"

#define AT(member)	offsetof(struct kipc_shm_head, member)

static void check_seq(struct kipc_check *c, const struct kipc_shm_head *h, uint64_t off)
{
	enum kipc_check_holder writer =
		__kipc_check_lock(c, h->lock, off + AT(lock), "the writers' lock");
	bool odd = h->seq & KIPC_SHM_SEQ_WRITING;
	uint64_t now;

	check_that(c, odd || !(h->seq & KIPC_SHM_SEQ_SLEEPERS), KIPC_FINDING_SEQUENCE,
		   off + AT(seq), "sequence %#llx: readers sleep, but nobody writes",
		   (unsigned long long)h->seq);
	check_still(c, h->healed <= h->seq / KIPC_SHM_SEQ_STEP, KIPC_FINDING_COUNT, off + AT(healed),
		    "healed %llu times, in %llu writes", (unsigned long long)h->healed,
		    (unsigned long long)(h->seq / KIPC_SHM_SEQ_STEP));
	if (!odd)
		return;
	c->checks++;
	/* a writer that ends after seq was read and before its lock was: not torn */
	if (!__kipc_check_read(c, off + AT(seq), &now, sizeof(now)) || now != h->seq)
		return;
	if (writer == KIPC_HOLDER_DEAD || writer == KIPC_HOLDER_DIED || writer == KIPC_HOLDER_NONE)
		__kipc_check_found(c, KIPC_FINDING_DEAD, KIPC_FINDING_SEQUENCE, 0, off + AT(seq),
				   false, "sequence %#llx: the data are torn, their writer died",
				   (unsigned long long)h->seq);
}

/* Who holds the reader-writer lock, and that nobody who can't does. */
static void check_rwlock(struct kipc_check *c, const struct kipc_shm_head *h, uint64_t off)
{
	const uint32_t known = KIPC_LOCK_OWNER | KIPC_SHM_GATE_IN | KIPC_SHM_GATE_TORN |
			       KIPC_SHM_GATE_SLEEPERS;
	uint32_t owner = h->gate & KIPC_LOCK_OWNER, held;

	__kipc_check_lock(c, h->rw_lock, off + AT(rw_lock), "the exclusive lock");
	check_that(c, !(h->gate & ~known) && (owner || !(h->gate & KIPC_SHM_GATE_IN)),
		   KIPC_FINDING_LOCK, off + AT(gate), "the gate: %#x is none", h->gate);
	check_still(c, !owner || owner == (h->rw_lock & KIPC_LOCK_OWNER), KIPC_FINDING_LOCK,
		    off + AT(gate), "the gate is closed by slot %u, but the lock is held by slot %u",
		    owner, h->rw_lock & KIPC_LOCK_OWNER);
	check_still(c, owner || !(h->gate & KIPC_SHM_GATE_SLEEPERS), KIPC_FINDING_LOCK,
		    off + AT(gate), "the gate: readers sleep, but it is open");
	if (!owner && (h->gate & KIPC_SHM_GATE_TORN))
		__kipc_check_found(c, KIPC_FINDING_DEAD, KIPC_FINDING_LOCK, 0, off + AT(gate), false,
				   "the exclusive lock: its last holder died");
	for (uint32_t slot = 1; slot <= c->hdr.npeers; slot++) {
		uint64_t at = off + KIPC_SHM_READERS_OFF + (slot - 1) * sizeof(struct kipc_shm_reader);

		if (__kipc_check_read(c, at, &held, sizeof(held)) && held)
			__kipc_check_claim(c, slot, at, "the shared lock");
	}
}

static void check_numa(struct kipc_check *c, const struct kipc_shm_head *h, uint64_t off)
{
	struct kipc_numa_place p = { .policy = (enum kipc_numa)h->numa, .nodes = h->numa_nodes };

	check_that(c, __kipc_numa_valid(&p), KIPC_FINDING_GEOMETRY, off + AT(numa),
		   "NUMA policy %u with the nodes %#llx", h->numa, (unsigned long long)h->numa_nodes);
}

static void check_growth(struct kipc_check *c, const struct kipc_shm_head *h, uint64_t off)
{
	bool grows = c->hdr.flags & KIPC_SEG_F_GROWS;
	uint64_t end;

	__kipc_check_lock(c, h->grow_lock, off + AT(grow_lock), "the lock of who resizes");
	check_that(c, h->size <= h->max_size && h->data_off <= c->hdr.max_size &&
			   h->max_size <= c->hdr.max_size - h->data_off,
		   KIPC_FINDING_GEOMETRY, off + AT(max_size),
		   "%llu bytes of data that may grow to %llu; the file may grow to %llu",
		   (unsigned long long)h->size, (unsigned long long)h->max_size,
		   (unsigned long long)c->hdr.max_size);
	check_that(c, grows || (!h->grown && h->size == h->max_size), KIPC_FINDING_GEOMETRY,
		   off + AT(grown), "%llu bytes of data, which grew %llu times and may to %llu: "
		   "the header rules that out", (unsigned long long)h->size,
		   (unsigned long long)h->grown, (unsigned long long)h->max_size);
	/* counted first, so what was never counted is what it was */
	if (!h->grown && !__builtin_add_overflow(h->data_off, h->size, &end) && end <= c->seg->size)
		check_still(c, align_up(end, c->hdr.page_size) == c->hdr.size,
			    KIPC_FINDING_GEOMETRY, off + AT(size),
			    "%llu bytes of data, which never grew; the file began with %llu",
			    (unsigned long long)h->size, (unsigned long long)c->hdr.size);
	check_that(c, !(h->flags & ~KIPC_SHM_HEAD_F_POPULATE), KIPC_FINDING_GEOMETRY,
		   off + AT(flags), "shared memory: flags %#x", h->flags);
}

/* The head that both have; false: it can't be read, or there is no place for the data. */
static bool check_head(struct kipc_check *c, uint32_t stamp, struct kipc_shm_head *h)
{
	uint64_t off = c->hdr.body_off, head_size = KIPC_SHM_HEAD_SIZE(c->hdr.npeers);

	if (!__kipc_check_stamp(c, stamp) ||
	    !check_that(c, __kipc_segment_at(c->seg, off, head_size) &&
				   __kipc_check_watch(c, off, sizeof(*h), 0, 1) &&
				   __kipc_check_watch(c, off + KIPC_SHM_READERS_OFF, 8,
						      sizeof(struct kipc_shm_reader),
						      c->hdr.npeers) &&
				   __kipc_check_read(c, off, h, sizeof(*h)),
			KIPC_FINDING_GEOMETRY, off, "the file ends before its description"))
		return false;
	check_numa(c, h, off);
	check_growth(c, h, off);
	check_rwlock(c, h, off);
	return check_that(c, !(h->data_off % 4096) && h->data_off >= off + head_size &&
				     __kipc_segment_at(c->seg, h->data_off, h->size),
			  KIPC_FINDING_GEOMETRY, off + AT(data_off),
			  "%llu bytes of data at %#llx are not in the file",
			  (unsigned long long)h->size, (unsigned long long)h->data_off);
}

void __kipc_shm_check(struct kipc_check *c, uint32_t stamp)
{
	struct kipc_shm_head h;

	if (!check_head(c, stamp, &h))
		return;
	check_that(c, h.size, KIPC_FINDING_GEOMETRY, c->hdr.body_off + AT(size),
		   "shared memory of no bytes");
	check_seq(c, &h, c->hdr.body_off);
}

void __kipc_array_check(struct kipc_check *c, uint32_t stamp)
{
	struct kipc_array_head h;
	struct kipc_array_desc desc;
	bool tail = true;

	if (!check_head(c, stamp, &h.shm))
		return;
	if (!__kipc_check_read(c, c->hdr.body_off, &h, sizeof(h)))
		return;		/* its page was there */
	check_that(c, !__kipc_array_read_head(&desc, &h, h.shm.size), KIPC_FINDING_GEOMETRY,
		   c->hdr.body_off + offsetof(struct kipc_array_head, dtype),
		   "array: type %u, %u bytes each, %u dimensions, %llu elements: this does not fit "
		   "its shape, its strides or its %llu bytes", h.dtype, h.itemsize, h.ndim,
		   (unsigned long long)h.elements, (unsigned long long)h.shm.size);
	for (uint32_t i = h.ndim; i < KIPC_ARRAY_DIMS; i++)
		tail &= !h.shape[i] && !h.strides[i];
	check_that(c, tail, KIPC_FINDING_GEOMETRY,
		   c->hdr.body_off + offsetof(struct kipc_array_head, shape),
		   "array: a length or a stride behind its %u dimensions", h.ndim);
	check_seq(c, &h.shm, c->hdr.body_off);
}
