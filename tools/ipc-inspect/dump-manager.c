// SPDX-License-Identifier: MIT
/*
 * What the lists and dicts of a manager hold.
 *
 * A list is read as the library's readers do it: all of it between two looks at its sequence.  A dict
 * is read bucket by bucket, each between two looks at its version.  When writers don't let us, what
 * was read last is printed, and said not to be of one moment.
 */
#include <errno.h>
#include <math.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/dump.h"
#include "tools/ipc-inspect/kind-manager.h"

#define TRIES		16
#define ELEMENTS_MAX	(1ULL << 24)
#define BUCKETS_MAX	(1ULL << 25)
/* Of the bytes of one container, no more is kept in memory. */
#define BYTES_MAX	DUMP_MAX

/* A value, copied out. */
struct value {
	uint32_t type;		/* enum kipc_slot_type */
	uint64_t payload;	/* bool, int, double; ref: the object's id, 0: unknown */
	uint64_t len;		/* bytes and str */
	char *bytes;
};

/* Of a dict, keys and values by turns. */
struct values {
	struct value *v;
	size_t n, room;
	uint64_t bytes;		/* that they hold */
	uint64_t buckets;	/* that were read for them */
};

static void values_clear(struct values *vs, size_t from)
{
	while (vs->n > from)
		free(vs->v[--vs->n].bytes);
}

static struct value *values_add(struct values *vs)
{
	if (vs->n == vs->room) {
		vs->room = vs->room ? 2 * vs->room : 64;
		vs->v = xreallocarray(vs->v, vs->room, sizeof(*vs->v));
	}
	memset(&vs->v[vs->n], 0, sizeof(*vs->v));
	return &vs->v[vs->n++];
}

/* len bytes at off for the value.  0, or -EPROTO: they aren't there; -EFBIG: too much in all. */
static int fetch(struct view *v, struct values *vs, struct value *val, uint64_t off, uint64_t len)
{
	if (len > KIPC_VALUE_MAX)
		return -EPROTO;
	if (vs->bytes + len > BYTES_MAX)
		return -EFBIG;
	val->bytes = dump_read(v, off, len);
	if (!val->bytes)
		return -EPROTO;
	val->len = len;
	vs->bytes += len;
	return 0;
}

/* ---- reading ---- */

static int read_slot(struct view *v, struct values *vs, const struct kipc_slot *slot)
{
	struct value *val = values_add(vs);

	val->type = KIPC_SLOT_TYPE(slot->tag);
	val->payload = slot->payload;
	switch (val->type) {
	case KIPC_SLOT_NONE:
	case KIPC_SLOT_BOOL:
	case KIPC_SLOT_INT:
	case KIPC_SLOT_DOUBLE:
		return 0;
	case KIPC_SLOT_REF:
		val->payload = KIPC_SLOT_LEN(slot->tag);
		return 0;
	case KIPC_SLOT_BYTES:
	case KIPC_SLOT_STR:
		break;
	default:
		return -EPROTO;
	}
	if (!(slot->tag & KIPC_SLOT_INLINE))
		return fetch(v, vs, val, slot->payload, KIPC_SLOT_LEN(slot->tag));
	val->len = KIPC_SLOT_INLINE_LEN(slot->tag);
	if (val->len > KIPC_SLOT_INLINE_MAX)
		return -EPROTO;
	val->bytes = xcheck(malloc(KIPC_SLOT_INLINE_MAX));
	memcpy(val->bytes, (const char *)slot + 2, val->len);
	return 0;
}

