/* SPDX-License-Identifier: MIT */
/*
 * What `show` prints: sections of records (one value a line) and tables, as text or as JSON.
 *
 * In JSON a report is {"objects": [{ ... }, ...]}: each section a member, records as objects,
 * tables as arrays of objects.
 */
#ifndef IPC_INSPECT_REPORT_H
#define IPC_INSPECT_REPORT_H

#include "tools/ipc-inspect/json.h"

struct report {
	struct format format;
	struct json json;
	unsigned int nobjects;
};

void report_begin(struct report *r, const struct format *f);
void report_end(struct report *r);

/* One object; the title is for text. */
void report_object(struct report *r, const char *title);
void report_object_end(struct report *r);

/* A section with the columns of the row. */
void report_record(struct report *r, const char *key, const char *title, const struct column *cols,
		   unsigned int n, const void *row);

/* A section with `count` rows of `size` bytes from `rows` on.  In text, none without rows. */
void report_table(struct report *r, const char *key, const char *title, const struct column *cols,
		  unsigned int n, const void *rows, size_t count, size_t size);

/* A list of lines, which are safe to print already.  In text, none without lines. */
void report_lines(struct report *r, const char *key, const char *title, char *const *lines,
		  size_t n);

#endif
