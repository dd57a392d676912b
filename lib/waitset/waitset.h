/* SPDX-License-Identifier: MIT */
/*
 * Waitsets, private side.  All of it is this process's memory: nothing here is shared with peers,
 * who meet the set only as one more poller of their doorbells (core/source.h).
 *
 * Members are of two sorts:
 *
 *	objects		(queues, pipes) have up to three watches, each a source: a doorbell's
 *			eventfd that is polled for edges, and a cheap look into shared memory that
 *			says what holds.
 *	the kernel's	(timers, signals, children, listeners, other descriptors) have one watch, a
 *			descriptor in an epoll instance that the kernel keeps as a level.
 *
 * Watches of objects, who moves them:
 *
 *	unarmed		no poll is armed for it; its member is in `unarmed`
 *	armed		its token names the poll: in the ring (a multishot poll), or in the epoll
 *			instance
 *	hot		an event of that poll came, or a tick found that it holds: its member is in
 *			`hot`, and each wait looks.  Armed or not.
 *
 * So a wait walks `hot`, never all members.  What a look finds true is reported and stays hot, so
 * that the next wait reports it again; what it finds false is drained and goes cold (source.h says
 * why no wake-up is lost by that).  `hot` is a queue: who was looked at goes to its end.
 *
 * Where the kernel is asked:
 *
 *	UNDECIDED	nobody has waited yet; objects stay unarmed
 *	RING		objects in an io_uring of the thread that waits, which polls the epoll
 *			instance, too
 *	EPOLL		everything in the epoll instance, for edges and levels alike as levels
 *
 * A ring belongs to the thread that made it, as its completions are run by that thread alone,
 * inside the wait (DEFER_TASKRUN): nobody is interrupted, and a flag in the ring's memory says
 * whether there is anything to fetch.  Another thread that comes to wait makes a ring of its own.
 *
 * Tokens are numbers that never repeat, with the place in the table in their low bits, so what the
 * kernel still had to say of a removed member, or of an earlier poll, is recognised.  The same for
 * ids.
 *
 * Locking: one mutex a set, held by every call but while a wait sleeps.  Locking order: the list of
 * sets (fork) -> a set -> what the kinds take.
 */
#ifndef KIPC_WAITSET_WAITSET_H
#define KIPC_WAITSET_WAITSET_H

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/queue.h>

#include "core/object.h"
#include "core/time.h"
#include "kipc/waitset.h"

#define WATCHES		3
#define INDEX_BITS	24		/* places in the table; 0 is nobody's */
#define INDEX_MASK	((1u << INDEX_BITS) - 1)
#define WATCH_BITS	2
#define NUMBER_SHIFT	(INDEX_BITS + WATCH_BITS)

/* Tokens of what is no member's. */
#define TOKEN_NONE	0ULL
#define TOKEN_KICK	(1ULL << NUMBER_SHIFT)	/* the eventfd that ends a sleep in the ring */
#define TOKEN_EPOLL	(2ULL << NUMBER_SHIFT)	/* the ring's poll of the epoll instance */

struct watch {
	struct kipc_source src;	/* of a kernel's member: only fd */
	uint32_t event;		/* what it stands for, one bit; 0: not in use */
	bool hot;
	uint64_t token;		/* of the poll that is armed, or TOKEN_NONE */
	uint64_t seen;		/* __kipc_source_seen() after its last event */
};

struct member;

/* A row for each kind of member: see object.c and kernel.c. */
struct member_kind {
	uint32_t number;	/* enum kipc_waitset_kind */
	uint32_t can;		/* events that may be asked for */
	uint32_t always;	/* ... and those that come unasked */
	/*
	 * Prepares the watch: src and, of a kernel's member, m->poll.  In a fork child again, where
	 * the kernel's members find the inherited descriptor in src.fd.  0 or a negative errno.
	 */
	int (*open)(struct member *m, struct watch *w);
	void (*close)(struct member *m, struct watch *w);	/* its descriptor; may be NULL */
	/*
	 * The kernel's members: epoll said `revents`.  Whether there is something to report; *ev
	 * has all but that.  NULL: an object.
	 */
	bool (*take)(struct member *m, uint32_t revents, struct kipc_waitset_event *ev);
};

