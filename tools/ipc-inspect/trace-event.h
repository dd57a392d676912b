/* SPDX-License-Identifier: MIT */
/*
 * What the program in the kernel (trace.bpf.c) and the tool tell each other.
 *
 * The tool says where probes are and where their arguments are found (sites); the program answers with
 * events, each what a probe of the library says (lib/core/trace.h), with the time, the thread, and
 * how long that took which it ends; or with histograms of these times.
 */
#ifndef IPC_INSPECT_TRACE_EVENT_H
#define IPC_INSPECT_TRACE_EVENT_H

#include <stdint.h>

/* One a probe, in the order of trace_event_kinds[]. */
enum trace_event_type {
	TRACE_QUEUE_PUT,
	TRACE_QUEUE_GET,
	TRACE_QUEUE_REDELIVER,
	TRACE_QUEUE_BLOCK,
	TRACE_PIPE_SEND,
	TRACE_PIPE_RECV,
	TRACE_PIPE_BLOCK,
	TRACE_PIPE_HANGUP,
	TRACE_BELL_WAKE,
	TRACE_BELL_SLEEP,
	TRACE_BELL_WOKEN,
	TRACE_LOCK_WAIT,
	TRACE_LOCK_ACQUIRE,
	TRACE_LOCK_TAKEOVER,
	TRACE_LOCK_RELEASE,
	TRACE_ARENA_GROW,
	TRACE_REPAIR,
	TRACE_EVENTS
};

/* ---- sites ---- */

#define TRACE_SITE_ARGS	4	/* the id among them */
#define TRACE_SITES	8192	/* in all files together */

/* An argument of a probe, as the compiler left it. */
struct trace_place {
	int64_t value;		/* the constant, or what is added to the address */
	int16_t reg, index;	/* offsets in struct pt_regs; -1: none */
	uint8_t scale;		/* the index is shifted by so many bits */
	uint8_t in_memory;	/* at the address reg + index + value; else reg itself, or the constant */
	uint8_t size;		/* bytes: 1, 2, 4, 8 */
	uint8_t is_signed;
};

struct trace_site {
	uint32_t type;		/* enum trace_event_type */
	uint32_t nargs;
	struct trace_place arg[TRACE_SITE_ARGS];
};

/* ---- events ---- */

#define TRACE_ARGS	3
#define TRACE_NO_TIME	UINT64_MAX

struct trace_event {
	uint64_t time_ns;		/* CLOCK_MONOTONIC */
	uint64_t id;			/* of the segment */
	uint64_t arg[TRACE_ARGS];	/* of the probe; of a lock its offset, then the rest */
	uint64_t took_ns;		/* TRACE_NO_TIME: it ends nothing, or the beginning wasn't seen */
	uint32_t pid, tid;		/* in the PID namespace of the tool; 0: not there */
	uint32_t type;
	char comm[16];			/* of the thread */
	uint32_t reserved;
};

/* ---- histograms ---- */

/* What is measured; each has a histogram for each object. */
enum trace_metric {
	TRACE_QUEUED,		/* from put to get, from send to recv */
	TRACE_WAKEUP,		/* from the ring of a doorbell until its sleeper runs */
	TRACE_RUNNABLE,		/* of that: from when it could run until it did */
	TRACE_LOCK_WAITED,
	TRACE_LOCK_HELD,
	TRACE_METRICS
};

#define TRACE_BUCKETS	64	/* bucket i counts [2^i, 2^(i+1)) ns, bucket 0 also 0 */

struct trace_hist_key {
	uint64_t id;
	uint32_t metric;
	uint32_t reserved;
};

struct trace_hist {
	uint64_t count;
	uint64_t sum_ns, max_ns;
	uint64_t unknown;		/* ends whose beginning wasn't seen */
	uint64_t bucket[TRACE_BUCKETS];
};

#endif
