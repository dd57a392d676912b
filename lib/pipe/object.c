// SPDX-License-Identifier: MIT
/* Handing an end over to another process: see core/object.h for the contract. */
#include <sys/socket.h>

#include "core/sys.h"
#include "pipe/pipe.h"

enum { FD_SEGMENT, FD_BELLS, FD_SOCK = FD_BELLS + PIPE_BELLS, NFDS };

static struct kipc_pipe *of_object(struct kipc_object *obj)
{
	return container_of(obj, struct kipc_pipe, obj);
}

static int object_export(struct kipc_object *obj, struct kipc_transfer *t)
{
	struct kipc_pipe *p = of_object(obj);

	t->nfds = NFDS;
	t->fds[FD_SEGMENT] = p->obj.seg.fd;
	for (int i = 0; i < PIPE_BELLS; i++)
		t->fds[FD_BELLS + i] = p->bells[i].fd;
	t->fds[FD_SOCK] = p->sock;
	t->args[0] = p->end;
	return 0;
}

static bool is_control_socket(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	if (SYS(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len)))
		return false;
	len = sizeof(int);
	if (SYS(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len)))
		return false;
	return domain == AF_UNIX && type == SOCK_SEQPACKET;
}

static int object_import(struct kipc_transfer *t, struct kipc_object **out)
{
	struct kipc_pipe *p;
	int r;

	if (t->nfds != NFDS || t->args[0] > 1 || !is_control_socket(t->fds[FD_SOCK]))
		return -EPROTO;
	for (int i = 0; i < PIPE_BELLS; i++) {
		r = __kipc_bell_check_fd(t->fds[FD_BELLS + i]);
		if (r)
			return r;
	}
	p = __kipc_pipe_new((uint32_t)t->args[0]);
	if (!p)
		return -ENOMEM;
	for (int i = 0; i < PIPE_BELLS; i++)
		p->bells[i].fd = t->fds[FD_BELLS + i];
	p->sock = t->fds[FD_SOCK];
	r = __kipc_pipe_open(p, t->fds[FD_SEGMENT]);
	if (r) {
		for (int i = 0; i < PIPE_BELLS; i++)
			p->bells[i].fd = -1;	/* the caller's, still */
		p->sock = -1;
		__kipc_pipe_free(p);
		return r;
	}
	__kipc_pipe_populate(p);
	*out = &p->obj;
	return 0;
}

static void object_close(struct kipc_object *obj)
{
	kipc_pipe_close(of_object(obj));
}

const struct kipc_object_ops __kipc_pipe_object = {
	.kind = KIPC_SEG_PIPE,
	.nfds = NFDS,
	.nargs = 1,
	.export = object_export,
	.import = object_import,
	.close = object_close,
	.source = __kipc_pipe_source,
	.check = __kipc_pipe_check_object,
};

KIPC_API struct kipc_object *kipc_pipe_object(struct kipc_pipe *p)
{
	return p ? &p->obj : NULL;
}
