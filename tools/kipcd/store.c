// SPDX-License-Identifier: MIT
/*
 * The service manager's store of descriptors, which outlives a broker that it runs: what it was
 * given comes back when it starts the next one.  sd_notify(3) and sd_pid_notify_with_fds(3)
 * describe the protocol, which is a few words of text in a datagram.
 *
 * A descriptor is stored under a name that says all there is to know: KIND.ROLE.NAME, and of a listener
 * 2.l.MODE.ID.NAME.  ROLE is the number of the descriptor as in a handover, r the one for reading only, p the
 * creator's pidfd.  What comes back is verified as if a client had sent it.
 *
 * After each change we wait until the manager has seen it (BARRIER): it asks who sent a message
 * when it reads it, and the dead can't answer.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/kipcd/kipcd.h"

#define LISTEN_FDS_START	3	/* sd_listen_fds(3) */
#define BARRIER_MS		5000

static int manager = -1;		/* connected to the manager's socket */

/* ---- telling it ---- */

static int tell(const char *text, int fd)
{
	if (manager < 0)
		return 0;
	for (;;) {
		struct pollfd pfd = { .fd = manager, .events = POLLOUT };
		int r = client_send(manager, text, strlen(text), &fd, fd >= 0);

		if (r != -EAGAIN)
			return r;
		if (poll(&pfd, 1, BARRIER_MS) == 0)
			return -ETIMEDOUT;
	}
}

/* Until it has read all that we said: it closes the other end of a pipe then. */
static int barrier(void)
{
	struct pollfd pfd;
	int fds[2], r;

	if (manager < 0)
		return 0;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	r = tell("BARRIER=1", fds[1]);
	close(fds[1]);
	pfd = (struct pollfd){ .fd = fds[0] };
	if (!r && poll(&pfd, 1, BARRIER_MS) == 0)
		r = -ETIMEDOUT;
	close(fds[0]);
	return r;
}

void store_begin(void)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0';	/* an abstract one */
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (manager >= 0 && connect(manager, (struct sockaddr *)&addr,
				    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len))) {
		warn("%s", path);
		close(manager);
		manager = -1;
	}
}

void store_ready(void)
{
	int r = tell("READY=1", -1);

	if (r)
		warnx("the service manager: %s", strerror(-r));
}

/* ---- names of descriptors ---- */

static void fd_name(char *buf, size_t size, const struct entry *e, char role)
{
	if (role == 'l')
		snprintf(buf, size, "%u.l.%o.%llx.%s", e->rec.kind, e->rec.mode,
			 (unsigned long long)e->rec.id, e->rec.name);
	else
		snprintf(buf, size, "%u.%c.%s", e->rec.kind, role, e->rec.name);
}

static int put_one(const struct entry *e, char role, int fd)
{
	char name[160], text[256];

	if (fd < 0)
		return 0;
	fd_name(name, sizeof(name), e, role);
	/* FDPOLL: it is not to look whether an eventfd or a pidfd has something to say */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return tell(text, fd);
}

int store_put(const struct entry *e)
{
	int r = 0;

	if (manager < 0)
		return 0;
	for (int i = 0; i < 1 + BELLS_MAX && !r; i++)
		r = put_one(e, (char)('0' + i), e->fds[i]);
	if (!r)
		r = put_one(e, 'r', e->readonly);
	if (!r)
		r = put_one(e, 'p', e->pidfd);
	if (!r && e->listener)
		r = put_one(e, 'l', e->listener->fd);
	return r ? r : barrier();
}

void store_remove(const struct entry *e)
{
	static const char roles[] = "01234rpl";
	char name[160], text[256];

	if (manager < 0)
		return;
	for (const char *role = roles; *role; role++) {
		fd_name(name, sizeof(name), e, *role);
		snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
		tell(text, -1);
	}
	barrier();
}

/* ---- what comes back ---- */

/* The name that the descriptor belongs to, made if it is the first of it. */
static struct entry *entry_of(struct broker *b, uint32_t kind, const char *name, uint32_t uid)
{
	struct entry *e = table_find(&b->table, kind, name);
	struct record rec = { .used = 1, .kind = (uint16_t)kind, .uid = uid };

	if (e)
		return e;
	if (kind != KIPC_SEG_PIPE)
		rec.nbells = (uint16_t)kind_bells(kind);
	memcpy(rec.name, name, strlen(name));
	return table_add(b, table_free_slot(&b->table), &rec);
}

