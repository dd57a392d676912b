// SPDX-License-Identifier: MIT
/*
 * The dict's scenes.  All keys are of one stripe, and the hash has a fixed key, so that a set can be
 * had that splits a bucket, and a del that merges two.  A dict in the model is the number of the value
 * of each key, or ABSENT.
 */
#include <kipc/dict.h>

#include "manager/dict.h"
#include "points-values.h"

#define KEYS		64
#define OWN(who)	(40 + (who))			/* each actor's own key */
#define OTHER(who)	(50 + (who))			/* the same, of another stripe */
#define SHARED		1				/* one that all want */
#define ABSENT		(-1)
#define SPLIT_AT	5	/* buckets: neither 4 nor 8 */

static struct kipc_dict *d;
static int64_t keys[KEYS];
static struct value_buf buf;
static struct model before;

static struct kipc_value key(int k)
{
	return kipc_int(keys[k]);
}

/* ---- what actors do, and the same in the model ---- */

static int set_own(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_dict_set(d, key(OWN(points_who)), value_of(BLOCK(points_who), &buf));
}

static bool own_was_set(struct model *mo, enum who who)
{
	mo->seq[0].v[OWN(who)] = BLOCK(who);
	return true;
}

static int set_shared(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_dict_set(d, key(SHARED), value_of(BLOCK(points_who), &buf));
}

static bool shared_was_set(struct model *mo, enum who who)
{
	mo->seq[0].v[SHARED] = BLOCK(who);
	return true;
}

static int set_other(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_dict_set(d, key(OTHER(points_who)), value_of(BLOCK(points_who), &buf));
}

static bool other_was_set(struct model *mo, enum who who)
{
	mo->seq[0].v[OTHER(who)] = BLOCK(who);
	return true;
}

/* An int for an int. */
static int set_in_place(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_dict_set(d, key(0), kipc_int(INT(points_who)));
}

static bool was_set_in_place(struct model *mo, enum who who)
{
	mo->seq[0].v[0] = INT(who);
	return true;
}

static int del(int64_t timeout_ns)
{
	int r = kipc_dict_del(d, key(SHARED));

	(void)timeout_ns;
	told_got(r);
	return r == -ENOENT ? 0 : r;
}

static bool deleted(struct model *mo, enum who who)
{
	int64_t r = mo->seq[0].v[SHARED] == ABSENT ? -ENOENT : 0;

	mo->seq[0].v[SHARED] = ABSENT;
	return points_told_got(who, 0, r);
}

/* Another one each time. */
static int del_own(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_dict_del(d, key(2 + (int)points_who));
}

static bool own_deleted(struct model *mo, enum who who)
{
	mo->seq[0].v[2 + who] = ABSENT;
	return true;
}

static int pop(int64_t timeout_ns)
{
	struct kipc_value v;
	int r = kipc_dict_pop(d, key(SHARED), &v);

	(void)timeout_ns;
	told_got(r ? r : (int64_t)value_number(&v));
	if (!r)
		kipc_value_clear(&v);
	return r == -ENOENT ? 0 : r;
}

static bool popped(struct model *mo, enum who who)
{
	int64_t was = mo->seq[0].v[SHARED];

	mo->seq[0].v[SHARED] = ABSENT;
	return points_told_got(who, 0, was == ABSENT ? -ENOENT : was);
}

static int set_default(int64_t timeout_ns)
{
	struct kipc_value v;
	int r = kipc_dict_setdefault(d, key(OWN(STOPPED)), value_of(BLOCK(points_who), &buf), &v);

	(void)timeout_ns;
	if (r < 0)
		return r;
	told_got((int64_t)value_number(&v));
	kipc_value_clear(&v);
	return 0;
}

static bool default_was_set(struct model *mo, enum who who)
{
	int64_t *v = &mo->seq[0].v[OWN(STOPPED)];

	if (*v == ABSENT)
		*v = BLOCK(who);
	return points_told_got(who, 0, *v);
}

static int clear(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_dict_clear(d);
}

static bool cleared(struct model *mo, enum who who)
{
	(void)who;
	for (int i = 0; i < mo->seq[0].n; i++)
		mo->seq[0].v[i] = ABSENT;
	return true;
}

static int look(int64_t timeout_ns)
{
	struct kipc_value v;
	int r = kipc_dict_get(d, key(SHARED), &v);

	(void)timeout_ns;
	told_got(r ? r : (int64_t)value_number(&v));
	if (!r)
		kipc_value_clear(&v);
	return r == -ENOENT ? 0 : r;
}

static bool looked(struct model *mo, enum who who)
{
	return points_told_got(who, 0, mo->seq[0].v[SHARED] == ABSENT ? -ENOENT : mo->seq[0].v[SHARED]);
}

static int set_ref(int64_t timeout_ns)
{
	int r = kipc_dict_set(d, key(SHARED), kipc_ref(kipc_list_handle(other)));

	(void)timeout_ns;
	return r ? r : kipc_list_unref(other);
}

