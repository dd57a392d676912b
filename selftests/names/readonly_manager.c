// SPDX-License-Identifier: MIT
/* A manager that is open for reading only: its lists and dicts, while others change them. */
#include "manager/readonly.h"
#include "names.h"

FIXTURE(rom) {
	struct names_dir dir;
	struct kipc_manager *w, *r;
};

FIXTURE_SETUP(rom)
{
	KIPC_OPTS(kipc_manager_opts, o, .flags = KIPC_NAME_RDONLY);

	names_begin(&self->dir);
	ASSERT_EQ(0, kipc_manager_create("m", NULL, &self->w));
	ASSERT_EQ(0, kipc_manager_open("m", &o, &self->r));
}

FIXTURE_TEARDOWN(rom)
{
	kipc_manager_close(self->r);
	kipc_manager_close(self->w);
	names_end(&self->dir);
}

static int sum(int64_t index, struct kipc_value *v, void *arg)
{
	(void)index;
	if (v->type == KIPC_INT)
		*(int64_t *)arg += v->i;
	return 0;
}

TEST_F(rom, list_read)
{
	static const char text[] = "a string too long to stand in a slot";
	struct kipc_list *lw, *lr, *none;
	struct kipc_value v, vs[8];
	int64_t total = 0;

	EXPECT_EQ(-ENOENT, kipc_list_open(self->r, "l", &none));
	ASSERT_EQ(0, kipc_list_create(self->w, "l", &lw));
	for (int i = 0; i < 1000; i++)
		ASSERT_EQ(0, kipc_list_append(lw, kipc_int(i)));
	ASSERT_EQ(0, kipc_list_append(lw, kipc_str(text)));
	ASSERT_EQ(0, kipc_list_open(self->r, "l", &lr));
	EXPECT_EQ(1001, kipc_list_len(lr));
	ASSERT_EQ(0, kipc_list_get(lr, 500, &v));
	EXPECT_EQ(500, v.i);
	ASSERT_EQ(0, kipc_list_get(lr, -1, &v));
	EXPECT_STREQ(text, v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(-ERANGE, kipc_list_get(lr, 1001, &v));
	EXPECT_EQ(77, kipc_list_index(lr, kipc_int(77), 0, INT64_MAX));
	EXPECT_EQ(-ENOENT, kipc_list_index(lr, kipc_int(-1), 0, INT64_MAX));
	EXPECT_EQ(1, kipc_list_count(lr, kipc_str(text)));
	ASSERT_EQ(4, kipc_list_slice(lr, 10, 18, 2, vs, 8));
	EXPECT_EQ(16, vs[3].i);
	EXPECT_EQ(0, kipc_list_foreach(lr, sum, &total));
	EXPECT_EQ(999 * 1000 / 2, total);
	EXPECT_EQ(0, kipc_list_unref(lr));
	EXPECT_EQ(0, kipc_list_unref(lw));
}

static int count_pair(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	*(int64_t *)arg += key->i == v->i;
	return 0;
}

TEST_F(rom, dict_read)
{
	struct kipc_value v, keys[300], vs[300];
	struct kipc_dict *dw, *dr;
	int64_t pairs = 0;

	ASSERT_EQ(0, kipc_dict_create(self->w, "d", &dw));
	ASSERT_EQ(0, kipc_dict_open(self->r, "d", &dr));
	EXPECT_EQ(0, kipc_dict_len(dr));
	for (int i = 0; i < 300; i++)
		ASSERT_EQ(0, kipc_dict_set(dw, kipc_int(i), kipc_int(i)));
	EXPECT_EQ(300, kipc_dict_len(dr));
	ASSERT_EQ(0, kipc_dict_get(dr, kipc_int(123), &v));
	EXPECT_EQ(123, v.i);
	EXPECT_EQ(-ENOENT, kipc_dict_get(dr, kipc_int(300), &v));
	EXPECT_EQ(1, kipc_dict_contains(dr, kipc_int(7)));
	EXPECT_EQ(0, kipc_dict_contains(dr, kipc_str("7")));
	EXPECT_EQ(300, kipc_dict_keys(dr, keys, 300));
	EXPECT_EQ(300, kipc_dict_items(dr, keys, vs, 300));
	EXPECT_EQ(300, kipc_dict_keys(dr, NULL, 0));
	EXPECT_EQ(0, kipc_dict_foreach(dr, count_pair, &pairs));
	EXPECT_EQ(300, pairs);
	EXPECT_EQ(0, kipc_dict_unref(dr));
	EXPECT_EQ(0, kipc_dict_unref(dw));
}

TEST_F(rom, nothing_is_written)
{
	struct kipc_manager_stat before = { .sz = sizeof(before) }, st = { .sz = sizeof(st) };
	struct kipc_value v = kipc_none(), one = kipc_int(1);
	struct kipc_rlock *rl, *none_rl;
	struct kipc_lock *lk, *none_lk;
	struct kipc_list *lw, *l, *none;
	struct kipc_dict *dw, *d;

	ASSERT_EQ(0, kipc_list_create(self->w, "l", &lw));
	ASSERT_EQ(0, kipc_list_append(lw, kipc_int(7)));
	ASSERT_EQ(0, kipc_dict_create(self->w, "d", &dw));
	ASSERT_EQ(0, kipc_lock_create(self->w, "lock", &none_lk));
	ASSERT_EQ(0, kipc_rlock_create(self->w, "rlock", &none_rl));
	ASSERT_EQ(0, kipc_manager_stat(self->w, &before));
	ASSERT_EQ(0, kipc_list_open(self->r, "l", &l));
	ASSERT_EQ(0, kipc_dict_open(self->r, "d", &d));
	ASSERT_EQ(0, kipc_lock_open(self->r, "lock", &lk));
	ASSERT_EQ(0, kipc_rlock_open(self->r, "rlock", &rl));
	EXPECT_EQ(-EINVAL, kipc_list_open(self->r, "d", &none));
	EXPECT_EQ(-EACCES, kipc_list_create(self->r, NULL, &none));
	EXPECT_EQ(-EACCES, kipc_list_create(self->r, "new", &none));
	EXPECT_EQ(-EACCES, kipc_manager_remove(self->r, "l"));
	EXPECT_EQ(-EACCES, kipc_list_append(l, one));
	EXPECT_EQ(-EACCES, kipc_list_extend(l, &one, 1));
	EXPECT_EQ(-EACCES, kipc_list_insert(l, 0, one));
	EXPECT_EQ(-EACCES, kipc_list_set(l, 0, one));
	EXPECT_EQ(-EACCES, kipc_list_pop(l, 0, &v));
	EXPECT_EQ(-EACCES, kipc_list_remove(l, kipc_int(7)));
	EXPECT_EQ(-EACCES, kipc_list_reverse(l));
	EXPECT_EQ(-EACCES, kipc_list_sort(l));
	EXPECT_EQ(-EACCES, kipc_list_clear(l));
	EXPECT_EQ(-EACCES, kipc_dict_set(d, one, one));
	EXPECT_EQ(-EACCES, kipc_dict_del(d, one));
	EXPECT_EQ(-EACCES, kipc_dict_pop(d, one, &v));
	EXPECT_EQ(-EACCES, kipc_dict_setdefault(d, one, one, &v));
	EXPECT_EQ(-EACCES, kipc_dict_update(d, &one, &one, 1));
	EXPECT_EQ(-EACCES, kipc_dict_clear(d));
	EXPECT_EQ(-EACCES, kipc_lock_acquire(lk, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_lock_release(lk));
	EXPECT_EQ(-EACCES, kipc_rlock_acquire(rl, KIPC_NOWAIT));
	EXPECT_EQ(-EACCES, kipc_rlock_release(rl));
	EXPECT_EQ(0, kipc_list_unref(l));
	EXPECT_EQ(0, kipc_dict_unref(d));
	EXPECT_EQ(0, kipc_lock_unref(lk));
	EXPECT_EQ(0, kipc_rlock_unref(rl));
	ASSERT_EQ(0, kipc_manager_stat(self->r, &st));
	EXPECT_MEMEQ(&before, &st, sizeof(st));
	EXPECT_EQ(1, st.peers);
}

/* References lead a reader from object to object; none is counted. */
TEST_F(rom, refs)
{
	struct kipc_list *outer, *inner, *l;
	struct kipc_value v, copy;

	ASSERT_EQ(0, kipc_list_create(self->w, "outer", &outer));
	ASSERT_EQ(0, kipc_list_create(self->w, NULL, &inner));
	ASSERT_EQ(0, kipc_list_append(inner, kipc_int(42)));
	ASSERT_EQ(0, kipc_list_append(outer, kipc_ref(kipc_list_handle(inner))));
	ASSERT_EQ(0, kipc_list_unref(inner));
	ASSERT_EQ(0, kipc_list_open(self->r, "outer", &l));
	ASSERT_EQ(0, kipc_list_get(l, 0, &v));
	ASSERT_EQ(KIPC_REF, v.type);
	ASSERT_EQ(0, kipc_value_copy(&copy, &v));
	kipc_value_clear(&copy);
	ASSERT_EQ(0, kipc_list_from(&v, &inner));
	ASSERT_EQ(0, kipc_list_get(inner, 0, &v));
	EXPECT_EQ(42, v.i);

	/* it goes while the reader looks at it, whose handle is no reference */
	ASSERT_EQ(0, kipc_list_clear(outer));
	EXPECT_EQ(-ENOENT, kipc_list_get(inner, 0, &v));
	EXPECT_EQ(-ENOENT, kipc_list_len(inner));
	EXPECT_EQ(0, kipc_list_unref(inner));
	ASSERT_EQ(0, kipc_manager_remove(self->w, "outer"));
	ASSERT_EQ(0, kipc_list_unref(outer));
	EXPECT_EQ(-ENOENT, kipc_list_len(l));
	EXPECT_EQ(-ENOENT, kipc_list_get(l, 0, &v));
	EXPECT_EQ(0, kipc_list_unref(l));
	EXPECT_EQ(-ENOENT, kipc_list_open(self->r, "outer", &l));
}

/* A writer that stopped half-way: the reader gives up after a while, and goes on with that one. */
TEST_F(rom, a_writer_in_the_way)
{
	struct kipc_list *lw, *l;
	struct kipc_value v;
	struct kipc_guard *g;

	ASSERT_EQ(0, kipc_list_create(self->w, "l", &lw));
	ASSERT_EQ(0, kipc_list_append(lw, kipc_int(7)));
	ASSERT_EQ(0, kipc_list_open(self->r, "l", &l));
	g = &kipc_list_handle(lw)->hdr->guard;
	__kipc_guard_seq_begin(g);
	EXPECT_EQ(-ETIMEDOUT, kipc_list_get(l, 0, &v));
	__kipc_guard_seq_end(g);
	EXPECT_EQ(0, kipc_list_get(l, 0, &v));
	EXPECT_EQ(7, v.i);
	EXPECT_EQ(0, kipc_list_unref(l));
	EXPECT_EQ(0, kipc_list_unref(lw));
}

struct churn {
	struct kipc_manager *m;
	uint32_t stop;
	uint32_t rounds;
};

/* Keys 0..99 are there all the time, others come and go; buckets split and merge. */
static int change_dict(void *arg)
{
	struct churn *c = arg;
	struct kipc_dict *d;
	int r;

	r = kipc_dict_open(c->m, "d", &d);
	for (int n = 0; !r && !__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE); n++) {
		for (int i = 100; i < 2000 && !r; i++)
			r = kipc_dict_set(d, kipc_int(i), kipc_int(i));
		for (int i = 0; i < 100 && !r; i++)
			r = kipc_dict_set(d, kipc_int(i), kipc_int(i + 1000 * (n % 5)));
		for (int i = 100; i < 2000 && !r; i++)
			r = kipc_dict_del(d, kipc_int(i));
		__atomic_fetch_add(&c->rounds, 1, __ATOMIC_RELAXED);
	}
	return r ? 1 : 0;
}

struct seen {
	int n[2000];
};

static int see(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	struct seen *s = arg;

	ASSERT_EQ(KIPC_INT, key->type);
	ASSERT_TRUE(key->i >= 0 && key->i < 2000);
	ASSERT_EQ(key->i % 1000, v->i % 1000);
	s->n[key->i]++;
	return 0;
}

TEST_F(rom, dict_while_it_changes)
{
	struct churn *c = ksft_shared(sizeof(*c));
	struct kipc_dict *d;
	struct kipc_value v;
	uint32_t first;
	pid_t pid;
	int got = 0, all = 0;

	c->m = self->w;
	ASSERT_EQ(0, kipc_dict_create(self->w, "d", &d));
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, kipc_dict_set(d, kipc_int(i), kipc_int(i)));
	ASSERT_EQ(0, kipc_dict_unref(d));
	ASSERT_EQ(0, kipc_dict_open(self->r, "d", &d));
	pid = ksft_fork(change_dict, c);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&c->rounds, __ATOMIC_RELAXED) > 0, 10000));
	first = c->rounds;
	while (__atomic_load_n(&c->rounds, __ATOMIC_RELAXED) < first + (ksft_slow() ? 20 : 100)) {
		struct seen s = { 0 };
		int r;

		for (int i = 0; i < 100; i++) {
			/* a busy machine may keep us from ever seeing it stand still */
			r = kipc_dict_get(d, kipc_int(i), &v);
			ASSERT_TRUE(!r || r == -ETIMEDOUT);
			if (!r) {
				ASSERT_EQ(i, v.i % 1000);
				got++;
			}
		}
		r = kipc_dict_foreach(d, see, &s);
		ASSERT_TRUE(!r || r == -ETIMEDOUT);
		for (int i = 0; i < 2000 && !r; i++)
			ASSERT_TRUE(i < 100 ? s.n[i] == 1 : s.n[i] <= 1);
		all += !r;
	}
	__atomic_store_n(&c->stop, 1, __ATOMIC_RELEASE);
	ksft_join(pid);
	EXPECT_GT(got, 0);
	EXPECT_GT(all, 0);
	ksft_log("%d gets, %d walks", got, all);
	EXPECT_EQ(0, kipc_dict_unref(d));
}

