// SPDX-License-Identifier: MIT
/* Names: created, opened, unlinked, listed; what they are tied to; flags. */
#include "names.h"

FIXTURE(names) {
	struct names_dir dir;
};

FIXTURE_VARIANT(names) {
	const struct names_kind *kind;
	enum kipc_kind number;
};

FIXTURE_VARIANT_ADD(names, queue) { &queue_kind, KIPC_KIND_QUEUE };
FIXTURE_VARIANT_ADD(names, shm) { &shm_kind, KIPC_KIND_SHM };
FIXTURE_VARIANT_ADD(names, array) { &array_kind, KIPC_KIND_ARRAY };
FIXTURE_VARIANT_ADD(names, manager) { &manager_kind, KIPC_KIND_MANAGER };

FIXTURE_SETUP(names)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(names)
{
	names_end(&self->dir);
}

struct listed {
	struct kipc_name name[8];
	int n;
};

static int note(const struct kipc_name *name, void *arg)
{
	struct listed *l = arg;

	ASSERT_LT(l->n, 8);
	l->name[l->n++] = *name;
	return 0;
}

static int count_names(void)
{
	struct listed l = { .n = 0 };

	ASSERT_EQ(0, kipc_names_foreach(note, &l));
	return l.n;
}

TEST_F(names, life)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *a, *b, *c = NULL;

	EXPECT_EQ(-ENOENT, k->open("thing", 0, &b));
	ASSERT_EQ(0, k->create("thing", 0, 0, &a));
	EXPECT_EQ(variant->number, kipc_object_kind(a));
	ASSERT_EQ(0, k->open("thing", 0, &b));
	EXPECT_EQ(0, k->mark(a));
	EXPECT_EQ(0, k->find(b));
	EXPECT_EQ(-EEXIST, k->create("thing", 0, 0, &c));

	/* without a name the two go on as before */
	EXPECT_EQ(0, k->unlink("thing"));
	EXPECT_EQ(-ENOENT, k->unlink("thing"));
	EXPECT_EQ(-ENOENT, k->open("thing", 0, &c));
	if (variant->number == KIPC_KIND_QUEUE)
		EXPECT_EQ(0, k->mark(b));
	EXPECT_EQ(0, k->find(a));

	/* the name may be another's now */
	ASSERT_EQ(0, k->create("thing", 0, 0, &c));
	kipc_object_close(c);
	kipc_object_close(a);
	kipc_object_close(b);
	/* and lives while nobody has it open */
	ASSERT_EQ(0, k->open("thing", 0, &c));
	kipc_object_close(c);
}

static int creator(void *arg)
{
	const struct names_kind *k = arg;
	struct kipc_object *obj = NULL;
	int r = k->create("thing", 0, 0, &obj);

	return r ? 1 : k->mark(obj);
}

/* Only the name goes from one process to the other. */
TEST_F(names, outlives_its_creator)
{
	struct kipc_object *obj = NULL;

	ksft_join(ksft_fork(creator, (void *)variant->kind));
	ASSERT_EQ(0, variant->kind->open("thing", 0, &obj));
	EXPECT_EQ(0, variant->kind->find(obj));
	kipc_object_close(obj);
}

static int tied_creator(void *arg)
{
	const struct names_kind *k = arg;
	struct kipc_object *obj = NULL;

	if (k->create("thing", KIPC_NAME_TIED, 0, &obj) || k->open("thing", 0, &obj))
		return 1;
	for (;;)
		pause();
}

TEST_F(names, tied_to_its_creator)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *obj, *again;
	struct listed l = { .n = 0 };
	pid_t pid = ksft_fork(tied_creator, (void *)k);

	ASSERT_TRUE(ksft_wait_for(!k->open("thing", 0, &obj), 10000));
	ASSERT_EQ(0, kipc_names_foreach(note, &l));
	ASSERT_EQ(1, l.n);
	EXPECT_EQ(KIPC_NAME_TIED, l.name[0].flags);
	ksft_kill(pid);
	ASSERT_TRUE(ksft_wait_for(k->open("thing", 0, &again) == -ENOENT, 10000));
	/* the name went, not what others have open */
	EXPECT_EQ(0, k->mark(obj));
	EXPECT_EQ(0, k->find(obj));
	kipc_object_close(obj);
}

