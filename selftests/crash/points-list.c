// SPDX-License-Identifier: MIT
/*
 * The list's scenes.  A list in the model is the numbers of its values; each actor's values have
 * numbers of their own: ints, which are one store, and strings in blocks of their own.
 */
#include "manager/list.h"
#include "points-values.h"

#define LEN		5
#define EXTENDED	3
#define LARGE		100000	/* bytes, in spans of their own */
#define IN_A_SLAB	30000	/* of which a slab has SLAB places */
#define SLAB		8
#define NUMBER_LARGE	100000	/* + whose it is */
#define TOO_LARGE	(10 << 20)

static struct kipc_list *l;	/* what an actor works on: the first, or */
static struct kipc_list *second;
static struct value_buf buf[EXTENDED];
static struct model before;
static int into, out_of;	/* where an element is inserted, and where one is popped */

/* ---- what actors do, and the same in the model ---- */

static int enter_second(void)
{
	l = second;
	return enter();
}

/* Those of the second list entered that. */
static struct seq *list_of(struct model *mo, enum who who)
{
	return &mo->seq[points_act(points_scene, who)->ready == enter_second];
}

static int append_int(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_append(l, value_of(INT(points_who), buf));
}

static bool appended_int(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	seq_insert(s, s->n, INT(who));
	return true;
}

static int append_block(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_append(l, value_of(BLOCK(points_who), buf));
}

static bool appended_block(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	seq_insert(s, s->n, BLOCK(who));
	return true;
}

static int insert(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_insert(l, into, value_of(BLOCK(points_who), buf));
}

static bool inserted(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	seq_insert(s, into, BLOCK(who));
	return true;
}

static int set_int(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_set(l, 1, value_of(INT(points_who), buf));
}

static bool was_set_int(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	s->v[1] = INT(who);
	return true;
}

static int set_block(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_set(l, 1, value_of(BLOCK(points_who), buf));
}

static bool was_set_block(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	s->v[1] = BLOCK(who);
	return true;
}

static int64_t number_of_large(const struct kipc_value *v)
{
	const char *p = v->data;

	for (size_t i = 0; i < v->len; i++)
		if (p[i] != p[0])
			return INT64_MIN;
	return NUMBER_LARGE + p[0] - 'A';
}

static int64_t number_of(const struct kipc_value *v)
{
	bool large = v->type == KIPC_BYTES && (v->len == LARGE || v->len == IN_A_SLAB);

	return large ? number_of_large(v) : (int64_t)value_number(v);
}

static int pop(int64_t index)
{
	struct kipc_value v;
	int r = kipc_list_pop(l, index, &v);

	if (r)
		return r;
	told_got(number_of(&v));
	kipc_value_clear(&v);
	return 0;
}

static int pop_last(int64_t timeout_ns)
{
	(void)timeout_ns;
	return pop(-1);
}

static bool popped_last(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	return points_told_got(who, 0, seq_remove(s, s->n - 1));
}

static int pop_inner(int64_t timeout_ns)
{
	(void)timeout_ns;
	return pop(out_of);
}

static bool popped_inner(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	return points_told_got(who, 0, seq_remove(s, out_of));
}

static int extend(int64_t timeout_ns)
{
	struct kipc_value v[EXTENDED];

	(void)timeout_ns;
	for (uint64_t i = 0; i < EXTENDED; i++)
		v[i] = value_of(i == 1 ? BLOCK(points_who) : INT(points_who), &buf[i]);
	return kipc_list_extend(l, v, EXTENDED);
}

static bool extended(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	for (int i = 0; i < EXTENDED; i++)
		seq_insert(s, s->n, i == 1 ? BLOCK(who) : INT(who));
	return true;
}

static int clear(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_clear(l);
}

static bool cleared(struct model *mo, enum who who)
{
	list_of(mo, who)->n = 0;
	return true;
}

static int reverse(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_reverse(l);
}

static bool reversed(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who), old = *s;

	for (int i = 0; i < s->n; i++)
		s->v[i] = old.v[old.n - 1 - i];
	return true;
}

/* The first element, and how many there are: what an optimistic reader sees. */
static int look(int64_t timeout_ns)
{
	struct kipc_value v[SEQ_MAX];
	int64_t n = kipc_list_slice(l, 0, INT64_MAX, 1, v, SEQ_MAX);

	(void)timeout_ns;
	if (n < 0)
		return (int)n;
	told_got(n);
	told_got(n ? (int64_t)value_number(&v[0]) : 0);
	for (int64_t i = 0; i < n; i++)
		kipc_value_clear(&v[i]);
	return 0;
}

