// SPDX-License-Identifier: MIT
/*
 * The messages that wait in a pipe's rings.
 *
 * What lies between tail and head stays as it is until tail has passed it: so the bytes are copied,
 * and tail is read anew; what lies behind that is good.
 */
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/dump.h"
#include "tools/ipc-inspect/kind-pipe.h"

struct records {
	struct dump *d;
	struct view *v;
	const char *bytes;		/* of the ring, from `from` on */
	uint64_t from, head, tail;	/* positions */
	uint64_t ring;
	uint64_t msg_end, cut;		/* words */
};

/* n bytes of the message, from position at on; part: "whole", "beginning", "rest" */
static void put(struct records *r, uint64_t at, uint64_t n, uint64_t len, const char *part)
{
	struct dump *d = r->d;

	if (!strcmp(part, "whole"))
		dump_title(d, "\nmessage: %lu bytes", (unsigned long)len);
	else if (!strcmp(part, "rest"))
		dump_title(d, "\nmessage: the rest of a long one, %lu bytes of it are here",
			   (unsigned long)n);
	else
		dump_title(d, "\nmessage: %lu bytes, the first %lu of them are here",
			   (unsigned long)len, (unsigned long)n);
	if (d->format.json) {
		json_open(&d->json, NULL, '{');
		dump_number(d, "position_bytes", at);
		dump_word(d, "part", part);
		if (len == ABSENT)
			json_value(&d->json, "length_bytes", "null");
		else
			dump_number(d, "length_bytes", len);
		dump_number(d, "here_bytes", n);
	}
	dump_bytes(d, r->bytes + (at - r->from), n);
	if (d->format.json)
		json_close(&d->json, '}');
}

/* Where a stream ends for the receiver: `end`, or where it was cut short before. */
static uint64_t end_of_stream(const struct records *r, uint64_t at, uint64_t end)
{
	uint64_t cut = pipe_position(r->cut);

	return (r->cut & KIPC_PIPE_VALID) && cut != at && cut - at < end - at ? cut : end;
}

/* The message at `at`; where the next one begins. */
static uint64_t record(struct records *r, uint64_t at)
{
	uint64_t left = r->head - at, word, need, end;

	memcpy(&word, r->bytes + (at - r->from), sizeof(word));
	if (word > KIPC_PIPE_LEN_MAX) {
		view_problem(r->v, "pipe: the record at %lu has a length of %lu",
			     (unsigned long)at, (unsigned long)word);
		return r->head;
	}
	need = KIPC_PIPE_RECORD + ((word + 7) & ~7ULL);
	if (need <= r->ring) {
		if (need > left) {
			view_problem(r->v, "pipe: the record at %lu ends beyond head",
				     (unsigned long)at);
			return r->head;
		}
		put(r, at + KIPC_PIPE_RECORD, word, word, "whole");
		return at + need;
	}
	end = end_of_stream(r, at, at + need);
	if (end - at > left)
		end = r->head;
	put(r, at + KIPC_PIPE_RECORD,
	    end - at - KIPC_PIPE_RECORD < word ? end - at - KIPC_PIPE_RECORD : word, word,
	    "beginning");
	return end;
}

static void walk(struct records *r)
{
	uint64_t at = r->tail, end;

	if ((r->msg_end & KIPC_PIPE_VALID) && at != r->head) {
		end = end_of_stream(r, at - KIPC_PIPE_RECORD, pipe_position(r->msg_end));
		if (end - at > r->head - at)
			end = r->head;
		put(r, at, end - at, ABSENT, "rest");
		at = end;
	}
	while (at != r->head)
		at = record(r, at);
}

/* Copies what lies in the ring from tail to head, round its end. */
static char *copy_ring(struct view *v, uint64_t ring_off, uint64_t ring, uint64_t tail, uint64_t n)
{
	char *buf = xcheck(malloc(n ? n : 1));
	uint64_t at = tail & (ring - 1), first = ring - at < n ? ring - at : n;

	if (!view_read(v, ring_off + at, buf, first) &&
	    !view_read(v, ring_off, buf + first, n - first))
		return buf;
	free(buf);
	return NULL;
}

static void dump_way(struct dump *d, struct view *v, const struct pipe *p, unsigned int i)
{
	const struct pipe_way *w = &p->way[i];
	struct records r = { .d = d, .v = v, .from = w->tail, .head = w->head, .ring = w->ring };
	struct kipc_pipe_way now;
	uint64_t off = v->hdr.body_off + offsetof(struct kipc_pipe_header, way) + i * sizeof(now);
	_cleanup_free_ char *bytes =
		copy_ring(v, p->sh.ring_off[i], w->ring, w->tail, w->queued);

	if (!bytes || view_read(v, off, &now, sizeof(now))) {
		view_problem(v, "pipe: ring %u can't be read", i);
		return;
	}
	r.bytes = bytes;
	r.tail = pipe_position(now.tail);
	r.msg_end = now.msg_end;
	r.cut = now.cut;
	/* taken meanwhile, all of it */
	if (r.tail - r.from > r.head - r.from)
		r.tail = r.head;
	walk(&r);
}

void pipe_dump(const void *data, struct view *v, struct dump *d)
{
	const struct pipe *p = data;

	if (d->format.json)
		json_open(&d->json, "ways", '[');
	for (unsigned int i = p->first; i < KIPC_PIPE_WAYS; i++) {
		dump_title(d, "\nfrom end %s", p->way[i].name);
		if (d->format.json) {
			json_open(&d->json, NULL, '{');
			dump_word(d, "way", p->way[i].name);
			json_open(&d->json, "messages", '[');
		}
		dump_way(d, v, p, i);
		if (d->format.json) {
			json_close(&d->json, ']');
			json_close(&d->json, '}');
		}
	}
	if (d->format.json)
		json_close(&d->json, ']');
}
