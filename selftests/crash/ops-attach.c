// SPDX-License-Identifier: MIT
/*
 * Coming and going: a process receives an object (attach), closes it (detach), or uses for the first
 * time what it inherited over fork(2).  None of this changes the object, so the state is the same
 * always; but the slots are few, so that the survivor, who attaches once more, must get the dead
 * one's, and nothing that it held may be left.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "core/peer.h"
#include "engine.h"
#include "kinds.h"

static struct kipc_object *obj, *mine;
static struct kipc_list *held;	/* by mine */
static int sock[2];

static int make(int (*kind)(struct kipc_object **))
{
	int r = kind(&obj);

	if (r)
		return r;
	crash_track(obj);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock))
		return -errno;
	return kipc_send(sock[0], obj);
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

static int attach(void)
{
	return kipc_recv(sock[1], &mine);
}

/* With something in hand that the other handle knows nothing of. */
static int attach_and_hold(void)
{
	struct kipc_msg msg;
	int r = attach();

	if (!r && mine->ops->kind == KIPC_SEG_QUEUE)
		r = kipc_queue_reserve(kipc_object_queue(mine), 8, &msg, KIPC_NOWAIT);
	if (!r && mine->ops->kind == KIPC_SEG_SHM)
		r = kipc_shm_write_begin(kipc_object_shm(mine), KIPC_NOWAIT);
	if (!r && mine->ops->kind == KIPC_SEG_MANAGER)
		r = kipc_list_create(kipc_object_manager(mine), NULL, &held) ?:
		    kipc_list_append(held, kipc_str("a string that is longer than its slot"));
	return r;
}

static int detach(void)
{
	kipc_object_close(mine);
	return held ? kipc_list_unref(held) : 0;
}

static int first_use(void)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };

	switch (obj->ops->kind) {
	case KIPC_SEG_QUEUE:
		return kipc_queue_empty(kipc_object_queue(obj)) - 1;
	case KIPC_SEG_PIPE:
		return kipc_pipe_stat(kipc_object_pipe(obj), &st) ?:
		       kipc_pipe_poll(kipc_object_pipe(obj), KIPC_NOWAIT) + EAGAIN;
	case KIPC_SEG_SHM:
		return kipc_shm_write_begin(kipc_object_shm(obj), KIPC_NOWAIT) ?:
		       kipc_shm_write_end(kipc_object_shm(obj));
	}
	return (int)kipc_list_len(list);
}

/* Uses it, and attaches once more: with so few slots, to the dead one's. */
static int use_and_attach(void)
{
	struct kipc_object *other;
	int again[2], r;

	r = use(obj);
	if (r == -EOWNERDEAD)	/* a write that it had begun */
		r = kipc_shm_write_end(kipc_object_shm(obj));
	if (r)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, again))
		return -errno;
	r = kipc_send(again[0], obj) ?: kipc_recv(again[1], &other);
	if (r)
		return r;
	kipc_object_close(other);
	return 0;
}

static int unchanged(void)
{
	uint32_t live = 0;

	for (uint32_t slot = 1; slot <= obj->seg.npeers; slot++)
		live += load_acquire(&__kipc_peer(&obj->seg, slot)->state) != KIPC_PEER_FREE;
	/* both ends of a pipe are attached */
	if (crash_expect("slots in use", live, obj->ops->kind == KIPC_SEG_PIPE ? 2 : 1))
		return -1;
	return crash_expect("using it", use(obj), 0);
}

#define ROWS(kind, make)                                                                           \
	{ kind, "attach", 0, make, NULL, attach, use_and_attach, unchanged, 0, NULL, 0, NULL },    \
	{ kind, "detach", 0, make, attach_and_hold, detach, use_and_attach, unchanged, 0, NULL, 0,  \
	  NULL },                                                                                  \
	{ kind, "first use after fork", CRASH_BARE, make, NULL, first_use, use_and_attach,         \
	  unchanged, 0, NULL, 0, NULL }

CRASH_OPS(crash_attach_ops) = {
	ROWS("queue", queue),
	ROWS("pipe", pipe_end),
	ROWS("shm", shm),
	ROWS("manager", manager),
	{ 0 },
};
