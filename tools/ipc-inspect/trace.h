/* SPDX-License-Identifier: MIT */
/*
 * ipc-inspect trace, in parts:
 *
 *	trace.c		the command: what is meant, what is asked for
 *	trace-find.c	which files the processes execute
 *	trace-usdt.c	the probes in such a file; trace-args.c the places of their arguments
 *	trace-bpf.c	puts trace.bpf.c into the kernel and listens; trace-none.c where the build
 *			lacked what that takes
 *	trace-events.c	events as text and JSON
 *	trace-hist.c	histograms as text and JSON
 */
#ifndef IPC_INSPECT_TRACE_H
#define IPC_INSPECT_TRACE_H

#include <stdbool.h>
#include <sys/types.h>

#include "tools/ipc-inspect/json.h"
#include "tools/ipc-inspect/kind.h"
#include "tools/ipc-inspect/trace-event.h"

/* ---- where the library is: trace-find.c ---- */

/* A file that a process has mapped to execute it. */
struct trace_binary {
	uint64_t dev, ino;
	pid_t pid;
	int fd;		/* O_RDONLY; another process's entry may have the same one */
	bool owned;	/* ... which this one closes */
	char *name;	/* as the process knows it; safe to print */
};

struct trace_binaries {
	struct trace_binary *binary;
	size_t n;
};

/*
 * Adds the files that the process executes, each once for all processes or, if per_process, once for
 * each.  0 or a negative errno.
 */
int trace_find_binaries(struct trace_binaries *b, pid_t pid, bool per_process);
void trace_free_binaries(struct trace_binaries *b);

/* ---- the kernel: trace-bpf.c, trace-none.c ---- */

struct trace_totals {
	uint64_t seen, dropped;	/* events; of these, those that the buffer had no room for */
	uint64_t unread;	/* calls of probes whose arguments could not be read, */
	uint64_t missed;	/* ... and such that the kernel didn't let through */
	uint64_t unmeasured;	/* times that found no histogram, or passed the scheduler unseen */
	bool no_scheduler;	/* TRACE_RUNNABLE isn't measured: the kernel has no BTF */
};

struct trace_request {
	bool events, hists;		/* what is wanted */
	unsigned int kinds;		/* of objects: bits 1 << enum kipc_seg_kind; 0: all */
	const uint64_t *ids;		/* what is traced: these objects, */
	size_t nids;
	const pid_t *pids;		/* ... and these processes */
	size_t npids;
	const pid_t *watched;		/* when all of these have ended, over() is asked */
	size_t nwatched;
	struct trace_binaries binaries;
	bool per_process;		/* only the processes of the binaries take notice */
	int64_t duration_ns;		/* 0: without end */

	void (*ready)(void *arg);	/* from now on nothing is missed */
	void (*event)(const struct trace_event *e, void *arg);
	void (*flush)(void *arg);	/* no more events for now */
	/* Processes to be watched now, into *watched, which stays ours; how many, 0: it is over. */
	size_t (*over)(const pid_t **watched, void *arg);
	void (*hist)(const struct trace_hist_key *key, const struct trace_hist *hist, void *arg);
	void *arg;

	struct trace_totals totals;	/* out */
};

/*
 * Traces until the time is up, SIGINT or SIGTERM comes, or over() says so.  An exit code; when it isn't
 * EXIT_OK, after a message.
 */
int trace_in_kernel(struct trace_request *r);

/* Whether it could: it puts the program at a probe of our own library, and takes it away again. */
bool trace_works(void);

/* ---- what the tool knows of a traced object: trace.c ---- */

struct trace_object {
	uint64_t id;
	const struct kind *kind;	/* NULL: not known (any more) */
	const char *kind_name;
	char *name;			/* safe; NULL: it has none */
};

/* ---- trace-events.c ---- */

struct trace_arg {
	const char *key;	/* in JSON */
	enum {
		ARG_NONE,
		ARG_NUMBER,
		ARG_FLAG,	/* said when it is set */
		ARG_SLOT,	/* 0: nobody's */
		ARG_BELL,
		ARG_LOCK,	/* offset of the lock word in the segment */
		ARG_CAUSE,	/* of waking up */
	} type;
	const char *word;	/* in text, before the value; of a flag, all there is */
};

/* A row a probe: for attaching, for text, for JSON. */
struct trace_event_kind {
	const char *probe;	/* as in lib/core/trace.h */
	bool measured;		/* histograms need it */
	unsigned int kinds;	/* of objects that have it: bits 1 << enum kipc_seg_kind */
	const char *text;
	struct trace_arg arg[TRACE_ARGS];
	const char *took_key, *took_word;	/* NULL: it ends nothing */
};
extern const struct trace_event_kind trace_event_kinds[TRACE_EVENTS];

void trace_event_heading(void);
/* since_ns: what the times are counted from. */
void trace_event_text(const struct trace_event *e, const struct trace_object *o, uint64_t since_ns);
void trace_event_json(struct json *j, const struct trace_event *e, const struct trace_object *o);

/* Members of a JSON object: the id, kind and name of a traced object; a number. */
void trace_json_object(struct json *j, uint64_t id, const struct trace_object *o);
void trace_json_number(struct json *j, const char *key, uint64_t v);
/* After an element: with --jsonl, its line is complete. */
void trace_json_line(struct json *j);

/* "1.25us": three digits; malloc'ed. */
char *trace_time_text(uint64_t ns);

/* ---- trace-hist.c ---- */

struct trace_hists;

struct trace_hists *trace_hists_new(void);
void trace_hists_free(struct trace_hists *h);
void trace_hists_add(struct trace_hists *h, const struct trace_hist_key *key,
		     const struct trace_hist *hist);
/* By object, which `find` looks up, then by metric. */
typedef const struct trace_object *(*trace_find_object)(uint64_t id, void *arg);
void trace_hists_text(struct trace_hists *h, trace_find_object find, void *arg);
void trace_hists_json(struct trace_hists *h, struct json *j, trace_find_object find, void *arg);

#endif
