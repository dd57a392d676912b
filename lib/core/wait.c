// SPDX-License-Identifier: MIT
/*
 * Spin, announce, drain, look again, sleep: see wait.h.
 *
 * Why no wake-up is lost: the sleeper announces (a full barrier), then looks at the condition; the
 * other side publishes (a full barrier), then looks at the sleepers.  One of the two sees the other
 * (Dekker).  The look comes after the drain, so a signal that the drain ate was for something that
 * the look sees.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "core/sys.h"
#include "core/wait.h"

#define SPIN_MAX_NS	20000u	/* about what a sleep and a wake-up cost together */
#define SPIN_START_NS	5000u
#define SPIN_MIN_NS	500u
#define SPIN_SKIP_MAX	256u	/* waits between two probes, when spinning never pays */
#define SPIN_FIRST	8	/* pauses before the first look, about 20 ns each */
#define SPIN_BETWEEN	3	/* ... and between two looks */

enum { SLEEP_UNKNOWN, SLEEP_URING, SLEEP_PPOLL };
static int how;

static int choose(void)
{
	const char *no = getenv("KIPC_NO_IO_URING");
	int chosen = no && *no && *no != '0' ? SLEEP_PPOLL : SLEEP_URING;

	store_relaxed(&how, chosen);
	return chosen;
}

bool __kipc_uring_allowed(void)
{
	int chosen = load_relaxed(&how);

	return (chosen == SLEEP_UNKNOWN ? choose() : chosen) == SLEEP_URING;
}

int __kipc_sleep(int bell_fd, int hup_fd, uint64_t hup_token, int64_t until_ns)
{
	int chosen = load_relaxed(&how), r;

	if (unlikely(chosen == SLEEP_UNKNOWN))
		chosen = choose();
	if (chosen == SLEEP_URING) {
		r = __kipc_sleep_uring(bell_fd, hup_fd, hup_token, until_ns);
		if (r >= 0)
			return r;
		/* forbidden or absent is for good; out of memory or descriptors is for now */
		if (r == -ENOSYS || r == -EPERM || r == -EACCES || r == -EINVAL)
			store_relaxed(&how, SLEEP_PPOLL);
	}
	return __kipc_sleep_ppoll(bell_fd, hup_fd, until_ns);
}

uint64_t __kipc_hup_token(void)
{
	static uint64_t last;

	return fetch_add(&last, 1) + 1;
}

int __kipc_wait_fd(int fd, short events, int64_t deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	struct timespec ts;
	int64_t now = 0;
	long r;

	for (;;) {
		if (deadline)
			now = __kipc_now_ns();
		ts = __kipc_timespec(deadline <= now ? 0 : min_of(deadline - now, KIPC_TICK_NS));
		r = SYS(ppoll(&pfd, 1, &ts, NULL));
		if (r > 0)
			return 0;
		if (r < 0 && r != -EINTR)
			return (int)r;
		if (!deadline)
			return -EAGAIN;
		if (now >= deadline)
			return -ETIMEDOUT;
	}
}

/*
 * Spinning can only pay when the other side can run meanwhile.  Our own affinity says nothing about
 * that: each side may be bound to a CPU of its own.
 */
static bool one_cpu(void)
{
	static int cpus;

	if (unlikely(load_relaxed(&cpus) == 0)) {
		int saved = errno;

		store_relaxed(&cpus, get_nprocs());
		errno = saved;
	}
	return load_relaxed(&cpus) == 1;
}

static inline void relax(int n)
{
	while (n--)
		cpu_relax();
}

/*
 * What is learnt: a success at time t is worth twice t next time; a failure halves the budget; when
 * little is left, spinning is skipped, for longer and longer, and tried again in full now and then.
 * Two ends on one CPU never succeed and soon stop; two ends on two CPUs find each other at the
 * first probe of either.  The fields may lose an update among threads, which costs nothing.
 */
