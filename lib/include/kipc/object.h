/* SPDX-License-Identifier: MIT */
/*
 * Objects of any kind: asked what they are, closed, and handed to another process.
 *
 *	sender				receiver
 *	kipc_send(sock,			struct kipc_object *obj;
 *		  kipc_queue_object(q))	if (!kipc_recv(sock, &obj)) {
 *						struct kipc_queue *q = kipc_object_queue(obj);
 *						if (!q)
 *							kipc_object_close(obj);
 *
 * A struct kipc_object is a handle seen in its general form.  kipc_queue_object(q) and
 * kipc_object_queue(obj) are two ways to look at one handle: close it once, either way.
 *
 * sock is a connected UNIX socket (AF_UNIX; stream, seqpacket or datagram), such as one end of
 * socketpair(2).  Whoever can write to it decides what the receiver maps: the receiver checks all of
 * it, so bad input gives an error and nothing else, but what a good object holds is the sender's word.
 */
#ifndef KIPC_OBJECT_H
#define KIPC_OBJECT_H

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_object;
struct kipc_queue;
struct kipc_pipe;
struct kipc_shm;
struct kipc_array;
struct kipc_manager;

enum kipc_kind {
	KIPC_KIND_QUEUE		= 1,
	KIPC_KIND_PIPE		= 2,
	KIPC_KIND_SHM		= 3,
	KIPC_KIND_ARRAY		= 4,
	KIPC_KIND_MANAGER	= 5,
};

/* What it is: an enum kipc_kind, or -EINVAL for NULL.  Since 0.1. */
KIPC_API int kipc_object_kind(const struct kipc_object *obj);

/* Closes it as the kind's own _close() does.  NULL is ignored.  Since 0.1. */
KIPC_API void kipc_object_close(struct kipc_object *obj);

/* The handle as that of its kind, or NULL when it is of another kind (or NULL).  Since 0.1. */
KIPC_API struct kipc_queue *kipc_object_queue(struct kipc_object *obj);
KIPC_API struct kipc_pipe *kipc_object_pipe(struct kipc_object *obj);
KIPC_API struct kipc_shm *kipc_object_shm(struct kipc_object *obj);
KIPC_API struct kipc_array *kipc_object_array(struct kipc_object *obj);
KIPC_API struct kipc_manager *kipc_object_manager(struct kipc_object *obj);

/*
 * Hands the object to whoever receives on the other end of sock.  The sender keeps its handle and may
 * close it at once: the message keeps the object alive.  Sends one message, with one sendmsg(2).
 *
 * 0; -EINVAL (NULL, or sock is no UNIX socket); -EACCES (a queue or manager that is open for
 * reading only: others open it by its name as well; shared memory and arrays are handed on, and can
 * only be read there, too); -EPIPE (the other side is closed); what the socket says: -EBADF,
 * -ENOTSOCK, -ENOTCONN, -ETOOMANYREFS; -EUSERS, -EMFILE (in a fork child).  Blocks as the socket
 * does while its buffer is full; -EAGAIN if the socket has O_NONBLOCK or SO_SNDTIMEO.  Signals don't
 * end it, and no SIGPIPE is raised.  Since 0.1.
 */
KIPC_API int kipc_send(int sock, struct kipc_object *obj);

/*
 * Receives an object and attaches this process to it.  *obj is the handle, to be closed.  Receives one
 * message and nothing of the next one.
 *
 * 0; -EPIPE (the other side closed); -EPROTO (what came is no object, or a damaged one; all of it is
 * dropped; a stream is out of step then and had better be closed); -EPROTONOSUPPORT (from another
 * version); -EINVAL (NULL, or sock is no UNIX socket); what the socket says: -EBADF, -ENOTSOCK,
 * -ENOTCONN; -EUSERS (as many processes as it has room for are attached), -EACCES (its mode doesn't
 * let this user read and write; or what came is for reading only),
 * -EMFILE, -ENFILE, -ENOMEM, -ENOENT (/proc isn't mounted): the message is lost, the sender may try
 * again.  Blocks as the socket does until there is a message; -EAGAIN if the socket has O_NONBLOCK
 * or SO_RCVTIMEO.  Signals don't end it.  Since 0.1.
 */
KIPC_API int kipc_recv(int sock, struct kipc_object **obj);

#ifdef __cplusplus
}
#endif

#endif
