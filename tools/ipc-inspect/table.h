/* SPDX-License-Identifier: MIT */
/* Tables of columns (column.h), drawn by libsmartcols, also as JSON. */
#ifndef IPC_INSPECT_TABLE_H
#define IPC_INSPECT_TABLE_H

#include "tools/ipc-inspect/column.h"

struct table;

/* key: the name of the array in JSON.  sel: NULL for all columns. */
struct table *table_new(const char *key, const struct column *cols, unsigned int n,
			const struct selection *sel, const struct format *f);
/* Prints each column of the row; the row itself isn't kept. */
void table_add(struct table *t, const void *row);
/* To stdout, as the format says: a whole document if that is JSON. */
void table_print(struct table *t);
/* In JSON: "key": [ ... ] without the braces around it, malloc'ed. */
char *table_json_member(struct table *t);
void table_free(struct table *t);

/* -H: what columns there are. */
void table_list_columns(const struct column *cols, unsigned int n, const struct format *f);

#endif