static bool looked(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	return points_told_got(who, 0, s->n) && points_told_got(who, 1, s->n ? s->v[0] : 0);
}

/* Bytes that say whose they are. */
static int append_of(size_t len)
{
	char *p = malloc(len);
	int r;

	if (!p)
		return -ENOMEM;
	memset(p, 'A' + (int)points_who, len);
	r = kipc_list_append(l, kipc_bytes(p, len));
	free(p);
	return r;
}

static int append_large(int64_t timeout_ns)
{
	(void)timeout_ns;
	return append_of(LARGE);
}

static bool appended_large(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	seq_insert(s, s->n, NUMBER_LARGE + who);
	return true;
}

static int append_in_slab(int64_t timeout_ns)
{
	(void)timeout_ns;
	return append_of(IN_A_SLAB);
}

static int append_too_large(int64_t timeout_ns)
{
	(void)timeout_ns;
	return append_of(TOO_LARGE) == -ENOMEM ? 0 : -EINVAL;
}

static bool nothing(struct model *mo, enum who who)
{
	(void)mo;
	(void)who;
	return true;
}

/* A reference to a list that nobody else refers to: when it goes, the list does. */
static int set_ref(int64_t timeout_ns)
{
	int r;

	(void)timeout_ns;
	r = kipc_list_set(l, 1, kipc_ref(kipc_list_handle(other)));
	return r ? r : kipc_list_unref(other);
}

/* Two operations: what comes of the second isn't to be seen. */
static bool was_set_ref(struct model *mo, enum who who)
{
	struct seq *s = list_of(mo, who);

	s->v[1] = REF(who);
	return true;
}

/* ---- the object ---- */

static int fill(struct kipc_list *list, struct seq *s, int n)
{
	int r = 0;

	s->n = n;
	for (int i = 0; i < n && !r; i++) {
		s->v[i] = (int64_t)BEFORE(i);
		r = kipc_list_append(list, value_of(BEFORE(i), buf));
	}
	return r;
}

static int make_sized(uint64_t size, int n)
{
	int r = make_manager(size);

	r = r ?: kipc_list_create(m, NULL, &l) ?: kipc_list_create(m, NULL, &second);
	r = r ?: fill(l, &before.seq[0], n) ?: fill(second, &before.seq[1], LEN);
	into = 2;
	out_of = 1;
	return r;
}

static int make(int n)
{
	return make_sized(512 << 10, n);
}

static int some(void)
{
	return make(LEN);
}

/* The next one needs a chunk. */
static int chunk_full(void)
{
	return make(KIPC_LIST_CHUNK);
}

/* One more than a chunk: one less frees it. */
static int chunk_begun(void)
{
	return make(KIPC_LIST_CHUNK + 1);
}

/* What is inserted or popped moves others from one chunk to the next. */
static int across_chunks(void)
{
	int r = make(KIPC_LIST_CHUNK + 1);

	into = out_of = KIPC_LIST_CHUNK - 1;
	return r;
}

/* So that the file must grow. */
static int small(void)
{
	return make_sized(256 << 10, LEN);
}

/* The next one fills the slab. */
static int slab_nearly_full(void)
{
	int r = make_sized(1 << 20, LEN);

	for (int i = 1; i < SLAB && !r; i++) {
		before.seq[0].v[before.seq[0].n++] = NUMBER_LARGE + WORLD;
		r = append_in_slab(0);
	}
	return r;
}

/* There is one in a second slab. */
static int slab_begun(void)
{
	int r = slab_nearly_full();

	for (int i = 0; i < 2 && !r; i++) {
		before.seq[0].v[before.seq[0].n++] = NUMBER_LARGE + WORLD;
		r = append_in_slab(0);
	}
	return r;
}

/* Owner of the list's guard and of the arena's lock, in the middle of an allocation. */
static int dead_allocator(void)
{
	return some() ?: points_die_later(append_block, "intent.begun");
}

/* It happened, but not all of it was done. */
static int dead_setter(void)
{
	int r = some();

	before.seq[0].v[1] = BLOCK(WORLD);
	return r ? r : points_die_later(set_block, "tx.commit");
}

