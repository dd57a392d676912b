// SPDX-License-Identifier: MIT
/* Several peers on one list: nothing lost, order kept, nothing torn. */
#include <stdatomic.h>

#include "manager/list.h"
#include "model.h"

#define PEERS	4

FIXTURE(peers) {
	struct kipc_manager *m;
	struct kipc_list *l;
};

FIXTURE_VARIANT(peers) {
	enum ksft_peer_kind kind;
};

FIXTURE_VARIANT_ADD(peers, threads) { .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(peers, processes) { .kind = KSFT_PROCESS };

FIXTURE_SETUP(peers)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_list_create(self->m, NULL, &self->l));
}

FIXTURE_TEARDOWN(peers)
{
	step_audit(self->m);
	kipc_list_unref(self->l);
	step_audit(self->m);
	kipc_manager_close(self->m);
}

struct job {
	struct kipc_list *l;
	uint64_t id, n;
	_Atomic uint64_t *done;		/* jobs that have ended; in shared pages */
	_Atomic uint64_t *seen;
};

static int append(void *arg)
{
	struct job *job = arg;
	char text[32];
	int r = 0;

	/* ints, and every eighth a str that needs a block */
	for (uint64_t i = 0; i < job->n && !r; i++) {
		uint64_t n = job->id << 32 | i;

		snprintf(text, sizeof(text), "element %020lu", (unsigned long)n);
		r = kipc_list_append(job->l, i % 8 ? kipc_int((int64_t)n) : kipc_str(text));
	}
	atomic_fetch_add(job->done, 1);
	return r;
}

static uint64_t number_of(const struct kipc_value *v)
{
	return v->type == KIPC_INT ? (uint64_t)v->i : strtoull(v->str + 8, NULL, 10);
}

TEST_F(peers, appends_are_all_there_in_order)
{
	uint64_t n = ksft_slow() ? 2000 : 10000, next[PEERS] = { 0 };
	_Atomic uint64_t *done = ksft_shared(4096);
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];
	struct kipc_value v;

	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .l = self->l, .id = i, .n = n, .done = done };
		ksft_peer_start(&peer[i], variant->kind, append, &job[i]);
	}
	/* read along: what is there is whole, and each one's numbers come in order */
	while (atomic_load(done) < PEERS) {
		int64_t len = kipc_list_len(self->l);

		for (int64_t i = len > 8 ? len - 8 : 0; i < len; i++) {
			ASSERT_EQ(0, kipc_list_get(self->l, i, &v));
			ASSERT_LT(number_of(&v) >> 32, PEERS);
			kipc_value_clear(&v);
		}
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	ASSERT_EQ(PEERS * n, kipc_list_len(self->l));
	for (uint64_t i = 0; i < PEERS * n; i++) {
		uint64_t number;

		ASSERT_EQ(0, kipc_list_get(self->l, (int64_t)i, &v));
		number = number_of(&v);
		ASSERT_LT(number >> 32, PEERS);
		ASSERT_EQ(next[number >> 32]++, number & 0xffffffff);
		kipc_value_clear(&v);
	}
}

/* Ops that keep every value whole, and the number of elements a multiple of 8. */
static int churn(void *arg)
{
	struct job *job = arg;
	uint64_t seed = job->id + 77;
	int r = 0;

	for (uint64_t i = 0; i < job->n && !r; i++) {
		struct value_buf buf;
		int64_t len = kipc_list_len(job->l);

		switch (rnd_below(&seed, 12)) {
		case 0:
		case 1:
		case 2:
			if (len < 1200)
				r = list_extend(job->l, rnd_below(&seed, 100000), 8);
			break;
		case 3:
			r = kipc_list_reverse(job->l);
			break;
		case 4:
			r = kipc_list_sort(job->l);
			break;
		case 5:
			r = len > 1000 ? kipc_list_clear(job->l) : 0;
			break;
		default:
			r = kipc_list_set(job->l, (int64_t)rnd_below(&seed, (uint64_t)len + 1),
					  value_of(rnd_below(&seed, 100000), &buf));
			if (r == -ERANGE)
				r = 0;
		}
	}
	atomic_fetch_add(job->done, 1);
	return r;
}

static int check_one(int64_t index, struct kipc_value *v, void *arg)
{
	uint64_t *n = arg;

	++*n;
	EXPECT_NE(UINT64_MAX, value_number(v));
	return index + 1 != (int64_t)*n;
}

static int read_all(void *arg)
{
	struct kipc_value v[100];
	struct job *job = arg;
	uint64_t seed = job->id + 5, n;
	int64_t r;

	do {
		int64_t len = kipc_list_len(job->l), from;

		if (!EXPECT_EQ(0, len % 8))
			return 1;
		r = kipc_list_get(job->l, (int64_t)rnd_below(&seed, (uint64_t)len + 1), &v[0]);
		if (!r) {
			EXPECT_NE(UINT64_MAX, value_number(&v[0]));
			kipc_value_clear(&v[0]);
		} else if (!EXPECT_EQ(-ERANGE, r)) {
			return 1;
		}
		from = (int64_t)rnd_below(&seed, 500);
		r = kipc_list_slice(job->l, from, from + 100, 1, v, 100);
		if (!EXPECT_GE(r, 0))
			return 1;
		for (int64_t i = 0; i < r; i++) {
			EXPECT_NE(UINT64_MAX, value_number(&v[i]));
			kipc_value_clear(&v[i]);
		}
		n = 0;
		if (!EXPECT_EQ(0, kipc_list_foreach(job->l, check_one, &n)) ||
		    !EXPECT_EQ(0, n % 8))
			return 1;
		atomic_fetch_add(job->seen, n);
	} while (atomic_load(job->done) < 2);
	return 0;
}

