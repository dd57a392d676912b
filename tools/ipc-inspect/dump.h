/* SPDX-License-Identifier: MIT */
/*
 * What `dump` prints: contents.  A file a kind, dump-*.c; dump.c has the command and what they share.
 *
 * Contents are bytes of strangers: text goes to a terminal with its control characters as \xNN, but
 * for the end of a line and the tabulator; -r gives the bytes themselves.
 */
#ifndef IPC_INSPECT_DUMP_H
#define IPC_INSPECT_DUMP_H

#include "tools/ipc-inspect/json.h"
#include "tools/ipc-inspect/kind.h"

/* Of one message or value, no more bytes than this are read into memory and printed. */
#define DUMP_MAX	(256ULL << 20)

struct dump {
	struct format format;
	enum { DUMP_AUTO, DUMP_HEX, DUMP_TEXT } how;
	struct json json;
	unsigned int nobjects;
};

/* Bytes as text or as hexadecimal, indented; in JSON the members "text" and "hex", one of them null. */
void dump_bytes(struct dump *d, const void *bytes, uint64_t n);
/* The same for what is as large as memory may be, straight from the segment. */
void dump_range(struct dump *d, struct view *v, uint64_t off, uint64_t len);

/* A heading of text; nothing in JSON and with -r. */
void dump_title(struct dump *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Members of JSON; nothing else otherwise. */
void dump_number(struct dump *d, const char *key, uint64_t n);
void dump_bool(struct dump *d, const char *key, bool b);
void dump_word(struct dump *d, const char *key, const char *word);

/* With the fewest digits that give the number back; what isn't one as a string, in JSON. */
void dump_double(double x, bool single, bool json);

/* [off, off + len), len at most DUMP_MAX, malloc'ed; NULL: it can't be read. */
void *dump_read(struct view *v, uint64_t off, uint64_t len);

#endif