static int read_elements(struct view *v, const struct kipc_guard *g, struct values *vs)
{
	uint64_t len = g->data[KIPC_LIST_LEN], dir = g->data[KIPC_LIST_DIR], chunk;
	struct kipc_slot slots[KIPC_LIST_CHUNK];
	struct kipc_list_dir d;
	int r = 0;

	if (!len)
		return 0;
	if (len > ELEMENTS_MAX)
		return -EFBIG;
	if (view_read(v, dir, &d, sizeof(d)) || d.nchunks < (len - 1) / KIPC_LIST_CHUNK + 1)
		return -EPROTO;
	for (uint64_t i = 0; !r && i < len; i++) {
		if (i % KIPC_LIST_CHUNK == 0) {
			if (view_read(v, dir + sizeof(d) + 8 * (i / KIPC_LIST_CHUNK), &chunk,
				      sizeof(chunk)) ||
			    view_read(v, chunk, slots, sizeof(slots)))
				return -EPROTO;
		}
		r = read_slot(v, vs, &slots[i % KIPC_LIST_CHUNK]);
	}
	return r;
}

/* 0, -EPROTO, -EFBIG; *whole: of one moment. */
static int read_list(struct view *v, uint64_t off, struct values *vs, bool *whole)
{
	struct kipc_guard before, after;
	int r = -EPROTO;

	off += offsetof(struct kipc_obj_header, guard);
	*whole = false;
	for (int i = 0; i < TRIES && !*whole; i++) {
		values_clear(vs, 0);
		vs->bytes = 0;
		if (view_read(v, off, &before, sizeof(before)))
			return -EPROTO;
		r = read_elements(v, &before, vs);
		if (view_read(v, off, &after, sizeof(after)))
			return -EPROTO;
		*whole = !(before.seq & 1) && before.seq == after.seq;
	}
	return r;
}

static int read_entry(struct view *v, uint64_t off, struct values *vs)
{
	struct kipc_dict_entry e;
	struct value *key, *val;
	uint64_t klen, vlen;
	int r;

	if (view_read(v, off, &e, sizeof(e)))
		return -EPROTO;
	klen = KIPC_DICT_META_KLEN(e.meta);
	vlen = KIPC_DICT_META_VLEN(e.meta);
	off += sizeof(e);
	key = values_add(vs);
	key->type = KIPC_DICT_META_KTYPE(e.meta);
	r = fetch(v, vs, key, off, klen);
	if (!r && key->type == KIPC_SLOT_INT) {
		r = klen == sizeof(key->payload) ? 0 : -EPROTO;
		if (!r)
			memcpy(&key->payload, key->bytes, sizeof(key->payload));
	}
	val = values_add(vs);
	val->type = KIPC_DICT_META_VTYPE(e.meta);
	val->payload = e.payload;
	if (val->type == KIPC_SLOT_REF) {
		struct kipc_obj_header o;

		val->payload = view_read(v, e.payload, &o, sizeof(o)) ? 0 : o.id;
	}
	if (!r && (val->type == KIPC_SLOT_STR || val->type == KIPC_SLOT_BYTES))
		r = fetch(v, vs, val, off + klen, vlen);
	return r;
}

/* The bucket at `off` and those that continue it. */
static int read_chain(struct view *v, uint64_t off, struct values *vs)
{
	struct kipc_dict_bucket b;
	int r = 0;

	for (uint32_t steps = 0; off && steps < KIPC_DICT_CHAIN_MAX; steps++, off = b.next) {
		if (view_read(v, off, &b, sizeof(b)))
			return -EPROTO;
		if (vs->buckets++ == BUCKETS_MAX)
			return -EFBIG;
		for (uint32_t i = 0; !r && i < KIPC_DICT_CELLS; i++)
			if (b.cells[i])
				r = read_entry(v, b.cells[i] & KIPC_DICT_CELL_OFF, vs);
		if (r || vs->n > 2 * ELEMENTS_MAX)
			return r ? r : -EFBIG;
	}
	return off ? -EPROTO : 0;
}

