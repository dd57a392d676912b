// SPDX-License-Identifier: MIT
/*
 * Writers are killed in the middle of whatever they do, hundreds of times; the list is old or new,
 * the survivors go on, and no block is lost.
 */
#include <stdatomic.h>

#include "model.h"

/*
 * What a writer says of itself, in shared pages: while `begun` is odd, the list is one of the
 * models.
 */
struct journal {
	_Atomic uint64_t begun, done;
	_Atomic uint32_t cur;		/* the model that holds while `begun` is even */
	struct model models[2];
	struct op op;
	uint64_t seed;
};

struct test {
	struct kipc_manager *m;
	struct kipc_list *l, *other;
	struct journal *journal;
	_Atomic uint64_t *stop, *appended, *torn;
};

static int write_ops(void *arg)
{
	struct test *t = arg;
	struct journal *j = t->journal;

	for (;;) {
		uint32_t cur = atomic_load(&j->cur);
		struct result want, got;

		j->op = op_random(&j->seed, &j->models[cur], 3000, 400, OP_CHANGING);
		j->models[!cur] = j->models[cur];
		want = model_apply(&j->models[!cur], &j->op);
		atomic_fetch_add(&j->begun, 1);
		got = list_apply(t->l, &j->op);
		if (want.r != got.r || want.number != got.number)
			return 1;
		atomic_store(&j->cur, !cur);
		atomic_fetch_add(&j->begun, 1);
	}
}

/*
 * A survivor that shares the arena, and reads the list that the others die over.
 */
static int survive(void *arg)
{
	struct test *t = arg;
	struct kipc_value v[64];
	uint64_t n = 0;
	int r = 0;

	while (!r && !atomic_load(t->stop)) {
		int64_t len;

		r = kipc_list_append(t->other, kipc_str("a survivor's element, in a block"));
		if (r)
			break;
		n++;
		len = kipc_list_slice(t->l, 0, 64, 1, v, 64);
		if (len < 0)
			return (int)len;
		for (int64_t i = 0; i < len && i < 64; i++) {
			if (value_number(&v[i]) == UINT64_MAX)
				atomic_fetch_add(t->torn, 1);
			kipc_value_clear(&v[i]);
		}
		if (n % 64 == 0)
			r = kipc_list_set(t->other, (int64_t)(n / 2), kipc_int(1));
	}
	atomic_store(t->appended, n);
	return r;
}

TEST_TIMEOUT(writers_are_killed, 60)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct value_buf buf;
	struct test t = { 0 };
	int kills = ksft_slow() ? 40 : 250, in_flight = 0, was_new = 0;
	uint64_t seed = 4711;
	_Atomic uint64_t *shared;
	pid_t survivor;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &t.m));
	ASSERT_EQ(0, kipc_list_create(t.m, NULL, &t.l));
	ASSERT_EQ(0, kipc_list_create(t.m, NULL, &t.other));
	t.journal = ksft_shared(sizeof(*t.journal));
	shared = ksft_shared(4096);
	t.stop = shared;
	t.appended = shared + 1;
	t.torn = shared + 2;
	t.journal->seed = 99;
	for (uint64_t i = 0; i < 200; i++) {
		t.journal->models[0].n[i] = i;
		ASSERT_EQ(0, kipc_list_append(t.l, value_of(i, &buf)));
	}
	t.journal->models[0].len = 200;
	survivor = ksft_fork(survive, &t);
	for (int i = 0; i < kills; i++) {
		struct journal *j = t.journal;
		uint64_t from = atomic_load(&j->begun), ops = rnd_below(&seed, 40);
		pid_t pid = ksft_fork(write_ops, &t);
		bool is_old, is_new;
		uint32_t cur;
		int status;

		/* somewhere behind a number of operations */
		ksft_wait_for(atomic_load(&j->begun) >= from + 2 * ops + 1, 10000);
		for (uint64_t spin = rnd_below(&seed, 20000); spin; spin--)
			__asm__ __volatile__("");
		status = ksft_kill(pid);
		ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		/* the dead are found by a sweep, or by who waits for their locks */
		if (i % 4)
			ASSERT_EQ(0, kipc_manager_stat(t.m, &st));
		/* what was decided but not made yet, the next writer makes */
		EXPECT_EQ(-ERANGE, kipc_list_set(t.l, INT64_MAX, kipc_none()));
		cur = atomic_load(&j->cur);
		is_old = list_is(t.l, &j->models[cur]);
		if (atomic_load(&j->begun) % 2) {
			in_flight++;
			is_new = list_is(t.l, &j->models[!cur]);
			if (!EXPECT_TRUE(is_old || is_new)) {
				ksft_log("kill %d, operation %d at %ld", i, j->op.kind,
					 (long)j->op.index);
				break;
			}
			was_new += is_new && !is_old;
			atomic_store(&j->cur, is_old ? cur : !cur);
			atomic_fetch_add(&j->begun, 1);
		} else if (!EXPECT_TRUE(is_old)) {
			ksft_log("kill %d, between operations", i);
			break;
		}
		if (i % 10 == 0 && !step_audit(t.m)) {
			ksft_log("kill %d", i);
			break;
		}
	}
	atomic_store(t.stop, 1);
	ksft_join(survivor);
	ksft_log("%d kills in an operation, %d of them after it had happened", in_flight, was_new);
	EXPECT_EQ(0, atomic_load(t.torn));
	EXPECT_EQ(atomic_load(t.appended), kipc_list_len(t.other));
	EXPECT_GT(in_flight, kills / 10);
	step_audit(t.m);
	EXPECT_EQ(0, kipc_list_unref(t.l));
	EXPECT_EQ(0, kipc_list_unref(t.other));
	step_audit(t.m);
	kipc_manager_close(t.m);
}

