// SPDX-License-Identifier: MIT
/* What every worker does: notes what it waits for, stands still when it is told to, eats memory. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

struct soak_shared *soak;
int soak_fd = -1;
struct soak_handles handles;

static const char *const calls[] = {
	[CALL_NONE] = "nothing", [CALL_PUT] = "queue put", [CALL_GET] = "queue get",
	[CALL_LIST] = "list", [CALL_DICT] = "dict", [CALL_LOCK] = "lock",
	[CALL_RLOCK] = "rlock", [CALL_SHM_LOCK] = "shm lock", [CALL_SEND] = "pipe send",
	[CALL_RECV] = "pipe recv",
	[CALL_CHURN] = "create and drop",
};

void soak_wrong(enum soak_promise p, const char *fmt, ...)
{
	uint32_t i;
	va_list ap;

	fetch_add(&soak->violations[p], 1);
	i = fetch_add(&soak->ntexts, 1);
	if (i >= SOAK_TEXTS)
		return;
	va_start(ap, fmt);
	vsnprintf(soak->text[i], sizeof(soak->text[i]), fmt, ap);
	va_end(ap);
}

const char *soak_call_name(uint32_t call)
{
	return calls[call < SOAK_CALLS ? call : CALL_NONE];
}

int soak_failed(struct soak_worker *w, const char *what, long r)
{
	/* who has no memory left may be told so before it is killed for it */
	if (w->eats && (r == -ENOMEM || r == -ENOLCK))
		return 0;
	soak_wrong(SOAK_ERRORS, "place %u: %s: %s", w->nr, what, kipc_strerror((int)r));
	return 1;
}

/* ---- waits ---- */

void soak_begin(struct soak_worker *w, enum soak_call call)
{
	store_relaxed(&w->place->doing, (uint32_t)call);
	store_release(&w->place->since_ns, (uint64_t)__kipc_now_ns());
}

void soak_end(struct soak_worker *w)
{
	struct soak_counts *count = &w->place->count;
	uint64_t since = w->place->since_ns;
	uint64_t took = (uint64_t)__kipc_now_ns() - since;
	uint32_t call = w->place->doing;

	store_release(&w->place->since_ns, 0);
	if (took > count->worst_ns[call])
		count->worst_ns[call] = took;
	if (took > count->worst_clean_ns[call] && !load_acquire(&soak->held_up) &&
	    since > load_acquire(&soak->last_held_up_ns))
		count->worst_clean_ns[call] = took;
}

void soak_give_up(struct soak_worker *w)
{
	store_release(&w->place->since_ns, 0);
}

/* ---- between two calls ---- */

void soak_nap_us(uint32_t us)
{
	struct timespec ts = { .tv_nsec = us * 1000L };

	nanosleep(&ts, NULL);
}

/* More and more, until it is killed: in a call as well, since calls touch memory, too. */
static void eat(unsigned int *seed)
{
	size_t size = (size_t)16384 << below(seed, 6);
	char *p = malloc(size);

	/* volatile: all of it is really written, and never given back */
	for (size_t i = 0; p && i < size; i += 4096)
		*(volatile char *)(p + i) = 1;
}

void soak_pause(struct soak_worker *w)
{
	uint32_t phase = load_acquire(&soak->phase);

	if (phase & 1) {
		store_release(&w->place->parked, phase);
		while (load_acquire(&soak->phase) == phase)
			soak_nap_us(1000);
	}
	if (w->eats)
		eat(&w->seed);
	else if (!below(&w->seed, 32))
		soak_nap_us(below(&w->seed, 1000));
}

int soak_work(uint32_t place, bool eats)
{
	struct soak_worker w = { .place = &soak->place[place], .nr = place, .eats = eats };

	w.seed = (unsigned int)(soak->seed + w.place->incarnation * 2654435761u);
	switch (role_of(place)) {
	case ROLE_PRODUCER:
		return produce(&w);
	case ROLE_CONSUMER:
		return consume(&w);
	case ROLE_CLIENT:
		return serve(&w);
	case ROLE_PIPE:
		return talk(&w);
	}
	return 1;
}
