// SPDX-License-Identifier: MIT
/*
 * The auditor's part for pipes: the invariants of pipe.h and stream.c.
 *
 * head - tail is within the ring.  Records stand one behind the other from tail to head, exactly: a
 * whole one is all there; a longer one (a stream) ends at its end, at its cut, or is still being sent
 * by the holder of send_lock, who wrote down where it will end.  If a stream is being received (or
 * was, by one who died), msg_end says where the records begin again.
 *
 * Words that only the holder of a lock may leave set stand beside an owner: stream_end with
 * send_lock.  msg_end may outlive its owner: the next receiver drops what comes up to there.
 */
#include "core/check.h"
#include "pipe/ring.h"

#define AT(member)	offsetof(struct kipc_pipe_way, member)

struct walk {
	struct kipc_check *c;
	struct kipc_pipe_way s;		/* a copy */
	uint64_t off;			/* of the way */
	uint64_t ring_off, ring_size;
	uint64_t head, tail;		/* positions */
	enum kipc_check_holder sender, receiver;
	uint32_t way;
};

/* A word that is 0, or VALID with a position. */
static bool check_marked(struct walk *w, uint64_t word, uint64_t off, const char *what)
{
	return check_that(w->c, !(word & KIPC_PIPE_BITS & ~KIPC_PIPE_VALID) &&
				(!word || (word & KIPC_PIPE_VALID)),
			  KIPC_FINDING_POSITION, w->off + off, "way %u: %s is %#llx", w->way, what,
			  (unsigned long long)word);
}

/* Whether head and tail make sense, so that what lies between can be walked. */
static bool check_positions(struct walk *w)
{
	const struct kipc_pipe_way *s = &w->s;
	struct kipc_check *c = w->c;
	bool ok;

	ok = check_that(c, !(s->head & KIPC_PIPE_BITS & ~KIPC_PIPE_SHUT), KIPC_FINDING_POSITION,
			w->off + AT(head), "way %u: head is %#llx, not at a record", w->way,
			(unsigned long long)s->head);
	ok &= check_that(c, !(s->tail & KIPC_PIPE_BITS), KIPC_FINDING_POSITION, w->off + AT(tail),
			 "way %u: tail is %#llx, not at a record", w->way,
			 (unsigned long long)s->tail);
	ok &= check_still(c, w->head - w->tail <= w->ring_size, KIPC_FINDING_POSITION,
			  w->off + AT(head), "way %u: head %#llx and tail %#llx are further apart "
			  "than the ring is long", w->way, (unsigned long long)w->head,
			  (unsigned long long)w->tail);
	/* what either side last saw of the other is never ahead of it */
	check_still(c, w->tail - s->tail_seen <= w->ring_size, KIPC_FINDING_POSITION,
		    w->off + AT(tail_seen), "way %u: the senders saw tail at %#llx, it is at %#llx",
		    w->way, (unsigned long long)s->tail_seen, (unsigned long long)w->tail);
	check_still(c, (int64_t)(w->head - pipe_pos(s->head_seen)) >= 0, KIPC_FINDING_POSITION,
		    w->off + AT(head_seen), "way %u: the receivers saw head at %#llx, it is at %#llx",
		    w->way, (unsigned long long)s->head_seen, (unsigned long long)w->head);
	check_that(c, s->want <= w->ring_size, KIPC_FINDING_LENGTH, w->off + AT(want),
		   "way %u: a sender waits for %llu free bytes, of %llu", w->way,
		   (unsigned long long)s->want, (unsigned long long)w->ring_size);
	return ok;
}

