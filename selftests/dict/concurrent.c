// SPDX-License-Identifier: MIT
/* Several peers on one dict: nothing lost, nothing torn, nothing missing while the table moves. */
#include <stdatomic.h>

#include "model.h"

#define PEERS	4

FIXTURE(peers) {
	struct kipc_manager *m;
	struct kipc_dict *d;
};

FIXTURE_VARIANT(peers) {
	enum ksft_peer_kind kind;
};

FIXTURE_VARIANT_ADD(peers, threads) { .kind = KSFT_THREAD };
FIXTURE_VARIANT_ADD(peers, processes) { .kind = KSFT_PROCESS };

FIXTURE_SETUP(peers)
{
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &self->m));
	ASSERT_EQ(0, kipc_dict_create(self->m, NULL, &self->d));
}

FIXTURE_TEARDOWN(peers)
{
	step_audit(self->m);
	kipc_dict_unref(self->d);
	step_audit(self->m);
	kipc_manager_close(self->m);
}

struct job {
	struct kipc_dict *d;
	uint64_t id, n;
	_Atomic uint64_t *done;		/* jobs that have ended; in shared pages */
	_Atomic uint64_t *seen;
};

/* ---- keys of its own for each ---- */

static int own_keys(void *arg)
{
	struct job *job = arg;
	struct value_buf buf;
	struct kipc_value v;
	int r = 0;

	for (uint64_t i = 0; i < job->n && !r; i++) {
		int64_t k = (int64_t)(job->id << 32 | i);

		r = kipc_dict_set(job->d, kipc_int(k), value_of(i, &buf));
		/* every third goes, and what it was is what it was */
		if (!r && i % 3 == 2) {
			k -= 1;
			r = kipc_dict_pop(job->d, kipc_int(k), &v);
			if (!r) {
				EXPECT_EQ(i - 1, value_number(&v));
				kipc_value_clear(&v);
			}
		}
		if (!r && i % 2) {
			r = kipc_dict_get(job->d, kipc_int((int64_t)(job->id << 32 | i)), &v);
			if (!r) {
				EXPECT_EQ(i, value_number(&v));
				kipc_value_clear(&v);
			}
		}
	}
	return r;
}

TEST_F(peers, keys_of_their_own)
{
	uint64_t n = ksft_slow() ? 600 : 6000, there = 0;
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];
	struct kipc_value v;

	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .d = self->d, .id = i, .n = n };
		ksft_peer_start(&peer[i], variant->kind, own_keys, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	for (uint64_t p = 0; p < PEERS; p++) {
		for (uint64_t i = 0; i < n; i++) {
			int r = kipc_dict_get(self->d, kipc_int((int64_t)(p << 32 | i)), &v);

			if (i % 3 == 1) {
				ASSERT_EQ(-ENOENT, r);
				continue;
			}
			ASSERT_EQ(0, r);
			ASSERT_EQ(i, value_number(&v));
			kipc_value_clear(&v);
			there++;
		}
	}
	EXPECT_EQ(there, kipc_dict_len(self->d));
}

/* ---- the same keys for all ---- */

static int same_keys(void *arg)
{
	struct job *job = arg;
	uint64_t seed = job->id + 11;
	struct value_buf *buf = malloc(sizeof(*buf));
	struct key_buf kbuf;
	struct kipc_value v;
	int r = 0;

	for (uint64_t i = 0; i < job->n && !r; i++) {
		struct kipc_value k = key_of((uint32_t)rnd_below(&seed, 40), &kbuf);
		bool got = false;

		switch (rnd_below(&seed, 6)) {
		case 0:
		case 1:
			r = kipc_dict_set(job->d, k, value_of(rnd_below(&seed, 100000), buf));
			break;
		case 2:
			r = kipc_dict_del(job->d, k);
			break;
		case 3:
			r = kipc_dict_pop(job->d, k, &v);
			got = !r;
			break;
		case 4:
			r = kipc_dict_setdefault(job->d, k, value_of(rnd_below(&seed, 100000), buf),
						 &v);
			got = r >= 0;
			r = r > 0 ? 0 : r;
			break;
		case 5:
			r = kipc_dict_get(job->d, k, &v);
			got = !r;
			break;
		}
		if (r == -ENOENT)
			r = 0;
		if (got) {
			EXPECT_NE(UINT64_MAX, value_number(&v));
			kipc_value_clear(&v);
		}
	}
	free(buf);
	return r;
}

