/* SPDX-License-Identifier: MIT */
/*
 * JSON, to stdout: one document, {"objects": [ ... ]}, or with --jsonl the elements of its arrays
 * alone, a line each.
 *
 * Text that comes here is printable ASCII: text_safe() has been there before, or json_text() is.
 */
#ifndef IPC_INSPECT_JSON_H
#define IPC_INSPECT_JSON_H

#include "tools/ipc-inspect/column.h"

struct json {
	bool lines;		/* --jsonl */
	unsigned int depth;	/* of braces */
	bool comma;		/* something stands before in this brace */
};

/* The document, and its array of that name. */
void json_begin(struct json *j, const struct format *f, const char *key);
/* Ends the array and begins another. */
void json_next(struct json *j, const char *key);
void json_end(struct json *j);

/* '{' or '[', with a key inside of '{', without one (NULL) inside of '['. */
void json_open(struct json *j, const char *key, char brace);
void json_close(struct json *j, char brace);

/* A member, as the column's type says. */
void json_column(struct json *j, const struct column *c, const void *row, const struct format *f);
/* A member or (key NULL) an element. */
void json_string(struct json *j, const char *key, const char *text);
/* The same with what is a JSON value already. */
void json_value(struct json *j, const char *key, const char *value);

/* n bytes as a JSON string with its quotes, malloc'ed; NULL: they are no UTF-8. */
char *json_text(const void *bytes, size_t n);

#endif
