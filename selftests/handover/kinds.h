/* SPDX-License-Identifier: MIT */
/* One object of each kind, with something to put in and to find again. */
#ifndef SELFTESTS_HANDOVER_KINDS_H
#define SELFTESTS_HANDOVER_KINDS_H

#include <kipc/kipc.h>

#include "kselftest_harness.h"

/* What a test does to one kind of object. */
struct kind {
	enum kipc_kind kind;
	struct kipc_object *(*create)(void);
	/* leave a mark in one handle, find it in another */
	int (*mark)(struct kipc_object *obj);
	int (*find)(struct kipc_object *obj);
};

static struct kipc_object *create_shm(void)
{
	struct kipc_shm *s = NULL;

	ASSERT_EQ(0, kipc_shm_create(NULL, 100000, NULL, &s));
	return kipc_shm_object(s);
}

static int mark_shm(struct kipc_object *obj)
{
	memset(kipc_shm_addr(kipc_object_shm(obj)), 'm', 100000);
	return 0;
}

static int find_shm(struct kipc_object *obj)
{
	struct kipc_shm *s = kipc_object_shm(obj);
	const char *p = kipc_shm_addr(s);

	return s && kipc_shm_size(s) == 100000 && p[0] == 'm' && p[99999] == 'm' ? 0 : 1;
}

static struct kipc_object *create_array(void)
{
	static const uint64_t shape[] = { 5, 6, 7 };
	KIPC_OPTS(kipc_array_opts, o, .flags = KIPC_ARRAY_FORTRAN);
	struct kipc_array *a = NULL;

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_COMPLEX128, 3, shape, &o, &a));
	return kipc_array_object(a);
}

static int mark_array(struct kipc_object *obj)
{
	double item[2] = { 1.5, -2.5 };

	return kipc_array_fill(kipc_object_array(obj), item);
}

static int find_array(struct kipc_object *obj)
{
	struct kipc_array *a = kipc_object_array(obj);
	double *item;

	if (!a || kipc_array_dtype(a) != KIPC_COMPLEX128 || kipc_array_ndim(a) != 3 ||
	    kipc_array_shape(a)[2] != 7 || kipc_array_strides(a)[0] != 16 ||
	    kipc_array_strides(a)[2] != 16 * 30)
		return 1;
	item = kipc_array_at(a, (uint64_t[]){ 4, 5, 6 });
	return item[0] == 1.5 && item[1] == -2.5 ? 0 : 2;
}

static struct kipc_object *create_queue(void)
{
	struct kipc_queue *q = NULL;

	ASSERT_EQ(0, kipc_queue_create(NULL, NULL, &q));
	return kipc_queue_object(q);
}

static int mark_queue(struct kipc_object *obj)
{
	return kipc_queue_put(kipc_object_queue(obj), "mark", 4, KIPC_FOREVER);
}

static int find_queue(struct kipc_object *obj)
{
	char buf[16];

	if (kipc_queue_get(kipc_object_queue(obj), buf, sizeof(buf), KIPC_FOREVER) != 4)
		return 1;
	return memcmp(buf, "mark", 4) ? 2 : 0;
}

/* The other end of the pipe that was made last: it stays with the test. */
static struct kipc_pipe *other_end;

static struct kipc_object *create_pipe(void)
{
	struct kipc_pipe *ends[2] = { NULL, NULL };

	kipc_pipe_close(other_end);
	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	other_end = ends[0];
	return kipc_pipe_object(ends[1]);
}

static int mark_pipe(struct kipc_object *obj)
{
	(void)obj;
	return kipc_pipe_send(other_end, "mark", 4, KIPC_FOREVER);
}

static int find_pipe(struct kipc_object *obj)
{
	char buf[16];

	if (kipc_pipe_recv(kipc_object_pipe(obj), buf, sizeof(buf), KIPC_FOREVER) != 4)
		return 1;
	return memcmp(buf, "mark", 4) ? 2 : 0;
}

static struct kipc_object *create_manager(void)
{
	struct kipc_manager *m = NULL;

	ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
	return kipc_manager_object(m);
}

static int mark_manager(struct kipc_object *obj)
{
	struct kipc_list *l;
	int r = kipc_list_create(kipc_object_manager(obj), "mark", &l);

	if (!r)
		r = kipc_list_append(l, kipc_int(4711));
	return r ? r : kipc_list_unref(l);
}

static int find_manager(struct kipc_object *obj)
{
	struct kipc_value v, want = kipc_int(4711);
	struct kipc_list *l;
	int r = kipc_list_open(kipc_object_manager(obj), "mark", &l);

	if (r)
		return 1;
	r = kipc_list_get(l, 0, &v) ? 2 : 0;
	if (!r && !kipc_value_equal(&v, &want))
		r = 3;
	kipc_list_unref(l);
	return r;
}

#define KIND_queue	{ KIPC_KIND_QUEUE, create_queue, mark_queue, find_queue }
#define KIND_pipe	{ KIPC_KIND_PIPE, create_pipe, mark_pipe, find_pipe }
#define KIND_shm	{ KIPC_KIND_SHM, create_shm, mark_shm, find_shm }
#define KIND_array	{ KIPC_KIND_ARRAY, create_array, mark_array, find_array }
#define KIND_manager	{ KIPC_KIND_MANAGER, create_manager, mark_manager, find_manager }

__attribute__((unused)) static const struct kind kinds[] = { KIND_queue, KIND_pipe, KIND_shm,
							     KIND_array, KIND_manager };
#define NKINDS		((int)(sizeof(kinds) / sizeof(kinds[0])))

/* Closes what create() made. */
static inline void drop(struct kipc_object *obj)
{
	kipc_object_close(obj);
	kipc_pipe_close(other_end);
	other_end = NULL;
}

#endif
