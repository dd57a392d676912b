// SPDX-License-Identifier: (MIT OR GPL-2.0)
/*
 * The part of `ipc-inspect trace` that runs in the kernel, at the library's probes.
 *
 * One program for all probes: the cookie of the place says which one it is and where its arguments
 * are.  It asks first whether the object or the process is one of those that are traced.  Then it
 * joins beginnings with ends (put and get of a position, ring and awakening, taking and giving up of
 * a lock), and hands the event to the tool or counts it in a histogram.
 *
 * Beginnings are kept in tables of limited size.  When one is full, the oldest goes, and its end is
 * counted as unknown: nothing is lost without a count.
 *
 * No kernel structure is used but task_struct.pid, in the two programs at the scheduler's tracepoints.
 * Where it is, the tool finds out by BTF: where the kernel has none, it leaves these two out.  (With
 * relocations in them, libbpf would want BTF for the rest as well.)
 */
#include <stdbool.h>
#include <stdint.h>

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "tools/ipc-inspect/trace-event.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define inline_always static inline __attribute__((always_inline))

#define TABLE(name, kind, n, key_type, value_type)                                                 \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, n);                                                            \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

/* ---- what the tool says ---- */

const volatile bool want_events = false;
const volatile bool want_hists = false;
/* The PID namespace of the tool, by its file in /proc. */
const volatile uint64_t pidns_dev = 0, pidns_ino = 0;
const volatile uint32_t task_pid_offset = 0;	/* in struct task_struct */

bool tracing = false;	/* false: not yet, or not any more */

TABLE(sites, BPF_MAP_TYPE_ARRAY, TRACE_SITES, uint32_t, struct trace_site);
TABLE(traced_objects, BPF_MAP_TYPE_HASH, 4096, uint64_t, uint8_t);
TABLE(traced_pids, BPF_MAP_TYPE_HASH, 4096, uint32_t, uint8_t);

/* ---- what the tool is told ---- */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

uint64_t seen[TRACE_EVENTS];		/* those of what is traced; of these, */
uint64_t dropped[TRACE_EVENTS];		/* ... so many found the buffer full */
uint64_t unread;			/* whose arguments could not be read, perhaps not even ours */
uint64_t unmeasured;			/* times, for which no histogram was free */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trace_hist_key);
	__type(value, struct trace_hist);
} hists SEC(".maps");

/* ---- beginnings that wait for their ends ---- */

struct message {
	uint64_t id, position;
	uint32_t way;		/* of a pipe: the end that sends */
	uint32_t reserved;
};

struct bell {
	uint64_t id;
	uint32_t index;
	uint32_t reserved;
};

struct held {
	uint64_t word;
	uint32_t tid;
	uint32_t reserved;
};

struct waited {
	uint64_t word, since_ns;
};

struct sleeper {
	uint64_t id;
	uint64_t runnable_ns;	/* 0: it sleeps, or it runs */
	uint32_t bell;
	uint32_t ticked;	/* it woke up to look about, and will go on sleeping */
};

TABLE(messages, BPF_MAP_TYPE_LRU_HASH, 1 << 17, struct message, uint64_t);
TABLE(wakes, BPF_MAP_TYPE_LRU_HASH, 1 << 14, struct bell, uint64_t);
TABLE(locks_held, BPF_MAP_TYPE_LRU_HASH, 1 << 14, struct held, uint64_t);
TABLE(locks_waited, BPF_MAP_TYPE_LRU_HASH, 1 << 14, uint32_t, struct waited);
TABLE(sleepers, BPF_MAP_TYPE_LRU_HASH, 1 << 14, uint32_t, struct sleeper);

/* ---- one call of a probe ---- */

struct here {
	uint64_t now_ns;
	uint64_t id;
	uint64_t arg[TRACE_ARGS];	/* what follows the id */
	uint64_t took_ns;
	uint32_t type;
	uint32_t tid;			/* in the kernel's own namespace, for our tables */
	uint32_t pid_seen, tid_seen;	/* in the tool's */
};