static bool ref_was_set(struct model *mo, enum who who)
{
	mo->seq[0].v[SHARED] = REF(who);
	return true;
}

/* ---- the object ---- */

/* All of stripe 0, but for those that are OTHER(). */
static int find_keys(void)
{
	int n = 0;

	for (int64_t i = 0; n < KEYS; i++) {
		struct kipc_value v = kipc_int(i);
		struct kipc_dict_key k;
		int r = __kipc_dict_key(d, &v, &k);

		if (r)
			return r;
		if (k.hash >> KIPC_DICT_STRIPE_SHIFT == (n >= OTHER(0) && n <= OTHER(WORLD)))
			keys[n++] = i;
	}
	return 0;
}

static int make(int n)
{
	uint64_t hash_key[2] = { 1, 2 };
	int r = make_manager(384 << 10);

	if (!r)
		r = __kipc_object_create(m, NULL, &__kipc_dict_type, hash_key, (struct kipc_handle **)&d);
	if (!r)
		r = find_keys();
	before.seq[0].n = KEYS;
	for (int i = 0; i < KEYS && !r; i++) {
		before.seq[0].v[i] = i < n ? (int64_t)BEFORE(i + !i) : ABSENT;
		if (!i)
			before.seq[0].v[i] = INT(WORLD);
		if (i < n)
			r = kipc_dict_set(d, key(i), value_of((uint64_t)before.seq[0].v[i], &buf));
	}
	return r;
}

static int some(void)
{
	return make(6);
}

/* The next one splits. */
static int before_split(void)
{
	return make(SPLIT_AT * KIPC_DICT_LOAD);
}

/* Many were there, and all but these are deleted again; so many buckets are left. */
static int shrunk(uint64_t kept, uint64_t shape)
{
	int n = 4 * KIPC_DICT_LOAD + 1, r = make(n);

	for (int i = 0; i < n && !r; i++) {
		if (kept & 1u << i)
			continue;
		r = kipc_dict_del(d, key(i));
		before.seq[0].v[i] = ABSENT;
	}
	return r ? r : __kipc_dict_shared(d)->stripes[0].shape == shape ? 0 : -EINVAL;
}

#define MAY_DELETE(who) (1u << (2 + (who)))

/* Each del merges two. */
static int before_merge(void)
{
	return shrunk(1u | MAY_DELETE(STOPPED) | MAY_DELETE(KILLED) | MAY_DELETE(SECOND) |
		      MAY_DELETE(SURVIVOR), 5);
}

/* ... so that there are two, and what was for buckets 4 .. 7 is freed. */
static int before_spare(void)
{
	return shrunk(MAY_DELETE(STOPPED) | MAY_DELETE(KILLED) | MAY_DELETE(SURVIVOR), 3);
}

static int dead_inserter(void)
{
	return some() ?: points_die_later(set_own, "dict.entry");
}

/* The entry is a cell's, and NEW has it still. */
static int dead_handing_over(void)
{
	int r = some();

	before.seq[0].v[OWN(WORLD)] = BLOCK(WORLD);
	return r ? r : points_die_later(set_own, "dict.inserted");
}

/* OLD has what is still in its cell. */
static int dead_before_erasing(void)
{
	return some() ?: points_die_later(del, "dict.erase_old");
}

static int dead_deleter(void)
{
	int r = some();

	before.seq[0].v[SHARED] = ABSENT;
	return r ? r : points_die_later(del, "dict.erased");
}

static int dead_splitter(void)
{
	int r = before_split();

	before.seq[0].v[OWN(WORLD)] = BLOCK(WORLD);
	return r ? r : points_die_later(set_own, "dict.split");
}

static int dead_clearer(void)
{
	int r = some();

	for (int i = 0; i < KEYS; i++)
		before.seq[0].v[i] = ABSENT;
	return r ? r : points_die_later(clear, "dict.drain_cell");
}

static int some_refs(void)
{
	int r = some();

	if (!r)
		r = make_other();
	if (!r)
		r = kipc_dict_set(d, key(SHARED), kipc_ref(kipc_list_handle(other)));
	before.seq[0].v[SHARED] = REF(WORLD);
	return r ? r : kipc_list_unref(other);
}

/* ---- the end ---- */

static int64_t number_at(int k)
{
	struct kipc_value v;
	int64_t n;
	int r = kipc_dict_get(d, key(k), &v);

	if (r)
		return r == -ENOENT ? ABSENT : INT64_MIN;
	n = v.type == KIPC_REF ? number_of_ref(&v) : (int64_t)value_number(&v);
	kipc_value_clear(&v);
	return n;
}