TEST_F(names, opened_if_it_exists)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *a, *b;

	ASSERT_EQ(0, k->create("thing", KIPC_NAME_EXISTING, 0, &a));
	EXPECT_EQ(0, k->mark(a));
	ASSERT_EQ(0, k->create("thing", KIPC_NAME_EXISTING, 0, &b));
	EXPECT_EQ(0, k->find(b));
	kipc_object_close(a);
	kipc_object_close(b);
}

TEST_F(names, bad_names)
{
	static const char *const bad[] = {
		"", "/", "a/b", "a b", "\xc3\xa4", "a\n",
		"0123456789012345678901234567890123456789012345678901234567890123"
	};
	static const char longest[] =
		"012345678901234567890123456789012345678901234567890123456789.-_";
	const struct names_kind *k = variant->kind;
	struct kipc_object *obj = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EXPECT_EQ(-EINVAL, k->create(bad[i], 0, 0, &obj));
		EXPECT_EQ(-EINVAL, k->open(bad[i], 0, &obj));
		EXPECT_EQ(-EINVAL, k->unlink(bad[i]));
		EXPECT_EQ(-EINVAL, kipc_name_unlink(variant->number, bad[i]));
	}
	EXPECT_EQ(-EINVAL, k->open(NULL, 0, &obj));
	EXPECT_EQ(-EINVAL, k->unlink(NULL));
	/* not one of these asked a broker */
	EXPECT_EQ(0, names_broker(&self->dir));
	ASSERT_EQ(63, strlen(longest));
	ASSERT_EQ(0, k->create(longest, 0, 0, &obj));
	kipc_object_close(obj);
	EXPECT_EQ(0, k->unlink(longest));
}

TEST_F(names, flags)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *obj = NULL;

	EXPECT_EQ(-EINVAL, k->create(NULL, KIPC_NAME_TIED, 0, &obj));
	EXPECT_EQ(-EINVAL, k->create(NULL, KIPC_NAME_EXISTING, 0, &obj));
	EXPECT_EQ(-EINVAL, k->create("thing", KIPC_NAME_RDONLY, 0, &obj));
	EXPECT_EQ(-EINVAL, k->open("thing", KIPC_NAME_TIED, &obj));
	EXPECT_EQ(-EINVAL, k->open("thing", KIPC_NAME_EXISTING, &obj));
	EXPECT_EQ(-EINVAL, k->create("thing", 1u << 27, 0, &obj));
	EXPECT_EQ(-EINVAL, k->open("thing", 1u << 27, &obj));
	EXPECT_EQ(0, count_names());
}

TEST_F(names, listed)
{
	const struct names_kind *k = variant->kind;
	struct kipc_object *obj = NULL;
	struct listed l = { .n = 0 };

	EXPECT_EQ(-EINVAL, kipc_names_foreach(NULL, NULL));
	EXPECT_EQ(0, count_names());
	ASSERT_EQ(0, k->create("thing", 0, 0640, &obj));
	ASSERT_EQ(0, kipc_names_foreach(note, &l));
	ASSERT_EQ(1, l.n);
	EXPECT_STREQ("thing", l.name[0].name);
	EXPECT_EQ(variant->number, l.name[0].kind);
	EXPECT_EQ(0, l.name[0].flags);
	EXPECT_EQ(0, l.name[0].lost);
	EXPECT_EQ(geteuid(), l.name[0].uid);
	EXPECT_EQ(getegid(), l.name[0].gid);
	EXPECT_EQ(0640, l.name[0].mode);
	EXPECT_GE(l.name[0].size, 4096);
	EXPECT_NE(0, l.name[0].id);
	EXPECT_NE(0, l.name[0].created_ns);
	EXPECT_EQ(0, kipc_name_unlink(variant->number, "thing"));
	EXPECT_EQ(0, count_names());
	kipc_object_close(obj);
}

FIXTURE(all) {
	struct names_dir dir;
};

FIXTURE_SETUP(all)
{
	names_begin(&self->dir);
}

FIXTURE_TEARDOWN(all)
{
	names_end(&self->dir);
}