/* A listener's connection goes on where it was. */
static bool take_listener(struct broker *b, int fd, uint32_t mode, uint64_t id, const char *name)
{
	struct client *c = client_new(b, fd);
	struct entry *e;

	if (!c)
		return true;		/* it is closed */
	e = entry_of(b, KIPC_SEG_PIPE, name, c->uid);
	if (!e || e->listener) {
		client_drop(c);
		return true;
	}
	e->rec.gid = c->gid;
	e->rec.mode = mode & 0777;
	e->rec.id = id;
	e->rec.pid = (uint32_t)c->pid;
	e->rec.start = process_start(c->pid);
	listener_begin(c, e);
	return true;
}

/* A descriptor of an object: false if it can't be what its name says. */
static bool take_object(struct broker *b, int fd, uint32_t kind, char role, const char *name)
{
	struct object o = { 0 };
	struct entry *e = table_find(&b->table, kind, name);
	int *to;

	if (role == 'p' || (role >= '1' && role <= '4')) {
		/* after the memfd, which says whose it is; see store_load() */
		if (!e || (role != 'p' && role - '0' > e->rec.nbells))
			return false;
		to = role == 'p' ? &e->pidfd : &e->fds[role - '0'];
		if (role == 'p' ? !object_is_pidfd(fd) :
				  !(e->rec.bell[role - '1'] = object_eventfd(fd)))
			return false;
	} else {
		if (object_memfd(&o, fd, role == 'r' ? O_RDONLY : O_RDWR))
			return false;
		if (e && e->rec.ino && (e->rec.ino != o.ino || e->rec.dev != o.dev))
			return false;
		e = entry_of(b, kind, name, o.uid);
		if (!e)
			return false;
		object_head(&o, fd);
		e->rec.gid = o.gid;
		e->rec.mode = o.mode;
		e->rec.dev = o.dev;
		e->rec.ino = o.ino;
		e->rec.id = o.id;
		e->rec.created_ns = o.created_ns;
		to = role == 'r' ? &e->readonly : &e->fds[0];
	}
	if (*to >= 0)
		return false;
	*to = fd;
	if (role == 'p') {
		e->rec.flags |= KIPC_BROKER_TIED;
		if (tie(b, e)) {
			e->pidfd = -1;
			return false;
		}
	}
	return true;
}

/* Memfds come first: they say whose the rest is. */
static bool is_memfd_name(const char *text)
{
	char role = 0;

	return sscanf(text, "%*u.%c.", &role) == 1 && (role == '0' || role == 'r');
}

/* One stored descriptor: false if it is of no use. */
static bool take(struct broker *b, int fd, const char *text)
{
	char padded[KIPC_BROKER_NAME] = "", role;
	unsigned long long id;
	unsigned int kind, mode;
	int at = 0;

	if (sscanf(text, "%u.%c.%n", &kind, &role, &at) != 2 || !at)
		return false;
	text += at;
	if (role == 'l') {
		at = 0;
		if (sscanf(text, "%o.%llx.%n", &mode, &id, &at) != 2 || !at)
			return false;
		text += at;
	}
	if (strlen(text) >= sizeof(padded))
		return false;
	memcpy(padded, text, strlen(text));
	if (!object_name_ok(padded))
		return false;
	if (role == 'l')
		return kind == KIPC_SEG_PIPE && take_listener(b, fd, mode, id, padded);
	return kind_bells(kind) >= 0 && strchr("01234rp", role) &&
	       take_object(b, fd, kind, role, padded);
}

static bool is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) && yes;
}

int store_activated(void)
{
	const char *pid = secure_getenv("LISTEN_PID"), *n = secure_getenv("LISTEN_FDS");

	return pid && n && atol(pid) == (long)getpid() && atoi(n) > 0 ? atoi(n) : 0;
}

/* What is not complete is nothing: its publisher was never told that it is there. */
static void drop_incomplete(struct broker *b)
{
	for (uint32_t i = 0; i < b->table.nslots; i++) {
		struct entry *e = b->table.slot[i];

		if (e && entry_lost(e))
			entry_end(b, e);
		else if (e)
			entry_changed(b, e);
	}
}

int store_load(struct broker *b, int n)
{
	const char *given = secure_getenv("LISTEN_FDNAMES");
	char *names = strdup(given ? given : ""), *rest, *name;

	if (!names)
		return -ENOMEM;
	for (int turn = 0; turn < 2; turn++) {
		strcpy(names, given ? given : "");
		rest = names;
		for (int i = 0; i < n; i++) {
			int fd = LISTEN_FDS_START + i;

			name = strsep(&rest, ":");
			if (!name || is_memfd_name(name) != !turn)
				continue;
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			if (is_listening(fd)) {
				fcntl(fd, F_SETFL, O_NONBLOCK);
				b->listen = fd;
			} else if (!take(b, fd, name)) {
				close_later(fd, (uid_t)-1);
			}
		}
	}
	free(names);
	drop_incomplete(b);
	return b->listen < 0 ? -EINVAL : 0;
}
