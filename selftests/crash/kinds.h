/* SPDX-License-Identifier: MIT */
/* The kinds of objects, for tables that do the same with each: making a small one, using it. */
#ifndef SELFTESTS_CRASH_KINDS_H
#define SELFTESTS_CRASH_KINDS_H

#include <errno.h>
#include <string.h>

#include <kipc/array.h>
#include <kipc/list.h>
#include <kipc/manager.h>
#include <kipc/object.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"

#define WAIT 3000000000LL
#ifndef KIND_PEERS
#define KIND_PEERS 3		/* so few that the next one needs a dead one's slot */
#endif

static struct kipc_pipe *far_end;	/* of a pipe that was made here */
static struct kipc_list *list;		/* of a manager that was made here */

static inline int make_queue(struct kipc_object **obj)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 4, .msg_size = 8, .max_peers = KIND_PEERS);
	struct kipc_queue *q;
	int r = kipc_queue_create(NULL, &opts, &q);

	*obj = r ? NULL : kipc_queue_object(q);
	return r;
}

static inline int make_pipe(struct kipc_object **obj)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);
	struct kipc_pipe *ends[2];
	int r = kipc_pipe_create(&opts, ends);

	*obj = r ? NULL : kipc_pipe_object(ends[0]);
	far_end = r ? NULL : ends[1];
	return r;
}

static inline int make_shm(struct kipc_object **obj)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = KIND_PEERS);
	struct kipc_shm *s;
	int r = kipc_shm_create(NULL, 4096, &opts, &s);

	*obj = r ? NULL : kipc_shm_object(s);
	return r;
}

static inline int make_array(struct kipc_object **obj)
{
	uint64_t shape[2] = { 4, 4 };
	struct kipc_array *a;
	int r = kipc_array_create(NULL, KIPC_UINT8, 2, shape, NULL, &a);

	*obj = r ? NULL : kipc_array_object(a);
	return r;
}

static inline int make_manager(struct kipc_object **obj)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_peers = KIND_PEERS + 1, .size = 192 << 10, .max_size = 1 << 20);
	struct kipc_manager *m;
	int r = kipc_manager_create(NULL, &opts, &m);

	*obj = r ? NULL : kipc_manager_object(m);
	return r;
}

/* A manager, and a list in it, of which a fork child must get a reference of its own. */
static inline int make_manager_list(struct kipc_object **obj)
{
	int r = make_manager(obj);

	return r ? r : kipc_list_create(kipc_object_manager(*obj), NULL, &list);
}

static inline int use_queue(struct kipc_queue *q)
{
	uint64_t v = 7;
	int r = kipc_queue_put(q, &v, sizeof(v), WAIT);

	v = 0;
	if (!r)
		r = (int)kipc_queue_get(q, &v, sizeof(v), WAIT) - (int)sizeof(v);
	return r ? r : v == 7 ? 0 : -EBADMSG;
}

static inline int use_pipe(struct kipc_pipe *p)
{
	uint64_t v = 7;
	int r = kipc_pipe_send(p, &v, sizeof(v), WAIT);

	if (!far_end)	/* it died with its maker */
		return r == -EPIPE ? 0 : r;
	return r ? r : (int)kipc_pipe_recv(far_end, &v, sizeof(v), WAIT) - (int)sizeof(v);
}

static inline int use_shm(struct kipc_shm *s)
{
	int r = kipc_shm_write_begin(s, WAIT);

	return r ? r : kipc_shm_write_end(s);
}

static inline int use_array(struct kipc_array *a)
{
	return kipc_array_data(a) ? 0 : -EINVAL;
}

static inline int use_manager(struct kipc_manager *m)
{
	struct kipc_list *l = list;
	int r = l ? 0 : kipc_list_create(m, NULL, &l);

	if (!r)
		r = kipc_list_append(l, kipc_int(1));
	if (!r)
		r = kipc_list_pop(l, -1, NULL);
	return l == list ? r : r ?: kipc_list_unref(l);
}

/* An operation of the kind, whatever it is: 0. */
static inline int use(struct kipc_object *obj)
{
	switch (obj->ops->kind) {
	case KIPC_SEG_QUEUE:
		return use_queue(kipc_object_queue(obj));
	case KIPC_SEG_PIPE:
		return use_pipe(kipc_object_pipe(obj));
	case KIPC_SEG_SHM:
		return use_shm(kipc_object_shm(obj));
	case KIPC_SEG_ARRAY:
		return use_array(kipc_object_array(obj));
	case KIPC_SEG_MANAGER:
		return use_manager(kipc_object_manager(obj));
	}
	return -EINVAL;
}

#endif