struct member {
	int64_t id;
	const struct member_kind *kind;
	void *data;
	uint32_t events;	/* that were asked for */
	uint32_t poll;		/* EPOLL*, of a kernel's member */
	bool done;		/* a child that was reported: nothing more will come */
	bool is_hot, is_unarmed;
	union {
		struct kipc_object *object;
		struct kipc_pipe_listener *listener;
		int fd;
		pid_t pid;
		sigset_t signals;
		struct itimerspec timer;	/* as it is to be set when it is opened */
	} of;
	TAILQ_ENTRY(member) hot, unarmed;
	struct watch watch[WATCHES];
};

TAILQ_HEAD(member_list, member);

/* A place in the table. */
struct place {
	struct member *member;
	uint32_t next_free;
};

enum waitset_how { HOW_UNDECIDED, HOW_RING, HOW_EPOLL };

struct waitset_ring {
	struct io_uring uring;
	uint64_t owner;			/* number of the thread that made it */
	bool polls_epoll;		/* the poll of the epoll instance is armed */
	uint64_t *cancel;		/* polls that are nobody's any more */
	size_t ncancel, max_cancel;
};

struct kipc_waitset {
	pthread_mutex_t mutex;
	uint64_t epoch;			/* of the process that has it */
	bool inherited;			/* by a fork child, and not used there yet */
	bool only_epoll;		/* as opted, no ring to be had, or kipc_waitset_fd() */
	bool waiting;			/* a thread is in kipc_waitset_wait() */
	bool asleep;			/* ... and has given the mutex up */
	bool kicked;			/* kick_fd is readable */
	bool epoll_hot;			/* the epoll instance may have something */
	bool soon;			/* somebody else is draining: sleep for a moment only */
	enum waitset_how how;
	int epfd, kick_fd;
	struct waitset_ring ring;

	struct place *places;
	uint32_t nplaces, first_free;
	uint32_t *by_fd;		/* the place whose member polls that descriptor, or 0 */
	uint32_t nby_fd;
	uint64_t last_number;
	struct member_list hot, unarmed;
	uint32_t nhot;

	uint32_t turn;			/* waits so far */
	uint32_t random;
	uint32_t round_at;		/* the place where the rounds go on */
	int64_t round_ns;		/* when they last went on */
	struct kipc_waitset *next, **pprev;	/* every set of the process */
};

static inline bool is_object(const struct member *m)
{
	return !m->kind->take;
}

static inline uint32_t index_of(const struct member *m)
{
	return (uint32_t)m->id & INDEX_MASK;
}

/* A member's watches: hang-up first, as what is found out there counts for the others. */
static inline struct watch *watch_of(struct member *m, uint32_t event)
{
	return &m->watch[event == KIPC_WAITSET_HANGUP ? 0 : event];
}

/* ---- sets: waitset.c ---- */

/*
 * Takes the mutex, in a fork child after the set was made anew.  0, -EINVAL, -ECHILD, or what
 * failed.
 */
int __kipc_waitset_enter(struct kipc_waitset *ws);
static inline void leave(struct kipc_waitset *ws)
{
	pthread_mutex_unlock(&ws->mutex);
}

/* ---- members: member.c ---- */

struct member *__kipc_waitset_new_member(struct kipc_waitset *ws);
void __kipc_waitset_free_member(struct kipc_waitset *ws, struct member *m);
struct member *__kipc_waitset_find(struct kipc_waitset *ws, int64_t id);
uint64_t __kipc_waitset_token(struct kipc_waitset *ws, struct member *m, struct watch *w);
/* The watch whose poll the token names, and its member; NULL when there is none any more. */
struct watch *__kipc_waitset_watch(struct kipc_waitset *ws, uint64_t token, struct member **m);
/* Opens and arms the watch for the event; on failure some of it is left, to be dropped. */
int __kipc_waitset_add_watch(struct kipc_waitset *ws, struct member *m, struct watch *w,
			     uint32_t event);