/* Each kind has names of its own. */
TEST_F(all, kinds_are_apart)
{
	struct kipc_object *obj[4], *o;
	struct listed l = { .n = 0 };

	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(-ENOENT, names_kinds[i]->open("same", 0, &o));
		ASSERT_EQ(0, names_kinds[i]->create("same", 0, 0, &obj[i]));
		EXPECT_EQ(0, names_kinds[i]->mark(obj[i]));
	}
	ASSERT_EQ(0, kipc_names_foreach(note, &l));
	EXPECT_EQ(4, l.n);
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, names_kinds[i]->open("same", 0, &o));
		EXPECT_EQ(0, names_kinds[i]->find(o));
		kipc_object_close(o);
	}
	EXPECT_EQ(0, kipc_shm_unlink("same"));
	EXPECT_EQ(3, count_names());
	for (int i = 0; i < 4; i++)
		kipc_object_close(obj[i]);
	EXPECT_EQ(-EINVAL, kipc_name_unlink((enum kipc_kind)0, "same"));
	EXPECT_EQ(-EINVAL, kipc_name_unlink((enum kipc_kind)6, "same"));
}

/* The broker holds nothing and nobody is connected: it goes, and takes its socket with it. */
TEST_F(all, broker_ends)
{
	struct kipc_object *obj = NULL;
	pid_t pid;

	ASSERT_EQ(0, queue_kind.create("thing", 0, 0, &obj));
	pid = names_broker(&self->dir);
	ASSERT_GT(pid, 0);
	EXPECT_EQ(0, queue_kind.unlink("thing"));
	EXPECT_TRUE(ksft_wait_for(names_ended(pid), 10000));
	EXPECT_EQ(0, names_broker(&self->dir));
	/* what is open is open */
	EXPECT_EQ(0, queue_kind.mark(obj));
	EXPECT_EQ(0, queue_kind.find(obj));
	kipc_object_close(obj);
}

enum { MANY = 100 };

static int mark_name(const struct kipc_name *name, void *arg)
{
	uint8_t *seen = arg;
	int i = atoi(name->name + 1);

	ASSERT_TRUE(i >= 0 && i < MANY);
	seen[i]++;
	/* the callback may use names, and others come and go meanwhile */
	if (i % 3 == 0)
		EXPECT_EQ(0, kipc_shm_unlink(name->name));
	return 0;
}

TEST_F(all, a_long_list)
{
	uint8_t seen[MANY] = { 0 };
	struct kipc_shm *s;
	char name[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ASSERT_EQ(0, kipc_shm_create(name, 1, NULL, &s));
		kipc_shm_close(s);
	}
	ASSERT_EQ(0, kipc_names_foreach(mark_name, seen));
	for (int i = 0; i < MANY; i++)
		EXPECT_EQ(1, seen[i]);
	memset(seen, 0, sizeof(seen));
	ASSERT_EQ(0, kipc_names_foreach(mark_name, seen));
	for (int i = 0; i < MANY; i++)
		EXPECT_EQ(i % 3 != 0, seen[i]);
}

static int stop(const struct kipc_name *name, void *arg)
{
	(void)name;
	++*(int *)arg;
	return 4711;
}

TEST_F(all, a_list_that_is_stopped)
{
	struct kipc_shm *s;
	int calls = 0;

	ASSERT_EQ(0, kipc_shm_create("one", 1, NULL, &s));
	kipc_shm_close(s);
	ASSERT_EQ(0, kipc_shm_create("two", 1, NULL, &s));
	kipc_shm_close(s);
	EXPECT_EQ(4711, kipc_names_foreach(stop, &calls));
	EXPECT_EQ(1, calls);
}

TEST_F(all, a_manager_is_held_by_what_is_open_in_it)
{
	struct kipc_manager *m, *again;
	struct kipc_value v = kipc_none();
	struct kipc_list *l;

	ASSERT_EQ(0, kipc_manager_create("m", NULL, &m));
	ASSERT_EQ(0, kipc_list_create(m, "l", &l));
	kipc_manager_close(m);
	ASSERT_EQ(0, kipc_list_append(l, kipc_int(7)));
	ASSERT_EQ(0, kipc_list_unref(l));
	ASSERT_EQ(0, kipc_manager_open("m", NULL, &again));
	ASSERT_EQ(0, kipc_list_open(again, "l", &l));
	EXPECT_EQ(0, kipc_list_get(l, 0, &v));
	EXPECT_EQ(7, v.i);
	EXPECT_EQ(0, kipc_list_unref(l));
	kipc_manager_close(again);
}

TEST_HARNESS_MAIN