static bool check_marks(struct walk *w)
{
	const struct kipc_pipe_way *s = &w->s;
	struct kipc_check *c = w->c;
	bool ok;

	ok = check_marked(w, s->cut, AT(cut), "cut");
	ok &= check_marked(w, s->stream_end, AT(stream_end), "stream_end");
	ok &= check_marked(w, s->msg_end, AT(msg_end), "msg_end");
	if (!ok)
		return false;
	if (s->cut)
		check_still(c, (int64_t)(w->head - pipe_pos(s->cut)) >= 0, KIPC_FINDING_POSITION,
			    w->off + AT(cut), "way %u: the cut at %#llx is beyond head, %#llx",
			    w->way, (unsigned long long)s->cut, (unsigned long long)w->head);
	if (s->stream_end) {
		check_still(c, pipe_pos(s->stream_end) - w->head <= pipe_record(KIPC_PIPE_LEN_MAX),
			    KIPC_FINDING_POSITION, w->off + AT(stream_end),
			    "way %u: the stream being sent ends at %#llx, before head, %#llx", w->way,
			    (unsigned long long)s->stream_end, (unsigned long long)w->head);
		check_still(c, w->sender == KIPC_HOLDER_LIVE || w->sender == KIPC_HOLDER_DEAD,
			    KIPC_FINDING_CLAIM, w->off + AT(stream_end),
			    "way %u: a stream is being sent, but nobody holds send_lock", w->way);
	}
	if (s->msg_end)
		ok = check_still(c, pipe_pos(s->msg_end) - w->tail <=
					 pipe_record(KIPC_PIPE_LEN_MAX),
				 KIPC_FINDING_POSITION, w->off + AT(msg_end),
				 "way %u: the stream being received ends at %#llx, before tail, %#llx",
				 w->way, (unsigned long long)s->msg_end,
				 (unsigned long long)w->tail);
	return ok;
}

/* A cut in (after, end): there the stream ends. */
static bool cut_in(const struct walk *w, uint64_t after, uint64_t end, uint64_t *cut)
{
	*cut = pipe_pos(w->s.cut);
	return w->s.cut && *cut != after && *cut - after < end - after;
}

/*
 * The stream from `after` (which is before its first byte that a cut could stand at) to `end`: where
 * the next record begins; head, if that is still to be sent.
 */
static uint64_t after_stream(struct walk *w, uint64_t after, uint64_t at, uint64_t end)
{
	uint64_t cut;

	if (cut_in(w, after, end, &cut) && cut - at <= w->head - at)
		return cut;
	if (end - at <= w->head - at)
		return end;
	/* not all of it: then its sender is at it, or died at it */
	check_still(w->c, w->s.stream_end && pipe_pos(w->s.stream_end) == end,
		    KIPC_FINDING_RECORD, w->off + AT(stream_end),
		    "way %u: the stream that ends at %#llx is not sent to its end, and nobody does",
		    w->way, (unsigned long long)end);
	return w->head;
}

static bool read_length(struct walk *w, uint64_t at, uint64_t *len)
{
	return __kipc_check_read(w->c, w->ring_off + (at & (w->ring_size - 1)), len, sizeof(*len));
}

static void walk_records(struct walk *w)
{
	uint64_t at = w->tail, len, need;

	if (w->s.msg_end)
		at = after_stream(w, at - KIPC_PIPE_RECORD, at, pipe_pos(w->s.msg_end));
	/* each turn passes 8 bytes of the ring at least */
	while (at != w->head) {
		if (!read_length(w, at, &len))
			return;		/* the ring is in the file, as was checked */
		if (!check_still(w->c, len <= KIPC_PIPE_LEN_MAX, KIPC_FINDING_LENGTH,
				 w->ring_off + (at & (w->ring_size - 1)),
				 "way %u: the record at %#llx has %#llx for a length", w->way,
				 (unsigned long long)at, (unsigned long long)len))
			return;
		need = pipe_record(len);
		if (need > w->ring_size) {
			at = after_stream(w, at, at, at + need);
			continue;
		}
		if (!check_still(w->c, need <= w->head - at, KIPC_FINDING_RECORD,
				 w->ring_off + (at & (w->ring_size - 1)),
				 "way %u: the record at %#llx, %llu bytes, ends beyond head, %#llx",
				 w->way, (unsigned long long)at, (unsigned long long)len,
				 (unsigned long long)w->head))
			return;
		at += need;
	}
}