void __kipc_waitset_drop_watch(struct kipc_waitset *ws, struct member *m, struct watch *w);
/* All that the member is for; the same on failure. */
int __kipc_waitset_add_watches(struct kipc_waitset *ws, struct member *m);
void __kipc_waitset_heat(struct kipc_waitset *ws, struct member *m, struct watch *w);
void __kipc_waitset_queue_unarmed(struct kipc_waitset *ws, struct member *m);
/* Who it is, and nothing yet of what happened. */
void __kipc_waitset_describe(const struct member *m, struct kipc_waitset_event *ev);

/* ---- kinds: object.c, kernel.c, where each is a row ---- */

extern const struct member_kind __kipc_waitset_queue, __kipc_waitset_pipe, __kipc_waitset_plain,
	__kipc_waitset_listener, __kipc_waitset_timer, __kipc_waitset_signal, __kipc_waitset_child;

/* What holds of an object that is hot; what doesn't goes cold. */
uint32_t __kipc_waitset_look(struct kipc_waitset *ws, struct member *m);
/*
 * Goes on with the rounds: looks for what nobody rang for, and for the dead.  Every object has its
 * turn once in KIPC_TICK_NS; since_ns is how much of that has passed.
 */
void __kipc_waitset_round(struct kipc_waitset *ws, int64_t since_ns);

/* ---- where the kernel is asked: poll.c decides, epoll.c and ring.c do ---- */

int __kipc_waitset_arm(struct kipc_waitset *ws, struct member *m, struct watch *w);
void __kipc_waitset_disarm(struct kipc_waitset *ws, struct member *m, struct watch *w);
/* For the thread that waits: makes the choice, and arms what is unarmed. */
void __kipc_waitset_settle(struct kipc_waitset *ws);
/*
 * Asks the kernel: makes hot what it has events of, and reports the kernel's members, up to max >=
 * 1 of them.  Sleeps until until_ns unless that is 0.  How many it reported.
 */
int __kipc_waitset_ask(struct kipc_waitset *ws, struct kipc_waitset_event *ev, int max,
		       int64_t until_ns);
/* Ends a sleep in the ring, for what only the thread that waits can do. */
void __kipc_waitset_kick(struct kipc_waitset *ws);

int __kipc_waitset_epoll_open(struct kipc_waitset *ws);
int __kipc_waitset_epoll_add(struct kipc_waitset *ws, int fd, uint32_t events, uint64_t token);
int __kipc_waitset_epoll_change(struct kipc_waitset *ws, int fd, uint32_t events, uint64_t token);
void __kipc_waitset_epoll_del(struct kipc_waitset *ws, int fd);
int __kipc_waitset_epoll_take(struct kipc_waitset *ws, struct kipc_waitset_event *ev, int max,
			      int64_t until_ns);

/*
 * Entries of a ring's queues.  Events for which there is no room end their polls, which are armed
 * again.  Variable for the tests.
 */
extern struct waitset_ring_size {
	unsigned int sq, cq;
} __kipc_waitset_ring_size;

int __kipc_waitset_ring_open(struct kipc_waitset *ws);
/* Closes it; whatever was armed there is unarmed. */
void __kipc_waitset_ring_close(struct kipc_waitset *ws);
bool __kipc_waitset_ring_mine(const struct kipc_waitset *ws);
void __kipc_waitset_ring_cancel(struct kipc_waitset *ws, uint64_t token);
/*
 * Arms and cancels what is to be, and takes what has come, sleeping unless until_ns is 0.  0;
 * negative: the ring is of no use any more.
 */
int __kipc_waitset_ring_take(struct kipc_waitset *ws, int64_t until_ns);

#endif