static int dead_mover(void)
{
	int r = some();

	seq_insert(&before.seq[0], into, BLOCK(WORLD));
	return r ? r : points_die_later(insert, "list.moved_up");
}

static int large_last(void)
{
	int r = some();

	before.seq[0].v[before.seq[0].n++] = NUMBER_LARGE + WORLD;
	return r ? r : append_large(0);
}

/* Two elements are lists. */
static int some_refs(void)
{
	int r = some();

	for (int i = 1; i < 3 && !r; i++) {
		r = make_other();
		r = r ?: kipc_list_set(l, i, kipc_ref(kipc_list_handle(other)));
		r = r ?: kipc_list_unref(other);
		before.seq[0].v[i] = REF(WORLD);
	}
	return r;
}

/* ---- the end ---- */

static int64_t number_at(struct kipc_list *list, int64_t i)
{
	struct kipc_value v;
	int64_t n;

	if (kipc_list_get(list, i, &v))
		return INT64_MIN;
	n = v.type == KIPC_REF ? number_of_ref(&v) : number_of(&v);
	kipc_value_clear(&v);
	return n;
}

static int read_list(struct kipc_list *list, struct seq *s)
{
	int64_t n = kipc_list_len(list);

	if (n < 0 || n > SEQ_MAX)
		return points_bad("%ld elements", (long)n);
	s->n = (int)n;
	for (int i = 0; i < s->n; i++)
		s->v[i] = number_at(list, i);
	return 0;
}

static int works(struct kipc_list *list)
{
	return points_expect("insert", kipc_list_insert(list, 0, value_of(BLOCK(0), buf)), 0) ||
	       points_expect("what was inserted", number_at(list, 0), BLOCK(0)) ||
	       points_expect("pop", kipc_list_pop(list, 0, NULL), 0) ||
	       points_expect("append", kipc_list_append(list, kipc_int(INT(0))), 0) ||
	       points_expect("clear", kipc_list_clear(list), 0);
}

static int verify(void)
{
	struct model after;
	int state;

	if (read_list(l, &after.seq[0]) || read_list(second, &after.seq[1]))
		return -1;
	state = points_explain(&before, &after);
	if (!state)
		return points_bad("no order of the operations gives %d elements, %ld %ld ..; %d",
				  after.seq[0].n, (long)after.seq[0].v[0], (long)after.seq[0].v[1],
				  after.seq[1].n);
	return works(l) || works(second) ? -1 : state;
}

/* _B: a value in a block; _L: in spans; _S: in a slab of few; 2: of the second list */
#define APPEND	OP(append_int, appended_int)
#define APPEND_B	OP(append_block, appended_block)
#define INSERT	OP(insert, inserted)
#define POP	OP(pop_last, popped_last)
#define POP_IN	OP(pop_inner, popped_inner)
#define SET	OP(set_int, was_set_int)
#define SET_B	OP(set_block, was_set_block)
#define EXTEND	OP(extend, extended)
#define CLEAR	OP(clear, cleared)
#define REVERSE	OP(reverse, reversed)
#define SLICE	OP(look, looked)
#define SET_REF	{ .run = set_ref, .ready = make_other, .model = was_set_ref }
#define APPEND_L	OP(append_large, appended_large)
#define APPEND_XL	OP(append_too_large, nothing)
#define APPEND_S	OP(append_in_slab, appended_large)
#define OP2(fn, mod)	{ .run = fn, .ready = enter_second, .model = mod }
#define APPEND_B2	OP2(append_block, appended_block)
#define SET_B2	OP2(set_block, was_set_block)
#define POP_IN2	OP2(pop_inner, popped_inner)
#define APPEND_L2	OP2(append_large, appended_large)
#define APPEND_S2	OP2(append_in_slab, appended_large)
#define POP2	OP2(pop_last, popped_last)
#define ROW(name, flags, setup, a, b, c) \
	{ "list", name, flags, setup, a, b, c, verify, NULL }

