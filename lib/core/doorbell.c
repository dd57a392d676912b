// SPDX-License-Identifier: MIT
/* The slow paths of doorbells: see doorbell.h for the protocol and its deaths. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/doorbell.h"
#include "core/sys.h"

/* Looks at another's draining before we sleep without the eventfd; every fourth yields the CPU. */
#define DRAIN_TRIES	64

int __kipc_bell_eventfd(void)
{
	return (int)SYS(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

int __kipc_bell_check_fd(int fd)
{
	char path[32], link[32];
	long n;

	/* anything else could block us in read(2), or be a terminal or a disk */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = SYS(readlink(path, link, sizeof(link) - 1));
	if (n < 0)
		return (int)n;
	link[n] = '\0';
	if (strcmp(link, "anon_inode:[eventfd]"))
		return -EPROTO;
	n = SYS(fcntl(fd, F_GETFL));
	if (n >= 0)
		n = SYS(fcntl(fd, F_SETFL, (int)n | O_NONBLOCK));
	return n < 0 ? (int)n : 0;
}

void __kipc_bell_identify(struct kipc_bell *bell)
{
	static const char key[] = "eventfd-id:";
	char path[48], text[512], *at;
	uint64_t id = 0;
	long n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bell->fd);
	fd = (int)SYS_RETRY(open(path, O_RDONLY | O_CLOEXEC));
	if (fd < 0)
		return;
	n = SYS_RETRY(read(fd, text, sizeof(text) - 1));
	SYS(close(fd));
	text[n < 0 ? 0 : n] = '\0';
	at = strstr(text, key);
	if (!at)
		return;
	for (at += sizeof(key) - 1; *at == ' '; at++)
		;
	for (; *at >= '0' && *at <= '9'; at++)
		id = 10 * id + (uint64_t)(*at - '0');
	bell->line->eventfd = id + 1;
}

static void write_eventfd(struct kipc_bell *bell)
{
	uint64_t one = 1;

	if (bell->fd < 0)
		return;		/* only the count of sleepers is used */
	KIPC_TRACE(bell_wake, bell->id, bell->index);
	/* -EAGAIN: the counter is full, so it is readable.  There is nothing else to go wrong. */
	SYS(write(bell->fd, &one, sizeof(one)));
	KIPC_POINT("bell.written");
	stat_inc(&bell->line->rings);
}

void __kipc_bell_ring_slow(struct kipc_bell *bell)
{
	uint64_t w = load_acquire(&bell->line->word);
	uint64_t seen = w;

	if (!(w & (KIPC_BELL_SLEEPERS | KIPC_BELL_WATCHED)))
		return;
	if ((w & (KIPC_BELL_SIGNALLED | KIPC_BELL_DRAINER)) == KIPC_BELL_SIGNALLED)
		return;
	write_eventfd(bell);
	/* Signalled only if nobody may have drained since we looked; others may have announced. */
	while ((w & ~(KIPC_BELL_SEQ - 1)) == (seen & ~(KIPC_BELL_SEQ - 1)) &&
	       !(w & (KIPC_BELL_DRAINER | KIPC_BELL_SIGNALLED)))
		if (try_cmpxchg(&bell->line->word, &w, w | KIPC_BELL_SIGNALLED)) {
			KIPC_POINT("bell.signalled");
			break;
		}
}

void __kipc_bell_kick(struct kipc_bell *bell)
{
	/* after what the caller stored; pairs with: __kipc_bell_announce(), __kipc_bell_watch() */
	if (load_seq_cst(&bell->line->word) & (KIPC_BELL_SLEEPERS | KIPC_BELL_WATCHED))
		write_eventfd(bell);
}

void __kipc_bell_announce(struct kipc_segment *seg, struct kipc_bell *bell)
{
	struct kipc_peer *p = __kipc_peer(seg, seg->slot);

	/* the word first: the record must never claim more than the word has */
	fetch_add(&bell->line->word, KIPC_BELL_SLEEPER);
	KIPC_POINT("bell.announced");
	fetch_add(&p->sleeping[bell->index], 1);
	KIPC_POINT("bell.accounted");
	fence_full();	/* before the look at the condition; pairs with: __kipc_bell_ring() */
}

/* Takes n sleepers out of the word, or as many as are there. */
static void subtract(struct kipc_bell *bell, uint64_t n)
{
	uint64_t w = load_relaxed(&bell->line->word), sleepers;

	do
		sleepers = w & KIPC_BELL_SLEEPERS;
	while (n && !try_cmpxchg(&bell->line->word, &w, w - min_of(n, sleepers)));
	KIPC_POINT("bell.subtracted");
}

void __kipc_bell_retract(struct kipc_segment *seg, struct kipc_bell *bell)
{
	struct kipc_peer *p = __kipc_peer(seg, seg->slot);

	fetch_sub(&p->sleeping[bell->index], 1);
	KIPC_POINT("bell.unaccounted");
	subtract(bell, 1);
}

bool __kipc_bell_drain(struct kipc_segment *seg, struct kipc_bell *bell, bool force)
{
	uint64_t mine = (uint64_t)seg->slot << KIPC_BELL_DRAINER_SHIFT;
	uint64_t w = load_acquire(&bell->line->word), count;
	int tries = 0;

	do {
		/* the other is one read(2) from its end, unless it died or was stopped there */
		while ((w & KIPC_BELL_DRAINER) && (force || (w & KIPC_BELL_SIGNALLED))) {
			if (tries++ == DRAIN_TRIES)
				return false;
			if (tries % 4)
				cpu_relax();
			else
				SYS(sched_yield());
			w = load_acquire(&bell->line->word);
		}
		if (!force && !(w & KIPC_BELL_SIGNALLED))
			return true;
	} while (!try_cmpxchg(&bell->line->word, &w, (w & ~KIPC_BELL_SIGNALLED) | mine));
	KIPC_POINT("bell.drainer");

	SYS(read(bell->fd, &count, sizeof(count)));	/* -EAGAIN: it was not readable */
	KIPC_POINT("bell.drained");

	w = load_relaxed(&bell->line->word);
	while ((w & KIPC_BELL_DRAINER) == mine)
		if (try_cmpxchg(&bell->line->word, &w, (w & ~KIPC_BELL_DRAINER) + KIPC_BELL_SEQ))
			break;
	KIPC_POINT("bell.drainer_left");
	fence_full();	/* before the look at the condition; pairs with: __kipc_bell_ring() */
	return true;
}

bool __kipc_bell_rearm(struct kipc_segment *seg, struct kipc_bell *bell, uint64_t seen)
{
	uint64_t w = load_acquire(&bell->line->word);

	if ((w & (KIPC_BELL_SIGNALLED | KIPC_BELL_DRAINER)) ||
	    (w & ~(KIPC_BELL_SEQ - 1)) == seen)
		return __kipc_bell_drain(seg, bell, true);
	fence_full();	/* before the look at the condition; pairs with: __kipc_bell_ring() */
	return true;
}

void __kipc_bell_watch(struct kipc_bell *bell)
{
	fetch_or(&bell->line->word, KIPC_BELL_WATCHED);
	KIPC_POINT("bell.watched");
	fence_full();	/* before the look at the condition; pairs with: __kipc_bell_ring() */
}

void __kipc_bell_repair(struct kipc_segment *seg, struct kipc_bell *bell, uint32_t slot)
{
	struct kipc_peer *p = __kipc_peer(seg, slot);
	uint64_t theirs = (uint64_t)slot << KIPC_BELL_DRAINER_SHIFT;
	uint64_t w = load_acquire(&bell->line->word);
	uint32_t sleeping;

	/* the record first: if we die in between, the word is too high, never too low */
	sleeping = xchg(&p->sleeping[bell->index], 0);
	KIPC_POINT("bell.dead_unaccounted");
	subtract(bell, sleeping);

	while ((w & KIPC_BELL_DRAINER) == theirs) {
		if (!try_cmpxchg(&bell->line->word, &w, (w & ~KIPC_BELL_DRAINER) + KIPC_BELL_SEQ))
			continue;
		KIPC_POINT("bell.dead_drainer_left");
		__kipc_bell_kick(bell);	/* it may have eaten a wake-up */
		break;
	}
}