/* ---- appends alone: what returned is there, in order, once ---- */

static int append_numbers(void *arg)
{
	struct test *t = arg;
	struct value_buf buf;
	int r = 0;

	while (!r) {
		uint64_t n = atomic_load(&t->journal->begun) + 1;

		atomic_store(&t->journal->begun, n);
		r = kipc_list_append(t->l, value_of(n, &buf));
		if (!r)
			atomic_store(&t->journal->done, n);
	}
	return r;
}

TEST(appends_that_returned_are_there)
{
	struct test t = { 0 };
	int kills = ksft_slow() ? 20 : 100;
	uint64_t expect = 1;
	struct kipc_value v;
	int64_t len = 0;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &t.m));
	ASSERT_EQ(0, kipc_list_create(t.m, NULL, &t.l));
	t.journal = ksft_shared(sizeof(*t.journal));
	for (int i = 0; i < kills; i++) {
		uint64_t from = atomic_load(&t.journal->begun), done;
		pid_t pid = ksft_fork(append_numbers, &t);
		int64_t now;

		ksft_wait_for(atomic_load(&t.journal->begun) > from + 20, 10000);
		ksft_kill(pid);
		done = atomic_load(&t.journal->done);
		now = kipc_list_len(t.l);
		for (; len < now; len++) {
			uint64_t n;

			ASSERT_EQ(0, kipc_list_get(t.l, len, &v));
			n = value_number(&v);
			kipc_value_clear(&v);
			/* one that was not reported may be missing, where a writer died */
			if (n != expect && n == expect + 1)
				expect++;
			ASSERT_EQ(expect, n);
			expect++;
		}
		ASSERT_GT(expect, done);
		ASSERT_LE(expect, atomic_load(&t.journal->begun) + 1);
		if (len > 100000)
			break;
	}
	step_audit(t.m);
	EXPECT_EQ(0, kipc_list_unref(t.l));
	step_audit(t.m);
	kipc_manager_close(t.m);
}

/* ---- a list goes while its last user is killed ---- */

static int make_and_drop(void *arg)
{
	struct test *t = arg;
	struct kipc_list *l, *inner;
	struct value_buf buf;

	for (;;) {
		ASSERT_EQ(0, kipc_list_create(t->m, NULL, &l));
		ASSERT_EQ(0, kipc_list_create(t->m, NULL, &inner));
		for (uint64_t i = 0; i < 40; i++)
			ASSERT_EQ(0, kipc_list_append(i % 2 ? l : inner, value_of(i, &buf)));
		ASSERT_EQ(0, kipc_list_append(l, kipc_ref(kipc_list_handle(inner))));
		ASSERT_EQ(0, kipc_list_unref(inner));
		ASSERT_EQ(0, kipc_list_insert(l, 3, kipc_str("something that needs a block")));
		ASSERT_EQ(0, kipc_list_pop(l, 5, NULL));
		ASSERT_EQ(0, kipc_list_unref(l));
		atomic_fetch_add(&t->journal->done, 1);
	}
	return 0;
}

TEST(whole_lists_of_the_dead_go)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	int kills = ksft_slow() ? 20 : 120;
	struct test t = { 0 };
	uint64_t seed = 3;

	ksft_needs_processes();
	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &t.m));
	t.journal = ksft_shared(sizeof(*t.journal));
	for (int i = 0; i < kills; i++) {
		uint64_t from = atomic_load(&t.journal->done);
		pid_t pid = ksft_fork(make_and_drop, &t);

		ksft_wait_for(atomic_load(&t.journal->done) > from, 10000);
		for (uint64_t spin = rnd_below(&seed, 40000); spin; spin--)
			__asm__ __volatile__("");
		ksft_kill(pid);
		ASSERT_EQ(0, kipc_manager_stat(t.m, &st));
		if (!EXPECT_EQ(0, st.objects) || !step_audit(t.m)) {
			ksft_log("kill %d", i);
			break;
		}
	}
	kipc_manager_close(t.m);
}

TEST_HARNESS_MAIN