TEST_F(peers, the_same_keys)
{
	uint64_t n = ksft_slow() ? 1000 : 8000;
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];
	int64_t there = 0;

	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .d = self->d, .id = i, .n = n };
		ksft_peer_start(&peer[i], variant->kind, same_keys, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	for (uint32_t i = 0; i < 40; i++) {
		uint64_t number = dict_number(self->d, i);

		EXPECT_NE(UINT64_MAX, number);
		there += number != 0;
	}
	EXPECT_EQ(there, kipc_dict_len(self->d));
}

/* setdefault() has one winner; all get what that one stored. */
static int claim(void *arg)
{
	struct job *job = arg;
	struct kipc_value v;

	for (uint64_t i = 0; i < job->n; i++) {
		int r = kipc_dict_setdefault(job->d, kipc_int((int64_t)i),
					     kipc_int((int64_t)job->id), &v);

		if (r < 0)
			return r;
		EXPECT_EQ(r == 1, (uint64_t)v.i == job->id);
		if (r == 1)
			atomic_fetch_add(&job->seen[i], 1);
	}
	return 0;
}

TEST_F(peers, setdefault_has_one_winner)
{
	uint64_t n = ksft_slow() ? 500 : 3000;
	_Atomic uint64_t *shared = ksft_shared(n * sizeof(*shared));
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];

	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .d = self->d, .id = i, .n = n, .seen = shared };
		ksft_peer_start(&peer[i], variant->kind, claim, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	for (uint64_t i = 0; i < n; i++)
		ASSERT_EQ(1, atomic_load(&shared[i]));
	EXPECT_EQ(n, kipc_dict_len(self->d));
}

/* ---- what stays is always found, while the table grows and shrinks around it ---- */

#define STAYING	200

static int grow_and_shrink(void *arg)
{
	struct job *job = arg;
	struct value_buf buf;
	int r = 0;

	for (int round = 0; round < 3 && !r; round++) {
		for (uint64_t i = 0; i < job->n && !r; i++)
			r = kipc_dict_set(job->d, kipc_int((int64_t)(job->id << 32 | i)),
					  kipc_int(9));
		/* those that stay get other values meanwhile */
		for (uint32_t i = 0; i < STAYING && !r; i++)
			r = kipc_dict_set(job->d, kipc_int(-1 - (int64_t)i),
					  value_of(1000 * (uint64_t)round + i, &buf));
		for (uint64_t i = 0; i < job->n && !r; i++)
			r = kipc_dict_del(job->d, kipc_int((int64_t)(job->id << 32 | i)));
	}
	atomic_fetch_add(job->done, 1);
	return r;
}

static int count_staying(struct kipc_value *key, struct kipc_value *v, void *arg)
{
	uint64_t *n = arg;

	EXPECT_NE(UINT64_MAX, value_number(v));
	*n += key->i < 0;
	return 0;
}

static int look_for_staying(void *arg)
{
	struct job *job = arg;
	uint64_t seed = job->id + 3, n;
	struct kipc_value v;

	while (atomic_load(job->done) < 2) {
		for (int i = 0; i < 500; i++) {
			int64_t k = -1 - (int64_t)rnd_below(&seed, STAYING);

			if (!EXPECT_EQ(0, kipc_dict_get(job->d, kipc_int(k), &v)))
				return 1;
			n = value_number(&v);
			kipc_value_clear(&v);
			if (!EXPECT_EQ((uint64_t)(-1 - k), n % 1000))
				return 1;
			/* and what never was there is never found */
			if (!EXPECT_EQ(-ENOENT, kipc_dict_get(job->d, kipc_int(k - STAYING), &v)))
				return 1;
		}
		n = 0;
		if (!EXPECT_EQ(0, kipc_dict_foreach(job->d, count_staying, &n)) ||
		    !EXPECT_EQ(STAYING, n))
			return 1;
		atomic_fetch_add(job->seen, 500);
	}
	return 0;
}

TEST_F(peers, what_stays_is_found_while_the_table_moves)
{
	_Atomic uint64_t *shared = ksft_shared(4096);
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];
	struct value_buf buf;

	for (uint32_t i = 0; i < STAYING; i++)
		ASSERT_EQ(0, kipc_dict_set(self->d, kipc_int(-1 - (int64_t)i), value_of(i, &buf)));
	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .d = self->d, .id = i, .n = ksft_slow() ? 1500 : 8000,
				       .done = shared, .seen = shared + 1 };
		ksft_peer_start(&peer[i], variant->kind,
				i < 2 ? grow_and_shrink : look_for_staying, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	ksft_log("%lu look-ups", (unsigned long)atomic_load(shared + 1));
	EXPECT_EQ(STAYING, kipc_dict_len(self->d));
}

/* ---- clear() beside everything else ---- */

static int clear_often(void *arg)
{
	struct job *job = arg;
	int r = 0;

	for (uint64_t i = 0; i < job->n / 50 && !r; i++)
		r = kipc_dict_clear(job->d);
	return r;
}

