/* SPDX-License-Identifier: MIT */
/*
 * The pipe's handle and the words that its files share.
 *
 * What may run beside what: a sender and a receiver of one way; the two ways; any number of threads
 * and processes on one end, which take turns by the way's send_lock and recv_lock.  With
 * KIPC_PIPE_EXCLUSIVE the caller promises the turns and only streams take the locks, so that a dead
 * streamer is still known by its slot.
 *
 * One way, its words, and who moves them:
 *
 *	head		holder of send_lock, by a CAS that fails once SHUT is set.  Anybody at the sending
 *			end sets SHUT.  This CAS is what makes a message sent.
 *	tail		holder of recv_lock.  This store is what makes a message received.
 *	stream_end	holder of send_lock: set before the first piece of a stream, cleared after its
 *			last piece or its cut
 *	cut		holder of send_lock, or who repairs it after its death: where the stream ends
 *			for ever.  A new stream begins only when the receiver has passed the last cut.
 *	msg_end		holder of recv_lock: set before the first piece of a stream is freed, cleared
 *			after the last
 *
 * Deaths.  A sender of a whole message: nothing happened, or all of it.  A reservation: nothing.  A
 * streamer: whoever repairs its slot stores the cut; the receiver drops the piece and goes on behind
 * it; if nobody else has the sending end, the socket hangs up and the receiver returns -EPIPE.  A
 * receiver before its store of tail (or with a peeked message): the message stays for the next one.
 * A receiver in a stream: it has received it; the next holder of recv_lock finds msg_end and drops
 * what comes up to there.
 *
 * Fork and signals: as base.h says.  A child finds no reservation and no peeked message in its copy.
 */
#ifndef KIPC_PIPE_PIPE_H
#define KIPC_PIPE_PIPE_H

#include <errno.h>

#include "core/lock.h"
#include "core/object.h"
#include "core/wait.h"
#include "kipc/pipe.h"
#include "uapi/kipc/pipe.h"

#define PIPE_BELLS	4

/* Not an errno: the fast path can't do it, the slow path shall. */
#define PIPE_SLOW	(-4097)

/* One way, as this end uses it: tx is what it sends, rx what it receives. */
struct pipe_way {
	struct kipc_pipe_way *shm;	/* NULL: a simplex pipe has no such way */
	uint8_t *ring;			/* ring_size bytes, twice in a row */
	struct kipc_bell *readable;
	struct kipc_bell *writable;
	/* of the holder of the lock, in this process: */
	uint64_t open;			/* reservation or peeked message: position | VALID, or 0 */
	uint64_t room;			/* bytes reserved, or bytes of the peeked message */
	uint64_t failed_at;		/* tx: head at the last send for which there was no room, */
	uint64_t failed_need;		/* and how much it needed */
	struct kipc_spin spin;
};

struct kipc_pipe {
	struct kipc_object obj;
	struct kipc_pipe_header *shm;
	uint64_t ring_size;
	uint64_t mask;			/* ring_size - 1 */
	uint32_t flags;			/* KIPC_PIPE_F_* */
	uint32_t end;			/* 0 or 1 */
	bool exclusive;
	bool hup;			/* sticky: the kernel said that the other end is gone */
	uint32_t closes_seen;		/* of the other end, when the kernel was last asked */
	int sock;			/* our half of the control socket */
	int hup_fd;			/* epoll instance with sock, or -1; see hangup.c */
	uint64_t hup_token;
	int64_t asked_ns;		/* coarse time when the kernel was last asked */
	struct pipe_way tx, rx;
	struct kipc_bell bells[PIPE_BELLS];	/* way 0 readable, writable; way 1 likewise */
	uint8_t *map[KIPC_PIPE_WAYS];
};

static inline struct kipc_pipe *pipe_of(struct kipc_segment *seg)
{
	return container_of(seg, struct kipc_pipe, obj.seg);
}

