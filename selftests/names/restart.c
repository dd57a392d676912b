// SPDX-License-Identifier: MIT
/*
 * kill -9 of the broker: who has objects open notices nothing, and the next broker has every name
 * whose object some process still holds.
 */
#include "names.h"

FIXTURE(restart) {
	struct names_dir dir;
};

FIXTURE_VARIANT(restart) {
	const struct names_kind *kind;
};

FIXTURE_VARIANT_ADD(restart, queue) { &queue_kind };
FIXTURE_VARIANT_ADD(restart, shm) { &shm_kind };
FIXTURE_VARIANT_ADD(restart, array) { &array_kind };
FIXTURE_VARIANT_ADD(restart, manager) { &manager_kind };

FIXTURE_SETUP(restart)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(restart)
{
	names_end(&self->dir);
}

/* The one that asks has it open itself. */
TEST_F(restart, held_by_who_asks)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *a = NULL, *b = NULL;

	ASSERT_EQ(0, k->create("thing", 0, 0, &a));
	names_kill(&self->dir);
	EXPECT_EQ(0, k->mark(a));
	ASSERT_EQ(0, k->open("thing", 0, &b));
	EXPECT_EQ(0, k->find(b));
	EXPECT_EQ(-EEXIST, k->create("thing", 0, 0, &b));
	names_kill(&self->dir);
	EXPECT_EQ(0, k->unlink("thing"));
	EXPECT_EQ(-ENOENT, k->open("thing", 0, &b));
}

/* Holds it, and never uses a name again. */
static int hold(void *arg)
{
	struct names_holder *h = arg;
	struct kipc_object *obj;

	if (h->kind->open("thing", 0, &obj))
		return 1;
	__atomic_store_n(&h->ready, 1, __ATOMIC_RELEASE);
	if (h->kind->mark(obj))
		return 2;
	for (;;)
		pause();
}

static pid_t start_holder(const struct names_kind *k, struct names_holder *h)
{
	pid_t pid;

	h->kind = k;
	pid = ksft_fork(hold, h);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE), 10000));
	return pid;
}

TEST_F(restart, held_by_another)
{
	const struct names_kind *k = variant->kind;
	struct names_holder *h = ksft_shared(sizeof(*h));
	struct kipc_object *obj = NULL;
	pid_t pid;

	ASSERT_EQ(0, k->create("thing", 0, 0, &obj));
	pid = start_holder(k, h);
	kipc_object_close(obj);
	names_kill(&self->dir);
	ASSERT_EQ(0, k->open("thing", 0, &obj));
	EXPECT_EQ(0, k->find(obj));
	kipc_object_close(obj);
	/* nobody has it any more: when the broker goes, so does the name */
	ksft_kill(pid);
	names_kill(&self->dir);
	EXPECT_EQ(-ENOENT, k->open("thing", 0, &obj));
	ASSERT_EQ(0, k->create("thing", 0, 0, &obj));
	kipc_object_close(obj);
}

/* What was unlinked stays unlinked, though somebody still has it, and comes by. */
TEST_F(restart, unlinked_is_not_revived)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *first = NULL, *second = NULL, *obj = NULL;

	ASSERT_EQ(0, k->create("thing", 0, 0, &first));
	EXPECT_EQ(0, k->unlink("thing"));
	names_kill(&self->dir);
	EXPECT_EQ(-ENOENT, k->open("thing", 0, &obj));
	ASSERT_EQ(0, k->create("thing", 0, 0, &second));
	EXPECT_EQ(0, k->mark(second));
	names_kill(&self->dir);
	ASSERT_EQ(0, k->open("thing", 0, &obj));
	EXPECT_EQ(0, k->find(obj));
}

static int is_lost(const struct kipc_name *name, void *arg)
{
	(void)arg;
	return name->lost ? 4711 : 4712;
}

TEST_F(restart, held_by_one_that_hides)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *obj = NULL;
	pid_t pid = names_hidden_holder(&self->dir, k);

	/* the name is kept for it */
	EXPECT_EQ(-EAGAIN, k->open("thing", 0, &obj));
	EXPECT_EQ(-EEXIST, k->create("thing", 0, 0, &obj));
	EXPECT_EQ(4711, kipc_names_foreach(is_lost, NULL));
	EXPECT_EQ(0, kill(pid, SIGUSR1));
	ASSERT_TRUE(ksft_wait_for(!k->open("thing", 0, &obj), 10000));
	EXPECT_EQ(4712, kipc_names_foreach(is_lost, NULL));
	EXPECT_EQ(0, k->find(obj));
	ksft_join(pid);
	kipc_object_close(obj);
}

