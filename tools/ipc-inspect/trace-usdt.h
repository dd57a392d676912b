/* SPDX-License-Identifier: MIT */
/*
 * The library's probes in a file: .note.stapsdt, as <sys/sdt.h> writes it.
 *
 * libbpf can attach to probes by itself, but in Debian 12 (1.1) it makes a perf event of each place,
 * and the kernel needs a tenth of a second to give one up: 12 s for our 135.  Since Linux 6.6 there is
 * one link for all places of a file; libbpf knows it from 1.3 on.
 */
#ifndef IPC_INSPECT_TRACE_USDT_H
#define IPC_INSPECT_TRACE_USDT_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ipc-inspect/trace-event.h"

struct trace_sites {
	struct trace_site *site;
	uint64_t *offset;	/* of its nop, in the file */
	size_t n;
	bool found;		/* there are probes, wanted or not */
	bool unclear;		/* some were left out, since their notes can't be understood */
};

/*
 * Reads the probes of provider "kipc" for which wanted(type, arg) holds.  There are none, too, when it
 * is no program at all, or can't be read.
 */
void trace_read_sites(struct trace_sites *s, int fd,
		      bool (*wanted)(enum trace_event_type type, void *arg), void *arg);
void trace_free_sites(struct trace_sites *s);

#endif