/* Whether the way exists, and a slot for this process.  0, -EBADF, or as __kipc_peer_enter(). */
static inline int pipe_enter(struct kipc_pipe *p, const struct pipe_way *w)
{
	if (unlikely(!w->shm))
		return -EBADF;
	return __kipc_peer_enter(&p->obj.seg);
}

/* ---- handles: create.c ---- */

/* A handle without descriptors, or NULL. */
struct kipc_pipe *__kipc_pipe_new(uint32_t end);
/* Closes and frees all that the handle has; NULL is allowed. */
void __kipc_pipe_free(struct kipc_pipe *p);
/* Opens the segment behind fd, as __kipc_segment_open(). */
int __kipc_pipe_open(struct kipc_pipe *p, int fd);
void __kipc_pipe_populate(struct kipc_pipe *p);

/* ---- the auditor: check.c ---- */

void __kipc_pipe_check(struct kipc_check *c, uint32_t stamp);
/* create.c: the same, with the stamp that this build writes. */
void __kipc_pipe_check_object(struct kipc_check *c);

/* ---- hang-up: hangup.c ---- */

/* Asks the kernel; whether the other end is gone. */
bool __kipc_pipe_ask(struct kipc_pipe *p);
/* Asks if the last answer is older than a few ms. */
bool __kipc_pipe_ask_due(struct kipc_pipe *p);
/* The epoll instance for waits, made at its first use; -1 when there can't be one. */
int __kipc_pipe_hup_fd(struct kipc_pipe *p);
void __kipc_pipe_hup_forked(struct kipc_pipe *p);
void __kipc_pipe_hup_close(struct kipc_pipe *p);

/* Whether a handle of the other end was closed since the kernel was last asked. */
static inline bool pipe_closes_moved(const struct kipc_pipe *p)
{
	return load_relaxed(&p->shm->closes[!p->end]) != load_relaxed(&p->closes_seen);
}

/* Without a system call unless somebody closed a handle of the other end. */
static inline bool pipe_gone(struct kipc_pipe *p)
{
	if (unlikely(pipe_closes_moved(p)))
		return __kipc_pipe_ask(p);
	return load_relaxed(&p->hup);
}

/* ---- waiting: wait.c ---- */

/*
 * One step of waiting: __kipc_wait() with the pipe's hang-up.  0: try again; -EAGAIN, -ETIMEDOUT.
 * Sets *waited: a wake-up may have been taken that another sleeper needs, too.
 */
int __kipc_pipe_wait(struct kipc_pipe *p, struct kipc_wait *w, bool *waited);

/*
 * For a call that returns -EAGAIN: if somebody polls the bell's eventfd, makes it unreadable.  True:
 * ready() held meanwhile, try again.
 */
bool __kipc_pipe_rearm(struct kipc_pipe *p, struct kipc_bell *bell, bool (*ready)(void *arg),
		       void *arg);

/* ---- waiting outside: source.c, as kipc_object_ops.source ---- */

int __kipc_pipe_source(struct kipc_object *obj, unsigned int which, struct kipc_source *src);

/* ---- streams: stream.c ---- */

/* Sends a message longer than the ring, with send_lock held.  0 or a negative errno. */
int __kipc_pipe_stream_out(struct kipc_pipe *p, const void *buf, uint64_t len, int64_t deadline);
/*
 * Receives the stream whose record begins at tail, with recv_lock held.  Its length; -EAGAIN: it was
 * given up, go on behind it; -EPIPE, -EPROTO, -EMSGSIZE.
 */
ssize_t __kipc_pipe_stream_in(struct kipc_pipe *p, uint64_t tail, uint64_t len, void *buf,
			      size_t size);
/* Whether the stream at tail of that length is cut already. */
bool __kipc_pipe_stream_cut(struct kipc_pipe *p, uint64_t tail, uint64_t len);
/* Drops what a dead receiver left of its stream.  0: all of it; -EAGAIN: more is to come; -EPROTO. */
int __kipc_pipe_stream_drop(struct kipc_pipe *p);
/* For repairs: the holder of send_lock died. */
void __kipc_pipe_stream_repair(struct kipc_pipe_way *shm);

#endif