TEST_F(restart, hidden_one_dies)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *obj = NULL;
	pid_t pid = names_hidden_holder(&self->dir, k);

	EXPECT_EQ(-EAGAIN, k->open("thing", 0, &obj));
	ksft_kill(pid);
	ASSERT_TRUE(ksft_wait_for(k->open("thing", 0, &obj) == -ENOENT, 10000));
	EXPECT_EQ(0, k->create("thing", 0, 0, &obj));
}

static int create_tied(void *arg)
{
	struct names_holder *h = arg;
	struct kipc_object *obj;

	if (h->kind->create("thing", KIPC_NAME_TIED, 0, &obj) || h->kind->mark(obj))
		return 1;
	__atomic_store_n(&h->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* The tie holds in the next broker, and in the one after it. */
TEST_F(restart, tied)
{
	const struct names_kind *k = variant->kind;
	struct names_holder *h = ksft_shared(sizeof(*h));
	struct kipc_object *obj = NULL, *none;
	pid_t pid;

	h->kind = k;
	pid = ksft_fork(create_tied, h);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE), 10000));
	names_kill(&self->dir);
	ASSERT_EQ(0, k->open("thing", 0, &obj));
	EXPECT_EQ(0, k->find(obj));
	ksft_kill(pid);
	ASSERT_TRUE(ksft_wait_for(k->open("thing", 0, &none) == -ENOENT, 10000));

	/* it ends while no broker is there to see it */
	__atomic_store_n(&h->ready, 0, __ATOMIC_RELEASE);
	pid = ksft_fork(create_tied, h);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE), 10000));
	kipc_object_close(obj);
	ASSERT_EQ(0, k->open("thing", 0, &obj));
	names_kill(&self->dir);
	ksft_kill(pid);
	EXPECT_EQ(-ENOENT, k->open("thing", 0, &none));
	EXPECT_EQ(0, k->find(obj));
	kipc_object_close(obj);
}

/* ---- killed all the time ---- */

enum { HELD = 6, LOADERS = 3 };

struct load {
	uint32_t stop;
	uint32_t ready;
	uint32_t rounds[LOADERS];
	uint32_t opens;
};

static uint32_t stopped(struct load *l)
{
	return __atomic_load_n(&l->stop, __ATOMIC_ACQUIRE);
}