SCENES(points_list) = {
	ROW("append x append", SCENE_TRIPLE | SCENE_SHORT, some, APPEND, APPEND, APPEND),
	ROW("append x pop", SCENE_SHORT, some, APPEND, POP, APPEND),
	ROW("pop x append", SCENE_SHORT, some, POP, APPEND, POP),
	ROW("append a block x append a block", SCENE_TRIPLE, some, APPEND_B, APPEND_B, APPEND_B),
	ROW("append a block x pop", 0, some, APPEND_B, POP, APPEND_B),
	ROW("append, a new chunk x append", 0, chunk_full, APPEND, APPEND, APPEND_B),
	ROW("append x append, a new chunk", 0, chunk_full, APPEND_B, APPEND, POP),
	ROW("pop x pop, a chunk less", 0, chunk_begun, POP, POP, APPEND),
	ROW("insert x insert", SCENE_TRIPLE, some, INSERT, INSERT, APPEND_B),
	ROW("insert x pop inner", SCENE_SHORT, some, INSERT, POP_IN, INSERT),
	ROW("pop inner x insert", 0, some, POP_IN, INSERT, POP_IN),
	ROW("pop inner x pop inner", 0, some, POP_IN, POP_IN, INSERT),
	ROW("insert x pop inner, across chunks", 0, across_chunks, INSERT, POP_IN, APPEND),
	ROW("pop inner x insert, across chunks", 0, across_chunks, POP_IN, INSERT, APPEND),
	ROW("set x set", 0, some, SET, SET, SET),
	ROW("set a block x set a block", SCENE_TRIPLE | SCENE_SHORT, some, SET_B, SET_B, APPEND),
	ROW("set a block x pop inner", 0, some, SET_B, POP_IN, SET_B),
	ROW("set a ref x set a ref", SCENE_TRIPLE, some_refs, SET_REF, SET_REF, APPEND),
	ROW("set a ref x clear", 0, some_refs, SET_REF, CLEAR, APPEND),
	ROW("clear x append", 0, some, CLEAR, APPEND, APPEND),
	ROW("append x clear", 0, some, APPEND_B, CLEAR, APPEND),
	ROW("extend x extend", 0, some, EXTEND, EXTEND, APPEND),
	ROW("reverse x append", 0, some, REVERSE, APPEND_B, APPEND),
	ROW("append x reverse", 0, some, APPEND_B, REVERSE, POP),
	ROW("append a block x append a block, another list", SCENE_TRIPLE | SCENE_SHORT, some, APPEND_B,
	    APPEND_B2, APPEND_B2),
	ROW("set a block x append a block, another list", 0, some, SET_B, APPEND_B2, APPEND_B2),
	ROW("append a block x set a block, another list", SCENE_TRIPLE, some, APPEND_B, SET_B2, APPEND_B2),
	ROW("set a block x pop inner, another list", 0, some, SET_B, POP_IN2, SET_B2),
	ROW("clear x append a block, another list", 0, some, CLEAR, APPEND_B2, POP_IN2),
	ROW("append large x append large", 0, some, APPEND_L, APPEND_L, APPEND),
	ROW("append large x append large, another list", SCENE_TRIPLE, small, APPEND_L, APPEND_L2, APPEND_L2),
	ROW("pop large x append a block, another list", 0, large_last, POP, APPEND_B2, POP2),
	ROW("append a block x pop large, another list", 0, large_last, APPEND_B2, POP, APPEND_B),
	ROW("append, a full slab x append, another list", 0, slab_nearly_full, APPEND_S, APPEND_S2, APPEND_S2),
	ROW("pop, a slab less x append, another list", 0, slab_begun, POP, APPEND_S2, APPEND_S2),
	ROW("append x pop, a slab less, another list", 0, slab_begun, APPEND_B2, POP, POP_IN),
	ROW("append too much x append", 0, some, APPEND_XL, APPEND, APPEND),
	ROW("append x append too much", 0, some, APPEND, APPEND_XL, APPEND),
	ROW("append, repairing x append", SCENE_TRIPLE | SCENE_SHORT, dead_allocator, APPEND, APPEND,
	    APPEND),
	ROW("append, repairing x append a block, another list", SCENE_TRIPLE, dead_allocator, APPEND,
	    APPEND_B2, APPEND_B2),
	ROW("append a block, repairing x append, another list", 0, dead_allocator, APPEND_B2, APPEND,
	    APPEND_B),
	ROW("append, repairing a set x append", SCENE_TRIPLE, dead_setter, APPEND, APPEND, APPEND),
	ROW("append, repairing an insert x pop", SCENE_TRIPLE, dead_mover, APPEND, POP_IN, APPEND),
	ROW("insert x slice", 0, some, INSERT, SLICE, SLICE),
	{ 0 },
};