static int read_bucket(struct view *v, uint64_t off, struct values *vs, bool *whole)
{
	struct kipc_dict_bucket before, after;
	uint64_t bytes = vs->bytes;
	size_t n = vs->n;
	bool same = false;
	int r = -EPROTO;

	for (int i = 0; i < TRIES && !same; i++) {
		values_clear(vs, n);
		vs->bytes = bytes;
		if (view_read(v, off, &before, sizeof(before)))
			return -EPROTO;
		r = read_chain(v, off, vs);
		if (view_read(v, off, &after, sizeof(after)))
			return -EPROTO;
		same = !memcmp(&before, &after, sizeof(before));
	}
	*whole &= same;
	return r;
}

static uint64_t bucket_off(const struct kipc_dict_stripe *s, uint64_t off, uint64_t b)
{
	uint32_t k;

	if (!b)
		return off + offsetof(struct kipc_dict_stripe, first);
	k = 63 - (uint32_t)__builtin_clzll(b);
	return s->segs[k] ? s->segs[k] + (b - (1ULL << k)) * sizeof(struct kipc_dict_bucket) : 0;
}

/* One try at a stripe. */
static int read_buckets(struct view *v, const struct kipc_dict_stripe *s, uint64_t off,
			struct values *vs, bool *whole)
{
	uint64_t n = s->shape & ~KIPC_DICT_DRAIN, b_off;
	int r = 0;

	if (s->shape & KIPC_DICT_DRAIN)
		return 0;
	if (n - 1 >= 1ULL << KIPC_DICT_SEGS)
		return -EPROTO;
	for (uint64_t b = 0; !r && b < n; b++) {
		b_off = bucket_off(s, off, b);
		r = b_off ? read_bucket(v, b_off, vs, whole) : -EPROTO;
	}
	return r;
}

static int read_stripe(struct view *v, uint64_t off, struct values *vs, bool *whole)
{
	struct kipc_dict_stripe before, after;
	uint64_t bytes = vs->bytes;
	size_t n = vs->n;
	bool same = false, buckets = true;
	int r = -EPROTO;

	for (int i = 0; i < TRIES && !same; i++) {
		values_clear(vs, n);
		vs->bytes = bytes;
		buckets = true;
		if (view_read(v, off, &before, sizeof(before)))
			return -EPROTO;
		r = read_buckets(v, &before, off, vs, &buckets);
		if (view_read(v, off, &after, sizeof(after)))
			return -EPROTO;
		same = before.shape == after.shape && before.gen == after.gen;
	}
	*whole &= same && buckets;
	return r;
}

/* Each stripe is of one moment, if at all. */
static int read_dict(struct view *v, uint64_t off, struct values *vs, bool *whole)
{
	int r = 0;

	*whole = true;
	off += offsetof(struct kipc_dict_shared, stripes);
	for (uint32_t i = 0; !r && i < KIPC_DICT_STRIPES; i++)
		r = read_stripe(v, off + i * sizeof(struct kipc_dict_stripe), vs, whole);
	return r;
}

/* ---- printing ---- */

/* A double that happens to be whole isn't an int. */
static void put_double(uint64_t bits)
{
	double x;

	memcpy(&x, &bits, sizeof(x));
	dump_double(x, false, true);
	if (isfinite(x) && x == trunc(x) && fabs(x) < 1e15)
		fputs(".0", stdout);
}

static void put_bytes(const struct value *val)
{
	fputs("{\"hex\": \"", stdout);
	for (uint64_t i = 0; i < val->len; i++)
		printf("%02x", (unsigned char)val->bytes[i]);
	fputs("\"}", stdout);
}

/* The same in text and in JSON: what JSON hasn't is an object with one member. */
static void put_value(const struct value *val)
{
	_cleanup_free_ char *str = NULL;

	switch (val->type) {
	case KIPC_SLOT_BOOL:
		fputs(val->payload ? "true" : "false", stdout);
		return;
	case KIPC_SLOT_INT:
		printf("%ld", (long)val->payload);
		return;
	case KIPC_SLOT_DOUBLE:
		put_double(val->payload);
		return;
	case KIPC_SLOT_STR:
		str = json_text(val->bytes, val->len);
		if (str)
			fputs(str, stdout);
		else
			put_bytes(val);
		return;
	case KIPC_SLOT_BYTES:
		put_bytes(val);
		return;
	case KIPC_SLOT_REF:
		printf("{\"ref\": %lu}", (unsigned long)val->payload);
		return;
	default:
		fputs("null", stdout);
	}
}