/* Has a few queues and arrays all the time; one message in each queue. */
static int keep(void *arg)
{
	struct load *l = arg;
	struct kipc_queue *q;
	struct kipc_array *a;
	char name[16];

	for (int i = 0; i < HELD; i++) {
		KIPC_OPTS(kipc_queue_opts, o, .capacity = 2, .msg_size = 16);

		snprintf(name, sizeof(name), "held%d", i);
		if (kipc_queue_create(name, &o, &q) || kipc_queue_put(q, name, 6, KIPC_NOWAIT) ||
		    kipc_array_create(name, KIPC_INT32, 1, (uint64_t[]){ 4 }, NULL, &a) ||
		    kipc_array_fill(a, &i))
			return 1;
	}
	__atomic_fetch_add(&l->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* Opens what is held, and finds in it what belongs there. */
static int open_them(void *arg)
{
	struct load *l = arg;
	struct kipc_queue *q;
	struct kipc_array *a;
	struct kipc_msg msg;
	char name[16];

	for (int i = 0; !stopped(l); i = (i + 1) % HELD) {
		int r;

		snprintf(name, sizeof(name), "held%d", i);
		r = kipc_queue_open(name, NULL, &q);
		if (r) {
			ksft_log("open %s: %s", name, kipc_strerror(r));
			return 1;
		}
		/* another may have taken it, for a moment */
		if (kipc_queue_take(q, &msg, 10 * 1000000000LL) || memcmp(msg.data, name, 6))
			return 2;
		if (kipc_queue_requeue(q, &msg))
			return 3;
		kipc_queue_close(q);
		r = kipc_array_open(name, NULL, &a);
		if (r) {
			ksft_log("open array %s: %s", name, kipc_strerror(r));
			return 4;
		}
		if (*(int32_t *)kipc_array_at(a, (uint64_t[]){ 3 }) != i)
			return 5;
		kipc_array_close(a);
		__atomic_fetch_add(&l->opens, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* A name of its own comes and goes; each step must have happened, once. */
static int come_and_go(void *arg)
{
	struct load *l = arg;
	int me = (int)__atomic_fetch_add(&l->ready, 1, __ATOMIC_ACQ_REL) % LOADERS;
	char name[16];

	snprintf(name, sizeof(name), "own%d", me);
	while (!stopped(l)) {
		struct kipc_shm *s, *again;
		int r = kipc_shm_create(name, 64, NULL, &s);

		if (r) {
			ksft_log("create %s: %s", name, kipc_strerror(r));
			return 1;
		}
		*(uint32_t *)kipc_shm_addr(s) = ++l->rounds[me];
		r = kipc_shm_open(name, NULL, &again);
		if (r) {
			ksft_log("open %s: %s", name, kipc_strerror(r));
			return 2;
		}
		if (*(uint32_t *)kipc_shm_addr(again) != l->rounds[me])
			return 3;
		kipc_shm_close(again);
		r = kipc_shm_unlink(name);
		if (r) {
			ksft_log("unlink %s: %s", name, kipc_strerror(r));
			return 4;
		}
		r = kipc_shm_open(name, NULL, &again);
		if (r != -ENOENT) {
			ksft_log("open %s after unlink: %s", name, kipc_strerror(r));
			return 5;
		}
		kipc_shm_close(s);
	}
	return 0;
}

FIXTURE(loop) {
	struct names_dir dir;
};

FIXTURE_SETUP(loop)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(loop)
{
	names_end(&self->dir);
}

static int get_one(void *arg)
{
	char buf[64];

	return kipc_queue_get(arg, buf, sizeof(buf), KIPC_FOREVER) == 4 ? 0 : 1;
}

/* Doorbells, too: who sleeps on one from before is woken by one who came after. */
TEST_F(loop, a_sleeper_is_woken)
{
	struct kipc_queue *q, *again;
	pid_t pid;

	ASSERT_EQ(0, kipc_queue_create("thing", NULL, &q));
	pid = ksft_fork(get_one, q);
	ASSERT_TRUE(ksft_wait_for(ksft_asleep(pid), 10000));
	kipc_queue_close(q);
	names_kill(&self->dir);
	ASSERT_EQ(0, kipc_queue_open("thing", NULL, &again));
	EXPECT_TRUE(kipc_queue_fd(again, KIPC_READABLE) >= 0);
	EXPECT_EQ(0, kipc_queue_put(again, "mark", 4, KIPC_FOREVER));
	ksft_join(pid);
	kipc_queue_close(again);
}

TEST_F_TIMEOUT(loop, killed_under_load, 60)
{
	struct load *l = ksft_shared(sizeof(*l));
	pid_t keeper, opener, loader[LOADERS];
	int kills = 0, want = ksft_slow() ? 20 : 60;

	keeper = ksft_fork(keep, l);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(&l->ready, __ATOMIC_ACQUIRE) == 1, 10000));
	opener = ksft_fork(open_them, l);
	for (int i = 0; i < LOADERS; i++)
		loader[i] = ksft_fork(come_and_go, l);
	while (kills < want) {
		uint32_t seen = __atomic_load_n(&l->opens, __ATOMIC_RELAXED);
		pid_t pid = 0;

		/* now and then at once, else when it has got somewhere */
		if (!ksft_wait_for((pid = names_broker(&self->dir)) &&
				   (kills % 3 == 0 ||
				    __atomic_load_n(&l->opens, __ATOMIC_RELAXED) != seen), 5000))
			break;
		if (!kill(pid, SIGKILL))
			kills++;
	}
	__atomic_store_n(&l->stop, 1, __ATOMIC_RELEASE);
	ksft_join(opener);
	for (int i = 0; i < LOADERS; i++) {
		ksft_join(loader[i]);
		EXPECT_GT(l->rounds[i], 0);
	}
	ksft_kill(keeper);
	EXPECT_GT(l->opens, 0);
	EXPECT_GE(kills, want);
	ksft_log("%d kills, %u opens, %u rounds", kills, l->opens, l->rounds[0]);
}

TEST_HARNESS_MAIN