TEST_F(peers, readers_see_nothing_torn)
{
	_Atomic uint64_t *shared = ksft_shared(4096);
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];

	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .l = self->l, .id = i, .n = ksft_slow() ? 150 : 700,
				       .done = shared, .seen = shared + 1 };
		ksft_peer_start(&peer[i], variant->kind, i < 2 ? churn : read_all, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	ksft_log("%lu elements read", (unsigned long)atomic_load(shared + 1));
}

static int produce(void *arg)
{
	struct job *job = arg;
	int r = 0;

	for (uint64_t i = 0; i < job->n && !r; i++)
		r = i % 3 ? kipc_list_append(job->l, kipc_int((int64_t)(job->id * job->n + i))) :
			    kipc_list_insert(job->l, (int64_t)(i % 50),
					     kipc_int((int64_t)(job->id * job->n + i)));
	atomic_fetch_add(job->done, 1);
	return r;
}

/* Takes from either end until nothing comes any more. */
static int consume(void *arg)
{
	struct job *job = arg;
	struct kipc_value v;
	int r;

	for (uint64_t i = 0;; i++) {
		bool last = atomic_load(job->done) == 2;

		r = kipc_list_pop(job->l, i % 2 ? -1 : 0, &v);
		if (!r)
			atomic_fetch_add(&job->seen[v.i], 1);
		else if (!EXPECT_EQ(-ERANGE, r) || last)
			break;
	}
	return r == -ERANGE ? 0 : r;
}

TEST_F(peers, each_element_is_popped_once)
{
	uint64_t n = ksft_slow() ? 1000 : 4000;
	_Atomic uint64_t *shared = ksft_shared((2 * n + 1) * sizeof(*shared));
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];

	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .l = self->l, .id = i, .n = n, .done = shared,
				       .seen = shared + 1 };
		ksft_peer_start(&peer[i], variant->kind, i < 2 ? produce : consume, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	EXPECT_EQ(0, kipc_list_len(self->l));
	for (uint64_t i = 0; i < 2 * n; i++)
		ASSERT_EQ(1, atomic_load(&shared[1 + i]));
}

/* ---- fork ---- */

struct use {
	struct kipc_list *l;
	_Atomic int stop;
};

static int keep_appending(void *arg)
{
	struct use *use = arg;
	int r = 0;

	while (!r && !atomic_load(&use->stop)) {
		r = kipc_list_append(use->l, kipc_int(1));
		if (!r)
			r = kipc_list_pop(use->l, 0, NULL);
	}
	return r;
}

static int in_child(void *arg)
{
	struct kipc_list *l = arg;
	struct kipc_value v;

	for (int i = 0; i < 20; i++) {
		int r = kipc_list_append(l, kipc_str("from a child, in a block"));

		if (!r)
			r = kipc_list_get(l, 0, &v);
		if (r)
			return r;
		kipc_value_clear(&v);
	}
	return 0;
}

TEST(fork_while_threads_use_it)
{
	struct ksft_thread thread;
	struct kipc_manager *m;
	struct use use = { 0 };
	pid_t pid[20];

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, NULL, &use.l));
	ASSERT_EQ(0, kipc_list_append(use.l, kipc_int(0)));
	ksft_thread_start(&thread, keep_appending, &use);
	for (int i = 0; i < 20; i++)
		pid[i] = ksft_fork(in_child, use.l);
	for (int i = 0; i < 20; i++)
		ksft_join(pid[i]);
	atomic_store(&use.stop, 1);
	ksft_thread_join(&thread);
	EXPECT_EQ(1 + 20 * 20, kipc_list_len(use.l));
	step_audit(m);
	EXPECT_EQ(0, kipc_list_unref(use.l));
	kipc_manager_close(m);
}

/* A grandchild, and handles made in one process that another knows by a value. */
static int nested_child(void *arg)
{
	struct kipc_list *l = arg, *inner;
	struct kipc_value v;
	int r;

	r = kipc_list_get(l, 0, &v);
	if (!r)
		r = kipc_list_from(&v, &inner);
	if (!r)
		r = kipc_list_append(inner, kipc_str("a grandchild was here"));
	return r ? r : kipc_list_unref(inner);
}

static int make_nested(void *arg)
{
	struct kipc_list *l = arg, *inner;
	int r;

	r = kipc_list_create(l->h.m, NULL, &inner);
	if (!r)
		r = kipc_list_append(l, kipc_ref(kipc_list_handle(inner)));
	if (r)
		return r;
	ksft_join(ksft_fork(nested_child, l));
	/* and it ends without closing anything */
	return kipc_list_len(inner) != 1;
}

TEST(what_a_child_made_outlives_it)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_manager *m;
	struct kipc_list *l, *inner;
	struct kipc_value v;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, NULL, &l));
	ksft_join(ksft_fork(make_nested, l));
	ASSERT_EQ(0, kipc_list_get(l, 0, &v));
	ASSERT_EQ(0, kipc_list_from(&v, &inner));
	ASSERT_EQ(0, kipc_list_get(inner, -1, &v));
	EXPECT_STREQ("a grandchild was here", v.str);
	kipc_value_clear(&v);
	EXPECT_EQ(0, kipc_list_unref(inner));
	ASSERT_EQ(0, kipc_manager_stat(m, &st));
	EXPECT_EQ(2, st.objects);
	ASSERT_EQ(0, kipc_list_clear(l));
	ASSERT_EQ(0, kipc_manager_stat(m, &st));
	EXPECT_EQ(1, st.objects);
	step_audit(m);
	EXPECT_EQ(0, kipc_list_unref(l));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
