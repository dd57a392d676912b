/* SPDX-License-Identifier: MIT */
/*
 * kipcd: the broker of named objects.  It keeps the descriptors of each and gives them to whoever
 * may have them; it is in nobody's data path, maps no segment, and writes to none.
 *
 *	main.c		options, becoming a daemon, the order of the start
 *	loop.c		waiting for something to do; the end
 *	listen.c	the socket, and that there is one broker
 *	client.c	connections: one request, one reply
 *	closer.c	closing what came from clients, which may take long
 *	request.c	what each request does
 *	listener.c	... those of pipes by name
 *	object.c	what is handed in, verified
 *	access.c	who may do what
 *	limits.c	how much of everything a user may have
 *	table.c		the names
 *	ledger.c	the names in a file: what the next broker knows of this one's
 *	store.c		the service manager's memory, where there is one
 *	adopt.c		finding the objects again whose names the ledger has
 *	tie.c		names that go with a process
 *
 * Trust: clients are hostile.  Their numbers, names and descriptors are checked; they can use up
 * what their user is allowed, no more; none of them is ever waited for.
 *
 * Death: kill -9 at any instruction.  A name exists from the store of its ledger record on until
 * that is stored as free; everything else follows from these two (ledger.c).
 */
#ifndef TOOLS_KIPCD_KIPCD_H
#define TOOLS_KIPCD_KIPCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "uapi/kipc/broker.h"
#include "uapi/kipc/segment.h"

#define NSEC_PER_SEC	1000000000LL
#define NSEC_PER_MSEC	1000000LL

struct broker;
struct client;
struct user;

/* ---- loop.c ---- */

/* What stands behind a descriptor in epoll(7). */
struct source {
	void (*ready)(struct broker *b, struct source *s, uint32_t events);
};

int loop_add(struct broker *b, int fd, struct source *s, uint32_t events);
void loop_remove(struct broker *b, int fd);
/* Until there is nothing left to do; or a negative errno. */
int loop_run(struct broker *b);
int64_t now_ns(void);

/* ---- table.c ---- */

#define BELLS_MAX	4

/* What the ledger says of a name. */
struct record {
	uint32_t used;		/* 1, or 0 for a free place */
	uint16_t kind;
	uint16_t nbells;
	uint32_t flags;		/* KIPC_BROKER_TIED */
	uint32_t uid, gid, mode;	/* when it got its name; while held, the memfd's count */
	uint32_t pid;		/* tied, or a listener: whose life it shares; 0: not known */
	uint32_t reserved;
	uint64_t start;		/* ... and when that process started, clock ticks since boot */
	uint64_t dev, ino;	/* the memfd, 0 of a listener */
	uint64_t id;		/* of the segment, or the listener's own */
	uint64_t created_ns;
	uint64_t bell[BELLS_MAX];	/* the eventfds as the kernel numbers them */
	char name[KIPC_BROKER_NAME];
};

/*
 * A name.  States: held (all descriptors of its kind are there; of a listener, its connection), or
 * lost: its broker died, and not all of it has been found again.
 */
struct entry {
	struct record rec;
	uint32_t slot;			/* its place in the table and in the ledger */
	struct user *user;
	int fds[1 + BELLS_MAX];		/* as in a handover; -1: none */
	int readonly;			/* the memfd, or -1 */
	int pidfd;			/* tied: the creator's, or -1 */
	struct source creator;		/* ... its end */
	struct client *listener;
	uint32_t nfds;			/* as counted in the table, */
	bool lost;			/* ... and this */
	struct entry *next;		/* of the same hash */
};

struct table {
	struct entry **slot;		/* NULL: free */
	uint32_t nslots;
	uint32_t n;			/* names */
	uint32_t nlost;			/* of them lost */
	uint32_t nfds;			/* descriptors in all of them */
	uint32_t low;			/* no place below is free */
	struct entry **hash;
	uint32_t nhash;			/* a power of two */
};