static void check_way(struct kipc_check *c, const struct kipc_pipe_header *h, uint32_t i)
{
	static const char *const locks[KIPC_PIPE_WAYS][2] = {
		{ "way 0: send_lock", "way 0: recv_lock" },
		{ "way 1: send_lock", "way 1: recv_lock" },
	};
	struct walk w = {
		.c = c,
		.s = h->way[i],
		.off = c->hdr.body_off + offsetof(struct kipc_pipe_header, way) +
		       i * sizeof(struct kipc_pipe_way),
		.ring_off = h->ring_off[i],
		.ring_size = h->ring_size,
		.way = i,
	};
	bool ok;

	w.head = pipe_pos(w.s.head);
	w.tail = w.s.tail;
	w.sender = __kipc_check_lock(c, w.s.send_lock, w.off + AT(send_lock), locks[i][0]);
	w.receiver = __kipc_check_lock(c, w.s.recv_lock, w.off + AT(recv_lock), locks[i][1]);
	ok = check_positions(&w);
	if (check_marks(&w) && ok)
		walk_records(&w);
	__kipc_check_bell(c, &w.s.readable, w.off + AT(readable), 2 * i,
			  i ? "way 1: doorbell for receivers" : "way 0: doorbell for receivers");
	__kipc_check_bell(c, &w.s.writable, w.off + AT(writable), 2 * i + 1,
			  i ? "way 1: doorbell for senders" : "way 0: doorbell for senders");
}

static bool check_ring(struct kipc_check *c, const struct kipc_pipe_header *h, uint32_t i)
{
	uint64_t off = h->ring_off[i], body = c->hdr.body_off;

	return check_that(c, !(off % 4096) && off >= body + sizeof(*h) &&
				     __kipc_segment_at(c->seg, off, h->ring_size),
			  KIPC_FINDING_GEOMETRY,
			  body + offsetof(struct kipc_pipe_header, ring_off) + i * 8,
			  "way %u: a ring of %llu bytes at %#llx is not in the file", i,
			  (unsigned long long)h->ring_size, (unsigned long long)off);
}

static void check_geometry(struct kipc_check *c, const struct kipc_pipe_header *h)
{
	const struct kipc_pipe_way *s = &h->way[0];
	uint64_t body = c->hdr.body_off, size = h->ring_size;
	bool simplex = h->flags & KIPC_PIPE_F_SIMPLEX, both;

	if (!check_that(c, !(h->flags & ~(KIPC_PIPE_F_SIMPLEX | KIPC_PIPE_F_EXCLUSIVE)),
			KIPC_FINDING_GEOMETRY, body + offsetof(struct kipc_pipe_header, flags),
			"pipe: flags %#x", h->flags) ||
	    !check_that(c, size >= 4096 && size <= KIPC_PIPE_RING_MAX && !(size & (size - 1)),
			KIPC_FINDING_GEOMETRY, body + offsetof(struct kipc_pipe_header, ring_size),
			"pipe: rings of %llu bytes", (unsigned long long)size))
		return;
	both = !simplex && check_ring(c, h, 0);
	if (both)
		check_way(c, h, 0);
	if (simplex)
		check_that(c, !h->ring_off[0] && !s->head && !s->tail && !s->send_lock &&
				      !s->recv_lock,
			   KIPC_FINDING_GEOMETRY,
			   body + offsetof(struct kipc_pipe_header, ring_off),
			   "pipe: a simplex one, but way 0 was used");
	if (!check_ring(c, h, 1))
		return;
	check_way(c, h, 1);
	if (both)
		check_that(c, h->ring_off[0] + size <= h->ring_off[1] ||
				      h->ring_off[1] + size <= h->ring_off[0],
			   KIPC_FINDING_GEOMETRY,
			   body + offsetof(struct kipc_pipe_header, ring_off),
			   "pipe: the two rings overlap");
}

void __kipc_pipe_check(struct kipc_check *c, uint32_t stamp)
{
	struct kipc_pipe_header h;

	if (__kipc_check_stamp(c, stamp) &&
	    check_that(c, __kipc_check_watch(c, c->hdr.body_off, sizeof(h), 0, 1) &&
				  __kipc_check_read(c, c->hdr.body_off, &h, sizeof(h)),
		       KIPC_FINDING_GEOMETRY, c->hdr.body_off,
		       "pipe: the file ends before its header"))
		check_geometry(c, &h);
}