TEST_F(peers, clear_beside_writers)
{
	uint64_t n = ksft_slow() ? 1000 : 6000;
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];

	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .d = self->d, .id = i, .n = n };
		ksft_peer_start(&peer[i], variant->kind, i ? same_keys : clear_often, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	EXPECT_EQ(0, kipc_dict_clear(self->d));
	EXPECT_EQ(0, kipc_dict_len(self->d));
}

/* ---- refs that come and go under readers ---- */

static int replace_refs(void *arg)
{
	struct job *job = arg;
	struct kipc_dict *inner;
	int r = 0;

	for (uint64_t i = 0; i < job->n && !r; i++) {
		r = kipc_dict_create(job->d->h.m, NULL, &inner);
		if (!r)
			r = kipc_dict_set(inner, kipc_str("me"), kipc_int((int64_t)i));
		if (!r)
			r = kipc_dict_set(job->d, kipc_str("ref"),
					  kipc_ref(kipc_dict_handle(inner)));
		if (!r)
			r = kipc_dict_unref(inner);
	}
	atomic_fetch_add(job->done, 1);
	return r;
}

static int follow_refs(void *arg)
{
	struct job *job = arg;
	struct kipc_dict *inner;
	struct kipc_value v;
	int r = 0;

	while (!r && !atomic_load(job->done)) {
		r = kipc_dict_get(job->d, kipc_str("ref"), &v);
		if (!r)
			r = kipc_dict_from(&v, &inner);
		if (!r)
			r = kipc_dict_get(inner, kipc_str("me"), &v);
		if (!r)
			r = kipc_dict_unref(inner);
	}
	return r;
}

TEST_F(peers, refs_are_replaced_under_readers)
{
	_Atomic uint64_t *shared = ksft_shared(4096);
	struct ksft_peer peer[PEERS];
	struct job job[PEERS];
	struct kipc_dict *inner;

	ASSERT_EQ(0, kipc_dict_create(self->m, NULL, &inner));
	ASSERT_EQ(0, kipc_dict_set(inner, kipc_str("me"), kipc_int(0)));
	ASSERT_EQ(0, kipc_dict_set(self->d, kipc_str("ref"), kipc_ref(kipc_dict_handle(inner))));
	ASSERT_EQ(0, kipc_dict_unref(inner));
	for (uint64_t i = 0; i < PEERS; i++) {
		job[i] = (struct job){ .d = self->d, .id = i, .n = ksft_slow() ? 100 : 1000,
				       .done = shared };
		ksft_peer_start(&peer[i], variant->kind, i ? follow_refs : replace_refs, &job[i]);
	}
	for (int i = 0; i < PEERS; i++)
		ksft_peer_join(&peer[i]);
	EXPECT_EQ(1, kipc_dict_len(self->d));
}

/* ---- fork ---- */

struct use {
	struct kipc_dict *d;
	_Atomic int stop;
};

static int keep_setting(void *arg)
{
	struct use *use = arg;
	int r = 0;

	for (int64_t i = 0; !r && !atomic_load(&use->stop); i++)
		r = kipc_dict_set(use->d, kipc_int(-1 - i % 100),
				  kipc_str("of the parent's thread"));
	return r;
}

struct child {
	struct kipc_dict *d;
	int64_t id;
};

static int in_child(void *arg)
{
	struct child *c = arg;
	int r = 0;

	for (int64_t i = 0; i < 20 && !r; i++)
		r = kipc_dict_set(c->d, kipc_int(c->id * 100 + i), kipc_str("of a child"));
	return r;
}

TEST(fork_while_threads_use_it)
{
	struct ksft_thread thread;
	struct kipc_manager *m;
	struct use use = { 0 };
	struct child child[20];
	pid_t pid[20];
	int n = 0;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	ASSERT_EQ(0, kipc_dict_create(m, NULL, &use.d));
	ksft_thread_start(&thread, keep_setting, &use);
	for (int i = 0; i < 20; i++) {
		child[i] = (struct child){ use.d, i };
		pid[i] = ksft_fork(in_child, &child[i]);
	}
	for (int i = 0; i < 20; i++)
		ksft_join(pid[i]);
	atomic_store(&use.stop, 1);
	ksft_thread_join(&thread);
	for (int i = 0; i < 2000; i++)
		n += kipc_dict_contains(use.d, kipc_int(i));
	EXPECT_EQ(20 * 20, n);
	step_audit(m);
	EXPECT_EQ(0, kipc_dict_unref(use.d));
	kipc_manager_close(m);
}

TEST_HARNESS_MAIN