static int verify(void)
{
	struct model after = { .seq[0].n = KEYS };
	int64_t n = 0;
	int state;

	for (int i = 0; i < KEYS; i++) {
		after.seq[0].v[i] = number_at(i);
		n += after.seq[0].v[i] != ABSENT;
	}
	state = points_explain(&before, &after);
	if (!state)
		return points_bad("no order of the operations gives %ld keys, with %ld %ld %ld",
				  (long)n, (long)after.seq[0].v[SHARED], (long)after.seq[0].v[OWN(STOPPED)],
				  (long)after.seq[0].v[OWN(KILLED)]);
	if (points_expect("len", kipc_dict_len(d), n))
		return -1;
	for (int i = 0; i < KEYS; i++)
		if (points_expect("set", kipc_dict_set(d, key(i), value_of(BLOCK(i), &buf)), 0))
			return -1;
	for (int i = 0; i < KEYS; i++)
		if (points_expect("value", number_at(i), (int64_t)BLOCK(i)) ||
		    points_expect("del", kipc_dict_del(d, key(i)), 0))
			return -1;
	return state;
}

#define INSERT	OP(set_own, own_was_set)
#define SET	OP(set_shared, shared_was_set)
#define INSERT2	OP(set_other, other_was_set)
#define SET_INT	OP(set_in_place, was_set_in_place)
#define DEL	OP(del, deleted)
#define DEL_OWN	OP(del_own, own_deleted)
#define POP	OP(pop, popped)
#define DEFAULT	OP(set_default, default_was_set)
#define CLEAR	OP(clear, cleared)
#define LOOK	OP(look, looked)
#define SET_REF	{ .run = set_ref, .ready = make_other, .model = ref_was_set }
#define ROW(name, flags, setup, a, b, c) \
	{ "dict", name, flags, setup, a, b, c, verify, NULL }

SCENES(points_dict) = {
	ROW("set x set", SCENE_TRIPLE | SCENE_SHORT, some, INSERT, INSERT, INSERT),
	ROW("set x set, the same key", SCENE_TRIPLE, some, SET, SET, SET),
	ROW("set x set, another stripe", SCENE_TRIPLE, some, INSERT, INSERT2, INSERT2),
	ROW("set x set, in place", 0, some, SET_INT, SET_INT, SET_INT),
	ROW("set x del", SCENE_SHORT, some, SET, DEL, SET),
	ROW("del x set", SCENE_SHORT, some, DEL, SET, DEL),
	ROW("del x del", 0, some, DEL, DEL, INSERT),
	ROW("pop x pop", 0, some, POP, POP, SET),
	ROW("setdefault x setdefault", 0, some, DEFAULT, DEFAULT, DEFAULT),
	ROW("set, a split x set, a split", SCENE_TRIPLE, before_split, INSERT, INSERT, INSERT),
	ROW("set, a split x del", 0, before_split, INSERT, DEL, INSERT),
	ROW("del x set, a split", 0, before_split, DEL, INSERT, INSERT),
	ROW("del, a merge x del, a merge", SCENE_TRIPLE, before_merge, DEL_OWN, DEL_OWN, INSERT),
	ROW("set, a split x set, another stripe", 0, before_split, INSERT, INSERT2, INSERT2),
	ROW("del, a merge x set, another stripe", 0, before_merge, DEL_OWN, INSERT2, INSERT2),
	ROW("clear x set, another stripe", 0, some, CLEAR, INSERT2, INSERT2),
	ROW("del, buckets freed x del", 0, before_spare, DEL_OWN, DEL_OWN, INSERT),
	ROW("set x del, buckets freed", 0, before_spare, INSERT2, DEL_OWN, DEL_OWN),
	ROW("del, a merge x set", 0, before_merge, DEL_OWN, SET, DEL_OWN),
	ROW("clear x set", 0, some, CLEAR, INSERT, INSERT),
	ROW("set x clear", 0, some, INSERT, CLEAR, INSERT),
	ROW("clear x clear", 0, before_split, CLEAR, CLEAR, INSERT),
	ROW("set a ref x set a ref", 0, some_refs, SET_REF, SET_REF, SET),
	ROW("del a ref x set a ref", 0, some_refs, DEL, SET_REF, INSERT),
	ROW("set, repairing a set x set", SCENE_TRIPLE | SCENE_SHORT, dead_inserter, INSERT, INSERT,
	    INSERT),
	ROW("set, repairing a set x set, handing over", 0, dead_handing_over, INSERT, INSERT, INSERT),
	ROW("set, repairing a del x del, before it", 0, dead_before_erasing, INSERT, DEL, INSERT),
	ROW("set, repairing a del x set", SCENE_TRIPLE, dead_deleter, INSERT, INSERT, INSERT),
	ROW("set, repairing a split x set", SCENE_TRIPLE, dead_splitter, INSERT, INSERT, INSERT),
	ROW("set, repairing a clear x set", 0, dead_clearer, INSERT, INSERT, INSERT),
	ROW("set x get, the same key", 0, some, SET, LOOK, LOOK),
	{ 0 },
};