bool __kipc_spin_until(struct kipc_spin *spin, bool (*ready)(void *arg), void *arg)
{
	uint32_t budget = load_relaxed(&spin->budget_ns), skip = load_relaxed(&spin->skip);
	uint32_t left = load_relaxed(&spin->left);
	int64_t start, t;

	if (one_cpu())
		return false;
	if (!budget && !skip) {
		budget = SPIN_START_NS;
	} else if (!budget) {
		if (left) {
			store_relaxed(&spin->left, left - 1);
			return false;
		}
		budget = SPIN_MAX_NS;
	}
	start = __kipc_now_ns();
	/*
	 * The operation has just looked.  Looking again at once would only take the cache line away
	 * from the one who is about to write it; an answer takes longer than this in any case.
	 */
	relax(SPIN_FIRST);
	do {
		for (int i = 0; i < 8; i++) {
			if (ready(arg)) {
				t = __kipc_now_ns() - start;
				t = max_of(2 * t, (int64_t)budget - budget / 8);
				store_relaxed(&spin->budget_ns, min_of(t, SPIN_MAX_NS));
				store_relaxed(&spin->skip, 0);
				return true;
			}
			relax(SPIN_BETWEEN);
		}
		t = __kipc_now_ns() - start;
	} while (t < budget);

	if (load_relaxed(&spin->budget_ns) / 2 >= SPIN_MIN_NS) {
		store_relaxed(&spin->budget_ns, budget / 2);
	} else {
		skip = skip ? min_of(2 * skip, SPIN_SKIP_MAX) : 8;
		store_relaxed(&spin->budget_ns, 0);
		store_relaxed(&spin->skip, skip);
		store_relaxed(&spin->left, skip);
	}
	return false;
}

/* Somebody else is draining: if it died at that, its slot must go. */
static void check_drainer(struct kipc_wait *w)
{
	uint32_t slot = __kipc_bell_drainer(w->bell);

	if (slot)
		__kipc_peer_reap(w->seg, slot);
}

int __kipc_wait(struct kipc_wait *w)
{
	int64_t now, tick, look = KIPC_DEADLINE_NEVER;
	bool force = false, drained;
	uint32_t owner;
	int r, got;

	if (w->deadline == 0)
		return -EAGAIN;
	/*
	 * ready() held and the operation was refused all the same: others are faster, or a hostile
	 * peer has it so, again and again.  That is no reason to stay beyond the deadline.
	 */
	if (w->refused && __kipc_now_ns() >= w->deadline) {
		__kipc_peer_sweep(w->seg, KIPC_TICK_NS);
		return -ETIMEDOUT;
	}
	w->refused = true;	/* if it comes back after this */
	if (w->spin && __kipc_spin_until(w->spin, w->ready, w->arg))
		return 0;

	__kipc_bell_announce(w->seg, w->bell);
	w->slept = true;	/* a drain, too, may eat a wake-up that was meant for two */
	for (;;) {
		drained = __kipc_bell_drain(w->seg, w->bell, force);
		if (w->ready(w->arg)) {
			r = 0;
			break;
		}
		now = __kipc_now_ns();
		if (now >= w->deadline) {
			/* who only ever waits for less than a tick must see deaths as well */
			owner = w->owner ? w->owner(w->arg) : 0;
			__kipc_peer_sweep(w->seg, owner ? KIPC_OWNER_TICK_NS : KIPC_TICK_NS);
			r = w->ready(w->arg) ? 0 : -ETIMEDOUT;
			break;
		}
		owner = w->owner ? w->owner(w->arg) : 0;
		tick = drained && !owner ? KIPC_TICK_NS : KIPC_OWNER_TICK_NS;
		if (now >= look) {
			/* by the clock: rings and signals must not put it off */
			if (!drained)
				check_drainer(w);
			if (owner)
				__kipc_peer_reap(w->seg, owner);
			/* whoever swept just before is followed by a tick of ours: 125 ms in all */
			__kipc_peer_sweep(w->seg, KIPC_TICK_NS / 4);
			look = KIPC_DEADLINE_NEVER;
			if (w->ready(w->arg)) {
				r = 0;
				break;
			}
		}
		look = min_of(look, now + tick);
		KIPC_TRACE(bell_sleep, w->bell->id, w->bell->index, owner);
		got = __kipc_sleep(drained ? w->bell->fd : -1, w->hup_fd, w->hup_token,
				   min_of(w->deadline, look));
		KIPC_TRACE(bell_woken, w->bell->id, w->bell->index, got);
		KIPC_POINT("wait.woken");
		force = got & 1;
		if (got & 2) {
			/* our wake-up was perhaps the bell's only one: nobody else will drain */
			if (force)
				__kipc_bell_drain(w->seg, w->bell, true);
			w->hup = true;
			r = 0;
			break;
		}
	}
	__kipc_bell_retract(w->seg, w->bell);
	w->refused = !r && !w->hup;
	return r;
}