static void put_list(const struct values *vs)
{
	putchar('[');
	for (size_t i = 0; i < vs->n; i++) {
		fputs(i ? ", " : "", stdout);
		put_value(&vs->v[i]);
	}
	putchar(']');
}

/* Keys are not strings alone: pairs, in JSON. */
static void put_dict(const struct values *vs, bool json)
{
	putchar(json ? '[' : '{');
	for (size_t i = 0; i + 1 < vs->n; i += 2) {
		fputs(i ? ", " : "", stdout);
		fputs(json ? "[" : "", stdout);
		put_value(&vs->v[i]);
		fputs(json ? ", " : ": ", stdout);
		put_value(&vs->v[i + 1]);
		fputs(json ? "]" : "", stdout);
	}
	putchar(json ? ']' : '}');
}

struct contents {
	struct dump *d;
	struct view *v;
};

static void put_json_head(struct dump *d, const char *type, const char *name,
			  const struct kipc_obj_header *o, const struct values *vs, bool whole)
{
	_cleanup_free_ char *safe = text_safe(name, 64);

	json_open(&d->json, NULL, '{');
	dump_word(d, "type", type);
	if (*name)
		json_string(&d->json, "name", safe);
	else
		json_value(&d->json, "name", "null");
	dump_number(d, "id", o->id);
	dump_number(d, "length", o->kind == KIPC_OBJ_DICT ? vs->n / 2 : vs->n);
	dump_bool(d, "consistent", whole);
	json_value(&d->json, "value", "");
}

static void put_container(struct dump *d, const char *type, const char *name,
			  const struct kipc_obj_header *o, const struct values *vs, bool whole)
{
	_cleanup_free_ char *safe = text_safe(name, 64);

	if (d->format.json)
		put_json_head(d, type, name, o, vs, whole);
	else
		dump_title(d, "\n%s %lu%s%s%s%s", type, (unsigned long)o->id, *name ? " \"" : "",
			   safe, *name ? "\"" : "",
			   whole ? "" : ", written to meanwhile: not of one moment");
	if (!d->format.json)
		fputs("  ", stdout);
	if (o->kind == KIPC_OBJ_LIST)
		put_list(vs);
	else
		put_dict(vs, d->format.json);
	if (d->format.json)
		json_close(&d->json, '}');
	else
		putchar('\n');
}

static bool container(uint64_t off, const struct kipc_obj_header *o, void *arg)
{
	struct contents *c = arg;
	struct values vs = { .n = 0 };
	char type[24], name[64];
	bool whole;
	int r;

	if (o->kind != KIPC_OBJ_LIST && o->kind != KIPC_OBJ_DICT)
		return true;
	manager_type_name(o->kind, type);
	manager_object_name(c->v, o, name);
	r = o->kind == KIPC_OBJ_LIST ? read_list(c->v, off, &vs, &whole) :
				       read_dict(c->v, off, &vs, &whole);
	if (r == -EFBIG)
		dump_title(c->d, "\n%s %lu: too large to be printed", type, (unsigned long)o->id);
	else if (!r || !whole)	/* what moved all the time is shown as far as it could be read */
		put_container(c->d, type, name, o, &vs, whole);
	else
		view_problem(c->v, "manager: %s %lu is damaged", type, (unsigned long)o->id);
	values_clear(&vs, 0);
	free(vs.v);
	return true;
}

void manager_dump(const void *data, struct view *v, struct dump *d)
{
	struct contents c = { .d = d, .v = v };

	if (d->format.json)
		json_open(&d->json, "objects", '[');
	manager_each_object(v, data, UINT64_MAX, container, &c);
	if (d->format.json)
		json_close(&d->json, ']');
}