struct entry *table_find(const struct table *t, uint32_t kind, const char *name);
/* A place that is free, for table_add(). */
uint32_t table_free_slot(const struct table *t);
/* A name without descriptors, in that place; NULL: no memory. */
struct entry *table_add(struct broker *b, uint32_t slot, const struct record *rec);
/* Takes it out, closes what it has, frees it.  The ledger is not touched. */
void table_remove(struct broker *b, struct entry *e);
/* The name ends: for the next broker, too. */
void entry_end(struct broker *b, struct entry *e);
bool entry_lost(const struct entry *e);
/* Frees all of it, and changes nothing for the next broker. */
void table_end(struct broker *b);
/* After its descriptors or its listener changed: counts it anew. */
void entry_changed(struct broker *b, struct entry *e);

/* ---- limits.c ---- */

struct user {
	uid_t uid;
	uint32_t objects;		/* names */
	uint32_t clients;		/* connections */
	struct user *next;
};

struct limits {
	uint32_t objects;		/* names in all */
	uint32_t user_objects;
	uint32_t user_clients;
	uint64_t user_bytes;		/* of the sizes of a user's segments; 0: no limit */
};

/* The account of a user, made if need be; NULL: no memory. */
struct user *user_get(struct broker *b, uid_t uid);
/* Forgets accounts that count nothing. */
void user_put(struct broker *b, struct user *u);
/* Whether the user may have one more name, of so many bytes: 0, -EDQUOT, -ENOSPC. */
int limits_check(struct broker *b, uid_t uid, uint64_t bytes);
/* Whether this process has descriptors enough for one more name, or one more client. */
bool limits_descriptors(const struct broker *b, bool name);

/* ---- ledger.c ---- */

/*
 * Opens the file in the runtime folder and locks it for life.  0; -EBUSY: another broker has it; or
 * a negative errno.
 */
int ledger_open(struct broker *b);
/* Brings all names that the file has into the table, as lost ones. */
int ledger_load(struct broker *b);
/* 0, -ENOSPC or another error of write(2).  Without a ledger: 0. */
int ledger_store(struct broker *b, uint32_t slot, const struct record *rec);
int ledger_clear(struct broker *b, uint32_t slot);

/* ---- store.c ---- */

/* How many descriptors the service manager passed to us; 0: it did not start us. */
int store_activated(void);
/* Finds the socket and all that was stored among them.  0; -EINVAL (there is no socket), -ENOMEM. */
int store_load(struct broker *b, int n);
/* The manager's socket, if there is one; without one, the rest does nothing. */
void store_begin(void);
void store_ready(void);
/* 0 or a negative errno. */
int store_put(const struct entry *e);
void store_remove(const struct entry *e);

/* ---- object.c ---- */

/* What belongs to an object, verified. */
struct object {
	int fds[1 + BELLS_MAX];		/* -1: none */
	int readonly;
	int pidfd;
	uint32_t nbells;
	uint32_t uid, gid, mode;
	uint64_t dev, ino, size;
	uint64_t id, created_ns;
	uint64_t bell[BELLS_MAX];
};

/* Whether objects of the kind can have names, and with how many eventfds: or -1. */
int kind_bells(uint32_t kind);
/*
 * Verifies the descriptors that came with a PUBLISH or OFFER.  0, -EPROTO.  They are still the
 * caller's: *o has their numbers.
 */
int object_check(struct object *o, uint32_t kind, const char *name, uint32_t flags, const int *fds,
		 uint32_t nfds);
/* A memfd of a segment, opened so: fills dev, ino, size, uid, gid of *o.  0, -EPROTO. */
int object_memfd(struct object *o, int fd, int accmode);
/* The kernel's number of an eventfd; 0: it is none. */
uint64_t object_eventfd(int fd);
bool object_is_pidfd(int fd);
/* id and created_ns as the header of a memfd has them. */
void object_head(struct object *o, int fd);
/* Opens the memfd anew, for reading or for reading and writing; as the kernel permits. */
int object_reopen(int fd, int accmode);
/* Verifies the descriptors of the end of a pipe.  0, -EPROTO. */
int object_check_pipe(const int *fds, uint32_t nfds);
bool object_name_ok(const char name[KIPC_BROKER_NAME]);
/* Gives the entry what it lacks of the object's descriptors, which are taken (-1 then). */
void object_move(struct broker *b, struct object *o, struct entry *e);

/* ---- access.c ---- */

