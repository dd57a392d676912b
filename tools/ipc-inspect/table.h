/* SPDX-License-Identifier: MIT */
/*
 * Tables of columns (column.h): drawn by libsmartcols, or written as JSON, row after row, by json.h.
 */
#ifndef IPC_INSPECT_TABLE_H
#define IPC_INSPECT_TABLE_H

#include "tools/ipc-inspect/json.h"

struct table;

/* key: the name of the array in JSON.  sel: NULL for all columns. */
struct table *table_new(const char *key, const struct column *cols, unsigned int n,
			const struct selection *sel, const struct format *f);
/* Prints each column of the row; the row itself isn't kept. */
void table_add(struct table *t, const void *row);
/* To stdout; the end of the document if that is JSON. */
void table_print(struct table *t);
void table_free(struct table *t);

/* -H: what columns there are. */
void table_list_columns(const struct column *cols, unsigned int n, const struct format *f);

#endif