/* The list is always n times the same number, of some length; and now and then another list. */
static int change_list(void *arg)
{
	struct churn *c = arg;
	struct kipc_value v[600];
	struct kipc_list *l;
	int r = 0;

	for (int n = 0; !r && !__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE); n++) {
		r = kipc_list_open(c->m, "l", &l);
		if (r)
			return 1;
		for (int i = 0; i < 600; i++)
			v[i] = kipc_int(n);
		r = kipc_list_clear(l);
		if (!r)
			r = kipc_list_extend(l, v, (size_t)(1 + n % 600));
		if (!r)
			r = kipc_list_unref(l);
		if (!r && n % 16 == 0) {
			r = kipc_manager_remove(c->m, "l");
			if (!r)
				r = kipc_list_create(c->m, "l", &l);
			if (!r)
				r = kipc_list_unref(l);
		}
		__atomic_fetch_add(&c->rounds, 1, __ATOMIC_RELAXED);
	}
	return r ? 2 : 0;
}

static int all_the_same(int64_t index, struct kipc_value *v, void *arg)
{
	int64_t *first = arg;

	ASSERT_EQ(KIPC_INT, v->type);
	if (!index)
		*first = v->i;
	ASSERT_EQ(*first, v->i);
	return 0;
}

TEST_F(rom, list_while_it_comes_and_goes)
{
	struct churn *c = ksft_shared(sizeof(*c));
	struct kipc_list *l;
	int whole = 0, gone = 0;
	pid_t pid;

	c->m = self->w;
	ASSERT_EQ(0, kipc_list_create(self->w, "l", &l));
	ASSERT_EQ(0, kipc_list_unref(l));
	pid = ksft_fork(change_list, c);
	while (__atomic_load_n(&c->rounds, __ATOMIC_RELAXED) < (ksft_slow() ? 300 : 3000)) {
		int64_t first = 0;
		int r = kipc_list_open(self->r, "l", &l);

		if (r == -ENOENT || r == -ETIMEDOUT)
			continue;	/* between remove and create */
		ASSERT_EQ(0, r);
		r = kipc_list_foreach(l, all_the_same, &first);
		ASSERT_TRUE(!r || r == -ENOENT || r == -ETIMEDOUT);
		whole += !r;
		gone += r == -ENOENT;
		EXPECT_EQ(0, kipc_list_unref(l));
	}
	__atomic_store_n(&c->stop, 1, __ATOMIC_RELEASE);
	ksft_join(pid);
	EXPECT_GT(whole, 0);
	ksft_log("%d whole, %d gone", whole, gone);
}

TEST_HARNESS_MAIN