inline_always int reg_value(void *ctx, int16_t offset, uint64_t *v)
{
	*v = 0;
	return offset < 0 ? 0 : bpf_probe_read_kernel(v, sizeof(*v), ctx + offset);
}

/* The value of an argument; negative: it can't be read. */
static int read_place(void *ctx, const struct trace_place *p, uint64_t *v)
{
	uint32_t unused = 64 - 8 * p->size;
	uint64_t reg, index;

	if (reg_value(ctx, p->reg, &reg) || reg_value(ctx, p->index, &index))
		return -1;
	*v = reg + (index << (p->scale & 63)) + (uint64_t)p->value;
	if (p->in_memory && bpf_probe_read_user(v, sizeof(*v), (void *)*v))
		return -1;
	/* what was read is longer than a short one */
	*v <<= unused & 63;
	*v = p->is_signed ? (uint64_t)((int64_t)*v >> (unused & 63)) : *v >> (unused & 63);
	return 0;
}

/* Whether the object or the process is traced. */
inline_always bool is_traced(struct here *h)
{
	struct bpf_pidns_info ns = { 0 };

	/* fails for a process that the tool's namespace doesn't have: then its number is 0 */
	bpf_get_ns_current_pid_tgid(pidns_dev, pidns_ino, &ns, sizeof(ns));
	h->pid_seen = ns.tgid;
	h->tid_seen = ns.pid;
	return bpf_map_lookup_elem(&traced_objects, &h->id) ||
	       bpf_map_lookup_elem(&traced_pids, &h->pid_seen);
}

/* The verifier has forgotten by now that it is one of them. */
inline_always void count_event(uint64_t *counts, uint32_t type)
{
	barrier_var(type);
	if (type < TRACE_EVENTS)
		__sync_fetch_and_add(&counts[type], 1);
}

inline_always int emit(struct here *h)
{
	struct trace_event *e;

	if (!want_events)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_event(dropped, h->type);
		return 0;
	}
	e->time_ns = h->now_ns;
	e->id = h->id;
	e->arg[0] = h->arg[0];
	e->arg[1] = h->arg[1];
	e->arg[2] = h->arg[2];
	e->took_ns = h->took_ns;
	e->pid = h->pid_seen;
	e->tid = h->tid_seen;
	e->type = h->type;
	e->reserved = 0;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);	/* the tool comes by itself */
	return 0;
}

/* ---- histograms ---- */

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t b = 0;

	/* the highest bit, by halves */
	for (uint32_t half = 32; half; half >>= 1) {
		if (ns >> half) {
			b += half;
			ns >>= half;
		}
	}
	return b;
}

static struct trace_hist *hist_of(uint64_t id, uint32_t metric)
{
	static const struct trace_hist zero;
	struct trace_hist_key key = { .id = id, .metric = metric };
	struct trace_hist *hist = bpf_map_lookup_elem(&hists, &key);

	if (hist)
		return hist;
	bpf_map_update_elem(&hists, &key, &zero, BPF_NOEXIST);
	hist = bpf_map_lookup_elem(&hists, &key);
	if (!hist)
		__sync_fetch_and_add(&unmeasured, 1);
	return hist;
}

static void count(uint64_t id, uint32_t metric, uint64_t ns)
{
	struct trace_hist *hist;
	uint64_t max;

	if (!want_hists)
		return;
	hist = hist_of(id, metric);
	if (!hist)
		return;
	__sync_fetch_and_add(&hist->count, 1);
	__sync_fetch_and_add(&hist->sum_ns, ns);
	__sync_fetch_and_add(&hist->bucket[bucket_of(ns) & (TRACE_BUCKETS - 1)], 1);
	max = hist->max_ns;
	for (int i = 0; i < 8 && ns > max; i++)
		max = __sync_val_compare_and_swap(&hist->max_ns, max, ns);
}