/* Whether a client may do with what has this owner and mode all that the bits (of 06) say. */
bool access_mode(const struct client *c, uint32_t uid, uint32_t gid, uint32_t mode, uint32_t want);
/* Whether it is the owner, or root, or who runs the broker. */
bool access_own(const struct client *c, uint32_t uid);
/* Owner and mode as they are now. */
void access_of(const struct entry *e, struct kipc_broker_entry *out);

/* ---- client.c ---- */

struct client {
	struct source source;		/* first */
	struct broker *b;
	int fd;
	uid_t uid;			/* who called connect(2), */
	gid_t gid;
	pid_t pid;			/* ... 0: not visible from here */
	struct user *user;
	struct entry *listening;	/* the name that is this connection's */
	int64_t since;			/* when it last asked for something */
	struct client *next, **pprev;	/* in the order of `since` */
};

struct clients {
	struct client *first, **last;
	uint32_t n;
};

/* What a request brought, and what goes back. */
struct exchange {
	struct kipc_broker_request req;
	int fds[KIPC_BROKER_FDS];	/* req.nfds; who takes one stores -1 */
	struct kipc_broker_list reply;
	int out[KIPC_BROKER_FDS];	/* reply.head.nfds, not ours to close */
};

/* A connection that was just accepted; takes fd.  NULL: refused. */
struct client *client_new(struct broker *b, int fd);
void client_drop(struct client *c);
/* Drops those that have not asked for anything for long.  When the next one is due, or -1. */
int64_t client_expire(struct broker *b);
/* Whether the other side is gone; its end may not have been noticed yet. */
bool client_gone(const struct client *c);
/* Sends without waiting: 0, or a negative errno (-EAGAIN: the other side doesn't read). */
int client_send(int fd, const void *buf, size_t len, const int *fds, uint32_t nfds);

/* ---- closer.c ---- */

/* Closes, sooner or later, what came from that user, whatever it is. */
void close_later(int fd, uid_t uid);
/* The same for its connection. */
void close_connection(int fd, uid_t uid);
/* How many are still to be closed. */
uint32_t closer_pending(void);
/* Whether so many of that user's are that no more should be taken from it. */
bool closer_full(uid_t uid);
/* Looks after closes that take long.  When to look again, or -1. */
int64_t closer_check(void);

/* ---- request.c ---- */

/* Does what is asked; fills the reply. */
void request_handle(struct client *c, struct exchange *x);

/* ---- listener.c ---- */

int do_listen(struct client *c, struct exchange *x);
int do_connect(struct client *c, struct exchange *x);
/* The name is that connection's from now on. */
void listener_begin(struct client *c, struct entry *e);

/* ---- adopt.c ---- */

/* Looks for all that is lost; drops names whose objects are gone. */
void adopt(struct broker *b);
/* Looks again, unless it did so just now. */
void adopt_again(struct broker *b);

/* ---- tie.c ---- */

/* When the process started, in clock ticks since boot; 0: there is none, or it can't be told. */
uint64_t process_start(pid_t pid);
/* A pidfd of the process of that number that started then; -ESRCH: it has ended; or another errno. */
int process_open(pid_t pid, uint64_t start);
/* Watches the end of the creator of a tied name, by its pidfd.  0 or a negative errno. */
int tie(struct broker *b, struct entry *e);

/* ---- listen.c ---- */

/* The runtime folder: opened and verified.  0 or a negative errno, with a word on stderr. */
int listen_dir(struct broker *b);
/* The lock, and the socket, ready for loop_run().  0; 1: another broker is there; or an error. */
int listen_lock(struct broker *b);
int listen_start(struct broker *b);
/* The name of the socket goes; those who come now start another broker. */
void listen_end(struct broker *b);

/* ---- the whole ---- */

struct broker {
	const char *runtime_dir;
	struct limits limits;
	int64_t idle_ns;		/* how long it stays with nothing to do */
	uint64_t id;			/* random, not 0 */
	int epoll, dir, listen, ledger;	/* -1: none */
	struct source accept;
	struct table table;
	struct user *users;
	struct clients clients;
	int64_t adopted_ns;		/* when it last looked for what is lost */
};

#endif
