// SPDX-License-Identifier: MIT
/*
 * Coming and going: processes that receive an object, leave it with something in hand, or use it for
 * the first time after fork(2), beside each other.  None of this changes the object.
 */
#define KIND_PEERS 6

#include <sys/socket.h>
#include <unistd.h>

#include "core/peer.h"
#include "kinds.h"
#include "points.h"

static int (*kind)(struct kipc_object **);
static struct kipc_object *obj, *mine;
static struct kipc_list *held;	/* by mine */
static int sock[ACTORS];	/* each one's end, with the object in it */

/* ---- what actors do ---- */

static int attach(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_recv(sock[points_who], &mine);
}

/* With something in hand. */
static int attach_and_hold(void)
{
	struct kipc_msg msg;
	int r = attach(0);

	if (r)
		return r;
	points_objects[0] = mine;	/* so that its slot is told when it stops */
	switch (mine->ops->kind) {
	case KIPC_SEG_QUEUE:
		return kipc_queue_reserve(kipc_object_queue(mine), 8, &msg, KIPC_NOWAIT);
	case KIPC_SEG_SHM:
		r = kipc_shm_write_begin(kipc_object_shm(mine), KIPC_NOWAIT);
		return r == -EAGAIN ? 0 : r;	/* another one has begun */
	case KIPC_SEG_MANAGER:
		return kipc_list_create(kipc_object_manager(mine), NULL, &held) ?:
		       kipc_list_append(held, kipc_str("a string that is longer than its slot"));
	}
	return 0;
}

static int attach_and_make(int64_t timeout_ns)
{
	(void)timeout_ns;
	return attach_and_hold();
}

static int detach(int64_t timeout_ns)
{
	(void)timeout_ns;
	kipc_object_close(mine);
	return held ? kipc_list_unref(held) : 0;
}

static int use_it(int64_t timeout_ns)
{
	int r = use(obj);

	(void)timeout_ns;
	/* a write that one of the dead had begun */
	return r == -EOWNERDEAD ? kipc_shm_write_end(kipc_object_shm(obj)) : r;
}

/* Another object of the kind, which nobody else gets to know. */
static int create(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kind(&mine);
}

/* ---- the object ---- */

static int make(int (*how)(struct kipc_object **))
{
	int r;

	kind = how;
	r = how(&obj);
	if (r)
		return r;
	points_track(obj);
	for (int i = 0; i < ACTORS && !r; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			return -errno;
		sock[i] = pair[1];
		r = kipc_send(pair[0], obj);
	}
	return r;
}

static int queue(void)
{
	return make(make_queue);
}

static int pipe_end(void)
{
	return make(make_pipe);
}

static int shm(void)
{
	return make(make_shm);
}

static int manager(void)
{
	return make(make_manager_list);
}

/* All slots but the world's are free, and the object is good. */
static int verify(void)
{
	uint32_t live = 0;

	for (uint32_t slot = 1; slot <= obj->seg.npeers; slot++)
		live += load_acquire(&__kipc_peer(&obj->seg, slot)->state) != KIPC_PEER_FREE;
	/* both ends of a pipe are attached */
	if (points_expect("slots in use", live, obj->ops->kind == KIPC_SEG_PIPE ? 2 : 1) ||
	    points_expect("using it", use(obj), 0))
		return -1;
	return points_ended(KILLED) ? POINTS_NEW : POINTS_OLD | POINTS_NEW;
}

#define ATTACH	{ .run = attach }
#define MAKE	{ .run = attach_and_make }
#define DETACH	{ .run = detach, .ready = attach_and_hold }
#define USE	{ .run = use_it }
#define CREATE	{ .run = create }
#define ROWS(kind, setup)                                                                       \
	{ kind, "attach x attach", SCENE_TRIPLE, setup, ATTACH, ATTACH, USE, verify, NULL },     \
	{ kind, "attach x detach", SCENE_SHORT, setup, ATTACH, DETACH, USE, verify, NULL },      \
	{ kind, "detach x attach", SCENE_SHORT, setup, DETACH, ATTACH, USE, verify, NULL },      \
	{ kind, "detach x detach", SCENE_TRIPLE, setup, DETACH, DETACH, USE, verify, NULL },     \
	{ kind, "first use x attach", 0, setup, USE, ATTACH, ATTACH, verify, NULL },            \
	{ kind, "attach x first use", 0, setup, ATTACH, USE, USE, verify, NULL },                \
	{ kind, "create x create", 0, setup, CREATE, CREATE, USE, verify, NULL }

SCENES(points_attach) = {
	ROWS("queue", queue),
	ROWS("pipe", pipe_end),
	ROWS("shm", shm),
	ROWS("manager", manager),
	/* whose first handle needs a table */
	{ "manager", "attach, create x attach, create", SCENE_TRIPLE | SCENE_SHORT, manager, MAKE, MAKE, USE,
	  verify, NULL },
	{ 0 },
};