/* An end: since when, or NULL when the beginning wasn't seen. */
inline_always void end(struct here *h, uint32_t metric, const uint64_t *since_ns)
{
	struct trace_hist *hist;

	if (since_ns) {
		/* the clocks of two CPUs may differ by a little */
		h->took_ns = h->now_ns > *since_ns ? h->now_ns - *since_ns : 0;
		count(h->id, metric, h->took_ns);
		return;
	}
	hist = want_hists ? hist_of(h->id, metric) : NULL;
	if (hist)
		__sync_fetch_and_add(&hist->unknown, 1);
}

/* ---- messages ---- */

inline_always void sent(struct here *h, uint64_t position, uint32_t way)
{
	struct message m = { .id = h->id, .position = position, .way = way };

	bpf_map_update_elem(&messages, &m, &h->now_ns, BPF_ANY);
}

inline_always void received(struct here *h, uint64_t position, uint32_t way)
{
	struct message m = { .id = h->id, .position = position, .way = way };

	end(h, TRACE_QUEUED, bpf_map_lookup_elem(&messages, &m));
	bpf_map_delete_elem(&messages, &m);
}

/* ---- doorbells ---- */

/*
 * A ring is written down for the first that wakes up by it.  Who goes to sleep has looked after the
 * rings so far: they woke nobody.  So what is joined belongs together, or isn't joined.
 */
inline_always void wake(struct here *h)
{
	struct bell b = { .id = h->id, .index = (uint32_t)h->arg[0] };

	bpf_map_update_elem(&wakes, &b, &h->now_ns, BPF_NOEXIST);
}

/* False: it has only looked about, and goes on sleeping, which is nothing to tell. */
inline_always bool sleep(struct here *h)
{
	struct bell b = { .id = h->id, .index = (uint32_t)h->arg[0] };
	struct sleeper new = { .id = h->id, .bell = b.index };
	struct sleeper *old = bpf_map_lookup_elem(&sleepers, &h->tid);
	bool again = old && old->ticked && old->id == h->id && old->bell == b.index;

	bpf_map_delete_elem(&wakes, &b);
	bpf_map_update_elem(&sleepers, &h->tid, &new, BPF_ANY);
	return !again;
}

inline_always bool woken(struct here *h)
{
	struct bell b = { .id = h->id, .index = (uint32_t)h->arg[0] };
	struct sleeper ticked = { .id = h->id, .bell = b.index, .ticked = true };

	if (!h->arg[1]) {
		bpf_map_update_elem(&sleepers, &h->tid, &ticked, BPF_ANY);
		return false;
	}
	bpf_map_delete_elem(&sleepers, &h->tid);
	if (h->arg[1] & 1) {
		end(h, TRACE_WAKEUP, bpf_map_lookup_elem(&wakes, &b));
		bpf_map_delete_elem(&wakes, &b);
	}
	return true;
}

/* ---- locks ---- */

/* The probe gives two addresses; which lock it is, their difference says to everybody. */
inline_always uint64_t lock_word(struct here *h)
{
	uint64_t word = h->arg[0];

	h->arg[0] -= h->arg[1];
	h->arg[1] = h->arg[2];
	h->arg[2] = 0;
	return word;
}

inline_always void lock_wait(struct here *h)
{
	struct waited w = { .word = lock_word(h), .since_ns = h->now_ns };

	bpf_map_update_elem(&locks_waited, &h->tid, &w, BPF_ANY);
}

inline_always void lock_acquire(struct here *h)
{
	struct held held = { .word = lock_word(h), .tid = h->tid };
	struct waited *w;

	if (h->arg[1]) {
		w = bpf_map_lookup_elem(&locks_waited, &h->tid);
		end(h, TRACE_LOCK_WAITED, w && w->word == held.word ? &w->since_ns : NULL);
		bpf_map_delete_elem(&locks_waited, &h->tid);
	}
	bpf_map_update_elem(&locks_held, &held, &h->now_ns, BPF_ANY);
}

/* By another thread than the one that took it, it is an end without a beginning. */
inline_always void lock_release(struct here *h)
{
	struct held held = { .word = lock_word(h), .tid = h->tid };

	end(h, TRACE_LOCK_HELD, bpf_map_lookup_elem(&locks_held, &held));
	bpf_map_delete_elem(&locks_held, &held);
}

/* ---- the programs ---- */

/* False: there is nothing to tell. */
inline_always bool join(struct here *h)
{
	switch (h->type) {
	case TRACE_QUEUE_PUT:
		sent(h, h->arg[0], 0);
		break;
	case TRACE_QUEUE_GET:
		/* one that comes again has been timed */
		if (!(h->arg[2] & 1))
			received(h, h->arg[0], 0);
		break;
	case TRACE_PIPE_SEND:
		sent(h, h->arg[1], h->arg[0] & 1);
		break;
	case TRACE_PIPE_RECV:
		received(h, h->arg[1], !(h->arg[0] & 1));
		break;
	case TRACE_BELL_WAKE:
		wake(h);
		break;
	case TRACE_QUEUE_BLOCK:
	case TRACE_PIPE_BLOCK:
		/* the last sleep is over, even if it ended with a tick */
		bpf_map_delete_elem(&sleepers, &h->tid);
		break;
	case TRACE_BELL_SLEEP:
		return sleep(h);
	case TRACE_BELL_WOKEN:
		return woken(h);
	case TRACE_LOCK_WAIT:
		lock_wait(h);
		break;
	case TRACE_LOCK_ACQUIRE:
		lock_acquire(h);
		break;
	case TRACE_LOCK_TAKEOVER:
		lock_word(h);
		break;
	case TRACE_LOCK_RELEASE:
		lock_release(h);
		break;
	}
	return true;
}

SEC("uprobe")
int probe(void *ctx)
{
	uint32_t cookie = (uint32_t)bpf_get_attach_cookie(ctx);
	struct trace_site *site = bpf_map_lookup_elem(&sites, &cookie);
	struct here h = { .took_ns = TRACE_NO_TIME };

	if (!site || !tracing)
		return 0;
	h.type = site->type;
	if (read_place(ctx, &site->arg[0], &h.id))
		goto out_unread;
	if (!is_traced(&h))
		return 0;
	for (uint32_t i = 1; i < TRACE_SITE_ARGS && i < site->nargs; i++)
		if (read_place(ctx, &site->arg[i], &h.arg[i - 1]))
			goto out_unread;
	h.now_ns = bpf_ktime_get_ns();
	h.tid = (uint32_t)bpf_get_current_pid_tgid();
	if (!join(&h))
		return 0;
	count_event(seen, h.type);
	return emit(&h);

out_unread:
	__sync_fetch_and_add(&unread, 1);
	return 0;
}

static uint32_t tid_of(uint64_t task)
{
	uint32_t tid = 0;

	bpf_probe_read_kernel(&tid, sizeof(tid), (void *)(task + task_pid_offset));
	return tid;
}

SEC("raw_tp/sched_wakeup")
int sched_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	uint32_t tid = tid_of(ctx->args[0]);
	struct sleeper *s = bpf_map_lookup_elem(&sleepers, &tid);

	if (s && tracing)
		s->runnable_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/sched_switch")
int sched_switch(struct bpf_raw_tracepoint_args *ctx)
{
	uint32_t tid = tid_of(ctx->args[2]);
	struct sleeper *s = bpf_map_lookup_elem(&sleepers, &tid);
	uint64_t now = bpf_ktime_get_ns();

	if (!s || !s->runnable_ns || !tracing)
		return 0;
	count(s->id, TRACE_RUNNABLE, now > s->runnable_ns ? now - s->runnable_ns : 0);
	s->runnable_ns = 0;
	return 0;
}
